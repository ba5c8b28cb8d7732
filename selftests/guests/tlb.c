// SPDX-License-Identifier: GPL-2.0-only
/*
 * Oracle for stale translations: the guest changes its tables all the time and always
 * knows what a load must give. Runs for seconds=N (3): meant to be run while the host
 * moves the vCPUs between its processors, ages or takes away their memory.
 */
#include "guest.h"

#define PAGES	64
#define CR4_PGE	(1 << 7)
#define VA(id)	(0x500000000000UL + ((u64)(id) << 30))

static volatile u64 stale[MAX_CPUS], loads[MAX_CPUS];
static volatile u64 end, most;		/* by the TSC, taken as 1 GHz */

/*
 * Page i of the pool holds i in its first word, which never changes. Each round maps
 * some of them anew and forgets the old entry in one of the ways there are.
 */
static u64 pool[PAGES];
static u64 *tables[MAX_CPUS];

static void oracle(void *unused)
{
	unsigned int id = this_cpu()->id, i, n, way;
	u64 *pt, *pml4 = tables[id], expect[16] = { 0 }, x = 88172645463325252ULL + id * 977;

	pt = walk(pml4, VA(id), 1);
	for (i = 0; i < 16; i++)
		pt[i] = pool[0] | PTE_P | PTE_W;
	wcr3((u64)pml4);
	while (rdtsc() < end && loads[id] < most) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		i = x % 16;
		n = x >> 8 & (PAGES - 1);
		way = x >> 16 & 7;
		pt[i] = pool[n] | PTE_P | PTE_W;
		expect[i] = n;
		switch (way) {
		case 0:
			wcr3((u64)pml4);
			break;
		case 1:
			wcr4(rcr4() ^ CR4_PGE);
			break;
		default:
			invlpg((void *)(VA(id) + i * 4096));
		}
		for (i = 0; i < 16; i++) {
			if (*(volatile u64 *)(VA(id) + i * 4096) != expect[i]) {
				if (!stale[id]++)
					print("# CPU %u: page %u reads %lu, not %lu, way %u\n", id, i,
					      *(volatile u64 *)(VA(id) + i * 4096), expect[i], way);
			}
			loads[id]++;
		}
		if ((x >> 24 & 63) == 0)
			inb(0x80);
	}
	wcr3((u64)boot_pml4);
}

int main(void)
{
	unsigned int n, i;
	u64 bad = 0, all = 0;

	cpu_start(0);
	pic_init(0x20);
	apic_enable(false);
	for (i = 0; i < PAGES; i++) {
		pool[i] = (u64)alloc_page();
		*(u64 *)pool[i] = i;
	}
	n = smp_start();
	for (i = 0; i < n; i++) {
		tables[i] = alloc_page();
		memcpy(tables[i], boot_pml4, 4096);
		map(tables[i], VA(i), pool[0] | PTE_P | PTE_W, 1);
	}
	/* told how long, for that long; else enough for a slow emulator */
	end = rdtsc() + option("seconds", 3) * 1000000000;
	most = option("seconds", 0) ? ~0UL : 1000000;
	run_all(oracle, NULL);
	for (i = 0; i < n; i++) {
		bad += stale[i];
		all += loads[i];
	}
	ok(!bad, "%u CPUs, %lu loads, %lu stale", n, all, bad);
	return finish_tests();
}

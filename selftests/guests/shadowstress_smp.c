// SPDX-License-Identifier: GPL-2.0-only
/* The part of shadowstress for several CPUs: shootdown, dirty bits, address spaces changed in parallel. */
#include "shadowstress.h"

#define SHOOT 0x70
#define SMP_PAGES 16

static volatile bool stop;
static volatile unsigned long shoot_va;
static volatile u32 acks, published[SMP_PAGES], late, reads, writes;
static const unsigned long smp_va = VA + (160 << 20);

static bool shoot_handler(struct frame *frame)
{
	if (shoot_va)
		invlpg((void *)shoot_va);
	else
		flush_tlb();
	apic_eoi();
	asm volatile("lock incl %0" : "+m"(acks));
	return true;
}

/* The page is dropped here and everywhere else. */
static void shoot(unsigned long va, bool all)
{
	u32 start;

	shoot_va = all ? 0 : va;
	start = acks;
	barrier();
	apic_icr(0, ICR_OTHERS | ICR_ASSERT | SHOOT);
	if (all)
		flush_tlb();
	else
		invlpg((void *)va);
	while (acks - start < cpus_n - 1)
		pause();
}

/* reads pages whose numbers only go up; one below what was published is a stale one */
static void reader(void *unused)
{
	u32 s = 0x1234567 + this_cpu()->id, v, at_least;

	enter();
	sti();
	while (!stop) {
		unsigned int k = step(&s) % SMP_PAGES;

		at_least = published[k];
		barrier();
		if (!try_read(smp_va + 4096UL * k + 8, &v))
			continue;
		if (v < at_least)
			asm volatile("lock incl %0" : "+m"(late));
		asm volatile("lock incl %0" : "+m"(reads));
	}
	cli();
	leave();
}

static void writer(void *unused)
{
	u32 s = 0x7654321 + this_cpu()->id;

	enter();
	sti();
	while (!stop) {
		unsigned int k = step(&s) % SMP_PAGES;

		if (TRY("lock incl (%0)", : : "r"(smp_va + 4096UL * k + 64) : "memory") == -1)
			asm volatile("lock incl %0" : "+m"(writes));
	}
	cli();
	leave();
}

static u64 exchange(void *entry, u64 new)
{
	if (f->size == 4) {
		u32 v = new;

		asm volatile("xchg %0, (%1)" : "+r"(v) : "r"(entry) : "memory");
		return v;
	} else {
		u32 lo = 0, hi = 0;

		asm volatile("1: lock cmpxchg8b (%2); jnz 1b" : "+a"(lo), "+d"(hi)
			     : "r"(entry), "b"((u32)new), "c"((u32)(new >> 32)) : "memory");
		return (u64)hi << 32 | lo;
	}
}

static void start_all(void (*fn)(void *))
{
	unsigned int i;

	stop = false;
	barrier();
	for (i = 1; i < cpus_n; i++)
		run_on(i, fn, NULL);
}

static void stop_all(void)
{
	unsigned int i;

	stop = true;
	for (i = 1; i < cpus_n; i++)
		wait_done(i);
}

/* Where CPUs wait for each other and there are fewer below, a round may take long. */
static bool in_time(unsigned int i, u64 start)
{
	return i < 30 || rdtsc() - start < PATIENCE / 8;
}

void test_smp(void)
{
	static u32 seen[SMP_PAGES];
	void *table = new_table(smp_va, 2);
	unsigned int i, k, lost = 0;
	u32 s = 0x13579bdf;
	u64 start = rdtsc();

	handlers[SHOOT] = shoot_handler;
	late = reads = writes = 0;
	for (k = 0; k < SMP_PAGES; k++) {
		*(u32 *)(pages[k] + 8) = 1;
		published[k] = 1;
		table_set(table, k, address(pages[k]) | PTE_P | PTE_W);
	}
	flush_tlb();
	start_all(reader);
	for (i = 0; i < rounds(1500) && in_time(i, start); i++) {
		u8 *page = pages[SMP_PAGES + i % (PAGES - SMP_PAGES)], *old;

		k = step(&s) % SMP_PAGES;
		old = pointer(table_get(table, k));
		*(volatile u32 *)(page + 8) = published[k] + 1;
		exchange((u8 *)table + k * f->size, address(page) | PTE_P | PTE_W);
		shoot(smp_va + 4096UL * k, i % 8 == 0);
		published[k]++;
		/* whoever still has the old one finds a number that is too low */
		*(volatile u32 *)(old + 8) = 0;
	}
	stop_all();
	ok(!late, "%s: %u CPUs, shot down %u times: %u of %u reads stale", f->name, cpus_n, i, late, reads);

	/* an entry that was taken away clean has not been written through */
	number_pages();
	for (k = 0; k < SMP_PAGES; k++) {
		seen[k] = 0;
		table_set(table, k, address(pages[k]) | PTE_P | PTE_W);
	}
	flush_tlb();
	start_all(writer);
	start = rdtsc();
	for (i = 0; i < rounds(1500) && in_time(i, start); i++) {
		u64 old;

		k = i % SMP_PAGES;
		old = exchange((u8 *)table + k * f->size, 0);
		shoot(smp_va + 4096UL * k, false);
		if (!(old & PTE_D) && *(volatile u32 *)(pages[k] + 64) != seen[k])
			lost++;
		if (table_get(table, k))
			lost++;
		seen[k] = *(volatile u32 *)(pages[k] + 64);
		set_entry(f, (u8 *)table + k * f->size, address(pages[k]) | PTE_P | PTE_W);
	}
	stop_all();
	for (i = k = 0; k < SMP_PAGES; k++)
		i += *(volatile u32 *)(pages[k] + 64);
	ok(!lost && i == writes, "%s: %u dirty bits lost, %u of %u writes arrived", f->name, lost, i, writes);
	number_pages();
}

/* Each CPU an address space of its own over shared tables, all of which change all the time. */
static void *own_root[MAX_CPUS], *own_table[MAX_CPUS];
static volatile u32 own_bad;

static void churn(void *unused)
{
	unsigned int id = this_cpu()->id, i, k, bad = 0;
	u32 s = 77777 + id, v;
	unsigned long va = smp_va + (8 << 20);

#ifdef __x86_64__
	wcr3(address(own_root[id]));
#else
	use_paging(f, own_root[id]);
#endif
	for (i = 0; i < rounds(2000); i++) {
		u32 r = step(&s);

		k = r % 32;
		table_set(own_table[id], k, r & 0x100 ? 0 : address(pages[r >> 16 & (PAGES - 1)]) | PTE_P | PTE_W);
		if (r & 0x200)
			flush_tlb();
		else
			invlpg((void *)(va + 4096UL * k));
		if (r & 0x100)
			bad += try_read(va + 4096UL * k + 8, &v);
		else
			bad += !try_read(va + 4096UL * k + 8, &v) || v != 0x1000 + (r >> 16 & (PAGES - 1));
		/* a neighbour's table, in entries which that one does not look at */
		table_set(own_table[(id + 1) % cpus_n], 64 + k, address(pages[k]) | PTE_P);
	}
	if (bad)
		asm volatile("lock addl %1, %0" : "+m"(own_bad) : "r"(bad));
	leave();
}

void test_churn(void)
{
	unsigned int i;
	void *mine = root;

	own_bad = 0;
	for (i = 0; i < cpus_n; i++) {
		root = make_root(f, 0, mine);
		if (f == &pae)
			table_set(root, 2, 0);
		if (f == &two_level)
			set_entry(f, (u32 *)root + index_of(f, smp_va + (8 << 20), 2), 0);
		own_root[i] = root;
		own_table[i] = alloc_page();
		set_entry(f, make_entry(f, root, smp_va + (8 << 20), 2), address(own_table[i]) | ALL);
	}
	root = mine;
	run_all(churn, NULL);
	enter();
	ok(!own_bad, "%s: %u CPUs in address spaces of their own (%u wrong)", f->name, cpus_n, own_bad);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * All of the RAM, with patterns, in the orders that make different kinds of faults in
 * the host; and memory that is not RAM.
 */
#include "guest.h"

static u64 first, last;

static u64 pattern(u64 address)
{
	return address * 0x9e3779b97f4a7c15ULL ^ address >> 7;
}

static void touch(void *unused)
{
	unsigned int id = this_cpu()->id;
	u64 a;

	/* each CPU every n-th page: neighbours fault at the same time */
	for (a = first + id * 4096; a < last; a += 4096 * 4)
		*(volatile u64 *)(a + 16) = pattern(a);
}

static u64 count_wrong(u64 stride, u64 offset)
{
	u64 a, wrong = 0;

	for (a = first; a + offset < last; a += stride)
		wrong += *(volatile u64 *)(a + offset) != pattern(a);
	return wrong;
}

int main(void)
{
	u64 a, wrong, n;
	unsigned int cpus_up, i;

	cpu_start(0);
	pic_init(0x20);
	apic_enable(false);
	(void)alloc(0, 4096);
	first = 8 << 20;
	last = memory_end();
	if (last > 3ULL << 30)
		last = 3ULL << 30;
	/* launchers keep tables at the top; QEMU's loader leaves more below */
	last -= 1 << 20;
	ok(last > first, "RAM from %#lx to %#lx", first, last);

	/* 2 MiB steps first: large pages where the host has them */
	for (a = first; a < last; a += 2 << 20)
		*(volatile u64 *)(a + 8) = pattern(a);
	wrong = count_wrong(2 << 20, 8);
	ok(!wrong, "one write in each 2 MiB (%lu wrong)", wrong);
	/* downwards in pages */
	for (a = last; a > first; a -= 4096)
		*(volatile u64 *)(a - 4096 + 24) = pattern(a - 4096);
	wrong = count_wrong(4096, 24);
	ok(!wrong, "one write in each page, downwards (%lu wrong)", wrong);
	wrong = count_wrong(2 << 20, 8);
	ok(!wrong, "... the first ones are still there (%lu wrong)", wrong);
	/* untouched words are zero */
	for (wrong = 0, a = first; a < last; a += 4096)
		if (*(volatile u64 *)(a + 4000) && wrong++ < 3)
			print("# %#lx holds %#lx\n", a + 4000, *(volatile u64 *)(a + 4000));
	ok_hypervisor(!wrong, "what nobody wrote is zero (%lu not)", wrong);
	/* pseudo-random order */
	for (n = (last - first) >> 12, i = 0, a = 0; i < 20000; i++) {
		a = (a * 6364136223846793005ULL + 1442695040888963407ULL);
		*(volatile u64 *)(first + (a >> 20) % n * 4096 + 32) = 1;
	}
	wrong = count_wrong(4096, 24);
	ok(!wrong, "after random writes (%lu wrong)", wrong);
	/* a write across two pages */
	for (wrong = 0, a = first + 4096; a < first + (4 << 20); a += 4096) {
		*(volatile u64 *)(a - 4) = a;
		wrong += *(volatile u32 *)a != (u32)(a >> 32) || *(volatile u32 *)(a - 4) != (u32)a;
	}
	ok(!wrong, "writes across two pages (%lu wrong)", wrong);
	/* REP STOS and MOVS over large ranges */
	memset((void *)first, 0x5a, 4 << 20);
	memcpy((void *)(first + (4 << 20)), (void *)first, 4 << 20);
	ok(!memcmp((void *)first, (void *)(first + (4 << 20)), 4 << 20), "REP STOSB, REP MOVSB of 4 MiB");
	/* code in fresh memory */
	for (wrong = 0, a = first + (8 << 20); a < first + (8 << 20) + 4096 * 100; a += 4096) {
		*(volatile u32 *)a = 0xc3c0ff48;	/* inc %rax; ret */
		asm volatile("call *%1" : "=a"(n) : "r"(a), "0"(a));
		wrong += n != a + 1;
	}
	ok(!wrong, "code executed from 100 pages");

	cpus_up = smp_start();
	if (cpus_up > 1) {
		run_all(touch, NULL);
		for (wrong = 0, i = 0; i < cpus_up && i < 4; i++)
			for (a = first + i * 4096; a < last; a += 4096 * 4)
				wrong += *(volatile u64 *)(a + 16) != pattern(a);
		ok(!wrong, "%u CPUs write interleaved pages (%lu wrong)", cpus_up, wrong);
	} else {
		skip("one CPU only");
	}

	/* A read-only region, if the launcher gives one: the option rom=N says at how many KiB. */
	a = option("rom", 0);
	if (a) {
		volatile u32 *rom = (u32 *)(a << 10);
		u32 was = *rom;

		*rom = ~was;
		ok(*rom == was, "a write to read-only memory is dropped (%#x)", *rom);
	} else {
		skip("no read-only region");
	}
	return finish_tests();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The paravirtual clock of the KVM ABI: present if CPUID says so, never going back, also
 * from one CPU to another, and agreeing with the TSC and the PIT.
 */
#include "guest.h"

#define MSR_WALL	0x4b564d00
#define MSR_SYSTEM	0x4b564d01

struct time_info {
	volatile u32 version;
	u32 pad0;
	u64 tsc_timestamp, system_time;
	u32 mul;
	signed char shift;
	u8 flags, pad[2];
};

static struct time_info infos[MAX_CPUS] __attribute__((aligned(64)));

static u64 read_clock(const struct time_info *t)
{
	u64 delta, ns, high;
	u32 version;

	do {
		version = t->version;
		barrier();
		delta = rdtsc() - t->tsc_timestamp;
		if (t->shift >= 0)
			delta <<= t->shift;
		else
			delta >>= -t->shift;
		asm("mulq %3" : "=a"(ns), "=d"(high) : "0"(delta), "r"((u64)t->mul));
		ns = (ns >> 32 | high << 32) + t->system_time;
		barrier();
	} while (version & 1 || version != t->version);
	return ns;
}

static void enable(void *unused)
{
	wrmsr(MSR_SYSTEM, (u64)&infos[this_cpu()->id] | 1);
	cpuid(0);
}

static volatile u64 last, backwards, worst;
static volatile u32 lock;

static void check(void *times)
{
	u64 i, t;

	for (i = 0; i < (u64)times; i++) {
		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
			pause();
		t = read_clock(&infos[this_cpu()->id]);
		if (t < last) {
			backwards = backwards + 1;
			if (last - t > worst)
				worst = last - t;
		}
		last = t;
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
		if (i % 64 == 0)
			inb(0x80);
		pause();
	}
}

int main(void)
{
	struct regs4 leaf = { 0 };
	unsigned int n, i, good;
	u64 a, b, v;
	u32 base;
	static struct { volatile u32 version; u32 sec, nsec; } wall;

	cpu_start(0);
	pic_init(0x20);
	apic_enable(false);
	for (base = 0x40000000; base < 0x40000400; base += 0x100) {
		struct regs4 r;

		if (!has_hypervisor())
			break;
		r = cpuid(base);
		if (r.b == 0x4b4d564b && r.c == 0x564b4d56 && r.d == 0x4d) {
			leaf = cpuid(base + 1);
			break;
		}
	}
	if (!(leaf.a & 8)) {
		skip("no KVM clock (%#x)", leaf.a);
		return finish_tests();
	}
	ok(true, "KVM signature at %#x, features %#x", base, leaf.a);
	ok(try_rdmsr(MSR_SYSTEM, &v) < 0 && !(v & 1), "the system-time MSR is there, and off");
	enable(NULL);
	ok(rdmsr(MSR_SYSTEM) == ((u64)&infos[0] | 1), "it reads back");
	ok(infos[0].mul && !(infos[0].version & 1), "the page is filled: version %u mul %#x shift %d flags %#x",
	   infos[0].version, infos[0].mul, infos[0].shift, infos[0].flags);
	/* Linux reads the clock in user space only if it is stable across CPUs. */
	print("# stable bit: CPUID %d, page %d\n", !!(leaf.a & 1 << 24), infos[0].flags & 1);
	ok(!!(leaf.a & 1 << 24) >= (infos[0].flags & 1), "the page's stable bit is announced in CPUID");
	a = read_clock(&infos[0]);
	dawdle(1000);
	b = read_clock(&infos[0]);
	ok(b > a, "it advances (%lu to %lu)", a, b);

	wrmsr(MSR_WALL, (u64)&wall);
	cpuid(0);
	ok(!(wall.version & 1) && wall.sec > 1000000000, "wall clock: %u s", wall.sec);

	/* against the PIT: 20 ms by the counter of channel 2 would need port 0x61; use channel 0, read back */
	outb(0x43, 0x30);
	outb(0x40, 0xff);
	/* before it counts: however long this CPU is kept from us, the clock has seen the 20 ms */
	a = read_clock(&infos[0]);
	outb(0x40, 0xff);
	do {
		outb(0x43, 0);
		v = inb(0x40);
		v |= inb(0x40) << 8;
		b = read_clock(&infos[0]);
	} while (v > 0xffff - 23864 && b - a < 5000000000ULL);	/* 20 ms */
	ok(v <= 0xffff - 23864 && b - a > 19000000, "20 ms of the PIT are %lu us", (b - a) / 1000);

	for (i = good = 0; i < 100; i++) {
		a = read_clock(&infos[0]);
		wrmsr(MSR_SYSTEM, (u64)&infos[0] | 1);
		cpuid(0);
		good += read_clock(&infos[0]) >= a;
	}
	ok(good == 100, "writing the MSR again does not turn it back (%u of 100)", good);

	n = smp_start();
	run_all(enable, NULL);
	for (i = good = 0; i < n; i++)
		good += infos[i].mul == infos[0].mul && infos[i].shift == infos[0].shift;
	ok(good == n, "%u CPUs have the same scale", n);
	last = 0;
	run_all(check, (void *)(n > 1 ? 5000UL : 20000UL));
	ok(!backwards, "never back, on %u CPUs (%lu times, %lu ns)", n, backwards, worst);

	wrmsr(MSR_SYSTEM, 0);
	i = infos[0].version;
	for (v = 0; v < 100; v++)
		inb(0x21);
	ok(infos[0].version == i, "switched off: the page is left alone");
	wrmsr(MSR_SYSTEM, 0);
	ok(TRY("wrmsr", : : "c"(MSR_SYSTEM), "a"(0xfffff001), "d"(0xff) : "memory") != VECTOR_PF,
	   "an address that is not memory harms nobody");
	inb(0x21);
	wrmsr(MSR_SYSTEM, 0);
	return finish_tests();
}

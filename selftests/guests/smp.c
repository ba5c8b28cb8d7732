// SPDX-License-Identifier: GPL-2.0-only
/* Start of other CPUs, interrupts between them, memory shared by them. */
#include "guest.h"

static unsigned int n;
static bool x2;

/* --- IPIs ------------------------------------------------------------------------ */
#define V 0x60

static volatile bool quiet;	/* the others' work is over */

static void listen(void *unused)
{
	sti();
	while (!quiet)
		pause();
	cli();
}

static void sleep_listen(void *unused)
{
	while (!quiet)
		halt();
}

static void go_x2(void *unused)
{
	apic_enable(x2);
}

static void clear_counts(void)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		memset((void *)cpus[i].count, 0, sizeof(cpus[i].count));
}

/* bit i: CPU i got V exactly once, nothing else did */
static bool got(u32 who, const char **why)
{
	static char text[64];
	unsigned int i, k = 0;
	bool good = true;
	u64 start = rdtsc();

	for (;;) {
		for (i = 0, good = true; i < n; i++)
			good &= cpus[i].count[V] == (who >> i & 1);
		if (good || rdtsc() - start > PATIENCE / 4)
			break;
		irq_window();
	}
	/* nothing comes late either */
	dawdle(2000);
	irq_window();
	for (i = 0; i < n; i++) {
		good &= cpus[i].count[V] == (who >> i & 1);
		text[k++] = '0' + (cpus[i].count[V] & 7);
	}
	text[k] = 0;
	*why = text;
	clear_counts();
	return good;
}

static void test_ipi(const char *mode)
{
	u32 all = (1U << n) - 1;
	const char *why;
	unsigned int i;
	bool good;

	clear_counts();
	quiet = false;
	for (i = 1; i < n; i++)
		run_on(i, listen, NULL);
	for (i = 0; i < n; i++) {
		apic_icr(cpus[i].apic_id, ICR_ASSERT | V);
		good = got(1 << i, &why);
		if (!good)
			break;
	}
	ok(i == n, "%s: physical destination, each CPU (%s)", mode, why);
	apic_icr(0, ICR_OTHERS | ICR_ASSERT | V);
	good = got(all & ~1, &why);
	ok(good, "%s: all but self (%s)", mode, why);
	apic_icr(0, ICR_ALL | ICR_ASSERT | V);
	good = got(all, &why);
	ok(good, "%s: all (%s)", mode, why);
	apic_icr(0, ICR_SELF | ICR_ASSERT | V);
	good = got(1, &why);
	ok(good, "%s: self (%s)", mode, why);
	apic_icr(x2 ? 0xffffffff : 0xff, ICR_ASSERT | V);
	good = got(all, &why);
	ok(good, "%s: physical broadcast (%s)", mode, why);
	quiet = true;
	for (i = 1; i < n; i++)
		wait_done(i);
}

static u32 dfr;

static void set_logical(void *unused)
{
	unsigned int id = this_cpu()->id;

	apic_write(APIC_DFR, dfr);
	/* flat: a bit each; cluster: four to a cluster */
	apic_write(APIC_LDR, (dfr == 0xffffffff ? 1U << id : (id / 4) << 4 | 1U << id % 4) << 24);
}

static void test_logical(void)
{
	const char *why;
	unsigned int i;
	bool good;
	u32 set;

	if (x2) {
		quiet = false;
		for (i = 1; i < n; i++)
			run_on(i, listen, NULL);
		clear_counts();
		for (set = 1; set < 1U << n; set = set * 2 + 1 - (set & 1)) {
			u32 who = 0;

			/* CPUs are numbered as they came up, logical ids follow the APIC ids */
			for (i = 0; i < n; i++)
				who |= (set >> cpus[i].apic_id & 1) << i;
			apic_icr(set, ICR_LOGICAL | ICR_ASSERT | V);
			good = got(who, &why);
			if (!good)
				break;
		}
		ok(good, "x2APIC: logical destination (set %#x: %s)", set, why);
		apic_icr((1U << n) - 1, ICR_LOGICAL | ICR_ASSERT | V);
		good = got((1U << n) - 1, &why);
		ok(good, "x2APIC: logical destination, all of the cluster (%s)", why);
		apic_icr(1 << 16 | 1, ICR_LOGICAL | ICR_ASSERT | V);
		good = got(0, &why);
		ok(good, "x2APIC: logical destination, another cluster: nobody (%s)", why);
		quiet = true;
		for (i = 1; i < n; i++)
			wait_done(i);
		return;
	}
	dfr = 0xffffffff;
	run_all(set_logical, NULL);
	quiet = false;
	for (i = 1; i < n; i++)
		run_on(i, listen, NULL);
	clear_counts();
	for (set = 1; set < 1U << n; set++) {
		apic_icr(set, ICR_LOGICAL | ICR_ASSERT | V);
		good = got(set, &why);
		if (!good)
			break;
		if (n > 4)
			set += 6;
	}
	ok(good, "xAPIC: logical flat, sets of CPUs (%#x: %s)", set, why);
	/* lowest priority: one of them, whichever */
	apic_icr((1U << n) - 1, ICR_LOGICAL | ICR_ASSERT | 0x100 | V);
	{
		unsigned int sum = 0;
		u64 start = rdtsc();

		while (!sum && rdtsc() - start < PATIENCE) {
			irq_window();
			for (sum = 0, i = 0; i < n; i++)
				sum += cpus[i].count[V];
		}
		dawdle(3000);
		irq_window();
		for (sum = 0, i = 0; i < n; i++)
			sum += cpus[i].count[V];
		ok(sum == 1, "xAPIC: lowest priority goes to one (%u)", sum);
		clear_counts();
	}
	quiet = true;
	for (i = 1; i < n; i++)
		wait_done(i);

	dfr = 0x0fffffff;
	run_all(set_logical, NULL);
	quiet = false;
	for (i = 1; i < n; i++)
		run_on(i, listen, NULL);
	clear_counts();
	for (i = 0, good = true; i < n && good; i++) {
		apic_icr((i / 4) << 4 | 1U << i % 4, ICR_LOGICAL | ICR_ASSERT | V);
		good = got(1U << i, &why);
	}
	ok(good, "xAPIC: logical cluster (%s)", why);
	quiet = true;
	for (i = 1; i < n; i++)
		wait_done(i);
	dfr = 0xffffffff;
	run_all(set_logical, NULL);
}

static void test_wake(void)
{
	unsigned int i, round, bad = 0;

	clear_counts();
	quiet = false;
	for (i = 1; i < n; i++)
		run_on(i, sleep_listen, NULL);
	for (round = 1; round <= 60 && !bad; round++) {
		i = 1 + round % (n - 1);
		u32 before = cpus[i].count[V];

		if (round % 3 == 0)
			dawdle(5000);
		apic_icr(cpus[i].apic_id, ICR_ASSERT | V);
		bad += !wait_for(cpus[i].count[V] != before);
	}
	quiet = true;
	barrier();
	for (i = 1; i < n; i++)
		apic_icr(cpus[i].apic_id, ICR_ASSERT | V);
	for (i = 1; i < n; i++)
		wait_done(i);
	ok(!bad, "60 IPIs to CPUs in HLT, each wakes (%u lost)", bad);
}

static volatile u32 nmis[MAX_CPUS];

static bool on_nmi(struct frame *f)
{
	nmis[this_cpu()->id]++;
	return true;
}

static void test_nmi(void)
{
	unsigned int i, good = 0;

	handlers[VECTOR_NMI] = on_nmi;
	for (i = 1; i < n; i++) {
		apic_icr(cpus[i].apic_id, ICR_NMI | ICR_ASSERT);
		good += wait_for(nmis[i] == 1);
	}
	ok(good == n - 1, "NMI to each other CPU (%u)", good);
	apic_icr(0, ICR_NMI | ICR_OTHERS | ICR_ASSERT);
	for (good = 0, i = 1; i < n; i++)
		good += wait_for(nmis[i] == 2);
	ok(good == n - 1, "NMI to all others (%u)", good);
}

/* --- memory ----------------------------------------------------------------------- */
static volatile u64 counter, locked_counter;
static volatile u32 lock;

static void count(void *times)
{
	u64 i;

	for (i = 0; i < (u64)times; i++) {
		asm volatile("lock; incq %0" : "+m"(counter));
		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
			pause();
		locked_counter = locked_counter + 1;
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
		if (i % 1000 == 0)
			cpuid(0);
	}
}

/* two CPUs pass a token back and forth: stores are seen in order */
static volatile u64 token, payload;

static void pass(void *times)
{
	unsigned int id = this_cpu()->id;
	u64 i;

	for (i = id; i < (u64)times; i += n) {
		u64 start = rdtsc();

		while (token != i && rdtsc() - start < 4 * PATIENCE)
			pause();
		if (payload != i * 7)
			token = ~0ULL;
		payload = (i + 1) * 7;
		barrier();
		token = i + 1;
	}
}

/* --- TLB shootdown ---------------------------------------------------------------- */
static u64 *shot_pte;
static u64 shot_page[2];
static volatile u64 generation, acknowledged[MAX_CPUS], stale[MAX_CPUS], reads[MAX_CPUS];
#define SHOT_VA 0x600000000000UL
#define SHOOT 0x70

static bool on_shoot(struct frame *f)
{
	invlpg((void *)SHOT_VA);
	acknowledged[this_cpu()->id] = generation;
	apic_eoi();
	return true;
}

/* Between its acknowledgement and the next shot a CPU must not see the older page. */
static void watch(void *unused)
{
	unsigned int id = this_cpu()->id;

	while (!quiet) {
		u64 g = acknowledged[id], v;

		cli();
		g = acknowledged[id];
		v = *(volatile u64 *)SHOT_VA;
		/* the table may be newer than the acknowledgement, never older */
		if (v < g)
			stale[id]++;
		reads[id]++;
		sti();
		pause();
	}
	cli();
}

static void test_shootdown(void)
{
	unsigned int i, lost = 0;
	u64 g, bad = 0;

	shot_page[0] = (u64)alloc_page();
	shot_page[1] = (u64)alloc_page();
	*(volatile u64 *)shot_page[0] = 0;
	shot_pte = map(boot_pml4, SHOT_VA, shot_page[0] | PTE_P | PTE_W, 1);
	handlers[SHOOT] = on_shoot;
	quiet = false;
	for (i = 1; i < n; i++)
		run_on(i, watch, NULL);
	for (i = 1; i < n; i++)
		wait_for(reads[i] > 10);
	for (g = 1; g <= 60; g++) {
		u64 page = shot_page[g & 1];

		/* the page that is mapped no more holds the older number */
		*(volatile u64 *)page = g;
		*(volatile u64 *)shot_pte = page | PTE_P | PTE_W;
		generation = g;
		barrier();
		apic_icr(0, ICR_OTHERS | ICR_ASSERT | SHOOT);
		for (i = 1; i < n; i++)
			lost += !wait_for(acknowledged[i] == g);
		if (lost)
			break;
	}
	quiet = true;
	for (i = 1; i < n; i++) {
		wait_done(i);
		bad += stale[i];
	}
	ok(!lost, "TLB shootdown by IPI: all answer, 60 times (%lu)", g);
	ok(!bad, "... and none reads through the old entry (%lu)", bad);
}

/* --- time -------------------------------------------------------------------------- */
static volatile u64 last_tsc;
static volatile u32 tsc_lock;
static volatile u64 backwards, worst;

static void check_tsc(void *times)
{
	u64 i, t;

	for (i = 0; i < (u64)times; i++) {
		while (__atomic_exchange_n(&tsc_lock, 1, __ATOMIC_ACQUIRE))
			pause();
		t = rdtsc();
		if (t < last_tsc) {
			backwards = backwards + 1;
			if (last_tsc - t > worst)
				worst = last_tsc - t;
		}
		last_tsc = t;
		__atomic_store_n(&tsc_lock, 0, __ATOMIC_RELEASE);
		pause();
	}
}

/* --- INIT and SIPI ----------------------------------------------------------------- */
static void test_restart(void)
{
	/* a CPU that runs ignores SIPI */
	apic_icr(cpus[1].apic_id, ICR_SIPI | ICR_ASSERT | 0x20);
	dawdle(10000);
	cpus[1].count[V] = 0;
	run_on(1, count, (void *)10);
	wait_done(1);
	ok(true, "SIPI to a running CPU is ignored");
}

static void test_ids(void)
{
	unsigned int i;
	u32 seen = 0;

	for (i = 0; i < n; i++)
		if (cpus[i].apic_id < 32)
			seen |= 1U << cpus[i].apic_id;
	ok(seen == (1U << n) - 1, "APIC ids are 0 to %u (%#x)", n - 1, seen);
}

static volatile u32 cpuid_ids[MAX_CPUS];

static void note_id(void *unused)
{
	cpuid_ids[this_cpu()->id] = cpuid(1).b >> 24;
}

/*
 * More virtual CPUs than the host has is the normal case here, and spinning ones are not
 * told apart from working ones everywhere: the rounds are few because each may cost a
 * time slice.
 */
int main(void)
{
	unsigned int expected, i, good;

	cpu_start(0);
	pic_init(0x20);
	apic_enable(false);
	handlers[V] = count_and_eoi;
	expected = cpus_expected();
	n = smp_start();
	ok(n == expected, "INIT, SIPI, SIPI start all CPUs (%u of %u)", n, expected);
	if (n == 1) {
		skip("one CPU only");
		return finish_tests();
	}
	test_ids();
	run_all(note_id, NULL);
	for (good = i = 0; i < n; i++)
		good += cpuid_ids[i] == cpus[i].apic_id;
	ok(good == n, "CPUID tells each its APIC id (%u)", good);
	test_ipi("xAPIC");
	test_logical();
	test_wake();
	test_nmi();
	run_all(count, (void *)1000);
	ok(counter == n * 1000 && locked_counter == n * 1000, "LOCK INC and a spinlock: %lu and %lu of %u",
	   counter, locked_counter, n * 1000);
	run_all(pass, (void *)(n * 40UL));
	ok(token == n * 40UL, "stores are seen in order (%lu)", token);
	test_shootdown();
	run_all(check_tsc, (void *)500);
	ok_strict(!backwards, "the TSC never goes back from one CPU to another (%lu times, %lu ticks)", backwards, worst);
	test_restart();
	if (apic_has_x2()) {
		x2 = true;
		run_all(go_x2, NULL);
		for (i = 0; i < n; i++)
			cpus[i].apic_id = cpuid_ids[i];
		test_ipi("x2APIC");
		test_logical();
		test_wake();
		memset((void *)nmis, 0, sizeof(nmis));
		test_nmi();
	} else {
		skip("no x2APIC");
	}
	return finish_tests();
}

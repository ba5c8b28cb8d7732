// SPDX-License-Identifier: GPL-2.0-only
/*
 * x87, SSE and AVX registers belong to the guest alone: they survive exits to the
 * kernel and to user space, and other CPUs, each with contents of its own.
 */
#include "guest.h"

#define CR4_OSXSAVE (1 << 18)

struct vectors {
	u8 v[16][32];
	u8 x87[8][16];
	u32 mxcsr;
	u16 fcw, pad;
} __attribute__((aligned(64)));

static bool avx;

static u64 xgetbv(void)
{
	u32 a, d;

	asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return (u64)d << 32 | a;
}

static void xsetbv(u64 v)
{
	asm volatile("xsetbv" : : "c"(0), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

#define REGS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

static void load(const struct vectors *s)
{
	int i;

	if (avx) {
#define X(n) asm volatile("vmovdqu %0, %%ymm" #n : : "m"(s->v[n]));
		REGS(X)
#undef X
	} else {
#define X(n) asm volatile("movdqu %0, %%xmm" #n : : "m"(s->v[n]));
		REGS(X)
#undef X
	}
	asm volatile("fninit; fldcw %0" : : "m"(s->fcw));
	for (i = 7; i >= 0; i--)
		asm volatile("fldt %0" : : "m"(s->x87[i]));
	asm volatile("ldmxcsr %0" : : "m"(s->mxcsr));
}

static void store(struct vectors *s)
{
	int i;

	if (avx) {
#define X(n) asm volatile("vmovdqu %%ymm" #n ", %0" : "=m"(s->v[n]));
		REGS(X)
#undef X
	} else {
#define X(n) asm volatile("movdqu %%xmm" #n ", %0" : "=m"(s->v[n]));
		REGS(X)
#undef X
	}
	asm volatile("stmxcsr %0" : "=m"(s->mxcsr));
	asm volatile("fnstcw %0" : "=m"(s->fcw));
	for (i = 0; i < 8; i++)
		asm volatile("fstpt %0" : "=m"(s->x87[i]));
}

static void fill(struct vectors *s, u32 seed)
{
	unsigned int i, j;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < 16; i++)
		for (j = 0; j < (avx ? 32 : 16); j++)
			s->v[i][j] = seed = seed * 1103515245 + 12345;
	for (i = 0; i < 8; i++) {
		/* a normal number: the explicit integer bit, a sane exponent */
		for (j = 0; j < 7; j++)
			s->x87[i][j] = seed = seed * 1103515245 + 12345;
		s->x87[i][7] = 0x80 | i;
		s->x87[i][8] = 0x10 + i;
		s->x87[i][9] = 0x40;
	}
	s->mxcsr = 0x1f80 | (seed & 0x6000);
	s->fcw = 0x037f | (seed >> 4 & 0xc00);
}

/* --- things that exit ------------------------------------------------------------ */
static void by_cpuid(void) { cpuid(0); }
static void by_port(void) { inb(0x21); }
static void by_msr(void) { rdmsr(0x1b); }
static void by_apic(void) { apic_read(APIC_VERSION); }
static void by_ioapic(void) { ioapic_read(1); }
static void by_wait(void) { dawdle(20000); }
static void by_print(void) { print("# a line through the UART\n"); }

static void by_halt(void)
{
	apic_write(APIC_LVTT, 0x61);
	apic_write(APIC_TMICT, 100000);
	halt();
}

static void by_interrupt(void)
{
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0x61);
	irq_window();
}

static bool kept(void (*what)(void), u32 seed)
{
	static struct vectors a, b;

	fill(&a, seed);
	load(&a);
	what();
	memset(&b, 0, sizeof(b));
	store(&b);
	return !memcmp(&a, &b, sizeof(a));
}

static void test_kept(void)
{
	static const struct { void (*fn)(void); const char *name; } ways[] = {
		{ by_cpuid, "CPUID" }, { by_port, "IN" }, { by_msr, "RDMSR" }, { by_apic, "the local APIC" },
		{ by_ioapic, "MMIO in user space" }, { by_halt, "HLT" }, { by_interrupt, "an interrupt" },
		{ by_wait, "time passing" }, { by_print, "output" },
	};
	unsigned int i, n, good;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		for (n = good = 0; n < 10; n++)
			good += kept(ways[i].fn, i * 100 + n + 1);
		ok(good == 10, "%s registers survive %s", avx ? "x87, SSE and AVX" : "x87 and SSE", ways[i].name);
	}
}

/* --- lazy state, XSAVE -------------------------------------------------------------- */
static volatile unsigned int nm;

static bool on_nm(struct frame *f)
{
	nm++;
	asm volatile("clts");
	wcr0(rcr0() & ~4ULL);
	return true;
}

static void test_lazy(void)
{
	static struct vectors a, b;

	handlers[VECTOR_NM] = on_nm;
	fill(&a, 77);
	load(&a);
	wcr0(rcr0() | 8);
	cpuid(0);
	inb(0x21);
	memset(&b, 0, sizeof(b));
	store(&b);
	ok(nm == 1, "CR0.TS: one #NM (%u)", nm);
	ok(!memcmp(&a, &b, sizeof(a)), "... and the registers are still there");
	ok(!(rcr0() & 8), "CLTS in the handler holds");
	nm = 0;
	wcr0(rcr0() | 8);
	cpuid(0);
	ok(rcr0() & 8, "CR0.TS survives exits");
	asm volatile("clts");
	wcr0(rcr0() | 4);
	ok(TRY("fnop", : : ) == -1 && nm == 1, "CR0.EM: x87 is #NM (%u)", nm);
	handlers[VECTOR_NM] = NULL;
	asm volatile("clts");
}

static void test_xsave(void)
{
	static u8 area[4096] __attribute__((aligned(64))), area2[4096] __attribute__((aligned(64)));
	static struct vectors a, b;
	u64 all = xgetbv();
	u32 size = cpuid2(0xd, 0).b;

	if (size > sizeof(area)) {
		skip("XSAVE area of %u bytes", size);
		return;
	}
	fill(&a, 99);
	load(&a);
	/* FSTP of all eight registers empties the stack: save first */
	asm volatile("xsave %0" : "+m"(area) : "a"((u32)all), "d"((u32)(all >> 32)) : "memory");
	store(&b);
	fill(&b, 1234);
	load(&b);
	cpuid(0);
	asm volatile("xrstor %0" : : "m"(area), "a"((u32)all), "d"((u32)(all >> 32)) : "memory");
	inb(0x21);
	store(&b);
	ok(!memcmp(&a, &b, sizeof(a)), "XSAVE, XRSTOR with exits between (%u bytes)", size);
	memset(area + 512, 0, 64);	/* XSTATE_BV = 0: everything in its initial state */
	memset(area2, 0, sizeof(area2));
	asm volatile("xrstor %0" : : "m"(area), "a"((u32)all), "d"((u32)(all >> 32)) : "memory");
	cpuid(0);
	asm volatile("xsave %0" : "+m"(area2) : "a"((u32)all), "d"((u32)(all >> 32)) : "memory");
	{
		unsigned int i, n = 0;

		for (i = 0; i < 256; i++)
			n += !!area2[160 + i];
		ok(!n, "initial state: XMM registers are zero after XRSTOR of nothing (%u)", n);
	}
	area[512 + 20] = 0x80;
	ok(TRY("xrstor %0", : : "m"(area), "a"(-1), "d"(-1)) == VECTOR_GP || on_tcg(), "XRSTOR with a reserved header is #GP");
	if (cpuid2(0xd, 1).a & 1)
		ok(TRY("xsaveopt %0", : "+m"(area2) : "a"(-1), "d"(-1) : "memory") < 0, "XSAVEOPT");
	else
		skip("no XSAVEOPT");
	if (cpuid2(0xd, 1).a & 2)
		ok(TRY("xsavec %0", : "+m"(area2) : "a"(-1), "d"(-1) : "memory") < 0, "XSAVEC");
	else
		skip("no XSAVEC");
	asm volatile("fninit");
}

/* AVX off in XCR0, exits, on again: the upper halves are not the host's */
static void test_xcr0(void)
{
	static struct vectors a, b;
	u64 all = xgetbv();
	unsigned int i, j, bad = 0;

	if (!avx) {
		skip("no AVX");
		return;
	}
	fill(&a, 4242);
	load(&a);
	xsetbv(3);
	for (i = 0; i < 20; i++) {
		cpuid(0);
		inb(0x21);
		apic_read(APIC_VERSION);
	}
	ok(xgetbv() == 3, "XCR0 survives exits");
	ok(TRY("vmovdqu %%ymm0, %0", : "=m"(b.v[0])) == VECTOR_UD, "AVX switched off in XCR0 is #UD");
	dawdle(100000);
	xsetbv(all);
	store(&b);
	for (i = 0; i < 16; i++)
		for (j = 0; j < 16; j++)
			bad += a.v[i][j] != b.v[i][j];
	ok(!bad, "XMM registers survive while XCR0 differs from the host's (%u)", bad);
	for (i = bad = 0; i < 16; i++)
		for (j = 16; j < 32; j++)
			bad += b.v[i][j] && a.v[i][j] != b.v[i][j];
	ok(!bad, "upper halves are the guest's or zero (%u)", bad);
}

/* --- several CPUs --------------------------------------------------------------------- */
static volatile unsigned int wrong[MAX_CPUS];

static void hammer(void *rounds)
{
	static struct vectors a[MAX_CPUS], b[MAX_CPUS];
	unsigned int i, id = this_cpu()->id;

	if (cpuid(1).c & 1 << 26) {
		wcr4(rcr4() | CR4_OSXSAVE);
		xsetbv(3 | (avx ? 4 : 0));
	}
	for (i = 0; i < (u64)rounds; i++) {
		fill(&a[id], id * 1000003 + i);
		load(&a[id]);
		switch (i % 4) {
		case 0:
			cpuid(0);
			break;
		case 1:
			inb(0x80);
			break;
		case 2:
			dawdle(2000);
			break;
		case 3:
			apic_read(APIC_VERSION);
			break;
		}
		store(&b[id]);
		wrong[id] += !!memcmp(&a[id], &b[id], sizeof(a[id]));
	}
}

int main(void)
{
	unsigned int n, i, bad = 0;

	cpu_start(0);
	pic_init(0x20);
	apic_enable(false);
	handlers[0x61] = count_and_eoi;
	asm volatile("fninit");
	test_kept();
	test_lazy();
	if (cpuid(1).c & 1 << 26) {
		wcr4(rcr4() | CR4_OSXSAVE);
		if (cpuid(1).c & 1 << 28) {
			xsetbv(7);
			avx = true;
			test_kept();
		} else {
			xsetbv(3);
		}
		test_xsave();
		test_xcr0();
	} else {
		skip("no XSAVE");
	}
	n = smp_start();
	if (n > 1) {
		run_all(hammer, (void *)400);
		for (i = 0; i < n; i++)
			bad += wrong[i];
		ok(!bad, "%u CPUs, each with registers of its own (%u wrong)", n, bad);
	} else {
		hammer((void *)400);
		ok(!wrong[0], "one CPU, 400 rounds (%u wrong)", wrong[0]);
	}
	return finish_tests();
}

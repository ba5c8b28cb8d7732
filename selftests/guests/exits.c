// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that a hypervisor has to carry out itself: each must leave the
 * registers, flags, memory and traps that the processor's manual says.
 */
#include "guest.h"

/* --- CPUID ------------------------------------------------------------------ */
static void test_cpuid(void)
{
	struct regs4 r0 = cpuid(0), r1 = cpuid(1), r, h;
	u64 before, after, rbx;
	u32 max, ext;

	max = r0.a;
	ok(max >= 1 && max < 0x100, "CPUID: highest basic leaf is %#x", max);
	ext = cpuid(0x80000000).a;
	ok(ext >= 0x80000008 && ext < 0x80000100, "CPUID: highest extended leaf is %#x", ext);
	ok(!(r1.c & 1U << 27) == !(rcr4() & 1U << 18), "CPUID: OSXSAVE follows CR4");
	if (r1.c & 1U << 26) {
		wcr4(rcr4() | 1 << 18);
		ok(cpuid(1).c & 1U << 27, "CPUID: OSXSAVE appears with CR4.OSXSAVE");
		wcr4(rcr4() & ~(1ULL << 18));
		ok(!(cpuid(1).c & 1U << 27), "CPUID: OSXSAVE goes with CR4.OSXSAVE");
	} else {
		skip("CPUID: no XSAVE");
	}
	ok(!!(r1.d & 1 << 9) == !!(rdmsr(0x1b) & 0x800), "CPUID: APIC bit follows IA32_APIC_BASE");
	ok(r1.b >> 24 == apic_read(APIC_ID) >> 24, "CPUID: initial APIC id agrees with the APIC");

	/* upper halves are cleared, flags stay */
	asm volatile("stc; pushf; pop %0\n"
		     "mov $-1, %%rax; mov $-1, %%rbx; mov $0, %%ecx; mov $-1, %%rdx; mov $0, %%eax\n"
		     "cpuid\n"
		     "mov %%rbx, %2; pushf; pop %1"
		     : "=&r"(before), "=&r"(after), "=&r"(rbx) : : "rax", "rbx", "rcx", "rdx", "cc");
	ok(before == after, "CPUID: flags unchanged");
	ok(rbx == r0.b, "CPUID: upper half of RBX is zero");

	r = cpuid(max + 0x100);
	ok(true, "CPUID: a leaf above the highest does not fault (%#x %#x %#x %#x)", r.a, r.b, r.c, r.d);

	if (!has_hypervisor()) {
		skip("no hypervisor bit: running on a bare emulator");
		return;
	}
	h = cpuid(0x40000000);
	ok(h.a >= 0x40000000 && h.a < 0x40010000, "CPUID: highest hypervisor leaf is %#x", h.a);
	print("# hypervisor signature %#x %#x %#x\n", h.b, h.c, h.d);
}

static void test_prefixed(void)
{
	u32 a, b, c, d;
	long v;

	v = TRY(".byte 0xf3, 0x0f, 0xa2", : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	ok(v < 0 && b == cpuid(0).b, "REP CPUID is CPUID");
	v = TRY(".byte 0x66, 0x0f, 0xa2", : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	ok(v < 0 && b == cpuid(0).b, "operand-size CPUID is CPUID");
	v = TRY(".byte 0x48, 0x0f, 0xa2", : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	ok(v < 0 && b == cpuid(0).b, "REX.W CPUID is CPUID");
	v = TRY(".byte 0x2e, 0x3e, 0x64, 0x67, 0xf2, 0x0f, 0xa2", : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	ok(v < 0 && b == cpuid(0).b, "CPUID with five prefixes");
	v = TRY(".byte 0xf0, 0x0f, 0xa2", : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	ok_strict(v == VECTOR_UD, "LOCK CPUID is #UD (vector %ld)", v);
	v = TRY(".byte 0xf3, 0x0f, 0x32", : "=a"(a), "=d"(d) : "c"(0x1b));
	ok(v < 0 && a == (u32)rdmsr(0x1b), "REP RDMSR is RDMSR");
	v = TRY(".byte 0xf0, 0x0f, 0x32", : "=a"(a), "=d"(d) : "c"(0x1b));
	ok_strict(v == VECTOR_UD, "LOCK RDMSR is #UD (vector %ld)", v);
}

/* --- MSRs --------------------------------------------------------------------- */
static void test_msrs(void)
{
	static const struct { u32 i; const char *name; } known[] = {
		{ 0x10, "TSC" }, { 0x1b, "APIC_BASE" }, { 0xfe, "MTRRCAP" }, { 0x174, "SYSENTER_CS" },
		{ 0x175, "SYSENTER_ESP" }, { 0x176, "SYSENTER_EIP" }, { 0x277, "PAT" },
		{ 0x2ff, "MTRR_DEF_TYPE" }, { 0x179, "MCG_CAP" }, { 0xc0000080, "EFER" },
		{ 0xc0000081, "STAR" }, { 0xc0000082, "LSTAR" }, { 0xc0000083, "CSTAR" },
		{ 0xc0000084, "FMASK" }, { 0xc0000100, "FS_BASE" }, { 0xc0000101, "GS_BASE" },
		{ 0xc0000102, "KERNEL_GS_BASE" },
	};
	static const struct { u32 i; u64 v; const char *name; } writable[] = {
		{ 0x174, 0x1234, "SYSENTER_CS" }, { 0x175, 0xffff800012345678, "SYSENTER_ESP" },
		{ 0x176, 0xffff800087654321, "SYSENTER_EIP" }, { 0xc0000081, 0x0023001000000000, "STAR" },
		{ 0xc0000082, 0xffff8000aaaaaaa0, "LSTAR" }, { 0xc0000083, 0xffff8000bbbbbbb0, "CSTAR" },
		{ 0xc0000084, 0x47700, "FMASK" }, { 0xc0000100, 0xffff800055555550, "FS_BASE" },
		{ 0xc0000102, 0x123456789000, "KERNEL_GS_BASE" },
	};
	u64 v, old, r, rax;
	unsigned int i;
	long x;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		x = try_rdmsr(known[i].i, &v);
		ok(x < 0, "RDMSR %s (%#lx, vector %ld)", known[i].name, v, x);
	}
	for (i = 0; i < ARRAY_SIZE(writable); i++) {
		old = rdmsr(writable[i].i);
		x = try_wrmsr(writable[i].i, writable[i].v);
		r = rdmsr(writable[i].i);
		wrmsr(writable[i].i, old);
		ok(x < 0 && r == writable[i].v, "WRMSR %s keeps %#lx (vector %ld)", writable[i].name, r, x);
	}

	/* An emulator without a hypervisor may answer unknown MSRs; a hypervisor must not. */
	if (has_hypervisor()) {
		static const u32 unknown[] = { 0x4, 0x3333, 0x40001234, 0xc0001fff, 0xdeadbeef, 0xffffffff };

		for (i = 0; i < ARRAY_SIZE(unknown); i++) {
			x = try_rdmsr(unknown[i], &v);
			ok(x == VECTOR_GP && !this_cpu()->trap.error, "RDMSR %#x is #GP(0) (vector %ld)", unknown[i], x);
			x = try_wrmsr(unknown[i], 0);
			ok(x == VECTOR_GP && !this_cpu()->trap.error, "WRMSR %#x is #GP(0) (vector %ld)", unknown[i], x);
		}
	} else {
		skip("unknown MSRs");
	}

	/* values that the architecture refuses */
	ok_strict(try_wrmsr(0xc0000082, 1ULL << 62) == VECTOR_GP, "WRMSR LSTAR, not canonical: #GP");
	ok_strict(try_wrmsr(0xc0000100, 1ULL << 62) == VECTOR_GP, "WRMSR FS_BASE, not canonical: #GP");
	ok_strict(try_wrmsr(0xc0000102, 0x800000000000) == VECTOR_GP, "WRMSR KERNEL_GS_BASE, not canonical: #GP");
	if (has_hypervisor()) {
		ok(try_wrmsr(0x277, 0x0202020202020202) == VECTOR_GP, "WRMSR PAT with type 2: #GP");
		ok(try_wrmsr(0xc0000080, rdmsr(0xc0000080) | 1ULL << 40) == VECTOR_GP, "WRMSR EFER, reserved bit: #GP");
	} else {
		skip("PAT and EFER checks");
		skip("PAT and EFER checks");
	}
	x = try_wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x100ULL);
	ok_strict(x == VECTOR_GP, "WRMSR EFER.LME off with paging on (vector %ld)", x);
	if (x < 0)
		wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x100);

	/* EDX:EAX only: upper halves become zero, ECX's upper half is ignored */
	asm volatile("mov $-1, %%rax; mov $-1, %%rdx; mov $0xffffffff0000001b, %%rcx; rdmsr"
		     : "=a"(rax), "=d"(v) : : "rcx");
	ok(rax >> 32 == 0 && v >> 32 == 0, "RDMSR clears the upper halves");
	ok((rax & 0xfffff000) == 0xfee00000, "RDMSR ignores the upper half of RCX");
	ok(rdmsr(0x1b) & 0x100, "APIC_BASE: this is the bootstrap processor");
}

/* --- ports -------------------------------------------------------------------- */
/*
 * CMOS (0x70, 0x71) answers on every machine, 0x80 takes writes, the PIT's and the
 * 8259's registers keep values, port 0xeee0 is nobody's: it reads as ones.
 */
static void test_ports(void)
{
	static u8 buffer[64];
	u64 rax, rsi, rdi, rcx;
	u32 v;

	outb(0x21, 0xa5);
	ok(inb(0x21) == 0xa5, "OUTB, INB: 8259's mask");
	outb(0x21, 0xff);
	asm volatile("mov $-1, %%rax; in $0x21, %%al" : "=a"(rax));
	ok(rax == ~0ULL, "INB keeps RAX above AL");
	asm volatile("mov $-1, %%rax; mov $0xeee0, %%edx; in %%dx, %%eax" : "=a"(rax) : : "rdx");
	ok(rax == 0xffffffff, "INL of nobody's port is ones, clears the upper half of RAX (%#lx)", rax);
	asm volatile("mov $0x1122334455667788, %%rax; mov $0xeee0, %%edx; in %%dx, %%ax" : "=a"(rax) : : "rdx");
	ok(rax == 0x112233445566ffff, "INW keeps RAX above AX (%#lx)", rax);
	ok(inw(0xeee0) == 0xffff && inb(0xeee0) == 0xff, "INW, INB of nobody's port");
	outl(0xeee0, 0x12345678);
	outw(0xeee0, 0x1234);
	outb(0xeee0, 0x12);
	ok(true, "OUTL, OUTW, OUTB to nobody's port");
	asm volatile("outb %%al, $0x80" : : "a"(1));

	/* strings */
	rdi = (u64)buffer;
	rcx = 8;
	memset(buffer, 0, sizeof(buffer));
	asm volatile("cld; rep insb" : "+D"(rdi), "+c"(rcx) : "d"(0x21) : "memory");
	ok(rcx == 0 && rdi == (u64)buffer + 8 && buffer[0] == 0xff && buffer[7] == 0xff && !buffer[8],
	   "REP INSB: 8 bytes, RDI and RCX");
	rdi = (u64)buffer + 32;
	rcx = 3;
	memset(buffer, 0, sizeof(buffer));
	asm volatile("std; rep insw; cld" : "+D"(rdi), "+c"(rcx) : "d"(0xeee0) : "memory");
	ok(rcx == 0 && rdi == (u64)buffer + 26 && buffer[28] == 0xff && buffer[32] == 0xff && !buffer[26],
	   "REP INSW downwards");
	rdi = (u64)buffer;
	asm volatile("insl" : "+D"(rdi) : "d"(0xeee0) : "memory");
	ok(rdi == (u64)buffer + 4 && buffer[3] == 0xff, "INSL");
	rsi = (u64)buffer;
	rcx = 4;
	memcpy(buffer, "\x11\x22\x44\x88", 4);
	asm volatile("rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(0x21) : "memory");
	ok(rcx == 0 && rsi == (u64)buffer + 4 && inb(0x21) == 0x88, "REP OUTSB: last byte stays");
	rsi = (u64)buffer;
	rcx = 0;
	asm volatile("rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(0x21) : "memory");
	ok(rcx == 0 && rsi == (u64)buffer, "REP OUTSB with RCX = 0 does nothing");
	rsi = (u64)buffer;
	asm volatile("outsl" : "+S"(rsi) : "d"(0xeee0) : "memory");
	ok(rsi == (u64)buffer + 4, "OUTSL");
	rsi = (u64)buffer;
	asm volatile("outsw" : "+S"(rsi) : "d"(0xeee0) : "memory");
	ok(rsi == (u64)buffer + 2, "OUTSW");
	outb(0x21, 0xff);

	/* a page fault inside the string: finished iterations count, the fault is exact */
	{
		u64 va = 0x200000000000, page = (u64)alloc_page();
		long x;

		map(boot_pml4, va, page | PTE_P | PTE_W, 1);
		rdi = va + 4096 - 8;
		rcx = 16;
		x = TRY("rep insb", : "+D"(rdi), "+c"(rcx) : "d"(0x21) : "memory");
		ok(x == VECTOR_PF && this_cpu()->trap.cr2 == va + 4096 && rcx == 8 && rdi == va + 4096,
		   "REP INSB into an unmapped page: #PF after 8 of 16 (vector %ld cr2 %#lx rcx %lu)",
		   x, this_cpu()->trap.cr2, rcx);
		ok(this_cpu()->trap.error == 2, "... as a write (error %#lx)", this_cpu()->trap.error);
		rsi = va + 4096 - 4;
		rcx = 8;
		x = TRY("rep outsb", : "+S"(rsi), "+c"(rcx) : "d"(0xeee0) : "memory");
		ok(x == VECTOR_PF && this_cpu()->trap.cr2 == va + 4096 && rcx == 4 && this_cpu()->trap.error == 0,
		   "REP OUTSB from an unmapped page: #PF after 4 of 8 (vector %ld rcx %lu)", x, rcx);
	}
	/* a long string: more than any one exit's buffer */
	{
		u8 *big = alloc(8192, 4096);

		memset(big, 0, 8192);
		rdi = (u64)big;
		rcx = 5000;
		asm volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(0x21) : "memory");
		for (v = 0; v < 5000 && big[v] == 0xff; v++)
			;
		ok(v == 5000 && !big[5000] && rcx == 0, "REP INSB of 5000 bytes");
	}
}

/* --- MMIO: the IOAPIC's window and the local APIC's page -------------------------- */
#define IO_SELECT 0xfec00000UL
#define IO_WINDOW 0xfec00010UL
#define ICR_HIGH 0xfee00310UL	/* keeps bits 24-31 */
#define ICR2 (apic[APIC_ICR2 / 4] & 0xff000000)

static void test_mmio(void)
{
	volatile u32 *apic = (volatile u32 *)0xfee00000;
	volatile u32 *window = (volatile u32 *)IO_WINDOW;
	static u32 buffer[16];
	u64 rax, rsi, rdi, rcx, t;
	u32 version, v;

	ioapic_write(0, 0);
	version = ioapic_read(1);
	ok((version >> 16 & 0xff) >= 15, "IOAPIC: version register %#x", version);

	/* loads */
	*(volatile u32 *)IO_SELECT = 1;
	asm volatile("mov (%1), %%eax" : "=a"(rax) : "r"(IO_WINDOW));
	ok(rax == version, "MOV r32, m32");
	asm volatile("mov $-1, %%r15; mov (%1), %%r15d; mov %%r15, %0" : "=r"(rax) : "r"(IO_WINDOW) : "r15");
	ok(rax == version, "MOV r15d, m32 clears the upper half");
	asm volatile("mov 0x10(%1, %2, 4), %0" : "=r"(v) : "r"(IO_SELECT - 64), "r"(16UL));
	ok(v == version, "MOV with SIB and displacement");
	asm volatile("movabs 0xfec00010, %%eax" : "=a"(v));
	ok(v == version, "MOV EAX, moffs32");
	rsi = IO_WINDOW;
	asm volatile("lodsl" : "=a"(v), "+S"(rsi));
	ok(v == version && rsi == IO_WINDOW + 4, "LODSD");
	asm volatile("mov $0, %0; or (%1), %0" : "=&r"(v) : "r"(IO_WINDOW));
	ok(v == version, "OR r32, m32");
	asm volatile("mov $0, %0; add (%1), %0" : "=&r"(v) : "r"(IO_WINDOW));
	ok(v == version, "ADD r32, m32");
	asm volatile("mov $-1, %0; and (%1), %0" : "=&r"(v) : "r"(IO_WINDOW));
	ok(v == version, "AND r32, m32");
	asm volatile("cmp %2, (%1); pushf; pop %0" : "=r"(rax) : "r"(IO_WINDOW), "r"(version));
	ok(rax & 0x40, "CMP m32, r32: equal");
	asm volatile("cmpl $0, (%1); pushf; pop %0" : "=r"(rax) : "r"(IO_WINDOW));
	ok(!(rax & 0x40), "CMP m32, imm: not equal");
	asm volatile("testl $0x00ff0000, (%1); pushf; pop %0" : "=r"(rax) : "r"(IO_WINDOW));
	ok(!(rax & 0x40), "TEST m32, imm");
	asm volatile("test %2, (%1); pushf; pop %0" : "=r"(rax) : "r"(IO_WINDOW), "r"(0));
	ok(rax & 0x40, "TEST m32, r32");

	/* stores */
	asm volatile("movl $0x12000000, (%0)" : : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0x12000000, "MOV m32, imm32");
	asm volatile("mov %0, (%1)" : : "r"(0x34000000), "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0x34000000, "MOV m32, r32");
	asm volatile("movabs %%eax, 0xfee00310" : : "a"(0x56000000) : "memory");
	ok(ICR2 == 0x56000000, "MOV moffs32, EAX");
	rdi = ICR_HIGH;
	asm volatile("stosl" : "+D"(rdi) : "a"(0x78000000) : "memory");
	ok(ICR2 == 0x78000000 && rdi == ICR_HIGH + 4, "STOSD");
	buffer[0] = 0x9a000000;
	rsi = (u64)buffer;
	rdi = ICR_HIGH;
	asm volatile("movsl" : "+S"(rsi), "+D"(rdi) : : "memory");
	ok(ICR2 == 0x9a000000 && rsi == (u64)&buffer[1], "MOVSD memory to MMIO");
	rsi = ICR_HIGH;
	rdi = (u64)buffer;
	buffer[0] = 0;
	asm volatile("movsl" : "+S"(rsi), "+D"(rdi) : : "memory");
	ok(buffer[0] == 0x9a000000, "MOVSD MMIO to memory");

	/* read-modify-write */
	apic[APIC_ICR2 / 4] = 0x01000000;
	asm volatile("orl $0x10000000, (%0)" : : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0x11000000, "OR m32, imm32");
	asm volatile("andl $0x01000000, (%0)" : : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0x01000000, "AND m32, imm32");
	asm volatile("xor %0, (%1)" : : "r"(0x03000000), "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0x02000000, "XOR m32, r32");
	asm volatile("add %2, (%1); pushf; pop %0" : "=r"(rax) : "r"(ICR_HIGH), "r"(0xfe000000) : "memory");
	ok(ICR2 == 0 && (rax & 0x41) == 0x41, "ADD m32, r32 sets ZF and CF");
	asm volatile("subl $0x01000000, (%1); pushf; pop %0" : "=r"(rax) : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0xff000000 && (rax & 0x81) == 0x81, "SUB m32, imm sets SF and CF");
	asm volatile("notl (%0)" : : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0, "NOT m32");
	apic[APIC_ICR2 / 4] = 0x01000000;
	asm volatile("negl (%0)" : : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0xff000000, "NEG m32");
	asm volatile("btsl $24, (%1); pushf; pop %0" : "=r"(rax) : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0xff000000 && rax & 1, "BTS m32, imm8: was set");
	asm volatile("btrl $24, (%0)" : : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0xfe000000, "BTR m32, imm8");
	v = 0x42000000;
	asm volatile("xchg %0, (%1)" : "+r"(v) : "r"(ICR_HIGH) : "memory");
	ok(v == 0xfe000000 && ICR2 == 0x42000000, "XCHG m32, r32");
	v = 0x01000000;
	asm volatile("lock; xadd %0, (%1)" : "+r"(v) : "r"(ICR_HIGH) : "memory");
	ok(v == 0x42000000 && ICR2 == 0x43000000, "LOCK XADD m32, r32");
	v = 0x43000000;
	asm volatile("lock; cmpxchg %2, (%1)" : "+a"(v) : "r"(ICR_HIGH), "r"(0x55000000) : "memory", "cc");
	ok(ICR2 == 0x55000000, "LOCK CMPXCHG m32, r32: equal");
	v = 0;
	asm volatile("lock; cmpxchg %2, (%1)" : "+a"(v) : "r"(ICR_HIGH), "r"(0x66000000) : "memory", "cc");
	ok(v == 0x55000000 && ICR2 == 0x55000000, "LOCK CMPXCHG m32, r32: not equal");
	asm volatile("incl (%0)" : : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0x55000000, "INC m32");
	asm volatile("shll $1, (%0)" : : "r"(ICR_HIGH) : "memory");
	ok(ICR2 == 0xaa000000, "SHL m32, 1");

	/* the other way of moving 8 bytes: only that it does not fault */
	asm volatile("push (%1); pop %0" : "=r"(rax) : "r"(0xfd000000UL) : "memory");
	ok(true, "PUSH m64 from MMIO (%#lx)", rax);

	/* narrow accesses to the IOAPIC's index register, which is 8 bits wide */
	asm volatile("movb $1, (%0)" : : "r"(IO_SELECT) : "memory");
	ok(*window == version, "MOV m8, imm8 to the index register");
	asm volatile("mov %%cl, (%0)" : : "r"(IO_SELECT), "c"(0) : "memory");
	ok(*window != version, "MOV m8, r8 to the index register");
	asm volatile("mov %%ch, (%0)" : : "D"(IO_SELECT), "c"(0x100) : "memory");
	ok(*window == version, "MOV m8, CH to the index register");
	asm volatile("movzbl (%1), %0" : "=r"(v) : "r"(IO_SELECT));
	ok(v == 1, "MOVZX r32, m8 (%#x)", v);
	asm volatile("movsbq (%1), %0" : "=r"(rax) : "r"(IO_SELECT));
	ok(rax == 1, "MOVSX r64, m8 (%#lx)", rax);
	asm volatile("mov $-1, %0; mov (%1), %b0" : "=&r"(rax) : "r"(IO_SELECT));
	ok(rax == 0xffffffffffffff01, "MOV r8, m8 keeps the rest (%#lx)", rax);

	/* memory that nobody has: ones on a PC; any width, no fault */
	t = 0xfd000000;
	asm volatile("movb $1, (%0); movw $1, (%0); movl $1, (%0); movq $1, (%0)" : : "r"(t) : "memory");
	asm volatile("mov (%1), %0" : "=r"(rax) : "r"(t));
	ok(true, "memory that nobody has: MOV of 1, 2, 4, 8 bytes (%#lx)", rax);
	asm volatile("mov $-1, %%rax; mov (%1), %%ax; mov %%rax, %0" : "=r"(rax) : "r"(t) : "rax");
	ok(rax >> 16 == 0xffffffffffff, "MOV r16, m16 keeps the upper bits");
	asm volatile("movzwl (%1), %0" : "=r"(v) : "r"(t));
	ok(v >> 16 == 0, "MOVZX r32, m16");
	asm volatile("movslq (%1), %0" : "=r"(rax) : "r"(t));
	ok((long)rax == (int)rax, "MOVSXD r64, m32");
	asm volatile("movb (%1), %%ah; movzx %%ah, %%eax" : "=&a"(v) : "D"(t));
	ok(v < 256, "MOV AH, m8");
	rcx = 4;
	rdi = t;
	asm volatile("rep stosl" : "+D"(rdi), "+c"(rcx) : "a"(0) : "memory");
	ok(rcx == 0 && rdi == t + 16, "REP STOSD to nobody's memory");
	rcx = 4;
	rsi = t;
	rdi = (u64)buffer;
	asm volatile("rep movsl" : "+D"(rdi), "+S"(rsi), "+c"(rcx) : : "memory");
	ok(rcx == 0 && rsi == t + 16 && rdi == (u64)&buffer[4], "REP MOVSD from nobody's memory");

	/* instruction across two pages whose second is elsewhere */
	{
		u64 va = 0x210000000000;
		u8 *a = alloc_page(), *b = alloc_page();
		u32 (*fn)(u64 arg) = (u32 (*)(u64 arg))(va + 4096 - 2);

		map(boot_pml4, va, (u64)a | PTE_P | PTE_W, 1);
		map(boot_pml4, va + 4096, (u64)b | PTE_P | PTE_W, 1);
		/* 8b 87 10 00 00 00: mov 0x10(%rdi), %eax; c3 */
		memcpy(a + 4094, "\x8b\x87", 2);
		memcpy(b, "\x10\x00\x00\x00\xc3", 5);
		ok(fn(IO_SELECT) == version, "MMIO instruction across two pages");
	}
}

/* --- hypercall -------------------------------------------------------------------- */
static void test_hypercall(void)
{
	u64 rax = 0x4242, rbx = 5;
	long x;

	if (!has_hypervisor()) {
		skip("no hypervisor");
		return;
	}
	if (has_amd())
		x = TRY("vmmcall", : "+a"(rax), "+b"(rbx) : "c"(0), "d"(0), "S"(0) : "memory");
	else
		x = TRY("vmcall", : "+a"(rax), "+b"(rbx) : "c"(0), "d"(0), "S"(0) : "memory");
	ok(x < 0 && (long)rax < 0, "unknown hypercall returns an error (%ld, vector %ld)", (long)rax, x);
	ok(rbx == 5, "... and keeps RBX");
}

static void user_hypercall(void)
{
	asm volatile("mov $1, %%eax\n"
		     "test %%edi, %%edi; jz 1f; vmmcall; jmp 2f; 1: vmcall; 2: int $0x80" : : : "memory");
}

/* --- XSETBV ------------------------------------------------------------------------ */
static long try_xsetbv(u32 i, u64 v)
{
	return TRY("xsetbv", : : "c"(i), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static u64 xgetbv(void)
{
	u32 a, d;

	asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return (u64)d << 32 | a;
}

static void user_xsetbv(void)
{
	asm volatile("xor %ecx, %ecx; mov $1, %eax; xor %edx, %edx; xsetbv; int $0x80");
}

static void test_xsetbv(void)
{
	u64 all;

	if (!(cpuid(1).c & 1U << 26)) {
		skip("no XSAVE");
		return;
	}
	ok(try_xsetbv(0, 1) == VECTOR_UD, "XSETBV without CR4.OSXSAVE is #UD");
	wcr4(rcr4() | 1 << 18);
	all = cpuid2(0xd, 0).a | (u64)cpuid2(0xd, 0).d << 32;
	ok(xgetbv() == 1, "XCR0 is 1 at reset (%#lx)", xgetbv());
	ok(try_xsetbv(0, 3) < 0 && xgetbv() == 3, "XSETBV x87 + SSE");
	ok(try_xsetbv(0, all) < 0 && xgetbv() == all, "XSETBV everything offered (%#lx)", all);
	ok(try_xsetbv(0, 0) == VECTOR_GP, "XSETBV without x87 is #GP");
	ok(try_xsetbv(0, 5) == VECTOR_GP, "XSETBV AVX without SSE is #GP");
	ok(try_xsetbv(0, 1ULL << 62 | 3) == VECTOR_GP, "XSETBV unknown bit is #GP");
	ok(try_xsetbv(1, 1) == VECTOR_GP, "XSETBV of XCR1 is #GP");
	ok(xgetbv() == all, "a refused XSETBV changed nothing (%#lx)", xgetbv());
	ok(run_user(user_xsetbv, 0) == VECTOR_GP, "XSETBV at CPL 3 is #GP");
	try_xsetbv(0, 3);
	ok(cpuid2(0xd, 0).b == 576, "CPUID 0xd: size follows XCR0 (%u)", cpuid2(0xd, 0).b);
	try_xsetbv(0, 1);
	wcr4(rcr4() & ~(1ULL << 18));
}

/* --- the others ---------------------------------------------------------------------- */
static void user_hlt(void) { asm volatile("hlt; int $0x80"); }
static void user_in(void) { asm volatile("in $0x21, %al; int $0x80"); }
static void user_rdmsr(void) { asm volatile("mov $0x1b, %ecx; rdmsr; int $0x80"); }
static void user_invd(void) { asm volatile("invd; int $0x80"); }
static void user_cr(void) { asm volatile("mov %cr0, %rax; int $0x80"); }
static void user_cpuid(void) { asm volatile("xor %eax, %eax; xor %ecx, %ecx; cpuid; int $0x80"); }
static void user_rdtsc(void) { asm volatile("rdtsc; int $0x80"); }

static void test_user(void)
{
	ok(run_user(user_cpuid, 0) == USER_RETURN, "CPUID at CPL 3");
	ok(run_user(user_rdtsc, 0) == USER_RETURN, "RDTSC at CPL 3");
	ok(run_user(user_hlt, 0) == VECTOR_GP, "HLT at CPL 3 is #GP");
	ok(run_user(user_in, 0) == VECTOR_GP, "IN at CPL 3 is #GP");
	ok(run_user(user_rdmsr, 0) == VECTOR_GP, "RDMSR at CPL 3 is #GP");
	ok(run_user(user_invd, 0) == VECTOR_GP, "INVD at CPL 3 is #GP");
	ok(run_user(user_cr, 0) == VECTOR_GP, "MOV from CR0 at CPL 3 is #GP");
	wcr4(rcr4() | 4);
	ok(run_user(user_rdtsc, 0) == VECTOR_GP, "RDTSC at CPL 3 with CR4.TSD is #GP");
	wcr4(rcr4() & ~4ULL);
	if (has_hypervisor()) {
		long x = run_user(user_hypercall, has_amd());

		ok(x == USER_RETURN || x == VECTOR_UD || x == VECTOR_GP, "hypercall at CPL 3 is refused or faults (%ld)", x);
	} else {
		skip("no hypervisor");
	}
}

static void test_others(void)
{
	u64 last, now;
	unsigned int i;
	u32 a, d;
	long x;

	ok(TRY("wbinvd", : : : "memory") < 0, "WBINVD");
	ok(TRY("invd", : : : "memory") < 0, "INVD");
	x = TRY("monitor", : : "a"(&cpus), "c"(0), "d"(0));
	if (cpuid(1).c & 8)
		ok(x < 0, "MONITOR");
	else
		ok(x == VECTOR_UD, "MONITOR that is not offered is #UD (vector %ld)", x);
	if (!(cpuid(1).c & 8)) {
		x = TRY("mwait", : : "a"(0), "c"(0));
		ok(x == VECTOR_UD, "MWAIT that is not offered is #UD (vector %ld)", x);
	}
	for (last = rdtsc(), i = 0; i < 10000; i++) {
		now = rdtsc();
		if (now < last)
			break;
		last = now;
		if (i % 100 == 0)
			cpuid(0);
	}
	ok(i == 10000, "RDTSC never goes back");
	if (cpuid(0x80000001).d & 1 << 27) {
		wrmsr(0xc0000103, 0x1234);
		asm volatile("rdtscp; mov %%ecx, %0" : "=r"(a) : : "rax", "rdx", "rcx");
		ok(a == 0x1234, "RDTSCP gives TSC_AUX (%#x)", a);
	} else {
		ok(TRY("rdtscp", : "=a"(a), "=d"(d) : : "rcx") == VECTOR_UD, "RDTSCP that is not offered is #UD");
	}
	/* TSC can be written, as any processor's can */
	now = rdtsc();
	x = try_wrmsr(0x10, now + (1ULL << 40));
	ok_strict(x < 0 && rdtsc() - now >= 1ULL << 40 && rdtsc() - now < 1ULL << 41, "WRMSR TSC (vector %ld)", x);

	ok(TRY("ud2", : : ) == VECTOR_UD, "UD2 is #UD");
	ok(TRY(".byte 0x0f, 0xff, 0xc0", : : ) == VECTOR_UD, "UD0 is #UD");
	ok(TRY(".byte 0x0f, 0x0b", : : ) == VECTOR_UD, "UD2 again");
	ok(TRY(".byte 0x06", : : ) == VECTOR_UD, "PUSH ES in 64-bit mode is #UD");
	/* Virtualisation inside is not offered yet: its instructions must not reach the host. */
	if (has_hypervisor()) {
		u64 m = 0;

		if (!(cpuid(1).c & 1 << 5)) {
			x = TRY("vmxon %0", : "+m"(m));
			ok(x == VECTOR_UD || x == VECTOR_GP, "VMXON not offered (vector %ld)", x);
			x = TRY("vmread %%rax, %%rbx", : : : "rbx");
			ok(x == VECTOR_UD, "VMREAD not offered is #UD (vector %ld)", x);
			x = TRY("vmlaunch", : : : "cc");
			ok(x == VECTOR_UD, "VMLAUNCH not offered is #UD (vector %ld)", x);
			x = TRY("mov %0, %%cr4", : : "r"(rcr4() | 1 << 13));
			ok(x == VECTOR_GP, "CR4.VMXE not offered is #GP (vector %ld)", x);
		}
		if (!(cpuid(0x80000001).c & 4)) {
			x = TRY("vmrun", : : "a"(0));
			ok(x == VECTOR_UD, "VMRUN not offered is #UD (vector %ld)", x);
			x = TRY("vmload", : : "a"(0));
			ok(x == VECTOR_UD, "VMLOAD not offered is #UD (vector %ld)", x);
			x = TRY("stgi", : : );
			ok(x == VECTOR_UD, "STGI not offered is #UD (vector %ld)", x);
			x = TRY("clgi", : : );
			ok(x == VECTOR_UD, "CLGI not offered is #UD (vector %ld)", x);
			x = try_wrmsr(0xc0000080, rdmsr(0xc0000080) | 1 << 12);
			ok(x == VECTOR_GP, "EFER.SVME not offered is #GP (vector %ld)", x);
			x = TRY("invlpga", : : "a"(0), "c"(0));
			ok(x == VECTOR_UD, "INVLPGA not offered is #UD (vector %ld)", x);
		}
	}
	x = TRY("rdpmc", : "=a"(a), "=d"(d) : "c"(0x12345));
	ok_strict(x == VECTOR_GP, "RDPMC of a counter that is not there is #GP (vector %ld)", x);
	x = TRY("rsm", : : : "memory");
	ok(x == VECTOR_UD, "RSM outside SMM is #UD (vector %ld)", x);
	x = TRY("getsec", : : "a"(0) : "rbx", "rcx");
	ok(x == VECTOR_UD || x == VECTOR_GP, "GETSEC (vector %ld)", x);
}

static void test_control_registers(void)
{
	u64 cr0 = rcr0(), cr4 = rcr4(), v;
	long x;

	/* QEMU's processor takes these, and the guest is lost. */
	if (on_tcg()) {
		skip("CR0 and CR4 values that this processor does not refuse");
	} else {
		ok(TRY("mov %0, %%cr0", : : "r"(cr0 | 1ULL << 32)) == VECTOR_GP, "CR0: upper bit is #GP");
		ok(TRY("mov %0, %%cr0", : : "r"((cr0 | 1U << 29) & ~(1ULL << 30))) == VECTOR_GP, "CR0: NW without CD is #GP");
		ok(TRY("mov %0, %%cr0", : : "r"(cr0 & ~1ULL)) == VECTOR_GP, "CR0: PG without PE is #GP");
		ok(TRY("mov %0, %%cr0", : : "r"(cr0 & ~(1ULL << 31))) == VECTOR_GP, "CR0: paging off in 64-bit mode is #GP");
		ok(TRY("mov %0, %%cr4", : : "r"(cr4 & ~0x20ULL)) == VECTOR_GP, "CR4: PAE off in long mode is #GP");
		ok(TRY("mov %0, %%cr4", : : "r"(cr4 | 1ULL << 40)) == VECTOR_GP, "CR4: reserved bit is #GP");
		x = TRY("mov %0, %%cr3", : : "r"(rcr3() | 1ULL << 62));
		ok(x == VECTOR_GP, "CR3: reserved bit is #GP (vector %ld)", x);
	}
	ok_strict(TRY("mov %0, %%cr8", : : "r"(0x10UL)) == VECTOR_GP, "CR8: reserved bit is #GP");
	ok(TRY(".byte 0x0f, 0x20, 0xc8", : : : "rax") == VECTOR_UD, "CR1 is #UD");
	ok(TRY(".byte 0x0f, 0x20, 0xe8", : : : "rax") == VECTOR_UD, "CR5 is #UD");
	ok(rcr0() == cr0 && rcr4() == cr4, "refused writes changed nothing");
	wcr0(cr0 | 1 << 3);
	ok(rcr0() & 8, "CR0.TS is set by MOV");
	asm volatile("clts");
	ok(!(rcr0() & 8), "CLTS");
	asm volatile("smsw %0" : "=r"(v));
	ok((v & 0xffff) == (cr0 & 0xffff), "SMSW");
	asm volatile("lmsw %w0" : : "r"((cr0 & 0xffff) | 8));
	ok(rcr0() & 8, "LMSW sets TS");
	asm volatile("clts");
	asm volatile("lmsw %w0" : : "r"(cr0 & 0xfffe));
	ok(rcr0() == cr0, "LMSW cannot clear PE");
	wcr0(cr0 | 1U << 30);
	ok(rcr0() == (cr0 | 1U << 30), "CR0.CD is kept");
	wcr0(cr0);
	wcr8(5);
	ok(rcr8() == 5 && apic_read(APIC_TPR) == 0x50, "CR8 is the APIC's TPR");
	apic_write(APIC_TPR, 0x30);
	ok(rcr8() == 3, "the APIC's TPR is CR8");
	wcr8(0);
	wcr2(0x123456789abc);
	cpuid(0);
	ok(rcr2() == 0x123456789abc, "CR2 is kept across exits");
	if (cpuid(7).b & 1) {
		u64 gs;

		wcr4(rcr4() | 1 << 16);
		asm volatile("rdgsbase %0" : "=r"(gs));
		ok(gs == (u64)this_cpu(), "RDGSBASE");
		wcr4(cr4);
		ok(TRY("rdgsbase %0", : "=r"(gs)) == VECTOR_UD, "RDGSBASE without CR4.FSGSBASE is #UD");
	} else {
		x = TRY("mov %0, %%cr4", : : "r"(cr4 | 1 << 16));
		ok(x == VECTOR_GP || !has_hypervisor(), "CR4.FSGSBASE not offered is #GP (vector %ld)", x);
		wcr4(cr4);
	}
}

/* --- interrupt shadow, single step, debug registers ------------------------------------- */
static volatile unsigned int steps;
static volatile u64 step_rip[64], step_dr6;

static bool count_step(struct frame *f)
{
	if (steps < ARRAY_SIZE(step_rip))
		step_rip[steps] = f->rip;
	steps++;
	step_dr6 = rdr6();
	wdr6(0xffff0ff0);
	return true;
}

#define STEP(text, ...) ({				\
	steps = 0;					\
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq\n" text "\n"	\
		     "pushfq; andl $~0x100, (%%rsp); popfq" __VA_ARGS__);	\
	steps; })

static void test_single_step(void)
{
	unsigned int plain, n;

	handlers[VECTOR_DB] = count_step;
	/* #DB comes after each instruction behind the POPF that set TF, the last POPF's included. */
	plain = STEP("nop", : : : "memory", "cc");
	ok(plain == 4 && step_dr6 & 0x4000, "single step over NOP: %u traps, DR6 %#lx", plain, step_dr6);
	n = STEP("cpuid", : : "a"(0), "c"(0) : "rbx", "rdx", "memory", "cc");
	ok(n == plain, "single step over CPUID (%u)", n);
	n = STEP("rdmsr", : : "c"(0x1b) : "rax", "rdx", "memory", "cc");
	ok(n == plain, "single step over RDMSR (%u)", n);
	n = STEP("out %%al, $0x80", : : "a"(0) : "memory", "cc");
	ok(n == plain, "single step over OUT (%u)", n);
	n = STEP("in $0x21, %%al", : : : "rax", "memory", "cc");
	ok(n == plain, "single step over IN (%u)", n);
	n = STEP("mov (%0), %%eax", : : "r"(IO_WINDOW) : "rax", "memory", "cc");
	ok(n == plain, "single step over an MMIO read (%u)", n);
	n = STEP("mov %%eax, (%0)", : : "r"(ICR_HIGH), "a"(0) : "memory", "cc");
	ok(n == plain, "single step over an MMIO write (%u)", n);
	n = STEP("mov %%cr8, %%rax; mov %%rax, %%cr8", : : : "rax", "memory", "cc");
	ok(n == plain + 1, "single step over MOV CR8 (%u)", n);
	n = STEP("mov %%ss, %%eax; mov %%eax, %%ss; nop", : : : "rax", "memory", "cc");
	ok(n == plain + 1, "MOV SS holds the single step back by one instruction (%u)", n);
	n = STEP("mov %%ss, %%eax; mov %%eax, %%ss; cpuid", : : : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	ok(n == plain + 1, "... also over CPUID (%u)", n);
	n = STEP("wbinvd", : : : "memory", "cc");
	ok(n == plain, "single step over WBINVD (%u)", n);
}

static bool step_fault(struct frame *f)
{
	steps++;
	step_dr6 = rdr6();
	wdr6(0xffff0ff0);
	f->rflags |= 1 << 16;		/* RF: go on behind an instruction breakpoint */
	return true;
}

static void test_debug_registers(void)
{
	static u64 watched;
	u64 v;

	handlers[VECTOR_DB] = step_fault;
	wdr0(0x1000);
	wdr1(0x2000);
	wdr2(0x3000);
	wdr3(0x400000000000);
	cpuid(0);
	inb(0x80);
	ok(rdr0() == 0x1000 && rdr1() == 0x2000 && rdr2() == 0x3000 && rdr3() == 0x400000000000,
	   "DR0 to DR3 are kept across exits");
	wdr6(0);
	ok(rdr6() == 0xffff0ff0, "DR6: fixed bits (%#lx)", rdr6());
	wdr7(0);
	ok(rdr7() == 0x400, "DR7: fixed bit (%#lx)", rdr7());
	wdr0((u64)&watched);
	steps = 0;
	wdr7(0x000d0402);	/* DR0, global, write, 4 bytes */
	*(volatile u32 *)&watched = 1;
	asm volatile("nop");
	ok(steps == 1 && step_dr6 & 1, "data breakpoint on a write (%u, DR6 %#lx)", steps, step_dr6);
	v = *(volatile u32 *)&watched;
	ok(steps == 1 && v == 1, "... not on a read (%u)", steps);
	steps = 0;
	wdr7(0x000f0402);
	cpuid(0);
	v = *(volatile u32 *)&watched;
	asm volatile("nop");
	ok(steps == 1, "data breakpoint on a read, after an exit (%u)", steps);
	wdr7(0x400);
	steps = 0;
	asm volatile("lea 1f(%%rip), %%rax; mov %%rax, %%dr1; mov $0x408, %%eax; mov %%rax, %%dr7\n"
		     "nop\n1: cpuid\n" : : "a"(0), "c"(0) : "rbx", "rdx", "memory");
	wdr7(0x400);
	ok(steps == 1 && step_dr6 & 2, "instruction breakpoint on CPUID (%u, DR6 %#lx)", steps, step_dr6);
	/* general detect */
	handlers[VECTOR_DB] = NULL;
	wdr7(0x2400);
	ok_strict(TRY("mov %%dr0, %%rax", : : : "rax") == VECTOR_DB && rdr6() & 0x2000, "DR7.GD traps access to debug registers");
	wdr7(0x400);
	wdr6(0xffff0ff0);
	wcr4(rcr4() | 8);
	ok(TRY("mov %%dr4, %%rax", : : : "rax") == VECTOR_UD, "DR4 with CR4.DE is #UD");
	wcr4(rcr4() & ~8ULL);
	ok(TRY("mov %0, %%dr6", : : "r"(1ULL << 40)) == VECTOR_GP, "DR6: upper bit is #GP");
	ok(TRY("mov %0, %%dr7", : : "r"(1ULL << 40)) == VECTOR_GP, "DR7: upper bit is #GP");
}

int main(void)
{
	cpu_start(0);
	apic_enable(false);
	pic_init(0x20);
	test_cpuid();
	test_prefixed();
	test_msrs();
	test_ports();
	test_mmio();
	test_hypercall();
	test_xsetbv();
	test_user();
	test_others();
	test_control_registers();
	if (option("debug", 1)) {
		test_single_step();
		test_debug_registers();
	} else {
		skip("single step: this emulator stops the whole machine (kmod/svm/quirks.c)");
		skip("debug registers: this emulator does not tell the cause in DR6 (kmod/svm/quirks.c)");
	}
	return finish_tests();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real mode (realmode16.S), 16-bit protected mode, segments and their limits, gates, and the way
 * between all modes. With more than one CPU the others do all of it too, and one is started in
 * real mode and stays there.
 */
#include "guest.h"

#define SEG	0x1000
#define BLOB	(SEG * 16)
#define IN_BLOB(label) (BLOB + (u32)((label) - real_start))
#define OFFSET(label) ((u32)((label) - real_start))
#define AP_START 0x9000
#define HIGH	0x400000	/* realmode16.S writes 512 KiB from there, and a stack above */

/* selectors, in both files */
enum {
	CODE16 = 0x58, DATA16 = 0x60, BLOB_DATA = 0x68, STACK16 = 0x70, GATE16 = 0x78, GATE32 = 0x80,
	DATA_ES = 0x88, TEST = 0x90, TEST2 = 0x98, USER_GATE32 = 0xa0, USER_GATE16 = 0xa8, LDT = 0xb0,
	USER16 = 0xb8,
};

extern u8 real_start[], real_end[], real_stubs[], real_irq0[], real_nothing[], real_step[], real_results[],
	  real_checked[], real_target[], real_gdt_base[], real_vendor[], real_found[], ap_real[];
extern u8 t_int[], t_fault[], t_pg[], t_far[], t_stack[], t_string[], t_step[], t_ipi[], t_timer[], t_unreal[], t_system[], t_x87[], t_nothing[];
extern u8 p16[], p16_int[], p16_gate[], p16_to_32[], gate32_same[];
extern const struct { const char *name; u32 expected, lax; } real_table[];
void real_call(u32 offset);
void p16_call(void);
void trip(u32 cr3, u64 *result);

static unsigned int cpu_n;

static void describe(unsigned int selector, u32 base, u32 limit, u8 access, u8 flags)
{
	this_cpu()->gdt[selector / 8] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
		(u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static void describe_gate(unsigned int selector, u16 target, u32 offset, u8 access, u8 count)
{
	this_cpu()->gdt[selector / 8] = (offset & 0xffff) | (u64)target << 16 | (u64)count << 32 | (u64)access << 40 |
		(u64)(offset >> 16) << 48;
}

/* The vectors of real mode anew, and all that the routines left. */
static void set_up(void)
{
	volatile u32 *ivt = (u32 *)0;
	unsigned int i;

	memcpy((void *)BLOB, real_start, real_end - real_start);
	for (i = 0; i < 256; i++)
		ivt[i] = SEG << 16 | (OFFSET(real_stubs) + 8 * i);
	ivt[1] = SEG << 16 | OFFSET(real_step);
	ivt[8] = SEG << 16 | OFFSET(real_irq0);
	ivt[15] = SEG << 16 | OFFSET(real_nothing);	/* spurious of the 8259 */
	*(u32 *)IN_BLOB(real_gdt_base) = (u32)this_cpu()->gdt;
	*(u32 *)IN_BLOB(real_vendor) = cpuid(0).b;
	describe(CODE16, BLOB, 0xffff, 0x9b, 0);
	describe(DATA16, 0, 0xffff, 0x93, 0);
	describe(BLOB_DATA, BLOB, 0xffff, 0x93, 0);
	describe(STACK16, 0x20000, 0xffff, 0x93, 0);
	describe(DATA_ES, 0x30000, 0xffff, 0x93, 0);
	describe_gate(GATE16, CODE16, OFFSET(p16_gate), 0x84, 0);
	describe_gate(GATE32, CS32, (u32)gate32_same, 0x8c, 0);
	this_cpu()->gdt[CS64 / 8] = 0x00af9b000000ffff;
}

/* What the routines found, from the check that the last call left off at. */
static unsigned int reported;

static void report_checks(void)
{
	u32 *results = (u32 *)IN_BLOB(real_results), end = *(u32 *)IN_BLOB(real_checked);
	const char *prefix = cpu_n ? "CPU " : "";
	char id[2] = { cpu_n ? '0' + cpu_n : 0, 0 };

	for (; reported < end; reported++) {
		u32 got = results[reported], want = real_table[reported].expected;

		(real_table[reported].lax ? ok_strict : ok)(got == want, "%s%s%s%s (%#x)", prefix, id, cpu_n ? ": " : "",
							    real_table[reported].name, got);
	}
}

static void run_real(const u8 *routine)
{
	real_call(OFFSET(routine));
	report_checks();
}

static void test_real(void)
{
	u32 i;

	run_real(t_int);
	run_real(t_fault);
	if (!on_tcg())
		run_real(t_pg);
	else
		reported++;
	run_real(t_far);
	run_real(t_stack);
	run_real(t_string);
	if (option("debug", 1)) {
		run_real(t_step);
	} else {
		skip("single step: not on this processor");
		reported += 5;
	}
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0x60);
	run_real(t_ipi);
	apic_eoi();
	if (!cpu_n) {
		/* the 8259's interrupts come to CPU 0 */
		pic_init(8);
		apic_write(APIC_LVT0, 0x700);
		pit_start(20000, true);
		run_real(t_timer);
		pit_start(0, false);
		apic_write(APIC_LVT0, 0x10700);
		pic_init(0x20);
	} else {
		reported += 2;
	}
	run_real(t_unreal);
	run_real(t_system);
	/* An interpreter may not know it. */
	if (option("x87", 1)) {
		run_real(t_x87);
	} else {
		skip("x87 in real mode is not interpreted");
		reported += 2;
	}
	for (i = 0; i < 300; i++)
		real_call(OFFSET(t_nothing));
	ok(i == 300, "to real mode and back 300 times");
}

/* --- segments: limits and types when they are used ----------------------------------------- */
enum { R1, R2, R4, W1 };

static long use(unsigned int kind, u32 offset)
{
	switch (kind) {
	case R1:
		return TRY("movb %%fs:(%0), %%al", : : "r"(offset) : "eax");
	case R2:
		return TRY("movw %%fs:(%0), %%ax", : : "r"(offset) : "eax");
	case R4:
		return TRY("movl %%fs:(%0), %%eax", : : "r"(offset) : "eax");
	default:
		return TRY("movb $0, %%fs:(%0)", : : "r"(offset) : "memory");
	}
}

static long load_fs(u16 selector)
{
	return TRY("mov %0, %%fs", : : "r"((u32)selector));
}

static void test_limits(void)
{
	static const struct {
		const char *what;
		u32 limit;
		u8 access, flags, kind;
		u32 offset;
		int vector;
	} cases[] = {
		{ "byte at the limit", 0xfff, 0x93, 0, R1, 0xfff, -1 },
		{ "byte beyond", 0xfff, 0x93, 0, R1, 0x1000, 13 },
		{ "word over the limit", 0xfff, 0x93, 0, R2, 0xfff, 13 },
		{ "doubleword at the end", 0xfff, 0x93, 0, R4, 0xffc, -1 },
		{ "doubleword over it", 0xfff, 0x93, 0, R4, 0xffd, 13 },
		{ "write beyond", 0xfff, 0x93, 0, W1, 0x1000, 13 },
		{ "far beyond", 0xfff, 0x93, 4, R1, 0xfffffff0, 13 },
		{ "limit in pages, inside", 1, 0x93, 12, R1, 0x1fff, -1 },
		{ "limit in pages, beyond", 1, 0x93, 12, R1, 0x2000, 13 },
		{ "expand-down, at the limit", 0xfff, 0x97, 0, R1, 0xfff, 13 },
		{ "expand-down, above it", 0xfff, 0x97, 0, R1, 0x1000, -1 },
		{ "expand-down, 16-bit, at 0xffff", 0xfff, 0x97, 0, R1, 0xffff, -1 },
		{ "expand-down, 16-bit, word at 0xffff", 0xfff, 0x97, 0, R2, 0xffff, 13 },
		{ "expand-down, 16-bit, beyond", 0xfff, 0x97, 0, R1, 0x10000, 13 },
		{ "expand-down, 32-bit, beyond 64 KiB", 0xfff, 0x97, 4, R1, 0x10000, -1 },
		{ "expand-down, 32-bit, word into the limit", 0xfff, 0x97, 4, R2, 0xffe, 13 },
		{ "expand-down, empty", 0xffff, 0x97, 0, R1, 0x8000, 13 },
		{ "read-only, read", 0xfff, 0x91, 0, R1, 0, -1 },
		{ "read-only, write", 0xfff, 0x91, 0, W1, 0, 13 },
		{ "code, read", 0xfff, 0x9b, 4, R1, 0, -1 },
		{ "code, write", 0xfff, 0x9b, 4, W1, 0, 13 },
		{ "conforming code, read", 0xfff, 0x9f, 4, R1, 0, -1 },
	};
	unsigned int i;
	long v;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		describe(TEST, 0x30000, cases[i].limit, cases[i].access, cases[i].flags);
		if (load_fs(TEST) != -1)
			continue;
		v = use(cases[i].kind, cases[i].offset);
		ok_strict(v == cases[i].vector && (v < 0 || !this_cpu()->trap.error), "segment: %s (vector %ld error %#lx)",
			  cases[i].what, v, this_cpu()->trap.error);
	}
	describe(TEST, 0x30000, 0xfff, 0x93, 0);
	load_fs(TEST);
	asm volatile("movl $0x13572468, 0x30800");
	{
		u32 x;

		asm volatile("movl %%fs:0x800, %0" : "=r"(x));
		ok(x == 0x13572468, "segment: its base counts (%#x)", x);
	}
	load_fs(0);
	v = use(R1, 0);
	ok_strict(v == VECTOR_GP && !this_cpu()->trap.error, "null selector used (vector %ld)", v);
	/* the stack's limit: 16 MiB, so that the exception itself has room */
	describe(TEST, 0, 0xfff, 0x93, 0xc);
	v = TRY_THEN("mov %0, %%ss; mov (%%ebx, %%ebp), %%al", "mov %1, %%ss",
		     : : "r"(TEST), "r"(DS64), "b"(0x1000000) : "eax");
	ok(v == -1, "stack segment of 16 MiB: DS is used with EBX as base");
	v = TRY_THEN("push %%ebp; mov $0x1000000, %%ebp; mov %0, %%ss; mov (%%ebp), %%al",
		     "mov %1, %%ss; pop %%ebp", : : "r"(TEST), "r"(DS64) : "eax");
	ok_strict(v == VECTOR_SS && !this_cpu()->trap.error, "beyond the stack's limit (vector %ld)", v);
	load_fs(DS64);
}

/* --- segments: when they are loaded ------------------------------------------------------------ */
static void expect(long v, long vector, u32 error, const char *what)
{
	ok(v == vector && (v < 0 || this_cpu()->trap.error == error), "%s (vector %ld error %#lx)", what, v,
	   this_cpu()->trap.error);
}

/* The handler of a later exception would load it once more, with whatever its descriptor is then. */
static long load_drop(u16 selector)
{
	return TRY_THEN("mov %0, %%fs", "mov %1, %%fs", : : "r"((u32)selector), "r"(0));
}

static long load_ss(u16 selector)
{
	return TRY_THEN("mov %0, %%ss", "mov %1, %%ss", : : "r"((u32)selector), "r"(DS64));
}

static long far_jump(u16 selector, u32 offset)
{
	struct { u32 offset; u16 selector; } __attribute__((packed)) p = { offset, selector };

	return TRY("ljmp *%0", : : "m"(p));
}

/* where a jump that is allowed arrives: it leaves through what TRY takes for a fault */
extern u8 landing[];
asm("landing: ud2\n");

static void test_loads(void)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) gdt = { 255, 0 };
	static u64 ldt[4];
	u32 ar = 0, zf;

	describe(TEST, 0, 0xfff, 0x92, 0);
	expect(load_drop(TEST), -1, 0, "load of a data segment");
	ok((this_cpu()->gdt[TEST / 8] >> 40 & 0xff) == 0x93, "... sets its accessed bit");
	describe(TEST, 0, 0xfff, 0x99, 4);
	expect(load_drop(TEST), VECTOR_GP, TEST, "execute-only code in a data register");
	describe(TEST, 0, 0xfff, 0x13, 0);
	expect(load_drop(TEST), VECTOR_NP, TEST, "segment not present");
	expect(load_ss(TEST), VECTOR_SS, TEST, "stack not present");
	describe(TEST, 0, 0xfff, 0x93, 0);
	expect(load_drop(TEST | 3), VECTOR_GP, TEST, "RPL 3 on DPL 0");
	expect(load_ss(TEST | 3), VECTOR_GP, TEST, "SS with RPL 3");
	expect(load_drop(TSS), VECTOR_GP, TSS, "a TSS in a data register");
	expect(load_drop(0x1f8), VECTOR_GP, 0x1f8, "beyond the table");
	expect(load_drop(3), -1, 0, "null selector with RPL");
	expect(load_ss(0), VECTOR_GP, 0, "null stack");
	describe(TEST, 0, 0xfff, 0x91, 0);
	expect(load_ss(TEST), VECTOR_GP, TEST, "read-only stack");
	describe(TEST, 0, 0xfff, 0xf3, 0);
	expect(load_ss(TEST), VECTOR_GP, TEST, "stack with DPL 3");
	expect(load_drop(TEST), -1, 0, "data segment with DPL 3");
	describe(TEST, 0, 0xfffff, 0x9b, 0xc);
	expect(load_ss(TEST), VECTOR_GP, TEST, "code as stack");
	/* LDT */
	asm volatile("lldt %w0" : : "r"(0));
	expect(load_drop(4), VECTOR_GP, 4, "selector of an LDT that is not there");
	describe(LDT, (u32)ldt, sizeof(ldt) - 1, 0x82, 0);
	expect(TRY("lldt %w0", : : "r"(LDT)), -1, 0, "LLDT");
	ldt[1] = 0x00cf93000000ffff;
	expect(load_drop(8 | 4), -1, 0, "selector of the LDT");
	expect(load_drop(32 | 4), VECTOR_GP, 32 | 4, "beyond the LDT");
	describe(LDT, (u32)ldt, sizeof(ldt) - 1, 0x02, 0);
	expect(TRY("lldt %w0", : : "r"(LDT)), VECTOR_NP, LDT, "LLDT, not present");
	expect(TRY("lldt %w0", : : "r"(DS64)), VECTOR_GP, DS64, "LLDT of a data segment");
	load_drop(DS64);
	asm volatile("lldt %w0" : : "r"(0));
	expect(TRY("ltr %w0", : : "r"(TSS)), VECTOR_GP, TSS, "LTR of a busy TSS");
	describe(TEST, 0, 0x67, 0x09, 0);
	expect(TRY("ltr %w0", : : "r"(TEST)), VECTOR_NP, TEST, "LTR, not present");
	/* QEMU's takes it, and has no task then */
	if (!on_tcg())
		expect(TRY("ltr %w0", : : "r"(0)), VECTOR_GP, 0, "LTR of null");
	/* far jumps */
	expect(far_jump(CS32, (u32)landing), VECTOR_UD, 0, "far JMP");
	expect(far_jump(0, 0), VECTOR_GP, 0, "far JMP to null");
	expect(far_jump(DS64, 0), VECTOR_GP, DS64, "far JMP to data");
	describe(TEST, 0, 0xfffff, 0x1b, 0xc);
	expect(far_jump(TEST, 0), VECTOR_NP, TEST, "far JMP, not present");
	describe(TEST, 0, 0xfff, 0x9b, 0x4);
	expect(far_jump(TEST, 0x1000), VECTOR_GP, 0, "far JMP beyond the limit");
	describe(TEST, 0, 0xfffff, 0xfb, 0xc);
	expect(far_jump(TEST, (u32)landing), VECTOR_GP, TEST, "far JMP to DPL 3");
	describe(TEST, 0, 0xfffff, 0x9f, 0xc);
	expect(far_jump(TEST | 3, (u32)landing), VECTOR_UD, 0, "far JMP to conforming code");
	describe(TEST, 0, 0xfffff, 0x9b, 0xc);
	expect(far_jump(TEST | 3, (u32)landing), VECTOR_GP, TEST, "far JMP with RPL 3");
	/* interrupts */
	idt[0x60] = (struct gate){ (u32)landing, TEST, 0, 0x0e, (u32)landing >> 16 };
	expect(TRY("int $0x60", : ), VECTOR_NP, 0x60 * 8 + 2, "gate not present");
	idt[0x60] = (struct gate){ (u32)landing, DS64, 0, 0x8e, (u32)landing >> 16 };
	expect(TRY("int $0x60", : ), VECTOR_GP, DS64, "gate to data");
	idt[0x60] = (struct gate){ (u32)landing, 0, 0, 0x8e, (u32)landing >> 16 };
	expect(TRY("int $0x60", : ), VECTOR_GP, 0, "gate to null");
	idt[0x60] = (struct gate){ (u32)landing, CS32, 0, 0x82, (u32)landing >> 16 };
	expect(TRY("int $0x60", : ), VECTOR_GP, 0x60 * 8 + 2, "gate of another type");
	set_gate(0x60, (u32)vector_entries + 16 * 0x60, 0, 0);
	/* LAR and the like */
	describe(TEST, 0, 0xabcde, 0x93, 0xd);
	asm volatile("lar %2, %0; setz %b1" : "+r"(ar), "=q"(zf) : "r"(TEST));
	ok((zf & 1) && (ar & 0xf0ff00) == 0xd09300, "LAR (%#x)", ar);
	asm volatile("lsl %2, %0; setz %b1" : "+r"(ar), "=q"(zf) : "r"(TEST));
	ok((zf & 1) && ar == 0xabcdefff, "LSL (%#x)", ar);
	asm volatile("lsl %2, %0; setz %b1" : "+r"(ar), "=q"(zf) : "r"(GATE32));
	ok(!(zf & 1), "LSL of a gate");
	asm volatile("lar %2, %0; setz %b1" : "+r"(ar), "=q"(zf) : "r"(GATE32));
	ok(zf & 1, "LAR of a gate");
	asm volatile("verr %w1; setz %b0" : "=q"(zf) : "r"(TEST));
	ok(zf & 1, "VERR of data");
	asm volatile("verw %w1; setz %b0" : "=q"(zf) : "r"(CS32));
	ok(!(zf & 1), "VERW of code");
	describe(TEST, 0, 0xfff, 0x99, 4);
	asm volatile("verr %w1; setz %b0" : "=q"(zf) : "r"(TEST));
	ok(!(zf & 1), "VERR of execute-only code");
	ar = TEST;
	asm volatile("arpl %w2, %w0; setz %b1" : "+r"(ar), "=q"(zf) : "r"(3));
	ok((zf & 1) && ar == (TEST | 3), "ARPL (%#x)", ar);
	gdt.base = (u32)this_cpu()->gdt;
	expect(TRY("lgdt %0", : : "m"(gdt)), -1, 0, "LGDT");
}

/* --- call gates from CPL 3 -------------------------------------------------------------------- */
u32 gate_seen[8], gate_esp;
extern u8 gate32_target[], user_gate32[], user_gate16[], user_gate_denied[], gate16_target[], user16[];
asm("gate32_target:\n"
    "	mov %ds, %eax; mov %eax, gate_seen + 20\n"
    "	mov %cs, gate_seen\n"
    "	mov 8(%esp), %eax; mov %eax, gate_seen + 4\n"
    "	mov 12(%esp), %eax; mov %eax, gate_seen + 8\n"
    "	mov 16(%esp), %eax; mov %eax, gate_seen + 12\n"
    "	mov 20(%esp), %eax; mov %eax, gate_seen + 16\n"
    "	mov $0x10, %eax; mov %eax, %fs\n"
    "	lret $8\n"
    "user_gate32:\n"
    "	mov $0x3b, %eax; mov %eax, %fs\n"
    "	mov %esp, gate_esp\n"
    "	push $0x1111; push $0x2222\n"
    "	lcall $0xa0, $0x99999999\n"
    "	mov %esp, gate_seen + 24; mov %fs, gate_seen + 28\n"
    "	int $0x80\n"
    "user_gate16:\n"
    "	ljmp $0xbb, $0\n"
    "user16:\n"
    "	mov %esp, gate_esp\n"
    "	pushw $0x1111; pushw $0x2222\n"
    "	lcall $0xa8, $0\n"
    "	mov %esp, gate_seen + 24\n"
    "	int $0x80\n"
    "user_gate_denied: lcall $0x80, $0; int $0x80\n");

static void test_gates(void)
{
	long v;

	describe_gate(USER_GATE32, CS32, (u32)gate32_target, 0xec, 2);
	v = run_user((void (*)(void))user_gate32, 0);
	ok(v == USER_RETURN && (gate_seen[0] & 0xffff) == CS32, "32-bit call gate from CPL 3 to 0 (vector %ld, CS %#x)", v, gate_seen[0]);
	ok(gate_seen[1] == 0x2222 && gate_seen[2] == 0x1111, "... its parameters are copied (%#x %#x)", gate_seen[1], gate_seen[2]);
	ok(gate_seen[3] == gate_esp - 8 && (gate_seen[4] & 0xffff) == UDS, "... the caller's stack behind them (%#x)", gate_seen[3]);
	ok(gate_seen[6] == gate_esp, "... RET 8 releases both stacks (%#x %#x)", gate_seen[6], gate_esp);
	ok(!(gate_seen[7] & 0xffff), "... and takes away the inner level's data segments (%#x)", gate_seen[7]);
	describe_gate(USER_GATE32, CS32, (u32)gate32_target, 0x6c, 2);
	v = run_user((void (*)(void))user_gate32, 0);
	expect(v, VECTOR_NP, USER_GATE32, "call gate not present");
	describe_gate(USER_GATE32, DS64, (u32)gate32_target, 0xec, 2);
	v = run_user((void (*)(void))user_gate32, 0);
	expect(v, VECTOR_GP, DS64, "call gate to data");
	v = run_user((void (*)(void))user_gate_denied, 0);
	expect(v, VECTOR_GP, GATE32, "call gate of DPL 0 from CPL 3");
	memset(gate_seen, 0, sizeof(gate_seen));
	/* 16 bits: target and caller have 16-bit offsets, in segments based at them */
	describe(USER16, (u32)user16, 0xffff, 0xfb, 4);
	describe(TEST, (u32)gate16_target, 0xffff, 0x9b, 0);
	describe_gate(USER_GATE16, TEST, 0, 0xe4, 2);
	v = run_user((void (*)(void))user_gate16, 0);
	ok(v == USER_RETURN && gate_seen[1] == 0x11112222, "16-bit call gate from CPL 3 to 0 (vector %ld, parameters %#x)", v, gate_seen[1]);
	ok((gate_seen[6] & 0xffff) == (gate_esp & 0xffff), "... RET 4 (%#x %#x)", gate_seen[6], gate_esp);
}

/* --- between the modes --------------------------------------------------------------------------- */
static void test_trips(void)
{
	static u64 pml4[512] __attribute__((aligned(4096))), pdpt[512] __attribute__((aligned(4096)));
	static void *root2, *root3;
	unsigned int i, bad;
	u64 r[6] = { 0 };

	if (!root2) {
		root2 = make_root(&two_level, memory_end() & -(4UL << 20), NULL);
		root3 = make_root(&pae, memory_end() & -(4UL << 20), NULL);
		/* the same page at 0xc0000000 of both */
		set_entry(&two_level, make_entry(&two_level, root2, 0xc0000000, 1), 0x30000 | 3);
		set_entry(&pae, make_entry(&pae, root3, 0xc0000000, 1), 0x31000 | 3);
		memcpy(pdpt, root3, 32);
		for (i = 0; i < 4; i++)
			if (pdpt[i])
				pdpt[i] |= PTE_W;
		pml4[0] = (u32)pdpt | 3;
	}
	for (i = bad = 0; i < 100; i++) {
		*(volatile u32 *)0x30000 = i;
		*(volatile u32 *)0x31000 = ~i;
		use_paging(&two_level, root2);
		bad += *(volatile u32 *)0xc0000000 != i;
		if (i & 1)
			use_paging(NULL, NULL);
		use_paging(&pae, root3);
		bad += *(volatile u32 *)0xc0000000 != ~i;
		use_paging(NULL, NULL);
		bad += *(volatile u32 *)0x30000 != i;
	}
	ok(!bad, "paging off, 2-level, PAE, off: 100 times (%u wrong)", bad);
	if (!(cpuid(0x80000001).d & 1 << 29)) {
		skip("no 64-bit mode");
		return;
	}
	for (i = bad = 0; i < 50; i++) {
		trip((u32)pml4, r);
		bad += r[0] != 0x2468acf13579bde0 || !(r[1] & 0x400) || r[2] || r[3] != 0x7fffffffffff || r[4] != 1 || r[5] & 0x400;
		real_call(OFFSET(t_nothing));
	}
	ok(!bad, "real, 32-bit, 64-bit, 16-bit compatibility, 32-bit: 50 times (%u wrong: %llx %llx %llx %llx %llx %llx)", bad,
	   r[0], r[1], r[2], r[3], r[4], r[5]);
}

static void everything(void *unused)
{
	cpu_n = this_cpu()->id;
	set_up();
	reported = 0;
	test_real();
	describe(CODE16, BLOB, 0xffff, 0x9b, 0);
	idt[0x50] = (struct gate){ OFFSET(p16_int), CODE16, 0, 0x86, 0 };
	p16_call();
	report_checks();
	set_gate(0x50, (u32)vector_entries + 16 * 0x50, 0, 0);
	test_limits();
	test_loads();
	/* the library's way to CPL 3 and back is CPU 0's */
	if (!cpu_n)
		test_gates();
	test_trips();
}

/* One of the others, from INIT, in real mode for good */
static void test_sipi(unsigned int cpu)
{
	volatile u32 *found = (u32 *)IN_BLOB(real_found);

	memcpy((void *)AP_START, ap_real, real_end - ap_real);
	memset((void *)found, 0, 16);
	apic_icr(cpus[cpu].apic_id, ICR_INIT | ICR_ASSERT);
	dawdle(100000);
	apic_icr(cpus[cpu].apic_id, ICR_SIPI | ICR_ASSERT | AP_START >> 12);
	dawdle(10000);
	if (!found[3])
		apic_icr(cpus[cpu].apic_id, ICR_SIPI | ICR_ASSERT | AP_START >> 12);
	ok(wait_for(found[3]), "SIPI: the other CPU runs in real mode");
	ok(found[0] == AP_START >> 4, "... CS:IP %04x:%04x", found[0] & 0xffff, found[0] >> 16);
	ok(found[1] == 0x60000010, "... CR0 (%#x)", found[1]);
	ok(found[2] == 2, "... EFLAGS (%#x)", found[2]);
}

int main(void)
{
	unsigned int n, i;

	cpu_start(0);
	n = cpus_expected();
	apic_enable(false);
	pic_init(0x20);
	everything(NULL);
	if (n > 1) {
		n = smp_start();
		ok(n == cpus_expected(), "%u CPUs are up", n);
		for (i = 1; i < n; i++) {
			run_on(i, everything, NULL);
			wait_done(i);
		}
		test_sipi(n - 1);
	}
	return finish_tests();
}

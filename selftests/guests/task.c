// SPDX-License-Identifier: GPL-2.0-only
/*
 * Task switches (Intel SDM vol 3, chapter 8): 32-bit and 16-bit task-state segments, by JMP, CALL,
 * IRET, task gates and exceptions; busy bits, NT and the link; what makes a switch fail, before
 * and after it is the new task's fault; CR3, LDT, debug trap, virtual-8086 tasks.
 */
#include "guest.h"

#define NT	(1U << 14)
#define VM	(1U << 17)
#define CR0_TS	8UL

struct tss32 {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
};

struct tss16 {
	u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};

_Static_assert(sizeof(struct tss32) == 104 && sizeof(struct tss16) == 44, "as the processor has them");

/* selectors; A is the library's own TSS */
enum {
	A = TSS, B = 0x58, C16 = 0x60, GATE_B = 0x68, CODE16 = 0x70, ERR = 0x78, DF = 0x80, TSK = 0x88, LDT = 0x90,
	USER_GATE = 0x98, SMALL = 0xa0, V86 = 0xa8, TEST = 0xb0, B2 = 0xb8,
};

struct tss32 *a;
static struct tss32 b, err, df, ts, v86, b2;
static struct tss16 c16;
static u8 stacks[8][4096] __attribute__((aligned(16)));
static u64 ldt[4];

/* --- what the tasks leave ---------------------------------------------------------------------- */
u32 b_eax, b_ebx, b_esp, b_flags, b_tr, b_cr0, b_cr3, b_ldt, b_ds, b_fs, b_count, b_dr7, b_back;
u32 err_code, err_esp, err_count, err_cr2, df_code, df_count, ts_code, ts_count, ts_link;
u32 c_ax, c_flags, c_tr, c_count, c_back, c_sp, v_count, v_flags, v_cs;
void *resume;		/* where A goes on after an exception */

extern u8 b_entry[], err_entry[], df_entry[], ts_entry[], c16_entry[], v86_code[], v86_gp[], task_code16[];
asm(".text\n"
    "b_entry:\n"
    "	mov %eax, b_eax; mov %ebx, b_ebx; mov %esp, b_esp\n"
    "	pushf; popl b_flags\n"
    "	xor %eax, %eax; str %ax; mov %eax, b_tr; sldt %ax; mov %eax, b_ldt\n"
    "	mov %cr0, %eax; mov %eax, b_cr0; mov %cr3, %eax; mov %eax, b_cr3; mov %dr7, %eax; mov %eax, b_dr7\n"
    "	mov %ds, %eax; mov %eax, b_ds; mov %fs, %eax; mov %eax, b_fs\n"
    "	incl b_count; clts\n"
    "	cmpl $0, b_back; jne 1f\n"
    "	ljmp $0x48, $0\n"
    "	jmp b_entry\n"
    "1:	iret\n"
    "	jmp b_entry\n"
    /* exceptions with an error code */
    "err_entry:\n"
    "	mov %esp, err_esp; popl err_code; mov %cr2, %eax; mov %eax, err_cr2; incl err_count; clts\n"
    "	mov a, %eax; mov resume, %ecx; mov %ecx, 32(%eax)\n"
    "	iret\n"
    "	jmp err_entry\n"
    "df_entry:\n"
    "	popl df_code; incl df_count; clts\n"
    "	mov a, %eax; mov resume, %ecx; mov %ecx, 32(%eax)\n"
    "	iret\n"
    "	jmp df_entry\n"
    /* a switch that failed behind the point of no return: the link is the task that it was to be */
    "ts_entry:\n"
    "	popl ts_code; incl ts_count; clts\n"
    "	ljmp $0x48, $0\n"
    "	jmp ts_entry\n"
    /* #GP of the virtual-8086 task, on its own level-0 stack */
    "v86_gp:\n"
    "	mov $0x10, %eax; mov %eax, %ds\n"
    "	mov 12(%esp), %eax; mov %eax, v_flags; mov 8(%esp), %eax; mov %eax, v_cs; incl v_count; clts\n"
    "	ljmp $0x48, $0\n"
    "	ud2\n"
    ".balign 16\n"
    "task_code16:\n"
    ".code16\n"
    "c16_entry:\n"
    "	addr32 mov %ax, c_ax; addr32 mov %sp, c_sp; pushf; pop %ax; addr32 mov %ax, c_flags\n"
    "	str %ax; addr32 mov %ax, c_tr; addr32 incl c_count; clts\n"
    "	addr32 cmpl $0, c_back; jne 1f\n"
    "	ljmp $0x48, $0\n"
    "	jmp c16_entry\n"
    "1:	iret\n"
    "	jmp c16_entry\n"
    "v86_code: mov $0x1234, %ax; hlt\n"
    ".code32\n");

static void describe(unsigned int selector, u32 base, u32 limit, u8 access, u8 flags)
{
	this_cpu()->gdt[selector / 8] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
		(u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static u8 access_of(unsigned int selector)
{
	return this_cpu()->gdt[selector / 8] >> 40;
}

static void task_gate(unsigned int vector, u16 selector, u8 dpl)
{
	idt[vector] = (struct gate){ 0, selector, 0, 0x85 | dpl << 5, 0 };
}

static void interrupt_gate(unsigned int vector)
{
	set_gate(vector, (u32)vector_entries + 16 * vector, 0, 0);
}

static void fill(struct tss32 *t, const u8 *entry, unsigned int stack)
{
	*t = (struct tss32){
		.eip = (u32)entry, .eflags = 2, .esp = (u32)stacks[stack] + 4000, .cs = CS32, .es = DS64, .ss = DS64, .ds = DS64,
		.fs = DS64, .gs = THIS_CPU, .eax = 0x11223344, .ebx = 0x55667788, .cr3 = rcr3(), .iomap = 104,
		.esp0 = (u32)stacks[stack] + 2000, .ss0 = DS64,
	};
}

/* All tasks as new, and none busy but A */
static void set_up(void)
{
	a = (struct tss32 *)this_cpu()->tss;
	a->cr3 = rcr3();
	a->ldt = 0;
	a->iomap = 104;
	fill(&b, b_entry, 0);
	fill(&b2, b_entry, 6);
	fill(&err, err_entry, 1);
	fill(&df, df_entry, 2);
	fill(&ts, ts_entry, 3);
	fill(&v86, v86_code, 4);
	c16 = (struct tss16){ .ip = c16_entry - task_code16, .flags = 2, .ax = 0x4321, .sp = 0xff0, .es = DS64, .cs = CODE16, .ss = TEST, .ds = DS64 };
	describe(B, (u32)&b, 103, 0x89, 0);
	describe(B2, (u32)&b2, 103, 0x89, 0);
	describe(C16, (u32)&c16, 43, 0x81, 0);
	describe(GATE_B, 0, 0, 0x85, 0);
	this_cpu()->gdt[GATE_B / 8] |= (u64)B << 16;
	describe(USER_GATE, 0, 0, 0xe5, 0);
	this_cpu()->gdt[USER_GATE / 8] |= (u64)B << 16;
	describe(CODE16, (u32)task_code16, 0xffff, 0x9b, 0);
	describe(TEST, (u32)stacks[5], 0xfff, 0x93, 0);
	describe(ERR, (u32)&err, 103, 0x89, 0);
	describe(DF, (u32)&df, 103, 0x89, 0);
	describe(TSK, (u32)&ts, 103, 0x89, 0);
	describe(V86, (u32)&v86, 103, 0x89, 0);
	describe(SMALL, (u32)&b, 102, 0x89, 0);
	describe(LDT, (u32)ldt, sizeof(ldt) - 1, 0x82, 0);
	ldt[1] = 0x00cf93000000ffff;
	b_count = c_count = err_count = df_count = ts_count = v_count = 0;
	b_back = c_back = 0;
}

static struct { u32 offset; u16 selector; } __attribute__((packed)) far;

static long jump(u16 selector)
{
	long v;

	far.selector = selector;
	v = TRY("ljmp *%0", : : "m"(far) : "memory");
	asm volatile("clts");
	return v;
}

static long call(u16 selector)
{
	long v;

	far.selector = selector;
	v = TRY("lcall *%0", : : "m"(far) : "memory");
	asm volatile("clts");
	return v;
}

static void expect(long v, long vector, u32 error, const char *what)
{
	ok(v == vector && (v < 0 || this_cpu()->trap.error == error), "%s (vector %ld error %#lx)", what, v, this_cpu()->trap.error);
}

/* --- JMP, CALL, IRET ------------------------------------------------------------------------------- */
static void test_jump(const char *how, u16 selector)
{
	u32 esp, cr0;
	long v;

	set_up();
	far.selector = selector;
	asm volatile("mov %%esp, %0" : "=r"(esp));
	v = TRY("mov $0x600d600d, %%esi; stc; ljmp *%1; mov %%cr0, %0", : "=r"(cr0) : "m"(far) : "esi", "memory");
	asm volatile("clts");
	ok(v == -1 && b_count == 1, "JMP %s: the task has run, and jumped back (vector %ld)", how, v);
	ok(b_eax == 0x11223344 && b_ebx == 0x55667788 && b_esp == (u32)stacks[0] + 4000, "... with the registers of its TSS");
	ok(b_tr == B && !(b_flags & NT), "... TR, no NT (%#x %#x)", b_tr, b_flags);
	ok(b_cr0 & CR0_TS && cr0 & CR0_TS, "... CR0.TS is set, both ways");
	ok(access_of(A) == 0x8b && access_of(B) == 0x89, "... it is not busy, this one is (%#x %#x)", access_of(A), access_of(B));
	ok(b.link == 0, "... it has no link (%#x)", b.link);
	ok_strict(a->eflags & 1, "... EFLAGS that were saved (%#x)", a->eflags);
	ok(a->esi == 0x600d600d && (a->cs & 0xffff) == CS32 && (a->ss & 0xffff) == DS64 && (a->gs & 0xffff) == THIS_CPU &&
	   a->esp <= esp + 64 && a->esp + 256 > esp, "... what was saved of this one (%#x, ESP %#x)", a->esi, a->esp);
	/* it goes on where it left */
	v = jump(selector);
	ok(v == -1 && b_count == 2, "... and goes on behind its own JMP");
}

static void test_call(const char *how, u16 selector)
{
	u32 flags;
	long v;

	set_up();
	b_back = 1;
	far.selector = selector;
	v = TRY("lcall *%1; pushf; pop %0", : "=r"(flags) : "m"(far) : "memory");
	asm volatile("clts");
	ok(v == -1 && b_count == 1, "CALL %s: the task has run, and returned (vector %ld)", how, v);
	ok(b_flags & NT && (b.link & 0xffff) == A, "... NT, and the link (%#x %#x)", b_flags, b.link);
	ok(!(flags & NT), "... NT is not set here");
	ok(access_of(A) == 0x8b && access_of(B) == 0x89, "... busy bits (%#x %#x)", access_of(A), access_of(B));
	ok(!(b.eflags & NT), "... IRET cleared NT in what it saved (%#x)", b.eflags);
	v = call(selector);
	ok(v == -1 && b_count == 2, "... again, behind its IRET");
}

static void test_16(void)
{
	long v;

	set_up();
	v = jump(C16);
	ok(v == -1 && c_count == 1 && (c_ax & 0xffff) == 0x4321 && (c_tr & 0xffff) == C16, "JMP to a 16-bit TSS and back (vector %ld, AX %#x, TR %#x)",
	   v, c_ax, c_tr);
	ok(access_of(A) == 0x8b && access_of(C16) == 0x81, "... busy bits (%#x %#x)", access_of(A), access_of(C16));
	set_up();
	c_back = 1;
	v = call(C16);
	ok(v == -1 && c_count == 1 && c_flags & NT && c16.link == A, "CALL to a 16-bit TSS, IRET (vector %ld, flags %#x, link %#x)", v, c_flags, c16.link);
	ok(access_of(A) == 0x8b && access_of(C16) == 0x81, "... busy bits");
	v = call(C16);
	ok(v == -1 && c_count == 2, "... again");
	/* from the 16-bit one by CALL to a 32-bit one? It would save 16 bits only: its own business */
}

/* --- interrupts and exceptions ------------------------------------------------------------------------ */
static void test_gates(void)
{
	u32 flags, i;
	long v;

	set_up();
	b_back = 1;
	task_gate(0x60, B, 0);
	v = TRY("int $0x60; pushf; pop %0", : "=r"(flags) : : "memory");
	asm volatile("clts");
	ok(v == -1 && b_count == 1 && b_flags & NT && (b.link & 0xffff) == A, "INT n through a task gate (vector %ld)", v);
	ok(b_esp == (u32)stacks[0] + 4000, "... without an error code");
	for (i = 0; i < 100; i++)
		TRY("int $0x60", : : : "memory");
	ok(b_count == 101, "... 100 times more (%u)", b_count);
	interrupt_gate(0x60);
	/* an interrupt from outside */
	task_gate(0x70, B, 0);
	b_count = 0;
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0x70);
	irq_window();
	apic_eoi();
	asm volatile("clts");
	ok(b_count == 1 && (b.link & 0xffff) == A, "interrupt through a task gate (%u)", b_count);
	interrupt_gate(0x70);

	/* an exception with an error code */
	task_gate(13, ERR, 0);
	asm volatile("movl $1f, resume; mov %0, %%fs; 1: mov %1, %%fs; clts" : : "r"(TEST | 3), "r"(DS64) : "memory");
	ok(err_count == 1 && err_code == TEST, "#GP through a task gate: error code %#x", err_code);
	ok(err_esp == (u32)stacks[1] + 4000 - 4, "... pushed on the new task's stack (%#x)", err_esp);
	ok(!(err.eflags & NT) && access_of(ERR) == 0x89, "... and returned");
	interrupt_gate(13);

	/* #NP while #GP is delivered: #DF */
	task_gate(8, DF, 0);
	idt[13].type = 0x0e;
	df_code = 1;
	asm volatile("movl $1f, resume; mov %0, %%fs; 1: mov %1, %%fs; clts" : : "r"(TEST | 3), "r"(DS64) : "memory");
	ok(df_count == 1 && !df_code, "#DF through a task gate (%u, error code %#x)", df_count, df_code);
	ok((df.link & 0xffff) == A, "... its link");
	interrupt_gate(13);
	interrupt_gate(8);

	/* a stack without room for the frame: #SS, #DF; only a task gate gets out of that */
	if (!on_tcg()) {
		task_gate(8, DF, 0);
		asm volatile("movl $1f, resume; mov %%esp, %%ebx; mov %0, %%ss; mov $2, %%esp; ud2; 1: mov %1, %%ss; mov %%ebx, %%esp; clts"
			     : : "r"(TEST), "r"(DS64) : "ebx", "memory");
		ok(df_count == 2, "... also from a stack that has no room");
		interrupt_gate(8);
	}
}

/* --- what is refused ------------------------------------------------------------------------------------- */
static void test_refused(void)
{
	long v;

	set_up();
	expect(jump(A), VECTOR_GP, A, "JMP to the current task");
	expect(call(A), VECTOR_GP, A, "CALL to the current task");
	describe(B, (u32)&b, 103, 0x8b, 0);
	expect(jump(B), VECTOR_GP, B, "JMP to a busy task");
	expect(jump(GATE_B), VECTOR_GP, B, "... through a gate");
	task_gate(0x60, B, 0);
	expect(TRY("int $0x60", : ), VECTOR_GP, B, "... INT n through a gate");
	describe(B, (u32)&b, 103, 0x09, 0);
	expect(jump(B), VECTOR_NP, B, "JMP to a task not present");
	expect(jump(GATE_B), VECTOR_NP, B, "... through a gate");
	describe(GATE_B, 0, 0, 0x05, 0);
	expect(jump(GATE_B), VECTOR_NP, GATE_B, "a gate not present");
	expect(jump(SMALL), VECTOR_TS, SMALL, "a TSS with too small a limit");
	describe(C16, (u32)&c16, 42, 0x81, 0);
	expect(jump(C16), VECTOR_TS, C16, "a 16-bit TSS with too small a limit");
	ldt[2] = this_cpu()->gdt[B / 8] | 0x80ULL << 40;
	asm volatile("lldt %w0" : : "r"(LDT));
	/* QEMU's says #TS */
	v = jump(16 | 4);
	ok_strict(v == VECTOR_GP && this_cpu()->trap.error == (16 | 4), "a TSS in the LDT (vector %ld)", v);
	asm volatile("lldt %w0" : : "r"(0));
	idt[0x60].cs = 16 | 4;
	v = TRY("int $0x60", : );
	ok_strict(v == VECTOR_GP && this_cpu()->trap.error == (16 | 4), "... through a gate (vector %ld)", v);
	idt[0x60].cs = DS64;
	expect(TRY("int $0x60", : ), VECTOR_GP, DS64, "a task gate to something else");
	interrupt_gate(0x60);
	/* IRET with NT: the link */
	set_up();
	a->link = B;
	v = TRY("pushf; orl $0x4000, (%%esp); popf; iret", : : : "memory");
	asm volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "memory");
	expect(v, VECTOR_TS, B, "IRET with NT to a task that is not busy");
	a->link = DS64;
	v = TRY("pushf; orl $0x4000, (%%esp); popf; iret", : : : "memory");
	asm volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "memory");
	expect(v, VECTOR_TS, DS64, "IRET with NT to what is no task");
	ok(access_of(A) == 0x8b && !b_count, "... nothing has happened by all that (%#x, %u)", access_of(A), b_count);
	/* IRET with NT to a task that is made to look as if it had called */
	a->link = B;
	describe(B, (u32)&b, 103, 0x8b, 0);
	v = TRY("pushf; orl $0x4000, (%%esp); popf; iret", : : : "memory");
	asm volatile("clts");
	ok(v == -1 && b_count == 1, "IRET with NT to a task that is (vector %ld)", v);
	ok(!(rflags() & NT) && access_of(B) == 0x89, "... NT is gone, busy bits are right");
	a->link = 0;
}

/* --- the new task is wrong ---------------------------------------------------------------------------------- */
static void wrong(struct tss32 *t, u16 selector, u32 vector, u32 code, const char *what)
{
	unsigned int before = ts_count;

	task_gate(vector, TSK, 0);
	ts_code = 0xdead;
	ts.link = 0;
	jump(selector);
	ok(ts_count == before + 1 && ts_code == code && (ts.link & 0xffff) == selector, "%s: vector %u, error %#x, in the new task (link %#x)",
	   what, vector, ts_code, ts.link & 0xffff);
	interrupt_gate(vector);
	describe(selector, (u32)t, 103, 0x89, 0);
	describe(TSK, (u32)&ts, 103, 0x89, 0);
	fill(t, b_entry, 0);
	fill(&ts, ts_entry, 3);
}

static void test_wrong(void)
{
	set_up();
	b.ss = 0;
	wrong(&b, B, 10, 0, "a TSS with a null SS");
	b.ss = CS32;
	wrong(&b, B, 10, CS32, "code in SS");
	if (!on_tcg()) {
		/* QEMU's says #NP */
		describe(TEST, 0, 0xfffff, 0x13, 0xc);
		b.ss = TEST;
		wrong(&b, B, 12, TEST, "SS not present");
	}
	b.cs = 0;
	wrong(&b, B, 10, 0, "a null CS");
	b.cs = DS64;
	wrong(&b, B, 10, DS64, "data in CS");
	describe(TEST, 0, 0xfffff, 0x1b, 0xc);
	b.cs = TEST;
	wrong(&b, B, 11, TEST, "CS not present");
	b.ds = TSS;
	wrong(&b, B, 10, TSS, "a TSS in DS");
	describe(TEST, 0, 0xfffff, 0x13, 0xc);
	b.es = TEST;
	wrong(&b, B, 11, TEST, "ES not present");
	b.fs = 0x1f8;
	wrong(&b, B, 10, 0x1f8, "FS beyond the table");
	b.ldt = DS64;
	wrong(&b, B, 10, DS64, "data as LDT");
	describe(TEST, (u32)ldt, 31, 0x02, 0);
	b.ldt = TEST;
	wrong(&b, B, 10, TEST, "LDT not present");
	/* Intel: #GP(0); AMD too */
	b.eip = 0x10000;
	describe(TEST, 0, 0xfff, 0x9b, 4);
	b.cs = TEST;
	if (on_tcg())
		fill(&b, b_entry, 0);	/* its fault comes elsewhere */
	else
		wrong(&b, B, 13, 0, "EIP beyond CS");
}

/* --- more of what a switch brings -------------------------------------------------------------------------- */
extern u8 user_call[];
asm("user_call: lcall $0x98, $0; int $0x80\n");

static bool count_debug(struct frame *f)
{
	v_count++;
	v_flags = rdr6();
	wdr6(0);
	return true;
}

static void test_v86(void)
{
	long v;

	set_up();
	memcpy((void *)0x10000, v86_code, 16);
	v86 = (struct tss32){ .eip = 0, .eflags = VM | 2, .cs = 0x1000, .ss = 0x2000, .esp = 0xff0, .ds = 0x1111, .es = 0x2222, .cr3 = rcr3(),
			      .iomap = 104, .esp0 = (u32)stacks[4] + 4000, .ss0 = DS64 };
	set_gate(13, (u32)v86_gp, 0, 0);
	v = jump(V86);
	ok(v == -1 && v_count == 1 && v_flags & VM && (v_cs & 0xffff) == 0x1000, "a virtual-8086 task (vector %ld, EFLAGS %#x, CS %#x)", v, v_flags, v_cs);
	interrupt_gate(13);
}

static void test_more(void)
{
	void *root2[2], *pages[2], *root3[2];
	unsigned int i, bad;
	long v;

	set_up();
	/* LDT, and selectors in it; null ones */
	b.ldt = LDT;
	b.fs = 8 | 4;
	v = jump(B);
	ok(v == -1 && b_ldt == LDT && b_fs == (8 | 4), "LDT and a selector in it (%#x %#x)", b_ldt, b_fs);
	asm volatile("sldt %w0" : "=r"(b_ldt));
	ok(!(b_ldt & 0xffff), "... and none of it is left here");
	set_up();
	b.fs = 0;
	v = jump(B);
	ok(v == -1 && !b_fs, "a null FS");

	/* breakpoints of the task go, the others stay */
	set_up();
	wdr7(0x400 | 1 | 1 << 3);
	wdr0(0);
	jump(B);
	ok((b_dr7 & 0xff) == 1 << 3, "DR7: local breakpoints are off, global ones stay (%#x)", b_dr7);
	wdr7(0x400);

	/* the debug trap */
	if (on_tcg()) {
		skip("the T bit is not emulated by QEMU");
	} else {
		set_up();
		handlers[1] = count_debug;
		b.trap = 1;
		wdr6(0);
		v = jump(B);
		ok(v == -1 && v_count == 1 && v_flags & 0x8000, "T bit: #DB, DR6.BT (%u, %#x)", v_count, v_flags);
		ok(b_count == 1, "... and the task runs");
		handlers[1] = NULL;
	}

	/* from CPL 3 */
	set_up();
	b_back = 1;
	v = run_user((void (*)(void))user_call, 0);
	ok(v == USER_RETURN && b_count == 1 && (a->cs & 0xffff) == UCS32, "CALL of a task gate from CPL 3 (vector %ld, CS %#x)", v, a->cs);
	set_up();
	describe(USER_GATE, 0, 0, 0x85, 0);
	this_cpu()->gdt[USER_GATE / 8] |= (u64)B << 16;
	v = run_user((void (*)(void))user_call, 0);
	expect(v, VECTOR_GP, USER_GATE, "... that has DPL 0");

	if (option("v86", 1))
		test_v86();

	set_up();
	b.eip = (u32)b_entry;
	b_back = 1;
	for (i = bad = 0; i < 300; i++)
		bad += call(i & 1 ? B : B2) != -1;
	ok(!bad && b_count == 300, "two tasks called in turn, 300 times (%u)", b_count);

	/* address spaces of their own */
	for (i = 0; i < 2; i++) {
		root2[i] = make_root(&two_level, memory_end() & -(4UL << 20), NULL);
		root3[i] = make_root(&pae, memory_end() & -(4UL << 20), NULL);
		pages[i] = alloc_page();
		set_entry(&two_level, make_entry(&two_level, root2[i], 0x80000000, 1), (u32)pages[i] | 3);
		set_entry(&pae, make_entry(&pae, root3[i], 0x80000000, 1), (u32)pages[i] | 3);
	}
	for (i = 0; i < 2; i++) {
		void **root = i ? root3 : root2;

		use_paging(i ? &pae : &two_level, root[0]);
		set_up();
		b.cr3 = (u32)root[1];
		/* each has its stack in the page that both have at one address */
		b.esp = 0x80000800;
		memset(pages[1], 0, 4096);
		v = jump(B);
		ok(v == -1 && b_cr3 == (u32)root[1] && rcr3() == (u32)root[0], "%s: CR3 of each task (vector %ld)", i ? "PAE" : "2-level paging", v);
		ok(*(u32 *)((u8 *)pages[1] + 0x7fc) && !*(u32 *)((u8 *)pages[0] + 0x7fc), "... their memory");
	}
	/* #PF through a task gate */
	task_gate(14, ERR, 0);
	err.cr3 = rcr3();
	asm volatile("movl $1f, resume; movl $0, 0x80001234; 1: clts" : : : "memory");
	ok(err_count == 1 && err_code == 2 && err_cr2 == 0x80001234, "#PF through a task gate: error %#x, CR2 %#x", err_code, err_cr2);
	interrupt_gate(14);
	/* the new TSS is not mapped: a page fault of the old task */
	describe(B, 0x80002000, 103, 0x89, 0);
	v = jump(B);
	ok(v == VECTOR_PF && this_cpu()->trap.cr2 >= 0x80002000 && this_cpu()->trap.cr2 < 0x80002068, "a TSS that is not mapped (vector %ld, CR2 %#lx)",
	   v, this_cpu()->trap.cr2);
	ok(access_of(A) == 0x8b && access_of(B) == 0x89, "... and nothing has changed (%#x %#x)", access_of(A), access_of(B));
	use_paging(NULL, NULL);
}

int main(void)
{
	cpu_start(0);
	apic_enable(false);
	pic_init(0x20);
	test_jump("to a TSS", B);
	test_jump("to a task gate", GATE_B);
	test_call("of a TSS", B);
	test_call("of a task gate", GATE_B);
	test_16();
	test_gates();
	test_refused();
	test_wrong();
	test_more();
	return finish_tests();
}

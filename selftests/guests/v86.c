// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual-8086 mode (Intel SDM vol 3, 20.2 and 20.3): tasks in it, what they may not do, INT n in
 * all its ways with and without CR4.VME, the I/O permission bitmap, faults, and a small monitor
 * that keeps one at IOPL 0 running. All of it without paging and with it.
 */
#include "guest.h"

#define SEG	0x1000
#define STACK	0x2000
#define LINEAR(label) (SEG * 16 + (u32)((label) - v86_start))
#define OFFSET(label) ((u32)((label) - v86_start))
#define SP0	0xfff0
#define SECRET	0x50000		/* a page that the task is not given */

#define IF	(1U << 9)
#define TF	(1U << 8)
#define IOPL3	(3U << 12)
#define NT	(1U << 14)
#define VM	(1U << 17)
#define AC	(1U << 18)
#define VIF	(1U << 19)
#define VIP	(1U << 20)
#define CR4_VME	1UL

/* A TSS, the bitmap of INT n that are not redirected, that of ports, and its end */
static struct {
	u32 tss[26];
	u8 redirect[32];
	u8 ports[8192 + 1];
} __attribute__((packed)) task;

static bool paging;
static struct frame last;		/* as it was when the task was left */
static bool (*monitor)(struct frame *);	/* true: go on */

/* --- there and back ------------------------------------------------------------------------ */
extern u8 v86_start[], v86_end[];

static bool on_exception(struct frame *f)
{
	if (!(f->eflags & VM))
		return false;
	if (monitor && monitor(f))
		return true;
	last = *f;
	this_cpu()->trap = (struct trap_record){ f->vector, f->error, f->eip, rcr2(), f->eflags };
	leave_user();
}

static struct { u32 eax, ebx, ecx, edx, esi, edi, ds, es, fs, gs; } regs;

/* Runs @code until the first exception that the monitor does not take; its vector. */
static long run(const u8 *code, u32 eflags)
{
	u32 frame[9] = { OFFSET(code), SEG, eflags | VM | 2, SP0, STACK, regs.es, regs.ds, regs.fs, regs.gs };

	asm volatile("pusha\n"
		     "mov %%esp, user_esp; movl $1f, user_eip\n"
		     "mov %0, %%esp\n"
		     "mov regs, %%eax; mov regs + 4, %%ebx; mov regs + 8, %%ecx; mov regs + 12, %%edx\n"
		     "mov regs + 16, %%esi; mov regs + 20, %%edi\n"
		     "iret\n"
		     "1: mov $0x10, %%eax; mov %%eax, %%ds; mov %%eax, %%es; mov %%eax, %%fs\n"
		     "mov $0x50, %%eax; mov %%eax, %%gs\n"
		     "popa\n"
		     : : "r"(frame), "m"(frame), "m"(regs) : "memory");
	return last.vector;
}

/* as the compiler does not see who uses it */
static void *const keep[] __attribute__((used)) = { &regs };

/* --- the task's code ------------------------------------------------------------------------- */
#define CODE(name, text) asm(".text; .code16\n.globl c_" #name "\nc_" #name ": " text "\n.code32\n"); extern u8 c_##name[]

asm(".text; .balign 16; .globl v86_start\nv86_start:\n");
CODE(hlt, "mov $0x1234, %ax; hlt");
CODE(cli, "cli; hlt");
CODE(sti, "sti; nop; hlt");
CODE(pushf, "pushf; pop %ax; hlt");
CODE(pushfl, "pushfl; pop %eax; hlt");
CODE(popf, "push %bx; popf; hlt");
CODE(popfl, "push %ebx; popfl; hlt");
CODE(iret, "push %bx; push %cs; push $(1f-v86_start); iret; ud2; 1: hlt");
CODE(iretl, "push %ebx; pushl $0x1000; pushl $(1f-v86_start); iretl; ud2; 1: hlt");
CODE(int, "int $0x60; hlt");
CODE(int_denied, "int $0x61; hlt");
CODE(int3, "int3; hlt");
CODE(into, "mov $0x7f, %al; inc %al; into; hlt");
CODE(out, "mov $0x5a, %al; out %al, %dx; hlt");
CODE(in, "in %dx, %al; hlt");
CODE(outw, "mov $0x5a5a, %ax; out %ax, %dx; hlt");
CODE(rep_outs, "mov $3, %cx; rep outsb; hlt");
CODE(mov_cr, "mov %cr0, %eax; hlt");
CODE(mov_to_cr, "mov %eax, %cr3; hlt");
CODE(mov_dr, "mov %dr0, %eax; hlt");
CODE(lgdt, "lgdt 0; hlt");
CODE(lidt, "lidt 0; hlt");
CODE(lmsw, "lmsw %ax; hlt");
CODE(clts, "clts; hlt");
CODE(wbinvd, "wbinvd; hlt");
CODE(invlpg, "invlpg 0; hlt");
CODE(rdmsr, "rdmsr; hlt");
CODE(wrmsr, "wrmsr; hlt");
CODE(lldt, "lldt %ax; hlt");
CODE(ltr, "ltr %ax; hlt");
CODE(sldt, "sldt %ax; hlt");
CODE(str, "str %ax; hlt");
CODE(lar, "lar %ax, %ax; hlt");
CODE(verr, "verr %ax; hlt");
CODE(arpl, "arpl %ax, %ax; hlt");
CODE(ud, "ud2; hlt");
CODE(div, "xor %bx, %bx; div %bl; hlt");
CODE(bound, "mov $9, %ax; bound %ax, %cs:(v86_bounds-v86_start); hlt; v86_bounds: .word 0, 4");
CODE(step, "nop; nop; hlt");
CODE(smsw, "smsw %ax; hlt");
CODE(limit, "mov $0xffff, %bx; mov (%bx), %ax; hlt");
CODE(limit_byte, "mov $0xffff, %bx; mov (%bx), %al; hlt");
CODE(limit_stack, "mov $0xffff, %bp; mov (%bp), %ax; hlt");
CODE(limit32, "mov $0x10000, %ebx; mov (%ebx), %al; hlt");
CODE(secret, "mov $0x5000, %ax; mov %ax, %es; mov %es:0x123, %al; hlt");
CODE(secret_write, "mov $0x5000, %ax; mov %ax, %es; movb $1, %es:0x124; hlt");
CODE(secret_push, "mov $0x5000, %ax; mov %ax, %ss; mov $0x200, %sp; push %ax; hlt");
CODE(kernel, "mov $0xffff, %ax; mov %ax, %es; mov %es:0x10, %al; hlt");
CODE(wrap, "mov $0xffff, %ax; mov %ax, %es; mov %es:0x20, %al; hlt");
CODE(far, "ljmp $0x1010, $(1f-v86_start-0x100); ud2; 1: mov %cs, %cx; lcall $0x1000, $(2f-v86_start); mov %sp, %dx; hlt; 2: mov %cs, %ax; lret");
CODE(strings, "cld; mov $0x3000, %ax; mov %ax, %es; mov $0xfffe, %di; mov $4, %cx; mov $0x77, %al; rep stosb; mov %di, %ax; hlt");
/* an interrupt handler of its own, for INT n by way of the table at 0 */
CODE(handler, "push %bp; mov %sp, %bp; mov 6(%bp), %ax; pop %bp; pushf; pop %bx; iret");
CODE(int_own, "int $0x62; hlt");
/* a program for the monitor: 200 times CLI, STI, PUSHF, POPF, INT n, OUT and IN */
CODE(program,
     "xor %si, %si; mov $200, %cx\n"
     "1: cli; pushf; pop %ax; test $0x200, %ax; jnz 9f\n"
     "sti; pushf; pop %ax; test $0x200, %ax; jz 9f\n"
     "int $0x62\n"
     "pushf; cli; popf; pushf; pop %ax; test $0x200, %ax; jz 9f\n"
     "mov $0x99, %dx; mov %cl, %al; out %al, %dx; xor %al, %al; in %dx, %al; cmp %cl, %al; jne 9f\n"
     "inc %si; loop 1b\n"
     "9: hlt");
CODE(spin, "1: inc %cx; jmp 1b");
asm(".globl v86_end\nv86_end:\n");

/* --- one case ------------------------------------------------------------------------------------ */
static const char *const with_paging[] = { "", "paging: " };

/* Ends at its HLT, that is with #GP(0) there */
static bool at_hlt(void)
{
	return last.vector == VECTOR_GP && !last.error && *(u8 *)((last.cs & 0xffff) * 16 + last.eip) == 0xf4;
}

static void runs(const u8 *code, u32 eflags, const char *what)
{
	run(code, eflags);
	ok(at_hlt(), "%s%s (vector %u error %#x at %#x)", with_paging[paging], what, last.vector, last.error, last.eip - OFFSET(code));
}

static void faults(const u8 *code, u32 eflags, u32 vector, u32 error, u32 at, const char *what)
{
	run(code, eflags);
	ok(last.vector == vector && last.error == error && last.eip == OFFSET(code) + at,
	   "%s%s: vector %u error %#x at %u", with_paging[paging], what, last.vector, last.error, last.eip - OFFSET(code));
}

static void reset(void)
{
	volatile u32 *ivt = (u32 *)0;
	unsigned int i;

	memcpy((void *)(SEG * 16), v86_start, v86_end - v86_start);
	memset(&regs, 0, sizeof(regs));
	memset(task.redirect, 0xff, sizeof(task.redirect));
	memset(task.ports, 0xff, sizeof(task.ports));
	for (i = 0; i < 256; i++)
		ivt[i] = SEG << 16 | OFFSET(c_handler);
	monitor = NULL;
}

static void allow_port(u16 port)
{
	task.ports[port / 8] &= ~(1 << port % 8);
}

/* --- what it is --------------------------------------------------------------------------------------- */
static void test_entry(void)
{
	regs.ds = 0x1111;
	regs.es = 0x2222;
	regs.fs = 0x3333;
	regs.gs = 0x4444;
	regs.ebx = 0x12345678;
	runs(c_hlt, 0, "IRET to virtual-8086 mode, HLT is #GP");
	ok((last.eax & 0xffff) == 0x1234 && last.ebx == 0x12345678, "... its registers");
	ok((last.cs & 0xffff) == SEG && (last.ss & 0xffff) == STACK && last.esp == SP0, "... CS, SS, ESP (%#x %#x %#x)", last.cs, last.ss, last.esp);
	ok((last.v86_ds & 0xffff) == 0x1111 && (last.v86_es & 0xffff) == 0x2222 && (last.v86_fs & 0xffff) == 0x3333 &&
	   (last.v86_gs & 0xffff) == 0x4444, "... the data segments are saved");
	ok(!(last.ds & 0xffff) && !(last.es & 0xffff) && !(last.fs & 0xffff) && !(last.gs & 0xffff), "... and null in the handler");
	ok((last.eflags & (VM | IOPL3)) == VM, "... EFLAGS (%#x)", last.eflags);
	reset();
	runs(c_far, 0, "far JMP and CALL");
	ok((last.ecx & 0xffff) == 0x1010 && (last.eax & 0xffff) == SEG && (last.edx & 0xffff) == SP0, "... CS there (%#x %#x)", last.ecx, last.eax);
	runs(c_strings, 0, "REP STOSB over 64 KiB");
	ok((last.eax & 0xffff) == 2 && *(u8 *)0x3ffff == 0x77 && *(u8 *)0x30000 == 0x77, "... wraps (%#x)", last.eax);
	runs(c_smsw, 0, "SMSW");
	ok(last.eax & 1, "... PE is set");
}

/* --- sensitive to IOPL ------------------------------------------------------------------------------------- */
static void test_iopl(void)
{
	wcr4(rcr4() & ~CR4_VME);
	faults(c_cli, 0, 13, 0, 0, "IOPL 0: CLI");
	faults(c_sti, 0, 13, 0, 0, "IOPL 0: STI");
	faults(c_pushf, 0, 13, 0, 0, "IOPL 0: PUSHF");
	faults(c_pushfl, 0, 13, 0, 0, "IOPL 0: PUSHFD");
	faults(c_popf, 0, 13, 0, 1, "IOPL 0: POPF");
	faults(c_popfl, 0, 13, 0, 2, "IOPL 0: POPFD");
	faults(c_iret, 0, 13, 0, 5, "IOPL 0: IRET");
	faults(c_iretl, 0, 13, 0, 14, "IOPL 0: IRETD");
	faults(c_int, 0, 13, 0, 0, "IOPL 0: INT n");
	faults(c_int3, 0, 3, 0, 1, "IOPL 0: INT3 does not care");
	faults(c_into, 0, 4, 0, 5, "IOPL 0: INTO neither");

	runs(c_cli, IOPL3 | IF, "IOPL 3: CLI");
	ok(!(last.eflags & IF), "... clears IF");
	runs(c_sti, IOPL3, "IOPL 3: STI");
	ok(last.eflags & IF, "... sets IF");
	runs(c_pushf, IOPL3 | 1, "IOPL 3: PUSHF");
	ok((last.eax & 0xf003) == 0x3003, "... what it pushes (%#x)", last.eax & 0xffff);
	runs(c_pushfl, IOPL3 | 1, "IOPL 3: PUSHFD");
	ok((last.eax & 0x3f003) == 0x3003, "... without VM and RF (%#x)", last.eax);
	regs.ebx = IF | 1;
	runs(c_popf, IOPL3, "IOPL 3: POPF");
	ok((last.eflags & (IOPL3 | IF | VM | 1)) == (IOPL3 | IF | VM | 1), "... IF and CF, not IOPL nor VM (%#x)", last.eflags);
	regs.ebx = AC | IF | VIP;
	runs(c_popfl, IOPL3, "IOPL 3: POPFD");
	ok((last.eflags & (IOPL3 | IF | VM | AC | VIP)) == (IOPL3 | IF | VM | AC), "... AC and IF, not IOPL, VM nor VIP (%#x)", last.eflags);
	regs.ebx = IF | 1;
	runs(c_iret, IOPL3, "IOPL 3: IRET");
	ok((last.eflags & (IOPL3 | IF | VM | 1)) == (IOPL3 | IF | VM | 1) && last.esp == SP0, "... stays in virtual-8086 mode (%#x)", last.eflags);
	runs(c_iretl, IOPL3, "IOPL 3: IRETD");
	ok((last.eflags & (IOPL3 | IF | VM | 1)) == (IOPL3 | IF | VM | 1) && last.esp == SP0, "... likewise (%#x)", last.eflags);
	faults(c_int, IOPL3 | IF, 0x60, 0, 2, "IOPL 3: INT n by a gate of DPL 3");
	ok(last.eflags & IF && last.eflags & VM, "... saves EFLAGS as they were (%#x)", last.eflags);
	faults(c_int_denied, IOPL3, 13, 0x61 * 8 + 2, 0, "IOPL 3: INT n by a gate of DPL 0");
	memset(&regs, 0, sizeof(regs));
}

/* --- privileged and unknown ------------------------------------------------------------------------------------ */
static void test_privileged(void)
{
	static const struct { const u8 *code; const char *name; u32 vector; } cases[] = {
		{ c_mov_cr, "MOV from CR0", 13 }, { c_mov_to_cr, "MOV to CR3", 13 }, { c_mov_dr, "MOV from DR0", 13 },
		{ c_lgdt, "LGDT", 13 }, { c_lidt, "LIDT", 13 }, { c_lmsw, "LMSW", 13 }, { c_clts, "CLTS", 13 },
		{ c_wbinvd, "WBINVD", 13 }, { c_invlpg, "INVLPG", 13 }, { c_rdmsr, "RDMSR", 13 }, { c_wrmsr, "WRMSR", 13 },
		{ c_lldt, "LLDT", 6 }, { c_ltr, "LTR", 6 }, { c_sldt, "SLDT", 6 }, { c_str, "STR", 6 }, { c_lar, "LAR", 6 },
		{ c_verr, "VERR", 6 }, { c_arpl, "ARPL", 6 }, { c_ud, "UD2", 6 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		faults(cases[i].code, IOPL3, cases[i].vector, 0, 0, cases[i].name);
	faults(c_div, 0, 0, 0, 2, "DIV by 0");
	faults(c_bound, 0, 5, 0, 3, "BOUND");
	wdr6(0);
	if (option("debug", 1)) {
		faults(c_step, TF, 1, 0, 1, "single step");
		ok(rdr6() & 0x4000 && last.eflags & TF, "... DR6.BS (%#lx)", rdr6());
	}
	wdr6(0);
	run(c_limit, 0);
	ok_strict(last.vector == 13 && !last.error && last.eip == OFFSET(c_limit) + 3, "%sword at offset 0xffff (vector %u)", with_paging[paging], last.vector);
	runs(c_limit_byte, 0, "byte at offset 0xffff");
	run(c_limit_stack, 0);
	ok_strict(last.vector == 12 && !last.error, "%sword at offset 0xffff of the stack (vector %u)", with_paging[paging], last.vector);
	run(c_limit32, 0);
	ok_strict(last.vector == 13 && last.eip == OFFSET(c_limit32) + 6, "%soffset 0x10000 (vector %u)", with_paging[paging], last.vector);
}

/* --- ports --------------------------------------------------------------------------------------------------------- */
static void test_ports(void)
{
	u8 old = inb(0x21);
	u64 *tss = &this_cpu()->gdt[TSS / 8], saved = *tss;

	regs.edx = 0x21;
	faults(c_out, IOPL3, 13, 0, 2, "OUT to a port that the bitmap denies");
	faults(c_in, IOPL3, 13, 0, 0, "IN likewise");
	allow_port(0x21);
	runs(c_out, 0, "OUT that it allows, with IOPL 0");
	ok(inb(0x21) == 0x5a, "... arrives (%#x)", inb(0x21));
	runs(c_in, 0, "IN");
	ok((last.eax & 0xff) == 0x5a, "... brings it (%#x)", last.eax & 0xff);
	faults(c_outw, 0, 13, 0, 3, "OUT of a word whose second port is denied");
	regs.esi = 0;
	regs.ds = SEG;
	runs(c_rep_outs, 0, "REP OUTSB");
	ok(inb(0x21) == v86_start[2], "... the last byte (%#x)", inb(0x21));
	regs.edx = 0xffff;
	faults(c_in, 0, 13, 0, 0, "the last port, denied");
	allow_port(0xffff);
	runs(c_in, 0, "the last port, allowed");
	/* the bitmap ends with the TSS's limit */
	regs.edx = 0x21;
	*tss = (*tss & ~0xffffULL & ~(0x2ULL << 40)) | (26 * 4 + 32 + 4);
	asm volatile("ltr %w0" : : "r"(TSS));
	faults(c_in, 0, 13, 0, 0, "a port beyond the TSS's limit");
	*tss = saved & ~(0x2ULL << 40);
	asm volatile("ltr %w0" : : "r"(TSS));
	outb(0x21, old);
	reset();
}

/* --- CR4.VME ----------------------------------------------------------------------------------------------------------- */
static void test_vme(void)
{
	if (!(cpuid(1).d & 2) || on_tcg()) {
		/* QEMU's lets the bit be set and does nothing of it */
		skip("%s", cpuid(1).d & 2 ? "CR4.VME is not emulated by QEMU" : "no VME");
		return;
	}
	wcr4(rcr4() | CR4_VME);
	runs(c_cli, VIF, "VME: CLI");
	ok(!(last.eflags & VIF), "... clears VIF");
	runs(c_sti, 0, "VME: STI");
	ok(last.eflags & VIF && !(last.eflags & IF), "... sets VIF (%#x)", last.eflags);
	faults(c_sti, VIP, 13, 0, 0, "VME: STI with VIP");
	runs(c_pushf, VIF, "VME: PUSHF");
	ok((last.eax & 0x3200) == 0x3200, "... shows VIF as IF, and IOPL 3 (%#x)", last.eax & 0xffff);
	faults(c_pushfl, VIF, 13, 0, 0, "VME: PUSHFD");
	regs.ebx = IF | 1;
	runs(c_popf, 0, "VME: POPF");
	ok((last.eflags & (VIF | IF | 1)) == (VIF | 1), "... IF goes to VIF (%#x)", last.eflags);
	faults(c_popf, VIP, 13, 0, 1, "VME: POPF of IF with VIP");
	regs.ebx = TF;
	faults(c_popf, 0, 13, 0, 1, "VME: POPF of TF");
	regs.ebx = IF | 1;
	runs(c_iret, 0, "VME: IRET");
	ok((last.eflags & (VIF | IF | 1)) == (VIF | 1), "... IF goes to VIF (%#x)", last.eflags);
	faults(c_iret, VIP, 13, 0, 5, "VME: IRET to IF with VIP");
	faults(c_iretl, 0, 13, 0, 14, "VME: IRETD");
	/* INT n: by the task's own table where the bitmap says so */
	faults(c_int_own, 0, 13, 0, 0, "VME, IOPL 0: INT n that is not redirected");
	faults(c_int, IOPL3, 0x60, 0, 2, "VME, IOPL 3: INT n that is not redirected");
	task.redirect[0x62 / 8] &= ~(1 << 0x62 % 8);
	runs(c_int_own, VIF, "VME, IOPL 0: INT n redirected");
	ok((last.eax & 0x3200) == 0x3200, "... the flags that it pushed have VIF as IF, IOPL 3 (%#x)", last.eax & 0xffff);
	ok(!(last.ebx & 0x200) && last.eflags & VIF, "... VIF is clear in the handler, set after it (%#x)", last.ebx & 0xffff);
	runs(c_int_own, IOPL3 | IF, "VME, IOPL 3: INT n redirected");
	ok((last.eax & 0x3200) == 0x3200 && !(last.ebx & 0x200) && last.eflags & IF, "... IF likewise (%#x %#x)", last.eax & 0xffff,
	   last.ebx & 0xffff);
	runs(c_cli, IOPL3 | IF | VIF, "VME, IOPL 3: CLI");
	ok((last.eflags & (IF | VIF)) == VIF, "... clears IF, not VIF (%#x)", last.eflags);
	wcr4(rcr4() & ~CR4_VME);
	reset();
}

/* --- memory that it is not given ------------------------------------------------------------------------------------------- */
static void test_pages(void *root)
{
	void *e = find_entry(&two_level, root, SECRET, 1);

	set_entry(&two_level, e, 0);
	invlpg((void *)SECRET);
	faults(c_secret, 0, 14, 4, 5, "page not present, read");
	ok(this_cpu()->trap.cr2 == SECRET + 0x123, "... CR2 (%#lx)", this_cpu()->trap.cr2);
	faults(c_secret_write, 0, 14, 6, 5, "page not present, write");
	faults(c_secret_push, 0, 14, 6, 8, "page not present, PUSH");
	ok(this_cpu()->trap.cr2 == SECRET + 0x1fe && (last.esp & 0xffff) == 0x200, "... CR2 (%#lx), SP as before", this_cpu()->trap.cr2);
	set_entry(&two_level, e, SECRET | PTE_P | PTE_W);
	faults(c_secret, 0, 14, 5, 5, "the kernel's page, read");
	faults(c_kernel, 0, 14, 5, 5, "the kernel's memory at 1 MiB");
	set_entry(&two_level, e, SECRET | PTE_P | PTE_U);
	invlpg((void *)SECRET);
	runs(c_secret, 0, "a read-only page, read");
	faults(c_secret_write, 0, 14, 7, 5, "a read-only page, write");
	set_entry(&two_level, e, SECRET | PTE_P | PTE_W | PTE_U);
	invlpg((void *)SECRET);
	runs(c_secret_write, 0, "a page of its own, write");
	ok(get_entry(&two_level, e) & PTE_D, "... is dirty");
}

/* --- a monitor ----------------------------------------------------------------------------------------------------------------- */
static bool virtual_if;
static u8 virtual_port;
static u32 emulated;

static u16 *task_stack(struct frame *f)
{
	return (u16 *)((f->ss & 0xffff) * 16 + (f->esp & 0xffff));
}

static void task_push(struct frame *f, u16 v)
{
	f->esp = (f->esp & ~0xffffU) | ((f->esp - 2) & 0xffff);
	*task_stack(f) = v;
}

static u16 task_pop(struct frame *f)
{
	u16 v = *task_stack(f);

	f->esp = (f->esp & ~0xffffU) | ((f->esp + 2) & 0xffff);
	return v;
}

static void set_flags(struct frame *f, u16 v)
{
	virtual_if = v & IF;
	f->eflags = (f->eflags & ~0xcffU) | (v & 0xcff) | 2;
}

static bool emulate(struct frame *f)
{
	u8 *ip = (u8 *)((f->cs & 0xffff) * 16 + (f->eip & 0xffff));

	if (f->vector != VECTOR_GP || f->error)
		return false;
	emulated++;
	switch (*ip) {
	case 0xfa:
	case 0xfb:
		virtual_if = *ip == 0xfb;
		f->eip++;
		return true;
	case 0x9c:
		task_push(f, (f->eflags & ~IF) | (virtual_if ? IF : 0));
		f->eip++;
		return true;
	case 0x9d:
		set_flags(f, task_pop(f));
		f->eip++;
		return true;
	case 0xcd:
		task_push(f, (f->eflags & ~IF) | (virtual_if ? IF : 0));
		task_push(f, f->cs);
		task_push(f, f->eip + 2);
		virtual_if = false;
		f->eip = ((u16 *)0)[2 * ip[1]];
		f->cs = ((u16 *)0)[2 * ip[1] + 1];
		return true;
	case 0xcf:
		f->eip = task_pop(f);
		f->cs = task_pop(f);
		set_flags(f, task_pop(f));
		return true;
	case 0xee:
		virtual_port = f->eax;
		f->eip++;
		return true;
	case 0xec:
		f->eax = (f->eax & ~0xffU) | virtual_port;
		f->eip++;
		return true;
	}
	return false;
}

static void test_monitor(void)
{
	monitor = emulate;
	emulated = 0;
	virtual_if = true;
	runs(c_program, IF, "a program under a monitor");
	ok((last.esi & 0xffff) == 200 && !(last.ecx & 0xffff), "... 200 rounds of it (%u)", last.esi & 0xffff);
	ok(emulated == 200 * 13 + 1, "... %u instructions emulated", emulated);
	monitor = NULL;
}

/* --- interrupts from outside ---------------------------------------------------------------------------------------------------- */
static u32 interrupts;

static bool on_interrupt(struct frame *f)
{
	apic_eoi();
	if (f->eflags & VM && ++interrupts < 10) {
		apic_icr(0, ICR_SELF | ICR_ASSERT | 0x70);
		return true;
	}
	if (!(f->eflags & VM))
		return true;
	last = *f;
	leave_user();
}

static void test_interrupts(void)
{
	handlers[0x70] = on_interrupt;
	interrupts = 0;
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0x70);
	run(c_spin, IF);
	ok(interrupts == 10 && last.eflags & VM && last.vector == 0x70, "%sinterrupts out of virtual-8086 mode, and back (%u)", with_paging[paging], interrupts);
	/* with IF clear they wait */
	interrupts = 0;
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0x70);
	runs(c_hlt, 0, "IF clear");
	ok(!interrupts, "... holds interrupts");
	irq_window();
}

static void *make_tables(void)
{
	void *root = make_root(&two_level, memory_end() & -(4UL << 20), NULL);
	u32 a;

	/* the first 4 MiB in small pages: the task has what is below 640 KiB */
	set_entry(&two_level, root, 0);
	for (a = 0; a < 4 << 20; a += 4096)
		set_entry(&two_level, make_entry(&two_level, root, a, 1), a | PTE_P | PTE_W | (a < 0xa0000 ? PTE_U : 0));
	return root;
}

int main(void)
{
	u64 base = (u32)&task;
	unsigned int i;
	void *root;

	cpu_start(0);
	if (!option("v86", 1)) {
		skip("virtual-8086 mode: not on this processor");
		return finish_tests();
	}
	apic_enable(false);
	pic_init(0x20);
	task.tss[1] = (u32)this_cpu()->stack + sizeof(this_cpu()->stack);
	task.tss[2] = DS64;
	task.tss[25] = (26 * 4 + 32) << 16;
	this_cpu()->gdt[TSS / 8] = 0x0000890000000000 | (sizeof(task) - 1) | (base & 0xffffff) << 16 | (base >> 24) << 56;
	asm volatile("ltr %w0" : : "r"(TSS));
	for (i = 0; i < 256; i++)
		handlers[i] = on_exception;
	handlers[0xff] = NULL;
	set_gate(0x60, (u32)vector_entries + 16 * 0x60, 0, 3);
	set_gate(0x62, (u32)vector_entries + 16 * 0x62, 0, 3);
	root = make_tables();
	for (i = 0; i < 2; i++) {
		paging = i;
		if (paging)
			use_paging(&two_level, root);
		reset();
		test_entry();
		test_iopl();
		test_privileged();
		test_ports();
		test_vme();
		test_monitor();
		test_interrupts();
		if (paging)
			test_pages(root);
	}
	use_paging(NULL, NULL);
	return finish_tests();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Through all modes and back: 64-bit, compatibility, 32-bit protected with PAE tables,
 * with two-level tables and without paging, 16-bit protected, real; in each of them
 * instructions that exit, exceptions, and memory.
 */
#include "guest.h"

/* Below 1 MiB, so that every mode reaches it. */
#define RESULTS		0x6000
#define IDT32		0x5000
#define REAL_CODE	0x9000
#define REAL_STACK	0x8ff0

enum {
	R_COMPAT_CPUID, R_COMPAT_STACK, R_PROT_CPUID, R_PROT_MMIO, R_PROT_IO, R_PROT_INT, R_PROT_UD,
	R_PROT_SEGMENT, R_TWO_ALIAS, R_TWO_BIG, R_TWO_FAULT, R_TWO_CR2, R_TWO_DIRTY, R_PAE_ALIAS,
	R_PAE_FAULT, R_PAE_CR2, R_P16_CPUID, R_P16_LIMIT, R_REAL_CPUID, R_REAL_IO, R_REAL_INT, R_REAL_UD, R_REAL_DE,
	R_REAL_STRING, R_REAL_WRAP, R_REAL_BIG, R_REAL_CR0, R_REAL_SEGMENT, R_REAL_LOOP, R_REAL_MSR,
	R_FAULT_VECTOR, R_FAULT_ERROR, R_END, R_SCRATCH, R_NR
};

#define R(x) "(0x6000 + 4 * " x ")"

asm(".set R_COMPAT_CPUID, 0; .set R_COMPAT_STACK, 1; .set R_PROT_CPUID, 2; .set R_PROT_MMIO, 3\n"
    ".set R_PROT_IO, 4; .set R_PROT_INT, 5; .set R_PROT_UD, 6; .set R_PROT_SEGMENT, 7\n"
    ".set R_TWO_ALIAS, 8; .set R_TWO_BIG, 9; .set R_TWO_FAULT, 10; .set R_TWO_CR2, 11\n"
    ".set R_TWO_DIRTY, 12; .set R_PAE_ALIAS, 13; .set R_PAE_FAULT, 14; .set R_PAE_CR2, 15\n"
    ".set R_P16_CPUID, 16; .set R_P16_LIMIT, 17; .set R_REAL_CPUID, 18; .set R_REAL_IO, 19\n"
    ".set R_REAL_INT, 20; .set R_REAL_UD, 21; .set R_REAL_DE, 22; .set R_REAL_STRING, 23\n"
    ".set R_REAL_WRAP, 24; .set R_REAL_BIG, 25; .set R_REAL_CR0, 26; .set R_REAL_SEGMENT, 27\n"
    ".set R_REAL_LOOP, 28; .set R_REAL_MSR, 29; .set R_FAULT_VECTOR, 30; .set R_FAULT_ERROR, 31; .set R_END, 32; .set R_SCRATCH, 33\n");

_Static_assert(R_REAL_MSR == 29 && R_FAULT_ERROR == 31 && R_END == 32, "the assembly counts along");

extern u8 real_start[], real_end[];
u32 two_level_cr3, pae_cr3;

void excursion(void);

asm(".text\n"
    ".code64\n"
    ".globl excursion\n"
    "excursion:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, saved_rsp\n"
    "	mov %cr3, %rax; mov %rax, saved_cr3\n"
    "	sidt saved_idt\n"
    "	mov $0xc0000101, %ecx; rdmsr; mov %eax, saved_gs; mov %edx, saved_gs + 4\n"
    "	push $0x18\n"
    "	push $1f\n"
    "	lretq\n"
    /* compatibility mode */
    ".code32\n"
    "1:	mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
    "	xor %eax, %eax; xor %ecx, %ecx; cpuid; mov %ebx, " R("R_COMPAT_CPUID") "\n"
    "	push $0x12345678; pop %eax; mov %eax, " R("R_COMPAT_STACK") "\n"
    /* paging off, LME off: 32-bit protected mode */
    "	mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "	mov $0xc0000080, %ecx; rdmsr; and $~0x100, %eax; wrmsr\n"
    "	lidt idt32_pointer\n"
    "	xor %eax, %eax; xor %ecx, %ecx; cpuid; mov %ebx, " R("R_PROT_CPUID") "\n"
    "	mov 0xfee00030, %eax; mov %eax, " R("R_PROT_MMIO") "\n"
    "	mov $0x5a, %al; out %al, $0x21; xor %eax, %eax; in $0x21, %al; mov %eax, " R("R_PROT_IO") "\n"
    "	mov $0xff, %al; out %al, $0x21\n"
    "	movl $0, " R("R_SCRATCH") "; int $0x41; mov " R("R_SCRATCH") ", %eax; mov %eax, " R("R_PROT_INT") "\n"
    "	movl $1f, resume; ud2\n"
    "1:	mov " R("R_FAULT_VECTOR") ", %eax; mov %eax, " R("R_PROT_UD") "\n"
    /* a segment's base counts */
    "	mov $0x58, %eax; mov %eax, %fs; mov %fs:(4 * R_COMPAT_STACK), %eax; mov %eax, " R("R_PROT_SEGMENT") "\n"

    /* two-level paging with 4 MiB pages; alias at 0xc0000000 */
    "	mov %cr4, %eax; mov %eax, saved_cr4; and $~0x20, %eax; or $0x10, %eax; mov %eax, %cr4\n"
    "	mov two_level_cr3, %eax; mov %eax, %cr3\n"
    "	mov %cr0, %eax; or $0x80010000, %eax; mov %eax, %cr0\n"
    "	jmp 1f\n"
    "1:	mov 0xc0000000 + 4 * R_COMPAT_STACK, %eax; mov %eax, " R("R_TWO_ALIAS") "\n"
    "	mov 0xc0400000 + 0x6000 + 4 * R_COMPAT_STACK, %eax; mov %eax, " R("R_TWO_BIG") "\n"
    "	xor %eax, %eax; xor %ecx, %ecx; cpuid\n"
    "	movl $1f, resume; movl $-1, " R("R_FAULT_VECTOR") "; movl $1, 0xc0001234\n"
    "1:	mov " R("R_FAULT_ERROR") ", %eax; shl $8, %eax; or " R("R_FAULT_VECTOR") ", %eax; mov %eax, " R("R_TWO_FAULT") "\n"
    "	mov %cr2, %eax; mov %eax, " R("R_TWO_CR2") "\n"
    "	movl $7, 0xc0000000 + 4 * R_TWO_DIRTY\n"
    /* off again, PAE */
    "	mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "	mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4\n"
    "	mov pae_cr3, %eax; mov %eax, %cr3\n"
    "	mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
    "	jmp 1f\n"
    "1:	mov 0xc0000000 + 4 * R_COMPAT_STACK, %eax; mov %eax, " R("R_PAE_ALIAS") "\n"
    "	movl $1f, resume; movl $-1, " R("R_FAULT_VECTOR") "; mov 0xc0001678, %eax\n"
    "1:	mov " R("R_FAULT_ERROR") ", %eax; shl $8, %eax; or " R("R_FAULT_VECTOR") ", %eax; mov %eax, " R("R_PAE_FAULT") "\n"
    "	mov %cr2, %eax; mov %eax, " R("R_PAE_CR2") "\n"
    "	mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    /* 16-bit protected mode */
    "	mov %esp, saved_esp\n"
    "	ljmp $0x20, $(0x9000 + p16 - real_start)\n"

    ".code16\n"
    "real_start:\n"
    "p16:\n"
    "	mov $0x28, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss; mov %ax, %fs; mov %ax, %gs\n"
    "	mov $0x8ff0, %esp\n"
    "	xor %eax, %eax; xor %ecx, %ecx; cpuid; mov %ebx, " R("R_P16_CPUID") "\n"
    "	mov $0x28, %ax; lsl %ax, %eax; mov %eax, " R("R_P16_LIMIT") "\n"
    /* FS keeps a 4 GiB limit through real mode ("unreal") */
    "	mov $0x10, %ax; mov %ax, %fs\n"
    "	mov %cr0, %eax; and $0xfe, %al; mov %eax, %cr0\n"
    "	ljmp $0x900, $(1f - real_start)\n"
    "1:	xor %ax, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss; mov $0x8ff0, %sp\n"
    "	lidtl real_idt - real_start + 0x9000\n"
    "	xor %eax, %eax; xor %ecx, %ecx; cpuid; mov %ebx, " R("R_REAL_CPUID") "\n"
    "	mov $0xa5, %al; out %al, $0x21; xor %eax, %eax; in $0x21, %al; mov %eax, " R("R_REAL_IO") "\n"
    "	mov $0xff, %al; out %al, $0x21\n"
    "	movl $0, " R("R_SCRATCH") "; int $0x40; mov " R("R_SCRATCH") ", %eax; mov %eax, " R("R_REAL_INT") "\n"
    "	movl $0, " R("R_SCRATCH") "; ud2; mov " R("R_SCRATCH") ", %eax; mov %eax, " R("R_REAL_UD") "\n"
    "	movl $0, " R("R_SCRATCH") "; xor %dx, %dx; mov $1, %ax; xor %cx, %cx; div %cx; mov " R("R_SCRATCH") ", %eax; mov %eax, " R("R_REAL_DE") "\n"
    /* strings between two segments */
    "	mov $0x700, %ax; mov %ax, %es; mov $0x600, %ax; mov %ax, %ds; xor %si, %si; xor %di, %di; mov $64, %cx; cld; rep movsl\n"
    "	mov $0x700, %ax; mov %ax, %ds; mov 4 * R_COMPAT_STACK, %eax; xor %bx, %bx; mov %bx, %ds; mov %eax, " R("R_REAL_STRING") "\n"
    /* 0xffff:x reaches above 1 MiB with A20 on: the image's first bytes at 1 MiB */
    "	mov $0xffff, %ax; mov %ax, %es; mov %es:0x10, %eax; mov %eax, " R("R_REAL_WRAP") "\n"
    "	mov $0x100000, %ebx; mov %fs:(%ebx), %eax; mov %eax, " R("R_REAL_BIG") "\n"
    "	smsw %ax; movzx %ax, %eax; mov %eax, " R("R_REAL_CR0") "\n"
    "	mov $0x1234, %ax; mov %ax, %es; mov %es, %ax; movzx %ax, %eax; mov %eax, " R("R_REAL_SEGMENT") "\n"
    "	mov $1000, %cx; xor %eax, %eax; 2: inc %eax; out %al, $0x80; loop 2b; mov %eax, " R("R_REAL_LOOP") "\n"
    "	mov $0x1b, %ecx; rdmsr; mov %eax, " R("R_REAL_MSR") "\n"
    /* and back */
    "	mov %cr0, %eax; or $1, %al; mov %eax, %cr0\n"
    "	ljmpl $0x18, $back32\n"
    "real_int:\n"
    "	movl $0x4040, " R("R_SCRATCH") "; iret\n"
    "real_ud:\n"
    "	push %bp; mov %sp, %bp; addw $2, 2(%bp); pop %bp; movl $0x606, " R("R_SCRATCH") "; iret\n"
    "real_de:\n"
    "	push %bp; mov %sp, %bp; addw $2, 2(%bp); pop %bp; movl $0x101, " R("R_SCRATCH") "; iret\n"
    ".balign 8\n"
    "real_idt: .word 0x3ff; .long 0\n"
    "real_end:\n"

    ".code32\n"
    "back32:\n"
    "	mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss; mov %eax, %fs; mov %eax, %gs\n"
    "	mov saved_esp, %esp\n"
    "	movl $0x600d, " R("R_END") "\n"
    "	mov saved_cr4, %eax; mov %eax, %cr4\n"
    "	mov saved_cr3, %eax; mov %eax, %cr3\n"
    "	mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
    "	mov %cr0, %eax; or $0x80010000, %eax; mov %eax, %cr0\n"
    "	ljmp $0x08, $1f\n"
    ".code64\n"
    "1:	lidt saved_idt\n"
    "	mov saved_rsp, %rsp\n"
    "	mov $0xc0000101, %ecx; mov saved_gs, %eax; mov saved_gs + 4, %edx; wrmsr\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"

    /* 32-bit handlers: vector and error code are noted, execution goes on at `resume` */
    ".code32\n"
    "int32: movl $0x4141, " R("R_SCRATCH") "; iret\n"
    "ud32: movl $6, " R("R_FAULT_VECTOR") "; movl $0, " R("R_FAULT_ERROR") "; jmp 1f\n"
    "gp32: movl $13, " R("R_FAULT_VECTOR") "; popl " R("R_FAULT_ERROR") "; jmp 1f\n"
    "pf32: movl $14, " R("R_FAULT_VECTOR") "; popl " R("R_FAULT_ERROR") "\n"
    "1:	push %eax; mov resume, %eax; mov %eax, 4(%esp); pop %eax; iret\n"
    ".code64\n"
    ".data\n"
    ".balign 8\n"
    "saved_rsp: .quad 0\n"
    "saved_cr3: .quad 0\n"
    "saved_gs: .quad 0\n"
    "saved_idt: .quad 0, 0\n"
    "saved_esp: .long 0\n"
    "saved_cr4: .long 0\n"
    "resume: .long 0\n"
    "idt32_pointer: .word 0x7ff; .long 0x5000\n"
    ".text\n");

extern u8 int32[], ud32[], gp32[], pf32[], real_int[], real_ud[], real_de[];

static void gate32(unsigned int vector, const u8 *handler)
{
	u32 *e = (u32 *)(u64)(IDT32 + 8 * vector), a = (u64)handler;

	e[0] = CS32 << 16 | (a & 0xffff);
	e[1] = (a & 0xffff0000) | 0x8e00;
}

static void real_vector(unsigned int vector, const u8 *handler)
{
	*(volatile u32 *)(4UL * vector) = 0x900U << 16 | (u32)(handler - real_start);
}

static u32 *pd2, *pt2;

static void make_tables(void)
{
	u64 *pdpt = alloc_page(), *pd3 = alloc_page(), *pt3 = alloc_page();
	unsigned int i;

	/* two levels: 4 GiB in 4 MiB pages; 0xc0000000 through a table, its page 1 read-only */
	pd2 = alloc_page();
	pt2 = alloc_page();
	for (i = 0; i < 1024; i++)
		pd2[i] = i << 22 | 0x83;
	pd2[0x300] = (u32)(u64)pt2 | 3;
	pt2[0] = RESULTS | 3;
	pt2[1] = RESULTS | 1;
	pd2[0x301] = 0x83;
	two_level_cr3 = (u64)pd2;
	/* PAE: three times the boot tables, then one's own; page 1 is not there */
	for (i = 0; i < 3; i++)
		pdpt[i] = (u64)(boot_pd + 512 * i) | 1;
	pdpt[3] = (u64)pd3 | 1;
	memcpy(pd3, boot_pd + 3 * 512, 4096);
	pd3[0] = (u64)pt3 | 3;
	pt3[0] = RESULTS | 3;
	pae_cr3 = (u64)pdpt;
}

int main(void)
{
	volatile u32 *r = (u32 *)RESULTS;
	u32 vendor = cpuid(0).b, first;
	unsigned int round;
	struct cpu *c;

	cpu_start(0);
	apic_enable(false);
	pic_init(0x20);
	c = this_cpu();
	c->gdt[SPARE / 8] = 0x00cf93000000ffff | (u64)RESULTS << 16;	/* base RESULTS */
	memcpy((void *)REAL_CODE, real_start, real_end - real_start);
	memset((void *)IDT32, 0, 2048);
	gate32(0x41, int32);
	gate32(6, ud32);
	gate32(13, gp32);
	gate32(14, pf32);
	first = *(volatile u32 *)0x100000;
	for (round = 0; round < 10; round++) {
		memset((void *)RESULTS, 0, 4 * R_NR);
		/* with CR0.WP the 2-level tables' read-only page faults; the real-mode IVT is fresh */
		make_tables();
		real_vector(0x40, real_int);
		real_vector(6, real_ud);
		real_vector(0, real_de);
		excursion();
		if (round && r[R_END] == 0x600d)
			continue;
		ok(r[R_COMPAT_CPUID] == vendor, "compatibility mode: CPUID");
		ok(r[R_COMPAT_STACK] == 0x12345678, "compatibility mode: 32-bit PUSH and POP");
		ok(r[R_PROT_CPUID] == vendor, "protected mode: CPUID");
		ok((r[R_PROT_MMIO] & 0xf0) == 0x10, "protected mode, paging off: MMIO (%#x)", r[R_PROT_MMIO]);
		ok(r[R_PROT_IO] == 0x5a, "protected mode: IN, OUT (%#x)", r[R_PROT_IO]);
		ok(r[R_PROT_INT] == 0x4141, "protected mode: INT n");
		ok(r[R_PROT_UD] == 6, "protected mode: #UD");
		ok(r[R_PROT_SEGMENT] == 0x12345678, "protected mode: segment with a base");
		ok(r[R_TWO_ALIAS] == 0x12345678, "two-level paging: 4 KiB page (%#x)", r[R_TWO_ALIAS]);
		ok(r[R_TWO_BIG] == 0x12345678, "two-level paging: 4 MiB page (%#x)", r[R_TWO_BIG]);
		ok(r[R_TWO_FAULT] == 0x30e && r[R_TWO_CR2] == 0xc0001234, "two-level paging: write to a read-only page (%#x, cr2 %#x)",
		   r[R_TWO_FAULT], r[R_TWO_CR2]);
		ok(r[R_TWO_DIRTY] == 7 && pt2[0] & 0x40 && !(pt2[1] & 0x40), "two-level paging: dirty bit");
		ok(r[R_PAE_ALIAS] == 0x12345678, "PAE: 4 KiB page (%#x)", r[R_PAE_ALIAS]);
		ok(r[R_PAE_FAULT] == 0x00e && r[R_PAE_CR2] == 0xc0001678, "PAE: page not present (%#x, cr2 %#x)",
		   r[R_PAE_FAULT], r[R_PAE_CR2]);
		ok(r[R_P16_CPUID] == vendor, "16-bit protected mode: CPUID");
		ok(r[R_P16_LIMIT] == 0xffff, "16-bit protected mode: LSL (%#x)", r[R_P16_LIMIT]);
		ok(r[R_REAL_CPUID] == vendor, "real mode: CPUID");
		ok(r[R_REAL_IO] == 0xa5, "real mode: IN, OUT (%#x)", r[R_REAL_IO]);
		ok(r[R_REAL_INT] == 0x4040, "real mode: INT n");
		ok(r[R_REAL_UD] == 0x606, "real mode: #UD through the vector table");
		ok(r[R_REAL_DE] == 0x101, "real mode: #DE through the vector table");
		ok(r[R_REAL_STRING] == 0x12345678, "real mode: REP MOVSD between segments");
		ok(r[R_REAL_WRAP] == first, "real mode: ffff:0010 is 1 MiB (%#x %#x)", r[R_REAL_WRAP], first);
		ok(r[R_REAL_BIG] == first, "real mode: segment with a 4 GiB limit (%#x)", r[R_REAL_BIG]);
		ok(!(r[R_REAL_CR0] & 1), "real mode: SMSW says so");
		ok(r[R_REAL_SEGMENT] == 0x1234, "real mode: segment register");
		ok(r[R_REAL_LOOP] == 1000, "real mode: 1,000 times OUT (%u)", r[R_REAL_LOOP]);
		ok((r[R_REAL_MSR] & 0xfffff000) == 0xfee00000, "real mode: RDMSR");
		ok(r[R_END] == 0x600d, "back in 64-bit mode");
	}
	ok(round == 10, "... ten times");
	return finish_tests();
}

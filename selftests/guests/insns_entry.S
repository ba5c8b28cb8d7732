/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The supervisor's side of insns.c: INT 0x81 loads the state of run_in and goes
 * there, whatever comes next is stored in run_out. The layout is that of struct run.
 *
 * Short, because a hybrid VM interprets it instruction by instruction.
 */
	.text
	.code64

	.macro segment reg, at
	mov run_in + \at, %eax
	mov %eax, %\reg
	.endm

	.globl run_entry
run_entry:
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, run_saved
	lgdt run_tables
	lidt run_tables + 16
	mov $0x80, %eax			/* SEL_LDT */
	lldt %ax
	segment ds, 168
	segment es, 176
	segment fs, 184
	segment gs, 192
	cmpb $0, run_vectors
	je 1f
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	movups run_xmm + 16 * \n, %xmm\n
	.endr
1:	pushq run_in + 160
	pushq run_in + 152
	pushq run_in + 144
	pushq run_in + 136
	pushq run_in + 128
	mov run_in, %rax
	mov run_in + 8, %rcx
	mov run_in + 16, %rdx
	mov run_in + 24, %rbx
	mov run_in + 40, %rbp
	mov run_in + 48, %rsi
	mov run_in + 56, %rdi
	mov run_in + 64, %r8
	mov run_in + 72, %r9
	mov run_in + 80, %r10
	mov run_in + 88, %r11
	mov run_in + 96, %r12
	mov run_in + 104, %r13
	mov run_in + 112, %r14
	mov run_in + 120, %r15
	iretq

	.globl run_exits
	.balign 16
run_exits:
vector = 0
	.rept 256
	.balign 16
	.if vector != 8 && vector != 10 && vector != 11 && vector != 12 && vector != 13 && vector != 14 && vector != 17 && vector != 21 && vector != 29 && vector != 30
	push $0
	.endif
	push $vector
	jmp run_exit
	vector = vector + 1
	.endr

run_exit:
	mov %rax, run_out
	mov %rcx, run_out + 8
	mov %rdx, run_out + 16
	mov %rbx, run_out + 24
	mov %rbp, run_out + 40
	mov %rsi, run_out + 48
	mov %rdi, run_out + 56
	mov %r8, run_out + 64
	mov %r9, run_out + 72
	mov %r10, run_out + 80
	mov %r11, run_out + 88
	mov %r12, run_out + 96
	mov %r13, run_out + 104
	mov %r14, run_out + 112
	mov %r15, run_out + 120
	popq run_out + 200		/* vector */
	popq run_out + 208		/* error code */
	popq run_out + 128
	popq run_out + 136
	popq run_out + 144
	popq run_out + 152
	popq run_out + 160
	mov %ds, run_out + 168
	mov %es, run_out + 176
	mov %fs, run_out + 184
	mov %gs, run_out + 192
	mov %cr2, %rax
	mov %rax, run_out + 216
	mov $0xc0000100, %ecx		/* FS.base */
	rdmsr
	mov %eax, run_out + 224
	mov %edx, run_out + 228
	inc %ecx			/* GS.base */
	rdmsr
	mov %eax, run_out + 232
	mov %edx, run_out + 236
	xor %edx, %edx
	mov %cr4, %rbx
	mov %rbx, run_out + 248
	cmp %rbx, run_cr + 8
	je 1f
	mov run_cr + 8, %rsi
	mov %rsi, %cr4
1:	mov %cr0, %rbx
	mov %rbx, run_out + 240
	cmp %rbx, run_cr
	je 2f
	mov run_cr, %rsi
	mov %rsi, %cr0
2:	cmpb $0, run_vectors
	je 3f
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	movups %xmm\n, run_xmm + 16 * \n
	.endr
3:	lgdt run_tables + 32
	lidt run_tables + 48
	mov $0x10, %ebx			/* DS64 */
	mov %ebx, %ds
	mov %ebx, %es
	mov %ebx, %ss
	/* null, so that the way to CPL 3 leaves the base alone */
	xor %ebx, %ebx
	mov %ebx, %fs
	mov %ebx, %gs
	mov run_gs, %eax
	wrmsr
	mov run_saved, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	iretq

	/* INT 0x82: RCX bytes at RSI to the console */
	.globl print_entry
print_entry:
	mov $0x3f8, %edx
	cld
	rep outsb
	iretq

	/* INT 0x83: dirty bits have been cleared */
	.globl flush_entry
flush_entry:
	push %rax
	mov %cr3, %rax
	mov %rax, %cr3
	pop %rax
	iretq

	.bss
run_saved:
	.quad 0

	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: GPL-2.0-only */
/* 256 entries of a 32-bit IDT, each of which makes a struct frame and calls trap(). */

	.text
	.code32
	.globl vector_entries
	.balign 16
vector_entries:
vector = 0
	.rept 256
	.balign 16
	/* #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX push an error code themselves */
	.if vector != 8 && vector != 10 && vector != 11 && vector != 12 && vector != 13 && vector != 14 && vector != 17 && vector != 21 && vector != 29 && vector != 30
	push $0
	.endif
	push $vector
	jmp common
	vector = vector + 1
	.endr

common:
	push %ds
	push %es
	push %fs
	push %gs
	pusha
	cld
	/* whatever the interrupted code had there; SS is the kernel's already */
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov $0x50, %eax
	mov %eax, %gs
	mov %esp, %eax
	mov %esp, %ebp
	and $-16, %esp
	sub $12, %esp
	push %eax
	call trap
	mov %ebp, %esp
	.globl trap_return
trap_return:
	popa
	pop %gs
	pop %fs
	pop %es
	pop %ds
	add $8, %esp
	iret

	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * 32-bit programs: from the Multiboot-1 entry (protected mode, paging off) to main(),
 * and from a SIPI (real mode) to ap_main().
 */
#define MULTIBOOT_MAGIC	0x1badb002
#define MULTIBOOT_FLAGS	0x00000003	/* page-align modules; memory map, please */

#define DS	0x10
#define CS32	0x18

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.text
	.code32
	.globl _start
_start:
	cld
	mov $boot_stack_top, %esp
	mov %ebx, boot_info
	mov %eax, boot_magic
	lgdt boot_gdt_pointer
	ljmp $CS32, $1f
1:	call load_data
	mov %cr0, %eax
	or $0x32, %eax			/* NE ET MP */
	mov %eax, %cr0
	mov $0x600, %eax		/* OSXMMEXCPT OSFXSR */
	mov %eax, %cr4
	call main
	push %eax
	call finish

load_data:
	mov $DS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	ret

	/* Copied to a page below 1 MiB: the SIPI's vector says which. */
	.globl trampoline, trampoline_end
	.code16
trampoline:
	cli
	cld
	mov %cs, %ax
	mov %ax, %ds
	lgdtl (trampoline_gdt - trampoline)
	mov %cr0, %eax
	and $0x9fffffff, %eax
	or $0x33, %eax
	mov %eax, %cr0
	ljmpl $CS32, $ap_protected
	.balign 8
trampoline_gdt:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt
trampoline_end:

	.code32
ap_protected:
	mov $DS, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	/* one after the other: the lock is the right to use ap_stack */
1:	lock btsl $0, ap_lock
	pause
	jc 1b
	mov ap_stack, %esp
	mov $0x600, %eax
	mov %eax, %cr4
	call ap_main
2:	hlt
	jmp 2b

	.data
	.balign 16
boot_gdt:
	.quad 0
	.quad 0
	.quad 0x00cf93000000ffff	/* 0x10 data */
	.quad 0x00cf9b000000ffff	/* 0x18 32-bit code */
boot_gdt_end:
boot_gdt_pointer:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt

	.balign 4
	.globl boot_info, boot_magic, ap_stack, ap_lock
boot_info:	.long 0
boot_magic:	.long 0
ap_lock:	.long 0
ap_stack:	.long 0

	.bss
	.balign 16
	.skip 32768
boot_stack_top:

	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the Multiboot-1 entry (32-bit protected mode, paging off) to main() in
 * 64-bit mode; and from a SIPI (real mode) to ap_main().
 */
#define MULTIBOOT_MAGIC	0x1badb002
#define MULTIBOOT_FLAGS	0x00000003	/* page-align modules; memory map, please */

#define CS64	0x08
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

	/* identity mapping of 4 GiB in 2 MiB pages */
	mov $boot_pd, %edi
	mov $0xe7, %eax			/* PS D A U W P; user so that CPL 3 needs nothing more */
	xor %ecx, %ecx
1:	mov %eax, (%edi, %ecx, 8)
	movl $0, 4(%edi, %ecx, 8)
	add $0x200000, %eax
	inc %ecx
	cmp $2048, %ecx
	jne 1b
	mov $boot_pd + 7, %eax
	xor %ecx, %ecx
2:	mov %eax, boot_pdpt(, %ecx, 8)
	add $0x1000, %eax
	inc %ecx
	cmp $4, %ecx
	jne 2b
	movl $boot_pdpt + 7, boot_pml4

	lgdt boot_gdt_pointer
	call long_mode
	ljmp $CS64, $3f
	.code64
3:	call main
	mov %eax, %edi
	jmp finish

	/* 32-bit, paging off -> compatibility mode; keeps ESP, ESI, EDI */
	.code32
long_mode:
	mov $0x620, %eax		/* OSXMMEXCPT OSFXSR PAE */
	mov %eax, %cr4
	mov $boot_pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x901, %eax			/* NXE LME SCE */
	wrmsr
	mov $0x80010033, %eax		/* PG WP NE ET MP PE */
	mov %eax, %cr0
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
	or $1, %eax
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
	mov %eax, %ss
	/* one after the other: the lock is the right to use ap_stack */
1:	lock btsl $0, ap_lock
	pause
	jc 1b
	mov ap_stack, %esp
	call long_mode
	ljmp $CS64, $2f
	.code64
2:	call ap_main
3:	hlt
	jmp 3b

	.data
	.balign 16
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* 0x08 64-bit code */
	.quad 0x00cf93000000ffff	/* 0x10 data */
	.quad 0x00cf9b000000ffff	/* 0x18 32-bit code */
boot_gdt_end:
boot_gdt_pointer:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt
	.long 0

	.balign 4
	.globl boot_info, boot_magic, ap_stack, ap_lock
boot_info:	.long 0
boot_magic:	.long 0
ap_lock:	.long 0
ap_stack:	.quad 0

	.bss
	.balign 4096
	.globl boot_pml4, boot_pdpt, boot_pd
boot_pml4:	.skip 4096
boot_pdpt:	.skip 4096
boot_pd:	.skip 4 * 4096
	.skip 16384
boot_stack_top:

	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The real-mode part of realmode.c. It is copied to SEG:0. Every check() leaves a value, and
 * beside it, in real_table, what it has to be; C compares and reports.
 */
#define SEG	0x1000		/* this code and its data */
#define STACK	0x2000
#define DATA	0x3000		/* ES: 64 KiB to play with */
#define OTHER	0x4000		/* as much again */
#define HIGH	0x400000	/* above 1 MiB, free (see realmode.c) */
#define O(x)	((x)-real_start)
#define NONE	0xffff

#define FLAT	0x10
#define CS32	0x18
#define CODE16	0x58
#define DATA16	0x60
#define GATE16	0x78
#define GATE32	0x80
#define P16_STACK 0xfefc	/* SP in p16: less what the call from 32-bit code has pushed */

	.set number, 0

	/* EAX is to be \expected. \lax: QEMU's processor does not look there. Keeps everything. */
	.macro check name, expected, lax=0
	movl %eax, %cs:O(results) + 4 * number
	.pushsection .rodata.names, "a"
9901:	.asciz "\name"
	.popsection
	.pushsection .rodata.table, "a"
	.long 9901b, \expected, \lax
	.popsection
	.set number, number + 1
	.endm

	/* an instruction that may fault; its vector in EAX, or NONE */
	.macro try insn:vararg
	movw $NONE, %cs:O(last)
	movw $O(9902f), %cs:O(fixup)
	\insn
9902:	movw $0, %cs:O(fixup)
	movzwl %cs:O(last), %eax
	.endm

	.macro done
	movl $number, %cs:O(checked)
	ret
	.endm

	.section .rodata.table, "a"
	.globl real_table
real_table:
	.section .rodata.names, "a"

	.text
	.balign 4096
	.globl real_start, real_end, real_stubs, real_checked, real_results, real_call, real_steps
	.code16
real_start:

/* --- interrupts: what came is noted, and `fixup` taken if there is one ------------------ */
real_stubs:
vector = 0
	.rept 256
	.balign 8
	pushw $vector
	jmp noted
	vector = vector + 1
	.endr

noted:
	push %bp
	mov %sp, %bp
	push %ax
	mov 2(%bp), %ax
	mov %ax, %cs:O(last)
	mov 4(%bp), %ax
	mov %ax, %cs:O(last_ip)
	mov 6(%bp), %ax
	mov %ax, %cs:O(last_cs)
	mov 8(%bp), %ax
	mov %ax, %cs:O(last_flags)
	pushf
	pop %ax
	mov %ax, %cs:O(handler_flags)
	incw %cs:O(taken)
	cmpw $0, %cs:O(fixup)
	je 1f
	mov %cs:O(fixup), %ax
	mov %ax, 4(%bp)
	movw $0, %cs:O(fixup)
1:	pop %ax
	pop %bp
	add $2, %sp
	iret

/* the 8259's line 0 */
	.globl real_irq0, real_nothing, real_step, t_nothing
t_nothing:
	ret

real_irq0:
	push %ax
	incw %cs:O(ticks)
	mov $0x20, %al
	out %al, $0x20
	pop %ax
	iret

real_step:
	incw %cs:O(real_steps)
	iret

real_nothing:
	iret

/* --- INT n and IRET ---------------------------------------------------------------------- */
	.globl t_int
t_int:
	movw $0, O(taken)
	stc
	sti
	int $0x40
1:	pushf
	cli
	pop %ax
	movzwl %ax, %eax
	and $0x201, %eax
	check "INT n: IRET restores the flags", 0x201
	movzwl O(last), %eax
	check "INT n: its entry of the table", 0x40
	movzwl O(last_ip), %eax
	check "INT n: IP behind it", O(1b)
	movzwl O(last_cs), %eax
	check "INT n: CS", SEG
	movzwl O(last_flags), %eax
	and $0x201, %eax
	check "INT n: FLAGS as they were", 0x201
	movzwl O(handler_flags), %eax
	and $0x300, %eax
	check "INT n: IF and TF clear in the handler", 0
	movzwl O(taken), %eax
	check "INT n: once", 1
	int3
1:	movzwl O(last_ip), %eax
	check "INT3: IP behind it", O(1b)
	movzwl O(last), %eax
	check "INT3: vector", 3
	mov $0x7f, %al
	inc %al
	into
	movzwl O(last), %eax
	check "INTO with OF: vector", 4
	movw $NONE, O(last)
	xor %al, %al
	into
	movzwl O(last), %eax
	check "INTO without OF: nothing", NONE
	/* all of them: the counter tells */
	movw $0, O(taken)
	vector = 0x20
	.rept 224
	int $vector
	vector = vector + 1
	.endr
	movzwl O(taken), %eax
	check "INT 0x20 to 0xff", 224
	/* 32-bit IRET */
	pushfl
	pushl $SEG
	pushl $O(1f)
	iretl
	ud2
1:	mov %sp, %ax
	movzwl %ax, %eax
	check "IRETD", 0xffee
	/* a table elsewhere, shorter */
	push %es
	push $0
	pop %ds
	xor %si, %si
	xor %di, %di
	mov $0x200, %cx
	cld
	rep movsb
	push %cs
	pop %ds
	movw $O(noted_elsewhere), %es:4 * 0x41
	movw $SEG, %es:4 * 0x41 + 2
	lidtl O(other_idt)
	movw $0, O(elsewhere)
	int $0x41
	movzwl O(elsewhere), %eax
	check "LIDT: another table", 1
	try int $0x90
	check "LIDT: a vector beyond the limit is #GP", 13
	lidtl O(real_idt)
	pop %es
	done

noted_elsewhere:
	incw %cs:O(elsewhere)
	iret

/* --- exceptions --------------------------------------------------------------------------- */
	.globl t_fault
t_fault:
	xor %cx, %cx
	xor %dx, %dx
	mov $1, %ax
1:	try div %cx
	check "DIV by 0", 0
	/* the first byte of `try` is not the instruction: MOVW and MOVW before it */
	movzwl O(last_ip), %eax
	cmpb $0xf7, O(real_start)(%eax)
	sete %al
	movzbl %al, %eax
	check "DIV by 0: IP at the instruction", 1
	mov $0x4000, %ax
	mov $2, %cl
	try idiv %cl
	check "IDIV with a quotient too big", 0
	try aam $0
	check "AAM 0", 0
	try ud2
	check "UD2", 6
	mov $5, %ax
	try bound %ax, O(bounds)
	check "BOUND outside", 5
	mov $3, %ax
	try bound %ax, O(bounds)
	check "BOUND inside", NONE
	try .byte 0xf0, 0x90
	check "LOCK NOP", 6
	try .byte 0x8c, 0xf0
	check "MOV from a segment register 6", 6
	try .byte 0x8e, 0xc8
	check "MOV to CS", 6
	/* no such instructions in real mode */
	try str %ax
	check "STR", 6
	try sldt %ax
	check "SLDT", 6
	try ltr %ax
	check "LTR", 6
	try lldt %ax
	check "LLDT", 6
	try verr %ax
	check "VERR", 6
	try verw %ax
	check "VERW", 6
	try lar %ax, %bx
	check "LAR", 6
	try lsl %ax, %bx
	check "LSL", 6
	try arpl %ax, %bx
	check "ARPL", 6
	try .byte 0x66, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x90
	check "an instruction of 16 bytes", 13
	/* limits: 64 KiB */
	mov $0xffff, %bx
	try mov %es:(%bx), %ax
	check "word at offset 0xffff", 13, 1
	try movb $1, %es:(%bx)
	check "byte at offset 0xffff", NONE
	mov $0xfffd, %bx
	try movl %es:(%bx), %eax
	check "doubleword at 0xfffd", 13, 1
	mov $0x10000, %ebx
	try movb %es:(%ebx), %al
	check "32-bit offset 0x10000", 13, 1
	mov $0xffff, %bp
	try mov (%bp), %ax
	check "word at offset 0xffff of the stack", 12, 1
	/* QEMU's goes there, and finds a JMPL *%ECX */
	movl $0xe1ff66, %ss:0x12345-(STACK-SEG)*16
	movw $NONE, O(last)
	mov $O(7f), %ecx
	movw %cx, O(fixup)
	mov $0x12345, %eax
	jmpl *%eax
7:	movw $0, O(fixup)
	movzwl O(last), %eax
	check "jump beyond 64 KiB", 13, 1
	mov $0x12345678, %ecx
	try rdmsr
	check "RDMSR of no MSR", 13, 1
	try .byte 0x0f, 0x34
	check "SYSENTER", 13, 1
	done

	/* QEMU's processor does not refuse it, and is lost then */
	.globl t_pg
t_pg:
	mov %cr0, %eax
	or $0x80000000, %eax
	try mov %eax, %cr0
	check "CR0.PG without PE", 13
	done

/* --- far transfers -------------------------------------------------------------------------- */
	.globl t_far
t_far:
	xor %eax, %eax
	ljmp $SEG + 0x10, $O(1f) - 0x100
	ud2
1:	mov %cs, %ax
	ljmp $SEG, $O(1f)
1:	check "far JMP to another segment of the same place", (SEG+0x10)
	mov %sp, %bp
	xor %ebx, %ebx
	lcall $SEG + 0x20, $O(far_proc) - 0x200
1:	movzwl %ax, %eax
	check "far CALL: CS there", (SEG+0x20)
	movzwl %bx, %eax
	check "far CALL: the return address", O(1b)
	movzwl %dx, %eax
	check "far CALL: the return segment", SEG
	mov %bp, %ax
	sub %sp, %ax
	movzwl %ax, %eax
	check "far RET: the stack", 0
	push $1
	push $2
	lcall *O(far_pointer)
	mov %bp, %ax
	sub %sp, %ax
	movzwl %ax, %eax
	check "far CALL through memory, far RET 4", 0
	ljmp *O(far_pointer2)
	ud2
far_target:
	mov %cs, %ax
	movzwl %ax, %eax
	check "far JMP through memory", SEG
	ljmpl *O(far_pointer32)
	ud2
far_target32:
	mov %sp, %bp
	lcalll $SEG, $O(far_proc32)
	mov %bp, %ax
	sub %sp, %ax
	movzwl %ax, %eax
	check "far JMP, CALL, RET with 32-bit offsets", 0
	/* near ones */
	mov $O(near_proc), %bx
	xor %ax, %ax
	call *%bx
	call near_proc
	push $7
	call near_proc2
	mov %bp, %cx
	sub %sp, %cx
	add %cx, %ax
	movzwl %ax, %eax
	check "near CALL, RET, RET n", 3
	done

far_proc:
	mov %cs, %ax
	mov %sp, %bp
	mov (%bp), %bx
	mov 2(%bp), %dx
	add $4, %bp
	lret
far_proc_arguments:
	lret $4
far_proc32:
	lretl
near_proc:
	inc %ax
	ret
near_proc2:
	inc %ax
	ret $2

/* --- flags and the stack ------------------------------------------------------------------ */
	.globl t_stack
t_stack:
	pushw $0x7002
	popf
	pushf
	pop %ax
	movzwl %ax, %eax
	and $0xf002, %eax
	check "POPF: NT and IOPL; bit 15 stays 0", 0x7002
	pushw $0
	popf
	pushfl
	pop %eax
	and $0x3ffff, %eax
	check "PUSHFD: RF and VM are 0, bit 1 is 1", 2
	pushl $0x40000
	popfl
	pushfl
	pop %eax
	and $0x40000, %eax
	check "POPFD: AC", 0x40000
	pushl $2
	popfl
	stc
	pushf
	lahf
	pop %bx
	xor %ah, %bl
	movzbl %bl, %eax
	check "LAHF", 0
	mov $0xd5, %ah
	sahf
	pushf
	pop %ax
	movzbl %al, %eax
	check "SAHF", 0xd7
	clc
	/* SP wraps */
	mov %sp, %bp
	xor %sp, %sp
	pushw $0x1234
	mov %sp, %ax
	pop %bx
	xor %cx, %cx
	mov %sp, %cx
	mov %bp, %sp
	movzwl %ax, %eax
	check "PUSH at SP 0 goes to 0xfffe", 0xfffe
	movzwl %bx, %eax
	check "... and POP takes it from there", 0x1234
	movzwl %cx, %eax
	check "... and wraps", 0
	/* only SP counts */
	mov $0x12340000, %eax
	mov %sp, %ax
	mov %eax, %esp
	push %ax
	pop %ax
	mov %esp, %eax
	movzwl %sp, %esp
	shr $16, %eax
	check "the high half of ESP is not the stack's", 0x1234
	mov $0x11111111, %eax
	mov $0x22222222, %ecx
	mov $0x33333333, %edx
	mov $0x44444444, %ebx
	mov $0x55555555, %ebp
	mov $0x66666666, %esi
	mov $0x77777777, %edi
	pushal
	pusha
	xor %edi, %edi
	popa
	popal
	xor %esi, %edi
	xor %ebp, %edi
	mov %edi, %eax
	check "PUSHA, POPA", 0x44444444
	mov %sp, %bp
	push %bp
	mov %sp, %cx
	enter $8, $2
	mov %sp, %ax
	sub %cx, %ax
	leave
	movzwl %ax, %eax
	check "ENTER 8, 2", 0xfff2
	pop %bp
	pushl %ds
	pop %ax
	pop %bx
	movzwl %ax, %eax
	check "PUSH DS with a 32-bit operand", SEG
	push %ss
	pop %ss
	mov %ss, %ax
	movzwl %ax, %eax
	check "POP SS", STACK
	movl $OTHER << 16 | 0x5678, %es:0x10
	push %es
	les %es:0x10, %bx
	mov %es, %ax
	shl $16, %eax
	mov %bx, %ax
	pop %es
	check "LES", (OTHER<<16|0x5678)
	/* NT and IRET: no task to go back to in real mode */
	pushf
	pushw $0x4002
	popf
	pushf
	push %cs
	push $O(1f)
	iret
1:	popf
	mov $1, %eax
	check "IRET with NT", 1
	done

/* --- strings ---------------------------------------------------------------------------------- */
	.globl t_string
t_string:
	cld
	push %ds
	push %es
	mov $OTHER, %ax
	mov %ax, %ds
	/* 64 KiB of pattern */
	xor %di, %di
	xor %ax, %ax
1:	stosw
	add $0x9e37, %ax
	or %di, %di
	jnz 1b
	/* across the segment's end, byte by byte */
	mov $0xfff8, %si
	push %es
	pop %ds
	mov $OTHER, %ax
	mov %ax, %es
	mov $0xfffc, %di
	mov $16, %cx
	rep movsb
	movzwl %si, %eax
	check "REP MOVSB across 64 KiB: SI", 8
	movzwl %di, %eax
	check "... DI", 12
	mov 0xfff9, %al
	cmp %es:0xfffd, %al
	jne 2f
	mov 7, %al
	cmp %es:11, %al
	jne 2f
	mov 0, %al
	cmp %es:4, %al
2:	setne %al
	movzbl %al, %eax
	check "... the bytes", 0
	std
	mov $3, %si
	mov $3, %di
	mov $8, %cx
	rep movsb
	cld
	movzwl %si, %eax
	check "... downward: SI", 0xfffb
	mov 0xfffc, %al
	xor %es:0xfffc, %al
	movzbl %al, %eax
	check "... the byte", 0
	/* words at an odd offset do not wrap */
	mov $0xfffd, %si
	mov $4, %cx
	try rep lodsw
	check "REP LODSW over the end", 13, 1
	/* with 32-bit registers */
	mov $0xfff8, %esi
	mov $0, %edi
	mov $16, %ecx
	try addr32 rep movsb
	check "REP MOVSB with ESI over the end", 13, 1
	cmp $8, %ecx
	sete %al
	movzbl %al, %eax
	check "... where it stops", 1, 1
	/* CX 0 and 0x10000 */
	mov $0x10000, %ecx
	mov $0x80, %di
	mov $0x77, %al
	rep stosb
	movzwl %di, %eax
	check "REP STOSB with CX 0 does nothing", 0x80
	mov $0x77, %al
	mov $0xffff, %cx
	xor %di, %di
	rep stosb
	movzbl %es:0xfffe, %eax
	check "REP STOSB of 64 KiB less 1", 0x77
	mov $0xffff, %cx
	xor %di, %di
	mov $0x77, %al
	movb $1, %es:0x1234
	repe scasb
	movzwl %di, %eax
	check "REPE SCASB", 0x1235
	xor %si, %si
	xor %di, %di
	mov $OTHER, %ax
	mov %ax, %ds
	mov $0x8000, %cx
	repe cmpsw
	movzwl %cx, %eax
	check "REPE CMPSW of a segment with itself", 0
	pop %es
	pop %ds
	mov $O(bounds), %bx
	mov $2, %al
	xlat
	movzbl %al, %eax
	check "XLAT", 4
	mov $O(out_bytes), %si
	mov $4, %cx
	mov $0x21, %dx
	rep outsb
	in $0x21, %al
	movzbl %al, %eax
	check "REP OUTSB, IN", 0xfb
	mov $0xfffe, %di
	mov $4, %cx
	rep insb
	movzbl %es:1, %eax
	check "REP INSB across 64 KiB", 0xfb
	mov $0xff, %al
	out %al, $0x21
	done

/* --- single step --------------------------------------------------------------------------------- */
	.globl t_step
t_step:
	movw $0, O(real_steps)
	pushf
	pop %ax
	or $0x100, %ax
	push %ax
	popf
	nop			/* 1 */
	mov %ax, %bx		/* 2 */
	and $0xfeff, %ax	/* 3 */
	push %ax		/* 4 */
	popf			/* 5 */
	movzwl O(real_steps), %eax
	check "single step: 5 instructions", 5
	mov %dr6, %eax
	shr $14, %eax
	and $1, %eax
	check "DR6.BS", 1
	movw $0, O(real_steps)
	xor %di, %di
	mov $10, %cx
	pushf
	pop %ax
	mov %ax, %bx
	or $0x100, %ax
	push %ax
	popf
	rep stosb		/* 10 */
	push %bx		/* 11 */
	popf			/* 12 */
	movzwl O(real_steps), %eax
	check "single step: REP STOSB of 10", 12
	movw $0, O(real_steps)
	pushf
	pop %bx
	mov %bx, %ax
	or $0x100, %ax
	mov %ss, %cx
	push %ax
	popf
	mov %cx, %ss		/* no trap behind it */
	nop			/* 1 */
	push %bx		/* 2 */
	popf			/* 3 */
	movzwl O(real_steps), %eax
	check "single step: MOV SS holds the trap back", 3
	movw $0, O(real_steps)
	pushf
	pop %bx
	mov %bx, %ax
	or $0x100, %ax
	push %ax
	popf
	int $0x40		/* the handler runs without; the trap comes behind IRET's next */
	nop
	push %bx
	popf
	movzwl O(real_steps), %eax
	check "single step: INT n clears TF in its handler", 3
	mov %dr6, %eax
	and $~0x4000, %eax
	mov %eax, %dr6
	done

/* --- interrupts from outside -------------------------------------------------------------------- */
	/* C has sent itself vector 0x60 with interrupts off */
	.globl t_ipi
t_ipi:
	movw $NONE, O(last)
	sti
	nop
1:	nop
	cli
	movzwl O(last), %eax
	check "interrupt from the local APIC", 0x60
	movzwl O(last_ip), %eax
	check "... behind the instruction after STI", O(1b)
	done

	.globl t_timer
t_timer:
	movw $0, O(ticks)
	mov $0xfe, %al
	out %al, $0x21
1:	sti
	hlt
	cli
	cmpw $3, O(ticks)
	jb 1b
	mov $0xff, %al
	out %al, $0x21
	mov $1, %eax
	check "HLT until the 8254 has ticked three times", 1
	/* and while it computes */
	movw $0, O(ticks)
	mov $0xfe, %al
	out %al, $0x21
	sti
	xor %ebx, %ebx
2:	inc %ebx
	cmp $100000000, %ebx
	ja 3f
	cmpw $2, O(ticks)
	jb 2b
3:	cli
	mov $0xff, %al
	out %al, $0x21
	movzwl O(ticks), %eax
	cmp $2, %eax
	setae %al
	movzbl %al, %eax
	check "8254, running", 1
	done

/* --- big segments ---------------------------------------------------------------------------------- */
	/* PE on, a segment register, PE off: no far jump between, as memory managers did it */
	.macro unreal sreg
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	mov $FLAT, %bx
	mov %bx, \sreg
	and $0xfe, %al
	mov %eax, %cr0
	.endm

	.globl t_unreal
t_unreal:
	push %ds
	push %es
	unreal %ds
	unreal %es
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	addr32 movl $0x12345678, HIGH
	addr32 mov HIGH, %eax
	check "unreal mode: 32-bit offsets above 1 MiB", 0x12345678
	/* the limit outlives another value in the register */
	mov $SEG, %ax
	mov %ax, %ds
	addr32 mov HIGH - SEG * 16, %eax
	check "... also after a load of the register", 0x12345678
	int $0x40
	addr32 mov HIGH - SEG * 16, %eax
	check "... and after an interrupt", 0x12345678
	/* MMIO */
	xor %ax, %ax
	mov %ax, %ds
	mov $0xfee00030, %ebx
	mov (%ebx), %eax
	and $0xf0, %eax
	check "... the local APIC's registers", 0x10
	/* 256 KiB up and down again */
	mov $HIGH, %edi
	mov $0x10000, %ecx
	mov $0xa5a50001, %eax
	cld
1:	addr32 stosl
	add $0x10003, %eax
	addr32 loop 1b
	mov $HIGH, %esi
	mov $HIGH + 0x40000, %edi
	mov $0x10000, %ecx
	addr32 rep movsl
	mov $HIGH + 0x40000, %esi
	xor %ebx, %ebx
	mov $0x10000, %ecx
2:	addr32 lodsl
	rol $1, %ebx
	xor %eax, %ebx
	addr32 loop 2b
	mov $HIGH, %esi
	mov $0x10000, %ecx
3:	addr32 lodsl
	rol $1, %ebp
	cmp $0x10000, %ecx
	jne 4f
	xor %ebp, %ebp
4:	xor %eax, %ebp
	addr32 loop 3b
	mov %ebp, %eax
	xor %ebx, %eax
	check "... REP MOVSD of 256 KiB", 0
	/* a limit of 64 KiB again, by way of protected mode */
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	mov $DATA16, %bx
	mov %bx, %ds
	mov %bx, %es
	and $0xfe, %al
	mov %eax, %cr0
	xor %ax, %ax
	mov %ax, %ds
	try addr32 mov HIGH, %ebx
	check "... and small again", 13, 1
	/* many times: the switch itself */
	xor %esi, %esi
	mov $200, %cx
5:	unreal %fs
	addr32 mov %fs:HIGH, %eax
	add %eax, %esi
	xor %bx, %bx
	mov %bx, %fs
	addr32 add %fs:HIGH, %esi
	loop 5b
	mov %esi, %eax
	check "... switched 200 times", (400*0xa5a50001)&0xffffffff
	pop %es
	pop %ds
	/* a stack of 4 GiB whose pointer is ESP */
	mov %ss, %dx
	mov %esp, %ebp
	unreal %ss
	xor %ax, %ax
	mov %ax, %ss
	mov $HIGH + 0x80000, %esp
	pushl $0x0badcafe
	pushw $0x1234
	call 6f
6:	pop %bx
	pop %bx
	popl %edi
	mov %esp, %esi
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	mov $DATA16, %cx
	mov %cx, %ss
	and $0xfe, %al
	mov %eax, %cr0
	mov %dx, %ss
	mov %ebp, %esp
	mov %edi, %eax
	check "big real mode: PUSH and POP with ESP", 0x0badcafe
	mov %esi, %eax
	check "... ESP", (HIGH+0x80000)
	done

/* --- the rest of the machine ------------------------------------------------------------------------- */
	.globl t_system
t_system:
	smsw %ax
	and $1, %eax
	check "SMSW: PE is clear", 0
	mov %cr0, %ebx
	smsw %ax
	or $8, %ax
	lmsw %ax
	mov %cr0, %eax
	and $9, %eax
	check "LMSW sets TS", 8
	clts
	mov %cr0, %eax
	and $9, %eax
	check "CLTS", 0
	mov %ebx, %cr0
	/* LMSW into protected mode, back with MOV CR0 */
	smsw %ax
	or $1, %ax
	lmsw %ax
	jmp 1f
1:	mov %cr0, %eax
	mov %eax, %ebx
	and $0xfe, %al
	mov %eax, %cr0
	mov %ebx, %eax
	and $1, %eax
	check "LMSW sets PE", 1
	sgdtl O(scratch)
	mov O(scratch) + 2, %eax
	xor O(gdt_base), %eax
	check "SGDT", 0
	sidtl O(scratch)
	mov O(scratch) + 2, %eax
	check "SIDT", 0
	movzwl O(scratch), %eax
	check "SIDT: limit", 0x3ff
	mov $0x1b, %ecx
	rdmsr
	and $0xfffff000, %eax
	check "RDMSR", 0xfee00000
	xor %eax, %eax
	xor %ecx, %ecx
	cpuid
	mov %ebx, %eax
	xor O(cpuid_vendor), %eax
	check "CPUID", 0
	mov $0x12345678, %eax
	mov %eax, %dr0
	xor %eax, %eax
	mov %dr0, %eax
	check "MOV DR", 0x12345678
	mov $0x1234567, %eax
	mov %eax, %cr2
	xor %eax, %eax
	mov %cr2, %eax
	check "MOV CR2", 0x1234567
	wbinvd
	mov %cr3, %eax
	mov %eax, %cr3
	invlpg O(scratch)
	/* arithmetic in 16 bits and in 32 */
	mov $0xffff, %ax
	mov $0x10001, %ebx
	mul %bx
	movzwl %dx, %eax
	check "MUL", 0
	mov $0x12345678, %eax
	mov $0x9abcdef0, %ebx
	mul %ebx
	mov %edx, %eax
	check "MUL of 32 bits", 0x0b00ea4e
	mov $0x0907, %ax
	aad
	movzwl %ax, %eax
	check "AAD", 0x61
	mov $0x45, %al
	add $0x38, %al
	daa
	movzbl %al, %eax
	check "DAA", 0x83
	mov $5, %cx
	xor %eax, %eax
2:	inc %eax
	loop 2b
	jcxz 3f
	xor %eax, %eax
3:	check "LOOP, JCXZ", 5
	lea 0x12(%bx, %si), %ax
	mov $0x1000, %bx
	mov $0xf123, %si
	lea 0x12(%bx, %si), %ax
	movzwl %ax, %eax
	check "16-bit addresses wrap", 0x0135
	movb $0x5a, %es:0x135
	movzbl %es:0x12(%bx, %si), %eax
	check "... in memory accesses too", 0x5a
	mov $0xffffffff, %ebx
	movb $0x5b, %es:0
	movzbl %es:1(%ebx), %eax
	check "32-bit addresses wrap at 4 GiB", 0x5b
	mov $-1, %ax
	lock xadd %ax, %es:0x10
	mov $1, %eax
	check "locked instruction", 1
	done

	.globl t_x87
t_x87:
	mov %cr0, %ebx
	smsw %ax
	or $8, %ax
	lmsw %ax
	try fnop
	check "x87 with TS", 7
	mov %ebx, %cr0
	fninit
	fldl O(a_double)
	fadd %st(0), %st
	fistpl O(scratch)
	mov O(scratch), %eax
	check "x87 arithmetic", 42
	done

/* --- 16-bit protected mode: CS is based at this code, so is DS; SS at STACK, ES at DATA ---- */
	.macro checkp name, expected, lax=0
	movl %eax, O(results) + 4 * number
	.pushsection .rodata.names, "a"
9901:	.asciz "\name"
	.popsection
	.pushsection .rodata.table, "a"
	.long 9901b, \expected, \lax
	.popsection
	.set number, number + 1
	.endm

	.globl p16, p16_int, p16_gate
p16:
	mov %sp, %bp
	pushw $0x1234
	pop %ax
	movzwl %ax, %eax
	checkp "16-bit protected mode: PUSH, POP", 0x1234
	xor %sp, %sp
	push $0x77
	mov %sp, %ax
	mov %bp, %sp
	movzwl %ax, %eax
	checkp "... SP wraps", 0xfffe
	call 1f
1:	pop %ax
	movzwl %ax, %eax
	checkp "... near CALL", O(1b)
	movl $0, O(scratch)
	int $0x50
1:	movzwl O(scratch), %eax
	checkp "... a 16-bit interrupt gate: the frame's IP", O(1b)
	movzwl O(scratch) + 2, %eax
	checkp "... its CS", CODE16
	movzwl O(scratch) + 4, %eax
	checkp "... SP in the handler", 6
	mov %bp, %ax
	sub %sp, %ax
	movzwl %ax, %eax
	checkp "... IRET of 16 bits", 0
	lcalll $CS32, $p16_to_32
	checkp "... far CALL into 32-bit code", 0x32323232
	mov %cs, %ax
	push %ax
	push $O(1f)
	lret
1:	mov %bp, %ax
	sub %sp, %ax
	movzwl %ax, %eax
	checkp "... far RET of 16 bits", 0
	/* a gate of 16 bits without a change of level */
	lcall $GATE16, $0
	movzwl %cx, %eax
	checkp "... a 16-bit call gate", 0x1616
	lcall $GATE32, $0
	checkp "... a 32-bit call gate", 0x32323232
	cld
	mov $0xfffe, %di
	mov $4, %cx
	mov $0x5c, %al
	rep stosb
	movzbl %es:1, %eax
	checkp "... REP STOSB across 64 KiB", 0x5c
	mov %bp, %sp
	movl $number, O(checked)
	lretl

p16_int:
	push %bp
	mov %sp, %bp
	push %ax
	mov 2(%bp), %ax
	mov %ax, O(scratch)
	mov 4(%bp), %ax
	mov %ax, O(scratch) + 2
	lea 2(%bp), %ax
	neg %ax
	add $P16_STACK, %ax
	mov %ax, O(scratch) + 4
	pop %ax
	pop %bp
	iret

p16_gate:
	mov $0x1616, %cx
	lret

	/* in compatibility mode, from 64-bit mode: on to 32-bit code */
	.globl compat16
compat16:
	mov $0xfffe, %ax
	inc %ax
	inc %ax
	inc %ax
	setc %dl
	ljmpl $CS32, $trip_back

/* --- in and out ---------------------------------------------------------------------------------- */
	.globl to_real
to_real:
	mov %cr0, %eax
	and $0xfe, %al
	mov %eax, %cr0
	ljmp $SEG, $O(1f)
1:	mov %cs, %ax
	mov %ax, %ds
	mov $DATA, %ax
	mov %ax, %es
	mov $STACK, %ax
	mov %ax, %ss
	mov $0xfff0, %esp
	xor %ax, %ax
	mov %ax, %fs
	mov %ax, %gs
	lidtl O(real_idt)
	call *O(target)
	cli
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $CS32, $from_real

	/* a processor that is started here stays here: what it found is at `found` */
	.globl ap_real, real_found
	.balign 4096
ap_real:
	mov %cs, %ax
	mov %ax, %ds
	mov $SEG, %ax
	mov %ax, %es
	mov %cs, %ax
	mov %ax, %es:O(real_found)
	/* no stack to speak of: SS:SP is 0:0, so this is below 0:0x10000 */
	pushfl
	popl %es:O(real_found) + 8
	call 1f
1:	pop %ax
	sub $(1b - ap_real), %ax
	mov %ax, %es:O(real_found) + 2
	mov %cr0, %eax
	mov %eax, %es:O(real_found) + 4
	movl $1, %es:O(real_found) + 12
2:	hlt
	jmp 2b

	.balign 8
real_idt:	.word 0x3ff; .long 0; .word 0
other_idt:	.word 0x1ff; .long DATA * 16; .word 0
results:
real_results:	.skip 4 * 256
checked:
real_checked:	.long 0
real_found:	.skip 16
	.globl real_target, real_gdt_base, real_vendor
target:
real_target:	.long 0
gdt_base:
real_gdt_base:	.long 0
cpuid_vendor:
real_vendor:	.long 0
last:		.word 0
last_ip:	.word 0
last_cs:	.word 0
last_flags:	.word 0
handler_flags:	.word 0
taken:		.word 0
fixup:		.word 0
ticks:		.word 0
elsewhere:	.word 0
real_steps:	.word 0
bounds:		.word 1, 4
out_bytes:	.byte 0xff, 0xfe, 0xfd, 0xfb
	.balign 4
scratch:	.skip 16
a_double:	.double 21.0
far_pointer:	.word O(far_proc_arguments), SEG
far_pointer2:	.word O(far_target), SEG
far_pointer32:	.long O(far_target32); .word SEG
real_end:

	/* from CPL 3 through a 16-bit gate */
	.globl gate16_target
gate16_target:
	addr32 mov 4(%esp), %eax
	addr32 mov %eax, gate_seen + 4
	lret $4

	.code32
	/* void real_call(u32 routine): in real mode, from protected mode without paging */
real_call:
	push %ebx
	push %esi
	push %edi
	push %ebp
	mov 20(%esp), %eax
	mov %eax, SEG * 16 + O(target)
	mov %esp, saved_esp
	sidt saved_idt
	mov $DATA16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	ljmp $CODE16, $O(to_real)
from_real:
	mov $FLAT, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov $0x50, %eax
	mov %eax, %gs
	lidt saved_idt
	mov saved_esp, %esp
	cld
	pop %ebp
	pop %edi
	pop %esi
	pop %ebx
	ret

	/* void p16_call(void) */
	.globl p16_call
p16_call:
	push %ebx
	push %esi
	push %edi
	push %ebp
	mov %esp, saved_esp
	mov $0x68, %eax			/* based at the code */
	mov %eax, %ds
	mov $0x88, %eax
	mov %eax, %es
	mov $0x70, %eax
	mov %eax, %ss
	mov $P16_STACK + 4 + 4, %esp
	lcall $CODE16, $O(p16)
	mov $FLAT, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov saved_esp, %esp
	pop %ebp
	pop %edi
	pop %esi
	pop %ebx
	ret

	.globl p16_to_32, gate32_same
p16_to_32:
gate32_same:
	mov $0x32323232, %eax
	lret

	/* void trip(u32 cr3, u64 *result): to 64-bit mode, 16-bit compatibility mode, and back */
	.globl trip
trip:
	push %ebx
	push %esi
	push %edi
	push %ebp
	mov %esp, saved_esp
	mov 20(%esp), %ebx
	mov 24(%esp), %edi
	mov %cr4, %eax
	mov %eax, saved_cr4
	or $0x20, %eax
	mov %eax, %cr4
	mov %ebx, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80000000, %eax
	mov %eax, %cr0
	/* compatibility mode */
	rdmsr
	mov %eax, 8(%edi)
	ljmp $0x08, $1f
	.code64
1:	mov $0x123456789abcdef0, %rax
	lea (%rax, %rax), %r15
	mov %r15, (%rdi)
	lea 1b(%rip), %rbx
	mov $1b, %ecx
	sub %rcx, %rbx
	mov %rbx, 16(%rdi)
	mov $0x7fffffffffff, %rbx
	mov %rbx, %cr2
	mov %cr2, %rbx
	mov %rbx, 24(%rdi)
	/* the halves of registers come through it or not; the low ones do */
	push $CODE16
	push $O(compat16)
	lretq
	.code32
trip_back:
	movzwl %ax, %eax
	mov %eax, 32(%edi)
	mov %cr0, %eax
	and $0x7fffffff, %eax
	mov %eax, %cr0
	mov $0xc0000080, %ecx
	rdmsr
	mov %eax, 40(%edi)
	and $~0x100, %eax
	wrmsr
	mov saved_cr4, %eax
	mov %eax, %cr4
	mov saved_esp, %esp
	pop %ebp
	pop %edi
	pop %esi
	pop %ebx
	ret

	.data
	.balign 8
saved_cr4:	.quad 0
saved_idt:	.quad 0
saved_esp:	.long 0

	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch.
 *
 * VMRUN and #VMEXIT exchange CS, SS, DS, ES, GDTR, IDTR, the control registers, EFER, RFLAGS, RIP,
 * RSP and RAX (APM vol. 2, 15.5.1).  VMLOAD and VMSAVE exchange FS, GS, TR, LDTR and the MSRs
 * of SYSCALL and SYSENTER; between the guest's VMLOAD and the host's the kernel's
 * per-CPU base and its TSS are gone, and no interrupt of any kind may come: so GIF is 0.
 * The other general registers are moved here.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>

/* vireo_vcpu.gpr is at offset 0 (asserted in enter.c). */
#define GPR(nr)		((nr) * 8)

/*
 * svm_switch - run the guest until it exits
 * @rdi: vCPU; comes back as it was
 * @rsi: physical address of its VMCB
 * @rdx: physical address of the VMSAVE area of the host
 *
 * Called from svm_enter() alone, with interrupts off.  All but RDI is as in C.
 */
SYM_START(svm_switch, SYM_L_GLOBAL, SYM_A_ALIGN)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi
	push	%rdx
	mov	%rsi, %rax

	/*
	 * With V_INTR_MASKING the host's IF, as VMRUN finds it, says whether interrupts end
	 * the guest (APM 15.21.1).  GIF keeps them out until then.  STI stands well before
	 * VMRUN: its shadow would become the guest's on some processors.
	 */
.Lclgi:
	clgi
	sti
	vmload	%rax

	mov	GPR(1)(%rdi), %rcx
	mov	GPR(2)(%rdi), %rdx
	mov	GPR(3)(%rdi), %rbx
	mov	GPR(5)(%rdi), %rbp
	mov	GPR(6)(%rdi), %rsi
	mov	GPR(8)(%rdi), %r8
	mov	GPR(9)(%rdi), %r9
	mov	GPR(10)(%rdi), %r10
	mov	GPR(11)(%rdi), %r11
	mov	GPR(12)(%rdi), %r12
	mov	GPR(13)(%rdi), %r13
	mov	GPR(14)(%rdi), %r14
	mov	GPR(15)(%rdi), %r15
	mov	GPR(7)(%rdi), %rdi

	/* Transient scheduler attacks: leave nothing in the buffers.  Changes ZF alone. */
	VM_CLEAR_CPU_BUFFERS

	vmrun	%rax

	/* RAX and RSP are the host's again: RAX still points to the VMCB. */
	vmsave	%rax
	pop	%rax
	vmload	%rax
	pop	%rax

	mov	%rcx, GPR(1)(%rax)
	mov	%rdx, GPR(2)(%rax)
	mov	%rbx, GPR(3)(%rax)
	mov	%rbp, GPR(5)(%rax)
	mov	%rsi, GPR(6)(%rax)
	mov	%rdi, GPR(7)(%rax)
	mov	%r8, GPR(8)(%rax)
	mov	%r9, GPR(9)(%rax)
	mov	%r10, GPR(10)(%rax)
	mov	%r11, GPR(11)(%rax)
	mov	%r12, GPR(12)(%rax)
	mov	%r13, GPR(13)(%rax)
	mov	%r14, GPR(14)(%rax)
	mov	%r15, GPR(15)(%rax)
	mov	%rax, %rdi

	/* Before the first RET of the host: its return stack is the guest's work. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT

	/* An NMI that ended the guest is taken at STGI. */
	cli
	stgi

	/* Retbleed, SRSO: nor may RET be predicted from what the guest has trained. */
#ifdef UNTRAIN_RET_VM
	UNTRAIN_RET_VM
#else
	UNTRAIN_RET
	ALTERNATIVE "", "call entry_ibpb", X86_FEATURE_IBPB_ON_VMEXIT
#endif

	/* What the guest left in registers must not steer speculation in the host. */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

	/*
	 * #UD: an NMI has switched SVM off for an emergency reboot.  It can come no later
	 * than this: GIF is 0 from here on.  The VMCB still has the last exit in it, which
	 * is as good as any now.
	 */
.Loff:
	pop	%rdx
	pop	%rdi
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET
	_ASM_EXTABLE(.Lclgi, .Loff)
SYM_FUNC_END(svm_switch)

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>
#include <asm/unwind_hints.h>
#include "asm.h"

/*
 * vireo_vmx_switch - run the guest until it exits
 * @rdi: struct vireo_vcpu *
 * @rsi: struct vmx_vcpu *
 *
 * Called from vmx_enter() alone and by its own convention: RDI comes back as it was, EBX is
 * the exit reason (no mitigation below uses that register), or VMX_REASON_NO_ENTRY if VMLAUNCH or VMRESUME failed; RSP and RBP are kept, every
 * other register is lost, so that nothing is saved twice.
 */
SYM_FUNC_START(vireo_vmx_switch)
	push	%rbp
	push	%rdi

	/* The stack's depth is nearly always that of the last time. */
	cmp	%rsp, VMX_VCPU_HOST_RSP(%rsi)
	jne	.Lnew_rsp
.Lrsp_done:
	/* CF tells VMLAUNCH from VMRESUME below: moves keep it, VERW changes ZF alone. */
	btsl	$0, VMX_VCPU_LAUNCHED(%rsi)

	mov	VMX_GPR(0)(%rdi), %rax
	mov	VMX_GPR(1)(%rdi), %rcx
	mov	VMX_GPR(2)(%rdi), %rdx
	mov	VMX_GPR(3)(%rdi), %rbx
	mov	VMX_GPR(5)(%rdi), %rbp
	mov	VMX_GPR(6)(%rdi), %rsi
	mov	VMX_GPR(8)(%rdi), %r8
	mov	VMX_GPR(9)(%rdi), %r9
	mov	VMX_GPR(10)(%rdi), %r10
	mov	VMX_GPR(11)(%rdi), %r11
	mov	VMX_GPR(12)(%rdi), %r12
	mov	VMX_GPR(13)(%rdi), %r13
	mov	VMX_GPR(14)(%rdi), %r14
	mov	VMX_GPR(15)(%rdi), %r15
	mov	VMX_GPR(7)(%rdi), %rdi

	/* MDS and its relatives: nothing of the host is left in buffers that the guest can sample. */
	CLEAR_CPU_BUFFERS

	/* objtool: the exit comes back with this very stack. */
	UNWIND_HINT_SAVE

	jnc	.Llaunch
.Lresume:
	vmresume
	jmp	.Lfailed
.Llaunch:
	vmlaunch
	jmp	.Lfailed

/* HOST_RIP (SDM vol. 3, 28.5.3): RSP is that of the entry, RFLAGS is 2, all else the guest's. */
SYM_INNER_LABEL_ALIGN(vireo_vmx_exit, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR

	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, VMX_GPR(0)(%rdi)
	mov	%rcx, VMX_GPR(1)(%rdi)
	mov	%rdx, VMX_GPR(2)(%rdi)
	mov	%rbx, VMX_GPR(3)(%rdi)
	mov	%rbp, VMX_GPR(5)(%rdi)
	mov	%rsi, VMX_GPR(6)(%rdi)
	mov	%r8, VMX_GPR(8)(%rdi)
	mov	%r9, VMX_GPR(9)(%rdi)
	mov	%r10, VMX_GPR(10)(%rdi)
	mov	%r11, VMX_GPR(11)(%rdi)
	mov	%r12, VMX_GPR(12)(%rdi)
	mov	%r13, VMX_GPR(13)(%rdi)
	mov	%r14, VMX_GPR(14)(%rdi)
	mov	%r15, VMX_GPR(15)(%rdi)
	popq	VMX_GPR(7)(%rdi)

	/* If this fails EBX stays what it is: no reason that the table knows. */
	mov	$VMX_ASM_EXIT_REASON_FIELD, %ebx
.Lread_reason:
	vmread	%rbx, %rbx

.Lleave:
	/*
	 * What the guest left in registers must not steer speculation here: those that
	 * the caller gets back are loaded below, the others are cleared.
	 */
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	/*
	 * Before the first RET or indirect branch of the host: neither its return stack nor its
	 * branch predictor may be the guest's (post-barrier RSB, retbleed, BHI).
	 */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT,\
			   X86_FEATURE_RSB_VMEXIT_LITE

	/*
	 * Without enhanced IBRS the bit counts from when it was last written: writing the value that
	 * the MSR has restricts what the guest has trained.
	 */
	ALTERNATIVE "jmp .Librs_done", "", X86_FEATURE_KERNEL_IBRS
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	PER_CPU_VAR(x86_spec_ctrl_current), %eax
	xor	%edx, %edx
	wrmsr
.Librs_done:
	CLEAR_BRANCH_HISTORY_VMEXIT

	pop	%rdi
	pop	%rbp
	RET

.Lnew_rsp:
	mov	%rsp, VMX_VCPU_HOST_RSP(%rsi)
	mov	$VMX_ASM_HOST_RSP_FIELD, %eax
.Lwrite_rsp:
	vmwrite	%rsp, %rax
	ja	.Lrsp_done
	/* The field holds an old value, and nothing was loaded yet. */
	movq	$0, VMX_VCPU_HOST_RSP(%rsi)
.Lfailed:
	mov	$VMX_REASON_NO_ENTRY, %ebx
	jmp	.Lleave

	/* #UD: virtualisation was switched off under us for a reboot. */
	_ASM_EXTABLE(.Lresume, .Lfailed)
	_ASM_EXTABLE(.Llaunch, .Lfailed)
	_ASM_EXTABLE(.Lwrite_rsp, .Lfailed)
	_ASM_EXTABLE(.Lread_reason, .Lleave)
SYM_FUNC_END(vireo_vmx_switch)

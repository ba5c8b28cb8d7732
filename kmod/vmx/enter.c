// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry and exit.
 *
 * The hot path is vmx_enter(): registers that changed go into the VMCS, switch.S runs the
 * guest, and an exit by a plain instruction or a host interrupt is known from one or two fields.
 * Everything else is behind three tests that normally fail: @todo before, @after after, and
 * the row of the exit's reason.
 */
#include <linux/context_tracking_state.h>
#include <linux/irqflags.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>
#include <asm/trapnr.h>

#include "../mmu/track.h"
#include "exit.h"
#include "vmx.h"

/* Interrupts off, before the first entry after they were on. */
void vmx_sync_host(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	unsigned long value;

	if (IS_ENABLED(CONFIG_PROVE_LOCKING))
		WARN_ON_ONCE(vmx_vmptrst() != vmx->vmcs_pa && __read_cr4() & X86_CR4_VMXE);

	/* Another mm may have been borrowed, and CR4 changes with TSD, PCE, SMEP, ... */
	value = __native_read_cr3();
	if (unlikely(value != vmx->host_cr3)) {
		vmx->host_cr3 = value;
		vmx_write(VMCS_HOST_CR3, value);
	}
	value = cr4_read_shadow();
	if (unlikely(value != vmx->host_cr4)) {
		vmx->host_cr4 = value;
		vmx_write(VMCS_HOST_CR4, value);
	}

	/* VM exits clear DR7 and IA32_DEBUGCTL (SDM vol. 3, 28.5.1). */
	vmx->after = 0;
	vmx->step_tf = false;
	rdmsrl(MSR_IA32_DEBUGCTLMSR, vmx->host_debugctl);
	if (unlikely(vmx->host_debugctl))
		vmx->after |= VMX_AFTER_DEBUGCTL;
	if (unlikely(hw_breakpoint_active()))
		vmx->after |= VMX_AFTER_BREAKPOINTS;
	if (unlikely(vmx->pml_on))
		vmx->after |= VMX_AFTER_PML;

	if (unlikely(this_cpu_read(vmx_cpu.msr_owner) != vmx))
		vmx_load_msrs(vmx);

	/* Interrupts and other tasks have brought the host's secrets into the cache. */
	if (static_branch_unlikely(&vmx_l1d_flush_key))
		vmx_l1d_flush();
	vmx->ran = true;
}

/*
 * The monitor trap flag ends the guest behind an instruction whatever that does (SDM vol. 3, 26.5.2);
 * older processors have but the guest's own.
 */
void vmx_step(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	vmx->after |= VMX_AFTER_STEP;
	if (vmx_caps.trap_flag) {
		vmx_set_proc(vmx, vmx->proc | VMX_PROC_TRAP_FLAG);
	} else if (!(vmx_rflags(vcpu) & X86_EFLAGS_TF)) {
		vmx->step_tf = true;
		vireo_set_rflags(vcpu, vcpu->rflags | X86_EFLAGS_TF);
	}
}

static void vmx_end_step(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	vmx->after &= ~VMX_AFTER_STEP;
	vmx_set_proc(vmx, vmx->proc & ~VMX_PROC_TRAP_FLAG);
	if (vmx->step_tf) {
		vireo_set_rflags(vcpu, vmx_rflags(vcpu) & ~(u64)X86_EFLAGS_TF);
		/* In a shadow the entry had to have the trap pending. */
		vmx_write(VMCS_GUEST_PENDING_DEBUG,
			  vmx_read(VMCS_GUEST_PENDING_DEBUG) & ~(u64)VMX_PENDING_BS);
	}
}

/* What is rarely needed before an entry.  False: vcpu->exit holds a reason not to enter. */
static noinline bool vmx_prepare(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	if (vmx->todo & VMX_TODO_MASKS)
		vmx_update_masks(vcpu);
	if (vmx->todo & VMX_TODO_MSRS)
		vmx_load_msrs(vmx);
	if (vmx->todo & VMX_TODO_DRS) {
		if (!vcpu->dr_loaded && vmx_read(VMCS_GUEST_DR7) & VMX_DR7_ENABLED) {
			vmx_dr_load(vcpu);
			vcpu->dr_loaded = true;
		}
		if (vcpu->dr_loaded && vmx->dr_stale) {
			vmx_drs_to_cpu(vcpu);
			vmx->dr_stale = false;
		}
	}
	if (vmx->todo & VMX_TODO_STEP)
		vmx_fix_step(vcpu);
	if (vmx->todo & VMX_TODO_TPR && vmx_tpr_below(vcpu)) {
		/* It has become so in an exit for another reason. */
		vmx_cancel(vcpu);
		memset(&vcpu->exit, 0, sizeof(vcpu->exit));
		vcpu->exit.reason = VIREO_EXIT_TPR;
		return false;
	}
	vmx->todo &= VMX_TODO_PDPTES;

	if (vmx->todo && !vmx_load_pdptes(vcpu)) {
		/* The page is not resident: have it brought in as for any access. */
		vmx_cancel(vcpu);
		memset(&vcpu->exit, 0, sizeof(vcpu->exit));
		vcpu->exit.reason = VIREO_EXIT_MEMORY;
		vcpu->exit.mem.gpa = vmx_read(VMCS_GUEST_CR3) & 0xffffffe0;
		vcpu->exit.mem.access = VIREO_ACCESS_READ;
		vcpu->exit.mem.in_walk = true;
		return false;
	}
	vmx->todo = vmx->threshold ? VMX_TODO_TPR : 0;
	return true;
}

/*
 * The log is empty whenever the guest does not run: whoever has got all vCPUs out of it (vireo_request_all()) knows of all that
 * was written before.  The index goes down from the last entry and is that of the next one; -1, as 16 bits, when the log is full.
 */
static void vmx_take_log(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u16 first = vmx_read(VMCS_PML_INDEX) + 1;

	if (first == VMX_PML_ENTRIES)
		return;
	vireo_track_logged(vcpu, vmx->pml + first, VMX_PML_ENTRIES - first);
	vmx_write(VMCS_PML_INDEX, VMX_PML_ENTRIES - 1);
}

/* Host state that each exit takes away and that is rarely in use; and the log of dirty pages. */
static noinline u32 vmx_after(struct vireo_vcpu *vcpu, u32 reason)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	if (vmx->after & VMX_AFTER_STEP)
		vmx_end_step(vcpu);
	if (vmx->after & VMX_AFTER_PML)
		vmx_take_log(vcpu);
	if (vmx->after & VMX_AFTER_DEBUGCTL)
		wrmsrl(MSR_IA32_DEBUGCTLMSR, vmx->host_debugctl);
	if (vmx->after & VMX_AFTER_BREAKPOINTS) {
		if (vcpu->dr_loaded && !vmx->dr_stale) {
			vmx_drs_from_cpu(vcpu);
			vmx->dr_stale = true;
			vmx->todo |= VMX_TODO_DRS;
		}
		hw_breakpoint_restore();
	}
	return reason;
}

/*
 * The exit has taken the NMI and blocks others until an IRET (SDM vol. 3, 28.1).  The handler behind
 * vector 2 runs on its IST stack as for any NMI, sees an interrupted kernel, and its
 * IRET ends the blocking.  A nested NMI finds what it would find in any first NMI.
 */
static __always_inline void vmx_host_nmi(void)
{
	asm volatile("int $2" : : : "memory");
}

/* Likewise: MCIP was not set yet, so the handler behind vector 18 finds the banks untouched. */
static __always_inline void vmx_host_mce(void)
{
	asm volatile("int $18" : : : "memory");
}

/*
 * A debug trap of the guest.  The processor has not touched DR6 and DR7 as it would at delivery
 * (SDM vol. 3, 28.1), and injection does not either; the core always gives it back.
 */
static void vmx_debug_exception(struct vireo_vcpu *vcpu, u64 bits)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	unsigned long dr6 = vcpu->dr6;
	bool in_cpu = vcpu->dr_loaded && !vmx->dr_stale;
	u64 dr7;

	if (in_cpu)
		get_debugreg(dr6, 6);
	/* B0-B3 are of this trap alone; BD, BS, BT accumulate. */
	dr6 &= ~(unsigned long)DR_TRAP_BITS;
	dr6 |= bits & (DR_TRAP_BITS | BIT(13) | DR_STEP | BIT(15));
	/* RTM counts the other way round (table 28-1). */
	dr6 |= BIT(16);
	dr6 &= ~(bits & BIT(16));
	vcpu->dr6 = dr6;
	if (in_cpu)
		set_debugreg(dr6, 6);

	dr7 = vmx_read(VMCS_GUEST_DR7);
	if (dr7 & VMX_DR7_GD)
		vmx_write(VMCS_GUEST_DR7, dr7 & ~VMX_DR7_GD);
	/* In a shadow, re-entry with TF needs the trap to be pending: as it is. */
	vmx->todo |= VMX_TODO_STEP;
}

/* Entry did not happen, or failed in its middle. */
static noinline void vmx_entry_failed(struct vireo_vcpu *vcpu, bool vmfail)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	struct vireo_exit *exit = &vcpu->exit;
	struct vmx_raw_exit raw = {};

	if (!(__read_cr4() & X86_CR4_VMXE)) {
		/* Switched off for a reboot: nothing runs any more. */
		memset(exit, 0, sizeof(*exit));
		exit->reason = VIREO_EXIT_INTR;
		return;
	}
	if (vmfail) {
		memset(exit, 0, sizeof(*exit));
		exit->reason = VIREO_EXIT_INVALID_STATE;
		exit->code = VMX_REASON_NO_ENTRY;
		exit->info[0] = vmx_read(VMCS_INSTRUCTION_ERROR);
	} else {
		raw.reason = vmx_read(VMCS_EXIT_REASON);
		raw.qual = vmx_read(VMCS_QUALIFICATION);
		vmx_decode(&raw, exit);
		if (exit->reason == VIREO_EXIT_MCE)
			vmx_host_mce();
	}
	/*
	 * Only an entry that succeeds makes a VMCS launched (SDM vol. 3, 25.1).  Which of its entries
	 * this was is not known here, so bring it to the state that is.
	 */
	vmx_relaunch(vmx);
}

/* Port accesses and nested page faults: often enough to be spared the general way. */
static noinline void vmx_exit_io(struct vireo_vcpu *vcpu)
{
	struct vireo_exit *exit = &vcpu->exit;

	exit->reason = VIREO_EXIT_IO;
	exit->code = VMX_REASON_IO;
	exit->nr_bytes = 0;
	exit->insn_len = vmx_read(VMCS_EXIT_INSN_LEN);
	vmx_decode_io(vmx_read(VMCS_QUALIFICATION), exit);
}

static noinline void vmx_exit_memory(struct vireo_vcpu *vcpu)
{
	u64 qual = vmx_read(VMCS_QUALIFICATION), gla = 0;
	struct vireo_exit *exit = &vcpu->exit;
	u32 vectoring;

	exit->reason = VIREO_EXIT_MEMORY;
	exit->code = VMX_REASON_EPT_VIOLATION;
	exit->insn_len = 0;
	exit->nr_bytes = 0;
	if (likely(qual & VMX_QUAL_EPT_GLA))
		gla = vmx_read(VMCS_GUEST_LINEAR);
	vmx_decode_memory(qual, vmx_read(VMCS_GUEST_PHYSICAL), gla, exit);

	vectoring = vmx_read(VMCS_VECTORING);
	if (unlikely(vectoring & VMX_EVENT_VALID))
		vmx_recover_event(vcpu, vectoring, vmx_read(VMCS_VECTORING_ERROR),
				  vmx_read(VMCS_EXIT_INSN_LEN));
	else if (unlikely(qual & VMX_QUAL_NMI_UNBLOCKED))
		/* The fault came of an IRET that had ended the blocking already: 28.2.3. */
		vmx_set_nmi_mask(vcpu, true);
}

/* Page faults are what shadow tables live on.  False: another exception. */
static noinline bool vmx_exit_page_fault(struct vireo_vcpu *vcpu)
{
	const u32 event = vmx_read(VMCS_EXIT_EVENT);
	struct vireo_exit *exit = &vcpu->exit;
	u32 vectoring;

	if ((event & (VMX_EVENT_VECTOR | VMX_EVENT_TYPE | VMX_EVENT_VALID)) !=
	    (X86_TRAP_PF | VMX_EVENT_TYPE_EXCEPTION << VMX_EVENT_TYPE_SHIFT | VMX_EVENT_VALID))
		return false;
	exit->reason = VIREO_EXIT_EXCEPTION;
	exit->code = VMX_REASON_EXCEPTION;
	exit->insn_len = 0;
	exit->nr_bytes = 0;
	exit->exc.vector = X86_TRAP_PF;
	exit->exc.has_error = true;
	exit->exc.error = vmx_read(VMCS_EXIT_EVENT_ERROR);
	exit->exc.cr2 = vmx_read(VMCS_QUALIFICATION);

	vectoring = vmx_read(VMCS_VECTORING);
	if (unlikely(vectoring & VMX_EVENT_VALID))
		vmx_recover_event(vcpu, vectoring, vmx_read(VMCS_VECTORING_ERROR),
				  vmx_read(VMCS_EXIT_INSN_LEN));
	else if (unlikely(event & VMX_EVENT_NMI_UNBLOCKED))
		/* As for nested page faults: SDM vol. 3, 28.2.2. */
		vmx_set_nmi_mask(vcpu, true);
	return true;
}

/* An exit of which more is wanted than its name and length. */
static noinline void vmx_exit_slow(struct vireo_vcpu *vcpu, u32 reason)
{
	const struct vmx_exit_kind *kind = &vmx_exit_kinds[reason & (VMX_EXIT_KINDS - 1)];
	struct vireo_exit *exit = &vcpu->exit;
	struct vmx_vcpu *vmx = vcpu->backend;
	struct vmx_raw_exit raw = { .reason = reason };

	if (kind->want & VMX_WANT_LEN)
		raw.len = vmx_read(VMCS_EXIT_INSN_LEN);
	if (kind->want & VMX_WANT_QUAL)
		raw.qual = vmx_read(VMCS_QUALIFICATION);
	if (kind->want & VMX_WANT_EVENT) {
		raw.event = vmx_read(VMCS_EXIT_EVENT);
		if (raw.event & VMX_EVENT_HAS_ERROR)
			raw.error = vmx_read(VMCS_EXIT_EVENT_ERROR);
	}
	if (kind->want & VMX_WANT_GPA) {
		raw.gpa = vmx_read(VMCS_GUEST_PHYSICAL);
		if (raw.qual & VMX_QUAL_EPT_GLA)
			raw.gla = vmx_read(VMCS_GUEST_LINEAR);
	}
	if (kind->want & VMX_WANT_VECTORING) {
		raw.vectoring = vmx_read(VMCS_VECTORING);
		if (unlikely(raw.vectoring & VMX_EVENT_VALID)) {
			if (raw.vectoring & VMX_EVENT_HAS_ERROR)
				raw.vectoring_error = vmx_read(VMCS_VECTORING_ERROR);
			vmx_recover_event(vcpu, raw.vectoring, raw.vectoring_error,
					  vmx_read(VMCS_EXIT_INSN_LEN));
		}
	}

	vmx_decode(&raw, exit);

	switch (exit->reason) {
	case VIREO_EXIT_INTR:
		/* The log of dirty pages is full, which vmx_after() has seen to.  As for nested page faults: 28.2.3. */
		if ((raw.qual & VMX_QUAL_NMI_UNBLOCKED) && !(raw.vectoring & VMX_EVENT_VALID))
			vmx_set_nmi_mask(vcpu, true);
		return;
	case VIREO_EXIT_NMI:
		vmx_host_nmi();
		return;
	case VIREO_EXIT_MCE:
		vmx_host_mce();
		return;
	case VIREO_EXIT_EXCEPTION:
		if (exit->exc.vector == X86_TRAP_DB && vmx->step_tf &&
		    !(raw.qual & (DR_TRAP_BITS | BIT(13)))) {
			exit->reason = VIREO_EXIT_STEP;
			return;
		}
		if (exit->exc.vector == X86_TRAP_DB)
			vmx_debug_exception(vcpu, raw.qual);
		/* A trap: it goes on behind the instruction, which the exit has not left behind. */
		if ((raw.event & VMX_EVENT_TYPE) >> VMX_EVENT_TYPE_SHIFT == VMX_EVENT_TYPE_INT1) {
			exit->insn_len = vmx_read(VMCS_EXIT_INSN_LEN);
			vmx_skip(vcpu);
		}
		/* SDM vol. 3, 28.2.2: the bit says nothing for #DF. */
		if (raw.event & VMX_EVENT_NMI_UNBLOCKED && exit->exc.vector != X86_TRAP_DF &&
		    !(raw.vectoring & VMX_EVENT_VALID))
			vmx_set_nmi_mask(vcpu, true);
		return;
	}
}

static noinline void vmx_exit_odd(struct vireo_vcpu *vcpu, u32 reason)
{
	if (reason == VMX_REASON_NO_ENTRY) {
		vmx_entry_failed(vcpu, true);
	} else if (reason & VMX_REASON_ENTRY_FAILED) {
		vmx_entry_failed(vcpu, false);
	} else if ((reason & VMX_REASON_BASIC) < VMX_EXIT_KINDS) {
		vmx_exit_slow(vcpu, reason);
	} else {
		struct vmx_raw_exit raw = {
			.reason = reason,
			.qual = vmx_read(VMCS_QUALIFICATION),
		};

		vmx_decode(&raw, &vcpu->exit);
	}
}

/* All but the usual: only RIP, after vmx_skip(). */
static noinline void vmx_write_dirty(struct vireo_vcpu *vcpu)
{
	u32 dirty = vcpu->dirty;

	if (dirty & VIREO_REG_RIP)
		vmx_write(VMCS_GUEST_RIP, vcpu->rip);
	if (dirty & VIREO_REG_RSP)
		vmx_write(VMCS_GUEST_RSP, vcpu->gpr[VIREO_RSP]);
	if (dirty & VIREO_REG_RFLAGS) {
		vmx_write(VMCS_GUEST_RFLAGS, vcpu->rflags);
		vmx_fix_step(vcpu);
	}
}

void vmx_enter(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	struct vmx_exit_kind kind;
	u32 reason;

	if (unlikely(vmx->todo) && !vmx_prepare(vcpu))
		return;
	if (likely(vcpu->dirty == VIREO_REG_RIP))
		vmx_write(VMCS_GUEST_RIP, vcpu->rip);
	else
		vmx_write_dirty(vcpu);
	/* Not in the VMCS.  The host's page faults change it, NMIs do not. */
	if (unlikely(vcpu->cr2 != native_read_cr2()))
		native_write_cr2(vcpu->cr2);

	asm volatile("call vireo_vmx_switch"
		     : "+D" (vcpu), "+S" (vmx), "=b" (reason), ASM_CALL_CONSTRAINT
		     : : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
			 "r15", "cc", "memory");

	vcpu->cr2 = native_read_cr2();
	vcpu->avail = 0;
	vcpu->dirty = 0;
	vmx = vcpu->backend;
	if (unlikely(vmx->after))
		reason = vmx_after(vcpu, reason);

	if (unlikely(reason >= VMX_EXIT_KINDS)) {
		vmx_exit_odd(vcpu, reason);
		return;
	}
	kind = vmx_exit_kinds[reason & (VMX_EXIT_KINDS - 1)];
	if (kind.want & ~VMX_WANT_LEN) {
		if (reason == VMX_REASON_IO)
			vmx_exit_io(vcpu);
		else if (reason == VMX_REASON_EPT_VIOLATION)
			vmx_exit_memory(vcpu);
		else if (reason != VMX_REASON_EXCEPTION || !vmx_exit_page_fault(vcpu))
			vmx_exit_slow(vcpu, reason);
		return;
	}
	vcpu->exit.reason = kind.reason;
	vcpu->exit.code = reason;
	/* The interpreter keeps what it has fetched there, of the last exit that needed it. */
	vcpu->exit.nr_bytes = 0;
	/* Host interrupts and windows have none; nobody asks for it then. */
	vcpu->exit.insn_len = vmx_read(VMCS_EXIT_INSN_LEN);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Injection, windows, and the NMI mask.
 *
 * The interrupt window is a virtual interrupt of the highest priority whose delivery is
 * intercepted (APM 15.21.4): it exits as soon as IF and the shadow let it through.
 *
 * SVM without virtual NMIs knows no NMI mask.  It is kept here: set by an injected NMI, ended by the
 * next IRET, which is intercepted meanwhile.  That exit comes before the IRET, on
 * the NMI's own stack; so if another NMI waits, the IRET is stepped over with TF, and the
 * #DB that follows is the window.  If none waits, the mask ends with whichever
 * exit comes next.  TF also leads out of an interrupt shadow that holds an NMI back; an
 * instruction in that shadow which stores the flags (PUSHF) would store this TF.
 */
#include <linux/sched.h>
#include <linux/smp.h>
#include <trace/events/ipi.h>
#include <asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "svm.h"

static void svm_work_add(struct svm_vcpu *svm, u32 bits)
{
	svm->work |= SVM_WORK | bits;
}

static void svm_work_drop(struct svm_vcpu *svm, u32 bits)
{
	svm->work &= ~bits;
	if (!(svm->work & ~(u32)(SVM_WORK | SVM_WORK_IRQ_WINDOW)))
		svm->work &= ~(u32)SVM_WORK;
}

static __always_inline u64 svm_rflags(struct vireo_vcpu *vcpu)
{
	return vcpu->dirty & VIREO_REG_RFLAGS ? vcpu->rflags : to_vmcb(vcpu)->save.rflags;
}

/* ------------------------------------------------------------------ */
/* Past an instruction                                                  */

/* An instruction that ends with TF set traps: the one that was carried out for the guest, too. */
static noinline void svm_trap_step(struct vireo_vcpu *vcpu)
{
	vcpu->dr6 |= DR_STEP;
	if (vcpu->dr_loaded) {
		to_vmcb(vcpu)->save.dr6 |= DR_STEP;
		vmcb_dirty(to_vmcb(vcpu), VMCB_CLEAN_DR);
	}
	vireo_queue_exception(vcpu, X86_TRAP_DB, false, 0);
}

int notrace svm_skip(struct vireo_vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	u64 rip;

	if (unlikely(!vcpu->exit.insn_len))
		return -EAGAIN;
	rip = likely(!(vcpu->dirty & VIREO_REG_RIP)) ? vmcb->save.rip : vcpu->rip;
	rip += vcpu->exit.insn_len;
	/* Bit 9 is L: outside of 64-bit code RIP has 32 bits. */
	if (unlikely(!(vmcb->save.cs.attr & BIT(9))))
		rip = (u32)rip;
	vmcb->save.rip = rip;
	vcpu->rip = rip;
	vmcb->control.int_state &= ~VMCB_INT_SHADOW;
	if (unlikely(vmcb->save.rflags & X86_EFLAGS_TF))
		svm_trap_step(vcpu);
	return 0;
}

/* One bit for both kinds: SVM does not tell STI from MOV SS. */
u8 svm_get_shadow(struct vireo_vcpu *vcpu)
{
	return to_vmcb(vcpu)->control.int_state & VMCB_INT_SHADOW ? 1 : 0;
}

void svm_set_shadow(struct vireo_vcpu *vcpu, u8 shadow)
{
	struct vmcb_control *c = &to_vmcb(vcpu)->control;

	if (shadow)
		c->int_state |= VMCB_INT_SHADOW;
	else
		c->int_state &= ~VMCB_INT_SHADOW;
}

/* ------------------------------------------------------------------ */
/* Injection                                                            */

/*
 * What an INT n, INT3, INTO or INT1 raises returns to the instruction after it.  The processor takes
 * that address from nRIP (APM 15.20); one that has no nRIP pushes RIP, which is moved over the
 * instruction for this entry.  @event is remembered: EXITINTINFO would not tell its length.
 */
static void svm_inject_soft(struct vireo_vcpu *vcpu, const struct vireo_event *event)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	svm_write_regs(vcpu);
	svm->soft = *event;
	svm->soft_rip = vmcb->save.rip;
	svm_work_add(svm, SVM_WORK_SOFT);
	if (svm_caps.features & SVM_F_NRIP_SAVE && event->type != VIREO_EVENT_PRIV_SOFT_EXC)
		vmcb->control.next_rip = vmcb->save.rip + event->insn_len;
	else
		vmcb->save.rip += event->insn_len;
}

/* The mask, and with it the IRET that is watched for its end. */
static void svm_mask_nmi(struct svm_vcpu *svm, bool on)
{
	svm->nmi_masked = on;
	vmcb_intercept(svm->vmcb, VMCB_I_IRET, on);
	svm_work_drop(svm, SVM_WORK_IRET);
}

void svm_inject(struct vireo_vcpu *vcpu)
{
	const struct vireo_event *event = &vcpu->event;
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;
	u32 type = VMCB_EVENT_EXCEPTION;
	u32 inj = VMCB_EVENT_VALID | event->vector;

	switch (event->type) {
	case VIREO_EVENT_IRQ:
		type = VMCB_EVENT_INTR;
		break;
	case VIREO_EVENT_NMI:
		type = VMCB_EVENT_NMI;
		svm_mask_nmi(svm, true);
		break;
	case VIREO_EVENT_SOFT_INT:
		type = VMCB_EVENT_SOFT;
		svm_inject_soft(vcpu, event);
		break;
	case VIREO_EVENT_PRIV_SOFT_EXC:
	case VIREO_EVENT_SOFT_EXC:
		svm_inject_soft(vcpu, event);
		break;
	case VIREO_EVENT_EXCEPTION:
		if (event->vector == X86_TRAP_PF)
			vcpu->cr2 = event->cr2;
		/* The processor cannot tell these two from INT3 and INTO. */
		if (event->vector == X86_TRAP_BP || event->vector == X86_TRAP_OF)
			svm_inject_soft(vcpu, event);
		break;
	}
	/* In real mode no exception pushes an error code. */
	if (event->has_error && (svm->cr0 & X86_CR0_PE)) {
		inj |= VMCB_EVENT_ERROR;
		c->event_error = event->error;
	}
	c->event_inj = inj | type << VMCB_EVENT_TYPE_SHIFT;
	if (static_branch_unlikely(&svm_bochs))
		svm_work_add(svm, SVM_WORK_INJECTED);
}

void svm_cancel(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	if (svm->work & SVM_WORK_SOFT) {
		vmcb->save.rip = svm->soft_rip;
		svm_work_drop(svm, SVM_WORK_SOFT);
	}
	if (vcpu->event.type == VIREO_EVENT_NMI)
		svm_mask_nmi(svm, false);
	vmcb->control.event_inj = 0;
}

/*
 * An exit broke off the delivery of an event (APM 15.7.3, EXITINTINFO).  What an instruction of the
 * guest raised (INT n, INT3, INTO) is raised again by executing it again: RIP still
 * points to it.
 */
static void svm_delivery_broken(struct vireo_vcpu *vcpu, bool soft)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	u32 info = vmcb->control.exit_int_info;
	u8 vector = info & VMCB_EVENT_VECTOR;
	struct vireo_event event = { .valid = 1, .vector = vector };

	switch ((info & VMCB_EVENT_TYPE) >> VMCB_EVENT_TYPE_SHIFT) {
	case VMCB_EVENT_INTR:
		event.type = VIREO_EVENT_IRQ;
		break;
	case VMCB_EVENT_NMI:
		event.type = VIREO_EVENT_NMI;
		event.vector = X86_TRAP_NMI;
		svm_mask_nmi(svm, false);
		break;
	case VMCB_EVENT_EXCEPTION:
		if (soft) {
			event = svm->soft;
			break;
		}
		if (vector == X86_TRAP_BP || vector == X86_TRAP_OF)
			return;
		/* QEMU 7.2 reports an interrupt that it delivers itself as an exception. */
		if (vector > 31) {
			event.type = VIREO_EVENT_IRQ;
			break;
		}
		event.type = VIREO_EVENT_EXCEPTION;
		event.has_error = !!(info & VMCB_EVENT_ERROR);
		if (event.has_error)
			event.error = vmcb->control.exit_int_error;
		if (vector == X86_TRAP_PF)
			event.cr2 = vcpu->cr2;
		break;
	case VMCB_EVENT_SOFT:
		if (!soft)
			return;
		event = svm->soft;
		break;
	default:
		return;
	}
	vcpu->event = event;
	vcpu->event_pending = true;
}

/* ------------------------------------------------------------------ */
/* Windows                                                              */

bool svm_irq_allowed(struct vireo_vcpu *vcpu)
{
	return (svm_rflags(vcpu) & X86_EFLAGS_IF) &&
	       !(to_vmcb(vcpu)->control.int_state & VMCB_INT_SHADOW);
}

bool svm_nmi_allowed(struct vireo_vcpu *vcpu)
{
	const struct svm_vcpu *svm = to_svm(vcpu);

	return !svm->nmi_masked && !(svm->vmcb->control.int_state & VMCB_INT_SHADOW);
}

/*
 * There is no threshold: a write of CR8 that might let something in exits, as does one that is to clear the lower half of
 * TPR.  QEMU 7.2 ends with a failed assertion when CR8 is written while a virtual interrupt is pending.
 */
static void svm_watch_cr8(struct svm_vcpu *svm)
{
	bool on = !svm->tpr_shadow || svm->tpr_wake || svm->tpr_low;

	if (static_branch_unlikely(&svm_shadow_lost))
		on |= svm->work & SVM_WORK_IRQ_WINDOW;
	vmcb_intercept(svm->vmcb, VMCB_I_CR8_WRITE, on);
}

void svm_irq_window(struct vireo_vcpu *vcpu, bool on)
{
	const u32 bits = VMCB_V_IRQ | VMCB_V_PRIO_HIGHEST | VMCB_V_IGN_TPR;
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	if (likely(!(svm->work & SVM_WORK_IRQ_WINDOW) == !on))
		return;
	svm->work ^= SVM_WORK_IRQ_WINDOW;
	if (on)
		vmcb->control.int_ctl |= bits;
	else
		vmcb->control.int_ctl &= ~bits;
	vmcb->control.int_vector = 0;
	vmcb_intercept(vmcb, VMCB_I_VINTR, on);
	vmcb_dirty(vmcb, VMCB_CLEAN_INT_CTL);
	if (static_branch_unlikely(&svm_shadow_lost))
		svm_watch_cr8(svm);
}

void svm_nmi_window(struct vireo_vcpu *vcpu, bool on)
{
	if (on)
		svm_work_add(to_svm(vcpu), SVM_WORK_NMI_WINDOW);
	else
		svm_work_drop(to_svm(vcpu), SVM_WORK_NMI_WINDOW);
}

/* ------------------------------------------------------------------ */
/* Task priority: V_TPR (APM 15.21.2).  AVIC has no user here.          */

u32 svm_apic_setup(struct vireo_vcpu *vcpu, enum vireo_apic_mode mode)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->tpr_shadow = vireo_caps.features & VIREO_FEATURE_TPR_SHADOW &&
			  mode != VIREO_APIC_OFF && !vireo_hybrid(vcpu->vm);
	vmcb_intercept(svm->vmcb, VMCB_I_CR8_READ, !svm->tpr_shadow);
	svm_watch_cr8(svm);
	return svm->tpr_shadow ? VIREO_FEATURE_TPR_SHADOW : 0;
}

u8 svm_get_tpr(struct vireo_vcpu *vcpu)
{
	return (to_vmcb(vcpu)->control.int_ctl & VMCB_V_TPR) << 4 | to_svm(vcpu)->tpr_low;
}

void svm_set_tpr(struct vireo_vcpu *vcpu, u8 tpr, u8 wake)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	svm->tpr_low = tpr & 0xf;
	svm->tpr_wake = wake;
	vmcb->control.int_ctl = (vmcb->control.int_ctl & ~VMCB_V_TPR) | tpr >> 4;
	vmcb_dirty(vmcb, VMCB_CLEAN_INT_CTL);
	svm_watch_cr8(svm);
}

/* Only called with VIREO_FEATURE_VIRTUAL_IRQ, which svm_apic_setup() never answers. */
void svm_irq_request(struct vireo_vcpu *vcpu, u8 vector)
{
}

void svm_irq_status(struct vireo_vcpu *vcpu, u8 requested, u8 served)
{
}

void svm_eoi_exits(struct vireo_vcpu *vcpu, u32 word, u64 vectors)
{
}

bool svm_get_nmi_mask(struct vireo_vcpu *vcpu)
{
	return to_svm(vcpu)->nmi_masked;
}

void svm_set_nmi_mask(struct vireo_vcpu *vcpu, bool on)
{
	svm_mask_nmi(to_svm(vcpu), on);
}

void svm_iret(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	vmcb_intercept(svm->vmcb, VMCB_I_IRET, false);
	svm->iret_rip = svm->vmcb->save.rip;
	svm_work_add(svm, SVM_WORK_IRET);
}

/* An NMI waits: make the guest exit when it can be taken. */
static void svm_open_nmi_window(struct svm_vcpu *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	if (vmcb->control.event_inj & VMCB_EVENT_VALID) {
		/*
		 * TF must not get onto the stack with an event's frame.  If the event comes
		 * before the IRET that is watched, its handler has one of its own, and that
		 * one, executed earlier, is what ends the mask.
		 */
		if (svm->work & SVM_WORK_IRET) {
			vmcb_intercept(vmcb, VMCB_I_IRET, true);
			svm_work_drop(svm, SVM_WORK_IRET);
		}
		/* A pending interrupt of the host's ends the guest right after the delivery. */
		if (!svm->nmi_masked)
			smp_send_reschedule(smp_processor_id());
		return;
	}
	if (svm->nmi_masked && !(svm->work & SVM_WORK_IRET))
		return;
	svm_work_add(svm, SVM_WORK_STEP |
		     (vmcb->save.rflags & X86_EFLAGS_TF ? SVM_WORK_GUEST_TF : 0));
	vmcb->save.rflags |= X86_EFLAGS_TF;
}

/*
 * QEMU 7.2 saves the interrupt shadow at an exit, but does not take it up again at VMRUN.  So the guest
 * is stepped over the instruction, with no virtual interrupt pending: an interrupt between
 * STI and HLT would be missed by who waits for it.
 */
static void svm_hold_shadow(struct svm_vcpu *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	svm->shadow_rip = vmcb->save.rip;
	svm_work_add(svm, SVM_WORK_SHADOW | SVM_WORK_STEP |
		     (vmcb->save.rflags & X86_EFLAGS_TF ? SVM_WORK_GUEST_TF : 0));
	vmcb->save.rflags |= X86_EFLAGS_TF;
	vmcb->control.int_ctl &= ~VMCB_V_IRQ;
	vmcb_dirty(vmcb, VMCB_CLEAN_INT_CTL);
}

/* SVM has real mode and whatever state there may be. */
bool svm_runnable(struct vireo_vcpu *vcpu)
{
	return true;
}

void svm_step(struct vireo_vcpu *vcpu)
{
	svm_work_add(to_svm(vcpu), SVM_WORK_SINGLE);
}

/* TF for one instruction, and no window that opens before it. */
static void svm_open_single(struct svm_vcpu *svm)
{
	if (svm->vmcb->control.int_state & VMCB_INT_SHADOW) {
		svm_hold_shadow(svm);
		return;
	}
	svm_work_add(svm, SVM_WORK_STEP |
		     (svm->vmcb->save.rflags & X86_EFLAGS_TF ? SVM_WORK_GUEST_TF : 0));
	svm->vmcb->save.rflags |= X86_EFLAGS_TF;
}

static bool svm_window(struct vireo_vcpu *vcpu, u16 reason)
{
	vcpu->exit.reason = reason;
	vcpu->exit.insn_len = 0;
	vcpu->exit.nr_bytes = 0;
	return false;
}

bool svm_work_entry(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (vcpu->dirty)
		svm_write_regs(vcpu);
	if (unlikely(svm->work & SVM_WORK_SINGLE)) {
		svm_open_single(svm);
		return true;
	}
	/*
	 * A handler may have ended what held an event back: CPUID in the shadow of STI.  It
	 * can be taken at once, and Bochs 2.7 would not open the window if IF is set at entry.
	 */
	if (!(svm->vmcb->control.event_inj & VMCB_EVENT_VALID)) {
		if ((svm->work & SVM_WORK_NMI_WINDOW) && svm_nmi_allowed(vcpu))
			return svm_window(vcpu, VIREO_EXIT_NMI_WINDOW);
		if ((svm->work & SVM_WORK_IRQ_WINDOW) && svm_irq_allowed(vcpu))
			return svm_window(vcpu, VIREO_EXIT_IRQ_WINDOW);
		if (static_branch_unlikely(&svm_shadow_lost) &&
		    (svm->vmcb->control.int_state & VMCB_INT_SHADOW)) {
			svm_hold_shadow(svm);
			return true;
		}
	}
	if (svm->work & SVM_WORK_NMI_WINDOW)
		svm_open_nmi_window(svm);
	return true;
}

/* Take our TF back, unless the IRET that was stepped over has brought the guest's own. */
static void svm_end_step(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	bool iret_done = (svm->work & SVM_WORK_IRET) && vmcb->save.rip != svm->iret_rip;
	u64 cause = svm_db_cause(vmcb);

	if (!(svm->work & SVM_WORK_GUEST_TF)) {
		if (!iret_done)
			vmcb->save.rflags &= ~X86_EFLAGS_TF;
		if (vmcb->control.exit_code == VMEXIT_EXCEPTION + X86_TRAP_DB &&
		    (!cause || (cause & DR_STEP)))
			svm_work_add(svm, SVM_WORK_STEPPED);
	}
	if (!(svm->work & SVM_WORK_STEPPED))
		svm_work_drop(svm, SVM_WORK_SINGLE);
	svm_work_drop(svm, SVM_WORK_STEP | SVM_WORK_GUEST_TF);
}

bool svm_step_done(struct vireo_vcpu *vcpu, u16 *reason)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	if (!(svm->work & SVM_WORK_STEPPED))
		return false;
	svm_work_drop(svm, SVM_WORK_STEPPED);
	vmcb->save.dr6 &= ~DR_STEP;
	vmcb_dirty(vmcb, VMCB_CLEAN_DR);
	*reason = svm->work & SVM_WORK_SINGLE ? VIREO_EXIT_STEP :
		  svm->work & SVM_WORK_NMI_WINDOW ? VIREO_EXIT_NMI_WINDOW :
		  svm->work & SVM_WORK_IRQ_WINDOW ? VIREO_EXIT_IRQ_WINDOW : VIREO_EXIT_NONE;
	svm_work_drop(svm, SVM_WORK_SINGLE);
	/* A breakpoint of the guest's at the same place is still to be delivered. */
	return !(svm_db_cause(vmcb) & DR_TRAP_BITS);
}

/* Called for each exit while svm->work is not 0, and for those that broke off a delivery. */
struct vireo_vcpu *svm_work_exit(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	bool broken = vmcb->control.exit_int_info & VMCB_EVENT_VALID;
	bool soft = svm->work & SVM_WORK_SOFT;

	if (static_branch_unlikely(&svm_bochs)) {
		/* What the guest itself has raised it raises again. */
		broken &= !!(svm->work & SVM_WORK_INJECTED);
		svm_work_drop(svm, SVM_WORK_INJECTED);
	}
	if (soft) {
		if (broken)
			vmcb->save.rip = svm->soft_rip;
		svm_work_drop(svm, SVM_WORK_SOFT);
	}
	if (svm->work & SVM_WORK_STEP)
		svm_end_step(vcpu);
	if (svm->work & SVM_WORK_SHADOW) {
		if (vmcb->save.rip == svm->shadow_rip)
			vmcb->control.int_state |= VMCB_INT_SHADOW;
		if (svm->work & SVM_WORK_IRQ_WINDOW) {
			vmcb->control.int_ctl |= VMCB_V_IRQ;
			vmcb_dirty(vmcb, VMCB_CLEAN_INT_CTL);
		}
		svm_work_drop(svm, SVM_WORK_SHADOW);
	}
	if ((svm->work & SVM_WORK_IRET) && vmcb->save.rip != svm->iret_rip)
		svm_mask_nmi(svm, false);
	if (broken)
		svm_delivery_broken(vcpu, soft);
	if ((svm->work & SVM_WORK_NMI_WINDOW) && svm_nmi_allowed(vcpu)) {
		svm_work_drop(svm, SVM_WORK_NMI_WINDOW);
		vireo_request_set(vcpu, VIREO_REQ_EVENT);
	}
	return vcpu;
}

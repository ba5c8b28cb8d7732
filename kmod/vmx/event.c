// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events into the guest, and what holds them back.
 */
#include <asm/processor-flags.h>
#include <asm/msr-index.h>
#include <asm/trapnr.h>

#include "vmx.h"

/* vireo_event.type has the numbers of the entry and vectoring fields (table 25-17). */
static_assert(VIREO_EVENT_NMI == VMX_EVENT_TYPE_NMI);
static_assert(VIREO_EVENT_EXCEPTION == VMX_EVENT_TYPE_EXCEPTION);

/* ------------------------------------------------------------------ */
/* Stepping over an instruction                                         */

static noinline u64 vmx_wrap_rip(struct vireo_vcpu *vcpu, u64 rip)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	/* Only 64-bit code goes on beyond 4 GiB. */
	if (vmx->efer & EFER_LMA && vmx_read(VMCS_GUEST_CS_ATTR) & VIREO_SEG_L)
		return rip;
	return (u32)rip;
}

int vmx_skip(struct vireo_vcpu *vcpu)
{
	u64 old, rip, rflags;
	u32 blocked;

	old = unlikely(vcpu->avail & VIREO_REG_RIP) ? vcpu->rip : vmx_read(VMCS_GUEST_RIP);
	rip = old + vcpu->exit.insn_len;
	if (unlikely((rip ^ old) & BIT_ULL(32)))
		rip = vmx_wrap_rip(vcpu, rip);
	vcpu->rip = rip;
	vcpu->avail |= VIREO_REG_RIP;
	vcpu->dirty |= VIREO_REG_RIP;

	blocked = vmx_read(VMCS_GUEST_INTERRUPTIBILITY);
	if (unlikely(blocked & (VMX_BLOCKED_STI | VMX_BLOCKED_MOVSS)))
		vmx_write(VMCS_GUEST_INTERRUPTIBILITY,
			  blocked & ~(VMX_BLOCKED_STI | VMX_BLOCKED_MOVSS));
	/* The trap that the processor would raise after it: comes at the next entry. */
	rflags = unlikely(vcpu->avail & VIREO_REG_RFLAGS) ? vcpu->rflags :
							    vmx_read(VMCS_GUEST_RFLAGS);
	if (unlikely(rflags & X86_EFLAGS_TF))
		vmx_write(VMCS_GUEST_PENDING_DEBUG,
			  vmx_read(VMCS_GUEST_PENDING_DEBUG) | VMX_PENDING_BS);
	return 0;
}

/*
 * In a shadow a pending single step must be there exactly if TF is set and BTF is not
 * (SDM vol. 3, 27.3.1.5); else the entry fails.
 */
void vmx_fix_step(struct vireo_vcpu *vcpu)
{
	u64 pending, want = 0;

	if (!vmx_get_shadow(vcpu))
		return;
	pending = vmx_read(VMCS_GUEST_PENDING_DEBUG);
	if (vmx_rflags(vcpu) & X86_EFLAGS_TF &&
	    !(vmx_read(VMCS_GUEST_DEBUGCTL) & DEBUGCTLMSR_BTF))
		want = VMX_PENDING_BS;
	if ((pending & VMX_PENDING_BS) != want)
		vmx_write(VMCS_GUEST_PENDING_DEBUG, pending ^ VMX_PENDING_BS);
}

u8 vmx_get_shadow(struct vireo_vcpu *vcpu)
{
	u32 blocked = vmx_read(VMCS_GUEST_INTERRUPTIBILITY);

	if (blocked & VMX_BLOCKED_MOVSS)
		return 2;
	return blocked & VMX_BLOCKED_STI ? 1 : 0;
}

void vmx_set_shadow(struct vireo_vcpu *vcpu, u8 shadow)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u32 blocked = vmx_read(VMCS_GUEST_INTERRUPTIBILITY);

	blocked &= ~(VMX_BLOCKED_STI | VMX_BLOCKED_MOVSS);
	if (shadow == 1)
		blocked |= VMX_BLOCKED_STI;
	else if (shadow == 2)
		blocked |= VMX_BLOCKED_MOVSS;
	vmx_write(VMCS_GUEST_INTERRUPTIBILITY, blocked);
	if (shadow)
		vmx->todo |= VMX_TODO_STEP;
}

/* ------------------------------------------------------------------ */
/* Injection                                                            */

void vmx_inject(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	const struct vireo_event *event = &vcpu->event;
	u32 info = event->vector | event->type << VMX_EVENT_TYPE_SHIFT | VMX_EVENT_VALID;

	if (event->type == VIREO_EVENT_EXCEPTION) {
		if (event->vector == X86_TRAP_PF)
			vcpu->cr2 = event->cr2;
		/* Real mode has no error codes; the entry would fail. */
		if (event->has_error && vmx_read(VMCS_GUEST_CR0) & X86_CR0_PE) {
			info |= VMX_EVENT_HAS_ERROR;
			/* 27.2.1.3: 31:16 must be 0; CET's and SGX's bits are not offered. */
			vmx_write(VMCS_ENTRY_EVENT_ERROR, event->error & 0xffff);
		}
	} else if (event->type >= VIREO_EVENT_SOFT_INT) {
		vmx_write(VMCS_ENTRY_INSN_LEN, event->insn_len);
	} else if (event->type == VIREO_EVENT_NMI) {
		vmx->nmi_free = false;
	}
	vmx_write(VMCS_ENTRY_EVENT, info);
}

static void vmx_set_event(struct vireo_vcpu *vcpu, u32 info, u32 error, u8 insn_len)
{
	struct vireo_event *event = &vcpu->event;

	memset(event, 0, sizeof(*event));
	event->valid = 1;
	event->vector = info & VMX_EVENT_VECTOR;
	event->type = (info & VMX_EVENT_TYPE) >> VMX_EVENT_TYPE_SHIFT;
	if (info & VMX_EVENT_HAS_ERROR) {
		event->has_error = 1;
		event->error = error;
	}
	if (event->type == VIREO_EVENT_EXCEPTION && event->vector == X86_TRAP_PF)
		event->cr2 = vcpu->cr2;
	if (event->type >= VIREO_EVENT_SOFT_INT)
		event->insn_len = insn_len;
	vcpu->event_pending = true;
}

/*
 * Bochs 2.7 does not note a virtual interrupt as the event in delivery: the vectoring information is that
 * of some event before.  It is an interrupt in delivery if there is one in service although interrupts are on;
 * or a handler that lets others in before its EOI, and has an exception delivered on a page that
 * is not there.
 */
static u32 vmx_bochs_vectoring(struct vireo_vcpu *vcpu, u32 info)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u8 served;

	if (!(vmx->apic_proc2 & VMX_PROC2_VIRTUAL_IRQ) || !vmx_irq_allowed(vcpu))
		return info;
	served = vmx_read(VMCS_GUEST_IRQ_STATUS) >> 8;
	return served ? VMX_EVENT_VALID | served : info;
}

void vmx_recover_event(struct vireo_vcpu *vcpu, u32 info, u32 error, u8 insn_len)
{
	if (unlikely(vmx_caps.vectoring_stale))
		info = vmx_bochs_vectoring(vcpu, info);
	vmx_set_event(vcpu, info, error, insn_len);
	/* The NMI has blocked others already, and is to be delivered again (28.2.3). */
	if (vcpu->event.type == VIREO_EVENT_NMI)
		vmx_set_nmi_mask(vcpu, false);
}

void vmx_cancel(struct vireo_vcpu *vcpu)
{
	u32 info = vmx_read(VMCS_ENTRY_EVENT);

	if (!(info & VMX_EVENT_VALID))
		return;
	vmx_set_event(vcpu, info, vmx_read(VMCS_ENTRY_EVENT_ERROR),
		      vmx_read(VMCS_ENTRY_INSN_LEN));
	vmx_write(VMCS_ENTRY_EVENT, 0);
}

/* ------------------------------------------------------------------ */
/* May it be taken now?                                                 */

bool vmx_irq_allowed(struct vireo_vcpu *vcpu)
{
	return vmx_rflags(vcpu) & X86_EFLAGS_IF &&
	       !(vmx_read(VMCS_GUEST_INTERRUPTIBILITY) & (VMX_BLOCKED_STI | VMX_BLOCKED_MOVSS));
}

/* Some processors also refuse an NMI in the shadow of STI (SDM vol. 3, 27.3.1.5). */
bool vmx_nmi_allowed(struct vireo_vcpu *vcpu)
{
	u32 blocked = vmx_read(VMCS_GUEST_INTERRUPTIBILITY);
	struct vmx_vcpu *vmx = vcpu->backend;

	if (unlikely(vmx->nmi_free) && blocked & VMX_BLOCKED_NMI) {
		/* The entry with an NMI would fail. */
		blocked &= ~VMX_BLOCKED_NMI;
		vmx_write(VMCS_GUEST_INTERRUPTIBILITY, blocked);
	}
	return !(blocked & (VMX_BLOCKED_STI | VMX_BLOCKED_MOVSS | VMX_BLOCKED_NMI));
}

void vmx_irq_window(struct vireo_vcpu *vcpu, bool on)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	vmx_set_proc(vmx, on ? vmx->proc | VMX_PROC_IRQ_WINDOW : vmx->proc & ~VMX_PROC_IRQ_WINDOW);
}

void vmx_nmi_window(struct vireo_vcpu *vcpu, bool on)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	vmx_set_proc(vmx, on ? vmx->proc | VMX_PROC_NMI_WINDOW : vmx->proc & ~VMX_PROC_NMI_WINDOW);
}

bool vmx_get_nmi_mask(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	return !vmx->nmi_free && vmx_read(VMCS_GUEST_INTERRUPTIBILITY) & VMX_BLOCKED_NMI;
}

void vmx_set_nmi_mask(struct vireo_vcpu *vcpu, bool on)
{
	u32 blocked = vmx_read(VMCS_GUEST_INTERRUPTIBILITY);
	struct vmx_vcpu *vmx = vcpu->backend;

	blocked &= ~VMX_BLOCKED_NMI;
	if (on)
		blocked |= VMX_BLOCKED_NMI;
	vmx_write(VMCS_GUEST_INTERRUPTIBILITY, blocked);
	vmx->nmi_free = !on && vmx_caps.nmi_mask_stays;
}

/*
 * Before a vCPU may meet what another one has left in the processor (Bochs 2.7). If no NMI is in service now, none is until
 * the next is injected, and that puts the processor right: its IRET ends all blocking.
 */
void vmx_note_nmi_mask(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	if (!(vmx_read(VMCS_GUEST_INTERRUPTIBILITY) & VMX_BLOCKED_NMI))
		vmx->nmi_free = true;
}

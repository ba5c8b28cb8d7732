// SPDX-License-Identifier: GPL-2.0-only
/*
 * What of the local APIC the processor keeps (SDM vol. 3, ch. 30), in vcpu->apic_page.  What is
 * arranged when, and what it means, kmod/irq/assist.c says.
 */
#include <asm/apicdef.h>

#include "../irq/irq.h"
#include "vmx.h"

#define VMX_APIC_MSR		0x800
#define VMX_PROC2_APIC		(VMX_PROC2_X2APIC | VMX_PROC2_APIC_REGISTERS | VMX_PROC2_VIRTUAL_IRQ)

/*
 * In x2APIC mode the MSR bitmap says what is virtualised.  What it lets through must be in the page, or have a meaning
 * for the processor: all else would be the host's own APIC.
 */
static void vmx_apic_msrs(struct vireo_vcpu *vcpu, u32 proc2)
{
	bool x2 = proc2 & VMX_PROC2_X2APIC, virtual_irq = proc2 & VMX_PROC2_VIRTUAL_IRQ;
	u64 reads = 0, writes = 0;
	int i;

	if (x2) {
		writes = BIT_ULL(APIC_TASKPRI >> 4);
		reads = proc2 & VMX_PROC2_APIC_REGISTERS ? vireo_lapic_page_reads(virtual_irq) : writes;
		if (virtual_irq)
			writes |= BIT_ULL(APIC_EOI >> 4);
		if (virtual_irq && !vireo_caps.irq_careful)
			writes |= BIT_ULL(APIC_SELF_IPI >> 4);
	}
	for (i = 0; i < 64; i++)
		vmx_msr_intercept(vcpu, VMX_APIC_MSR + i, !(reads & BIT_ULL(i)), !(writes & BIT_ULL(i)));
}

u32 vmx_apic_setup(struct vireo_vcpu *vcpu, enum vireo_apic_mode mode)
{
	const u32 exits = VMX_PROC_CR8_LOAD | VMX_PROC_CR8_STORE;
	struct vmx_vcpu *vmx = vcpu->backend;
	u32 proc2 = 0, used = 0;

	/* An APIC that is off has no priorities, and the interpreter none but those of lapic.c. */
	if (vmx_caps.apic && mode != VIREO_APIC_OFF && !vireo_hybrid(vcpu->vm)) {
		used = VIREO_FEATURE_TPR_SHADOW;
		if (mode == VIREO_APIC_X2APIC)
			proc2 |= vmx_caps.msrs.proc2 >> 32 & VMX_PROC2_X2APIC;
		if (proc2 && vmx_caps.apic & VIREO_FEATURE_APIC_REGISTERS) {
			used |= VIREO_FEATURE_APIC_REGISTERS;
			proc2 |= VMX_PROC2_APIC_REGISTERS;
		}
		if (vmx_caps.apic & VIREO_FEATURE_VIRTUAL_IRQ) {
			used |= VIREO_FEATURE_VIRTUAL_IRQ;
			proc2 |= VMX_PROC2_VIRTUAL_IRQ;
		}
	}
	vmx_set_proc(vmx, used ? (vmx->proc & ~exits) | VMX_PROC_TPR_SHADOW :
				 (vmx->proc & ~VMX_PROC_TPR_SHADOW) | exits);
	if (proc2 != vmx->apic_proc2) {
		vmx_apic_msrs(vcpu, proc2);
		vmx->apic_proc2 = proc2;
		vmx->proc2 = (vmx->proc2 & ~VMX_PROC2_APIC) | proc2;
		vmx_write(VMCS_PROC2_CONTROLS, vmx->proc2);
	}
	return used;
}

u8 vmx_get_tpr(struct vireo_vcpu *vcpu)
{
	return READ_ONCE(vcpu->apic_page[APIC_TASKPRI >> 2]);
}

void vmx_set_tpr(struct vireo_vcpu *vcpu, u8 tpr, u8 wake)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	WRITE_ONCE(vcpu->apic_page[APIC_TASKPRI >> 2], tpr);
	if (wake != vmx->threshold) {
		vmx->threshold = wake;
		vmx_write(VMCS_TPR_THRESHOLD, wake);
	}
	if (wake)
		vmx->todo |= VMX_TODO_TPR;
}

/* SDM vol. 3, 27.2.1.1: an entry with TPR below the threshold fails. */
bool vmx_tpr_below(struct vireo_vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = vcpu->backend;

	return vmx_get_tpr(vcpu) >> 4 < vmx->threshold;
}

void vmx_irq_request(struct vireo_vcpu *vcpu, u8 vector)
{
	u16 status = vmx_read(VMCS_GUEST_IRQ_STATUS);

	if (vector > (u8)status)
		vmx_write(VMCS_GUEST_IRQ_STATUS, (status & 0xff00) | vector);
}

void vmx_irq_status(struct vireo_vcpu *vcpu, u8 requested, u8 served)
{
	vmx_write(VMCS_GUEST_IRQ_STATUS, served << 8 | requested);
}

void vmx_eoi_exits(struct vireo_vcpu *vcpu, u32 word, u64 vectors)
{
	vmx_write(VMCS_EOI_EXIT0 + 2 * word, vectors);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * EOI without an exit (MSR_KVM_PV_EOI_EN).
 *
 * When an interrupt is delivered and nothing else waits, a bit in the guest's memory says that its EOI is not
 * urgent.  A guest that finds the bit clears it and is done; one that does not writes the EOI register.  What the
 * guest has done is looked up only when it matters: before the next interrupt is chosen, or when
 * somebody looks at the APIC.  Until then (@pv_eoi) the limit is as if the EOI had been, so that
 * whatever comes is looked at; and whoever looks asks here first.
 *
 * Only the vCPU's own thread comes here, so the guest does not run meanwhile.
 */
#include <uapi/asm/kvm_para.h>

#include "lapic.h"

#define PV_EOI_ADDRESS		(~3ULL)
#define PV_EOI_RESERVED		2ULL

static u64 lapic_pv_eoi_gpa(const struct vireo_lapic_state *l)
{
	return l->pv_eoi_msr & PV_EOI_ADDRESS;
}

void lapic_pv_eoi_offer(struct vireo_vcpu *vcpu)
{
	static const u8 bit = KVM_PV_EOI_ENABLED;
	struct vireo_lapic_state *l = vcpu->lapic;
	u8 vector = l->isrv;
	int idx;

	/* One in service, none waits, and nobody is to be told of the EOI. */
	if (!vector || lapic_highest_bit(l->irr) || test_bit(vector, l->tmr))
		return;
	if (hweight_long(l->isr[0]) + hweight_long(l->isr[1]) + hweight_long(l->isr[2]) +
	    hweight_long(l->isr[3]) != 1)
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	l->pv_eoi = !vireo_write_gpa_nofault(vcpu, lapic_pv_eoi_gpa(l), &bit, sizeof(bit));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (l->pv_eoi)
		lapic_update_limit(l);
}

/* The bit goes; @set: was it there still?  0 or -EFAULT. */
static int lapic_pv_eoi_withdraw(struct vireo_vcpu *vcpu, bool sleep, bool *set)
{
	u64 gpa = lapic_pv_eoi_gpa(vcpu->lapic);
	u8 byte, zero = KVM_PV_EOI_DISABLED;
	int r;

	r = sleep ? vireo_read_gpa(vcpu, gpa, &byte, sizeof(byte)) :
		    vireo_read_gpa_nofault(vcpu, gpa, &byte, sizeof(byte));
	if (r)
		return r;
	*set = byte & KVM_PV_EOI_ENABLED;
	if (!*set)
		return 0;
	return sleep ? vireo_write_gpa(vcpu, gpa, &zero, sizeof(zero)) :
		       vireo_write_gpa_nofault(vcpu, gpa, &zero, sizeof(zero));
}

bool lapic_pv_eoi_sync(struct vireo_vcpu *vcpu, bool sleep)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	bool set = true;
	int idx, r;

	/* With interrupts off that is a read side of its own. */
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = lapic_pv_eoi_withdraw(vcpu, sleep, &set);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (r && !sleep) {
		vireo_request_set(vcpu, VIREO_REQ_PV_EOI);
		return false;
	}
	l->pv_eoi = false;
	if (!r && !set)
		lapic_pv_eoi_ended(vcpu);
	else
		lapic_update_limit(l);
	return true;
}

void vireo_lapic_pv_eoi_settle(struct vireo_vcpu *vcpu)
{
	if (!vcpu->lapic->pv_eoi)
		return;
	lapic_pv_eoi_sync(vcpu, true);
	vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

u64 vireo_lapic_get_pv_eoi(struct vireo_vcpu *vcpu)
{
	return vcpu->lapic->pv_eoi_msr;
}

int vireo_lapic_set_pv_eoi(struct vireo_vcpu *vcpu, u64 data)
{
	if ((data & PV_EOI_RESERVED) || (data & ~vcpu->caps.phys_mask))
		return -EINVAL;
	vireo_lapic_pv_eoi_settle(vcpu);
	vcpu->lapic->pv_eoi_msr = data;
	return 0;
}

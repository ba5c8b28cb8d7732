// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paravirtual ABI of KVM, but for the clock.  Numbers and structures are those that the kernel
 * publishes (Documentation/virt/kvm/x86/{msr,hypercalls,cpuid}.rst in its tree).
 *
 * Steal time: the time for which the vCPU's thread wanted a CPU and had none, as the scheduler counts it.
 * It is written when the vCPU runs again.  In between the guest's page says that it does not
 * run.  Another vCPU that wants its TLB flushed leaves word there instead of an interrupt, and the flush is done
 * before the vCPU enters the guest.
 *
 * The pages are the guest's, so they may be anything, change at any time, or be gone.  Nothing
 * that is read from them is trusted beyond the guest itself, and a page that cannot be reached is left alone.
 */
#include <linux/sched.h>
#include <asm/apicdef.h>
#include <uapi/linux/kvm_para.h>

#include "core.h"
#include "idle.h"
#include "irq/irq.h"
#include "paravirt.h"

static_assert(sizeof(struct kvm_steal_time) == 64);
static_assert(offsetof(struct kvm_steal_time, version) == 8);
static_assert(offsetof(struct kvm_steal_time, preempted) == 16);

#define STEAL_AT(member)	offsetof(struct kvm_steal_time, member)

/* The flag is exchanged; others may be at it at the same time, but not for ever. */
#define VIREO_STEAL_TRIES	8

static u64 vireo_run_delay(void)
{
#ifdef CONFIG_SCHED_INFO
	return current->sched_info.run_delay;
#else
	return 0;
#endif
}

static u64 vireo_steal_page(const struct vireo_vcpu *vcpu)
{
	return vcpu->steal_msr & KVM_STEAL_VALID_BITS;
}

/* The guest's version is odd while the time is written. */
static void vireo_steal_write(struct vireo_vcpu *vcpu, u64 delta)
{
	u64 page = vireo_steal_page(vcpu);
	struct {
		u64 steal;
		u32 version, flags;
	} now;

	if (vireo_read_gpa(vcpu, page, &now, sizeof(now)))
		return;
	now.version = (now.version + 1) | 1;
	if (vireo_write_gpa(vcpu, page + STEAL_AT(version), &now.version, sizeof(now.version)))
		return;
	/* Pairs with the guest's reads: version, time, version. */
	smp_wmb();
	now.steal += delta;
	vireo_write_gpa(vcpu, page + STEAL_AT(steal), &now.steal, sizeof(now.steal));
	/* Likewise. */
	smp_wmb();
	now.version++;
	vireo_write_gpa(vcpu, page + STEAL_AT(version), &now.version, sizeof(now.version));
}

/* It runs again.  True if somebody has asked for a flush meanwhile, or may have. */
static bool vireo_steal_running(struct vireo_vcpu *vcpu)
{
	u64 gpa = vireo_steal_page(vcpu) + STEAL_AT(preempted);
	u8 seen = vcpu->steal_flag ? KVM_VCPU_PREEMPTED : 0, want, zero = 0;
	bool flagged = vcpu->steal_flag;
	int i, r;

	vcpu->steal_flag = false;
	for (i = 0; i < VIREO_STEAL_TRIES; i++) {
		want = seen;
		r = vireo_cmpxchg_gpa(vcpu, gpa, &seen, &zero, sizeof(seen));
		if (r)
			return flagged;
		if (seen == want)
			return seen & KVM_VCPU_FLUSH_TLB;
	}
	return true;
}

void vireo_steal_update(struct vireo_vcpu *vcpu)
{
	u64 delay = vireo_run_delay(), delta = delay - vcpu->run_delay;

	if (!(vcpu->steal_msr & KVM_MSR_ENABLED))
		return;
	if (vireo_steal_running(vcpu) && vireo_paravirt_has(vcpu, KVM_FEATURE_PV_TLB_FLUSH)) {
		vcpu->counters.pv_flushes++;
		vireo_request_set(vcpu, vcpu->vm->mmu.shadow ? VIREO_REQ_ROOT : VIREO_REQ_FLUSH);
	}
	vcpu->run_delay = delay;
	if (delta)
		vireo_steal_write(vcpu, delta);
}

void vireo_steal_thread(struct vireo_vcpu *vcpu)
{
	vcpu->run_delay = vireo_run_delay();
}

void vireo_steal_preempted(struct vireo_vcpu *vcpu)
{
	static const u8 flag = KVM_VCPU_PREEMPTED;

	/* Once it stands there, others may add to it. */
	if (vcpu->steal_flag)
		return;
	/*
	 * Behind shadow tables the write may have vCPUs kicked, which takes the locks that are held here.  Such
	 * guests do not learn it, and send interrupts.
	 */
	if (vcpu->vm->mmu.shadow)
		return;
	if (!vireo_write_gpa_nofault(vcpu, vireo_steal_page(vcpu) + STEAL_AT(preempted), &flag,
				     sizeof(flag)))
		vcpu->steal_flag = true;
}

static int vireo_steal_set(struct vireo_vcpu *vcpu, u64 data)
{
	if ((data & KVM_STEAL_RESERVED_MASK) || (data & ~vcpu->caps.phys_mask))
		return -EINVAL;
	/* Sleeping, and so scheduling, must see the one page or the other. */
	preempt_disable();
	vcpu->steal_msr = data;
	vcpu->steal_flag = false;
	preempt_enable();
	vireo_steal_thread(vcpu);
	if (data & KVM_MSR_ENABLED)
		vireo_request_set(vcpu, VIREO_REQ_STEAL);
	return 0;
}

/* Whether there is such a register: as the two that follow. */
static int vireo_paravirt_msr(struct vireo_vcpu *vcpu, u32 index, bool host)
{
	u32 feature;

	switch (index) {
	case MSR_KVM_STEAL_TIME:
		feature = KVM_FEATURE_STEAL_TIME;
		break;
	case MSR_KVM_PV_EOI_EN:
		feature = KVM_FEATURE_PV_EOI;
		break;
	default:
		return -ENOENT;
	}
	return host || vireo_paravirt_has(vcpu, feature) ? 0 : -EINVAL;
}

int vireo_paravirt_msr_read(struct vireo_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	int r = vireo_paravirt_msr(vcpu, index, host);

	if (r)
		return r;
	*data = index == MSR_KVM_STEAL_TIME ? vcpu->steal_msr : vireo_lapic_get_pv_eoi(vcpu);
	return 0;
}

int vireo_paravirt_msr_write(struct vireo_vcpu *vcpu, u32 index, u64 data, bool host)
{
	int r = vireo_paravirt_msr(vcpu, index, host);

	if (r)
		return r;
	if (irqs_disabled())
		return -EAGAIN;
	if (index == MSR_KVM_STEAL_TIME)
		return vireo_steal_set(vcpu, data);
	return vireo_lapic_set_pv_eoi(vcpu, data);
}

void vireo_paravirt_reset(struct vireo_vcpu *vcpu)
{
	vcpu->steal_msr = 0;
	vcpu->steal_flag = false;
}

/* Bits of two bitmaps of @width bits each, the first of which is vCPU @min. */
static u64 vireo_call_targets(u64 low, u64 high, u64 min, u32 width)
{
	u64 targets = 0;

	if (min < VIREO_MAX_VCPUS)
		targets = low << min;
	if (min + width < VIREO_MAX_VCPUS)
		targets |= high << (min + width);
	return targets;
}

static u64 vireo_call_send_ipi(struct vireo_vcpu *vcpu, const u64 *args, u32 width)
{
	u32 icr = args[3], mode = icr & APIC_MODE_MASK;
	int taken;

	/* Fixed, lowest priority and NMI; where to is said by the bitmap. */
	if (args[3] >> 32 || (icr & (APIC_DEST_ALLBUT | APIC_DEST_LOGICAL)) ||
	    (mode != APIC_DM_FIXED && mode != APIC_DM_LOWEST && mode != APIC_DM_NMI))
		return -KVM_EINVAL;
	/* A second bitmap that begins behind the last number. */
	if (args[2] > U64_MAX - 2 * 64)
		return 0;
	taken = vireo_lapic_send_ipis(vcpu->vm, vireo_call_targets(args[0], args[1], args[2], width), icr);
	vcpu->counters.ipis += taken;
	return taken;
}

/* The vCPU of that number, which is the guest's choice; or NULL. */
static struct vireo_vcpu *vireo_call_target(struct vireo_vcpu *vcpu, u64 id)
{
	return id < VIREO_MAX_VCPUS ? vireo_vcpu_by_id(vcpu->vm, id) : NULL;
}

static u64 vireo_call_kick(struct vireo_vcpu *vcpu, u64 id)
{
	struct vireo_vcpu *target = vireo_call_target(vcpu, id);

	if (target) {
		WRITE_ONCE(target->pv_kicked, true);
		vireo_request(target, VIREO_REQ_EVENT);
	}
	return 0;
}

static u64 vireo_call_yield(struct vireo_vcpu *vcpu, u64 id)
{
	struct vireo_vcpu *target = vireo_call_target(vcpu, id);

	if (target)
		vireo_yield_to(vcpu, target);
	return 0;
}

bool vireo_paravirt_call(struct vireo_vcpu *vcpu, const struct vireo_mode *mode, u64 *ret)
{
	bool wide = (mode->efer & EFER_LMA) && (mode->cs_attr & VIREO_SEG_L);
	u64 mask = wide ? U64_MAX : U32_MAX, nr = vcpu->gpr[VIREO_RAX] & mask;
	u64 args[4] = {
		vcpu->gpr[VIREO_RBX] & mask, vcpu->gpr[VIREO_RCX] & mask,
		vcpu->gpr[VIREO_RDX] & mask, vcpu->gpr[VIREO_RSI] & mask,
	};
	u32 feature;

	switch (nr) {
	case KVM_HC_VAPIC_POLL_IRQ:
		/* Whatever waits is looked at before the next entry anyway. */
		*ret = 0;
		return true;
	case KVM_HC_KICK_CPU:
		feature = KVM_FEATURE_PV_UNHALT;
		break;
	case KVM_HC_SEND_IPI:
		feature = KVM_FEATURE_PV_SEND_IPI;
		break;
	case KVM_HC_SCHED_YIELD:
		feature = KVM_FEATURE_PV_SCHED_YIELD;
		break;
	default:
		*ret = -KVM_ENOSYS;
		return true;
	}
	if (!vireo_paravirt_has(vcpu, feature)) {
		*ret = -KVM_ENOSYS;
		return true;
	}
	if (mode->cpl) {
		*ret = -KVM_EPERM;
		return true;
	}
	switch (nr) {
	case KVM_HC_KICK_CPU:
		*ret = vireo_call_kick(vcpu, args[1]);
		break;
	case KVM_HC_SEND_IPI:
		*ret = vireo_call_send_ipi(vcpu, args, wide ? 64 : 32);
		break;
	default:
		if (irqs_disabled())
			return false;
		*ret = vireo_call_yield(vcpu, args[0]);
		break;
	}
	return true;
}

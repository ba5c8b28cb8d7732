/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The paravirtual ABI of KVM that Linux guests use, but for the clock (pvclock.h): steal time with its
 * "preempted" flag, flushes that wait for a vCPU to run, interrupts without an exit for the EOI, and hypercalls.
 */
#ifndef VIREO_PARAVIRT_H
#define VIREO_PARAVIRT_H

#include <uapi/asm/kvm_para.h>

#include "vireo.h"

/* CPUID 0x40000001, EAX */
#define VIREO_PARAVIRT_FEATURES (BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_EOI) |	\
				 BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_TLB_FLUSH) |	\
				 BIT(KVM_FEATURE_PV_SEND_IPI) | BIT(KVM_FEATURE_PV_SCHED_YIELD))

/* Does the guest's CPUID have it? */
static inline bool vireo_paravirt_has(const struct vireo_vcpu *vcpu, u32 feature)
{
	return vcpu->caps.paravirt & BIT(feature);
}

/**
 * vireo_paravirt_msr_read() - RDMSR of the registers of steal time and EOI
 * @vcpu: vCPU, own thread
 * @index: MSR
 * @data: its value
 * @host: asked by user space
 *
 * Return: 0, -ENOENT (not one of these), -EINVAL (the guest has not got the feature).
 */
int vireo_paravirt_msr_read(struct vireo_vcpu *vcpu, u32 index, u64 *data, bool host);

/* WRMSR; in addition -EINVAL for reserved bits, -EAGAIN (interrupts must be on). */
int vireo_paravirt_msr_write(struct vireo_vcpu *vcpu, u32 index, u64 data, bool host);

/* Power-up. */
void vireo_paravirt_reset(struct vireo_vcpu *vcpu);

/* VIREO_REQ_STEAL: the vCPU is about to run again.  Own thread, interrupts on, under vm->srcu. */
void vireo_steal_update(struct vireo_vcpu *vcpu);

/* The vCPU's thread loses its CPU; the scheduler's locks are held. */
void vireo_steal_preempted(struct vireo_vcpu *vcpu);

/* From now on another thread runs the vCPU: what that one has waited before is its own. */
void vireo_steal_thread(struct vireo_vcpu *vcpu);

/**
 * vireo_paravirt_call() - a hypercall below VIREO_HYPERCALL_USER
 * @vcpu: vCPU, own thread
 * @mode: its mode
 * @ret: for RAX
 *
 * Return: false: call it again with interrupts on; nothing has been done.
 */
bool vireo_paravirt_call(struct vireo_vcpu *vcpu, const struct vireo_mode *mode, u64 *ret);

#endif /* VIREO_PARAVIRT_H */

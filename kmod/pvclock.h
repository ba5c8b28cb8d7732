/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The paravirtual clock of the documented KVM ABI (Documentation/virt/kvm/x86/msr.rst
 * in the kernel's tree).
 */
#ifndef VIREO_PVCLOCK_H
#define VIREO_PVCLOCK_H

#include <linux/jiffies.h>
#include <uapi/asm/kvm_para.h>

#include "vireo.h"

/* CPUID 0x40000001, EAX: what of the ABI belongs to the clock, and that ports need no delays. */
#define VIREO_PVCLOCK_FEATURES	(BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_CLOCKSOURCE2) | \
				 BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT) |		\
				 BIT(KVM_FEATURE_NOP_IO_DELAY))

/**
 * vireo_pvclock_msr_read() - RDMSR of the clock's registers, under their old and new numbers
 * @vcpu: vCPU, own thread
 * @index: MSR
 * @data: its value
 *
 * Return: 0, -ENOENT (not one of the clock's).
 */
int vireo_pvclock_msr_read(struct vireo_vcpu *vcpu, u32 index, u64 *data);

/**
 * vireo_pvclock_msr_write() - WRMSR, or the same from a state block
 * @vcpu: vCPU, own thread
 * @index: MSR
 * @data: new value
 *
 * The wall clock is written to guest memory at once, which may sleep.
 *
 * Return: 0, -ENOENT (not one of the clock's), -EAGAIN (interrupts must be on).
 */
int vireo_pvclock_msr_write(struct vireo_vcpu *vcpu, u32 index, u64 data);

/* Rewrite the vCPU's page: VIREO_REQ_CLOCK.  Own thread, interrupts on, under vm->srcu. */
void vireo_pvclock_update(struct vireo_vcpu *vcpu);

/* Nanoseconds that the VM's clock shows now; any context. */
u64 vireo_pvclock_now(struct vireo_vm *vm);

/**
 * struct vireo_pvclock_point - the clock at a moment
 * @tsc: host TSC then
 * @ns: what it showed
 * @clock_tsc: as in struct vireo_vm
 * @clock_offset: likewise
 * @clock_khz: likewise
 */
struct vireo_pvclock_point {
	u64 tsc, ns;
	u64 clock_tsc;
	s64 clock_offset;
	u32 clock_khz;
};

void vireo_pvclock_keep(struct vireo_vm *vm, struct vireo_pvclock_point *point);

/**
 * vireo_pvclock_back() - have the clock go on from where it was
 * @vm: VM
 * @point: then
 *
 * If clock and TSCs of the vCPUs go back by the same number of ticks, what the guest has in memory stays right; else
 * all vCPUs are asked to renew it.
 *
 * Return: ticks of the host's TSC since then.
 */
u64 vireo_pvclock_back(struct vireo_vm *vm, const struct vireo_pvclock_point *point);

/* Set it: at creation and from a state block.  Any context. */
void vireo_pvclock_set(struct vireo_vm *vm, u64 ns);

/**
 * struct vireo_suspend - when the host went to sleep
 * @tsc: its TSC
 * @ns: its CLOCK_BOOTTIME
 */
struct vireo_suspend {
	u64 tsc;
	u64 ns;
};

/* Host suspend and resume: one CPU, interrupts off, timekeeping runs, no other thread does. */
void vireo_pvclock_suspend(struct vireo_suspend *at);

/**
 * vireo_pvclock_resume() - the host is back: set a VM's clocks right
 * @vm: VM
 * @at: from vireo_pvclock_suspend()
 *
 * The clock has gone on meanwhile.  Guests' TSCs do not go back even if the host's started
 * anew; the vCPUs' own threads write the new offsets before they enter.
 */
void vireo_pvclock_resume(struct vireo_vm *vm, const struct vireo_suspend *at);

/* Something that all pages depend on has changed, such as a TSC offset: rewrite them all. */
void vireo_pvclock_changed(struct vireo_vm *vm);

/* Without a host TSC to trust, a page is good for a while, and on one CPU. */
static inline bool vireo_pvclock_is_sampled(const struct vireo_vcpu *vcpu)
{
	return (READ_ONCE(vcpu->pvclock_msr) & 1) && !READ_ONCE(vcpu->vm->clock_tsc);
}

/* The vCPU came to another CPU. */
static inline void vireo_pvclock_moved(struct vireo_vcpu *vcpu)
{
	if (vireo_pvclock_is_sampled(vcpu))
		vireo_request_set(vcpu, VIREO_REQ_CLOCK);
}

/* Now and then, from any context; the request is seen at the next exit. */
static inline void vireo_pvclock_tick(struct vireo_vcpu *vcpu)
{
	if (vireo_pvclock_is_sampled(vcpu) &&
	    time_after(jiffies, READ_ONCE(vcpu->pvclock_stamp) + HZ))
		vireo_request_set(vcpu, VIREO_REQ_CLOCK);
}

/* For pvclock.c and its tests. */
struct pvclock_vcpu_time_info;
void vireo_pvclock_scale(u32 khz, u32 *mul, s8 *shift);
void vireo_pvclock_fill(struct vireo_vcpu *vcpu, struct pvclock_vcpu_time_info *page);

#endif /* VIREO_PVCLOCK_H */

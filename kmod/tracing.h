/* SPDX-License-Identifier: GPL-2.0-only */
/* How the module says that something has happened: see trace.h for what there is to say. */
#ifndef VIREO_TRACING_H
#define VIREO_TRACING_H

#include <linux/tracepoint-defs.h>
#include <asm/asm.h>

#include "vireo.h"

/* All of them: name without vireo_, parameters, and those again without types; five at most. trace_thunk.S has the names once more. */
#define VIREO_TRACE_EVENTS(EVENT)							\
	EVENT(entry, (struct vireo_vcpu *vcpu), vcpu)					\
	EVENT(exit, (struct vireo_vcpu *vcpu), vcpu)					\
	EVENT(page_fault, (struct vireo_vcpu *vcpu, u64 gpa, u32 access, u32 result),	\
	      vcpu, gpa, access, result)						\
	EVENT(shadow_fault, (struct vireo_vcpu *vcpu, u64 gva, u32 error, u32 result),	\
	      vcpu, gva, error, result)							\
	EVENT(inject, (struct vireo_vcpu *vcpu), vcpu)					\
	EVENT(apic_accept, (struct vireo_vcpu *vcpu, u8 vector, bool level),		\
	      vcpu, vector, level)							\
	EVENT(apic_eoi, (struct vireo_vcpu *vcpu, u8 vector), vcpu, vector)		\
	EVENT(apic, (struct vireo_vcpu *vcpu, bool write, u32 offset, u64 value),	\
	      vcpu, write, offset, value)						\
	EVENT(msr, (struct vireo_vcpu *vcpu, bool write, u32 index, u64 data, int error), \
	      vcpu, write, index, data, error)						\
	EVENT(hypercall, (struct vireo_vcpu *vcpu), vcpu)				\
	EVENT(track, (struct vireo_vm *vm, const struct vireo_tracking *arg, int error), \
	      vm, arg, error)								\
	EVENT(dirty_log, (struct vireo_vm *vm, const struct vireo_dirty_log *arg, int error), \
	      vm, arg, error)								\
	EVENT(dirty_rings, (struct vireo_vm *vm, const struct vireo_ring_reset *arg, int error), \
	      vm, arg, error)								\
	EVENT(snapshot, (struct vireo_vm *vm, u32 what, const struct vireo_snapshot *arg, int error), \
	      vm, what, arg, error)							\
	EVENT(report, (struct vireo_vm *vm, const struct vireo_report *arg), vm, arg)

/*
 * The call goes by a thunk that saves all registers. A compiler that had to expect a call there would keep its variables out of the registers
 * that calls change, and save others for that, long before it is known whether anybody wants to know.
 */
#define VIREO_TRACE_CALL(event, ...) VIREO_TRACE_CALL5(event, __VA_ARGS__, 0, 0, 0, 0)
#define VIREO_TRACE_CALL5(event, a, b, c, d, e, ...)					\
	do {										\
		register unsigned long vireo_fifth asm("r8") = (unsigned long)(e);	\
											\
		asm volatile("call vireo_thunk_" #event					\
			     : ASM_CALL_CONSTRAINT					\
			     : "D" ((unsigned long)(a)), "S" ((unsigned long)(b)),	\
			       "d" ((unsigned long)(c)), "c" ((unsigned long)(d)),	\
			       "r" (vireo_fifth)					\
			     : "memory");						\
	} while (0)

#define VIREO_TRACE_DECLARE(event, params, ...)						\
	DECLARE_TRACEPOINT(vireo_##event);						\
	void vireo_tell_##event params;							\
	static __always_inline void vireo_trace_##event params				\
	{										\
		if (unlikely(tracepoint_enabled(vireo_##event)))			\
			VIREO_TRACE_CALL(event, __VA_ARGS__);				\
	}

VIREO_TRACE_EVENTS(VIREO_TRACE_DECLARE)

/**
 * vireo_trace() - an event, if somebody wants to know
 * @event: its name, without vireo_; the rest are its parameters
 *
 * An instruction that does nothing, as long as nobody does; the rest is elsewhere, so that a function that has one is not
 * compiled otherwise than without it. Where RCU watches, so not between context_tracking_guest_enter() and _exit(). In the inner loop of
 * run.c, where the processor has the guest's XCR0, those who look have the host's, as they may use the FPU.
 */
#define vireo_trace(event, ...) vireo_trace_##event(__VA_ARGS__)

/**
 * vireo_trace_exit_info() - the first thing to know of an exit
 * @vcpu: vCPU that has exited
 *
 * Return: the guest-physical address, the port, the vector, the MSR, the leaf of CPUID, the number of the hypercall or of the
 * register, or 0.
 */
u64 vireo_trace_exit_info(const struct vireo_vcpu *vcpu);

void vireo_trace_setup(void);

#endif /* VIREO_TRACING_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* How the module says that something has happened: see trace.h for what there is to say. */
#ifndef VIREO_TRACING_H
#define VIREO_TRACING_H

#include "backend.h"

/**
 * vireo_trace_exit_info() - the first thing to know of an exit
 * @vcpu: vCPU that has exited
 *
 * Return: the guest-physical address, the port, the vector, the MSR, the leaf of CPUID, the number of the hypercall or of the
 * register, or 0.
 */
u64 vireo_trace_exit_info(const struct vireo_vcpu *vcpu);

void vireo_trace_setup(void);
u64 vireo_trace_begin(void);
void vireo_trace_end(u64 xcr0);

#include "trace.h"

/**
 * vireo_trace() - an event, if somebody wants to know
 * @event: its name, without vireo_
 *
 * An instruction that does nothing, as long as nobody does. Where RCU watches, so not between
 * context_tracking_guest_enter() and _exit(). In the inner loop of run.c, where the processor has the guest's XCR0, those who look have the
 * host's, as they may use the FPU.
 */
#define vireo_trace(event, ...)								\
	do {										\
		if (trace_vireo_##event##_enabled()) {					\
			u64 vireo_trace_xcr0 = vireo_trace_begin();			\
											\
			trace_vireo_##event(__VA_ARGS__);				\
			vireo_trace_end(vireo_trace_xcr0);				\
		}									\
	} while (0)

#endif /* VIREO_TRACING_H */

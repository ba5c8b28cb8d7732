/* SPDX-License-Identifier: GPL-2.0-only */
/* vCPUs that have nothing to do: halted, or spinning for another one. */
#ifndef VIREO_IDLE_H
#define VIREO_IDLE_H

#include <linux/thread_info.h>

#include "vireo.h"

/* Work that needs the way back to user space or the scheduler. */
#define VIREO_TASK_WORK (_TIF_NEED_RESCHED | _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL | \
			 _TIF_NOTIFY_RESUME)

/* Halted, or waiting for a SIPI: until there may be a reason not to.  Own thread, interrupts on. */
void vireo_wait(struct vireo_vcpu *vcpu);

/* It goes on, after vcpu->halt_start was set. */
void vireo_halt_ended(struct vireo_vcpu *vcpu);

/* The current thread is the one to yield to from now on.  Under vcpu->mutex; may sleep. */
void vireo_set_thread(struct vireo_vcpu *vcpu);
void vireo_forget_thread(struct vireo_vcpu *vcpu);

/**
 * vireo_yield_to() - give this CPU to another vCPU's thread, if it wants one and has none
 * @vcpu: own thread, interrupts on
 * @target: vCPU of the same VM
 *
 * Return: whether it has had it.
 */
bool vireo_yield_to(struct vireo_vcpu *vcpu, struct vireo_vcpu *target);

/* The guest spins: let somebody else run.  Own thread, interrupts on. */
void vireo_spins(struct vireo_vcpu *vcpu);

#endif /* VIREO_IDLE_H */

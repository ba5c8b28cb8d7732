// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU that has nothing to do: halted, or spinning for another one.
 *
 * HLT: what wakes a vCPU often comes so soon that putting the thread to sleep and waking it takes longer.  So it
 * looks for a while before it sleeps.  How long follows what happened: each vCPU has a bound, which
 * doubles when a wake-up came soon after the vCPU had gone to sleep, and halves when it slept for long, so that an idle
 * vCPU costs nothing.
 *
 * Spinning: the processor tells of loops of PAUSE.  Whoever the guest waits for may be a vCPU
 * that the host has taken off its CPU: it gets this one's.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>

#include "core.h"
#include "idle.h"
#include "paravirt.h"
#include "stats.h"

/* Where a bound starts, and below which it is not worth it. */
#define VIREO_POLL_FIRST_NS	10000U

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns,
		 "Longest time, in ns, for which a halted vCPU looks for work before its thread sleeps (200000); 0: none");

static bool vireo_wait_over(struct vireo_vcpu *vcpu)
{
	return READ_ONCE(vcpu->requests) || (read_thread_flags() & VIREO_TASK_WORK);
}

/* True: something has come; false: sleep.  Never at the cost of anybody who wants this CPU. */
static bool vireo_halt_poll(struct vireo_vcpu *vcpu)
{
	u64 now = ktime_get_ns(), end;

	if (!vcpu->halt_start) {
		vcpu->halt_start = now;
		vcpu->halt_slept = false;
		vcpu->halt_polled = false;
		vcpu->counters.halts++;
	}
	end = vcpu->halt_start + min(vcpu->halt_poll_ns, READ_ONCE(halt_poll_ns));
	if (now >= end || vcpu->halt_slept || !single_task_running())
		return false;
	if (!vcpu->halt_polled)
		vcpu->counters.halt_polls++;
	vcpu->halt_polled = true;
	do {
		if (vireo_wait_over(vcpu))
			return true;
		cpu_relax();
	} while (single_task_running() && ktime_get_ns() < end);
	return false;
}

static void vireo_sleep(struct vireo_vcpu *vcpu)
{
	vcpu->halt_slept = true;
	rcuwait_wait_event(&vcpu->wait,
			   READ_ONCE(vcpu->requests) || vireo_has_wakeup(vcpu) ||
			   (read_thread_flags() & (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL |
						   _TIF_NOTIFY_RESUME)),
			   TASK_INTERRUPTIBLE);
}

void vireo_wait(struct vireo_vcpu *vcpu)
{
	const bool timed = static_key_enabled(&vireo_timed);

	if (timed)
		vireo_times_wait(vcpu);
	if (vcpu->mp_state != VIREO_MP_HALTED || !vireo_halt_poll(vcpu))
		vireo_sleep(vcpu);
	if (timed)
		vireo_times_waited(vcpu);
}

void vireo_halt_ended(struct vireo_vcpu *vcpu)
{
	u64 waited = ktime_get_ns() - vcpu->halt_start;
	u32 most = READ_ONCE(halt_poll_ns), bound = vcpu->halt_poll_ns;

	if (vcpu->halt_polled && !vcpu->halt_slept)
		vcpu->counters.halt_hits++;
	vcpu->halt_start = 0;
	if (waited > most)
		bound = bound / 2 >= VIREO_POLL_FIRST_NS ? bound / 2 : 0;
	else if (waited > bound)
		bound = bound ? 2 * bound : VIREO_POLL_FIRST_NS;
	vcpu->halt_poll_ns = min(bound, most);
}

void vireo_set_thread(struct vireo_vcpu *vcpu)
{
	struct pid *old = rcu_replace_pointer(vcpu->thread, get_pid(task_pid(current)),
					      lockdep_is_held(&vcpu->mutex));

	vireo_steal_thread(vcpu);
	if (!old)
		return;
	synchronize_rcu();
	put_pid(old);
}

void vireo_forget_thread(struct vireo_vcpu *vcpu)
{
	/* Nobody has the VM any more. */
	put_pid(rcu_dereference_protected(vcpu->thread, true));
}

bool vireo_yield_to(struct vireo_vcpu *vcpu, struct vireo_vcpu *target)
{
	struct task_struct *task;
	bool yielded;

	if (target == vcpu || !READ_ONCE(target->preempted))
		return false;
	rcu_read_lock();
	task = get_pid_task(rcu_dereference(target->thread), PIDTYPE_PID);
	rcu_read_unlock();
	if (!task)
		return false;
	yielded = yield_to(task, true) > 0;
	put_task_struct(task);
	if (yielded)
		vcpu->counters.yields++;
	return yielded;
}

void vireo_spins(struct vireo_vcpu *vcpu)
{
	struct vireo_vm *vm = vcpu->vm;
	u32 nr = READ_ONCE(vm->nr_vcpus), first = READ_ONCE(vm->last_yield) + 1, i, pass;
	struct vireo_vcpu *target;

	WRITE_ONCE(vcpu->spinning, true);
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < nr; i++) {
			target = vireo_vcpu_by_id(vm, (first + i) % nr);
			/* Who spins too waits itself: last of all. */
			if (!target || (!pass && READ_ONCE(target->spinning)))
				continue;
			if (!vireo_yield_to(vcpu, target))
				continue;
			/* A hint: the next one asks another first. */
			WRITE_ONCE(vm->last_yield, target->id);
			goto out;
		}
	}
	/* It may wait for something else on this host. */
	yield();
out:
	WRITE_ONCE(vcpu->spinning, false);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * VIREO_RUN.
 *
 * Two loops.  The inner one runs with interrupts off: enter, handle, enter again; it holds nothing that
 * an exit does not need.  The outer one lets interrupts, the scheduler and signals in,
 * brings the processor back to where the inner loop may start, and does whatever sleeps.
 *
 * Requests: others set a bit in vcpu->requests and kick.  The bit is looked at
 * after run_mode became VIREO_IN_GUEST, and a kicker that sees that mode sends an
 * interrupt, which ends the guest or is taken at once by the next entry.  So none is
 * missed, and the inner loop needs no barrier.
 */
#include <linux/context_tracking.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/vtime.h>
#include <trace/events/ipi.h>
#include <asm/fpu/xcr.h>

#include "compat.h"
#include "core.h"
#include "exit.h"
#include "idle.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "mmu/ring.h"
#include "netlink/netlink.h"
#include "paravirt.h"
#include "pvclock.h"
#include "stats.h"
#include "tracing.h"

void vireo_kick(struct vireo_vcpu *vcpu)
{
	int cpu;

	/* In the guest's own thread, between exit and entry: it will look. */
	if (READ_ONCE(vcpu->run_mode) != VIREO_OUTSIDE &&
	    READ_ONCE(vcpu->cpu) == raw_smp_processor_id())
		return;

	rcuwait_wake_up(&vcpu->wait);

	preempt_disable();
	if (cmpxchg(&vcpu->run_mode, VIREO_IN_GUEST, VIREO_EXITING) == VIREO_IN_GUEST) {
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu != smp_processor_id())
			smp_send_reschedule(cpu);
	}
	preempt_enable();
}

static void vireo_sync(void *unused)
{
}

void vireo_request_all(struct vireo_vm *vm, enum vireo_request req)
{
	struct vireo_vcpu *vcpu;
	cpumask_t cpus;
	u32 i;

	/*
	 * A function call, not a bare IPI: it returns when the vCPU's CPU has had
	 * interrupts on, so an access that began in the guest has ended.
	 */
	cpumask_clear(&cpus);
	preempt_disable();
	vireo_for_each_vcpu(i, vcpu, vm) {
		vireo_request_set(vcpu, req);
		if (READ_ONCE(vcpu->run_mode) != VIREO_OUTSIDE) {
			int cpu = READ_ONCE(vcpu->cpu);

			if (cpu >= 0 && cpu != smp_processor_id())
				cpumask_set_cpu(cpu, &cpus);
		}
	}
	if (!cpumask_empty(&cpus))
		smp_call_function_many(&cpus, vireo_sync, NULL, true);
	preempt_enable();
}

bool vireo_request_others_out(struct vireo_vm *vm, enum vireo_request req)
{
	struct vireo_vcpu *vcpu;
	bool out = true;
	u32 i;

	vireo_for_each_vcpu(i, vcpu, vm) {
		/* With a barrier behind it: request, then mode. */
		vireo_request_set(vcpu, req);
		if (READ_ONCE(vcpu->run_mode) != VIREO_OUTSIDE &&
		    READ_ONCE(vcpu->cpu) != raw_smp_processor_id())
			out = false;
	}
	return out;
}

/*
 * The guest's XCR0 while interrupts are off, in which nobody saves or restores registers; the
 * host's before they are on.  It changes only in between: vireo_exit_xsetbv().
 */
static __always_inline void vireo_xcr0_enter(struct vireo_vcpu *vcpu)
{
	if (unlikely(vcpu->xcr0_differs))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->xcr0);
}

static __always_inline void vireo_xcr0_leave(struct vireo_vcpu *vcpu)
{
	if (unlikely(vcpu->xcr0_differs))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->host_xcr0);
}

/* What else than the guest's own doing may be wanted; interrupts off. */
static enum vireo_action vireo_requests_fast(struct vireo_vcpu *vcpu)
{
	const unsigned long fast = BIT(VIREO_REQ_EVENT) | BIT(VIREO_REQ_FLUSH) |
				   BIT(VIREO_REQ_SYNC) | BIT(VIREO_REQ_ROOT);

	if (READ_ONCE(vcpu->requests) & ~fast)
		return VIREO_AGAIN;
	if (READ_ONCE(vcpu->run_mode) != VIREO_IN_GUEST)
		/* Pairs with vireo_request_set(): mode before requests. */
		smp_store_mb(vcpu->run_mode, VIREO_IN_GUEST);
	vireo_request_take(vcpu, VIREO_REQ_SYNC);
	if (vireo_request_take(vcpu, VIREO_REQ_ROOT) && vireo_mmu_load_root(vcpu)) {
		vireo_request_set(vcpu, VIREO_REQ_ROOT);
		return VIREO_AGAIN;
	}
	if (vireo_request_take(vcpu, VIREO_REQ_FLUSH)) {
		vireo_backend_flush(vcpu);
		vcpu->counters.flushes++;
	}
	if (vireo_request_take(vcpu, VIREO_REQ_EVENT)) {
		if (unlikely(vireo_lapic_init_pending(vcpu))) {
			vireo_request_set(vcpu, VIREO_REQ_EVENT);
			return VIREO_AGAIN;
		}
		vireo_update_events(vcpu);
		/* A hybrid VM's events are not for the processor to deliver. */
		if (unlikely(READ_ONCE(vcpu->requests) & ~fast))
			return VIREO_AGAIN;
	}
	return VIREO_RESUME;
}

/* What comes before each entry.  VIREO_RESUME: the guest can be entered. */
static __always_inline enum vireo_action vireo_before_entry(struct vireo_vcpu *vcpu)
{
	enum vireo_action action;

	if (unlikely(READ_ONCE(vcpu->requests))) {
		action = vireo_requests_fast(vcpu);
		if (action != VIREO_RESUME)
			return action;
	}
	if (unlikely(read_thread_flags() & VIREO_TASK_WORK))
		return VIREO_AGAIN;
	if (unlikely(vcpu->event_pending)) {
		vcpu->event_pending = false;
		vcpu->counters.injected[vcpu->event.type & 7]++;
		vireo_trace(inject, vcpu);
		vireo_backend_inject(vcpu);
	}
	vireo_trace(entry, vcpu);
	return VIREO_RESUME;
}

/* Interrupts off, loaded, everything the guest needs is in the processor.  Made twice: @timed or not. */
static __always_inline enum vireo_action vireo_run_inner(struct vireo_vcpu *vcpu, const bool timed)
{
	enum vireo_action action;
	u32 left = 0;

	action = vireo_before_entry(vcpu);
	if (action != VIREO_RESUME)
		return action;
	if (timed)
		vireo_times_enter_again(vcpu);
	for (;;) {
		context_tracking_guest_enter();
		vireo_backend_enter(vcpu);
		context_tracking_guest_exit();

		if (timed)
			left = vireo_tsc_low();
		vcpu->counters.exits[vcpu->exit.reason]++;
		vireo_trace(exit, vcpu);

		action = vireo_handle_exit(vcpu);
		if (likely(action == VIREO_RESUME))
			action = vireo_before_entry(vcpu);
		if (action != VIREO_RESUME)
			break;
		if (timed)
			vireo_times_enter(vcpu, left);
	}
	if (timed)
		vireo_times_leave(vcpu, left);
	return action;
}

/*
 * One instruction that the interpreter does not know, for it to go on behind.  It will come back with it
 * if there is something to be done before.
 */
static noinline enum vireo_action vireo_run_once(struct vireo_vcpu *vcpu)
{
	enum vireo_action action;

	vcpu->step = false;
	if (READ_ONCE(vcpu->requests) || (read_thread_flags() & VIREO_TASK_WORK) ||
	    vcpu->event_pending)
		return VIREO_AGAIN;
	vireo_backend_step(vcpu);
	if (static_branch_likely(&vireo_timed))
		vireo_times_enter_again(vcpu);

	vireo_trace(entry, vcpu);
	context_tracking_guest_enter();
	vireo_backend_enter(vcpu);
	context_tracking_guest_exit();

	if (static_branch_likely(&vireo_timed))
		vcpu->times.mark = rdtsc();
	vcpu->counters.exits[vcpu->exit.reason]++;
	vireo_trace(exit, vcpu);
	action = vireo_handle_exit(vcpu);
	return action == VIREO_RESUME ? VIREO_AGAIN : action;
}

/*
 * Everything that wants the vCPU out of the guest, interrupts on.
 * VIREO_RESUME: into the guest; VIREO_AGAIN: look again; VIREO_USER, VIREO_FAIL.
 */
static enum vireo_action vireo_requests_slow(struct vireo_vcpu *vcpu)
{
	struct vireo_run *run = vcpu->run;
	unsigned long work = read_thread_flags() & VIREO_TASK_WORK;

	/* Before anything that may lead to the state being saved: EOIs are not part of it. */
	if (unlikely(vireo_request_take(vcpu, VIREO_REQ_EOI)) &&
	    vireo_lapic_take_eois(vcpu, run->eoi.vectors)) {
		run->exit_reason = VIREO_EXIT_EOI;
		return VIREO_USER;
	}

	if (unlikely(work)) {
		if (work & ~_TIF_NEED_RESCHED) {
			/*
			 * Also for work that comes with the return to user space: only the
			 * kernel's own exit path may do that.
			 */
			run->exit_reason = VIREO_EXIT_SIGNAL;
			vcpu->run_error = -EINTR;
			return VIREO_FAIL;
		}
		/* Not cond_resched(): it looks at the preemption count, where the bit may be missing. */
		schedule();
	}

	if (unlikely(vcpu->requests)) {
		int idx;

		if (vireo_request_take(vcpu, VIREO_REQ_INTERPRET))
			vcpu->interpret = true;
		if (vireo_request_test(vcpu, VIREO_REQ_DEAD)) {
			run->exit_reason = VIREO_EXIT_INTERNAL_ERROR;
			strscpy(run->error, READ_ONCE(vcpu->vm->dead_why), sizeof(run->error));
			return VIREO_USER;
		}
		if (vireo_request_take(vcpu, VIREO_REQ_KICK)) {
			run->exit_reason = VIREO_EXIT_KICK;
			return VIREO_USER;
		}
		if (vireo_request_take(vcpu, VIREO_REQ_STEAL)) {
			idx = srcu_read_lock(&vcpu->vm->srcu);
			vireo_steal_update(vcpu);
			srcu_read_unlock(&vcpu->vm->srcu, idx);
		}
		if (vireo_request_take(vcpu, VIREO_REQ_PV_EOI))
			vireo_lapic_pv_eoi_settle(vcpu);
		if (vireo_request_take(vcpu, VIREO_REQ_LOG))
			vireo_backend_log_dirty(vcpu, READ_ONCE(vcpu->vm->mmu.logging));
		if (vireo_request_take(vcpu, VIREO_REQ_DIRTY) && vireo_ring_must_exit(vcpu)) {
			/* Until somebody has seen to it. */
			vireo_request_set(vcpu, VIREO_REQ_DIRTY);
			run->exit_reason = VIREO_EXIT_DIRTY;
			return VIREO_USER;
		}
		if (vireo_request_take(vcpu, VIREO_REQ_CLOCK)) {
			idx = srcu_read_lock(&vcpu->vm->srcu);
			vireo_pvclock_update(vcpu);
			srcu_read_unlock(&vcpu->vm->srcu, idx);
		}
		if (vireo_take_init_sipi(vcpu))
			return VIREO_AGAIN;
		if (vireo_request_take(vcpu, VIREO_REQ_ROOT)) {
			int r;

			idx = srcu_read_lock(&vcpu->vm->srcu);
			r = vireo_mmu_load_root(vcpu);
			srcu_read_unlock(&vcpu->vm->srcu, idx);
			if (r) {
				vireo_request_set(vcpu, VIREO_REQ_ROOT);
				if (r == -EAGAIN)
					return VIREO_AGAIN;
				vcpu->run_error = r;
				return VIREO_FAIL;
			}
		}
	}

	vireo_request_take(vcpu, VIREO_REQ_OUT);
	if (unlikely(vcpu->irq_window_user) && vireo_extint_ready(vcpu)) {
		run->exit_reason = VIREO_EXIT_READY_FOR_IRQ;
		return VIREO_USER;
	}

	switch (vcpu->mp_state) {
	case VIREO_MP_RUNNABLE:
		if (unlikely(vcpu->halt_start))
			vireo_halt_ended(vcpu);
		return VIREO_RESUME;
	case VIREO_MP_SHUTDOWN:
		run->exit_reason = VIREO_EXIT_SHUTDOWN;
		return VIREO_USER;
	case VIREO_MP_HALTED:
		vireo_lapic_pv_eoi_settle(vcpu);
		if (vireo_has_wakeup(vcpu)) {
			/* What it was kicked for is seen behind this. */
			xchg(&vcpu->pv_kicked, false);
			vcpu->mp_state = VIREO_MP_RUNNABLE;
			if (vcpu->halt_start)
				vireo_halt_ended(vcpu);
			vireo_request_set(vcpu, VIREO_REQ_EVENT);
			return VIREO_RESUME;
		}
		break;
	}
	/* The flush and event requests are of no use to a vCPU that does not run. */
	if (vireo_request_take(vcpu, VIREO_REQ_EVENT)) {
		vireo_collect_nmis(vcpu);
		return VIREO_AGAIN;
	}
	vireo_request_take(vcpu, VIREO_REQ_SYNC);
	if (vireo_request_take(vcpu, VIREO_REQ_FLUSH))
		vireo_backend_flush(vcpu);
	vireo_wait(vcpu);
	return VIREO_AGAIN;
}

static enum vireo_action vireo_run_outer(struct vireo_vcpu *vcpu)
{
	enum vireo_action action;
	int idx;

	for (;;) {
		action = vireo_requests_slow(vcpu);
		if (action == VIREO_AGAIN)
			continue;
		if (action != VIREO_RESUME)
			return action;
		if (unlikely(vcpu->interpret)) {
			action = vireo_interpret_run(vcpu);
			if (action == VIREO_AGAIN)
				continue;
			if (action != VIREO_RESUME)
				return action;
		}

		preempt_disable();
		local_irq_disable();
		/* Interrupts may have used the FPU since. */
		if (test_thread_flag(TIF_NEED_FPU_LOAD))
			switch_fpu_return();
		vireo_backend_sync_host(vcpu);
		/* Pairs with vireo_request_set(): mode before requests. */
		smp_store_mb(vcpu->run_mode, VIREO_IN_GUEST);

		vtime_account_guest_enter();
		vireo_xcr0_enter(vcpu);
		if (unlikely(vcpu->step))
			action = vireo_run_once(vcpu);
		else if (static_branch_likely(&vireo_timed))
			action = vireo_run_inner(vcpu, true);
		else
			action = vireo_run_inner(vcpu, false);
		vireo_xcr0_leave(vcpu);
		/* Whoever sees this mode sees what the exit left behind. */
		smp_store_release(&vcpu->run_mode, VIREO_OUTSIDE);
		if (action == VIREO_AGAIN) {
			/* A pending interrupt is accounted to the guest that it ended. */
			local_irq_enable();
			/* STI holds them back for one more instruction. */
			nop();
			local_irq_disable();
			vireo_rcu_quiescent();
		}
		vtime_account_guest_exit();
		local_irq_enable();
		preempt_enable();

		if (action == VIREO_SLOW) {
			idx = srcu_read_lock(&vcpu->vm->srcu);
			action = vireo_handle_exit(vcpu);
			srcu_read_unlock(&vcpu->vm->srcu, idx);
			if (WARN_ON_ONCE(action == VIREO_SLOW))
				vireo_vm_kill(vcpu->vm, "an exit handler wants to be called forever");
		}
		if (action == VIREO_USER || action == VIREO_FAIL)
			return action;
	}
}

static noinline int vireo_take_given(struct vireo_vcpu *vcpu)
{
	struct vireo_run *run = vcpu->run;
	u32 gives = READ_ONCE(run->gives);
	struct vireo_sregs sregs;
	struct vireo_regs regs;
	int r;

	if (gives & ~(VIREO_GIVE_REGS | VIREO_GIVE_SREGS))
		return -EINVAL;
	sregs = run->sregs;
	regs = run->regs;
	/* From here on the copies count. */
	barrier();
	if (gives & VIREO_GIVE_SREGS) {
		r = vireo_check_sregs(vcpu, &sregs);
		if (r)
			return r;
	}
	if (gives & VIREO_GIVE_REGS) {
		r = vireo_check_regs(&regs);
		if (r)
			return r;
		vireo_set_regs(vcpu, &regs);
	}
	if (gives & VIREO_GIVE_SREGS)
		vireo_set_sregs(vcpu, &sregs);
	run->gives = 0;
	return 0;
}

static noinline int vireo_take_event(struct vireo_vcpu *vcpu)
{
	struct vireo_event event = vcpu->run->inject;
	int r;

	/* From here on the copy counts. */
	barrier();
	event.valid = 1;
	r = vireo_check_event(&event);
	if (r)
		return r;
	if (vcpu->event_pending)
		return -EAGAIN;
	if (event.type == VIREO_EVENT_IRQ && !vireo_extint_ready(vcpu))
		return -EAGAIN;
	vcpu->event = event;
	vcpu->event_pending = true;
	vcpu->mp_state = VIREO_MP_RUNNABLE;
	vcpu->run->inject.valid = 0;
	return 0;
}

/* Take what the launcher put into the shared page: each field is read once. */
static int vireo_take_run_page(struct vireo_vcpu *vcpu)
{
	struct vireo_run *run = vcpu->run;
	int r;

	vcpu->wants = READ_ONCE(run->wants);
	if (unlikely(vcpu->wants & ~(VIREO_WANT_REGS | VIREO_WANT_SREGS | VIREO_WANT_QUOTA)))
		return -EINVAL;
	if (unlikely((vcpu->wants & VIREO_WANT_QUOTA) || vcpu->dirty_counted))
		vireo_quota_begin(vcpu);
	if (unlikely(READ_ONCE(run->gives))) {
		r = vireo_take_given(vcpu);
		if (r)
			return r;
	}
	if (unlikely(READ_ONCE(run->inject.valid))) {
		r = vireo_take_event(vcpu);
		if (r)
			return r;
	}
	vcpu->irq_window_user = READ_ONCE(run->want_irq_window);
	if (unlikely(vcpu->irq_window_user))
		vireo_request_set(vcpu, VIREO_REQ_EVENT);
	return 0;
}

static void vireo_fill_run_page(struct vireo_vcpu *vcpu)
{
	struct vireo_run *run = vcpu->run;
	u32 wants = vcpu->wants;
	u32 flags = 0;

	run->rip = vireo_rip(vcpu);
	if (likely(!wants && !vcpu->irq_window_user))
		return;
	if (vireo_rflags(vcpu) & X86_EFLAGS_IF)
		flags |= VIREO_RUN_IF;
	if (vireo_extint_ready(vcpu))
		flags |= VIREO_RUN_IRQ_READY;
	if (unlikely(vcpu->dirty_counted))
		vireo_quota_end(vcpu);
	run->flags = flags;
	run->cr8 = vireo_lapic_get_tpr(vcpu);
	if (unlikely(wants & VIREO_WANT_REGS))
		vireo_get_regs(vcpu, &run->regs);
	if (unlikely(wants & VIREO_WANT_SREGS))
		vireo_get_sregs(vcpu, &run->sregs);
}

int vireo_vcpu_run(struct vireo_vcpu *vcpu)
{
	enum vireo_action (*complete)(struct vireo_vcpu *vcpu) = vcpu->complete;
	struct vireo_run *run = vcpu->run;
	enum vireo_action action;
	u32 reason;
	int idx, r;

	if (unlikely(READ_ONCE(vcpu->vm->dead)))
		return -EIO;
	if (unlikely(READ_ONCE(run->immediate_exit)) && !complete && !READ_ONCE(run->gives)) {
		run->exit_reason = VIREO_EXIT_SIGNAL;
		return -EINTR;
	}

	if (unlikely(rcu_access_pointer(vcpu->thread) != task_pid(current))) {
		vireo_set_thread(vcpu);
		vireo_nl_started(vcpu);
	}
	if (unlikely(vcpu->was_shut))
		vireo_nl_revived(vcpu);
	if (static_branch_likely(&vireo_timed))
		vireo_times_begin(vcpu);
	vireo_vcpu_load(vcpu);
	action = VIREO_RESUME;
	fpu_swap_kvm_fpstate(&vcpu->fpu, true);
	if (complete) {
		vcpu->complete = NULL;
		idx = srcu_read_lock(&vcpu->vm->srcu);
		action = complete(vcpu);
		srcu_read_unlock(&vcpu->vm->srcu, idx);
	}
	if (action == VIREO_RESUME || action == VIREO_AGAIN) {
		r = vireo_take_run_page(vcpu);
		if (r) {
			vcpu->run_error = r;
			action = VIREO_FAIL;
		} else if (READ_ONCE(run->immediate_exit)) {
			run->exit_reason = VIREO_EXIT_SIGNAL;
			vcpu->run_error = -EINTR;
			action = VIREO_FAIL;
		} else {
			vcpu->has_run = true;
			/* The launcher may have set any state. */
			if (unlikely(vireo_hybrid(vcpu->vm)))
				vcpu->interpret = true;
			action = vireo_run_outer(vcpu);
		}
	}
	fpu_swap_kvm_fpstate(&vcpu->fpu, false);

	r = action == VIREO_FAIL ? vcpu->run_error : 0;
	vcpu->counters.user_exits++;
	reason = READ_ONCE(run->exit_reason);
	if (!r && reason >= VIREO_EXIT_HARDWARE_NR && reason < VIREO_EXIT_REASON_NR)
		vcpu->counters.exits[array_index_nospec(reason, VIREO_EXIT_REASON_NR)]++;
	if (unlikely(vcpu->mp_state == VIREO_MP_SHUTDOWN))
		vireo_nl_shut(vcpu);
	vireo_fill_run_page(vcpu);
	vireo_vcpu_put(vcpu);
	if (static_branch_likely(&vireo_timed))
		vireo_times_end(vcpu);
	return r;
}

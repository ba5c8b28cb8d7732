// SPDX-License-Identifier: GPL-2.0-only
/*
 * The timer of the local APIC (SDM vol. 3, 11.5.4).
 *
 * The count runs at 1 GHz before the divisor: a tick is a nanosecond.  In
 * one-shot and periodic mode nothing counts: @next is a point of time at which the timer
 * expires, and @period what follows it, so that the current count is
 * arithmetic on the clock, periods do not drift, and however long nobody looked,
 * catching up is one division.
 *
 * One hrtimer, pinned to the CPU where the vCPU is, wakes it up.  Its callback runs in
 * hard interrupt context, on that CPU or another, while the own thread may be
 * anywhere:
 *
 *  - Whatever the callback reads is changed after hrtimer_cancel(), with these exceptions.
 *  - @deadline (TSC-deadline mode).  A new deadline later than the one that the hrtimer is queued
 *    for is only stored: the hrtimer comes too early, finds the new one and
 *    goes on; so arming again and again costs no reprogramming, and disarming none at all.
 *    The own thread stores @deadline, then reads @queued; the callback clears @queued, then
 *    reads @deadline, with full barriers: at least one of them sees the other.  An
 *    own thread that finds @queued clear cancels, which waits for the callback.
 *  - @timer_parked (periodic mode).  When the previous tick is still in IRR, or the entry
 *    is masked, an expiry changes nothing that anyone can see.  The callback then does not come
 *    back, and the own thread starts it again when the vector has left IRR or the mask was
 *    cleared.  So a guest that does not run, or does not look, costs the host nothing.
 *    Both sides change their own thing first (@timer_parked; IRR and LVT) and then look at
 *    the other's, and who takes @timer_parked from 1 to 0 starts the timer.
 *  - @timer_running goes from true to false at a one-shot expiry.
 */
#include <linux/math64.h>
#include <asm/tsc.h>

#include "../pvclock.h"
#include "lapic.h"

#define LAPIC_TIMER_HRMODE	HRTIMER_MODE_ABS_PINNED_HARD
/* Longest sleep for a deadline; then it is computed again, so nothing overflows. */
#define LAPIC_MAX_TICKS		BIT_ULL(48)

static u32 lapic_count(u64 ns, u32 tdcr)
{
	u32 shift = lapic_divide_shift(tdcr);

	return (ns + (1U << shift) - 1) >> shift;
}

static void lapic_timer_start(struct vireo_lapic_state *l, u64 expires)
{
	l->timer_cpu = get_cpu();
	hrtimer_start(&l->timer, ns_to_ktime(expires), LAPIC_TIMER_HRMODE);
	put_cpu();
}

/* The timer's vector into IRR; true if that made no difference. */
static bool lapic_timer_fire(struct vireo_lapic_state *l)
{
	struct vireo_vcpu *vcpu = l->vcpu;
	u32 lvt = READ_ONCE(l->lvt[LVT_TIMER]);
	u8 vector = lvt;

	if ((lvt & APIC_LVT_MASKED) || !(READ_ONCE(l->mode) & LAPIC_SW))
		return true;
	if (unlikely(vector < LAPIC_FIRST_VECTOR)) {
		lapic_error(vcpu, APIC_ESR_RECVILL);
		return true;
	}
	if (lapic_set_irr(l, vector, false))
		return true;
	WRITE_ONCE(l->fired, l->fired + 1);
	vireo_request(vcpu, VIREO_REQ_EVENT);
	return false;
}

/* ------------------------------------------------------------------ */
/* One-shot and periodic                                                */

/* Would an expiry go unseen? */
static bool lapic_timer_useless(const struct vireo_lapic_state *l)
{
	u32 lvt = READ_ONCE(l->lvt[LVT_TIMER]);
	u8 vector = lvt;

	return (lvt & APIC_LVT_MASKED) || vector < LAPIC_FIRST_VECTOR || test_bit(vector, l->irr);
}

/* First expiry after @now, and not so soon after that a short period floods the host. */
static u64 lapic_timer_next(const struct vireo_lapic_state *l, u64 now)
{
	u64 from = now;

	if (l->period < LAPIC_MIN_PERIOD_NS)
		from += LAPIC_MIN_PERIOD_NS;
	if (l->next > from)
		return l->next;
	return l->next + (div64_u64(from - l->next, l->period) + 1) * l->period;
}

/* Nanoseconds to the next expiry; 0 if there is none. */
u64 lapic_timer_left(const struct vireo_lapic_state *l, u64 now)
{
	u64 past;

	if (!READ_ONCE(l->timer_running))
		return 0;
	if (l->next > now)
		return l->next - now;
	if (l->timer_mode != LAPIC_PERIODIC)
		return 0;
	div64_u64_rem(now - l->next, l->period, &past);
	return l->period - past;
}

u32 lapic_timer_current(struct vireo_lapic_state *l, u64 now)
{
	if (l->timer_mode > LAPIC_PERIODIC)
		return 0;
	return lapic_count(l->timer_restore ? l->left : lapic_timer_left(l, now), l->tdcr);
}

static void lapic_timer_set_period(struct vireo_lapic_state *l)
{
	l->period = (u64)l->initial << lapic_divide_shift(l->tdcr);
	l->interval = l->period;
	if (l->period && l->period < LAPIC_MIN_PERIOD_NS)
		l->interval = DIV_ROUND_UP_ULL(LAPIC_MIN_PERIOD_NS, l->period) * l->period;
}

/* Queue the hrtimer for a count that is running; it is not queued now. */
static void lapic_timer_queue(struct vireo_lapic_state *l)
{
	u64 expires = l->next;

	if (l->timer_mode == LAPIC_PERIODIC)
		expires = lapic_timer_next(l, ktime_get());
	lapic_timer_start(l, expires);
}

/* Count down @left ns, then, in periodic mode, every period. */
static void lapic_timer_count(struct vireo_lapic_state *l, u64 left)
{
	l->next = ktime_get() + left;
	WRITE_ONCE(l->timer_running, true);
	lapic_timer_queue(l);
}

static enum hrtimer_restart lapic_periodic_expired(struct vireo_lapic_state *l)
{
	if (lapic_timer_fire(l)) {
		WRITE_ONCE(l->timer_parked, 1);
		/* Pairs with the one in lapic_timer_unpark(). */
		smp_mb();
		if (lapic_timer_useless(l) || !xchg(&l->timer_parked, 0))
			return HRTIMER_NORESTART;
	}
	hrtimer_forward(&l->timer, ktime_get(), ns_to_ktime(l->interval));
	return HRTIMER_RESTART;
}

void lapic_timer_unpark(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	/* What the caller did to IRR or LVT, then @timer_parked: see the callback. */
	smp_mb();
	if (!READ_ONCE(l->timer_parked) || lapic_timer_useless(l) || !xchg(&l->timer_parked, 0))
		return;
	hrtimer_cancel(&l->timer);
	lapic_timer_queue(l);
}

/* ------------------------------------------------------------------ */
/* TSC deadline                                                         */

/* Ticks of the host's TSC in ns, rounded up: better late than early. */
static u64 lapic_ticks_to_ns(u64 ticks)
{
	ticks = min(ticks, LAPIC_MAX_TICKS);
	return mul_u64_u64_div_u64(ticks, NSEC_PER_MSEC, max(tsc_khz, 1U)) + 1;
}

static enum hrtimer_restart lapic_deadline_expired(struct vireo_lapic_state *l)
{
	u64 deadline, now;

	xchg(&l->queued, 0);
	deadline = READ_ONCE(l->deadline);
	if (deadline >= LAPIC_DEADLINE_NEVER)
		return HRTIMER_NORESTART;
	now = rdtsc();
	if (now < deadline) {
		/* Moved to a later time, or this clock is a little faster than the TSC. */
		WRITE_ONCE(l->queued_at, deadline);
		hrtimer_set_expires(&l->timer,
				    ktime_add_ns(ktime_get(), lapic_ticks_to_ns(deadline - now)));
		/* Who sees @queued sees @queued_at. */
		smp_store_release(&l->queued, 1);
		return HRTIMER_RESTART;
	}
	/* Unless the own thread stored another meanwhile, which it then queues itself. */
	cmpxchg(&l->deadline, deadline, LAPIC_DEADLINE_NONE);
	lapic_timer_fire(l);
	return HRTIMER_NORESTART;
}

static noinline void lapic_deadline_queue(struct vireo_lapic_state *l, u64 deadline)
{
	u64 now;

	hrtimer_cancel(&l->timer);
	WRITE_ONCE(l->queued_at, deadline);
	WRITE_ONCE(l->queued, 1);
	/* It may have come meanwhile. */
	now = rdtsc();
	lapic_timer_start(l, ktime_get() + lapic_ticks_to_ns(deadline > now ? deadline - now : 0));
}

u64 vireo_lapic_get_tsc_deadline(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	if (l->timer_restore)
		return l->tsc_deadline;
	return READ_ONCE(l->deadline) == LAPIC_DEADLINE_NONE ? 0 : l->tsc_deadline;
}

void vireo_lapic_set_tsc_deadline(struct vireo_vcpu *vcpu, u64 value)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u64 now, deadline;

	/* SDM vol. 3, 11.5.4.1: in the other modes the MSR reads 0 and writes are ignored. */
	if (unlikely(l->timer_mode != LAPIC_DEADLINE || !(l->mode & LAPIC_ON)))
		return;
	l->timer_restore = false;
	l->tsc_deadline = value;
	if (!value) {
		/* The hrtimer, if queued, will find nothing to do. */
		WRITE_ONCE(l->deadline, LAPIC_DEADLINE_NONE);
		return;
	}

	now = rdtsc();
	if (unlikely(value <= now + vcpu->tsc_offset)) {
		u32 lvt = l->lvt[LVT_TIMER];

		WRITE_ONCE(l->deadline, LAPIC_DEADLINE_NONE);
		if (!(lvt & APIC_LVT_MASKED))
			vcpu->counters.timers += lapic_accept_self(vcpu, lvt);
		return;
	}
	deadline = value - vcpu->tsc_offset;
	if (unlikely(deadline <= now || deadline > LAPIC_DEADLINE_NEVER))
		deadline = LAPIC_DEADLINE_NEVER;

	/* A full barrier, as in the callback: @deadline, then @queued. */
	xchg(&l->deadline, deadline);
	/* Pairs with the callback: @queued_at belongs to @queued. */
	if (smp_load_acquire(&l->queued) && READ_ONCE(l->queued_at) <= deadline)
		return;
	if (deadline != LAPIC_DEADLINE_NEVER)
		lapic_deadline_queue(l, deadline);
}

void vireo_lapic_tsc_changed(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	if (l->timer_mode == LAPIC_DEADLINE && !l->timer_restore)
		vireo_lapic_set_tsc_deadline(vcpu, vireo_lapic_get_tsc_deadline(vcpu));
	vireo_pvclock_changed(vcpu->vm);
}

/* ------------------------------------------------------------------ */
/* All modes                                                            */

static enum hrtimer_restart lapic_timer_expired(struct hrtimer *timer)
{
	struct vireo_lapic_state *l = container_of(timer, struct vireo_lapic_state, timer);

	vireo_pvclock_tick(l->vcpu);
	switch (l->timer_mode) {
	case LAPIC_DEADLINE:
		return lapic_deadline_expired(l);
	case LAPIC_PERIODIC:
		return lapic_periodic_expired(l);
	default:
		WRITE_ONCE(l->timer_running, false);
		lapic_timer_fire(l);
		return HRTIMER_NORESTART;
	}
}

void lapic_timer_stop(struct vireo_lapic_state *l)
{
	hrtimer_cancel(&l->timer);
	l->timer_parked = 0;
	l->timer_running = false;
	l->timer_restore = false;
	l->queued = 0;
	l->deadline = LAPIC_DEADLINE_NONE;
	l->tsc_deadline = 0;
}

void lapic_timer_set_initial(struct vireo_vcpu *vcpu, u32 count)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	/* SDM vol. 3, 11.5.4.1: ignored in TSC-deadline mode. */
	if (l->timer_mode > LAPIC_PERIODIC)
		return;
	lapic_timer_stop(l);
	l->initial = count;
	lapic_timer_set_period(l);
	if (count)
		lapic_timer_count(l, l->period);
}

void lapic_timer_set_divide(struct vireo_vcpu *vcpu, u32 value)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	bool running;
	u32 count;

	if (value == l->tdcr)
		return;
	if (l->timer_mode > LAPIC_PERIODIC) {
		l->tdcr = value;
		return;
	}
	/* The count stays and goes on at another pace. */
	hrtimer_cancel(&l->timer);
	running = l->timer_running;
	count = lapic_timer_current(l, ktime_get());
	l->timer_parked = 0;
	l->tdcr = value;
	lapic_timer_set_period(l);
	if (running)
		lapic_timer_count(l, (u64)count << lapic_divide_shift(value));
}

void lapic_timer_set_lvt(struct vireo_vcpu *vcpu, u32 value)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 mode = LAPIC_TIMER_MODE(value);

	if (likely(mode == l->timer_mode)) {
		WRITE_ONCE(l->lvt[LVT_TIMER], value);
		if (unlikely(READ_ONCE(l->timer_parked)))
			lapic_timer_unpark(vcpu);
		return;
	}

	if (mode > LAPIC_PERIODIC || l->timer_mode > LAPIC_PERIODIC) {
		/* Between the count and TSC deadline: disarmed (SDM vol. 3, 11.5.4.1). */
		lapic_timer_stop(l);
		l->initial = 0;
		lapic_timer_set_period(l);
		l->timer_mode = mode;
		WRITE_ONCE(l->lvt[LVT_TIMER], value);
		return;
	}

	/* Between one-shot and periodic processors go on counting. */
	hrtimer_cancel(&l->timer);
	l->timer_parked = 0;
	if (l->timer_running && l->timer_mode == LAPIC_PERIODIC) {
		u64 now = ktime_get();

		l->next = now + lapic_timer_left(l, now);
	}
	l->timer_mode = mode;
	WRITE_ONCE(l->lvt[LVT_TIMER], value);
	if (l->timer_running)
		lapic_timer_queue(l);
}

void vireo_lapic_load(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	/*
	 * A callback that runs just now on the old CPU stays there once more.  What was
	 * cancelled was queued, and nobody but this thread changes that.
	 */
	if (hrtimer_is_queued(&l->timer) && l->timer_cpu != raw_smp_processor_id() &&
	    hrtimer_try_to_cancel(&l->timer) == 1) {
		l->timer_cpu = raw_smp_processor_id();
		hrtimer_start_expires(&l->timer, LAPIC_TIMER_HRMODE);
	}
	vireo_pvclock_moved(vcpu);
}

void lapic_timer_init(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	hrtimer_init(&l->timer, CLOCK_MONOTONIC, LAPIC_TIMER_HRMODE);
	l->timer.function = lapic_timer_expired;
	l->deadline = LAPIC_DEADLINE_NONE;
}

/* ------------------------------------------------------------------ */
/* State                                                                */

void lapic_timer_save(struct vireo_vcpu *vcpu, struct vireo_lapic *state)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	bool queued;
	u64 now;

	if (l->timer_restore) {
		state->timer_left_ns = l->left;
		state->tsc_deadline = l->tsc_deadline;
	} else {
		queued = hrtimer_cancel(&l->timer);
		now = ktime_get();
		state->timer_left_ns = lapic_timer_left(l, now);
		/* Due, but the callback has not been there. */
		if (l->timer_running && !state->timer_left_ns)
			state->timer_left_ns = 1;
		state->tsc_deadline = vireo_lapic_get_tsc_deadline(vcpu);
		if (queued)
			lapic_timer_start(l, hrtimer_get_expires(&l->timer));
	}
	state->regs[APIC_TMCCT >> 4] = lapic_count(state->timer_left_ns, l->tdcr);
}

/* @state has been checked, the LVT is already in place, the timer is stopped. */
void lapic_timer_restore(struct vireo_vcpu *vcpu, const struct vireo_lapic *state)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	l->timer_mode = LAPIC_TIMER_MODE(l->lvt[LVT_TIMER]);
	l->initial = state->regs[APIC_TMICT >> 4];
	l->tdcr = state->regs[APIC_TDCR >> 4];
	lapic_timer_set_period(l);
	l->tsc_deadline = state->tsc_deadline;
	l->left = state->timer_left_ns;
	/*
	 * Start when the vCPU runs: the guest's TSC may be set after this, and the
	 * time until then is not the guest's.
	 */
	l->timer_restore = l->left || l->tsc_deadline;
}

void lapic_timer_go(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	l->timer_restore = false;
	if (l->timer_mode == LAPIC_DEADLINE)
		vireo_lapic_set_tsc_deadline(vcpu, l->tsc_deadline);
	else
		lapic_timer_count(l, l->left);
}

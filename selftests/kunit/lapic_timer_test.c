// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: local APIC: timer and state blocks.
 */
#include <linux/delay.h>

#include "lapic_test.h"

#define PERIODIC	0x20000
#define DEADLINE	0x40000

/* Up to a second: these machines are slow and shared. */
static bool wait_irr(struct vireo_vcpu *vcpu, u8 vector)
{
	int i;

	for (i = 0; i < 10000; i++) {
		if (in_irr(vcpu, vector))
			return true;
		usleep_range(100, 200);
	}
	return false;
}

static void timer_math(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	struct vireo_lapic_state *l = vcpu->lapic;
	static const u32 tdcr[] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };
	const u64 hour = 3600ULL * NSEC_PER_SEC;
	u64 base, now, left;
	u32 i, k;

	sw_on(vcpu);
	for (i = 0; i < 8; i++) {
		KUNIT_EXPECT_EQ(test, lapic_divide_shift(tdcr[i]), i);
		wr(vcpu, APIC_TDCR, tdcr[i]);
		wr(vcpu, APIC_LVTT, 0x10020);
		wr(vcpu, APIC_TMICT, 0xffffffff);
		KUNIT_EXPECT_EQ(test, l->period, 0xffffffffULL << i);
		base = l->next - l->period;
		KUNIT_EXPECT_EQ(test, lapic_timer_current(l, base), 0xffffffffU);
		now = base + (1000ULL << i);
		KUNIT_EXPECT_EQ(test, lapic_timer_current(l, now), 0xffffffffU - 1000);
		KUNIT_EXPECT_EQ(test, lapic_timer_current(l, l->next - 1), 1U);
		KUNIT_EXPECT_EQ(test, lapic_timer_current(l, l->next), 0U);
		KUNIT_EXPECT_EQ(test, lapic_timer_current(l, l->next + 1000 * hour), 0U);
	}

	/* Periodic: hours without a look, then exact, and the next expiry is not in the past. */
	wr(vcpu, APIC_TDCR, 0xb);
	for (k = 1; k < 2000000; k = k * 7 + 1) {
		wr(vcpu, APIC_LVTT, 0x10020 | PERIODIC);
		wr(vcpu, APIC_TMICT, k);
		hrtimer_cancel(&l->timer);
		base = l->next;
		for (i = 0; i < 50; i++) {
			now = base + i * 11 * hour + i;
			left = lapic_timer_left(l, now);
			KUNIT_EXPECT_GT(test, left, 0ULL);
			KUNIT_EXPECT_LE(test, left, (u64)k);
			KUNIT_EXPECT_EQ(test, (now + left - base) % k, 0ULL);
			KUNIT_EXPECT_LE(test, lapic_timer_current(l, now), k);
		}
		KUNIT_EXPECT_GE(test, l->interval, LAPIC_MIN_PERIOD_NS);
		KUNIT_EXPECT_EQ(test, l->interval % l->period, 0ULL);
		KUNIT_EXPECT_TRUE(test, l->interval == l->period ||
				  l->interval < 2 * LAPIC_MIN_PERIOD_NS);
	}
	wr(vcpu, APIC_TMICT, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 0U);
}

static void timer_oneshot(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	struct vireo_lapic_state *l = vcpu->lapic;

	sw_on(vcpu);
	wr(vcpu, APIC_TDCR, 0xb);
	wr(vcpu, APIC_LVTT, 0x31);
	wr(vcpu, APIC_TMICT, 2000000);
	KUNIT_EXPECT_LE(test, rd(vcpu, APIC_TMCCT), 2000000U);
	KUNIT_EXPECT_TRUE(test, wait_irr(vcpu, 0x31));
	KUNIT_EXPECT_TRUE(test, vireo_request_test(vcpu, VIREO_REQ_EVENT));
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 0U);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMICT), 2000000U);
	KUNIT_EXPECT_FALSE(test, l->timer_running);
	who(t, 0x31);
	usleep_range(10000, 11000);
	KUNIT_EXPECT_FALSE(test, in_irr(vcpu, 0x31));

	/* Masked: counts to the end, and that was it. */
	wr(vcpu, APIC_LVTT, 0x10031);
	wr(vcpu, APIC_TMICT, 1000000);
	usleep_range(10000, 11000);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 0U);
	wr(vcpu, APIC_LVTT, 0x31);
	usleep_range(5000, 5500);
	KUNIT_EXPECT_FALSE(test, in_irr(vcpu, 0x31));

	/* Stopped by zero; an illegal vector is an error. */
	wr(vcpu, APIC_TMICT, 50000000);
	wr(vcpu, APIC_TMICT, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 0U);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&l->timer));
	wr(vcpu, APIC_ESR, 0);
	wr(vcpu, APIC_LVTT, 0x02);
	wr(vcpu, APIC_TMICT, 1000);
	usleep_range(5000, 5500);
	wr(vcpu, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), APIC_ESR_RECVILL);

	/* The divisor changes on the way: the count does not. */
	wr(vcpu, APIC_LVTT, 0x31);
	wr(vcpu, APIC_TMICT, 0xf0000000);
	wr(vcpu, APIC_TDCR, 0x0a);
	KUNIT_EXPECT_GT(test, rd(vcpu, APIC_TMCCT), 0x80000000U);
	KUNIT_EXPECT_GT(test, lapic_timer_left(l, ktime_get()), 0x80000000ULL << 7);
	wr(vcpu, APIC_TMICT, 0);
}

static void timer_periodic(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	struct vireo_lapic_state *l = vcpu->lapic;
	u64 expires;
	u32 i;

	sw_on(vcpu);
	wr(vcpu, APIC_TDCR, 0xb);
	wr(vcpu, APIC_LVTT, 0x32 | PERIODIC);
	wr(vcpu, APIC_TMICT, 1000000);
	for (i = 0; i < 20; i++) {
		KUNIT_ASSERT_TRUE_MSG(test, wait_irr(vcpu, 0x32), "tick %u", i);
		KUNIT_EXPECT_EQ(test, vireo_lapic_highest(vcpu), 0x32);
		vireo_lapic_ack(vcpu, 0x32);
		wr(vcpu, APIC_EOI, 0);
	}

	/* Nobody looks: parked. */
	for (i = 0; i < 1000 && !READ_ONCE(l->timer_parked); i++)
		usleep_range(1000, 2000);
	KUNIT_EXPECT_EQ(test, l->timer_parked, 1);
	usleep_range(2000, 2500);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&l->timer));
	KUNIT_EXPECT_GT(test, rd(vcpu, APIC_TMCCT), 0U);
	KUNIT_EXPECT_LE(test, rd(vcpu, APIC_TMCCT), 1000000U);
	/* It goes on when the vector is taken, in the old phase. */
	vireo_lapic_ack(vcpu, 0x32);
	wr(vcpu, APIC_EOI, 0);
	KUNIT_EXPECT_EQ(test, l->timer_parked, 0);
	expires = ktime_to_ns(hrtimer_get_expires(&l->timer));
	KUNIT_EXPECT_EQ(test, (expires - l->next) % 1000000, 0ULL);
	KUNIT_EXPECT_TRUE(test, wait_irr(vcpu, 0x32));

	/* Masked: parked as well, goes on when unmasked. */
	wr(vcpu, APIC_LVTT, 0x10032 | PERIODIC);
	who(t, 0x32);
	usleep_range(10000, 11000);
	KUNIT_EXPECT_EQ(test, l->timer_parked, 1);
	KUNIT_EXPECT_FALSE(test, in_irr(vcpu, 0x32));
	wr(vcpu, APIC_LVTT, 0x32 | PERIODIC);
	/* On a slow host it has run and is parked again by now. */
	KUNIT_EXPECT_TRUE(test, !READ_ONCE(l->timer_parked) || in_irr(vcpu, 0x32));
	KUNIT_EXPECT_TRUE(test, wait_irr(vcpu, 0x32));

	/* A period of one nanosecond. */
	who(t, 0x32);
	wr(vcpu, APIC_TMICT, 1);
	for (i = 0; i < 20; i++) {
		KUNIT_ASSERT_TRUE(test, wait_irr(vcpu, 0x32));
		vireo_lapic_ack(vcpu, 0x32);
		wr(vcpu, APIC_EOI, 0);
	}
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 1U);
	wr(vcpu, APIC_TMICT, 0);
	who(t, 0x32);
	usleep_range(2000, 2500);
	KUNIT_EXPECT_FALSE(test, in_irr(vcpu, 0x32));
}

/* The sequence that processors show: one-shot and periodic go over into each other. */
static void timer_modes(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	struct vireo_lapic_state *l = vcpu->lapic;
	const u32 count = 0xf0000000;
	u64 next;

	sw_on(vcpu);
	wr(vcpu, APIC_TDCR, 0xb);
	wr(vcpu, APIC_LVTT, 0x33);
	wr(vcpu, APIC_TMICT, count);
	next = l->next;
	wr(vcpu, APIC_LVTT, 0x33 | PERIODIC);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMICT), count);
	KUNIT_EXPECT_EQ(test, l->next, next);
	KUNIT_EXPECT_GT(test, rd(vcpu, APIC_TMCCT), 0U);
	wr(vcpu, APIC_LVTT, 0x33);
	KUNIT_EXPECT_GT(test, rd(vcpu, APIC_TMCCT), 0U);
	KUNIT_EXPECT_EQ(test, l->next, next);

	/* Expired in one-shot mode, then periodic: stands still. */
	wr(vcpu, APIC_TMICT, 100000);
	KUNIT_EXPECT_TRUE(test, wait_irr(vcpu, 0x33));
	wr(vcpu, APIC_LVTT, 0x33 | PERIODIC);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 0U);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&l->timer));

	/* To TSC deadline and back: disarmed, both ways. */
	wr(vcpu, APIC_TMICT, count);
	wr(vcpu, APIC_LVTT, 0x33 | DEADLINE);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 0U);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMICT), 0U);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&l->timer));
	wr(vcpu, APIC_TMICT, count);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 0U);
	vireo_lapic_set_tsc_deadline(vcpu, U64_MAX / 2);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), U64_MAX / 2);
	wr(vcpu, APIC_LVTT, 0x33);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), 0ULL);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&l->timer));
	/* In the other modes the MSR does not exist, so to say. */
	vireo_lapic_set_tsc_deadline(vcpu, 1);
	who(t, 0x33);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), 0ULL);
	KUNIT_EXPECT_FALSE(test, in_irr(vcpu, 0x33));
	/* The reserved mode stands still. */
	wr(vcpu, APIC_LVTT, 0x33 | PERIODIC | DEADLINE);
	wr(vcpu, APIC_TMICT, 1000);
	vireo_lapic_set_tsc_deadline(vcpu, 1);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 0U);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&l->timer));
	wr(vcpu, APIC_LVTT, 0x33);
	/* Off. */
	wr(vcpu, APIC_TMICT, count);
	vireo_lapic_set_base(vcpu, 0xfee00000, false);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&l->timer));
}

static void timer_deadline(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	struct vireo_lapic_state *l = vcpu->lapic;
	u64 ms = tsc_khz, now, queued_at;

	if (!tsc_khz)
		kunit_skip(test, "no TSC");
	vcpu->tsc_offset = -rdtsc();
	sw_on(vcpu);
	wr(vcpu, APIC_LVTT, 0x34 | DEADLINE);

	/* The past fires at once. */
	vireo_lapic_set_tsc_deadline(vcpu, 1);
	KUNIT_EXPECT_TRUE(test, in_irr(vcpu, 0x34));
	KUNIT_EXPECT_TRUE(test, vireo_request_take(vcpu, VIREO_REQ_EVENT));
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), 0ULL);
	who(t, 0x34);

	/* The future later, and not too early. */
	now = rdtsc() + vcpu->tsc_offset;
	vireo_lapic_set_tsc_deadline(vcpu, now + 5 * ms);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), now + 5 * ms);
	KUNIT_EXPECT_TRUE(test, wait_irr(vcpu, 0x34));
	KUNIT_EXPECT_GE(test, rdtsc() + vcpu->tsc_offset, now + 5 * ms);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), 0ULL);
	KUNIT_EXPECT_TRUE(test, vireo_request_test(vcpu, VIREO_REQ_EVENT));
	who(t, 0x34);

	/* Put off before it fires: nothing is programmed, and it comes at the later time. */
	now = rdtsc() + vcpu->tsc_offset;
	vireo_lapic_set_tsc_deadline(vcpu, now + 20 * ms);
	queued_at = l->queued_at;
	vireo_lapic_set_tsc_deadline(vcpu, now + 60 * ms);
	KUNIT_EXPECT_EQ(test, l->queued_at, queued_at);
	KUNIT_EXPECT_TRUE(test, wait_irr(vcpu, 0x34));
	KUNIT_EXPECT_GE(test, rdtsc() + vcpu->tsc_offset, now + 60 * ms);
	who(t, 0x34);

	/* Brought forward. */
	now = rdtsc() + vcpu->tsc_offset;
	vireo_lapic_set_tsc_deadline(vcpu, now + 3600000 * ms);
	vireo_lapic_set_tsc_deadline(vcpu, now + 2 * ms);
	KUNIT_EXPECT_TRUE(test, wait_irr(vcpu, 0x34));
	who(t, 0x34);

	/* Disarmed while the hrtimer is queued. */
	now = rdtsc() + vcpu->tsc_offset;
	vireo_lapic_set_tsc_deadline(vcpu, now + 5 * ms);
	vireo_lapic_set_tsc_deadline(vcpu, 0);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), 0ULL);
	msleep(20);
	KUNIT_EXPECT_FALSE(test, in_irr(vcpu, 0x34));
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&l->timer));

	/* Times that do not come. */
	vireo_lapic_set_tsc_deadline(vcpu, U64_MAX);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), U64_MAX);
	vireo_lapic_set_tsc_deadline(vcpu, U64_MAX - 1);
	vireo_lapic_set_tsc_deadline(vcpu, BIT_ULL(63));
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), BIT_ULL(63));
	usleep_range(2000, 2500);
	KUNIT_EXPECT_FALSE(test, in_irr(vcpu, 0x34));
	/* The guest's TSC jumps over it. */
	vcpu->tsc_offset += BIT_ULL(63);
	vireo_lapic_tsc_changed(vcpu);
	KUNIT_EXPECT_TRUE(test, in_irr(vcpu, 0x34));
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), 0ULL);
	who(t, 0x34);

	/* Masked: it passes without an interrupt. */
	wr(vcpu, APIC_LVTT, 0x10034 | DEADLINE);
	vireo_lapic_set_tsc_deadline(vcpu, 1);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), 0ULL);
	vireo_lapic_set_tsc_deadline(vcpu, rdtsc() + vcpu->tsc_offset + ms);
	msleep(20);
	KUNIT_EXPECT_FALSE(test, in_irr(vcpu, 0x34));
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), 0ULL);
}

/* Deadlines moved to and fro while the hrtimer fires: each that was reached comes. */
static void timer_deadline_race(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	u64 us = tsc_khz / 1000, until;
	u32 seed = 7, i;

	if (us < 10)
		kunit_skip(test, "slow TSC");
	sw_on(vcpu);
	wr(vcpu, APIC_LVTT, 0x35 | DEADLINE);
	for (i = 0; i < 3000; i++) {
		seed = seed * 1664525 + 1013904223;
		/* A deadline about to be reached is put off a little, then waited for. */
		vireo_lapic_set_tsc_deadline(vcpu, rdtsc() + (seed >> 16 & 63) * us);
		until = rdtsc() + (seed >> 24 & 63) * us;
		while (rdtsc() < until)
			cpu_relax();
		clear_bit(0x35, vcpu->lapic->irr);
		vireo_lapic_set_tsc_deadline(vcpu, rdtsc() + 20 * us);
		until = rdtsc() + 2000000 * us;
		while (!in_irr(vcpu, 0x35) && rdtsc() < until)
			cpu_relax();
		if (!in_irr(vcpu, 0x35)) {
			KUNIT_FAIL(test, "round %u: lost", i);
			return;
		}
		clear_bit(0x35, vcpu->lapic->irr);
		if (!(i & 255))
			cond_resched();
	}
}

/* ------------------------------------------------------------------ */
/* State                                                                */

static void lapic_state(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[3], *copy = &t->vcpu[4];
	struct vireo_lapic a, b;
	int x2;

	for (x2 = 0; x2 < 2; x2++) {
		lapic_test_power_on(t);
		copy->id = 3;
		if (x2) {
			x2apic_on(test, vcpu);
			x2apic_on(test, copy);
		}
		sw_on(vcpu);
		if (!x2)
			wr(vcpu, APIC_LDR, 0x42000000);
		lapic_accept(vcpu, 0xf1, true);
		vireo_lapic_ack(vcpu, 0xf1);
		lapic_accept(vcpu, 0x21, false);
		lapic_accept(vcpu, 0x77, true);
		if (x2) {
			setmsr(vcpu, APIC_LVTT, 0x44 | PERIODIC);
			setmsr(vcpu, APIC_TDCR, 3);
			setmsr(vcpu, APIC_TMICT, 0x10000000);
		} else {
			wr(vcpu, APIC_LVTT, 0x44 | PERIODIC);
			wr(vcpu, APIC_TDCR, 3);
			wr(vcpu, APIC_TMICT, 0x10000000);
		}
		vireo_lapic_get_state(vcpu, &a);
		KUNIT_EXPECT_GT(test, a.timer_left_ns, 0ULL);
		KUNIT_EXPECT_LE(test, a.timer_left_ns, 0x100000000ULL);
		KUNIT_EXPECT_EQ(test, a.regs[APIC_ISR / 16 + 7], 1U << 17);
		KUNIT_EXPECT_EQ(test, vireo_lapic_check_state(copy, &a), 0);
		vireo_lapic_set_state(copy, &a);
		vireo_lapic_get_state(copy, &b);
		KUNIT_EXPECT_MEMEQ(test, &a, &b, sizeof(a));
		KUNIT_EXPECT_TRUE(test, vireo_request_test(copy, VIREO_REQ_EVENT));
		/* It starts when the vCPU next looks for interrupts; the count agrees. */
		KUNIT_EXPECT_FALSE(test, hrtimer_active(&copy->lapic->timer));
		KUNIT_EXPECT_EQ(test, vireo_lapic_highest(copy), -1);
		KUNIT_EXPECT_TRUE(test, hrtimer_active(&copy->lapic->timer));
		vireo_lapic_get_state(copy, &b);
		KUNIT_EXPECT_LE(test, b.timer_left_ns, a.timer_left_ns);
		copy->id = 4;
	}

	/* TSC deadline; a block for the other APIC mode is understood. */
	vireo_lapic_set_base(vcpu, 0xfee00800, true);
	wr(vcpu, APIC_LVTT, 0x44 | DEADLINE);
	vireo_lapic_set_tsc_deadline(vcpu, U64_MAX / 2);
	vireo_lapic_get_state(vcpu, &a);
	KUNIT_EXPECT_EQ(test, a.tsc_deadline, U64_MAX / 2);
	KUNIT_EXPECT_EQ(test, a.timer_left_ns, 0ULL);
	x2apic_on(test, vcpu);
	KUNIT_EXPECT_EQ(test, vireo_lapic_check_state(vcpu, &a), 0);
	vireo_lapic_set_state(vcpu, &a);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), U64_MAX / 2);
	vireo_lapic_get_state(vcpu, &b);
	KUNIT_EXPECT_EQ(test, b.tsc_deadline, U64_MAX / 2);
	vireo_lapic_highest(vcpu);
	KUNIT_EXPECT_EQ(test, vireo_lapic_get_tsc_deadline(vcpu), U64_MAX / 2);
}

static void lapic_state_refused(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[3];
	struct vireo_lapic good, bad, before, after;
	u32 i, bit;

	sw_on(vcpu);
	wr(vcpu, APIC_LVTT, 0x44);
	vireo_lapic_get_state(vcpu, &before);
	good = before;
	KUNIT_EXPECT_EQ(test, vireo_lapic_check_state(vcpu, &good), 0);

#define REFUSED(statement)								\
	do {										\
		bad = good;								\
		statement;								\
		KUNIT_EXPECT_EQ_MSG(test, vireo_lapic_check_state(vcpu, &bad), -EINVAL,	\
				    #statement);						\
	} while (0)
	for (i = 0; i < 64; i++) {
		u32 ok = 0;

		switch (i << 4) {
		case APIC_TASKPRI:
			ok = 0xff;
			break;
		case APIC_PROCPRI:
		case APIC_TMCCT:
		case APIC_ICR2:
			ok = ~0U;
			break;
		case APIC_TMICT:
			ok = ~0U;
			break;
		case APIC_LDR:
			ok = 0xff000000 | 1 << 3;
			break;
		case APIC_DFR:
			ok = 0xf0000000;
			break;
		case APIC_SPIV:
			/* Bit 8 cannot be taken back under an unmasked entry. */
			ok = 0x2ff;
			break;
		case APIC_ESR:
			ok = 0xff;
			break;
		case APIC_ISR:
		case APIC_TMR:
		case APIC_IRR:
			ok = 0xffff0000;
			break;
		case APIC_ISR + 0x10 ... APIC_ISR + 0x70:
		case APIC_TMR + 0x10 ... APIC_TMR + 0x70:
		case APIC_IRR + 0x10 ... APIC_IRR + 0x70:
			ok = ~0U;
			break;
		case APIC_ICR:
			ok = 0xccfff;
			break;
		case APIC_LVTT:
			ok = 0x700ff;
			break;
		case APIC_LVTTHMR:
		case APIC_LVTPC:
			ok = 0x107ff;
			break;
		case APIC_LVT0:
		case APIC_LVT1:
			ok = 0x1a7ff;
			break;
		case APIC_LVTERR:
			ok = 0x100ff;
			break;
		case APIC_TDCR:
			ok = 0xb;
			break;
		}
		for (bit = 0; bit < 32; bit++) {
			bad = good;
			bad.regs[i] ^= 1U << bit;
			KUNIT_EXPECT_EQ_MSG(test, vireo_lapic_check_state(vcpu, &bad),
					    ok & 1U << bit ? 0 : -EINVAL, "offset %#x bit %u",
					    i << 4, bit);
		}
	}
	REFUSED(bad.tsc_deadline = 1);
	REFUSED(bad.timer_left_ns = 1);
	REFUSED(bad.regs[APIC_TMICT / 16] = 100; bad.timer_left_ns = 201);
	good.regs[APIC_LVTT / 16] = 0x44 | DEADLINE;
	REFUSED(bad.timer_left_ns = 1);
	REFUSED(bad.regs[APIC_TMICT / 16] = 1);
	vcpu->caps.tsc_deadline = false;
	REFUSED(bad.tsc_deadline = 0);
#undef REFUSED
	vcpu->caps.tsc_deadline = true;
	/* Looking at a block changes nothing. */
	vireo_lapic_get_state(vcpu, &after);
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
}

static struct kunit_case lapic_timer_cases[] = {
	KUNIT_CASE(timer_math),
	KUNIT_CASE(timer_oneshot),
	KUNIT_CASE(timer_periodic),
	KUNIT_CASE(timer_modes),
	KUNIT_CASE(timer_deadline),
	KUNIT_CASE(timer_deadline_race),
	KUNIT_CASE(lapic_state),
	KUNIT_CASE(lapic_state_refused),
	{}
};

struct kunit_suite vireo_lapic_timer_suite = {
	.name = "vireo-lapic-timer",
	.init = lapic_test_init,
	.exit = lapic_test_exit,
	.test_cases = lapic_timer_cases,
};

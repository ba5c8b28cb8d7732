// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: paravirtual clock.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/math64.h>
#include <asm/msr.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include "../../kmod/pvclock.h"

struct pvclock_test {
	struct vireo_vm vm;
	struct vireo_vcpu vcpu[2];
};

static int pvclock_test_init(struct kunit *test)
{
	struct pvclock_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	for (i = 0; i < 2; i++) {
		t->vcpu[i].vm = &t->vm;
		t->vcpu[i].id = i;
		t->vcpu[i].cpu = -1;
		t->vcpu[i].tsc_khz = tsc_khz;
		t->vcpu[i].tsc_offset = -1000;
		t->vm.vcpus[i] = &t->vcpu[i];
	}
	t->vm.nr_vcpus = 2;
	vireo_pvclock_set(&t->vm, 0);
	return 0;
}

static void pvclock_scale(struct kunit *test)
{
	static const u32 some[] = { 1, 2, 3, 999, 1000, 100000, 249999, 999999, 1000000, 1000001,
				    1999999, 2000000, 2000001, 2400000, 3579545, 4294967295U };
	u32 mul, khz, i;
	s8 shift;

	for (i = 0; i < ARRAY_SIZE(some) + 5000; i++) {
		u64 ticks, ns, want;

		khz = i < ARRAY_SIZE(some) ? some[i] : 1 + (i * 2654435761U >> 9);
		vireo_pvclock_scale(khz, &mul, &shift);
		KUNIT_EXPECT_TRUE_MSG(test, mul & BIT(31), "%u kHz: %#x, %d", khz, mul, shift);
		/* A day: off by no more than 2^-32 of it, and what a right shift drops. */
		ticks = 86400000ULL * khz;
		ns = pvclock_scale_delta(ticks, mul, shift);
		want = 86400ULL * NSEC_PER_SEC;
		KUNIT_EXPECT_LE_MSG(test, abs((s64)(ns - want)), (s64)(want >> 32) + 8,
				    "%u kHz", khz);
	}
}

static void pvclock_runs(struct kunit *test)
{
	struct pvclock_test *t = test->priv;
	u64 before, after, last = 0, now, outer, inner;
	int i;

	for (i = 0; i < 10000; i++) {
		now = vireo_pvclock_now(&t->vm);
		KUNIT_EXPECT_GE(test, now, last);
		last = now;
	}
	vireo_pvclock_set(&t->vm, 123456789012345ULL);
	now = vireo_pvclock_now(&t->vm);
	KUNIT_EXPECT_GE(test, now, 123456789012345ULL);
	KUNIT_EXPECT_LT(test, now, 123456789012345ULL + NSEC_PER_SEC);

	/* Measured inside and outside of the two readings, so that no delay matters. */
	outer = ktime_get_raw_ns();
	before = vireo_pvclock_now(&t->vm);
	inner = ktime_get_raw_ns();
	msleep(50);
	inner = ktime_get_raw_ns() - inner;
	after = vireo_pvclock_now(&t->vm);
	outer = ktime_get_raw_ns() - outer;
	KUNIT_EXPECT_GE(test, after - before + NSEC_PER_MSEC, inner);
	KUNIT_EXPECT_LE(test, after - before, outer + NSEC_PER_MSEC);
}

static void pvclock_pages(struct kunit *test)
{
	struct pvclock_test *t = test->priv;
	struct pvclock_vcpu_time_info a = {}, b = {};
	u64 before, guest, now;

	vireo_pvclock_fill(&t->vcpu[0], &a);
	udelay(10);
	vireo_pvclock_fill(&t->vcpu[1], &b);
	if (t->vm.clock_tsc) {
		/* The host's time is the TSC: one pair for all. */
		KUNIT_EXPECT_MEMEQ(test, &a, &b, sizeof(a));
		KUNIT_EXPECT_EQ(test, a.flags, PVCLOCK_TSC_STABLE_BIT);
		KUNIT_EXPECT_EQ(test, a.tsc_timestamp, t->vm.clock_tsc - 1000);
	} else {
		KUNIT_EXPECT_EQ(test, a.flags, 0);
		KUNIT_EXPECT_GT(test, b.system_time, a.system_time);
		KUNIT_EXPECT_GT(test, b.tsc_timestamp, a.tsc_timestamp);
	}
	/* What a guest computes is what the VM's clock shows: between two looks at it, however long they take. */
	before = vireo_pvclock_now(&t->vm);
	guest = __pvclock_read_cycles(&b, rdtsc_ordered() - 1000);
	now = vireo_pvclock_now(&t->vm);
	KUNIT_EXPECT_LE(test, guest, now + 100 * NSEC_PER_USEC);
	KUNIT_EXPECT_LE(test, before, guest + 100 * NSEC_PER_USEC);

	/* Another TSC on one vCPU: still the right time, but not for all. */
	t->vcpu[1].tsc_offset += 1000000;
	vireo_pvclock_fill(&t->vcpu[0], &a);
	vireo_pvclock_fill(&t->vcpu[1], &b);
	KUNIT_EXPECT_EQ(test, a.flags, 0);
	KUNIT_EXPECT_EQ(test, b.flags, 0);
	before = vireo_pvclock_now(&t->vm);
	guest = __pvclock_read_cycles(&b, rdtsc_ordered() - 1000 + 1000000);
	now = vireo_pvclock_now(&t->vm);
	KUNIT_EXPECT_LE(test, guest, now + 100 * NSEC_PER_USEC);
	KUNIT_EXPECT_LE(test, before, guest + 100 * NSEC_PER_USEC);
}

/* The host slept, and its TSC went on, stood still, or started anew. */
static void pvclock_suspend(struct kunit *test)
{
	struct pvclock_test *t = test->priv;
	struct vireo_suspend at;
	u64 before, after, guest, slept;
	int i;

	for (i = 0; i < 3; i++) {
		struct pvclock_vcpu_time_info page = {};

		/* The clock is older than the first pretended sleep. */
		usleep_range(2000, 3000);
		t->vm.tsc_base = 1000;
		before = vireo_pvclock_now(&t->vm);
		vireo_pvclock_suspend(&at);
		/* As if it had begun so long ago. */
		slept = i ? 3600 * NSEC_PER_SEC : NSEC_PER_MSEC;
		at.ns -= slept;
		if (i == 0)
			at.tsc -= tsc_khz;
		if (i == 2)
			at.tsc += 123456789;
		guest = at.tsc + t->vcpu[0].tsc_offset;
		vireo_pvclock_resume(&t->vm, &at);
		after = vireo_pvclock_now(&t->vm);
		KUNIT_EXPECT_TRUE(test, t->vcpu[1].tsc_stale);
		KUNIT_EXPECT_EQ(test, t->vcpu[1].tsc_offset, -t->vm.tsc_base);
		KUNIT_EXPECT_TRUE(test, vireo_request_take(&t->vcpu[1], VIREO_REQ_CLOCK));
		KUNIT_EXPECT_GE(test, rdtsc_ordered() + t->vcpu[0].tsc_offset, guest);
		/* The clock stood at @before when it began: with a TSC that stood still, too. */
		if (t->vm.clock_tsc && i == 1) {
			KUNIT_EXPECT_GE(test, after - before, slept);
			KUNIT_EXPECT_LE(test, after - before, slept + NSEC_PER_SEC);
		}
		if (t->vm.clock_tsc && i == 0)
			KUNIT_EXPECT_LT(test, after + NSEC_PER_MSEC - before, NSEC_PER_SEC);
		/* Pages say the same. */
		vireo_pvclock_fill(&t->vcpu[0], &page);
		before = vireo_pvclock_now(&t->vm);
		guest = __pvclock_read_cycles(&page, rdtsc_ordered() + t->vcpu[0].tsc_offset);
		after = vireo_pvclock_now(&t->vm);
		KUNIT_EXPECT_LE(test, guest, after + 100 * NSEC_PER_USEC);
		KUNIT_EXPECT_LE(test, before, guest + 100 * NSEC_PER_USEC);
	}
}

static void pvclock_msrs(struct kunit *test)
{
	struct pvclock_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	u64 data = 1;
	int r;

	KUNIT_EXPECT_EQ(test, vireo_pvclock_msr_read(vcpu, MSR_KVM_SYSTEM_TIME_NEW, &data), 0);
	KUNIT_EXPECT_EQ(test, data, 0ULL);
	KUNIT_EXPECT_EQ(test, vireo_pvclock_msr_write(vcpu, MSR_KVM_SYSTEM_TIME_NEW, 0x123001), 0);
	KUNIT_EXPECT_TRUE(test, vireo_request_take(vcpu, VIREO_REQ_CLOCK));
	KUNIT_EXPECT_EQ(test, vireo_pvclock_msr_read(vcpu, MSR_KVM_SYSTEM_TIME, &data), 0);
	KUNIT_EXPECT_EQ(test, data, 0x123001ULL);
	/* Every page again when the clock is set; only those that are there. */
	vireo_pvclock_set(&t->vm, 5);
	KUNIT_EXPECT_TRUE(test, vireo_request_take(vcpu, VIREO_REQ_CLOCK));
	KUNIT_EXPECT_FALSE(test, vireo_request_test(&t->vcpu[1], VIREO_REQ_CLOCK));
	KUNIT_EXPECT_EQ(test, vireo_pvclock_msr_write(vcpu, MSR_KVM_SYSTEM_TIME, 0x123000), 0);
	KUNIT_EXPECT_FALSE(test, vireo_request_test(vcpu, VIREO_REQ_CLOCK));

	KUNIT_EXPECT_EQ(test, vireo_pvclock_msr_write(vcpu, MSR_KVM_WALL_CLOCK_NEW, 0), 0);
	KUNIT_EXPECT_EQ(test, vireo_pvclock_msr_read(vcpu, MSR_KVM_WALL_CLOCK, &data), 0);
	KUNIT_EXPECT_EQ(test, data, 0ULL);
	local_irq_disable();
	r = vireo_pvclock_msr_write(vcpu, MSR_KVM_WALL_CLOCK_NEW, 0x1000);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, r, -EAGAIN);
	KUNIT_EXPECT_EQ(test, vireo_pvclock_msr_read(vcpu, 0x4b564d02, &data), -ENOENT);
	KUNIT_EXPECT_EQ(test, vireo_pvclock_msr_write(vcpu, 0x4b564d02, 1), -ENOENT);
}

static struct kunit_case pvclock_cases[] = {
	KUNIT_CASE(pvclock_scale),
	KUNIT_CASE(pvclock_runs),
	KUNIT_CASE(pvclock_pages),
	KUNIT_CASE(pvclock_suspend),
	KUNIT_CASE(pvclock_msrs),
	{}
};

extern struct kunit_suite vireo_pvclock_suite;
struct kunit_suite vireo_pvclock_suite = {
	.name = "vireo-pvclock",
	.init = pvclock_test_init,
	.test_cases = pvclock_cases,
};

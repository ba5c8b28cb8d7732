// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: local APIC: who gets an interrupt.
 */
#include <linux/kthread.h>

#include "lapic_test.h"

static void lapic_ipi_common(struct kunit *test, bool x2)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[2];
	u64 all = BIT_ULL(NR) - 1;
	u32 everybody = x2 ? 0xffffffff : 0xff;
	int i;

	for (i = 0; i < NR; i++) {
		if (x2)
			x2apic_on(test, &t->vcpu[i]);
		sw_on(&t->vcpu[i]);
	}

	for (i = 0; i < NR; i++) {
		t->vcpu[i].requests = 0;
		icr(vcpu, i, 0x40 | ASSERT);
		KUNIT_EXPECT_TRUE(test, vireo_request_test(&t->vcpu[i], VIREO_REQ_EVENT));
		KUNIT_EXPECT_EQ(test, who(t, 0x40), BIT_ULL(i));
	}
	icr(vcpu, NR, 0x40);
	KUNIT_EXPECT_EQ(test, who(t, 0x40), 0ULL);
	icr(vcpu, 63, 0x40);
	KUNIT_EXPECT_EQ(test, who(t, 0x40), 0ULL);
	icr(vcpu, 200, 0x40);
	KUNIT_EXPECT_EQ(test, who(t, 0x40), 0ULL);
	icr(vcpu, everybody, 0x41);
	KUNIT_EXPECT_EQ(test, who(t, 0x41), all);
	icr(vcpu, everybody, 0x41 | LOGICAL);
	KUNIT_EXPECT_EQ(test, who(t, 0x41), all);
	icr(vcpu, 0, 0x42 | SELF);
	KUNIT_EXPECT_EQ(test, who(t, 0x42), BIT_ULL(2));
	icr(vcpu, 0, 0x43 | ALL);
	KUNIT_EXPECT_EQ(test, who(t, 0x43), all);
	icr(vcpu, 0, 0x44 | OTHERS);
	KUNIT_EXPECT_EQ(test, who(t, 0x44), all & ~BIT_ULL(2));
	/* Trigger mode and level mean nothing for a fixed IPI. */
	icr(vcpu, 1, 0x45 | LEVEL);
	KUNIT_EXPECT_FALSE(test, test_bit(0x45, t->vcpu[1].lapic->tmr));
	KUNIT_EXPECT_EQ(test, who(t, 0x45), BIT_ULL(1));
	/* A software-disabled APIC takes no fixed interrupt, but NMI, INIT, SIPI. */
	if (x2)
		setmsr(&t->vcpu[1], APIC_SPIV, 0xff);
	else
		wr(&t->vcpu[1], APIC_SPIV, 0xff);
	icr(vcpu, everybody, 0x46);
	KUNIT_EXPECT_EQ(test, who(t, 0x46), all & ~BIT_ULL(1));

	icr(vcpu, 1, NMI | ASSERT);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->vcpu[1].nmi_queued), 1);
	for (i = 0; i < 5; i++)
		icr(vcpu, 0, NMI | OTHERS);
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_EQ(test, atomic_read(&t->vcpu[i].nmi_queued), i == 2 ? 0 : 2);
	icr(vcpu, 0, NMI | SELF);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->vcpu[2].nmi_queued), 1);

	/* INIT as systems do it: asserted, then the de-assert that nobody needs. */
	icr(vcpu, 1, INIT | LEVEL | ASSERT);
	KUNIT_EXPECT_TRUE(test, vireo_lapic_init_pending(&t->vcpu[1]));
	KUNIT_EXPECT_TRUE(test, vireo_lapic_take_init(&t->vcpu[1]));
	icr(vcpu, 1, INIT | LEVEL);
	KUNIT_EXPECT_FALSE(test, vireo_lapic_init_pending(&t->vcpu[1]));
	KUNIT_EXPECT_EQ(test, vireo_lapic_take_sipi(&t->vcpu[1]), -1);
	icr(vcpu, 1, STARTUP | 0x9a);
	/* The second is lost, as the first waits. */
	icr(vcpu, 1, STARTUP | 0x10);
	KUNIT_EXPECT_EQ(test, vireo_lapic_take_sipi(&t->vcpu[1]), 0x9a);
	KUNIT_EXPECT_EQ(test, vireo_lapic_take_sipi(&t->vcpu[1]), -1);
	/* SIPI then INIT: forgotten.  INIT then SIPI: in this order. */
	icr(vcpu, 1, STARTUP | 0x10);
	icr(vcpu, 1, INIT);
	KUNIT_EXPECT_EQ(test, vireo_lapic_take_sipi(&t->vcpu[1]), -1);
	icr(vcpu, 1, STARTUP | 0x11);
	KUNIT_EXPECT_EQ(test, vireo_lapic_take_sipi(&t->vcpu[1]), -1);
	KUNIT_EXPECT_TRUE(test, vireo_lapic_take_init(&t->vcpu[1]));
	KUNIT_EXPECT_EQ(test, vireo_lapic_take_sipi(&t->vcpu[1]), 0x11);
	/* Nobody resets itself by shorthand. */
	icr(vcpu, 0, INIT | SELF);
	icr(vcpu, 0, STARTUP | ALL | 1);
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_EQ(test, atomic_read(&t->vcpu[i].lapic->init_sipi), 0);
	icr(vcpu, 0, INIT | OTHERS);
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_EQ(test, vireo_lapic_take_init(&t->vcpu[i]), i != 2);

	/* Reserved modes and SMI do nothing. */
	icr(vcpu, everybody, 0x200 | 0x47);
	icr(vcpu, everybody, 0x300 | 0x47);
	icr(vcpu, everybody, 0x700 | 0x47);
	KUNIT_EXPECT_EQ(test, who(t, 0x47), 0ULL);

	/* ICR reads back what was written, not busy. */
	icr(vcpu, 7, 0x48 | ASSERT | 0x1000);
	if (x2) {
		KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_ICR), 7ULL << 32 | 0x4048);
	} else {
		KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ICR), 0x4048U);
		KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ICR2), 7U << 24);
	}
}

static void lapic_ipi_xapic(struct kunit *test)
{
	lapic_ipi_common(test, false);
}

static void lapic_ipi_x2apic(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[2];

	lapic_ipi_common(test, true);
	vcpu->requests = 0;
	KUNIT_EXPECT_EQ(test, setmsr(vcpu, APIC_SELF_IPI, 0x66), 0);
	KUNIT_EXPECT_TRUE(test, vireo_request_test(vcpu, VIREO_REQ_EVENT));
	KUNIT_EXPECT_EQ(test, who(t, 0x66), BIT_ULL(2));
	/* 0xff is nobody's id here, and no broadcast. */
	icr(vcpu, 0xff, 0x67);
	KUNIT_EXPECT_EQ(test, who(t, 0x67), 0ULL);
}

static void lapic_logical(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	static const u32 models[] = { 0xffffffff, 0x0fffffff, 0xffffffff, 0x7fffffff };
	u32 seed = 99, round, dest;
	u64 want;
	int i;

	/* Flat, one bit each. */
	for (i = 0; i < NR; i++) {
		sw_on(&t->vcpu[i]);
		wr(&t->vcpu[i], APIC_LDR, 1U << (24 + i));
	}
	for (dest = 0; dest < 256; dest++) {
		icr(&t->vcpu[0], dest, 0x50 | LOGICAL);
		KUNIT_EXPECT_EQ(test, who(t, 0x50), (u64)dest);
		vireo_send_msi(&t->vm, 0xfee00004 | dest << 12, 0x51);
		KUNIT_EXPECT_EQ(test, who(t, 0x51), (u64)dest);
	}
	/* Clusters of four. */
	for (i = 0; i < NR; i++) {
		wr(&t->vcpu[i], APIC_DFR, 0x0fffffff);
		wr(&t->vcpu[i], APIC_LDR, (i / 4 << 4 | 1 << i % 4) << 24);
	}
	for (dest = 0; dest < 255; dest++) {
		icr(&t->vcpu[0], dest, 0x52 | LOGICAL);
		want = dest < 0x20 ? (u64)(dest & 15) << (dest >> 4) * 4 : 0;
		KUNIT_EXPECT_EQ(test, who(t, 0x52), want);
	}
	/* x2APIC: ids 0 to 7 are in cluster 0. */
	for (i = 0; i < NR; i++)
		x2apic_on(test, &t->vcpu[i]);
	for (dest = 0; dest < 0x200; dest++) {
		icr(&t->vcpu[0], dest, 0x53 | LOGICAL);
		KUNIT_EXPECT_EQ(test, who(t, 0x53), (u64)dest & 0xff);
		icr(&t->vcpu[0], dest | 0x10000, 0x53 | LOGICAL);
		KUNIT_EXPECT_EQ(test, who(t, 0x53), 0ULL);
		icr(&t->vcpu[0], dest | 0x40000, 0x53 | LOGICAL);
		KUNIT_EXPECT_EQ(test, who(t, 0x53), 0ULL);
	}

	/* Any mixture: the sender's cache says what each vCPU says for itself. */
	for (round = 0; round < 300; round++) {
		i = round % NR;
		seed = seed * 1664525 + 1013904223;
		vireo_lapic_set_base(&t->vcpu[i], seed & 0x800 ? 0xfee00800 : 0xfee00c00, true);
		wr(&t->vcpu[i], APIC_LDR, seed);
		/* Flat, cluster, and models that are neither. */
		wr(&t->vcpu[i], APIC_DFR, models[seed >> 12 & 3]);
		for (dest = 0; dest < 0x20000; dest += dest < 0x400 ? 1 : 0x3ff) {
			int j;

			for (want = 0, j = 0; j < NR; j++) {
				if (lapic_logical_match(&t->vcpu[j], dest))
					want |= BIT_ULL(j);
			}
			if (lapic_logical_targets(&t->vcpu[1], dest) != want) {
				KUNIT_FAIL(test, "round %u: destination %#x", round, dest);
				return;
			}
		}
	}
}

static void lapic_lowest(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	u64 seen = 0, got;
	int i;

	for (i = 0; i < NR; i++) {
		sw_on(&t->vcpu[i]);
		wr(&t->vcpu[i], APIC_LDR, 1U << (24 + i));
	}
	/* Among equals each has its turn. */
	for (i = 0; i < NR; i++) {
		icr(&t->vcpu[0], 0xff, 0x60 | LOWEST | LOGICAL);
		got = who(t, 0x60);
		KUNIT_EXPECT_EQ(test, hweight64(got), 1U);
		seen |= got;
	}
	KUNIT_EXPECT_EQ(test, seen, BIT_ULL(NR) - 1);
	/* By priority. */
	for (i = 0; i < NR; i++)
		wr(&t->vcpu[i], APIC_TASKPRI, i == 5 ? 0x10 : 0x20);
	for (i = 0; i < 3; i++) {
		icr(&t->vcpu[0], 0xfe, 0x60 | LOWEST | LOGICAL);
		KUNIT_EXPECT_EQ(test, who(t, 0x60), BIT_ULL(5));
	}
	/* The disabled do not count. */
	wr(&t->vcpu[5], APIC_SPIV, 0xff);
	icr(&t->vcpu[0], 0x28, 0x60 | LOWEST | LOGICAL);
	KUNIT_EXPECT_EQ(test, who(t, 0x60), BIT_ULL(3));
	icr(&t->vcpu[0], 0x20, 0x60 | LOWEST | LOGICAL);
	KUNIT_EXPECT_EQ(test, who(t, 0x60), 0ULL);
	/* MSI with redirection hint, and with the delivery mode. */
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee0300c, 0x61), 1);
	KUNIT_EXPECT_EQ(test, hweight64(who(t, 0x61)), 1U);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee03004, 0x61 | LOWEST), 1);
	KUNIT_EXPECT_EQ(test, hweight64(who(t, 0x61)), 1U);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee03004, 0x61), 2);
	KUNIT_EXPECT_EQ(test, who(t, 0x61), 3ULL);
}

static void lapic_msi(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	int i;

	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee00000, 0x70), 0);
	for (i = 0; i < NR; i++)
		sw_on(&t->vcpu[i]);
	for (i = 0; i < NR; i++) {
		KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee00000 | i << 12, 0x70), 1);
		KUNIT_EXPECT_EQ(test, who(t, 0x70), BIT_ULL(i));
	}
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee00000 | NR << 12, 0x70), 0);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfeeff000, 0x70), NR);
	KUNIT_EXPECT_EQ(test, who(t, 0x70), BIT_ULL(NR) - 1);
	/* Not the window of local APICs. */
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfed00000, 0x70), 0);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfef00000, 0x70), 0);
	/* High bits of the destination. */
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0x10000000000ULL | 0xfee01000, 0x70), 0);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xffffff00feeff000ULL, 0x70), NR);
	KUNIT_EXPECT_EQ(test, who(t, 0x70), BIT_ULL(NR) - 1);
	/* Illegal vector: refused, and known to the receiver. */
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee01000, 0x0f), 0);
	wr(&t->vcpu[1], APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, rd(&t->vcpu[1], APIC_ESR), APIC_ESR_RECVILL);
	/* A level that falls. */
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee01000, 0x70 | LEVEL), 0);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee01000, NMI), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->vcpu[1].nmi_queued), 1);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee01000, INIT), 1);
	KUNIT_EXPECT_TRUE(test, vireo_lapic_take_init(&t->vcpu[1]));
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee01000, STARTUP | 0x70), 0);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee01000, 0x370), 0);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee01000, 0x770), 0);
	/* An APIC that is off. */
	KUNIT_EXPECT_EQ(test, vireo_lapic_set_base(&t->vcpu[1], 0xfee00000, false), 0);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee01000, 0x70), 0);
	KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee01000, NMI), 0);
}

/* ------------------------------------------------------------------ */
/* Others send while the own thread takes: nothing is lost.             */

struct lapic_sender {
	struct lapic_test *t;
	u32 seed;
	bool stop;
	atomic_t outstanding[256];
};

static int lapic_sender_thread(void *data)
{
	struct lapic_sender *s = data;
	u32 vector;

	while (!kthread_should_stop()) {
		s->seed = s->seed * 1664525 + 1013904223;
		vector = 32 + (s->seed >> 16) % 200;
		/* One at a time of each, so that none can be merged. */
		if (!READ_ONCE(s->stop) && !atomic_xchg(&s->outstanding[vector], 1))
			vireo_send_msi(&s->t->vm, 0xfee00000, vector | (s->seed & LEVEL) | ASSERT);
		cond_resched();
	}
	return 0;
}

static void lapic_stress(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	struct lapic_sender *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	struct task_struct *thread;
	unsigned long end = jiffies + HZ / 2;
	u32 taken = 0, i;
	int vector;

	KUNIT_ASSERT_NOT_NULL(test, s);
	s->t = t;
	s->seed = 1;
	sw_on(vcpu);
	thread = kthread_run(lapic_sender_thread, s, "lapic-sender");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	while (time_before(jiffies, end)) {
		/* As in the run loop: only a request makes the own thread look. */
		if (!vireo_request_take(vcpu, VIREO_REQ_EVENT)) {
			cond_resched();
			continue;
		}
		while ((vector = vireo_lapic_highest(vcpu)) >= 0) {
			vireo_lapic_ack(vcpu, vector);
			atomic_set(&s->outstanding[vector], 0);
			wr(vcpu, APIC_EOI, 0);
			taken++;
		}
		if (taken > 200000)
			WRITE_ONCE(s->stop, true);
	}
	kthread_stop(thread);
	if (vireo_request_take(vcpu, VIREO_REQ_EVENT)) {
		while ((vector = vireo_lapic_highest(vcpu)) >= 0) {
			vireo_lapic_ack(vcpu, vector);
			atomic_set(&s->outstanding[vector], 0);
			wr(vcpu, APIC_EOI, 0);
		}
	}
	for (i = 0; i < 256; i++)
		KUNIT_EXPECT_EQ_MSG(test, atomic_read(&s->outstanding[i]), 0, "vector %u", i);
	KUNIT_EXPECT_GT(test, taken, 0U);
	kunit_info(test, "%u taken", taken);
}

static struct kunit_case lapic_ipi_cases[] = {
	KUNIT_CASE(lapic_ipi_xapic),
	KUNIT_CASE(lapic_ipi_x2apic),
	KUNIT_CASE(lapic_logical),
	KUNIT_CASE(lapic_lowest),
	KUNIT_CASE(lapic_msi),
	KUNIT_CASE(lapic_stress),
	{}
};

struct kunit_suite vireo_lapic_ipi_suite = {
	.name = "vireo-lapic-ipi",
	.init = lapic_test_init,
	.exit = lapic_test_exit,
	.test_cases = lapic_ipi_cases,
};

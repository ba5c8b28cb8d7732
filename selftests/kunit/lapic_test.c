// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: local APIC: registers, priorities, errors, modes.
 */
#include "lapic_test.h"

static void lapic_reset(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[3];
	u32 offset;

	KUNIT_EXPECT_EQ(test, t->vcpu[0].apic_base, 0xfee00900ULL);
	KUNIT_EXPECT_EQ(test, vcpu->apic_base, 0xfee00800ULL);
	for (offset = 0; offset < 0x400; offset += 0x10) {
		u32 want = 0;

		switch (offset) {
		case APIC_ID:
			want = 3 << 24;
			break;
		case APIC_LVR:
			want = 0x50014;
			break;
		case APIC_DFR:
			want = 0xffffffff;
			break;
		case APIC_SPIV:
			want = 0xff;
			break;
		case APIC_LVTT ... APIC_LVTERR:
			want = 0x10000;
			break;
		case APIC_ESR:
			continue;
		}
		KUNIT_EXPECT_EQ_MSG(test, rd(vcpu, offset), want, "offset %#x", offset);
	}

	/* INIT: registers as after RESET, id and base stay. */
	x2apic_on(test, vcpu);
	sw_on(vcpu);
	setmsr(vcpu, APIC_TASKPRI, 0x55);
	lapic_accept(vcpu, 0x99, true);
	vireo_lapic_set_init_sipi(vcpu, false, 0x12);
	vireo_lapic_reset(vcpu, true);
	KUNIT_EXPECT_EQ(test, vcpu->apic_base, 0xfee00c00ULL);
	KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_ID), 3ULL);
	KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_LDR), 8ULL);
	KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_TASKPRI), 0ULL);
	KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_SPIV), 0xffULL);
	KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_TMR + 0x40), 0ULL);
	KUNIT_EXPECT_EQ(test, vireo_lapic_highest(vcpu), -1);
	/* A SIPI that followed the INIT is still there. */
	KUNIT_EXPECT_EQ(test, vireo_lapic_take_sipi(vcpu), 0x12);
}

/* Every offset with every length, at every place inside and outside of the registers. */
static void lapic_mmio(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[1];
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 offset, len, i;

	sw_on(vcpu);
	wr(vcpu, APIC_LDR, 0x12345678);
	wr(vcpu, APIC_TASKPRI, 0x6a);
	for (i = 16; i < 256; i += 5)
		lapic_set_irr(l, i, i & 1);

	for (offset = 0; offset < 0x1000; offset++) {
		u32 full = rd(vcpu, offset & ~0xf);

		for (len = 1; len <= 8; len++) {
			u8 data[16];
			u32 want = 0;

			memset(data, 0xa5, sizeof(data));
			vireo_lapic_mmio_read(vcpu, offset, len, data);
			if ((offset & 15) + len <= 4)
				want = full >> (offset & 15) * 8;
			for (i = 0; i < len; i++) {
				if (data[i] != (i < 4 ? (u8)(want >> i * 8) : 0))
					KUNIT_FAIL(test, "read %u at %#x: byte %u is %#x", len,
						   offset, i, data[i]);
			}
			for (; i < sizeof(data); i++) {
				if (data[i] != 0xa5)
					KUNIT_FAIL(test, "read %u at %#x wrote byte %u", len,
						   offset, i);
			}
		}
	}

	/* Writes that are not to a whole register change nothing but, perhaps, ESR. */
	for (offset = 0; offset < 0x1000; offset++) {
		for (len = 1; len <= 8; len++) {
			struct vireo_lapic before, after;
			u64 ones = ~0ULL;

			if (!(offset & 15) && len == 4 && offset < 0x400)
				continue;
			vireo_lapic_get_state(vcpu, &before);
			vireo_lapic_mmio_write(vcpu, offset, len, &ones);
			vireo_lapic_get_state(vcpu, &after);
			if (memcmp(&before, &after, sizeof(before)))
				KUNIT_FAIL(test, "write %u at %#x did something", len, offset);
		}
	}

	/* And those to whole registers reach only their own writable bits. */
	for (offset = 0; offset < 0x400; offset += 0x10) {
		static const u32 patterns[] = { 0xffffffff, 0, 0xaaaaaaaa, 0x55555555 };

		for (i = 0; i < ARRAY_SIZE(patterns); i++) {
			u32 p = patterns[i], was, want;

			lapic_test_power_on(t);
			sw_on(vcpu);
			was = rd(vcpu, offset);
			want = was;
			switch (offset) {
			case APIC_TASKPRI:
				want = p & 0xff;
				break;
			case APIC_PROCPRI:
				want = 0;
				break;
			case APIC_LDR:
			case APIC_ICR2:
				want = p & 0xff000000;
				break;
			case APIC_DFR:
				want = p | 0x0fffffff;
				break;
			case APIC_SPIV:
				want = p & 0x3ff;
				break;
			case APIC_ESR:
				/* What has been accumulated: nothing since the reset. */
				want = 0;
				break;
			case APIC_ICR:
				want = p & 0xccfff;
				break;
			case APIC_LVTT:
				want = p & 0x700ff;
				break;
			case APIC_LVTTHMR:
			case APIC_LVTPC:
				want = p & 0x107ff;
				break;
			case APIC_LVT0:
			case APIC_LVT1:
				want = p & 0x1a7ff;
				break;
			case APIC_LVTERR:
				want = p & 0x100ff;
				break;
			case APIC_TMICT:
				want = p;
				break;
			case APIC_TDCR:
				want = p & 0xb;
				break;
			}
			if (offset == APIC_TMCCT)
				continue;
			wr(vcpu, offset, p);
			KUNIT_EXPECT_EQ_MSG(test, rd(vcpu, offset), want, "%#x at %#x", p, offset);
			if (offset == APIC_TMICT)
				wr(vcpu, APIC_TMICT, 0);
		}
	}
}

static void lapic_mmio_hit(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];

	KUNIT_EXPECT_TRUE(test, vireo_lapic_mmio_hit(vcpu, 0xfee00000));
	KUNIT_EXPECT_TRUE(test, vireo_lapic_mmio_hit(vcpu, 0xfee00fff));
	KUNIT_EXPECT_FALSE(test, vireo_lapic_mmio_hit(vcpu, 0xfee01000));
	KUNIT_EXPECT_FALSE(test, vireo_lapic_mmio_hit(vcpu, 0xfedfffff));
	KUNIT_EXPECT_FALSE(test, vireo_lapic_mmio_hit(vcpu, 0x1fee00000));
	/* Moved. */
	KUNIT_EXPECT_EQ(test, vireo_lapic_set_base(vcpu, 0x8000000900, false), 0);
	KUNIT_EXPECT_TRUE(test, vireo_lapic_mmio_hit(vcpu, 0x8000000000));
	KUNIT_EXPECT_FALSE(test, vireo_lapic_mmio_hit(vcpu, 0xfee00000));
	/* Beyond what the guest can address. */
	KUNIT_EXPECT_EQ(test, vireo_lapic_set_base(vcpu, 0x10000000900, false), -EINVAL);
	/* Not there in x2APIC mode, nor when off. */
	x2apic_on(test, vcpu);
	KUNIT_EXPECT_FALSE(test, vireo_lapic_mmio_hit(vcpu, 0x8000000000));
	KUNIT_EXPECT_EQ(test, vireo_lapic_set_base(vcpu, 0x8000000100, false), 0);
	KUNIT_EXPECT_FALSE(test, vireo_lapic_mmio_hit(vcpu, 0x8000000000));
}

/* SDM vol. 3, table 11-6. */
static bool msr_readable(u32 index)
{
	switch (index) {
	case 0x802: case 0x803: case 0x808: case 0x80a: case 0x80d: case 0x80f:
	case 0x810 ... 0x828: case 0x830: case 0x832 ... 0x839: case 0x83e:
		return true;
	}
	return false;
}

static bool msr_writable(u32 index)
{
	switch (index) {
	case 0x808: case 0x80b: case 0x80f: case 0x828: case 0x830: case 0x832 ... 0x838:
	case 0x83e: case 0x83f:
		return true;
	}
	return false;
}

static void lapic_msrs(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[5];
	u32 index, bit;
	u64 data;

	/* xAPIC mode, and off: none. */
	for (index = 0x800; index <= 0x8ff; index++) {
		KUNIT_EXPECT_EQ(test, vireo_lapic_msr_read(vcpu, index, &data), -EINVAL);
		KUNIT_EXPECT_EQ(test, vireo_lapic_msr_write(vcpu, index, 0), -EINVAL);
	}
	x2apic_on(test, vcpu);
	sw_on(vcpu);
	for (index = 0x800; index <= 0x8ff; index++) {
		KUNIT_EXPECT_EQ_MSG(test, vireo_lapic_msr_read(vcpu, index, &data),
				    msr_readable(index) ? 0 : -EINVAL, "read %#x", index);
		KUNIT_EXPECT_EQ_MSG(test, vireo_lapic_msr_write(vcpu, index, 0),
				    msr_writable(index) ? 0 : -EINVAL, "write %#x", index);
	}
	KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_ID), 5ULL);
	KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_LDR), 0x20ULL);

	/* Each reserved bit on its own. */
	for (index = 0x800; index <= 0x83f; index++) {
		u64 allowed;

		if (!msr_writable(index))
			continue;
		switch ((index - 0x800) << 4) {
		case APIC_TASKPRI:
		case APIC_SELF_IPI:
			allowed = 0xff;
			break;
		case APIC_SPIV:
			allowed = 0x3ff;
			break;
		case APIC_ICR:
			allowed = 0xffffffff000cdfffULL;
			break;
		case APIC_LVTT:
			allowed = 0x710ff;
			break;
		case APIC_LVTTHMR:
		case APIC_LVTPC:
			allowed = 0x117ff;
			break;
		case APIC_LVT0:
		case APIC_LVT1:
			allowed = 0x1f7ff;
			break;
		case APIC_LVTERR:
			allowed = 0x110ff;
			break;
		case APIC_TMICT:
			allowed = 0xffffffff;
			break;
		case APIC_TDCR:
			allowed = 0xb;
			break;
		default:
			allowed = 0;
		}
		for (bit = 0; bit < 64; bit++)
			KUNIT_EXPECT_EQ_MSG(test, vireo_lapic_msr_write(vcpu, index, BIT_ULL(bit)),
					    allowed & BIT_ULL(bit) ? 0 : -EINVAL,
					    "bit %u of %#x", bit, index);
		sw_on(vcpu);
	}

	/* Without TSC deadline its bit of the mode is reserved. */
	vcpu->caps.tsc_deadline = false;
	KUNIT_EXPECT_EQ(test, setmsr(vcpu, APIC_LVTT, 0x40020), -EINVAL);
	KUNIT_EXPECT_EQ(test, setmsr(vcpu, APIC_LVTT, 0x20020), 0);
}

/* ------------------------------------------------------------------ */

static void lapic_priority(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 tpr, vector, isr, ppr;
	int got;

	sw_on(vcpu);
	for (tpr = 0; tpr < 256; tpr++) {
		wr(vcpu, APIC_TASKPRI, tpr);
		KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_PROCPRI), tpr);
		KUNIT_EXPECT_EQ(test, vireo_lapic_get_tpr(vcpu), (u64)tpr >> 4);
		for (vector = 16; vector < 256; vector++) {
			set_bit(vector, l->irr);
			got = vireo_lapic_highest(vcpu);
			if (got != (vector >> 4 > tpr >> 4 ? (int)vector : -1))
				KUNIT_FAIL(test, "TPR %#x, vector %#x: %d", tpr, vector, got);
			clear_bit(vector, l->irr);
		}
	}

	/* PPR with something in service (SDM vol. 3, 11.8.3.1). */
	for (isr = 16; isr < 256; isr++) {
		wr(vcpu, APIC_TASKPRI, 0);
		set_bit(isr, l->irr);
		vireo_lapic_ack(vcpu, vireo_lapic_highest(vcpu));
		KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ISR + isr / 32 * 0x10), 1U << (isr & 31));
		KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_IRR + isr / 32 * 0x10), 0U);
		for (tpr = 0; tpr < 256; tpr += 3) {
			wr(vcpu, APIC_TASKPRI, tpr);
			ppr = tpr >> 4 >= isr >> 4 ? tpr : isr & 0xf0;
			KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_PROCPRI), ppr);
			KUNIT_EXPECT_EQ(test, l->limit, ppr | 0xf);
		}
		wr(vcpu, APIC_EOI, 0);
		KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ISR + isr / 32 * 0x10), 0U);
	}
}

/* Interrupts at random, taken and ended as a processor does, against a plain model. */
static void lapic_nesting(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[2];
	bool irr[256] = {}, isr[256] = {};
	u32 seed = 12345, step, i, tpr = 0;
	int in_service, highest, got;

	sw_on(vcpu);
	for (step = 0; step < 20000; step++) {
		seed = seed * 1664525 + 1013904223;
		switch (seed >> 29) {
		case 0 ... 2:
			i = 16 + (seed >> 8) % 240;
			lapic_accept(vcpu, i, false);
			irr[i] = true;
			break;
		case 3:
			tpr = seed >> 8 & (seed >> 16) & 0xff;
			wr(vcpu, APIC_TASKPRI, tpr);
			break;
		case 4 ... 5:
			for (i = 255; i && !isr[i]; i--)
				;
			/* One that ends nothing asks for nothing. */
			if (i)
				vcpu->requests = 0;
			wr(vcpu, APIC_EOI, 0);
			isr[i] = false;
			break;
		}
		for (in_service = 255; in_service && !isr[in_service]; in_service--)
			;
		for (highest = 255; highest && !irr[highest]; highest--)
			;
		if (highest >> 4 <= max_t(int, tpr, in_service) >> 4)
			highest = -1;
		got = vireo_lapic_highest(vcpu);
		if (got != highest) {
			KUNIT_FAIL(test, "step %u: %d, not %d", step, got, highest);
			return;
		}
		/* What can be taken after an EOI or a lower TPR has been asked for. */
		if (got >= 0 && !vireo_request_test(vcpu, VIREO_REQ_EVENT)) {
			KUNIT_FAIL(test, "step %u: no request", step);
			return;
		}
		if (got >= 0 && (seed & 0x100)) {
			vireo_lapic_ack(vcpu, got);
			irr[got] = false;
			isr[got] = true;
		}
	}
}

static void lapic_cr8(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];

	sw_on(vcpu);
	vireo_lapic_set_tpr(vcpu, 9);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TASKPRI), 0x90U);
	lapic_accept_self(vcpu, 0x95);
	KUNIT_EXPECT_FALSE(test, vireo_request_test(vcpu, VIREO_REQ_EVENT));
	KUNIT_EXPECT_FALSE(test, vireo_lapic_has_wakeup(vcpu));
	vireo_lapic_set_tpr(vcpu, 8);
	KUNIT_EXPECT_TRUE(test, vireo_request_test(vcpu, VIREO_REQ_EVENT));
	KUNIT_EXPECT_TRUE(test, vireo_lapic_has_wakeup(vcpu));
}

static void lapic_level_eoi(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	u32 vector, msi;
	u64 eois[4];

	sw_on(vcpu);
	for (vector = 16; vector < 256; vector++) {
		/* Level. */
		msi = vector | LEVEL | ASSERT;
		KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee00000, msi), 1);
		KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMR + vector / 32 * 0x10), 1U << (vector & 31));
		vireo_lapic_ack(vcpu, vector);
		KUNIT_EXPECT_FALSE(test, vireo_request_test(vcpu, VIREO_REQ_EOI));
		wr(vcpu, APIC_EOI, 0);
		KUNIT_EXPECT_TRUE(test, vireo_request_take(vcpu, VIREO_REQ_EOI));
		KUNIT_EXPECT_TRUE(test, vireo_lapic_take_eois(vcpu, eois));
		KUNIT_EXPECT_EQ(test, eois[vector / 64], BIT_ULL(vector & 63));
		KUNIT_EXPECT_EQ(test, eois[0] | eois[1] | eois[2] | eois[3], BIT_ULL(vector & 63));
		KUNIT_EXPECT_FALSE(test, vireo_lapic_take_eois(vcpu, eois));
		/* The same vector by an edge: TMR goes, and no EOI for the launcher. */
		KUNIT_EXPECT_EQ(test, vireo_send_msi(&t->vm, 0xfee00000, vector), 1);
		KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMR + vector / 32 * 0x10), 0U);
		vireo_lapic_ack(vcpu, vector);
		wr(vcpu, APIC_EOI, 0);
		KUNIT_EXPECT_FALSE(test, vireo_request_test(vcpu, VIREO_REQ_EOI));
	}
	/* EOI with nothing in service. */
	wr(vcpu, APIC_EOI, 0);
	KUNIT_EXPECT_FALSE(test, vireo_lapic_take_eois(vcpu, eois));
}

static void lapic_errors(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];

	sw_on(vcpu);
	wr(vcpu, APIC_LVTERR, 0xee);
	wr(vcpu, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), 0U);
	rd(vcpu, 0x400);
	/* Seen only after a write. */
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), 0U);
	KUNIT_EXPECT_EQ(test, who(t, 0xee), 1ULL);
	icr(vcpu, 1, 0x05);
	/* One interrupt until ESR is written. */
	KUNIT_EXPECT_EQ(test, who(t, 0xee), 0ULL);
	wr(vcpu, APIC_ESR, 0x1234);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), (u32)(APIC_ESR_ILLREGA | APIC_ESR_SENDILL));
	wr(vcpu, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), 0U);
	wr(vcpu, 0x3f0, 0x44);
	KUNIT_EXPECT_EQ(test, who(t, 0xee), 1ULL);
	KUNIT_EXPECT_EQ(test, who(t, 0x44), 0ULL);
	wr(vcpu, APIC_ESR, 0);
	/* Masked, and with an illegal vector itself. */
	wr(vcpu, APIC_LVTERR, 0x100ee);
	rd(vcpu, 0x0);
	KUNIT_EXPECT_EQ(test, who(t, 0xee), 0ULL);
	wr(vcpu, APIC_ESR, 0);
	wr(vcpu, APIC_LVTERR, 0x3);
	rd(vcpu, 0x2f0);
	wr(vcpu, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), (u32)(APIC_ESR_ILLREGA | APIC_ESR_RECVILL));

	x2apic_on(test, vcpu);
	setmsr(vcpu, APIC_LVTERR, 0xee);
	setmsr(vcpu, APIC_ESR, 0);
	/* No error for what is #GP there. */
	getmsr(vcpu, 0x400);
	KUNIT_EXPECT_EQ(test, setmsr(vcpu, APIC_SELF_IPI, 0x0f), 0);
	KUNIT_EXPECT_EQ(test, who(t, 0xee), 1ULL);
	setmsr(vcpu, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_ESR), (u64)(APIC_ESR_SENDILL | APIC_ESR_RECVILL));
	KUNIT_EXPECT_EQ(test, setmsr(vcpu, APIC_ESR, 1), -EINVAL);
}

/* ------------------------------------------------------------------ */

static void lapic_base(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[1];
	/* off, invalid, xAPIC, x2APIC by bits 10 and 11 (SDM vol. 3, figure 11-27) */
	static const bool legal[4][4] = {
		[0] = { [0] = true, [2] = true },
		[2] = { [0] = true, [2] = true, [3] = true },
		[3] = { [0] = true, [3] = true },
	};
	u32 from, to, bit;

	for (from = 0; from < 4; from++) {
		if (from == 1)
			continue;
		for (to = 0; to < 4; to++) {
			u64 old = 0xfee00000 | from << 10, new = 0xfee00000 | to << 10;
			bool ok = legal[from][to];

			KUNIT_ASSERT_EQ(test, vireo_lapic_set_base(vcpu, old, true), 0);
			KUNIT_EXPECT_EQ_MSG(test, vireo_lapic_set_base(vcpu, new, false),
					    ok ? 0 : -EINVAL, "%u to %u", from, to);
			KUNIT_EXPECT_EQ(test, vcpu->apic_base, ok ? new : old);
			KUNIT_EXPECT_EQ(test, vireo_lapic_set_base(vcpu, new, true),
					to == 1 ? -EINVAL : 0);
		}
	}
	vireo_lapic_set_base(vcpu, 0xfee00800, true);
	for (bit = 0; bit < 64; bit++) {
		bool ok = bit == 8 || bit == 10 || bit == 11 || (bit >= 12 && bit < 40);
		u64 value = 0xfee00800 ^ BIT_ULL(bit);

		KUNIT_EXPECT_EQ_MSG(test, vireo_lapic_set_base(vcpu, value, true), ok ? 0 : -EINVAL,
				    "bit %u", bit);
		vireo_lapic_set_base(vcpu, 0xfee00800, true);
	}
	vcpu->caps.x2apic = false;
	KUNIT_EXPECT_EQ(test, vireo_lapic_set_base(vcpu, 0xfee00c00, false), -EINVAL);
	KUNIT_EXPECT_EQ(test, vireo_lapic_set_base(vcpu, 0xfee00c00, true), -EINVAL);
	vcpu->caps.x2apic = true;

	/* xAPIC to x2APIC keeps what is there; off loses it. */
	sw_on(vcpu);
	wr(vcpu, APIC_TASKPRI, 0x30);
	lapic_accept(vcpu, 0x80, false);
	x2apic_on(test, vcpu);
	KUNIT_EXPECT_EQ(test, getmsr(vcpu, APIC_TASKPRI), 0x30ULL);
	KUNIT_EXPECT_EQ(test, vireo_lapic_highest(vcpu), 0x80);
	KUNIT_EXPECT_EQ(test, vireo_lapic_set_base(vcpu, 0xfee00000, false), 0);
	KUNIT_EXPECT_EQ(test, vireo_lapic_highest(vcpu), -1);
	/* Whatever gets into IRR of an APIC that is off stays there. */
	set_bit(0xf0, vcpu->lapic->irr);
	KUNIT_EXPECT_EQ(test, vireo_lapic_highest(vcpu), -1);
	KUNIT_EXPECT_TRUE(test, vireo_lapic_accepts_extint(vcpu));
	KUNIT_EXPECT_EQ(test, vireo_lapic_set_base(vcpu, 0xfee00800, false), 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_SPIV), 0xffU);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TASKPRI), 0U);
	KUNIT_EXPECT_FALSE(test, vireo_lapic_accepts_extint(vcpu));
}

static void lapic_software_disable(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	struct vireo_vcpu *vcpu = &t->vcpu[0];
	u32 offset;

	/* Masks cannot be cleared while it is disabled. */
	for (offset = APIC_LVTT; offset <= APIC_LVTERR; offset += 0x10) {
		wr(vcpu, offset, 0x33);
		KUNIT_EXPECT_EQ(test, rd(vcpu, offset), 0x10033U);
	}
	sw_on(vcpu);
	for (offset = APIC_LVTT; offset <= APIC_LVTERR; offset += 0x10) {
		KUNIT_EXPECT_EQ(test, rd(vcpu, offset), 0x10033U);
		wr(vcpu, offset, 0x33);
		KUNIT_EXPECT_EQ(test, rd(vcpu, offset), 0x33U);
	}
	wr(vcpu, APIC_LVT0, 0x700);
	KUNIT_EXPECT_TRUE(test, vireo_lapic_accepts_extint(vcpu));
	/* What was accepted before is still delivered. */
	lapic_accept(vcpu, 0x55, false);
	wr(vcpu, APIC_SPIV, 0xff);
	KUNIT_EXPECT_FALSE(test, vireo_lapic_accepts_extint(vcpu));
	for (offset = APIC_LVTT; offset <= APIC_LVTERR; offset += 0x10)
		KUNIT_EXPECT_TRUE(test, rd(vcpu, offset) & 0x10000);
	KUNIT_EXPECT_EQ(test, vireo_lapic_highest(vcpu), 0x55);
	KUNIT_EXPECT_FALSE(test, lapic_accept(vcpu, 0x66, false));
}

static struct kunit_case lapic_cases[] = {
	KUNIT_CASE(lapic_reset),
	KUNIT_CASE(lapic_mmio),
	KUNIT_CASE(lapic_mmio_hit),
	KUNIT_CASE(lapic_msrs),
	KUNIT_CASE(lapic_priority),
	KUNIT_CASE(lapic_nesting),
	KUNIT_CASE(lapic_cr8),
	KUNIT_CASE(lapic_level_eoi),
	KUNIT_CASE(lapic_errors),
	KUNIT_CASE(lapic_base),
	KUNIT_CASE(lapic_software_disable),
	{}
};

struct kunit_suite vireo_lapic_suite = {
	.name = "vireo-lapic",
	.init = lapic_test_init,
	.exit = lapic_test_exit,
	.test_cases = lapic_cases,
};

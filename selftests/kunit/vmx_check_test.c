// SPDX-License-Identifier: GPL-2.0-only
/* Which states a processor without "unrestricted guest" is let into: SDM vol. 3, 27.3.1. */
#include <kunit/test.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../../kmod/vmx/vmx.h"

static const struct vireo_segment flat_code64 = {
	.limit = 0xffffffff, .selector = 0x10, .attr = 0xa09b,
};

static const struct vireo_segment flat_code32 = {
	.limit = 0xffffffff, .selector = 0x10, .attr = 0xc09b,
};

static const struct vireo_segment flat_data = {
	.limit = 0xffffffff, .selector = 0x18, .attr = 0xc093,
};

static const struct vireo_segment null_data = { .attr = VIREO_SEG_UNUSABLE };

static struct vmx_entry_state state32(void)
{
	return (struct vmx_entry_state) {
		.cr0 = X86_CR0_PE | X86_CR0_PG,
		.rflags = 2,
		.seg = {
			flat_data, flat_code32, flat_data, flat_data, null_data, null_data,
			[VIREO_SEG_LDTR] = { .attr = VIREO_SEG_UNUSABLE },
			[VIREO_SEG_TR] = { .limit = 0x67, .selector = 0x28, .attr = 0x8b },
		},
	};
}

static struct vmx_entry_state state64(void)
{
	struct vmx_entry_state s = state32();

	s.efer = EFER_LME | EFER_LMA;
	s.seg[VIREO_SEG_CS] = flat_code64;
	return s;
}

static struct vmx_entry_state state_v86(void)
{
	struct vmx_entry_state s = state32();
	int i;

	s.rflags |= X86_EFLAGS_VM;
	for (i = VIREO_SEG_ES; i <= VIREO_SEG_GS; i++)
		s.seg[i] = (struct vireo_segment) {
			.base = 0x12340, .limit = 0xffff, .selector = 0x1234, .attr = 0xf3,
		};
	return s;
}

/* Just after MOV to CR0 has set PE: the segments are real mode's. */
static struct vmx_entry_state state_leftover(void)
{
	struct vmx_entry_state s = state32();
	int i;

	for (i = VIREO_SEG_ES; i <= VIREO_SEG_GS; i++)
		s.seg[i] = (struct vireo_segment) {
			.base = 0x12340, .limit = 0xffff, .selector = 0x1234, .attr = 0x93,
		};
	s.seg[VIREO_SEG_CS].attr = 0x9b;
	return s;
}

static void vmx_enters_test(struct kunit *test)
{
	struct vmx_entry_state s = state32();

	KUNIT_EXPECT_TRUE(test, vmx_state_enters(&s));
	s = state64();
	KUNIT_EXPECT_TRUE(test, vmx_state_enters(&s));
	s = state_v86();
	KUNIT_EXPECT_TRUE(test, vmx_state_enters(&s));
	/* Nothing about it is wrong but the privilege levels, if those are: that can run. */
	s = state_leftover();
	KUNIT_EXPECT_TRUE(test, vmx_state_enters(&s));

	s = state32();
	s.cr0 = X86_CR0_PE;
	KUNIT_EXPECT_FALSE(test, vmx_state_enters(&s));
	s.cr0 = 0;
	KUNIT_EXPECT_FALSE(test, vmx_state_enters(&s));
	/* RFLAGS.VM in long mode */
	s = state_v86();
	s.efer = EFER_LME | EFER_LMA;
	KUNIT_EXPECT_FALSE(test, vmx_state_enters(&s));
}

/* One thing at a time that the processor refuses, or takes. */
static void vmx_segments_test(struct kunit *test)
{
	static const struct {
		struct vmx_entry_state (*state)(void);
		u8 seg;
		u32 clear, set;		/* attributes */
		u16 selector;		/* instead, if not 0 */
		bool enters;
	} rows[] = {
		/* Code: must be code, accessed, present, of the level that SS has. */
		{ state32, VIREO_SEG_CS, 8, 0, 0, false },
		{ state32, VIREO_SEG_CS, 1, 0, 0, false },
		{ state32, VIREO_SEG_CS, VIREO_SEG_P, 0, 0, false },
		{ state32, VIREO_SEG_CS, VIREO_SEG_S, 0, 0, false },
		{ state32, VIREO_SEG_CS, 0, VIREO_SEG_DPL, 0, false },
		{ state32, VIREO_SEG_CS, 0, VIREO_SEG_UNUSABLE, 0, false },
		{ state32, VIREO_SEG_CS, 2, 0, 0, true },
		{ state32, VIREO_SEG_CS, 0, 4, 0, true },
		/* L counts in long mode only, and there excludes D. */
		{ state32, VIREO_SEG_CS, 0, VIREO_SEG_L, 0, true },
		{ state64, VIREO_SEG_CS, 0, VIREO_SEG_DB, 0, false },
		/* G belongs to the limit. */
		{ state32, VIREO_SEG_CS, VIREO_SEG_G, 0, 0, false },
		{ state32, VIREO_SEG_DS, VIREO_SEG_G, 0, 0, false },
		{ state_leftover, VIREO_SEG_DS, 0, VIREO_SEG_G, 0, true },
		/* Stack: RPL of CS, and DPL that says the same. */
		{ state32, VIREO_SEG_SS, 0, 0, 0x1b, false },
		{ state32, VIREO_SEG_SS, 0, VIREO_SEG_DPL, 0, false },
		{ state32, VIREO_SEG_SS, 0, VIREO_SEG_DPL, 0x1b, false },
		{ state_leftover, VIREO_SEG_SS, 0, 0, 0x1235, false },
		{ state32, VIREO_SEG_SS, 2, 0, 0, false },
		{ state32, VIREO_SEG_SS, 0, 4, 0, true },
		{ state32, VIREO_SEG_SS, 0, VIREO_SEG_UNUSABLE, 0, true },
		/* Data: accessed, readable, of no lower level than the selector asks for. */
		{ state32, VIREO_SEG_ES, 1, 0, 0, false },
		{ state32, VIREO_SEG_ES, 2, 0, 0, true },
		{ state32, VIREO_SEG_DS, 2, 8, 0, false },
		{ state32, VIREO_SEG_DS, 0, 8, 0, true },
		{ state32, VIREO_SEG_DS, 0, 0, 0x1b, false },
		{ state32, VIREO_SEG_DS, 0, VIREO_SEG_DPL, 0x1b, true },
		{ state32, VIREO_SEG_DS, 0, 0xc, 0x1b, true },
		{ state_leftover, VIREO_SEG_DS, 0, 0, 0x1237, false },
		{ state32, VIREO_SEG_DS, VIREO_SEG_P, 0, 0, false },
		/* An unusable one is not looked at. */
		{ state32, VIREO_SEG_FS, 0, 0, 3, true },
		/* TR: busy, 16 or 32 bits, in long mode of 64. */
		{ state32, VIREO_SEG_TR, 2, 0, 0, false },
		{ state32, VIREO_SEG_TR, 8, 0, 0, true },
		{ state64, VIREO_SEG_TR, 8, 0, 0, false },
		{ state32, VIREO_SEG_TR, 0, 0, 0x2c, false },
		{ state32, VIREO_SEG_TR, 0, VIREO_SEG_UNUSABLE, 0, false },
		/* LDTR */
		{ state32, VIREO_SEG_LDTR, VIREO_SEG_UNUSABLE, 0x82, 0, true },
		{ state32, VIREO_SEG_LDTR, VIREO_SEG_UNUSABLE, 0x92, 0, false },
		{ state32, VIREO_SEG_LDTR, VIREO_SEG_UNUSABLE, 0x02, 0, false },
		/* Virtual-8086 mode: all of it is fixed. */
		{ state_v86, VIREO_SEG_CS, 0, 8, 0, false },
		{ state_v86, VIREO_SEG_GS, VIREO_SEG_DPL, 0, 0, false },
		{ state_v86, VIREO_SEG_DS, 0, 0, 0x1235, false },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vmx_entry_state s = rows[i].state();
		struct vireo_segment *seg = &s.seg[rows[i].seg];

		seg->attr = (seg->attr & ~rows[i].clear) | rows[i].set;
		if (rows[i].selector)
			seg->selector = rows[i].selector;
		KUNIT_EXPECT_EQ_MSG(test, vmx_state_enters(&s), rows[i].enters, "row %d", i);
	}
}

/* Big real mode: limits that virtual-8086 mode has not; bases beyond 4 GiB. */
static void vmx_limits_test(struct kunit *test)
{
	struct vmx_entry_state s = state_v86();

	s.seg[VIREO_SEG_ES].limit = 0xffffffff;
	KUNIT_EXPECT_FALSE(test, vmx_state_enters(&s));
	s = state32();
	s.seg[VIREO_SEG_DS].base = BIT_ULL(32);
	KUNIT_EXPECT_FALSE(test, vmx_state_enters(&s));
	s = state32();
	s.seg[VIREO_SEG_CS].base = BIT_ULL(32);
	KUNIT_EXPECT_FALSE(test, vmx_state_enters(&s));
	s = state64();
	s.seg[VIREO_SEG_FS] = flat_data;
	s.seg[VIREO_SEG_FS].base = 0xffff888000000000ULL;
	KUNIT_EXPECT_TRUE(test, vmx_state_enters(&s));
}

static struct kunit_case vmx_check_cases[] = {
	KUNIT_CASE(vmx_enters_test),
	KUNIT_CASE(vmx_segments_test),
	KUNIT_CASE(vmx_limits_test),
	{}
};

extern struct kunit_suite vireo_vmx_check_suite;
struct kunit_suite vireo_vmx_check_suite = {
	.name = "vireo-vmx-check",
	.test_cases = vmx_check_cases,
};

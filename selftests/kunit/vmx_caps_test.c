// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX capability MSRs to controls and features, for processors that are not at hand.
 *
 * What Vireo needs, and the bits of the MSRs, are written down again here, from the SDM:
 * a row of the code that is lost or mistyped does not agree with them.
 */
#include <kunit/test.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "../../kmod/backend.h"
#include "../../kmod/vmx/caps.h"
#include "../../kmod/vmx/vmcs.h"

/* A field's MSR: bits that must be 1 below, all bits that may be 1 above. */
#define CTL(ones, allowed)	((u64)((allowed) | (ones)) << 32 | (ones))

/* Bits that are 1 in processors without exact MSRs, and those that still are (A.2 to A.5). */
#define PIN_DEFAULT1	0x16U
#define PROC_DEFAULT1	0x0401e172U
#define PROC_EXACT1	0x04006172U
#define EXIT_DEFAULT1	0x36dffU
#define EXIT_EXACT1	0x36dfbU
#define ENTRY_DEFAULT1	0x11ffU
#define ENTRY_EXACT1	0x11fbU

/* The size of a VMCS, write-back memory, exact MSRs, an identifier. */
#define BASIC		(1ULL << 55 | 6ULL << 50 | 1024ULL << 32 | 0x12)

/* What Vireo cannot do without, and what it takes where it is; EPT brings some with it. */
#define EPT_PROC2	(BIT(1) | BIT(7) | BIT(12))
static const u32 must_pin = BIT(0) | BIT(3) | BIT(5), want_pin;
static const u32 must_proc = BIT(3) | BIT(7) | BIT(10) | BIT(11) | BIT(19) | BIT(20) | BIT(23) |
	BIT(24) | BIT(28) | BIT(29) | BIT(31), want_proc;
static const u32 must_proc2, want_proc2 = BIT(3) | BIT(5) | BIT(6) | BIT(10) | BIT(15) | BIT(20) |
	EPT_PROC2;
static const u32 must_exit = BIT(2) | BIT(9), want_exit = BIT(19) | BIT(21);
static const u32 must_entry = BIT(2), want_entry = BIT(14) | BIT(15);

#define LACKS_PAT	"PAT loaded at VM entry and exit"

/* Has all that VMX ever had. */
static const struct vmx_msrs msrs_all = {
	.basic = BASIC,
	.pin = CTL(PIN_DEFAULT1, 0xff),
	.proc = CTL(PROC_EXACT1, 0xfffffffe),
	.proc2 = CTL(0, 0xffffffff),
	.exit = CTL(EXIT_EXACT1, 0xffffff),
	.entry = CTL(ENTRY_EXACT1, 0x3ffff),
	.ept_vpid = 0x00000f0106734141ULL,
	.cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff,
	.cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x3767ff,
};

/* 2008: no EPT, no secondary control but WBINVD, virtual APIC accesses and TPR. */
static const struct vmx_msrs msrs_penryn = {
	.basic = 0x005a08000000000dULL & ~(1ULL << 55),
	.pin = CTL(PIN_DEFAULT1, 0x3f),
	.proc = CTL(PROC_DEFAULT1, 0xf7f9fffe),
	.proc2 = CTL(0, 0x41),
	.exit = CTL(EXIT_DEFAULT1, 0x3ffff),
	.entry = CTL(ENTRY_DEFAULT1, 0x1fff),
	.cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff,
	.cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x27ff,
};

/* 2009: EPT and VPID, but real mode needs an interpreter. */
static const struct vmx_msrs msrs_lynnfield = {
	.basic = 0x00da04000000000eULL,
	.pin = CTL(PIN_DEFAULT1, 0x7f),
	.proc = CTL(PROC_EXACT1, 0xfff9fffe),
	.proc2 = CTL(0, 0x7f),
	.exit = CTL(EXIT_EXACT1, 0x7fffff),
	.entry = CTL(ENTRY_EXACT1, 0xffff),
	.ept_vpid = 0x00000f0106114141ULL,
	.cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff,
	.cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x27ff,
};

/* 2010: the first with unrestricted guests; no A/D bits, no INVPCID, no XSAVES. */
static const struct vmx_msrs msrs_westmere = {
	.basic = 0x00da040000000010ULL,
	.pin = CTL(PIN_DEFAULT1, 0x7f),
	.proc = CTL(PROC_EXACT1, 0xfff9fffe),
	.proc2 = CTL(0, 0xff),
	.exit = CTL(EXIT_EXACT1, 0x7fffff),
	.entry = CTL(ENTRY_EXACT1, 0xffff),
	.ept_vpid = 0x00000f0106134141ULL,
	.cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff,
	.cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x27ff,
};

/* ------------------------------------------------------------------ */

static void vmx_adjust_test(struct kunit *test)
{
	static const struct {
		u32 ones, allowed, must, want, out;
		int ret;
	} rows[] = {
		/* Nothing asked for: what the processor insists on. */
		{ 0, 0, 0, 0, 0, 0 },
		{ 0x16, 0xff, 0, 0, 0x16, 0 },
		/* All of it is there. */
		{ 0x16, 0xff, 0x29, 0, 0x3f, 0 },
		{ 0x16, 0xff, 0, 0x29, 0x3f, 0 },
		{ 0x16, 0xff, 0x09, 0x20, 0x3f, 0 },
		/* Bits that are 1 already may be asked for. */
		{ 0x16, 0x16, 0x16, 0, 0x16, 0 },
		{ 0x16, 0x16, 0, 0x16, 0x16, 0 },
		/* A wish that is not granted is no failure. */
		{ 0x16, 0x1f, 0x09, 0x20, 0x1f, 0 },
		{ 0, 0, 0, 0xffffffff, 0, 0 },
		/* One that must be is: what there is comes out nevertheless. */
		{ 0x16, 0x1f, 0x29, 0, 0x1f, -ENODEV },
		{ 0x16, 0x1f, 0x29, 0x80, 0x1f, -ENODEV },
		{ 0, 0, 1, 0, 0, -ENODEV },
		/* The highest bit. */
		{ 0, 0x80000000, 0x80000000, 0, 0x80000000, 0 },
		{ 0, 0x7fffffff, 0x80000000, 0, 0, -ENODEV },
		{ 0x80000000, 0x80000000, 0, 0, 0x80000000, 0 },
	};
	u32 out;
	int i, r;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		out = 0xdeadbeef;
		r = vmx_adjust((u64)rows[i].allowed << 32 | rows[i].ones, rows[i].must,
			       rows[i].want, &out);
		KUNIT_EXPECT_EQ_MSG(test, r, rows[i].ret, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, out, rows[i].out, "row %d", i);
	}
}

/* A field of struct vmx_msrs with what Vireo needs of it, and what is said without. */
static const struct {
	const char *name;
	size_t msr, ctl;
	const u32 *must, *want;
	const char *lacks;
	u32 pat;	/* with EPT only */
} vmx_fields[] = {
#define FIELD(f, text, pat) { #f, offsetof(struct vmx_msrs, f), offsetof(struct vmx_caps, f), \
			      &must_##f, &want_##f, text, pat }
	FIELD(pin, "virtual NMIs", 0),
	FIELD(proc, "secondary controls and MSR bitmaps", 0),
	FIELD(exit, "64-bit hosts", BIT(19)),
	FIELD(entry, "debug controls loaded at VM entry", BIT(14)),
	FIELD(proc2, "nothing", 0),
#undef FIELD
};

static u64 *vmx_msr_of(struct vmx_msrs *msrs, int field)
{
	return (void *)msrs + vmx_fields[field].msr;
}

static u32 vmx_ctl_of(const struct vmx_caps *caps, int field)
{
	return *(const u32 *)((const void *)caps + vmx_fields[field].ctl);
}

/* Each bit taken away by itself, with nested paging and without. */
static void vmx_must_test(struct kunit *test)
{
	struct vmx_caps caps;
	int f, bit, nested;

	for (f = 0; f < ARRAY_SIZE(vmx_fields); f++) {
		for (bit = 0; bit < 64; bit++) {
			const u32 mask = BIT(bit % 32);
			struct vmx_msrs msrs = msrs_all;
			u64 *msr = vmx_msr_of(&msrs, f);
			const char *want = "nothing";

			nested = bit / 32;
			/* What must be 1 cannot be missing. */
			if (*msr & mask)
				continue;
			*msr &= ~((u64)mask << 32);
			if (*vmx_fields[f].must & mask)
				want = vmx_fields[f].lacks;
			/* One that is missing at one end is of no use at the other. */
			else if (nested && (vmx_fields[f].pat & mask))
				want = LACKS_PAT;
			KUNIT_EXPECT_STREQ_MSG(test, vmx_choose(&msrs, nested, &caps) ?: "nothing",
					       want, "%s bit %d, nested %d", vmx_fields[f].name,
					       bit % 32, nested);
		}
	}
}

/* One property taken from a processor that has everything: the message names it. */
static void vmx_lacks_test(struct kunit *test)
{
	static const struct {
		const char *lacks;
		size_t msr;
		u64 clear, set;
	} rows[] = {
#define ROW(f, clear, set, text) { text, offsetof(struct vmx_msrs, f), clear, set }
		/* 4096 is one page, 4097 is not. */
		ROW(basic, 0x1fffULL << 32, 4096ULL << 32, NULL),
		ROW(basic, 0x1fffULL << 32, 4097ULL << 32, "a VMCS of one page"),
		ROW(basic, 0x1fffULL << 32, 0x1fffULL << 32, "a VMCS of one page"),
		ROW(basic, 0xfULL << 50, 0, "a VMCS in write-back memory"),
		ROW(basic, 0xfULL << 50, 7ULL << 50, "a VMCS in write-back memory"),
		ROW(basic, 0, BIT_ULL(48), "a VMCS above 4 GiB"),
		ROW(proc2, BIT_ULL(32 + 1), 0, NULL),
		ROW(proc2, BIT_ULL(32 + 7), 0, NULL),
		ROW(proc2, BIT_ULL(32 + 1) | BIT_ULL(32 + 7), 0, NULL),
		ROW(proc2, ~0ULL, 0, NULL),
		ROW(pin, BIT_ULL(32 + 5), 0, "virtual NMIs"),
		ROW(proc, BIT_ULL(32 + 31), 0, "secondary controls and MSR bitmaps"),
		ROW(proc, BIT_ULL(32 + 28), 0, "secondary controls and MSR bitmaps"),
		/* Exits that may not be switched off, as without exact MSRs. */
		ROW(proc, 0, BIT_ULL(15), "CR3 accesses without exits"),
		ROW(proc, 0, BIT_ULL(16), "CR3 accesses without exits"),
		ROW(proc, 0, BIT_ULL(9), "CR3 accesses without exits"),
		ROW(proc, 0, PROC_DEFAULT1, "CR3 accesses without exits"),
		ROW(exit, BIT_ULL(32 + 9), 0, "64-bit hosts"),
		ROW(exit, BIT_ULL(32 + 19), 0, LACKS_PAT),
		ROW(entry, BIT_ULL(32 + 14), 0, LACKS_PAT),
		ROW(exit, BIT_ULL(32 + 21), 0, NULL),
		ROW(entry, BIT_ULL(32 + 15), 0, NULL),
		/* Tables that Vireo does not build: then it builds shadows. */
		ROW(ept_vpid, BIT_ULL(6), 0, NULL),
		ROW(ept_vpid, BIT_ULL(14), 0, NULL),
		ROW(ept_vpid, BIT_ULL(20), 0, NULL),
		ROW(ept_vpid, BIT_ULL(25) | BIT_ULL(26), 0, NULL),
		ROW(ept_vpid, BIT_ULL(25), 0, NULL),
		ROW(ept_vpid, BIT_ULL(26), 0, NULL),
		/* What guests' own capabilities would need is of no interest. */
		ROW(cr4_fixed1, ~0ULL, 0, NULL),
#undef ROW
	};
	struct vmx_caps caps;
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vmx_msrs msrs = msrs_all;
		u64 *msr = (void *)&msrs + rows[i].msr;
		const char *lacks;

		*msr = (*msr & ~rows[i].clear) | rows[i].set;
		lacks = vmx_choose(&msrs, true, &caps);
		KUNIT_EXPECT_STREQ_MSG(test, lacks ?: "nothing", rows[i].lacks ?: "nothing",
				       "row %d", i);
	}
}

static void vmx_models_test(struct kunit *test)
{
	struct vmx_msrs msrs;
	struct vmx_caps caps;

	/* Shadow tables, and real mode is interpreted. */
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs_penryn, true, &caps));
	KUNIT_EXPECT_FALSE(test, caps.ept);
	KUNIT_EXPECT_FALSE(test, caps.pat);
	KUNIT_EXPECT_FALSE(test, caps.efer);
	KUNIT_EXPECT_FALSE(test, caps.unrestricted);
	KUNIT_EXPECT_FALSE(test, caps.vpid);
	KUNIT_EXPECT_EQ(test, caps.eptp, 0);
	KUNIT_EXPECT_EQ(test, caps.proc, PROC_DEFAULT1 | must_proc);
	KUNIT_EXPECT_EQ(test, caps.proc2, BIT(6));
	KUNIT_EXPECT_EQ(test, caps.exit, EXIT_DEFAULT1 | must_exit);
	KUNIT_EXPECT_EQ(test, caps.entry, ENTRY_DEFAULT1 | must_entry);

	/* Real mode is interpreted there. */
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs_lynnfield, true, &caps));
	KUNIT_EXPECT_TRUE(test, caps.ept);
	KUNIT_EXPECT_TRUE(test, caps.pat);
	KUNIT_EXPECT_TRUE(test, caps.efer);
	KUNIT_EXPECT_FALSE(test, caps.unrestricted);
	KUNIT_EXPECT_EQ(test, caps.proc2, BIT(1) | BIT(3) | BIT(5) | BIT(6));

	/* No processor at all: something is said. */
	memset(&msrs, 0, sizeof(msrs));
	KUNIT_EXPECT_NOT_NULL(test, vmx_choose(&msrs, true, &caps));

	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs_westmere, true, &caps));
	KUNIT_EXPECT_TRUE(test, caps.unrestricted);
	KUNIT_EXPECT_EQ(test, caps.revision, 0x10);
	KUNIT_EXPECT_EQ(test, caps.pin, PIN_DEFAULT1 | must_pin);
	KUNIT_EXPECT_EQ(test, caps.proc, PROC_EXACT1 | must_proc);
	KUNIT_EXPECT_EQ(test, caps.proc2, BIT(1) | BIT(3) | BIT(5) | BIT(6) | BIT(7));
	KUNIT_EXPECT_EQ(test, caps.exit, EXIT_EXACT1 | must_exit | want_exit);
	KUNIT_EXPECT_EQ(test, caps.entry, ENTRY_EXACT1 | must_entry | want_entry);
	KUNIT_EXPECT_EQ(test, caps.eptp, 0x1e);
	KUNIT_EXPECT_TRUE(test, caps.vpid);
	KUNIT_EXPECT_MEMEQ(test, &caps.msrs, &msrs_westmere, sizeof(msrs));

	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs_all, true, &caps));
	KUNIT_EXPECT_EQ(test, caps.pin, PIN_DEFAULT1 | must_pin);
	KUNIT_EXPECT_EQ(test, caps.proc, PROC_EXACT1 | must_proc);
	KUNIT_EXPECT_EQ(test, caps.proc2, want_proc2);
	KUNIT_EXPECT_EQ(test, caps.exit, EXIT_EXACT1 | must_exit | want_exit);
	KUNIT_EXPECT_EQ(test, caps.entry, ENTRY_EXACT1 | must_entry | want_entry);
	KUNIT_EXPECT_EQ(test, caps.eptp, 0x5e);
	KUNIT_EXPECT_EQ(test, caps.watch, 0);
	/* The size's field has a bit more than a page's length. */
	KUNIT_EXPECT_EQ(test, caps.revision, 0x12);

	/* All 31 bits of the identifier, without the one that is always 0. */
	msrs = msrs_all;
	msrs.basic |= 0xffffffff;
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
	KUNIT_EXPECT_EQ(test, caps.revision, 0x7fffffff);
}

/* EPT left alone by choice, or one that Vireo does not build. */
static void vmx_shadow_test(struct kunit *test)
{
	static const struct {
		bool nested;
		u64 lacks;	/* of IA32_VMX_EPT_VPID_CAP */
		bool ept;
	} rows[] = {
		{ true, 0, true },
		{ false, 0, false },
		{ true, BIT_ULL(6), false },
		{ true, BIT_ULL(14), false },
		{ true, BIT_ULL(20), false },
		{ true, BIT_ULL(25), true },
		{ true, BIT_ULL(26), true },
		{ true, BIT_ULL(25) | BIT_ULL(26), false },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const bool ept = rows[i].ept;
		struct vmx_msrs msrs = msrs_all;
		struct vireo_caps out = {};
		struct vmx_caps caps;

		msrs.ept_vpid &= ~rows[i].lacks;
		KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, rows[i].nested, &caps));
		KUNIT_EXPECT_EQ_MSG(test, caps.ept, ept, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, caps.unrestricted, ept, "row %d", i);
		/* Without EPT they are of use all the same. */
		KUNIT_EXPECT_TRUE_MSG(test, caps.pat, "row %d", i);
		KUNIT_EXPECT_TRUE_MSG(test, caps.efer, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, caps.proc2, want_proc2 & ~(ept ? 0 : EPT_PROC2), "row %d",
				    i);
		KUNIT_EXPECT_EQ_MSG(test, caps.eptp, ept ? 0x5e : 0, "row %d", i);
		vmx_features(&caps, &out);
		KUNIT_EXPECT_EQ_MSG(test, out.nested_paging, ept, "row %d", i);
		KUNIT_EXPECT_FALSE_MSG(test, out.shadow_unpaged, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, !!(out.features & VIREO_FEATURE_NESTED_PAGING), ept,
				    "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, !!(out.features & VIREO_FEATURE_UNRESTRICTED), ept,
				    "row %d", i);
	}

	/* CR3 exits that cannot be switched off are wanted then. */
	for (i = 0; i < 2; i++) {
		struct vmx_msrs msrs = msrs_all;
		struct vmx_caps caps;

		msrs.proc |= PROC_DEFAULT1;
		KUNIT_EXPECT_EQ(test, !vmx_choose(&msrs, i, &caps), !i);
	}

	/* EPT for paged guests, shadows for those without paging. */
	{
		struct vireo_caps out = {};
		struct vmx_caps caps;

		KUNIT_ASSERT_NULL(test, vmx_choose(&msrs_lynnfield, true, &caps));
		vmx_features(&caps, &out);
		KUNIT_EXPECT_TRUE(test, out.nested_paging);
		KUNIT_EXPECT_TRUE(test, out.shadow_unpaged);
	}
}

/* Which flush, and a tag only if it can be flushed. */
static void vmx_tags_test(struct kunit *test)
{
	static const struct {
		bool control;
		u64 caps;
		bool vpid;
		u8 invvpid;
	} rows[] = {
		{ true, BIT_ULL(32) | BIT_ULL(41) | BIT_ULL(42), true, 1 },
		{ true, BIT_ULL(32) | BIT_ULL(41), true, 1 },
		{ true, BIT_ULL(32) | BIT_ULL(42), true, 2 },
		/* Only one address, or all but global ones. */
		{ true, BIT_ULL(32) | BIT_ULL(40) | BIT_ULL(43), false, 0 },
		{ true, BIT_ULL(32), false, 0 },
		/* Types without the instruction. */
		{ true, BIT_ULL(40) | BIT_ULL(41) | BIT_ULL(42) | BIT_ULL(43), false, 0 },
		{ true, 0, false, 0 },
		{ false, BIT_ULL(32) | BIT_ULL(41) | BIT_ULL(42), false, 1 },
	};
	const u64 all = BIT_ULL(32) | BIT_ULL(40) | BIT_ULL(41) | BIT_ULL(42) | BIT_ULL(43);
	struct vmx_caps caps;
	struct vmx_msrs msrs;
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vireo_caps out = {};

		msrs = msrs_all;
		msrs.ept_vpid = (msrs.ept_vpid & ~all) | rows[i].caps;
		if (!rows[i].control)
			msrs.proc2 &= ~BIT_ULL(32 + 5);
		KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
		KUNIT_EXPECT_EQ_MSG(test, caps.vpid, rows[i].vpid, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, !!(caps.proc2 & BIT(5)), rows[i].vpid, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, caps.invvpid, rows[i].invvpid, "row %d", i);
		/* Nothing else of the secondary controls goes with it. */
		KUNIT_EXPECT_EQ(test, caps.proc2 | BIT(5), want_proc2);
		vmx_features(&caps, &out);
		KUNIT_EXPECT_EQ(test, !!(out.features & VIREO_FEATURE_TAGGED_TLB), rows[i].vpid);
		KUNIT_EXPECT_EQ(test, !!(out.missing & VIREO_FEATURE_TAGGED_TLB), !rows[i].vpid);
	}

	/* INVEPT likewise: one context if it can be. */
	for (i = 1; i < 4; i++) {
		msrs = msrs_all;
		msrs.ept_vpid = (msrs.ept_vpid & ~(3ULL << 25)) | (u64)i << 25;
		KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
		KUNIT_EXPECT_EQ(test, caps.invept, i & 1 ? 1 : 2);
	}
}

/* Whatever a processor offers: what comes out is what it takes. */
static void vmx_random_test(struct kunit *test)
{
	struct vmx_caps caps;
	struct rnd_state rnd;
	int i, f, good = 0;

	/* A host without RDRAND that has just booted takes thousands of instructions for a number of its own. */
	prandom_seed_state(&rnd, get_random_u64());
	for (i = 0; i < 20000; i++) {
		struct vmx_msrs msrs = msrs_all;
		const char *lacks;

		for (f = 0; f < ARRAY_SIZE(vmx_fields); f++) {
			u64 *msr = vmx_msr_of(&msrs, f);
			u32 ones = prandom_u32_state(&rnd) & prandom_u32_state(&rnd) & prandom_u32_state(&rnd);
			u32 allowed = ones | prandom_u32_state(&rnd) | prandom_u32_state(&rnd);

			/* Mostly with what is needed, or hardly any would do. */
			if (prandom_u32_state(&rnd) % 16)
				allowed |= *vmx_fields[f].must;
			if (f == 1 && prandom_u32_state(&rnd) % 16)
				ones &= ~(u32)(BIT(9) | BIT(15) | BIT(16));
			*msr = (u64)allowed << 32 | ones;
		}
		msrs.ept_vpid |= (u64)prandom_u32_state(&rnd) << 32 | prandom_u32_state(&rnd);
		memset(&caps, 0xa5, sizeof(caps));
		lacks = vmx_choose(&msrs, true, &caps);
		if (lacks)
			continue;
		good++;
		for (f = 0; f < ARRAY_SIZE(vmx_fields); f++) {
			u64 msr = *vmx_msr_of(&msrs, f);
			u32 ctl = vmx_ctl_of(&caps, f), ones = msr, allowed = msr >> 32;
			u32 must = *vmx_fields[f].must;

			KUNIT_ASSERT_EQ_MSG(test, ctl & ~allowed, 0, "%s", vmx_fields[f].name);
			KUNIT_ASSERT_EQ_MSG(test, ctl & must, must, "%s", vmx_fields[f].name);
			/* Nothing is on that nobody has asked for. */
			must |= *vmx_fields[f].want;
			if (vmx_fields[f].must == &must_proc2 && !caps.ept)
				must &= ~EPT_PROC2;
			KUNIT_ASSERT_EQ_MSG(test, ctl & ~(must | ones), 0, "%s",
					    vmx_fields[f].name);
			/* A VPID that may not be off is no real processor's. */
			if (vmx_fields[f].must == &must_proc2)
				ones &= ~(u32)BIT(5);
			KUNIT_ASSERT_EQ_MSG(test, ones & ~ctl, 0, "%s", vmx_fields[f].name);
		}
		/* Nothing is left from before. */
		KUNIT_ASSERT_EQ(test, caps.watch, 0);
		KUNIT_ASSERT_EQ(test, caps.ept, !!(msrs.proc2 & BIT_ULL(32 + 1)));
		KUNIT_ASSERT_EQ(test, caps.pat, (caps.exit & BIT(19)) && (caps.entry & BIT(14)));
		KUNIT_ASSERT_EQ(test, caps.efer, (caps.exit & BIT(21)) && (caps.entry & BIT(15)));
		KUNIT_ASSERT_TRUE(test, caps.pat || !caps.ept);
		if (!caps.ept) {
			KUNIT_ASSERT_EQ(test, caps.eptp, 0);
			continue;
		}
		KUNIT_ASSERT_TRUE(test, caps.invept == 1 || caps.invept == 2);
		KUNIT_ASSERT_EQ(test, caps.eptp & ~0x40ULL, 0x1e);
		KUNIT_ASSERT_EQ(test, !!(caps.eptp & 0x40), !!(msrs.ept_vpid & BIT_ULL(21)));
	}
	KUNIT_EXPECT_GT(test, good, 2000);
}

static void vmx_features_test(struct kunit *test)
{
	/* @used: Vireo makes use of it, where it is. */
	static const struct {
		size_t msr;
		u64 bit;
		u64 feature;
		bool used;
	} rows[] = {
#define ROW(f, bit, feature, used) \
	{ offsetof(struct vmx_msrs, f), BIT_ULL(bit), VIREO_FEATURE_##feature, used }
		ROW(proc2, 32 + 5, TAGGED_TLB, true),
		ROW(proc2, 32 + 8, APIC_REGISTERS, false),
		ROW(proc2, 32 + 9, VIRTUAL_IRQ, false),
		ROW(proc2, 32 + 10, PAUSE_FILTER, true),
		ROW(proc2, 32 + 17, PML, false),
		ROW(proc2, 32 + 25, TSC_SCALING, false),
		ROW(proc, 32 + 21, TPR_SHADOW, false),
		ROW(pin, 32 + 6, PREEMPTION_TIMER, false),
		ROW(pin, 32 + 7, POSTED_IRQ, false),
		ROW(ept_vpid, 16, PAGES_2M, true),
		ROW(ept_vpid, 17, PAGES_1G, true),
		ROW(ept_vpid, 21, PAGE_AD, true),
		ROW(ept_vpid, 32, TAGGED_TLB, true),
#undef ROW
	};
	const u64 all = VIREO_FEATURE_NESTED_PAGING | VIREO_FEATURE_UNRESTRICTED |
		VIREO_FEATURE_TAGGED_TLB | VIREO_FEATURE_PAGES_2M | VIREO_FEATURE_PAGES_1G |
		VIREO_FEATURE_PAGE_AD | VIREO_FEATURE_NRIP_SAVE | VIREO_FEATURE_VIRTUAL_NMI |
		VIREO_FEATURE_X2APIC | VIREO_FEATURE_PAUSE_FILTER;
	struct vireo_caps out;
	struct vmx_caps caps;
	struct vmx_msrs msrs;
	int i;

	memset(&out, 0, sizeof(out));
	/* What others have found is kept. */
	out.features = BIT_ULL(63);
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs_all, true, &caps));
	vmx_features(&caps, &out);
	KUNIT_EXPECT_EQ(test, out.features, all | BIT_ULL(63));
	KUNIT_EXPECT_EQ(test, out.missing, 0);
	KUNIT_EXPECT_EQ(test, out.max_level, 3);
	KUNIT_EXPECT_EQ(test, out.root_levels, 4);
	KUNIT_EXPECT_TRUE(test, out.nested_ad);
	KUNIT_EXPECT_TRUE(test, out.exec_only);
	KUNIT_EXPECT_TRUE(test, out.has_rdtscp);
	KUNIT_EXPECT_TRUE(test, out.has_invpcid);

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		msrs = msrs_all;
		*(u64 *)((void *)&msrs + rows[i].msr) &= ~rows[i].bit;
		KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
		memset(&out, 0, sizeof(out));
		vmx_features(&caps, &out);
		KUNIT_EXPECT_EQ_MSG(test, out.missing, rows[i].feature, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, out.features, rows[i].used ? all & ~rows[i].feature : all,
				    "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, out.nested_ad, rows[i].feature != VIREO_FEATURE_PAGE_AD,
				    "row %d", i);
		/* The EPTP has the bit that the tables are made for. */
		KUNIT_EXPECT_EQ_MSG(test, out.nested_ad, !!(caps.eptp & 0x40), "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, out.max_level,
				    rows[i].feature == VIREO_FEATURE_PAGES_2M ? 1 :
				    rows[i].feature == VIREO_FEATURE_PAGES_1G ? 2 : 3, "row %d", i);
	}

	msrs = msrs_all;
	msrs.ept_vpid &= ~BIT_ULL(0);
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
	out.exec_only = true;
	vmx_features(&caps, &out);
	KUNIT_EXPECT_FALSE(test, out.exec_only);

	/* RDTSCP and INVPCID, bits 3 and 12 */
	msrs = msrs_all;
	msrs.proc2 &= ~((BIT_ULL(3) | BIT_ULL(12)) << 32);
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
	out.has_rdtscp = true;
	out.has_invpcid = true;
	vmx_features(&caps, &out);
	KUNIT_EXPECT_FALSE(test, out.has_rdtscp);
	KUNIT_EXPECT_FALSE(test, out.has_invpcid);

	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs_westmere, true, &caps));
	memset(&out, 0, sizeof(out));
	vmx_features(&caps, &out);
	KUNIT_EXPECT_EQ(test, out.features, all & ~(VIREO_FEATURE_PAGE_AD |
						    VIREO_FEATURE_PAUSE_FILTER));
	KUNIT_EXPECT_EQ(test, out.missing, VIREO_FEATURE_PAGE_AD | VIREO_FEATURE_PAUSE_FILTER |
			VIREO_FEATURE_PML | VIREO_FEATURE_TSC_SCALING |
			VIREO_FEATURE_APIC_REGISTERS | VIREO_FEATURE_VIRTUAL_IRQ |
			VIREO_FEATURE_POSTED_IRQ);
	KUNIT_EXPECT_FALSE(test, out.nested_ad);
}

/* What of the local APIC is used: what is there, allowed, and of use without the rest. */
static void vmx_apic_test(struct kunit *test)
{
	const u64 tpr = VIREO_FEATURE_TPR_SHADOW, regs = VIREO_FEATURE_APIC_REGISTERS,
		  irq = VIREO_FEATURE_VIRTUAL_IRQ, all = tpr | regs | irq;
	struct vireo_caps out;
	struct vmx_caps caps;
	struct vmx_msrs msrs;

	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs_all, true, &caps));
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, all), all);
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, tpr), tpr);
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, tpr | regs), tpr | regs);
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, tpr | irq), tpr | irq);
	/* The others need TPR shadow. */
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, regs | irq), 0);
	/* Nothing else is given, whatever is allowed. */
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, ~0ULL), all);
	/* Only what was chosen shows as used. */
	caps.apic = tpr;
	memset(&out, 0, sizeof(out));
	vmx_features(&caps, &out);
	KUNIT_EXPECT_EQ(test, out.features & all, tpr);

	/* TPR shadow is bit 21 */
	msrs = msrs_all;
	msrs.proc &= ~(BIT_ULL(21) << 32);
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, all), 0);
	/* Bit 4: x2APIC mode virtualised; 8 registers, 9 delivery */
	msrs = msrs_all;
	msrs.proc2 &= ~(BIT_ULL(4) << 32);
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, all), tpr | irq);
	msrs = msrs_all;
	msrs.proc2 &= ~(BIT_ULL(8) << 32);
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, all), tpr | irq);
	msrs = msrs_all;
	msrs.proc2 &= ~(BIT_ULL(9) << 32);
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs, true, &caps));
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, all), tpr | regs);
	/* With shadow tables real mode is interpreted: interrupts are delivered by software. */
	KUNIT_ASSERT_NULL(test, vmx_choose(&msrs_all, false, &caps));
	KUNIT_EXPECT_EQ(test, vmx_choose_apic(&caps, all), tpr | regs);
}

/* Exact MSRs count where there are some: CR3 exits may be off only by these. */
static void vmx_exact_test(struct kunit *test)
{
	struct vmx_msrs msrs;
	struct vmx_caps caps;

	if (!boot_cpu_has(X86_FEATURE_VMX))
		kunit_skip(test, "no VMX here");
	vmx_read_msrs(&msrs);
	if (!(msrs.basic & BIT_ULL(55)))
		kunit_skip(test, "no exact MSRs here");
	KUNIT_EXPECT_FALSE(test, (u32)msrs.proc & (BIT(15) | BIT(16)));
	KUNIT_EXPECT_EQ(test, (u32)msrs.proc & PROC_EXACT1, PROC_EXACT1);
	/* A module that is loaded has made a choice. */
	KUNIT_EXPECT_NULL(test, vmx_choose(&msrs, vireo_caps.nested_paging, &caps));
	KUNIT_EXPECT_MEMEQ(test, &msrs, &vmx_caps.msrs, sizeof(msrs));
	KUNIT_EXPECT_EQ(test, caps.proc2, vmx_caps.proc2);
	KUNIT_EXPECT_EQ(test, caps.exit, vmx_caps.exit);
	KUNIT_EXPECT_EQ(test, caps.entry, vmx_caps.entry);
	KUNIT_EXPECT_EQ(test, caps.eptp, vmx_caps.eptp);
	/* Bochs gets more than is chosen. */
	KUNIT_EXPECT_EQ(test, caps.pin & ~vmx_caps.pin, 0);
	KUNIT_EXPECT_EQ(test, caps.proc & ~vmx_caps.proc, 0);
}

static struct kunit_case vmx_caps_cases[] = {
	KUNIT_CASE(vmx_adjust_test),
	KUNIT_CASE(vmx_must_test),
	KUNIT_CASE(vmx_lacks_test),
	KUNIT_CASE(vmx_models_test),
	KUNIT_CASE(vmx_shadow_test),
	KUNIT_CASE(vmx_tags_test),
	KUNIT_CASE(vmx_random_test),
	KUNIT_CASE(vmx_features_test),
	KUNIT_CASE(vmx_apic_test),
	KUNIT_CASE(vmx_exact_test),
	{}
};

extern struct kunit_suite vireo_vmx_caps_suite;
struct kunit_suite vireo_vmx_caps_suite = {
	.name = "vireo-vmx-caps",
	.test_cases = vmx_caps_cases,
};

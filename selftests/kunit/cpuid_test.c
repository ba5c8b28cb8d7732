// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID: what guests are offered, on processors that are made up.
 *
 * kmod/cpuid.c is compiled here a second time, on top of a processor, a kernel and a backend of
 * the test's own.  Bits are written as numbers, from the manuals: a name that stands in the wrong
 * word does not agree with them.
 */
#include <kunit/test.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <uapi/asm/kvm_para.h>

#include "../../kmod/core.h"

/*
 * The processor: every word that no leaf's structure fixes is a function of @seed; the kernel
 * uses of it what @kernel says.
 */
static struct {
	u32 max_basic, max_extended;
	u32 fill;		/* ~0, 0, or a mask of random bits */
	bool random;
} host;
static struct cpuinfo_x86 test_cpu;
static struct vireo_caps test_caps;
static u64 test_cr4;

static u32 host_word(u32 leaf, u32 subleaf, u32 reg)
{
	u32 x = leaf * 0x9e3779b9 ^ subleaf * 0x85ebca6b ^ reg * 0xc2b2ae35 ^ host.fill;

	if (!host.random)
		return host.fill;
	x = (x ^ x >> 16) * 0x7feb352d;
	x = (x ^ x >> 15) * 0x846ca68b;
	return x ^ x >> 16;
}

/* Sizes and offsets in the standard format of XSAVE: AVX, and AVX-512's three. */
static const struct {
	u32 size, offset;
} host_xsave[] = { [2] = { 256, 576 }, [5] = { 64, 1088 }, [6] = { 512, 1152 }, [7] = { 1024, 1664 } };

static void test_cpuid_count(u32 leaf, u32 subleaf, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	*eax = host_word(leaf, subleaf, 0);
	*ebx = host_word(leaf, subleaf, 1);
	*ecx = host_word(leaf, subleaf, 2);
	*edx = host_word(leaf, subleaf, 3);
	switch (leaf) {
	case 0:
		*eax = host.max_basic;
		break;
	case 4:
		/* Three caches. */
		*eax = subleaf < 3 ? (*eax & ~0x1fU) | 1 : 0;
		break;
	case 0xd:
		if (subleaf >= 2 && subleaf < ARRAY_SIZE(host_xsave)) {
			*eax = host_xsave[subleaf].size;
			*ebx = host_xsave[subleaf].offset;
		}
		break;
	case 0x80000000:
		*eax = host.max_extended;
		break;
	}
}

static u32 test_cpuid_eax(u32 leaf)
{
	u32 eax, ebx, ecx, edx;

	test_cpuid_count(leaf, 0, &eax, &ebx, &ecx, &edx);
	return eax;
}

static int test_cpuid_setup(void);
static void test_cpuid_teardown(void);
static int test_cpuid_get_supported(struct vireo_cpuid __user *arg);
static int test_cpuid_set(struct vireo_vcpu *vcpu, const struct vireo_cpuid __user *arg);
static int test_cpuid_get(struct vireo_vcpu *vcpu, struct vireo_cpuid __user *arg);
static int test_cpuid_default(struct vireo_vcpu *vcpu);
static void test_cpuid_update(struct vireo_vcpu *vcpu);
static const struct vireo_cpuid_entry *test_cpuid_find(struct vireo_vcpu *vcpu, u32 leaf,
						       u32 subleaf);
static void test_cpuid(struct vireo_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);

#undef cpuid_count
#define cpuid_count(leaf, sub, a, b, c, d)	test_cpuid_count(leaf, sub, a, b, c, d)
#define cpuid_eax(leaf)				test_cpuid_eax(leaf)
#define boot_cpu_data				test_cpu
#define vireo_caps				test_caps
#define vireo_backend_get_cr(vcpu, nr)		test_cr4
/* Every function that kmod/cpuid.c offers; with a parameter, as a structure has such a name too. */
#define vireo_cpuid_setup(v)			test_cpuid_setup(v)
#define vireo_cpuid_teardown(v)			test_cpuid_teardown(v)
#define vireo_cpuid_get_supported(arg)		test_cpuid_get_supported(arg)
#define vireo_cpuid_set(vcpu, arg)		test_cpuid_set(vcpu, arg)
#define vireo_cpuid_get(vcpu, arg)		test_cpuid_get(vcpu, arg)
#define vireo_cpuid_default(vcpu)		test_cpuid_default(vcpu)
#define vireo_cpuid_update(vcpu)		test_cpuid_update(vcpu)
#define vireo_cpuid_find(vcpu, leaf, sub)	test_cpuid_find(vcpu, leaf, sub)
#define vireo_cpuid(vcpu, a, b, c, d)		test_cpuid(vcpu, a, b, c, d)
#include "../../kmod/cpuid.c"
/* From here on the names are the module's again. */
#undef boot_cpu_data
#undef vireo_caps

/* ------------------------------------------------------------------ */

#define XCR0_AVX	0x7ULL
#define XCR0_AVX512	0xe7ULL

enum { EAX, EBX, ECX, EDX };

/* The table again, for the processor as it is now. */
static void host_setup(struct kunit *test)
{
	vireo_cpuid_teardown();
	vireo_supported = NULL;
	vireo_supported_nr = 0;
	KUNIT_ASSERT_EQ(test, vireo_cpuid_setup(), 0);
}

static void host_vendor(struct kunit *test, u32 vendor)
{
	test_caps.vendor = vendor;
	host_setup(test);
}

/* It and its kernel have everything there will ever be. */
static int cpuid_test_init(struct kunit *test)
{
	struct vireo_vcpu *vcpu = kunit_kzalloc(test, sizeof(*vcpu), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, vcpu);
	test->priv = vcpu;
	host.max_basic = 0x1f;
	host.max_extended = 0x80000021;
	host.fill = ~0U;
	host.random = false;
	memset(test_cpu.x86_capability, 0xff, sizeof(test_cpu.x86_capability));
	test_caps = (struct vireo_caps) {
		.vendor = VIREO_VENDOR_INTEL, .phys_bits = 46, .xcr0 = XCR0_AVX512,
		.has_rdtscp = true, .has_invpcid = true,
	};
	test_cr4 = 0;
	host_setup(test);
	vcpu->apic_base = MSR_IA32_APICBASE_ENABLE;
	vcpu->xcr0 = 1;
	return 0;
}

static void cpuid_test_exit(struct kunit *test)
{
	struct vireo_vcpu *vcpu = test->priv;

	if (vcpu)
		kvfree(vcpu->cpuid);
	vireo_cpuid_teardown();
	vireo_supported = NULL;
	vireo_supported_nr = 0;
}

/* What a table says of a leaf, 0 if nothing. */
static u32 word_of(const struct vireo_cpuid_entry *table, u32 nr, u32 leaf, u32 subleaf, int reg)
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (table[i].leaf == leaf && table[i].subleaf == subleaf)
			return (&table[i].eax)[reg];
	return 0;
}

static u32 offered(u32 leaf, u32 subleaf, int reg)
{
	return word_of(vireo_supported, vireo_supported_nr, leaf, subleaf, reg);
}

static struct vireo_cpuid_entry *entry_of(struct vireo_cpuid_entry *table, u32 nr, u32 leaf,
					  u32 subleaf)
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (table[i].leaf == leaf && table[i].subleaf == subleaf)
			return &table[i];
	return NULL;
}

/* CPUID as the guest executes it. */
static struct vireo_cpuid_entry ask(struct vireo_vcpu *vcpu, u32 leaf, u32 subleaf)
{
	struct vireo_cpuid_entry e = { .leaf = leaf, .subleaf = subleaf, .eax = leaf,
				       .ebx = 0xdead, .ecx = subleaf, .edx = 0xbeef };

	vireo_cpuid(vcpu, &e.eax, &e.ebx, &e.ecx, &e.edx);
	return e;
}

/* Feature words, the kernel's word that filters each, and what is there whatever the processor has. */
static const struct {
	u32 leaf, subleaf;
	u8 reg;
	enum cpuid_leafs word;
	u32 emulated;
	/* Bits that guests cannot have, as there is nothing that would make them work. */
	u32 never;
} words[] = {
	/* x2APIC, TSC deadline, hypervisor */
	{ 1, 0, ECX, CPUID_1_ECX, BIT(21) | BIT(24) | BIT(31),
	  /* DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, CNXT-ID, SDBG, xTPR, PDCM, DCA, OSXSAVE */
	  GENMASK(8, 2) | BIT(10) | BIT(11) | BIT(14) | BIT(15) | BIT(16) | BIT(18) | BIT(27) },
	/* HTT; PSN, DS, ACPI, SS, TM, IA64, PBE and reserved ones */
	{ 1, 0, EDX, CPUID_1_EDX, BIT(28),
	  BIT(10) | BIT(18) | BIT(20) | BIT(21) | BIT(22) | BIT(27) | GENMASK(31, 29) },
	/* TSC_ADJUST */
	{ 7, 0, EBX, CPUID_7_0_EBX, BIT(1),
	  /* SGX, HLE, RTM, RDT-M, MPX, RDT-A, PCOMMIT, PT, AVX512PF, AVX512ER */
	  BIT(2) | BIT(4) | BIT(6) | GENMASK(15, 11) | BIT(13) | BIT(22) | GENMASK(27, 25) },
	{ 7, 0, ECX, CPUID_7_ECX, 0,
	  /* PREFETCHWT1, PKU, OSPKE, WAITPKG, CET_SS, TME, LA57, MAWAU, KL, bus locks, CLDEMOTE,
	   * MOVDIR*, ENQCMD, SGX_LC, PKS
	   */
	  BIT(0) | BIT(3) | BIT(4) | BIT(5) | BIT(7) | BIT(13) | GENMASK(21, 15) |
	  GENMASK(31, 23) },
	{ 7, 0, EDX, CPUID_7_EDX, 0,
	  /* UINTR, RTM aborts, hybrid, PCONFIG, LBRs, CET_IBT, AMX, speculation control */
	  BIT(0) | BIT(1) | BIT(5) | BIT(11) | BIT(13) | BIT(15) | GENMASK(20, 18) | BIT(22) |
	  BIT(24) | BIT(25) | GENMASK(31, 26) },
	/* XSAVES and XFD: state that is not kept */
	{ 0xd, 1, EAX, CPUID_D_1_EAX, 0, GENMASK(31, 3) },
	/* CmpLegacy, SVM, ExtApicSpace, OSVW, IBS, SKINIT, WDT, LWP, topology, counters, MWAITX */
	{ 0x80000001, 0, ECX, CPUID_8000_0001_ECX, 0,
	  BIT(1) | BIT(2) | BIT(3) | BIT(9) | BIT(10) | BIT(12) | BIT(13) | BIT(15) | BIT(17) |
	  BIT(19) | GENMASK(31, 22) },
	{ 0x80000001, 0, EDX, CPUID_8000_0001_EDX, 0,
	  BIT(10) | BIT(18) | BIT(19) | BIT(21) | BIT(28) },
	/* All but CLZERO: RDPRU, INVLPGB, MCOMMIT, IBPB ... */
	{ 0x80000008, 0, EBX, CPUID_8000_0008_EBX, 0, ~(u32)BIT(0) },
};

/* A processor with all bits: no guest gets one that does not work. */
static void cpuid_never_test(struct kunit *test)
{
	static const u32 vendors[] = { VIREO_VENDOR_INTEL, VIREO_VENDOR_AMD };
	int v, i;
	u32 leaf;

	for (v = 0; v < ARRAY_SIZE(vendors); v++) {
		host_vendor(test, vendors[v]);
		for (i = 0; i < ARRAY_SIZE(words); i++)
			KUNIT_EXPECT_EQ_MSG(test, offered(words[i].leaf, words[i].subleaf,
							  words[i].reg) & words[i].never, 0,
					    "leaf %#x register %d", words[i].leaf, words[i].reg);
		for (i = 0; i < vireo_supported_nr; i++) {
			const struct vireo_cpuid_entry *e = &vireo_supported[i];

			KUNIT_EXPECT_EQ_MSG(test, e->pad, 0, "leaf %#x", e->leaf);
			KUNIT_EXPECT_EQ_MSG(test, e->flags, e->leaf == 4 || e->leaf == 7 ||
					    e->leaf == 0xb || e->leaf == 0xd ?
					    VIREO_CPUID_SUBLEAF : 0, "leaf %#x", e->leaf);
			/* Sorted, nothing twice. */
			if (i)
				KUNIT_EXPECT_EQ_MSG(test, vireo_cmp(e - 1, e), -1, "leaf %#x",
						    e->leaf);
			/* No subleaf of leaf 7 beside the first, none of XSAVE's that XCR0 has not. */
			KUNIT_EXPECT_FALSE_MSG(test, e->leaf == 7 && (e->subleaf || e->eax),
					       "subleaf %#x", e->subleaf);
			KUNIT_EXPECT_FALSE_MSG(test, e->leaf == 0xd && e->subleaf > 1 &&
					       !(XCR0_AVX512 >> e->subleaf & 1), "subleaf %#x",
					       e->subleaf);
			/* Basic, the hypervisor's, extended to 8000_0008: none of SVM's own. */
			KUNIT_EXPECT_TRUE_MSG(test, e->leaf <= 0x16 || e->leaf == 0x40000000 ||
					      e->leaf == 0x40000001 ||
					      (e->leaf >= 0x80000000 && e->leaf <= 0x80000008),
					      "leaf %#x", e->leaf);
		}
		/* Serial number, MONITOR, cache parameters, PMU, RDT, SGX, PT: not there. */
		for (leaf = 0; leaf <= 0x16; leaf++) {
			if (!(BIT(leaf) & (BIT(3) | BIT(5) | BIT(8) | BIT(9) | BIT(10) | BIT(12) |
					   GENMASK(0x14, 0xe))))
				continue;
			for (i = 0; i < 4; i++)
				KUNIT_EXPECT_EQ_MSG(test, offered(leaf, 0, i), 0, "leaf %#x", leaf);
		}
		/* Power management: a timer that does not stop, a TSC neither; no more. */
		KUNIT_EXPECT_EQ(test, offered(6, 0, EAX), BIT(2));
		KUNIT_EXPECT_EQ(test, offered(6, 0, EBX) | offered(6, 0, ECX) | offered(6, 0, EDX), 0);
		KUNIT_EXPECT_EQ(test, offered(0x80000007, 0, EDX), BIT(8));
		KUNIT_EXPECT_EQ(test, offered(0x80000007, 0, EBX), 0);
		/*
		 * KVM's signature, and of its features: clock, no delay for I/O, steal time, PV EOI, unhalt,
		 * TLB flush, IPIs, yield.
		 */
		KUNIT_EXPECT_EQ(test, offered(0x40000000, 0, EAX), 0x40000001);
		KUNIT_EXPECT_EQ(test, offered(0x40000000, 0, EBX), 0x4b4d564b);
		KUNIT_EXPECT_EQ(test, offered(0x40000000, 0, ECX), 0x564b4d56);
		KUNIT_EXPECT_EQ(test, offered(0x40000000, 0, EDX), 0x4d);
		KUNIT_EXPECT_EQ(test, offered(0x40000001, 0, EAX),
				BIT(0) | BIT(1) | BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(9) | BIT(11) | BIT(13) |
				BIT(24));
		/* The limits do not lie. */
		KUNIT_EXPECT_EQ(test, offered(0, 0, EAX), 0x16);
		KUNIT_EXPECT_EQ(test, offered(0x80000000, 0, EAX), 0x80000008);
		KUNIT_EXPECT_EQ(test, offered(0x80000008, 0, EAX) & 0xff, 46);
		/* Whose processor of the package it is, the launcher says. */
		KUNIT_EXPECT_EQ(test, offered(1, 0, EBX), 0xff00);
		for (i = 0; i < 3; i++)
			KUNIT_EXPECT_EQ(test, offered(4, i, EAX) >> 14, 0);
		KUNIT_EXPECT_EQ(test, offered(4, 3, EAX), 0);
	}
}

/* What a processor has and guests can use, they get. */
static void cpuid_useful_test(struct kunit *test)
{
	/* SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4 MOVBE POPCNT AES XSAVE AVX F16C RDRAND */
	KUNIT_EXPECT_EQ(test, offered(1, 0, ECX), 0xf7fa3203);
	/* FSGSBASE BMI AVX2 SMEP ERMS INVPCID AVX-512 RDSEED ADX SMAP CLFLUSHOPT CLWB SHA */
	KUNIT_EXPECT_EQ(test, offered(7, 0, EBX), 0xf1bf07ab);
	/* UMIP, RDPID */
	KUNIT_EXPECT_EQ(test, offered(7, 0, ECX) & (BIT(2) | BIT(22)), BIT(2) | BIT(22));
	/* Intel has those of leaf 1 only there. */
	KUNIT_EXPECT_EQ(test, offered(0x80000001, 0, EDX) & 0x2c100800, 0x2c100800);
	KUNIT_EXPECT_EQ(test, offered(0x80000001, 0, EDX) & 0x0183f3ff, 0);
	host_vendor(test, VIREO_VENDOR_AMD);
	KUNIT_EXPECT_EQ(test, offered(0x80000001, 0, EDX) & 0x0183f3ff, 0x0183f3ff);
}

/* Random processors under kernels that use a part: guests get no bit that either lacks. */
static void cpuid_subset_test(struct kunit *test)
{
	int i, w;

	host.random = true;
	for (i = 0; i < 500; i++) {
		const u64 xcr0s[] = { 0, 3, XCR0_AVX, XCR0_AVX512 };

		host.fill = get_random_u32();
		host.max_basic = get_random_u32() % 0x20;
		host.max_extended = 0x80000001 + get_random_u32() % 0x20;
		get_random_bytes(test_cpu.x86_capability, sizeof(test_cpu.x86_capability));
		test_caps.has_rdtscp = get_random_u32() & 1;
		test_caps.has_invpcid = get_random_u32() & 1;
		test_caps.xcr0 = xcr0s[i % ARRAY_SIZE(xcr0s)];
		if (test_caps.xcr0)
			set_cpu_cap(&test_cpu, X86_FEATURE_XSAVE);
		host_vendor(test, i & 4 ? VIREO_VENDOR_AMD : VIREO_VENDOR_INTEL);

		for (w = 0; w < ARRAY_SIZE(words); w++) {
			u32 has = host_word(words[w].leaf, words[w].subleaf, words[w].reg);
			u32 used = test_cpu.x86_capability[words[w].word];
			u32 got = offered(words[w].leaf, words[w].subleaf, words[w].reg);

			/* Copies of leaf 1: Linux does not keep them. */
			if (words[w].leaf == 0x80000001 && words[w].reg == EDX &&
			    test_caps.vendor == VIREO_VENDOR_AMD)
				used |= 0x0183f3ff;
			KUNIT_ASSERT_EQ_MSG(test, got & ~words[w].emulated & ~(has & used), 0,
					    "leaf %#x register %d", words[w].leaf, words[w].reg);
			KUNIT_ASSERT_EQ_MSG(test, got & words[w].never, 0,
					    "leaf %#x register %d", words[w].leaf, words[w].reg);
			if (words[w].leaf < 0xd)
				KUNIT_ASSERT_EQ_MSG(test, ~got & words[w].emulated, 0,
						    "leaf %#x register %d", words[w].leaf,
						    words[w].reg);
		}
		/* What only the backend can make work. */
		if (!test_caps.has_invpcid)
			KUNIT_ASSERT_FALSE(test, offered(7, 0, EBX) & BIT(10));
		if (!test_caps.has_rdtscp) {
			KUNIT_ASSERT_FALSE(test, offered(7, 0, ECX) & BIT(22));
			KUNIT_ASSERT_FALSE(test, offered(0x80000001, 0, EDX) & BIT(27));
		}
		/* No state that XCR0 does not have. */
		if (test_caps.xcr0 != XCR0_AVX512)
			KUNIT_ASSERT_FALSE(test, offered(7, 0, EBX) & (BIT(16) | BIT(17) | BIT(21) |
					   BIT(28) | BIT(30) | BIT(31)));
		if (!test_caps.xcr0)
			KUNIT_ASSERT_FALSE(test, offered(1, 0, ECX) & (BIT(26) | BIT(28)));
		KUNIT_ASSERT_EQ(test, offered(0xd, 0, EAX), (u32)test_caps.xcr0);
		KUNIT_ASSERT_EQ(test, offered(0xd, 0, EDX), 0);
		/* Fast short moves only with fast ones. */
		if (!(offered(7, 0, EBX) & BIT(9)))
			KUNIT_ASSERT_FALSE(test, offered(7, 0, EDX) & BIT(4));
		KUNIT_ASSERT_EQ(test, offered(0x80000000, 0, EAX),
				min(host.max_extended, 0x80000008));
		KUNIT_ASSERT_LE(test, offered(0, 0, EAX), 0x16);
		KUNIT_ASSERT_GE(test, offered(0, 0, EAX), test_caps.xcr0 ? 0xd : 7);
	}
}

/* A processor with all bits under the kernel that runs here, with what the backend found. */
static void cpuid_real_test(struct kunit *test)
{
	int w;

	if (!vireo_caps.phys_bits)
		kunit_skip(test, "no processor was found");
	memcpy(test_cpu.x86_capability, boot_cpu_data.x86_capability,
	       sizeof(test_cpu.x86_capability));
	test_caps = vireo_caps;
	host_setup(test);
	for (w = 0; w < ARRAY_SIZE(words); w++) {
		u32 used = boot_cpu_data.x86_capability[words[w].word] | words[w].emulated;
		u32 got = offered(words[w].leaf, words[w].subleaf, words[w].reg);

		if ((words[w].leaf == 1 || words[w].leaf == 0x80000001) && words[w].reg == EDX)
			used |= 0x1183f3ff;
		KUNIT_EXPECT_EQ_MSG(test, got & ~used, 0, "leaf %#x register %d", words[w].leaf,
				    words[w].reg);
	}
}

/* ------------------------------------------------------------------ */

static void cpuid_lookup_test(struct kunit *test)
{
	struct vireo_vcpu *vcpu = test->priv;
	u32 i, sub;

	KUNIT_ASSERT_EQ(test, vireo_cpuid_default(vcpu), 0);
	KUNIT_EXPECT_EQ(test, vcpu->cpuid_nr, vireo_supported_nr);
	/* Each entry is found, by the guest and inside. */
	for (i = 0; i < vireo_supported_nr; i++) {
		const struct vireo_cpuid_entry *e = &vireo_supported[i];
		struct vireo_cpuid_entry got = ask(vcpu, e->leaf, e->subleaf);

		KUNIT_EXPECT_PTR_EQ_MSG(test, vireo_cpuid_find(vcpu, e->leaf, e->subleaf),
					&vcpu->cpuid[i], "leaf %#x.%u", e->leaf, e->subleaf);
		KUNIT_EXPECT_TRUE_MSG(test, !memcmp(&got.eax, &e->eax, 16), "leaf %#x.%u", e->leaf,
				      e->subleaf);
		/* Where the index does not count, any will do. */
		if (e->flags & VIREO_CPUID_SUBLEAF)
			continue;
		for (sub = 1; sub; sub <<= 5) {
			got = ask(vcpu, e->leaf, sub);
			KUNIT_EXPECT_TRUE_MSG(test, !memcmp(&got.eax, &e->eax, 16), "leaf %#x.%u",
					      e->leaf, sub);
		}
	}
	/* Where it does, one that is not there is all zero; but a topology leaf echoes it. */
	for (i = 0; i < 3; i++) {
		static const u32 leaves[] = { 4, 7, 0xd };

		for (sub = 63; sub; sub <<= 1) {
			const struct vireo_cpuid_entry got = ask(vcpu, leaves[i], sub);

			KUNIT_EXPECT_NULL(test, vireo_cpuid_find(vcpu, leaves[i], sub));
			KUNIT_EXPECT_EQ_MSG(test, got.eax | got.ebx | got.ecx | got.edx, 0,
					    "leaf %#x.%u", leaves[i], sub);
		}
	}
	for (sub = 2; sub; sub <<= 1) {
		const struct vireo_cpuid_entry got = ask(vcpu, 0xb, sub);

		KUNIT_EXPECT_EQ(test, got.ecx, sub & 0xff);
		KUNIT_EXPECT_EQ(test, got.eax | got.ebx | got.edx, 0);
	}
}

static void cpuid_beyond_test(struct kunit *test)
{
	static const u32 holes[] = { 0x40000002, 0x40000003, 0x40000004, 0x40000010, 0x400000ff };
	static const u32 beyond[] = { 0x17, 0x1f, 0x20, 0x21, 0x100, 0x3fffffff, 0x40000100,
				      0x7fffffff, 0x80000009, 0x8000000a, 0x80000023, 0x80000024,
				      0x8fffffff, 0xc0000000, 0xffffffff };
	struct vireo_vcpu *vcpu = test->priv;
	struct vireo_cpuid_entry got;
	const struct vireo_cpuid_entry *last;
	int i;

	/* Intel: the last basic leaf. */
	KUNIT_ASSERT_EQ(test, vireo_cpuid_default(vcpu), 0);
	last = vireo_cpuid_find(vcpu, 0x16, 0);
	KUNIT_ASSERT_NOT_NULL(test, last);
	KUNIT_ASSERT_NE(test, last->eax, 0);
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		KUNIT_EXPECT_NULL(test, vireo_cpuid_find(vcpu, beyond[i], 0));
		got = ask(vcpu, beyond[i], 0);
		KUNIT_EXPECT_TRUE_MSG(test, !memcmp(&got.eax, &last->eax, 16), "leaf %#x",
				      beyond[i]);
	}
	/* Not in the range of hypervisors: a guest must not find another one there. */
	for (i = 0; i < ARRAY_SIZE(holes); i++) {
		got = ask(vcpu, holes[i], 0);
		KUNIT_EXPECT_EQ_MSG(test, got.eax | got.ebx | got.ecx | got.edx, 0, "leaf %#x",
				    holes[i]);
	}

	/* AMD: nothing. */
	host_vendor(test, VIREO_VENDOR_AMD);
	KUNIT_ASSERT_EQ(test, vireo_cpuid_default(vcpu), 0);
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		got = ask(vcpu, beyond[i], 0);
		KUNIT_EXPECT_EQ_MSG(test, got.eax | got.ebx | got.ecx | got.edx, 0, "leaf %#x",
				    beyond[i]);
	}
	for (i = 0; i < ARRAY_SIZE(holes); i++) {
		got = ask(vcpu, holes[i], 0);
		KUNIT_EXPECT_EQ_MSG(test, got.eax | got.ebx | got.ecx | got.edx, 0, "leaf %#x",
				    holes[i]);
	}
}

/* ------------------------------------------------------------------ */

/* Two vCPUs have tables of their own, with their own numbers. */
static void cpuid_id_test(struct kunit *test)
{
	static const u32 ids[] = { 0, 1, 2, 63, 200, 255 };
	struct vireo_vcpu *vcpu = test->priv;
	struct vireo_vcpu *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	u32 sub;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, other);
	KUNIT_ASSERT_EQ(test, vireo_cpuid_default(vcpu), 0);
	KUNIT_ASSERT_EQ(test, vireo_cpuid_default(other), 0);
	other->id = 77;
	vireo_cpuid_update(other);
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		vcpu->id = ids[i];
		vireo_cpuid_update(vcpu);
		KUNIT_EXPECT_EQ(test, ask(vcpu, 1, 0).ebx, ids[i] << 24 | 0xff00);
		for (sub = 0; sub < 2; sub++) {
			KUNIT_EXPECT_EQ(test, ask(vcpu, 0xb, sub).edx, ids[i]);
			KUNIT_EXPECT_EQ(test, ask(vcpu, 0xb, sub).ecx, sub);
		}
		KUNIT_EXPECT_EQ(test, ask(other, 1, 0).ebx >> 24, 77);
		KUNIT_EXPECT_EQ(test, ask(other, 0xb, 1).edx, 77);
	}
	/* The table that new vCPUs start from is nobody's. */
	KUNIT_EXPECT_EQ(test, offered(1, 0, EBX), 0xff00);
	KUNIT_EXPECT_EQ(test, offered(0xb, 0, EDX), 0);
	kvfree(other->cpuid);
}

static void cpuid_dynamic_test(struct kunit *test)
{
	static const struct {
		u64 xcr0;
		u32 size;
	} rows[] = {
		{ 1, 576 }, { 3, 576 }, { 7, 832 }, { 0xe7, 2688 }, { 0x27, 1152 }, { 3, 576 },
		/* Not among what guests have: of no size. */
		{ 3 | BIT_ULL(9) | BIT_ULL(62), 576 },
	};
	struct vireo_vcpu *vcpu = test->priv;
	struct vireo_cpuid_entry *e;
	int i;

	KUNIT_ASSERT_EQ(test, vireo_cpuid_default(vcpu), 0);
	/* All other bits of CR4 are none of its business. */
	test_cr4 = ~(u64)BIT(18);
	vireo_cpuid_update(vcpu);
	KUNIT_EXPECT_FALSE(test, ask(vcpu, 1, 0).ecx & BIT(27));
	test_cr4 = BIT(18);
	vireo_cpuid_update(vcpu);
	KUNIT_EXPECT_TRUE(test, ask(vcpu, 1, 0).ecx & BIT(27));
	/* Nothing else has changed. */
	KUNIT_EXPECT_EQ(test, ask(vcpu, 1, 0).ecx & ~BIT(27), offered(1, 0, ECX));

	vcpu->apic_base = ~(u64)MSR_IA32_APICBASE_ENABLE;
	vireo_cpuid_update(vcpu);
	KUNIT_EXPECT_EQ(test, ask(vcpu, 1, 0).edx, offered(1, 0, EDX) & ~BIT(9));
	vcpu->apic_base = MSR_IA32_APICBASE_ENABLE;
	vireo_cpuid_update(vcpu);
	KUNIT_EXPECT_EQ(test, ask(vcpu, 1, 0).edx, offered(1, 0, EDX));

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		vcpu->xcr0 = rows[i].xcr0;
		vireo_cpuid_update(vcpu);
		KUNIT_EXPECT_EQ_MSG(test, ask(vcpu, 0xd, 0).ebx, rows[i].size, "row %d", i);
		/* The size for all that could be on, and what that is, stay. */
		KUNIT_EXPECT_EQ(test, ask(vcpu, 0xd, 0).ecx, 2688);
		KUNIT_EXPECT_EQ(test, ask(vcpu, 0xd, 0).eax, XCR0_AVX512);
	}
	KUNIT_EXPECT_EQ(test, ask(vcpu, 0xd, 2).eax, 256);
	KUNIT_EXPECT_EQ(test, ask(vcpu, 0xd, 2).ebx, 576);

	/* Without XSAVE there is no OSXSAVE, whatever CR4 says. */
	e = vireo_own(vcpu, 1, 0);
	KUNIT_ASSERT_NOT_NULL(test, e);
	e->ecx &= ~(u32)BIT(26);
	vireo_cpuid_update(vcpu);
	KUNIT_EXPECT_FALSE(test, ask(vcpu, 1, 0).ecx & BIT(27));
}

/* ------------------------------------------------------------------ */
/* What a launcher sets                                                 */

struct user_table {
	struct vireo_cpuid __user *arg;
	struct vireo_cpuid_entry __user *entries;
	struct vireo_cpuid head;
	struct vireo_cpuid_entry table[VIREO_MAX_CPUID + 1];
};

static struct user_table *user_create(struct kunit *test)
{
	struct user_table *u = kunit_kzalloc(test, sizeof(*u), GFP_KERNEL);
	unsigned long address = kunit_vm_mmap(test, NULL, 0, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE,
					      MAP_ANONYMOUS | MAP_PRIVATE, 0);

	KUNIT_ASSERT_NOT_NULL(test, u);
	KUNIT_ASSERT_FALSE(test, !address || IS_ERR_VALUE(address));
	u->arg = (void __user *)address;
	u->entries = (void __user *)address + PAGE_SIZE;
	return u;
}

/* To start from: everything. */
static void user_fill(struct user_table *u)
{
	memset(u->table, 0, sizeof(u->table));
	memcpy(u->table, vireo_supported, vireo_supported_nr * sizeof(u->table[0]));
	u->head = (struct vireo_cpuid) { .size = sizeof(u->head), .count = vireo_supported_nr,
					 .entries = (unsigned long)u->entries };
}

static int user_set(struct kunit *test, struct vireo_vcpu *vcpu, struct user_table *u)
{
	KUNIT_ASSERT_EQ(test, copy_to_user(u->arg, &u->head, sizeof(u->head)), 0);
	KUNIT_ASSERT_EQ(test, copy_to_user(u->entries, u->table, sizeof(u->table)), 0);
	return vireo_cpuid_set(vcpu, u->arg);
}

static struct vireo_cpuid_entry *user_entry(struct kunit *test, struct user_table *u, u32 leaf,
					    u32 subleaf)
{
	struct vireo_cpuid_entry *e = entry_of(u->table, u->head.count, leaf, subleaf);

	KUNIT_ASSERT_NOT_NULL(test, e);
	return e;
}

/* Every bit of every feature word, added to a table or taken away. */
static void cpuid_set_bits_test(struct kunit *test)
{
	struct vireo_vcpu *vcpu = test->priv;
	struct user_table *u = user_create(test);
	int w, bit;

	/* A processor with about half of the bits, under a kernel that uses them. */
	host.random = true;
	host.fill = 0x12345678;
	host.max_basic = 0x16;
	test_caps.xcr0 = XCR0_AVX;
	host_setup(test);
	for (w = 0; w < ARRAY_SIZE(words); w++) {
		for (bit = 0; bit < 32; bit++) {
			struct vireo_cpuid_entry *e;
			bool had;
			int r;

			user_fill(u);
			e = user_entry(test, u, words[w].leaf, words[w].subleaf);
			had = (&e->eax)[words[w].reg] & BIT(bit);
			(&e->eax)[words[w].reg] ^= BIT(bit);
			r = user_set(test, vcpu, u);
			/* The module keeps this one itself. */
			if (words[w].leaf == 1 && words[w].reg == ECX && bit == 27)
				had = true;
			KUNIT_EXPECT_EQ_MSG(test, r, had ? 0 : -EINVAL,
					    "leaf %#x register %d bit %d", words[w].leaf,
					    words[w].reg, bit);
			if (!r)
				KUNIT_EXPECT_FALSE(test, ask(vcpu, 1, 0).ecx & BIT(27));
		}
	}
}

static void cpuid_set_refuse_test(struct kunit *test)
{
	struct vireo_vcpu *vcpu = test->priv;
	struct user_table *u = user_create(test);
	struct vireo_cpuid_entry *before;
	int i;

	KUNIT_ASSERT_EQ(test, vireo_cpuid_default(vcpu), 0);
	before = vcpu->cpuid;
	for (i = 0; i < 18; i++) {
		int want = -EINVAL;

		user_fill(u);
		switch (i) {
		case 0:
			u->head.count = 0;
			break;
		case 1:
			u->head.count = VIREO_MAX_CPUID + 1;
			break;
		case 2:
			u->head.count = U32_MAX;
			break;
		case 3:
			u->head.size = sizeof(u->head) - 1;
			break;
		case 4:
			u->head.entries = 0;
			want = -EFAULT;
			break;
		case 5:
			u->head.entries = PAGE_OFFSET;
			want = -EFAULT;
			break;
		case 6:
			/* No leaf 0 */
			u->table[0].leaf = 0x1000;
			break;
		case 7:
			/* One leaf twice, far from each other */
			u->table[u->head.count++] = u->table[0];
			break;
		case 8:
			u->table[1].pad = 1;
			break;
		case 9:
			u->table[1].flags = 2;
			break;
		case 10:
			user_entry(test, u, 0x80000008, 0)->eax = 47;
			break;
		case 11:
			user_entry(test, u, 0x80000008, 0)->eax = 31;
			break;
		case 12:
			/* XSAVE state of another size, at another place, that is not there */
			user_entry(test, u, 0xd, 2)->eax++;
			break;
		case 13:
			user_entry(test, u, 0xd, 2)->ebx = 0;
			break;
		case 14:
			u->table[u->head.count] = *user_entry(test, u, 0xd, 2);
			u->table[u->head.count++].subleaf = 9;
			break;
		case 15:
			user_entry(test, u, 0xd, 0)->edx = BIT(30);
			break;
		case 16:
			/* Features in a subleaf that there is none of */
			u->table[u->head.count] = (struct vireo_cpuid_entry) {
				.leaf = 7, .subleaf = 1, .flags = 1, .eax = BIT(4),
			};
			u->head.count++;
			break;
		case 17:
			user_entry(test, u, 0x40000001, 0)->eax |= BIT(4);
			break;
		}
		KUNIT_EXPECT_EQ_MSG(test, user_set(test, vcpu, u), want, "case %d", i);
		KUNIT_EXPECT_PTR_EQ_MSG(test, vcpu->cpuid, before, "case %d", i);
	}
	vcpu->has_run = true;
	user_fill(u);
	KUNIT_EXPECT_EQ(test, user_set(test, vcpu, u), -EBUSY);
	KUNIT_EXPECT_PTR_EQ(test, vcpu->cpuid, before);
	KUNIT_EXPECT_EQ(test, vireo_cpuid_set(vcpu, NULL), -EFAULT);
}

/* Any order will do, and the copy is the launcher's no more. */
static void cpuid_set_test(struct kunit *test)
{
	struct vireo_vcpu *vcpu = test->priv;
	struct user_table *u = user_create(test);
	u32 i, nr;

	user_fill(u);
	nr = u->head.count;
	for (i = 0; i < nr / 2; i++)
		swap(u->table[i], u->table[nr - 1 - i]);
	vcpu->id = 3;
	KUNIT_ASSERT_EQ(test, user_set(test, vcpu, u), 0);
	KUNIT_EXPECT_EQ(test, vcpu->cpuid_nr, nr);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, vcpu->cpuid[i].leaf, vireo_supported[i].leaf);
	/* The APIC id is known at once. */
	KUNIT_EXPECT_EQ(test, ask(vcpu, 1, 0).ebx >> 24, 3);
	KUNIT_EXPECT_EQ(test, ask(vcpu, 0xb, 0).edx, 3);

	/* The smallest: no features, no leaves but the first; the topology that it says. */
	user_fill(u);
	u->head.count = 2;
	u->table[0].eax = 1;
	u->table[1] = (struct vireo_cpuid_entry) { .leaf = 1, .ebx = 0x00050800 };
	KUNIT_ASSERT_EQ(test, user_set(test, vcpu, u), 0);
	KUNIT_EXPECT_EQ(test, ask(vcpu, 1, 0).ebx, 0x03050800);
	KUNIT_EXPECT_EQ(test, ask(vcpu, 1, 0).ecx, 0);
	/* There is always a local APIC; its bit is what APIC_BASE says. */
	KUNIT_EXPECT_EQ(test, ask(vcpu, 1, 0).edx, BIT(9));
	/* Beyond: the last leaf, which is another one now. */
	KUNIT_EXPECT_EQ(test, ask(vcpu, 7, 0).ebx, 0x03050800);
	KUNIT_EXPECT_NULL(test, vireo_cpuid_find(vcpu, 0x80000001, 0));

	/* Topology and names may be anything. */
	user_fill(u);
	user_entry(test, u, 0xb, 0)->ebx = 8;
	user_entry(test, u, 4, 0)->eax |= 7 << 14;
	user_entry(test, u, 0, 0)->ebx = 0x61626364;
	user_entry(test, u, 0x80000008, 0)->eax = 40;
	KUNIT_ASSERT_EQ(test, user_set(test, vcpu, u), 0);
	KUNIT_EXPECT_EQ(test, ask(vcpu, 0xb, 0).ebx, 8);
	KUNIT_EXPECT_EQ(test, ask(vcpu, 4, 0).eax >> 14, 7);
	KUNIT_EXPECT_EQ(test, ask(vcpu, 0, 0).ebx, 0x61626364);
	KUNIT_EXPECT_EQ(test, vcpu->caps.phys_bits, 40);
	KUNIT_EXPECT_EQ(test, vcpu->caps.phys_mask, 0xffffffffffULL);
}

/* What follows from the table for registers. */
static void cpuid_caps_test(struct kunit *test)
{
	static const struct {
		u32 leaf;
		u8 reg, bit;
		u32 cr4, efer;
	} rows[] = {
		{ 1, ECX, 17, BIT(17), 0 },		/* PCID */
		{ 1, ECX, 26, BIT(18), 0 },		/* XSAVE */
		{ 7, EBX, 0, BIT(16), 0 },		/* FSGSBASE */
		{ 7, EBX, 7, BIT(20), 0 },		/* SMEP */
		{ 7, EBX, 20, BIT(21), 0 },		/* SMAP */
		{ 7, ECX, 2, BIT(11), 0 },		/* UMIP */
		{ 0x80000001, EDX, 11, 0, BIT(0) },	/* SYSCALL */
		{ 0x80000001, EDX, 20, 0, BIT(11) },	/* NX */
		{ 0x80000001, EDX, 29, 0, BIT(8) },	/* long mode */
	};
	const u64 cr4 = 0x7ff | BIT(11) | BIT(16) | BIT(17) | BIT(18) | BIT(20) | BIT(21);
	const u64 efer = BIT(0) | BIT(8) | BIT(11);
	struct vireo_vcpu *vcpu = test->priv;
	struct user_table *u = user_create(test);
	int i;

	KUNIT_ASSERT_EQ(test, vireo_cpuid_default(vcpu), 0);
	/* No VMXE, SMXE, LA57, PKE, CET; no SVME, FFXSR, LMSLE. */
	KUNIT_EXPECT_EQ(test, vcpu->caps.cr4_reserved, ~cr4);
	KUNIT_EXPECT_EQ(test, vcpu->caps.efer_allowed, efer);
	KUNIT_EXPECT_EQ(test, vcpu->caps.xcr0_allowed, XCR0_AVX512);
	KUNIT_EXPECT_EQ(test, vcpu->caps.phys_bits, 46);
	KUNIT_EXPECT_TRUE(test, vcpu->caps.x2apic && vcpu->caps.tsc_deadline && vcpu->caps.gbpages &&
			  vcpu->caps.nx && vcpu->caps.pcid && vcpu->caps.rdtscp &&
			  vcpu->caps.syscall && vcpu->caps.long_mode);

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		user_fill(u);
		(&user_entry(test, u, rows[i].leaf, 0)->eax)[rows[i].reg] &= ~BIT(rows[i].bit);
		KUNIT_ASSERT_EQ(test, user_set(test, vcpu, u), 0);
		KUNIT_EXPECT_EQ_MSG(test, vcpu->caps.cr4_reserved, ~(cr4 & ~(u64)rows[i].cr4),
				    "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, vcpu->caps.efer_allowed, efer & ~(u64)rows[i].efer,
				    "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, vcpu->caps.xcr0_allowed,
				    rows[i].cr4 == BIT(18) ? 0 : XCR0_AVX512, "row %d", i);
	}

	/* RDTSCP or RDPID: both read the same register. */
	user_fill(u);
	user_entry(test, u, 7, 0)->ecx &= ~(u32)BIT(22);
	KUNIT_ASSERT_EQ(test, user_set(test, vcpu, u), 0);
	KUNIT_EXPECT_TRUE(test, vcpu->caps.rdtscp);
	user_entry(test, u, 0x80000001, 0)->edx &= ~(u32)BIT(27);
	KUNIT_ASSERT_EQ(test, user_set(test, vcpu, u), 0);
	KUNIT_EXPECT_FALSE(test, vcpu->caps.rdtscp);

	/* XCR0 is what the launcher left of it. */
	user_fill(u);
	user_entry(test, u, 0xd, 0)->eax = XCR0_AVX;
	KUNIT_ASSERT_EQ(test, user_set(test, vcpu, u), 0);
	KUNIT_EXPECT_EQ(test, vcpu->caps.xcr0_allowed, XCR0_AVX);

	/* Nothing known of addresses: 36 bits, as before there was such a leaf. */
	user_fill(u);
	u->head.count = 2;
	KUNIT_ASSERT_EQ(test, user_set(test, vcpu, u), 0);
	KUNIT_EXPECT_EQ(test, vcpu->caps.phys_bits, 36);
	KUNIT_EXPECT_EQ(test, vcpu->caps.xcr0_allowed, 0);
	KUNIT_EXPECT_EQ(test, vcpu->caps.efer_allowed, 0);
}

/* Back to the launcher: whole, or how much room it takes. */
static void cpuid_get_test(struct kunit *test)
{
	struct vireo_vcpu *vcpu = test->priv;
	struct user_table *u = user_create(test);
	u32 i, nr = vireo_supported_nr;

	KUNIT_ASSERT_EQ(test, vireo_cpuid_default(vcpu), 0);
	vcpu->id = 9;
	vireo_cpuid_update(vcpu);
	for (i = 0; i < 2; i++) {
		u32 room[] = { VIREO_MAX_CPUID, nr, nr - 1, 0 };
		int k;

		for (k = 0; k < ARRAY_SIZE(room); k++) {
			u->head = (struct vireo_cpuid) { .size = sizeof(u->head), .count = room[k],
							 .entries = (unsigned long)u->entries };
			KUNIT_ASSERT_EQ(test, copy_to_user(u->arg, &u->head, sizeof(u->head)), 0);
			KUNIT_ASSERT_EQ(test, clear_user(u->entries, sizeof(u->table)), 0);
			KUNIT_EXPECT_EQ(test, i ? vireo_cpuid_get(vcpu, u->arg) :
					vireo_cpuid_get_supported(u->arg),
					room[k] < nr ? -ENOSPC : 0);
			KUNIT_ASSERT_EQ(test, copy_from_user(&u->head, u->arg, sizeof(u->head)), 0);
			KUNIT_ASSERT_EQ(test, copy_from_user(u->table, u->entries,
							     sizeof(u->table)), 0);
			KUNIT_EXPECT_EQ(test, u->head.count, nr);
			KUNIT_EXPECT_EQ(test, u->head.size, sizeof(u->head));
			if (room[k] >= nr)
				KUNIT_EXPECT_MEMEQ(test, u->table, i ? vcpu->cpuid : vireo_supported,
						   nr * sizeof(u->table[0]));
			else
				KUNIT_EXPECT_EQ(test, u->table[0].eax, 0);
			/* Not one beyond. */
			KUNIT_EXPECT_EQ(test, u->table[nr].leaf | u->table[nr].eax, 0);
		}
	}
}

static struct kunit_case cpuid_cases[] = {
	KUNIT_CASE(cpuid_never_test),
	KUNIT_CASE(cpuid_useful_test),
	KUNIT_CASE(cpuid_subset_test),
	KUNIT_CASE(cpuid_real_test),
	KUNIT_CASE(cpuid_lookup_test),
	KUNIT_CASE(cpuid_beyond_test),
	KUNIT_CASE(cpuid_id_test),
	KUNIT_CASE(cpuid_dynamic_test),
	KUNIT_CASE(cpuid_set_bits_test),
	KUNIT_CASE(cpuid_set_refuse_test),
	KUNIT_CASE(cpuid_set_test),
	KUNIT_CASE(cpuid_caps_test),
	KUNIT_CASE(cpuid_get_test),
	{}
};

extern struct kunit_suite vireo_cpuid_suite;
struct kunit_suite vireo_cpuid_suite = {
	.name = "vireo-cpuid",
	.init = cpuid_test_init,
	.exit = cpuid_test_exit,
	.test_cases = cpuid_cases,
};

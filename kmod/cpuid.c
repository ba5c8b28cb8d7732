// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID: what the guest sees is what it can use.
 *
 * The supported table is made once, from the processor's own answers and the masks below; a launcher may
 * take features away and set topology, not add.  Each vCPU has a sorted copy with an
 * index by leaf, because some guests ask often and every exit counts.  Bits that
 * mirror the vCPU's state are written into the table when that state changes.
 */
#include <linux/slab.h>
#include <linux/sort.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <uapi/asm/kvm_para.h>

#include "core.h"
#include "paravirt.h"
#include "pvclock.h"

/* Feature words that are filtered.  Everything not named is hidden. */
#define F(x) BIT((X86_FEATURE_##x) & 31)

static const u32 vireo_1_ecx = F(XMM3) | F(PCLMULQDQ) | F(SSSE3) | F(FMA) | F(CX16) | F(PCID) |
	F(XMM4_1) | F(XMM4_2) | F(X2APIC) | F(MOVBE) | F(POPCNT) | F(TSC_DEADLINE_TIMER) |
	F(AES) | F(XSAVE) | F(AVX) | F(F16C) | F(RDRAND) | F(HYPERVISOR);
static const u32 vireo_1_edx = F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) |
	F(MCE) | F(CX8) | F(APIC) | F(SEP) | F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT) |
	F(PSE36) | F(CLFLUSH) | F(MMX) | F(FXSR) | F(XMM) | F(XMM2) | F(HT);
static const u32 vireo_7_ebx = F(FSGSBASE) | F(TSC_ADJUST) | F(BMI1) | F(AVX2) | F(SMEP) |
	F(BMI2) | F(ERMS) | F(INVPCID) | F(AVX512F) | F(AVX512DQ) | F(RDSEED) | F(ADX) |
	F(SMAP) | F(AVX512IFMA) | F(CLFLUSHOPT) | F(CLWB) | F(AVX512CD) | F(SHA_NI) |
	F(AVX512BW) | F(AVX512VL);
static const u32 vireo_7_ecx = F(AVX512VBMI) | F(UMIP) | F(AVX512_VBMI2) | F(GFNI) | F(VAES) |
	F(VPCLMULQDQ) | F(AVX512_VNNI) | F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ) | F(RDPID);
static const u32 vireo_7_ebx_avx512 = F(AVX512F) | F(AVX512DQ) | F(AVX512IFMA) | F(AVX512CD) |
	F(AVX512BW) | F(AVX512VL);
static const u32 vireo_7_ecx_avx512 = F(AVX512VBMI) | F(AVX512_VBMI2) | F(AVX512_VNNI) |
	F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ);
static const u32 vireo_7_edx = F(FSRM) | F(MD_CLEAR) | F(SERIALIZE);
static const u32 vireo_d1_eax = F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1);
static const u32 vireo_e1_ecx = F(LAHF_LM) | F(ABM) | F(SSE4A) | F(MISALIGNSSE) |
	F(3DNOWPREFETCH) | F(XOP) | F(FMA4) | F(TBM) | F(CR8_LEGACY);
static const u32 vireo_e1_edx = F(SYSCALL) | F(NX) | F(MMXEXT) | F(FXSR_OPT) | F(GBPAGES) |
	F(RDTSCP) | F(LM) | F(3DNOWEXT) | F(3DNOW);
static const u32 vireo_e1_edx_shared = F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) |
	F(PAE) | F(MCE) | F(CX8) | F(APIC) | F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT) |
	F(PSE36) | F(MMX) | F(FXSR);
static const u32 vireo_e8_ebx = F(CLZERO);
#undef F

static struct vireo_cpuid_entry *vireo_supported;
static u32 vireo_supported_nr;

static int vireo_cmp(const void *a, const void *b)
{
	const struct vireo_cpuid_entry *x = a, *y = b;

	if (x->leaf != y->leaf)
		return x->leaf < y->leaf ? -1 : 1;
	if (x->subleaf != y->subleaf)
		return x->subleaf < y->subleaf ? -1 : 1;
	return 0;
}

static struct vireo_cpuid_entry *vireo_add(u32 leaf, u32 subleaf, u32 flags)
{
	struct vireo_cpuid_entry *e;

	if (WARN_ON_ONCE(vireo_supported_nr == VIREO_MAX_CPUID))
		return &vireo_supported[VIREO_MAX_CPUID - 1];
	e = &vireo_supported[vireo_supported_nr++];
	e->leaf = leaf;
	e->subleaf = subleaf;
	e->flags = flags;
	cpuid_count(leaf, subleaf, &e->eax, &e->ebx, &e->ecx, &e->edx);
	return e;
}

/*
 * Features that the host's kernel does not use, it has reasons for: an erratum, or the command line.  So guests
 * do not get them either.
 */
static u32 vireo_host_word(enum cpuid_leafs word)
{
	return boot_cpu_data.x86_capability[word];
}

static void vireo_zero(struct vireo_cpuid_entry *e)
{
	e->eax = 0;
	e->ebx = 0;
	e->ecx = 0;
	e->edx = 0;
}

static void vireo_support_leaf7(void)
{
	struct vireo_cpuid_entry *e = vireo_add(7, 0, VIREO_CPUID_SUBLEAF);

	e->eax = 0;
	e->ebx &= vireo_7_ebx & vireo_host_word(CPUID_7_0_EBX);
	/* TSC_ADJUST is kept in software, whatever the processor has. */
	e->ebx |= BIT(X86_FEATURE_TSC_ADJUST & 31);
	if (!vireo_caps.has_invpcid)
		e->ebx &= ~(u32)BIT(X86_FEATURE_INVPCID & 31);
	e->ecx &= vireo_7_ecx & vireo_host_word(CPUID_7_ECX);
	if (!(vireo_caps.xcr0 & XFEATURE_MASK_Hi16_ZMM)) {
		e->ebx &= ~vireo_7_ebx_avx512;
		e->ecx &= ~vireo_7_ecx_avx512;
	}
	if (!vireo_caps.has_rdtscp)
		e->ecx &= ~(u32)BIT(X86_FEATURE_RDPID & 31);
	e->edx &= vireo_7_edx & vireo_host_word(CPUID_7_EDX);
	/* Linux 6.1 takes fast short REP MOVS for granted only where it also has ERMS. */
	if (!(e->ebx & BIT(X86_FEATURE_ERMS & 31)))
		e->edx &= ~(u32)BIT(X86_FEATURE_FSRM & 31);
}

/* Sizes and offsets of the standard format are the processor's (SDM vol. 1, 13.4). */
static void vireo_support_xsave(void)
{
	struct vireo_cpuid_entry *e = vireo_add(0xd, 0, VIREO_CPUID_SUBLEAF);
	u32 size = 576;
	int i;

	e->eax = vireo_caps.xcr0;
	e->edx = vireo_caps.xcr0 >> 32;
	for (i = 2; i < 63; i++) {
		u32 eax, ebx, ecx, edx;

		if (!(vireo_caps.xcr0 & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx);
		size = max(size, eax + ebx);
	}
	e->ecx = size;
	e->ebx = size;

	e = vireo_add(0xd, 1, VIREO_CPUID_SUBLEAF);
	e->eax &= vireo_d1_eax & vireo_host_word(CPUID_D_1_EAX);
	e->ebx = 0;
	e->ecx = 0;
	e->edx = 0;
	for (i = 2; i < 63; i++) {
		if (!(vireo_caps.xcr0 & BIT_ULL(i)))
			continue;
		e = vireo_add(0xd, i, VIREO_CPUID_SUBLEAF);
		e->edx = 0;
	}
}

static void vireo_support_hypervisor(void)
{
	struct vireo_cpuid_entry *e;

	/* The documented KVM ABI: unmodified guests use it at once. */
	e = vireo_add(KVM_CPUID_SIGNATURE, 0, 0);
	vireo_zero(e);
	e->eax = KVM_CPUID_FEATURES;
	memcpy(&e->ebx, "KVMK", 4);
	memcpy(&e->ecx, "VMKV", 4);
	memcpy(&e->edx, "M\0\0\0", 4);
	e = vireo_add(KVM_CPUID_FEATURES, 0, 0);
	vireo_zero(e);
	e->eax = VIREO_PVCLOCK_FEATURES | VIREO_PARAVIRT_FEATURES;
}

static void vireo_support_extended(void)
{
	u32 max = cpuid_eax(0x80000000);
	struct vireo_cpuid_entry *e;
	u32 leaf;

	max = clamp_t(u32, max, 0x80000000, 0x80000008);
	e = vireo_add(0x80000000, 0, 0);
	e->eax = max;
	for (leaf = 0x80000001; leaf <= max; leaf++) {
		e = vireo_add(leaf, 0, 0);
		switch (leaf) {
		case 0x80000001:
			e->ecx &= vireo_e1_ecx & vireo_host_word(CPUID_8000_0001_ECX);
			e->edx &= (vireo_e1_edx & vireo_host_word(CPUID_8000_0001_EDX)) | (vireo_caps.vendor == VIREO_VENDOR_AMD ?
						  vireo_e1_edx_shared : 0);
			if (!vireo_caps.has_rdtscp)
				e->edx &= ~(u32)BIT(X86_FEATURE_RDTSCP & 31);
			break;
		case 0x80000007:
			/* Invariant TSC: pages and counters of the guest follow the host's. */
			vireo_zero(e);
			if (boot_cpu_has(X86_FEATURE_CONSTANT_TSC) &&
			    boot_cpu_has(X86_FEATURE_NONSTOP_TSC))
				e->edx = BIT(8);
			break;
		case 0x80000008:
			/* Guest-physical bits: what the nested tables reach. */
			e->eax = (e->eax & 0xff00) | vireo_caps.phys_bits;
			e->ebx &= vireo_e8_ebx & vireo_host_word(CPUID_8000_0008_EBX);
			e->ecx = 0;
			e->edx = 0;
			break;
		}
	}
}

int vireo_cpuid_setup(void)
{
	u32 max = min_t(u32, cpuid_eax(0), 0x16);
	struct vireo_cpuid_entry *e;
	u32 leaf, i;

	vireo_supported = kcalloc(VIREO_MAX_CPUID, sizeof(*vireo_supported), GFP_KERNEL);
	if (!vireo_supported)
		return -ENOMEM;

	max = max_t(u32, max, boot_cpu_has(X86_FEATURE_XSAVE) ? 0xd : 7);
	for (leaf = 0; leaf <= max; leaf++) {
		switch (leaf) {
		case 0:
			e = vireo_add(leaf, 0, 0);
			e->eax = max;
			break;
		case 1:
			e = vireo_add(leaf, 0, 0);
			e->ebx &= 0x0000ff00;	/* CLFLUSH size; topology is the launcher's */
			e->ecx &= vireo_1_ecx & vireo_host_word(CPUID_1_ECX);
			/* Kept in software. */
			e->ecx |= BIT(X86_FEATURE_X2APIC & 31) |
				  BIT(X86_FEATURE_TSC_DEADLINE_TIMER & 31) |
				  BIT(X86_FEATURE_HYPERVISOR & 31);
			if (!vireo_caps.xcr0)
				e->ecx &= ~(u32)(BIT(X86_FEATURE_XSAVE & 31) |
						 BIT(X86_FEATURE_AVX & 31));
			e->edx &= vireo_1_edx & vireo_host_word(CPUID_1_EDX);
			/* Says that EBX counts processors: the launcher's, however many the host has. */
			e->edx |= BIT(X86_FEATURE_HT & 31);
			break;
		case 4:
			for (i = 0; i < 8; i++) {
				e = vireo_add(leaf, i, VIREO_CPUID_SUBLEAF);
				if (!(e->eax & 0x1f)) {
					vireo_zero(e);
					break;
				}
				e->eax &= 0x3ff;	/* sharing is the launcher's */
			}
			break;
		case 6:
			e = vireo_add(leaf, 0, 0);
			vireo_zero(e);
			e->eax = BIT(2);	/* ARAT: our timer never stops */
			break;
		case 7:
			vireo_support_leaf7();
			break;
		case 0xb:
			for (i = 0; i < 2; i++) {
				e = vireo_add(leaf, i, VIREO_CPUID_SUBLEAF);
				vireo_zero(e);
				e->ecx = i;
			}
			break;
		case 0xd:
			if (vireo_caps.xcr0)
				vireo_support_xsave();
			break;
		case 2:
		case 0x15:
		case 0x16:
			vireo_add(leaf, 0, 0);
			break;
		default:
			vireo_zero(vireo_add(leaf, 0, 0));
			break;
		}
	}
	vireo_support_hypervisor();
	vireo_support_extended();
	sort(vireo_supported, vireo_supported_nr, sizeof(*vireo_supported), vireo_cmp, NULL);
	return 0;
}

void vireo_cpuid_teardown(void)
{
	kfree(vireo_supported);
}

static int vireo_copy_table(struct vireo_cpuid __user *arg, const struct vireo_cpuid_entry *table,
			    u32 nr)
{
	struct vireo_cpuid head;
	u32 room;
	int r;

	r = vireo_copy_struct(&head, sizeof(head), arg, sizeof(head));
	if (r)
		return r;
	room = head.count;
	head.count = nr;
	if (room >= nr &&
	    copy_to_user(u64_to_user_ptr(head.entries), table, nr * sizeof(*table)))
		return -EFAULT;
	r = vireo_copy_back(arg, &head, sizeof(head), head.size);
	return r ?: room < nr ? -ENOSPC : 0;
}

int vireo_cpuid_get_supported(struct vireo_cpuid __user *arg)
{
	return vireo_copy_table(arg, vireo_supported, vireo_supported_nr);
}

int vireo_cpuid_get(struct vireo_vcpu *vcpu, struct vireo_cpuid __user *arg)
{
	return vireo_copy_table(arg, vcpu->cpuid, vcpu->cpuid_nr);
}

static const struct vireo_cpuid_entry *vireo_scan(const struct vireo_cpuid_entry *e,
						  const struct vireo_cpuid_entry *end,
						  u32 leaf, u32 subleaf)
{
	for (; e < end && e->leaf == leaf; e++) {
		if (!(e->flags & VIREO_CPUID_SUBLEAF) || e->subleaf == subleaf)
			return e;
	}
	return NULL;
}

const struct vireo_cpuid_entry *vireo_cpuid_find(struct vireo_vcpu *vcpu, u32 leaf, u32 subleaf)
{
	const struct vireo_cpuid_entry *first = vireo_cpuid_first(vcpu, leaf);
	const struct vireo_cpuid_entry *end = &vcpu->cpuid[vcpu->cpuid_nr];

	/* Seldom asked for, and so not in the index */
	if (!first) {
		for (first = vcpu->cpuid; first < end && first->leaf < leaf; first++)
			;
	}
	return vireo_scan(first, end, leaf, subleaf);
}

void vireo_cpuid(struct vireo_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	u32 leaf = *eax, subleaf = *ecx;
	const struct vireo_cpuid_entry *e = vireo_cpuid_find(vcpu, leaf, subleaf);

	if (unlikely(!e)) {
		/* Intel answers beyond the last basic leaf with that leaf (SDM vol. 2, CPUID). */
		if (vireo_caps.vendor == VIREO_VENDOR_INTEL && leaf > vcpu->cpuid[0].eax &&
		    (leaf < KVM_CPUID_SIGNATURE || leaf > KVM_CPUID_SIGNATURE + 0xff) &&
		    (leaf < 0x80000000 || leaf > 0x80000008))
			e = vireo_cpuid_find(vcpu, vcpu->cpuid[0].eax, subleaf);
		if (!e) {
			*eax = 0;
			*ebx = 0;
			/* A topology leaf echoes its level even where it ends. */
			*ecx = leaf == 0xb ? subleaf & 0xff : 0;
			*edx = 0;
			return;
		}
	}
	*eax = e->eax;
	*ebx = e->ebx;
	*ecx = e->ecx;
	*edx = e->edx;
}

static struct vireo_cpuid_entry *vireo_own(struct vireo_vcpu *vcpu, u32 leaf, u32 subleaf)
{
	return (struct vireo_cpuid_entry *)vireo_cpuid_find(vcpu, leaf, subleaf);
}

static void vireo_bit(u32 *word, u32 bit, bool on)
{
	*word = on ? *word | bit : *word & ~bit;
}

void vireo_cpuid_update(struct vireo_vcpu *vcpu)
{
	struct vireo_cpuid_entry *e = vireo_own(vcpu, 1, 0);
	u32 size = 576, i;

	if (e) {
		bool xsave = e->ecx & BIT(X86_FEATURE_XSAVE & 31);

		vireo_bit(&e->ecx, BIT(X86_FEATURE_OSXSAVE & 31),
			  xsave && (vireo_backend_get_cr(vcpu, 4) & X86_CR4_OSXSAVE));
		vireo_bit(&e->edx, BIT(X86_FEATURE_APIC & 31),
			  vcpu->apic_base & MSR_IA32_APICBASE_ENABLE);
		e->ebx = (e->ebx & 0x00ffffff) | vcpu->id << 24;
	}
	/* AMD repeats that bit: APM vol. 3, appendix E.4.2. */
	e = vireo_caps.vendor == VIREO_VENDOR_AMD ? vireo_own(vcpu, 0x80000001, 0) : NULL;
	if (e)
		vireo_bit(&e->edx, BIT(X86_FEATURE_APIC & 31),
			  vcpu->apic_base & MSR_IA32_APICBASE_ENABLE);
	for (i = 0; i < 2; i++) {
		e = vireo_own(vcpu, 0xb, i);
		if (e)
			e->edx = vcpu->id;
	}
	e = vireo_own(vcpu, 0xd, 0);
	if (!e)
		return;
	for (i = 2; i < 63; i++) {
		const struct vireo_cpuid_entry *part;

		if (!(vcpu->xcr0 & BIT_ULL(i)))
			continue;
		part = vireo_cpuid_find(vcpu, 0xd, i);
		if (part)
			size = max(size, part->eax + part->ebx);
	}
	e->ebx = size;
}

/* A feature word may lose bits against the supported one, not gain any. */
static bool vireo_subset(u32 word, u32 supported, u32 dynamic)
{
	return !(word & ~(supported | dynamic));
}

/*
 * Leaves that only describe: names, caches, topology, frequencies, and what a hypervisor calls
 * itself.  They are the launcher's.
 */
static bool vireo_descriptive(u32 leaf)
{
	switch (leaf) {
	case 0:
	case 2:
	case 4:
	case 0xb:
	case 0x15:
	case 0x16:
	case 0x1f:
	case 0x80000000:
	case 0x80000002 ... 0x80000006:
	case 0x8000001d:
	case 0x8000001e:
		return true;
	}
	return leaf - KVM_CPUID_SIGNATURE < 0x10000 && leaf != KVM_CPUID_FEATURES;
}

static int vireo_check_entry(const struct vireo_cpuid_entry *e)
{
	static const struct vireo_cpuid_entry none;
	const struct vireo_cpuid_entry *s, *leaf = NULL, *end;

	if (e->pad || (e->flags & ~VIREO_CPUID_SUBLEAF))
		return -EINVAL;
	if (vireo_descriptive(e->leaf))
		return 0;
	end = vireo_supported + vireo_supported_nr;
	for (s = vireo_supported; s < end; s++) {
		if (s->leaf != e->leaf)
			continue;
		leaf = s;
		if (!(s->flags & VIREO_CPUID_SUBLEAF) || s->subleaf == e->subleaf)
			break;
	}
	/* An entry for all subleaves would also answer for those that have other features. */
	if (leaf && e->flags != leaf->flags)
		return -EINVAL;
	if (s == end)
		s = &none;

	switch (e->leaf) {
	case 1:
		return vireo_subset(e->ecx, s->ecx, BIT(X86_FEATURE_OSXSAVE & 31)) &&
		       vireo_subset(e->edx, s->edx, 0) ? 0 : -EINVAL;
	case 0xd:
		/* EBX and ECX of the first are sizes. */
		if (!e->subleaf && s != &none)
			return vireo_subset(e->eax, s->eax, 0) && vireo_subset(e->edx, s->edx, 0) ?
				0 : -EINVAL;
		if (e->subleaf > 1)
			return e->eax == s->eax && e->ebx == s->ebx &&
			       vireo_subset(e->ecx, s->ecx, 0) && !e->edx ? 0 : -EINVAL;
		break;
	case 0x80000001:
		return vireo_subset(e->ecx, s->ecx, 0) && vireo_subset(e->edx, s->edx, 0) ?
			0 : -EINVAL;
	case 0x80000008:
		/* ECX counts processors. */
		return (e->eax & 0xff) <= vireo_caps.phys_bits && (e->eax & 0xff) >= 32 &&
		       vireo_subset(e->ebx, s->ebx, 0) && vireo_subset(e->edx, s->edx, 0) ?
			0 : -EINVAL;
	}
	return vireo_subset(e->eax, s->eax, 0) && vireo_subset(e->ebx, s->ebx, 0) &&
	       vireo_subset(e->ecx, s->ecx, 0) && vireo_subset(e->edx, s->edx, 0) ? 0 : -EINVAL;
}

/* Take a checked, sorted table: the index, and what follows from the features. */
static void vireo_cpuid_take(struct vireo_vcpu *vcpu, struct vireo_cpuid_entry *table, u32 nr)
{
	struct vireo_cpuid_index *index = &vcpu->cpuid_index;
	struct vireo_guest_caps *caps = &vcpu->caps;
	const struct vireo_cpuid_entry *l1, *l7, *ld, *e1, *e8;
	static const struct vireo_cpuid_entry none;
	u64 allowed;
	u32 i;

	kvfree(vcpu->cpuid);
	vcpu->cpuid = table;
	vcpu->cpuid_nr = nr;
	memset(index, 0, sizeof(*index));
	for (i = nr; i-- > 0;) {
		u32 leaf = table[i].leaf;

		if (leaf < ARRAY_SIZE(index->basic))
			index->basic[leaf] = &table[i];
		else if (leaf - 0x80000000 < ARRAY_SIZE(index->extended))
			index->extended[leaf - 0x80000000] = &table[i];
		else if (leaf - KVM_CPUID_SIGNATURE < ARRAY_SIZE(index->hyper))
			index->hyper[leaf - KVM_CPUID_SIGNATURE] = &table[i];
	}

	l1 = vireo_cpuid_find(vcpu, 1, 0) ?: &none;
	l7 = vireo_cpuid_find(vcpu, 7, 0) ?: &none;
	ld = vireo_cpuid_find(vcpu, 0xd, 0) ?: &none;
	e1 = vireo_cpuid_find(vcpu, 0x80000001, 0) ?: &none;
	e8 = vireo_cpuid_find(vcpu, 0x80000008, 0) ?: &none;

	caps->x2apic = l1->ecx & BIT(X86_FEATURE_X2APIC & 31);
	caps->tsc_deadline = l1->ecx & BIT(X86_FEATURE_TSC_DEADLINE_TIMER & 31);
	caps->pcid = l1->ecx & BIT(X86_FEATURE_PCID & 31);
	caps->gbpages = e1->edx & BIT(X86_FEATURE_GBPAGES & 31);
	caps->nx = e1->edx & BIT(X86_FEATURE_NX & 31);
	caps->rdtscp = (e1->edx & BIT(X86_FEATURE_RDTSCP & 31)) ||
		       (l7->ecx & BIT(X86_FEATURE_RDPID & 31));
	caps->syscall = e1->edx & BIT(X86_FEATURE_SYSCALL & 31);
	caps->long_mode = e1->edx & BIT(X86_FEATURE_LM & 31);
	caps->phys_bits = e8->eax ? e8->eax & 0xff : 36;
	caps->phys_mask = BIT_ULL(caps->phys_bits) - 1;

	caps->paravirt = (vireo_cpuid_find(vcpu, KVM_CPUID_FEATURES, 0) ?: &none)->eax;

	caps->efer_allowed = 0;
	if (caps->syscall)
		caps->efer_allowed |= EFER_SCE;
	if (caps->long_mode)
		caps->efer_allowed |= EFER_LME;
	if (caps->nx)
		caps->efer_allowed |= EFER_NX;

	allowed = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE |
		  X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |
		  X86_CR4_OSXMMEXCPT;
	if (caps->pcid)
		allowed |= X86_CR4_PCIDE;
	if (l1->ecx & BIT(X86_FEATURE_XSAVE & 31))
		allowed |= X86_CR4_OSXSAVE;
	if (l7->ebx & BIT(X86_FEATURE_FSGSBASE & 31))
		allowed |= X86_CR4_FSGSBASE;
	if (l7->ebx & BIT(X86_FEATURE_SMEP & 31))
		allowed |= X86_CR4_SMEP;
	if (l7->ebx & BIT(X86_FEATURE_SMAP & 31))
		allowed |= X86_CR4_SMAP;
	if (l7->ecx & BIT(X86_FEATURE_UMIP & 31))
		allowed |= X86_CR4_UMIP;
	caps->cr4_reserved = ~allowed;

	vcpu->emu.features &= ~(VIREO_EMU_F_SMAP | VIREO_EMU_F_LZCNT | VIREO_EMU_F_BMI1 |
				VIREO_EMU_F_BMI2);
	if (l7->ebx & BIT(X86_FEATURE_SMAP & 31))
		vcpu->emu.features |= VIREO_EMU_F_SMAP;
	if (l7->ebx & BIT(X86_FEATURE_BMI1 & 31))
		vcpu->emu.features |= VIREO_EMU_F_BMI1;
	if (l7->ebx & BIT(X86_FEATURE_BMI2 & 31))
		vcpu->emu.features |= VIREO_EMU_F_BMI2;
	if (e1->ecx & BIT(X86_FEATURE_ABM & 31))
		vcpu->emu.features |= VIREO_EMU_F_LZCNT;

	caps->xcr0_allowed = 0;
	if (l1->ecx & BIT(X86_FEATURE_XSAVE & 31))
		caps->xcr0_allowed = (ld->eax | (u64)ld->edx << 32) & vireo_caps.xcr0;
}

int vireo_cpuid_default(struct vireo_vcpu *vcpu)
{
	struct vireo_cpuid_entry *table;
	size_t size = vireo_supported_nr * sizeof(*table);

	table = kvmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!table)
		return -ENOMEM;
	memcpy(table, vireo_supported, size);
	vireo_cpuid_take(vcpu, table, vireo_supported_nr);
	return 0;
}

int vireo_cpuid_set(struct vireo_vcpu *vcpu, const struct vireo_cpuid __user *arg)
{
	struct vireo_cpuid_entry *table;
	struct vireo_cpuid head;
	u32 i;
	int r;

	r = vireo_copy_struct(&head, sizeof(head), arg, sizeof(head));
	if (r)
		return r;
	if (!head.count || head.count > VIREO_MAX_CPUID)
		return -EINVAL;
	if (vcpu->has_run)
		return -EBUSY;
	table = vmemdup_user(u64_to_user_ptr(head.entries), head.count * sizeof(*table));
	if (IS_ERR(table))
		return PTR_ERR(table);

	sort(table, head.count, sizeof(*table), vireo_cmp, NULL);
	r = -EINVAL;
	if (table[0].leaf)
		goto free;
	for (i = 0; i < head.count; i++) {
		if (vireo_check_entry(&table[i]))
			goto free;
		if (i && !vireo_cmp(&table[i - 1], &table[i]))
			goto free;
	}
	vireo_cpuid_take(vcpu, table, head.count);
	vireo_cpuid_update(vcpu);
	return 0;
free:
	kvfree(table);
	return r;
}

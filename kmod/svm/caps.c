// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the processor offers, and the table of operations.
 */
#include <asm/cpufeature.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/pgtable.h>
#include <asm/processor.h>

#include "svm.h"

struct svm_caps svm_caps __ro_after_init;

/* Extended features (APM vol. 3, E.4.2, E.4.7) */
#define CPUID_EXT_LEAF		0x80000001U
#define CPUID_EXT_ECX_SVM	BIT(2)
#define CPUID_EXT_EDX_PAGE1G	BIT(26)
#define CPUID_EXT_EDX_RDTSCP	BIT(27)
#define CPUID_SIZE_LEAF		0x80000008U
#define CPUID_SIZE_EBX_INVLPGB	BIT(3)
#define CPUID_SIZE_EBX_RDPRU	BIT(4)
#define CPUID_SIZE_EBX_MCOMMIT	BIT(8)

/* Components of XCR0 whose state the core can keep apart and that guests may use. */
#define SVM_XCR0 (XFEATURE_MASK_FP | XFEATURE_MASK_SSE | XFEATURE_MASK_YMM | \
		  XFEATURE_MASK_OPMASK | XFEATURE_MASK_ZMM_Hi256 | XFEATURE_MASK_Hi16_ZMM)

static bool svm_cpuid_has(u32 leaf)
{
	return cpuid_eax(leaf & 0x80000000U) >= leaf;
}

bool svm_check_cpu(void)
{
	u32 features;
	u64 vm_cr;

	if (!svm_cpuid_has(SVM_CPUID_LEAF) || !(cpuid_ecx(CPUID_EXT_LEAF) & CPUID_EXT_ECX_SVM))
		return false;
	if (!rdmsrl_safe(SVM_MSR_VM_CR, &vm_cr) && (vm_cr & SVM_VM_CR_SVMDIS))
		return false;
	features = cpuid_edx(SVM_CPUID_LEAF);
	return !(svm_caps.features & ~features) && cpuid_ebx(SVM_CPUID_LEAF) >= svm_caps.nr_asids;
}

static const struct {
	u32 svm;
	u64 vireo;
} svm_feature_map[] = {
	{ SVM_F_NESTED_PAGING, VIREO_FEATURE_NESTED_PAGING },
	{ SVM_F_NRIP_SAVE, VIREO_FEATURE_NRIP_SAVE },
	{ SVM_F_DECODE_ASSISTS, VIREO_FEATURE_DECODE_ASSISTS },
	{ SVM_F_PAUSE_FILTER | SVM_F_PAUSE_THRESHOLD, VIREO_FEATURE_PAUSE_FILTER },
};

/* In some processors, but not in use yet: only their absence is worth a word. */
static const struct {
	u32 svm;
	u64 vireo;
} svm_feature_unused[] = {
	{ SVM_F_TSC_RATIO, VIREO_FEATURE_TSC_SCALING },
	{ SVM_F_AVIC, VIREO_FEATURE_VIRTUAL_IRQ },
	{ SVM_F_VGIF, VIREO_FEATURE_VIRTUAL_GIF },
	{ SVM_F_VNMI, VIREO_FEATURE_VIRTUAL_NMI },
};

static void svm_fill_caps(struct vireo_caps *caps)
{
	u32 features = svm_caps.features;
	int i;

	caps->vendor = VIREO_VENDOR_AMD;
	caps->features = VIREO_FEATURE_UNRESTRICTED | VIREO_FEATURE_PAGES_2M |
			 VIREO_FEATURE_PAGE_AD | VIREO_FEATURE_X2APIC | VIREO_FEATURE_TAGGED_TLB;
	/* V_TPR is older than all features. */
	caps->features |= caps->apic_allowed & VIREO_FEATURE_TPR_SHADOW;
	caps->missing = 0;
	for (i = 0; i < ARRAY_SIZE(svm_feature_map); i++) {
		if ((features & svm_feature_map[i].svm) == svm_feature_map[i].svm)
			caps->features |= svm_feature_map[i].vireo;
		else
			caps->missing |= svm_feature_map[i].vireo;
	}
	for (i = 0; i < ARRAY_SIZE(svm_feature_unused); i++) {
		if (!(features & svm_feature_unused[i].svm))
			caps->missing |= svm_feature_unused[i].vireo;
	}

	caps->max_level = 2;
	if (cpuid_edx(CPUID_EXT_LEAF) & CPUID_EXT_EDX_PAGE1G) {
		caps->features |= VIREO_FEATURE_PAGES_1G;
		caps->max_level = 3;
	} else {
		caps->missing |= VIREO_FEATURE_PAGES_1G;
	}

	/* nCR3 is walked in the paging mode of the host at VMRUN (APM 15.25.3). */
	caps->root_levels = native_read_cr4() & X86_CR4_LA57 ? 5 : 4;
	caps->phys_bits = boot_cpu_data.x86_phys_bits;
	if (caps->root_levels == 4)
		caps->phys_bits = min_t(u8, caps->phys_bits, 48);
	caps->nested_ad = true;
	caps->exec_only = false;
	caps->vcpu_bytes = sizeof(struct svm_vcpu) + (1 + SVM_MSRPM_PAGES) * PAGE_SIZE;
	caps->has_rdtscp = svm_caps.rdtscp;
	/* Needs no consent of the VMCB's. */
	caps->has_invpcid = boot_cpu_has(X86_FEATURE_INVPCID);
	caps->xcr0 = boot_cpu_has(X86_FEATURE_OSXSAVE) ?
		xgetbv(XCR_XFEATURE_ENABLED_MASK) & SVM_XCR0 : 0;

	caps->mitigations = 0;
	if (boot_cpu_has(X86_FEATURE_RSB_VMEXIT))
		caps->mitigations |= VIREO_MITIGATION_RSB_FILL;
	if (boot_cpu_has(X86_FEATURE_USE_IBPB))
		caps->mitigations |= VIREO_MITIGATION_IBPB;
	if (boot_cpu_has(X86_FEATURE_CLEAR_CPU_BUF_VM))
		caps->mitigations |= VIREO_MITIGATION_CLEAR_BUFFERS;
}

int svm_probe(struct vireo_caps *caps, bool nested_paging)
{
	u64 vm_cr;
	u32 ebx;

	if (!svm_cpuid_has(SVM_CPUID_LEAF) || !(cpuid_ecx(CPUID_EXT_LEAF) & CPUID_EXT_ECX_SVM))
		return -EOPNOTSUPP;
	/* APM 15.4: firmware may lock SVM off.  Emulated processors may lack the MSR. */
	if (!rdmsrl_safe(SVM_MSR_VM_CR, &vm_cr) && (vm_cr & SVM_VM_CR_SVMDIS)) {
		pr_err("AMD SVM is switched off by the firmware (VM_CR.SVMDIS)\n");
		return -ENODEV;
	}

	svm_caps.features = cpuid_edx(SVM_CPUID_LEAF);
	svm_caps.nr_asids = cpuid_ebx(SVM_CPUID_LEAF);
	if (svm_caps.nr_asids < 2) {
		pr_err("this processor's SVM offers no address-space identifiers\n");
		return -ENODEV;
	}
	svm_caps.flush_asid = svm_caps.features & SVM_F_FLUSH_BY_ASID ?
		VMCB_TLB_FLUSH_ASID : VMCB_TLB_FLUSH_ALL;
	svm_caps.pause_filter = vireo_pause_exits == VIREO_PAUSE_LOOPS &&
				(svm_caps.features & SVM_F_PAUSE_FILTER) &&
				(svm_caps.features & SVM_F_PAUSE_THRESHOLD);
	svm_caps.rdtscp = cpuid_edx(CPUID_EXT_LEAF) & CPUID_EXT_EDX_RDTSCP;
	ebx = svm_cpuid_has(CPUID_SIZE_LEAF) ? cpuid_ebx(CPUID_SIZE_LEAF) : 0;
	svm_caps.rdpru = ebx & CPUID_SIZE_EBX_RDPRU;
	svm_caps.mcommit = ebx & CPUID_SIZE_EBX_MCOMMIT;
	svm_caps.invlpgb = ebx & CPUID_SIZE_EBX_INVLPGB;

	svm_fill_caps(caps);
	if (!svm_caps.pause_filter)
		caps->features &= ~VIREO_FEATURE_PAUSE_FILTER;
	caps->nested_paging = nested_paging && (svm_caps.features & SVM_F_NESTED_PAGING);
	if (!caps->nested_paging) {
		caps->features &= ~VIREO_FEATURE_NESTED_PAGING;
		caps->has_invpcid = false;
	}
	return 0;
}

const struct vireo_backend vireo_svm_backend = {
	.name = "SVM",
	.probe = svm_probe,
#define SVM_OP(ret, op, proto, args) .op = svm_##op,
	VIREO_BACKEND_OPS(SVM_OP)
#undef SVM_OP
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Capability MSRs to controls and features.
 *
 * The decisions are in pure functions of the MSRs' values, so that tests can put any
 * processor before them.
 */
#include <linux/dmi.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/processor.h>
#include <asm/tsc.h>

#include "../backend.h"
#include "caps.h"
#include "vmcs.h"
#include "vmx.h"

struct vmx_caps vmx_caps;

int vmx_adjust(u64 msr, u32 must, u32 want, u32 *out)
{
	u32 ones = msr, allowed = msr >> 32;

	*out = ((must | want) & allowed) | ones;
	return must & ~allowed ? -ENODEV : 0;
}

/* EPT as Vireo builds it: four levels of write-back memory. */
static bool vmx_ept_usable(const struct vmx_msrs *msrs)
{
	return (msrs->proc2 >> 32 & VMX_PROC2_EPT) &&
	       !(~msrs->ept_vpid & (VMX_EPT_CAP_WALK_4 | VMX_EPT_CAP_WB | VMX_EPT_CAP_INVEPT)) &&
	       msrs->ept_vpid & (VMX_EPT_CAP_INVEPT_SINGLE | VMX_EPT_CAP_INVEPT_ALL);
}

const char *vmx_choose(const struct vmx_msrs *msrs, bool nested_paging, struct vmx_caps *caps)
{
	u32 must, want;

	memset(caps, 0, sizeof(*caps));
	caps->msrs = *msrs;
	caps->revision = msrs->basic & VMX_BASIC_REVISION;

	if (VMX_BASIC_SIZE(msrs->basic) > PAGE_SIZE)
		return "a VMCS of one page";
	if (VMX_BASIC_TYPE(msrs->basic) != VMX_BASIC_TYPE_WB)
		return "a VMCS in write-back memory";
	if (msrs->basic & VMX_BASIC_32BIT)
		return "a VMCS above 4 GiB";

	/* Without EPT, shadow tables; without unrestricted guests, interpretation of real mode. */
	caps->ept = nested_paging && vmx_ept_usable(msrs);
	want = VMX_PROC2_RDTSCP | VMX_PROC2_VPID | VMX_PROC2_WBINVD | VMX_PROC2_PAUSE_LOOP |
	       VMX_PROC2_INVPCID | VMX_PROC2_ENCLS | VMX_PROC2_XSAVES;
	if (caps->ept)
		want |= VMX_PROC2_EPT | VMX_PROC2_UNRESTRICTED;
	else
		/* PCIDs would be tags that shadow tables do not follow. */
		want &= ~VMX_PROC2_INVPCID;
	if (vireo_pause_exits != VIREO_PAUSE_LOOPS)
		want &= ~VMX_PROC2_PAUSE_LOOP;
	vmx_adjust(msrs->proc2, 0, want, &caps->proc2);
	caps->unrestricted = caps->proc2 & VMX_PROC2_UNRESTRICTED;

	must = VMX_PIN_INTR | VMX_PIN_NMI | VMX_PIN_VIRTUAL_NMI;
	if (vmx_adjust(msrs->pin, must, 0, &caps->pin))
		return "virtual NMIs";

	/*
	 * No I/O bitmap: every port exits.  PAUSE does not, a loop of it does (below).  CR8
	 * exits where apic.c has not arranged for a TPR shadow.
	 */
	must = VMX_PROC_TSC_OFFSET | VMX_PROC_HLT | VMX_PROC_MWAIT | VMX_PROC_RDPMC |
	       VMX_PROC_CR8_LOAD | VMX_PROC_CR8_STORE | VMX_PROC_MOV_DR | VMX_PROC_ALL_IO |
	       VMX_PROC_MONITOR | VMX_PROC_MSR_BITMAP | VMX_PROC_SECONDARY;
	if (vireo_pause_exits == VIREO_PAUSE_ALL)
		must |= VMX_PROC_PAUSE;
	if (vmx_adjust(msrs->proc, must, 0, &caps->proc))
		return "secondary controls and MSR bitmaps";
	caps->trap_flag = msrs->proc >> 32 & VMX_PROC_TRAP_FLAG;

	/* With EPT these may be 0, unless the processor has no exact capability MSRs (A.3.2). */
	if (caps->ept && caps->proc & (VMX_PROC_CR3_LOAD | VMX_PROC_CR3_STORE | VMX_PROC_INVLPG))
		return "CR3 accesses without exits";

	/*
	 * Shadow tables use the host's PAT.  EFER's bits that entry and exit do not switch by themselves
	 * go by way of the MSR lists where it must be.
	 */
	must = VMX_EXIT_SAVE_DEBUG | VMX_EXIT_HOST_64;
	if (vmx_adjust(msrs->exit, must, VMX_EXIT_LOAD_PAT | VMX_EXIT_LOAD_EFER, &caps->exit))
		return "64-bit hosts";
	must = VMX_ENTRY_LOAD_DEBUG;
	if (vmx_adjust(msrs->entry, must, VMX_ENTRY_LOAD_PAT | VMX_ENTRY_LOAD_EFER, &caps->entry))
		return "debug controls loaded at VM entry";
	caps->pat = caps->exit & VMX_EXIT_LOAD_PAT && caps->entry & VMX_ENTRY_LOAD_PAT;
	caps->efer = caps->exit & VMX_EXIT_LOAD_EFER && caps->entry & VMX_ENTRY_LOAD_EFER;
	if (caps->ept && !caps->pat)
		return "PAT loaded at VM entry and exit";

	if (caps->ept) {
		caps->invept = msrs->ept_vpid & VMX_EPT_CAP_INVEPT_SINGLE ? VMX_INV_SINGLE :
									   VMX_INV_ALL;
		caps->eptp = VMX_EPTP_WB | VMX_EPTP_WALK_4;
		if (msrs->ept_vpid & VMX_EPT_CAP_AD)
			caps->eptp |= VMX_EPTP_AD;
	}

	/* A tag that cannot be flushed is of no use. */
	if (msrs->ept_vpid & VMX_VPID_CAP_INVVPID) {
		if (msrs->ept_vpid & VMX_VPID_CAP_SINGLE)
			caps->invvpid = VMX_INV_SINGLE;
		else if (msrs->ept_vpid & VMX_VPID_CAP_ALL)
			caps->invvpid = VMX_INV_ALL;
	}
	caps->vpid = caps->invvpid && (caps->proc2 & VMX_PROC2_VPID);
	if (!caps->vpid)
		caps->proc2 &= ~VMX_PROC2_VPID;
	return NULL;
}

u64 vmx_choose_apic(const struct vmx_caps *caps, u64 allowed)
{
	u32 proc = caps->msrs.proc >> 32, proc2 = caps->msrs.proc2 >> 32;
	u64 apic = VIREO_FEATURE_TPR_SHADOW;

	/* The others need it (SDM vol. 3, 27.2.1.1). */
	if (!(proc & VMX_PROC_TPR_SHADOW) || !(allowed & VIREO_FEATURE_TPR_SHADOW))
		return 0;
	/* In x2APIC mode only. */
	if (proc2 & VMX_PROC2_X2APIC && proc2 & VMX_PROC2_APIC_REGISTERS)
		apic |= VIREO_FEATURE_APIC_REGISTERS;
	/* A guest that is interpreted for a while has its interrupts delivered by software. */
	if (proc2 & VMX_PROC2_VIRTUAL_IRQ && caps->unrestricted)
		apic |= VIREO_FEATURE_VIRTUAL_IRQ;
	return apic & allowed;
}

void vmx_features(const struct vmx_caps *caps, struct vireo_caps *out)
{
	const struct vmx_msrs *msrs = &caps->msrs;
	u64 ept = msrs->ept_vpid;
	u32 pin = msrs->pin >> 32, proc = msrs->proc >> 32, proc2 = msrs->proc2 >> 32;
	u64 have = 0, used;
	const u64 family = VIREO_FEATURE_NESTED_PAGING | VIREO_FEATURE_UNRESTRICTED |
		VIREO_FEATURE_TAGGED_TLB | VIREO_FEATURE_PAGES_2M | VIREO_FEATURE_PAGES_1G |
		VIREO_FEATURE_PAGE_AD | VIREO_FEATURE_PML | VIREO_FEATURE_TSC_SCALING |
		VIREO_FEATURE_TPR_SHADOW | VIREO_FEATURE_APIC_REGISTERS |
		VIREO_FEATURE_VIRTUAL_IRQ | VIREO_FEATURE_POSTED_IRQ |
		VIREO_FEATURE_PREEMPTION_TIMER | VIREO_FEATURE_NRIP_SAVE |
		VIREO_FEATURE_VIRTUAL_NMI | VIREO_FEATURE_PAUSE_FILTER;
	/* What no code here uses, or only if it was chosen: caps->apic. */
	const u64 unused = VIREO_FEATURE_PML | VIREO_FEATURE_TSC_SCALING |
		VIREO_FEATURE_TPR_SHADOW | VIREO_FEATURE_APIC_REGISTERS |
		VIREO_FEATURE_VIRTUAL_IRQ | VIREO_FEATURE_POSTED_IRQ |
		VIREO_FEATURE_PREEMPTION_TIMER;

	if (proc2 & VMX_PROC2_EPT)
		have |= VIREO_FEATURE_NESTED_PAGING;
	if (proc2 & VMX_PROC2_UNRESTRICTED)
		have |= VIREO_FEATURE_UNRESTRICTED;
	if (caps->vpid)
		have |= VIREO_FEATURE_TAGGED_TLB;
	if (ept & VMX_EPT_CAP_2M)
		have |= VIREO_FEATURE_PAGES_2M;
	if (ept & VMX_EPT_CAP_1G)
		have |= VIREO_FEATURE_PAGES_1G;
	if (ept & VMX_EPT_CAP_AD)
		have |= VIREO_FEATURE_PAGE_AD;
	if (proc2 & VMX_PROC2_PML)
		have |= VIREO_FEATURE_PML;
	if (proc2 & VMX_PROC2_TSC_SCALING)
		have |= VIREO_FEATURE_TSC_SCALING;
	if (proc & VMX_PROC_TPR_SHADOW)
		have |= VIREO_FEATURE_TPR_SHADOW;
	if (proc2 & VMX_PROC2_APIC_REGISTERS)
		have |= VIREO_FEATURE_APIC_REGISTERS;
	if (proc2 & VMX_PROC2_VIRTUAL_IRQ)
		have |= VIREO_FEATURE_VIRTUAL_IRQ;
	if (pin & VMX_PIN_POSTED)
		have |= VIREO_FEATURE_POSTED_IRQ;
	if (pin & VMX_PIN_TIMER)
		have |= VIREO_FEATURE_PREEMPTION_TIMER;
	if (pin & VMX_PIN_VIRTUAL_NMI)
		have |= VIREO_FEATURE_VIRTUAL_NMI;
	if (proc2 & VMX_PROC2_PAUSE_LOOP)
		have |= VIREO_FEATURE_PAUSE_FILTER;
	/* An exit by an instruction always tells its length; x2APIC is software. */
	have |= VIREO_FEATURE_NRIP_SAVE | VIREO_FEATURE_X2APIC;

	used = (have & ~unused) | caps->apic;
	if (!(caps->proc2 & VMX_PROC2_PAUSE_LOOP))
		used &= ~VIREO_FEATURE_PAUSE_FILTER;
	if (out->dirty_log_allowed && caps->unrestricted && (caps->eptp & VMX_EPTP_AD))
		used |= have & VIREO_FEATURE_PML;
	if (!caps->ept)
		used &= ~(VIREO_FEATURE_NESTED_PAGING | VIREO_FEATURE_UNRESTRICTED);
	out->nested_paging = caps->ept;
	out->shadow_unpaged = caps->ept && !caps->unrestricted;
	out->features |= used;
	out->missing = family & ~have;
	out->max_level = 1;
	if (used & VIREO_FEATURE_PAGES_2M)
		out->max_level = used & VIREO_FEATURE_PAGES_1G ? 3 : 2;
	out->root_levels = 4;
	out->nested_ad = used & VIREO_FEATURE_PAGE_AD;
	out->dirty_log = used & VIREO_FEATURE_PML;
	out->exec_only = ept & VMX_EPT_CAP_EXEC_ONLY;
	out->has_rdtscp = caps->proc2 & VMX_PROC2_RDTSCP;
	out->has_invpcid = caps->proc2 & VMX_PROC2_INVPCID;
}

static u64 vmx_msr(u32 index)
{
	u64 value;

	/* Which of them exist depends on others: one that does not reads as "nothing allowed". */
	return rdmsrl_safe(index, &value) ? 0 : value;
}

void vmx_read_msrs(struct vmx_msrs *msrs)
{
	bool exact;

	memset(msrs, 0, sizeof(*msrs));
	msrs->basic = vmx_msr(MSR_IA32_VMX_BASIC);
	exact = msrs->basic & VMX_BASIC_TRUE_CONTROLS;
	msrs->pin = vmx_msr(exact ? MSR_IA32_VMX_TRUE_PINBASED_CTLS : MSR_IA32_VMX_PINBASED_CTLS);
	msrs->proc = vmx_msr(exact ? MSR_IA32_VMX_TRUE_PROCBASED_CTLS :
				     MSR_IA32_VMX_PROCBASED_CTLS);
	msrs->exit = vmx_msr(exact ? MSR_IA32_VMX_TRUE_EXIT_CTLS : MSR_IA32_VMX_EXIT_CTLS);
	msrs->entry = vmx_msr(exact ? MSR_IA32_VMX_TRUE_ENTRY_CTLS : MSR_IA32_VMX_ENTRY_CTLS);
	if ((msrs->proc >> 32) & VMX_PROC_SECONDARY)
		msrs->proc2 = vmx_msr(MSR_IA32_VMX_PROCBASED_CTLS2);
	if ((msrs->proc2 >> 32) & (VMX_PROC2_EPT | VMX_PROC2_VPID))
		msrs->ept_vpid = vmx_msr(MSR_IA32_VMX_EPT_VPID_CAP);
	msrs->cr0_fixed0 = vmx_msr(MSR_IA32_VMX_CR0_FIXED0);
	msrs->cr0_fixed1 = vmx_msr(MSR_IA32_VMX_CR0_FIXED1);
	msrs->cr4_fixed0 = vmx_msr(MSR_IA32_VMX_CR4_FIXED0);
	msrs->cr4_fixed1 = vmx_msr(MSR_IA32_VMX_CR4_FIXED1);
}

/* What the paths in switch.S, enter.c and cpu.c do on this processor. */
static u64 vmx_mitigations(void)
{
	u64 m = 0;

	if (boot_cpu_has(X86_FEATURE_RSB_VMEXIT) || boot_cpu_has(X86_FEATURE_RSB_VMEXIT_LITE))
		m |= VIREO_MITIGATION_RSB_FILL;
	if (boot_cpu_has(X86_FEATURE_USE_IBPB))
		m |= VIREO_MITIGATION_IBPB;
	if (boot_cpu_has(X86_FEATURE_KERNEL_IBRS))
		m |= VIREO_MITIGATION_SPEC_CTRL;
	if (boot_cpu_has(X86_FEATURE_CLEAR_CPU_BUF))
		m |= VIREO_MITIGATION_CLEAR_BUFFERS;
	if (vmx_needs_l1d_flush())
		m |= VIREO_MITIGATION_L1D_FLUSH;
	return m;
}

/*
 * Bochs 2.7 decides when IF changes, and not at VM entry, whether host interrupts end the guest: one that
 * starts with IF clear keeps the processor until it sets it.  The preemption timer
 * ends it in time; or at least a spinning lock's PAUSE does.
 */
static void vmx_bochs(struct vmx_caps *caps)
{
	const char *bios = dmi_get_system_info(DMI_BIOS_VERSION);
	u64 misc;

	if (!bios || !strstr(bios, "Bochs"))
		return;
	/* It is offered, but no exit comes of it. */
	caps->trap_flag = false;
	caps->vectoring_stale = true;
	caps->nmi_mask_stays = true;
	if (vmx_adjust(caps->msrs.pin, caps->pin | VMX_PIN_TIMER, 0, &caps->pin) ||
	    rdmsrl_safe(MSR_IA32_VMX_MISC, &misc)) {
		caps->proc |= VMX_PROC_PAUSE;
		pr_info("this processor keeps interrupts from the host (Bochs): PAUSE lets them in\n");
		return;
	}
	/* A millisecond */
	caps->watch = max(tsc_khz >> (misc & VMX_MISC_TIMER_SHIFT), 1U);
	pr_info("this processor keeps interrupts from the host (Bochs): a timer lets them in\n");
}

int vmx_probe(struct vireo_caps *caps, bool nested_paging)
{
	struct vmx_msrs msrs;
	const char *lacks;
	u64 control;

	/* CPUID itself: the kernel hides the bit where firmware has locked VMX. */
	if (!(cpuid_ecx(1) & BIT(5)))
		return -EOPNOTSUPP;

	caps->vendor = VIREO_VENDOR_INTEL;
	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &control) ||
	    (control & (FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)) !=
	    (FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)) {
		pr_err("VMX is disabled by firmware (IA32_FEATURE_CONTROL %#llx)\n", control);
		return -ENODEV;
	}
	/* Host state of FRED is more than what is switched here. */
	if (__read_cr4() & VMX_CR4_FRED) {
		pr_err("VMX on a kernel that uses FRED is not supported yet\n");
		return -ENODEV;
	}

	vmx_read_msrs(&msrs);
	lacks = vmx_choose(&msrs, nested_paging, &vmx_caps);
	if (lacks) {
		pr_err("VMX of this processor lacks %s\n", lacks);
		return -ENODEV;
	}
	rdmsrl(MSR_IA32_CR_PAT, vmx_caps.host_pat);
	vmx_bochs(&vmx_caps);
	vmx_caps.apic = vmx_choose_apic(&vmx_caps, caps->apic_allowed);
	caps->apic_page = vmx_caps.apic;
	caps->irq_careful = vmx_caps.vectoring_stale;

	vmx_features(&vmx_caps, caps);
	caps->vcpu_bytes = sizeof(struct vmx_vcpu) + (caps->dirty_log ? 3 : 2) * PAGE_SIZE;
	caps->mitigations = vmx_mitigations();
	caps->phys_bits = cpuid_eax(0x80000000) >= 0x80000008 ? cpuid_eax(0x80000008) & 0xff : 36;
	/* AMX needs state on demand, PKU and MPX are not offered to guests. */
	caps->xcr0 = XFEATURE_MASK_FPSSE;
	if (boot_cpu_has(X86_FEATURE_OSXSAVE)) {
		u64 host = xgetbv(XCR_XFEATURE_ENABLED_MASK);

		caps->xcr0 = host & (XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM);
		if ((host & XFEATURE_MASK_AVX512) == XFEATURE_MASK_AVX512)
			caps->xcr0 |= XFEATURE_MASK_AVX512;
	}
	return 0;
}

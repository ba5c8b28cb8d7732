/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this processor's VMX can do, and the controls chosen from that.
 */
#ifndef VIREO_VMX_CAPS_H
#define VIREO_VMX_CAPS_H

#include <linux/types.h>

struct vireo_caps;

/**
 * struct vmx_msrs - capability MSRs as read (SDM vol. 3, appendix A)
 * @basic: IA32_VMX_BASIC
 * @pin: IA32_VMX_(TRUE_)PINBASED_CTLS
 * @proc: IA32_VMX_(TRUE_)PROCBASED_CTLS
 * @proc2: IA32_VMX_PROCBASED_CTLS2, 0 if there is none
 * @exit: IA32_VMX_(TRUE_)EXIT_CTLS
 * @entry: IA32_VMX_(TRUE_)ENTRY_CTLS
 * @ept_vpid: IA32_VMX_EPT_VPID_CAP, 0 if there is none
 * @cr0_fixed0: bits that must be 1 in CR0
 * @cr0_fixed1: bits that may be 1 in CR0
 * @cr4_fixed0: bits that must be 1 in CR4
 * @cr4_fixed1: bits that may be 1 in CR4
 */
struct vmx_msrs {
	u64 basic, pin, proc, proc2, exit, entry, ept_vpid;
	u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
};

/**
 * struct vmx_caps - what follows from them
 * @msrs: as read on the CPU that loaded the module; every CPU must have the same
 * @pin: pin-based controls
 * @proc: primary controls of a fresh vCPU
 * @proc2: secondary controls, all that are wanted and there
 * @exit: VM-exit controls
 * @entry: VM-entry controls
 * @revision: first word of each VMCS
 * @unrestricted: real mode and unpaged mode can be entered
 * @ept: nested paging is used
 * @pat: entry and exit switch IA32_PAT
 * @efer: entry and exit switch IA32_EFER
 * @trap_flag: an instruction can be run alone by the monitor trap flag
 * @vpid: TLB tags in use
 * @invept: INVEPT type: VMX_INV_SINGLE or VMX_INV_ALL
 * @invvpid: INVVPID type likewise
 * @vectoring_stale: the processor does not say that a virtual interrupt was in delivery, and delivers some
 *	too early (Bochs)
 * @nmi_mask_stays: VM entry blocks virtual NMIs but never ends it, so one vCPU's blocking is still there for the
 *	next (Bochs)
 * @eptp: low bits of an EPTP
 * @apic: VIREO_FEATURE_TPR_SHADOW, _APIC_REGISTERS, _VIRTUAL_IRQ in use (vmx_probe())
 * @watch: what the preemption timer starts from at each entry, 0 if it is not used (vmx_probe())
 * @host_pat: IA32_PAT of the host
 */
struct vmx_caps {
	struct vmx_msrs msrs;
	u32 pin, proc, proc2, exit, entry;
	u32 revision;
	bool unrestricted;
	bool ept, pat, efer;
	bool trap_flag;
	bool vpid;
	bool vectoring_stale;
	bool nmi_mask_stays;
	u8 invept, invvpid;
	u64 apic;
	u32 watch;
	u64 eptp;
	u64 host_pat;
};
extern struct vmx_caps vmx_caps;

/**
 * vmx_adjust() - choose control bits
 * @msr: capability MSR: bits 31:0 must be 1 in the field, bits 63:32 may be 1
 * @must: bits that Vireo cannot do without
 * @want: bits it takes if they are there
 * @out: the field's value
 *
 * Return: 0, or -ENODEV if a bit of @must may not be 1; @out is then what there is.
 */
int vmx_adjust(u64 msr, u32 must, u32 want, u32 *out);

/**
 * vmx_choose() - decide from capability MSRs what is used
 * @msrs: as read
 * @nested_paging: use EPT, if it is there
 * @caps: all but host_pat is filled
 *
 * Pure, for tests.  Return: NULL, or what the processor lacks.
 */
const char *vmx_choose(const struct vmx_msrs *msrs, bool nested_paging, struct vmx_caps *caps);

/**
 * vmx_features() - the same in neutral bits
 * @caps: from vmx_choose()
 * @out: features, missing, max_level, root_levels, nested_ad, exec_only, has_rdtscp,
 *	has_invpcid are filled
 */
void vmx_features(const struct vmx_caps *caps, struct vireo_caps *out);

/**
 * vmx_choose_apic() - what of the local APIC the processor keeps
 * @caps: from vmx_choose()
 * @allowed: VIREO_FEATURE_* that may be used
 *
 * Pure, for tests.  Return: those of VIREO_FEATURE_TPR_SHADOW, _APIC_REGISTERS and _VIRTUAL_IRQ that are used.
 */
u64 vmx_choose_apic(const struct vmx_caps *caps, u64 allowed);

void vmx_read_msrs(struct vmx_msrs *msrs);
int vmx_probe(struct vireo_caps *caps, bool nested_paging);

#endif /* VIREO_VMX_CAPS_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Model-specific registers.
 *
 * Three kinds: those of parts of the virtual processor (local APIC, clock, TSC, control registers),
 * those that the backend keeps in the control structure or in the processor, and those that
 * are only values here: read back as written, within their legal bits.  All others are
 * unknown: #GP, or the launcher's.
 */
#include <asm/msr-index.h>
#include <asm/mtrr.h>
#include <asm/tsc.h>
#include <uapi/asm/kvm_para.h>

#include "core.h"
#include "irq/irq.h"
#include "paravirt.h"
#include "pvclock.h"

#define VIREO_MTRR_VAR_NR	8
/* MTRRcap: 8 variable ranges, fixed ranges, write-combining (SDM vol. 3, 12.11.1). */
#define VIREO_MTRRCAP		(VIREO_MTRR_VAR_NR | BIT(8) | BIT(10))
#define VIREO_MTRR_DEF_KNOWN	0xcffULL
#define VIREO_MSR_LS_CFG	0xc0011020

/* What state blocks save by default: everything with a value that a guest can change. */
const u32 vireo_msr_list[] = {
	MSR_IA32_TSC_ADJUST, MSR_IA32_MISC_ENABLE, MSR_IA32_UCODE_REV,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_KERNEL_GS_BASE, MSR_TSC_AUX, MSR_IA32_CR_PAT,
	MSR_IA32_MCG_STATUS, MSR_MTRRdefType,
	MSR_MTRRfix64K_00000, MSR_MTRRfix16K_80000, MSR_MTRRfix16K_A0000,
	MSR_MTRRfix4K_C0000, MSR_MTRRfix4K_C8000, MSR_MTRRfix4K_D0000, MSR_MTRRfix4K_D8000,
	MSR_MTRRfix4K_E0000, MSR_MTRRfix4K_E8000, MSR_MTRRfix4K_F0000, MSR_MTRRfix4K_F8000,
	0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207,
	0x208, 0x209, 0x20a, 0x20b, 0x20c, 0x20d, 0x20e, 0x20f,
	MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI_EN,
};
const u32 vireo_msr_list_nr = ARRAY_SIZE(vireo_msr_list);
static_assert(ARRAY_SIZE(vireo_msr_list) <= VIREO_MAX_MSRS);

int vireo_msr_get_list(struct vireo_msr_list __user *arg)
{
	struct vireo_msr_list head;
	u32 room;
	int r;

	r = vireo_copy_struct(&head, sizeof(head), arg, sizeof(head));
	if (r)
		return r;
	room = head.count;
	head.count = vireo_msr_list_nr;
	if (room >= head.count && copy_to_user(u64_to_user_ptr(head.indices), vireo_msr_list,
					       sizeof(vireo_msr_list)))
		return -EFAULT;
	r = vireo_copy_back(arg, &head, sizeof(head), head.size);
	return r ?: room < vireo_msr_list_nr ? -ENOSPC : 0;
}

u64 vireo_tsc_read(struct vireo_vcpu *vcpu)
{
	return rdtsc() + vcpu->tsc_offset;
}

void vireo_tsc_set_offset(struct vireo_vcpu *vcpu, u64 offset)
{
	vcpu->tsc_offset = offset;
	vireo_backend_write_tsc_offset(vcpu);
	vireo_lapic_tsc_changed(vcpu);
	vireo_request_set(vcpu, VIREO_REQ_CLOCK);
}

void vireo_tsc_write(struct vireo_vcpu *vcpu, u64 value)
{
	vireo_tsc_set_offset(vcpu, value - rdtsc());
}

/* Index of a fixed-range MTRR, or -1. */
static int vireo_mtrr_fixed(u32 index)
{
	switch (index) {
	case MSR_MTRRfix64K_00000:
		return 0;
	case MSR_MTRRfix16K_80000:
	case MSR_MTRRfix16K_A0000:
		return 1 + index - MSR_MTRRfix16K_80000;
	case MSR_MTRRfix4K_C0000 ... MSR_MTRRfix4K_F8000:
		return 3 + index - MSR_MTRRfix4K_C0000;
	}
	return -1;
}

/* Memory types that exist: 0, 1, 4, 5, 6, and 7 (UC-) in the PAT only. */
static bool vireo_memory_types(u64 value, bool pat)
{
	int i;

	for (i = 0; i < 8; i++, value >>= 8) {
		u8 type = value;

		if (type > (pat ? 7 : 6) || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* The clock's registers have two numbers each, of two features. */
static bool vireo_pvclock_has(const struct vireo_vcpu *vcpu, u32 index)
{
	return vireo_paravirt_has(vcpu, index == MSR_KVM_WALL_CLOCK || index == MSR_KVM_SYSTEM_TIME ?
					KVM_FEATURE_CLOCKSOURCE : KVM_FEATURE_CLOCKSOURCE2);
}

static int vireo_msr_get_value(struct vireo_vcpu *vcpu, u32 index, u64 *data)
{
	int i;

	switch (index) {
	case MSR_IA32_UCODE_REV:
		*data = vcpu->bios_sign_id;
		return 0;
	case MSR_IA32_MISC_ENABLE:
		/* Only a value; on both families, so that one list of MSRs is that of all hosts. */
		*data = vcpu->misc_enable;
		return 0;
	case MSR_IA32_FEAT_CTL:
		if (vireo_caps.vendor != VIREO_VENDOR_INTEL)
			return -ENOENT;
		*data = FEAT_CTL_LOCKED;
		return 0;
	case MSR_IA32_PLATFORM_ID:
	case MSR_IA32_MCG_CAP:
		*data = 0;
		return 0;
	case MSR_IA32_MCG_STATUS:
		*data = vcpu->mcg_status;
		return 0;
	case MSR_MTRRcap:
		*data = VIREO_MTRRCAP;
		return 0;
	case MSR_MTRRdefType:
		*data = vcpu->mtrr_def_type;
		return 0;
	case MTRRphysBase_MSR(0) ... MTRRphysMask_MSR(VIREO_MTRR_VAR_NR - 1):
		*data = vcpu->mtrr_var[index - MTRRphysBase_MSR(0)];
		return 0;
	case MSR_AMD64_SYSCFG:
	case MSR_K7_HWCR:
	case MSR_AMD64_NB_CFG:
	case MSR_AMD64_DE_CFG:
	case MSR_K8_INT_PENDING_MSG:
	case VIREO_MSR_LS_CFG:
	case MSR_AMD64_BU_CFG2:
	case MSR_AMD64_DC_CFG:
	case MSR_VM_HSAVE_PA:
	case MSR_F15H_IC_CFG:
	case MSR_FAM10H_MMIO_CONF_BASE:
		/* Linux reads these without asking CPUID.  Nothing is configured. */
		if (vireo_caps.vendor != VIREO_VENDOR_AMD)
			return -ENOENT;
		*data = index == MSR_AMD64_DE_CFG ? MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : 0;
		return 0;
	}
	i = vireo_mtrr_fixed(index);
	if (i < 0)
		return -ENOENT;
	*data = vcpu->mtrr_fixed[i];
	return 0;
}

int vireo_msr_get(struct vireo_vcpu *vcpu, u32 index, u64 *data, bool host)
{
	int r;

	switch (index) {
	case 0x800 ... 0x8ff:
		return vireo_lapic_msr_read(vcpu, index, data);
	case MSR_IA32_TSC:
		*data = vireo_tsc_read(vcpu);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		*data = vcpu->tsc_adjust;
		return 0;
	case MSR_IA32_TSC_DEADLINE:
		if (!vcpu->caps.tsc_deadline && !host)
			return -EINVAL;
		*data = vireo_lapic_get_tsc_deadline(vcpu);
		return 0;
	case MSR_IA32_APICBASE:
		*data = vcpu->apic_base;
		return 0;
	case MSR_EFER:
		*data = vireo_backend_get_efer(vcpu);
		return 0;
	case MSR_TSC_AUX:
		if (!vcpu->caps.rdtscp && !host)
			return -EINVAL;
		break;
	case MSR_IA32_DEBUGCTLMSR:
		*data = 0;
		return 0;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_SYSTEM_TIME_NEW:
		if (!host && !vireo_pvclock_has(vcpu, index))
			return -EINVAL;
		return vireo_pvclock_msr_read(vcpu, index, data);
	case MSR_KVM_STEAL_TIME:
	case MSR_KVM_PV_EOI_EN:
		return vireo_paravirt_msr_read(vcpu, index, data, host);
	}
	r = vireo_msr_get_value(vcpu, index, data);
	return r != -ENOENT ? r : vireo_backend_get_msr(vcpu, index, data);
}

static int vireo_msr_set_value(struct vireo_vcpu *vcpu, u32 index, u64 data, bool host)
{
	int i;

	switch (index) {
	case MSR_IA32_UCODE_REV:
		/* The guest writes 0 before it asks CPUID for the revision. */
		if (host)
			vcpu->bios_sign_id = data;
		return 0;
	case MSR_AMD64_PATCH_LOADER:
	case MSR_IA32_UCODE_WRITE:
		return vireo_caps.vendor ==
		       (index == MSR_IA32_UCODE_WRITE ? VIREO_VENDOR_INTEL : VIREO_VENDOR_AMD) ?
		       0 : -ENOENT;
	case MSR_IA32_MISC_ENABLE:
		/* Only a value; on both families, so that one list of MSRs is that of all hosts. */
		vcpu->misc_enable = data;
		return 0;
	case MSR_IA32_FEAT_CTL:
	case MSR_IA32_MCG_CAP:
	case MSR_MTRRcap:
		return -EINVAL;
	case MSR_IA32_MCG_STATUS:
		if (data && !host)
			return -EINVAL;
		vcpu->mcg_status = data;
		return 0;
	case MSR_MTRRdefType:
		if ((data & ~VIREO_MTRR_DEF_KNOWN) || !vireo_memory_types(data & 0xff, false))
			return -EINVAL;
		vcpu->mtrr_def_type = data;
		return 0;
	case MTRRphysBase_MSR(0) ... MTRRphysMask_MSR(VIREO_MTRR_VAR_NR - 1):
		if (data & ~(vcpu->caps.phys_mask))
			return -EINVAL;
		if (index & 1 ? data & 0x7ff : (data & 0xf00) ||
					       !vireo_memory_types(data & 0xff, false))
			return -EINVAL;
		vcpu->mtrr_var[index - MTRRphysBase_MSR(0)] = data;
		return 0;
	case MSR_AMD64_SYSCFG:
	case MSR_K7_HWCR:
	case MSR_AMD64_NB_CFG:
	case MSR_AMD64_DE_CFG:
	case MSR_K8_INT_PENDING_MSG:
	case VIREO_MSR_LS_CFG:
	case MSR_AMD64_BU_CFG2:
	case MSR_AMD64_DC_CFG:
	case MSR_F15H_IC_CFG:
		/* Chicken bits for errata that the guest does not have. */
		return vireo_caps.vendor == VIREO_VENDOR_AMD ? 0 : -ENOENT;
	}
	i = vireo_mtrr_fixed(index);
	if (i < 0)
		return -ENOENT;
	if (!vireo_memory_types(data, false))
		return -EINVAL;
	vcpu->mtrr_fixed[i] = data;
	return 0;
}

int vireo_msr_set(struct vireo_vcpu *vcpu, u32 index, u64 data, bool host)
{
	int r;

	switch (index) {
	case 0x800 ... 0x8ff:
		return vireo_lapic_msr_write(vcpu, index, data);
	case MSR_IA32_TSC_DEADLINE:
		if (!vcpu->caps.tsc_deadline && !host)
			return -EINVAL;
		vireo_lapic_set_tsc_deadline(vcpu, data);
		return 0;
	case MSR_IA32_TSC:
		/* The adjustment follows a write (SDM vol. 3, 18.17.3). */
		vcpu->tsc_adjust += data - vireo_tsc_read(vcpu);
		vireo_tsc_write(vcpu, data);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		if (!host) {
			vcpu->tsc_offset += data - vcpu->tsc_adjust;
			vireo_backend_write_tsc_offset(vcpu);
			vireo_lapic_tsc_changed(vcpu);
			vireo_request_set(vcpu, VIREO_REQ_CLOCK);
		}
		vcpu->tsc_adjust = data;
		return 0;
	case MSR_IA32_APICBASE:
		if (irqs_disabled())
			return -EAGAIN;
		r = vireo_lapic_set_base(vcpu, data, host);
		if (!r)
			vireo_cpuid_update(vcpu);
		return r;
	case MSR_EFER:
		return vireo_set_efer(vcpu, data, host);
	case MSR_IA32_CR_PAT:
		if (!vireo_memory_types(data, true))
			return -EINVAL;
		vcpu->pat = data;
		break;
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_IA32_SYSENTER_ESP:
	case MSR_IA32_SYSENTER_EIP:
		/* The processor checks these when they are loaded (SDM vol. 2, WRMSR). */
		if (!vireo_canonical(vireo_backend_get_cr(vcpu, 4), data))
			return -EINVAL;
		break;
	case MSR_TSC_AUX:
		if ((!vcpu->caps.rdtscp && !host) || data >> 32)
			return -EINVAL;
		break;
	case MSR_IA32_DEBUGCTLMSR:
		/* No branch records are offered: writing the bits off is all there is. */
		return data ? -EINVAL : 0;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_SYSTEM_TIME_NEW:
		if (!host && !vireo_pvclock_has(vcpu, index))
			return -EINVAL;
		if (irqs_disabled())
			return -EAGAIN;
		return vireo_pvclock_msr_write(vcpu, index, data);
	case MSR_KVM_STEAL_TIME:
	case MSR_KVM_PV_EOI_EN:
		return vireo_paravirt_msr_write(vcpu, index, data, host);
	}
	r = vireo_msr_set_value(vcpu, index, data, host);
	return r != -ENOENT ? r : vireo_backend_set_msr(vcpu, index, data);
}

/* SDM vol. 3, table 10-1: INIT leaves most MSRs alone. */
void vireo_msr_reset(struct vireo_vcpu *vcpu, bool init)
{
	static const u32 zero[] = {
		MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP, MSR_STAR,
		MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE, MSR_TSC_AUX,
	};
	int i;

	if (init)
		return;
	for (i = 0; i < ARRAY_SIZE(zero); i++)
		vireo_backend_set_msr(vcpu, zero[i], 0);
	/* The PAT's value at power-up (SDM vol. 3, 12.12.4). */
	vcpu->pat = 0x0007040600070406ULL;
	vireo_backend_set_msr(vcpu, MSR_IA32_CR_PAT, vcpu->pat);
	vcpu->misc_enable = MSR_IA32_MISC_ENABLE_FAST_STRING;
	vcpu->mtrr_def_type = 0;
	memset(vcpu->mtrr_fixed, 0, sizeof(vcpu->mtrr_fixed));
	memset(vcpu->mtrr_var, 0, sizeof(vcpu->mtrr_var));
	vcpu->bios_sign_id = vireo_caps.vendor == VIREO_VENDOR_INTEL ? 0x100000000ULL : 0x01000065;
	vcpu->mcg_status = 0;
	vcpu->tsc_adjust = 0;
	vcpu->pvclock_msr = 0;
	vireo_paravirt_reset(vcpu);
}

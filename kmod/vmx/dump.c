// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VMCS in words, for the log.
 */
#include "vmx.h"

struct vmx_name {
	u32 field;
	const char *name;
};

static const struct vmx_name vmx_guest_names[] = {
	{ VMCS_GUEST_CR0, "CR0" },
	{ VMCS_GUEST_CR3, "CR3" },
	{ VMCS_GUEST_CR4, "CR4" },
	{ VMCS_CR0_MASK, "CR0 mask" },
	{ VMCS_CR0_SHADOW, "CR0 shadow" },
	{ VMCS_CR4_MASK, "CR4 mask" },
	{ VMCS_CR4_SHADOW, "CR4 shadow" },
	{ VMCS_GUEST_EFER, "EFER" },
	{ VMCS_GUEST_PAT, "PAT" },
	{ VMCS_GUEST_DEBUGCTL, "DEBUGCTL" },
	{ VMCS_GUEST_DR7, "DR7" },
	{ VMCS_GUEST_RIP, "RIP" },
	{ VMCS_GUEST_RSP, "RSP" },
	{ VMCS_GUEST_RFLAGS, "RFLAGS" },
	{ VMCS_GUEST_PENDING_DEBUG, "pending debug" },
	{ VMCS_GUEST_INTERRUPTIBILITY, "interruptibility" },
	{ VMCS_GUEST_ACTIVITY, "activity" },
	{ VMCS_LINK_POINTER, "link pointer" },
	{ VMCS_GUEST_SYSENTER_CS, "SYSENTER_CS" },
	{ VMCS_GUEST_SYSENTER_ESP, "SYSENTER_ESP" },
	{ VMCS_GUEST_SYSENTER_EIP, "SYSENTER_EIP" },
	{ VMCS_GUEST_PDPTE0, "PDPTE0" },
	{ VMCS_GUEST_PDPTE0 + 2, "PDPTE1" },
	{ VMCS_GUEST_PDPTE0 + 4, "PDPTE2" },
	{ VMCS_GUEST_PDPTE0 + 6, "PDPTE3" },
};

static const struct vmx_name vmx_control_names[] = {
	{ VMCS_PIN_CONTROLS, "pin" },
	{ VMCS_PROC_CONTROLS, "proc" },
	{ VMCS_PROC2_CONTROLS, "proc2" },
	{ VMCS_EXIT_CONTROLS, "exit" },
	{ VMCS_ENTRY_CONTROLS, "entry" },
	{ VMCS_EXCEPTION_BITMAP, "exceptions" },
	{ VMCS_MSR_BITMAP, "MSR bitmap" },
	{ VMCS_TSC_OFFSET, "TSC offset" },
	{ VMCS_EPTP, "EPTP" },
	{ VMCS_ENTRY_EVENT, "entry event" },
	{ VMCS_ENTRY_EVENT_ERROR, "its error" },
	{ VMCS_ENTRY_INSN_LEN, "its length" },
};

static const struct vmx_name vmx_exit_names[] = {
	{ VMCS_INSTRUCTION_ERROR, "instruction error" },
	{ VMCS_EXIT_REASON, "reason" },
	{ VMCS_QUALIFICATION, "qualification" },
	{ VMCS_EXIT_EVENT, "event" },
	{ VMCS_EXIT_EVENT_ERROR, "its error" },
	{ VMCS_VECTORING, "vectoring" },
	{ VMCS_VECTORING_ERROR, "its error" },
	{ VMCS_EXIT_INSN_LEN, "length" },
	{ VMCS_EXIT_INSN_INFO, "instruction info" },
	{ VMCS_GUEST_PHYSICAL, "guest physical" },
	{ VMCS_GUEST_LINEAR, "guest linear" },
};

static const struct vmx_name vmx_host_names[] = {
	{ VMCS_HOST_CR0, "CR0" },
	{ VMCS_HOST_CR3, "CR3" },
	{ VMCS_HOST_CR4, "CR4" },
	{ VMCS_HOST_EFER, "EFER" },
	{ VMCS_HOST_PAT, "PAT" },
	{ VMCS_HOST_RIP, "RIP" },
	{ VMCS_HOST_RSP, "RSP" },
	{ VMCS_HOST_CS_SELECTOR, "CS" },
	{ VMCS_HOST_SS_SELECTOR, "SS" },
	{ VMCS_HOST_TR_SELECTOR, "TR" },
	{ VMCS_HOST_FS_BASE, "FS base" },
	{ VMCS_HOST_GS_BASE, "GS base" },
	{ VMCS_HOST_TR_BASE, "TR base" },
	{ VMCS_HOST_GDTR_BASE, "GDTR" },
	{ VMCS_HOST_IDTR_BASE, "IDTR" },
	{ VMCS_HOST_SYSENTER_CS, "SYSENTER_CS" },
	{ VMCS_HOST_SYSENTER_ESP, "SYSENTER_ESP" },
	{ VMCS_HOST_SYSENTER_EIP, "SYSENTER_EIP" },
};

/* Fields of features that the processor lacks do not exist. */
static bool vmx_has_field(u32 field)
{
	switch (field) {
	case VMCS_GUEST_EFER:
	case VMCS_HOST_EFER:
		return vmx_caps.efer;
	case VMCS_GUEST_PAT:
	case VMCS_HOST_PAT:
		return vmx_caps.pat;
	case VMCS_EPTP:
	case VMCS_GUEST_PHYSICAL:
	case VMCS_GUEST_PDPTE0 ... VMCS_GUEST_PDPTE0 + 6:
		return vmx_caps.ept;
	}
	return true;
}

static void vmx_dump_names(const char *what, const struct vmx_name *names, int nr)
{
	char line[160];
	int i, len = 0;

	for (i = 0; i < nr; i++) {
		len += scnprintf(line + len, sizeof(line) - len, "  %s %llx", names[i].name,
				 vmx_has_field(names[i].field) ? vmx_read(names[i].field) : 0);
		if (i % 4 == 3 || i == nr - 1) {
			pr_err("%s:%s\n", what, line);
			len = 0;
		}
	}
}

void vmx_dump(struct vireo_vcpu *vcpu)
{
	static const char * const seg_names[VIREO_SEG_NR] = {
		"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"
	};
	struct vmx_vcpu *vmx = vcpu->backend;
	struct vireo_segment seg;
	struct vireo_table table;
	int i;

	pr_err("VMCS of vCPU %u, VPID %u:\n", vcpu->id, vmx->vpid);
	vmx_dump_names("guest", vmx_guest_names, ARRAY_SIZE(vmx_guest_names));
	for (i = 0; i < VIREO_SEG_NR; i++) {
		vmx_get_segment(vcpu, i, &seg);
		pr_err("guest:  %s %04x base %llx limit %x attr %05x\n", seg_names[i],
		       seg.selector, seg.base, seg.limit, seg.attr);
	}
	for (i = 0; i < 2; i++) {
		vmx_get_table(vcpu, i, &table);
		pr_err("guest:  %s base %llx limit %x\n", i ? "IDTR" : "GDTR", table.base,
		       table.limit);
	}
	vmx_dump_names("control", vmx_control_names, ARRAY_SIZE(vmx_control_names));
	vmx_dump_names("exit", vmx_exit_names, ARRAY_SIZE(vmx_exit_names));
	vmx_dump_names("host", vmx_host_names, ARRAY_SIZE(vmx_host_names));
}

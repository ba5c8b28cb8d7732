// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest registers that live in the VMCS or, while the vCPU is loaded, in the CPU.
 */
#include <linux/errno.h>
#include <linux/preempt.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/tlbflush.h>

#include "vmx.h"

/* One VMCS field per segment register, in the order of enum vireo_seg. */
#define VMX_SEG(field, nr)	((field) + 2 * (nr))
static_assert(VMX_SEG(VMCS_GUEST_ES_BASE, VIREO_SEG_FS) == VMCS_GUEST_FS_BASE);
static_assert(VMX_SEG(VMCS_GUEST_ES_BASE, VIREO_SEG_GS) == VMCS_GUEST_GS_BASE);
static_assert(VMX_SEG(VMCS_GUEST_ES_ATTR, VIREO_SEG_SS) == VMCS_GUEST_SS_ATTR);
static_assert(VMX_SEG(VMCS_GUEST_ES_BASE, VIREO_SEG_NR) == VMCS_GUEST_GDTR_BASE);
static_assert(VMX_SEG(VMCS_GUEST_ES_LIMIT, VIREO_SEG_NR) == VMCS_GUEST_GDTR_LIMIT);

#define VMX_SEG_ACCESSED	1U	/* type of code and data segments */
#define VMX_SEG_BUSY		2U	/* type of a TSS */

/*
 * Bits that the guest may change without an exit.  With EPT none of them matters to the
 * host.  Not among them: PG and PAE (the entry control and the PDPTEs go with them), CD and NW (the
 * processor never sees them), MCE (the host's: a machine check without it is a shutdown), and whatever shows in CPUID or needs a check of the core.
 */
#define VMX_CR0_OWNED	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_WP | X86_CR0_AM)
#define VMX_CR4_OWNED	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE |	\
			 X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |	\
			 X86_CR4_OSXMMEXCPT | X86_CR4_UMIP | X86_CR4_FSGSBASE |		\
			 X86_CR4_SMEP | X86_CR4_SMAP)

/* A change of these drops the TLB (SDM vol. 3, 4.10.4.1). */
#define VMX_CR0_FLUSH	(X86_CR0_PG | X86_CR0_WP)
#define VMX_CR4_FLUSH	(X86_CR4_PGE | X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PCIDE | X86_CR4_SMEP | \
			 X86_CR4_SMAP | X86_CR4_PKE)

void vmx_read_regs(struct vireo_vcpu *vcpu, u32 which)
{
	which &= ~vcpu->avail;
	if (which & VIREO_REG_RIP)
		vcpu->rip = vmx_read(VMCS_GUEST_RIP);
	if (which & VIREO_REG_RSP)
		vcpu->gpr[VIREO_RSP] = vmx_read(VMCS_GUEST_RSP);
	if (which & VIREO_REG_RFLAGS)
		vcpu->rflags = vmx_read(VMCS_GUEST_RFLAGS);
	vcpu->avail |= which;
}

void vmx_read_mode(struct vireo_vcpu *vcpu, struct vireo_mode *mode)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	mode->cr0 = vmx_get_cr(vcpu, 0);
	mode->cr3 = vmx_get_cr(vcpu, 3);
	mode->cr4 = vmx_get_cr(vcpu, 4);
	mode->efer = vmx->efer;
	mode->rflags = vmx_rflags(vcpu);
	mode->cs_attr = vmx_read(VMCS_GUEST_CS_ATTR);
	/* SS.DPL is the CPL in every mode (SDM vol. 3, 25.4.1). */
	mode->cpl = (vmx_read(VMCS_GUEST_SS_ATTR) & VIREO_SEG_DPL) >> VIREO_SEG_DPL_SHIFT;
}

/* ------------------------------------------------------------------ */
/* Segments                                                             */

void vmx_get_segment(struct vireo_vcpu *vcpu, enum vireo_seg nr, struct vireo_segment *seg)
{
	seg->base = vmx_read(VMX_SEG(VMCS_GUEST_ES_BASE, nr));
	seg->limit = vmx_read(VMX_SEG(VMCS_GUEST_ES_LIMIT, nr));
	seg->selector = vmx_read(VMX_SEG(VMCS_GUEST_ES_SELECTOR, nr));
	seg->attr = vmx_read(VMX_SEG(VMCS_GUEST_ES_ATTR, nr));
	seg->pad = 0;
	seg->pad2 = 0;
}

/* What VM entry demands of the hidden part (SDM vol. 3, 27.3.1.2) and a loader may not know. */
static u32 vmx_segment_attr(enum vireo_seg nr, const struct vireo_segment *seg)
{
	u32 attr = seg->attr;

	if (nr == VIREO_SEG_TR)
		attr = (attr & ~VIREO_SEG_UNUSABLE) | VMX_SEG_BUSY;
	if (attr & VIREO_SEG_UNUSABLE)
		return attr;
	if (nr < VIREO_SEG_LDTR)
		attr |= VMX_SEG_ACCESSED;
	if (seg->limit >> 20)
		attr |= VIREO_SEG_G;
	else if ((seg->limit & 0xfff) != 0xfff)
		attr &= ~VIREO_SEG_G;
	return attr;
}

void vmx_set_segment(struct vireo_vcpu *vcpu, enum vireo_seg nr, const struct vireo_segment *seg)
{
	vmx_write(VMX_SEG(VMCS_GUEST_ES_BASE, nr), seg->base);
	vmx_write(VMX_SEG(VMCS_GUEST_ES_LIMIT, nr), seg->limit);
	vmx_write(VMX_SEG(VMCS_GUEST_ES_SELECTOR, nr), seg->selector);
	vmx_write(VMX_SEG(VMCS_GUEST_ES_ATTR, nr), vmx_segment_attr(nr, seg));
	vmx_state_changed(vcpu);
}

void vmx_get_table(struct vireo_vcpu *vcpu, bool idt, struct vireo_table *table)
{
	memset(table, 0, sizeof(*table));
	table->base = vmx_read(idt ? VMCS_GUEST_IDTR_BASE : VMCS_GUEST_GDTR_BASE);
	if (unlikely(idt && vireo_hybrid(vcpu->vm)))
		table->limit = ((struct vmx_vcpu *)vcpu->backend)->idt_limit;
	else
		table->limit = vmx_read(idt ? VMCS_GUEST_IDTR_LIMIT : VMCS_GUEST_GDTR_LIMIT);
}

void vmx_set_table(struct vireo_vcpu *vcpu, bool idt, const struct vireo_table *table)
{
	u16 limit = table->limit;

	if (unlikely(idt && vireo_hybrid(vcpu->vm))) {
		/* INT n of a program is #GP, and so comes to the interpreter. */
		((struct vmx_vcpu *)vcpu->backend)->idt_limit = limit;
		limit = 0;
	}
	vmx_write(idt ? VMCS_GUEST_IDTR_BASE : VMCS_GUEST_GDTR_BASE, table->base);
	vmx_write(idt ? VMCS_GUEST_IDTR_LIMIT : VMCS_GUEST_GDTR_LIMIT, limit);
}

/* ------------------------------------------------------------------ */
/* Control registers and EFER                                           */

u64 vmx_get_cr(struct vireo_vcpu *vcpu, int nr)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	switch (nr) {
	case 0:
		return (vmx->cr0_shadow & ~vmx->cr0_owned) |
		       (vmx_read(VMCS_GUEST_CR0) & vmx->cr0_owned);
	case 3:
		return vcpu->shadow.on ? vcpu->cr3 : vmx_read(VMCS_GUEST_CR3);
	case 4:
		return (vmx->cr4_shadow & ~vmx->cr4_owned) |
		       (vmx_read(VMCS_GUEST_CR4) & vmx->cr4_owned);
	}
	return 0;
}

static void vmx_set_cr4(struct vireo_vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u64 old = vmx_get_cr(vcpu, 4), real = value & ~X86_CR4_MCE;

	vmx->cr4_shadow = value;
	vmx_write(VMCS_CR4_SHADOW, value);
	real |= vmx_caps.msrs.cr4_fixed0 | (cr4_read_shadow() & X86_CR4_MCE);
	if (vcpu->shadow.on) {
		real |= X86_CR4_PAE;
		/* Pages of shadow tables for a guest without paging are user pages. */
		if (!(vmx->cr0_shadow & X86_CR0_PG))
			real &= ~(u64)(X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE);
	}
	vmx_write(VMCS_GUEST_CR4, real & vmx_caps.msrs.cr4_fixed1);
	if ((old ^ value) & VMX_CR4_FLUSH)
		vmx_invvpid(vmx->vpid);
	vmx->todo |= VMX_TODO_PDPTES;
}

static void vmx_set_cr0(struct vireo_vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u64 ones = vmx_caps.msrs.cr0_fixed0;
	u64 old = vmx_get_cr(vcpu, 0);

	/* Unrestricted guests are excepted from PE and PG (SDM vol. 3, 24.8). */
	if (vmx_caps.unrestricted)
		ones &= ~(u64)(X86_CR0_PE | X86_CR0_PG);
	vmx->cr0_shadow = value;
	vmx_write(VMCS_CR0_SHADOW, value);
	if (vcpu->shadow.on)
		ones |= X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
	/* The memory is write-back whatever the guest thinks of its caches. */
	vmx_write(VMCS_GUEST_CR0, ((value & ~(X86_CR0_CD | X86_CR0_NW)) | ones) &
				  vmx_caps.msrs.cr0_fixed1);
	if ((old ^ value) & VMX_CR0_FLUSH)
		vmx_invvpid(vmx->vpid);
	vmx->todo |= VMX_TODO_PDPTES;
	if (vcpu->shadow.on && (old ^ value) & X86_CR0_PG)
		vmx_set_cr4(vcpu, vmx->cr4_shadow);
	vmx_state_changed(vcpu);
}

void vmx_set_cr(struct vireo_vcpu *vcpu, int nr, u64 value)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	switch (nr) {
	case 0:
		vmx_set_cr0(vcpu, value);
		break;
	case 3:
		if (vcpu->shadow.on) {
			vcpu->cr3 = value & ~BIT_ULL(63);
			break;
		}
		/* VM entry with VPIDs keeps what MOV to CR3 would drop.  Bit 63 is not stored. */
		vmx_write(VMCS_GUEST_CR3, value & ~BIT_ULL(63));
		vmx_invvpid(vmx->vpid);
		vmx->todo |= VMX_TODO_PDPTES;
		break;
	case 4:
		vmx_set_cr4(vcpu, value);
		break;
	}
}

u64 vmx_get_efer(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	/* Writes exit, and LMA changes with CR0.PG, which exits too. */
	return vmx->efer;
}

/* The processor's EFER while the guest runs. */
static void vmx_write_efer(struct vireo_vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u64 host = this_cpu_read(vmx_cpu.efer);
	u32 nr;

	/* With shadow tables paging is on while the guest thinks it off: LME would mean long mode. */
	if (vcpu->shadow.on && !(value & EFER_LMA))
		value &= ~(u64)EFER_LME;
	/* SYSCALL of a hybrid VM's programs is #UD, and so comes to the interpreter. */
	if (vireo_hybrid(vcpu->vm))
		value &= ~(u64)EFER_SCE;
	/* So that faults tell fetches apart; no shadow of a guest without NX has the bit. */
	if (vcpu->shadow.on)
		value |= host & EFER_NX;
	if (vmx_caps.efer) {
		vmx_write(VMCS_GUEST_EFER, value);
		return;
	}
	/* LME and LMA follow the entry control, NX stays.  What is left is SCE. */
	nr = (host ^ value) & EFER_SCE ? 1 : 0;
	vmx->efer_load[0] = (struct vmx_msr_entry) {
		.index = MSR_EFER,
		.value = (host & ~(u64)(EFER_SCE | EFER_LME | EFER_LMA)) |
			 (value & (EFER_SCE | EFER_LME | EFER_LMA)),
	};
	vmx->efer_load[1] = (struct vmx_msr_entry) { .index = MSR_EFER, .value = host };
	vmx_write(VMCS_ENTRY_MSR_LOAD_COUNT, nr);
	vmx_write(VMCS_EXIT_MSR_LOAD_COUNT, nr);
}

void vmx_set_efer(struct vireo_vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u32 entry = vmx->entry & ~VMX_ENTRY_GUEST_64;

	if ((vmx->efer ^ value) & (EFER_NX | EFER_LMA))
		vmx_invvpid(vmx->vpid);
	vmx->efer = value;
	vmx_write_efer(vcpu, value);
	if (value & EFER_LMA)
		entry |= VMX_ENTRY_GUEST_64;
	if (entry != vmx->entry) {
		vmx->entry = entry;
		vmx_write(VMCS_ENTRY_CONTROLS, entry);
	}
	/* SCE decides which MSRs are loaded. */
	vmx->todo |= VMX_TODO_PDPTES | VMX_TODO_MSRS;
}

/*
 * With EPT the four entries of a PAE guest come from the VMCS at each entry (SDM vol. 3, 27.3.2.4).
 * MOV to CR3 in the guest reloads them without us.  One with reserved bits would fail the
 * entry and is taken as not present: the guest gets a page fault instead of #GP.
 */
bool vmx_load_pdptes(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u64 gpa, reserved, pdpte[4] = {};
	int i;

	/* Without EPT they are read from where CR3 says, at each entry. */
	if (vcpu->shadow.on || vmx->efer & EFER_LMA || !(vmx_get_cr(vcpu, 0) & X86_CR0_PG) ||
	    !(vmx_get_cr(vcpu, 4) & X86_CR4_PAE))
		return true;

	gpa = vmx_read(VMCS_GUEST_CR3) & 0xffffffe0;
	if (vireo_read_gpa_nofault(vcpu, gpa, pdpte, sizeof(pdpte))) {
		/* Memory that is not resident will be; a hole in the map reads as zero. */
		if (vireo_vcpu_mem(vcpu, gpa >> PAGE_SHIFT))
			return false;
		memset(pdpte, 0, sizeof(pdpte));
	}
	reserved = 0x1e6 | ~vcpu->caps.phys_mask;
	for (i = 0; i < 4; i++) {
		if (pdpte[i] & 1 && pdpte[i] & reserved)
			pdpte[i] = 0;
		vmx_write(VMCS_GUEST_PDPTE0 + 2 * i, pdpte[i]);
	}
	return true;
}

static const struct vireo_cpuid_entry *vmx_cpuid(struct vireo_vcpu *vcpu, u32 leaf, u32 subleaf)
{
	u32 i;

	for (i = 0; i < vcpu->cpuid_nr; i++) {
		const struct vireo_cpuid_entry *e = &vcpu->cpuid[i];

		if (e->leaf == leaf &&
		    (e->subleaf == subleaf || !(e->flags & VIREO_CPUID_SUBLEAF)))
			return e;
	}
	return NULL;
}

/*
 * What follows from CPUID, which is settled when the guest first runs: the bits it owns are
 * among those it may set, and instructions it does not have are #UD.
 */
void vmx_update_masks(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u64 cr0 = vmx_get_cr(vcpu, 0), cr4 = vmx_get_cr(vcpu, 4);
	const struct vireo_cpuid_entry *e;
	u32 proc2 = vmx_caps.proc2 | vmx->apic_proc2 | (vmx->proc2 & VMX_PROC2_PML);

	vmx->cr0_owned = VMX_CR0_OWNED;
	if (!vmx_caps.unrestricted)
		vmx->cr0_owned &= ~(u64)(X86_CR0_PE | X86_CR0_WP);
	vmx->cr4_owned = VMX_CR4_OWNED & ~vcpu->caps.cr4_reserved & vmx_caps.msrs.cr4_fixed1 &
			 ~vmx_caps.msrs.cr4_fixed0;
	/* What is a flush, or matters to a shadow of the guest's tables. */
	if (vcpu->vm->mmu.shadow)
		vmx->cr4_owned &= ~(u64)(X86_CR4_PSE | X86_CR4_PGE | X86_CR4_SMEP | X86_CR4_SMAP);
	vmx_write(VMCS_CR0_MASK, ~vmx->cr0_owned);
	vmx_write(VMCS_CR4_MASK, ~vmx->cr4_owned);
	vmx->cr0_shadow = cr0;
	vmx->cr4_shadow = cr4;
	vmx_write(VMCS_CR0_SHADOW, cr0);
	vmx_write(VMCS_CR4_SHADOW, cr4);

	if (!vmx->vpid)
		proc2 &= ~VMX_PROC2_VPID;
	if (vcpu->shadow.on)
		proc2 &= ~VMX_PROC2_EPT;
	if (!vcpu->caps.rdtscp)
		proc2 &= ~VMX_PROC2_RDTSCP;
	e = vmx_cpuid(vcpu, 7, 0);
	if (!e || !(e->ebx & BIT(10)))
		proc2 &= ~VMX_PROC2_INVPCID;
	e = vmx_cpuid(vcpu, 0xd, 1);
	if (!e || !(e->eax & BIT(3)))
		proc2 &= ~VMX_PROC2_XSAVES;
	if (vireo_hybrid(vcpu->vm))
		proc2 |= vmx_caps.msrs.proc2 >> 32 & VMX_PROC2_DESCRIPTOR;
	if (proc2 != vmx->proc2) {
		vmx->proc2 = proc2;
		vmx_write(VMCS_PROC2_CONTROLS, proc2);
	}
}

/*
 * From the guest's own tables to shadow tables or back: with shadow tables what the guest does to them
 * exits, paging is on whatever it thinks, and memory types are those of the host's PAT.
 */
void vmx_update_paging(struct vireo_vcpu *vcpu)
{
	const u32 watched = VMX_PROC_CR3_LOAD | VMX_PROC_CR3_STORE | VMX_PROC_INVLPG;
	struct vmx_vcpu *vmx = vcpu->backend;
	u64 cr0 = vmx_get_cr(vcpu, 0), cr4 = vmx_get_cr(vcpu, 4);
	bool on = vcpu->shadow.on;

	vmx->shadow_on = on;
	vmx_set_proc(vmx, on ? vmx->proc | watched : vmx->proc & ~watched);
	vmx_update_exceptions(vcpu);
	vmx_update_masks(vcpu);
	vmx_set_cr0(vcpu, cr0);
	vmx_set_cr4(vcpu, cr4);
	vmx_set_efer(vcpu, vmx->efer);
	if (vmx_caps.pat)
		vmx_write(VMCS_GUEST_PAT, on ? vmx_caps.host_pat : vmx->pat);
	if (!on)
		vmx_set_cr(vcpu, 3, vcpu->cr3);
}

/* ------------------------------------------------------------------ */
/* MSRs                                                                 */

int vmx_get_msr(struct vireo_vcpu *vcpu, u32 index, u64 *data)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	switch (index) {
	case MSR_FS_BASE:
		*data = vmx_read(VMCS_GUEST_FS_BASE);
		return 0;
	case MSR_GS_BASE:
		*data = vmx_read(VMCS_GUEST_GS_BASE);
		return 0;
	case MSR_KERNEL_GS_BASE:
		preempt_disable();
		if (vmx->gs_loaded)
			rdmsrl(MSR_KERNEL_GS_BASE, vmx->guest_kernel_gs);
		*data = vmx->guest_kernel_gs;
		preempt_enable();
		return 0;
	case MSR_STAR:
		*data = vmx->msr[VMX_MSR_STAR];
		return 0;
	case MSR_LSTAR:
		*data = vmx->msr[VMX_MSR_LSTAR];
		return 0;
	case MSR_CSTAR:
		*data = vmx->cstar;
		return 0;
	case MSR_SYSCALL_MASK:
		*data = vmx->msr[VMX_MSR_SFMASK];
		return 0;
	case MSR_TSC_AUX:
		*data = vmx->msr[VMX_MSR_TSC_AUX];
		return 0;
	case MSR_IA32_SYSENTER_CS:
		*data = vireo_hybrid(vcpu->vm) ? vmx->sysenter_cs : vmx_read(VMCS_GUEST_SYSENTER_CS);
		return 0;
	case MSR_IA32_SYSENTER_ESP:
		*data = vmx_read(VMCS_GUEST_SYSENTER_ESP);
		return 0;
	case MSR_IA32_SYSENTER_EIP:
		*data = vmx_read(VMCS_GUEST_SYSENTER_EIP);
		return 0;
	case MSR_IA32_CR_PAT:
		*data = vmx->pat;
		return 0;
	case MSR_IA32_DEBUGCTLMSR:
		*data = vmx_read(VMCS_GUEST_DEBUGCTL);
		return 0;
	}
	return -ENOENT;
}

int vmx_set_msr(struct vireo_vcpu *vcpu, u32 index, u64 data)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	switch (index) {
	case MSR_FS_BASE:
		vmx_write(VMCS_GUEST_FS_BASE, data);
		return 0;
	case MSR_GS_BASE:
		vmx_write(VMCS_GUEST_GS_BASE, data);
		return 0;
	case MSR_KERNEL_GS_BASE:
		preempt_disable();
		vmx->guest_kernel_gs = data;
		if (vmx->gs_loaded)
			wrmsrl(MSR_KERNEL_GS_BASE, data);
		preempt_enable();
		return 0;
	case MSR_STAR:
		vmx->msr[VMX_MSR_STAR] = data;
		break;
	case MSR_LSTAR:
		vmx->msr[VMX_MSR_LSTAR] = data;
		break;
	case MSR_CSTAR:
		vmx->cstar = data;
		return 0;
	case MSR_SYSCALL_MASK:
		vmx->msr[VMX_MSR_SFMASK] = (u32)data;
		break;
	case MSR_TSC_AUX:
		vmx->msr[VMX_MSR_TSC_AUX] = (u32)data;
		break;
	case MSR_IA32_SYSENTER_CS:
		vmx->sysenter_cs = data;
		if (!vireo_hybrid(vcpu->vm))
			vmx_write(VMCS_GUEST_SYSENTER_CS, (u32)data);
		return 0;
	case MSR_IA32_SYSENTER_ESP:
		vmx_write(VMCS_GUEST_SYSENTER_ESP, data);
		return 0;
	case MSR_IA32_SYSENTER_EIP:
		vmx_write(VMCS_GUEST_SYSENTER_EIP, data);
		return 0;
	case MSR_IA32_CR_PAT:
		vmx->pat = data;
		if (!vcpu->shadow.on)
			vmx_write(VMCS_GUEST_PAT, data);
		return 0;
	case MSR_IA32_DEBUGCTLMSR:
		vmx_write(VMCS_GUEST_DEBUGCTL, data & DEBUGCTLMSR_BTF);
		vmx->todo |= VMX_TODO_STEP;
		return 0;
	default:
		return -ENOENT;
	}
	vmx->todo |= VMX_TODO_MSRS;
	return 0;
}

/* Fields of the VMCS behind struct vireo_raw, and what else it has here. */
static const u32 vmx_raw_fields[] = {
#define VMX_RAW(nr) VMX_SEG(VMCS_GUEST_ES_BASE, nr), VMX_SEG(VMCS_GUEST_ES_LIMIT, nr),	\
		    VMX_SEG(VMCS_GUEST_ES_SELECTOR, nr), VMX_SEG(VMCS_GUEST_ES_ATTR, nr)
	VMX_RAW(VIREO_SEG_ES), VMX_RAW(VIREO_SEG_CS), VMX_RAW(VIREO_SEG_SS), VMX_RAW(VIREO_SEG_DS),
	VMX_RAW(VIREO_SEG_FS), VMX_RAW(VIREO_SEG_GS), VMX_RAW(VIREO_SEG_LDTR), VMX_RAW(VIREO_SEG_TR),
#undef VMX_RAW
	VMCS_GUEST_GDTR_BASE, VMCS_GUEST_GDTR_LIMIT, VMCS_GUEST_IDTR_BASE, VMCS_GUEST_IDTR_LIMIT,
	VMCS_GUEST_SYSENTER_CS, VMCS_GUEST_SYSENTER_ESP, VMCS_GUEST_SYSENTER_EIP, VMCS_GUEST_DEBUGCTL,
};

struct vmx_raw {
	u64 fields[ARRAY_SIZE(vmx_raw_fields)];
	u64 msr[VMX_MSR_NR];
	u64 cstar, kernel_gs;
	u32 sysenter_cs;
	u16 idt_limit;
};

static_assert(sizeof(struct vmx_raw) <= sizeof(struct vireo_raw));

void vmx_get_raw(struct vireo_vcpu *vcpu, struct vireo_raw *raw)
{
	const struct vmx_vcpu *vmx = vcpu->backend;
	struct vmx_raw *r = (void *)raw;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vmx_raw_fields); i++)
		r->fields[i] = vmx_read(vmx_raw_fields[i]);
	memcpy(r->msr, vmx->msr, sizeof(r->msr));
	r->cstar = vmx->cstar;
	vmx_get_msr(vcpu, MSR_KERNEL_GS_BASE, &r->kernel_gs);
	r->sysenter_cs = vmx->sysenter_cs;
	r->idt_limit = vmx->idt_limit;
}

void vmx_set_raw(struct vireo_vcpu *vcpu, const struct vireo_raw *raw)
{
	const struct vmx_raw *r = (const void *)raw;
	struct vmx_vcpu *vmx = vcpu->backend;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vmx_raw_fields); i++)
		vmx_write(vmx_raw_fields[i], r->fields[i]);
	memcpy(vmx->msr, r->msr, sizeof(r->msr));
	vmx->cstar = r->cstar;
	vmx_set_msr(vcpu, MSR_KERNEL_GS_BASE, r->kernel_gs);
	vmx->sysenter_cs = r->sysenter_cs;
	vmx->idt_limit = r->idt_limit;
	/* CR3 may be the same, and what it points to is not. */
	vmx->todo |= VMX_TODO_MSRS | VMX_TODO_PDPTES | VMX_TODO_STEP;
	vmx_state_changed(vcpu);
}

/* ------------------------------------------------------------------ */
/* Debug registers                                                      */

void vmx_drs_to_cpu(struct vireo_vcpu *vcpu)
{
	set_debugreg(vcpu->db[0], 0);
	set_debugreg(vcpu->db[1], 1);
	set_debugreg(vcpu->db[2], 2);
	set_debugreg(vcpu->db[3], 3);
	set_debugreg(vcpu->dr6, 6);
}

void vmx_drs_from_cpu(struct vireo_vcpu *vcpu)
{
	unsigned long value;

	get_debugreg(value, 0);
	vcpu->db[0] = value;
	get_debugreg(value, 1);
	vcpu->db[1] = value;
	get_debugreg(value, 2);
	vcpu->db[2] = value;
	get_debugreg(value, 3);
	vcpu->db[3] = value;
	get_debugreg(value, 6);
	vcpu->dr6 = value;
}

/* DR7 is 0x400 outside of the guest, so its addresses can stay in the processor. */
void vmx_dr_load(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	/* If the host has breakpoints, its registers come back after each exit: see enter.c. */
	vmx->dr_stale = true;
	vmx->todo |= VMX_TODO_DRS;
	vmx_set_proc(vmx, vmx->proc & ~VMX_PROC_MOV_DR);
}

void vmx_dr_save(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	if (!vmx->dr_stale) {
		vmx_drs_from_cpu(vcpu);
		set_debugreg(DR6_RESERVED, 6);
	}
	vcpu->dr7 = vmx_read(VMCS_GUEST_DR7);
	vmx->dr_stale = false;
	vmx_set_proc(vmx, vmx->proc | VMX_PROC_MOV_DR);
}

u64 vmx_get_dr7(struct vireo_vcpu *vcpu)
{
	return vmx_read(VMCS_GUEST_DR7);
}

void vmx_set_dr7(struct vireo_vcpu *vcpu, u64 value)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	vmx_write(VMCS_GUEST_DR7, value);
	if (value & VMX_DR7_ENABLED)
		vmx->todo |= VMX_TODO_DRS;
}

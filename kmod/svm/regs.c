// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers of a vCPU that is not in the guest: most live in the VMCB's save area.
 */
#include <linux/sched.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>

#include "svm.h"

void svm_read_regs(struct vireo_vcpu *vcpu, u32 which)
{
	const struct vmcb_save *s = &to_vmcb(vcpu)->save;

	if (which & VIREO_REG_RIP)
		vcpu->rip = s->rip;
	if (which & VIREO_REG_RSP)
		vcpu->gpr[VIREO_RSP] = s->rsp;
	if (which & VIREO_REG_RFLAGS)
		vcpu->rflags = s->rflags;
	vcpu->avail |= which;
}

/* What was changed goes to the VMCB; the copies stay good. */
void svm_write_regs(struct vireo_vcpu *vcpu)
{
	struct vmcb_save *s = &to_vmcb(vcpu)->save;
	u32 dirty = vcpu->dirty;

	if (dirty & VIREO_REG_RIP)
		s->rip = vcpu->rip;
	if (dirty & VIREO_REG_RSP)
		s->rsp = vcpu->gpr[VIREO_RSP];
	if (dirty & VIREO_REG_RFLAGS)
		s->rflags = vcpu->rflags;
	vcpu->dirty = 0;
}

void svm_read_mode(struct vireo_vcpu *vcpu, struct vireo_mode *mode)
{
	const struct svm_vcpu *svm = to_svm(vcpu);
	const struct vmcb_save *s = &svm->vmcb->save;

	mode->cr0 = svm_get_cr(vcpu, 0);
	mode->cr3 = svm_get_cr(vcpu, 3);
	mode->cr4 = svm->cr4;
	mode->efer = svm->efer;
	mode->rflags = vireo_rflags(vcpu);
	mode->cs_attr = (s->cs.attr & 0xff) | (s->cs.attr & 0xf00) << 4;
	mode->cpl = s->cpl;
}

/* ------------------------------------------------------------------ */
/* Segments                                                             */

/* Both number ES, CS, SS, DS, FS, GS alike. */
static_assert(VIREO_SEG_ES == 0 && VIREO_SEG_CS == 1 && VIREO_SEG_SS == 2 && VIREO_SEG_DS == 3 &&
	      VIREO_SEG_FS == 4 && VIREO_SEG_GS == 5);
static_assert(offsetof(struct vmcb_save, gs) == 5 * sizeof(struct vmcb_segment));

static struct vmcb_segment *svm_segment(struct vmcb *vmcb, enum vireo_seg nr)
{
	switch (nr) {
	case VIREO_SEG_ES:
		return &vmcb->save.es;
	case VIREO_SEG_CS:
		return &vmcb->save.cs;
	case VIREO_SEG_SS:
		return &vmcb->save.ss;
	case VIREO_SEG_DS:
		return &vmcb->save.ds;
	case VIREO_SEG_FS:
		return &vmcb->save.fs;
	case VIREO_SEG_GS:
		return &vmcb->save.gs;
	case VIREO_SEG_LDTR:
		return &vmcb->save.ldtr;
	default:
		return &vmcb->save.tr;
	}
}

void svm_get_segment(struct vireo_vcpu *vcpu, enum vireo_seg nr, struct vireo_segment *seg)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	const struct vmcb_segment *s = svm_segment(vmcb, nr);

	seg->base = s->base;
	seg->limit = s->limit;
	seg->selector = s->selector;
	seg->attr = (s->attr & 0xff) | (s->attr & 0xf00) << 4;
	seg->pad = 0;
	seg->pad2 = 0;

	/* SVM has no bit of its own for "unusable": such a segment is not present (APM 15.5.1). */
	if (!(seg->attr & VIREO_SEG_P))
		seg->attr |= VIREO_SEG_UNUSABLE;
	/* The processor goes by the CPL field, not by the DPL of SS. */
	if (nr == VIREO_SEG_SS)
		seg->attr = (seg->attr & ~VIREO_SEG_DPL) |
			    vmcb->save.cpl << VIREO_SEG_DPL_SHIFT;
	/* TR is always that of a busy task; not all processors say so. */
	if (nr == VIREO_SEG_TR && !(seg->attr & VIREO_SEG_UNUSABLE))
		seg->attr |= 2;
}

void svm_set_segment(struct vireo_vcpu *vcpu, enum vireo_seg nr,
		     const struct vireo_segment *seg)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	struct vmcb_segment *s = svm_segment(vmcb, nr);

	s->base = seg->base;
	s->limit = seg->limit;
	s->selector = seg->selector;
	s->attr = (seg->attr & 0xff) | (seg->attr >> 4 & 0xf00);
	if (seg->attr & VIREO_SEG_UNUSABLE)
		s->attr &= ~VIREO_SEG_P;
	/* QEMU's dies of a busy TSS when a call gate wants the inner stack (quirks.c). */
	if (nr == VIREO_SEG_TR && static_branch_unlikely(&svm_shadow_lost))
		s->attr &= ~2;
	if (nr == VIREO_SEG_SS)
		vmcb->save.cpl = (seg->attr & VIREO_SEG_DPL) >> VIREO_SEG_DPL_SHIFT;
	vmcb_dirty(vmcb, VMCB_CLEAN_SEG);
}

void svm_get_table(struct vireo_vcpu *vcpu, bool idt, struct vireo_table *table)
{
	const struct vmcb_save *s = &to_vmcb(vcpu)->save;
	const struct vmcb_segment *t = idt ? &s->idtr : &s->gdtr;

	*table = (struct vireo_table) { .base = t->base, .limit = t->limit };
}

void svm_set_table(struct vireo_vcpu *vcpu, bool idt, const struct vireo_table *table)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	struct vmcb_segment *t = idt ? &vmcb->save.idtr : &vmcb->save.gdtr;

	t->base = table->base;
	t->limit = table->limit;
	vmcb_dirty(vmcb, VMCB_CLEAN_TABLES);
}

/* ------------------------------------------------------------------ */
/* Control registers                                                    */

/* The guest changes these two without an exit: the VMCB knows them. */
#define SVM_CR0_OWN (X86_CR0_TS | X86_CR0_MP)

u64 svm_get_cr(struct vireo_vcpu *vcpu, int nr)
{
	const struct svm_vcpu *svm = to_svm(vcpu);

	switch (nr) {
	case 0:
		return (svm->cr0 & ~(u64)SVM_CR0_OWN) | (svm->vmcb->save.cr0 & SVM_CR0_OWN);
	case 3:
		return vcpu->shadow.on ? vcpu->cr3 : svm->vmcb->save.cr3;
	case 4:
		return svm->cr4;
	}
	return 0;
}

/* Without MCE a machine check would shut the processor down in place of telling the host. */
static void svm_set_cr4(struct vireo_vcpu *vcpu, u64 value)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	u64 real = value | (native_read_cr4() & X86_CR4_MCE);

	if (vcpu->shadow.on) {
		real |= X86_CR4_PAE;
		/* Pages of shadow tables for a guest without paging are user pages. */
		if (!(svm->cr0 & X86_CR0_PG))
			real &= ~(u64)(X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE);
	}
	svm->cr4 = value;
	vmcb->save.cr4 = real;
	vmcb_intercept(vmcb, VMCB_I_CR4_READ, real != value);
	vmcb_dirty(vmcb, VMCB_CLEAN_CR);
}

/*
 * CD and NW are kept from the processor: caches are the host's.  As long as the guest sees them
 * otherwise than the processor does, all reads and writes of CR0 exit.
 */
static void svm_set_cr0(struct vireo_vcpu *vcpu, u64 value)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	u64 real = (value & ~(u64)(X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
	bool paging = (svm->cr0 ^ value) & X86_CR0_PG;

	svm->cr0 = value;
	if (vcpu->shadow.on) {
		/* Shadow tables are in use whatever the guest does, in real mode too (APM 15.9). */
		real |= X86_CR0_PG | X86_CR0_WP;
		if (paging)
			svm_set_cr4(vcpu, svm->cr4);
	}
	vmcb->save.cr0 = real;
	vmcb_intercept(vmcb, VMCB_I_CR0_READ, real != value);
	vmcb_intercept(vmcb, VMCB_I_CR0_WRITE, real != value);
	vmcb_dirty(vmcb, VMCB_CLEAN_CR);
}

void svm_set_cr(struct vireo_vcpu *vcpu, int nr, u64 value)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	switch (nr) {
	case 0:
		svm_set_cr0(vcpu, value);
		break;
	case 3:
		if (vcpu->shadow.on) {
			vcpu->cr3 = value;
			break;
		}
		svm->vmcb->save.cr3 = value;
		vmcb_dirty(svm->vmcb, VMCB_CLEAN_CR);
		break;
	case 4:
		svm_set_cr4(vcpu, value);
		break;
	}
}

u64 svm_get_efer(struct vireo_vcpu *vcpu)
{
	return to_svm(vcpu)->efer;
}

/* VMRUN demands SVME (APM 15.5.1); the guest is not shown it. */
void svm_set_efer(struct vireo_vcpu *vcpu, u64 value)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->efer = value;
	/* SYSCALL of a hybrid VM's programs is #UD, and so comes to the interpreter. */
	if (vireo_hybrid(vcpu->vm))
		value &= ~(u64)EFER_SCE;
	/* With shadow tables paging is on while the guest thinks it off: LME would mean long mode. */
	if (vcpu->shadow.on) {
		if (!(value & EFER_LMA))
			value &= ~(u64)EFER_LME;
		/* So that faults tell fetches apart; no shadow of a guest without NX has the bit. */
		if (boot_cpu_has(X86_FEATURE_NX))
			value |= EFER_NX;
	}
	svm->vmcb->save.efer = value | EFER_SVME;
	vmcb_dirty(svm->vmcb, VMCB_CLEAN_CR);
}

/* ------------------------------------------------------------------ */
/* MSRs                                                                 */

static u64 *svm_msr(struct vireo_vcpu *vcpu, u32 index)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_save *s = &svm->vmcb->save;

	switch (index) {
	case MSR_FS_BASE:
		return &s->fs.base;
	case MSR_GS_BASE:
		return &s->gs.base;
	case MSR_KERNEL_GS_BASE:
		return &s->kernel_gs_base;
	case MSR_STAR:
		return &s->star;
	case MSR_LSTAR:
		return &s->lstar;
	case MSR_CSTAR:
		return &s->cstar;
	case MSR_SYSCALL_MASK:
		return &s->sfmask;
	case MSR_IA32_SYSENTER_CS:
		return vireo_hybrid(vcpu->vm) ? &svm->sysenter_cs : &s->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:
		return &s->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:
		return &s->sysenter_eip;
	case MSR_IA32_CR_PAT:
		return &s->pat;
	case MSR_IA32_DEBUGCTLMSR:
		return &svm->debugctl;
	case MSR_TSC_AUX:
		return svm_caps.rdtscp ? &svm->tsc_aux : NULL;
	}
	return NULL;
}

int svm_get_msr(struct vireo_vcpu *vcpu, u32 index, u64 *data)
{
	const u64 *msr = svm_msr(vcpu, index);

	if (!msr)
		return -ENOENT;
	*data = *msr;
	return 0;
}

int svm_set_msr(struct vireo_vcpu *vcpu, u32 index, u64 data)
{
	u64 *msr = svm_msr(vcpu, index);

	if (!msr)
		return -ENOENT;
	if (index == MSR_TSC_AUX && to_svm(vcpu)->tsc_aux_loaded && data != *msr)
		wrmsrl(MSR_TSC_AUX, data);
	*msr = data;
	if (index == MSR_IA32_CR_PAT)
		vmcb_dirty(to_vmcb(vcpu), VMCB_CLEAN_NESTED);
	return 0;
}

/* What struct vireo_raw is here. */
struct svm_raw {
	u8 segments[sizeof_field(struct vmcb_save, segments)] __aligned(8);
	u8 msrs[sizeof_field(struct vmcb_save, msrs)] __aligned(8);
	u64 tsc_aux, debugctl, sysenter_cs;
	u8 cpl;
};

static_assert(sizeof(struct svm_raw) <= sizeof(struct vireo_raw));

void svm_get_raw(struct vireo_vcpu *vcpu, struct vireo_raw *raw)
{
	const struct svm_vcpu *svm = to_svm(vcpu);
	const struct vmcb_save *s = &svm->vmcb->save;
	struct svm_raw *r = (void *)raw;

	memcpy(r->segments, &s->segments, sizeof(r->segments));
	memcpy(r->msrs, &s->msrs, sizeof(r->msrs));
	r->tsc_aux = svm->tsc_aux;
	r->debugctl = svm->debugctl;
	r->sysenter_cs = svm->sysenter_cs;
	r->cpl = s->cpl;
}

void svm_set_raw(struct vireo_vcpu *vcpu, const struct vireo_raw *raw)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_save *s = &svm->vmcb->save;
	const struct svm_raw *r = (const void *)raw;

	memcpy(&s->segments, r->segments, sizeof(r->segments));
	memcpy(&s->msrs, r->msrs, sizeof(r->msrs));
	if (unlikely(svm->tsc_aux != r->tsc_aux))
		svm_set_msr(vcpu, MSR_TSC_AUX, r->tsc_aux);
	svm->debugctl = r->debugctl;
	svm->sysenter_cs = r->sysenter_cs;
	s->cpl = r->cpl;
	vmcb_dirty(svm->vmcb, VMCB_CLEAN_SEG | VMCB_CLEAN_TABLES);
}

/* ------------------------------------------------------------------ */
/* Debug registers                                                      */

/*
 * DR6 and DR7 are switched by the processor, DR0 to DR3 are not, and #VMEXIT clears DR7 (APM 15.5.1,
 * 15.6): so the host runs with the guest's DR0 to DR3, disabled.
 */
void svm_dr_load(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	set_debugreg(vcpu->db[0], 0);
	set_debugreg(vcpu->db[1], 1);
	set_debugreg(vcpu->db[2], 2);
	set_debugreg(vcpu->db[3], 3);
	vmcb->save.dr6 = vcpu->dr6;
	vmcb->save.dr7 = svm->dr7;
	vmcb->control.intercept[VMCB_I_DR_WORD] = 0;
	vmcb_dirty(vmcb, VMCB_CLEAN_DR | VMCB_CLEAN_INTERCEPTS);
}

static void svm_dr_take(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	unsigned long db[4];
	int i;

	get_debugreg(db[0], 0);
	get_debugreg(db[1], 1);
	get_debugreg(db[2], 2);
	get_debugreg(db[3], 3);
	for (i = 0; i < 4; i++)
		vcpu->db[i] = db[i];
	vcpu->dr6 = vmcb->save.dr6;
	svm->dr7 = vmcb->save.dr7;
	vcpu->dr7 = svm->dr7;

	vmcb->save.dr6 = SVM_DR6_QUIET;
	vmcb->save.dr7 = SVM_DR7_QUIET;
	vmcb->control.intercept[VMCB_I_DR_WORD] = ~0U;
	vmcb_dirty(vmcb, VMCB_CLEAN_DR | VMCB_CLEAN_INTERCEPTS);
}

void svm_dr_save(struct vireo_vcpu *vcpu)
{
	svm_dr_take(vcpu);
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
}

/*
 * The host has breakpoints on this CPU, and #VMEXIT has disabled them.  Guest and host cannot both
 * have the registers: the guest gets its own back when it next asks for them.
 */
struct vireo_vcpu *svm_host_breakpoints(struct vireo_vcpu *vcpu)
{
	if (vcpu->dr_loaded) {
		svm_dr_take(vcpu);
		vcpu->dr_loaded = false;
	}
	hw_breakpoint_restore();
	return vcpu;
}

u64 svm_get_dr7(struct vireo_vcpu *vcpu)
{
	return vcpu->dr_loaded ? to_vmcb(vcpu)->save.dr7 : to_svm(vcpu)->dr7;
}

void svm_set_dr7(struct vireo_vcpu *vcpu, u64 value)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->dr7 = value;
	if (vcpu->dr_loaded) {
		svm->vmcb->save.dr7 = value;
		vmcb_dirty(svm->vmcb, VMCB_CLEAN_DR);
	}
}

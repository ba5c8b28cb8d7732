// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control registers: what the guest may set, and what follows from it.
 *
 * The checks are those of MOV to CRn and WRMSR EFER (SDM vol. 3, 2.5 and 4.1; vol. 2, MOV); the
 * backend adds what the hardware wants beside the guest's value.
 */
#include <asm/msr-index.h>

#include "core.h"
#include "irq/irq.h"
#include "mmu/mmu.h"

#define VIREO_CR0_KNOWN (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
			 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
			 X86_CR0_PG)
/* Changes of these make cached translations wrong (SDM vol. 3, 4.10.4.1). */
#define VIREO_CR4_FLUSH (X86_CR4_PGE | X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PCIDE | \
			 X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_LA57)

static bool vireo_cr0_legal(u64 cr0)
{
	if (cr0 & ~(u64)VIREO_CR0_KNOWN)
		return false;
	if ((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE))
		return false;
	return !(cr0 & X86_CR0_NW) || (cr0 & X86_CR0_CD);
}

/* Entering long mode needs a TSS that the 64-bit consistency checks take. */
static void vireo_fix_tr(struct vireo_vcpu *vcpu)
{
	struct vireo_segment tr;

	vireo_backend_get_segment(vcpu, VIREO_SEG_TR, &tr);
	if ((tr.attr & VIREO_SEG_TYPE) != 0xb) {
		tr.attr = (tr.attr & ~VIREO_SEG_TYPE) | 0xb;
		vireo_backend_set_segment(vcpu, VIREO_SEG_TR, &tr);
	}
}

/*
 * Intel processors load PAE's top level with CR3, and refuse reserved bits there (SDM vol. 3, 4.4.1); AMD's read it at each
 * walk.  With nested paging the processor looks itself where it carries out the load.  0, -EINVAL, -EAGAIN.
 */
static int vireo_check_pdptes(struct vireo_vcpu *vcpu, u64 cr0, u64 cr4, u64 cr3)
{
	const u64 reserved = 0x1e6 | ~vcpu->caps.phys_mask;
	u64 pdpte[4];
	int i, r;

	if (likely(vireo_caps.vendor != VIREO_VENDOR_INTEL ||
		   !(cr0 & X86_CR0_PG) || !(cr4 & X86_CR4_PAE) ||
		   vireo_backend_get_efer(vcpu) & EFER_LMA))
		return 0;
	cr3 &= 0xffffffe0;
	if (irqs_disabled())
		r = vireo_read_gpa_nofault(vcpu, cr3, pdpte, sizeof(pdpte));
	else
		r = vireo_read_gpa(vcpu, cr3, pdpte, sizeof(pdpte));
	if (r)
		/* Outside of all memory they read as not present. */
		return irqs_disabled() ? -EAGAIN : 0;
	for (i = 0; i < 4; i++) {
		if ((pdpte[i] & 1) && (pdpte[i] & reserved))
			return -EINVAL;
	}
	return 0;
}

int vireo_set_cr0(struct vireo_vcpu *vcpu, u64 value)
{
	u64 old = vireo_backend_get_cr(vcpu, 0);
	u64 efer = vireo_backend_get_efer(vcpu);
	u64 cr4 = vireo_backend_get_cr(vcpu, 4);
	int r;

	value |= X86_CR0_ET;
	if (!vireo_cr0_legal(value))
		return -EINVAL;
	if (!(value & X86_CR0_PG) && (cr4 & X86_CR4_PCIDE))
		return -EINVAL;
	/* The backend may have to read PDPTEs from guest memory. */
	if (((old ^ value) & X86_CR0_PG) && irqs_disabled())
		return -EAGAIN;
	if (!(efer & EFER_LME) && (old ^ value) & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)) {
		r = vireo_check_pdptes(vcpu, value, cr4, vireo_backend_get_cr(vcpu, 3));
		if (r)
			return r;
	}

	if ((value & X86_CR0_PG) && !(old & X86_CR0_PG) && (efer & EFER_LME)) {
		struct vireo_segment cs;

		vireo_backend_get_segment(vcpu, VIREO_SEG_CS, &cs);
		if (!(cr4 & X86_CR4_PAE) || (cs.attr & VIREO_SEG_L))
			return -EINVAL;
		vireo_fix_tr(vcpu);
		vireo_backend_set_efer(vcpu, efer | EFER_LMA);
	}
	if (!(value & X86_CR0_PG) && (old & X86_CR0_PG) && (efer & EFER_LMA)) {
		struct vireo_segment cs;

		vireo_backend_get_segment(vcpu, VIREO_SEG_CS, &cs);
		if (cs.attr & VIREO_SEG_L)
			return -EINVAL;
		vireo_backend_set_efer(vcpu, efer & ~EFER_LMA);
	}
	vireo_backend_set_cr(vcpu, 0, value);
	if ((old ^ value) & (X86_CR0_PG | X86_CR0_WP))
		vireo_mmu_flush(vcpu);
	return 0;
}

int vireo_set_cr3(struct vireo_vcpu *vcpu, u64 value)
{
	u64 cr4 = vireo_backend_get_cr(vcpu, 4);
	bool keep = false;
	int r;

	if (cr4 & X86_CR4_PCIDE) {
		keep = value & BIT_ULL(63);
		value &= ~BIT_ULL(63);
	}
	if ((vireo_backend_get_efer(vcpu) & EFER_LMA) && (value & ~vcpu->caps.phys_mask))
		return -EINVAL;
	/* The processor's CR3 is another with shadow tables: nothing that has to sleep. */
	if (irqs_disabled() && !vcpu->shadow.on)
		return -EAGAIN;
	r = vireo_check_pdptes(vcpu, vireo_backend_get_cr(vcpu, 0), cr4, value);
	if (r)
		return r;
	vireo_backend_set_cr(vcpu, 3, value);
	/* Shadow tables follow CR3, whatever TLBs keep; at once, if nothing is in the way. */
	if (vcpu->shadow.on) {
		if (!irqs_disabled() || vireo_mmu_load_root(vcpu))
			vireo_mmu_flush(vcpu);
	} else if (!keep) {
		vireo_mmu_flush(vcpu);
	}
	return 0;
}

static bool vireo_cr4_legal(struct vireo_vcpu *vcpu, u64 cr4, u64 efer)
{
	if (cr4 & vcpu->caps.cr4_reserved)
		return false;
	if ((efer & EFER_LMA) && !(cr4 & X86_CR4_PAE))
		return false;
	return !(cr4 & X86_CR4_PCIDE) || (efer & EFER_LMA);
}

int vireo_set_cr4(struct vireo_vcpu *vcpu, u64 value)
{
	u64 old = vireo_backend_get_cr(vcpu, 4);
	u64 efer = vireo_backend_get_efer(vcpu);

	if (!vireo_cr4_legal(vcpu, value, efer))
		return -EINVAL;
	if ((efer & EFER_LMA) && ((old ^ value) & X86_CR4_LA57))
		return -EINVAL;
	if ((value & X86_CR4_PCIDE) && !(old & X86_CR4_PCIDE) &&
	    (vireo_backend_get_cr(vcpu, 3) & 0xfff))
		return -EINVAL;
	if (irqs_disabled())
		return -EAGAIN;
	if ((old ^ value) & (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP) &&
	    vireo_check_pdptes(vcpu, vireo_backend_get_cr(vcpu, 0), value,
			       vireo_backend_get_cr(vcpu, 3)))
		return -EINVAL;
	vireo_backend_set_cr(vcpu, 4, value);
	if ((old ^ value) & VIREO_CR4_FLUSH)
		vireo_mmu_flush(vcpu);
	if ((old ^ value) & X86_CR4_OSXSAVE)
		vireo_cpuid_update(vcpu);
	return 0;
}

int vireo_set_cr8(struct vireo_vcpu *vcpu, u64 value)
{
	if (value & ~0xfULL)
		return -EINVAL;
	vireo_lapic_set_tpr(vcpu, value);
	return 0;
}

int vireo_set_efer(struct vireo_vcpu *vcpu, u64 value, bool host)
{
	u64 old = vireo_backend_get_efer(vcpu);
	bool paging = vireo_backend_get_cr(vcpu, 0) & X86_CR0_PG;

	if (value & ~(vcpu->caps.efer_allowed | EFER_LMA))
		return -EINVAL;
	if (!host) {
		/* LMA is read-only: what is written to it is ignored. */
		value = (value & ~(u64)EFER_LMA) | (old & EFER_LMA);
		if (((old ^ value) & EFER_LME) && paging)
			return -EINVAL;
	}
	vireo_backend_set_efer(vcpu, value);
	if ((old ^ value) & EFER_NX)
		vireo_mmu_flush(vcpu);
	return 0;
}

/* XCR0: SDM vol. 1, 13.3. */
static bool vireo_xcr0_legal(struct vireo_vcpu *vcpu, u64 value)
{
	const u64 avx512 = XFEATURE_MASK_OPMASK | XFEATURE_MASK_ZMM_Hi256 |
			   XFEATURE_MASK_Hi16_ZMM;

	if (!(value & XFEATURE_MASK_FP) || (value & ~vcpu->caps.xcr0_allowed))
		return false;
	if ((value & XFEATURE_MASK_YMM) && !(value & XFEATURE_MASK_SSE))
		return false;
	if (value & avx512)
		return (value & avx512) == avx512 && (value & XFEATURE_MASK_YMM);
	return true;
}

int vireo_set_xcr0(struct vireo_vcpu *vcpu, u64 value)
{
	if (!vcpu->caps.xcr0_allowed) {
		vcpu->xcr0 = XFEATURE_MASK_FP;
		return value == XFEATURE_MASK_FP ? 0 : -EINVAL;
	}
	if (!vireo_xcr0_legal(vcpu, value))
		return -EINVAL;
	vcpu->xcr0 = value;
	vcpu->xcr0_differs = value != vcpu->host_xcr0;
	vireo_cpuid_update(vcpu);
	return 0;
}

int vireo_check_sregs(struct vireo_vcpu *vcpu, const struct vireo_sregs *sregs)
{
	bool lma = sregs->efer & EFER_LMA;
	int i;

	if (!vireo_cr0_legal(sregs->cr0) || !vireo_cr4_legal(vcpu, sregs->cr4, sregs->efer))
		return -EINVAL;
	if (sregs->efer & ~(vcpu->caps.efer_allowed | EFER_LMA))
		return -EINVAL;
	if (lma != ((sregs->efer & EFER_LME) && (sregs->cr0 & X86_CR0_PG)))
		return -EINVAL;
	if (sregs->cr8 & ~0xfULL)
		return -EINVAL;
	if (lma && (sregs->cr3 & ~vcpu->caps.phys_mask))
		return -EINVAL;
	if (vcpu->caps.xcr0_allowed ? !vireo_xcr0_legal(vcpu, sregs->xcr0) :
				      sregs->xcr0 != XFEATURE_MASK_FP)
		return -EINVAL;
	if (vireo_lapic_check_base(vcpu, sregs->apic_base))
		return -EINVAL;
	for (i = 0; i < VIREO_SEG_NR; i++) {
		const struct vireo_segment *seg = &sregs->seg[i];

		if (seg->pad || seg->pad2 || (seg->attr & ~0x1f0ffU))
			return -EINVAL;
		if (i >= VIREO_SEG_FS ? !vireo_canonical(sregs->cr4, seg->base) :
		    lma ? false : seg->base >> 32)
			return -EINVAL;
		/* A limit with low bits clear cannot have page granularity, and the reverse. */
		if (!(seg->attr & VIREO_SEG_UNUSABLE) && (seg->attr & VIREO_SEG_P)) {
			if ((seg->attr & VIREO_SEG_G) ? (seg->limit & 0xfff) != 0xfff :
							seg->limit >> 20)
				return -EINVAL;
		}
	}
	/* L and D together are reserved; L counts only in long mode. */
	if (lma && (sregs->seg[VIREO_SEG_CS].attr & VIREO_SEG_L) &&
	    (sregs->seg[VIREO_SEG_CS].attr & VIREO_SEG_DB))
		return -EINVAL;
	if (!vireo_canonical(sregs->cr4, sregs->gdt.base) ||
	    !vireo_canonical(sregs->cr4, sregs->idt.base))
		return -EINVAL;
	for (i = 0; i < 3; i++) {
		if (sregs->gdt.pad[i] || sregs->idt.pad[i])
			return -EINVAL;
	}
	return 0;
}

/* What does not live in the control structure, and what follows.  @shown: CPUID does. */
static __always_inline void vireo_set_rest(struct vireo_vcpu *vcpu, const struct vireo_sregs *sregs, bool shown)
{
	vcpu->cr2 = sregs->cr2;
	if (vcpu->xcr0 != sregs->xcr0)
		vireo_set_xcr0(vcpu, sregs->xcr0);
	if (vcpu->apic_base != sregs->apic_base) {
		vireo_lapic_set_base(vcpu, sregs->apic_base, true);
		shown = true;
	}
	/* CR8 is the upper half of the task priority: writing it clears the lower one. */
	if (vireo_lapic_get_tpr(vcpu) != sregs->cr8)
		vireo_lapic_set_tpr(vcpu, sregs->cr8);
	if (shown)
		vireo_cpuid_update(vcpu);
	/* Also how a launcher tells that it has written to tables, which nothing here can see. */
	if (vcpu->vm->mmu.shadow)
		vireo_shadow_forget(vcpu->vm);
	vireo_mmu_flush(vcpu);
	vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

void vireo_set_sregs(struct vireo_vcpu *vcpu, const struct vireo_sregs *sregs)
{
	const bool shown = (vireo_backend_get_cr(vcpu, 4) ^ sregs->cr4) & X86_CR4_OSXSAVE;
	int i;

	vireo_backend_set_efer(vcpu, sregs->efer);
	vireo_backend_set_cr(vcpu, 4, sregs->cr4);
	vireo_backend_set_cr(vcpu, 3, sregs->cr3);
	vireo_backend_set_cr(vcpu, 0, sregs->cr0 | X86_CR0_ET);
	for (i = 0; i < VIREO_SEG_NR; i++)
		vireo_backend_set_segment(vcpu, i, &sregs->seg[i]);
	vireo_backend_set_table(vcpu, false, &sregs->gdt);
	vireo_backend_set_table(vcpu, true, &sregs->idt);
	vireo_set_rest(vcpu, sregs, shown);
}

void vireo_back_sregs(struct vireo_vcpu *vcpu, const struct vireo_sregs *sregs, const struct vireo_raw *raw)
{
	const u64 cr4 = vireo_backend_get_cr(vcpu, 4);

	if (unlikely(vireo_backend_get_efer(vcpu) != sregs->efer))
		vireo_backend_set_efer(vcpu, sregs->efer);
	if (unlikely(cr4 != sregs->cr4))
		vireo_backend_set_cr(vcpu, 4, sregs->cr4);
	if (vireo_backend_get_cr(vcpu, 3) != sregs->cr3)
		vireo_backend_set_cr(vcpu, 3, sregs->cr3);
	if (vireo_backend_get_cr(vcpu, 0) != sregs->cr0)
		vireo_backend_set_cr(vcpu, 0, sregs->cr0);
	vireo_backend_set_raw(vcpu, raw);
	vireo_set_rest(vcpu, sregs, (cr4 ^ sregs->cr4) & X86_CR4_OSXSAVE);
}

void vireo_get_sregs(struct vireo_vcpu *vcpu, struct vireo_sregs *sregs)
{
	int i;

	memset(sregs, 0, sizeof(*sregs));
	for (i = 0; i < VIREO_SEG_NR; i++)
		vireo_backend_get_segment(vcpu, i, &sregs->seg[i]);
	vireo_backend_get_table(vcpu, false, &sregs->gdt);
	vireo_backend_get_table(vcpu, true, &sregs->idt);
	sregs->cr0 = vireo_backend_get_cr(vcpu, 0);
	sregs->cr2 = vcpu->cr2;
	sregs->cr3 = vireo_backend_get_cr(vcpu, 3);
	sregs->cr4 = vireo_backend_get_cr(vcpu, 4);
	sregs->cr8 = vireo_lapic_get_tpr(vcpu);
	sregs->efer = vireo_backend_get_efer(vcpu);
	sregs->xcr0 = vcpu->xcr0;
	sregs->apic_base = vcpu->apic_base;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which states the processor enters without "unrestricted guest": protected mode with paging, be it that
 * of shadow tables, virtual-8086 mode, and of both only what an operating system makes.  Real mode and what is
 * left of it in segment registers after CR0.PE was set is for the interpreter.
 */
#include <linux/string.h>
#include <asm/processor-flags.h>
#include <asm/msr-index.h>

#include "vmx.h"

#define TYPE_CODE	8U
#define TYPE_CONFORMING	4U	/* of code; of data: expand-down */
#define TYPE_READABLE	2U	/* of code; of data: writable */
#define TYPE_ACCESSED	1U

static u32 seg_type(const struct vireo_segment *seg)
{
	return seg->attr & VIREO_SEG_TYPE;
}

static u32 seg_dpl(const struct vireo_segment *seg)
{
	return (seg->attr & VIREO_SEG_DPL) >> VIREO_SEG_DPL_SHIFT;
}

static bool seg_usable(const struct vireo_segment *seg)
{
	return !(seg->attr & VIREO_SEG_UNUSABLE);
}

/* Granularity and limit agree. */
static bool seg_limit_ok(const struct vireo_segment *seg)
{
	if (seg->attr & VIREO_SEG_G)
		return (seg->limit & 0xfff) == 0xfff;
	return !(seg->limit >> 20);
}

static bool v86_ok(const struct vmx_entry_state *s)
{
	int i;

	for (i = VIREO_SEG_ES; i <= VIREO_SEG_GS; i++) {
		const struct vireo_segment *seg = &s->seg[i];

		if (seg->base != (u64)seg->selector << 4 || seg->limit != 0xffff ||
		    seg->attr != (VIREO_SEG_P | VIREO_SEG_DPL | VIREO_SEG_S | 3))
			return false;
	}
	return true;
}

static bool cs_ok(const struct vmx_entry_state *s)
{
	const struct vireo_segment *cs = &s->seg[VIREO_SEG_CS];
	u32 type = seg_type(cs), dpl = seg_dpl(cs), cpl = seg_dpl(&s->seg[VIREO_SEG_SS]);

	if (!(type & TYPE_CODE) || !(type & TYPE_ACCESSED) || !seg_usable(cs) ||
	    !(cs->attr & VIREO_SEG_S) || !(cs->attr & VIREO_SEG_P) || cs->base >> 32)
		return false;
	if (type & TYPE_CONFORMING ? dpl > cpl : dpl != cpl)
		return false;
	if ((s->efer & EFER_LMA) && (cs->attr & VIREO_SEG_L) && (cs->attr & VIREO_SEG_DB))
		return false;
	return seg_limit_ok(cs);
}

static bool ss_ok(const struct vmx_entry_state *s)
{
	const struct vireo_segment *ss = &s->seg[VIREO_SEG_SS];

	if ((ss->selector & 3) != (s->seg[VIREO_SEG_CS].selector & 3) ||
	    seg_dpl(ss) != (ss->selector & 3))
		return false;
	if (!seg_usable(ss))
		return true;
	return (seg_type(ss) == 3 || seg_type(ss) == 7) && (ss->attr & VIREO_SEG_S) &&
	       (ss->attr & VIREO_SEG_P) && !(ss->base >> 32) && seg_limit_ok(ss);
}

static bool data_ok(const struct vireo_segment *seg, bool wide_base)
{
	u32 type = seg_type(seg);

	if (!seg_usable(seg))
		return true;
	if (!(type & TYPE_ACCESSED) || ((type & TYPE_CODE) && !(type & TYPE_READABLE)) ||
	    !(seg->attr & VIREO_SEG_S) || !(seg->attr & VIREO_SEG_P))
		return false;
	/* Not of conforming code */
	if (type < (TYPE_CODE | TYPE_CONFORMING) && seg_dpl(seg) < (seg->selector & 3))
		return false;
	return seg_limit_ok(seg) && (wide_base || !(seg->base >> 32));
}

static bool system_ok(const struct vmx_entry_state *s)
{
	const struct vireo_segment *tr = &s->seg[VIREO_SEG_TR], *ldtr = &s->seg[VIREO_SEG_LDTR];

	if (seg_type(tr) != 11 && (seg_type(tr) != 3 || (s->efer & EFER_LMA)))
		return false;
	if (!seg_usable(tr) || (tr->attr & VIREO_SEG_S) || !(tr->attr & VIREO_SEG_P) ||
	    (tr->selector & 4) || !seg_limit_ok(tr))
		return false;
	if (!seg_usable(ldtr))
		return true;
	return seg_type(ldtr) == 2 && !(ldtr->attr & VIREO_SEG_S) && (ldtr->attr & VIREO_SEG_P) &&
	       !(ldtr->selector & 4) && seg_limit_ok(ldtr);
}

/* SDM vol. 3, 27.3.1.1 to 27.3.1.4.  What the core never lets in is not looked at again. */
bool vmx_state_enters(const struct vmx_entry_state *s)
{
	const u64 paged = X86_CR0_PE | X86_CR0_PG;

	if ((s->cr0 & paged) != paged)
		return false;
	if (s->rflags & X86_EFLAGS_VM) {
		if (s->efer & EFER_LMA || !v86_ok(s))
			return false;
	} else if (!cs_ok(s) || !ss_ok(s) || !data_ok(&s->seg[VIREO_SEG_ES], false) ||
		   !data_ok(&s->seg[VIREO_SEG_DS], false) ||
		   !data_ok(&s->seg[VIREO_SEG_FS], true) ||
		   !data_ok(&s->seg[VIREO_SEG_GS], true)) {
		return false;
	}
	return system_ok(s);
}

bool vmx_runnable(struct vireo_vcpu *vcpu)
{
	struct vmx_entry_state s;
	int i;

	if (vmx_caps.unrestricted)
		return true;
	s.cr0 = vmx_get_cr(vcpu, 0);
	/* Shadow tables are there for a guest without paging, too. */
	if (vcpu->vm->mmu.shadow)
		s.cr0 |= X86_CR0_PG;
	/* The usual case by far, while the interpreter is at work. */
	if (!(s.cr0 & X86_CR0_PE))
		return false;
	s.efer = vmx_get_efer(vcpu);
	s.rflags = vmx_rflags(vcpu);
	for (i = 0; i < VIREO_SEG_NR; i++)
		vmx_get_segment(vcpu, i, &s.seg[i]);
	return vmx_state_enters(&s);
}

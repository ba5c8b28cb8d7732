// SPDX-License-Identifier: GPL-2.0-only
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT.
 *
 * Segments come from MSRs and are flat, no descriptor is read. Intel and AMD differ:
 * AMD knows SYSCALL outside of long mode and has no SYSENTER in it.
 */
#include "internal.h"

#define MSR_SYSENTER_CS		0x174u
#define MSR_SYSENTER_ESP	0x175u
#define MSR_SYSENTER_EIP	0x176u
#define MSR_STAR		0xc0000081u
#define MSR_LSTAR		0xc0000082u
#define MSR_CSTAR		0xc0000083u
#define MSR_SFMASK		0xc0000084u

#define CODE_32		0xc09b
#define CODE_64		0xa09b
#define DATA_32		0xc093

/* What RFLAGS gets from R11. */
#define SYSRET_FLAGS	(FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_VIF | \
			 FL_VIP | FL_ID)

static void set_flat(struct vireo_emu *e, u32 seg, u16 sel, u32 attr, u32 cpl)
{
	struct vireo_emu_segment s = {
		.limit = 0xffffffff,
		.attr = attr | cpl << VIREO_EMU_SEG_DPL_SHIFT,
		.selector = sel,
	};

	emu_set_seg(e, seg, &s);
}

static int go(struct vireo_emu *e, u64 rip)
{
	int r = emu_retire(e, rip);

	emu_update_mode(e);
	return r;
}

static int sys_call(struct vireo_emu *e)
{
	bool amd = e->features & VIREO_EMU_F_AMD, lm = emu_long_mode(e);
	bool code64 = e->mode == VIREO_EMU_PROT64;
	u64 star, target, mask = 0, next = e->rip + e->insn.len;
	u32 sel;
	int r;

	if (!(e->ops->get_efer(e) & EFER_SCE) || (amd ? e->mode < VIREO_EMU_VM86 : !code64))
		return emu_ud(e);
	r = e->ops->get_msr(e, MSR_STAR, &star);
	target = (u32)star;
	if (!r && lm)
		r = e->ops->get_msr(e, code64 ? MSR_LSTAR : MSR_CSTAR, &target);
	if (!r && lm)
		r = e->ops->get_msr(e, MSR_SFMASK, &mask);
	if (r)
		return r;
	sel = star >> 32 & 0xfffc;
	e->regs[VIREO_EMU_RCX] = code64 ? next : (u32)next;
	if (lm)
		e->regs[VIREO_EMU_R11] = e->rflags & ~(u64)FL_RF;
	set_flat(e, VIREO_EMU_CS, sel, lm ? CODE_64 : CODE_32, 0);
	set_flat(e, VIREO_EMU_SS, sel + 8, DATA_32, 0);
	r = emu_retire(e, target);
	if (lm)
		e->rflags &= ~mask;
	else
		e->rflags &= ~(u64)(FL_IF | FL_VM);
	e->rflags = (e->rflags & ~(u64)FL_RF) | FL_FIXED;
	/* The trap of a TF that is masked away does not come. */
	if (!(e->rflags & FL_TF))
		e->events &= ~VIREO_EMU_EV_STEP;
	emu_update_mode(e);
	return r;
}

static int sys_ret(struct vireo_emu *e)
{
	bool amd = e->features & VIREO_EMU_F_AMD, code64 = e->mode == VIREO_EMU_PROT64;
	bool to64 = code64 && e->insn.op_size == 8;
	u64 star, rip = e->regs[VIREO_EMU_RCX];
	struct vireo_emu_segment ss;
	u32 sel;
	int r;

	if (!(e->ops->get_efer(e) & EFER_SCE) || (!amd && e->mode != VIREO_EMU_PROT64))
		return emu_ud(e);
	if (!emu_is_prot(e) || emu_cpl(e))
		return emu_gp(e);
	if (to64 && !amd && !emu_canonical(e, rip))
		return emu_gp(e);
	r = e->ops->get_msr(e, MSR_STAR, &star);
	if (r)
		return r;
	sel = star >> 48;
	if (amd) {
		/* Only the selector of SS changes, and with the CPL what we take for it. */
		ss = *emu_seg(e, VIREO_EMU_SS);
		ss.selector = sel + 8;
		ss.attr |= VIREO_EMU_SEG_DPL;
	}
	if (to64)
		set_flat(e, VIREO_EMU_CS, (sel + 16) | 3, CODE_64, 3);
	else
		set_flat(e, VIREO_EMU_CS, sel | 3, CODE_32, 3);
	if (amd)
		emu_set_seg(e, VIREO_EMU_SS, &ss);
	else
		set_flat(e, VIREO_EMU_SS, (sel + 8) | 3, DATA_32, 3);
	r = emu_retire(e, to64 ? rip : (u32)rip);
	if (code64)
		e->rflags = (e->regs[VIREO_EMU_R11] & SYSRET_FLAGS) | FL_FIXED;
	else
		e->rflags |= FL_IF;
	emu_update_mode(e);
	return r;
}

static int sys_enter(struct vireo_emu *e)
{
	bool lm = emu_long_mode(e);
	u64 cs, rsp, rip;
	int r;

	if (lm && (e->features & VIREO_EMU_F_AMD))
		return emu_ud(e);
	if (e->mode < VIREO_EMU_VM86)
		return emu_gp(e);
	r = e->ops->get_msr(e, MSR_SYSENTER_CS, &cs);
	if (!r && !(cs & 0xfffc))
		return emu_gp(e);
	if (!r)
		r = e->ops->get_msr(e, MSR_SYSENTER_ESP, &rsp);
	if (!r)
		r = e->ops->get_msr(e, MSR_SYSENTER_EIP, &rip);
	if (r)
		return r;
	set_flat(e, VIREO_EMU_CS, cs & 0xfffc, lm ? CODE_64 : CODE_32, 0);
	set_flat(e, VIREO_EMU_SS, (cs & 0xfffc) + 8, DATA_32, 0);
	e->regs[VIREO_EMU_RSP] = lm ? rsp : (u32)rsp;
	r = emu_retire(e, lm ? rip : (u32)rip);
	e->rflags &= ~(u64)(FL_VM | FL_IF | FL_RF);
	emu_update_mode(e);
	return r;
}

static int sys_exit(struct vireo_emu *e)
{
	bool lm = emu_long_mode(e), to64 = e->mode == VIREO_EMU_PROT64 && e->insn.op_size == 8;
	u64 rip = e->regs[VIREO_EMU_RDX], rsp = e->regs[VIREO_EMU_RCX], cs;
	u32 sel;
	int r;

	if (lm && (e->features & VIREO_EMU_F_AMD))
		return emu_ud(e);
	if (!emu_is_prot(e) || emu_cpl(e))
		return emu_gp(e);
	r = e->ops->get_msr(e, MSR_SYSENTER_CS, &cs);
	if (r)
		return r;
	sel = cs & 0xfffc;
	if (!sel || (to64 && (!emu_canonical(e, rip) || !emu_canonical(e, rsp))))
		return emu_gp(e);
	set_flat(e, VIREO_EMU_CS, (sel + (to64 ? 32 : 16)) | 3, to64 ? CODE_64 : CODE_32, 3);
	set_flat(e, VIREO_EMU_SS, (sel + (to64 ? 40 : 24)) | 3, DATA_32, 3);
	e->regs[VIREO_EMU_RSP] = to64 ? rsp : (u32)rsp;
	return go(e, to64 ? rip : (u32)rip);
}

/**
 * emu_fast_call() - OP_SYSCALL to OP_SYSEXIT
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_fast_call(struct vireo_emu *e)
{
	if (!e->ops->get_msr || !e->ops->get_efer || !e->ops->set_seg)
		return VIREO_EMU_UNHANDLED;
	switch (EMU_OP(e->insn.entry)) {
	case OP_SYSCALL:
		return sys_call(e);
	case OP_SYSRET:
		return sys_ret(e);
	case OP_SYSENTER:
		return sys_enter(e);
	default: /* OP_SYSEXIT */
		return sys_exit(e);
	}
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions of operating systems: control and debug registers, MSRs, the
 * descriptor-table registers, and what the vCPU has to do itself.
 */
#include "internal.h"

#define MSR_KERNEL_GS_BASE	0xc0000102u

static int require_cpl0(struct vireo_emu *e)
{
	return emu_cpl(e) ? emu_gp(e) : VIREO_EMU_OK;
}

static int do_sysop(struct vireo_emu *e, u32 op, u64 arg)
{
	int r = e->ops->sysop ? e->ops->sysop(e, op, arg) : VIREO_EMU_UNHANDLED;

	return r ? r : emu_finish(e);
}

static int set_cr(struct vireo_emu *e, u32 nr, u64 val)
{
	int r;

	if (!e->ops->set_cr)
		return VIREO_EMU_UNHANDLED;
	r = e->ops->set_cr(e, nr, val);
	if (r)
		return r;
	r = emu_finish(e);
	emu_update_mode(e);
	return r;
}

static int move_cr(struct vireo_emu *e, bool write)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = e->mode == VIREO_EMU_PROT64 ? 8 : 4;
	int r = require_cpl0(e);

	if (r)
		return r;
	if (write)
		return set_cr(e, insn->reg, emu_reg_read(e, insn->rm, size));
	emu_reg_write(e, insn->rm, e->ops->get_cr(e, insn->reg), size);
	return emu_finish(e);
}

static int move_dr(struct vireo_emu *e, bool write)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = e->mode == VIREO_EMU_PROT64 ? 8 : 4, nr = insn->reg;
	u64 val;
	int r;

	/* Before the CPL: SDM volume 2, MOV - Move to/from Debug Registers */
	if (nr == 4 || nr == 5) {
		if (e->ops->get_cr(e, 4) & CR4_DE)
			return emu_ud(e);
		nr += 2;
	}
	r = require_cpl0(e);
	if (r)
		return r;
	if (!e->ops->get_dr || !e->ops->set_dr)
		return VIREO_EMU_UNHANDLED;
	if (write) {
		val = emu_reg_read(e, insn->rm, size);
		if (nr >= 6 && val >> 32)
			return emu_gp(e);
		r = e->ops->set_dr(e, nr, val);
	} else {
		r = e->ops->get_dr(e, nr, &val);
		if (!r)
			emu_reg_write(e, insn->rm, val, size);
	}
	return r ? r : emu_finish(e);
}

static int msr(struct vireo_emu *e, bool write)
{
	u32 nr = e->regs[VIREO_EMU_RCX];
	u64 *regs = e->regs, val;
	int r = require_cpl0(e);

	if (r)
		return r;
	if (!e->ops->get_msr || !e->ops->set_msr)
		return VIREO_EMU_UNHANDLED;
	if (!write) {
		r = e->ops->get_msr(e, nr, &val);
		if (r)
			return r;
		regs[VIREO_EMU_RAX] = (u32)val;
		regs[VIREO_EMU_RDX] = val >> 32;
		return emu_finish(e);
	}
	r = e->ops->set_msr(e, nr, (u32)regs[VIREO_EMU_RAX] | regs[VIREO_EMU_RDX] << 32);
	if (r)
		return r;
	r = emu_finish(e);
	emu_update_mode(e);
	return r;
}

/* RDTSC, RDTSCP, RDPMC: a bit of CR4 says whether user programs may. */
static int counter(struct vireo_emu *e, u32 op)
{
	u64 cr4 = e->ops->get_cr(e, 4);
	bool allowed = op == OP_RDPMC ? cr4 & CR4_PCE : !(cr4 & CR4_TSD);

	if (!allowed && emu_cpl(e))
		return emu_gp(e);
	return do_sysop(e, op == OP_RDPMC ? VIREO_EMU_SYS_RDPMC :
			   op == OP_RDTSCP ? VIREO_EMU_SYS_RDTSCP : VIREO_EMU_SYS_RDTSC, 0);
}

/* SGDT, SIDT, LGDT, LIDT: a limit of 16 bits, then a base. */
static int table(struct vireo_emu *e, u32 op)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 dt = op == OP_SGDT || op == OP_LGDT ? VIREO_EMU_GDTR : VIREO_EMU_IDTR;
	u32 size = e->mode == VIREO_EMU_PROT64 ? 8 : 4;
	bool store = op == OP_SGDT || op == OP_SIDT;
	bool short_base = size == 4 && insn->op_size == 2;
	struct emu_mem m;
	u64 base = 0;
	u16 limit;
	u8 buf[10];
	int r;

	if (!e->ops->get_dt || !e->ops->set_dt)
		return VIREO_EMU_UNHANDLED;
	if (store) {
		if (emu_cpl(e) && (e->ops->get_cr(e, 4) & CR4_UMIP))
			return emu_gp(e);
		e->ops->get_dt(e, dt, &base, &limit);
		/* AMD's processors ignore the operand size here. */
		if (short_base && !(e->features & VIREO_EMU_F_AMD))
			base &= 0xffffff;
		memcpy(buf, &limit, 2);
		memcpy(buf + 2, &base, 8);
		r = emu_operand(e, 2 + size, true, &m);
		if (!r)
			r = emu_write_wide(e, &m, buf, 2 + size);
		return r ? r : emu_finish(e);
	}
	r = require_cpl0(e);
	if (!r)
		r = emu_operand(e, 2 + size, false, &m);
	if (!r)
		r = emu_read_wide(e, &m, buf, 2 + size, 0);
	if (r)
		return r;
	memcpy(&limit, buf, 2);
	memcpy(&base, buf + 2, size);
	if (short_base)
		base &= 0xffffff;
	if (!emu_canonical(e, base))
		return emu_gp(e);
	e->ops->set_dt(e, dt, base, limit);
	return emu_finish(e);
}

static int machine_status(struct vireo_emu *e, u32 op)
{
	u64 cr0 = e->ops->get_cr(e, 0), val;
	int r;

	if (op == OP_SMSW) {
		if (emu_cpl(e) && (e->ops->get_cr(e, 4) & CR4_UMIP))
			return emu_gp(e);
		r = emu_write_rm(e, cr0, e->insn.modrm < 0xc0 ? 2 : e->insn.op_size);
		return r ? r : emu_finish(e);
	}
	r = require_cpl0(e);
	if (r)
		return r;
	if (op == OP_CLTS)
		return set_cr(e, 0, cr0 & ~(u64)CR0_TS);
	r = emu_read_rm(e, &val, 2);
	if (r)
		return r;
	/* LMSW sets PE but never clears it. */
	return set_cr(e, 0, (cr0 & ~0xeULL) | (val & 0xf));
}

static int invlpg(struct vireo_emu *e)
{
	u64 la = emu_ea(e);
	int r = require_cpl0(e);

	if (r)
		return r;
	if (e->mode != VIREO_EMU_PROT64)
		la = (u32)(la + emu_seg(e, e->insn.seg)->base);
	else if (e->insn.seg >= VIREO_EMU_FS)
		la += e->ops->seg_base(e, e->insn.seg);
	/* There is no translation of a non-canonical address, and no fault either. */
	if (!emu_canonical(e, la))
		return emu_finish(e);
	return do_sysop(e, VIREO_EMU_SYS_INVLPG, la);
}

static int invpcid(struct vireo_emu *e)
{
	u64 type = emu_reg_read(e, e->insn.reg, e->mode == VIREO_EMU_PROT64 ? 8 : 4), desc[2];
	struct emu_mem m;
	int r = require_cpl0(e);

	if (!r)
		r = emu_operand(e, 16, false, &m);
	if (!r)
		r = emu_read_wide(e, &m, desc, 16, 0);
	if (r)
		return r;
	/* PCID in the low 12 bits, then zeroes; then a linear address */
	if (type > 3 || desc[0] >> 12 || (type == 0 && !emu_canonical(e, desc[1])) ||
	    (type < 2 && desc[0] && !(e->ops->get_cr(e, 4) & CR4_PCIDE)))
		return emu_gp(e);
	return do_sysop(e, VIREO_EMU_SYS_INVPCID, type);
}

static int monitor(struct vireo_emu *e, u32 op)
{
	u64 ea = e->regs[VIREO_EMU_RAX] & emu_mask(e->insn.ad_size), la = 0;

	if (emu_cpl(e))
		return emu_ud(e);
	if (op == OP_MONITOR) {
		/* No extensions are defined. */
		int r = e->regs[VIREO_EMU_RCX] & emu_mask(e->mode == VIREO_EMU_PROT64 ? 8 : 4) ?
			emu_gp(e) : emu_linearize(e, e->insn.seg, ea, 1, false, &la);

		if (r)
			return r;
	}
	return do_sysop(e, op == OP_MONITOR ? VIREO_EMU_SYS_MONITOR : VIREO_EMU_SYS_MWAIT, la);
}

static int swapgs(struct vireo_emu *e)
{
	struct vireo_emu_segment gs;
	u64 base;
	int r = require_cpl0(e);

	if (r)
		return r;
	if (!e->ops->get_msr || !e->ops->set_msr || !e->ops->set_seg)
		return VIREO_EMU_UNHANDLED;
	gs = *emu_seg(e, VIREO_EMU_GS);
	r = e->ops->get_msr(e, MSR_KERNEL_GS_BASE, &base);
	if (!r)
		r = e->ops->set_msr(e, MSR_KERNEL_GS_BASE, gs.base);
	if (r)
		return r;
	gs.base = base;
	emu_set_seg(e, VIREO_EMU_GS, &gs);
	return emu_finish(e);
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE: F3 0F AE /0 to /3 */
static int segment_base(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 seg = insn->modrm & 8 ? VIREO_EMU_GS : VIREO_EMU_FS;
	struct vireo_emu_segment s;

	if (!(e->ops->get_cr(e, 4) & CR4_FSGSBASE))
		return emu_ud(e);
	if (!(insn->modrm & 0x10)) {
		emu_reg_write(e, insn->rm, e->ops->seg_base(e, seg), insn->op_size);
		return emu_finish(e);
	}
	if (!e->ops->set_seg)
		return VIREO_EMU_UNHANDLED;
	s = *emu_seg(e, seg);
	s.base = emu_reg_read(e, insn->rm, insn->op_size);
	if (!emu_canonical(e, s.base))
		return emu_gp(e);
	emu_set_seg(e, seg, &s);
	return emu_finish(e);
}

static int xcr(struct vireo_emu *e, u32 op)
{
	u64 val;
	int r;

	if (!(e->ops->get_cr(e, 4) & CR4_OSXSAVE))
		return emu_ud(e);
	if (op == OP_XSETBV) {
		r = require_cpl0(e);
		return r ? r : do_sysop(e, VIREO_EMU_SYS_XSETBV, 0);
	}
	if ((u32)e->regs[VIREO_EMU_RCX] == 1 || !e->ops->get_xcr0)
		return VIREO_EMU_UNHANDLED;
	if ((u32)e->regs[VIREO_EMU_RCX])
		return emu_gp(e);
	val = e->ops->get_xcr0(e);
	e->regs[VIREO_EMU_RAX] = (u32)val;
	e->regs[VIREO_EMU_RDX] = val >> 32;
	return emu_finish(e);
}

/**
 * emu_system() - OP_HLT to OP_RSM
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_system(struct vireo_emu *e)
{
	u32 op = EMU_OP(e->insn.entry);
	int r;

	switch (op) {
	case OP_HLT:
		r = require_cpl0(e);
		if (r)
			return r;
		e->events |= VIREO_EMU_EV_HLT;
		return emu_finish(e);
	case OP_CPUID:
		return do_sysop(e, VIREO_EMU_SYS_CPUID, 0);
	case OP_RDTSC:
	case OP_RDTSCP:
	case OP_RDPMC:
		return counter(e, op);
	case OP_RDMSR:
	case OP_WRMSR:
		return msr(e, op == OP_WRMSR);
	case OP_INVD:
	case OP_WBINVD:
		r = require_cpl0(e);
		return r ? r : do_sysop(e, op == OP_INVD ? VIREO_EMU_SYS_INVD :
							   VIREO_EMU_SYS_WBINVD, 0);
	case OP_INVLPG:
		return invlpg(e);
	case OP_INVPCID:
		return invpcid(e);
	case OP_CLTS:
	case OP_LMSW:
	case OP_SMSW:
		return machine_status(e, op);
	case OP_SGDT:
	case OP_SIDT:
	case OP_LGDT:
	case OP_LIDT:
		return table(e, op);
	case OP_MOV_FROM_CR:
	case OP_MOV_TO_CR:
		return move_cr(e, op == OP_MOV_TO_CR);
	case OP_MOV_FROM_DR:
	case OP_MOV_TO_DR:
		return move_dr(e, op == OP_MOV_TO_DR);
	case OP_SWAPGS:
		return swapgs(e);
	case OP_SEGBASE:
		return segment_base(e);
	case OP_XGETBV:
	case OP_XSETBV:
		return xcr(e, op);
	case OP_MONITOR:
	case OP_MWAIT:
		return monitor(e, op);
	case OP_HYPERCALL:
		return do_sysop(e, VIREO_EMU_SYS_HYPERCALL, 0);
	case OP_CLAC:
	case OP_STAC:
		if (!(e->features & VIREO_EMU_F_SMAP) || emu_cpl(e))
			return emu_ud(e);
		r = emu_finish(e);
		e->rflags &= ~(u64)FL_AC;
		if (op == OP_STAC)
			e->rflags |= FL_AC;
		return r;
	default: /* OP_RSM: there is no system-management mode */
		return emu_ud(e);
	}
}

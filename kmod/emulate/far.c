// SPDX-License-Identifier: GPL-2.0-only
/*
 * Far control transfer: JMP, CALL, RET and IRET to another code segment.
 *
 * In the order of the SDM's pseudocode (volume 2): whatever is read or checked comes
 * first, then the writes to the stack, then the registers. A frame is written as
 * a whole after all of it was probed, so that a fault leaves nothing behind.
 */
#include "internal.h"

static const struct emu_blame gp = { .vector = EXC_GP }, np = { .vector = EXC_NP };

/**
 * emu_check_offset() - may execution start there?
 * @e: context
 * @cs: new code segment
 * @rip: offset, truncated to the operand size
 * @ext: EXT, for the error code
 *
 * Return: VIREO_EMU_OK or VIREO_EMU_EXCEPTION.
 */
int emu_check_offset(struct vireo_emu *e, const struct vireo_emu_segment *cs, u64 rip, u32 ext)
{
	bool ok;

	if ((cs->attr & VIREO_EMU_SEG_L) && emu_long_mode(e))
		ok = emu_canonical(e, rip);
	else
		ok = rip <= cs->limit;
	return ok ? VIREO_EMU_OK : vireo_emu_fault(e, EXC_GP, ext);
}

/**
 * emu_check_code() - the kind of code segment, whatever its privilege
 * @e: context
 * @d: its descriptor
 * @ext: EXT, for the error code
 *
 * Return: VIREO_EMU_OK or VIREO_EMU_EXCEPTION.
 */
int emu_check_code(struct vireo_emu *e, const struct emu_desc *d, u32 ext)
{
	struct emu_blame b = { .vector = EXC_GP, .ext = ext };
	u32 attr = d->s.attr;

	if ((attr & (VIREO_EMU_SEG_S | SEG_CODE)) != (VIREO_EMU_SEG_S | SEG_CODE))
		return emu_selector_fault(e, b, d->s.selector);
	if ((attr & VIREO_EMU_SEG_L) && (attr & VIREO_EMU_SEG_DB) && emu_long_mode(e))
		return emu_selector_fault(e, b, d->s.selector);
	return VIREO_EMU_OK;
}

/**
 * emu_set_cs() - the new code segment is fine: load it
 * @e: context
 * @d: its descriptor, accessed bit set
 * @cpl: becomes the RPL of CS
 *
 * The caller changes SS if the CPL changes, and then calls emu_update_mode().
 */
void emu_set_cs(struct vireo_emu *e, struct emu_desc *d, u32 cpl)
{
	d->s.selector = (d->s.selector & 0xfffc) | cpl;
	emu_set_seg(e, VIREO_EMU_CS, &d->s);
}

/* Where execution goes on after the instruction. */
static u64 next_rip(const struct vireo_emu *e)
{
	u64 rip = e->rip + e->insn.len;

	return e->mode == VIREO_EMU_PROT64 ? rip : (u32)rip;
}

/* Retire a far transfer, everything but RIP being loaded. */
static int arrive(struct vireo_emu *e, u64 rip)
{
	int r = emu_retire(e, rip);

	emu_update_mode(e);
	return r;
}

/* Real and virtual-8086 mode: no descriptor, no privilege. */
static int real_transfer(struct vireo_emu *e, u16 sel, u64 offset, bool call)
{
	u32 size = e->insn.op_size;
	struct vireo_emu_segment cs;
	u64 sp = emu_get_sp(e);
	struct emu_frame f;
	int r;

	offset &= emu_mask(size);
	emu_real_seg(e, VIREO_EMU_CS, sel, &cs);
	if (call) {
		emu_frame_init(&f, size, 0, 0);
		emu_frame_push(&f, emu_seg(e, VIREO_EMU_CS)->selector);
		emu_frame_push(&f, next_rip(e));
		r = emu_frame_probe(e, &f, emu_seg(e, VIREO_EMU_SS), &sp, false);
		if (r)
			return r;
	}
	r = emu_check_offset(e, &cs, offset, 0);
	if (!r && call)
		r = emu_frame_write(e, &f);
	if (r)
		return r;
	if (call)
		emu_set_sp(e, sp);
	emu_set_seg(e, VIREO_EMU_CS, &cs);
	return arrive(e, offset);
}

/* JMP, CALL to a code segment of the same privilege, directly or through a gate. */
static int same_privilege(struct vireo_emu *e, struct emu_desc *d, u64 offset, u32 size, bool call)
{
	u64 sp = emu_get_sp(e);
	struct emu_frame f;
	int r = VIREO_EMU_OK;

	if (!(d->s.attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, np, d->s.selector);
	if (call) {
		emu_frame_init(&f, size, 0, 0);
		emu_frame_push(&f, emu_seg(e, VIREO_EMU_CS)->selector);
		emu_frame_push(&f, next_rip(e));
		r = emu_frame_probe(e, &f, emu_seg(e, VIREO_EMU_SS), &sp,
				    e->mode == VIREO_EMU_PROT64);
	}
	if (!r)
		r = emu_check_offset(e, &d->s, offset, 0);
	if (!r)
		r = emu_desc_accessed(e, d);
	if (!r && call)
		r = emu_frame_write(e, &f);
	if (r)
		return r;
	if (call)
		emu_set_sp(e, sp);
	emu_set_cs(e, d, emu_cpl(e));
	return arrive(e, offset);
}

/**
 * emu_inner_stack() - the stack of a more privileged level, from the TSS
 * @e: context
 * @cpl: that level
 * @ist: interrupt stack of long mode, 1 to 7; 0: that of the level
 * @ext: EXT, for error codes
 * @d: SS; in long mode a null selector. A real descriptor's accessed bit is still
 *	to be set.
 * @sp: stack pointer
 *
 * Return: enum vireo_emu_result.
 */
int emu_inner_stack(struct vireo_emu *e, u32 cpl, u32 ist, u32 ext, struct emu_desc *d, u64 *sp)
{
	const struct vireo_emu_segment *tr = emu_seg(e, VIREO_EMU_TR);
	struct emu_blame ts = { .vector = EXC_TS, .ext = ext };
	u32 offset, size;
	u8 buf[8];
	u16 sel;
	int r;

	*sp = 0;
	if (emu_long_mode(e)) {
		offset = ist ? 28 + 8 * ist : 4 + 8 * cpl;
		if (offset + 7 > tr->limit)
			return emu_selector_fault(e, ts, tr->selector);
		emu_null_seg(e, VIREO_EMU_SS, cpl, cpl, &d->s);
		return emu_mem_read(e, tr->base + offset, sp, 8, VIREO_EMU_ACC_SYSTEM);
	}
	size = (tr->attr & 0xd) == SYS_TSS32 ? 4 : 2;
	offset = size == 4 ? 4 + 8 * cpl : 2 + 4 * cpl;
	if (offset + size + 1 > tr->limit)
		return emu_selector_fault(e, ts, tr->selector);
	r = emu_mem_read(e, tr->base + offset, buf, size + 2, VIREO_EMU_ACC_SYSTEM);
	if (r)
		return r;
	memcpy(sp, buf, size);
	memcpy(&sel, buf + size, 2);
	if (!(sel & 0xfffc))
		return vireo_emu_fault(e, EXC_TS, ext);
	return emu_check_stack_seg(e, sel, cpl, ts, d);
}

/* CALL through a gate to a more privileged level. */
static int call_inner(struct vireo_emu *e, struct emu_desc *cs, u64 offset, u32 size, u32 params)
{
	const struct vireo_emu_segment *old_ss = emu_seg(e, VIREO_EMU_SS);
	u32 cpl = emu_dpl(cs->s.attr), n, old_size = emu_stack_size(e);
	u64 old_sp = emu_get_sp(e), sp;
	struct emu_frame f;
	struct emu_desc ss;
	int r;

	r = emu_inner_stack(e, cpl, 0, 0, &ss, &sp);
	if (r)
		return r;
	emu_frame_init(&f, size, VIREO_EMU_ACC_INNER, ss.s.selector & 0xfffc);
	emu_frame_push(&f, old_ss->selector);
	emu_frame_push(&f, e->regs[VIREO_EMU_RSP] & emu_mask(old_size));
	/* The first parameter is the one at the highest address. */
	for (n = params; n--; ) {
		u64 at = (old_sp + n * size) & emu_mask(old_size), la, val = 0;

		r = emu_linearize(e, VIREO_EMU_SS, at, size, false, &la);
		if (!r)
			r = emu_mem_read(e, la, &val, size, 0);
		if (r)
			return r;
		emu_frame_push(&f, val);
	}
	emu_frame_push(&f, emu_seg(e, VIREO_EMU_CS)->selector);
	emu_frame_push(&f, next_rip(e));
	r = emu_frame_probe(e, &f, &ss.s, &sp, size == 8);
	if (!r)
		r = emu_check_offset(e, &cs->s, offset, 0);
	if (!r)
		r = emu_desc_accessed(e, cs);
	if (!r && !(ss.s.attr & VIREO_EMU_SEG_UNUSABLE))
		r = emu_desc_accessed(e, &ss);
	if (!r)
		r = emu_frame_write(e, &f);
	if (r)
		return r;
	emu_set_cs(e, cs, cpl);
	emu_set_seg(e, VIREO_EMU_SS, &ss.s);
	e->regs[VIREO_EMU_RSP] = sp;
	return arrive(e, offset);
}

static int call_gate(struct vireo_emu *e, struct emu_desc *gate, bool call)
{
	u32 cpl = emu_cpl(e), dpl = emu_dpl(gate->s.attr), size;
	u16 sel = gate->lo >> 16;
	bool lm = emu_long_mode(e);
	struct emu_desc cs;
	u64 offset;
	int r;

	if (dpl < cpl || dpl < (gate->s.selector & 3u))
		return emu_selector_fault(e, gp, gate->s.selector);
	if (!(gate->s.attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, np, gate->s.selector);
	offset = gate->lo & 0xffff;
	if ((gate->s.attr & 15) == SYS_CALL32)
		offset |= gate->lo >> 32 & 0xffff0000;
	size = (gate->s.attr & 15) == SYS_CALL32 ? 4 : 2;
	if (lm) {
		r = emu_desc_high(e, gp, gate);
		if (r)
			return r;
		offset |= gate->hi << 32;
		size = 8;
	}
	if (!(sel & 0xfffc))
		return emu_gp(e);
	r = emu_desc_read(e, sel, gp, &cs);
	if (!r)
		r = emu_check_code(e, &cs, 0);
	if (r)
		return r;
	dpl = emu_dpl(cs.s.attr);
	/* From long mode only to 64-bit code. */
	if (dpl > cpl || (lm && !(cs.s.attr & VIREO_EMU_SEG_L)))
		return emu_selector_fault(e, gp, sel);
	if (!call && !(cs.s.attr & SEG_CONFORMING) && dpl != cpl)
		return emu_selector_fault(e, gp, sel);
	if (!(cs.s.attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, np, sel);
	if (call && !(cs.s.attr & SEG_CONFORMING) && dpl < cpl)
		return call_inner(e, &cs, offset, size, lm ? 0 : gate->lo >> 32 & 31);
	return same_privilege(e, &cs, offset, size, call);
}

/* JMP and CALL through a TSS descriptor or a task gate. */
static int task_transfer(struct vireo_emu *e, struct emu_desc *d, bool call)
{
	const struct emu_task task = {
		.reason = call ? VIREO_EMU_TASK_CALL : VIREO_EMU_TASK_JMP,
		.rip = next_rip(e),
		.flags = e->rflags & ~(u64)FL_RF,
	};
	u32 dpl = emu_dpl(d->s.attr);
	u16 sel = d->s.selector;

	if (dpl < emu_cpl(e) || dpl < (sel & 3u))
		return emu_selector_fault(e, gp, sel);
	if ((d->s.attr & 15) == SYS_TASK_GATE) {
		if (!(d->s.attr & VIREO_EMU_SEG_P))
			return emu_selector_fault(e, np, sel);
		sel = d->lo >> 16;
	}
	return emu_task_switch(e, sel, &task);
}

/* JMP and CALL, the target being known. */
static int transfer(struct vireo_emu *e, u16 sel, u64 offset, bool call)
{
	u32 cpl = emu_cpl(e), dpl, attr;
	struct emu_desc d;
	int r;

	if (!emu_can_segment(e))
		return VIREO_EMU_UNHANDLED;
	if (!emu_is_prot(e))
		return real_transfer(e, sel, offset, call);
	if (!(sel & 0xfffc))
		return emu_gp(e);
	r = emu_desc_read(e, sel, gp, &d);
	if (r)
		return r;
	attr = d.s.attr;
	dpl = emu_dpl(attr);
	if (!(attr & VIREO_EMU_SEG_S)) {
		u32 type = attr & 15;

		if (type == SYS_CALL32 || (type == SYS_CALL16 && !emu_long_mode(e)))
			return call_gate(e, &d, call);
		if (emu_long_mode(e) || (type != SYS_TASK_GATE &&
					 (type & ~SYS_TSS_BUSY) != SYS_TSS16 &&
					 (type & ~SYS_TSS_BUSY) != SYS_TSS32))
			return emu_selector_fault(e, gp, sel);
		return task_transfer(e, &d, call);
	}
	r = emu_check_code(e, &d, 0);
	if (r)
		return r;
	if (attr & SEG_CONFORMING ? dpl > cpl : (sel & 3u) > cpl || dpl != cpl)
		return emu_selector_fault(e, gp, sel);
	return same_privilege(e, &d, offset & emu_mask(e->insn.op_size), e->insn.op_size, call);
}

/*
 * RET and IRET: check the code segment to return to. @sel has the privilege level
 * that is returned to.
 */
static int check_return_cs(struct vireo_emu *e, u16 sel, struct emu_desc *d)
{
	u32 rpl = sel & 3, dpl;
	int r;

	if (!(sel & 0xfffc))
		return emu_gp(e);
	r = emu_desc_read(e, sel, gp, d);
	if (!r && rpl < emu_cpl(e))
		r = emu_selector_fault(e, gp, sel);
	if (!r)
		r = emu_check_code(e, d, 0);
	if (r)
		return r;
	dpl = emu_dpl(d->s.attr);
	if (d->s.attr & SEG_CONFORMING ? dpl > rpl : dpl != rpl)
		return emu_selector_fault(e, gp, sel);
	if (!(d->s.attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, np, sel);
	return VIREO_EMU_OK;
}

/* And the stack segment, @cs being that code segment. */
static int check_return_ss(struct vireo_emu *e, const struct emu_desc *cs, u16 sel,
			   struct emu_desc *d)
{
	u32 rpl = cs->s.selector & 3;

	if (!(sel & 0xfffc)) {
		/* 64-bit code below level 3 may have none. */
		if (!(cs->s.attr & VIREO_EMU_SEG_L) || !emu_long_mode(e) || rpl == 3 ||
		    (sel & 3) != rpl)
			return emu_gp(e);
		emu_null_seg(e, VIREO_EMU_SS, sel, rpl, &d->s);
		return VIREO_EMU_OK;
	}
	return emu_check_stack_seg(e, sel, rpl, gp, d);
}

/* After a return to an outer level: forget segments that it must not use. */
static void drop_segments(struct vireo_emu *e, u32 cpl)
{
	static const u8 segs[] = {
		VIREO_EMU_ES, VIREO_EMU_FS, VIREO_EMU_GS, VIREO_EMU_DS,
	};
	struct vireo_emu_segment s;
	u32 i;

	for (i = 0; i < sizeof(segs); i++) {
		u32 attr = emu_seg(e, segs[i])->attr;

		if (attr & VIREO_EMU_SEG_UNUSABLE || emu_dpl(attr) >= cpl)
			continue;
		if ((attr & (SEG_CODE | SEG_CONFORMING)) == (SEG_CODE | SEG_CONFORMING))
			continue;
		emu_null_seg(e, segs[i], 0, cpl, &s);
		emu_set_seg(e, segs[i], &s);
	}
}

/* Load CS, and SS and RSP if @ss: the end of a return in protected mode. */
static int finish_return(struct vireo_emu *e, struct emu_desc *cs, struct emu_desc *ss, u64 sp,
			 u64 rip, u32 old_cpl)
{
	u32 cpl = cs->s.selector & 3;
	int r;

	r = emu_check_offset(e, &cs->s, rip, 0);
	if (!r)
		r = emu_desc_accessed(e, cs);
	if (!r && ss && !(ss->s.attr & VIREO_EMU_SEG_UNUSABLE))
		r = emu_desc_accessed(e, ss);
	if (r)
		return r;
	emu_set_cs(e, cs, cpl);
	if (ss) {
		emu_set_seg(e, VIREO_EMU_SS, &ss->s);
		if ((cs->s.attr & VIREO_EMU_SEG_L) && emu_long_mode(e))
			e->regs[VIREO_EMU_RSP] = sp;
		else
			emu_reg_update(e, VIREO_EMU_RSP, sp,
				       ss->s.attr & VIREO_EMU_SEG_DB ? 4 : 2);
	} else {
		emu_set_sp(e, sp);
	}
	if (cpl > old_cpl)
		drop_segments(e, cpl);
	return VIREO_EMU_OK;
}

static int ret_far(struct vireo_emu *e)
{
	u32 size = e->insn.op_size, cpl = emu_cpl(e), width = emu_stack_size(e);
	u32 release = e->insn.entry & EMU_I_MASK ? e->insn.imm : 0;
	u64 sp = emu_get_sp(e), rip, sel, new_sp = 0, new_ss = 0;
	struct emu_desc cs, ss;
	bool outer;
	int r;

	if (!emu_can_segment(e))
		return VIREO_EMU_UNHANDLED;
	r = emu_pop(e, &rip, size, &sp);
	if (!r)
		r = emu_pop(e, &sel, size, &sp);
	if (r)
		return r;
	sel &= 0xffff;
	if (!emu_is_prot(e)) {
		emu_real_seg(e, VIREO_EMU_CS, sel, &cs.s);
		r = emu_check_offset(e, &cs.s, rip, 0);
		if (r)
			return r;
		emu_set_sp(e, (sp + release) & emu_mask(width));
		emu_set_seg(e, VIREO_EMU_CS, &cs.s);
		return arrive(e, rip);
	}
	r = check_return_cs(e, sel, &cs);
	if (r)
		return r;
	sp = (sp + release) & emu_mask(width);
	outer = (sel & 3) > cpl;
	if (outer) {
		r = emu_pop(e, &new_sp, size, &sp);
		if (!r)
			r = emu_pop(e, &new_ss, size, &sp);
		if (!r)
			r = check_return_ss(e, &cs, new_ss, &ss);
		if (r)
			return r;
		sp = new_sp + release;
	}
	r = finish_return(e, &cs, outer ? &ss : NULL, sp, rip, cpl);
	return r ? r : arrive(e, rip);
}

/* Flags that IRET may change, as the old CPL and IOPL allow. */
static u64 iret_mask(const struct vireo_emu *e, u32 cpl, u32 size)
{
	u64 mask = FL_ARITH | FL_TF | FL_DF | FL_NT;

	if (size != 2)
		mask |= FL_RF | FL_AC | FL_ID;
	if (cpl <= (e->rflags >> FL_IOPL_SHIFT & 3))
		mask |= FL_IF;
	if (!cpl) {
		mask |= FL_IOPL;
		if (size != 2)
			mask |= FL_VIF | FL_VIP;
	}
	return mask;
}

/* Retire an IRET. TF counts as it was before, RF as it comes from the stack. */
static int iret_done(struct vireo_emu *e, u64 rip, u64 flags, u64 mask)
{
	int r = emu_retire(e, rip);

	e->rflags = (e->rflags & ~mask) | (flags & mask) | FL_FIXED;
	e->events |= VIREO_EMU_EV_IRET;
	emu_update_mode(e);
	return r;
}

/* IRET in real and virtual-8086 mode */
static int iret_real(struct vireo_emu *e)
{
	bool vm = e->mode == VIREO_EMU_VM86, vme = false;
	u32 size = e->insn.op_size;
	u64 sp = emu_get_sp(e), rip, sel, flags, mask;
	struct vireo_emu_segment cs;
	int r;

	if (vm && (e->rflags & FL_IOPL) != FL_IOPL) {
		vme = size == 2 && (e->ops->get_cr(e, 4) & CR4_VME);
		if (!vme)
			return emu_gp(e);
	}
	r = emu_pop(e, &rip, size, &sp);
	if (!r)
		r = emu_pop(e, &sel, size, &sp);
	if (!r)
		r = emu_pop(e, &flags, size, &sp);
	if (r)
		return r;
	emu_real_seg(e, VIREO_EMU_CS, sel, &cs);
	r = emu_check_offset(e, &cs, rip, 0);
	if (r)
		return r;
	mask = iret_mask(e, vm ? 3 : 0, size) & ~(u64)(FL_VIF | FL_VIP);
	if (vme) {
		if ((flags & FL_TF) || ((flags & FL_IF) && (e->rflags & FL_VIP)))
			return emu_gp(e);
		mask |= FL_VIF;
		flags &= ~(u64)FL_VIF;
		if (flags & FL_IF)
			flags |= FL_VIF;
	}
	emu_set_sp(e, sp);
	emu_set_seg(e, VIREO_EMU_CS, &cs);
	return iret_done(e, rip, flags, mask);
}

/* IRET from level 0 to virtual-8086 mode: six more values are on the stack. */
static int iret_to_vm86(struct vireo_emu *e, u64 rip, u16 cs, u64 flags, u64 sp)
{
	static const u8 segs[] = {
		VIREO_EMU_SS, VIREO_EMU_ES, VIREO_EMU_DS, VIREO_EMU_FS, VIREO_EMU_GS,
	};
	struct vireo_emu_segment s;
	u64 val[5], esp;
	u32 i;
	int r;

	r = emu_pop(e, &esp, 4, &sp);
	for (i = 0; !r && i < sizeof(segs); i++)
		r = emu_pop(e, &val[i], 4, &sp);
	if (r)
		return r;
	rip &= 0xffffffff;
	if (rip > 0xffff)
		return emu_gp(e);
	/* From here on emu_real_seg() makes segments of that mode. */
	emu_retire(e, rip);
	e->rflags = (flags & (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM |
			      FL_AC | FL_VIF | FL_VIP | FL_ID)) | FL_FIXED;
	e->regs[VIREO_EMU_RSP] = (u32)esp;
	emu_real_seg(e, VIREO_EMU_CS, cs, &s);
	emu_set_seg(e, VIREO_EMU_CS, &s);
	for (i = 0; i < sizeof(segs); i++) {
		emu_real_seg(e, segs[i], val[i], &s);
		emu_set_seg(e, segs[i], &s);
	}
	e->events |= VIREO_EMU_EV_IRET;
	emu_update_mode(e);
	return VIREO_EMU_OK;
}

static int iret_task(struct vireo_emu *e)
{
	const struct emu_task task = {
		.reason = VIREO_EMU_TASK_IRET,
		.rip = next_rip(e),
		.flags = e->rflags & ~(u64)FL_RF,
	};
	u16 link;
	int r;

	r = emu_mem_read(e, emu_seg(e, VIREO_EMU_TR)->base, &link, 2, VIREO_EMU_ACC_SYSTEM);
	if (!r)
		r = emu_task_switch(e, link, &task);
	if (!r)
		e->events |= VIREO_EMU_EV_IRET;
	return r;
}

static int iret(struct vireo_emu *e)
{
	bool code64 = e->mode == VIREO_EMU_PROT64, outer;
	u64 sp = emu_get_sp(e), rip, sel, flags, new_sp = 0, new_ss = 0, mask;
	u32 size = e->insn.op_size, cpl;
	struct emu_desc cs, ss;
	int r;

	if (!emu_can_segment(e))
		return VIREO_EMU_UNHANDLED;
	if (!emu_is_prot(e))
		return iret_real(e);
	if (e->rflags & FL_NT)
		return emu_long_mode(e) ? emu_gp(e) : iret_task(e);
	cpl = emu_cpl(e);
	r = emu_pop(e, &rip, size, &sp);
	if (!r)
		r = emu_pop(e, &sel, size, &sp);
	if (!r)
		r = emu_pop(e, &flags, size, &sp);
	if (r)
		return r;
	if (size == 4 && (flags & FL_VM) && !cpl && !emu_long_mode(e))
		return iret_to_vm86(e, rip, sel, flags, sp);
	sel &= 0xffff;
	outer = code64 || (sel & 3) > cpl;
	if (code64) {
		/* 64-bit mode always pops a stack pointer. */
		r = emu_pop(e, &new_sp, size, &sp);
		if (!r)
			r = emu_pop(e, &new_ss, size, &sp);
	}
	if (!r)
		r = check_return_cs(e, sel, &cs);
	if (!r && outer && !code64) {
		r = emu_pop(e, &new_sp, size, &sp);
		if (!r)
			r = emu_pop(e, &new_ss, size, &sp);
	}
	if (!r && outer)
		r = check_return_ss(e, &cs, new_ss, &ss);
	if (!r)
		r = finish_return(e, &cs, outer ? &ss : NULL, outer ? new_sp : sp, rip, cpl);
	if (r)
		return r;
	mask = iret_mask(e, cpl, size);
	return iret_done(e, rip, flags, mask);
}

/**
 * emu_far() - OP_JMP_FAR to OP_IRET
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_far(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 op = EMU_OP(insn->entry), size = insn->op_size;
	struct emu_mem m;
	u64 offset = 0;
	u8 buf[10];
	u16 sel;
	int r;

	switch (op) {
	case OP_RET_FAR:
		return ret_far(e);
	case OP_IRET:
		return iret(e);
	case OP_JMP_FAR:
	case OP_CALL_FAR:
		return transfer(e, insn->sel, insn->imm, op == OP_CALL_FAR);
	}
	/* OP_JMP_FAR_IND, OP_CALL_FAR_IND; AMD knows no 64-bit far pointers. */
	if (size == 8 && (e->features & VIREO_EMU_F_AMD))
		size = e->insn.op_size = 4;
	r = emu_operand(e, size + 2, false, &m);
	if (!r)
		r = emu_read_wide(e, &m, buf, size + 2, 0);
	if (r)
		return r;
	memcpy(&offset, buf, size);
	memcpy(&sel, buf + size, 2);
	return transfer(e, sel, offset, op == OP_CALL_FAR_IND);
}

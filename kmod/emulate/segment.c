// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors, and the instructions that load segment registers from them.
 *
 * A load is checked completely before anything is set: the last thing that can fail
 * is setting the accessed bit, by a locked access to the byte that has it, as
 * another processor may change the descriptor at the same time.
 *
 * Reads here are not recorded for a restart. They only ever come from memory
 * (VIREO_EMU_ACC_MEMORY), so that they can be made again.
 */
#include "internal.h"

/**
 * emu_cpl() - current privilege level
 * @e: context
 *
 * Return: 0 to 3; 0 in real mode.
 */
u32 emu_cpl(struct vireo_emu *e)
{
	if (e->mode < VIREO_EMU_VM86)
		return 0;
	return e->mode == VIREO_EMU_VM86 ? 3 : e->ops->get_cpl(e);
}

/**
 * emu_long_mode() - is long mode active (64-bit or compatibility mode)?
 * @e: context
 *
 * Return: true if it is.
 */
bool emu_long_mode(struct vireo_emu *e)
{
	if (e->mode == VIREO_EMU_PROT64)
		return true;
	return emu_is_prot(e) && e->ops->get_efer && (e->ops->get_efer(e) & EFER_LMA);
}

/**
 * emu_update_mode() - something changed that the mode depends on
 * @e: context
 */
void emu_update_mode(struct vireo_emu *e)
{
	u32 attr = emu_seg(e, VIREO_EMU_CS)->attr;
	bool big = attr & VIREO_EMU_SEG_DB;

	e->events |= VIREO_EMU_EV_MODE;
	if (!(e->ops->get_cr(e, 0) & CR0_PE))
		e->mode = big ? VIREO_EMU_REAL32 : VIREO_EMU_REAL;
	else if (e->rflags & FL_VM)
		e->mode = VIREO_EMU_VM86;
	else if ((attr & VIREO_EMU_SEG_L) && e->ops->get_efer &&
		 (e->ops->get_efer(e) & EFER_LMA))
		e->mode = VIREO_EMU_PROT64;
	else
		e->mode = big ? VIREO_EMU_PROT32 : VIREO_EMU_PROT16;
}

/**
 * emu_can_segment() - are the callbacks there that load segment registers?
 * @e: context
 *
 * Return: true if they are.
 */
bool emu_can_segment(const struct vireo_emu *e)
{
	return e->ops->set_seg && e->ops->get_dt;
}

/* Tables of long mode are anywhere, also while the program is a 32-bit one. */
static u64 truncate(struct vireo_emu *e, u64 la)
{
	return emu_long_mode(e) ? la : (u32)la;
}

static u32 piece(u64 la, u32 len)
{
	u32 room = 0x1000 - (la & 0xfff);

	if (len > 8)
		len = 8;
	return len < room ? len : room;
}

/**
 * emu_mem_read() - read memory, without a record for a restart
 * @e: context
 * @la: linear address
 * @data: result
 * @len: bytes
 * @flags: enum vireo_emu_access
 *
 * Return: enum vireo_emu_result.
 */
int emu_mem_read(struct vireo_emu *e, u64 la, void *data, u32 len, u32 flags)
{
	u8 *p = data;

	while (len) {
		u64 at = truncate(e, la);
		u32 n = piece(at, len);
		int r = e->ops->read(e, at, VIREO_EMU_NO_GPA, p, n, flags | VIREO_EMU_ACC_MEMORY);

		if (r)
			return r;
		la += n;
		p += n;
		len -= n;
	}
	return VIREO_EMU_OK;
}

/**
 * emu_mem_write() - write memory, without a record for a restart
 * @e: context
 * @la: linear address
 * @data: data
 * @len: bytes
 * @flags: enum vireo_emu_access
 *
 * Return: enum vireo_emu_result.
 */
int emu_mem_write(struct vireo_emu *e, u64 la, const void *data, u32 len, u32 flags)
{
	const u8 *p = data;

	while (len) {
		u64 at = truncate(e, la);
		u32 n = piece(at, len);
		int r = e->ops->write(e, at, VIREO_EMU_NO_GPA, p, n, flags | VIREO_EMU_ACC_MEMORY);

		if (r)
			return r;
		la += n;
		p += n;
		len -= n;
	}
	return VIREO_EMU_OK;
}

/**
 * emu_mem_probe() - would emu_mem_write() succeed?
 * @e: context
 * @la: linear address
 * @len: bytes
 * @flags: enum vireo_emu_access
 *
 * Return: enum vireo_emu_result.
 */
int emu_mem_probe(struct vireo_emu *e, u64 la, u32 len, u32 flags)
{
	while (len) {
		u64 at = truncate(e, la);
		u32 room = 0x1000 - (at & 0xfff), n = len < room ? len : room;
		int r = e->ops->probe(e, at, n, flags | VIREO_EMU_ACC_MEMORY);

		if (r)
			return r;
		la += n;
		len -= n;
	}
	return VIREO_EMU_OK;
}

/**
 * emu_selector_fault() - an exception whose error code is a selector
 * @e: context
 * @b: which
 * @sel: selector
 *
 * Return: VIREO_EMU_EXCEPTION.
 */
int emu_selector_fault(struct vireo_emu *e, struct emu_blame b, u16 sel)
{
	return vireo_emu_fault(e, b.vector, (sel & 0xfffc) | b.ext);
}

/* Where is the descriptor, if @len bytes of it are within the table? */
static bool find(struct vireo_emu *e, u16 sel, u32 len, u64 *la)
{
	u32 index = sel & 0xfff8;

	if (sel & 4) {
		const struct vireo_emu_segment *ldt = emu_seg(e, VIREO_EMU_LDTR);

		*la = ldt->base + index;
		return !(ldt->attr & VIREO_EMU_SEG_UNUSABLE) && (ldt->attr & VIREO_EMU_SEG_P) &&
		       index + len - 1 <= ldt->limit;
	} else {
		u64 base;
		u16 limit;

		e->ops->get_dt(e, VIREO_EMU_GDTR, &base, &limit);
		*la = base + index;
		return index + len - 1 <= limit;
	}
}

static int fetch(struct vireo_emu *e, u16 sel, struct emu_desc *d)
{
	struct vireo_emu_segment *s = &d->s;
	int r = emu_mem_read(e, d->la, &d->lo, 8, VIREO_EMU_ACC_SYSTEM);

	if (r)
		return r;
	d->hi = 0;
	s->base = (d->lo >> 16 & 0xffffff) | (d->lo >> 32 & 0xff000000);
	s->limit = (d->lo & 0xffff) | (d->lo >> 32 & 0xf0000);
	s->attr = d->lo >> 40 & 0xf0ff;
	if (s->attr & VIREO_EMU_SEG_G)
		s->limit = s->limit << 12 | 0xfff;
	s->selector = sel;
	return VIREO_EMU_OK;
}

/**
 * emu_desc_read() - read the descriptor of a selector
 * @e: context
 * @sel: selector, not null
 * @b: what to raise if it is beyond the limit of its table
 * @d: result
 *
 * Return: enum vireo_emu_result.
 */
int emu_desc_read(struct vireo_emu *e, u16 sel, struct emu_blame b, struct emu_desc *d)
{
	if (!find(e, sel, 8, &d->la) || !emu_canonical(e, d->la))
		return emu_selector_fault(e, b, sel);
	return fetch(e, sel, d);
}

/**
 * emu_desc_high() - the upper half of a system descriptor of long mode
 * @e: context
 * @b: what to raise if it is not in order
 * @d: descriptor, its lower half read
 *
 * Return: enum vireo_emu_result.
 */
int emu_desc_high(struct vireo_emu *e, struct emu_blame b, struct emu_desc *d)
{
	u16 sel = d->s.selector;
	u64 la;
	int r;

	if (!find(e, sel, 16, &la))
		return emu_selector_fault(e, b, sel);
	r = emu_mem_read(e, la + 8, &d->hi, 8, VIREO_EMU_ACC_SYSTEM);
	if (r)
		return r;
	/* Where the type of a descriptor would be that starts in the middle */
	if (d->hi >> 40 & 0x1f)
		return emu_selector_fault(e, b, sel);
	d->s.base |= d->hi << 32;
	return VIREO_EMU_OK;
}

/**
 * emu_desc_change() - set or clear bits of a descriptor's type
 * @e: context
 * @d: descriptor
 * @set: bits to be set
 * @clear: bits to be cleared
 *
 * Return: enum vireo_emu_result.
 */
int emu_desc_change(struct vireo_emu *e, struct emu_desc *d, u8 set, u8 clear)
{
	u8 now = d->lo >> 40, old, new;
	u32 tries;
	int r;

	for (tries = 0; tries < 1000; tries++) {
		old = now;
		new = (old | set) & ~clear;
		r = (e->ops->cmpxchg)(e, truncate(e, d->la + 5), VIREO_EMU_NO_GPA, &now, &new, 1,
				      VIREO_EMU_ACC_LOCK | VIREO_EMU_ACC_SYSTEM |
				      VIREO_EMU_ACC_MEMORY);
		if (r)
			return r;
		if (now == old)
			return VIREO_EMU_OK;
	}
	return VIREO_EMU_UNHANDLED;
}

/**
 * emu_desc_accessed() - set the accessed bit of a code or data segment
 * @e: context
 * @d: descriptor
 *
 * Return: enum vireo_emu_result.
 */
int emu_desc_accessed(struct vireo_emu *e, struct emu_desc *d)
{
	if (d->s.attr & 1)
		return VIREO_EMU_OK;
	d->s.attr |= 1;
	return emu_desc_change(e, d, 1, 0);
}

/**
 * emu_set_seg() - set a segment register
 * @e: context
 * @seg: enum vireo_emu_seg
 * @s: what to
 */
void emu_set_seg(struct vireo_emu *e, u32 seg, const struct vireo_emu_segment *s)
{
	e->seg[seg] = *s;
	e->seg_valid |= 1u << seg;
	e->ops->set_seg(e, seg, s);
}

/**
 * emu_real_seg() - what a selector stands for in real and virtual-8086 mode
 * @e: context
 * @seg: enum vireo_emu_seg
 * @sel: selector
 * @s: result
 */
void emu_real_seg(struct vireo_emu *e, u32 seg, u16 sel, struct vireo_emu_segment *s)
{
	if (e->rflags & FL_VM) {
		s->limit = 0xffff;
		s->attr = 0xf3;
	} else {
		/* Limit and size are kept: that is what makes "unreal" mode. */
		*s = *emu_seg(e, seg);
		s->attr &= VIREO_EMU_SEG_G | VIREO_EMU_SEG_DB;
		s->attr |= 0x93;
	}
	s->base = (u32)sel << 4;
	s->selector = sel;
}

/**
 * emu_null_seg() - a segment register with a null selector
 * @e: context
 * @seg: enum vireo_emu_seg
 * @sel: selector, 0 to 3
 * @cpl: CPL, for SS
 * @s: result
 */
void emu_null_seg(struct vireo_emu *e, u32 seg, u16 sel, u32 cpl, struct vireo_emu_segment *s)
{
	s->base = 0;
	s->limit = 0;
	/* AMD's processors keep base and limit, which shows in 64-bit mode. */
	if ((e->features & VIREO_EMU_F_AMD) && (seg == VIREO_EMU_FS || seg == VIREO_EMU_GS))
		*s = *emu_seg(e, seg);
	s->attr = VIREO_EMU_SEG_UNUSABLE;
	if (seg == VIREO_EMU_SS)
		s->attr |= cpl << VIREO_EMU_SEG_DPL_SHIFT;
	s->selector = sel;
}

/**
 * emu_check_stack_seg() - may it become SS?
 * @e: context
 * @sel: selector, not null
 * @cpl: privilege level it is for
 * @b: what to raise if not; what is not present is always #SS
 * @d: result
 *
 * Return: enum vireo_emu_result.
 */
int emu_check_stack_seg(struct vireo_emu *e, u16 sel, u32 cpl, struct emu_blame b,
			struct emu_desc *d)
{
	int r = emu_desc_read(e, sel, b, d);
	u32 attr;

	if (r)
		return r;
	attr = d->s.attr;
	if ((sel & 3) != cpl || emu_dpl(attr) != cpl ||
	    (attr & (VIREO_EMU_SEG_S | SEG_CODE | SEG_RW)) != (VIREO_EMU_SEG_S | SEG_RW))
		return emu_selector_fault(e, b, sel);
	b.vector = EXC_SS;
	return attr & VIREO_EMU_SEG_P ? VIREO_EMU_OK : emu_selector_fault(e, b, sel);
}

/**
 * emu_check_data_seg() - may it become DS, ES, FS or GS?
 * @e: context
 * @sel: selector, not null
 * @cpl: privilege level it is for
 * @b: what to raise if not; what is not present is always #NP
 * @d: result
 *
 * Return: enum vireo_emu_result.
 */
int emu_check_data_seg(struct vireo_emu *e, u16 sel, u32 cpl, struct emu_blame b,
		       struct emu_desc *d)
{
	int r = emu_desc_read(e, sel, b, d);
	u32 attr, dpl;

	if (r)
		return r;
	attr = d->s.attr;
	dpl = emu_dpl(attr);
	if (!(attr & VIREO_EMU_SEG_S) || (attr & (SEG_CODE | SEG_RW)) == SEG_CODE)
		return emu_selector_fault(e, b, sel);
	if ((attr & (SEG_CODE | SEG_CONFORMING)) != (SEG_CODE | SEG_CONFORMING) &&
	    ((sel & 3u) > dpl || cpl > dpl))
		return emu_selector_fault(e, b, sel);
	b.vector = EXC_NP;
	return attr & VIREO_EMU_SEG_P ? VIREO_EMU_OK : emu_selector_fault(e, b, sel);
}

/**
 * emu_load_seg() - load ES, SS, DS, FS or GS as MOV does
 * @e: context
 * @seg: enum vireo_emu_seg
 * @sel: selector
 *
 * Return: enum vireo_emu_result.
 */
int emu_load_seg(struct vireo_emu *e, u32 seg, u16 sel)
{
	const struct emu_blame gp = { .vector = EXC_GP };
	struct emu_desc d;
	u32 cpl;
	int r;

	if (!emu_can_segment(e))
		return VIREO_EMU_UNHANDLED;
	if (!emu_is_prot(e)) {
		emu_real_seg(e, seg, sel, &d.s);
		emu_set_seg(e, seg, &d.s);
		return VIREO_EMU_OK;
	}
	cpl = emu_cpl(e);
	if (!(sel & 0xfffc)) {
		/* A null SS is for 64-bit mode, and not for user programs. */
		if (seg == VIREO_EMU_SS && (e->mode != VIREO_EMU_PROT64 || cpl == 3 || sel != cpl))
			return emu_gp(e);
		emu_null_seg(e, seg, sel, cpl, &d.s);
		emu_set_seg(e, seg, &d.s);
		return VIREO_EMU_OK;
	}
	if (seg == VIREO_EMU_SS)
		r = emu_check_stack_seg(e, sel, cpl, gp, &d);
	else
		r = emu_check_data_seg(e, sel, cpl, gp, &d);
	if (!r)
		r = emu_desc_accessed(e, &d);
	if (!r)
		emu_set_seg(e, seg, &d.s);
	return r;
}

/**
 * emu_load_segments() - OP_LDS: LDS, LES, LSS, LFS, LGS
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_load_segments(struct vireo_emu *e)
{
	static const u8 seg_0f[] = {
		[2] = VIREO_EMU_SS, [0] = VIREO_EMU_FS, [1] = VIREO_EMU_GS,	/* B2, B4, B5 */
	};
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size, seg;
	struct emu_mem m;
	u64 offset = 0;
	u8 buf[10];
	u16 sel;
	int r;

	/* AMD's processors have no far pointers with offsets of 64 bits. */
	if (size == 8 && (e->features & VIREO_EMU_F_AMD))
		size = 4;
	if (insn->map == VIREO_EMU_MAP_0F)
		seg = seg_0f[insn->opcode & 3];
	else
		seg = insn->opcode == 0xc4 ? VIREO_EMU_ES : VIREO_EMU_DS;
	r = emu_operand(e, size + 2, false, &m);
	if (!r)
		r = emu_read_wide(e, &m, buf, size + 2, 0);
	if (r)
		return r;
	memcpy(&offset, buf, size);
	memcpy(&sel, buf + size, 2);
	r = emu_load_seg(e, seg, sel);
	if (r)
		return r;
	emu_reg_write(e, insn->reg, offset, size);
	return emu_finish(e);
}

/* UMIP: may a user program see where the system's tables are? */
static int check_umip(struct vireo_emu *e)
{
	if (emu_cpl(e) && (e->ops->get_cr(e, 4) & CR4_UMIP))
		return emu_gp(e);
	return VIREO_EMU_OK;
}

static int load_ldt(struct vireo_emu *e, u16 sel)
{
	const struct emu_blame gp = { .vector = EXC_GP }, np = { .vector = EXC_NP };
	struct emu_desc d;
	int r;

	if (!(sel & 0xfffc)) {
		emu_null_seg(e, VIREO_EMU_LDTR, sel, 0, &d.s);
		emu_set_seg(e, VIREO_EMU_LDTR, &d.s);
		return VIREO_EMU_OK;
	}
	if (sel & 4)
		return emu_selector_fault(e, gp, sel);
	r = emu_desc_read(e, sel, gp, &d);
	if (r)
		return r;
	if ((d.s.attr & 0x1f) != SYS_LDT)
		return emu_selector_fault(e, gp, sel);
	if (!(d.s.attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, np, sel);
	if (emu_long_mode(e)) {
		r = emu_desc_high(e, gp, &d);
		if (r)
			return r;
		if (!emu_canonical(e, d.s.base))
			return emu_selector_fault(e, gp, sel);
	}
	emu_set_seg(e, VIREO_EMU_LDTR, &d.s);
	return VIREO_EMU_OK;
}

static int load_tr(struct vireo_emu *e, u16 sel)
{
	const struct emu_blame gp = { .vector = EXC_GP }, np = { .vector = EXC_NP };
	bool lm = emu_long_mode(e);
	struct emu_desc d;
	u32 type;
	int r;

	if (!(sel & 0xfffc))
		return emu_gp(e);
	if (sel & 4)
		return emu_selector_fault(e, gp, sel);
	r = emu_desc_read(e, sel, gp, &d);
	if (r)
		return r;
	type = d.s.attr & 0x1f;
	if (type != SYS_TSS32 && (type != SYS_TSS16 || lm))
		return emu_selector_fault(e, gp, sel);
	if (!(d.s.attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, np, sel);
	if (lm) {
		r = emu_desc_high(e, gp, &d);
		if (r)
			return r;
		if (!emu_canonical(e, d.s.base))
			return emu_selector_fault(e, gp, sel);
	}
	r = emu_desc_change(e, &d, SYS_TSS_BUSY, 0);
	if (r)
		return r;
	d.s.attr |= SYS_TSS_BUSY;
	emu_set_seg(e, VIREO_EMU_TR, &d.s);
	return VIREO_EMU_OK;
}

/* Types of system descriptors that LAR and LSL know */
#define LAR_LEGACY	(1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12)
#define LAR_LONG	(1 << 2 | 1 << 9 | 1 << 11 | 1 << 12)
#define LSL_LEGACY	(1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11)
#define LSL_LONG	(1 << 2 | 1 << 9 | 1 << 11)

/* LAR, LSL, VERR, VERW: is the descriptor one that may be asked about? */
static bool accessible(struct vireo_emu *e, u32 op, const struct emu_desc *d)
{
	u32 attr = d->s.attr, dpl = emu_dpl(attr);
	bool code = attr & SEG_CODE, lm = emu_long_mode(e), conforming;
	u32 types;

	if (!(attr & VIREO_EMU_SEG_S)) {
		if (op == OP_LAR)
			types = lm ? LAR_LONG : LAR_LEGACY;
		else if (op == OP_LSL)
			types = lm ? LSL_LONG : LSL_LEGACY;
		else
			return false;
		if (!(types >> (attr & 15) & 1))
			return false;
		code = false;
	}
	if (op == OP_VERR && code && !(attr & SEG_RW))
		return false;
	if (op == OP_VERW && (code || !(attr & SEG_RW)))
		return false;
	conforming = code && (attr & SEG_CONFORMING);
	return conforming || (emu_cpl(e) <= dpl && (d->s.selector & 3u) <= dpl);
}

static int inspect(struct vireo_emu *e, u32 op)
{
	const struct vireo_emu_insn *insn = &e->insn;
	struct emu_desc d;
	u64 sel;
	int r;

	r = emu_read_rm(e, &sel, 2);
	if (r)
		return r;
	if ((sel & 0xfffc) && find(e, sel, 8, &d.la) && emu_canonical(e, d.la)) {
		r = fetch(e, sel, &d);
		if (r)
			return r;
		if (accessible(e, op, &d)) {
			if (op == OP_LAR)
				emu_reg_write(e, insn->reg, d.lo >> 32 & 0xffff00, insn->op_size);
			else if (op == OP_LSL)
				emu_reg_write(e, insn->reg, d.s.limit, insn->op_size);
			e->rflags |= FL_ZF;
			return emu_finish(e);
		}
	}
	e->rflags &= ~(u64)FL_ZF;
	return emu_finish(e);
}

static int arpl(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 rpl = e->regs[insn->reg] & 3;
	struct emu_mem m;
	u64 val;
	int r;

	if (insn->modrm >= 0xc0) {
		val = e->regs[insn->rm];
	} else {
		r = emu_operand(e, 2, true, &m);
		if (!r)
			r = emu_read(e, &m, &val, 2, VIREO_EMU_ACC_RMW);
		if (r)
			return r;
	}
	if ((val & 3) >= rpl) {
		e->rflags &= ~(u64)FL_ZF;
		return emu_finish(e);
	}
	val = (val & ~3ULL) | rpl;
	if (insn->modrm >= 0xc0) {
		emu_reg_write(e, insn->rm, val, 2);
	} else {
		r = emu_write(e, &m, val, 2);
		if (r)
			return r;
	}
	e->rflags |= FL_ZF;
	return emu_finish(e);
}

/**
 * emu_tables() - OP_ARPL to OP_LSL
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_tables(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 op = EMU_OP(insn->entry);
	u64 val;
	int r;

	switch (op) {
	case OP_SLDT:
	case OP_STR:
		r = check_umip(e);
		if (r)
			return r;
		val = emu_seg(e, op == OP_SLDT ? VIREO_EMU_LDTR : VIREO_EMU_TR)->selector;
		r = emu_write_rm(e, val, insn->modrm < 0xc0 ? 2 : insn->op_size);
		return r ? r : emu_finish(e);
	case OP_ARPL:
		return arpl(e);
	}
	if (!emu_can_segment(e))
		return VIREO_EMU_UNHANDLED;
	if (op != OP_LLDT && op != OP_LTR)
		return inspect(e, op);
	if (emu_cpl(e))
		return emu_gp(e);
	r = emu_read_rm(e, &val, 2);
	if (!r)
		r = op == OP_LLDT ? load_ldt(e, val) : load_tr(e, val);
	return r ? r : emu_finish(e);
}

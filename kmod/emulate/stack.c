// SPDX-License-Identifier: GPL-2.0-only
/*
 * PUSH, POP and their kin, and the near control transfers.
 *
 * The stack pointer is written last, when no access can fault any more: functions
 * work on a copy of it. Where an instruction pushes or pops many values they are
 * one wide access, so that it either happens as a whole or not at all.
 */
#include "internal.h"

/**
 * emu_stack_size() - width of the stack pointer
 * @e: context
 *
 * Return: 2, 4 or 8 bytes.
 */
u32 emu_stack_size(struct vireo_emu *e)
{
	if (e->mode == VIREO_EMU_PROT64)
		return 8;
	return emu_seg(e, VIREO_EMU_SS)->attr & VIREO_EMU_SEG_DB ? 4 : 2;
}

/**
 * emu_get_sp() - the stack pointer
 * @e: context
 *
 * Return: as wide as the stack segment says.
 */
u64 emu_get_sp(struct vireo_emu *e)
{
	return e->regs[VIREO_EMU_RSP] & emu_mask(emu_stack_size(e));
}

/**
 * emu_set_sp() - set the stack pointer
 * @e: context
 * @sp: new value
 */
void emu_set_sp(struct vireo_emu *e, u64 sp)
{
	/* A 32-bit stack pointer of compatibility mode clears the upper half. */
	emu_reg_update(e, VIREO_EMU_RSP, sp, emu_stack_size(e));
}

/* A wide access to the stack at @sp; operands on the stack have no known address. */
static int stack_operand(struct vireo_emu *e, u64 sp, u32 size, bool write, struct emu_mem *m)
{
	m->gpa = VIREO_EMU_NO_GPA;
	return emu_linearize(e, VIREO_EMU_SS, sp, size, write, &m->la);
}

/**
 * emu_push() - write below a copy of the stack pointer
 * @e: context
 * @val: value
 * @size: 2, 4 or 8
 * @sp: stack pointer, moved if it succeeds
 *
 * Return: enum vireo_emu_result.
 */
int emu_push(struct vireo_emu *e, u64 val, u32 size, u64 *sp)
{
	u64 to = (*sp - size) & emu_mask(emu_stack_size(e));
	struct emu_mem m;
	int r;

	r = stack_operand(e, to, size, true, &m);
	if (!r)
		r = emu_write(e, &m, val, size);
	if (!r)
		*sp = to;
	return r;
}

/**
 * emu_pop() - read at a copy of the stack pointer
 * @e: context
 * @val: result
 * @size: 2, 4 or 8
 * @sp: stack pointer, moved if it succeeds
 *
 * Return: enum vireo_emu_result.
 */
int emu_pop(struct vireo_emu *e, u64 *val, u32 size, u64 *sp)
{
	struct emu_mem m;
	int r;

	r = stack_operand(e, *sp, size, false, &m);
	if (!r)
		r = emu_read(e, &m, val, size, 0);
	if (!r)
		*sp = (*sp + size) & emu_mask(emu_stack_size(e));
	return r;
}

/**
 * emu_frame_init() - begin a frame
 * @f: frame
 * @size: of its elements: 2, 4 or 8
 * @flags: enum vireo_emu_access
 * @code: error code of #SS, if there is no room for it
 */
void emu_frame_init(struct emu_frame *f, u32 size, u32 flags, u32 code)
{
	f->size = size;
	f->flags = flags;
	f->code = code;
	f->at = sizeof(f->data);
}

/**
 * emu_frame_push() - one more element, below those that are there
 * @f: frame
 * @val: value, truncated to the size of elements
 */
void emu_frame_push(struct emu_frame *f, u64 val)
{
	f->at -= f->size;
	memcpy(f->data + f->at, &val, f->size);
}

/* Is it within the limit of a stack segment? */
static bool in_stack(const struct vireo_emu_segment *s, u64 ea, u32 size)
{
	u64 last = ea + size - 1;

	if (s->attr & VIREO_EMU_SEG_UNUSABLE)
		return false;
	if ((s->attr & 0xc) == 4)
		return ea > s->limit && last <= (s->attr & VIREO_EMU_SEG_DB ? 0xffffffffu : 0xffff);
	return last <= s->limit;
}

/**
 * emu_frame_probe() - find the place for a frame, and see that it can be written
 * @e: context
 * @f: frame, complete
 * @ss: stack segment
 * @sp: in: stack pointer; out: below the frame
 * @code64: the stack is that of 64-bit code
 *
 * Return: enum vireo_emu_result.
 */
int emu_frame_probe(struct vireo_emu *e, struct emu_frame *f, const struct vireo_emu_segment *ss,
		    u64 *sp, bool code64)
{
	u32 total = sizeof(f->data) - f->at, size = f->size, n;
	u64 mask = code64 ? ~0ULL : ss->attr & VIREO_EMU_SEG_DB ? 0xffffffff : 0xffff;
	u64 top = *sp & mask, to = (top - total) & mask, above = top;
	int r;

	f->base = code64 ? 0 : ss->base;
	f->top = top;
	f->mask = mask;
	f->code64 = code64;
	/* From the top, as it would be pushed: that is the order of faults. */
	for (n = 1; n <= total / size; n++) {
		u64 ea = (top - n * size) & mask, la = f->base + ea;

		if (code64 ? !emu_canonical(e, la) || !emu_canonical(e, la + size - 1) :
			     !in_stack(ss, ea, size))
			return vireo_emu_fault(e, EXC_SS, f->code);
		if (!code64)
			la = (u32)la;
		if ((e->rflags & FL_AC) && !(f->flags & VIREO_EMU_ACC_INNER)) {
			r = emu_check_alignment(e, la, size);
			if (r)
				return r;
		}
		/* Once for each page, unless the stack pointer has wrapped */
		if (n > 1 && (la & 0xfff) + size < 0x1000 && ea < above)
			continue;
		above = ea;
		r = emu_mem_probe(e, la, size, f->flags);
		if (r)
			return r;
	}
	/* A 32-bit stack pointer keeps its upper half on a 16-bit stack. */
	*sp = (*sp & ~mask) | to;
	return VIREO_EMU_OK;
}

/**
 * emu_frame_write() - write a frame that has been probed
 * @e: context
 * @f: frame
 *
 * Return: enum vireo_emu_result.
 */
int emu_frame_write(struct vireo_emu *e, const struct emu_frame *f)
{
	u32 total = sizeof(f->data) - f->at, size = f->size, n;

	for (n = 1; n <= total / size; n++) {
		u64 la = f->base + ((f->top - n * size) & f->mask);
		int r;

		if (!f->code64)
			la = (u32)la;
		r = emu_mem_write(e, la, f->data + sizeof(f->data) - n * size, size, f->flags);
		if (r)
			return r;
	}
	return VIREO_EMU_OK;
}

static int push(struct vireo_emu *e, u64 val)
{
	u64 sp = emu_get_sp(e);
	int r = emu_push(e, val, e->insn.op_size, &sp);

	if (r)
		return r;
	emu_set_sp(e, sp);
	return emu_finish(e);
}

/* ModRM operand of an instruction that also touches the stack. */
static int read_rm(struct vireo_emu *e, u64 *val, u32 size)
{
	struct emu_mem m;
	int r;

	if (e->insn.modrm >= 0xc0) {
		*val = emu_reg_read(e, e->insn.rm, size);
		return VIREO_EMU_OK;
	}
	r = emu_operand(e, size, false, &m);
	m.gpa = VIREO_EMU_NO_GPA;
	return r ? r : emu_read(e, &m, val, size, 0);
}

static int push_rm(struct vireo_emu *e)
{
	u64 val;
	int r;

	if (!(e->insn.entry & EMU_MODRM))
		return push(e, e->regs[e->insn.rm]);
	r = read_rm(e, &val, e->insn.op_size);
	return r ? r : push(e, val);
}

static int pop_rm(struct vireo_emu *e)
{
	u32 size = e->insn.op_size;
	u64 val, sp = emu_get_sp(e), rsp = e->regs[VIREO_EMU_RSP];
	struct emu_mem m;
	int r;

	r = emu_pop(e, &val, size, &sp);
	if (r)
		return r;
	/* The address of the destination is computed with the new stack pointer. */
	emu_set_sp(e, sp);
	if (!(e->insn.entry & EMU_MODRM) || e->insn.modrm >= 0xc0) {
		emu_reg_write(e, e->insn.rm, val, size);
		return emu_finish(e);
	}
	r = emu_operand(e, size, true, &m);
	m.gpa = VIREO_EMU_NO_GPA;
	if (!r)
		r = emu_write(e, &m, val, size);
	if (r) {
		e->regs[VIREO_EMU_RSP] = rsp;
		return r;
	}
	return emu_finish(e);
}

/*
 * Several pushes are one wide write, but if one faults, the first of them, at the
 * highest address, is the one to be reported.
 */
static int probe_down(struct vireo_emu *e, const struct emu_mem *m, u32 size, u32 n)
{
	int r = VIREO_EMU_OK;

	while (!r && n--) {
		struct emu_mem one = { .la = m->la + n * size, .gpa = VIREO_EMU_NO_GPA };

		r = emu_probe(e, &one, size);
	}
	return r;
}

static noinline int push_all_wrapping(struct vireo_emu *e, u64 sp)
{
	struct emu_frame f;
	u32 n;
	int r;

	emu_frame_init(&f, e->insn.op_size, 0, 0);
	for (n = 0; n < 8; n++)
		emu_frame_push(&f, e->regs[n]);
	r = emu_frame_probe(e, &f, emu_seg(e, VIREO_EMU_SS), &sp, false);
	if (!r)
		r = emu_frame_write(e, &f);
	if (r)
		return r;
	emu_set_sp(e, sp);
	return emu_finish(e);
}

static int push_all(struct vireo_emu *e)
{
	u32 size = e->insn.op_size, n, total = 8 * size;
	u64 sp = emu_get_sp(e), to = (sp - total) & emu_mask(emu_stack_size(e));
	struct emu_mem m;
	u8 buf[32];
	int r;

	/* The stack pointer wraps in the midst of it. */
	if (to > sp && sp)
		return push_all_wrapping(e, sp);
	r = stack_operand(e, to, total, true, &m);
	if (r)
		return r;
	r = probe_down(e, &m, size, 8);
	if (r)
		return r;
	/* RAX is pushed first, RDI ends up at the lowest address. */
	for (n = 0; n < 8; n++)
		memcpy(buf + n * size, &e->regs[VIREO_EMU_RDI - n], size);
	r = emu_write_wide(e, &m, buf, total);
	if (r)
		return r;
	emu_set_sp(e, to);
	return emu_finish(e);
}

static int pop_all(struct vireo_emu *e)
{
	u32 size = e->insn.op_size, n, total = 8 * size;
	u64 sp = emu_get_sp(e), to = (sp + total) & emu_mask(emu_stack_size(e));
	struct emu_mem m;
	u8 buf[32];
	int r;

	if (to < sp && to) {
		/* The stack pointer wraps in the midst of it. */
		for (n = 0, to = sp, r = VIREO_EMU_OK; !r && n < 8; n++) {
			u64 val = 0;

			r = emu_pop(e, &val, size, &to);
			memcpy(buf + n * size, &val, size);
		}
	} else {
		r = stack_operand(e, sp, total, false, &m);
		if (!r)
			r = emu_read_wide(e, &m, buf, total, 0);
	}
	if (r)
		return r;
	for (n = 0; n < 8; n++) {
		u64 val = 0;

		memcpy(&val, buf + n * size, size);
		if (VIREO_EMU_RDI - n != VIREO_EMU_RSP)
			emu_reg_update(e, VIREO_EMU_RDI - n, val, size);
	}
	emu_set_sp(e, to);
	return emu_finish(e);
}

/* Virtual-8086 mode with IOPL below 3: VME, or #GP. */
static bool vm86_restricted(const struct vireo_emu *e)
{
	return e->mode == VIREO_EMU_VM86 && (e->rflags & FL_IOPL) != FL_IOPL;
}

static int push_flags(struct vireo_emu *e)
{
	u64 val = e->rflags & ~(u64)(FL_VM | FL_RF);

	if (vm86_restricted(e)) {
		if (e->insn.op_size != 2 || !(e->ops->get_cr(e, 4) & CR4_VME))
			return emu_gp(e);
		val |= FL_IOPL;
		val &= ~(u64)FL_IF;
		if (val & FL_VIF)
			val |= FL_IF;
	}
	return push(e, val);
}

static int pop_flags(struct vireo_emu *e)
{
	const u64 word = FL_ARITH | FL_TF | FL_DF | FL_NT;
	u64 val, sp = emu_get_sp(e), mask = word, old = e->rflags;
	u32 size = e->insn.op_size, cpl = 0;
	bool vme = false;
	int r;

	if (vm86_restricted(e)) {
		vme = size == 2 && (e->ops->get_cr(e, 4) & CR4_VME);
		if (!vme)
			return emu_gp(e);
	}
	r = emu_pop(e, &val, size, &sp);
	if (r)
		return r;

	if (size != 2)
		mask |= FL_AC | FL_ID;
	if (vme) {
		if ((val & FL_TF) || ((val & FL_IF) && (old & FL_VIP)))
			return emu_gp(e);
		mask |= FL_VIF;
		val &= ~(u64)FL_VIF;
		if (val & FL_IF)
			val |= FL_VIF;
	} else if (e->mode == VIREO_EMU_VM86) {
		mask |= FL_IF;
	} else {
		if (emu_is_prot(e))
			cpl = e->ops->get_cpl(e);
		if (!cpl)
			mask |= FL_IOPL;
		if (cpl <= (old >> FL_IOPL_SHIFT & 3))
			mask |= FL_IF;
		else if (!cpl)
			mask |= FL_IF;
	}
	emu_set_sp(e, sp);
	/* A TF that it sets traps after the next instruction, one it clears after this. */
	r = emu_finish(e);
	e->rflags = (e->rflags & ~mask) | (val & mask) | FL_FIXED;
	return r;
}

static int read_display(struct vireo_emu *e, u64 at, u64 *val)
{
	u32 size = e->insn.op_size;
	u64 la;
	int r = emu_linearize(e, VIREO_EMU_SS, at, size, false, &la);

	*val = 0;
	return r ? r : emu_mem_read(e, la, val, size, 0);
}

/* ENTER with a display: the frame pointers of enclosing frames are copied. */
static noinline int enter_display(struct vireo_emu *e, u32 level)
{
	u32 size = e->insn.op_size, width = emu_stack_size(e), n;
	u64 mask = emu_mask(width), sp = emu_get_sp(e), frame = (sp - size) & mask;
	u64 bp = e->regs[VIREO_EMU_RBP], val, la;
	struct emu_mem top;
	int r = VIREO_EMU_OK;

	/* First see that all of it is there, in the order in which it is looked at. */
	for (n = 0; !r && n <= level; n++) {
		if (n && n < level)
			r = read_display(e, (bp - n * size) & mask, &val);
		if (!r)
			r = emu_linearize(e, VIREO_EMU_SS, (sp - (n + 1) * size) & mask, size,
					  true, &la);
		if (!r)
			r = emu_mem_probe(e, la, size, 0);
	}
	if (!r)
		r = stack_operand(e, (sp - (level + 1) * size - e->insn.imm) & mask, size, true,
				  &top);
	if (!r)
		r = emu_probe(e, &top, size);
	if (!r)
		r = emu_push(e, bp, size, &sp);
	/* It may overlap what is pushed, and is read as that has left it. */
	for (n = 1; !r && n < level; n++) {
		r = read_display(e, (bp - n * size) & mask, &val);
		if (!r)
			r = emu_push(e, val, size, &sp);
	}
	if (!r)
		r = emu_push(e, frame, size, &sp);
	if (r)
		return r;
	emu_reg_update(e, VIREO_EMU_RBP, frame, size);
	emu_set_sp(e, (sp - e->insn.imm) & mask);
	return emu_finish(e);
}

static int enter(struct vireo_emu *e)
{
	u32 size = e->insn.op_size, level = e->insn.sel & 31, width = emu_stack_size(e);
	u64 mask = emu_mask(width), sp = emu_get_sp(e), frame = (sp - size) & mask, to;
	struct emu_mem m, top;
	u64 buf[2];
	int r;

	if (level > 1)
		return enter_display(e, level);
	if (!level) {
		to = frame;
		buf[0] = e->regs[VIREO_EMU_RBP];
	} else {
		to = (frame - size) & mask;
		buf[0] = frame & emu_mask(size);
		memcpy((u8 *)buf + size, &e->regs[VIREO_EMU_RBP], size);
	}
	r = stack_operand(e, to, (level + 1) * size, true, &m);
	if (!r)
		r = probe_down(e, &m, size, level + 1);
	/* The new top of the stack must be writable, though nothing is written. */
	sp = (to - e->insn.imm) & mask;
	if (!r)
		r = stack_operand(e, sp, size, true, &top);
	if (!r)
		r = emu_probe(e, &top, size);
	if (!r)
		r = emu_write_wide(e, &m, buf, (level + 1) * size);
	if (r)
		return r;
	emu_reg_update(e, VIREO_EMU_RBP, frame, size);
	emu_set_sp(e, sp);
	return emu_finish(e);
}

static int leave(struct vireo_emu *e)
{
	u64 sp = e->regs[VIREO_EMU_RBP] & emu_mask(emu_stack_size(e)), val;
	int r = emu_pop(e, &val, e->insn.op_size, &sp);

	if (r)
		return r;
	emu_reg_update(e, VIREO_EMU_RBP, val, e->insn.op_size);
	emu_set_sp(e, sp);
	return emu_finish(e);
}

/* Opcodes 06, 0E, 16, 1E, 0F A0, 0F A8: the segment is in bits 5:3. */
static int push_segment(struct vireo_emu *e)
{
	return push(e, emu_seg(e, e->insn.opcode >> 3 & 7)->selector);
}

static int pop_segment(struct vireo_emu *e)
{
	u32 seg = e->insn.opcode >> 3 & 7;
	u64 sp = emu_get_sp(e), rsp = e->regs[VIREO_EMU_RSP], val;
	int r;

	r = emu_pop(e, &val, e->insn.op_size, &sp);
	if (r)
		return r;
	/* POP SS: the width of the stack pointer is still that of the old segment. */
	emu_set_sp(e, sp);
	r = emu_load_seg(e, seg, val);
	if (r) {
		e->regs[VIREO_EMU_RSP] = rsp;
		return r;
	}
	return seg == VIREO_EMU_SS ? emu_finish_ss(e) : emu_finish(e);
}

/**
 * emu_stack() - OP_PUSH to OP_LEAVE
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_stack(struct vireo_emu *e)
{
	switch (EMU_OP(e->insn.entry)) {
	case OP_PUSH:
		return push_rm(e);
	case OP_PUSH_IMM:
		return push(e, e->insn.imm);
	case OP_PUSH_SEG:
		return push_segment(e);
	case OP_POP:
		return pop_rm(e);
	case OP_PUSHA:
		return push_all(e);
	case OP_POPA:
		return pop_all(e);
	case OP_PUSHF:
		return push_flags(e);
	case OP_POPF:
		return pop_flags(e);
	case OP_ENTER:
		return enter(e);
	case OP_LEAVE:
		return leave(e);
	default: /* OP_POP_SEG */
		return pop_segment(e);
	}
}

/* May execution go on at *@target? Truncates it to the operand size. */
static int check_target(struct vireo_emu *e, u64 *target)
{
	if (e->insn.op_size == 8) {
		u32 sh = e->features & VIREO_EMU_F_LA57 ? 7 : 16;

		if ((u64)((s64)(*target << sh) >> sh) != *target)
			return emu_gp(e);
		return VIREO_EMU_OK;
	}
	*target &= emu_mask(e->insn.op_size);
	if (e->mode != VIREO_EMU_PROT64 && *target > emu_seg(e, VIREO_EMU_CS)->limit)
		return emu_gp(e);
	return VIREO_EMU_OK;
}

static int branch(struct vireo_emu *e, bool taken)
{
	u64 target = e->rip + e->insn.len + e->insn.imm;
	int r;

	if (!taken)
		return emu_finish(e);
	r = check_target(e, &target);
	return r ? r : emu_retire(e, target);
}

static int call(struct vireo_emu *e, u64 target)
{
	u64 sp = emu_get_sp(e);
	int r;

	r = check_target(e, &target);
	if (!r)
		r = emu_push(e, e->rip + e->insn.len, e->insn.op_size, &sp);
	if (r)
		return r;
	emu_set_sp(e, sp);
	return emu_retire(e, target);
}

static int ret(struct vireo_emu *e)
{
	u64 sp = emu_get_sp(e), target;
	int r;

	r = emu_pop(e, &target, e->insn.op_size, &sp);
	if (!r)
		r = check_target(e, &target);
	if (r)
		return r;
	if (e->insn.entry & EMU_I_MASK)
		sp = (sp + e->insn.imm) & emu_mask(emu_stack_size(e));
	emu_set_sp(e, sp);
	return emu_retire(e, target);
}

/* LOOPNE, LOOPE, LOOP: counts by address size. */
static int loop(struct vireo_emu *e)
{
	u32 size = e->insn.ad_size;
	u64 rcx = e->regs[VIREO_EMU_RCX], count = (rcx - 1) & emu_mask(size);
	bool taken = count, zf = e->rflags & FL_ZF;
	int r;

	if (e->insn.opcode == 0xe0)
		taken = taken && !zf;
	else if (e->insn.opcode == 0xe1)
		taken = taken && zf;
	r = branch(e, taken);
	if (!r)
		emu_reg_update(e, VIREO_EMU_RCX, count, size);
	return r;
}

/**
 * emu_control() - OP_JCC to OP_CALL_IND
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_control(struct vireo_emu *e)
{
	u32 op = EMU_OP(e->insn.entry);
	u64 target;
	int r;

	switch (op) {
	case OP_JCC:
		return branch(e, emu_cond(e, e->insn.opcode));
	case OP_JMP:
		return branch(e, true);
	case OP_CALL:
		return call(e, e->rip + e->insn.len + e->insn.imm);
	case OP_RET:
		return ret(e);
	case OP_LOOP:
		return loop(e);
	case OP_JCXZ:
		return branch(e, !(e->regs[VIREO_EMU_RCX] & emu_mask(e->insn.ad_size)));
	default: /* OP_JMP_IND, OP_CALL_IND */
		r = read_rm(e, &target, e->insn.op_size);
		if (r)
			return r;
		if (op == OP_CALL_IND)
			return call(e, target);
		r = check_target(e, &target);
		return r ? r : emu_retire(e, target);
	}
}

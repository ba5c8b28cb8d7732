// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions of the shape "destination = f(destination, source)": the ADD
 * group, shifts and rotates, INC to NEG, bit tests, XADD, CMPXCHG, XCHG.
 *
 * One pipeline for all of them: operands are read, compute() works out a result
 * and flags without touching anything, then memory is written, and only when
 * that has succeeded the registers. LOCK turns the write into a compare-and-
 * exchange loop.
 */
#include "alu.h"

/* Tries at a contended location before the guest gets to see its interrupts. */
#define LOCK_TRIES	32

/* The source that compute() needs: register, immediate, or count. */
static u64 source(const struct vireo_emu *e, u32 op, u32 form)
{
	const struct vireo_emu_insn *insn = &e->insn;

	if (op == OP_SHLD || op == OP_SHRD)
		return emu_reg_read(e, insn->reg, insn->op_size);
	if (op >= OP_ROL && op <= OP_SAR) {
		switch (insn->opcode & 0xfe) {
		case 0xc0:
			return (u8)insn->imm;
		case 0xd0:
			return 1;
		default:
			return (u8)e->regs[VIREO_EMU_RCX];
		}
	}
	switch (form) {
	case EMU_F_EG:
		return emu_reg_read(e, insn->reg, insn->op_size);
	case EMU_F_EI:
	case EMU_F_AI:
		return insn->imm & emu_mask(insn->op_size);
	case EMU_F_O:
		/* XCHG with the accumulator */
		return emu_reg_read(e, VIREO_EMU_RAX, insn->op_size);
	}
	return 0;
}

static u64 compute(const struct vireo_emu *e, u32 op, u64 dst, u64 src, u64 *fl)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size, count;
	u64 cf = *fl & FL_CF, bit, acc;

	switch (op) {
	case OP_ADD:
	case OP_XADD:
		return alu_add(dst, src, 0, size, fl);
	case OP_ADC:
		return alu_add(dst, src, cf, size, fl);
	case OP_SUB:
	case OP_CMP:
		return alu_sub(dst, src, 0, size, fl);
	case OP_SBB:
		return alu_sub(dst, src, cf, size, fl);
	case OP_OR:
		return alu_logic(dst | src, size, fl);
	case OP_AND:
	case OP_TEST:
		return alu_logic(dst & src, size, fl);
	case OP_XOR:
		return alu_logic(dst ^ src, size, fl);
	case OP_INC:
		dst = alu_add(dst, 1, 0, size, fl);
		*fl = (*fl & ~(u64)FL_CF) | cf;
		return dst;
	case OP_DEC:
		dst = alu_sub(dst, 1, 0, size, fl);
		*fl = (*fl & ~(u64)FL_CF) | cf;
		return dst;
	case OP_NOT:
		return ~dst;
	case OP_NEG:
		return alu_sub(0, dst, 0, size, fl);
	case OP_BT:
	case OP_BTS:
	case OP_BTR:
	case OP_BTC:
		bit = 1ULL << (src & (8 * size - 1));
		*fl &= ~(u64)FL_CF;
		if (dst & bit)
			*fl |= FL_CF;
		if (op == OP_BTS)
			return dst | bit;
		if (op == OP_BTR)
			return dst & ~bit;
		if (op == OP_BTC)
			return dst ^ bit;
		return dst;
	case OP_SHLD:
	case OP_SHRD:
		count = insn->entry & EMU_I_MASK ? (u8)insn->imm : (u8)e->regs[VIREO_EMU_RCX];
		return alu_double_shift(op == OP_SHLD, dst, src, count, size, fl);
	case OP_CMPXCHG:
		acc = emu_reg_read(e, VIREO_EMU_RAX, size);
		alu_sub(acc, dst, 0, size, fl);
		return acc == dst ? src : dst;
	case OP_XCHG:
		return src;
	case OP_BSWAP:
		if (size == 8)
			return __builtin_bswap64(dst);
		/* With 16 bits undefined; processors clear the register. */
		return size == 4 ? __builtin_bswap32((u32)dst) : 0;
	default:
		return alu_shift(op - OP_ROL, dst, src, size, fl);
	}
}

/* BT and its kin with a register as bit offset reach beyond the operand. */
static u64 bit_address(const struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size;
	s64 off = emu_sext(e->regs[insn->reg], size);
	u64 ea = emu_ea(e) + (u64)(off >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * size;

	return insn->ad_size == 8 ? ea : ea & emu_mask(insn->ad_size);
}

static bool writes_back(u32 op)
{
	return op != OP_CMP && op != OP_TEST && op != OP_BT;
}

/* What goes into registers beside the destination. */
static void update_registers(struct vireo_emu *e, u32 op, u32 form, u64 dst)
{
	u32 size = e->insn.op_size;

	switch (op) {
	case OP_XADD:
		emu_reg_write(e, e->insn.reg, dst, size);
		break;
	case OP_XCHG:
		emu_reg_write(e, form == EMU_F_O ? VIREO_EMU_RAX : e->insn.reg, dst, size);
		break;
	case OP_CMPXCHG:
		if (emu_reg_read(e, VIREO_EMU_RAX, size) != dst)
			emu_reg_write(e, VIREO_EMU_RAX, dst, size);
		break;
	}
}

static int modify_memory(struct vireo_emu *e, u32 op, u32 form, u64 src)
{
	u32 size = e->insn.op_size, tries = 0;
	bool wr = writes_back(op);
	bool lock = op == OP_XCHG || (e->insn.prefix & VIREO_EMU_PFX_LOCK);
	u64 dst, found, res, fl;
	struct emu_mem m;
	int r;

	if (form == EMU_F_EG && op >= OP_BT && op <= OP_BTC)
		r = emu_operand_at(e, bit_address(e), size, wr, &m);
	else
		r = emu_operand(e, size, wr, &m);
	if (r)
		return r;
	r = emu_read(e, &m, &dst, size,
		     (wr ? VIREO_EMU_ACC_RMW : 0) | (lock ? VIREO_EMU_ACC_LOCK : 0));
	if (r)
		return r;

	for (;;) {
		fl = e->rflags;
		res = compute(e, op, dst, src, &fl);
		if (!wr)
			break;
		res &= emu_mask(size);
		if (!lock) {
			r = emu_write(e, &m, res, size);
			if (r)
				return r;
			break;
		}
		found = dst;
		r = emu_cmpxchg(e, &m, &found, &res, size);
		if (r)
			return r;
		if (found == dst)
			break;
		dst = found;
		if (++tries == LOCK_TRIES) {
			e->log_len = 0;
			return VIREO_EMU_RESTART;
		}
	}
	e->rflags = fl;
	update_registers(e, op, form, dst);
	return emu_finish(e);
}

/**
 * emu_modify() - OP_ADD to OP_BSWAP
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_modify(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 op = EMU_OP(insn->entry), form = insn->entry & EMU_F_MASK, size = insn->op_size;
	u64 dst, src, res, fl = e->rflags;
	u32 reg = insn->rm;
	int r;

	if (form == EMU_F_GE) {
		/* the one form whose memory operand is the source */
		struct emu_mem m;

		reg = insn->reg;
		if (insn->modrm < 0xc0) {
			r = emu_operand(e, size, false, &m);
			if (!r)
				r = emu_read(e, &m, &src, size, 0);
			if (r)
				return r;
		} else {
			src = emu_reg_read(e, insn->rm, size);
		}
	} else {
		src = source(e, op, form);
		if (form == EMU_F_AI)
			reg = VIREO_EMU_RAX;
		else if (form != EMU_F_O && insn->modrm < 0xc0)
			return modify_memory(e, op, form, src);
	}

	dst = emu_reg_read(e, reg, size);
	res = compute(e, op, dst, src, &fl);
	e->rflags = fl;
	update_registers(e, op, form, dst);
	/*
	 * Unlike memory, a register is not written by a CMPXCHG that fails: its upper
	 * half is not cleared.
	 */
	if (writes_back(op) && (op != OP_CMPXCHG || (fl & FL_ZF)))
		emu_reg_write(e, reg, res, size);
	return emu_finish(e);
}

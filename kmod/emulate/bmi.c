// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bit manipulation with VEX encodings: BMI1 and BMI2.
 *
 * Compilers use them in kernels that are built for newer processors. A virtual
 * processor that is not known to have them leaves them to user space.
 */
#include "alu.h"

static u64 deposit(u64 val, u64 mask)
{
	u64 res = 0, bit;

	for (bit = 1; mask; bit <<= 1) {
		if (val & bit)
			res |= mask & -mask;
		mask &= mask - 1;
	}
	return res;
}

static u64 extract(u64 val, u64 mask)
{
	u64 res = 0, bit;

	for (bit = 1; mask; bit <<= 1) {
		if (val & mask & -mask)
			res |= bit;
		mask &= mask - 1;
	}
	return res;
}

static u64 shift(u32 prefix, u64 val, u32 count, u32 size)
{
	count &= 8 * size - 1;
	if (prefix & VIREO_EMU_PFX_OPSIZE)
		return val << count;			/* SHLX */
	if (prefix & VIREO_EMU_PFX_REPE)
		return (u64)((s64)emu_sext(val, size) >> count);	/* SARX */
	return val >> count;				/* SHRX */
}

/* Start and length of BEXTR are bytes of a register; bits beyond the operand are 0. */
static u64 field(u64 val, u64 control)
{
	u32 start = control & 0xff, len = control >> 8 & 0xff;

	val = start < 64 ? val >> start : 0;
	return len < 64 ? val & ((1ULL << len) - 1) : val;
}

static u64 clear_high(u64 val, u32 index, u32 size, u64 *fl)
{
	u64 cf = index >= 8 * size;

	if (!cf)
		val &= (1ULL << index) - 1;
	alu_logic(val, size, fl);
	*fl |= cf;
	return val;
}

/* BLSR, BLSMSK, BLSI: by ModRM.reg */
static u64 lowest_bit(u32 kind, u64 val, u32 size, u64 *fl)
{
	u64 res, cf = !val;

	if (kind == 1) {
		res = val & (val - 1);
	} else if (kind == 2) {
		res = val ^ (val - 1);
	} else {
		res = val & -val;
		cf = !cf;
	}
	alu_logic(res, size, fl);
	*fl |= cf;
	return res;
}

/* MULX: twice as wide, in two registers, without flags. */
static void multiply(struct vireo_emu *e, u64 val)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size;
	unsigned __int128 product = (unsigned __int128)val *
				    (e->regs[VIREO_EMU_RDX] & emu_mask(size));

	/* If both are one register, it gets the upper half. */
	emu_reg_update(e, emu_vvvv(e), (u64)product, size);
	emu_reg_update(e, insn->reg, (u64)(product >> 8 * size), size);
}

/* Does this combination of opcode, prefix and ModRM exist? Says by which feature. */
static u32 feature(const struct vireo_emu_insn *insn)
{
	u32 prefix = insn->prefix & (VIREO_EMU_PFX_OPSIZE | VIREO_EMU_PFX_REPE |
				     VIREO_EMU_PFX_REPNE);

	if (insn->map == VIREO_EMU_MAP_0F3A)
		return prefix == VIREO_EMU_PFX_REPNE && !insn->vvvv ? VIREO_EMU_F_BMI2 : 0;
	switch (insn->opcode) {
	case 0xf2:
		return prefix ? 0 : VIREO_EMU_F_BMI1;
	case 0xf3:
		return prefix || (insn->reg & 7) < 1 || (insn->reg & 7) > 3 ? 0 : VIREO_EMU_F_BMI1;
	case 0xf5:
		return prefix == VIREO_EMU_PFX_OPSIZE ? 0 : VIREO_EMU_F_BMI2;
	case 0xf6:
		return prefix == VIREO_EMU_PFX_REPNE ? VIREO_EMU_F_BMI2 : 0;
	default: /* F7 */
		return prefix ? VIREO_EMU_F_BMI2 : VIREO_EMU_F_BMI1;
	}
}

/**
 * emu_bmi() - OP_BMI
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_bmi(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size, need = feature(insn), dest = insn->reg;
	u64 *fl = &e->rflags, src, other, res;
	int r;

	if (!need || insn->vlen)
		return emu_ud(e);
	if (!(e->features & need))
		return VIREO_EMU_UNHANDLED;
	r = emu_read_rm(e, &src, size);
	if (r)
		return r;
	other = e->regs[emu_vvvv(e)] & emu_mask(size);
	if (insn->map == VIREO_EMU_MAP_0F3A) {		/* RORX */
		u32 bits = 8 * size, n = insn->imm & (bits - 1);

		res = n ? src >> n | src << (bits - n) : src;
	} else {
		switch (insn->opcode) {
		case 0xf2:				/* ANDN */
			res = alu_logic(~other & src, size, fl);
			break;
		case 0xf3:
			res = lowest_bit(insn->reg & 7, src, size, fl);
			dest = emu_vvvv(e);
			break;
		case 0xf5:
			if (insn->prefix & VIREO_EMU_PFX_REPE)
				res = extract(other, src);
			else if (insn->prefix & VIREO_EMU_PFX_REPNE)
				res = deposit(other, src);
			else
				res = clear_high(src, other & 0xff, size, fl);
			break;
		case 0xf6:
			multiply(e, src);
			return emu_finish(e);
		default:
			if (insn->prefix & (VIREO_EMU_PFX_OPSIZE | VIREO_EMU_PFX_REPE |
					    VIREO_EMU_PFX_REPNE))
				res = shift(insn->prefix, src, other, size);
			else
				res = alu_logic(field(src, other), size, fl);	/* BEXTR */
		}
	}
	emu_reg_update(e, dest, res, size);
	return emu_finish(e);
}

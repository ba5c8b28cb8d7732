// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the differential tests have in common: random operands, and what the
 * architecture leaves undefined.
 */
#include "random.h"
#include "../../kmod/emulate/internal.h"

static u64 state = 88172645463325252ULL;

/**
 * rnd_seed() - begin a sequence of random numbers
 * @seed: which one
 */
void rnd_seed(u64 seed)
{
	state = seed * 0x9e3779b97f4a7c15ULL | 1;
}

/**
 * rnd() - the next random number
 *
 * Return: the number.
 */
u64 rnd(void)
{
	/* xorshift64* */
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 2685821657736338717ULL;
}

/**
 * undefined_flags() - flags that the architecture leaves undefined
 * @insn: decoded instruction
 * @op: its operation
 * @rcx: RCX before it
 *
 * Return: mask of them.
 */
u64 undefined_flags(const struct vireo_emu_insn *insn, u32 op, u64 rcx)
{
	u32 count, bits = 8 * insn->op_size;

	switch (op) {
	case OP_AND:
	case OP_OR:
	case OP_XOR:
	case OP_TEST:
		return FL_AF;
	case OP_ROL ... OP_SAR:
	case OP_SHLD:
	case OP_SHRD:
		if (op == OP_SHLD || op == OP_SHRD)
			count = insn->entry & EMU_I_MASK ? insn->imm : rcx;
		else
			count = (insn->opcode & 0xfe) == 0xc0 ? insn->imm :
				(insn->opcode & 0xfe) == 0xd0 ? 1 : rcx;
		count &= insn->op_size == 8 ? 63 : 31;
		if (!count)
			return 0;
		if (op <= OP_RCR)
			return count == 1 ? 0 : FL_OF;
		return FL_AF | (count == 1 ? 0 : FL_OF) | (count >= bits ? FL_CF : 0);
	case OP_MUL ... OP_IMUL3:
		return FL_SF | FL_ZF | FL_AF | FL_PF;
	case OP_DIV:
	case OP_IDIV:
		return FL_ARITH;
	case OP_BT ... OP_BTC:
		return FL_OF | FL_SF | FL_AF | FL_PF;
	case OP_BSF:
	case OP_BSR:
		return FL_CF | FL_OF | FL_SF | FL_AF | FL_PF;
	case OP_BMI:
		if (insn->map == VIREO_EMU_MAP_0F3A || insn->opcode == 0xf6)
			return 0;
		if (insn->opcode == 0xf7)
			return insn->prefix & (VIREO_EMU_PFX_OPSIZE | VIREO_EMU_PFX_REPE |
					       VIREO_EMU_PFX_REPNE) ? 0 : FL_SF | FL_AF | FL_PF;
		return FL_AF | FL_PF;
	case OP_DAA:
	case OP_DAS:
		return FL_OF;
	case OP_AAA:
	case OP_AAS:
		return FL_OF | FL_SF | FL_ZF | FL_PF;
	case OP_AAM:
	case OP_AAD:
		return FL_OF | FL_AF | FL_CF;
	}
	return 0;
}

/**
 * undefined_result() - nothing to compare?
 * @insn: decoded instruction
 * @op: its operation
 * @rcx: RCX before it
 *
 * Return: whether the architecture leaves the result undefined.
 */
bool undefined_result(const struct vireo_emu_insn *insn, u32 op, u64 rcx)
{
	u32 count;

	if (op == OP_BSWAP)
		return insn->op_size == 2;
	if ((op == OP_SHLD || op == OP_SHRD) && insn->op_size == 2) {
		count = insn->entry & EMU_I_MASK ? insn->imm : rcx;
		return (count & 31) > 16;
	}
	return false;
}

/**
 * random_value() - a number with a liking for corners
 *
 * Return: the number.
 */
u64 random_value(void)
{
	static const u64 special[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ULL, 0x0f0f0f0f0f0f0f0f,
	};
	u64 v = rnd();

	switch (rnd() % 4) {
	case 0:
		return special[v % 16];
	case 1:
		return (s64)v >> (rnd() % 64);
	default:
		return v;
	}
}

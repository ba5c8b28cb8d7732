// SPDX-License-Identifier: GPL-2.0-only
/*
 * Multiplication, division and decimal adjustment.
 *
 * The accumulator pair makes these unlike the rest: AX for bytes, rDX:rAX
 * otherwise. A 128-bit dividend is split by the processor's own DIV, which is
 * only reached when it cannot fault.
 */
#include "alu.h"

static int read_e(struct vireo_emu *e, u64 *val, u32 size)
{
	struct emu_mem m;
	int r;

	if (e->insn.modrm >= 0xc0) {
		*val = emu_reg_read(e, e->insn.rm, size);
		return VIREO_EMU_OK;
	}
	r = emu_operand(e, size, false, &m);
	return r ? r : emu_read(e, &m, val, size, 0);
}

static void set_pair(struct vireo_emu *e, u64 lo, u64 hi, u32 size)
{
	if (size == 1) {
		emu_reg_update(e, VIREO_EMU_RAX, (u8)lo | (u64)(u8)hi << 8, 2);
	} else {
		emu_reg_update(e, VIREO_EMU_RAX, lo, size);
		emu_reg_update(e, VIREO_EMU_RDX, hi, size);
	}
}

/* CF and OF: the upper half of a product is more than an extension. */
static void set_overflow(struct vireo_emu *e, bool over, u64 lo, u32 size)
{
	e->rflags &= ~(u64)FL_ARITH;
	e->rflags |= alu_szp(lo, size) & ~(u64)FL_ZF;
	if (over)
		e->rflags |= FL_CF | FL_OF;
}

static int multiply(struct vireo_emu *e, u64 src, u32 size)
{
	u64 mask = emu_mask(size), a = e->regs[VIREO_EMU_RAX] & mask, lo, hi;
	unsigned __int128 p = (unsigned __int128)a * src;
	u32 bits = 8 * size;

	lo = (u64)p & mask;
	hi = (u64)(p >> bits) & mask;
	set_pair(e, lo, hi, size);
	set_overflow(e, hi, lo, size);
	return emu_finish(e);
}

static u64 imul(u64 a, u64 b, u32 size, u64 *hi)
{
	__int128 p = (__int128)(s64)emu_sext(a, size) * (s64)emu_sext(b, size);

	*hi = (u64)(p >> (8 * size)) & emu_mask(size);
	return (u64)p & emu_mask(size);
}

static int multiply_signed(struct vireo_emu *e, u32 op, u64 src, u32 size)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u64 lo, hi, other;

	if (op == OP_IMUL)
		other = e->regs[VIREO_EMU_RAX];
	else if (op == OP_IMUL2)
		other = e->regs[insn->reg];
	else
		other = insn->imm;
	lo = imul(other, src, size, &hi);
	if (op == OP_IMUL)
		set_pair(e, lo, hi, size);
	else
		emu_reg_write(e, insn->reg, lo, size);
	set_overflow(e, hi != ((emu_sext(lo, size) >> 63 ? ~0ULL : 0) & emu_mask(size)), lo,
		     size);
	return emu_finish(e);
}

/*
 * hi:lo / d, with operands of @size bytes. False if the quotient does not fit.
 */
static bool divide_unsigned(u64 lo, u64 hi, u64 d, u32 size, u64 *q, u64 *rem)
{
	if (hi >= d)
		return false;
	if (size < 8) {
		u64 n = hi << (8 * size) | lo;

		*q = n / d;
		*rem = n % d;
		return true;
	}
	asm("divq %4" : "=a" (*q), "=d" (*rem) : "a" (lo), "d" (hi), "r" (d) : "cc");
	return true;
}

static bool divide_signed(u64 lo, u64 hi, u64 d, u32 size, u64 *q, u64 *rem)
{
	u64 mask = emu_mask(size), limit = 1ULL << (8 * size - 1);
	bool neg_n = hi & limit, neg_d = d & limit;

	if (neg_n) {
		lo = -lo & mask;
		hi = (~hi + !lo) & mask;
	}
	if (neg_d)
		d = -d & mask;
	if (!divide_unsigned(lo, hi, d, size, q, rem))
		return false;
	/* A negative quotient reaches one further than a positive one. */
	if (*q > limit || (*q == limit && neg_n == neg_d))
		return false;
	if (neg_n != neg_d)
		*q = -*q;
	if (neg_n)
		*rem = -*rem;
	return true;
}

static int divide(struct vireo_emu *e, u32 op, u64 src, u32 size)
{
	u64 lo, hi, q, rem, mask = emu_mask(size);
	bool ok;

	lo = e->regs[VIREO_EMU_RAX] & mask;
	hi = (size == 1 ? e->regs[VIREO_EMU_RAX] >> 8 : e->regs[VIREO_EMU_RDX]) & mask;
	if (op == OP_DIV)
		ok = divide_unsigned(lo, hi, src, size, &q, &rem);
	else
		ok = divide_signed(lo, hi, src, size, &q, &rem);
	if (!ok)
		return vireo_emu_trap(e, EXC_DE);
	set_pair(e, q, rem, size);
	return emu_finish(e);
}

/**
 * emu_muldiv() - OP_MUL to OP_IDIV
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_muldiv(struct vireo_emu *e)
{
	u32 op = EMU_OP(e->insn.entry), size = e->insn.op_size;
	u64 src;
	int r;

	r = read_e(e, &src, size);
	if (r)
		return r;
	switch (op) {
	case OP_MUL:
		return multiply(e, src, size);
	case OP_DIV:
	case OP_IDIV:
		return divide(e, op, src, size);
	default:
		return multiply_signed(e, op, src, size);
	}
}

/* DAA and DAS: as the SDM's pseudo-code has it. */
static void decimal_adjust(struct vireo_emu *e, bool sub)
{
	u8 al = e->regs[VIREO_EMU_RAX], old = al;
	u64 fl = e->rflags, cf = fl & FL_CF, out = 0;

	if ((al & 15) > 9 || (fl & FL_AF)) {
		out |= FL_AF;
		if (sub) {
			if (cf || al < 6)
				out |= FL_CF;
			al -= 6;
		} else {
			if (cf || al > 0xf9)
				out |= FL_CF;
			al += 6;
		}
	}
	if (old > 0x99 || cf) {
		al = sub ? al - 0x60 : al + 0x60;
		out |= FL_CF;
	} else if (!sub) {
		out &= ~(u64)FL_CF;
	}
	e->rflags = (fl & ~(u64)FL_ARITH) | out | alu_szp(al, 1);
	emu_reg_write(e, VIREO_EMU_RAX, al, 1);
}

/* AAA and AAS */
static void ascii_adjust(struct vireo_emu *e, bool sub)
{
	u16 ax = e->regs[VIREO_EMU_RAX];
	u64 out = 0;

	if ((ax & 15) > 9 || (e->rflags & FL_AF)) {
		ax = sub ? ax - 0x106 : ax + 0x106;
		out = FL_AF | FL_CF;
	}
	ax &= 0xff0f;
	e->rflags = (e->rflags & ~(u64)FL_ARITH) | out | alu_szp(ax, 1);
	emu_reg_update(e, VIREO_EMU_RAX, ax, 2);
}

/**
 * emu_decimal() - OP_DAA to OP_AAD
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_decimal(struct vireo_emu *e)
{
	u32 op = EMU_OP(e->insn.entry);
	u8 al = e->regs[VIREO_EMU_RAX], ah = e->regs[VIREO_EMU_RAX] >> 8;
	u8 base = e->insn.imm;

	switch (op) {
	case OP_DAA:
	case OP_DAS:
		decimal_adjust(e, op == OP_DAS);
		break;
	case OP_AAA:
	case OP_AAS:
		ascii_adjust(e, op == OP_AAS);
		break;
	case OP_AAM:
		if (!base)
			return vireo_emu_trap(e, EXC_DE);
		ah = al / base;
		al %= base;
		break;
	default: /* OP_AAD */
		al += ah * base;
		ah = 0;
	}
	if (op == OP_AAM || op == OP_AAD) {
		emu_reg_update(e, VIREO_EMU_RAX, al | ah << 8, 2);
		e->rflags = (e->rflags & ~(u64)FL_ARITH) | alu_szp(al, 1);
	}
	return emu_finish(e);
}

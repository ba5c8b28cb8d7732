/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arithmetic and its flags, in plain C.
 *
 * Each function takes operands that are zero-extended from @size bytes, returns a
 * result that may have bits above @size (writing it back drops them), and updates
 * *@fl. Flags that the architecture leaves undefined are set as most processors
 * set them, or kept.
 */
#ifndef VIREO_EMU_ALU_H
#define VIREO_EMU_ALU_H

#include "internal.h"

static __always_inline u64 alu_msb(u64 val, u32 size)
{
	return val >> (8 * size - 1) & 1;
}

/* SF, ZF and PF of a result. */
static __always_inline u64 alu_szp(u64 res, u32 size)
{
	u64 fl = 0;
	u8 low = res;

	res &= emu_mask(size);
	if (!res)
		fl |= FL_ZF;
	if (alu_msb(res, size))
		fl |= FL_SF;
	/* 0x6996 has a bit set for each number of four bits with odd parity */
	low ^= low >> 4;
	if (!(0x6996 >> (low & 15) & 1))
		fl |= FL_PF;
	return fl;
}

static __always_inline u64 alu_add(u64 a, u64 b, u64 carry, u32 size, u64 *fl)
{
	u64 mask = emu_mask(size), res = (a + b + carry) & mask;
	u64 f = alu_szp(res, size);

	if (res < a || (carry && res == a))
		f |= FL_CF;
	f |= (a ^ b ^ res) & FL_AF;
	if (alu_msb((a ^ res) & (b ^ res), size))
		f |= FL_OF;
	*fl = (*fl & ~(u64)FL_ARITH) | f;
	return res;
}

static __always_inline u64 alu_sub(u64 a, u64 b, u64 borrow, u32 size, u64 *fl)
{
	u64 mask = emu_mask(size), res = (a - b - borrow) & mask;
	u64 f = alu_szp(res, size);

	if (a < b || (borrow && a == b))
		f |= FL_CF;
	f |= (a ^ b ^ res) & FL_AF;
	if (alu_msb((a ^ b) & (a ^ res), size))
		f |= FL_OF;
	*fl = (*fl & ~(u64)FL_ARITH) | f;
	return res;
}

static __always_inline u64 alu_logic(u64 res, u32 size, u64 *fl)
{
	*fl = (*fl & ~(u64)FL_ARITH) | alu_szp(res, size);
	return res;
}

/**
 * alu_shift() - ROL, ROR, RCL, RCR, SHL, SHR, SAL, SAR
 * @kind: 0 to 7: ModRM.reg
 * @a: operand
 * @count: count as the instruction gives it
 * @size: 1, 2, 4 or 8
 * @fl: flags
 *
 * OF is computed for any count as the rule for a count of 1 says; the architecture
 * defines no other.
 *
 * Return: the result.
 */
static inline u64 alu_shift(u32 kind, u64 a, u32 count, u32 size, u64 *fl)
{
	u32 bits = 8 * size, n;
	u64 mask = emu_mask(size), res = a, cf = *fl & FL_CF, of;

	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;

	switch (kind) {
	case 0:	/* ROL */
		n = count % bits;
		if (n)
			res = (a << n | a >> (bits - n)) & mask;
		cf = res & 1;
		of = alu_msb(res, size) ^ cf;
		break;
	case 1:	/* ROR */
		n = count % bits;
		if (n)
			res = (a >> n | a << (bits - n)) & mask;
		cf = alu_msb(res, size);
		of = cf ^ (res >> (bits - 2) & 1);
		break;
	case 2:	/* RCL: rotate bits + 1 places */
		for (n = count % (bits + 1); n; n--) {
			u64 out = alu_msb(res, size);

			res = (res << 1 | cf) & mask;
			cf = out;
		}
		of = alu_msb(res, size) ^ cf;
		break;
	case 3:	/* RCR */
		for (n = count % (bits + 1); n; n--) {
			u64 out = res & 1;

			res = res >> 1 | cf << (bits - 1);
			cf = out;
		}
		of = alu_msb(res ^ res << 1, size);
		break;
	case 4:	/* SHL */
	case 6:
		if (count <= bits) {
			cf = a >> (bits - count) & 1;
			res = count < bits ? (a << count) & mask : 0;
		} else {
			cf = 0;
			res = 0;
		}
		of = alu_msb(res, size) ^ cf;
		break;
	case 5:	/* SHR */
		if (count <= bits) {
			cf = a >> (count - 1) & 1;
			res = count < bits ? a >> count : 0;
		} else {
			cf = 0;
			res = 0;
		}
		of = alu_msb(a, size);
		break;
	default: /* SAR */
		n = count < bits ? count : bits - 1;
		cf = (u64)((s64)emu_sext(a, size) >> (count <= bits ? count - 1 : n)) & 1;
		res = (u64)((s64)emu_sext(a, size) >> n) & mask;
		of = 0;
	}

	if (kind < 4) {
		*fl &= ~(u64)(FL_CF | FL_OF);
	} else {
		*fl &= ~(u64)FL_ARITH;
		*fl |= alu_szp(res, size);
	}
	if (cf)
		*fl |= FL_CF;
	if (of)
		*fl |= FL_OF;
	return res;
}

/**
 * alu_double_shift() - SHLD, SHRD
 * @left: SHLD
 * @a: destination
 * @b: where the bits come from
 * @count: count as the instruction gives it
 * @size: 2, 4 or 8; with 2 and a count above 16 the result is undefined
 * @fl: flags
 *
 * Return: the result.
 */
static inline u64 alu_double_shift(bool left, u64 a, u64 b, u32 count, u32 size, u64 *fl)
{
	u32 bits = 8 * size;
	u64 res, cf;

	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;
	if (count > bits) {
		/* Undefined; processors go on with the operands exchanged. */
		u64 t = a;

		count -= bits;
		a = b;
		b = t;
	}
	if (left) {
		cf = a >> (bits - count) & 1;
		res = count < bits ? a << count | b >> (bits - count) : b;
	} else {
		cf = a >> (count - 1) & 1;
		res = count < bits ? a >> count | b << (bits - count) : b;
	}
	res &= emu_mask(size);
	*fl &= ~(u64)(FL_CF | FL_OF | FL_SF | FL_ZF | FL_PF | FL_AF);
	*fl |= alu_szp(res, size);
	if (cf)
		*fl |= FL_CF;
	if (alu_msb(a ^ res, size))
		*fl |= FL_OF;
	return res;
}

#endif /* VIREO_EMU_ALU_H */

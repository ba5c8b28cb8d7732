// SPDX-License-Identifier: GPL-2.0-only
/*
 * The short way for loads and stores of device memory.
 *
 * Drivers reach devices by a handful of forms: MOV between memory and a register
 * or an immediate, MOVZX, MOVSX. The exit has told the physical address, which
 * means that the processor has already made every check of the access, up to the
 * nested tables. What remains is to find operand size and register, to make sure
 * that this is the access the exit was for, and to move the data. Whatever does
 * not look exactly like that takes the long way.
 */
#include "internal.h"

/* vireo_emu.resume: what to do with the data of a load when it is there */
#define RESUME_VALID		0x80000000u
#define RESUME_SIGN		0x40000000u
#define RESUME_HIGH		0x20000000u	/* AH, CH, DH, BH */
#define RESUME_REG_SHIFT	0
#define RESUME_FROM_SHIFT	4		/* bytes read */
#define RESUME_TO_SHIFT		8		/* bytes of the register */
#define RESUME_LEN_SHIFT	12		/* of the instruction */

static __always_inline void load_register(struct vireo_emu *e, u32 resume, u64 val)
{
	u32 from = resume >> RESUME_FROM_SHIFT & 15, to = resume >> RESUME_TO_SHIFT & 15;
	u64 *r = &e->regs[resume & 15];

	if (unlikely(resume & RESUME_SIGN))
		val = emu_sext(val, from);
	if (likely(to == 4))
		*r = (u32)val;
	else if (to == 8)
		*r = val;
	else if (to == 2)
		*r = (*r & ~0xffffULL) | (u16)val;
	else if (resume & RESUME_HIGH)
		*r = (*r & ~0xff00ULL) | (u64)(u8)val << 8;
	else
		*r = (*r & ~0xffULL) | (u8)val;
	e->rip += resume >> RESUME_LEN_SHIFT & 15;
}

/**
 * emu_resume_load() - go on with a load that user space has answered
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_resume_load(struct vireo_emu *e)
{
	u32 resume = e->resume, from = resume >> RESUME_FROM_SHIFT & 15;
	u64 val = 0;

	if (likely(e->log_len == from)) {
		/* The log is 128 bytes: what is behind the data is cut off. */
		memcpy(&val, e->log, sizeof(val));
		val &= emu_mask(from);
	} else {
		struct emu_mem m = { .la = e->resume_la, .gpa = e->gpa };
		int r = emu_read_wide(e, &m, &val, from, 0);

		if (r)
			return r;
	}
	e->resume = 0;
	load_register(e, resume, val);
	return VIREO_EMU_OK;
}

/* Decode and execute the long way. */
static noinline int slow(struct vireo_emu *e, const u8 *bytes, u32 len)
{
	int r = vireo_emu_decode(e, bytes, len);

	return r ? r : vireo_emu_execute(e);
}

int vireo_emu_mmio(struct vireo_emu *e, const u8 *bytes, u32 len)
{
	const u8 *p = bytes;
	u32 op, modrm, rm, reg, rex = 0, size = 4, from, resume = RESUME_VALID;
	u64 *regs = e->regs, la, val, gpa = e->gpa;
	bool load;
	s32 disp;
	int r;

	if (unlikely(len < VIREO_EMU_MAX_INSN) || unlikely(e->mode != VIREO_EMU_PROT64))
		return slow(e, bytes, len);

	op = *p++;
	if (op == 0x66) {
		size = 2;
		op = *p++;
	}
	if ((op & 0xf0) == 0x40) {
		rex = op;
		if (rex & 8)
			size = 8;
		op = *p++;
	}
	modrm = *p++;
	if (likely((op & 0xfc) == 0x88)) {
		/* 88, 89: store; 8A, 8B: load */
		load = op & 2;
		if (!(op & 1))
			size = 1;
		from = size;
	} else if (op == 0x0f && (modrm & 0xf6) == 0xb6) {
		/* B6, B7: MOVZX; BE, BF: MOVSX */
		load = true;
		from = 1 + (modrm & 1);
		if (modrm & 8)
			resume |= RESUME_SIGN;
		modrm = *p++;
	} else if ((op | 1) == 0xc7 && !(modrm & 0x38)) {
		/* store of an immediate */
		load = false;
		if (!(op & 1))
			size = 1;
		from = size;
	} else {
		return slow(e, bytes, len);
	}
	if (unlikely(modrm >= 0xc0))
		return slow(e, bytes, len);

	rm = (modrm & 7) | (rex & 1) << 3;
	if (unlikely((rm & 7) == 4)) {
		u32 sib = *p++, index = (sib >> 3 & 7) | (rex & 2) << 2;

		la = index == 4 ? 0 : regs[index] << (sib >> 6);
		rm = (sib & 7) | (rex & 1) << 3;
		if ((rm & 7) == 5 && modrm < 0x40)
			return slow(e, bytes, len);
	} else {
		la = 0;
		if (unlikely((rm & 7) == 5) && modrm < 0x40)
			return slow(e, bytes, len);
	}
	la += regs[rm];
	if (modrm & 0x40) {
		la += (u64)(s64)(s8)*p++;
	} else if (modrm & 0x80) {
		memcpy(&disp, p, 4);
		la += (u64)(s64)disp;
		p += 4;
	}

	/* Is it the access that the exit was for, and does it stay in its page? */
	if (unlikely((la ^ gpa) & 0xfff) || unlikely(gpa == VIREO_EMU_NO_GPA) ||
	    unlikely((la & 0xfff) + from > 0x1000) || unlikely(e->rflags & (FL_TF | FL_RF)))
		return slow(e, bytes, len);

	e->events = 0;
	reg = (modrm >> 3 & 7) | (rex & 4) << 1;
	if (load) {
		resume |= from << RESUME_FROM_SHIFT | size << RESUME_TO_SHIFT |
			  (u32)(p - bytes) << RESUME_LEN_SHIFT;
		if (unlikely(size == 1) && !rex && reg >= 4) {
			reg -= 4;
			resume |= RESUME_HIGH;
		}
		resume |= reg;
		val = 0;
		r = e->ops->read(e, la, gpa, &val, from, 0);
		if (likely(r == VIREO_EMU_OK)) {
			load_register(e, resume, val);
			return VIREO_EMU_OK;
		}
		if (r != VIREO_EMU_USER)
			return r;
		e->resume = resume;
		e->resume_la = la;
		e->log_len = 0;
		return r;
	}

	if (likely((op & 0xfc) == 0x88)) {
		val = regs[reg];
		if (unlikely(size == 1) && !rex && reg >= 4)
			val = regs[reg - 4] >> 8;
	} else if (size == 1) {
		val = *p++;
	} else if (size == 2) {
		memcpy(&val, p, 2);
		p += 2;
	} else {
		memcpy(&disp, p, 4);
		val = (u64)(s64)disp;
		p += 4;
	}
	r = e->ops->write(e, la, gpa, &val, size, 0);
	if (likely(r == VIREO_EMU_OK)) {
		e->rip += p - bytes;
		return VIREO_EMU_OK;
	}
	/* Not taken: the long way does it again, and can be continued. */
	return r == VIREO_EMU_USER ? slow(e, bytes, len) : r;
}

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

/*
 * vireo_emu.resume: the access, all that has to be known to make it, again if need
 * be. The linear address is in resume_la; the data goes through the log.
 */
#define RESUME_VALID		0x80000000u
#define RESUME_STORE		0x40000000u
#define RESUME_SIGN		0x20000000u
#define RESUME_HIGH		0x10000000u	/* AH, CH, DH, BH */
#define RESUME_REG(r)		((r) & 15)
#define RESUME_FROM(r)		((r) >> 4 & 15)	/* bytes in memory */
#define RESUME_TO(r)		((r) >> 8 & 15)	/* bytes of the register */
#define RESUME_LEN(r)		((r) >> 12 & 15)	/* of the instruction */

static __always_inline u64 get_log(const struct vireo_emu *e)
{
	u64 val;

	memcpy(&val, e->log, sizeof(val));
	return val;
}

static __always_inline void set_log(struct vireo_emu *e, u64 val)
{
	memcpy(e->log, &val, sizeof(val));
}

/* The data of a load is there. */
static __always_inline int finish_load(struct vireo_emu *e, u32 resume, u64 val)
{
	u32 from = RESUME_FROM(resume), to = RESUME_TO(resume);
	u64 *r = &e->regs[RESUME_REG(resume)];

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
	e->rip += RESUME_LEN(resume);
	e->resume = 0;
	return VIREO_EMU_OK;
}

static noinline int do_load(struct vireo_emu *e)
{
	int r;

	set_log(e, 0);
	r = e->ops->read(e, e->resume_la, e->gpa, e->log, RESUME_FROM(e->resume), 0);
	if (likely(r == VIREO_EMU_OK))
		return finish_load(e, e->resume, get_log(e));
	if (r != VIREO_EMU_USER)
		e->resume = 0;
	return r;
}

static noinline int do_store(struct vireo_emu *e)
{
	int r = e->ops->write(e, e->resume_la, e->gpa, e->log, RESUME_FROM(e->resume), 0);

	if (likely(r == VIREO_EMU_OK))
		e->rip += RESUME_LEN(e->resume);
	/* Not taken: once more when user space has been there. */
	if (r != VIREO_EMU_USER)
		e->resume = 0;
	return r;
}

/**
 * emu_resume_mmio() - go on with an access that had to wait for user space
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_resume_mmio(struct vireo_emu *e)
{
	u32 from = RESUME_FROM(e->resume);
	struct emu_mem m = { .la = e->resume_la, .gpa = e->gpa };
	u64 val = 0;
	int r;

	if (e->resume & RESUME_STORE)
		return do_store(e);
	if (likely(e->log_len == from))
		return finish_load(e, e->resume, get_log(e) & emu_mask(from));
	/* An answer in pieces: some of it is still to be asked for. */
	r = emu_read_wide(e, &m, &val, from, 0);
	if (r == VIREO_EMU_OK)
		return finish_load(e, e->resume, val);
	if (r != VIREO_EMU_USER)
		e->resume = 0;
	return r;
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
	u32 op, modrm, base, reg, rex = 0, size = 4, resume;
	u64 la = 0, gpa, val;
	s32 disp;

	if (unlikely(len < VIREO_EMU_MAX_INSN) || unlikely(e->mode != VIREO_EMU_PROT64))
		return slow(e, bytes, len);
	/* From here on there are enough; the number need not be kept. */

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
		if (!(op & 1))
			size = 1;
		resume = RESUME_VALID | size << 8 | size << 4;
		if (!(op & 2))
			resume |= RESUME_STORE;
	} else if (op == 0x0f && (modrm & 0xf6) == 0xb6) {
		/* B6, B7: MOVZX; BE, BF: MOVSX */
		resume = RESUME_VALID | size << 8 | (1 + (modrm & 1)) << 4;
		if (modrm & 8)
			resume |= RESUME_SIGN;
		modrm = *p++;
	} else if ((op | 1) == 0xc7 && !(modrm & 0x38)) {
		/* store of an immediate */
		if (!(op & 1))
			size = 1;
		resume = RESUME_VALID | RESUME_STORE | size << 8 | size << 4;
	} else {
		return slow(e, bytes, VIREO_EMU_MAX_INSN);
	}
	if (unlikely(modrm >= 0xc0))
		return slow(e, bytes, VIREO_EMU_MAX_INSN);

	base = modrm & 7;
	if (unlikely(base == 4)) {
		u32 sib = *p++, index = (sib >> 3 & 7) | (rex & 2) << 2;

		if (index != 4)
			la = e->regs[index] << (sib >> 6);
		base = sib & 7;
	}
	if (modrm >= 0x80) {
		memcpy(&disp, p, 4);
		p += 4;
		la += (u64)(s64)disp;
	} else if (modrm >= 0x40) {
		la += (u64)(s64)(s8)*p;
		p++;
	} else if (unlikely(base == 5)) {
		return slow(e, bytes, VIREO_EMU_MAX_INSN);
	}
	la += e->regs[base | (rex & 1) << 3];

	/*
	 * Is it the access that the exit was for, and does it stay in its page? One
	 * that touches the last byte is refused with those that cross, and so is
	 * VIREO_EMU_NO_GPA.
	 */
	gpa = e->gpa;
	if (unlikely((la ^ gpa) & 0xfff) ||
	    unlikely(((gpa + RESUME_FROM(resume)) ^ gpa) > 0xfff) ||
	    unlikely(e->rflags & (FL_TF | FL_RF)))
		return slow(e, bytes, VIREO_EMU_MAX_INSN);

	e->log_len = 0;
	e->wr_done = 0;
	e->events = 0;
	e->seg_valid = 0;
	e->resume_la = la;
	reg = (modrm >> 3 & 7) | (rex & 4) << 1;
	if (!(resume & RESUME_STORE)) {
		if (unlikely(size == 1) && !rex && reg >= 4) {
			reg -= 4;
			resume |= RESUME_HIGH;
		}
		e->resume = resume | (u32)(p - bytes) << 12 | reg;
		return do_load(e);
	}

	if (likely(op < 0xc0)) {
		val = e->regs[reg];
		if (unlikely(size == 1) && !rex && reg >= 4)
			val = e->regs[reg - 4] >> 8;
	} else if (size == 1) {
		val = *p++;
	} else if (size == 2) {
		val = p[0] | p[1] << 8;
		p += 2;
	} else {
		memcpy(&disp, p, 4);
		val = (u64)(s64)disp;
		p += 4;
	}
	set_log(e, val);
	e->resume = resume | (u32)(p - bytes) << 12;
	return do_store(e);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The SSE and AVX moves that compilers use on device memory.
 *
 * Only moves between memory and a vector register, and whole-register copies:
 * the others cannot meet a device. Registers belong to the vCPU, which hands them
 * over by callback. A wide operand is accessed in pieces of 8 bytes.
 */
#include "internal.h"

/* XCR0: SSE and AVX state enabled */
#define XCR0_SSE_AVX		6

/* Is the instruction set enabled at all, and its state not lazily switched? */
static int check_enabled(struct vireo_emu *e)
{
	u64 cr0 = e->ops->get_cr(e, 0), cr4 = e->ops->get_cr(e, 4);

	if (!e->ops->get_vec || !e->ops->set_vec)
		return VIREO_EMU_UNHANDLED;
	if (e->insn.vex) {
		if (!e->ops->get_xcr0)
			return VIREO_EMU_UNHANDLED;
		if (!(cr4 & CR4_OSXSAVE) ||
		    (e->ops->get_xcr0(e) & XCR0_SSE_AVX) != XCR0_SSE_AVX)
			return emu_ud(e);
	} else if ((cr0 & CR0_EM) || !(cr4 & CR4_OSFXSR)) {
		return emu_ud(e);
	}
	if (cr0 & CR0_TS)
		return vireo_emu_trap(e, EXC_NM);
	return VIREO_EMU_OK;
}

/* What a move does, worked out from opcode and prefixes. */
struct vmove {
	u32 size;		/* bytes in memory */
	u32 offset;		/* byte offset within the register */
	bool store;
	bool aligned;		/* #GP if not */
	bool merge;		/* a load that keeps the other half */
};

/* False: not a move between memory and an XMM, YMM register. */
static bool classify(const struct vireo_emu_insn *insn, struct vmove *v)
{
	u32 op = EMU_OP(insn->entry), full = 16u << insn->vlen;
	bool p66 = insn->prefix & VIREO_EMU_PFX_OPSIZE;
	bool rep = insn->prefix & VIREO_EMU_PFX_REPE, repne = insn->prefix & VIREO_EMU_PFX_REPNE;

	v->size = full;
	v->offset = 0;
	v->aligned = false;
	v->merge = false;
	v->store = (insn->entry & EMU_F_MASK) == EMU_F_EG;

	switch (op) {
	case OP_MOVUPS:
		if (rep)
			v->size = 4;	/* MOVSS */
		else if (repne)
			v->size = 8;	/* MOVSD */
		return true;
	case OP_MOVLPS:
	case OP_MOVHPS:
		if (rep || repne)
			return false;	/* MOVSLDUP, MOVDDUP, MOVSHDUP */
		v->size = 8;
		v->offset = op == OP_MOVHPS ? 8 : 0;
		v->merge = !v->store;
		return true;
	case OP_MOVNTPS:
		if (rep || repne) {
			if (insn->vex)
				return false;
			v->size = rep ? 4 : 8;	/* MOVNTSS, MOVNTSD */
			return true;
		}
		fallthrough;
	case OP_MOVAPS:
		v->aligned = true;
		return true;
	case OP_MOVD:
		v->size = insn->rex & 8 ? 8 : 4;
		return p66;
	case OP_MOVD_ST:
		if (rep) {
			v->store = false;
			v->size = 8;	/* MOVQ xmm, m64 */
			return true;
		}
		v->size = insn->rex & 8 ? 8 : 4;
		return p66;
	case OP_MOVDQ:
		v->aligned = !rep;
		return rep || p66;
	case OP_MOVQ_ST:
		v->size = 8;
		return true;
	case OP_MOVNTDQ:
	case OP_MOVNTDQA:
		v->aligned = true;
		return p66;
	default: /* OP_LDDQU */
		return true;
	}
}

/* Copy a whole register to another. */
static int copy(struct vireo_emu *e, const struct vmove *v)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 from = v->store ? insn->reg : insn->rm, to = v->store ? insn->rm : insn->reg;
	u8 buf[32];
	int r;

	if (v->size < 16)
		return VIREO_EMU_UNHANDLED;
	r = e->ops->get_vec(e, from, buf, v->size);
	if (!r)
		r = e->ops->set_vec(e, to, buf, v->size, insn->vex);
	return r ? r : emu_finish(e);
}

/* MOVD and MOVQ with a general register */
static int move_general(struct vireo_emu *e, const struct vmove *v)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u8 buf[16] = { 0 };
	u64 val;
	int r;

	if (v->store) {
		r = e->ops->get_vec(e, insn->reg, buf, 16);
		if (r)
			return r;
		memcpy(&val, buf, sizeof(val));
		emu_reg_update(e, insn->rm, val, v->size);
	} else {
		val = e->regs[insn->rm] & emu_mask(v->size);
		memcpy(buf, &val, sizeof(val));
		r = e->ops->set_vec(e, insn->reg, buf, 16, insn->vex);
		if (r)
			return r;
	}
	return emu_finish(e);
}

/**
 * emu_vector() - OP_MOVUPS to OP_LDDQU
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_vector(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 op = EMU_OP(insn->entry), reg_len;
	struct emu_mem m;
	struct vmove v;
	u8 buf[32] = { 0 };
	int r;

	if (!classify(insn, &v))
		return VIREO_EMU_UNHANDLED;
	if (insn->vex) {
		/* Scalar forms have no 256-bit variant; MOVSS and MOVSD ignore L. */
		if (v.size < 16 && insn->vlen && op != OP_MOVUPS)
			return emu_ud(e);
		/* A second source exists only where something is merged. */
		if (insn->vvvv && !v.merge && !(op == OP_MOVUPS && v.size < 16 &&
						insn->modrm >= 0xc0))
			return emu_ud(e);
	}
	r = check_enabled(e);
	if (r)
		return r;

	if (insn->modrm >= 0xc0) {
		if ((op == OP_MOVD || op == OP_MOVD_ST) &&
		    !(insn->prefix & VIREO_EMU_PFX_REPE))
			return move_general(e, &v);
		return copy(e, &v);
	}

	r = emu_operand(e, v.size, v.store, &m);
	if (r)
		return r;
	if (v.aligned && (m.la & (v.size - 1)))
		return emu_gp(e);

	reg_len = v.size > 16 ? v.size : 16;
	if (v.store) {
		r = e->ops->get_vec(e, insn->reg, buf, reg_len);
		if (!r)
			r = emu_write_wide(e, &m, buf + v.offset, v.size);
		return r ? r : emu_finish(e);
	}
	if (v.merge)
		r = e->ops->get_vec(e, insn->vex ? emu_vvvv(e) : insn->reg, buf, 16);
	if (!r)
		r = emu_read_wide(e, &m, buf + v.offset, v.size, 0);
	if (!r)
		r = e->ops->set_vec(e, insn->reg, buf, reg_len, insn->vex);
	return r ? r : emu_finish(e);
}

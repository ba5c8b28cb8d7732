// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random instructions with a machine state in which they have something to do:
 * operands in memory, plausible selectors, frames on the stack, targets in the code.
 */
#include "random.h"
#include "subject.h"
#include "../../kmod/emulate/internal.h"

/*
 * Write a random instruction to @b. Returns the offset of the displacement, if the
 * address is nothing but one (and perhaps an index), or of the address of moffs.
 */
static u32 generate(u8 *b, u32 mode, u32 ad_size)
{
	static const u8 prefixes[] = {
		0x66, 0x66, 0x67, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
	};
	u32 n = 0, i, map = rnd() % 16;
	u8 op = rnd(), modrm;

	for (i = 0; i < 16; i++)
		b[i] = rnd();
	for (i = rnd() % 4; i > 1; i--) {
		b[n] = prefixes[rnd() % sizeof(prefixes)];
		if (b[n] == 0x67)
			ad_size = ad_size == 8 || ad_size == 2 ? 4 : mode == VIREO_EMU_PROT64 ? 8 : 2;
		n++;
	}
	if (mode == VIREO_EMU_PROT64 && rnd() % 2)
		b[n++] = 0x40 | (rnd() & 15);
	if (map >= 8)
		b[n++] = 0x0f;
	if (map == 15) {
		b[n++] = 0x38;
		op = 0xf0 | (op & 1);
	}
	b[n++] = op;
	if (map < 8 && op >= 0xa0 && op <= 0xa3)
		return n;
	modrm = b[n++];
	if (modrm >= 0xc0)
		return 0;
	if (ad_size == 2)
		return modrm < 0x40 && (modrm & 7) == 6 ? n : 0;
	if ((modrm & 7) == 4)
		return modrm < 0x40 && (b[n] & 7) == 5 ? n + 1 : 0;
	return modrm < 0x40 && (modrm & 7) == 5 ? n : 0;
}

static u64 base_of(const struct system *s, u32 seg)
{
	return s->e.mode != VIREO_EMU_PROT64 || seg >= VIREO_EMU_FS ? s->seg[seg].base : 0;
}

/* An address among the data, with a liking for the ends of pages. */
static u64 target(void)
{
	u64 la = AT_DATA + rnd() % (FLAT_MEM - AT_DATA - 64);

	switch (rnd() % 8) {
	case 0:
		return la | 0xff8;
	case 1:
		return (la | 0xfff) - rnd() % 8;
	case 2 ... 5:
		return la & ~0xfULL;
	default:
		return la;
	}
}

/* Make an offset of @seg for a target, if it can be. */
static u64 offset_in(const struct system *s, u32 seg)
{
	u64 la = target();

	/* 64 KiB from the base are most that there is */
	if (s->seg[seg].limit <= 0xffff && s->e.mode != VIREO_EMU_PROT64)
		return rnd() % 8 ? rnd() & 0x7ffe : rnd() & 0xffff;
	return la - base_of(s, seg);
}

/* Let the memory operand lie among the data. */
static void aim(struct system *s, u8 *b, u32 disp)
{
	const struct vireo_emu_insn *insn = &s->e.insn;
	u64 want = offset_in(s, insn->seg), off;

	off = want - emu_ea(&s->e);
	if (insn->base < VIREO_EMU_NR_REGS && insn->base != insn->index) {
		emu_reg_update(&s->e, insn->base, s->regs[insn->base] + off, insn->ad_size);
	} else if (disp) {
		u64 v = insn->disp + off;

		memcpy(b + disp, &v, (insn->entry & EMU_I_MASK) == EMU_I_MOFFS ? insn->ad_size :
		       insn->ad_size == 2 ? 2 : 4);
	} else if (insn->index < VIREO_EMU_NR_REGS && !insn->scale && insn->base != insn->index) {
		emu_reg_update(&s->e, insn->index, s->regs[insn->index] + off, insn->ad_size);
	}
}

static void poke(struct system *s, u64 la, const void *data, u32 len)
{
	if (la < FLAT_MEM - len)
		memcpy(s->mem + la, data, len);
}

/* A place in the code segment where execution can go on. */
static u64 goal(const struct system *s)
{
	u64 at = AT_CODE + 0x140 + rnd() % 0xf00;

	return rnd() % 32 ? at - base_of(s, VIREO_EMU_CS) : rnd();
}

/* What IRET and far RET find, of elements of @size. */
static void frame(struct system *s, u64 at, u32 size, bool flags)
{
	u64 v[9], cs = system_random_selector(), ss = system_random_selector();
	u32 i, n = 0, cpl = system_cpl(s);
	bool vm = flags && !cpl && !(*system_msr(s, MSR_EFER) & EFER_LMA) && rnd() % 6 == 0;

	v[n] = AT_CODE + 0x140 + rnd() % 0xf00;
	if (s->e.mode == VIREO_EMU_REAL || s->e.mode == VIREO_EMU_VM86 || vm) {
		cs = rnd() & 0x7ff;
		v[n] -= cs << 4;
	} else if (rnd() % 3 == 0) {
		cs = (s->seg[VIREO_EMU_CS].selector & ~3) | (rnd() % 4 ? cpl : rnd() & 3);
		ss = (s->seg[VIREO_EMU_SS].selector & ~3) | (cs & 3);
	} else if (rnd() % 4 == 0) {
		cs = rnd() % 2 ? SEL_USER32 : SEL_USER64;
		ss = SEL_USERDATA32;
	}
	n++;
	v[n++] = cs;
	if (flags)
		v[n++] = (rnd() & (FL_ARITH | FL_DF | FL_IF | FL_IOPL | FL_AC | FL_ID)) |
			 (rnd() % 16 == 0 ? FL_NT : 0) | (vm ? FL_VM : 0) | FL_FIXED;
	v[n++] = AT_STACKS + (rnd() & 0x2ffe);
	v[n++] = ss;
	for (i = 0; i < 4; i++)
		v[n++] = rnd() & 0xfff;
	for (i = 0; i < n; i++)
		poke(s, at + i * size, &v[i], size);
}

static bool takes_selector(u32 op)
{
	return op == OP_MOV_TO_SEG || op == OP_LLDT || op == OP_LTR || op == OP_VERR ||
	       op == OP_VERW || op == OP_LAR || op == OP_LSL || op == OP_ARPL || op == OP_POP_SEG;
}

static void fill(struct system *s)
{
	u32 i, n = s->e.mode == VIREO_EMU_PROT64 ? 16 : 8;

	for (i = 0; i < 16; i++)
		s->regs[i] = i < n ? random_value() : 0;
	if (n == 8)
		for (i = 0; i < 8; i++)
			s->regs[i] &= 0xffffffff;
	s->e.rflags = (s->e.rflags & (FL_VM | FL_IOPL)) | FL_FIXED |
		      (rnd() & (FL_ARITH | FL_IF | FL_ID));
	if (rnd() % 4 == 0)
		s->e.rflags |= FL_DF;
	if (rnd() % 16 == 0)
		s->e.rflags |= FL_NT;
	for (i = 0; i < 16; i++) {
		u64 v[2] = { rnd(), rnd() };

		memcpy(s->vec[i], v, 16);
	}
	s->regs[VIREO_EMU_RSP] = AT_STACKS + 0x100 + (rnd() & 0x2cfe);
	if (rnd() % 8 == 0)
		s->regs[VIREO_EMU_RSP] |= 1;
	s->regs[VIREO_EMU_RSI] = offset_in(s, VIREO_EMU_DS);
	s->regs[VIREO_EMU_RDI] = offset_in(s, VIREO_EMU_ES);
}

static void operands(struct system *s, struct subject *t, u64 la)
{
	const struct vireo_emu_insn *insn = &s->e.insn;
	u32 size = insn->op_size, op = t->op;
	u64 sp, v;

	sp = s->regs[VIREO_EMU_RSP] & emu_mask(emu_stack_size(&s->e));
	sp += base_of(s, VIREO_EMU_SS);
	if (op >= OP_MOVS && op <= OP_OUTS) {
		s->regs[VIREO_EMU_RCX] = rnd() % 20;
		if (rnd() % 2)
			s->regs[VIREO_EMU_RAX] = 0x4141414141414141;
	}
	if (op >= OP_INS && op <= OP_OUT_DX && rnd() % 4)
		s->regs[VIREO_EMU_RDX] = rnd() % 0x500;
	if (op >= OP_BT && op <= OP_BTC && insn->modrm < 0xc0)
		emu_reg_update(&s->e, insn->reg, (s64)(rnd() % 1024) - 512, size);
	if (op >= OP_ROL && op <= OP_SAR && rnd() % 2)
		s->regs[VIREO_EMU_RCX] = rnd() % 70;
	if (op == OP_LEAVE)
		s->regs[VIREO_EMU_RBP] = s->regs[VIREO_EMU_RSP];
	if (op == OP_XLAT)
		s->regs[VIREO_EMU_RBX] = offset_in(s, insn->seg);
	if ((op == OP_DIV || op == OP_IDIV) && rnd() % 4) {
		s->regs[VIREO_EMU_RDX] = rnd() % 3 ? 0 : ~0ULL >> (s->e.mode == VIREO_EMU_PROT64 ? 0 : 32);
		if (size == 1)
			s->regs[VIREO_EMU_RAX] &= 0xff;
	}
	if (takes_selector(op)) {
		v = system_random_selector();
		if (insn->modrm >= 0xc0 && op != OP_POP_SEG)
			emu_reg_update(&s->e, insn->rm, v, 2);
		else
			poke(s, op == OP_POP_SEG ? sp : la, &v, 2);
	}
	if (op == OP_RET || op == OP_RET_FAR || op == OP_IRET) {
		frame(s, sp, size, op == OP_IRET);
		v = goal(s);
		if (op == OP_RET)
			poke(s, sp, &v, size);
	}
	if (op == OP_POPF) {
		v = rnd() & ~(u64)FL_TF;
		poke(s, sp, &v, size);
	}
	if (op == OP_JMP_IND || op == OP_CALL_IND) {
		v = goal(s);
		if (insn->modrm >= 0xc0)
			s->regs[insn->rm] = s->e.mode == VIREO_EMU_PROT64 ? v : (u32)v;
		else
			poke(s, la, &v, size);
	}
	if (op >= OP_JCC && op <= OP_CALL && (insn->entry & EMU_I_MASK) == EMU_I_Z) {
		s32 rel = (s32)(rnd() % 2048) - 1024;

		memcpy(t->bytes + insn->len - (size == 2 ? 2 : 4), &rel, size == 2 ? 2 : 4);
	}
	if (op == OP_JMP_FAR || op == OP_CALL_FAR || op == OP_JMP_FAR_IND ||
	    op == OP_CALL_FAR_IND || op == OP_LDS) {
		bool paragraphs = s->e.mode == VIREO_EMU_REAL || s->e.mode == VIREO_EMU_VM86;
		u64 off = AT_CODE + 0x140 + rnd() % 0xf00;
		u16 sel = paragraphs ? rnd() & 0x7ff : system_random_selector();

		if (paragraphs && rnd() % 16)
			off -= sel << 4;

		if (op == OP_JMP_FAR || op == OP_CALL_FAR) {
			memcpy(t->bytes + insn->len - 2, &sel, 2);
			memcpy(t->bytes + insn->len - 2 - size, &off, size);
		} else {
			poke(s, la, &off, size);
			poke(s, la + size, &sel, 2);
		}
	}
	if (op == OP_ENTER)
		t->bytes[insn->len - 1] &= 1;
	if (op == OP_RDMSR || op == OP_WRMSR) {
		do {
			s->regs[VIREO_EMU_RCX] = sys_msrs[rnd() % NR_MSRS];
		} while (op == OP_WRMSR && s->regs[VIREO_EMU_RCX] == MSR_EFER);
	}
	if (op == OP_MOV_TO_CR) {
		/* bits that change nothing but what faults */
		static const u64 may[9] = { 0x5002a, 0, ~0xfffULL, 0x18, 0x6cf };

		s->regs[insn->rm] = s->cr[insn->reg] ^ (rnd() & (insn->reg < 9 ? may[insn->reg] : 0));
		if (s->e.mode != VIREO_EMU_PROT64)
			s->regs[insn->rm] &= 0xffffffff;
		else if (insn->reg == 2)
			s->regs[insn->rm] = rnd() & 0x7fffffffffff;
	}
	if (op == OP_MOV_TO_DR) {
		s->regs[insn->rm] = insn->reg < 4 ? rnd() >> 17 : insn->reg & 1 ? 0x400 : 0xffff0ff0;
		if (s->e.mode != VIREO_EMU_PROT64)
			s->regs[insn->rm] &= 0xffffffff;
	}
	if (op == OP_CMPXCHG && rnd() % 2 && la < FLAT_MEM - 8)
		memcpy(&s->regs[VIREO_EMU_RAX], s->mem + la, size);
	if (op == OP_CMPXCHG8B && rnd() % 2 && la < FLAT_MEM - 16) {
		memcpy(&s->regs[VIREO_EMU_RAX], s->mem + la, size);
		memcpy(&s->regs[VIREO_EMU_RDX], s->mem + la + size, size);
	}
	if (s->e.mode != VIREO_EMU_PROT64) {
		u32 i;

		for (i = 0; i < 8; i++)
			s->regs[i] &= 0xffffffff;
	}
}

/**
 * subject_make() - an instruction, and registers and memory for it
 * @s: system in the mode that is wanted; registers, flags, RIP and memory are filled in
 * @t: result
 * @wanted: is this operation?
 *
 * Return: true if it was decoded, false if another must be tried.
 */
bool subject_make(struct system *s, struct subject *t, bool (*wanted)(u32 op))
{
	static const u8 ad_sizes[] = { 2, 4, 2, 2, 4, 8 };
	struct vireo_emu_insn *insn = &s->e.insn;
	u64 la = FLAT_MEM;
	u32 disp;

	disp = generate(t->bytes, s->e.mode, ad_sizes[s->e.mode]);
	if (vireo_emu_decode(&s->e, t->bytes, 15))
		return false;
	t->op = EMU_OP(insn->entry);
	if (!wanted(t->op))
		return false;
	fill(s);
	s->e.rip = t->at - base_of(s, VIREO_EMU_CS);
	if (((insn->entry & EMU_MODRM) && insn->modrm < 0xc0) ||
	    (insn->entry & EMU_I_MASK) == EMU_I_MOFFS) {
		aim(s, t->bytes, disp);
		if (vireo_emu_decode(&s->e, t->bytes, 15) || EMU_OP(insn->entry) != t->op)
			return false;
		la = emu_ea(&s->e) + base_of(s, insn->seg);
	}
	operands(s, t, la);
	return !vireo_emu_decode(&s->e, t->bytes, 15) && EMU_OP(insn->entry) == t->op;
}

/**
 * subject_rex_ignored() - is there a REX that a prefix follows?
 * @s: system
 * @t: the instruction
 *
 * Such a REX does not count. Emulators do not all agree.
 *
 * Return: whether there is.
 */
bool subject_rex_ignored(const struct system *s, const struct subject *t)
{
	const u8 *p = t->bytes;
	bool rex = false;

	if (s->e.mode != VIREO_EMU_PROT64)
		return false;
	for (;; p++) {
		switch (*p) {
		case 0x40 ... 0x4f:
			rex = true;
			break;
		case 0x66:
		case 0x67:
		case 0xf0:
		case 0xf2:
		case 0xf3:
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
			if (rex)
				return true;
			break;
		default:
			return false;
		}
	}
}

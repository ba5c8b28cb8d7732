// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptor tables and the initial state of the processor of system.h. Depends on
 * no library, so that a guest can have it, too.
 */
#include "random.h"
#include "system.h"
#include "../../kmod/emulate/internal.h"

const u32 sys_msrs[NR_MSRS] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_EFER, MSR_STAR, MSR_LSTAR,
	MSR_CSTAR, MSR_FMASK, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
};

/**
 * system_msr() - where an MSR is kept
 * @s: system
 * @nr: its number
 *
 * Return: the place, or NULL if there is no such MSR.
 */
u64 *system_msr(struct system *s, u32 nr)
{
	u32 i;

	if (nr == MSR_FS_BASE)
		return &s->seg[VIREO_EMU_FS].base;
	if (nr == MSR_GS_BASE)
		return &s->seg[VIREO_EMU_GS].base;
	for (i = 0; i < NR_MSRS; i++)
		if (sys_msrs[i] == nr)
			return &s->msr[i];
	return NULL;
}

/**
 * system_cpl() - current privilege level
 * @s: system
 *
 * Return: it: SS.DPL, as VMX has it.
 */
u32 system_cpl(const struct system *s)
{
	if (!(s->cr[0] & CR0_PE))
		return 0;
	if (s->e.rflags & FL_VM)
		return 3;
	return (s->seg[VIREO_EMU_SS].attr & VIREO_EMU_SEG_DPL) >> VIREO_EMU_SEG_DPL_SHIFT;
}

/**
 * system_mode() - operating mode that follows from the registers
 * @s: system
 *
 * Return: enum vireo_emu_mode.
 */
u32 system_mode(const struct system *s)
{
	u32 cs = s->seg[VIREO_EMU_CS].attr;

	if (!(s->cr[0] & CR0_PE))
		return cs & VIREO_EMU_SEG_DB ? VIREO_EMU_REAL32 : VIREO_EMU_REAL;
	if (s->e.rflags & FL_VM)
		return VIREO_EMU_VM86;
	if (*system_msr((struct system *)s, MSR_EFER) & EFER_LMA && cs & VIREO_EMU_SEG_L)
		return VIREO_EMU_PROT64;
	return cs & VIREO_EMU_SEG_DB ? VIREO_EMU_PROT32 : VIREO_EMU_PROT16;
}

/**
 * system_descriptor() - write a segment descriptor
 * @mem: memory
 * @at: where in it
 * @base: base
 * @limit: last offset; above 1 MiB in pages
 * @attr: as in struct vireo_emu_segment
 * @wide: a system descriptor of 16 bytes
 */
void system_descriptor(u8 *mem, u32 at, u64 base, u32 limit, u32 attr, bool wide)
{
	u64 d;

	if (limit > 0xfffff) {
		limit >>= 12;
		attr |= VIREO_EMU_SEG_G;
	}
	d = (limit & 0xffff) | (base & 0xffffff) << 16 | (u64)(attr & 0xf0ff) << 40 |
	    (u64)(limit >> 16 & 15) << 48 | (base >> 24 & 0xff) << 56;
	memcpy(mem + at, &d, 8);
	d = base >> 32;
	if (wide)
		memcpy(mem + at + 8, &d, 8);
}

static void gate(u8 *mem, u32 at, u16 selector, u64 offset, u32 attr, u32 count, bool wide)
{
	u64 d = (offset & 0xffff) | (u64)selector << 16 | (u64)(count & 31) << 32 |
		(u64)(attr & 0xff) << 40 | (offset >> 16 & 0xffff) << 48;

	memcpy(mem + at, &d, 8);
	d = offset >> 32;
	if (wide)
		memcpy(mem + at + 8, &d, 8);
}

/**
 * system_random_selector() - a selector, more often than not of something sensible
 *
 * Return: the selector.
 */
u16 system_random_selector(void)
{
	static const u16 fixed[] = {
		SEL_CODE32, SEL_DATA32, SEL_CODE16, SEL_DATA16, SEL_CODE64, SEL_DATA64,
		SEL_USER32, SEL_USERDATA32, SEL_USER64, SEL_USER16, SEL_USERDATA16,
		SEL_CODE32_1, SEL_DATA32_1, SEL_CODE32_2, SEL_DATA32_2, SEL_LDT, SEL_TSS,
	};
	u64 r = rnd();

	switch (r >> 60) {
	case 0 ... 4:
		return fixed[r % 17];
	case 5:
		return r & 3;			/* null */
	case 6 ... 7:
		return (r % LDT_ENTRIES) << 3 | 4 | (r >> 32 & 3);
	case 8:
		return r;
	default:
		return (SEL_RANDOM + ((r % (GDT_ENTRIES - SEL_RANDOM / 8)) << 3)) |
		       (r >> 32 & 3);
	}
}

/* A random descriptor that is not absurd. */
static void random_descriptor(u8 *mem, u32 at, bool long_mode)
{
	u64 r = rnd();
	u32 type = r >> 8 & 15, attr, base, limit;

	attr = type | (r >> 12 & 3) << VIREO_EMU_SEG_DPL_SHIFT;
	if (r >> 20 & 7)
		attr |= VIREO_EMU_SEG_P;
	base = r >> 24 & 7 ? (r >> 32 & 0xff) << 4 : 0;
	limit = r >> 40 & 3 ? 0xffffffff : (r >> 42) & 0xffff;
	if (r >> 16 & 1) {
		attr |= VIREO_EMU_SEG_S | (r >> 17 & 7) << 12;
		if (type & 4 && !(type & 8))
			limit = r >> 42 & 0xfff;
		system_descriptor(mem, at, base, limit, attr, false);
		return;
	}
	switch (type) {
	case 1:
	case 3:
	case 9:
	case 11:
		base = AT_TSS + (r >> 32) % NR_TSS * TSS_SIZE;
		limit = r >> 40 & 7 ? TSS_SIZE - 1 : r >> 43 & 0x7f;
		system_descriptor(mem, at, base, limit, attr, long_mode && (r >> 50 & 7));
		break;
	case 2:
		system_descriptor(mem, at, AT_LDT, r >> 40 & 7 ? 8 * LDT_ENTRIES - 1 : r >> 43 & 0xff,
				  attr, long_mode);
		break;
	default:
		gate(mem, at, system_random_selector(), AT_CODE + (r >> 40 & 0xfff), attr,
		     r >> 52 & 3, long_mode && (r >> 55 & 7));
	}
}

static void random_tss(u8 *mem, u32 at, bool long_mode)
{
	u32 i, v;

	for (i = 0; i < TSS_SIZE; i += 4) {
		v = rnd();
		memcpy(mem + at + i, &v, 4);
	}
	if (rnd() % 4 == 0)
		return;
	/* stacks, of any of the three layouts */
	for (i = 0; i < 3; i++) {
		static const u16 ss[] = { SEL_DATA32, SEL_DATA32_1, SEL_DATA32_2 };

		v = AT_STACKS + 0x800 * (i + 1);
		if (long_mode) {
			u64 sp = v;

			memcpy(mem + at + 4 + 8 * i, &sp, 8);
		} else {
			memcpy(mem + at + 4 + 8 * i, &v, 4);
			memcpy(mem + at + 8 + 8 * i, &ss[i], 2);
		}
	}
	/* TSS32: registers; selectors that can be loaded */
	v = AT_CODE + rnd() % 0x1000;
	if (long_mode) {
		for (i = 0; i < 7; i++) {
			u64 sp = AT_STACKS + 0x400 * (i + 1);

			memcpy(mem + at + 0x24 + 8 * i, &sp, 8);
		}
	} else {
		static const u16 data[] = { SEL_DATA32, SEL_USERDATA32, 0, SEL_USERDATA16 };

		memcpy(mem + at + 32, &v, 4);			/* EIP */
		v = rnd() & 0x3dd5 & ~0x4100;
		memcpy(mem + at + 36, &v, 4);			/* EFLAGS */
		for (i = 0; i < 6; i++) {
			u16 sel = data[rnd() % 4];

			if (i == VIREO_EMU_CS)
				sel = SEL_CODE32;
			if (i == VIREO_EMU_SS)
				sel = SEL_DATA32;
			if (rnd() % 16 == 0)
				sel = system_random_selector();
			memcpy(mem + at + 72 + 4 * i, &sel, 2);
		}
		v = rnd() % 4 ? SEL_LDT : 0;
		memcpy(mem + at + 96, &v, 4);
		v = rnd() % 8 == 0;
		memcpy(mem + at + 100, &v, 2);			/* T */
	}
	v = 0x68;
	memcpy(mem + at + 102, &v, 2);				/* permission bitmap */
}

/**
 * system_tables() - GDT, LDT and TSS in memory: what is always there
 * @mem: memory
 */
void system_tables(u8 *mem)
{
	static const struct {
		u16 sel;
		u16 attr;
		u32 limit;
	} fixed[] = {
		{ SEL_CODE32, 0xc09b, 0xffffffff }, { SEL_DATA32, 0xc093, 0xffffffff },
		{ SEL_CODE16, 0x009b, 0xffff }, { SEL_DATA16, 0x0093, 0xffff },
		{ SEL_CODE64, 0xa09b, 0xffffffff }, { SEL_DATA64, 0xc093, 0xffffffff },
		{ SEL_USER32, 0xc0fb, 0xffffffff }, { SEL_USERDATA32, 0xc0f3, 0xffffffff },
		{ SEL_USER64, 0xa0fb, 0xffffffff },
		{ SEL_USER16, 0x00fb, 0xffff }, { SEL_USERDATA16, 0x00f3, 0xffff },
		{ SEL_CODE32_1, 0xc0bb, 0xffffffff }, { SEL_DATA32_1, 0xc0b3, 0xffffffff },
		{ SEL_CODE32_2, 0xc0db, 0xffffffff }, { SEL_DATA32_2, 0xc0d3, 0xffffffff },
	};
	u32 i;

	memset(mem + AT_GDT, 0, 8);
	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		system_descriptor(mem, AT_GDT + (fixed[i].sel & ~7), 0, fixed[i].limit,
				  fixed[i].attr, false);
	system_descriptor(mem, AT_GDT + SEL_LDT, AT_LDT, 8 * LDT_ENTRIES - 1, 0x82, true);
	system_descriptor(mem, AT_GDT + SEL_TSS, AT_TSS, TSS_SIZE - 1, 0x8b, true);
}

/**
 * system_random_tables() - the rest of them
 * @mem: memory
 * @long_mode: descriptors as IA-32e mode has them
 */
void system_random_tables(u8 *mem, bool long_mode)
{
	u32 i;

	system_tables(mem);
	for (i = SEL_RANDOM / 8; i < GDT_ENTRIES; i++)
		random_descriptor(mem, AT_GDT + 8 * i, long_mode && i < GDT_ENTRIES - 1);
	for (i = 0; i < LDT_ENTRIES; i++)
		random_descriptor(mem, AT_LDT + 8 * i, long_mode && i < LDT_ENTRIES - 1);
	for (i = 0; i < NR_TSS; i++)
		random_tss(mem, AT_TSS + i * TSS_SIZE, long_mode);
}

/**
 * system_load_segment() - put a descriptor of the GDT into a segment register, unchecked
 * @s: system
 * @seg: register
 * @selector: selector
 */
void system_load_segment(struct system *s, u32 seg, u16 selector)
{
	struct vireo_emu_segment *to = &s->seg[seg];
	u64 d;

	memset(to, 0, sizeof(*to));
	to->selector = selector;
	if (!(selector & ~3)) {
		to->attr = VIREO_EMU_SEG_UNUSABLE;
		return;
	}
	memcpy(&d, s->mem + AT_GDT + (selector & ~7), 8);
	to->base = (d >> 16 & 0xffffff) | (d >> 56) << 24;
	to->limit = (d & 0xffff) | (d >> 32 & 0xf0000);
	to->attr = d >> 40 & 0xf0ff;
	if (to->attr & VIREO_EMU_SEG_G)
		to->limit = to->limit << 12 | 0xfff;
}

/**
 * system_init() - a processor that runs in @mode at @cpl
 * @s: system
 * @mem: FLAT_MEM bytes, with the tables in it
 * @mode: enum vireo_emu_mode, %VIREO_EMU_REAL32 excepted
 * @cpl: 0 to 3, where the mode leaves a choice
 */
void system_init(struct system *s, u8 *mem, u32 mode, u32 cpl)
{
	static const u16 code[4] = { SEL_CODE32, SEL_CODE32_1, SEL_CODE32_2, SEL_USER32 };
	static const u16 data[4] = { SEL_DATA32, SEL_DATA32_1, SEL_DATA32_2, SEL_USERDATA32 };
	u16 cs = code[cpl], ds = data[cpl];
	u32 i;

	memset(s, 0, sizeof(*s));
	s->mem = mem;
	s->e.ops = &system_ops;
	s->e.regs = s->regs;
	s->e.gpa = VIREO_EMU_NO_GPA;
	s->e.mode = mode;
	s->e.rflags = FL_FIXED;
	s->cr[0] = mode == VIREO_EMU_REAL ? 0x10 : 0x11;
	s->cr[4] = 0x600;
	s->xcr0 = 7;
	s->dt[VIREO_EMU_GDTR].base = AT_GDT;
	s->dt[VIREO_EMU_GDTR].limit = 8 * GDT_ENTRIES - 1;
	s->dt[VIREO_EMU_IDTR].base = mode == VIREO_EMU_REAL ? AT_IVT : AT_IDT;
	s->dt[VIREO_EMU_IDTR].limit = mode == VIREO_EMU_REAL ? 0x3ff : 0xfff;
	if (mode == VIREO_EMU_VM86)
		s->e.rflags |= FL_VM;
	if (mode == VIREO_EMU_PROT16) {
		cs = cpl == 3 ? SEL_USER16 : SEL_CODE16;
		ds = cpl == 3 ? SEL_USERDATA16 : SEL_DATA16;
	}
	if (mode == VIREO_EMU_PROT64) {
		cs = cpl == 3 ? SEL_USER64 : SEL_CODE64;
		*system_msr(s, MSR_EFER) = 0x501;
	}
	for (i = 0; i < VIREO_EMU_NR_DATA_SEGS; i++) {
		if (mode != VIREO_EMU_REAL && mode != VIREO_EMU_VM86) {
			system_load_segment(s, i, i == VIREO_EMU_CS ? cs : ds);
			continue;
		}
		s->seg[i].attr = mode == VIREO_EMU_REAL ? 0x93 : 0xf3;
		s->seg[i].limit = 0xffff;
	}
	if (mode != VIREO_EMU_REAL) {
		system_load_segment(s, VIREO_EMU_TR, SEL_TSS);
		system_load_segment(s, VIREO_EMU_LDTR, SEL_LDT);
	} else {
		s->seg[VIREO_EMU_TR].attr = 0x8b;
		s->seg[VIREO_EMU_TR].limit = 0xffff;
		s->seg[VIREO_EMU_LDTR].attr = 0x82;
		s->seg[VIREO_EMU_LDTR].limit = 0xffff;
	}
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: whole machine states, with callbacks that fail.
 *
 * An instruction, the delivery of an event, or a task switch, from a state with random
 * descriptor tables, control registers, segments and privilege. One callback, anywhere,
 * says that it must wait, or raises an exception, or cannot. Checked: what is refused
 * has changed nothing; what had to wait comes to the same as without; segment registers
 * that were loaded are ones that a processor would hold. Memory also changes while the
 * operation waits, and the instruction's own bytes do after it was decoded.
 */
#include <stdio.h>
#include <stdlib.h>

#include "random.h"
#include "system.h"
#include "../../kmod/emulate/internal.h"

#define CHECK(x) do {								\
	if (!(x)) {								\
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);		\
		abort();							\
	}									\
} while (0)

/* Flags that may be set in a guest's RFLAGS, whatever an instruction does. */
#define FLAGS_ALL	0x3f7fd7u

enum what { EXECUTE, DELIVER, TASK_SWITCH };

struct input {
	u8 what;
	u8 mode;		/* and CPL */
	u8 features;
	u8 trouble_at;
	u8 trouble_result;
	u8 scribble;		/* change memory while it waits */
	u8 tables;		/* which random ones */
	u8 patches;		/* of them */
	u16 efer;
	u32 cr0, cr4;
	u32 rflags;
	u16 seg_attr[VIREO_EMU_NR_SEGS];
	u16 seg_limit[VIREO_EMU_NR_SEGS];
	u8 seg_flags[VIREO_EMU_NR_SEGS];
	u16 selector[VIREO_EMU_NR_SEGS];
	u8 vector;
	u8 kind;
	u16 task;
	u8 frame[40];		/* what is on the stack, and at the operand */
	u8 bytes[15];
	u64 regs[16];
	struct {
		u16 at;
		u8 value;
	} __attribute__((packed)) patch[16];
} __attribute__((packed));

static struct input in;
static struct system s, before, plain;
static u8 mem[FLAT_MEM], initial[FLAT_MEM], final[FLAT_MEM];
static int tables_made = -1;

static void setup(struct system *s, const struct input *in)
{
	static const u8 modes[] = {
		VIREO_EMU_REAL, VIREO_EMU_VM86, VIREO_EMU_PROT16, VIREO_EMU_PROT32,
		VIREO_EMU_PROT64, VIREO_EMU_PROT64, VIREO_EMU_PROT32, VIREO_EMU_PROT16,
	};
	u32 mode = modes[in->mode & 7], cpl = in->mode >> 3 & 3, i;
	bool compat = (in->mode & 7) >= 6, lm = mode == VIREO_EMU_PROT64 || compat;
	u64 at;

	if (tables_made != (in->tables & 15) * 2 + lm) {
		tables_made = (in->tables & 15) * 2 + lm;
		rnd_seed(in->tables & 15);
		for (i = 0; i < FLAT_MEM; i += 8) {
			u64 v = rnd();

			memcpy(initial + i, &v, 8);
		}
		system_random_tables(initial, lm);
		/* gates, of both sizes */
		for (i = 0; i < 256; i++) {
			u32 size = lm ? 16 : 8;
			u64 d = (AT_CODE & 0xffff) + i | (u64)system_random_selector() << 16 |
				(u64)(rnd() & 7) << 32 |
				(u64)(0x80 | (rnd() & 0x60) | (0x567efcul >> 4 * (rnd() % 6) & 15)) << 40;

			if (i * size < 0x1000 && rnd() % 8)
				memcpy(initial + AT_IDT + i * size, &d, 8);
			if (lm && i * size < 0x1000)
				memset(initial + AT_IDT + i * size + 8, 0, 8);
		}
	}
	memcpy(mem, initial, FLAT_MEM);
	system_init(s, mem, mode, mode == VIREO_EMU_PROT64 || mode == VIREO_EMU_PROT16 ?
		    (cpl & 1) * 3 : cpl);
	for (i = 0; i < 16; i++)
		if (in->patches >> (i / 2) & 1)
			mem[AT_GDT + in->patch[i].at % (AT_STACKS - AT_GDT)] = in->patch[i].value;
	if (compat)
		*system_msr(s, MSR_EFER) = 0x501;
	s->e.features = in->features & 0x3f;
	*system_msr(s, MSR_EFER) ^= in->efer & 1;
	s->e.rflags |= in->rflags & FLAGS_ALL & ~(u64)FL_VM;
	s->cr[0] ^= in->cr0 & (CR0_AM | CR0_TS | CR0_EM);
	s->cr[4] ^= in->cr4 & 0x370fff & ~(u64)0x1020;
	for (i = 0; i < NR_MSRS; i++)
		if (sys_msrs[i] != MSR_EFER)
			s->msr[i] = in->regs[i] >> (in->scribble & 63);
	for (i = 0; i < VIREO_EMU_NR_SEGS; i++) {
		struct vireo_emu_segment *seg = &s->seg[i];

		if (in->seg_flags[i] & 1 && i != VIREO_EMU_CS && i != VIREO_EMU_SS &&
		    i != VIREO_EMU_TR && mode != VIREO_EMU_VM86)
			seg->attr ^= in->seg_attr[i] & 0x1f0ff;
		if (in->seg_flags[i] & 2)
			seg->limit = in->seg_limit[i] << (in->seg_flags[i] >> 4);
		if (mode < VIREO_EMU_PROT16 && i < VIREO_EMU_NR_DATA_SEGS) {
			seg->selector = in->selector[i] & 0xfff;
			seg->base = seg->selector << 4;
			if (mode == VIREO_EMU_VM86)
				seg->limit = 0xffff;
		} else if (in->seg_flags[i] & 4) {
			seg->selector = in->selector[i];
		}
	}
	memcpy(s->regs, in->regs, sizeof(s->regs));
	for (i = 0; i < 8; i++)
		if (in->vector >> i & 1)
			s->regs[i] = AT_STACKS + (in->regs[i] & 0x1ffff);
	if (in->kind & 0x40)
		s->regs[VIREO_EMU_RSP] = AT_STACKS + (in->regs[4] & 0x1ffe);
	s->regs[VIREO_EMU_RCX] &= 0x1fff;
	if (mode != VIREO_EMU_PROT64)
		for (i = 0; i < 8; i++)
			s->regs[i] = (u32)s->regs[i];
	s->e.rip = AT_CODE + 0x100;
	at = (s->regs[VIREO_EMU_RSP] + s->seg[VIREO_EMU_SS].base) & 0x1ffff;
	if (at < FLAT_MEM - sizeof(in->frame))
		memcpy(mem + at, in->frame, sizeof(in->frame));
}

static int go(struct system *s, const struct input *in, u32 what)
{
	switch (what) {
	case DELIVER:
		return vireo_emu_deliver(&s->e, in->vector, in->kind % 5, in->kind & 0x20,
					 in->task);
	case TASK_SWITCH:
		return vireo_emu_task_switch(&s->e, in->task, in->kind % 5, in->kind & 0x20,
					     in->vector);
	default:
		return vireo_emu_execute(&s->e);
	}
}

/* To the end. -1: there is none. */
static int run(struct system *s, const struct input *in, u32 what, u32 *waits)
{
	u32 turns = 0;
	int r = go(s, in, what);

	while (r == VIREO_EMU_USER || r == VIREO_EMU_RESTART) {
		if (r == VIREO_EMU_USER) {
			++*waits;
			system_complete(s);
			if (in->scribble & 0x80)
				mem[in->task % FLAT_MEM] ^= in->scribble;
		}
		if (++turns > 20000)
			return -1;
		r = go(s, in, what);
	}
	CHECK(r == VIREO_EMU_OK || r == VIREO_EMU_EXCEPTION || r == VIREO_EMU_UNHANDLED);
	return r;
}

static bool same_segment(const struct vireo_emu_segment *a, const struct vireo_emu_segment *b)
{
	return a->selector == b->selector && a->base == b->base && a->limit == b->limit &&
	       a->attr == b->attr;
}

static bool same_segments(const struct system *a, const struct system *b)
{
	u32 i;

	for (i = 0; i < VIREO_EMU_NR_SEGS; i++)
		if (!same_segment(&a->seg[i], &b->seg[i]))
			return false;
	return true;
}

static bool same_state(const struct system *a, const struct system *b)
{
	return !memcmp(a->regs, b->regs, sizeof(a->regs)) && a->e.rip == b->e.rip &&
	       a->e.rflags == b->e.rflags && same_segments(a, b) &&
	       a->dt[0].base == b->dt[0].base &&
	       a->dt[0].limit == b->dt[0].limit && a->dt[1].base == b->dt[1].base &&
	       a->dt[1].limit == b->dt[1].limit && !memcmp(a->cr, b->cr, sizeof(a->cr)) &&
	       !memcmp(a->dr, b->dr, sizeof(a->dr)) && !memcmp(a->msr, b->msr, sizeof(a->msr)) &&
	       !memcmp(a->vec, b->vec, sizeof(a->vec)) && a->e.mode == b->e.mode;
}

/* But for accessed bits of descriptors, if @accessed. */
static bool same_memory(const u8 *a, const u8 *b, bool accessed)
{
	u32 i;

	if (!memcmp(a, b, FLAT_MEM))
		return true;
	for (i = 0; i < FLAT_MEM; i++)
		if (a[i] != b[i] && !(accessed && a[i] == (b[i] | 1)))
			return false;
	return true;
}

/* A segment register that was loaded is one that a processor would hold. */
static void check_segments(const struct system *before, const struct system *s)
{
	bool prot = s->cr[0] & CR0_PE, vm = s->e.rflags & FL_VM;
	u32 i, cpl = system_cpl(s);

	CHECK(s->e.mode == system_mode(s));
	for (i = 0; i < VIREO_EMU_NR_SEGS; i++) {
		const struct vireo_emu_segment *seg = &s->seg[i];
		u32 type = seg->attr & VIREO_EMU_SEG_TYPE, dpl;

		dpl = (seg->attr & VIREO_EMU_SEG_DPL) >> VIREO_EMU_SEG_DPL_SHIFT;
		if (same_segment(seg, &before->seg[i]) || !prot)
			continue;
		if (vm && i < VIREO_EMU_LDTR) {
			CHECK(seg->base == (u64)seg->selector << 4);
			CHECK(seg->limit == 0xffff && (seg->attr & 0xf0ff) == 0xf3);
			continue;
		}
		if (seg->attr & VIREO_EMU_SEG_UNUSABLE) {
			CHECK(i != VIREO_EMU_CS && i != VIREO_EMU_TR);
			continue;
		}
		CHECK(seg->attr & VIREO_EMU_SEG_P);
		if (i < VIREO_EMU_FS || i > VIREO_EMU_GS || s->e.mode != VIREO_EMU_PROT64)
			CHECK(seg->base <= 0xffffffff || i >= VIREO_EMU_FS);
		switch (i) {
		case VIREO_EMU_CS:
			CHECK((seg->attr & VIREO_EMU_SEG_S) && (type & 8) && (type & 1));
			CHECK(type & 4 ? dpl <= cpl : dpl == cpl);
			CHECK((seg->selector & 3) == cpl);
			if (*system_msr((struct system *)s, MSR_EFER) & EFER_LMA)
				CHECK(!(seg->attr & VIREO_EMU_SEG_L) ||
				      !(seg->attr & VIREO_EMU_SEG_DB));
			break;
		case VIREO_EMU_LDTR:
			CHECK(!(seg->attr & VIREO_EMU_SEG_S) && type == 2);
			break;
		case VIREO_EMU_TR:
			CHECK(!(seg->attr & VIREO_EMU_SEG_S) && (type == 3 || type == 11));
			break;
		case VIREO_EMU_SS:
			CHECK((seg->attr & VIREO_EMU_SEG_S) && dpl == cpl && !(type & 8) && (type & 2));
			break;
		default:
			CHECK(seg->attr & VIREO_EMU_SEG_S && (type & 0xa) != 8);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool string = false, switched, amd_ss;
	u32 what, waits = 0, op = OP_NONE;
	int r, r2;

	memset(&in, 0, sizeof(in));
	memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));
	what = in.what & 0xc0 ? EXECUTE : in.what % 3;

	/* without trouble */
	setup(&s, &in);
	s.trouble_at = 0;
	if (what == EXECUTE) {
		if (vireo_emu_decode(&s.e, in.bytes, 15))
			return 0;
		op = EMU_OP(s.e.insn.entry);
		string = op >= OP_MOVS && op <= OP_OUTS;
	}
	before = s;
	memcpy(final, mem, FLAT_MEM);
	r = run(&s, &in, what, &waits);
	if (r < 0)
		return 0;
	switched = s.e.events & VIREO_EMU_EV_TASK;
	if (r == VIREO_EMU_OK) {
		CHECK(!(s.e.rflags & ~(u64)FLAGS_ALL) && (s.e.rflags & FL_FIXED));
		/* AMD's SYSRET sets nothing but the selector of SS. */
		amd_ss = op == OP_SYSRET && (s.e.features & VIREO_EMU_F_AMD);
		if (!amd_ss && op != OP_MOV_TO_CR && op != OP_LMSW)
			check_segments(&before, &s);
	} else if (!(r == VIREO_EMU_EXCEPTION && switched) && !string) {
		CHECK(same_state(&before, &s));
		CHECK(same_memory(mem, final, r == VIREO_EMU_EXCEPTION));
	}
	plain = s;
	memcpy(final, mem, FLAT_MEM);
	if (!in.trouble_at)
		return 0;

	/* and with */
	setup(&s, &in);
	if (what == EXECUTE)
		vireo_emu_decode(&s.e, in.bytes, 15);
	s.trouble_at = in.trouble_at % 64;
	s.trouble_result = in.trouble_result % 3 == 0 ? VIREO_EMU_USER :
			   in.trouble_result % 3 == 1 ? VIREO_EMU_EXCEPTION : VIREO_EMU_UNHANDLED;
	before = s;
	waits = 0;
	r2 = run(&s, &in, what, &waits);
	if (r2 < 0 || (waits && in.scribble & 0x80))
		return 0;
	if (s.calls < s.trouble_at || s.trouble_result == VIREO_EMU_USER) {
		/* Either it never came to that, or it had to wait, once. */
		CHECK(r2 == r);
		CHECK(same_state(&plain, &s));
		CHECK(same_memory(mem, final, false));
		CHECK(s.port_sum == plain.port_sum);
		if (r == VIREO_EMU_EXCEPTION)
			CHECK(s.e.exception.vector == plain.e.exception.vector &&
			      s.e.exception.error_code == plain.e.exception.error_code);
		return 0;
	}
	/* A new task that cannot be loaded completely cannot be undone either. */
	switched = s.e.events & VIREO_EMU_EV_TASK ||
		   !same_segment(&before.seg[VIREO_EMU_TR], &s.seg[VIREO_EMU_TR]);
	if (r2 != VIREO_EMU_OK && !switched && !string) {
		CHECK(same_state(&before, &s));
		/* ENTER has written below the stack pointer, as with processors. */
		CHECK(!s.writes || r2 == VIREO_EMU_EXCEPTION || op == OP_ENTER);
	}
	return 0;
}

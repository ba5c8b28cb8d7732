// SPDX-License-Identifier: GPL-2.0-only
/*
 * Task switches through a 32-bit or 16-bit TSS (SDM volume 3, 8.3).
 *
 * What can be refused in the old task is found out first. Then both TSSs and the
 * descriptors are written, the registers loaded, and from there on everything
 * happens in the new task: what is wrong with its segments is its exception.
 */
#include "internal.h"

/* Offsets in a 32-bit TSS */
#define TSS32_CR3	28
#define TSS32_EIP	32
#define TSS32_EFLAGS	36
#define TSS32_REGS	40
#define TSS32_SEGS	72
#define TSS32_LDT	96
#define TSS32_TRAP	100
#define TSS32_SIZE	104

/* and in one of 16 bits */
#define TSS16_IP	14
#define TSS16_FLAGS	16
#define TSS16_REGS	18
#define TSS16_SEGS	34
#define TSS16_LDT	42
#define TSS16_SIZE	44

/* The registers of a task, as a TSS has them. */
struct state {
	u32 cr3;
	u32 eip;
	u32 eflags;
	u32 regs[8];
	u16 segs[VIREO_EMU_NR_DATA_SEGS];
	u16 ldt;
	bool trap;
	bool is32;
};

#define FLAGS_LOADED	(FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | \
			 FL_AC | FL_VIF | FL_VIP | FL_ID)

static u32 get(const u8 *p, u32 size)
{
	u32 v = 0;

	memcpy(&v, p, size);
	return v;
}

/* Read the new TSS. */
static noinline int read_new(struct vireo_emu *e, const struct emu_desc *d, struct state *s)
{
	bool is32 = d->s.attr & 8;
	u32 size = is32 ? 4 : 2, nr = is32 ? VIREO_EMU_NR_DATA_SEGS : 4, i;
	u8 tss[TSS32_SIZE];
	int r;

	r = emu_mem_read(e, d->s.base, tss, is32 ? TSS32_SIZE : TSS16_SIZE,
			 VIREO_EMU_ACC_SYSTEM);
	if (r)
		return r;
	memset(s, 0, sizeof(*s));
	s->is32 = is32;
	s->eip = get(tss + (is32 ? TSS32_EIP : TSS16_IP), size);
	s->eflags = get(tss + (is32 ? TSS32_EFLAGS : TSS16_FLAGS), size);
	for (i = 0; i < 8; i++) {
		s->regs[i] = get(tss + (is32 ? TSS32_REGS : TSS16_REGS) + i * size, size);
		/* Undefined; the 386 and its successors fill them so. */
		if (!is32)
			s->regs[i] |= 0xffff0000;
	}
	for (i = 0; i < nr; i++)
		s->segs[i] = get(tss + (is32 ? TSS32_SEGS : TSS16_SEGS) + i * size, 2);
	s->ldt = get(tss + (is32 ? TSS32_LDT : TSS16_LDT), 2);
	if (is32) {
		s->cr3 = get(tss + TSS32_CR3, 4);
		s->trap = tss[TSS32_TRAP] & 1;
	}
	return VIREO_EMU_OK;
}

/* The part of the old TSS that is written: EIP to GS, or IP to DS. */
static noinline int save_old(struct vireo_emu *e, const struct emu_task *task, u64 flags)
{
	const struct vireo_emu_segment *tr = emu_seg(e, VIREO_EMU_TR);
	bool is32 = (tr->attr & 0xd) == SYS_TSS32;
	u32 size = is32 ? 4 : 2, i, first = is32 ? TSS32_EIP : TSS16_IP;
	u32 end = is32 ? TSS32_LDT : TSS16_LDT, nr = is32 ? VIREO_EMU_NR_DATA_SEGS : 4;
	u8 buf[TSS32_LDT];
	int r;

	r = emu_mem_read(e, tr->base + first, buf + first, end - first, VIREO_EMU_ACC_SYSTEM);
	if (r)
		return r;
	memcpy(buf + first, &task->rip, size);
	memcpy(buf + first + size, &flags, size);
	for (i = 0; i < 8; i++)
		memcpy(buf + first + (2 + i) * size, &e->regs[i], size);
	for (i = 0; i < nr; i++)
		memcpy(buf + first + (10 + i) * size, &emu_seg(e, i)->selector, 2);
	return emu_mem_write(e, tr->base + first, buf + first, end - first, VIREO_EMU_ACC_SYSTEM);
}

/* Everything that can go wrong before the switch. */
static int check_old(struct vireo_emu *e, struct emu_blame ts)
{
	const struct vireo_emu_segment *tr = emu_seg(e, VIREO_EMU_TR);
	bool is32 = (tr->attr & 0xd) == SYS_TSS32;
	u32 first = is32 ? TSS32_EIP : TSS16_IP, end = is32 ? TSS32_LDT : TSS16_LDT;

	if ((tr->attr & VIREO_EMU_SEG_UNUSABLE) || end - 1 > tr->limit)
		return emu_selector_fault(e, ts, tr->selector);
	return emu_mem_probe(e, tr->base + first, end - first, VIREO_EMU_ACC_SYSTEM);
}

static int find_tss(struct vireo_emu *e, u16 sel, u32 reason, u32 ext, struct emu_desc *d)
{
	struct emu_blame b = {
		.vector = reason == VIREO_EMU_TASK_IRET ? EXC_TS : EXC_GP,
		.ext = ext,
	};
	u32 type;
	int r;

	if (!(sel & 0xfffc) || (sel & 4))
		return emu_selector_fault(e, b, sel);
	r = emu_desc_read(e, sel, b, d);
	if (r)
		return r;
	type = d->s.attr & 0x1f;
	if ((type & ~SYS_TSS_BUSY) != SYS_TSS16 && (type & ~SYS_TSS_BUSY) != SYS_TSS32)
		return emu_selector_fault(e, b, sel);
	if (!(type & SYS_TSS_BUSY) != (reason != VIREO_EMU_TASK_IRET))
		return emu_selector_fault(e, b, sel);
	b.vector = EXC_NP;
	if (!(d->s.attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, b, sel);
	b.vector = EXC_TS;
	if (d->s.limit < (type & 8 ? TSS32_SIZE - 1u : TSS16_SIZE - 1u))
		return emu_selector_fault(e, b, sel);
	return VIREO_EMU_OK;
}

static int load_ldt(struct vireo_emu *e, u16 sel, struct emu_blame ts)
{
	struct emu_desc d;
	int r;

	if (!(sel & 0xfffc))
		return VIREO_EMU_OK;
	if (sel & 4)
		return emu_selector_fault(e, ts, sel);
	r = emu_desc_read(e, sel, ts, &d);
	if (r)
		return r;
	if ((d.s.attr & 0x1f) != SYS_LDT || !(d.s.attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, ts, sel);
	emu_set_seg(e, VIREO_EMU_LDTR, &d.s);
	return VIREO_EMU_OK;
}

static int load_cs(struct vireo_emu *e, u16 sel, struct emu_blame ts)
{
	struct emu_blame np = { .vector = EXC_NP, .ext = ts.ext };
	u32 rpl = sel & 3, attr;
	struct emu_desc d;
	int r;

	if (!(sel & 0xfffc))
		return emu_selector_fault(e, ts, sel);
	r = emu_desc_read(e, sel, ts, &d);
	if (r)
		return r;
	attr = d.s.attr;
	if ((attr & (VIREO_EMU_SEG_S | SEG_CODE)) != (VIREO_EMU_SEG_S | SEG_CODE) ||
	    (attr & SEG_CONFORMING ? emu_dpl(attr) > rpl : emu_dpl(attr) != rpl))
		return emu_selector_fault(e, ts, sel);
	if (!(attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, np, sel);
	r = emu_desc_accessed(e, &d);
	if (r)
		return r;
	emu_set_seg(e, VIREO_EMU_CS, &d.s);
	emu_update_mode(e);
	return VIREO_EMU_OK;
}

/* The segment registers of a task in protected mode, in the order of table 8-1. */
static int load_segments(struct vireo_emu *e, const struct state *s, struct emu_blame ts)
{
	static const u8 data[] = {
		VIREO_EMU_DS, VIREO_EMU_ES, VIREO_EMU_FS, VIREO_EMU_GS,
	};
	u32 cpl = s->segs[VIREO_EMU_CS] & 3, i;
	u16 ss = s->segs[VIREO_EMU_SS];
	struct emu_desc d;
	int r;

	r = load_cs(e, s->segs[VIREO_EMU_CS], ts);
	if (r)
		return r;
	if (!(ss & 0xfffc))
		return emu_selector_fault(e, ts, ss);
	r = emu_check_stack_seg(e, ss, cpl, ts, &d);
	if (!r)
		r = emu_desc_accessed(e, &d);
	if (r)
		return r;
	emu_set_seg(e, VIREO_EMU_SS, &d.s);
	for (i = 0; i < sizeof(data); i++) {
		u16 sel = s->segs[data[i]];

		if (!(sel & 0xfffc))
			continue;
		r = emu_check_data_seg(e, sel, cpl, ts, &d);
		if (!r)
			r = emu_desc_accessed(e, &d);
		if (r)
			return r;
		emu_set_seg(e, data[i], &d.s);
	}
	return VIREO_EMU_OK;
}

/*
 * Load the registers. Segments have their selectors only, no descriptors yet. CS looks like code all
 * the same: if it cannot be loaded, that exception is the new task's, which the processor enters to
 * deliver it; and it is not entered with a CS that cannot be used (SDM vol 3, 27.3.1.2).
 */
static void load_state(struct vireo_emu *e, const struct state *s)
{
	struct vireo_emu_segment seg = { .attr = VIREO_EMU_SEG_UNUSABLE };
	u32 cpl = s->segs[VIREO_EMU_CS] & 3, i;

	e->rip = s->eip;
	e->rflags = (s->eflags & FLAGS_LOADED) | FL_FIXED;
	for (i = 0; i < 8; i++)
		e->regs[i] = s->regs[i];
	for (i = 0; i < VIREO_EMU_NR_DATA_SEGS; i++) {
		if (e->rflags & FL_VM) {
			emu_real_seg(e, i, s->segs[i], &seg);
		} else {
			seg.selector = s->segs[i];
			seg.attr = (i == VIREO_EMU_CS ? VIREO_EMU_SEG_P | VIREO_EMU_SEG_S | 11 :
				    VIREO_EMU_SEG_UNUSABLE) | cpl << VIREO_EMU_SEG_DPL_SHIFT;
		}
		emu_set_seg(e, i, &seg);
	}
	seg.base = 0;
	seg.limit = 0;
	seg.selector = s->ldt;
	seg.attr = VIREO_EMU_SEG_UNUSABLE;
	emu_set_seg(e, VIREO_EMU_LDTR, &seg);
	emu_update_mode(e);
}

static noinline int push_error(struct vireo_emu *e, u32 size, u32 code, u32 ext)
{
	u64 sp = emu_get_sp(e);
	struct emu_frame f;
	int r;

	emu_frame_init(&f, size, 0, ext);
	emu_frame_push(&f, code);
	r = emu_frame_probe(e, &f, emu_seg(e, VIREO_EMU_SS), &sp, false);
	if (!r)
		r = emu_frame_write(e, &f);
	if (!r)
		emu_set_sp(e, sp);
	return r;
}

/* In the new task: its address space, its segments, an error code. */
static int enter(struct vireo_emu *e, const struct state *s, const struct emu_task *task,
		 struct emu_blame ts)
{
	u64 cr0 = e->ops->get_cr(e, 0);
	int r;

	e->events |= VIREO_EMU_EV_TASK | VIREO_EMU_EV_MODE;
	r = e->ops->set_cr(e, 0, cr0 | CR0_TS);
	if (!r && s->is32 && (cr0 & CR0_PG))
		r = e->ops->set_cr(e, 3, s->cr3);
	load_state(e, s);
	if (!r)
		r = load_ldt(e, s->ldt, ts);
	if (!r && !(e->rflags & FL_VM))
		r = load_segments(e, s, ts);
	if (!r && task->has_error)
		r = push_error(e, s->is32 ? 4 : 2, task->error_code, ts.ext);
	if (!r)
		r = emu_check_offset(e, emu_seg(e, VIREO_EMU_CS), e->rip, ts.ext);
	if (!r && s->trap)
		e->events |= VIREO_EMU_EV_TASK_TRAP;
	return r;
}

/**
 * emu_task_switch() - switch to another task
 * @e: context
 * @sel: of its TSS
 * @task: why, and what is saved
 *
 * Return: enum vireo_emu_result, as vireo_emu_task_switch().
 */
int emu_task_switch(struct vireo_emu *e, u16 sel, const struct emu_task *task)
{
	bool nested = task->reason != VIREO_EMU_TASK_JMP && task->reason != VIREO_EMU_TASK_IRET;
	struct emu_blame ts = {
		.vector = EXC_TS,
		.ext = task->reason == VIREO_EMU_TASK_GATE_EXT,
	};
	const struct vireo_emu_segment *tr = emu_seg(e, VIREO_EMU_TR);
	u16 old = tr->selector;
	struct emu_desc d, old_d;
	u64 flags = task->flags;
	struct state s;
	int r;

	if (!emu_can_segment(e) || !e->ops->set_cr)
		return VIREO_EMU_UNHANDLED;
	r = find_tss(e, sel, task->reason, ts.ext, &d);
	if (!r)
		r = check_old(e, ts);
	if (r)
		return r;
	r = read_new(e, &d, &s);
	if (!r && nested)
		r = emu_mem_probe(e, d.s.base, 2, VIREO_EMU_ACC_SYSTEM);
	if (!r && !nested)
		r = emu_desc_read(e, old, ts, &old_d);
	if (!r)
		r = emu_mem_probe(e, d.la + 5, 1, VIREO_EMU_ACC_SYSTEM);
	if (r)
		return r;

	/*
	 * The busy bit of the new task last: should anything have to be done again, it
	 * must not look as if the task were running already.
	 */
	if (task->reason == VIREO_EMU_TASK_IRET)
		flags &= ~(u64)FL_NT;
	if (!nested)
		r = emu_desc_change(e, &old_d, 0, SYS_TSS_BUSY);
	if (!r)
		r = save_old(e, task, flags);
	if (!r && nested)
		r = emu_mem_write(e, d.s.base, &old, 2, VIREO_EMU_ACC_SYSTEM);
	if (!r && task->reason != VIREO_EMU_TASK_IRET)
		r = emu_desc_change(e, &d, SYS_TSS_BUSY, 0);
	if (r)
		return r;
	if (nested)
		s.eflags |= FL_NT;
	d.s.attr |= SYS_TSS_BUSY;
	emu_set_seg(e, VIREO_EMU_TR, &d.s);
	return enter(e, &s, task, ts);
}

int vireo_emu_task_switch(struct vireo_emu *e, u16 selector, u32 reason, bool has_error,
			  u32 error_code)
{
	const struct emu_task task = {
		.reason = reason,
		.has_error = has_error,
		.error_code = error_code,
		.rip = e->rip,
		.flags = e->rflags,
	};

	e->log_len = 0;
	e->wr_done = 0;
	e->events = 0;
	e->seg_valid = 0;
	e->resume = 0;
	return emu_task_switch(e, selector, &task);
}

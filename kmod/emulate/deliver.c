// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delivery of interrupts and exceptions, and the instructions that cause them.
 *
 * SDM volume 3, chapter 6, and the pseudocode of INT n in volume 2: through the
 * interrupt vector table in real mode, through gates of the IDT otherwise.
 * Everything is read and checked, and the frame probed, before the first write.
 */
#include "internal.h"

/* What is being delivered. */
struct event {
	u32 vector;
	u32 kind;
	bool has_error;
	u32 error_code;
	u64 rip;		/* return address */
	u64 flags;		/* to be pushed */
	u32 ext;		/* EXT of error codes */
};

/* An error code that names the gate: vector, IDT bit, EXT */
static int gate_fault(struct vireo_emu *e, u8 vector, const struct event *ev)
{
	return vireo_emu_fault(e, vector, ev->vector << 3 | 2 | ev->ext);
}

static bool is_software(u32 kind)
{
	return kind == VIREO_EMU_KIND_SOFT_INT || kind == VIREO_EMU_KIND_SOFT_EXCEPTION;
}

/* Exceptions that report an instruction to be restarted: RF is set in their image. */
static bool is_fault(const struct event *ev)
{
	const u32 faults = 1u << 0 | 7u << 5 | 0x1fu << 10 | 3u << 16 | 7u << 19;

	return ev->kind == VIREO_EMU_KIND_EXCEPTION && ev->vector < 32 &&
	       faults >> ev->vector & 1;
}

/*
 * Through a vector table of the 8086: real mode, and INT n in virtual-8086 mode.
 * @pushed are the flags to be pushed, @clear those that are cleared.
 */
static noinline int deliver_8086(struct vireo_emu *e, const struct event *ev, u64 table,
				 u64 pushed, u64 clear)
{
	u64 sp = emu_get_sp(e);
	struct vireo_emu_segment cs;
	struct emu_frame f;
	u16 entry[2];
	int r;

	r = emu_mem_read(e, table + 4 * ev->vector, entry, 4, VIREO_EMU_ACC_SYSTEM);
	if (r)
		return r;
	emu_frame_init(&f, 2, 0, 0);
	emu_frame_push(&f, pushed);
	emu_frame_push(&f, emu_seg(e, VIREO_EMU_CS)->selector);
	emu_frame_push(&f, ev->rip);
	r = emu_frame_probe(e, &f, emu_seg(e, VIREO_EMU_SS), &sp, false);
	if (r)
		return r;
	emu_real_seg(e, VIREO_EMU_CS, entry[1], &cs);
	r = emu_check_offset(e, &cs, entry[0], 0);
	if (!r)
		r = emu_frame_write(e, &f);
	if (r)
		return r;
	emu_set_sp(e, sp);
	emu_set_seg(e, VIREO_EMU_CS, &cs);
	e->rip = entry[0];
	e->rflags &= ~(clear | FL_TF | FL_RF);
	emu_update_mode(e);
	return VIREO_EMU_OK;
}

static int deliver_real(struct vireo_emu *e, const struct event *ev)
{
	u64 base;
	u16 limit;

	e->ops->get_dt(e, VIREO_EMU_IDTR, &base, &limit);
	if (4 * ev->vector + 3 > limit)
		return gate_fault(e, EXC_GP, ev);
	return deliver_8086(e, ev, base, ev->flags, FL_IF | FL_AC);
}

/*
 * INT n in virtual-8086 mode. Sets *@redirected if the program's own vector table is
 * used (SDM volume 3, 20.3.3: methods 5 and 6 of table 20-2).
 */
static int check_vm86(struct vireo_emu *e, const struct event *ev, bool *redirected)
{
	const struct vireo_emu_segment *tr = emu_seg(e, VIREO_EMU_TR);
	bool iopl3 = (e->rflags & FL_IOPL) == FL_IOPL;
	u16 map;
	u32 at;
	u8 bits;
	int r;

	*redirected = false;
	if (e->ops->get_cr(e, 4) & CR4_VME) {
		/* The redirection bitmap is the 32 bytes before that of the ports. */
		if (tr->limit < 103)
			return emu_gp(e);
		r = emu_mem_read(e, tr->base + 102, &map, 2, VIREO_EMU_ACC_SYSTEM);
		if (r)
			return r;
		at = map - 32u + ev->vector / 8;
		if (at > tr->limit)
			return emu_gp(e);
		r = emu_mem_read(e, tr->base + at, &bits, 1, VIREO_EMU_ACC_SYSTEM);
		if (r)
			return r;
		*redirected = !(bits >> (ev->vector & 7) & 1);
		if (*redirected)
			return VIREO_EMU_OK;
	}
	return iopl3 ? VIREO_EMU_OK : emu_gp(e);
}

static int deliver_redirected(struct vireo_emu *e, const struct event *ev)
{
	u64 pushed = ev->flags;

	if ((pushed & FL_IOPL) == FL_IOPL)
		return deliver_8086(e, ev, 0, pushed, FL_IF);
	pushed &= ~(u64)FL_IF;
	pushed |= FL_IOPL;
	if (pushed & FL_VIF)
		pushed |= FL_IF;
	return deliver_8086(e, ev, 0, pushed, FL_VIF);
}

/* The gate leads to another task. */
static int deliver_task(struct vireo_emu *e, const struct event *ev, u16 sel)
{
	const struct emu_task task = {
		.reason = ev->ext ? VIREO_EMU_TASK_GATE_EXT : VIREO_EMU_TASK_GATE,
		.has_error = ev->has_error,
		.error_code = ev->error_code,
		.rip = ev->rip,
		.flags = ev->flags,
	};

	return emu_task_switch(e, sel, &task);
}

/* What the handler's stack will hold, from the top. */
static void fill_frame(struct vireo_emu *e, const struct event *ev, struct emu_frame *f, bool stack)
{
	if (e->mode == VIREO_EMU_VM86) {
		emu_frame_push(f, emu_seg(e, VIREO_EMU_GS)->selector);
		emu_frame_push(f, emu_seg(e, VIREO_EMU_FS)->selector);
		emu_frame_push(f, emu_seg(e, VIREO_EMU_DS)->selector);
		emu_frame_push(f, emu_seg(e, VIREO_EMU_ES)->selector);
	}
	if (stack) {
		u64 sp = e->regs[VIREO_EMU_RSP];

		emu_frame_push(f, emu_seg(e, VIREO_EMU_SS)->selector);
		emu_frame_push(f, e->mode == VIREO_EMU_PROT64 ? sp : (u32)sp);
	}
	emu_frame_push(f, ev->flags);
	emu_frame_push(f, emu_seg(e, VIREO_EMU_CS)->selector);
	emu_frame_push(f, ev->rip);
	if (ev->has_error)
		emu_frame_push(f, ev->error_code);
}

/* An interrupt or trap gate, its code segment checked but for the offset. */
static noinline int deliver_gate(struct vireo_emu *e, const struct event *ev,
				 const struct emu_desc *gate, struct emu_desc *cs, u64 offset)
{
	static const u8 segs[] = {
		VIREO_EMU_ES, VIREO_EMU_DS, VIREO_EMU_FS, VIREO_EMU_GS,
	};
	u32 cpl = emu_cpl(e), new_cpl = cpl, type = gate->s.attr & 15, ist = 0, i;
	bool lm = emu_long_mode(e), inner, switched;
	struct vireo_emu_segment null;
	u32 size = lm ? 8 : type & 8 ? 4 : 2;
	struct emu_frame f;
	struct emu_desc ss;
	u64 sp;
	int r;

	if (!(cs->s.attr & SEG_CONFORMING))
		new_cpl = emu_dpl(cs->s.attr);
	inner = new_cpl < cpl;
	if (lm)
		ist = gate->lo >> 32 & 7;
	switched = inner || ist;
	if (switched) {
		r = emu_inner_stack(e, new_cpl, ist, ev->ext, &ss, &sp);
		if (r)
			return r;
	}
	if (!inner)
		ss.s = *emu_seg(e, VIREO_EMU_SS);
	if (!switched)
		sp = lm ? e->regs[VIREO_EMU_RSP] : emu_get_sp(e);
	/* 64-bit mode always aligns the stack and pushes the old one. */
	if (lm)
		sp &= ~0xfULL;
	emu_frame_init(&f, size, new_cpl < 3 ? VIREO_EMU_ACC_INNER : 0,
		       (inner ? ss.s.selector & 0xfffc : 0) | ev->ext);
	fill_frame(e, ev, &f, lm || inner);
	r = emu_frame_probe(e, &f, &ss.s, &sp, lm);
	if (!r)
		r = emu_check_offset(e, &cs->s, offset, ev->ext);
	if (!r)
		r = emu_desc_accessed(e, cs);
	if (!r && inner && !(ss.s.attr & VIREO_EMU_SEG_UNUSABLE))
		r = emu_desc_accessed(e, &ss);
	if (!r)
		r = emu_frame_write(e, &f);
	if (r)
		return r;

	emu_set_cs(e, cs, new_cpl);
	if (inner)
		emu_set_seg(e, VIREO_EMU_SS, &ss.s);
	if (lm || inner)
		e->regs[VIREO_EMU_RSP] = sp;
	else
		emu_reg_update(e, VIREO_EMU_RSP, sp, ss.s.attr & VIREO_EMU_SEG_DB ? 4 : 2);
	if (e->mode == VIREO_EMU_VM86) {
		for (i = 0; i < sizeof(segs); i++) {
			emu_null_seg(e, segs[i], 0, 0, &null);
			emu_set_seg(e, segs[i], &null);
		}
	}
	e->rip = offset;
	e->rflags &= ~(u64)(FL_TF | FL_NT | FL_RF | FL_VM);
	/* An interrupt gate, not a trap gate */
	if (!(type & 1))
		e->rflags &= ~(u64)FL_IF;
	emu_update_mode(e);
	return VIREO_EMU_OK;
}

/* Protected, virtual-8086 and long mode: find the gate and check it. */
static int deliver_protected(struct vireo_emu *e, const struct event *ev)
{
	struct emu_blame b = { .vector = EXC_GP, .ext = ev->ext };
	bool lm = emu_long_mode(e);
	u32 size = lm ? 16 : 8, cpl = emu_cpl(e), type, dpl;
	struct emu_desc gate, cs;
	u64 base, offset;
	u16 limit, sel;
	int r;

	e->ops->get_dt(e, VIREO_EMU_IDTR, &base, &limit);
	if (size * ev->vector + size - 1 > limit)
		return gate_fault(e, EXC_GP, ev);
	base += size * ev->vector;
	gate.hi = 0;
	r = emu_mem_read(e, base, &gate.lo, 8, VIREO_EMU_ACC_SYSTEM);
	if (!r && lm)
		r = emu_mem_read(e, base + 8, &gate.hi, 8, VIREO_EMU_ACC_SYSTEM);
	if (r)
		return r;
	gate.s.attr = gate.lo >> 40 & 0xff;
	type = gate.s.attr & 0x1f;
	if (type != SYS_INT32 && type != SYS_TRAP32 &&
	    (lm || (type != SYS_INT16 && type != SYS_TRAP16 && type != SYS_TASK_GATE)))
		return gate_fault(e, EXC_GP, ev);
	if (is_software(ev->kind) && emu_dpl(gate.s.attr) < cpl)
		return gate_fault(e, EXC_GP, ev);
	if (!(gate.s.attr & VIREO_EMU_SEG_P))
		return gate_fault(e, EXC_NP, ev);
	sel = gate.lo >> 16;
	if (type == SYS_TASK_GATE)
		return deliver_task(e, ev, sel);

	offset = (gate.lo & 0xffff) | gate.hi << 32;
	if (type & 8)
		offset |= gate.lo >> 32 & 0xffff0000;
	if (!(sel & 0xfffc))
		return vireo_emu_fault(e, EXC_GP, ev->ext);
	r = emu_desc_read(e, sel, b, &cs);
	if (!r)
		r = emu_check_code(e, &cs, ev->ext);
	if (r)
		return r;
	dpl = emu_dpl(cs.s.attr);
	if (dpl > cpl || (lm && !(cs.s.attr & VIREO_EMU_SEG_L)))
		return emu_selector_fault(e, b, sel);
	/* Out of virtual-8086 mode there is only level 0. */
	if (e->mode == VIREO_EMU_VM86 && (dpl || (cs.s.attr & SEG_CONFORMING)))
		return emu_selector_fault(e, b, sel);
	b.vector = EXC_NP;
	if (!(cs.s.attr & VIREO_EMU_SEG_P))
		return emu_selector_fault(e, b, sel);
	return deliver_gate(e, ev, &gate, &cs, offset);
}

static int deliver(struct vireo_emu *e, struct event *ev)
{
	bool redirected = false;
	int r;

	if (!emu_can_segment(e))
		return VIREO_EMU_UNHANDLED;
	if (e->mode < VIREO_EMU_VM86)
		return deliver_real(e, ev);
	if (e->mode == VIREO_EMU_VM86 && ev->kind == VIREO_EMU_KIND_SOFT_INT) {
		r = check_vm86(e, ev, &redirected);
		if (r)
			return r;
	}
	return redirected ? deliver_redirected(e, ev) : deliver_protected(e, ev);
}

int vireo_emu_deliver(struct vireo_emu *e, u32 vector, u32 kind, bool has_error, u32 error_code)
{
	struct event ev = {
		.vector = vector,
		.kind = kind,
		.has_error = has_error,
		.error_code = error_code,
		.rip = e->rip,
		.flags = e->rflags,
		.ext = !is_software(kind),
	};

	e->log_len = 0;
	e->wr_done = 0;
	e->events = 0;
	e->seg_valid = 0;
	e->resume = 0;
	if (is_fault(&ev))
		ev.flags |= FL_RF;
	return deliver(e, &ev);
}

/* BOUND: the index against the pair of bounds in memory, all of them signed. */
static int bound(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size;
	u64 low = 0, high = 0;
	struct emu_mem m;
	u8 buf[8];
	s64 index;
	int r;

	r = emu_operand(e, 2 * size, false, &m);
	if (!r)
		r = emu_read_wide(e, &m, buf, 2 * size, 0);
	if (r)
		return r;
	memcpy(&low, buf, size);
	memcpy(&high, buf + size, size);
	index = emu_sext(e->regs[insn->reg], size);
	if (index < (s64)emu_sext(low, size) || index > (s64)emu_sext(high, size))
		return vireo_emu_trap(e, EXC_BR);
	return emu_finish(e);
}

/**
 * emu_software_event() - OP_INT3 to OP_BOUND
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_software_event(struct vireo_emu *e)
{
	u32 op = EMU_OP(e->insn.entry);
	u64 rip = e->rip + e->insn.len;
	struct event ev = {
		.kind = VIREO_EMU_KIND_SOFT_EXCEPTION,
		.rip = e->mode == VIREO_EMU_PROT64 ? rip : (u32)rip,
		/* The instruction itself is what RF was for. */
		.flags = e->rflags & ~(u64)FL_RF,
	};

	switch (op) {
	case OP_BOUND:
		return bound(e);
	case OP_INTO:
		if (!(e->rflags & FL_OF))
			return emu_finish(e);
		ev.vector = EXC_OF;
		break;
	case OP_INT3:
		ev.vector = EXC_BP;
		break;
	case OP_INT1:
		ev.vector = EXC_DB;
		ev.kind = VIREO_EMU_KIND_PRIV_EXCEPTION;
		ev.ext = 1;
		break;
	default: /* OP_INT */
		ev.vector = (u8)e->insn.imm;
		ev.kind = VIREO_EMU_KIND_SOFT_INT;
	}
	return deliver(e, &ev);
}

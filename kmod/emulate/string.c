// SPDX-License-Identifier: GPL-2.0-only
/*
 * String instructions and port I/O.
 *
 * Each iteration of a REP is complete in itself: it commits the index registers
 * and the count, then forgets its records of reads and writes. So an
 * exception, a wait for user space or the end of the budget between two
 * iterations leaves exactly the state that the architecture prescribes.
 */
#include "alu.h"

static int memory(struct vireo_emu *e, u32 seg, u32 reg, u32 size, bool write, struct emu_mem *m)
{
	u64 ea = e->regs[reg] & emu_mask(e->insn.ad_size);

	m->gpa = VIREO_EMU_NO_GPA;
	return emu_linearize(e, seg, ea, size, write, &m->la);
}

/* Move an index register on by @n elements. */
static void advance(struct vireo_emu *e, u32 reg, u32 n)
{
	u64 step = (u64)n * e->insn.op_size;

	if (e->rflags & FL_DF)
		step = -step;
	emu_reg_update(e, reg, e->regs[reg] + step, e->insn.ad_size);
}

static bool is_rep(const struct vireo_emu *e)
{
	return e->insn.prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE);
}

static u64 get_count(const struct vireo_emu *e)
{
	return e->regs[VIREO_EMU_RCX] & emu_mask(e->insn.ad_size);
}

/*
 * The use of vireo_emu.gpa by STOS and LODS: without REP they are as good as MOV.
 * With it the page offset could match by chance in a later iteration.
 */
static void hint(const struct vireo_emu *e, struct emu_mem *m)
{
	if (!is_rep(e) && !((e->gpa ^ m->la) & 0xfff))
		m->gpa = e->gpa;
}

/* One iteration; nothing is changed unless it succeeds. */
static int iterate(struct vireo_emu *e, u32 op)
{
	u32 size = e->insn.op_size, seg = e->insn.seg;
	struct emu_mem src, dst;
	u64 a, b;
	int r;

	switch (op) {
	case OP_MOVS:
		r = memory(e, seg, VIREO_EMU_RSI, size, false, &src);
		if (!r)
			r = memory(e, VIREO_EMU_ES, VIREO_EMU_RDI, size, true, &dst);
		if (!r)
			r = emu_read(e, &src, &a, size, 0);
		if (!r)
			r = emu_write(e, &dst, a, size);
		if (r)
			return r;
		advance(e, VIREO_EMU_RSI, 1);
		advance(e, VIREO_EMU_RDI, 1);
		break;
	case OP_STOS:
		r = memory(e, VIREO_EMU_ES, VIREO_EMU_RDI, size, true, &dst);
		if (r)
			return r;
		hint(e, &dst);
		r = emu_write(e, &dst, e->regs[VIREO_EMU_RAX], size);
		if (r)
			return r;
		advance(e, VIREO_EMU_RDI, 1);
		break;
	case OP_LODS:
		r = memory(e, seg, VIREO_EMU_RSI, size, false, &src);
		if (r)
			return r;
		hint(e, &src);
		r = emu_read(e, &src, &a, size, 0);
		if (r)
			return r;
		/* AL, not AH, whatever the prefixes */
		if (size == 1)
			emu_reg_write(e, VIREO_EMU_RAX, a, 1);
		else
			emu_reg_update(e, VIREO_EMU_RAX, a, size);
		advance(e, VIREO_EMU_RSI, 1);
		break;
	case OP_CMPS:
		r = memory(e, seg, VIREO_EMU_RSI, size, false, &src);
		if (!r)
			r = memory(e, VIREO_EMU_ES, VIREO_EMU_RDI, size, false, &dst);
		if (!r)
			r = emu_read(e, &src, &a, size, 0);
		if (!r)
			r = emu_read(e, &dst, &b, size, 0);
		if (r)
			return r;
		alu_sub(a, b, 0, size, &e->rflags);
		advance(e, VIREO_EMU_RSI, 1);
		advance(e, VIREO_EMU_RDI, 1);
		break;
	default: /* OP_SCAS */
		r = memory(e, VIREO_EMU_ES, VIREO_EMU_RDI, size, false, &dst);
		if (!r)
			r = emu_read(e, &dst, &b, size, 0);
		if (r)
			return r;
		alu_sub(e->regs[VIREO_EMU_RAX] & emu_mask(size), b, 0, size, &e->rflags);
		advance(e, VIREO_EMU_RDI, 1);
	}
	return VIREO_EMU_OK;
}

/* The records of an iteration that is complete. */
static void commit(struct vireo_emu *e)
{
	e->log_len = 0;
	e->log_pos = 0;
	e->wr_done = 0;
	e->wr_pos = 0;
}

/* REPE and REPNE of CMPS and SCAS: does the flag end it? */
static bool condition_ends(const struct vireo_emu *e, u32 op)
{
	if (op != OP_CMPS && op != OP_SCAS)
		return false;
	return !(e->rflags & FL_ZF) == !!(e->insn.prefix & VIREO_EMU_PFX_REPE);
}

/* Between two iterations of an unfinished REP: what must happen there? */
static int pause_between(struct vireo_emu *e)
{
	if (e->rflags & FL_TF) {
		e->events |= VIREO_EMU_EV_STEP;
		return VIREO_EMU_RESTART;
	}
	return VIREO_EMU_OK;
}

/**
 * emu_string() - OP_MOVS to OP_SCAS
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_string(struct vireo_emu *e)
{
	u32 op = EMU_OP(e->insn.entry), budget = VIREO_EMU_REP_BUDGET;
	u64 count;
	int r;

	if (!is_rep(e)) {
		r = iterate(e, op);
		return r ? r : emu_finish(e);
	}
	count = get_count(e);
	if (!count)
		return emu_finish(e);
	for (;;) {
		r = iterate(e, op);
		if (r)
			return r;
		commit(e);
		count--;
		emu_reg_update(e, VIREO_EMU_RCX, count, e->insn.ad_size);
		if (!count || condition_ends(e, op))
			return emu_finish(e);
		r = pause_between(e);
		if (r)
			return r;
		if (!--budget)
			return VIREO_EMU_RESTART;
	}
}

/* The I/O permission bitmap: a bit for each byte-wide port that is touched. */
static int check_bitmap(struct vireo_emu *e, u16 port, u32 size)
{
	const struct vireo_emu_segment *tr = emu_seg(e, VIREO_EMU_TR);
	struct emu_mem m = { .gpa = VIREO_EMU_NO_GPA };
	u64 base, bits;
	int r;

	/* A 32-bit TSS (or 64-bit, of the same type), available or busy */
	if (!(tr->attr & VIREO_EMU_SEG_P) || (tr->attr & VIREO_EMU_SEG_UNUSABLE) ||
	    (tr->attr & 0xd) != 9 || tr->limit < 103)
		return emu_gp(e);
	m.la = tr->base + 102;
	r = emu_read(e, &m, &base, 2, VIREO_EMU_ACC_SYSTEM);
	if (r)
		return r;
	/* Two bytes are always read: eight ports may straddle. */
	base += port / 8;
	if (base + 1 > tr->limit)
		return emu_gp(e);
	m.la = tr->base + base;
	r = emu_read(e, &m, &bits, 2, VIREO_EMU_ACC_SYSTEM);
	if (r)
		return r;
	if (bits >> (port & 7) & ((1u << size) - 1))
		return emu_gp(e);
	return VIREO_EMU_OK;
}

/**
 * check_port() - may the program use these ports?
 * @e: context
 * @port: first port
 * @size: 1, 2 or 4
 *
 * Return: enum vireo_emu_result.
 */
static int check_port(struct vireo_emu *e, u16 port, u32 size)
{
	if (e->mode < VIREO_EMU_VM86)
		return VIREO_EMU_OK;
	if (e->mode != VIREO_EMU_VM86 &&
	    e->ops->get_cpl(e) <= (e->rflags >> FL_IOPL_SHIFT & 3))
		return VIREO_EMU_OK;
	return check_bitmap(e, port, size);
}

/* Data of a port: what was handed over already, then from the callback. */
static int port_in(struct vireo_emu *e, u16 port, u32 size, void *data, u32 count)
{
	u32 have = (e->log_len - e->log_pos) / size;
	int r;

	if (have > count)
		have = count;
	memcpy(data, e->log + e->log_pos, have * size);
	e->log_pos += have * size;
	if (have == count)
		return VIREO_EMU_OK;
	r = e->ops->pio_in(e, port, size, (u8 *)data + have * size, count - have);
	if (r)
		return r;
	/* Recorded, should the write of INS have to wait. */
	memcpy(e->log + e->log_pos, (u8 *)data + have * size, (count - have) * size);
	e->log_pos += (count - have) * size;
	e->log_len = e->log_pos;
	return VIREO_EMU_OK;
}

static int port_out(struct vireo_emu *e, u16 port, u32 size, const void *data, u32 count)
{
	int r;

	if (e->wr_pos < e->wr_done) {
		e->wr_pos++;
		return VIREO_EMU_OK;
	}
	r = e->ops->pio_out(e, port, size, data, count);
	if (!r)
		e->wr_done = ++e->wr_pos;
	return r;
}

/* How many elements of a REP INS or OUTS, the first at @la, to do in one go. */
static u32 batch(const struct vireo_emu *e, u64 la, u32 reg, u64 count, u32 room)
{
	u32 size = e->insn.op_size, n;
	u64 addr = e->regs[reg] & emu_mask(e->insn.ad_size);

	if ((e->rflags & (FL_DF | FL_TF)) || !is_rep(e))
		return 1;
	n = room / size;
	if (n > count)
		n = count;
	/* Stay in a page, where one fault is all that can be, and do not wrap. */
	if ((la & 0xfff) + n * size > 0x1000)
		n = (0x1000 - (la & 0xfff)) / size;
	if (!n || addr + n * size > emu_mask(e->insn.ad_size))
		return 1;
	return n;
}

/* INS: a device gives its data once, so first make sure of a place for it. */
static noinline int ins(struct vireo_emu *e, u16 port, const struct emu_mem *m, u32 n)
{
	u32 size = e->insn.op_size, total = n * size, first = 0x1000 - (m->la & 0xfff), i;
	u8 buf[VIREO_EMU_LOG_SIZE];
	struct emu_mem to = *m;
	int r;

	if (first > total)
		first = total;
	r = e->ops->probe(e, m->la, first, 0);
	if (!r && first < total)
		r = e->ops->probe(e, m->la + first, total - first, 0);
	if (!r)
		r = port_in(e, port, size, buf, n);
	for (i = 0; !r && i < n; i++) {
		r = emu_write_wide(e, &to, buf + i * size, size);
		to.la += size;
	}
	return r;
}

static noinline int outs(struct vireo_emu *e, u16 port, const struct emu_mem *m, u32 n)
{
	u32 size = e->insn.op_size, i;
	u8 buf[VIREO_EMU_LOG_SIZE];
	struct emu_mem from = *m;

	for (i = 0; i < n; i++) {
		int r = emu_read_wide(e, &from, buf + i * size, size, 0);

		if (r)
			return r;
		from.la += size;
	}
	return port_out(e, port, size, buf, n);
}

static int string_io(struct vireo_emu *e, u32 op)
{
	bool in = op == OP_INS;
	u16 port = e->regs[VIREO_EMU_RDX];
	u32 size = e->insn.op_size, budget = VIREO_EMU_REP_BUDGET, n;
	u32 reg = in ? VIREO_EMU_RDI : VIREO_EMU_RSI;
	u32 seg = in ? (u32)VIREO_EMU_ES : e->insn.seg;
	struct emu_mem m;
	u64 count = 1;
	int r;

	for (;;) {
		if (is_rep(e)) {
			count = get_count(e);
			/* AMD looks at the permission even if there is nothing to do. */
			if (!count && !(e->features & VIREO_EMU_F_AMD))
				return emu_finish(e);
		}
		r = check_port(e, port, size);
		if (!r && !count)
			return emu_finish(e);
		if (!r)
			r = memory(e, seg, reg, size, in, &m);
		if (r)
			return r;
		n = batch(e, m.la, reg, count, VIREO_EMU_LOG_SIZE - e->log_pos);
		/* If the segment ends before the batch, find out where. */
		if (n > 1 && memory(e, seg, reg, n * size, in, &m))
			n = 1;
		r = in ? ins(e, port, &m, n) : outs(e, port, &m, n);
		if (r)
			return r;
		advance(e, reg, n);
		commit(e);
		if (!is_rep(e))
			return emu_finish(e);
		count -= n;
		emu_reg_update(e, VIREO_EMU_RCX, count, e->insn.ad_size);
		if (!count)
			return emu_finish(e);
		r = pause_between(e);
		if (r)
			return r;
		if (budget <= n)
			return VIREO_EMU_RESTART;
		budget -= n;
	}
}

/**
 * emu_pio() - OP_INS to OP_OUT_DX
 * @e: context
 *
 * Return: enum vireo_emu_result.
 */
int emu_pio(struct vireo_emu *e)
{
	u32 op = EMU_OP(e->insn.entry), size = e->insn.op_size;
	u64 val = 0;
	u16 port;
	int r;

	/* There is no 64-bit port: REX.W does nothing. */
	if (size == 8)
		e->insn.op_size = size = 4;
	if (op == OP_INS || op == OP_OUTS)
		return string_io(e, op);

	port = op == OP_IN_IMM || op == OP_OUT_IMM ? (u8)e->insn.imm : e->regs[VIREO_EMU_RDX];
	r = check_port(e, port, size);
	if (r)
		return r;
	if (op == OP_OUT_IMM || op == OP_OUT_DX) {
		val = e->regs[VIREO_EMU_RAX] & emu_mask(size);
		r = port_out(e, port, size, &val, 1);
		return r ? r : emu_finish(e);
	}
	r = port_in(e, port, size, &val, 1);
	if (r)
		return r;
	emu_reg_write(e, VIREO_EMU_RAX, val, size);
	return emu_finish(e);
}

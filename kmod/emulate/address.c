// SPDX-License-Identifier: GPL-2.0-only
/*
 * From an operand to memory: effective address, segmentation, and the accesses.
 *
 * Everything that can be refused is refused in emu_linearize(), before the first
 * callback touches memory. The accesses keep two records that make an
 * instruction restartable: the data that was read so far, and how many pieces of
 * writes were taken (see struct vireo_emu_ops).
 */
#include "internal.h"

/**
 * emu_seg() - a segment register, asked for at most once per instruction
 * @e: context
 * @seg: enum vireo_emu_seg
 *
 * Return: the register.
 */
const struct vireo_emu_segment *emu_seg(struct vireo_emu *e, u32 seg)
{
	if (!(e->seg_valid & (1u << seg))) {
		e->ops->get_seg(e, seg, &e->seg[seg]);
		e->seg_valid |= 1u << seg;
	}
	return &e->seg[seg];
}

/**
 * emu_segment_fault() - an address that its segment does not allow
 * @e: context
 * @seg: segment
 *
 * Return: VIREO_EMU_EXCEPTION.
 */
int emu_segment_fault(struct vireo_emu *e, u32 seg)
{
	return vireo_emu_fault(e, seg == VIREO_EMU_SS ? EXC_SS : EXC_GP, 0);
}

/**
 * emu_check_alignment() - #AC: RFLAGS.AC is known to be set, CR0.AM and CPL 3?
 * @e: context
 * @la: linear address
 * @size: of the operand; wide vectors have their own rules
 *
 * Return: VIREO_EMU_OK or VIREO_EMU_EXCEPTION.
 */
int emu_check_alignment(struct vireo_emu *e, u64 la, u32 size)
{
	if (size > 8 || !(la & (size - 1)))
		return VIREO_EMU_OK;
	if (!(e->ops->get_cr(e, 0) & CR0_AM) || e->ops->get_cpl(e) != 3)
		return VIREO_EMU_OK;
	return vireo_emu_fault(e, EXC_AC, 0);
}

/**
 * emu_linearize_legacy() - limit and type of a segment outside of 64-bit mode
 * @e: context
 * @seg: segment
 * @ea: offset
 * @size: bytes
 * @write: they will be written
 * @la: result
 *
 * Return: VIREO_EMU_OK or VIREO_EMU_EXCEPTION.
 */
int emu_linearize_legacy(struct vireo_emu *e, u32 seg, u64 ea, u32 size, bool write,
			 u64 *la)
{
	const struct vireo_emu_segment *s = emu_seg(e, seg);
	u64 last = ea + size - 1;

	if (emu_is_prot(e)) {
		if (s->attr & VIREO_EMU_SEG_UNUSABLE)
			return emu_segment_fault(e, seg);
		if (s->attr & 8) {
			/* code: never written, read only if readable */
			if (write || !(s->attr & 2))
				return emu_gp(e);
		} else if (write && !(s->attr & 2)) {
			return emu_gp(e);
		}
	}
	if ((s->attr & 0xc) == 4) {
		/* expand-down: the limit is the last invalid offset */
		u64 top = s->attr & VIREO_EMU_SEG_DB ? 0xffffffffu : 0xffff;

		if (ea <= s->limit || last > top)
			return emu_segment_fault(e, seg);
	} else if (last > s->limit) {
		return emu_segment_fault(e, seg);
	}
	*la = (u32)(s->base + ea);
	return VIREO_EMU_OK;
}

/**
 * emu_linearize() - segmentation
 * @e: context
 * @seg: segment; FS and GS alone have a base in 64-bit mode
 * @ea: offset, truncated to the address size
 * @size: bytes that will be accessed, from there up
 * @write: they will be written
 * @la: result
 *
 * Return: VIREO_EMU_OK or VIREO_EMU_EXCEPTION.
 */
int emu_linearize(struct vireo_emu *e, u32 seg, u64 ea, u32 size, bool write, u64 *la)
{
	return emu_linearize_inline(e, seg, ea, size, write, la);
}

/**
 * emu_operand_at() - emu_operand_inline(), for those who are not in a hurry
 * @e: context
 * @ea: offset
 * @size: its size in bytes
 * @write: it will be written
 * @m: result
 *
 * Return: VIREO_EMU_OK or VIREO_EMU_EXCEPTION.
 */
int emu_operand_at(struct vireo_emu *e, u64 ea, u32 size, bool write, struct emu_mem *m)
{
	return emu_operand_inline(e, ea, size, write, m);
}

/**
 * emu_operand() - the memory operand of ModRM or moffs
 * @e: context
 * @size: its size in bytes
 * @write: it will be written
 * @m: result
 *
 * Return: VIREO_EMU_OK or VIREO_EMU_EXCEPTION.
 */
int emu_operand(struct vireo_emu *e, u32 size, bool write, struct emu_mem *m)
{
	return emu_operand_inline(e, emu_ea(e), size, write, m);
}

/* One piece of an operand: at most 8 bytes, within a page. */
struct piece {
	u64 la;
	u64 gpa;
	u32 len;
};

static struct piece next_piece(const struct vireo_emu *e, const struct emu_mem *m, u32 off, u32 size)
{
	struct piece p;
	u32 room;

	p.la = m->la + off;
	if (e->mode != VIREO_EMU_PROT64)
		p.la = (u32)p.la;
	room = 0x1000 - (p.la & 0xfff);
	p.len = size - off < 8 ? size - off : 8;
	if (p.len > room)
		p.len = room;
	p.gpa = VIREO_EMU_NO_GPA;
	if (m->gpa != VIREO_EMU_NO_GPA && !((p.la ^ m->la) & ~0xfffULL))
		p.gpa = m->gpa + off;
	return p;
}

/**
 * emu_read_wide() - read any operand: wide, crossing a page, or after a restart
 * @e: context
 * @m: where
 * @data: result
 * @size: its size in bytes
 * @flags: enum vireo_emu_access
 *
 * Return: enum vireo_emu_result.
 */
int emu_read_wide(struct vireo_emu *e, const struct emu_mem *m, void *data, u32 size, u32 flags)
{
	u32 off = 0;

	while (off < size) {
		u32 have = e->log_len - e->log_pos;
		struct piece p;
		int r;

		if (have) {
			/* Read before the restart, perhaps not all of it. */
			if (have > size - off)
				have = size - off;
			memcpy((u8 *)data + off, e->log + e->log_pos, have);
			e->log_pos += have;
			off += have;
			continue;
		}
		p = next_piece(e, m, off, size);
		if (unlikely(e->log_len + p.len > VIREO_EMU_LOG_SIZE))
			return VIREO_EMU_UNHANDLED;
		r = e->ops->read(e, p.la, p.gpa, (u8 *)data + off, p.len, flags);
		if (r)
			return r;
		memcpy(e->log + e->log_len, (u8 *)data + off, p.len);
		e->log_len += p.len;
		e->log_pos = e->log_len;
		off += p.len;
	}
	return VIREO_EMU_OK;
}

/**
 * emu_probe() - would a write succeed?
 * @e: context
 * @m: where
 * @size: in bytes
 *
 * Return: enum vireo_emu_result.
 */
int emu_probe(struct vireo_emu *e, const struct emu_mem *m, u32 size)
{
	u32 off = 0;

	while (off < size) {
		struct piece p = next_piece(e, m, off, size);
		int r = e->ops->probe(e, p.la, p.len, 0);

		if (r)
			return r;
		off += p.len;
	}
	return VIREO_EMU_OK;
}

/**
 * emu_write_wide() - write any operand: wide, crossing a page, or after a restart
 * @e: context
 * @m: where
 * @data: value
 * @size: its size in bytes
 *
 * Return: enum vireo_emu_result.
 */
int emu_write_wide(struct vireo_emu *e, const struct emu_mem *m, const void *data, u32 size)
{
	u32 off = 0;
	int r;

	/* Both pages must be writable before the first is touched. */
	if ((m->la & 0xfff) + size > 0x1000 && e->wr_pos >= e->wr_done) {
		r = emu_probe(e, m, size);
		if (r)
			return r;
	}
	while (off < size) {
		struct piece p = next_piece(e, m, off, size);

		if (e->wr_pos >= e->wr_done) {
			r = e->ops->write(e, p.la, p.gpa, (const u8 *)data + off, p.len, 0);
			if (r)
				return r;
			e->wr_done++;
		}
		e->wr_pos++;
		off += p.len;
	}
	return VIREO_EMU_OK;
}

/**
 * emu_cmpxchg() - compare and exchange a memory operand atomically
 * @e: context
 * @m: where
 * @old: in: expected value; out: value found
 * @new: value to store
 * @size: 1, 2, 4, 8 or 16
 *
 * An operand that crosses a page (a split lock) is written without atomicity: no
 * primitive of the host covers two pages.
 *
 * Return: enum vireo_emu_result.
 */
int emu_cmpxchg(struct vireo_emu *e, const struct emu_mem *m, void *old, const void *new,
		u32 size)
{
	u8 expected[16];
	u32 i;
	int r;

	if (unlikely((m->la & 0xfff) + size > 0x1000))
		return emu_write_wide(e, m, new, size);
	if (e->wr_pos >= e->wr_done) {
		memcpy(expected, old, size);
		r = (e->ops->cmpxchg)(e, m->la, m->gpa, old, new, size, VIREO_EMU_ACC_LOCK);
		if (r)
			return r;
		/* A write that was not made must not be skipped after a restart. */
		for (i = 0; i < size; i++)
			if (expected[i] != ((u8 *)old)[i])
				return VIREO_EMU_OK;
		e->wr_done++;
	}
	e->wr_pos++;
	return VIREO_EMU_OK;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine of machine.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"

#define ASSERT(x) do {								\
	if (!(x)) {								\
		fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #x);	\
		abort();							\
	}									\
} while (0)

static struct machine *of(struct vireo_emu *e)
{
	return (struct machine *)((char *)e - offsetof(struct machine, e));
}

u8 *machine_at(struct machine *m, u64 la)
{
	u64 off = la - m->mem_base;

	return off < MEM_SIZE ? m->mem + off : NULL;
}

static enum page_kind kind_of(struct machine *m, u64 la)
{
	u64 off = la - m->mem_base;

	return off < MEM_SIZE ? m->kind[off / 4096] : PG_NONE;
}

/* What the device has at an address. */
u8 machine_dev_byte(u64 la)
{
	return (u8)(la * 37 + 11);
}

static void check_piece(struct machine *m, u64 la, u64 gpa, u32 len)
{
	ASSERT(len >= 1 && len <= 8);
	ASSERT((la & 0xfff) + len <= 4096);
	if (gpa != VIREO_EMU_NO_GPA) {
		ASSERT(gpa == la + GPA_OFFSET);
		m->hints++;
	}
}

static int fault(struct vireo_emu *e, u64 la, bool write, u32 flags)
{
	struct machine *m = of(e);
	u32 err = write ? 2 : 0;

	if (kind_of(m, la) == PG_RO)
		err |= 1;
	if (m->cpl == 3 && !(flags & (VIREO_EMU_ACC_SYSTEM | VIREO_EMU_ACC_INNER)))
		err |= 4;
	return vireo_emu_page_fault(e, la, err);
}

static int m_read(struct vireo_emu *e, u64 la, u64 gpa, void *data, u32 len, u32 flags)
{
	struct machine *m = of(e);
	u32 i;

	check_piece(m, la, gpa, len);
	m->reads++;
	switch (kind_of(m, la)) {
	case PG_RO:
		if (flags & VIREO_EMU_ACC_RMW)
			return fault(e, la, true, flags);
		fallthrough;
	case PG_RW:
		memcpy(data, machine_at(m, la), len);
		return VIREO_EMU_OK;
	case PG_MMIO:
		if (flags & VIREO_EMU_ACC_MEMORY)
			return VIREO_EMU_UNHANDLED;
		m->dev_reads++;
		if (m->async) {
			m->pending = true;
			m->pending_la = la;
			m->pending_len = len;
			m->pending_unit = 1;
			return VIREO_EMU_USER;
		}
		for (i = 0; i < len; i++)
			((u8 *)data)[i] = machine_dev_byte(la + i);
		return VIREO_EMU_OK;
	default:
		return fault(e, la, flags & VIREO_EMU_ACC_RMW, flags);
	}
}

static int post(struct machine *m, u64 la, const void *data, u32 len)
{
	struct posted *p;

	if (m->post_room && m->posted_since == m->post_room)
		return VIREO_EMU_USER;
	m->posted_since++;
	p = &m->posted[m->nr_posted % POSTED_MAX];
	m->nr_posted++;
	p->la = la;
	p->len = len;
	p->data = 0;
	memcpy(&p->data, data, len < 8 ? len : 8);
	return VIREO_EMU_OK;
}

static int m_write(struct vireo_emu *e, u64 la, u64 gpa, const void *data, u32 len, u32 flags)
{
	struct machine *m = of(e);

	check_piece(m, la, gpa, len);
	m->writes++;
	switch (kind_of(m, la)) {
	case PG_RW:
		memcpy(machine_at(m, la), data, len);
		return VIREO_EMU_OK;
	case PG_MMIO:
		if (flags & VIREO_EMU_ACC_MEMORY)
			return VIREO_EMU_UNHANDLED;
		return post(m, la, data, len);
	default:
		return fault(e, la, true, flags);
	}
}

static int m_cmpxchg(struct vireo_emu *e, u64 la, u64 gpa, void *old, const void *new,
		     u32 len, u32 flags)
{
	struct machine *m = of(e);

	ASSERT(len == 1 || len == 2 || len == 4 || len == 8 || len == 16);
	ASSERT((la & 0xfff) + len <= 4096);
	ASSERT(flags & VIREO_EMU_ACC_LOCK);
	if (gpa != VIREO_EMU_NO_GPA)
		ASSERT(gpa == la + GPA_OFFSET);
	m->cmpxchgs++;
	switch (kind_of(m, la)) {
	case PG_RW:
		if (m->cmpxchg_fail) {
			/* somebody else was faster */
			m->cmpxchg_fail--;
			(*machine_at(m, la))++;
		}
		if (memcmp(machine_at(m, la), old, len))
			memcpy(old, machine_at(m, la), len);
		else
			memcpy(machine_at(m, la), new, len);
		return VIREO_EMU_OK;
	case PG_MMIO:
		if (flags & VIREO_EMU_ACC_MEMORY)
			return VIREO_EMU_UNHANDLED;
		return post(m, la, new, len);
	default:
		return fault(e, la, true, flags);
	}
}

static int m_probe(struct vireo_emu *e, u64 la, u32 len, u32 flags)
{
	ASSERT(len >= 1 && (la & 0xfff) + len <= 4096);
	switch (kind_of(of(e), la)) {
	case PG_MMIO:
		if (flags & VIREO_EMU_ACC_MEMORY)
			return VIREO_EMU_UNHANDLED;
		return VIREO_EMU_OK;
	case PG_RW:
		return VIREO_EMU_OK;
	default:
		return fault(e, la, true, flags);
	}
}

static int m_pio_in(struct vireo_emu *e, u16 port, u32 size, void *data, u32 count)
{
	struct machine *m = of(e);
	u32 i;

	ASSERT(size == 1 || size == 2 || size == 4);
	ASSERT(count >= 1 && size * count <= VIREO_EMU_LOG_SIZE);
	m->pio_in_calls++;
	if (m->async) {
		m->pending = true;
		m->pending_la = 0;
		m->pending_len = size * count;
		m->pending_unit = size;
		return VIREO_EMU_USER;
	}
	for (i = 0; i < size * count; i++)
		((u8 *)data)[i] = port + m->pio_seed++;
	return VIREO_EMU_OK;
}

static int m_pio_out(struct vireo_emu *e, u16 port, u32 size, const void *data, u32 count)
{
	struct machine *m = of(e);

	(void)port;
	ASSERT(size == 1 || size == 2 || size == 4);
	ASSERT(count >= 1 && size * count <= VIREO_EMU_LOG_SIZE);
	m->pio_out_calls++;
	if (m->post_room && m->posted_since == m->post_room)
		return VIREO_EMU_USER;
	m->posted_since++;
	if (m->pio_out_len + size * count <= sizeof(m->pio_out)) {
		memcpy(m->pio_out + m->pio_out_len, data, size * count);
		m->pio_out_len += size * count;
	}
	return VIREO_EMU_OK;
}

static u64 m_seg_base(struct vireo_emu *e, u32 seg)
{
	ASSERT(seg < VIREO_EMU_NR_SEGS);
	return of(e)->seg[seg].base;
}

static void m_get_seg(struct vireo_emu *e, u32 seg, struct vireo_emu_segment *s)
{
	ASSERT(seg < VIREO_EMU_NR_SEGS);
	of(e)->seg_calls++;
	*s = of(e)->seg[seg];
}

static u32 m_get_cpl(struct vireo_emu *e)
{
	return of(e)->cpl;
}

static void m_set_seg(struct vireo_emu *e, u32 seg, const struct vireo_emu_segment *s)
{
	ASSERT(seg < VIREO_EMU_NR_SEGS);
	of(e)->seg[seg] = *s;
	if (seg == VIREO_EMU_SS)
		of(e)->cpl = s->attr >> VIREO_EMU_SEG_DPL_SHIFT & 3;
}

static void m_get_dt(struct vireo_emu *e, u32 dt, u64 *base, u16 *limit)
{
	ASSERT(dt <= VIREO_EMU_IDTR);
	*base = of(e)->dt_base[dt];
	*limit = of(e)->dt_limit[dt];
}

static void m_set_dt(struct vireo_emu *e, u32 dt, u64 base, u16 limit)
{
	ASSERT(dt <= VIREO_EMU_IDTR);
	of(e)->dt_base[dt] = base;
	of(e)->dt_limit[dt] = limit;
}

static u64 *cr_of(struct machine *m, u32 nr)
{
	switch (nr) {
	case 0:
		return &m->cr0;
	case 2:
		return &m->cr2;
	case 3:
		return &m->cr3;
	case 4:
		return &m->cr4;
	default:
		ASSERT(nr == 8);
		return &m->cr8;
	}
}

static u64 m_get_cr(struct vireo_emu *e, u32 nr)
{
	return *cr_of(of(e), nr);
}

/* Not all checks, but the one of the architecture that everybody knows. */
static int m_set_cr(struct vireo_emu *e, u32 nr, u64 val)
{
	struct machine *m = of(e);

	if (nr == 0 && (val & 0x80000001) == 0x80000000)
		return vireo_emu_fault(e, 13, 0);
	*cr_of(m, nr) = val;
	if (nr == 0 && (m->efer & 0x100)) {
		m->efer &= ~0x400ULL;
		m->efer |= val >> 31 << 10 & 0x400;
	}
	return VIREO_EMU_OK;
}

static int m_get_dr(struct vireo_emu *e, u32 nr, u64 *val)
{
	ASSERT(nr < 4 || nr == 6 || nr == 7);
	*val = of(e)->dr[nr];
	return VIREO_EMU_OK;
}

static int m_set_dr(struct vireo_emu *e, u32 nr, u64 val)
{
	ASSERT(nr < 4 || nr == 6 || nr == 7);
	of(e)->dr[nr] = val;
	return VIREO_EMU_OK;
}

static u64 m_get_efer(struct vireo_emu *e)
{
	return of(e)->efer;
}

/* The value of an MSR, which comes into being if there is room. */
u64 *machine_msr(struct machine *m, u32 nr)
{
	u32 i;

	for (i = 0; i < 16; i++) {
		if (!m->msr[i].nr)
			m->msr[i].nr = nr;
		if (m->msr[i].nr == nr)
			return &m->msr[i].val;
	}
	return NULL;
}

static u64 *find_msr(struct machine *m, u32 nr)
{
	u32 i;

	if (nr == 0xc0000080)
		return &m->efer;
	for (i = 0; nr && i < 16; i++) {
		if (m->msr[i].nr == nr)
			return &m->msr[i].val;
	}
	return NULL;
}

static int m_get_msr(struct vireo_emu *e, u32 nr, u64 *val)
{
	u64 *p = find_msr(of(e), nr);

	if (!p)
		return vireo_emu_fault(e, 13, 0);
	*val = *p;
	return VIREO_EMU_OK;
}

static int m_set_msr(struct vireo_emu *e, u32 nr, u64 val)
{
	u64 *p = find_msr(of(e), nr);

	if (!p)
		return vireo_emu_fault(e, 13, 0);
	*p = val;
	return VIREO_EMU_OK;
}

static int m_sysop(struct vireo_emu *e, u32 op, u64 arg)
{
	of(e)->last_sysop = op + 1;
	of(e)->sysop_arg = arg;
	return VIREO_EMU_OK;
}

static u64 m_get_xcr0(struct vireo_emu *e)
{
	return of(e)->xcr0;
}

static int m_get_vec(struct vireo_emu *e, u32 nr, void *data, u32 len)
{
	ASSERT(nr < 16 && (len == 16 || len == 32 || len == 64));
	memcpy(data, of(e)->vec[nr], len);
	return VIREO_EMU_OK;
}

static int m_set_vec(struct vireo_emu *e, u32 nr, const void *data, u32 len, bool zero_upper)
{
	struct machine *m = of(e);

	ASSERT(nr < 16 && (len == 16 || len == 32 || len == 64));
	memcpy(m->vec[nr], data, len);
	if (zero_upper)
		memset(m->vec[nr] + len, 0, 64 - len);
	return VIREO_EMU_OK;
}

const struct vireo_emu_ops machine_ops = {
	.read = m_read,
	.write = m_write,
	.cmpxchg = m_cmpxchg,
	.probe = m_probe,
	.pio_in = m_pio_in,
	.pio_out = m_pio_out,
	.seg_base = m_seg_base,
	.get_seg = m_get_seg,
	.set_seg = m_set_seg,
	.get_dt = m_get_dt,
	.set_dt = m_set_dt,
	.get_cpl = m_get_cpl,
	.get_cr = m_get_cr,
	.set_cr = m_set_cr,
	.get_dr = m_get_dr,
	.set_dr = m_set_dr,
	.get_efer = m_get_efer,
	.get_msr = m_get_msr,
	.set_msr = m_set_msr,
	.sysop = m_sysop,
	.get_xcr0 = m_get_xcr0,
	.get_vec = m_get_vec,
	.set_vec = m_set_vec,
};

/**
 * machine_init() - a machine in a plain state: flat segments, all memory writable
 * @m: machine; m->mem, if set, is kept
 * @mode: enum vireo_emu_mode
 */
void machine_init(struct machine *m, u32 mode)
{
	u32 i, data, code;
	u8 *mem = m->mem;

	memset(m, 0, sizeof(*m));
	m->mem = mem ? mem : calloc(1, MEM_SIZE);
	m->mem_base = mode < VIREO_EMU_PROT16 ? 0 : 0x10000;
	m->e.ops = &machine_ops;
	m->e.regs = m->regs;
	m->e.gpa = VIREO_EMU_NO_GPA;
	m->e.mode = mode;
	m->e.rflags = 2;
	m->cr0 = mode < VIREO_EMU_VM86 ? 0x10 : 0x80000011;
	m->cr4 = 0x40600;
	m->xcr0 = 7;
	m->cpl = mode == VIREO_EMU_VM86 ? 3 : 0;
	data = 0xc093;
	code = 0xc09b;
	if (mode == VIREO_EMU_PROT64)
		code = 0xa09b;
	else if (mode == VIREO_EMU_PROT16)
		data = 0x93, code = 0x9b;
	else if (mode < VIREO_EMU_PROT16)
		data = 0x93, code = mode == VIREO_EMU_REAL32 ? 0x4093 : 0x93;
	for (i = 0; i < VIREO_EMU_NR_SEGS; i++) {
		m->seg[i].attr = i == VIREO_EMU_CS ? code : data;
		m->seg[i].limit = mode < VIREO_EMU_PROT32 && mode != VIREO_EMU_REAL32 ?
				  0xffff : 0xffffffff;
		m->seg[i].selector = 8 * i + 8;
	}
	if (mode == VIREO_EMU_PROT16) {
		for (i = 0; i < VIREO_EMU_NR_DATA_SEGS; i++)
			m->seg[i].base = m->mem_base;
	}
	m->seg[VIREO_EMU_LDTR].attr = VIREO_EMU_SEG_UNUSABLE;
	m->seg[VIREO_EMU_TR].attr = 0x8b;
	m->seg[VIREO_EMU_TR].limit = 0x67;
	m->efer = mode == VIREO_EMU_PROT64 ? 0x501 : 0;
	if (m->cpl)
		m->seg[VIREO_EMU_SS].attr |= VIREO_EMU_SEG_DPL;
	if (mode < VIREO_EMU_PROT16)
		m->dt_limit[VIREO_EMU_IDTR] = 0x3ff;
}

/* Decode and execute once. */
int machine_step(struct machine *m, const u8 *bytes, u32 len)
{
	int r = vireo_emu_decode(&m->e, bytes, len);

	return r ? r : vireo_emu_execute(&m->e);
}

/* What user space does between two runs. */
void machine_answer(struct machine *m)
{
	u8 data[VIREO_EMU_LOG_SIZE];
	u32 i, n;

	m->posted_since = 0;
	if (!m->pending)
		return;
	m->pending = false;
	n = m->pending_len;
	if (m->answer_limit && n > m->answer_limit)
		n = m->answer_limit < m->pending_unit ? m->pending_unit :
			m->answer_limit - m->answer_limit % m->pending_unit;
	for (i = 0; i < n; i++)
		data[i] = m->pending_la ? machine_dev_byte(m->pending_la + i) :
					  (u8)m->pio_seed++;
	ASSERT(vireo_emu_complete_read(&m->e, data, n));
}

/* Decode and execute to the end, answering as user space would. */
int machine_run(struct machine *m, const u8 *bytes, u32 len)
{
	int r = vireo_emu_decode(&m->e, bytes, len), turns = 0;

	if (r)
		return r;
	for (;;) {
		r = vireo_emu_execute(&m->e);
		if (r == VIREO_EMU_USER)
			machine_answer(m);
		else if (r != VIREO_EMU_RESTART)
			return r;
		if (++turns > 100000)
			return VIREO_EMU_RESTART;
	}
}

int tap_count, tap_failed;

void tap_ok(bool ok, const char *fmt, ...)
{
	va_list ap;

	printf("%s %d - ", ok ? "ok" : "not ok", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!ok)
		tap_failed++;
}

void tap_skip(const char *why, const char *name)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_count, name, why);
}

int tap_done(void)
{
	printf("1..%d\n", tap_count);
	fflush(stdout);
	return tap_failed ? 1 : 0;
}

void diag(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole processor of system.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "random.h"
#include "system.h"
#include "../../kmod/emulate/internal.h"

#define ASSERT(x) do {								\
	if (!(x)) {								\
		fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #x);	\
		abort();							\
	}									\
} while (0)

#define CR0_PG		0x80000000u

static struct system *of(struct vireo_emu *e)
{
	return (struct system *)((char *)e - offsetof(struct system, e));
}

/* Something goes wrong in this callback? */
static bool trouble(struct system *s)
{
	return ++s->calls == s->trouble_at;
}

/*
 * The same for memory. What is done again from its start, because it keeps no
 * record, need not be prepared for that once it has begun to write.
 */
static bool memory_trouble(struct system *s, u32 flags)
{
	return trouble(s) && !(s->trouble_result == VIREO_EMU_USER && s->writes &&
			       (flags & VIREO_EMU_ACC_MEMORY));
}

static int answer(struct system *s)
{
	switch (s->trouble_result) {
	case VIREO_EMU_EXCEPTION:
		return vireo_emu_page_fault(&s->e, 0x12345000, 2);
	default:
		return s->trouble_result;
	}
}

static int check(struct system *s, u64 la, u32 len, bool write, u32 flags)
{
	ASSERT(len >= 1 && (la & 0xfff) + len <= 4096);
	if (la >= FLAT_MEM)
		return vireo_emu_page_fault(&s->e, la, (write ? 2 : 0) |
					    (system_cpl(s) == 3 &&
					     !(flags & (VIREO_EMU_ACC_SYSTEM |
						VIREO_EMU_ACC_INNER)) ? 4 : 0));
	return VIREO_EMU_OK;
}

static int s_read(struct vireo_emu *e, u64 la, u64 gpa, void *data, u32 len, u32 flags)
{
	struct system *s = of(e);
	int r;

	(void)gpa;
	ASSERT(len <= 8);
	r = check(s, la, len, flags & VIREO_EMU_ACC_RMW, flags);
	if (r)
		return r;
	if (memory_trouble(s, flags)) {
		if (s->trouble_result == VIREO_EMU_USER && !(flags & VIREO_EMU_ACC_MEMORY)) {
			s->pending = true;
			s->pending_port = false;
			s->pending_la = la;
			s->pending_len = len;
		}
		return answer(s);
	}
	memcpy(data, s->mem + la, len);
	return VIREO_EMU_OK;
}

static int s_write(struct vireo_emu *e, u64 la, u64 gpa, const void *data, u32 len, u32 flags)
{
	struct system *s = of(e);
	int r;

	(void)gpa;
	ASSERT(len <= 8);
	r = check(s, la, len, true, flags);
	if (r)
		return r;
	/* A fault that a probe should have found: only the first write may have one. */
	if (memory_trouble(s, flags) && (s->trouble_result == VIREO_EMU_USER || !s->writes))
		return answer(s);
	memcpy(s->mem + la, data, len);
	s->writes++;
	return VIREO_EMU_OK;
}

static int s_cmpxchg(struct vireo_emu *e, u64 la, u64 gpa, void *old, const void *new,
		     u32 len, u32 flags)
{
	struct system *s = of(e);
	int r;

	(void)gpa;
	ASSERT(len == 1 || len == 2 || len == 4 || len == 8 || len == 16);
	ASSERT(flags & VIREO_EMU_ACC_LOCK);
	r = check(s, la, len, true, flags);
	if (r)
		return r;
	if (memory_trouble(s, flags) && (s->trouble_result == VIREO_EMU_USER || !s->writes))
		return answer(s);
	if (memcmp(s->mem + la, old, len)) {
		memcpy(old, s->mem + la, len);
	} else {
		memcpy(s->mem + la, new, len);
		s->writes++;
	}
	return VIREO_EMU_OK;
}

static int s_probe(struct vireo_emu *e, u64 la, u32 len, u32 flags)
{
	struct system *s = of(e);
	int r = check(s, la, len, true, flags);

	if (r)
		return r;
	return trouble(s) && s->trouble_result != VIREO_EMU_USER ? answer(s) : VIREO_EMU_OK;
}

/**
 * system_port() - what is read from a port
 * @port: port
 * @size: 1, 2 or 4
 * @count: how much was read before
 *
 * Return: the value.
 */
u32 system_port(u16 port, u32 size, u64 count)
{
	return (u32)((port * 0x9e3779b9u) ^ (count * 0x01010101u)) & (u32)emu_mask(size);
}

static int s_pio_in(struct vireo_emu *e, u16 port, u32 size, void *data, u32 count)
{
	struct system *s = of(e);
	u32 i, v;

	ASSERT((size == 1 || size == 2 || size == 4) && count >= 1);
	ASSERT(size * count <= VIREO_EMU_LOG_SIZE);
	if (trouble(s)) {
		if (s->trouble_result == VIREO_EMU_USER) {
			s->pending = true;
			s->pending_port = true;
			s->pending_la = port;
			s->pending_len = size;
		}
		return answer(s);
	}
	for (i = 0; i < count; i++) {
		v = system_port(port, size, s->ports++);
		memcpy((u8 *)data + i * size, &v, size);
	}
	return VIREO_EMU_OK;
}

static int s_pio_out(struct vireo_emu *e, u16 port, u32 size, const void *data, u32 count)
{
	struct system *s = of(e);
	u32 i, v;

	ASSERT((size == 1 || size == 2 || size == 4) && count >= 1);
	ASSERT(size * count <= VIREO_EMU_LOG_SIZE);
	if (trouble(s))
		return answer(s);
	for (i = 0; i < count; i++) {
		v = 0;
		memcpy(&v, (const u8 *)data + i * size, size);
		s->port_sum = s->port_sum * 31 + v + port;
	}
	return VIREO_EMU_OK;
}

static u64 s_seg_base(struct vireo_emu *e, u32 seg)
{
	ASSERT(seg < VIREO_EMU_NR_SEGS);
	return of(e)->seg[seg].base;
}

static void s_get_seg(struct vireo_emu *e, u32 seg, struct vireo_emu_segment *to)
{
	ASSERT(seg < VIREO_EMU_NR_SEGS);
	*to = of(e)->seg[seg];
}

static void s_set_seg(struct vireo_emu *e, u32 seg, const struct vireo_emu_segment *from)
{
	ASSERT(seg < VIREO_EMU_NR_SEGS);
	of(e)->seg[seg] = *from;
}

static void s_get_dt(struct vireo_emu *e, u32 dt, u64 *base, u16 *limit)
{
	ASSERT(dt < 2);
	*base = of(e)->dt[dt].base;
	*limit = of(e)->dt[dt].limit;
}

static void s_set_dt(struct vireo_emu *e, u32 dt, u64 base, u16 limit)
{
	ASSERT(dt < 2);
	of(e)->dt[dt].base = base;
	of(e)->dt[dt].limit = limit;
}

static u32 s_get_cpl(struct vireo_emu *e)
{
	return system_cpl(of(e));
}

static bool has_cr(u32 nr)
{
	return nr == 0 || (nr >= 2 && nr <= 4) || nr == 8;
}

static u64 s_get_cr(struct vireo_emu *e, u32 nr)
{
	ASSERT(has_cr(nr));
	return of(e)->cr[nr];
}

static int s_set_cr(struct vireo_emu *e, u32 nr, u64 val)
{
	struct system *s = of(e);

	ASSERT(has_cr(nr));
	if (nr == 0 && (val & CR0_PG) && !(val & CR0_PE))
		return emu_gp(e);
	s->cr[nr] = val;
	return VIREO_EMU_OK;
}

static int s_get_dr(struct vireo_emu *e, u32 nr, u64 *val)
{
	ASSERT(nr < 8);
	*val = of(e)->dr[nr];
	return VIREO_EMU_OK;
}

static int s_set_dr(struct vireo_emu *e, u32 nr, u64 val)
{
	ASSERT(nr < 8);
	of(e)->dr[nr] = val;
	return VIREO_EMU_OK;
}

static u64 s_get_efer(struct vireo_emu *e)
{
	return *system_msr(of(e), MSR_EFER);
}

static int s_get_msr(struct vireo_emu *e, u32 msr, u64 *val)
{
	u64 *p = system_msr(of(e), msr);

	if (!p)
		return emu_gp(e);
	*val = *p;
	return VIREO_EMU_OK;
}

static int s_set_msr(struct vireo_emu *e, u32 msr, u64 val)
{
	u64 *p = system_msr(of(e), msr);

	if (!p || msr == MSR_EFER)
		return emu_gp(e);
	*p = val;
	return VIREO_EMU_OK;
}

static u64 s_get_xcr0(struct vireo_emu *e)
{
	return of(e)->xcr0;
}

static int s_get_vec(struct vireo_emu *e, u32 nr, void *data, u32 len)
{
	ASSERT(nr < 16 && (len == 16 || len == 32 || len == 64));
	memcpy(data, of(e)->vec[nr], len);
	return VIREO_EMU_OK;
}

static int s_set_vec(struct vireo_emu *e, u32 nr, const void *data, u32 len, bool zero_upper)
{
	struct system *s = of(e);

	ASSERT(nr < 16 && (len == 16 || len == 32 || len == 64));
	memcpy(s->vec[nr], data, len);
	if (zero_upper)
		memset(s->vec[nr] + len, 0, 64 - len);
	return VIREO_EMU_OK;
}

static int s_sysop(struct vireo_emu *e, u32 op, u64 arg)
{
	struct system *s = of(e);

	(void)op;
	(void)arg;
	s->sysops++;
	return trouble(s) ? answer(s) : VIREO_EMU_OK;
}

const struct vireo_emu_ops system_ops = {
	.read = s_read,
	.write = s_write,
	.cmpxchg = s_cmpxchg,
	.probe = s_probe,
	.pio_in = s_pio_in,
	.pio_out = s_pio_out,
	.seg_base = s_seg_base,
	.get_seg = s_get_seg,
	.set_seg = s_set_seg,
	.get_dt = s_get_dt,
	.set_dt = s_set_dt,
	.get_cpl = s_get_cpl,
	.get_cr = s_get_cr,
	.set_cr = s_set_cr,
	.get_dr = s_get_dr,
	.set_dr = s_set_dr,
	.get_efer = s_get_efer,
	.get_msr = s_get_msr,
	.set_msr = s_set_msr,
	.get_xcr0 = s_get_xcr0,
	.get_vec = s_get_vec,
	.set_vec = s_set_vec,
	.sysop = s_sysop,
};

/**
 * system_complete() - what user space does between two runs
 * @s: system whose callback said VIREO_EMU_USER
 */
void system_complete(struct system *s)
{
	u64 v;

	if (!s->pending)
		return;
	s->pending = false;
	if (s->pending_port) {
		v = system_port(s->pending_la, s->pending_len, s->ports++);
		ASSERT(vireo_emu_complete_read(&s->e, &v, s->pending_len));
	} else {
		ASSERT(vireo_emu_complete_read(&s->e, s->mem + s->pending_la, s->pending_len));
	}
}

/**
 * system_finish() - go on until the instruction is done
 * @s: system
 * @r: what vireo_emu_execute() said
 *
 * Return: VIREO_EMU_OK, VIREO_EMU_EXCEPTION, VIREO_EMU_UNHANDLED, or -1 if there is no end.
 */
int system_finish(struct system *s, int r)
{
	u32 turns = 0;

	while (r == VIREO_EMU_USER || r == VIREO_EMU_RESTART) {
		if (r == VIREO_EMU_USER)
			system_complete(s);
		if (++turns > 20000)
			return -1;
		r = vireo_emu_execute(&s->e);
	}
	return r;
}


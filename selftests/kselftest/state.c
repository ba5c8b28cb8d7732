// SPDX-License-Identifier: GPL-2.0-only
/*
 * State blocks: what is set is what is read, for each block; malformed sequences are
 * refused as a whole and change nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

#define ROOM 65536
#define VCPU_BLOCKS ((1ULL << VIREO_BLOCK_CLOCK) - 2)

GUEST(out_once, 64, "1: out %al, $0x10\n jmp 1b");

FIXTURE(state) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	u8 *buf, *before, *after;
};

FIXTURE_SETUP(state)
{
	close(vt_open_or_skip());
	vt_guest64(&self->vm, &self->cpu, out_once, 0x1111, 0x2222);
	self->buf = calloc(1, ROOM);
	self->before = calloc(1, ROOM);
	self->after = calloc(1, ROOM);
}

FIXTURE_TEARDOWN(state)
{
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
	free(self->buf);
	free(self->before);
	free(self->after);
}

static int get(int fd, u64 types, void *buf, u32 *len)
{
	struct vireo_state s = { .size = sizeof(s), .types = types, .buf = (u64)buf, .len = *len };
	int r = vt_ioctl(fd, VIREO_GET_STATE, &s);

	*len = s.len;
	return r;
}

static int set(int fd, const void *buf, u32 len)
{
	struct vireo_state s = { .size = sizeof(s), .buf = (u64)buf, .len = len };

	return vt_ioctl(fd, VIREO_SET_STATE, &s);
}

static struct vireo_block *find(void *buf, u32 len, u16 type)
{
	u32 at = 0;

	while (at + sizeof(struct vireo_block) <= len) {
		struct vireo_block *b = buf + at;

		if (b->type == type)
			return b;
		at += sizeof(*b) + ((b->len + 7) & ~7U);
	}
	return NULL;
}

/* All but the clocks, which run: what a refused call must not have changed. */
#define STILL (VCPU_BLOCKS & ~(1ULL << VIREO_BLOCK_TSC) & ~(1ULL << VIREO_BLOCK_MSRS) & ~(1ULL << VIREO_BLOCK_LAPIC))

static u32 snapshot(struct __test_metadata *_metadata, int fd, u8 *buf)
{
	u32 len = ROOM;

	memset(buf, 0, ROOM);
	EXPECT_EQ(0, get(fd, STILL, buf, &len));
	return len;
}

#define EXPECT_UNCHANGED() do {						\
	EXPECT_EQ(length, snapshot(_metadata, self->cpu.fd, self->after));	\
	EXPECT_EQ(0, memcmp(self->before, self->after, ROOM));		\
} while (0)

TEST_F(state, all_blocks_round_trip)
{
	u32 len = 0, again, type, seen = 0;
	struct vireo_block *b;

	EXPECT_EQ(-ENOSPC, get(self->cpu.fd, VCPU_BLOCKS, self->buf, &len));
	EXPECT_GT(len, 1000);
	again = len - 1;
	EXPECT_EQ(-ENOSPC, get(self->cpu.fd, VCPU_BLOCKS, self->buf, &again));
	EXPECT_EQ(len, again);
	again = ROOM;
	EXPECT_EQ(0, get(self->cpu.fd, VCPU_BLOCKS, self->buf, &again));
	EXPECT_EQ(len, again);
	for (type = VIREO_BLOCK_REGS; type < VIREO_BLOCK_CLOCK; type++) {
		b = find(self->buf, len, type);
		ASSERT_NE(NULL, b);
		EXPECT_EQ(1, b->version);
		seen++;
	}
	EXPECT_EQ(8, seen);
	EXPECT_EQ(0, set(self->cpu.fd, self->buf, len));
	len = snapshot(_metadata, self->cpu.fd, self->after);
	/* into another vCPU of another VM: the same state */
	{
		struct vt_vcpu cpu;
		struct vt_vm vm;

		vt_vm_create(&vm, VT_MEMORY);
		vt_vcpu_create(&vm, &cpu, 0);
		EXPECT_EQ(0, set(cpu.fd, self->buf, again));
		EXPECT_EQ(len, snapshot(_metadata, cpu.fd, self->before));
		EXPECT_EQ(0, memcmp(self->before, self->after, len));
		/* and it runs */
		memcpy(vm.mem, self->vm.mem, VT_MEMORY);
		EXPECT_GE(vt_run_to_out(&cpu, 0x10), 0);
		vt_vcpu_close(&cpu);
		vt_vm_close(&vm);
	}
	EXPECT_GE(vt_run_to_out(&self->cpu, 0x10), 0);
}

TEST_F(state, registers)
{
	struct vireo_regs r, q;
	unsigned int i;

	for (i = 0; i < 16; i++)
		r.gpr[i] = 0x0123456789abcdefULL * (i + 1);
	r.rip = VT_CODE;
	r.rflags = 0xcd7;
	EXPECT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_REGS, &r, sizeof(r)));
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &q, sizeof(q)));
	EXPECT_EQ(0, memcmp(&r, &q, sizeof(r)));
	EXPECT_EQ((u8)r.gpr[0], vt_run_to_out(&self->cpu, 0x10));
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &q, sizeof(q)));
	EXPECT_EQ(0, memcmp(r.gpr, q.gpr, sizeof(r.gpr)));
	EXPECT_EQ(VT_CODE + 2, q.rip);
	r.rflags = 1ULL << 40 | 2;
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_REGS, &r, sizeof(r)));
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &r, sizeof(r)));
	EXPECT_EQ(0, memcmp(&r, &q, sizeof(r)));
}

TEST_F(state, page_registers)
{
	struct vireo_run *p = self->cpu.run;

	/* given and wanted through the shared page */
	memset(&p->regs, 0, sizeof(p->regs));
	p->regs.rip = VT_CODE;
	p->regs.rflags = 2;
	p->regs.gpr[0] = 0x42;
	p->regs.gpr[15] = 0x4242424242424242;
	p->gives = VIREO_GIVE_REGS;
	p->wants = VIREO_WANT_REGS | VIREO_WANT_SREGS;
	EXPECT_EQ(0x42, vt_run_to_out(&self->cpu, 0x10));
	EXPECT_EQ(0, p->gives);
	EXPECT_EQ(0x4242424242424242, p->regs.gpr[15]);
	EXPECT_EQ(VT_CODE + 2, p->regs.rip);
	EXPECT_EQ(0x500, p->sregs.efer & 0x500);
	/* bad ones: refused */
	p->gives = 1U << 31;
	EXPECT_EQ(-EINVAL, vt_run(&self->cpu));
	p->gives = VIREO_GIVE_REGS;
	p->regs.rflags = 1ULL << 50;
	EXPECT_EQ(-EINVAL, vt_run(&self->cpu));
	p->gives = VIREO_GIVE_SREGS;
	p->sregs.cr0 = 0x80000000;	/* paging without protection */
	EXPECT_EQ(-EINVAL, vt_run(&self->cpu));
	p->gives = 0;
	p->wants = 1U << 31;
	EXPECT_EQ(-EINVAL, vt_run(&self->cpu));
	p->wants = 0;
	EXPECT_GE(vt_run_to_out(&self->cpu, 0x10), 0);
}

TEST_F(state, system_registers_refused)
{
	struct vireo_sregs good, s;
	u32 length = snapshot(_metadata, self->cpu.fd, self->before);

	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_SREGS, &good, sizeof(good)));
#define BAD(change) do {							\
	s = good;								\
	change;									\
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_SREGS, &s, sizeof(s))) \
		TH_LOG("%s", #change);						\
} while (0)
	BAD(s.cr0 = 0x80000000);		/* PG without PE */
	BAD(s.cr0 = good.cr0 | 1ULL << 40);
	BAD(s.cr0 = (good.cr0 | 1 << 29) & ~(1ULL << 30));	/* NW without CD */
	BAD(s.cr4 = good.cr4 | 1ULL << 45);
	BAD(s.cr4 = good.cr4 & ~0x20ULL);	/* long mode without PAE */
	BAD(s.cr8 = 16);
	BAD(s.efer = good.efer | 1ULL << 33);
	BAD(s.xcr0 = 0);
	BAD(s.xcr0 = 1ULL << 61 | 1);
	BAD(s.gdt.pad[0] = 1);
	BAD(s.idt.base = 1ULL << 62);
	BAD(s.seg[VIREO_SEG_CS].pad = 1);
	BAD(s.seg[VIREO_SEG_DS].pad2 = 1);
	BAD(s.seg[VIREO_SEG_SS].attr = 1U << 20);
	BAD(s.seg[VIREO_SEG_FS].base = 1ULL << 62);
	BAD(s.cr3 = 1ULL << 60);
#undef BAD
	EXPECT_UNCHANGED();
	EXPECT_GE(vt_run_to_out(&self->cpu, 0x10), 0);
}

TEST_F(state, debug_registers)
{
	struct vireo_debugregs d = { { 0x1000, 0x2000, 0x3000, 0x4000 }, 0xffff0ff0, 0x400 }, q;

	EXPECT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_DEBUGREGS, &d, sizeof(d)));
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_DEBUGREGS, &q, sizeof(q)));
	EXPECT_EQ(0, memcmp(&d, &q, sizeof(d)));
	EXPECT_GE(vt_run_to_out(&self->cpu, 0x10), 0);
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_DEBUGREGS, &q, sizeof(q)));
	EXPECT_EQ(0, memcmp(&d, &q, sizeof(d)));
	d.dr7 = 1ULL << 32;
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_DEBUGREGS, &d, sizeof(d)));
	d.dr7 = 0x400;
	d.dr6 = 1ULL << 32;
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_DEBUGREGS, &d, sizeof(d)));
}

TEST_F(state, xsave)
{
	u8 area[4096] = { 0 }, other[4096] = { 0 };
	u32 len = ROOM, i;
	struct vireo_block *b;

	ASSERT_EQ(0, get(self->cpu.fd, 1 << VIREO_BLOCK_XSAVE, self->buf, &len));
	b = (void *)self->buf;
	EXPECT_GE(b->len, 576);
	EXPECT_LE(b->len, 4096);
	len = b->len;
	memcpy(area, b + 1, len);
	for (i = 0; i < 256; i++)
		area[160 + i] = i;		/* XMM registers */
	area[512] |= 3;				/* XSTATE_BV: x87, SSE */
	EXPECT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_XSAVE, area, len));
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_XSAVE, other, len));
	EXPECT_EQ(0, memcmp(area + 160, other + 160, 256));
	EXPECT_GE(vt_run_to_out(&self->cpu, 0x10), 0);
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_XSAVE, other, len));
	EXPECT_EQ(0, memcmp(area + 160, other + 160, 256));
	memcpy(other, area, len);
	other[519] = 0x80;			/* component 63 */
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_XSAVE, other, len));
	memcpy(other, area, len);
	other[520] = 1;				/* XCOMP_BV */
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_XSAVE, other, len));
	memcpy(other, area, len);
	other[560] = 1;				/* reserved */
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_XSAVE, other, len));
	memcpy(other, area, len);
	other[27] = 0x80;			/* MXCSR, reserved bits */
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_XSAVE, other, len));
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_XSAVE, area, 512));
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_XSAVE, area, 0));
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_XSAVE, other, len));
	EXPECT_EQ(0, memcmp(area + 160, other + 160, 256));
}

TEST_F(state, msrs)
{
	struct vireo_msr m[3] = { { 0xc0000082, 0, 0xffff800012345678 },
				  { 0x174, 0, 0x18 }, { 0xc0000102, 0, 0x7000 } }, q[3];
	struct vireo_msr big[VIREO_MAX_MSRS + 1];
	u64 v;

	EXPECT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_MSRS, m, sizeof(m)));
	memcpy(q, m, sizeof(q));
	q[0].data = q[1].data = q[2].data = 0;
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_MSRS, q, sizeof(q)));
	EXPECT_EQ(0, memcmp(m, q, sizeof(m)));
	EXPECT_EQ(-ENOENT, vt_get_msr(self->cpu.fd, 0xdeadbeef, &v));
	EXPECT_EQ(-ENOENT, vt_set_msr(self->cpu.fd, 0xdeadbeef, 0));
	/* a bad one in the middle: the others are not set either */
	m[0].data = 0xffff800000000000;
	m[1].index = 0xdeadbeef;
	EXPECT_EQ(-ENOENT, vt_set(self->cpu.fd, VIREO_BLOCK_MSRS, m, sizeof(m)));
	EXPECT_EQ(0, vt_get_msr(self->cpu.fd, 0xc0000082, &v));
	EXPECT_EQ(0xffff800012345678, v);
	m[1].index = 0x174;
	m[2].data = 1ULL << 62;			/* not canonical */
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_MSRS, m, sizeof(m)));
	EXPECT_EQ(0, vt_get_msr(self->cpu.fd, 0xc0000082, &v));
	EXPECT_EQ(0xffff800012345678, v);
	m[2].data = 0;
	m[1].pad = 1;
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_MSRS, m, sizeof(m)));
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_MSRS, m, sizeof(m) - 1));
	memset(big, 0, sizeof(big));
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_MSRS, big, sizeof(big)));
}

TEST_F(state, lapic)
{
	struct vireo_lapic l, q;

	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_LAPIC, &l, sizeof(l)));
	EXPECT_EQ(0x10, l.regs[3] & 0xf0);	/* version */
	l.regs[0xf] = 0x1ff;			/* spurious vector: enabled */
	l.regs[0x20 + 2] = 1U << 5;		/* IRR: vector 0x45 */
	EXPECT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_LAPIC, &l, sizeof(l)));
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_LAPIC, &q, sizeof(q)));
	EXPECT_EQ(0x1ff, q.regs[0xf]);
	EXPECT_EQ(1U << 5, q.regs[0x22]);
	EXPECT_GE(vt_run_to_out(&self->cpu, 0x10), 0);
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_LAPIC, &q, sizeof(q)));
	EXPECT_EQ(1U << 5, q.regs[0x22]);
}

TEST_F(state, events)
{
	struct vireo_events e, q;
	u32 length;

	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_EVENTS, &e, sizeof(e)));
	EXPECT_EQ(VIREO_MP_RUNNABLE, e.mp_state);
	EXPECT_EQ(0, e.event.valid);
	e.nmi_masked = 1;
	e.nmi_pending = 1;
	EXPECT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_EVENTS, &e, sizeof(e)));
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_EVENTS, &q, sizeof(q)));
	EXPECT_EQ(0, memcmp(&e, &q, sizeof(e)));
	EXPECT_GE(vt_run_to_out(&self->cpu, 0x10), 0);
	EXPECT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_EVENTS, &q, sizeof(q)));
	EXPECT_EQ(1, q.nmi_pending);
	EXPECT_EQ(1, q.nmi_masked);
	length = snapshot(_metadata, self->cpu.fd, self->before);
#define BAD(change) do {							\
	e = q;									\
	change;									\
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_EVENTS, &e, sizeof(e))) \
		TH_LOG("%s", #change);						\
} while (0)
	BAD(e.nmi_pending = 3);
	BAD(e.nmi_masked = 2);
	BAD(e.shadow = 3);
	BAD(e.mp_state = VIREO_MP_NR);
	BAD(e.init_pending = 2);
	BAD(e.sipi_pending = 2);
	BAD(e.pad = 1);
	BAD(e.event.valid = 2);
	BAD((e.event.valid = 1, e.event.type = 1));
	BAD((e.event.valid = 1, e.event.type = VIREO_EVENT_EXCEPTION, e.event.vector = 32));
	BAD((e.event.valid = 1, e.event.type = VIREO_EVENT_NMI, e.event.vector = 3));
	BAD((e.event.valid = 1, e.event.pad[0] = 1));
#undef BAD
	EXPECT_UNCHANGED();
}

TEST_F(state, tsc)
{
	struct vireo_tsc t, q;

	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_TSC, &t, sizeof(t)));
	EXPECT_GT(t.khz, 1000);
	t.value += 1ULL << 50;
	EXPECT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_TSC, &t, sizeof(t)));
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_TSC, &q, sizeof(q)));
	EXPECT_GE(q.value, t.value);
	EXPECT_LT(q.value, t.value + (1ULL << 40));
	t.pad = 1;
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_TSC, &t, sizeof(t)));
	t.pad = 0;
	t.khz = 0;
	EXPECT_EQ(-EINVAL, vt_set(self->cpu.fd, VIREO_BLOCK_TSC, &t, sizeof(t)));
}

/* The host's counter does not stand between two calls, and yet nothing is lost. */
TEST_F(state, tsc_offset)
{
	struct vireo_tsc_offset o, q;
	struct vireo_tsc t, u;

	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_TSC_OFFSET, &o, sizeof(o)));
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_TSC, &t, sizeof(t)));
	EXPECT_LE(t.value - o.offset, __builtin_ia32_rdtsc());
	o.offset += 1ULL << 50;
	EXPECT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_TSC_OFFSET, &o, sizeof(o)));
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_TSC_OFFSET, &q, sizeof(q)));
	EXPECT_EQ(o.offset, q.offset);
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_TSC, &u, sizeof(u)));
	EXPECT_GE(u.value, t.value + (1ULL << 50));
	EXPECT_LT(u.value, t.value + (1ULL << 50) + (1ULL << 40));
	/* Set as a time, it is another distance. */
	EXPECT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_TSC, &t, sizeof(t)));
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_TSC_OFFSET, &q, sizeof(q)));
	EXPECT_LT((long long)q.offset, (long long)o.offset);
}

TEST_F(state, clock)
{
	struct vireo_clock c = { 0 }, q;
	struct vireo_regs r;

	ASSERT_EQ(0, vt_get(self->vm.fd, VIREO_BLOCK_CLOCK, &c, sizeof(c)));
	ASSERT_EQ(0, vt_get(self->vm.fd, VIREO_BLOCK_CLOCK, &q, sizeof(q)));
	EXPECT_GE(q.ns, c.ns);
	c.ns = 1ULL << 50;
	EXPECT_EQ(0, vt_set(self->vm.fd, VIREO_BLOCK_CLOCK, &c, sizeof(c)));
	ASSERT_EQ(0, vt_get(self->vm.fd, VIREO_BLOCK_CLOCK, &q, sizeof(q)));
	EXPECT_GE(q.ns, c.ns);
	EXPECT_LT(q.ns, c.ns + 60000000000ULL);
	/* each block on its kind of file */
	EXPECT_EQ(-ENOENT, vt_get(self->cpu.fd, VIREO_BLOCK_CLOCK, &c, sizeof(c)));
	EXPECT_EQ(-ENOENT, vt_set(self->cpu.fd, VIREO_BLOCK_CLOCK, &c, sizeof(c)));
	EXPECT_EQ(-ENOENT, vt_get(self->vm.fd, VIREO_BLOCK_REGS, &r, sizeof(r)));
	EXPECT_EQ(-ENOENT, vt_set(self->vm.fd, VIREO_BLOCK_REGS, &r, sizeof(r)));
}

TEST_F(state, malformed)
{
	struct vireo_state s = { .size = sizeof(s), .types = VCPU_BLOCKS, .buf = (u64)self->buf };
	struct vireo_block *b;
	u32 len = ROOM, length, cut, type;
	struct vireo_regs *regs;

	length = snapshot(_metadata, self->cpu.fd, self->before);
	ASSERT_EQ(0, get(self->cpu.fd, VCPU_BLOCKS, self->buf, &len));
	/* something that a set would change, at the front */
	b = find(self->buf, len, VIREO_BLOCK_REGS);
	regs = (void *)(b + 1);
	regs->gpr[3] = 0xdead;

	/* the call itself */
	s.len = len;
	EXPECT_EQ(-EINVAL, vt_ioctl(self->cpu.fd, VIREO_SET_STATE, &s));	/* types with SET */
	s.types = 0;
	s.flags = 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(self->cpu.fd, VIREO_SET_STATE, &s));
	s.flags = 0;
	s.pad = 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(self->cpu.fd, VIREO_SET_STATE, &s));
	s.pad = 0;
	s.buf = 4096;
	EXPECT_EQ(-EFAULT, vt_ioctl(self->cpu.fd, VIREO_SET_STATE, &s));
	s.buf = (u64)self->buf;
	s.len = 0xfffffff8;
	EXPECT_LT(vt_ioctl(self->cpu.fd, VIREO_SET_STATE, &s), 0);
	s.size = 8;
	EXPECT_EQ(-EINVAL, vt_ioctl(self->cpu.fd, VIREO_SET_STATE, &s));
	EXPECT_EQ(-EFAULT, vt_ioctl(self->cpu.fd, VIREO_SET_STATE, NULL));
	s = (struct vireo_state){ .size = sizeof(s), .types = 1ULL << 40, .buf = (u64)self->after, .len = ROOM };
	EXPECT_EQ(-ENOENT, vt_ioctl(self->cpu.fd, VIREO_GET_STATE, &s));
	s.types = VCPU_BLOCKS;
	s.buf = 4096;
	EXPECT_EQ(-EFAULT, vt_ioctl(self->cpu.fd, VIREO_GET_STATE, &s));

	/* every truncation */
	for (cut = 1; cut < len; cut += cut < 300 || cut + 300 > len ? 1 : 37) {
		struct vireo_block *c;
		u32 at = 0;

		/* a cut between two blocks is a shorter, valid sequence */
		while (at < cut) {
			c = (void *)(self->buf + at);
			at += sizeof(*c) + ((c->len + 7) & ~7U);
		}
		if (at == cut)
			continue;
		EXPECT_EQ(-EINVAL, set(self->cpu.fd, self->buf, cut)) TH_LOG("cut at %u of %u", cut, len);
	}
	EXPECT_UNCHANGED();
	/* versions, lengths and types of each block */
	for (type = VIREO_BLOCK_REGS; type < VIREO_BLOCK_CLOCK; type++) {
		b = find(self->buf, len, type);
		b->version = 2;
		EXPECT_EQ(-EOPNOTSUPP, set(self->cpu.fd, self->buf, len));
		b->version = 0;
		EXPECT_EQ(-EOPNOTSUPP, set(self->cpu.fd, self->buf, len));
		b->version = 1;
		b->len -= 8;
		EXPECT_LT(set(self->cpu.fd, self->buf, len), 0);
		b->len = 0xfffffff0;
		EXPECT_EQ(-EINVAL, set(self->cpu.fd, self->buf, len));
		b->len = 0x7fffffff;
		EXPECT_EQ(-EINVAL, set(self->cpu.fd, self->buf, len));
		ASSERT_EQ(0, get(self->cpu.fd, VCPU_BLOCKS, self->buf, &(u32){ ROOM }));
		regs->gpr[3] = 0xdead;
		b->type = VIREO_BLOCK_NR;
		EXPECT_EQ(-ENOENT, set(self->cpu.fd, self->buf, len));
		b->type = 0;
		EXPECT_EQ(-ENOENT, set(self->cpu.fd, self->buf, len));
		b->type = 0xffff;
		EXPECT_EQ(-ENOENT, set(self->cpu.fd, self->buf, len));
		b->type = type;
	}
	EXPECT_UNCHANGED();
	/* the last block bad: the first is not applied */
	b = find(self->buf, len, VIREO_BLOCK_TSC);
	((struct vireo_tsc *)(b + 1))->pad = 1;
	EXPECT_EQ(-EINVAL, set(self->cpu.fd, self->buf, len));
	EXPECT_UNCHANGED();
}

TEST_F(state, duplicates)
{
	struct { struct vireo_block b; struct vireo_regs r; } two[2] = { 0 };
	struct vireo_regs q;
	int r;

	two[0].b = two[1].b = (struct vireo_block){ VIREO_BLOCK_REGS, 1, sizeof(two[0].r) };
	two[0].r.rflags = two[1].r.rflags = 2;
	two[0].r.gpr[1] = 1;
	two[1].r.gpr[1] = 2;
	r = set(self->cpu.fd, two, sizeof(two));
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &q, sizeof(q)));
	/* refused, or the later one holds */
	if (r) {
		EXPECT_EQ(-EINVAL, r);
		EXPECT_EQ(0, q.gpr[1]);
	} else {
		EXPECT_EQ(2, q.gpr[1]);
	}
}

TEST_F(state, ap_waits_for_sipi)
{
	struct vireo_events e;
	struct vt_vcpu ap;

	vt_vcpu_create(&self->vm, &ap, 1);
	ASSERT_EQ(0, vt_get(ap.fd, VIREO_BLOCK_EVENTS, &e, sizeof(e)));
	EXPECT_EQ(VIREO_MP_WAIT_SIPI, e.mp_state);
	EXPECT_EQ(-EINTR, vt_run_for(&ap, 200));
	vt_vcpu_close(&ap);
}

TEST_HARNESS_MAIN

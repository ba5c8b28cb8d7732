/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tests of single instructions share: a machine, its registers by name, and a
 * set of descriptor tables with one descriptor of each kind that matters.
 */
#ifndef CASES_H
#define CASES_H

#include <stdio.h>
#include <stdlib.h>

#include "machine.h"
#include "../../kmod/emulate/internal.h"

static struct machine m;

#define OPS(...)	((const u8[]){ __VA_ARGS__ })
#define STEP(...)	machine_step(&m, OPS(__VA_ARGS__, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, \
				     0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90), 15)

#define RAX		m.regs[VIREO_EMU_RAX]
#define RCX		m.regs[VIREO_EMU_RCX]
#define RDX		m.regs[VIREO_EMU_RDX]
#define RBX		m.regs[VIREO_EMU_RBX]
#define RSP		m.regs[VIREO_EMU_RSP]
#define RBP		m.regs[VIREO_EMU_RBP]
#define R11		m.regs[VIREO_EMU_R11]
#define RIP		m.e.rip
#define FLAGS		m.e.rflags
#define SEL(s)		m.seg[VIREO_EMU_##s].selector
#define ATTR(s)		m.seg[VIREO_EMU_##s].attr
#define BASE(s)		m.seg[VIREO_EMU_##s].base
#define LIMIT(s)	m.seg[VIREO_EMU_##s].limit
#define EVENTS		m.e.events
#define NULLSEG		VIREO_EMU_SEG_UNUSABLE

/* What happened is what should have; says more if not. */
#define OK(x)		case_ok((x) == VIREO_EMU_OK, __LINE__)
#define IS(x)		case_ok(x, __LINE__)
#define FAULT(x, v, c)	case_ok(case_fault(x, v, c), __LINE__)

static bool good = true;
static struct machine before;
static u8 mem_before[MEM_SIZE];

static inline bool case_ok(bool ok, int line)
{
	if (!ok) {
		diag("line %d: rip %llx rflags %llx rsp %llx mode %u cpl %u cs %x ss %x", line,
		     (unsigned long long)RIP, (unsigned long long)FLAGS,
		     (unsigned long long)RSP, m.e.mode, m.cpl, SEL(CS), SEL(SS));
		good = false;
	}
	return ok;
}

/* Remember the state, to see that a fault changed nothing. */
static inline void snap(void)
{
	before = m;
	memcpy(mem_before, m.mem, MEM_SIZE);
}

static inline bool unchanged(void)
{
	return !memcmp(before.regs, m.regs, sizeof(m.regs)) && before.e.rip == m.e.rip &&
	       before.e.rflags == m.e.rflags && before.e.mode == m.e.mode &&
	       !memcmp(before.seg, m.seg, sizeof(m.seg)) && before.cpl == m.cpl &&
	       before.cr0 == m.cr0 && before.cr3 == m.cr3 && before.cr4 == m.cr4 &&
	       !memcmp(mem_before, m.mem, MEM_SIZE);
}

/* @code is -1 for an exception without an error code. */
static inline bool case_fault(int r, u32 vector, s64 code)
{
	bool ok = r == VIREO_EMU_EXCEPTION && m.e.exception.vector == vector &&
		  m.e.exception.has_error == (code >= 0) &&
		  (code < 0 || m.e.exception.error_code == (u32)code);

	if (!ok)
		diag("result %d vector %u has %d code %x", r, m.e.exception.vector,
		     m.e.exception.has_error, m.e.exception.error_code);
	if (ok && !unchanged()) {
		diag("the fault left something changed");
		ok = false;
	}
	return ok;
}

/* Snap, then fault. */
#define REFUSED(v, c, ...)	(snap(), FAULT(STEP(__VA_ARGS__), v, c))

static inline u64 mem(u64 la, u32 len)
{
	u64 v = 0;

	memcpy(&v, machine_at(&m, la), len);
	return v;
}

static inline void set_mem(u64 la, u64 v, u32 len)
{
	memcpy(machine_at(&m, la), &v, len);
}

/* The end of a group of cases. */
static inline void done(const char *name)
{
	tap_ok(good, "%s", name);
	good = true;
}

#define GDT		0x11000
#define IDT		0x12000
#define TSS		0x13000
#define TSS2		0x13200
#define TSS_16		0x13400
#define LDT		0x13800
#define STACK0		0x15000		/* of level 0 */
#define STACK3		0x17000		/* of level 3 */

#define S_CODE0		0x08
#define S_DATA0		0x10
#define S_CODE3		0x1b
#define S_DATA3		0x23
#define S_CONF0		0x28		/* conforming, DPL 0 */
#define S_CODE16	0x30
#define S_DATA16	0x38
#define S_TSS		0x40
#define S_TSS2		0x48
#define S_LDT		0x50
#define S_GATE		0x58		/* call gate to S_CODE0, DPL 3, 2 parameters */
#define S_TASKGATE	0x60		/* to S_TSS2, DPL 3 */
#define S_TSS16		0x68
#define S_ABSENT	0x70		/* data, not present */
#define S_RO		0x78
#define S_XO		0x80		/* execute-only code */
#define S_CODE64	0x88
#define S_TSS64		0x90
#define S_GATE64	0xa0
#define S_CODE64_3	0xb3
#define S_ABSENT_CODE	0xb8
#define S_GATE16	0xc0		/* 16-bit call gate to S_CODE16 */
#define S_BAD64		0xc8		/* code with L and D */
#define S_LDT64		0xd0
#define S_END		0xe0
#define S_IN_LDT	0x0c		/* data, DPL 0, in the LDT */

static inline u64 desc(u32 base, u32 limit, u32 attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)attr << 40 |
	       (u64)(limit & 0xf0000) << 32 | (u64)(base >> 24) << 56;
}

static inline u64 gate(u16 sel, u32 offset, u32 type, u32 dpl)
{
	return (offset & 0xffff) | (u64)sel << 16 | (u64)(0x80 | type | dpl << 5) << 40 |
	       (u64)(offset >> 16) << 48;
}

static inline void put(u16 sel, u64 d)
{
	set_mem(GDT + (sel & 0xfff8), d, 8);
}

static inline void load(u32 seg, u16 sel)
{
	u64 d = mem(GDT + (sel & 0xfff8), 8);
	struct vireo_emu_segment *s = &m.seg[seg];

	s->selector = sel;
	s->base = (d >> 16 & 0xffffff) | (d >> 56) << 24;
	s->limit = (d & 0xffff) | (d >> 32 & 0xf0000);
	s->attr = d >> 40 & 0xf0ff;
	if (s->attr & VIREO_EMU_SEG_G)
		s->limit = s->limit << 12 | 0xfff;
}

/* Protected or long mode with all of the above, at privilege @cpl (0 or 3). */
static inline void init(u32 mode, u32 cpl)
{
	u32 i;

	machine_init(&m, mode);
	memset(m.mem, 0, MEM_SIZE);
	if (mode < VIREO_EMU_VM86) {
		m.e.rip = 0x700;
		RSP = 0x1000;
		return;
	}
	m.mem_base = 0x10000;
	m.dt_base[0] = GDT;
	m.dt_limit[0] = S_END - 1;
	m.dt_base[1] = IDT;
	m.dt_limit[1] = 0xfff;
	put(S_CODE0, desc(0, 0xfffff, 0xc09b));
	put(S_DATA0, desc(0, 0xfffff, 0xc093));
	put(S_CODE3, desc(0, 0xfffff, 0xc0fb));
	put(S_DATA3, desc(0, 0xfffff, 0xc0f3));
	put(S_CONF0, desc(0, 0xfffff, 0xc09f));
	put(S_CODE16, desc(0x10000, 0xffff, 0x9b));
	put(S_DATA16, desc(0x10000, 0xffff, 0x93));
	put(S_TSS, desc(TSS, 0x1ff, 0x8b));
	put(S_TSS2, desc(TSS2, 0x67, 0x89));
	put(S_LDT, desc(LDT, 0xf, 0x82));
	put(S_GATE, gate(S_CODE0, 0x10400, 12, 3) | 2ULL << 32);
	put(S_TASKGATE, gate(S_TSS2, 0, 5, 3));
	put(S_TSS16, desc(TSS_16, 0x2b, 0x81));
	put(S_ABSENT, desc(0, 0xfffff, 0xc013));
	put(S_RO, desc(0, 0xfffff, 0xc091));
	put(S_XO, desc(0, 0xfffff, 0xc099));
	put(S_CODE64, desc(0, 0xfffff, 0xa09b));
	put(S_TSS64, desc(TSS, 0x1ff, 0x8b));
	put(S_GATE64, gate(S_CODE64, 0x10400, 12, 3));
	set_mem(GDT + S_GATE64 + 8, 0x1234, 8);
	put(S_CODE64_3, desc(0, 0xfffff, 0xa0fb));
	put(S_ABSENT_CODE, desc(0, 0xfffff, 0xc01b));
	put(S_GATE16, gate(S_CODE16, 0x400, 4, 3) | 1ULL << 32);
	put(S_BAD64, desc(0, 0xfffff, 0xe09b));
	put(S_LDT64, desc(LDT, 0xf, 0x82));
	set_mem(LDT + 8, desc(0, 0xfffff, 0xc093), 8);

	if (mode == VIREO_EMU_PROT64) {
		load(VIREO_EMU_CS, cpl ? S_CODE64_3 : S_CODE64);
		load(VIREO_EMU_TR, S_TSS64);
		set_mem(TSS + 4, STACK0, 8);
		set_mem(TSS + 36, 0x14808, 8);		/* IST1, not aligned */
	} else {
		load(VIREO_EMU_CS, cpl ? S_CODE3 : S_CODE0);
		load(VIREO_EMU_TR, S_TSS);
		set_mem(TSS + 4, STACK0, 4);
		set_mem(TSS + 8, S_DATA0, 2);
	}
	for (i = 0; i < VIREO_EMU_NR_DATA_SEGS; i++) {
		if (i != VIREO_EMU_CS)
			load(i, cpl ? S_DATA3 : S_DATA0);
	}
	m.cpl = cpl;
	m.e.rip = 0x10000;
	RSP = cpl ? STACK3 : STACK0;
	if (mode == VIREO_EMU_VM86) {
		/* A program of 64 KiB at 0x10000 */
		FLAGS |= FL_VM;
		for (i = 0; i < VIREO_EMU_NR_DATA_SEGS; i++)
			m.seg[i] = (struct vireo_emu_segment){ 0x10000, 0xffff, 0xf3, 0x1000 };
		m.cpl = 3;
		m.e.rip = 0x100;
		RSP = 0x7000;
	}
}

#endif /* CASES_H */

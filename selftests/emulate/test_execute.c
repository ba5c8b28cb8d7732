// SPDX-License-Identifier: GPL-2.0-only
/*
 * Execution where the processor of this machine cannot be asked: real and 16-bit
 * modes, segments, privilege, ports; waiting for user space and going on; the
 * short path of MMIO against the long one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"
#include "../../kmod/emulate/internal.h"

static struct machine m;

#define OPS(...)	((const u8[]){ __VA_ARGS__ })
#define STEP(...)	machine_step(&m, OPS(__VA_ARGS__, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, \
				     0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90), 15)
#define RUN(...)	machine_run(&m, OPS(__VA_ARGS__, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, \
				    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90), 15)

#define RAX		m.regs[VIREO_EMU_RAX]
#define RCX		m.regs[VIREO_EMU_RCX]
#define RDX		m.regs[VIREO_EMU_RDX]
#define RBX		m.regs[VIREO_EMU_RBX]
#define RSP		m.regs[VIREO_EMU_RSP]
#define RBP		m.regs[VIREO_EMU_RBP]
#define RSI		m.regs[VIREO_EMU_RSI]
#define RDI		m.regs[VIREO_EMU_RDI]

static bool raised(int r, u32 vector, s64 err)
{
	bool ok = r == VIREO_EMU_EXCEPTION && m.e.exception.vector == vector &&
		  m.e.exception.has_error == (err >= 0) &&
		  (err < 0 || m.e.exception.error_code == (u32)err);

	if (!ok)
		diag("result %d vector %u has %d code %x", r, m.e.exception.vector,
		     m.e.exception.has_error, m.e.exception.error_code);
	return ok;
}

static u64 mem(u64 la, u32 len)
{
	u64 v = 0;

	memcpy(&v, machine_at(&m, la), len);
	return v;
}

static void set_mem(u64 la, u64 v, u32 len)
{
	memcpy(machine_at(&m, la), &v, len);
}

static void init(u32 mode)
{
	u32 i;

	machine_init(&m, mode);
	memset(m.mem, 0, MEM_SIZE);
	for (i = 0; i < 16; i++)
		m.regs[i] = 0;
	m.e.rip = mode < VIREO_EMU_PROT16 ? 0x7c00 : 0x10000;
	RSP = mode < VIREO_EMU_PROT32 && mode != VIREO_EMU_REAL32 ? 0x1000 : 0x11000;
}

/* Segment checks: limit, direction, type, null, canonical, with exact codes. */
static void segments(void)
{
	bool ok;

	init(VIREO_EMU_PROT32);
	m.seg[VIREO_EMU_DS].limit = 0x10fff;
	RBX = 0x10ffc;
	ok = STEP(0x8b, 0x03) == VIREO_EMU_OK;
	RBX = 0x10ffd;
	ok &= raised(STEP(0x8b, 0x03), 13, 0);
	ok &= m.e.rip == 0x10002 && !m.reads == 0;
	RBX = 0x10fff;
	ok &= STEP(0x8a, 0x03) == VIREO_EMU_OK;
	tap_ok(ok, "limit: the last byte counts, #GP(0)");

	init(VIREO_EMU_PROT32);
	m.seg[VIREO_EMU_SS].limit = 0x10fff;
	RBP = 0x10ffd;
	ok = raised(STEP(0x8b, 0x45, 0x00), 12, 0);
	RSP = 0x20000;
	ok &= raised(STEP(0x50), 12, 0) && RSP == 0x20000;
	RSP = 0x10ffe;
	ok &= raised(STEP(0x58), 12, 0) && RSP == 0x10ffe;
	RBX = 0x10ffd;
	ok &= raised(STEP(0x36, 0x8b, 0x03), 12, 0);
	ok &= STEP(0x3e, 0x8b, 0x45, 0x00) == VIREO_EMU_OK;
	tap_ok(ok, "stack segment: #SS(0), by default and by override");

	init(VIREO_EMU_PROT32);
	m.seg[VIREO_EMU_DS].attr = 0xc097;	/* expand-down, writable, big */
	m.seg[VIREO_EMU_DS].limit = 0x10fff;
	RBX = 0x10fff;
	ok = raised(STEP(0x8a, 0x03), 13, 0);
	RBX = 0x11000;
	ok &= STEP(0x8a, 0x03) == VIREO_EMU_OK;
	RBX = 0xfffffffd;
	ok &= raised(STEP(0x8b, 0x03), 13, 0);
	m.seg[VIREO_EMU_DS].attr = 0x8097;	/* not big: the top is 64 KiB */
	RBX = 0x11000;
	ok &= raised(STEP(0x8a, 0x03), 13, 0);
	tap_ok(ok, "expand-down: offsets above the limit, up to the top");

	init(VIREO_EMU_PROT32);
	m.seg[VIREO_EMU_DS].attr = 0xc091;	/* read-only */
	RBX = 0x10100;
	ok = STEP(0x8b, 0x03) == VIREO_EMU_OK;
	ok &= raised(STEP(0x89, 0x03), 13, 0);
	ok &= raised(STEP(0x83, 0x03, 0x01), 13, 0);
	ok &= STEP(0x83, 0x3b, 0x01) == VIREO_EMU_OK;
	ok &= raised(STEP(0x2e, 0x89, 0x03), 13, 0);	/* code is not written */
	ok &= STEP(0x2e, 0x8b, 0x03) == VIREO_EMU_OK;
	m.seg[VIREO_EMU_CS].attr = 0xc099;	/* execute-only */
	ok &= raised(STEP(0x2e, 0x8b, 0x03), 13, 0);
	m.seg[VIREO_EMU_FS].attr = VIREO_EMU_SEG_UNUSABLE;
	ok &= raised(STEP(0x64, 0x8b, 0x03), 13, 0);
	ok &= raised(STEP(0x64, 0xa1, 0, 0, 0, 0), 13, 0);
	tap_ok(ok, "type: read-only data, code, execute-only code, null selector");

	init(VIREO_EMU_PROT64);
	RBX = 0x00007ffffffffffd;
	ok = raised(STEP(0x8b, 0x03), 13, 0);
	RBX = 0x8000000000000000;
	ok &= raised(STEP(0x8b, 0x03), 13, 0);
	RBP = 0x0000800000000000;
	ok &= raised(STEP(0x8b, 0x45, 0x00), 12, 0);
	RSP = 0x0000800000000004;
	ok &= raised(STEP(0x50), 12, 0);
	RBX = 0x0080000000000000;
	ok &= raised(STEP(0x8b, 0x03), 13, 0);
	m.e.features = VIREO_EMU_F_LA57;
	RBX = 0x0080000000000000;
	ok &= raised(STEP(0x8b, 0x03), 14, 0);
	RBX = 0x0100000000000000;
	ok &= raised(STEP(0x8b, 0x03), 13, 0);
	tap_ok(ok, "64-bit mode: canonical, 48 and 57 bits, #GP(0) or #SS(0)");

	init(VIREO_EMU_PROT64);
	m.seg[VIREO_EMU_GS].base = 0x10000;
	m.seg[VIREO_EMU_DS].base = 0x5000;
	RBX = 0x100;
	set_mem(0x10100, 0x1234567887654321, 8);
	ok = STEP(0x65, 0x48, 0x8b, 0x03) == VIREO_EMU_OK && RAX == 0x1234567887654321;
	RBX = 0x10100;
	RAX = 0;
	ok &= STEP(0x3e, 0x48, 0x8b, 0x03) == VIREO_EMU_OK && RAX == 0x1234567887654321;
	ok &= !m.seg_calls;
	tap_ok(ok, "64-bit mode: FS and GS alone have a base, nothing else is asked for");

	init(VIREO_EMU_REAL);
	m.seg[VIREO_EMU_DS].base = 0x1000;
	set_mem(0x1234, 0xabcd, 2);
	RBX = 0x200;
	RSI = 0x34;
	ok = STEP(0x8b, 0x00) == VIREO_EMU_OK && RAX == 0xabcd;
	RBX = 0xffff;
	RSI = 0x235;
	ok &= STEP(0x8b, 0x00) == VIREO_EMU_OK && (u16)RAX == 0xabcd;	/* wraps */
	RBX = 0xffff;
	RSI = 0;
	ok &= raised(STEP(0x8b, 0x00), 13, 0);
	m.seg[VIREO_EMU_DS].limit = 0xffffffff;	/* unreal mode */
	RBX = 0x6000;
	set_mem(0x7000, 0x11223344, 4);
	ok &= STEP(0x67, 0x66, 0x8b, 0x03) == VIREO_EMU_OK && RAX == 0x11223344;
	tap_ok(ok, "real mode: wrap of the offset, limit, big real mode");

	init(VIREO_EMU_PROT64);
	m.cpl = 3;
	m.cr0 |= 0x40000;
	m.e.rflags |= FL_AC;
	RBX = 0x10101;
	ok = raised(STEP(0x8b, 0x03), 17, 0);
	ok &= STEP(0x8a, 0x03) == VIREO_EMU_OK;
	RBX = 0x10104;
	ok &= STEP(0x8b, 0x03) == VIREO_EMU_OK;
	ok &= raised(STEP(0x48, 0x8b, 0x03), 17, 0);
	m.cpl = 0;
	ok &= STEP(0x48, 0x8b, 0x03) == VIREO_EMU_OK;
	tap_ok(ok, "alignment: #AC(0) with CR0.AM, RFLAGS.AC and CPL 3");
}

/* 16-bit code */
static void real_mode(void)
{
	bool ok;

	init(VIREO_EMU_REAL);
	RAX = 0x1122334455667788;
	ok = STEP(0x50) == VIREO_EMU_OK && RSP == 0xffe && mem(0xffe, 2) == 0x7788;
	ok &= STEP(0x66, 0x50) == VIREO_EMU_OK && RSP == 0xffa && mem(0xffa, 4) == 0x55667788;
	ok &= STEP(0x66, 0x5b) == VIREO_EMU_OK && RBX == 0x55667788;
	ok &= STEP(0x59) == VIREO_EMU_OK && RCX == 0x7788 && RSP == 0x1000;
	RSP = 0xffff0000;
	ok &= STEP(0x50) == VIREO_EMU_OK ? false : true;	/* beyond our memory: #PF */
	ok &= RSP == 0xffff0000;
	tap_ok(ok, "real mode: PUSH and POP, 16 and 32 bits");

	init(VIREO_EMU_REAL);
	RAX = 0xa1, RCX = 0xc1, RDX = 0xd1, RBX = 0xb1, RBP = 0xb2, RSI = 0x51, RDI = 0xd2;
	ok = STEP(0x60) == VIREO_EMU_OK && RSP == 0xff0 && mem(0xffe, 2) == 0xa1 &&
	     mem(0xff6, 2) == 0x1000 && mem(0xff0, 2) == 0xd2;
	memset(m.regs, 0, sizeof(m.regs));
	RSP = 0xff0;
	ok &= STEP(0x61) == VIREO_EMU_OK && RSP == 0x1000 && RAX == 0xa1 && RCX == 0xc1 &&
	      RDX == 0xd1 && RBX == 0xb1 && RBP == 0xb2 && RSI == 0x51 && RDI == 0xd2;
	tap_ok(ok, "PUSHA and POPA");

	init(VIREO_EMU_REAL);
	m.e.rip = 0xfff0;
	ok = STEP(0xe9, 0x20, 0x00) == VIREO_EMU_OK && m.e.rip == 0x13;	/* IP wraps */
	m.seg[VIREO_EMU_CS].limit = 0x7fff;
	m.e.rip = 0x7000;
	ok &= raised(STEP(0xe9, 0x00, 0x20), 13, 0) && m.e.rip == 0x7000;
	ok &= raised(STEP(0xe8, 0x00, 0x20), 13, 0) && RSP == 0x1000 && !m.writes;
	ok &= STEP(0xe8, 0x00, 0x02) == VIREO_EMU_OK && m.e.rip == 0x7203 &&
	      mem(0xffe, 2) == 0x7003;
	ok &= STEP(0xc3) == VIREO_EMU_OK && m.e.rip == 0x7003 && RSP == 0x1000;
	RCX = 0x10001;
	ok &= STEP(0xe2, 0x10) == VIREO_EMU_OK && RCX == 0x10000 && m.e.rip == 0x7005;
	ok &= STEP(0xe3, 0x10) == VIREO_EMU_OK && m.e.rip == 0x7017;
	ok &= STEP(0x67, 0xe3, 0x10) == VIREO_EMU_OK && m.e.rip == 0x701a;
	tap_ok(ok, "branches in 16 bits: wrap, limit of CS, CALL, RET, LOOP, JCXZ");

	init(VIREO_EMU_REAL);
	m.seg[VIREO_EMU_ES].base = 0x2000;
	m.seg[VIREO_EMU_DS].base = 0x3000;
	memcpy(machine_at(&m, 0x3010), "hypervisor", 10);
	RSI = 0x10, RDI = 0x20, RCX = 10;
	ok = RUN(0xf3, 0xa4) == VIREO_EMU_OK && !memcmp(machine_at(&m, 0x2020), "hypervisor", 10);
	ok &= RSI == 0x1a && RDI == 0x2a && RCX == 0;
	RSI = 0x10, RDI = 0x20, RCX = 20;
	ok &= RUN(0xf3, 0xa6) == VIREO_EMU_OK && RCX == 0 && (m.e.rflags & FL_ZF);
	RDI = 0x20, RCX = 20, RAX = 'v';
	ok &= RUN(0xf2, 0xae) == VIREO_EMU_OK && RDI == 0x26 && RCX == 14;
	m.e.rflags |= FL_DF;
	RSI = 0x18, RAX = 0;
	ok &= STEP(0x2e, 0xad) == VIREO_EMU_OK && RSI == 0x16;
	RSI = 0xffff, RDI = 0x20, RCX = 2;
	m.e.rflags &= ~(u64)FL_DF;
	set_mem(0x3000, 0x77, 1);
	ok &= RUN(0xf3, 0xa4) == VIREO_EMU_EXCEPTION || RSI == 1;	/* wraps at 64 KiB */
	tap_ok(ok, "string instructions with segments, both directions");

	init(VIREO_EMU_REAL);
	ok = STEP(0xc8, 0x10, 0x00, 0x00) == VIREO_EMU_OK && RSP == 0xfee && RBP == 0xffe;
	ok &= STEP(0xc9) == VIREO_EMU_OK && RSP == 0x1000 && RBP == 0;
	RBP = 0x2006;			/* a display of two frames */
	set_mem(0x2002, 0x11112222, 4);
	ok &= STEP(0xc8, 4, 0, 3) == VIREO_EMU_OK && RSP == 0xff4 && RBP == 0xffe;
	ok &= mem(0xff8, 8) == 0x2006111122220ffe;
	tap_ok(ok, "ENTER and LEAVE");
}

static void flags(void)
{
	bool ok;

	init(VIREO_EMU_PROT64);
	ok = STEP(0xfb) == VIREO_EMU_OK && (m.e.rflags & FL_IF) && m.e.events == VIREO_EMU_EV_STI;
	ok &= STEP(0xfb) == VIREO_EMU_OK && !m.e.events;
	ok &= STEP(0xfa) == VIREO_EMU_OK && !(m.e.rflags & FL_IF) && !m.e.events;
	m.cpl = 3;
	ok &= raised(STEP(0xfa), 13, 0) && raised(STEP(0xfb), 13, 0);
	m.e.rflags |= FL_IOPL;
	ok &= STEP(0xfb) == VIREO_EMU_OK;
	m.e.rflags &= ~(u64)FL_IOPL;
	m.cr4 |= CR4_PVI;
	ok &= STEP(0xfb) == VIREO_EMU_OK && (m.e.rflags & FL_VIF);
	m.e.rflags |= FL_VIP;
	ok &= raised(STEP(0xfb), 13, 0);
	ok &= STEP(0xfa) == VIREO_EMU_OK && !(m.e.rflags & FL_VIF);
	tap_ok(ok, "CLI and STI: CPL and IOPL, shadow, PVI");

	init(VIREO_EMU_PROT64);
	m.e.rflags |= FL_TF;
	ok = STEP(0x90) == VIREO_EMU_OK && m.e.events == VIREO_EMU_EV_STEP;
	set_mem(0x10ff8, 2, 8);
	RSP = 0x10ff8;
	ok &= STEP(0x9d) == VIREO_EMU_OK && m.e.events == VIREO_EMU_EV_STEP &&
	      !(m.e.rflags & FL_TF);
	set_mem(0x10ff8, 2 | FL_TF, 8);
	RSP = 0x10ff8;
	ok &= STEP(0x9d) == VIREO_EMU_OK && !m.e.events && (m.e.rflags & FL_TF);
	RCX = 3, RDI = 0x12000;
	ok &= STEP(0xf3, 0xaa) == VIREO_EMU_RESTART && RCX == 2 &&
	      m.e.events == VIREO_EMU_EV_STEP && m.e.rip == 0x10003;
	m.e.rflags = 2 | FL_RF;
	ok &= STEP(0x90) == VIREO_EMU_OK && m.e.rflags == 2;
	tap_ok(ok, "single stepping: TF before the instruction counts; RF is cleared");

	init(VIREO_EMU_PROT64);
	m.cpl = 3;
	set_mem(0x10ff8, 0xffffffffffffffff & ~(u64)FL_TF, 8);
	RSP = 0x10ff8;
	ok = STEP(0x9d) == VIREO_EMU_OK && !(m.e.rflags & (FL_IF | FL_IOPL | FL_VM | FL_VIF));
	ok &= (m.e.rflags & (FL_AC | FL_ID | FL_NT)) == (FL_AC | FL_ID | FL_NT);
	m.e.rflags = 2;
	m.cpl = 0;
	RSP = 0x10ff8;
	ok &= STEP(0x9d) == VIREO_EMU_OK && (m.e.rflags & (FL_IF | FL_IOPL)) == (FL_IF | FL_IOPL);
	m.e.rflags = 0xffffffff & ~(u64)FL_TF;
	ok &= STEP(0x9c) == VIREO_EMU_OK && !(mem(RSP, 8) & (FL_VM | FL_RF));
	tap_ok(ok, "PUSHF and POPF: what each privilege may change");

	init(VIREO_EMU_VM86);
	ok = raised(STEP(0x9c), 13, 0) && raised(STEP(0x9d), 13, 0) && raised(STEP(0xfa), 13, 0);
	m.e.rflags |= FL_IOPL;
	ok &= STEP(0x9c) == VIREO_EMU_OK && STEP(0xfa) == VIREO_EMU_OK;
	m.e.rflags = 2 | FL_VIF;
	m.cr4 |= CR4_VME;
	ok &= STEP(0x9c) == VIREO_EMU_OK && (mem(RSP, 2) & (FL_IF | FL_IOPL)) == (FL_IF | FL_IOPL);
	ok &= STEP(0x9d) == VIREO_EMU_OK && (m.e.rflags & FL_VIF) && !(m.e.rflags & FL_IF);
	ok &= raised(STEP(0x66, 0x9c), 13, 0);
	set_mem(RSP, 2, 2);
	ok &= STEP(0x9d) == VIREO_EMU_OK && !(m.e.rflags & FL_VIF);
	set_mem(RSP, 2 | FL_IF, 2);
	m.e.rflags |= FL_VIP;
	ok &= raised(STEP(0x9d), 13, 0);
	tap_ok(ok, "virtual-8086 mode: IOPL and VME");
}

static void ports(void)
{
	static const u8 expect[] = { 1, 2, 3, 4, 5, 6 };
	bool ok;
	u32 i;

	init(VIREO_EMU_REAL);
	RAX = 0xffffffffffffffff;
	m.pio_seed = 0;
	ok = STEP(0xe4, 0x10) == VIREO_EMU_OK && RAX == 0xffffffffffffff10;
	RDX = 0x70;
	ok &= STEP(0x66, 0xed) == VIREO_EMU_OK && RAX == 0x74737271;
	RAX = 0x11223344;
	ok &= STEP(0xef) == VIREO_EMU_OK && m.pio_out_len == 2 && m.pio_out[0] == 0x44;
	m.async = true;
	ok &= STEP(0xec) == VIREO_EMU_USER && (u8)RAX == 0x44;
	machine_answer(&m);
	ok &= vireo_emu_execute(&m.e) == VIREO_EMU_OK && (u8)RAX != 0x44 && m.pio_in_calls == 3;
	tap_ok(ok, "IN and OUT, with and without a wait");

	init(VIREO_EMU_PROT64);
	m.cpl = 3;
	m.seg[VIREO_EMU_TR].base = 0x12000;
	m.seg[VIREO_EMU_TR].limit = 0x67 + 16;
	set_mem(0x12066, 0x68, 2);
	memset(machine_at(&m, 0x12068), 0xff, 32);
	RDX = 7;
	ok = raised(STEP(0xec), 13, 0);
	set_mem(0x12068, 0xff7f, 2);
	ok &= STEP(0xec) == VIREO_EMU_OK;
	ok &= raised(STEP(0x66, 0xed), 13, 0);	/* port 8 is not allowed */
	set_mem(0x12068, 0xfe7f, 2);
	ok &= STEP(0x66, 0xed) == VIREO_EMU_OK;
	RDX = 0x1000;
	ok &= raised(STEP(0xec), 13, 0);	/* beyond the TSS */
	m.seg[VIREO_EMU_TR].attr = 0x83;	/* 16-bit TSS */
	RDX = 7;
	ok &= raised(STEP(0xec), 13, 0);
	m.e.rflags |= FL_IOPL;
	ok &= STEP(0xec) == VIREO_EMU_OK;
	tap_ok(ok, "port permissions: IOPL and bitmap");

	init(VIREO_EMU_PROT64);
	for (i = 0; i < 4096; i++)
		machine_at(&m, 0x10000)[i] = i * 7;
	RSI = 0x10000, RCX = 1000, RDX = 0x3f8;
	ok = RUN(0xf3, 0x6e) == VIREO_EMU_OK && RCX == 0 && RSI == 0x103e8 &&
	     m.pio_out_len == 1000 && !memcmp(m.pio_out, machine_at(&m, 0x10000), 1000);
	ok &= m.pio_out_calls < 12;
	tap_ok(ok, "REP OUTSB goes out in batches");

	init(VIREO_EMU_PROT64);
	m.async = true;
	RDI = 0x10ffd, RCX = 6, RDX = 0;
	m.pio_seed = 1;
	ok = RUN(0xf3, 0x6c) == VIREO_EMU_OK && RCX == 0 &&
	     !memcmp(machine_at(&m, 0x10ffd), expect, 6);
	RDI = 0x10ffd, RCX = 6;
	m.answer_limit = 1;
	m.pio_seed = 1;
	memset(machine_at(&m, 0x10ffd), 0, 6);
	ok &= RUN(0xf3, 0x6c) == VIREO_EMU_OK && !memcmp(machine_at(&m, 0x10ffd), expect, 6);
	tap_ok(ok, "REP INSB over the end of a page, answered whole and byte by byte");

	init(VIREO_EMU_PROT64);
	m.kind[1] = PG_RO;
	RDI = 0x10ffe, RCX = 10;
	ok = raised(RUN(0xf3, 0x6c), 14, 3) && RCX == 8 && RDI == 0x11000 &&
	     m.e.exception.cr2 == 0x11000;
	ok &= m.pio_seed == 2;
	tap_ok(ok, "INS into a read-only page: faults before the device is read");
}

/* User space in the middle of everything. */
static void restart(void)
{
	static const struct {
		const char *name;
		u8 b[8];
		u32 dev_reads;
	} t[] = {
		{ "mov rax,[rbx]", { 0x48, 0x8b, 0x03 }, 1 },
		{ "movzx", { 0x0f, 0xb6, 0x03 }, 1 },
		{ "movsxd", { 0x48, 0x63, 0x03 }, 1 },
		{ "add rax,[rbx]", { 0x48, 0x03, 0x03 }, 1 },
		{ "add [rbx],rax", { 0x48, 0x01, 0x03 }, 1 },
		{ "lock add [rbx],eax", { 0xf0, 0x01, 0x03 }, 1 },
		{ "xchg", { 0x87, 0x03 }, 1 },
		{ "cmpxchg", { 0x0f, 0xb1, 0x0b }, 1 },
		{ "xadd", { 0x0f, 0xc1, 0x0b }, 1 },
		{ "shl", { 0xd1, 0x23 }, 1 },
		{ "bts", { 0x0f, 0xba, 0x2b, 0x03 }, 1 },
		{ "push [rbx]", { 0xff, 0x33 }, 1 },
		{ "movsq", { 0x48, 0xa5 }, 1 },
		{ "cmpsq", { 0x48, 0xa7 }, 1 },
		{ "scasd", { 0xaf }, 1 },
		{ "lodsb", { 0xac }, 1 },
		{ "movdqu", { 0xf3, 0x0f, 0x6f, 0x03 }, 2 },
		{ "vmovdqu ymm", { 0xc5, 0xfe, 0x6f, 0x03 }, 4 },
		{ "cmpxchg16b", { 0x48, 0x0f, 0xc7, 0x0b }, 2 },
		{ "mul", { 0xf7, 0x23 }, 1 },
		{ "jmp [rbx]", { 0xff, 0x23 }, 1 },
		{ "movbe", { 0x0f, 0x38, 0xf0, 0x03 }, 1 },
		{ "test", { 0x85, 0x03 }, 1 },
		{ "cmov", { 0x0f, 0x44, 0x03 }, 1 },
		{ "movdqu store", { 0xf3, 0x0f, 0x7f, 0x03 }, 0 },
		{ "vmovdqu ymm store", { 0xc5, 0xfe, 0x7f, 0x03 }, 0 },
		{ "mov [rbx-3],rax, from memory into the device",
		  { 0x48, 0x89, 0x83, 0xbd, 0xff, 0xff, 0xff }, 0 },
		{ "xor over two pages", { 0x48, 0x31, 0x83, 0xbd, 0xff, 0xff, 0xff }, 1 },
	};
	u32 i, limit, bad = 0;
	bool ok;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		for (limit = 0; limit < 8; limit++) {
			struct machine ref;
			static u8 ref_mem[MEM_SIZE];
			u8 b[16] = { 0 };
			u32 pass;

			memcpy(b, t[i].b, 8);
			for (pass = 0; pass < 2; pass++) {
				int r;

				init(VIREO_EMU_PROT64);
				m.kind[2] = PG_MMIO;
				m.seg[VIREO_EMU_TR].limit = 0;
				RAX = 0x1111222233334444, RCX = 0x55, RDX = 0x66;
				RBX = 0x12040, RSI = 0x12080, RDI = 0x11100;
				if (t[i].b[0] == 0xaf)
					RDI = 0x12080;
				if (t[i].b[0] == 0xff && t[i].b[1] == 0x23)
					RBX = 0x12000;
				memset(m.vec, 0x5a, sizeof(m.vec));
				m.async = pass;
				m.answer_limit = pass ? limit : 0;
				m.post_room = pass ? 1 : 0;
				r = machine_run(&m, b, 15);
				if (!pass) {
					ref = m;
					memcpy(ref_mem, m.mem, MEM_SIZE);
					bad += r != VIREO_EMU_OK &&
					       !(r == VIREO_EMU_EXCEPTION && t[i].b[1] == 0x23);
					continue;
				}
				ok = !memcmp(ref.regs, m.regs, sizeof(m.regs)) &&
				     ref.e.rip == m.e.rip && ref.e.rflags == m.e.rflags &&
				     !memcmp(ref.vec, m.vec, sizeof(m.vec)) &&
				     !memcmp(ref_mem, m.mem, MEM_SIZE) &&
				     ref.nr_posted == m.nr_posted &&
				     !memcmp(ref.posted, m.posted, sizeof(m.posted));
				if (!limit)
					ok &= m.dev_reads == t[i].dev_reads;
				if (!ok) {
					bad++;
					diag("%s, answers of %u bytes: reads %u, writes %u (%u)",
					     t[i].name, limit, m.dev_reads, m.nr_posted,
					     ref.nr_posted);
				}
			}
		}
	}
	tap_ok(!bad, "waiting for user space: same result, each device byte read once");

	init(VIREO_EMU_PROT64);
	m.kind[1] = PG_MMIO;
	m.async = true;
	RBX = 0x11000;
	RAX = 5;
	ok = STEP(0x48, 0x03, 0x03) == VIREO_EMU_USER && RAX == 5 && m.e.rip == 0x10000 &&
	     m.e.rflags == 2;
	machine_answer(&m);
	/* abandoned: other state, other instruction; nothing of it is left */
	m.async = false;
	RBX = 0x10100;
	set_mem(0x10100, 77, 8);
	ok &= STEP(0x48, 0x8b, 0x0b) == VIREO_EMU_OK && RCX == 77;
	tap_ok(ok, "a wait that is abandoned leaves no trace");

	init(VIREO_EMU_PROT64);
	m.kind[1] = PG_MMIO;
	m.async = true;
	m.post_room = 1;
	RSI = 0x11000, RDI = 0x12000, RCX = 20;
	ok = RUN(0xf3, 0xa4) == VIREO_EMU_OK && RCX == 0 && m.dev_reads == 20;
	for (u32 k = 0; k < 20; k++)
		ok &= *machine_at(&m, 0x12000 + k) == machine_dev_byte(0x11000 + k);
	RSI = 0x12000, RDI = 0x11000, RCX = 20;
	ok &= RUN(0xf3, 0xa4) == VIREO_EMU_OK && m.nr_posted == 20;
	RDI = 0x11000, RCX = 5, m.nr_posted = 0;
	ok &= RUN(0xf3, 0xab) == VIREO_EMU_OK && m.nr_posted == 5 && RDI == 0x11014;
	tap_ok(ok, "REP MOVS and STOS from and to a device, one posted write at a time");

	init(VIREO_EMU_PROT64);
	RDI = 0x10000, RCX = 5000;
	ok = STEP(0xf3, 0xaa) == VIREO_EMU_RESTART && RCX == 5000 - VIREO_EMU_REP_BUDGET &&
	     m.e.rip == 0x10000;
	ok &= vireo_emu_execute(&m.e) == VIREO_EMU_RESTART;
	while (vireo_emu_execute(&m.e) == VIREO_EMU_RESTART)
		;
	ok &= RCX == 0 && RDI == 0x10000 + 5000 && m.e.rip == 0x10002;
	tap_ok(ok, "a long REP gives way after its budget");

	init(VIREO_EMU_PROT64);
	RBX = 0x10100;
	RAX = 1;
	m.cmpxchg_fail = 5;
	ok = STEP(0xf0, 0x01, 0x03) == VIREO_EMU_OK && mem(0x10100, 4) == 6;
	m.cmpxchg_fail = 1000;
	ok &= STEP(0xf0, 0x01, 0x03) == VIREO_EMU_RESTART && m.e.rip == 0x10003;
	m.cmpxchg_fail = 0;
	set_mem(0x10100, 9, 4);
	ok &= vireo_emu_execute(&m.e) == VIREO_EMU_OK && mem(0x10100, 4) == 10;
	tap_ok(ok, "LOCK: retried while others win, then gives way");
}

/* Operands over the end of a page. */
static void crossing(void)
{
	bool ok;

	init(VIREO_EMU_PROT64);
	m.kind[1] = PG_RO;
	RBX = 0x10ffd;
	RAX = ~0ULL;
	set_mem(0x10ffd, 0, 8);
	ok = raised(STEP(0x89, 0x03), 14, 3) && m.e.exception.cr2 == 0x11000 && !mem(0x10ffd, 3);
	ok &= raised(STEP(0x01, 0x03), 14, 3) && !mem(0x10ffd, 3);
	RSP = 0x11004;
	ok &= raised(STEP(0x50), 14, 3) && RSP == 0x11004 && !mem(0x10ffc, 4);
	m.kind[1] = PG_NONE;
	ok &= raised(STEP(0x8b, 0x03), 14, 0) && m.e.exception.cr2 == 0x11000;
	m.kind[1] = PG_RW;
	ok &= STEP(0x89, 0x03) == VIREO_EMU_OK && mem(0x10ffd, 4) == 0xffffffff;
	ok &= STEP(0xf0, 0x01, 0x03) == VIREO_EMU_OK && mem(0x10ffd, 4) == 0xfffffffe;
	tap_ok(ok, "crossing a page: nothing is written if the second half faults");

	init(VIREO_EMU_PROT64);
	m.kind[1] = PG_MMIO;
	m.async = true;
	RBX = 0x10ffe;
	set_mem(0x10ffe, 0x2211, 2);
	ok = RUN(0x8b, 0x03) == VIREO_EMU_OK &&
	     RAX == (0x2211 | (u32)machine_dev_byte(0x11000) << 16 |
		     (u32)machine_dev_byte(0x11001) << 24);
	RAX = 0x44332211;
	ok &= RUN(0x89, 0x03) == VIREO_EMU_OK && mem(0x10ffe, 2) == 0x2211 && m.nr_posted == 1 &&
	      m.posted[0].data == 0x4433 && m.posted[0].la == 0x11000;
	tap_ok(ok, "crossing from memory into a device");

	init(VIREO_EMU_PROT64);
	RBX = 0x10100;
	m.e.gpa = 0x10100 + GPA_OFFSET;
	ok = STEP(0x8b, 0x03) == VIREO_EMU_OK && m.hints == 1;
	RBX = 0x10104;
	ok &= STEP(0x8b, 0x03) == VIREO_EMU_OK && m.hints == 1;	/* another offset: no hint */
	RBX = 0x10100;
	ok &= STEP(0xff, 0x33) == VIREO_EMU_OK && m.hints == 1;	/* two operands */
	ok &= STEP(0xf3, 0x0f, 0x6f, 0x03) == VIREO_EMU_OK && m.hints == 3;	/* both halves */
	RDI = 0x10100, RCX = 1;
	ok &= STEP(0xf3, 0xaa) == VIREO_EMU_OK && m.hints == 3;
	RDI = 0x10100;
	ok &= STEP(0xaa) == VIREO_EMU_OK && m.hints == 4;
	RBX = 0x10ffe;
	m.e.gpa = 0x10ffe + GPA_OFFSET;
	ok &= STEP(0x8b, 0x03) == VIREO_EMU_OK && m.hints == 5;	/* first half only */
	tap_ok(ok, "the address that the exit told is used for the one operand it fits");
}

static void vectors(void)
{
	bool ok;
	u32 i;

	init(VIREO_EMU_PROT64);
	RBX = 0x10100;
	m.cr4 &= ~(u64)CR4_OSFXSR;
	ok = raised(STEP(0x0f, 0x10, 0x03), 6, -1);
	m.cr4 |= CR4_OSFXSR;
	m.cr0 |= CR0_TS;
	ok &= raised(STEP(0x0f, 0x10, 0x03), 7, -1);
	m.cr0 |= CR0_EM;
	ok &= raised(STEP(0x0f, 0x10, 0x03), 6, -1);
	m.cr0 &= ~(u64)(CR0_TS | CR0_EM);
	ok &= STEP(0x0f, 0x10, 0x03) == VIREO_EMU_OK;
	m.xcr0 = 3;
	ok &= raised(STEP(0xc5, 0xf8, 0x10, 0x03), 6, -1);
	m.xcr0 = 7;
	ok &= STEP(0xc5, 0xf8, 0x10, 0x03) == VIREO_EMU_OK;
	m.cr4 &= ~(u64)CR4_OSXSAVE;
	ok &= raised(STEP(0xc5, 0xf8, 0x10, 0x03), 6, -1);
	m.cr4 |= CR4_OSXSAVE;
	ok &= raised(STEP(0xc5, 0xb0, 0x10, 0x03), 6, -1);	/* vvvv */
	RBX = 0x10108;
	ok &= raised(STEP(0x0f, 0x28, 0x03), 13, 0);
	RBX = 0x10110;
	ok &= raised(STEP(0xc5, 0xfc, 0x28, 0x03), 13, 0);	/* 32 bytes */
	for (i = 0; i < 64; i++)
		m.vec[0][i] = i;
	RBX = 0x10100;
	ok &= STEP(0xc5, 0xfc, 0x29, 0x03) == VIREO_EMU_OK;
	for (i = 0; i < 32; i++)
		ok &= *machine_at(&m, 0x10100 + i) == i;
	ok &= STEP(0x0f, 0x10, 0x03) == VIREO_EMU_OK && m.vec[0][16] == 16;	/* upper kept */
	ok &= STEP(0xc5, 0xf8, 0x10, 0x03) == VIREO_EMU_OK && !m.vec[0][16] && !m.vec[0][63];
	ok &= STEP(0x0f, 0x6f, 0x03) == VIREO_EMU_UNHANDLED;	/* MMX */
	tap_ok(ok, "vector moves: enabling bits, alignment, upper halves");
}

/* The ends of the range of quotients, which random operands miss. */
static void division(void)
{
	bool ok;

	init(VIREO_EMU_PROT64);
	RAX = 0xff80, RBX = 1;		/* -128 / 1 */
	ok = STEP(0xf6, 0xfb) == VIREO_EMU_OK && RAX == 0x80;
	RAX = 0x0080;			/* 128 / 1 */
	ok &= raised(STEP(0xf6, 0xfb), 0, -1);
	RAX = 0x0080, RBX = 0xff;	/* 128 / -1 */
	ok &= STEP(0xf6, 0xfb) == VIREO_EMU_OK && RAX == 0x80;
	RAX = 0xff80;			/* -128 / -1 */
	ok &= raised(STEP(0xf6, 0xfb), 0, -1) && RAX == 0xff80;
	RAX = 0x8000000000000000, RDX = ~0ULL, RBX = 1;
	ok &= STEP(0x48, 0xf7, 0xfb) == VIREO_EMU_OK && RAX == 0x8000000000000000 && !RDX;
	RBX = ~0ULL, RDX = ~0ULL;
	ok &= raised(STEP(0x48, 0xf7, 0xfb), 0, -1);
	RAX = 0, RDX = 0x8000000000000000, RBX = ~0ULL;
	ok &= raised(STEP(0x48, 0xf7, 0xfb), 0, -1);
	RDX = 7, RBX = 8;
	ok &= STEP(0x48, 0xf7, 0xf3) == VIREO_EMU_OK && RAX == 0xe000000000000000 && !RDX;
	RDX = 8;
	ok &= raised(STEP(0x48, 0xf7, 0xf3), 0, -1);
	RBX = 0, RDX = 0;
	ok &= raised(STEP(0x48, 0xf7, 0xf3), 0, -1) && raised(STEP(0x48, 0xf7, 0xfb), 0, -1);
	tap_ok(ok, "division: #DE at the ends of the range");
}

/* What is not known, or what the callbacks do not provide, says so, and does nothing. */
static void unhandled(void)
{
	static const u8 t[][4] = {
		{ 0x0f, 0xa2 }, { 0x0f, 0x32 }, { 0xcd, 0x80 }, { 0xcf }, { 0xcb },
		{ 0x8e, 0xd8 }, { 0x0f, 0x22, 0xc0 }, { 0x0f, 0x01, 0x17 }, { 0xd9, 0x03 },
		{ 0x0f, 0x58, 0x03 }, { 0x0f, 0x05 },
	};
	struct vireo_emu_ops few = machine_ops;
	u32 i, bad = 0;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct machine before;

		init(VIREO_EMU_PROT64);
		few.set_seg = NULL;
		few.set_cr = NULL;
		few.set_dt = NULL;
		few.get_msr = NULL;
		few.sysop = NULL;
		m.e.ops = &few;
		RBX = 0x10100;
		before = m;
		if (STEP(t[i][0], t[i][1], t[i][2], t[i][3]) != VIREO_EMU_UNHANDLED ||
		    memcmp(before.regs, m.regs, sizeof(m.regs)) || before.e.rip != m.e.rip ||
		    before.e.rflags != m.e.rflags || m.reads || m.writes) {
			bad++;
			diag("case %u", i);
		}
	}
	tap_ok(!bad, "what is not known is UNHANDLED and changes nothing");
}

/* vireo_emu_mmio() does what decode and execute do, however it is waited for. */
static void mmio(u32 count)
{
	static u8 mem_long[MEM_SIZE];
	struct machine a;
	u32 i, k, bad = 0, hits = 0;

	machine_init(&m, VIREO_EMU_PROT64);
	for (i = 0; i < count && bad < 10; i++) {
		static const u8 ops[] = {
			0x88, 0x89, 0x8a, 0x8b, 0xc6, 0xc7, 0x8b, 0x89, 0x63, 0x03, 0x86, 0x39,
		};
		u64 regs[16], la = 0x10000 + rnd() % MEM_SIZE, flags;
		u8 b[16];
		u32 n = 0, room = rnd() % 3, limit = rnd() % 5, pass;
		bool async = rnd() & 1;
		int r[2];

		for (k = 0; k < 16; k++) {
			b[k] = rnd();
			regs[k] = rnd();
		}
		if (rnd() % 4 == 0)
			b[n++] = 0x66;
		if (rnd() % 2)
			b[n++] = 0x40 | rnd() % 16;
		if (rnd() % 3 == 0) {
			b[n++] = 0x0f;
			b[n++] = 0xb6 + (rnd() & 1) + (rnd() & 8);
		} else {
			b[n++] = ops[rnd() % sizeof(ops)];
		}
		if (b[n] >= 0xc0 && rnd() % 8)
			b[n] &= 0x7f;
		if ((b[n - 1] | 1) == 0xc7)
			b[n] &= 0xc7;
		m.e.mode = VIREO_EMU_PROT64;
		if (vireo_emu_decode(&m.e, b, 15) != VIREO_EMU_OK)
			continue;
		if (m.e.insn.base < 16 && m.e.insn.index != m.e.insn.base)
			regs[m.e.insn.base] = la - m.e.insn.disp -
				(m.e.insn.index < 16 ? regs[m.e.insn.index] << m.e.insn.scale : 0);
		flags = 2 | (rnd() % 16 ? 0 : FL_TF);
		for (pass = 0; pass < 2; pass++) {
			machine_init(&m, VIREO_EMU_PROT64);
			for (k = 0; k < PAGES; k++)
				m.kind[k] = k == 3 ? PG_RO : k == 5 ? PG_NONE :
					    k & 1 ? PG_MMIO : PG_RW;
			for (k = 0; k < MEM_SIZE; k++)
				m.mem[k] = (u8)(k * 13 + (k >> 8));
			memcpy(m.regs, regs, sizeof(regs));
			m.e.rip = 0x10000;
			m.e.rflags = flags;
			m.e.gpa = rnd() % 4 || pass ? la + GPA_OFFSET : la + GPA_OFFSET;
			m.async = async;
			m.post_room = room;
			m.answer_limit = limit;
			m.posted_since = room;	/* full: the first write is refused */
			if (!pass) {
				r[0] = vireo_emu_decode(&m.e, b, 15);
				if (!r[0])
					r[0] = vireo_emu_execute(&m.e);
			} else {
				r[1] = vireo_emu_mmio(&m.e, b, 15);
			}
			for (k = 0; r[pass] == VIREO_EMU_USER && k < 100; k++) {
				machine_answer(&m);
				r[pass] = vireo_emu_execute(&m.e);
			}
			if (!pass) {
				a = m;
				memcpy(mem_long, m.mem, MEM_SIZE);
			}
		}
		hits += r[0] == VIREO_EMU_OK;
		if (r[0] != r[1] || memcmp(a.regs, m.regs, sizeof(a.regs)) || a.e.rip != m.e.rip ||
		    a.e.rflags != m.e.rflags || memcmp(mem_long, m.mem, MEM_SIZE) ||
		    a.nr_posted != m.nr_posted || memcmp(a.posted, m.posted, sizeof(a.posted)) ||
		    a.dev_reads != m.dev_reads || (!r[0] && a.e.events != m.e.events)) {
			bad++;
			diag("%02x %02x %02x %02x %02x %02x %02x: %d and %d, rip %lx %lx", b[0], b[1],
			     b[2], b[3], b[4], b[5], b[6], r[0], r[1], (long)a.e.rip, (long)m.e.rip);
		}
	}
	diag("%u of %u accesses were carried out", hits, count);
	tap_ok(!bad && hits > count / 10, "vireo_emu_mmio() and the long way agree");
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	rnd_seed(1);
	segments();
	real_mode();
	flags();
	ports();
	restart();
	crossing();
	vectors();
	division();
	unhandled();
	mmio(argc > 1 ? strtoul(argv[1], NULL, 0) : 30000);
	free(m.mem);
	return tap_done();
}

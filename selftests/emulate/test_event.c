// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delivery of interrupts and exceptions, INT n and its kin, and task switches.
 */
#include "cases.h"

static int deliver(u32 vector, u32 kind, s64 code)
{
	return vireo_emu_deliver(&m.e, vector, kind, code >= 0, code >= 0 ? code : 0);
}

#define EXT		VIREO_EMU_KIND_EXTERNAL
#define EXCEPTION	VIREO_EMU_KIND_EXCEPTION
#define SOFT		VIREO_EMU_KIND_SOFT_INT
#define BREAK		VIREO_EMU_KIND_SOFT_EXCEPTION

static void idt(u32 vector, u64 lo)
{
	set_mem(IDT + 8 * vector, lo, 8);
}

static void idt64(u32 vector, u64 lo, u64 hi)
{
	set_mem(IDT + 16 * vector, lo, 8);
	set_mem(IDT + 16 * vector + 8, hi, 8);
}

static void real(void)
{
	init(VIREO_EMU_REAL, 0);
	set_mem(4 * 0x21, 0x02001234, 4);
	FLAGS |= FL_IF | FL_TF | FL_CF | FL_AC;
	m.seg[VIREO_EMU_CS].selector = 0x70;
	OK(deliver(0x21, EXT, -1));
	IS(RIP == 0x1234 && SEL(CS) == 0x200 && BASE(CS) == 0x2000 && RSP == 0xffa);
	IS(mem(0xffa, 6) == 0x030300700700 && FLAGS == (FL_FIXED | FL_CF));
	IS(EVENTS & VIREO_EMU_EV_MODE);
	RIP = 0x700;
	OK(deliver(0x21, EXCEPTION, 0x18));		/* no error code there */
	IS(RSP == 0xff4);
	RIP = 0x700;
	OK(STEP(0xcd, 0x21));
	IS(RSP == 0xfee && mem(0xfee, 2) == 0x702 && RIP == 0x1234);
	set_mem(4 * 3, 0x02005678, 4);
	RIP = 0x700;
	OK(STEP(0xcc));
	IS(RIP == 0x5678 && mem(RSP, 2) == 0x701);
	set_mem(4 * 4, 0x02009abc, 4);
	RIP = 0x700;
	OK(STEP(0xce));
	IS(RIP == 0x701);
	FLAGS |= FL_OF;
	OK(STEP(0xce));
	IS(RIP == 0x9abc && mem(RSP, 2) == 0x702);
	set_mem(4 * 1, 0x02000111, 4);
	OK(STEP(0xf1));
	IS(RIP == 0x111);
	m.dt_limit[1] = 0x86;
	snap();
	FAULT(deliver(0x21, EXT, -1), 13, 0x21 * 8 + 3);
	FAULT(STEP(0xcd, 0x21), 13, 0x21 * 8 + 2);
	m.dt_limit[1] = 0x87;
	RSP = 3;
	snap();
	FAULT(deliver(0x21, EXT, -1), 12, 0);
	m.seg[VIREO_EMU_CS].limit = 0x1000;
	done("real mode: interrupt vector table");

	init(VIREO_EMU_REAL, 0);
	RBX = 0x800;
	set_mem(0x800, 0x0005fffe, 4);
	RAX = 5;
	OK(STEP(0x62, 0x07));				/* bound ax, [bx] */
	RAX = 0xfffe;
	OK(STEP(0x62, 0x07));
	RAX = 6;
	REFUSED(5, -1, 0x62, 0x07);
	RAX = 0xfffd;
	REFUSED(5, -1, 0x62, 0x07);
	done("BOUND");
}

static void protected(void)
{
	init(VIREO_EMU_PROT32, 0);
	idt(0x20, gate(S_CODE0, 0x10900, 14, 0));
	idt(0x21, gate(S_CODE0, 0x10900, 15, 0));
	FLAGS |= FL_IF | FL_TF | FL_NT | FL_AC;
	OK(deliver(0x20, EXT, -1));
	IS(RIP == 0x10900 && RSP == STACK0 - 12 && FLAGS == (2 | FL_AC));
	IS(mem(RSP, 4) == 0x10000 && mem(RSP + 4, 4) == S_CODE0);
	IS(mem(RSP + 8, 4) == (2 | FL_IF | FL_TF | FL_NT | FL_AC));
	FLAGS |= FL_IF;
	OK(deliver(0x21, EXT, -1));			/* a trap gate keeps IF */
	IS(FLAGS == (2 | FL_AC | FL_IF));
	idt(14, gate(S_CODE0, 0x10a00, 14, 0));
	OK(deliver(14, EXCEPTION, 0x12345));
	IS(mem(RSP, 4) == 0x12345 && mem(RSP + 12, 4) == (2 | FL_AC | FL_IF | FL_RF));
	idt(1, gate(S_CODE0, 0x10a00, 14, 0));
	OK(deliver(1, EXCEPTION, -1));
	IS(!(mem(RSP + 8, 4) & FL_RF));
	idt(0x30, gate(S_CODE16, 0x700, 6, 0));
	OK(deliver(0x30, EXT, -1));
	IS(RIP == 0x700 && m.e.mode == VIREO_EMU_PROT16 && mem(RSP + 2, 2) == S_CODE0);
	done("protected mode: interrupt and trap gates at the same level");

	init(VIREO_EMU_PROT32, 3);
	idt(0x20, gate(S_CODE0, 0x10900, 14, 0));
	idt(0x80, gate(S_CODE0, 0x10900, 15, 3));
	idt(13, gate(S_CODE0, 0x10900, 14, 0));
	OK(deliver(0x20, EXT, -1));
	IS(m.cpl == 0 && SEL(CS) == S_CODE0 && SEL(SS) == S_DATA0 && RSP == STACK0 - 20);
	IS(mem(RSP, 4) == 0x10000 && mem(RSP + 4, 4) == S_CODE3 && mem(RSP + 8, 4) == 2);
	IS(mem(RSP + 12, 4) == STACK3 && mem(RSP + 16, 4) == S_DATA3);
	OK(STEP(0xcf));
	IS(m.cpl == 3 && RIP == 0x10000 && RSP == STACK3);
	REFUSED(13, 0x20 * 8 + 2, 0xcd, 0x20);
	OK(STEP(0xcd, 0x80));
	IS(m.cpl == 0 && mem(RSP, 4) == 0x10002);
	init(VIREO_EMU_PROT32, 3);
	idt(13, gate(S_CODE0, 0x10900, 14, 0));
	OK(deliver(13, EXCEPTION, 0x18));
	IS(mem(RSP, 4) == 0x18 && RSP == STACK0 - 24);
	done("protected mode: to an inner level, software interrupts by the DPL of the gate");

	init(VIREO_EMU_PROT32, 3);
	m.dt_limit[1] = 0x20 * 8 + 6;
	idt(0x20, gate(S_CODE0, 0x10900, 14, 3));
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, 0x20 * 8 + 3);
	FAULT(STEP(0xcd, 0x20), 13, 0x20 * 8 + 2);
	m.dt_limit[1] = 0x7ff;
	idt(0x20, gate(S_CODE0, 0x10900, 12, 3));
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, 0x20 * 8 + 3);
	idt(0x20, gate(S_CODE0, 0x10900, 14, 3) & ~(1ULL << 47));
	snap();
	FAULT(deliver(0x20, EXT, -1), 11, 0x20 * 8 + 3);
	FAULT(STEP(0xcd, 0x20), 11, 0x20 * 8 + 2);
	idt(0x20, gate(0, 0x10900, 14, 3));
	snap();
	FAULT(deliver(0x20, EXCEPTION, -1), 13, 1);
	FAULT(STEP(0xcd, 0x20), 13, 0);
	idt(0x20, gate(S_END, 0x10900, 14, 3));
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, S_END + 1);
	idt(0x20, gate(S_DATA0, 0x10900, 14, 3));
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, S_DATA0 + 1);
	idt(0x20, gate(S_ABSENT_CODE, 0x10900, 14, 3));
	snap();
	FAULT(deliver(0x20, EXT, -1), 11, S_ABSENT_CODE + 1);
	idt(0x20, gate(S_CODE16, 0x10900, 14, 3));	/* beyond its limit */
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, 1);
	idt(0x20, gate(S_CODE0, 0x10900, 14, 3));
	set_mem(TSS + 8, 0, 2);
	snap();
	FAULT(deliver(0x20, EXT, -1), 10, 1);
	set_mem(TSS + 8, S_RO, 2);
	snap();
	FAULT(deliver(0x20, EXT, -1), 10, S_RO + 1);
	FAULT(STEP(0xcd, 0x20), 10, S_RO);
	set_mem(TSS + 8, S_ABSENT, 2);
	snap();
	FAULT(deliver(0x20, EXT, -1), 12, S_ABSENT + 1);
	set_mem(TSS + 8, S_DATA0, 2);
	m.seg[VIREO_EMU_TR].limit = 8;
	snap();
	FAULT(deliver(0x20, EXT, -1), 10, S_TSS + 1);
	m.seg[VIREO_EMU_TR].limit = 0x67;
	m.kind[4] = PG_NONE;
	snap();
	FAULT(deliver(0x20, EXT, -1), 14, 2);
	m.kind[4] = PG_MMIO;
	IS(deliver(0x20, EXT, -1) == VIREO_EMU_UNHANDLED);
	m.kind[4] = PG_RW;
	put(S_DATA0, desc(0, STACK0 - 5, 0x4093));
	snap();
	FAULT(deliver(0x20, EXT, -1), 12, S_DATA0 + 1);
	idt(0x20, gate(S_CONF0, 0x10900, 14, 3));
	OK(deliver(0x20, EXT, -1));
	IS(m.cpl == 3 && SEL(CS) == (S_CONF0 | 3) && RSP == STACK3 - 12);
	done("protected mode: what is wrong with gate, code or stack, and EXT");
}

static void vm86(void)
{
	init(VIREO_EMU_VM86, 3);
	idt(0x20, gate(S_CODE0, 0x10900, 14, 0));
	idt(0x21, gate(S_CODE0, 0x10900, 14, 3));
	m.seg[VIREO_EMU_GS].selector = 0x1004;
	m.seg[VIREO_EMU_FS].selector = 0x1003;
	m.seg[VIREO_EMU_DS].selector = 0x1002;
	m.seg[VIREO_EMU_ES].selector = 0x1001;
	OK(deliver(0x20, EXT, -1));
	IS(m.cpl == 0 && m.e.mode == VIREO_EMU_PROT32 && SEL(CS) == S_CODE0 && SEL(SS) == S_DATA0);
	IS(RSP == STACK0 - 36 && mem(RSP, 4) == 0x100 && mem(RSP + 4, 4) == 0x1000);
	IS(mem(RSP + 8, 4) == (2 | FL_VM) && mem(RSP + 12, 4) == 0x7000);
	IS(mem(RSP + 16, 4) == 0x1000 && mem(RSP + 20, 4) == 0x1001 && mem(RSP + 24, 4) == 0x1002);
	IS(mem(RSP + 28, 4) == 0x1003 && mem(RSP + 32, 4) == 0x1004 && FLAGS == 2);
	IS((ATTR(GS) & NULLSEG) && (ATTR(DS) & NULLSEG) && !SEL(ES));
	OK(STEP(0xcf));
	IS(m.e.mode == VIREO_EMU_VM86 && SEL(GS) == 0x1004 && SEL(ES) == 0x1001 && RIP == 0x100);
	REFUSED(13, 0, 0xcd, 0x21);			/* IOPL */
	FLAGS |= FL_IOPL;
	REFUSED(13, 0x20 * 8 + 2, 0xcd, 0x20);		/* DPL */
	OK(STEP(0xcd, 0x21));
	IS(m.cpl == 0 && mem(RSP, 4) == 0x102);
	init(VIREO_EMU_VM86, 3);
	idt(3, gate(S_CODE0, 0x10900, 14, 3));
	OK(STEP(0xcc));					/* whatever IOPL */
	IS(m.cpl == 0);
	init(VIREO_EMU_VM86, 3);
	idt(0x20, gate(S_CONF0, 0x10900, 14, 0));
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, S_CONF0 + 1);
	done("virtual-8086 mode: through the IDT to level 0");

	/* The program's own table is at linear 0: there only is memory for it here. */
	init(VIREO_EMU_VM86, 3);
	m.mem_base = 0;
	m.cr4 |= CR4_VME;
	BASE(TR) = 0x3000;
	LIMIT(TR) = 0x100;
	set_mem(0x3000 + 102, 0x88, 2);
	set_mem(4 * 0x21, 0x02001234, 4);
	BASE(CS) = 0, SEL(CS) = 0;
	BASE(SS) = 0, SEL(SS) = 0;
	FLAGS |= FL_IF | FL_VIF | FL_CF;
	OK(STEP(0xcd, 0x21));
	IS(RIP == 0x1234 && SEL(CS) == 0x200 && m.e.mode == VIREO_EMU_VM86 && RSP == 0x6ffa);
	IS(mem(RSP, 6) == 0x320300000102 && FLAGS == (2 | FL_VM | FL_IF | FL_CF));
	FLAGS |= FL_IOPL | FL_VIF;
	RSP = 0x7000;
	OK(STEP(0xcd, 0x21));
	IS(mem(RSP + 4, 2) == 0x3203 && FLAGS == (2 | FL_VM | FL_VIF | FL_CF | FL_IOPL));
	FLAGS &= ~(u64)FL_IOPL;
	set_mem(0x3000 + 0x68 + 4, 2, 1);
	REFUSED(13, 0, 0xcd, 0x21);
	set_mem(0x3000 + 102, 0x200, 2);		/* beyond the limit */
	REFUSED(13, 0, 0xcd, 0x21);
	done("virtual-8086 mode: INT n redirected by the TSS");
}

static void long_mode(void)
{
	init(VIREO_EMU_PROT64, 0);
	idt64(0x20, gate(S_CODE64, 0x80010900, 14, 0), 0xffff8000);
	RSP = STACK0 - 4;
	OK(deliver(0x20, EXT, -1));
	IS(RIP == 0xffff800080010900 && RSP == ((STACK0 - 4) & ~15) - 40 && SEL(SS) == S_DATA0);
	IS(mem(RSP, 8) == 0x10000 && mem(RSP + 8, 8) == S_CODE64 && mem(RSP + 16, 8) == 2);
	IS(mem(RSP + 24, 8) == STACK0 - 4 && mem(RSP + 32, 8) == S_DATA0);
	OK(STEP(0x48, 0xcf));
	IS(RIP == 0x10000 && RSP == STACK0 - 4);
	idt64(0x20, gate(S_CODE64, 0x10900, 14, 0) | 1ULL << 32, 0);
	OK(deliver(0x20, EXT, -1));
	IS(RSP == 0x14800 - 40 && mem(RSP + 24, 8) == STACK0 - 4 && SEL(SS) == S_DATA0);
	done("long mode: the same level, alignment, IST");

	init(VIREO_EMU_PROT64, 3);
	idt64(14, gate(S_CODE64, 0x10900, 14, 0), 0);
	OK(deliver(14, EXCEPTION, 6));
	IS(m.cpl == 0 && SEL(SS) == 0 && (ATTR(SS) & NULLSEG) && RSP == STACK0 - 48);
	IS(mem(RSP, 8) == 6 && mem(RSP + 32, 8) == STACK3 && mem(RSP + 40, 8) == S_DATA3);
	IS(mem(RSP + 24, 8) == (2 | FL_RF));
	init(VIREO_EMU_PROT64, 3);
	load(VIREO_EMU_CS, S_CODE3);			/* from compatibility mode */
	m.e.mode = VIREO_EMU_PROT32;
	idt64(0x80, gate(S_CODE64, 0x10900, 14, 3), 0);
	OK(STEP(0xcd, 0x80));
	IS(m.e.mode == VIREO_EMU_PROT64 && m.cpl == 0 && RSP == STACK0 - 40);
	IS(mem(RSP + 8, 8) == S_CODE3);
	done("long mode: to an inner level, from 64-bit and 32-bit programs");

	init(VIREO_EMU_PROT64, 3);
	idt64(0x20, gate(S_CODE0, 0x10900, 14, 0), 0);	/* not 64-bit code */
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, S_CODE0 + 1);
	idt64(0x20, gate(S_CODE64, 0x10900, 6, 0), 0);
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, 0x20 * 8 + 3);
	idt64(0x20, gate(S_CODE64, 0x10900, 5, 0), 0);
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, 0x20 * 8 + 3);
	idt64(0x20, gate(S_BAD64, 0x10900, 14, 0), 0);
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, S_BAD64 + 1);
	idt64(0x20, gate(S_CODE64, 0x10900, 14, 0), 0x8000);
	snap();
	FAULT(deliver(0x20, EXT, -1), 13, 1);
	idt64(0x20, gate(S_CODE64, 0x10900, 14, 0), 0);
	set_mem(TSS + 4, 0x0000800000000100, 8);
	snap();
	FAULT(deliver(0x20, EXT, -1), 12, 1);
	LIMIT(TR) = 10;
	snap();
	FAULT(deliver(0x20, EXT, -1), 10, S_TSS64 + 1);
	done("long mode: what is wrong with gate, code or stack");
}

/* A task at TSS2 with plain segments of level 0. */
static void make_task(void)
{
	u32 i;

	set_mem(TSS2 + 28, 0x5000, 4);
	set_mem(TSS2 + 32, 0x10a00, 4);
	set_mem(TSS2 + 36, 0x202, 4);
	for (i = 0; i < 8; i++)
		set_mem(TSS2 + 40 + 4 * i, i == 4 ? 0x14800 : 0x1000 + i, 4);
	for (i = 0; i < 6; i++)
		set_mem(TSS2 + 72 + 4 * i, i == VIREO_EMU_CS ? S_CODE0 : S_DATA0, 4);
	set_mem(TSS2 + 96, S_LDT, 4);
	set_mem(TSS2 + 100, 1, 2);
}

static void tasks(void)
{
	init(VIREO_EMU_PROT32, 0);
	make_task();
	RBX = 0x1122334455667788;
	OK(STEP(0xea, 0, 0, 0, 0, S_TSS2, 0));
	IS(RIP == 0x10a00 && RSP == 0x14800 && RBX == 0x1003 && FLAGS == 0x202);
	IS(SEL(TR) == S_TSS2 && ATTR(TR) == 0x8b && SEL(LDTR) == S_LDT && m.cr3 == 0x5000);
	IS(m.cr0 & CR0_TS);
	IS(EVENTS & VIREO_EMU_EV_TASK && EVENTS & VIREO_EMU_EV_TASK_TRAP);
	IS(mem(TSS + 32, 4) == 0x10007 && mem(TSS + 36, 4) == 2 && mem(TSS + 52, 4) == 0x55667788);
	IS(mem(TSS + 56, 4) == STACK0 && mem(TSS + 76, 2) == S_CODE0 && mem(TSS + 84, 2) == S_DATA0);
	IS(mem(GDT + S_TSS + 5, 1) == 0x89 && mem(GDT + S_TSS2 + 5, 1) == 0x8b);
	/* and back */
	OK(STEP(0xea, 0, 0, 0, 0, S_TSS, 0));
	IS(RIP == 0x10007 && RBX == 0x55667788 && SEL(TR) == S_TSS && !SEL(LDTR));
	done("JMP to a TSS and back");

	init(VIREO_EMU_PROT32, 0);
	make_task();
	OK(STEP(0x9a, 0, 0, 0, 0, S_TASKGATE, 0));
	IS(RIP == 0x10a00 && FLAGS == (0x202 | FL_NT) && mem(TSS2, 2) == S_TSS);
	IS(mem(GDT + S_TSS + 5, 1) == 0x8b && mem(GDT + S_TSS2 + 5, 1) == 0x8b);
	OK(STEP(0xcf));
	IS(RIP == 0x10007 && SEL(TR) == S_TSS && mem(GDT + S_TSS2 + 5, 1) == 0x89);
	IS(mem(TSS2 + 36, 4) == 0x202 && mem(TSS2 + 32, 4) == 0x10a01);
	IS(EVENTS & VIREO_EMU_EV_IRET);
	done("CALL through a task gate, return by IRET");

	init(VIREO_EMU_PROT32, 3);
	make_task();
	idt(8, gate(S_TSS2, 0, 5, 0));
	OK(deliver(8, EXCEPTION, 0));
	IS(m.cpl == 0 && RSP == 0x147fc && mem(RSP, 4) == 0 && mem(TSS + 32, 4) == 0x10000);
	IS(SEL(TR) == S_TSS2 && (FLAGS & FL_NT) && mem(TSS + 76, 2) == S_CODE3);
	OK(STEP(0xcf));
	IS(m.cpl == 3 && RIP == 0x10000 && RSP == STACK3);
	done("a task gate of the IDT, with an error code");

	init(VIREO_EMU_PROT32, 0);
	make_task();
	put(S_TSS2, desc(TSS2, 0x67, 0x8b));
	REFUSED(13, S_TSS2, 0xea, 0, 0, 0, 0, S_TSS2, 0);
	put(S_TSS2, desc(TSS2, 0x67, 0x09));
	REFUSED(11, S_TSS2, 0xea, 0, 0, 0, 0, S_TSS2, 0);
	put(S_TSS2, desc(TSS2, 0x66, 0x89));
	REFUSED(10, S_TSS2, 0xea, 0, 0, 0, 0, S_TSS2, 0);
	put(S_TSS2, desc(TSS2, 0x67, 0x89));
	put(S_TASKGATE, gate(S_TSS2 | 4, 0, 5, 0));
	REFUSED(13, S_TSS2 | 4, 0xea, 0, 0, 0, 0, S_TASKGATE, 0);
	idt(8, gate(S_DATA0, 0, 5, 0));
	snap();
	FAULT(deliver(8, EXCEPTION, 0), 13, S_DATA0 + 1);
	set_mem(TSS, S_TSS2, 2);
	FLAGS |= FL_NT;
	REFUSED(10, S_TSS2, 0xcf);			/* not busy */
	FLAGS &= ~(u64)FL_NT;
	m.kind[3] = PG_RO;
	snap();
	FAULT(STEP(0xea, 0, 0, 0, 0, S_TSS2, 0), 14, 3);
	m.kind[3] = PG_RW;
	m.cpl = 0;
	init(VIREO_EMU_PROT32, 3);
	make_task();
	REFUSED(13, S_TSS2, 0xea, 0, 0, 0, 0, S_TSS2 | 3, 0);
	done("task switches that are refused in the old task");
}

/* Fault in the new task: registers are its own already. */
static void task_fault(u32 offset, u16 sel, u32 vector, u32 code)
{
	int r;

	init(VIREO_EMU_PROT32, 0);
	make_task();
	set_mem(TSS2 + offset, sel, 2);
	r = STEP(0xea, 0, 0, 0, 0, S_TSS2, 0);
	IS(r == VIREO_EMU_EXCEPTION && m.e.exception.vector == vector &&
	   m.e.exception.has_error && m.e.exception.error_code == code);
	IS((EVENTS & VIREO_EMU_EV_TASK) && RIP == 0x10a00 && SEL(TR) == S_TSS2);
}

static void task_faults(void)
{
	task_fault(96, S_TSS, 10, S_TSS);
	task_fault(96, S_LDT | 4, 10, S_LDT | 4);
	task_fault(76, 0, 10, 0);
	task_fault(76, S_CODE3 & ~3, 10, S_CODE3 & ~3);
	task_fault(76, S_DATA0, 10, S_DATA0);
	task_fault(76, S_ABSENT_CODE, 11, S_ABSENT_CODE);
	task_fault(80, 0, 10, 0);
	task_fault(80, S_RO, 10, S_RO);
	task_fault(80, S_ABSENT, 12, S_ABSENT);
	task_fault(84, S_XO, 10, S_XO);
	task_fault(84, S_ABSENT, 11, S_ABSENT);
	task_fault(92, S_END, 10, S_END);
	done("task switches that fail in the new task");

	init(VIREO_EMU_PROT32, 0);
	make_task();
	set_mem(TSS2 + 36, 0x23202, 4);
	set_mem(TSS2 + 32, 0x456, 4);
	set_mem(TSS2 + 76, 0x1000, 2);
	set_mem(TSS2 + 80, 0x1000, 2);
	OK(STEP(0xea, 0, 0, 0, 0, S_TSS2, 0));
	IS(m.e.mode == VIREO_EMU_VM86 && m.cpl == 3 && RIP == 0x456 && BASE(CS) == 0x10000);
	done("a task in virtual-8086 mode");

	init(VIREO_EMU_PROT32, 0);
	set_mem(TSS_16 + 14, 0x700, 2);
	set_mem(TSS_16 + 16, 0x202, 2);
	set_mem(TSS_16 + 18, 0x1234, 2);
	set_mem(TSS_16 + 26, 0x4800, 2);
	set_mem(TSS_16 + 34, S_DATA0, 2);
	set_mem(TSS_16 + 36, S_CODE16, 2);
	set_mem(TSS_16 + 38, S_DATA16, 2);
	OK(STEP(0x9a, 0, 0, 0, 0, S_TSS16, 0));
	IS(RIP == 0x700 && (u16)RAX == 0x1234 && (u16)RSP == 0x4800 && m.e.mode == VIREO_EMU_PROT16);
	IS(SEL(SS) == S_DATA16 && !SEL(DS) && !SEL(FS) && !SEL(GS) && (FLAGS & FL_NT));
	IS(mem(TSS_16, 2) == S_TSS && ATTR(TR) == 0x83);
	OK(STEP(0xcf));
	IS(RIP == 0x10007 && SEL(TR) == S_TSS && m.e.mode == VIREO_EMU_PROT32);
	IS(mem(TSS_16 + 14, 2) == 0x701 && mem(GDT + S_TSS16 + 5, 1) == 0x81);
	done("16-bit TSS");
}

int main(void)
{
	real();
	protected();
	vm86();
	long_mode();
	tasks();
	task_faults();
	return tap_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Segment registers, descriptor tables, and far control transfer: a case for each
 * form and for each reason to refuse it, with its error code.
 */
#include "cases.h"

static void real_segments(void)
{
	init(VIREO_EMU_REAL, 0);
	m.seg[VIREO_EMU_DS].limit = 0xffffffff;		/* unreal mode */
	m.seg[VIREO_EMU_DS].attr = 0xc093;
	RAX = 0x1234;
	OK(STEP(0x8e, 0xd8));				/* mov ds, ax */
	IS(SEL(DS) == 0x1234 && BASE(DS) == 0x12340);
	IS(LIMIT(DS) == 0xffffffff && ATTR(DS) == 0xc093);
	OK(STEP(0x8e, 0xd0));				/* mov ss, ax */
	IS(SEL(SS) == 0x1234 && EVENTS == VIREO_EMU_EV_MOVSS && m.cpl == 0);
	IS(RIP == 0x704);
	FLAGS |= FL_TF;
	OK(STEP(0x8e, 0xd0));				/* the trap comes after the next */
	IS(EVENTS == VIREO_EMU_EV_MOVSS);
	OK(STEP(0x8e, 0xd8));
	IS(EVENTS == VIREO_EMU_EV_STEP);
	init(VIREO_EMU_REAL, 0);
	set_mem(0x1000, 0x4321, 2);
	OK(STEP(0x07));					/* pop es */
	IS(SEL(ES) == 0x4321 && BASE(ES) == 0x43210 && RSP == 0x1002);
	OK(STEP(0x0f, 0xa0));				/* push fs */
	OK(STEP(0x17));					/* pop ss */
	IS(EVENTS == VIREO_EMU_EV_MOVSS && RSP == 0x1002);
	done("real mode: MOV and POP of segment registers keep the limit");

	init(VIREO_EMU_REAL, 0);
	RBX = 0x800;
	set_mem(0x800, 0x56781234, 4);
	OK(STEP(0xc4, 0x07));				/* les ax, [bx] */
	IS(RAX == 0x1234 && SEL(ES) == 0x5678);
	OK(STEP(0xc5, 0x07));
	IS(SEL(DS) == 0x5678 && BASE(DS) == 0x56780);
	m.seg[VIREO_EMU_DS] = m.seg[VIREO_EMU_CS];
	set_mem(0x800, 0x1234deadbeef, 8);
	OK(STEP(0x66, 0x0f, 0xb2, 0x0f));		/* lss ecx, [bx] */
	IS(RCX == 0xdeadbeef && SEL(SS) == 0x1234 && !EVENTS);
	OK(STEP(0x0f, 0xb4, 0x0f));			/* lfs */
	IS(SEL(FS) == 0xdead);
	OK(STEP(0x0f, 0xb5, 0x0f));			/* lgs */
	IS(SEL(GS) == 0xdead && (RCX & 0xffff) == 0xbeef);
	done("real mode: LES, LDS, LSS, LFS, LGS");
}

static void load_data(void)
{
	init(VIREO_EMU_PROT32, 0);
	put(S_DATA0, desc(0x10000, 0x1ffff, 0x4092));	/* not accessed yet */
	RAX = S_DATA0;
	OK(STEP(0x8e, 0xd8));
	IS(SEL(DS) == S_DATA0 && BASE(DS) == 0x10000 && LIMIT(DS) == 0x1ffff);
	IS(ATTR(DS) == 0x4093 && mem(GDT + S_DATA0 + 5, 1) == 0x93);
	RAX = 2;
	OK(STEP(0x8e, 0xd8));
	IS(SEL(DS) == 2 && ATTR(DS) == NULLSEG);
	RAX = S_CODE0 | 3;				/* RPL counts */
	REFUSED(13, S_CODE0, 0x8e, 0xc0);
	RAX = S_CONF0 | 3;				/* not for conforming code */
	OK(STEP(0x8e, 0xc0));
	RAX = S_XO;
	REFUSED(13, S_XO, 0x8e, 0xc0);
	RAX = S_TSS;
	REFUSED(13, S_TSS, 0x8e, 0xc0);
	RAX = S_ABSENT;
	REFUSED(11, S_ABSENT, 0x8e, 0xc0);
	RAX = S_END | 3;
	REFUSED(13, S_END, 0x8e, 0xc0);
	RAX = S_IN_LDT;
	REFUSED(13, S_IN_LDT, 0x8e, 0xc0);		/* there is no LDT */
	m.seg[VIREO_EMU_LDTR] = (struct vireo_emu_segment){ LDT, 0xf, 0x82, S_LDT };
	OK(STEP(0x8e, 0xc0));
	IS(SEL(ES) == S_IN_LDT);
	m.seg[VIREO_EMU_LDTR].limit = 0xe;
	REFUSED(13, S_IN_LDT, 0x8e, 0xc0);
	done("protected mode: loading data segments, the accessed bit, LDT");

	init(VIREO_EMU_PROT32, 3);
	RAX = S_DATA0;
	REFUSED(13, S_DATA0, 0x8e, 0xe8);
	RAX = S_DATA3 & ~3;				/* a lower RPL is no harm */
	OK(STEP(0x8e, 0xe8));
	RAX = S_CODE3;
	OK(STEP(0x8e, 0xe0));
	RAX = S_DATA3 & ~3;
	REFUSED(13, S_DATA3 & ~3, 0x8e, 0xd0);		/* SS: RPL is the CPL */
	RAX = S_CODE3;
	REFUSED(13, S_CODE3 & ~3, 0x8e, 0xd0);
	RAX = 0;
	REFUSED(13, 0, 0x8e, 0xd0);
	RAX = S_DATA3;
	OK(STEP(0x8e, 0xd0));
	IS(EVENTS == VIREO_EMU_EV_MOVSS);
	m.kind[(GDT - 0x10000) >> 12] = PG_RO;
	set_mem(GDT + 0x25, 0xf2, 1);
	snap();
	FAULT(STEP(0x8e, 0xd0), 14, 3);			/* a supervisor's write */
	done("protected mode: privilege, SS, a table that cannot be written");

	init(VIREO_EMU_PROT32, 0);
	RAX = S_ABSENT;
	REFUSED(12, S_ABSENT, 0x8e, 0xd0);
	RAX = S_RO;
	REFUSED(13, S_RO, 0x8e, 0xd0);
	set_mem(STACK0, S_RO, 4);
	REFUSED(13, S_RO, 0x17);			/* pop ss */
	set_mem(STACK0, S_DATA16, 4);
	OK(STEP(0x17));
	IS(RSP == STACK0 + 4 && SEL(SS) == S_DATA16);
	RBX = 0x10800;
	set_mem(0x10800, S_XO * 0x100000000ULL + 0x1234, 6);
	REFUSED(13, S_XO, 0x0f, 0xb2, 0x0b);
	set_mem(0x10800, S_DATA0 * 0x100000000ULL + 0x12345678, 6);
	OK(STEP(0x0f, 0xb2, 0x0b));
	IS(RCX == 0x12345678 && SEL(SS) == S_DATA0);
	done("protected mode: POP SS and LSS load the stack pointer or nothing");

	init(VIREO_EMU_PROT64, 0);
	RAX = 0;
	OK(STEP(0x8e, 0xd0));
	IS(SEL(SS) == 0 && (ATTR(SS) & NULLSEG) && m.cpl == 0);
	RAX = 3;
	REFUSED(13, 0, 0x8e, 0xd0);
	put(S_DATA0, desc(0x12345000, 0xfffff, 0xc093));
	RAX = S_DATA0;
	OK(STEP(0x8e, 0xe8));
	IS(BASE(GS) == 0x12345000);
	RAX = 0;
	OK(STEP(0x8e, 0xe8));
	IS(BASE(GS) == 0);
	m.e.features |= VIREO_EMU_F_AMD;
	RAX = S_DATA0;
	OK(STEP(0x8e, 0xe8));
	RAX = 0;
	OK(STEP(0x8e, 0xe8));
	IS(BASE(GS) == 0x12345000 && SEL(GS) == 0);
	m.e.features = 0;
	RBX = 0x10800;
	set_mem(0x10800, 0x1122334455667788, 8);
	set_mem(0x10808, S_DATA0, 2);
	OK(STEP(0x48, 0x0f, 0xb5, 0x03));		/* lgs rax, [rbx] */
	IS(RAX == 0x1122334455667788 && SEL(GS) == S_DATA0);
	init(VIREO_EMU_PROT64, 3);
	RAX = 3;
	REFUSED(13, 0, 0x8e, 0xd0);
	done("64-bit mode: null SS, bases of FS and GS, 64-bit offsets");
}

static void system_segments(void)
{
	init(VIREO_EMU_PROT32, 0);
	RAX = S_LDT;
	OK(STEP(0x0f, 0x00, 0xd0));			/* lldt ax */
	IS(SEL(LDTR) == S_LDT && BASE(LDTR) == LDT && LIMIT(LDTR) == 0xf);
	OK(STEP(0x0f, 0x00, 0xc3));			/* sldt ebx */
	IS(RBX == S_LDT);
	RAX = 0;
	OK(STEP(0x0f, 0x00, 0xd0));
	IS(ATTR(LDTR) & NULLSEG);
	RAX = S_TSS2;
	REFUSED(13, S_TSS2, 0x0f, 0x00, 0xd0);
	RAX = S_LDT | 4;
	REFUSED(13, S_LDT | 4, 0x0f, 0x00, 0xd0);
	put(S_LDT, desc(LDT, 0xf, 0x02));
	RAX = S_LDT;
	REFUSED(11, S_LDT, 0x0f, 0x00, 0xd0);
	RAX = S_TSS2;
	OK(STEP(0x0f, 0x00, 0xd8));			/* ltr ax */
	IS(SEL(TR) == S_TSS2 && ATTR(TR) == 0x8b && mem(GDT + S_TSS2 + 5, 1) == 0x8b);
	REFUSED(13, S_TSS2, 0x0f, 0x00, 0xd8);		/* busy */
	RAX = 0;
	REFUSED(13, 0, 0x0f, 0x00, 0xd8);
	put(S_TSS2, desc(TSS2, 0x67, 0x09));
	RAX = S_TSS2;
	REFUSED(11, S_TSS2, 0x0f, 0x00, 0xd8);
	RAX = S_TSS16;
	OK(STEP(0x0f, 0x00, 0xd8));
	OK(STEP(0x66, 0x0f, 0x00, 0xc9));		/* str cx */
	IS((RCX & 0xffff) == S_TSS16);
	init(VIREO_EMU_PROT32, 3);
	REFUSED(13, 0, 0x0f, 0x00, 0xd0);
	REFUSED(13, 0, 0x0f, 0x00, 0xd8);
	OK(STEP(0x0f, 0x00, 0xc8));
	m.cr4 |= CR4_UMIP;
	REFUSED(13, 0, 0x0f, 0x00, 0xc8);
	REFUSED(13, 0, 0x0f, 0x00, 0xc0);
	done("LLDT, LTR, SLDT, STR, UMIP");

	init(VIREO_EMU_PROT64, 0);
	put(S_TSS64, desc(TSS, 0x67, 0x89));
	set_mem(GDT + S_TSS64 + 8, 0xffffff80, 8);
	RAX = S_TSS64;
	OK(STEP(0x0f, 0x00, 0xd8));
	IS(BASE(TR) == 0xffffff8000000000 + TSS);
	put(S_TSS64, desc(TSS, 0x67, 0x89));
	set_mem(GDT + S_TSS64 + 8, 0x00800000, 8);
	REFUSED(13, S_TSS64, 0x0f, 0x00, 0xd8);
	set_mem(GDT + S_TSS64 + 8, 0x100000000000ULL, 8);
	REFUSED(13, S_TSS64, 0x0f, 0x00, 0xd8);
	RAX = S_TSS16;
	REFUSED(13, S_TSS16, 0x0f, 0x00, 0xd8);
	RAX = S_LDT64;
	OK(STEP(0x0f, 0x00, 0xd0));
	m.dt_limit[0] = S_LDT64 + 0xe;
	REFUSED(13, S_LDT64, 0x0f, 0x00, 0xd0);
	done("long mode: LLDT and LTR read 16 bytes");
}

static void inspect(void)
{
	init(VIREO_EMU_PROT32, 0);
	RCX = S_RO;
	OK(STEP(0x0f, 0x02, 0xc1));			/* lar eax, ecx */
	IS((FLAGS & FL_ZF) && (RAX & 0xf0ff00) == 0xc09100);
	OK(STEP(0x0f, 0x03, 0xc1));			/* lsl eax, ecx */
	IS((FLAGS & FL_ZF) && RAX == 0xffffffff);
	RCX = S_TSS;
	OK(STEP(0x0f, 0x03, 0xc1));
	IS((FLAGS & FL_ZF) && RAX == 0x1ff);
	RCX = S_GATE;
	OK(STEP(0x0f, 0x03, 0xc1));			/* a gate has no limit */
	IS(!(FLAGS & FL_ZF) && RAX == 0x1ff);
	OK(STEP(0x0f, 0x02, 0xc1));
	IS((FLAGS & FL_ZF) && (RAX & 0xf0ff00) == 0xec00);
	RCX = S_RO;
	OK(STEP(0x0f, 0x00, 0xe1));			/* verr cx */
	IS(FLAGS & FL_ZF);
	OK(STEP(0x0f, 0x00, 0xe9));			/* verw cx */
	IS(!(FLAGS & FL_ZF));
	RCX = S_XO;
	OK(STEP(0x0f, 0x00, 0xe1));
	IS(!(FLAGS & FL_ZF));
	RCX = S_DATA0;
	OK(STEP(0x0f, 0x00, 0xe9));
	IS(FLAGS & FL_ZF);
	RCX = 0;
	OK(STEP(0x0f, 0x00, 0xe1));
	IS(!(FLAGS & FL_ZF));
	RCX = S_END;
	OK(STEP(0x0f, 0x02, 0xc1));
	IS(!(FLAGS & FL_ZF));
	init(VIREO_EMU_PROT32, 3);
	RCX = S_DATA0;
	OK(STEP(0x0f, 0x02, 0xc1));
	IS(!(FLAGS & FL_ZF));
	RCX = S_CONF0 | 3;
	OK(STEP(0x0f, 0x02, 0xc1));
	IS(FLAGS & FL_ZF);
	init(VIREO_EMU_PROT64, 0);
	RCX = S_TSS16;					/* no 16-bit TSS there */
	OK(STEP(0x0f, 0x02, 0xc1));
	IS(!(FLAGS & FL_ZF));
	RCX = S_TSS64;
	OK(STEP(0x48, 0x0f, 0x03, 0xc1));
	IS((FLAGS & FL_ZF) && RAX == 0x1ff);
	done("LAR, LSL, VERR, VERW");

	init(VIREO_EMU_PROT32, 3);
	RAX = 0x12340, RCX = 3;
	OK(STEP(0x63, 0xc8));				/* arpl ax, cx */
	IS((FLAGS & FL_ZF) && RAX == 0x12343);
	RCX = 2;
	OK(STEP(0x63, 0xc8));
	IS(!(FLAGS & FL_ZF) && RAX == 0x12343);
	RBX = 0x10800;
	set_mem(0x10800, 0xabcc, 2);
	OK(STEP(0x63, 0x0b));
	IS((FLAGS & FL_ZF) && mem(0x10800, 2) == 0xabce);
	init(VIREO_EMU_REAL, 0);
	snap();
	FAULT(STEP(0x63, 0xc8), 6, -1);
	FAULT(STEP(0x0f, 0x00, 0xd0), 6, -1);
	FAULT(STEP(0x0f, 0x02, 0xc1), 6, -1);
	done("ARPL; none of these in real mode");
}

static void real_far(void)
{
	init(VIREO_EMU_REAL, 0);
	OK(STEP(0xea, 0x34, 0x02, 0x00, 0x01));		/* jmp 0100:0234 */
	IS(RIP == 0x234 && SEL(CS) == 0x100 && BASE(CS) == 0x1000 && m.e.mode == VIREO_EMU_REAL);
	IS(EVENTS & VIREO_EMU_EV_MODE);
	OK(STEP(0x9a, 0x78, 0x56, 0x00, 0x02));		/* call 0200:5678 */
	IS(RIP == 0x5678 && SEL(CS) == 0x200 && RSP == 0xffc);
	IS(mem(0xffc, 4) == 0x01000239);
	OK(STEP(0xcb));
	IS(RIP == 0x239 && SEL(CS) == 0x100 && RSP == 0x1000);
	RBX = 0x800;
	set_mem(0x800, 0x03001111, 4);
	OK(STEP(0xff, 0x1f));				/* call far [bx] */
	IS(RIP == 0x1111 && SEL(CS) == 0x300 && mem(0xffc, 4) == 0x0100023b);
	OK(STEP(0xca, 0x08, 0x00));			/* retf 8 */
	IS(RIP == 0x23b && RSP == 0x1008);
	OK(STEP(0xff, 0x2f));				/* jmp far [bx] */
	IS(RIP == 0x1111 && SEL(CS) == 0x300);
	OK(STEP(0x66, 0xea, 0x00, 0x10, 0x00, 0x00, 0x00, 0x04));
	IS(RIP == 0x1000 && SEL(CS) == 0x400);
	snap();
	FAULT(STEP(0x66, 0xea, 0x00, 0x00, 0x01, 0x00, 0x00, 0x04), 13, 0);
	RSP = 1;
	snap();
	FAULT(STEP(0x9a, 0x78, 0x56, 0x00, 0x02), 12, 0);
	done("real mode: far JMP, CALL, RET");

	/* A BIOS-like way to protected mode: LGDT, CR0, far JMP */
	init(VIREO_EMU_REAL, 0);
	set_mem(0x800, 0x110000ffULL << 8, 8);
	set_mem(0x800, 0x2000001f, 6);
	set_mem(0x800, 0x1f, 2);
	set_mem(0x802, 0x2000, 4);
	set_mem(0x2008, desc(0, 0xfffff, 0xc09a), 8);
	set_mem(0x2010, desc(0, 0xfffff, 0xc092), 8);
	OK(STEP(0x0f, 0x01, 0x16, 0x00, 0x08));		/* lgdt [0800] */
	IS(m.dt_base[0] == 0x2000 && m.dt_limit[0] == 0x1f);
	RAX = m.cr0 | 1;
	OK(STEP(0x0f, 0x22, 0xc0));
	IS(m.e.mode == VIREO_EMU_PROT16 && (EVENTS & VIREO_EMU_EV_MODE));
	OK(STEP(0x66, 0xea, 0x00, 0x10, 0x00, 0x00, 0x08, 0x00));
	IS(m.e.mode == VIREO_EMU_PROT32 && RIP == 0x1000 && ATTR(CS) == 0xc09b && m.cpl == 0);
	IS(mem(0x200d, 1) == 0x9b);
	RAX = 0x10;
	OK(STEP(0x8e, 0xd8));
	OK(STEP(0x8e, 0xd0));
	RAX = m.cr0 & ~1ULL;
	OK(STEP(0x0f, 0x22, 0xc0));
	IS(m.e.mode == VIREO_EMU_REAL32);
	OK(STEP(0xea, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00));
	IS(SEL(CS) == 0 && BASE(CS) == 0 && LIMIT(DS) == 0xffffffff);
	done("from real to protected mode and back to unreal mode");
}

static void jumps(void)
{
	init(VIREO_EMU_PROT32, 0);
	OK(STEP(0xea, 0x00, 0x08, 0x01, 0x00, S_CODE0, 0x00));
	IS(RIP == 0x10800 && SEL(CS) == S_CODE0);
	OK(STEP(0xea, 0x00, 0x08, 0x00, 0x00, S_CODE16, 0x00));
	IS(RIP == 0x800 && m.e.mode == VIREO_EMU_PROT16 && BASE(CS) == 0x10000);
	OK(STEP(0xea, 0x00, 0x09, S_CODE16, 0x00));
	IS(RIP == 0x900);
	OK(STEP(0x66, 0xea, 0x00, 0x08, 0x01, 0x00, S_CODE0, 0x00));
	IS(RIP == 0x10800 && m.e.mode == VIREO_EMU_PROT32);
	REFUSED(13, 0, 0xea, 0, 0, 0, 0, 0x03, 0x00);
	REFUSED(13, S_END, 0xea, 0, 0, 0, 0, S_END, 0x00);
	REFUSED(13, S_CODE0, 0xea, 0, 0, 0, 0, S_CODE0 | 3, 0x00);
	REFUSED(13, S_DATA0, 0xea, 0, 0, 0, 0, S_DATA0, 0x00);
	REFUSED(13, S_CODE3 & ~3, 0xea, 0, 0, 0, 0, S_CODE3, 0x00);
	REFUSED(11, S_ABSENT_CODE, 0xea, 0, 0, 0, 0, S_ABSENT_CODE, 0x00);
	REFUSED(13, S_LDT, 0xea, 0, 0, 0, 0, S_LDT, 0x00);
	REFUSED(13, 0, 0xea, 0, 0, 1, 0, S_CODE16, 0x00);	/* beyond its limit */
	OK(STEP(0xea, 0, 0, 0, 0, S_GATE, 0x00));		/* jmp by call gate */
	IS(RIP == 0x10400 && SEL(CS) == S_CODE0 && RSP == STACK0);
	done("protected mode: far JMP");

	init(VIREO_EMU_PROT32, 3);
	REFUSED(13, S_CODE0, 0xea, 0, 0, 0, 0, S_CODE0, 0x00);
	OK(STEP(0xea, 0x00, 0x08, 0x01, 0x00, S_CONF0 | 3, 0x00));
	IS(SEL(CS) == (S_CONF0 | 3) && m.cpl == 3 && RIP == 0x10800);
	REFUSED(13, S_CODE0, 0xea, 0, 0, 0, 0, S_GATE | 3, 0x00);	/* JMP stays at its level */
	put(S_GATE, gate(S_CODE0, 0x10400, 12, 2));
	REFUSED(13, S_GATE, 0xea, 0, 0, 0, 0, S_GATE | 3, 0x00);
	put(S_GATE, gate(S_CODE0, 0x10400, 12, 3) & ~(1ULL << 47));
	REFUSED(11, S_GATE, 0xea, 0, 0, 0, 0, S_GATE | 3, 0x00);
	done("protected mode: far JMP from level 3, conforming code, gates");

	init(VIREO_EMU_PROT64, 0);
	RBX = 0x10800;
	set_mem(0x10800, S_CODE64 * 0x100000000ULL + 0x12345678, 6);
	OK(STEP(0xff, 0x2b));
	IS(RIP == 0x12345678 && m.e.mode == VIREO_EMU_PROT64);
	set_mem(0x10800, 0xffff800000001000, 8);
	set_mem(0x10808, S_CODE64, 2);
	OK(STEP(0x48, 0xff, 0x2b));
	IS(RIP == 0xffff800000001000);
	set_mem(0x10800, 0x0000800000000000, 8);
	REFUSED(13, 0, 0x48, 0xff, 0x2b);
	set_mem(0x10800, S_BAD64 * 0x100000000ULL + 0x12345678, 6);
	REFUSED(13, S_BAD64, 0xff, 0x2b);
	set_mem(0x10800, S_TSS64 * 0x100000000ULL, 6);
	REFUSED(13, S_TSS64, 0xff, 0x2b);
	set_mem(0x10800, S_GATE64 * 0x100000000ULL, 6);
	OK(STEP(0xff, 0x2b));
	IS(RIP == 0x123400010400);
	set_mem(0x10800, S_CODE0 * 0x100000000ULL + 0x10700, 6);
	OK(STEP(0xff, 0x2b));
	IS(RIP == 0x10700 && m.e.mode == VIREO_EMU_PROT32);
	OK(STEP(0xea, 0x00, 0x08, 0x01, 0x00, S_CODE64, 0x00));
	IS(m.e.mode == VIREO_EMU_PROT64);
	done("long mode: far JMP to 64-bit code and to compatibility mode");
}

static void calls(void)
{
	init(VIREO_EMU_PROT32, 0);
	OK(STEP(0x9a, 0x00, 0x08, 0x01, 0x00, S_CODE0, 0x00));
	IS(RIP == 0x10800 && RSP == STACK0 - 8);
	IS(mem(RSP, 4) == 0x10007 && mem(RSP + 4, 4) == S_CODE0);
	OK(STEP(0xcb));
	IS(RIP == 0x10007 && RSP == STACK0);
	OK(STEP(0x9a, 0, 0, 0, 0, S_GATE, 0x00));		/* same level: no parameters */
	IS(RIP == 0x10400 && RSP == STACK0 - 8 && mem(RSP, 4) == 0x1000e);
	m.kind[4] = PG_RO;
	RIP = 0x10000;
	snap();
	FAULT(STEP(0x9a, 0x00, 0x08, 0x01, 0x00, S_CODE0, 0x00), 14, 3);
	m.kind[4] = PG_RW;
	m.seg[VIREO_EMU_SS].limit = 0x100;
	REFUSED(12, 0, 0x9a, 0x00, 0x08, 0x01, 0x00, S_CODE0, 0x00);
	done("protected mode: far CALL and RET at the same level");

	init(VIREO_EMU_PROT32, 3);
	put(S_CODE0, desc(0, 0xfffff, 0xc09a));
	put(S_DATA0, desc(0, 0xfffff, 0xc092));
	set_mem(STACK3 - 8, 0x2222222211111111, 8);
	RSP = STACK3 - 8;
	OK(STEP(0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00));
	IS(RIP == 0x10400 && SEL(CS) == S_CODE0 && SEL(SS) == S_DATA0 && m.cpl == 0);
	IS(RSP == STACK0 - 24 && mem(RSP, 4) == 0x10007 && mem(RSP + 4, 4) == S_CODE3);
	IS(mem(RSP + 8, 8) == 0x2222222211111111);
	IS(mem(RSP + 16, 4) == STACK3 - 8 && mem(RSP + 20, 4) == S_DATA3);
	IS(mem(GDT + S_CODE0 + 5, 1) == 0x9b && mem(GDT + S_DATA0 + 5, 1) == 0x93);
	OK(STEP(0xca, 0x08, 0x00));				/* retf 8 */
	IS(RIP == 0x10007 && SEL(CS) == S_CODE3 && SEL(SS) == S_DATA3 && m.cpl == 3);
	IS(RSP == STACK3 && SEL(DS) == S_DATA3);
	done("call gate to an inner level with parameters, and back");

	init(VIREO_EMU_PROT32, 3);
	set_mem(TSS + 8, 0, 2);
	REFUSED(10, 0, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	set_mem(TSS + 8, S_RO, 2);
	REFUSED(10, S_RO, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	set_mem(TSS + 8, S_DATA0 | 1, 2);
	REFUSED(10, S_DATA0, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	set_mem(TSS + 8, S_ABSENT, 2);
	REFUSED(12, S_ABSENT, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	set_mem(TSS + 8, S_END, 2);
	REFUSED(10, S_END, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	set_mem(TSS + 8, S_DATA0, 2);
	put(S_DATA0, desc(0, STACK0 - 5, 0x4093));
	REFUSED(12, S_DATA0, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	put(S_DATA0, desc(0, 0xfffff, 0xc093));
	m.seg[VIREO_EMU_TR].limit = 8;
	REFUSED(10, S_TSS, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	m.seg[VIREO_EMU_TR].limit = 0x67;
	m.kind[4] = PG_NONE;
	REFUSED(14, 2, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);	/* the inner level's access */
	m.kind[4] = PG_RW;
	put(S_GATE, gate(0, 0x10400, 12, 3));
	REFUSED(13, 0, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	put(S_GATE, gate(S_DATA0, 0x10400, 12, 3));
	REFUSED(13, S_DATA0, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	put(S_GATE, gate(S_ABSENT_CODE, 0x10400, 12, 3));
	REFUSED(11, S_ABSENT_CODE, 0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00);
	put(S_GATE, gate(S_CONF0, 0x10400, 12, 3));
	OK(STEP(0x9a, 0, 0, 0, 0, S_GATE | 3, 0x00));
	IS(m.cpl == 3 && SEL(CS) == (S_CONF0 | 3) && RSP == STACK3 - 8);
	done("call gate: what is wrong with stack, gate or code");

	init(VIREO_EMU_PROT32, 3);
	set_mem(STACK3, 0x4321, 2);
	OK(STEP(0x9a, 0, 0, 0, 0, S_GATE16 | 3, 0x00));
	IS(RIP == 0x400 && m.e.mode == VIREO_EMU_PROT16 && m.cpl == 0);
	IS(RSP == STACK0 - 10 && mem(RSP, 2) == 7 && mem(RSP + 2, 2) == S_CODE3);
	IS(mem(RSP + 4, 2) == 0x4321 && mem(RSP + 6, 2) == (STACK3 & 0xffff));
	done("16-bit call gate");

	init(VIREO_EMU_PROT32, 3);
	set_mem(TSS + 4, 0x12345000, 4);
	set_mem(TSS + 8, S_DATA16, 2);
	OK(STEP(0x9a, 0, 0, 0, 0, S_GATE16 | 3, 0x00));
	IS(RSP == 0x12345000 - 10 && mem(0x15000 - 10, 2) == 7);
	done("an inner stack of 16 bits: the upper half is that of the TSS");

	init(VIREO_EMU_PROT64, 3);
	RBX = 0x10800;
	set_mem(0x10800, (S_GATE64 | 3ULL) << 32, 6);
	OK(STEP(0xff, 0x1b));
	IS(RIP == 0x123400010400 && m.cpl == 0 && SEL(SS) == 0 && (ATTR(SS) & NULLSEG));
	IS(RSP == STACK0 - 32 && mem(RSP, 8) == 0x10002 && mem(RSP + 8, 8) == S_CODE64_3);
	IS(mem(RSP + 16, 8) == STACK3 && mem(RSP + 24, 8) == S_DATA3);
	OK(STEP(0x48, 0xcb));					/* retfq */
	IS(RIP == 0x10002 && m.cpl == 3 && RSP == STACK3 && SEL(SS) == S_DATA3);
	set_mem(TSS + 4, 0x8000000000000000, 8);
	REFUSED(12, 0, 0xff, 0x1b);
	done("64-bit call gate and back");
}

static void returns(void)
{
	init(VIREO_EMU_PROT32, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x10500, 4);
	set_mem(RSP + 4, S_CODE3, 4);
	set_mem(RSP + 8, STACK3, 4);
	set_mem(RSP + 12, S_DATA3, 4);
	m.seg[VIREO_EMU_FS] = (struct vireo_emu_segment){ 0, 0xffffffff, 0xc09f, S_CONF0 };
	load(VIREO_EMU_GS, S_DATA3);
	OK(STEP(0xcb));
	IS(RIP == 0x10500 && SEL(CS) == S_CODE3 && m.cpl == 3 && RSP == STACK3);
	IS(SEL(DS) == 0 && (ATTR(DS) & NULLSEG) && (ATTR(ES) & NULLSEG));
	IS(SEL(FS) == S_CONF0 && SEL(GS) == S_DATA3);
	done("RET to an outer level drops segments of the inner one");

	init(VIREO_EMU_PROT32, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x10500, 4);
	set_mem(RSP + 4, 0, 4);
	REFUSED(13, 0, 0xcb);
	set_mem(RSP + 4, S_CODE0 | 3, 4);
	REFUSED(13, S_CODE0, 0xcb);
	set_mem(RSP + 4, S_DATA0, 4);
	REFUSED(13, S_DATA0, 0xcb);
	set_mem(RSP + 4, S_ABSENT_CODE, 4);
	REFUSED(11, S_ABSENT_CODE, 0xcb);
	set_mem(RSP + 4, S_END, 4);
	REFUSED(13, S_END, 0xcb);
	set_mem(RSP + 4, S_CODE3, 4);
	set_mem(RSP + 12, 0, 4);
	REFUSED(13, 0, 0xcb);
	set_mem(RSP + 12, S_DATA0, 4);
	REFUSED(13, S_DATA0, 0xcb);
	set_mem(RSP + 12, S_CODE3, 4);
	REFUSED(13, S_CODE3 & ~3, 0xcb);
	put(S_ABSENT, desc(0, 0xfffff, 0xc073));
	set_mem(RSP + 12, S_ABSENT | 3, 4);
	REFUSED(12, S_ABSENT, 0xcb);
	RSP = 0xfffffffc;
	REFUSED(14, 0, 0xcb);
	m.seg[VIREO_EMU_SS].limit = 0x14804;
	RSP = 0x14800;
	REFUSED(12, 0, 0xcb);
	init(VIREO_EMU_PROT32, 3);
	RSP = 0x16800;
	set_mem(RSP, 0x10500, 4);
	set_mem(RSP + 4, S_CODE0, 4);
	REFUSED(13, S_CODE0, 0xcb);
	done("RET: what is wrong with code or stack");
}

static void irets(void)
{
	u64 flags;

	init(VIREO_EMU_REAL, 0);
	set_mem(0x1000, 0x0246, 2);
	set_mem(0x1002, 0x0100, 2);
	set_mem(0x1004, 0x7ed5, 2);
	OK(STEP(0xcf));
	IS(RIP == 0x246 && SEL(CS) == 0x100 && RSP == 0x1006 && FLAGS == 0x7ed7);
	IS(EVENTS & VIREO_EMU_EV_IRET);
	RSP = 0x1000;
	set_mem(0x1000, 0x246, 4);
	set_mem(0x1004, 0x100, 4);
	set_mem(0x1008, 0x3f7002, 4);
	OK(STEP(0x66, 0xcf));
	IS(FLAGS == 0x257002 && RSP == 0x100c);
	done("real mode: IRET");

	init(VIREO_EMU_PROT32, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x10500, 4);
	set_mem(RSP + 4, S_CODE0, 4);
	set_mem(RSP + 8, 0x3d3fd7, 4);
	OK(STEP(0xcf));
	IS(RIP == 0x10500 && RSP == 0x1480c && FLAGS == 0x3d3fd7 && m.cpl == 0);
	init(VIREO_EMU_PROT32, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x10500, 4);
	set_mem(RSP + 4, S_CODE3, 4);
	set_mem(RSP + 8, 0x3202, 4);
	set_mem(RSP + 12, STACK3, 4);
	set_mem(RSP + 16, S_DATA3, 4);
	OK(STEP(0xcf));
	IS(RIP == 0x10500 && RSP == STACK3 && FLAGS == 0x3202 && m.cpl == 3);
	IS(ATTR(DS) & NULLSEG);
	/* level 3 changes neither IOPL nor, with IOPL 0, IF */
	init(VIREO_EMU_PROT32, 3);
	RSP = 0x16800;
	set_mem(RSP, 0x10500, 4);
	set_mem(RSP + 4, S_CODE3, 4);
	set_mem(RSP + 8, 0x1b3202, 4);
	OK(STEP(0xcf));
	IS(FLAGS == 0x10002);
	FLAGS |= FL_TF;
	RSP = 0x16800;
	set_mem(RSP + 8, 0x2, 4);
	OK(STEP(0xcf));
	IS((EVENTS & VIREO_EMU_EV_STEP) && FLAGS == 2);
	done("protected mode: IRET, flags by privilege");

	init(VIREO_EMU_PROT32, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x246, 4);
	set_mem(RSP + 4, 0x1000, 4);
	set_mem(RSP + 8, 0x23202, 4);
	set_mem(RSP + 12, 0x7000, 4);
	set_mem(RSP + 16, 0x1100, 4);
	set_mem(RSP + 20, 0x1200, 4);
	set_mem(RSP + 24, 0x1300, 4);
	set_mem(RSP + 28, 0x1400, 4);
	set_mem(RSP + 32, 0x1500, 4);
	OK(STEP(0xcf));
	IS(m.e.mode == VIREO_EMU_VM86 && m.cpl == 3 && RIP == 0x246 && RSP == 0x7000);
	IS(SEL(CS) == 0x1000 && BASE(CS) == 0x10000 && LIMIT(CS) == 0xffff && ATTR(CS) == 0xf3);
	IS(SEL(SS) == 0x1100 && SEL(ES) == 0x1200 && SEL(DS) == 0x1300 && SEL(FS) == 0x1400 &&
	   SEL(GS) == 0x1500 && FLAGS == 0x23202);
	init(VIREO_EMU_PROT32, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x10246, 4);
	set_mem(RSP + 8, 0x23202, 4);
	REFUSED(13, 0, 0xcf);
	done("IRET to virtual-8086 mode");

	init(VIREO_EMU_VM86, 3);
	set_mem(0x17000, 0x200, 2);
	set_mem(0x17002, 0x1000, 2);
	set_mem(0x17004, 0x0202, 2);
	REFUSED(13, 0, 0xcf);
	FLAGS |= FL_IOPL;
	OK(STEP(0xcf));
	IS(RIP == 0x200 && FLAGS == (0x3202 | FL_VM) && RSP == 0x7006);
	init(VIREO_EMU_VM86, 3);
	m.cr4 |= CR4_VME;
	set_mem(0x17000, 0x200, 2);
	set_mem(0x17002, 0x1000, 2);
	set_mem(0x17004, 0x0202, 2);
	OK(STEP(0xcf));
	IS(FLAGS == (2 | FL_VM | FL_VIF));
	RSP = 0x7000;
	FLAGS |= FL_VIP;
	REFUSED(13, 0, 0xcf);
	set_mem(0x17004, 0x0102, 2);
	REFUSED(13, 0, 0xcf);
	REFUSED(13, 0, 0x66, 0xcf);
	done("virtual-8086 mode: IRET with IOPL and VME");

	init(VIREO_EMU_PROT64, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x10500, 8);
	set_mem(RSP + 8, S_CODE64_3, 8);
	set_mem(RSP + 16, 0x202, 8);
	set_mem(RSP + 24, STACK3, 8);
	set_mem(RSP + 32, S_DATA3, 8);
	OK(STEP(0x48, 0xcf));
	IS(RIP == 0x10500 && m.cpl == 3 && RSP == STACK3 && SEL(SS) == S_DATA3 && FLAGS == 0x202);
	init(VIREO_EMU_PROT64, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x10500, 8);
	set_mem(RSP + 8, S_CODE64, 8);
	set_mem(RSP + 16, 0x2, 8);
	set_mem(RSP + 24, 0xffff800000000000, 8);
	set_mem(RSP + 32, 0, 8);
	OK(STEP(0x48, 0xcf));
	IS(m.cpl == 0 && RSP == 0xffff800000000000 && (ATTR(SS) & NULLSEG));
	init(VIREO_EMU_PROT64, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x10500, 8);
	set_mem(RSP + 8, S_CODE3, 8);			/* to compatibility mode */
	set_mem(RSP + 16, 0x2, 8);
	set_mem(RSP + 24, 0x1234500017000, 8);
	set_mem(RSP + 32, S_DATA3, 8);
	flags = FLAGS;
	OK(STEP(0x48, 0xcf));
	IS(m.e.mode == VIREO_EMU_PROT32 && RSP == 0x17000 && FLAGS == flags);
	init(VIREO_EMU_PROT64, 0);
	RSP = 0x14800;
	set_mem(RSP, 0x8000000000000000, 8);
	set_mem(RSP + 8, S_CODE64, 8);
	REFUSED(13, 0, 0x48, 0xcf);
	set_mem(RSP, 0x10500, 8);
	FLAGS |= FL_NT;
	REFUSED(13, 0, 0x48, 0xcf);
	FLAGS &= ~(u64)FL_NT;
	set_mem(RSP + 8, S_CODE64_3, 8);
	set_mem(RSP + 32, 3, 8);
	REFUSED(13, 0, 0x48, 0xcf);			/* no null SS at level 3 */
	done("64-bit mode: IRET");
}

int main(void)
{
	real_segments();
	load_data();
	system_segments();
	inspect();
	real_far();
	jumps();
	calls();
	returns();
	irets();
	return tap_done();
}

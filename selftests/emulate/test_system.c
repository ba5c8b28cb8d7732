// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions of operating systems, and the fast system calls.
 */
#include "cases.h"

static void control(void)
{
	init(VIREO_EMU_PROT32, 0);
	m.cr2 = 0x1122334455667788;
	OK(STEP(0x0f, 0x20, 0xd3));			/* mov ebx, cr2 */
	IS(RBX == 0x55667788);
	RAX = 0x5000;
	OK(STEP(0x0f, 0x22, 0xd8));			/* mov cr3, eax */
	IS(m.cr3 == 0x5000 && (EVENTS & VIREO_EMU_EV_MODE));
	RAX = 0x80000000;
	REFUSED(13, 0, 0x0f, 0x22, 0xc0);		/* paging without protection */
	m.cr0 |= CR0_TS;
	OK(STEP(0x0f, 0x06));				/* clts */
	IS(!(m.cr0 & CR0_TS));
	RAX = 0xc;
	OK(STEP(0x0f, 0x01, 0xf0));			/* lmsw ax: PE stays */
	IS((m.cr0 & 0xf) == 0xd && m.e.mode == VIREO_EMU_PROT32);
	OK(STEP(0x0f, 0x01, 0xe1));			/* smsw ecx */
	IS(RCX == m.cr0);
	RBX = 0x10800;
	OK(STEP(0x0f, 0x01, 0x23));
	IS(mem(0x10800, 4) == (u16)m.cr0);
	init(VIREO_EMU_PROT64, 0);
	RAX = 0x123456789;
	OK(STEP(0x44, 0x0f, 0x22, 0xc0));		/* mov cr8, rax */
	IS(m.cr8 == 0x123456789);
	OK(STEP(0x0f, 0x22, 0xd0));
	IS(m.cr2 == 0x123456789);
	init(VIREO_EMU_PROT32, 3);
	REFUSED(13, 0, 0x0f, 0x20, 0xc0);
	REFUSED(13, 0, 0x0f, 0x22, 0xc0);
	REFUSED(13, 0, 0x0f, 0x06);
	REFUSED(13, 0, 0x0f, 0x01, 0xf0);
	OK(STEP(0x0f, 0x01, 0xe1));
	m.cr4 |= CR4_UMIP;
	REFUSED(13, 0, 0x0f, 0x01, 0xe1);
	init(VIREO_EMU_VM86, 3);
	REFUSED(13, 0, 0x0f, 0x20, 0xc0);
	done("MOV CR, CLTS, LMSW, SMSW");

	init(VIREO_EMU_PROT32, 0);
	m.dr[6] = 0xffff0ff0;
	OK(STEP(0x0f, 0x21, 0xe0));			/* mov eax, dr4 */
	IS(RAX == 0xffff0ff0);
	RAX = 0x400;
	OK(STEP(0x0f, 0x23, 0xe8));			/* mov dr5, eax */
	IS(m.dr[7] == 0x400);
	m.cr4 |= CR4_DE;
	REFUSED(6, -1, 0x0f, 0x21, 0xe0);
	REFUSED(6, -1, 0x0f, 0x23, 0xe8);
	init(VIREO_EMU_PROT64, 0);
	RAX = 0x100000000;
	REFUSED(13, 0, 0x0f, 0x23, 0xf8);
	OK(STEP(0x0f, 0x23, 0xd8));
	IS(m.dr[3] == 0x100000000);
	init(VIREO_EMU_PROT32, 3);
	REFUSED(13, 0, 0x0f, 0x21, 0xc0);
	done("MOV DR");
}

static void registers(void)
{
	init(VIREO_EMU_PROT32, 0);
	*machine_msr(&m, 0x10) = 0x1122334455667788;
	RCX = 0x10;
	OK(STEP(0x0f, 0x32));
	IS(RAX == 0x55667788 && RDX == 0x11223344);
	RAX = 0xdeadbeef00000001, RDX = 2;
	OK(STEP(0x0f, 0x30));
	IS(*machine_msr(&m, 0x10) == 0x200000001);
	RCX = 0x11;
	REFUSED(13, 0, 0x0f, 0x32);
	REFUSED(13, 0, 0x0f, 0x30);
	init(VIREO_EMU_PROT32, 3);
	REFUSED(13, 0, 0x0f, 0x32);
	REFUSED(13, 0, 0x0f, 0x30);
	done("RDMSR, WRMSR");

	init(VIREO_EMU_PROT32, 3);
	OK(STEP(0x0f, 0x31));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_RDTSC && RIP == 0x10002);
	OK(STEP(0x0f, 0x01, 0xf9));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_RDTSCP);
	REFUSED(13, 0, 0x0f, 0x33);
	m.cr4 |= CR4_TSD | CR4_PCE;
	REFUSED(13, 0, 0x0f, 0x31);
	REFUSED(13, 0, 0x0f, 0x01, 0xf9);
	OK(STEP(0x0f, 0x33));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_RDPMC);
	OK(STEP(0x0f, 0xa2));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_CPUID);
	OK(STEP(0x0f, 0x01, 0xc1));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_HYPERCALL);
	OK(STEP(0x0f, 0x01, 0xd9));
	REFUSED(13, 0, 0x0f, 0x08);
	REFUSED(13, 0, 0x0f, 0x09);
	REFUSED(13, 0, 0xf4);
	REFUSED(13, 0, 0x0f, 0x01, 0x3b);
	REFUSED(6, -1, 0x0f, 0x01, 0xc8);
	REFUSED(6, -1, 0x0f, 0x01, 0xc9);
	REFUSED(6, -1, 0x0f, 0xaa);
	RAX = 7, RDX = 0, RCX = 0;
	OK(STEP(0x0f, 0x01, 0xd0));			/* xgetbv */
	IS(RAX == 7 && RDX == 0);
	REFUSED(13, 0, 0x0f, 0x01, 0xd1);
	RCX = 2;
	REFUSED(13, 0, 0x0f, 0x01, 0xd0);
	m.cr4 &= ~(u64)CR4_OSXSAVE;
	REFUSED(6, -1, 0x0f, 0x01, 0xd0);
	init(VIREO_EMU_PROT32, 0);
	OK(STEP(0xf4));
	IS(EVENTS == VIREO_EMU_EV_HLT && RIP == 0x10001);
	OK(STEP(0x0f, 0x08));
	OK(STEP(0x0f, 0x09));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_WBINVD);
	m.seg[VIREO_EMU_DS].base = 0x1000;
	RBX = 0x234567;
	OK(STEP(0x0f, 0x01, 0x3b));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_INVLPG && m.sysop_arg == 0x235567);
	RAX = 0x10000;
	OK(STEP(0x0f, 0x01, 0xc8));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_MONITOR && m.sysop_arg == 0x11000);
	RCX = 1;
	REFUSED(13, 0, 0x0f, 0x01, 0xc8);
	OK(STEP(0x0f, 0x01, 0xc9));
	OK(STEP(0x0f, 0x01, 0xd1));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_XSETBV);
	REFUSED(6, -1, 0x0f, 0x01, 0xcb);		/* no SMAP */
	m.e.features |= VIREO_EMU_F_SMAP;
	OK(STEP(0x0f, 0x01, 0xcb));
	IS(FLAGS == (2 | FL_AC));
	OK(STEP(0x0f, 0x01, 0xca));
	IS(FLAGS == 2);
	m.e.ops = &machine_ops;
	init(VIREO_EMU_PROT64, 0);
	m.last_sysop = 0;
	RBX = 0x8000000000000000;
	OK(STEP(0x0f, 0x01, 0x3b));			/* not canonical: nothing to do */
	IS(!m.last_sysop);
	RBX = 0x10800, RAX = 1;
	set_mem(0x10800, 0x123, 8);
	REFUSED(13, 0, 0x66, 0x0f, 0x38, 0x82, 0x03);	/* invpcid rax, [rbx]: no PCIDs */
	m.cr4 |= CR4_PCIDE;
	OK(STEP(0x66, 0x0f, 0x38, 0x82, 0x03));
	IS(m.last_sysop == 1 + VIREO_EMU_SYS_INVPCID && m.sysop_arg == 1);
	RAX = 0;
	set_mem(0x10808, 0x8000000000000000, 8);
	REFUSED(13, 0, 0x66, 0x0f, 0x38, 0x82, 0x03);
	RAX = 4;
	REFUSED(13, 0, 0x66, 0x0f, 0x38, 0x82, 0x03);
	RAX = 3;
	OK(STEP(0x66, 0x0f, 0x38, 0x82, 0x03));
	set_mem(0x10800, 0x1000, 8);
	REFUSED(13, 0, 0x66, 0x0f, 0x38, 0x82, 0x03);
	init(VIREO_EMU_PROT32, 3);
	REFUSED(13, 0, 0x66, 0x0f, 0x38, 0x82, 0x03);
	done("what the vCPU does itself, privileges");
}

static void tables(void)
{
	init(VIREO_EMU_REAL, 0);
	m.dt_base[1] = 0x12345678, m.dt_limit[1] = 0xabcd;
	RBX = 0x800;
	OK(STEP(0x66, 0x0f, 0x01, 0x0f));		/* sidt [bx] */
	IS(mem(0x800, 6) == 0x12345678abcd);
	OK(STEP(0x0f, 0x01, 0x0f));
	IS(mem(0x800, 6) == 0x00345678abcd);
	m.e.features |= VIREO_EMU_F_AMD;
	OK(STEP(0x0f, 0x01, 0x0f));
	IS(mem(0x800, 6) == 0x12345678abcd);
	OK(STEP(0x0f, 0x01, 0x1f));			/* lidt [bx]: 24 bits */
	IS(m.dt_base[1] == 0x345678 && m.dt_limit[1] == 0xabcd);
	OK(STEP(0x66, 0x0f, 0x01, 0x17));		/* lgdt [bx] */
	IS(m.dt_base[0] == 0x12345678);
	init(VIREO_EMU_PROT64, 0);
	RBX = 0x10800;
	set_mem(0x10800, 0xffe, 2);
	set_mem(0x10802, 0xffff888000001000, 8);
	OK(STEP(0x0f, 0x01, 0x13));
	IS(m.dt_base[0] == 0xffff888000001000 && m.dt_limit[0] == 0xffe);
	OK(STEP(0x0f, 0x01, 0x43, 0x10));
	IS(mem(0x10812, 8) == 0xffff888000001000 && mem(0x10810, 2) == 0xffe);
	set_mem(0x10802, 0x0000888000001000, 8);
	REFUSED(13, 0, 0x0f, 0x01, 0x13);
	init(VIREO_EMU_PROT32, 3);
	RBX = 0x10800;
	REFUSED(13, 0, 0x0f, 0x01, 0x13);
	REFUSED(13, 0, 0x0f, 0x01, 0x1b);
	OK(STEP(0x0f, 0x01, 0x03));
	m.cr4 |= CR4_UMIP;
	REFUSED(13, 0, 0x0f, 0x01, 0x03);
	REFUSED(13, 0, 0x0f, 0x01, 0x0b);
	done("SGDT, SIDT, LGDT, LIDT");

	init(VIREO_EMU_PROT64, 0);
	m.seg[VIREO_EMU_GS].base = 0x1111;
	*machine_msr(&m, 0xc0000102) = 0x2222;
	OK(STEP(0x0f, 0x01, 0xf8));
	IS(BASE(GS) == 0x2222 && *machine_msr(&m, 0xc0000102) == 0x1111);
	REFUSED(6, -1, 0xf3, 0x0f, 0xae, 0xc8);		/* without CR4.FSGSBASE */
	m.cr4 |= CR4_FSGSBASE;
	OK(STEP(0xf3, 0x48, 0x0f, 0xae, 0xc8));		/* rdgsbase rax */
	IS(RAX == 0x2222);
	RAX = 0xffff800012345678;
	OK(STEP(0xf3, 0x48, 0x0f, 0xae, 0xd0));		/* wrfsbase rax */
	IS(BASE(FS) == 0xffff800012345678);
	OK(STEP(0xf3, 0x0f, 0xae, 0xd8));		/* wrgsbase eax */
	IS(BASE(GS) == 0x12345678);
	RAX = 0x8000000000000000;
	REFUSED(13, 0, 0xf3, 0x48, 0x0f, 0xae, 0xd0);
	init(VIREO_EMU_PROT64, 3);
	REFUSED(13, 0, 0x0f, 0x01, 0xf8);
	done("SWAPGS, RDFSBASE and its like");
}

static void fast(void)
{
	init(VIREO_EMU_PROT64, 3);
	m.efer = 0x501;
	*machine_msr(&m, 0xc0000081) = 0x0023001000012345;
	*machine_msr(&m, 0xc0000082) = 0xffff800000012345;
	*machine_msr(&m, 0xc0000084) = FL_IF | FL_TF | FL_AC;
	FLAGS |= FL_IF | FL_CF | FL_RF;
	OK(STEP(0x0f, 0x05));
	IS(RIP == 0xffff800000012345 && RCX == 0x10002 && R11 == (2 | FL_IF | FL_CF));
	IS(FLAGS == (2 | FL_CF) && SEL(CS) == 0x10 && SEL(SS) == 0x18 && m.cpl == 0);
	IS(ATTR(CS) == 0xa09b && ATTR(SS) == 0xc093);
	OK(STEP(0x48, 0x0f, 0x07));			/* sysretq */
	IS(RIP == 0x10002 && SEL(CS) == 0x33 && SEL(SS) == 0x2b && m.cpl == 3);
	IS(FLAGS == (2 | FL_IF | FL_CF) && ATTR(CS) == 0xa0fb && ATTR(SS) == 0xc0f3);
	REFUSED(13, 0, 0x48, 0x0f, 0x07);
	FLAGS |= FL_TF;
	OK(STEP(0x0f, 0x05));
	IS(!(EVENTS & VIREO_EMU_EV_STEP));
	RCX = 0x8000000000000000;
	REFUSED(13, 0, 0x48, 0x0f, 0x07);
	RCX = 0x123456789a;
	OK(STEP(0x0f, 0x07));				/* sysretl */
	IS(RIP == 0x3456789a && SEL(CS) == 0x23 && m.e.mode == VIREO_EMU_PROT32);
	REFUSED(6, -1, 0x0f, 0x05);			/* Intel: not from there */
	m.e.features |= VIREO_EMU_F_AMD;
	*machine_msr(&m, 0xc0000083) = 0x77777;
	OK(STEP(0x0f, 0x05));
	IS(RIP == 0x77777 && RCX == 0x3456789c && m.e.mode == VIREO_EMU_PROT64);
	m.efer &= ~1ULL;
	REFUSED(6, -1, 0x0f, 0x05);
	REFUSED(6, -1, 0x0f, 0x07);
	init(VIREO_EMU_PROT32, 3);
	m.e.features |= VIREO_EMU_F_AMD;
	m.efer = 1;
	*machine_msr(&m, 0xc0000081) = 0x0023001000012345;
	FLAGS |= FL_IF;
	OK(STEP(0x0f, 0x05));
	IS(RIP == 0x12345 && RCX == 0x10002 && FLAGS == 2 && ATTR(CS) == 0xc09b && m.cpl == 0);
	OK(STEP(0x0f, 0x07));
	IS(RIP == 0x10002 && FLAGS == (2 | FL_IF) && m.cpl == 3 && SEL(CS) == 0x23);
	done("SYSCALL, SYSRET");

	init(VIREO_EMU_PROT32, 3);
	*machine_msr(&m, 0x174) = 0;
	*machine_msr(&m, 0x175) = 0x14800;
	*machine_msr(&m, 0x176) = 0x10900;
	REFUSED(13, 0, 0x0f, 0x34);
	*machine_msr(&m, 0x174) = 0x8;
	FLAGS |= FL_IF;
	OK(STEP(0x0f, 0x34));
	IS(RIP == 0x10900 && RSP == 0x14800 && m.cpl == 0 && FLAGS == 2);
	IS(SEL(CS) == 8 && SEL(SS) == 0x10 && ATTR(CS) == 0xc09b);
	RDX = 0x10500, RCX = STACK3;
	OK(STEP(0x0f, 0x35));
	IS(RIP == 0x10500 && RSP == STACK3 && m.cpl == 3 && SEL(CS) == 0x1b && SEL(SS) == 0x23);
	REFUSED(13, 0, 0x0f, 0x35);
	init(VIREO_EMU_PROT64, 3);
	*machine_msr(&m, 0x174) = 0x8;
	*machine_msr(&m, 0x175) = 0xffff800000000000;
	*machine_msr(&m, 0x176) = 0xffff800000001000;
	OK(STEP(0x0f, 0x34));
	IS(RIP == 0xffff800000001000 && RSP == 0xffff800000000000 && ATTR(CS) == 0xa09b);
	RDX = 0x10500, RCX = STACK3;
	OK(STEP(0x48, 0x0f, 0x35));
	IS(RIP == 0x10500 && SEL(CS) == 0x2b && SEL(SS) == 0x33 && m.e.mode == VIREO_EMU_PROT64);
	m.e.features |= VIREO_EMU_F_AMD;
	REFUSED(6, -1, 0x0f, 0x34);
	REFUSED(6, -1, 0x0f, 0x35);
	init(VIREO_EMU_REAL, 0);
	REFUSED(13, 0, 0x0f, 0x34);
	REFUSED(13, 0, 0x0f, 0x35);
	init(VIREO_EMU_VM86, 3);
	*machine_msr(&m, 0x174) = 0x8;
	*machine_msr(&m, 0x175) = 0x14800;
	*machine_msr(&m, 0x176) = 0x10900;
	OK(STEP(0x0f, 0x34));
	IS(m.e.mode == VIREO_EMU_PROT32 && !(FLAGS & FL_VM));
	done("SYSENTER, SYSEXIT");
}

int main(void)
{
	control();
	registers();
	tables();
	fast();
	return tap_done();
}

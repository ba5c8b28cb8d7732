/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual machine control block and the numbers in it: AMD64 Architecture
 * Programmer's Manual, volume 2 (APM), appendices B and C.
 */
#ifndef VIREO_SVM_VMCB_H
#define VIREO_SVM_VMCB_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

/* ------------------------------------------------------------------ */
/* Intercepts: bit numbers through the five words at offset 0 (APM B.1) */

enum vmcb_intercept {
	/* word 0: control registers; + 16 for writes */
	VMCB_I_CR0_READ		= 0,
	VMCB_I_CR3_READ		= 3,
	VMCB_I_CR4_READ		= 4,
	VMCB_I_CR8_READ		= 8,
	VMCB_I_CR0_WRITE	= 16,
	VMCB_I_CR3_WRITE	= 19,
	VMCB_I_CR4_WRITE	= 20,
	VMCB_I_CR8_WRITE	= 24,
	/* word 1: debug registers, one half for reads, one for writes */
	VMCB_I_DR_WORD		= 1,
	/* word 2: exceptions, by vector */
	VMCB_I_EXC		= 64,
	/* word 3 */
	VMCB_I_INTR		= 96,
	VMCB_I_NMI,
	VMCB_I_SMI,
	VMCB_I_INIT,
	VMCB_I_VINTR,
	VMCB_I_CR0_SELECTIVE,
	VMCB_I_RDPMC		= 111,
	VMCB_I_CPUID		= 114,
	VMCB_I_RSM,
	VMCB_I_IRET,
	VMCB_I_INTN,
	VMCB_I_INVD		= 118,
	VMCB_I_PAUSE,
	VMCB_I_HLT,
	VMCB_I_INVLPG		= 121,
	VMCB_I_INVLPGA		= 122,
	VMCB_I_IOIO,
	VMCB_I_MSR,
	VMCB_I_TASK_SWITCH,
	VMCB_I_SHUTDOWN		= 127,
	/* word 4 */
	VMCB_I_VMRUN		= 128,
	VMCB_I_VMMCALL,
	VMCB_I_VMLOAD,
	VMCB_I_VMSAVE,
	VMCB_I_STGI,
	VMCB_I_CLGI,
	VMCB_I_SKINIT,
	VMCB_I_RDTSCP,
	VMCB_I_WBINVD		= 137,
	VMCB_I_MONITOR,
	VMCB_I_MWAIT,
	VMCB_I_MWAIT_ARMED,
	VMCB_I_XSETBV,
	VMCB_I_RDPRU,
	/* word 5 */
	VMCB_I_INVLPGB		= 160,
	VMCB_I_INVLPGB_ILLEGAL,
	VMCB_I_MCOMMIT		= 163,
	VMCB_I_TLBSYNC,
};

/* Clean bits (APM 15.15.3): set, the processor may use its own copy of these fields. */
#define VMCB_CLEAN_INTERCEPTS	(1U << 0)	/* also TSC offset, pause filter */
#define VMCB_CLEAN_PERM_MAPS	(1U << 1)
#define VMCB_CLEAN_ASID		(1U << 2)
#define VMCB_CLEAN_INT_CTL	(1U << 3)
#define VMCB_CLEAN_NESTED	(1U << 4)	/* nested paging, nCR3, guest PAT */
#define VMCB_CLEAN_CR		(1U << 5)	/* CR0, CR3, CR4, EFER */
#define VMCB_CLEAN_DR		(1U << 6)	/* DR6, DR7 */
#define VMCB_CLEAN_TABLES	(1U << 7)	/* GDT, IDT */
#define VMCB_CLEAN_SEG		(1U << 8)	/* CS, DS, SS, ES, CPL */
/* CR2 (bit 9) is written at every entry, LBR and AVIC (10, 11) are not in use. */
#define VMCB_CLEAN_ALL		0x1ffU

/* tlb_control (APM 15.16.1) */
#define VMCB_TLB_KEEP		0
#define VMCB_TLB_FLUSH_ALL	1
#define VMCB_TLB_FLUSH_ASID	3		/* with FlushByAsid */

/* int_ctl (APM 15.21) */
#define VMCB_V_TPR		0xfU		/* TPR's class: CR8 */
#define VMCB_V_IRQ		(1U << 8)
#define VMCB_V_PRIO_HIGHEST	(0xfU << 16)
#define VMCB_V_IGN_TPR		(1U << 20)
#define VMCB_V_INTR_MASKING	(1U << 24)

/* int_state */
#define VMCB_INT_SHADOW		(1ULL << 0)

/* nested_ctl */
#define VMCB_NP_ENABLE		(1ULL << 0)

/* event_inj and exit_int_info (APM 15.20, 15.7.3) */
#define VMCB_EVENT_VECTOR	0xffU
#define VMCB_EVENT_TYPE_SHIFT	8
#define VMCB_EVENT_TYPE		(7U << VMCB_EVENT_TYPE_SHIFT)
#define VMCB_EVENT_INTR		0U
#define VMCB_EVENT_NMI		2U
#define VMCB_EVENT_EXCEPTION	3U
#define VMCB_EVENT_SOFT		4U
#define VMCB_EVENT_ERROR	(1U << 11)
#define VMCB_EVENT_VALID	(1U << 31)

/* ------------------------------------------------------------------ */
/* Exit codes (APM appendix C)                                          */

#define VMEXIT_CR_READ		0x000		/* + number */
#define VMEXIT_CR_WRITE		0x010
#define VMEXIT_DR_READ		0x020
#define VMEXIT_DR_WRITE		0x030
#define VMEXIT_EXCEPTION	0x040		/* + vector */
#define VMEXIT_INTR		0x060
#define VMEXIT_NMI		0x061
#define VMEXIT_SMI		0x062
#define VMEXIT_INIT		0x063
#define VMEXIT_VINTR		0x064
#define VMEXIT_CR0_SELECTIVE	0x065
#define VMEXIT_RDTSC		0x06e
#define VMEXIT_RDPMC		0x06f
#define VMEXIT_CPUID		0x072
#define VMEXIT_RSM		0x073
#define VMEXIT_IRET		0x074
#define VMEXIT_INTN		0x075
#define VMEXIT_INVD		0x076
#define VMEXIT_PAUSE		0x077
#define VMEXIT_HLT		0x078
#define VMEXIT_INVLPG		0x079
#define VMEXIT_INVLPGA		0x07a
#define VMEXIT_IOIO		0x07b
#define VMEXIT_MSR		0x07c
#define VMEXIT_TASK_SWITCH	0x07d
#define VMEXIT_SHUTDOWN		0x07f
#define VMEXIT_VMRUN		0x080
#define VMEXIT_VMMCALL		0x081
#define VMEXIT_VMLOAD		0x082
#define VMEXIT_VMSAVE		0x083
#define VMEXIT_STGI		0x084
#define VMEXIT_CLGI		0x085
#define VMEXIT_SKINIT		0x086
#define VMEXIT_RDTSCP		0x087
#define VMEXIT_WBINVD		0x089
#define VMEXIT_MONITOR		0x08a
#define VMEXIT_MWAIT		0x08b
#define VMEXIT_MWAIT_ARMED	0x08c
#define VMEXIT_XSETBV		0x08d
#define VMEXIT_RDPRU		0x08e
#define VMEXIT_INVLPGB		0x0a0
#define VMEXIT_INVLPGB_ILLEGAL	0x0a1
#define VMEXIT_MCOMMIT		0x0a3
#define VMEXIT_TLBSYNC		0x0a4
#define VMEXIT_NPF		0x400
#define VMEXIT_INVALID		(~0U)		/* -1; QEMU writes but 32 bits of it */

/* exit_info_1 of CR accesses with decode assists (APM 15.33.1) */
#define VMEXIT_CR_GPR		0xfU
#define VMEXIT_CR_MOV		(1ULL << 63)

/* exit_info_1 of IOIO (APM 15.10.2) */
#define VMEXIT_IO_IN		(1U << 0)
#define VMEXIT_IO_STRING	(1U << 2)
#define VMEXIT_IO_REP		(1U << 3)
#define VMEXIT_IO_SIZE_SHIFT	4		/* 1, 2, 4: bytes */
#define VMEXIT_IO_PORT_SHIFT	16

/* exit_info_1 of NPF (APM 15.25.6); the low bits are a page-fault error code */
#define VMEXIT_NPF_WRITE	(1ULL << 1)
#define VMEXIT_NPF_RESERVED	(1ULL << 3)
#define VMEXIT_NPF_FETCH	(1ULL << 4)
#define VMEXIT_NPF_IN_WALK	(1ULL << 33)

/* exit_info_2 of TASK_SWITCH (APM 15.14.1) */
#define VMEXIT_TASK_IRET	(1ULL << 36)
#define VMEXIT_TASK_JUMP	(1ULL << 38)
#define VMEXIT_TASK_ERROR	(1ULL << 44)

/* ------------------------------------------------------------------ */
/* The block                                                            */

struct vmcb_control {
	u32 intercept[6];
	u8 reserved_018[0x24];
	u16 pause_threshold;
	u16 pause_count;
	u64 iopm_pa;
	u64 msrpm_pa;
	u64 tsc_offset;
	u32 asid;
	u8 tlb_control;
	u8 reserved_05d[3];
	u32 int_ctl;
	u32 int_vector;
	u64 int_state;
	u64 exit_code;
	u64 exit_info_1;
	u64 exit_info_2;
	u32 exit_int_info;
	u32 exit_int_error;
	u64 nested_ctl;
	u8 reserved_098[0x10];
	u32 event_inj;
	u32 event_error;
	u64 nested_cr3;
	u64 virt_ext;
	u32 clean;
	u32 reserved_0c4;
	u64 next_rip;
	u8 insn_nr;
	u8 insn[15];
	u8 reserved_0e0[0x320];
};

struct vmcb_segment {
	u16 selector;
	u16 attr;		/* bits 0-7 and 52-55 of the descriptor */
	u32 limit;
	u64 base;
};

struct vmcb_save {
	struct_group(segments,
		struct vmcb_segment es, cs, ss, ds, fs, gs;
		struct vmcb_segment gdtr, ldtr, idtr, tr;
	);
	u8 reserved_0a0[0x2b];
	u8 cpl;
	u8 reserved_0cc[4];
	u64 efer;
	u8 reserved_0d8[0x70];
	u64 cr4, cr3, cr0;
	u64 dr7, dr6;
	u64 rflags, rip;
	u8 reserved_180[0x58];
	u64 rsp;
	u8 reserved_1e0[0x18];
	u64 rax;
	struct_group(msrs,
		u64 star, lstar, cstar, sfmask;
		u64 kernel_gs_base;
		u64 sysenter_cs, sysenter_esp, sysenter_eip;
	);
	u64 cr2;
	u8 reserved_248[0x20];
	u64 pat;
	u64 debugctl;
	u8 reserved_278[0x988];
};

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};

#define VMCB_AT(member, where)	static_assert(offsetof(struct vmcb, member) == (where))
VMCB_AT(control.pause_threshold, 0x03c);
VMCB_AT(control.iopm_pa, 0x040);
VMCB_AT(control.tsc_offset, 0x050);
VMCB_AT(control.asid, 0x058);
VMCB_AT(control.tlb_control, 0x05c);
VMCB_AT(control.int_ctl, 0x060);
VMCB_AT(control.int_state, 0x068);
VMCB_AT(control.exit_code, 0x070);
VMCB_AT(control.exit_info_1, 0x078);
VMCB_AT(control.exit_int_info, 0x088);
VMCB_AT(control.nested_ctl, 0x090);
VMCB_AT(control.event_inj, 0x0a8);
VMCB_AT(control.nested_cr3, 0x0b0);
VMCB_AT(control.clean, 0x0c0);
VMCB_AT(control.next_rip, 0x0c8);
VMCB_AT(control.insn_nr, 0x0d0);
VMCB_AT(save, 0x400);
VMCB_AT(save.cs, 0x410);
VMCB_AT(save.gdtr, 0x460);
VMCB_AT(save.idtr, 0x480);
VMCB_AT(save.tr, 0x490);
VMCB_AT(save.cpl, 0x4cb);
VMCB_AT(save.efer, 0x4d0);
VMCB_AT(save.cr4, 0x548);
VMCB_AT(save.dr7, 0x560);
VMCB_AT(save.rflags, 0x570);
VMCB_AT(save.rip, 0x578);
VMCB_AT(save.rsp, 0x5d8);
VMCB_AT(save.rax, 0x5f8);
VMCB_AT(save.kernel_gs_base, 0x620);
VMCB_AT(save.cr2, 0x640);
VMCB_AT(save.pat, 0x668);
#undef VMCB_AT
static_assert(sizeof(struct vmcb) == 4096);

/* ------------------------------------------------------------------ */
/* Permission maps (APM 15.10.1, 15.11)                                 */

#define SVM_IOPM_PAGES		3	/* 64 K ports and the 3 bytes that a wide access may reach */
#define SVM_MSRPM_PAGES		2	/* 2 bits for each MSR: even read, odd write; 1 exits */

/* ------------------------------------------------------------------ */
/* CPUID leaf 8000000Ah, EDX (APM vol. 3, E.4.9) and MSRs               */

#define SVM_CPUID_LEAF		0x8000000aU
#define SVM_F_NESTED_PAGING	(1U << 0)
#define SVM_F_NRIP_SAVE		(1U << 3)
#define SVM_F_TSC_RATIO		(1U << 4)
#define SVM_F_VMCB_CLEAN	(1U << 5)
#define SVM_F_FLUSH_BY_ASID	(1U << 6)
#define SVM_F_DECODE_ASSISTS	(1U << 7)
#define SVM_F_PAUSE_FILTER	(1U << 10)
#define SVM_F_PAUSE_THRESHOLD	(1U << 12)
#define SVM_F_AVIC		(1U << 13)
#define SVM_F_VGIF		(1U << 16)
#define SVM_F_VNMI		(1U << 25)

#define SVM_MSR_VM_CR		0xc0010114U
#define SVM_VM_CR_SVMDIS	(1ULL << 4)
#define SVM_MSR_HSAVE_PA	0xc0010117U
#define SVM_MSR_TSC_RATIO	0xc0000104U
#define SVM_TSC_RATIO_ONE	(1ULL << 32)

#endif /* VIREO_SVM_VMCB_H */

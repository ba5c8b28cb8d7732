/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interpreter: decodes and carries out what the processor cannot run itself.
 *
 * Pure C over operand callbacks, without state of its own. A vCPU embeds one
 * struct vireo_emu, reachable from the callbacks by container_of(). Life of an
 * exit that needs it:
 *
 *	e->rip, e->rflags, e->mode, e->gpa = ...;
 *	r = vireo_emu_decode(e, bytes, n);	// VIREO_EMU_MORE: fetch on, again
 *	if (r == VIREO_EMU_OK)
 *		r = vireo_emu_execute(e);
 *	switch (r) { ... }			// see enum vireo_emu_result
 *
 * When vireo_emu_execute() says VIREO_EMU_USER, the same call is made again
 * once user space has answered; see "Reads and writes that user space serves".
 */
#ifndef VIREO_EMULATE_H
#define VIREO_EMULATE_H

#include "emu_types.h"

struct vireo_emu;

/** VIREO_EMU_MAX_INSN - longest instruction the architecture allows */
#define VIREO_EMU_MAX_INSN	15

/** VIREO_EMU_NO_GPA - "the guest-physical address is not known" */
#define VIREO_EMU_NO_GPA	(~0ULL)

/**
 * VIREO_EMU_REP_BUDGET - iterations of a REP string instruction per call
 *
 * After that many, vireo_emu_execute() returns VIREO_EMU_RESTART, so that
 * interrupts and signals are never held up for long.
 */
#define VIREO_EMU_REP_BUDGET	1024

/**
 * enum vireo_emu_result - what a call, or a callback, came to
 * @VIREO_EMU_OK: done. From vireo_emu_execute(): the instruction has retired,
 *	@rip, @rflags and the registers are those after it; look at
 *	vireo_emu.events, and if a callback posted a write, let user space see it.
 * @VIREO_EMU_MORE: vireo_emu_decode() only: the bytes end before the
 *	instruction does. Supply more (of the following page), up to 15.
 * @VIREO_EMU_EXCEPTION: vireo_emu.exception says which one is to be delivered
 *	at the unchanged @rip. Nothing has changed, but for finished iterations
 *	of a REP string instruction, accessed bits of descriptors, and after a
 *	task switch: see VIREO_EMU_EV_TASK. In real mode an exception has no error
 *	code, whatever vireo_emu_exception.has_error says.
 * @VIREO_EMU_USER: a callback has to wait for user space. Nothing of the
 *	current instruction (or string iteration) has taken effect in registers.
 * @VIREO_EMU_UNHANDLED: valid, but not known here (or a needed callback is
 *	NULL, or says so): hand the bytes to user space. Nothing has changed.
 * @VIREO_EMU_RESTART: the instruction is not finished, what is finished is in
 *	the registers, @rip still points at it. Take interrupts, then either
 *	enter the guest or call vireo_emu_execute() again: both are correct.
 */
enum vireo_emu_result {
	VIREO_EMU_OK = 0,
	VIREO_EMU_MORE,
	VIREO_EMU_EXCEPTION,
	VIREO_EMU_USER,
	VIREO_EMU_UNHANDLED,
	VIREO_EMU_RESTART,
};

/**
 * enum vireo_emu_mode - operating mode, as far as decoding depends on it
 * @VIREO_EMU_REAL: CR0.PE = 0 (16-bit defaults, also with CS.D = 0 only)
 * @VIREO_EMU_REAL32: CR0.PE = 0 with CS.D = 1: just after MOV CR0 has cleared PE
 * @VIREO_EMU_VM86: RFLAGS.VM = 1
 * @VIREO_EMU_PROT16: protected or compatibility mode with CS.D = 0
 * @VIREO_EMU_PROT32: protected or compatibility mode with CS.D = 1
 * @VIREO_EMU_PROT64: EFER.LMA = 1 and CS.L = 1
 */
enum vireo_emu_mode {
	VIREO_EMU_REAL,
	VIREO_EMU_REAL32,
	VIREO_EMU_VM86,
	VIREO_EMU_PROT16,
	VIREO_EMU_PROT32,
	VIREO_EMU_PROT64,
};

/** enum vireo_emu_reg - index into vireo_emu.regs: the hardware's encoding */
enum vireo_emu_reg {
	VIREO_EMU_RAX, VIREO_EMU_RCX, VIREO_EMU_RDX, VIREO_EMU_RBX,
	VIREO_EMU_RSP, VIREO_EMU_RBP, VIREO_EMU_RSI, VIREO_EMU_RDI,
	VIREO_EMU_R8, VIREO_EMU_R9, VIREO_EMU_R10, VIREO_EMU_R11,
	VIREO_EMU_R12, VIREO_EMU_R13, VIREO_EMU_R14, VIREO_EMU_R15,
	VIREO_EMU_NR_REGS,
};

/** enum vireo_emu_seg - segment registers: the hardware's encoding, then LDTR, TR */
enum vireo_emu_seg {
	VIREO_EMU_ES, VIREO_EMU_CS, VIREO_EMU_SS,
	VIREO_EMU_DS, VIREO_EMU_FS, VIREO_EMU_GS,
	VIREO_EMU_NR_DATA_SEGS,
	VIREO_EMU_LDTR = VIREO_EMU_NR_DATA_SEGS,
	VIREO_EMU_TR,
	VIREO_EMU_NR_SEGS,
};

/** enum vireo_emu_dt - descriptor-table registers */
enum vireo_emu_dt {
	VIREO_EMU_GDTR,
	VIREO_EMU_IDTR,
};

/**
 * struct vireo_emu_segment - a segment register with its hidden part
 * @base: linear base
 * @limit: last offset in bytes, granularity already applied
 * @attr: VIREO_EMU_SEG_* (the layout of VMX's access rights)
 * @selector: visible selector
 */
struct vireo_emu_segment {
	u64 base;
	u32 limit;
	u32 attr;
	u16 selector;
};

#define VIREO_EMU_SEG_TYPE	0x0000f	/* bit 3 code, 2 expand-down/conforming, 1 W/R, 0 accessed */
#define VIREO_EMU_SEG_S		0x00010	/* code or data, not system */
#define VIREO_EMU_SEG_DPL_SHIFT	5
#define VIREO_EMU_SEG_DPL	0x00060
#define VIREO_EMU_SEG_P		0x00080
#define VIREO_EMU_SEG_AVL	0x01000
#define VIREO_EMU_SEG_L		0x02000
#define VIREO_EMU_SEG_DB	0x04000
#define VIREO_EMU_SEG_G		0x08000
#define VIREO_EMU_SEG_UNUSABLE	0x10000	/* a null selector was loaded */

/**
 * enum vireo_emu_access - how memory is touched, for the callbacks
 * @VIREO_EMU_ACC_RMW: a read whose result is written back: check for a write,
 *	so that a fault reports one and nothing is read from a device in vain
 * @VIREO_EMU_ACC_LOCK: part of a locked instruction
 * @VIREO_EMU_ACC_SYSTEM: implicit supervisor access (descriptor tables, TSS),
 *	whatever the CPL
 * @VIREO_EMU_ACC_INNER: explicit supervisor access, whatever the CPL: to the stack
 *	of the more privileged level that is being entered
 * @VIREO_EMU_ACC_MEMORY: of a long operation (far transfer, delivery, task switch)
 *	that keeps no record of it: if there is no memory but a device, say
 *	VIREO_EMU_UNHANDLED. VIREO_EMU_USER then means only "the same again from
 *	the start", with interrupts on for instance, and has no answer.
 */
enum vireo_emu_access {
	VIREO_EMU_ACC_RMW	= 1 << 0,
	VIREO_EMU_ACC_LOCK	= 1 << 1,
	VIREO_EMU_ACC_SYSTEM	= 1 << 2,
	VIREO_EMU_ACC_INNER	= 1 << 3,
	VIREO_EMU_ACC_MEMORY	= 1 << 4,
};

/**
 * enum vireo_emu_event - what else came of an instruction that retired
 * @VIREO_EMU_EV_STI: interrupts stay blocked for one instruction (STI)
 * @VIREO_EMU_EV_MOVSS: interrupts and debug traps stay blocked for one
 *	instruction (MOV SS, POP SS)
 * @VIREO_EMU_EV_STEP: RFLAGS.TF was set: deliver #DB with DR6.BS as a trap
 * @VIREO_EMU_EV_HLT: the processor halts
 * @VIREO_EMU_EV_MODE: something changed that the mode depends on: CR0, CR3, CR4, CR8,
 *	an MSR, CS, the CPL or RFLAGS.VM. vireo_emu.mode is the new one already;
 *	whatever else the caller keeps of it must be read again.
 * @VIREO_EMU_EV_IRET: an IRET: NMIs are no longer blocked
 * @VIREO_EMU_EV_TASK: a task switch: clear the local enable bits of DR7. With
 *	VIREO_EMU_EXCEPTION: it was raised in the new task, after the switch: @rip,
 *	@rflags and the registers have changed and are those of the new task, to
 *	which it is to be delivered.
 * @VIREO_EMU_EV_TASK_TRAP: and its TSS has the T flag: deliver #DB with DR6.BT
 *
 * With neither STI nor MOVSS an earlier blocking ends with the instruction.
 */
enum vireo_emu_event {
	VIREO_EMU_EV_STI	= 1 << 0,
	VIREO_EMU_EV_MOVSS	= 1 << 1,
	VIREO_EMU_EV_STEP	= 1 << 2,
	VIREO_EMU_EV_HLT	= 1 << 3,
	VIREO_EMU_EV_MODE	= 1 << 4,
	VIREO_EMU_EV_IRET	= 1 << 5,
	VIREO_EMU_EV_TASK	= 1 << 6,
	VIREO_EMU_EV_TASK_TRAP	= 1 << 7,
};

/**
 * enum vireo_emu_kind - what kind of event vireo_emu_deliver() delivers
 * @VIREO_EMU_KIND_EXTERNAL: external interrupt, NMI
 * @VIREO_EMU_KIND_EXCEPTION: exception of the processor
 * @VIREO_EMU_KIND_SOFT_INT: INT n
 * @VIREO_EMU_KIND_SOFT_EXCEPTION: INT3, INTO
 * @VIREO_EMU_KIND_PRIV_EXCEPTION: INT1
 */
enum vireo_emu_kind {
	VIREO_EMU_KIND_EXTERNAL,
	VIREO_EMU_KIND_EXCEPTION,
	VIREO_EMU_KIND_SOFT_INT,
	VIREO_EMU_KIND_SOFT_EXCEPTION,
	VIREO_EMU_KIND_PRIV_EXCEPTION,
};

/** enum vireo_emu_task - what caused a task switch, for vireo_emu_task_switch() */
enum vireo_emu_task {
	VIREO_EMU_TASK_CALL,
	VIREO_EMU_TASK_IRET,
	VIREO_EMU_TASK_JMP,
	VIREO_EMU_TASK_GATE,		/* a task gate of the IDT, by INT n, INT3, INTO */
	VIREO_EMU_TASK_GATE_EXT,	/* ..., by anything else: EXT is set in error codes */
};

/** enum vireo_emu_sysop - instructions that the vCPU itself carries out, see ops.sysop */
enum vireo_emu_sysop {
	VIREO_EMU_SYS_CPUID,
	VIREO_EMU_SYS_RDTSC,
	VIREO_EMU_SYS_RDTSCP,
	VIREO_EMU_SYS_RDPMC,
	VIREO_EMU_SYS_INVD,
	VIREO_EMU_SYS_WBINVD,
	VIREO_EMU_SYS_INVLPG,	/* arg: linear address */
	VIREO_EMU_SYS_INVPCID,	/* arg: type, 0 to 3; the descriptor has been checked */
	VIREO_EMU_SYS_MONITOR,	/* arg: linear address */
	VIREO_EMU_SYS_MWAIT,
	VIREO_EMU_SYS_PAUSE,	/* what it returns does not matter */
	VIREO_EMU_SYS_HYPERCALL,
	VIREO_EMU_SYS_XSETBV,
};

/**
 * struct vireo_emu_exception - an exception to be delivered
 * @cr2: for #PF: the linear address
 * @error_code: meaningful if @has_error
 * @vector: 0 to 31
 * @has_error: the exception pushes an error code
 */
struct vireo_emu_exception {
	u64 cr2;
	u32 error_code;
	u8 vector;
	bool has_error;
};

/**
 * struct vireo_emu_ops - what the interpreter asks of the vCPU
 *
 * Unless said otherwise a callback returns an enum vireo_emu_result: OK,
 * EXCEPTION (it has filled in vireo_emu.exception, vireo_emu_fault() helps),
 * USER, or UNHANDLED. Callbacks marked (opt) may be NULL; an instruction that
 * needs one is then UNHANDLED.
 *
 * What a callback sets is what others see at once, within the same instruction:
 * @set_seg of SS the CPL, @set_cr the page tables of later accesses, and so on.
 *
 * Memory accesses are 1 to 8 bytes long and never cross a 4 KiB page; wider or
 * crossing operands arrive in pieces, in ascending order. @la is the linear
 * address after segmentation and canonical checks. @gpa is its guest-physical
 * address if vireo_emu.gpa told it, so that there is nothing to walk, or
 * VIREO_EMU_NO_GPA. @flags are enum vireo_emu_access.
 *
 * Reads and writes that user space serves
 * ---------------------------------------
 * @read and @pio_in: start the request and return VIREO_EMU_USER. When user
 * space has answered, hand the data over by vireo_emu_complete_read() and call
 * vireo_emu_execute() again. It goes through the instruction from its start,
 * finds what was already read (also from memory) in the order of the reads, and
 * calls @read only for what follows. So a device is read once, and the
 * instruction sees one consistent set of operands. The answer may cover only a
 * first part of the request, of a port in whole units; @read or @pio_in is then
 * called for the rest.
 *
 * @write, @cmpxchg and @pio_out: keep the data (post it) and return
 * VIREO_EMU_OK; the instruction goes on, normally to its end, and the vCPU leaves
 * to user space after vireo_emu_execute() returned. If there is no room to post
 * another, return VIREO_EMU_USER without taking it: the vCPU leaves to user space
 * with what it has and then calls vireo_emu_execute() again, which skips the
 * writes that were taken.
 *
 * To abandon an instruction that waits (reset, new state from user space), just
 * do not call vireo_emu_execute(); the next vireo_emu_decode() forgets it.
 */
struct vireo_emu_ops {
	/** @read: read @len bytes at @la */
	int (*read)(struct vireo_emu *e, u64 la, u64 gpa, void *data, u32 len, u32 flags);

	/** @write: write @len bytes at @la */
	int (*write)(struct vireo_emu *e, u64 la, u64 gpa, const void *data, u32 len, u32 flags);

	/**
	 * @cmpxchg: atomically, if the @len (1, 2, 4, 8 or 16, the one exception
	 * to the limit of 8) bytes at @la equal *@old, replace them by *@new;
	 * otherwise set *@old to what is there. Returns OK in both cases, the
	 * interpreter compares. Naturally aligned or not, but within a page.
	 * Device memory: post a write of @new, leave *@old alone.
	 */
	int (*cmpxchg)(struct vireo_emu *e, u64 la, u64 gpa, void *old, const void *new,
		       u32 len, u32 flags);

	/**
	 * @probe: would a write of @len bytes at @la (within a page) be allowed?
	 * Walks and checks, changes nothing but accessed and dirty bits. Called
	 * before writes in several pieces, that none is made if a later one faults.
	 * With VIREO_EMU_ACC_MEMORY: UNHANDLED if there is no memory that can be
	 * written.
	 */
	int (*probe)(struct vireo_emu *e, u64 la, u32 len, u32 flags);

	/**
	 * @pio_in: read @count elements of @size (1, 2, 4) bytes from @port.
	 * @count is 1 but for REP INS; size * count <= VIREO_EMU_LOG_SIZE. The
	 * permission to use the port has been checked.
	 */
	int (*pio_in)(struct vireo_emu *e, u16 port, u32 size, void *data, u32 count);

	/** @pio_out: write @count elements of @size bytes to @port, as @pio_in */
	int (*pio_out)(struct vireo_emu *e, u16 port, u32 size, const void *data, u32 count);

	/** @seg_base: base of @seg alone (FS and GS in 64-bit mode); cannot fail */
	u64 (*seg_base)(struct vireo_emu *e, u32 seg);

	/** @get_seg: a whole segment register (enum vireo_emu_seg); cannot fail */
	void (*get_seg)(struct vireo_emu *e, u32 seg, struct vireo_emu_segment *s);

	/**
	 * @set_seg: (opt) load a segment register with its hidden part; cannot
	 * fail. The DPL of SS, also of an unusable one, becomes the CPL.
	 */
	void (*set_seg)(struct vireo_emu *e, u32 seg, const struct vireo_emu_segment *s);

	/** @get_dt: (opt) base and limit of GDTR or IDTR; cannot fail */
	void (*get_dt)(struct vireo_emu *e, u32 dt, u64 *base, u16 *limit);

	/** @set_dt: (opt) load GDTR or IDTR; cannot fail */
	void (*set_dt)(struct vireo_emu *e, u32 dt, u64 base, u16 limit);

	/** @get_cpl: current privilege level, 0 to 3; cannot fail */
	u32 (*get_cpl)(struct vireo_emu *e);

	/** @get_cr: control register 0, 2, 3, 4 or 8 as the guest sees it; cannot fail */
	u64 (*get_cr)(struct vireo_emu *e, u32 nr);

	/** @set_cr: (opt) write a control register, with all its checks */
	int (*set_cr)(struct vireo_emu *e, u32 nr, u64 val);

	/**
	 * @get_dr: (opt) read debug register 0 to 3, 6 or 7. The CPL and CR4.DE have
	 * been checked, DR7.GD has not.
	 */
	int (*get_dr)(struct vireo_emu *e, u32 nr, u64 *val);

	/** @set_dr: (opt) write a debug register, as @get_dr; reserved bits are checked here */
	int (*set_dr)(struct vireo_emu *e, u32 nr, u64 val);

	/** @get_efer: (opt) IA32_EFER as the guest sees it; cannot fail. NULL: it is 0 */
	u64 (*get_efer)(struct vireo_emu *e);

	/** @get_msr: (opt) RDMSR, with all its checks but the CPL */
	int (*get_msr)(struct vireo_emu *e, u32 msr, u64 *val);

	/** @set_msr: (opt) WRMSR, with all its checks but the CPL */
	int (*set_msr)(struct vireo_emu *e, u32 msr, u64 val);

	/** @get_xcr0: (opt) XCR0 as the guest sees it; cannot fail */
	u64 (*get_xcr0)(struct vireo_emu *e);

	/** @get_vec: (opt) low @len (16, 32 or 64) bytes of vector register @nr */
	int (*get_vec)(struct vireo_emu *e, u32 nr, void *data, u32 len);

	/**
	 * @set_vec: (opt) set the low @len bytes of vector register @nr; the rest
	 * is cleared if @zero_upper (VEX, EVEX), else kept.
	 */
	int (*set_vec)(struct vireo_emu *e, u32 nr, const void *data, u32 len, bool zero_upper);

	/**
	 * @sysop: (opt) carry out an instruction that is the vCPU's own business
	 * (enum vireo_emu_sysop). Operands are in vireo_emu.regs, results go there.
	 * Privilege has been checked, @rip is advanced by the interpreter.
	 */
	int (*sysop)(struct vireo_emu *e, u32 op, u64 arg);
};

/**
 * struct vireo_emu_insn - a decoded instruction
 * @imm: immediate, sign-extended; branch displacement; or far offset
 * @disp: displacement, sign-extended; or the whole address of MOV moffs
 * @entry: row of the decode tables, private to the interpreter
 * @sel: selector of a far pointer, or second immediate (ENTER, EXTRQ, INSERTQ)
 * @len: length in bytes
 * @mode: enum vireo_emu_mode it was decoded for
 * @map: VIREO_EMU_MAP_*
 * @opcode: opcode byte within @map
 * @modrm: ModRM byte, 0 if there is none
 * @op_size: operand size in bytes: 1, 2, 4 or 8
 * @ad_size: address size in bytes: 2, 4 or 8
 * @reg: ModRM.reg with REX.R
 * @rm: ModRM.rm with REX.B if it is a register, or the register in the opcode
 * @base: base register of the address, or VIREO_EMU_NOREG
 * @index: index register of the address, or VIREO_EMU_NOREG
 * @scale: shift of the index, 0 to 3
 * @seg: segment of the memory operand: override or default
 * @rex: low nibble of REX; from VEX, EVEX, XOP the same bits
 * @prefix: VIREO_EMU_PFX_*
 * @vex: VIREO_EMU_VEX_*: 0 if legacy encoding
 * @vvvv: VEX.vvvv, not inverted; outside of 64-bit mode bit 3 does not count for a register
 * @vlen: vector length 0: 128, 1: 256, 2: 512 (VEX.L, EVEX.L'L)
 */
struct vireo_emu_insn {
	u64 imm;
	u64 disp;
	u32 entry;
	u16 sel;
	u8 len;
	u8 opcode;
	/* eight that are nearly always the same: set by one store */
	u8 mode;
	u8 map;
	u8 ad_size;
	u8 index;
	u8 scale;
	u8 seg;
	u8 vex;
	u8 vlen;
	u8 modrm;
	u8 op_size;
	u8 reg;
	u8 rm;
	u8 base;
	u8 rex;
	u8 prefix;
	u8 vvvv;
};

#define VIREO_EMU_NOREG		16	/* no base, or no index */
#define VIREO_EMU_RIPREG	17	/* base is RIP of the next instruction */

/* vireo_emu_insn.map */
#define VIREO_EMU_MAP_1B	0	/* one-byte opcodes */
#define VIREO_EMU_MAP_0F	1
#define VIREO_EMU_MAP_0F38	2
#define VIREO_EMU_MAP_0F3A	3
/* EVEX: 5, 6; XOP: 8, 9, 10 */

/* vireo_emu_insn.prefix */
#define VIREO_EMU_PFX_LOCK	0x01
#define VIREO_EMU_PFX_REPE	0x02	/* F3 is the last of F2, F3 */
#define VIREO_EMU_PFX_REPNE	0x04	/* F2 is the last of F2, F3 */
#define VIREO_EMU_PFX_OPSIZE	0x08	/* 66 */
#define VIREO_EMU_PFX_ADSIZE	0x10	/* 67 */
#define VIREO_EMU_PFX_SEG	0x20	/* a segment override that counts */
#define VIREO_EMU_PFX_REX	0x40	/* a REX prefix that counts */

/* vireo_emu_insn.vex */
#define VIREO_EMU_VEX_VEX	1
#define VIREO_EMU_VEX_EVEX	2
#define VIREO_EMU_VEX_XOP	3

/**
 * VIREO_EMU_LOG_SIZE - bytes of reads that an instruction can have outstanding
 *
 * Two 64-byte vector reads never occur in one instruction; REP INS and OUTS
 * batch up to this many bytes.
 */
#define VIREO_EMU_LOG_SIZE	128u

/**
 * enum vireo_emu_feature - how the virtual processor differs from a plain one
 * @VIREO_EMU_F_AMD: near branches in 64-bit mode honour the prefix 66, SYSCALL
 *	exists outside of it, ...
 * @VIREO_EMU_F_LA57: linear addresses have 57 bits (CR4.LA57)
 * @VIREO_EMU_F_SMAP: CLAC and STAC exist
 * @VIREO_EMU_F_LZCNT: LZCNT exists; without it its bytes are BSR
 * @VIREO_EMU_F_BMI1: ANDN, BEXTR, BLSI, BLSMSK, BLSR exist, and TZCNT, whose bytes are
 *	otherwise BSF
 * @VIREO_EMU_F_BMI2: BZHI, MULX, PDEP, PEXT, RORX, SARX, SHLX, SHRX exist
 */
enum vireo_emu_feature {
	VIREO_EMU_F_AMD		= 1 << 0,
	VIREO_EMU_F_LA57	= 1 << 1,
	VIREO_EMU_F_SMAP	= 1 << 2,
	VIREO_EMU_F_LZCNT	= 1 << 3,
	VIREO_EMU_F_BMI1	= 1 << 4,
	VIREO_EMU_F_BMI2	= 1 << 5,
};

/**
 * struct vireo_emu - the interpreter's context, one in each vCPU
 * @ops: set once by the owner
 * @regs: set once: the 16 general registers, by enum vireo_emu_reg
 * @rip: in: of the instruction; out: after it
 * @rflags: in and out
 * @gpa: in: guest-physical address that the exit reported for the access, or
 *	VIREO_EMU_NO_GPA. Used for an instruction with one memory operand that
 *	stays in its page and has the same page offset. Give it only if the exit
 *	was for the access itself, not for a page-table walk.
 * @mode: in and out: enum vireo_emu_mode
 * @features: set once: enum vireo_emu_feature
 * @events: out: enum vireo_emu_event, valid after VIREO_EMU_OK, after
 *	VIREO_EMU_RESTART (only VIREO_EMU_EV_STEP occurs), and after
 *	VIREO_EMU_EXCEPTION (only those of a task switch)
 * @exception: out: valid after VIREO_EMU_EXCEPTION
 * @insn: out of vireo_emu_decode()
 * @log_len: private: bytes of reads recorded for a restart
 * @log_pos: private: how far they have been consumed
 * @wr_done: private: pieces of writes that were taken before a restart
 * @wr_pos: private: pieces of writes seen in this pass
 * @seg_valid: private: which of @seg are cached
 * @resume: private: an access of vireo_emu_mmio() that waits for user space
 * @resume_la: private: its linear address
 * @log: private: data of the reads, in order
 * @seg: private: cached segment registers
 *
 * Not more is reset for an instruction than vireo_emu_decode() does itself, so
 * the context need only be zeroed once.
 */
struct vireo_emu {
	const struct vireo_emu_ops *ops;
	u64 *regs;
	u64 rip;
	u64 rflags;
	u64 gpa;
	u8 mode;
	u16 features;
	u16 log_pos;
	u16 wr_pos;
	u16 log_len;
	u16 wr_done;
	u16 events;
	u16 seg_valid;
	u32 resume;
	u64 resume_la;
	struct vireo_emu_insn insn;
	struct vireo_emu_exception exception;
	u8 log[VIREO_EMU_LOG_SIZE];
	struct vireo_emu_segment seg[VIREO_EMU_NR_SEGS];
};

/**
 * vireo_emu_decode() - decode one instruction
 * @e: context; @mode and @features are looked at, @insn is filled in, and all
 *	traces of an earlier instruction are dropped
 * @bytes: the instruction, from its first byte
 * @len: how many bytes there are; more than the instruction has are welcome
 *
 * Return: VIREO_EMU_OK; VIREO_EMU_MORE; VIREO_EMU_EXCEPTION for #UD, and for #GP if it
 * is longer than 15 bytes; VIREO_EMU_UNHANDLED never: e->insn.len is right for
 * any valid instruction, whether or not it can be executed here.
 */
int vireo_emu_decode(struct vireo_emu *e, const u8 *bytes, u32 len);

/**
 * vireo_emu_decoded() - what vireo_emu_decode() does beside decoding
 * @e: context; the caller has put what an earlier vireo_emu_decode() made of the same bytes, in
 *	the same mode, into @insn
 */
static inline void vireo_emu_decoded(struct vireo_emu *e)
{
	e->log_len = 0;
	e->wr_done = 0;
	e->events = 0;
	e->seg_valid = 0;
	e->resume = 0;
}

/**
 * vireo_emu_execute() - carry out the decoded instruction
 * @e: context, after vireo_emu_decode() returned VIREO_EMU_OK
 *
 * Return: VIREO_EMU_OK, VIREO_EMU_EXCEPTION, VIREO_EMU_USER, VIREO_EMU_UNHANDLED or
 * VIREO_EMU_RESTART, as described there.
 */
int vireo_emu_execute(struct vireo_emu *e);

/**
 * vireo_emu_deliver() - deliver an interrupt or exception to the guest
 * @e: context. @rip is the return address, to be pushed. @rflags are those to be
 *	pushed, but that RF is set for the exceptions that are faults.
 * @vector: vector
 * @kind: enum vireo_emu_kind
 * @has_error: an error code is pushed, too, unless in real mode
 * @error_code: error code
 *
 * Does what the processor does between an event and the first instruction of its
 * handler: by the interrupt vector table in real mode and for INT n in
 * virtual-8086 mode where the redirection bitmap says so, otherwise by a gate of
 * the IDT. CR2, DR6 and the blocking of NMIs are the caller's business.
 *
 * Return: VIREO_EMU_OK: @rip, @rflags and the registers are those of the handler;
 * look at @events. VIREO_EMU_EXCEPTION: the delivery itself raised vireo_emu.exception;
 * whether that makes a double fault is for the caller to decide. VIREO_EMU_USER: call
 * it again, with interrupts on. VIREO_EMU_UNHANDLED: a table, or the stack, is not in
 * memory.
 */
int vireo_emu_deliver(struct vireo_emu *e, u32 vector, u32 kind, bool has_error, u32 error_code);

/**
 * vireo_emu_task_switch() - switch to another task
 * @e: context; @rip is what the old task will go on with
 * @selector: of the new TSS
 * @reason: enum vireo_emu_task
 * @has_error: an error code is pushed onto the new task's stack
 * @error_code: error code
 *
 * For exits that report a task switch. Privileges (of the gate, or the TSS
 * descriptor) are taken for checked.
 *
 * Return: as vireo_emu_deliver(), but that VIREO_EMU_EXCEPTION may be the new task's:
 * then @events has VIREO_EMU_EV_TASK.
 */
int vireo_emu_task_switch(struct vireo_emu *e, u16 selector, u32 reason, bool has_error,
			  u32 error_code);

/**
 * vireo_emu_mmio() - decode and carry out, in a hurry
 * @e: context
 * @bytes: the instruction
 * @len: how many bytes there are
 *
 * Does what vireo_emu_decode() and then vireo_emu_execute() do. For the loads and stores
 * that compilers make of accesses to device memory (MOV, MOVZX, MOVSX in 64-bit
 * mode, the address agreeing with @gpa), and with at least 15 bytes, it takes
 * a path of half their length, which leaves @insn alone. After VIREO_EMU_USER go on with
 * vireo_emu_execute(), as ever. @gpa must be that of a data access by this very
 * instruction which the processor made in this mode: then its segmentation,
 * canonical and alignment checks have been passed, and are not repeated.
 *
 * Return: what the first of the two says that is not VIREO_EMU_OK.
 */
int vireo_emu_mmio(struct vireo_emu *e, const u8 *bytes, u32 len);

/**
 * vireo_emu_complete_read() - hand over what user space read
 * @e: context whose execution returned VIREO_EMU_USER
 * @data: the data
 * @len: its length, at most that of the request that @read or @pio_in made; of a port
 *	a multiple of its size
 *
 * Return: true; false, and nothing is taken, if there is no room for it.
 */
static inline bool vireo_emu_complete_read(struct vireo_emu *e, const void *data, u32 len)
{
	if (unlikely(len > VIREO_EMU_LOG_SIZE - e->log_len))
		return false;
	/* The sizes of registers by one move each: of others memcpy() is a call. */
	switch (len) {
	case 1:
		memcpy(e->log + e->log_len, data, 1);
		break;
	case 2:
		memcpy(e->log + e->log_len, data, 2);
		break;
	case 4:
		memcpy(e->log + e->log_len, data, 4);
		break;
	case 8:
		memcpy(e->log + e->log_len, data, 8);
		break;
	default:
		memcpy(e->log + e->log_len, data, len);
	}
	e->log_len += len;
	return true;
}

/**
 * vireo_emu_insn_decode() - decode without a context
 * @insn: result
 * @mode: enum vireo_emu_mode
 * @features: enum vireo_emu_feature
 * @bytes: the instruction
 * @len: how many bytes there are
 *
 * For exits of processors that do not report the instruction's length: @insn is
 * small enough for the stack, @insn->len is the length.
 *
 * Return: 0; a negative value -VIREO_EMU_MORE; or the vector, 6 (#UD) or 13 (#GP).
 */
int vireo_emu_insn_decode(struct vireo_emu_insn *insn, u32 mode, u32 features,
			  const u8 *bytes, u32 len);

/**
 * vireo_emu_insn_writes() - does the instruction write its memory operand?
 * @insn: decoded instruction
 *
 * For exits that do not say whether the access was a read or a write.
 *
 * Return: true if it may.
 */
bool vireo_emu_insn_writes(const struct vireo_emu_insn *insn);

/**
 * vireo_emu_fault() - record an exception with an error code, for callbacks
 * @e: context
 * @vector: vector
 * @error_code: error code
 *
 * Return: VIREO_EMU_EXCEPTION, to be returned in turn.
 */
static inline int vireo_emu_fault(struct vireo_emu *e, u8 vector, u32 error_code)
{
	e->exception.vector = vector;
	e->exception.error_code = error_code;
	e->exception.has_error = true;
	return VIREO_EMU_EXCEPTION;
}

/**
 * vireo_emu_page_fault() - record a page fault, for callbacks
 * @e: context
 * @cr2: linear address
 * @error_code: error code
 *
 * Return: VIREO_EMU_EXCEPTION, to be returned in turn.
 */
static inline int vireo_emu_page_fault(struct vireo_emu *e, u64 cr2, u32 error_code)
{
	e->exception.cr2 = cr2;
	return vireo_emu_fault(e, 14, error_code);
}

/**
 * vireo_emu_trap() - record an exception without an error code, for callbacks
 * @e: context
 * @vector: vector
 *
 * Return: VIREO_EMU_EXCEPTION, to be returned in turn.
 */
static inline int vireo_emu_trap(struct vireo_emu *e, u8 vector)
{
	e->exception.vector = vector;
	e->exception.error_code = 0;
	e->exception.has_error = false;
	return VIREO_EMU_EXCEPTION;
}

#endif /* VIREO_EMULATE_H */

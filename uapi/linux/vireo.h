/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Vireo: the contract between the module and user space.
 *
 * Three kinds of file: /dev/vireo makes VMs, a VM makes vCPUs.  Every
 * structure starts with its own size and grows at its end only: a longer
 * structure than the module knows is accepted if the tail is zero, a shorter
 * one is read as if the tail were zero; the size in the call's own number does not
 * matter.  Unknown flags and non-zero padding
 * are -EINVAL.  A refused call has changed nothing.
 */
#ifndef _UAPI_LINUX_VIREO_H
#define _UAPI_LINUX_VIREO_H

#include <linux/const.h>
#include <linux/ioctl.h>
#include <linux/types.h>

/** VIREO_ABI_VERSION - counts incompatible changes; compare for equality. */
#define VIREO_ABI_VERSION	1

#define VIREO_MAX_VCPUS		64	/* vCPU ids are 0 to 63 and are the APIC ids */
#define VIREO_MAX_REGIONS	128	/* slots are 0 to 127 */
#define VIREO_MAX_CPUID		128
#define VIREO_MAX_MSRS		256	/* entries of one MSR state block */

/**
 * enum vireo_exit_reason - why a guest stopped running directly
 *
 * One list for both processor families and for all who speak of exits:
 * handlers, statistics, tracepoints, tools.  The first group is what the
 * processor reports; the second exists only between module and launcher.
 */
enum vireo_exit_reason {
	VIREO_EXIT_NONE = 0,		/* nothing happened yet */
	VIREO_EXIT_EXCEPTION,		/* intercepted exception */
	VIREO_EXIT_INTR,		/* host interrupt */
	VIREO_EXIT_NMI,			/* host NMI */
	VIREO_EXIT_MCE,			/* host machine check */
	VIREO_EXIT_IRQ_WINDOW,		/* guest can take an interrupt */
	VIREO_EXIT_NMI_WINDOW,		/* guest can take an NMI */
	VIREO_EXIT_CPUID,
	VIREO_EXIT_HLT,
	VIREO_EXIT_HYPERCALL,		/* VMCALL or VMMCALL */
	VIREO_EXIT_RDMSR,
	VIREO_EXIT_WRMSR,
	VIREO_EXIT_IO,			/* IN, OUT, INS, OUTS */
	VIREO_EXIT_CR,			/* access to a control register */
	VIREO_EXIT_DR,			/* access to a debug register */
	VIREO_EXIT_MEMORY,		/* nested page fault */
	VIREO_EXIT_MMIO_CACHED,		/* access to a page known to be MMIO */
	VIREO_EXIT_DESCRIPTOR,		/* LGDT, SIDT, LTR, ... */
	VIREO_EXIT_TASK_SWITCH,
	VIREO_EXIT_XSETBV,
	VIREO_EXIT_RDTSC,
	VIREO_EXIT_RDPMC,
	VIREO_EXIT_INVLPG,
	VIREO_EXIT_INVD,
	VIREO_EXIT_WBINVD,
	VIREO_EXIT_MONITOR,
	VIREO_EXIT_MWAIT,
	VIREO_EXIT_PAUSE,
	VIREO_EXIT_UNDEFINED,		/* instruction that the guest does not have: #UD */
	VIREO_EXIT_TIMER,		/* VMX preemption timer */
	VIREO_EXIT_SHUTDOWN,		/* triple fault */
	VIREO_EXIT_INIT,		/* INIT signal on the host's processor */
	VIREO_EXIT_SIPI,
	VIREO_EXIT_SMI,
	VIREO_EXIT_INVALID_STATE,	/* the processor refused the guest's state */
	VIREO_EXIT_UNKNOWN,		/* raw codes in vireo_run.unknown */
	VIREO_EXIT_STEP,		/* VIREO_VM_HYBRID: the end of an instruction that ran alone */
	VIREO_EXIT_TPR,			/* task priority below what a pending interrupt waits for */
	VIREO_EXIT_APIC_WRITE,		/* register of the local APIC written, which the processor stored */
	VIREO_EXIT_APIC_EOI,		/* EOI that the processor carried out, of a level-triggered vector */

	VIREO_EXIT_HARDWARE_NR,

	/* between module and launcher only */
	VIREO_EXIT_MMIO = 64,		/* access to memory that no region covers */
	VIREO_EXIT_EOI,			/* EOI of a level-triggered vector */
	VIREO_EXIT_SIGNAL,		/* a signal, or vireo_run.immediate_exit */
	VIREO_EXIT_KICK,		/* VIREO_KICK */
	VIREO_EXIT_READY_FOR_IRQ,	/* answers vireo_run.want_irq_window */
	VIREO_EXIT_EMULATION,		/* the interpreter does not know the instruction */
	VIREO_EXIT_INTERNAL_ERROR,	/* a broken invariant; the VM is dead */
	VIREO_EXIT_DIRTY,		/* a ring of dirty pages is full, or the quota is used up */

	VIREO_EXIT_REASON_NR
};

/*
 * Their names, for all who show them: NAME(reason, name) for each. They stay as they are: scripts and JSON depend on them.
 */
#define VIREO_EXIT_NAMES(NAME)						\
	NAME(VIREO_EXIT_NONE, "none")					\
	NAME(VIREO_EXIT_EXCEPTION, "exception")				\
	NAME(VIREO_EXIT_INTR, "host-interrupt")				\
	NAME(VIREO_EXIT_NMI, "host-nmi")				\
	NAME(VIREO_EXIT_MCE, "machine-check")				\
	NAME(VIREO_EXIT_IRQ_WINDOW, "irq-window")			\
	NAME(VIREO_EXIT_NMI_WINDOW, "nmi-window")			\
	NAME(VIREO_EXIT_CPUID, "cpuid")					\
	NAME(VIREO_EXIT_HLT, "hlt")					\
	NAME(VIREO_EXIT_HYPERCALL, "hypercall")				\
	NAME(VIREO_EXIT_RDMSR, "rdmsr")					\
	NAME(VIREO_EXIT_WRMSR, "wrmsr")					\
	NAME(VIREO_EXIT_IO, "io")					\
	NAME(VIREO_EXIT_CR, "control-register")				\
	NAME(VIREO_EXIT_DR, "debug-register")				\
	NAME(VIREO_EXIT_MEMORY, "memory")				\
	NAME(VIREO_EXIT_MMIO_CACHED, "mmio-cached")			\
	NAME(VIREO_EXIT_DESCRIPTOR, "descriptor-table")			\
	NAME(VIREO_EXIT_TASK_SWITCH, "task-switch")			\
	NAME(VIREO_EXIT_XSETBV, "xsetbv")				\
	NAME(VIREO_EXIT_RDTSC, "rdtsc")					\
	NAME(VIREO_EXIT_RDPMC, "rdpmc")					\
	NAME(VIREO_EXIT_INVLPG, "invlpg")				\
	NAME(VIREO_EXIT_INVD, "invd")					\
	NAME(VIREO_EXIT_WBINVD, "wbinvd")				\
	NAME(VIREO_EXIT_MONITOR, "monitor")				\
	NAME(VIREO_EXIT_MWAIT, "mwait")					\
	NAME(VIREO_EXIT_PAUSE, "pause")					\
	NAME(VIREO_EXIT_UNDEFINED, "undefined-instruction")		\
	NAME(VIREO_EXIT_TIMER, "preemption-timer")			\
	NAME(VIREO_EXIT_SHUTDOWN, "triple-fault")			\
	NAME(VIREO_EXIT_INIT, "init")					\
	NAME(VIREO_EXIT_SIPI, "sipi")					\
	NAME(VIREO_EXIT_SMI, "smi")					\
	NAME(VIREO_EXIT_INVALID_STATE, "invalid-guest-state")		\
	NAME(VIREO_EXIT_UNKNOWN, "unknown-exit")			\
	NAME(VIREO_EXIT_STEP, "step")					\
	NAME(VIREO_EXIT_TPR, "task-priority")				\
	NAME(VIREO_EXIT_APIC_WRITE, "apic-write")			\
	NAME(VIREO_EXIT_APIC_EOI, "apic-eoi")				\
	NAME(VIREO_EXIT_MMIO, "mmio")					\
	NAME(VIREO_EXIT_EOI, "eoi")					\
	NAME(VIREO_EXIT_SIGNAL, "signal")				\
	NAME(VIREO_EXIT_KICK, "kick")					\
	NAME(VIREO_EXIT_READY_FOR_IRQ, "ready-for-irq")			\
	NAME(VIREO_EXIT_EMULATION, "emulation-failure")			\
	NAME(VIREO_EXIT_INTERNAL_ERROR, "internal-error")		\
	NAME(VIREO_EXIT_DIRTY, "dirty")

/*
 * Hypercalls (RAX) from this number on, at CPL 0, exit to user space; those below follow the
 * documented KVM ABI.
 */
#define VIREO_HYPERCALL_USER	0x56520000

/* ------------------------------------------------------------------ */
/* Registers and state blocks                                           */

/**
 * struct vireo_regs - general registers
 * @gpr: RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 ... R15: the order of
 *	 their numbers in instructions
 * @rip: instruction pointer
 * @rflags: flags
 */
struct vireo_regs {
	__u64 gpr[16];
	__u64 rip;
	__u64 rflags;
};

/**
 * struct vireo_segment - a segment register with its hidden part
 * @base: linear base
 * @limit: limit in bytes, granularity already applied
 * @selector: visible selector
 * @attr: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G,
 *	  16 unusable (the access-rights format of SDM vol. 3, 25.4.1)
 */
struct vireo_segment {
	__u64 base;
	__u32 limit;
	__u16 selector;
	__u16 pad;
	__u32 attr;
	__u32 pad2;
};

#define VIREO_SEG_TYPE		0x000fU
#define VIREO_SEG_S		0x0010U
#define VIREO_SEG_DPL_SHIFT	5
#define VIREO_SEG_DPL		0x0060U
#define VIREO_SEG_P		0x0080U
#define VIREO_SEG_AVL		0x1000U
#define VIREO_SEG_L		0x2000U
#define VIREO_SEG_DB		0x4000U
#define VIREO_SEG_G		0x8000U
#define VIREO_SEG_UNUSABLE	0x10000U

/* Index in vireo_sregs.seg: the numbers of segment registers in ModRM.reg. */
enum vireo_seg {
	VIREO_SEG_ES, VIREO_SEG_CS, VIREO_SEG_SS, VIREO_SEG_DS,
	VIREO_SEG_FS, VIREO_SEG_GS, VIREO_SEG_LDTR, VIREO_SEG_TR,
	VIREO_SEG_NR
};

/**
 * struct vireo_table - GDTR or IDTR
 * @base: linear base
 * @limit: limit in bytes
 */
struct vireo_table {
	__u64 base;
	__u16 limit;
	__u16 pad[3];
};

/**
 * struct vireo_sregs - system registers
 * @seg: segment registers by &enum vireo_seg
 * @gdt: GDTR
 * @idt: IDTR
 * @cr0: CR0
 * @cr2: CR2
 * @cr3: CR3
 * @cr4: CR4
 * @cr8: CR8, the task priority (0 to 15)
 * @efer: IA32_EFER
 * @xcr0: XCR0
 * @apic_base: IA32_APIC_BASE
 *
 * A launcher that writes to page tables of a guest that has run sets these, changed or not, on any vCPU
 * before it lets the guest go on: translations that are kept are dropped then, those of all vCPUs.
 */
struct vireo_sregs {
	struct vireo_segment seg[VIREO_SEG_NR];
	struct vireo_table gdt, idt;
	__u64 cr0, cr2, cr3, cr4, cr8;
	__u64 efer, xcr0, apic_base;
};

/**
 * struct vireo_debugregs - debug registers
 * @db: DR0 to DR3
 * @dr6: DR6
 * @dr7: DR7
 */
struct vireo_debugregs {
	__u64 db[4];
	__u64 dr6, dr7;
};

/**
 * struct vireo_msr - one model-specific register
 * @index: its number (ECX of RDMSR)
 * @pad: zero
 * @data: its value
 */
struct vireo_msr {
	__u32 index;
	__u32 pad;
	__u64 data;
};

/**
 * struct vireo_lapic - local APIC
 * @regs: the xAPIC register page, one 32-bit register every 16 bytes at the
 *	  offsets of SDM vol. 3, table 11-1, squeezed: regs[offset / 16]
 * @tsc_deadline: IA32_TSC_DEADLINE, 0 if disarmed
 * @timer_left_ns: one-shot and periodic: time to the next expiry, in ns, 0 if stopped
 */
struct vireo_lapic {
	__u32 regs[64];
	__u64 tsc_deadline;
	__u64 timer_left_ns;
};

/* vireo_events.mp_state */
enum vireo_mp_state {
	VIREO_MP_RUNNABLE,
	VIREO_MP_HALTED,		/* HLT */
	VIREO_MP_WAIT_SIPI,		/* after INIT, or an AP at creation */
	VIREO_MP_SHUTDOWN,		/* after a triple fault */
	VIREO_MP_NR
};

/* vireo_event.type: the types of SDM vol. 3, table 25-17 */
enum vireo_event_type {
	VIREO_EVENT_IRQ = 0,
	VIREO_EVENT_NMI = 2,
	VIREO_EVENT_EXCEPTION = 3,
	VIREO_EVENT_SOFT_INT = 4,
	VIREO_EVENT_PRIV_SOFT_EXC = 5,
	VIREO_EVENT_SOFT_EXC = 6,
};

/**
 * struct vireo_event - something to deliver through the guest's IDT
 * @valid: 1 if there is one
 * @type: &enum vireo_event_type
 * @vector: 0 to 255
 * @has_error: 1 if @error is pushed
 * @error: error code
 * @cr2: faulting address of a #PF (vector 14), set when it is delivered
 * @insn_len: software interrupts and exceptions: length of the instruction
 */
struct vireo_event {
	__u8 valid;
	__u8 type;
	__u8 vector;
	__u8 has_error;
	__u32 error;
	__u64 cr2;
	__u8 insn_len;
	__u8 pad[7];
};

/**
 * struct vireo_events - events in flight and what holds them back
 * @event: exception or interrupt whose delivery has begun
 * @nmi_pending: NMIs that wait (0 to 2)
 * @nmi_masked: 1 between delivery of an NMI and IRET
 * @shadow: 1 in the shadow of STI, 2 of MOV SS
 * @mp_state: &enum vireo_mp_state
 * @init_pending: 1 if an INIT waits
 * @sipi_pending: 1 if a SIPI waits
 * @sipi_vector: its vector
 * @pad: zero
 */
struct vireo_events {
	struct vireo_event event;
	__u8 nmi_pending;
	__u8 nmi_masked;
	__u8 shadow;
	__u8 mp_state;
	__u8 init_pending;
	__u8 sipi_pending;
	__u8 sipi_vector;
	__u8 pad;
};

/**
 * struct vireo_tsc - time-stamp counter of a vCPU
 * @value: what the guest's RDTSC reads now
 * @khz: its frequency as the guest sees it; setting another than the host's
 *	 needs TSC scaling (VIREO_FEATURE_TSC_SCALING)
 * @pad: zero
 */
struct vireo_tsc {
	__u64 value;
	__u32 khz;
	__u32 pad;
};

/**
 * struct vireo_tsc_offset - time-stamp counter of a vCPU, by its distance from the host's
 * @offset: what the guest's RDTSC reads minus what the host's reads, modulo 2^64
 *
 * VIREO_BLOCK_TSC says when, and a call takes its time: two vCPUs that are set one after the other tick apart.
 * This one does not, so that vCPUs whose offsets were alike are alike again, and the paravirtual clock
 * can be read on any of them. If both blocks are set, the last one counts.
 */
struct vireo_tsc_offset {
	__u64 offset;
};

/**
 * struct vireo_clock - the VM's paravirtual clock (VM state)
 * @ns: nanoseconds since the VM was made, as kvm-clock tells the guest
 */
struct vireo_clock {
	__u64 ns;
};

/* vireo_block.type; the payload of each, and on which file */
enum vireo_block_type {
	VIREO_BLOCK_REGS = 1,		/* struct vireo_regs, vCPU */
	VIREO_BLOCK_SREGS,		/* struct vireo_sregs, vCPU */
	VIREO_BLOCK_DEBUGREGS,		/* struct vireo_debugregs, vCPU */
	VIREO_BLOCK_XSAVE,		/* XSAVE area, standard format, up to 4096 bytes, vCPU */
	VIREO_BLOCK_MSRS,		/* array of struct vireo_msr, vCPU */
	VIREO_BLOCK_LAPIC,		/* struct vireo_lapic, vCPU */
	VIREO_BLOCK_EVENTS,		/* struct vireo_events, vCPU */
	VIREO_BLOCK_TSC,		/* struct vireo_tsc, vCPU */
	VIREO_BLOCK_CLOCK,		/* struct vireo_clock, VM */
	VIREO_BLOCK_TSC_OFFSET,		/* struct vireo_tsc_offset, vCPU */
	VIREO_BLOCK_NR
};

/**
 * struct vireo_block - header of a state block
 * @type: &enum vireo_block_type
 * @version: 1; a block of an unknown version is refused with -EOPNOTSUPP
 * @len: bytes of payload that follow, without this header; the next block
 *	 starts at the next multiple of 8
 */
struct vireo_block {
	__u16 type;
	__u16 version;
	__u32 len;
};

/**
 * struct vireo_state - argument of VIREO_GET_STATE and VIREO_SET_STATE
 * @size: sizeof(struct vireo_state)
 * @flags: zero
 * @types: GET: bit (1 << type) for each block wanted.  SET: zero.
 *	   For VIREO_BLOCK_MSRS, GET reads the indexes from the block that
 *	   stands first in the buffer; with no such block (len 0) it gives all
 *	   of VIREO_GET_MSR_LIST.
 * @buf: user address of a sequence of blocks, each after its header
 * @len: GET: in, bytes at @buf, out, bytes used or needed.  SET: bytes at @buf.
 * @pad: zero
 *
 * SET checks every block before it applies the first.
 * Errors: -EINVAL (bad block or value), -ENOENT (unknown type or MSR),
 * -EOPNOTSUPP (version), -ENOSPC (GET: @len is too small and now says what
 * is needed), -EFAULT, -EBUSY (the vCPU is running).
 */
struct vireo_state {
	__u32 size;
	__u32 flags;
	__u64 types;
	__u64 buf;
	__u32 len;
	__u32 pad;
};

/* ------------------------------------------------------------------ */
/* The page shared with the kernel                                      */

/* vireo_run.wants */
#define VIREO_WANT_REGS		(1U << 0)	/* fill @regs at each exit to user space */
#define VIREO_WANT_SREGS	(1U << 1)	/* fill @sregs likewise */
#define VIREO_WANT_QUOTA	(1U << 2)	/* @dirty_quota counts */

/* vireo_run.gives: take these from the page at the next entry, then clear */
#define VIREO_GIVE_REGS		(1U << 0)
#define VIREO_GIVE_SREGS	(1U << 1)

/* vireo_run.flags */
#define VIREO_RUN_IF		(1U << 0)	/* guest has interrupts enabled */
#define VIREO_RUN_IRQ_READY	(1U << 1)	/* guest would take an ExtINT now */

#define VIREO_RUN_SIZE		4096		/* bytes to mmap of a vCPU */

/**
 * struct vireo_run - the page that a vCPU shares with its launcher
 *
 * mmap VIREO_RUN_SIZE bytes of the vCPU's file at offset 0.  The kernel reads
 * the in-fields once at VIREO_RUN and writes the out-fields before it returns.
 *
 * @immediate_exit: in: VIREO_RUN returns -EINTR before it enters the guest, but after it
 *	has finished the instruction of the last exit with the launcher's answer: what a launcher does
 *	before it saves state
 * @want_irq_window: in: exit with VIREO_EXIT_READY_FOR_IRQ as soon as the guest
 *	would take an ExtINT
 * @wants: in: VIREO_WANT_*
 * @gives: in: VIREO_GIVE_*
 * @dirty_quota: in and out, with VIREO_WANT_QUOTA: how many pages more of followed regions the guest may make dirty on this
 *	vCPU.  At 0 it does not run but exits with VIREO_EXIT_DIRTY; a few more can have become dirty by then
 * @inject: in: event to deliver at entry, cleared when taken.  A valid event of type
 *	VIREO_EVENT_IRQ needs VIREO_RUN_IRQ_READY, else -EAGAIN.
 * @exit_reason: out: &enum vireo_exit_reason
 * @flags: out, with @wants or @want_irq_window not zero: VIREO_RUN_*
 * @cr8: out, likewise: guest's task priority
 * @insn_len: out: length of the instruction at hand, 0 if not known
 * @insn: out: its bytes (VIREO_EXIT_EMULATION)
 * @rip: out: guest RIP
 * @io: VIREO_EXIT_IO.  @io.count units of @io.unit bytes at @io.data;
 *	for an IN the launcher fills them before the next VIREO_RUN
 * @mmio: VIREO_EXIT_MMIO.  For a read the launcher fills @mmio.data
 * @msr: VIREO_EXIT_RDMSR/WRMSR with VIREO_VM_REPORT_MSRS: the launcher sets @msr.data
 *	or, to raise #GP, @msr.error to 1
 * @eoi: VIREO_EXIT_EOI: bitmap of the vectors whose EOI came since the last such exit
 * @hypercall: VIREO_EXIT_HYPERCALL that the module does not handle: the launcher sets @hypercall.ret
 * @dirty: VIREO_EXIT_DIRTY: @dirty.rings has a bit for each consumer whose ring has to be emptied, @dirty.quota is 1 if the quota
 *	is used up
 * @unknown: VIREO_EXIT_UNKNOWN, _INVALID_STATE, _INTERNAL_ERROR: the processor's raw codes
 * @error: VIREO_EXIT_INTERNAL_ERROR, _EMULATION: a sentence, NUL-terminated
 * @regs: with VIREO_WANT_REGS or VIREO_GIVE_REGS
 * @sregs: with VIREO_WANT_SREGS or VIREO_GIVE_SREGS
 */
struct vireo_run {
	__u8 immediate_exit;
	__u8 want_irq_window;
	__u8 pad0[2];
	__u32 wants;
	__u32 gives;
	__u32 dirty_quota;
	struct vireo_event inject;

	__u32 exit_reason;
	__u32 flags;
	__u8 cr8;
	__u8 insn_len;
	__u8 insn[15];
	__u8 pad2[7];
	__u64 rip;

	union {
		struct {
			__u16 port;
			__u8 write;	/* 1: OUT */
			__u8 unit;	/* 1, 2 or 4 bytes */
			__u32 count;	/* units, 1 or more: string instructions */
			__u8 data[1024];
		} io;
		struct {
			__u64 gpa;
			__u8 write;
			__u8 len;	/* 1 to 8 bytes, never across a page */
			__u8 pad[6];
			__u8 data[8];
		} mmio;
		struct {
			__u32 index;
			__u8 write;
			__u8 error;
			__u8 pad[2];
			__u64 data;
		} msr;
		struct {
			__u64 vectors[4];
		} eoi;
		struct {
			__u64 nr;
			__u64 args[4];
			__u64 ret;
		} hypercall;
		struct {
			__u32 rings;
			__u32 quota;
		} dirty;
		struct {
			__u64 code;
			__u64 info[4];
		} unknown;
		__u8 data[1040];
	};
	char error[128];

	struct vireo_regs regs;
	struct vireo_sregs sregs;
};

/* ------------------------------------------------------------------ */
/* /dev/vireo                                                           */

enum vireo_vendor { VIREO_VENDOR_INTEL = 1, VIREO_VENDOR_AMD = 2 };

/* vireo_info.features: what this processor and module give */
#define VIREO_FEATURE_NESTED_PAGING	_BITULL(0)	/* EPT or NPT */
#define VIREO_FEATURE_UNRESTRICTED	_BITULL(1)	/* real mode runs directly */
#define VIREO_FEATURE_TAGGED_TLB	_BITULL(2)	/* VPID or ASID */
#define VIREO_FEATURE_PAGES_2M		_BITULL(3)
#define VIREO_FEATURE_PAGES_1G		_BITULL(4)
#define VIREO_FEATURE_PAGE_AD		_BITULL(5)	/* accessed and dirty bits */
#define VIREO_FEATURE_PML		_BITULL(6)	/* Page Modification Logging */
#define VIREO_FEATURE_TSC_SCALING	_BITULL(7)
#define VIREO_FEATURE_TPR_SHADOW	_BITULL(8)
#define VIREO_FEATURE_APIC_REGISTERS	_BITULL(9)	/* APIC-register virtualisation */
#define VIREO_FEATURE_VIRTUAL_IRQ	_BITULL(10)	/* virtual-interrupt delivery, AVIC */
#define VIREO_FEATURE_POSTED_IRQ	_BITULL(11)
#define VIREO_FEATURE_PREEMPTION_TIMER	_BITULL(12)
#define VIREO_FEATURE_NRIP_SAVE		_BITULL(13)	/* or VMX, which always tells */
#define VIREO_FEATURE_DECODE_ASSISTS	_BITULL(14)
#define VIREO_FEATURE_VIRTUAL_NMI	_BITULL(15)
#define VIREO_FEATURE_VIRTUAL_GIF	_BITULL(16)
#define VIREO_FEATURE_PAUSE_FILTER	_BITULL(17)	/* pause filter, pause-loop exiting */
#define VIREO_FEATURE_X2APIC		_BITULL(18)	/* guests get x2APIC */
#define VIREO_FEATURE_SHARED_OWNER	_BITULL(19)	/* runs beside KVM */
#define VIREO_FEATURE_HYBRID		_BITULL(20)	/* VIREO_VM_HYBRID */

/* vireo_info.mitigations: what the exit and entry paths do on this processor */
#define VIREO_MITIGATION_RSB_FILL	_BITULL(0)
#define VIREO_MITIGATION_IBPB		_BITULL(1)
#define VIREO_MITIGATION_SPEC_CTRL	_BITULL(2)
#define VIREO_MITIGATION_CLEAR_BUFFERS	_BITULL(3)	/* VERW before entry */
#define VIREO_MITIGATION_L1D_FLUSH	_BITULL(4)

/**
 * struct vireo_info - argument of VIREO_GET_INFO
 * @size: in: sizeof(struct vireo_info)
 * @abi: VIREO_ABI_VERSION
 * @vendor: &enum vireo_vendor
 * @phys_bits: guest-physical address bits
 * @features: VIREO_FEATURE_*: in use
 * @missing: VIREO_FEATURE_* that this processor family could have and this processor lacks
 * @mitigations: VIREO_MITIGATION_*
 * @blocks: bit (1 << type) for each state block known
 * @max_vcpus: per VM
 * @max_regions: per VM
 * @run_size: bytes to mmap of a vCPU
 * @tsc_khz: frequency of the host's TSC
 * @version: the module's version, NUL-terminated
 */
struct vireo_info {
	__u32 size;
	__u32 abi;
	__u32 vendor;
	__u32 phys_bits;
	__u64 features;
	__u64 missing;
	__u64 mitigations;
	__u64 blocks;
	__u32 max_vcpus;
	__u32 max_regions;
	__u32 run_size;
	__u32 tsc_khz;
	char version[32];
};

/**
 * struct vireo_cpuid_entry - one CPUID leaf
 * @leaf: EAX in
 * @subleaf: ECX in; counts only with VIREO_CPUID_SUBLEAF
 * @flags: VIREO_CPUID_*
 * @eax: EAX out
 * @ebx: EBX out
 * @ecx: ECX out
 * @edx: EDX out
 * @pad: zero
 */
struct vireo_cpuid_entry {
	__u32 leaf;
	__u32 subleaf;
	__u32 flags;
	__u32 eax, ebx, ecx, edx;
	__u32 pad;
};
#define VIREO_CPUID_SUBLEAF	(1U << 0)

/**
 * struct vireo_cpuid - argument of VIREO_GET_SUPPORTED_CPUID, VIREO_SET_CPUID, VIREO_GET_CPUID
 * @size: sizeof(struct vireo_cpuid)
 * @count: entries at @entries; GET: in, room; out, entries there are (-ENOSPC if more than room)
 * @entries: user address of an array of struct vireo_cpuid_entry
 *
 * SET replaces the whole table.  Feature bits that the processor or the module
 * cannot give are -EINVAL: what the guest sees is what it can use.  Bits that
 * follow the vCPU's state (OSXSAVE, APIC enable, XSAVE sizes) and the APIC id
 * are kept up to date by the module.  -EBUSY once the vCPU has run, or a snapshot was taken.
 */
struct vireo_cpuid {
	__u32 size;
	__u32 count;
	__u64 entries;
};

/**
 * struct vireo_msr_list - argument of VIREO_GET_MSR_LIST
 * @size: sizeof(struct vireo_msr_list)
 * @count: in, room at @indices; out, MSRs there are (-ENOSPC if more than room)
 * @indices: user address of an array of __u32
 */
struct vireo_msr_list {
	__u32 size;
	__u32 count;
	__u64 indices;
};

/* vireo_vm_config.flags */
#define VIREO_VM_REPORT_MSRS	_BITULL(0)	/* unknown MSRs exit to user space, else #GP */
/*
 * Code that is not at CPL 3 is interpreted; what the interpreter does not know runs alone on the
 * processor, one instruction at a time, each counted as VIREO_EXIT_STEP.  Programs (CPL 3,
 * virtual-8086 mode) run directly.  Much slower; the guest sees no difference.
 */
#define VIREO_VM_HYBRID		_BITULL(1)

/**
 * struct vireo_vm_config - argument of VIREO_CREATE_VM, which returns the VM's file
 * @size: sizeof(struct vireo_vm_config)
 * @pad: zero
 * @flags: VIREO_VM_*
 * @name: for logs and tools, NUL-terminated, may be empty
 *
 * Errors: -EBUSY (another hypervisor owns the processor; the log names it),
 * -ENODEV (disabled by firmware), -EOPNOTSUPP (VIREO_VM_HYBRID without VIREO_FEATURE_HYBRID), -ENOMEM,
 * -EINVAL, -EMFILE.
 */
struct vireo_vm_config {
	__u32 size;
	__u32 pad;
	__u64 flags;
	char name[32];
};

/* ------------------------------------------------------------------ */
/* VM                                                                   */

/* vireo_region.flags */
#define VIREO_REGION_READONLY	_BITULL(0)	/* guest writes exit as MMIO */

/**
 * struct vireo_region - argument of VIREO_SET_REGION and VIREO_DEL_REGION
 * @size: sizeof(struct vireo_region)
 * @slot: 0 to VIREO_MAX_REGIONS - 1
 * @flags: VIREO_REGION_*
 * @gpa: guest-physical address, page-aligned
 * @bytes: length, page-aligned, not 0 (DEL: ignored)
 * @hva: address in the launcher's memory, page-aligned
 *
 * SET replaces the slot's region.  Errors: -EEXIST (overlaps another slot),
 * -EINVAL (alignment, wrap, beyond phys_bits, unknown flags), -ENOENT (DEL of an empty slot), -EBUSY (there is a snapshot).
 */
struct vireo_region {
	__u32 size;
	__u32 slot;
	__u64 flags;
	__u64 gpa;
	__u64 bytes;
	__u64 hva;
};

/* Who may follow the writes to a region, each on its own: consumers are 0 to 3. */
#define VIREO_TRACK_CONSUMERS	4

/**
 * struct vireo_tracking - argument of VIREO_SET_TRACKING
 * @size: sizeof(struct vireo_tracking)
 * @slot: region
 * @consumer: 0 to VIREO_TRACK_CONSUMERS - 1
 * @on: 1: follow its writes from now on; 0: no more
 *
 * The VM may run meanwhile.  What is written after the call has returned is told to the consumer, with
 * nothing before it: who wants a copy copies all of the region first.  A region that is replaced or deleted is not followed
 * any more.
 *
 * Errors: -EINVAL (unknown slot or consumer, @on), -ENOENT (an empty slot; @on is 0 and it was not followed), -EALREADY (it is
 * followed), -ENOMEM; then nothing has changed.
 */
struct vireo_tracking {
	__u32 size;
	__u32 slot;
	__u32 consumer;
	__u32 on;
};

/**
 * struct vireo_dirty_log - argument of VIREO_GET_DIRTY
 * @size: sizeof(struct vireo_dirty_log)
 * @slot: region
 * @consumer: who asks
 * @flags: zero
 * @first: first page of the region to ask for, a multiple of 64
 * @pages: how many pages, each of 4 KiB
 * @bitmap: user address, a multiple of 8, of a u64 for each 64 pages; bit 0 of the first is for page @first
 * @found: out: how many pages were written
 *
 * Sets the bits of the pages that were written since the consumer was last told of them, leaves all others of the bitmap
 * as they are, and forgets them, as one step: a write is told of once, in this call or in one after it.  Written is what a vCPU, the
 * module or VIREO_MARK_DIRTY has written; a page may be told of although the processor has only made ready to write to it.
 *
 * Errors: -EINVAL (alignment, beyond the region, unknown flags), -ENOENT (the consumer does not follow the region), -EFAULT (the bitmap is
 * not writable: what it tells by then counts as told, the rest does not).
 */
struct vireo_dirty_log {
	__u32 size;
	__u32 slot;
	__u32 consumer;
	__u32 flags;
	__u64 first;
	__u64 pages;
	__u64 bitmap;
	__u64 found;
};

/* vireo_dirty_range.flags */
#define VIREO_DIRTY_BEFORE	(1U << 0)	/* it is going to be written: for snapshots */

/**
 * struct vireo_dirty_range - argument of VIREO_MARK_DIRTY
 * @size: sizeof(struct vireo_dirty_range)
 * @flags: VIREO_DIRTY_*
 * @gpa: guest-physical address of the first byte
 * @bytes: how many, not 0
 *
 * The launcher has written there itself, by its own mapping of a region: all consumers hear of it.  To be called after the write.
 *
 * With VIREO_DIRTY_BEFORE the launcher is going to write there: the pages are kept for the newest snapshot, if there is one,
 * and VIREO_ROLLBACK brings them back.  To be called before the first write after each snapshot or roll-back; consumers
 * do not hear of it.
 *
 * Errors: -EINVAL (no bytes, wrap, unknown flags), -EFAULT (not all of it is in regions); then nothing is marked.  With
 * VIREO_DIRTY_BEFORE also -ENOMEM, and -EFAULT if the memory cannot be read: pages before the one at fault are kept.
 */
struct vireo_dirty_range {
	__u32 size;
	__u32 flags;
	__u64 gpa;
	__u64 bytes;
};

/* At most so many snapshots of a VM at a time */
#define VIREO_MAX_SNAPSHOTS	32

/* vireo_snapshot.flags */
#define VIREO_SNAPSHOT_VERIFY	(1U << 0)	/* compare all memory and state after each roll-back */

/**
 * struct vireo_snapshot - argument of VIREO_SNAPSHOT, VIREO_ROLLBACK and VIREO_DROP_SNAPSHOT
 * @size: sizeof(struct vireo_snapshot)
 * @flags: VIREO_SNAPSHOT: VIREO_SNAPSHOT_*; the others: zero
 * @id: VIREO_SNAPSHOT: out; the others: in, 0: the newest
 * @vcpu: VIREO_ROLLBACK, -EIO, @block not 0: out: vCPU that differs
 * @pages: VIREO_ROLLBACK: out: pages that were copied back
 * @gpa: VIREO_ROLLBACK, -EIO, @block 0: out: first byte that differs
 * @block: VIREO_ROLLBACK, -EIO: out: &enum vireo_block_type that differs, 0: memory
 * @pad: zero
 *
 * VIREO_SNAPSHOT keeps the state of all vCPUs with their local APICs, and the VM's clock, in the kernel; of memory, each page when it is first
 * written after that.  VIREO_ROLLBACK brings all of it back as it was, so that for the guest no time has
 * passed; it can be done any number of times.  Snapshots form a stack: to roll back to one drops those that are newer.
 * VIREO_DROP_SNAPSHOT forgets one, wherever in the stack, and leaves the VM as it is.
 *
 * What belongs to a snapshot is what vCPUs write, what the module writes for them, and what the launcher has announced by VIREO_MARK_DIRTY with
 * VIREO_DIRTY_BEFORE.  Devices of the launcher, eventfds and the shared page are the launcher's own business.  As long as
 * there is a snapshot, regions are not set or deleted and no vCPU is added (-EBUSY), and the tables of CPUID stay as they are.
 *
 * With VIREO_SNAPSHOT_VERIFY a copy of all memory is kept, and VIREO_ROLLBACK compares it, and the state of all vCPUs, with what there is then.
 *
 * Errors: -EBUSY (a vCPU is in VIREO_RUN or another call), -EINVAL (unknown flags), -ENOENT (no such snapshot), -ENOMEM.  VIREO_SNAPSHOT: -EAGAIN (a vCPU
 * has not finished its last exit: VIREO_RUN with immediate_exit does that), -ENOSPC (VIREO_MAX_SNAPSHOTS), -EFAULT (VERIFY: memory that cannot be read).
 * VIREO_ROLLBACK: -EFAULT (a page cannot be written: what was copied back by then is, the rest can be rolled back by another
 * call), -EIO (something differs, the roll-back is done nevertheless).
 */
struct vireo_snapshot {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 vcpu;
	__u64 pages;
	__u64 gpa;
	__u32 block;
	__u32 pad;
};

/* vireo_report.kind */
enum vireo_report_kind {
	VIREO_REPORT_PAUSED,		/* the launcher has paused the VM */
	VIREO_REPORT_RESUMED,		/* ... lets it run again */
	VIREO_REPORT_STOPPED,		/* ... will not run it any more */
	VIREO_REPORT_SNAPSHOT,		/* a phase of: a snapshot that is the launcher's own, not the module's */
	VIREO_REPORT_ROLLBACK,		/* going back to one */
	VIREO_REPORT_DROP,		/* deleting one */
	VIREO_REPORT_SAVE,		/* saving to a file */
	VIREO_REPORT_RESTORE,		/* restoring from a file */
	VIREO_REPORT_FORK,		/* making a child */
	VIREO_REPORT_SEND,		/* migration, the source */
	VIREO_REPORT_RECEIVE,		/* migration, the destination */

	VIREO_REPORT_NR
};

/**
 * struct vireo_report - argument of VIREO_REPORT: what the launcher does with the VM, for those who follow it (vireo_netlink.h)
 * @size: sizeof(struct vireo_report)
 * @kind: &enum vireo_report_kind
 * @pages: of an operation (VIREO_REPORT_SNAPSHOT and later), else zero: pages of 4 KiB that it is about or has done so far
 * @total: likewise: of so many
 * @phase: likewise: "begin", "done", "failed", "cancelled", or its own
 * @cause: why; can be empty
 *
 * Texts are printable, end with a NUL, and are filled up with zeros.
 *
 * Errors: -EINVAL (@kind, a text, or something that has no place in a report of that kind).
 */
struct vireo_report {
	__u32 size;
	__u32 kind;
	__u64 pages;
	__u64 total;
	char phase[32];
	char cause[128];
};

/* Entries of a ring of dirty pages: a power of two between these. */
#define VIREO_RING_MIN		1024
#define VIREO_RING_MAX		65536

/* vireo_dirty_ring.flags */
#define VIREO_RING_LOST		(1U << 0)	/* what did not fit is in the bitmap alone; user space clears it */

/* What an entry says. */
#define VIREO_RING_SLOT(entry)	((entry) >> 48)
#define VIREO_RING_PAGE(entry)	((entry) & 0xffffffffffffULL)	/* of the region, counted from 0 */

/* Offset of a consumer's ring in the vCPU's file, for mmap (-EBUSY: somebody runs it), and where its entries begin in that. */
#define VIREO_RING_OFFSET(consumer) (0x1000000ULL * ((consumer) + 1))
#define VIREO_RING_ENTRIES	4096

/**
 * struct vireo_dirty_ring - first page of a ring that a vCPU shares with its launcher
 * @head: out: how many entries there were so far, modulo 2^32
 * @tail: in: how many of them the launcher has read; VIREO_RESET_RINGS looks at it
 * @flags: VIREO_RING_*
 *
 * VIREO_RING_ENTRIES bytes behind its start follows an array of __u64: number n is at n modulo the number of entries.
 */
struct vireo_dirty_ring {
	__u32 head;
	__u32 tail;
	__u32 flags;
};

/**
 * struct vireo_ring_config - argument of VIREO_SET_RING, of a vCPU that nobody runs
 * @size: sizeof(struct vireo_ring_config)
 * @consumer: 0 to VIREO_TRACK_CONSUMERS - 1
 * @entries: how many: VIREO_RING_MIN to VIREO_RING_MAX, a power of two; 0: the ring goes
 * @flags: zero
 *
 * From now on pages that the guest makes dirty on this vCPU, in regions that the consumer follows, also come into its ring, once until
 * VIREO_RESET_RINGS or VIREO_GET_DIRTY takes the mark away.  What the module writes itself, or VIREO_MARK_DIRTY says,
 * is only told by VIREO_GET_DIRTY.
 *
 * Errors: -EBUSY (somebody runs it), -EINVAL (@consumer, @entries, unknown flags), -EEXIST (it has one), -ENOENT (@entries is 0 and it
 * has none), -ENOMEM.
 */
struct vireo_ring_config {
	__u32 size;
	__u32 consumer;
	__u32 entries;
	__u32 flags;
};

/**
 * struct vireo_ring_reset - argument of VIREO_RESET_RINGS
 * @size: sizeof(struct vireo_ring_reset)
 * @consumer: 0 to VIREO_TRACK_CONSUMERS - 1
 * @pages: out: how many entries that was
 *
 * The entries of all vCPUs' rings up to their tails are free again, and the next write to one of those pages
 * is told again.  The launcher reads entries, moves the tails, calls this, and then copies the pages.  vCPUs may run meanwhile.
 *
 * Errors: -EINVAL (@consumer; a tail that is not between what was reset and the head), then nothing has changed.
 */
struct vireo_ring_reset {
	__u32 size;
	__u32 consumer;
	__u64 pages;
};

/**
 * struct vireo_vcpu_config - argument of VIREO_CREATE_VCPU, which returns the vCPU's file
 * @size: sizeof(struct vireo_vcpu_config)
 * @id: its number and APIC id; 0 is the bootstrap processor
 * @flags: zero
 *
 * Errors: -EEXIST, -EINVAL, -ENOMEM, -EBUSY (there is a snapshot).
 */
struct vireo_vcpu_config {
	__u32 size;
	__u32 id;
	__u64 flags;
};

/**
 * struct vireo_msi - argument of VIREO_SEND_MSI
 * @size: sizeof(struct vireo_msi)
 * @data: MSI data (SDM vol. 3, 11.11.2)
 * @address: MSI address (SDM vol. 3, 11.11.1); bits 32-63 give destination bits 8-31 as with x2APIC
 *
 * Returns the number of local APICs that took it, 0 if none.
 */
struct vireo_msi {
	__u32 size;
	__u32 data;
	__u64 address;
};

/* vireo_msi.data, vireo_irqfd.data: level-triggered, and the level is high */
#define VIREO_MSI_LEVEL		(1U << 15)
#define VIREO_MSI_ASSERT	(1U << 14)

/* vireo_ioeventfd.flags */
#define VIREO_IOEVENTFD_PIO	(1U << 0)	/* port, else memory */
#define VIREO_IOEVENTFD_MATCH	(1U << 1)	/* only if the value written equals @match */
#define VIREO_IOEVENTFD_REMOVE	(1U << 2)

/**
 * struct vireo_ioeventfd - argument of VIREO_SET_IOEVENTFD
 * @size: sizeof(struct vireo_ioeventfd)
 * @fd: an eventfd
 * @addr: port or guest-physical address
 * @match: with VIREO_IOEVENTFD_MATCH
 * @len: 1, 2, 4 or 8 bytes; 0 with memory only: any width
 * @flags: VIREO_IOEVENTFD_*
 *
 * Errors: -EEXIST (the same address, length and match are taken), -ENOENT (REMOVE), -EINVAL, -EBADF.
 */
struct vireo_ioeventfd {
	__u32 size;
	__s32 fd;
	__u64 addr;
	__u64 match;
	__u32 len;
	__u32 flags;
};

/* vireo_irqfd.flags */
#define VIREO_IRQFD_RESAMPLE	(1U << 0)	/* a level-triggered line, with @resample */
#define VIREO_IRQFD_MASKED	(1U << 1)	/* hold signals back */
#define VIREO_IRQFD_REMOVE	(1U << 2)

/**
 * struct vireo_irqfd - argument of VIREO_SET_IRQFD
 * @size: sizeof(struct vireo_irqfd)
 * @fd: an eventfd: its signals become messages, from whatever process or driver they come
 * @address: of the message, as in struct vireo_msi
 * @data: of the message
 * @flags: VIREO_IRQFD_*
 * @resample: with VIREO_IRQFD_RESAMPLE, an eventfd, else zero
 * @pad: zero
 *
 * There are no numbered interrupt lines and no table of routes: each eventfd has its message. An eventfd that
 * is not there is added; of one that is there, message and mask are replaced, and no signal is lost. What an eventfd
 * holds when it is added, or when its mask goes, is sent. While it is masked, signals stay in the
 * eventfd, where the launcher can see them with poll() and take them back with read().
 *
 * With VIREO_IRQFD_RESAMPLE, @data is that of a level-triggered message (VIREO_MSI_LEVEL, VIREO_MSI_ASSERT;
 * delivery mode fixed or lowest priority). After a message, signals of @fd are dropped until the EOI of its vector, which
 * signals @resample: whoever drives the line signals @fd again if the line is still up. No
 * VIREO_EXIT_EOI is made for such an EOI, unless VIREO_SEND_MSI has sent the same vector for a level
 * too. A message that replaces another while the EOI is waited for signals @resample at once. To forget that
 * an EOI is waited for (reset), remove and add. A line whose EOI is due when the state of a VM is saved has its vector in
 * the ISR or IRR, and in the TMR, of an APIC; after it is restored that EOI is a VIREO_EXIT_EOI.
 *
 * With VIREO_IRQFD_REMOVE, all but @fd is zero. Closing the last descriptor of an eventfd removes it too.
 *
 * Errors: -EINVAL (unknown flags, @fd or @resample is no eventfd, both are the same, @data is not level-triggered), -EBADF,
 * -ENOENT (REMOVE), -EBUSY (the eventfd is there with another @resample, or without), -ENOSPC (1024 per VM), -ENOMEM.
 */
struct vireo_irqfd {
	__u32 size;
	__s32 fd;
	__u64 address;
	__u32 data;
	__u32 flags;
	__s32 resample;
	__u32 pad;
};

/**
 * struct vireo_check - argument of VIREO_CHECK
 * @size: sizeof(struct vireo_check)
 * @flags: in: zero
 * @violations: out: rules that were found broken; 0: all is as it should be
 * @unsync: out: shadow pages that the guest may write to until its next flush
 * @pages: out: shadow pages in use
 * @limit: out: how many there may be
 * @reclaimed: out: how many were taken out, since the VM was made, to keep to that or for the host
 *	to have their memory
 * @entries: out: entries of theirs in use
 * @text: out: the first violation, NUL-terminated, or empty
 *
 * Holds the shadow page tables of a VM against the guest's page tables, the regions and the host's page tables, for
 * tests and bug reports; vCPUs wait meanwhile.  The guest's tables are taken as the guest and the module have
 * written them: what a launcher writes to them counts from the next VIREO_BLOCK_SREGS that it sets.
 *
 * Errors: -EOPNOTSUPP (the processor needs no shadow tables for this VM).
 */
struct vireo_check {
	__u32 size;
	__u32 flags;
	__u32 violations;
	__u32 unsync;
	__u64 pages;
	__u64 limit;
	__u64 reclaimed;
	__u64 entries;
	char text[160];
};

/* ------------------------------------------------------------------ */
/* vCPU                                                                 */

/**
 * struct vireo_translation - argument of VIREO_TRANSLATE
 * @size: sizeof(struct vireo_translation)
 * @valid: out: 1 if @gva is mapped
 * @gva: in: linear address
 * @gpa: out
 * @writable: out
 * @user: out
 * @executable: out
 * @pad: zero
 */
struct vireo_translation {
	__u32 size;
	__u32 valid;
	__u64 gva;
	__u64 gpa;
	__u8 writable, user, executable;
	__u8 pad[5];
};

#define VIREO_STATS_EXITS	128	/* with room for reasons to come */

/**
 * struct vireo_stats - argument of VIREO_GET_STATS
 * @size: sizeof(struct vireo_stats)
 * @pad: zero
 * @exits: exits by &enum vireo_exit_reason, since the vCPU was made; those to
 *	   user space are counted under the reason that the launcher saw too
 * @entries: guest entries
 * @injected: events injected
 * @faults: nested page faults that mapped something
 * @flushes: TLB flushes
 * @user_exits: returns to user space
 * @interpreted: instructions interpreted one after another: of a hybrid VM, or of modes that the
 *	processor cannot enter; not those of single exits
 * @halts: HLTs that had to wait
 * @halt_polls: those of them that began with looking, for a while, instead of sleeping
 * @halt_hits: those of these that were over before the thread slept
 * @pv_flushes: TLB flushes that other vCPUs have asked for while this one had no CPU
 * @pv_eois: interrupts that the guest has ended without an exit
 * @yields: times that the thread, whose guest was spinning, has given its CPU to that of another vCPU
 */
struct vireo_stats {
	__u32 size;
	__u32 pad;
	__u64 entries;
	__u64 injected;
	__u64 faults;
	__u64 flushes;
	__u64 user_exits;
	__u64 exits[VIREO_STATS_EXITS];
	__u64 interpreted;
	__u64 halts;
	__u64 halt_polls;
	__u64 halt_hits;
	__u64 yields;
	__u64 pv_flushes;
	__u64 pv_eois;
};

#define VIREO_IOC		0xB9

/* on /dev/vireo */
#define VIREO_GET_INFO		_IOWR(VIREO_IOC, 0x00, struct vireo_info)
#define VIREO_GET_SUPPORTED_CPUID _IOWR(VIREO_IOC, 0x01, struct vireo_cpuid)
#define VIREO_GET_MSR_LIST	_IOWR(VIREO_IOC, 0x02, struct vireo_msr_list)
#define VIREO_CREATE_VM		_IOW(VIREO_IOC, 0x03, struct vireo_vm_config)

/* on a VM */
#define VIREO_SET_REGION	_IOW(VIREO_IOC, 0x20, struct vireo_region)
#define VIREO_DEL_REGION	_IOW(VIREO_IOC, 0x21, struct vireo_region)
#define VIREO_CREATE_VCPU	_IOW(VIREO_IOC, 0x22, struct vireo_vcpu_config)
#define VIREO_SEND_MSI		_IOW(VIREO_IOC, 0x23, struct vireo_msi)
#define VIREO_SET_IOEVENTFD	_IOW(VIREO_IOC, 0x24, struct vireo_ioeventfd)
#define VIREO_SET_IRQFD		_IOW(VIREO_IOC, 0x26, struct vireo_irqfd)
#define VIREO_CHECK		_IOWR(VIREO_IOC, 0x25, struct vireo_check)
#define VIREO_SET_TRACKING	_IOW(VIREO_IOC, 0x27, struct vireo_tracking)
#define VIREO_GET_DIRTY		_IOWR(VIREO_IOC, 0x28, struct vireo_dirty_log)
#define VIREO_MARK_DIRTY	_IOW(VIREO_IOC, 0x29, struct vireo_dirty_range)
#define VIREO_SNAPSHOT		_IOWR(VIREO_IOC, 0x2a, struct vireo_snapshot)
#define VIREO_ROLLBACK		_IOWR(VIREO_IOC, 0x2b, struct vireo_snapshot)
#define VIREO_DROP_SNAPSHOT	_IOW(VIREO_IOC, 0x2c, struct vireo_snapshot)
#define VIREO_RESET_RINGS	_IOWR(VIREO_IOC, 0x2f, struct vireo_ring_reset)
#define VIREO_REPORT		_IOW(VIREO_IOC, 0x30, struct vireo_report)

/* on a VM (VIREO_BLOCK_CLOCK) and on a vCPU (the others) */
#define VIREO_GET_STATE		_IOWR(VIREO_IOC, 0x40, struct vireo_state)
#define VIREO_SET_STATE		_IOW(VIREO_IOC, 0x41, struct vireo_state)

/*
 * on a vCPU
 *
 * VIREO_RUN returns 0 with an exit in the page; or -EINTR: a signal, @immediate_exit, or work of
 * the kernel that is done on the way to user space, so without any signal: call it again; -EBUSY:
 * another thread is in it; -EAGAIN: the event to inject cannot be taken yet; -EINVAL: the in-fields; -EIO: the VM is
 * dead; -EFAULT: guest memory is not accessible (@error says where); -ENOMEM.
 *
 * VIREO_KICK comes from any thread.  It stays pending while nobody is in VIREO_RUN, ends the next one with
 * VIREO_EXIT_KICK, and several are one.
 *
 * VIREO_SET_STATE of VIREO_BLOCK_REGS drops what is left to do of the instruction of the last
 * exit.  After reset LVT LINT0 is masked: a launcher that has an 8259 and no firmware sets it to ExtINT.
 */
#define VIREO_RUN		_IO(VIREO_IOC, 0x60)
#define VIREO_KICK		_IO(VIREO_IOC, 0x61)
#define VIREO_SET_CPUID		_IOW(VIREO_IOC, 0x62, struct vireo_cpuid)
#define VIREO_GET_CPUID		_IOWR(VIREO_IOC, 0x63, struct vireo_cpuid)
#define VIREO_INJECT_NMI	_IO(VIREO_IOC, 0x64)	/* from any thread */
#define VIREO_TRANSLATE		_IOWR(VIREO_IOC, 0x65, struct vireo_translation)
#define VIREO_GET_STATS		_IOWR(VIREO_IOC, 0x66, struct vireo_stats)
#define VIREO_SET_RING		_IOW(VIREO_IOC, 0x67, struct vireo_ring_config)

#endif /* _UAPI_LINUX_VIREO_H */

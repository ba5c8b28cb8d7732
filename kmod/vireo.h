/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The core's types: VM, vCPU, exit, and what the parts of the module offer
 * each other.  Vendor code is reached through backend.h only.
 */
#ifndef VIREO_H
#define VIREO_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>

#include "../uapi/linux/vireo.h"
#include "../uapi/linux/vireo_netlink.h"
#include "emulate/emulate.h"

#undef pr_fmt
#define pr_fmt(fmt) "vireo: " fmt

struct vireo_vm;
struct vireo_vcpu;
struct vireo_interp;
struct vireo_lapic_state;
struct vireo_nl_watch;

/* Names of GPR numbers: the hardware encoding. */
enum {
	VIREO_RAX, VIREO_RCX, VIREO_RDX, VIREO_RBX,
	VIREO_RSP, VIREO_RBP, VIREO_RSI, VIREO_RDI,
	VIREO_R8, VIREO_R9, VIREO_R10, VIREO_R11,
	VIREO_R12, VIREO_R13, VIREO_R14, VIREO_R15,
};

/*
 * Registers that live in the VMCS or VMCB while the guest runs.  @avail says
 * that the copy in struct vireo_vcpu is current, @dirty that the control
 * structure is stale and the next entry writes it.  dirty implies avail.
 * (The other GPRs are always current outside the guest.)
 */
#define VIREO_REG_RIP		(1U << 0)
#define VIREO_REG_RSP		(1U << 1)
#define VIREO_REG_RFLAGS	(1U << 2)
#define VIREO_REG_ALL		(VIREO_REG_RIP | VIREO_REG_RSP | VIREO_REG_RFLAGS)

/* vireo_exit.mem.access and the guest walker's question */
#define VIREO_ACCESS_READ	(1U << 0)
#define VIREO_ACCESS_WRITE	(1U << 1)
#define VIREO_ACCESS_EXEC	(1U << 2)
#define VIREO_ACCESS_USER	(1U << 3)	/* walker only: CPL 3 access */
#define VIREO_ACCESS_IMPLICIT	(1U << 4)	/* walker only: implicit supervisor access (GDT, IDT, TSS) */

/* VIREO_CR_INTERPRET: the processor says no more than the number; see vireo_find_cr_op(). */
enum vireo_cr_op {
	VIREO_CR_WRITE, VIREO_CR_READ, VIREO_CR_CLTS, VIREO_CR_LMSW, VIREO_CR_INTERPRET
};

/**
 * struct vireo_exit - one exit in neutral form, filled by the backend's enter()
 * @reason: &enum vireo_exit_reason below VIREO_EXIT_HARDWARE_NR
 * @insn_len: length of the instruction that exited, 0 if the processor does not say
 * @nr_bytes: bytes valid in @bytes (SVM decode assists)
 * @bytes: first bytes of the instruction
 * @code: the processor's own exit code
 * @info: SVM EXITINFO1, EXITINFO2; VMX exit qualification, interruption info, guest
 *	  linear address: for the log and VIREO_EXIT_UNKNOWN; filled by those exits only
 *
 * Only the member of the union that belongs to @reason is filled.
 */
struct vireo_exit {
	u16 reason;
	u8 insn_len;
	u8 nr_bytes;
	u8 bytes[15];
	u32 code;
	u64 info[3];
	union {
		struct {
			u64 gpa;
			u64 gla;		/* guest linear address if gla_valid */
			u8 access;		/* VIREO_ACCESS_READ/WRITE/EXEC */
			bool gla_valid;
			bool in_walk;		/* access to a guest page table during a walk */
		} mem;
		struct {
			u16 port;
			u8 unit;		/* 1, 2, 4 */
			bool write;		/* OUT, OUTS */
			bool string;
			bool rep;
		} io;
		struct {
			u8 nr;			/* 0, 3, 4, 8 */
			u8 op;			/* enum vireo_cr_op */
			u8 gpr;
			u16 lmsw;		/* source data of LMSW */
		} cr;
		struct {
			u8 nr;
			u8 gpr;
			bool write;
		} dr;
		struct {
			u8 vector;
			bool has_error;
			u32 error;
			u64 cr2;		/* #PF; #DB: pending DR6 bits */
		} exc;
		struct {
			u16 offset;		/* VIREO_EXIT_APIC_WRITE: register */
			u8 vector;		/* VIREO_EXIT_APIC_EOI */
		} apic;
		struct {
			u16 selector;
			u8 source;		/* 0 CALL, 1 IRET, 2 JMP, 3 gate in IDT */
			bool has_error;
			u32 error;
		} task;
	};
};

/**
 * struct vireo_mode - what the walker and the interpreter must know of the guest's mode
 * @cr0: CR0 as the guest sees it
 * @cr3: CR3
 * @cr4: CR4 as the guest sees it
 * @efer: EFER as the guest sees it
 * @rflags: RFLAGS
 * @cs_attr: attributes of CS (VIREO_SEG_*)
 * @cpl: current privilege level
 */
struct vireo_mode {
	u64 cr0, cr3, cr4, efer, rflags;
	u32 cs_attr;
	u8 cpl;
};

/* Bits of vireo_vcpu.requests; set by anyone, cleared by the vCPU's own thread. */
enum vireo_request {
	VIREO_REQ_EVENT,	/* look for interrupts, NMI, INIT, SIPI again */
	VIREO_REQ_FLUSH,	/* flush the TLB before the next entry */
	VIREO_REQ_KICK,		/* return to user space: VIREO_EXIT_KICK */
	VIREO_REQ_CLOCK,	/* rewrite the paravirtual clock page */
	VIREO_REQ_EOI,		/* return to user space: VIREO_EXIT_EOI */
	VIREO_REQ_DEAD,		/* VM is dead: VIREO_EXIT_INTERNAL_ERROR */
	VIREO_REQ_SYNC,		/* only to get a vCPU out of the guest once */
	VIREO_REQ_OUT,		/* leave the inner loop and look around */
	VIREO_REQ_INTERPRET,	/* own thread: leave it, and see whether to interpret */
	VIREO_REQ_LOG,		/* own thread: mmu.logging has changed */
	VIREO_REQ_DIRTY,	/* own thread: see whether to return to user space: VIREO_EXIT_DIRTY */
	VIREO_REQ_STEAL,	/* the paravirtual page of steal time is to be written */
	VIREO_REQ_PV_EOI,	/* own thread: see what became of a paravirtual EOI, interrupts on */
	VIREO_REQ_ROOT,		/* shadow tables: find the root again; the guest has flushed */
};

/* Mode of a local APIC, from IA32_APIC_BASE */
enum vireo_apic_mode { VIREO_APIC_OFF, VIREO_APIC_XAPIC, VIREO_APIC_X2APIC };

/* vireo_vcpu.run_mode: who must be interrupted to see a request */
enum vireo_run_mode { VIREO_OUTSIDE, VIREO_IN_GUEST, VIREO_EXITING };

/*
 * Answer of a handler.  Handlers are called with interrupts off, right after the exit.
 * One that has to sleep answers VIREO_SLOW, having changed nothing that a second call would
 * not find, and is called again with interrupts on, under vm->srcu.
 */
enum vireo_action {
	VIREO_RESUME,		/* back into the guest at once */
	VIREO_AGAIN,		/* let interrupts, signals, the scheduler in, then back into the guest */
	VIREO_SLOW,		/* call the handler again with interrupts on */
	VIREO_USER,		/* to user space; vcpu->run is filled */
	VIREO_FAIL,		/* to user space; vcpu->run_error is VIREO_RUN's errno */
};

/* vireo_vcpu.insn_msr: an MSR of an interpreted instruction that the launcher is asked for */
enum vireo_insn_msr {
	VIREO_INSN_MSR_NONE, VIREO_INSN_MSR_ASKED, VIREO_INSN_MSR_DONE, VIREO_INSN_MSR_REFUSED
};

/**
 * struct vireo_counters - what a vCPU counts; written by its own thread only
 */
struct vireo_counters {
	u64 injected[8];		/* by enum vireo_event_type */
	u64 faults[VIREO_ACCESS_EXEC * 2];	/* by VIREO_ACCESS_READ, _WRITE, _EXEC */
	u64 faults_tracked, faults_mmio, faults_guest;
	u64 flushes, user_exits, interpreted, dirtied;
	u64 ipis, timers;		/* sent; timers that were over when they were set */
	u64 halts, halt_polls, halt_hits, yields, pv_flushes, pv_eois;
	u64 exits[VIREO_EXIT_REASON_NR];
};

/**
 * struct vireo_times - where a vCPU's time goes, in cycles of the TSC; see stats.h
 *
 * Written by its own thread only.
 *
 * @cycles: from exits to the next entry, by reason
 * @histogram: the same: how many took how long
 * @first: when VIREO_RUN was first called, 0: not yet
 * @mark: when the last exit was, later by what has been user space and waiting since; not in the inner loop
 * @away: when VIREO_RUN last returned
 * @user: stopwatch of what is outside of VIREO_RUN
 * @halted: stopwatch of waiting
 */
struct vireo_times {
	u64 cycles[VIREO_EXIT_HARDWARE_NR];
	u32 histogram[VIREO_EXIT_HARDWARE_NR][VIREO_NL_BUCKETS];
	u64 first, mark, away;
	u64 user, halted;
};

/**
 * struct vireo_shadow_vcpu - a vCPU's way into the shadow tables (kmod/mmu)
 *
 * Own thread; @root and @pd under mmu->lock.
 *
 * @on: the processor walks shadow tables, not the guest's
 * @role: union shadow_role that its paging mode gives a page, but for the level
 * @root: root in long mode
 * @pd: roots otherwise, each for 1 GiB of linear addresses
 * @pae: page whose first four entries are PAE's top level; below 4 GiB
 * @cr3: CR3 for the processor
 * @gpa: of the access that faulted, for the interpreter
 * @mode: CR0, CR3, CR4 and EFER of the guest that all this is for
 */
struct vireo_shadow_vcpu {
	bool on;
	u32 role;
	struct shadow_page *root;
	struct shadow_page *pd[4];
	u64 *pae;
	u64 cr3;
	u64 gpa;
	struct vireo_mode mode;
};

/**
 * struct vireo_vcpu - a virtual processor
 *
 * Owned by the thread inside VIREO_RUN or another ioctl, which holds @mutex.
 * Fields that others touch are marked.
 */
struct vireo_vcpu {
	/* first cache lines: what each exit touches */
	u64 gpr[16];			/* enter.S knows these offsets (asm-offsets.h) */
	u64 rip, rflags;		/* RSP is gpr[VIREO_RSP]; see VIREO_REG_* */
	u32 avail, dirty;
	unsigned long requests;		/* atomic bits, anyone */
	u8 run_mode;			/* own thread writes, kickers cmpxchg */
	bool event_pending;		/* event.valid, or re-injection is needed */
	bool xcr0_differs;		/* guest's XCR0 is not the host's: switch at entry and exit */
	u8 mp_state;			/* enum vireo_mp_state, own thread */
	struct vireo_exit exit;
	struct vireo_event event;	/* to inject at the next entry, or interrupted delivery */

	struct vireo_vm *vm;
	struct vireo_run *run;		/* shared page: hostile, copy once */
	void *backend;			/* struct vmx_vcpu or svm_vcpu */
	struct vireo_lapic_state *lapic;
	u32 *apic_page;			/* registers of the local APIC as the processor reads them, or NULL */
	struct vireo_counters counters;

	u32 id;
	int cpu;			/* CPU it is loaded on, or was last; -1 never */
	struct mutex mutex;		/* one ioctl at a time */
	struct rcuwait wait;		/* halted thread */
	struct preempt_notifier preempt;
	struct pid __rcu *thread;	/* thread that was last in VIREO_RUN; RCU */
	bool preempted;			/* its thread wants a CPU; own thread writes, others read */
	bool spinning;			/* likewise: the guest spins, see idle.c */
	bool halt_polled, halt_slept;	/* since halt_start */
	u64 halt_start;			/* ns; 0: it does not wait in HLT */
	u32 halt_poll_ns;		/* own bound, see idle.c */
	bool loaded;			/* vcpu_load() done on @cpu, preempt-protected */
	bool has_run;
	bool was_shut;			/* it was told that the vCPU is shut down; own thread */

	struct vireo_shadow_vcpu shadow;

	/* guest state the hardware does not hold */
	u64 cr3;			/* while shadow.on */
	u64 cr2, xcr0, host_xcr0, apic_base;
	u64 xss;
	u64 db[4], dr6, dr7;
	bool dr_loaded;			/* guest's DR0-3 and DR6 are in the processor */
	u8 nmi_pending;			/* 0 to 2; own thread, others by nmi_queued */
	atomic_t nmi_queued;		/* anyone */
	bool irq_window_user;		/* run->want_irq_window, copied once */
	u32 wants;			/* run->wants, copied once */
	u32 dirty_quota;		/* run->dirty_quota, copied once; what is left */
	bool dirty_counted;		/* the quota counts */
	bool dirty_watched;		/* ... or there are rings */
	struct vireo_ring *ring[VIREO_TRACK_CONSUMERS];	/* own thread, others under vm->lock; see ring.c */
	struct fpu_guest fpu;

	/* user exit in progress: what to do with the answer at the next VIREO_RUN */
	enum vireo_action (*complete)(struct vireo_vcpu *vcpu);
	int run_error;			/* with VIREO_FAIL: negative errno */
	bool insn_retry;		/* the interpreter stopped for a page that is not resident */
	bool insn_posted;		/* ... has put a write for user space into the run page */
	bool insn_read_io;		/* ... waits for a port, not for memory */
	u16 insn_read_len;		/* ... and for so many bytes */
	u8 insn_msr;			/* enum vireo_insn_msr */
	u64 insn_msr_data;		/* the launcher's answer */
	struct vireo_mode mode;		/* of the guest while the interpreter is at work */
	struct vireo_emu emu;		/* interpreter; see insn.c */
	struct vireo_interp *interp;	/* see interpret.c; NULL until it is needed */
	bool interpret;			/* interpret instead of entering, until interpret.c says no */
	bool reinterpret;		/* event is a fault of an instruction to be interpreted */
	bool step;			/* let the processor carry out one instruction */
	bool event_waits;		/* an interrupt or NMI waits to be allowed */

	/* time */
	u64 tsc_offset;
	u32 tsc_khz;
	u64 tsc_adjust;			/* IA32_TSC_ADJUST */

	/* paravirtual clock */
	u64 pvclock_msr;		/* MSR_KVM_SYSTEM_TIME_NEW */
	unsigned long pvclock_stamp;	/* jiffies of the last update */
	/* the rest of the paravirtual ABI, see paravirt.c */
	u64 steal_msr;			/* MSR_KVM_STEAL_TIME; changes with preemption off */
	u64 run_delay;			/* the thread's, when the guest was last told */
	bool steal_flag;		/* its page says that it does not run */
	bool pv_kicked;			/* KVM_HC_KICK_CPU; anyone */
	bool tsc_stale;			/* tsc_offset was changed for it, see vireo_pvclock_resume() */

	/* CPUID table, sorted */
	struct vireo_cpuid_entry *cpuid;
	u32 cpuid_nr;
	struct vireo_cpuid_index {
		/* first entry of a leaf */
		const struct vireo_cpuid_entry *basic[0x20], *hyper[0x04], *extended[0x24];
	} cpuid_index;
	struct vireo_guest_caps {
		u64 cr4_reserved;	/* CR4 bits the guest may not set */
		u64 efer_allowed;
		u64 xcr0_allowed;
		u64 phys_mask;		/* reserved-bit mask helper: (1 << MAXPHYADDR) - 1 */
		u32 paravirt;		/* CPUID 0x40000001, EAX */
		u8 phys_bits;
		bool x2apic, tsc_deadline, gbpages, nx, pcid, rdtscp, syscall, long_mode;
	} caps;

	/* MSRs that are only values: no effect on the processor */
	struct_group(msr_values,
		u64 misc_enable, mtrr_def_type, mtrr_fixed[11], mtrr_var[16], bios_sign_id;
		u64 pat;
		u64 mcg_status;
	);

	/* allocator: page-table pages topped up before the MMU lock is taken */
	struct vireo_mmu_cache {
		int nr;
		void *pages[8];
	} mmu_cache;
	const struct vireo_mem *last_mem;	/* last region hit; valid while mem_gen matches */
	u64 last_mem_gen;

	u64 mmio_exit;			/* what faults_mmio was last counted for */
	u32 ring_bytes;			/* of its rings; others read */
	struct vireo_times times;
};

/**
 * struct vireo_mem - a memory region as the kernel keeps it
 * @gfn: first guest frame
 * @pages: length in 4 KiB pages
 * @hva: user address
 * @flags: VIREO_REGION_*
 * @slot: slot number
 * @frames: reverse maps of its frames, of each 2 MiB and of each 1 GiB; NULL without shadow tables
 * @track: who follows its writes; NULL: nobody
 */
struct vireo_mem {
	u64 gfn;
	u64 pages;
	unsigned long hva;
	u64 flags;
	u32 slot;
	struct shadow_frame *frames[3];
	struct vireo_track *track;
};

/**
 * struct vireo_mem_map - all regions of a VM, sorted by gfn
 *
 * Read under vm->srcu, or with interrupts off (which is an RCU read side);
 * replaced as a whole under vm->lock.
 */
struct vireo_mem_map {
	u64 gen;
	u32 nr;
	struct vireo_mem mem[];
};

/* struct vireo_mmu - nested page tables of a VM (kmod/mmu) */
struct vireo_mmu {
	rwlock_t lock;			/* read: faults add entries by cmpxchg; write: zap, free */
	const struct vireo_tdp_format *format;	/* bits of the tables' entries */
	u64 root;			/* host-physical address of the root table */
	u8 levels;			/* 4 or 5 */
	unsigned long invalidate_seq;	/* bumped under @lock at the end of each invalidation */
	long invalidate_busy;		/* invalidations in progress, under @lock */
	unsigned long invalidate_start, invalidate_end;	/* their hva range, under @lock */
	atomic_long_t pages[4];		/* mapped leaves of level 1 (4K), 2 (2M), 3 (1G); [0]: table pages */
	struct mmu_notifier notifier;
	struct vireo_shadow *shadow;	/* NULL: the processor needs none, ever */
	bool log;			/* writes are followed by the processor's log */
	bool dirty_bits;		/* or by dirty bits, as far as track.h says; else by write protection */
	bool ordered;			/* never by dirty bits any more; changed under vm->lock and @lock for writing */
	bool logging;			/* it is on, or will be before a vCPU enters; changed under vm->lock */
};

/**
 * struct vireo_vm_cpu - counters of a VM for each of the host's CPUs
 * @msis: MSIs that have come
 * @dirtied: pages found dirty by somebody who does not know which vCPU it was
 */
struct vireo_vm_cpu {
	u64 msis, dirtied;
};

/**
 * struct vireo_nl_vm - what the netlink family has of a VM (kmod/netlink)
 * @number: its own for ever, as good as: 2^32 other VMs come before another one has it
 * @uid: effective user who made it
 * @pid: process that made it
 * @net: network namespace in which it was made, NULL: that is gone; under vireo_vms_lock and @lock, either is enough to read
 * @created: ns of CLOCK_BOOTTIME
 * @lock: order of events; inside of vireo_vms_lock and of the VM's own locks
 * @seq: number of the last event; under @lock, others read
 * @state: &enum vireo_nl_state, but for what @dead of the VM says; likewise
 * @started: it was told that a vCPU runs; under @lock
 * @dead_told: it was told that it is dead, or is not to be any more; under @lock
 * @death: tells that it is dead
 * @watch: over thresholds, NULL: there are none; under vireo_vms_lock
 */
struct vireo_nl_vm {
	u32 number;
	kuid_t uid;
	struct pid *pid;
	struct net *net;
	u64 created;
	struct mutex lock;
	u64 seq;
	u32 state;
	bool started;
	bool dead_told;
	struct work_struct death;
	struct vireo_nl_watch *watch;
};

/**
 * struct vireo_vm - a virtual machine
 */
struct vireo_vm {
	struct kref ref;		/* files: the VM's own and each vCPU's */
	struct mm_struct *mm;		/* whose memory the regions are; ioctls from another are -EIO */
	struct mutex lock;		/* regions, vCPU creation, ioeventfds, irqfds */
	struct srcu_struct srcu;	/* readers of mem and bus that may sleep */
	struct vireo_mem_map __rcu *mem;
	struct vireo_mmu mmu;
	struct vireo_vcpu *vcpus[VIREO_MAX_VCPUS];	/* smp_store_release once, under lock */
	u32 nr_vcpus;			/* highest id + 1; smp_store_release after vcpus[] */
	u32 last_yield;			/* who was last yielded to; a hint */
	u64 flags;
	char name[32];
	bool dead;			/* a broken invariant: no vCPU runs again */
	const char *dead_why;		/* before @dead, and once */
	void *backend;			/* per-VM state of the vendor code */
	struct list_head list;		/* all VMs, vireo_vms_lock */

	/* time */
	u64 tsc_base;			/* host TSC at creation: guest TSC starts at 0 */
	s64 clock_offset;		/* kvm-clock, see pvclock.c */
	u64 clock_tsc;			/* host TSC at clock_offset, 0: clock is the host's + clock_offset */
	u32 clock_khz;			/* frequency that goes with clock_tsc */
	u64 wall_clock_gpa;

	/* irq/ */
	u64 apic_logical_gen;
	struct vireo_ioeventfds __rcu *ioeventfds;
	struct list_head irqfds;	/* under lock */
	struct list_head irqfd_levels;	/* those of level-triggered lines; RCU, written under lock */
	u32 nr_irqfds;
	struct list_head points;	/* newest first; changes under lock and all vCPUs' mutexes, either is enough to read */
	u32 nr_points, last_point;
	unsigned long level_sent[4];	/* vectors that VIREO_SEND_MSI sent for a level, no EOI since; anyone */

	struct vireo_vm_cpu __percpu *cpu;	/* what is counted, but not by a vCPU's own thread */
	atomic_long_t snapshot_bytes;	/* in copies of pages and state */
	struct vireo_nl_vm nl;
};

/* ------------------------------------------------------------------ */
/* What the processor gives: filled once by backend->probe().          */

/**
 * struct vireo_caps - processor and module
 * @vendor: &enum vireo_vendor
 * @features: VIREO_FEATURE_*
 * @missing: VIREO_FEATURE_*
 * @mitigations: VIREO_MITIGATION_*
 * @max_level: largest nested mapping: 1 (4K), 2 (2M), 3 (1G)
 * @root_levels: 4 or 5
 * @phys_bits: host MAXPHYADDR
 * @nested_ad: nested tables have accessed/dirty bits in use
 * @exec_only: EPT can be execute-only
 * @xcr0: XCR0 bits that guests may use, 0 without XSAVE
 * @has_rdtscp: guests can have RDTSCP and RDPID (the backend switches TSC_AUX)
 * @has_invpcid: guests can have INVPCID
 * @no_step: an instruction cannot be run alone without danger to the host (Bochs' SVM)
 * @nested_paging: nested tables are used; else shadow tables
 * @shadow_unpaged: shadow tables are used while a guest has paging off
 * @dirty_log: the processor logs the pages that guests write (PML)
 * @dirty_log_allowed: it may be used for that; set before probe()
 * @dirty_bits: writes of guests are found by the dirty bits of their tables
 * @apic_allowed: VIREO_FEATURE_* of the local APIC that may be used; set before probe()
 * @vcpu_bytes: memory of the backend's for a vCPU
 * @irq_careful: virtual interrupts can come too early (Bochs), see assist.c
 * @apic_page: the backend wants &vireo_vcpu.apic_page
 */
struct vireo_caps {
	u32 vendor;
	u64 features;
	u64 missing;
	u64 mitigations;
	u8 max_level;
	u8 root_levels;
	u8 phys_bits;
	bool nested_ad;
	bool exec_only;
	bool has_rdtscp;
	bool has_invpcid;
	bool no_step;
	bool nested_paging;
	bool shadow_unpaged;
	bool irq_careful;
	bool apic_page;
	bool dirty_log;
	bool dirty_log_allowed;
	bool dirty_bits;
	u64 apic_allowed;
	u64 xcr0;
	u32 vcpu_bytes;
};
extern struct vireo_caps vireo_caps;

/* Module parameter pause_exits: which PAUSE of a guest exits; before probe() */
enum { VIREO_PAUSE_NONE, VIREO_PAUSE_LOOPS, VIREO_PAUSE_ALL };
extern unsigned int vireo_pause_exits;

/* ------------------------------------------------------------------ */
/* vcpu.c, run.c                                                        */

static inline bool vireo_request_test(struct vireo_vcpu *vcpu, enum vireo_request req)
{
	return test_bit(req, &vcpu->requests);
}

static inline bool vireo_request_take(struct vireo_vcpu *vcpu, enum vireo_request req)
{
	if (!test_bit(req, &vcpu->requests))
		return false;
	clear_bit(req, &vcpu->requests);
	/* What the request is about is read after the bit is gone, so a new one is not lost. */
	smp_mb__after_atomic();
	return true;
}

/* Set a request; the vCPU sees it before it next enters the guest. */
static inline void vireo_request_set(struct vireo_vcpu *vcpu, enum vireo_request req)
{
	/* What the request is about, then the bit, then the look at run_mode. */
	smp_mb__before_atomic();
	set_bit(req, &vcpu->requests);
	/* Pairs with the full barrier after run_mode is set. */
	smp_mb__after_atomic();
}

/**
 * vireo_kick() - make a vCPU look at its requests
 * @vcpu: any vCPU, from any context, interrupts on or off
 *
 * If it is in the guest on another CPU it is interrupted; if it is halted its thread
 * wakes.
 */
void vireo_kick(struct vireo_vcpu *vcpu);

/* Set a request and kick. */
static inline void vireo_request(struct vireo_vcpu *vcpu, enum vireo_request req)
{
	vireo_request_set(vcpu, req);
	vireo_kick(vcpu);
}

/**
 * vireo_request_all() - set a request on every vCPU and wait until none that
 *			 could miss it is still in the guest
 * @vm: VM
 * @req: request
 *
 * May be called with the MMU lock held; does not sleep.  On return every vCPU
 * either has left the guest or will see the request before it enters.
 */
void vireo_request_all(struct vireo_vm *vm, enum vireo_request req);

/**
 * vireo_request_others_out() - as vireo_request_all() if nobody need be waited for
 * @vm: VM
 * @req: request
 *
 * For those who have interrupts off and so cannot wait.
 *
 * Return: true: as after vireo_request_all(); false: a vCPU is in the guest on another CPU.
 */
bool vireo_request_others_out(struct vireo_vm *vm, enum vireo_request req);

/**
 * vireo_vm_kill() - a broken invariant ends the VM, never the host
 * @vm: VM
 * @why: a sentence for the log and vireo_run.error; a string constant
 */
void vireo_vm_kill(struct vireo_vm *vm, const char *why);

/* Load on this CPU and keep it there (preemption off), e.g. to read the VMCS. */
void vireo_vcpu_load(struct vireo_vcpu *vcpu);
void vireo_vcpu_put(struct vireo_vcpu *vcpu);

struct vireo_vcpu *vireo_vcpu_by_id(struct vireo_vm *vm, u32 id);

/* The next vCPU from *@i on, NULL after the last. */
static inline struct vireo_vcpu *vireo_vcpu_next(struct vireo_vm *vm, u32 *i)
{
	/* Pairs with vireo_vcpu_create(): the count covers whole pointers. */
	while (*i < smp_load_acquire(&vm->nr_vcpus)) {
		/* Pairs with vireo_vcpu_create(): a whole vCPU, or none. */
		struct vireo_vcpu *vcpu = smp_load_acquire(&vm->vcpus[*i]);

		if (vcpu)
			return vcpu;
		++*i;
	}
	return NULL;
}

static inline bool vireo_hybrid(const struct vireo_vm *vm)
{
	return vm->flags & VIREO_VM_HYBRID;
}

#define vireo_for_each_vcpu(i, vcpu, vm)				\
	for ((i) = 0; ((vcpu) = vireo_vcpu_next(vm, &(i))); (i)++)

/* ------------------------------------------------------------------ */
/* exit.c: events                                                       */

/**
 * vireo_queue_exception() - deliver an exception at the next entry
 * @vcpu: vCPU
 * @vector: 0 to 31
 * @has_error: whether an error code is pushed
 * @error: error code
 *
 * Follows the table for double faults (SDM vol. 3, table 6-5) if another
 * exception is in delivery.
 */
void vireo_queue_exception(struct vireo_vcpu *vcpu, u8 vector, bool has_error, u32 error);
void vireo_queue_page_fault(struct vireo_vcpu *vcpu, u64 address, u32 error);

static inline void vireo_queue_gp(struct vireo_vcpu *vcpu)
{
	vireo_queue_exception(vcpu, 13, true, 0);
}

static inline void vireo_queue_ud(struct vireo_vcpu *vcpu)
{
	vireo_queue_exception(vcpu, 6, false, 0);
}

/* ------------------------------------------------------------------ */
/* region.c: guest-physical memory as the launcher's user memory        */

/**
 * vireo_mem_find() - region that holds a guest frame
 * @map: regions
 * @gfn: guest frame number
 *
 * Return: the region, or NULL: MMIO.
 */
const struct vireo_mem *vireo_mem_find(const struct vireo_mem_map *map, u64 gfn);

/* As vireo_mem_find() with the vCPU's last hit tried first. */
const struct vireo_mem *vireo_vcpu_mem(struct vireo_vcpu *vcpu, u64 gfn);

/**
 * vireo_mem_map() - current regions; under vm->srcu, vm->lock, or with interrupts off
 * @vm: VM
 */
const struct vireo_mem_map *vireo_mem_map(struct vireo_vm *vm);

/*
 * Copy between the kernel and guest-physical memory, in the VM's own mm.  Of the
 * _nofault forms none sleeps: they fail where the page is not resident.
 * Return 0, or -EFAULT (no region, read-only, page not there).
 */
int vireo_read_gpa(struct vireo_vcpu *vcpu, u64 gpa, void *data, size_t len);
int vireo_write_gpa(struct vireo_vcpu *vcpu, u64 gpa, const void *data, size_t len);
int vireo_read_gpa_nofault(struct vireo_vcpu *vcpu, u64 gpa, void *data, size_t len);
int vireo_write_gpa_nofault(struct vireo_vcpu *vcpu, u64 gpa, const void *data, size_t len);

/*
 * Compare and exchange of 1, 2, 4, 8 or 16 bytes within a page, atomic if 16 are aligned and less
 * are in one cache line; may sleep.  *@old becomes what was there.
 * Return 0 or -EFAULT.
 */
int vireo_cmpxchg_gpa(struct vireo_vcpu *vcpu, u64 gpa, void *old, const void *new, u32 len);

/* ------------------------------------------------------------------ */
/* Slab of per-vCPU things and files                                    */
extern const struct file_operations vireo_vm_fops;
extern const struct file_operations vireo_vcpu_fops;

#endif /* VIREO_H */

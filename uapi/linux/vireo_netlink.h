/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The generic-netlink family "vireo": what virtual machines do, for whoever may know.
 *
 * Documentation/netlink/specs/vireo.yaml says the same in the kernel's YNL format, Documentation/monitoring.rst explains it. Every
 * request names its VM by VIREO_NL_A_VM, a number that is given to one VM only as long as the module is loaded.
 *
 * A sender sees the VMs that were created in the network namespace of its socket: its own (those of the same effective user) or, with
 * CAP_NET_ADMIN in the user namespace that owns that network namespace, all of them. Others are -ENOENT. Who has opened the
 * socket and who sends must both be allowed to. Process and user ids are those of the sender's namespaces; what has no
 * number there is 0 (pid) or the overflow uid. Of a dump, the sender is who has asked for it.
 *
 * Events go to the sockets of that network namespace whose opener may see the VM, and carry no ids of processes and
 * users. (On kernels before 6.8, which cannot choose, joining a group needs CAP_NET_ADMIN.)
 *
 * A message of VIREO_NL_CMD_GET_STATS has up to 8 KiB: give it a buffer of 16.
 */
#ifndef _UAPI_LINUX_VIREO_NETLINK_H
#define _UAPI_LINUX_VIREO_NETLINK_H

#define VIREO_NL_FAMILY		"vireo"
#define VIREO_NL_VERSION	1

/* Multicast groups */
#define VIREO_NL_GROUP_LIFE	"lifecycle"
#define VIREO_NL_GROUP_PHASES	"phases"
#define VIREO_NL_GROUP_THRESHOLDS "thresholds"

/**
 * VIREO_NL_BUCKETS - of a histogram of times: bucket n counts times of 2^n to 2^(n+1) - 1 TSC cycles, the first one 0 too, the last one
 *	longer ones too
 */
#define VIREO_NL_BUCKETS	32

/** VIREO_NL_CAUSE_MAX - bytes of VIREO_NL_A_CAUSE without its NUL */
#define VIREO_NL_CAUSE_MAX	127

/**
 * enum vireo_nl_cmd - requests and events
 * @VIREO_NL_CMD_GET_INFO: do: of the module: versions, features, parameters
 * @VIREO_NL_CMD_GET_VM: do with _VM, or dump: a VM, its state and its totals
 * @VIREO_NL_CMD_GET_VCPU: do with _VM and _VCPU, or dump, with _VM of one VM: a vCPU and its counters, without histograms
 * @VIREO_NL_CMD_GET_STATS: dump with _VM: a message for each vCPU, as of VIREO_NL_CMD_GET_VCPU with exits by reason and their
 *	histograms. -ENOENT at its end: the VM went in between
 * @VIREO_NL_CMD_SET_THRESHOLDS: do with _VM and _THRESHOLDS
 * @VIREO_NL_CMD_LIFE: event, group "lifecycle"
 * @VIREO_NL_CMD_PHASE: event, group "phases"
 * @VIREO_NL_CMD_THRESHOLD: event, group "thresholds"
 */
enum vireo_nl_cmd {
	VIREO_NL_CMD_GET_INFO = 1,
	VIREO_NL_CMD_GET_VM,
	VIREO_NL_CMD_GET_VCPU,
	VIREO_NL_CMD_GET_STATS,
	VIREO_NL_CMD_SET_THRESHOLDS,
	VIREO_NL_CMD_LIFE,
	VIREO_NL_CMD_PHASE,
	VIREO_NL_CMD_THRESHOLD,

	/* private: */
	__VIREO_NL_CMD_MAX,
	VIREO_NL_CMD_MAX = __VIREO_NL_CMD_MAX - 1,
};

/**
 * enum vireo_nl_state - what a VM does
 * @VIREO_NL_STATE_NEW: no vCPU has run yet
 * @VIREO_NL_STATE_RUNNING: it runs
 * @VIREO_NL_STATE_PAUSED: its launcher has said so
 * @VIREO_NL_STATE_STOPPED: a vCPU was shut down by a triple fault, or the launcher has said that it is over
 * @VIREO_NL_STATE_DEAD: an invariant was broken; it will not run again
 */
enum vireo_nl_state {
	VIREO_NL_STATE_NEW,
	VIREO_NL_STATE_RUNNING,
	VIREO_NL_STATE_PAUSED,
	VIREO_NL_STATE_STOPPED,
	VIREO_NL_STATE_DEAD,
};

/**
 * enum vireo_nl_life - kinds of VIREO_NL_CMD_LIFE
 * @VIREO_NL_LIFE_CREATED: the VM is there
 * @VIREO_NL_LIFE_STARTED: a vCPU enters the guest for the first time
 * @VIREO_NL_LIFE_PAUSED: by its launcher
 * @VIREO_NL_LIFE_RESUMED: by its launcher; or, with _VCPU, that vCPU runs again after a triple fault, with another state
 * @VIREO_NL_LIFE_STOPPED: by its launcher, with the cause
 * @VIREO_NL_LIFE_TRIPLE_FAULT: of the vCPU in _VCPU
 * @VIREO_NL_LIFE_ERROR: the VM is dead, with the cause
 * @VIREO_NL_LIFE_DESTROYED: its last file was closed; its number means nothing any more
 */
enum vireo_nl_life {
	VIREO_NL_LIFE_CREATED,
	VIREO_NL_LIFE_STARTED,
	VIREO_NL_LIFE_PAUSED,
	VIREO_NL_LIFE_RESUMED,
	VIREO_NL_LIFE_STOPPED,
	VIREO_NL_LIFE_TRIPLE_FAULT,
	VIREO_NL_LIFE_ERROR,
	VIREO_NL_LIFE_DESTROYED,
};

/**
 * enum vireo_nl_operation - what VIREO_NL_CMD_PHASE is about
 * @VIREO_NL_OP_SNAPSHOT: VIREO_SNAPSHOT, or the launcher's own kind
 * @VIREO_NL_OP_ROLLBACK: VIREO_ROLLBACK, likewise
 * @VIREO_NL_OP_DROP: VIREO_DROP_SNAPSHOT, likewise
 * @VIREO_NL_OP_SAVE: to a file; as the launcher says, like all below
 * @VIREO_NL_OP_RESTORE: from a file
 * @VIREO_NL_OP_FORK: of a child
 * @VIREO_NL_OP_SEND: migration, the source
 * @VIREO_NL_OP_RECEIVE: migration, the destination
 */
enum vireo_nl_operation {
	VIREO_NL_OP_SNAPSHOT,
	VIREO_NL_OP_ROLLBACK,
	VIREO_NL_OP_DROP,
	VIREO_NL_OP_SAVE,
	VIREO_NL_OP_RESTORE,
	VIREO_NL_OP_FORK,
	VIREO_NL_OP_SEND,
	VIREO_NL_OP_RECEIVE,
};

/**
 * enum vireo_nl_threshold - what VIREO_NL_CMD_THRESHOLD is about
 * @VIREO_NL_THRESHOLD_EXITS: exits per second of the whole VM, above the limit
 * @VIREO_NL_THRESHOLD_DIRTY: pages per second that became dirty, of tracked regions
 * @VIREO_NL_THRESHOLD_STALL: a vCPU that is not halted has neither entered nor left the guest for so many milliseconds
 */
enum vireo_nl_threshold {
	VIREO_NL_THRESHOLD_EXITS,
	VIREO_NL_THRESHOLD_DIRTY,
	VIREO_NL_THRESHOLD_STALL,
};

/**
 * enum vireo_nl_attr - attributes of all messages
 * @VIREO_NL_A_VM: u32: number of a VM, from 1
 * @VIREO_NL_A_NAME: string of up to 31 bytes: what its launcher calls it; need not be unique, can be empty
 * @VIREO_NL_A_UID: u32: effective user who made it
 * @VIREO_NL_A_PID: u32: process that made it
 * @VIREO_NL_A_STATE: u32, &enum vireo_nl_state
 * @VIREO_NL_A_CREATED: u64: nanoseconds of CLOCK_BOOTTIME at its creation
 * @VIREO_NL_A_TIME: u64: nanoseconds of CLOCK_BOOTTIME when an event happened
 * @VIREO_NL_A_SEQ: u64: in an event its number: 1 for the VM's first, then one more for each, whatever its group. In
 *	VIREO_NL_CMD_GET_VM's answer that of the last one: a listener to all groups that has seen another number has lost the
 *	events in between
 * @VIREO_NL_A_VCPUS: u32: how many vCPUs there are
 * @VIREO_NL_A_VCPU: u32: id of a vCPU, 0 to 63; in events, of the vCPU that it is about
 * @VIREO_NL_A_TID: u32: thread that was last in VIREO_RUN, 0: none
 * @VIREO_NL_A_CPU: s32: host's CPU where it was last, -1: none
 * @VIREO_NL_A_COUNTERS: nest of &enum vireo_nl_counter, each u64: of one vCPU, or the sums over those of a VM
 * @VIREO_NL_A_MEMORY: nest of &enum vireo_nl_memory, each u64
 * @VIREO_NL_A_EXIT: nest of &enum vireo_nl_exit, once for each reason that was seen
 * @VIREO_NL_A_THRESHOLDS: nest of &enum vireo_nl_limit; in VIREO_NL_CMD_GET_VM's answer those that are set
 * @VIREO_NL_A_LIFE: u32, &enum vireo_nl_life
 * @VIREO_NL_A_CAUSE: string of up to %VIREO_NL_CAUSE_MAX bytes, why
 * @VIREO_NL_A_OPERATION: u32, &enum vireo_nl_operation
 * @VIREO_NL_A_PHASE: string of up to 31 bytes: "begin", "done", "failed", "cancelled", or the operation's own
 * @VIREO_NL_A_PAGES: u64: pages of 4 KiB that the phase is about or has done so far
 * @VIREO_NL_A_TOTAL: u64: ... of so many
 * @VIREO_NL_A_THRESHOLD: u32, &enum vireo_nl_threshold
 * @VIREO_NL_A_OVER: u32: 1: the threshold was crossed; 0: the value is below again
 * @VIREO_NL_A_VALUE: u64: the value, in the threshold's unit
 * @VIREO_NL_A_LIMIT: u64: the threshold
 * @VIREO_NL_A_VERSION: string: the module's
 * @VIREO_NL_A_ABI: u32: VIREO_ABI_VERSION
 * @VIREO_NL_A_FEATURES: u64: as of VIREO_GET_INFO
 * @VIREO_NL_A_VENDOR: u32: as of VIREO_GET_INFO
 * @VIREO_NL_A_TSC_KHZ: u32: cycles per millisecond of all times in cycles
 * @VIREO_NL_A_STATS: u32: 1: exits are timed (parameter "stats"); 0: there are no cycles and histograms
 */
enum vireo_nl_attr {
	/* private: */
	VIREO_NL_A_UNSPEC,
	/* public: */
	VIREO_NL_A_VM,
	VIREO_NL_A_NAME,
	VIREO_NL_A_UID,
	VIREO_NL_A_PID,
	VIREO_NL_A_STATE,
	VIREO_NL_A_CREATED,
	VIREO_NL_A_TIME,
	VIREO_NL_A_SEQ,
	VIREO_NL_A_VCPUS,
	VIREO_NL_A_VCPU,
	VIREO_NL_A_TID,
	VIREO_NL_A_CPU,
	VIREO_NL_A_COUNTERS,
	VIREO_NL_A_MEMORY,
	VIREO_NL_A_EXIT,
	VIREO_NL_A_THRESHOLDS,
	VIREO_NL_A_LIFE,
	VIREO_NL_A_CAUSE,
	VIREO_NL_A_OPERATION,
	VIREO_NL_A_PHASE,
	VIREO_NL_A_PAGES,
	VIREO_NL_A_TOTAL,
	VIREO_NL_A_THRESHOLD,
	VIREO_NL_A_OVER,
	VIREO_NL_A_VALUE,
	VIREO_NL_A_LIMIT,
	VIREO_NL_A_VERSION,
	VIREO_NL_A_ABI,
	VIREO_NL_A_FEATURES,
	VIREO_NL_A_VENDOR,
	VIREO_NL_A_TSC_KHZ,
	VIREO_NL_A_STATS,

	/* private: */
	VIREO_NL_A_PAD,
	__VIREO_NL_A_MAX,
	VIREO_NL_A_MAX = __VIREO_NL_A_MAX - 1,
};

/**
 * enum vireo_nl_exit - one reason of exits (VIREO_NL_A_EXIT)
 * @VIREO_NL_EXIT_REASON: u32, &enum vireo_exit_reason
 * @VIREO_NL_EXIT_COUNT: u64: as in VIREO_GET_STATS; 0 of VIREO_EXIT_NONE, which stands for what is before the first entry
 * @VIREO_NL_EXIT_CYCLES: u64: TSC cycles from these exits to the next entry, in the kernel and without waiting in HLT
 * @VIREO_NL_EXIT_HISTOGRAM: binary, %VIREO_NL_BUCKETS u32 of the host's byte order: how many took how long. Each wraps at 2^32
 *
 * What an exit to user space takes there is not in its time, what the kernel does before and after that is. Reasons from
 * VIREO_EXIT_HARDWARE_NR on only have a count: their time is that of the exit that led to them.
 */
enum vireo_nl_exit {
	/* private: */
	VIREO_NL_EXIT_UNSPEC,
	/* public: */
	VIREO_NL_EXIT_REASON,
	VIREO_NL_EXIT_COUNT,
	VIREO_NL_EXIT_CYCLES,
	VIREO_NL_EXIT_HISTOGRAM,

	/* private: */
	VIREO_NL_EXIT_PAD,
	__VIREO_NL_EXIT_MAX,
	VIREO_NL_EXIT_MAX = __VIREO_NL_EXIT_MAX - 1,
};

/**
 * enum vireo_nl_counter - since a vCPU was made; each u64
 * @VIREO_NL_COUNTER_ENTRIES: guest entries
 * @VIREO_NL_COUNTER_USER_EXITS: returns to user space
 * @VIREO_NL_COUNTER_FAULTS_READ: page faults by reads that mapped something, or gave more rights
 * @VIREO_NL_COUNTER_FAULTS_FETCH: ... by instruction fetches
 * @VIREO_NL_COUNTER_FAULTS_WRITE: ... by writes
 * @VIREO_NL_COUNTER_FAULTS_TRACKED: those of them that found the page mapped, in a region that is followed
 * @VIREO_NL_COUNTER_FAULTS_MMIO: exits for accesses to memory that no region covers, or that a region does not allow
 * @VIREO_NL_COUNTER_FAULTS_GUEST: page faults of the guest's own tables, given to it (shadow paging)
 * @VIREO_NL_COUNTER_INJECTED_IRQ: interrupts given to the guest at an entry
 * @VIREO_NL_COUNTER_INJECTED_NMI: NMIs, likewise
 * @VIREO_NL_COUNTER_INJECTED_EXCEPTION: exceptions and software interrupts, likewise
 * @VIREO_NL_COUNTER_IRQS_MSI: MSIs: of irqfds and VIREO_SEND_MSI. Of the VM only, they are not counted by vCPU
 * @VIREO_NL_COUNTER_IRQS_IPI: interrupts that it has sent to vCPUs, also to itself, with NMI, INIT and SIPI; one for each vCPU that
 *	has taken it. Not those that the processor delivers alone
 * @VIREO_NL_COUNTER_IRQS_TIMER: interrupts of its local APIC's timer
 * @VIREO_NL_COUNTER_HALTS: HLTs that had to wait
 * @VIREO_NL_COUNTER_HALT_POLLS: those of them that began with looking instead of sleeping
 * @VIREO_NL_COUNTER_HALT_HITS: those of these that were over before the thread slept
 * @VIREO_NL_COUNTER_FLUSHES: TLB flushes
 * @VIREO_NL_COUNTER_PV_FLUSHES: those that other vCPUs have asked for while it had no CPU
 * @VIREO_NL_COUNTER_PV_EOIS: interrupts that the guest has ended without an exit
 * @VIREO_NL_COUNTER_YIELDS: times that its spinning guest has given its CPU to another vCPU
 * @VIREO_NL_COUNTER_INTERPRETED: instructions interpreted one after another
 * @VIREO_NL_COUNTER_DIRTIED: pages that it made dirty, of regions that somebody follows, or a snapshot; found by faults or the
 *	processor's log. With dirty bits nobody knows by whom: VIREO_NL_MEMORY_DIRTIED has them
 * @VIREO_NL_COUNTER_CYCLES_KERNEL: TSC cycles in the kernel between exits and entries
 * @VIREO_NL_COUNTER_CYCLES_USER: ... outside VIREO_RUN since the first one
 * @VIREO_NL_COUNTER_CYCLES_HALTED: ... waiting in HLT, or for a SIPI
 * @VIREO_NL_COUNTER_CYCLES_ALL: ... since the first VIREO_RUN; what the three others leave of it is the guest's, and of
 *	the kernel's work that is not done yet, so it can be a little less the next time
 */
enum vireo_nl_counter {
	/* private: */
	VIREO_NL_COUNTER_UNSPEC,
	/* public: */
	VIREO_NL_COUNTER_ENTRIES,
	VIREO_NL_COUNTER_USER_EXITS,
	VIREO_NL_COUNTER_FAULTS_READ,
	VIREO_NL_COUNTER_FAULTS_WRITE,
	VIREO_NL_COUNTER_FAULTS_FETCH,
	VIREO_NL_COUNTER_FAULTS_TRACKED,
	VIREO_NL_COUNTER_FAULTS_MMIO,
	VIREO_NL_COUNTER_FAULTS_GUEST,
	VIREO_NL_COUNTER_INJECTED_IRQ,
	VIREO_NL_COUNTER_INJECTED_NMI,
	VIREO_NL_COUNTER_INJECTED_EXCEPTION,
	VIREO_NL_COUNTER_IRQS_MSI,
	VIREO_NL_COUNTER_IRQS_IPI,
	VIREO_NL_COUNTER_IRQS_TIMER,
	VIREO_NL_COUNTER_HALTS,
	VIREO_NL_COUNTER_HALT_POLLS,
	VIREO_NL_COUNTER_HALT_HITS,
	VIREO_NL_COUNTER_FLUSHES,
	VIREO_NL_COUNTER_PV_FLUSHES,
	VIREO_NL_COUNTER_PV_EOIS,
	VIREO_NL_COUNTER_YIELDS,
	VIREO_NL_COUNTER_INTERPRETED,
	VIREO_NL_COUNTER_DIRTIED,
	VIREO_NL_COUNTER_CYCLES_KERNEL,
	VIREO_NL_COUNTER_CYCLES_USER,
	VIREO_NL_COUNTER_CYCLES_HALTED,
	VIREO_NL_COUNTER_CYCLES_ALL,

	/* private: */
	VIREO_NL_COUNTER_PAD,
	__VIREO_NL_COUNTER_MAX,
	VIREO_NL_COUNTER_MAX = __VIREO_NL_COUNTER_MAX - 1,
};

/**
 * enum vireo_nl_memory - of a VM; each u64
 * @VIREO_NL_MEMORY_REGIONS: bytes of guest-physical memory that regions cover
 * @VIREO_NL_MEMORY_MAPPED_4K: mappings of 4 KiB in the tables
 * @VIREO_NL_MEMORY_MAPPED_2M: ... of 2 MiB
 * @VIREO_NL_MEMORY_MAPPED_1G: ... of 1 GiB
 * @VIREO_NL_MEMORY_TABLES: bytes of the module's memory in page tables, and in what belongs to shadow tables
 * @VIREO_NL_MEMORY_TRACKING: ... in bitmaps and rings of dirty tracking
 * @VIREO_NL_MEMORY_SNAPSHOTS: ... in copies of pages and state for snapshots
 * @VIREO_NL_MEMORY_VCPUS: ... in vCPUs
 * @VIREO_NL_MEMORY_DIRTIED: pages that became dirty since creation, in regions that somebody follows, each as often as it was found
 *	dirty after it had been clean
 */
enum vireo_nl_memory {
	/* private: */
	VIREO_NL_MEMORY_UNSPEC,
	/* public: */
	VIREO_NL_MEMORY_REGIONS,
	VIREO_NL_MEMORY_MAPPED_4K,
	VIREO_NL_MEMORY_MAPPED_2M,
	VIREO_NL_MEMORY_MAPPED_1G,
	VIREO_NL_MEMORY_TABLES,
	VIREO_NL_MEMORY_TRACKING,
	VIREO_NL_MEMORY_SNAPSHOTS,
	VIREO_NL_MEMORY_VCPUS,
	VIREO_NL_MEMORY_DIRTIED,

	/* private: */
	VIREO_NL_MEMORY_PAD,
	__VIREO_NL_MEMORY_MAX,
	VIREO_NL_MEMORY_MAX = __VIREO_NL_MEMORY_MAX - 1,
};

/**
 * enum vireo_nl_limit - thresholds of a VM; what is not given stays, 0 takes it away
 * @VIREO_NL_LIMIT_EXITS: u64: exits per second
 * @VIREO_NL_LIMIT_DIRTY: u64: dirty pages per second
 * @VIREO_NL_LIMIT_STALL: u32: milliseconds, 100 to 3,600,000
 */
enum vireo_nl_limit {
	/* private: */
	VIREO_NL_LIMIT_UNSPEC,
	/* public: */
	VIREO_NL_LIMIT_EXITS,
	VIREO_NL_LIMIT_DIRTY,
	VIREO_NL_LIMIT_STALL,

	/* private: */
	VIREO_NL_LIMIT_PAD,
	__VIREO_NL_LIMIT_MAX,
	VIREO_NL_LIMIT_MAX = __VIREO_NL_LIMIT_MAX - 1,
};

#endif /* _UAPI_LINUX_VIREO_NETLINK_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A running virtual machine: everything that belongs to it, and who does what.
 *
 * Threads: one per vCPU (cpu.c), the event loop (timers, input), the console's
 * output, and the main thread, which waits for signals and for requests.
 *
 * Stopping: whoever wants the whole machine to stop, be it for a reset or for
 * its end, calls machine_request(), which any thread may do with any lock held
 * but @control_lock. vCPU threads then park, and the main thread does what was
 * asked for while nobody runs. Order of locks: board's, then control_lock;
 * the console's is the innermost one and stands alone.
 */
#ifndef VIREO_MACHINE_H
#define VIREO_MACHINE_H

#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "vireo.h"

#include "board.h"
#include "boot/boot.h"
#include "console.h"
#include "cpu_profile.h"
#include "loop.h"
#include "memory.h"
#include "pci/pci.h"
#include "util.h"

struct acpi_pm;
struct control;
struct device_option;
struct ioapic;
struct machine;
struct migration;
struct params;
struct save;
struct pic;
struct tree;
struct uart;

#define MACHINE_FW_CFG_MAX 32
#define MACHINE_REASON_BYTES 32
#define MACHINE_DEVICES_MAX 64
#define MACHINE_CPU_PROFILES_MAX 16
#define MACHINE_QUOTA_NS 20000000ULL

/**
 * struct machine_source - where a machine comes from that goes on instead of booting
 * @load: fill the memory, which is all zero, and give the machine, which rests, its state (machine_state_load()): 0, or the exit
 *	  status, with a message out; no vCPU has run then, and none will
 * @opaque: handed to @load
 * @copied: it may go on elsewhere as well: its generation ID is another one, and the guest hears of it
 * @paused: it stays at rest until somebody resumes it
 * @origin: the machine that it is a fork of, and "@" with the snapshot, if it is one of that; NULL: it is none
 */
struct machine_source {
	int (*load)(struct machine *machine, void *opaque);
	void *opaque;
	bool copied;
	bool paused;
	const char *origin;
};

/**
 * struct machine_config - what the command line says
 * @name: for logs and tools
 * @memory: bytes
 * @huge_page: size of the host's pages that it is made of; 0: ordinary ones
 * @from_file: what is set now comes from --config; the command line may replace it
 * @initrd_from_file: so did the initrd
 * @cpus: number of vCPUs
 * @kernel: path
 * @cmdline: for the kernel
 * @modules: paths and texts; the first is the initrd, if @has_initrd
 * @nr_modules: how many
 * @has_initrd: --initrd was given
 * @console: see console_open(); NULL: stdio, if no device has that, or else socket
 * @no_reboot: a reset of the guest ends the launcher
 * @test_device: with pc-testdev
 * @debug_exit: port of debug exit, -1: none
 * @debug_console: port of the debug console, -1: none
 * @fw_cfg: names and paths of files for fw_cfg
 * @nr_fw_cfg: how many
 * @device: options that make devices, and their parameters, in the order of the command line
 * @nr_devices: how many
 * @paravirt: features of the paravirtual ABI that the guest may have, see paravirt_parse()
 * @cpu_profile: paths of CPU profiles, or they themselves (cpu_profile_read()); the guest has what all of them have
 * @nr_cpu_profiles: how many
 * @hybrid: supervisor code is interpreted
 * @stats: print counters at the end
 * @screen_dump: file for the text screen, at the end and at SIGUSR1; NULL: none
 * @source: it is not booted, but goes on from there; NULL: it is. The kernel and its files are for resets then
 */
struct machine_config {
	const char *name;
	uint64_t memory;
	uint64_t huge_page;
	bool from_file;
	bool initrd_from_file;
	unsigned int cpus;
	const char *kernel;
	const char *cmdline;
	struct { const char *path, *text; } modules[BOOT_MODULES_MAX];
	unsigned int nr_modules;
	bool has_initrd;
	const char *console;
	bool no_reboot;
	bool test_device;
	int debug_exit;
	int debug_console;
	struct { const char *name, *path; } fw_cfg[MACHINE_FW_CFG_MAX];
	unsigned int nr_fw_cfg;
	struct { const struct device_option *option; struct params *params; bool from_file; } device[MACHINE_DEVICES_MAX];
	unsigned int nr_devices;
	uint32_t paravirt;
	const char *cpu_profile[MACHINE_CPU_PROFILES_MAX];
	unsigned int nr_cpu_profiles;
	bool hybrid;
	bool stats;
	const char *screen_dump;
	const struct machine_source *source;
};

enum machine_request {
	MACHINE_NOTHING,
	MACHINE_RESET,
	MACHINE_END,		/* with machine.status */
	MACHINE_FAULT,		/* machine.faulty says why, in its run page */
};

enum machine_state {
	MACHINE_STOPPED,	/* vCPUs park */
	MACHINE_RUNNING,
	MACHINE_ENDING,		/* vCPU threads end */
};

/* State of a vCPU but for its time-stamp counter, which is the host's and goes on. */
#define CPU_BLOCKS (1ULL << VIREO_BLOCK_REGS | 1ULL << VIREO_BLOCK_SREGS | \
		    1ULL << VIREO_BLOCK_DEBUGREGS | 1ULL << VIREO_BLOCK_XSAVE | \
		    1ULL << VIREO_BLOCK_MSRS | 1ULL << VIREO_BLOCK_LAPIC | \
		    1ULL << VIREO_BLOCK_EVENTS)

/**
 * struct cpu - one vCPU
 * @machine: whose
 * @vcpu: libvireo's handle
 * @run: the shared page
 * @initial: its state after power-on
 * @thread: runs it
 * @started: there is a thread
 * @parked: the thread waits; protected by control_lock
 * @irq_ready: at its last exit the guest would have taken an ExtINT
 * @incomplete: the last exit is finished by the next VIREO_RUN
 * @error: what VIREO_RUN failed with, 0 if it did not
 * @quota_at: when it may write again, if its quota is used up
 */
struct cpu {
	struct machine *machine;
	struct vireo_vcpu *vcpu;
	struct vireo_run *run;
	struct vireo_blocks initial;
	pthread_t thread;
	bool started;
	bool parked;
	bool irq_ready;
	bool incomplete;
	int error;
	uint64_t quota_at;
};

/**
 * struct machine - everything
 * @config: the command line
 * @vireo: the device
 * @vm: the VM
 * @memory: its memory
 * @pci_map: where its PCI windows are
 * @board: its devices
 * @has_board: @board is initialised
 * @pic: of them
 * @ioapic: of them
 * @uart: of them
 * @acpi_pm: of them
 * @console: where @uart leads
 * @console_where: the name of that, see console_open()
 * @loop: the event loop
 * @has_loop: @loop is initialised
 * @boot: what to load
 * @kernel: file
 * @module: files
 * @cpu: the vCPUs
 * @nr_cpus: how many
 * @extint: the 8259's output, for vCPU 0
 * @name: config's, or made up
 * @server: of the control socket; NULL: there is none
 * @control_stop: see control_commands.c
 * @quiet: paused, as far as devices are concerned; protected by the board's lock
 * @clock: the paravirtual clock, while the machine is paused
 * @rest_tsc: the host's time-stamp counter when it came to rest
 * @profile: what processors may give it: this host's, less what its CPU profiles have not
 * @cpuid: what CPUID told the guest when it began to run: the table of vCPU 0
 * @nr_cpuid: its length
 * @migration: it moves, or has tried to; see migrate/migration.h. The control socket's thread and the main thread
 * @filling: some of its memory has not come yet; atomic
 * @tree: its snapshots, see tree/tree.h; NULL: there were none yet
 * @quota: pages that each vCPU may make dirty in MACHINE_QUOTA_NS; 0: any number; see cpu.c
 * @track_error: the module could not be told what the launcher has written, see track.c; 0: it could
 * @control_lock: protects the following
 * @control: signalled when any of them changes
 * @state: may be read without the lock
 * @request: what is asked for; the first one counts until it is done
 * @want_paused: it shall rest; a request is served all the same
 * @paused: it does
 * @pause_reason: why
 * @save: of which somebody waits for the result; NULL: none
 * @held: its state is on the way to somewhere else: nobody may let it go on, or reset it
 * @status: exit status that goes with it
 * @faulty: vCPU that asks, with MACHINE_FAULT
 * @wake: eventfd: there is a request
 * @signals: signalfd
 * @ended_by: signal that has ended the machine, 0: none
 */
struct machine {
	const struct machine_config *config;
	struct vireo *vireo;
	struct vireo_vm *vm;
	struct guest_memory memory;
	struct pci_map pci_map;
	struct board board;
	bool has_board;
	struct pic *pic;
	struct ioapic *ioapic;
	struct uart *uart;
	struct acpi_pm *acpi_pm;
	struct console *console;
	const char *console_where;
	struct loop loop;
	bool has_loop;
	struct boot boot;
	struct boot_file kernel;
	struct boot_module module[BOOT_MODULES_MAX];
	struct cpu cpu[VIREO_MAX_VCPUS];
	unsigned int nr_cpus;
	int extint;
	char name[32];
	struct control *server;
	uint64_t control_stop;
	bool quiet;
	struct vireo_blocks clock;
	uint64_t rest_tsc;
	struct cpu_profile profile;
	struct vireo_cpuid_entry cpuid[VIREO_MAX_CPUID];
	unsigned int nr_cpuid;
	struct migration *migration;
	bool filling;
	struct tree *tree;
	uint32_t quota;
	int track_error;

	pthread_mutex_t control_lock;
	pthread_cond_t control;
	enum machine_state state;
	enum machine_request request;
	bool want_paused;
	bool paused;
	char pause_reason[MACHINE_REASON_BYTES];
	struct save *save;
	bool held;
	int status;
	struct cpu *faulty;
	int wake;
	int signals;
	int ended_by;
};

int machine_run(const struct machine_config *config);
int machine_renew_generation(struct machine *machine);
void machine_look_at_signals(struct machine *machine);
void machine_request(struct machine *machine, enum machine_request request, int status,
		     struct cpu *faulty);

static inline enum machine_state machine_state(const struct machine *machine)
{
	return __atomic_load_n(&machine->state, __ATOMIC_ACQUIRE);
}

/* told.c */
void machine_told(const struct machine *machine, enum vireo_report_kind kind, const char *phase, uint64_t pages,
		  uint64_t total, const char *why);

/* pause.c */
void machine_wake(struct machine *machine);
void machine_pause(struct machine *machine, const char *reason);
int machine_resume(struct machine *machine);
int machine_hold(struct machine *machine, bool *was_paused);
void machine_let_go(struct machine *machine, bool go_on);
bool machine_is_held(struct machine *machine);
bool machine_is_paused(struct machine *machine, bool *settled, char *reason);
void machine_serve_pause(struct machine *machine);
void machine_begin_paused(struct machine *machine);

/* save.c */
enum machine_task {
	TASK_SAVE,		/* to the file @name */
	TASK_FORK,		/* a second machine @name */
	TASK_SNAPSHOT,		/* called @tag */
	TASK_ROLLBACK,		/* to @tag */
	TASK_DELETE,		/* @tag */
	TASK_BRANCH,		/* a second machine @name from @tag */
	TASK_NR
};

bool machine_is_saving(const struct machine *machine);
int machine_save(struct machine *machine, const char *path, const char *then);
int machine_task(struct machine *machine, enum machine_task kind, const char *name, const char *tag);
json_t *machine_save_result(struct machine *machine, char *why, int *error);
void machine_serve_save(struct machine *machine, bool rests);
void machine_save_forget(struct machine *machine);

/* control_commands.c */
int machine_control_open(struct machine *machine);

/* Its CPU profile, if it was given one; NULL: it has what its host has */
static inline struct cpu_profile *machine_cpu_profile(struct machine *machine)
{
	return machine->config->nr_cpu_profiles ? &machine->profile : NULL;
}

/* processors.c */
int processors_read_profiles(struct machine *machine);
int processors_limit(struct machine *machine);
int processors_create(struct machine *machine);

/* cpu.c */
#define CPU_THREAD_NAME 16	/* bytes that Linux has for it, with its end */
void cpu_thread_name(char out[CPU_THREAD_NAME], const char *machine, unsigned int number);
int cpu_start(struct cpu *cpu);
bool cpu_park(struct cpu *cpu);
int cpu_reset(struct cpu *cpu, const struct boot_start *start);
int cpu_read_initial(struct cpu *cpu);

/* dump.c */
void dump_fault(struct machine *machine, const struct cpu *cpu);
void dump_cpu(const struct cpu *cpu);
void dump_stats(const struct machine *machine);

#endif /* VIREO_MACHINE_H */

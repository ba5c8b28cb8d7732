// SPDX-License-Identifier: GPL-2.0-only
/*
 * Building a machine, running it, resetting it, taking it apart.
 *
 * machine_run() is the whole life. Its resources are released in one place,
 * machine_destroy(), which copes with a machine that was built half.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "control.h"
#include "generation.h"
#include "open.h"
#include "option.h"
#include "screen.h"
#include "terminal.h"
#include "track.h"
#include "acpi/acpi.h"
#include "dev/acpi_pm.h"
#include "dev/chipset.h"
#include "dev/debug.h"
#include "dev/fw_cfg.h"
#include "dev/i8042.h"
#include "dev/ioapic.h"
#include "dev/pic.h"
#include "dev/pit.h"
#include "dev/rtc.h"
#include "dev/testdev.h"
#include "dev/uart.h"
#include "migrate/migration.h"
#include "pci/pci.h"
#include "tree/tree.h"

#define COM1_PORT	0x3f8
#define COM1_IRQ	4
#define PARK_SECONDS	20	/* for a vCPU to stop; far more than any needs */

/* ---- What the board and the console ask of the machine ---- */

static int host_send_msi(void *host, uint64_t address, uint32_t data)
{
	struct machine *machine = host;

	return vireo_vm_send_msi(machine->vm, address, data);
}

static void host_extint(void *host, bool level)
{
	struct machine *machine = host;
	struct cpu *cpu = &machine->cpu[0];

	__atomic_store_n(&machine->extint, level, __ATOMIC_RELEASE);
	/* Its own thread looks before it enters the guest again. */
	if (level && cpu->started && !pthread_equal(pthread_self(), cpu->thread))
		vireo_vcpu_kick(cpu->vcpu);
}

static void host_request(void *host, enum board_request request, int status)
{
	struct machine *machine = host;

	switch (request) {
	case BOARD_RESET:
		machine_request(machine, MACHINE_RESET, EXIT_OK, NULL);
		break;
	case BOARD_POWEROFF:
		machine_request(machine, MACHINE_END, EXIT_OK, NULL);
		break;
	case BOARD_EXIT:
		machine_request(machine, MACHINE_END, status, NULL);
		break;
	case BOARD_NOTHING:
		break;
	}
}

static void host_event(void *host, const char *name, const char *text)
{
	struct machine *machine = host;

	control_event(machine->server, name, text);
}

static void host_pause(void *host, const char *reason)
{
	machine_pause(host, reason);
}

static int host_ioeventfd(void *host, int fd, uint64_t addr, unsigned int len, bool on)
{
	struct machine *machine = host;

	return vireo_vm_ioeventfd(machine->vm, fd, addr, len, 0, on ? 0 : VIREO_IOEVENTFD_REMOVE);
}

static const struct board_host board_host = {
	.send_msi = host_send_msi,
	.extint = host_extint,
	.request = host_request,
	.event = host_event,
	.pause = host_pause,
	.ioeventfd = host_ioeventfd,
};

static void console_readable(void *opaque)
{
	struct machine *machine = opaque;

	board_lock(&machine->board);
	if (!machine->quiet)
		uart_readable(machine->uart);
	board_unlock(&machine->board);
}

static void console_writable(void *opaque)
{
	struct machine *machine = opaque;

	board_lock(&machine->board);
	if (!machine->quiet)
		uart_writable(machine->uart);
	board_unlock(&machine->board);
}

static void console_quit(void *opaque)
{
	machine_request(opaque, MACHINE_END, EXIT_OK, NULL);
}

static void console_viewers(void *opaque, const uint8_t *bytes, size_t n)
{
	struct machine *machine = opaque;

	control_output(machine->server, bytes, n);
}

static size_t line_send(void *opaque, const uint8_t *bytes, size_t n)
{
	struct machine *machine = opaque;

	return console_write(machine->console, bytes, n);
}

static size_t line_receive(void *opaque, uint8_t *bytes, size_t n)
{
	struct machine *machine = opaque;

	return console_read(machine->console, bytes, n);
}

static void timers_ready(void *opaque)
{
	struct machine *machine = opaque;

	board_lock(&machine->board);
	timers_run(&machine->board.timers);
	board_unlock(&machine->board);
}

static void lines_ready(void *opaque)
{
	struct machine *machine = opaque;

	board_lock(&machine->board);
	pci_line_ready(machine->board.pci);
	board_unlock(&machine->board);
}

/* ---- Stopping ---- */

/**
 * machine_request() - stop all vCPUs and ask the main thread for something
 * @machine: the machine
 * @request: what
 * @status: exit status, if it is the machine's end
 * @faulty: with MACHINE_FAULT, the vCPU that cannot go on
 */
void machine_request(struct machine *machine, enum machine_request request, int status,
		     struct cpu *faulty)
{
	pthread_mutex_lock(&machine->control_lock);
	/* A reset gives way to an end that is asked for before it is done, and has no place where a state is on its way. */
	if (machine->request <= MACHINE_RESET && (request != MACHINE_RESET || !machine->held)) {
		machine->request = request;
		machine->status = status;
		machine->faulty = faulty;
		if (machine->state == MACHINE_RUNNING)
			__atomic_store_n(&machine->state, MACHINE_STOPPED, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&machine->control_lock);
	machine_wake(machine);
}

static bool all_parked(const struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < machine->nr_cpus; i++)
		if (machine->cpu[i].started && !machine->cpu[i].parked)
			return false;
	return true;
}

/* Returns -ETIMEDOUT if a vCPU does not come back. */
static int wait_parked(struct machine *machine)
{
	struct timespec until;
	unsigned int i;
	int r = 0;

	for (i = 0; i < machine->nr_cpus; i++)
		if (machine->cpu[i].started)
			vireo_vcpu_kick(machine->cpu[i].vcpu);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PARK_SECONDS;
	pthread_mutex_lock(&machine->control_lock);
	while (!all_parked(machine) && !r) {
		r = pthread_cond_timedwait(&machine->control, &machine->control_lock, &until);
		/* It may wait for memory from elsewhere, for as long as that takes. */
		if (r && __atomic_load_n(&machine->filling, __ATOMIC_ACQUIRE)) {
			until.tv_sec += PARK_SECONDS;
			r = 0;
		}
	}
	pthread_mutex_unlock(&machine->control_lock);
	return -r;
}

/* ---- Building ---- */

static int open_file(struct boot_file *file, const char *path, const char *what)
{
	int r = boot_file_open(file, path);

	switch (r) {
	case 0:
		return 0;
	case -EISDIR:
	case -EINVAL:
		report_error("%s: the %s is not a regular file", path, what);
		break;
	default:
		report_error("%s: the %s cannot be opened: %s", path, what, strerror(-r));
	}
	return EXIT_USAGE;
}

/* Everything that can be wrong with the command line, before anything is made. */
static int open_files(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	struct boot *boot = &machine->boot;
	unsigned int i;
	int r;

	r = processors_read_profiles(machine);
	if (!r)
		r = open_file(&machine->kernel, config->kernel, "kernel");
	for (i = 0; i < config->nr_modules && !r; i++) {
		r = open_file(&machine->module[i].file, config->modules[i].path,
			      config->has_initrd && i == 0 ? "initrd" : "module");
		machine->module[i].cmdline = config->modules[i].text;
	}
	if (r)
		return r;
	if (config->screen_dump) {
		r = screen_dump(NULL, config->screen_dump);
		if (r) {
			report_error("%s: the screen cannot be written: %s",
				     config->screen_dump, strerror(-r));
			return EXIT_USAGE;
		}
	}
	boot->memory = &machine->memory;
	boot->kernel = &machine->kernel;
	boot->modules = machine->module;
	boot->nr_modules = config->nr_modules;
	boot->has_initrd = config->has_initrd;
	boot->cmdline = config->cmdline;
	return 0;
}

/* The kernel into memory; the same for the first time and for resets, as what follows. */
static int load_memory(struct machine *machine)
{
	machine->boot.rsdp = ACPI_AT;
	if (boot_load(&machine->boot)) {
		report_error("%s", machine->boot.error);
		return EXIT_USAGE;
	}
	return 0;
}

/* The tables that boot protocols have pointed to. */
static int write_tables(struct machine *machine)
{
	int r = acpi_write(&machine->memory, machine->config->cpus, &machine->pci_map,
			   &machine->boot.rsdp);

	if (!r)
		r = generation_renew(&machine->memory);
	if (r)
		report_error("the ACPI tables cannot be written: %s", strerror(-r));
	return r ? EXIT_FAULT : 0;
}

static void explain_huge_pages(uint64_t bytes, uint64_t page, int error)
{
	unsigned long long kib = page / KIB, want = bytes / page, available = 0;
	char path[80];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB/free_hugepages", kib);
	file = fopen(path, "re");
	if (!file) {
		report_error("this host has no huge pages of %llu MiB", kib / 1024);
		return;
	}
	if (fscanf(file, "%llu", &available) != 1)
		available = 0;
	fclose(file);
	if (available < want)
		report_error("%llu huge pages of %llu MiB are needed, %llu are free: write a larger number to %.*snr_hugepages",
			     want, kib / 1024, available, (int)(strrchr(path, '/') + 1 - path), path);
	else
		report_error("no huge pages for the guest: %s", strerror(-error));
}

static int create_memory(struct machine *machine)
{
	uint64_t bytes = machine->config->memory;
	uint64_t page = machine->config->huge_page;
	int r;

	r = page ? memory_alloc_huge(&machine->memory, bytes, page) : memory_alloc(&machine->memory, bytes);
	if (r && page) {
		explain_huge_pages(bytes, page, r);
		return EXIT_FAULT;
	}
	if (r) {
		report_error("no %llu MiB of memory for the guest: %s",
			     (unsigned long long)(bytes / MIB), strerror(-r));
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAULT;
	}
	return load_memory(machine);
}

static int create_vm(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	const struct vireo_info *info;
	unsigned int phys_bits, i;
	int r;

	r = open_vireo(&machine->vireo);
	if (!r)
		r = processors_limit(machine);
	if (r)
		return r;
	info = vireo_get_info(machine->vireo);
	if (config->cpus > info->max_vcpus) {
		report_error("%u vCPUs; the module gives a VM at most %u", config->cpus,
			     info->max_vcpus);
		return EXIT_USAGE;
	}
	phys_bits = machine->profile.phys_bits;
	if (phys_bits < 64 && config->memory > MEMORY_LOW_MAX &&
	    (MEMORY_HIGH_BASE + config->memory - MEMORY_LOW_MAX - 1) >> phys_bits) {
		report_error("%llu MiB of memory; this processor's guests have %u address bits",
			     (unsigned long long)(config->memory / MIB), phys_bits);
		return EXIT_USAGE;
	}
	r = vireo_vm_create(machine->vireo, machine->name,
			    config->hybrid ? VIREO_VM_HYBRID : 0, &machine->vm);
	if (r) {
		explain_vm_create(r);
		return EXIT_FAULT;
	}
	for (i = 0; i < machine->memory.nr; i++) {
		const struct memory_piece *piece = &machine->memory.piece[i];

		r = vireo_vm_set_region(machine->vm, i, 0, piece->gpa, piece->bytes, piece->hva);
		if (r) {
			report_error("the module refuses memory at %#llx: %s",
				     (unsigned long long)piece->gpa, strerror(-r));
			return EXIT_FAULT;
		}
	}
	machine->memory.written = track_written;
	machine->memory.opaque = machine;
	machine->pci_map = pci_map(memory_end(&machine->memory), phys_bits);
	return write_tables(machine);
}

static int add_fw_cfg_files(struct machine *machine, struct fw_cfg *fw_cfg)
{
	const struct machine_config *config = machine->config;
	unsigned int i;
	int r;

	r = fw_cfg_add_file(fw_cfg, "etc/e820", machine->boot.e820,
			    (uint32_t)(machine->boot.nr_e820 * sizeof(machine->boot.e820[0])));
	if (r)
		return r;
	for (i = 0; i < config->nr_fw_cfg; i++) {
		struct boot_file file;
		void *data;

		r = open_file(&file, config->fw_cfg[i].path, "fw_cfg file");
		if (r)
			return r;
		if (file.size > FW_CFG_FILE_BYTES_MAX) {
			report_error("%s: too large for fw_cfg, which takes %u MiB", file.path,
				     FW_CFG_FILE_BYTES_MAX >> 20);
			boot_file_close(&file);
			return EXIT_USAGE;
		}
		data = malloc(file.size + 1);
		r = data ? boot_file_read(&file, 0, data, file.size) : -ENOMEM;
		if (!r)
			r = fw_cfg_add_file(fw_cfg, config->fw_cfg[i].name, data,
					    (uint32_t)file.size);
		free(data);
		boot_file_close(&file);
		if (r) {
			report_error("fw_cfg file %s from %s: %s", config->fw_cfg[i].name,
				     config->fw_cfg[i].path, strerror(-r));
			return EXIT_USAGE;
		}
	}
	return 0;
}

static int plug_devices(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	struct uart_line line = { line_send, line_receive, machine };
	struct board *board = &machine->board;
	struct fw_cfg *fw_cfg = NULL;
	int r;

	r = pic_create(board, &machine->pic);
	if (!r)
		r = ioapic_create(board, 0, &machine->ioapic);
	if (!r)
		r = pci_create(board, &machine->pci_map);
	if (!r)
		r = pit_create(board);
	if (!r)
		r = rtc_create(board, rtc_wall_clock);
	if (!r)
		r = acpi_pm_create(board, &machine->acpi_pm);
	if (!r)
		r = i8042_create(board);
	if (!r)
		r = chipset_create(board);
	if (!r)
		r = uart_create(board, COM1_PORT, COM1_IRQ, &line, &machine->uart);
	if (!r)
		r = fw_cfg_create(board, config->cpus, &fw_cfg);
	if (!r && config->test_device)
		r = testdev_create(board);
	if (r) {
		report_error("the devices cannot be made: %s", strerror(-r));
		return EXIT_FAULT;
	}
	if (config->debug_exit >= 0)
		r = debug_exit_create(board, (uint16_t)config->debug_exit);
	if (!r && config->debug_console >= 0)
		r = debug_con_create(board, (uint16_t)config->debug_console, line_send, machine);
	if (r) {
		report_error("port of the debug device: %s", r == -EEXIST ?
			     "another device has it; choose another port" : strerror(-r));
		return EXIT_USAGE;
	}
	r = add_fw_cfg_files(machine, fw_cfg);
	if (r < 0) {
		report_error("fw_cfg: %s", strerror(-r));
		return EXIT_FAULT;
	}
	return r;
}

static int plug_options(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	unsigned int i;
	int r;

	for (i = 0; i < config->nr_devices; i++) {
		const struct device_option *option = config->device[i].option;

		r = option->create(&machine->board, config->device[i].params);
		if (r == -EINVAL)
			return EXIT_USAGE;
		if (r) {
			report_error("--%s: the device cannot be made: %s", option->name,
				     r == -ENOSPC ? "no slot or no addresses are left on the PCI bus" :
				     strerror(-r));
			return EXIT_FAULT;
		}
	}
	return 0;
}

static int create_board(struct machine *machine)
{
	int r;

	r = board_init(&machine->board, &machine->memory, &board_host, machine);
	machine->has_board = true;
	machine->board.nr_cpus = machine->config->cpus;
	if (r) {
		report_error("no timer: %s", strerror(-r));
		return EXIT_FAULT;
	}
	r = plug_devices(machine);
	return r ? r : plug_options(machine);
}

static int create_console(struct machine *machine)
{
	struct console_host host = {
		"console", console_readable, console_writable, console_quit, console_viewers, machine,
	};
	const char *where = machine->config->console;
	int r;

	if (!where)
		where = console_has_stdio() ? "socket" : "stdio";
	machine->console_where = where;
	r = console_open(where, &host, &machine->console);
	if (r) {
		report_error("console %s: %s", where, r == -EINVAL ?
			     "it is \"stdio\", \"pty\", \"file:PATH\" or \"socket\"" : r == -EBUSY ?
			     "another option has standard input and output" : strerror(-r));
		return EXIT_USAGE;
	}
	r = loop_init(&machine->loop);
	machine->has_loop = true;
	if (!r)
		r = loop_add(&machine->loop, machine->board.timers.fd, timers_ready, machine);
	if (!r)
		r = loop_add(&machine->loop, pci_line_fd(machine->board.pci), lines_ready, machine);
	if (!r)
		r = console_start(machine->console, &machine->loop);
	if (!r)
		r = loop_start(&machine->loop);
	if (r) {
		report_error("the event loop cannot be started: %s", strerror(-r));
		return EXIT_FAULT;
	}
	return 0;
}

/* ---- Running ---- */

static int reset_cpus(struct machine *machine)
{
	unsigned int i;
	int r;

	for (i = 0; i < machine->nr_cpus; i++) {
		r = cpu_reset(&machine->cpu[i], i == 0 ? &machine->boot.start : NULL);
		if (r) {
			report_error("the state of vCPU %u cannot be set: %s", i, strerror(-r));
			return EXIT_FAULT;
		}
	}
	return 0;
}

/*
 * Let vCPUs run, unless the machine rests or somebody has asked for something else meanwhile: the
 * main thread then finds that next, with all of them still parked. A machine that rests and is no longer to
 * has been resumed since machine_serve_pause(), which has to wake its devices first.
 */
static void go(struct machine *machine)
{
	pthread_mutex_lock(&machine->control_lock);
	if (machine->request == MACHINE_NOTHING && !machine->want_paused && !machine->paused) {
		__atomic_store_n(&machine->state, MACHINE_RUNNING, __ATOMIC_RELEASE);
		pthread_cond_broadcast(&machine->control);
	}
	pthread_mutex_unlock(&machine->control_lock);
}

/**
 * machine_renew_generation() - the machine goes on from a state that others may go on from, too
 * @machine: the machine, which rests and has its state
 *
 * The interrupt waits for the guest when it runs its first instruction.
 *
 * Return: 0, or the exit status; a message is out.
 */
int machine_renew_generation(struct machine *machine)
{
	int r = generation_renew(&machine->memory);

	if (r) {
		report_error("the machine gets no generation ID: %s", strerror(-r));
		return EXIT_FAULT;
	}
	board_lock(&machine->board);
	acpi_pm_event(machine->acpi_pm, ACPI_PM_GPE_GENERATION);
	board_unlock(&machine->board);
	return 0;
}

/* What the boot protocol has written is for another start; of it, what devices tell of it stays. */
static int load_source(struct machine *machine, const struct machine_source *source)
{
	int r;

	machine_begin_paused(machine);
	memory_clear(&machine->memory);
	r = source->load(machine, source->opaque);
	if (!r && source->copied)
		r = machine_renew_generation(machine);
	if (!r && source->paused)
		machine_pause(machine, "restored");
	/* It goes on, or not, as after any other rest. */
	machine_wake(machine);
	return r;
}

static int start_cpus(struct machine *machine)
{
	const struct machine_source *source = machine->config->source;
	unsigned int i;
	int r;

	r = source ? load_source(machine, source) : reset_cpus(machine);
	if (r)
		return r;
	/* Nobody can ask when they run. */
	machine->nr_cpuid = VIREO_MAX_CPUID;
	r = vireo_vcpu_get_cpuid(machine->cpu[0].vcpu, machine->cpuid, &machine->nr_cpuid);
	if (r) {
		report_error("the CPUID table cannot be read: %s", strerror(-r));
		return EXIT_FAULT;
	}
	for (i = 0; i < machine->nr_cpus; i++) {
		r = cpu_start(&machine->cpu[i]);
		if (r) {
			report_error("no thread for vCPU %u: %s", i, strerror(-r));
			return EXIT_FAULT;
		}
	}
	go(machine);
	return 0;
}

/* All vCPUs are parked. */
static int reset(struct machine *machine)
{
	int r;

	/* Before the memory is written anew, nobody may write to the old one any more. */
	board_stop(&machine->board);
	board_lock(&machine->board);
	memory_clear(&machine->memory);
	r = load_memory(machine);
	if (!r)
		r = write_tables(machine);
	memory_tell_all(&machine->memory);
	board_reset(&machine->board);
	board_unlock(&machine->board);
	if (!machine->paused)
		board_start(&machine->board);
	if (r)
		return r;
	r = reset_cpus(machine);
	if (r)
		return r;
	pthread_mutex_lock(&machine->control_lock);
	if (machine->request == MACHINE_RESET)
		machine->request = MACHINE_NOTHING;
	pthread_mutex_unlock(&machine->control_lock);
	go(machine);
	return 0;
}

/* Returns -1 to go on, or the exit status. */
static int serve_request(struct machine *machine)
{
	enum machine_request request;
	unsigned int i;
	uint64_t count;
	bool running;
	int r;

	if (read(machine->wake, &count, sizeof(count)) < 0)
		return -1;
	pthread_mutex_lock(&machine->control_lock);
	request = machine->request;
	running = machine->state == MACHINE_RUNNING;
	pthread_mutex_unlock(&machine->control_lock);
	if (request == MACHINE_NOTHING && running) {
		machine_serve_save(machine, false);
		return -1;
	}

	if (wait_parked(machine)) {
		terminal_restore();
		report_error("a vCPU does not stop within %u seconds; giving up (see the kernel's log)",
			     PARK_SECONDS);
		_exit(EXIT_FAULT);
	}
	switch (request) {
	case MACHINE_NOTHING:
		machine_serve_pause(machine);
		machine_serve_save(machine, true);
		go(machine);
		return -1;
	case MACHINE_RESET:
		if (machine->config->no_reboot)
			return EXIT_OK;
		r = reset(machine);
		if (r)
			return r;
		control_event(machine->server, "reset", "the machine starts again");
		/* A pause that was asked for meanwhile. */
		machine_wake(machine);
		return -1;
	case MACHINE_FAULT:
		control_event(machine->server, "fault", "the guest cannot go on; the launcher says why");
		terminal_restore();
		dump_fault(machine, machine->faulty);
		return EXIT_FAULT;
	default:
		if (machine->ended_by == SIGQUIT) {
			terminal_restore();
			for (i = 0; i < machine->nr_cpus; i++)
				dump_cpu(&machine->cpu[i]);
		}
		return machine->status;
	}
}

static void suspend(void)
{
	terminal_restore();
	kill(getpid(), SIGSTOP);
	/* Somebody has continued us. */
	terminal_again();
}

/* The guest may be writing meanwhile, as it may under the eyes of somebody at a screen. */
static int dump_screen(struct machine *machine)
{
	const char *path = machine->config->screen_dump;
	int r = path ? screen_dump(&machine->memory, path) : 0;

	if (r)
		report_error("%s: the screen cannot be written: %s", path, strerror(-r));
	return r ? EXIT_FAULT : EXIT_OK;
}

/**
 * machine_look_at_signals() - do what a signal wants that has come, if one has
 * @machine: the machine; by the main thread
 */
void machine_look_at_signals(struct machine *machine)
{
	struct signalfd_siginfo info;

	if (read(machine->signals, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGTSTP:
		suspend();
		break;
	case SIGCONT:
		terminal_again();
		break;
	case SIGUSR1:
		dump_screen(machine);
		break;
	case SIGCHLD:
		tree_look(machine);
		break;
	default:
		machine->ended_by = (int)info.ssi_signo;
		machine_request(machine, MACHINE_END, EXIT_OK, NULL);
	}
}

/*
 * The signals that the main thread takes from a file. Blocked before the first
 * thread exists, so in all of them.
 */
static int catch_signals(struct machine *machine)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGCHLD };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(caught); i++)
		sigaddset(&set, caught[i]);
	if (machine->config->screen_dump)
		sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* In the background: errors of read() and tcsetattr(), not a stop. */
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	machine->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	/* For a console that wants to know; a thread that does not block it would eat it. */
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return machine->signals < 0 ? -errno : 0;
}

static int serve(struct machine *machine)
{
	struct pollfd fds[] = {
		{ .fd = machine->wake, .events = POLLIN },
		{ .fd = machine->signals, .events = POLLIN },
	};
	int status;

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR) {
			report_error("poll: %s", strerror(errno));
			return EXIT_FAULT;
		}
		if (fds[1].revents & POLLIN)
			machine_look_at_signals(machine);
		if (fds[0].revents & POLLIN) {
			status = serve_request(machine);
			if (status >= 0)
				return status;
		}
	}
}

static void end_cpus(struct machine *machine)
{
	unsigned int i;

	pthread_mutex_lock(&machine->control_lock);
	__atomic_store_n(&machine->state, MACHINE_ENDING, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&machine->control);
	pthread_mutex_unlock(&machine->control_lock);
	for (i = 0; i < machine->nr_cpus; i++) {
		struct cpu *cpu = &machine->cpu[i];

		if (!cpu->started)
			continue;
		vireo_vcpu_kick(cpu->vcpu);
		pthread_join(cpu->thread, NULL);
		cpu->started = false;
	}
}

static void machine_destroy(struct machine *machine)
{
	unsigned int i;

	end_cpus(machine);
	/* It needs the board and the control socket. */
	migration_close(machine);
	/* What device threads may reach goes only when there are none. */
	if (machine->has_board)
		board_stop(&machine->board);
	if (machine->has_loop) {
		loop_stop(&machine->loop);
		loop_destroy(&machine->loop);
	}
	console_close(machine->console);
	control_close(machine->server);
	machine_save_forget(machine);
	tree_free(machine);
	migration_free(machine->migration);
	vireo_blocks_free(&machine->clock);
	if (machine->config->stats)
		dump_stats(machine);
	if (machine->has_board)
		board_destroy(&machine->board);
	for (i = 0; i < machine->nr_cpus; i++) {
		vireo_blocks_free(&machine->cpu[i].initial);
		vireo_vcpu_destroy(machine->cpu[i].vcpu);
	}
	vireo_vm_destroy(machine->vm);
	vireo_close(machine->vireo);
	memory_free(&machine->memory);
	boot_file_close(&machine->kernel);
	for (i = 0; i < BOOT_MODULES_MAX; i++)
		boot_file_close(&machine->module[i].file);
	if (machine->wake >= 0)
		close(machine->wake);
	if (machine->signals >= 0)
		close(machine->signals);
	pthread_cond_destroy(&machine->control);
	pthread_mutex_destroy(&machine->control_lock);
}

static struct machine *machine_new(const struct machine_config *config)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	unsigned int i;

	if (!machine)
		return NULL;
	machine->config = config;
	if (config->name)
		snprintf(machine->name, sizeof(machine->name), "%s", config->name);
	else
		snprintf(machine->name, sizeof(machine->name), "vm-%d", (int)getpid());
	machine->state = MACHINE_STOPPED;
	machine->kernel.fd = -1;
	for (i = 0; i < BOOT_MODULES_MAX; i++)
		machine->module[i].file.fd = -1;
	machine->signals = -1;
	pthread_mutex_init(&machine->control_lock, NULL);
	pthread_cond_init(&machine->control, NULL);
	machine->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return machine;
}

static void tell_end(struct machine *machine, int status)
{
	char text[64];

	if (machine->ended_by)
		snprintf(text, sizeof(text), "the machine was ended by signal %d", machine->ended_by);
	else
		snprintf(text, sizeof(text), "the machine has ended with status %d", status);
	control_event(machine->server, "stopped", text);
	machine_told(machine, VIREO_REPORT_STOPPED, NULL, 0, 0, text);
}

/* As the shell expects of a program that a signal has ended. */
static void end_by(int sig)
{
	sigset_t set;

	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/**
 * machine_run() - make a virtual machine and run it to its end
 * @config: what it is like
 *
 * Return: the launcher's exit status; all messages are out.
 */
int machine_run(const struct machine_config *config)
{
	struct machine *machine = machine_new(config);
	int status, sig;

	if (!machine || machine->wake < 0) {
		report_error("no memory for the machine");
		free(machine);
		return EXIT_FAULT;
	}
	status = catch_signals(machine) ? EXIT_FAULT : 0;
	if (!status)
		status = machine_control_open(machine);
	if (!status)
		status = open_files(machine);
	if (!status)
		status = create_memory(machine);
	if (!status)
		status = create_vm(machine);
	if (!status)
		status = processors_create(machine);
	if (!status)
		status = create_board(machine);
	if (!status)
		status = create_console(machine);
	if (!status && control_start(machine->server)) {
		report_error("no thread for the control socket");
		status = EXIT_FAULT;
	}
	if (!status)
		status = start_cpus(machine);
	if (!status) {
		status = serve(machine);
		tell_end(machine, status);
		end_cpus(machine);
		if (dump_screen(machine) && !status)
			status = EXIT_FAULT;
	}

	sig = machine->ended_by;
	machine_destroy(machine);
	free(machine);
	if (sig)
		end_by(sig);
	return status;
}

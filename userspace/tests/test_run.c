// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole program on the fake module: command lines, exit status, messages,
 * resets, interrupts of the 8259, signals and the terminal.
 *
 * Each run is a process of its own. Its "guest" is a function that fills the
 * run page; what it checks, it reports by its exit codes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "fake_module.h"
#include "image.h"
#include "tap.h"
#include "../vireo/command.h"
#include "../vireo/util.h"

#define TIMEOUT_MS 30000

static char dir[] = "/tmp/vireo-run-XXXXXX";
static char kernel[64], initrd[64], broken[64];
static char out[65536];
static int status;

typedef int (*guest_fn)(struct fake_vcpu *vcpu, struct vireo_run *run);
static void (*prepare)(void);

/* ---- Guests ---- */

static int io_out(struct vireo_run *run, uint16_t port, unsigned int unit, uint32_t value)
{
	run->exit_reason = VIREO_EXIT_IO;
	run->io.port = port;
	run->io.write = 1;
	run->io.unit = (uint8_t)unit;
	run->io.count = 1;
	memcpy(run->io.data, &value, sizeof(value));
	return 0;
}

static int io_in(struct vireo_run *run, uint16_t port, unsigned int unit)
{
	io_out(run, port, unit, 0);
	run->io.write = 0;
	return 0;
}

static int power_off(struct vireo_run *run)
{
	return io_out(run, 0x604, 2, 5 << 10 | 1 << 13);
}

/* Ends with a status that names the step that was wrong. */
static int wrong(struct vireo_run *run, unsigned int step)
{
	return io_out(run, 0xf4, 1, step);
}

static int wait_kick(struct fake_vcpu *vcpu)
{
	pthread_mutex_lock(&fake.lock);
	while (!vcpu->kicked)
		pthread_cond_wait(&fake.kick, &fake.lock);
	vcpu->kicked = false;
	pthread_mutex_unlock(&fake.lock);
	vcpu->run->exit_reason = VIREO_EXIT_KICK;
	return 0;
}

static int hello(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	static const char text[] = "hello, world\n";
	struct vireo_regs *regs = (void *)vcpu->block[VIREO_BLOCK_REGS];
	unsigned int step = vcpu->step++;

	if (regs->rip != 0x100200 || regs->gpr[6] == 0)
		return wrong(run, 1);
	if (step < sizeof(text) - 1)
		return io_out(run, 0x3f8, 1, (uint8_t)text[step]);
	return power_off(run);
}

/* Ends with a status that has the low bits of CPUID 0x40000001. */
static int paravirtual(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	unsigned int i;

	for (i = 0; i < vcpu->nr_cpuid; i++)
		if (vcpu->cpuid[i].leaf == 0x40000001)
			return io_out(run, 0xf4, 1, vcpu->cpuid[i].eax & 0x7f);
	return wrong(run, 6);
}

/* Ends with a status that has the model, a feature and the address bits that CPUID tells. */
static int processor(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	unsigned int i, seen = 0;

	for (i = 0; i < vcpu->nr_cpuid; i++) {
		if (vcpu->cpuid[i].leaf == 1)
			seen |= (vcpu->cpuid[i].eax & 3) | (vcpu->cpuid[i].ecx & 1) << 2;
		if (vcpu->cpuid[i].leaf == 0x80000008)
			seen |= (vcpu->cpuid[i].eax & 0xf) << 3;
	}
	return io_out(run, 0xf4, 1, seen);
}

/* OUTS and INS: many units in one exit. */
static int strings(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	switch (vcpu->step++) {
	case 0:
		io_out(run, 0x3f8, 1, 0);
		memcpy(run->io.data, "string", 6);
		run->io.count = 6;
		return 0;
	case 1:
		return io_out(run, 0x510, 2, 0);
	case 2:
		io_in(run, 0x511, 1);
		run->io.count = 4;
		return 0;
	case 3:
		if (memcmp(run->io.data, "QEMU", 4))
			return wrong(run, 2);
		io_out(run, 0x3f8, 1, 0);
		run->io.count = 4000000;	/* more than the page holds */
		return 0;
	case 4:
		run->exit_reason = VIREO_EXIT_MMIO;
		run->mmio.gpa = 0xfec00000;
		run->mmio.write = 1;
		run->mmio.len = 4;
		memset(run->mmio.data, 0, 8);
		run->mmio.data[0] = 1;
		return 0;
	case 5:
		run->mmio.gpa = 0xfec00010;
		run->mmio.write = 0;
		return 0;
	case 6:
		if (run->mmio.data[0] != 0x20)
			return wrong(run, 3);
		run->mmio.gpa = 0xd0000000;
		return 0;
	case 7:
		if (run->mmio.data[3] != 0xff)
			return wrong(run, 4);
		run->exit_reason = VIREO_EXIT_HYPERCALL;
		return 0;
	case 8:
		if ((int64_t)run->hypercall.ret != -1000)
			return wrong(run, 5);
		run->exit_reason = VIREO_EXIT_RDMSR;
		return 0;
	case 9:
		if (run->msr.error != 1)
			return wrong(run, 6);
		return -EINTR;
	default:
		return power_off(run);
	}
}

static int exit_code(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	(void)vcpu;
	return io_out(run, 0xf4, 4, 0x10);
}

static int triple_fault(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	(void)vcpu;
	run->exit_reason = VIREO_EXIT_SHUTDOWN;
	return 0;
}

static int emulation(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	(void)vcpu;
	run->exit_reason = VIREO_EXIT_EMULATION;
	run->insn_len = 3;
	memcpy(run->insn, "\x0f\x0b\x90", 3);
	memset(run->error, 'e', sizeof(run->error));
	return 0;
}

static int internal(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	(void)vcpu;
	run->exit_reason = VIREO_EXIT_INTERNAL_ERROR;
	strcpy(run->error, "a broken invariant");
	return 0;
}

static int dead(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	(void)vcpu;
	(void)run;
	return -EIO;
}

static int strange(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	(void)vcpu;
	run->exit_reason = 12345;
	return 0;
}

/* Resets twice by different ports; the third boot powers off. */
static unsigned int boots;

static int resets(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	struct vireo_regs *regs = (void *)vcpu->block[VIREO_BLOCK_REGS];
	unsigned char *memory = (void *)(uintptr_t)fake.region[0].hva;

	switch (vcpu->step++) {
	case 0:
		/* The kernel is there anew, what the guest wrote is not. */
		if (memory[0x100000] != (uint8_t)(1536 * 7 + (1536 >> 8)) || memory[0x200000])
			return wrong(run, 7);
		if (regs->rip != 0x100200)
			return wrong(run, 8);
		memory[0x100000] = 0;
		memory[0x200000] = 1;
		regs->rip = 0x5555;
		return io_out(run, 0x3f8, 1, 'A' + boots);
	case 1:
		vcpu->step = 0;
		switch (boots++) {
		case 0:
			return io_out(run, 0x64, 1, 0xfe);
		case 1:
			return io_out(run, 0xcf9, 1, 0x06);
		default:
			return power_off(run);
		}
	}
	return 0;
}

/*
 * Programs the 8259 and the 8254 in mode 0, waits to be kicked by the timer,
 * and takes the interrupt as a processor would.
 */
static int interrupt(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	static const struct { uint16_t port; uint8_t value; } setup[] = {
		{ 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 0x04 }, { 0x21, 0x01 }, { 0x21, 0xfe },
		{ 0x43, 0x30 }, { 0x40, 0x00 }, { 0x40, 0x40 },
	};
	unsigned int step = vcpu->step++;

	if (step < ARRAY_SIZE(setup))
		return io_out(run, setup[step].port, 1, setup[step].value);
	switch (step - ARRAY_SIZE(setup)) {
	case 0:
		run->flags = 0;
		return wait_kick(vcpu);
	case 1:
		if (!run->want_irq_window || run->inject.valid)
			return wrong(run, 10);
		run->exit_reason = VIREO_EXIT_READY_FOR_IRQ;
		run->flags = VIREO_RUN_IRQ_READY | VIREO_RUN_IF;
		return 0;
	case 2:
		if (!run->inject.valid || run->inject.type != VIREO_EVENT_IRQ ||
		    run->inject.vector != 0x20)
			return wrong(run, 11);
		/* Not after all. */
		return -EAGAIN;
	case 3:
		if (run->inject.valid || !run->want_irq_window)
			return wrong(run, 12);
		run->exit_reason = VIREO_EXIT_READY_FOR_IRQ;
		return 0;
	case 4:
		if (!run->inject.valid || run->inject.vector != 0x20)
			return wrong(run, 13);
		run->inject.valid = 0;
		run->flags = 0;
		return io_out(run, 0x20, 1, 0x0b);
	case 5:
		if (run->want_irq_window)
			return wrong(run, 14);
		return io_in(run, 0x20, 1);
	case 6:
		if (run->io.data[0] != 0x01)
			return wrong(run, 15);
		return io_out(run, 0x20, 1, 0x20);
	}
	return power_off(run);
}

/* Level-triggered SCI through the IOAPIC, with EOI. */
static int level(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	static const struct { uint64_t gpa; uint32_t value; } setup[] = {
		{ 0xfec00000, 0x22 }, { 0xfec00010, 0x8071 },
	};
	unsigned int step = vcpu->step++;

	switch (step) {
	case 0:
	case 1:
		run->exit_reason = VIREO_EXIT_MMIO;
		run->mmio.gpa = setup[step].gpa;
		run->mmio.write = 1;
		run->mmio.len = 4;
		memset(run->mmio.data, 0, 8);
		memcpy(run->mmio.data, &setup[step].value, 4);
		return 0;
	case 2:
		return io_out(run, 0x2009, 1, 1);
	case 3:
		if (fake.msis != 1 || fake.last_msi.data != 0xc071)
			return wrong(run, 20);
		run->exit_reason = VIREO_EXIT_EOI;
		memset(&run->eoi, 0, sizeof(run->eoi));
		run->eoi.vectors[1] = 1ULL << (0x71 - 64);
		return 0;
	case 4:
		if (fake.msis != 2)
			return wrong(run, 21);
		return power_off(run);
	}
	return wrong(run, 22);
}

static int forever(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	unsigned int step = vcpu->step++;

	if (step < 3)
		return io_out(run, 0x3f8, 1, (uint32_t)"up\n"[step]);
	return wait_kick(vcpu);
}

/* Echoes what is typed, through the interrupt-less UART. */
static int echo(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	struct timespec nap = { .tv_nsec = 2000000 };

	switch (vcpu->step) {
	case 0 ... 2:
		return io_out(run, 0x3f8, 1, (uint32_t)"up\n"[vcpu->step++]);
	case 3:
		vcpu->step = 4;
		return io_in(run, 0x3fd, 1);
	case 4:
		if (!(run->io.data[0] & 1)) {
			nanosleep(&nap, NULL);
			return io_in(run, 0x3fd, 1);
		}
		vcpu->step = 5;
		return io_in(run, 0x3f8, 1);
	default:
		vcpu->step = 3;
		if (run->io.data[0] == 'q')
			return power_off(run);
		return io_out(run, 0x3f8, 1, run->io.data[0] == 1 ? '@' : run->io.data[0]);
	}
}

/* Leaves a word on the screen, and says so. */
static int paint(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	uint8_t *screen = (uint8_t *)(uintptr_t)fake.region[0].hva + 0xb8000;
	struct timespec nap = { .tv_nsec = 2000000 };

	if (vcpu->step < 3) {
		screen[160] = 'O';
		screen[162] = 'K';
		return io_out(run, 0x3f8, 1, (uint32_t)"up\n"[vcpu->step++]);
	}
	nanosleep(&nap, NULL);
	return io_out(run, 0x80, 1, 0);
}

static int crash(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	if (vcpu->step++ < 50)
		return io_out(run, 0x80, 1, 0);
	raise(SIGSEGV);
	return 0;
}

/* ---- Running the program ---- */

static pid_t start(guest_fn guest, int in, int to, const char *const *args)
{
	char *argv[24], *copy[24];
	pid_t pid;
	int i, nr;

	argv[0] = (char *)"vireo";
	/* Programs may write into their arguments. */
	for (nr = 0; args[nr]; nr++)
		argv[nr + 1] = copy[nr] = strdup(args[nr]);
	argv[nr + 1] = NULL;
	fflush(stdout);
	pid = fork();
	if (pid) {
		while (nr--)
			free(copy[nr]);
		return pid;
	}
	alarm(TIMEOUT_MS / 1000);
	if (isatty(in)) {
		setsid();
		if (ioctl(in, TIOCSCTTY, 0))
			_exit(99);
	}
	dup2(in, 0);
	dup2(to, 1);
	dup2(to, 2);
	fake_reset();
	fake.guest = guest;
	if (prepare)
		prepare();
	i = vireo_main(nr + 1, argv);
	while (nr--)
		free(copy[nr]);
	if (fake.bad)
		fprintf(stderr, "fake module: bad argument: %s\n", fake.why);
	if (fake.open_fds)
		fprintf(stderr, "fake module: %u files left open\n", fake.open_fds);
	fflush(NULL);
	exit(i);
}

/* Read what comes within a time, until @text if given; appends to @out. */
static bool expect(int fd, const char *text)
{
	size_t have = strlen(out);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		ssize_t n;

		if (text && strstr(out, text))
			return true;
		if (have + 1 >= sizeof(out) || poll(&p, 1, TIMEOUT_MS) <= 0)
			return false;
		n = read(fd, out + have, sizeof(out) - have - 1);
		if (n <= 0)
			return !text;
		have += (size_t)n;
		out[have] = '\0';
	}
}

static void run(guest_fn guest, const char *const *args)
{
	int fds[2], null = open("/dev/null", O_RDONLY);
	pid_t pid;

	out[0] = '\0';
	status = -1;
	if (pipe(fds))
		abort();
	pid = start(guest, null, fds[1], args);
	close(fds[1]);
	close(null);
	expect(fds[0], NULL);
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (strstr(out, "fake module:"))
		ok(false, "%s", strstr(out, "fake module:"));
}

#define RUN(guest, ...) run(guest, (const char *const[]){ __VA_ARGS__, NULL })

static bool ended(int code)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == code)
		return true;
	printf("# status %#x, output:\n# %.600s\n", status, out);
	return false;
}

static bool says(const char *text)
{
	if (strstr(out, text))
		return true;
	printf("# no \"%s\" in: %.600s\n", text, out);
	return false;
}

static void write_file(char *path, const char *name, const void *bytes, size_t n)
{
	FILE *file;

	snprintf(path, 64, "%s/%s", dir, name);
	file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, n, file) != n)
		abort();
	fclose(file);
}

/* ---- Tests ---- */

static void test_usage(void)
{
	RUN(NULL, "--help");
	ok(ended(0) && says("info") && says("run "), "help lists commands");
	RUN(NULL, "--version");
	ok(ended(0) && says("ABI 1"), "version");
	RUN(NULL, "nonsense");
	ok(ended(2) && says("no command \"nonsense\""), "an unknown command");
	RUN(NULL, "run", "--help");
	ok(ended(0) && says("--kernel FILE"), "help of run");
	RUN(NULL, "info", "--help");
	ok(ended(0) && says("--json"), "help of info");
	RUN(NULL, "run");
	ok(ended(2) && says("--kernel FILE is needed"), "no kernel");
	RUN(NULL, "run", "--kernel");
	ok(ended(2), "no argument");
	RUN(NULL, "run", "--nonsense");
	ok(ended(2), "an unknown option");
	RUN(NULL, "run", "--kernel", kernel, "more");
	ok(ended(2) && says("more: not an option"), "a word too many");
	RUN(NULL, "info", "more");
	ok(ended(2) && says("more: not an option; see \"vireo info --help\""), "the same of info");
	RUN(NULL, "info", "--nonsense");
	ok(ended(2) && says("nonsense"), "an unknown option of info");
	RUN(NULL, "stop", "--timeout", "soon", "x");
	ok(ended(2) && says("soon: not a number of seconds"), "no number of seconds");
	RUN(NULL, "stop", "x", "y");
	ok(ended(2) && says("the name of one machine is needed; see \"vireo stop"), "two machines");
	RUN(NULL, "balloon");
	ok(ended(2) && says("see \"vireo balloon"), "none");
	RUN(NULL, "control", "x");
	ok(ended(2) && says("and a request are needed"), "no request");
	RUN(NULL, "switch", "--mode", "1000", "x");
	ok(ended(2) && says("octal mode"), "no mode");
	RUN(NULL, "switch", "x", "--mode", "8");
	ok(ended(2) && says("octal mode"), "options may come last");
	RUN(NULL, "switch", "--ports=1", "x");
	ok(ended(2) && says("from 2 to"), "too few ports");
	RUN(NULL, "switch");
	ok(ended(2) && says("one socket"), "no socket");
	RUN(NULL, "run", "--kernel", kernel, "--memory", "lots");
	ok(ended(2) && says("lots: not a size"), "no size");
	RUN(NULL, "run", "--kernel", kernel, "--memory", "1M");
	ok(ended(2) && says("too little memory"), "too little memory");
	RUN(NULL, "run", "--kernel", kernel, "--memory", "8388608T");
	ok(ended(2), "too much memory");
	RUN(NULL, "run", "--kernel", kernel, "--cpus", "0");
	ok(ended(2) && says("1 to 64"), "no processors");
	RUN(NULL, "run", "--kernel", kernel, "--cpus", "65");
	ok(ended(2), "too many processors");
	RUN(NULL, "run", "--kernel", kernel, "--console", "lpt");
	ok(ended(2) && says("\"stdio\", \"pty\""), "no console");
	RUN(NULL, "run", "--kernel", kernel, "--console", "file:/nonexistent/x");
	ok(ended(2) && says("No such file"), "a console that cannot be opened");
	RUN(NULL, "run", "--kernel", kernel, "--debug-exit", "x");
	ok(ended(2), "no port");
	RUN(hello, "run", "--kernel", kernel, "--debug-exit", "0x3f8");
	ok(ended(2) && says("another device has it"), "a port that is taken");
	RUN(NULL, "run", "--kernel", kernel, "--fw-cfg", "opt/x");
	ok(ended(2) && says("NAME=FILE"), "fw_cfg without a file");
	RUN(hello, "run", "--kernel", kernel, "--fw-cfg", "opt/x=/nonexistent");
	ok(ended(2) && says("cannot be opened"), "a fw_cfg file that is not there");
	RUN(NULL, "run", "--kernel", kernel, "--name", "a name of more than thirty-one bytes");
	ok(ended(2) && says("31 bytes"), "a long name");
	RUN(NULL, "run", "--kernel", "/nonexistent");
	ok(ended(2) && says("the kernel cannot be opened: No such file"), "a kernel that is not there");
	RUN(NULL, "run", "--kernel", dir);
	ok(ended(2) && says("not a regular file"), "a directory");
	RUN(NULL, "run", "--kernel", kernel, "--initrd", "/nonexistent");
	ok(ended(2) && says("the initrd cannot be opened"), "an initrd that is not there");
	RUN(NULL, "run", "--kernel", broken);
	ok(ended(2) && says("not a kernel"), "not a kernel");
	RUN(NULL, "run", "--kernel", kernel, "--memory", "4M");
	ok(ended(2) && says("--memory"), "too little memory for this kernel");
}

static void no_module(void)
{
	fake.open_error = -ENOENT;
}

static void no_permission(void)
{
	fake.open_error = -EACCES;
}

static void other_abi(void)
{
	fake.info.abi = 7;
}

static void busy(void)
{
	fake.vm_error = -EBUSY;
}

static void disabled(void)
{
	fake.vm_error = -ENODEV;
}

static void few_vcpus(void)
{
	fake.info.max_vcpus = 2;
}

static void few_bits(void)
{
	fake.info.phys_bits = 36;
}

static void bad_cpuid(void)
{
	fake.cpuid_error = -EINVAL;
}

static void test_module(void)
{
	prepare = no_module;
	RUN(NULL, "info");
	ok(ended(1) && says("not loaded"), "no module");
	prepare = no_permission;
	setenv("VIREO_DEVICE", "/dev/null", 1);
	RUN(NULL, "info");
	ok(ended(1) && says("no permission"), "no permission");
	unsetenv("VIREO_DEVICE");
	prepare = other_abi;
	RUN(hello, "run", "--kernel", kernel);
	ok(ended(1) && says("another version of the ABI"), "another ABI");
	prepare = busy;
	RUN(hello, "run", "--kernel", kernel);
	ok(ended(1) && says("another hypervisor owns the processor"), "processor is taken");
	prepare = disabled;
	RUN(hello, "run", "--kernel", kernel);
	ok(ended(1) && says("firmware"), "switched off by firmware");
	prepare = few_vcpus;
	RUN(hello, "run", "--kernel", kernel, "--cpus", "3");
	ok(ended(2) && says("at most 2"), "more vCPUs than the module gives");
	prepare = few_bits;
	RUN(hello, "run", "--kernel", kernel, "--memory", "100G");
	ok(ended(2) && says("36 address bits"), "more memory than the processor addresses");
	prepare = bad_cpuid;
	RUN(hello, "run", "--kernel", kernel);
	ok(ended(1) && says("refuses the CPUID table"), "CPUID refused");
	prepare = NULL;
	RUN(NULL, "info");
	ok(ended(0) && says("nested-paging") && says("pml") && says("rsb-fill") &&
	   says("AMD SVM"), "info");
	RUN(NULL, "info", "--json");
	ok(ended(0) && says("\"features\": [\"nested-paging\", \"x2apic\"]") &&
	   says("\"module_version\": \"fake \\\"1\\\"\""), "info as JSON");
	if (!system("command -v jq >/dev/null 2>&1")) {
		char command[256];
		FILE *file;

		snprintf(command, sizeof(command), "jq -e '.missing[0] == \"pml\"' >/dev/null");
		file = popen(command, "w");
		ok(file && fputs(out, file) >= 0 && !pclose(file), "jq reads it");
	} else {
		tap_skip("jq is not installed");
	}
}

static void test_guests(void)
{
	RUN(hello, "run", "--kernel", kernel, "--initrd", initrd, "--cpus", "4", "--name", "x");
	ok(ended(0) && says("hello, world"), "a guest prints and powers off: 0");
	RUN(hello, "run", "--kernel", kernel, "--memory", "5G", "--stats");
	ok(ended(0) && says("entries"), "5 GiB, with statistics");
	RUN(strings, "run", "--kernel", kernel);
	ok(ended(0) && says("string"), "string I/O, MMIO, hypercalls, MSRs, -EINTR");
	RUN(exit_code, "run", "--kernel", kernel);
	ok(ended(0x21), "debug exit: (v << 1) | 1");
	RUN(exit_code, "run", "--kernel", kernel, "--debug-exit", "0x501");
	ok(true, "debug exit elsewhere is started");
	RUN(triple_fault, "run", "--kernel", kernel, "--cpus", "2");
	ok(ended(1) && says("triple fault") && says("rip 0000000000100200") &&
	   says("vCPU 1 (waiting for SIPI)") && says("code at rip: 08"), "a triple fault: 1, with all registers");
	RUN(emulation, "run", "--kernel", kernel);
	ok(ended(1) && says("interpreter does not know") && says("0f 0b 90"), "emulation failure");
	RUN(internal, "run", "--kernel", kernel);
	ok(ended(1) && says("a broken invariant"), "internal error");
	RUN(dead, "run", "--kernel", kernel);
	ok(ended(1) && says("given the VM up"), "a dead VM");
	RUN(strange, "run", "--kernel", kernel);
	ok(ended(1) && says("12345"), "an unknown exit");
	RUN(resets, "run", "--kernel", kernel, "--cpus", "3");
	ok(ended(0) && says("ABC"), "two resets, each a fresh boot");
	RUN(resets, "run", "--kernel", kernel, "--no-reboot");
	ok(ended(0) && !strstr(out, "B"), "--no-reboot: a reset ends it, 0");
	RUN(interrupt, "run", "--kernel", kernel);
	ok(ended(0), "8254 and 8259: kick, window, acknowledge, refusal, EOI");
	RUN(level, "run", "--kernel", kernel, "--test-device");
	ok(ended(0), "IOAPIC: level, EOI exit, sent again");
}

static void test_paravirt(void)
{
	char config[64], text[160];
	FILE *file;

	RUN(paravirtual, "run", "--kernel", kernel);
	ok(ended(0x6b << 1 | 1), "all paravirtual features that the module has");
	RUN(paravirtual, "run", "--kernel", kernel, "--paravirt", "all,-pv-eoi");
	ok(ended(0x2b << 1 | 1), "all but one");
	RUN(paravirtual, "run", "--kernel", kernel, "--paravirt", "-pv-eoi");
	ok(ended(0x2b << 1 | 1), "the same, shorter");
	RUN(paravirtual, "run", "--kernel", kernel, "--paravirt=none");
	ok(ended(1), "none");
	RUN(NULL, "run", "--kernel", kernel, "--paravirt", "pv-nothing");
	ok(ended(2) && says("\"pv-nothing\": it is") && says("pv-tlb-flush"), "an unknown one");
	RUN(NULL, "run", "--kernel", kernel, "--paravirt");
	ok(ended(2), "nothing is said");

	snprintf(config, sizeof(config), "%s/config", dir);
	snprintf(text, sizeof(text), "{\"kernel\":\"%s\",\n\"paravirt\":\"steal-time\"}", kernel);
	file = fopen(config, "w");
	ok(file && fputs(text, file) >= 0 && !fclose(file), "a configuration");
	RUN(paravirtual, "run", "--config", config);
	ok(ended(0x20 << 1 | 1), "its word counts");
	RUN(paravirtual, "run", "--config", config, "--paravirt", "pv-eoi");
	ok(ended(0x40 << 1 | 1), "what is typed has the last word");
	unlink(config);
}

/* A host with a feature, another model, and more address bits */
static void better_host(void)
{
	fake.supported[1].eax++;
	fake.supported[1].ecx |= 1;
	fake.supported[9].eax += 2;
	fake.info.phys_bits += 2;
}

static void other_host(void)
{
	fake.supported[0].ebx = 0x756e6547;
}

static void test_cpu_profile(void)
{
	char profile[64], better[64], both[160], config[64], text[400];

	RUN(NULL, "info", "--cpu-profile");
	ok(ended(0) && says("\"vireo-cpu-profile\": 1") && says("\"physical_address_bits\": 40") &&
	   says("\n    {\"leaf\": \"0x4\", \"subleaf\": \"0x1\", \"eax\": \"0x163\"") && says("\"msrs\": [\"0x174\""),
	   "the profile of this host");
	write_file(profile, "profile", out, strlen(out));
	prepare = better_host;
	RUN(NULL, "info", "--cpu-profile");
	ok(ended(0) && says("\"physical_address_bits\": 42"), "that of a better one");
	write_file(better, "better", out, strlen(out));

	RUN(processor, "run", "--kernel", kernel);
	ok(ended((10 << 3 | 4 | 1) << 1 | 1), "without one, a guest there has all that it has");
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", profile);
	ok(ended((8 << 3) << 1 | 1), "with one, what both have, and its model");
	snprintf(both, sizeof(both), "%s,%s", better, profile);
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", both);
	ok(ended((8 << 3 | 1) << 1 | 1), "with two, the model of the first");
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", profile, "--cpu-profile", better);
	ok(ended((8 << 3) << 1 | 1), "in either order");
	snprintf(text, sizeof(text), "{\"kernel\": \"%s\", \"cpu-profile\": [\"%s\"]}", kernel, profile);
	write_file(config, "config", text, strlen(text));
	RUN(processor, "run", "--config", config, "--cpu-profile", better);
	ok(ended((8 << 3) << 1 | 1), "from a configuration, and typed ones on top");
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", profile, "--memory", "5G");
	ok(ended((8 << 3) << 1 | 1), "with memory above 4 GiB");
	prepare = few_bits;
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", profile, "--memory", "100G");
	ok(ended(2) && says("36 address bits"), "address bits of the host count, too");
	prepare = NULL;
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", better);
	ok(ended((8 << 3 | 1) << 1 | 1), "a better one gives no more than there is");

	snprintf(text, sizeof(text), "{\"kernel\": \"%s\",\n\"cpu-profile\": {\"vireo-cpu-profile\": 7}}", kernel);
	write_file(config, "config", text, strlen(text));
	RUN(processor, "run", "--config", config);
	ok(ended(2) && says("a CPU profile of version 7"), "one that is in the configuration itself, and newer");
	snprintf(text, sizeof(text), "{\"kernel\": {\"vireo-cpu-profile\": 7}}");
	write_file(config, "config", text, strlen(text));
	RUN(processor, "run", "--config", config);
	ok(ended(2) && says("only devices and CPU profiles"), "or in the wrong place");
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", initrd);
	ok(ended(2) && says("not a CPU profile"), "a file that is none");
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", "/nonexistent");
	ok(ended(2) && says("No such file"), "no file");
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", "");
	ok(ended(2) && says("is empty"), "no name");
	snprintf(both, sizeof(both), "%s,", profile);
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", both);
	ok(ended(2) && says("is empty"), "nor behind a comma");
	prepare = other_host;
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", profile);
	ok(ended(2) && says("the CPU profile is of \"\" processors, this host's are \"Genu\""), "another vendor's");
	RUN(NULL, "info", "--cpu-profile");
	write_file(better, "better", out, strlen(out));
	snprintf(both, sizeof(both), "%s,%s", profile, better);
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", both);
	ok(ended(2) && says("those of the first one are \"\""), "two vendors'");
	prepare = no_module;
	RUN(NULL, "info", "--cpu-profile");
	ok(ended(1) && says("not loaded"), "without a module there is none");
	RUN(processor, "run", "--kernel", kernel, "--cpu-profile", initrd);
	ok(ended(2) && says("not a CPU profile"), "which is not asked for one that is wrong");
	prepare = NULL;
}

static void test_files(void)
{
	char path[64], spec[80], read_back[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/console", dir);
	snprintf(spec, sizeof(spec), "file:%s", path);
	RUN(hello, "run", "--kernel", kernel, "--console", spec);
	file = fopen(path, "r");
	ok(ended(0) && file && fgets(read_back, sizeof(read_back), file) &&
	   !strcmp(read_back, "hello, world\n"), "console in a file");
	if (file)
		fclose(file);
	RUN(hello, "run", "--kernel", kernel, "--console", "pty");
	ok(ended(0) && says("console: /dev/pts/"), "a pseudo-terminal tells its name");
}

static void test_screen(void)
{
	int fds[2], null = open("/dev/null", O_RDONLY), tries;
	char path[64], read_back[64] = "";
	pid_t pid;

	snprintf(path, sizeof(path), "%s/screen", dir);
	out[0] = '\0';
	if (pipe(fds))
		abort();
	pid = start(paint, null, fds[1],
		    (const char *const[]){ "run", "--kernel", kernel, "--screen-dump", path, NULL });
	close(fds[1]);
	close(null);
	expect(fds[0], "up");
	kill(pid, SIGUSR1);
	for (tries = 0; tries < 500 && strcmp(read_back, "\nOK\n"); tries++) {
		FILE *file = fopen(path, "r");

		usleep(10000);
		read_back[0] = '\0';
		if (file && fread(read_back, 1, 4, file) < 4)
			read_back[0] = '\0';
		if (file)
			fclose(file);
	}
	ok(!strcmp(read_back, "\nOK\n"), "SIGUSR1 writes the screen");
	ok(!waitpid(pid, &status, WNOHANG), "and nothing else");
	unlink(path);
	kill(pid, SIGTERM);
	expect(fds[0], NULL);
	close(fds[0]);
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && !access(path, R_OK), "and so does the end");
	RUN(NULL, "run", "--kernel", kernel, "--screen-dump", "/nonexistent/x");
	ok(ended(2) && says("the screen cannot be written"), "a file that cannot be made");
	RUN(hello, "run", "--kernel", kernel, "--screen-dump", "/dev/full");
	ok(ended(1) && says("No space left"), "a screen that cannot be written");
}

static void test_signal(int sig)
{
	int fds[2], null = open("/dev/null", O_RDONLY);
	pid_t pid;

	out[0] = '\0';
	if (pipe(fds))
		abort();
	pid = start(forever, null, fds[1],
		    (const char *const[]){ "run", "--kernel", kernel, "--cpus", "2", NULL });
	close(fds[1]);
	close(null);
	expect(fds[0], "up");
	kill(pid, SIGWINCH);
	kill(pid, sig);
	expect(fds[0], NULL);
	close(fds[0]);
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == sig, "%s ends it as a signal does",
	   strsignal(sig));
	if (sig == SIGQUIT)
		ok(says("vCPU 1 (waiting for SIPI)"), "and prints registers before");
}

/* With a terminal as standard input; returns its master. */
static pid_t start_on_terminal(guest_fn guest, int *master, int *slave, struct termios *before)
{
	pid_t pid;

	out[0] = '\0';
	if (openpty(master, slave, NULL, NULL, NULL))
		abort();
	tcgetattr(*slave, before);
	pid = start(guest, *slave, *slave,
		    (const char *const[]){ "run", "--kernel", kernel, NULL });
	expect(*master, "up");
	return pid;
}

static bool same_terminal(int slave, const struct termios *before)
{
	struct termios now;

	tcgetattr(slave, &now);
	return now.c_lflag == before->c_lflag && now.c_iflag == before->c_iflag &&
		now.c_oflag == before->c_oflag;
}

static void type(int master, const char *text)
{
	if (write(master, text, strlen(text)) < 0)
		abort();
}

static void test_terminal(void)
{
	struct termios before, now;
	int master, slave;
	pid_t pid;

	pid = start_on_terminal(echo, &master, &slave, &before);
	tcgetattr(slave, &now);
	ok(!(now.c_lflag & (ICANON | ECHO | ISIG)), "the terminal is raw");
	type(master, "abc\x03");
	ok(expect(master, "abc\x03"), "keys reach the guest, Ctrl-C too");
	type(master, "\x01\x01-\x01" "a");
	ok(expect(master, "@-@"), "Ctrl-A Ctrl-A and Ctrl-A a send Ctrl-A");
	type(master, "\x01h");
	ok(expect(master, "end the virtual machine"), "Ctrl-A h helps");
	type(master, "\x01x");
	waitpid(pid, &status, 0);
	ok(ended(0), "Ctrl-A x ends it: 0");
	ok(same_terminal(slave, &before), "the terminal is restored");
	close(master);
	close(slave);

	pid = start_on_terminal(forever, &master, &slave, &before);
	kill(pid, SIGTSTP);
	waitpid(pid, &status, WUNTRACED);
	ok(WIFSTOPPED(status), "SIGTSTP stops it");
	ok(same_terminal(slave, &before), "with the terminal restored");
	kill(pid, SIGCONT);
	do {
		usleep(10000);
		tcgetattr(slave, &now);
	} while (now.c_lflag & ICANON && !waitpid(pid, &status, WNOHANG));
	ok(!(now.c_lflag & ICANON), "SIGCONT makes it raw again");
	type(master, "\x01x");
	waitpid(pid, &status, 0);
	ok(ended(0) && same_terminal(slave, &before), "and it ends as usual");
	close(master);
	close(slave);

	pid = start_on_terminal(forever, &master, &slave, &before);
	kill(pid, SIGHUP);
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && same_terminal(slave, &before), "SIGHUP restores it");
	close(master);
	close(slave);

	out[0] = '\0';
	if (openpty(&master, &slave, NULL, NULL, NULL))
		abort();
	tcgetattr(slave, &before);
	pid = start(crash, slave, slave,
		    (const char *const[]){ "run", "--kernel", kernel, NULL });
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && same_terminal(slave, &before),
	   "a crash of the launcher restores it");
	close(master);
	close(slave);
}

static void test_stopped_terminal(void)
{
	struct termios before;
	int master, slave;
	pid_t pid;

	/* Nobody reads the master while the guest prints without end. */
	pid = start_on_terminal(forever, &master, &slave, &before);
	tcflow(slave, TCOOFF);
	type(master, "\x01h\x01x");
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status), "a stopped terminal does not keep it from ending");
	close(master);
	close(slave);
}

int main(void)
{
	static struct image image;
	static uint8_t bytes[5000];
	char command[128];

	setenv("LC_ALL", "C", 1);
	if (!mkdtemp(dir))
		abort();
	image_linux(&image);
	write_file(kernel, "kernel", image.byte, image.len);
	write_file(initrd, "initrd", bytes, sizeof(bytes));
	write_file(broken, "broken", bytes, sizeof(bytes));
	test_usage();
	test_module();
	test_guests();
	test_paravirt();
	test_cpu_profile();
	test_files();
	test_screen();
	test_signal(SIGTERM);
	test_signal(SIGINT);
	test_signal(SIGHUP);
	test_signal(SIGQUIT);
	test_terminal();
	test_stopped_terminal();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		return 1;
	return tap_done();
}

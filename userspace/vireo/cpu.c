// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU's thread: enter the guest, answer what it wants, again.
 *
 * Only vCPU 0 has something to do before it enters: the 8259's interrupt is
 * acknowledged at the moment when the guest can take it, as a processor does,
 * not when the line rises.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "machine.h"
#include "dev/ioapic.h"
#include "dev/pic.h"

/* Local APIC, as firmware leaves it: "virtual wire" mode (MP specification, 3.6.2.2). */
#define LAPIC_SVR		(0xf0 / 16)
#define LAPIC_LINT0		(0x350 / 16)
#define LAPIC_LINT1		(0x360 / 16)
#define SVR_ENABLED		0x1ff
#define LINT_EXTINT		0x700
#define LINT_NMI		0x400

/* KVM's answer to a hypercall that it does not know. */
#define HYPERCALL_UNKNOWN (-1000LL)

/*
 * Bring a vector of the 8259 to the guest, or ask to be told when it can take
 * one. The line may fall meanwhile; the 8259 then gives its spurious vector,
 * which is what the guest would see on a board.
 */
static void prepare_extint(struct cpu *cpu)
{
	struct machine *machine = cpu->machine;
	struct vireo_run *run = cpu->run;
	bool more;
	int vector;

	if (run->inject.valid)
		return;		/* refused before; still waits */
	if (!__atomic_load_n(&machine->extint, __ATOMIC_ACQUIRE)) {
		run->want_irq_window = 0;
		return;
	}
	if (!cpu->irq_ready) {
		run->want_irq_window = 1;
		return;
	}
	board_lock(&machine->board);
	vector = pic_acknowledge(machine->pic);
	more = pic_output(machine->pic);
	board_unlock(&machine->board);
	run->inject = (struct vireo_event){
		.valid = 1,
		.type = VIREO_EVENT_IRQ,
		.vector = (uint8_t)vector,
	};
	run->want_irq_window = more;
	cpu->irq_ready = false;
}

static void handle_io(struct cpu *cpu)
{
	struct board *board = &cpu->machine->board;
	struct vireo_run *run = cpu->run;
	unsigned int unit = run->io.unit, i;
	uint8_t *data = run->io.data;
	uint64_t value;

	board_lock(board);
	for (i = 0; i < run->io.count && (i + 1) * unit <= sizeof(run->io.data); i++) {
		if (run->io.write) {
			value = 0;
			memcpy(&value, data, unit);
			bus_write(&board->pio, run->io.port, unit, value);
		} else {
			value = bus_read(&board->pio, run->io.port, unit);
			memcpy(data, &value, unit);
		}
		data += unit;
	}
	board_unlock(board);
	cpu->incomplete = true;
}

static void handle_mmio(struct cpu *cpu)
{
	struct board *board = &cpu->machine->board;
	struct vireo_run *run = cpu->run;
	uint64_t value = 0;

	board_lock(board);
	if (run->mmio.write) {
		memcpy(&value, run->mmio.data, sizeof(value));
		bus_write(&board->mmio, run->mmio.gpa, run->mmio.len, value);
	} else {
		value = bus_read(&board->mmio, run->mmio.gpa, run->mmio.len);
		memcpy(run->mmio.data, &value, sizeof(value));
	}
	board_unlock(board);
	cpu->incomplete = true;
}

static void handle_eoi(struct cpu *cpu)
{
	struct machine *machine = cpu->machine;
	unsigned int word;

	board_lock(&machine->board);
	for (word = 0; word < ARRAY_SIZE(cpu->run->eoi.vectors); word++) {
		uint64_t vectors = cpu->run->eoi.vectors[word];

		while (vectors) {
			ioapic_eoi(machine->ioapic,
				   (uint8_t)(word * 64 + (unsigned int)__builtin_ctzll(vectors)));
			vectors &= vectors - 1;
		}
	}
	board_unlock(&machine->board);
}

/*
 * While somebody copies memory that the guest writes to faster than that: so many pages may become dirty in each period. The quota
 * is the module's affair; who has used it up waits here for the next period, and who writes little never comes here.
 */
static void set_quota(struct cpu *cpu, uint32_t quota)
{
	struct vireo_run *run = cpu->run;

	if (!quota) {
		run->wants &= ~VIREO_WANT_QUOTA;
	} else if (!(run->wants & VIREO_WANT_QUOTA)) {
		run->wants |= VIREO_WANT_QUOTA;
		run->dirty_quota = quota;
	}
}

/* A period is short: it is what a pause may have to wait. */
static void wait_quota(struct cpu *cpu)
{
	uint32_t quota = __atomic_load_n(&cpu->machine->quota, __ATOMIC_RELAXED);
	struct timespec ts;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	if (quota && now < cpu->quota_at) {
		ts = (struct timespec){ 0, (long)(cpu->quota_at - now) };
		nanosleep(&ts, NULL);
		now = cpu->quota_at;
	}
	cpu->quota_at = now + MACHINE_QUOTA_NS;
	cpu->run->dirty_quota = quota;
}

/* Returns false if the guest cannot go on. */
static bool handle_exit(struct cpu *cpu)
{
	struct vireo_run *run = cpu->run;

	switch (run->exit_reason) {
	case VIREO_EXIT_IO:
		handle_io(cpu);
		return true;
	case VIREO_EXIT_MMIO:
		handle_mmio(cpu);
		return true;
	case VIREO_EXIT_EOI:
		handle_eoi(cpu);
		return true;
	case VIREO_EXIT_DIRTY:
		wait_quota(cpu);
		return true;
	case VIREO_EXIT_NONE:
	case VIREO_EXIT_SIGNAL:
	case VIREO_EXIT_KICK:
	case VIREO_EXIT_READY_FOR_IRQ:
		return true;
	case VIREO_EXIT_RDMSR:
	case VIREO_EXIT_WRMSR:
		run->msr.error = 1;
		cpu->incomplete = true;
		return true;
	case VIREO_EXIT_HYPERCALL:
		run->hypercall.ret = (uint64_t)HYPERCALL_UNKNOWN;
		cpu->incomplete = true;
		return true;
	default:
		/* What is wrong, the main thread says. */
		return false;
	}
}

/*
 * Let the kernel finish the instruction of the last exit: the state is then
 * complete, and what is set instead of it stays. An instruction may exit more than once.
 */
static void complete(struct cpu *cpu)
{
	int r;

	while (cpu->incomplete) {
		/* Without a quota the module would not come so far. */
		if (cpu->run->wants & VIREO_WANT_QUOTA && !cpu->run->dirty_quota)
			cpu->run->dirty_quota = 1;
		cpu->run->immediate_exit = 1;
		r = vireo_vcpu_run(cpu->vcpu);
		cpu->run->immediate_exit = 0;
		cpu->incomplete = false;
		if (!r && !handle_exit(cpu))
			machine_request(cpu->machine, MACHINE_FAULT, EXIT_FAULT, cpu);
	}
}

/**
 * cpu_park() - wait while the machine is stopped
 * @cpu: the vCPU, by its thread
 *
 * Return: true to go on, false to end the thread.
 */
bool cpu_park(struct cpu *cpu)
{
	struct machine *machine = cpu->machine;
	bool go_on;

	complete(cpu);
	pthread_mutex_lock(&machine->control_lock);
	cpu->parked = true;
	pthread_cond_broadcast(&machine->control);
	while (machine->state == MACHINE_STOPPED)
		pthread_cond_wait(&machine->control, &machine->control_lock);
	cpu->parked = false;
	go_on = machine->state == MACHINE_RUNNING;
	pthread_mutex_unlock(&machine->control_lock);
	return go_on;
}

/**
 * cpu_thread_name() - what ps, top and perf call a vCPU's thread
 * @out: "NAME/N"; of a long name as much as there is room for, so that the number is always whole
 * @machine: name of the machine
 * @number: of the vCPU
 */
void cpu_thread_name(char out[CPU_THREAD_NAME], const char *machine, unsigned int number)
{
	char end[12];
	int len = snprintf(end, sizeof(end), "/%u", number);

	snprintf(out, CPU_THREAD_NAME, "%.*s%s", CPU_THREAD_NAME - 1 - len, machine, end);
}

static void *cpu_thread(void *arg)
{
	struct cpu *cpu = arg;
	struct machine *machine = cpu->machine;
	char name[CPU_THREAD_NAME];
	int r;

	cpu_thread_name(name, machine->name, (unsigned int)(cpu - machine->cpu));
	pthread_setname_np(pthread_self(), name);

	for (;;) {
		if (machine_state(machine) != MACHINE_RUNNING && !cpu_park(cpu))
			return NULL;
		set_quota(cpu, __atomic_load_n(&machine->quota, __ATOMIC_RELAXED));
		if (cpu == &machine->cpu[0])
			prepare_extint(cpu);
		r = vireo_vcpu_run(cpu->vcpu);
		cpu->incomplete = false;
		if (!r) {
			cpu->irq_ready = cpu->run->flags & VIREO_RUN_IRQ_READY;
			if (handle_exit(cpu))
				continue;
		} else if (r == -EINTR) {
			cpu->irq_ready = false;
			continue;
		} else if (r == -EAGAIN && cpu->run->inject.valid) {
			/* Not now after all. The vector waits in the page. */
			cpu->irq_ready = false;
			cpu->run->inject.valid = 0;
			cpu->run->want_irq_window = 1;
			r = vireo_vcpu_run(cpu->vcpu);
			cpu->run->inject.valid = 1;
			if (!r && handle_exit(cpu))
				continue;
			if (r == -EINTR)
				continue;
		}
		cpu->error = r;
		machine_request(machine, MACHINE_FAULT, EXIT_FAULT, cpu);
	}
}

/**
 * cpu_start() - start a vCPU's thread; it parks until the machine runs
 * @cpu: the vCPU
 *
 * Return: 0, or a negative errno.
 */
int cpu_start(struct cpu *cpu)
{
	int r = pthread_create(&cpu->thread, NULL, cpu_thread, cpu);

	if (r)
		return -r;
	cpu->started = true;
	return 0;
}

/*
 * There is no firmware, so this is its work: registers of the boot protocol,
 * and the 8259's way through the local APIC, for guests that never touch it.
 */
static int set_start(struct cpu *cpu, const struct boot_start *start)
{
	struct vireo_blocks *blocks = &cpu->initial;
	struct vireo_sregs *sregs;
	struct vireo_lapic *lapic;
	struct vireo_regs *regs;

	regs = vireo_block_payload(vireo_blocks_find(blocks, VIREO_BLOCK_REGS), sizeof(*regs));
	sregs = vireo_block_payload(vireo_blocks_find(blocks, VIREO_BLOCK_SREGS), sizeof(*sregs));
	lapic = vireo_block_payload(vireo_blocks_find(blocks, VIREO_BLOCK_LAPIC), sizeof(*lapic));
	if (!regs || !sregs || !lapic)
		return -EPROTO;
	memset(regs, 0, sizeof(*regs));
	regs->gpr[0] = start->rax;
	regs->gpr[3] = start->rbx;
	regs->gpr[6] = start->rsi;
	regs->rip = start->rip;
	regs->rflags = 2;
	boot_sregs(start, sregs);
	lapic->regs[LAPIC_SVR] = SVR_ENABLED;
	lapic->regs[LAPIC_LINT0] = LINT_EXTINT;
	lapic->regs[LAPIC_LINT1] = LINT_NMI;
	return 0;
}

/**
 * cpu_read_initial() - take its state for that after power-on
 * @cpu: the vCPU, which has its CPUID table and has not run
 *
 * Return: 0, or a negative errno.
 */
int cpu_read_initial(struct cpu *cpu)
{
	uint64_t types = CPU_BLOCKS & vireo_get_info(cpu->machine->vireo)->blocks;

	vireo_blocks_free(&cpu->initial);
	return vireo_vcpu_get_state(cpu->vcpu, types, &cpu->initial);
}

/**
 * cpu_reset() - the state after power-on, and for the first one, of booting
 * @cpu: the vCPU; its thread is parked
 * @start: where to begin, or NULL if others wake it
 *
 * Return: 0, or a negative errno.
 */
int cpu_reset(struct cpu *cpu, const struct boot_start *start)
{
	int r;

	cpu->irq_ready = false;
	cpu->incomplete = false;
	cpu->error = 0;
	cpu->run->inject.valid = 0;
	cpu->run->want_irq_window = 0;
	if (start) {
		r = set_start(cpu, start);
		if (r)
			return r;
	}
	return vireo_vcpu_set_state(cpu->vcpu, &cpu->initial);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine at rest: no vCPU runs, no device does anything, no time passes.
 *
 * Any thread may ask for it; the main thread does it, since only that one can wait for vCPUs and for devices.
 * What the guest could tell time by stands still: the timers of devices, the paravirtual clock, which is
 * read before and set again afterwards, and the time-stamp counters, which are moved back by what the host's has counted.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#include "machine.h"
#include "control.h"
#include "dev/uart.h"

/**
 * machine_wake() - have the main thread look what is asked for
 * @machine: the machine
 */
void machine_wake(struct machine *machine)
{
	uint64_t one = 1;

	/* It can only fail by being readable already. */
	if (write(machine->wake, &one, sizeof(one)) < 0)
		one = 0;
}

/**
 * machine_pause() - ask for rest; it is not there yet on return
 * @machine: the machine
 * @reason: why, a word for status and events; the first one counts
 */
void machine_pause(struct machine *machine, const char *reason)
{
	pthread_mutex_lock(&machine->control_lock);
	if (!machine->want_paused) {
		machine->want_paused = true;
		snprintf(machine->pause_reason, sizeof(machine->pause_reason), "%s", reason);
		if (machine->state == MACHINE_RUNNING)
			__atomic_store_n(&machine->state, MACHINE_STOPPED, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&machine->control_lock);
	machine_wake(machine);
}

/**
 * machine_resume() - let it go on
 * @machine: the machine
 *
 * Return: 0, or -EBUSY: it is held.
 */
int machine_resume(struct machine *machine)
{
	bool held;

	pthread_mutex_lock(&machine->control_lock);
	held = machine->held;
	if (!held)
		machine->want_paused = false;
	pthread_mutex_unlock(&machine->control_lock);
	machine_wake(machine);
	return held ? -EBUSY : 0;
}

/**
 * machine_hold() - bring it to rest, and let nobody but the caller end that
 * @machine: the machine; it rests when machine_is_paused() says so
 * @was_paused: whether somebody wanted it to rest before
 *
 * Return: 0; -EBUSY: something else is asked for and not done yet, or somebody holds it.
 */
int machine_hold(struct machine *machine, bool *was_paused)
{
	int r = -EBUSY;

	pthread_mutex_lock(&machine->control_lock);
	if (machine->request == MACHINE_NOTHING && !machine->held && !machine_is_saving(machine)) {
		machine->held = true;
		*was_paused = machine->want_paused;
		r = 0;
	}
	pthread_mutex_unlock(&machine->control_lock);
	if (!r)
		machine_pause(machine, "migration");
	return r;
}

/**
 * machine_let_go() - hold it no more
 * @machine: the machine
 * @go_on: whether it goes on, or stays paused until somebody resumes it
 */
void machine_let_go(struct machine *machine, bool go_on)
{
	pthread_mutex_lock(&machine->control_lock);
	machine->held = false;
	pthread_mutex_unlock(&machine->control_lock);
	if (go_on)
		machine_resume(machine);
}

/**
 * machine_is_held() - may it not go on?
 * @machine: the machine
 *
 * Return: whether machine_hold() was called and machine_let_go() was not.
 */
bool machine_is_held(struct machine *machine)
{
	bool held;

	pthread_mutex_lock(&machine->control_lock);
	held = machine->held;
	pthread_mutex_unlock(&machine->control_lock);
	return held;
}

/**
 * machine_is_paused() - whether it rests
 * @machine: the machine
 * @settled: set to whether that is what was last asked for
 * @reason: MACHINE_REASON_BYTES for why; may be NULL
 *
 * Return: true from the moment when nothing moves any more.
 */
bool machine_is_paused(struct machine *machine, bool *settled, char *reason)
{
	bool paused;

	pthread_mutex_lock(&machine->control_lock);
	paused = machine->paused;
	*settled = paused == machine->want_paused;
	if (reason)
		memcpy(reason, machine->pause_reason, MACHINE_REASON_BYTES);
	pthread_mutex_unlock(&machine->control_lock);
	return paused;
}

static void rest(struct machine *machine)
{
	int r;

	board_stop(&machine->board);
	board_lock(&machine->board);
	/* What devices have signalled before they stopped is in their lines then. */
	pci_line_ready(machine->board.pci);
	timers_stop(&machine->board.timers);
	machine->quiet = true;
	board_unlock(&machine->board);
	machine->rest_tsc = __rdtsc();
	vireo_blocks_free(&machine->clock);
	r = vireo_vm_get_state(machine->vm, 1ULL << VIREO_BLOCK_CLOCK, &machine->clock);
	if (r)
		report_note("the guest's clock cannot be stopped: %s", strerror(-r));
}

/* All by the same, so that those that were alike are alike. */
static int move_tscs(struct machine *machine, uint64_t ticks)
{
	const uint64_t type = 1ULL << VIREO_BLOCK_TSC_OFFSET;
	struct vireo_tsc_offset *tsc;
	unsigned int i;
	int r = 0;

	for (i = 0; i < machine->nr_cpus && !r; i++) {
		struct vireo_blocks blocks = VIREO_BLOCKS_INIT;

		r = vireo_vcpu_get_state(machine->cpu[i].vcpu, type, &blocks);
		tsc = vireo_block_payload(vireo_blocks_find(&blocks, VIREO_BLOCK_TSC_OFFSET), sizeof(*tsc));
		if (!r && tsc) {
			tsc->offset -= ticks;
			r = vireo_vcpu_set_state(machine->cpu[i].vcpu, &blocks);
		}
		vireo_blocks_free(&blocks);
	}
	return r;
}

static void go_on(struct machine *machine)
{
	int r;

	r = move_tscs(machine, __rdtsc() - machine->rest_tsc);
	if (r)
		report_note("the guest's time-stamp counters cannot be set: %s", strerror(-r));
	r = machine->clock.len ? vireo_vm_set_state(machine->vm, &machine->clock) : 0;

	if (r)
		report_note("the guest's clock cannot be set: %s", strerror(-r));
	board_lock(&machine->board);
	timers_start(&machine->board.timers);
	machine->quiet = false;
	board_unlock(&machine->board);
	board_start(&machine->board);
	/* What has come, or was let through, meanwhile. */
	board_lock(&machine->board);
	uart_readable(machine->uart);
	uart_writable(machine->uart);
	board_unlock(&machine->board);
}

/**
 * machine_begin_paused() - bring a machine to rest that has not run yet
 * @machine: the machine; none of its vCPUs has a thread
 *
 * It goes on at the next machine_serve_pause(), unless somebody wants it to rest.
 */
void machine_begin_paused(struct machine *machine)
{
	rest(machine);
	pthread_mutex_lock(&machine->control_lock);
	machine->paused = true;
	pthread_mutex_unlock(&machine->control_lock);
}

/**
 * machine_serve_pause() - do what was asked for
 * @machine: the machine; all vCPUs are parked
 */
void machine_serve_pause(struct machine *machine)
{
	char reason[MACHINE_REASON_BYTES], text[MACHINE_REASON_BYTES + 40];
	bool want;

	pthread_mutex_lock(&machine->control_lock);
	want = machine->want_paused;
	memcpy(reason, machine->pause_reason, sizeof(reason));
	pthread_mutex_unlock(&machine->control_lock);
	if (want == machine->paused)
		return;
	if (want)
		rest(machine);
	else
		go_on(machine);
	pthread_mutex_lock(&machine->control_lock);
	machine->paused = want;
	pthread_mutex_unlock(&machine->control_lock);
	machine_told(machine, want ? VIREO_REPORT_PAUSED : VIREO_REPORT_RESUMED, NULL, 0, 0, want ? reason : NULL);
	if (want)
		snprintf(text, sizeof(text), "the machine is paused: %s", reason);
	control_event(machine->server, want ? "paused" : "resumed", want ? text : "the machine goes on");
	control_wake(machine->server);
}

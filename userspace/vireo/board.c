// SPDX-License-Identifier: GPL-2.0-only
/* Plugging in, resetting, and the wiring of interrupt lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "state.h"

/**
 * board_init() - an empty board
 * @board: to be initialised
 * @memory: what its devices may reach by DMA
 * @host_ops: what surrounds it
 * @host: handed to @host_ops
 *
 * Return: 0, or a negative errno.
 */
int board_init(struct board *board, struct guest_memory *memory,
	       const struct board_host *host_ops, void *host)
{
	memset(board, 0, sizeof(*board));
	pthread_mutex_init(&board->lock, NULL);
	board->memory = memory;
	board->nr_cpus = 1;
	board->host_ops = host_ops;
	board->host = host;
	return timers_init(&board->timers);
}

/**
 * board_destroy() - free all devices
 * @board: the board; nobody uses it any more
 */
void board_destroy(struct board *board)
{
	/* Threads of devices use others: all have to be quiet before the first goes. */
	board_stop(board);
	while (board->devices) {
		struct device *device = board->devices;

		board->devices = device->next;
		if (device->ops->destroy)
			device->ops->destroy(device);
	}
	timers_destroy(&board->timers);
	pthread_mutex_destroy(&board->lock);
}

/**
 * board_plug() - add a device; from now on the board owns it
 * @board: the board
 * @device: the device
 * @name: its name for messages
 * @ops: what the board does with it
 */
void board_plug(struct board *board, struct device *device, const char *name,
		const struct device_ops *ops)
{
	struct device **link;

	device->name = name;
	device->ops = ops;
	device->board = board;
	device->next = NULL;
	/* In the order of their creation: controllers are reset before their users. */
	for (link = &board->devices; *link; link = &(*link)->next)
		;
	*link = device;
}

/**
 * board_reset() - the reset line of all devices
 * @board: the board, locked
 */
void board_reset(struct board *board)
{
	struct device *device;

	for (device = board->devices; device; device = device->next)
		if (device->ops->reset)
			device->ops->reset(device);
}

/**
 * board_stop() - devices come to rest: a pause or the machine's end
 * @board: the board, not locked; no vCPU runs
 */
void board_stop(struct board *board)
{
	struct device *device;

	for (device = board->devices; device; device = device->next)
		if (device->ops->stop)
			device->ops->stop(device);
}

/**
 * board_start() - devices go on
 * @board: the board, stopped before; not locked
 */
void board_start(struct board *board)
{
	struct device *device;

	for (device = board->devices; device; device = device->next)
		if (device->ops->start)
			device->ops->start(device);
}

/* Devices of one name are told apart by the order in which they were plugged in. */
static unsigned int instance_of(const struct board *board, const struct device *device)
{
	const struct device *other;
	unsigned int instance = 0;

	for (other = board->devices; other != device; other = other->next)
		if (other->ops->state && !strcmp(other->name, device->name))
			instance++;
	return instance;
}

/**
 * board_busy() - whether the state of a device cannot be saved now
 * @board: the board, stopped and locked
 *
 * Return: why, a sentence; NULL: it can.
 */
const char *board_busy(struct board *board)
{
	const struct device_state *state;
	struct device *device;
	const char *why = NULL;

	for (device = board->devices; device && !why; device = device->next) {
		state = device->ops->state;
		if (state && state->busy)
			why = state->busy(device);
	}
	return why;
}

/**
 * board_save() - append the state of all devices
 * @board: the board, stopped and locked
 * @out: the blocks; its error says when that went wrong
 */
void board_save(struct board *board, struct state_buffer *out)
{
	struct device *device;

	for (device = board->devices; device; device = device->next)
		if (device->ops->state)
			state_save(out, device->name, instance_of(board, device), device->ops->state, device);
}

static int load_all(struct board *board, const void *data, size_t len)
{
	struct device *device;
	int r = 0;

	for (device = board->devices; device && !r; device = device->next)
		if (device->ops->state)
			r = state_load(data, len, device->name, instance_of(board, device), device->ops->state,
				       device);
	return r;
}

/**
 * board_load() - give all devices a state that board_save() has written
 * @board: the board, with the same devices, stopped and locked
 * @data: the blocks
 * @len: their length
 *
 * Return: 0; or with nothing changed, what state_load() says, or -ENODEV if there is a block of a device that
 * the board does not have.
 */
int board_load(struct board *board, const void *data, size_t len)
{
	struct state_buffer before = { 0 };
	struct device *device;
	int count = state_count(data, len), r;

	if (count < 0)
		return count;
	for (device = board->devices; device; device = device->next)
		count -= device->ops->state != NULL;
	if (count > 0)
		return -ENODEV;
	board_save(board, &before);
	r = before.error;
	if (!r) {
		r = load_all(board, data, len);
		/* Those that were loaded already get back what they had. */
		if (r)
			load_all(board, before.data, before.len);
	}
	state_buffer_free(&before);
	return r;
}

/**
 * board_request() - a guest's wish about the whole machine
 * @board: the board, locked
 * @request: reset, power-off or exit
 * @status: with BOARD_EXIT, the launcher's exit status
 */
void board_request(struct board *board, enum board_request request, int status)
{
	board->host_ops->request(board->host, request, status);
}

/**
 * vireo_irq_set() - raise or lower an interrupt line
 * @board: the board, locked
 * @gsi: global system interrupt; below 16 also the ISA interrupt
 * @level: true to raise
 *
 * As on a PC each ISA line reaches both controllers, and the timer's line 0
 * is wired to pin 2 of the IOAPIC (the MADT says so), where the 8259s
 * themselves have their cascade.
 */
void vireo_irq_set(struct board *board, unsigned int gsi, bool level)
{
	if (gsi < BOARD_ISA_IRQS && board->pic.set)
		board->pic.set(board->pic.opaque, gsi, level);
	if (gsi == 0)
		gsi = 2;
	else if (gsi == 2)
		return;
	if (gsi < BOARD_GSIS && board->ioapic.set)
		board->ioapic.set(board->ioapic.opaque, gsi, level);
}

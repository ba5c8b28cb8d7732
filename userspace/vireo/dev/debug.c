// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debug exit and debug console, as QEMU's isa-debug-exit and isa-debugcon.
 *
 * Writing v to the exit port ends the launcher with status (v << 1) | 1, of
 * which a process keeps the low eight bits: always odd, so never the 0 of a
 * power-off. Programs made for QEMU write 0 for success and get status 1.
 */
#include <errno.h>
#include <stdlib.h>

#include "debug.h"
#include "../util.h"

struct debug_con {
	struct device device;
	size_t (*send)(void *opaque, const uint8_t *bytes, size_t n);
	void *opaque;
};

static uint64_t exit_read(void *opaque, uint64_t offset, unsigned int size)
{
	(void)opaque;
	(void)offset;
	(void)size;
	return 0;
}

static void exit_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct device *device = opaque;

	(void)offset;
	(void)size;
	board_request(device->board, BOARD_EXIT, (int)((value << 1 | 1) & 0xff));
}

static uint64_t con_read(void *opaque, uint64_t offset, unsigned int size)
{
	(void)opaque;
	(void)offset;
	(void)size;
	return DEBUG_CON_ID;
}

static void con_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct debug_con *con = opaque;
	uint8_t byte = (uint8_t)value;

	(void)offset;
	(void)size;
	/* The port has no way to say "full": what does not fit is lost. */
	con->send(con->opaque, &byte, 1);
}

static void exit_destroy(struct device *device)
{
	free(device);
}

static void con_destroy(struct device *device)
{
	free(container_of(device, struct debug_con, device));
}

static const struct device_ops exit_device_ops = { .destroy = exit_destroy };
static const struct device_ops con_device_ops = { .destroy = con_destroy };
static const struct bus_ops exit_ops = { exit_read, exit_write, 4 };
static const struct bus_ops con_ops = { con_read, con_write, 1 };

/**
 * debug_exit_create() - plug in the port that ends the launcher
 * @board: the board
 * @port: first of DEBUG_EXIT_PORTS ports
 *
 * Return: 0, or a negative errno.
 */
int debug_exit_create(struct board *board, uint16_t port)
{
	struct device *device = calloc(1, sizeof(*device));

	if (!device)
		return -ENOMEM;
	board_plug(board, device, "debug-exit", &exit_device_ops);
	return bus_claim(&board->pio, port, DEBUG_EXIT_PORTS, &exit_ops, device);
}

/**
 * debug_con_create() - plug in a port that prints
 * @board: the board
 * @port: the port
 * @send: takes the bytes
 * @opaque: handed to @send
 *
 * Return: 0, or a negative errno.
 */
int debug_con_create(struct board *board, uint16_t port,
		     size_t (*send)(void *opaque, const uint8_t *bytes, size_t n), void *opaque)
{
	struct debug_con *con = calloc(1, sizeof(*con));

	if (!con)
		return -ENOMEM;
	con->send = send;
	con->opaque = opaque;
	board_plug(board, &con->device, "debug-console", &con_device_ops);
	return bus_claim(&board->pio, port, 1, &con_ops, con);
}

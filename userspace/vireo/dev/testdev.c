// SPDX-License-Identifier: GPL-2.0-only
/*
 * pc-testdev: the ports that kvm-unit-tests and similar suites expect.
 *
 * As in QEMU, port by port (testdev.h), with one addition: lines 16 to 23,
 * which QEMU does not wire, reach the IOAPIC. Port 0xe9 is taken, so a debug
 * console has to be at another port.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "testdev.h"
#include "../memory.h"
#include "../state.h"
#include "../util.h"

struct testdev {
	struct device device;
	uint8_t data[4];
	uint8_t mmio[TESTDEV_MMIO_BYTES];
};

static uint64_t load(const uint8_t *from, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, from, size);
	return value;
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct testdev *test = opaque;

	return load(test->data + offset, size);
}

static void data_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct testdev *test = opaque;

	memcpy(test->data + offset, &value, size);
}

static void flush_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct testdev *test = opaque;
	void *page = memory_ptr(test->device.board->memory, ALIGN_DOWN(value, 4096), 4096);

	if (offset || size != 4 || !page)
		return;
	/* The module must notice, and map the page anew, with its content. */
	mprotect(page, 4096, PROT_NONE);
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void irq_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct testdev *test = opaque;

	(void)size;
	vireo_irq_set(test->device.board, (unsigned int)offset, value);
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct testdev *test = opaque;

	return load(test->mmio + offset, size);
}

static void mmio_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct testdev *test = opaque;

	memcpy(test->mmio + offset, &value, size);
}

static uint64_t zero_read(void *opaque, uint64_t offset, unsigned int size)
{
	(void)opaque;
	(void)offset;
	(void)size;
	return 0;
}

static void destroy(struct device *device)
{
	free(container_of(device, struct testdev, device));
}

static const struct state_field state_fields[] = {
	STATE_BYTES(struct testdev, data),
	STATE_BYTES(struct testdev, mmio),
	STATE_END,
};

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct testdev),
	.fields = state_fields,
};

static const struct device_ops testdev_device_ops = { .destroy = destroy, .state = &state };
static const struct bus_ops data_ops = { data_read, data_write, 4 };
static const struct bus_ops byte_ops = { data_read, data_write, 1 };
static const struct bus_ops flush_ops = { zero_read, flush_write, 4 };
static const struct bus_ops irq_ops = { zero_read, irq_write, 1 };
static const struct bus_ops mmio_ops = { mmio_read, mmio_write, 8 };

/**
 * testdev_create() - plug in the test device
 * @board: the board
 *
 * Return: 0, or a negative errno.
 */
int testdev_create(struct board *board)
{
	struct testdev *test = calloc(1, sizeof(*test));
	int r;

	if (!test)
		return -ENOMEM;
	board_plug(board, &test->device, "testdev", &testdev_device_ops);
	r = bus_claim(&board->pio, TESTDEV_DATA_PORT, 4, &data_ops, test);
	if (!r)
		r = bus_claim(&board->pio, TESTDEV_FLUSH_PORT, 4, &flush_ops, test);
	if (!r)
		r = bus_claim(&board->pio, TESTDEV_BYTE_PORT, 4, &byte_ops, test);
	if (!r)
		r = bus_claim(&board->pio, TESTDEV_IRQ_PORT, TESTDEV_IRQS, &irq_ops, test);
	if (!r)
		r = bus_claim(&board->mmio, TESTDEV_MMIO, TESTDEV_MMIO_BYTES, &mmio_ops, test);
	return r;
}

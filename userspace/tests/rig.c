// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "../vireo/util.h"

static int send_msi(void *host, uint64_t address, uint32_t data)
{
	struct rig *rig = host;

	if (rig->nr_msis < RIG_MSIS)
		rig->msi[rig->nr_msis] = (struct rig_msi){ address, data };
	rig->nr_msis++;
	return rig->msi_taken;
}

static void extint(void *host, bool level)
{
	struct rig *rig = host;

	rig->extint = level;
	rig->extint_edges += level;
}

static void request(void *host, enum board_request what, int status)
{
	struct rig *rig = host;

	rig->request = what;
	rig->status = status;
	rig->requests++;
}

static void event(void *host, const char *name, const char *text)
{
	struct rig *rig = host;

	(void)text;
	snprintf(rig->event, sizeof(rig->event), "%s", name);
}

static void pause_machine(void *host, const char *reason)
{
	struct rig *rig = host;

	(void)reason;
	__atomic_fetch_add(&rig->pauses, 1, __ATOMIC_RELAXED);
}

static int ioeventfd(void *host, int fd, uint64_t addr, unsigned int len, bool on)
{
	struct rig *rig = host;
	unsigned int i;

	(void)len;
	for (i = 0; i < rig->nr_doorbells; i++)
		if (rig->doorbell[i].addr == addr)
			break;
	if (on) {
		if (i < rig->nr_doorbells)
			return -EEXIST;
		if (i == RIG_DOORBELLS)
			return -ENOSPC;
		rig->doorbell[i].fd = fd;
		rig->doorbell[i].addr = addr;
		rig->nr_doorbells++;
		return 0;
	}
	if (i == rig->nr_doorbells || rig->doorbell[i].fd != fd) {
		rig->doorbell_errors++;
		return -ENOENT;
	}
	rig->doorbell[i] = rig->doorbell[--rig->nr_doorbells];
	return 0;
}

static const struct board_host host_ops = {
	.send_msi = send_msi,
	.extint = extint,
	.request = request,
	.event = event,
	.pause = pause_machine,
	.ioeventfd = ioeventfd,
};

static uint64_t now(void *arg)
{
	return ((struct rig *)arg)->now;
}

void rig_init(struct rig *rig, uint64_t memory)
{
	memset(rig, 0, sizeof(*rig));
	rig->msi_taken = 1;
	rig->now = 1000000000;
	if (memory && memory_alloc(&rig->memory, memory))
		abort();
	if (board_init(&rig->board, memory ? &rig->memory : NULL, &host_ops, rig))
		abort();
	timers_destroy(&rig->board.timers);
	timers_init_manual(&rig->board.timers, now, rig);
}

void rig_destroy(struct rig *rig)
{
	board_destroy(&rig->board);
	memory_free(&rig->memory);
}

static struct rig *carrier(const struct virtio_device *dev)
{
	return container_of(dev->board, struct rig, board);
}

static void carry_notify(struct virtio_device *dev, unsigned int queue)
{
	__atomic_fetch_add(&carrier(dev)->notified[queue], 1, __ATOMIC_RELEASE);
}

static void carry_config_changed(struct virtio_device *dev)
{
	__atomic_fetch_add(&carrier(dev)->changes, 1, __ATOMIC_RELEASE);
}

static void carry_fail(struct virtio_device *dev, const char *why)
{
	carrier(dev)->why = why;
	__atomic_fetch_add(&carrier(dev)->failures, 1, __ATOMIC_RELEASE);
}

static const struct virtio_transport_ops carry_ops = { carry_notify, carry_config_changed, carry_fail };

void rig_carry(struct rig *rig, struct virtio_device *dev)
{
	dev->board = &rig->board;
	dev->transport_ops = &carry_ops;
}

static void set_line(void *opaque, unsigned int line, bool level)
{
	struct rig *rig = opaque;

	rig->rises[line] += level && !rig->line[line];
	rig->line[line] = level;
}

/* Watch the lines instead of having an 8259. */
void rig_lines(struct rig *rig)
{
	rig->board.pic = (struct irq_sink){ set_line, rig };
}

/* Let time pass; every timer fires at its own time. */
void rig_advance(struct rig *rig, uint64_t ns)
{
	struct timers *timers = &rig->board.timers;
	uint64_t end = rig->now + ns;

	while (timers->head && timers->head->deadline <= end) {
		if (timers->head->deadline > rig->now)
			rig->now = timers->head->deadline;
		timers_run(timers);
	}
	rig->now = end;
}

void rig_out(struct rig *rig, uint16_t port, uint8_t value)
{
	bus_write(&rig->board.pio, port, 1, value);
}

uint8_t rig_in(struct rig *rig, uint16_t port)
{
	return (uint8_t)bus_read(&rig->board.pio, port, 1);
}

static void rig_pci_address(struct rig *rig, unsigned int slot, unsigned int offset)
{
	bus_write(&rig->board.pio, 0xcf8, 4, 0x80000000 | slot << 11 | (offset & 0xfc));
}

uint32_t rig_pci_read(struct rig *rig, unsigned int slot, unsigned int offset, unsigned int size)
{
	rig_pci_address(rig, slot, offset);
	return (uint32_t)bus_read(&rig->board.pio, 0xcfc + (offset & 3), size);
}

void rig_pci_write(struct rig *rig, unsigned int slot, unsigned int offset, unsigned int size,
		   uint32_t value)
{
	rig_pci_address(rig, slot, offset);
	bus_write(&rig->board.pio, 0xcfc + (offset & 3), size, value);
}

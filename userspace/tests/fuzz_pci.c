// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any sequence of accesses to PCI and to virtio's transport, with a device behind it that takes what it finds.
 *
 * Eight bytes an operation. Nothing may crash; a device runs only between start() and stop(), with features
 * that it has offered; what it is given lies in guest memory; a state that is loaded leads back to itself.
 */
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "../vireo/state.h"
#include "../vireo/util.h"
#include "../vireo/dev/chipset.h"
#include "../vireo/dev/ioapic.h"
#include "../vireo/pci/pci.h"
#include "../vireo/virtio/virtio.h"

#define QUEUES		3
#define SLOTS		3
#define MEMORY		(2 * MIB)
#define SEGMENTS	8
#define OFFERED		(1 << 3 | 1ULL << 40)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct toy {
	struct virtio_device virtio;
	bool on;
};

static struct rig rig;
static struct toy *toy[SLOTS];

static int start(struct virtio_device *dev)
{
	struct toy *one = (void *)dev;

	if (one->on || dev->features & ~(OFFERED | 1ULL << 28 | 1ULL << 29 | 1ULL << 32 | 1ULL << 34) ||
	    !(dev->features >> 32 & 1))
		abort();
	one->on = true;
	return 0;
}

static void stop(struct virtio_device *dev)
{
	struct toy *one = (void *)dev;

	if (!one->on)
		abort();
	one->on = false;
}

static void reset(struct virtio_device *dev)
{
	if (((struct toy *)dev)->on || dev->features)
		abort();
}

static void config_write(struct virtio_device *dev, unsigned int offset, unsigned int len, const uint8_t *old)
{
	if (offset + len > dev->config_bytes || len > 4)
		abort();
	(void)old;
}

static void destroy(struct virtio_device *dev)
{
	if (((struct toy *)dev)->on)
		abort();
	free(dev);
}

static const struct virtio_class toy_class = {
	.name = "virtio-toy", .type = 42, .pci_class = 0x00ff00,
	.start = start, .stop = stop, .reset = reset, .destroy = destroy, .config_write = config_write,
};

static void plug(unsigned int i)
{
	toy[i] = calloc(1, sizeof(*toy[i]));
	toy[i]->virtio.class = &toy_class;
	toy[i]->virtio.offered = OFFERED;
	toy[i]->virtio.config_bytes = 13;
	if (virtio_alloc_queues(&toy[i]->virtio, QUEUES, 64) || virtio_plug(&rig.board, &toy[i]->virtio))
		abort();
}

static void check_segment(const struct iovec *iov)
{
	const uint8_t *base = rig.memory.piece[0].hva, *at = iov->iov_base;

	if (at < base || iov->iov_len > MEMORY || (uint64_t)(at - base) > MEMORY - iov->iov_len)
		abort();
}

static void serve(struct toy *one)
{
	struct virtio_device *dev = &one->virtio;
	struct iovec iov[SEGMENTS];
	unsigned int q, n, i;

	for (q = 0; one->on && q < QUEUES; q++) {
		struct virtq *vq = &dev->queue[q].vq;

		for (n = 0; vq->ready && n < 4; n++) {
			struct virtq_chain chain = { .iov = iov, .room = SEGMENTS };
			int r = virtq_pop(vq, &chain);

			if (r < 0)
				virtio_fail(dev, vq->broken);
			if (r <= 0)
				break;
			for (i = 0; i < chain.nr_read + chain.nr_write; i++)
				check_segment(&iov[i]);
			virtq_push(vq, &chain, (uint32_t)chain.write_bytes);
			if (virtq_should_notify(vq))
				virtio_notify(dev, q);
		}
	}
}

/* What a driver does that keeps the rules. */
static void drive(uint64_t bar, uint64_t features, uint32_t rings)
{
	struct bus *mmio = &rig.board.mmio;

	bus_write(mmio, bar + 20, 1, 0);
	bus_write(mmio, bar + 20, 1, 3);
	bus_write(mmio, bar + 8, 4, 0);
	bus_write(mmio, bar + 12, 4, (uint32_t)features & (1 << 3 | 1 << 28 | 1 << 29));
	bus_write(mmio, bar + 8, 4, 1);
	bus_write(mmio, bar + 12, 4, 1 | (features & 4));
	bus_write(mmio, bar + 20, 1, 11);
	bus_write(mmio, bar + 22, 2, rings % QUEUES);
	bus_write(mmio, bar + 24, 2, 8);
	bus_write(mmio, bar + 32, 8, rings & 0xffff0);
	bus_write(mmio, bar + 40, 8, (rings & 0xffff0) + 0x100);
	bus_write(mmio, bar + 48, 8, (rings & 0xffff0) + 0x200);
	bus_write(mmio, bar + 28, 2, 1);
	bus_write(mmio, bar + 20, 1, 15);
}

static void save(struct state_buffer *out)
{
	struct device *device;
	unsigned int n = 0;

	for (device = rig.board.devices; device; device = device->next)
		if (!strcmp(device->name, "virtio-toy-pci"))
			state_save(out, device->name, n++, device->ops->state, device);
	if (out->error)
		abort();
}

static void state(uint32_t at, uint8_t change)
{
	struct state_buffer before = { 0 }, after = { 0 };
	struct device *device;
	unsigned int n = 0;

	board_stop(&rig.board);
	/* As at a pause: what devices have signalled is in their lines. */
	pci_line_ready(rig.board.pci);
	save(&before);
	before.data[at % before.len] ^= change;
	for (device = rig.board.devices; device; device = device->next)
		if (!strcmp(device->name, "virtio-toy-pci") &&
		    state_load(before.data, before.len, device->name, n++, device->ops->state, device) &&
		    !change)
			abort();
	save(&after);
	if (!change && (before.len != after.len || memcmp(before.data, after.data, before.len)))
		abort();
	state_buffer_free(&before);
	state_buffer_free(&after);
	board_start(&rig.board);
}

static void operate(const uint8_t *op)
{
	unsigned int width = 1U << (op[1] & 3), slot = (op[1] >> 2) % (SLOTS + 2), offset = get_le16(op + 2);
	struct bus *pio = &rig.board.pio, *mmio = &rig.board.mmio;
	uint32_t value = get_le32(op + 4);
	uint64_t bar = 0;

	if (slot >= 1 && slot <= SLOTS)
		bar = rig_pci_read(&rig, slot, 0x10 + (op[0] & 0x80 ? 4 : 0), 4);
	switch (op[0] % 16) {
	case 0:
		rig_pci_write(&rig, slot, offset & 0xff, width > 4 ? 4 : width, value);
		break;
	case 1:
		rig_pci_read(&rig, slot, offset & 0xff, width > 4 ? 4 : width);
		break;
	case 2:
		bus_write(mmio, PCI_ECAM_BASE + (value & 0xf8000) + offset, width, value);
		break;
	case 3:
		bus_read(mmio, PCI_ECAM_BASE + (value & 0xf8000) + offset, width);
		break;
	case 4:
		bus_write(mmio, bar + (offset & 0x3fff), width, value);
		break;
	case 5:
		bus_write(mmio, bar + (offset & 0x3f), width, value & 0xf);
		break;
	case 6:
		bus_write(mmio, bar + (offset & 0x3f), width, (uint64_t)value << 32 | value);
		break;
	case 7:
		bus_read(mmio, bar + (offset & 0x3fff), width);
		break;
	case 8:
		bus_write(mmio, (uint64_t)value << 4 | (offset & 15), width, offset);
		bus_read(mmio, (uint64_t)value << 4 | (offset & 15), width);
		break;
	case 9:
		memcpy(rig.memory.piece[0].hva + ((uint32_t)offset << 4), op + 4, 4);
		break;
	case 10:
		bus_write(pio, 0xcf8 + (offset & 7), width > 4 ? 4 : width, value);
		bus_read(pio, 0xcf8 + (offset & 7), width > 4 ? 4 : width);
		break;
	case 11:
		serve(toy[value % SLOTS]);
		pci_line_ready(rig.board.pci);
		break;
	case 12:
		if (offset & 1)
			virtio_config_changed(&toy[value % SLOTS]->virtio);
		else
			virtio_notify(&toy[value % SLOTS]->virtio, offset % QUEUES);
		break;
	case 13:
		board_stop(&rig.board);
		if (offset == 7)
			board_reset(&rig.board);
		board_start(&rig.board);
		break;
	case 14:
		state(value, (uint8_t)offset);
		break;
	case 15:
		rig_pci_write(&rig, slot, 4, 2, 6);
		if (bar)
			drive(bar, value, offset << 4 | (value & 15));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pci_map map = { 0x100000000, 0x40000000 };
	unsigned int i;
	size_t at;

	rig_init(&rig, MEMORY);
	if (ioapic_create(&rig.board, 0, NULL) || pci_create(&rig.board, &map) || chipset_create(&rig.board))
		abort();
	for (i = 0; i < SLOTS; i++)
		plug(i);
	for (at = 0; at + 8 <= size; at += 8) {
		operate(data + at);
		for (i = 0; i < SLOTS; i++)
			if (toy[i]->on != toy[i]->virtio.running)
				abort();
	}
	rig_destroy(&rig);
	if (rig.doorbell_errors)
		abort();
	return 0;
}

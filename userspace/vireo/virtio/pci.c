// SPDX-License-Identifier: GPL-2.0-only
/*
 * The transport: virtio over PCI, modern only (virtio 1.2, 4.1).
 *
 * A device runs (start() to stop()) while the driver has said DRIVER_OK, the function may master the bus, and
 * the machine is not paused; update_running() is the one place that decides. Doorbells are eventfds in the
 * kernel while the device is in DRIVER_OK and its BAR is decoded; at other times a write comes here and kicks.
 *
 * What device threads touch without the board's lock is accessed atomically: status, generation, ISR, vectors.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio.h"
#include "../memory.h"
#include "../state.h"
#include "../util.h"
#include "../pci/msix.h"
#include "../pci/pci.h"

#define VENDOR		0x1af4
#define DEVICE_BASE	0x1040
#define REVISION	1		/* not transitional */

#define F_INDIRECT_DESC	28
#define F_EVENT_IDX	29
#define F_VERSION_1	32
#define F_RING_PACKED	34
#define TRANSPORT_FEATURES (1ULL << F_INDIRECT_DESC | 1ULL << F_EVENT_IDX | 1ULL << F_VERSION_1 | \
			    1ULL << F_RING_PACKED)

#define STATUS_DRIVER_OK	4
#define STATUS_FEATURES_OK	8
#define STATUS_NEEDS_RESET	64
#define STATUS_DRIVER		(1 | 2 | STATUS_DRIVER_OK | STATUS_FEATURES_OK | 128)

#define ISR_QUEUE	1
#define ISR_CONFIG	2
#define NO_VECTOR	0xffff

/* One BAR, a page for each part; MSI-X has its own. */
#define BAR_PARTS	0
#define BAR_MSIX	1
#define BAR_BYTES	0x4000
#define PART_BYTES	0x1000
#define PART_COMMON	0
#define PART_ISR	1
#define PART_DEVICE	2
#define PART_NOTIFY	3
#define NOTIFY_BYTES	4		/* each queue's own address */

/* struct virtio_pci_cap */
#define CAP_BYTES	16
#define CAP_NOTIFY_BYTES 20
#define CAP_TYPE	3
#define CAP_BAR		4
#define CAP_OFFSET	8
#define CAP_LENGTH	12
#define CAP_DATA	16
#define TYPE_COMMON	1
#define TYPE_NOTIFY	2
#define TYPE_ISR	3
#define TYPE_DEVICE	4
#define TYPE_PCI	5

/**
 * struct common - struct virtio_pci_common_cfg, and no more than it
 */
struct common {
	uint32_t device_feature_select;
	uint32_t device_feature;
	uint32_t driver_feature_select;
	uint32_t driver_feature;
	uint16_t config_vector;
	uint16_t num_queues;
	uint8_t status;
	uint8_t generation;
	uint16_t queue_select;
	uint16_t queue_size;
	uint16_t queue_vector;
	uint16_t queue_enable;
	uint16_t queue_notify_off;
	uint32_t queue_desc[2];
	uint32_t queue_driver[2];
	uint32_t queue_device[2];
	uint16_t queue_notify_data;
	uint16_t queue_reset;
};

_Static_assert(sizeof(struct common) == 60, "layout of the specification");
_Static_assert(offsetof(struct common, queue_desc) == 32, "layout of the specification");

/**
 * struct virtio_pci - a device in its slot; what is an array has a member for each queue
 * @pci: the function
 * @msix: its messages
 * @dev: the device
 * @driver_features: what the driver has written so far
 * @feature_select: which half it reads
 * @driver_select: which it writes
 * @queue_select: which queue the registers are of
 * @status: device status; device threads set NEEDS_RESET
 * @generation: of the configuration
 * @isr: the ISR status
 * @config_vector: message of a change of configuration
 * @size: of each queue
 * @vector: its message
 * @enabled: the driver has enabled it
 * @desc: addresses of the rings
 * @driver: likewise
 * @device: likewise
 * @avail: virtq_position of each queue, up to date while its state is read or written only
 * @used: likewise
 * @signalled: likewise
 * @signalled_valid: likewise
 * @name: the function's
 * @dev_ops: of @dev's own part on the board
 * @cap: the capability through which configuration space reaches BARs
 * @paused: the board has stopped
 * @doorbells: the kernel knows the queues' addresses
 * @doorbell_base: the first
 */
struct virtio_pci {
	struct pci_function pci;
	struct pci_msix msix;
	struct virtio_device *dev;
	uint64_t driver_features;
	uint32_t feature_select;
	uint32_t driver_select;
	uint16_t queue_select;
	uint8_t status;
	uint8_t generation;
	uint8_t isr;
	uint16_t config_vector;
	uint16_t size[VIRTIO_QUEUES_MAX];
	uint16_t vector[VIRTIO_QUEUES_MAX];
	uint8_t enabled[VIRTIO_QUEUES_MAX];
	uint64_t desc[VIRTIO_QUEUES_MAX];
	uint64_t driver[VIRTIO_QUEUES_MAX];
	uint64_t device[VIRTIO_QUEUES_MAX];
	uint16_t avail[VIRTIO_QUEUES_MAX];
	uint16_t used[VIRTIO_QUEUES_MAX];
	uint16_t signalled[VIRTIO_QUEUES_MAX];
	bool signalled_valid[VIRTIO_QUEUES_MAX];
	char name[STATE_NAME_MAX + 1];
	struct device_ops dev_ops;
	unsigned int cap;
	bool paused;
	bool doorbells;
	uint64_t doorbell_base;
};

/* ---- Interrupts: any thread ---- */

static void interrupt(struct virtio_pci *vp, uint8_t isr, const uint16_t *vector)
{
	uint16_t at;

	if (pci_msix_enabled(&vp->msix)) {
		at = __atomic_load_n(vector, __ATOMIC_RELAXED);
		if (at != NO_VECTOR)
			pci_msix_send(&vp->msix, at);
		return;
	}
	__atomic_fetch_or(&vp->isr, isr, __ATOMIC_ACQ_REL);
	pci_line_kick(vp->pci.bus);
}

static void notify(struct virtio_device *dev, unsigned int queue)
{
	struct virtio_pci *vp = dev->transport;

	interrupt(vp, ISR_QUEUE, &vp->vector[queue]);
}

static void config_changed(struct virtio_device *dev)
{
	struct virtio_pci *vp = dev->transport;

	__atomic_fetch_add(&vp->generation, 1, __ATOMIC_RELEASE);
	if (__atomic_load_n(&vp->status, __ATOMIC_ACQUIRE) & STATUS_DRIVER_OK)
		interrupt(vp, ISR_CONFIG, &vp->config_vector);
}

static void fail(struct virtio_device *dev, const char *why)
{
	struct virtio_pci *vp = dev->transport;
	struct board *board = dev->board;
	uint8_t before = __atomic_fetch_or(&vp->status, STATUS_NEEDS_RESET, __ATOMIC_ACQ_REL);

	if (before & STATUS_NEEDS_RESET)
		return;
	if (board->host_ops->event)
		board->host_ops->event(board->host, "device-failed", why);
	if (before & STATUS_DRIVER_OK)
		interrupt(vp, ISR_CONFIG, &vp->config_vector);
}

static const struct virtio_transport_ops transport_ops = { notify, config_changed, fail };

static bool line(struct pci_function *function)
{
	struct virtio_pci *vp = container_of(function, struct virtio_pci, pci);

	return __atomic_load_n(&vp->isr, __ATOMIC_ACQUIRE) && !pci_msix_enabled(&vp->msix);
}

/* ---- Running ---- */

static void kick(struct virtio_device *dev, unsigned int queue)
{
	uint64_t one = 1;

	/* It can only fail by being readable already. */
	if (write(dev->queue[queue].kick, &one, sizeof(one)) < 0)
		one = 0;
}

static void notified(struct virtio_device *dev, unsigned int queue)
{
	if (dev->class->kicked && dev->running)
		dev->class->kicked(dev, queue);
	else
		kick(dev, queue);
}

static void update_running(struct virtio_pci *vp)
{
	struct virtio_device *dev = vp->dev;
	uint8_t status = __atomic_load_n(&vp->status, __ATOMIC_ACQUIRE);
	bool wanted = status & STATUS_DRIVER_OK && pci_master(&vp->pci) && !vp->paused;
	unsigned int i;
	int r;

	if (!wanted && dev->running) {
		if (dev->class->stop)
			dev->class->stop(dev);
		dev->running = false;
	} else if (wanted && !dev->running && !(status & STATUS_NEEDS_RESET)) {
		r = dev->class->start ? dev->class->start(dev) : 0;
		if (r) {
			fail(dev, "the device cannot be started");
			return;
		}
		dev->running = true;
		/* What came while it did not run. */
		for (i = 0; i < dev->nr_queues; i++)
			if (dev->queue[i].vq.ready)
				kick(dev, i);
	}
}

static void remove_doorbells(struct virtio_pci *vp, unsigned int nr)
{
	struct board *board = vp->pci.device.board;
	unsigned int i;

	for (i = 0; i < nr; i++)
		board->host_ops->ioeventfd(board->host, vp->dev->queue[i].kick,
					   vp->doorbell_base + NOTIFY_BYTES * (uint64_t)i, 0, false);
	vp->doorbells = false;
}

/* All or none; without them the bus does the same, only slower. */
static void update_doorbells(struct virtio_pci *vp)
{
	struct board *board = vp->pci.device.board;
	uint64_t base;
	bool wanted = pci_bar_range(&vp->pci, BAR_PARTS, &base) && vp->status & STATUS_DRIVER_OK;
	unsigned int i;

	base += PART_NOTIFY * PART_BYTES;
	if (!board->host_ops->ioeventfd || vp->dev->class->kicked || (wanted == vp->doorbells && base == vp->doorbell_base))
		return;
	if (vp->doorbells)
		remove_doorbells(vp, vp->dev->nr_queues);
	if (!wanted)
		return;
	vp->doorbell_base = base;
	for (i = 0; i < vp->dev->nr_queues; i++) {
		if (board->host_ops->ioeventfd(board->host, vp->dev->queue[i].kick,
					       base + NOTIFY_BYTES * (uint64_t)i, 0, true)) {
			remove_doorbells(vp, i);
			return;
		}
	}
	vp->doorbells = true;
}

static void changed(struct pci_function *function)
{
	struct virtio_pci *vp = container_of(function, struct virtio_pci, pci);

	function->line = line(function);
	update_running(vp);
	update_doorbells(vp);
}

/* ---- Status ---- */

static uint64_t offered(const struct virtio_pci *vp)
{
	return vp->dev->offered | TRANSPORT_FEATURES;
}

static bool acceptable(const struct virtio_pci *vp, uint64_t features)
{
	return !(features & ~offered(vp)) && features >> F_VERSION_1 & 1;
}

/* Registers of transport and queues as after power-on; the device is stopped. */
static void clear(struct virtio_pci *vp)
{
	struct virtio_device *dev = vp->dev;
	unsigned int i;
	uint64_t count;

	vp->driver_features = 0;
	vp->feature_select = 0;
	vp->driver_select = 0;
	vp->queue_select = 0;
	vp->config_vector = NO_VECTOR;
	for (i = 0; i < dev->nr_queues; i++) {
		virtq_stop(&dev->queue[i].vq);
		vp->size[i] = dev->queue[i].size;
		vp->vector[i] = NO_VECTOR;
		vp->enabled[i] = 0;
		vp->desc[i] = 0;
		vp->driver[i] = 0;
		vp->device[i] = 0;
		/* Kicks of the driver before belong to the past. */
		if (read(dev->queue[i].kick, &count, sizeof(count)) < 0)
			count = 0;
	}
	dev->features = 0;
	__atomic_store_n(&vp->isr, 0, __ATOMIC_RELEASE);
}

static void reset_device(struct virtio_pci *vp)
{
	struct virtio_device *dev = vp->dev;

	__atomic_store_n(&vp->status, 0, __ATOMIC_RELEASE);
	update_running(vp);
	update_doorbells(vp);
	/* Its threads have stopped: what they set meanwhile goes, too. */
	__atomic_store_n(&vp->status, 0, __ATOMIC_RELEASE);
	clear(vp);
	if (dev->class->reset)
		dev->class->reset(dev);
}

static void write_status(struct virtio_pci *vp, uint8_t value)
{
	struct virtio_device *dev = vp->dev;
	uint8_t old = __atomic_load_n(&vp->status, __ATOMIC_ACQUIRE);
	uint8_t new = value & STATUS_DRIVER;

	if (!value) {
		reset_device(vp);
		pci_set_line(&vp->pci, false);
		return;
	}
	/* Bits are only ever added. */
	new |= old;
	if (new & STATUS_FEATURES_OK && !(old & STATUS_FEATURES_OK)) {
		if (!acceptable(vp, vp->driver_features))
			new &= (uint8_t)~STATUS_FEATURES_OK;
		else
			dev->features = vp->driver_features;
	}
	/* Without features there is no device to drive. */
	if (!(new & STATUS_FEATURES_OK))
		new &= (uint8_t)~STATUS_DRIVER_OK;
	__atomic_fetch_or(&vp->status, new, __ATOMIC_ACQ_REL);
	update_running(vp);
	update_doorbells(vp);
}

/* ---- The common configuration ---- */

static bool has_queue(const struct virtio_pci *vp)
{
	return vp->queue_select < vp->dev->nr_queues;
}

static uint32_t half(uint64_t value, uint32_t select)
{
	return select < 2 ? (uint32_t)(value >> (32 * select)) : 0;
}

/* All registers at once: any access finds its bytes in it. */
static void read_common(struct virtio_pci *vp, struct common *out)
{
	unsigned int q = vp->queue_select;

	*out = (struct common){
		.device_feature_select = vp->feature_select,
		.device_feature = half(offered(vp), vp->feature_select),
		.driver_feature_select = vp->driver_select,
		.driver_feature = half(vp->driver_features, vp->driver_select),
		.config_vector = vp->config_vector,
		.num_queues = (uint16_t)vp->dev->nr_queues,
		.status = __atomic_load_n(&vp->status, __ATOMIC_ACQUIRE),
		.generation = __atomic_load_n(&vp->generation, __ATOMIC_ACQUIRE),
		.queue_select = vp->queue_select,
	};
	if (!has_queue(vp))
		return;
	out->queue_size = vp->size[q];
	out->queue_vector = vp->vector[q];
	out->queue_enable = vp->enabled[q];
	out->queue_notify_off = (uint16_t)q;
	out->queue_notify_data = (uint16_t)q;
	memcpy(out->queue_desc, &vp->desc[q], sizeof(out->queue_desc));
	memcpy(out->queue_driver, &vp->driver[q], sizeof(out->queue_driver));
	memcpy(out->queue_device, &vp->device[q], sizeof(out->queue_device));
}

static int start_queue(struct virtio_pci *vp, unsigned int q, const struct virtq_position *at)
{
	struct virtio_device *dev = vp->dev;
	struct virtq_layout layout = {
		.size = vp->size[q],
		.packed = virtio_has(dev, F_RING_PACKED),
		.event_idx = virtio_has(dev, F_EVENT_IDX),
		.indirect = virtio_has(dev, F_INDIRECT_DESC),
		.desc = vp->desc[q],
		.driver = vp->driver[q],
		.device = vp->device[q],
	};

	int r = virtq_start(&dev->queue[q].vq, dev->board->memory, &layout, at);

	if (r)
		fail(dev, dev->queue[q].vq.broken);
	return r;
}

static void enable_queue(struct virtio_pci *vp)
{
	/* Before FEATURES_OK nobody knows what a ring looks like. */
	if (vp->status & STATUS_FEATURES_OK && !start_queue(vp, vp->queue_select, NULL))
		vp->enabled[vp->queue_select] = 1;
}

static uint16_t valid_vector(const struct virtio_pci *vp, uint32_t value)
{
	return value < vp->msix.nr ? (uint16_t)value : NO_VECTOR;
}

static void set_half(uint64_t *to, bool high, uint32_t value)
{
	uint64_t mask = high ? 0xffffffffULL << 32 : 0xffffffffULL;

	*to = (*to & ~mask) | ((uint64_t)value << (high ? 32 : 0));
}

/* Registers of the selected queue, which exists. */
static void write_queue(struct virtio_pci *vp, unsigned int offset, uint32_t value)
{
	unsigned int q = vp->queue_select;
	bool high = offset & 4;

	if (offset == offsetof(struct common, queue_vector)) {
		__atomic_store_n(&vp->vector[q], valid_vector(vp, value), __ATOMIC_RELAXED);
		return;
	}
	/* A queue that is enabled stays as it is until the reset. */
	if (vp->enabled[q] || vp->status & STATUS_DRIVER_OK)
		return;
	switch (offset) {
	case offsetof(struct common, queue_size):
		if (value && value <= vp->dev->queue[q].size)
			vp->size[q] = (uint16_t)value;
		break;
	case offsetof(struct common, queue_enable):
		if (value == 1)
			enable_queue(vp);
		break;
	case offsetof(struct common, queue_desc):
	case offsetof(struct common, queue_desc) + 4:
		set_half(&vp->desc[q], high, value);
		break;
	case offsetof(struct common, queue_driver):
	case offsetof(struct common, queue_driver) + 4:
		set_half(&vp->driver[q], high, value);
		break;
	case offsetof(struct common, queue_device):
	case offsetof(struct common, queue_device) + 4:
		set_half(&vp->device[q], high, value);
		break;
	}
}

static unsigned int width_of(unsigned int offset)
{
	switch (offset) {
	case offsetof(struct common, device_feature_select):
	case offsetof(struct common, driver_feature_select):
	case offsetof(struct common, driver_feature):
		return 4;
	case offsetof(struct common, status):
		return 1;
	default:
		return offset >= offsetof(struct common, queue_desc) ? 4 : 2;
	}
}

static void write_common(struct virtio_pci *vp, unsigned int offset, unsigned int size,
			 uint32_t value)
{
	if (size != width_of(offset))
		return;
	switch (offset) {
	case offsetof(struct common, device_feature_select):
		vp->feature_select = value;
		break;
	case offsetof(struct common, driver_feature_select):
		vp->driver_select = value;
		break;
	case offsetof(struct common, driver_feature):
		if (!(vp->status & STATUS_FEATURES_OK) && vp->driver_select < 2)
			set_half(&vp->driver_features, vp->driver_select, value);
		break;
	case offsetof(struct common, config_vector):
		__atomic_store_n(&vp->config_vector, valid_vector(vp, value), __ATOMIC_RELAXED);
		break;
	case offsetof(struct common, status):
		write_status(vp, (uint8_t)value);
		break;
	case offsetof(struct common, queue_select):
		vp->queue_select = (uint16_t)value;
		break;
	default:
		if (has_queue(vp))
			write_queue(vp, offset, value);
	}
}

/* ---- BARs ---- */

static uint64_t read_bytes(const void *from, unsigned int room, uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	if (offset < room)
		memcpy(&value, (const uint8_t *)from + offset,
		       size <= room - offset ? size : (size_t)(room - offset));
	return value;
}

static uint64_t read_isr(struct virtio_pci *vp)
{
	uint8_t isr = __atomic_exchange_n(&vp->isr, 0, __ATOMIC_ACQ_REL);

	pci_set_line(&vp->pci, false);
	return isr;
}

static void write_config(struct virtio_pci *vp, uint64_t offset, unsigned int size, uint64_t value)
{
	struct virtio_device *dev = vp->dev;
	uint8_t old[4];

	if (!dev->class->config_write || size > sizeof(old) || offset % size ||
	    offset + size > dev->config_bytes)
		return;
	memcpy(old, dev->config + offset, size);
	memcpy(dev->config + offset, &value, size);
	dev->class->config_write(dev, (unsigned int)offset, size, old);
}

static uint64_t bar_read(struct pci_function *function, unsigned int bar, uint64_t offset,
			 unsigned int size)
{
	struct virtio_pci *vp = container_of(function, struct virtio_pci, pci);
	struct virtio_device *dev = vp->dev;
	unsigned int part = (unsigned int)(offset / PART_BYTES);
	struct common common;

	if (bar == BAR_MSIX)
		return pci_msix_read(&vp->msix, offset, size);
	offset %= PART_BYTES;
	switch (part) {
	case PART_COMMON:
		read_common(vp, &common);
		return read_bytes(&common, sizeof(common), offset, size);
	case PART_ISR:
		return offset ? 0 : read_isr(vp);
	case PART_DEVICE:
		if (dev->class->config_read)
			dev->class->config_read(dev);
		return read_bytes(dev->config, dev->config_bytes, offset, size);
	default:
		return 0;
	}
}

static void bar_write(struct pci_function *function, unsigned int bar, uint64_t offset,
		      unsigned int size, uint64_t value)
{
	struct virtio_pci *vp = container_of(function, struct virtio_pci, pci);
	unsigned int part = (unsigned int)(offset / PART_BYTES);

	if (bar == BAR_MSIX) {
		pci_msix_write(&vp->msix, offset, size, value);
		return;
	}
	offset %= PART_BYTES;
	switch (part) {
	case PART_COMMON:
		if (size == 8) {
			write_common(vp, (unsigned int)offset, 4, (uint32_t)value);
			write_common(vp, (unsigned int)offset + 4, 4, (uint32_t)(value >> 32));
		} else {
			write_common(vp, (unsigned int)offset, size, (uint32_t)value);
		}
		break;
	case PART_DEVICE:
		write_config(vp, offset, size, value);
		break;
	case PART_NOTIFY:
		if (offset / NOTIFY_BYTES < vp->dev->nr_queues && !(offset % NOTIFY_BYTES))
			notified(vp->dev, (unsigned int)(offset / NOTIFY_BYTES));
		break;
	}
}

/* ---- BARs by way of configuration space ---- */

/* What the capability points to: true if there is such a place. */
static bool cap_target(const struct virtio_pci *vp, unsigned int offset, unsigned int *bar,
		       uint32_t *at, uint32_t *size)
{
	const uint8_t *cap = &vp->pci.config[vp->cap];

	*bar = cap[CAP_BAR];
	*at = get_le32(cap + CAP_OFFSET);
	*size = get_le32(cap + CAP_LENGTH);
	return offset == vp->cap + CAP_DATA && (*size == 1 || *size == 2 || *size == 4) &&
	       !(*at % *size) && *bar < PCI_BARS && *at < vp->pci.bar[*bar].bytes;
}

static void config_read(struct pci_function *function, unsigned int offset, unsigned int size)
{
	struct virtio_pci *vp = container_of(function, struct virtio_pci, pci);
	unsigned int bar;
	uint32_t at, bytes;
	uint64_t value;

	(void)size;
	if (!cap_target(vp, offset, &bar, &at, &bytes))
		return;
	value = bar_read(function, bar, at, bytes);
	memcpy(&function->config[offset], &value, bytes);
}

static void config_written(struct pci_function *function, unsigned int offset, unsigned int size)
{
	struct virtio_pci *vp = container_of(function, struct virtio_pci, pci);
	unsigned int bar;
	uint32_t at, bytes;

	(void)size;
	if (cap_target(vp, offset, &bar, &at, &bytes))
		bar_write(function, bar, at, bytes,
			  get_le32(&function->config[offset]) & (0xffffffffU >> (32 - 8 * bytes)));
}

static const struct pci_ops pci_ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.config_read = config_read,
	.config_written = config_written,
	.changed = changed,
	.line = line,
};

static unsigned int add_cap(struct virtio_pci *vp, uint8_t type, unsigned int bytes,
			    unsigned int part, uint32_t length)
{
	unsigned int at = pci_add_cap(&vp->pci, PCI_CAP_VENDOR, bytes);
	uint32_t offset = part * PART_BYTES;
	uint8_t *cap = &vp->pci.config[at];

	cap[2] = (uint8_t)bytes;
	cap[CAP_TYPE] = type;
	cap[CAP_BAR] = BAR_PARTS;
	memcpy(cap + CAP_OFFSET, &offset, sizeof(offset));
	memcpy(cap + CAP_LENGTH, &length, sizeof(length));
	return at;
}

static void add_caps(struct virtio_pci *vp)
{
	struct virtio_device *dev = vp->dev;
	uint32_t multiplier = NOTIFY_BYTES;
	unsigned int at;

	add_cap(vp, TYPE_COMMON, CAP_BYTES, PART_COMMON, sizeof(struct common));
	at = add_cap(vp, TYPE_NOTIFY, CAP_NOTIFY_BYTES, PART_NOTIFY, dev->nr_queues * NOTIFY_BYTES);
	memcpy(&vp->pci.config[at + CAP_BYTES], &multiplier, sizeof(multiplier));
	add_cap(vp, TYPE_ISR, CAP_BYTES, PART_ISR, 1);
	if (dev->config_bytes)
		add_cap(vp, TYPE_DEVICE, CAP_BYTES, PART_DEVICE, dev->config_bytes);
	vp->cap = add_cap(vp, TYPE_PCI, CAP_NOTIFY_BYTES, 0, 0);
	vp->pci.writable[vp->cap + CAP_BAR] = 0xff;
	memset(&vp->pci.writable[vp->cap + CAP_OFFSET], 0xff, CAP_NOTIFY_BYTES - CAP_OFFSET);
}

/* ---- As a device of the board ---- */

static struct virtio_pci *of_device(struct device *device)
{
	return container_of(device, struct virtio_pci, pci.device);
}

static void device_reset(struct device *device)
{
	struct virtio_pci *vp = of_device(device);

	reset_device(vp);
	vp->generation = 0;
	pci_function_reset(&vp->pci);
}

static void device_stop(struct device *device)
{
	struct virtio_pci *vp = of_device(device);

	vp->paused = true;
	update_running(vp);
}

static void device_start(struct device *device)
{
	struct virtio_pci *vp = of_device(device);

	vp->paused = false;
	update_running(vp);
}

static void destroy_virtio(struct virtio_device *dev)
{
	struct virtio_queue *queue = dev->queue;
	unsigned int nr = dev->nr_queues, i;

	dev->class->destroy(dev);
	for (i = 0; i < nr; i++)
		close(queue[i].kick);
	free(queue);
}

static void free_device(struct virtio_pci *vp)
{
	destroy_virtio(vp->dev);
	pci_msix_destroy(&vp->msix);
	free(vp);
}

static void device_destroy(struct device *device)
{
	struct virtio_pci *vp = of_device(device);

	device_stop(device);
	if (vp->doorbells)
		remove_doorbells(vp, vp->dev->nr_queues);
	pci_detach(&vp->pci);
	/* The rest goes with the board's next device, which is a part of this. */
}

static void dev_destroy(struct device *device)
{
	struct virtio_device *dev = container_of(device, struct virtio_device, device);

	free_device(dev->transport);
}

/* ---- State ---- */

static const struct state_field state_fields[] = {
	STATE_BYTES(struct virtio_pci, pci.config),
	STATE_FIELD(struct virtio_pci, pci.line),
	STATE_ARRAY(struct virtio_pci, msix.address),
	STATE_ARRAY(struct virtio_pci, msix.data),
	STATE_ARRAY(struct virtio_pci, msix.control),
	STATE_ARRAY(struct virtio_pci, msix.pending),
	STATE_FIELD(struct virtio_pci, driver_features),
	STATE_FIELD(struct virtio_pci, feature_select),
	STATE_FIELD(struct virtio_pci, driver_select),
	STATE_FIELD(struct virtio_pci, queue_select),
	STATE_FIELD(struct virtio_pci, status),
	STATE_FIELD(struct virtio_pci, generation),
	STATE_FIELD(struct virtio_pci, isr),
	STATE_FIELD(struct virtio_pci, config_vector),
	STATE_ARRAY(struct virtio_pci, size),
	STATE_ARRAY(struct virtio_pci, vector),
	STATE_ARRAY(struct virtio_pci, enabled),
	STATE_ARRAY(struct virtio_pci, desc),
	STATE_ARRAY(struct virtio_pci, driver),
	STATE_ARRAY(struct virtio_pci, device),
	STATE_ARRAY(struct virtio_pci, avail),
	STATE_ARRAY(struct virtio_pci, used),
	STATE_ARRAY(struct virtio_pci, signalled),
	STATE_ARRAY(struct virtio_pci, signalled_valid),
	STATE_END
};

static void state_update(void *device)
{
	struct virtio_pci *vp = device;
	unsigned int i;

	for (i = 0; i < vp->dev->nr_queues; i++) {
		const struct virtq_position *at = &vp->dev->queue[i].vq.at;

		vp->avail[i] = at->avail;
		vp->used[i] = at->used;
		vp->signalled[i] = at->signalled;
		vp->signalled_valid[i] = at->signalled_valid;
	}
}

static bool queue_possible(const struct virtio_pci *vp, unsigned int q, uint16_t most)
{
	return vp->size[q] && vp->size[q] <= most && vp->enabled[q] <= 1 &&
	       valid_vector(vp, vp->vector[q]) == vp->vector[q] &&
	       (!vp->enabled[q] || vp->status & STATUS_FEATURES_OK);
}

static int state_check(const void *device, const void *loaded)
{
	const struct virtio_pci *vp = device, *new = loaded;
	unsigned int i;

	if (!pci_config_possible(&vp->pci, new->pci.config) ||
	    !pci_msix_possible(&new->msix) ||
	    valid_vector(new, new->config_vector) != new->config_vector ||
	    new->status & ~(STATUS_DRIVER | STATUS_NEEDS_RESET) || new->isr & ~(ISR_QUEUE | ISR_CONFIG))
		return -EINVAL;
	if (new->status & STATUS_FEATURES_OK ? !acceptable(vp, new->driver_features) :
					       new->status & STATUS_DRIVER_OK)
		return -EINVAL;
	for (i = 0; i < vp->dev->nr_queues; i++)
		if (!queue_possible(new, i, vp->dev->queue[i].size))
			return -EINVAL;
	return 0;
}

/* The machine is stopped; the device starts with board_start(). */
static void state_loaded(void *device)
{
	struct virtio_pci *vp = device;
	struct virtio_device *dev = vp->dev;
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++)
		virtq_stop(&dev->queue[i].vq);
	/* What it remembers of a driver that has not been, in the state that it gets. Its own state comes after this. */
	dev->features = 0;
	if (dev->class->reset)
		dev->class->reset(dev);
	dev->features = vp->status & STATUS_FEATURES_OK ? vp->driver_features : 0;
	for (i = 0; i < dev->nr_queues; i++) {
		struct virtq_position at = {
			vp->avail[i], vp->used[i], vp->signalled[i], vp->signalled_valid[i],
		};

		if (vp->enabled[i] && !(vp->status & STATUS_NEEDS_RESET))
			start_queue(vp, i, &at);
	}
	pci_function_loaded(&vp->pci);
}

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct virtio_pci),
	.fields = state_fields,
	.save = state_update,
	.check = state_check,
	.load = state_loaded,
};

static const struct device_ops device_ops = {
	.reset = device_reset,
	.destroy = device_destroy,
	.stop = device_stop,
	.start = device_start,
	.state = &state,
};

/**
 * virtio_alloc_queues() - give a device its queues; before virtio_plug()
 * @dev: the device
 * @nr: how many, 1 to VIRTIO_QUEUES_MAX
 * @size: what each offers
 *
 * Return: 0, -ENOMEM, or the errno of eventfd().
 */
int virtio_alloc_queues(struct virtio_device *dev, unsigned int nr, uint16_t size)
{
	unsigned int i;

	dev->queue = calloc(nr, sizeof(*dev->queue));
	if (!dev->queue)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		dev->queue[i].size = size;
		dev->queue[i].kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (dev->queue[i].kick < 0) {
			int r = -errno;

			while (i--)
				close(dev->queue[i].kick);
			free(dev->queue);
			dev->queue = NULL;
			return r;
		}
	}
	dev->nr_queues = nr;
	return 0;
}

/**
 * virtio_plug() - plug a device into the board's PCI bus
 * @board: the board
 * @dev: the device; see virtio.h for what has to be there
 *
 * Return: 0; or a negative errno, and the device is destroyed.
 */
int virtio_plug(struct board *board, struct virtio_device *dev)
{
	struct pci_ids ids = {
		.vendor = VENDOR,
		.device = (uint16_t)(DEVICE_BASE + dev->class->type),
		.subvendor = VENDOR,
		.subdevice = (uint16_t)(DEVICE_BASE + dev->class->type),
		.class = dev->class->pci_class,
		.revision = REVISION,
	};
	struct virtio_pci *vp = calloc(1, sizeof(*vp));
	int r;

	if (!vp) {
		destroy_virtio(dev);
		return -ENOMEM;
	}
	vp->dev = dev;
	dev->board = board;
	dev->transport = vp;
	dev->transport_ops = &transport_ops;
	pci_function_init(&vp->pci, &ids, &pci_ops);
	pci_add_bar(&vp->pci, BAR_PARTS, &(struct pci_bar){ .bytes = BAR_BYTES });
	pci_msix_init(&vp->msix, &vp->pci, BAR_MSIX, dev->nr_queues + 1);
	add_caps(vp);
	clear(vp);
	snprintf(vp->name, sizeof(vp->name), "%s-pci", dev->class->name);
	r = pci_plug(board, &vp->pci, vp->name, &device_ops);
	if (r) {
		free_device(vp);
		return r;
	}
	vp->dev_ops = (struct device_ops){ .destroy = dev_destroy, .state = dev->class->state };
	board_plug(board, &dev->device, dev->class->name, &vp->dev_ops);
	return 0;
}

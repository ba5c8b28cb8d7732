/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtio device (virtio 1.2), whatever carries it. The transport (pci.c here) knows no device, and a
 * device no transport.
 *
 * Threads. Configuration space, status and reset come from vCPU threads with the board's lock held.
 * Requests are the device's own business: it has threads of its own, which wait for the eventfds of its
 * queues and never take the board's lock. virtio_notify(), virtio_config_changed() and virtio_fail() may be
 * called by any thread with any lock held.
 *
 * start() and stop() bracket all use of queues: start() when the driver says DRIVER_OK and when a paused
 * machine goes on; stop() at a reset, at the end, and before a pause: when it returns, no request is in
 * flight, no thread touches guest memory, and the state is all in the structure and its queues.
 */
#ifndef VIREO_VIRTIO_H
#define VIREO_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue.h"
#include "../board.h"

#define VIRTIO_CONFIG_MAX 256		/* bytes of device-specific configuration */
#define VIRTIO_QUEUES_MAX 129		/* 64 pairs and a control queue */

struct virtio_device;

/**
 * struct virtio_class - a kind of device
 * @name: for messages, such as "virtio-blk"
 * @type: device ID (virtio 1.2, section 5)
 * @pci_class: class code of its PCI function, 24 bits
 * @config_read: before the driver reads configuration space: bring dev->config up to date; may be NULL
 * @config_write: the driver has written @len bytes at @offset of dev->config, aligned, 1 to 4 bytes;
 *		  @old has what was there. May be NULL: configuration is read-only
 * @kicked: serve a queue at once, on the vCPU's thread: for drivers that wait for it, spinning. Called with the
 *	    board's lock held, between start() and stop(), instead of a signal to the queue's eventfd (which
 *	    comes as well when the device starts). NULL: most devices
 * @start: see above; 0, or a negative errno, which makes the device DEVICE_NEEDS_RESET
 * @stop: see above
 * @reset: after stop(): back to what it was at creation; may be NULL
 * @destroy: free it, but for its queues; it was stopped before
 * @state: what it has of state beyond queues and features; may be NULL
 */
struct virtio_class {
	const char *name;
	uint16_t type;
	uint32_t pci_class;
	void (*config_read)(struct virtio_device *dev);
	void (*config_write)(struct virtio_device *dev, unsigned int offset, unsigned int len, const uint8_t *old);
	void (*kicked)(struct virtio_device *dev, unsigned int queue);
	int (*start)(struct virtio_device *dev);
	void (*stop)(struct virtio_device *dev);
	void (*reset)(struct virtio_device *dev);
	void (*destroy)(struct virtio_device *dev);
	const struct device_state *state;
};

/**
 * struct virtio_queue - a queue and how it is signalled
 * @vq: the ring; @vq.ready only if the driver has enabled it
 * @size: the most that is offered; set before virtio_plug()
 * @kick: eventfd, non-blocking: the driver has put something in. The device reads it and looks; a kick
 *	  may come without anything in the ring. It is there from virtio_plug() to destroy()
 */
struct virtio_queue {
	struct virtq vq;
	uint16_t size;
	int kick;
};

/**
 * struct virtio_device - the common part of all of them, first in theirs
 * @device: what the board sees of it, for the sake of @class->state; the transport is a device of its own
 * @class: what it is
 * @offered: features that the device offers; the transport adds those of rings and its own
 * @features: what the driver has accepted; settled when start() is called
 * @queue: its queues
 * @nr_queues: how many
 * @config: configuration space
 * @config_bytes: how much of it there is
 * @board: where it is plugged in
 * @transport: the transport's own
 * @transport_ops: how the three functions below reach it
 * @running: between start() and stop()
 */
struct virtio_device {
	struct device device;
	const struct virtio_class *class;
	uint64_t offered;
	uint64_t features;
	struct virtio_queue *queue;
	unsigned int nr_queues;
	uint8_t config[VIRTIO_CONFIG_MAX];
	unsigned int config_bytes;
	struct board *board;
	void *transport;
	const struct virtio_transport_ops *transport_ops;
	bool running;
};

/**
 * struct virtio_transport_ops - what a transport does for a device
 * @notify: used-buffer notification of a queue
 * @config_changed: configuration-change notification
 * @fail: the device sets DEVICE_NEEDS_RESET and says so
 */
struct virtio_transport_ops {
	void (*notify)(struct virtio_device *dev, unsigned int queue);
	void (*config_changed)(struct virtio_device *dev);
	void (*fail)(struct virtio_device *dev, const char *why);
};

/* Signal a queue: virtq_should_notify() has been asked */
static inline void virtio_notify(struct virtio_device *dev, unsigned int queue)
{
	dev->transport_ops->notify(dev, queue);
}

static inline void virtio_config_changed(struct virtio_device *dev)
{
	dev->transport_ops->config_changed(dev);
}

/* The driver has broken the rules (a queue's @broken): the device does nothing more until it is reset */
static inline void virtio_fail(struct virtio_device *dev, const char *why)
{
	dev->transport_ops->fail(dev, why);
}

/* virtq_pop(); where it finds the queue broken, the device has failed */
static inline int virtio_pop(struct virtio_device *dev, struct virtio_queue *queue, struct virtq_chain *chain)
{
	int r = virtq_pop(&queue->vq, chain);

	if (r < 0)
		virtio_fail(dev, queue->vq.broken);
	return r;
}

/* After pushes: signal a queue if the driver wants that */
static inline void virtio_pushed(struct virtio_device *dev, struct virtio_queue *queue)
{
	if (virtq_should_notify(&queue->vq))
		virtio_notify(dev, (unsigned int)(queue - dev->queue));
}

static inline bool virtio_has(const struct virtio_device *dev, unsigned int feature)
{
	return dev->features >> feature & 1;
}

/*
 * Plug a device into the board's PCI bus. Before: class, offered, nr_queues and sizes, config. The queues
 * are allocated by virtio_alloc_queues(). From here on the board destroys it (and does so, too, when this fails).
 */
int virtio_plug(struct board *board, struct virtio_device *dev);
int virtio_alloc_queues(struct virtio_device *dev, unsigned int nr, uint16_t size);

#endif /* VIREO_VIRTIO_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtqueue, as the device sees it (virtio 1.2, 2.6 to 2.8): split and packed rings, indirect
 * descriptors, event index.
 *
 * The rings and all that they point to are the guest's, which may write to them at any time: each
 * descriptor is copied once, and the copy is what is checked and used. A ring that breaks the rules
 * breaks the queue: virtq_pop() says so from then on, and nothing of it is touched any more.
 *
 * A queue has no lock: one thread at a time, or the owner's lock. It depends on guest memory and on
 * nothing else, so that tests and fuzzers have this very code.
 */
#ifndef VIREO_VIRTIO_QUEUE_H
#define VIREO_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct guest_memory;

#define VIRTQ_SIZE_MAX 1024		/* descriptors that Vireo offers; virtio allows 32768 */

/**
 * struct virtq_layout - what the driver has set (virtio 1.2, 4.1.4.3)
 * @size: descriptors
 * @packed: VIRTIO_F_RING_PACKED was negotiated
 * @event_idx: VIRTIO_F_EVENT_IDX was negotiated
 * @indirect: VIRTIO_F_INDIRECT_DESC was negotiated
 * @desc: guest-physical address of the descriptor table or ring
 * @driver: ... of the available ring, or the driver's event suppression
 * @device: ... of the used ring, or the device's event suppression
 */
struct virtq_layout {
	uint16_t size;
	bool packed, event_idx, indirect;
	uint64_t desc, driver, device;
};

/**
 * struct virtq_position - how far both sides are: with the layout, all state of a queue
 * @avail: split: next index of the available ring; packed: next descriptor, bit 15 wrap counter
 * @used: likewise, of the used ring
 * @signalled: @used at the last notification
 * @signalled_valid: whether there was one
 *
 * Chains between @used and @avail are the device's: it finishes them, takes them back with
 * virtq_unpop(), or has them in its own state.
 */
struct virtq_position {
	uint16_t avail, used, signalled;
	bool signalled_valid;
};

/**
 * struct virtq - a queue
 * @memory: the guest's
 * @layout: where its rings are
 * @at: how far it is; like @layout, it stays after virtq_stop()
 * @ready: virtq_start() has succeeded, and virtq_stop() was not called
 * @broken: why the queue is dead, until it is started again; NULL: it is not
 * @desc: the launcher's address of the descriptors; NULL unless @ready and not @broken. From here on
 *	  all is queue.c's own
 * @driver: likewise
 * @device: likewise
 * @low: guest memory from address 0, where nearly all buffers are
 * @low_bytes: how much of it there is
 * @avail_seen: split: the available index when it was last read
 * @in_flight: chains (packed: descriptors) popped and not pushed
 * @unclaimed: of those, what was in flight at virtq_start() and not reloaded since
 * @staged: packed: descriptors staged and not published
 * @staged_flags: packed: flags of the first of them
 * @kicks: the driver was told that notifications are wanted; not used with event_idx on split rings
 */
struct virtq {
	const struct guest_memory *memory;
	struct virtq_layout layout;
	struct virtq_position at;
	bool ready;
	const char *broken;

	void *desc, *driver, *device;
	uint8_t *low;
	uint64_t low_bytes;
	unsigned int in_flight, unclaimed;
	uint16_t avail_seen;
	uint16_t staged;
	uint16_t staged_flags;
	bool kicks;
};

/**
 * struct virtq_chain - a buffer: descriptors that belong together
 * @iov: in: room for segments. Out: what the device reads, then what it writes; all of it is guest memory
 * @room: in: segments at @iov; a chain with more breaks the queue, so the queue's size is the safe choice
 * @nr_read: segments that the device reads, from iov[0]
 * @nr_write: segments that it writes, after those
 * @read_bytes: of the first
 * @write_bytes: of the second
 * @id: what virtq_push() needs
 * @descriptors: that it takes from a packed ring, likewise
 */
struct virtq_chain {
	struct iovec *iov;
	unsigned int room;
	unsigned int nr_read, nr_write;
	uint64_t read_bytes, write_bytes;
	uint16_t id;
	uint16_t descriptors;
};

/*
 * @at: NULL: from the beginning. -EINVAL, with the reason in @broken: no ring can be there. A queue that is not
 * ready has no chains, and what is pushed to one that is broken or not ready is dropped.
 */
int virtq_start(struct virtq *queue, const struct guest_memory *memory, const struct virtq_layout *layout,
		const struct virtq_position *at);
void virtq_stop(struct virtq *queue);

/*
 * Never more chains at a time than the queue is long: a device may count on that.
 * 1 and a chain; 0: there is none; -EPROTO: the queue is broken, see @broken
 */
int virtq_pop(struct virtq *queue, struct virtq_chain *chain);
/* Chains were not looked at and will come again: the last ones that were popped, the newest first */
void virtq_unpop(struct virtq *queue, const struct virtq_chain *chain);
/* Give it back; @written: bytes from the start of its writable part */
void virtq_push(struct virtq *queue, const struct virtq_chain *chain, uint32_t written);
/* Several, seen by the driver at once: stage all, then publish (VIRTIO_NET_F_MRG_RXBUF) */
void virtq_stage(struct virtq *queue, const struct virtq_chain *chain, uint32_t written, unsigned int index);
void virtq_publish(struct virtq *queue, unsigned int count);
/* A chain was written to and is not given back now: for those who follow memory */
void virtq_written(const struct virtq *queue, const struct virtq_chain *chain);
/* After pushes: does the driver want a notification? */
bool virtq_should_notify(struct virtq *queue);
/*
 * Tell the driver that notifications are (not) wanted. After "wanted" there may be a chain that came
 * before: true says so.
 */
bool virtq_want_kicks(struct virtq *queue, bool wanted);
/* Is there a chain to pop? Cheap; says true for a broken queue. */
bool virtq_has_chain(struct virtq *queue);

/*
 * State of a device that has chains in flight: @id, @descriptors, the numbers of segments of each, and the
 * segments as guest-physical addresses.
 */
uint64_t virtq_gpa(const struct virtq *queue, const struct iovec *segment);
int virtq_reload(struct virtq *queue, struct virtq_chain *chain, const uint64_t *gpa, const uint32_t *len);

/* Copy from and to segments; return bytes copied, which is @len unless the segments end before */
size_t iov_read(const struct iovec *iov, unsigned int nr, size_t offset, void *to, size_t len);
size_t iov_write(const struct iovec *iov, unsigned int nr, size_t offset, const void *from, size_t len);

#endif /* VIREO_VIRTIO_QUEUE_H */

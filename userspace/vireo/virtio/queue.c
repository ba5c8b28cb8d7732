// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtqueues. Split and packed rings differ in how the two sides tell each other what is whose; what is
 * in a descriptor, and what may be wrong with it, is common to both.
 *
 * All that the guest may write to is read with volatile or atomic accesses, once. A descriptor's 16
 * bytes are two loads; for a packed ring the one with the flags comes first and acquires the other.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "queue.h"
#include "../memory.h"
#include "../util.h"

#define DESC_NEXT	0x0001
#define DESC_WRITE	0x0002
#define DESC_INDIRECT	0x0004
#define DESC_AVAIL	0x0080
#define DESC_USED	0x8000
#define DESC_BYTES	16U

#define AVAIL_NO_INTERRUPT	1
#define USED_NO_NOTIFY		1

/* Event suppression of packed rings: the flags are the upper half of a word */
#define EVENT_ENABLE	0U
#define EVENT_DISABLE	1U
#define EVENT_DESC	2U

#define WRAP		0x8000
#define SIZE_LIMIT	32768U
#define CHAIN_BYTES_MAX	(4 * GIB)

struct split_ring {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

struct used_elem {
	uint32_t id;
	uint32_t len;
};

struct used_ring {
	uint16_t flags;
	uint16_t idx;
	struct used_elem ring[];
};

struct packed_desc {
	uint64_t addr;
	union {
		uint64_t rest;
		struct {
			uint32_t len;
			uint16_t id;
			uint16_t flags;
		};
	};
};

/* Indirect tables need not be aligned. */
struct raw_desc {
	uint64_t addr;
	uint64_t rest;		/* length; flags and next, or ID and flags */
} __attribute__((packed));

_Static_assert(sizeof(struct raw_desc) == DESC_BYTES, "a descriptor's size");
_Static_assert(sizeof(struct packed_desc) == DESC_BYTES, "a descriptor's size");
_Static_assert(offsetof(struct split_ring, ring) == 4, "layout of the available ring");
_Static_assert(offsetof(struct used_ring, ring) == 4, "layout of the used ring");

struct desc {
	uint64_t addr;
	uint64_t rest;
};

static uint32_t rest_len(uint64_t rest)
{
	return (uint32_t)rest;
}

static uint16_t rest_first(uint64_t rest)
{
	return (uint16_t)(rest >> 32);
}

static uint16_t rest_second(uint64_t rest)
{
	return (uint16_t)(rest >> 48);
}

static struct desc fetch(const void *table, unsigned int index)
{
	const volatile struct raw_desc *raw = (const struct raw_desc *)table + index;
	struct desc desc = { raw->addr, raw->rest };

	return desc;
}

static int broken(struct virtq *queue, const char *why)
{
	queue->broken = why;
	queue->desc = NULL;
	return -EPROTO;
}

static void *guest_ptr(const struct virtq *queue, uint64_t addr, uint32_t len)
{
	if (addr < queue->low_bytes && len <= queue->low_bytes - addr)
		return queue->low + addr;
	return memory_ptr(queue->memory, addr, len);
}

/* Positions of packed rings: 15 bits of index; the wrap counter */
static uint16_t packed_add(const struct virtq *queue, uint16_t position, unsigned int n)
{
	unsigned int index = (position & ~WRAP) + n;

	if (index >= queue->layout.size) {
		index -= queue->layout.size;
		position ^= WRAP;
	}
	return (uint16_t)((position & WRAP) | index);
}

static uint16_t packed_sub(const struct virtq *queue, uint16_t position, unsigned int n)
{
	unsigned int index = position & ~WRAP;

	if (index < n) {
		index += queue->layout.size;
		position ^= WRAP;
	}
	return (uint16_t)((position & WRAP) | (index - n));
}

/* How far @to is after @from, both being places in two rounds of the ring */
static unsigned int packed_distance(const struct virtq *queue, uint16_t from, uint16_t to)
{
	unsigned int size = queue->layout.size;
	unsigned int a = (from & ~WRAP) + (from & WRAP ? 0 : size);
	unsigned int b = (to & ~WRAP) + (to & WRAP ? 0 : size);

	return b >= a ? b - a : b + 2 * size - a;
}

static int start_fails(struct virtq *queue, const char *why)
{
	broken(queue, why);
	return -EINVAL;
}

/**
 * virtq_start() - begin to use a queue
 * @queue: the queue
 * @memory: the guest's memory, which stays where it is until virtq_stop()
 * @layout: what the driver has set
 * @at: where to go on, or NULL; may be the queue's own
 *
 * Notifications are wanted at first.
 *
 * Return: 0; -EINVAL, with the reason in @queue->broken, if there cannot be such a queue.
 */
int virtq_start(struct virtq *queue, const struct guest_memory *memory, const struct virtq_layout *layout,
		const struct virtq_position *at)
{
	uint16_t first = layout->packed ? WRAP : 0;
	struct virtq_position from = { first, first, first, false };
	uint64_t event = layout->event_idx ? 2 : 0;
	struct virtq_layout set = *layout;
	uint32_t size = set.size;
	uint64_t desc_bytes, driver_bytes, device_bytes;

	if (at)
		from = *at;
	*queue = (struct virtq){ .memory = memory, .layout = set, .at = from };
	if (!size || size > SIZE_LIMIT)
		return start_fails(queue, "its size is 0 or above 32768");
	if (!set.packed && size & (size - 1))
		return start_fails(queue, "its size is not a power of two");
	if (set.packed && ((from.avail & ~WRAP) >= size || (from.used & ~WRAP) >= size ||
			   (from.signalled & ~WRAP) >= size))
		return start_fails(queue, "its position is outside the ring");
	queue->in_flight = set.packed ? packed_distance(queue, from.used, from.avail) :
					(uint16_t)(from.avail - from.used);
	queue->unclaimed = queue->in_flight;
	if (queue->in_flight > size)
		return start_fails(queue, "its positions are further apart than its size");

	desc_bytes = (uint64_t)size * DESC_BYTES;
	driver_bytes = set.packed ? 4 : sizeof(struct split_ring) + 2ULL * size + event;
	device_bytes = set.packed ? 4 : sizeof(struct used_ring) + sizeof(struct used_elem) * (uint64_t)size + event;
	if (set.desc & 15 || set.driver & (set.packed ? 3 : 1) || set.device & 3)
		return start_fails(queue, "a ring is misaligned");
	queue->driver = memory_ptr(memory, set.driver, driver_bytes);
	queue->device = memory_ptr(memory, set.device, device_bytes);
	if (!queue->driver || !queue->device || !memory_ptr(memory, set.desc, desc_bytes))
		return start_fails(queue, "a ring is not in memory");

	queue->desc = memory_ptr(memory, set.desc, desc_bytes);
	if (!memory->piece[0].gpa) {
		queue->low = memory->piece[0].hva;
		queue->low_bytes = memory->piece[0].bytes;
	}
	queue->avail_seen = from.avail;
	queue->ready = true;
	virtq_want_kicks(queue, true);
	return 0;
}

/**
 * virtq_stop() - end the use of a queue
 * @queue: the queue; its layout and its position stay, and why it is broken
 */
void virtq_stop(struct virtq *queue)
{
	queue->ready = false;
	queue->desc = NULL;
}

static int add_segment(struct virtq *queue, struct virtq_chain *chain, uint64_t addr, uint32_t len, bool write)
{
	unsigned int nr = chain->nr_read + chain->nr_write;
	void *ptr;

	if (nr == queue->layout.size)
		return broken(queue, "a chain is longer than the queue, or a loop");
	if (nr == chain->room)
		return broken(queue, "a chain has more segments than the device takes");
	if (!len)
		return broken(queue, "a descriptor is of length 0");
	ptr = guest_ptr(queue, addr, len);
	if (!ptr)
		return broken(queue, "a descriptor's buffer is not in memory");
	chain->iov[nr].iov_base = ptr;
	chain->iov[nr].iov_len = len;
	if (write) {
		chain->nr_write++;
		chain->write_bytes += len;
	} else if (chain->nr_write) {
		return broken(queue, "a descriptor to read comes after one to write");
	} else {
		chain->nr_read++;
		chain->read_bytes += len;
	}
	return 0;
}

static const void *indirect_table(struct virtq *queue, uint64_t addr, uint32_t len, uint16_t flags)
{
	const void *table;

	if (!queue->layout.indirect) {
		broken(queue, "an indirect descriptor, which was not negotiated");
		return NULL;
	}
	if (flags & DESC_NEXT) {
		broken(queue, "an indirect descriptor has a next one");
		return NULL;
	}
	if (!len || len % DESC_BYTES) {
		broken(queue, "an indirect table's length is not a multiple of 16");
		return NULL;
	}
	table = guest_ptr(queue, addr, len);
	if (!table)
		broken(queue, "an indirect table is not in memory");
	return table;
}

/* Read the available index: 1: something new; 0: nothing; -EPROTO */
static int split_look(struct virtq *queue)
{
	struct split_ring *avail = queue->driver;
	uint16_t idx = __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE);

	if (idx == queue->at.avail)
		return 0;
	if ((uint16_t)(idx - queue->at.avail) > queue->layout.size)
		return broken(queue, "the available index is further on than the queue is long");
	queue->avail_seen = idx;
	return 1;
}

static int split_pop(struct virtq *queue, struct virtq_chain *chain)
{
	struct split_ring *avail = queue->driver;
	unsigned int index, size = queue->layout.size;
	const void *table = queue->desc;
	bool inside = false;
	int r;

	if (queue->at.avail == queue->avail_seen) {
		r = split_look(queue);
		if (r <= 0)
			return r;
	}
	index = __atomic_load_n(&avail->ring[queue->at.avail & (size - 1)], __ATOMIC_RELAXED);
	chain->id = (uint16_t)index;
	for (;;) {
		struct desc desc;
		uint16_t flags;

		if (index >= size)
			return broken(queue, "a descriptor's index is outside its table");
		desc = fetch(table, index);
		flags = rest_first(desc.rest);
		if (flags & DESC_INDIRECT) {
			if (inside)
				return broken(queue, "an indirect descriptor in an indirect table");
			table = indirect_table(queue, desc.addr, rest_len(desc.rest), flags);
			if (!table)
				return -EPROTO;
			size = rest_len(desc.rest) / DESC_BYTES;
			index = 0;
			inside = true;
			continue;
		}
		r = add_segment(queue, chain, desc.addr, rest_len(desc.rest), flags & DESC_WRITE);
		if (r)
			return r;
		if (!(flags & DESC_NEXT))
			break;
		index = rest_second(desc.rest);
	}
	chain->descriptors = 1;
	return 1;
}

static bool packed_available(const struct virtq *queue, uint64_t *rest)
{
	const struct packed_desc *desc = (const struct packed_desc *)queue->desc + (queue->at.avail & ~WRAP);
	uint16_t flags;

	*rest = __atomic_load_n(&desc->rest, __ATOMIC_ACQUIRE);
	flags = rest_second(*rest);
	return !(flags & DESC_AVAIL) == !(queue->at.avail & WRAP) && !(flags & DESC_AVAIL) != !(flags & DESC_USED);
}

static int packed_indirect(struct virtq *queue, struct virtq_chain *chain, uint64_t addr, uint64_t rest)
{
	uint32_t len = rest_len(rest);
	const void *table = indirect_table(queue, addr, len, rest_second(rest));
	unsigned int i;
	int r;

	if (!table)
		return -EPROTO;
	/* All of the table is the chain; only DESC_WRITE means something in it. */
	for (i = 0; i < len / DESC_BYTES; i++) {
		struct desc desc = fetch(table, i);

		r = add_segment(queue, chain, desc.addr, rest_len(desc.rest), rest_second(desc.rest) & DESC_WRITE);
		if (r)
			return r;
	}
	return 0;
}

static int packed_pop(struct virtq *queue, struct virtq_chain *chain)
{
	const struct packed_desc *ring = queue->desc;
	unsigned int index = queue->at.avail & ~WRAP;
	unsigned int count = 0;
	struct desc desc;
	int r;

	if (!packed_available(queue, &desc.rest))
		return 0;
	desc.addr = __atomic_load_n(&ring[index].addr, __ATOMIC_RELAXED);
	for (;;) {
		uint16_t flags = rest_second(desc.rest);

		count++;
		if (flags & DESC_INDIRECT)
			r = packed_indirect(queue, chain, desc.addr, desc.rest);
		else
			r = add_segment(queue, chain, desc.addr, rest_len(desc.rest), flags & DESC_WRITE);
		if (r)
			return r;
		if (!(flags & DESC_NEXT))
			break;
		if (++index == queue->layout.size)
			index = 0;
		desc = fetch(ring, index);
	}
	/* Each descriptor has added a segment: there were no more of them than the queue has. */
	chain->id = rest_first(desc.rest);
	chain->descriptors = (uint16_t)count;
	return 1;
}

/**
 * virtq_pop() - take the next chain
 * @queue: the queue
 * @chain: to be filled; @chain->iov and @chain->room are set
 *
 * Return: 1; 0: there is none; -EPROTO: the queue is broken, see @queue->broken.
 */
int virtq_pop(struct virtq *queue, struct virtq_chain *chain)
{
	int r;

	if (!queue->desc)
		return queue->broken ? -EPROTO : 0;
	chain->nr_read = 0;
	chain->nr_write = 0;
	chain->read_bytes = 0;
	chain->write_bytes = 0;
	r = queue->layout.packed ? packed_pop(queue, chain) : split_pop(queue, chain);
	if (r <= 0)
		return r;
	if (chain->read_bytes + chain->write_bytes > CHAIN_BYTES_MAX)
		return broken(queue, "a chain is of more than 4 GiB");
	/* The driver must not use a descriptor again before it has it back. Devices count on that. */
	if (queue->in_flight + chain->descriptors > queue->layout.size)
		return broken(queue, "more chains at a time than the queue is long");
	queue->in_flight += chain->descriptors;
	if (queue->layout.packed)
		queue->at.avail = packed_add(queue, queue->at.avail, chain->descriptors);
	else
		queue->at.avail++;
	return 1;
}

/**
 * virtq_unpop() - take back the last virtq_pop()
 * @queue: the queue
 * @chain: what it gave
 */
void virtq_unpop(struct virtq *queue, const struct virtq_chain *chain)
{
	if (!queue->desc)
		return;
	queue->in_flight -= chain->descriptors;
	if (queue->layout.packed)
		queue->at.avail = packed_sub(queue, queue->at.avail, chain->descriptors);
	else
		queue->at.avail--;
}

/**
 * virtq_gpa() - where a segment is for the guest
 * @queue: a queue that was started
 * @segment: of a chain that virtq_pop() gave
 *
 * Return: its guest-physical address, for virtq_reload().
 */
uint64_t virtq_gpa(const struct virtq *queue, const struct iovec *segment)
{
	return memory_gpa(queue->memory, segment->iov_base);
}

/**
 * virtq_reload() - take a chain that another launcher had popped and not pushed
 * @queue: the queue, started at the other one's position
 * @chain: @id, @descriptors, @nr_read and @nr_write as they were, room for segments; the rest is filled in
 * @gpa: addresses of the segments
 * @len: their lengths
 *
 * Return: 0, or -EINVAL if it is not a chain that this queue can have in flight.
 */
int virtq_reload(struct virtq *queue, struct virtq_chain *chain, const uint64_t *gpa, const uint32_t *len)
{
	unsigned int i, size = queue->layout.size;

	if (!queue->desc || chain->nr_read > size || chain->nr_write > size - chain->nr_read ||
	    chain->nr_read + chain->nr_write > chain->room || !(chain->nr_read + chain->nr_write) ||
	    !chain->descriptors || chain->descriptors > queue->unclaimed ||
	    (!queue->layout.packed && (chain->descriptors > 1 || chain->id >= size)))
		return -EINVAL;
	chain->read_bytes = 0;
	chain->write_bytes = 0;
	for (i = 0; i < chain->nr_read + chain->nr_write; i++) {
		void *ptr = guest_ptr(queue, gpa[i], len[i]);

		if (!ptr || !len[i])
			return -EINVAL;
		chain->iov[i].iov_base = ptr;
		chain->iov[i].iov_len = len[i];
		*(i < chain->nr_read ? &chain->read_bytes : &chain->write_bytes) += len[i];
	}
	if (chain->read_bytes + chain->write_bytes > CHAIN_BYTES_MAX)
		return -EINVAL;
	queue->unclaimed -= chain->descriptors;
	return 0;
}

static uint16_t packed_used_flags(uint16_t position, uint32_t written)
{
	uint16_t flags = position & WRAP ? DESC_AVAIL | DESC_USED : 0;

	return written ? flags | DESC_WRITE : flags;
}

/**
 * virtq_written() - those who follow memory shall hear that a chain was written to
 * @queue: the queue
 * @chain: the chain, whose segments the device may have narrowed
 *
 * virtq_stage() and virtq_push() do so.
 */
void virtq_written(const struct virtq *queue, const struct virtq_chain *chain)
{
	uint64_t narrowed = chain->write_bytes;
	const struct iovec *iov;
	unsigned int i;

	if (!queue->memory || !chain->nr_write || !memory_is_followed(queue->memory))
		return;
	iov = chain->iov + chain->nr_read;
	for (i = 0; i < chain->nr_write; i++)
		narrowed -= iov[i].iov_len < narrowed ? iov[i].iov_len : narrowed;
	memory_tell_segments(queue->memory, iov, chain->nr_write, narrowed);
}

/* @count elements from @first on, in a ring that has @size */
static void elements_written(const struct virtq *queue, const void *ring, size_t element, unsigned int first,
			     unsigned int count)
{
	unsigned int size = queue->layout.size;

	if (first + count > size) {
		first = 0;
		count = size;
	}
	memory_written(queue->memory, (const uint8_t *)ring + first * element, count * element);
}

/**
 * virtq_stage() - prepare to give back one of several chains
 * @queue: the queue
 * @chain: the chain
 * @written: bytes written, from the start of its writable part
 * @index: how many were staged since virtq_publish()
 */
void virtq_stage(struct virtq *queue, const struct virtq_chain *chain, uint32_t written, unsigned int index)
{
	virtq_written(queue, chain);
	if (!queue->desc)
		return;
	if (queue->layout.packed) {
		uint16_t position = packed_add(queue, queue->at.used, index ? queue->staged : 0);
		struct packed_desc *desc = (struct packed_desc *)queue->desc + (position & ~WRAP);
		uint16_t flags = packed_used_flags(position, written);

		__atomic_store_n(&desc->len, written, __ATOMIC_RELAXED);
		__atomic_store_n(&desc->id, chain->id, __ATOMIC_RELAXED);
		/* The driver goes through them in order: without the first it does not see the others. */
		if (index) {
			__atomic_store_n(&desc->flags, flags, __ATOMIC_RELAXED);
			queue->staged += chain->descriptors;
		} else {
			queue->staged_flags = flags;
			queue->staged = chain->descriptors;
		}
	} else {
		struct used_ring *used = queue->device;
		struct used_elem *elem = &used->ring[(queue->at.used + index) & (queue->layout.size - 1U)];

		__atomic_store_n(&elem->id, chain->id, __ATOMIC_RELAXED);
		__atomic_store_n(&elem->len, written, __ATOMIC_RELAXED);
	}
}

/**
 * virtq_publish() - give back what was staged
 * @queue: the queue
 * @count: how many chains
 */
void virtq_publish(struct virtq *queue, unsigned int count)
{
	if (!queue->desc || !count)
		return;
	if (queue->layout.packed) {
		struct packed_desc *first = (struct packed_desc *)queue->desc + (queue->at.used & ~WRAP);

		__atomic_store_n(&first->flags, queue->staged_flags, __ATOMIC_RELEASE);
		/* More than the two rounds that can be told apart since the last notification? */
		if (packed_distance(queue, queue->at.signalled, queue->at.used) + queue->staged >=
		    2U * queue->layout.size)
			queue->at.signalled_valid = false;
		elements_written(queue, queue->desc, sizeof(*first), queue->at.used & ~WRAP, queue->staged);
		queue->at.used = packed_add(queue, queue->at.used, queue->staged);
		queue->in_flight -= queue->staged;
	} else {
		struct used_ring *used = queue->device;

		if ((uint16_t)(queue->at.used - queue->at.signalled) + count > UINT16_MAX)
			queue->at.signalled_valid = false;
		queue->at.used += (uint16_t)count;
		queue->in_flight -= count;
		__atomic_store_n(&used->idx, queue->at.used, __ATOMIC_RELEASE);
		memory_written(queue->memory, &used->idx, sizeof(used->idx));
		elements_written(queue, used->ring, sizeof(used->ring[0]),
				 (queue->at.used - count) & (queue->layout.size - 1U), count);
	}
}

/**
 * virtq_push() - give a chain back
 * @queue: the queue
 * @chain: the chain
 * @written: bytes written, from the start of its writable part
 */
void virtq_push(struct virtq *queue, const struct virtq_chain *chain, uint32_t written)
{
	virtq_stage(queue, chain, written, 0);
	virtq_publish(queue, 1);
}

static bool split_should_notify(struct virtq *queue, uint16_t old, bool valid)
{
	struct split_ring *avail = queue->driver;
	uint16_t event;

	if (!queue->layout.event_idx)
		return !(__atomic_load_n(&avail->flags, __ATOMIC_RELAXED) & AVAIL_NO_INTERRUPT);
	event = __atomic_load_n(&avail->ring[queue->layout.size], __ATOMIC_RELAXED);
	return !valid || (uint16_t)(queue->at.used - event - 1) < (uint16_t)(queue->at.used - old);
}

static bool packed_should_notify(struct virtq *queue, uint16_t old, bool valid)
{
	uint32_t word = __atomic_load_n((uint32_t *)queue->driver, __ATOMIC_RELAXED);
	uint16_t event = (uint16_t)word;
	unsigned int after;

	switch (word >> 16 & 3) {
	case EVENT_DISABLE:
		return false;
	case EVENT_DESC:
		if (!queue->layout.event_idx || !valid || (event & ~WRAP) >= queue->layout.size)
			return true;
		after = packed_distance(queue, event, queue->at.used);
		return after && after <= packed_distance(queue, old, queue->at.used);
	}
	return true;
}

/**
 * virtq_should_notify() - does the driver want to hear of what was given back?
 * @queue: the queue
 *
 * Return: whether to send a used-buffer notification. What was asked about once counts as told.
 */
bool virtq_should_notify(struct virtq *queue)
{
	uint16_t old = queue->at.signalled;
	bool valid = queue->at.signalled_valid;

	if (!queue->desc)
		return false;
	/* The driver sets its event and then looks at the ring; here it is the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	queue->at.signalled = queue->at.used;
	queue->at.signalled_valid = true;
	if (queue->layout.packed)
		return packed_should_notify(queue, old, valid);
	return split_should_notify(queue, old, valid);
}

static void set_half(const struct virtq *queue, uint16_t *at, uint16_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
	memory_written(queue->memory, at, sizeof(*at));
}

static void set_word(const struct virtq *queue, uint32_t value)
{
	__atomic_store_n((uint32_t *)queue->device, value, __ATOMIC_RELAXED);
	memory_written(queue->memory, queue->device, sizeof(value));
}

/**
 * virtq_want_kicks() - tell the driver whether to notify of new chains
 * @queue: the queue
 * @wanted: whether
 *
 * It is a hint: there may be notifications that are not wanted.
 *
 * Return: @wanted, and there is a chain that came before the driver could know, or the queue is broken.
 */
bool virtq_want_kicks(struct virtq *queue, bool wanted)
{
	bool event_idx = queue->layout.event_idx;

	if (!queue->desc)
		return wanted && queue->broken;
	if (queue->layout.packed) {
		uint32_t word = (wanted ? event_idx ? EVENT_DESC : EVENT_ENABLE : EVENT_DISABLE) << 16;

		if (wanted && event_idx)
			word |= queue->at.avail;
		if (wanted != queue->kicks || (wanted && event_idx))
			set_word(queue, word);
	} else if (event_idx) {
		struct used_ring *used = queue->device;

		/* To want none, leave the event behind. */
		if (wanted)
			set_half(queue, (uint16_t *)&used->ring[queue->layout.size], queue->at.avail);
	} else if (wanted != queue->kicks) {
		struct used_ring *used = queue->device;

		set_half(queue, &used->flags, wanted ? 0 : USED_NO_NOTIFY);
	}
	queue->kicks = wanted;
	if (!wanted)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtq_has_chain(queue);
}

/**
 * virtq_has_chain() - is there something for virtq_pop()?
 * @queue: the queue
 *
 * Return: whether there is, or the queue is broken.
 */
bool virtq_has_chain(struct virtq *queue)
{
	uint64_t rest;

	if (!queue->desc)
		return queue->broken;
	if (queue->layout.packed)
		return packed_available(queue, &rest);
	return queue->at.avail != queue->avail_seen || split_look(queue);
}

/* Both directions of copying: find the segments, and let one of the two be @to or @from */
static size_t iov_copy(const struct iovec *iov, unsigned int nr, size_t offset, void *to, const void *from, size_t len)
{
	size_t done = 0;
	unsigned int i;

	for (i = 0; i < nr && done < len; i++) {
		uint8_t *at = iov[i].iov_base;
		size_t n = iov[i].iov_len;

		if (offset >= n) {
			offset -= n;
			continue;
		}
		at += offset;
		n -= offset;
		offset = 0;
		if (n > len - done)
			n = len - done;
		if (to)
			memcpy((uint8_t *)to + done, at, n);
		else
			memcpy(at, (const uint8_t *)from + done, n);
		done += n;
	}
	return done;
}

/**
 * iov_read() - copy from segments
 * @iov: the segments
 * @nr: how many
 * @offset: bytes of them to skip
 * @to: destination
 * @len: bytes
 *
 * Return: bytes copied: fewer than @len if the segments end before.
 */
size_t iov_read(const struct iovec *iov, unsigned int nr, size_t offset, void *to, size_t len)
{
	return iov_copy(iov, nr, offset, to, NULL, len);
}

/**
 * iov_write() - copy to segments
 * @iov: the segments
 * @nr: how many
 * @offset: bytes of them to skip
 * @from: source
 * @len: bytes
 *
 * Return: bytes copied: fewer than @len if the segments end before.
 */
size_t iov_write(const struct iovec *iov, unsigned int nr, size_t offset, const void *from, size_t len)
{
	return iov_copy(iov, nr, offset, NULL, from, len);
}

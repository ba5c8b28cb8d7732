// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtqueues: what goes in comes out, in every format; and whatever is wrong with a ring breaks it
 * with a reason, without a look at anything outside.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "follow.h"
#include "ring.h"
#include "tap.h"
#include "../vireo/util.h"

#define BYTES	(8 * MIB)
#define RING	0x10000		/* where rings are put */
#define DATA	0x400000	/* where data is put */
#define SIZE	16

#define NEXT	1
#define WRITE	2
#define INDIRECT 4
#define AVAIL	0x80
#define USED	0x8000

static struct guest_memory memory;
static struct ring ring;
static struct virtq queue;
static struct iovec iov[RING_SIZE_MAX];

static const char *const format_name[] = { "split", "packed" };

static struct virtq_chain empty(void)
{
	return (struct virtq_chain){ .iov = iov, .room = RING_SIZE_MAX };
}

static void begin(uint16_t size, unsigned int flags)
{
	ring_init(&ring, &memory, RING, size, flags);
	if (virtq_start(&queue, &memory, &ring.layout, NULL))
		abort();
}

static bool says(const char *word)
{
	return queue.broken && strstr(queue.broken, word);
}

/* The queue must break, with @word in the reason, stay so, and leave the device's ring alone. */
static void breaks(const char *word, const char *what)
{
	struct virtq_chain chain = empty();
	uint8_t before[64], after[64];
	int r;

	memory_read(&memory, ring.layout.device, before, sizeof(before));
	r = virtq_pop(&queue, &chain);
	is(r, -EPROTO, "%s: %s breaks it", format_name[ring.layout.packed], what);
	if (!ok(says(word), "and it says why"))
		tap_skip("it says: %s", queue.broken ? queue.broken : "nothing");
	r = virtq_pop(&queue, &chain);
	ok(r == -EPROTO && virtq_has_chain(&queue) && virtq_want_kicks(&queue, true), "it stays broken");
	chain.id = 0;
	chain.descriptors = 1;
	virtq_push(&queue, &chain, 4);
	memory_read(&memory, ring.layout.device, after, sizeof(after));
	ok(!memcmp(before, after, sizeof(before)) && !virtq_should_notify(&queue), "and is not touched any more");
}

/* One descriptor by hand, and what makes it available */
static void one(uint64_t addr, uint32_t len, uint16_t flags)
{
	if (ring.layout.packed) {
		ring_put_desc(&memory, RING, 0, addr, len, 0, flags | AVAIL);
	} else {
		uint16_t head[3] = { 0, 1, 0 };

		ring_put_desc(&memory, RING, 0, addr, len, flags, 1);
		memory_write(&memory, ring.layout.driver, head, sizeof(head));
	}
}

/* A descriptor of an indirect table, or of the ring's rest, by hand */
static void another(uint64_t table, unsigned int index, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	if (ring.layout.packed)
		ring_put_desc(&memory, table, index, addr, len, next, table == RING ? flags | AVAIL : flags);
	else
		ring_put_desc(&memory, table, index, addr, len, flags, next);
}

static void test_start(bool packed)
{
	struct virtq_position at = { 0, 0, 0, false };
	struct virtq_layout layout;
	unsigned int i;
	static const struct {
		uint64_t desc, driver, device;
		uint32_t size;
		const char *word;
	} bad[] = {
		{ RING + 8, 0x20000, 0x30000, 16, "misaligned" },
		{ RING, 0x20001, 0x30000, 16, "misaligned" },
		{ RING, 0x20000, 0x30002, 16, "misaligned" },
		{ BYTES, 0x20000, 0x30000, 16, "memory" },
		{ BYTES - 240, 0x20000, 0x30000, 16, "memory" },
		{ RING, BYTES, 0x30000, 16, "memory" },
		{ RING, 0x20000, BYTES, 16, "memory" },
		{ RING, 0xfffffffffffffffc, 0x30000, 16, "memory" },
		{ RING, 0x20000, 0xfffffffffffffffc, 16, "memory" },
		{ 0xfffffffffffffff0, 0x20000, 0x30000, 16, "memory" },
		{ RING, 0x20000, 0x30000, 0, "size" },
		{ RING, 0x20000, 0x30000, 32769, "size" },
		{ RING, 0x20000, 0x30000, 65535, "size" },
		{ MEMORY_LOW_MAX, 0x20000, 0x30000, 16, "memory" },
	};

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		layout = (struct virtq_layout){ (uint16_t)bad[i].size, packed, true, true, bad[i].desc, bad[i].driver,
						bad[i].device };
		is(virtq_start(&queue, &memory, &layout, NULL), -EINVAL, "%s: impossible ring %u", format_name[packed],
		   i);
		ok(says(bad[i].word) && !queue.ready, "is refused for %s", bad[i].word);
	}
	layout = (struct virtq_layout){ 24, packed, false, false, RING, 0x20000, 0x30000 };
	is(virtq_start(&queue, &memory, &layout, NULL), packed ? 0 : -EINVAL, "%s: size 24", format_name[packed]);
	/* The rings end where memory ends. */
	layout = (struct virtq_layout){ 16, packed, false, false, BYTES - 256, 0x20000, BYTES - 132 };
	is(virtq_start(&queue, &memory, &layout, NULL), 0, "%s: rings at the end of memory", format_name[packed]);
	virtq_stop(&queue);
	ok(!queue.ready && !virtq_has_chain(&queue), "a stopped queue has no chains");

	layout = (struct virtq_layout){ 16, packed, true, true, RING, 0x20000, 0x30000 };
	at.avail = 17;
	is(virtq_start(&queue, &memory, &layout, &at), -EINVAL, "%s: an impossible position", format_name[packed]);
	at.used = 17;
	is(virtq_start(&queue, &memory, &layout, &at), packed ? -EINVAL : 0, "%s: position 17", format_name[packed]);
}

static void test_malformed(bool packed)
{
	unsigned int flags = packed ? RING_PACKED : 0;
	struct virtq_chain chain = empty();
	unsigned int i;

	begin(SIZE, flags);
	one(DATA, 0, 0);
	breaks("length 0", "a descriptor of no length");
	begin(SIZE, flags);
	one(BYTES, 1, 0);
	breaks("not in memory", "a buffer behind memory");
	begin(SIZE, flags);
	one(BYTES - 16, 17, 0);
	breaks("not in memory", "a buffer that ends behind memory");
	begin(SIZE, flags);
	one(UINT64_MAX - 15, 32, 0);
	breaks("not in memory", "a buffer that wraps around");
	begin(SIZE, flags);
	one(0, UINT32_MAX, WRITE);
	breaks("not in memory", "a buffer of 4 GiB - 1");
	begin(SIZE, flags);
	one(MEMORY_HIGH_BASE, 16, WRITE);
	breaks("not in memory", "a buffer in memory that there is not");

	/* All of the ring, each descriptor going on to the next */
	begin(SIZE, flags);
	one(DATA, 16, NEXT);
	for (i = 1; i < SIZE; i++)
		another(RING, i, DATA, 16, NEXT, (i + 1) % SIZE);
	breaks("loop", "a loop");
	begin(SIZE, flags);
	one(DATA, 16, NEXT | WRITE);
	another(RING, 1, DATA, 16, 0, 0);
	breaks("after one to write", "reading after writing");

	begin(SIZE, flags);
	one(DATA, 16, INDIRECT);
	breaks("not negotiated", "an indirect descriptor");
	flags |= RING_INDIRECT;
	begin(SIZE, flags);
	one(DATA, 16, INDIRECT | NEXT);
	breaks("next", "an indirect descriptor that goes on");
	for (i = 0; i < 48; i += 5) {
		begin(SIZE, flags);
		one(DATA, i, INDIRECT);
		breaks("multiple of 16", "an indirect table of odd length");
	}
	begin(SIZE, flags);
	one(BYTES - 16, 32, INDIRECT);
	breaks("table is not in memory", "an indirect table behind memory");
	begin(SIZE, flags);
	one(UINT64_MAX - 15, 32, INDIRECT);
	breaks("table is not in memory", "an indirect table that wraps around");
	begin(SIZE, flags);
	for (i = 0; i <= SIZE; i++)
		another(DATA, i, DATA, 16, i < SIZE ? NEXT : 0, i + 1);
	one(DATA, (SIZE + 1) * 16, INDIRECT);
	breaks("longer than the queue", "an indirect table longer than the queue");
	begin(SIZE, flags);
	another(DATA, 0, BYTES, 16, 0, 0);
	one(DATA, 16, INDIRECT);
	breaks("not in memory", "an indirect descriptor's buffer behind memory");
	begin(SIZE, flags);
	another(DATA, 0, DATA, 16, WRITE | NEXT, 1);
	another(DATA, 1, DATA, 16, 0, 0);
	one(DATA, 32, INDIRECT);
	breaks("after one to write", "reading after writing in a table");

	/* Direct ones and then a table are allowed, as many as the queue is long in all. */
	begin(SIZE, flags);
	one(DATA, 16, NEXT);
	another(RING, 1, DATA + 64, 32, INDIRECT | WRITE, 0);
	another(DATA + 64, 0, DATA, 8, NEXT, 1);
	another(DATA + 64, 1, DATA, 8, WRITE, 0);
	is(virtq_pop(&queue, &chain), 1, "%s: a table after a descriptor", format_name[packed]);
	ok(chain.nr_read == 2 && chain.nr_write == 1 && chain.read_bytes == 24 && chain.write_bytes == 8,
	   "is a chain of three");
	begin(SIZE, flags);
	one(DATA, 16, NEXT);
	for (i = 1; i < SIZE; i++)
		another(RING, i, DATA, 16, i < SIZE - 1 ? NEXT : 0, i + 1);
	is(virtq_pop(&queue, &chain), 1, "%s: a chain as long as the queue", format_name[packed]);
	is(chain.nr_read, SIZE, "is that long");
	begin(SIZE, flags);
	one(DATA, 16, NEXT);
	another(RING, 1, DATA, 16, 0, 0);
	chain.room = 1;
	is(virtq_pop(&queue, &chain), -EPROTO, "%s: more segments than there is room for", format_name[packed]);
	ok(says("than the device takes"), "break it, and it says so");
}

static void test_malformed_split(void)
{
	uint16_t words[4] = { 0, 1, 0, 0 };
	struct virtq_chain chain = empty();
	unsigned int i;

	begin(SIZE, 0);
	words[2] = SIZE;
	memory_write(&memory, ring.layout.driver, words, sizeof(words));
	breaks("outside its table", "a head outside the table");
	begin(SIZE, 0);
	words[2] = 0xffff;
	memory_write(&memory, ring.layout.driver, words, sizeof(words));
	breaks("outside its table", "a head far outside the table");
	begin(SIZE, 0);
	one(DATA, 16, NEXT);
	ring_put_desc(&memory, RING, 0, DATA, 16, NEXT, SIZE);
	breaks("outside its table", "a next descriptor outside the table");
	begin(SIZE, 0);
	one(DATA, 16, NEXT);
	ring_put_desc(&memory, RING, 0, DATA, 16, NEXT, 0);
	breaks("loop", "a descriptor that goes on to itself");
	begin(SIZE, RING_INDIRECT);
	another(DATA, 0, DATA, 16, NEXT, 2);
	one(DATA, 32, INDIRECT);
	breaks("outside its table", "a next descriptor outside an indirect table");
	begin(SIZE, RING_INDIRECT);
	another(DATA, 0, DATA, 16, NEXT, 0);
	one(DATA, 16, INDIRECT);
	breaks("loop", "a loop in an indirect table");
	begin(SIZE, RING_INDIRECT);
	another(DATA, 0, DATA, 16, INDIRECT, 0);
	one(DATA, 16, INDIRECT);
	breaks("in an indirect table", "a table in a table");
	for (i = SIZE + 1; i < 65536; i = i * 2 + 1) {
		begin(SIZE, 0);
		words[1] = (uint16_t)i;
		memory_write(&memory, ring.layout.driver, words, sizeof(words));
		breaks("further on", "an available index that jumps");
	}

	/* Chains that nobody has given back must not come again. */
	begin(SIZE, 0);
	one(DATA, 16, 0);
	words[1] = SIZE;
	words[2] = 0;
	memory_write(&memory, ring.layout.driver, words, 6);
	for (i = 0; i < SIZE; i++)
		virtq_pop(&queue, &chain);
	is(chain.id, 0, "split: a head may come more than once");
	words[1] = SIZE + 1;
	memory_write(&memory, ring.layout.driver, words, 6);
	breaks("at a time", "one more chain than the queue is long");
}

static void test_malformed_packed(void)
{
	struct virtq_chain chain = empty();
	unsigned int i;

	begin(SIZE, RING_PACKED);
	ring_put_desc(&memory, RING, 0, DATA, 16, 0, AVAIL | USED);
	is(virtq_pop(&queue, &chain), 0, "packed: a used descriptor is not available");
	ring_put_desc(&memory, RING, 0, DATA, 16, 0, USED);
	is(virtq_pop(&queue, &chain), 0, "packed: nor is one of the next round");
	ring_put_desc(&memory, RING, 1, DATA, 16, 0, AVAIL);
	is(virtq_pop(&queue, &chain), 0, "packed: nor one that is not next");

	begin(SIZE, RING_PACKED);
	for (i = 0; i < SIZE; i++)
		ring_put_desc(&memory, RING, i, DATA, 16, 0xffff, AVAIL);
	for (i = 0; i < SIZE; i++)
		virtq_pop(&queue, &chain);
	is(chain.id, 0xffff, "packed: an ID is the driver's own affair");
	is(virtq_pop(&queue, &chain), 0, "packed: descriptors do not come again");
	ring_put_desc(&memory, RING, 0, DATA, 16, 0, USED);
	breaks("at a time", "one more descriptor than the queue is long");
}

static void test_too_long(void)
{
	struct guest_memory large;
	struct virtq_chain chain = empty();
	unsigned int i;
	int r;

	/* Two pieces: addresses above 4 GiB, and the hole between them. The pages are never touched. */
	r = memory_alloc(&large, MEMORY_LOW_MAX + 64 * MIB);
	if (r) {
		tap_skip("no address space: %d", r);
		return;
	}
	ring_init(&ring, &large, RING, SIZE, 0);
	for (i = 0; i < 3; i++)
		ring_put_desc(&large, RING, i, 0, 0x80000000, i < 2 ? NEXT : 0, (uint16_t)(i + 1));
	memory_write(&large, ring.layout.driver, (uint16_t[]){ 0, 1, 0 }, 6);
	virtq_start(&queue, &large, &ring.layout, NULL);
	is(virtq_pop(&queue, &chain), -EPROTO, "a chain of 6 GiB");
	ok(says("4 GiB"), "is too long");
	ring_put_desc(&large, RING, 1, MEMORY_HIGH_BASE, 0x4000000, 0, 0);
	virtq_start(&queue, &large, &ring.layout, NULL);
	is(virtq_pop(&queue, &chain), 1, "a chain in both pieces of memory");
	ok(iov[1].iov_base == memory_ptr(&large, MEMORY_HIGH_BASE, 1), "leads there");
	ring_put_desc(&large, RING, 0, MEMORY_LOW_MAX - 16, 32, 0, 0);
	virtq_start(&queue, &large, &ring.layout, NULL);
	is(virtq_pop(&queue, &chain), -EPROTO, "a buffer that ends in the hole is refused");
	ring_put_desc(&large, RING, 0, MEMORY_LOW_MAX - 16, 0x40000020, 0, 0);
	virtq_start(&queue, &large, &ring.layout, NULL);
	is(virtq_pop(&queue, &chain), -EPROTO, "and one that spans it");
	ring_init(&ring, &large, MEMORY_HIGH_BASE, SIZE, RING_PACKED);
	ring_put_desc(&large, MEMORY_HIGH_BASE, 0, MEMORY_HIGH_BASE + 0x3fffff0, 16, 7, AVAIL);
	virtq_start(&queue, &large, &ring.layout, NULL);
	is(virtq_pop(&queue, &chain), 1, "a ring in the upper piece");
	memory_free(&large);
}

/* What the driver model has out, in order */
struct sent {
	uint16_t id;
	uint32_t read, write, salt;
};

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/*
 * A driver and a device at random: chains come out as they went in, in order, once; those given back
 * come back with their lengths, and whoever waits is told.
 */
static bool model(unsigned int size, unsigned int flags, uint32_t seed)
{
	static struct sent pending[RING_SIZE_MAX], taken[RING_SIZE_MAX];
	static struct virtq_chain held[RING_SIZE_MAX];
	unsigned int nr_pending = 0, nr_taken = 0, i, step;
	uint32_t expect_len[RING_SIZE_MAX] = { 0 };
	bool driver_waits = false, device_waits = false;
	uint32_t state = seed;

	begin((uint16_t)size, flags);
	for (step = 0; step < 6000; step++) {
		uint32_t what = next_random(&state) % 16;
		struct ring_buf buf[8];
		struct virtq_chain chain = empty();
		uint16_t id;
		uint32_t len;
		int r;

		if (what < 6) {
			unsigned int nr = 1 + next_random(&state) % 8;
			unsigned int reads = next_random(&state) % (nr + 1);
			struct sent sent = { .salt = next_random(&state) };

			if (nr > size)
				nr = size;
			for (i = 0; i < nr; i++) {
				buf[i].gpa = DATA + next_random(&state) % (2 * MIB);
				buf[i].len = 4 + next_random(&state) % 5000;
				buf[i].write = i >= reads;
				*(buf[i].write ? &sent.write : &sent.read) += buf[i].len;
			}
			r = ring_add(&ring, buf, nr, flags & RING_INDIRECT && next_random(&state) & 1);
			if (r < 0)
				continue;
			if (ring_should_kick(&ring))
				device_waits = false;
			/* The first segment's address is the mark by which it is known again. */
			sent.id = (uint16_t)r;
			sent.salt = (uint32_t)buf[0].gpa;
			pending[nr_pending++] = sent;
		} else if (what < 10) {
			if (device_waits) {
				/* Nothing may have come while it sleeps. */
				if (nr_pending)
					return ok(false, "the device was told (step %u)", step);
				continue;
			}
			r = virtq_pop(&queue, &chain);
			if (r != (nr_pending > 0))
				return ok(false, "pop gives %d (step %u): %s", r, step, queue.broken);
			if (!r)
				continue;
			if (chain.id != pending[0].id || chain.read_bytes != pending[0].read ||
			    chain.write_bytes != pending[0].write ||
			    iov[0].iov_base != memory_ptr(&memory, pending[0].salt, 1))
				return ok(false, "a chain comes out as it went in (step %u)", step);
			if (next_random(&state) % 8 == 0) {
				virtq_unpop(&queue, &chain);
				continue;
			}
			held[nr_taken] = chain;
			taken[nr_taken++] = pending[0];
			memmove(pending, pending + 1, --nr_pending * sizeof(*pending));
		} else if (what < 13) {
			unsigned int batch = 1 + next_random(&state) % 4, staged;

			for (staged = 0; staged < batch && nr_taken; staged++) {
				i = next_random(&state) % nr_taken;
				len = next_random(&state) % (taken[i].write + 1);
				expect_len[taken[i].id] = len;
				virtq_stage(&queue, &held[i], len, staged);
				held[i] = held[--nr_taken];
				taken[i] = taken[nr_taken];
			}
			virtq_publish(&queue, staged);
			if (staged && virtq_should_notify(&queue))
				driver_waits = false;
		} else if (what == 13) {
			if (driver_waits) {
				id = ring.used;
				if (ring_get_used(&ring, &id, &len))
					return ok(false, "the driver was told (step %u)", step);
				continue;
			}
			while (ring_get_used(&ring, &id, &len)) {
				if (len != expect_len[id])
					return ok(false, "lengths come back (step %u)", step);
			}
			/* Go to sleep; look once more, as drivers do. */
			ring_want_interrupts(&ring, true);
			driver_waits = !ring_get_used(&ring, &id, &len);
		} else if (what == 14) {
			virtq_want_kicks(&queue, false);
			device_waits = !virtq_want_kicks(&queue, true);
			if (device_waits != !nr_pending)
				return ok(false, "the device sees what is there (step %u)", step);
		} else {
			/* A pause: position and layout are all there is. */
			struct virtq_layout layout = queue.layout;
			struct virtq_position at = queue.at;

			virtq_stop(&queue);
			memset(&queue, 0xa5, sizeof(queue));
			if (virtq_start(&queue, &memory, &layout, &at))
				return ok(false, "goes on after a pause (step %u): %s", step, queue.broken);
			device_waits = false;
		}
	}
	return true;
}

static void test_model(void)
{
	static const unsigned int sizes[] = { 1, 2, 8, 64, 256, 3, 7, 100 };
	unsigned int flags, i;

	for (flags = 0; flags < 8; flags++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			if (sizes[i] & (sizes[i] - 1) && !(flags & RING_PACKED))
				continue;
			ok(model(sizes[i], flags, 12345 + flags), "%s%s%s, size %u: what goes in comes out",
			   format_name[flags & 1], flags & 2 ? ", event index" : "", flags & 4 ? ", indirect" : "",
			   sizes[i]);
		}
	}
}

/* Indexes and wrap counters go round; signals are few. */
static void test_wrap(unsigned int flags)
{
	struct ring_buf buf = { DATA, 64, true };
	unsigned int i, notified = 0, kicked = 0, lost = 0;
	struct virtq_chain chain = empty();
	uint16_t id;
	uint32_t len;

	begin(SIZE, flags);
	for (i = 0; i < 140000; i++) {
		ring_want_interrupts(&ring, i % 4 == 3);
		virtq_want_kicks(&queue, i % 2);
		if (ring_add(&ring, &buf, 1, false) < 0)
			lost++;
		kicked += ring_should_kick(&ring);
		if (virtq_pop(&queue, &chain) != 1)
			lost++;
		virtq_push(&queue, &chain, i & 63);
		notified += virtq_should_notify(&queue);
		if (!ring_get_used(&ring, &id, &len) || len != (i & 63))
			lost++;
	}
	is(lost, 0, "%s, %x: 140000 chains, none is lost", format_name[flags & 1], flags);
	ok(kicked >= 69990 && kicked <= 70010, "half of them with a kick: %u", kicked);
	ok(notified >= 34990 && notified <= 35010, "a quarter with a notification: %u", notified);
}

/* Several given back at once are seen at once. */
static void test_stage(bool packed)
{
	struct ring_buf buf[2] = { { DATA, 64, true }, { DATA, 64, true } };
	struct virtq_chain chain[3];
	unsigned int i;
	uint16_t id;
	uint32_t len;

	begin(SIZE, packed ? RING_PACKED : 0);
	for (i = 0; i < 3; i++) {
		ring_add(&ring, buf, 2, false);
		chain[i] = empty();
		virtq_pop(&queue, &chain[i]);
	}
	for (i = 3; i-- > 0;)
		virtq_unpop(&queue, &chain[i]);
	for (i = 0; i < 3; i++) {
		is(virtq_pop(&queue, &chain[i]), 1, "what was taken back comes again");
		virtq_stage(&queue, &chain[i], 10 + i, i);
		ok(!ring_get_used(&ring, &id, &len), "staged is not seen");
	}
	virtq_publish(&queue, 3);
	for (i = 0; i < 3; i++)
		ok(ring_get_used(&ring, &id, &len) && len == 10 + i, "published is, in order");
	ok(!ring_get_used(&ring, &id, &len), "and there is no more");
}

/* Who follows memory is told of all that the device writes, also to segments that it has narrowed. */
static void test_followed(unsigned int flags)
{
	struct ring_buf buf[3] = { { DATA, 64, false }, { DATA + 0x10000, 0x3000, true }, { DATA + 0x20800, 0x800, true } };
	unsigned int i, n, told, missed = 0, most = 0;
	struct virtq_chain chain[2];
	uint16_t id;
	uint32_t len;

	begin(SIZE, flags);
	for (i = 0; i < 40; i++) {
		for (n = 0; n < 2; n++)
			if (ring_add(&ring, buf, 3, flags & RING_INDIRECT) < 0)
				abort();
		for (n = 0; n < 2; n++) {
			chain[n] = empty();
			if (virtq_pop(&queue, &chain[n]) != 1)
				abort();
		}
		follow_begin(&memory);
		virtq_want_kicks(&queue, i & 1);
		missed += follow_end(&memory, NULL);
		follow_begin(&memory);
		for (n = 0; n < 2; n++) {
			struct iovec *write = iov + 1;

			memset(memory_ptr(&memory, buf[1].gpa, buf[1].len), (int)(2 * i + n), buf[1].len);
			memset(memory_ptr(&memory, buf[2].gpa, buf[2].len), (int)(2 * i + n), buf[2].len);
			write[0] = (struct iovec){ memory_ptr(&memory, buf[1].gpa + 0x2000, 0x1000), 0x1000 };
			write[1] = (struct iovec){ memory_ptr(&memory, buf[2].gpa, 0x7ff), 0x7ff };
			virtq_stage(&queue, &chain[n], 1000 + i, n);
		}
		virtq_publish(&queue, 2);
		missed += follow_end(&memory, &told);
		follow_begin(&memory);
		virtq_want_kicks(&queue, !(i & 1));
		missed += follow_end(&memory, NULL);
		most = told > most ? told : most;
		for (n = 0; n < 2; n++)
			if (!ring_get_used(&ring, &id, &len))
				abort();
	}
	is(missed, 0, "%s, %x: a follower is told of everything", format_name[flags & 1], flags);
	ok(most < 40, "and of little else: %u pages", most);
}

/* Chains that are in flight move to another launcher. */
static void test_reload(bool packed)
{
	struct ring_buf buf[3] = { { DATA, 64, false }, { DATA + 100, 65, false }, { BYTES - 66, 66, true } };
	uint64_t gpa[3], outside[3] = { DATA, BYTES, 0 };
	uint32_t len[3], none[3] = { 64, 0, 66 };
	struct virtq_chain chain = empty(), other, bad;
	struct virtq_layout layout;
	struct virtq_position at;
	unsigned int i;
	uint16_t id;
	uint32_t got;

	begin(SIZE, packed ? RING_PACKED : 0);
	other = empty();
	for (i = 0; i < 2; i++)
		ring_add(&ring, buf, 3, false);
	virtq_pop(&queue, &other);
	virtq_pop(&queue, &chain);
	for (i = 0; i < 3; i++) {
		gpa[i] = virtq_gpa(&queue, &iov[i]);
		len[i] = (uint32_t)iov[i].iov_len;
		is(gpa[i], buf[i].gpa, "%s: where a segment is", format_name[packed]);
	}
	/* The second is done before the first, whose descriptors are overwritten then. */
	virtq_push(&queue, &chain, 9);
	layout = queue.layout;
	at = queue.at;
	memset(&queue, 0xa5, sizeof(queue));
	is(virtq_start(&queue, &memory, &layout, &at), 0, "a queue goes on with a chain in flight");
	bad = other;
	bad.nr_write = SIZE;
	is(virtq_reload(&queue, &bad, gpa, len), -EINVAL, "too many segments");
	bad = other;
	bad.room = 2;
	is(virtq_reload(&queue, &bad, gpa, len), -EINVAL, "more segments than there is room for");
	bad = other;
	bad.nr_read = bad.nr_write = 0;
	is(virtq_reload(&queue, &bad, gpa, len), -EINVAL, "no segments");
	bad = other;
	bad.descriptors = 4;
	is(virtq_reload(&queue, &bad, gpa, len), -EINVAL, "too many descriptors");
	bad.descriptors = 0;
	is(virtq_reload(&queue, &bad, gpa, len), -EINVAL, "no descriptors");
	bad = other;
	is(virtq_reload(&queue, &bad, outside, len), -EINVAL, "a segment outside memory");
	is(virtq_reload(&queue, &bad, gpa, none), -EINVAL, "a segment of no length");
	other.iov = iov;
	is(virtq_reload(&queue, &other, gpa, len), 0, "the chain is loaded again");
	ok(other.read_bytes == 129 && other.write_bytes == 66 &&
	   iov[2].iov_base == memory_ptr(&memory, BYTES - 66, 66), "as it was");
	bad = other;
	is(virtq_reload(&queue, &bad, gpa, len), -EINVAL, "but not twice");
	virtq_push(&queue, &other, 8);
	ok(ring_get_used(&ring, &id, &got) && got == 9 && ring_get_used(&ring, &id, &got) && got == 8,
	   "and the driver has both back");
}

/* Segments never lie outside memory, whatever the guest writes while the queue is read. */
static bool writer_ends;

static void *writer(void *arg)
{
	volatile uint64_t *words = memory_ptr(&memory, RING, 4096);
	uint32_t state = 99;

	(void)arg;
	while (!__atomic_load_n(&writer_ends, __ATOMIC_RELAXED)) {
		unsigned int i = next_random(&state) % 64;
		uint64_t value = next_random(&state) & 0xffffff;

		/* Descriptors that are good more often than not; and then the available ring */
		if (i >= 2 * SIZE)
			value = next_random(&state) & 0x000f000f000f000f;
		else if (i & 1)
			value = (next_random(&state) & 0x7ff0) | (uint64_t)(next_random(&state) & 7) << 32 |
				(uint64_t)(next_random(&state) & (ring.layout.packed ? 0x8087 : 7)) << 48;
		words[i] = value;
	}
	return NULL;
}

static void test_race(unsigned int flags)
{
	const uint8_t *from = memory_ptr(&memory, 0, 1);
	unsigned int popped = 0, broken = 0, outside = 0, j;
	pthread_t thread;

	begin(SIZE, flags | RING_INDIRECT);
	writer_ends = false;
	if (pthread_create(&thread, NULL, writer, NULL))
		abort();
	while (popped < 5000 || broken < 5000) {
		struct virtq_chain chain = empty();

		if (queue.broken)
			virtq_start(&queue, &memory, &ring.layout, NULL);
		/* On one processor the other thread needs its turn. */
		if ((popped + broken) % 64 == 0)
			sched_yield();
		/* Something is always available. */
		if (flags & RING_PACKED) {
			uint16_t word = queue.at.avail & 0x8000 ? AVAIL : USED;

			memory_write(&memory, RING + (queue.at.avail & 0x7fff) * 16ULL + 14, &word, 2);
		} else {
			uint16_t word = queue.at.avail + 1;

			memory_write(&memory, ring.layout.driver + 2, &word, 2);
		}
		if (virtq_pop(&queue, &chain) != 1) {
			broken++;
			continue;
		}
		popped++;
		for (j = 0; j < chain.nr_read + chain.nr_write; j++) {
			const uint8_t *base = iov[j].iov_base;

			outside += base < from || base + iov[j].iov_len > from + BYTES || !iov[j].iov_len;
		}
		virtq_push(&queue, &chain, 0);
	}
	__atomic_store_n(&writer_ends, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	is(outside, 0, "%s: chains of a ring changed meanwhile have nothing outside memory", format_name[flags & 1]);
}

static void test_iov(void)
{
	char a[4] = "abcd", b[2] = "ef", c[4] = "ghij", out[12];
	struct iovec segments[3] = { { a, 4 }, { b, 2 }, { c, 4 } };

	memset(out, '.', sizeof(out));
	is(iov_read(segments, 3, 3, out, 4), 4, "reading across three segments");
	ok(!memcmp(out, "defg.", 5), "gives what is there");
	is(iov_read(segments, 3, 8, out, 12), 2, "reading beyond the end");
	is(iov_read(segments, 3, 10, out, 12), 0, "reading from the end");
	is(iov_read(segments, 3, 999, out, 12), 0, "reading from behind it");
	is(iov_write(segments, 3, 5, "XYZ", 3), 3, "writing across segments");
	ok(!memcmp(a, "abcd", 4) && !memcmp(b, "eX", 2) && !memcmp(c, "YZij", 4), "puts it there");
	is(iov_write(segments, 3, 9, "123", 3), 1, "writing beyond the end");
}

int main(void)
{
	unsigned int flags;

	if (memory_alloc(&memory, BYTES))
		abort();
	test_start(false);
	test_start(true);
	test_malformed(false);
	test_malformed(true);
	test_malformed_split();
	test_malformed_packed();
	test_too_long();
	test_model();
	for (flags = 0; flags < 4; flags++) {
		test_wrap(flags);
		test_stage(flags & 1);
	}
	for (flags = 0; flags < 8; flags++)
		test_followed(flags);
	test_reload(false);
	test_reload(true);
	test_race(0);
	test_race(RING_PACKED);
	test_iov();
	memory_free(&memory);
	return tap_done();
}

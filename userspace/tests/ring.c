// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "ring.h"
#include "../vireo/util.h"

#define NEXT		1
#define WRITE		2
#define INDIRECT	4
#define AVAIL		0x80
#define USED		0x8000
#define WRAP		0x8000

static void put16(struct ring *ring, uint64_t gpa, uint16_t value)
{
	__atomic_store_n((uint16_t *)memory_ptr(ring->memory, gpa, 2), value, __ATOMIC_SEQ_CST);
}

static uint16_t get16(const struct ring *ring, uint64_t gpa)
{
	return __atomic_load_n((uint16_t *)memory_ptr(ring->memory, gpa, 2), __ATOMIC_SEQ_CST);
}

static uint32_t get32(const struct ring *ring, uint64_t gpa)
{
	return __atomic_load_n((uint32_t *)memory_ptr(ring->memory, gpa, 4), __ATOMIC_SEQ_CST);
}

void ring_put_desc(struct guest_memory *memory, uint64_t gpa, unsigned int index, uint64_t addr, uint32_t len,
		   uint16_t first, uint16_t second)
{
	uint8_t bytes[16];

	memcpy(bytes, &addr, 8);
	memcpy(bytes + 8, &len, 4);
	memcpy(bytes + 12, &first, 2);
	memcpy(bytes + 14, &second, 2);
	if (memory_write(memory, gpa + index * 16ULL, bytes, 16))
		abort();
}

/* Rings from @gpa, a multiple of 16, on; what they need is cleared. */
void ring_init(struct ring *ring, struct guest_memory *memory, uint64_t gpa, uint16_t size, unsigned int flags)
{
	unsigned int i;

	if (!size || size > RING_SIZE_MAX)
		abort();
	memset(ring, 0, sizeof(*ring));
	ring->memory = memory;
	ring->layout.size = size;
	ring->layout.packed = flags & RING_PACKED;
	ring->layout.event_idx = flags & RING_EVENT_IDX;
	ring->layout.indirect = flags & RING_INDIRECT;
	ring->layout.desc = gpa;
	ring->layout.driver = gpa + size * 16ULL;
	ring->layout.device = ALIGN_UP(ring->layout.driver + 6 + size * 2ULL, 16);
	ring->tables = ALIGN_UP(ring->layout.device + 6 + size * 8ULL, 16);
	ring->end = ring->tables + size * RING_TABLE_MAX * 16ULL;
	if (memory_zero(memory, gpa, ring->end - gpa))
		abort();
	ring->free = size;
	for (i = 0; i < size; i++)
		ring->next[i] = (uint16_t)(i + 1);
	if (ring->layout.packed)
		ring->avail = ring->used = ring->kicked = WRAP;
}

static void put_table(struct ring *ring, uint64_t table, const struct ring_buf *buf, unsigned int nr)
{
	unsigned int i;

	if (nr > RING_TABLE_MAX)
		abort();
	for (i = 0; i < nr; i++) {
		uint16_t flags = buf[i].write ? WRITE : 0;

		if (ring->layout.packed)
			ring_put_desc(ring->memory, table, i, buf[i].gpa, buf[i].len, 0, flags);
		else
			ring_put_desc(ring->memory, table, i, buf[i].gpa, buf[i].len,
				      i + 1 < nr ? flags | NEXT : flags, i + 1 < nr ? (uint16_t)(i + 1) : 0);
	}
}

static int split_add(struct ring *ring, const struct ring_buf *buf, unsigned int nr, bool indirect)
{
	uint16_t id = ring->head, index = id;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		uint16_t flags = buf[i].write ? WRITE : 0;
		uint16_t next = ring->next[index];

		if (indirect)
			flags |= INDIRECT;
		else if (i + 1 < nr)
			flags |= NEXT;
		ring_put_desc(ring->memory, ring->layout.desc, index, buf[i].gpa, buf[i].len, flags,
			      flags & NEXT ? next : 0);
		if (i + 1 == nr)
			ring->head = next;
		else
			index = next;
	}
	ring->count[id] = (uint16_t)nr;
	ring->free -= (uint16_t)nr;
	put16(ring, ring->layout.driver + 4 + 2ULL * (ring->avail % ring->layout.size), id);
	ring->avail++;
	put16(ring, ring->layout.driver + 2, ring->avail);
	return id;
}

static uint16_t advance(const struct ring *ring, uint16_t position, unsigned int n)
{
	while (n--) {
		position++;
		if ((position & ~WRAP) == ring->layout.size)
			position = (position & WRAP) ^ WRAP;
	}
	return position;
}

static int packed_add(struct ring *ring, const struct ring_buf *buf, unsigned int nr, bool indirect)
{
	uint16_t position = ring->avail, head_flags = 0;
	unsigned int i;
	uint16_t id;

	for (id = 0; ring->count[id]; id++)
		;
	for (i = 0; i < nr; i++) {
		uint16_t flags = position & WRAP ? AVAIL : USED;
		unsigned int index = position & ~WRAP;

		if (buf[i].write)
			flags |= WRITE;
		if (indirect)
			flags |= INDIRECT;
		else if (i + 1 < nr)
			flags |= NEXT;
		if (i)
			ring_put_desc(ring->memory, ring->layout.desc, index, buf[i].gpa, buf[i].len, id, flags);
		else	/* The first one's flags come last. */
			ring_put_desc(ring->memory, ring->layout.desc, index, buf[i].gpa, buf[i].len, id,
				      position & WRAP ? USED : AVAIL);
		if (!i)
			head_flags = flags;
		position = advance(ring, position, 1);
	}
	put16(ring, ring->layout.desc + (ring->avail & ~WRAP) * 16ULL + 14, head_flags);
	ring->avail = position;
	ring->count[id] = (uint16_t)nr;
	ring->free -= (uint16_t)nr;
	return id;
}

int ring_add(struct ring *ring, const struct ring_buf *buf, unsigned int nr, bool indirect)
{
	unsigned int need = indirect ? 1 : nr;
	struct ring_buf one;

	if (!nr || need > ring->free)
		return -1;
	if (indirect) {
		uint16_t id = ring->head;

		if (ring->layout.packed) {
			for (id = 0; ring->count[id]; id++)
				;
		}
		one.gpa = ring->tables + id * RING_TABLE_MAX * 16ULL;
		one.len = nr * 16;
		one.write = false;
		put_table(ring, one.gpa, buf, nr);
		buf = &one;
		nr = 1;
	}
	return ring->layout.packed ? packed_add(ring, buf, nr, indirect) : split_add(ring, buf, nr, indirect);
}

/* A chain that came back: aborts if it was not out */
bool ring_get_used(struct ring *ring, uint16_t *id, uint32_t *len)
{
	if (ring->layout.packed) {
		uint64_t desc = ring->layout.desc + (ring->used & ~WRAP) * 16ULL;
		uint16_t flags = get16(ring, desc + 14);

		if (!(flags & AVAIL) != !(flags & USED) || !(flags & USED) != !(ring->used & WRAP))
			return false;
		*id = get16(ring, desc + 12);
		*len = get32(ring, desc + 8);
		if (*id >= ring->layout.size || !ring->count[*id])
			abort();
		ring->used = advance(ring, ring->used, ring->count[*id]);
	} else {
		uint64_t elem = ring->layout.device + 4 + 8ULL * (ring->used % ring->layout.size);
		uint16_t tail;
		unsigned int i;

		if (get16(ring, ring->layout.device + 2) == ring->used)
			return false;
		*id = (uint16_t)get32(ring, elem);
		*len = get32(ring, elem + 4);
		if (*id >= ring->layout.size || !ring->count[*id])
			abort();
		for (tail = *id, i = 1; i < ring->count[*id]; i++)
			tail = ring->next[tail];
		ring->next[tail] = ring->head;
		ring->head = *id;
		ring->used++;
	}
	ring->free += ring->count[*id];
	ring->count[*id] = 0;
	return true;
}

void ring_want_interrupts(struct ring *ring, bool wanted)
{
	if (ring->layout.packed) {
		put16(ring, ring->layout.driver, ring->used);
		put16(ring, ring->layout.driver + 2, !wanted ? 1 : ring->layout.event_idx ? 2 : 0);
	} else if (!ring->layout.event_idx) {
		put16(ring, ring->layout.driver, !wanted);
	} else {
		/* None: an event that was passed long ago */
		put16(ring, ring->layout.driver + 4 + 2ULL * ring->layout.size,
		      wanted ? ring->used : (uint16_t)(ring->used - 0x4000));
	}
}

bool ring_should_kick(struct ring *ring)
{
	uint16_t old = ring->kicked, event;

	ring->kicked = ring->avail;
	if (!ring->layout.packed) {
		if (!ring->layout.event_idx)
			return !(get16(ring, ring->layout.device) & 1);
		event = get16(ring, ring->layout.device + 4 + 8ULL * ring->layout.size);
		return (uint16_t)(ring->avail - event - 1) < (uint16_t)(ring->avail - old);
	}
	event = get16(ring, ring->layout.device);
	switch (get16(ring, ring->layout.device + 2) & 3) {
	case 0:
		return true;
	case 1:
		return false;
	}
	/* Has the event been passed on the way from @old to here? */
	for (; old != ring->avail; old = advance(ring, old, 1)) {
		if (old == event)
			return true;
	}
	return false;
}

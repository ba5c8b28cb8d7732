/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A driver's side of a virtqueue, for tests of the queue and of devices. It keeps the rules; tests that
 * break them write to guest memory themselves.
 */
#ifndef VIREO_TESTS_RING_H
#define VIREO_TESTS_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "../vireo/memory.h"
#include "../vireo/virtio/queue.h"

#define RING_PACKED		1U
#define RING_EVENT_IDX		2U
#define RING_INDIRECT		4U
#define RING_SIZE_MAX		1024
#define RING_TABLE_MAX		64	/* descriptors of an indirect table */

struct ring_buf {
	uint64_t gpa;
	uint32_t len;
	bool write;		/* the device writes it */
};

/**
 * struct ring - a driver's state
 * @memory: the guest's
 * @layout: for virtq_start()
 * @tables: address of indirect tables, one for each ID
 * @end: first address that is not the ring's
 * @avail: as in struct virtq_position
 * @used: likewise
 * @free: descriptors that are free
 * @head: split: the first free descriptor
 * @next: split: list of free descriptors, and of those in a chain
 * @count: descriptors in the chain of an ID; 0: the ID is free
 * @kicked: @avail when ring_should_kick() was last asked
 */
struct ring {
	struct guest_memory *memory;
	struct virtq_layout layout;
	uint64_t tables, end;
	uint16_t avail, used;
	uint16_t free;
	uint16_t head;
	uint16_t next[RING_SIZE_MAX];
	uint16_t count[RING_SIZE_MAX];
	uint16_t kicked;
};

void ring_init(struct ring *ring, struct guest_memory *memory, uint64_t gpa, uint16_t size, unsigned int flags);
/* The ID of the chain, or -1: there is no room */
int ring_add(struct ring *ring, const struct ring_buf *buf, unsigned int nr, bool indirect);
bool ring_get_used(struct ring *ring, uint16_t *id, uint32_t *len);
/* Want an interrupt for the next buffer, or none */
void ring_want_interrupts(struct ring *ring, bool wanted);
bool ring_should_kick(struct ring *ring);
/* One descriptor, as it is in a table at @gpa */
void ring_put_desc(struct guest_memory *memory, uint64_t gpa, unsigned int index, uint64_t addr, uint32_t len,
		   uint16_t first, uint16_t second);

#endif /* VIREO_TESTS_RING_H */

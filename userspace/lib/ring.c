// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rings of dirty pages: what one processor of the guest has written, as it goes.
 *
 * Only the module writes entries and the head, only we the tail.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"
#include "sys.h"

struct vireo_ring {
	struct vireo_vcpu *vcpu;
	struct vireo_dirty_ring *page;
	const uint64_t *entry;
	uint32_t consumer;
	uint32_t entries;
};

static size_t ring_bytes(uint32_t entries)
{
	return VIREO_RING_ENTRIES + (size_t)entries * sizeof(uint64_t);
}

static int set_ring(struct vireo_vcpu *vcpu, unsigned int consumer, uint32_t entries)
{
	struct vireo_ring_config arg = { .size = sizeof(arg), .consumer = consumer, .entries = entries };

	return vireo_sys_ioctl(vcpu->fd, VIREO_SET_RING, &arg);
}

/**
 * vireo_ring_create() - have a processor tell which pages it writes
 * @vcpu: the processor; nobody runs it
 * @consumer: who asks, 0 to VIREO_TRACK_CONSUMERS - 1; regions are followed by vireo_vm_set_tracking()
 * @entries: how many pages, a power of two from VIREO_RING_MIN to VIREO_RING_MAX; with fewer than
 *	576 of them free vireo_vcpu_run() returns with VIREO_EXIT_DIRTY
 * @out: the ring, on success
 *
 * Return: 0, or the errno of VIREO_SET_RING or of mapping it.
 */
int vireo_ring_create(struct vireo_vcpu *vcpu, unsigned int consumer, uint32_t entries, struct vireo_ring **out)
{
	struct vireo_ring *ring = calloc(1, sizeof(*ring));
	void *map;
	int r;

	if (!ring)
		return -ENOMEM;
	r = entries ? set_ring(vcpu, consumer, entries) : -EINVAL;
	if (r) {
		free(ring);
		return r;
	}
	map = vireo_sys_map(vcpu->fd, VIREO_RING_OFFSET(consumer), ring_bytes(entries));
	if (map == MAP_FAILED) {
		r = -errno;
		set_ring(vcpu, consumer, 0);
		free(ring);
		return r;
	}
	*ring = (struct vireo_ring){
		.vcpu = vcpu,
		.page = map,
		.entry = (const uint64_t *)((const char *)map + VIREO_RING_ENTRIES),
		.consumer = consumer,
		.entries = entries,
	};
	*out = ring;
	return 0;
}

/**
 * vireo_ring_destroy() - tell no more
 * @ring: the ring; nobody runs its processor, which is still there. NULL is allowed
 */
void vireo_ring_destroy(struct vireo_ring *ring)
{
	if (!ring)
		return;
	vireo_sys_unmap(ring->page, ring_bytes(ring->entries));
	set_ring(ring->vcpu, ring->consumer, 0);
	free(ring);
}

/**
 * vireo_ring_read() - take what is in a ring
 * @ring: the ring; its processor may be running
 * @entries: room for what was written; see VIREO_RING_SLOT() and VIREO_RING_PAGE()
 * @room: for how many
 *
 * The pages are told again after vireo_vm_reset_rings(): call that before they are copied.
 *
 * Return: how many there were.
 */
unsigned int vireo_ring_read(struct vireo_ring *ring, uint64_t *entries, unsigned int room)
{
	uint32_t tail = ring->page->tail;
	uint32_t there = __atomic_load_n(&ring->page->head, __ATOMIC_ACQUIRE) - tail;
	unsigned int n;

	/* Never more, unless somebody else has written to the page. */
	if (there > ring->entries)
		there = ring->entries;
	for (n = 0; n < there && n < room; n++)
		entries[n] = ring->entry[(tail + n) & (ring->entries - 1)];
	/* They have been read before the module may use them again. */
	__atomic_store_n(&ring->page->tail, tail + n, __ATOMIC_RELEASE);
	return n;
}

/**
 * vireo_ring_lost() - has a page not found room?
 * @ring: the ring
 *
 * Who is told so asks the bitmap (vireo_vm_get_dirty()), which has every page. It is told once.
 *
 * Return: whether there was such a page since the last call.
 */
bool vireo_ring_lost(struct vireo_ring *ring)
{
	return __atomic_fetch_and(&ring->page->flags, ~VIREO_RING_LOST, __ATOMIC_ACQ_REL) & VIREO_RING_LOST;
}

/**
 * vireo_vm_reset_rings() - have the pages told again that were read from a consumer's rings
 * @vm: the machine; it may be running
 * @consumer: who asks
 * @pages: how many that was, on success; may be NULL
 *
 * Return: 0, or the errno of VIREO_RESET_RINGS.
 */
int vireo_vm_reset_rings(struct vireo_vm *vm, unsigned int consumer, uint64_t *pages)
{
	struct vireo_ring_reset arg = { .size = sizeof(arg), .consumer = consumer };
	int r = vireo_sys_ioctl(vm->fd, VIREO_RESET_RINGS, &arg);

	if (!r && pages)
		*pages = arg.pages;
	return r;
}

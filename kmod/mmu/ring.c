// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings of dirty pages, and the quota of them.
 *
 * The vCPU's own thread writes entries and the head, and the launcher the tail. What the launcher says is taken from the shared page once and
 * checked; an entry that it has changed costs it a mark of its own.
 *
 * A ring asks for an exit while there is still room for a processor's log and for what faults bring until the exit comes.
 * Should it be full all the same, what does not fit stays in the consumer's bitmap.
 *
 * Locking: rings come and go under vm->lock inside the vCPU's mutex, so either will do to look at one.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "ring.h"

/* Room behind the point where a ring asks for an exit. */
#define RING_SPARE 576

/* Entries that are reset under one hold of the lock. */
#define RING_BATCH 1024

/**
 * struct vireo_ring - one consumer's ring of a vCPU
 * @shared: with the launcher
 * @entry: behind it
 * @nr: entries, a power of two
 * @head: entries so far; own thread, others read
 * @done: entries that were reset; under vm->lock, own thread reads
 */
struct vireo_ring {
	struct vireo_dirty_ring *shared;
	u64 *entry;
	u32 nr, head, done;
};

static u32 ring_used(const struct vireo_ring *ring)
{
	/* Pairs with vireo_ring_reset(): what was reset has been read. */
	return ring->head - smp_load_acquire(&ring->done);
}

static bool ring_full(const struct vireo_ring *ring)
{
	return ring_used(ring) > ring->nr - RING_SPARE;
}

static u32 ring_bytes(const struct vireo_ring *ring)
{
	return ring ? VIREO_RING_ENTRIES + ring->nr * sizeof(u64) : 0;
}

void vireo_quota_use(struct vireo_vcpu *vcpu, u32 pages)
{
	if (!vcpu->dirty_counted || !pages)
		return;
	vcpu->dirty_quota -= min(vcpu->dirty_quota, pages);
	if (!vcpu->dirty_quota)
		vireo_request_set(vcpu, VIREO_REQ_DIRTY);
}

void vireo_ring_push(struct vireo_vcpu *vcpu, unsigned int consumer, u32 slot, u64 page, unsigned long bits)
{
	struct vireo_ring *ring = vcpu->ring[consumer];
	u64 entry = (u64)slot << 48 | page;
	u32 head, room;

	if (!ring)
		return;
	head = ring->head;
	for (room = ring->nr - ring_used(ring); bits && room; bits &= bits - 1, room--)
		ring->entry[head++ & (ring->nr - 1)] = entry + __ffs(bits);
	if (unlikely(bits))
		WRITE_ONCE(ring->shared->flags, VIREO_RING_LOST);
	WRITE_ONCE(ring->head, head);
	/* The entries before it. */
	smp_store_release(&ring->shared->head, head);
	if (unlikely(ring_full(ring)))
		vireo_request_set(vcpu, VIREO_REQ_DIRTY);
}

bool vireo_ring_must_exit(struct vireo_vcpu *vcpu)
{
	struct vireo_run *run = vcpu->run;
	unsigned int i;
	u32 rings = 0;

	for (i = 0; i < VIREO_TRACK_CONSUMERS; i++) {
		if (vcpu->ring[i] && ring_full(vcpu->ring[i]))
			rings |= BIT(i);
	}
	run->dirty.rings = rings;
	run->dirty.quota = vcpu->dirty_counted && !vcpu->dirty_quota;
	return rings || run->dirty.quota;
}

static void watch(struct vireo_vcpu *vcpu)
{
	unsigned int i;

	vcpu->dirty_watched = vcpu->dirty_counted;
	for (i = 0; i < VIREO_TRACK_CONSUMERS; i++)
		vcpu->dirty_watched |= vcpu->ring[i] != NULL;
}

void vireo_quota_begin(struct vireo_vcpu *vcpu)
{
	struct vireo_vm *vm = vcpu->vm;

	vcpu->dirty_counted = vcpu->wants & VIREO_WANT_QUOTA;
	vcpu->dirty_quota = READ_ONCE(vcpu->run->dirty_quota);
	if (vcpu->dirty_counted && unlikely(vm->mmu.dirty_bits && !READ_ONCE(vm->mmu.ordered))) {
		mutex_lock(&vm->lock);
		vireo_track_order(vm);
		mutex_unlock(&vm->lock);
	}
	if (vcpu->dirty_counted && !vcpu->dirty_quota)
		vireo_request_set(vcpu, VIREO_REQ_DIRTY);
	watch(vcpu);
}

void vireo_quota_end(struct vireo_vcpu *vcpu)
{
	vcpu->run->dirty_quota = vcpu->dirty_quota;
}

static void ring_free(struct vireo_ring *ring)
{
	if (!ring)
		return;
	/* Pages that the launcher has mapped stay until it unmaps them. */
	vfree(ring->shared);
	kfree(ring);
}

static struct vireo_ring *ring_alloc(u32 entries)
{
	struct vireo_ring *ring = kzalloc(sizeof(*ring), GFP_KERNEL_ACCOUNT);

	if (!ring)
		return NULL;
	ring->shared = vmalloc_user(VIREO_RING_ENTRIES + entries * sizeof(u64));
	if (!ring->shared) {
		kfree(ring);
		return NULL;
	}
	ring->entry = (void *)ring->shared + VIREO_RING_ENTRIES;
	ring->nr = entries;
	return ring;
}

int vireo_ring_set(struct vireo_vcpu *vcpu, const struct vireo_ring_config *arg)
{
	struct vireo_ring *ring = NULL, *old;
	struct vireo_vm *vm = vcpu->vm;

	lockdep_assert_held(&vcpu->mutex);
	if (arg->consumer >= VIREO_TRACK_CONSUMERS || arg->flags ||
	    (arg->entries && (arg->entries < VIREO_RING_MIN || arg->entries > VIREO_RING_MAX ||
			      !is_power_of_2(arg->entries))))
		return -EINVAL;
	old = vcpu->ring[arg->consumer];
	if (arg->entries ? old != NULL : !old)
		return old ? -EEXIST : -ENOENT;
	if (arg->entries) {
		ring = ring_alloc(arg->entries);
		if (!ring)
			return -ENOMEM;
	}
	mutex_lock(&vm->lock);
	vcpu->ring[arg->consumer] = ring;
	vcpu->ring_bytes += ring_bytes(ring) - ring_bytes(old);
	vireo_track_order(vm);
	mutex_unlock(&vm->lock);
	ring_free(old);
	watch(vcpu);
	return 0;
}

void vireo_ring_free(struct vireo_vcpu *vcpu)
{
	unsigned int i;

	for (i = 0; i < VIREO_TRACK_CONSUMERS; i++)
		ring_free(vcpu->ring[i]);
}

int vireo_ring_mmap(struct vireo_vcpu *vcpu, struct vm_area_struct *vma)
{
	const u64 unit = VIREO_RING_OFFSET(0) >> PAGE_SHIFT;
	const u64 consumer = vma->vm_pgoff / unit - 1;
	struct vireo_ring *ring;
	int r = -EINVAL;

	if (consumer >= VIREO_TRACK_CONSUMERS || vma->vm_pgoff % unit)
		return -EINVAL;
	/* Not vm->lock, inside of which user memory is written: mmap_lock is held here. */
	if (!mutex_trylock(&vcpu->mutex))
		return -EBUSY;
	ring = vcpu->ring[array_index_nospec(consumer, VIREO_TRACK_CONSUMERS)];
	if (ring)
		r = remap_vmalloc_range(vma, ring->shared, 0);
	mutex_unlock(&vcpu->mutex);
	return r;
}

/* How many entries the launcher has read; negative errno. */
static int ring_read(const struct vireo_ring *ring)
{
	const u32 n = READ_ONCE(ring->shared->tail) - ring->done;

	return n <= READ_ONCE(ring->head) - ring->done ? (int)n : -EINVAL;
}

int vireo_ring_reset(struct vireo_vm *vm, struct vireo_ring_reset *arg)
{
	int n[VIREO_MAX_VCPUS] = {};
	struct vireo_vcpu *vcpu;
	unsigned int i;
	int k;

	lockdep_assert_held(&vm->lock);
	if (arg->consumer >= VIREO_TRACK_CONSUMERS)
		return -EINVAL;
	/* The tails are read once. */
	vireo_for_each_vcpu(i, vcpu, vm) {
		if (!vcpu->ring[arg->consumer])
			continue;
		n[i] = ring_read(vcpu->ring[arg->consumer]);
		if (n[i] < 0)
			return n[i];
	}
	arg->pages = 0;
	vireo_for_each_vcpu(i, vcpu, vm) {
		const struct vireo_ring *ring = vcpu->ring[arg->consumer];

		for (k = 0; k < n[i]; k += RING_BATCH)
			vireo_track_retake(vm, arg->consumer, ring->entry, ring->done + k, ring->nr - 1,
					   min(n[i] - k, RING_BATCH));
		arg->pages += n[i];
	}
	if (!arg->pages)
		return 0;
	vireo_track_flush(vm);
	vireo_for_each_vcpu(i, vcpu, vm) {
		struct vireo_ring *ring = vcpu->ring[arg->consumer];

		if (n[i])
			smp_store_release(&ring->done, ring->done + n[i]);
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Snapshots: memory.  Each page is kept when it is first written after a snapshot, and copied back.
 *
 * Documentation/snapshots.rst has the rules.  What changes the stack of snapshots, or goes back to one, holds vm->lock and the
 * mutexes of all vCPUs: so no vCPU runs, none writes through the module, and all logs are empty.
 */
#ifndef VIREO_ROLLBACK_H
#define VIREO_ROLLBACK_H

#include "../region.h"
#include "track.h"

/**
 * struct vireo_ref - all of a region as it was, to compare with
 * @pages: copies; NULL: zero
 * @nr: how many
 */
struct vireo_ref {
	void **pages;
	u64 nr;
};

/**
 * struct vireo_copies - 64 pages of a region, which a word of its sets stands for
 * @written: those written before the next snapshot was taken; in the newest 0, as the region's VIREO_TRACK_SNAPSHOT says it
 * @page: pages as they were, NULL: not kept.  All that was written since is there; what was not may be too
 */
struct vireo_copies {
	unsigned long written;
	void *page[BITS_PER_LONG];
};

/**
 * struct vireo_kept - what is kept of a region
 * @copies: by words, NULL: none of these pages
 * @words: how many
 */
struct vireo_kept {
	struct vireo_copies **copies;
	u64 words;
};

/**
 * struct vireo_point - a snapshot
 * @list: vm->points
 * @id: its number
 * @kept: copies, by the regions' number in the map
 * @nr: how many regions
 * @refs: all memory, by the regions' number in the map; NULL: it is not compared
 * @nr_refs: how many regions
 * @state: of the VM and its vCPUs; kmod/snapshot.c
 */
struct vireo_point {
	struct list_head list;
	u32 id;
	struct vireo_kept *kept;
	u32 nr;
	struct vireo_ref *refs;
	u32 nr_refs;
	void *state;
};

static inline struct vireo_point *vireo_point_newest(struct vireo_vm *vm)
{
	return list_first_entry_or_null(&vm->points, struct vireo_point, list);
}

/**
 * vireo_rollback_begin() - have memory kept for a new snapshot
 * @vm: VM
 * @point: snapshot, all zero but for what is not memory's
 * @verify: to be compared later
 *
 * On success it is the newest.  Return: 0, -ENOMEM, -EFAULT (with @verify: not all memory can be read); then nothing has changed.
 */
int vireo_rollback_begin(struct vireo_vm *vm, struct vireo_point *point, bool verify);

/**
 * vireo_rollback_memory() - bring all pages back to what they were at the newest snapshot
 * @vm: VM
 * @pages: how many were copied is added
 *
 * vireo_rollback_end() is due, whatever the result.
 *
 * Return: 0; -EFAULT: a page cannot be written; it and those that were not looked at are still to be copied.
 */
int vireo_rollback_memory(struct vireo_vm *vm, u64 *pages);

/* After that: the newest snapshot, which is not the only one, goes, but for the structure itself. */
void vireo_rollback_pop(struct vireo_vm *vm);

/*
 * At the end: nobody writes unnoticed any more.  @popped: vireo_rollback_pop() was called.  The vCPUs' TLBs, but for what shadow tables have
 * to do with, are the caller's: flushed at any time since the vCPUs were locked.
 */
void vireo_rollback_end(struct vireo_vm *vm, bool popped);

/* Compare with the copy of all memory, if there is one: 0, -EIO (@gpa: where), -ENOMEM. */
int vireo_rollback_verify(struct vireo_vm *vm, const struct vireo_point *point, u64 *gpa);

/* Forget a snapshot, but for the structure itself; the next older one takes over what it needs. */
void vireo_rollback_drop(struct vireo_vm *vm, struct vireo_point *point);

/* The VM goes, nobody uses it any more. */
void vireo_rollback_free(struct vireo_vm *vm, struct vireo_point *point);

/**
 * vireo_rollback_keep() - keep pages for the newest snapshot before they are written
 * @vm: VM; a vCPU's mutex or vm->lock is held
 * @mem: region
 * @gpa: first byte
 * @len: bytes, all of them in @mem; not 0
 * @nofault: do not sleep
 *
 * Return: 0; -EFAULT: not readable, or, with @nofault, not kept yet; -ENOMEM.
 */
int vireo_rollback_keep(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gpa, size_t len, bool nofault);

/* Is the page kept for the newest snapshot, if there is one?  The region is followed. */
bool vireo_rollback_kept(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn);

/* For a fault of a vCPU: it is kept, but not marked yet.  enum vireo_fault; 0: go on. */
int vireo_rollback_keep_fault(struct vireo_vcpu *vcpu, const struct vireo_mem *mem, u64 gfn);

/* The module is about to write to memory of the guest's; as vireo_rollback_keep(). */
static __always_inline int vireo_before_write(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gpa, size_t len,
					      bool nofault)
{
	if (likely(!mem->track || !mem->track->by[VIREO_TRACK_SNAPSHOT]))
		return 0;
	return vireo_rollback_keep(vm, mem, gpa, len, nofault);
}

#endif /* VIREO_ROLLBACK_H */

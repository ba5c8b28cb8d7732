/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dirty tracking: which pages of a region were written since somebody last asked.
 *
 * Documentation/tracking.rst has the rules and the argument why nothing is missed.
 */
#ifndef VIREO_TRACK_H
#define VIREO_TRACK_H

#include "../region.h"

struct vireo_dirty;

/**
 * struct vireo_track - who follows a region; as immutable as the map that points to it
 * @rcu: as the map's
 * @by: a consumer's pages, NULL: it does not follow
 */
struct vireo_track {
	struct rcu_head rcu;
	struct vireo_dirty *by[VIREO_TRACK_CONSUMERS];
};

void __vireo_track_mark(const struct vireo_track *track, u64 page);
void __vireo_track_gpa(const struct vireo_mem *mem, u64 gpa, size_t len);

/**
 * vireo_track_mark() - a page becomes writable for the guest
 * @mem: its region
 * @gfn: guest frame
 *
 * Comes before the entry that allows the write, under the same hold of mmu->lock.
 */
static __always_inline void vireo_track_mark(const struct vireo_mem *mem, u64 gfn)
{
	if (unlikely(mem->track))
		__vireo_track_mark(mem->track, gfn - mem->gfn);
}

/**
 * vireo_track_gpa() - the module has written to memory of the guest's
 * @mem: region
 * @gpa: first byte
 * @len: bytes, all of them inside @mem; not 0
 *
 * Comes after the write: what a reader takes between the two is not lost but comes next time.
 */
static __always_inline void vireo_track_gpa(const struct vireo_mem *mem, u64 gpa, size_t len)
{
	if (unlikely(mem->track))
		__vireo_track_gpa(mem, gpa, len);
}

/* The region goes, and nobody uses it any more. */
void vireo_track_free(struct vireo_track *track);

/* What the ioctls of the same names say; vm->lock held. */
int vireo_track_set(struct vireo_vm *vm, const struct vireo_tracking *arg);
int vireo_track_get(struct vireo_vm *vm, struct vireo_dirty_log *arg);
int vireo_track_write(struct vireo_vm *vm, const struct vireo_dirty_range *arg);

#endif /* VIREO_TRACK_H */

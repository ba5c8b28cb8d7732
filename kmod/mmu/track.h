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

/* Beside the consumers: the newest snapshot; rollback.c. */
#define VIREO_TRACK_SNAPSHOT	VIREO_TRACK_CONSUMERS
#define VIREO_TRACK_NR		(VIREO_TRACK_CONSUMERS + 1)

/**
 * struct vireo_track - who follows a region; as immutable as the map that points to it
 * @rcu: as the map's
 * @vm: whose region it is
 * @consumers: how many of them, beside a snapshot
 * @by: a consumer's pages, NULL: it does not follow
 */
struct vireo_track {
	struct rcu_head rcu;
	struct vireo_vm *vm;
	u32 consumers;
	struct vireo_dirty *by[VIREO_TRACK_NR];
};

void __vireo_track_mark(struct vireo_vcpu *vcpu, const struct vireo_mem *mem, u64 page);
void __vireo_track_gpa(const struct vireo_mem *mem, u64 gpa, size_t len);

/**
 * vireo_track_mark() - a page becomes writable for the guest
 * @vcpu: that wants to write, own thread
 * @mem: its region
 * @gfn: guest frame
 *
 * Comes before the entry that allows the write, under the same hold of mmu->lock.
 */
static __always_inline void vireo_track_mark(struct vireo_vcpu *vcpu, const struct vireo_mem *mem, u64 gfn)
{
	if (unlikely(mem->track))
		__vireo_track_mark(vcpu, mem, gfn - mem->gfn);
}

/**
 * vireo_track_gpa() - the module has written to memory of the guest's
 * @mem: region
 * @gpa: first byte
 * @len: bytes, all of them inside @mem; not 0
 *
 * Comes after the write: what a reader takes between the two is not lost but comes next time.  Snapshots
 * want to know before: vireo_before_write().
 */
static __always_inline void vireo_track_gpa(const struct vireo_mem *mem, u64 gpa, size_t len)
{
	if (unlikely(mem->track))
		__vireo_track_gpa(mem, gpa, len);
}

/**
 * vireo_track_logged() - the processor says what the guest has written to
 * @vcpu: own thread, interrupts off
 * @log: guest-physical addresses, in pages of 4 KiB
 * @nr: how many
 */
void vireo_track_logged(struct vireo_vcpu *vcpu, const u64 *log, unsigned int nr);

/* Consumers, not a snapshot, hear of pages of the region's word @word, for each of which @bits has a bit. */
void vireo_track_word(const struct vireo_track *track, u64 word, unsigned long bits);

/* Are writes to a region that is followed found by dirty bits?  mmu->lock or vm->lock held. */
static __always_inline bool vireo_track_by_bits(const struct vireo_mmu *mmu, const struct vireo_mem *mem)
{
	return mmu->dirty_bits && !mmu->ordered && !mem->track->by[VIREO_TRACK_SNAPSHOT];
}

/* May entries of the region allow writes to pages that are not marked? */
static __always_inline bool vireo_track_writable(const struct vireo_mmu *mmu, const struct vireo_mem *mem)
{
	return likely(!mem->track) || (mmu->log && !mem->track->by[VIREO_TRACK_SNAPSHOT]) ||
	       vireo_track_by_bits(mmu, mem);
}

/**
 * vireo_track_protect() - have the next write to each page of a region noticed
 * @vm: VM
 * @mem: region
 * @all: take all rights to write away, even where there is a log
 * @tell: consumers hear of what is dirty and may not be marked
 *
 * The flush is the caller's.
 */
void vireo_track_protect(struct vireo_vm *vm, const struct vireo_mem *mem, bool all, bool tell);

void __vireo_track_before_zap(struct vireo_vm *vm, const struct vireo_mem *mem, u64 start, u64 end);

/**
 * vireo_track_before_zap() - nested mappings are about to go, and their dirty bits with them
 * @vm: VM, mmu->lock held for writing
 * @mem: region
 * @start: first guest frame
 * @end: frame after the last
 */
static __always_inline void vireo_track_before_zap(struct vireo_vm *vm, const struct vireo_mem *mem, u64 start, u64 end)
{
	if (unlikely(mem->track && vm->mmu.dirty_bits))
		__vireo_track_before_zap(vm, mem, start, end);
}

/**
 * vireo_track_order() - somebody wants to hear of each write when it happens
 * @vm: VM, vm->lock held
 *
 * No region is followed by dirty bits any more, as they tell that to a reader only.
 */
void vireo_track_order(struct vireo_vm *vm);

/* vireo_track_set() once it is checked; @consumer may be VIREO_TRACK_SNAPSHOT.  0, -EALREADY, -ENOMEM. */
int vireo_track_start(struct vireo_vm *vm, const struct vireo_mem *mem, u32 consumer);
int vireo_track_stop(struct vireo_vm *vm, const struct vireo_mem *mem, u32 consumer);

/**
 * vireo_track_retake() - what entries of a ring told is to be told again
 * @vm: vm->lock held
 * @consumer: whose ring it is
 * @entries: its entries, which others may change
 * @first: number of the first
 * @mask: number of entries less one
 * @n: how many; mmu->lock is held that long
 *
 * vireo_track_flush() is due afterwards.
 */
void vireo_track_retake(struct vireo_vm *vm, u32 consumer, const u64 *entries, u32 first, u32 mask, u32 n);

/* No processor holds a right to write that was taken away. */
void vireo_track_flush(struct vireo_vm *vm);

/* The region goes, and nobody uses it any more. */
void vireo_track_free(struct vireo_track *track);

/* What the ioctls of the same names say; vm->lock held. */
int vireo_track_set(struct vireo_vm *vm, const struct vireo_tracking *arg);
int vireo_track_get(struct vireo_vm *vm, struct vireo_dirty_log *arg);
int vireo_track_write(struct vireo_vm *vm, const struct vireo_dirty_range *arg);

#endif /* VIREO_TRACK_H */

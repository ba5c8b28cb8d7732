// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMU notifiers: the host takes pages back, or wants to know whether they are used.
 *
 * Before the host unmaps, moves, write-protects or cleans user pages it calls
 * invalidate_range_start, after it invalidate_range_end.  In between nothing of the range may be
 * mapped for the guest.  start drops what is mapped, waits until no processor uses it,
 * and leaves the range marked so that faults keep out; end removes the mark
 * and counts, so that a fault that looked the page up before can tell.
 *
 * Locking: callbacks come with mmap_lock or rmap locks of the host held, which may sleep, so
 * nothing below takes vm->lock or vm->srcu; regions are read under RCU.  mmu->lock is
 * the innermost lock but for what vireo_request_all() takes.
 * The flush is inside of it: otherwise a second invalidation would find the
 * range empty and return to the host before the first had flushed.
 */
#include <linux/mmu_notifier.h>
#include <linux/rcupdate.h>

#include "../region.h"
#include "mmu.h"
#include "notifier.h"
#include "tdp.h"
#include "track.h"

static struct vireo_vm *notifier_vm(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct vireo_vm, mmu.notifier);
}

/* Guest frames that @mem has in a user range: [*first, *end).  False if none. */
static bool mem_overlap(const struct vireo_mem *mem, unsigned long start, unsigned long end,
			u64 *first, u64 *last)
{
	start = max(start, mem->hva);
	end = min(end, mem->hva + (mem->pages << PAGE_SHIFT));
	if (start >= end)
		return false;
	*first = mem->gfn + ((start - mem->hva) >> PAGE_SHIFT);
	*last = mem->gfn + ((end - mem->hva + PAGE_SIZE - 1) >> PAGE_SHIFT);
	return true;
}

/* Drop all mappings of a user range; mmu->lock held for writing.  True: flush. */
static bool zap_user_range(struct vireo_vm *vm, unsigned long start, unsigned long end,
			   struct list_head *cut)
{
	const struct vireo_mem_map *map;
	bool found = false;
	u64 first, last;
	u32 i;

	rcu_read_lock();
	map = vireo_mem_map(vm);
	for (i = 0; i < map->nr; i++) {
		if (!mem_overlap(&map->mem[i], start, end, &first, &last))
			continue;
		vireo_track_before_zap(vm, &map->mem[i], first, last);
		if (vm->mmu.root)
			found |= vireo_tdp_zap(&vm->mmu, first, last, cut);
		if (vm->mmu.shadow)
			found |= vireo_shadow_zap(vm, &map->mem[i], first, last);
	}
	rcu_read_unlock();
	return found;
}

static int notifier_start(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct vireo_vm *vm = notifier_vm(notifier);
	struct vireo_mmu *mmu = &vm->mmu;
	LIST_HEAD(cut);

	write_lock(&mmu->lock);
	/* Several at a time are one range that holds all: they are short. */
	if (!mmu->invalidate_busy++) {
		mmu->invalidate_start = range->start;
		mmu->invalidate_end = range->end;
	} else {
		mmu->invalidate_start = min(mmu->invalidate_start, range->start);
		mmu->invalidate_end = max(mmu->invalidate_end, range->end);
	}
	if (zap_user_range(vm, range->start, range->end, &cut))
		vireo_mmu_flush_all(vm);
	write_unlock(&mmu->lock);

	/* Nothing above sleeps, so non-blocking callers get the same answer. */
	vireo_tdp_free(mmu, &cut, mmu_notifier_range_blockable(range));
	return 0;
}

static void notifier_end(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct vireo_vm *vm = notifier_vm(notifier);
	struct vireo_mmu *mmu = &vm->mmu;

	write_lock(&mmu->lock);
	WRITE_ONCE(mmu->invalidate_seq, mmu->invalidate_seq + 1);
	if (WARN_ON_ONCE(mmu->invalidate_busy <= 0))
		vireo_vm_kill(vm, "an MMU notifier ended that never began");
	else
		mmu->invalidate_busy--;
	write_unlock(&mmu->lock);
}

/*
 * Were pages of a user range used by the guest?  Without accessed bits, a mapping that
 * is there counts as use, and clearing is dropping it: the next use maps it again.
 */
static int age(struct vireo_vm *vm, unsigned long start, unsigned long end, bool clear, bool flush)
{
	struct vireo_mmu *mmu = &vm->mmu;
	const struct vireo_mem_map *map;
	bool young = false;
	u64 first, last;
	u32 i;

	if (mmu->root && !mmu->format->accessed) {
		LIST_HEAD(cut);

		/* Nobody who only asks may drop anything, and this host cannot tell. */
		if (!clear)
			return true;
		write_lock(&mmu->lock);
		young = zap_user_range(vm, start, end, &cut);
		if (young)
			vireo_mmu_flush_all(vm);
		write_unlock(&mmu->lock);
		vireo_tdp_free(mmu, &cut, false);
		return young;
	}

	rcu_read_lock();
	read_lock(&mmu->lock);
	map = vireo_mem_map(vm);
	for (i = 0; i < map->nr && !(young && !clear); i++) {
		if (!mem_overlap(&map->mem[i], start, end, &first, &last))
			continue;
		if (vm->mmu.root)
			young |= vireo_tdp_young(mmu, first, last, clear);
		if (vm->mmu.shadow)
			young |= vireo_shadow_young(vm, &map->mem[i], first, last, clear);
	}
	/* A cached translation would let the guest go on without setting the bit again. */
	if (young && flush)
		vireo_request_all(vm, VIREO_REQ_FLUSH);
	read_unlock(&mmu->lock);
	rcu_read_unlock();
	return young;
}

static int notifier_clear_flush_young(struct mmu_notifier *notifier, struct mm_struct *mm,
				      unsigned long start, unsigned long end)
{
	return age(notifier_vm(notifier), start, end, true, true);
}

static int notifier_clear_young(struct mmu_notifier *notifier, struct mm_struct *mm,
				unsigned long start, unsigned long end)
{
	return age(notifier_vm(notifier), start, end, true, false);
}

static int notifier_test_young(struct mmu_notifier *notifier, struct mm_struct *mm,
			       unsigned long address)
{
	return age(notifier_vm(notifier), address, address + PAGE_SIZE, false, false);
}

/*
 * The address space goes: its last user has left, so no vCPU can run any more, and
 * the host frees all its pages without further notice.
 */
static void notifier_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	vireo_mmu_zap_gfns(notifier_vm(notifier), 0, U64_MAX);
}

const struct mmu_notifier_ops vireo_notifier_ops = {
	.release = notifier_release,
	.invalidate_range_start = notifier_start,
	.invalidate_range_end = notifier_end,
	.clear_flush_young = notifier_clear_flush_young,
	.clear_young = notifier_clear_young,
	.test_young = notifier_test_young,
};

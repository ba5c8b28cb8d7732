// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots: memory.
 *
 * In a region that the newest snapshot follows an entry allows writes only if the page is kept, and (with a log: is dirty) only
 * if it is marked as written.  A page is kept by whoever is about to write first, without a lock: nobody can have written
 * before one of them has put his copy into @kept, and each of them has copied before that; all but one throw theirs away.
 *
 * Locking: see rollback.h.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dirty.h"
#include "host.h"
#include "mmu.h"
#include "rollback.h"
#include "tdp.h"

/* In vireo_point.kept: the page was written before the next snapshot. */
#define ROLLBACK_WRITTEN	XA_MARK_0

/* The set of pages that were written since the newest snapshot, NULL: not followed. */
static struct vireo_dirty *rollback_live(const struct vireo_mem *mem)
{
	return mem->track ? mem->track->by[VIREO_TRACK_SNAPSHOT] : NULL;
}

bool vireo_rollback_kept(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn)
{
	const struct vireo_dirty *live = rollback_live(mem);
	const u64 page = gfn - mem->gfn;
	struct vireo_point *point;

	if (!live || test_bit(page % BITS_PER_LONG, &live->words[page / BITS_PER_LONG]))
		return true;
	point = vireo_point_newest(vm);
	return !point || xa_load(&point->kept, gfn);
}

static int rollback_keep_page(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn)
{
	struct vireo_point *point = vireo_point_newest(vm);
	void *copy, *old;

	might_sleep();
	copy = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!copy)
		return -ENOMEM;
	if (!vireo_hva_read(vireo_mem_hva(mem, gfn), copy, PAGE_SIZE)) {
		free_page((unsigned long)copy);
		return -EFAULT;
	}
	/* With a barrier: the copy is complete before anybody finds it, and writes. */
	old = xa_cmpxchg(&point->kept, gfn, NULL, copy, GFP_KERNEL_ACCOUNT);
	if (old)
		free_page((unsigned long)copy);
	else
		atomic_long_add(PAGE_SIZE, &vm->snapshot_bytes);
	return xa_is_err(old) ? xa_err(old) : 0;
}

int vireo_rollback_keep(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gpa, size_t len, bool nofault)
{
	u64 gfn = gpa >> PAGE_SHIFT, last = (gpa + len - 1) >> PAGE_SHIFT;
	struct vireo_dirty *live = rollback_live(mem);
	int r;

	if (!live || !vireo_point_newest(vm))
		return 0;
	for (; gfn <= last; gfn++) {
		const u64 page = gfn - mem->gfn;

		if (!vireo_rollback_kept(vm, mem, gfn)) {
			if (nofault)
				return -EFAULT;
			r = rollback_keep_page(vm, mem, gfn);
			if (r)
				return r;
		}
		/* Before the write: nobody goes back in between. */
		dirty_mark(live, page / BITS_PER_LONG, BIT(page % BITS_PER_LONG), false);
	}
	return 0;
}

int vireo_rollback_keep_fault(struct vireo_vcpu *vcpu, const struct vireo_mem *mem, u64 gfn)
{
	int r;

	if (vireo_rollback_kept(vcpu->vm, mem, gfn))
		return 0;
	r = rollback_keep_page(vcpu->vm, mem, gfn);
	if (r == -EFAULT) {
		if (fatal_signal_pending(current))
			return VIREO_FAULT_SIGNAL;
		snprintf(vcpu->run->error, sizeof(vcpu->run->error),
			 "guest memory at %#llx cannot be kept for a snapshot: user address %#lx cannot be read",
			 gfn << PAGE_SHIFT, vireo_mem_hva(mem, gfn));
		return VIREO_FAULT_ERROR;
	}
	return r ? VIREO_FAULT_NOMEM : 0;
}

/* ------------------------------------------------------------------ */
/* Marks                                                                */

/* What was written since the newest snapshot @point is what was written before the next one. */
static void rollback_freeze(struct vireo_vm *vm, struct vireo_point *point)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	u64 word, words;
	u32 i, bit;

	for (i = 0; i < map->nr; i++) {
		const struct vireo_mem *mem = &map->mem[i];
		struct vireo_dirty *live = rollback_live(mem);

		if (!live)
			continue;
		words = BITS_TO_LONGS(mem->pages);
		for_each_set_bit(word, live->summary, words) {
			for_each_set_bit(bit, &live->words[word], BITS_PER_LONG)
				xa_set_mark(&point->kept, mem->gfn + word * BITS_PER_LONG + bit, ROLLBACK_WRITTEN);
			live->words[word] = 0;
			cond_resched();
		}
		bitmap_zero(live->summary, words);
	}
}

/* The reverse, for a snapshot that is the newest once more; adds to what is marked. */
static void rollback_thaw(struct vireo_vm *vm, struct vireo_point *point)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	unsigned long gfn;
	void *copy;

	xa_for_each_marked(&point->kept, gfn, copy, ROLLBACK_WRITTEN) {
		const struct vireo_mem *mem = vireo_mem_find(map, gfn);
		u64 page = gfn - mem->gfn;

		dirty_mark(rollback_live(mem), page / BITS_PER_LONG, BIT(page % BITS_PER_LONG), false);
		xa_clear_mark(&point->kept, gfn, ROLLBACK_WRITTEN);
		cond_resched();
	}
}

/* ------------------------------------------------------------------ */
/* Comparing                                                            */

static void rollback_refs_free(struct vireo_vm *vm, struct vireo_point *point)
{
	u64 nr, pages = 0;
	u32 i;

	for (i = 0; i < point->nr_refs; i++) {
		for (nr = 0; nr < point->refs[i].nr; nr++) {
			pages += point->refs[i].pages[nr] != NULL;
			free_page((unsigned long)point->refs[i].pages[nr]);
		}
		kvfree(point->refs[i].pages);
	}
	atomic_long_sub(pages * PAGE_SIZE, &vm->snapshot_bytes);
	kvfree(point->refs);
}

static int rollback_ref(struct vireo_vm *vm, const struct vireo_mem *mem, struct vireo_ref *ref, void **page)
{
	u64 nr;

	ref->pages = kvcalloc(mem->pages, sizeof(ref->pages[0]), GFP_KERNEL_ACCOUNT);
	if (!ref->pages)
		return -ENOMEM;
	ref->nr = mem->pages;
	for (nr = 0; nr < mem->pages; nr++) {
		if (!*page)
			*page = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
		if (!*page)
			return -ENOMEM;
		if (!vireo_hva_read(mem->hva + (nr << PAGE_SHIFT), *page, PAGE_SIZE))
			return -EFAULT;
		if (memchr_inv(*page, 0, PAGE_SIZE)) {
			ref->pages[nr] = *page;
			*page = NULL;
			atomic_long_add(PAGE_SIZE, &vm->snapshot_bytes);
		}
		cond_resched();
	}
	return 0;
}

static int rollback_refs(struct vireo_vm *vm, struct vireo_point *point)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	void *page = NULL;
	int r = 0;
	u32 i;

	point->refs = kvcalloc(max(map->nr, 1U), sizeof(point->refs[0]), GFP_KERNEL_ACCOUNT);
	if (!point->refs)
		return -ENOMEM;
	point->nr_refs = map->nr;
	for (i = 0; !r && i < map->nr; i++)
		r = rollback_ref(vm, &map->mem[i], &point->refs[i], &page);
	free_page((unsigned long)page);
	return r;
}

/* The first byte that differs; PAGE_SIZE: none. */
static unsigned int rollback_differs(const u8 *now, const u8 *ref)
{
	unsigned int at = 0;
	const u8 *odd;

	if (!ref) {
		odd = memchr_inv(now, 0, PAGE_SIZE);
		return odd ? odd - now : PAGE_SIZE;
	}
	if (!memcmp(now, ref, PAGE_SIZE))
		return PAGE_SIZE;
	while (now[at] == ref[at])
		at++;
	return at;
}

int vireo_rollback_verify(struct vireo_vm *vm, const struct vireo_point *point, u64 *gpa)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	unsigned int at = PAGE_SIZE;
	void *page;
	int r = 0;
	u64 nr;
	u32 i;

	if (!point->refs)
		return 0;
	page = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!page)
		return -ENOMEM;
	for (i = 0; !r && i < map->nr; i++) {
		const struct vireo_mem *mem = &map->mem[i];

		for (nr = 0; !r && nr < mem->pages; nr++) {
			if (vireo_hva_read(mem->hva + (nr << PAGE_SHIFT), page, PAGE_SIZE))
				at = rollback_differs(page, point->refs[i].pages[nr]);
			else
				at = 0;
			if (at < PAGE_SIZE) {
				*gpa = ((mem->gfn + nr) << PAGE_SHIFT) + at;
				r = -EIO;
			}
			cond_resched();
		}
	}
	free_page((unsigned long)page);
	return r;
}

/* ------------------------------------------------------------------ */
/* Life                                                                 */

static void rollback_kept_free(struct vireo_vm *vm, struct vireo_point *point)
{
	unsigned long gfn, pages = 0;
	void *copy;

	xa_for_each(&point->kept, gfn, copy) {
		free_page((unsigned long)copy);
		pages++;
		cond_resched();
	}
	xa_destroy(&point->kept);
	atomic_long_sub(pages * PAGE_SIZE, &vm->snapshot_bytes);
}

void vireo_rollback_free(struct vireo_vm *vm, struct vireo_point *point)
{
	rollback_kept_free(vm, point);
	rollback_refs_free(vm, point);
}

/* The map may be another after each call. */
static void rollback_stop(struct vireo_vm *vm)
{
	u32 i;

	for (i = 0; i < vireo_mem_map(vm)->nr; i++) {
		const struct vireo_mem *mem = &vireo_mem_map(vm)->mem[i];

		/* Without memory for that it stays followed, which does no harm. */
		if (rollback_live(mem))
			vireo_track_stop(vm, mem, VIREO_TRACK_SNAPSHOT);
	}
}

static int rollback_start(struct vireo_vm *vm)
{
	u32 i;
	int r;

	for (i = 0; i < vireo_mem_map(vm)->nr; i++) {
		const struct vireo_mem *mem = &vireo_mem_map(vm)->mem[i];
		struct vireo_dirty *live = rollback_live(mem);

		if (live) {
			bitmap_zero(live->words, mem->pages);
			bitmap_zero(live->summary, BITS_TO_LONGS(mem->pages));
			vireo_track_protect(vm, mem, true, false);
			vireo_track_flush(vm);
			continue;
		}
		r = vireo_track_start(vm, mem, VIREO_TRACK_SNAPSHOT);
		if (r) {
			rollback_stop(vm);
			return r;
		}
	}
	return 0;
}

/* No page is kept by the newest snapshot, or not all that may be writable are. */
static void rollback_protect(struct vireo_vm *vm)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	u32 i;

	for (i = 0; i < map->nr; i++)
		vireo_track_protect(vm, &map->mem[i], true, false);
	vireo_track_flush(vm);
}

int vireo_rollback_begin(struct vireo_vm *vm, struct vireo_point *point, bool verify)
{
	struct vireo_point *older = vireo_point_newest(vm);
	int r = 0;

	xa_init_flags(&point->kept, XA_FLAGS_ACCOUNT);
	if (verify)
		r = rollback_refs(vm, point);
	if (!r && !older)
		r = rollback_start(vm);
	if (r) {
		rollback_refs_free(vm, point);
		return r;
	}
	if (older) {
		rollback_freeze(vm, older);
		rollback_protect(vm);
	}
	list_add(&point->list, &vm->points);
	return 0;
}

/*
 * @from's pages go to @to, which is older, unless it has them already; with what was written since if @written.
 */
static int rollback_merge(struct vireo_vm *vm, struct vireo_point *from, struct vireo_point *to, bool written)
{
	unsigned long gfn, pages = 0;
	void *copy;

	/* What needs memory comes first. */
	xa_for_each(&from->kept, gfn, copy) {
		if (xa_reserve(&to->kept, gfn, GFP_KERNEL_ACCOUNT))
			goto undo;
		cond_resched();
	}
	xa_for_each(&from->kept, gfn, copy) {
		if (xa_load(&to->kept, gfn)) {
			free_page((unsigned long)copy);
			pages++;
		} else {
			xa_store(&to->kept, gfn, copy, GFP_KERNEL_ACCOUNT);
		}
		if (written && xa_get_mark(&from->kept, gfn, ROLLBACK_WRITTEN))
			xa_set_mark(&to->kept, gfn, ROLLBACK_WRITTEN);
		cond_resched();
	}
	xa_destroy(&from->kept);
	atomic_long_sub(pages * PAGE_SIZE, &vm->snapshot_bytes);
	return 0;
undo:
	xa_for_each(&from->kept, gfn, copy)
		xa_release(&to->kept, gfn);
	return -ENOMEM;
}

int vireo_rollback_drop(struct vireo_vm *vm, struct vireo_point *point)
{
	const bool newest = point == vireo_point_newest(vm);
	int r;

	if (list_is_last(&point->list, &vm->points)) {
		rollback_kept_free(vm, point);
		list_del(&point->list);
		if (newest)
			rollback_stop(vm);
	} else {
		struct vireo_point *older = list_next_entry(point, list);

		r = rollback_merge(vm, point, older, !newest);
		if (r)
			return r;
		list_del(&point->list);
		if (newest)
			rollback_thaw(vm, older);
	}
	rollback_refs_free(vm, point);
	return 0;
}

/* ------------------------------------------------------------------ */
/* Back                                                                 */

/* The copies of pages of one word, for each bit of @bits from @gfn on, which is not 0. */
static __always_inline void find_copies(struct vireo_point *point, u64 gfn, unsigned long bits, void **copies)
{
	const u64 first = gfn + __ffs(bits), last = gfn + __fls(bits);
	XA_STATE(xas, &point->kept, first);
	void *copy;

	/* What is kept, but not written, in between costs less than to look for each. */
	rcu_read_lock();
	xas_for_each(&xas, copy, last)
		copies[xas.xa_index - gfn] = copy;
	rcu_read_unlock();
}

/*
 * Pages of one word.  Copied without a lock, since that may bring them in; the mark goes when the page is what it was.
 */
static int restore_word(struct vireo_vm *vm, struct vireo_point *point, const struct vireo_mem *mem,
			struct vireo_dirty *live, u64 word)
{
	const u64 gfn = mem->gfn + word * BITS_PER_LONG;
	const unsigned long hva = mem->hva + (word * BITS_PER_LONG << PAGE_SHIFT);
	unsigned long left = live->words[word], done;
	struct vireo_mmu *mmu = &vm->mmu;
	void *copies[BITS_PER_LONG];
	int r = 0;

	if (unlikely(!left))
		return 0;
	find_copies(point, gfn, left, copies);
	for (; left; left &= left - 1) {
		const unsigned int bit = __ffs(left);

		if (unlikely(!vireo_hva_write(hva + bit * PAGE_SIZE, copies[bit], PAGE_SIZE))) {
			r = -EFAULT;
			break;
		}
	}
	done = live->words[word] & ~left;
	if (!done)
		return r;
	live->words[word] = left;
	write_lock(&mmu->lock);
	if (likely(mmu->root))
		vireo_tdp_protect_word(mmu, gfn, done);
	if (unlikely(mmu->shadow)) {
		unsigned int bit;

		vireo_shadow_protect_word(vm, mem, gfn, done);
		for_each_set_bit(bit, &done, BITS_PER_LONG)
			vireo_shadow_written(vm, mem, (gfn + bit) << PAGE_SHIFT, PAGE_SIZE);
	}
	write_unlock(&mmu->lock);
	vireo_track_word(mem->track, word, done);
	return r;
}

int vireo_rollback_memory(struct vireo_vm *vm, u64 *pages)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	struct vireo_point *point = vireo_point_newest(vm);
	u32 i;
	int r;

	for (i = 0; i < map->nr; i++) {
		const struct vireo_mem *mem = &map->mem[i];
		struct vireo_dirty *live = rollback_live(mem);
		const u64 sums = DIV_ROUND_UP_ULL(mem->pages, TRACK_SPAN);
		u64 sum, word;

		for (sum = 0; sum < sums; sum++) {
			if (likely(!live->summary[sum]))
				continue;
			while (live->summary[sum]) {
				word = sum * BITS_PER_LONG + __ffs(live->summary[sum]);
				*pages += hweight_long(live->words[word]);
				r = restore_word(vm, point, mem, live, word);
				if (unlikely(r)) {
					*pages -= hweight_long(live->words[word]);
					return r;
				}
				live->summary[sum] &= live->summary[sum] - 1;
			}
			cond_resched();
		}
	}
	return 0;
}

void vireo_rollback_pop(struct vireo_vm *vm)
{
	struct vireo_point *point = vireo_point_newest(vm);

	list_del(&point->list);
	rollback_thaw(vm, vireo_point_newest(vm));
	vireo_rollback_free(vm, point);
}

void vireo_rollback_end(struct vireo_vm *vm, bool popped)
{
	/* What only the newer ones have kept must not stay writable. */
	if (popped)
		rollback_protect(vm);
	else if (vm->mmu.shadow)
		vireo_track_flush(vm);
}

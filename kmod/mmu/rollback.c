// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots: memory.
 *
 * In a region that the newest snapshot follows an entry allows writes only if the page is kept, and (with a log: is dirty) only
 * if it is marked as written.  A page is kept by whoever is about to write first, without a lock: nobody can have written
 * before one of them has put his copy among the kept ones, and each of them has copied before that; all but one throw theirs away.
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

/* The set of pages that were written since the newest snapshot, NULL: not followed. */
static struct vireo_dirty *rollback_live(const struct vireo_mem *mem)
{
	return mem->track ? mem->track->by[VIREO_TRACK_SNAPSHOT] : NULL;
}

/* The copy of a region's page; NULL: there is none. */
static void *kept_page(struct vireo_copies **kept, u64 page)
{
	const struct vireo_copies *copies = READ_ONCE(kept[page / BITS_PER_LONG]);

	return copies ? READ_ONCE(copies->page[page % BITS_PER_LONG]) : NULL;
}

bool vireo_rollback_kept(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn)
{
	const struct vireo_dirty *live = rollback_live(mem);
	const u64 page = gfn - mem->gfn;

	if (!live || test_bit(page % BITS_PER_LONG, &live->words[page / BITS_PER_LONG]))
		return true;
	return !live->kept || kept_page(live->kept, page);
}

/* The copies of the word that @page is of; NULL: no memory. */
static struct vireo_copies *kept_copies(struct vireo_copies **kept, u64 page)
{
	struct vireo_copies **at = &kept[page / BITS_PER_LONG], *copies = READ_ONCE(*at), *new;

	if (likely(copies))
		return copies;
	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	copies = cmpxchg(at, NULL, new);
	if (!copies)
		return new;
	/* Somebody else was faster. */
	kfree(new);
	return copies;
}

static int rollback_keep_page(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn)
{
	const u64 page = gfn - mem->gfn;
	struct vireo_copies *copies;
	void *copy;

	might_sleep();
	copies = kept_copies(rollback_live(mem)->kept, page);
	copy = copies ? (void *)__get_free_page(GFP_KERNEL_ACCOUNT) : NULL;
	if (!copy)
		return -ENOMEM;
	if (!vireo_hva_read(vireo_mem_hva(mem, gfn), copy, PAGE_SIZE)) {
		free_page((unsigned long)copy);
		return -EFAULT;
	}
	/* With a barrier: the copy is complete before anybody finds it, and writes. */
	if (cmpxchg(&copies->page[page % BITS_PER_LONG], NULL, copy))
		free_page((unsigned long)copy);
	else
		atomic_long_add(PAGE_SIZE, &vm->snapshot_bytes);
	return 0;
}

int vireo_rollback_keep(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gpa, size_t len, bool nofault)
{
	u64 gfn = gpa >> PAGE_SHIFT, last = (gpa + len - 1) >> PAGE_SHIFT;
	struct vireo_dirty *live = rollback_live(mem);
	int r;

	if (!live || !live->kept)
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
	u32 i;

	for (i = 0; i < map->nr; i++) {
		const struct vireo_mem *mem = &map->mem[i];
		struct vireo_dirty *live = rollback_live(mem);

		if (!live)
			continue;
		words = BITS_TO_LONGS(mem->pages);
		for_each_set_bit(word, live->summary, words) {
			if (live->words[word])
				point->kept[i].copies[word]->written = live->words[word];
			live->words[word] = 0;
			cond_resched();
		}
		bitmap_zero(live->summary, words);
	}
}

/* @point is the newest snapshot: what is written from here on is kept for it. */
static void rollback_keep_for(struct vireo_vm *vm, struct vireo_point *point)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	u32 i;

	for (i = 0; i < map->nr; i++)
		rollback_live(&map->mem[i])->kept = point->kept[i].copies;
}

/* ... once more: what was written after it is added to what is marked. */
static void rollback_thaw(struct vireo_vm *vm, struct vireo_point *point)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	struct vireo_copies *copies;
	u64 word;
	u32 i;

	rollback_keep_for(vm, point);
	for (i = 0; i < map->nr; i++) {
		struct vireo_dirty *live = rollback_live(&map->mem[i]);

		for (word = 0; word < point->kept[i].words; word++) {
			copies = live->kept[word];
			if (!copies || !copies->written)
				continue;
			dirty_mark(live, word, copies->written, false);
			copies->written = 0;
			cond_resched();
		}
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

static unsigned long copies_free(struct vireo_copies *copies)
{
	unsigned long pages = 0;
	unsigned int i;

	for (i = 0; copies && i < BITS_PER_LONG; i++) {
		pages += copies->page[i] != NULL;
		free_page((unsigned long)copies->page[i]);
	}
	kfree(copies);
	return pages;
}

static void rollback_kept_free(struct vireo_vm *vm, struct vireo_point *point)
{
	unsigned long pages = 0;
	u64 word;
	u32 i;

	for (i = 0; i < point->nr; i++) {
		for (word = 0; word < point->kept[i].words; word++) {
			pages += copies_free(point->kept[i].copies[word]);
			cond_resched();
		}
		kvfree(point->kept[i].copies);
	}
	kvfree(point->kept);
	atomic_long_sub(pages * PAGE_SIZE, &vm->snapshot_bytes);
}

static int rollback_kept_alloc(struct vireo_vm *vm, struct vireo_point *point)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	u32 i;

	point->kept = kvcalloc(max(map->nr, 1U), sizeof(point->kept[0]), GFP_KERNEL_ACCOUNT);
	if (!point->kept)
		return -ENOMEM;
	point->nr = map->nr;
	for (i = 0; i < map->nr; i++) {
		struct vireo_kept *kept = &point->kept[i];
		const u64 words = BITS_TO_LONGS(map->mem[i].pages);

		kept->copies = kvcalloc(words, sizeof(kept->copies[0]), GFP_KERNEL_ACCOUNT);
		if (!kept->copies)
			return -ENOMEM;
		kept->words = words;
	}
	return 0;
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

		if (!rollback_live(mem))
			continue;
		/* Without memory for that it stays followed, which does no harm. */
		rollback_live(mem)->kept = NULL;
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

	r = rollback_kept_alloc(vm, point);
	if (!r && verify)
		r = rollback_refs(vm, point);
	if (!r && !older)
		r = rollback_start(vm);
	if (r) {
		vireo_rollback_free(vm, point);
		return r;
	}
	if (older) {
		rollback_freeze(vm, older);
		rollback_protect(vm);
	}
	list_add(&point->list, &vm->points);
	rollback_keep_for(vm, point);
	return 0;
}

/* @from's pages go to @to, which is older, unless it has them already; with what was written since. */
static void rollback_merge(struct vireo_point *from, struct vireo_point *to)
{
	unsigned int bit;
	u64 word;
	u32 i;

	for (i = 0; i < to->nr; i++) {
		for (word = 0; word < to->kept[i].words; word++) {
			struct vireo_copies **copies = &to->kept[i].copies[word], **more = &from->kept[i].copies[word];

			if (!*more)
				continue;
			if (!*copies) {
				swap(*copies, *more);
				continue;
			}
			for (bit = 0; bit < BITS_PER_LONG; bit++) {
				if (!(*copies)->page[bit])
					swap((*copies)->page[bit], (*more)->page[bit]);
			}
			(*copies)->written |= (*more)->written;
			cond_resched();
		}
	}
}

void vireo_rollback_drop(struct vireo_vm *vm, struct vireo_point *point)
{
	const bool newest = point == vireo_point_newest(vm);
	struct vireo_point *older;

	if (list_is_last(&point->list, &vm->points)) {
		if (newest)
			rollback_stop(vm);
	} else {
		older = list_next_entry(point, list);
		rollback_merge(point, older);
		if (newest)
			rollback_thaw(vm, older);
	}
	list_del(&point->list);
	vireo_rollback_free(vm, point);
}

/* ------------------------------------------------------------------ */
/* Back                                                                 */

/*
 * Pages of one word.  Copied without a lock, since that may bring them in; the mark goes when the page is what it was.
 */
static int restore_word(struct vireo_vm *vm, const struct vireo_mem *mem, struct vireo_dirty *live, u64 word)
{
	const u64 gfn = mem->gfn + word * BITS_PER_LONG;
	const unsigned long hva = mem->hva + (word * BITS_PER_LONG << PAGE_SHIFT);
	unsigned long left = live->words[word], done;
	struct vireo_mmu *mmu = &vm->mmu;
	struct vireo_copies *copies = live->kept[word];
	int r = 0;

	if (unlikely(!left))
		return 0;
	for (; left; left &= left - 1) {
		const unsigned int bit = __ffs(left);

		if (unlikely(!vireo_hva_write(hva + bit * PAGE_SIZE, copies->page[bit], PAGE_SIZE))) {
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
	if (unlikely(mem->track->consumers))
		vireo_track_word(mem->track, word, done);
	return r;
}

int vireo_rollback_memory(struct vireo_vm *vm, u64 *pages)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	u32 i;
	int r;

	for (i = 0; i < map->nr; i++) {
		const struct vireo_mem *mem = &map->mem[i];
		struct vireo_dirty *live = rollback_live(mem);
		const u64 sums = DIV_ROUND_UP_ULL(mem->pages, TRACK_SPAN);
		u64 sum, word;

		for (sum = 0; sum < sums; sum++) {
			const unsigned long *s = &live->summary[sum];

			if (likely(!*s)) {
				if (!(sum % 8) && !(s[1] | s[2] | s[3] | s[4] | s[5] | s[6] | s[7]))
					sum += 7;
				continue;
			}
			while (live->summary[sum]) {
				word = sum * BITS_PER_LONG + __ffs(live->summary[sum]);
				*pages += hweight_long(live->words[word]);
				r = restore_word(vm, mem, live, word);
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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty tracking by write protection.
 *
 * In a region that is followed an entry allows writes only while its page is marked for every
 * consumer.  So a write to an unmarked page faults, the fault marks it and allows the write, both under
 * mmu->lock held for reading; taking marks and the right to write away is done under it held for writing, and
 * all TLBs are flushed before the reader hears of the marks.
 *
 * Marks are bits, and each word of them has a bit in a summary: a reader looks at one word for 4096 clean pages.
 *
 * Locking: changes and readers under vm->lock; marks are atomic.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mmu.h"
#include "tdp.h"
#include "track.h"

/* Pages that a word of the summary stands for. */
#define TRACK_SPAN ((u64)BITS_PER_LONG * BITS_PER_LONG)

/* Entries that lose their right to write under one hold of the lock. */
#define TRACK_PAGES 4096

/**
 * struct vireo_dirty - the pages of a region that one consumer has to hear of
 * @rcu: faults with interrupts off may still mark when it goes
 * @summary: a bit for each word that may not be 0; behind @words
 * @words: a bit for each page
 */
struct vireo_dirty {
	struct rcu_head rcu;
	unsigned long *summary;
	unsigned long words[];
};

static struct vireo_dirty *dirty_alloc(u64 pages)
{
	const u64 words = BITS_TO_LONGS(pages);
	struct vireo_dirty *dirty;

	dirty = kvzalloc(struct_size(dirty, words, words + BITS_TO_LONGS(words)), GFP_KERNEL_ACCOUNT);
	if (dirty)
		dirty->summary = dirty->words + words;
	return dirty;
}

static void dirty_free(struct vireo_dirty *dirty)
{
	if (dirty)
		kvfree_rcu(dirty, rcu);
}

/*
 * The bit, then the summary's: a reader takes them in the other order.  The summary's is set also by who finds
 * the page marked: whoever marked it may not have come to that yet.
 */
static void dirty_mark(struct vireo_dirty *dirty, u64 page)
{
	const u64 word = page / BITS_PER_LONG;

	if (!test_bit(page % BITS_PER_LONG, &dirty->words[word]))
		set_bit(page % BITS_PER_LONG, &dirty->words[word]);
	/* Against the reader's: it clears the summary's bit before it takes the word. */
	smp_mb__after_atomic();
	if (!test_bit(word % BITS_PER_LONG, &dirty->summary[word / BITS_PER_LONG]))
		set_bit(word % BITS_PER_LONG, &dirty->summary[word / BITS_PER_LONG]);
}

void __vireo_track_mark(const struct vireo_track *track, u64 page)
{
	unsigned int i;

	for (i = 0; i < VIREO_TRACK_CONSUMERS; i++) {
		if (track->by[i])
			dirty_mark(track->by[i], page);
	}
}

void __vireo_track_gpa(const struct vireo_mem *mem, u64 gpa, size_t len)
{
	u64 gfn = gpa >> PAGE_SHIFT, last = (gpa + len - 1) >> PAGE_SHIFT;

	/* Against the write before. */
	smp_mb();
	for (; gfn <= last; gfn++)
		__vireo_track_mark(mem->track, gfn - mem->gfn);
}

void vireo_track_free(struct vireo_track *track)
{
	unsigned int i;

	if (!track)
		return;
	for (i = 0; i < VIREO_TRACK_CONSUMERS; i++)
		dirty_free(track->by[i]);
	kfree_rcu(track, rcu);
}

/* The region's pages [@first, @end) lose the right to be written; not flushed. */
static void protect_range(struct vireo_vm *vm, const struct vireo_mem *mem, u64 first, u64 end)
{
	struct vireo_mmu *mmu = &vm->mmu;
	u64 page, next;

	for (page = first; page < end; page = next) {
		next = min(end, page + TRACK_PAGES);
		write_lock(&mmu->lock);
		if (mmu->root)
			vireo_tdp_protect(mmu, mem->gfn + page, mem->gfn + next);
		if (mmu->shadow)
			vireo_shadow_protect(vm, mem, mem->gfn + page, mem->gfn + next);
		write_unlock(&mmu->lock);
		cond_resched();
	}
}

static void flush(struct vireo_vm *vm)
{
	write_lock(&vm->mmu.lock);
	vireo_mmu_flush_all(vm);
	write_unlock(&vm->mmu.lock);
}

static const struct vireo_mem *find_tracked(struct vireo_vm *vm, u32 slot, u32 consumer)
{
	const struct vireo_mem *mem = vireo_region_find(vm, slot);

	if (!mem || !mem->track || !mem->track->by[consumer])
		return NULL;
	return mem;
}

static int track_start(struct vireo_vm *vm, const struct vireo_mem *mem, u32 consumer)
{
	struct vireo_track *track;
	int r;

	if (mem->track && mem->track->by[consumer])
		return -EALREADY;
	track = kzalloc(sizeof(*track), GFP_KERNEL_ACCOUNT);
	if (!track)
		return -ENOMEM;
	if (mem->track)
		*track = *mem->track;
	track->by[consumer] = dirty_alloc(mem->pages);
	r = track->by[consumer] ? vireo_region_track(vm, mem, track, false) : -ENOMEM;
	if (r) {
		dirty_free(track->by[consumer]);
		kfree(track);
		return r;
	}
	/* What is writable now was never marked for this one. */
	mem = vireo_region_find(vm, mem->slot);
	protect_range(vm, mem, 0, mem->pages);
	flush(vm);
	return 0;
}

static int track_stop(struct vireo_vm *vm, const struct vireo_mem *mem, u32 consumer)
{
	struct vireo_dirty *dirty = mem->track->by[consumer];
	struct vireo_track *track = NULL;
	unsigned int i;
	int r;

	for (i = 0; i < VIREO_TRACK_CONSUMERS; i++) {
		if (i != consumer && mem->track->by[i])
			break;
	}
	if (i < VIREO_TRACK_CONSUMERS) {
		track = kmemdup(mem->track, sizeof(*track), GFP_KERNEL_ACCOUNT);
		if (!track)
			return -ENOMEM;
		track->by[consumer] = NULL;
	}
	/* With the last one large mappings may come back. */
	r = vireo_region_track(vm, mem, track, !track);
	if (r)
		kfree(track);
	else
		dirty_free(dirty);
	return r;
}

int vireo_track_set(struct vireo_vm *vm, const struct vireo_tracking *arg)
{
	const struct vireo_mem *mem;

	lockdep_assert_held(&vm->lock);
	if (arg->slot >= VIREO_MAX_REGIONS || arg->consumer >= VIREO_TRACK_CONSUMERS || arg->on > 1)
		return -EINVAL;
	mem = arg->on ? vireo_region_find(vm, arg->slot) : find_tracked(vm, arg->slot, arg->consumer);
	if (!mem)
		return -ENOENT;
	return arg->on ? track_start(vm, mem, arg->consumer) : track_stop(vm, mem, arg->consumer);
}

static unsigned long take(unsigned long *word, unsigned long mask)
{
	return atomic_long_fetch_andnot(mask, (atomic_long_t *)word) & mask;
}

/* Bits of the word that begins with page @first which are of pages before @end. */
static unsigned long mask_before(u64 first, u64 end)
{
	return end - first >= BITS_PER_LONG ? ~0UL : BIT(end - first) - 1;
}

/* Tell user space of a word; false: it is not accessible. */
static bool tell(u64 __user *to, u64 bits)
{
	u64 old;

	return !get_user(old, to) && !put_user(old | bits, to);
}

/*
 * The words that the @sum-th word of the summary stands for, as far as they are of pages
 * from @arg->first to @end.
 */
static int take_words(struct vireo_vm *vm, const struct vireo_mem *mem, struct vireo_dirty *dirty,
		      struct vireo_dirty_log *arg, u64 end, u64 sum)
{
	u64 __user *bitmap = u64_to_user_ptr(arg->bitmap);
	const u64 base = sum * BITS_PER_LONG;	/* its first word */
	unsigned long bits[BITS_PER_LONG];
	unsigned long some = ~0UL, left;
	struct vireo_mmu *mmu = &vm->mmu;
	unsigned int i;
	int r = 0;

	if (base * BITS_PER_LONG < arg->first)
		some <<= arg->first / BITS_PER_LONG - base;
	some &= mask_before(base, DIV_ROUND_UP_ULL(end, BITS_PER_LONG));
	some = take(&dirty->summary[sum], some);
	if (!some)
		return 0;

	write_lock(&mmu->lock);
	for_each_set_bit(i, &some, BITS_PER_LONG) {
		const u64 page = (base + i) * BITS_PER_LONG, gfn = mem->gfn + page;
		const unsigned long mask = mask_before(page, end);

		bits[i] = take(&dirty->words[base + i], mask);
		if (mask != ~0UL && READ_ONCE(dirty->words[base + i]))
			set_bit(i, &dirty->summary[sum]);
		if (mmu->root)
			vireo_tdp_protect_word(mmu, gfn, bits[i]);
		if (mmu->shadow)
			vireo_shadow_protect_word(vm, mem, gfn, bits[i]);
	}
	write_unlock(&mmu->lock);

	left = some;
	for_each_set_bit(i, &some, BITS_PER_LONG) {
		if (bits[i] && !tell(&bitmap[base + i - arg->first / BITS_PER_LONG], bits[i])) {
			r = -EFAULT;
			break;
		}
		arg->found += hweight_long(bits[i]);
		left &= ~BIT(i);
	}
	if (r) {
		/* What could not be told is dirty still; that it is write-protected as well does no harm. */
		for_each_set_bit(i, &left, BITS_PER_LONG) {
			atomic_long_or(bits[i], (atomic_long_t *)&dirty->words[base + i]);
			set_bit(i, &dirty->summary[sum]);
		}
	}
	return r;
}

int vireo_track_get(struct vireo_vm *vm, struct vireo_dirty_log *arg)
{
	const struct vireo_mem *mem;
	struct vireo_dirty *dirty;
	u64 sum, end;
	int r = 0;

	lockdep_assert_held(&vm->lock);
	if (arg->flags || arg->slot >= VIREO_MAX_REGIONS || arg->consumer >= VIREO_TRACK_CONSUMERS ||
	    arg->first % BITS_PER_LONG || (arg->bitmap & 7))
		return -EINVAL;
	mem = find_tracked(vm, arg->slot, arg->consumer);
	if (!mem)
		return -ENOENT;
	if (check_add_overflow(arg->first, arg->pages, &end) || end > mem->pages)
		return -EINVAL;
	if (!access_ok(u64_to_user_ptr(arg->bitmap), BITS_TO_LONGS(arg->pages) * sizeof(u64)))
		return -EFAULT;

	dirty = mem->track->by[arg->consumer];
	arg->found = 0;
	for (sum = arg->first / TRACK_SPAN; !r && sum * TRACK_SPAN < end; sum++) {
		if (READ_ONCE(dirty->summary[sum]))
			r = take_words(vm, mem, dirty, arg, end, sum);
	}
	/* Also if nothing lost a right just now: another consumer may not have come to its flush yet. */
	if (r || arg->found)
		flush(vm);
	return r;
}

int vireo_track_write(struct vireo_vm *vm, const struct vireo_dirty_range *arg)
{
	const struct vireo_mem_map *map;
	const struct vireo_mem *mem;
	u64 gpa = arg->gpa, end, n;
	bool mark = false;

	lockdep_assert_held(&vm->lock);
	if (arg->flags || !arg->bytes || check_add_overflow(arg->gpa, arg->bytes, &end))
		return -EINVAL;
	map = vireo_mem_map(vm);
	do {
		for (gpa = arg->gpa; gpa < end; gpa += n) {
			mem = vireo_mem_find(map, gpa >> PAGE_SHIFT);
			if (!mem)
				return -EFAULT;
			n = min(end, (mem->gfn + mem->pages) << PAGE_SHIFT) - gpa;
			if (mark)
				vireo_track_gpa(mem, gpa, n);
		}
		mark = !mark;
	} while (mark);
	return 0;
}

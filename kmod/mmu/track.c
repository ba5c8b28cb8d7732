// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty tracking: by the processor's log of dirty pages, by dirty bits, or by write protection.
 *
 * In a region that is followed an entry allows writes (with a log: is dirty) only while its page is marked for every
 * consumer; with dirty bits, which it is not needs to be found by whoever takes the entry or the bit away.  So a write to an unmarked page faults, the fault marks it and allows the write, both under
 * mmu->lock held for reading; taking marks and the right to write away is done under it held for writing, and
 * all TLBs are flushed before the reader hears of the marks.  What is in logs is marked when vCPUs leave the guest.
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

#include "dirty.h"
#include "mmu.h"
#include "rollback.h"
#include "ring.h"
#include "tdp.h"
#include "track.h"

/* Entries that lose their right to write under one hold of the lock; and that are looked at for dirty bits. */
#define TRACK_PAGES 4096
#define TRACK_LOOK (16 * TRACK_PAGES)

static struct vireo_dirty *dirty_alloc(u64 pages)
{
	const u64 words = BITS_TO_LONGS(pages);
	struct vireo_dirty *dirty;

	dirty = kvzalloc(struct_size(dirty, words, words + ALIGN(BITS_TO_LONGS(words), 8)), GFP_KERNEL_ACCOUNT);
	if (dirty)
		dirty->summary = dirty->words + words;
	return dirty;
}

static void dirty_free(struct vireo_dirty *dirty)
{
	if (dirty)
		kvfree_rcu(dirty, rcu);
}

/* Pages of one word.  Return: how many of them somebody has not heard of. */
static __always_inline unsigned int track_mark(const struct vireo_track *track, u64 word, unsigned long bits,
					       const unsigned int nr)
{
	unsigned long any = 0;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (track->by[i])
			any |= dirty_mark(track->by[i], word, bits, false);
	}
	return hweight_long(any);
}

/* The same for a vCPU with rings or a quota, which are told of what was not marked before. */
static noinline unsigned int track_mark_watched(struct vireo_vcpu *vcpu, const struct vireo_mem *mem, u64 word,
						unsigned long bits)
{
	unsigned long new, any = 0;
	unsigned int i;

	for (i = 0; i < VIREO_TRACK_CONSUMERS; i++) {
		if (!mem->track->by[i])
			continue;
		new = dirty_mark(mem->track->by[i], word, bits, true);
		if (new)
			vireo_ring_push(vcpu, i, mem->slot, word * BITS_PER_LONG, new);
		any |= new;
	}
	vireo_quota_use(vcpu, hweight_long(any));
	if (mem->track->by[VIREO_TRACK_SNAPSHOT])
		any |= dirty_mark(mem->track->by[VIREO_TRACK_SNAPSHOT], word, bits, false);
	return hweight_long(any);
}

static __always_inline void track_mark_by(struct vireo_vcpu *vcpu, const struct vireo_mem *mem, u64 word,
					  unsigned long bits)
{
	if (unlikely(vcpu->dirty_watched))
		vcpu->counters.dirtied += track_mark_watched(vcpu, mem, word, bits);
	else
		vcpu->counters.dirtied += track_mark(mem->track, word, bits, VIREO_TRACK_NR);
}

void __vireo_track_mark(struct vireo_vcpu *vcpu, const struct vireo_mem *mem, u64 page)
{
	track_mark_by(vcpu, mem, page / BITS_PER_LONG, BIT(page % BITS_PER_LONG));
}

void vireo_track_word(const struct vireo_track *track, u64 word, unsigned long bits)
{
	this_cpu_add(track->vm->cpu->dirtied, track_mark(track, word, bits, VIREO_TRACK_CONSUMERS));
}

void __vireo_track_gpa(const struct vireo_mem *mem, u64 gpa, size_t len)
{
	u64 gfn = gpa >> PAGE_SHIFT, last = (gpa + len - 1) >> PAGE_SHIFT;

	/* Against the write before. */
	smp_mb();
	for (; gfn <= last; gfn++) {
		const u64 page = gfn - mem->gfn;

		vireo_track_word(mem->track, page / BITS_PER_LONG, BIT(page % BITS_PER_LONG));
	}
}

/* Neighbours are often written one after the other: what is of one word is marked together. */
void vireo_track_logged(struct vireo_vcpu *vcpu, const u64 *log, unsigned int nr)
{
	const struct vireo_mem_map *map = vireo_mem_map_inline(vcpu->vm);
	const struct vireo_mem *mem = NULL;
	unsigned long bits = 0;
	u64 word = 0;

	for (; nr; nr--, log++) {
		const u64 gfn = *log >> PAGE_SHIFT;
		u64 page;

		if (!mem || !vireo_mem_holds(mem, gfn)) {
			if (bits)
				track_mark_by(vcpu, mem, word, bits);
			bits = 0;
			mem = vireo_mem_find(map, gfn);
			if (!mem || !mem->track) {
				mem = NULL;
				continue;
			}
		}
		page = gfn - mem->gfn;
		if (page / BITS_PER_LONG != word && bits) {
			track_mark_by(vcpu, mem, word, bits);
			bits = 0;
		}
		word = page / BITS_PER_LONG;
		bits |= BIT(page % BITS_PER_LONG);
	}
	if (bits)
		track_mark_by(vcpu, mem, word, bits);
}

void vireo_track_free(struct vireo_track *track)
{
	unsigned int i;

	if (!track)
		return;
	for (i = 0; i < VIREO_TRACK_NR; i++)
		dirty_free(track->by[i]);
	kfree_rcu(track, rcu);
}

void vireo_track_protect(struct vireo_vm *vm, const struct vireo_mem *mem, bool all, bool tell)
{
	struct vireo_mmu *mmu = &vm->mmu;
	const bool bits = vireo_track_by_bits(mmu, mem) && !all;
	const u64 end = mem->pages;
	u64 page, next;

	for (page = 0; page < end; page = next) {
		next = min(end, page + TRACK_PAGES);
		write_lock(&mmu->lock);
		if (mmu->root && tell && mmu->dirty_bits)
			vireo_tdp_harvest(mmu, mem, mem->gfn + page, mem->gfn + next,
					  bits ? mmu->format->dirty : TDP_WRITE | mmu->format->dirty);
		else if (mmu->root)
			vireo_tdp_protect(mmu, mem->gfn + page, mem->gfn + next, all || (mmu->dirty_bits && !bits));
		if (mmu->shadow)
			vireo_shadow_protect(vm, mem, mem->gfn + page, mem->gfn + next, bits, tell);
		write_unlock(&mmu->lock);
		cond_resched();
	}
}

void __vireo_track_before_zap(struct vireo_vm *vm, const struct vireo_mem *mem, u64 start, u64 end)
{
	struct vireo_mmu *mmu = &vm->mmu;

	/* What is not writable any more cannot become dirty. */
	if (mmu->root)
		vireo_tdp_harvest(mmu, mem, max(start, mem->gfn), min(end, mem->gfn + mem->pages),
				  TDP_WRITE | mmu->format->dirty);
}

void vireo_track_order(struct vireo_vm *vm)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	u32 i;

	lockdep_assert_held(&vm->lock);
	if (!vm->mmu.dirty_bits || vm->mmu.ordered)
		return;
	write_lock(&vm->mmu.lock);
	WRITE_ONCE(vm->mmu.ordered, true);
	write_unlock(&vm->mmu.lock);
	for (i = 0; i < map->nr; i++) {
		if (map->mem[i].track)
			vireo_track_protect(vm, &map->mem[i], true, true);
	}
	vireo_track_flush(vm);
}

void vireo_track_flush(struct vireo_vm *vm)
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

int vireo_track_start(struct vireo_vm *vm, const struct vireo_mem *mem, u32 consumer)
{
	const bool others = mem->track;
	struct vireo_track *track;
	int r;

	if (mem->track && mem->track->by[consumer])
		return -EALREADY;
	track = kzalloc(sizeof(*track), GFP_KERNEL_ACCOUNT);
	if (!track)
		return -ENOMEM;
	if (others) {
		*track = *mem->track;
		/* What was written before this is no news for the new one. */
		if (vireo_track_by_bits(&vm->mmu, mem))
			vireo_track_protect(vm, mem, false, true);
	}
	track->vm = vm;
	track->consumers += consumer != VIREO_TRACK_SNAPSHOT;
	track->by[consumer] = dirty_alloc(mem->pages);
	r = track->by[consumer] ? vireo_region_track(vm, mem, track, false) : -ENOMEM;
	if (r) {
		dirty_free(track->by[consumer]);
		kfree(track);
		return r;
	}
	/* On return no vCPU is in the guest without a log, or will be. */
	if (vm->mmu.log && !vm->mmu.logging) {
		WRITE_ONCE(vm->mmu.logging, true);
		vireo_request_all(vm, VIREO_REQ_LOG);
	}
	/* What is writable, or dirty, now was never marked for this one. */
	mem = vireo_region_find(vm, mem->slot);
	vireo_track_protect(vm, mem, consumer == VIREO_TRACK_SNAPSHOT, others);
	vireo_track_flush(vm);
	return 0;
}

static bool any_tracked(struct vireo_vm *vm)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	u32 i;

	for (i = 0; i < map->nr; i++) {
		if (map->mem[i].track)
			return true;
	}
	return false;
}

int vireo_track_stop(struct vireo_vm *vm, const struct vireo_mem *mem, u32 consumer)
{
	struct vireo_dirty *dirty = mem->track->by[consumer];
	struct vireo_track *track = NULL;
	unsigned int i;
	int r;

	for (i = 0; i < VIREO_TRACK_NR; i++) {
		if (i != consumer && mem->track->by[i])
			break;
	}
	if (i < VIREO_TRACK_NR) {
		track = kmemdup(mem->track, sizeof(*track), GFP_KERNEL_ACCOUNT);
		if (!track)
			return -ENOMEM;
		track->consumers -= consumer != VIREO_TRACK_SNAPSHOT;
		track->by[consumer] = NULL;
	}
	/* With the last one large mappings may come back. */
	r = vireo_region_track(vm, mem, track, !track);
	if (r) {
		kfree(track);
		return r;
	}
	dirty_free(dirty);
	if (vm->mmu.logging && !any_tracked(vm)) {
		WRITE_ONCE(vm->mmu.logging, false);
		vireo_request_all(vm, VIREO_REQ_LOG);
	}
	return 0;
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
	return arg->on ? vireo_track_start(vm, mem, arg->consumer) : vireo_track_stop(vm, mem, arg->consumer);
}

static unsigned long take(unsigned long *word, unsigned long mask)
{
	return atomic_long_fetch_andnot(mask, (atomic_long_t *)word) & mask;
}

/*
 * Marks of a word and, with them, the right to write or the dirty bits, which have been taken already where these are all
 * that tells of writes; mmu->lock held for writing, not flushed.
 */
static unsigned long take_word(struct vireo_vm *vm, const struct vireo_mem *mem, struct vireo_dirty *dirty, u64 word,
			       unsigned long mask)
{
	const unsigned long bits = take(&dirty->words[word], mask);
	const u64 gfn = mem->gfn + word * BITS_PER_LONG;

	if (vireo_track_by_bits(&vm->mmu, mem))
		return bits;
	if (vm->mmu.root)
		vireo_tdp_protect_word(&vm->mmu, gfn, bits);
	if (vm->mmu.shadow)
		vireo_shadow_protect_word(vm, mem, gfn, bits);
	return bits;
}

void vireo_track_retake(struct vireo_vm *vm, u32 consumer, const u64 *entries, u32 first, u32 mask, u32 n)
{
	const struct vireo_mem *mem = NULL;
	unsigned long bits = 0;
	u64 word = 0;
	u32 i;

	write_lock(&vm->mmu.lock);
	for (i = 0; i < n; i++) {
		const u64 entry = READ_ONCE(entries[(first + i) & mask]);
		const u64 slot = VIREO_RING_SLOT(entry), page = VIREO_RING_PAGE(entry);

		if (!mem || mem->slot != slot || page / BITS_PER_LONG != word) {
			if (bits)
				take_word(vm, mem, mem->track->by[consumer], word, bits);
			bits = 0;
			if (!mem || mem->slot != slot)
				mem = slot < VIREO_MAX_REGIONS ? find_tracked(vm, slot, consumer) : NULL;
			word = page / BITS_PER_LONG;
		}
		/* A region may have gone, and the launcher can write here. */
		if (mem && page < mem->pages)
			bits |= BIT(page % BITS_PER_LONG);
	}
	if (bits)
		take_word(vm, mem, mem->track->by[consumer], word, bits);
	write_unlock(&vm->mmu.lock);
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
		const unsigned long mask = mask_before((base + i) * BITS_PER_LONG, end);

		bits[i] = take_word(vm, mem, dirty, base + i, mask);
		if (mask != ~0UL && READ_ONCE(dirty->words[base + i]))
			set_bit(i, &dirty->summary[sum]);
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

/* Mark what is dirty of the pages from @first to @end.  Return: true: all TLBs must be flushed before the call returns. */
static bool take_bits(struct vireo_vm *vm, const struct vireo_mem *mem, u64 first, u64 end)
{
	const u64 last = mem->gfn + end;
	u64 gfn = mem->gfn + first, next;
	bool found = false;

	for (; gfn < last; gfn = next) {
		/* Whole tables, as far as there are any. */
		next = min(last, (gfn | (TRACK_LOOK - 1)) + 1);
		write_lock(&vm->mmu.lock);
		if (vm->mmu.root)
			found |= vireo_tdp_harvest(&vm->mmu, mem, gfn, next, vm->mmu.format->dirty);
		if (vm->mmu.shadow)
			found |= vireo_shadow_protect(vm, mem, gfn, next, true, true);
		write_unlock(&vm->mmu.lock);
		cond_resched();
	}
	return found;
}

int vireo_track_get(struct vireo_vm *vm, struct vireo_dirty_log *arg)
{
	const struct vireo_mem *mem;
	struct vireo_dirty *dirty;
	bool flush = false;
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

	/* The logs of vCPUs that run are taken when they come out. */
	if (vm->mmu.logging)
		vireo_request_all(vm, VIREO_REQ_SYNC);
	if (vireo_track_by_bits(&vm->mmu, mem))
		flush = take_bits(vm, mem, arg->first, end);
	dirty = mem->track->by[arg->consumer];
	arg->found = 0;
	for (sum = arg->first / TRACK_SPAN; !r && sum * TRACK_SPAN < end; sum++) {
		if (READ_ONCE(dirty->summary[sum]))
			r = take_words(vm, mem, dirty, arg, end, sum);
	}
	/* Also if nothing lost a right just now: another consumer may not have come to its flush yet. */
	if (r || arg->found || flush)
		vireo_track_flush(vm);
	return r;
}

int vireo_track_write(struct vireo_vm *vm, const struct vireo_dirty_range *arg)
{
	const struct vireo_mem_map *map;
	const struct vireo_mem *mem;
	u64 gpa = arg->gpa, end, n;
	bool mark = false;
	int r;

	lockdep_assert_held(&vm->lock);
	if ((arg->flags & ~VIREO_DIRTY_BEFORE) || !arg->bytes || check_add_overflow(arg->gpa, arg->bytes, &end))
		return -EINVAL;
	map = vireo_mem_map(vm);
	do {
		for (gpa = arg->gpa; gpa < end; gpa += n) {
			mem = vireo_mem_find(map, gpa >> PAGE_SHIFT);
			if (!mem)
				return -EFAULT;
			n = min(end, (mem->gfn + mem->pages) << PAGE_SHIFT) - gpa;
			if (!mark)
				continue;
			if (arg->flags & VIREO_DIRTY_BEFORE) {
				r = vireo_rollback_keep(vm, mem, gpa, n, false);
				if (r)
					return r;
			} else {
				vireo_track_gpa(mem, gpa, n);
			}
		}
		mark = !mark;
	} while (mark);
	return 0;
}

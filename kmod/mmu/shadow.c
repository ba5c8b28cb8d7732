// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow pages: found, made, linked, cut off, freed.
 *
 * Nothing here fails half-way: list nodes are part of the pages, and pages come from a list
 * of spare ones.  What is cut off stays out of use until all TLBs were flushed, as processors
 * may be walking it.
 *
 * Locking: mmu->lock held for writing, but for creation and the spare pages' allocation.
 */
#include <linux/cpufeature.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/mem_encrypt.h>
#include <linux/slab.h>

#include "notifier.h"
#include "shadow.h"
#include "track.h"

/* Spare pages that are kept; what more is freed goes back to the host. */
#define SPARE_MAX	64

/* Pages that wait for a flush, after which one is asked for. */
#define LIMBO_MAX	32

/* Bound: a page for so many frames of guest memory, and how few it may be. */
#define FRAMES_PER_PAGE	64
#define LIMIT_MIN	256U

/* ------------------------------------------------------------------ */
/* Pages                                                                */

static void shadow_page_free(struct shadow_page *sp)
{
	free_page((unsigned long)sp->table);
	free_pages((unsigned long)sp, SHADOW_PAGE_ORDER);
}

static struct shadow_page *shadow_page_alloc(void)
{
	struct shadow_page *sp;

	sp = (void *)__get_free_pages(GFP_KERNEL_ACCOUNT | __GFP_ZERO, SHADOW_PAGE_ORDER);
	if (!sp)
		return NULL;
	sp->table = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!sp->table) {
		free_pages((unsigned long)sp, SHADOW_PAGE_ORDER);
		return NULL;
	}
	set_page_private(virt_to_page(sp->table), (unsigned long)sp);
	return sp;
}

int shadow_fill_spare(struct vireo_vm *vm)
{
	struct vireo_shadow *s = vm->mmu.shadow;

	while (READ_ONCE(s->nr_spare) < SHADOW_NEED) {
		struct shadow_page *sp = shadow_page_alloc();

		if (!sp)
			return -ENOMEM;
		write_lock(&vm->mmu.lock);
		list_add(&sp->list, &s->spare);
		s->nr_spare++;
		write_unlock(&vm->mmu.lock);
	}
	return 0;
}

/* Numbers.  A free one holds the next: twice it, plus one, so that it is not taken for a pointer. */
static u32 shadow_id_alloc(struct vireo_shadow *s, struct shadow_page *sp)
{
	u32 id = s->free_id;

	if (id) {
		s->free_id = (unsigned long)s->by_id[id] >> 1;
		s->by_id[id] = sp;
	}
	return id;
}

static void shadow_id_put(struct vireo_shadow *s, u32 id)
{
	s->by_id[id] = (void *)((unsigned long)s->free_id << 1 | 1);
	s->free_id = id;
}

/* Cut off and flushed: back to the spare ones, as new. */
static void shadow_page_reuse(struct vireo_shadow *s, struct shadow_page *sp)
{
	if (s->nr_spare >= SPARE_MAX) {
		set_page_private(virt_to_page(sp->table), 0);
		shadow_page_free(sp);
		return;
	}
	list_add(&sp->list, &s->spare);
	s->nr_spare++;
}

bool shadow_flush(struct vireo_vm *vm)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	struct shadow_page *sp, *next;

	if (irqs_disabled()) {
		if (!vireo_request_others_out(vm, VIREO_REQ_FLUSH))
			return false;
	} else {
		vireo_request_all(vm, VIREO_REQ_FLUSH);
	}
	s->stale = false;
	s->owed = false;
	list_for_each_entry_safe(sp, next, &s->limbo, list) {
		list_del(&sp->list);
		shadow_page_reuse(s, sp);
	}
	s->nr_limbo = 0;
	return true;
}

void vireo_shadow_flush(struct vireo_vm *vm)
{
	shadow_flush(vm);
	shadow_check_sometimes(vm);
}

/* ------------------------------------------------------------------ */
/* Lists of entries: a head is the number of the first                  */

static void list_insert(struct vireo_shadow *s, struct shadow_page *sp, unsigned int i, u32 *head)
{
	u32 entry = sp->id * SHADOW_ENTRIES + i;

	sp->next[i] = *head;
	sp->prev[i] = 0;
	if (*head)
		shadow_by_id(s, *head)->prev[*head % SHADOW_ENTRIES] = entry;
	*head = entry;
}

static void list_remove(struct vireo_shadow *s, struct shadow_page *sp, unsigned int i, u32 *head)
{
	u32 next = sp->next[i], prev = sp->prev[i];

	if (prev)
		shadow_by_id(s, prev)->next[prev % SHADOW_ENTRIES] = next;
	else
		*head = next;
	if (next)
		shadow_by_id(s, next)->prev[next % SHADOW_ENTRIES] = prev;
}

/* A leaf of @gfn that was @entry is gone, or has lost its dirty bit. */
static void shadow_tell(const struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn, int level, u64 entry)
{
	const u64 page = gfn - mem->gfn;

	/* Large ones were not writable since the region is followed. */
	if (vm->mmu.dirty_bits && mem->track && level == 1 && (entry & PT_DIRTY))
		vireo_track_word(mem->track, page / BITS_PER_LONG, BIT(page % BITS_PER_LONG));
}

void shadow_clear(struct vireo_vm *vm, struct shadow_page *sp, unsigned int i)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	const int level = sp->role.level;
	u64 entry = sp->table[i];

	if (!entry)
		return;
	/* The processor may be setting its accessed and dirty bits: take all at once. */
	entry = xchg(&sp->table[i], 0);
	__clear_bit(i, sp->used);
	s->stale = true;
	if (shadow_is_leaf(sp, entry)) {
		const struct vireo_mem *mem = vireo_mem_find(shadow_map(vm), sp->gfns[i]);

		shadow_tell(vm, mem, sp->gfns[i], level, entry);
		list_remove(s, sp, i, &shadow_frame(mem, sp->gfns[i], level)->first);
		atomic_long_dec(&vm->mmu.pages[level]);
	} else {
		list_remove(s, sp, i, &shadow_child(entry)->parents);
	}
}

void shadow_clear_all(struct vireo_vm *vm, struct shadow_page *sp)
{
	unsigned int i;

	for_each_set_bit(i, sp->used, SHADOW_ENTRIES)
		shadow_clear(vm, sp, i);
}

void shadow_link(struct vireo_vm *vm, struct shadow_page *sp, unsigned int i,
		 struct shadow_page *child, u64 bits)
{
	u64 old = sp->table[i];
	u64 new = __sme_set(virt_to_phys(child->table)) | PT_PRESENT | PT_ACCESSED | bits;

	if (!((old ^ new) & PT_ADDRESS) && !shadow_is_leaf(sp, old) && old) {
		if (old == new)
			return;
		/* Rights that are lost must be lost in the TLBs too, once that matters. */
		vm->mmu.shadow->stale = true;
		WRITE_ONCE(sp->table[i], new);
		return;
	}
	shadow_clear(vm, sp, i);
	list_insert(vm->mmu.shadow, sp, i, &child->parents);
	__set_bit(i, sp->used);
	sp->writes = 0;
	WRITE_ONCE(sp->table[i], new);
}

void shadow_replace(struct vireo_vm *vm, const struct vireo_mem *mem, struct shadow_page *sp, unsigned int i,
		    u64 entry)
{
	const u64 old = xchg(&sp->table[i], entry);

	if (unlikely(old & ~entry & PT_DIRTY))
		shadow_tell(vm, mem, sp->gfns[i], sp->role.level, old);
}

bool shadow_set_leaf(struct vireo_vm *vm, const struct vireo_mem *mem, struct shadow_page *sp,
		     unsigned int i, u64 gfn, u64 entry)
{
	const int level = sp->role.level;
	u64 old = sp->table[i];

	if (old && shadow_is_leaf(sp, old) && sp->gfns[i] == gfn &&
	    !((old ^ entry) & PT_ADDRESS)) {
		if (old & ~entry & (PT_WRITE | PT_USER) || entry & ~old & PT_NX)
			vm->mmu.shadow->stale = true;
		shadow_replace(vm, mem, sp, i, entry);
		return true;
	}
	shadow_clear(vm, sp, i);
	sp->gfns[i] = gfn;
	list_insert(vm->mmu.shadow, sp, i, &shadow_frame(mem, gfn, level)->first);
	__set_bit(i, sp->used);
	atomic_long_inc(&vm->mmu.pages[level]);
	WRITE_ONCE(sp->table[i], entry);
	return false;
}

enum shadow_added shadow_add_leaf(struct vireo_vm *vm, const struct vireo_mem *mem, struct shadow_page *sp,
				  unsigned int i, u64 gfn, u64 entry)
{
	const int level = sp->role.level;
	struct shadow_frame *frame;
	u64 old = READ_ONCE(sp->table[i]);

	if (old) {
		if (!shadow_is_leaf(sp, old) || sp->gfns[i] != gfn ||
		    ((old ^ entry) & PT_ADDRESS) || (old & ~entry & (PT_WRITE | PT_USER)) ||
		    (entry & ~old & PT_NX))
			return SHADOW_CONFLICT;
		if (!(entry & ~old))
			return SHADOW_NOTHING;
		/* If somebody else was faster, the guest finds that when it tries again. */
		return try_cmpxchg64(&sp->table[i], &old, old | entry) ? SHADOW_GAINED : SHADOW_NOTHING;
	}
	/* The bit says whose the place is, until the entry says what is in it. */
	if (test_and_set_bit(i, sp->used))
		return SHADOW_NOTHING;
	sp->gfns[i] = gfn;
	frame = shadow_frame(mem, gfn, level);
	shadow_frame_lock(frame);
	list_insert(vm->mmu.shadow, sp, i, &frame->first);
	shadow_frame_unlock(frame);
	atomic_long_inc(&vm->mmu.pages[level]);
	/* The list, then the entry. */
	smp_store_release(&sp->table[i], entry);
	return SHADOW_ADDED;
}

/* ------------------------------------------------------------------ */
/* Finding and making                                                   */

struct shadow_page *shadow_find(struct vireo_shadow *s, u64 gfn, union shadow_role role)
{
	struct shadow_page *sp;

	hlist_for_each_entry(sp, shadow_bucket(s, gfn), hash) {
		if (sp->gfn == gfn && sp->role.word == role.word)
			return sp;
	}
	return NULL;
}

/* A table appears at @gfn, or goes. */
static void shadow_count_table(const struct vireo_mem *mem, u64 gfn, int add)
{
	int level;

	for (level = 1; level <= TDP_MAX_LEVEL; level++)
		shadow_frame(mem, gfn, level)->tables += add;
}

struct shadow_page *shadow_get(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn,
			       union shadow_role role)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	struct shadow_page *sp = shadow_find(s, gfn, role);
	unsigned long hva = 0;

	if (likely(sp)) {
		sp->old = false;
		return sp;
	}
	/* The memory of the table is going: what is there now is not what will be. */
	if (role.format != SHADOW_DIRECT) {
		hva = vireo_mem_hva(mem, gfn);
		if (vireo_invalidating(&vm->mmu, hva, hva + PAGE_SIZE))
			return ERR_PTR(-EBUSY);
	}
	sp = list_first_entry_or_null(&s->spare, struct shadow_page, list);
	if (!sp)
		return ERR_PTR(-ENOMEM);
	sp->id = shadow_id_alloc(s, sp);
	if (!sp->id)
		return ERR_PTR(-ENOMEM);
	s->nr_spare--;
	s->nr++;
	list_move_tail(&sp->list, &s->pages);
	INIT_LIST_HEAD(&sp->unsync);
	sp->gfn = gfn;
	sp->role = role;
	sp->parents = 0;
	sp->roots = 0;
	sp->writes = 0;
	sp->invalid = false;
	sp->old = false;
	hlist_add_head(&sp->hash, shadow_bucket(s, gfn));
	atomic_long_inc(&vm->mmu.pages[0]);
	if (role.format == SHADOW_DIRECT)
		return sp;

	sp->hva = hva;
	shadow_count_table(mem, gfn, 1);
	shadow_write_protect(vm, mem, gfn);
	/* From here on what the guest writes there is seen; what it has written is read after this. */
	if (s->stale && !shadow_flush(vm)) {
		s->owed = true;
		return ERR_PTR(-EAGAIN);
	}
	return sp;
}

/* Take bits from all small leaves that map @gfn, and large ones out.  True: there were some. */
static __always_inline bool shadow_quiet(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn, u64 bits, bool tell)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	bool found = false;
	u32 entry, next;
	int level;

	for (entry = shadow_frame(mem, gfn, 1)->first; entry; entry = next) {
		struct shadow_page *sp = shadow_by_id(s, entry);
		unsigned int i = entry % SHADOW_ENTRIES;
		u64 old;

		next = sp->next[i];
		if (!(READ_ONCE(sp->table[i]) & bits))
			continue;
		old = atomic_long_fetch_andnot(bits, (atomic_long_t *)&sp->table[i]);
		s->stale = true;
		found = true;
		if (tell)
			shadow_tell(vm, mem, gfn, 1, old);
	}
	/* They have not been writable since the region is followed. */
	if (tell && bits == PT_DIRTY)
		return found;
	/* Large ones come back in small pieces.  Those that are not writable only have to go for a table. */
	for (level = 2; level <= TDP_MAX_LEVEL; level++) {
		for (entry = shadow_frame(mem, gfn, level)->first; entry; entry = next) {
			struct shadow_page *sp = shadow_by_id(s, entry);
			unsigned int i = entry % SHADOW_ENTRIES;

			next = sp->next[i];
			if (!((bits | sp->table[i]) & PT_WRITE))
				continue;
			shadow_clear(vm, sp, i);
			found = true;
		}
	}
	return found;
}

void shadow_write_protect(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn)
{
	shadow_quiet(vm, mem, gfn, PT_WRITE, false);
}

bool vireo_shadow_protect(struct vireo_vm *vm, const struct vireo_mem *mem, u64 start, u64 end, bool keep, bool tell)
{
	const u64 bits = keep ? PT_DIRTY : vm->mmu.dirty_bits ? PT_WRITE | PT_DIRTY : PT_WRITE;
	bool found = false;

	for (; start < end; start++)
		found |= shadow_quiet(vm, mem, start, bits, tell);
	return found;
}

void vireo_shadow_protect_word(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn, unsigned long bits)
{
	const u64 quiet = vm->mmu.dirty_bits ? PT_WRITE | PT_DIRTY : PT_WRITE;

	for (; bits; bits &= bits - 1)
		shadow_quiet(vm, mem, gfn + __ffs(bits), quiet, false);
}

/* ------------------------------------------------------------------ */
/* Cutting off                                                          */

static void shadow_to_limbo(struct vireo_shadow *s, struct shadow_page *sp)
{
	shadow_id_put(s, sp->id);
	s->nr--;
	s->nr_limbo++;
	s->stale = true;
	list_move(&sp->list, &s->limbo);
}

void shadow_zap_page(struct vireo_vm *vm, struct shadow_page *sp)
{
	struct vireo_shadow *s = vm->mmu.shadow;

	if (sp->invalid)
		return;
	shadow_clear_all(vm, sp);
	while (sp->parents)
		shadow_clear(vm, shadow_by_id(s, sp->parents), sp->parents % SHADOW_ENTRIES);
	hlist_del(&sp->hash);
	if (!list_empty(&sp->unsync))
		list_del_init(&sp->unsync);
	atomic_long_dec(&vm->mmu.pages[0]);
	if (!shadow_is_direct(sp))
		shadow_count_table(vireo_mem_find(shadow_map(vm), sp->gfn), sp->gfn, -1);
	if (sp->roots) {
		struct vireo_vcpu *vcpu;
		u32 i;

		sp->invalid = true;
		list_del_init(&sp->list);
		/* Empty as it is, it does no harm until then. */
		vireo_for_each_vcpu(i, vcpu, vm)
			vireo_request(vcpu, VIREO_REQ_ROOT);
		return;
	}
	shadow_to_limbo(s, sp);
}

void shadow_put_root(struct vireo_vm *vm, struct shadow_page *sp)
{
	if (!--sp->roots && sp->invalid)
		shadow_to_limbo(vm->mmu.shadow, sp);
}

void shadow_zap_table(struct vireo_vm *vm, u64 gfn)
{
	struct shadow_page *sp;
	struct hlist_node *n;

	hlist_for_each_entry_safe(sp, n, shadow_bucket(vm->mmu.shadow, gfn), hash) {
		if (sp->gfn == gfn && !shadow_is_direct(sp))
			shadow_zap_page(vm, sp);
	}
}

/* Take out up to @nr pages that were not used for long. */
static void shadow_take_old(struct vireo_vm *vm, u32 nr)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	u32 tries;

	/* Twice round at most: the second finds what the first has marked. */
	for (tries = s->nr * 2; nr && tries && !list_empty(&s->pages); tries--) {
		struct shadow_page *sp = list_first_entry(&s->pages, struct shadow_page, list);

		if (!sp->old || sp->roots) {
			sp->old = true;
			list_move_tail(&sp->list, &s->pages);
			continue;
		}
		shadow_zap_page(vm, sp);
		s->reclaimed++;
		nr--;
	}
}

void shadow_make_room(struct vireo_vm *vm, u32 nr)
{
	struct vireo_shadow *s = vm->mmu.shadow;

	if (unlikely(s->nr + nr > s->limit))
		shadow_take_old(vm, s->nr + nr - s->limit);
	if (s->nr_limbo > LIMBO_MAX)
		shadow_flush(vm);
}

unsigned long vireo_shadow_pages(const struct vireo_vm *vm)
{
	const struct vireo_shadow *s = vm->mmu.shadow;

	return READ_ONCE(s->nr) + READ_ONCE(s->nr_spare);
}

u64 vireo_shadow_bytes(const struct vireo_vm *vm)
{
	const struct vireo_shadow *s = vm->mmu.shadow;
	const u64 unused = READ_ONCE(s->nr_limbo) + READ_ONCE(s->nr_spare);

	return sizeof(*s) + READ_ONCE(s->capacity) * sizeof(*s->by_id) +
	       ((READ_ONCE(s->nr) + unused) << (PAGE_SHIFT + SHADOW_PAGE_ORDER)) + (unused << PAGE_SHIFT);
}

unsigned long vireo_shadow_shrink(struct vireo_vm *vm, unsigned long nr)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	struct shadow_page *sp, *next;
	unsigned long freed = 0;

	if (!write_trylock(&vm->mmu.lock))
		return 0;
	if (nr > s->nr_spare)
		shadow_take_old(vm, min_t(unsigned long, nr - s->nr_spare, s->nr));
	if (s->nr_limbo)
		shadow_flush(vm);
	list_for_each_entry_safe(sp, next, &s->spare, list) {
		if (freed == nr)
			break;
		list_del(&sp->list);
		s->nr_spare--;
		set_page_private(virt_to_page(sp->table), 0);
		shadow_page_free(sp);
		freed++;
	}
	write_unlock(&vm->mmu.lock);
	return freed;
}

/* ------------------------------------------------------------------ */
/* Ranges, for regions and notifiers                                    */

/* Above so many frames it is quicker to look at what there is. */
#define RANGE_MANY	(1ULL << 15)

static bool shadow_in_range(u64 gfn, u64 span, u64 start, u64 end)
{
	return gfn < end && gfn + span > start;
}

static void shadow_zap_many(struct vireo_vm *vm, u64 start, u64 end)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	struct shadow_page *sp, *next;
	unsigned int i;

	list_for_each_entry_safe(sp, next, &s->pages, list) {
		if (shadow_in_range(sp->gfn, 1, start, end) && !shadow_is_direct(sp)) {
			shadow_zap_page(vm, sp);
			continue;
		}
		for_each_set_bit(i, sp->used, SHADOW_ENTRIES) {
			if (shadow_is_leaf(sp, sp->table[i]) &&
			    shadow_in_range(sp->gfns[i], tdp_pages(sp->role.level), start, end))
				shadow_clear(vm, sp, i);
		}
	}
}

bool vireo_shadow_zap(struct vireo_vm *vm, const struct vireo_mem *mem, u64 start, u64 end)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	u64 gfn;
	u32 entry;
	int level;

	start = max(start, mem->gfn);
	end = min(end, mem->gfn + mem->pages);
	if (start >= end)
		return s->stale;
	if (end - start > RANGE_MANY) {
		shadow_zap_many(vm, start, end);
		return s->stale;
	}
	for (level = 1; level <= TDP_MAX_LEVEL; level++) {
		const u64 span = tdp_pages(level);

		for (gfn = start & ~(span - 1); gfn < end; gfn += span) {
			struct shadow_frame *frame = shadow_frame(mem, max(gfn, mem->gfn), level);

			while ((entry = frame->first))
				shadow_clear(vm, shadow_by_id(s, entry), entry % SHADOW_ENTRIES);
			/*
			 * The memory of a guest's table goes: what comes in its place, if it is not
			 * the same, nobody would see.
			 */
			if (level == 1 && shadow_frame_has_tables(frame))
				shadow_zap_table(vm, gfn);
		}
	}
	/* What was taken out earlier without a flush may be of this range. */
	return s->stale;
}

void vireo_shadow_zap_all(struct vireo_vm *vm)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	struct shadow_page *sp, *next;

	list_for_each_entry_safe(sp, next, &s->pages, list)
		shadow_zap_page(vm, sp);
}

void vireo_shadow_forget(struct vireo_vm *vm)
{
	write_lock(&vm->mmu.lock);
	vireo_shadow_zap_all(vm);
	vireo_shadow_flush(vm);
	write_unlock(&vm->mmu.lock);
}

bool vireo_shadow_young(struct vireo_vm *vm, const struct vireo_mem *mem, u64 start, u64 end,
			bool clear)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	bool young = false;
	u64 gfn;
	u32 entry;
	int level;

	for (level = 1; level <= TDP_MAX_LEVEL; level++) {
		const u64 span = tdp_pages(level);

		for (gfn = start & ~(span - 1); gfn < end; gfn += span) {
			struct shadow_frame *frame = shadow_frame(mem, max(gfn, mem->gfn), level);

			if (!READ_ONCE(frame->first))
				continue;
			shadow_frame_lock(frame);
			for (entry = frame->first; entry; ) {
				struct shadow_page *sp = shadow_by_id(s, entry);
				unsigned int i = entry % SHADOW_ENTRIES;

				if (sp->table[i] & PT_ACCESSED) {
					if (clear)
						clear_bit(ilog2(PT_ACCESSED),
							  (unsigned long *)&sp->table[i]);
					young = true;
				}
				entry = sp->next[i];
			}
			shadow_frame_unlock(frame);
			if (young && !clear)
				return true;
		}
	}
	return young;
}

/* ------------------------------------------------------------------ */
/* Life                                                                 */

/* A bound that goes with the size of the memory; the numbers for it. */
static int shadow_resize(struct vireo_vm *vm, u64 frames)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	u32 limit = clamp_t(u64, frames / FRAMES_PER_PAGE, LIMIT_MIN, U32_MAX / SHADOW_ENTRIES / 2);
	/* Roots, and a path of each vCPU, come on top. */
	u32 capacity = limit + 2 * SHADOW_NEED * VIREO_MAX_VCPUS, i;
	struct shadow_page **by_id = NULL, **old = NULL;

	if (capacity > s->capacity) {
		by_id = kvcalloc(capacity, sizeof(*by_id), GFP_KERNEL_ACCOUNT);
		if (!by_id)
			return -ENOMEM;
	}
	write_lock(&vm->mmu.lock);
	s->limit = limit;
	if (by_id) {
		if (s->by_id)
			memcpy(by_id, s->by_id, s->capacity * sizeof(*by_id));
		old = s->by_id;
		s->by_id = by_id;
		/* 0 is no number. */
		for (i = capacity; i-- > max(s->capacity, 1U);)
			shadow_id_put(s, i);
		s->capacity = capacity;
	}
	write_unlock(&vm->mmu.lock);
	kvfree(old);
	return 0;
}

int vireo_shadow_create(struct vireo_vm *vm)
{
	struct vireo_shadow *s = kvzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	int r;

	if (!s)
		return -ENOMEM;
	INIT_LIST_HEAD(&s->pages);
	INIT_LIST_HEAD(&s->unsync);
	INIT_LIST_HEAD(&s->limbo);
	INIT_LIST_HEAD(&s->spare);
	s->max_level = boot_cpu_has(X86_FEATURE_GBPAGES) ? 3 : 2;
	/*
	 * On processors that a guest could bring to a machine check by executing from a large page whose
	 * size changes (CVE-2018-12207), code is mapped in small ones.
	 */
	if (boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT)) {
		s->large_drop = PT_NX;
		if (!boot_cpu_has(X86_FEATURE_NX))
			s->max_level = 1;
	}
	vm->mmu.shadow = s;
	r = shadow_resize(vm, 0);
	if (r) {
		vm->mmu.shadow = NULL;
		kvfree(s);
	}
	return r;
}

void vireo_shadow_destroy(struct vireo_vm *vm)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	struct shadow_page *sp, *next;
	struct vireo_vcpu *vcpu;
	u32 i;

	if (!s)
		return;
	write_lock(&vm->mmu.lock);
	vireo_for_each_vcpu(i, vcpu, vm)
		shadow_drop_roots(vcpu);
	vireo_shadow_zap_all(vm);
	/* No vCPU runs any more: nothing is in any TLB that will be used. */
	shadow_flush(vm);
	write_unlock(&vm->mmu.lock);
	WARN_ON_ONCE(s->nr);
	list_for_each_entry_safe(sp, next, &s->spare, list) {
		set_page_private(virt_to_page(sp->table), 0);
		shadow_page_free(sp);
	}
	kvfree(s->by_id);
	kvfree(s);
	vm->mmu.shadow = NULL;
}

static u64 frames_nr(const struct vireo_mem *mem, int level)
{
	const unsigned int shift = TDP_INDEX_BITS * (level - 1);

	return ((mem->gfn + mem->pages - 1) >> shift) - (mem->gfn >> shift) + 1;
}

u64 vireo_shadow_frames_bytes(const struct vireo_mem *mem)
{
	u64 nr = 0;
	int level;

	for (level = 1; level <= TDP_MAX_LEVEL; level++)
		nr += frames_nr(mem, level);
	return nr * sizeof(struct shadow_frame);
}

int vireo_shadow_add_region(struct vireo_vm *vm, struct vireo_mem *mem)
{
	const struct vireo_mem_map *map = vireo_mem_map(vm);
	u64 frames = mem->pages;
	int level;
	u32 i;

	if (!vm->mmu.shadow)
		return 0;
	if (mem->gfn + mem->pages > SHADOW_GFN_LIMIT)
		return -EINVAL;
	for (i = 0; i < map->nr; i++)
		frames += map->mem[i].pages;
	if (shadow_resize(vm, frames))
		return -ENOMEM;
	for (level = 1; level <= TDP_MAX_LEVEL; level++) {
		u64 nr = frames_nr(mem, level);

		mem->frames[level - 1] = kvcalloc(nr, sizeof(struct shadow_frame),
						  GFP_KERNEL_ACCOUNT);
		if (!mem->frames[level - 1]) {
			vireo_shadow_free_region(mem);
			return -ENOMEM;
		}
	}
	return 0;
}

void vireo_shadow_free_region(struct vireo_mem *mem)
{
	int level;

	for (level = 0; level < TDP_MAX_LEVEL; level++) {
		kvfree(mem->frames[level]);
		mem->frames[level] = NULL;
	}
}

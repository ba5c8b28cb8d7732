// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two-dimensional page tables: building and tearing down.
 *
 * Locking: under mmu->lock held for reading, entries only go from nothing to something
 * or gain rights, or large leaves are split, by cmpxchg, so any number of vCPUs build in parallel
 * and a table once seen stays.  Under the lock held for writing, entries vanish.  A table page is
 * freed when no entry points to it and all TLBs were flushed since; that needs
 * no lock, because nobody can find it any more.
 */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "tdp.h"
#include "track.h"

void vireo_tdp_format(struct vireo_tdp_format *format, const struct vireo_caps *caps,
		      bool no_large_exec, u64 encrypt)
{
	static const struct vireo_tdp_format ept = {
		.table = EPT_READ | EPT_WRITE | EPT_EXEC,
		.leaf = EPT_READ | EPT_EXEC | EPT_TYPE_WB | EPT_IGNORE_PAT,
		/* Without IGNORE_PAT, so that a guest can still make it write-combining. */
		.leaf_io = EPT_READ | EPT_EXEC | EPT_TYPE_UC,
		.address = TDP_ADDRESS,
		.accessed = EPT_ACCESSED,
		.dirty = EPT_DIRTY,
	};
	static const struct vireo_tdp_format npt = {
		.table = NPT_PRESENT | NPT_WRITE | NPT_USER,
		/* PAT entry 0 of the host is write-back, entry 3 uncached. */
		.leaf = NPT_PRESENT | NPT_USER,
		.leaf_io = NPT_PRESENT | NPT_USER | NPT_PWT | NPT_PCD,
		.address = TDP_ADDRESS,
		.accessed = NPT_ACCESSED,
		.dirty = NPT_DIRTY,
	};

	if (caps->vendor == VIREO_VENDOR_INTEL) {
		*format = ept;
		if (no_large_exec)
			format->large_drop = EPT_EXEC;
	} else {
		*format = npt;
		format->table |= encrypt;
		format->leaf |= encrypt;
		format->address &= ~encrypt;
	}
	if (!caps->nested_ad) {
		format->accessed = 0;
		format->dirty = 0;
	}
	format->levels = caps->root_levels;
	format->max_level = min_t(u8, caps->max_level, TDP_MAX_LEVEL);
}

int vireo_tdp_create(struct vireo_mmu *mmu, const struct vireo_tdp_format *format)
{
	unsigned long page = __get_free_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (!page)
		return -ENOMEM;
	mmu->format = format;
	mmu->levels = format->levels;
	/* As the processor's root pointer wants it: with the encryption bit, if there is one. */
	mmu->root = virt_to_phys((void *)page) | (format->table & TDP_ADDRESS);
	atomic_long_inc(&mmu->pages[0]);
	return 0;
}

/*
 * Free a table that is out of the tree, with all below it; count what it mapped.
 * Depth is bounded by the number of levels.
 */
static void tdp_free_table(struct vireo_mmu *mmu, u64 *table, int level, bool sleep)
{
	const struct vireo_tdp_format *format = mmu->format;
	long leaves = 0;
	int i;

	for (i = 0; i < TDP_ENTRIES; i++) {
		u64 entry = table[i];

		if (!entry)
			continue;
		if (tdp_is_leaf(entry, level))
			leaves++;
		else
			tdp_free_table(mmu, tdp_table(format, entry), level - 1, sleep);
	}
	if (leaves)
		atomic_long_sub(leaves, &mmu->pages[level]);
	atomic_long_dec(&mmu->pages[0]);
	free_page((unsigned long)table);
	if (sleep)
		cond_resched();
}

void vireo_tdp_destroy(struct vireo_mmu *mmu)
{
	if (!mmu->root)
		return;
	tdp_free_table(mmu, tdp_table(mmu->format, mmu->root), mmu->levels, true);
	mmu->root = 0;
}

int vireo_tdp_reach(struct vireo_mmu *mmu, struct vireo_mmu_cache *cache, u64 gfn, int level,
		    u64 **entry)
{
	const struct vireo_tdp_format *format = mmu->format;
	u64 *table = tdp_table(format, mmu->root);
	int l;

	for (l = mmu->levels; ; l--) {
		u64 *e = &table[tdp_index(gfn, l)];
		u64 value = READ_ONCE(*e);

		if (l == 1 || (value & TDP_LARGE) || (l <= level && !value)) {
			*entry = e;
			return l;
		}
		if (unlikely(!value)) {
			u64 new;

			if (!cache->nr)
				return -ENOMEM;
			new = virt_to_phys(cache->pages[cache->nr - 1]) | format->table;
			/* The page stays ours, still zero, if somebody else was faster. */
			if (try_cmpxchg64(e, &value, new)) {
				cache->nr--;
				atomic_long_inc(&mmu->pages[0]);
				value = new;
			} else if (value & TDP_LARGE) {
				*entry = e;
				return l;
			}
		}
		table = tdp_table(format, value);
	}
}

bool vireo_tdp_split(struct vireo_mmu *mmu, struct vireo_mmu_cache *cache, u64 *e, u64 old, int level,
		     u64 rights)
{
	const struct vireo_tdp_format *format = mmu->format;
	u64 *table, leaf = (old & ~(format->address | format->dirty)) | rights;
	const u64 pa = old & format->address;
	int i;

	if (!cache->nr)
		return false;
	table = cache->pages[cache->nr - 1];
	if (level == 2)
		leaf = (leaf & ~TDP_LARGE) | format->leaf;
	for (i = 0; i < TDP_ENTRIES; i++)
		table[i] = leaf | (pa + ((i * tdp_pages(level - 1)) << PAGE_SHIFT));
	if (try_cmpxchg64(e, &old, virt_to_phys(table) | format->table)) {
		cache->nr--;
		atomic_long_inc(&mmu->pages[0]);
		atomic_long_dec(&mmu->pages[level]);
		atomic_long_add(TDP_ENTRIES, &mmu->pages[level - 1]);
	} else {
		/* Somebody else was faster. */
		clear_page(table);
	}
	return true;
}

static void tdp_protect_table(struct vireo_mmu *mmu, u64 *table, int level, u64 start, u64 end, bool all)
{
	const u64 span = tdp_pages(level);
	/* What a leaf has to lack for the next write to be noticed. */
	const u64 quiet = all ? TDP_WRITE | mmu->format->dirty :
			  level == 1 && (mmu->log || mmu->dirty_bits) ? mmu->format->dirty : TDP_WRITE;
	u64 gfn = start & ~(span - 1);

	for (; gfn < end; gfn += span) {
		u64 *e = &table[tdp_index(gfn, level)];
		u64 entry = READ_ONCE(*e);

		if (!entry)
			continue;
		if (!tdp_is_leaf(entry, level))
			tdp_protect_table(mmu, tdp_table(mmu->format, entry), level - 1, max(start, gfn),
					  min(end, gfn + span), all);
		else if (entry & quiet)
			atomic_long_andnot(quiet, (atomic_long_t *)e);
	}
}

void vireo_tdp_protect(struct vireo_mmu *mmu, u64 start, u64 end, bool all)
{
	end = min(end, tdp_pages(mmu->levels + 1));
	if (start < end)
		tdp_protect_table(mmu, tdp_table(mmu->format, mmu->root), mmu->levels, start, end, all);
}

/* The table of level 1 with @gfn in it; NULL: there is none. */
static u64 *tdp_leaf_table(struct vireo_mmu *mmu, u64 gfn)
{
	u64 *table = tdp_table(mmu->format, mmu->root);
	int level;

	for (level = mmu->levels; level > 1; level--) {
		u64 entry = READ_ONCE(table[tdp_index(gfn, level)]);

		if (!entry || (entry & TDP_LARGE))
			return NULL;
		table = tdp_table(mmu->format, entry);
	}
	return table;
}

void vireo_tdp_protect_word(struct vireo_mmu *mmu, u64 gfn, unsigned long bits)
{
	const u64 quiet = mmu->log ? mmu->format->dirty :
			  mmu->dirty_bits ? TDP_WRITE | mmu->format->dirty : TDP_WRITE;
	u64 *table = NULL;
	u64 last = 0;

	for (; bits; bits &= bits - 1) {
		const u64 g = gfn + __ffs(bits);
		u64 *e;

		/* A word may be of two tables: regions begin anywhere. */
		if (!table || (g ^ last) >> TDP_INDEX_BITS)
			table = tdp_leaf_table(mmu, g);
		last = g;
		if (!table)
			continue;
		e = &table[g & (TDP_ENTRIES - 1)];
		if (READ_ONCE(*e) & quiet)
			atomic_long_andnot(quiet, (atomic_long_t *)e);
	}
}

/* Is there anything in eight entries at @e? */
static __always_inline bool tdp_any8(const u64 *e, u64 bits)
{
	/* Not by READ_ONCE(), which would be twice as many instructions; what is found is read once more. */
	return data_race(e[0] | e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7]) & bits;
}

/* Take @clear from an entry that has something of it.  Return: it was dirty. */
static __always_inline bool tdp_take(u64 *e, u64 clear, u64 dirty)
{
	if (likely(clear == dirty))
		return test_and_clear_bit(__ffs64(dirty), (unsigned long *)e);
	return atomic_long_fetch_andnot(clear, (atomic_long_t *)e) & dirty;
}

/* Up to eight entries.  Return: a bit for each that was dirty. */
static unsigned long tdp_take_some(u64 *e, unsigned int n, u64 clear, u64 dirty, bool *found)
{
	unsigned long bits = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!(READ_ONCE(e[i]) & clear))
			continue;
		*found = true;
		if (tdp_take(&e[i], clear, dirty))
			bits |= BIT(i);
	}
	return bits;
}

static bool tdp_harvest_leaves(struct vireo_mmu *mmu, const struct vireo_mem *mem, u64 *table, u64 start, u64 end,
			       u64 clear)
{
	const u64 dirty = mmu->format->dirty;
	bool found = false;

	/* A word of marks at a time, as the region has them. */
	while (start < end) {
		const u64 page = start - mem->gfn;
		const unsigned int n = min(end - start, BITS_PER_LONG - page % BITS_PER_LONG);
		u64 *e = &table[tdp_index(start, 1)];
		unsigned long bits = 0;
		unsigned int i;

		for (i = 0; i < n; i += 8) {
			if (n - i < 8 || tdp_any8(&e[i], clear))
				bits |= tdp_take_some(&e[i], min(n - i, 8U), clear, dirty, &found) << i;
		}
		if (bits)
			vireo_track_word(mem->track, page / BITS_PER_LONG, bits << page % BITS_PER_LONG);
		start += n;
	}
	return found;
}

/*
 * Processors have gone through @e, which points to a table, since that was last asked, or nearly.  Return: a flush is needed: they
 * have to show their next visit, whatever they have cached of this one.
 */
static bool tdp_visited(struct vireo_mmu *mmu, u64 *e, u64 entry)
{
	const u64 accessed = mmu->format->accessed;
	u64 new;

	do {
		new = (entry & ~(accessed | TDP_AGAIN)) | (entry & accessed ? TDP_AGAIN : 0);
	} while (!try_cmpxchg64(e, &entry, new));
	return new & TDP_AGAIN;
}

/* Level 2, when only dirty bits are to go */
static bool tdp_harvest_visited(struct vireo_mmu *mmu, const struct vireo_mem *mem, u64 *table, u64 start, u64 end)
{
	const u64 span = tdp_pages(2), visited = mmu->format->accessed | TDP_AGAIN;
	u64 gfn = start & ~(span - 1);
	bool found = false;

	for (; gfn < end; gfn += span) {
		u64 *e = &table[tdp_index(gfn, 2)];
		u64 entry = READ_ONCE(*e);

		if (!(tdp_index(gfn, 2) % 8) && end - gfn >= 8 * span && !tdp_any8(e, visited)) {
			gfn += 7 * span;
			continue;
		}
		/* Large ones are not writable. */
		if (!(entry & visited) || (entry & TDP_LARGE))
			continue;
		/* Of a part no more can be said than that nobody was in all of it. */
		if (start <= gfn && gfn + span <= end)
			found |= tdp_visited(mmu, e, entry);
		found |= tdp_harvest_leaves(mmu, mem, tdp_table(mmu->format, entry), max(start, gfn),
					    min(end, gfn + span), mmu->format->dirty);
	}
	return found;
}

static bool tdp_harvest_table(struct vireo_mmu *mmu, const struct vireo_mem *mem, u64 *table, int level, u64 start,
			      u64 end, u64 clear)
{
	const u64 span = tdp_pages(level);
	u64 gfn = start & ~(span - 1);
	bool found = false;

	if (level == 1)
		return tdp_harvest_leaves(mmu, mem, table, start, end, clear);
	if (level == 2 && !(clear & TDP_WRITE))
		return tdp_harvest_visited(mmu, mem, table, start, end);
	for (; gfn < end; gfn += span) {
		u64 *e = &table[tdp_index(gfn, level)];
		u64 entry = READ_ONCE(*e);

		if (!entry)
			continue;
		if (tdp_is_leaf(entry, level)) {
			if (entry & clear & TDP_WRITE) {
				atomic_long_andnot(TDP_WRITE, (atomic_long_t *)e);
				found = true;
			}
			continue;
		}
		found |= tdp_harvest_table(mmu, mem, tdp_table(mmu->format, entry), level - 1, max(start, gfn),
					   min(end, gfn + span), clear);
	}
	return found;
}

bool vireo_tdp_harvest(struct vireo_mmu *mmu, const struct vireo_mem *mem, u64 start, u64 end, u64 clear)
{
	end = min(end, tdp_pages(mmu->levels + 1));
	if (start >= end)
		return false;
	return tdp_harvest_table(mmu, mem, tdp_table(mmu->format, mmu->root), mmu->levels, start, end, clear);
}

static bool tdp_is_empty(const u64 *table)
{
	int i;

	for (i = 0; i < TDP_ENTRIES; i++) {
		if (table[i])
			return false;
	}
	return true;
}

/* Take a table out of the tree, at the entry that points to it. */
static void tdp_cut(u64 *e, u64 *table, int level, struct list_head *cut)
{
	struct page *page = virt_to_page(table);

	WRITE_ONCE(*e, 0);
	set_page_private(page, level);
	list_add(&page->lru, cut);
}

static bool tdp_zap_table(struct vireo_mmu *mmu, u64 *table, int level, u64 start, u64 end,
			  struct list_head *cut)
{
	const struct vireo_tdp_format *format = mmu->format;
	const u64 span = tdp_pages(level);
	u64 gfn = start & ~(span - 1);
	bool found = false;

	for (; gfn < end; gfn += span) {
		u64 *e = &table[tdp_index(gfn, level)];
		u64 entry = READ_ONCE(*e);
		u64 *next;

		if (!entry)
			continue;
		next = tdp_table(format, entry);
		if (tdp_is_leaf(entry, level)) {
			/* The processor may be setting its accessed bit: take all at once. */
			xchg(e, 0);
			atomic_long_dec(&mmu->pages[level]);
			found = true;
		} else if (start <= gfn && gfn + span <= end) {
			tdp_cut(e, next, level - 1, cut);
			found = true;
		} else if (tdp_zap_table(mmu, next, level - 1, max(start, gfn),
					 min(end, gfn + span), cut)) {
			/* An empty table would only keep a large page out. */
			if (tdp_is_empty(next))
				tdp_cut(e, next, level - 1, cut);
			found = true;
		}
	}
	return found;
}

bool vireo_tdp_zap(struct vireo_mmu *mmu, u64 start, u64 end, struct list_head *cut)
{
	end = min(end, tdp_pages(mmu->levels + 1));
	if (start >= end)
		return false;
	return tdp_zap_table(mmu, tdp_table(mmu->format, mmu->root), mmu->levels, start, end, cut);
}

void vireo_tdp_free(struct vireo_mmu *mmu, struct list_head *cut, bool sleep)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, cut, lru) {
		int level = page_private(page);

		list_del(&page->lru);
		set_page_private(page, 0);
		tdp_free_table(mmu, page_address(page), level, sleep);
	}
}

static bool tdp_young_table(struct vireo_mmu *mmu, u64 *table, int level, u64 start, u64 end,
			    bool clear)
{
	const struct vireo_tdp_format *format = mmu->format;
	const u64 span = tdp_pages(level);
	u64 gfn = start & ~(span - 1);
	bool young = false;

	for (; gfn < end; gfn += span) {
		u64 *e = &table[tdp_index(gfn, level)];
		u64 entry = READ_ONCE(*e);

		if (!entry)
			continue;
		if (!tdp_is_leaf(entry, level)) {
			young |= tdp_young_table(mmu, tdp_table(format, entry), level - 1,
						 max(start, gfn), min(end, gfn + span), clear);
		} else if (entry & format->accessed) {
			/* Atomic against processors and faults that add rights. */
			if (clear)
				clear_bit(__ffs64(format->accessed), (unsigned long *)e);
			young = true;
		}
		if (young && !clear)
			break;
	}
	return young;
}

bool vireo_tdp_young(struct vireo_mmu *mmu, u64 start, u64 end, bool clear)
{
	end = min(end, tdp_pages(mmu->levels + 1));
	if (start >= end)
		return false;
	return tdp_young_table(mmu, tdp_table(mmu->format, mmu->root), mmu->levels, start, end,
			       clear);
}

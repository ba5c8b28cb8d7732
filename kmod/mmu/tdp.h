/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two-dimensional page tables: guest-physical to host-physical, EPT and NPT.
 *
 * Both are radix trees of 512-entry tables, and where it matters to a walk they even
 * agree on the bits; what differs is a handful of constants that an entry is made
 * of.  So there is one builder, and struct vireo_tdp_format is all it knows of the
 * processor.
 *
 * Levels are counted from the leaves: 1 maps 4 KiB, 2 maps 2 MiB, 3 maps 1 GiB.
 */
#ifndef VIREO_TDP_H
#define VIREO_TDP_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/io.h>
#include <linux/list.h>

#include "../vireo.h"

/* EPT entries: SDM vol. 3, 29.3.2, tables 29-1 to 29-7. */
#define EPT_READ		BIT_ULL(0)
#define EPT_WRITE		BIT_ULL(1)
#define EPT_EXEC		BIT_ULL(2)
#define EPT_TYPE_UC		(0ULL << 3)
#define EPT_TYPE_WB		(6ULL << 3)
#define EPT_IGNORE_PAT		BIT_ULL(6)
#define EPT_LARGE		BIT_ULL(7)
#define EPT_ACCESSED		BIT_ULL(8)
#define EPT_DIRTY		BIT_ULL(9)

/*
 * NPT entries are those of ordinary long-mode tables, and all accesses of a guest count as
 * user accesses: APM vol. 2, 15.25.3 and 15.25.5.
 */
#define NPT_PRESENT		BIT_ULL(0)
#define NPT_WRITE		BIT_ULL(1)
#define NPT_USER		BIT_ULL(2)
#define NPT_PWT			BIT_ULL(3)
#define NPT_PCD			BIT_ULL(4)
#define NPT_ACCESSED		BIT_ULL(5)
#define NPT_DIRTY		BIT_ULL(6)
#define NPT_LARGE		BIT_ULL(7)

/*
 * What the formats share, and so what the walk may use.  An entry of zero is "nothing
 * here"; every other entry that the builder makes is readable.
 */
#define TDP_PRESENT		BIT_ULL(0)
#define TDP_WRITE		BIT_ULL(1)
#define TDP_EXEC		BIT_ULL(2)	/* EPT executable, NPT user: both always set in a table */
#define TDP_LARGE		BIT_ULL(7)
/* Ignored by processors. In an entry that points to a table of level 1: vireo_tdp_harvest() */
#define TDP_AGAIN		BIT_ULL(11)
#define TDP_ADDRESS		GENMASK_ULL(51, 12)

static_assert(TDP_PRESENT == EPT_READ && TDP_PRESENT == NPT_PRESENT);
static_assert(TDP_WRITE == EPT_WRITE && TDP_WRITE == NPT_WRITE);
static_assert(TDP_EXEC == EPT_EXEC && TDP_EXEC == NPT_USER);
static_assert(TDP_LARGE == EPT_LARGE && TDP_LARGE == NPT_LARGE);
static_assert(PAGE_SHIFT == 12 && sizeof(u64) * 512 == PAGE_SIZE);

#define TDP_ENTRIES		512
#define TDP_INDEX_BITS		9
#define TDP_MAX_LEVEL		3	/* of a leaf */
#define TDP_MAX_ROOT		5

/**
 * struct vireo_tdp_format - what an entry is made of
 * @table: entry that points to a table
 * @leaf: readable and executable leaf of ordinary memory, write-back
 * @leaf_io: the same of device memory, uncached
 * @large_drop: bits that a large leaf must lack: execution, on processors that
 *	a guest could bring to a machine check by executing from large pages
 *	(erratum "page size change MCE", CVE-2018-12207)
 * @address: where an entry holds its address
 * @accessed: accessed bit, 0 if the processor keeps none
 * @dirty: dirty bit, 0 likewise
 * @levels: levels of the tree, 4 or 5
 * @max_level: largest leaf
 */
struct vireo_tdp_format {
	u64 table;
	u64 leaf;
	u64 leaf_io;
	u64 large_drop;
	u64 address;
	u64 accessed;
	u64 dirty;
	u8 levels;
	u8 max_level;
};

/**
 * vireo_tdp_format() - build the format of a processor
 * @format: result
 * @caps: processor; vendor, levels and nested_ad count
 * @no_large_exec: see &vireo_tdp_format.large_drop
 * @encrypt: bit of host-physical addresses that says "encrypted memory" (SME), or 0
 */
void vireo_tdp_format(struct vireo_tdp_format *format, const struct vireo_caps *caps,
		      bool no_large_exec, u64 encrypt);

/* Pages that a leaf of a level maps. */
static __always_inline u64 tdp_pages(int level)
{
	return 1ULL << (TDP_INDEX_BITS * (level - 1));
}

static __always_inline unsigned int tdp_index(u64 gfn, int level)
{
	return (gfn >> (TDP_INDEX_BITS * (level - 1))) & (TDP_ENTRIES - 1);
}

static_assert(TDP_ENTRIES == 1 << TDP_INDEX_BITS);

static __always_inline bool tdp_is_leaf(u64 entry, int level)
{
	return level == 1 || (entry & TDP_LARGE);
}

static __always_inline u64 *tdp_table(const struct vireo_tdp_format *format, u64 entry)
{
	return phys_to_virt(entry & format->address);
}

/* A leaf for @pa, readable and executable; the caller adds WRITE, accessed and dirty bits. */
static __always_inline u64 tdp_leaf(const struct vireo_tdp_format *format, u64 pa, int level)
{
	u64 entry = format->leaf | pa;

	if (level > 1)
		entry = (entry & ~format->large_drop) | TDP_LARGE;
	return entry;
}

/* A root, and its end: nobody may use the tables any more. */
int vireo_tdp_create(struct vireo_mmu *mmu, const struct vireo_tdp_format *format);
void vireo_tdp_destroy(struct vireo_mmu *mmu);

/**
 * vireo_tdp_reach() - walk down to where a leaf would be, making tables on the way
 * @mmu: tables, lock held for reading
 * @cache: zeroed pages for new tables
 * @gfn: guest frame
 * @level: level wanted
 * @entry: result: the entry, in its table
 *
 * Stops above @level at a leaf that is there, and goes below it if a table is there: where
 * small pages are mapped they stay until the last of them is zapped, which
 * takes the table away too.  (The host gives notice of the whole range before it
 * replaces small pages by a large one, so that is what brings large mappings back.)
 *
 * Return: level of @entry, or -ENOMEM: the cache is empty.
 */
int vireo_tdp_reach(struct vireo_mmu *mmu, struct vireo_mmu_cache *cache, u64 gfn, int level,
		    u64 **entry);

/**
 * vireo_tdp_split() - put a table of smaller leaves in place of a large one
 * @mmu: tables, lock held for reading
 * @cache: zeroed pages for new tables
 * @e: entry of the leaf
 * @old: its value: large and not writable
 * @level: its level
 * @rights: what they allow in addition
 *
 * They map the same and allow the same, but for execution where large leaves must not allow that, and none is dirty.
 *
 * Return: false: the cache is empty.
 */
bool vireo_tdp_split(struct vireo_mmu *mmu, struct vireo_mmu_cache *cache, u64 *e, u64 old, int level,
		     u64 rights);

/**
 * vireo_tdp_protect() - have the next write to each page of a range noticed
 * @mmu: tables, lock held for writing
 * @start: first guest frame
 * @end: frame after the last
 * @all: small ones lose both, whatever writes are followed by
 *
 * All mappings that touch the range lose the right to be written; with mmu->log or mmu->dirty_bits, small ones their dirty bit instead.
 * The flush is the caller's.
 */
void vireo_tdp_protect(struct vireo_mmu *mmu, u64 start, u64 end, bool all);

/*
 * The same for small mappings of the frames from @gfn on for which @bits has a bit; with mmu->dirty_bits they are of a region
 * that is not followed by these, and lose both.
 */
void vireo_tdp_protect_word(struct vireo_mmu *mmu, u64 gfn, unsigned long bits);

/**
 * vireo_tdp_harvest() - consumers hear of the pages of a region whose small mappings are dirty
 * @mmu: tables, lock held for writing
 * @mem: region, which is followed
 * @start: first guest frame
 * @end: frame after the last
 * @clear: what mappings lose: dirty bits, the right to be written, or both
 *
 * If only dirty bits are to go, tables are skipped through which no processor has gone: an entry that points to a table
 * loses its accessed bit when what is in the table is looked at.  A processor that has read the entry before
 * that may make mappings dirty until its TLB is flushed: so such a table is looked at once more (TDP_AGAIN).
 * The flush, before the next call, is the caller's.
 *
 * Return: true if anything was cleared, so that a flush is needed.
 */
bool vireo_tdp_harvest(struct vireo_mmu *mmu, const struct vireo_mem *mem, u64 start, u64 end, u64 clear);

/**
 * vireo_tdp_zap() - cut out all mappings that touch a range
 * @mmu: tables, lock held for writing
 * @start: first guest frame
 * @end: frame after the last
 * @cut: tables that fell out are put on this list
 *
 * Work is bounded by the depth, not by the range: whatever lies inside as a whole is
 * cut off at its root, and so are tables that become empty.  The processors may still walk the tables on @cut, and use cached
 * entries, until their TLBs are flushed; after that vireo_tdp_free() is due.
 *
 * Return: true if there was something, so that a flush is needed.
 */
bool vireo_tdp_zap(struct vireo_mmu *mmu, u64 start, u64 end, struct list_head *cut);

/**
 * vireo_tdp_free() - free tables that were cut out
 * @mmu: tables; no lock needed, after the flush
 * @cut: from vireo_tdp_zap(), empty afterwards
 * @sleep: may reschedule
 */
void vireo_tdp_free(struct vireo_mmu *mmu, struct list_head *cut, bool sleep);

/**
 * vireo_tdp_young() - was a range accessed?
 * @mmu: tables, lock held for reading; format->accessed is not 0
 * @start: first guest frame
 * @end: frame after the last
 * @clear: clear the accessed bits
 */
bool vireo_tdp_young(struct vireo_mmu *mmu, u64 start, u64 end, bool clear);

#endif /* VIREO_TDP_H */

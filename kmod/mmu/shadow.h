/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow page tables: tables for the processor that follow the guest's own.
 *
 *  shadow.c        pages: found, linked, cut off, freed; reverse maps; the bound
 *  shadow_fault.c  page fault: walk, path, leaf
 *  shadow_sync.c   kept in step: roots, flushes, tables out of sync, writes to tables
 *  shadow_check.c  proves all of it
 *
 * A shadow page has 512 entries and follows a guest table (or the part of one that 512
 * entries cover), or, "direct", maps guest frames one after the other: for a large guest page in
 * smaller ones, and for a guest without paging.  Each entry carries the rights of the
 * guest's entry of its own level, as the guest's tables do, and the processor combines them: so one
 * shadow page serves all paths that lead to it.
 *
 * Every entry in use is on one list: of the frame that it maps (the reverse map), or of the
 * shadow page that it points to (its parents).  List nodes are in arrays beside the
 * table, so that neither linking nor unlinking can fail or has to search.
 *
 * All of it is under mmu->lock held for writing; only leaves can be added, and gain rights, by those who hold it for
 * reading, so that vCPUs fault in parallel on tables that are there: shadow_add_leaf().
 */
#ifndef VIREO_SHADOW_H
#define VIREO_SHADOW_H

#include <linux/bit_spinlock.h>
#include <linux/bits.h>
#include <linux/hash.h>
#include <linux/list.h>
#include <linux/mem_encrypt.h>
#include <linux/mm.h>

#include "../region.h"
#include "mmu.h"
#include "tdp.h"

/* Entries of the processor's tables, and of the guest's: SDM vol. 3, 4.3 to 4.5. */
#define PT_PRESENT	BIT_ULL(0)
#define PT_WRITE	BIT_ULL(1)
#define PT_USER		BIT_ULL(2)
#define PT_PWT		BIT_ULL(3)
#define PT_PCD		BIT_ULL(4)
#define PT_ACCESSED	BIT_ULL(5)
#define PT_DIRTY	BIT_ULL(6)
#define PT_LARGE	BIT_ULL(7)
#define PT_NX		BIT_ULL(63)
#define PT_ADDRESS	GENMASK_ULL(51, 12)
/* Rights, as they are copied from a guest's entry */
#define PT_RIGHTS	(PT_WRITE | PT_USER | PT_NX)

#define SHADOW_ENTRIES	512

/**
 * enum shadow_format - whose tables a page follows
 * @SHADOW_DIRECT: nobody's: frames one after the other
 * @SHADOW_2LEVEL: 32-bit paging
 * @SHADOW_PAE: PAE paging
 * @SHADOW_4LEVEL: long mode
 * @SHADOW_5LEVEL: long mode with CR4.LA57
 */
enum shadow_format {
	SHADOW_DIRECT,
	SHADOW_2LEVEL,
	SHADOW_PAE,
	SHADOW_4LEVEL,
	SHADOW_5LEVEL,
};

/**
 * union shadow_role - what a page shadows its guest frame as
 * @level: 1: its entries map 4 KiB
 * @format: enum shadow_format
 * @quadrant: which part of a 32-bit guest's table of 1,024 entries: a half of level 1, a quarter of level 2
 * @nx: EFER.NX: without, bit 63 is reserved
 * @pse: CR4.PSE: without, 32-bit paging has no large pages
 * @wp0: CR0.WP = 0: the supervisor may write everywhere; see shadow_fault.c
 * @readonly: and what leads here does not allow writes
 * @word: all of it
 */
union shadow_role {
	struct {
		u32 level : 3;
		u32 format : 3;
		u32 quadrant : 2;
		u32 nx : 1;
		u32 pse : 1;
		u32 wp0 : 1;
		u32 readonly : 1;
	};
	u32 word;
};

/**
 * struct shadow_page - a shadow page
 * @hash: in vireo_shadow.hash by @gfn
 * @list: in vireo_shadow.pages (in use), .limbo or .spare
 * @unsync: in vireo_shadow.unsync: the guest writes its table without us
 * @gfn: the guest's table, or the first frame if direct
 * @hva: user address of the guest's table
 * @role: how
 * @id: index in vireo_shadow.by_id
 * @parents: first entry that points here
 * @roots: vCPUs that have it as root (or as one of PAE's four)
 * @writes: writes to the guest's table since it was last used: too many, and it is dropped
 * @invalid: cut off; goes with its last root
 * @old: not used since the reclaimer came by
 * @live: a root leads to it: shadow_check.c, while it works
 * @table: what the processor walks
 * @used: bitmap of entries that are not zero
 * @next: node of each entry on its list
 * @prev: likewise; 0 if it is the first
 * @gfns: guest frame that each leaf maps
 */
struct shadow_page {
	struct hlist_node hash;
	struct list_head list;
	struct list_head unsync;
	u64 gfn;
	unsigned long hva;
	union shadow_role role;
	u32 id;
	u32 parents;
	u16 roots;
	u8 writes;
	bool invalid;
	bool old;
	bool live;
	u64 *table;
	DECLARE_BITMAP(used, SHADOW_ENTRIES);
	u32 next[SHADOW_ENTRIES];
	u32 prev[SHADOW_ENTRIES];
	u32 gfns[SHADOW_ENTRIES];
};

#define SHADOW_PAGE_ORDER	1
static_assert(sizeof(struct shadow_page) <= PAGE_SIZE << SHADOW_PAGE_ORDER);

/* Guest frames fit in 32 bits: regions beyond are refused. */
#define SHADOW_GFN_LIMIT	BIT_ULL(32)

/**
 * struct shadow_frame - reverse map of a guest frame, or of 2 MiB or 1 GiB of them
 * @first: first leaf entry that maps it
 * @tables: shadow pages, not direct, that follow a table in it; the highest bit is the list's lock
 *	for those who hold mmu->lock for reading only
 */
struct shadow_frame {
	u32 first;
	u32 tables;
};

#define SHADOW_FRAME_LOCK	63	/* as a bit of the whole */
static_assert(sizeof(struct shadow_frame) == sizeof(unsigned long));
static_assert(offsetof(struct shadow_frame, tables) == sizeof(u32));

static inline bool shadow_frame_has_tables(const struct shadow_frame *frame)
{
	return READ_ONCE(frame->tables) & ~BIT(31);
}

static inline void shadow_frame_lock(struct shadow_frame *frame)
{
	bit_spin_lock(SHADOW_FRAME_LOCK, (unsigned long *)frame);
}

static inline void shadow_frame_unlock(struct shadow_frame *frame)
{
	bit_spin_unlock(SHADOW_FRAME_LOCK, (unsigned long *)frame);
}

#define SHADOW_HASH_BITS	11

/**
 * struct vireo_shadow - the shadow tables of a VM
 * @hash: pages by the frame they follow
 * @pages: all pages in use, oldest first
 * @unsync: those out of sync
 * @limbo: pages cut off that processors may still walk
 * @nr_limbo: how many
 * @spare: pages ready for use, all zero
 * @nr_spare: how many
 * @by_id: pages by number; free numbers form a list, see shadow_id_alloc()
 * @free_id: its head, 0: none
 * @capacity: size of @by_id
 * @nr: pages in use
 * @limit: bound for @nr
 * @stale: something was taken away or lost rights, and not all TLBs know
 * @max_level: largest leaf
 * @large_drop: PT_NX if large leaves must not be executable
 * @reclaimed: pages taken out to keep to the bound, ever
 * @owed: a frame was write-protected, and not all TLBs know: nothing may rely on it yet
 * @changes: calls of shadow_check_sometimes()
 */
struct vireo_shadow {
	struct hlist_head hash[1 << SHADOW_HASH_BITS];
	struct list_head pages;
	struct list_head unsync;
	struct list_head limbo;
	u32 nr_limbo;
	struct list_head spare;
	u32 nr_spare;
	struct shadow_page **by_id;
	u32 free_id;
	u32 capacity;
	u32 nr;
	u32 limit;
	u8 max_level;
	u64 large_drop;
	u64 reclaimed;
	bool stale;
	bool owed;
	u32 changes;
};

/* Pages that one fault may need: a path, and the four of PAE. */
#define SHADOW_NEED	8

/* Writes to a table, without a use, after which it is taken for something else. */
#define SHADOW_FLOOD	4

/* Neighbours that a fault maps with its own entry. */
#define SHADOW_AROUND	16

static inline struct shadow_page *shadow_page_of(const u64 *entry)
{
	return (struct shadow_page *)page_private(virt_to_page(entry));
}

static inline unsigned int shadow_index_of(const u64 *entry)
{
	return offset_in_page(entry) / sizeof(u64);
}

static inline struct shadow_page *shadow_child(u64 entry)
{
	return shadow_page_of(phys_to_virt(__sme_clr(entry) & PT_ADDRESS));
}

static inline bool shadow_is_leaf(const struct shadow_page *sp, u64 entry)
{
	return sp->role.level == 1 || (entry & PT_LARGE);
}

static inline bool shadow_is_direct(const struct shadow_page *sp)
{
	return sp->role.format == SHADOW_DIRECT;
}

static inline unsigned int shadow_index(u64 gva, int level)
{
	return (gva >> (PAGE_SHIFT + 9 * (level - 1))) & (SHADOW_ENTRIES - 1);
}

static inline struct shadow_page *shadow_by_id(const struct vireo_shadow *s, u32 entry)
{
	return s->by_id[entry / SHADOW_ENTRIES];
}

static inline struct hlist_head *shadow_bucket(struct vireo_shadow *s, u64 gfn)
{
	return &s->hash[hash_64(gfn, SHADOW_HASH_BITS)];
}

/* The reverse map's element for @gfn; @level 1 to 3. */
static inline struct shadow_frame *shadow_frame(const struct vireo_mem *mem, u64 gfn, int level)
{
	unsigned int shift = TDP_INDEX_BITS * (level - 1);

	return &mem->frames[level - 1][(gfn >> shift) - (mem->gfn >> shift)];
}

static inline const struct vireo_mem_map *shadow_map(struct vireo_vm *vm)
{
	return rcu_dereference_protected(vm->mem, lockdep_is_held(&vm->mmu.lock));
}

/* Offset, in the guest's table, of the entry that entry @i of @sp follows. */
static inline u32 shadow_guest_offset(const struct shadow_page *sp, unsigned int i)
{
	if (sp->role.format != SHADOW_2LEVEL)
		return i * sizeof(u64);
	/* Each of the guest's directory entries maps two of ours. */
	if (sp->role.level == 2)
		return (sp->role.quadrant * 256 + i / 2) * sizeof(u32);
	return (sp->role.quadrant * SHADOW_ENTRIES + i) * sizeof(u32);
}

static inline u32 shadow_guest_size(const struct shadow_page *sp)
{
	return sp->role.format == SHADOW_2LEVEL ? sizeof(u32) : sizeof(u64);
}

/* shadow.c; mmu->lock held for writing, where not said otherwise */

/* Page that follows @gfn as @role, NULL: none. */
struct shadow_page *shadow_find(struct vireo_shadow *s, u64 gfn, union shadow_role role);

/**
 * shadow_get() - page that follows a table, made if there is none
 * @vm: VM
 * @mem: region of @gfn
 * @gfn: guest frame of the table, or first frame if direct
 * @role: how
 *
 * Return: the page; -ENOMEM: shadow_fill_spare() is due; -EBUSY: the host is taking its memory; -EAGAIN: all TLBs must be flushed first, which
 * needs interrupts on.
 */
struct shadow_page *shadow_get(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn,
			       union shadow_role role);

/* Point entry @i of @sp to @child, with rights and flags @bits. */
void shadow_link(struct vireo_vm *vm, struct shadow_page *sp, unsigned int i,
		 struct shadow_page *child, u64 bits);
/* A leaf of @mem, entry @i of @sp, becomes @entry, which maps the same; the dirty bit that it had is told of. */
void shadow_replace(struct vireo_vm *vm, const struct vireo_mem *mem, struct shadow_page *sp, unsigned int i,
		    u64 entry);
/* Have entry @i of @sp map @gfn, of @mem: @entry is its whole value. Return: whether it has mapped the same before. */
bool shadow_set_leaf(struct vireo_vm *vm, const struct vireo_mem *mem, struct shadow_page *sp,
		     unsigned int i, u64 gfn, u64 entry);
/**
 * enum shadow_added - what came of an attempt to add a leaf
 * @SHADOW_CONFLICT: something is there that would have to be taken out
 * @SHADOW_ADDED: it is there
 * @SHADOW_GAINED: it was there, and has more rights now
 * @SHADOW_NOTHING: it is there already, or another vCPU is at it
 */
enum shadow_added {
	SHADOW_CONFLICT, SHADOW_ADDED, SHADOW_GAINED, SHADOW_NOTHING
};

/**
 * shadow_add_leaf() - as shadow_set_leaf(), with mmu->lock held for reading
 * @vm: VM
 * @mem: region of @gfn
 * @sp: page
 * @i: entry
 * @gfn: guest frame
 * @entry: value
 *
 * Return: &enum shadow_added
 */
enum shadow_added shadow_add_leaf(struct vireo_vm *vm, const struct vireo_mem *mem, struct shadow_page *sp,
		     unsigned int i, u64 gfn, u64 entry);
/* Take entry @i out; and all. */
void shadow_clear(struct vireo_vm *vm, struct shadow_page *sp, unsigned int i);
void shadow_clear_all(struct vireo_vm *vm, struct shadow_page *sp);

/* Take a page out of everything.  It is freed after the next flush, or with its last root. */
void shadow_zap_page(struct vireo_vm *vm, struct shadow_page *sp);
/* All pages that follow a table at @gfn. */
void shadow_zap_table(struct vireo_vm *vm, u64 gfn);
/* A vCPU has it as root no more. */
void shadow_put_root(struct vireo_vm *vm, struct shadow_page *sp);

/* Take the right to write from all that maps @gfn. */
void shadow_write_protect(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn);

/**
 * shadow_flush() - make what was taken away be gone from all TLBs
 * @vm: VM
 *
 * With interrupts off that works only while no other processor runs the VM.
 *
 * Return: true; false: come back with interrupts on, and trust nothing that needs it before.
 */
bool shadow_flush(struct vireo_vm *vm);

/**
 * shadow_make_room() - keep to the bound
 * @vm: VM
 * @nr: pages that are about to be made
 *
 * Takes out those not used for long.  Pages that are roots stay.
 */
void shadow_make_room(struct vireo_vm *vm, u32 nr);

/* Have SHADOW_NEED spare pages; no lock, may sleep. */
int shadow_fill_spare(struct vireo_vm *vm);

/* shadow_sync.c */

/* The guest's entry behind entry @i of @sp; false: not resident. */
bool shadow_guest_entry(const struct shadow_page *sp, unsigned int i, u64 *entry);

/*
 * Let the guest write @gfn, which tables follow, until its next flush.  False if that cannot
 * be: one is not of level 1.
 */
bool shadow_unsync(struct vireo_vm *vm, u64 gfn);

/* May a mapping of @gfn be writable: no table there, or all out of sync? */
bool shadow_may_write(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn);

/*
 * What entry @i, a leaf of level 1 or a link that is @entry, may be now that the guest's entry is @guest: rights can only go.
 * 0: it must go.
 */
u64 shadow_agree(const struct shadow_page *sp, unsigned int i, u64 entry, u64 guest);

/* The vCPU has no root any more. */
void shadow_drop_roots(struct vireo_vcpu *vcpu);

/*
 * A guest that is not in long mode has four roots, each for 1 GiB of linear addresses.  What the @i-th follows,
 * if that is known: @pdpte counts for PAE only.
 */
bool shadow_pd_role(struct vireo_vcpu *vcpu, unsigned int i, u64 pdpte, u64 *gfn,
		    union shadow_role *role);
/* @sp is the @i-th of them. */
void shadow_set_pd(struct vireo_vcpu *vcpu, unsigned int i, struct shadow_page *sp);

/* shadow_check.c: once in a while, where the host is made for finding mistakes */
#if IS_ENABLED(CONFIG_KASAN)
void shadow_check_sometimes(struct vireo_vm *vm);
#else
static inline void shadow_check_sometimes(struct vireo_vm *vm)
{
}
#endif

#endif /* VIREO_SHADOW_H */

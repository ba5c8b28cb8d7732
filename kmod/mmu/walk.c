// SPDX-License-Identifier: GPL-2.0-only
/*
 * Walk of the guest's own page tables: what the processor does for a guest, done for
 * the interpreter, for user space and for debuggers.
 *
 * One function, compiled once for each of the four formats with its constants.  Tables are
 * read straight from the launcher's memory; nothing is cached, nothing is locked, and as on a
 * processor another vCPU may be changing the tables at the same time: each entry is read once,
 * and accessed and dirty bits are set by cmpxchg against the value that was used.
 *
 * Rules: SDM vol. 3, 4.3 to 4.8; APM vol. 2, 5.2 to 5.6.
 *
 * Locking: none of its own; regions under vm->srcu or with interrupts off.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../region.h"
#include "mmu.h"
#include "rollback.h"
#include "track.h"

/* Entries of the guest's tables. */
#define GUEST_PRESENT	BIT_ULL(0)
#define GUEST_WRITE	BIT_ULL(1)
#define GUEST_USER	BIT_ULL(2)
#define GUEST_ACCESSED	BIT_ULL(5)
#define GUEST_DIRTY	BIT_ULL(6)
#define GUEST_LARGE	BIT_ULL(7)
#define GUEST_GLOBAL	BIT_ULL(8)
#define GUEST_NX	BIT_ULL(63)

/* Page-fault error codes: SDM vol. 3, 4.7. */
#define FAULT_PRESENT	BIT(0)
#define FAULT_WRITE	BIT(1)
#define FAULT_USER	BIT(2)
#define FAULT_RESERVED	BIT(3)
#define FAULT_FETCH	BIT(4)

/* How often a walk starts again because a table changed under it. */
#define WALK_TRIES	64

/**
 * struct walk_format - what distinguishes the formats
 * @levels: levels of tables
 * @bits: bits of the address that a level indexes by
 * @bytes: size of an entry
 * @wide: long mode: 64-bit addresses
 * @pdptr: level 3 is PAE's, whose four entries hold no rights and no accessed bit
 * @cr3: where CR3 holds the address of the root
 * @high: address bits and what lies above them, reserved from MAXPHYADDR on
 */
struct walk_format {
	u8 levels;
	u8 bits;
	u8 bytes;
	bool wide;
	bool pdptr;
	u64 cr3;
	u64 high;
};

static const struct walk_format walk_2level = {
	.levels = 2, .bits = 10, .bytes = 4,
	.cr3 = GENMASK_ULL(31, 12), .high = 0,
};

static const struct walk_format walk_pae = {
	.levels = 3, .bits = 9, .bytes = 8, .pdptr = true,
	.cr3 = GENMASK_ULL(31, 5), .high = GENMASK_ULL(62, 12),
};

static const struct walk_format walk_4level = {
	.levels = 4, .bits = 9, .bytes = 8, .wide = true,
	.cr3 = GENMASK_ULL(51, 12), .high = GENMASK_ULL(51, 12),
};

static const struct walk_format walk_5level = {
	.levels = 5, .bits = 9, .bytes = 8, .wide = true,
	.cr3 = GENMASK_ULL(51, 12), .high = GENMASK_ULL(51, 12),
};

/*
 * Compilers that clear automatic variables (CONFIG_INIT_STACK_ALL_ZERO) would spend as much on
 * the entries as the walk takes; each is written before it is read.
 */
#if __has_attribute(__uninitialized__)
#define WALK_UNINITIALIZED __attribute__((__uninitialized__))
#else
#define WALK_UNINITIALIZED
#endif

/* Fetch from user memory; that it is a user address was checked when the region was set. */
static __always_inline bool walk_get64(const u64 __user *user, u64 *value)
{
	__uaccess_begin_nospec();
	unsafe_get_user(*value, user, fault);
	__uaccess_end();
	return true;
fault:
	__uaccess_end();
	return false;
}

static __always_inline bool walk_get32(const u32 __user *user, u64 *value)
{
	u32 narrow;

	__uaccess_begin_nospec();
	unsafe_get_user(narrow, user, fault);
	__uaccess_end();
	*value = narrow;
	return true;
fault:
	__uaccess_end();
	return false;
}

/*
 * Of whichever size, for the walk that is not compiled for one format.  Not inline: compilers
 * entangle the two in an unrolled loop until objtool cannot follow.
 */
static noinline bool walk_get(const void __user *user, u8 bytes, u64 *value)
{
	return bytes == 8 ? walk_get64(user, value) : walk_get32(user, value);
}

/*
 * Read the entry at @offset of guest page @gfn.  @mem is the region of the last one, mostly the right
 * one again.
 */
static __always_inline int walk_read(struct vireo_vcpu *vcpu, const struct vireo_mem_map *map,
				     const struct vireo_mem **mem, u64 gfn, u64 offset, u8 bytes,
				     bool nofault, const bool general, u64 *value)
{
	const void __user *user;
	bool got;

	if (unlikely(!*mem || !vireo_mem_holds(*mem, gfn))) {
		*mem = vireo_mem_lookup(vcpu, map, gfn);
		if (!*mem)
			return -ENXIO;
	}
	user = (const void __user *)(vireo_mem_hva(*mem, gfn) + offset);
	if (general)
		got = walk_get(user, bytes, value);
	else
		got = bytes == 8 ? walk_get64(user, value) : walk_get32(user, value);
	if (unlikely(!got))
		return nofault ? -EAGAIN : -ENXIO;
	return 0;
}

/*
 * Set the bits that are missing.  @entries from @level up were used; the leaf is dirtied by a write.
 * Return: 0; 1: an entry has changed; -EFAULT.
 */
static noinline int walk_set_accessed(struct vireo_vcpu *vcpu, const struct walk_format *f, const struct vireo_mem_map *map,
				      const struct vireo_walk_entry *entries, int level, bool write, bool nofault)
{
	int l, r;

	for (l = f->levels; l >= level; l--) {
		const u64 value = entries[l - 1].value, gpa = entries[l - 1].gpa;
		const struct vireo_mem *mem = vireo_mem_find(map, gpa >> PAGE_SHIFT);
		u64 bits = GUEST_ACCESSED;
		unsigned long user;

		if (f->pdptr && l == 3)
			continue;
		if (l == level && write)
			bits |= GUEST_DIRTY;
		/* The processor could not write to a read-only region either. */
		if (!(bits & ~value) || !mem || (mem->flags & VIREO_REGION_READONLY))
			continue;
		r = vireo_before_write(vcpu->vm, mem, gpa, f->bytes, nofault);
		if (unlikely(r))
			return r;
		user = vireo_mem_hva(mem, gpa >> PAGE_SHIFT) + offset_in_page(gpa);
		if (f->bytes == 8) {
			u64 old = value;

			r = __try_cmpxchg_user((u64 __user *)user, &old, value | bits, wide);
		} else {
			u32 old = value;

			r = __try_cmpxchg_user((u32 __user *)user, &old, (u32)(value | bits),
					       narrow);
		}
		vireo_track_gpa(mem, gpa, f->bytes);
		if (r)
			return r;
	}
	return 0;
}

/* The error code of a page fault; @bits: what the tables have to say about it. */
static noinline u32 walk_error(const struct walk_format *f, const struct vireo_mode *mode,
			       u32 access, u32 bits)
{
	const bool nx = f->bytes == 8 && (mode->efer & EFER_NX);

	if (access & VIREO_ACCESS_WRITE)
		bits |= FAULT_WRITE;
	if ((access & VIREO_ACCESS_USER) && !(access & VIREO_ACCESS_IMPLICIT))
		bits |= FAULT_USER;
	/* Only where fetches are told apart. */
	if ((access & VIREO_ACCESS_EXEC) && (nx || (mode->cr4 & X86_CR4_SMEP)))
		bits |= FAULT_FETCH;
	return bits;
}

/* Bits that must be zero in a present entry of a level, beside format->high. */
static __always_inline u64 walk_reserved(const struct walk_format *f, struct vireo_vcpu *vcpu,
					 const struct vireo_mode *mode, int level, u64 entry)
{
	const bool large = entry & GUEST_LARGE;

	/*
	 * Bits 5 to 8 are reserved in a PAE level 3 entry; but QEMU 7.2, as AMD processor, sets
	 * the accessed bit in it.
	 */
	if (f->pdptr && level == 3)
		return GENMASK_ULL(2, 1) | GENMASK_ULL(8, 6) | GUEST_NX |
		       (vireo_caps.vendor == VIREO_VENDOR_AMD ? 0 : GUEST_ACCESSED);
	switch (level) {
	case 5:
	case 4:
		/* AMD reserves what would be the global bit: APM vol. 2, figure 5-20. */
		return GUEST_LARGE |
		       (vireo_caps.vendor == VIREO_VENDOR_AMD ? GUEST_GLOBAL : 0);
	case 3:
		if (!large)
			return 0;
		return vcpu->caps.gbpages ? GENMASK_ULL(29, 13) : GUEST_LARGE;
	case 2:
		if (!large)
			return 0;
		if (f->bytes == 8)
			return GENMASK_ULL(20, 13);
		/* PSE-36: bits 13 to 20 are address bits 32 to 39, as far as there are any. */
		if (!(mode->cr4 & X86_CR4_PSE))
			return 0;
		return BIT_ULL(21) | ((~vcpu->caps.phys_mask >> 19) & GENMASK_ULL(20, 13));
	default:
		return 0;
	}
}

/* Bits that walk_reserved() may have something to say about, or that make an entry the last. */
static __always_inline u64 walk_unusual(const struct walk_format *f, int level)
{
	if (level == 1)
		return 0;
	if (f->pdptr && level == 3)
		return GENMASK_ULL(2, 1) | GENMASK_ULL(8, 5) | GUEST_NX;
	return level >= 4 ? GUEST_LARGE | GUEST_GLOBAL : GUEST_LARGE;
}

/* Do the tables allow the access?  @all: rights that all levels agree on.  SDM vol. 3, 4.6.1. */
static __always_inline bool walk_allowed(const struct vireo_mode *mode, u32 access, u64 all,
					 bool no_exec)
{
	const bool fetch = access & VIREO_ACCESS_EXEC;
	const bool write = access & VIREO_ACCESS_WRITE;

	if (fetch && no_exec)
		return false;
	if ((access & (VIREO_ACCESS_USER | VIREO_ACCESS_IMPLICIT)) == VIREO_ACCESS_USER)
		return (all & GUEST_USER) && (!write || (all & GUEST_WRITE));

	if (unlikely(all & GUEST_USER)) {
		if (fetch)
			return !(mode->cr4 & X86_CR4_SMEP);
		if ((mode->cr4 & X86_CR4_SMAP) &&
		    (!(mode->rflags & X86_EFLAGS_AC) || (access & VIREO_ACCESS_IMPLICIT)))
			return false;
	}
	return !write || (all & GUEST_WRITE) || !(mode->cr0 & X86_CR0_WP);
}

static noinline int walk_and_set(const struct walk_format *f, struct vireo_vcpu *vcpu,
				 const struct vireo_mode *mode, u64 gva, u32 access,
				 bool nofault, struct vireo_walk *walk);

/*
 * The walk.  With @entries, it remembers them and sets the bits that they lack; without, as
 * nearly always none lacks any, it starts again with some if one does.  @general: not compiled for one format.
 */
static __always_inline int walk_tables(const struct walk_format *f, struct vireo_vcpu *vcpu,
				       const struct vireo_mode *mode, u64 gva, u32 access,
				       bool nofault, struct vireo_walk *walk,
				       struct vireo_walk_entry *entries, const bool general)
{
	const struct vireo_mem_map *map = vireo_mem_map_inline(vcpu->vm);
	const u64 phys_mask = vcpu->caps.phys_mask;
	const u64 address = phys_mask & GENMASK_ULL(51, 12);
	const bool nx = f->bytes == 8 && (mode->efer & EFER_NX);
	const bool write = access & VIREO_ACCESS_WRITE;
	const u64 reserved = (f->high & ~phys_mask) | (f->bytes == 8 && !nx ? GUEST_NX : 0);
	const bool set = entries;
	const struct vireo_mem *mem = NULL;
	u64 table, offset, entry, all, any_nx, size;
	int tries = 0, level, r;
	u32 bits;

	if (!f->wide)
		gva = (u32)gva;
again:
	table = mode->cr3 & f->cr3 & phys_mask;
	/* Only PAE's root is not a page. */
	offset = f->pdptr ? offset_in_page(table) : 0;
	/* Rights and accessed bits that all levels agree on; NX if any says so. */
	all = ~0ULL;
	any_nx = 0;
	/* Unrolled, so that what depends on the level is constant. */
#pragma GCC unroll 5
	for (level = f->levels; level >= 1; level--) {
		const unsigned int shift = PAGE_SHIFT + f->bits * (level - 1);
		const u64 index = (gva >> shift) & ((1U << f->bits) - 1);
		bool last = level == 1;

		offset += index * f->bytes;
		r = walk_read(vcpu, map, &mem, table >> PAGE_SHIFT, offset, f->bytes, nofault,
			      general, &entry);
		if (unlikely(r))
			return r;
		if (set)
			entries[level - 1] = (struct vireo_walk_entry) {
				entry, (table & PAGE_MASK) + offset };
		bits = 0;
		if (unlikely(!(entry & GUEST_PRESENT)))
			goto fault;
		if (unlikely(entry & (reserved | walk_unusual(f, level)))) {
			bits = FAULT_PRESENT | FAULT_RESERVED;
			if (entry & (reserved | walk_reserved(f, vcpu, mode, level, entry)))
				goto fault;
			/* What has this bit and passed is large, but for one case. */
			if ((entry & GUEST_LARGE) && (f->bytes == 8 || (mode->cr4 & X86_CR4_PSE)))
				last = true;
		}
		if (!(f->pdptr && level == 3)) {
			all &= entry;
			any_nx |= entry;
		}
		size = 1ULL << shift;
		if (last)
			break;
		table = entry & address;
		offset = 0;
	}
	any_nx = nx ? any_nx & GUEST_NX : 0;

	if (likely(access)) {
		bits = FAULT_PRESENT;
		if (unlikely(!walk_allowed(mode, access, all, any_nx)))
			goto fault;
		if (unlikely(!(all & GUEST_ACCESSED) || (write && !(entry & GUEST_DIRTY)))) {
			if (!set)
				return walk_and_set(f, vcpu, mode, gva, access, nofault, walk);
			r = walk_set_accessed(vcpu, f, map, entries, level, write, nofault);
			if (r > 0 && ++tries < WALK_TRIES)
				goto again;
			if (r) {
				walk->gpa = entries[level - 1].gpa;
				return nofault || r > 0 ? -EAGAIN : -ENXIO;
			}
		}
	}

	if (f->bytes == 8)
		walk->gpa = entry & address & ~(size - 1);
	else if (level == 2)
		walk->gpa = (entry & GENMASK_ULL(31, 22)) |
			    ((entry & GENMASK_ULL(20, 13)) << 19);
	else
		walk->gpa = entry & GENMASK_ULL(31, 12);
	walk->gpa |= gva & (size - 1);
	walk->page_size = size;
	walk->level = level;
	walk->pte_access = VIREO_ACCESS_READ | (all & GUEST_WRITE) | (all & GUEST_USER) << 1 |
			   (any_nx ? 0 : VIREO_ACCESS_EXEC);
	walk->error = 0;
	return 0;
fault:
	walk->error = walk_error(f, mode, access, bits);
	return -EFAULT;
}

static_assert(GUEST_WRITE == VIREO_ACCESS_WRITE && GUEST_USER << 1 == VIREO_ACCESS_USER);

static noinline int walk_and_set(const struct walk_format *f, struct vireo_vcpu *vcpu,
				 const struct vireo_mode *mode, u64 gva, u32 access,
				 bool nofault, struct vireo_walk *walk)
{
	struct vireo_walk_entry entries[VIREO_WALK_LEVELS] WALK_UNINITIALIZED;

	return walk_tables(f, vcpu, mode, gva, access, nofault, walk, entries, true);
}

/* A function for each format, so that the usual one does not carry the others' registers. */
#define WALK(format)								\
static noinline int walk_in_##format(struct vireo_vcpu *vcpu,			\
				     const struct vireo_mode *mode, u64 gva,	\
				     u32 access, bool nofault,			\
				     struct vireo_walk *walk)			\
{										\
	return walk_tables(&walk_##format, vcpu, mode, gva, access, nofault,	\
			   walk, NULL, false);					\
}										\
										\
static noinline int path_in_##format(struct vireo_vcpu *vcpu,			\
				     const struct vireo_mode *mode, u64 gva,	\
				     u32 access, bool nofault,			\
				     struct vireo_walk *walk,			\
				     struct vireo_walk_entry *entries)		\
{										\
	return walk_tables(&walk_##format, vcpu, mode, gva, access, nofault,	\
			   walk, entries, false);				\
}
WALK(2level)
WALK(pae)
WALK(4level)
WALK(5level)

static __always_inline int walk_any(struct vireo_vcpu *vcpu, const struct vireo_mode *mode,
				    u64 gva, u32 access, bool nofault, struct vireo_walk *walk)
{
	if (likely(mode->efer & EFER_LMA)) {
		if (unlikely(mode->cr4 & X86_CR4_LA57))
			return walk_in_5level(vcpu, mode, gva, access, nofault, walk);
		return walk_in_4level(vcpu, mode, gva, access, nofault, walk);
	}
	if (mode->cr4 & X86_CR4_PAE)
		return walk_in_pae(vcpu, mode, gva, access, nofault, walk);
	return walk_in_2level(vcpu, mode, gva, access, nofault, walk);
}

int vireo_walk(struct vireo_vcpu *vcpu, const struct vireo_mode *mode, u64 gva, u32 access,
	       bool nofault, struct vireo_walk *walk)
{
	int r;

	if (unlikely(!(mode->cr0 & X86_CR0_PG))) {
		walk->gpa = (u32)gva;
		walk->page_size = PAGE_SIZE;
		walk->level = 1;
		walk->pte_access = VIREO_ACCESS_READ | VIREO_ACCESS_WRITE | VIREO_ACCESS_EXEC |
				   VIREO_ACCESS_USER;
		walk->error = 0;
		return 0;
	}
	if (!nofault)
		return walk_any(vcpu, mode, gva, access, false, walk);
	pagefault_disable();
	r = walk_any(vcpu, mode, gva, access, true, walk);
	pagefault_enable();
	return r;
}

int vireo_walk_path(struct vireo_vcpu *vcpu, const struct vireo_mode *mode, u64 gva, u32 access,
		    bool nofault, struct vireo_walk *walk, struct vireo_walk_entry *entries)
{
	int r;

	if (nofault)
		pagefault_disable();
	if (mode->efer & EFER_LMA) {
		if (mode->cr4 & X86_CR4_LA57)
			r = path_in_5level(vcpu, mode, gva, access, nofault, walk, entries);
		else
			r = path_in_4level(vcpu, mode, gva, access, nofault, walk, entries);
	} else if (mode->cr4 & X86_CR4_PAE) {
		r = path_in_pae(vcpu, mode, gva, access, nofault, walk, entries);
	} else {
		r = path_in_2level(vcpu, mode, gva, access, nofault, walk, entries);
	}
	if (nofault)
		pagefault_enable();
	return r;
}

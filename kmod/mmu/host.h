/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's own page tables, as a fault of a guest reads them; fault.c and shadow_fault.c.
 */
#ifndef VIREO_MMU_HOST_H
#define VIREO_MMU_HOST_H

#include <linux/mm.h>
#include <linux/pgtable.h>

#include "../region.h"
#include "mmu.h"
#include "tdp.h"

/* Why a resident page was not mapped; beyond enum vireo_fault. */
enum {
	MAP_ABSENT = VIREO_FAULT_SIGNAL + 1,	/* the host has no entry with the rights needed */
	MAP_BUSY,		/* an invalidation or another fault is in the way: try again */
	MAP_ODD,		/* the host's entry is of a kind that needs its own functions */
	MAP_CONFLICT,		/* the nested table has another mapping here */
	MAP_NO_PAGE,		/* no page for a table in the cache */
};

/* Tries with a resident page after which it is mapped by the slow way. */
#define MAP_ROUNDS 8

/* A usable entry of the host has these ... */
#define HOST_NEED (_PAGE_PRESENT | _PAGE_USER)
/* ... and none of these: frames without struct page, device memory, protection keys. */
#define HOST_ODD (_PAGE_SPECIAL | _PAGE_DEVMAP | _PAGE_PKEY_MASK)

static_assert(sizeof(pte_t) == sizeof(u64) && sizeof(pmd_t) == sizeof(u64) &&
	      sizeof(pud_t) == sizeof(u64));

/*
 * The host's leaf entry for @address.  Interrupts off.  Return: its level, 0 if there is
 * none; its value and where it is.
 */
static __always_inline int host_leaf(struct mm_struct *mm, unsigned long address, u64 *value,
				     u64 **entry)
{
	pgd_t *pgdp = pgd_offset(mm, address), pgd = READ_ONCE(*pgdp);
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;

	if (unlikely(!pgd_present(pgd)))
		return 0;
	p4dp = p4d_offset_lockless(pgdp, pgd, address);
	p4d = READ_ONCE(*p4dp);
	if (unlikely(!p4d_present(p4d)))
		return 0;
	pudp = pud_offset_lockless(p4dp, p4d, address);
	pud = READ_ONCE(*pudp);
	/* pud_present() and pmd_present() also hold for entries the processor cannot use. */
	if (unlikely(!(pud_val(pud) & _PAGE_PRESENT)))
		return 0;
	if (unlikely(pud_val(pud) & _PAGE_PSE)) {
		*value = pud_val(pud);
		*entry = (u64 *)pudp;
		return 3;
	}
	pmdp = pmd_offset_lockless(pudp, pud, address);
	pmd = READ_ONCE(*pmdp);
	if (unlikely(!(pmd_val(pmd) & _PAGE_PRESENT)))
		return 0;
	if (pmd_val(pmd) & _PAGE_PSE) {
		*value = pmd_val(pmd);
		*entry = (u64 *)pmdp;
		return 2;
	}
	*entry = (u64 *)pte_offset_kernel(&pmd, address);
	*value = READ_ONCE(**entry);
	return 1;
}

static inline bool host_zero_page(u64 host, int level)
{
	return level == 1 && is_zero_pfn((host & PTE_PFN_MASK) >> PAGE_SHIFT) &&
	       !(host & (_PAGE_RW | _PAGE_DEVMAP | _PAGE_PKEY_MASK));
}

/* May the guest get a writable mapping of what @host maps? */
static __always_inline bool host_writable(u64 host)
{
	return (host & (_PAGE_RW | _PAGE_DIRTY)) == (_PAGE_RW | _PAGE_DIRTY);
}

/*
 * The host's leaf for @hva with the rights that an access needs, and dirty if it is a write.
 * Interrupts off, mmu->lock held.
 *
 * Return: its level, its value in @host, where it is in @hostp; or -MAP_*.
 */
static __always_inline int host_resident(struct mm_struct *mm, unsigned long hva, bool write,
					 u64 *host, u64 **hostp)
{
	int level = host_leaf(mm, hva, host, hostp);

	if (!level || (*host & HOST_NEED) != HOST_NEED)
		return -MAP_ABSENT;
	if (unlikely(*host & HOST_ODD) && !(host_zero_page(*host, level) && !write))
		return -MAP_ODD;
	if (write) {
		const u64 dirty = _PAGE_ACCESSED | _PAGE_DIRTY;

		if (!(*host & _PAGE_RW))
			return -MAP_ABSENT;
		if ((*host & dirty) != dirty) {
			if (!try_cmpxchg64(*hostp, host, *host | dirty))
				return -MAP_BUSY;
			*host |= dirty;
		}
	}
	return level;
}

/* The host's leaf of @level as if it were one of 4 KiB: address of the page of @hva, flags. */
static __always_inline u64 host_page(u64 host, int level, unsigned long hva)
{
	const u64 span = (tdp_pages(level) << PAGE_SHIFT) - 1;

	if (level == 1)
		return host;
	return (host & ~PTE_PFN_MASK) | (hva & span & PAGE_MASK) | (host & PTE_PFN_MASK & ~span);
}

/* Does a large leaf around @gfn lie inside the region, at congruent addresses? */
static __always_inline bool mem_fits(const struct vireo_mem *mem, u64 gfn, int level)
{
	u64 mask = tdp_pages(level) - 1;
	u64 first = gfn & ~mask;

	return first >= mem->gfn && first + mask < mem->gfn + mem->pages &&
	       !(((mem->hva >> PAGE_SHIFT) ^ mem->gfn) & mask);
}

/* The region that @gfn may be accessed in, NULL: MMIO. */
static __always_inline const struct vireo_mem *
fault_region(struct vireo_vcpu *vcpu, const struct vireo_mem_map *map, u64 gfn, u32 access)
{
	const struct vireo_mem *mem = vireo_mem_lookup(vcpu, map, gfn);

	if (mem && (access & VIREO_ACCESS_WRITE) && unlikely(mem->flags & VIREO_REGION_READONLY))
		return NULL;
	return mem;
}

/**
 * struct vireo_odd - a page that the host's own functions looked up
 * @map: regions at that time
 * @gfn: guest frame
 * @hva: user address
 * @seq: mmu->invalidate_seq before the look-up
 * @pfn: host frame
 * @device: not memory: uncached
 * @writable: may be mapped writable
 */
struct vireo_odd {
	const struct vireo_mem_map *map;
	u64 gfn;
	unsigned long hva;
	unsigned long seq;
	unsigned long pfn;
	bool device;
	bool writable;
};

/* Map it; enum vireo_fault or MAP_*. */
typedef int (*vireo_map_odd)(struct vireo_vcpu *vcpu, const struct vireo_odd *odd, void *data);

/**
 * vireo_bring_in() - have the host map a page, with the rights that the access needs
 * @vcpu: own thread, interrupts on
 * @map: regions
 * @gfn: guest frame
 * @hva: user address
 * @write: it will be written
 * @force: map it also if it is of an ordinary kind, whose entry in the host's table nobody has seen
 * @odd: maps it for the guest from what the host's functions say
 * @data: for @odd
 *
 * Return: enum vireo_fault or MAP_*; MAP_BUSY: try again, it should be there.
 */
int vireo_bring_in(struct vireo_vcpu *vcpu, const struct vireo_mem_map *map, u64 gfn,
		   unsigned long hva, bool write, bool force, vireo_map_odd odd, void *data);

#endif /* VIREO_MMU_HOST_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested page faults: find the host page, map it.
 *
 * There is one way in: with interrupts off and mmu->lock held for reading, read the host's
 * own page table for the launcher's address and copy what it says into the nested
 * table.  No reference to the page is taken, none is needed: whoever takes the page away,
 * or any right to it, calls the MMU notifier first, which needs the lock for writing.
 * Under the lock, then, the host's entry is true unless an invalidation is in progress, and that is
 * known.  If there is no usable entry the slow form has the host make one
 * (get_user_pages) and tries again.  Interrupts are off so that the host's table
 * pages stay: they are freed after a grace period or an IPI.
 *
 * A writable nested mapping lets the guest dirty the page without the host seeing it.
 * So the host's entry must be dirty as long as one exists: we map writable only
 * if it is, or, when the guest writes, set its accessed and dirty bits as the
 * processor would for a write at that address.  The host clears them only
 * between invalidate_range_start and _end.  Documentation/mmu.rst lists the cases.
 *
 * Locking: mmu->lock for reading.  The fast form only tries, as it runs with interrupts off and
 * the holder may be waiting for our CPU to take an IPI.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched/signal.h>

#include "../compat.h"
#include "../region.h"
#include "host.h"
#include "mmu.h"
#include "notifier.h"
#include "rollback.h"
#include "tdp.h"
#include "track.h"

/* A fault maps what is resident in its aligned window of so many pages. */
#define FAULT_AROUND 16

static_assert(FAULT_AROUND <= TDP_ENTRIES && !(FAULT_AROUND & (FAULT_AROUND - 1)));

/*
 * Map the neighbours of @gfn that are resident, so that they do not fault.
 * @e and @hostp are the entries of @gfn, level 1; @host is its value if the host's page is large.
 */
static __always_inline void map_around(struct vireo_mmu *mmu, const struct vireo_mem *mem, u64 gfn,
				       unsigned long hva, u64 *e, u64 *hostp, u64 host,
				       bool host_large)
{
	const struct vireo_tdp_format *format = mmu->format;
	const u64 writable = mem->flags & VIREO_REGION_READONLY || !vireo_track_writable(mmu, mem) ? 0 : TDP_WRITE;
	/* Window, cut to the region and to what one table of the host, or one large page, maps. */
	long low = gfn & (FAULT_AROUND - 1), high = FAULT_AROUND - 1 - low;
	long index = (hva >> PAGE_SHIFT) & (TDP_ENTRIES - 1);
	long i, mapped = 0;

	low = -(long)min3((u64)low, gfn - mem->gfn, (u64)index);
	high = min3((u64)high, mem->gfn + mem->pages - 1 - gfn, (u64)(TDP_ENTRIES - 1 - index));
	if (vireo_invalidating(mmu, hva + low * PAGE_SIZE, hva + (high + 1) * PAGE_SIZE))
		return;

	for (i = low; i <= high; i++) {
		u64 old = 0, h, new;

		if (READ_ONCE(e[i]))
			continue;
		h = host_large ? host + i * PAGE_SIZE : READ_ONCE(hostp[i]);
		if ((h & (HOST_NEED | HOST_ODD)) != HOST_NEED)
			continue;
		/* Not accessed yet, as far as anybody knows. */
		new = format->leaf | (h & PTE_PFN_MASK);
		if (host_writable(h))
			new |= writable;
		if (try_cmpxchg64(&e[i], &old, new))
			mapped++;
	}
	if (mapped)
		atomic_long_add(mapped, &mmu->pages[1]);
}

/*
 * Map @gfn of @mem if the host has it mapped.  Interrupts off, mmu->lock held for reading;
 * @map was current and @mem is of it.  Return: FIXED or MAP_*.
 */
static noinline int map_resident(struct vireo_vcpu *vcpu, const struct vireo_mem_map *map,
				 const struct vireo_mem *mem, u64 gfn, u32 access)
{
	struct vireo_vm *vm = vcpu->vm;
	struct vireo_mmu *mmu = &vm->mmu;
	const struct vireo_tdp_format *format = mmu->format;
	const unsigned long hva = vireo_mem_hva(mem, gfn);
	const bool write = access & VIREO_ACCESS_WRITE;
	u64 host, *hostp, *e, old, new, base, pa;
	int host_level, level;

	/* Regions are published under the lock: what is current now stays so. */
	if (unlikely(rcu_access_pointer(vm->mem) != map))
		return MAP_BUSY;

	/* With interrupts on it has been kept before this. */
	if (unlikely(write && mem->track) && !vireo_rollback_kept(vm, mem, gfn))
		return MAP_BUSY;

	host_level = host_resident(vm->mm, hva, write, &host, &hostp);
	if (unlikely(host_level < 0))
		return -host_level;

	level = min_t(int, host_level, format->max_level);
	if (unlikely(format->large_drop) && (access & VIREO_ACCESS_EXEC))
		level = 1;
	if (unlikely(mem->track) && write)
		level = 1;
	while (level > 1 && !mem_fits(mem, gfn, level))
		level--;

	host = host_page(host, host_level, hva);
	{
		int reached = vireo_tdp_reach(mmu, &vcpu->mmu_cache, gfn, level, &e);

		if (unlikely(reached < 0))
			return MAP_NO_PAGE;
		if (unlikely(reached > level)) {
			/* A larger leaf than we would make: fine if it does what is wanted. */
			base = (tdp_pages(reached) << PAGE_SHIFT) - 1;
			old = READ_ONCE(*e);
			pa = ((old & format->address) & ~base) | ((gfn << PAGE_SHIFT) & base);
			if (pa == (host & PTE_PFN_MASK) && (!write || (old & TDP_WRITE)) &&
			    (!(access & VIREO_ACCESS_EXEC) || (old & TDP_EXEC)))
				return VIREO_FAULT_FIXED;
			/* Followed: only what is written becomes small. */
			if (mem->track && (old & TDP_LARGE) && !(old & TDP_WRITE) && pa == (host & PTE_PFN_MASK))
				return vireo_tdp_split(mmu, &vcpu->mmu_cache, e, old, reached,
						       vireo_track_writable(mmu, mem) && reached == 2 && host_level > 1 &&
						       host_writable(host) && !(mem->flags & VIREO_REGION_READONLY) ?
						       TDP_WRITE : 0) ? MAP_BUSY : MAP_NO_PAGE;
			return MAP_CONFLICT;
		}
		level = reached;
	}

	base = (tdp_pages(level) << PAGE_SHIFT) - 1;
	if (vireo_invalidating(mmu, hva & ~base, (hva | base) + 1))
		return MAP_BUSY;
	pa = host & PTE_PFN_MASK & ~base;
	new = tdp_leaf(format, pa, level) | format->accessed;
	if (host_writable(host) && !(mem->flags & VIREO_REGION_READONLY) &&
	    (write || !mem->track || (level == 1 && vireo_track_writable(mmu, mem)))) {
		new |= TDP_WRITE;
		if (write)
			vireo_track_mark(vcpu, mem, gfn);
	}
	if (write)
		new |= format->dirty;

	old = READ_ONCE(*e);
	if (likely(!old)) {
		/* If another vCPU was faster the guest finds that when it tries again. */
		if (!try_cmpxchg64(e, &old, new))
			return VIREO_FAULT_FIXED;
		atomic_long_inc(&mmu->pages[level]);
	} else if (unlikely((old ^ new) & format->address)) {
		return MAP_CONFLICT;
	} else if (new & ~old) {
		/*
		 * More rights.  No flush: the processor drops what it has cached for an
		 * address that faults (SDM vol. 3, 29.4.3.1; APM vol. 2, 15.25.2).
		 */
		if (!try_cmpxchg64(e, &old, old | new))
			return VIREO_FAULT_FIXED;
		if (write && mem->track)
			vcpu->counters.faults_tracked++;
	} else {
		return VIREO_FAULT_FIXED;
	}
	vireo_count_fault(vcpu, access);

	/* Where only rights were missing the neighbours were looked at when the page was mapped. */
	if (level == 1 && !old)
		map_around(mmu, mem, gfn, hva, e, hostp, host, host_level > 1);
	return VIREO_FAULT_FIXED;
}

enum vireo_fault vireo_mmu_fault_fast(struct vireo_vcpu *vcpu, u64 gpa, u32 access)
{
	struct vireo_mmu *mmu = &vcpu->vm->mmu;
	const struct vireo_mem_map *map = vireo_mem_map_inline(vcpu->vm);
	const struct vireo_mem *mem;
	u64 gfn = gpa >> PAGE_SHIFT;
	int r;

	mem = fault_region(vcpu, map, gfn, access);
	if (!mem)
		return VIREO_FAULT_MMIO;
	if (unlikely(!read_trylock(&mmu->lock)))
		return VIREO_FAULT_RETRY;
	r = map_resident(vcpu, map, mem, gfn, access);
	read_unlock(&mmu->lock);
	return likely(r == VIREO_FAULT_FIXED) ? VIREO_FAULT_FIXED : VIREO_FAULT_RETRY;
}

static int cache_fill(struct vireo_mmu_cache *cache)
{
	/* Enough for one path; more, if there is more, so that fast faults find some too. */
	while (cache->nr < ARRAY_SIZE(cache->pages)) {
		void *page = (void *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);

		if (!page)
			return cache->nr >= TDP_MAX_ROOT - 1 ? 0 : -ENOMEM;
		cache->pages[cache->nr++] = page;
	}
	return 0;
}

/*
 * Map one page of the odd kinds, 4 KiB, unless something was invalidated since it was looked up.
 */
static int map_odd(struct vireo_vcpu *vcpu, const struct vireo_odd *odd, void *data)
{
	struct vireo_mmu *mmu = &vcpu->vm->mmu;
	const struct vireo_tdp_format *format = mmu->format;
	const struct vireo_mem *mem;
	u64 *e, old, new;
	int r;

	new = (odd->device ? format->leaf_io : format->leaf) | ((u64)odd->pfn << PAGE_SHIFT) |
	      format->accessed;
	if (odd->writable)
		new |= TDP_WRITE | format->dirty;

	read_lock(&mmu->lock);
	r = MAP_BUSY;
	if (rcu_access_pointer(vcpu->vm->mem) != odd->map || mmu->invalidate_seq != odd->seq ||
	    vireo_invalidating(mmu, odd->hva, odd->hva + PAGE_SIZE))
		goto unlock;
	r = vireo_tdp_reach(mmu, &vcpu->mmu_cache, odd->gfn, 1, &e);
	if (r < 0) {
		r = MAP_NO_PAGE;
		goto unlock;
	}
	old = READ_ONCE(*e);
	if (r > 1 || (old && ((old ^ new) & format->address))) {
		r = MAP_CONFLICT;
		goto unlock;
	}
	mem = vireo_mem_find(odd->map, odd->gfn);
	if (odd->writable && !WARN_ON_ONCE(!mem))
		vireo_track_mark(vcpu, mem, odd->gfn);
	if (try_cmpxchg64(e, &old, old | new)) {
		if (!old)
			atomic_long_inc(&mmu->pages[1]);
		vireo_count_fault(vcpu, odd->writable ? VIREO_ACCESS_WRITE : VIREO_ACCESS_READ);
	}
	r = VIREO_FAULT_FIXED;
unlock:
	read_unlock(&mmu->lock);
	return r;
}

/* Frame of a VM_PFNMAP mapping; 0 or negative errno. */
static int pfnmap_frame(struct mm_struct *mm, unsigned long hva, bool write, unsigned long *pfn,
			bool *writable)
{
	struct vm_area_struct *vma;
	bool unlocked = false;
	int r = -EFAULT;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = find_vma(mm, hva);
	if (!vma || hva < vma->vm_start || !(vma->vm_flags & (VM_IO | VM_PFNMAP)))
		goto unlock;
	r = vireo_follow_pfn(vma, hva, pfn, writable);
	if (r || (write && !*writable)) {
		r = fixup_user_fault(mm, hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
		/* Mapped now, perhaps in another VMA: look again. */
		if (!r)
			r = -EAGAIN;
	}
unlock:
	mmap_read_unlock(mm);
	return r;
}

/* Not memory that the host caches: the processor must not either. */
static bool frame_is_device(unsigned long pfn)
{
	return !pfn_valid(pfn) || PageReserved(pfn_to_page(pfn));
}

int vireo_bring_in(struct vireo_vcpu *vcpu, const struct vireo_mem_map *map, u64 gfn,
		   unsigned long hva, bool write, bool force, vireo_map_odd odd, void *data)
{
	struct vireo_vm *vm = vcpu->vm;
	unsigned int flags = FOLL_HWPOISON | VIREO_FOLL_INTERRUPTIBLE | VIREO_FOLL_NUMA;
	struct vireo_odd found = { .map = map, .gfn = gfn, .hva = hva, .writable = write };
	struct page *page;
	bool writable;
	long n;
	int r;

	found.seq = READ_ONCE(vm->mmu.invalidate_seq);
	/* Read before the frame is looked up; pairs with the lock that notifier_end() releases. */
	smp_rmb();

	if (write)
		flags |= FOLL_WRITE;
	n = get_user_pages_unlocked(hva, 1, &page, flags);
	if (n == 1) {
		r = MAP_BUSY;
		if (force) {
			if (write)
				set_page_dirty_lock(page);
			found.pfn = page_to_pfn(page);
			r = odd(vcpu, &found, data);
		}
		put_page(page);
		return r;
	}
	if (n == -EFAULT) {
		n = pfnmap_frame(vm->mm, hva, write, &found.pfn, &writable);
		if (!n) {
			found.device = frame_is_device(found.pfn);
			return odd(vcpu, &found, data);
		}
	}
	if (!n || n == -EAGAIN)
		return MAP_BUSY;
	if (n == -EINTR || n == -ERESTARTSYS || fatal_signal_pending(current))
		return VIREO_FAULT_SIGNAL;
	if (n == -ENOMEM)
		return VIREO_FAULT_NOMEM;
	snprintf(vcpu->run->error, sizeof(vcpu->run->error),
		 "guest memory at %#llx cannot be %s: user address %#lx %s",
		 gfn << PAGE_SHIFT, write ? "written" : "read", hva,
		 n == -EHWPOISON ? "has failed in hardware" :
		 n == -EFAULT ? "is not mapped with that right" : "cannot be brought in");
	return VIREO_FAULT_ERROR;
}

enum vireo_fault vireo_mmu_fault(struct vireo_vcpu *vcpu, u64 gpa, u32 access)
{
	struct vireo_vm *vm = vcpu->vm;
	struct vireo_mmu *mmu = &vm->mmu;
	const bool write = access & VIREO_ACCESS_WRITE;
	u64 gfn = gpa >> PAGE_SHIFT;
	int round, r;

	might_sleep();
	for (round = 0; ; round++) {
		const struct vireo_mem_map *map = vireo_mem_map(vm);
		const struct vireo_mem *mem = fault_region(vcpu, map, gfn, access);

		if (!mem)
			return VIREO_FAULT_MMIO;
		if (cache_fill(&vcpu->mmu_cache))
			return VIREO_FAULT_NOMEM;
		if (write && mem->track) {
			r = vireo_rollback_keep_fault(vcpu, mem, gfn);
			if (r)
				return r;
		}

		/* The lock first: its holder may need our CPU to take interrupts. */
		read_lock(&mmu->lock);
		local_irq_disable();
		r = map_resident(vcpu, map, mem, gfn, access);
		local_irq_enable();
		read_unlock(&mmu->lock);

		/*
		 * If the host keeps saying that the page is there and we do not see it, take
		 * its word.
		 */
		if (r == MAP_ABSENT || r == MAP_ODD)
			r = vireo_bring_in(vcpu, map, gfn, vireo_mem_hva(mem, gfn), write,
					   r == MAP_ODD || round >= MAP_ROUNDS, map_odd, NULL);
		if (r == MAP_CONFLICT)
			vireo_mmu_zap_gfns(vm, gfn, gfn + 1);
		if (r <= VIREO_FAULT_SIGNAL)
			return r;
		if (round ? signal_pending(current) : fatal_signal_pending(current))
			return VIREO_FAULT_SIGNAL;
		cond_resched();
	}
}

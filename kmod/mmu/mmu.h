/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The allocator: who maps which host page where in the guest.
 *
 *  walk.c      guest page-table walker (all paging modes)
 *  mmu.c       life of a VM's tables; ranges dropped, regions published
 *  tdp.c       two-dimensional tables: EPT and NPT
 *  fault.c     nested page fault: user page found, mapped
 *  track.c     which pages were written
 *  rollback.c  pages kept for snapshots, and copied back
 *  notifier.c  host takes pages back
 *
 * Documentation/mmu.rst has the design and the argument why it is safe.
 */
#ifndef VIREO_MMU_H
#define VIREO_MMU_H

#include "../backend.h"

/*
 * VM life.  create: no vCPU yet, regions are there; also registers the notifier on vm->mm (current->mm).
 * destroy: after vireo_backend_vm_flush_free(), *before* the vCPUs are freed, because a notifier
 * that still runs looks at them; unregisters and frees all tables.
 */
int vireo_mmu_create(struct vireo_vm *vm);
int vireo_mmu_vcpu_create(struct vireo_vcpu *vcpu);	/* vcpu->vm is set */
void vireo_mmu_destroy(struct vireo_vm *vm);
void vireo_mmu_vcpu_destroy(struct vireo_vcpu *vcpu);	/* frees the page cache */

/* Module load: whatever tables of bits depend on vireo_caps. */
int vireo_mmu_setup(void);
void vireo_mmu_teardown(void);

/**
 * enum vireo_fault - outcome of a nested page fault
 * @VIREO_FAULT_FIXED: mapped (or somebody else did): enter again
 * @VIREO_FAULT_MMIO: no region, or a write to a read-only region: interpret
 * @VIREO_FAULT_RETRY: not now (invalidation in progress, page not resident in the _fast form)
 * @VIREO_FAULT_ERROR: user memory is not there (-EFAULT to user space, vcpu->run->error says which gpa)
 * @VIREO_FAULT_NOMEM: no memory for a table page
 * @VIREO_FAULT_SIGNAL: a signal came while the page was being brought in
 */
enum vireo_fault {
	VIREO_FAULT_FIXED,
	VIREO_FAULT_MMIO,
	VIREO_FAULT_RETRY,
	VIREO_FAULT_ERROR,
	VIREO_FAULT_NOMEM,
	VIREO_FAULT_SIGNAL,
};

/**
 * vireo_mmu_fault() - resolve a nested page fault
 * @vcpu: vCPU, in its own thread and mm, interrupts on, under vm->srcu; may sleep
 * @gpa: guest-physical address
 * @access: VIREO_ACCESS_READ/WRITE/EXEC
 */
enum vireo_fault vireo_mmu_fault(struct vireo_vcpu *vcpu, u64 gpa, u32 access);

/**
 * vireo_mmu_fault_fast() - the same with interrupts off, if the host page is resident
 *
 * Never sleeps, uses pages that the per-vCPU cache holds; VIREO_FAULT_RETRY: use vireo_mmu_fault().
 * VIREO_FAULT_MMIO is final here too: MMIO exits need no slow path.
 */
enum vireo_fault vireo_mmu_fault_fast(struct vireo_vcpu *vcpu, u64 gpa, u32 access);

/**
 * vireo_mmu_zap_gfns() - drop all mappings of a guest range, flush, free tables
 * @vm: VM
 * @start: first gfn
 * @end: gfn after the last
 *
 * For deleted or replaced regions; after it returns no vCPU reaches the old pages,
 * and a fault that looked the region up before has noticed and retried.
 */
void vireo_mmu_zap_gfns(struct vireo_vm *vm, u64 start, u64 end);

/**
 * vireo_mmu_publish() - replace the regions of a VM and drop the mappings that this ends
 * @vm: VM, vm->lock held
 * @map: new regions
 * @start: first gfn that loses its mapping
 * @end: gfn after the last; @start if only something was added
 *
 * Both in one step for faults and notifiers.  After it returns, as vireo_mmu_zap_gfns(); and
 * whoever used the old map with interrupts off on a vCPU has ended.
 */
void vireo_mmu_publish(struct vireo_vm *vm, struct vireo_mem_map *map, u64 start, u64 end);

/**
 * struct vireo_walk - result of a guest page-table walk
 * @gpa: guest-physical address of the byte at @gva
 * @page_size: 4096, 2 MiB, 4 MiB or 1 GiB
 * @level: level of the entry that maps it, 1 to 3
 * @pte_access: what the tables allow: VIREO_ACCESS_READ/WRITE/EXEC/USER
 * @error: page-fault error code if the walk failed
 */
struct vireo_walk {
	u64 gpa;
	u64 page_size;
	u8 level;
	u32 pte_access;
	u32 error;
};

/**
 * vireo_walk() - translate a guest linear address as the processor would
 * @vcpu: vCPU
 * @mode: from vireo_backend_read_mode()
 * @gva: linear address
 * @access: VIREO_ACCESS_* of the access, _USER for CPL 3, 0 for a debugger's look (no permission check, no A/D bits set)
 * @nofault: interrupts are off: guest tables that are not resident give -EAGAIN
 * @walk: result
 *
 * Sets accessed and dirty bits in the guest's tables (cmpxchg on user memory) when the
 * architecture does.
 *
 * Return: 0; -EFAULT (page fault with walk->error); -EAGAIN; -ENXIO (a table, at walk->gpa, lies outside
 * all regions or in user memory that is not there).
 */
int vireo_walk(struct vireo_vcpu *vcpu, const struct vireo_mode *mode, u64 gva, u32 access,
	       bool nofault, struct vireo_walk *walk);

/* Levels of the deepest tables */
#define VIREO_WALK_LEVELS	5

/**
 * struct vireo_walk_entry - an entry that a walk used
 * @value: as it was read, before the walk set accessed and dirty bits
 * @gpa: where it is
 */
struct vireo_walk_entry {
	u64 value;
	u64 gpa;
};

/**
 * vireo_walk_path() - as vireo_walk() with paging on, and say by which entries
 * @vcpu: vCPU
 * @mode: from vireo_backend_read_mode()
 * @gva: linear address
 * @access: as vireo_walk()
 * @nofault: as vireo_walk()
 * @walk: result
 * @entries: result if the walk succeeds: VIREO_WALK_LEVELS, from walk->level (less 1) up
 *
 * Return: as vireo_walk().
 */
int vireo_walk_path(struct vireo_vcpu *vcpu, const struct vireo_mode *mode, u64 gva, u32 access,
		    bool nofault, struct vireo_walk *walk, struct vireo_walk_entry *entries);

/* ------------------------------------------------------------------ */
/* Shadow tables                                                        */

/**
 * vireo_mmu_load_root() - have the processor walk the right tables
 * @vcpu: loaded; interrupts on (under vm->srcu) or off
 *
 * Answers VIREO_REQ_ROOT, which is set when the guest's paging mode or CR3 changed or it has flushed, and a shadow root
 * was cut off.  Without shadow tables there is nothing to do.
 *
 * Return: 0; -EAGAIN: again, with interrupts on if they were off; -ENOMEM.
 */
int vireo_mmu_load_root(struct vireo_vcpu *vcpu);

/* Something was dropped: all TLBs; mmu->lock held for writing, interrupts on. */
void vireo_mmu_flush_all(struct vireo_vm *vm);

/* A fault has mapped something, or given more rights. */
static __always_inline void vireo_count_fault(struct vireo_vcpu *vcpu, u32 access)
{
	vcpu->counters.faults[access & (VIREO_ACCESS_READ | VIREO_ACCESS_WRITE | VIREO_ACCESS_EXEC)]++;
}

/**
 * vireo_mmu_flush() - the guest has flushed its TLB, or changed what its translations depend on
 * @vcpu: loaded
 */
static inline void vireo_mmu_flush(struct vireo_vcpu *vcpu)
{
	if (vcpu->vm->mmu.shadow)
		vireo_request_set(vcpu, VIREO_REQ_ROOT);
	else
		vireo_backend_flush(vcpu);
}

/**
 * vireo_mmu_invlpg() - INVLPG
 * @vcpu: loaded; interrupts on or off
 * @gva: linear address
 *
 * Return: 0; -EAGAIN: interrupts must be on.
 */
int vireo_mmu_invlpg(struct vireo_vcpu *vcpu, u64 gva);

/**
 * vireo_shadow_fault() - resolve a page fault of a guest on shadow tables
 * @vcpu: own thread; interrupts off, or on under vm->srcu
 * @gva: linear address
 * @error: the processor's error code
 * @gpa: result with VIREO_FAULT_MMIO: guest-physical address, or VIREO_EMU_NO_GPA
 *
 * Return: as vireo_mmu_fault(); VIREO_FAULT_FIXED also if the fault is the guest's and was queued for it;
 * VIREO_FAULT_MMIO also for writes to the guest's tables: interpret.
 */
enum vireo_fault vireo_shadow_fault(struct vireo_vcpu *vcpu, u64 gva, u32 error, u64 *gpa);

/* mmu->lock for writing; with interrupts off it is only tried: false. */
bool __vireo_shadow_lock(struct vireo_vm *vm);
#define vireo_shadow_lock(vm) __cond_lock(&(vm)->mmu.lock, __vireo_shadow_lock(vm))

/* The module has written guest memory, lock held since before: shadows of tables there follow. */
void vireo_shadow_written(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gpa, u32 len);

/* For mmu.c and region.c */
int vireo_shadow_create(struct vireo_vm *vm);
void vireo_shadow_destroy(struct vireo_vm *vm);
int vireo_shadow_vcpu_create(struct vireo_vcpu *vcpu);
void vireo_shadow_vcpu_destroy(struct vireo_vcpu *vcpu);
int vireo_shadow_load(struct vireo_vcpu *vcpu);
/* The processor walks the guest's own tables from now on; false: with interrupts on. */
bool vireo_shadow_unload(struct vireo_vcpu *vcpu);
int vireo_shadow_invlpg(struct vireo_vcpu *vcpu, u64 gva);
/* Reverse maps for a new region, not yet published; 0, -EINVAL (address too high), -ENOMEM. */
int vireo_shadow_add_region(struct vireo_vm *vm, struct vireo_mem *mem);
void vireo_shadow_free_region(struct vireo_mem *mem);
/* Under the lock for writing: drop what maps frames of a region, or follows tables there.  True: flush. */
bool vireo_shadow_zap(struct vireo_vm *vm, const struct vireo_mem *mem, u64 start, u64 end);
/*
 * Frames of @mem lose the right to be written: all, or those with a bit; mmu->lock held for writing, no flush.  With mmu->dirty_bits
 * small mappings lose their dirty bit as well, or, if @keep, only that.  If @tell, consumers hear of those that
 * were dirty.  Return: true if anything was taken away.
 */
bool vireo_shadow_protect(struct vireo_vm *vm, const struct vireo_mem *mem, u64 start, u64 end, bool keep, bool tell);
void vireo_shadow_protect_word(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn, unsigned long bits);
void vireo_shadow_zap_all(struct vireo_vm *vm);
/* The launcher may have written to tables: drop all that follows them; interrupts on. */
void vireo_shadow_forget(struct vireo_vm *vm);
/* Flush, for those who have dropped something; lock for writing, interrupts on. */
void vireo_shadow_flush(struct vireo_vm *vm);
bool vireo_shadow_young(struct vireo_vm *vm, const struct vireo_mem *mem, u64 start, u64 end,
			bool clear);

/* shrink.c: the host wants the memory of shadow pages back; module load and unload. */
int vireo_shadow_shrinker_create(void);
void vireo_shadow_shrinker_destroy(void);

/* Shadow pages that could be given back, spare ones included; no lock. */
unsigned long vireo_shadow_pages(const struct vireo_vm *vm);

/* Memory beside the tables that mmu.pages counts: of a VM, and of a region. */
u64 vireo_shadow_bytes(const struct vireo_vm *vm);
u64 vireo_shadow_frames_bytes(const struct vireo_mem *mem);

/**
 * vireo_shadow_shrink() - give shadow pages back to the host
 * @vm: VM with shadow tables
 * @nr: how many
 *
 * Takes no lock that it would have to wait for.
 *
 * Return: how many were freed.
 */
unsigned long vireo_shadow_shrink(struct vireo_vm *vm, unsigned long nr);

/**
 * vireo_shadow_check() - VIREO_CHECK
 * @vm: VM, of whose mm the caller is
 * @check: size is given, the rest result
 *
 * Return: 0, -EOPNOTSUPP (no shadow tables).
 */
int vireo_shadow_check(struct vireo_vm *vm, struct vireo_check *check);

/* The same where the host is made for finding mistakes: a violation ends the VM; lock for writing. */
#if IS_ENABLED(CONFIG_KASAN)
void vireo_shadow_check_now(struct vireo_vm *vm);
#else
static inline void vireo_shadow_check_now(struct vireo_vm *vm)
{
}
#endif

#endif /* VIREO_MMU_H */

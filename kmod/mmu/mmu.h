/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The allocator: who maps which host page where in the guest.
 *
 *  walk.c      guest page-table walker (all paging modes)
 *  mmu.c       life of a VM's tables; ranges dropped, regions published
 *  tdp.c       two-dimensional tables: EPT and NPT
 *  fault.c     nested page fault: user page found, mapped
 *  notifier.c  host takes pages back
 *
 * Documentation/mmu.rst has the design and the argument why it is safe.
 */
#ifndef VIREO_MMU_H
#define VIREO_MMU_H

#include "../vireo.h"

/*
 * VM life.  create: no vCPU yet, regions are there; also registers the notifier on vm->mm (current->mm).
 * destroy: after vireo_backend_vm_flush_free(), *before* the vCPUs are freed, because a notifier
 * that still runs looks at them; unregisters and frees all tables.
 */
int vireo_mmu_create(struct vireo_vm *vm);
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
 * vireo_mmu_invlpg() - INVLPG
 * @vcpu: loaded; interrupts on or off
 * @gva: linear address
 *
 * Return: 0; -EAGAIN: interrupts must be on.
 */
int vireo_mmu_invlpg(struct vireo_vcpu *vcpu, u64 gva);

/**
 * struct vireo_walk - result of a guest page-table walk
 * @gpa: guest-physical address of the byte at @gva
 * @page_size: 4096, 2 MiB, 4 MiB or 1 GiB
 * @pte_access: what the tables allow: VIREO_ACCESS_READ/WRITE/EXEC/USER
 * @error: page-fault error code if the walk failed
 */
struct vireo_walk {
	u64 gpa;
	u64 page_size;
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
 * Return: 0; -EFAULT (page fault with walk->error); -EAGAIN; -ENXIO (a table lies outside all regions).
 */
int vireo_walk(struct vireo_vcpu *vcpu, const struct vireo_mode *mode, u64 gva, u32 access,
	       bool nofault, struct vireo_walk *walk);

#endif /* VIREO_MMU_H */

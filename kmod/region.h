/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory regions: guest-physical ranges that are the launcher's user memory.
 *
 * The regions of a VM form one sorted array that is replaced as a whole.  Look-ups
 * and copies are declared in vireo.h.
 */
#ifndef VIREO_REGION_H
#define VIREO_REGION_H

#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>

#include "vireo.h"

/* A VM's life: no region; no vCPU and no MMU notifier are left at the end. */
int vireo_regions_create(struct vireo_vm *vm);
void vireo_regions_destroy(struct vireo_vm *vm);

/**
 * vireo_region_set() - fill or replace a slot
 * @vm: VM, vm->lock held
 * @arg: the launcher's wish, copied in; its size was checked
 *
 * On return vCPUs see the new region and nothing of what it replaced.
 *
 * Return: 0, -EINVAL, -EBUSY, -EEXIST, -ENOMEM; then nothing has changed.
 */
int vireo_region_set(struct vireo_vm *vm, const struct vireo_region *arg);

/**
 * vireo_region_delete() - empty a slot
 * @vm: VM, vm->lock held
 * @slot: slot
 *
 * On return neither a vCPU nor the module reaches the region's memory any more.
 *
 * Return: 0, -EINVAL, -ENOENT, -EBUSY, -ENOMEM; then nothing has changed.
 */
int vireo_region_delete(struct vireo_vm *vm, u32 slot);

/* The region in a slot, NULL if that is empty; vm->lock held. */
const struct vireo_mem *vireo_region_find(struct vireo_vm *vm, u32 slot);

/**
 * vireo_region_track() - have other consumers follow a region
 * @vm: VM, vm->lock held
 * @mem: region
 * @track: consumers, NULL: none
 * @drop: also drop all that is mapped of it
 *
 * On return nobody uses @mem or what it pointed to, which is freed but for the consumers themselves.
 *
 * Return: 0, -ENOMEM; then nothing has changed.
 */
int vireo_region_track(struct vireo_vm *vm, const struct vireo_mem *mem, struct vireo_track *track,
		       bool drop);

/* vireo_mem_map() where it is called often. */
static __always_inline const struct vireo_mem_map *vireo_mem_map_inline(struct vireo_vm *vm)
{
	return rcu_dereference_check(vm->mem, srcu_read_lock_held(&vm->srcu) ||
				     lockdep_is_held(&vm->lock) || irqs_disabled());
}

/* User address of a guest frame inside @mem.  The guest chose @gfn: not even speculatively outside. */
static __always_inline unsigned long vireo_mem_hva(const struct vireo_mem *mem, u64 gfn)
{
	return mem->hva + (array_index_nospec(gfn - mem->gfn, mem->pages) << PAGE_SHIFT);
}

static __always_inline bool vireo_mem_holds(const struct vireo_mem *mem, u64 gfn)
{
	return gfn - mem->gfn < mem->pages;
}

/* vireo_vcpu_mem() for those who hold the map already. */
static __always_inline const struct vireo_mem *
vireo_mem_lookup(struct vireo_vcpu *vcpu, const struct vireo_mem_map *map, u64 gfn)
{
	const struct vireo_mem *mem;

	if (likely(vcpu->last_mem_gen == map->gen) && vireo_mem_holds(vcpu->last_mem, gfn))
		return vcpu->last_mem;
	mem = vireo_mem_find(map, gfn);
	if (mem) {
		vcpu->last_mem = mem;
		vcpu->last_mem_gen = map->gen;
	}
	return mem;
}

/* Copy between the kernel and user memory that is a region's; may sleep.  False: not accessible. */
bool vireo_hva_read16(unsigned long hva, u64 data[2]);
bool vireo_hva_read(unsigned long hva, void *data, size_t len);
bool vireo_hva_write(unsigned long hva, const void *data, size_t len);

#endif /* VIREO_REGION_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM's nested tables: their life, and dropping parts of them.
 *
 * Locking: mmu->lock held for writing for all that removes mappings or publishes
 * regions; the flush of all TLBs is inside of it, see notifier.c.
 */
#include <linux/cpufeature.h>
#include <linux/gfp.h>
#include <linux/mem_encrypt.h>
#include <linux/mmu_notifier.h>
#include <linux/rcupdate.h>

#include "../backend.h"
#include "mmu.h"
#include "notifier.h"
#include "tdp.h"
#include "track.h"

static struct vireo_tdp_format host_format __ro_after_init;

int __init vireo_mmu_setup(void)
{
	u64 encrypt = vireo_caps.vendor == VIREO_VENDOR_AMD ? sme_me_mask : 0;

	if (!vireo_caps.nested_paging)
		return vireo_shadow_shrinker_create();
	if (WARN_ON(vireo_caps.root_levels < 4 || vireo_caps.root_levels > TDP_MAX_ROOT ||
		    vireo_caps.max_level < 1))
		return -EINVAL;
	vireo_tdp_format(&host_format, &vireo_caps, boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT),
			 encrypt);
	return vireo_shadow_shrinker_create();
}

void vireo_mmu_teardown(void)
{
	vireo_shadow_shrinker_destroy();
}

int vireo_mmu_create(struct vireo_vm *vm)
{
	struct vireo_mmu *mmu = &vm->mmu;
	int r;

	rwlock_init(&mmu->lock);
	mmu->levels = TDP_MAX_ROOT;
	if (vireo_caps.nested_paging) {
		r = vireo_tdp_create(mmu, &host_format);
		if (r)
			return r;
	}
	if (!vireo_caps.nested_paging || vireo_caps.shadow_unpaged) {
		r = vireo_shadow_create(vm);
		if (r)
			goto tdp;
	}
	mmu->log = vireo_caps.dirty_log && !mmu->shadow;
	mmu->dirty_bits = vireo_caps.dirty_bits;
	mmu->notifier.ops = &vireo_notifier_ops;
	r = mmu_notifier_register(&mmu->notifier, vm->mm);
	if (r)
		goto shadow;
	return 0;
shadow:
	vireo_shadow_destroy(vm);
tdp:
	vireo_tdp_destroy(mmu);
	return r;
}

void vireo_mmu_destroy(struct vireo_vm *vm)
{
	struct vireo_mmu *mmu = &vm->mmu;

	/* For the last time that the host's tables are known. */
	write_lock(&mmu->lock);
	vireo_shadow_check_now(vm);
	write_unlock(&mmu->lock);
	/*
	 * Waits for callbacks that run, also if the mm has gone and has called release
	 * already.  Our caller holds no lock that a callback could want.
	 */
	mmu_notifier_unregister(&mmu->notifier, vm->mm);
	vireo_shadow_destroy(vm);
	vireo_tdp_destroy(mmu);
}

int vireo_mmu_vcpu_create(struct vireo_vcpu *vcpu)
{
	if (vcpu->vm->mmu.logging)
		vireo_request_set(vcpu, VIREO_REQ_LOG);
	/* Paging is off after RESET. */
	vcpu->shadow.on = vcpu->vm->mmu.shadow;
	if (vcpu->shadow.on)
		vireo_request_set(vcpu, VIREO_REQ_ROOT);
	return vireo_shadow_vcpu_create(vcpu);
}

void vireo_mmu_vcpu_destroy(struct vireo_vcpu *vcpu)
{
	struct vireo_mmu_cache *cache = &vcpu->mmu_cache;

	vireo_shadow_vcpu_destroy(vcpu);
	while (cache->nr)
		free_page((unsigned long)cache->pages[--cache->nr]);
}

/* From all tables, and regions that hold the range; lock held for writing.  True: flush. */
static bool zap_gfns(struct vireo_vm *vm, u64 start, u64 end, struct list_head *cut)
{
	const struct vireo_mem_map *map = rcu_dereference_protected(vm->mem,
								    lockdep_is_held(&vm->mmu.lock));
	bool found = false;
	u32 i;

	for (i = 0; i < map->nr; i++)
		vireo_track_before_zap(vm, &map->mem[i], start, end);
	if (vm->mmu.root)
		found = vireo_tdp_zap(&vm->mmu, start, end, cut);
	for (i = 0; vm->mmu.shadow && i < map->nr; i++)
		found |= vireo_shadow_zap(vm, &map->mem[i], start, end);
	return found;
}

void vireo_mmu_flush_all(struct vireo_vm *vm)
{
	if (vm->mmu.shadow)
		vireo_shadow_flush(vm);
	else
		vireo_request_all(vm, VIREO_REQ_FLUSH);
}

void vireo_mmu_zap_gfns(struct vireo_vm *vm, u64 start, u64 end)
{
	struct vireo_mmu *mmu = &vm->mmu;
	LIST_HEAD(cut);

	write_lock(&mmu->lock);
	if (zap_gfns(vm, start, end, &cut))
		vireo_mmu_flush_all(vm);
	write_unlock(&mmu->lock);
	vireo_tdp_free(mmu, &cut, true);
}

void vireo_mmu_publish(struct vireo_vm *vm, struct vireo_mem_map *map, u64 start, u64 end)
{
	struct vireo_mmu *mmu = &vm->mmu;
	LIST_HEAD(cut);

	write_lock(&mmu->lock);
	/* Reverse maps are those of the old regions, and go with them. */
	if (start < end)
		zap_gfns(vm, start, end, &cut);
	rcu_assign_pointer(vm->mem, map);
	/*
	 * With something removed, ask all even if nothing was mapped: the request also
	 * waits for those who use the old map with interrupts off.
	 */
	if (start < end)
		vireo_mmu_flush_all(vm);
	write_unlock(&mmu->lock);
	vireo_tdp_free(mmu, &cut, true);
}

int vireo_mmu_load_root(struct vireo_vcpu *vcpu)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	bool on;

	if (!vcpu->vm->mmu.shadow)
		return 0;
	on = !vireo_caps.nested_paging || !(vireo_backend_get_cr(vcpu, 0) & X86_CR0_PG);
	if (on != sv->on) {
		if (on)
			vcpu->cr3 = vireo_backend_get_cr(vcpu, 3);
		sv->on = on;
	}
	if (on)
		return vireo_shadow_load(vcpu);
	if (!vireo_shadow_unload(vcpu))
		return -EAGAIN;
	vireo_backend_set_root(vcpu);
	vireo_backend_flush(vcpu);
	return 0;
}

int vireo_mmu_invlpg(struct vireo_vcpu *vcpu, u64 gva)
{
	if (vcpu->shadow.on)
		return vireo_shadow_invlpg(vcpu, gva);
	vireo_backend_flush(vcpu);
	return 0;
}

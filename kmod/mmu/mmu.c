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

static struct vireo_tdp_format host_format __ro_after_init;

int __init vireo_mmu_setup(void)
{
	u64 encrypt = vireo_caps.vendor == VIREO_VENDOR_AMD ? sme_me_mask : 0;

	if (WARN_ON(vireo_caps.root_levels < 4 || vireo_caps.root_levels > TDP_MAX_ROOT ||
		    vireo_caps.max_level < 1))
		return -EINVAL;
	vireo_tdp_format(&host_format, &vireo_caps, boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT),
			 encrypt);
	return 0;
}

void vireo_mmu_teardown(void)
{
}

int vireo_mmu_create(struct vireo_vm *vm)
{
	struct vireo_mmu *mmu = &vm->mmu;
	int r;

	rwlock_init(&mmu->lock);
	r = vireo_tdp_create(mmu, &host_format);
	if (r)
		return r;
	mmu->notifier.ops = &vireo_notifier_ops;
	r = mmu_notifier_register(&mmu->notifier, vm->mm);
	if (r)
		vireo_tdp_destroy(mmu);
	return r;
}

void vireo_mmu_destroy(struct vireo_vm *vm)
{
	struct vireo_mmu *mmu = &vm->mmu;

	/*
	 * Waits for callbacks that run, also if the mm has gone and has called release
	 * already.  Our caller holds no lock that a callback could want.
	 */
	mmu_notifier_unregister(&mmu->notifier, vm->mm);
	vireo_tdp_destroy(mmu);
}

void vireo_mmu_vcpu_destroy(struct vireo_vcpu *vcpu)
{
	struct vireo_mmu_cache *cache = &vcpu->mmu_cache;

	while (cache->nr)
		free_page((unsigned long)cache->pages[--cache->nr]);
}

void vireo_mmu_zap_gfns(struct vireo_vm *vm, u64 start, u64 end)
{
	struct vireo_mmu *mmu = &vm->mmu;
	LIST_HEAD(cut);

	write_lock(&mmu->lock);
	if (vireo_tdp_zap(mmu, start, end, &cut))
		vireo_request_all(vm, VIREO_REQ_FLUSH);
	write_unlock(&mmu->lock);
	vireo_tdp_free(mmu, &cut, true);
}

void vireo_mmu_publish(struct vireo_vm *vm, struct vireo_mem_map *map, u64 start, u64 end)
{
	struct vireo_mmu *mmu = &vm->mmu;
	LIST_HEAD(cut);

	write_lock(&mmu->lock);
	rcu_assign_pointer(vm->mem, map);
	/*
	 * With something removed, ask all even if nothing was mapped: the request also
	 * waits for those who use the old map with interrupts off.
	 */
	if (start < end) {
		vireo_tdp_zap(mmu, start, end, &cut);
		vireo_request_all(vm, VIREO_REQ_FLUSH);
	}
	write_unlock(&mmu->lock);
	vireo_tdp_free(mmu, &cut, true);
}

/* The guest's own tables are walked by the processor: what it has cached goes. */
int vireo_mmu_invlpg(struct vireo_vcpu *vcpu, u64 gva)
{
	vireo_backend_flush(vcpu);
	return 0;
}

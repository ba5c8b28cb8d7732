// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow pages go back to a host that is short of memory, oldest first.
 *
 * They are a cache: what is missing is built again at the next fault.  Those that vCPUs have as roots stay.
 *
 * Locking: an allocation anywhere may end up here, so vireo_vms_lock and mmu->lock are only tried.
 */
#include <linux/mm.h>
#include <linux/shrinker.h>

#include "../compat.h"
#include "../core.h"
#include "mmu.h"

static struct shrinker *shrinker;

static unsigned long shrink_count(struct shrinker *unused, struct shrink_control *control)
{
	unsigned long pages = 0;
	struct vireo_vm *vm;

	if (!mutex_trylock(&vireo_vms_lock))
		return 0;
	list_for_each_entry(vm, &vireo_vms, list) {
		if (vm->mmu.shadow)
			pages += vireo_shadow_pages(vm);
	}
	mutex_unlock(&vireo_vms_lock);
	return pages ?: SHRINK_EMPTY;
}

static unsigned long shrink_scan(struct shrinker *unused, struct shrink_control *control)
{
	unsigned long freed = 0;
	struct vireo_vm *vm;

	if (!mutex_trylock(&vireo_vms_lock))
		return SHRINK_STOP;
	/* New ones are at the front. */
	list_for_each_entry_reverse(vm, &vireo_vms, list) {
		if (freed >= control->nr_to_scan)
			break;
		if (vm->mmu.shadow)
			freed += vireo_shadow_shrink(vm, control->nr_to_scan - freed);
	}
	mutex_unlock(&vireo_vms_lock);
	return freed ?: SHRINK_STOP;
}

int vireo_shadow_shrinker_create(void)
{
	shrinker = vireo_shrinker_create("vireo-shadow", shrink_count, shrink_scan);
	return shrinker ? 0 : -ENOMEM;
}

void vireo_shadow_shrinker_destroy(void)
{
	vireo_shrinker_destroy(shrinker);
}

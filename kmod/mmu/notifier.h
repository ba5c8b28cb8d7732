/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host takes pages back: what notifier.c offers to mmu.c and fault.c.
 */
#ifndef VIREO_NOTIFIER_H
#define VIREO_NOTIFIER_H

#include "../vireo.h"

extern const struct mmu_notifier_ops vireo_notifier_ops;

/* Is some invalidation of a user range in progress?  mmu->lock held. */
static __always_inline bool vireo_invalidating(const struct vireo_mmu *mmu, unsigned long start,
					       unsigned long end)
{
	return unlikely(mmu->invalidate_busy) && start < mmu->invalidate_end &&
	       end > mmu->invalidate_start;
}

#endif /* VIREO_NOTIFIER_H */

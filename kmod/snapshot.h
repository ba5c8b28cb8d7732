/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Snapshots of a VM, to which it can go back: the ioctls, and the state of vCPUs.
 *
 * Documentation/snapshots.rst; memory is kmod/mmu/rollback.c's.
 */
#ifndef VIREO_SNAPSHOT_H
#define VIREO_SNAPSHOT_H

#include "vireo.h"

/* What struct vireo_snapshot says; @arg is copied back also with -EIO and -EFAULT. */
int vireo_snapshot_take(struct vireo_vm *vm, struct vireo_snapshot *arg);
int vireo_snapshot_back(struct vireo_vm *vm, struct vireo_snapshot *arg);
int vireo_snapshot_drop(struct vireo_vm *vm, const struct vireo_snapshot *arg);

/* The VM goes, nobody uses it any more. */
void vireo_snapshot_destroy(struct vireo_vm *vm);

#endif /* VIREO_SNAPSHOT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rings of dirty pages: what the guest has made dirty on one vCPU, in order, in memory that the launcher maps.
 */
#ifndef VIREO_RING_H
#define VIREO_RING_H

#include "track.h"

struct vm_area_struct;

/**
 * vireo_ring_push() - the guest has made pages dirty that were not marked for a consumer
 * @vcpu: own thread, on which it has
 * @consumer: which
 * @slot: region
 * @page: the first of 64 pages of the region
 * @bits: which of them
 */
void vireo_ring_push(struct vireo_vcpu *vcpu, unsigned int consumer, u32 slot, u64 page, unsigned long bits);

/**
 * vireo_ring_must_exit() - has the launcher something to do before the guest may make more pages dirty?
 * @vcpu: own thread
 *
 * Return: true: the run page says what.
 */
bool vireo_ring_must_exit(struct vireo_vcpu *vcpu);

/* The guest has made so many pages dirty that were not marked for all consumers. */
void vireo_quota_use(struct vireo_vcpu *vcpu, u32 pages);

/* The launcher's quota for the VIREO_RUN that begins, and what is left of it at the end. */
void vireo_quota_begin(struct vireo_vcpu *vcpu);
void vireo_quota_end(struct vireo_vcpu *vcpu);

/* What the ioctls of these names say; in the vCPU's mutex, and under vm->lock. */
int vireo_ring_set(struct vireo_vcpu *vcpu, const struct vireo_ring_config *arg);
int vireo_ring_reset(struct vireo_vm *vm, struct vireo_ring_reset *arg);

int vireo_ring_mmap(struct vireo_vcpu *vcpu, struct vm_area_struct *vma);

/* The vCPU goes. */
void vireo_ring_free(struct vireo_vcpu *vcpu);

#endif /* VIREO_RING_H */

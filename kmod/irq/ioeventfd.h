/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of ioeventfds, for ioeventfd.c and its tests.
 */
#ifndef VIREO_IOEVENTFD_H
#define VIREO_IOEVENTFD_H

#include "irq.h"

/**
 * struct ioeventfd - one entry
 * @ctx: eventfd, referenced; NULL: free slot
 * @key: port or guest-physical address, the former marked by a bit that no address has
 * @compare: bits of the value that have to equal @match: the whole width, or none
 * @match: value
 * @len: bytes written, 0 for any
 */
struct ioeventfd {
	struct eventfd_ctx *ctx;
	u64 key;
	u64 compare;
	u64 match;
	u32 len;
};

/**
 * struct vireo_ioeventfds - hash table, constant once it is published
 * @bits: logarithm of the number of slots
 * @mask: number of slots - 1
 * @nr: slots in use, at most half
 * @slot: slots
 */
struct vireo_ioeventfds {
	u32 bits;
	u32 mask;
	u32 nr;
	struct ioeventfd slot[];
};

struct ioeventfd *vireo_ioeventfd_find(struct vireo_ioeventfds *table, bool pio, u64 addr, u32 len,
				       u64 data);
struct vireo_ioeventfds *vireo_ioeventfd_build(struct ioeventfd *entries, u32 nr);
int vireo_ioeventfd_check(const struct vireo_ioeventfd *arg, struct ioeventfd *e);

#endif /* VIREO_IOEVENTFD_H */

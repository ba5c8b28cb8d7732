/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of ioeventfds, for ioeventfd.c and its tests.
 */
#ifndef VIREO_IOEVENTFD_H
#define VIREO_IOEVENTFD_H

#include <linux/hash.h>

#include "irq.h"

/* Marks a port among guest-physical addresses, which end long before. */
#define VIREO_IO_PORTS		BIT_ULL(63)

/**
 * struct ioeventfd - one entry
 * @ctx: eventfd, referenced; NULL: free slot
 * @key: port or guest-physical address, the former marked by a bit that no address has
 * @compare: bits of the value that have to equal @match: the whole width, or none
 * @match: value
 * @len: bytes written, 0 for any
 * @pad: the table is indexed by a shift
 */
struct ioeventfd {
	struct eventfd_ctx *ctx;
	u64 key;
	u64 compare;
	u64 match;
	u32 len;
	u32 pad[7];
};

static_assert(sizeof(struct ioeventfd) == 64);

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

/* The entry that a write signals, or NULL. */
static __always_inline struct ioeventfd *
vireo_ioeventfd_find(struct vireo_ioeventfds *table, bool pio, u64 addr, u32 len, u64 data)
{
	u64 key = pio ? addr | VIREO_IO_PORTS : addr;
	u32 i = hash_64(key, table->bits);
	struct ioeventfd *e;

	/* At least half of the slots are free, so the search ends. */
	for (; e = &table->slot[i], e->ctx; i = (i + 1) & table->mask) {
		/* For any value, what is compared and the match are both zero. */
		if (e->key == key && (data & e->compare) == e->match && (e->len == len || !e->len))
			return e;
	}
	return NULL;
}

struct vireo_ioeventfds *vireo_ioeventfd_build(struct ioeventfd *entries, u32 nr);
int vireo_ioeventfd_check(const struct vireo_ioeventfd *arg, struct ioeventfd *e);

#endif /* VIREO_IOEVENTFD_H */

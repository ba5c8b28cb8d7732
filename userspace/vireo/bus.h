/* SPDX-License-Identifier: GPL-2.0-only */
/* A bus: who answers at which port or address. */
#ifndef VIREO_BUS_H
#define VIREO_BUS_H

#include <stdint.h>

#define BUS_RANGES_MAX 64

/**
 * struct bus_ops - what a device does with an access
 * @read: answers a read; @offset counts from the range's start
 * @write: takes a write
 * @width: widest access, in bytes, that the two understand: 1, 2, 4 or 8. Wider
 *	   ones arrive as several, lowest address first, as on an ISA bus.
 *
 * Either may be NULL: reads give all ones, writes are ignored. Both run with
 * the board's lock held.
 */
struct bus_ops {
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned int size);
	void (*write)(void *opaque, uint64_t offset, unsigned int size, uint64_t value);
	unsigned int width;
};

struct bus_range {
	uint64_t start;
	uint64_t last;
	const struct bus_ops *ops;
	void *opaque;
};

/**
 * struct bus - ranges in the order of their addresses
 * @range: the ranges; they do not overlap
 * @nr: how many
 *
 * It is built before the guest runs and does not change afterwards: looking
 * up needs no lock.
 */
struct bus {
	struct bus_range range[BUS_RANGES_MAX];
	unsigned int nr;
};

int bus_claim(struct bus *bus, uint64_t start, uint64_t len, const struct bus_ops *ops,
	      void *opaque);
uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned int size);
void bus_write(const struct bus *bus, uint64_t addr, unsigned int size, uint64_t value);

#endif /* VIREO_BUS_H */

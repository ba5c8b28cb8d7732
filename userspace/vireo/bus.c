// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports and MMIO share this code: a sorted array and a binary search.
 *
 * An access that one device cannot take as a whole, because it is wider than
 * the device or hangs over the end of its range, is cut into smaller ones, as
 * chipsets do. Where nobody answers, reads give all ones and writes vanish.
 */
#include <errno.h>
#include <stddef.h>

#include "bus.h"

/**
 * bus_claim() - put a device on the bus
 * @bus: the bus
 * @start: first port or address
 * @len: how many
 * @ops: what happens there
 * @opaque: handed to @ops
 *
 * Return: 0; -EEXIST if some of the range is taken; -EINVAL for an empty or
 * wrapping range; -ENOSPC if the bus is full.
 */
int bus_claim(struct bus *bus, uint64_t start, uint64_t len, const struct bus_ops *ops,
	      void *opaque)
{
	uint64_t last = start + len - 1;
	unsigned int at, i;

	if (!len || last < start)
		return -EINVAL;
	if (bus->nr == BUS_RANGES_MAX)
		return -ENOSPC;
	for (at = 0; at < bus->nr && bus->range[at].last < start; at++)
		;
	if (at < bus->nr && bus->range[at].start <= last)
		return -EEXIST;
	for (i = bus->nr; i > at; i--)
		bus->range[i] = bus->range[i - 1];
	bus->range[at] = (struct bus_range){ start, last, ops, opaque };
	bus->nr++;
	return 0;
}

static const struct bus_range *find(const struct bus *bus, uint64_t addr)
{
	unsigned int low = 0, high = bus->nr;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;
		const struct bus_range *range = &bus->range[mid];

		if (addr < range->start)
			high = mid;
		else if (addr > range->last)
			low = mid + 1;
		else
			return range;
	}
	return NULL;
}

static uint64_t ones(unsigned int size)
{
	return size >= 8 ? ~0ULL : (1ULL << (8 * size)) - 1;
}

/* Largest access at @addr, up to @size bytes, that stays with one device. */
static unsigned int piece(const struct bus_range *range, uint64_t addr, unsigned int size)
{
	unsigned int width = size;

	while (width > 1 && (width > range->ops->width || addr + (width - 1) > range->last ||
			     width & (width - 1)))
		width--;
	return width;
}

/**
 * bus_read() - carry out a read
 * @bus: the bus
 * @addr: port or address
 * @size: bytes, 1 to 8
 *
 * Return: the value; bits beyond @size are zero.
 */
uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned int size)
{
	uint64_t value = 0;
	unsigned int done = 0;

	while (done < size) {
		const struct bus_range *range = find(bus, addr + done);
		unsigned int n = 1;
		uint64_t part = 0xff;

		if (range) {
			n = piece(range, addr + done, size - done);
			part = ones(n);
			if (range->ops->read)
				part &= range->ops->read(range->opaque,
							 addr + done - range->start, n);
		}
		value |= part << (8 * done);
		done += n;
	}
	return value;
}

/**
 * bus_write() - carry out a write
 * @bus: the bus
 * @addr: port or address
 * @size: bytes, 1 to 8
 * @value: what to write
 */
void bus_write(const struct bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	unsigned int done = 0;

	while (done < size) {
		const struct bus_range *range = find(bus, addr + done);
		unsigned int n = 1;

		if (range) {
			n = piece(range, addr + done, size - done);
			if (range->ops->write)
				range->ops->write(range->opaque, addr + done - range->start, n,
						  (value >> (8 * done)) & ones(n));
		}
		done += n;
	}
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: up to 3 GiB from address 0, what is more from 4 GiB on.
 *
 * The gap holds PCI (pci/pci.h), the IOAPIC and the local APICs. Addresses and
 * lengths come from guests and from kernel images: nobody dereferences guest
 * memory except through these functions, which check both.
 */
#ifndef VIREO_MEMORY_H
#define VIREO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_LOW_MAX		0xc0000000ULL
#define MEMORY_HIGH_BASE	0x100000000ULL
#define MEMORY_MIN		(2ULL << 20)
#define MEMORY_PIECES		2

struct memory_piece {
	uint64_t gpa;
	uint64_t bytes;
	uint8_t *hva;
	void *map;
	size_t map_bytes;
};

/**
 * struct guest_memory - all of it
 * @piece: where it is
 * @nr: how many
 * @total: bytes
 * @page: what the host gives and takes at least: 4 KiB, or the size of huge pages
 */
struct guest_memory {
	struct memory_piece piece[MEMORY_PIECES];
	unsigned int nr;
	uint64_t total;
	uint64_t page;
};

int memory_alloc(struct guest_memory *memory, uint64_t bytes);
int memory_alloc_huge(struct guest_memory *memory, uint64_t bytes, uint64_t page);
void memory_free(struct guest_memory *memory);
void memory_clear(struct guest_memory *memory);
uint64_t memory_discard(const struct guest_memory *memory, void *hva, uint64_t len);
uint64_t memory_low_bytes(const struct guest_memory *memory);
uint64_t memory_end(const struct guest_memory *memory);
void *memory_ptr(const struct guest_memory *memory, uint64_t gpa, uint64_t len);
int memory_write(struct guest_memory *memory, uint64_t gpa, const void *from, uint64_t len);
int memory_read(const struct guest_memory *memory, uint64_t gpa, void *to, uint64_t len);
int memory_zero(struct guest_memory *memory, uint64_t gpa, uint64_t len);

#endif /* VIREO_MEMORY_H */

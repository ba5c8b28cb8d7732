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
#include <sys/uio.h>

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
 * @followers: how many want to hear of what the launcher writes, see memory_follow()
 * @written: tells them; any thread
 * @opaque: handed to @written
 * @discards: told before a range is given back, if memory is still being filled; NULL: it is not
 * @filler: handed to @discards
 */
struct guest_memory {
	struct memory_piece piece[MEMORY_PIECES];
	unsigned int nr;
	uint64_t total;
	uint64_t page;
	unsigned int followers;
	void (*written)(void *opaque, uint64_t gpa, uint64_t bytes);
	void *opaque;
	void (*discards)(void *filler, uint64_t gpa, uint64_t bytes);
	void *filler;
};

int memory_alloc(struct guest_memory *memory, uint64_t bytes);
int memory_alloc_huge(struct guest_memory *memory, uint64_t bytes, uint64_t page);
void memory_free(struct guest_memory *memory);
void memory_clear(struct guest_memory *memory);
uint64_t memory_discard(const struct guest_memory *memory, void *hva, uint64_t len);
int memory_pagemap(void);
bool memory_untouched(int pagemap, const void *hva, uint64_t len);
uint64_t memory_low_bytes(const struct guest_memory *memory);
uint64_t memory_end(const struct guest_memory *memory);
void *memory_ptr(const struct guest_memory *memory, uint64_t gpa, uint64_t len);
int memory_write(struct guest_memory *memory, uint64_t gpa, const void *from, uint64_t len);
int memory_read(const struct guest_memory *memory, uint64_t gpa, void *to, uint64_t len);
int memory_zero(struct guest_memory *memory, uint64_t gpa, uint64_t len);
uint64_t memory_gpa(const struct guest_memory *memory, const void *hva);

/* Those who keep a copy; see memory_written() */
int memory_follow(struct guest_memory *memory);
void memory_unfollow(struct guest_memory *memory);
void memory_tell(const struct guest_memory *memory, const void *hva, uint64_t len);
void memory_tell_all(const struct guest_memory *memory);
void memory_tell_segments(const struct guest_memory *memory, const struct iovec *iov, unsigned int nr, uint64_t beside);

static inline bool memory_is_followed(const struct guest_memory *memory)
{
	/* No later than the writes before it, which is all the compiler needs to know: memory_follow() does the rest. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&memory->followers, __ATOMIC_RELAXED);
}

/**
 * memory_written() - the launcher has written to guest memory
 * @memory: the memory
 * @hva: where, by memory_ptr()
 * @len: how much; may be 0
 *
 * Whoever writes otherwise than by memory_write(), memory_zero(), memory_clear() and memory_discard() calls this after it,
 * and before the machine counts as paused. It costs nothing unless somebody follows.
 */
static inline void memory_written(const struct guest_memory *memory, const void *hva, uint64_t len)
{
	if (memory_is_followed(memory))
		memory_tell(memory, hva, len);
}

#endif /* VIREO_MEMORY_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory is private anonymous memory: the host gives pages when they
 * are touched, can swap and merge them, and takes all of them back when it is
 * cleared for a reset.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"
#include "util.h"

#define HUGE_BYTES (2 * MIB)

static int piece_alloc(struct memory_piece *piece, uint64_t gpa, uint64_t bytes)
{
	/*
	 * Both pieces begin at a multiple of 2 MiB in the guest. Let them do so
	 * in the launcher as well, or huge host pages could not be huge in the
	 * nested page tables.
	 */
	size_t map_bytes = bytes + HUGE_BYTES;
	void *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		return -errno;
	piece->gpa = gpa;
	piece->bytes = bytes;
	piece->map = map;
	piece->map_bytes = map_bytes;
	piece->hva = (uint8_t *)(uintptr_t)ALIGN_UP((uintptr_t)map, HUGE_BYTES);
	/* Hints: kernels without them are as correct. */
	madvise(piece->hva, bytes, MADV_HUGEPAGE);
	madvise(piece->hva, bytes, MADV_DONTFORK);
	madvise(piece->hva, bytes, MADV_DONTDUMP);
	return 0;
}

/**
 * memory_alloc() - get memory for a guest
 * @memory: to be filled
 * @bytes: how much, a multiple of 4 KiB, at least MEMORY_MIN
 *
 * Return: 0, -EINVAL, or the errno of mmap().
 */
int memory_alloc(struct guest_memory *memory, uint64_t bytes)
{
	uint64_t low = bytes < MEMORY_LOW_MAX ? bytes : MEMORY_LOW_MAX;
	int r;

	memset(memory, 0, sizeof(*memory));
	if (bytes < MEMORY_MIN || bytes & 4095 || bytes > 1ULL << 46)
		return -EINVAL;
	r = piece_alloc(&memory->piece[0], 0, low);
	if (r)
		return r;
	memory->nr = 1;
	if (bytes > low) {
		r = piece_alloc(&memory->piece[1], MEMORY_HIGH_BASE, bytes - low);
		if (r) {
			memory_free(memory);
			return r;
		}
		memory->nr = 2;
	}
	memory->total = bytes;
	return 0;
}

/**
 * memory_free() - give a guest's memory back
 * @memory: it
 */
void memory_free(struct guest_memory *memory)
{
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		munmap(memory->piece[i].map, memory->piece[i].map_bytes);
	memset(memory, 0, sizeof(*memory));
}

/**
 * memory_clear() - make all of a guest's memory zero
 * @memory: it
 */
void memory_clear(struct guest_memory *memory)
{
	unsigned int i;

	for (i = 0; i < memory->nr; i++) {
		struct memory_piece *piece = &memory->piece[i];

		if (madvise(piece->hva, piece->bytes, MADV_DONTNEED))
			memset(piece->hva, 0, piece->bytes);
	}
}

/**
 * memory_low_bytes() - memory below 4 GiB
 * @memory: the memory
 *
 * Return: bytes; it begins at address 0 and has no holes.
 */
uint64_t memory_low_bytes(const struct guest_memory *memory)
{
	return memory->nr ? memory->piece[0].bytes : 0;
}

/**
 * memory_end() - where memory ends
 * @memory: the memory
 *
 * Return: the first address behind all of it.
 */
uint64_t memory_end(const struct guest_memory *memory)
{
	const struct memory_piece *last;

	if (!memory->nr)
		return 0;
	last = &memory->piece[memory->nr - 1];
	return last->gpa + last->bytes;
}

/**
 * memory_ptr() - where a range of guest memory is
 * @memory: the memory
 * @gpa: guest-physical address
 * @len: length; may be 0
 *
 * Return: the range's address in the launcher, or NULL if not all of it is memory.
 */
void *memory_ptr(const struct guest_memory *memory, uint64_t gpa, uint64_t len)
{
	unsigned int i;

	for (i = 0; i < memory->nr; i++) {
		const struct memory_piece *piece = &memory->piece[i];

		if (gpa >= piece->gpa && gpa - piece->gpa <= piece->bytes &&
		    len <= piece->bytes - (gpa - piece->gpa))
			return piece->hva + (gpa - piece->gpa);
	}
	return NULL;
}

/**
 * memory_write() - copy into guest memory
 * @memory: the memory
 * @gpa: guest-physical address
 * @from: source
 * @len: length
 *
 * Return: 0; -EFAULT, with nothing copied, if not all of the range is memory.
 */
int memory_write(struct guest_memory *memory, uint64_t gpa, const void *from, uint64_t len)
{
	void *to = memory_ptr(memory, gpa, len);

	if (!to)
		return -EFAULT;
	if (len)
		memcpy(to, from, len);
	return 0;
}

/**
 * memory_read() - copy from guest memory
 * @memory: the memory
 * @gpa: guest-physical address
 * @to: destination
 * @len: length
 *
 * Return: 0; -EFAULT, with nothing copied, if not all of the range is memory.
 */
int memory_read(const struct guest_memory *memory, uint64_t gpa, void *to, uint64_t len)
{
	const void *from = memory_ptr(memory, gpa, len);

	if (!from)
		return -EFAULT;
	if (len)
		memcpy(to, from, len);
	return 0;
}

/**
 * memory_zero() - clear a range of guest memory
 * @memory: the memory
 * @gpa: guest-physical address
 * @len: length
 *
 * Return: 0; -EFAULT, with nothing changed, if not all of the range is memory.
 */
int memory_zero(struct guest_memory *memory, uint64_t gpa, uint64_t len)
{
	void *to = memory_ptr(memory, gpa, len);

	if (!to)
		return -EFAULT;
	if (len)
		memset(to, 0, len);
	return 0;
}

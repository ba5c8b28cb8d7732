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
#define PAGE_BYTES 4096
#define MAP_HUGE_SHIFT 26

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

/* Huge pages are set aside now, or not at all: none can be missing later. */
static int piece_alloc_huge(struct memory_piece *piece, uint64_t gpa, uint64_t bytes, uint64_t page)
{
	int size = __builtin_ctzll(page) << MAP_HUGE_SHIFT;
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | size, -1, 0);

	if (map == MAP_FAILED)
		return -errno;
	piece->gpa = gpa;
	piece->bytes = bytes;
	piece->map = map;
	piece->map_bytes = bytes;
	piece->hva = map;
	/* A child would take a copy of each page that the guest writes to. */
	madvise(map, bytes, MADV_DONTFORK);
	madvise(map, bytes, MADV_DONTDUMP);
	return 0;
}

static int alloc(struct guest_memory *memory, uint64_t bytes, uint64_t page)
{
	static const uint64_t bases[MEMORY_PIECES] = { 0, MEMORY_HIGH_BASE };
	uint64_t low = bytes < MEMORY_LOW_MAX ? bytes : MEMORY_LOW_MAX;
	uint64_t sizes[MEMORY_PIECES] = { low, bytes - low };
	unsigned int i;
	int r;

	memset(memory, 0, sizeof(*memory));
	if (bytes < MEMORY_MIN || bytes & (page - 1) || bytes > 1ULL << 46)
		return -EINVAL;
	memory->page = page;
	for (i = 0; i < MEMORY_PIECES && sizes[i]; i++) {
		if (page == PAGE_BYTES)
			r = piece_alloc(&memory->piece[i], bases[i], sizes[i]);
		else
			r = piece_alloc_huge(&memory->piece[i], bases[i], sizes[i], page);
		if (r) {
			memory_free(memory);
			return r;
		}
		memory->nr++;
	}
	memory->total = bytes;
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
	return alloc(memory, bytes, PAGE_BYTES);
}

/**
 * memory_alloc_huge() - get memory in huge pages of the host
 * @memory: to be filled
 * @bytes: how much, a multiple of @page
 * @page: their size, a power of two
 *
 * Return: 0, -EINVAL, or the errno of mmap(): -ENOMEM if the host has not that many.
 */
int memory_alloc_huge(struct guest_memory *memory, uint64_t bytes, uint64_t page)
{
	return alloc(memory, bytes, page);
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

		/* Huge pages that are given back may be somebody else's when they are wanted again. */
		if (memory->page != PAGE_BYTES || madvise(piece->hva, piece->bytes, MADV_DONTNEED))
			memset(piece->hva, 0, piece->bytes);
	}
}

/**
 * memory_discard() - give memory back to the host; it reads as zeros then
 * @memory: the memory
 * @hva: a range of it, by memory_ptr()
 * @len: its length
 *
 * Return: bytes that were given back: what is in the range of whole pages of the host.
 */
uint64_t memory_discard(const struct guest_memory *memory, void *hva, uint64_t len)
{
	uint64_t from = ALIGN_UP((uintptr_t)hva, memory->page);
	uint64_t to = ALIGN_DOWN((uintptr_t)hva + len, memory->page);

	if (from >= to || madvise((void *)(uintptr_t)from, to - from, MADV_DONTNEED))
		return 0;
	return to - from;
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

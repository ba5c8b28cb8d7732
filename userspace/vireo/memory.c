// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory is private anonymous memory: the host gives pages when they
 * are touched, can swap and merge them, and takes all of them back when it is
 * cleared for a reset.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"
#include "util.h"

#define HUGE_BYTES (2 * MIB)
#define PAGE_BYTES 4096
/* /proc/PID/pagemap: a page of anonymous memory that was never touched has neither bit. */
#define PAGEMAP_THERE (3ULL << 62)
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
 * memory_pagemap() - what memory_untouched() needs
 *
 * Return: a file descriptor that the caller closes and a child of this process has no use for; -1: there is none.
 */
int memory_pagemap(void)
{
	return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

/**
 * memory_untouched() - has nobody ever touched a range of guest memory?
 * @pagemap: from memory_pagemap(); -1: nobody knows
 * @hva: where, a multiple of 4 KiB
 * @len: how much, a multiple of 4 KiB
 *
 * To look at such memory instead would make tables for it.
 *
 * Return: true: all of it is zero, or was when the call was made.
 */
bool memory_untouched(int pagemap, const void *hva, uint64_t len)
{
	uint64_t entry[64], left = len / PAGE_BYTES, n, i;
	off_t at = (off_t)((uintptr_t)hva / PAGE_BYTES * sizeof(entry[0]));

	for (; left; left -= n, at += (off_t)(n * sizeof(entry[0]))) {
		n = left < 64 ? left : 64;
		if (pread(pagemap, entry, n * sizeof(entry[0]), at) != (ssize_t)(n * sizeof(entry[0])))
			return false;
		for (i = 0; i < n; i++)
			if (entry[i] & PAGEMAP_THERE)
				return false;
	}
	return true;
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

static const struct memory_piece *piece_of(const struct guest_memory *memory, const void *hva)
{
	const uint8_t *at = hva;
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		if (at >= memory->piece[i].hva && at < memory->piece[i].hva + memory->piece[i].bytes)
			return &memory->piece[i];
	return NULL;
}

/* What comes from elsewhere for that range comes too late. */
static void discards(const struct guest_memory *memory, const struct memory_piece *piece, uint64_t offset, uint64_t bytes)
{
	void (*tell)(void *filler, uint64_t gpa, uint64_t bytes);

	tell = __atomic_load_n(&memory->discards, __ATOMIC_ACQUIRE);
	if (tell)
		tell(memory->filler, piece->gpa + offset, bytes);
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

		discards(memory, piece, 0, piece->bytes);
		/* Huge pages that are given back may be somebody else's when they are wanted again. */
		if (memory->page != PAGE_BYTES || madvise(piece->hva, piece->bytes, MADV_DONTNEED))
			memset(piece->hva, 0, piece->bytes);
	}
	memory_tell_all(memory);
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
	const struct memory_piece *piece = from < to ? piece_of(memory, (void *)(uintptr_t)from) : NULL;

	if (!piece)
		return 0;
	discards(memory, piece, from - (uintptr_t)piece->hva, to - from);
	if (madvise((void *)(uintptr_t)from, to - from, MADV_DONTNEED))
		return 0;
	memory_written(memory, (void *)(uintptr_t)from, to - from);
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
	memory_written(memory, to, len);
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
	memory_written(memory, to, len);
	return 0;
}

/**
 * memory_gpa() - what an address of the launcher is for the guest
 * @memory: the memory
 * @hva: the address
 *
 * Return: the guest-physical address; UINT64_MAX: it is not guest memory.
 */
uint64_t memory_gpa(const struct guest_memory *memory, const void *hva)
{
	const struct memory_piece *piece = piece_of(memory, hva);

	return piece ? piece->gpa + (uint64_t)((const uint8_t *)hva - piece->hva) : UINT64_MAX;
}

/**
 * memory_follow() - from now on @memory->written() is told what the launcher writes
 * @memory: the memory; @written is set
 *
 * What was written before is in memory for all to see when this returns: a copy that begins then misses nothing.
 *
 * Return: 0, or a negative errno: the host cannot order the writes of other threads.
 */
int memory_follow(struct guest_memory *memory)
{
	__atomic_fetch_add(&memory->followers, 1, __ATOMIC_SEQ_CST);
	/*
	 * Another thread writes, then looks at @followers. After this barrier, in each of them, it either sees
	 * the new value or its writes are visible. So those threads need no barrier of their own.
	 */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) ||
	    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0)) {
		int r = -errno;

		memory_unfollow(memory);
		return r;
	}
	return 0;
}

/**
 * memory_unfollow() - one of those who follow needs to hear no more
 * @memory: the memory
 */
void memory_unfollow(struct guest_memory *memory)
{
	__atomic_fetch_sub(&memory->followers, 1, __ATOMIC_SEQ_CST);
}

/**
 * memory_tell() - tell those who follow of a range
 * @memory: the memory
 * @hva: where it begins
 * @len: its length; what is outside the piece of memory where it begins is left out
 */
void memory_tell(const struct guest_memory *memory, const void *hva, uint64_t len)
{
	const struct memory_piece *piece = piece_of(memory, hva);
	uint64_t offset;

	if (!piece || !len || !memory->written)
		return;
	offset = (uint64_t)((const uint8_t *)hva - piece->hva);
	if (len > piece->bytes - offset)
		len = piece->bytes - offset;
	memory->written(memory->opaque, piece->gpa + offset, len);
}

/**
 * memory_tell_all() - everything may have changed
 * @memory: the memory
 */
void memory_tell_all(const struct guest_memory *memory)
{
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		memory_written(memory, memory->piece[i].hva, memory->piece[i].bytes);
}

/**
 * memory_tell_segments() - segments were written to
 * @memory: the memory
 * @iov: they
 * @nr: how many
 * @beside: bytes before and behind each that may have been written too
 *
 * Segments that are neighbours, or on the same page, are told of together.
 */
void memory_tell_segments(const struct guest_memory *memory, const struct iovec *iov, unsigned int nr, uint64_t beside)
{
	uintptr_t from = 0, to = 0;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct memory_piece *piece = piece_of(memory, iov[i].iov_base);
		uintptr_t base = (uintptr_t)iov[i].iov_base, first, last;
		uint64_t before;

		if (!piece)
			continue;
		before = base - (uintptr_t)piece->hva;
		first = ALIGN_DOWN(base - (before < beside ? before : beside), PAGE_BYTES);
		last = ALIGN_UP(base + iov[i].iov_len + beside, PAGE_BYTES);
		if (first < from || first > to) {
			memory_tell(memory, (void *)from, to - from);
			from = first;
			to = last;
		} else if (last > to) {
			to = last;
		}
	}
	memory_tell(memory, (void *)from, to - from);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* A set of pages of a machine's memory. */
#ifndef VIREO_MIGRATE_PAGES_H
#define VIREO_MIGRATE_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "../memory.h"

#define PAGES_BYTES 4096U

/**
 * struct page_set - pages of memory
 * @word: for each piece, a bit for each page
 * @words: length of these
 * @nr: pieces
 * @count: pages in it
 */
struct page_set {
	uint64_t *word[MEMORY_PIECES];
	uint64_t words[MEMORY_PIECES];
	unsigned int nr;
	uint64_t count;
};

/* 0 or -ENOMEM; page_set_free() in either case */
int page_set_make(struct page_set *set, const struct guest_memory *memory);
void page_set_free(struct page_set *set);
void page_set_clear(struct page_set *set);
/* Take bits of a bitmap as long as the piece; NULL: all that there are */
void page_set_fill(struct page_set *set, const struct guest_memory *memory, unsigned int piece, const uint64_t *bits);
/* The first at or behind @page, and how many follow one another, @max at most; false: there is none in the piece */
bool page_set_next(const struct page_set *set, unsigned int piece, uint64_t *page, uint64_t *run, uint64_t max);

static inline bool page_set_has(const struct page_set *set, unsigned int piece, uint64_t page)
{
	return set->word[piece][page / 64] >> (page % 64) & 1;
}

/* Whether it was not in it */
static inline bool page_set_add(struct page_set *set, unsigned int piece, uint64_t page)
{
	if (page_set_has(set, piece, page))
		return false;
	set->word[piece][page / 64] |= 1ULL << (page % 64);
	set->count++;
	return true;
}

/* Whether it was in it */
static inline bool page_set_remove(struct page_set *set, unsigned int piece, uint64_t page)
{
	if (!page_set_has(set, piece, page))
		return false;
	set->word[piece][page / 64] &= ~(1ULL << (page % 64));
	set->count--;
	return true;
}

#endif /* VIREO_MIGRATE_PAGES_H */

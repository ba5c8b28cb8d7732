// SPDX-License-Identifier: GPL-2.0-only
/* Bitmaps, and how many bits of them are set. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

/**
 * page_set_make() - an empty set
 * @set: to be filled
 * @memory: of whose pages
 *
 * Return: 0 or -ENOMEM; page_set_free() in either case.
 */
int page_set_make(struct page_set *set, const struct guest_memory *memory)
{
	unsigned int i;

	*set = (struct page_set){ .nr = memory->nr };
	for (i = 0; i < memory->nr; i++) {
		set->words[i] = (memory->piece[i].bytes / PAGES_BYTES + 63) / 64;
		set->word[i] = calloc(set->words[i], sizeof(uint64_t));
		if (!set->word[i])
			return -ENOMEM;
	}
	return 0;
}

/**
 * page_set_free() - forget a set
 * @set: page_set_make() was called, or it is all zero
 */
void page_set_free(struct page_set *set)
{
	unsigned int i;

	for (i = 0; i < MEMORY_PIECES; i++)
		free(set->word[i]);
	memset(set, 0, sizeof(*set));
}

/**
 * page_set_clear() - have nothing in it
 * @set: the set
 */
void page_set_clear(struct page_set *set)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		memset(set->word[i], 0, set->words[i] * sizeof(uint64_t));
	set->count = 0;
}

/**
 * page_set_fill() - have in it what a bitmap has
 * @set: the set, which has nothing of the piece
 * @memory: of whose pages it is
 * @piece: of memory
 * @bits: the bitmap; NULL: all pages
 */
void page_set_fill(struct page_set *set, const struct guest_memory *memory, unsigned int piece, const uint64_t *bits)
{
	uint64_t pages = memory->piece[piece].bytes / PAGES_BYTES, at, word;

	for (at = 0; at < set->words[piece]; at++) {
		word = bits ? bits[at] : ~0ULL;
		if (pages - at * 64 < 64)
			word &= (1ULL << (pages - at * 64)) - 1;
		set->word[piece][at] = word;
		set->count += (uint64_t)__builtin_popcountll(word);
	}
}

/**
 * page_set_next() - find the next run
 * @set: the set
 * @piece: of memory
 * @page: where to begin; where it begins
 * @run: pages of it
 * @max: at most so many
 *
 * Return: false: there is none.
 */
bool page_set_next(const struct page_set *set, unsigned int piece, uint64_t *page, uint64_t *run, uint64_t max)
{
	uint64_t end = set->words[piece] * 64, at = *page, word;

	while (at < end) {
		word = set->word[piece][at / 64] >> (at % 64);
		if (word) {
			at += (uint64_t)__builtin_ctzll(word);
			break;
		}
		at = (at / 64 + 1) * 64;
	}
	if (at >= end)
		return false;
	*page = at;
	for (*run = 0; at < end && *run < max && page_set_has(set, piece, at); at++)
		(*run)++;
	return true;
}

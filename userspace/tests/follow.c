// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "follow.h"
#include "../vireo/util.h"

#define PAGE 4096

static uint8_t *copy;
static uint8_t *is_told;

static uint64_t index_of(const struct guest_memory *memory, uint64_t gpa)
{
	return gpa < MEMORY_HIGH_BASE ? gpa / PAGE : (gpa - MEMORY_HIGH_BASE + memory->piece[0].bytes) / PAGE;
}

static void written(void *opaque, uint64_t gpa, uint64_t bytes)
{
	const struct guest_memory *memory = opaque;
	uint64_t at;

	if (!bytes || !memory_ptr(memory, gpa, bytes))
		abort();
	for (at = ALIGN_DOWN(gpa, PAGE); at < gpa + bytes; at += PAGE)
		__atomic_store_n(&is_told[index_of(memory, at)], 1, __ATOMIC_RELAXED);
}

void follow_begin(struct guest_memory *memory)
{
	uint64_t at = 0;
	unsigned int i;

	is_told = calloc(memory->total / PAGE, 1);
	copy = malloc(memory->total);
	if (!is_told || !copy)
		abort();
	memory->written = written;
	memory->opaque = memory;
	if (memory_follow(memory))
		abort();
	for (i = 0; i < memory->nr; at += memory->piece[i++].bytes)
		memcpy(copy + at, memory->piece[i].hva, memory->piece[i].bytes);
}

unsigned int follow_end(struct guest_memory *memory, unsigned int *told)
{
	unsigned int i, missed = 0, count = 0;
	uint64_t at = 0, page;

	memory_unfollow(memory);
	for (i = 0; i < memory->nr; i++) {
		for (page = 0; page < memory->piece[i].bytes; page += PAGE, at += PAGE) {
			count += is_told[at / PAGE];
			missed += !is_told[at / PAGE] && memcmp(copy + at, memory->piece[i].hva + page, PAGE);
		}
	}
	if (told)
		*told = count;
	free(is_told);
	free(copy);
	return missed;
}

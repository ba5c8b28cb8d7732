/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which pages of a machine's memory were written, by the guest, by the module or by the launcher: for those who keep
 * a copy of it while it runs (Documentation/tracking.rst).
 */
#ifndef VIREO_TRACK_H
#define VIREO_TRACK_H

#include <stdint.h>

#include "memory.h"

struct machine;

/* Who may follow memory at the same time */
enum track_consumer {
	TRACK_MIGRATION,
	TRACK_TREE,
};

#define TRACK_PAGE 4096ULL

/**
 * struct track - one who follows a machine's memory
 * @machine: the machine
 * @consumer: who
 * @nr: pieces of memory that are followed
 * @bitmap: for each, pages that were written and not used yet: a bit each, in words of 64
 */
struct track {
	struct machine *machine;
	enum track_consumer consumer;
	unsigned int nr;
	uint64_t *bitmap[MEMORY_PIECES];
};

/* For memory.written of a machine's memory */
void track_written(void *machine, uint64_t gpa, uint64_t bytes);

int track_begin(struct track *track, struct machine *machine, enum track_consumer consumer);
void track_end(struct track *track);
/* Add what was written since the last time; *@found: pages, some of which the bitmaps may have had */
int track_collect(struct track *track, uint64_t *found);

#endif /* VIREO_TRACK_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module follows what vCPUs write; what the launcher's devices write, it is told (memory_written()). So there is one
 * place that knows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "track.h"
#include "machine.h"
#include "util.h"

static uint64_t words(const struct memory_piece *piece)
{
	return (piece->bytes / TRACK_PAGE + 63) / 64;
}

/**
 * track_written() - the launcher has written to guest memory
 * @opaque: struct machine
 * @gpa: where
 * @bytes: how much, not 0
 *
 * Any thread. If the module cannot be told, those who follow learn of it by track_collect().
 */
void track_written(void *opaque, uint64_t gpa, uint64_t bytes)
{
	struct machine *machine = opaque;
	int r = vireo_vm_mark_dirty(machine->vm, gpa, bytes);

	if (r)
		__atomic_store_n(&machine->track_error, r, __ATOMIC_RELEASE);
}

/**
 * track_begin() - follow a machine's memory
 * @track: to be filled; the bitmaps are empty
 * @machine: the machine, which may run
 * @consumer: who; each can follow once at a time
 *
 * What is written after this is told of by track_collect(); a copy of memory begins now.
 *
 * Return: 0, or a negative errno: -EALREADY: @consumer follows.
 */
int track_begin(struct track *track, struct machine *machine, enum track_consumer consumer)
{
	struct guest_memory *memory = &machine->memory;
	unsigned int i;
	int r;

	*track = (struct track){ .machine = machine, .consumer = consumer };
	r = memory_follow(memory);
	if (r)
		return r;
	for (i = 0; i < memory->nr && !r; i++) {
		track->bitmap[i] = calloc(words(&memory->piece[i]), sizeof(uint64_t));
		r = track->bitmap[i] ? vireo_vm_set_tracking(machine->vm, i, consumer, true) : -ENOMEM;
		if (!r)
			track->nr++;
	}
	if (r)
		track_end(track);
	return r;
}

/**
 * track_end() - follow no more
 * @track: what track_begin() has filled
 */
void track_end(struct track *track)
{
	unsigned int i;

	for (i = 0; i < track->nr; i++)
		vireo_vm_set_tracking(track->machine->vm, i, track->consumer, false);
	for (i = 0; i < MEMORY_PIECES; i++)
		free(track->bitmap[i]);
	memory_unfollow(&track->machine->memory);
	memset(track, 0, sizeof(*track));
}

/**
 * track_collect() - what was written since the last time
 * @track: who asks
 * @found: how many pages
 *
 * Return: 0, or a negative errno: the bitmaps may miss something then.
 */
int track_collect(struct track *track, uint64_t *found)
{
	struct machine *machine = track->machine;
	unsigned int i;
	uint64_t n;
	int r;

	*found = 0;
	for (i = 0; i < track->nr; i++) {
		n = 0;
		r = vireo_vm_get_dirty(machine->vm, i, track->consumer, 0, machine->memory.piece[i].bytes / TRACK_PAGE,
				       track->bitmap[i], &n);
		if (r)
			return r;
		*found += n;
	}
	return __atomic_load_n(&machine->track_error, __ATOMIC_ACQUIRE);
}

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VIREO_FORK_H
#define VIREO_FORK_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct guest_memory;
struct machine;
struct state_buffer;

#define FORK_WHY 256	/* bytes of a reason */

/**
 * struct fork_source - what a second machine goes on from
 * @memory: where this process has it; moved to where the new machine has its own
 * @info: an object with the description as "machine"
 * @state: of machine_state_save()
 */
struct fork_source {
	const struct guest_memory *memory;
	const json_t *info;
	const struct state_buffer *state;
};

int fork_leave(int keep);
int fork_share(const struct guest_memory *memory, bool on, char *why);
pid_t fork_launcher(const struct fork_source *from, const char *name, const char *origin, char *why);
pid_t machine_fork(struct machine *machine, const char *name, const json_t *info, const struct state_buffer *state, char *why);

#endif /* VIREO_FORK_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VIREO_FORK_H
#define VIREO_FORK_H

#include <jansson.h>
#include <sys/types.h>

struct machine;
struct state_buffer;

#define FORK_WHY 256	/* bytes of a reason */

pid_t machine_fork(struct machine *machine, const char *name, const json_t *info, const struct state_buffer *state, char *why);

#endif /* VIREO_FORK_H */

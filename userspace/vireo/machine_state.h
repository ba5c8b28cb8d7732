/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All state of a machine but its memory, in one buffer; what a saved machine and one that moves have in common.
 *
 * The other end builds a machine from the same description (description.h), whose machine_config has a
 * struct machine_source: its load() fills the memory and calls machine_state_load().
 */
#ifndef VIREO_MACHINE_STATE_H
#define VIREO_MACHINE_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state.h"

struct machine;

#define MACHINE_STATE_VERSION	1
#define MACHINE_STATE_WHY	256	/* bytes of a reason */

/* Before its memory is read, which that may change. Of a machine that is paused, by the main thread or with its vCPUs and devices known to stay at rest. @leaves: for another host: without MSRs that its CPU profile has not. 0 or a negative errno */
int machine_state_save(struct machine *machine, bool leaves, struct state_buffer *out);
/*
 * Is it well-formed, and of a machine like this one? Nothing changes. 0; or a negative errno, with a sentence in @why.
 * machine_state_load() does so by itself.
 */
int machine_state_check(struct machine *machine, const void *data, size_t len, char *why);
/* To a machine that is paused, such as one with a struct machine_source. If it fails, the machine has what it had. */
int machine_state_load(struct machine *machine, const void *data, size_t len, char *why);
/* What is in it, for people and programs; NULL if it is malformed */
json_t *machine_state_list(const void *data, size_t len);

/* Are these frequencies one? */
bool machine_same_tsc(uint64_t a, uint64_t b);

#endif /* VIREO_MACHINE_STATE_H */

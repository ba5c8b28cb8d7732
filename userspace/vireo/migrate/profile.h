/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a machine is, and what its processors have that another host's may not: told before anything else is sent, so that a
 * machine that could not run there never leaves.
 */
#ifndef VIREO_MIGRATE_PROFILE_H
#define VIREO_MIGRATE_PROFILE_H

#include <jansson.h>

struct guest_memory;
struct machine;
struct vireo;

#define PROFILE_WHY 256

/* The whole of a WIRE_MACHINE; NULL: no memory, or the module does not tell */
json_t *profile_make(struct machine *machine);
/*
 * Could that machine run here? 0; -EINVAL: it is malformed; -EOPNOTSUPP: no. @why: PROFILE_WHY bytes for a sentence. Its
 * description is not looked at.
 */
int profile_check(struct vireo *vireo, const json_t *profile, char *why);
/* Is this memory like its own? */
int profile_check_memory(const json_t *profile, const struct guest_memory *memory, char *why);

#endif /* VIREO_MIGRATE_PROFILE_H */

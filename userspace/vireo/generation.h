/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The generation ID of a machine (Microsoft's "Virtual Machine Generation ID"): 16 random bytes in the guest's memory, others in each
 * copy of it. A guest that is told of new ones knows that what it took for random is known elsewhere.
 *
 * Its address is in the DSDT; a page of its own, among those that the guest's memory map reserves.
 */
#ifndef VIREO_GENERATION_H
#define VIREO_GENERATION_H

#include "memory.h"

#define GENERATION_AT	0xff000ULL
#define GENERATION_BYTES 16
#define GENERATION_TEXT	(2 * GENERATION_BYTES + 5)	/* as people write a GUID, with its end */

int generation_renew(struct guest_memory *memory);
void generation_text(const struct guest_memory *memory, char *text);

#endif /* VIREO_GENERATION_H */

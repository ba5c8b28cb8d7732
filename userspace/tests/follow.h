/* SPDX-License-Identifier: GPL-2.0-only */
/* One who follows what the launcher writes to guest memory, and notices what it was not told of. */
#ifndef VIREO_TESTS_FOLLOW_H
#define VIREO_TESTS_FOLLOW_H

#include "../vireo/memory.h"

/* From here on, until follow_end(), what changes has to be told of */
void follow_begin(struct guest_memory *memory);
/* Pages that have changed and were not told of; *@told: those that were */
unsigned int follow_end(struct guest_memory *memory, unsigned int *told);

#endif /* VIREO_TESTS_FOLLOW_H */

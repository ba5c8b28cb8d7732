/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names for the family's numbers. They stay as they are: scripts and JSON output depend on them. Of a number that
 * this program does not know they are "unknown", since a newer module may have more.
 */
#ifndef VIREO_MONITOR_NAMES_H
#define VIREO_MONITOR_NAMES_H

#include <stdint.h>

#define NAMES_EXIT 24

const char *names_state(uint32_t state);
const char *names_life(uint32_t life);
const char *names_operation(uint32_t operation);
const char *names_threshold(uint32_t threshold);
const char *names_counter(unsigned int counter);
const char *names_memory(unsigned int memory);
const char *names_limit(unsigned int limit);
/* "reason-70" if the library does not know it: two of these are not the same */
const char *names_exit(char out[NAMES_EXIT], uint32_t reason);

#endif /* VIREO_MONITOR_NAMES_H */

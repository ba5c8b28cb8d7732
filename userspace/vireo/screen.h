/* SPDX-License-Identifier: GPL-2.0-only */
/* The text screen of a guest, for --screen-dump. */
#ifndef VIREO_SCREEN_H
#define VIREO_SCREEN_H

#include <stddef.h>

#include "memory.h"

#define SCREEN_ROWS	25
#define SCREEN_COLUMNS	80
/* No character of the PC's set takes more than three bytes. */
#define SCREEN_TEXT_MAX	(SCREEN_ROWS * (SCREEN_COLUMNS * 3 + 1))

size_t screen_text(const struct guest_memory *memory, char *text);
int screen_dump(const struct guest_memory *memory, const char *path);

#endif /* VIREO_SCREEN_H */

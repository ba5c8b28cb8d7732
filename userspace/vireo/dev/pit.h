/* SPDX-License-Identifier: GPL-2.0-only */
/* The 8254 interval timer and the speaker port 0x61. */
#ifndef VIREO_DEV_PIT_H
#define VIREO_DEV_PIT_H

#include "../board.h"

#define PIT_HZ 1193182ULL

int pit_create(struct board *board);

#endif /* VIREO_DEV_PIT_H */

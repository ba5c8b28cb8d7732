/* SPDX-License-Identifier: GPL-2.0-only */
/* An 8042 keyboard controller without a keyboard. */
#ifndef VIREO_DEV_I8042_H
#define VIREO_DEV_I8042_H

#include "../board.h"

int i8042_create(struct board *board);

#endif /* VIREO_DEV_I8042_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* Chipset ports: resets at 0x92 and 0xcf9, and the PCI configuration ports. */
#ifndef VIREO_DEV_CHIPSET_H
#define VIREO_DEV_CHIPSET_H

#include "../board.h"

#define CHIPSET_RESET_PORT	0xcf9
#define CHIPSET_RESET_VALUE	0x06	/* what the FADT tells guests to write */

int chipset_create(struct board *board);

#endif /* VIREO_DEV_CHIPSET_H */

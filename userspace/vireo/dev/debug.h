/* SPDX-License-Identifier: GPL-2.0-only */
/* Ports for programs under test: end with a status, print a byte. */
#ifndef VIREO_DEV_DEBUG_H
#define VIREO_DEV_DEBUG_H

#include "../board.h"

#define DEBUG_EXIT_PORT		0xf4
#define DEBUG_EXIT_PORTS	4
#define DEBUG_CON_PORT		0xe9
#define DEBUG_CON_ID		0xe9	/* what reading the port gives */

int debug_exit_create(struct board *board, uint16_t port);
int debug_con_create(struct board *board, uint16_t port,
		     size_t (*send)(void *opaque, const uint8_t *bytes, size_t n), void *opaque);

#endif /* VIREO_DEV_DEBUG_H */

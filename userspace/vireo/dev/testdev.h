/* SPDX-License-Identifier: GPL-2.0-only */
/* A device for bare-metal test programs, as QEMU's pc-testdev. */
#ifndef VIREO_DEV_TESTDEV_H
#define VIREO_DEV_TESTDEV_H

#include "../board.h"

#define TESTDEV_DATA_PORT	0xe0	/* 4 ports: hold what is written, in any width */
#define TESTDEV_FLUSH_PORT	0xe4	/* 32 bits: an address; the host unmaps that page */
#define TESTDEV_BYTE_PORT	0xe8	/* 4 ports: the same data as at 0xe0, byte by byte */
#define TESTDEV_IRQ_PORT	0x2000	/* port 0x2000 + n sets interrupt line n */
#define TESTDEV_IRQS		24
#define TESTDEV_MMIO		0xff000000ULL
#define TESTDEV_MMIO_BYTES	0x10000	/* holds what is written, by exits */

int testdev_create(struct board *board);

#endif /* VIREO_DEV_TESTDEV_H */

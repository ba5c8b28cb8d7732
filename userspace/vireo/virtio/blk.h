/* SPDX-License-Identifier: GPL-2.0-only */
/* A disk, by itself: for --disk, and for tests that give it a backend and a transport of their own. */
#ifndef VIREO_VIRTIO_BLK_H
#define VIREO_VIRTIO_BLK_H

#include "virtio.h"
#include "../block/block.h"

#define BLK_QUEUE_SIZE		256
#define BLK_SIZE_MAX		(16U << 20)	/* of a segment: with all of them not above 4 GiB */
#define BLK_RANGES_MAX		32		/* that a discard or a write-zeroes may have */
#define BLK_DISCARD_SECTORS	(1U << 22)	/* in each of them: 2 GiB */
#define BLK_ZERO_SECTORS	(1U << 17)	/* 64 MiB, since it may come to writing them */
#define BLK_ID_BYTES		20

/**
 * struct blk_options - what a disk is like
 * @name: in events and messages
 * @serial: what the guest sees as its serial number, up to BLK_ID_BYTES
 * @queues: how many
 * @writethrough: writes are stable when they are completed, and the guest knows it
 * @discard: offer discard and unmapping, if the backend has it
 */
struct blk_options {
	const char *name;
	const char *serial;
	unsigned int queues;
	bool writethrough;
	bool discard;
};

int blk_create(struct board *board, struct block *block, const struct blk_options *options,
	       struct virtio_device **out);

/* The name of a disk of the board that the guest may write to; NULL: there is none */
const char *blk_writable(const struct board *board);

#endif /* VIREO_VIRTIO_BLK_H */

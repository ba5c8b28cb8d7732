/* SPDX-License-Identifier: GPL-2.0-only */
/* What the control socket asks of a balloon. Any thread may, without the board's lock. */
#ifndef VIREO_VIRTIO_BALLOON_H
#define VIREO_VIRTIO_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

struct balloon;
struct guest_memory;
struct virtio_device;

#define BALLOON_STATS 16	/* tags of struct virtio_balloon_stat, with room for new ones */

/**
 * struct balloon_info - how a balloon is doing
 * @target: bytes that the guest shall keep
 * @actual: bytes that it has
 * @reported: bytes of free pages that it has reported, since the start
 * @stat: its statistics, by tag
 * @has: which of those there are, a bit each
 */
struct balloon_info {
	uint64_t target;
	uint64_t actual;
	uint64_t reported;
	uint64_t stat[BALLOON_STATS];
	uint32_t has;
};

struct balloon *balloon_new(struct guest_memory *memory, uint64_t size, bool oom, bool reporting);
struct virtio_device *balloon_device(struct balloon *balloon);
int balloon_set(struct balloon *balloon, uint64_t bytes);
void balloon_ask(struct balloon *balloon);
bool balloon_answered(struct balloon *balloon);
void balloon_info(struct balloon *balloon, struct balloon_info *info);
const char *balloon_stat_name(unsigned int tag);

#endif /* VIREO_VIRTIO_BALLOON_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that is filled while a machine runs: who touches a page that has not come waits for it (userfaultfd), be it a vCPU in the
 * module, a device's thread, or the kernel on behalf of one.
 */
#ifndef VIREO_MIGRATE_FILL_H
#define VIREO_MIGRATE_FILL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pages.h"
#include "wire.h"

#define FILL_WHY 192	/* bytes of a reason */

/**
 * struct fill - memory that is filled
 * @memory: the memory
 * @fd: userfaultfd; negative: not open
 * @wake: eventfd: there is a request, or nothing is missing any more
 * @stop: eventfd: @thread ends
 * @thread: hears of faults
 * @started: there is one
 * @registered: faults are heard of
 * @lock: protects the following
 * @missing: pages that have not come
 * @asked: those of them that somebody waits for
 * @queue: those that nobody was asked for yet
 * @queued: how many
 * @room: for how many
 * @requests: how many there were
 * @sums: checksums count
 * @sum: of the pages that are there
 */
struct fill {
	struct guest_memory *memory;
	int fd, wake, stop;
	pthread_t thread;
	bool started, registered;
	pthread_mutex_t lock;
	struct page_set missing, asked;
	struct wire_pages *queue;
	size_t queued, room;
	uint64_t requests;
	bool sums;
	uint64_t sum;
};

/* Can it be done? Nothing happens to memory. 0; or a negative errno with a sentence; fill_close() in either case */
int fill_open(struct fill *fill, struct guest_memory *memory, char *why);
/*
 * From now on. @absent: pages that are missing, whose contents are forgotten; it is taken over. @sums: keep a checksum. If it
 * fails nothing is filled.
 */
int fill_begin(struct fill *fill, struct page_set *absent, bool sums, char *why);
/* A frame with pages, which has come; NULL, or what is wrong. May wait for memory */
const char *fill_take(struct fill *fill, unsigned int type, const void *payload, size_t len);
/* A page to ask for; false: there is none */
bool fill_request(struct fill *fill, struct wire_pages *run);
/* Ask for all again that somebody waits for: the other side has forgotten it */
void fill_ask_again(struct fill *fill);
uint64_t fill_left(struct fill *fill);
uint64_t fill_requests(struct fill *fill);
/* Nobody waits any more: nothing is missing, or the machine ends */
void fill_end(struct fill *fill);
void fill_close(struct fill *fill);

#endif /* VIREO_MIGRATE_FILL_H */

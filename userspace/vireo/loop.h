/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The event loop: one thread that waits for timers and for input.
 *
 * Handlers run on that thread, without any lock; those that touch devices
 * take the board's.
 */
#ifndef VIREO_LOOP_H
#define VIREO_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOP_SOURCES_MAX 16

struct loop_source {
	int fd;
	void (*ready)(void *opaque);
	void *opaque;
};

struct loop {
	int epoll;
	int wake;
	bool stop;
	bool running;
	pthread_t thread;
	struct loop_source source[LOOP_SOURCES_MAX];
	unsigned int nr;
};

int loop_init(struct loop *loop);
int loop_add(struct loop *loop, int fd, void (*ready)(void *opaque), void *opaque);
int loop_watch(struct loop *loop, int fd, bool on);
int loop_start(struct loop *loop);
void loop_stop(struct loop *loop);
void loop_destroy(struct loop *loop);

#endif /* VIREO_LOOP_H */

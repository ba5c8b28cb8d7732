// SPDX-License-Identifier: GPL-2.0-only
/* epoll, an eventfd to end it, and a table of who waits for what. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop.h"

#define BATCH 8

/**
 * loop_init() - a loop without sources, not yet running
 * @loop: to be initialised
 *
 * Return: 0, or a negative errno.
 */
int loop_init(struct loop *loop)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	int r;

	memset(loop, 0, sizeof(*loop));
	loop->wake = -1;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake < 0 ||
	    epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) < 0) {
		r = -errno;
		loop_destroy(loop);
		return r;
	}
	return 0;
}

/**
 * loop_add() - wait for a file descriptor to become readable
 * @loop: the loop, not yet running
 * @fd: the descriptor; it stays the caller's
 * @ready: called whenever there is something to read
 * @opaque: handed to @ready
 *
 * Return: 0; -EPERM if the descriptor (a regular file) cannot be waited for;
 * or another negative errno.
 */
int loop_add(struct loop *loop, int fd, void (*ready)(void *opaque), void *opaque)
{
	struct loop_source *source = &loop->source[loop->nr];
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

	if (loop->nr == LOOP_SOURCES_MAX)
		return -ENOSPC;
	*source = (struct loop_source){ fd, ready, opaque };
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	loop->nr++;
	return 0;
}

/**
 * loop_watch() - stop or resume waiting for a descriptor, from any thread
 * @loop: the loop
 * @fd: a descriptor given to loop_add()
 * @on: whether to wait
 *
 * Return: 0, or a negative errno.
 */
int loop_watch(struct loop *loop, int fd, bool on)
{
	unsigned int i;

	for (i = 0; i < loop->nr; i++) {
		/* Without events, epoll still reports EPOLLHUP: take it out. */
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &loop->source[i] };

		if (loop->source[i].fd != fd)
			continue;
		if (epoll_ctl(loop->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event) < 0 &&
		    errno != EEXIST && errno != ENOENT)
			return -errno;
		return 0;
	}
	return -ENOENT;
}

static void *run(void *arg)
{
	struct loop *loop = arg;
	struct epoll_event events[BATCH];
	int i, n;

	while (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE)) {
		n = epoll_wait(loop->epoll, events, BATCH, -1);
		for (i = 0; i < n; i++) {
			struct loop_source *source = events[i].data.ptr;

			if (source)
				source->ready(source->opaque);
		}
	}
	return NULL;
}

/**
 * loop_start() - start the thread
 * @loop: the loop
 *
 * Return: 0, or a negative errno.
 */
int loop_start(struct loop *loop)
{
	int r = pthread_create(&loop->thread, NULL, run, loop);

	if (r)
		return -r;
	loop->running = true;
	return 0;
}

/**
 * loop_stop() - end the thread and wait for that
 * @loop: the loop, running or not
 */
void loop_stop(struct loop *loop)
{
	uint64_t one = 1;

	if (!loop->running)
		return;
	__atomic_store_n(&loop->stop, true, __ATOMIC_RELEASE);
	/* It can only fail by being readable already. */
	if (write(loop->wake, &one, sizeof(one)) < 0)
		one = 0;
	pthread_join(loop->thread, NULL);
	loop->running = false;
}

/**
 * loop_destroy() - give everything back
 * @loop: the loop, stopped
 */
void loop_destroy(struct loop *loop)
{
	if (loop->wake >= 0)
		close(loop->wake);
	if (loop->epoll >= 0)
		close(loop->epoll);
	loop->wake = -1;
	loop->epoll = -1;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entropy (virtio 1.2, 5.4): one queue, and its buffers are filled with random bytes.
 *
 * A guest that reads without end costs the host one busy thread, as a vCPU does; the rate can be bounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "virtio.h"
#include "../option.h"
#include "../params.h"
#include "../util.h"

#define TYPE_RNG	4
#define CLASS_RNG	0x00ff00	/* nothing that PCI has a class for */
#define QUEUE_SIZE	8
#define CHUNK		4096		/* the most that a request gets */
#define PERIOD_NS	100000000ULL	/* of the bound of the rate */

/**
 * struct rng - a source of entropy
 * @virtio: the common part
 * @source: file, -1: the kernel's getrandom()
 * @rate: bytes a period, 0: no bound
 * @left: of this period
 * @timer: timerfd of the period; waited for when nothing is left
 * @quit: eventfd: the thread shall end
 * @thread: serves the queue between start() and stop()
 */
struct rng {
	struct virtio_device virtio;
	int source;
	uint64_t rate;
	uint64_t left;
	int timer;
	int quit;
	pthread_t thread;
};

static ssize_t get(const struct rng *rng, uint8_t *bytes, size_t n)
{
	ssize_t r;

	do {
		r = rng->source < 0 ? getrandom(bytes, n, 0) : read(rng->source, bytes, n);
	} while (r < 0 && errno == EINTR);
	return r;
}

static void begin_period(struct rng *rng)
{
	struct itimerspec at = { .it_value.tv_nsec = PERIOD_NS };

	rng->left = rng->rate;
	timerfd_settime(rng->timer, 0, &at, NULL);
}

/* Serve one buffer. Returns false if there is none, or nothing to put into it for now. */
static bool serve_one(struct rng *rng)
{
	struct virtio_queue *queue = &rng->virtio.queue[0];
	struct iovec iov[QUEUE_SIZE];
	struct virtq_chain chain = { .iov = iov, .room = ARRAY_SIZE(iov) };
	uint8_t bytes[CHUNK];
	size_t want;
	ssize_t n;

	if (rng->rate && !rng->left)
		return false;
	if (virtio_pop(&rng->virtio, queue, &chain) <= 0)
		return false;
	want = chain.write_bytes < sizeof(bytes) ? (size_t)chain.write_bytes : sizeof(bytes);
	if (rng->rate && want > rng->left)
		want = (size_t)rng->left;
	n = want ? get(rng, bytes, want) : 0;
	if (n < 0)
		n = 0;
	iov_write(iov + chain.nr_read, chain.nr_write, 0, bytes, (size_t)n);
	rng->left -= rng->rate ? (uint64_t)n : 0;
	virtq_push(&queue->vq, &chain, (uint32_t)n);
	virtio_pushed(&rng->virtio, queue);
	return true;
}

static void *serve(void *arg)
{
	struct rng *rng = arg;
	struct pollfd fds[] = {
		{ .fd = rng->quit, .events = POLLIN },
		{ .fd = rng->virtio.queue[0].kick, .events = POLLIN },
		{ .fd = rng->timer, .events = POLLIN },
	};
	struct virtq *vq = &rng->virtio.queue[0].vq;
	uint64_t count;

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		if (fds[1].revents && read(fds[1].fd, &count, sizeof(count)) < 0)
			continue;
		if (rng->rate && fds[2].revents && read(fds[2].fd, &count, sizeof(count)) > 0)
			begin_period(rng);
		do {
			while (serve_one(rng)) {
				if (poll(fds, 1, 0) > 0)
					return NULL;
			}
		} while (!vq->broken && (!rng->rate || rng->left) && virtq_want_kicks(vq, true));
	}
}

static int start(struct virtio_device *dev)
{
	struct rng *rng = container_of(dev, struct rng, virtio);
	int r;

	if (!dev->queue[0].vq.ready)
		return 0;
	if (rng->rate)
		begin_period(rng);
	r = pthread_create(&rng->thread, NULL, serve, rng);
	if (r)
		return -r;
	pthread_setname_np(rng->thread, "rng");
	return 0;
}

static void stop(struct virtio_device *dev)
{
	struct rng *rng = container_of(dev, struct rng, virtio);
	uint64_t count = 1;

	if (!dev->queue[0].vq.ready)
		return;
	if (write(rng->quit, &count, sizeof(count)) < 0)
		return;
	pthread_join(rng->thread, NULL);
	if (read(rng->quit, &count, sizeof(count)) < 0)
		return;
}

static void destroy(struct virtio_device *dev)
{
	struct rng *rng = container_of(dev, struct rng, virtio);

	if (rng->source >= 0)
		close(rng->source);
	if (rng->timer >= 0)
		close(rng->timer);
	if (rng->quit >= 0)
		close(rng->quit);
	free(rng);
}

static const struct virtio_class rng_class = {
	.name = "virtio-rng",
	.type = TYPE_RNG,
	.pci_class = CLASS_RNG,
	.start = start,
	.stop = stop,
	.destroy = destroy,
};

static int create(struct board *board, struct params *params)
{
	const char *source = params_string(params, "source");
	uint64_t rate = 0;
	struct rng *rng;
	int r;

	r = params_bytes(params, "rate", &rate);
	if (!r)
		r = params_done(params);
	if (r)
		return r;
	rng = calloc(1, sizeof(*rng));
	if (!rng)
		return -ENOMEM;
	rng->virtio.class = &rng_class;
	rng->source = -1;
	rng->rate = rate ? rate / (NSEC_PER_SEC / PERIOD_NS) + 1 : 0;
	rng->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	rng->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rng->timer < 0 || rng->quit < 0) {
		r = -errno;
	} else if (source) {
		rng->source = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (rng->source < 0) {
			report_error("rng: %s cannot be opened: %s", source, strerror(errno));
			r = -EINVAL;
		}
	}
	if (!r)
		r = virtio_alloc_queues(&rng->virtio, 1, QUEUE_SIZE);
	if (r) {
		destroy(&rng->virtio);
		return r;
	}
	return virtio_plug(board, &rng->virtio);
}

VIREO_DEVICE_OPTION(
	.name = "rng",
	.first = "source",
	.argument = "[=SOURCE][,rate=SIZE]",
	.help = "entropy, from the kernel or the file SOURCE; at most SIZE bytes a second",
	.create = create,
);

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames between a pair of queues and a backend, without a copy: what the backend reads from and writes to are
 * the guest's buffers themselves. A frame is longer than the buffers taken ahead only now and then; its end goes
 * to a spill buffer, and is copied. When that happens more buffers are taken ahead for some time: most
 * frames are either short or as long as they can be, and come in bursts of their kind.
 *
 * All descriptors are waited for edge-triggered, so an eventfd never has to be read; for that, whoever says "there is
 * nothing more" is believed only after having been asked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net_pair.h"
#include "../net/segment.h"
#include "../util.h"

#define RX_BATCH	64		/* frames before the other direction has its turn */
#define TX_BATCH	64
#define LARGE_FRAMES	32
#define REVIVE_MS	1000

enum source { SOURCE_WAKE, SOURCE_RX, SOURCE_TX, SOURCE_CONTROL, SOURCE_BACKEND, SOURCES };

static void fail(struct net_pair *pair, const char *why)
{
	pair->dead = true;
	virtio_fail(&pair->net->virtio, why);
}

static void watch(struct net_pair *pair, int op, int fd, uint32_t events, enum source source)
{
	struct epoll_event event = { .events = events | EPOLLET, .data.u32 = source };

	epoll_ctl(pair->epoll, op, fd, &event);
}

static int pop(struct net_pair *pair, struct virtio_queue *queue, struct virtq_chain *chain)
{
	int r = virtio_pop(&pair->net->virtio, queue, chain);

	if (r < 0)
		pair->dead = true;
	return r;
}

/* --- Receiving ------------------------------------------------------------------------------ */

/* Take buffers ahead until they hold @want bytes, or there are no more. */
static void take_buffers(struct net_pair *pair, size_t want)
{
	while (pair->room < want && pair->nr_chains < NET_RING && pair->nr_iov + NET_RING <= NET_SEGMENTS) {
		struct virtq_chain *chain = &pair->chain[pair->nr_chains];

		if (pair->nr_chains && !pair->mergeable)
			return;
		chain->iov = pair->iov + pair->nr_iov;
		chain->room = NET_RING;
		if (pop(pair, pair->rx, chain) <= 0)
			return;
		if (chain->nr_read || chain->write_bytes < NET_HEADER_BYTES) {
			fail(pair, "a receive buffer is for reading, or has no room for a header");
			return;
		}
		pair->nr_chains++;
		pair->nr_iov += chain->nr_write;
		pair->room += chain->write_bytes;
	}
}

/* No more can be taken, however long one waits: all of the queue is here. */
static bool all_taken(const struct net_pair *pair)
{
	return !pair->mergeable || pair->nr_chains >= pair->rx->vq.layout.size ||
	       pair->nr_iov + NET_RING > NET_SEGMENTS;
}

/* The first buffers hold a frame of @bytes: they are the driver's now. */
static void hand_over(struct net_pair *pair, size_t bytes)
{
	unsigned int n, segments = 0;
	uint16_t count = 0;
	size_t left = bytes;

	for (; left; count++)
		left -= left < pair->chain[count].write_bytes ? left : pair->chain[count].write_bytes;
	iov_write(pair->iov, pair->nr_iov, offsetof(struct virtio_net_hdr_v1, num_buffers), &count, sizeof(count));
	for (n = 0; bytes; n++) {
		struct virtq_chain *chain = &pair->chain[n];
		size_t part = bytes < chain->write_bytes ? bytes : chain->write_bytes;

		virtq_stage(&pair->rx->vq, chain, (uint32_t)part, n);
		segments += chain->nr_write;
		pair->room -= chain->write_bytes;
		bytes -= part;
	}
	virtq_publish(&pair->rx->vq, n);
	pair->rx_used = true;
	pair->nr_chains -= n;
	pair->nr_iov -= segments;
	if (pair->nr_chains) {
		memmove(pair->chain, pair->chain + n, pair->nr_chains * sizeof(pair->chain[0]));
		memmove(pair->iov, pair->iov + segments, pair->nr_iov * sizeof(pair->iov[0]));
		for (n = 0; n < pair->nr_chains; n++)
			pair->chain[n].iov -= segments;
	}
	if (n > 1)
		pair->large = LARGE_FRAMES;
	else if (pair->large)
		pair->large--;
}

/*
 * A frame of pair->held bytes has arrived; what the buffers had no room for is in the spill buffer. Returns false
 * if it has to wait for buffers.
 */
static bool place(struct net_pair *pair)
{
	size_t bytes = pair->held;

	if (bytes > pair->held_room) {
		take_buffers(pair, bytes);
		if (pair->dead)
			return false;
		if (pair->room < bytes && !all_taken(pair))
			return false;
		pair->large = LARGE_FRAMES;
	}
	pair->held = 0;
	/* It would never fit: the driver has not given the buffers that it should have. */
	if (pair->room < bytes)
		return true;
	if (bytes > pair->held_room)
		iov_write(pair->iov, pair->nr_iov, pair->held_room, pair->spill, bytes - pair->held_room);
	hand_over(pair, bytes);
	return true;
}

/* A frame made here, on its way to the driver; lost if there is no room. */
static void emit(void *opaque, const struct virtio_net_hdr_v1 *header, const uint8_t *frame, size_t bytes)
{
	struct net_pair *pair = opaque;
	size_t all = NET_HEADER_BYTES + bytes;

	take_buffers(pair, all);
	if (pair->dead || pair->room < all)
		return;
	iov_write(pair->iov, pair->nr_iov, 0, header, NET_HEADER_BYTES);
	iov_write(pair->iov, pair->nr_iov, NET_HEADER_BYTES, frame, bytes);
	hand_over(pair, all);
}

/*
 * A frame from another guest, in the buffers and the spill buffer: may it go to the driver as it is? What the
 * driver has not agreed to take is finished here, and reaches it in pieces.
 */
static bool fit_for_driver(struct net_pair *pair, size_t bytes)
{
	struct virtio_net_hdr_v1 header;
	uint64_t takes = net_peer_features(pair->net->virtio.features);

	iov_read(pair->iov, pair->nr_iov + 1, 0, &header, sizeof(header));
	/* It may be a hint that a checksum was verified. A peer is not believed. */
	header.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	iov_write(pair->iov, pair->nr_iov + 1, 0, &header, sizeof(header));
	if (net_header_valid(&header, bytes - NET_HEADER_BYTES, takes))
		return true;
	if (!net_header_valid(&header, bytes - NET_HEADER_BYTES, NET_PEER_ALL))
		return false;
	if (!pair->linear)
		pair->linear = malloc(NET_BUFFER_BYTES);
	if (pair->linear) {
		iov_read(pair->iov, pair->nr_iov + 1, NET_HEADER_BYTES, pair->linear, bytes - NET_HEADER_BYTES);
		net_segment(&header, pair->linear, bytes - NET_HEADER_BYTES, emit, pair);
	}
	return false;
}

static bool wanted(struct net_pair *pair, size_t bytes)
{
	uint8_t destination[6];

	if (bytes < NET_HEADER_BYTES + NET_ETH_BYTES)
		return false;
	if (pair->net->backend->ops->filter)
		return true;
	iov_read(pair->iov, pair->nr_iov + 1, NET_HEADER_BYTES, destination, sizeof(destination));
	return net_device_wants(pair->net, destination);
}

static void link_lost(struct net_pair *pair)
{
	pair->link = -1;
	net_link_changed(pair->net, false);
}

/* Returns true if there may be more at once. */
static bool receive(struct net_pair *pair)
{
	struct net_backend *backend = pair->net->backend;
	unsigned int i;
	bool more = true;

	virtq_want_kicks(&pair->rx->vq, false);
	for (i = 0; i < RX_BATCH && !pair->dead; i++) {
		ssize_t n;

		if (pair->held) {
			more = place(pair);
			if (!more)
				break;
			continue;
		}
		take_buffers(pair, pair->large ? NET_BUFFER_BYTES : NET_HEADER_BYTES);
		if (!pair->nr_chains) {
			more = false;
			break;
		}
		pair->iov[pair->nr_iov] = (struct iovec){ pair->spill, sizeof(pair->spill) };
		n = backend->ops->receive(backend, pair->index, pair->iov, pair->nr_iov + 1);
		if (n < 0) {
			if (n == -EPIPE)
				link_lost(pair);
			if (n != -EINTR) {
				pair->rx_pending = false;
				more = false;
				break;
			}
			continue;
		}
		if (!wanted(pair, (size_t)n) || (backend->peer && !fit_for_driver(pair, (size_t)n)))
			continue;
		pair->held = (size_t)n;
		pair->held_room = pair->room;
		if (!place(pair)) {
			more = false;
			break;
		}
	}
	if (pair->rx_used)
		virtio_pushed(&pair->net->virtio, pair->rx);
	pair->rx_used = false;
	if (pair->dead)
		return false;
	/* Out of buffers: only then there is something to be told. */
	if (!more && pair->rx_pending)
		return virtq_want_kicks(&pair->rx->vq, true);
	return more;
}

/* --- Sending -------------------------------------------------------------------------------- */

/* Returns -EAGAIN if the backend takes nothing for now; else the chain is done with. */
static int send_chain(struct net_pair *pair, const struct virtq_chain *chain)
{
	struct net_backend *backend = pair->net->backend;
	struct iovec *iov = pair->tx_iov + 1;
	unsigned int nr = chain->nr_read;
	size_t skip = NET_HEADER_BYTES;
	struct virtio_net_hdr_v1 header;
	int r;

	if (iov_read(iov, nr, 0, &header, sizeof(header)) < sizeof(header) ||
	    !net_header_valid(&header, chain->read_bytes - sizeof(header), pair->net->virtio.features))
		return 0;
	/* From here on the header is our copy, which the guest cannot change. */
	while (iov->iov_len <= skip) {
		skip -= iov->iov_len;
		iov++;
		nr--;
	}
	iov->iov_base = (uint8_t *)iov->iov_base + skip;
	iov->iov_len -= skip;
	header.num_buffers = 0;
	iov[-1] = (struct iovec){ &header, sizeof(header) };
	do {
		r = backend->ops->send(backend, pair->index, iov - 1, nr + 1);
	} while (r == -EINTR);
	return r == -EAGAIN || r == -ENOBUFS ? -EAGAIN : 0;
}

static void block(struct net_pair *pair)
{
	pair->tx_blocked = true;
	watch(pair, EPOLL_CTL_MOD, pair->link, EPOLLIN | EPOLLOUT, SOURCE_BACKEND);
}

/* Returns true if there may be more at once. */
static bool transmit(struct net_pair *pair)
{
	struct virtq *vq = &pair->tx->vq;
	struct virtq_chain chain = { .iov = pair->tx_iov + 1, .room = NET_RING };
	unsigned int i;
	int r = 1;

	virtq_want_kicks(vq, false);
	for (i = 0; i < TX_BATCH; i++) {
		r = pop(pair, pair->tx, &chain);
		if (r <= 0)
			break;
		if (send_chain(pair, &chain) == -EAGAIN && pair->link >= 0) {
			virtq_unpop(vq, &chain);
			block(pair);
			break;
		}
		virtq_push(vq, &chain, 0);
	}
	if (i)
		virtio_pushed(&pair->net->virtio, pair->tx);
	if (r)
		return !pair->dead && !pair->tx_blocked;
	pair->tx_pending = virtq_want_kicks(vq, true);
	return pair->tx_pending;
}

/* --- The thread ----------------------------------------------------------------------------- */

static void revive(struct net_pair *pair)
{
	struct net_backend *backend = pair->net->backend;

	if (backend->ops->revive(backend))
		return;
	pair->link = backend->ops->fd(backend, pair->index);
	pair->rx_pending = true;
	pair->tx_blocked = false;
	watch(pair, EPOLL_CTL_ADD, pair->link, EPOLLIN, SOURCE_BACKEND);
	net_link_changed(pair->net, true);
}

/* What has happened to @source */
static void note(struct net_pair *pair, enum source source, uint32_t events)
{
	switch (source) {
	case SOURCE_RX:
		pair->rx_pending = true;
		break;
	case SOURCE_TX:
		pair->tx_pending = true;
		break;
	case SOURCE_CONTROL:
		net_control(pair->net, pair->control);
		break;
	case SOURCE_BACKEND:
		pair->rx_pending |= (events & ~EPOLLOUT) != 0;
		if (events & EPOLLOUT && pair->tx_blocked) {
			pair->tx_blocked = false;
			pair->tx_pending = true;
			watch(pair, EPOLL_CTL_MOD, pair->link, EPOLLIN, SOURCE_BACKEND);
		}
		break;
	default:
		/* SOURCE_WAKE: the pair may be in use now. */
		pair->rx_pending = true;
		pair->tx_pending = true;
	}
}

static void serve_once(struct net_pair *pair, bool *more)
{
	struct net_backend *backend = pair->net->backend;
	bool down = pair->link < 0 && backend->ops->revive;
	int timeout = *more ? 0 : down ? REVIVE_MS : -1, n, i;
	struct epoll_event event[SOURCES];

	if (backend->ops->wait) {
		backend->ops->wait(backend, pair->epoll, timeout);
		/* Its frames come from in there. */
		pair->rx_pending = true;
		timeout = 0;
	}
	n = epoll_wait(pair->epoll, event, SOURCES, timeout);
	for (i = 0; i < n; i++)
		note(pair, event[i].data.u32, event[i].events);
	if (!n && down)
		revive(pair);
	*more = false;
	if (!__atomic_load_n(&pair->active, __ATOMIC_ACQUIRE))
		return;
	if (pair->tx_pending && !pair->tx_blocked && !pair->dead)
		*more |= transmit(pair);
	if (pair->rx_pending && !pair->dead)
		*more |= receive(pair);
}

static void *serve(void *arg)
{
	struct net_pair *pair = arg;
	bool more = false;

	if (pair->control)
		net_control(pair->net, pair->control);
	pair->rx_pending = true;
	pair->tx_pending = true;
	do {
		serve_once(pair, &more);
	} while (!__atomic_load_n(&pair->stopping, __ATOMIC_ACQUIRE));
	return NULL;
}

/**
 * net_pair_wake() - let a pair's thread look at what has changed
 * @pair: the pair
 */
void net_pair_wake(struct net_pair *pair)
{
	uint64_t one = 1;

	/* It fails only if as much as can be was signalled before. */
	if (write(pair->wake, &one, sizeof(one)) < 0)
		return;
}

/**
 * net_pair_start() - start a pair's thread
 * @pair: the pair; its queues are ready, except that a pair 0 may serve its control queue alone
 *
 * Return: 0, or a negative errno.
 */
int net_pair_start(struct net_pair *pair)
{
	struct net_backend *backend = pair->net->backend;
	int r;

	pair->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (pair->epoll < 0)
		return -errno;
	pair->stopping = false;
	pair->dead = !pair->rx->vq.ready || !pair->tx->vq.ready;
	pair->tx_blocked = false;
	pair->mergeable = virtio_has(&pair->net->virtio, VIRTIO_NET_F_MRG_RXBUF);
	pair->link = backend->ops->fd(backend, pair->index);
	watch(pair, EPOLL_CTL_ADD, pair->wake, EPOLLIN, SOURCE_WAKE);
	watch(pair, EPOLL_CTL_ADD, pair->rx->kick, EPOLLIN, SOURCE_RX);
	watch(pair, EPOLL_CTL_ADD, pair->tx->kick, EPOLLIN, SOURCE_TX);
	if (pair->control)
		watch(pair, EPOLL_CTL_ADD, pair->control->kick, EPOLLIN, SOURCE_CONTROL);
	if (pair->link >= 0)
		watch(pair, EPOLL_CTL_ADD, pair->link, EPOLLIN, SOURCE_BACKEND);
	r = pthread_create(&pair->thread, NULL, serve, pair);
	if (r) {
		close(pair->epoll);
		return -r;
	}
	pthread_setname_np(pair->thread, "net");
	pair->running = true;
	return 0;
}

/**
 * net_pair_stop() - end a pair's thread
 * @pair: the pair; its thread may have never run
 *
 * Buffers that were taken ahead go back to the queue. A frame that waited for buffers is lost.
 */
void net_pair_stop(struct net_pair *pair)
{
	if (!pair->running)
		return;
	__atomic_store_n(&pair->stopping, true, __ATOMIC_RELEASE);
	net_pair_wake(pair);
	pthread_join(pair->thread, NULL);
	close(pair->epoll);
	pair->running = false;
	while (pair->nr_chains) {
		struct virtq_chain *chain = &pair->chain[--pair->nr_chains];

		/* Frames that nobody wanted may be in it. */
		virtq_written(&pair->rx->vq, chain);
		virtq_unpop(&pair->rx->vq, chain);
	}
	pair->nr_iov = 0;
	pair->room = 0;
	pair->held = 0;
}

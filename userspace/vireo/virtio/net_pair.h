/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A pair of queues of a network device and the thread that serves it: from the backend into the receive
 * queue, from the transmit queue to the backend. The thread of pair 0 also serves the control queue.
 */
#ifndef VIREO_VIRTIO_NET_PAIR_H
#define VIREO_VIRTIO_NET_PAIR_H

#include <pthread.h>
#include <stdbool.h>

#include "virtio.h"
#include "../net/net.h"

#define NET_RING	256		/* descriptors of a receive or transmit queue */
#define NET_CONTROL_RING 64
#define NET_SEGMENTS	(NET_RING * 3)	/* of receive buffers taken ahead */

/**
 * struct net_pair - two queues and their thread
 * @net: the device
 * @index: of the pair
 * @rx: queue that the driver receives from
 * @tx: queue that it sends by
 * @control: the control queue; NULL for all pairs but the first, and if there is none
 * @wake: eventfd: look at @stopping and @active
 * @epoll: what the thread waits for; its own while it runs
 * @thread: the thread
 * @running: there is one
 * @stopping: it shall end
 * @active: the driver uses the pair
 * @link: what fd() of the backend was when it was last looked at
 * @dead: a queue is broken: nothing more until a reset
 * @rx_pending: there may be something to receive
 * @rx_used: buffers were given back that the driver was not told of
 * @tx_pending: there may be something to send
 * @tx_blocked: the backend takes nothing for now
 * @mergeable: a frame may take several buffers
 * @chain: receive buffers taken ahead; their segments follow one another in @iov
 * @nr_chains: how many
 * @iov: segments; one more for what the buffers have no room for, @spill
 * @nr_iov: of @chain
 * @room: bytes of them
 * @large: how many frames ago, at the most, one was longer than a buffer: take so many buffers ahead
 *	   that the longest fits
 * @held: bytes of a frame that waits for buffers: its first @held_room are in buffers, the others in @spill
 * @held_room: see @held
 * @spill: bytes of a frame beyond the buffers
 * @linear: a whole frame that has to be changed; allocated when first needed
 * @tx_iov: segments of a chain to send, after our copy of its header
 */
struct net_pair {
	struct net_device *net;
	unsigned int index;
	struct virtio_queue *rx, *tx, *control;
	int wake;
	int epoll;
	pthread_t thread;
	bool running;
	bool stopping;
	bool active;
	int link;
	bool dead;
	bool rx_pending, rx_used;
	bool tx_pending, tx_blocked;
	bool mergeable;
	struct virtq_chain chain[NET_RING];
	unsigned int nr_chains;
	struct iovec iov[NET_SEGMENTS + 1];
	unsigned int nr_iov;
	size_t room;
	unsigned int large;
	size_t held, held_room;
	uint8_t spill[NET_BUFFER_BYTES];
	uint8_t *linear;
	struct iovec tx_iov[NET_RING + 1];
};

/**
 * struct net_device - a network device
 * @virtio: the common part
 * @backend: where frames go
 * @lock: protects @filter, @status and @pairs, which vCPU threads read for the configuration space
 * @filter: what the driver wants to see, and the address
 * @first_mac: the address after a reset
 * @arrived: it comes from elsewhere, and the network has to hear of it
 * @status: VIRTIO_NET_S_*
 * @pairs: that the driver uses
 * @pair: all of them
 * @nr_pairs: how many
 */
struct net_device {
	struct virtio_device virtio;
	struct net_backend *backend;
	pthread_mutex_t lock;
	struct net_filter filter;
	uint8_t first_mac[6];
	bool arrived;
	uint16_t status;
	uint16_t pairs;
	struct net_pair *pair;
	unsigned int nr_pairs;
};

int net_pair_start(struct net_pair *pair);
void net_pair_stop(struct net_pair *pair);
void net_pair_wake(struct net_pair *pair);

int net_device_create(struct net_backend *backend, const uint8_t *mac, struct net_device **out);

/* net.c, for the pairs' threads */
void net_control(struct net_device *net, struct virtio_queue *queue);
void net_link_changed(struct net_device *net, bool up);
bool net_device_wants(struct net_device *net, const uint8_t *destination);

#endif /* VIREO_VIRTIO_NET_PAIR_H */

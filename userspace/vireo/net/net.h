/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the frames of a network device go: a TAP interface, libslirp, a switch of VMs. The device
 * (virtio/net.c) knows no backend, and a backend nothing of rings.
 *
 * All of them take and give the same: the header of virtio-net (12 bytes), then an Ethernet frame.
 * A backend that cannot do anything with the header ignores it, and offers no feature that needs it.
 *
 * Threads: each queue belongs to one thread, which calls receive(), send() and wait(); queue 0's calls
 * the others, too. start() comes before those threads, after it is known what the driver accepts.
 */
#ifndef VIREO_NET_H
#define VIREO_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <linux/virtio_net.h>

struct params;

/* Headers of Linux 6.1 do not have these. */
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4	54
#define VIRTIO_NET_F_GUEST_USO6	55
#define VIRTIO_NET_F_HOST_USO	56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define NET_BIT(feature)	(1ULL << VIRTIO_NET_F_##feature)
#define NET_HEADER_BYTES	12
#define NET_ETH_BYTES		14
/* The longest IP packet with its Ethernet header and a VLAN tag */
#define NET_FRAME_MAX		(65535 + NET_ETH_BYTES + 4)
#define NET_BUFFER_BYTES	(NET_HEADER_BYTES + NET_FRAME_MAX)
#define NET_QUEUES_MAX		64
#define NET_FILTER_MAX		64

/**
 * struct net_filter - what a driver wants to see
 * @promisc: everything
 * @allmulti: all multicasts
 * @alluni: all unicasts
 * @nomulti: no multicast
 * @nouni: no unicast
 * @nobcast: no broadcast
 * @more_uni: more unicast addresses than @table has room for
 * @more_multi: likewise, multicast
 * @nr_uni: unicast addresses, first in @table
 * @nr: addresses in @table
 * @mac: the device's own address
 * @table: more addresses
 */
struct net_filter {
	uint8_t promisc, allmulti, alluni, nomulti, nouni, nobcast;
	uint8_t more_uni, more_multi;
	uint16_t nr_uni, nr;
	uint8_t mac[6];
	uint8_t table[NET_FILTER_MAX][6];
};

struct net_backend;

/**
 * struct net_backend_ops - a kind of network
 * @start: the driver has accepted @features; 0 or a negative errno
 * @fd: what queue @queue's thread waits for, edge-triggered; -1: there is none now, the link is down
 * @receive: a header and a frame, truncated to what @iov has room for. Bytes, -EAGAIN, or -EPIPE: it has ended
 * @send: @iov has a header that was checked and a frame. 0, -EAGAIN: later; other errors: the frame is lost
 * @enable: the driver uses the queue (no longer); may be NULL
 * @filter: pass on what the driver wants to see; NULL: the device sorts out itself
 * @wait: sleep until @fd is readable, or something is there to receive, or @timeout ms are over (-1: no limit).
 *	  NULL: the device waits for @fd and fd() by itself
 * @revive: once a second while the link is down: 0 if it is up again; NULL: it is never down
 * @destroy: free it
 */
struct net_backend_ops {
	int (*start)(struct net_backend *backend, uint64_t features);
	int (*fd)(struct net_backend *backend, unsigned int queue);
	ssize_t (*receive)(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr);
	int (*send)(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr);
	int (*enable)(struct net_backend *backend, unsigned int queue, bool on);
	void (*filter)(struct net_backend *backend, const struct net_filter *filter);
	int (*wait)(struct net_backend *backend, int fd, int timeout);
	int (*revive)(struct net_backend *backend);
	void (*destroy)(struct net_backend *backend);
};

/**
 * struct net_backend - a network as a device sees it, first in a backend's own structure
 * @ops: see there
 * @features: of virtio-net that depend on it
 * @queues: pairs of queues that it can have
 * @mtu: for the guest to know; 0: nothing said
 * @peer: frames and headers come from another guest: nobody has checked them
 */
struct net_backend {
	const struct net_backend_ops *ops;
	uint64_t features;
	unsigned int queues;
	uint16_t mtu;
	bool peer;
};

/* Each takes its parameters from @params. 0, -EINVAL after a message, or another negative errno after one. */
int net_tap_create(struct params *params, unsigned int queues, struct net_backend **out);
int net_user_create(struct params *params, unsigned int queues, struct net_backend **out);
int net_switch_create(struct params *params, unsigned int queues, struct net_backend **out);

bool net_header_valid(const struct virtio_net_hdr_v1 *header, size_t frame_bytes, uint64_t features);
bool net_wanted(const struct net_filter *filter, const uint8_t *destination);
bool net_parse_mac(const char *text, uint8_t *mac);

/* bridge.c: a network interface and the bridge that it is a port of; a negative errno if the kernel refuses */
int net_if_index(const char *name, int *index);
int net_if_up(const char *name);
int net_if_set_mtu(const char *name, unsigned int mtu);
int net_if_mtu(const char *name, unsigned int *mtu);
int net_bridge_add(const char *bridge, const char *port);
int net_bridge_vlan(const char *port, uint16_t vlan);

#endif /* VIREO_NET_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * TAP: an interface of the host, most often a port of a bridge. Frames go between guest memory and the kernel
 * without a copy of ours, with the header of virtio-net before them, so that checksums and segmentation stay the
 * work of whoever does them last. What the driver wants to see is the kernel's work as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/if_tun.h>

#include "../params.h"
#include "../util.h"
#include "net.h"

/* Headers of Linux 6.1 do not have these. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define OFFLOADS (NET_BIT(CSUM) | NET_BIT(GUEST_CSUM) | NET_BIT(GUEST_TSO4) | NET_BIT(GUEST_TSO6) | \
		  NET_BIT(GUEST_ECN) | NET_BIT(HOST_TSO4) | NET_BIT(HOST_TSO6) | NET_BIT(HOST_ECN))
#define OFFLOADS_USO (NET_BIT(GUEST_USO4) | NET_BIT(GUEST_USO6) | NET_BIT(HOST_USO))

struct net_tap {
	struct net_backend backend;
	char name[IFNAMSIZ];
	uint64_t attached;			/* a bit for each queue: the kernel uses it */
	int fd[NET_QUEUES_MAX];
};

static struct net_tap *to_tap(struct net_backend *backend)
{
	return container_of(backend, struct net_tap, backend);
}

static int tap_start(struct net_backend *backend, uint64_t features)
{
	struct net_tap *tap = to_tap(backend);
	unsigned long offloads = 0;

	if (features & NET_BIT(GUEST_CSUM)) {
		offloads = TUN_F_CSUM;
		if (features & NET_BIT(GUEST_TSO4))
			offloads |= TUN_F_TSO4;
		if (features & NET_BIT(GUEST_TSO6))
			offloads |= TUN_F_TSO6;
		if (features & NET_BIT(GUEST_ECN) && offloads & (TUN_F_TSO4 | TUN_F_TSO6))
			offloads |= TUN_F_TSO_ECN;
		/* The kernel has both or none. */
		if (features & NET_BIT(GUEST_USO4) && features & NET_BIT(GUEST_USO6))
			offloads |= TUN_F_USO4 | TUN_F_USO6;
	}
	return ioctl(tap->fd[0], TUNSETOFFLOAD, offloads) < 0 ? -errno : 0;
}

static int tap_fd(struct net_backend *backend, unsigned int queue)
{
	return to_tap(backend)->fd[queue];
}

static ssize_t tap_receive(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr)
{
	ssize_t n = readv(to_tap(backend)->fd[queue], iov, (int)nr);

	return n < 0 ? -errno : n;
}

static int tap_send(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr)
{
	return writev(to_tap(backend)->fd[queue], iov, (int)nr) < 0 ? -errno : 0;
}

static int tap_enable(struct net_backend *backend, unsigned int queue, bool on)
{
	struct ifreq ifr = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };
	struct net_tap *tap = to_tap(backend);

	/* The kernel refuses what is so already; and an interface of one queue. */
	if (tap->backend.queues == 1 || (tap->attached >> queue & 1) == on)
		return 0;
	if (ioctl(tap->fd[queue], TUNSETQUEUE, &ifr) < 0)
		return -errno;
	tap->attached ^= 1ULL << queue;
	return 0;
}

static void tap_filter(struct net_backend *backend, const struct net_filter *filter)
{
	union {
		struct tun_filter tun;
		uint8_t room[sizeof(struct tun_filter) + (NET_FILTER_MAX + 2) * ETH_ALEN];
	} request = { 0 };
	uint8_t (*next)[ETH_ALEN] = request.tun.addr;
	unsigned int i;

	/*
	 * No address at all: everything passes. Exceptions of the kind "no broadcast" are not known there, and do not
	 * matter: a driver sees more than it wants.
	 */
	if (!filter->promisc && !filter->alluni && !filter->more_uni) {
		memcpy(next++, filter->mac, ETH_ALEN);
		memset(next++, 0xff, ETH_ALEN);
		for (i = 0; i < filter->nr; i++)
			memcpy(next++, filter->table[i], ETH_ALEN);
		request.tun.count = (uint16_t)(next - request.tun.addr);
		request.tun.flags = filter->allmulti || filter->more_multi ? TUN_FLT_ALLMULTI : 0;
	}
	/* If that fails the guest sees too much, as behind a hub. */
	ioctl(to_tap(backend)->fd[0], TUNSETTXFILTER, &request);
}

static void tap_destroy(struct net_backend *backend)
{
	struct net_tap *tap = to_tap(backend);
	unsigned int i;

	for (i = 0; i < tap->backend.queues; i++)
		close(tap->fd[i]);
	free(tap);
}

static const struct net_backend_ops tap_ops = {
	.start = tap_start,
	.fd = tap_fd,
	.receive = tap_receive,
	.send = tap_send,
	.enable = tap_enable,
	.filter = tap_filter,
	.destroy = tap_destroy,
};

/* Open one queue of the interface @tap->name, which it makes if there is none. */
static int open_queue(struct net_tap *tap, bool multi)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
						  (multi ? IFF_MULTI_QUEUE : 0)) };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), r;

	if (fd < 0) {
		r = -errno;
		report_error("net: /dev/net/tun: %s%s", strerror(-r),
			     r == -ENOENT ? " (\"modprobe tun\")" : "");
		return r;
	}
	memcpy(ifr.ifr_name, tap->name, sizeof(ifr.ifr_name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		r = -errno;
		if (r == -EPERM)
			report_error("net: %s: no permission: it has to be made for you (\"ip tuntap add dev NAME mode tap user USER\"), or the launcher needs CAP_NET_ADMIN",
				     *tap->name ? tap->name : "a new interface");
		else if (r == -EBUSY)
			report_error("net: %s is in use by another program", tap->name);
		else if (r == -EINVAL)
			report_error("net: %s is not a TAP interface, or was made %s queues (\"multi_queue\")",
				     tap->name, multi ? "for one queue, not for several" : "for several");
		else
			report_error("net: %s: %s", tap->name, strerror(-r));
		close(fd);
		return r;
	}
	memcpy(tap->name, ifr.ifr_name, sizeof(tap->name));
	return fd;
}

/* A descriptor that somebody else has opened */
static int take_fd(struct net_tap *tap, const char *text, size_t len)
{
	char number[12] = "";
	struct ifreq ifr = { 0 };
	uint64_t fd;
	int flags;

	if (len >= sizeof(number))
		len = 0;
	memcpy(number, text, len);
	if (parse_number(number, INT32_MAX, &fd)) {
		report_error("net: fd: \"%s\": numbers of file descriptors, with \";\" between them, are expected", text);
		return -EINVAL;
	}
	if (ioctl((int)fd, TUNGETIFF, &ifr) < 0 || !(ifr.ifr_flags & IFF_TAP) || !(ifr.ifr_flags & IFF_NO_PI) ||
	    !(ifr.ifr_flags & IFF_VNET_HDR)) {
		report_error("net: fd: %d is not a TAP interface, opened with IFF_NO_PI and IFF_VNET_HDR", (int)fd);
		return -EINVAL;
	}
	flags = fcntl((int)fd, F_GETFL);
	if (flags < 0 || fcntl((int)fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	if (tap->backend.queues && strcmp(tap->name, ifr.ifr_name)) {
		report_error("net: fd: %d is %s, but the others are %s", (int)fd, ifr.ifr_name, tap->name);
		return -EINVAL;
	}
	memcpy(tap->name, ifr.ifr_name, sizeof(tap->name));
	return (int)fd;
}

static int open_queues(struct net_tap *tap, const char *name, const char *fds, unsigned int queues)
{
	int header = NET_HEADER_BYTES, fd;
	bool given = fds;

	if (fds && (name || queues > 1)) {
		report_error("net: fd excludes %s", name ? "ifname" : "queues: it has one for each");
		return -EINVAL;
	}
	if (name && (!*name || strlen(name) >= IFNAMSIZ || strchr(name, '/'))) {
		report_error("net: ifname: \"%s\" cannot be the name of an interface", name);
		return -EINVAL;
	}
	strcpy(tap->name, name ? name : fds ? "" : "vireo%d");
	do {
		size_t len = fds ? strcspn(fds, ";") : 0;

		if (tap->backend.queues == NET_QUEUES_MAX) {
			report_error("net: fd: more than %u", NET_QUEUES_MAX);
			return -EINVAL;
		}
		fd = fds ? take_fd(tap, fds, len) : open_queue(tap, queues > 1);
		if (fd < 0)
			return fd;
		tap->attached |= 1ULL << tap->backend.queues;
		tap->fd[tap->backend.queues++] = fd;
		if (fds)
			fds = fds[len] ? fds + len + 1 : NULL;
		/* Says how the kernel and we lay out what stands before a frame. */
		if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0) {
			report_error("net: %s: %s", tap->name, strerror(errno));
			return -EOPNOTSUPP;
		}
	} while (fds || (tap->backend.queues < queues && !given));
	return 0;
}

static int on_bridge(struct net_tap *tap, const char *bridge, uint64_t vlan)
{
	int r;

	if (bridge) {
		r = net_bridge_add(bridge, tap->name);
		if (r && r != -EBUSY) {
			report_error("net: %s cannot become a port of %s: %s", tap->name, bridge,
				     r == -EOPNOTSUPP ? "that is not a bridge" : strerror(-r));
			return r;
		}
	}
	if (vlan) {
		r = net_bridge_vlan(tap->name, (uint16_t)vlan);
		if (r) {
			report_error("net: %s: VLAN %u: %s", tap->name, (unsigned int)vlan,
				     r == -EOPNOTSUPP ? "it is not a port of a bridge that knows VLANs" : strerror(-r));
			return r;
		}
	}
	r = net_if_up(tap->name);
	if (r == -EPERM)
		report_note("net: %s is down: \"ip link set %s up\" as root brings it up", tap->name, tap->name);
	else if (r)
		report_error("net: %s cannot be brought up: %s", tap->name, strerror(-r));
	return r == -EPERM ? 0 : r;
}

static int set_up(struct net_tap *tap, struct params *params, unsigned int queues)
{
	const char *name = params_string(params, "ifname"), *fds = params_string(params, "fd");
	const char *bridge = params_string(params, "bridge");
	uint64_t vlan = 0, mtu = 0;
	unsigned int has;
	int r;

	r = params_number(params, "vlan", 1, 4094, &vlan);
	if (!r)
		r = params_number(params, "mtu", 68, 65521, &mtu);
	if (!r)
		r = params_done(params);
	if (!r)
		r = open_queues(tap, name, fds, queues);
	if (r)
		return r;
	if (mtu) {
		r = net_if_set_mtu(tap->name, (unsigned int)mtu);
		if (r) {
			report_error("net: %s: MTU %u: %s", tap->name, (unsigned int)mtu, strerror(-r));
			return r;
		}
	}
	r = on_bridge(tap, bridge, vlan);
	if (r)
		return r;
	/* The interface may have had another one, or have got the bridge's. */
	if (!net_if_mtu(tap->name, &has) && has != 1500 && has <= 65535)
		tap->backend.mtu = (uint16_t)has;
	tap->backend.features = OFFLOADS;
	/* It says whether it knows them when they are asked for. */
	if (ioctl(tap->fd[0], TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6) == 0)
		tap->backend.features |= OFFLOADS_USO;
	if (ioctl(tap->fd[0], TUNSETOFFLOAD, 0) < 0) {
		report_error("net: %s: no offloads: %s", tap->name, strerror(errno));
		return -EOPNOTSUPP;
	}
	return 0;
}

/**
 * net_tap_create() - open a TAP interface
 * @params: ifname or fd, bridge, vlan, mtu
 * @queues: how many queues; with fd it says how many there are
 * @out: the backend
 *
 * Return: 0, or a negative errno after a message.
 */
int net_tap_create(struct params *params, unsigned int queues, struct net_backend **out)
{
	struct net_tap *tap = calloc(1, sizeof(*tap));
	int r;

	if (!tap)
		return -ENOMEM;
	tap->backend.ops = &tap_ops;
	r = set_up(tap, params, queues);
	if (r) {
		tap_destroy(&tap->backend);
		return r;
	}
	*out = &tap->backend;
	return 0;
}

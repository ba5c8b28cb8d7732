// SPDX-License-Identifier: GPL-2.0-only
/* Kinds of networks: what they accept as parameters; frames through libslirp and through a switch; TAP where it may be. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tap.h"
#include "../vireo/net/hub.h"
#include "../vireo/net/net.h"
#include "../vireo/params.h"
#include "../vireo/util.h"

typedef int (*create_fn)(struct params *params, unsigned int queues, struct net_backend **out);

static const uint8_t card[6] = { 2, 0, 0, 0, 0, 1 };

static int create(create_fn make, const char *text, unsigned int queues, struct net_backend **out)
{
	struct params params = { 0 };
	int r = params_parse(&params, "net", NULL, text);

	if (!r)
		r = make(&params, queues, out);
	params_free(&params);
	return r;
}

static void test_refused(void)
{
	static const struct {
		create_fn make;
		unsigned int queues;
		const char *text;
	} row[] = {
		{ net_user_create, 1, "net=10.0.2.0" }, { net_user_create, 1, "net=10.0.2.1/24" },
		{ net_user_create, 1, "net=10.0.2.0/28" }, { net_user_create, 1, "net=10.0.2.0/7" },
		{ net_user_create, 1, "net=none/24" }, { net_user_create, 1, "net=fd00::/64" },
		{ net_user_create, 1, "mtu=100" }, { net_user_create, 1, "mtu=65522" },
		{ net_user_create, 1, "restrict=perhaps" }, { net_user_create, 1, "path=/tmp" },
		{ net_user_create, 2, "restrict" }, { net_user_create, 1, "hostfwd=tcp:2222-:22" },
		{ net_user_create, 1, "hostfwd=sctp::2222-:22" }, { net_user_create, 1, "hostfwd=tcp::2222" },
		{ net_user_create, 1, "hostfwd=tcp::0-:22" }, { net_user_create, 1, "hostfwd=tcp::65536-:22" },
		{ net_user_create, 1, "hostfwd=tcp:host:2222-:22" }, { net_user_create, 1, "hostfwd=tcp::2222-:" },
		{ net_user_create, 1, "hostfwd=-:" }, { net_user_create, 1, "hostfwd=tcp:" },
		{ net_switch_create, 1, "vlan=1" }, { net_switch_create, 1, "path=" },
		{ net_switch_create, 1, "path=/tmp/x,vlan=4095" }, { net_switch_create, 2, "path=/tmp/x" },
		{ net_switch_create, 1, "path=/tmp/x,bridge=br0" },
		{ net_tap_create, 1, "ifname=much-too-long-for-it" }, { net_tap_create, 1, "ifname=a/b" },
		{ net_tap_create, 1, "ifname=" }, { net_tap_create, 1, "vlan=0" }, { net_tap_create, 1, "vlan=4095" },
		{ net_tap_create, 1, "fd=99,ifname=a" }, { net_tap_create, 2, "fd=0" }, { net_tap_create, 1, "fd=x" },
		{ net_tap_create, 1, "fd=0" }, { net_tap_create, 1, "fd=999" }, { net_tap_create, 1, "mtu=67" },
		{ net_tap_create, 1, "hostfwd=tcp::1-:1" },
	};
	struct net_backend *backend = NULL;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(row); i++)
		is(create(row[i].make, row[i].text, row[i].queues, &backend), -EINVAL, "refused: %s", row[i].text);
	ok(!backend, "none of them makes one");
}

/* ---- libslirp ---- */

static void send_frame(struct net_backend *backend, const void *frame, size_t bytes)
{
	uint8_t header[NET_HEADER_BYTES] = { 0 };
	struct iovec iov[2] = { { header, sizeof(header) }, { (void *)frame, bytes } };

	is(backend->ops->send(backend, 0, iov, 2), 0, "sent");
}

/* Wait for a frame of @type (0: any); its length without the header */
static ssize_t get_frame(struct net_backend *backend, uint8_t *frame, uint16_t type)
{
	uint8_t header[NET_HEADER_BYTES];
	struct iovec iov[2] = { { header, sizeof(header) }, { frame, NET_FRAME_MAX } };
	int quiet = eventfd(0, 0);
	unsigned int i;
	ssize_t n = -1;

	for (i = 0; i < 2000; i++) {
		n = backend->ops->receive(backend, 0, iov, 2);
		if (n > 0 ? !type || (frame[12] << 8 | frame[13]) == type : n != -EAGAIN)
			break;
		if (n == -EAGAIN && backend->ops->wait)
			backend->ops->wait(backend, quiet, 10);
		else if (n == -EAGAIN)
			poll(&(struct pollfd){ backend->ops->fd(backend, 0), POLLIN, 0 }, 1, 10);
	}
	close(quiet);
	return n > 0 ? n - NET_HEADER_BYTES : n;
}

static void put_arp(uint8_t *frame, uint8_t op, const uint8_t *from, const uint8_t *to)
{
	memset(frame, 0, 60);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, card, 6);
	memcpy(frame + 12, (const uint8_t[]){ 8, 6, 0, 1, 8, 0, 6, 4, 0, op }, 10);
	memcpy(frame + 22, card, 6);
	memcpy(frame + 28, from, 4);
	memcpy(frame + 38, to, 4);
}

static void test_user(void)
{
	static const uint8_t guest[4] = { 10, 7, 0, 15 }, router[4] = { 10, 7, 0, 2 };
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	static uint8_t frame[NET_FRAME_MAX];
	struct net_backend *backend;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char text[100];

	/* A port that is free: somebody else could take it before libslirp does, but nobody does. */
	bind(fd, (struct sockaddr *)&at, sizeof(at));
	getsockname(fd, (struct sockaddr *)&at, &len);
	close(fd);
	snprintf(text, sizeof(text), "net=10.7.0.0/16,hostfwd=udp:127.0.0.1:%u-:99", ntohs(at.sin_port));
	if (create(net_user_create, text, 1, &backend)) {
		tap_skip("no libslirp, or no ports");
		return;
	}
	is(backend->features, 0, "no offloads");
	put_arp(frame, 1, guest, router);
	send_frame(backend, frame, 60);
	ok(get_frame(backend, frame, 0x0806) >= 42 && frame[21] == 2 && !memcmp(frame + 28, router, 4),
	   "the router answers");
	put_arp(frame, 1, guest, (const uint8_t[]){ 10, 7, 0, 99 });
	send_frame(backend, frame, 10);
	send_frame(backend, frame, 0);

	/* From a port of the host to the guest */
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	is(sendto(fd, "word", 4, 0, (struct sockaddr *)&at, sizeof(at)), 4, "a datagram to a forwarded port");
	ok(get_frame(backend, frame, 0x0800) == 46 && !memcmp(frame, card, 6) && !memcmp(frame + 30, guest, 4) &&
	   frame[36] == 0 && frame[37] == 99 && !memcmp(frame + 42, "word", 4), "arrives");
	close(fd);
	backend->ops->destroy(backend);
}

/* ---- A switch ---- */

static struct hub *hub;
static int until;

static void *serve(void *unused)
{
	(void)unused;
	hub_run(hub, until);
	return NULL;
}

static pthread_t start_hub(const char *path)
{
	pthread_t thread;

	until = eventfd(0, 0);
	if (hub_create(path, 0600, 8, &hub) || pthread_create(&thread, NULL, serve, NULL))
		abort();
	return thread;
}

static void stop_hub(pthread_t thread)
{
	uint64_t one = 1;

	if (write(until, &one, sizeof(one)) != sizeof(one))
		abort();
	pthread_join(thread, NULL);
	hub_destroy(hub);
	close(until);
}

static void test_switch(void)
{
	char dir[] = "/tmp/vireo-net-XXXXXX", path[64], text[100];
	static uint8_t frame[NET_FRAME_MAX];
	struct net_backend *a, *b, *early;
	pthread_t thread;

	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(text, sizeof(text), "path=%s,vlan=9,mtu=9000", path);
	is(create(net_switch_create, text, 1, &early), 0, "a port may be there before its switch");
	is(early->ops->fd(early, 0), -1, "its link is down");
	is(early->ops->revive(early), -ENOENT, "as long as there is none");
	put_arp(frame, 1, frame, frame);
	{
		struct iovec iov = { frame, 60 };

		is(early->ops->send(early, 0, &iov, 1), -EPIPE, "what is sent is lost");
		is(early->ops->receive(early, 0, &iov, 1), -EAGAIN, "and nothing comes");
	}
	thread = start_hub(path);
	is(early->ops->revive(early), 0, "then it is up");
	is(create(net_switch_create, text, 1, &a), 0, "another port");
	is(a->mtu, 9000, "its MTU");
	snprintf(text, sizeof(text), "path=%s,vlan=10", path);
	is(create(net_switch_create, text, 1, &b), 0, "and one in another network");
	send_frame(a, frame, 60);
	is(get_frame(early, frame, 0x0806), 60, "a frame arrives");
	send_frame(a, frame, NET_FRAME_MAX);
	is(get_frame(early, frame, 0), NET_FRAME_MAX, "the longest, too");
	{
		struct iovec iov = { frame, sizeof(frame) };

		is(b->ops->receive(b, 0, &iov, 1), -EAGAIN, "not in the other network");
	}
	stop_hub(thread);
	is(get_frame(a, frame, 0), -EPIPE, "the end of the switch is seen");
	is(a->ops->fd(a, 0), -1, "the link is down");
	a->ops->destroy(a);
	b->ops->destroy(b);
	early->ops->destroy(early);
	snprintf(text, sizeof(text), "path=%s", dir);
	is(create(net_switch_create, text, 1, &a), -ENOTSOCK, "a directory is no switch");
	rmdir(dir);
}

/* ---- TAP: in a network namespace of its own, if that can be had ---- */

static void test_tap(void)
{
	static const uint8_t other[6] = { 2, 0, 0, 0, 0, 9 };
	struct net_filter filter = { .mac = { 2, 0, 0, 0, 0, 1 } };
	struct net_backend *backend, *second;
	static uint8_t frame[NET_FRAME_MAX];
	unsigned int mtu = 0;
	int index, before;

	if (geteuid() || access("/dev/net/tun", R_OK | W_OK) || unshare(CLONE_NEWNET)) {
		tap_skip("no TAP interfaces here");
		return;
	}
	is(create(net_tap_create, "ifname=one,mtu=2000", 1, &backend), 0, "an interface is made");
	is(net_if_index("one", &index), 0, "it is there");
	ok(!net_if_mtu("one", &mtu) && mtu == 2000 && backend->mtu == 2000, "with its MTU");
	is(create(net_tap_create, "ifname=one", 1, &second), -EBUSY, "two launchers cannot have it");
	is(create(net_tap_create, "ifname=one", 2, &second), -EINVAL, "nor one that wants several queues");
	is(create(net_tap_create, "bridge=none", 1, &second), -ENODEV, "no such bridge");
	is(create(net_tap_create, "bridge=one", 1, &second), -EOPNOTSUPP, "that is no bridge");
	is(create(net_tap_create, "vlan=5", 1, &second), -EOPNOTSUPP, "no port of a bridge");
	is(net_if_index("vireo0", &before), -ENODEV, "refused ones leave nothing");
	is(backend->ops->start(backend, backend->features), 0, "all offloads");
	is(backend->ops->start(backend, 0), 0, "no offloads");
	ok(backend->features & NET_BIT(HOST_TSO4), "segmentation is offered");
	backend->ops->filter(backend, &filter);
	put_arp(frame, 1, frame, other);
	send_frame(backend, frame, 60);
	filter.promisc = 1;
	backend->ops->filter(backend, &filter);
	backend->ops->destroy(backend);
	is(net_if_index("one", &index), -ENODEV, "it goes with its launcher");

	is(create(net_tap_create, "ifname=many", 3, &backend), 0, "several queues");
	is(backend->queues, 3, "three");
	is(backend->ops->enable(backend, 1, false), 0, "one rests");
	is(backend->ops->enable(backend, 1, false), 0, "said twice");
	is(backend->ops->enable(backend, 1, true), 0, "and works again");
	backend->ops->destroy(backend);
}

int main(void)
{
	test_refused();
	test_user();
	test_switch();
	test_tap();
	return tap_done();
}

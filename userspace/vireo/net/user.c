// SPDX-License-Identifier: GPL-2.0-only
/*
 * A network without privileges: libslirp ends the guest's connections in the launcher and makes its own, as any
 * program may. It has a DHCP server, passes on DNS, and forwards ports of the host to the guest.
 *
 * The library is opened when it is asked for: it brings GLib along, 1.2 MiB that other VMs need not have.
 * It is called by one thread at a time: first who creates it, then the thread of the device's queue.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../params.h"
#include "../util.h"
#include "../virtio/queue.h"
#include "net.h"

#define LIBRARY		"libslirp.so.0"
#define BACKLOG		(2U << 20)	/* bytes that wait for the guest */
#define FIRST_LEASE	15
#define MTU_DEFAULT	1500
#define NSEC_PER_MSEC	1000000

#define SLIRP_CALLS(X) X(new) X(cleanup) X(input) X(pollfds_fill) X(pollfds_poll) X(add_hostfwd)
#define SLIRP_MEMBER(name) __typeof__(&slirp_##name) name;

struct user_frame {
	struct user_frame *next;
	size_t bytes;
	uint8_t data[];
};

struct user_timer {
	struct user_timer *next;
	SlirpTimerCb fire;
	void *opaque;
	int64_t at_ms;		/* -1: not armed */
};

struct net_user {
	struct net_backend backend;
	void *library;
	struct { SLIRP_CALLS(SLIRP_MEMBER) } call;
	Slirp *slirp;
	SlirpConfig config;
	struct user_frame *first, **last;
	size_t waiting;
	struct user_timer *timers;
	struct pollfd *fds;
	unsigned int nr_fds, room_fds;
	uint8_t frame[NET_FRAME_MAX];
};

static struct net_user *to_user(struct net_backend *backend)
{
	return container_of(backend, struct net_user, backend);
}

static int64_t clock_ns(void *opaque)
{
	struct timespec ts;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * (int64_t)NSEC_PER_SEC + ts.tv_nsec;
}

/* From libslirp, for the guest. What is too much is lost; TCP sends it again. */
static ssize_t from_slirp(const void *data, size_t bytes, void *opaque)
{
	struct net_user *user = opaque;
	struct user_frame *frame;

	if (bytes > NET_FRAME_MAX || user->waiting + bytes > BACKLOG)
		return (ssize_t)bytes;
	frame = malloc(sizeof(*frame) + bytes);
	if (!frame)
		return (ssize_t)bytes;
	frame->next = NULL;
	frame->bytes = bytes;
	memcpy(frame->data, data, bytes);
	*user->last = frame;
	user->last = &frame->next;
	user->waiting += bytes;
	return (ssize_t)bytes;
}

static void drop_first(struct net_user *user)
{
	struct user_frame *frame = user->first;

	user->first = frame->next;
	user->waiting -= frame->bytes;
	if (!user->first)
		user->last = &user->first;
	free(frame);
}

/* A guest could fill a disk with what it does wrong. */
static void guest_error(const char *text, void *opaque)
{
	(void)text;
	(void)opaque;
}

static void *timer_new(SlirpTimerCb fire, void *fire_opaque, void *opaque)
{
	struct user_timer *timer = calloc(1, sizeof(*timer));
	struct net_user *user = opaque;

	/* libslirp cannot do without, as it cannot without any of its memory. */
	if (!timer)
		abort();
	*timer = (struct user_timer){ user->timers, fire, fire_opaque, -1 };
	user->timers = timer;
	return timer;
}

static void timer_free(void *timer, void *opaque)
{
	struct net_user *user = opaque;
	struct user_timer **link;

	for (link = &user->timers; *link; link = &(*link)->next) {
		if (*link == timer) {
			*link = (*link)->next;
			free(timer);
			return;
		}
	}
}

static void timer_mod(void *opaque_timer, int64_t at_ms, void *opaque)
{
	struct user_timer *timer = opaque_timer;

	(void)opaque;
	timer->at_ms = at_ms;
}

/* All descriptors are asked for anew before each poll(). */
static void register_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void notify(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = from_slirp,
	.guest_error = guest_error,
	.clock_get_ns = clock_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = register_fd,
	.unregister_poll_fd = register_fd,
	.notify = notify,
};

static int add_fd(int fd, int events, void *opaque)
{
	struct net_user *user = opaque;
	struct pollfd *more;

	if (user->nr_fds == user->room_fds) {
		more = reallocarray(user->fds, user->room_fds + 64, sizeof(*more));
		if (!more)
			return -1;
		user->fds = more;
		user->room_fds += 64;
	}
	more = &user->fds[user->nr_fds];
	*more = (struct pollfd){ .fd = fd };
	more->events = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
			       (events & SLIRP_POLL_PRI ? POLLPRI : 0));
	return (int)user->nr_fds++;
}

static int events_of(int index, void *opaque)
{
	struct net_user *user = opaque;
	int events;

	if (index < 0)
		return 0;
	events = user->fds[index].revents;
	return (events & POLLIN ? SLIRP_POLL_IN : 0) | (events & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (events & POLLPRI ? SLIRP_POLL_PRI : 0) | (events & (POLLERR | POLLNVAL) ? SLIRP_POLL_ERR : 0) |
	       (events & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void run_timers(struct net_user *user)
{
	int64_t now = clock_ns(NULL) / NSEC_PER_MSEC;
	struct user_timer *timer, *next;

	for (timer = user->timers; timer; timer = next) {
		next = timer->next;
		if (timer->at_ms < 0 || timer->at_ms > now)
			continue;
		timer->at_ms = -1;
		timer->fire(timer->opaque);
	}
}

static int user_wait(struct net_backend *backend, int fd, int timeout)
{
	struct net_user *user = to_user(backend);
	uint32_t limit = timeout < 0 ? UINT32_MAX : (uint32_t)timeout;
	int64_t now = clock_ns(NULL) / NSEC_PER_MSEC;
	const struct user_timer *timer;
	int n;

	user->nr_fds = 0;
	if (add_fd(fd, SLIRP_POLL_IN, user) < 0)
		return -ENOMEM;
	user->call.pollfds_fill(user->slirp, &limit, add_fd, user);
	for (timer = user->timers; timer; timer = timer->next) {
		if (timer->at_ms >= 0 && timer->at_ms - now < limit)
			limit = timer->at_ms > now ? (uint32_t)(timer->at_ms - now) : 0;
	}
	n = poll(user->fds, user->nr_fds, limit > INT32_MAX ? -1 : (int)limit);
	user->call.pollfds_poll(user->slirp, n < 0, events_of, user);
	run_timers(user);
	return 0;
}

static int user_start(struct net_backend *backend, uint64_t features)
{
	(void)backend;
	(void)features;
	return 0;
}

/* Its own descriptors come and go: user_wait() has them. */
static int user_fd(struct net_backend *backend, unsigned int queue)
{
	(void)backend;
	(void)queue;
	return -1;
}

static ssize_t user_receive(struct net_backend *backend, unsigned int queue, const struct iovec *iov,
			    unsigned int nr)
{
	static const uint8_t header[NET_HEADER_BYTES];
	struct net_user *user = to_user(backend);
	size_t n;

	(void)queue;
	if (!user->first)
		return -EAGAIN;
	n = iov_write(iov, nr, 0, header, sizeof(header));
	n += iov_write(iov, nr, n, user->first->data, user->first->bytes);
	drop_first(user);
	return (ssize_t)n;
}

/* A copy: libslirp looks at some bytes twice, and those are the guest's. */
static int user_send(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr)
{
	struct net_user *user = to_user(backend);
	size_t n = iov_read(iov, nr, NET_HEADER_BYTES, user->frame, sizeof(user->frame));

	(void)queue;
	user->call.input(user->slirp, user->frame, (int)n);
	return 0;
}

/* Only what is for the guest comes from there. */
static void user_filter(struct net_backend *backend, const struct net_filter *filter)
{
	(void)backend;
	(void)filter;
}

static void user_destroy(struct net_backend *backend)
{
	struct net_user *user = to_user(backend);

	if (user->slirp)
		user->call.cleanup(user->slirp);
	/* The library stays: GLib cannot be unloaded. */
	while (user->first)
		drop_first(user);
	free(user->fds);
	free(user);
}

static const struct net_backend_ops user_ops = {
	.start = user_start,
	.fd = user_fd,
	.receive = user_receive,
	.send = user_send,
	.filter = user_filter,
	.wait = user_wait,
	.destroy = user_destroy,
};

static int open_library(struct net_user *user)
{
	user->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!user->library) {
		report_error("net: user: %s (Debian's package is libslirp0)", dlerror());
		return -ENOENT;
	}
#define SLIRP_FIND(name)								\
	user->call.name = (__typeof__(&slirp_##name))dlsym(user->library, "slirp_" #name);	\
	if (!user->call.name) {								\
		report_error("net: user: %s", dlerror());					\
		return -ENOENT;								\
	}
	SLIRP_CALLS(SLIRP_FIND)
	return 0;
}

/* NETWORK/BITS: where the router, the name server and the guests are in it follows */
static int parse_network(SlirpConfig *config, const char *text)
{
	const char *slash = strchr(text, '/');
	char address[INET_ADDRSTRLEN] = "";
	struct in_addr network;
	uint64_t bits;
	uint32_t mask;

	if (slash && (size_t)(slash - text) < sizeof(address))
		memcpy(address, text, (size_t)(slash - text));
	if (!slash || inet_pton(AF_INET, address, &network) != 1 || parse_number(slash + 1, 27, &bits) || bits < 8) {
		report_error("net: net: \"%s\" is not a network of 8 to 27 bits, such as 10.0.2.0/24", text);
		return -EINVAL;
	}
	mask = ~0U << (32 - bits);
	if (ntohl(network.s_addr) & ~mask) {
		report_error("net: net: \"%s\" is an address in a network, not the network", text);
		return -EINVAL;
	}
	config->vnetwork = network;
	config->vnetmask.s_addr = htonl(mask);
	config->vhost.s_addr = network.s_addr | htonl(2);
	config->vnameserver.s_addr = network.s_addr | htonl(3);
	config->vdhcp_start.s_addr = network.s_addr | htonl(FIRST_LEASE);
	return 0;
}

/* "ADDRESS:PORT", either address may be missing: 0 then */
static bool parse_end(const char *text, size_t len, struct in_addr *address, int *port)
{
	char copy[INET_ADDRSTRLEN + 8], *colon;
	uint64_t number;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = 0;
	colon = strchr(copy, ':');
	if (!colon || parse_number(colon + 1, 65535, &number) || !number)
		return false;
	*colon = 0;
	address->s_addr = 0;
	*port = (int)number;
	return !*copy || inet_pton(AF_INET, copy, address) == 1;
}

static int forward(struct net_user *user, const char *text, size_t len)
{
	bool udp = !strncmp(text, "udp:", 4);
	const char *minus = memchr(text, '-', len);
	struct in_addr here, there;
	int port, guest_port;

	if ((!udp && strncmp(text, "tcp:", 4)) || !minus || !parse_end(text + 4, (size_t)(minus - text) - 4, &here, &port) ||
	    !parse_end(minus + 1, len - (size_t)(minus + 1 - text), &there, &guest_port)) {
		report_error("net: hostfwd: \"%.*s\": PROTOCOL:[ADDRESS]:PORT-[ADDRESS]:PORT is expected, such as tcp:127.0.0.1:2222-:22",
			     (int)len, text);
		return -EINVAL;
	}
	if (!there.s_addr)
		there = user->config.vdhcp_start;
	if (user->call.add_hostfwd(user->slirp, udp, here, port, there, guest_port) < 0) {
		report_error("net: hostfwd: \"%.*s\": %s", (int)len, text, strerror(errno));
		return -EADDRINUSE;
	}
	return 0;
}

static int forwards(struct net_user *user, const char *list)
{
	int r = 0;

	while (list && *list && !r) {
		size_t len = strcspn(list, ";");

		r = forward(user, list, len);
		list += len + (list[len] == ';');
	}
	return r;
}

static int set_up(struct net_user *user, struct params *params, unsigned int queues)
{
	const char *network = params_string(params, "net"), *list = params_string(params, "hostfwd");
	bool restricted = false, loopback = false, ipv6 = true;
	SlirpConfig *config = &user->config;
	uint64_t mtu = MTU_DEFAULT;
	int r;

	r = params_bool(params, "restrict", &restricted);
	if (!r)
		r = params_bool(params, "loopback", &loopback);
	if (!r)
		r = params_bool(params, "ipv6", &ipv6);
	if (!r)
		r = params_number(params, "mtu", 1280, 65521, &mtu);
	if (!r)
		r = params_done(params);
	if (!r)
		r = parse_network(config, network ? network : "10.0.2.0/24");
	if (r)
		return r;
	if (queues > 1) {
		report_error("net: queues: user has one");
		return -EINVAL;
	}
	r = open_library(user);
	if (r)
		return r;
	config->version = 1;
	config->in_enabled = true;
	config->restricted = restricted;
	config->disable_host_loopback = !loopback;
	config->if_mtu = mtu;
	config->if_mru = mtu;
	config->in6_enabled = ipv6;
	/* A unique local prefix: "vireo" in ASCII */
	inet_pton(AF_INET6, "fd76:6972:656f::", &config->vprefix_addr6);
	inet_pton(AF_INET6, "fd76:6972:656f::2", &config->vhost6);
	inet_pton(AF_INET6, "fd76:6972:656f::3", &config->vnameserver6);
	config->vprefix_len = 64;
	user->backend.queues = 1;
	user->backend.mtu = mtu == MTU_DEFAULT ? 0 : (uint16_t)mtu;
	user->slirp = user->call.new(config, &callbacks, user);
	if (!user->slirp) {
		report_error("net: user: libslirp refuses this network");
		return -EINVAL;
	}
	return forwards(user, list);
}

/**
 * net_user_create() - make a network without privileges
 * @params: net, hostfwd, restrict, loopback, ipv6, mtu
 * @queues: must be 1
 * @out: the backend
 *
 * Return: 0, or a negative errno after a message.
 */
int net_user_create(struct params *params, unsigned int queues, struct net_backend **out)
{
	struct net_user *user = calloc(1, sizeof(*user));
	int r;

	if (!user)
		return -ENOMEM;
	user->backend.ops = &user_ops;
	user->last = &user->first;
	r = set_up(user, params, queues);
	if (r) {
		user_destroy(&user->backend);
		return r;
	}
	*out = &user->backend;
	return 0;
}

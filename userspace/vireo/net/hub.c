// SPDX-License-Identifier: GPL-2.0-only
/*
 * A learning switch. Networks (VLANs) are kept apart by the number that each port has given in its greeting;
 * tags within frames are not looked at, so guests may use their own.
 *
 * It believes nobody: a port that sends what it should not is ignored, one that does not read loses its frames
 * once HUB_BACKLOG bytes wait for it and holds up nobody else, and the table of addresses is bounded for
 * each port and as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../util.h"
#include "hub.h"
#include "net.h"

#define BATCH	32
#define WAYS	4
#define STRANGERS 16		/* connected, but without a greeting yet */

struct hub_frame {
	struct hub_frame *next;
	size_t bytes;
	uint8_t data[];
};

struct hub_port {
	struct hub *hub;
	int fd;
	bool greeted;
	uint16_t vlan;
	unsigned int macs;
	struct hub_frame *first, **last;
	size_t waiting;
};

struct hub_mac {
	struct hub_port *port;	/* NULL: the entry is free */
	uint16_t vlan;
	uint8_t mac[6];
	time_t heard;
};

struct hub {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int lock, listener, epoll;
	unsigned int ports_max, greeted, nr_ports;
	struct hub_port *port[HUB_PORTS_MAX + STRANGERS];
	struct hub_mac mac[HUB_MACS / WAYS][WAYS];
	uint8_t buffer[NET_BUFFER_BYTES + 1];
};

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

static struct hub_mac *set_of(struct hub *hub, uint16_t vlan, const uint8_t *mac)
{
	uint64_t key = vlan;
	unsigned int i;

	for (i = 0; i < 6; i++)
		key = key << 8 | mac[i];
	key *= 0x9e3779b97f4a7c15ULL;
	return hub->mac[key >> 32 & (HUB_MACS / WAYS - 1)];
}

static void forget(struct hub_mac *entry)
{
	entry->port->macs--;
	entry->port = NULL;
}

static struct hub_port *find(struct hub *hub, uint16_t vlan, const uint8_t *mac)
{
	struct hub_mac *set = set_of(hub, vlan, mac);
	unsigned int i;

	for (i = 0; i < WAYS; i++) {
		if (!set[i].port || set[i].vlan != vlan || memcmp(set[i].mac, mac, 6))
			continue;
		if (now() - set[i].heard <= HUB_AGE_S)
			return set[i].port;
		forget(&set[i]);
	}
	return NULL;
}

static void learn(struct hub *hub, struct hub_port *port, const uint8_t *mac)
{
	struct hub_mac *set = set_of(hub, port->vlan, mac), *entry = NULL;
	unsigned int i;

	if (mac[0] & 1)
		return;
	for (i = 0; i < WAYS && !entry; i++) {
		if (set[i].port && set[i].vlan == port->vlan && !memcmp(set[i].mac, mac, 6))
			entry = &set[i];
	}
	if (!entry || entry->port != port) {
		if (port->macs == HUB_MACS_PORT)
			return;
		if (!entry) {
			entry = &set[0];
			for (i = 1; i < WAYS && entry->port; i++) {
				if (!set[i].port || set[i].heard < entry->heard)
					entry = &set[i];
			}
		}
		if (entry->port)
			forget(entry);
		entry->port = port;
		entry->vlan = port->vlan;
		memcpy(entry->mac, mac, 6);
		port->macs++;
	}
	entry->heard = now();
}

static void watch(struct hub_port *port, bool out)
{
	struct epoll_event event = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = port };

	epoll_ctl(port->hub->epoll, EPOLL_CTL_MOD, port->fd, &event);
}

/* What cannot be sent at once waits, up to a bound; what is beyond is lost, as on a wire. */
static void pass(struct hub_port *port, const uint8_t *data, size_t bytes)
{
	struct hub_frame *frame;

	if (!port->first) {
		if (send(port->fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
		    (errno != EAGAIN && errno != ENOBUFS))
			return;
		watch(port, true);
	}
	if (port->waiting + bytes > HUB_BACKLOG)
		return;
	frame = malloc(sizeof(*frame) + bytes);
	if (!frame)
		return;
	frame->next = NULL;
	frame->bytes = bytes;
	memcpy(frame->data, data, bytes);
	*port->last = frame;
	port->last = &frame->next;
	port->waiting += bytes;
}

static void drop_first(struct hub_port *port)
{
	struct hub_frame *frame = port->first;

	port->first = frame->next;
	port->waiting -= frame->bytes;
	free(frame);
	if (!port->first)
		port->last = &port->first;
}

static void drain(struct hub_port *port)
{
	while (port->first) {
		if (send(port->fd, port->first->data, port->first->bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
		    (errno == EAGAIN || errno == ENOBUFS))
			return;
		drop_first(port);
	}
	watch(port, false);
}

static void unplug(struct hub_port *port)
{
	struct hub *hub = port->hub;
	unsigned int i, j;

	for (i = 0; i < HUB_MACS / WAYS; i++) {
		for (j = 0; j < WAYS; j++) {
			if (hub->mac[i][j].port == port)
				forget(&hub->mac[i][j]);
		}
	}
	while (port->first)
		drop_first(port);
	for (i = 0; hub->port[i] != port; i++)
		;
	hub->port[i] = hub->port[--hub->nr_ports];
	hub->greeted -= port->greeted;
	close(port->fd);
	free(port);
}

/* Return: false if the port is to be unplugged */
static bool greet(struct hub_port *port, size_t bytes)
{
	struct hub_greeting greeting;

	if (bytes != sizeof(greeting))
		return false;
	memcpy(&greeting, port->hub->buffer, sizeof(greeting));
	if (greeting.magic != HUB_MAGIC)
		return false;
	if (greeting.version != HUB_VERSION || greeting.error)
		greeting.error = EPROTO;
	else if (greeting.vlan > HUB_VLAN_MAX)
		greeting.error = EINVAL;
	else if (port->hub->greeted == port->hub->ports_max)
		greeting.error = EUSERS;
	greeting.version = HUB_VERSION;
	port->vlan = greeting.vlan;
	if (send(port->fd, &greeting, sizeof(greeting), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 || greeting.error)
		return false;
	port->greeted = true;
	port->hub->greeted++;
	return true;
}

static void forward(struct hub_port *from, size_t bytes)
{
	struct hub *hub = from->hub;
	const uint8_t *frame = hub->buffer + NET_HEADER_BYTES;
	struct hub_port *to = NULL;
	unsigned int i;

	learn(hub, from, frame + 6);
	if (!(frame[0] & 1))
		to = find(hub, from->vlan, frame);
	if (to == from)
		return;
	if (to) {
		pass(to, hub->buffer, bytes);
		return;
	}
	for (i = 0; i < hub->nr_ports; i++) {
		if (hub->port[i] != from && hub->port[i]->greeted && hub->port[i]->vlan == from->vlan)
			pass(hub->port[i], hub->buffer, bytes);
	}
}

/* Return: false if the port is to be unplugged */
static bool take(struct hub_port *port)
{
	struct hub *hub = port->hub;
	unsigned int i;
	ssize_t n;

	for (i = 0; i < BATCH; i++) {
		n = recv(port->fd, hub->buffer, sizeof(hub->buffer), MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		/* The end, or a message without a byte: not a frame either. */
		if (!n)
			return false;
		if (!port->greeted) {
			if (!greet(port, (size_t)n))
				return false;
		} else if (n >= NET_HEADER_BYTES + NET_ETH_BYTES && n <= NET_BUFFER_BYTES) {
			forward(port, (size_t)n);
		}
	}
	return true;
}

static void plug(struct hub *hub)
{
	int fd = accept4(hub->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), bytes = HUB_BACKLOG;
	struct hub_port *port;
	struct epoll_event event = { .events = EPOLLIN };

	if (fd < 0)
		return;
	port = hub->nr_ports < ARRAY_SIZE(hub->port) ? calloc(1, sizeof(*port)) : NULL;
	event.data.ptr = port;
	if (!port || epoll_ctl(hub->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		close(fd);
		free(port);
		return;
	}
	/* As much as the host allows; less works as well. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	port->hub = hub;
	port->fd = fd;
	port->last = &port->first;
	hub->port[hub->nr_ports++] = port;
}

/* One switch at a path: who has the lock may replace the socket of one that is dead. */
static int take_lock(const char *path)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
	struct stat st;
	int fd, r;

	snprintf(name, sizeof(name), "%s.lock", path);
	for (;;) {
		fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0) {
			r = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
			close(fd);
			return r;
		}
		/* It may have been removed, with its switch, just before we locked it. */
		if (st.st_nlink)
			return fd;
		close(fd);
	}
}

static void give_lock_back(struct hub *hub)
{
	char name[sizeof(hub->path) + 8];

	snprintf(name, sizeof(name), "%s.lock", hub->path);
	unlink(name);
	close(hub->lock);
}

static int listen_at(struct hub *hub, unsigned int mode)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	struct stat st;
	mode_t mask;
	int r;

	if (!lstat(hub->path, &st)) {
		if (!S_ISSOCK(st.st_mode))
			return -EEXIST;
		unlink(hub->path);
	}
	memcpy(address.sun_path, hub->path, sizeof(address.sun_path));
	hub->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	hub->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (hub->listener < 0 || hub->epoll < 0)
		return -errno;
	/* Nobody else may connect before the mode is what it shall be. */
	mask = umask(0177);
	r = bind(hub->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r)
		return r;
	if (chmod(hub->path, mode) < 0 || listen(hub->listener, 16) < 0 ||
	    epoll_ctl(hub->epoll, EPOLL_CTL_ADD, hub->listener, &event) < 0) {
		r = -errno;
		unlink(hub->path);
	}
	return r;
}

/**
 * hub_create() - make a switch
 * @path: its socket
 * @mode: who may connect, as of chmod()
 * @ports: how many may, up to HUB_PORTS_MAX
 * @out: the switch
 *
 * Return: 0; -EADDRINUSE: there is a living one; -EEXIST: something else is at @path; or another negative errno.
 */
int hub_create(const char *path, unsigned int mode, unsigned int ports, struct hub **out)
{
	struct hub *hub;
	int r;

	if (!*path || strlen(path) >= sizeof(hub->path))
		return -ENAMETOOLONG;
	hub = calloc(1, sizeof(*hub));
	if (!hub)
		return -ENOMEM;
	hub->listener = -1;
	hub->epoll = -1;
	memcpy(hub->path, path, strlen(path));
	hub->ports_max = ports < HUB_PORTS_MAX ? ports : HUB_PORTS_MAX;
	hub->lock = take_lock(path);
	r = hub->lock < 0 ? hub->lock : listen_at(hub, mode);
	if (r) {
		if (hub->lock >= 0)
			give_lock_back(hub);
		if (hub->listener >= 0)
			close(hub->listener);
		if (hub->epoll >= 0)
			close(hub->epoll);
		free(hub);
		return r;
	}
	*out = hub;
	return 0;
}

/**
 * hub_run() - switch frames
 * @hub: the switch
 * @until: a descriptor; it returns when that becomes readable
 *
 * Return: 0, or a negative errno.
 */
int hub_run(struct hub *hub, int until)
{
	struct epoll_event event[BATCH], end = { .events = EPOLLIN, .data.ptr = hub };
	int i, n;

	if (epoll_ctl(hub->epoll, EPOLL_CTL_ADD, until, &end) < 0)
		return -errno;
	for (;;) {
		n = epoll_wait(hub->epoll, event, BATCH, -1);
		if (n < 0 && errno != EINTR)
			return -errno;
		for (i = 0; i < n; i++) {
			struct hub_port *port = event[i].data.ptr;

			if (event[i].data.ptr == hub)
				return 0;
			if (!port) {
				plug(hub);
				continue;
			}
			if (event[i].events & EPOLLOUT)
				drain(port);
			if (event[i].events & ~EPOLLOUT && !take(port))
				unplug(port);
		}
	}
}

/**
 * hub_destroy() - close all ports and remove the socket
 * @hub: the switch
 */
void hub_destroy(struct hub *hub)
{
	while (hub->nr_ports)
		unplug(hub->port[0]);
	unlink(hub->path);
	close(hub->listener);
	close(hub->epoll);
	give_lock_back(hub);
	free(hub);
}

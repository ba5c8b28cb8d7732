// SPDX-License-Identifier: GPL-2.0-only
/*
 * A port of a switch of VMs ("vireo switch"). Frames travel with their headers, so that a large segment goes to
 * the other guest in one piece. If the switch ends, the link goes down; once there is one again, it comes up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "../params.h"
#include "../util.h"
#include "hub.h"
#include "net.h"

#define OFFLOADS (NET_BIT(CSUM) | NET_BIT(GUEST_CSUM) | NET_BIT(GUEST_TSO4) | NET_BIT(GUEST_TSO6) | \
		  NET_BIT(GUEST_ECN) | NET_BIT(GUEST_USO4) | NET_BIT(GUEST_USO6) | NET_BIT(HOST_TSO4) | \
		  NET_BIT(HOST_TSO6) | NET_BIT(HOST_ECN) | NET_BIT(HOST_USO))
#define SOCKET_BYTES (1 << 20)
#define PATIENCE_S 2

struct net_port {
	struct net_backend backend;
	struct sockaddr_un address;
	uint16_t vlan;
	int fd;
};

static struct net_port *to_port(struct net_backend *backend)
{
	return container_of(backend, struct net_port, backend);
}

static int greet(int fd, uint16_t vlan)
{
	struct hub_greeting greeting = { HUB_MAGIC, HUB_VERSION, vlan, 0 };
	struct timeval patience = { PATIENCE_S, 0 };
	ssize_t n;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    send(fd, &greeting, sizeof(greeting), MSG_NOSIGNAL) < 0)
		return -errno;
	n = recv(fd, &greeting, sizeof(greeting), 0);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n != sizeof(greeting) || greeting.magic != HUB_MAGIC || greeting.error > 4095)
		return -EPROTO;
	return -(int)greeting.error;
}

static int dial(struct net_port *port)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), bytes = SOCKET_BYTES, r;

	if (fd < 0)
		return -errno;
	/* As much as the host allows; less works as well. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	r = connect(fd, (struct sockaddr *)&port->address, sizeof(port->address)) < 0 ? -errno : 0;
	if (!r)
		r = greet(fd, port->vlan);
	if (r) {
		close(fd);
		return r;
	}
	port->fd = fd;
	return 0;
}

static void hang_up(struct net_port *port)
{
	close(port->fd);
	port->fd = -1;
}

static int port_start(struct net_backend *backend, uint64_t features)
{
	struct net_port *port = to_port(backend);

	(void)features;
	if (port->fd < 0)
		dial(port);
	return 0;
}

static int port_fd(struct net_backend *backend, unsigned int queue)
{
	(void)queue;
	return to_port(backend)->fd;
}

static ssize_t port_receive(struct net_backend *backend, unsigned int queue, const struct iovec *iov,
			    unsigned int nr)
{
	struct net_port *port = to_port(backend);
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };
	ssize_t n;

	(void)queue;
	if (port->fd < 0)
		return -EAGAIN;
	n = recvmsg(port->fd, &message, MSG_DONTWAIT);
	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -errno;
	hang_up(port);
	return -EPIPE;
}

static int port_send(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr)
{
	struct net_port *port = to_port(backend);
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };

	(void)queue;
	/* An end is seen by the receiver. */
	if (port->fd < 0)
		return -EPIPE;
	return sendmsg(port->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int port_revive(struct net_backend *backend)
{
	return dial(to_port(backend));
}

static void port_destroy(struct net_backend *backend)
{
	struct net_port *port = to_port(backend);

	if (port->fd >= 0)
		close(port->fd);
	free(port);
}

static const struct net_backend_ops port_ops = {
	.start = port_start,
	.fd = port_fd,
	.receive = port_receive,
	.send = port_send,
	.revive = port_revive,
	.destroy = port_destroy,
};

static int set_up(struct net_port *port, struct params *params, unsigned int queues)
{
	const char *path = params_string(params, "path");
	uint64_t vlan = 0, mtu = 0;
	struct stat st;
	int r;

	r = params_number(params, "vlan", 0, HUB_VLAN_MAX, &vlan);
	if (!r)
		r = params_number(params, "mtu", 68, 65521, &mtu);
	if (!r)
		r = params_done(params);
	if (r)
		return r;
	if (!path || !*path || strlen(path) >= sizeof(port->address.sun_path)) {
		report_error("net: path: %s", !path || !*path ? "the socket of a switch (\"vireo switch\") is needed" :
							       "too long for a socket");
		return -EINVAL;
	}
	if (queues > 1) {
		report_error("net: queues: a switch has one for each port");
		return -EINVAL;
	}
	port->vlan = (uint16_t)vlan;
	port->backend.mtu = (uint16_t)mtu;
	port->backend.queues = 1;
	port->backend.peer = true;
	port->backend.features = OFFLOADS;
	port->address.sun_family = AF_UNIX;
	strcpy(port->address.sun_path, path);
	r = dial(port);
	if (r == -ECONNREFUSED && !stat(path, &st) && !S_ISSOCK(st.st_mode))
		r = -ENOTSOCK;
	if (r == -ENOENT || r == -ECONNREFUSED) {
		report_note("net: no switch at %s yet: the link is down until there is one", path);
		return 0;
	}
	if (r == -EUSERS)
		report_error("net: %s: the switch has no free port", path);
	else if (r)
		report_error("net: %s: %s", path, r == -EPROTO ? "that is not a switch of this version" : strerror(-r));
	return r;
}

/**
 * net_switch_create() - connect to a switch
 * @params: path, vlan, mtu
 * @queues: must be 1
 * @out: the backend
 *
 * Return: 0, or a negative errno after a message.
 */
int net_switch_create(struct params *params, unsigned int queues, struct net_backend **out)
{
	struct net_port *port = calloc(1, sizeof(*port));
	int r;

	if (!port)
		return -ENOMEM;
	port->backend.ops = &port_ops;
	port->fd = -1;
	r = set_up(port, params, queues);
	if (r) {
		port_destroy(&port->backend);
		return r;
	}
	*out = &port->backend;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything is non-blocking; link_wait() is the one place that waits, in slices, so that it sees an interruption soon.
 *
 * The limit of the rate: what was sent is owed a time, and the next bytes wait until it is over. A pause is not saved up.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "link.h"
#include "../util.h"

#define SLICE_MS	50
#define SEND_PART	(64U << 10)	/* so that a low rate is kept evenly */
#define UNSENT		(64 << 10)	/* in the kernel: what somebody waits for there is sent behind it */

extern char **environ;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int fails(struct link *link, int error, const char *text)
{
	snprintf(link->why, sizeof(link->why), "%s", text);
	return error;
}

static int fails_errno(struct link *link, int error, const char *what)
{
	snprintf(link->why, sizeof(link->why), "%s: %s", what, strerror(-error));
	return error;
}

/* ---- Addresses ---- */

static int parse_tcp(const char *text, struct link_address *address)
{
	const char *colon = strrchr(text, ':');
	const char *host = text, *end = colon;

	if (!colon || !colon[1])
		return -EINVAL;
	if (*text == '[') {
		host++;
		end = colon - 1;
		if (end < host || *end != ']')
			return -EINVAL;
	} else if (memchr(text, ':', (size_t)(colon - text))) {
		return -EINVAL;
	}
	if ((size_t)(end - host) >= sizeof(address->host) || strlen(colon + 1) >= sizeof(address->port))
		return -EINVAL;
	memcpy(address->host, host, (size_t)(end - host));
	strcpy(address->port, colon + 1);
	return 0;
}

/**
 * link_address_parse() - read an address
 * @text: "tcp:HOST:PORT", "tcp:[HOST]:PORT", "unix:PATH", "exec:COMMAND" or "stdio"
 * @address: to be filled
 *
 * Return: 0, or -EINVAL.
 */
int link_address_parse(const char *text, struct link_address *address)
{
	static const struct {
		const char *prefix;
		enum link_kind kind;
		size_t max;
	} kinds[] = {
		{ "unix:", LINK_UNIX, sizeof(((struct sockaddr_un *)0)->sun_path) },
		{ "exec:", LINK_EXEC, sizeof(address->path) },
	};
	size_t i, n;

	memset(address, 0, sizeof(*address));
	if (!strncmp(text, "tcp:", 4)) {
		address->kind = LINK_TCP;
		return parse_tcp(text + 4, address);
	}
	if (!strcmp(text, "stdio")) {
		address->kind = LINK_STDIO;
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		n = strlen(kinds[i].prefix);
		if (strncmp(text, kinds[i].prefix, n))
			continue;
		if (!text[n] || strlen(text + n) >= kinds[i].max)
			return -EINVAL;
		address->kind = kinds[i].kind;
		strcpy(address->path, text + n);
		return 0;
	}
	return -EINVAL;
}

/* ---- Waiting ---- */

/**
 * link_wait() - wait for a file descriptor
 * @link: the connection whose options count
 * @fd: what to wait for; -1: only for the time to pass
 * @events: of poll()
 * @timeout_ms: at most so long
 *
 * Return: 0, -ETIMEDOUT, or -ECANCELED: it was interrupted.
 */
int link_wait(struct link *link, int fd, short events, unsigned int timeout_ms)
{
	struct pollfd poller = { .fd = fd, .events = events };
	uint64_t end = now_ns() + timeout_ms * 1000000ULL, now;
	int slice, n;

	for (;;) {
		if (link->options.interrupted && link->options.interrupted(link->options.opaque))
			return fails(link, -ECANCELED, "it was cancelled");
		now = now_ns();
		if (now >= end)
			return fails(link, -ETIMEDOUT, "nothing moves on the connection any more");
		slice = (int)((end - now + 999999) / 1000000);
		n = poll(&poller, 1, slice < SLICE_MS ? slice : SLICE_MS);
		if (n < 0 && errno != EINTR)
			return fails_errno(link, -errno, "poll");
		if (n > 0)
			return 0;
	}
}

/* ---- Connecting ---- */

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : 0;
}

/* Room for frames, TLS, and a greeting of both sides is what each connection begins with. */
static int begin(struct link *link, int in, int out, const char *host)
{
	int r;

	link->in = in;
	link->out = out;
	link->buffer = malloc(LINK_BUFFER);
	link->payload = malloc(WIRE_FRAME_MAX);
	if (!link->buffer || !link->payload)
		return fails(link, -ENOMEM, "there is no memory for the connection");
	r = set_nonblocking(in);
	if (!r && out != in)
		r = set_nonblocking(out);
	if (r)
		return fails_errno(link, r, "the connection");
	return link->options.tls ? link_tls_begin(link, host) : 0;
}

static void set_tcp_options(int fd, unsigned int timeout_ms)
{
	int one = 1, unsent = UNSENT;

	/* Hints all: frames are sent in large pieces, and link_wait() knows the time as well. */
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

static struct addrinfo *resolve(const struct link_address *address, bool listens, char *why)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = listens ? AI_PASSIVE : 0 };
	struct addrinfo *list = NULL;
	int r = getaddrinfo(*address->host ? address->host : NULL, address->port, &hints, &list);

	if (!r)
		return list;
	snprintf(why, LINK_WHY, "%.100s:%s: %s", address->host, address->port, gai_strerror(r));
	return NULL;
}

static int connect_one(struct link *link, int fd, const struct sockaddr *address, socklen_t len)
{
	socklen_t size = sizeof(int);
	int error = 0, r;

	if (!connect(fd, address, len))
		return 0;
	if (errno == EAGAIN)
		return -ECONNREFUSED;	/* a Unix socket whose queue is full */
	if (errno != EINPROGRESS)
		return -errno;
	r = link_wait(link, fd, POLLOUT, link->options.timeout_ms);
	if (r)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		return -errno;
	return -error;
}

static int connect_tcp(struct link *link, const struct link_address *address)
{
	struct addrinfo *list = resolve(address, false, link->why), *at;
	int fd, r = -EHOSTUNREACH;

	if (!list)
		return r;
	for (at = list; at; at = at->ai_next) {
		fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		r = fd < 0 ? -errno : connect_one(link, fd, at->ai_addr, at->ai_addrlen);
		if (!r) {
			freeaddrinfo(list);
			set_tcp_options(fd, link->options.timeout_ms);
			return fd;
		}
		if (fd >= 0)
			close(fd);
		if (r == -ECANCELED)
			break;
	}
	freeaddrinfo(list);
	if (r != -ECANCELED)
		snprintf(link->why, sizeof(link->why), "%.100s:%s: %s", address->host, address->port, strerror(-r));
	return r;
}

static int connect_unix(struct link *link, const struct link_address *address)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	strcpy(name.sun_path, address->path);
	r = fd < 0 ? -errno : connect_one(link, fd, (const struct sockaddr *)&name, sizeof(name));
	if (!r)
		return fd;
	if (fd >= 0)
		close(fd);
	snprintf(link->why, sizeof(link->why), "%.100s: %s", address->path, strerror(-r));
	return r;
}

/* The command has one socket as its input and its output. */
static int spawn(struct link *link, const char *command)
{
	char *const argv[] = { "sh", "-c", (char *)command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t set;
	int pair[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return fails_errno(link, -errno, "no socket for the command");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pair[1], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, pair[1], STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	/* What the launcher ignores and blocks is its own affair. */
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attributes, &set);
	sigaddset(&set, SIGPIPE);
	sigaddset(&set, SIGTTIN);
	sigaddset(&set, SIGTTOU);
	posix_spawnattr_setsigdefault(&attributes, &set);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	r = posix_spawn(&link->child, "/bin/sh", &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(pair[1]);
	if (!r)
		return pair[0];
	link->child = 0;
	close(pair[0]);
	return fails_errno(link, -r, "the command cannot be started");
}

/**
 * link_connect() - get to the other side, as the source
 * @link: to be filled; link_close() in any case
 * @address: where to
 * @options: see there
 *
 * Return: 0, or a negative errno with @link->why.
 */
int link_connect(struct link *link, const struct link_address *address, const struct link_options *options)
{
	int fd = -EINVAL;

	*link = (struct link){ .in = -1, .out = -1, .options = *options, .source = true };
	switch (address->kind) {
	case LINK_TCP:
		fd = connect_tcp(link, address);
		break;
	case LINK_UNIX:
		fd = connect_unix(link, address);
		break;
	case LINK_EXEC:
		fd = spawn(link, address->path);
		break;
	case LINK_STDIO:
		fails(link, fd, "a machine cannot be sent to stdio");
		break;
	}
	return fd < 0 ? fd : begin(link, fd, fd, address->kind == LINK_TCP ? address->host : NULL);
}

static int listen_tcp(const struct link_address *address, char *why)
{
	struct addrinfo *list = resolve(address, true, why);
	int one = 1, fd, r;

	if (!list)
		return -EADDRNOTAVAIL;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r = fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, 4) ? -errno : fd;
	freeaddrinfo(list);
	if (r < 0) {
		snprintf(why, LINK_WHY, "%.100s:%s: %s", address->host, address->port, strerror(-r));
		if (fd >= 0)
			close(fd);
	}
	return r;
}

static int listen_unix(const struct link_address *address, char *why)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0077);
	int r;

	strcpy(name.sun_path, address->path);
	/* Somebody was killed who has listened there. */
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&name, sizeof(name)) && errno == ECONNREFUSED)
		unlink(address->path);
	r = fd < 0 || bind(fd, (const struct sockaddr *)&name, sizeof(name)) || listen(fd, 4) ? -errno : fd;
	umask(mask);
	if (r < 0) {
		snprintf(why, LINK_WHY, "%.100s: %s", address->path, strerror(-r));
		if (fd >= 0)
			close(fd);
	}
	return r;
}

/**
 * link_listen() - wait for sources
 * @address: where
 * @why: LINK_WHY bytes for a sentence
 *
 * Return: a socket; -ENOTSOCK: there is nothing to listen at, link_accept() makes the connection itself; another negative errno.
 */
int link_listen(const struct link_address *address, char *why)
{
	switch (address->kind) {
	case LINK_TCP:
		return listen_tcp(address, why);
	case LINK_UNIX:
		return listen_unix(address, why);
	default:
		return -ENOTSOCK;
	}
}

/**
 * link_unlisten() - listen no more
 * @address: where it was
 * @listener: what link_listen() gave
 */
void link_unlisten(const struct link_address *address, int listener)
{
	if (listener < 0)
		return;
	if (address->kind == LINK_UNIX)
		unlink(address->path);
	close(listener);
}

/**
 * link_accept() - take the next connection, as the destination
 * @link: to be filled; link_close() in any case
 * @address: where
 * @listener: what link_listen() gave
 * @options: see there; waiting for a connection has no limit of time
 *
 * Return: 0, or a negative errno with @link->why.
 */
int link_accept(struct link *link, const struct link_address *address, int listener, const struct link_options *options)
{
	int fd, r;

	*link = (struct link){ .in = -1, .out = -1, .options = *options };
	if (address->kind == LINK_STDIO)
		return begin(link, STDIN_FILENO, STDOUT_FILENO, NULL);
	if (address->kind == LINK_EXEC) {
		fd = spawn(link, address->path);
		return fd < 0 ? fd : begin(link, fd, fd, NULL);
	}
	for (;;) {
		do {
			r = link_wait(link, listener, POLLIN, LINK_TIMEOUT_MS);
		} while (r == -ETIMEDOUT);
		if (r)
			return r;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			break;
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			return fails_errno(link, -errno, "accept");
	}
	if (address->kind == LINK_TCP)
		set_tcp_options(fd, options->timeout_ms);
	return begin(link, fd, fd, NULL);
}

/**
 * link_close() - end a connection
 * @link: the connection; what is in its buffer is not sent
 */
void link_close(struct link *link)
{
	link_tls_end(link);
	if (link->in >= 0)
		close(link->in);
	if (link->out >= 0 && link->out != link->in)
		close(link->out);
	/* Its input has ended. It may take its time, or be a launcher that stays: nobody waits for it here. */
	if (link->child > 0)
		waitpid(link->child, NULL, WNOHANG);
	free(link->buffer);
	free(link->payload);
	link->in = -1;
	link->out = -1;
	link->child = 0;
	link->buffer = NULL;
	link->payload = NULL;
}

/* ---- Bytes ---- */

static int keep_rate(struct link *link, size_t bytes)
{
	uint64_t rate = __atomic_load_n(&link->rate, __ATOMIC_RELAXED), now;
	int r;

	if (!rate)
		return 0;
	now = now_ns();
	if (link->owed_ns > now) {
		r = link_wait(link, -1, 0, (unsigned int)((link->owed_ns - now) / 1000000));
		if (r != -ETIMEDOUT)
			return r;
		now = now_ns();
	}
	if (link->owed_ns < now)
		link->owed_ns = now;
	link->owed_ns += muldiv64(bytes, NSEC_PER_SEC, rate);
	return 0;
}

static int write_all(struct link *link, const uint8_t *bytes, size_t len)
{
	size_t part;
	ssize_t n;
	int r;

	while (len) {
		part = len < SEND_PART ? len : SEND_PART;
		r = keep_rate(link, part);
		if (r)
			return r;
		while (part) {
			n = link->session ? link_tls_write(link, bytes, part) : write(link->out, bytes, part);
			if (n > 0) {
				bytes += n;
				len -= (size_t)n;
				part -= (size_t)n;
				continue;
			}
			if (n == 0 || (errno != EAGAIN && errno != EINTR))
				return fails_errno(link, n ? -errno : -EPIPE, "the connection is lost");
			r = link_wait(link, link->out, POLLOUT, link->options.timeout_ms);
			if (r)
				return r;
		}
	}
	return 0;
}

static int read_all(struct link *link, uint8_t *bytes, size_t len)
{
	ssize_t n;
	int r;

	while (len) {
		n = link->session ? link_tls_read(link, bytes, len) : read(link->in, bytes, len);
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
			link->received += (uint64_t)n;
			continue;
		}
		if (n == 0)
			return fails(link, -EPIPE, "the other side has closed the connection");
		if (errno != EAGAIN && errno != EINTR)
			return fails_errno(link, -errno, "the connection is lost");
		r = link_wait(link, link->in, POLLIN, link->options.timeout_ms);
		if (r)
			return r;
	}
	return 0;
}

/* ---- Frames ---- */

/**
 * link_flush() - send what is in the buffer
 * @link: the connection
 *
 * Return: 0, or a negative errno with @link->why.
 */
int link_flush(struct link *link)
{
	size_t used = link->used;

	link->used = 0;
	return write_all(link, link->buffer, used);
}

static int append(struct link *link, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	size_t n;
	int r;

	link->sent += len;
	while (len) {
		n = LINK_BUFFER - link->used;
		n = len < n ? len : n;
		memcpy(link->buffer + link->used, from, n);
		link->used += n;
		from += n;
		len -= n;
		r = link->used == LINK_BUFFER ? link_flush(link) : 0;
		if (r)
			return r;
	}
	return 0;
}

/**
 * link_send_parts() - append a frame of two parts
 * @link: the connection
 * @type: of the frame
 * @a: the first part
 * @a_len: its length
 * @b: the second part
 * @b_len: its length; may be 0
 *
 * Return: 0, or a negative errno with @link->why.
 */
int link_send_parts(struct link *link, enum wire_type type, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct wire_header header = { .type = (uint16_t)type, .len = (uint32_t)(a_len + b_len) };
	int r;

	r = append(link, &header, sizeof(header));
	if (!r)
		r = append(link, a, a_len);
	return r ? r : append(link, b, b_len);
}

/**
 * link_send() - append a frame
 * @link: the connection
 * @type: of the frame
 * @payload: its content
 * @len: its length
 *
 * Return: 0, or a negative errno with @link->why.
 */
int link_send(struct link *link, enum wire_type type, const void *payload, size_t len)
{
	return link_send_parts(link, type, payload, len, NULL, 0);
}

/**
 * link_receive() - get the next frame
 * @link: the connection
 * @type: of the frame
 * @payload: its content, until the next call
 * @len: its length
 *
 * Return: 0, or a negative errno with @link->why: -EPIPE: the other side has gone; -EPROTO: what came is no frame.
 */
int link_receive(struct link *link, unsigned int *type, const uint8_t **payload, size_t *len)
{
	struct wire_header header;
	const char *wrong;
	int r;

	r = read_all(link, (uint8_t *)&header, sizeof(header));
	if (r)
		return r;
	wrong = wire_check_header(&header, !link->source);
	if (wrong)
		return fails(link, -EPROTO, wrong);
	r = read_all(link, link->payload, header.len);
	*type = header.type;
	*payload = link->payload;
	*len = header.len;
	return r;
}

/**
 * link_readable() - would link_receive() find something?
 * @link: the connection
 *
 * Return: true if a frame has begun to come, or the other side has gone.
 */
bool link_readable(const struct link *link)
{
	struct pollfd poller = { .fd = link->in, .events = POLLIN };

	return (link->session && link_tls_pending(link)) || poll(&poller, 1, 0) > 0;
}

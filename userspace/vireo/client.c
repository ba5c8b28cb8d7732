// SPDX-License-Identifier: GPL-2.0-only
/* Blocking, one request at a time: tools have nothing better to do than to wait. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "protocol.h"
#include "rundir.h"
#include "util.h"

#define LINE_MAX_BYTES (1 * MIB)	/* of a reply; more than any server sends */

/**
 * client_connect_in() - connect to a machine in a given directory
 * @link: to be filled
 * @dir: the directory
 * @name: the machine
 *
 * Return: 0; -ECONNREFUSED: its launcher is dead; -ENOENT: there is none; or another negative errno. No
 * message.
 */
int client_connect_in(struct client_link *link, const char *dir, const char *name)
{
	struct sockaddr_un address;
	int r;

	memset(link, 0, sizeof(*link));
	link->fd = -1;
	r = rundir_address(dir, name, &address);
	if (r)
		return r;
	link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (link->fd < 0)
		return -errno;
	link->line = malloc(LINE_MAX_BYTES);
	if (!link->line) {
		client_disconnect(link);
		return -ENOMEM;
	}
	if (connect(link->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		client_disconnect(link);
		return r;
	}
	return 0;
}

/**
 * client_connect() - connect to a machine of this user, or say why that is not possible
 * @link: to be filled
 * @name: the machine
 *
 * Return: 0, or an exit status.
 */
int client_connect(struct client_link *link, const char *name)
{
	char dir[sizeof(((struct rundir_claim *)0)->dir)];
	const char *why;
	int r;

	if (!rundir_name_valid(name)) {
		report_error("%s: not a name of a machine", name);
		return EXIT_USAGE;
	}
	r = rundir_path(dir, sizeof(dir), &why);
	if (r) {
		report_error("the machines cannot be found: %s", why);
		return EXIT_FAULT;
	}
	r = client_connect_in(link, dir, name);
	switch (r) {
	case 0:
		return 0;
	case -ENOENT:
		report_error("there is no machine \"%s\" (in %s); \"vireo list\" shows those that run", name,
			     dir);
		break;
	case -ECONNREFUSED:
		report_error("the launcher of \"%s\" is dead; its socket is left over", name);
		break;
	case -EACCES:
		report_error("no permission to reach machine \"%s\" in %s: it belongs to another user", name,
			     dir);
		break;
	default:
		report_error("machine \"%s\" cannot be reached: %s", name, strerror(-r));
	}
	return EXIT_FAULT;
}

/**
 * client_disconnect() - done
 * @link: the connection
 */
void client_disconnect(struct client_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	free(link->line);
	link->fd = -1;
	link->line = NULL;
}

/**
 * client_send() - send bytes as they are
 * @link: the connection
 * @text: they
 *
 * Return: 0, or a negative errno.
 */
int client_send(struct client_link *link, const char *text)
{
	size_t len = strlen(text);
	ssize_t n;

	while (len) {
		n = send(link->fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int left_ms(const struct timespec *until)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (int64_t)(until->tv_sec - now.tv_sec) * 1000 + (until->tv_nsec - now.tv_nsec) / 1000000;
	return ms < 0 ? 0 : (int)ms;
}

/**
 * client_receive() - the next reply or event
 * @link: the connection
 * @timeout_ms: how long to wait for it, or CLIENT_FOREVER
 * @timed_out: set if that was too short; may be NULL with CLIENT_FOREVER
 *
 * Return: the object; NULL if there is none, because the other end is gone or nothing came in time.
 */
json_t *client_receive(struct client_link *link, int timeout_ms, bool *timed_out)
{
	struct pollfd p = { .fd = link->fd, .events = POLLIN };
	struct timespec until;
	json_t *object;
	ssize_t n;
	char *end;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000L;
	if (timed_out)
		*timed_out = false;
	for (;;) {
		end = memchr(link->line, '\n', link->len);
		if (end) {
			object = json_loadb(link->line, (size_t)(end - link->line), 0, NULL);
			link->len -= (size_t)(end + 1 - link->line);
			memmove(link->line, end + 1, link->len);
			return object;
		}
		if (timeout_ms >= 0 && poll(&p, 1, left_ms(&until)) <= 0) {
			*timed_out = true;
			return NULL;
		}
		n = recv(link->fd, link->line + link->len, LINE_MAX_BYTES - link->len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return NULL;
		link->len += (size_t)n;
	}
}

/**
 * client_request() - ask for something and wait until it is done
 * @link: the connection
 * @request: taken over; without "id"
 * @result: what came of it; NULL if the caller does not want to know
 *
 * Return: 0, or an exit status, and a message is out.
 */
int client_request(struct client_link *link, json_t *request, json_t **result)
{
	json_t *reply = NULL, *error;
	size_t len;
	char *line;
	int r;

	line = request ? protocol_line(request, &len) : NULL;
	json_decref(request);
	r = line ? client_send(link, line) : -ENOMEM;
	free(line);
	/* Whoever is turned away may be before it has asked: the reason is there to read. */
	if (r == -EPIPE)
		r = 0;
	/* Events may come between. */
	while (!r) {
		reply = client_receive(link, CLIENT_FOREVER, NULL);
		if (!reply || !json_object_get(reply, "event"))
			break;
		json_decref(reply);
	}
	if (!reply) {
		report_error("the machine has ended, or does not answer: %s",
			     r ? strerror(-r) : "the connection was closed");
		return EXIT_FAULT;
	}
	error = json_object_get(reply, "error");
	if (error) {
		report_error("%s", json_string_value(json_object_get(error, "text")));
		r = EXIT_FAULT;
	} else if (result) {
		*result = json_incref(json_object_get(reply, "result"));
	}
	json_decref(reply);
	return r;
}

/**
 * client_wait_end() - wait until a machine has ended
 * @link: a connection that gets events; at its end afterwards
 *
 * That is so when its last event has come, or its launcher is gone.
 */
void client_wait_end(struct client_link *link)
{
	const char *name;
	json_t *object;
	bool ended;

	do {
		object = client_receive(link, CLIENT_FOREVER, NULL);
		name = object ? json_string_value(json_object_get(object, "event")) : NULL;
		ended = !object || (name && !strcmp(name, "stopped"));
		if (object)
			json_decref(object);
	} while (!ended);
	/* It closes the connection when the name is free again. */
	while ((object = client_receive(link, CLIENT_FOREVER, NULL)))
		json_decref(object);
}

/**
 * client_command() - connect, one request without members
 * @name: the machine
 * @command: the request
 *
 * Return: exit status.
 */
int client_command(const char *name, const char *command)
{
	struct client_link link;
	int r = client_connect(&link, name);

	if (r)
		return r;
	r = client_request(&link, json_pack("{s:s}", "command", command), NULL);
	client_disconnect(&link);
	return r;
}

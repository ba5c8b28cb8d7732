// SPDX-License-Identifier: GPL-2.0-only
/*
 * One thread, one poll(), everything non-blocking.
 *
 * Other threads hand over events and console output in two buffers under @lock, which is an innermost lock,
 * and wake the thread; clients belong to the thread alone. A client that does not read what it is sent is not
 * heard until it does; if it watches events and falls behind, it is cut off; if it watches the
 * console, it misses output.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vireo.h"

#include "control.h"
#include "rundir.h"
#include "util.h"

#define CLIENTS_MAX	16
#define REPLIES_MAX	(64 * KIB)	/* unread: no more requests are read */
#define OUTPUT_MAX	(1 * MIB)	/* unread: the client is cut off, or misses console output */
#define HANDOVER_MAX	(64 * KIB)	/* between two turns of the thread */
#define WAITING_MS	50
#define TYPING_MS	20
#define FLUSH_MS	1000		/* for the last words to clients */

struct bytes {
	char *data;
	size_t len, room;
};

/**
 * struct client - one connection
 * @fd: it; -1: the place is free
 * @in: what has come and was not used yet
 * @in_len: how much
 * @out: what is to be sent
 * @skipping: in a line that is too long
 * @eof: it says nothing more
 * @closing: close it when @out is sent
 * @subscribed: it wants events
 * @viewer: it is at the console, no longer in the protocol
 * @waiting: @request is not done yet
 * @request: see there
 */
struct client {
	int fd;
	char *in;
	size_t in_len;
	struct bytes out;
	bool skipping;
	bool eof;
	bool closing;
	bool subscribed;
	bool viewer;
	bool waiting;
	struct protocol_request request;
};

/**
 * struct control - the server
 * @ops: its owner's
 * @opaque: handed to them
 * @claim: the machine's name
 * @listen: the socket
 * @wake: eventfd
 * @started: there is a thread
 * @thread: it
 * @client: those that are connected
 * @lock: protects the following
 * @events: lines for subscribers
 * @output: of the console, for viewers
 * @viewers: there are any
 * @stop: the thread is to end
 */
struct control {
	const struct control_ops *ops;
	void *opaque;
	struct rundir_claim claim;
	struct sockaddr_un address;
	int listen;
	int wake;
	bool started;
	pthread_t thread;
	struct client client[CLIENTS_MAX];

	pthread_mutex_t lock;
	struct bytes events;
	struct bytes output;
	bool viewers;
	bool stop;
};

/* All of it or nothing. */
static bool bytes_add(struct bytes *bytes, const void *data, size_t n, size_t max)
{
	size_t room = bytes->room ? bytes->room : 256;
	char *grown;

	if (n > max || bytes->len > max - n)
		return false;
	while (room < bytes->len + n)
		room *= 2;
	if (room != bytes->room) {
		grown = realloc(bytes->data, room);
		if (!grown)
			return false;
		bytes->data = grown;
		bytes->room = room;
	}
	memcpy(bytes->data + bytes->len, data, n);
	bytes->len += n;
	return true;
}

static void bytes_drop(struct bytes *bytes, size_t n)
{
	bytes->len -= n;
	memmove(bytes->data, bytes->data + n, bytes->len);
}

static void bytes_free(struct bytes *bytes)
{
	free(bytes->data);
	memset(bytes, 0, sizeof(*bytes));
}

/* ---- Clients ---- */

static void client_close(struct client *client)
{
	if (client->fd < 0)
		return;
	close(client->fd);
	free(client->in);
	bytes_free(&client->out);
	protocol_free(&client->request);
	memset(client, 0, sizeof(*client));
	client->fd = -1;
}

static void count_viewers(struct control *control)
{
	bool any = false;
	unsigned int i;

	for (i = 0; i < CLIENTS_MAX; i++)
		any |= control->client[i].fd >= 0 && control->client[i].viewer;
	pthread_mutex_lock(&control->lock);
	control->viewers = any;
	pthread_mutex_unlock(&control->lock);
}

/* Takes the reply over; without memory for one, the client is cut off. */
static void client_send(struct client *client, json_t *reply, json_t *id)
{
	size_t len = 0;
	char *line;

	protocol_address(reply, id);
	line = reply ? protocol_line(reply, &len) : NULL;
	if (!line || !bytes_add(&client->out, line, len, OUTPUT_MAX))
		client->closing = true;
	free(line);
	json_decref(reply);
}

static json_t *version_reply(const struct control *control)
{
	return protocol_result(json_pack("{s:s,s:i,s:i,s:s,s:i}", "vireo", vireo_version(), "protocol",
					 PROTOCOL_VERSION, "abi", VIREO_ABI_VERSION, "name", control->claim.name,
					 "pid", (int)getpid()));
}

static void client_line(struct control *control, struct client *client, const char *line, size_t len)
{
	struct protocol_request request;
	json_t *reply = protocol_parse(line, len, &request);
	json_t *object;

	if (reply) {
		/* protocol_parse() has set the id if it is known. */
		object = json_incref(json_object_get(reply, "id"));
		client_send(client, reply, object);
		json_decref(object);
		return;
	}
	if (!strcmp(request.command->name, "version")) {
		reply = version_reply(control);
	} else if (!strcmp(request.command->name, "events")) {
		client->subscribed = true;
		reply = protocol_result(NULL);
	} else if (!strcmp(request.command->name, "console")) {
		client->viewer = true;
		client->subscribed = false;
		count_viewers(control);
		reply = protocol_result(NULL);
	} else {
		reply = control->ops->command(control->opaque, &request, false);
		if (!reply) {
			client->waiting = true;
			client->request = request;
			return;
		}
	}
	client_send(client, reply, request.id);
	protocol_free(&request);
}

static void client_wait(struct control *control, struct client *client)
{
	json_t *reply = control->ops->command(control->opaque, &client->request, true);

	if (!reply)
		return;
	client_send(client, reply, client->request.id);
	protocol_free(&client->request);
	client->waiting = false;
}

static void used(struct client *client, size_t n)
{
	client->in_len -= n;
	memmove(client->in, client->in + n, client->in_len);
}

/* Use what has come, as far as that is possible now. */
static void client_input(struct control *control, struct client *client)
{
	char *end;
	size_t n;

	while (client->in_len && !client->closing) {
		if (client->viewer) {
			n = control->ops->input(control->opaque, (const uint8_t *)client->in, client->in_len);
			used(client, n);
			return;
		}
		if (client->waiting || client->out.len >= REPLIES_MAX)
			return;
		end = memchr(client->in, '\n', client->in_len);
		if (!end && client->in_len < PROTOCOL_LINE_MAX)
			return;
		if (!end) {
			if (!client->skipping)
				client_send(client, protocol_error("too-long", "a line has at most %d bytes",
								   PROTOCOL_LINE_MAX), NULL);
			client->skipping = true;
			client->in_len = 0;
			return;
		}
		n = (size_t)(end - client->in);
		if (client->skipping)
			client->skipping = false;
		else if (n)
			client_line(control, client, client->in, n);
		used(client, n + 1);
	}
}

static bool wants_input(const struct client *client)
{
	return !client->eof && !client->closing && client->in_len < PROTOCOL_LINE_MAX &&
	       (client->viewer || client->out.len < REPLIES_MAX);
}

static void client_read(struct client *client)
{
	ssize_t n = recv(client->fd, client->in + client->in_len, PROTOCOL_LINE_MAX - client->in_len, 0);

	if (n > 0)
		client->in_len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		client->eof = true;
}

/* Returns false if there is nobody any more. */
static bool client_write(struct client *client)
{
	ssize_t n;

	while (client->out.len) {
		n = send(client->fd, client->out.data, client->out.len, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		bytes_drop(&client->out, (size_t)n);
	}
	return true;
}

static bool is_idle(const struct client *client)
{
	return !client->waiting && !client->out.len && !client->subscribed && !client->viewer &&
	       !memchr(client->in, '\n', client->in_len);
}

static void client_turn(struct control *control, struct client *client, short revents)
{
	bool viewer = client->viewer;

	if (revents & (POLLIN | POLLHUP | POLLERR) && wants_input(client))
		client_read(client);
	if (client->waiting)
		client_wait(control, client);
	client_input(control, client);
	if (!client_write(client) || (client->closing && !client->out.len) ||
	    (client->eof && is_idle(client)) ||
	    (revents & (POLLHUP | POLLERR) && (client->eof || client->closing))) {
		client_close(client);
		if (viewer)
			count_viewers(control);
	}
}

/* Whoever may not or cannot be served is told so; one line always fits into a new socket. */
static void turn_away(int fd, const char *code, const char *text)
{
	json_t *reply = protocol_error(code, "%s", text);
	size_t len = 0;
	char *line = NULL;

	protocol_address(reply, NULL);
	if (reply)
		line = protocol_line(reply, &len);
	if (line && send(fd, line, len, MSG_NOSIGNAL) < 0)
		len = 0;
	free(line);
	json_decref(reply);
	close(fd);
}

static void accept_client(struct control *control)
{
	int fd = accept4(control->listen, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *client = NULL;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	unsigned int i;

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    (peer.uid != geteuid() && peer.uid != 0)) {
		turn_away(fd, "denied", "this machine belongs to another user");
		return;
	}
	for (i = 0; i < CLIENTS_MAX && !client; i++)
		if (control->client[i].fd < 0)
			client = &control->client[i];
	if (!client) {
		turn_away(fd, "busy", "too many clients are connected");
		return;
	}
	client->in = malloc(PROTOCOL_LINE_MAX);
	if (!client->in) {
		turn_away(fd, "no-memory", "there is no memory for another client");
		return;
	}
	client->fd = fd;
}

/* ---- The thread ---- */

/* Hand over what other threads have left; returns false at the end. */
static bool take_over(struct control *control)
{
	struct bytes events, output;
	unsigned int i;
	uint64_t count;
	bool stop;

	if (read(control->wake, &count, sizeof(count)) < 0)
		count = 0;
	pthread_mutex_lock(&control->lock);
	events = control->events;
	output = control->output;
	memset(&control->events, 0, sizeof(events));
	memset(&control->output, 0, sizeof(output));
	stop = control->stop;
	pthread_mutex_unlock(&control->lock);

	for (i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &control->client[i];

		if (client->fd < 0)
			continue;
		if (client->subscribed && events.len &&
		    !bytes_add(&client->out, events.data, events.len, OUTPUT_MAX)) {
			client_close(client);
			continue;
		}
		if (client->viewer && output.len)
			bytes_add(&client->out, output.data, output.len, OUTPUT_MAX);
	}
	bytes_free(&events);
	bytes_free(&output);
	return !stop;
}

static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void turn(struct control *control)
{
	struct pollfd fds[CLIENTS_MAX + 2];
	int timeout = control->ops->tick(control->opaque);
	unsigned int i;

	fds[0] = (struct pollfd){ .fd = control->wake, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = control->listen, .events = POLLIN };
	for (i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &control->client[i];

		fds[i + 2] = (struct pollfd){ .fd = client->fd };
		if (client->fd < 0)
			continue;
		if (wants_input(client))
			fds[i + 2].events |= POLLIN;
		if (client->out.len)
			fds[i + 2].events |= POLLOUT;
		if (client->waiting)
			timeout = sooner(timeout, WAITING_MS);
		if (client->viewer && client->in_len)
			timeout = sooner(timeout, TYPING_MS);
	}
	if (poll(fds, ARRAY_SIZE(fds), timeout) < 0)
		return;
	for (i = 0; i < CLIENTS_MAX; i++)
		if (control->client[i].fd >= 0)
			client_turn(control, &control->client[i], fds[i + 2].revents);
	if (fds[1].revents & POLLIN)
		accept_client(control);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The last events, and the guest's last words, for those who read them. */
static void flush(struct control *control)
{
	uint64_t until = now_ms() + FLUSH_MS, now;
	struct pollfd fds[CLIENTS_MAX];
	unsigned int i;
	bool more;

	for (;;) {
		more = false;
		for (i = 0; i < CLIENTS_MAX; i++) {
			struct client *client = &control->client[i];

			fds[i] = (struct pollfd){ .fd = -1, .events = POLLOUT };
			if (client->fd < 0)
				continue;
			if (!client_write(client)) {
				client_close(client);
			} else if (client->out.len) {
				fds[i].fd = client->fd;
				more = true;
			}
		}
		now = now_ms();
		if (!more || now >= until)
			return;
		poll(fds, CLIENTS_MAX, (int)(until - now));
	}
}

static void *serve(void *arg)
{
	struct control *control = arg;
	unsigned int i;

	pthread_setname_np(pthread_self(), "control");
	while (take_over(control))
		turn(control);
	for (i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &control->client[i];

		/* It may have ended because that was done. */
		if (client->fd >= 0 && client->waiting)
			client_wait(control, client);
		if (client->fd >= 0 && client->waiting)
			client_send(client, protocol_error("ended", "the machine has ended"),
				    client->request.id);
	}
	flush(control);
	return NULL;
}

/* ---- From outside ---- */

/**
 * control_path() - where the socket is
 * @control: the server; may be NULL
 *
 * Return: its path, or NULL.
 */
const char *control_path(const struct control *control)
{
	return control ? control->address.sun_path : NULL;
}

static int open_socket(struct control *control)
{
	int r;

	control->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->listen < 0)
		return -errno;
	/* The name is ours, so whatever is there is of a launcher that is dead. */
	if (unlink(control->address.sun_path) < 0 && errno != ENOENT)
		return -errno;
	/* Nobody can connect before listen(), so the mode holds from the beginning. */
	if (bind(control->listen, (struct sockaddr *)&control->address, sizeof(control->address)) < 0 ||
	    chmod(control->address.sun_path, 0600) < 0 || listen(control->listen, CLIENTS_MAX) < 0)
		return -errno;
	r = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r < 0)
		return -errno;
	control->wake = r;
	return 0;
}

static int claim(struct control *control, const char *name, bool required)
{
	char dir[sizeof(control->claim.dir)] = "";
	const char *why = NULL;
	long owner = 0;
	int r;

	r = rundir_path(dir, sizeof(dir), &why);
	if (!r)
		r = rundir_create(dir, &why);
	if (!r)
		r = rundir_address(dir, name, &control->address);
	if (!r) {
		rundir_sweep(dir);
		r = rundir_claim(dir, name, &control->claim, &owner);
		if (r == -EEXIST) {
			report_error("there is a machine \"%s\" already (process %ld); choose another --name",
				     name,
				     owner);
			return r;
		}
	}
	if (!r)
		r = open_socket(control);
	if (!r)
		return 0;
	if (!why)
		why = strerror(-r);
	/* Without a place for sockets (no login session) a machine runs as well. */
	if (required && r != -ENOENT) {
		report_error("no control socket for \"%s\" in %s: %s", name, dir, why);
		return r;
	}
	if (required)
		report_note("no control socket for \"%s\": %s", name, why);
	return -ENOENT;
}

/**
 * control_open() - own a name, and make its socket
 * @name: of the machine, valid
 * @required: somebody has chosen the name
 * @ops: what clients ask for
 * @opaque: handed to @ops
 * @out: the server, not yet running; NULL if the machine has to do without
 *
 * Return: 0; or a negative errno, and a message is out.
 */
int control_open(const char *name, bool required, const struct control_ops *ops, void *opaque,
		 struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	unsigned int i;
	int r;

	*out = NULL;
	if (!control)
		return -ENOMEM;
	control->ops = ops;
	control->opaque = opaque;
	control->listen = -1;
	control->wake = -1;
	control->claim.lock_fd = -1;
	for (i = 0; i < CLIENTS_MAX; i++)
		control->client[i].fd = -1;
	pthread_mutex_init(&control->lock, NULL);
	r = claim(control, name, required);
	if (r) {
		control_close(control);
		return r == -ENOENT ? 0 : r;
	}
	*out = control;
	return 0;
}

/**
 * control_start() - serve
 * @control: the server; may be NULL
 *
 * Return: 0, or a negative errno.
 */
int control_start(struct control *control)
{
	int r = control ? pthread_create(&control->thread, NULL, serve, control) : 0;

	if (!r && control)
		control->started = true;
	return -r;
}

/**
 * control_close() - tell clients what is left to tell, and give the name back
 * @control: the server; may be NULL
 */
void control_close(struct control *control)
{
	unsigned int i;

	if (!control)
		return;
	if (control->started) {
		pthread_mutex_lock(&control->lock);
		control->stop = true;
		pthread_mutex_unlock(&control->lock);
		control_wake(control);
		pthread_join(control->thread, NULL);
	}
	/* Before the connections: who sees its own end may use the name again. */
	rundir_release(&control->claim);
	for (i = 0; i < CLIENTS_MAX; i++)
		client_close(&control->client[i]);
	if (control->listen >= 0)
		close(control->listen);
	if (control->wake >= 0)
		close(control->wake);
	bytes_free(&control->events);
	bytes_free(&control->output);
	pthread_mutex_destroy(&control->lock);
	free(control);
}

/**
 * control_wake() - something that a request waits for may have happened
 * @control: the server; may be NULL
 */
void control_wake(struct control *control)
{
	uint64_t one = 1;

	/* It can only fail by being readable already. */
	if (control && write(control->wake, &one, sizeof(one)) < 0)
		one = 0;
}

/**
 * control_event() - tell those who watch
 * @control: the server; may be NULL
 * @name: what has happened, for programs
 * @text: a sentence for people
 */
void control_event(struct control *control, const char *name, const char *text)
{
	struct timespec ts;
	json_t *event;
	size_t len = 0;
	char *line;

	if (!control)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	event = json_pack("{s:s,s:s,s:I}", "event", name, "text", text, "time_ms",
			  (json_int_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
	line = event ? protocol_line(event, &len) : NULL;
	json_decref(event);
	if (!line)
		return;
	pthread_mutex_lock(&control->lock);
	bytes_add(&control->events, line, len, HANDOVER_MAX);
	pthread_mutex_unlock(&control->lock);
	free(line);
	control_wake(control);
}

/**
 * control_output() - what the guest has written to its console
 * @control: the server; may be NULL
 * @bytes: they
 * @n: how many
 */
void control_output(struct control *control, const uint8_t *bytes, size_t n)
{
	bool viewers;

	if (!control)
		return;
	pthread_mutex_lock(&control->lock);
	viewers = control->viewers;
	if (viewers)
		bytes_add(&control->output, bytes, n, HANDOVER_MAX);
	pthread_mutex_unlock(&control->lock);
	if (viewers)
		control_wake(control);
}

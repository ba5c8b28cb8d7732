// SPDX-License-Identifier: GPL-2.0-only
/*
 * The destination of a machine that comes before its memory.
 *
 * One thread has the connection: it asks for what somebody waits for (fill.c), takes in what comes, and, when the connection is lost, waits
 * for the source to come again; whoever touches a page that is missing waits with it. The machine is nowhere else by then, and
 * without the source's memory it is nothing: so this goes on until all is here, or the launcher ends.
 *
 * It ends at once then, by _exit(): threads that wait for a page would wait for ever, and if they were let go they would find zeros, and
 * perhaps write them to a disk.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "destination.h"
#include "../control.h"
#include "../terminal.h"

#define SLICE_MS	50
#define ENDS_MS		2000	/* for the main thread to say what is wrong with the guest */

/**
 * post_open() - can memory come after the machine?
 * @d: the destination, whose machine is made
 * @must: the source insists
 *
 * Return: 0 with @d->post.can, or a negative errno: it cannot, and the source insists.
 */
int post_open(struct destination *d, bool must)
{
	struct post *post = &d->post;
	int r = -EOPNOTSUPP;

	if (d->listener < 0) {
		snprintf(post->why, sizeof(post->why),
			 "memory cannot come after the machine: the source could not come again, there is no address");
	} else {
		r = fill_open(&post->fill, &d->machine->memory, post->why);
		post->has_fill = true;
	}
	post->can = !r;
	return r && must ? destination_fails(d, r, post->why) : 0;
}

static enum post_mode mode(struct post *post)
{
	return __atomic_load_n(&post->mode, __ATOMIC_ACQUIRE);
}

static void set_mode(struct post *post, enum post_mode mode)
{
	pthread_mutex_lock(&post->lock);
	__atomic_store_n(&post->mode, mode, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&post->changed);
	pthread_mutex_unlock(&post->lock);
}

static void report(struct destination *d)
{
	uint64_t left = fill_left(&d->post.fill), requests = fill_requests(&d->post.fill);

	pthread_mutex_lock(&d->m->lock);
	d->m->status.left = left;
	d->m->status.requests = requests;
	d->m->status.bytes = d->link.received;
	pthread_mutex_unlock(&d->m->lock);
}

/* ---- Exchanging frames ---- */

static int send_requests(struct destination *d)
{
	struct wire_pages run;
	bool some = false;
	int r = 0;

	/* Few: each is of a thread that waits. So they fit into the way there, even if nobody reads there now. */
	while (!r && fill_request(&d->post.fill, &run)) {
		r = link_send(&d->link, WIRE_REQUEST, &run, sizeof(run));
		some = true;
	}
	return r || !some ? r : link_flush(&d->link);
}

/* 1: the source has heard that all is here. */
static int receive(struct destination *d)
{
	const uint8_t *payload;
	unsigned int type;
	const char *wrong;
	size_t len;
	int r;

	r = link_receive(&d->link, &type, &payload, &len);
	if (r)
		return r;
	if (type == WIRE_DONE && d->post.whole)
		return 1;
	if (type == WIRE_CANCEL && mode(&d->post) != POST_OWN)
		return destination_fails(d, -EPIPE, "the source has cancelled it");
	wrong = fill_take(&d->post.fill, type, payload, len);
	report(d);
	return wrong ? destination_fails(d, -EPROTO, wrong) : 0;
}

/* Wait a little, and do what there is to do; @heard: when something came last */
static int exchange(struct destination *d, uint64_t *heard)
{
	struct pollfd fds[] = { { .fd = d->link.in, .events = POLLIN }, { .fd = d->post.fill.wake, .events = POLLIN } };
	uint64_t n;
	int r;

	if (!link_readable(&d->link))
		poll(fds, ARRAY_SIZE(fds), SLICE_MS);
	if (fds[1].revents && read(d->post.fill.wake, &n, sizeof(n)) < 0)
		n = 0;
	r = send_requests(d);
	if (r)
		return r;
	if (link_readable(&d->link)) {
		r = receive(d);
		*heard = migration_now_ms();
	} else if (migration_now_ms() - *heard > d->want->timeout_ms) {
		r = destination_fails(d, -ETIMEDOUT, "nothing moves on the connection any more");
	}
	return r;
}

/**
 * post_list() - tell a source that has come again what is missing
 * @d: the destination
 *
 * Return: 0, or a negative errno: the connection is lost.
 */
int post_list(struct destination *d)
{
	struct fill *fill = &d->post.fill;
	struct wire_left left = { 0 };
	uint64_t page, run, gpa;
	bool some = true;
	unsigned int i;
	int r = 0;

	if (!d->post.started)
		return 0;
	for (i = 0; i < fill->memory->nr && !r; i++) {
		for (page = 0; !r; page += run) {
			pthread_mutex_lock(&fill->lock);
			some = page_set_next(&fill->missing, i, &page, &run, UINT32_MAX);
			pthread_mutex_unlock(&fill->lock);
			if (!some)
				break;
			gpa = fill->memory->piece[i].gpa + page * WIRE_PAGE;
			r = link_send(&d->link, WIRE_MISSING, &(struct wire_pages){ gpa, (uint32_t)run, 0 },
				      sizeof(struct wire_pages));
			left.pages += run;
		}
	}
	fill_ask_again(fill);
	return r ? r : link_send(&d->link, WIRE_LEFT, &left, sizeof(left));
}

/* ---- Before the machine is ours ---- */

static int pump(struct destination *d)
{
	uint64_t heard = migration_now_ms();
	int r = 0;

	while (!r && mode(&d->post) == POST_PUMP) {
		/* Nothing comes unless it is asked for. */
		if (!fill_requests(&d->post.fill))
			heard = migration_now_ms();
		r = exchange(d, &heard);
	}
	/* The main thread may wait for a page: what it finds counts for nothing. */
	if (r)
		fill_end(&d->post.fill);
	return r;
}

/* ---- Afterwards ---- */

/* Somebody wants the launcher to end, or the guest cannot go on. */
static bool ends(struct destination *d)
{
	struct machine *machine = d->machine;
	struct pollfd poller = { .fd = machine->signals, .events = POLLIN };
	struct post *post = &d->post;
	enum machine_request request;

	if (migration_wants(&d->m->closing))
		return true;
	if (post->whole)
		return false;
	pthread_mutex_lock(&machine->control_lock);
	request = machine->request;
	pthread_mutex_unlock(&machine->control_lock);
	if (request == MACHINE_END)
		return true;
	/* The main thread sees to these, unless it waits for a vCPU that waits for memory. */
	if (request != MACHINE_FAULT && machine_state(machine) != MACHINE_ENDING && poll(&poller, 1, 0) <= 0) {
		post->ends_ms = 0;
		return false;
	}
	if (!post->ends_ms)
		post->ends_ms = migration_now_ms();
	return migration_now_ms() - post->ends_ms > ENDS_MS;
}

static bool interrupted(void *opaque)
{
	struct destination *d = opaque;

	return ends(d) || (!d->post.whole && !fill_left(&d->post.fill));
}

static void abandon(struct destination *d)
{
	terminal_restore();
	report_error("the launcher ends, and the machine with it: %llu pages of its memory had not come",
		     (unsigned long long)fill_left(&d->post.fill));
	link_unlisten(&d->address, d->listener);
	fflush(NULL);
	_exit(EXIT_FAULT);
}

/* It is like any other machine now. */
static void become_whole(struct destination *d)
{
	struct fill *fill = &d->post.fill;
	bool differs = fill->sums && fill->sum != d->intake_checksum;

	fill_end(fill);
	d->post.whole = true;
	d->post.differs = differs;
	__atomic_store_n(&d->machine->filling, false, __ATOMIC_RELEASE);
	report(d);
	if (differs)
		report_error("memory is not what it was there: the checksums differ");
	migration_phase(d->m, MIGRATION_COMPLETED, differs ? "memory is not what it was there: the checksums differ" : NULL);
}

static int say_left(struct destination *d)
{
	struct wire_left left = { .flags = d->post.differs ? WIRE_LEFT_DIFFERS : 0 };

	return destination_say(d, WIRE_LEFT, &left, sizeof(left));
}

static void lose(struct destination *d)
{
	link_close(&d->link);
	if (!d->post.whole && !d->post.lost)
		migration_phase(d->m, MIGRATION_POST_COPY, d->link.why);
	d->post.lost = true;
}

/* The source comes again. */
static int find_again(struct destination *d)
{
	int r;

	r = destination_accept_question(d, interrupted);
	if (r)
		return r;
	r = post_list(d);
	if (!r)
		r = destination_say(d, WIRE_TAKEN, d->id, WIRE_ID_BYTES);
	if (!r && d->post.whole)
		r = say_left(d);
	if (!r && d->post.lost && !d->post.whole)
		migration_phase(d->m, MIGRATION_POST_COPY, NULL);
	d->post.lost = r;
	return r;
}

static void own(struct destination *d)
{
	uint64_t heard = migration_now_ms();
	int r;

	d->link.options.interrupted = interrupted;
	d->link.options.opaque = d;
	r = d->link.buffer ? destination_say(d, WIRE_TAKEN, d->id, WIRE_ID_BYTES) : -ENOTCONN;
	while (r <= 0 && !ends(d)) {
		if (!d->post.whole && !fill_left(&d->post.fill)) {
			become_whole(d);
			if (!r)
				r = say_left(d);
		}
		if (r) {
			lose(d);
			r = find_again(d);
			heard = migration_now_ms();
		} else {
			r = exchange(d, &heard);
		}
	}
	if (!d->post.whole)
		abandon(d);
	link_close(&d->link);
	link_unlisten(&d->address, d->listener);
	d->listener = -1;
}

/* ---- The thread ---- */

static void *run(void *opaque)
{
	struct destination *d = opaque;
	struct post *post = &d->post;
	enum post_mode next;
	int r = pump(d);

	pthread_mutex_lock(&post->lock);
	post->error = r;
	post->rests = true;
	pthread_cond_broadcast(&post->changed);
	while (mode(post) <= POST_REST)
		pthread_cond_wait(&post->changed, &post->lock);
	next = mode(post);
	pthread_mutex_unlock(&post->lock);
	if (next == POST_OWN)
		own(d);
	return NULL;
}

/**
 * post_begin() - memory is to come after the machine
 * @d: the destination; its intake has ended
 *
 * Return: 0, and the connection belongs to another thread until post_rest(); or a negative errno.
 */
int post_begin(struct destination *d)
{
	struct post *post = &d->post;
	int r;

	d->intake_checksum = d->intake.end.checksum;
	d->m->lacks = true;
	r = fill_begin(&post->fill, &d->intake.absent, d->intake.end.flags & WIRE_END_CHECKSUM, post->why);
	if (r) {
		fill_end(&post->fill);
		return destination_fails(d, r, post->why);
	}
	pthread_mutex_init(&post->lock, NULL);
	pthread_cond_init(&post->changed, NULL);
	r = pthread_create(&post->thread, NULL, run, d);
	post->started = !r;
	if (!r)
		return 0;
	fill_end(&post->fill);
	return destination_fails(d, -r, "there is no thread for memory that comes after the machine");
}

/**
 * post_rest() - the state is loaded
 * @d: the destination; post_begin() has succeeded
 *
 * Return: 0, and the connection is the caller's; or a negative errno: what was loaded counts for nothing.
 */
int post_rest(struct destination *d)
{
	struct post *post = &d->post;
	int r;

	set_mode(post, POST_REST);
	pthread_mutex_lock(&post->lock);
	while (!post->rests)
		pthread_cond_wait(&post->changed, &post->lock);
	r = post->error;
	pthread_mutex_unlock(&post->lock);
	return r;
}

/**
 * post_own() - the machine is ours
 * @d: the destination; it may go on when this returns
 */
void post_own(struct destination *d)
{
	__atomic_store_n(&d->machine->filling, true, __ATOMIC_RELEASE);
	migration_phase(d->m, MIGRATION_POST_COPY, NULL);
	d->m->thread = d->post.thread;
	d->m->started = true;
	set_mode(&d->post, POST_OWN);
}

/**
 * post_quit() - it never was
 * @d: the destination; post_rest() was called
 */
void post_quit(struct destination *d)
{
	set_mode(&d->post, POST_QUIT);
	pthread_join(d->post.thread, NULL);
	d->post.started = false;
	fill_end(&d->post.fill);
}

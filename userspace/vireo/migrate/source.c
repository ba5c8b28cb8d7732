// SPDX-License-Identifier: GPL-2.0-only
/*
 * The source: a thread of the launcher that has the machine.
 *
 * Copy all memory, then what was written meanwhile, again and again, until the rest would take no longer than the downtime that
 * is allowed; then hold the machine, send the rest and all other state, and hand over.
 *
 * Up to the "yours" everything that goes wrong leaves the machine here, and it goes on. From the moment when the first byte of
 * it may have left, it does not, until the destination has said that it has it or that it never will; or somebody
 * decides who has looked at both.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "profile.h"
#include "source.h"
#include "../block/block.h"
#include "../control.h"
#include "../machine.h"
#include "../machine_state.h"

#define ACCEPT_MS	120000	/* for the destination to make a machine */
#define ASK_MS		500	/* between two tries to ask a destination */
#define ROUNDS_MAX	100
#define ROUNDS_FREE	2	/* before vCPUs are throttled */
#define CONVERGES	70	/* percent of what the round before had, or less */
#define REPORT_PAGES	1024U

/* Somebody wants memory to go after the machine from now on. */
static bool changes(struct source *s)
{
	return s->tracking && migration_wants(&s->m->change);
}

static bool interrupted(void *opaque)
{
	struct migration *m = opaque;

	return migration_wants(&m->cancel) || migration_wants(&m->closing);
}

/* When it is too late to cancel. */
static bool closing(void *opaque)
{
	struct migration *m = opaque;

	return migration_wants(&m->closing) || __atomic_load_n(&m->resolve, __ATOMIC_ACQUIRE) != MIGRATION_ASK;
}

int source_fails(struct source *s, int error, const char *text)
{
	snprintf(s->link.why, sizeof(s->link.why), "%s", text);
	return error;
}

static int fails_errno(struct source *s, int error, const char *text)
{
	snprintf(s->link.why, sizeof(s->link.why), "%s: %s", text, strerror(-error));
	return error;
}

/* ---- Frames ---- */

int source_not_expected(struct source *s, unsigned int type, enum wire_type want, const uint8_t *payload, size_t len)
{
	if (type == WIRE_REFUSE) {
		snprintf(s->link.why, sizeof(s->link.why), "the destination refuses: %.*s", (int)(len < 200 ? len : 200),
			 (const char *)payload);
		return -EREMOTEIO;
	}
	snprintf(s->link.why, sizeof(s->link.why), "the destination says \"%s\" instead of \"%s\"", wire_name(type),
		 wire_name(want));
	return -EPROTO;
}

/* The frame that has to come now; -EREMOTEIO: the destination refuses. */
static int expect(struct source *s, enum wire_type want, const uint8_t **payload, size_t *len)
{
	unsigned int type;
	int r;

	r = link_receive(&s->link, &type, payload, len);
	/* There it may be touched before it is the destination's: when the state is loaded. */
	while (!r && type == WIRE_REQUEST && s->post) {
		r = supply_request(s, *payload, *len);
		if (!r)
			r = link_receive(&s->link, &type, payload, len);
	}
	if (r)
		return r;
	return type == want ? 0 : source_not_expected(s, type, want, *payload, *len);
}

int source_say(struct source *s, enum wire_type type, const void *payload, size_t len)
{
	int r = link_send(&s->link, type, payload, len);

	return r ? r : link_flush(&s->link);
}

static int greet(struct source *s, enum wire_purpose purpose)
{
	struct wire_hello hello = { .version = WIRE_VERSION, .oldest = WIRE_OLDEST, .purpose = purpose }, answer;
	const uint8_t *payload;
	const char *wrong;
	uint16_t version;
	size_t len;
	int r;

	memcpy(hello.magic, WIRE_MAGIC, sizeof(hello.magic));
	memcpy(hello.id, s->m->id, sizeof(hello.id));
	r = source_say(s, WIRE_HELLO, &hello, sizeof(hello));
	if (!r)
		r = expect(s, WIRE_HELLO, &payload, &len);
	if (r)
		return r;
	wrong = wire_check_hello(payload, len, &answer, &version);
	if (!wrong && memcmp(answer.id, hello.id, sizeof(hello.id)))
		wrong = "the destination speaks of another migration";
	return wrong ? source_fails(s, -EPROTO, wrong) : 0;
}

/* ---- Memory ---- */

void source_report(struct source *s, uint64_t left)
{
	pthread_mutex_lock(&s->m->lock);
	s->m->status.pages = s->pages;
	s->m->status.left = left;
	s->m->status.bytes = s->link.sent;
	pthread_mutex_unlock(&s->m->lock);
	s->reported = s->pages;
}

int source_end_run(struct source *s)
{
	struct wire_pages run = { s->run_gpa, s->run_pages, 0 };
	int r;

	if (!s->run_pages)
		return 0;
	if (s->run_zero)
		r = link_send(&s->link, WIRE_ZERO, &run, sizeof(run));
	else
		r = link_send_parts(&s->link, WIRE_PAGES, &run, sizeof(run), s->run, (size_t)s->run_pages * WIRE_PAGE);
	s->pages += s->run_pages;
	s->run_pages = 0;
	return r;
}

/* Begins another run unless the pages go with those before. */
static int add_to_run(struct source *s, uint64_t gpa, uint32_t pages, bool zero)
{
	bool fits = s->run_pages && s->run_zero == zero && gpa == s->run_gpa + (uint64_t)s->run_pages * WIRE_PAGE &&
		    (zero ? s->run_pages <= UINT32_MAX - pages : s->run_pages < WIRE_RUN_MAX);
	int r = 0;

	if (!fits) {
		r = source_end_run(s);
		s->run_gpa = gpa;
		s->run_zero = zero;
	}
	s->run_pages += pages;
	return r;
}

/* The page is copied first, since it may change at any time, and then it is seen what is in it. */
int source_send_page(struct source *s, const struct memory_piece *piece, uint64_t page)
{
	uint64_t gpa = piece->gpa + page * WIRE_PAGE;
	uint8_t copy[WIRE_PAGE];
	bool zero;
	int r;

	memcpy(copy, piece->hva + page * WIRE_PAGE, WIRE_PAGE);
	zero = wire_is_zero(copy);
	r = add_to_run(s, gpa, 1, zero);
	if (!zero)
		memcpy(s->run + (size_t)(s->run_pages - 1) * WIRE_PAGE, copy, WIRE_PAGE);
	return r;
}

static int send_word(struct source *s, const struct memory_piece *piece, uint64_t first, uint64_t word)
{
	int r = 0;

	/* What is written after this look is told of. */
	if (word == ~0ULL &&
	    memory_untouched(s->pagemap, piece->hva + first * WIRE_PAGE, 64 * WIRE_PAGE))
		return add_to_run(s, piece->gpa + first * WIRE_PAGE, 64, true);
	for (; word && !r; word &= word - 1)
		r = source_send_page(s, piece, first + (uint64_t)__builtin_ctzll(word));
	return r;
}

/* What the bitmaps have, and forget it; everything, if memory is not followed. */
static int send_memory(struct source *s, uint64_t count)
{
	const struct guest_memory *memory = &s->m->machine->memory;
	uint64_t pages, at, word, begin = s->pages;
	unsigned int i;
	int r = 0;

	for (i = 0; i < memory->nr; i++) {
		pages = memory->piece[i].bytes / WIRE_PAGE;
		for (at = 0; at < pages && !r; at += 64) {
			word = s->tracking ? s->track.bitmap[i][at / 64] : ~0ULL;
			if (!word)
				continue;
			if (pages - at < 64)
				word &= (1ULL << (pages - at)) - 1;
			if (s->tracking)
				s->track.bitmap[i][at / 64] = 0;
			r = send_word(s, &memory->piece[i], at, word);
			if (!r && interrupted(s->m))
				r = source_fails(s, -ECANCELED, "it was cancelled");
			if (!r && changes(s))
				return source_end_run(s);
			if (s->pages - s->reported >= REPORT_PAGES)
				source_report(s, count > s->pages - begin ? count - (s->pages - begin) : 0);
		}
	}
	return r ? r : source_end_run(s);
}

/* A round ends when the destination has it in memory: so the rate is what the whole path can do. */
static int end_round(struct source *s, uint64_t round)
{
	struct wire_round end = { round, s->pages };
	const uint8_t *payload;
	size_t len;
	int r;

	r = source_say(s, WIRE_ROUND, &end, sizeof(end));
	if (!r)
		r = expect(s, WIRE_SEEN, &payload, &len);
	if (!r && memcmp(payload, &end, sizeof(end)))
		r = source_fails(s, -EPROTO, "the destination has seen something else");
	source_report(s, 0);
	return r;
}

static uint64_t bits(const struct source *s)
{
	const struct guest_memory *memory = &s->m->machine->memory;
	uint64_t at, n = 0;
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		for (at = 0; at < (memory->piece[i].bytes / WIRE_PAGE + 63) / 64; at++)
			n += (uint64_t)__builtin_popcountll(s->track.bitmap[i][at]);
	return n;
}

static void set_quota(struct source *s, uint32_t quota, unsigned int throttle)
{
	struct machine *machine = s->m->machine;
	unsigned int i;

	__atomic_store_n(&machine->quota, quota, __ATOMIC_RELAXED);
	/* They look at it when they enter the guest. */
	for (i = 0; i < machine->nr_cpus; i++)
		vireo_vcpu_kick(machine->cpu[i].vcpu);
	pthread_mutex_lock(&s->m->lock);
	s->m->status.throttle = throttle;
	pthread_mutex_unlock(&s->m->lock);
}

/*
 * Let it write at half of the rate at which it was copied, then at a quarter, and so on: a round that takes a time sends
 * so many pages, and no more than that part of them can become dirty in that time.
 */
static void slow_down(struct source *s, uint64_t pages, uint64_t ms)
{
	unsigned int part = 100 - s->m->status.throttle;
	uint64_t quota;

	part = part > 2 ? part / 2 : 1;
	quota = pages * part * (MACHINE_QUOTA_NS / 1000000) / (ms ? ms : 1) / 100 / s->m->machine->nr_cpus;
	set_quota(s, quota < 1 ? 1 : quota > UINT32_MAX ? UINT32_MAX : (uint32_t)quota, 100 - part);
}

static uint64_t estimate(struct source *s, uint64_t pages, uint64_t bytes, uint64_t ms)
{
	uint64_t rate = bytes * 1000 / (ms ? ms : 1), downtime;

	downtime = pages * (WIRE_PAGE + sizeof(struct wire_header) + sizeof(struct wire_pages)) * 1000 / (rate ? rate : 1);
	pthread_mutex_lock(&s->m->lock);
	s->m->status.rate = rate;
	s->m->status.downtime_ms = downtime;
	pthread_mutex_unlock(&s->m->lock);
	return downtime;
}

/* Returns when what is left takes no longer than is allowed. */
static int copy_running(struct source *s)
{
	uint64_t round, left = s->m->status.total, before, begin, bytes, found, ms;
	const struct guest_memory *memory = &s->m->machine->memory;
	unsigned int i;
	int r;

	r = track_begin(&s->track, s->m->machine, TRACK_MIGRATION);
	if (r)
		return fails_errno(s, r, "memory cannot be followed");
	s->tracking = true;
	for (i = 0; i < memory->nr; i++)
		memset(s->track.bitmap[i], 0xff, (memory->piece[i].bytes / WIRE_PAGE + 63) / 64 * sizeof(uint64_t));
	for (round = 1; round <= ROUNDS_MAX; round++) {
		pthread_mutex_lock(&s->m->lock);
		s->m->status.round = round;
		s->m->status.left = left;
		pthread_mutex_unlock(&s->m->lock);
		begin = migration_now_ms();
		bytes = s->link.sent;
		r = send_memory(s, left);
		if (!r && changes(s))
			return 0;
		if (!r)
			r = end_round(s, round);
		if (r)
			return r;
		before = left;
		r = track_collect(&s->track, &found);
		if (r)
			return fails_errno(s, r, "what was written is not known");
		left = bits(s);
		ms = migration_now_ms() - begin;
		if (estimate(s, left, s->link.sent - bytes, ms) <= s->m->options.downtime_ms)
			return 0;
		/* What was written is no less than what was sent: it would go on for ever. */
		if (round >= ROUNDS_FREE && left * 100 > before * CONVERGES) {
			if (s->m->options.change) {
				migration_want(&s->m->change);
				return 0;
			}
			slow_down(s, before, ms);
		}
	}
	return source_fails(s, -ELOOP, "the machine writes memory faster than it can be copied: allow more downtime");
}

/* ---- Rest ---- */

static int pause_here(struct source *s, unsigned int ms)
{
	int r = link_wait(&s->link, -1, 0, ms);

	return r == -ETIMEDOUT ? 0 : r;
}

static int rest(struct source *s)
{
	struct machine *machine = s->m->machine;
	bool settled;
	int r;

	migration_phase(s->m, MIGRATION_FINISHING, NULL);
	s->rest_ms = migration_now_ms();
	/* A reset that is under way comes first. */
	while (machine_hold(machine, &s->was_paused)) {
		r = pause_here(s, 5);
		if (r)
			return r;
	}
	s->held = true;
	while (!machine_is_paused(machine, &settled, NULL) || !settled) {
		r = pause_here(s, 1);
		if (r)
			return r;
	}
	return 0;
}

static int send_state(struct source *s, const struct state_buffer *state)
{
	struct wire_end end = { .pages = s->pages, .state = state->len };
	size_t at, n;
	int r = 0;

	for (at = 0; at < state->len && !r; at += n) {
		n = state->len - at < WIRE_FRAME_MAX ? state->len - at : WIRE_FRAME_MAX;
		r = link_send(&s->link, WIRE_STATE, state->data + at, n);
	}
	end.flags = (s->was_paused ? WIRE_END_PAUSED : 0) | (s->post ? WIRE_END_POST : 0);
	if (s->m->options.verify) {
		end.checksum = wire_checksum(&s->m->machine->memory);
		end.flags |= WIRE_END_CHECKSUM;
	}
	return r ? r : source_say(s, WIRE_END, &end, sizeof(end));
}

static int send_rest(struct source *s)
{
	uint64_t found, left;
	int r = 0;

	if (s->tracking)
		r = track_collect(&s->track, &found);
	if (r)
		return fails_errno(s, r, "what was written is not known");
	left = s->tracking ? bits(s) : s->m->status.total;
	r = send_memory(s, left);
	source_report(s, 0);
	return r;
}

static int copy_resting(struct source *s)
{
	struct state_buffer state = { 0 };
	int r;

	/* Before memory: the module may have something to write there before a vCPU's state is complete. */
	r = machine_state_save(s->m->machine, true, &state);
	if (r)
		r = fails_errno(s, r, "the machine's state cannot be read");
	else if (state.len > WIRE_STATE_MAX)
		r = source_fails(s, -EFBIG, "the machine has too much state");
	if (!r)
		r = s->post ? supply_begin(s) : send_rest(s);
	if (!r) {
		/* Whoever makes the machine go on locks its images first: there, or here again. */
		s->unlocked = true;
		block_unlock_all();
		r = send_state(s, &state);
	}
	state_buffer_free(&state);
	return r;
}

/* ---- The hand-over ---- */

static int hand_over(struct source *s)
{
	const uint8_t *payload;
	size_t len;
	int r;

	s->given = true;
	/* What goes after the machine keeps the rate by itself: what is asked for does not wait. */
	if (s->post)
		s->link.rate = 0;
	r = source_say(s, WIRE_YOURS, s->m->id, WIRE_ID_BYTES);
	if (s->post)
		return r ? r : supply(s);
	if (!r)
		r = expect(s, WIRE_TAKEN, &payload, &len);
	if (!r && memcmp(payload, s->m->id, WIRE_ID_BYTES))
		r = source_fails(s, -EPROTO, "the destination has taken something else");
	/* Whether it hears this matters to nobody but its memory. */
	if (!r)
		source_say(s, WIRE_DONE, NULL, 0);
	return r;
}

/*
 * Ask again who has the machine. 0: the destination; -ESTALE: it never will; otherwise it is not known.
 */
static int ask(struct source *s)
{
	struct link_options options = s->link.options;
	const uint8_t *payload;
	unsigned int type;
	size_t len;
	int r;

	link_close(&s->link);
	r = link_connect(&s->link, &s->address, &options);
	if (!r)
		r = greet(s, WIRE_RESOLVE);
	if (!r && s->post)
		r = supply_hear_list(s);
	if (!r)
		r = link_receive(&s->link, &type, &payload, &len);
	if (r)
		return r;
	if (type == WIRE_REFUSE && s->taken)
		return source_fails(s, -ENOENT, "the destination does not know the machine any more");
	if (type == WIRE_REFUSE)
		return source_fails(s, -ESTALE, "the destination has given it up");
	if (type == WIRE_READY)
		return hand_over(s);
	if (type != WIRE_TAKEN || memcmp(payload, s->m->id, WIRE_ID_BYTES))
		return source_fails(s, -EPROTO, "the destination does not say who has the machine");
	if (s->post) {
		supply_taken(s);
		return supply(s);
	}
	source_say(s, WIRE_DONE, NULL, 0);
	return 0;
}

static void tell_doubt(struct source *s)
{
	char why[LINK_WHY];

	snprintf(why, sizeof(why), "%.200s; see vireo-migrate(1), --resolve", s->link.why);
	migration_phase(s->m, s->taken ? MIGRATION_POST_COPY : MIGRATION_IN_DOUBT, why);
}

/* Nobody knows who has the machine, so it rests; or it goes on there, and lacks memory. 0: the destination; -ESTALE: it is ours; -ECANCELED: the launcher ends */
static int doubt(struct source *s)
{
	bool can_ask = s->address.kind == LINK_TCP || s->address.kind == LINK_UNIX;
	bool told = false, taken = s->taken;
	int r;

	s->link.options.interrupted = closing;
	for (;;) {
		if (!told || taken != s->taken)
			tell_doubt(s);
		told = true;
		taken = s->taken;
		switch (__atomic_load_n(&s->m->resolve, __ATOMIC_ACQUIRE)) {
		case MIGRATION_KEEP:
			return source_fails(s, -ESTALE, "it was decided that the machine goes on here");
		case MIGRATION_DROP:
			return 0;
		}
		s->connected = false;
		r = can_ask ? ask(s) : -ENOTCONN;
		if (!r || r == -ESTALE)
			return r;
		if (migration_wants(&s->m->closing))
			return -ECANCELED;
		/* It was there again, and has gone once more. */
		told = !s->connected;
		link_wait(&s->link, -1, 0, ASK_MS);
	}
}

/* What it has to be able to do: that memory comes later, at once or if somebody wants that. */
static const char *wish(const struct source *s)
{
	const struct migration_options *options = &s->m->options;

	if (options->mode == MIGRATION_POST || options->change)
		return "must";
	return options->mode == MIGRATION_PRE && s->address.kind != LINK_EXEC ? "may" : NULL;
}

static int hear_accept(struct source *s, const uint8_t *payload, size_t len)
{
	struct wire_accept accept;
	const char *wrong = wire_check_accept(payload, len, &accept, s->no_post);
	bool can = !wrong && accept.flags & WIRE_ACCEPT_POST;

	if (!wrong && !can && wish(s) && !strcmp(wish(s), "must"))
		wrong = "the destination cannot take memory after the machine";
	if (wrong)
		return source_fails(s, -EPROTO, wrong);
	if (can)
		migration_want(&s->m->may_change);
	return 0;
}

static int negotiate(struct source *s)
{
	json_t *profile = profile_make(s->m->machine);
	const uint8_t *payload;
	char *text = NULL;
	size_t len;
	int r;

	if (profile && wish(s))
		json_object_set_new(profile, "post-copy", json_string(wish(s)));
	if (profile)
		text = json_dumps(profile, JSON_COMPACT);
	json_decref(profile);
	if (!text)
		return source_fails(s, -ENOMEM, "the machine cannot be described");
	if (strlen(text) > WIRE_FRAME_MAX)
		r = source_fails(s, -EFBIG, "the machine's description is too long");
	else
		r = source_say(s, WIRE_MACHINE, text, strlen(text));
	free(text);
	if (r)
		return r;
	s->link.options.timeout_ms = ACCEPT_MS;
	r = expect(s, WIRE_ACCEPT, &payload, &len);
	s->link.options.timeout_ms = s->m->options.timeout_ms;
	return r ? r : hear_accept(s, payload, len);
}

static int migrate(struct source *s)
{
	const struct migration_options *options = &s->m->options;
	struct link_options link = { options->timeout_ms, s->tls, interrupted, s->m };
	const uint8_t *payload;
	size_t len;
	int r;

	r = link_connect(&s->link, &s->address, &link);
	if (!r)
		r = greet(s, WIRE_MOVE);
	if (!r)
		r = negotiate(s);
	if (r)
		return r;
	s->link.rate = options->bandwidth;
	migration_phase(s->m, MIGRATION_COPYING, NULL);
	r = options->mode == MIGRATION_PRE ? copy_running(s) : 0;
	s->post = options->mode == MIGRATION_POST || changes(s);
	if (!r)
		r = rest(s);
	if (!r)
		r = copy_resting(s);
	if (!r)
		r = expect(s, WIRE_READY, &payload, &len);
	if (r)
		return r;
	/* The last moment at which somebody may change his mind, or the connection be seen to be lost. */
	if (interrupted(s->m))
		return source_fails(s, -ECANCELED, "it was cancelled");
	if (link_readable(&s->link))
		return source_fails(s, -EPIPE, "the destination has closed the connection");
	migration_phase(s->m, MIGRATION_HANDING_OVER, NULL);
	s->link.options.interrupted = closing;
	return hand_over(s);
}

/* The destination may forget it. */
static void say_cancel(struct source *s)
{
	s->link.options.interrupted = NULL;
	s->link.options.timeout_ms = 1000;
	s->link.rate = 0;
	if (s->link.buffer && !link_send(&s->link, WIRE_CANCEL, s->link.why, strlen(s->link.why)))
		link_flush(&s->link);
}

/* The machine is ours again. */
static void take_back(struct source *s)
{
	struct machine *machine = s->m->machine;
	bool locked = !s->unlocked || !block_lock_all();

	if (s->held && !locked)
		control_event(machine->server, "migration", "an image was taken meanwhile: the machine stays paused");
	if (s->held)
		machine_let_go(machine, !s->was_paused && locked);
}

static void finish(struct source *s, int r)
{
	struct machine *machine = s->m->machine;
	char why[LINK_WHY];

	if (s->m->status.throttle)
		set_quota(s, 0, s->m->status.throttle);
	if (s->tracking)
		track_end(&s->track);
	page_set_free(&s->want);
	memcpy(why, s->link.why, sizeof(why));
	if (s->rest_ms && !s->taken) {
		pthread_mutex_lock(&s->m->lock);
		s->m->status.downtime_ms = migration_now_ms() - s->rest_ms;
		s->m->status.left = 0;
		pthread_mutex_unlock(&s->m->lock);
	}
	if (!r) {
		migration_phase(s->m, MIGRATION_COMPLETED,
				s->differs ? "memory there is not what it was here: the checksums differ" : NULL);
		machine_request(machine, MACHINE_END, EXIT_OK, NULL);
	} else if (s->given && r != -ESTALE) {
		/* The launcher ends in doubt: the machine has ended here, which is a decision too. */
	} else {
		if (!s->given)
			say_cancel(s);
		take_back(s);
		migration_phase(s->m, r == -ECANCELED ? MIGRATION_CANCELLED : MIGRATION_FAILED, why);
	}
}

static void *run(void *opaque)
{
	struct source *s = opaque;
	int r;

	s->pagemap = memory_pagemap();
	r = migrate(s);

	if (r && s->given)
		r = doubt(s);
	finish(s, r);
	link_close(&s->link);
	link_tls_free(s->tls);
	if (s->pagemap >= 0)
		close(s->pagemap);
	free(s);
	return NULL;
}

/* Not while the machine is taken apart: migration_close() has to find it. What there is of @s is the thread's, which may have ended. */
static int begin(struct source *s)
{
	struct migration *m = s->m, *before = m->machine->migration;
	struct machine *machine = m->machine;
	int r = -EBUSY;

	pthread_mutex_lock(&machine->control_lock);
	if (machine->state != MACHINE_ENDING)
		r = -pthread_create(&m->thread, NULL, run, s);
	if (!r) {
		m->started = true;
		machine->migration = m;
	}
	pthread_mutex_unlock(&machine->control_lock);
	if (!r && before) {
		if (before->started)
			pthread_join(before->thread, NULL);
		migration_free(before);
	}
	return r;
}

/**
 * migration_start() - move a machine
 * @machine: the machine
 * @options: where to, and how
 * @why: LINK_WHY bytes for a sentence
 *
 * Return: 0: it has begun; -EBUSY: one is under way; -EINVAL, -ENOMEM.
 */
int migration_start(struct machine *machine, const struct migration_options *options, char *why)
{
	struct source *s;
	int r;

	if (machine->migration && !migration_over(machine->migration)) {
		snprintf(why, LINK_WHY, "a migration is under way");
		return -EBUSY;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		snprintf(why, LINK_WHY, "there is no memory");
		return -ENOMEM;
	}
	if (link_address_parse(options->to, &s->address) || s->address.kind == LINK_STDIO) {
		snprintf(why, LINK_WHY, "\"%.150s\" is not tcp:HOST:PORT, unix:PATH or exec:COMMAND", options->to);
		free(s);
		return -EINVAL;
	}
	if (s->address.kind == LINK_EXEC && (options->mode == MIGRATION_POST || options->change)) {
		snprintf(why, LINK_WHY, "memory cannot go after the machine through a command: should that end, there is no way back");
		free(s);
		return -EINVAL;
	}
	if (*options->tls && link_tls_load(options->tls, false, &s->tls, why)) {
		free(s);
		return -EINVAL;
	}
	s->m = migration_new(machine, true);
	r = s->m && getrandom(s->m->id, WIRE_ID_BYTES, 0) == WIRE_ID_BYTES ? 0 : -ENOMEM;
	if (!r) {
		s->m->options = *options;
		r = begin(s);
	}
	if (!r)
		return 0;
	snprintf(why, LINK_WHY, "%s", r == -EBUSY ? "the machine ends" : "there is no memory");
	migration_free(s->m);
	link_tls_free(s->tls);
	free(s);
	return r;
}

/**
 * migration_cancel() - the machine shall stay
 * @machine: the machine
 *
 * Return: 0: it will, unless it is handed over by then; -ENOENT: it was not about to go; -EBUSY: too late.
 */
int migration_cancel(struct machine *machine)
{
	struct migration *m = machine->migration;
	enum migration_phase phase;

	if (!m || !m->outgoing || migration_over(m))
		return -ENOENT;
	phase = migration_status(m).phase;
	if (phase == MIGRATION_HANDING_OVER || phase == MIGRATION_IN_DOUBT || phase == MIGRATION_POST_COPY)
		return -EBUSY;
	migration_want(&m->cancel);
	return 0;
}

/**
 * migration_change() - what is left of memory shall go after the machine
 * @machine: the machine
 *
 * Return: 0: it will; -ENOENT: it does not move; -EBUSY: too early or too late; -EOPNOTSUPP: the destination cannot.
 */
int migration_change(struct machine *machine)
{
	struct migration *m = machine->migration;

	if (!m || !m->outgoing || migration_over(m))
		return -ENOENT;
	if (migration_status(m).phase != MIGRATION_COPYING || m->options.mode != MIGRATION_PRE)
		return -EBUSY;
	if (!migration_wants(&m->may_change))
		return -EOPNOTSUPP;
	migration_want(&m->change);
	return 0;
}

/**
 * migration_resolve() - decide where the machine goes on
 * @machine: the machine, on either side
 * @how: here or not
 *
 * Return: 0; -EINVAL: it is not in doubt; -ENODATA: it cannot go on here.
 */
int migration_resolve(struct machine *machine, enum migration_resolve how)
{
	struct migration *m = machine->migration;
	struct migration_status status;

	if (!m)
		return -EINVAL;
	status = migration_status(m);
	/* It has run there: here is only what it was before. */
	if (status.phase == MIGRATION_POST_COPY && m->outgoing && *status.why && how == MIGRATION_KEEP)
		return -ENODATA;
	if (status.phase == MIGRATION_IN_DOUBT && m->lacks && how == MIGRATION_KEEP)
		return -ENODATA;
	if (status.phase != MIGRATION_IN_DOUBT && !(status.phase == MIGRATION_POST_COPY && m->outgoing && *status.why))
		return -EINVAL;
	__atomic_store_n(&m->resolve, how, __ATOMIC_RELEASE);
	return 0;
}

/**
 * migration_close() - end what goes on; none begins any more
 * @machine: the machine, whose vCPUs have ended; migration_free() when nobody asks for its status any more
 */
void migration_close(struct machine *machine)
{
	struct migration *m;

	pthread_mutex_lock(&machine->control_lock);
	m = machine->migration;
	pthread_mutex_unlock(&machine->control_lock);
	if (!m || !m->started)
		return;
	migration_want(&m->closing);
	pthread_join(m->thread, NULL);
	m->started = false;
}

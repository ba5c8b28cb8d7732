// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that goes after the machine. It rests here and does not change any more, so each page can be sent at any time: what the
 * destination asks for at once, and behind that, since it is likely to be next, and on through all of memory, what else it lacks.
 *
 * What was sent may be lost with the connection. The destination says what it lacks when it is found again.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "source.h"
#include "../machine.h"

#define PARTS		10U	/* of a second, in which a limited rate is kept */
#define PUSH_MAX	16U	/* pages, for the end of which a request has to wait */

/**
 * supply_begin() - tell the destination what it will lack
 * @s: the source; the machine rests, and its state was read
 *
 * Return: 0, or a negative errno.
 */
int supply_begin(struct source *s)
{
	const struct guest_memory *memory = &s->m->machine->memory;
	uint64_t page, run, found;
	struct wire_pages missing;
	unsigned int i;
	int r;

	r = page_set_make(&s->want, memory);
	if (!r && s->tracking)
		r = track_collect(&s->track, &found);
	if (r) {
		snprintf(s->link.why, sizeof(s->link.why), "what is left is not known: %s", strerror(-r));
		return r;
	}
	for (i = 0; i < memory->nr; i++) {
		page_set_fill(&s->want, memory, i, s->tracking ? s->track.bitmap[i] : NULL);
		for (page = 0; page_set_next(&s->want, i, &page, &run, UINT32_MAX); page += run) {
			missing = (struct wire_pages){ memory->piece[i].gpa + page * WIRE_PAGE, (uint32_t)run, 0 };
			r = link_send(&s->link, WIRE_MISSING, &missing, sizeof(missing));
			if (r)
				return r;
		}
	}
	source_report(s, s->want.count);
	return 0;
}

/* Those of a run that are still wanted */
static int send_run(struct source *s, unsigned int piece, uint64_t page, uint64_t count)
{
	uint64_t end = page + count;
	int r = 0;

	for (; page < end && !r; page++)
		if (page_set_remove(&s->want, piece, page))
			r = source_send_page(s, &s->m->machine->memory.piece[piece], page);
	s->cursor.piece = piece;
	s->cursor.page = end;
	return r;
}

static int end_sending(struct source *s)
{
	int r = source_end_run(s);

	if (!r)
		r = link_flush(&s->link);
	source_report(s, s->want.count);
	return r;
}

/**
 * supply_request() - send what is asked for
 * @s: the source
 * @payload: of the frame
 * @len: its length
 *
 * Return: 0, or a negative errno.
 */
int supply_request(struct source *s, const uint8_t *payload, size_t len)
{
	struct wire_run run;
	const char *wrong;
	int r;

	wrong = wire_check_run(&s->m->machine->memory, WIRE_REQUEST, payload, len, &run);
	if (wrong)
		return source_fails(s, -EPROTO, wrong);
	pthread_mutex_lock(&s->m->lock);
	s->m->status.requests++;
	pthread_mutex_unlock(&s->m->lock);
	r = send_run(s, run.piece, run.first, run.count);
	return r ? r : end_sending(s);
}

/**
 * supply_hear_list() - hear what the destination lacks
 * @s: the source, which has found it again
 *
 * Return: 0; or a negative errno: -ESTALE: it refuses, and the machine was not taken.
 */
int supply_hear_list(struct source *s)
{
	const uint8_t *payload;
	struct wire_left left;
	struct wire_run run;
	unsigned int type;
	const char *wrong;
	uint64_t page;
	size_t len;
	int r;

	s->run_pages = 0;
	page_set_clear(&s->want);
	for (;;) {
		r = link_receive(&s->link, &type, &payload, &len);
		if (r)
			return r;
		if (type == WIRE_REFUSE)
			return source_fails(s, s->taken ? -ENOENT : -ESTALE, "the destination does not know the machine any more");
		if (type == WIRE_LEFT)
			break;
		if (type != WIRE_MISSING)
			return source_not_expected(s, type, WIRE_MISSING, payload, len);
		wrong = wire_check_run(&s->m->machine->memory, type, payload, len, &run);
		if (wrong)
			return source_fails(s, -EPROTO, wrong);
		for (page = run.first; page < run.first + run.count; page++)
			page_set_add(&s->want, run.piece, page);
	}
	wrong = wire_check_left(payload, len, &left);
	if (!wrong && left.pages != s->want.count)
		wrong = "the destination's list of missing pages is not complete";
	return wrong ? source_fails(s, -EPROTO, wrong) : 0;
}

/**
 * supply_taken() - the machine goes on there
 * @s: the source
 */
void supply_taken(struct source *s)
{
	if (!s->taken) {
		pthread_mutex_lock(&s->m->lock);
		s->m->status.downtime_ms = migration_now_ms() - s->rest_ms;
		pthread_mutex_unlock(&s->m->lock);
	}
	s->taken = true;
	s->connected = true;
	migration_phase(s->m, MIGRATION_POST_COPY, NULL);
}

/* 1: it has all. */
static int hear(struct source *s)
{
	const uint8_t *payload;
	struct wire_left left;
	unsigned int type;
	const char *wrong;
	size_t len;
	int r;

	r = link_receive(&s->link, &type, &payload, &len);
	if (r)
		return r;
	if (type == WIRE_REQUEST)
		return supply_request(s, payload, len);
	if (type == WIRE_TAKEN && !s->taken) {
		if (memcmp(payload, s->m->id, WIRE_ID_BYTES))
			return source_fails(s, -EPROTO, "the destination has taken something else");
		supply_taken(s);
		return 0;
	}
	if (type != WIRE_LEFT || !s->taken)
		return source_not_expected(s, type, s->taken ? WIRE_LEFT : WIRE_TAKEN, payload, len);
	wrong = wire_check_left(payload, len, &left);
	if (!wrong && left.pages)
		wrong = "the destination lacks pages of which it has not heard";
	if (wrong)
		return source_fails(s, -EPROTO, wrong);
	s->differs = left.flags & WIRE_LEFT_DIFFERS;
	return 1;
}

/* Some of what nobody has asked for; from the cursor on, and again from the start of memory */
static int push(struct source *s, uint64_t max)
{
	uint64_t page, run;

	while (!page_set_next(&s->want, s->cursor.piece, &s->cursor.page, &run, max)) {
		s->cursor.piece = (s->cursor.piece + 1) % s->want.nr;
		s->cursor.page = 0;
	}
	page = s->cursor.page;
	return send_run(s, s->cursor.piece, page, run);
}

/**
 * supply() - send what the destination lacks
 * @s: the source; the machine is the destination's
 *
 * Return: 0: it has all; or a negative errno: the connection is lost.
 */
int supply(struct source *s)
{
	uint64_t rate = s->m->options.bandwidth, now, sent, owed = 0;
	uint64_t max = rate ? rate / PARTS / WIRE_PAGE : PUSH_MAX;
	unsigned int ms;
	int r = 0;

	max = max < 1 ? 1 : max > PUSH_MAX ? PUSH_MAX : max;
	while (!r) {
		now = migration_now_ms();
		if (link_readable(&s->link)) {
			r = hear(s);
		} else if (s->want.count && owed <= now) {
			sent = s->link.sent;
			r = push(s, max);
			if (!r)
				r = end_sending(s);
			if (rate)
				owed = now + (s->link.sent - sent) * 1000 / rate;
		} else {
			ms = s->want.count ? (unsigned int)(owed - now) : s->link.options.timeout_ms;
			r = link_wait(&s->link, s->link.in, POLLIN, ms);
			if (r == -ETIMEDOUT && s->want.count)
				r = 0;
		}
	}
	if (r < 0)
		return r;
	/* Whether it hears this matters to nobody but its memory. */
	source_say(s, WIRE_DONE, NULL, 0);
	return 0;
}

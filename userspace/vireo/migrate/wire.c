// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames and their checks. The source's machine goes on if anything is wrong, so nothing here tries to make the best of
 * a frame that breaks a rule.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "../util.h"

#define S 1U
#define D 2U

static const struct {
	const char *name;
	unsigned int from;
	uint32_t min, max;
} types[WIRE_TYPES] = {
	[WIRE_HELLO] = { "hello", S | D, sizeof(struct wire_hello), sizeof(struct wire_hello) },
	[WIRE_MACHINE] = { "machine", S, 2, WIRE_FRAME_MAX },
	[WIRE_ACCEPT] = { "accept", D, sizeof(struct wire_accept), sizeof(struct wire_accept) + WIRE_TEXT_MAX },
	[WIRE_PAGES] = { "pages", S, sizeof(struct wire_pages) + WIRE_PAGE,
			 sizeof(struct wire_pages) + WIRE_RUN_MAX * WIRE_PAGE },
	[WIRE_ZERO] = { "zero", S, sizeof(struct wire_pages), sizeof(struct wire_pages) },
	[WIRE_ROUND] = { "round", S, sizeof(struct wire_round), sizeof(struct wire_round) },
	[WIRE_SEEN] = { "seen", D, sizeof(struct wire_round), sizeof(struct wire_round) },
	[WIRE_STATE] = { "state", S, 1, WIRE_FRAME_MAX },
	[WIRE_END] = { "end", S, sizeof(struct wire_end), sizeof(struct wire_end) },
	[WIRE_READY] = { "ready", D, 0, 0 },
	[WIRE_YOURS] = { "yours", S, WIRE_ID_BYTES, WIRE_ID_BYTES },
	[WIRE_TAKEN] = { "taken", D, WIRE_ID_BYTES, WIRE_ID_BYTES },
	[WIRE_DONE] = { "done", S, 0, 0 },
	[WIRE_REFUSE] = { "refuse", D, 0, WIRE_TEXT_MAX },
	[WIRE_CANCEL] = { "cancel", S, 0, WIRE_TEXT_MAX },
	[WIRE_MISSING] = { "missing", S | D, sizeof(struct wire_pages), sizeof(struct wire_pages) },
	[WIRE_REQUEST] = { "request", D, sizeof(struct wire_pages), sizeof(struct wire_pages) },
	[WIRE_LEFT] = { "left", D, sizeof(struct wire_left), sizeof(struct wire_left) },
};

/**
 * wire_name() - what a frame is called
 * @type: any number
 *
 * Return: its name; "?" if there is none.
 */
const char *wire_name(unsigned int type)
{
	return type < WIRE_TYPES && types[type].name ? types[type].name : "?";
}

/**
 * wire_check_header() - look at a frame before it is read
 * @header: its header
 * @from_source: who has sent it
 *
 * Return: NULL, and no more than WIRE_FRAME_MAX bytes follow; or what is wrong.
 */
const char *wire_check_header(const struct wire_header *header, bool from_source)
{
	if (header->type >= WIRE_TYPES || !types[header->type].name)
		return "a frame of an unknown type";
	if (!(types[header->type].from & (from_source ? S : D)))
		return "a frame that only the other side may send";
	if (header->zero)
		return "a header's reserved field is not zero";
	if (header->len < types[header->type].min || header->len > types[header->type].max)
		return "a frame's length is wrong";
	return NULL;
}

/**
 * wire_check_hello() - read a greeting
 * @payload: of the frame
 * @len: its length
 * @hello: to be filled
 * @version: the newest one that both sides speak
 *
 * Return: NULL, or what is wrong.
 */
const char *wire_check_hello(const void *payload, size_t len, struct wire_hello *hello, uint16_t *version)
{
	if (len != sizeof(*hello))
		return "a frame's length is wrong";
	memcpy(hello, payload, sizeof(*hello));
	if (memcmp(hello->magic, WIRE_MAGIC, sizeof(hello->magic)))
		return "the other side does not speak this protocol";
	if (hello->oldest > hello->version)
		return "the other side's versions are out of order";
	if (hello->oldest > WIRE_VERSION)
		return "the other side is too new: it does not speak this version of the protocol any more";
	if (hello->version < WIRE_OLDEST)
		return "the other side is too old: this side does not speak its version of the protocol any more";
	if (hello->purpose > WIRE_RESOLVE)
		return "the other side wants something unknown";
	*version = hello->version < WIRE_VERSION ? hello->version : WIRE_VERSION;
	return NULL;
}

/**
 * wire_is_zero() - is there nothing in a page?
 * @page: WIRE_PAGE bytes
 *
 * Return: whether all of them are 0.
 */
bool wire_is_zero(const void *page)
{
	const char *byte = page;

	return !byte[0] && !memcmp(byte, byte + 1, WIRE_PAGE - 1);
}

/**
 * wire_check_accept() - read what the destination can do
 * @payload: of the frame
 * @len: its length
 * @accept: to be filled
 * @why: WIRE_TEXT_MAX + 1 bytes: why it cannot do more
 *
 * Return: NULL, or what is wrong.
 */
const char *wire_check_accept(const void *payload, size_t len, struct wire_accept *accept, char *why)
{
	if (len < sizeof(*accept) || len > sizeof(*accept) + WIRE_TEXT_MAX)
		return "a frame's length is wrong";
	memcpy(accept, payload, sizeof(*accept));
	if (accept->zero || accept->flags & ~WIRE_ACCEPT_POST)
		return "the destination accepts with unknown flags";
	len -= sizeof(*accept);
	memcpy(why, (const char *)payload + sizeof(*accept), len);
	why[len] = '\0';
	return NULL;
}

/**
 * wire_check_left() - read how many pages the destination lacks
 * @payload: of the frame
 * @len: its length
 * @left: to be filled
 *
 * Return: NULL, or what is wrong.
 */
const char *wire_check_left(const void *payload, size_t len, struct wire_left *left)
{
	if (len != sizeof(*left))
		return "a frame's length is wrong";
	memcpy(left, payload, sizeof(*left));
	if (left->zero || left->flags & ~WIRE_LEFT_DIFFERS || (left->pages && left->flags))
		return "what is left has unknown flags";
	return NULL;
}

/**
 * wire_check_run() - read which pages a frame is about
 * @memory: in which they have to be
 * @type: of the frame
 * @payload: of the frame
 * @len: its length
 * @run: to be filled
 *
 * Return: NULL, or what is wrong.
 */
const char *wire_check_run(const struct guest_memory *memory, unsigned int type, const void *payload, size_t len,
			   struct wire_run *run)
{
	const struct memory_piece *piece = memory->piece;
	struct wire_pages pages;
	size_t contents;

	if (len < sizeof(pages))
		return "a frame's length is wrong";
	memcpy(&pages, payload, sizeof(pages));
	if (pages.zero || pages.gpa % WIRE_PAGE || !pages.count)
		return "a run of pages is malformed";
	if (pages.count > WIRE_RUN_MAX && (type == WIRE_PAGES || type == WIRE_REQUEST))
		return "a run has too many pages";
	contents = type == WIRE_PAGES ? (size_t)pages.count * WIRE_PAGE : 0;
	if (len != sizeof(pages) + contents)
		return "a run's length is not that of its frame";
	run->to = memory_ptr(memory, pages.gpa, (uint64_t)pages.count * WIRE_PAGE);
	if (!run->to)
		return "a run of pages is not in the machine's memory";
	while (pages.gpa < piece->gpa || pages.gpa - piece->gpa >= piece->bytes)
		piece++;
	run->piece = (unsigned int)(piece - memory->piece);
	run->first = (pages.gpa - piece->gpa) / WIRE_PAGE;
	run->count = pages.count;
	return NULL;
}

/**
 * wire_checksum_page() - of a page, to find differences that nobody made on purpose
 * @gpa: where it is
 * @page: what is in it
 *
 * Return: a number.
 */
uint64_t wire_checksum_page(uint64_t gpa, const void *page)
{
	uint64_t sum = 0xcbf29ce484222325ULL ^ gpa, word;
	const uint8_t *at = page;
	unsigned int i;

	for (i = 0; i < WIRE_PAGE; i += sizeof(word)) {
		memcpy(&word, at + i, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3ULL;
		sum ^= sum >> 29;
	}
	return sum;
}

/**
 * wire_checksum() - of all of a guest's memory
 * @memory: the memory; nobody writes to it
 *
 * Return: the sum of those of its pages.
 */
uint64_t wire_checksum(const struct guest_memory *memory)
{
	const struct memory_piece *piece;
	uint64_t sum = 0, at;

	for (piece = memory->piece; piece < memory->piece + memory->nr; piece++)
		for (at = 0; at < piece->bytes; at += WIRE_PAGE)
			sum += wire_checksum_page(piece->gpa + at, piece->hva + at);
	return sum;
}

/* ---- Taking in ---- */

/**
 * wire_intake_begin() - prepare to take a machine in
 * @intake: to be filled
 * @memory: where to; all zero
 *
 * Return: 0 or -ENOMEM; wire_intake_end() in either case.
 */
int wire_intake_begin(struct wire_intake *intake, struct guest_memory *memory)
{
	int r;

	*intake = (struct wire_intake){ .memory = memory };
	r = page_set_make(&intake->seen, memory);
	return r ? r : page_set_make(&intake->absent, memory);
}

/**
 * wire_intake_end() - give back what was needed for it
 * @intake: wire_intake_begin() was called
 */
void wire_intake_end(struct wire_intake *intake)
{
	page_set_free(&intake->seen);
	page_set_free(&intake->absent);
	free(intake->state);
	memset(intake, 0, sizeof(*intake));
}

static const char *take_pages(struct wire_intake *intake, unsigned int type, const uint8_t *payload, size_t len)
{
	struct wire_run run;
	const char *wrong;
	uint64_t page;
	bool first;

	wrong = wire_check_run(intake->memory, type, payload, len, &run);
	if (wrong)
		return wrong;
	for (page = 0; page < run.count; page++) {
		page_set_remove(&intake->absent, run.piece, run.first + page);
		first = page_set_add(&intake->seen, run.piece, run.first + page);
		/* What never came is zero as it is, and need not become somebody's page. */
		if (type == WIRE_ZERO && !first)
			memset(run.to + page * WIRE_PAGE, 0, WIRE_PAGE);
	}
	if (type == WIRE_PAGES)
		memcpy(run.to, payload + sizeof(struct wire_pages), (size_t)run.count * WIRE_PAGE);
	intake->pages += run.count;
	return NULL;
}

/* Whoever goes on with the machine has to see that nothing is in them. */
static const char *take_missing(struct wire_intake *intake, const void *payload, size_t len)
{
	struct wire_run run;
	const char *wrong;
	uint64_t page;

	if (!intake->may_miss)
		return "pages are to come later, which was not agreed";
	wrong = wire_check_run(intake->memory, WIRE_MISSING, payload, len, &run);
	if (wrong)
		return wrong;
	for (page = run.first; page < run.first + run.count; page++) {
		page_set_remove(&intake->seen, run.piece, page);
		page_set_add(&intake->absent, run.piece, page);
	}
	return NULL;
}

static const char *take_round(struct wire_intake *intake, const void *payload, size_t len)
{
	struct wire_round round;

	if (len != sizeof(round))
		return "a frame's length is wrong";
	memcpy(&round, payload, sizeof(round));
	if (round.round != intake->round + 1 || round.pages != intake->pages)
		return "rounds are out of step";
	intake->round = round.round;
	return NULL;
}

static const char *take_state(struct wire_intake *intake, const void *payload, size_t len)
{
	uint8_t *state;

	if (len > WIRE_STATE_MAX - intake->state_len)
		return "more state than any machine has";
	state = realloc(intake->state, intake->state_len + len);
	if (!state)
		return "there is no memory for the machine's state";
	memcpy(state + intake->state_len, payload, len);
	intake->state = state;
	intake->state_len += len;
	return NULL;
}

static const char *take_end(struct wire_intake *intake, const void *payload, size_t len)
{
	struct wire_end end;

	if (len != sizeof(end))
		return "a frame's length is wrong";
	memcpy(&end, payload, sizeof(end));
	if (end.zero || end.flags & ~(WIRE_END_PAUSED | WIRE_END_CHECKSUM | WIRE_END_POST))
		return "the end has unknown flags";
	if (end.flags & WIRE_END_POST && !intake->may_miss)
		return "pages are to come later, which was not agreed";
	if (end.pages != intake->pages || end.state != intake->state_len)
		return "something was lost on the way";
	intake->end = end;
	intake->ended = true;
	return NULL;
}

/**
 * wire_intake() - take a frame in
 * @intake: what there is
 * @type: of the frame
 * @payload: its content
 * @len: its length
 *
 * Return: NULL; or what is wrong.
 */
const char *wire_intake(struct wire_intake *intake, unsigned int type, const void *payload, size_t len)
{
	if (intake->ended)
		return "something comes after the end";
	switch (type) {
	case WIRE_PAGES:
	case WIRE_ZERO:
		return take_pages(intake, type, payload, len);
	case WIRE_MISSING:
		return take_missing(intake, payload, len);
	case WIRE_ROUND:
		return take_round(intake, payload, len);
	case WIRE_STATE:
		return take_state(intake, payload, len);
	case WIRE_END:
		return take_end(intake, payload, len);
	}
	return "a frame at the wrong time";
}

/**
 * wire_intake_missing() - is it complete?
 * @intake: what has come
 *
 * Return: NULL, or what is missing.
 */
const char *wire_intake_missing(const struct wire_intake *intake)
{
	bool later = intake->end.flags & WIRE_END_POST;

	if (!intake->ended)
		return "the end is missing";
	/* No page is in both. */
	if (intake->seen.count + (later ? intake->absent.count : 0) != intake->memory->total / WIRE_PAGE)
		return "a page of memory is missing";
	if (!intake->state_len)
		return "the state is missing";
	if (intake->end.flags & WIRE_END_CHECKSUM && !later && intake->end.checksum != wire_checksum(intake->memory))
		return "memory is not what it was there: the checksums differ";
	return NULL;
}

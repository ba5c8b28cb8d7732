// SPDX-License-Identifier: GPL-2.0-only
/* Frames of a migration: what is good is taken in, what is not is refused and changes nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "../vireo/migrate/wire.h"
#include "../vireo/util.h"

#define BYTES	(2 * MIB)
#define PAGES	(BYTES / WIRE_PAGE)

static struct guest_memory memory;
static struct wire_intake intake;
static uint8_t frame[WIRE_FRAME_MAX];

static void test_headers(void)
{
	static const struct {
		struct wire_header header;
		bool from_source, good;
	} cases[] = {
		{ { WIRE_HELLO, 0, 32 }, true, true },		{ { WIRE_HELLO, 0, 32 }, false, true },
		{ { WIRE_HELLO, 0, 31 }, true, false },		{ { WIRE_HELLO, 0, 33 }, true, false },
		{ { WIRE_HELLO, 1, 32 }, true, false },		{ { 0, 0, 0 }, true, false },
		{ { WIRE_TYPES, 0, 0 }, true, false },		{ { 0xffff, 0, 0 }, true, false },
		{ { WIRE_PAGES, 0, 16 + 4096 }, true, true },	{ { WIRE_PAGES, 0, 16 + 4096 }, false, false },
		{ { WIRE_PAGES, 0, 16 }, true, false },		{ { WIRE_PAGES, 0, 16 + 64 * 4096 }, true, true },
		{ { WIRE_PAGES, 0, 17 + 64 * 4096 }, true, false }, { { WIRE_PAGES, 0, 0xffffffff }, true, false },
		{ { WIRE_STATE, 0, 0 }, true, false },		{ { WIRE_STATE, 0, 1U << 20 }, true, true },
		{ { WIRE_STATE, 0, (1U << 20) + 1 }, true, false }, { { WIRE_YOURS, 0, 16 }, true, true },
		{ { WIRE_YOURS, 0, 16 }, false, false },	{ { WIRE_TAKEN, 0, 16 }, true, false },
		{ { WIRE_TAKEN, 0, 16 }, false, true },		{ { WIRE_READY, 0, 0 }, false, true },
		{ { WIRE_READY, 0, 1 }, false, false },		{ { WIRE_REFUSE, 0, 512 }, false, true },
		{ { WIRE_REFUSE, 0, 513 }, false, false },	{ { WIRE_CANCEL, 0, 0 }, true, true },
		{ { WIRE_ACCEPT, 0, 0 }, false, false },	{ { WIRE_ACCEPT, 0, 8 }, false, true },
		{ { WIRE_ACCEPT, 0, 521 }, false, false },	{ { WIRE_MISSING, 0, 16 }, true, true },
		{ { WIRE_MISSING, 0, 16 }, false, true },	{ { WIRE_REQUEST, 0, 16 }, true, false },
		{ { WIRE_REQUEST, 0, 16 }, false, true },	{ { WIRE_REQUEST, 0, 17 }, false, false },
		{ { WIRE_LEFT, 0, 16 }, true, false },		{ { WIRE_LEFT, 0, 16 }, false, true },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		is(!wire_check_header(&cases[i].header, cases[i].from_source), cases[i].good, "%s of %u bytes by the %s",
		   wire_name(cases[i].header.type), cases[i].header.len, cases[i].from_source ? "source" : "destination");
}

static void test_hello(void)
{
	static const struct {
		const char *magic;
		uint16_t version, oldest;
		uint32_t purpose;
		uint16_t agreed;	/* 0: none */
	} cases[] = {
		{ WIRE_MAGIC, 2, 2, 0, 2 }, { WIRE_MAGIC, 2, 2, 1, 2 }, { WIRE_MAGIC, 9, 1, 0, 2 },
		{ WIRE_MAGIC, 2, 0, 0, 2 }, { WIRE_MAGIC, 9, 3, 0, 0 }, { WIRE_MAGIC, 1, 1, 0, 0 },
		{ WIRE_MAGIC, 2, 3, 0, 0 }, { WIRE_MAGIC, 2, 2, 2, 0 }, { "GET / HT", 2, 2, 0, 0 },
	};
	struct wire_hello hello, got;
	uint16_t version;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		hello = (struct wire_hello){ .version = cases[i].version, .oldest = cases[i].oldest,
					     .purpose = cases[i].purpose };
		memcpy(hello.magic, cases[i].magic, sizeof(hello.magic));
		version = 0;
		is(!wire_check_hello(&hello, sizeof(hello), &got, &version), cases[i].agreed != 0, "greeting %u", i);
		is(version, cases[i].agreed, "the version that both speak");
	}
}

static const char *run(unsigned int type, uint64_t gpa, uint32_t count, uint32_t zero, size_t len, int fill)
{
	struct wire_pages pages = { gpa, count, zero };

	memcpy(frame, &pages, sizeof(pages));
	memset(frame + sizeof(pages), fill, sizeof(frame) - sizeof(pages));
	return wire_intake(&intake, type, frame, len);
}

static bool holds(uint64_t gpa, uint64_t bytes, int fill)
{
	const uint8_t *at = memory_ptr(&memory, gpa, bytes);

	while (bytes--)
		if (*at++ != fill)
			return false;
	return true;
}

static void test_pages(void)
{
	static const struct {
		uint64_t gpa;
		uint32_t count, zero;
		size_t len;
		unsigned int type;
		const char *what;
	} bad[] = {
		{ BYTES, 1, 0, 16 + 4096, WIRE_PAGES, "behind memory" },
		{ BYTES - 4096, 2, 0, 16 + 8192, WIRE_PAGES, "over its end" },
		{ UINT64_MAX - 4095, 1, 0, 16 + 4096, WIRE_PAGES, "at the end of all addresses" },
		{ UINT64_MAX - 4095, 2, 0, 16 + 8192, WIRE_PAGES, "and over it" },
		{ MEMORY_HIGH_BASE, 1, 0, 16 + 4096, WIRE_PAGES, "above 4 GiB, where there is none" },
		{ 1, 1, 0, 16 + 4096, WIRE_PAGES, "not aligned" },
		{ 0, 0, 0, 16 + 4096, WIRE_PAGES, "none" },
		{ 0, 1, 1, 16 + 4096, WIRE_PAGES, "the reserved field" },
		{ 0, 2, 0, 16 + 4096, WIRE_PAGES, "more than there are" },
		{ 0, 1, 0, 16 + 8192, WIRE_PAGES, "fewer" },
		{ 0, 65, 0, 16 + 65 * 4096, WIRE_PAGES, "too many" },
		{ 0, 1, 0, 15, WIRE_PAGES, "half a header" },
		{ 0, 1, 0, 17, WIRE_ZERO, "zeros with contents" },
		{ 0, PAGES + 1, 0, 16, WIRE_ZERO, "more zeros than memory" },
		{ 0, UINT32_MAX, 0, 16, WIRE_ZERO, "very many" },
	};
	unsigned int i;

	is(wire_intake_begin(&intake, &memory), 0, "begin");
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ok(run(bad[i].type, bad[i].gpa, bad[i].count, bad[i].zero, bad[i].len, 0x55), "refused: %s", bad[i].what);
		ok(holds(0, BYTES, 0) && !intake.pages && !intake.seen.count, "and nothing changes");
	}
	ok(!run(WIRE_PAGES, 4096, 2, 0, 16 + 8192, 0x77), "two pages");
	ok(holds(0, 4096, 0) && holds(4096, 8192, 0x77) && holds(12288, 4096, 0), "are where they belong");
	is(intake.pages, 2, "and are counted");
	ok(!run(WIRE_ZERO, 8192, 2, 0, 16, 0), "zeros");
	ok(holds(4096, 4096, 0x77) && holds(8192, 8192, 0), "replace what was there");
	ok(!run(WIRE_PAGES, BYTES - 64 * 4096, 64, 0, 16 + 64 * 4096, 0x11), "the last 64 pages");
	ok(holds(BYTES - 64 * 4096, 64 * 4096, 0x11), "are there");
}

static void test_rest(void)
{
	struct wire_round round = { 1, intake.pages };
	struct wire_end end = { 0 };

	ok(wire_intake(&intake, WIRE_ROUND, &round, sizeof(round) - 1), "half a round");
	round.round = 2;
	ok(wire_intake(&intake, WIRE_ROUND, &round, sizeof(round)), "the second round without the first");
	round = (struct wire_round){ 1, intake.pages + 1 };
	ok(wire_intake(&intake, WIRE_ROUND, &round, sizeof(round)), "a round of other pages");
	round = (struct wire_round){ 1, intake.pages };
	ok(!wire_intake(&intake, WIRE_ROUND, &round, sizeof(round)), "a round");
	ok(wire_intake(&intake, WIRE_ROUND, &round, sizeof(round)), "the same once more");
	ok(wire_intake(&intake, WIRE_HELLO, &round, sizeof(round)), "a greeting now");
	ok(wire_intake(&intake, WIRE_YOURS, frame, 16), "the hand-over now");

	ok(wire_intake_missing(&intake), "it is not complete");
	end.pages = intake.pages + 1;
	ok(wire_intake(&intake, WIRE_END, &end, sizeof(end)), "an end with other pages");
	end.pages = intake.pages;
	end.state = 1;
	ok(wire_intake(&intake, WIRE_END, &end, sizeof(end)), "with other state");
	ok(!wire_intake(&intake, WIRE_STATE, "abc", 3), "state");
	ok(!wire_intake(&intake, WIRE_STATE, "de", 2), "and more");
	ok(intake.state_len == 5 && !memcmp(intake.state, "abcde", 5), "together");
	end.state = 5;
	end.flags = 8;
	ok(wire_intake(&intake, WIRE_END, &end, sizeof(end)), "unknown flags");
	end.flags = WIRE_END_POST;
	ok(wire_intake(&intake, WIRE_END, &end, sizeof(end)), "pages that come later, which was not agreed");
	ok(run(WIRE_MISSING, 0, 1, 0, 16, 0), "nor was that some are missing");
	end.flags = 0;
	end.zero = 1;
	ok(wire_intake(&intake, WIRE_END, &end, sizeof(end)), "the reserved field");
	end.zero = 0;
	ok(!intake.ended && !wire_intake(&intake, WIRE_END, &end, sizeof(end)), "the end");
	ok(wire_intake_missing(&intake), "but pages are missing");
	ok(run(WIRE_ZERO, 0, 1, 0, 16, 0), "which is too late");
	wire_intake_end(&intake);

	memory_clear(&memory);
	wire_intake_begin(&intake, &memory);
	run(WIRE_ZERO, 0, PAGES - 1, 0, 16, 0);
	run(WIRE_PAGES, BYTES - 4096, 1, 0, 16 + 4096, 9);
	wire_intake(&intake, WIRE_STATE, "x", 1);
	end = (struct wire_end){ PAGES, 1, wire_checksum(&memory), WIRE_END_CHECKSUM, 0 };
	ok(!wire_intake(&intake, WIRE_END, &end, sizeof(end)), "another machine");
	ok(!wire_intake_missing(&intake), "is complete");
	memory_write(&memory, 12345, "!", 1);
	ok(wire_intake_missing(&intake), "a byte that differs is found");
	wire_intake_end(&intake);
}

static void test_state_limit(void)
{
	unsigned int i, bad = 0;

	wire_intake_begin(&intake, &memory);
	for (i = 0; i < WIRE_STATE_MAX / WIRE_FRAME_MAX; i++)
		bad += wire_intake(&intake, WIRE_STATE, frame, WIRE_FRAME_MAX) != NULL;
	is(bad, 0, "64 MiB of state");
	ok(wire_intake(&intake, WIRE_STATE, frame, 1), "are all there can be");
	wire_intake_end(&intake);
}

/* Memory that comes after the machine */
static void test_later(void)
{
	struct wire_end end = { .state = 1, .flags = WIRE_END_POST };

	memory_clear(&memory);
	wire_intake_begin(&intake, &memory);
	intake.may_miss = true;
	ok(!run(WIRE_PAGES, 0, 2, 0, 16 + 8192, 3), "two pages");
	ok(run(WIRE_MISSING, BYTES, 1, 0, 16, 0), "one that is missing behind memory");
	ok(run(WIRE_MISSING, 0, 1, 0, 17, 0), "with contents");
	ok(!run(WIRE_MISSING, 4096, PAGES - 1, 0, 16, 0), "all but the first are missing");
	is(intake.absent.count, PAGES - 1, "so many");
	is(intake.seen.count, 1, "and one is there");
	ok(!run(WIRE_PAGES, 8192, 1, 0, 16 + 4096, 4), "one comes after all");
	is(intake.absent.count, PAGES - 2, "and is not missing any more");
	wire_intake(&intake, WIRE_STATE, "x", 1);
	end.pages = intake.pages;
	end.flags = 0;
	ok(!wire_intake(&intake, WIRE_END, &end, sizeof(end)), "an end at which all should be there");
	ok(wire_intake_missing(&intake), "which is not");
	intake.ended = false;
	end.flags = WIRE_END_POST;
	ok(!wire_intake(&intake, WIRE_END, &end, sizeof(end)), "one at which they come later");
	ok(!wire_intake_missing(&intake), "is complete");
	wire_intake_end(&intake);
	wire_intake_begin(&intake, &memory);
	intake.may_miss = true;
	run(WIRE_MISSING, 0, PAGES - 1, 0, 16, 0);
	wire_intake(&intake, WIRE_STATE, "x", 1);
	end.pages = 0;
	wire_intake(&intake, WIRE_END, &end, sizeof(end));
	ok(wire_intake_missing(&intake), "a page that is neither here nor missing");
	wire_intake_end(&intake);
}

/* What the destination says */
static void test_answers(void)
{
	static const struct {
		struct wire_left left;
		bool good;
	} cases[] = {
		{ { 0, 0, 0 }, true },	{ { 5, 0, 0 }, true },	{ { 0, WIRE_LEFT_DIFFERS, 0 }, true },
		{ { 5, WIRE_LEFT_DIFFERS, 0 }, false },	{ { 0, 2, 0 }, false },	{ { 0, 0, 1 }, false },
	};
	struct { struct wire_accept accept; char text[WIRE_TEXT_MAX + 1]; } answer = { { 0, 0 }, "why" };
	struct wire_pages pages = { 4096, 64, 0 };
	char why[WIRE_TEXT_MAX + 1];
	struct wire_accept accept;
	struct wire_left left;
	struct wire_run got;
	unsigned int i;

	ok(!wire_check_accept(&answer, sizeof(accept) + 3, &accept, why) && !strcmp(why, "why"), "it accepts, and says something");
	ok(wire_check_accept(&answer, sizeof(accept) - 1, &accept, why), "half of that");
	ok(wire_check_accept(&answer, sizeof(answer), &accept, why), "too much of it");
	answer.accept.flags = 2;
	ok(wire_check_accept(&answer, sizeof(accept), &accept, why), "with an unknown flag");
	answer.accept = (struct wire_accept){ WIRE_ACCEPT_POST, 1 };
	ok(wire_check_accept(&answer, sizeof(accept), &accept, why), "with the reserved field");
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		is(!wire_check_left(&cases[i].left, sizeof(left), &left), cases[i].good, "what is left: %u", i);
	ok(wire_check_left(&cases[0].left, 15, &left), "a part of it");
	ok(!wire_check_run(&memory, WIRE_REQUEST, &pages, sizeof(pages), &got), "64 pages are asked for");
	ok(got.piece == 0 && got.first == 1 && got.count == 64, "which they are");
	pages.count = 65;
	ok(wire_check_run(&memory, WIRE_REQUEST, &pages, sizeof(pages), &got), "more is too much");
	pages = (struct wire_pages){ BYTES - 4096, 2, 0 };
	ok(wire_check_run(&memory, WIRE_REQUEST, &pages, sizeof(pages), &got), "behind memory is nothing");
}

int main(void)
{
	static uint8_t page[WIRE_PAGE];

	if (memory_alloc(&memory, BYTES))
		abort();
	test_headers();
	test_hello();
	test_pages();
	test_rest();
	test_state_limit();
	test_later();
	test_answers();
	ok(wire_is_zero(page), "a page of zeros");
	page[WIRE_PAGE - 1] = 1;
	ok(!wire_is_zero(page), "one at its end");
	page[WIRE_PAGE - 1] = 0;
	page[0] = 1;
	ok(!wire_is_zero(page), "one at its start");
	memory_free(&memory);
	return tap_done();
}

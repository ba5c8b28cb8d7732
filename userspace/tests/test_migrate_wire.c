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
		{ WIRE_MAGIC, 1, 1, 0, 1 }, { WIRE_MAGIC, 1, 1, 1, 1 }, { WIRE_MAGIC, 9, 1, 0, 1 },
		{ WIRE_MAGIC, 1, 0, 0, 1 }, { WIRE_MAGIC, 9, 2, 0, 0 }, { WIRE_MAGIC, 0, 0, 0, 0 },
		{ WIRE_MAGIC, 1, 2, 0, 0 }, { WIRE_MAGIC, 1, 1, 2, 0 }, { "GET / HT", 1, 1, 0, 0 },
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
		ok(holds(0, BYTES, 0) && !intake.pages && !intake.seen[0][0], "and nothing changes");
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
	end.flags = 4;
	ok(wire_intake(&intake, WIRE_END, &end, sizeof(end)), "unknown flags");
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
	ok(wire_is_zero(page), "a page of zeros");
	page[WIRE_PAGE - 1] = 1;
	ok(!wire_is_zero(page), "one at its end");
	page[WIRE_PAGE - 1] = 0;
	page[0] = 1;
	ok(!wire_is_zero(page), "one at its start");
	memory_free(&memory);
	return tap_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/* A machine moves where the network falls silent, the destination has no memory, or its disk is full. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "mover.h"
#include "tap.h"
#include "../vireo/command.h"
#include "../vireo/migrate/wire.h"
#include "../vireo/util.h"

/* Nothing passes any more, and nobody says so. */
static void begin(struct move *move, unsigned int type, bool late, const char *more)
{
	printf("# silence at %s%s\n", wire_name(type), more);
	mover_begin(move, type, false, false);
	relay.stall = true;
	relay.late = late;
	ask_to_move(more);
}

static void test_silence_early(unsigned int type, const char *more)
{
	struct move move;

	begin(&move, type, false, more);
	until(in_phase("source", "failed"));
	ok(asks("source", "{\"command\":\"query\",\"what\":\"migration\"}", "nothing moves"), "the source gives up, and says why");
	ok(relay.cut, "since nothing came");
	goes_on(SOURCE);
	if (type != WIRE_HELLO) {
		ends(&move, DESTINATION, EXIT_FAULT);
		is(shared->runs[DESTINATION], 0, "where nothing has run");
	}
	mover_end(&move);
}

static void test_silence_late(unsigned int type, bool late, const char *more)
{
	struct move move;

	begin(&move, type, late, more);
	ends(&move, SOURCE, EXIT_OK);
	ok(relay.cut, "nothing came for some time");
	goes_on(DESTINATION);
	until(in_phase("destination", "completed"));
	ok(in_phase("destination", "completed"), "it has all");
	mover_end(&move);
}

/* Less than the machine has */
static void no_memory(void)
{
	struct rlimit limit = { 24 * MIB, 24 * MIB };
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages;

	if (!file || fscanf(file, "%lu", &pages) != 1)
		abort();
	fclose(file);
	limit.rlim_cur += pages * 4096;
	limit.rlim_max = limit.rlim_cur;
	if (setrlimit(RLIMIT_AS, &limit))
		abort();
}

static void test_no_memory(void)
{
	struct move move;

	printf("# no memory\n");
	mover_spoil = no_memory;
	mover_begin(&move, 0, true, false);
	ask_to_move("");
	until(in_phase("source", "failed"));
	ok(asks("source", "{\"command\":\"query\",\"what\":\"migration\"}", "no such machine can be made there"), "it is refused");
	ok(asks("source", "{\"command\":\"query\",\"what\":\"migration\"}", "\"pages\":0"), "before anything is sent");
	goes_on(SOURCE);
	ends(&move, DESTINATION, EXIT_FAULT);
	mover_spoil = NULL;
	mover_receive(&move);
	ask_to_move("");
	ends(&move, SOURCE, EXIT_OK);
	goes_on(DESTINATION);
	mover_end(&move);
}

/* What the guest says is lost, which is better than the guest. */
static void test_full_disk(void)
{
	struct move move;

	printf("# the disk is full\n");
	mover_console = "file:/dev/full";
	mover_begin(&move, 0, true, false);
	ask_to_move("");
	ends(&move, SOURCE, EXIT_OK);
	goes_on(DESTINATION);
	mover_end(&move);
}

int main(void)
{
	mover_open();
	mover_timeout = 2;
	test_silence_early(WIRE_HELLO, "");
	test_silence_early(WIRE_PAGES, "");
	test_silence_early(WIRE_SEEN, "");
	test_silence_early(WIRE_STATE, ",\"mode\":\"stop\"");
	test_silence_late(WIRE_YOURS, false, "");
	test_silence_late(WIRE_TAKEN, false, "");
	test_silence_late(WIRE_PAGES, true, ",\"mode\":\"post\"");
	test_no_memory();
	test_full_disk();
	return mover_close();
}

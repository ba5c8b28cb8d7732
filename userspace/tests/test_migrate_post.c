// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine that moves before its memory, or with a part of it: cut at every frame of that, and found again; and what the destination
 * refuses. The guest reads all that it has written: a page that is void, or old, is found.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "mover.h"
#include "tap.h"
#include "../vireo/command.h"
#include "../vireo/migrate/fill.h"
#include "../vireo/migrate/wire.h"
#include "../vireo/util.h"

#define BYTES	(4 * MIB)
#define POST	",\"mode\":\"post\""

/* ---- Pages that come ---- */

static struct guest_memory memory;
static struct fill fill;
static char why[FILL_WHY];

/* Reads a byte of page 5, page 6, ... which are not there. */
static void *touch(void *seen)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		((uint8_t *)seen)[i] = ((volatile uint8_t *)memory.piece[0].hva)[(5 + i) * WIRE_PAGE];
	return NULL;
}

static const char *give(unsigned int type, uint64_t page, uint32_t count, int content)
{
	static uint8_t frame[sizeof(struct wire_pages) + WIRE_RUN_MAX * WIRE_PAGE];
	struct wire_pages run = { page * WIRE_PAGE, count, 0 };
	size_t len = type == WIRE_PAGES ? (size_t)count * WIRE_PAGE : 0;

	memcpy(frame, &run, sizeof(run));
	memset(frame + sizeof(run), content, len);
	return fill_take(&fill, type, frame, sizeof(run) + len);
}

static uint64_t asked_for(void)
{
	struct wire_pages run = { 0 };

	until(fill_request(&fill, &run));
	return run.gpa / WIRE_PAGE;
}

static bool test_fill(void)
{
	struct page_set absent;
	struct wire_pages run;
	uint8_t seen[4] = { 0 };
	pthread_t thread;
	unsigned int i;

	if (memory_alloc(&memory, BYTES))
		abort();
	if (fill_open(&fill, &memory, why)) {
		tap_skip("%s", why);
		return false;
	}
	memset(memory.piece[0].hva, 0x11, BYTES / 2);
	page_set_make(&absent, &memory);
	for (i = 4; i < 32; i++)
		page_set_add(&absent, 0, i);
	is(fill_begin(&fill, &absent, false, why), 0, "pages 4 to 31 are missing %s", why);
	is(fill_left(&fill), 28, "so many");
	is(memory.piece[0].hva[3 * WIRE_PAGE], 0x11, "one before them is there");
	is(memory.piece[0].hva[BYTES / 2], 0, "one that never was is zero");
	pthread_create(&thread, NULL, touch, seen);
	is(asked_for(), 5, "page 5 is asked for");
	ok(!fill_request(&fill, &run), "once");
	fill_ask_again(&fill);
	is(asked_for(), 5, "or again, if the other side has forgotten it");
	ok(!give(WIRE_PAGES, 5, 1, 0x22), "it comes");
	is(asked_for(), 6, "then page 6");
	ok(!give(WIRE_ZERO, 4, 3, 0), "it is zero");
	is(asked_for(), 7, "then page 7");
	is(memory_discard(&memory, memory.piece[0].hva + 7 * WIRE_PAGE, WIRE_PAGE), WIRE_PAGE, "it is given back");
	is(asked_for(), 8, "then page 8");
	ok(!give(WIRE_PAGES, 7, 2, 0x33), "both come");
	pthread_join(thread, NULL);
	ok(seen[0] == 0x22 && seen[1] == 0 && seen[2] == 0 && seen[3] == 0x33, "who waited found what came: %x %x %x %x",
	   seen[0], seen[1], seen[2], seen[3]);
	is(memory.piece[0].hva[7 * WIRE_PAGE], 0, "what was given back stays zero");
	ok(give(WIRE_PAGES, BYTES / WIRE_PAGE, 1, 0), "a page behind memory is refused");
	ok(give(WIRE_ROUND, 9, 1, 0), "and another frame");
	ok(!give(WIRE_PAGES, 0, 20, 0x44), "some that are there, and some that are not");
	is(memory.piece[0].hva[0], 0x11, "the former stay");
	is(memory.piece[0].hva[19 * WIRE_PAGE], 0x44, "the latter come");
	is(fill_left(&fill), 12, "so many are left");
	memory_clear(&memory);
	is(fill_left(&fill), 0, "nothing is missing of memory that is cleared");
	is(memory.piece[0].hva[19 * WIRE_PAGE], 0, "it is zero");
	is(memory.piece[0].hva[30 * WIRE_PAGE], 0, "all of it");
	fill_end(&fill);
	memory.piece[0].hva[31 * WIRE_PAGE] = 1;
	memory.discards = NULL;
	fill_close(&fill);
	memory_free(&memory);
	return true;
}

static void test_kinds(void)
{
	memory_alloc(&memory, BYTES);
	memory.page = 2 * MIB;
	is(fill_open(&fill, &memory, why), -EOPNOTSUPP, "huge pages");
	ok(strstr(why, "huge pages"), "which it says: %s", why);
	fill_close(&fill);
	memory_free(&memory);
}

/* ---- Machines ---- */

static void test_moves(const char *more)
{
	struct move move;

	printf("# moves%s\n", more);
	mover_begin(&move, 0, true, false);
	ask_to_move(more);
	ends(&move, SOURCE, EXIT_OK);
	goes_on(DESTINATION);
	until(in_phase("destination", "completed"));
	ok(in_phase("destination", "completed"), "the destination has all");
	ok(asks("destination", "{\"command\":\"query\",\"what\":\"migration\"}", "\"left\":0"), "and lacks nothing");
	ok(!asks("destination", "{\"command\":\"query\",\"what\":\"migration\"}", "\"why\""), "its memory is what it was");
	ok(asks("destination", "{\"command\":\"reset\"}", "result"), "it can be reset");
	mover_end(&move);
}

static void test_paused(void)
{
	struct move move;

	mover_begin(&move, 0, true, false);
	ok(asks("source", "{\"command\":\"pause\"}", "result"), "a machine that is paused");
	ask_to_move(POST);
	ends(&move, SOURCE, EXIT_OK);
	until(in_phase("destination", "completed"));
	ok(rests(DESTINATION), "is so there");
	ok(asks("destination", "{\"command\":\"resume\"}", "result"), "until it is resumed");
	goes_on(DESTINATION);
	mover_end(&move);
}

/* Round after round, until somebody says that the rest may come later. */
static void test_change(void)
{
	struct move move;

	printf("# from one to the other\n");
	mover_begin(&move, 0, true, false);
	ok(asks("source", "{\"command\":\"migrate-switch\"}", "no-migration"), "nothing to switch");
	ask_to_move(",\"bandwidth\":200000,\"downtime\":0");
	until(in_phase("source", "copying"));
	ok(asks("source", "{\"command\":\"migrate-switch\"}", "result"), "it is switched over");
	ends(&move, SOURCE, EXIT_OK);
	goes_on(DESTINATION);
	until(in_phase("destination", "completed"));
	ok(!asks("destination", "{\"command\":\"query\",\"what\":\"migration\"}", "\"why\""), "its memory is what it was");
	mover_end(&move);
	mover_begin(&move, 0, true, false);
	ask_to_move(",\"bandwidth\":2000,\"mode\":\"stop\"");
	until(in_phase("source", "finishing"));
	ok(asks("source", "{\"command\":\"migrate-switch\"}", "too-late"), "one that rests cannot be");
	mover_end(&move);
}

/* Before the hand-over */
static void test_cut_early(unsigned int type, bool forward)
{
	struct move move;

	printf("# cut at %s, which %s\n", wire_name(type), forward ? "arrives" : "is lost");
	mover_begin(&move, type, forward, false);
	ask_to_move(POST);
	until(in_phase("source", "failed"));
	ok(in_phase("source", "failed"), "the source gives up");
	ok(relay.cut, "since it was cut");
	goes_on(SOURCE);
	ends(&move, DESTINATION, EXIT_FAULT);
	is(shared->runs[DESTINATION], 0, "where nothing has run");
	mover_end(&move);
}

static void test_cut_ready(void)
{
	struct move move;

	printf("# cut at ready, which is lost\n");
	mover_begin(&move, WIRE_READY, false, false);
	ask_to_move(POST);
	until(in_phase("source", "failed"));
	goes_on(SOURCE);
	until(in_phase("destination", "in-doubt"));
	ok(asks("destination", "{\"command\":\"migrate-resolve\",\"keep\":true}", "not-here"), "the destination cannot go on alone");
	ok(asks("destination", "{\"command\":\"migrate-resolve\",\"keep\":false}", "result"), "it can end");
	ends(&move, DESTINATION, EXIT_FAULT);
	goes_on(SOURCE);
	mover_end(&move);
}

/* After it, and while memory comes: the source comes again. */
static void test_cut_late(unsigned int type, bool forward, bool late, const char *more)
{
	struct move move;

	printf("# cut at %s, which %s%s\n", wire_name(type), forward ? "arrives" : "is lost", late ? ", when it runs there" : "");
	mover_begin(&move, type, forward, false);
	relay.late = late;
	ask_to_move(more);
	ends(&move, SOURCE, EXIT_OK);
	ok(relay.cut, "it was cut");
	goes_on(DESTINATION);
	until(in_phase("destination", "completed"));
	ok(asks("destination", "{\"command\":\"query\",\"what\":\"migration\"}", "\"left\":0"), "all has come");
	ok(!asks("destination", "{\"command\":\"query\",\"what\":\"migration\"}", "\"why\""), "its memory is what it was");
	mover_end(&move);
}

/* The network is away for some time, while memory comes. */
static void test_away(void)
{
	struct move move;
	unsigned int i;

	printf("# away for some time\n");
	mover_begin(&move, WIRE_PAGES, true, true);
	relay.late = true;
	ask_to_move(POST ",\"bandwidth\":100000");
	until(asks("source", "{\"command\":\"query\",\"what\":\"migration\"}", "resolve"));
	ok(in_phase("source", "post-copy"), "the source waits");
	until(asks("destination", "{\"command\":\"query\",\"what\":\"migration\"}", "\"why\""));
	ok(in_phase("destination", "post-copy"), "so does the destination");
	ok(asks("source", "{\"command\":\"resume\"}", "migrating"), "the source cannot be resumed");
	ok(asks("source", "{\"command\":\"migrate-cancel\"}", "too-late"), "nor can it be cancelled");
	ok(asks("source", "{\"command\":\"migrate-resolve\",\"keep\":true}", "not-here"), "nor go on, since it has run there");
	ok(asks("source", "{\"command\":\"stop\",\"hard\":true}", "migrating"), "or be stopped");
	ok(asks("destination", "{\"command\":\"save\",\"path\":\"/x\"}", "saving"), "the destination cannot be saved");
	ok(asks("destination", "{\"command\":\"fork\",\"name\":\"x\"}", "saving"), "or fork");
	ok(asks("destination", "{\"command\":\"migrate\",\"to\":\"unix:/x\"}", "migrating"), "or move on");
	ok(asks("destination", "{\"command\":\"migrate-resolve\",\"keep\":true}", "no-migration"), "and need not decide");
	/* What it has it may use: sooner or later it waits for what it has not. */
	for (i = 0; i < 100 && !rests(DESTINATION); i++)
		;
	is(shared->torn, 0, "it has found nothing wrong until then");
	__atomic_store_n(&relay.closed, false, __ATOMIC_SEQ_CST);
	ends(&move, SOURCE, EXIT_OK);
	goes_on(DESTINATION);
	until(in_phase("destination", "completed"));
	mover_end(&move);
}

/* A launcher that lacks memory is told to end: it does, whatever waits. */
static void test_end(void)
{
	struct move move;

	printf("# the destination ends meanwhile\n");
	mover_begin(&move, WIRE_PAGES, true, true);
	relay.late = true;
	ask_to_move(POST ",\"bandwidth\":100000");
	until(asks("destination", "{\"command\":\"query\",\"what\":\"migration\"}", "\"why\""));
	asks("destination", "{\"command\":\"stop\",\"hard\":true}", "result");
	ends(&move, DESTINATION, EXIT_FAULT);
	until(asks("source", "{\"command\":\"query\",\"what\":\"migration\"}", "resolve"));
	ok(asks("source", "{\"command\":\"migrate-resolve\",\"keep\":false}", "result"), "the source is let go");
	ends(&move, SOURCE, EXIT_OK);
	mover_end(&move);
}

static void test_reset(void)
{
	struct move move;

	printf("# the machine starts again meanwhile\n");
	mover_begin(&move, 0, true, false);
	ask_to_move(POST ",\"bandwidth\":100000");
	until(in_phase("destination", "post-copy"));
	ok(asks("destination", "{\"command\":\"reset\"}", "result"), "it is reset");
	until(in_phase("destination", "completed"));
	ok(in_phase("destination", "completed"), "and lacks nothing then");
	ends(&move, SOURCE, EXIT_OK);
	mover_end(&move);
}

/* ---- What cannot be done ---- */

/* As for a user who may not, on most hosts. */
static void no_userfaultfd(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xaa00, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		abort();
}

static void test_refused(void)
{
	struct move move;

	printf("# a destination that cannot\n");
	mover_spoil = no_userfaultfd;
	mover_begin(&move, WIRE_MISSING, true, false);
	ask_to_move(POST);
	until(in_phase("source", "failed"));
	ok(asks("source", "{\"command\":\"query\",\"what\":\"migration\"}", "userfaultfd: Operation not permitted"), "says why");
	ok(asks("source", "{\"command\":\"query\",\"what\":\"migration\"}", "\"pages\":0"), "before anything is sent");
	goes_on(SOURCE);
	ends(&move, DESTINATION, EXIT_FAULT);
	mover_end(&move);
	mover_begin(&move, 0, true, false);
	ask_to_move(",\"bandwidth\":20000,\"downtime\":0");
	until(in_phase("source", "copying"));
	ok(asks("source", "{\"command\":\"migrate-switch\"}", "not-supported"), "it is not switched over either");
	ok(asks("source", "{\"command\":\"migrate-cancel\"}", "result"), "(that was all)");
	until(in_phase("source", "cancelled"));
	mover_spoil = NULL;
	ok(asks("source", "{\"command\":\"migrate\",\"mode\":\"post\",\"to\":\"exec:cat\"}", "bad-member"), "not through a command");
	ok(asks("source", "{\"command\":\"migrate\",\"mode\":\"stop\",\"switch\":true,\"to\":\"unix:/x\"}", "bad-member"),
	   "a mode that is not switched over");
	mover_end(&move);
}

int main(void)
{
	if (!test_fill())
		return tap_done();
	test_kinds();
	mover_open();
	test_moves(POST);
	test_moves(POST ",\"bandwidth\":2000000");
	test_paused();
	test_change();
	test_cut_early(WIRE_ACCEPT, false);
	test_cut_early(WIRE_MISSING, true);
	test_cut_early(WIRE_END, false);
	test_cut_ready();
	test_cut_late(WIRE_YOURS, false, false, POST);
	test_cut_late(WIRE_YOURS, true, false, POST);
	test_cut_late(WIRE_TAKEN, false, false, POST);
	test_cut_late(WIRE_TAKEN, true, false, POST);
	test_cut_late(WIRE_REQUEST, false, true, POST ",\"bandwidth\":1000000");
	test_cut_late(WIRE_REQUEST, true, true, POST ",\"bandwidth\":1000000");
	test_cut_late(WIRE_PAGES, false, true, POST ",\"bandwidth\":1000000");
	test_cut_late(WIRE_PAGES, true, true, POST ",\"bandwidth\":1000000");
	test_cut_late(WIRE_LEFT, false, true, POST);
	test_cut_late(WIRE_LEFT, true, true, POST);
	test_cut_late(WIRE_DONE, false, true, POST);
	test_away();
	test_end();
	test_reset();
	test_refused();
	return mover_close();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine moves between two launchers, and the connection between them is cut at every frame: then one
 * of them has the machine, with all that it had, and the other does not run it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "fake_module.h"
#include "mover.h"
#include "tap.h"
#include "../vireo/command.h"
#include "../vireo/migrate/profile.h"
#include "../vireo/migrate/wire.h"
#include "../vireo/util.h"
#include "vireo.h"

/* ---- Threads that are quicker than the one that starts them ---- */

struct hasty {
	void *(*run)(void *arg);
	void *arg;
	bool done;
};

static void *run_hasty(void *opaque)
{
	struct hasty *hasty = opaque;
	void *result = hasty->run(hasty->arg);

	__atomic_store_n(&hasty->done, true, __ATOMIC_RELEASE);
	return result;
}

/* In place of the library's, for the launchers as well */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	int (*create)(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
	static struct hasty hasty;
	int r;

	*(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
	if (!shared || !__atomic_load_n(&shared->hasty, __ATOMIC_ACQUIRE))
		return create(thread, attr, run, arg);
	hasty = (struct hasty){ run, arg, false };
	r = create(thread, attr, run_hasty, &hasty);
	if (!r)
		until(__atomic_load_n(&hasty.done, __ATOMIC_ACQUIRE));
	return r;
}

static void test_hasty(void)
{
	struct move move;

	mover_begin(&move, 0, true, false);
	__atomic_store_n(&shared->hasty, true, __ATOMIC_RELEASE);
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"unix:/nowhere\"}", "\"result\""), "one that has ended before it is told of");
	__atomic_store_n(&shared->hasty, false, __ATOMIC_RELEASE);
	ok(in_phase("source", "failed"), "has failed");
	goes_on(SOURCE);
	mover_end(&move);
}

static void test_moves(const char *more)
{
	struct move move;

	mover_begin(&move, 0, true, false);
	ask_to_move(more);
	ends(&move, SOURCE, EXIT_OK);
	goes_on(DESTINATION);
	ok(in_phase("destination", "completed"), "the destination knows");
	ok(asks("destination", "{\"command\":\"reset\"}", "result"), "it can be reset");
	mover_end(&move);
}

static void test_paused(void)
{
	struct move move;

	mover_begin(&move, 0, true, false);
	ok(asks("source", "{\"command\":\"pause\"}", "result"), "a machine that is paused");
	ask_to_move("");
	ends(&move, SOURCE, EXIT_OK);
	until(in_phase("destination", "completed"));
	ok(rests(DESTINATION), "is so there");
	ok(asks("destination", "{\"command\":\"resume\"}", "result"), "until it is resumed");
	goes_on(DESTINATION);
	mover_end(&move);
}

/* Before the hand-over: the source has it, and the destination ends. */
static void test_cut_early(unsigned int type, bool forward)
{
	struct move move;

	printf("# cut at %s, which %s\n", wire_name(type), forward ? "arrives" : "is lost");
	mover_begin(&move, type, forward, false);
	ask_to_move("");
	until(in_phase("source", "failed"));
	ok(in_phase("source", "failed"), "the source gives up");
	ok(relay.cut, "since it was cut");
	goes_on(SOURCE);
	if (type == WIRE_HELLO) {
		/* Nothing has come yet: it waits for another. */
		ask_to_move("");
		ends(&move, SOURCE, EXIT_OK);
		goes_on(DESTINATION);
	} else {
		ends(&move, DESTINATION, EXIT_FAULT);
		is(shared->runs[DESTINATION], 0, "where nothing has run");
	}
	mover_end(&move);
}

/* The destination has said that it is ready: it keeps the copy until somebody decides. */
static void test_cut_ready(void)
{
	struct move move;

	printf("# cut at ready, which is lost\n");
	mover_begin(&move, WIRE_READY, false, false);
	ask_to_move("");
	until(in_phase("source", "failed"));
	goes_on(SOURCE);
	until(in_phase("destination", "in-doubt"));
	ok(in_phase("destination", "in-doubt"), "the destination does not know");
	ok(asks("destination", "{\"command\":\"resume\"}", "migrating"), "and cannot be resumed");
	is(shared->runs[DESTINATION], 0, "nothing runs there");
	ok(asks("destination", "{\"command\":\"migrate-resolve\",\"keep\":false}", "result"), "somebody decides");
	ends(&move, DESTINATION, EXIT_FAULT);
	goes_on(SOURCE);
	mover_end(&move);
}

/* After it: the source asks until it knows. */
static void test_cut_late(unsigned int type, bool forward)
{
	struct move move;

	printf("# cut at %s, which %s\n", wire_name(type), forward ? "arrives" : "is lost");
	mover_begin(&move, type, forward, false);
	ask_to_move("");
	ends(&move, SOURCE, EXIT_OK);
	ok(relay.cut, "it was cut");
	goes_on(DESTINATION);
	mover_end(&move);
}

/* ... and if it cannot ask, it rests, until somebody decides. */
static void test_doubt(unsigned int type, bool forward, bool keep)
{
	struct move move;
	char request[80];

	printf("# cut for ever at %s, which %s\n", wire_name(type), forward ? "arrives" : "is lost");
	mover_begin(&move, type, forward, true);
	ask_to_move("");
	until(in_phase("source", "in-doubt"));
	ok(in_phase("source", "in-doubt"), "the source does not know");
	ok(rests(SOURCE), "and does not run");
	ok(asks("source", "{\"command\":\"resume\"}", "migrating"), "nor can it be resumed");
	ok(asks("source", "{\"command\":\"reset\"}", "migrating"), "or reset");
	ok(asks("source", "{\"command\":\"migrate-cancel\"}", "too-late"), "or cancelled");
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"unix:/x\"}", "migrating"), "or sent elsewhere");
	if (type == WIRE_TAKEN)
		goes_on(DESTINATION);
	else
		is(shared->runs[DESTINATION], 0, "nor does the destination");
	snprintf(request, sizeof(request), "{\"command\":\"migrate-resolve\",\"keep\":%s}", keep ? "true" : "false");
	ok(asks("source", request, "result"), "somebody decides");
	if (keep) {
		goes_on(SOURCE);
		ok(asks("source", "{\"command\":\"migrate-resolve\",\"keep\":true}", "no-migration"), "once");
	} else {
		ends(&move, SOURCE, EXIT_OK);
	}
	mover_end(&move);
}

/* The source is killed when the destination has everything. */
static void test_source_dies(void)
{
	struct move move;

	printf("# the source dies at the hand-over\n");
	mover_begin(&move, WIRE_YOURS, false, true);
	ask_to_move("");
	until(in_phase("source", "in-doubt"));
	kill(move.pid[SOURCE], SIGKILL);
	ends(&move, SOURCE, 128 + SIGKILL);
	until(in_phase("destination", "in-doubt"));
	is(shared->runs[DESTINATION], 0, "the destination waits");
	ok(asks("destination", "{\"command\":\"migrate-resolve\",\"keep\":true}", "result"), "somebody decides");
	goes_on(DESTINATION);
	mover_end(&move);
}

/* The destination is killed when it has been given the machine, and has not said so. */
static void test_destination_dies(void)
{
	struct move move;

	printf("# the destination dies at the hand-over\n");
	mover_begin(&move, WIRE_READY, true, true);
	kill(move.pid[DESTINATION], SIGSTOP);
	ask_to_move("");
	kill(move.pid[DESTINATION], SIGCONT);
	until(relay.cut);
	kill(move.pid[DESTINATION], SIGKILL);
	ends(&move, DESTINATION, 128 + SIGKILL);
	until(in_phase("source", "in-doubt") || in_phase("source", "failed"));
	if (in_phase("source", "in-doubt"))
		ok(asks("source", "{\"command\":\"migrate-resolve\",\"keep\":true}", "result"), "in doubt: somebody decides");
	goes_on(SOURCE);
	is(shared->runs[DESTINATION], 0, "nothing has run there");
	mover_end(&move);
}

static void test_cancel(void)
{
	struct move move;

	mover_begin(&move, 0, true, false);
	ok(asks("source", "{\"command\":\"migrate-cancel\"}", "no-migration"), "nothing to cancel");
	ask_to_move(",\"bandwidth\":2000,\"mode\":\"stop\"");
	until(in_phase("source", "finishing"));
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"unix:/x\"}", "migrating"), "one at a time");
	ok(asks("source", "{\"command\":\"migrate-cancel\"}", "result"), "cancelled while it rests");
	until(in_phase("source", "cancelled"));
	goes_on(SOURCE);
	ends(&move, DESTINATION, EXIT_FAULT);
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"nowhere\"}", "bad-member"), "an address that is none");
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"stdio\"}", "bad-member"), "one that is for the other side");
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"unix:/x\",\"mode\":\"fast\"}", "bad-member"), "an unknown mode");
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"unix:/x\",\"tls\":\"x\"}", "bad-member"), "no credentials");
	/* It ends in the middle of one. */
	mover_receive(&move);
	ask_to_move(",\"bandwidth\":2000");
	until(in_phase("source", "copying"));
	ok(asks("source", "{\"command\":\"stop\",\"hard\":true}", "result"), "the source is ended meanwhile");
	ends(&move, SOURCE, EXIT_OK);
	ends(&move, DESTINATION, EXIT_FAULT);
	is(shared->runs[DESTINATION], 0, "and the destination with it");
	mover_end(&move);
}

/* ---- What a machine needs of a processor ---- */

static json_t *own_profile(struct vireo *vireo)
{
	struct vireo_cpuid_entry entries[VIREO_MAX_CPUID];
	unsigned int count = VIREO_MAX_CPUID, i;
	json_t *list = json_array();

	if (vireo_supported_cpuid(vireo, entries, &count))
		abort();
	for (i = 0; i < count; i++)
		json_array_append_new(list, json_pack("[I,I,I,I,I,I,I]", (json_int_t)entries[i].leaf,
						      (json_int_t)entries[i].subleaf, (json_int_t)entries[i].flags,
						      (json_int_t)entries[i].eax, (json_int_t)entries[i].ebx,
						      (json_int_t)entries[i].ecx, (json_int_t)entries[i].edx));
	return json_pack("{s:i,s:o,s:[i,i],s:I,s:[[I,I]]}", "cpus", 2, "cpuid", list, "msrs", 0x174, 0x175, "blocks",
			 (json_int_t)vireo_get_info(vireo)->blocks, "memory", (json_int_t)0, (json_int_t)(4 * MIB));
}

static void set_cpuid(json_t *profile, uint32_t leaf, size_t at, int64_t value, bool flip)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(profile, "cpuid"), i, entry)
		if (json_integer_value(json_array_get(entry, 0)) == leaf)
			json_array_set_new(entry, at, json_integer(flip ? json_integer_value(json_array_get(entry, at)) ^ value :
								   value));
}

static void test_profile(void)
{
	struct guest_memory memory;
	struct vireo *vireo;
	char why[PROFILE_WHY];
	json_t *profile;
	unsigned int i;

	fake_reset();
	if (vireo_open(NULL, &vireo) || memory_alloc(&memory, 4 * MIB))
		abort();
	for (i = 0; i < 12; i++) {
		int want = i < 2 ? 0 : i < 7 ? -EOPNOTSUPP : -EINVAL;

		profile = own_profile(vireo);
		switch (i) {
		case 1:		/* fewer features */
			set_cpuid(profile, 1, 5, 0, false);
			break;
		case 2:
			set_cpuid(profile, 0, 4, 1, true);
			break;
		case 3:		/* all features there are */
			set_cpuid(profile, 1, 5, 0xf7ffffff, false);
			break;
		case 4:
			json_array_append_new(json_object_get(profile, "msrs"), json_integer(0x9999));
			break;
		case 5:
			json_object_set_new(profile, "blocks", json_integer(1LL << 60));
			break;
		case 6:
			json_object_set_new(profile, "cpus", json_integer(VIREO_MAX_VCPUS + 1));
			break;
		case 7:
			json_object_set_new(profile, "cpus", json_string("2"));
			break;
		case 8:
			json_object_del(profile, "cpuid");
			break;
		case 9:
			set_cpuid(profile, 1, 5, -1, false);
			break;
		case 10:
			json_array_append_new(json_object_get(profile, "cpuid"), json_integer(1));
			break;
		case 11:
			json_object_del(profile, "msrs");
			break;
		}
		*why = '\0';
		is(profile_check(vireo, profile, why), want, "profile %u: %s", i, why);
		json_decref(profile);
	}
	profile = own_profile(vireo);
	is(profile_check_memory(profile, &memory, why), 0, "memory alike");
	json_array_append_new(json_object_get(profile, "memory"), json_pack("[I,I]", (json_int_t)(4 * GIB), (json_int_t)MIB));
	is(profile_check_memory(profile, &memory, why), -EINVAL, "more memory");
	json_object_set_new(profile, "memory", json_pack("[[I,I]]", (json_int_t)0, (json_int_t)(5 * MIB)));
	is(profile_check_memory(profile, &memory, why), -EINVAL, "another size");
	json_object_del(profile, "memory");
	is(profile_check_memory(profile, &memory, why), -EINVAL, "none");
	json_decref(profile);
	memory_free(&memory);
	vireo_close(vireo);
}

int main(void)
{
	static const unsigned int early[] = { WIRE_MACHINE, WIRE_ACCEPT, WIRE_PAGES, WIRE_ROUND, WIRE_SEEN, WIRE_STATE, WIRE_END };
	unsigned int i;

	mover_open();
	test_profile();
	test_hasty();
	test_moves("");
	test_moves(",\"mode\":\"stop\"");
	test_paused();
	test_cut_early(WIRE_HELLO, false);
	for (i = 0; i < ARRAY_SIZE(early); i++)
		test_cut_early(early[i], early[i] != WIRE_END && i % 2);
	test_cut_ready();
	test_cut_late(WIRE_YOURS, false);
	test_cut_late(WIRE_YOURS, true);
	test_cut_late(WIRE_TAKEN, false);
	test_cut_late(WIRE_TAKEN, true);
	test_cut_late(WIRE_DONE, false);
	test_doubt(WIRE_YOURS, false, true);
	test_doubt(WIRE_TAKEN, false, false);
	test_source_dies();
	test_destination_dies();
	test_cancel();
	return mover_close();
}

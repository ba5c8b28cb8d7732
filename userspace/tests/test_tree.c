// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trees of snapshots: after any sequence of writes, snapshots, roll-backs and deletions, with processes that are killed meanwhile,
 * each snapshot is what a copy of all memory says, and so are the machines that are made of it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "at_rest.h"
#include "tap.h"
#include "../vireo/description.h"
#include "../vireo/fork.h"
#include "../vireo/generation.h"
#include "../vireo/machine_state.h"
#include "../vireo/track.h"
#include "../vireo/tree/tree.h"

#define MEMORY_MIB	20
#define STEPS		400
#define MOST		10	/* copies at a time */
#define CHILD_AT	0x800000ULL

/**
 * struct copy - what the model knows of a snapshot
 * @used: there is one
 * @tag: its name
 * @memory: all of it
 * @mark: of vCPUs and devices
 */
static struct copy {
	bool used;
	char tag[16];
	uint8_t *memory;
	unsigned int mark;
} copies[MOST];

/**
 * struct shared - what machines that were made of snapshots tell
 * @sum: of their memory, as they find it
 * @rip: of vCPU 0
 * @generation: their ID
 * @runs: they are there
 * @go: they may end
 */
static struct shared {
	uint32_t sum;
	uint64_t rip;
	char generation[GENERATION_TEXT];
	bool runs;
	bool go;
} *shared;

static char why[FORK_WHY];

#define until(condition) do {						\
	unsigned int tries_;						\
	for (tries_ = 0; tries_ < 6000 && !(condition); tries_++)	\
		usleep(5000);						\
} while (0)

static uint8_t *memory_of(struct machine *machine)
{
	return machine->memory.piece[0].hva;
}

/* All but the generation ID */
static bool is_like(struct machine *machine, const struct copy *copy)
{
	const uint8_t *memory = memory_of(machine);
	uint64_t after = GENERATION_AT + GENERATION_BYTES;

	return !memcmp(memory, copy->memory, GENERATION_AT) &&
	       !memcmp(memory + after, copy->memory + after, MEMORY_MIB * MIB - after) &&
	       at_rest_is_marked(machine, copy->mark);
}

static uint32_t sum_of(const uint8_t *memory)
{
	uint64_t after = GENERATION_AT + GENERATION_BYTES;
	uLong sum = crc32(0, memory, GENERATION_AT);

	return (uint32_t)crc32(sum, memory + after, (uInt)(MEMORY_MIB * MIB - after));
}

static json_t *describe(struct machine *machine)
{
	return json_pack("{s:o}", "machine", description_make(machine->config, machine_cpu_profile(machine)));
}

static int take(struct machine *machine, const char *tag)
{
	struct state_buffer state = { 0 };
	json_t *info = describe(machine);
	int r;

	*why = '\0';
	r = machine_state_save(machine, false, &state);
	if (!r)
		r = tree_snapshot(machine, tag, info, &state, why);
	json_decref(info);
	state_buffer_free(&state);
	return r;
}

static int snapshot(struct machine *machine, struct copy *copy, unsigned int number)
{
	copy->used = true;
	copy->mark = 1 + number % 200;
	snprintf(copy->tag, sizeof(copy->tag), "tag-%u", number);
	at_rest_mark(machine, copy->mark);
	memcpy(copy->memory, memory_of(machine), MEMORY_MIB * MIB);
	return take(machine, copy->tag);
}

static json_int_t number_in(struct machine *machine, const char *tag, const char *member)
{
	json_t *tree = tree_json(machine), *node;
	json_int_t number = -1;
	size_t i;

	json_array_foreach(json_object_get(tree, "snapshots"), i, node)
		if (!strcmp(json_string_value(json_object_get(node, "tag")), tag))
			number = json_integer_value(json_object_get(node, member));
	json_decref(tree);
	return number;
}

static unsigned int count(struct machine *machine)
{
	json_t *tree = tree_json(machine);
	unsigned int nr = (unsigned int)json_array_size(json_object_get(tree, "snapshots"));

	json_decref(tree);
	return nr;
}

static uint64_t any_page(void)
{
	/* Of neighbours, and anywhere. */
	return rand() % 2 ? (uint64_t)(rand() % 64) : (uint64_t)rand() % (MEMORY_MIB * MIB / TRACK_PAGE);
}

static void write_pages(struct machine *machine)
{
	unsigned int i, nr = (unsigned int)rand() % 20;
	uint8_t *memory = memory_of(machine);

	for (i = 0; i < nr; i++) {
		uint64_t at = any_page() * TRACK_PAGE + (uint64_t)rand() % TRACK_PAGE;
		uint8_t value = (uint8_t)rand();

		switch (rand() % 4) {
		case 0:
			memory_write(&machine->memory, at, &value, 1);
			break;
		case 1:
			memory_discard(&machine->memory, memory + at / TRACK_PAGE * TRACK_PAGE, TRACK_PAGE);
			break;
		default:
			/* As a guest does; two at a time, that may be on two pages. */
			at -= at == MEMORY_MIB * MIB - 1;
			memory[at] = value;
			memory[at + 1] ^= 1;
			fake_written(at, 2);
		}
	}
}

static struct copy *any_copy(void)
{
	return &copies[(unsigned int)rand() % MOST];
}

static void test_random(struct machine *machine)
{
	unsigned int step, bad = 0, failed = 0, backs = 0, taken = 0, deleted = 0, killed = 0, left;

	for (step = 0; step < STEPS; step++) {
		struct copy *copy = any_copy();

		write_pages(machine);
		at_rest_mark(machine, 1 + (unsigned int)rand() % 200);
		if (!copy->used) {
			failed += snapshot(machine, copy, step) != 0;
			taken++;
		} else if (rand() % 3) {
			failed += tree_rollback(machine, copy->tag, why) != 0;
			bad += !is_like(machine, copy);
			backs++;
		} else if (rand() % 4) {
			failed += tree_delete(machine, copy->tag, why) != 0;
			copy->used = false;
			deleted++;
		} else {
			left = count(machine);
			kill((pid_t)number_in(machine, copy->tag, "pid"), SIGKILL);
			until((tree_look(machine), count(machine) == left - 1));
			failed += count(machine) != left - 1 || tree_rollback(machine, copy->tag, why) != -ENOENT;
			copy->used = false;
			killed++;
		}
	}
	is(failed, 0, "%u snapshots, %u roll-backs, %u deletions, %u killed: %s", taken, backs, deleted, killed, why);
	is(bad, 0, "all memory and state is exact after each roll-back");
	for (step = 0; step < MOST; step++) {
		if (!copies[step].used)
			continue;
		is(tree_rollback(machine, copies[step].tag, why), 0, "back to %s", copies[step].tag);
		ok(is_like(machine, &copies[step]), "it is exact");
	}
	for (step = 0; step < MOST; step++) {
		if (copies[step].used)
			tree_delete(machine, copies[step].tag, why);
		copies[step].used = false;
	}
	ok(tree_is_empty(machine), "all deleted");
	ok(!fake.dirty[0][TRACK_TREE], "memory is followed no more");
}

/* Which pages are told of, and copied. */
static void test_exact(struct machine *machine)
{
	char before[GENERATION_TEXT], after[GENERATION_TEXT];

	is(snapshot(machine, &copies[0], 0), 0, "one");
	memory_write(&machine->memory, 5 * TRACK_PAGE - 1, "xy", 2);
	memory_write(&machine->memory, 9 * MIB, "x", 1);
	is(snapshot(machine, &copies[1], 1), 0, "another");
	is(number_in(machine, "tag-1", "changed"), 3 * TRACK_PAGE, "three pages were written between the two");
	generation_text(&machine->memory, before);
	is(tree_rollback(machine, "tag-0", why), 0, "back");
	generation_text(&machine->memory, after);
	ok(strcmp(before, after), "there is another generation ID: %s, %s", before, after);
	ok(is_like(machine, &copies[0]), "all else is what it was");
	is(snapshot(machine, &copies[2], 2), 0, "at once a third");
	is(number_in(machine, "tag-2", "changed"), TRACK_PAGE, "the ID is all that was written");
	is(tree_rollback(machine, "tag-1", why), 0, "to another branch");
	ok(is_like(machine, &copies[1]), "it is what it was");

	/* The state is the last that can fail. */
	memory_write(&machine->memory, 3 * MIB, "z", 1);
	at_rest_mark(machine, 99);
	copies[3].mark = 99;
	memcpy(copies[3].memory, memory_of(machine), MEMORY_MIB * MIB);
	fake.refused_rip = at_rest_regs(1)->rip - 99 * 0x1000 + copies[0].mark * 0x1000;
	is(tree_rollback(machine, "tag-0", why), -EINVAL, "a state that the module refuses");
	ok(strstr(why, "vCPU 1"), "says so: %s", why);
	fake.refused_rip = 0;
	ok(is_like(machine, &copies[3]), "nothing has changed");
	is(tree_rollback(machine, "tag-0", why), 0, "it can be gone back to afterwards");
	ok(is_like(machine, &copies[0]), "and is exact");

	is(tree_rollback(machine, "tag-1", why), 0, "from a branch");
	is(tree_delete(machine, "tag-0", why), 0, "whose root is deleted");
	is(tree_rollback(machine, "tag-2", why), 0, "to the other one");
	ok(is_like(machine, &copies[2]), "is exact");
}

static void test_refused(struct machine *machine)
{
	unsigned int i;
	char tag[16];

	is(take(machine, "tag-1"), -EEXIST, "a name that is taken: %s", why);
	is(tree_rollback(machine, "none", why), -ENOENT, "one that there is not: %s", why);
	is(tree_delete(machine, "none", why), -ENOENT, "nor to be deleted: %s", why);
	is(tree_fork(machine, "none", "child", why), -ENOENT, "nor to go on from: %s", why);
	for (i = count(machine); i < TREE_NODES_MAX; i++) {
		snprintf(tag, sizeof(tag), "more-%u", i);
		if (take(machine, tag))
			break;
	}
	is(i, TREE_NODES_MAX, "as many as there can be");
	is(take(machine, "toomany"), -ENOSPC, "and one more: %s", why);
	for (i = 2; i < TREE_NODES_MAX; i++) {
		snprintf(tag, sizeof(tag), "more-%u", i);
		tree_delete(machine, tag, why);
	}
	is(count(machine), 2, "two are left");
}

/* It looks at all of its memory, and writes to some of it, in the process of its own launcher. */
static int child_guest(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	uint8_t *memory = (uint8_t *)(uintptr_t)fake.region[0].hva;
	struct guest_memory all = { .piece = { { 0, MEMORY_MIB * MIB, memory, NULL, 0 } }, .nr = 1 };
	uint32_t value = 0x10;

	(void)vcpu;
	if (!shared->runs) {
		shared->sum = sum_of(memory);
		shared->rip = at_rest_regs(0)->rip;
		generation_text(&all, shared->generation);
		memset(memory + CHILD_AT, 0xee, 64 * TRACK_PAGE);
		__atomic_store_n(&shared->runs, true, __ATOMIC_SEQ_CST);
	}
	usleep(1000);
	run->exit_reason = VIREO_EXIT_IO;
	run->io.port = __atomic_load_n(&shared->go, __ATOMIC_SEQ_CST) ? 0xf4 : 0x3ff;
	run->io.write = 1;
	run->io.unit = 4;
	run->io.count = 1;
	memcpy(run->io.data, &value, sizeof(value));
	return 0;
}

/* The module is in the kernel: a child starts with none of what its parent has there. */
static void forked(void)
{
	fake_reset();
	fake.guest = child_guest;
}

static void test_fork(struct machine *machine, const char *tag)
{
	const struct copy *copy = tag ? &copies[tag[4] - '0'] : NULL;
	uint32_t sum = sum_of(copy ? copy->memory : memory_of(machine));
	uint64_t rip = copy ? copy->mark * 0x1000 : at_rest_regs(0)->rip;
	struct state_buffer state = { 0 };
	char generation[GENERATION_TEXT];
	json_t *info = describe(machine);
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	if (tag)
		pid = tree_fork(machine, tag, "child", why);
	else
		pid = machine_state_save(machine, false, &state) ? -1 : machine_fork(machine, "child", info, &state, why);
	ok(pid > 0, "a machine from %s: %s", tag ? tag : "where it is", pid > 0 ? "it is there" : why);
	until(__atomic_load_n(&shared->runs, __ATOMIC_SEQ_CST));
	is(shared->sum, sum, "has the memory");
	is(shared->rip, rip, "and the state");
	generation_text(&machine->memory, generation);
	ok(strcmp(shared->generation, generation), "but not the generation ID");
	if (tag) {
		ok(tree_fork(machine, tag, "child", why) < 0, "two of one name: %s", why);
		ok(strstr(why, "there is a machine \"child\""), "are refused by name");
	}
	__atomic_store_n(&shared->go, true, __ATOMIC_SEQ_CST);
	until(kill(pid, 0));
	ok(kill(pid, 0), "it ends");
	json_decref(info);
	state_buffer_free(&state);
}

static void test_forks(struct machine *machine)
{
	memory_write(&machine->memory, CHILD_AT, "before", 6);
	is(snapshot(machine, &copies[3], 3), 0, "a snapshot");
	memory_write(&machine->memory, CHILD_AT, "after", 5);
	at_rest_mark(machine, 77);
	test_fork(machine, "tag-3");
	test_fork(machine, "tag-1");
	test_fork(machine, "tag-3");
	test_fork(machine, NULL);
	ok(!memcmp(memory_of(machine) + CHILD_AT, "aftere", 6), "what children write is their own");
	is(tree_rollback(machine, "tag-3", why), 0, "back to where they came from");
	ok(is_like(machine, &copies[3]), "it is what it was");
	kill((pid_t)number_in(machine, "tag-3", "pid"), SIGKILL);
	ok(tree_fork(machine, "tag-3", "child", why) < 0, "a process that was killed: %s", why);
}

static int load(struct machine *machine, void *unused)
{
	unsigned int i;

	(void)unused;
	for (i = 0; i < MOST; i++) {
		copies[i].memory = mmap(NULL, MEMORY_MIB * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		madvise(copies[i].memory, MEMORY_MIB * MIB, MADV_DONTFORK);
	}
	test_random(machine);
	test_exact(machine);
	test_refused(machine);
	test_forks(machine);
	for (i = 0; i < MOST; i++)
		munmap(copies[i].memory, MEMORY_MIB * MIB);
	return EXIT_FAULT;
}

int main(void)
{
	const struct machine_source source = { load, NULL, true, false, NULL };

	at_rest_begin();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_atfork(NULL, NULL, forked);
	fake_reset();
	fake.tracks = true;
	is(at_rest_run(&source, MEMORY_MIB), EXIT_FAULT, "the tests are all that it does");
	is(fake.open_fds, 0, "nothing stays open");
	is(fake.bad, 0, "nothing wrong was asked of the module");
	at_rest_end();
	return tap_done();
}

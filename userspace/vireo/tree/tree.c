// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each snapshot knows its parent, and which pages were written between the two; what was written since the snapshot that the machine
 * comes from is collected by dirty tracking. So the pages that may differ between the machine and any snapshot are
 * those on the way from one to the other: up to the last state that both have in common, and down again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "holder.h"
#include "tree.h"
#include "../block/branch.h"
#include "../control.h"
#include "../machine.h"
#include "../machine_state.h"
#include "../track.h"
#include "../virtio/blk.h"

#define RUN_PAGES 4096U

/* Pages of a machine's memory: a bit each, as in struct track */
typedef uint64_t *page_set[MEMORY_PIECES];

/**
 * struct node - a snapshot
 * @next: the one that was taken after it
 * @parent: what the machine came from when it was taken; NULL: nothing that is still there
 * @tag: its name
 * @time: of the host
 * @state: of the machine
 * @changed: pages that were written since @parent was like the machine; or, without one, since tracking began
 * @pages: how many
 * @holder: has the memory
 * @disks: the images of those that branch
 * @on_path: see path_to()
 */
struct node {
	struct node *next;
	struct node *parent;
	char tag[RUNDIR_NAME_MAX + 1];
	time_t time;
	struct state_buffer state;
	page_set changed;
	uint64_t pages;
	struct holder holder;
	struct branch_set disks;
	bool on_path;
};

/**
 * struct tree - all of a machine's
 * @track: what was written since @at
 * @lock: protects the following, of which the main thread may read without it
 * @first: the oldest
 * @nr: how many
 * @at: what the machine comes from; NULL: nothing that is still there
 */
struct tree {
	struct track track;
	pthread_mutex_t lock;
	struct node *first;
	unsigned int nr;
	struct node *at;
};

/* ---- Sets of pages ---- */

static uint64_t words(const struct memory_piece *piece)
{
	return (piece->bytes / TRACK_PAGE + 63) / 64;
}

static void set_free(page_set set)
{
	unsigned int i;

	for (i = 0; i < MEMORY_PIECES; i++) {
		free(set[i]);
		set[i] = NULL;
	}
}

static int set_init(page_set set, const struct guest_memory *memory)
{
	unsigned int i;

	memset(set, 0, sizeof(page_set));
	for (i = 0; i < memory->nr; i++) {
		set[i] = calloc(words(&memory->piece[i]), sizeof(uint64_t));
		if (!set[i]) {
			set_free(set);
			return -ENOMEM;
		}
	}
	return 0;
}

static void set_add(page_set to, const page_set from, const struct guest_memory *memory)
{
	unsigned int i;
	uint64_t word;

	for (i = 0; i < memory->nr; i++)
		for (word = 0; word < words(&memory->piece[i]); word++)
			to[i][word] |= from[i][word];
}

static uint64_t set_count(const page_set set, const struct guest_memory *memory)
{
	uint64_t word, pages = 0;
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		for (word = 0; word < words(&memory->piece[i]); word++)
			pages += (uint64_t)__builtin_popcountll(set[i][word]);
	return pages;
}

static void set_swap(page_set a, page_set b)
{
	unsigned int i;

	for (i = 0; i < MEMORY_PIECES; i++) {
		uint64_t *t = a[i];

		a[i] = b[i];
		b[i] = t;
	}
}

static bool is_in(const page_set set, unsigned int piece, uint64_t page)
{
	return set[piece][page / 64] >> page % 64 & 1;
}

/* The next run of pages from *run on, of RUN_PAGES at most; false: there are no more. All 0 at first. */
static bool next_run(const page_set set, const struct guest_memory *memory, struct holder_run *run)
{
	uint64_t page = run->first + run->count, end;

	for (; run->piece < memory->nr; run->piece++, page = 0) {
		end = memory->piece[run->piece].bytes / TRACK_PAGE;
		while (page < end && !is_in(set, run->piece, page))
			page += page % 64 || set[run->piece][page / 64] ? 1 : 64;
		if (page >= end)
			continue;
		run->first = page;
		while (page < end && page - run->first < RUN_PAGES && is_in(set, run->piece, page))
			page++;
		run->count = page - run->first;
		return true;
	}
	return false;
}

/* ---- Nodes ---- */

static struct node *find(const struct tree *tree, const char *tag)
{
	struct node *node;

	for (node = tree ? tree->first : NULL; node; node = node->next)
		if (!strcmp(node->tag, tag))
			return node;
	return NULL;
}

static struct node *find_or_say(const struct tree *tree, const char *tag, char *why)
{
	struct node *node = find(tree, tag);

	if (!node)
		snprintf(why, FORK_WHY, "there is no snapshot \"%s\"", tag);
	return node;
}

static void free_node(struct node *node)
{
	set_free(node->changed);
	state_buffer_free(&node->state);
	branch_put(&node->disks);
	free(node);
}

static void advise(const struct guest_memory *memory, int advice)
{
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		madvise(memory->piece[i].hva, memory->piece[i].bytes, advice);
}

/* Since nobody holds anything any more, pages need not stay small. */
static void stop_following(struct machine *machine)
{
	track_end(&machine->tree->track);
	advise(&machine->memory, MADV_HUGEPAGE);
}

static int follow(struct machine *machine)
{
	/* The host would make copies of pages that are shared, to have them in a huge one. */
	advise(&machine->memory, MADV_NOHUGEPAGE);
	return track_begin(&machine->tree->track, machine, TRACK_TREE);
}

static int make_tree(struct machine *machine)
{
	struct tree *tree;

	if (machine->tree)
		return 0;
	tree = calloc(1, sizeof(*tree));
	if (!tree)
		return -ENOMEM;
	pthread_mutex_init(&tree->lock, NULL);
	__atomic_store_n(&machine->tree, tree, __ATOMIC_RELEASE);
	return 0;
}

/* ---- Taking a snapshot ---- */

static int check_new(struct machine *machine, const char *tag, char *why)
{
	const char *disk = blk_writable(&machine->board);

	if (find(machine->tree, tag)) {
		snprintf(why, FORK_WHY, "there is a snapshot \"%s\" already", tag);
		return -EEXIST;
	}
	if (machine->tree && machine->tree->nr == TREE_NODES_MAX) {
		snprintf(why, FORK_WHY, "there are %u snapshots, which is the most: delete one", TREE_NODES_MAX);
		return -ENOSPC;
	}
	if (disk) {
		snprintf(why, FORK_WHY, "the machine may write to the disk %.100s, which does not go back", disk);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int hold(struct machine *machine, struct node *node, const json_t *info, char *why)
{
	const struct fork_source from = { &machine->memory, info, &node->state };
	char ignored[FORK_WHY];
	int r;

	r = fork_share(&machine->memory, true, why);
	if (r == -EOPNOTSUPP)
		return r;
	if (!r)
		r = holder_start(&node->holder, &from, why);
	fork_share(&machine->memory, false, ignored);
	return r;
}

/* What was written since @at becomes what was written up to the node. */
static int take_changes(struct tree *tree, struct node *node, char *why)
{
	const struct guest_memory *memory = &tree->track.machine->memory;
	uint64_t found;
	int r;

	r = set_init(node->changed, memory);
	if (!r)
		r = track_collect(&tree->track, &found);
	if (r) {
		snprintf(why, FORK_WHY, "what was written is not known: %s", strerror(-r));
		return r;
	}
	set_swap(node->changed, tree->track.bitmap);
	node->pages = set_count(node->changed, memory);
	return 0;
}

static void add_node(struct tree *tree, struct node *node)
{
	struct node **link;

	pthread_mutex_lock(&tree->lock);
	for (link = &tree->first; *link; link = &(*link)->next)
		;
	*link = node;
	node->parent = tree->at;
	tree->at = node;
	tree->nr++;
	pthread_mutex_unlock(&tree->lock);
}

static int fill_node(struct machine *machine, struct node *node, const json_t *info, char *why)
{
	struct tree *tree = machine->tree;
	int r;

	r = tree->nr ? 0 : follow(machine);
	if (r) {
		snprintf(why, FORK_WHY, "memory cannot be followed: %s", strerror(-r));
		advise(&machine->memory, MADV_HUGEPAGE);
		return r;
	}
	r = hold(machine, node, info, why);
	if (!r) {
		r = take_changes(tree, node, why);
		if (r)
			holder_end(&node->holder);
	}
	if (r && !tree->nr)
		stop_following(machine);
	return r;
}

/**
 * tree_snapshot() - remember how a machine is
 * @machine: the machine, which rests; by the main thread
 * @tag: name of the snapshot
 * @info: an object with the description as "machine"
 * @state: of machine_state_save(); taken over if all goes well
 * @why: FORK_WHY bytes for a sentence
 *
 * Disks that branch have begun new overlays (branch_begin()); if all goes well, what they had is the snapshot's.
 *
 * Return: 0, or a negative errno.
 */
int tree_snapshot(struct machine *machine, const char *tag, const json_t *info, struct state_buffer *state, char *why)
{
	struct node *node;
	int r;

	r = check_new(machine, tag, why);
	if (r)
		return r;
	node = make_tree(machine) ? NULL : calloc(1, sizeof(*node));
	if (!node) {
		snprintf(why, FORK_WHY, "there is no memory");
		return -ENOMEM;
	}
	snprintf(node->tag, sizeof(node->tag), "%s", tag);
	node->time = time(NULL);
	node->state = *state;
	r = fill_node(machine, node, info, why);
	if (r) {
		node->state = (struct state_buffer){ 0 };
		free_node(node);
		return r;
	}
	*state = (struct state_buffer){ 0 };
	branch_commit(&node->disks, false);
	add_node(machine->tree, node);
	return 0;
}

/* ---- Going back ---- */

/* Pages that may differ between the machine and the node. */
static void path_to(struct tree *tree, struct node *to, page_set set)
{
	const struct guest_memory *memory = &tree->track.machine->memory;
	struct node *node, *common;

	set_add(set, tree->track.bitmap, memory);
	for (node = to; node; node = node->parent)
		node->on_path = true;
	for (common = tree->at; common && !common->on_path; common = common->parent)
		set_add(set, common->changed, memory);
	for (node = to; node != common; node = node->parent)
		set_add(set, node->changed, memory);
	for (node = to; node; node = node->parent)
		node->on_path = false;
}

static int fetch(const struct holder *holder, const page_set set, const struct guest_memory *memory, uint8_t *to)
{
	struct holder_run run[HOLDER_RUNS], next = { 0 };
	unsigned int nr = 0;
	uint64_t pages = 0;
	bool more;
	int r = 0;

	do {
		more = next_run(set, memory, &next);
		if (more) {
			run[nr++] = next;
			pages += next.count;
		}
		if (nr == HOLDER_RUNS || (!more && nr)) {
			r = holder_pages(holder, run, nr, to);
			to += pages * TRACK_PAGE;
			nr = 0;
			pages = 0;
		}
	} while (more && !r);
	return r;
}

/* Pages that are the same stay, and stay shared. */
static void exchange(struct guest_memory *memory, const page_set set, uint8_t *with)
{
	struct holder_run run = { 0 };
	uint8_t page[TRACK_PAGE], *at;
	uint64_t i;

	while (next_run(set, memory, &run)) {
		at = memory->piece[run.piece].hva + run.first * TRACK_PAGE;
		for (i = 0; i < run.count; i++, at += TRACK_PAGE, with += TRACK_PAGE) {
			if (!memcmp(at, with, TRACK_PAGE))
				continue;
			memcpy(page, at, TRACK_PAGE);
			memcpy(at, with, TRACK_PAGE);
			memcpy(with, page, TRACK_PAGE);
		}
		memory_written(memory, at - run.count * TRACK_PAGE, run.count * TRACK_PAGE);
	}
}

/*
 * What is in @pages goes into memory, and the state follows; @set is left with what nobody needs. Loading the state may write to
 * memory: that alone counts as written since.
 */
static int go_back(struct machine *machine, const struct node *to, page_set set, uint8_t *pages, char *why)
{
	struct track *track = &machine->tree->track;
	struct guest_memory *memory = &machine->memory;
	char what[MACHINE_STATE_WHY] = "";
	page_set fresh;
	uint64_t found;
	int r;

	r = set_init(fresh, memory);
	if (r) {
		snprintf(why, FORK_WHY, "there is no memory");
		return r;
	}
	exchange(memory, set, pages);
	r = track_collect(track, &found);
	if (r)
		snprintf(what, sizeof(what), "what was written is not known: %s", strerror(-r));
	set_swap(track->bitmap, fresh);
	if (!r)
		r = machine_state_load(machine, to->state.data, to->state.len, what);
	if (r) {
		snprintf(why, FORK_WHY, "%s", what);
		exchange(memory, set, pages);
		set_add(track->bitmap, fresh, memory);
	}
	set_free(fresh);
	return r;
}

/**
 * tree_rollback() - make a machine what it was
 * @machine: the machine, which rests; by the main thread
 * @tag: name of the snapshot
 * @why: FORK_WHY bytes for a sentence
 *
 * All that may differ is fetched first: whatever goes wrong on the way, the machine is what it is.
 *
 * Return: 0, or a negative errno.
 */
int tree_rollback(struct machine *machine, const char *tag, char *why)
{
	struct tree *tree = machine->tree;
	struct node *to = find_or_say(tree, tag, why);
	uint64_t found, bytes;
	uint8_t *pages;
	page_set set;
	int r;

	if (!to)
		return -ENOENT;
	r = track_collect(&tree->track, &found);
	if (!r)
		r = set_init(set, &machine->memory);
	if (r) {
		snprintf(why, FORK_WHY, "what was written is not known: %s", strerror(-r));
		return r;
	}
	path_to(tree, to, set);
	bytes = set_count(set, &machine->memory) * TRACK_PAGE;
	/* Not 0 in any case. */
	pages = mmap(NULL, bytes + TRACK_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED) {
		r = -errno;
		snprintf(why, FORK_WHY, "no memory for the %llu MiB that come back", (unsigned long long)(bytes / MIB));
		set_free(set);
		return r;
	}
	r = fetch(&to->holder, set, &machine->memory, pages);
	if (r)
		snprintf(why, FORK_WHY, "the process that held the snapshot has ended");
	if (!r)
		r = branch_begin(&to->disks, why);
	if (!r) {
		r = go_back(machine, to, set, pages, why);
		if (r)
			branch_revert();
		else
			branch_commit(NULL, false);
	}
	if (!r) {
		pthread_mutex_lock(&tree->lock);
		tree->at = to;
		pthread_mutex_unlock(&tree->lock);
		/* The machine is what it is, should there be none; a message is out. */
		machine_renew_generation(machine);
	}
	munmap(pages, bytes + TRACK_PAGE);
	set_free(set);
	return r;
}

/* ---- Less of it ---- */

/* Whoever comes from it comes from its parent then, by all that was written since that. */
static void remove_node(struct machine *machine, struct node *node)
{
	const struct guest_memory *memory = &machine->memory;
	struct tree *tree = machine->tree;
	struct node **link, *other;

	pthread_mutex_lock(&tree->lock);
	for (link = &tree->first; *link != node; link = &(*link)->next)
		;
	*link = node->next;
	tree->nr--;
	for (other = tree->first; other; other = other->next) {
		if (other->parent != node)
			continue;
		set_add(other->changed, node->changed, memory);
		other->pages = set_count(other->changed, memory);
		other->parent = node->parent;
	}
	if (tree->at == node) {
		set_add(tree->track.bitmap, node->changed, memory);
		tree->at = node->parent;
	}
	pthread_mutex_unlock(&tree->lock);
	free_node(node);
	if (!tree->nr)
		stop_following(machine);
}

/**
 * tree_delete() - forget a snapshot
 * @machine: the machine; by the main thread
 * @tag: name of the snapshot
 * @why: FORK_WHY bytes for a sentence
 *
 * Those that were taken after it stay.
 *
 * Return: 0, or -ENOENT.
 */
int tree_delete(struct machine *machine, const char *tag, char *why)
{
	struct node *node = find_or_say(machine->tree, tag, why);

	if (!node)
		return -ENOENT;
	holder_end(&node->holder);
	remove_node(machine, node);
	return 0;
}

/**
 * tree_look() - a child of the launcher may have ended
 * @machine: the machine; by the main thread
 */
void tree_look(struct machine *machine)
{
	struct node *node, *next;
	char text[80];

	for (node = machine->tree ? machine->tree->first : NULL; node; node = next) {
		next = node->next;
		if (waitpid(node->holder.pid, NULL, WNOHANG) != node->holder.pid)
			continue;
		snprintf(text, sizeof(text), "the snapshot \"%s\" is lost: its process has ended", node->tag);
		close(node->holder.fd);
		remove_node(machine, node);
		report_note("%s", text);
		control_event(machine->server, "snapshot-lost", text);
	}
}

/* ---- Others ---- */

/**
 * tree_fork() - have another machine go on from a snapshot
 * @machine: the machine; by the main thread
 * @tag: name of the snapshot
 * @name: of the new machine
 * @why: FORK_WHY bytes for a sentence
 *
 * Return: process of its launcher, or a negative errno.
 */
pid_t tree_fork(struct machine *machine, const char *tag, const char *name, char *why)
{
	struct node *node = find_or_say(machine->tree, tag, why);
	char origin[HOLDER_ORIGIN];

	if (!node)
		return -ENOENT;
	snprintf(origin, sizeof(origin), "%s@%s", machine->name, tag);
	branch_keep(&node->disks);
	return holder_fork(&node->holder, name, origin, why);
}

/**
 * tree_is_empty() - are there no snapshots?
 * @machine: the machine; any thread
 *
 * Return: whether.
 */
bool tree_is_empty(struct machine *machine)
{
	struct tree *tree = __atomic_load_n(&machine->tree, __ATOMIC_ACQUIRE);
	bool empty;

	if (!tree)
		return true;
	pthread_mutex_lock(&tree->lock);
	empty = !tree->nr;
	pthread_mutex_unlock(&tree->lock);
	return empty;
}

/* Memory that nobody else has: what would be free without it. */
static json_int_t private_bytes(pid_t pid)
{
	unsigned long long kib, sum = 0;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Private_Clean: %llu kB", &kib) == 1 || sscanf(line, "Private_Dirty: %llu kB", &kib) == 1)
			sum += kib;
	fclose(file);
	return (json_int_t)(sum * KIB);
}

static json_t *node_json(const struct node *node)
{
	char when[32];
	struct tm tm;

	gmtime_r(&node->time, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_pack("{s:s,s:s?,s:s,s:I,s:I,s:i}", "tag", node->tag, "parent", node->parent ? node->parent->tag : NULL,
			 "time", when, "changed", (json_int_t)(node->pages * TRACK_PAGE), "private",
			 private_bytes(node->holder.pid), "pid", (int)node->holder.pid);
}

/**
 * tree_json() - tell what snapshots there are
 * @machine: the machine; any thread
 *
 * Return: an object (control.rst, "query"), or NULL without memory.
 */
json_t *tree_json(struct machine *machine)
{
	const struct machine_source *source = machine->config->source;
	struct tree *tree = __atomic_load_n(&machine->tree, __ATOMIC_ACQUIRE);
	json_t *list = json_array();
	const char *at = NULL;
	struct node *node;
	json_t *object;

	if (tree) {
		pthread_mutex_lock(&tree->lock);
		for (node = tree->first; node; node = node->next)
			json_array_append_new(list, node_json(node));
		at = tree->at ? tree->at->tag : NULL;
	}
	object = json_pack("{s:s?,s:s?}", "at", at, "origin", source ? source->origin : NULL);
	if (tree)
		pthread_mutex_unlock(&tree->lock);
	if (object)
		json_object_set(object, "snapshots", list);
	json_decref(list);
	return object;
}

/**
 * tree_free() - the machine has ended
 * @machine: the machine; nobody asks any more
 */
void tree_free(struct machine *machine)
{
	struct tree *tree = machine->tree;
	struct node *node;

	if (!tree)
		return;
	for (node = tree->first; node; node = node->next)
		kill(node->holder.pid, SIGKILL);
	while (tree->first) {
		node = tree->first;
		tree->first = node->next;
		holder_end(&node->holder);
		free_node(node);
	}
	if (tree->nr)
		track_end(&tree->track);
	pthread_mutex_destroy(&tree->lock);
	free(tree);
	machine->tree = NULL;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A second machine from one that is at rest. The launcher forks: the host shares all of its memory between the two until
 * one of them writes to a page. In the child there is only the thread that forked; it leaves everything of the old machine but the
 * memory behind, builds a new one from the description, as for a saved machine, and moves the memory to where the new one has its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"
#include "block/block.h"
#include "block/branch.h"
#include "description.h"
#include "fork.h"
#include "machine_state.h"
#include "terminal.h"

/**
 * struct child - what the child takes along
 * @from: the other machine
 * @messages: where messages go when it runs
 */
struct child {
	const struct fork_source *from;
	int messages;
};

static int advise(const struct guest_memory *memory, int advice)
{
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		if (madvise(memory->piece[i].hva, memory->piece[i].bytes, advice))
			return -errno;
	return 0;
}

/* The new machine's own memory is gone then; what the module has mapped of it, too. */
static int take_memory(struct guest_memory *to, const struct guest_memory *from)
{
	unsigned int i;

	for (i = 0; i < from->nr; i++) {
		const struct memory_piece *piece = &from->piece[i];

		if (to->piece[i].bytes != piece->bytes ||
		    mremap(piece->hva, piece->bytes, piece->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to->piece[i].hva) ==
		    MAP_FAILED)
			return -errno;
	}
	return advise(to, MADV_DONTFORK);
}

static int load(struct machine *machine, void *opaque)
{
	struct child *child = opaque;
	char why[MACHINE_STATE_WHY];
	int r = take_memory(&machine->memory, child->from->memory);

	if (r) {
		report_error("memory cannot be moved: %s", strerror(-r));
		return EXIT_FAULT;
	}
	if (machine_state_load(machine, child->from->state->data, child->from->state->len, why)) {
		report_error("%s", why);
		return EXIT_FAULT;
	}
	/* An empty message: it is there. */
	if (write(STDERR_FILENO, "", 1) != 1 || dup2(child->messages, STDERR_FILENO) < 0)
		return EXIT_FAULT;
	return 0;
}

/**
 * fork_leave() - in a child: leave what the other launcher has open
 * @keep: but for this; -1: nothing
 *
 * Standard input and output are nowhere then; messages go where they went. The terminal is the other's.
 *
 * Return: 0, or a negative errno.
 */
int fork_leave(int keep)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || setsid() < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	if (keep > 3)
		close_range(3, (unsigned int)keep - 1, 0);
	close_range(keep < 3 ? 3 : (unsigned int)keep + 1, ~0U, 0);
	terminal_forget();
	block_forget();
	branch_forget();
	return 0;
}

static int be_child(const struct fork_source *from, const char *name, const char *origin, int status)
{
	struct child child = { from, fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) };
	const struct machine_source source = { load, &child, true, false, origin };
	struct machine_config config;
	struct config_file options;
	int r;

	if (child.messages < 0 || dup2(status, STDERR_FILENO) < 0 || fork_leave(child.messages))
		return EXIT_FAULT;
	signal(SIGCHLD, SIG_DFL);
	r = description_parse(&config, &options, name, json_object_get(from->info, "machine"));
	if (r)
		return r;
	config.source = &source;
	config.name = name;
	config.console = "socket";
	return machine_run(&config);
}

static void *reap(void *opaque)
{
	waitpid((pid_t)(intptr_t)opaque, NULL, 0);
	return NULL;
}

/* What the child says until it is there: nothing, or why it is not. */
static int hear(int fd, char *why)
{
	char text[FORK_WHY * 2];
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, text + len, sizeof(text) - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	} while ((n > 0 && !memchr(text, 0, len) && len < sizeof(text) - 1) || (n < 0 && errno == EINTR));
	if (len && memchr(text, 0, len))
		return 0;
	text[len] = 0;
	/* One line of it, without who says so. */
	text[strcspn(text, "\n")] = 0;
	snprintf(why, FORK_WHY, "%.*s", FORK_WHY - 1, len ? text + (strncmp(text, "vireo: ", 7) ? 0 : 7) : "it has ended at once");
	return -ECHILD;
}

/**
 * fork_launcher() - make a child that has a machine of its own
 * @from: what it goes on from; its memory is inherited
 * @name: of the new machine
 * @origin: what the new machine says of where it is from
 * @why: FORK_WHY bytes for a sentence, if it fails
 *
 * Returns when that machine is there or has failed. Reaping the child, if there is one, is the caller's business.
 *
 * Return: process of its launcher, or a negative errno: there is no second machine then.
 */
pid_t fork_launcher(const struct fork_source *from, const char *name, const char *origin, char *why)
{
	int status[2], r;
	pid_t pid;

	if (pipe2(status, O_CLOEXEC)) {
		r = -errno;
		snprintf(why, FORK_WHY, "%s", strerror(-r));
		return r;
	}
	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(be_child(from, name, origin, status[1]));
	r = pid < 0 ? -errno : 0;
	close(status[1]);
	if (r)
		snprintf(why, FORK_WHY, "the launcher cannot fork: %s", strerror(-r));
	else
		r = hear(status[0], why);
	close(status[0]);
	if (pid > 0 && r)
		waitpid(pid, NULL, 0);
	return r ? r : pid;
}

/**
 * fork_share() - whether children inherit a machine's memory
 * @memory: the memory
 * @on: they do, from now on
 * @why: FORK_WHY bytes for a sentence, if it fails
 *
 * Return: 0, or a negative errno.
 */
int fork_share(const struct guest_memory *memory, bool on, char *why)
{
	int r;

	if (memory->page != 4096) {
		snprintf(why, FORK_WHY, "memory in huge pages cannot be shared");
		return -EOPNOTSUPP;
	}
	r = advise(memory, on ? MADV_DOFORK : MADV_DONTFORK);
	if (r)
		snprintf(why, FORK_WHY, "memory cannot be shared: %s", strerror(-r));
	return r;
}

/**
 * machine_fork() - make a second machine
 * @machine: the first, which is paused; by the main thread
 * @name: the second one's
 * @info: an object with the description as "machine"
 * @state: of machine_state_save()
 * @why: FORK_WHY bytes for a sentence, if it fails
 *
 * Return: process of its launcher, or a negative errno: there is no second machine then.
 */
pid_t machine_fork(struct machine *machine, const char *name, const json_t *info, const struct state_buffer *state, char *why)
{
	const struct fork_source from = { &machine->memory, info, state };
	char ignored[FORK_WHY];
	pthread_t reaper;
	pid_t pid;
	int r;

	r = fork_share(&machine->memory, true, why);
	if (r == -EOPNOTSUPP)
		return r;
	pid = r ? r : fork_launcher(&from, name, machine->name, why);
	fork_share(&machine->memory, false, ignored);
	/* If there is no thread for it, what remains of it goes when this launcher does. */
	if (pid > 0 && !pthread_create(&reaper, NULL, reap, (void *)(intptr_t)pid))
		pthread_detach(reaper);
	return pid;
}

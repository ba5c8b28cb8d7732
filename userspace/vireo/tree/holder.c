// SPDX-License-Identifier: GPL-2.0-only
/*
 * Questions are a structure, and runs of pages if it is pages that are wanted; the answer is their content, or a structure. The two
 * are one program in two processes, so neither looks twice at what the other says.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "holder.h"
#include "../memory.h"
#include "../track.h"

enum question_kind {
	QUESTION_PAGES,
	QUESTION_FORK,
};

/**
 * struct question - what the launcher wants
 * @kind: &enum question_kind
 * @nr: runs of pages that follow
 * @name: of the machine that is to be made
 * @origin: what it says of where it is from
 */
struct question {
	uint32_t kind, nr;
	char name[RUNDIR_NAME_MAX + 1];
	char origin[HOLDER_ORIGIN];
};

/**
 * struct fork_answer - what has become of it
 * @pid: process, or a negative errno
 * @why: sentence then
 */
struct fork_answer {
	int32_t pid;
	char why[FORK_WHY];
};

static int take(int fd, void *to, size_t n)
{
	while (n) {
		ssize_t got = read(fd, to, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -EPIPE;
		to = (uint8_t *)to + got;
		n -= (size_t)got;
	}
	return 0;
}

static int give(int fd, const void *from, size_t n)
{
	while (n) {
		ssize_t gone = send(fd, from, n, MSG_NOSIGNAL);

		if (gone < 0 && errno == EINTR)
			continue;
		if (gone < 0)
			return -EPIPE;
		from = (const uint8_t *)from + gone;
		n -= (size_t)gone;
	}
	return 0;
}

/* ---- The holder ---- */

static int answer_pages(int fd, const struct guest_memory *memory, unsigned int nr)
{
	struct holder_run run[HOLDER_RUNS];
	unsigned int i;
	int r;

	r = nr > HOLDER_RUNS ? -EINVAL : take(fd, run, nr * sizeof(run[0]));
	for (i = 0; i < nr && !r; i++)
		r = give(fd, memory->piece[run[i].piece].hva + run[i].first * TRACK_PAGE, run[i].count * TRACK_PAGE);
	return r;
}

static int answer_fork(int fd, const struct fork_source *from, const struct question *question)
{
	struct fork_answer answer = { 0 };

	answer.pid = fork_launcher(from, question->name, question->origin, answer.why);
	return give(fd, &answer, sizeof(answer));
}

/* Pages that are shared with others must not become copies in a huge one. */
static void keep_small(const struct guest_memory *memory)
{
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		madvise(memory->piece[i].hva, memory->piece[i].bytes, MADV_NOHUGEPAGE);
}

static void hold(int fd, const struct fork_source *from)
{
	struct question question;
	sigset_t none;
	int r = 0;

	if (fork_leave(fd))
		return;
	pthread_setname_np(pthread_self(), "snapshot");
	/* Launchers that are made here need nobody to wait for them. */
	signal(SIGCHLD, SIG_IGN);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	keep_small(from->memory);
	while (!r && !take(fd, &question, sizeof(question))) {
		if (question.kind == QUESTION_PAGES)
			r = answer_pages(fd, from->memory, question.nr);
		else
			r = answer_fork(fd, from, &question);
	}
}

/* ---- The launcher ---- */

/**
 * holder_start() - hold memory as it is now
 * @holder: to be filled
 * @from: what there is to hold; its memory is inherited by children (fork_share())
 * @why: FORK_WHY bytes for a sentence, if it fails
 *
 * Return: 0, or a negative errno.
 */
int holder_start(struct holder *holder, const struct fork_source *from, char *why)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		r = -errno;
		snprintf(why, FORK_WHY, "no sockets for a snapshot: %s", strerror(-r));
		return r;
	}
	fflush(NULL);
	holder->pid = fork();
	if (!holder->pid) {
		hold(pair[1], from);
		_exit(0);
	}
	r = holder->pid < 0 ? -errno : 0;
	close(pair[1]);
	holder->fd = pair[0];
	if (r) {
		close(pair[0]);
		snprintf(why, FORK_WHY, "the launcher cannot fork: %s", strerror(-r));
	}
	return r;
}

/**
 * holder_end() - hold it no more
 * @holder: the holder, which may have ended; nobody has waited for it
 */
void holder_end(struct holder *holder)
{
	close(holder->fd);
	kill(holder->pid, SIGKILL);
	waitpid(holder->pid, NULL, 0);
}

/**
 * holder_pages() - what pages were like
 * @holder: who knows
 * @runs: which pages; each at least one
 * @nr: how many runs, HOLDER_RUNS at most
 * @to: where to: all of them without gaps
 *
 * Return: 0; -EPIPE: the holder has ended.
 */
int holder_pages(const struct holder *holder, const struct holder_run *runs, unsigned int nr, void *to)
{
	const struct question question = { .kind = QUESTION_PAGES, .nr = nr };
	uint64_t pages = 0;
	unsigned int i;

	for (i = 0; i < nr; i++)
		pages += runs[i].count;
	return give(holder->fd, &question, sizeof(question)) || give(holder->fd, runs, nr * sizeof(runs[0])) ||
	       take(holder->fd, to, pages * TRACK_PAGE) ? -EPIPE : 0;
}

/**
 * holder_fork() - have it make a machine that goes on from what it holds
 * @holder: the holder
 * @name: of the machine
 * @origin: what the new machine says of where it is from, less than HOLDER_ORIGIN bytes
 * @why: FORK_WHY bytes for a sentence, if it fails
 *
 * Return: process of the new machine's launcher; a negative errno: there is none. -EPIPE: the holder has ended.
 */
pid_t holder_fork(const struct holder *holder, const char *name, const char *origin, char *why)
{
	struct question question = { .kind = QUESTION_FORK };
	struct fork_answer answer;

	snprintf(question.name, sizeof(question.name), "%s", name);
	snprintf(question.origin, sizeof(question.origin), "%s", origin);
	if (give(holder->fd, &question, sizeof(question)) || take(holder->fd, &answer, sizeof(answer))) {
		snprintf(why, FORK_WHY, "the process that held the snapshot has ended");
		return -EPIPE;
	}
	if (answer.pid < 0)
		memcpy(why, answer.why, FORK_WHY);
	return answer.pid;
}

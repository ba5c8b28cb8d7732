/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A process that holds a machine's memory as it was at one moment: a child of the launcher that does nothing but
 * answer. What nobody has written to since is in it once, and in the launcher, and in all others that came from there.
 *
 * It has no file of the launcher but one end of a pair of sockets, and ends when the other one is closed.
 */
#ifndef VIREO_TREE_HOLDER_H
#define VIREO_TREE_HOLDER_H

#include <stdint.h>
#include <sys/types.h>

#include "../fork.h"
#include "../rundir.h"

#define HOLDER_ORIGIN (2 * RUNDIR_NAME_MAX + 2)	/* bytes of NAME@TAG, with its end */

/**
 * struct holder - one, as the launcher has it
 * @pid: the process
 * @fd: the launcher's end
 */
struct holder {
	pid_t pid;
	int fd;
};

/**
 * struct holder_run - pages that follow each other
 * @piece: of memory
 * @pad: 0
 * @first: the first page, from the piece's beginning
 * @count: how many
 */
struct holder_run {
	uint32_t piece, pad;
	uint64_t first, count;
};

#define HOLDER_RUNS 512	/* of one question */

int holder_start(struct holder *holder, const struct fork_source *from, char *why);
void holder_end(struct holder *holder);
int holder_pages(const struct holder *holder, const struct holder_run *runs, unsigned int nr, void *to);
pid_t holder_fork(const struct holder *holder, const char *name, const char *origin, char *why);

#endif /* VIREO_TREE_HOLDER_H */

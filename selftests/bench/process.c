// SPDX-License-Identifier: GPL-2.0-only
/*
 * process: what processes cost, in a Linux guest.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "rows.h"

#define PAGES		1000

/* Programs that run one after the other and side by side, pipes, small files: as in a build. */
static const char mix_script[] =
	"for i in 1 2 3 4; do"
	" /bin/sed -e 's/a/b/' -e /x/d /init | /bin/tr a-z A-Z | /bin/md5sum >/tmp/sum;"
	" /bin/cp /tmp/sum /tmp/copy;"
	" /bin/cat /init /tmp/copy | /bin/sort | /bin/uniq >/tmp/sorted;"
	" /bin/grep -c e /tmp/sorted >/tmp/count;"
	" /bin/dd if=/dev/zero of=/tmp/object bs=4k count=64 2>/dev/null;"
	" /bin/rm /tmp/sum /tmp/copy /tmp/sorted /tmp/count /tmp/object;"
	" done";

static int to_child[2], to_parent[2];

static void wait_for(pid_t pid)
{
	int status;

	check(waitpid(pid, &status, 0) != pid || status, "child");
}

static void fork_exit(void)
{
	pid_t pid = fork();

	check(pid < 0, "fork");
	if (!pid)
		_exit(0);
	wait_for(pid);
}

static void fork_exec(void)
{
	pid_t pid = fork();

	check(pid < 0, "fork");
	if (!pid) {
		execl("/root/tiny", "tiny", NULL);
		_exit(1);
	}
	wait_for(pid);
}

/* There and back: two switches between processes. */
static void ping(void)
{
	char byte = 0;

	check(write(to_child[1], &byte, 1) != 1 || read(to_parent[0], &byte, 1) != 1, "pipe");
}

static void pong(void)
{
	char byte;

	while (read(to_child[0], &byte, 1) == 1 && byte != 'q')
		check(write(to_parent[1], &byte, 1) != 1, "pipe");
	_exit(0);
}

static void touch(void)
{
	volatile char *p = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	check(p == MAP_FAILED, "mmap");
	madvise((void *)p, PAGES * 4096, MADV_NOHUGEPAGE);
	for (i = 0; i < PAGES; i++)
		p[i * 4096UL] = 1;
	munmap((void *)p, PAGES * 4096);
}

static void mix(void)
{
	pid_t pid = fork();

	check(pid < 0, "fork");
	if (!pid) {
		execl("/bin/sh", "sh", "-c", mix_script, NULL);
		_exit(1);
	}
	wait_for(pid);
}

int main(void)
{
	pid_t pid;

	measure("fork", 64, 1, fork_exit);
	measure("exec", 64, 1, fork_exec);
	check(pipe(to_child) || pipe(to_parent), "pipe");
	pid = fork();
	check(pid < 0, "fork");
	if (!pid)
		pong();
	measure("switch", 256, 1, ping);
	check(write(to_child[1], "q", 1) != 1, "pipe");
	wait_for(pid);
	measure("touch", 16, 1, touch);
	measure("mix", 3, 1, mix);
	return 0;
}

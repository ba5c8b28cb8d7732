// SPDX-License-Identifier: GPL-2.0-only
/*
 * process: what processes cost, in a Linux guest. The guest's RDTSC counts what the guest, the
 * hypervisor and its launcher retire in between (see bench.h). Prints rows as bench does, with
 * `guest` for the hypervisor, of which it knows nothing.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGES		1000
#define MAX_SAMPLES	256
#define WARM_UP		4

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

static void check(int bad, const char *what)
{
	if (!bad)
		return;
	perror(what);
	exit(1);
}

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

static int by_value(const void *x, const void *y)
{
	const uint64_t *p = x, *q = y;

	return (*p > *q) - (*p < *q);
}

static void measure(const char *name, unsigned int n, void (*operation)(void))
{
	static uint64_t v[MAX_SAMPLES];
	uint64_t sum = 0, start;
	unsigned int i;

	for (i = 0; i < WARM_UP && i < n; i++)
		operation();
	for (i = 0; i < n; i++) {
		start = __rdtsc();
		operation();
		v[i] = __rdtsc() - start;
		sum += v[i];
	}
	qsort(v, n, sizeof(v[0]), by_value);
	printf("row\tguest\t%s\t%u\t%ju\t%ju\t%ju\t%ju\t%ju\t%ju\n", name, n, (uintmax_t)v[0],
	       (uintmax_t)v[n / 4], (uintmax_t)v[n / 2], (uintmax_t)v[3 * n / 4],
	       (uintmax_t)v[n - 1], (uintmax_t)(sum / n));
	fflush(stdout);
}

int main(void)
{
	pid_t pid;

	measure("fork", 64, fork_exit);
	measure("exec", 64, fork_exec);
	check(pipe(to_child) || pipe(to_parent), "pipe");
	pid = fork();
	check(pid < 0, "fork");
	if (!pid)
		pong();
	measure("switch", 256, ping);
	check(write(to_child[1], "q", 1) != 1, "pipe");
	wait_for(pid);
	measure("touch", 16, touch);
	measure("mix", 3, mix);
	return 0;
}

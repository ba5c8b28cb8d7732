// SPDX-License-Identifier: GPL-2.0-only
/*
 * boot BACKEND LINE COMMAND...: instructions from the start of a launcher until its guest
 * writes something that begins with LINE on the console.  Prints a row as bench does, and the part of it that the
 * guest itself retired; the rest of the console goes to stderr.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

/* What the guest itself had of the processor, by the host's clock tick: seconds. */
static double guest_time(pid_t pid)
{
	unsigned long long ticks = 0;
	char path[64], line[1024];
	const char *p = NULL;
	unsigned int field;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && fgets(line, sizeof(line), f))
		p = strrchr(line, ')');
	/* From the end of the second field to the forty-third */
	for (field = 2; p && field < 43; field++)
		p = strchr(p + 1, ' ');
	if (p)
		ticks = strtoull(p, NULL, 10);
	if (f)
		fclose(f);
	return (double)ticks / sysconf(_SC_CLK_TCK);
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - start->tv_sec + (now.tv_nsec - start->tv_nsec) / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t start, took = 0;
	struct timespec began;
	double guest, rate;
	char line[512];
	int fds[2];
	pid_t pid;
	FILE *f;

	if (argc < 4) {
		fprintf(stderr, "usage: boot BACKEND LINE COMMAND [ARGUMENT ...]\n");
		return 2;
	}
	if (pipe(fds)) {
		perror("pipe");
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &began);
	start = __rdtsc();
	pid = fork();
	if (pid < 0) {
		perror("fork");
		return 1;
	}
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		execvp(argv[3], argv + 3);
		perror(argv[3]);
		_exit(127);
	}
	close(fds[1]);
	f = fdopen(fds[0], "r");
	while (f && !took && fgets(line, sizeof(line), f)) {
		if (strstr(line, argv[2]))
			took = __rdtsc() - start;
		else
			fputs(line, stderr);
	}
	rate = (double)(__rdtsc() - start) / seconds_since(&began);
	guest = guest_time(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!took) {
		printf("failed\t%s\tboot\n", argv[1]);
		return 1;
	}
	printf("row\t%s\tboot\t1\t%ju\t%ju\t%ju\t%ju\t%ju\t%ju\n", argv[1], (uintmax_t)took,
	       (uintmax_t)took, (uintmax_t)took, (uintmax_t)took, (uintmax_t)took, (uintmax_t)took);
	printf("guest\t%s\tboot\t1\t0\t%.0f\n", argv[1], guest * rate);
	return 0;
}

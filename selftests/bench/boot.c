// SPDX-License-Identifier: GPL-2.0-only
/*
 * boot BACKEND LINE COMMAND...: instructions from the start of a launcher until its guest
 * writes something that begins with LINE on the console.  Prints a row as bench does; the rest of the console goes to
 * stderr.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

int main(int argc, char **argv)
{
	uint64_t start, took = 0;
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
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!took) {
		printf("failed\t%s\tboot\n", argv[1]);
		return 1;
	}
	printf("row\t%s\tboot\t1\t%ju\t%ju\t%ju\t%ju\t%ju\t%ju\n", argv[1], (uintmax_t)took,
	       (uintmax_t)took, (uintmax_t)took, (uintmax_t)took, (uintmax_t)took, (uintmax_t)took);
	return 0;
}

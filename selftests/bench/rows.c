// SPDX-License-Identifier: GPL-2.0-only
/*
 * Samples of an operation, sorted, as a row.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <x86intrin.h>
#include "rows.h"

#define MAX_SAMPLES	256
#define WARM_UP		4

void check(int bad, const char *what)
{
	if (!bad)
		return;
	perror(what);
	exit(1);
}

static int by_value(const void *x, const void *y)
{
	const uint64_t *p = x, *q = y;

	return (*p > *q) - (*p < *q);
}

/*
 * Somebody outside traces what happens between the two marks (trace.c), and answers when they have begun, and ended.
 */
#define TRACED_SAMPLES	64

static void mark(const char *what, const char *name, unsigned int n)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(TRACE_PORT) };
	struct timeval patience = { .tv_sec = 300 };
	static int fd = -1;
	char data[128];
	int length;

	if (fd < 0) {
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		check(inet_pton(AF_INET, getenv("TRACED"), &to.sin_addr) != 1, "TRACED");
		check(fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)), "udp");
		check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), "udp");
	}
	length = snprintf(data, sizeof(data), "%s %s %u", what, name, n);
	check(send(fd, data, length, 0) != length || recv(fd, data, sizeof(data), 0) != length, what);
}

static void trace(const char *name, unsigned int n, unsigned int parts, void (*operation)(void))
{
	unsigned int i;

	if (n > TRACED_SAMPLES)
		n = TRACED_SAMPLES;
	for (i = 0; i < WARM_UP; i++)
		operation();
	mark("begin", name, n * parts);
	for (i = 0; i < n; i++)
		operation();
	mark("end", name, n * parts);
}

void measure(const char *name, unsigned int samples, unsigned int parts, void (*operation)(void))
{
	static uint64_t v[MAX_SAMPLES];
	uint64_t sum = 0, start;
	unsigned int i, n = samples;

	if (getenv("TRACED")) {
		trace(name, n, parts, operation);
		return;
	}
	for (i = 0; i < WARM_UP && i < n; i++)
		operation();
	for (i = 0; i < n; i++) {
		start = __rdtsc();
		operation();
		v[i] = (__rdtsc() - start) / parts;
		sum += v[i];
	}
	qsort(v, n, sizeof(v[0]), by_value);
	printf("row\tguest\t%s\t%u\t%ju\t%ju\t%ju\t%ju\t%ju\t%ju\n", name, n, (uintmax_t)v[0],
	       (uintmax_t)v[n / 4], (uintmax_t)v[n / 2], (uintmax_t)v[3 * n / 4],
	       (uintmax_t)v[n - 1], (uintmax_t)(sum / n));
	fflush(stdout);
}

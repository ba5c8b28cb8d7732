// SPDX-License-Identifier: GPL-2.0-only
/*
 * trace: how much a guest itself retires, from a trace of its entries and exits in the host.
 *
 *	trace serve NAME ENTER EXIT		begin and end as the guest of NAME asks by UDP (rows.c)
 *	trace sum NAME ROW COUNT ENTER EXIT	of the trace as it is, of COUNT operations
 *
 * ENTER and EXIT are events; the trace's clock counts TSC ticks, which are instructions. Prints
 *
 *	guest NAME ROW OPERATIONS EXITS INSTRUCTIONS
 *
 * where what the events themselves take is in the instructions, for `report` to take off. The guest goes on
 * when its datagram is answered: no mark can be missed, however long the sums take.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rows.h"

#define TRACING "/sys/kernel/tracing/"

static void tracing(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_TRUNC);

	check(fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd), file);
}

/* The number before @event, which comes behind " TIME: " */
static int is_event(const char *line, const char *event, uint64_t *time)
{
	char text[64];
	const char *p;

	snprintf(text, sizeof(text), ": %s: ", event);
	p = strstr(line, text);
	if (!p)
		return 0;
	while (p > line && p[-1] != ' ')
		p--;
	*time = strtoull(p, NULL, 10);
	return 1;
}

static void sum(const char *name, const char *row, const char *count, const char *enter, const char *leave)
{
	uint64_t time, entered = 0, inside = 0, exits = 0, kept = 0, written = 0;
	FILE *f = fopen(TRACING "trace", "r");
	char line[512];

	check(!f, "trace");
	while (fgets(line, sizeof(line), f)) {
		const char *entries = strstr(line, "entries-written: ");

		if (*line == '#') {
			if (entries && sscanf(entries, "entries-written: %ju/%ju", &kept, &written) != 2)
				kept = 0;
		} else if (is_event(line, enter, &time)) {
			entered = time;
		} else if (is_event(line, leave, &time) && entered) {
			inside += time - entered;
			exits++;
			entered = 0;
		}
	}
	fclose(f);
	if (kept != written)
		printf("failed\t%s\t%s\n", name, row);
	else
		printf("guest\t%s\t%s\t%s\t%ju\t%ju\n", name, row, count, (uintmax_t)exits, (uintmax_t)inside);
	fflush(stdout);
}

static void serve(const char *name, const char *enter, const char *leave)
{
	struct sockaddr_in from, here = { .sin_family = AF_INET, .sin_port = htons(TRACE_PORT) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char data[128], what[8], row[64], count[16];

	check(fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)), "udp");
	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data) - 1, 0, (struct sockaddr *)&from, &length);

		check(n < 0, "udp");
		data[n] = '\0';
		if (sscanf(data, "%7s %63s %15s", what, row, count) != 3)
			continue;
		if (!strcmp(what, "begin")) {
			tracing(TRACING "trace", "");
			tracing(TRACING "tracing_on", "1");
		} else {
			tracing(TRACING "tracing_on", "0");
			sum(name, row, count, enter, leave);
		}
		check(sendto(fd, data, n, 0, (struct sockaddr *)&from, length) != n, "udp");
	}
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "serve")) {
		serve(argv[2], argv[3], argv[4]);
	} else if (argc == 7 && !strcmp(argv[1], "sum")) {
		sum(argv[2], argv[3], argv[4], argv[5], argv[6]);
	} else {
		fprintf(stderr, "usage: trace serve NAME ENTER EXIT | trace sum NAME ROW COUNT ENTER EXIT\n");
		return 2;
	}
	return 0;
}

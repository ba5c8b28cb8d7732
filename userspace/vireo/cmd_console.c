// SPDX-License-Identifier: GPL-2.0-only
/*
 * vireo console: after the reply to "console" the socket carries what the serial port says and hears,
 * as it is.
 *
 * On a terminal Ctrl-A x leaves. The machine goes on: it is not this process that it belongs to.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "terminal.h"
#include "util.h"

#define ESCAPE 0x01	/* Ctrl-A */

static const char help_text[] =
"Usage: vireo console NAME\n"
"Connect to the serial port of a machine: what it prints from now on is shown,\n"
"what is typed goes to it. Several may do so at the same time.\n"
"\n"
"  --help     this text\n"
"\n"
"On a terminal, Ctrl-A x leaves and the machine goes on; Ctrl-A Ctrl-A types\n"
"Ctrl-A. Otherwise it stays until the machine ends.\n";

static void end_by(int sig)
{
	terminal_restore();
	_exit(128 + sig);
}

static bool write_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		bytes += done;
		n -= (size_t)done;
	}
	return true;
}

/* Take Ctrl-A and what follows it out; returns false to leave. */
static bool filter(char *bytes, size_t *n, bool *escaped)
{
	size_t i, kept = 0;

	for (i = 0; i < *n; i++) {
		if (!*escaped && bytes[i] == ESCAPE) {
			*escaped = true;
			continue;
		}
		if (*escaped && (bytes[i] == 'x' || bytes[i] == 'X'))
			return false;
		if (!*escaped)
			bytes[kept++] = bytes[i];
		else if (bytes[i] == ESCAPE || bytes[i] == 'a')
			bytes[kept++] = ESCAPE;
		*escaped = false;
	}
	*n = kept;
	return true;
}

static int pump(struct client_link *link, bool keys)
{
	struct pollfd fds[] = {
		{ .fd = link->fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};
	bool escaped = false;
	char bytes[4096];
	ssize_t n;
	size_t len;

	/* What came right behind the reply. */
	if (!write_all(STDOUT_FILENO, link->line, link->len))
		return EXIT_FAULT;
	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return EXIT_FAULT;
		if (fds[0].revents) {
			n = read(link->fd, bytes, sizeof(bytes));
			if (n <= 0)
				return EXIT_OK;
			if (!write_all(STDOUT_FILENO, bytes, (size_t)n))
				return EXIT_FAULT;
		}
		if (fds[1].revents) {
			n = read(STDIN_FILENO, bytes, sizeof(bytes));
			if (n <= 0) {
				fds[1].fd = -1;
				continue;
			}
			len = (size_t)n;
			if (keys && !filter(bytes, &len, &escaped))
				return EXIT_OK;
			if (!write_all(link->fd, bytes, len))
				return EXIT_OK;
		}
	}
}

static const struct command_syntax syntax = { help_text, NULL, COMMAND_ONE_MACHINE, 1, 1 };

static int run(int argc, char **argv)
{
	struct client_link link;
	bool keys = isatty(STDIN_FILENO);
	int r = command_arguments(argc, argv, &syntax);

	if (r >= 0)
		return r;
	r = client_connect(&link, argv[optind]);
	if (r)
		return r;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, end_by);
	signal(SIGHUP, end_by);
	r = client_request(&link, json_pack("{s:s}", "command", "console"), NULL);
	if (!r && keys && terminal_raw(STDIN_FILENO)) {
		report_error("the terminal cannot be set");
		r = EXIT_FAULT;
	}
	if (!r)
		r = pump(&link, keys);
	terminal_restore();
	client_disconnect(&link);
	return r;
}

VIREO_COMMAND("console", "connect to a machine's serial port", run);

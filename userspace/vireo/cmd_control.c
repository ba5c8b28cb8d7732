// SPDX-License-Identifier: GPL-2.0-only
/* vireo control: requests as they are, for scripts and for the curious. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo control [OPTION] NAME REQUEST...\n"
"Send requests, each a JSON object, to a machine's control socket, and print\n"
"the replies.\n"
"\n"
"  --follow   then print events until the machine ends\n"
"  --help     this text\n"
"\n"
"For example: vireo control --follow NAME '{\"command\":\"events\"}'\n";

/* Returns false if it was the reply to a request, and an error. */
static bool print(const json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);

	if (text) {
		printf("%s\n", text);
		fflush(stdout);
	}
	free(text);
	return !json_object_get(object, "error");
}

/* Ends after the reply. Returns an exit status. */
static int ask(struct client_link *link, const char *request)
{
	bool good = true, reply = false;
	json_t *object;

	if (strchr(request, '\n')) {
		report_error("a request is one line");
		return EXIT_USAGE;
	}
	if (client_send(link, request) || client_send(link, "\n"))
		return EXIT_FAULT;
	while (!reply) {
		object = client_receive(link, CLIENT_FOREVER, NULL);
		if (!object)
			return EXIT_FAULT;
		reply = !json_object_get(object, "event");
		good = print(object);
		json_decref(object);
	}
	return good ? EXIT_OK : EXIT_FAULT;
}

static int control(int nr, char **argv, bool follow)
{
	struct client_link link;
	int r, status, i;
	json_t *object;

	status = client_connect(&link, argv[0]);
	if (status)
		return status;
	for (i = 1; i < nr; i++) {
		r = ask(&link, argv[i]);
		if (r)
			status = r;
	}
	while (follow && (object = client_receive(&link, CLIENT_FOREVER, NULL))) {
		print(object);
		json_decref(object);
	}
	client_disconnect(&link);
	return status;
}

static int run(int argc, char **argv)
{
	bool follow = false;
	const struct command_option options[] = { { "follow", NULL, &follow }, { NULL, NULL, NULL } };
	const struct command_syntax syntax = {
		help_text, options, "the name of a machine and a request are needed", 2, INT_MAX,
	};
	int r = command_arguments(argc, argv, &syntax);

	return r < 0 ? control(argc - optind, argv + optind, follow) : r;
}

VIREO_COMMAND("control", "send requests to a machine's control socket", run);

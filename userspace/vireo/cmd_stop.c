// SPDX-License-Identifier: GPL-2.0-only
/* vireo stop: the power button, and if that does not help, the plug. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

#define TIMEOUT_DEFAULT	90

static const char help_text[] =
"Usage: vireo stop [OPTION]... NAME\n"
"Press a machine's power button, wait until it has switched itself off, and\n"
"end it if it does not.\n"
"\n"
"  --timeout S  seconds to wait before it is ended (default: 90)\n"
"  --hard       end it at once\n"
"  --help       this text\n";

static int stop(const char *name, bool hard, uint64_t timeout)
{
	struct client_link link;
	json_t *request;
	int r;

	r = client_connect(&link, name);
	if (r)
		return r;
	if (hard)
		request = json_pack("{s:s,s:b}", "command", "stop", "hard", 1);
	else
		request = json_pack("{s:s,s:I}", "command", "stop", "timeout", (json_int_t)timeout);
	r = client_request(&link, json_pack("{s:s}", "command", "events"), NULL);
	if (!r)
		r = client_request(&link, request, NULL);
	else
		json_decref(request);
	if (!r)
		client_wait_end(&link);
	client_disconnect(&link);
	return r;
}

static int run(int argc, char **argv)
{
	uint64_t timeout = TIMEOUT_DEFAULT;
	bool hard = false;
	const struct command_option options[] = {
		{ "timeout", command_seconds, &timeout },
		{ "hard", NULL, &hard },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, COMMAND_ONE_MACHINE, 1, 1 };
	int r = command_arguments(argc, argv, &syntax);

	return r < 0 ? stop(argv[optind], hard, timeout) : r;
}

VIREO_COMMAND("stop", "switch a machine off: its power button, then the plug", run);

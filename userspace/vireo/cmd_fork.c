// SPDX-License-Identifier: GPL-2.0-only
/* vireo fork: a second machine from one that runs. */
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo fork --name CHILD NAME\n"
"Make a second machine from one that runs or is paused. Both go on from where it\n"
"is; memory is shared until one of them writes to it. What cannot be shared, like\n"
"a disk that the machine may write to, must not be there.\n"
"\n"
"  --name CHILD  the second one's name\n"
"  --help        this text\n";

static int run(int argc, char **argv)
{
	const char *child = NULL;
	const struct command_option options[] = {
		{ "name", command_machine_name, &child },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, "the name of one machine is needed", 1, 1 };
	int r = command_arguments(argc, argv, &syntax);
	json_t *result = NULL;
	struct client_link link;

	if (r >= 0)
		return r;
	if (!child) {
		report_error("the second machine needs a name (--name)");
		return EXIT_USAGE;
	}
	r = client_connect(&link, argv[optind]);
	if (r)
		return r;
	r = client_request(&link, json_pack("{s:s,s:s}", "command", "fork", "name", child), &result);
	if (!r)
		printf("%s: process %lld\n", child, (long long)json_integer_value(json_object_get(result, "pid")));
	json_decref(result);
	client_disconnect(&link);
	return r;
}

VIREO_COMMAND("fork", "make a second machine from one that runs", run);

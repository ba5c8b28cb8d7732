// SPDX-License-Identifier: GPL-2.0-only
/* vireo fork: a second machine from one that runs. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo fork --name CHILD NAME[@TAG]\n"
"Make a second machine from one that runs or is paused, or from its snapshot TAG.\n"
"Memory is shared until one of them writes to it. What cannot be shared, like a\n"
"disk that the machine may write to, must not be there.\n"
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
	json_t *request, *result = NULL;
	struct client_link link;
	const char *tag;
	char *at;

	if (r >= 0)
		return r;
	if (!child) {
		report_error("the second machine needs a name (--name)");
		return EXIT_USAGE;
	}
	at = strchr(argv[optind], '@');
	if (at) {
		*at = '\0';
		if (command_machine_name(at + 1, &tag))
			return EXIT_USAGE;
	}
	r = client_connect(&link, argv[optind]);
	if (r)
		return r;
	request = json_pack("{s:s,s:s}", "command", "fork", "name", child);
	if (at)
		json_object_set_new(request, "tag", json_string(tag));
	r = client_request(&link, request, &result);
	if (!r)
		printf("%s: process %lld\n", child, (long long)json_integer_value(json_object_get(result, "pid")));
	json_decref(result);
	client_disconnect(&link);
	return r;
}

VIREO_COMMAND("fork", "make a second machine from one that runs", run);

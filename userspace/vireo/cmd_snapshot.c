// SPDX-License-Identifier: GPL-2.0-only
/* vireo snapshot: remember how a machine is, or forget it. */
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo snapshot NAME TAG\n"
"       vireo snapshot --delete TAG NAME\n"
"Remember how a machine is, to go back to (vireo rollback), or to have others go on from (vireo fork).\n"
"Memory is shared until somebody writes to it.\n"
"\n"
"  --delete TAG  forget it; those that were taken after it stay\n"
"  --help        this text\n";

static int run(int argc, char **argv)
{
	const char *tag = NULL, *command = "snapshot-delete";
	const struct command_option options[] = {
		{ "delete", command_machine_name, &tag },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = {
		help_text, options, "the names of a machine and, without --delete, of a snapshot are needed", 1, 2
	};
	int r = command_arguments(argc, argv, &syntax);
	struct client_link link;

	if (r >= 0)
		return r;
	if ((argc - optind == 1) != !!tag) {
		report_error("%s; see \"vireo snapshot --help\"", syntax.words);
		return EXIT_USAGE;
	}
	if (!tag) {
		if (command_machine_name(argv[optind + 1], &tag))
			return EXIT_USAGE;
		command = "snapshot";
	}
	r = client_connect(&link, argv[optind]);
	if (r)
		return r;
	r = client_request(&link, json_pack("{s:s,s:s}", "command", command, "tag", tag), NULL);
	client_disconnect(&link);
	return r;
}

VIREO_COMMAND("snapshot", "remember how a machine is", run);

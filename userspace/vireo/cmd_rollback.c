// SPDX-License-Identifier: GPL-2.0-only
/* vireo rollback: a machine goes on from one of its snapshots. */
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo rollback NAME TAG\n"
"Make a machine what it was at its snapshot TAG, which stays and can be gone back to again.\n"
"What it has done since is lost, but for what other snapshots have of it.\n"
"\n"
"  --help     this text\n";

static int run(int argc, char **argv)
{
	const struct command_syntax syntax = { help_text, NULL, "the names of a machine and of a snapshot are needed", 2, 2 };
	int r = command_arguments(argc, argv, &syntax);
	struct client_link link;
	const char *tag;

	if (r >= 0)
		return r;
	if (command_machine_name(argv[optind + 1], &tag))
		return EXIT_USAGE;
	r = client_connect(&link, argv[optind]);
	if (r)
		return r;
	r = client_request(&link, json_pack("{s:s,s:s}", "command", "rollback", "tag", tag), NULL);
	client_disconnect(&link);
	return r;
}

VIREO_COMMAND("rollback", "go back to a snapshot", run);

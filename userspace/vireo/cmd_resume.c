// SPDX-License-Identifier: GPL-2.0-only
/* vireo resume: let a paused machine go on. */
#include <unistd.h>

#include "client.h"
#include "command.h"

static const char help_text[] =
"Usage: vireo resume NAME\n"
"Ends a pause, whoever asked for it: \"vireo pause\", or a full host disk.\n"
"\n"
"  --help     this text\n";

static const struct command_syntax syntax = { help_text, NULL, COMMAND_ONE_MACHINE, 1, 1 };

static int run(int argc, char **argv)
{
	int r = command_arguments(argc, argv, &syntax);

	return r < 0 ? client_command(argv[optind], "resume") : r;
}

VIREO_COMMAND("resume", "let a paused machine go on", run);

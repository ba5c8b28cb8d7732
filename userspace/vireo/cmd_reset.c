// SPDX-License-Identifier: GPL-2.0-only
/* vireo reset: reset a machine, as its button would. */
#include <unistd.h>

#include "client.h"
#include "command.h"

static const char help_text[] =
"Usage: vireo reset NAME\n"
"The guest is not asked. What it has not written to its disks is lost.\n"
"\n"
"  --help     this text\n";

static const struct command_syntax syntax = { help_text, NULL, COMMAND_ONE_MACHINE, 1, 1 };

static int run(int argc, char **argv)
{
	int r = command_arguments(argc, argv, &syntax);

	return r < 0 ? client_command(argv[optind], "reset") : r;
}

VIREO_COMMAND("reset", "reset a machine, as its button would", run);

// SPDX-License-Identifier: GPL-2.0-only
/* vireo reset: reset a machine, as its button would. */
#include "client.h"
#include "command.h"

static const char help_text[] =
"Usage: vireo reset NAME\n"
"The guest is not asked. What it has not written to its disks is lost.\n"
"\n"
"  --help     this text\n";

static int run(int argc, char **argv)
{
	int r = client_arguments(argc, argv, help_text);

	return r < 0 ? client_command(argv[argc - 1], "reset") : r;
}

VIREO_COMMAND("reset", "reset a machine, as its button would", run);

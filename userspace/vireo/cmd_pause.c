// SPDX-License-Identifier: GPL-2.0-only
/* vireo pause: let a machine rest. */
#include <unistd.h>

#include "client.h"
#include "command.h"

static const char help_text[] =
"Usage: vireo pause NAME\n"
"No processor runs, no device works and no time passes for it, until\n"
"\"vireo resume\". Returns when that is so.\n"
"\n"
"  --help     this text\n";

static const struct command_syntax syntax = { help_text, NULL, COMMAND_ONE_MACHINE, 1, 1 };

static int run(int argc, char **argv)
{
	int r = command_arguments(argc, argv, &syntax);

	return r < 0 ? client_command(argv[optind], "pause") : r;
}

VIREO_COMMAND("pause", "let a machine rest", run);

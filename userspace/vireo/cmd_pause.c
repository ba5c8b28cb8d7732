// SPDX-License-Identifier: GPL-2.0-only
/* vireo pause: let a machine rest. */
#include "client.h"
#include "command.h"

static const char help_text[] =
"Usage: vireo pause NAME\n"
"No processor runs, no device works and no time passes for it, until\n"
"\"vireo resume\". Returns when that is so.\n"
"\n"
"  --help     this text\n";

static int run(int argc, char **argv)
{
	int r = client_arguments(argc, argv, help_text);

	return r < 0 ? client_command(argv[argc - 1], "pause") : r;
}

VIREO_COMMAND("pause", "let a machine rest", run);

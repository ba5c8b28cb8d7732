// SPDX-License-Identifier: GPL-2.0-only
/* vireo resume: let a paused machine go on. */
#include "client.h"
#include "command.h"

static const char help_text[] =
"Usage: vireo resume NAME\n"
"Ends a pause, whoever asked for it: \"vireo pause\", or a full host disk.\n"
"\n"
"  --help     this text\n";

static int run(int argc, char **argv)
{
	int r = client_arguments(argc, argv, help_text);

	return r < 0 ? client_command(argv[argc - 1], "resume") : r;
}

VIREO_COMMAND("resume", "let a paused machine go on", run);

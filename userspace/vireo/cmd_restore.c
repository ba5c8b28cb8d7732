// SPDX-License-Identifier: GPL-2.0-only
/* vireo restore: a machine goes on from a file. */
#include <unistd.h>

#include "command.h"
#include "description.h"
#include "machine.h"
#include "machine_state.h"
#include "saved/open.h"

static const char help_text[] =
"Usage: vireo restore [OPTION]... FILE\n"
"Make the machine that \"vireo save\" has written to FILE, let it go on, and stay\n"
"until it ends. A file that is not whole is refused, and nothing is started.\n"
"\n"
"  --name NAME      another name\n"
"  --console WHERE  another place for the serial port, as with \"vireo run\"\n"
"  --pause          paused, until \"vireo resume\"\n"
"  --help           this text\n";

/**
 * struct restoring - a file and its name
 * @path: for messages
 * @file: what is in it
 */
struct restoring {
	const char *path;
	struct saved_file file;
};

static int load(struct machine *machine, void *opaque)
{
	char why[MACHINE_STATE_WHY > SAVED_WHY ? MACHINE_STATE_WHY : SAVED_WHY];
	struct restoring *restoring = opaque;
	struct saved_file *file = &restoring->file;

	machine_told(machine, VIREO_REPORT_RESTORE, "begin", 0, 0, NULL);
	if (machine_state_check(machine, file->state, file->state_len, why) ||
	    saved_read_memory(file, &machine->memory, why) ||
	    machine_state_load(machine, file->state, file->state_len, why)) {
		machine_told(machine, VIREO_REPORT_RESTORE, "failed", 0, 0, why);
		report_error("%s: %s", restoring->path, why);
		return EXIT_FAULT;
	}
	machine_told(machine, VIREO_REPORT_RESTORE, "done", 0, 0, NULL);
	return 0;
}

static int restore(struct restoring *restoring, const char *name, const char *console, bool paused)
{
	const struct machine_source source = { load, restoring, true, paused, NULL };
	struct machine_config config;
	struct config_file options;
	int r;

	r = description_parse(&config, &options, restoring->path, json_object_get(restoring->file.info, "machine"));
	if (!r && config.memory != restoring->file.memory) {
		report_error("%s: the file has memory of another size than it describes", restoring->path);
		r = EXIT_USAGE;
	}
	if (!r) {
		config.source = &source;
		if (name)
			config.name = name;
		if (console)
			config.console = console;
		r = machine_run(&config);
	}
	description_free(&config, &options);
	return r;
}

/* What may stand there, the console itself says. */
static int read_console(const char *text, void *out)
{
	*(const char **)out = text;
	return 0;
}

static int run(int argc, char **argv)
{
	const char *name = NULL, *console = NULL;
	bool paused = false;
	const struct command_option options[] = {
		{ "name", command_machine_name, &name },
		{ "console", read_console, &console },
		{ "pause", NULL, &paused },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, "one file is needed", 1, 1 };
	int r = command_arguments(argc, argv, &syntax);
	struct restoring restoring;

	if (r >= 0)
		return r;
	restoring.path = argv[optind];
	r = saved_open(&restoring.file, restoring.path);
	if (r)
		return r;
	r = restore(&restoring, name, console, paused);
	saved_close(&restoring.file);
	return r;
}

VIREO_COMMAND("restore", "let a machine go on from a file", run);

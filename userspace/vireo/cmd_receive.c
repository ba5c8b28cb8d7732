// SPDX-License-Identifier: GPL-2.0-only
/* vireo receive: wait for a machine that moves, and be its launcher. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "description.h"
#include "machine.h"
#include "util.h"
#include "migrate/migration.h"

static const char help_text[] =
"Usage: vireo receive [OPTION]... ADDRESS [-- RUN-OPTION...]\n"
"Wait at ADDRESS for a machine (\"vireo migrate\"), make one like it, and run it\n"
"when it has come: tcp:HOST:PORT, unix:PATH, exec:COMMAND or stdio.\n"
"\n"
"  --name NAME      name of the machine here (default: as there)\n"
"  --console WHERE  its serial port, as of \"vireo run\" (default: as there)\n"
"  --timeout S      the connection counts as lost after so long (default: 30)\n"
"  --tls WHAT       encrypt: psk:FILE or x509:DIRECTORY\n"
"  --help           this text\n"
"\n"
"The files that the machine is made of are looked for where they are there. With\n"
"options of \"vireo run\" behind \"--\" the machine is made by those alone.\n";

static int read_text(const char *text, void *out)
{
	*(const char **)out = text;
	return 0;
}

static int receive(const struct migration_receive *want, int argc, char **argv)
{
	struct migration_receive given = *want;
	struct machine_config config;
	struct config_file file;
	int r;

	r = description_options(&config, &file, argc, argv);
	if (!r) {
		if (want->name)
			config.name = want->name;
		if (want->console)
			config.console = want->console;
		given.config = &config;
		r = migration_receive(&given);
	}
	description_free(&config, &file);
	return r;
}

static int run(int argc, char **argv)
{
	struct migration_receive want = { 0 };
	uint64_t timeout = LINK_TIMEOUT_MS / 1000;
	const struct command_option options[] = {
		{ "name", command_machine_name, &want.name },
		{ "console", read_text, &want.console },
		{ "timeout", command_seconds, &timeout },
		{ "tls", read_text, &want.tls },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, "an address is needed", 1, 1 };
	int own = 0, r;

	while (own < argc && strcmp(argv[own], "--"))
		own++;
	r = command_arguments(own, argv, &syntax);
	if (r >= 0)
		return r;
	if (!timeout) {
		report_error("a timeout is at least a second");
		return EXIT_USAGE;
	}
	want.from = argv[optind];
	want.timeout_ms = (unsigned int)timeout * 1000;
	/* "--" stands where those options expect their command's name. */
	return own < argc ? receive(&want, argc - own, argv + own) : migration_receive(&want);
}

VIREO_COMMAND("receive", "wait for a machine that moves, and run it", run);

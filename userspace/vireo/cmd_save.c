// SPDX-License-Identifier: GPL-2.0-only
/* vireo save: put a machine into a file. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo save [OPTION]... NAME FILE\n"
"Write a machine, with its memory, to a file from which \"vireo restore\" lets\n"
"it go on, and end it. If it cannot be written, the machine goes on.\n"
"\n"
"  --continue  it goes on afterwards, unless it was paused. Its disks then differ\n"
"              from those that the file's machine knows: see vireo-save(1)\n"
"  --pause     it is paused afterwards\n"
"  --help      this text\n";

/* The launcher writes the file, wherever that was started. */
static char *absolute(const char *path)
{
	char *cwd = *path == '/' ? NULL : getcwd(NULL, 0), *text;

	if (asprintf(&text, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", path) < 0)
		text = NULL;
	free(cwd);
	return text;
}

static void tell(const json_t *result, const char *path)
{
	double saved = (double)json_integer_value(json_object_get(result, "memory-saved")) / MIB;
	double bytes = (double)json_integer_value(json_object_get(result, "bytes")) / MIB;

	printf("%s: %.1f MiB, for %.0f of %lld MiB of memory\n", path, bytes, saved,
	       (long long)(json_integer_value(json_object_get(result, "memory")) / (json_int_t)MIB));
}

static int save(const char *name, const char *path, const char *then)
{
	json_t *result = NULL, *request;
	char *full = absolute(path);
	struct client_link link;
	int r;

	r = client_connect(&link, name);
	if (r) {
		free(full);
		return r;
	}
	request = full ? json_pack("{s:s,s:s,s:s}", "command", "save", "path", full, "then", then) : NULL;
	free(full);
	if (!request) {
		report_error("%s: the path is not UTF-8", path);
		client_disconnect(&link);
		return EXIT_USAGE;
	}
	r = client_request(&link, json_pack("{s:s}", "command", "events"), NULL);
	if (!r)
		r = client_request(&link, request, &result);
	else
		json_decref(request);
	if (!r)
		tell(result, path);
	json_decref(result);
	if (!r && !strcmp(then, "stop"))
		client_wait_end(&link);
	client_disconnect(&link);
	return r;
}

static int run(int argc, char **argv)
{
	bool go_on = false, pause = false;
	const struct command_option options[] = {
		{ "continue", NULL, &go_on },
		{ "pause", NULL, &pause },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = {
		help_text, options, "the name of one machine and a file are needed", 2, 2,
	};
	int r = command_arguments(argc, argv, &syntax);

	if (r >= 0)
		return r;
	if (go_on && pause) {
		report_error("--continue and --pause: only one of them; see \"vireo save --help\"");
		return EXIT_USAGE;
	}
	return save(argv[optind], argv[optind + 1], go_on ? "continue" : pause ? "pause" : "stop");
}

VIREO_COMMAND("save", "write a machine to a file, and end it", run);

// SPDX-License-Identifier: GPL-2.0-only
/*
 * vireo list: asks every socket in the directory. One that nobody listens at is left over from a launcher
 * that was killed; it is not shown, and the next machine of that name replaces it.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "rundir.h"
#include "util.h"

#define ANSWER_MS 2000		/* a launcher that is stopped (Ctrl-Z) does not answer */

static const char help_text[] =
"Usage: vireo list [--json]\n"
"List the machines of this user that run.\n"
"\n"
"  --json     as a JSON array\n"
"  --help     this text\n";

/* The result of a question, or NULL. */
static json_t *ask(struct client_link *link, const char *what)
{
	char text[64];
	bool timed_out;
	json_t *reply, *result;

	snprintf(text, sizeof(text), "{\"command\":\"query\",\"what\":\"%s\"}\n", what);
	if (client_send(link, text))
		return NULL;
	reply = client_receive(link, ANSWER_MS, &timed_out);
	result = reply ? json_incref(json_object_get(reply, "result")) : NULL;
	json_decref(reply);
	return result;
}

/* What is known of a machine; NULL if there is none behind the socket. */
static json_t *describe(const char *dir, const char *name)
{
	json_t *machine, *config;
	struct client_link link;

	if (client_connect_in(&link, dir, name))
		return NULL;
	machine = ask(&link, "status");
	if (machine) {
		config = ask(&link, "config");
		json_object_set(machine, "cpus", json_object_get(config, "cpus"));
		json_object_set(machine, "memory", json_object_get(config, "memory"));
		json_decref(config);
	} else {
		machine = json_pack("{s:s,s:s}", "name", name, "state", "not answering");
	}
	client_disconnect(&link);
	return machine;
}

static int is_socket(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && !strcmp(dot, ".sock");
}

static json_t *collect(const char *dir)
{
	json_t *list = json_array(), *machine;
	struct dirent **entries;
	int i, n;

	n = scandir(dir, &entries, is_socket, alphasort);
	if (n < 0)
		return list;
	for (i = 0; i < n; i++) {
		*strrchr(entries[i]->d_name, '.') = '\0';
		machine = rundir_name_valid(entries[i]->d_name) ? describe(dir, entries[i]->d_name) : NULL;
		if (machine)
			json_array_append_new(list, machine);
		free(entries[i]);
	}
	free(entries);
	return list;
}

static const char *text_of(const json_t *machine, const char *member)
{
	const char *text = json_string_value(json_object_get(machine, member));

	return text ? text : "-";
}

static void print_text(const json_t *list)
{
	const json_t *machine;
	json_int_t bytes;
	char state[64];
	size_t i;

	printf("%-20s %7s %4s %8s  %s\n", "NAME", "PID", "CPUS", "MEMORY", "STATE");
	json_array_foreach(list, i, machine) {
		snprintf(state, sizeof(state), "%s", text_of(machine, "state"));
		if (json_object_get(machine, "reason"))
			snprintf(state, sizeof(state), "%.20s (%.30s)", text_of(machine, "state"),
				 text_of(machine, "reason"));
		bytes = json_integer_value(json_object_get(machine, "memory"));
		printf("%-20s %7lld %4lld %7lldM  %s\n", text_of(machine, "name"),
		       (long long)json_integer_value(json_object_get(machine, "pid")),
		       (long long)json_integer_value(json_object_get(machine, "cpus")),
		       (long long)(bytes / (json_int_t)MIB), state);
	}
}

static int run(int argc, char **argv)
{
	char dir[sizeof(((struct rundir_claim *)0)->dir)];
	bool json = false;
	const struct command_option options[] = { { "json", NULL, &json }, { NULL, NULL, NULL } };
	const struct command_syntax syntax = { help_text, options, NULL, 0, 0 };
	int r = command_arguments(argc, argv, &syntax);
	const char *why;
	json_t *list;

	if (r >= 0)
		return r;
	if (rundir_path(dir, sizeof(dir), &why)) {
		report_error("the machines cannot be found: %s", why);
		return EXIT_FAULT;
	}
	list = collect(dir);
	if (json) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		print_text(list);
	}
	json_decref(list);
	return EXIT_OK;
}

VIREO_COMMAND("list", "list the machines that run", run);

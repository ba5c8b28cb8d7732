// SPDX-License-Identifier: GPL-2.0-only
/*
 * vireo list: asks every socket in the directory. One that nobody listens at is left over from a launcher
 * that was killed; it is not shown, and the next machine of that name replaces it. The module knows all VMs, also those that
 * other launchers have made: what it says is added.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "rundir.h"
#include "monitor/family.h"
#include "monitor/names.h"
#include "monitor/text.h"
#include "util.h"

#define ANSWER_MS 2000		/* a launcher that is stopped (Ctrl-Z) does not answer */

static const char help_text[] =
"Usage: vireo list [--json]\n"
"List the machines of this user that run, and other VMs that the module lets this user see.\n"
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

/* Is it the machine of that control socket? Of other PID namespaces, the name must do. */
static bool is_machine(const json_t *machine, const struct monitor_vm *vm)
{
	return !strcmp(text_of(machine, "name"), vm->name) && !json_object_get(machine, "vm") &&
	       (!vm->pid || !json_object_get(machine, "pid") ||
		json_integer_value(json_object_get(machine, "pid")) == vm->pid);
}

static json_t *machine_of(const json_t *list, const struct monitor_vm *vm)
{
	json_t *machine;
	size_t i;

	json_array_foreach(list, i, machine)
		if (is_machine(machine, vm))
			return machine;
	return NULL;
}

/* What the module knows; nothing without one. */
static void add_vms(json_t *list)
{
	struct monitor_vms vms = { 0 };
	struct family family;
	json_t *machine;
	size_t i;

	if (!family_open(&family))
		family_vms(&family, &vms);
	family_close(&family);
	for (i = 0; i < vms.nr; i++) {
		const struct monitor_vm *vm = &vms.vm[i];

		machine = machine_of(list, vm);
		if (!machine) {
			machine = json_pack("{s:o,s:I,s:s,s:I,s:I,s:b}", "name", text_json(vm->name), "pid", (json_int_t)vm->pid,
					    "state", names_state(vm->state), "cpus", (json_int_t)vm->vcpus, "memory",
					    (json_int_t)vm->memory[VIREO_NL_MEMORY_REGIONS], "socket", 0);
			json_array_append_new(list, machine);
		}
		json_object_set_new(machine, "vm", json_integer(vm->number));
		json_object_set_new(machine, "uid", json_integer(vm->uid));
		json_object_set_new(machine, "exits", json_integer((json_int_t)vm->counter[VIREO_NL_COUNTER_ENTRIES]));
	}
	monitor_vms_free(&vms);
}

/* "-" if it is not known */
static void print_number(const json_t *machine, const char *member, int width)
{
	const json_t *number = json_object_get(machine, member);

	if (json_is_integer(number))
		printf(" %*lld", width, (long long)json_integer_value(number));
	else
		printf(" %*s", width, "-");
}

static void print_text(const json_t *list)
{
	const json_t *machine;
	char state[64], name[MONITOR_SHOWN];
	json_int_t bytes;
	size_t i;

	printf("%-20s %7s %5s %4s %12s %8s  %s\n", "NAME", "PID", "VM", "CPUS", "EXITS", "MEMORY", "STATE");
	json_array_foreach(list, i, machine) {
		snprintf(state, sizeof(state), "%s", text_of(machine, "state"));
		if (json_object_get(machine, "reason"))
			snprintf(state, sizeof(state), "%.20s (%.30s)", text_of(machine, "state"),
				 text_of(machine, "reason"));
		if (json_object_get(machine, "socket"))
			snprintf(state, sizeof(state), "%.20s, no control socket", text_of(machine, "state"));
		printf("%-20s", text_clean(name, sizeof(name), text_of(machine, "name")));
		print_number(machine, "pid", 7);
		print_number(machine, "vm", 5);
		print_number(machine, "cpus", 4);
		print_number(machine, "exits", 12);
		bytes = json_integer_value(json_object_get(machine, "memory"));
		printf(" %7lldM  %s\n", (long long)(bytes / (json_int_t)MIB), state);
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
	add_vms(list);
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

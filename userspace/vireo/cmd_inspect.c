// SPDX-License-Identifier: GPL-2.0-only
/* vireo inspect: what is in the file of a saved machine, and whether it is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "machine_state.h"
#include "util.h"
#include "saved/format.h"
#include "saved/open.h"

static const char help_text[] =
"Usage: vireo inspect [OPTION]... FILE\n"
"Tell what is in the file of a saved machine. All of the file is read, and\n"
"one that is not whole is refused.\n"
"\n"
"  --json     for programs\n"
"  --help     this text\n";

static json_t *make_object(const struct saved_file *file)
{
	json_t *state = machine_state_list(file->state, file->state_len);

	if (!state)
		return NULL;
	return json_pack("{s:i,s:I,s:O,s:{s:I,s:I,s:I},s:o}", "version", SAVED_VERSION, "bytes", (json_int_t)file->bytes,
			 "saved", file->info, "memory", "bytes", (json_int_t)file->memory, "saved",
			 (json_int_t)file->memory_bytes, "chunks", (json_int_t)file->nr, "state", state);
}

/* What comes from a file is shown as JSON has it: without control characters. */
static void show(const char *label, const json_t *value)
{
	char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	if (text)
		printf("%-12s %s\n", label, text);
	free(text);
}

static void show_parts(const json_t *state)
{
	const json_t *part, *item;
	size_t i, j;

	json_array_foreach(state, i, part) {
		const json_t *cpu = json_object_get(part, "cpu");

		printf("  %-8s", json_string_value(json_object_get(part, "part")));
		if (cpu)
			printf(" %2lld", (long long)json_integer_value(cpu));
		else
			printf("   ");
		printf(" %8lld bytes", (long long)json_integer_value(json_object_get(part, "bytes")));
		json_array_foreach(json_object_get(part, "blocks"), j, item)
			printf("%s %s", j ? "," : ":", json_string_value(item));
		printf("\n");
		json_array_foreach(json_object_get(part, "devices"), j, item)
			printf("    %-18s %lld, version %lld, %lld bytes\n",
			       json_string_value(json_object_get(item, "name")),
			       (long long)json_integer_value(json_object_get(item, "instance")),
			       (long long)json_integer_value(json_object_get(item, "version")),
			       (long long)json_integer_value(json_object_get(item, "bytes")));
	}
}

static void show_all(const json_t *object)
{
	const json_t *saved = json_object_get(object, "saved"), *memory = json_object_get(object, "memory");
	const json_t *machine;
	const char *name;
	json_t *value;
	size_t i;

	printf("%-12s %lld, %.1f MiB\n", "format", (long long)json_integer_value(json_object_get(object, "version")),
	       (double)json_integer_value(json_object_get(object, "bytes")) / MIB);
	show("name", json_object_get(saved, "name"));
	show("time", json_object_get(saved, "time"));
	show("vireo", json_object_get(saved, "vireo"));
	printf("%-12s %lld MiB, %lld of them not zero\n", "memory",
	       (long long)(json_integer_value(json_object_get(memory, "bytes")) / (json_int_t)MIB),
	       (long long)(json_integer_value(json_object_get(memory, "saved")) / (json_int_t)MIB));
	printf("machine:\n");
	json_array_foreach(json_object_get(saved, "machine"), i, machine) {
		json_object_foreach((json_t *)machine, name, value) {
			printf("  ");
			show(name, value);
		}
	}
	printf("state:\n");
	show_parts(json_object_get(object, "state"));
}

static int inspect(const char *path, bool json)
{
	struct saved_file file;
	char why[SAVED_WHY];
	json_t *object;
	int r;

	r = saved_open(&file, path);
	if (r)
		return r;
	object = make_object(&file);
	if (!object) {
		report_error("%s: the state in it is malformed", path);
		r = EXIT_USAGE;
	} else if (saved_read_memory(&file, NULL, why)) {
		report_error("%s: %s", path, why);
		r = EXIT_USAGE;
	} else if (json) {
		json_dumpf(object, stdout, JSON_INDENT(1));
		putchar('\n');
	} else {
		show_all(object);
	}
	json_decref(object);
	saved_close(&file);
	return r;
}

static int run(int argc, char **argv)
{
	bool json = false;
	const struct command_option options[] = {
		{ "json", NULL, &json },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, "one file is needed", 1, 1 };
	int r = command_arguments(argc, argv, &syntax);

	return r < 0 ? inspect(argv[optind], json) : r;
}

VIREO_COMMAND("inspect", "tell what is in the file of a saved machine", run);

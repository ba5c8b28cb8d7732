// SPDX-License-Identifier: GPL-2.0-only
/* vireo tree: the snapshots of a machine, and where it is. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo tree [--json] NAME\n"
"Show the snapshots of a machine: which was taken after which, when, how much was written between the two, and how much\n"
"memory is its own. The machine itself is at \"*\".\n"
"\n"
"  --json     as a JSON object\n"
"  --help     this text\n";

#define COLUMN 32

static const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

static void print_line(unsigned int depth, const char *text)
{
	int indent = (int)depth * 2;

	printf("%*s%-*s", indent, "", COLUMN > indent ? COLUMN - indent : 0, text);
}

static double mib(const json_t *node, const char *member)
{
	return (double)json_integer_value(json_object_get(node, member)) / (double)MIB;
}

/* Those that come from the snapshot @parent; "": from none. A tree is no deeper than it has snapshots. */
static void print_children(const json_t *tree, const char *parent, unsigned int depth)
{
	const json_t *list = json_object_get(tree, "snapshots"), *node;
	size_t i;

	json_array_foreach(list, i, node) {
		if (strcmp(text_of(node, "parent"), parent) || depth > json_array_size(list))
			continue;
		print_line(depth, text_of(node, "tag"));
		printf(" %-20s %9.1fM %9.1fM\n", text_of(node, "time"), mib(node, "changed"), mib(node, "private"));
		print_children(tree, text_of(node, "tag"), depth + 1);
	}
	if (!strcmp(text_of(tree, "at"), parent))
		printf("%*s*\n", (int)depth * 2, "");
}

static int run(int argc, char **argv)
{
	bool json = false;
	const struct command_option options[] = { { "json", NULL, &json }, { NULL, NULL, NULL } };
	const struct command_syntax syntax = { help_text, options, COMMAND_ONE_MACHINE, 1, 1 };
	int r = command_arguments(argc, argv, &syntax);
	json_t *tree = NULL;
	struct client_link link;

	if (r >= 0)
		return r;
	r = client_connect(&link, argv[optind]);
	if (r)
		return r;
	r = client_request(&link, json_pack("{s:s,s:s}", "command", "query", "what", "tree"), &tree);
	client_disconnect(&link);
	if (!r && json) {
		json_dumpf(tree, stdout, JSON_INDENT(2));
		printf("\n");
	} else if (!r) {
		if (*text_of(tree, "origin"))
			printf("# a fork of %s\n", text_of(tree, "origin"));
		print_line(0, "SNAPSHOT");
		printf(" %-20s %10s %10s\n", "TIME", "CHANGED", "OWN");
		print_children(tree, "", 0);
	}
	json_decref(tree);
	return r;
}

VIREO_COMMAND("tree", "show a machine's snapshots", run);

// SPDX-License-Identifier: GPL-2.0-only
/* vireo thresholds: what a VM may do before "vireo events" tells. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "monitor/find.h"
#include "monitor/names.h"
#include "monitor/text.h"
#include "util.h"

#define STALL_MIN_MS	100
#define STALL_MAX_MS	3600000

static const char help_text[] =
"Usage: vireo thresholds [OPTION]... NAME|NUMBER\n"
"Have the module tell, as events (\"vireo events\"), that a VM does too much or nothing; and that this is over.\n"
"Without options, tell what is set.\n"
"\n"
"  --exits N   exits a second, of all its vCPUs\n"
"  --dirty N   pages a second that it makes dirty, while dirty pages are tracked\n"
"  --stall MS  milliseconds for which a vCPU that is not halted neither enters nor leaves the guest (100 to 3600000)\n"
"  --json      what is set, as a JSON object\n"
"  --help      this text\n"
"\n"
"\"off\" takes one away.\n";

/**
 * struct limit - an option
 * @value: what was typed
 * @given: it was
 */
struct limit {
	uint64_t value;
	bool given;
};

static int read_rate(const char *text, void *out)
{
	struct limit *limit = out;

	limit->given = true;
	if (!strcmp(text, "off") || (!parse_number(text, INT64_MAX, &limit->value) && limit->value))
		return 0;
	report_error("%s: not a number a second, from 1 on, nor \"off\"", text);
	return -1;
}

static int read_stall(const char *text, void *out)
{
	struct limit *limit = out;

	limit->given = true;
	if (!strcmp(text, "off") || (!parse_number(text, STALL_MAX_MS, &limit->value) && limit->value >= STALL_MIN_MS))
		return 0;
	report_error("%s: not a number of milliseconds from %d to %d, nor \"off\"", text, STALL_MIN_MS, STALL_MAX_MS);
	return -1;
}

static void print(const struct monitor_vm *vm, bool json)
{
	static const char *const units[] = {
		[VIREO_NL_LIMIT_EXITS] = "exits a second",
		[VIREO_NL_LIMIT_DIRTY] = "dirty pages a second",
		[VIREO_NL_LIMIT_STALL] = "ms without an entry or exit",
	};
	char name[MONITOR_NAME];
	json_t *object;
	unsigned int i;

	if (json) {
		object = json_pack("{s:I,s:o}", "vm", (json_int_t)vm->number, "name", text_json(vm->name));
		for (i = 1; i < VIREO_NL_LIMIT_PAD; i++)
			json_object_set_new(object, names_limit(i), vm->limit[i] ? json_integer((json_int_t)vm->limit[i]) :
					    json_null());
		json_dumpf(object, stdout, JSON_INDENT(2));
		json_decref(object);
		printf("\n");
		return;
	}
	printf("%s (VM %u):\n", text_clean(name, sizeof(name), vm->name), vm->number);
	for (i = 1; i < VIREO_NL_LIMIT_PAD; i++) {
		if (vm->limit[i])
			printf("  %-6s %llu %s\n", names_limit(i), (unsigned long long)vm->limit[i], units[i]);
		else
			printf("  %-6s off\n", names_limit(i));
	}
}

static int apply(struct family *family, uint32_t number, const struct limit *limits, bool json)
{
	uint64_t limit[VIREO_NL_LIMIT_PAD] = { 0 };
	struct monitor_vm vm;
	unsigned int which = 0, i;
	int r = 0;

	for (i = 1; i < VIREO_NL_LIMIT_PAD; i++) {
		limit[i] = limits[i].value;
		which |= limits[i].given ? BIT(i) : 0;
	}
	if (which)
		r = family_set_limits(family, number, limit, which);
	if (!r && (!which || json)) {
		r = family_vm(family, number, &vm);
		if (!r)
			print(&vm, json);
	}
	if (r)
		report_error("%s", family->why);
	return r ? EXIT_FAULT : EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct limit limits[VIREO_NL_LIMIT_PAD] = { 0 };
	bool json = false;
	const struct command_option options[] = {
		{ "exits", read_rate, &limits[VIREO_NL_LIMIT_EXITS] },
		{ "dirty", read_rate, &limits[VIREO_NL_LIMIT_DIRTY] },
		{ "stall", read_stall, &limits[VIREO_NL_LIMIT_STALL] },
		{ "json", NULL, &json },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, "the name or number of one VM is needed", 1, 1 };
	int r = command_arguments(argc, argv, &syntax);
	struct family family;
	uint32_t number;

	if (r >= 0)
		return r;
	r = find_vm(&family, argv[optind], &number);
	if (!r)
		r = apply(&family, number, limits, json);
	family_close(&family);
	return r;
}

VIREO_COMMAND("thresholds", "have events of a VM that does too much, or nothing", run);

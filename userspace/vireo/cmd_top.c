// SPDX-License-Identifier: GPL-2.0-only
/* vireo top: what all VMs do, live. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "monitor/find.h"
#include "monitor/top_layout.h"
#include "monitor/top_terminal.h"
#include "util.h"

#define INTERVAL_DEFAULT_MS 1000

static const char help_text[] =
"Usage: vireo top [OPTION]...\n"
"Show what all VMs do, live: exits, where their time goes, memory. Enter shows more of one; h lists the keys.\n"
"\n"
"  --interval S   seconds between looks (default: 1)\n"
"  --sort KEY     exits (default), guest, kernel, user, halted, memory, dirty, vcpus, name or number\n"
"  --filter TEXT  only VMs with TEXT in their name\n"
"  --batch        print text instead, again and again\n"
"  --count N      ... but only N times\n"
"  --help         this text\n";

static int read_filter(const char *text, void *out)
{
	const char *c;

	for (c = text; *c >= ' ' && *c <= '~'; c++)
		;
	if (!*c && c - text < TOP_FILTER) {
		*(const char **)out = text;
		return 0;
	}
	report_error("a filter has at most %d printable characters", TOP_FILTER - 1);
	return -EINVAL;
}

static int look_vms(void *context, struct monitor_vms *vms)
{
	return family_vms(context, vms);
}

static int look_stats(void *context, uint32_t number, struct monitor_stats *stats)
{
	return family_stats(context, number, stats);
}

static void print(const struct screen *screen)
{
	unsigned int row;
	size_t end;

	for (row = 0; row < screen->rows; row++) {
		const char *line = screen_line(screen, row);

		for (end = screen->cols; end && line[end - 1] == ' '; end--)
			;
		printf("%.*s\n", (int)end, line);
	}
}

static int batch(struct top_model *model, const struct top_source *source, uint64_t count)
{
	struct timespec nap = { (time_t)(model->interval / 1000), (long)(model->interval % 1000) * 1000000 };
	struct screen screen;
	uint64_t times;
	int r;

	for (times = 1;; times++) {
		r = top_look(model, source);
		if (!r)
			r = top_layout_batch(model, &screen);
		if (r)
			return r;
		if (times > 1)
			printf("\n");
		print(&screen);
		fflush(stdout);
		screen_free(&screen);
		if (times == count)
			return 0;
		nanosleep(&nap, NULL);
	}
}

static int show(struct family *family, struct top_model *model, bool text, uint64_t count)
{
	const struct top_source source = { look_vms, look_stats, family };
	int r;

	if (text)
		r = batch(model, &source, count);
	else
		r = top_terminal(model, &source);
	if (r == -ENOTTY)
		report_error("this is no terminal that is known (TERM is \"%s\"); --batch prints text", getenv("TERM") ? getenv("TERM") : "");
	else if (r)
		report_error("%s", r == -ENOMEM ? "no memory" : family->why);
	return r ? EXIT_FAULT : EXIT_OK;
}

static int run(int argc, char **argv)
{
	uint64_t interval = INTERVAL_DEFAULT_MS, count = 0;
	enum top_sort sort = TOP_SORT_EXITS;
	const char *filter = "";
	bool text = false;
	const struct command_option options[] = {
		{ "interval", command_interval, &interval },
		{ "sort", top_sort_read, &sort },
		{ "filter", read_filter, &filter },
		{ "batch", NULL, &text },
		{ "count", command_count, &count },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, NULL, 0, 0 };
	int r = command_arguments(argc, argv, &syntax);
	struct top_model model;
	struct family family;

	if (r >= 0)
		return r;
	if (count && !text) {
		report_error("--count is of use with --batch only");
		return EXIT_USAGE;
	}
	r = find_family(&family);
	if (!r) {
		top_model_init(&model, &family.info, interval);
		model.sort = sort;
		snprintf(model.filter, sizeof(model.filter), "%s", filter);
		r = show(&family, &model, text, count);
		top_model_free(&model);
	}
	family_close(&family);
	return r;
}

VIREO_COMMAND("top", "show what all VMs do, live", run);

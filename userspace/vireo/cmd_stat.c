// SPDX-License-Identifier: GPL-2.0-only
/* vireo stat: what a VM does, once or again and again. */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "monitor/find.h"
#include "monitor/rates.h"
#include "monitor/stat.h"
#include "monitor/text.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo stat [OPTION]... NAME|NUMBER\n"
"Tell what a VM does: exits by reason with their rates and what they cost, where its time goes, faults, interrupts, memory.\n"
"All of it counts from when the VM was made.\n"
"\n"
"  --interval S  then again each S seconds, what has happened meanwhile, until the VM ends\n"
"  --count N     ... but only N times in all\n"
"  --vcpus       of each vCPU, too\n"
"  --histogram   how long exits took, by powers of two\n"
"  --json        a JSON object a line\n"
"  --help        this text\n";

/**
 * struct request - the command line
 * @interval: milliseconds; 0: once
 * @count: how often; 0: until the VM ends
 * @json: for programs
 * @view: what is wanted
 */
struct request {
	uint64_t interval;
	uint64_t count;
	bool json;
	struct stat_view view;
};

static void show(const struct request *request)
{
	json_t *object;

	if (request->json) {
		object = stat_json(&request->view);
		json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
		json_decref(object);
		printf("\n");
	} else {
		if (!request->view.first)
			printf("\n");
		stat_text(stdout, &request->view);
	}
	fflush(stdout);
}

static void wait_until(struct timespec *next, uint64_t ms)
{
	next->tv_sec += (time_t)(ms / 1000);
	next->tv_nsec += (long)(ms % 1000) * 1000000;
	if (next->tv_nsec >= (long)NSEC_PER_SEC) {
		next->tv_nsec -= (long)NSEC_PER_SEC;
		next->tv_sec++;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL) == EINTR)
		;
}

static int follow(struct family *family, uint32_t number, struct request *request)
{
	struct monitor_stats now, before = { 0 }, difference;
	bool first = true;
	struct timespec next;
	uint64_t times;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (times = 1; !r; times++) {
		r = family_stats(family, number, &now);
		if (r)
			break;
		r = rates_difference(&now, first ? NULL : &before, &difference);
		if (!r) {
			request->view.info = &family->info;
			request->view.stats = &difference;
			request->view.seconds = rates_time(&now, first ? NULL : &before);
			request->view.first = first;
			show(request);
			monitor_stats_free(&difference);
		}
		monitor_stats_free(&before);
		before = now;
		first = false;
		if (!request->interval || times == request->count)
			break;
		wait_until(&next, request->interval);
	}
	/* Its end is what this has waited for. */
	if (r == -ENOENT && !first) {
		report_note("VM %u has ended", number);
		r = 0;
	} else if (r) {
		report_error("%s", r == -ENOMEM ? "no memory" : family->why);
	}
	monitor_stats_free(&before);
	return r ? EXIT_FAULT : EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct request request = { 0 };
	const struct command_option options[] = {
		{ "interval", command_interval, &request.interval },
		{ "count", command_count, &request.count },
		{ "vcpus", NULL, &request.view.vcpus },
		{ "histogram", NULL, &request.view.histogram },
		{ "json", NULL, &request.json },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, "the name or number of one VM is needed", 1, 1 };
	int r = command_arguments(argc, argv, &syntax);
	struct family family;
	uint32_t number;

	if (r >= 0)
		return r;
	if (request.count > 1 && !request.interval) {
		report_error("--count is of use with --interval only");
		return EXIT_USAGE;
	}
	r = find_vm(&family, argv[optind], &number);
	if (!r)
		r = follow(&family, number, &request);
	family_close(&family);
	return r;
}

VIREO_COMMAND("stat", "tell what a VM does", run);

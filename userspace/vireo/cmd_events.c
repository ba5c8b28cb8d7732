// SPDX-License-Identifier: GPL-2.0-only
/* vireo events: what happens to VMs, as it happens. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "monitor/events.h"
#include "monitor/find.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo events [OPTION]... [NAME|NUMBER]\n"
"Tell what happens to all VMs, or to one: that they are made, start, pause, resume, stop, fail; phases of snapshots and\n"
"migrations; thresholds that are crossed (\"vireo thresholds\"). Begins with how they are now.\n"
"\n"
"  --count N  end after N events\n"
"  --json     a JSON object a line\n"
"  --help     this text\n";

static int64_t ns_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * (int64_t)NSEC_PER_SEC + now.tv_nsec;
}

/* Take what has come. 0; -ENOBUFS: some were lost; or another negative errno. */
static int drain(struct family *family, struct events *events, uint64_t count)
{
	bool lost = false;
	int r = 0;

	events->offset = ns_of(CLOCK_REALTIME) - ns_of(CLOCK_BOOTTIME);
	while (!r && (!count || events->shown < count)) {
		r = family_next_events(family, events_take, events);
		if (r == -ENOBUFS) {
			lost = true;
			r = 0;
		}
	}
	if (r && r != -EAGAIN)
		return r;
	return lost ? -ENOBUFS : 0;
}

/* Some were lost. What has been said before the module tells how things are has come when it has. */
static int catch_up(struct family *family, struct events *events, uint64_t count)
{
	struct monitor_vms vms;
	int r;

	do {
		events_look(events);
		r = family_vms(family, &vms);
		if (r)
			return r;
		r = drain(family, events, count);
		if (!r && (!count || events->shown < count))
			events_catch_up(events, &vms);
		monitor_vms_free(&vms);
	} while (r == -ENOBUFS);
	return r;
}

static int follow(struct family *family, struct events *events, uint64_t count)
{
	struct pollfd p = { .events = POLLIN };
	struct monitor_vms vms;
	int r = family_join(family);

	if (!r)
		r = family_vms(family, &vms);
	if (r)
		return r;
	p.fd = family_events_fd(family);
	events->offset = ns_of(CLOCK_REALTIME) - ns_of(CLOCK_BOOTTIME);
	events->since = (uint64_t)ns_of(CLOCK_BOOTTIME);
	events_begin(events, &vms);
	monitor_vms_free(&vms);
	fflush(stdout);
	while (!r && (!count || events->shown < count)) {
		if (poll(&p, 1, -1) < 0)
			continue;
		r = drain(family, events, count);
		if (r == -ENOBUFS || (!r && events->behind))
			r = catch_up(family, events, count);
		fflush(stdout);
	}
	return r;
}

static int run(int argc, char **argv)
{
	struct events events = { .to = stdout };
	uint64_t count = 0;
	const struct command_option options[] = {
		{ "count", command_count, &count },
		{ "json", NULL, &events.json },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, "at most one VM can be named", 0, 1 };
	int r = command_arguments(argc, argv, &syntax);
	struct family family;

	if (r >= 0)
		return r;
	events.only = argv[optind];
	r = find_family(&family);
	if (!r && follow(&family, &events, count)) {
		report_error("%s", family.why);
		r = EXIT_FAULT;
	}
	events_free(&events);
	family_close(&family);
	return r;
}

VIREO_COMMAND("events", "tell what happens to VMs", run);

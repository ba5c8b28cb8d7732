/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What "vireo events" says of events, and whether some were lost: each VM numbers its own.
 */
#ifndef VIREO_MONITOR_EVENTS_H
#define VIREO_MONITOR_EVENTS_H

#include <stdbool.h>
#include <stdio.h>

#include "family.h"

struct events_known;

/**
 * struct events - somebody who follows them
 * @to: where to print
 * @json: as JSON, an object a line
 * @only: a VM's name or number; NULL: all VMs
 * @offset: nanoseconds from CLOCK_BOOTTIME to the clock on the wall
 * @since: nanoseconds of CLOCK_BOOTTIME, when the first look at all VMs was over
 * @shown: how many events were printed
 * @known: VMs
 * @nr: how many
 * @behind: some were lost: events_look(), and events_catch_up(), are due
 * @looking: between these two
 */
struct events {
	FILE *to;
	bool json;
	const char *only;
	int64_t offset;
	uint64_t since;
	uint64_t shown;
	struct events_known *known;
	size_t nr;
	bool behind;
	bool looking;
};

void events_begin(struct events *events, const struct monitor_vms *vms);
void events_take(void *events, const struct monitor_event *event);
void events_look(struct events *events);
void events_catch_up(struct events *events, const struct monitor_vms *vms);
void events_free(struct events *events);

#endif /* VIREO_MONITOR_EVENTS_H */

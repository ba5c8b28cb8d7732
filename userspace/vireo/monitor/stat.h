/* SPDX-License-Identifier: GPL-2.0-only */
/* What "vireo stat" says of a VM: text for people, JSON for programs. */
#ifndef VIREO_MONITOR_STAT_H
#define VIREO_MONITOR_STAT_H

#include <stdbool.h>
#include <stdio.h>
#include <jansson.h>

#include "family.h"

/**
 * struct stat_view - a look at a VM, or the difference of two
 * @info: the module
 * @stats: of the VM
 * @seconds: how long its counters have counted
 * @first: that is since the VM was made
 * @vcpus: of each vCPU too
 * @histogram: with histograms
 */
struct stat_view {
	const struct monitor_info *info;
	const struct monitor_stats *stats;
	double seconds;
	bool first;
	bool vcpus;
	bool histogram;
};

void stat_text(FILE *to, const struct stat_view *view);
json_t *stat_json(const struct stat_view *view);

#endif /* VIREO_MONITOR_STAT_H */

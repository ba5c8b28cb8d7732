/* SPDX-License-Identifier: GPL-2.0-only */
/* The terminal of "vireo top". */
#ifndef VIREO_MONITOR_TOP_TERMINAL_H
#define VIREO_MONITOR_TOP_TERMINAL_H

#include "top_model.h"

/**
 * struct top_source - where looks come from
 * @vms: at all VMs: 0, or a negative errno
 * @stats: at one: 0; -ENOENT: it is gone; or another negative errno
 * @context: theirs
 */
struct top_source {
	int (*vms)(void *context, struct monitor_vms *vms);
	int (*stats)(void *context, uint32_t number, struct monitor_stats *stats);
	void *context;
};

/* 0; -ENOTTY; or what the source has answered. The terminal is what it was before. */
int top_terminal(struct top_model *model, const struct top_source *source);
int top_look(struct top_model *model, const struct top_source *source);

#endif /* VIREO_MONITOR_TOP_TERMINAL_H */

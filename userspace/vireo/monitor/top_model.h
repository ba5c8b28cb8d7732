/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What "vireo top" knows: looks at VMs go in, keys go in; rates in their order come out. Nothing here knows of a terminal.
 */
#ifndef VIREO_MONITOR_TOP_MODEL_H
#define VIREO_MONITOR_TOP_MODEL_H

#include <stdbool.h>

#include "family.h"
#include "rates.h"

#define TOP_FILTER	32	/* bytes of a filter, with its end */

/* Keys that are no characters */
enum top_key {
	TOP_KEY_UP = 0x100,
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_ENTER,
	TOP_KEY_ESCAPE,
	TOP_KEY_BACKSPACE,
};

enum top_action {
	TOP_NOTHING,
	TOP_DRAW,	/* the same numbers look different now */
	TOP_LOOK,	/* other numbers are wanted */
	TOP_QUIT,
};

enum top_view {
	TOP_VMS,
	TOP_VM,
};

/* By what VMs are sorted */
enum top_sort {
	TOP_SORT_EXITS,
	TOP_SORT_GUEST,
	TOP_SORT_KERNEL,
	TOP_SORT_USER,
	TOP_SORT_HALTED,
	TOP_SORT_MEMORY,
	TOP_SORT_DIRTY,
	TOP_SORT_VCPUS,
	TOP_SORT_NAME,
	TOP_SORT_NUMBER,
	TOP_SORT_NR
};

/* By what the exits of one VM are sorted */
enum top_exit_sort {
	TOP_EXIT_SORT_COUNT,
	TOP_EXIT_SORT_MEAN,
	TOP_EXIT_SORT_TIME,
	TOP_EXIT_SORT_NR
};

/**
 * struct top_vm - a VM
 * @number: its
 * @name: its; only printable characters
 * @state: &enum vireo_nl_state
 * @vcpus: how many
 * @exits: a second
 * @shares: of its vCPUs' time
 * @memory: bytes that regions cover
 * @mapped: bytes of them that are mapped
 * @dirty: pages a second
 */
struct top_vm {
	uint32_t number;
	char name[MONITOR_NAME];
	uint32_t state;
	uint32_t vcpus;
	double exits;
	struct rates_shares shares;
	double memory;
	double mapped;
	double dirty;
};

/**
 * struct top_vcpu - a vCPU
 * @id: its
 * @tid: its thread, 0: none
 * @cpu: where it was last, -1: nowhere
 * @exits: a second
 * @shares: of its time
 */
struct top_vcpu {
	uint32_t id;
	uint32_t tid;
	int32_t cpu;
	double exits;
	struct rates_shares shares;
};

/**
 * struct top_exit - exits for one reason
 * @reason: &enum vireo_exit_reason
 * @rate: of them a second
 * @share: of all exits
 * @mean: nanoseconds that one takes
 * @time: share of the vCPUs' time
 */
struct top_exit {
	uint32_t reason;
	double rate;
	double share;
	double mean;
	double time;
};

/**
 * struct top_model - all there is
 * @info: the module
 * @interval: milliseconds between looks
 * @page: lines that PageDown goes
 * @view: what is shown
 * @help: over it, which keys there are
 * @typing: keys go to the filter
 * @filter: VMs with it in their name or number are shown
 * @sort: their order
 * @exit_sort: order of exits
 * @reverse: the other way round
 * @note: something to say; "": nothing
 * @last: the last look at all VMs
 * @first: it was the first one: rates are since each was made
 * @all: all of them
 * @nr_all: how many
 * @vm: those that are shown
 * @nr: how many
 * @selected: number of one that is shown; 0: none
 * @vcpus: of all VMs
 * @exits: a second, of all VMs
 * @chosen: number of the one whose details are shown
 * @stats: the last look at it
 * @looked: there was one
 * @again: there were two: rates are between them
 * @detail: it
 * @age: seconds since it was made
 * @vcpu: its vCPUs
 * @nr_vcpus: how many
 * @exit: its exits
 * @nr_exits: how many reasons
 * @scroll: so many lines of details are above the first one that is shown
 */
struct top_model {
	struct monitor_info info;
	uint64_t interval;
	unsigned int page;
	enum top_view view;
	bool help;
	bool typing;
	char filter[TOP_FILTER];
	enum top_sort sort;
	enum top_exit_sort exit_sort;
	bool reverse;
	char note[80];
	struct monitor_vms last;
	bool first;
	struct top_vm *all;
	size_t nr_all;
	struct top_vm *vm;
	size_t nr;
	uint32_t selected;
	uint64_t vcpus;
	double exits;
	uint32_t chosen;
	struct monitor_stats stats;
	bool looked;
	bool again;
	struct top_vm detail;
	double age;
	struct top_vcpu *vcpu;
	size_t nr_vcpus;
	struct top_exit *exit;
	size_t nr_exits;
	size_t scroll;
};

void top_model_init(struct top_model *model, const struct monitor_info *info, uint64_t interval);
void top_model_free(struct top_model *model);
/* Both take over what they are given: 0; -ENOMEM. */
int top_model_vms(struct top_model *model, struct monitor_vms *vms);
int top_model_stats(struct top_model *model, struct monitor_stats *stats);
/* The chosen VM is gone */
void top_model_gone(struct top_model *model);
enum top_action top_model_key(struct top_model *model, int key);
size_t top_model_index(const struct top_model *model);

const char *top_sort_name(enum top_sort sort);
const char *top_exit_sort_name(enum top_exit_sort sort);
/* For struct command_option: enum top_sort */
int top_sort_read(const char *text, void *out);

#endif /* VIREO_MONITOR_TOP_MODEL_H */

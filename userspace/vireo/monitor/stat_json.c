// SPDX-License-Identifier: GPL-2.0-only
/* Counts are whole numbers and never rounded; what is not known is null. */
#include <stdlib.h>

#include "names.h"
#include "rates.h"
#include "stat.h"
#include "text.h"

static json_t *number(double value)
{
	return value < 0 ? json_null() : json_real(value);
}

static json_t *by_name(const uint64_t *values, unsigned int nr, const char *(*name)(unsigned int))
{
	json_t *object = json_object();
	unsigned int i;

	/* 0 is no attribute. */
	for (i = 1; i < nr; i++)
		json_object_set_new(object, name(i), json_integer((json_int_t)values[i]));
	return object;
}

static json_t *shares(const uint64_t *counter)
{
	struct rates_shares s = rates_shares(counter, NULL);

	return json_pack("{s:o,s:o,s:o,s:o}", "guest", number(s.guest), "kernel", number(s.kernel), "user", number(s.user),
			 "halted", number(s.halted));
}

static json_t *exit_json(const struct stat_view *view, const struct monitor_exit *exit)
{
	double mean = rates_mean(exit, view->info);
	char name[NAMES_EXIT];
	json_t *object, *buckets;
	unsigned int i;

	object = json_pack("{s:s,s:I,s:I,s:o,s:o,s:o}", "reason", names_exit(name, exit->reason), "count",
			   (json_int_t)exit->count, "cycles", (json_int_t)exit->cycles, "rate",
			   number(rates_per_second(exit->count, view->seconds)), "mean-cycles", number(mean), "mean-ns",
			   number(rates_ns(mean, view->info)));
	if (view->histogram && mean >= 0) {
		buckets = json_array();
		for (i = 0; i < VIREO_NL_BUCKETS; i++)
			json_array_append_new(buckets, json_integer(exit->histogram[i]));
		json_object_set_new(object, "histogram", buckets);
	}
	return object;
}

static json_t *exits_json(const struct stat_view *view, const struct monitor_exit *exits, size_t nr)
{
	json_t *array = json_array();
	size_t i;

	/* Without what was not seen in between */
	for (i = 0; i < nr; i++)
		if (exits[i].count)
			json_array_append_new(array, exit_json(view, &exits[i]));
	return array;
}

static json_t *vcpus_json(const struct stat_view *view)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < view->stats->nr; i++) {
		const struct monitor_vcpu *vcpu = &view->stats->vcpu[i];

		json_array_append_new(array, json_pack("{s:I,s:I,s:i,s:o,s:o,s:o}", "vcpu", (json_int_t)vcpu->id, "tid",
						       (json_int_t)vcpu->tid, "cpu", vcpu->cpu, "shares", shares(vcpu->counter),
						       "counters", by_name(vcpu->counter, VIREO_NL_COUNTER_PAD, names_counter),
						       "exits", exits_json(view, vcpu->exits, vcpu->nr_exits)));
	}
	return array;
}

/**
 * stat_json() - a look at a VM, for programs
 * @view: the look
 *
 * Return: an object.
 */
json_t *stat_json(const struct stat_view *view)
{
	const struct monitor_vm *vm = &view->stats->vm;
	struct monitor_exit *exits;
	json_t *object;
	size_t nr;

	exits = rates_exits(view->stats, &nr);
	object = json_pack("{s:I,s:o,s:s,s:I,s:I,s:I,s:f,s:s}", "vm", (json_int_t)vm->number, "name", text_json(vm->name), "state",
			   names_state(vm->state), "uid", (json_int_t)vm->uid, "pid", (json_int_t)vm->pid, "vcpus",
			   (json_int_t)vm->vcpus, "seconds", view->seconds, "since", view->first ? "creation" : "last");
	json_object_set_new(object, "tsc-khz", json_integer(view->info->tsc_khz));
	json_object_set_new(object, "shares", shares(vm->counter));
	json_object_set_new(object, "counters", by_name(vm->counter, VIREO_NL_COUNTER_PAD, names_counter));
	json_object_set_new(object, "memory", by_name(vm->memory, VIREO_NL_MEMORY_PAD, names_memory));
	json_object_set_new(object, "thresholds", by_name(vm->limit, VIREO_NL_LIMIT_PAD, names_limit));
	json_object_set_new(object, "exits", exits_json(view, exits, nr));
	if (view->vcpus)
		json_object_set_new(object, "cpus", vcpus_json(view));
	free(exits);
	return object;
}

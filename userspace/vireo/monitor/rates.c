// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters only grow, but those of times are read while they are written: what seems to be less than before counts as no change.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/vireo.h>

#include "rates.h"
#include "text.h"
#include "../util.h"

/**
 * rates_since() - how much a counter has grown
 * @now: the counter
 * @before: what it was
 *
 * Return: the difference, not below 0.
 */
uint64_t rates_since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

/**
 * rates_seconds() - how long that was
 * @now: nanoseconds
 * @before: nanoseconds
 *
 * Return: the difference, not below 0.
 */
double rates_seconds(uint64_t now, uint64_t before)
{
	return (double)rates_since(now, before) / (double)NSEC_PER_SEC;
}

/**
 * rates_per_second() - a rate
 * @count: so many
 * @seconds: in so long
 *
 * Return: the rate; TEXT_UNKNOWN if there was no time.
 */
double rates_per_second(uint64_t count, double seconds)
{
	return seconds > 0 ? (double)count / seconds : TEXT_UNKNOWN;
}

/**
 * rates_shares() - where time went
 * @counter: counters of a vCPU or a VM
 * @before: what they were; NULL: 0
 *
 * Return: the shares.
 */
struct rates_shares rates_shares(const uint64_t *counter, const uint64_t *before)
{
	static const uint64_t zero[VIREO_NL_COUNTER_PAD];
	struct rates_shares shares = { TEXT_UNKNOWN, TEXT_UNKNOWN, TEXT_UNKNOWN, TEXT_UNKNOWN };
	double kernel, user, halted, all;

	if (!before)
		before = zero;
	kernel = (double)rates_since(counter[VIREO_NL_COUNTER_CYCLES_KERNEL], before[VIREO_NL_COUNTER_CYCLES_KERNEL]);
	user = (double)rates_since(counter[VIREO_NL_COUNTER_CYCLES_USER], before[VIREO_NL_COUNTER_CYCLES_USER]);
	halted = (double)rates_since(counter[VIREO_NL_COUNTER_CYCLES_HALTED], before[VIREO_NL_COUNTER_CYCLES_HALTED]);
	all = (double)rates_since(counter[VIREO_NL_COUNTER_CYCLES_ALL], before[VIREO_NL_COUNTER_CYCLES_ALL]);
	/* They are not read at one instant. */
	if (all < kernel + user + halted)
		all = kernel + user + halted;
	if (all > 0) {
		shares.kernel = kernel / all;
		shares.user = user / all;
		shares.halted = halted / all;
		shares.guest = (all - kernel - user - halted) / all;
	}
	return shares;
}

/**
 * rates_mean() - what one exit costs
 * @exit: exits for a reason
 * @info: of the module
 *
 * Return: TSC cycles; TEXT_UNKNOWN if there were none, or their time is that of others.
 */
double rates_mean(const struct monitor_exit *exit, const struct monitor_info *info)
{
	if (!info->timed || !exit->count || exit->reason >= VIREO_EXIT_HARDWARE_NR)
		return TEXT_UNKNOWN;
	return (double)exit->cycles / (double)exit->count;
}

/**
 * rates_ns() - cycles as time
 * @cycles: TSC cycles
 * @info: of the module
 *
 * Return: nanoseconds; TEXT_UNKNOWN if that is not known.
 */
double rates_ns(double cycles, const struct monitor_info *info)
{
	return cycles < 0 || !info->tsc_khz ? TEXT_UNKNOWN : cycles * 1e6 / info->tsc_khz;
}

/**
 * rates_time() - how long a difference is
 * @now: the last look
 * @before: the one before; NULL: none
 *
 * Return: seconds since then, or since the VM was made.
 */
double rates_time(const struct monitor_stats *now, const struct monitor_stats *before)
{
	return rates_seconds(now->at, before ? before->at : now->vm.created);
}

static void subtract(uint64_t *counter, const uint64_t *before)
{
	size_t i;

	for (i = 0; i < VIREO_NL_COUNTER_PAD; i++)
		counter[i] = rates_since(counter[i], before[i]);
}

static void subtract_exit(struct monitor_exit *exit, const struct monitor_exit *before)
{
	size_t i;

	exit->count = rates_since(exit->count, before->count);
	exit->cycles = rates_since(exit->cycles, before->cycles);
	/* These wrap. */
	for (i = 0; i < VIREO_NL_BUCKETS; i++)
		exit->histogram[i] -= before->histogram[i];
}

static void subtract_vcpu(struct monitor_vcpu *vcpu, const struct monitor_vcpu *before)
{
	size_t i, j;

	subtract(vcpu->counter, before->counter);
	for (i = 0; i < vcpu->nr_exits; i++)
		for (j = 0; j < before->nr_exits; j++)
			if (vcpu->exits[i].reason == before->exits[j].reason)
				subtract_exit(&vcpu->exits[i], &before->exits[j]);
}

static int copy(const struct monitor_stats *from, struct monitor_stats *to)
{
	*to = *from;
	to->nr = 0;
	to->vcpu = calloc(from->nr + 1, sizeof(*to->vcpu));
	if (!to->vcpu)
		return -ENOMEM;
	for (; to->nr < from->nr; to->nr++) {
		struct monitor_vcpu *vcpu = &to->vcpu[to->nr];

		*vcpu = from->vcpu[to->nr];
		vcpu->exits = calloc(vcpu->nr_exits + 1, sizeof(*vcpu->exits));
		if (!vcpu->exits)
			return -ENOMEM;
		if (vcpu->nr_exits)
			memcpy(vcpu->exits, from->vcpu[to->nr].exits, vcpu->nr_exits * sizeof(*vcpu->exits));
	}
	return 0;
}

/**
 * rates_difference() - what has happened in between
 * @now: the last look
 * @before: the one before; NULL: none
 * @difference: as @now, with counters of the time between; with 0, monitor_stats_free() it
 *
 * Return: 0; -ENOMEM.
 */
int rates_difference(const struct monitor_stats *now, const struct monitor_stats *before, struct monitor_stats *difference)
{
	uint64_t *dirtied = &difference->vm.memory[VIREO_NL_MEMORY_DIRTIED];
	size_t i, j;

	if (copy(now, difference)) {
		monitor_stats_free(difference);
		return -ENOMEM;
	}
	if (!before)
		return 0;
	subtract(difference->vm.counter, before->vm.counter);
	*dirtied = rates_since(*dirtied, before->vm.memory[VIREO_NL_MEMORY_DIRTIED]);
	for (i = 0; i < difference->nr; i++)
		for (j = 0; j < before->nr; j++)
			if (difference->vcpu[i].id == before->vcpu[j].id)
				subtract_vcpu(&difference->vcpu[i], &before->vcpu[j]);
	return 0;
}

static void add(struct monitor_exit *exit, const struct monitor_exit *more)
{
	size_t i;

	exit->reason = more->reason;
	exit->count += more->count;
	exit->cycles += more->cycles;
	for (i = 0; i < VIREO_NL_BUCKETS; i++)
		exit->histogram[i] += more->histogram[i];
}

static int by_reason(const void *a, const void *b)
{
	const struct monitor_exit *x = a, *y = b;

	return (x->reason > y->reason) - (x->reason < y->reason);
}

/**
 * rates_exits() - exits of all vCPUs
 * @stats: of a VM
 * @nr: how many reasons there are
 *
 * Return: those for each reason together, in the order of reasons, to be freed; NULL: no memory.
 */
struct monitor_exit *rates_exits(const struct monitor_stats *stats, size_t *nr)
{
	struct monitor_exit *all;
	size_t i, j, k, room = 1;

	for (i = 0; i < stats->nr; i++)
		room += stats->vcpu[i].nr_exits;
	*nr = 0;
	all = calloc(room, sizeof(*all));
	if (!all)
		return NULL;
	for (i = 0; i < stats->nr; i++) {
		for (j = 0; j < stats->vcpu[i].nr_exits; j++) {
			const struct monitor_exit *exit = &stats->vcpu[i].exits[j];

			for (k = 0; k < *nr && all[k].reason != exit->reason; k++)
				;
			add(&all[k], exit);
			*nr += k == *nr;
		}
	}
	qsort(all, *nr, sizeof(*all), by_reason);
	return all;
}

// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <linux/vireo_netlink.h>

#include "vireo.h"

#include "names.h"
#include "../util.h"

static const char *const states[] = {
	[VIREO_NL_STATE_NEW] = "new",
	[VIREO_NL_STATE_RUNNING] = "running",
	[VIREO_NL_STATE_PAUSED] = "paused",
	[VIREO_NL_STATE_STOPPED] = "stopped",
	[VIREO_NL_STATE_DEAD] = "dead",
};

static const char *const lives[] = {
	[VIREO_NL_LIFE_CREATED] = "created",
	[VIREO_NL_LIFE_STARTED] = "started",
	[VIREO_NL_LIFE_PAUSED] = "paused",
	[VIREO_NL_LIFE_RESUMED] = "resumed",
	[VIREO_NL_LIFE_STOPPED] = "stopped",
	[VIREO_NL_LIFE_TRIPLE_FAULT] = "triple-fault",
	[VIREO_NL_LIFE_ERROR] = "error",
	[VIREO_NL_LIFE_DESTROYED] = "destroyed",
};

static const char *const operations[] = {
	[VIREO_NL_OP_SNAPSHOT] = "snapshot",
	[VIREO_NL_OP_ROLLBACK] = "rollback",
	[VIREO_NL_OP_DROP] = "drop-snapshot",
	[VIREO_NL_OP_SAVE] = "save",
	[VIREO_NL_OP_RESTORE] = "restore",
	[VIREO_NL_OP_FORK] = "fork",
	[VIREO_NL_OP_SEND] = "send",
	[VIREO_NL_OP_RECEIVE] = "receive",
};

static const char *const thresholds[] = {
	[VIREO_NL_THRESHOLD_EXITS] = "exits",
	[VIREO_NL_THRESHOLD_DIRTY] = "dirty",
	[VIREO_NL_THRESHOLD_STALL] = "stall",
};

static const char *const counters[VIREO_NL_COUNTER_PAD] = {
	[VIREO_NL_COUNTER_ENTRIES] = "entries",
	[VIREO_NL_COUNTER_USER_EXITS] = "user-exits",
	[VIREO_NL_COUNTER_FAULTS_READ] = "faults-read",
	[VIREO_NL_COUNTER_FAULTS_WRITE] = "faults-write",
	[VIREO_NL_COUNTER_FAULTS_FETCH] = "faults-fetch",
	[VIREO_NL_COUNTER_FAULTS_TRACKED] = "faults-tracked",
	[VIREO_NL_COUNTER_FAULTS_MMIO] = "faults-mmio",
	[VIREO_NL_COUNTER_FAULTS_GUEST] = "faults-guest",
	[VIREO_NL_COUNTER_INJECTED_IRQ] = "injected-irq",
	[VIREO_NL_COUNTER_INJECTED_NMI] = "injected-nmi",
	[VIREO_NL_COUNTER_INJECTED_EXCEPTION] = "injected-exception",
	[VIREO_NL_COUNTER_IRQS_MSI] = "irqs-msi",
	[VIREO_NL_COUNTER_IRQS_IPI] = "irqs-ipi",
	[VIREO_NL_COUNTER_IRQS_TIMER] = "irqs-timer",
	[VIREO_NL_COUNTER_HALTS] = "halts",
	[VIREO_NL_COUNTER_HALT_POLLS] = "halt-polls",
	[VIREO_NL_COUNTER_HALT_HITS] = "halt-hits",
	[VIREO_NL_COUNTER_FLUSHES] = "flushes",
	[VIREO_NL_COUNTER_PV_FLUSHES] = "pv-flushes",
	[VIREO_NL_COUNTER_PV_EOIS] = "pv-eois",
	[VIREO_NL_COUNTER_YIELDS] = "yields",
	[VIREO_NL_COUNTER_INTERPRETED] = "interpreted",
	[VIREO_NL_COUNTER_DIRTIED] = "dirtied",
	[VIREO_NL_COUNTER_CYCLES_KERNEL] = "cycles-kernel",
	[VIREO_NL_COUNTER_CYCLES_USER] = "cycles-user",
	[VIREO_NL_COUNTER_CYCLES_HALTED] = "cycles-halted",
	[VIREO_NL_COUNTER_CYCLES_ALL] = "cycles-all",
};

static const char *const memories[VIREO_NL_MEMORY_PAD] = {
	[VIREO_NL_MEMORY_REGIONS] = "regions",
	[VIREO_NL_MEMORY_MAPPED_4K] = "mapped-4k",
	[VIREO_NL_MEMORY_MAPPED_2M] = "mapped-2m",
	[VIREO_NL_MEMORY_MAPPED_1G] = "mapped-1g",
	[VIREO_NL_MEMORY_TABLES] = "tables",
	[VIREO_NL_MEMORY_TRACKING] = "tracking",
	[VIREO_NL_MEMORY_SNAPSHOTS] = "snapshots",
	[VIREO_NL_MEMORY_VCPUS] = "vcpus",
	[VIREO_NL_MEMORY_DIRTIED] = "dirtied",
};

static const char *const limits[VIREO_NL_LIMIT_PAD] = {
	[VIREO_NL_LIMIT_EXITS] = "exits",
	[VIREO_NL_LIMIT_DIRTY] = "dirty",
	[VIREO_NL_LIMIT_STALL] = "stall",
};

static const char *name(const char *const *names, size_t nr, unsigned int number)
{
	return number < nr && names[number] ? names[number] : "unknown";
}

/**
 * names_state() - what a VM does
 * @state: &enum vireo_nl_state
 *
 * Return: the name.
 */
const char *names_state(uint32_t state)
{
	return name(states, ARRAY_SIZE(states), state);
}

/**
 * names_life() - what has happened to a VM
 * @life: &enum vireo_nl_life
 *
 * Return: the name.
 */
const char *names_life(uint32_t life)
{
	return name(lives, ARRAY_SIZE(lives), life);
}

/**
 * names_operation() - what is done with a VM
 * @operation: &enum vireo_nl_operation
 *
 * Return: the name.
 */
const char *names_operation(uint32_t operation)
{
	return name(operations, ARRAY_SIZE(operations), operation);
}

/**
 * names_threshold() - what was crossed
 * @threshold: &enum vireo_nl_threshold
 *
 * Return: the name.
 */
const char *names_threshold(uint32_t threshold)
{
	return name(thresholds, ARRAY_SIZE(thresholds), threshold);
}

/**
 * names_counter() - what is counted
 * @counter: &enum vireo_nl_counter
 *
 * Return: the name.
 */
const char *names_counter(unsigned int counter)
{
	return name(counters, ARRAY_SIZE(counters), counter);
}

/**
 * names_memory() - a kind of memory
 * @memory: &enum vireo_nl_memory
 *
 * Return: the name.
 */
const char *names_memory(unsigned int memory)
{
	return name(memories, ARRAY_SIZE(memories), memory);
}

/**
 * names_limit() - a threshold that can be set
 * @limit: &enum vireo_nl_limit
 *
 * Return: the name.
 */
const char *names_limit(unsigned int limit)
{
	return name(limits, ARRAY_SIZE(limits), limit);
}

/**
 * names_exit() - a reason of exits
 * @out: room for it
 * @reason: &enum vireo_exit_reason
 *
 * Return: the name.
 */
const char *names_exit(char out[NAMES_EXIT], uint32_t reason)
{
	const char *known = vireo_exit_name(reason);

	if (strcmp(known, "unknown"))
		return known;
	snprintf(out, NAMES_EXIT, "reason-%u", reason);
	return out;
}

// SPDX-License-Identifier: GPL-2.0-only
/* How far a migration is, for people and programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migration.h"
#include "../control.h"
#include "../machine.h"

static const char *const phases[] = {
	[MIGRATION_CONNECTING] = "connecting",	   [MIGRATION_COPYING] = "copying",
	[MIGRATION_FINISHING] = "finishing",	   [MIGRATION_HANDING_OVER] = "handing-over",
	[MIGRATION_IN_DOUBT] = "in-doubt",	   [MIGRATION_POST_COPY] = "post-copy",
	[MIGRATION_COMPLETED] = "completed",	   [MIGRATION_FAILED] = "failed",
	[MIGRATION_CANCELLED] = "cancelled",
};

/**
 * migration_new() - make one
 * @machine: that moves
 * @outgoing: away from here
 *
 * Return: it, or NULL.
 */
struct migration *migration_new(struct machine *machine, bool outgoing)
{
	struct migration *migration = calloc(1, sizeof(*migration));

	if (!migration)
		return NULL;
	migration->machine = machine;
	migration->outgoing = outgoing;
	migration->status.total = machine->memory.total / WIRE_PAGE;
	pthread_mutex_init(&migration->lock, NULL);
	return migration;
}

/**
 * migration_free() - forget one
 * @migration: it; may be NULL. Its thread has ended
 */
void migration_free(struct migration *migration)
{
	if (!migration)
		return;
	pthread_mutex_destroy(&migration->lock);
	free(migration);
}

/**
 * migration_status() - how far is it?
 * @migration: it
 *
 * Return: a copy.
 */
struct migration_status migration_status(struct migration *migration)
{
	struct migration_status status;

	pthread_mutex_lock(&migration->lock);
	status = migration->status;
	pthread_mutex_unlock(&migration->lock);
	return status;
}

/**
 * migration_over() - is nothing going to happen any more?
 * @migration: it
 *
 * Return: whether.
 */
bool migration_over(struct migration *migration)
{
	return migration_status(migration).phase >= MIGRATION_COMPLETED;
}

/**
 * migration_supplies() - does the machine run elsewhere, and need memory that is here?
 * @migration: it
 *
 * Return: whether.
 */
bool migration_supplies(struct migration *migration)
{
	return migration->outgoing && migration_status(migration).phase == MIGRATION_POST_COPY;
}

/**
 * migration_phase_name() - a phase in a word
 * @phase: it
 *
 * Return: the word.
 */
const char *migration_phase_name(enum migration_phase phase)
{
	return phases[phase];
}

/**
 * migration_phase() - it has come to another phase
 * @migration: it
 * @phase: which
 * @why: a sentence, or NULL
 */
void migration_phase(struct migration *migration, enum migration_phase phase, const char *why)
{
	struct migration_status status;
	char text[LINK_WHY + 64];

	pthread_mutex_lock(&migration->lock);
	migration->status.phase = phase;
	snprintf(migration->status.why, sizeof(migration->status.why), "%s", why ? why : "");
	status = migration->status;
	pthread_mutex_unlock(&migration->lock);
	machine_told(migration->machine, migration->outgoing ? VIREO_REPORT_SEND : VIREO_REPORT_RECEIVE,
		     phase == MIGRATION_COMPLETED ? "done" : phases[phase], status.pages, status.total, why);
	snprintf(text, sizeof(text), "%s: %s%s%s", migration->outgoing ? "to another launcher" : "from another launcher",
		 phases[phase], why ? ": " : "", why ? why : "");
	control_event(migration->machine->server, "migration", text);
}

/**
 * migration_json() - the status as an object
 * @migration: it
 *
 * Return: the object, or NULL.
 */
json_t *migration_json(struct migration *migration)
{
	struct migration_status status = migration_status(migration);
	json_t *object;

	object = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:i}", "role", migration->outgoing ? "source" : "destination",
			   "phase", phases[status.phase], "round", (json_int_t)status.round, "pages",
			   (json_int_t)status.pages, "left", (json_int_t)status.left, "total", (json_int_t)status.total,
			   "bytes", (json_int_t)status.bytes, "rate", (json_int_t)status.rate, "downtime",
			   (json_int_t)status.downtime_ms, "requests", (json_int_t)status.requests, "throttle",
			   (int)status.throttle);
	if (object && *status.why)
		json_object_set_new(object, "why", json_string(status.why));
	return object;
}

/**
 * migration_wants() - was it set?
 * @flag: @cancel or @closing
 *
 * Return: whether.
 */
bool migration_wants(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

/**
 * migration_want() - set it
 * @flag: @cancel or @closing
 */
void migration_want(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

/**
 * migration_now_ms() - a clock that only goes forward
 *
 * Return: milliseconds.
 */
uint64_t migration_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

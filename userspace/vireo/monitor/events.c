// SPDX-License-Identifier: GPL-2.0-only
/*
 * The numbers of a VM's events have no gaps: one that is larger than the next has lost those in between. If the last ones were
 * lost, a look at the VM tells: it knows the number of its last event. A look at the beginning may be later than events that
 * have not been read yet, so an event with a smaller number than is known is not lost, and nothing to wonder about.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "events.h"
#include "names.h"
#include "text.h"
#include "../util.h"

/**
 * struct events_known - a VM
 * @vm: its number
 * @name: its name
 * @seq: of the last event
 * @lost: some, and its state was not told since
 * @there: while all VMs are looked at: it was found, or something has happened to it
 * @ended: ... and that was its end
 */
struct events_known {
	uint32_t vm;
	char name[MONITOR_NAME];
	uint64_t seq;
	bool lost;
	bool there;
	bool ended;
};

static bool wanted(const struct events *events, uint32_t vm, const char *name)
{
	uint64_t number;

	return !events->only || !strcmp(events->only, name) ||
	       (!parse_number(events->only, UINT32_MAX, &number) && number == vm);
}

static struct events_known *find(struct events *events, uint32_t vm)
{
	size_t i;

	for (i = 0; i < events->nr; i++)
		if (events->known[i].vm == vm)
			return &events->known[i];
	return NULL;
}

static struct events_known *know(struct events *events, uint32_t vm, const char *name, uint64_t seq)
{
	struct events_known *known = reallocarray(events->known, events->nr + 1, sizeof(*known));

	if (!known) {
		report_error("no memory");
		exit(EXIT_FAULT);
	}
	events->known = known;
	known += events->nr++;
	memset(known, 0, sizeof(*known));
	known->vm = vm;
	snprintf(known->name, sizeof(known->name), "%s", name);
	known->seq = seq;
	return known;
}

static void forget(struct events *events, struct events_known *known)
{
	*known = events->known[--events->nr];
}

static uint64_t boot_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static void begin_line(const struct events *events, uint64_t boot, uint32_t vm, const char *name)
{
	uint64_t at = boot + (uint64_t)events->offset;
	time_t seconds = (time_t)(at / NSEC_PER_SEC);
	char clock[16], clean[MONITOR_NAME];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(events->to, "%s.%03u  %s (VM %u)  ", clock, (unsigned int)(at % NSEC_PER_SEC / 1000000),
		text_clean(clean, sizeof(clean), name), vm);
}

/* What all objects have */
static json_t *begin_object(const struct events *events, uint64_t boot, uint32_t vm, const char *name)
{
	uint64_t at = boot + (uint64_t)events->offset;
	time_t seconds = (time_t)(at / NSEC_PER_SEC);
	char date[32], text[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%06uZ", date, (unsigned int)(at % NSEC_PER_SEC / 1000));
	return json_pack("{s:s,s:I,s:o}", "time", text, "vm", (json_int_t)vm, "name", text_json(name));
}

static void end_object(const struct events *events, json_t *object)
{
	json_dumpf(object, events->to, JSON_COMPACT);
	fprintf(events->to, "\n");
	json_decref(object);
}

static void set_number(json_t *object, const char *member, uint64_t number)
{
	json_object_set_new(object, member, json_integer((json_int_t)number));
}

static void set_text(json_t *object, const char *member, const char *text)
{
	json_object_set_new(object, member, text_json(text));
}

static void print_json(const struct events *events, const struct monitor_event *event)
{
	json_t *object = begin_object(events, event->time, event->vm, event->name);

	set_number(object, "seq", event->seq);
	switch (event->kind) {
	case VIREO_NL_CMD_LIFE:
		set_text(object, "group", VIREO_NL_GROUP_LIFE);
		set_text(object, "event", names_life(event->what));
		break;
	case VIREO_NL_CMD_PHASE:
		set_text(object, "group", VIREO_NL_GROUP_PHASES);
		set_text(object, "event", names_operation(event->what));
		set_text(object, "phase", event->phase);
		set_number(object, "pages", event->pages);
		set_number(object, "total", event->total);
		break;
	case VIREO_NL_CMD_THRESHOLD:
		set_text(object, "group", VIREO_NL_GROUP_THRESHOLDS);
		set_text(object, "event", names_threshold(event->what));
		json_object_set_new(object, "over", json_boolean(event->over));
		set_number(object, "value", event->value);
		set_number(object, "limit", event->limit);
		break;
	}
	if (event->vcpu >= 0)
		set_number(object, "vcpu", (uint64_t)event->vcpu);
	if (*event->cause)
		set_text(object, "cause", event->cause);
	end_object(events, object);
}

static void print_text(const struct events *events, const struct monitor_event *event)
{
	char clean[VIREO_NL_CAUSE_MAX + 1];

	begin_line(events, event->time, event->vm, event->name);
	fprintf(events->to, "#%llu  ", (unsigned long long)event->seq);
	switch (event->kind) {
	case VIREO_NL_CMD_LIFE:
		fprintf(events->to, "%s", names_life(event->what));
		break;
	case VIREO_NL_CMD_PHASE:
		fprintf(events->to, "%s %s", names_operation(event->what), text_clean(clean, sizeof(clean), event->phase));
		if (event->total)
			fprintf(events->to, ", %llu of %llu pages", (unsigned long long)event->pages,
				(unsigned long long)event->total);
		else if (event->pages)
			fprintf(events->to, ", %llu pages", (unsigned long long)event->pages);
		break;
	case VIREO_NL_CMD_THRESHOLD:
		fprintf(events->to, "%s %s: %llu, the threshold is %llu", names_threshold(event->what),
			event->over ? "over" : "below again", (unsigned long long)event->value,
			(unsigned long long)event->limit);
		break;
	}
	if (event->vcpu >= 0)
		fprintf(events->to, ", vCPU %d", event->vcpu);
	if (*event->cause)
		fprintf(events->to, ": %s", text_clean(clean, sizeof(clean), event->cause));
	fprintf(events->to, "\n");
}

static void print_lost(const struct events *events, const struct events_known *known, uint64_t from, uint64_t to)
{
	uint64_t now = boot_now();
	json_t *object;

	if (events->json) {
		object = begin_object(events, now, known->vm, known->name);
		set_text(object, "event", "lost");
		set_number(object, "from", from);
		set_number(object, "to", to);
		end_object(events, object);
	} else {
		begin_line(events, now, known->vm, known->name);
		fprintf(events->to, "lost %llu event%s, #%llu to #%llu\n", (unsigned long long)(to - from + 1),
			to == from ? "" : "s", (unsigned long long)from, (unsigned long long)to);
	}
}

/* @vm is NULL: it is gone. */
static void print_state(const struct events *events, uint64_t at, const struct events_known *known, const struct monitor_vm *vm)
{
	json_t *object;

	if (events->json) {
		object = begin_object(events, at, known->vm, known->name);
		set_text(object, "event", vm ? "state" : "gone");
		if (vm) {
			set_text(object, "state", names_state(vm->state));
			set_number(object, "vcpus", vm->vcpus);
			set_number(object, "seq", vm->seq);
		}
		end_object(events, object);
		return;
	}
	begin_line(events, at, known->vm, known->name);
	if (vm)
		fprintf(events->to, "is %s, with %u vCPU%s\n", names_state(vm->state), vm->vcpus, vm->vcpus == 1 ? "" : "s");
	else
		fprintf(events->to, "is gone\n");
}

/**
 * events_begin() - how things are, before the first event
 * @events: to be followed; its groups have been joined
 * @vms: all VMs
 */
void events_begin(struct events *events, const struct monitor_vms *vms)
{
	size_t i;

	for (i = 0; i < vms->nr; i++) {
		const struct monitor_vm *vm = &vms->vm[i];

		if (wanted(events, vm->number, vm->name))
			print_state(events, vms->at, know(events, vm->number, vm->name, vm->seq), vm);
	}
	/* Programs want to know when nothing will be missed any more. */
	if (events->json)
		end_object(events, json_pack("{s:s,s:I}", "event", "listening", "vms", (json_int_t)events->nr));
}

/**
 * events_take() - an event has come
 * @context: struct events
 * @event: the event
 */
void events_take(void *context, const struct monitor_event *event)
{
	struct events *events = context;
	struct events_known *known;

	if (!wanted(events, event->vm, event->name))
		return;
	known = find(events, event->vm);
	/* One that was gone at the first look may have had events before, which nobody has promised. */
	if (!known)
		known = know(events, event->vm, event->name, event->time <= events->since ? event->seq - 1 : 0);
	known->there = true;
	if (event->seq > known->seq + 1) {
		print_lost(events, known, known->seq + 1, event->seq - 1);
		known->lost = true;
		events->behind = true;
	}
	if (event->seq > known->seq)
		known->seq = event->seq;
	events->shown++;
	if (events->json)
		print_json(events, event);
	else
		print_text(events, event);
	if (event->kind != VIREO_NL_CMD_LIFE || event->what != VIREO_NL_LIFE_DESTROYED)
		return;
	known->ended = true;
	/* The look may have found it still. */
	if (!events->looking)
		forget(events, known);
}

/**
 * events_look() - all VMs will be looked at now
 * @events: which are followed
 */
void events_look(struct events *events)
{
	size_t i;

	events->looking = true;
	for (i = 0; i < events->nr; i++)
		events->known[i].there = false;
}

/**
 * events_catch_up() - how things are, after some events were lost
 * @events: which are followed; all that has come until @vms were there has been taken
 * @vms: all VMs
 */
void events_catch_up(struct events *events, const struct monitor_vms *vms)
{
	struct events_known *known;
	size_t i;

	for (i = 0; i < vms->nr; i++) {
		const struct monitor_vm *vm = &vms->vm[i];

		if (!wanted(events, vm->number, vm->name))
			continue;
		known = find(events, vm->number);
		if (!known)
			known = know(events, vm->number, vm->name, 0);
		known->there = true;
		if (known->ended)
			continue;
		if (vm->seq > known->seq) {
			print_lost(events, known, known->seq + 1, vm->seq);
			known->seq = vm->seq;
			known->lost = true;
		}
		if (known->lost)
			print_state(events, vms->at, known, vm);
		known->lost = false;
	}
	for (i = events->nr; i-- > 0;) {
		if (events->known[i].there && !events->known[i].ended)
			continue;
		if (!events->known[i].ended)
			print_state(events, vms->at, &events->known[i], NULL);
		forget(events, &events->known[i]);
	}
	events->behind = false;
	events->looking = false;
}

/**
 * events_free() - done
 * @events: which were followed
 */
void events_free(struct events *events)
{
	free(events->known);
	events->known = NULL;
	events->nr = 0;
}

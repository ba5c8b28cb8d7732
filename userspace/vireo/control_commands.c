// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the commands of the control socket mean for a machine. All of this runs on the server's thread.
 *
 * A command that takes time is asked again and again until it is done; so none of them blocks, and a client
 * that goes away takes its wish with it, though not what was already begun.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "block/branch.h"
#include "control.h"
#include "generation.h"
#include "dev/acpi_pm.h"
#include "rundir.h"
#include "saved/saved.h"
#include "migrate/migration.h"
#include "tree/tree.h"
#include "virtio/balloon.h"

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- Questions ---- */

static json_t *query_status(struct machine *machine)
{
	char reason[MACHINE_REASON_BYTES];
	bool settled, paused = machine_is_paused(machine, &settled, reason);
	char generation[GENERATION_TEXT];
	json_t *status;

	generation_text(&machine->memory, generation);
	status = json_pack("{s:s,s:s,s:i,s:s,s:b}", "generation", generation, "name", machine->name, "pid", (int)getpid(), "state",
			   paused ? "paused" : "running", "stopping", machine->control_stop != 0);
	if (status && paused)
		json_object_set_new(status, "reason", json_string(reason));
	return status;
}

static json_t *query_config(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	json_t *modules = json_array(), *object;
	unsigned int i;

	for (i = 0; i < config->nr_modules; i++)
		json_array_append_new(modules, json_string(config->modules[i].path));
	object = json_pack("{s:s,s:s*,s:s*,s:I,s:i,s:s*,s:b,s:b}", "name", machine->name, "kernel",
			   config->kernel,
			   "cmdline", config->cmdline, "memory", (json_int_t)config->memory, "cpus",
			   (int)config->cpus, "console", machine->console_where, "no-reboot", config->no_reboot, "hybrid",
			   config->hybrid);
	if (object)
		json_object_set(object, "modules", modules);
	json_decref(modules);
	return object;
}

static json_t *query_cpus(struct machine *machine)
{
	json_t *list = json_array(), *cpu;
	struct vireo_stats stats;
	unsigned int i, reason;
	uint64_t exits;

	for (i = 0; i < machine->nr_cpus; i++) {
		if (vireo_vcpu_get_stats(machine->cpu[i].vcpu, &stats))
			continue;
		for (exits = 0, reason = 0; reason < VIREO_STATS_EXITS; reason++)
			exits += stats.exits[reason];
		cpu = json_pack("{s:i,s:I,s:I,s:I,s:I}", "cpu", (int)i, "entries", (json_int_t)stats.entries,
				"exits", (json_int_t)exits, "user-exits", (json_int_t)stats.user_exits, "injected",
				(json_int_t)stats.injected);
		json_array_append_new(list, cpu);
	}
	return list;
}

static uint64_t resident_bytes(void)
{
	unsigned long long size, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static json_t *balloon_object(struct balloon *balloon)
{
	json_t *object, *stats = json_object();
	struct balloon_info info;
	unsigned int tag;

	balloon_info(balloon, &info);
	for (tag = 0; tag < BALLOON_STATS; tag++)
		if (info.has & BIT(tag) && balloon_stat_name(tag))
			json_object_set_new(stats, balloon_stat_name(tag),
					    json_integer((json_int_t)info.stat[tag]));
	object = json_pack("{s:I,s:I,s:I}", "target", (json_int_t)info.target, "actual",
			   (json_int_t)info.actual,
			   "reported", (json_int_t)info.reported);
	if (object)
		json_object_set(object, "statistics", stats);
	json_decref(stats);
	return object;
}

/* The guest is asked for its statistics, and has a moment to answer. */
static json_t *query_memory(struct machine *machine, bool again)
{
	struct balloon *balloon = machine->board.balloon;
	json_t *object;

	if (balloon && !again)
		balloon_ask(balloon);
	if (balloon && !balloon_answered(balloon))
		return NULL;
	object = json_pack("{s:I,s:I}", "bytes", (json_int_t)machine->memory.total, "resident",
			   (json_int_t)resident_bytes());
	if (object && balloon)
		json_object_set_new(object, "balloon", balloon_object(balloon));
	return protocol_result(object);
}

static json_t *set_balloon(struct machine *machine, const struct protocol_request *request)
{
	struct balloon *balloon = machine->board.balloon;

	if (!balloon)
		return protocol_error("no-balloon", "the machine has no balloon (vireo run --balloon)");
	if (balloon_set(balloon, (uint64_t)protocol_integer(request, "size", 0)))
		return protocol_error("bad-member", "the machine has no more than %llu MiB",
				      (unsigned long long)(machine->memory.total / MIB));
	return protocol_result(balloon_object(balloon));
}

static json_t *query_devices(struct machine *machine)
{
	const struct device *device;
	json_t *list = json_array();

	/* Devices are plugged in before the first client is served, and stay. */
	for (device = machine->board.devices; device; device = device->next)
		json_array_append_new(list, json_pack("{s:s,s:b}", "name", device->name, "state",
						      device->ops->state != NULL));
	return list;
}

/* Since the launcher began; the last one. */
static json_t *query_migration(struct machine *machine)
{
	return machine->migration ? migration_json(machine->migration) : json_pack("{s:s}", "phase", "none");
}

static json_t *query(struct machine *machine, const struct protocol_request *request, bool again)
{
	static const struct {
		const char *what;
		json_t *(*answer)(struct machine *machine);
	} questions[] = {
		{ "status", query_status },	{ "config", query_config },
		{ "cpus", query_cpus },		{ "devices", query_devices },
		{ "migration", query_migration },	{ "tree", tree_json },
	};
	const char *what = protocol_string(request, "what");
	size_t i;

	if (!strcmp(what, "memory"))
		return query_memory(machine, again);
	for (i = 0; i < ARRAY_SIZE(questions); i++)
		if (!strcmp(what, questions[i].what))
			return protocol_result(questions[i].answer(machine));
	return protocol_error("bad-member", "\"what\" is status, config, cpus, memory, devices, migration or tree");
}

/* ---- Wishes ---- */

static json_t *set_paused(struct machine *machine, bool want, bool again)
{
	bool settled, paused;

	if (!again) {
		if (want)
			machine_pause(machine, "user");
		else if (machine_resume(machine))
			return protocol_error("migrating", "the machine is on its way to another launcher");
	}
	paused = machine_is_paused(machine, &settled, NULL);
	/* Should somebody else want the opposite meanwhile, theirs is the later wish. */
	return settled || paused == want ? protocol_result(NULL) : NULL;
}

static json_t *reset(struct machine *machine)
{
	if (machine_is_held(machine))
		return protocol_error("migrating", "the machine is on its way to another launcher");
	machine_request(machine, MACHINE_RESET, EXIT_OK, NULL);
	return protocol_result(NULL);
}

static json_t *stop(struct machine *machine, const struct protocol_request *request)
{
	int64_t timeout = protocol_integer(request, "timeout", -1);
	bool settled;

	if (machine->migration && migration_supplies(machine->migration))
		return protocol_error("migrating", "the machine goes on elsewhere, and some of its memory is still here alone");
	if (protocol_flag(request, "hard")) {
		machine_request(machine, MACHINE_END, EXIT_OK, NULL);
		return protocol_result(NULL);
	}
	if (machine_is_paused(machine, &settled, NULL))
		return protocol_error("paused",
				      "a paused guest does not see the button: resume it first, or stop it hard");
	board_lock(&machine->board);
	acpi_pm_power_button(machine->acpi_pm);
	board_unlock(&machine->board);
	if (timeout >= 0)
		machine->control_stop = now_ms() + (uint64_t)timeout * 1000;
	return protocol_result(NULL);
}

static json_t *save(struct machine *machine, const struct protocol_request *request, bool again)
{
	const char *path = protocol_string(request, "path"), *then = protocol_string(request, "then");
	char why[SAVED_WHY] = "";
	json_t *result;
	int error;

	if (!again) {
		if (*path != '/')
			return protocol_error("bad-member", "\"path\" does not begin with \"/\"");
		switch (machine_save(machine, path, then ? then : "stop")) {
		case 0:
			return NULL;
		case -EINVAL:
			return protocol_error("bad-member", "\"then\" is stop, continue or pause");
		case -EBUSY:
			return protocol_error("saving", "the machine is being saved already, or moves");
		default:
			return protocol_error("no-memory", "there is no memory");
		}
	}
	result = machine_save_result(machine, why, &error);
	if (!result && !*why)
		return NULL;
	return result ? protocol_result(result) : protocol_error("not-saved", "%s", why);
}

static bool is_moving(const struct machine *machine)
{
	return machine->migration && machine->migration->outgoing && !migration_over(machine->migration);
}

static json_t *begin_task(struct machine *machine, enum machine_task kind, const char *name, const char *tag)
{
	if (name && !rundir_name_valid(name))
		return protocol_error("bad-member", "\"name\" has at most 31 bytes, letters, digits, \".\", \"_\" and \"-\"");
	if (tag && !rundir_name_valid(tag))
		return protocol_error("bad-member", "\"tag\" has at most 31 bytes, letters, digits, \".\", \"_\" and \"-\"");
	if (is_moving(machine) && (kind == TASK_SNAPSHOT || kind == TASK_ROLLBACK))
		return protocol_error("migrating", "the machine is on its way to another launcher");
	switch (machine_task(machine, kind, name, tag)) {
	case 0:
		return NULL;
	case -EBUSY:
		return protocol_error("saving", "the machine is being saved, forks, goes back, or moves");
	default:
		return protocol_error("no-memory", "there is no memory");
	}
}

static json_t *end_task(struct machine *machine, const char *failed)
{
	char why[SAVED_WHY] = "";
	json_t *result;
	int error;

	result = machine_save_result(machine, why, &error);
	if (!result && !*why)
		return NULL;
	if (result)
		return protocol_result(result);
	return protocol_error(error == -ENOENT ? "no-snapshot" : error == -EEXIST ? "snapshot-exists" : failed, "%s", why);
}

static json_t *fork_machine(struct machine *machine, const struct protocol_request *request, bool again)
{
	const char *tag = protocol_string(request, "tag");

	return again ? end_task(machine, "not-forked") :
		       begin_task(machine, tag ? TASK_BRANCH : TASK_FORK, protocol_string(request, "name"), tag);
}

static json_t *snapshot(struct machine *machine, const struct protocol_request *request, bool again,
			enum machine_task kind)
{
	return again ? end_task(machine, "not-done") : begin_task(machine, kind, NULL, protocol_string(request, "tag"));
}

static bool is_saving(struct machine *machine)
{
	bool saving;

	pthread_mutex_lock(&machine->control_lock);
	saving = machine_is_saving(machine);
	pthread_mutex_unlock(&machine->control_lock);
	return saving;
}

static json_t *migrate(struct machine *machine, const struct protocol_request *request)
{
	const char *mode = protocol_string(request, "mode"), *tls = protocol_string(request, "tls");
	const char *to = protocol_string(request, "to");
	struct migration_options options = {
		.downtime_ms = (uint64_t)protocol_integer(request, "downtime", MIGRATION_DOWNTIME_MS),
		.bandwidth = (uint64_t)protocol_integer(request, "bandwidth", 0),
		.timeout_ms = (unsigned int)protocol_integer(request, "timeout", LINK_TIMEOUT_MS / 1000) * 1000,
		.verify = protocol_flag(request, "verify"),
		.change = protocol_flag(request, "switch"),
	};
	char why[LINK_WHY];
	int r;

	if (mode && strcmp(mode, "pre") && strcmp(mode, "stop") && strcmp(mode, "post"))
		return protocol_error("bad-member", "\"mode\" is pre, stop or post");
	if (options.change && mode && strcmp(mode, "pre"))
		return protocol_error("bad-member", "\"switch\" is for mode pre");
	if (strlen(to) >= sizeof(options.to) || (tls && strlen(tls) >= sizeof(options.tls)))
		return protocol_error("bad-member", "\"to\" or \"tls\" is too long");
	if (is_saving(machine))
		return protocol_error("saving", "the machine is being saved, forks, or goes back");
	if (!tree_is_empty(machine))
		return protocol_error("snapshots", "the machine has snapshots, which would not move with it: delete them first");
	if (branch_nr())
		return protocol_error("disks", "the machine has disks that branch, whose overlays would not move with it");
	strcpy(options.to, to);
	strcpy(options.tls, tls ? tls : "");
	if (mode && strcmp(mode, "pre"))
		options.mode = strcmp(mode, "stop") ? MIGRATION_POST : MIGRATION_STOP;
	r = migration_start(machine, &options, why);
	if (r)
		return protocol_error(r == -EINVAL ? "bad-member" : "migrating", "%s", why);
	return protocol_result(NULL);
}

static json_t *migrate_cancel(struct machine *machine)
{
	switch (migration_cancel(machine)) {
	case 0:
		return protocol_result(NULL);
	case -EBUSY:
		return protocol_error("too-late", "the machine is being handed over");
	default:
		return protocol_error("no-migration", "no migration is under way");
	}
}

static json_t *migrate_switch(struct machine *machine)
{
	switch (migration_change(machine)) {
	case 0:
		return protocol_result(NULL);
	case -EBUSY:
		return protocol_error("too-late", "memory is not being copied while the machine runs");
	case -EOPNOTSUPP:
		return protocol_error("not-supported", "the destination cannot take memory after the machine");
	default:
		return protocol_error("no-migration", "no migration is under way");
	}
}

static json_t *migrate_resolve(struct machine *machine, const struct protocol_request *request)
{
	bool keep = protocol_flag(request, "keep");

	switch (migration_resolve(machine, keep ? MIGRATION_KEEP : MIGRATION_DROP)) {
	case 0:
		return protocol_result(NULL);
	case -ENODATA:
		return protocol_error("not-here", "the machine cannot go on here: the other side has memory that is not here");
	default:
		return protocol_error("no-migration", "no migration is in doubt");
	}
}

static json_t *command(void *opaque, const struct protocol_request *request, bool again)
{
	const char *name = request->command->name;
	struct machine *machine = opaque;

	if (!strcmp(name, "query"))
		return query(machine, request, again);
	if (!strcmp(name, "pause"))
		return set_paused(machine, true, again);
	if (!strcmp(name, "resume"))
		return set_paused(machine, false, again);
	if (!strcmp(name, "reset"))
		return reset(machine);
	if (!strcmp(name, "stop"))
		return stop(machine, request);
	if (!strcmp(name, "save"))
		return save(machine, request, again);
	if (!strcmp(name, "fork"))
		return fork_machine(machine, request, again);
	if (!strcmp(name, "snapshot"))
		return snapshot(machine, request, again, TASK_SNAPSHOT);
	if (!strcmp(name, "rollback"))
		return snapshot(machine, request, again, TASK_ROLLBACK);
	if (!strcmp(name, "snapshot-delete"))
		return snapshot(machine, request, again, TASK_DELETE);
	if (!strcmp(name, "migrate"))
		return migrate(machine, request);
	if (!strcmp(name, "migrate-cancel"))
		return migrate_cancel(machine);
	if (!strcmp(name, "migrate-switch"))
		return migrate_switch(machine);
	if (!strcmp(name, "migrate-resolve"))
		return migrate_resolve(machine, request);
	return set_balloon(machine, request);
}

/* @control_stop: when a guest that does not react to its button is ended; 0: never. */
static int tick(void *opaque)
{
	struct machine *machine = opaque;
	uint64_t now;

	if (!machine->control_stop)
		return -1;
	now = now_ms();
	if (now < machine->control_stop)
		return (int)(machine->control_stop - now);
	machine->control_stop = 0;
	machine_request(machine, MACHINE_END, EXIT_OK, NULL);
	return -1;
}

static size_t input(void *opaque, const uint8_t *bytes, size_t n)
{
	struct machine *machine = opaque;

	return console_type(machine->console, bytes, n);
}

/**
 * machine_control_open() - give a machine its control socket
 * @machine: the machine; control_start() lets clients in
 *
 * Return: 0, or the exit status; a message is out.
 */
int machine_control_open(struct machine *machine)
{
	static const struct control_ops ops = { command, tick, input };

	return control_open(machine->name, machine->config->name, &ops, machine,
			    &machine->server) ? EXIT_USAGE : 0;
}

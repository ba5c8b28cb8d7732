// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the main thread does for a client, one at a time: saving a machine, making a second one of it, taking a snapshot, going back to
 * one. For most of that the machine comes to rest, and it goes on or ends afterwards.
 *
 * Since the main thread does it, whatever else is asked for waits until it is done; but for the machine's end, which
 * ends a saving.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"
#include "control.h"
#include "block/branch.h"
#include "description.h"
#include "fork.h"
#include "machine_state.h"
#include "saved/saved.h"
#include "tree/tree.h"

enum then {
	THEN_STOP,
	THEN_CONTINUE,
	THEN_PAUSE,
	THEN_NR
};

static const char *const then_names[THEN_NR] = { "stop", "continue", "pause" };

/**
 * struct save - one of these tasks
 * @kind: which
 * @name: path of the file, or name of the second machine; NULL if it needs none
 * @tag: of a snapshot; NULL if it needs none
 * @then: what becomes of the machine
 * @ran: it was not paused before
 * @done: the rest is the result
 * @error: 0, or a negative errno
 * @why: sentence, if it has failed
 * @pid: launcher of the second machine
 * @job: numbers, of a saving
 */
struct save {
	enum machine_task kind;
	char *name;
	char *tag;
	enum then then;
	bool ran;
	bool done;
	int error;
	char why[SAVED_WHY];
	pid_t pid;
	struct saved_job job;
};

_Static_assert(SAVED_WHY >= BRANCH_WHY && FORK_WHY >= BRANCH_WHY && SAVED_WHY >= FORK_WHY && SAVED_WHY >= MACHINE_STATE_WHY, "room for anybody's sentence");

/* Why it rests, for people; NULL: it need not */
static const char *const reasons[TASK_NR] = {
	[TASK_SAVE] = "saved", [TASK_FORK] = "forks", [TASK_SNAPSHOT] = "snapshot", [TASK_ROLLBACK] = "rolled back",
};

/* What it is to those who follow the machine */
static const enum vireo_report_kind told[TASK_NR] = {
	[TASK_SAVE] = VIREO_REPORT_SAVE, [TASK_FORK] = VIREO_REPORT_FORK, [TASK_BRANCH] = VIREO_REPORT_FORK,
	[TASK_SNAPSHOT] = VIREO_REPORT_SNAPSHOT, [TASK_ROLLBACK] = VIREO_REPORT_ROLLBACK, [TASK_DELETE] = VIREO_REPORT_DROP,
};

static void save_free(struct save *save)
{
	if (save) {
		free(save->name);
		free(save->tag);
	}
	free(save);
}

/**
 * machine_is_saving() - is it about to be saved?
 * @machine: the machine; the caller holds its control_lock
 *
 * Return: whether.
 */
bool machine_is_saving(const struct machine *machine)
{
	return machine->save && !machine->save->done;
}

static char *copy(const char *text, bool *failed)
{
	char *copied = text ? strdup(text) : NULL;

	*failed |= text && !copied;
	return copied;
}

static int ask(struct machine *machine, enum machine_task kind, enum then then, const char *name, const char *tag)
{
	struct save *save = calloc(1, sizeof(*save)), *old;
	bool busy, failed = !save;

	if (save) {
		save->name = copy(name, &failed);
		save->tag = copy(tag, &failed);
	}
	if (failed) {
		save_free(save);
		return -ENOMEM;
	}
	save->kind = kind;
	save->then = then;
	pthread_mutex_lock(&machine->control_lock);
	/* Of one that is done, nobody has waited for the result. */
	old = machine->save;
	/* Memory that has not come yet cannot be shared, and who read it all would wait for all of it. */
	busy = machine->held || machine_is_saving(machine) || __atomic_load_n(&machine->filling, __ATOMIC_ACQUIRE);
	if (!busy) {
		save->ran = !machine->want_paused;
		machine->save = save;
		save = old;
	}
	pthread_mutex_unlock(&machine->control_lock);
	save_free(save);
	if (busy)
		return -EBUSY;
	/* Already paused, it stays so, and looks all the same. */
	if (reasons[kind])
		machine_pause(machine, reasons[kind]);
	else
		machine_wake(machine);
	return 0;
}

/**
 * machine_save() - ask for a machine to be saved
 * @machine: the machine
 * @path: of the file
 * @then: "stop", "continue" or "pause": what becomes of the machine; it is as before if it cannot be saved
 *
 * Return: 0; -EINVAL (@then), -EBUSY (it is being saved, or moves), -ENOMEM.
 */
int machine_save(struct machine *machine, const char *path, const char *then)
{
	int i;

	for (i = 0; i < THEN_NR && strcmp(then, then_names[i]); i++)
		;
	return i == THEN_NR ? -EINVAL : ask(machine, TASK_SAVE, (enum then)i, path, NULL);
}

/**
 * machine_task() - ask for something else that the main thread does
 * @machine: the machine
 * @kind: what; not TASK_SAVE
 * @name: of the second machine; or NULL
 * @tag: of a snapshot; or NULL
 *
 * Return: 0; -EBUSY (it is being saved, or moves), -ENOMEM.
 */
int machine_task(struct machine *machine, enum machine_task kind, const char *name, const char *tag)
{
	return ask(machine, kind, THEN_CONTINUE, name, tag);
}

static json_t *result_of(const struct machine *machine, const struct save *save)
{
	switch (save->kind) {
	case TASK_SAVE:
		return json_pack("{s:s,s:I,s:I,s:I}", "path", save->name, "bytes",
				 (json_int_t)save->job.file_bytes, "memory-saved",
				 (json_int_t)save->job.memory_bytes, "memory",
				 (json_int_t)machine->memory.total);
	case TASK_FORK:
	case TASK_BRANCH:
		return json_pack("{s:s,s:i}", "name", save->name, "pid", (int)save->pid);
	default:
		return json_pack("{s:s}", "tag", save->tag);
	}
}

/**
 * machine_save_result() - what has become of it
 * @machine: the machine
 * @why: SAVED_WHY bytes, for a sentence if it has failed
 * @error: a negative errno then
 *
 * Return: an object; NULL: it has failed, or, with @why unchanged, is not done.
 */
json_t *machine_save_result(struct machine *machine, char *why, int *error)
{
	struct save *save = NULL;
	json_t *result = NULL;

	pthread_mutex_lock(&machine->control_lock);
	if (machine->save && machine->save->done) {
		save = machine->save;
		machine->save = NULL;
	}
	pthread_mutex_unlock(&machine->control_lock);
	if (!save)
		return NULL;
	*error = save->error;
	if (save->error)
		memcpy(why, save->why, SAVED_WHY);
	else
		result = result_of(machine, save);
	/* The path is the client's and was UTF-8: only memory can be missing. */
	if (!result && !*why)
		snprintf(why, SAVED_WHY, "there is no memory");
	save_free(save);
	return result;
}

/**
 * machine_save_forget() - the machine has ended
 * @machine: the machine; nobody asks any more
 */
void machine_save_forget(struct machine *machine)
{
	save_free(machine->save);
	machine->save = NULL;
}

static bool cancelled(void *opaque)
{
	struct machine *machine = opaque;
	bool end;

	machine_look_at_signals(machine);
	pthread_mutex_lock(&machine->control_lock);
	end = machine->request == MACHINE_END;
	pthread_mutex_unlock(&machine->control_lock);
	return end;
}

static json_t *make_info(struct machine *machine)
{
	json_t *description = description_make(machine->config, machine_cpu_profile(machine));
	char when[32];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!description)
		return NULL;
	return json_pack("{s:s,s:s,s:s,s:o}", "vireo", vireo_version(), "name", machine->name, "time", when,
			 "machine", description);
}

static const char *busy_device(struct machine *machine)
{
	const char *busy;

	board_lock(&machine->board);
	busy = board_busy(&machine->board);
	board_unlock(&machine->board);
	return busy;
}

/* Those that need the state of the machine as it is */
static int use_state(struct machine *machine, struct save *save)
{
	const char *busy = busy_device(machine);
	struct state_buffer state = { 0 };
	json_t *info;
	int r;

	if (busy) {
		snprintf(save->why, sizeof(save->why), "%s", busy);
		return -EBUSY;
	}
	/* Disks that branch go on in new overlays: what they had until now is nobody's to write to any more. */
	r = branch_begin(NULL, save->why);
	if (r)
		return r;
	info = make_info(machine);
	r = info ? machine_state_save(machine, save->kind == TASK_SAVE, &state) : -ENOMEM;
	if (r) {
		snprintf(save->why, sizeof(save->why), "the machine's state cannot be read: %s", strerror(-r));
	} else if (save->kind == TASK_FORK) {
		r = save->pid = machine_fork(machine, save->name, info, &state, save->why);
	} else if (save->kind == TASK_SNAPSHOT) {
		r = tree_snapshot(machine, save->tag, info, &state, save->why);
	} else {
		save->job = (struct saved_job){
			.memory = &machine->memory,
			.info = info,
			.state = &state,
			.cancelled = cancelled,
			.opaque = machine,
		};
		r = saved_write_file(&save->job, save->name, save->why);
	}
	/* A snapshot has them by now. */
	if (r < 0)
		branch_revert();
	else
		branch_commit(NULL, save->kind != TASK_SNAPSHOT);
	json_decref(info);
	state_buffer_free(&state);
	return r < 0 ? r : 0;
}

static int do_task(struct machine *machine, struct save *save)
{
	const char *busy;

	switch (save->kind) {
	case TASK_ROLLBACK:
		busy = busy_device(machine);
		if (busy) {
			snprintf(save->why, sizeof(save->why), "%s", busy);
			return -EBUSY;
		}
		return tree_rollback(machine, save->tag, save->why);
	case TASK_DELETE:
		return tree_delete(machine, save->tag, save->why);
	case TASK_BRANCH:
		save->pid = tree_fork(machine, save->tag, save->name, save->why);
		return save->pid < 0 ? save->pid : 0;
	default:
		return use_state(machine, save);
	}
}

static void tell(struct machine *machine, const struct save *save)
{
	static const char *const texts[TASK_NR] = {
		[TASK_SNAPSHOT] = "the snapshot \"%s\" was taken",
		[TASK_ROLLBACK] = "the machine goes on from the snapshot \"%s\"",
		[TASK_DELETE] = "the snapshot \"%s\" was deleted",
	};
	char text[96];

	if (!texts[save->kind])
		return;
	snprintf(text, sizeof(text), texts[save->kind], save->tag);
	control_event(machine->server, save->kind == TASK_ROLLBACK ? "rolled-back" : "snapshot", text);
}

/**
 * machine_serve_save() - save the machine, or whatever was asked for
 * @machine: the machine; by the main thread
 * @rests: all vCPUs are parked, and what was asked for of pauses is done; else only that is done for which the machine may run
 */
void machine_serve_save(struct machine *machine, bool rests)
{
	struct save *save;
	bool paused;
	int r;

	pthread_mutex_lock(&machine->control_lock);
	save = machine->save;
	paused = machine->paused;
	if (save && (save->done || (!rests && reasons[save->kind])))
		save = NULL;
	pthread_mutex_unlock(&machine->control_lock);
	if (!save)
		return;
	if (paused || !reasons[save->kind]) {
		machine_told(machine, told[save->kind], "begin", 0, 0, NULL);
		r = do_task(machine, save);
		machine_told(machine, told[save->kind], r == -ECANCELED ? "cancelled" : r ? "failed" : "done",
			     r ? 0 : save->job.memory_bytes / 4096, save->job.memory_bytes ? machine->memory.total / 4096 : 0,
			     r ? save->why : NULL);
	} else {
		r = -EAGAIN;
		snprintf(save->why, sizeof(save->why), "somebody has resumed the machine before it was done");
	}
	if (!r)
		tell(machine, save);
	if (reasons[save->kind] && save->ran && (r || save->then == THEN_CONTINUE))
		machine_resume(machine);
	if (!r && save->then == THEN_STOP)
		machine_request(machine, MACHINE_END, EXIT_OK, NULL);
	pthread_mutex_lock(&machine->control_lock);
	save->error = r;
	save->done = true;
	pthread_mutex_unlock(&machine->control_lock);
	control_wake(machine->server);
}

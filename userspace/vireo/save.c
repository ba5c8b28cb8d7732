// SPDX-License-Identifier: GPL-2.0-only
/*
 * Saving a machine that runs, or making a second one of it: it comes to rest, the main thread does it, and it goes on or ends.
 *
 * Since the main thread does it, whatever else is asked for waits until it is done; but for the machine's end, which
 * ends the saving.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"
#include "control.h"
#include "description.h"
#include "fork.h"
#include "machine_state.h"
#include "saved/saved.h"

enum then {
	THEN_STOP,
	THEN_CONTINUE,
	THEN_PAUSE,
	THEN_NR
};

static const char *const then_names[THEN_NR] = { "stop", "continue", "pause" };

/**
 * struct save - one saving
 * @path: of the file; or, if @fork, the name of the second machine
 * @fork: it is not saved, but forks
 * @pid: its launcher, then
 * @then: what becomes of the machine
 * @ran: it was not paused before
 * @done: the rest is the result
 * @why: sentence, if it has failed; else empty
 * @job: numbers, if it has not
 */
struct save {
	char *path;
	bool fork;
	pid_t pid;
	enum then then;
	bool ran;
	bool done;
	char why[SAVED_WHY];
	struct saved_job job;
};

static void save_free(struct save *save)
{
	if (save)
		free(save->path);
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

/**
 * machine_save() - ask for a machine to be saved
 * @machine: the machine
 * @path: of the file
 * @then: "stop", "continue" or "pause": what becomes of the machine; it is as before if it cannot be saved. NULL: @path is
 *	  the name of a second machine, which is made of it
 *
 * Return: 0; -EINVAL (@then), -EBUSY (it is being saved, or moves), -ENOMEM.
 */
int machine_save(struct machine *machine, const char *path, const char *then)
{
	struct save *save, *old;
	bool busy;
	int i;

	for (i = then ? 0 : THEN_CONTINUE; then && i < THEN_NR && strcmp(then, then_names[i]); i++)
		;
	if (i == THEN_NR)
		return -EINVAL;
	save = calloc(1, sizeof(*save));
	if (save)
		save->path = strdup(path);
	if (!save || !save->path) {
		save_free(save);
		return -ENOMEM;
	}
	save->then = (enum then)i;
	save->fork = !then;
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
	machine_pause(machine, then ? "saved" : "forks");
	return 0;
}

/**
 * machine_save_result() - what has become of it
 * @machine: the machine
 * @why: SAVED_WHY bytes, for a sentence if it has failed
 *
 * Return: an object; NULL: it has failed, or, with @why unchanged, is not done.
 */
json_t *machine_save_result(struct machine *machine, char *why)
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
	if (*save->why)
		memcpy(why, save->why, SAVED_WHY);
	else if (save->fork)
		result = json_pack("{s:s,s:i}", "name", save->path, "pid", (int)save->pid);
	else
		result = json_pack("{s:s,s:I,s:I,s:I}", "path", save->path, "bytes",
				   (json_int_t)save->job.file_bytes, "memory-saved",
				   (json_int_t)save->job.memory_bytes, "memory",
				   (json_int_t)machine->memory.total);
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

static json_t *make_info(const struct machine *machine)
{
	json_t *description = description_make(machine->config);
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

static int write_machine(struct machine *machine, struct save *save)
{
	struct state_buffer state = { 0 };
	const char *busy;
	int r;

	board_lock(&machine->board);
	busy = board_busy(&machine->board);
	board_unlock(&machine->board);
	if (busy) {
		snprintf(save->why, sizeof(save->why), "%s", busy);
		return -EBUSY;
	}
	save->job = (struct saved_job){
		.memory = &machine->memory,
		.info = make_info(machine),
		.state = &state,
		.cancelled = cancelled,
		.opaque = machine,
	};
	r = save->job.info ? machine_state_save(machine, &state) : -ENOMEM;
	if (r)
		snprintf(save->why, sizeof(save->why), "the machine's state cannot be read: %s", strerror(-r));
	else if (save->fork)
		r = save->pid = machine_fork(machine, save->path, save->job.info, &state, save->why);
	else
		r = saved_write_file(&save->job, save->path, save->why);
	json_decref(save->job.info);
	state_buffer_free(&state);
	return r < 0 ? r : 0;
}

/**
 * machine_serve_save() - save the machine, if that was asked for
 * @machine: the machine; by the main thread, all vCPUs are parked
 */
void machine_serve_save(struct machine *machine)
{
	struct save *save;
	bool paused;
	int r;

	pthread_mutex_lock(&machine->control_lock);
	save = machine->save;
	paused = machine->paused;
	if (save && save->done)
		save = NULL;
	pthread_mutex_unlock(&machine->control_lock);
	if (!save)
		return;
	if (paused) {
		r = write_machine(machine, save);
	} else {
		r = -EAGAIN;
		snprintf(save->why, sizeof(save->why), "somebody has resumed the machine before it was saved");
	}
	if (save->ran && (r || save->then == THEN_CONTINUE))
		machine_resume(machine);
	if (!r && save->then == THEN_STOP)
		machine_request(machine, MACHINE_END, EXIT_OK, NULL);
	pthread_mutex_lock(&machine->control_lock);
	save->done = true;
	pthread_mutex_unlock(&machine->control_lock);
	control_wake(machine->server);
}

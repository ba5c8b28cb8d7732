// SPDX-License-Identifier: GPL-2.0-only
/* vCPUs that write memory faster than it is copied run for less of the time: they look at machine->throttle when they are kicked. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "migration.h"
#include "../machine.h"

#define KICK_NS 5000000L

struct throttle {
	struct machine *machine;
	pthread_t thread;
	bool stop;
};

static void *kick(void *opaque)
{
	static const struct timespec ts = { 0, KICK_NS };
	struct throttle *throttle = opaque;
	unsigned int i;

	while (!migration_wants(&throttle->stop)) {
		for (i = 0; i < throttle->machine->nr_cpus; i++)
			vireo_vcpu_kick(throttle->machine->cpu[i].vcpu);
		nanosleep(&ts, NULL);
	}
	return NULL;
}

/**
 * throttle_set() - slow a machine down
 * @throttle: NULL at first
 * @machine: the machine
 * @percent: of the time in which its vCPUs do not run; 1 to 99
 *
 * Return: 0, or a negative errno.
 */
int throttle_set(struct throttle **throttle, struct machine *machine, unsigned int percent)
{
	struct throttle *new;
	int r;

	if (!*throttle) {
		new = calloc(1, sizeof(*new));
		if (!new)
			return -ENOMEM;
		new->machine = machine;
		r = pthread_create(&new->thread, NULL, kick, new);
		if (r) {
			free(new);
			return -r;
		}
		*throttle = new;
	}
	__atomic_store_n(&machine->throttle, percent, __ATOMIC_RELAXED);
	return 0;
}

/**
 * throttle_end() - let it run as it likes
 * @throttle: what throttle_set() has made; may be NULL
 */
void throttle_end(struct throttle *throttle)
{
	if (!throttle)
		return;
	__atomic_store_n(&throttle->machine->throttle, 0, __ATOMIC_RELAXED);
	migration_want(&throttle->stop);
	pthread_join(throttle->thread, NULL);
	free(throttle);
}

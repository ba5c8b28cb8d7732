// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest has a handful of timers: a sorted list beats anything cleverer.
 *
 * The timerfd is set only when the earliest deadline becomes earlier. When it
 * becomes later the old setting stays, and the wake-up that comes too early
 * finds nothing due and sets the new one: guests that stop and restart a
 * timer on each tick cost one system call, not three.
 */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "timers.h"
#include "util.h"

static uint64_t monotonic(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/**
 * timers_init() - start without a deadline, on the real clock
 * @timers: to be initialised
 *
 * Return: 0, or a negative errno.
 */
int timers_init(struct timers *timers)
{
	timers_init_manual(timers, monotonic, NULL);
	timers->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return timers->fd < 0 ? -errno : 0;
}

/**
 * timers_init_manual() - start without a deadline, on somebody else's clock
 * @timers: to be initialised
 * @now: the clock
 * @arg: handed to @now
 */
void timers_init_manual(struct timers *timers, uint64_t (*now)(void *arg), void *arg)
{
	memset(timers, 0, sizeof(*timers));
	timers->fd = -1;
	timers->now = now;
	timers->now_arg = arg;
}

/**
 * timers_destroy() - give the timerfd back
 * @timers: without users
 */
void timers_destroy(struct timers *timers)
{
	if (timers->fd >= 0)
		close(timers->fd);
	timers->fd = -1;
}

/**
 * timers_now() - what time it is for devices
 * @timers: the timers
 *
 * Return: nanoseconds.
 */
uint64_t timers_now(const struct timers *timers)
{
	return timers->stopped ? timers->stood : timers->now(timers->now_arg) - timers->lag;
}

static void program(struct timers *timers)
{
	struct itimerspec when = { 0 };

	if (timers->fd < 0 || !timers->head || timers->stopped)
		return;
	if (timers->programmed && timers->programmed <= timers->head->deadline)
		return;
	timers->programmed = timers->head->deadline ? timers->head->deadline : 1;
	when.it_value.tv_sec = (time_t)((timers->programmed + timers->lag) / NSEC_PER_SEC);
	when.it_value.tv_nsec = (long)((timers->programmed + timers->lag) % NSEC_PER_SEC);
	timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/**
 * timer_init() - prepare a timer
 * @timer: it
 * @fire: what to do at the deadline
 * @opaque: handed to @fire
 */
void timer_init(struct timer *timer, void (*fire)(void *opaque), void *opaque)
{
	memset(timer, 0, sizeof(*timer));
	timer->fire = fire;
	timer->opaque = opaque;
}

/**
 * timer_cancel() - forget a deadline
 * @timers: the list
 * @timer: armed or not
 */
void timer_cancel(struct timers *timers, struct timer *timer)
{
	struct timer **link;

	if (!timer->armed)
		return;
	for (link = &timers->head; *link; link = &(*link)->next) {
		if (*link == timer) {
			*link = timer->next;
			break;
		}
	}
	timer->armed = false;
}

/**
 * timer_arm() - set or move a deadline
 * @timers: the list
 * @timer: armed or not
 * @deadline: when; in the past means at once, but not from within this call
 */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t deadline)
{
	struct timer **link;

	timer_cancel(timers, timer);
	for (link = &timers->head; *link && (*link)->deadline <= deadline; link = &(*link)->next)
		;
	timer->deadline = deadline;
	timer->next = *link;
	timer->armed = true;
	timer->armed_in = timers->run;
	*link = timer;
	program(timers);
}

/**
 * timers_run() - fire what is due
 * @timers: the list
 *
 * A timer that arms itself again in the past fires once more at the next
 * call, not in this one: a device with too short a period cannot keep the
 * lock for ever.
 */
void timers_run(struct timers *timers)
{
	uint64_t now = timers_now(timers);
	uint64_t expirations;
	struct timer **link;

	if (timers->fd >= 0 && read(timers->fd, &expirations, sizeof(expirations)) < 0)
		expirations = 0;
	timers->programmed = 0;
	if (timers->stopped)
		return;
	timers->run++;

	/* Firing may change the list anywhere: begin again after each. */
	for (link = &timers->head; *link && (*link)->deadline <= now;) {
		struct timer *timer = *link;

		if (timer->armed_in == timers->run) {
			link = &timer->next;
			continue;
		}
		*link = timer->next;
		timer->armed = false;
		timer->fire(timer->opaque);
		link = &timers->head;
	}
	program(timers);
}

/**
 * timers_stop() - no time passes for devices from now on
 * @timers: the timers, running
 */
void timers_stop(struct timers *timers)
{
	timers->stood = timers_now(timers);
	timers->stopped = true;
}

/**
 * timers_start() - time goes on where it stood
 * @timers: the timers, stopped
 */
void timers_start(struct timers *timers)
{
	timers->stopped = false;
	timers->lag = timers->now(timers->now_arg) - timers->stood;
	timers->programmed = 0;
	program(timers);
}

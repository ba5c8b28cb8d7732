/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deadlines of devices, in nanoseconds of CLOCK_MONOTONIC less the time for which it was stopped.
 *
 * One ordered list and one timerfd. The board's lock protects all of it, and
 * is held while a timer fires.
 */
#ifndef VIREO_TIMERS_H
#define VIREO_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct timer - one deadline of one device
 * @fire: called once when the deadline has passed; may arm the timer again
 * @opaque: handed to @fire
 * @deadline: when
 * @armed: whether it is in the list
 * @armed_in: the timers_run() during or after which it was armed
 * @next: the list
 */
struct timer {
	void (*fire)(void *opaque);
	void *opaque;
	uint64_t deadline;
	bool armed;
	uint64_t armed_in;
	struct timer *next;
};

/**
 * struct timers - all deadlines of a board
 * @fd: timerfd, readable when timers_run() has something to do; -1: the owner
 *	calls it by itself
 * @head: earliest deadline first
 * @run: counts timers_run()
 * @programmed: what @fd is set to, 0 if to nothing
 * @stopped: the clock stands, at @stood
 * @stood: when it was stopped
 * @lag: how long it has stood before
 * @now: the clock; tests bring their own
 * @now_arg: handed to @now
 */
struct timers {
	int fd;
	struct timer *head;
	uint64_t run;
	uint64_t programmed;
	bool stopped;
	uint64_t stood;
	uint64_t lag;
	uint64_t (*now)(void *arg);
	void *now_arg;
};

int timers_init(struct timers *timers);
void timers_init_manual(struct timers *timers, uint64_t (*now)(void *arg), void *arg);
void timers_destroy(struct timers *timers);
uint64_t timers_now(const struct timers *timers);
void timers_run(struct timers *timers);
void timers_stop(struct timers *timers);
void timers_start(struct timers *timers);
void timer_init(struct timer *timer, void (*fire)(void *opaque), void *opaque);
void timer_arm(struct timers *timers, struct timer *timer, uint64_t deadline);
void timer_cancel(struct timers *timers, struct timer *timer);

#endif /* VIREO_TIMERS_H */

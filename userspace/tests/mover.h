/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two launchers, each with a fake module, and a relay between them that cuts the connection at a frame. The guest counts in
 * memory, wherever it is, and looks for what it has written.
 */
#ifndef VIREO_TESTS_MOVER_H
#define VIREO_TESTS_MOVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#define MOVER_TIMEOUT_MS 30000
#define SOURCE		0
#define DESTINATION	1

/**
 * struct mover_shared - what the guest does, in whichever launcher
 * @runs: of it, in each
 * @counter: the last value that it wrote to memory
 * @torn: it has found another one
 * @after: it ran in the source after it had in the destination
 * @hasty: a thread that a launcher starts has ended before the one that starts it goes on
 */
struct mover_shared {
	unsigned int runs[2];
	uint64_t counter;
	unsigned int torn;
	unsigned int after;
	bool hasty;
};

/**
 * struct mover_relay - between the two
 * @listener: where the source connects
 * @type: the frame at which the first connection is cut
 * @forward: it still passes
 * @late: not before the destination has the machine
 * @stall: it is not cut, but nothing passes any more, either way, until both sides have given up
 * @closed: nobody gets through after that, until this is reset
 * @cut: it was
 * @taken: the destination has the machine
 */
struct mover_relay {
	int listener;
	unsigned int type;
	bool forward, late, stall, closed, cut, taken;
};

struct move {
	pid_t pid[2];
	pthread_t thread;
};

extern struct mover_shared *shared;
extern struct mover_relay relay;
extern char to_relay[80], at_destination[80];
/* For the next destination: in its process, before the launcher begins; NULL: nothing */
extern void (*mover_spoil)(void);
/* After so many seconds without a byte a connection is lost; where the destination's console is */
extern unsigned int mover_timeout;
extern const char *mover_console;

#define until(condition) do {						\
	unsigned int tries_;						\
	for (tries_ = 0; tries_ < MOVER_TIMEOUT_MS / 5 && !(condition); tries_++) \
		usleep(5000);						\
} while (0)

/* At the start and the end of the test */
void mover_open(void);
int mover_close(void);
/* Both launchers, and the relay, which cuts at @type */
void mover_begin(struct move *move, unsigned int type, bool forward, bool closed);
void mover_end(struct move *move);
/* Once more, after it has ended */
void mover_receive(struct move *move);
int mover_wait(pid_t pid);
/* Does the guest run, or not? */
bool runs(unsigned int who);
bool rests(unsigned int who);
/* Is that part of the reply? */
bool asks(const char *name, const char *request, const char *part);
bool in_phase(const char *name, const char *phase);
/* With these checks */
void ask_to_move(const char *more);
void ends(struct move *move, unsigned int who, int status);
void goes_on(unsigned int who);

#endif /* VIREO_TESTS_MOVER_H */

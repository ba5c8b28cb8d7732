/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine moves to another launcher (Documentation/migration.rst): the source, the destination, and what people are told.
 *
 * The rule above all others: a machine goes on in one place. The source's "yours" is irrevocable; what is sent before
 * leaves the machine with the source, and what is heard after it with the destination.
 */
#ifndef VIREO_MIGRATE_MIGRATION_H
#define VIREO_MIGRATE_MIGRATION_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "link.h"
#include "wire.h"

struct machine;
struct machine_config;

#define MIGRATION_DOWNTIME_MS 300

enum migration_mode {
	MIGRATION_PRE,		/* memory goes while the machine runs */
	MIGRATION_STOP,		/* it rests meanwhile */
	MIGRATION_POST,		/* memory goes after the machine */
};

/**
 * struct migration_options - what is wanted
 * @to: address
 * @tls: see link_tls_load(); empty: in the clear
 * @mode: see there
 * @downtime_ms: rest the machine when what is left takes no longer
 * @bandwidth: bytes a second; 0: no limit
 * @timeout_ms: see struct link_options
 * @verify: compare a checksum of memory
 * @change: what is left goes after the machine if it writes memory too fast
 */
struct migration_options {
	char to[1024];
	char tls[512];
	enum migration_mode mode;
	uint64_t downtime_ms;
	uint64_t bandwidth;
	unsigned int timeout_ms;
	bool verify;
	bool change;
};

enum migration_phase {
	MIGRATION_CONNECTING,
	MIGRATION_COPYING,	/* the machine runs, if it did */
	MIGRATION_FINISHING,	/* it rests */
	MIGRATION_HANDING_OVER,	/* all is there */
	MIGRATION_IN_DOUBT,	/* the connection broke then: somebody has to ask, or to decide */
	MIGRATION_POST_COPY,	/* it runs at the destination, and some of its memory is still at the source */
	MIGRATION_COMPLETED,	/* it is the destination's */
	MIGRATION_FAILED,	/* it is the source's */
	MIGRATION_CANCELLED,	/* likewise, because somebody wanted that */
};

enum migration_resolve {
	MIGRATION_ASK,		/* nobody has decided */
	MIGRATION_KEEP,		/* it goes on here */
	MIGRATION_DROP,		/* it does not */
};

/**
 * struct migration_status - how far it is
 * @phase: see there
 * @round: of copying
 * @pages: that have gone or come, all rounds together
 * @left: pages of this round
 * @total: of memory
 * @bytes: over the connection
 * @rate: bytes a second, in the last round; 0: not known
 * @downtime_ms: expected, if the machine were to rest now; after the end: what it was
 * @requests: pages that somebody waited for
 * @throttle: percent of the rate of copying at which the machine may not write
 * @why: sentence, if it failed, is in doubt, or the connection is lost while pages are missing
 */
struct migration_status {
	enum migration_phase phase;
	uint64_t round, pages, left, total, bytes, rate, downtime_ms, requests;
	unsigned int throttle;
	char why[LINK_WHY];
};

/**
 * struct migration - one side of it
 * @machine: that moves
 * @outgoing: this is the source
 * @options: the source's
 * @id: made up by the source
 * @thread: of the source, or the one that answers for the destination afterwards
 * @started: there is one
 * @cancel: it is over; atomic
 * @change: memory shall go after the machine from now on; atomic
 * @may_change: it can; atomic
 * @lacks: of the destination: memory comes after the machine
 * @closing: the launcher ends; atomic
 * @resolve: &enum migration_resolve, atomic
 * @lock: protects @status
 * @status: see there
 */
struct migration {
	struct machine *machine;
	bool outgoing;
	struct migration_options options;
	uint8_t id[WIRE_ID_BYTES];
	pthread_t thread;
	bool started;
	bool cancel;
	bool change;
	bool may_change;
	bool lacks;
	bool closing;
	unsigned int resolve;
	pthread_mutex_t lock;
	struct migration_status status;
};

/* status.c */
struct migration *migration_new(struct machine *machine, bool outgoing);
void migration_free(struct migration *migration);
struct migration_status migration_status(struct migration *migration);
bool migration_over(struct migration *migration);
/* Does the machine run elsewhere, and need memory that is here? */
bool migration_supplies(struct migration *migration);
/* With an event, and a sentence in it or NULL */
void migration_phase(struct migration *migration, enum migration_phase phase, const char *why);
json_t *migration_json(struct migration *migration);
const char *migration_phase_name(enum migration_phase phase);
bool migration_wants(const bool *flag);
void migration_want(bool *flag);
uint64_t migration_now_ms(void);

/* source.c: begin; 0, or a negative errno with @why (LINK_WHY bytes) */
int migration_start(struct machine *machine, const struct migration_options *options, char *why);
/* By the control socket: -ENOENT: there is none under way; -EBUSY: too late (cancel, change); -EINVAL: not in doubt (resolve) */
int migration_cancel(struct machine *machine);
int migration_change(struct machine *machine);
int migration_resolve(struct machine *machine, enum migration_resolve how);
/* The launcher ends */
void migration_close(struct machine *machine);

/**
 * struct migration_receive - what the destination wants
 * @from: address to listen at
 * @tls: as in struct migration_options
 * @timeout_ms: likewise
 * @name: of the machine here; NULL: as there
 * @console: likewise
 * @config: build this machine and not the one that is described; NULL: the latter
 */
struct migration_receive {
	const char *from;
	const char *tls;
	unsigned int timeout_ms;
	const char *name;
	const char *console;
	const struct machine_config *config;
};

/* destination.c: the launcher's exit status */
int migration_receive(const struct migration_receive *want);

#endif /* VIREO_MIGRATE_MIGRATION_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the destination have in common: destination.c, and post.c for memory that comes after the machine. */
#ifndef VIREO_MIGRATE_DESTINATION_H
#define VIREO_MIGRATE_DESTINATION_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "fill.h"
#include "link.h"
#include "migration.h"
#include "wire.h"
#include "../machine.h"

/* What the thread does to which the connection belongs then */
enum post_mode {
	POST_PUMP,		/* what is touched while the state is loaded */
	POST_REST,		/* nothing: the connection is the main thread's */
	POST_OWN,		/* the machine is ours */
	POST_QUIT,		/* it never was */
};

/**
 * struct post - memory that comes after the machine
 * @can: it could; else @why has a sentence
 * @has_fill: @fill is to be closed
 * @fill: where it goes
 * @thread: takes it in
 * @started: there is one
 * @lock: protects the following
 * @changed: signalled when they change
 * @mode: what the thread shall do; atomic
 * @rests: it has come to rest
 * @error: what went wrong before that, or 0
 * @whole: nothing is missing; the thread's
 * @differs: and memory is not what it was
 * @lost: that the connection is lost was told; the thread's
 * @ends_ms: when the thread saw that the machine is about to end; 0: it is not
 */
struct post {
	bool can, has_fill;
	char why[FILL_WHY];
	struct fill fill;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum post_mode mode;
	bool rests;
	int error;
	bool whole, differs, lost;
	uint64_t ends_ms;
};

/**
 * struct destination - a machine that comes
 * @want: the command line
 * @address: where to listen
 * @listener: the socket; negative: there is none
 * @link: to the source
 * @tls: credentials, or NULL
 * @id: of the migration
 * @profile: what the source tells of the machine
 * @source: gives the machine what has come
 * @machine: see there; NULL: it is not made yet
 * @m: what others may see
 * @intake: what has come
 * @intake_checksum: of memory, if it comes after the machine
 * @post: what comes after the machine
 */
struct destination {
	const struct migration_receive *want;
	struct link_address address;
	int listener;
	struct link link;
	struct link_tls *tls;
	uint8_t id[WIRE_ID_BYTES];
	json_t *profile;
	struct machine_source source;
	struct machine *machine;
	struct migration *m;
	struct wire_intake intake;
	uint64_t intake_checksum;
	struct post post;
};

/* destination.c */
int destination_fails(struct destination *d, int error, const char *text);
int destination_say(struct destination *d, enum wire_type type, const void *payload, size_t len);
/* One who asks for this machine; others are turned away */
int destination_accept_question(struct destination *d, bool (*stop)(void *opaque));

/* post.c: is it possible? @must: the source insists. 0, or a negative errno: it is not, and the source insists */
int post_open(struct destination *d, bool must);
/* The state can be loaded behind this, whatever of memory that touches. 0, or a negative errno with link.why */
int post_begin(struct destination *d);
/* It is; the connection belongs to the caller again */
int post_rest(struct destination *d);
/* What is missing, for a source that has come again */
int post_list(struct destination *d);
/* The machine is ours: what is missing comes */
void post_own(struct destination *d);
/* It never was */
void post_quit(struct destination *d);

#endif /* VIREO_MIGRATE_DESTINATION_H */

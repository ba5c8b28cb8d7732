/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What two launchers say to each other while a machine moves (Documentation/migration.rst): frames, and what is in them.
 *
 * Pure functions on bytes: who reads them believes nothing, and tests and fuzzers have this very code.
 */
#ifndef VIREO_MIGRATE_WIRE_H
#define VIREO_MIGRATE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../memory.h"
#include "pages.h"

#define WIRE_VERSION		2
#define WIRE_OLDEST		2
#define WIRE_MAGIC		"vireomig"
#define WIRE_ID_BYTES		16
#define WIRE_PAGE		4096U
#define WIRE_RUN_MAX		64U			/* pages of one frame with contents */
#define WIRE_FRAME_MAX		(1U << 20)		/* bytes behind a header */
#define WIRE_STATE_MAX		(64U << 20)		/* of all state but memory */
#define WIRE_TEXT_MAX		512U

/* S: the source sends it; D: the destination */
enum wire_type {
	WIRE_HELLO = 1,		/* both, first: struct wire_hello */
	WIRE_MACHINE,		/* S: JSON: what the machine is, and what its processors have */
	WIRE_ACCEPT,		/* D: struct wire_accept, and text: it is built; memory may come */
	WIRE_PAGES,		/* S: struct wire_pages, and the pages */
	WIRE_ZERO,		/* S: struct wire_pages: these are zero */
	WIRE_ROUND,		/* S: struct wire_round: a round of memory ends here */
	WIRE_SEEN,		/* D: the same: it is in memory */
	WIRE_STATE,		/* S: a part of all state but memory */
	WIRE_END,		/* S: struct wire_end: that was all */
	WIRE_READY,		/* D: it has all, and could go on */
	WIRE_YOURS,		/* S: the ID. It will not go on here any more, whatever happens */
	WIRE_TAKEN,		/* D: the ID. It goes on there */
	WIRE_DONE,		/* S: has heard that; the ID can be forgotten */
	WIRE_REFUSE,		/* D: text: no. The machine does not go on there */
	WIRE_CANCEL,		/* S: text: no more of this */
	WIRE_MISSING,		/* both: struct wire_pages: what the destination has of these is void; or: it lacks them */
	WIRE_REQUEST,		/* D: struct wire_pages: somebody waits for these */
	WIRE_LEFT,		/* D: struct wire_left: how many it lacks */
	WIRE_TYPES
};

/**
 * struct wire_header - before each frame
 * @type: &enum wire_type
 * @zero: 0
 * @len: bytes that follow
 *
 * All numbers are little-endian.
 */
struct wire_header {
	uint16_t type;
	uint16_t zero;
	uint32_t len;
};

enum wire_purpose {
	WIRE_MOVE,		/* a machine is to come */
	WIRE_RESOLVE,		/* the connection broke in the middle of the hand-over: who has the machine? */
};

/**
 * struct wire_hello - who speaks
 * @magic: WIRE_MAGIC
 * @version: the newest that it speaks
 * @oldest: the oldest
 * @purpose: &enum wire_purpose
 * @id: of this migration; made up by the source, repeated by the destination
 */
struct wire_hello {
	char magic[8];
	uint16_t version;
	uint16_t oldest;
	uint32_t purpose;
	uint8_t id[WIRE_ID_BYTES];
};

#define WIRE_ACCEPT_POST	1U	/* memory may come after the machine */

/**
 * struct wire_accept - what the destination can do
 * @flags: WIRE_ACCEPT_*
 * @zero: 0
 *
 * Behind it: why it cannot do more, if so.
 */
struct wire_accept {
	uint32_t flags;
	uint32_t zero;
};

/**
 * struct wire_pages - a run of pages
 * @gpa: of the first
 * @count: how many
 * @zero: 0
 */
struct wire_pages {
	uint64_t gpa;
	uint32_t count;
	uint32_t zero;
};

/**
 * struct wire_round - the end of a round
 * @round: its number
 * @pages: that were sent since the beginning, those that are zero among them
 */
struct wire_round {
	uint64_t round;
	uint64_t pages;
};

#define WIRE_END_PAUSED		1U	/* it was paused before it moved, and stays so */
#define WIRE_END_CHECKSUM	2U	/* @checksum has a value */
#define WIRE_END_POST		4U	/* pages are missing, and come later */

/**
 * struct wire_end - the end of all
 * @pages: that were sent
 * @state: bytes of state
 * @checksum: wire_checksum() of memory
 * @flags: WIRE_END_*
 * @zero: 0
 */
struct wire_end {
	uint64_t pages;
	uint64_t state;
	uint64_t checksum;
	uint32_t flags;
	uint32_t zero;
};

#define WIRE_LEFT_DIFFERS	1U	/* @pages is 0, and memory is not what it was */

/**
 * struct wire_left - how much of memory is not there yet
 * @pages: so many. Not 0: they have just been listed
 * @flags: WIRE_LEFT_*
 * @zero: 0
 */
struct wire_left {
	uint64_t pages;
	uint32_t flags;
	uint32_t zero;
};

_Static_assert(sizeof(struct wire_header) == 8, "a header's size");
_Static_assert(sizeof(struct wire_hello) == 32, "layout of the greeting");
_Static_assert(sizeof(struct wire_pages) == 16, "layout of a run");
_Static_assert(sizeof(struct wire_round) == 16, "layout of a round");
_Static_assert(sizeof(struct wire_end) == 32, "layout of the end");
_Static_assert(sizeof(struct wire_accept) == 8, "layout of the acceptance");
_Static_assert(sizeof(struct wire_left) == 16, "layout of what is left");

/**
 * struct wire_run - a run of pages that was checked
 * @piece: of memory, in which all of it is
 * @first: page of that
 * @count: how many
 * @to: where it is
 */
struct wire_run {
	unsigned int piece;
	uint64_t first;
	uint32_t count;
	uint8_t *to;
};

/* Is it a header that @from_source may send? NULL, or what is wrong with it */
const char *wire_check_header(const struct wire_header *header, bool from_source);
/* NULL and the version that both speak; or what is wrong */
const char *wire_check_hello(const void *payload, size_t len, struct wire_hello *hello, uint16_t *version);
/* NULL and what it says; @why: WIRE_TEXT_MAX bytes and one; or what is wrong */
const char *wire_check_accept(const void *payload, size_t len, struct wire_accept *accept, char *why);
const char *wire_check_left(const void *payload, size_t len, struct wire_left *left);
/* NULL and the run of a frame of @type, whose contents are behind struct wire_pages if it has any; or what is wrong */
const char *wire_check_run(const struct guest_memory *memory, unsigned int type, const void *payload, size_t len,
			   struct wire_run *run);
/* The checksum of memory is the sum of those of its pages */
uint64_t wire_checksum_page(uint64_t gpa, const void *page);
uint64_t wire_checksum(const struct guest_memory *memory);
bool wire_is_zero(const void *page);
const char *wire_name(unsigned int type);

/**
 * struct wire_intake - what the destination has taken in
 * @memory: of the machine that is built; all zero at first
 * @seen: pages that came at least once
 * @absent: pages that will come later
 * @may_miss: that was agreed
 * @pages: that came
 * @round: rounds that ended
 * @state: all state but memory, so far
 * @state_len: bytes
 * @end: how it ended
 * @ended: it has
 */
struct wire_intake {
	struct guest_memory *memory;
	struct page_set seen;
	struct page_set absent;
	bool may_miss;
	uint64_t pages;
	uint64_t round;
	uint8_t *state;
	size_t state_len;
	struct wire_end end;
	bool ended;
};

int wire_intake_begin(struct wire_intake *intake, struct guest_memory *memory);
void wire_intake_end(struct wire_intake *intake);
/*
 * Take a frame between ACCEPT and END in. NULL; or what is wrong: the machine must not go on then. Memory is written only
 * where the frame is good.
 */
const char *wire_intake(struct wire_intake *intake, unsigned int type, const void *payload, size_t len);
/* NULL if nothing is missing */
const char *wire_intake_missing(const struct wire_intake *intake);

#endif /* VIREO_MIGRATE_WIRE_H */

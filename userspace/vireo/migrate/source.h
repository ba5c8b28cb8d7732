/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the source have in common: source.c, and supply.c for memory that goes after the machine. */
#ifndef VIREO_MIGRATE_SOURCE_H
#define VIREO_MIGRATE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "link.h"
#include "migration.h"
#include "pages.h"
#include "wire.h"
#include "../track.h"

/**
 * struct source - what the thread needs
 * @m: what others may see
 * @address: of the destination
 * @link: to it
 * @tls: credentials, or NULL
 * @track: of memory
 * @tracking: @track is in use
 * @held: the machine rests
 * @was_paused: it did so before
 * @unlocked: its images may be taken by others
 * @given: "yours" may have left
 * @post: memory goes after the machine
 * @taken: the destination has said that it goes on there
 * @connected: the destination was found again
 * @want: pages that it lacks
 * @cursor: where the next of them is looked for: a piece, and a page of it
 * @differs: memory there is not what it was here
 * @no_post: why the destination cannot take memory afterwards
 * @pages: that were sent
 * @reported: @pages when the status was told last
 * @rest_ms: when the machine began to rest
 * @pagemap: for what was never touched; see memory_untouched()
 * @run: pages that go together
 * @run_gpa: address of the first
 * @run_pages: how many
 * @run_zero: they are zero, so there is nothing in @run
 */
struct source {
	struct migration *m;
	struct link_address address;
	struct link link;
	struct link_tls *tls;
	struct track track;
	bool tracking;
	bool held, was_paused, unlocked, given;
	bool post, taken, connected, differs;
	struct page_set want;
	struct { unsigned int piece; uint64_t page; } cursor;
	char no_post[WIRE_TEXT_MAX + 1];
	uint64_t pages, reported;
	uint64_t rest_ms;
	int pagemap;
	uint64_t run_gpa;
	uint32_t run_pages;
	bool run_zero;
	uint8_t run[WIRE_RUN_MAX * WIRE_PAGE];
};

/* source.c */
int source_fails(struct source *s, int error, const char *text);
int source_say(struct source *s, enum wire_type type, const void *payload, size_t len);
/* -EREMOTEIO: the destination refuses, which is said; else -EPROTO */
int source_not_expected(struct source *s, unsigned int type, enum wire_type want, const uint8_t *payload, size_t len);
/* Append a page, which may stay in the run until source_end_run() */
int source_send_page(struct source *s, const struct memory_piece *piece, uint64_t page);
int source_end_run(struct source *s);
void source_report(struct source *s, uint64_t left);

/* supply.c: tell the destination what it will lack: what was written and not sent, or everything */
int supply_begin(struct source *s);
/* A frame by which the destination asks for pages */
int supply_request(struct source *s, const uint8_t *payload, size_t len);
/* What the destination lacks; it was lost on the way */
int supply_hear_list(struct source *s);
/* It goes on there */
void supply_taken(struct source *s);
/* Until the destination has all. 0; or the connection is lost */
int supply(struct source *s);

#endif /* VIREO_MIGRATE_SOURCE_H */

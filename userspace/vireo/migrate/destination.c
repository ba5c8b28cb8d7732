// SPDX-License-Identifier: GPL-2.0-only
/*
 * The destination: a launcher that waits for a machine, makes one like it, fills it, and lets it go on when the source says that
 * it is its own.
 *
 * Until then the machine here is a copy: whatever goes wrong, it ends, and nothing is lost. Once it has told the source that it is
 * ready it may be all that is left, if the source is killed: so without a word from there it waits, for the
 * source to ask or for somebody to decide. When it has heard "yours", it goes on, and answers for as long as the
 * source may not have heard that.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "destination.h"
#include "profile.h"
#include "../block/block.h"
#include "../control.h"
#include "../description.h"
#include "../machine.h"
#include "../machine_state.h"
#include "../open.h"

#define DONE_MS		10000
#define WAIT_MS		500
#define REPORT_FRAMES	64U

int destination_fails(struct destination *d, int error, const char *text)
{
	snprintf(d->link.why, sizeof(d->link.why), "%s", text);
	return error;
}

int destination_say(struct destination *d, enum wire_type type, const void *payload, size_t len)
{
	int r = link_send(&d->link, type, payload, len);

	return r ? r : link_flush(&d->link);
}

/* The reason is ours, or that for which the connection is lost; then nobody hears it. */
static void refuse(struct destination *d, const char *why)
{
	d->link.options.interrupted = NULL;
	d->link.options.timeout_ms = 1000;
	if (d->link.buffer)
		destination_say(d, WIRE_REFUSE, why, strlen(why));
}

/* Is the launcher to end? The main thread is the one that would see to it, and it is here. */
static bool machine_ends(struct machine *machine)
{
	struct pollfd poller = { .fd = machine->signals, .events = POLLIN };
	bool ends;

	pthread_mutex_lock(&machine->control_lock);
	ends = machine->request != MACHINE_NOTHING;
	pthread_mutex_unlock(&machine->control_lock);
	return ends || poll(&poller, 1, 0) > 0;
}

static bool interrupted(void *opaque)
{
	struct destination *d = opaque;

	return machine_ends(d->machine) || __atomic_load_n(&d->m->resolve, __ATOMIC_ACQUIRE) != MIGRATION_ASK;
}

static bool closing(void *opaque)
{
	struct destination *d = opaque;

	return migration_wants(&d->m->closing);
}

/* ---- Somebody connects ---- */

/* A greeting, and the same back. */
static int greet(struct destination *d, struct wire_hello *hello)
{
	struct wire_hello answer = { .version = WIRE_VERSION, .oldest = WIRE_OLDEST };
	const uint8_t *payload;
	const char *wrong;
	unsigned int type;
	uint16_t version;
	size_t len;
	int r;

	r = link_receive(&d->link, &type, &payload, &len);
	if (r)
		return r;
	if (type != WIRE_HELLO)
		return destination_fails(d, -EPROTO, "no greeting");
	wrong = wire_check_hello(payload, len, hello, &version);
	if (wrong)
		return destination_fails(d, -EPROTO, wrong);
	answer.purpose = hello->purpose;
	memcpy(answer.magic, WIRE_MAGIC, sizeof(answer.magic));
	memcpy(answer.id, hello->id, sizeof(answer.id));
	return destination_say(d, WIRE_HELLO, &answer, sizeof(answer));
}

static int accept_one(struct destination *d, bool (*stop)(void *opaque), struct wire_hello *hello)
{
	struct link_options options = { d->want->timeout_ms, d->tls, stop, d };
	int r = link_accept(&d->link, &d->address, d->listener, &options);

	return r ? r : greet(d, hello);
}

/* A source with a machine. Others may knock as well: they are turned away. */
static int accept_machine(struct destination *d)
{
	struct wire_hello hello;
	int r;

	for (;;) {
		r = accept_one(d, NULL, &hello);
		if (!r && hello.purpose == WIRE_MOVE) {
			memcpy(d->id, hello.id, sizeof(d->id));
			return 0;
		}
		if (!r) {
			destination_fails(d, -ENOENT, "nothing is known of that migration");
			refuse(d, d->link.why);
		}
		if (d->listener < 0)
			return r ? r : -ENOENT;
		report_note("receive: somebody was turned away: %s", d->link.why);
		link_close(&d->link);
	}
}

/* One who asks for this machine; others are turned away. */
int destination_accept_question(struct destination *d, bool (*stop)(void *opaque))
{
	struct wire_hello hello;
	int r;

	link_close(&d->link);
	r = accept_one(d, stop, &hello);
	if (r)
		return r;
	if (hello.purpose == WIRE_RESOLVE && !memcmp(hello.id, d->id, sizeof(d->id)))
		return 0;
	refuse(d, hello.purpose == WIRE_RESOLVE ? "nothing is known of that migration" : "another machine is here");
	return -ENOENT;
}

/* ---- Before there is a machine ---- */

static int check_profile(struct destination *d)
{
	struct vireo *vireo;
	char why[PROFILE_WHY];
	int r;

	if (open_vireo(&vireo))
		return destination_fails(d, -ENODEV, "there is no module there, or it may not be used");
	r = profile_check(vireo, d->profile, why);
	vireo_close(vireo);
	return r ? destination_fails(d, r, why) : 0;
}

static int receive_profile(struct destination *d)
{
	const uint8_t *payload;
	unsigned int type;
	size_t len;
	int r;

	r = link_receive(&d->link, &type, &payload, &len);
	if (r)
		return r;
	if (type != WIRE_MACHINE)
		return destination_fails(d, -EPROTO, "the source does not tell what the machine is");
	d->profile = json_loadb((const char *)payload, len, JSON_REJECT_DUPLICATES, NULL);
	if (!d->profile)
		return destination_fails(d, -EINVAL, "the description of the machine is no JSON");
	return check_profile(d);
}

/* ---- Taking it in ---- */

static void report(struct destination *d)
{
	pthread_mutex_lock(&d->m->lock);
	d->m->status.pages = d->intake.pages;
	d->m->status.round = d->intake.round + 1;
	d->m->status.bytes = d->link.received;
	pthread_mutex_unlock(&d->m->lock);
}

static int take_in(struct destination *d)
{
	const uint8_t *payload;
	unsigned int type, n = 0;
	const char *wrong;
	size_t len;
	int r;

	while (!d->intake.ended) {
		r = link_receive(&d->link, &type, &payload, &len);
		if (r)
			return r;
		if (type == WIRE_CANCEL) {
			snprintf(d->link.why, sizeof(d->link.why), "the source has cancelled it: %.*s",
				 (int)(len < 200 ? len : 200), (const char *)payload);
			return -ECANCELED;
		}
		wrong = wire_intake(&d->intake, type, payload, len);
		if (wrong)
			return destination_fails(d, -EPROTO, wrong);
		r = type == WIRE_ROUND ? destination_say(d, WIRE_SEEN, payload, len) : 0;
		if (r)
			return r;
		if (++n % REPORT_FRAMES == 0)
			report(d);
	}
	report(d);
	wrong = wire_intake_missing(&d->intake);
	return wrong ? destination_fails(d, -EPROTO, wrong) : 0;
}

static int load_state(struct destination *d)
{
	char why[MACHINE_STATE_WHY];
	int r = machine_state_load(d->machine, d->intake.state, d->intake.state_len, why);

	if (r)
		return destination_fails(d, r, why);
	/* The source has given them up by now, and takes them back if this is refused. */
	return block_lock_all() ? destination_fails(d, -EBUSY, "an image is in use by somebody else") : 0;
}

/* ---- Whose it is ---- */

/* 0: it is ours; -ECANCELED: it never will be; otherwise the connection is lost */
static int wait_for_yours(struct destination *d)
{
	const uint8_t *payload;
	unsigned int type;
	const char *wrong;
	size_t len;
	int r;

	do {
		r = link_receive(&d->link, &type, &payload, &len);
		if (r == -ECANCELED)
			r = -EINTR;	/* somebody here wants something: not the source's word */
		if (r)
			return r;
		/* What was asked for while the state was loaded */
		wrong = d->post.started && (type == WIRE_PAGES || type == WIRE_ZERO) ?
			fill_take(&d->post.fill, type, payload, len) : "";
	} while (!wrong);
	if (*wrong)
		return destination_fails(d, -EPROTO, wrong);
	if (type == WIRE_YOURS && !memcmp(payload, d->id, WIRE_ID_BYTES))
		return 0;
	if (type == WIRE_CANCEL)
		return destination_fails(d, -ECANCELED, "the source has cancelled it");
	return destination_fails(d, -EPROTO, "the source says something else than whose the machine is");
}

/* The source may be dead, and this all that is left; or it goes on there. */
static int doubt(struct destination *d)
{
	char why[LINK_WHY];
	int r;

	snprintf(why, sizeof(why), "%.200s; see vireo-receive(1)", d->link.why);
	migration_phase(d->m, MIGRATION_IN_DOUBT, why);
	report_note("the machine is here, and may be there as well: it waits (%s)", why);
	for (;;) {
		switch (__atomic_load_n(&d->m->resolve, __ATOMIC_ACQUIRE)) {
		case MIGRATION_KEEP:
			return 0;
		case MIGRATION_DROP:
			return destination_fails(d, -ECANCELED, "it was decided that the machine does not go on here");
		}
		if (machine_ends(d->machine))
			return destination_fails(d, -ECANCELED, "the launcher ends");
		if (d->listener < 0) {
			link_wait(&d->link, -1, 0, WAIT_MS);
			continue;
		}
		if (destination_accept_question(d, interrupted))
			continue;
		if (post_list(d) || destination_say(d, WIRE_READY, NULL, 0))
			continue;
		r = wait_for_yours(d);
		if (!r || r == -ECANCELED)
			return r;
	}
}

static int become_owner(struct destination *d)
{
	int r = destination_say(d, WIRE_READY, NULL, 0);

	/* The source cannot have heard what did not leave: the machine is its own. */
	if (r)
		return r;
	r = wait_for_yours(d);
	if (r && r != -ECANCELED)
		r = doubt(d);
	return r;
}

/* A thread of its own: the machine runs. It ends when the source knows, or with the launcher. */
static void *answer(void *opaque)
{
	struct destination *d = opaque;
	const uint8_t *payload;
	unsigned int type;
	size_t len;
	int r;

	d->link.options.interrupted = closing;
	d->link.options.opaque = d;
	d->link.options.timeout_ms = DONE_MS;
	r = d->link.buffer ? destination_say(d, WIRE_TAKEN, d->id, WIRE_ID_BYTES) : -ENOTCONN;
	if (!r)
		r = link_receive(&d->link, &type, &payload, &len);
	while ((r || type != WIRE_DONE) && d->listener >= 0 && !closing(d)) {
		r = destination_accept_question(d, closing);
		if (!r)
			r = destination_say(d, WIRE_TAKEN, d->id, WIRE_ID_BYTES);
		if (!r)
			r = link_receive(&d->link, &type, &payload, &len);
	}
	link_close(&d->link);
	link_unlisten(&d->address, d->listener);
	d->listener = -1;
	return NULL;
}

static int accept_offer(struct destination *d)
{
	const char *wish = json_string_value(json_object_get(d->profile, "post-copy"));
	uint8_t answer[sizeof(struct wire_accept) + WIRE_TEXT_MAX];
	struct wire_accept accept = { 0 };
	size_t len = 0;
	int r = 0;

	if (wish)
		r = post_open(d, !strcmp(wish, "must"));
	if (r)
		return r;
	if (d->post.can)
		accept.flags = WIRE_ACCEPT_POST;
	else if (wish)
		len = strlen(d->post.why);
	memcpy(answer, &accept, sizeof(accept));
	memcpy(answer + sizeof(accept), d->post.why, len);
	d->intake.may_miss = d->post.can;
	return destination_say(d, WIRE_ACCEPT, answer, sizeof(accept) + len);
}

static int receive_machine(struct destination *d)
{
	char why[PROFILE_WHY];
	int r;

	r = profile_check_memory(d->profile, &d->machine->memory, why);
	if (r)
		return destination_fails(d, r, why);
	r = wire_intake_begin(&d->intake, &d->machine->memory);
	if (r)
		return destination_fails(d, r, "there is no memory");
	r = accept_offer(d);
	if (r)
		return r;
	migration_phase(d->m, MIGRATION_COPYING, NULL);
	r = take_in(d);
	if (!r)
		migration_phase(d->m, MIGRATION_FINISHING, NULL);
	if (!r && d->intake.end.flags & WIRE_END_POST)
		r = post_begin(d);
	if (!r)
		r = load_state(d);
	if (d->post.started) {
		int pumped = post_rest(d);

		r = r ? r : pumped;
	}
	if (r)
		return r;
	d->source.paused = d->intake.end.flags & WIRE_END_PAUSED;
	migration_phase(d->m, MIGRATION_HANDING_OVER, NULL);
	return become_owner(d);
}

/* The machine is made, and rests. */
static int load(struct machine *machine, void *opaque)
{
	struct destination *d = opaque;
	bool was_paused;
	int r;

	d->machine = machine;
	d->m = migration_new(machine, false);
	if (!d->m || machine_hold(machine, &was_paused)) {
		refuse(d, "the launcher ends");
		return EXIT_FAULT;
	}
	machine->migration = d->m;
	d->link.options.interrupted = interrupted;
	r = receive_machine(d);
	wire_intake_end(&d->intake);
	if (r && d->post.started)
		post_quit(d);
	if (r) {
		report_error("the machine has not come: %s", d->link.why);
		migration_phase(d->m, MIGRATION_FAILED, d->link.why);
		refuse(d, d->link.why);
		return EXIT_FAULT;
	}
	if (d->post.started) {
		post_own(d);
		machine_let_go(machine, true);
		return 0;
	}
	machine_let_go(machine, true);
	migration_phase(d->m, MIGRATION_COMPLETED, NULL);
	if (pthread_create(&d->m->thread, NULL, answer, d))
		answer(d);
	else
		d->m->started = true;
	return 0;
}

/* ---- The launcher ---- */

static int run_described(struct destination *d)
{
	struct machine_config config;
	struct config_file file;
	int status;

	status = description_parse(&config, &file, "the source", json_object_get(d->profile, "machine"));
	if (!status) {
		config.source = &d->source;
		if (d->want->name)
			config.name = d->want->name;
		if (d->want->console)
			config.console = d->want->console;
		status = machine_run(&config);
	}
	description_free(&config, &file);
	return status;
}

static int run_given(struct destination *d)
{
	struct machine_config config = *d->want->config;

	config.source = &d->source;
	return machine_run(&config);
}

static int serve(struct destination *d)
{
	int r, status;

	r = accept_machine(d);
	if (!r)
		r = receive_profile(d);
	if (r) {
		report_error("no machine: %s", d->link.why);
		refuse(d, d->link.why);
		return EXIT_FAULT;
	}
	block_lock_later();
	d->source.load = load;
	d->source.opaque = d;
	status = d->want->config ? run_given(d) : run_described(d);
	if (!d->m)
		refuse(d, "no such machine can be made there; the launcher there says why");
	return status;
}

/**
 * migration_receive() - wait for a machine, and be its launcher
 * @want: the command line
 *
 * Return: exit status; messages are out.
 */
int migration_receive(const struct migration_receive *want)
{
	struct destination d = { .want = want, .listener = -1, .link = { .in = -1, .out = -1 } };
	char why[LINK_WHY];
	int status;

	if (link_address_parse(want->from, &d.address)) {
		report_error("%s: not tcp:HOST:PORT, unix:PATH, exec:COMMAND or stdio", want->from);
		return EXIT_USAGE;
	}
	if (want->tls && link_tls_load(want->tls, true, &d.tls, why)) {
		report_error("%s", why);
		return EXIT_USAGE;
	}
	d.listener = link_listen(&d.address, why);
	if (d.listener < 0 && d.listener != -ENOTSOCK) {
		report_error("%s", why);
		status = EXIT_USAGE;
	} else {
		status = serve(&d);
	}
	if (d.post.has_fill)
		fill_close(&d.post.fill);
	link_close(&d.link);
	link_unlisten(&d.address, d.listener);
	link_tls_free(d.tls);
	json_decref(d.profile);
	return status;
}

// SPDX-License-Identifier: GPL-2.0-only
/* vireo migrate: have a machine move to another launcher, and watch. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

#define POLL_MS 250

static const char help_text[] =
"Usage: vireo migrate [OPTION]... NAME ADDRESS\n"
"       vireo migrate NAME --cancel | --switch-to-post | --resolve keep|drop\n"
"Move a running machine to the launcher that waits at ADDRESS (\"vireo\n"
"receive\"): tcp:HOST:PORT, unix:PATH or exec:COMMAND.\n"
"\n"
"  --mode MODE     \"pre\" (default): memory goes while the machine runs;\n"
"                  \"stop\": the machine rests meanwhile; \"post\": it goes first,\n"
"                  memory follows\n"
"  --switch-to-post  with \"pre\": if the machine writes memory faster than that\n"
"                  is copied, the rest follows it; of a migration that is under\n"
"                  way: from now on\n"
"  --downtime MS   rest the machine when what is left takes no longer (default: 300)\n"
"  --bandwidth B   bytes a second, or with K, M, G (default: no limit)\n"
"  --timeout S     the connection counts as lost after so long (default: 30)\n"
"  --tls WHAT      encrypt: psk:FILE or x509:DIRECTORY\n"
"  --verify        compare a checksum of all memory\n"
"  --cancel        the machine stays where it is\n"
"  --resolve HOW   the connection broke during the hand-over, and the machine rests:\n"
"                  \"keep\": it goes on here; \"drop\": it does not. Look at the other\n"
"                  side first\n"
"  --help          this text\n";

struct wish {
	const char *mode, *tls, *resolve;
	uint64_t downtime, bandwidth, timeout;
	bool verify, cancel, change;
};

static int read_mode(const char *text, void *out)
{
	if (strcmp(text, "pre") && strcmp(text, "stop") && strcmp(text, "post")) {
		report_error("%s: a mode is pre, stop or post", text);
		return -EINVAL;
	}
	*(const char **)out = text;
	return 0;
}

static int read_resolve(const char *text, void *out)
{
	if (strcmp(text, "keep") && strcmp(text, "drop")) {
		report_error("%s: it is --resolve keep or --resolve drop", text);
		return -EINVAL;
	}
	*(const char **)out = text;
	return 0;
}

static int read_text(const char *text, void *out)
{
	*(const char **)out = text;
	return 0;
}

static int read_ms(const char *text, void *out)
{
	if (!parse_number(text, 86400000, out))
		return 0;
	report_error("%s: not a number of milliseconds", text);
	return -EINVAL;
}

static int read_bandwidth(const char *text, void *out)
{
	if (!parse_size(text, 1, out) && *(uint64_t *)out)
		return 0;
	report_error("%s: not a number of bytes such as 10M", text);
	return -EINVAL;
}

static long long number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void show(const json_t *status)
{
	long long total = number(status, "total"), left = number(status, "left");
	const char *why = string(status, "why");

	printf("%s%s: round %lld, %lld%%, %lld pages sent, %lld left, ", isatty(STDOUT_FILENO) ? "\r\033[K" : "",
	       string(status, "phase"), number(status, "round"), total && left < total ? (total - left) * 100 / total : 0,
	       number(status, "pages"), left);
	if (!strcmp(string(status, "phase"), "post-copy"))
		printf("%lld requests%s%s", number(status, "requests"), *why ? "; " : "", why);
	else
		printf("%lld KiB/s, downtime %lld ms, throttled %lld%%", number(status, "rate") / 1024,
		       number(status, "downtime"), number(status, "throttle"));
	printf("%s", isatty(STDOUT_FILENO) ? "" : "\n");
	fflush(stdout);
}

/* -1 to go on, or the exit status. */
static int judge(const json_t *status)
{
	const char *phase = string(status, "phase"), *why = string(status, "why");

	if (!strcmp(phase, "completed") && !*why)
		return EXIT_OK;
	if (!strcmp(phase, "completed") || !strcmp(phase, "failed") || !strcmp(phase, "cancelled") || !strcmp(phase, "in-doubt")) {
		report_error("%s: %s", phase, why);
		return EXIT_FAULT;
	}
	return -1;
}

/* The launcher may end before its status is seen: 0 or 1 if @object says that the machine has gone, else @before. */
static int told(const json_t *object, int before)
{
	const char *text = string(object, "text");

	if (strcmp(string(object, "event"), "migration") || !strstr(text, ": completed"))
		return before;
	if (strstr(text, ": completed: "))
		report_error("%s", text);
	return strstr(text, ": completed: ") ? EXIT_FAULT : EXIT_OK;
}

/* Replies to the query, and events between them; -1: the machine is gone. */
static int next_status(struct client_link *link, json_t **status, int *completed)
{
	json_t *object;

	if (client_send(link, "{\"command\":\"query\",\"what\":\"migration\"}\n"))
		return -1;
	for (;;) {
		object = client_receive(link, CLIENT_FOREVER, NULL);
		if (!object)
			return -1;
		*status = json_incref(json_object_get(object, "result"));
		*completed = told(object, *completed);
		json_decref(object);
		if (*status)
			return 0;
	}
}

static int watch(struct client_link *link)
{
	int completed = -1, r = -1;
	json_t *status, *object;
	bool timed_out;

	while (r < 0) {
		if (next_status(link, &status, &completed)) {
			if (completed < 0)
				report_error("the launcher has ended; whether the machine went on there is not known");
			r = completed < 0 ? EXIT_FAULT : completed;
			break;
		}
		show(status);
		r = judge(status);
		json_decref(status);
		if (r >= 0)
			break;
		object = client_receive(link, POLL_MS, &timed_out);
		completed = told(object, completed);
		json_decref(object);
	}
	if (isatty(STDOUT_FILENO))
		printf("\n");
	if (!r)
		printf("the machine goes on there\n");
	return r;
}

static int migrate(const char *name, const char *address, const struct wish *wish)
{
	struct client_link link;
	json_t *request;
	int r;

	r = client_connect(&link, name);
	if (r)
		return r;
	r = client_request(&link, json_pack("{s:s}", "command", "events"), NULL);
	request = json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:b,s:b}", "command", "migrate", "to", address, "mode", wish->mode,
			    "downtime", (json_int_t)wish->downtime, "bandwidth", (json_int_t)wish->bandwidth, "timeout",
			    (json_int_t)wish->timeout, "verify", wish->verify, "switch", wish->change);
	if (request && wish->tls)
		json_object_set_new(request, "tls", json_string(wish->tls));
	if (!r)
		r = client_request(&link, request, NULL);
	else
		json_decref(request);
	if (!r)
		r = watch(&link);
	client_disconnect(&link);
	return r;
}

static int decide(const char *name, const struct wish *wish)
{
	struct client_link link;
	json_t *request;
	int r;

	if (wish->cancel || wish->change)
		return client_command(name, wish->cancel ? "migrate-cancel" : "migrate-switch");
	r = client_connect(&link, name);
	if (r)
		return r;
	request = json_pack("{s:s,s:b}", "command", "migrate-resolve", "keep", !strcmp(wish->resolve, "keep"));
	r = client_request(&link, request, NULL);
	client_disconnect(&link);
	return r;
}

static int run(int argc, char **argv)
{
	struct wish wish = { .mode = "pre", .downtime = 300, .timeout = 30 };
	const struct command_option options[] = {
		{ "mode", read_mode, &wish.mode },
		{ "downtime", read_ms, &wish.downtime },
		{ "bandwidth", read_bandwidth, &wish.bandwidth },
		{ "timeout", command_seconds, &wish.timeout },
		{ "tls", read_text, &wish.tls },
		{ "verify", NULL, &wish.verify },
		{ "cancel", NULL, &wish.cancel },
		{ "switch-to-post", NULL, &wish.change },
		{ "resolve", read_resolve, &wish.resolve },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = {
		help_text, options, "the name of a machine and an address are needed", 1, 2,
	};
	int r = command_arguments(argc, argv, &syntax);
	bool moves;

	if (r >= 0)
		return r;
	moves = !wish.cancel && !wish.resolve && !(wish.change && argc - optind == 1);
	if (argc - optind != 1 + moves || wish.cancel + !!wish.resolve + (wish.change && !moves) > 1) {
		report_error("%s; see \"vireo migrate --help\"", syntax.words);
		return EXIT_USAGE;
	}
	return moves ? migrate(argv[optind], argv[optind + 1], &wish) : decide(argv[optind], &wish);
}

VIREO_COMMAND("migrate", "move a running machine to another launcher", run);

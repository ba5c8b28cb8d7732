// SPDX-License-Identifier: GPL-2.0-only
/* vireo balloon: how much memory a guest has, and how much it shall have. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "util.h"

#define TIMEOUT_DEFAULT	60
#define POLL_MS		200

static const char help_text[] =
"Usage: vireo balloon [OPTION] NAME [SIZE]\n"
"Have a guest keep SIZE of its memory and give the rest back to the host; or\n"
"tell how much it has. The machine needs a balloon (vireo run --balloon).\n"
"\n"
"  SIZE         a number of MiB, or with K, M, G\n"
"  --timeout S  seconds to wait until the guest has done it (default: 60)\n"
"  --help       this text\n"
"\n"
"Status: 0 done; 1 not, or not in time; 2 wrong usage.\n";

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int64_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* 0 with what the balloon is like; or an exit status. */
static int ask(struct client_link *link, json_t **balloon)
{
	json_t *result = NULL;
	int r = client_request(link, json_pack("{s:s,s:s}", "command", "query", "what", "memory"), &result);

	if (r)
		return r;
	*balloon = json_incref(json_object_get(result, "balloon"));
	json_decref(result);
	if (!*balloon) {
		report_error("the machine has no balloon (vireo run --balloon)");
		return EXIT_FAULT;
	}
	return 0;
}

static void print(const json_t *balloon)
{
	const char *name;
	json_t *value;

	printf("%lld MiB of %lld MiB wanted; %lld MiB of free pages reported\n",
	       (long long)(number(balloon, "actual") / (int64_t)MIB),
	       (long long)(number(balloon, "target") / (int64_t)MIB),
	       (long long)(number(balloon, "reported") / (int64_t)MIB));
	json_object_foreach(json_object_get(balloon, "statistics"), name, value)
		printf("  %-20s %12lld\n", name, (long long)json_integer_value(value));
}

/* Wait until the guest has as much as it shall have. */
static int wait_done(struct client_link *link, uint64_t seconds)
{
	struct timespec nap = { 0, POLL_MS * 1000000L };
	uint64_t until = now_ms() + seconds * 1000;
	json_t *balloon;
	bool done;
	int r;

	for (;;) {
		r = ask(link, &balloon);
		if (r)
			return r;
		done = number(balloon, "actual") == number(balloon, "target");
		if (done || now_ms() >= until)
			break;
		json_decref(balloon);
		nanosleep(&nap, NULL);
	}
	print(balloon);
	json_decref(balloon);
	if (!done)
		report_error("the guest has not done it within %llu seconds", (unsigned long long)seconds);
	return done ? EXIT_OK : EXIT_FAULT;
}

static int balloon_command(const char *name, const uint64_t *size, uint64_t timeout)
{
	struct client_link link;
	json_t *balloon;
	int r;

	r = client_connect(&link, name);
	if (r)
		return r;
	if (size) {
		r = client_request(&link, json_pack("{s:s,s:I}", "command", "balloon", "size",
						    (json_int_t)*size), NULL);
		if (!r)
			r = wait_done(&link, timeout);
	} else {
		r = ask(&link, &balloon);
		if (!r) {
			print(balloon);
			json_decref(balloon);
		}
	}
	client_disconnect(&link);
	return r;
}

static int run(int argc, char **argv)
{
	uint64_t timeout = TIMEOUT_DEFAULT, size;
	const struct command_option options[] = {
		{ "timeout", command_seconds, &timeout },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, COMMAND_ONE_MACHINE, 1, 2 };
	int r = command_arguments(argc, argv, &syntax);

	if (r >= 0)
		return r;
	if (argc - optind == 1)
		return balloon_command(argv[optind], NULL, timeout);
	if (parse_size(argv[optind + 1], MIB, &size) || size > INT64_MAX) {
		report_error("%s: not a size such as 256M or 1G", argv[optind + 1]);
		return EXIT_USAGE;
	}
	return balloon_command(argv[optind], &size, timeout);
}

VIREO_COMMAND("balloon", "have a guest give memory back to the host", run);

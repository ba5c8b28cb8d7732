// SPDX-License-Identifier: GPL-2.0-only
/* The command line of a subcommand that has a few options. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "command.h"
#include "rundir.h"
#include "util.h"

#define OPTIONS_MAX	8
#define SECONDS_MAX	86400
#define INTERVAL_MIN_MS	100
#define HELP		OPTIONS_MAX

/**
 * command_seconds() - a number of seconds, for struct command_option
 * @text: what was typed
 * @out: uint64_t
 *
 * Return: 0, or -EINVAL with a message.
 */
int command_seconds(const char *text, void *out)
{
	if (!parse_number(text, SECONDS_MAX, out))
		return 0;
	report_error("%s: not a number of seconds", text);
	return -EINVAL;
}

/**
 * command_interval() - the time between two looks, for struct command_option
 * @text: what was typed: seconds, with up to three decimals
 * @out: uint64_t, milliseconds
 *
 * Return: 0, or -EINVAL with a message.
 */
int command_interval(const char *text, void *out)
{
	size_t whole = strspn(text, "0123456789"), part = 0, i;
	uint64_t ms = 0;

	if (text[whole] == '.')
		part = strspn(text + whole + 1, "0123456789");
	if (!whole || whole > 5 || part > 3 || (text[whole] && (!part || text[whole + 1 + part])))
		goto bad;
	for (i = 0; i < whole; i++)
		ms = ms * 10 + (uint64_t)(text[i] - '0');
	for (i = 0; i < 3; i++)
		ms = ms * 10 + (uint64_t)(i < part ? text[whole + 1 + i] - '0' : 0);
	if (ms < INTERVAL_MIN_MS || ms > SECONDS_MAX * 1000)
		goto bad;
	*(uint64_t *)out = ms;
	return 0;
bad:
	report_error("%s: not a number of seconds from 0.1 to %d", text, SECONDS_MAX);
	return -EINVAL;
}

/**
 * command_count() - how often, for struct command_option
 * @text: what was typed
 * @out: uint64_t
 *
 * Return: 0, or -EINVAL with a message.
 */
int command_count(const char *text, void *out)
{
	if (!parse_number(text, UINT32_MAX, out) && *(uint64_t *)out)
		return 0;
	report_error("%s: not a number from 1 to %u", text, UINT32_MAX);
	return -EINVAL;
}

/**
 * command_machine_name() - a name that a new machine can have, for struct command_option
 * @text: what was typed
 * @out: const char *
 *
 * Return: 0, or -EINVAL with a message.
 */
int command_machine_name(const char *text, void *out)
{
	if (!rundir_name_valid(text)) {
		report_error("%s: a name has at most 31 bytes, letters, digits, \".\", \"_\" and \"-\"", text);
		return -EINVAL;
	}
	*(const char **)out = text;
	return 0;
}

static int set(const struct command_option *option)
{
	if (option->read)
		return option->read(optarg, option->out);
	*(bool *)option->out = true;
	return 0;
}

/**
 * command_arguments() - read a command line
 * @argc: as of main()
 * @argv: as of main(); words that are no options come to its end
 * @syntax: what belongs there
 *
 * Return: -1 to go on: the first word is argv[optind]; or an exit status, a message or the help is out then.
 */
int command_arguments(int argc, char **argv, const struct command_syntax *syntax)
{
	struct option all[OPTIONS_MAX + 2] = { { "help", no_argument, NULL, HELP } };
	const struct command_option *option;
	int n, i;

	for (i = 0, option = syntax->options; option && option->name && i < OPTIONS_MAX; i++, option++) {
		all[i + 1].name = option->name;
		all[i + 1].has_arg = option->read ? required_argument : no_argument;
		all[i + 1].val = i;
	}
	optind = 1;
	while ((i = getopt_long(argc, argv, "", all, NULL)) != -1) {
		if (i == HELP) {
			fputs(syntax->help, stdout);
			return EXIT_OK;
		}
		/* getopt has said what is wrong. */
		if (i == '?' || set(&syntax->options[i]))
			return EXIT_USAGE;
	}
	n = argc - optind;
	if (n >= syntax->words_min && n <= syntax->words_max)
		return -1;
	if (syntax->words)
		report_error("%s; see \"vireo %s --help\"", syntax->words, argv[0]);
	else
		report_error("%s: not an option; see \"vireo %s --help\"", argv[optind], argv[0]);
	return EXIT_USAGE;
}

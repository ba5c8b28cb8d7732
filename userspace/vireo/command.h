/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Subcommands. A file that has one says VIREO_COMMAND() once; the linker puts
 * all of them into one table, so nothing else has to know of it.
 */
#ifndef VIREO_COMMAND_H
#define VIREO_COMMAND_H

/**
 * struct vireo_command - a subcommand
 * @name: what people type
 * @summary: a line for "vireo --help"
 * @run: does it; arguments as of main(), argv[0] is the name
 */
struct vireo_command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

/* Pointers, since those are laid out without padding. */
#define VIREO_COMMAND(name, summary, run)					\
	static const struct vireo_command this_command = { name, summary, run };	\
	static const struct vireo_command *const this_command_ptr		\
	__attribute__((used, section("vireo_commands"))) = &this_command

/**
 * struct command_option - an option of a subcommand
 * @name: without "--"; NULL ends the list
 * @read: reads its argument: 0, or not 0 with a message; NULL: it has none, and @out is a bool that becomes true
 * @out: where to
 */
struct command_option {
	const char *name;
	int (*read)(const char *text, void *out);
	void *out;
};

/**
 * struct command_syntax - what a subcommand's command line may be
 * @help: text of --help, which all have
 * @options: besides; NULL: none
 * @words: message if there are too few or too many words that are no options; NULL: there are none
 * @words_min: at least so many
 * @words_max: at most
 */
struct command_syntax {
	const char *help;
	const struct command_option *options;
	const char *words;
	int words_min;
	int words_max;
};

#define COMMAND_ONE_MACHINE "the name of one machine is needed"

int command_arguments(int argc, char **argv, const struct command_syntax *syntax);
int command_seconds(const char *text, void *out);
int command_interval(const char *text, void *out);
int command_count(const char *text, void *out);
int command_machine_name(const char *text, void *out);

/* main() itself; tests have another one and call this. */
int vireo_main(int argc, char **argv);

#endif /* VIREO_COMMAND_H */

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

/* main() itself; tests have another one and call this. */
int vireo_main(int argc, char **argv);

#endif /* VIREO_COMMAND_H */

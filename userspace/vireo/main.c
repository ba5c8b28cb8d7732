// SPDX-License-Identifier: GPL-2.0-only
/* vireo: finds the subcommand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vireo.h"

#include "command.h"
#include "util.h"

extern const struct vireo_command *const __start_vireo_commands[];
extern const struct vireo_command *const __stop_vireo_commands[];

static int by_name(const void *a, const void *b)
{
	const struct vireo_command *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void help(FILE *to)
{
	size_t nr = (size_t)(__stop_vireo_commands - __start_vireo_commands), i;
	const struct vireo_command *sorted[64];

	if (nr > ARRAY_SIZE(sorted))
		nr = ARRAY_SIZE(sorted);
	memcpy(sorted, __start_vireo_commands, nr * sizeof(sorted[0]));
	qsort(sorted, nr, sizeof(sorted[0]), by_name);
	fprintf(to, "Usage: vireo COMMAND [OPTION]...\n"
		"Virtual machines on the Vireo hypervisor.\n\nCommands:\n");
	for (i = 0; i < nr; i++)
		fprintf(to, "  %-10s %s\n", sorted[i]->name, sorted[i]->summary);
	fprintf(to, "\n\"vireo COMMAND --help\" tells more, as does man vireo-COMMAND.\n"
		"  --help     this text\n"
		"  --version  version of the program and of the ABI it speaks\n");
}

/**
 * vireo_main() - the program
 * @argc: as of main()
 * @argv: as of main()
 *
 * Return: the exit status.
 */
int vireo_main(int argc, char **argv)
{
	const struct vireo_command *const *command;

	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("vireo %s (ABI %d)\n", vireo_version(), VIREO_ABI_VERSION);
		return EXIT_OK;
	}
	for (command = __start_vireo_commands; command < __stop_vireo_commands; command++)
		if (!strcmp((*command)->name, argv[1]))
			return (*command)->run(argc - 1, argv + 1);
	report_error("there is no command \"%s\"; \"vireo --help\" lists them", argv[1]);
	return EXIT_USAGE;
}

__attribute__((weak)) int main(int argc, char **argv)
{
	return vireo_main(argc, argv);
}

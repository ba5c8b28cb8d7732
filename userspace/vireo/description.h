/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a machine is made of, as text: the options of "vireo run" in JSON, as a file of --config has them
 * (Documentation/config.rst), but as a list of such objects, so that devices keep their order. Who has it builds a machine to which the state of the described one can be given.
 */
#ifndef VIREO_DESCRIPTION_H
#define VIREO_DESCRIPTION_H

#include <jansson.h>

#include "config_file.h"

struct cpu_profile;
struct machine_config;

/* Paths in it are absolute; @profile: the CPU profile that it has, or NULL. NULL: no memory, or a text that is not UTF-8 */
json_t *description_make(const struct machine_config *config, struct cpu_profile *profile);
/* cmd_run.c, where options are understood */
int description_parse(struct machine_config *config, struct config_file *file, const char *where,
		      json_t *description);
/* Options of "vireo run" behind argv[0]; as description_parse() */
int description_options(struct machine_config *config, struct config_file *file, int argc, char **argv);
void description_free(struct machine_config *config, struct config_file *file);

#endif /* VIREO_DESCRIPTION_H */

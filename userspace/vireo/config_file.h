/* SPDX-License-Identifier: GPL-2.0-only */
/* The options of "vireo run" in a JSON file: the same names, and values as on the command line. */
#ifndef VIREO_CONFIG_FILE_H
#define VIREO_CONFIG_FILE_H

#include <jansson.h>
#include <stdbool.h>

/* The option whose argument may be an object, as it is; objects are devices' parameters otherwise */
#define CONFIG_WHOLE_OBJECT "cpu-profile"

/**
 * struct config_entry - an option as if it had been typed
 * @name: without "--"; @value: its argument, NULL for "true"
 * @where: "FILE:LINE", for messages
 * @in_list: it is one of a list
 * @object: it was an object
 */
struct config_entry {
	char *name;
	char *value;
	char *where;
	bool in_list;
	bool object;
};

struct config_file {
	struct config_entry *entry;
	unsigned int nr;
};

int config_file_add(struct config_file *file, const char *where, json_t *object);
int config_file_read(struct config_file *file, const char *path);
void config_file_free(struct config_file *file);

#endif /* VIREO_CONFIG_FILE_H */

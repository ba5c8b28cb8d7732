// SPDX-License-Identifier: GPL-2.0-only
/* The table of options that make devices, as the linker has put it together. */
#include <stddef.h>
#include <string.h>

#include "option.h"

extern const struct device_option *const __start_vireo_options[];
extern const struct device_option *const __stop_vireo_options[];

/**
 * device_options() - all of them
 * @count: how many
 *
 * Return: the first.
 */
const struct device_option *const *device_options(unsigned int *count)
{
	*count = (unsigned int)(__stop_vireo_options - __start_vireo_options);
	return __start_vireo_options;
}

/**
 * device_option_find() - look one up
 * @name: without "--"
 *
 * Return: the option, or NULL.
 */
const struct device_option *device_option_find(const char *name)
{
	const struct device_option *const *option;

	for (option = __start_vireo_options; option < __stop_vireo_options; option++)
		if (!strcmp((*option)->name, name))
			return *option;
	return NULL;
}

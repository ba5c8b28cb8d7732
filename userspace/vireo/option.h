/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Options that make devices. A device's file says VIREO_DEVICE_OPTION() once; "vireo run" and --config
 * then know --NAME, and nothing else has to know of the device.
 */
#ifndef VIREO_OPTION_H
#define VIREO_OPTION_H

#include "board.h"
#include "params.h"

/**
 * struct device_option - an option that makes a device
 * @name: "disk" for --disk, and the key in --config
 * @first: key of the first parameter, if it is written without one; NULL: all are key=value
 * @argument: for the help, such as "PATH[,OPTIONS]"; one that begins with "[" may be left out, and is given
 *	      as --NAME=...
 * @help: what it is, lines of the help text separated by \n
 * @multiple: may be given more than once
 * @create: make one and plug it in. 0; -EINVAL: the parameters are wrong, a message is out; or another
 *	    negative errno
 */
struct device_option {
	const char *name;
	const char *first;
	const char *argument;
	const char *help;
	bool multiple;
	int (*create)(struct board *board, struct params *params);
};

/* Pointers, since those are laid out without padding. */
#define VIREO_DEVICE_OPTION(...)							\
	static const struct device_option this_option = { __VA_ARGS__ };		\
	static const struct device_option *const this_option_ptr			\
	__attribute__((used, section("vireo_options"))) = &this_option

const struct device_option *const *device_options(unsigned int *count);
const struct device_option *device_option_find(const char *name);

#endif /* VIREO_OPTION_H */

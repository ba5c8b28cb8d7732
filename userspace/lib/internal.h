/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of libvireo know of each other; no part of its interface. */
#ifndef LIBVIREO_INTERNAL_H
#define LIBVIREO_INTERNAL_H

#include "vireo.h"

struct vireo {
	int fd;
	struct vireo_info info;
};

struct vireo_vm {
	int fd;
	size_t run_size;
};

struct vireo_vcpu {
	int fd;
	unsigned int id;
	size_t run_size;
	struct vireo_run *run;
};

#endif /* LIBVIREO_INTERNAL_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine on the fake module that has been built and has not run: a test gets it in the load() of a struct machine_source, on the
 * main thread, at rest; and what its vCPUs and devices have, to be told apart from what they are given next.
 */
#ifndef VIREO_TESTS_AT_REST_H
#define VIREO_TESTS_AT_REST_H

#include <jansson.h>

#include "fake_module.h"
#include "../vireo/machine.h"

#define AT_REST_CPUS 2

/* A directory of its own, with a kernel, where control sockets go as well */
void at_rest_begin(void);
void at_rest_end(void);
/* Builds a machine of @mib MiB on the module as it is set up (fake_reset()); its exit status */
int at_rest_run(const struct machine_source *source, unsigned int mib);
/* ... @more: members of its description, each with a comma before it */
int at_rest_run_with(const struct machine_source *source, unsigned int mib, const char *more);

void at_rest_mark(struct machine *machine, unsigned int n);
bool at_rest_is_marked(struct machine *machine, unsigned int n);

static inline struct vireo_regs *at_rest_regs(unsigned int cpu)
{
	return (void *)fake.vcpu[cpu].block[VIREO_BLOCK_REGS];
}

static inline uint64_t *at_rest_offset(unsigned int cpu)
{
	return (void *)fake.vcpu[cpu].block[VIREO_BLOCK_TSC_OFFSET];
}

#endif /* VIREO_TESTS_AT_REST_H */

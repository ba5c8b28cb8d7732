/* SPDX-License-Identifier: GPL-2.0-only */
/* What a guest's CPUID says. */
#ifndef VIREO_CPUID_H
#define VIREO_CPUID_H

#include <linux/vireo.h>

void cpuid_topology(struct vireo_cpuid_entry *entries, unsigned int count, unsigned int cpus);

#endif /* VIREO_CPUID_H */

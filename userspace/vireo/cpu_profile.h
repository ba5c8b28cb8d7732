/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What processors give a guest, as a file: "vireo info --cpu-profile" writes one, "vireo run --cpu-profile" reads them, so that a guest
 * gets no more than several hosts have in common. Documentation/cpu-profiles.rst has the format.
 */
#ifndef VIREO_CPU_PROFILE_H
#define VIREO_CPU_PROFILE_H

#include <jansson.h>
#include <stdint.h>

#include "cpu_features.h"

struct vireo;

#define CPU_PROFILE_VERSION	1
#define CPU_PROFILE_MSRS	1024
#define CPU_PROFILE_WHY		256

/**
 * struct cpu_profile - what processors give a guest
 * @cpuid: CPUID table, without the topology
 * @nr_cpuid: its length
 * @msr: MSRs whose values move with a guest
 * @nr_msrs: how many
 * @phys_bits: bits of a guest-physical address
 * @tsc_khz: frequency of the time-stamp counter
 */
struct cpu_profile {
	struct vireo_cpuid_entry cpuid[VIREO_MAX_CPUID];
	unsigned int nr_cpuid;
	uint32_t msr[CPU_PROFILE_MSRS];
	unsigned int nr_msrs;
	unsigned int phys_bits;
	uint32_t tsc_khz;
};

static inline struct cpu_table cpu_profile_table(struct cpu_profile *profile)
{
	return (struct cpu_table){ profile->cpuid, profile->nr_cpuid };
}

int cpu_profile_of_host(struct vireo *vireo, struct cpu_profile *profile);
json_t *cpu_profile_json(struct cpu_profile *profile);
/* 0, or -EINVAL with a sentence in @why, CPU_PROFILE_WHY bytes */
int cpu_profile_parse(const json_t *object, struct cpu_profile *profile, char *why);
/* @text: a path, or a profile itself, which begins with "{". 0, or -EINVAL with a message */
int cpu_profile_read(const char *text, struct cpu_profile *profile);
/* What both have; who @profile is, stays. 0, or -EOPNOTSUPP: two vendors */
int cpu_profile_limit(struct cpu_profile *profile, struct cpu_profile *by);
/* After the last of these */
void cpu_profile_settle(struct cpu_profile *profile);
bool cpu_profile_has_msr(const struct cpu_profile *profile, uint32_t index);

#endif /* VIREO_CPU_PROFILE_H */

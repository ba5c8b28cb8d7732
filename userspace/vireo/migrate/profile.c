// SPDX-License-Identifier: GPL-2.0-only
/*
 * Features are bits of some CPUID leaves: each that the guest was shown has to be there. What numbers processors, or names them, may
 * differ: the guest keeps what it was shown, and the module puts its own limits to that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vireo.h"

#include "profile.h"
#include "../description.h"
#include "../machine.h"
#include "../util.h"

#define MSRS_MAX CPU_PROFILE_MSRS

/* ---- Making one ---- */

static json_t *cpuid_list(const struct machine *machine)
{
	const struct vireo_cpuid_entry *entry = machine->cpuid;
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < machine->nr_cpuid; i++, entry++)
		json_array_append_new(list, json_pack("[I,I,I,I,I,I,I]", (json_int_t)entry->leaf,
						      (json_int_t)entry->subleaf, (json_int_t)entry->flags,
						      (json_int_t)entry->eax, (json_int_t)entry->ebx,
						      (json_int_t)entry->ecx, (json_int_t)entry->edx));
	return list;
}

static json_t *msr_list(const struct cpu_profile *profile)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < profile->nr_msrs; i++)
		json_array_append_new(list, json_integer(profile->msr[i]));
	return list;
}

static json_t *memory_list(const struct guest_memory *memory)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		json_array_append_new(list, json_pack("[I,I]", (json_int_t)memory->piece[i].gpa,
						      (json_int_t)memory->piece[i].bytes));
	return list;
}

/**
 * profile_make() - tell what a machine is
 * @machine: the machine
 *
 * Return: an object, or NULL.
 */
json_t *profile_make(struct machine *machine)
{
	return json_pack("{s:s,s:i,s:o,s:o,s:o,s:I,s:o}", "name", machine->name, "cpus", (int)machine->nr_cpus, "cpuid",
			 cpuid_list(machine), "msrs", msr_list(&machine->profile), "memory", memory_list(&machine->memory),
			 "blocks", (json_int_t)vireo_get_info(machine->vireo)->blocks, "machine",
			 description_make(machine->config, machine_cpu_profile(machine)));
}

/* ---- Checking one ---- */

static int no(char *why, int error, const char *text)
{
	snprintf(why, PROFILE_WHY, "%s", text);
	return error;
}

static bool numbers(const json_t *list, uint64_t max, uint64_t *out, size_t n)
{
	const json_t *value;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) != n)
		return false;
	for (i = 0; i < n; i++) {
		value = json_array_get(list, i);
		if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		    (uint64_t)json_integer_value(value) > max)
			return false;
		out[i] = (uint64_t)json_integer_value(value);
	}
	return true;
}

static int read_cpuid(const json_t *list, struct vireo_cpuid_entry *entries, unsigned int *count, char *why)
{
	uint64_t n[7];
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > VIREO_MAX_CPUID)
		return no(why, -EINVAL, "its CPUID table is malformed");
	for (i = 0; i < json_array_size(list); i++) {
		if (!numbers(json_array_get(list, i), UINT32_MAX, n, 7))
			return no(why, -EINVAL, "its CPUID table is malformed");
		entries[i] = (struct vireo_cpuid_entry){ (uint32_t)n[0], (uint32_t)n[1], (uint32_t)n[2], (uint32_t)n[3],
							 (uint32_t)n[4], (uint32_t)n[5], (uint32_t)n[6], 0 };
	}
	*count = (unsigned int)i;
	return 0;
}

static int check_cpuid(struct vireo *vireo, const json_t *list, char *why)
{
	struct vireo_cpuid_entry theirs[VIREO_MAX_CPUID], ours[VIREO_MAX_CPUID];
	unsigned int nr_theirs, nr_ours = VIREO_MAX_CPUID;
	int r;

	r = read_cpuid(list, theirs, &nr_theirs, why);
	if (r)
		return r;
	r = vireo_supported_cpuid(vireo, ours, &nr_ours);
	if (r)
		return no(why, r, "the module here does not tell its CPUID table");
	return cpu_check((struct cpu_table){ theirs, nr_theirs }, (struct cpu_table){ ours, nr_ours }, "this host's", why,
			 PROFILE_WHY);
}

static int check_msrs(struct vireo *vireo, const json_t *list, char *why)
{
	unsigned int count = MSRS_MAX, k;
	uint32_t ours[MSRS_MAX];
	uint64_t msr;
	size_t i;
	int r;

	if (!json_is_array(list) || json_array_size(list) > MSRS_MAX)
		return no(why, -EINVAL, "its list of MSRs is malformed");
	r = vireo_msr_list(vireo, ours, &count);
	if (r)
		return no(why, r, "the module here does not tell its MSRs");
	for (i = 0; i < json_array_size(list); i++) {
		const json_t *value = json_array_get(list, i);

		if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
			return no(why, -EINVAL, "its list of MSRs is malformed");
		msr = (uint64_t)json_integer_value(value);
		for (k = 0; k < count && ours[k] != msr; k++)
			;
		if (k < count)
			continue;
		snprintf(why, PROFILE_WHY, "the machine's processors have an MSR that this host's have not: %#x", (unsigned int)msr);
		return -EOPNOTSUPP;
	}
	return 0;
}

/**
 * profile_check() - could a machine run here?
 * @vireo: the module here
 * @profile: what profile_make() has made, or somebody else
 * @why: PROFILE_WHY bytes for a sentence
 *
 * Return: 0; -EINVAL: malformed; -EOPNOTSUPP: it could not; or another negative errno.
 */
int profile_check(struct vireo *vireo, const json_t *profile, char *why)
{
	const json_t *blocks = json_object_get(profile, "blocks");
	const json_t *cpus = json_object_get(profile, "cpus");
	int r;

	if (!json_is_object(profile) || !json_is_integer(blocks) || !json_is_integer(cpus))
		return no(why, -EINVAL, "its description is malformed");
	if (json_integer_value(cpus) < 1 || json_integer_value(cpus) > vireo_get_info(vireo)->max_vcpus)
		return no(why, -EOPNOTSUPP, "it has more vCPUs than the module here gives a VM");
	if ((uint64_t)json_integer_value(blocks) & ~vireo_get_info(vireo)->blocks)
		return no(why, -EOPNOTSUPP, "the module there has state that this one does not know");
	r = check_cpuid(vireo, json_object_get(profile, "cpuid"), why);
	return r ? r : check_msrs(vireo, json_object_get(profile, "msrs"), why);
}

/**
 * profile_check_memory() - is memory like that of a machine?
 * @profile: of the machine
 * @memory: the memory
 * @why: PROFILE_WHY bytes for a sentence
 *
 * Return: 0, or -EINVAL.
 */
int profile_check_memory(const json_t *profile, const struct guest_memory *memory, char *why)
{
	const json_t *list = json_object_get(profile, "memory");
	uint64_t piece[2];
	unsigned int i;

	for (i = 0; i < memory->nr; i++)
		if (!numbers(json_array_get(list, i), INT64_MAX, piece, 2) || piece[0] != memory->piece[i].gpa ||
		    piece[1] != memory->piece[i].bytes)
			break;
	if (i < memory->nr || json_array_size(list) != i)
		return no(why, -EINVAL, "its memory is not like that of the machine that was made for it");
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any text as two CPU profiles, a line each: what is taken is written and read again as it was; limited by itself or by the
 * other one, and settled, it has no more than before, and the same takes no more away.
 */
#include <stdlib.h>
#include <string.h>

#include "../vireo/cpu_profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool parse(const char *text, size_t len, struct cpu_profile *profile)
{
	char why[CPU_PROFILE_WHY] = "";
	json_t *object = json_loadb(text, len, 0, NULL);
	bool taken;

	if (!object)
		return false;
	taken = !cpu_profile_parse(object, profile, why);
	json_decref(object);
	if (!taken && (!why[0] || !memchr(why, 0, sizeof(why))))
		abort();
	return taken;
}

static bool same(const struct cpu_profile *a, const struct cpu_profile *b)
{
	return a->nr_cpuid == b->nr_cpuid && !memcmp(a->cpuid, b->cpuid, a->nr_cpuid * sizeof(a->cpuid[0])) &&
	       a->nr_msrs == b->nr_msrs && !memcmp(a->msr, b->msr, a->nr_msrs * sizeof(a->msr[0])) &&
	       a->phys_bits == b->phys_bits && a->tsc_khz == b->tsc_khz;
}

static void written(const struct cpu_profile *profile)
{
	static struct cpu_profile again;
	json_t *object;
	char *text;

	again = *profile;
	object = cpu_profile_json(&again);
	text = json_dumps(object, 0);
	if (!text || !parse(text, strlen(text), &again) || !same(profile, &again))
		abort();
	free(text);
	json_decref(object);
}

static void limit(const struct cpu_profile *profile, struct cpu_profile *by)
{
	static struct cpu_profile limited, again;

	limited = *profile;
	if (cpu_profile_limit(&limited, by))
		return;
	if (limited.nr_cpuid > profile->nr_cpuid || limited.nr_msrs > profile->nr_msrs || limited.phys_bits > profile->phys_bits)
		abort();
	again = limited;
	if (cpu_profile_limit(&again, by) || !same(&limited, &again))
		abort();
	cpu_profile_settle(&again);
	if (again.nr_cpuid > limited.nr_cpuid)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cpu_profile first, second;
	const char *text = (const char *)data, *end = memchr(text, '\n', size);
	size_t len = end ? (size_t)(end - text) : size;

	if (!parse(text, len, &first))
		return 0;
	written(&first);
	second = first;
	limit(&first, &second);
	if (end && parse(end + 1, size - len - 1, &second))
		limit(&first, &second);
	return 0;
}

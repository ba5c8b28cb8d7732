// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two kinds of leaves: those that say what a processor can do, of which a limited profile has what both have, and those that say who it
 * is, which stay those of the first. What follows from others (XSAVE's sizes) is made anew; topology is put in later.
 *
 * A file may come from anywhere. It is checked for its form only: whatever it says, a guest gets nothing that the module does not
 * give on this host, since that is what it is limited by in the end.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vireo.h"

#include "cpu_profile.h"
#include "util.h"

#define FORMAT		"vireo-cpu-profile"
#define FILE_MAX_BYTES	(1 * MIB)
#define LEAF_HYPERVISOR	0x40000000U
#define LEAF_EXTENDED	0x80000000U
#define LEAF_ADDRESSES	0x80000008U
#define PHYS_BITS_MIN	32
#define PHYS_BITS_MAX	52
#define CLFLUSH_MASK	0xff00U

/* ---- Of this host, and as text ---- */

/**
 * cpu_profile_of_host() - what this host gives a guest
 * @vireo: its module
 * @profile: to be filled
 *
 * Return: 0, or a negative errno.
 */
int cpu_profile_of_host(struct vireo *vireo, struct cpu_profile *profile)
{
	int r;

	memset(profile, 0, sizeof(*profile));
	profile->phys_bits = vireo_get_info(vireo)->phys_bits;
	profile->tsc_khz = vireo_get_info(vireo)->tsc_khz;
	profile->nr_cpuid = VIREO_MAX_CPUID;
	r = vireo_supported_cpuid(vireo, profile->cpuid, &profile->nr_cpuid);
	if (r)
		return r;
	profile->nr_msrs = CPU_PROFILE_MSRS;
	return vireo_msr_list(vireo, profile->msr, &profile->nr_msrs);
}

static json_t *number(uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%#x", value);
	return json_string(text);
}

static json_t *entry_json(const struct vireo_cpuid_entry *entry)
{
	json_t *object = json_object();

	json_object_set_new(object, "leaf", number(entry->leaf));
	if (entry->flags & VIREO_CPUID_SUBLEAF)
		json_object_set_new(object, "subleaf", number(entry->subleaf));
	json_object_set_new(object, "eax", number(entry->eax));
	json_object_set_new(object, "ebx", number(entry->ebx));
	json_object_set_new(object, "ecx", number(entry->ecx));
	json_object_set_new(object, "edx", number(entry->edx));
	return object;
}

/**
 * cpu_profile_json() - a profile as its file has it
 * @profile: the profile
 *
 * Return: the object, or NULL.
 */
json_t *cpu_profile_json(struct cpu_profile *profile)
{
	json_t *cpuid = json_array(), *msrs = json_array();
	char vendor[CPU_VENDOR_BYTES];
	unsigned int i;

	for (i = 0; i < profile->nr_cpuid; i++)
		json_array_append_new(cpuid, entry_json(&profile->cpuid[i]));
	for (i = 0; i < profile->nr_msrs; i++)
		json_array_append_new(msrs, number(profile->msr[i]));
	cpu_vendor(cpu_profile_table(profile), vendor);
	return json_pack("{s:i,s:s,s:i,s:I,s:o,s:o}", FORMAT, CPU_PROFILE_VERSION, "vendor", vendor,
			 "physical_address_bits", (int)profile->phys_bits, "tsc_khz", (json_int_t)profile->tsc_khz,
			 "cpuid", cpuid, "msrs", msrs);
}

/* ---- From text ---- */

static int __attribute__((format(printf, 2, 3))) wrong(char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, CPU_PROFILE_WHY, format, args);
	va_end(args);
	/* It may quote what somebody else has written, and goes to a terminal. */
	for (; *why; why++)
		if (iscntrl((unsigned char)*why))
			*why = '?';
	return -EINVAL;
}

/* Each member has to be one of @known, NULL at their end. What is unknown may mean something. */
static const char *unknown_member(const json_t *object, const char *const *known)
{
	const char *key;
	json_t *value;
	unsigned int i;

	json_object_foreach((json_t *)object, key, value) {
		for (i = 0; known[i] && strcmp(known[i], key); i++)
			;
		if (!known[i])
			return key;
	}
	return NULL;
}

static int read_word(const json_t *value, uint32_t *out)
{
	uint64_t word;

	if (!json_is_string(value) || parse_number(json_string_value(value), UINT32_MAX, &word))
		return -EINVAL;
	*out = (uint32_t)word;
	return 0;
}

static int read_entry(const json_t *object, size_t n, struct vireo_cpuid_entry *entry, char *why)
{
	static const char *const known[] = { "leaf", "subleaf", "eax", "ebx", "ecx", "edx", NULL };
	const struct { const char *name; uint32_t *out; } word[] = {
		{ "leaf", &entry->leaf }, { "eax", &entry->eax }, { "ebx", &entry->ebx },
		{ "ecx", &entry->ecx }, { "edx", &entry->edx },
	};
	const json_t *subleaf = json_object_get(object, "subleaf");
	const char *unknown;
	size_t i;

	memset(entry, 0, sizeof(*entry));
	if (!json_is_object(object))
		return wrong(why, "\"cpuid\": entry %zu is no object", n);
	unknown = unknown_member(object, known);
	if (unknown)
		return wrong(why, "\"cpuid\": entry %zu: \"%.40s\" is unknown", n, unknown);
	for (i = 0; i < ARRAY_SIZE(word); i++)
		if (read_word(json_object_get(object, word[i].name), word[i].out))
			return wrong(why, "\"cpuid\": entry %zu: \"%s\" is no number of 32 bits such as \"0x1f\"", n, word[i].name);
	if (!subleaf)
		return 0;
	entry->flags = VIREO_CPUID_SUBLEAF;
	if (read_word(subleaf, &entry->subleaf))
		return wrong(why, "\"cpuid\": entry %zu: \"subleaf\" is no number of 32 bits such as \"0x1f\"", n);
	return 0;
}

static int read_cpuid(const json_t *list, struct cpu_profile *profile, char *why)
{
	static const uint32_t needed[] = { 0, 1, LEAF_ADDRESSES };
	struct cpu_table table;
	json_t *object;
	size_t n;
	int r;

	if (!json_is_array(list))
		return wrong(why, "\"cpuid\" is no list");
	if (json_array_size(list) > VIREO_MAX_CPUID)
		return wrong(why, "\"cpuid\" has more than %u entries", VIREO_MAX_CPUID);
	json_array_foreach((json_t *)list, n, object) {
		struct vireo_cpuid_entry *entry = &profile->cpuid[n];

		r = read_entry(object, n, entry, why);
		if (r)
			return r;
		table = cpu_profile_table(profile);
		if (cpu_leaf(table, entry->leaf, entry->subleaf))
			return wrong(why, "\"cpuid\": entry %zu: leaf %#x is there twice", n, entry->leaf);
		profile->nr_cpuid++;
	}
	table = cpu_profile_table(profile);
	for (n = 0; n < ARRAY_SIZE(needed); n++)
		if (!cpu_leaf(table, needed[n], 0))
			return wrong(why, "\"cpuid\": leaf %#x is missing", needed[n]);
	return 0;
}

static int read_msrs(const json_t *list, struct cpu_profile *profile, char *why)
{
	json_t *value;
	size_t n;

	if (!json_is_array(list))
		return wrong(why, "\"msrs\" is no list");
	if (json_array_size(list) > CPU_PROFILE_MSRS)
		return wrong(why, "\"msrs\" has more than %u entries", CPU_PROFILE_MSRS);
	json_array_foreach((json_t *)list, n, value)
		if (read_word(value, &profile->msr[profile->nr_msrs++]))
			return wrong(why, "\"msrs\": entry %zu is no number of 32 bits such as \"0x10\"", n);
	return 0;
}

static int read_number(const json_t *object, const char *key, uint32_t min, uint32_t max, uint32_t *out, char *why)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
		return wrong(why, "\"%s\" is no whole number from %u to %u", key, min, max);
	*out = (uint32_t)json_integer_value(value);
	return 0;
}

/* What is said twice has to be the same, and a processor has the leaves without which it has no others. */
static int check_table(const json_t *object, struct cpu_profile *profile, char *why)
{
	struct cpu_table table = cpu_profile_table(profile);
	const struct vireo_cpuid_entry *extended = cpu_leaf(table, LEAF_EXTENDED, 0);
	const char *said = json_string_value(json_object_get(object, "vendor"));
	char vendor[CPU_VENDOR_BYTES];

	cpu_vendor(table, vendor);
	if (!said || strcmp(said, vendor))
		return wrong(why, "\"vendor\" is not that of CPUID leaf 0, which is \"%s\"", vendor);
	if ((cpu_leaf(table, LEAF_ADDRESSES, 0)->eax & 0xff) != profile->phys_bits)
		return wrong(why, "\"physical_address_bits\" is %u, CPUID leaf 0x80000008 says %u", profile->phys_bits,
			     cpu_leaf(table, LEAF_ADDRESSES, 0)->eax & 0xff);
	if (!cpu_leaf(table, 0, 0)->eax || (extended && extended->eax < LEAF_ADDRESSES))
		return wrong(why, "\"cpuid\": leaf %#x: EAX, the last leaf, is too small",
			     cpu_leaf(table, 0, 0)->eax ? LEAF_EXTENDED : 0);
	return 0;
}

/**
 * cpu_profile_parse() - read a profile
 * @object: what cpu_profile_json() has made, or somebody else
 * @profile: to be filled
 * @why: CPU_PROFILE_WHY bytes for a sentence
 *
 * Return: 0, or -EINVAL.
 */
int cpu_profile_parse(const json_t *object, struct cpu_profile *profile, char *why)
{
	static const char *const known[] = {
		FORMAT, "vendor", "physical_address_bits", "tsc_khz", "cpuid", "msrs", NULL,
	};
	const json_t *version = json_object_get(object, FORMAT);
	const char *unknown;
	int r;

	memset(profile, 0, sizeof(*profile));
	if (!json_is_object(object) || !json_is_integer(version))
		return wrong(why, "not a CPU profile, which \"vireo info --cpu-profile\" makes");
	if (json_integer_value(version) != CPU_PROFILE_VERSION)
		return wrong(why, "a CPU profile of version %" JSON_INTEGER_FORMAT "; this vireo reads version %d",
			     json_integer_value(version), CPU_PROFILE_VERSION);
	unknown = unknown_member(object, known);
	if (unknown)
		return wrong(why, "\"%.40s\" is unknown in a CPU profile of version %d", unknown, CPU_PROFILE_VERSION);
	r = read_number(object, "physical_address_bits", PHYS_BITS_MIN, PHYS_BITS_MAX, &profile->phys_bits, why);
	if (!r)
		r = read_number(object, "tsc_khz", 1, UINT32_MAX, &profile->tsc_khz, why);
	if (!r)
		r = read_cpuid(json_object_get(object, "cpuid"), profile, why);
	if (!r)
		r = read_msrs(json_object_get(object, "msrs"), profile, why);
	return r ? r : check_table(object, profile, why);
}

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text;
	size_t n;

	if (!file) {
		report_error("%s: the CPU profile cannot be opened: %s", path, strerror(errno));
		return NULL;
	}
	text = malloc(FILE_MAX_BYTES + 1);
	n = text ? fread(text, 1, FILE_MAX_BYTES + 1, file) : 0;
	if (!text || ferror(file)) {
		report_error("%s: the CPU profile cannot be read: %s", path, strerror(text ? errno : ENOMEM));
	} else if (n > FILE_MAX_BYTES || memchr(text, 0, n)) {
		report_error("%s: not a CPU profile: %s", path, n > FILE_MAX_BYTES ? "it is larger than 1 MiB" : "it is binary");
	} else {
		fclose(file);
		text[n] = '\0';
		return text;
	}
	fclose(file);
	free(text);
	return NULL;
}

/**
 * cpu_profile_read() - read a profile from a file
 * @text: its path, or a profile itself, which begins with "{"
 * @profile: to be filled
 *
 * Return: 0, or -EINVAL with a message.
 */
int cpu_profile_read(const char *text, struct cpu_profile *profile)
{
	bool is_path = *text != '{';
	const char *where = is_path ? text : "the CPU profile of the machine";
	char *content = is_path ? read_file(text) : NULL;
	char why[CPU_PROFILE_WHY];
	json_error_t error;
	json_t *object;
	int r = -EINVAL;

	if (is_path && !content)
		return -EINVAL;
	object = json_loads(is_path ? content : text, JSON_REJECT_DUPLICATES, &error);
	if (!object) {
		report_error("%s:%d: %s", where, error.line, error.text);
	} else {
		r = cpu_profile_parse(object, profile, why);
		if (r)
			report_error("%s: %s", where, why);
	}
	json_decref(object);
	free(content);
	return r;
}

/* ---- What both have ---- */

/* Leaves that only say who a processor is: names, caches */
static bool identity(uint32_t leaf)
{
	return leaf == 2 || leaf == 4 || (leaf >= 0x80000002 && leaf <= 0x80000006);
}

static uint32_t lower(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void both(struct vireo_cpuid_entry *entry, const struct vireo_cpuid_entry *by)
{
	entry->eax &= by->eax;
	entry->ebx &= by->ebx;
	entry->ecx &= by->ecx;
	entry->edx &= by->edx;
}

static bool same(const struct vireo_cpuid_entry *entry, const struct vireo_cpuid_entry *by)
{
	return entry->eax == by->eax && entry->ebx == by->ebx && entry->ecx == by->ecx && entry->edx == by->edx;
}

/* An entry and its counterpart; false: it goes. */
static bool limit_entry(struct vireo_cpuid_entry *entry, const struct vireo_cpuid_entry *by)
{
	struct vireo_cpuid_entry was = *entry;

	if (identity(entry->leaf))
		return true;
	if (!by || by->flags != entry->flags)
		return false;
	both(entry, by);
	switch (entry->leaf) {
	case 0:
	case LEAF_EXTENDED:
		/* The last leaf, and the vendor */
		*entry = was;
		entry->eax = lower(was.eax, by->eax);
		break;
	case 1:
		entry->eax = was.eax;
		/* Whoever flushes memory by lines flushes all of it with shorter ones. */
		entry->ebx = lower(was.ebx & CLFLUSH_MASK, by->ebx & CLFLUSH_MASK);
		break;
	case 7:
		/* The last subleaf */
		if (!entry->subleaf)
			entry->eax = lower(was.eax, by->eax);
		break;
	case 0xb:
	case 0x1f:
		/* Topology: cpuid_topology() fills it. */
		*entry = was;
		break;
	case 0xd:
		/* Size and offset of a component */
		if (entry->subleaf >= 2) {
			entry->eax = was.eax;
			entry->ebx = was.ebx;
			return was.eax == by->eax && was.ebx == by->ebx;
		}
		break;
	case 0x15:
	case 0x16:
		/* Frequencies: a guest that is not told measures them. */
		if (!same(&was, by))
			entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case LEAF_HYPERVISOR:
		*entry = was;
		entry->eax = lower(was.eax, by->eax);
		return was.ebx == by->ebx && was.ecx == by->ecx && was.edx == by->edx;
	case LEAF_EXTENDED + 1:
		/* AMD's model again */
		entry->eax = was.eax;
		entry->ebx = was.ebx;
		break;
	case LEAF_ADDRESSES:
		entry->eax = lower(was.eax & 0xff, by->eax & 0xff) | lower(was.eax & 0xff00, by->eax & 0xff00);
		break;
	}
	return true;
}

/* The last leaf of a range, of which its first one tells */
static uint32_t last_leaf(struct cpu_table table, uint32_t first)
{
	const struct vireo_cpuid_entry *entry = cpu_leaf(table, first, 0);

	return entry ? entry->eax : UINT32_MAX;
}

/**
 * cpu_profile_limit() - take away what another profile does not have
 * @profile: whose model, caches and names stay
 * @by: the other one
 *
 * Return: 0, or -EOPNOTSUPP: they are of two vendors; nothing has changed then.
 */
int cpu_profile_limit(struct cpu_profile *profile, struct cpu_profile *by)
{
	struct cpu_table table = cpu_profile_table(profile), other = cpu_profile_table(by);
	unsigned int i, n = 0;

	if (!cpu_same_vendor(table, other))
		return -EOPNOTSUPP;
	for (i = 0; i < profile->nr_cpuid; i++) {
		struct vireo_cpuid_entry entry = profile->cpuid[i];

		if (limit_entry(&entry, cpu_leaf(other, entry.leaf, entry.subleaf)))
			profile->cpuid[n++] = entry;
	}
	profile->nr_cpuid = n;
	for (i = 0, n = 0; i < profile->nr_msrs; i++)
		if (cpu_profile_has_msr(by, profile->msr[i]))
			profile->msr[n++] = profile->msr[i];
	profile->nr_msrs = n;
	profile->phys_bits = lower(profile->phys_bits, by->phys_bits);
	return 0;
}

/**
 * cpu_profile_settle() - make a limited profile one that a processor could have
 * @profile: the profile
 */
void cpu_profile_settle(struct cpu_profile *profile)
{
	struct cpu_table table = cpu_profile_table(profile), left = { profile->cpuid, 0 };
	uint32_t basic = last_leaf(table, 0), extended = last_leaf(table, LEAF_EXTENDED), leaf;
	unsigned int i;

	for (i = 0; i < table.nr; i++) {
		leaf = table.entry[i].leaf;
		if (leaf < LEAF_HYPERVISOR ? leaf <= basic : leaf < LEAF_EXTENDED || leaf <= extended)
			left.entry[left.nr++] = table.entry[i];
	}
	cpu_settle_xsave(&left);
	profile->nr_cpuid = left.nr;
}

/**
 * cpu_profile_has_msr() - whether an MSR is one of a profile
 * @profile: the profile
 * @index: the MSR's number
 *
 * Return: it is.
 */
bool cpu_profile_has_msr(const struct cpu_profile *profile, uint32_t index)
{
	unsigned int i;

	for (i = 0; i < profile->nr_msrs; i++)
		if (profile->msr[i] == index)
			return true;
	return false;
}

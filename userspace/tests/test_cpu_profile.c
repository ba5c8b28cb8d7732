// SPDX-License-Identifier: GPL-2.0-only
/* CPU profiles: what two of them have in common, and files that are none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "../vireo/cpu_profile.h"
#include "../vireo/util.h"

#define SUB VIREO_CPUID_SUBLEAF
#define INTEL .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69

/* The larger of two: AVX-512, more leaves, more address bits, other caches */
static const struct vireo_cpuid_entry large[] = {
	{ .leaf = 0, .eax = 0x16, INTEL },
	{ .leaf = 1, .eax = 0x706e5, .ebx = 0x4000, .ecx = 1U << 0 | 1U << 12 | 1U << 26 | 1U << 28, .edx = 0x1783fbff },
	{ .leaf = 2, .eax = 0x00feff01 },
	{ .leaf = 4, .subleaf = 0, .flags = SUB, .eax = 0x121, .ebx = 0x2c0003f },
	{ .leaf = 6, .eax = 4 },
	{ .leaf = 7, .subleaf = 0, .flags = SUB, .eax = 1, .ebx = 1U << 0 | 1U << 5 | 1U << 16 | 1U << 19, .ecx = 1U << 1 | 1U << 9 },
	{ .leaf = 7, .subleaf = 1, .flags = SUB, .eax = 1U << 5 },
	{ .leaf = 0xb, .subleaf = 0, .flags = SUB },
	{ .leaf = 0xd, .subleaf = 0, .flags = SUB, .eax = 0xe7, .ebx = 2688, .ecx = 2688 },
	{ .leaf = 0xd, .subleaf = 1, .flags = SUB, .eax = 7 },
	{ .leaf = 0xd, .subleaf = 2, .flags = SUB, .eax = 256, .ebx = 576 },
	{ .leaf = 0xd, .subleaf = 5, .flags = SUB, .eax = 64, .ebx = 1088 },
	{ .leaf = 0xd, .subleaf = 6, .flags = SUB, .eax = 512, .ebx = 1152 },
	{ .leaf = 0xd, .subleaf = 7, .flags = SUB, .eax = 1024, .ebx = 1664 },
	{ .leaf = 0x15, .eax = 2, .ebx = 100 },
	{ .leaf = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b },
	{ .leaf = 0x40000001, .eax = 0x01002aeb },
	{ .leaf = 0x80000000, .eax = 0x80000008 },
	{ .leaf = 0x80000001, .ecx = 0x121, .edx = 0x2c100800 },
	{ .leaf = 0x80000002, .eax = 0x65746e49 },
	{ .leaf = 0x80000008, .eax = 0x392e },
};

static const struct vireo_cpuid_entry small[] = {
	{ .leaf = 0, .eax = 0xd, INTEL },
	{ .leaf = 1, .eax = 0x306c3, .ebx = 0x4000, .ecx = 1U << 0 | 1U << 12 | 1U << 26 | 1U << 28 | 1U << 23, .edx = 0x1783fbff },
	{ .leaf = 2, .eax = 0x76036301 },
	{ .leaf = 4, .subleaf = 0, .flags = SUB, .eax = 0x121, .ebx = 0x1c0003f },
	{ .leaf = 6, .eax = 4 },
	{ .leaf = 7, .subleaf = 0, .flags = SUB, .ebx = 1U << 0 | 1U << 5 },
	{ .leaf = 0xb, .subleaf = 0, .flags = SUB },
	{ .leaf = 0xd, .subleaf = 0, .flags = SUB, .eax = 7, .ebx = 832, .ecx = 832 },
	{ .leaf = 0xd, .subleaf = 1, .flags = SUB, .eax = 1 },
	{ .leaf = 0xd, .subleaf = 2, .flags = SUB, .eax = 256, .ebx = 576 },
	{ .leaf = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b },
	{ .leaf = 0x40000001, .eax = 0x01000aeb },
	{ .leaf = 0x80000000, .eax = 0x80000008 },
	{ .leaf = 0x80000001, .ecx = 0x21, .edx = 0x2c100800 },
	{ .leaf = 0x80000002, .eax = 0x65746e48 },
	{ .leaf = 0x80000008, .eax = 0x3027 },
};

static void make(struct cpu_profile *profile, const struct vireo_cpuid_entry *entries, size_t bytes)
{
	memset(profile, 0, sizeof(*profile));
	memcpy(profile->cpuid, entries, bytes);
	profile->nr_cpuid = (unsigned int)(bytes / sizeof(entries[0]));
	profile->phys_bits = cpu_leaf(cpu_profile_table(profile), 0x80000008, 0)->eax & 0xff;
	profile->tsc_khz = 2000000;
	profile->nr_msrs = 2;
	profile->msr[0] = 0x174;
	profile->msr[1] = profile->phys_bits;	/* one that the other has not */
}

static struct vireo_cpuid_entry *leaf(struct cpu_profile *profile, uint32_t index, uint32_t subleaf)
{
	static struct vireo_cpuid_entry none;
	struct vireo_cpuid_entry *entry = cpu_leaf(cpu_profile_table(profile), index, subleaf);

	memset(&none, 0, sizeof(none));
	return entry ? entry : &none;
}

/* What it can do is what both can; who it is, the first says. */
static void check_common(struct cpu_profile *p, const struct vireo_cpuid_entry *first)
{
	is(leaf(p, 0, 0)->eax, 0xd, "the last leaf");
	is(leaf(p, 1, 0)->eax, first[1].eax, "the model is that of the first");
	is(leaf(p, 2, 0)->eax, first[2].eax, "so are its caches");
	is(leaf(p, 4, 0)->ebx, first[3].ebx, "in both leaves");
	is(leaf(p, 1, 0)->ecx, 1U << 0 | 1U << 12 | 1U << 26 | 1U << 28, "features that both have");
	is(leaf(p, 7, 0)->ebx, 1U << 0 | 1U << 5, "and in leaf 7");
	is(leaf(p, 7, 0)->ecx, 0, "all of its words");
	is(leaf(p, 7, 0)->eax, 0, "its last subleaf");
	ok(!cpu_leaf(cpu_profile_table(p), 7, 1), "behind which there is none");
	is(leaf(p, 0xd, 0)->eax, 7, "components of XCR0");
	is(leaf(p, 0xd, 0)->ecx, 832, "and what they need");
	is(leaf(p, 0xd, 0)->ebx, 832, "twice");
	is(leaf(p, 0xd, 1)->eax, 1, "instructions of XSAVE");
	ok(!cpu_leaf(cpu_profile_table(p), 0xd, 5), "no other component");
	ok(!cpu_leaf(cpu_profile_table(p), 0x15, 0), "nor a leaf behind the last");
	is(leaf(p, 0x40000001, 0)->eax, 0x01000aeb, "paravirtual features");
	is(leaf(p, 0x80000008, 0)->eax, 0x3027, "address bits");
	is(p->phys_bits, 0x27, "of both");
	ok(p->nr_msrs == 1 && p->msr[0] == 0x174, "an MSR that both have");
}

static void test_common(void)
{
	struct cpu_profile a, b;

	make(&a, large, sizeof(large));
	make(&b, small, sizeof(small));
	is(cpu_profile_limit(&a, &b), 0, "the smaller limits the larger");
	cpu_profile_settle(&a);
	check_common(&a, large);
	make(&a, large, sizeof(large));
	is(cpu_profile_limit(&b, &a), 0, "and the other way round");
	cpu_profile_settle(&b);
	check_common(&b, small);
	make(&a, large, sizeof(large));
	make(&b, large, sizeof(large));
	is(cpu_profile_limit(&a, &b), 0, "two alike");
	cpu_profile_settle(&a);
	is(memcmp(&a, &b, sizeof(a)), 0, "stay what they are");
	leaf(&b, 0x15, 0)->ebx = 101;
	leaf(&b, 1, 0)->ebx = 0x2000;
	cpu_profile_limit(&a, &b);
	is(leaf(&a, 0x15, 0)->ebx | leaf(&a, 0x15, 0)->eax, 0, "frequencies that differ are not told");
	is(leaf(&a, 1, 0)->ebx, 0x2000, "the shorter cache line is");
	leaf(&b, 0, 0)->ebx = 0x68747541;
	is(cpu_profile_limit(&a, &b), -EOPNOTSUPP, "another vendor");
}

/* What needs a state that is not saved goes with it. */
static void test_xsave(void)
{
	static const struct { uint32_t xcr0, ecx, ebx7, ecx7, left; const char *what; } cases[] = {
		{ 0xe7, 0x14001001, 0x90021, 0x202, 0xe7, "all" },
		{ 0x67, 0x14001001, 0x80021, 0x200, 0x07, "a part of AVX-512's state: none" },
		{ 0xe3, 0x04000001, 0x80001, 0, 0x03, "no AVX: none of both" },
		{ 0xe5, 0x00000001, 0x80001, 0, 0, "no SSE: no XSAVE" },
		{ 0, 0x00000001, 0x80001, 0, 0, "nothing" },
	};
	struct cpu_profile p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		make(&p, large, sizeof(large));
		leaf(&p, 0xd, 0)->eax = cases[i].xcr0;
		cpu_profile_settle(&p);
		is(leaf(&p, 1, 0)->ecx, cases[i].ecx, "%s: leaf 1", cases[i].what);
		is(leaf(&p, 7, 0)->ebx, cases[i].ebx7, "leaf 7");
		is(leaf(&p, 7, 0)->ecx, cases[i].ecx7, "and its ECX");
		is(leaf(&p, 0xd, 0)->eax, cases[i].left, "XCR0");
	}
	make(&p, large, sizeof(large));
	leaf(&p, 1, 0)->ecx &= ~(1U << 26);
	cpu_profile_settle(&p);
	ok(!cpu_leaf(cpu_profile_table(&p), 0xd, 0) && !cpu_leaf(cpu_profile_table(&p), 0xd, 2), "without XSAVE it has no leaf");
	make(&p, large, sizeof(large));
	leaf(&p, 0xd, 7)->subleaf = 8;
	cpu_profile_settle(&p);
	is(leaf(&p, 0xd, 0)->eax, 7, "a component of which nobody knows where it is");
}

static void test_missing(void)
{
	struct cpu_profile a, b;
	char names[160], few[64], why[256];

	make(&a, large, sizeof(large));
	make(&b, small, sizeof(small));
	is(cpu_missing(cpu_profile_table(&b), cpu_profile_table(&b), names, sizeof(names)), 0, "nothing is missing of itself");
	is(cpu_missing(cpu_profile_table(&a), cpu_profile_table(&b), names, sizeof(names)), 12, "what the smaller lacks: %s", names);
	ok(strstr(names, "avx512f") && strstr(names, "adx"), "by name");
	is(cpu_missing(cpu_profile_table(&a), cpu_profile_table(&b), few, sizeof(few)), 12, "in less room: %s", few);
	ok(strlen(few) < sizeof(few) && strstr(few, "and 8 more"), "the rest is counted");
	leaf(&a, 1, 0)->ecx = 1U << 27 | 1U << 15;
	a.nr_cpuid = 2;
	is(cpu_missing(cpu_profile_table(&a), cpu_profile_table(&b), names, sizeof(names)), 1, "OSXSAVE does not count");
	ok(!strcmp(names, "CPUID 0x1.0 ECX bit 15"), "one that has no name: %s", names);

	make(&a, large, sizeof(large));
	is(cpu_check(cpu_profile_table(&a), cpu_profile_table(&b), "this host's", why, sizeof(why)), -EOPNOTSUPP, "%s", why);
	ok(strstr(why, "this host's") && strstr(why, "avx512f"), "says it");
	a = b;
	leaf(&a, 0x80000008, 0)->eax++;
	is(cpu_check(cpu_profile_table(&a), cpu_profile_table(&b), "this host's", why, sizeof(why)), -EOPNOTSUPP, "%s", why);
	a = b;
	leaf(&a, 0xd, 2)->ebx = 640;
	is(cpu_check(cpu_profile_table(&a), cpu_profile_table(&b), "this host's", why, sizeof(why)), -EOPNOTSUPP, "%s", why);
	a = b;
	leaf(&a, 0, 0)->edx = '\n';
	is(cpu_check(cpu_profile_table(&a), cpu_profile_table(&b), "this host's", why, sizeof(why)), -EOPNOTSUPP, "%s", why);
	ok(!strchr(why, '\n'), "without what a terminal would act on");
}

/* ---- Text ---- */

static char dir[] = "/tmp/vireo-profile-XXXXXX";
static char path[64];

static void write_text(const char *text, size_t len)
{
	FILE *file = fopen(path, "wb");

	if (!file || fwrite(text, 1, len, file) != len)
		abort();
	fclose(file);
}

static void test_text(void)
{
	struct cpu_profile a, b;
	json_t *object;
	char *text;

	make(&a, large, sizeof(large));
	object = cpu_profile_json(&a);
	text = json_dumps(object, 0);
	is(cpu_profile_read(text, &b), 0, "a profile as text");
	is(memcmp(&a, &b, sizeof(a)), 0, "is the same again");
	write_text(text, strlen(text));
	memset(&b, 0xff, sizeof(b));
	is(cpu_profile_read(path, &b), 0, "in a file");
	is(memcmp(&a, &b, sizeof(a)), 0, "too");
	free(text);
	json_decref(object);
}

/* A member of the object, or of its first leaf, is replaced. */
static void test_wrong(void)
{
	static const struct { const char *key, *value; bool in_leaf; const char *says; } cases[] = {
		{ "vireo-cpu-profile", "2", false, "of version 2; this vireo reads version 1" },
		{ "vireo-cpu-profile", "0", false, "of version 0" },
		{ "vireo-cpu-profile", "\"1\"", false, "not a CPU profile" },
		{ "more", "1", false, "\"more\" is unknown" },
		{ "m\\u001b[1m", "1", false, "\"m?[1m\" is unknown" },
		{ "vendor", "\"AuthenticAMD\"", false, "which is \"GenuineIntel\"" },
		{ "vendor", "1", false, "\"vendor\"" },
		{ "physical_address_bits", "45", false, "is 45, CPUID leaf 0x80000008 says 46" },
		{ "physical_address_bits", "64", false, "from 32 to 52" },
		{ "physical_address_bits", "-1", false, "from 32 to 52" },
		{ "physical_address_bits", "\"46\"", false, "whole number" },
		{ "tsc_khz", "0", false, "tsc_khz" },
		{ "tsc_khz", "4294967296", false, "tsc_khz" },
		{ "tsc_khz", "1e3", false, "tsc_khz" },
		{ "cpuid", "{}", false, "is no list" },
		{ "cpuid", "[]", false, "leaf 0 is missing" },
		{ "cpuid", "[1]", false, "entry 0 is no object" },
		{ "msrs", "null", false, "is no list" },
		{ "msrs", "[372]", false, "entry 0 is no number" },
		{ "msrs", "[\"0x100000000\"]", false, "entry 0 is no number" },
		{ "leaf", "\"0x1\"", true, "leaf 0x1 is there twice" },
		{ "leaf", "\"-1\"", true, "\"leaf\" is no number" },
		{ "leaf", "\"\"", true, "\"leaf\" is no number" },
		{ "eax", "\"0x1 \"", true, "\"eax\" is no number" },
		{ "eax", "\"0\"", true, "the last leaf, is too small" },
		{ "ebx", "\"0x100000000\"", true, "\"ebx\" is no number" },
		{ "ecx", "5", true, "\"ecx\" is no number" },
		{ "edx", "null", true, "\"edx\" is no number" },
		{ "subleaf", "\"x\"", true, "\"subleaf\" is no number" },
		{ "flags", "1", true, "entry 0: \"flags\" is unknown" },
	};
	struct cpu_profile profile, got;
	char why[CPU_PROFILE_WHY];
	json_t *object, *value, *at;
	char text[80];
	unsigned int i;

	make(&profile, large, sizeof(large));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		object = cpu_profile_json(&profile);
		at = cases[i].in_leaf ? json_array_get(json_object_get(object, "cpuid"), 0) : object;
		snprintf(text, sizeof(text), "{\"%s\": %s}", cases[i].key, cases[i].value);
		value = json_loads(text, 0, NULL);
		json_object_update(at, value);
		json_decref(value);
		*why = '\0';
		is(cpu_profile_parse(object, &got, why), -EINVAL, "%s: %s", cases[i].key, why);
		ok(strstr(why, cases[i].says), "says \"%s\"", cases[i].says);
		json_decref(object);
	}
	object = cpu_profile_json(&profile);
	for (i = 0; i < VIREO_MAX_CPUID; i++)
		json_array_append(json_object_get(object, "cpuid"), json_array_get(json_object_get(object, "cpuid"), 0));
	is(cpu_profile_parse(object, &got, why), -EINVAL, "too many leaves: %s", why);
	json_decref(object);
	object = cpu_profile_json(&profile);
	for (i = 0; i < CPU_PROFILE_MSRS; i++)
		json_array_append_new(json_object_get(object, "msrs"), json_string("0x10"));
	is(cpu_profile_parse(object, &got, why), -EINVAL, "too many MSRs: %s", why);
	json_decref(object);
}

static void test_files(void)
{
	struct cpu_profile profile, got;
	unsigned int taken = 0;
	json_t *object;
	char *text, was;
	size_t i, len;

	is(cpu_profile_read("/nonexistent", &got), -EINVAL, "no file");
	is(cpu_profile_read(dir, &got), -EINVAL, "a directory");
	write_text("", 0);
	is(cpu_profile_read(path, &got), -EINVAL, "an empty file");
	write_text("{\"a\": 1, \"a\": 2}", 16);
	is(cpu_profile_read(path, &got), -EINVAL, "a key twice");
	write_text("{}\0{}", 5);
	is(cpu_profile_read(path, &got), -EINVAL, "a binary file");
	write_text("[]", 2);
	is(cpu_profile_read(path, &got), -EINVAL, "a list");
	is(cpu_profile_read("{", &got), -EINVAL, "half a text");
	text = malloc(MIB + 1);
	memset(text, ' ', MIB + 1);
	write_text(text, MIB + 1);
	is(cpu_profile_read(path, &got), -EINVAL, "a large file");
	memset(text, '[', 100000);
	write_text(text, 100000);
	is(cpu_profile_read(path, &got), -EINVAL, "lists in lists in lists");
	free(text);

	/* Any byte another one, or behind it nothing: refused, or one that is of the form; a sanitizer looks for the rest. */
	make(&profile, small, sizeof(small));
	object = cpu_profile_json(&profile);
	text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	len = strlen(text);
	if (!freopen("/dev/null", "w", stderr))
		abort();
	for (i = 1; i < len; i++) {
		was = text[i];
		text[i] ^= 1;
		taken += !cpu_profile_read(text, &got) && (!got.nr_cpuid || got.nr_cpuid > VIREO_MAX_CPUID);
		text[i] = '\0';
		taken += !cpu_profile_read(text, &got);
		text[i] = was;
	}
	is(taken, 0, "none that is cut or without leaves is taken");
	free(text);
}

int main(void)
{
	char command[64];

	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/profile", dir);
	test_common();
	test_xsave();
	test_missing();
	test_text();
	test_wrong();
	test_files();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	if (system(command))
		return 1;
	return tap_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/* --paravirt: what is offered, what is refused, and what becomes of the CPUID table. */
#include <errno.h>

#include "tap.h"
#include "../vireo/paravirt.h"
#include "../vireo/util.h"

static void test_parse(void)
{
	static const struct { const char *text; uint32_t want; } good[] = {
		{ "all", PARAVIRT_ALL },
		{ "none", 0 },
		{ "clock", 0x1000009 },
		{ "nop-io-delay", 0x2 },
		{ "steal-time", 0x20 },
		{ "pv-eoi", 0x40 },
		{ "pv-unhalt", 0x80 },
		{ "pv-tlb-flush", 0x200 },
		{ "pv-ipi", 0x800 },
		{ "pv-yield", 0x2000 },
		{ "pv-ipi,steal-time", 0x820 },
		{ "all,-pv-ipi", ~0x800U },
		{ "-pv-ipi", ~0x800U },
		{ "-pv-ipi,-pv-eoi", ~0x840U },
		{ "-pv-ipi,pv-ipi", PARAVIRT_ALL },
		{ "pv-ipi,pv-ipi,-pv-ipi", 0 },
		{ "all,-all,pv-eoi", 0x40 },
	};
	static const char *const bad[] = {
		"", "-", ",", "all,", ",all", "all,,clock", "none,clock", "-none", "clock,none", "pv-ip", "pv-ipis",
		"All", "--pv-ipi", "all -pv-ipi", " all", "0x20",
	};
	uint32_t features;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		features = 0x5a5a5a5a;
		is(paravirt_parse(good[i].text, &features), 0, "'%s' is read", good[i].text);
		is(features, good[i].want, "and means that");
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		features = 0x5a5a5a5a;
		is(paravirt_parse(bad[i], &features), -EINVAL, "'%s' is refused", bad[i]);
		is(features, 0x5a5a5a5a, "and changes nothing");
	}
}

static void test_limit(void)
{
	struct vireo_cpuid_entry e[] = {
		{ .leaf = 1, .eax = 0xffffffff },
		{ .leaf = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b },
		{ .leaf = 0x40000001, .eax = 0x01002aeb, .edx = 7 },
	};

	paravirt_limit(e, ARRAY_SIZE(e), PARAVIRT_ALL);
	is(e[2].eax, 0x01002aeb, "all: what the module offers stays");
	paravirt_limit(e, ARRAY_SIZE(e), 0xffff0829);
	is(e[2].eax, 0x01000829, "one is taken away, none added");
	is(e[2].edx, 7, "hints stay");
	paravirt_limit(e, ARRAY_SIZE(e), 0);
	is(e[2].eax, 0, "none");
	ok(e[0].eax == 0xffffffff && e[1].eax == 0x40000001, "other leaves stay");
}

int main(void)
{
	test_parse();
	test_limit();
	return tap_done();
}

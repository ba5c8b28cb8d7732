// SPDX-License-Identifier: GPL-2.0-only
/* KUnit: what tracepoints say of an exit, and the list of names. */
#include <kunit/test.h>

#include "../../kmod/tracing.h"

static void trace_info(struct kunit *test)
{
	struct vireo_vcpu *vcpu = kunit_kzalloc(test, sizeof(*vcpu), GFP_KERNEL);
	struct vireo_exit *exit;
	unsigned int reason;

	KUNIT_ASSERT_NOT_NULL(test, vcpu);
	exit = &vcpu->exit;
	vcpu->gpr[VIREO_RAX] = 0x5500000001ULL;
	vcpu->gpr[VIREO_RCX] = 0x6600000002ULL;
	for (reason = 0; reason < VIREO_EXIT_HARDWARE_NR; reason++) {
		u64 want = 0;

		memset(exit, 0, sizeof(*exit));
		exit->reason = reason;
		switch (reason) {
		case VIREO_EXIT_MEMORY:
		case VIREO_EXIT_MMIO_CACHED:
			exit->mem.gpa = 0x123456789000ULL;
			exit->mem.gla = 1;
			want = exit->mem.gpa;
			break;
		case VIREO_EXIT_IO:
			exit->io.port = 0xcf8;
			exit->io.unit = 4;
			want = 0xcf8;
			break;
		case VIREO_EXIT_EXCEPTION:
			exit->exc.vector = 14;
			exit->exc.cr2 = ~0ULL;
			want = 14;
			break;
		case VIREO_EXIT_RDMSR:
		case VIREO_EXIT_WRMSR:
			want = 2;
			break;
		case VIREO_EXIT_CPUID:
			want = 1;
			break;
		case VIREO_EXIT_HYPERCALL:
			want = 0x5500000001ULL;
			break;
		case VIREO_EXIT_CR:
			exit->cr.nr = 4;
			exit->cr.gpr = 9;
			want = 4;
			break;
		case VIREO_EXIT_APIC_WRITE:
			exit->apic.offset = 0x300;
			want = 0x300;
			break;
		case VIREO_EXIT_APIC_EOI:
			exit->apic.vector = 0x31;
			want = 0x31;
			break;
		}
		KUNIT_EXPECT_EQ_MSG(test, vireo_trace_exit_info(vcpu), want, "reason %u", reason);
	}
}

/* Each reason has a name, and no other has the same one. */
static void trace_names(struct kunit *test)
{
	static const char *const names[VIREO_EXIT_REASON_NR] = {
#define ROW(reason, name) [reason] = name,
		VIREO_EXIT_NAMES(ROW)
#undef ROW
	};
	unsigned int i, k;

	for (i = 0; i < VIREO_EXIT_REASON_NR; i++) {
		/* Between the processor's and those of module and launcher there are none. */
		if (i >= VIREO_EXIT_HARDWARE_NR && i < VIREO_EXIT_MMIO)
			continue;
		KUNIT_ASSERT_NOT_NULL_MSG(test, names[i], "reason %u", i);
		for (k = 0; k < i; k++)
			KUNIT_EXPECT_FALSE(test, names[k] && !strcmp(names[k], names[i]));
	}
}

static struct kunit_case trace_cases[] = {
	KUNIT_CASE(trace_info),
	KUNIT_CASE(trace_names),
	{}
};

extern struct kunit_suite vireo_trace_suite;
struct kunit_suite vireo_trace_suite = {
	.name = "vireo-trace",
	.test_cases = trace_cases,
};

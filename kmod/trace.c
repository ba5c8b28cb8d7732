// SPDX-License-Identifier: GPL-2.0-only
/* The tracepoints themselves, and what they need. */
#include <linux/irqflags.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>

#include "tracing.h"
#define CREATE_TRACE_POINTS
#include "trace.h"

/* XCR0 of all that is not a guest */
static u64 vireo_host_xcr0 __ro_after_init;

/* The formats have numbers. */
static_assert(VIREO_NAME_BYTES == sizeof_field(struct vireo_vm, name) &&
	      VIREO_PHASE_BYTES == sizeof_field(struct vireo_report, phase) &&
	      VIREO_CAUSE_BYTES == sizeof_field(struct vireo_report, cause));
static_assert(VIREO_ACCESS_READ == 0x1 && VIREO_ACCESS_WRITE == 0x2 && VIREO_ACCESS_EXEC == 0x4);

void __init vireo_trace_setup(void)
{
	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		vireo_host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
}

u64 vireo_trace_exit_info(const struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;

	switch (exit->reason) {
	case VIREO_EXIT_MEMORY:
	case VIREO_EXIT_MMIO_CACHED:
		return exit->mem.gpa;
	case VIREO_EXIT_IO:
		return exit->io.port;
	case VIREO_EXIT_EXCEPTION:
		return exit->exc.vector;
	case VIREO_EXIT_RDMSR:
	case VIREO_EXIT_WRMSR:
		return (u32)vcpu->gpr[VIREO_RCX];
	case VIREO_EXIT_CPUID:
		return (u32)vcpu->gpr[VIREO_RAX];
	case VIREO_EXIT_HYPERCALL:
		return vcpu->gpr[VIREO_RAX];
	case VIREO_EXIT_CR:
		return exit->cr.nr;
	case VIREO_EXIT_APIC_WRITE:
		return exit->apic.offset;
	case VIREO_EXIT_APIC_EOI:
		return exit->apic.vector;
	}
	return 0;
}

/* The host's XCR0 for those who look; with interrupts on it is there already. Return: what trace_end() has to bring back; 0: nothing. */
static u64 trace_begin(void)
{
	u64 xcr0;

	if (!irqs_disabled() || !boot_cpu_has(X86_FEATURE_OSXSAVE))
		return 0;
	xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (xcr0 == vireo_host_xcr0)
		return 0;
	xsetbv(XCR_XFEATURE_ENABLED_MASK, vireo_host_xcr0);
	return xcr0;
}

static void trace_end(u64 xcr0)
{
	if (xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, xcr0);
}

#define TELL(event, params, ...)							\
	void vireo_tell_##event params							\
	{										\
		u64 xcr0 = trace_begin();						\
											\
		trace_vireo_##event(__VA_ARGS__);					\
		trace_end(xcr0);							\
	}

VIREO_TRACE_EVENTS(TELL)

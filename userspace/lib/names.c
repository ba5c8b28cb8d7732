// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names and sentences for the numbers of the ABI.
 *
 * Names are lower case with dashes and stay as they are: scripts and JSON
 * output depend on them. Each function answers "unknown" for a number that
 * this library does not know, since a newer module may have more.
 */
#include "vireo.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define ROW(reason, name) [reason] = name,
static const char *const exit_names[VIREO_EXIT_REASON_NR] = { VIREO_EXIT_NAMES(ROW) };
#undef ROW

struct text {
	const char *name;
	const char *text;
};

#define BIT_OF(feature) (__builtin_ctzll(feature))

static const struct text features[] = {
	[BIT_OF(VIREO_FEATURE_NESTED_PAGING)] = { "nested-paging",
		"the processor walks two levels of page tables (EPT or NPT)" },
	[BIT_OF(VIREO_FEATURE_UNRESTRICTED)] = { "unrestricted-guest",
		"real mode and unpaged mode run directly" },
	[BIT_OF(VIREO_FEATURE_TAGGED_TLB)] = { "tagged-tlb",
		"TLB entries survive the switch between guest and host (VPID or ASID)" },
	[BIT_OF(VIREO_FEATURE_PAGES_2M)] = { "2m-pages", "2 MiB mappings of guest memory" },
	[BIT_OF(VIREO_FEATURE_PAGES_1G)] = { "1g-pages", "1 GiB mappings of guest memory" },
	[BIT_OF(VIREO_FEATURE_PAGE_AD)] = { "accessed-dirty",
		"accessed and dirty bits in the nested page tables" },
	[BIT_OF(VIREO_FEATURE_PML)] = { "pml",
		"the processor logs pages that the guest writes (Page Modification Logging)" },
	[BIT_OF(VIREO_FEATURE_TSC_SCALING)] = { "tsc-scaling",
		"a guest's time-stamp counter can run at another frequency" },
	[BIT_OF(VIREO_FEATURE_TPR_SHADOW)] = { "tpr-shadow",
		"the guest changes its task priority without an exit" },
	[BIT_OF(VIREO_FEATURE_APIC_REGISTERS)] = { "apic-registers",
		"the guest reads its local APIC without an exit" },
	[BIT_OF(VIREO_FEATURE_VIRTUAL_IRQ)] = { "virtual-interrupts",
		"the processor delivers interrupts to the guest (virtual-interrupt delivery, AVIC)" },
	[BIT_OF(VIREO_FEATURE_POSTED_IRQ)] = { "posted-interrupts",
		"interrupts reach a running guest without an exit" },
	[BIT_OF(VIREO_FEATURE_PREEMPTION_TIMER)] = { "preemption-timer",
		"guest timers expire without a host timer interrupt" },
	[BIT_OF(VIREO_FEATURE_NRIP_SAVE)] = { "instruction-length",
		"the processor tells where the next instruction begins" },
	[BIT_OF(VIREO_FEATURE_DECODE_ASSISTS)] = { "decode-assists",
		"the processor hands over the bytes of the instruction that exited" },
	[BIT_OF(VIREO_FEATURE_VIRTUAL_NMI)] = { "virtual-nmi",
		"the processor keeps track of the guest's NMI blocking" },
	[BIT_OF(VIREO_FEATURE_VIRTUAL_GIF)] = { "virtual-gif",
		"a nested guest changes its global interrupt flag without an exit" },
	[BIT_OF(VIREO_FEATURE_PAUSE_FILTER)] = { "pause-filter",
		"a spinning vCPU gives up the processor (pause filter, pause-loop exiting)" },
	[BIT_OF(VIREO_FEATURE_X2APIC)] = { "x2apic", "guests get an x2APIC" },
	[BIT_OF(VIREO_FEATURE_SHARED_OWNER)] = { "beside-kvm",
		"runs guests at the same time as KVM" },
	[BIT_OF(VIREO_FEATURE_HYBRID)] = { "hybrid",
		"supervisor code can be interpreted altogether (vireo run --hybrid)" },
};

static const struct text mitigations[] = {
	[BIT_OF(VIREO_MITIGATION_RSB_FILL)] = { "rsb-fill",
		"return-stack buffer refilled after each exit" },
	[BIT_OF(VIREO_MITIGATION_IBPB)] = { "ibpb",
		"indirect-branch predictor barrier when another vCPU is loaded" },
	[BIT_OF(VIREO_MITIGATION_SPEC_CTRL)] = { "spec-ctrl",
		"SPEC_CTRL switched between guest and host" },
	[BIT_OF(VIREO_MITIGATION_CLEAR_BUFFERS)] = { "clear-buffers",
		"CPU buffers cleared (VERW) before each entry" },
	[BIT_OF(VIREO_MITIGATION_L1D_FLUSH)] = { "l1d-flush",
		"L1 data cache flushed before entry" },
};

static const char *const block_names[VIREO_BLOCK_NR] = {
	[VIREO_BLOCK_REGS] = "regs",
	[VIREO_BLOCK_SREGS] = "sregs",
	[VIREO_BLOCK_DEBUGREGS] = "debugregs",
	[VIREO_BLOCK_XSAVE] = "xsave",
	[VIREO_BLOCK_MSRS] = "msrs",
	[VIREO_BLOCK_LAPIC] = "lapic",
	[VIREO_BLOCK_EVENTS] = "events",
	[VIREO_BLOCK_TSC] = "tsc",
	[VIREO_BLOCK_CLOCK] = "clock",
	[VIREO_BLOCK_TSC_OFFSET] = "tsc-offset",
};

/**
 * vireo_version() - version of the library
 *
 * Return: the text.
 */
const char *vireo_version(void)
{
	return LIBVIREO_VERSION;
}

/**
 * vireo_exit_name() - name of an exit reason
 * @reason: &enum vireo_exit_reason
 *
 * Return: the name, "unknown" if there is none.
 */
const char *vireo_exit_name(unsigned int reason)
{
	if (reason >= ARRAY_SIZE(exit_names) || !exit_names[reason])
		return "unknown";
	return exit_names[reason];
}

/**
 * vireo_vendor_name() - name of a processor family
 * @vendor: &enum vireo_vendor
 *
 * Return: the name, "unknown" if there is none.
 */
const char *vireo_vendor_name(unsigned int vendor)
{
	switch (vendor) {
	case VIREO_VENDOR_INTEL:
		return "Intel VMX";
	case VIREO_VENDOR_AMD:
		return "AMD SVM";
	}
	return "unknown";
}

static const char *text_name(const struct text *texts, unsigned int nr, unsigned int bit)
{
	return bit < nr && texts[bit].name ? texts[bit].name : "unknown";
}

static const char *text_text(const struct text *texts, unsigned int nr, unsigned int bit)
{
	return bit < nr && texts[bit].text ? texts[bit].text : "unknown to this version";
}

/**
 * vireo_feature_name() - name of a VIREO_FEATURE_* bit
 * @bit: its number
 *
 * Return: the name, "unknown" if there is none.
 */
const char *vireo_feature_name(unsigned int bit)
{
	return text_name(features, ARRAY_SIZE(features), bit);
}

/**
 * vireo_feature_text() - what a VIREO_FEATURE_* bit means
 * @bit: its number
 *
 * Return: a phrase for people.
 */
const char *vireo_feature_text(unsigned int bit)
{
	return text_text(features, ARRAY_SIZE(features), bit);
}

/**
 * vireo_mitigation_name() - name of a VIREO_MITIGATION_* bit
 * @bit: its number
 *
 * Return: the name, "unknown" if there is none.
 */
const char *vireo_mitigation_name(unsigned int bit)
{
	return text_name(mitigations, ARRAY_SIZE(mitigations), bit);
}

/**
 * vireo_mitigation_text() - what a VIREO_MITIGATION_* bit means
 * @bit: its number
 *
 * Return: a phrase for people.
 */
const char *vireo_mitigation_text(unsigned int bit)
{
	return text_text(mitigations, ARRAY_SIZE(mitigations), bit);
}

/**
 * vireo_block_name() - name of a state block
 * @type: &enum vireo_block_type
 *
 * Return: the name, "unknown" if there is none.
 */
const char *vireo_block_name(unsigned int type)
{
	if (type >= ARRAY_SIZE(block_names) || !block_names[type])
		return "unknown";
	return block_names[type];
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's table offers all that it can do. What is added here is the
 * topology: one package, a core per vCPU, no hyper-threads, and APIC ids that
 * are the vCPUs' numbers. The module puts each vCPU's own id in.
 */
#include "cpuid.h"
#include "util.h"

#define LEAF1_HTT		BIT(28)
#define LEAF1_COUNT_SHIFT	16
#define LEAF4_THREADS_SHIFT	14	/* that share the cache */
#define LEAF4_CORES_SHIFT	26
#define LEAF4_LEVEL_SHIFT	5
#define LEVEL_SMT		1
#define LEVEL_CORE		2
#define LEVEL_TYPE_SHIFT	8
#define AMD_CMP_LEGACY		BIT(1)
#define AMD_ID_BITS_SHIFT	12

/* Bits of an APIC id that number the cores of a package. */
static unsigned int core_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while (1U << bits < cpus)
		bits++;
	return bits;
}

/**
 * cpuid_topology() - write the processors' topology into a CPUID table
 * @entries: the table, from VIREO_GET_SUPPORTED_CPUID
 * @count: its length
 * @cpus: number of vCPUs
 */
void cpuid_topology(struct vireo_cpuid_entry *entries, unsigned int count, unsigned int cpus)
{
	unsigned int bits = core_bits(cpus), i;

	for (i = 0; i < count; i++) {
		struct vireo_cpuid_entry *e = &entries[i];

		switch (e->leaf) {
		case 1:
			e->ebx &= ~(0xffU << LEAF1_COUNT_SHIFT);
			e->ebx |= (1U << bits) << LEAF1_COUNT_SHIFT;
			if (cpus > 1)
				e->edx |= LEAF1_HTT;
			else
				e->edx &= ~LEAF1_HTT;
			break;
		case 4:
			if (!(e->eax & 0x1f))
				break;	/* the end of the list */
			e->eax &= 0x3fff;
			e->eax |= ((1U << bits) - 1) << LEAF4_CORES_SHIFT;
			/* The caches beyond the second level belong to all. */
			if ((e->eax >> LEAF4_LEVEL_SHIFT & 7) > 2)
				e->eax |= ((1U << bits) - 1) << LEAF4_THREADS_SHIFT;
			break;
		case 0xb:
		case 0x1f:
			e->eax = e->subleaf == 1 ? bits : 0;
			e->ebx = e->subleaf == 0 ? 1 : e->subleaf == 1 ? cpus : 0;
			e->ecx = e->subleaf;
			if (e->subleaf == 0)
				e->ecx |= LEVEL_SMT << LEVEL_TYPE_SHIFT;
			else if (e->subleaf == 1)
				e->ecx |= LEVEL_CORE << LEVEL_TYPE_SHIFT;
			break;
		case 0x80000008:
			/* AMD: number of cores, and of the bits that number them. */
			e->ecx = (cpus - 1) | bits << AMD_ID_BITS_SHIFT;
			break;
		}
	}
}

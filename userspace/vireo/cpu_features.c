// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names are those of Linux's /proc/cpuinfo, where it has one: so what is missing can be compared with what hosts say of themselves.
 * A bit without a name is told by its place.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cpu_features.h"
#include "util.h"

enum reg { EAX, EBX, ECX, EDX };

static const char *const reg_names[] = { "EAX", "EBX", "ECX", "EDX" };

#define LEAF_XSAVE	0xd
#define LEAF1_XSAVE	BIT(26)
#define LEAF1_OSXSAVE	BIT(27)
#define LEAF1_APIC	BIT(9)
#define LEAF1_HTT	BIT(28)
#define LEAF7_OSPKE	BIT(4)
#define AMD_CMP_LEGACY	BIT(1)
#define PHYS_BITS_MASK	0xff

/* Components of XCR0 (SDM vol. 1, 13.1) */
#define XCR0_X87_SSE	3U
#define XCR0_AVX	BIT(2)
#define XCR0_MPX	(BIT(3) | BIT(4))
#define XCR0_AVX512	(BIT(5) | BIT(6) | BIT(7))
#define XCR0_AMX	(BIT(17) | BIT(18))

/* Words of features. @without: bits that follow the guest's own settings, or number processors */
static const struct word {
	uint32_t leaf, subleaf;
	enum reg reg;
	uint32_t without;
} words[] = {
	{ 1, 0, ECX, LEAF1_OSXSAVE },	{ 1, 0, EDX, LEAF1_HTT | LEAF1_APIC },
	{ 6, 0, EAX, 0 },		{ 7, 0, EBX, 0 },
	{ 7, 0, ECX, LEAF7_OSPKE },	{ 7, 0, EDX, 0 },
	{ 7, 1, EAX, 0 },		{ 7, 1, EDX, 0 },
	{ 7, 2, EDX, 0 },		{ LEAF_XSAVE, 0, EAX, 0 },
	{ LEAF_XSAVE, 0, EDX, 0 },	{ LEAF_XSAVE, 1, EAX, 0 },
	{ LEAF_XSAVE, 1, ECX, 0 },	{ 0x40000001, 0, EAX, 0 },
	{ 0x80000001, 0, ECX, AMD_CMP_LEGACY }, { 0x80000001, 0, EDX, LEAF1_HTT | LEAF1_APIC },
	{ 0x80000007, 0, EDX, 0 },	{ 0x80000008, 0, EBX, 0 },
	{ 0x80000021, 0, EAX, 0 },
};

/* @needs: components of XCR0 */
static const struct feature {
	uint32_t leaf, subleaf;
	enum reg reg;
	unsigned int bit;
	const char *name;
	uint32_t needs;
} features[] = {
	{ 1, 0, ECX, 0, "pni", 0 },		{ 1, 0, ECX, 1, "pclmulqdq", 0 },
	{ 1, 0, ECX, 3, "monitor", 0 },		{ 1, 0, ECX, 9, "ssse3", 0 },
	{ 1, 0, ECX, 12, "fma", XCR0_AVX },	{ 1, 0, ECX, 13, "cx16", 0 },
	{ 1, 0, ECX, 17, "pcid", 0 },		{ 1, 0, ECX, 19, "sse4_1", 0 },
	{ 1, 0, ECX, 20, "sse4_2", 0 },		{ 1, 0, ECX, 21, "x2apic", 0 },
	{ 1, 0, ECX, 22, "movbe", 0 },		{ 1, 0, ECX, 23, "popcnt", 0 },
	{ 1, 0, ECX, 24, "tsc_deadline_timer", 0 }, { 1, 0, ECX, 25, "aes", 0 },
	{ 1, 0, ECX, 26, "xsave", 0 },		{ 1, 0, ECX, 28, "avx", XCR0_AVX },
	{ 1, 0, ECX, 29, "f16c", XCR0_AVX },	{ 1, 0, ECX, 30, "rdrand", 0 },
	{ 1, 0, ECX, 31, "hypervisor", 0 },
	{ 1, 0, EDX, 0, "fpu", 0 },		{ 1, 0, EDX, 1, "vme", 0 },
	{ 1, 0, EDX, 2, "de", 0 },		{ 1, 0, EDX, 3, "pse", 0 },
	{ 1, 0, EDX, 4, "tsc", 0 },		{ 1, 0, EDX, 5, "msr", 0 },
	{ 1, 0, EDX, 6, "pae", 0 },		{ 1, 0, EDX, 7, "mce", 0 },
	{ 1, 0, EDX, 8, "cx8", 0 },		{ 1, 0, EDX, 11, "sep", 0 },
	{ 1, 0, EDX, 12, "mtrr", 0 },		{ 1, 0, EDX, 13, "pge", 0 },
	{ 1, 0, EDX, 14, "mca", 0 },		{ 1, 0, EDX, 15, "cmov", 0 },
	{ 1, 0, EDX, 16, "pat", 0 },		{ 1, 0, EDX, 17, "pse36", 0 },
	{ 1, 0, EDX, 19, "clflush", 0 },	{ 1, 0, EDX, 23, "mmx", 0 },
	{ 1, 0, EDX, 24, "fxsr", 0 },		{ 1, 0, EDX, 25, "sse", 0 },
	{ 1, 0, EDX, 26, "sse2", 0 },		{ 6, 0, EAX, 2, "arat", 0 },
	{ 7, 0, EBX, 0, "fsgsbase", 0 },	{ 7, 0, EBX, 1, "tsc_adjust", 0 },
	{ 7, 0, EBX, 3, "bmi1", 0 },		{ 7, 0, EBX, 4, "hle", 0 },
	{ 7, 0, EBX, 5, "avx2", XCR0_AVX },	{ 7, 0, EBX, 7, "smep", 0 },
	{ 7, 0, EBX, 8, "bmi2", 0 },		{ 7, 0, EBX, 9, "erms", 0 },
	{ 7, 0, EBX, 10, "invpcid", 0 },	{ 7, 0, EBX, 11, "rtm", 0 },
	{ 7, 0, EBX, 16, "avx512f", XCR0_AVX512 }, { 7, 0, EBX, 17, "avx512dq", XCR0_AVX512 },
	{ 7, 0, EBX, 18, "rdseed", 0 },		{ 7, 0, EBX, 19, "adx", 0 },
	{ 7, 0, EBX, 20, "smap", 0 },		{ 7, 0, EBX, 21, "avx512ifma", XCR0_AVX512 },
	{ 7, 0, EBX, 23, "clflushopt", 0 },	{ 7, 0, EBX, 24, "clwb", 0 },
	{ 7, 0, EBX, 28, "avx512cd", XCR0_AVX512 }, { 7, 0, EBX, 29, "sha_ni", 0 },
	{ 7, 0, EBX, 30, "avx512bw", XCR0_AVX512 }, { 7, 0, EBX, 31, "avx512vl", XCR0_AVX512 },
	{ 7, 0, ECX, 1, "avx512vbmi", XCR0_AVX512 }, { 7, 0, ECX, 2, "umip", 0 },
	{ 7, 0, ECX, 6, "avx512_vbmi2", XCR0_AVX512 }, { 7, 0, ECX, 8, "gfni", 0 },
	{ 7, 0, ECX, 9, "vaes", XCR0_AVX },	{ 7, 0, ECX, 10, "vpclmulqdq", XCR0_AVX },
	{ 7, 0, ECX, 11, "avx512_vnni", XCR0_AVX512 }, { 7, 0, ECX, 12, "avx512_bitalg", XCR0_AVX512 },
	{ 7, 0, ECX, 14, "avx512_vpopcntdq", XCR0_AVX512 }, { 7, 0, ECX, 22, "rdpid", 0 },
	{ 7, 0, EDX, 4, "fsrm", 0 },		{ 7, 0, EDX, 10, "md_clear", 0 },
	{ 7, 0, EDX, 14, "serialize", 0 },
	{ LEAF_XSAVE, 0, EAX, 2, "AVX state", 0 }, { LEAF_XSAVE, 0, EAX, 5, "AVX-512 masks", 0 },
	{ LEAF_XSAVE, 0, EAX, 6, "AVX-512 upper halves", 0 }, { LEAF_XSAVE, 0, EAX, 7, "AVX-512 upper registers", 0 },
	{ LEAF_XSAVE, 1, EAX, 0, "xsaveopt", 0 }, { LEAF_XSAVE, 1, EAX, 1, "xsavec", 0 },
	{ LEAF_XSAVE, 1, EAX, 2, "xgetbv1", 0 },
	{ 0x40000001, 0, EAX, 0, "kvmclock", 0 }, { 0x40000001, 0, EAX, 1, "kvm_nop_io_delay", 0 },
	{ 0x40000001, 0, EAX, 3, "kvmclock2", 0 }, { 0x40000001, 0, EAX, 5, "kvm_steal_time", 0 },
	{ 0x40000001, 0, EAX, 6, "kvm_pv_eoi", 0 }, { 0x40000001, 0, EAX, 7, "kvm_pv_unhalt", 0 },
	{ 0x40000001, 0, EAX, 9, "kvm_pv_tlb_flush", 0 }, { 0x40000001, 0, EAX, 11, "kvm_pv_ipi", 0 },
	{ 0x40000001, 0, EAX, 13, "kvm_pv_yield", 0 }, { 0x40000001, 0, EAX, 24, "kvmclock_stable", 0 },
	{ 0x80000001, 0, ECX, 0, "lahf_lm", 0 }, { 0x80000001, 0, ECX, 4, "cr8_legacy", 0 },
	{ 0x80000001, 0, ECX, 5, "abm", 0 },	{ 0x80000001, 0, ECX, 6, "sse4a", 0 },
	{ 0x80000001, 0, ECX, 7, "misalignsse", 0 }, { 0x80000001, 0, ECX, 8, "3dnowprefetch", 0 },
	{ 0x80000001, 0, ECX, 11, "xop", XCR0_AVX }, { 0x80000001, 0, ECX, 16, "fma4", XCR0_AVX },
	{ 0x80000001, 0, ECX, 21, "tbm", 0 },	{ 0x80000001, 0, EDX, 11, "syscall", 0 },
	{ 0x80000001, 0, EDX, 20, "nx", 0 },	{ 0x80000001, 0, EDX, 22, "mmxext", 0 },
	{ 0x80000001, 0, EDX, 25, "fxsr_opt", 0 }, { 0x80000001, 0, EDX, 26, "pdpe1gb", 0 },
	{ 0x80000001, 0, EDX, 27, "rdtscp", 0 }, { 0x80000001, 0, EDX, 29, "lm", 0 },
	{ 0x80000001, 0, EDX, 30, "3dnowext", 0 }, { 0x80000001, 0, EDX, 31, "3dnow", 0 },
	{ 0x80000007, 0, EDX, 8, "invariant_tsc", 0 }, { 0x80000008, 0, EBX, 0, "clzero", 0 },
};

static uint32_t *word_of(struct vireo_cpuid_entry *entry, enum reg reg)
{
	uint32_t *const regs[] = { &entry->eax, &entry->ebx, &entry->ecx, &entry->edx };

	return regs[reg];
}

/**
 * cpu_leaf() - look a leaf up
 * @table: where
 * @leaf: EAX
 * @subleaf: ECX
 *
 * Return: the entry, or NULL.
 */
struct vireo_cpuid_entry *cpu_leaf(struct cpu_table table, uint32_t leaf, uint32_t subleaf)
{
	unsigned int i;

	for (i = 0; i < table.nr; i++)
		if (table.entry[i].leaf == leaf &&
		    (!(table.entry[i].flags & VIREO_CPUID_SUBLEAF) || table.entry[i].subleaf == subleaf))
			return &table.entry[i];
	return NULL;
}

/**
 * cpu_vendor() - who has made a processor
 * @table: its CPUID table
 * @name: CPU_VENDOR_BYTES bytes for the name
 */
void cpu_vendor(struct cpu_table table, char *name)
{
	const struct vireo_cpuid_entry *entry = cpu_leaf(table, 0, 0);
	unsigned int i;

	memset(name, 0, CPU_VENDOR_BYTES);
	if (!entry)
		return;
	memcpy(name, &entry->ebx, 4);
	memcpy(name + 4, &entry->edx, 4);
	memcpy(name + 8, &entry->ecx, 4);
	for (i = 0; i < CPU_VENDOR_BYTES - 1; i++)
		if (name[i] && (name[i] < ' ' || name[i] > '~'))
			name[i] = '?';
}

/**
 * cpu_same_vendor() - whether two processors are of one vendor
 * @a: CPUID table of one
 * @b: and of the other
 *
 * Return: they are, and both say so.
 */
bool cpu_same_vendor(struct cpu_table a, struct cpu_table b)
{
	const struct vireo_cpuid_entry *one = cpu_leaf(a, 0, 0), *other = cpu_leaf(b, 0, 0);

	return one && other && one->ebx == other->ebx && one->ecx == other->ecx && one->edx == other->edx;
}

/* ---- What is missing ---- */

static const char *name_of(const struct word *word, unsigned int bit, char *place, size_t room)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].leaf == word->leaf && features[i].subleaf == word->subleaf &&
		    features[i].reg == word->reg && features[i].bit == bit)
			return features[i].name;
	snprintf(place, room, "CPUID %#x.%u %s bit %u", word->leaf, word->subleaf, reg_names[word->reg], bit);
	return place;
}

/* Names with commas between them; those that find no room are counted. Enough is kept for that number. */
static void add_name(char *names, size_t room, const char *name, unsigned int *left_out)
{
	size_t have = strlen(names);

	if (*left_out || have + strlen(name) + sizeof(", , and 4096 more") > room)
		(*left_out)++;
	else
		snprintf(names + have, room - have, "%s%s", have ? ", " : "", name);
}

/**
 * cpu_missing() - which features there are not
 * @want: CPUID table with all that there should be
 * @have: CPUID table
 * @names: they are named there
 * @room: bytes of that
 *
 * Return: how many.
 */
unsigned int cpu_missing(struct cpu_table want, struct cpu_table have, char *names, size_t room)
{
	unsigned int i, bit, n = 0, left_out = 0;
	struct vireo_cpuid_entry *its, *ours;
	char place[48];
	uint32_t lacks;

	*names = '\0';
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		its = cpu_leaf(want, words[i].leaf, words[i].subleaf);
		ours = cpu_leaf(have, words[i].leaf, words[i].subleaf);
		if (!its)
			continue;
		lacks = *word_of(its, words[i].reg) & ~words[i].without & ~(ours ? *word_of(ours, words[i].reg) : 0);
		for (bit = 0; bit < 32; bit++) {
			if (!(lacks >> bit & 1))
				continue;
			n++;
			add_name(names, room, name_of(&words[i], bit, place, sizeof(place)), &left_out);
		}
	}
	if (left_out)
		snprintf(names + strlen(names), room - strlen(names), "%sand %u more", *names ? ", " : "", left_out);
	return n;
}

/* Programs take it from CPUID where in the area a component is. */
static bool same_layout(struct cpu_table want, struct cpu_table have)
{
	const struct vireo_cpuid_entry *other;
	unsigned int i;

	for (i = 0; i < want.nr; i++) {
		if (want.entry[i].leaf != LEAF_XSAVE || want.entry[i].subleaf < 2)
			continue;
		other = cpu_leaf(have, LEAF_XSAVE, want.entry[i].subleaf);
		if (!other || other->eax != want.entry[i].eax || other->ebx != want.entry[i].ebx)
			return false;
	}
	return true;
}

/**
 * cpu_check() - could processors be run here?
 * @want: their CPUID table
 * @have: what can be given here
 * @whose: what @have belongs to, such as "this host's"
 * @why: for a sentence
 * @room: bytes of that
 *
 * Return: 0, or -EOPNOTSUPP.
 */
int cpu_check(struct cpu_table want, struct cpu_table have, const char *whose, char *why, size_t room)
{
	const struct vireo_cpuid_entry *its, *ours;
	char its_vendor[CPU_VENDOR_BYTES], vendor[CPU_VENDOR_BYTES];
	char names[192];

	if (!cpu_same_vendor(want, have)) {
		cpu_vendor(want, its_vendor);
		cpu_vendor(have, vendor);
		snprintf(why, room, "the machine's processors are of another vendor: \"%s\", %s of \"%s\"", its_vendor,
			 whose, vendor);
		return -EOPNOTSUPP;
	}
	if (cpu_missing(want, have, names, sizeof(names))) {
		snprintf(why, room, "the machine's processors have what %s have not: %s", whose, names);
		return -EOPNOTSUPP;
	}
	if (!same_layout(want, have)) {
		snprintf(why, room, "the machine's processors lay their XSAVE area out otherwise than %s", whose);
		return -EOPNOTSUPP;
	}
	its = cpu_leaf(want, 0x80000008, 0);
	ours = cpu_leaf(have, 0x80000008, 0);
	if (its && ours && (its->eax & PHYS_BITS_MASK) > (ours->eax & PHYS_BITS_MASK)) {
		snprintf(why, room, "the machine's processors have %u address bits, %s %u", its->eax & PHYS_BITS_MASK,
			 whose, ours->eax & PHYS_BITS_MASK);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* ---- What belongs together ---- */

/* XCR0 as a processor could have it: SDM vol. 1, 13.3 */
static uint32_t possible_xcr0(uint32_t xcr0)
{
	static const uint32_t together[] = { XCR0_MPX, XCR0_AVX512, XCR0_AMX };
	unsigned int i;

	if ((xcr0 & XCR0_X87_SSE) != XCR0_X87_SSE)
		return 0;
	if (!(xcr0 & XCR0_AVX))
		xcr0 &= ~XCR0_AVX512;
	for (i = 0; i < ARRAY_SIZE(together); i++)
		if ((xcr0 & together[i]) != together[i])
			xcr0 &= ~together[i];
	return xcr0;
}

static bool keeps(const struct vireo_cpuid_entry *entry, uint64_t xcr0)
{
	return entry->leaf != LEAF_XSAVE ||
	       (xcr0 && (entry->subleaf < 2 || (entry->subleaf < 63 && xcr0 >> entry->subleaf & 1)));
}

/**
 * cpu_settle_xsave() - make the leaf of XSAVE, and what depends on it, fit together
 * @table: a CPUID table of which something was taken away; it may become shorter
 *
 * Sizes are those of the components that are left.
 */
void cpu_settle_xsave(struct cpu_table *table)
{
	struct vireo_cpuid_entry *first = cpu_leaf(*table, 1, 0), *area = cpu_leaf(*table, LEAF_XSAVE, 0), *entry;
	bool on = first && first->ecx & LEAF1_XSAVE && area;
	uint64_t xcr0 = on ? possible_xcr0(area->eax) | (uint64_t)area->edx << 32 : 0;
	uint32_t size = 576;	/* of the legacy region and the header */
	unsigned int i, n = 0;

	if (!(xcr0 & XCR0_X87_SSE))
		xcr0 = 0;
	/* A component of which nobody says where it is */
	for (i = 2; i < 63; i++)
		if (xcr0 >> i & 1 && !cpu_leaf(*table, LEAF_XSAVE, i))
			xcr0 &= ~(1ULL << i);
	xcr0 = possible_xcr0((uint32_t)xcr0) | (xcr0 & ~(uint64_t)UINT32_MAX);
	for (i = 0; i < table->nr; i++)
		if (keeps(&table->entry[i], xcr0))
			table->entry[n++] = table->entry[i];
	table->nr = n;
	if (first && !xcr0)
		cpu_leaf(*table, 1, 0)->ecx &= ~LEAF1_XSAVE;
	for (i = 0; i < ARRAY_SIZE(features); i++) {
		entry = cpu_leaf(*table, features[i].leaf, features[i].subleaf);
		if (entry && features[i].needs & ~xcr0)
			*word_of(entry, features[i].reg) &= ~BIT(features[i].bit);
	}
	area = cpu_leaf(*table, LEAF_XSAVE, 0);
	if (!area)
		return;
	for (i = 0; i < n; i++)
		if (table->entry[i].leaf == LEAF_XSAVE && table->entry[i].subleaf >= 2 &&
		    table->entry[i].eax + table->entry[i].ebx > size)
			size = table->entry[i].eax + table->entry[i].ebx;
	area->eax = (uint32_t)xcr0;
	area->edx = (uint32_t)(xcr0 >> 32);
	area->ebx = size;
	area->ecx = size;
}

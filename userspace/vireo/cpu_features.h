/* SPDX-License-Identifier: GPL-2.0-only */
/* Feature bits of CPUID: which words have them, what they are called, what they need, and which a processor lacks. */
#ifndef VIREO_CPU_FEATURES_H
#define VIREO_CPU_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/vireo.h>

/**
 * struct cpu_table - CPUID leaves, in no order
 * @entry: the leaves
 * @nr: how many
 */
struct cpu_table {
	struct vireo_cpuid_entry *entry;
	unsigned int nr;
};

#define CPU_VENDOR_BYTES 13

struct vireo_cpuid_entry *cpu_leaf(struct cpu_table table, uint32_t leaf, uint32_t subleaf);
/* Its vendor, printable, in CPU_VENDOR_BYTES bytes */
void cpu_vendor(struct cpu_table table, char *name);
bool cpu_same_vendor(struct cpu_table a, struct cpu_table b);
/* How many features of @want there are not in @have; their names in @names, as many as there is room for */
unsigned int cpu_missing(struct cpu_table want, struct cpu_table have, char *names, size_t room);
/* Features whose state XSAVE does not know go, and components of that state that come together only */
void cpu_settle_xsave(struct cpu_table *table);
/* Could processors like @want be run where @have is what can be given? 0, or -EOPNOTSUPP with a sentence in @why */
int cpu_check(struct cpu_table want, struct cpu_table have, const char *whose, char *why, size_t room);

#endif /* VIREO_CPU_FEATURES_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What of the paravirtual ABI a guest is offered, by name: --paravirt. The module refuses what is not in the
 * guest's CPUID, so the CPUID table is all that has to be changed.
 */
#ifndef VIREO_PARAVIRT_H
#define VIREO_PARAVIRT_H

#include <stdint.h>

#include "vireo.h"

/* All that the module has, known by a name here or not. */
#define PARAVIRT_ALL	UINT32_MAX

int paravirt_parse(const char *text, uint32_t *out);
char *paravirt_text(uint32_t bits);
void paravirt_limit(struct vireo_cpuid_entry *entries, unsigned int count, uint32_t keep);

#endif /* VIREO_PARAVIRT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the differential tests have in common.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include "../../kmod/emulate/emulate.h"

u64 undefined_flags(const struct vireo_emu_insn *insn, u32 op, u64 rcx);
bool undefined_result(const struct vireo_emu_insn *insn, u32 op, u64 rcx);
u64 random_value(void);
u64 rnd(void);
void rnd_seed(u64 seed);

#endif /* RANDOM_H */

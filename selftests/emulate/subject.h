/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random instructions with a machine state in which they have something to do.
 */
#ifndef SUBJECT_H
#define SUBJECT_H

#include "system.h"

/**
 * struct subject - an instruction, ready to be run
 * @bytes: it, and what follows it
 * @op: its operation
 * @at: linear address it stands at
 */
struct subject {
	u8 bytes[16];
	u32 op;
	u64 at;
};

bool subject_make(struct system *s, struct subject *t, bool (*wanted)(u32 op));
bool subject_rex_ignored(const struct system *s, const struct subject *t);

#endif /* SUBJECT_H */

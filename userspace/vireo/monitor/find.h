/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VIREO_MONITOR_FIND_H
#define VIREO_MONITOR_FIND_H

#include "family.h"

/* Both print what is wrong; family_close() in any case. 0, or an exit status. */
int find_family(struct family *family);
int find_vm(struct family *family, const char *word, uint32_t *number);

#endif /* VIREO_MONITOR_FIND_H */

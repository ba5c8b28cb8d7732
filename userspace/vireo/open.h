/* SPDX-License-Identifier: GPL-2.0-only */
/* Opening /dev/vireo, with an explanation when that fails. */
#ifndef VIREO_OPEN_H
#define VIREO_OPEN_H

struct vireo;

int open_vireo(struct vireo **out);
void explain_vm_create(int error);

#endif /* VIREO_OPEN_H */

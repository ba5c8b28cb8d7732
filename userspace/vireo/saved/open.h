/* SPDX-License-Identifier: GPL-2.0-only */
/* What vireo restore and vireo inspect begin with. */
#ifndef VIREO_SAVED_OPEN_H
#define VIREO_SAVED_OPEN_H

#include "saved.h"

/* 0, or an exit status, with a message */
int saved_open(struct saved_file *file, const char *path);
void saved_close(struct saved_file *file);

#endif /* VIREO_SAVED_OPEN_H */

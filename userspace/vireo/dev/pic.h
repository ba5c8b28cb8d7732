/* SPDX-License-Identifier: GPL-2.0-only */
/* The pair of 8259A interrupt controllers of a PC. */
#ifndef VIREO_DEV_PIC_H
#define VIREO_DEV_PIC_H

#include "../board.h"

struct pic;

int pic_create(struct board *board, struct pic **out);
int pic_acknowledge(struct pic *pic);
bool pic_output(const struct pic *pic);

#endif /* VIREO_DEV_PIC_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* The IOAPIC (Intel 82093AA, version 0x20 with an EOI register). */
#ifndef VIREO_DEV_IOAPIC_H
#define VIREO_DEV_IOAPIC_H

#include "../board.h"

#define IOAPIC_BASE	0xfec00000ULL
#define IOAPIC_PINS	24

struct ioapic;

int ioapic_create(struct board *board, unsigned int id, struct ioapic **out);
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);

#endif /* VIREO_DEV_IOAPIC_H */

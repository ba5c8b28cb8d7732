/* SPDX-License-Identifier: GPL-2.0-only */
/* The ACPI tables of the machine. */
#ifndef VIREO_ACPI_H
#define VIREO_ACPI_H

#include <stdint.h>

#include "../memory.h"

#define ACPI_AT		0xf0000ULL	/* guests look for the RSDP from here on */
#define ACPI_BYTES	0x10000ULL

int acpi_write(struct guest_memory *memory, unsigned int cpus, uint64_t *rsdp);

#endif /* VIREO_ACPI_H */

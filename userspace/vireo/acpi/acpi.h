/* SPDX-License-Identifier: GPL-2.0-only */
/* The ACPI tables of the machine. */
#ifndef VIREO_ACPI_H
#define VIREO_ACPI_H

#include <stdint.h>

#include "../memory.h"
#include "../pci/pci.h"

struct aml;

#define ACPI_AT		0xf0000ULL	/* guests look for the RSDP from here on */
#define ACPI_BYTES	0xf000ULL	/* the page behind it is that of generation.h */

int acpi_write(struct guest_memory *memory, unsigned int cpus, const struct pci_map *map, uint64_t *rsdp);

/* pci.c */
void acpi_describe_pci(struct aml *aml, const struct pci_map *map);

#endif /* VIREO_ACPI_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI host bridge in the DSDT: windows, and which pin of the IOAPIC a slot's interrupt leads to.
 *
 * It is a bridge of conventional PCI (PNP0A03): there are no PCI Express features whose control it could hand over.
 */
#include "acpi.h"
#include "aml.h"

#define CONFIG_PORT	0xcf8
#define ANY_FUNCTION	0xffff

static void describe_windows(struct aml *aml, const struct pci_map *map)
{
	size_t resources = aml_begin_resources(aml);

	aml_bus_numbers(aml, 0, 0);
	aml_io(aml, CONFIG_PORT, 8);
	aml_window(aml, PCI_LOW_BASE, PCI_LOW_BYTES);
	if (map->high_bytes)
		aml_window(aml, map->high_base, map->high_bytes);
	aml_end_resources(aml, resources);
}

static void describe_lines(struct aml *aml)
{
	unsigned int slot;
	size_t list, entry;

	aml_name(aml, "_PRT");
	list = aml_begin_package(aml, PCI_SLOTS - 1);
	/* Slot 0 is the bridge; functions have INTA alone. */
	for (slot = 1; slot < PCI_SLOTS; slot++) {
		entry = aml_begin_package(aml, 4);
		aml_integer(aml, slot << 16 | ANY_FUNCTION);
		aml_integer(aml, 0);
		aml_integer(aml, 0);
		aml_integer(aml, pci_slot_gsi(slot));
		aml_end(aml, entry);
	}
	aml_end(aml, list);
}

/**
 * acpi_describe_pci() - Device (PCI0) {...}
 * @aml: the builder, in \_SB
 * @map: where BARs may be
 */
void acpi_describe_pci(struct aml *aml, const struct pci_map *map)
{
	size_t device = aml_begin_device(aml, "PCI0");

	aml_name(aml, "_HID");
	aml_eisa_id(aml, "PNP0A03");
	aml_name(aml, "_UID");
	aml_integer(aml, 0);
	aml_name(aml, "_BBN");
	aml_integer(aml, 0);
	describe_windows(aml, map);
	describe_lines(aml);
	aml_end(aml, device);
}

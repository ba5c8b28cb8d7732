// SPDX-License-Identifier: GPL-2.0-only
/*
 * RSDP, RSDT, XSDT, FADT, FACS, MADT, MCFG and DSDT (ACPI specification 6.4).
 *
 * They describe exactly the devices that board and module have. Tables follow
 * each other from 0xf0000 on; the RSDP, written last, stands first.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "acpi.h"
#include "../generation.h"
#include "aml.h"
#include "../dev/acpi_pm.h"
#include "../dev/chipset.h"
#include "../dev/fw_cfg.h"
#include "../dev/ioapic.h"
#include "../dev/rtc.h"
#include "../util.h"

#define LAPIC_BASE	0xfee00000U
#define COM1_PORT	0x3f8
#define COM1_IRQ	4

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

_Static_assert(sizeof(struct rsdp) == 36, "layout of the specification");

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[6];
	char oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 36, "layout of the specification");

struct address {
	uint8_t space;
	uint8_t width;
	uint8_t offset;
	uint8_t access;
	uint64_t address;
} __attribute__((packed));

#define SPACE_IO	1
#define ACCESS_BYTE	1
#define ACCESS_WORD	2
#define ACCESS_DWORD	3

struct fadt {
	struct header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control;
	uint32_t pm_timer, gpe0, gpe1;
	uint8_t pm1_event_bytes, pm1_control_bytes, pm2_control_bytes, pm_timer_bytes;
	uint8_t gpe0_bytes, gpe1_bytes, gpe1_base, cst_control;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
	struct address x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
} __attribute__((packed));

_Static_assert(sizeof(struct fadt) == 244, "length of revision 4");
_Static_assert(offsetof(struct fadt, flags) == 112, "layout of the specification");
_Static_assert(offsetof(struct fadt, x_pm1a_event) == 148, "layout of the specification");

#define PROFILE_SERVER		4
#define NO_C_STATE		0xfff
#define BOOT_LEGACY_DEVICES	0x0001
#define BOOT_8042		0x0002	/* not set: there is no keyboard */
#define BOOT_NO_VGA		0x0004
#define FADT_WBINVD		BIT(0)
#define FADT_PROC_C1		BIT(2)
#define FADT_NO_SLEEP_BUTTON	BIT(5)
#define FADT_NO_RTC_WAKE	BIT(6)
#define FADT_TIMER_32		BIT(8)
#define FADT_RESET		BIT(10)

struct facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __attribute__((packed));

_Static_assert(sizeof(struct facs) == 64, "layout of the specification");

struct madt {
	struct header header;
	uint32_t lapic;
	uint32_t flags;
} __attribute__((packed));

struct madt_lapic {
	uint8_t type, length, processor, id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address;
	uint32_t gsi_base;
} __attribute__((packed));

struct madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

struct mcfg {
	struct header header;
	uint64_t reserved0;
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved1;
} __attribute__((packed));

_Static_assert(sizeof(struct mcfg) == 60, "layout of the specification");

enum { MADT_LAPIC, MADT_IOAPIC, MADT_OVERRIDE, MADT_NMI = 4 };
#define MADT_PCAT_COMPAT	1
#define MADT_ENABLED		1
#define MADT_HIGH_LEVEL		0x000d
#define MADT_ALL_PROCESSORS	0xff

/**
 * struct builder - tables that grow upwards in guest memory
 * @byte: the area
 * @len: bytes used
 * @overflow: it was not enough
 */
struct builder {
	uint8_t *byte;
	size_t len;
	bool overflow;
};

static uint8_t sum(const void *bytes, size_t n)
{
	const uint8_t *byte = bytes;
	uint8_t total = 0;

	while (n--)
		total = (uint8_t)(total + *byte++);
	return total;
}

/* Room for a table; its address is ACPI_AT plus the result. */
static size_t reserve(struct builder *builder, size_t bytes)
{
	size_t at = ALIGN_UP(builder->len, 64);

	if (bytes > ACPI_BYTES - at || builder->overflow) {
		builder->overflow = true;
		return 0;
	}
	builder->len = at + bytes;
	return at;
}

static uint64_t add(struct builder *builder, const void *table, size_t bytes)
{
	size_t at = reserve(builder, bytes);

	if (!builder->overflow)
		memcpy(builder->byte + at, table, bytes);
	return ACPI_AT + at;
}

static struct header make_header(const char *signature, uint8_t revision, size_t bytes)
{
	struct header header = {
		.length = (uint32_t)bytes,
		.revision = revision,
		.oem = "VIREO",
		.oem_table = "VIREOVM",
		.oem_revision = 1,
		.creator = { 'V', 'I', 'R', 'E' },
		.creator_revision = 1,
	};

	memcpy(header.signature, signature, sizeof(header.signature));
	return header;
}

static void seal(struct header *table)
{
	table->checksum = 0;
	table->checksum = (uint8_t)-sum(table, table->length);
}

static uint64_t add_facs(struct builder *builder)
{
	struct facs facs = { .signature = "FACS", .length = sizeof(facs), .version = 2 };

	return add(builder, &facs, sizeof(facs));
}

static void describe(struct aml *aml, const char *name, const char *id, uint16_t port,
		     uint8_t ports, int irq)
{
	size_t device, resources;

	device = aml_begin_device(aml, name);
	aml_name(aml, "_HID");
	aml_eisa_id(aml, id);
	resources = aml_begin_resources(aml);
	aml_io(aml, port, ports);
	if (irq >= 0)
		aml_irq(aml, (unsigned int)irq);
	aml_end_resources(aml, resources);
	aml_end(aml, device);
}

static void describe_serial(struct aml *aml)
{
	size_t device, resources;

	device = aml_begin_device(aml, "COM1");
	aml_name(aml, "_HID");
	aml_eisa_id(aml, "PNP0501");
	aml_name(aml, "_UID");
	aml_integer(aml, 1);
	aml_name(aml, "_STA");
	aml_integer(aml, 0xf);
	resources = aml_begin_resources(aml);
	aml_io(aml, COM1_PORT, 8);
	aml_irq(aml, COM1_IRQ);
	aml_end_resources(aml, resources);
	aml_end(aml, device);
}

static void describe_fw_cfg(struct aml *aml)
{
	size_t device, resources;

	device = aml_begin_device(aml, "FWCF");
	aml_name(aml, "_HID");
	aml_string(aml, "QEMU0002");
	aml_name(aml, "_STA");
	aml_integer(aml, 0xb);	/* there, but not shown to people */
	resources = aml_begin_resources(aml);
	aml_io(aml, FW_CFG_PORT, FW_CFG_PORTS);
	aml_end_resources(aml, resources);
	aml_end(aml, device);
}

/* Ports and addresses that are taken without a device to say so. */
static void describe_board(struct aml *aml)
{
	size_t device, resources;

	device = aml_begin_device(aml, "MBRD");
	aml_name(aml, "_HID");
	aml_eisa_id(aml, "PNP0C02");
	resources = aml_begin_resources(aml);
	aml_io(aml, ACPI_PM_EVENT_PORT, ACPI_PM_PORTS);
	aml_io(aml, CHIPSET_RESET_PORT, 1);
	aml_io(aml, 0x4d0, 2);
	aml_memory32(aml, (uint32_t)IOAPIC_BASE, 0x1000);
	aml_memory32(aml, LAPIC_BASE, 0x1000);
	aml_memory32(aml, (uint32_t)PCI_ECAM_BASE, (uint32_t)PCI_ECAM_BYTES);
	aml_end_resources(aml, resources);
	aml_end(aml, device);
}

/* "Virtual Machine Generation ID": drivers know it by the second name. */
static void describe_generation(struct aml *aml)
{
	size_t device, package;

	device = aml_begin_device(aml, "VGEN");
	aml_name(aml, "_HID");
	aml_string(aml, "VIRE0001");
	aml_name(aml, "_CID");
	aml_string(aml, "VM_Gen_Counter");
	aml_name(aml, "_DDN");
	aml_string(aml, "VM_Gen_Counter");
	aml_name(aml, "ADDR");
	package = aml_begin_package(aml, 2);
	aml_integer(aml, GENERATION_AT);
	aml_integer(aml, 0);
	aml_end(aml, package);
	aml_end(aml, device);
}

static void describe_events(struct aml *aml)
{
	size_t scope, method;

	scope = aml_begin_scope(aml, "\\_GPE");
	method = aml_begin_method(aml, "_E00");
	aml_notify(aml, "\\_SB.VGEN", 0x80);
	aml_end(aml, method);
	aml_end(aml, scope);
}

_Static_assert(ACPI_PM_GPE_GENERATION == 0, "the name of the method");

static uint64_t add_dsdt(struct builder *builder, const struct pci_map *map)
{
	uint8_t bytes[4096];
	struct aml aml = { .byte = bytes, .room = sizeof(bytes) };
	struct header header = { 0 };
	size_t scope, package;

	aml_bytes(&aml, &header, sizeof(header));

	aml_name(&aml, "\\_S5");
	package = aml_begin_package(&aml, 4);
	aml_integer(&aml, ACPI_PM_SLEEP_S5);
	aml_integer(&aml, ACPI_PM_SLEEP_S5);
	aml_integer(&aml, 0);
	aml_integer(&aml, 0);
	aml_end(&aml, package);

	scope = aml_begin_scope(&aml, "\\_SB");
	describe(&aml, "TIMR", "PNP0100", 0x40, 4, 0);
	describe(&aml, "RTC", "PNP0B00", RTC_PORT, 2, RTC_IRQ);
	describe(&aml, "SPKR", "PNP0800", 0x61, 1, -1);
	describe_serial(&aml);
	describe_fw_cfg(&aml);
	describe_board(&aml);
	describe_generation(&aml);
	acpi_describe_pci(&aml, map);
	aml_end(&aml, scope);
	describe_events(&aml);

	if (aml.overflow)
		builder->overflow = true;
	header = make_header("DSDT", 2, aml.len);
	memcpy(bytes, &header, sizeof(header));
	((struct header *)(void *)bytes)->checksum = (uint8_t)-sum(bytes, aml.len);
	return add(builder, bytes, aml.len);
}

static struct address io_address(uint16_t port, uint8_t width, uint8_t access)
{
	return (struct address){ SPACE_IO, width, 0, access, port };
}

static uint64_t add_fadt(struct builder *builder, uint64_t facs, uint64_t dsdt)
{
	struct fadt fadt = {
		.header = make_header("FACP", 4, sizeof(fadt)),
		.facs = (uint32_t)facs,
		.dsdt = (uint32_t)dsdt,
		.profile = PROFILE_SERVER,
		.sci = ACPI_PM_SCI,
		.pm1a_event = ACPI_PM_EVENT_PORT,
		.pm1a_control = ACPI_PM_CONTROL_PORT,
		.pm_timer = ACPI_PM_TIMER_PORT,
		.gpe0 = ACPI_PM_GPE_PORT,
		.pm1_event_bytes = 4,
		.pm1_control_bytes = 2,
		.pm_timer_bytes = 4,
		.gpe0_bytes = 2,
		.c2_latency = NO_C_STATE,
		.c3_latency = NO_C_STATE,
		.century = RTC_CENTURY,
		.boot_flags = BOOT_LEGACY_DEVICES | BOOT_NO_VGA,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON |
			FADT_NO_RTC_WAKE | FADT_TIMER_32 | FADT_RESET,
		.reset = io_address(CHIPSET_RESET_PORT, 8, ACCESS_BYTE),
		.reset_value = CHIPSET_RESET_VALUE,
		.x_dsdt = dsdt,
		.x_pm1a_event = io_address(ACPI_PM_EVENT_PORT, 32, ACCESS_WORD),
		.x_pm1a_control = io_address(ACPI_PM_CONTROL_PORT, 16, ACCESS_WORD),
		.x_pm_timer = io_address(ACPI_PM_TIMER_PORT, 32, ACCESS_DWORD),
		.x_gpe0 = io_address(ACPI_PM_GPE_PORT, 16, ACCESS_BYTE),
	};

	seal(&fadt.header);
	return add(builder, &fadt, sizeof(fadt));
}

static uint64_t add_madt(struct builder *builder, unsigned int cpus)
{
	struct {
		struct madt madt;
		uint8_t entries[256 * sizeof(struct madt_lapic) + 64];
	} __attribute__((packed)) table = { 0 };
	struct madt_ioapic ioapic = {
		MADT_IOAPIC, sizeof(ioapic), 0, 0, (uint32_t)IOAPIC_BASE, 0,
	};
	struct madt_override timer = { MADT_OVERRIDE, sizeof(timer), 0, 0, 2, 0 };
	struct madt_override sci = {
		MADT_OVERRIDE, sizeof(sci), 0, ACPI_PM_SCI, ACPI_PM_SCI, MADT_HIGH_LEVEL,
	};
	struct madt_nmi nmi = { MADT_NMI, sizeof(nmi), MADT_ALL_PROCESSORS, 0, 1 };
	uint8_t *at = table.entries;
	unsigned int i;

	for (i = 0; i < cpus && i < 255; i++) {
		struct madt_lapic lapic = {
			MADT_LAPIC, sizeof(lapic), (uint8_t)i, (uint8_t)i, MADT_ENABLED,
		};

		memcpy(at, &lapic, sizeof(lapic));
		at += sizeof(lapic);
	}
	memcpy(at, &ioapic, sizeof(ioapic));
	at += sizeof(ioapic);
	memcpy(at, &timer, sizeof(timer));
	at += sizeof(timer);
	memcpy(at, &sci, sizeof(sci));
	at += sizeof(sci);
	memcpy(at, &nmi, sizeof(nmi));
	at += sizeof(nmi);

	table.madt.header = make_header("APIC", 3, (size_t)(at - (uint8_t *)&table));
	table.madt.lapic = LAPIC_BASE;
	table.madt.flags = MADT_PCAT_COMPAT;
	seal(&table.madt.header);
	return add(builder, &table, table.madt.header.length);
}

static uint64_t add_mcfg(struct builder *builder)
{
	struct mcfg mcfg = { .header = make_header("MCFG", 1, sizeof(mcfg)), .base = PCI_ECAM_BASE };

	seal(&mcfg.header);
	return add(builder, &mcfg, sizeof(mcfg));
}

/* RSDT and XSDT: lists of addresses, 4 or 8 bytes wide. */
static uint64_t add_root(struct builder *builder, const char *signature, size_t width,
			 const uint64_t *tables, size_t nr)
{
	struct {
		struct header header;
		uint8_t entries[64];
	} __attribute__((packed)) table = { 0 };
	size_t i;

	for (i = 0; i < nr; i++)
		memcpy(table.entries + i * width, &tables[i], width);
	table.header = make_header(signature, 1, sizeof(table.header) + nr * width);
	seal(&table.header);
	return add(builder, &table, table.header.length);
}

/**
 * acpi_write() - write the tables into guest memory
 * @memory: the guest's
 * @cpus: number of processors
 * @map: where BARs may be
 * @rsdp: where the tables begin
 *
 * Return: 0; -EFAULT if there is no memory at ACPI_AT; -ENOSPC.
 */
int acpi_write(struct guest_memory *memory, unsigned int cpus, const struct pci_map *map, uint64_t *rsdp)
{
	struct builder builder = { .byte = memory_ptr(memory, ACPI_AT, ACPI_BYTES) };
	struct rsdp root = { .signature = "RSD PTR ", .oem = "VIREO", .revision = 2 };
	uint64_t facs, dsdt, tables[3];

	if (!builder.byte)
		return -EFAULT;
	memcpy(root.signature, "RSD PTR ", sizeof(root.signature));
	reserve(&builder, sizeof(root));
	facs = add_facs(&builder);
	dsdt = add_dsdt(&builder, map);
	tables[0] = add_fadt(&builder, facs, dsdt);
	tables[1] = add_madt(&builder, cpus);
	tables[2] = add_mcfg(&builder);
	root.rsdt = (uint32_t)add_root(&builder, "RSDT", 4, tables, ARRAY_SIZE(tables));
	root.xsdt = add_root(&builder, "XSDT", 8, tables, ARRAY_SIZE(tables));
	if (builder.overflow)
		return -ENOSPC;
	root.length = sizeof(root);
	root.checksum = (uint8_t)-sum(&root, 20);
	root.extended_checksum = (uint8_t)-sum(&root, sizeof(root));
	memcpy(builder.byte, &root, sizeof(root));
	*rsdp = ACPI_AT;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOAPIC: 24 lines become messages to local APICs.
 *
 * Each redirection entry is translated to an MSI when it fires: the MSI's
 * fields are those of the entry in another order, and the module delivers
 * both alike. A level-triggered entry that was sent keeps "remote IRR" until
 * the EOI of its vector comes back (from the module by VIREO_EXIT_EOI, or from
 * the guest by the EOI register), and is sent again if its line is still high.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ioapic.h"
#include "../state.h"
#include "../util.h"

#define WINDOW_BYTES	0x100
#define REG_SELECT	0x00
#define REG_DATA	0x10
#define REG_EOI		0x40

#define INDEX_ID	0x00
#define INDEX_VERSION	0x01
#define INDEX_ARB	0x02
#define INDEX_ENTRIES	0x10
#define VERSION		0x20

#define ENTRY_VECTOR	0xffULL
#define ENTRY_DELIVERY	0x700ULL
#define ENTRY_LOGICAL	0x800ULL
#define ENTRY_STATUS	0x1000ULL
#define ENTRY_LOW	0x2000ULL	/* active low: kept, without effect */
#define ENTRY_REMOTE	0x4000ULL
#define ENTRY_LEVEL	0x8000ULL
#define ENTRY_MASKED	0x10000ULL
#define ENTRY_WRITABLE	(0xff0000000001ffffULL & ~(ENTRY_STATUS | ENTRY_REMOTE))

#define DELIVERY_SHIFT	8
#define DELIVERY_EXTINT	7

#define MSI_BASE	0xfee00000ULL
#define MSI_LOGICAL	0x4U
#define MSI_ASSERT	0x4000U
#define MSI_LEVEL	0x8000U

struct ioapic {
	struct device device;
	uint8_t select;
	uint8_t id;
	uint8_t first_id;
	uint32_t lines;
	uint64_t entry[IOAPIC_PINS];
};

static void send(struct ioapic *ioapic, unsigned int pin)
{
	struct board *board = ioapic->device.board;
	uint64_t entry = ioapic->entry[pin];
	uint64_t address = MSI_BASE | (entry >> 56) << 12;
	uint32_t data = (uint32_t)(entry & (ENTRY_VECTOR | ENTRY_DELIVERY));
	int taken;

	/* ExtINT comes over LINT0 of the bootstrap processor, always. */
	if ((data >> DELIVERY_SHIFT) == DELIVERY_EXTINT)
		return;
	if (entry & ENTRY_LOGICAL)
		address |= MSI_LOGICAL;
	if (entry & ENTRY_LEVEL)
		data |= MSI_LEVEL | MSI_ASSERT;
	taken = board->host_ops->send_msi(board->host, address, data);
	/* Nobody took it, so nobody will end it: do not wait for that. */
	if (entry & ENTRY_LEVEL && taken > 0)
		ioapic->entry[pin] |= ENTRY_REMOTE;
}

static void send_level(struct ioapic *ioapic, unsigned int pin)
{
	uint64_t entry = ioapic->entry[pin];

	if (entry & ENTRY_LEVEL && ioapic->lines & BIT(pin) &&
	    !(entry & (ENTRY_MASKED | ENTRY_REMOTE)))
		send(ioapic, pin);
}

static void set_line(void *opaque, unsigned int pin, bool level)
{
	struct ioapic *ioapic = opaque;
	bool before = ioapic->lines & BIT(pin);

	if (!level) {
		ioapic->lines &= ~BIT(pin);
		return;
	}
	ioapic->lines |= BIT(pin);
	if (ioapic->entry[pin] & ENTRY_LEVEL)
		send_level(ioapic, pin);
	else if (!before && !(ioapic->entry[pin] & ENTRY_MASKED))
		/* The data sheet: an edge at a masked pin is lost. */
		send(ioapic, pin);
}

/**
 * ioapic_eoi() - a local APIC has seen the end of a level-triggered interrupt
 * @ioapic: the IOAPIC; the board is locked
 * @vector: the interrupt's vector
 */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	unsigned int pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t *entry = &ioapic->entry[pin];

		if ((*entry & ENTRY_VECTOR) != vector || !(*entry & ENTRY_REMOTE))
			continue;
		*entry &= ~ENTRY_REMOTE;
		send_level(ioapic, pin);
	}
}

static void write_entry(struct ioapic *ioapic, unsigned int pin, unsigned int shift,
			uint32_t value)
{
	uint64_t mask = (0xffffffffULL << shift) & ENTRY_WRITABLE;
	uint64_t *entry = &ioapic->entry[pin];

	*entry = (*entry & ~mask) | (((uint64_t)value << shift) & mask);
	/*
	 * Guests clear a stuck remote IRR by making the entry edge-triggered
	 * for a moment: there is no other way before version 0x20.
	 */
	if (!(*entry & ENTRY_LEVEL))
		*entry &= ~ENTRY_REMOTE;
	send_level(ioapic, pin);
}

static uint32_t read_index(const struct ioapic *ioapic)
{
	unsigned int at = ioapic->select - INDEX_ENTRIES;

	switch (ioapic->select) {
	case INDEX_ID:
	case INDEX_ARB:
		return (uint32_t)ioapic->id << 24;
	case INDEX_VERSION:
		return VERSION | (IOAPIC_PINS - 1) << 16;
	}
	if (ioapic->select < INDEX_ENTRIES || at / 2 >= IOAPIC_PINS)
		return 0xffffffff;
	return (uint32_t)(ioapic->entry[at / 2] >> (at & 1 ? 32 : 0));
}

static uint64_t window_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct ioapic *ioapic = opaque;
	uint32_t value;

	(void)size;
	switch (offset & ~3ULL) {
	case REG_SELECT:
		value = ioapic->select;
		break;
	case REG_DATA:
		value = read_index(ioapic);
		break;
	default:
		value = 0;
	}
	return value >> (8 * (offset & 3));
}

static void window_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct ioapic *ioapic = opaque;
	unsigned int at;

	/* The registers are 32 bits wide; narrower writes are for the low byte. */
	(void)size;
	switch (offset) {
	case REG_SELECT:
		ioapic->select = (uint8_t)value;
		break;
	case REG_DATA:
		at = ioapic->select - INDEX_ENTRIES;
		if (ioapic->select == INDEX_ID)
			ioapic->id = (value >> 24) & 0xf;
		else if (ioapic->select >= INDEX_ENTRIES && at / 2 < IOAPIC_PINS)
			write_entry(ioapic, at / 2, at & 1 ? 32 : 0, (uint32_t)value);
		break;
	case REG_EOI:
		ioapic_eoi(ioapic, (uint8_t)value);
		break;
	}
}

static void reset(struct device *device)
{
	struct ioapic *ioapic = container_of(device, struct ioapic, device);
	unsigned int pin;

	ioapic->select = 0;
	ioapic->id = ioapic->first_id;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		ioapic->entry[pin] = ENTRY_MASKED;
}

static void destroy(struct device *device)
{
	free(container_of(device, struct ioapic, device));
}

static int check_state(const void *device, const void *loaded)
{
	const struct ioapic *ioapic = loaded;
	unsigned int pin;

	(void)device;
	if (ioapic->id > 0xf || ioapic->lines >> IOAPIC_PINS)
		return -EINVAL;
	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t entry = ioapic->entry[pin];

		if (entry & ~(ENTRY_WRITABLE | ENTRY_REMOTE) || (entry & ENTRY_REMOTE && !(entry & ENTRY_LEVEL)))
			return -EINVAL;
	}
	return 0;
}

static const struct state_field state_fields[] = {
	STATE_FIELD(struct ioapic, select),
	STATE_FIELD(struct ioapic, id),
	STATE_FIELD(struct ioapic, lines),
	STATE_ARRAY(struct ioapic, entry),
	STATE_END,
};

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct ioapic),
	.fields = state_fields,
	.check = check_state,
};

static const struct device_ops ioapic_device_ops = { .reset = reset, .destroy = destroy, .state = &state };
static const struct bus_ops window_ops = { window_read, window_write, 4 };

/**
 * ioapic_create() - plug in an IOAPIC
 * @board: the board; its lines 0 to 23 are wired to it
 * @id: its APIC id
 * @out: the IOAPIC, for ioapic_eoi(); may be NULL
 *
 * Return: 0, or a negative errno.
 */
int ioapic_create(struct board *board, unsigned int id, struct ioapic **out)
{
	struct ioapic *ioapic = calloc(1, sizeof(*ioapic));
	int r;

	if (!ioapic)
		return -ENOMEM;
	ioapic->first_id = id & 0xf;
	board_plug(board, &ioapic->device, "ioapic", &ioapic_device_ops);
	reset(&ioapic->device);
	board->ioapic = (struct irq_sink){ set_line, ioapic };
	r = bus_claim(&board->mmio, IOAPIC_BASE, WINDOW_BYTES, &window_ops, ioapic);
	if (!r && out)
		*out = ioapic;
	return r;
}

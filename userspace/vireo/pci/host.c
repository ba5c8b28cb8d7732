// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host bridge: ways to configuration space, windows, interrupt lines.
 *
 * The board's buses do not change while the guest runs, BARs do: the bridge claims its windows as a whole and
 * keeps a list of the BARs that are decoded in them. Where BARs overlap, the lower slot answers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pci.h"
#include "../state.h"
#include "../util.h"

#define ADDRESS_ENABLE	0x80000000U
#define ADDRESS_BITS	0x80fffffcU
#define DATA_OFFSET	4		/* of port 0xcfc from 0xcf8 */
#define SLOT_SHIFT	15		/* in an ECAM address */
#define FUNCTION_MASK	0x7000U
#define ELCR2_PORT	0x4d1
#define PIC_IRQ		10		/* even lines; odd ones: the next */
#define LARGE_BAR	(64 * MIB)	/* goes above memory if it can */

/* Red Hat's generic bridge: no driver thinks that it has to work around something. */
static const struct pci_ids bridge_ids = {
	.vendor = 0x1b36, .device = 0x0008, .subvendor = 0x1af4, .subdevice = 0x1100, .class = 0x060000,
};

/**
 * struct pci_range - a BAR that is decoded
 * @start: first address
 * @bytes: length
 * @function: whose
 * @bar: which
 */
struct pci_range {
	uint64_t start;
	uint64_t bytes;
	struct pci_function *function;
	unsigned int bar;
};

/**
 * struct pci_bus - the bridge and its bus
 * @bridge: function 0 in slot 0
 * @map: where the windows are
 * @address: the register at 0xcf8
 * @slot: what is plugged in
 * @range: BARs that are decoded
 * @nr_ranges: how many
 * @low_used: of the low window, by pci_assign()
 * @high_used: of the high one
 * @asserted: for each line, the slots that hold it up
 * @line_fd: eventfd of pci_line_kick()
 */
struct pci_bus {
	struct pci_function bridge;
	struct pci_map map;
	uint32_t address;
	struct pci_function *slot[PCI_SLOTS];
	struct pci_range range[PCI_SLOTS * PCI_BARS];
	unsigned int nr_ranges;
	uint64_t low_used;
	uint64_t high_used;
	uint32_t asserted[PCI_LINES];
	int line_fd;
};

/* ---- Configuration space ---- */

static uint32_t config_read(struct pci_bus *bus, unsigned int slot, unsigned int offset,
			    unsigned int size)
{
	if (!bus->slot[slot])
		return ~0U;
	return pci_config_read(bus->slot[slot], offset, size);
}

static void config_write(struct pci_bus *bus, unsigned int slot, unsigned int offset,
			 unsigned int size, uint32_t value)
{
	if (bus->slot[slot])
		pci_config_write(bus->slot[slot], offset, size, value);
}

/* Does the address register name function 0 of a slot on bus 0? */
static bool addressed(const struct pci_bus *bus)
{
	return bus->address & ADDRESS_ENABLE && !(bus->address & 0x00ff0700);
}

/**
 * pci_port_read() - read of 0xcf8 to 0xcff
 * @bus: the bus
 * @offset: from 0xcf8
 * @size: 1, 2 or 4 bytes
 *
 * The address register is there for accesses of four bytes only.
 *
 * Return: what is there.
 */
uint64_t pci_port_read(struct pci_bus *bus, unsigned int offset, unsigned int size)
{
	if (offset == 0 && size == 4)
		return bus->address;
	if (offset < DATA_OFFSET || !addressed(bus))
		return ~0ULL;
	return config_read(bus, bus->address >> 11 & 31,
			   (bus->address & 0xfc) + offset - DATA_OFFSET, size);
}

/**
 * pci_port_write() - write to 0xcf8 to 0xcff
 * @bus: the bus
 * @offset: from 0xcf8
 * @size: 1, 2 or 4 bytes
 * @value: what
 */
void pci_port_write(struct pci_bus *bus, unsigned int offset, unsigned int size, uint64_t value)
{
	if (offset == 0 && size == 4)
		bus->address = (uint32_t)value & ADDRESS_BITS;
	else if (offset >= DATA_OFFSET && addressed(bus))
		config_write(bus, bus->address >> 11 & 31,
			     (bus->address & 0xfc) + offset - DATA_OFFSET, size, (uint32_t)value);
}

/* These functions are not PCI Express: nothing is beyond the first 256 bytes. */
static bool ecam_valid(uint64_t offset, unsigned int size)
{
	return !(offset & FUNCTION_MASK) && (offset & 0xfff) + size <= PCI_CONFIG;
}

static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned int size)
{
	if (!ecam_valid(offset, size))
		return ~0ULL;
	return config_read(opaque, (unsigned int)(offset >> SLOT_SHIFT), offset & 0xff, size);
}

static void ecam_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	if (ecam_valid(offset, size))
		config_write(opaque, (unsigned int)(offset >> SLOT_SHIFT), offset & 0xff, size,
			     (uint32_t)value);
}

static const struct bus_ops ecam_ops = { ecam_read, ecam_write, 4 };

/* ---- Windows ---- */

/**
 * pci_in_window() - may a BAR be heard there?
 * @bus: the bus
 * @start: its first address
 * @bytes: its length, not 0
 *
 * Return: true if all of it is in one window.
 */
bool pci_in_window(const struct pci_bus *bus, uint64_t start, uint64_t bytes)
{
	const struct pci_map *map = &bus->map;

	if (start >= PCI_LOW_BASE && start - PCI_LOW_BASE <= PCI_LOW_BYTES)
		return bytes <= PCI_LOW_BYTES - (start - PCI_LOW_BASE);
	if (start >= map->high_base && start - map->high_base <= map->high_bytes)
		return bytes <= map->high_bytes - (start - map->high_base);
	return false;
}

/**
 * pci_decode() - BARs or command registers have changed
 * @bus: the bus
 */
void pci_decode(struct pci_bus *bus)
{
	unsigned int slot, bar;
	uint64_t start;

	bus->nr_ranges = 0;
	for (slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_function *function = bus->slot[slot];

		for (bar = 0; function && bar < PCI_BARS; bar++)
			if (function->bar[bar].bytes && pci_bar_range(function, bar, &start))
				bus->range[bus->nr_ranges++] = (struct pci_range){
					start, function->bar[bar].bytes, function, bar,
				};
	}
}

/* The BAR that has all of the access. */
static const struct pci_range *find(const struct pci_bus *bus, uint64_t addr, unsigned int size)
{
	unsigned int i;

	for (i = 0; i < bus->nr_ranges; i++) {
		const struct pci_range *range = &bus->range[i];

		if (addr >= range->start && addr - range->start < range->bytes)
			return size <= range->bytes - (addr - range->start) ? range : NULL;
	}
	return NULL;
}

static uint64_t window_read(struct pci_bus *bus, uint64_t addr, unsigned int size)
{
	const struct pci_range *range = find(bus, addr, size);

	if (!range)
		return ~0ULL;
	return range->function->ops->bar_read(range->function, range->bar, addr - range->start,
					      size);
}

static void window_write(struct pci_bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	const struct pci_range *range = find(bus, addr, size);

	if (range)
		range->function->ops->bar_write(range->function, range->bar, addr - range->start,
						size, value);
}

static uint64_t low_read(void *opaque, uint64_t offset, unsigned int size)
{
	return window_read(opaque, PCI_LOW_BASE + offset, size);
}

static void low_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	window_write(opaque, PCI_LOW_BASE + offset, size, value);
}

static uint64_t high_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pci_bus *bus = opaque;

	return window_read(bus, bus->map.high_base + offset, size);
}

static void high_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pci_bus *bus = opaque;

	window_write(bus, bus->map.high_base + offset, size, value);
}

static const struct bus_ops low_ops = { low_read, low_write, 8 };
static const struct bus_ops high_ops = { high_read, high_write, 8 };

static int take(uint64_t base, uint64_t room, uint64_t *used, uint64_t bytes, uint64_t *out)
{
	uint64_t at = ALIGN_UP(base + *used, bytes) - base;

	if (at > room || bytes > room - at)
		return -ENOSPC;
	*used = at + bytes;
	*out = base + at;
	return 0;
}

/**
 * pci_assign() - find an address for a BAR, as firmware does
 * @bus: the bus
 * @bar: what it is like
 * @out: the address
 *
 * Return: 0, or -ENOSPC.
 */
int pci_assign(struct pci_bus *bus, const struct pci_bar *bar, uint64_t *out)
{
	const struct pci_map *map = &bus->map;
	int r = -ENOSPC;

	if (bar->wide && bar->bytes >= LARGE_BAR)
		r = take(map->high_base, map->high_bytes, &bus->high_used, bar->bytes, out);
	if (r)
		r = take(PCI_LOW_BASE, PCI_LOW_BYTES, &bus->low_used, bar->bytes, out);
	if (r && bar->wide)
		r = take(map->high_base, map->high_bytes, &bus->high_used, bar->bytes, out);
	return r;
}

/* ---- Interrupt lines ---- */

/**
 * pci_set_line() - a function's INTA
 * @function: the function
 * @level: it wants an interrupt; whether that is heard, its command register and MSI-X say
 */
void pci_set_line(struct pci_function *function, bool level)
{
	struct pci_bus *bus = function->bus;
	struct board *board = function->device.board;
	unsigned int line = function->slot % PCI_LINES, i;
	uint32_t before = bus->asserted[line];
	bool isa = false;

	function->line = level;
	if (level)
		function->config[PCI_STATUS] |= PCI_STATUS_INTX;
	else
		function->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
	if (level && !(pci_command(function) & PCI_COMMAND_NO_INTX))
		bus->asserted[line] |= BIT(function->slot);
	else
		bus->asserted[line] &= ~BIT(function->slot);
	if (!before == !bus->asserted[line])
		return;
	vireo_irq_set(board, PCI_FIRST_GSI + line, bus->asserted[line]);
	for (i = line & 1; i < PCI_LINES; i += 2)
		isa |= bus->asserted[i];
	if (board->pic.set)
		board->pic.set(board->pic.opaque, PIC_IRQ + (line & 1), isa);
}

/**
 * pci_line_kick() - some function's line may have to change; any thread, with any lock
 * @bus: the bus
 *
 * The thread that waits for pci_line_fd() calls pci_line_ready(), which asks the functions.
 */
void pci_line_kick(struct pci_bus *bus)
{
	uint64_t one = 1;

	/* It can only fail by being readable already. */
	if (write(bus->line_fd, &one, sizeof(one)) < 0)
		one = 0;
}

/**
 * pci_line_fd() - what becomes readable by pci_line_kick()
 * @bus: the bus
 *
 * Return: a file descriptor.
 */
int pci_line_fd(const struct pci_bus *bus)
{
	return bus->line_fd;
}

/**
 * pci_line_ready() - set all lines to what their functions want
 * @bus: the bus
 */
void pci_line_ready(struct pci_bus *bus)
{
	unsigned int slot;
	uint64_t count;

	/* Before the functions are asked: what comes later is a kick of its own. */
	if (read(bus->line_fd, &count, sizeof(count)) < 0)
		return;
	for (slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_function *function = bus->slot[slot];

		if (function && function->ops && function->ops->line)
			pci_set_line(function, function->ops->line(function));
	}
}

/* ---- The bus ---- */

/**
 * pci_attach() - give a function a slot
 * @bus: the bus
 * @function: the function
 *
 * Return: 0, or -ENOSPC.
 */
int pci_attach(struct pci_bus *bus, struct pci_function *function)
{
	unsigned int slot;

	for (slot = 0; slot < PCI_SLOTS; slot++) {
		if (bus->slot[slot])
			continue;
		function->bus = bus;
		function->slot = slot;
		bus->slot[slot] = function;
		if (slot) {
			function->config[PCI_IRQ_PIN] = 1;
			function->config[PCI_IRQ_LINE] = (uint8_t)(PIC_IRQ + slot % 2);
		}
		return 0;
	}
	return -ENOSPC;
}

/**
 * pci_detach() - take a function off; before it is freed
 * @function: the function
 */
void pci_detach(struct pci_function *function)
{
	struct pci_bus *bus = function->bus;

	if (bus)
		bus->slot[function->slot] = NULL;
}

static void reset(struct device *device)
{
	struct pci_bus *bus = container_of(device, struct pci_bus, bridge.device);

	bus->address = 0;
	pci_function_reset(&bus->bridge);
	/* The interrupts of PCI are levels, and firmware tells the 8259s. */
	bus_write(&device->board->pio, ELCR2_PORT, 1, BIT(PIC_IRQ - 8) | BIT(PIC_IRQ + 1 - 8));
}

static void destroy(struct device *device)
{
	struct pci_bus *bus = container_of(device, struct pci_bus, bridge.device);
	unsigned int slot;

	/* Functions are destroyed later. */
	for (slot = 0; slot < PCI_SLOTS; slot++)
		if (bus->slot[slot])
			bus->slot[slot]->bus = NULL;
	device->board->pci = NULL;
	close(bus->line_fd);
	free(bus);
}

static const struct state_field state_fields[] = {
	STATE_BYTES(struct pci_bus, bridge.config),
	STATE_FIELD(struct pci_bus, address),
	STATE_END
};

static int state_check(const void *device, const void *loaded)
{
	const struct pci_bus *bus = device, *new = loaded;

	return pci_config_possible(&bus->bridge, new->bridge.config) &&
	       !(new->address & ~ADDRESS_BITS) ? 0 : -EINVAL;
}

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct pci_bus),
	.fields = state_fields,
	.check = state_check,
};

static const struct device_ops host_device_ops = { .reset = reset, .destroy = destroy, .state = &state };

/**
 * pci_map() - choose the window above memory
 * @memory_end: where the guest's memory ends
 * @phys_bits: address bits of its processor
 *
 * Return: the map.
 */
struct pci_map pci_map(uint64_t memory_end, unsigned int phys_bits)
{
	uint64_t end = phys_bits < 52 ? 1ULL << phys_bits : 1ULL << 52;
	struct pci_map map = { 0 };

	if (memory_end < 1ULL << 32)
		memory_end = 1ULL << 32;
	map.high_base = ALIGN_UP(memory_end, PCI_HIGH_ALIGN);
	if (map.high_base < end)
		map.high_bytes = end - map.high_base;
	if (map.high_bytes > PCI_HIGH_BYTES)
		map.high_bytes = PCI_HIGH_BYTES;
	return map;
}

/**
 * pci_create() - plug in the host bridge; after the 8259s
 * @board: the board
 * @map: where BARs may be
 *
 * Return: 0, or a negative errno.
 */
int pci_create(struct board *board, const struct pci_map *map)
{
	struct pci_bus *bus = calloc(1, sizeof(*bus));
	int r;

	if (!bus)
		return -ENOMEM;
	bus->map = *map;
	bus->line_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bus->line_fd < 0) {
		r = -errno;
		free(bus);
		return r;
	}
	board->pci = bus;
	pci_function_init(&bus->bridge, &bridge_ids, NULL);
	pci_plug(board, &bus->bridge, "pci-host", &host_device_ops);
	reset(&bus->bridge.device);
	r = bus_claim(&board->mmio, PCI_ECAM_BASE, PCI_ECAM_BYTES, &ecam_ops, bus);
	if (!r)
		r = bus_claim(&board->mmio, PCI_LOW_BASE, PCI_LOW_BYTES, &low_ops, bus);
	if (!r && map->high_bytes)
		r = bus_claim(&board->mmio, map->high_base, map->high_bytes, &high_ops, bus);
	return r;
}

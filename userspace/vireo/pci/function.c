// SPDX-License-Identifier: GPL-2.0-only
/*
 * A function's configuration space: bytes, and which bits of them the guest may change.
 *
 * So BARs need no code to be sized: the bits below their size are not writable.
 */
#include <errno.h>
#include <string.h>

#include "msix.h"
#include "pci.h"
#include "../util.h"

#define BAR_WIDE		4U
#define BAR_PREFETCHABLE	8U
#define BAR_FLAGS		0xfU
#define CAP_NEXT		1

static void put(struct pci_function *function, unsigned int at, uint32_t value, unsigned int bytes)
{
	memcpy(&function->config[at], &value, bytes);
}

/**
 * pci_function_init() - an empty function: no BARs, no capabilities
 * @function: to be initialised; its @device is left alone
 * @ids: what it is
 * @ops: what it does
 */
void pci_function_init(struct pci_function *function, const struct pci_ids *ids,
		       const struct pci_ops *ops)
{
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
			   PCI_COMMAND_SERR | PCI_COMMAND_NO_INTX;

	memset(function->config, 0, sizeof(function->config));
	memset(function->writable, 0, sizeof(function->writable));
	memset(function->bar, 0, sizeof(function->bar));
	function->ops = ops;
	function->next_cap = PCI_FIRST_FREE;
	function->last_cap = 0;
	function->line = false;
	function->msix = NULL;
	put(function, PCI_VENDOR, ids->vendor, 2);
	put(function, PCI_DEVICE, ids->device, 2);
	put(function, PCI_CLASS, ids->class, 3);
	put(function, PCI_REVISION, ids->revision, 1);
	put(function, PCI_SUBVENDOR, ids->subvendor, 2);
	put(function, PCI_SUBDEVICE, ids->subdevice, 2);
	memcpy(&function->writable[PCI_COMMAND], &command, sizeof(command));
	function->writable[PCI_IRQ_LINE] = 0xff;
}

/**
 * pci_add_bar() - a memory BAR; before pci_plug()
 * @function: the function
 * @nr: which
 * @bar: what it is like; at least 16 bytes
 */
void pci_add_bar(struct pci_function *function, unsigned int nr, const struct pci_bar *bar)
{
	uint64_t mask = ~(bar->bytes - 1);

	function->bar[nr] = *bar;
	function->config[PCI_BAR(nr)] = (uint8_t)((bar->wide ? BAR_WIDE : 0) |
						  (bar->prefetchable ? BAR_PREFETCHABLE : 0));
	memcpy(&function->writable[PCI_BAR(nr)], &mask, bar->wide ? 8 : 4);
}

/**
 * pci_add_cap() - a capability; before pci_plug()
 * @function: the function
 * @id: what it is
 * @bytes: how long, with its header of two bytes
 *
 * Return: where it is in configuration space. There is room for those that functions here have.
 */
unsigned int pci_add_cap(struct pci_function *function, uint8_t id, unsigned int bytes)
{
	uint8_t at = function->next_cap;

	function->config[at] = id;
	function->config[function->last_cap ? function->last_cap + CAP_NEXT : PCI_CAPABILITIES] = at;
	function->config[PCI_STATUS] |= PCI_STATUS_CAPS;
	function->last_cap = at;
	function->next_cap = (uint8_t)(at + ((bytes + 3) & ~3U));
	return at;
}

/**
 * pci_bar_range() - where a BAR is
 * @function: the function
 * @nr: which; there is one
 * @start: its first address
 *
 * Return: true if the function answers there.
 */
bool pci_bar_range(const struct pci_function *function, unsigned int nr, uint64_t *start)
{
	const struct pci_bar *bar = &function->bar[nr];
	uint64_t address = get_le32(&function->config[PCI_BAR(nr)]) & ~BAR_FLAGS;

	if (bar->wide)
		address |= (uint64_t)get_le32(&function->config[PCI_BAR(nr + 1)]) << 32;
	*start = address;
	return pci_command(function) & PCI_COMMAND_MEMORY &&
	       pci_in_window(function->bus, address, bar->bytes);
}

static void changed(struct pci_function *function)
{
	pci_decode(function->bus);
	if (function->msix)
		pci_msix_changed(function->msix);
	if (function->ops && function->ops->changed)
		function->ops->changed(function);
	pci_set_line(function, function->line);
}

/**
 * pci_config_read() - read configuration space
 * @function: the function
 * @offset: where
 * @size: 1, 2 or 4 bytes, all of them in the first 256
 *
 * Return: what is there.
 */
uint32_t pci_config_read(struct pci_function *function, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	if (function->ops && function->ops->config_read)
		function->ops->config_read(function, offset, size);
	memcpy(&value, &function->config[offset], size);
	return value;
}

/**
 * pci_config_write() - write configuration space
 * @function: the function
 * @offset: where
 * @size: 1, 2 or 4 bytes, all of them in the first 256
 * @value: what
 */
void pci_config_write(struct pci_function *function, unsigned int offset, unsigned int size,
		      uint32_t value)
{
	const struct pci_msix *msix = function->msix;
	bool matters = false;
	unsigned int i;

	for (i = 0; i < size; i++) {
		uint8_t *byte = &function->config[offset + i], mask = function->writable[offset + i];
		uint8_t new = (uint8_t)((*byte & ~mask) | ((value >> (8 * i)) & mask));
		unsigned int at = offset + i;

		if (new != *byte && (at < PCI_STATUS || (at >= PCI_BAR(0) && at < PCI_BAR(PCI_BARS)) ||
				     (msix && at - msix->cap < 4)))
			matters = true;
		*byte = new;
	}
	if (matters)
		changed(function);
	if (function->ops && function->ops->config_written)
		function->ops->config_written(function, offset, size);
}

/**
 * pci_function_reset() - configuration space after power-on and firmware
 * @function: the function
 */
void pci_function_reset(struct pci_function *function)
{
	function->line = false;
	memcpy(function->config, function->initial, sizeof(function->config));
	if (function->msix)
		pci_msix_reset(function->msix);
	changed(function);
}

/**
 * pci_config_possible() - could configuration space be like that?
 * @function: the function
 * @config: what comes from outside
 *
 * Return: true if nothing differs but what a guest may change, and the state of the interrupt line.
 */
bool pci_config_possible(const struct pci_function *function, const uint8_t *config)
{
	unsigned int i;

	for (i = 0; i < PCI_CONFIG; i++) {
		uint8_t free = function->writable[i] | (i == PCI_STATUS ? PCI_STATUS_INTX : 0);

		if ((config[i] ^ function->initial[i]) & ~free)
			return false;
	}
	return true;
}

/**
 * pci_function_loaded() - configuration space, line and vectors were loaded: make the rest follow
 * @function: the function
 */
void pci_function_loaded(struct pci_function *function)
{
	changed(function);
}

/**
 * pci_plug() - put a function on the board's bus; from then on the board owns it
 * @board: the board
 * @function: the function, with BARs and capabilities
 * @name: of the device, for messages
 * @ops: of the device; its reset calls pci_function_reset(), its destroy pci_detach()
 *
 * Does the work of firmware: BARs have addresses and are decoded, the interrupt line register tells the line.
 *
 * Return: 0; -ENODEV if the board has no PCI bus; -ENOSPC if there is no slot or no room for the BARs. The
 * board does not own it then.
 */
int pci_plug(struct board *board, struct pci_function *function, const char *name,
	     const struct device_ops *ops)
{
	unsigned int i;
	uint64_t at;
	int r;

	if (!board->pci)
		return -ENODEV;
	function->device.board = board;
	for (i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &function->bar[i];

		if (!bar->bytes)
			continue;
		r = pci_assign(board->pci, bar, &at);
		if (r)
			return r;
		at |= function->config[PCI_BAR(i)];
		memcpy(&function->config[PCI_BAR(i)], &at, bar->wide ? 8 : 4);
	}
	r = pci_attach(board->pci, function);
	if (r)
		return r;
	put(function, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	memcpy(function->initial, function->config, sizeof(function->initial));
	board_plug(board, &function->device, name, ops);
	pci_decode(function->bus);
	return 0;
}

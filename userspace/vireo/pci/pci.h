/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI: a host bridge, one bus, and functions on it.
 *
 * Everything here is called with the board's lock held, but for what says "any thread".
 *
 * Addresses. Below 4 GiB, BARs live between 3 GiB, where low memory ends at the latest, and the
 * enhanced configuration space (ECAM); a second window begins above all memory. A guest may put a BAR
 * anywhere: outside the windows nobody hears it.
 *
 * Interrupt lines. INTA of slot n is line n % 8, which leads to pin 16 + n % 8 of the IOAPIC, and, for
 * guests without ACPI, to ISA interrupt 10 or 11 of the 8259s, as the interrupt line register says.
 */
#ifndef VIREO_PCI_H
#define VIREO_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "../board.h"

#define PCI_LOW_BASE	0xc0000000ULL
#define PCI_LOW_BYTES	0x20000000ULL
#define PCI_ECAM_BASE	0xe0000000ULL
#define PCI_ECAM_BYTES	0x100000ULL	/* bus 0 */
#define PCI_HIGH_ALIGN	0x40000000ULL
#define PCI_HIGH_BYTES	0x800000000ULL	/* at most */

#define PCI_SLOTS	32
#define PCI_CONFIG	256
#define PCI_BARS	6
#define PCI_LINES	8
#define PCI_FIRST_GSI	16

/* Configuration space: registers */
#define PCI_VENDOR	0x00
#define PCI_DEVICE	0x02
#define PCI_COMMAND	0x04
#define PCI_STATUS	0x06
#define PCI_REVISION	0x08
#define PCI_CLASS	0x09
#define PCI_HEADER	0x0e
#define PCI_BAR(n)	(0x10U + 4 * (n))
#define PCI_SUBVENDOR	0x2c
#define PCI_SUBDEVICE	0x2e
#define PCI_CAPABILITIES 0x34
#define PCI_IRQ_LINE	0x3c
#define PCI_IRQ_PIN	0x3d
#define PCI_FIRST_FREE	0x40		/* for capabilities */

#define PCI_COMMAND_MEMORY	0x0002
#define PCI_COMMAND_MASTER	0x0004
#define PCI_COMMAND_PARITY	0x0040
#define PCI_COMMAND_SERR	0x0100
#define PCI_COMMAND_NO_INTX	0x0400
#define PCI_STATUS_INTX		0x0008
#define PCI_STATUS_CAPS		0x0010

#define PCI_CAP_VENDOR	0x09
#define PCI_CAP_MSIX	0x11

struct pci_function;
struct pci_msix;

/**
 * struct pci_ops - what a function does
 * @bar_read: read of a BAR, @size 1, 2, 4 or 8 bytes that lie in it
 * @bar_write: likewise
 * @config_read: before @size bytes at @offset of configuration space are read: bring them up to date; may be NULL
 * @config_written: they were written; may be NULL
 * @changed: command register or BARs have changed; may be NULL
 * @line: after pci_line_kick(): what the interrupt line should be; may be NULL
 */
struct pci_ops {
	uint64_t (*bar_read)(struct pci_function *function, unsigned int bar, uint64_t offset,
			     unsigned int size);
	void (*bar_write)(struct pci_function *function, unsigned int bar, uint64_t offset,
			  unsigned int size, uint64_t value);
	void (*config_read)(struct pci_function *function, unsigned int offset, unsigned int size);
	void (*config_written)(struct pci_function *function, unsigned int offset,
			       unsigned int size);
	void (*changed)(struct pci_function *function);
	bool (*line)(struct pci_function *function);
};

/**
 * struct pci_bar - a base address register
 * @bytes: size, a power of two; 0: there is none
 * @wide: it is 64 bits wide and takes the next register, too
 * @prefetchable: reading has no side effects
 */
struct pci_bar {
	uint64_t bytes;
	bool wide;
	bool prefetchable;
};

/**
 * struct pci_function - the common part of all functions, first in theirs
 * @device: the board's part
 * @bus: where it is plugged in
 * @ops: see there
 * @slot: device number
 * @config: configuration space
 * @writable: bits of it that the guest may change
 * @initial: configuration space after a reset
 * @bar: its BARs
 * @next_cap: where the next capability has room
 * @last_cap: the latest, 0: none yet
 * @line: the function asserts its interrupt
 * @msix: its message-signalled interrupts, if it has any
 */
struct pci_function {
	struct device device;
	struct pci_bus *bus;
	const struct pci_ops *ops;
	unsigned int slot;
	uint8_t config[PCI_CONFIG];
	uint8_t writable[PCI_CONFIG];
	uint8_t initial[PCI_CONFIG];
	struct pci_bar bar[PCI_BARS];
	uint8_t next_cap;
	uint8_t last_cap;
	bool line;
	struct pci_msix *msix;
};

/**
 * struct pci_ids - what a function is
 * @vendor: vendor
 * @device: device
 * @subvendor: subsystem's vendor
 * @subdevice: subsystem
 * @class: class code, 24 bits
 * @revision: revision
 */
struct pci_ids {
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class;
	uint8_t revision;
};

/**
 * struct pci_map - windows that BARs may be in
 * @high_base: of the window above memory
 * @high_bytes: 0: there is none
 */
struct pci_map {
	uint64_t high_base;
	uint64_t high_bytes;
};

/* host.c */
struct pci_map pci_map(uint64_t memory_end, unsigned int phys_bits);
int pci_create(struct board *board, const struct pci_map *map);
uint64_t pci_port_read(struct pci_bus *bus, unsigned int offset, unsigned int size);
void pci_port_write(struct pci_bus *bus, unsigned int offset, unsigned int size, uint64_t value);
int pci_attach(struct pci_bus *bus, struct pci_function *function);
void pci_detach(struct pci_function *function);
int pci_assign(struct pci_bus *bus, const struct pci_bar *bar, uint64_t *out);
void pci_decode(struct pci_bus *bus);
bool pci_in_window(const struct pci_bus *bus, uint64_t start, uint64_t bytes);
void pci_set_line(struct pci_function *function, bool level);
void pci_line_kick(struct pci_bus *bus);
int pci_line_fd(const struct pci_bus *bus);
void pci_line_ready(struct pci_bus *bus);

/* The bus is a part of the board; its lines are known here for ACPI's sake, too. */
static inline unsigned int pci_slot_gsi(unsigned int slot)
{
	return PCI_FIRST_GSI + slot % PCI_LINES;
}

/* function.c */
void pci_function_init(struct pci_function *function, const struct pci_ids *ids,
		       const struct pci_ops *ops);
void pci_add_bar(struct pci_function *function, unsigned int nr, const struct pci_bar *bar);
unsigned int pci_add_cap(struct pci_function *function, uint8_t id, unsigned int bytes);
int pci_plug(struct board *board, struct pci_function *function, const char *name,
	     const struct device_ops *ops);
void pci_function_reset(struct pci_function *function);
void pci_function_loaded(struct pci_function *function);
bool pci_config_possible(const struct pci_function *function, const uint8_t *config);
bool pci_bar_range(const struct pci_function *function, unsigned int nr, uint64_t *start);
uint32_t pci_config_read(struct pci_function *function, unsigned int offset, unsigned int size);
void pci_config_write(struct pci_function *function, unsigned int offset, unsigned int size,
		      uint32_t value);

static inline uint16_t pci_command(const struct pci_function *function)
{
	return (uint16_t)(function->config[PCI_COMMAND] | function->config[PCI_COMMAND + 1] << 8);
}

static inline bool pci_master(const struct pci_function *function)
{
	return pci_command(function) & PCI_COMMAND_MASTER;
}

#endif /* VIREO_PCI_H */

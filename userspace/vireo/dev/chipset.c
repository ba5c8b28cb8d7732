// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port 0x92 (fast A20 and reset), port 0xcf9 (reset control), and 0xcf8-0xcff.
 *
 * The ports of PCI's configuration are the host bridge's; without one they give
 * all ones. The reset register lies among them, at a byte that a 32-bit access
 * to 0xcf8 does not mean.
 */
#include <errno.h>
#include <stdlib.h>

#include "chipset.h"
#include "../state.h"
#include "../util.h"
#include "../pci/pci.h"

#define PORT92_RESET	0x01
#define PORT92_A20	0x02

#define RCR_SYSTEM	0x02
#define RCR_CPU		0x04

#define CONFIG_PORT	0xcf8
#define RESET_OFFSET	(CHIPSET_RESET_PORT - CONFIG_PORT)

struct chipset {
	struct device device;
	uint8_t port92;
	uint8_t rcr;
};

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct chipset *chipset = opaque;

	(void)offset;
	(void)size;
	return chipset->port92;
}

static void port92_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct chipset *chipset = opaque;
	bool rises = value & PORT92_RESET && !(chipset->port92 & PORT92_RESET);

	(void)offset;
	(void)size;
	chipset->port92 = (uint8_t)value;
	if (rises)
		board_request(chipset->device.board, BOARD_RESET, 0);
}

static uint64_t config_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct chipset *chipset = opaque;

	if (offset == RESET_OFFSET && size == 1)
		return chipset->rcr;
	if (chipset->device.board->pci)
		return pci_port_read(chipset->device.board->pci, (unsigned int)offset, size);
	return ~0ULL;
}

static void config_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct chipset *chipset = opaque;
	struct pci_bus *pci = chipset->device.board->pci;
	bool rises;

	if (offset != RESET_OFFSET || size != 1) {
		if (pci)
			pci_port_write(pci, (unsigned int)offset, size, value);
		return;
	}
	rises = value & RCR_CPU && !(chipset->rcr & RCR_CPU);
	chipset->rcr = (uint8_t)value & (RCR_SYSTEM | RCR_CPU);
	if (rises)
		board_request(chipset->device.board, BOARD_RESET, 0);
}

static void reset(struct device *device)
{
	struct chipset *chipset = container_of(device, struct chipset, device);

	chipset->port92 = PORT92_A20;
	chipset->rcr = 0;
}

static void destroy(struct device *device)
{
	free(container_of(device, struct chipset, device));
}

static int check_state(const void *device, const void *loaded)
{
	const struct chipset *chipset = loaded;

	(void)device;
	return chipset->rcr & ~(RCR_SYSTEM | RCR_CPU) ? -EINVAL : 0;
}

static const struct state_field state_fields[] = {
	STATE_FIELD(struct chipset, port92),
	STATE_FIELD(struct chipset, rcr),
	STATE_END,
};

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct chipset),
	.fields = state_fields,
	.check = check_state,
};

static const struct device_ops chipset_device_ops = { .reset = reset, .destroy = destroy, .state = &state };
static const struct bus_ops port92_ops = { port92_read, port92_write, 1 };
static const struct bus_ops config_ops = { config_read, config_write, 4 };

/**
 * chipset_create() - plug in the ports
 * @board: the board
 *
 * Return: 0, or a negative errno.
 */
int chipset_create(struct board *board)
{
	struct chipset *chipset = calloc(1, sizeof(*chipset));
	int r;

	if (!chipset)
		return -ENOMEM;
	board_plug(board, &chipset->device, "chipset", &chipset_device_ops);
	reset(&chipset->device);
	r = bus_claim(&board->pio, 0x92, 1, &port92_ops, chipset);
	if (!r)
		r = bus_claim(&board->pio, CONFIG_PORT, 8, &config_ops, chipset);
	return r;
}

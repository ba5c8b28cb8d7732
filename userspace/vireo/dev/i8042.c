// SPDX-License-Identifier: GPL-2.0-only
/*
 * 8042 at ports 0x60 and 0x64: what guests use it for without a keyboard.
 *
 * That is the reset pulse (command 0xfe), the A20 gate (nothing to do: it is
 * always open), and finding out that no keyboard is there, which has to be
 * quick: a byte for a device is answered by a time-out at once. The FADT says
 * too that there is no 8042 worth a driver. Interrupts are never raised.
 */
#include <errno.h>
#include <stdlib.h>

#include "i8042.h"
#include "../state.h"
#include "../util.h"

#define STATUS_OUTPUT	0x01	/* a byte waits at port 0x60 */
#define STATUS_SYSTEM	0x04	/* the self-test has passed */
#define STATUS_COMMAND	0x08	/* last write was to port 0x64 */
#define STATUS_UNLOCKED	0x10
#define STATUS_AUX	0x20
#define STATUS_TIMEOUT	0x40

#define CMD_READ_RAM	0x20	/* to 0x3f */
#define CMD_WRITE_RAM	0x60	/* to 0x7f */
#define CMD_AUX_OFF	0xa7
#define CMD_AUX_ON	0xa8
#define CMD_AUX_TEST	0xa9
#define CMD_SELF_TEST	0xaa
#define CMD_KBD_TEST	0xab
#define CMD_KBD_OFF	0xad
#define CMD_KBD_ON	0xae
#define CMD_READ_INPUT	0xc0
#define CMD_READ_OUT	0xd0
#define CMD_WRITE_OUT	0xd1
#define CMD_ECHO_KBD	0xd2
#define CMD_ECHO_AUX	0xd3
#define CMD_TO_AUX	0xd4
#define CMD_PULSE	0xf0	/* to 0xff: bits that are 0 are pulsed */

#define RAM_BYTES	32
#define CTR_SYSTEM	0x04
#define CTR_KBD_OFF	0x10
#define CTR_AUX_OFF	0x20

#define OUT_NO_RESET	0x01
#define OUT_A20		0x02

#define SELF_TEST_OK	0x55
#define PORT_TEST_OK	0x00
#define TIMEOUT_BYTE	0xfe

struct i8042 {
	struct device device;
	uint8_t ram[RAM_BYTES];		/* byte 0 is the controller's command byte */
	uint8_t output;
	uint8_t data;
	uint8_t status;
	uint8_t command;		/* that waits for its byte; 0: none */
};

static void answer(struct i8042 *kbc, uint8_t byte, uint8_t flags)
{
	kbc->data = byte;
	kbc->status &= (uint8_t)~(STATUS_AUX | STATUS_TIMEOUT);
	kbc->status |= STATUS_OUTPUT | flags;
}

static void set_output(struct i8042 *kbc, uint8_t value)
{
	kbc->output = value;
	if (!(value & OUT_NO_RESET))
		board_request(kbc->device.board, BOARD_RESET, 0);
}

static void command(struct i8042 *kbc, uint8_t value)
{
	kbc->command = 0;
	if (value >= CMD_PULSE) {
		if (!(value & OUT_NO_RESET))
			board_request(kbc->device.board, BOARD_RESET, 0);
		return;
	}
	if (value >= CMD_READ_RAM && value < CMD_READ_RAM + RAM_BYTES) {
		answer(kbc, kbc->ram[value - CMD_READ_RAM], 0);
		return;
	}
	if (value >= CMD_WRITE_RAM && value < CMD_WRITE_RAM + RAM_BYTES) {
		kbc->command = value;
		return;
	}
	switch (value) {
	case CMD_AUX_OFF:
		kbc->ram[0] |= CTR_AUX_OFF;
		break;
	case CMD_AUX_ON:
		kbc->ram[0] &= (uint8_t)~CTR_AUX_OFF;
		break;
	case CMD_KBD_OFF:
		kbc->ram[0] |= CTR_KBD_OFF;
		break;
	case CMD_KBD_ON:
		kbc->ram[0] &= (uint8_t)~CTR_KBD_OFF;
		break;
	case CMD_AUX_TEST:
	case CMD_KBD_TEST:
		answer(kbc, PORT_TEST_OK, 0);
		break;
	case CMD_SELF_TEST:
		kbc->ram[0] |= CTR_SYSTEM;
		kbc->status |= STATUS_SYSTEM;
		answer(kbc, SELF_TEST_OK, 0);
		break;
	case CMD_READ_INPUT:
		answer(kbc, 0x80, 0);	/* keyboard not locked */
		break;
	case CMD_READ_OUT:
		answer(kbc, kbc->output, 0);
		break;
	case CMD_WRITE_OUT:
	case CMD_ECHO_KBD:
	case CMD_ECHO_AUX:
	case CMD_TO_AUX:
		kbc->command = value;
		break;
	}
}

static void data_byte(struct i8042 *kbc, uint8_t value)
{
	uint8_t waiting = kbc->command;

	kbc->command = 0;
	if (waiting >= CMD_WRITE_RAM && waiting < CMD_WRITE_RAM + RAM_BYTES) {
		kbc->ram[waiting - CMD_WRITE_RAM] = value;
		return;
	}
	switch (waiting) {
	case CMD_WRITE_OUT:
		set_output(kbc, value);
		break;
	case CMD_ECHO_KBD:
		answer(kbc, value, 0);
		break;
	case CMD_ECHO_AUX:
		answer(kbc, value, STATUS_AUX);
		break;
	case CMD_TO_AUX:
		answer(kbc, TIMEOUT_BYTE, STATUS_AUX | STATUS_TIMEOUT);
		break;
	default:
		answer(kbc, TIMEOUT_BYTE, STATUS_TIMEOUT);
	}
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct i8042 *kbc = opaque;

	(void)offset;
	(void)size;
	kbc->status &= (uint8_t)~(STATUS_OUTPUT | STATUS_AUX | STATUS_TIMEOUT);
	return kbc->data;
}

static void data_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct i8042 *kbc = opaque;

	(void)offset;
	(void)size;
	kbc->status &= (uint8_t)~STATUS_COMMAND;
	data_byte(kbc, (uint8_t)value);
}

static uint64_t status_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct i8042 *kbc = opaque;

	(void)offset;
	(void)size;
	return kbc->status;
}

static void command_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct i8042 *kbc = opaque;

	(void)offset;
	(void)size;
	kbc->status |= STATUS_COMMAND;
	command(kbc, (uint8_t)value);
}

static void reset(struct device *device)
{
	struct i8042 *kbc = container_of(device, struct i8042, device);

	memset(kbc->ram, 0, sizeof(kbc->ram));
	kbc->ram[0] = CTR_SYSTEM | CTR_KBD_OFF | CTR_AUX_OFF;
	kbc->output = OUT_NO_RESET | OUT_A20;
	kbc->data = 0;
	kbc->status = STATUS_SYSTEM | STATUS_UNLOCKED;
	kbc->command = 0;
}

static void destroy(struct device *device)
{
	free(container_of(device, struct i8042, device));
}

static int check_state(const void *device, const void *loaded)
{
	const struct i8042 *kbc = loaded;

	(void)device;
	if (kbc->status & ~(STATUS_OUTPUT | STATUS_SYSTEM | STATUS_COMMAND | STATUS_UNLOCKED | STATUS_AUX |
			    STATUS_TIMEOUT))
		return -EINVAL;
	if (kbc->command && (kbc->command < CMD_WRITE_RAM || kbc->command >= CMD_WRITE_RAM + RAM_BYTES) &&
	    (kbc->command < CMD_WRITE_OUT || kbc->command > CMD_TO_AUX))
		return -EINVAL;
	return 0;
}

static const struct state_field state_fields[] = {
	STATE_BYTES(struct i8042, ram),
	STATE_FIELD(struct i8042, output),
	STATE_FIELD(struct i8042, data),
	STATE_FIELD(struct i8042, status),
	STATE_FIELD(struct i8042, command),
	STATE_END,
};

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct i8042),
	.fields = state_fields,
	.check = check_state,
};

static const struct device_ops i8042_device_ops = { .reset = reset, .destroy = destroy, .state = &state };
static const struct bus_ops data_ops = { data_read, data_write, 1 };
static const struct bus_ops command_ops = { status_read, command_write, 1 };

/**
 * i8042_create() - plug in the controller
 * @board: the board
 *
 * Return: 0, or a negative errno.
 */
int i8042_create(struct board *board)
{
	struct i8042 *kbc = calloc(1, sizeof(*kbc));
	int r;

	if (!kbc)
		return -ENOMEM;
	board_plug(board, &kbc->device, "i8042", &i8042_device_ops);
	reset(&kbc->device);
	r = bus_claim(&board->pio, 0x60, 1, &data_ops, kbc);
	if (!r)
		r = bus_claim(&board->pio, 0x64, 1, &command_ops, kbc);
	return r;
}

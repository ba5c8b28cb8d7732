// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any sequence of accesses, interrupts and time on a whole board.
 *
 * Four or more bytes an operation. Nothing may crash, hang, reach memory that
 * is not the guest's, or leave the list of timers in disorder.
 */
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "../vireo/util.h"
#include "../vireo/dev/acpi_pm.h"
#include "../vireo/dev/chipset.h"
#include "../vireo/dev/debug.h"
#include "../vireo/dev/fw_cfg.h"
#include "../vireo/dev/i8042.h"
#include "../vireo/dev/ioapic.h"
#include "../vireo/dev/pic.h"
#include "../vireo/dev/pit.h"
#include "../vireo/dev/rtc.h"
#include "../vireo/dev/testdev.h"
#include "../vireo/dev/uart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint16_t ports[] = {
	0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x60,
	0x64, 0x92, 0xcf8, 0xcf9, 0xcfc, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe,
	0x3ff, 0x510, 0x511, 0x514, 0x518, 0x600, 0x602, 0x604, 0x608, 0xe0, 0xe4, 0xe8, 0xf4,
	0x2000, 0x2008, 0x2017,
};

static struct rig rig;
static bool slow;

static size_t send(void *opaque, const uint8_t *bytes, size_t n)
{
	(void)opaque;
	(void)bytes;
	return slow ? n / 2 : n;
}

static size_t receive(void *opaque, uint8_t *bytes, size_t n)
{
	(void)opaque;
	memset(bytes, 'x', n);
	return slow ? 0 : n;
}

static uint64_t wall_clock(void)
{
	return 1700000000ULL * NSEC_PER_SEC + rig.now;
}

static void check_timers(void)
{
	const struct timer *timer;
	unsigned int n = 0;

	for (timer = rig.board.timers.head; timer; timer = timer->next) {
		if (!timer->armed || ++n > 100 ||
		    (timer->next && timer->next->deadline < timer->deadline))
			abort();
	}
}

static void pass(uint64_t ns)
{
	unsigned int fired = 0;

	/* Not every tick of a fast timer: the fuzzer's time is better spent. */
	while (rig.board.timers.head && rig.board.timers.head->deadline <= rig.now + ns &&
	       fired++ < 50) {
		uint64_t at = rig.board.timers.head->deadline;

		if (at > rig.now) {
			ns -= at - rig.now;
			rig.now = at;
		}
		timers_run(&rig.board.timers);
	}
	rig.now += ns;
	timers_run(&rig.board.timers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct uart_line line = { send, receive, NULL };
	struct fw_cfg *fw_cfg;
	struct ioapic *ioapic;
	struct acpi_pm *pm;
	struct uart *uart;
	struct pic *pic;
	size_t at;

	rig_init(&rig, 2 * MIB);
	slow = false;
	if (pic_create(&rig.board, &pic) || ioapic_create(&rig.board, 0, &ioapic) ||
	    pit_create(&rig.board) || rtc_create(&rig.board, wall_clock) ||
	    acpi_pm_create(&rig.board, &pm) || i8042_create(&rig.board) ||
	    chipset_create(&rig.board) || uart_create(&rig.board, 0x3f8, 4, &line, &uart) ||
	    fw_cfg_create(&rig.board, 4, &fw_cfg) || testdev_create(&rig.board) ||
	    debug_exit_create(&rig.board, 0xf4) ||
	    fw_cfg_add_file(fw_cfg, "opt/file", "content", 7))
		abort();

	for (at = 0; at + 8 <= size; at += 8) {
		uint8_t op = data[at], width = 1 << (data[at + 1] & 3);
		uint16_t port = ports[data[at + 2] % ARRAY_SIZE(ports)];
		uint32_t value = get_le32(data + at + 4);

		if (data[at + 1] & 0x80)
			port = get_le16(data + at + 2);
		switch (op % 12) {
		case 0:
		case 1:
			bus_write(&rig.board.pio, port, width > 4 ? 4 : width, value);
			break;
		case 2:
			bus_read(&rig.board.pio, port, width > 4 ? 4 : width);
			break;
		case 3:
			bus_write(&rig.board.mmio, IOAPIC_BASE + data[at + 2], width, value);
			break;
		case 4:
			bus_read(&rig.board.mmio, IOAPIC_BASE + data[at + 2], width);
			bus_read(&rig.board.mmio, (uint64_t)value << 8 | data[at + 3], width);
			break;
		case 5:
			pass(value);
			break;
		case 6:
			pass((uint64_t)value << 16);
			break;
		case 7:
			pic_acknowledge(pic);
			break;
		case 8:
			ioapic_eoi(ioapic, data[at + 2]);
			break;
		case 9:
			vireo_irq_set(&rig.board, data[at + 2] % 32, data[at + 3] & 1);
			break;
		case 10:
			slow = data[at + 2] & 1;
			uart_readable(uart);
			uart_writable(uart);
			acpi_pm_power_button(pm);
			break;
		case 11:
			if (data[at + 2] == 77)
				board_reset(&rig.board);
			bus_write(&rig.board.mmio, TESTDEV_MMIO + get_le16(data + at + 2), width,
				  value);
			break;
		}
		check_timers();
	}
	rig_destroy(&rig);
	return 0;
}

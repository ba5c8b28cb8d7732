// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory, bus, timers, numbers, and the small devices. */
#include <errno.h>
#include <string.h>

#include "rig.h"
#include "tap.h"
#include "../vireo/cpuid.h"
#include "../vireo/util.h"
#include "../vireo/dev/acpi_pm.h"
#include "../vireo/dev/chipset.h"
#include "../vireo/dev/debug.h"
#include "../vireo/dev/i8042.h"
#include "../vireo/dev/testdev.h"

static struct rig rig;

static void test_memory(void)
{
	struct guest_memory memory;
	char text[8] = "";

	is(memory_alloc(&memory, 4096), -EINVAL, "too little memory");
	is(memory_alloc(&memory, 4 * MIB + 1), -EINVAL, "not a multiple of pages");
	is(memory_alloc(&memory, 4 * GIB), 0, "4 GiB");
	is(memory.nr, 2, "in two pieces");
	is(memory_low_bytes(&memory), 3 * GIB, "three below");
	is((uintptr_t)memory.piece[1].hva % (2 * MIB), 0, "aligned for huge pages");
	ok(memory_ptr(&memory, 0, 3 * GIB), "the whole first piece");
	ok(!memory_ptr(&memory, 0, 3 * GIB + 1), "one more byte");
	ok(!memory_ptr(&memory, 3 * GIB, 1), "the hole");
	ok(memory_ptr(&memory, 3 * GIB, 0), "nothing, at the end");
	ok(memory_ptr(&memory, 5 * GIB - 1, 1), "the last byte");
	ok(!memory_ptr(&memory, 5 * GIB - 1, 2), "and beyond");
	ok(!memory_ptr(&memory, UINT64_MAX, 2), "a range that wraps");
	ok(!memory_ptr(&memory, 4 * GIB, UINT64_MAX), "a length that wraps");
	is(memory_write(&memory, 4 * GIB, "vireo", 6), 0, "write");
	is(memory_read(&memory, 4 * GIB, text, 6), 0, "read");
	is(strcmp(text, "vireo"), 0, "back");
	is(memory_write(&memory, 3 * GIB - 2, "vireo", 6), -EFAULT, "write into the hole");
	memory_read(&memory, 3 * GIB - 2, text, 2);
	is(text[0], 0, "nothing of it was written");
	memory_clear(&memory);
	memory_read(&memory, 4 * GIB, text, 6);
	is(text[0], 0, "cleared");
	memory_free(&memory);
}

static uint64_t log_read(void *opaque, uint64_t offset, unsigned int size)
{
	(void)opaque;
	return offset << 4 | size;
}

static unsigned int writes;
static uint64_t last_write[4];

static void log_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)opaque;
	last_write[0] = offset;
	last_write[1] = size;
	last_write[2] = value;
	writes++;
}

static void test_bus(void)
{
	static const struct bus_ops byte = { log_read, log_write, 1 };
	static const struct bus_ops word = { log_read, log_write, 4 };
	static const struct bus_ops deaf = { NULL, NULL, 4 };
	struct bus bus = { 0 };
	unsigned int i;

	is(bus_claim(&bus, 0x100, 8, &byte, NULL), 0, "claim");
	is(bus_claim(&bus, 0x107, 1, &byte, NULL), -EEXIST, "its last port");
	is(bus_claim(&bus, 0xf9, 8, &byte, NULL), -EEXIST, "its first port");
	is(bus_claim(&bus, 0x80, 0x1000, &byte, NULL), -EEXIST, "all around it");
	is(bus_claim(&bus, 0x108, 4, &word, NULL), 0, "right behind");
	is(bus_claim(&bus, 0xf8, 8, &deaf, NULL), 0, "right before");
	is(bus_claim(&bus, 0, 0, &byte, NULL), -EINVAL, "nothing");
	is(bus_claim(&bus, UINT64_MAX, 2, &byte, NULL), -EINVAL, "a range that wraps");
	is(bus_read(&bus, 0x101, 1), 0x11, "read");
	is(bus_read(&bus, 0x101, 4), 0x41312111, "a wide read of a narrow device");
	is(bus_read(&bus, 0x108, 4), 0x04, "a wide read of a wide device");
	is(bus_read(&bus, 0x106, 4), 0x00027161, "a read across two devices");
	is(bus_read(&bus, 0x10a, 4), 0xffff0022, "a read over the end: ones");
	is(bus_read(&bus, 0x5000, 2), 0xffff, "nobody: ones");
	is(bus_read(&bus, 0xf8, 4), 0xffffffff, "a device that cannot be read: ones");
	bus_write(&bus, 0x102, 2, 0xbbaa);
	is(writes, 2, "a wide write of a narrow device is two");
	is(last_write[2], 0xbb, "lowest address first");
	bus_write(&bus, 0x5000, 4, 1);
	is(writes, 2, "nobody: nothing");
	is(bus_read(&bus, 0xffffffffffffffffULL, 8), UINT64_MAX, "the last address");
	for (i = bus.nr; i < BUS_RANGES_MAX; i++)
		bus_claim(&bus, 0x10000 + i, 1, &byte, NULL);
	is(bus_claim(&bus, 0x20000, 1, &byte, NULL), -ENOSPC, "a full bus");
}

static struct timer timers[3];
static unsigned int fired[3];
static int mode;

static void fire(void *opaque)
{
	unsigned int which = (unsigned int)(uintptr_t)opaque;

	fired[which]++;
	if (which == 0 && mode == 1)
		timer_cancel(&rig.board.timers, &timers[1]);
	if (which == 0 && mode == 2)
		timer_arm(&rig.board.timers, &timers[0], 0);
	if (which == 0 && mode == 3)
		timer_arm(&rig.board.timers, &timers[1], rig.now + 1000);
}

static void test_timers(void)
{
	unsigned int i;

	rig_init(&rig, 0);
	for (i = 0; i < 3; i++)
		timer_init(&timers[i], fire, (void *)(uintptr_t)i);
	timer_arm(&rig.board.timers, &timers[0], rig.now + 30);
	timer_arm(&rig.board.timers, &timers[1], rig.now + 10);
	timer_arm(&rig.board.timers, &timers[2], rig.now + 20);
	ok(rig.board.timers.head == &timers[1], "in the order of deadlines");
	rig_advance(&rig, 20);
	is(fired[0] * 100 + fired[1] * 10 + fired[2], 11, "two are due");
	timer_arm(&rig.board.timers, &timers[0], rig.now + 100);
	rig_advance(&rig, 50);
	is(fired[0], 0, "moved");
	timer_cancel(&rig.board.timers, &timers[0]);
	timer_cancel(&rig.board.timers, &timers[0]);
	rig_advance(&rig, 100);
	is(fired[0], 0, "cancelled");

	mode = 1;
	fired[1] = 0;
	timer_arm(&rig.board.timers, &timers[0], rig.now);
	timer_arm(&rig.board.timers, &timers[1], rig.now);
	timers_run(&rig.board.timers);
	is(fired[0] * 10 + fired[1], 10, "one that is due is cancelled by another");

	mode = 2;
	fired[0] = 0;
	timer_arm(&rig.board.timers, &timers[0], 0);
	timers_run(&rig.board.timers);
	is(fired[0], 1, "one that arms itself in the past waits for the next call");
	timers_run(&rig.board.timers);
	is(fired[0], 2, "and fires then");
	timer_cancel(&rig.board.timers, &timers[0]);

	mode = 3;
	fired[0] = fired[1] = fired[2] = 0;
	for (i = 0; i < 3; i++)
		timer_arm(&rig.board.timers, &timers[i], rig.now);
	timers_run(&rig.board.timers);
	is(fired[0] * 100 + fired[1] * 10 + fired[2], 101,
	   "one that is due is moved by another, and the rest still fire");
	rig_destroy(&rig);
}

static void test_numbers(void)
{
	uint64_t v;

	is(parse_size("512", MIB, &v), 0, "a size without suffix");
	is(v, 512 * MIB, "in the unit");
	parse_size("2g", MIB, &v);
	is(v, 2 * GIB, "a suffix");
	is(parse_size("2GB", MIB, &v), -EINVAL, "garbage behind");
	is(parse_size("", MIB, &v), -EINVAL, "nothing");
	is(parse_size("-1", MIB, &v), -EINVAL, "negative");
	is(parse_size("99999999999999999999", MIB, &v), -ERANGE, "too many digits");
	is(parse_size("99999999999T", MIB, &v), -ERANGE, "overflow by the unit");
	is(parse_number("0xf4", 0xffff, &v), 0, "hexadecimal");
	is(v, 0xf4, "value");
	is(parse_number("70000", 0xffff, &v), -ERANGE, "too large");
	is(parse_number("12x", 0xffff, &v), -EINVAL, "garbage");
	is(muldiv64(UINT64_MAX, 1000, UINT64_MAX), 1000, "128-bit product");
}

static void test_acpi_pm(void)
{
	struct acpi_pm *pm;
	uint64_t a;

	rig_init(&rig, 0);
	rig_lines(&rig);
	acpi_pm_create(&rig.board, &pm);
	a = bus_read(&rig.board.pio, 0x608, 4);
	rig_advance(&rig, 1000000000);
	is(bus_read(&rig.board.pio, 0x608, 4) - a, 3579545, "the timer's frequency");
	is(bus_read(&rig.board.pio, 0x604, 2), 1, "ACPI mode is on");
	bus_write(&rig.board.pio, 0x602, 2, 0xffff);
	is(bus_read(&rig.board.pio, 0x602, 2), 0x0521, "enable bits that exist");
	acpi_pm_power_button(pm);
	ok(rig.line[9], "the power button raises the SCI");
	is(bus_read(&rig.board.pio, 0x600, 2), 0x0100, "status");
	bus_write(&rig.board.pio, 0x600, 2, 0x0100);
	ok(!rig.line[9], "writing a one clears it");
	rig_advance(&rig, 600ULL * 1000000000);
	is(bus_read(&rig.board.pio, 0x600, 2), 0x0001, "the timer's top bit has changed");
	ok(rig.line[9], "with an interrupt");
	bus_write(&rig.board.pio, 0x604, 2, 3 << 10 | 1 << 13);
	is(rig.requests, 0, "another sleep state is nothing");
	bus_write(&rig.board.pio, 0x604, 2, 5 << 10 | 1 << 13);
	is(rig.request, BOARD_POWEROFF, "S5 is off");
	is(bus_read(&rig.board.pio, 0x604, 2), 5 << 10 | 1, "SLP_EN reads as zero");
	board_reset(&rig.board);
	ok(!rig.line[9], "reset lowers the line");

	acpi_pm_event(pm, ACPI_PM_GPE_GENERATION);
	ok(!rig.line[9], "a general-purpose event that is not enabled raises nothing");
	is(bus_read(&rig.board.pio, 0x60c, 1), 1, "but its status is there");
	bus_write(&rig.board.pio, 0x60d, 1, 0xff);
	is(bus_read(&rig.board.pio, 0x60d, 1), 1, "events that exist can be enabled");
	ok(rig.line[9], "then it raises the SCI");
	bus_write(&rig.board.pio, 0x60c, 1, 0xfe);
	ok(rig.line[9], "others are cleared without it");
	bus_write(&rig.board.pio, 0x60c, 1, 1);
	ok(!rig.line[9], "writing a one clears it");
	acpi_pm_event(pm, ACPI_PM_GPE_GENERATION);
	bus_write(&rig.board.pio, 0x60c, 2, 0x0001);
	is(bus_read(&rig.board.pio, 0x60c, 2), 0, "both at once");
	acpi_pm_event(pm, ACPI_PM_GPE_GENERATION);
	board_reset(&rig.board);
	is(bus_read(&rig.board.pio, 0x60c, 2), 0, "reset clears them");
	rig_destroy(&rig);
}

static void test_i8042(void)
{
	rig_init(&rig, 0);
	i8042_create(&rig.board);
	is(rig_in(&rig, 0x64), 0x14, "status: nothing there, ready for input");
	rig_out(&rig, 0x64, 0xaa);
	is(rig_in(&rig, 0x64) & 1, 1, "self-test answers");
	is(rig_in(&rig, 0x60), 0x55, "with 55");
	rig_out(&rig, 0x64, 0x60);
	rig_out(&rig, 0x60, 0x47);
	rig_out(&rig, 0x64, 0x20);
	is(rig_in(&rig, 0x60), 0x47, "command byte");
	rig_out(&rig, 0x60, 0xff);
	is(rig_in(&rig, 0x64) & 0x41, 0x41, "no keyboard: time-out at once");
	rig_in(&rig, 0x60);
	rig_out(&rig, 0x64, 0xd3);
	rig_out(&rig, 0x60, 0x5a);
	is(rig_in(&rig, 0x64) & 0x21, 0x21, "loopback of the auxiliary port");
	is(rig_in(&rig, 0x60), 0x5a, "data");
	rig_out(&rig, 0x64, 0xd0);
	is(rig_in(&rig, 0x60), 0x03, "output port: A20 open");
	is(rig.requests, 0, "no reset yet");
	rig_out(&rig, 0x64, 0xfe);
	is(rig.request, BOARD_RESET, "the reset pulse");
	rig_out(&rig, 0x64, 0xd1);
	rig_out(&rig, 0x60, 0x02);
	is(rig.requests, 2, "reset by the output port");
	rig_out(&rig, 0x64, 0xff);
	is(rig.requests, 2, "a pulse of nothing is nothing");
	rig_destroy(&rig);
}

static void test_chipset(void)
{
	rig_init(&rig, 0);
	chipset_create(&rig.board);
	bus_write(&rig.board.pio, 0xcf8, 4, 0x80000000);
	is(bus_read(&rig.board.pio, 0xcf8, 4), 0xffffffff, "no PCI");
	is(rig.requests, 0, "a configuration address is no reset");
	rig_out(&rig, 0xcf9, 0x02);
	is(rig.requests, 0, "choosing the kind is no reset");
	rig_out(&rig, 0xcf9, 0x06);
	is(rig.request, BOARD_RESET, "port 0xcf9 resets");
	is(rig_in(&rig, 0x92), 0x02, "A20 is open");
	rig_out(&rig, 0x92, 0x03);
	is(rig.requests, 2, "port 0x92 resets");
	rig_out(&rig, 0x92, 0x03);
	is(rig.requests, 2, "at a rising bit");
	rig_destroy(&rig);
}

static size_t collect(void *opaque, const uint8_t *bytes, size_t n)
{
	*(uint8_t *)opaque = *bytes;
	return n;
}

static void test_debug(void)
{
	uint8_t byte = 0;

	rig_init(&rig, 0);
	debug_exit_create(&rig.board, 0xf4);
	debug_con_create(&rig.board, 0xe9, collect, &byte);
	bus_write(&rig.board.pio, 0xf4, 4, 0);
	is(rig.request * 256 + rig.status, BOARD_EXIT * 256 + 1, "0 gives status 1");
	bus_write(&rig.board.pio, 0xf4, 1, 0x21);
	is(rig.status, 0x43, "v gives 2 v + 1");
	is(bus_read(&rig.board.pio, 0xe9, 1), 0xe9, "the debug console identifies itself");
	rig_out(&rig, 0xe9, '!');
	is(byte, '!', "and prints");
	rig_destroy(&rig);
}

static void test_testdev(void)
{
	uint32_t *page;

	rig_init(&rig, 4 * MIB);
	rig_lines(&rig);
	testdev_create(&rig.board);
	bus_write(&rig.board.pio, 0xe0, 4, 0x12345678);
	is(bus_read(&rig.board.pio, 0xe1, 2), 0x3456, "data, any width");
	is(bus_read(&rig.board.pio, 0xe8, 1), 0x78, "the same at the byte port");
	rig_out(&rig, 0x2005, 1);
	ok(rig.line[5], "line up");
	rig_out(&rig, 0x2005, 0);
	ok(!rig.line[5], "line down");
	bus_write(&rig.board.mmio, TESTDEV_MMIO + 0x1234, 8, 0x1122334455667788);
	is(bus_read(&rig.board.mmio, TESTDEV_MMIO + 0x1236, 4), 0x33445566, "MMIO, any width");
	is(bus_read(&rig.board.mmio, TESTDEV_MMIO + 0xfffc, 8) >> 32, 0xffffffff,
	   "MMIO over the end");
	page = memory_ptr(&rig.memory, 0x5000, 4096);
	*page = 77;
	bus_write(&rig.board.pio, 0xe4, 4, 0x5010);
	is(*page, 77, "flush keeps the page's content");
	bus_write(&rig.board.pio, 0xe4, 4, 0xfffff000);
	ok(true, "flush of an address without memory");
	rig_destroy(&rig);
}

static void test_cpuid(void)
{
	struct vireo_cpuid_entry e[] = {
		{ .leaf = 1, .ebx = 0xff000800, .edx = 1 },
		{ .leaf = 4, .subleaf = 0, .flags = 1, .eax = 0xfc000121 },
		{ .leaf = 4, .subleaf = 3, .flags = 1, .eax = 0xfc000163 },
		{ .leaf = 4, .subleaf = 4, .flags = 1, .eax = 0 },
		{ .leaf = 0xb, .subleaf = 0, .flags = 1 },
		{ .leaf = 0xb, .subleaf = 1, .flags = 1 },
		{ .leaf = 0x80000008, .eax = 0x3028 },
	};

	cpuid_topology(e, ARRAY_SIZE(e), 6);
	is(e[0].ebx, 0xff080800, "leaf 1: ids of the package, rounded up");
	is(e[0].edx, 0x10000001, "leaf 1: HTT");
	is(e[1].eax, 7U << 26 | 0x121, "leaf 4: a cache of one core");
	is(e[2].eax, 7U << 26 | 7U << 14 | 0x163, "leaf 4: the last level is shared");
	is(e[3].eax, 0, "leaf 4: the end stays the end");
	is(e[4].ebx * 256 + e[4].ecx, 256 + 0x100, "leaf 0xb: one thread");
	is(e[5].eax, 3, "leaf 0xb: three bits of core");
	is(e[5].ebx, 6, "leaf 0xb: six cores");
	is(e[5].ecx, 0x201, "leaf 0xb: level type");
	is(e[6].ecx, 0x3005, "AMD: cores and bits");
	cpuid_topology(e, ARRAY_SIZE(e), 1);
	is(e[0].edx, 1, "one processor has no HTT");
	is(e[6].ecx, 0, "AMD: one core");
}

int main(void)
{
	test_memory();
	test_bus();
	test_timers();
	test_numbers();
	test_acpi_pm();
	test_i8042();
	test_chipset();
	test_debug();
	test_testdev();
	test_cpuid();
	return tap_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/* IOAPIC: registers, edges, levels with remote IRR and EOI, the wiring of lines. */
#include "rig.h"
#include "tap.h"
#include "../vireo/dev/ioapic.h"
#include "../vireo/dev/pic.h"

static struct rig rig;
static struct ioapic *ioapic;

static uint32_t get(uint8_t index)
{
	bus_write(&rig.board.mmio, IOAPIC_BASE, 4, index);
	return (uint32_t)bus_read(&rig.board.mmio, IOAPIC_BASE + 0x10, 4);
}

static void set(uint8_t index, uint32_t value)
{
	bus_write(&rig.board.mmio, IOAPIC_BASE, 4, index);
	bus_write(&rig.board.mmio, IOAPIC_BASE + 0x10, 4, value);
}

static void entry(unsigned int pin, uint32_t high, uint32_t low)
{
	set((uint8_t)(0x11 + 2 * pin), high);
	set((uint8_t)(0x10 + 2 * pin), low);
}

static void setup(void)
{
	rig_init(&rig, 0);
	ioapic_create(&rig.board, 5, &ioapic);
}

static void test_registers(void)
{
	setup();
	is(get(0), 5U << 24, "ID");
	is(get(1), 0x170020, "version 0x20, 24 entries");
	is(get(0x10), 0x10000, "entries are masked after reset");
	set(0, 0x0f000000);
	is(get(0), 0x0f000000, "ID is writable");
	entry(3, 0xab123456, 0xfffeffff);
	is(get(0x17), 0xab000000, "reserved bits of the high half are zero");
	is(get(0x16), 0xafff, "status and remote IRR are read-only");
	is(get(0x40), 0xffffffff, "an index behind the last entry");
	is(bus_read(&rig.board.mmio, IOAPIC_BASE, 4), 0x40, "the select register reads back");
	board_reset(&rig.board);
	is(get(0), 5U << 24, "reset restores the ID");
	is(get(0x16), 0x10000, "and masks");
	rig_destroy(&rig);
}

static void test_edge(void)
{
	setup();
	entry(4, 3U << 24, 0x41);
	vireo_irq_set(&rig.board, 4, true);
	is(rig.nr_msis, 1, "an edge sends a message");
	is(rig.msi[0].address, 0xfee03000, "to the destination, physical");
	is(rig.msi[0].data, 0x41, "fixed, edge");
	vireo_irq_set(&rig.board, 4, true);
	is(rig.nr_msis, 1, "staying high sends no other");
	vireo_irq_set(&rig.board, 4, false);
	vireo_irq_set(&rig.board, 4, true);
	is(rig.nr_msis, 2, "the next edge does");
	entry(4, 3U << 24, 0x10041);
	vireo_irq_set(&rig.board, 4, false);
	vireo_irq_set(&rig.board, 4, true);
	is(rig.nr_msis, 2, "a masked edge sends nothing");
	entry(4, 3U << 24, 0x41);
	is(rig.nr_msis, 2, "and is lost");
	entry(5, 0x81U << 24, 0x0951);
	vireo_irq_set(&rig.board, 5, true);
	is(rig.msi[2].address, 0xfee81004, "logical destination");
	is(rig.msi[2].data, 0x151, "lowest priority");
	entry(6, 0, 0x0700);
	vireo_irq_set(&rig.board, 6, true);
	is(rig.nr_msis, 3, "ExtINT is not for the IOAPIC");
	rig_destroy(&rig);
}

static void test_level(void)
{
	setup();
	entry(9, 0, 0x8061);
	vireo_irq_set(&rig.board, 9, true);
	is(rig.nr_msis, 1, "a level sends a message");
	is(rig.msi[0].data, 0xc061, "level, asserted");
	is(get(0x22) & 0x4000, 0x4000, "remote IRR is up");
	vireo_irq_set(&rig.board, 9, false);
	vireo_irq_set(&rig.board, 9, true);
	is(rig.nr_msis, 1, "nothing more before the EOI");
	ioapic_eoi(ioapic, 0x60);
	is(rig.nr_msis, 1, "the EOI of another vector does nothing");
	ioapic_eoi(ioapic, 0x61);
	is(rig.nr_msis, 2, "after the EOI a line that is high sends again");
	vireo_irq_set(&rig.board, 9, false);
	bus_write(&rig.board.mmio, IOAPIC_BASE + 0x40, 4, 0x61);
	is(get(0x22) & 0x4000, 0, "the EOI register clears remote IRR");
	is(rig.nr_msis, 2, "a low line sends nothing");

	entry(9, 0, 0x18061);
	vireo_irq_set(&rig.board, 9, true);
	is(rig.nr_msis, 2, "a masked level waits");
	entry(9, 0, 0x8061);
	is(rig.nr_msis, 3, "and comes when it is unmasked");
	entry(9, 0, 0x0061);
	is(get(0x22) & 0x4000, 0, "switching to edge clears remote IRR");

	rig.msi_taken = 0;
	entry(10, 0, 0x8062);
	vireo_irq_set(&rig.board, 10, true);
	is(get(0x24) & 0x4000, 0, "a message that nobody took waits for no EOI");
	rig_destroy(&rig);
}

static void test_wiring(void)
{
	setup();
	pic_create(&rig.board, NULL);
	entry(2, 0, 0x30);
	entry(0, 0, 0x31);
	vireo_irq_set(&rig.board, 0, true);
	is(rig.nr_msis, 1, "line 0 arrives");
	is(rig.msi[0].data, 0x30, "at pin 2");
	vireo_irq_set(&rig.board, 2, true);
	is(rig.nr_msis, 1, "line 2 does not exist");
	entry(23, 0, 0x77);
	vireo_irq_set(&rig.board, 23, true);
	is(rig.nr_msis, 2, "line 23 arrives");
	vireo_irq_set(&rig.board, 24, true);
	vireo_irq_set(&rig.board, 1000000, true);
	is(rig.nr_msis, 2, "lines beyond are ignored");
	rig_destroy(&rig);
}

int main(void)
{
	test_registers();
	test_edge();
	test_level();
	test_wiring();
	return tap_done();
}

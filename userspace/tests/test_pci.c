// SPDX-License-Identifier: GPL-2.0-only
/* PCI: ways to configuration space, BARs where the guest puts them, MSI-X, interrupt lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "tap.h"
#include "../vireo/state.h"
#include "../vireo/util.h"
#include "../vireo/dev/chipset.h"
#include "../vireo/dev/ioapic.h"
#include "../vireo/pci/msix.h"
#include "../vireo/pci/pci.h"

#define HIGH		0x200000000ULL
#define HIGH_BYTES	0x100000000ULL
#define MEMORY		PCI_COMMAND_MEMORY
#define MASTER		PCI_COMMAND_MASTER

/* A function that remembers what reached it. */
struct dummy {
	struct pci_function pci;
	struct pci_msix msix;
	unsigned int reads, writes, bar;
	uint64_t offset, value;
	unsigned int changes;
	bool wants_line;
};

static struct rig rig;
static const struct pci_map map = { HIGH, HIGH_BYTES };

static uint64_t bar_read(struct pci_function *function, unsigned int bar, uint64_t offset,
			 unsigned int size)
{
	struct dummy *dummy = (void *)function;

	if (bar == 5)
		return pci_msix_read(&dummy->msix, offset, size);
	dummy->reads++;
	dummy->bar = bar;
	dummy->offset = offset;
	return 0x1122334455667788;
}

static void bar_write(struct pci_function *function, unsigned int bar, uint64_t offset,
		      unsigned int size, uint64_t value)
{
	struct dummy *dummy = (void *)function;

	if (bar == 5) {
		pci_msix_write(&dummy->msix, offset, size, value);
		return;
	}
	dummy->writes++;
	dummy->bar = bar;
	dummy->offset = offset;
	dummy->value = value;
}

static void changed(struct pci_function *function)
{
	((struct dummy *)function)->changes++;
}

static bool line(struct pci_function *function)
{
	return ((struct dummy *)function)->wants_line;
}

static const struct pci_ops dummy_ops = {
	.bar_read = bar_read, .bar_write = bar_write, .changed = changed, .line = line,
};

static void dummy_reset(struct device *device)
{
	pci_function_reset((struct pci_function *)device);
}

static void dummy_destroy(struct device *device)
{
	struct dummy *dummy = (void *)device;

	pci_detach(&dummy->pci);
	pci_msix_destroy(&dummy->msix);
	free(dummy);
}

static const struct device_ops dummy_device_ops = { .reset = dummy_reset, .destroy = dummy_destroy };

static struct dummy *add(void)
{
	static const struct pci_ids ids = { 0x1234, 0x5678, 0x9abc, 0xdef0, 0x020304, 7 };
	struct dummy *dummy = calloc(1, sizeof(*dummy));

	pci_function_init(&dummy->pci, &ids, &dummy_ops);
	pci_add_bar(&dummy->pci, 0, &(struct pci_bar){ .bytes = 0x4000 });
	pci_add_bar(&dummy->pci, 2, &(struct pci_bar){ .bytes = 0x10000, .wide = true, .prefetchable = true });
	pci_msix_init(&dummy->msix, &dummy->pci, 5, 40);
	if (pci_plug(&rig.board, &dummy->pci, "dummy", &dummy_device_ops))
		abort();
	return dummy;
}

static void begin(void)
{
	rig_init(&rig, 4 * MIB);
	rig_lines(&rig);
	if (ioapic_create(&rig.board, 0, NULL) || pci_create(&rig.board, &map) ||
	    chipset_create(&rig.board))
		abort();
}

static uint32_t get(unsigned int slot, unsigned int offset, unsigned int size)
{
	return rig_pci_read(&rig, slot, offset, size);
}

static void set(unsigned int slot, unsigned int offset, unsigned int size, uint32_t value)
{
	rig_pci_write(&rig, slot, offset, size, value);
}

static uint32_t in(uint16_t port, unsigned int size)
{
	return (uint32_t)bus_read(&rig.board.pio, port, size);
}

static void out(uint16_t port, unsigned int size, uint32_t value)
{
	bus_write(&rig.board.pio, port, size, value);
}

static uint64_t load(uint64_t addr, unsigned int size)
{
	return bus_read(&rig.board.mmio, addr, size);
}

static void store(uint64_t addr, unsigned int size, uint64_t value)
{
	bus_write(&rig.board.mmio, addr, size, value);
}

static void test_mechanism_1(void)
{
	begin();
	add();
	out(0xcfb, 1, 1);
	out(0xcf8, 4, 0x80000000);
	is(in(0xcf8, 4), 0x80000000, "the address register, by which guests find mechanism 1");
	out(0xcf8, 4, 0xffffffff);
	is(in(0xcf8, 4), 0x80fffffc, "its reserved bits stay 0");
	is(in(0xcf8, 2), 0xffff, "it is there for four bytes only");
	out(0xcf8, 4, 0x80000800);
	out(0xcf8, 2, 0);
	is(in(0xcf8, 4), 0x80000800, "and does not change otherwise");
	is(in(0xcfc, 4), 0x56781234, "ids");
	is(in(0xcfe, 2), 0x5678, "a word of them");
	is(in(0xcff, 1), 0x56, "a byte");
	is(in(0xcfd, 2), 0x7812, "a word across");
	out(0xcf8, 4, 0x00000800);
	is(in(0xcfc, 4), 0xffffffff, "nothing without the enable bit");
	out(0xcf8, 4, 0x80010800);
	is(in(0xcfc, 4), 0xffffffff, "nothing on bus 1");
	out(0xcf8, 4, 0x80000900);
	is(in(0xcfc, 4), 0xffffffff, "nothing at function 1");
	is(get(2, 0, 4), 0xffffffff, "nothing in an empty slot");
	set(2, 4, 2, 7);
	is(get(0, 8, 4), 0x06000000, "slot 0 is a host bridge");
	is(get(1, 8, 4), 0x02030407, "class and revision");
	is(get(1, 0x2c, 4), 0xdef09abc, "subsystem");
	is(get(1, 0x3d, 1), 1, "INTA");
	is(get(1, 0x3c, 1), 11, "at ISA interrupt 11 without ACPI");
	set(1, 0, 4, 0);
	set(1, 8, 4, 0);
	is(get(1, 0, 4), 0x56781234, "ids cannot be written");
	set(1, 0x3c, 1, 9);
	is(get(1, 0x3c, 4), 0x0109, "the interrupt line can");
	out(0xcf9, 1, 2);
	is(in(0xcf9, 1), 2, "the reset register is still among the ports");
	is(in(0xcf8, 4), 0x8000083c, "and is not the address's");
	rig_destroy(&rig);
}

static void test_ecam(void)
{
	begin();
	add();
	is(load(PCI_ECAM_BASE + 0x8000, 4), 0x56781234, "ECAM: ids");
	is(load(PCI_ECAM_BASE + 0x8003, 1), 0x56, "a byte");
	is(load(PCI_ECAM_BASE + 0x8000, 8), 0x0010000256781234, "eight bytes are two accesses");
	is(load(PCI_ECAM_BASE + 0x9000, 4), 0xffffffff, "no function 1");
	is(load(PCI_ECAM_BASE + 0x8100, 4), 0xffffffff, "no extended space");
	is(load(PCI_ECAM_BASE + 0x80fe, 4), 0xffffffff, "nor half of it");
	store(PCI_ECAM_BASE + 0x8004, 2, 0);
	is(get(1, 4, 2), 0, "what is written here is read there");
	store(PCI_ECAM_BASE + 0x80fe, 4, 0xffffffff);
	store(PCI_ECAM_BASE + PCI_ECAM_BYTES - 2, 4, 0xffffffff);
	is(load(PCI_ECAM_BASE + PCI_ECAM_BYTES, 4), 0xffffffff, "it ends with bus 0");
	rig_destroy(&rig);
}

static void test_bars(void)
{
	struct dummy *a, *b;
	uint32_t home;

	begin();
	a = add();
	b = add();
	home = get(1, 0x10, 4);
	ok(home >= PCI_LOW_BASE && home % 0x4000 == 0, "a BAR has an address before anybody asks");
	is(get(1, 0x18, 4) & 0xf, 0xc, "64 bits, prefetchable");
	is(get(1, 0x1c, 4), 0, "and in the low window, where it fits");
	is(load(home + 8, 4), 0x55667788, "it answers");
	is(a->offset * 10 + a->bar, 80, "BAR and offset");
	store(home + 0x3ff8, 8, 77);
	is(a->value, 77, "eight bytes at once");
	is(load(home + 0x3ffc, 8), ~0ULL, "an access over its end is nobody's");
	set(1, 0x10, 4, 0xffffffff);
	is(get(1, 0x10, 4), 0xffffc000, "its size");
	set(1, 0x18, 4, 0xffffffff);
	set(1, 0x1c, 4, 0xffffffff);
	is(get(1, 0x18, 4), 0xffff000c, "size of the wide one");
	is(get(1, 0x1c, 4), 0xffffffff, "both halves");
	is(get(1, 0x14, 4), 0, "no BAR, nothing to write");
	set(1, 0x30, 4, 0xffffffff);
	is(get(1, 0x30, 4), 0, "no ROM");
	is(load(home, 4), 0xffffffff, "it has left");
	set(1, 0x10, 4, 0xd0000000);
	is(load(0xd0000000, 4), 0x55667788, "moved");
	set(1, 0x18, 4, 0x40000000);
	set(1, 0x1c, 4, HIGH >> 32);
	is(load(HIGH + 0x40000010, 8), 0x1122334455667788, "the wide one, above memory");
	is(a->offset * 10 + a->bar, 0x10 * 10 + 2, "it is BAR 2");
	set(1, 4, 2, MASTER);
	is(load(0xd0000000, 4), 0xffffffff, "not decoded");
	set(1, 4, 2, 0xffff);
	is(get(1, 4, 2), 0x0546, "bits of the command register that there are");
	is(load(0xd0000000, 4), 0x55667788, "decoded again");
	ok(a->changes > 5, "the function is told");

	/* Where no BAR should be. */
	set(2, 0x10, 4, 0xd0000000);
	a->reads = b->reads = 0;
	load(0xd0000000, 4);
	is(a->reads * 10 + b->reads, 10, "two at one place: the lower slot");
	set(1, 4, 2, 0);
	load(0xd0000000, 4);
	is(a->reads * 10 + b->reads, 11, "until it leaves");
	set(2, 0x10, 4, 0xfec00000);
	is(load(0xfec00000, 4), 0, "the IOAPIC is still there");
	set(2, 0x10, 4, (uint32_t)PCI_ECAM_BASE);
	is(load(PCI_ECAM_BASE, 4), 0x00081b36, "and ECAM");
	set(2, 0x10, 4, 0);
	set(2, 0x18, 4, 0xffff0000);
	set(2, 0x1c, 4, 0xffffffff);
	is(load(0xffffffffffff0000, 8), ~0ULL, "at the very end: nobody");
	b->reads = 0;
	set(2, 0x18, 4, 0xffffc000);
	set(2, 0x1c, 4, (HIGH + HIGH_BYTES) >> 32);
	load(HIGH + HIGH_BYTES, 4);
	is(b->reads, 0, "outside of the window nobody hears it");
	board_reset(&rig.board);
	is(get(1, 0x10, 4), home, "a reset brings it home");
	is(load(home, 4), 0x55667788, "where it answers");
	rig_destroy(&rig);
}

static void test_room(void)
{
	struct pci_bar big = { .bytes = 1 * GIB }, wide = { .bytes = 1 * GIB, .wide = true };
	struct pci_bar small = { .bytes = 4096 };
	unsigned int i;
	uint64_t at;

	begin();
	is(pci_assign(rig.board.pci, &big, &at), -ENOSPC, "more than the low window has");
	is(pci_assign(rig.board.pci, &wide, &at), 0, "a wide one goes above memory");
	is(at, HIGH, "there");
	is(pci_assign(rig.board.pci, &small, &at), 0, "small ones are not in the way");
	is(at, PCI_LOW_BASE, "of each other");
	for (i = 0; i < 31; i++)
		add();
	{
		struct dummy *one = calloc(1, sizeof(*one));

		pci_function_init(&one->pci, &(struct pci_ids){ 0 }, &dummy_ops);
		is(pci_plug(&rig.board, &one->pci, "dummy", &dummy_device_ops), -ENOSPC,
		   "no slot for the 32nd");
		free(one);
	}
	rig_destroy(&rig);

	is(pci_map(1 * GIB, 40).high_base, 4 * GIB, "the high window: above 4 GiB");
	is(pci_map(5 * GIB + 4096, 40).high_base, 6 * GIB, "above memory");
	is(pci_map(5 * GIB, 36).high_bytes, PCI_HIGH_BYTES, "of its full size");
	is(pci_map(60 * GIB, 36).high_bytes, 4 * GIB, "what the processor can address");
	is(pci_map(64 * GIB, 36).high_bytes, 0, "or none");
	is(pci_map(1 * GIB, 32).high_bytes, 0, "none with 32 bits");
}

static void test_lines(void)
{
	struct dummy *dummy[10];
	unsigned int i;

	begin();
	for (i = 1; i < 10; i++)
		dummy[i] = add();
	pci_set_line(&dummy[1]->pci, true);
	is(rig.line[11], 1, "slot 1: ISA interrupt 11");
	is(get(1, 6, 2) & PCI_STATUS_INTX, PCI_STATUS_INTX, "the status register shows it");
	pci_set_line(&dummy[9]->pci, true);
	pci_set_line(&dummy[1]->pci, false);
	is(rig.line[11], 1, "slot 9 shares the line");
	is(rig.rises[11], 1, "which has not moved");
	pci_set_line(&dummy[3]->pci, true);
	pci_set_line(&dummy[9]->pci, false);
	is(rig.line[11], 1, "slot 3 shares the ISA interrupt");
	pci_set_line(&dummy[3]->pci, false);
	is(rig.line[11], 0, "nobody is left");
	pci_set_line(&dummy[2]->pci, true);
	is(rig.line[10], 1, "slot 2: ISA interrupt 10");
	set(2, 4, 2, PCI_COMMAND_NO_INTX);
	is(rig.line[10], 0, "disabled by the command register");
	is(get(2, 6, 2) & PCI_STATUS_INTX, PCI_STATUS_INTX, "the status register still shows it");
	set(2, 4, 2, 0);
	is(rig.line[10], 1, "enabled again");
	board_reset(&rig.board);
	is(rig.line[10], 0, "a reset lowers it");

	/* At the IOAPIC: level, until EOI. */
	store(IOAPIC_BASE, 4, 0x10 + 2 * pci_slot_gsi(5));
	store(IOAPIC_BASE + 0x10, 4, 0x8000 | 0x55);
	dummy[5]->wants_line = true;
	pci_line_kick(rig.board.pci);
	is(rig.nr_msis, 0, "a kick does nothing by itself");
	pci_line_ready(rig.board.pci);
	is(rig.nr_msis, 1, "slot 5: pin 21");
	is(rig.msi[0].data & 0xff, 0x55, "its vector");
	dummy[5]->wants_line = false;
	pci_line_ready(rig.board.pci);
	is(get(5, 6, 2) & PCI_STATUS_INTX, PCI_STATUS_INTX, "nobody is asked without a kick");
	rig_destroy(&rig);
}

#define TABLE(v)	(table + 16ULL * (v))

static void test_msix(void)
{
	struct dummy *dummy;
	uint64_t table;
	uint8_t cap;

	begin();
	dummy = add();
	is(get(1, 6, 2) & PCI_STATUS_CAPS, PCI_STATUS_CAPS, "there are capabilities");
	cap = (uint8_t)get(1, 0x34, 1);
	is(get(1, cap, 1), PCI_CAP_MSIX, "MSI-X");
	is(get(1, cap + 2U, 2), 39, "40 vectors");
	is(get(1, cap + 4U, 4), 5, "table");
	is(get(1, cap + 8U, 4), PCI_MSIX_PBA | 5, "pending bits");
	table = get(1, 0x24, 4);
	is(load(TABLE(3) + 12, 4), 1, "masked at first");
	store(TABLE(3), 4, 0xfee01003);
	store(TABLE(3) + 4, 4, 0x1);
	store(TABLE(3) + 8, 4, 0x4041);
	store(TABLE(3) + 12, 4, 0xfffffffe);
	is(load(TABLE(3), 8), 0x1fee01000, "address; a message is aligned");
	is(load(TABLE(3) + 8, 8), 0x4041, "data; the mask bit alone can be set");
	store(TABLE(39), 8, 0x1122334455667788);
	is(load(TABLE(39), 8), 0x1122334455667788, "eight bytes at once, the last one");
	store(TABLE(40), 8, ~0ULL);
	is(load(TABLE(40), 8), 0, "no 41st vector");
	store(TABLE(3) + 2, 2, 0);
	store(TABLE(3) + 2, 4, 0);
	is(load(TABLE(3), 4), 0xfee01000, "narrow and unaligned writes do nothing");

	pci_msix_send(&dummy->msix, 3);
	is(rig.nr_msis, 0, "not enabled: not sent");
	set(1, cap + 2U, 2, 0x8000);
	is(rig.nr_msis, 0, "and not remembered");
	pci_msix_send(&dummy->msix, 3);
	is(rig.nr_msis, 0, "not while the function does not master the bus");
	is(load(table + PCI_MSIX_PBA, 4), 1 << 3, "but pending");
	set(1, 4, 2, MEMORY | MASTER);
	is(rig.nr_msis, 1, "then it comes");
	is(load(table + PCI_MSIX_PBA, 8), 0, "and is not pending any more");
	is(rig.msi[0].address, 0x1fee01000, "its address");
	is(rig.msi[0].data, 0x4041, "its data");
	pci_msix_send(&dummy->msix, 35);
	is(load(table + PCI_MSIX_PBA, 8), 1ULL << 35, "a masked vector is pending");
	is(load(table + PCI_MSIX_PBA + 4, 4), 1U << 3, "likewise by halves");
	store(table + PCI_MSIX_PBA, 8, 0);
	is(load(table + PCI_MSIX_PBA, 8), 1ULL << 35, "which only the device changes");
	store(TABLE(35) + 12, 4, 0);
	is(rig.nr_msis, 2, "unmasked: sent");
	set(1, cap + 2U, 2, 0xc000);
	pci_msix_send(&dummy->msix, 3);
	pci_msix_send(&dummy->msix, 3);
	is(rig.nr_msis, 2, "function mask");
	set(1, cap + 2U, 2, 0x8000);
	is(rig.nr_msis, 3, "two that are pending are one");
	is(get(1, cap + 2U, 2), 0x8027, "the number of vectors is not writable");
	board_reset(&rig.board);
	is(get(1, cap + 2U, 2), 39, "a reset disables them");
	is(load(TABLE(3) + 12, 4), 1, "and masks");
	is(load(TABLE(3), 8), 0, "and forgets");
	rig_destroy(&rig);
}

/* The bridge's own state: what no guest could have written is refused. */
static void test_state(void)
{
	struct state_buffer saved = { 0 };
	const struct device *bridge;
	size_t i, refused = 0;

	begin();
	add();
	set(0, 4, 2, 6);
	out(0xcf8, 4, 0x80001234);
	for (bridge = rig.board.devices; strcmp(bridge->name, "pci-host"); bridge = bridge->next)
		;
	state_save(&saved, "pci-host", 0, bridge->ops->state, (void *)bridge);
	is(saved.error, 0, "the bridge's state");
	board_reset(&rig.board);
	is(in(0xcf8, 4), 0, "a reset");
	is(state_load(saved.data, saved.len, "pci-host", 0, bridge->ops->state, (void *)bridge), 0, "loads");
	is(in(0xcf8, 4), 0x80001234, "the address register");
	is(get(0, 4, 2), 6, "and configuration space");
	for (i = saved.len - 260; i < saved.len - 4; i++) {
		saved.data[i] ^= 0x80;
		refused += state_load(saved.data, saved.len, "pci-host", 0, bridge->ops->state,
				      (void *)bridge) == -EINVAL;
		saved.data[i] ^= 0x80;
	}
	is(refused, 256 - 1, "no byte has another top bit, but for the interrupt line's");
	state_buffer_free(&saved);
	rig_destroy(&rig);
}

int main(void)
{
	test_mechanism_1();
	test_ecam();
	test_bars();
	test_room();
	test_lines();
	test_msix();
	test_state();
	return tap_done();
}

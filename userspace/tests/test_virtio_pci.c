// SPDX-License-Identifier: GPL-2.0-only
/* virtio over PCI: capabilities, status, features, queues, doorbells, interrupts; and what a hostile driver writes. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "tap.h"
#include "../vireo/state.h"
#include "../vireo/util.h"
#include "../vireo/dev/chipset.h"
#include "../vireo/pci/pci.h"
#include "../vireo/virtio/virtio.h"

#define SLOT		1
#define COMMON		0x0000
#define ISR		0x1000
#define CONFIG		0x2000
#define NOTIFY		0x3000

#define ACKNOWLEDGE	1
#define DRIVER		2
#define DRIVER_OK	4
#define FEATURES_OK	8
#define NEEDS_RESET	64

#define VERSION_1	(1ULL << 32)
#define PACKED		(1ULL << 34)
#define RINGS		0x10000ULL

struct toy {
	struct virtio_device virtio;
	unsigned int starts, stops, resets, writes;
	uint8_t old;
	uint32_t own;
	bool refuse;
};

static struct rig rig;
static struct toy *toy;
static unsigned int destroyed;
static uint64_t bar;

static int start(struct virtio_device *dev)
{
	if (((struct toy *)dev)->refuse)
		return -1;
	((struct toy *)dev)->starts++;
	return 0;
}

static void stop(struct virtio_device *dev)
{
	((struct toy *)dev)->stops++;
}

static void reset(struct virtio_device *dev)
{
	((struct toy *)dev)->resets++;
}

static void config_write(struct virtio_device *dev, unsigned int offset, unsigned int len,
			 const uint8_t *old)
{
	(void)offset;
	(void)len;
	((struct toy *)dev)->writes++;
	((struct toy *)dev)->old = *old;
}

static void destroy(struct virtio_device *dev)
{
	destroyed++;
	free(dev);
}

static const struct state_field fields[] = { STATE_FIELD(struct toy, own), STATE_END };
static const struct device_state state = { .version = 1, .bytes = sizeof(struct toy), .fields = fields };

static const struct virtio_class toy_class = {
	.name = "virtio-toy", .type = 42, .pci_class = 0x00ff00,
	.start = start, .stop = stop, .reset = reset, .destroy = destroy, .config_write = config_write,
	.state = &state,
};

static struct toy *new_toy(unsigned int queues)
{
	struct toy *one = calloc(1, sizeof(*one));

	one->virtio.class = &toy_class;
	one->virtio.offered = 1 << 3;
	one->virtio.config_bytes = 6;
	memcpy(one->virtio.config, "abcdef", 6);
	if (virtio_alloc_queues(&one->virtio, queues, 64))
		abort();
	return one;
}

static void begin(void)
{
	static const struct pci_map map = { 0x100000000, 0x100000000 };

	rig_init(&rig, 4 * MIB);
	rig_lines(&rig);
	if (pci_create(&rig.board, &map) || chipset_create(&rig.board))
		abort();
	destroyed = 0;
	toy = new_toy(2);
	if (virtio_plug(&rig.board, &toy->virtio))
		abort();
	bar = rig_pci_read(&rig, SLOT, 0x10, 4);
	rig_pci_write(&rig, SLOT, 4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static uint64_t get(unsigned int offset, unsigned int size)
{
	return bus_read(&rig.board.mmio, bar + offset, size);
}

static void set(unsigned int offset, unsigned int size, uint64_t value)
{
	bus_write(&rig.board.mmio, bar + offset, size, value);
}

static uint8_t status(void)
{
	return (uint8_t)get(COMMON + 20, 1);
}

static void set_features(uint64_t features)
{
	set(COMMON + 8, 4, 0);
	set(COMMON + 12, 4, (uint32_t)features);
	set(COMMON + 8, 4, 1);
	set(COMMON + 12, 4, features >> 32);
}

static void set_queue(unsigned int q, uint64_t at)
{
	set(COMMON + 22, 2, q);
	set(COMMON + 24, 2, 16);
	set(COMMON + 32, 4, at);
	set(COMMON + 36, 4, at >> 32);
	set(COMMON + 40, 8, at + 0x1000);
	set(COMMON + 48, 8, at + 0x2000);
}

static void enable(void)
{
	set(COMMON + 28, 2, 1);
}

static void drive(uint64_t features)
{
	set(COMMON + 20, 1, 0);
	set(COMMON + 20, 1, ACKNOWLEDGE);
	set(COMMON + 20, 1, ACKNOWLEDGE | DRIVER);
	set_features(features);
	set(COMMON + 20, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

static void go(uint64_t features)
{
	drive(features);
	set_queue(0, RINGS);
	enable();
	set(COMMON + 20, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static bool kicked(unsigned int q)
{
	struct pollfd fd = { .fd = toy->virtio.queue[q].kick, .events = POLLIN };
	uint64_t count;

	return poll(&fd, 1, 0) == 1 && read(fd.fd, &count, 8) == 8;
}

static void test_capabilities(void)
{
	unsigned int at, types = 0, length[6] = { 0 }, offset[6] = { 0 };

	begin();
	is(rig_pci_read(&rig, SLOT, 0, 4), 0x106a1af4, "vendor and device");
	is(rig_pci_read(&rig, SLOT, 8, 1), 1, "not transitional");
	for (at = rig_pci_read(&rig, SLOT, 0x34, 1); at; at = rig_pci_read(&rig, SLOT, at + 1, 1)) {
		unsigned int type = rig_pci_read(&rig, SLOT, at + 3, 1);

		if (rig_pci_read(&rig, SLOT, at, 1) != PCI_CAP_VENDOR || type > 5)
			continue;
		types |= 1 << type;
		offset[type] = rig_pci_read(&rig, SLOT, at + 8, 4);
		length[type] = rig_pci_read(&rig, SLOT, at + 12, 4);
		if (type == 2)
			is(rig_pci_read(&rig, SLOT, at + 16, 4), 4, "each queue has an address of its own");
	}
	is(types, 0x3e, "all five capabilities");
	is(offset[1] + offset[2] + offset[3] + offset[4], COMMON + NOTIFY + ISR + CONFIG, "where they are");
	is(length[1], 60, "common configuration");
	is(length[2], 8, "doorbells of two queues");
	is(length[4], 6, "configuration of the device");
	rig_destroy(&rig);
	is(destroyed, 1, "the board destroys it");

	begin();
	{
		struct toy *one = new_toy(1);
		struct board bare = rig.board;

		bare.pci = NULL;
		ok(virtio_plug(&bare, &one->virtio) < 0, "a board without PCI");
		is(destroyed, 1, "the device is destroyed");
	}
	rig_destroy(&rig);
}

static void test_negotiation(void)
{
	begin();
	is(status(), 0, "status after power-on");
	is(get(COMMON + 18, 2), 2, "two queues");
	is(get(COMMON + 4, 4), 1 << 3 | 1U << 28 | 1U << 29, "features, low half");
	set(COMMON, 4, 1);
	is(get(COMMON + 4, 4), 5, "features, high half: VERSION_1, RING_PACKED");
	set(COMMON, 4, 2);
	is(get(COMMON + 4, 4), 0, "there is no third half");

	drive(1 << 3);
	is(status(), ACKNOWLEDGE | DRIVER, "without VERSION_1: FEATURES_OK is refused");
	set(COMMON + 20, 1, ACKNOWLEDGE | DRIVER | DRIVER_OK);
	is(status(), ACKNOWLEDGE | DRIVER, "DRIVER_OK without FEATURES_OK, too");
	set_queue(0, RINGS);
	enable();
	is(get(COMMON + 28, 2), 0, "and a queue");
	drive(VERSION_1 | 1 << 4);
	is(status(), ACKNOWLEDGE | DRIVER, "a feature that was not offered");
	drive(VERSION_1 | 1ULL << 33);
	is(status(), ACKNOWLEDGE | DRIVER, "likewise ACCESS_PLATFORM");
	set(COMMON + 8, 4, 7);
	set(COMMON + 12, 4, ~0U);
	set(COMMON + 8, 4, 1);
	set(COMMON + 12, 4, 1);
	drive(VERSION_1 | 1 << 3);
	is(status(), ACKNOWLEDGE | DRIVER | FEATURES_OK, "good ones");
	is(toy->virtio.features, VERSION_1 | 1 << 3, "the device knows them");
	set_features(VERSION_1);
	set(COMMON + 8, 4, 0);
	is(get(COMMON + 12, 4), 1 << 3, "settled: they do not change any more");
	is(toy->starts, 0, "it does not run yet");
	set(COMMON + 20, 1, 15);
	is(toy->starts, 1, "DRIVER_OK: it does");
	set(COMMON + 20, 1, 15);
	is(toy->starts, 1, "once");
	set(COMMON + 20, 1, ACKNOWLEDGE);
	is(status(), 15, "bits are not taken back");
	set(COMMON + 20, 1, 0);
	is(status(), 0, "but by a reset");
	is(toy->stops * 10 + (toy->resets > 0), 11, "which stops it");
	is(toy->virtio.features, 0, "and forgets features");

	toy->refuse = true;
	go(VERSION_1);
	is(status(), 15 | NEEDS_RESET, "a device that cannot start needs a reset");
	is(strcmp(rig.event, "device-failed"), 0, "and somebody is told");
	rig_destroy(&rig);
}

static void test_queues(void)
{
	begin();
	drive(VERSION_1);
	is(get(COMMON + 24, 2), 64, "size that is offered");
	set(COMMON + 24, 2, 0);
	set(COMMON + 24, 2, 128);
	is(get(COMMON + 24, 2), 64, "neither 0 nor more");
	set_queue(0, RINGS);
	is(get(COMMON + 24, 2), 16, "less");
	is(get(COMMON + 40, 8), RINGS + 0x1000, "addresses, as eight bytes");
	is(get(COMMON + 32, 4), RINGS, "and as four");
	set(COMMON + 32, 2, 1);
	is(get(COMMON + 32, 4), RINGS, "not as two");
	set(COMMON + 28, 2, 0);
	set(COMMON + 28, 2, 2);
	is(get(COMMON + 28, 2), 0, "enable is 1 and nothing else");
	enable();
	is(get(COMMON + 28, 2), 1, "enabled");
	ok(toy->virtio.queue[0].vq.ready, "the ring is ready");
	set(COMMON + 24, 2, 32);
	set(COMMON + 32, 4, 0x500);
	set(COMMON + 28, 2, 0);
	is(get(COMMON + 24, 2) * 1000000 + get(COMMON + 32, 4) * 10 + get(COMMON + 28, 2),
	   16000000 + RINGS * 10 + 1, "and stays as it is");
	set(COMMON + 22, 2, 1);
	is(get(COMMON + 30, 2), 1, "its doorbell is the second");
	set(COMMON + 22, 2, 2);
	is(get(COMMON + 24, 2) + get(COMMON + 28, 2), 0, "a queue that is not there: size 0");
	set(COMMON + 24, 2, 16);
	enable();
	set(COMMON + 22, 2, 0xffff);
	enable();
	is(status(), 11, "and nothing to enable");
	set_queue(1, 0x7fffff00000ULL);
	enable();
	is(status() & NEEDS_RESET, NEEDS_RESET, "rings outside of memory: the device needs a reset");
	is(get(COMMON + 28, 2), 0, "and the queue is not enabled");
	set(COMMON + 20, 1, 15 | NEEDS_RESET);
	is(toy->starts, 0, "it does not start");
	go(VERSION_1);
	is(status(), 15, "after a reset all is well");
	set_queue(1, RINGS + 0x10000);
	enable();
	is(get(COMMON + 28, 2), 0, "too late to enable another queue");
	rig_destroy(&rig);
}

static void test_doorbells(void)
{
	begin();
	go(VERSION_1);
	is(rig.nr_doorbells, 2, "doorbells in the kernel");
	is(rig.doorbell[1].addr - rig.doorbell[0].addr, 4, "one for each queue");
	ok(kicked(0), "a queue is kicked when the device starts");
	ok(!kicked(1), "one that is not enabled is not");
	set(NOTIFY + 4, 2, 1);
	ok(kicked(1) && !kicked(0), "a write that comes here kicks");
	set(NOTIFY + 8, 2, 2);
	set(NOTIFY + 2, 2, 2);
	ok(!kicked(0) && !kicked(1), "beside the doorbells nothing happens");
	rig_pci_write(&rig, SLOT, 0x10, 4, 0xd0000000);
	is(rig.nr_doorbells, 2, "they move");
	is(rig.doorbell[0].addr & ~0xfULL, 0xd0003000, "with the BAR");
	rig_pci_write(&rig, SLOT, 0x10, 4, 0xfec00000);
	is(rig.nr_doorbells, 0, "outside of the windows there are none");
	rig_pci_write(&rig, SLOT, 0x10, 4, (uint32_t)bar);
	is(rig.nr_doorbells, 2, "back");
	rig_pci_write(&rig, SLOT, 4, 2, PCI_COMMAND_MEMORY);
	is(toy->stops, 1, "a device that does not master the bus stands still");
	rig_pci_write(&rig, SLOT, 4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	is(toy->starts, 2, "and goes on");
	ok(kicked(0), "with what came meanwhile");
	board_stop(&rig.board);
	is(toy->stops, 2, "a pause");
	set(COMMON + 20, 1, 15);
	is(toy->starts, 2, "nothing starts in it");
	board_start(&rig.board);
	is(toy->starts, 3, "its end");
	board_stop(&rig.board);
	board_reset(&rig.board);
	board_start(&rig.board);
	is(toy->starts * 10 + toy->stops, 33, "after a reset of the board it waits for its driver");
	is(rig.nr_doorbells, 0, "without doorbells");
	/* Somebody has the addresses already. */
	while (rig.nr_doorbells < RIG_DOORBELLS - 1)
		rig.doorbell[rig.nr_doorbells++].addr = 1;
	rig_pci_write(&rig, SLOT, 4, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	go(VERSION_1);
	is(rig.nr_doorbells, RIG_DOORBELLS - 1, "all or none");
	set(NOTIFY, 4, 0);
	ok(kicked(0), "it works without");
	rig.nr_doorbells = 0;
	rig_destroy(&rig);
	is(rig.doorbell_errors, 0, "none was removed that was not there");
}

static void test_interrupts(void)
{
	uint64_t table;

	begin();
	go(VERSION_1);
	virtio_notify(&toy->virtio, 0);
	pci_line_ready(rig.board.pci);
	is(rig.line[11], 1, "the line");
	is(get(ISR, 1), 1, "the ISR says: a queue");
	is(rig.line[11], 0, "reading it lowers the line");
	is(get(ISR, 1), 0, "and clears it");
	set(COMMON + 22, 2, 0);
	virtio_config_changed(&toy->virtio);
	pci_line_ready(rig.board.pci);
	is(get(COMMON + 21, 1), 1, "generation");
	is(get(ISR, 1), 2, "configuration has changed");
	virtio_notify(&toy->virtio, 0);
	pci_line_ready(rig.board.pci);
	set(COMMON + 20, 1, 0);
	is(rig.line[11], 0, "a reset lowers the line");

	rig_pci_write(&rig, SLOT, rig_pci_read(&rig, SLOT, 0x34, 1) + 2, 2, 0x8000);
	table = rig_pci_read(&rig, SLOT, 0x14, 4);
	bus_write(&rig.board.mmio, table + 16, 8, 0xfee00000);
	bus_write(&rig.board.mmio, table + 24, 8, 0x51);
	is(get(COMMON + 16, 2), 0xffff, "no vector");
	set(COMMON + 16, 2, 3);
	is(get(COMMON + 16, 2), 0xffff, "one that does not exist is refused");
	set(COMMON + 16, 2, 1);
	is(get(COMMON + 16, 2), 1, "one for the configuration");
	set(COMMON + 22, 2, 0);
	set(COMMON + 26, 2, 2);
	is(get(COMMON + 26, 2), 2, "one for a queue");
	set(COMMON + 26, 2, 77);
	is(get(COMMON + 26, 2), 0xffff, "or none");
	go(VERSION_1);
	virtio_notify(&toy->virtio, 0);
	is(rig.nr_msis, 0, "no vector, no message");
	set(COMMON + 26, 2, 1);
	virtio_notify(&toy->virtio, 0);
	is(rig.nr_msis, 1, "a message");
	is(rig.msi[0].data, 0x51, "with its data");
	is(get(ISR, 1), 0, "the ISR is for lines only");
	set(COMMON + 16, 2, 1);
	virtio_fail(&toy->virtio, "a test");
	virtio_fail(&toy->virtio, "a test");
	is(rig.nr_msis, 2, "a failure is a change of configuration, once");
	is(status(), 15 | NEEDS_RESET, "and in the status");
	pci_line_ready(rig.board.pci);
	is(rig.line[11], 0, "the line is quiet");
	rig_destroy(&rig);
}

static void test_config(void)
{
	unsigned int cap, at;

	begin();
	is(get(CONFIG, 4), 0x64636261, "configuration");
	is(get(CONFIG + 4, 4), 0x6665, "it ends");
	is(get(CONFIG + 0x100, 4), 0, "nothing behind");
	set(CONFIG + 2, 2, 0x5958);
	is(toy->writes * 256 + toy->old, 256 + 'c', "a write is told, with what was there");
	set(CONFIG + 4, 4, 0);
	set(CONFIG + 1, 2, 0);
	is(toy->writes, 1, "not one that hangs over, or is not aligned");
	is(memcmp(toy->virtio.config, "abXYef", 6), 0, "all in all");

	for (at = 0, cap = rig_pci_read(&rig, SLOT, 0x34, 1); cap; cap = rig_pci_read(&rig, SLOT, cap + 1, 1))
		if (rig_pci_read(&rig, SLOT, cap + 3, 1) == 5 && rig_pci_read(&rig, SLOT, cap, 1) == 9)
			at = cap;
	rig_pci_write(&rig, SLOT, at + 8, 4, CONFIG + 1);
	rig_pci_write(&rig, SLOT, at + 12, 4, 1);
	is(rig_pci_read(&rig, SLOT, at + 16, 1), 'b', "by way of configuration space");
	rig_pci_write(&rig, SLOT, at + 8, 4, COMMON);
	rig_pci_write(&rig, SLOT, at + 12, 4, 4);
	rig_pci_write(&rig, SLOT, at + 16, 4, 1);
	is(get(COMMON, 4), 1, "likewise writing");
	rig_pci_write(&rig, SLOT, at + 12, 4, 3);
	rig_pci_write(&rig, SLOT, at + 16, 4, 9);
	rig_pci_write(&rig, SLOT, at + 12, 4, 0);
	rig_pci_read(&rig, SLOT, at + 16, 4);
	rig_pci_write(&rig, SLOT, at + 12, 4, 4);
	rig_pci_write(&rig, SLOT, at + 8, 4, 2);
	rig_pci_write(&rig, SLOT, at + 16, 4, 9);
	rig_pci_write(&rig, SLOT, at + 8, 4, 0xfffffffc);
	rig_pci_write(&rig, SLOT, at + 16, 4, 9);
	rig_pci_read(&rig, SLOT, at + 16, 4);
	rig_pci_write(&rig, SLOT, at + 8, 4, 0);
	rig_pci_write(&rig, SLOT, at + 4, 1, 77);
	rig_pci_write(&rig, SLOT, at + 16, 4, 9);
	rig_pci_write(&rig, SLOT, at + 4, 1, 3);
	rig_pci_write(&rig, SLOT, at + 16, 4, 9);
	is(get(COMMON, 4), 1, "lengths, places and BARs that are not there: nothing happens");
	rig_destroy(&rig);
}

static struct device *find(const char *name)
{
	struct device *device = rig.board.devices;

	while (device && strcmp(device->name, name))
		device = device->next;
	return device;
}

static void save_all(struct state_buffer *out)
{
	struct device *pci = find("virtio-toy-pci"), *own = find("virtio-toy");

	board_stop(&rig.board);
	state_save(out, pci->name, 0, pci->ops->state, pci);
	state_save(out, own->name, 0, own->ops->state, own);
}

static int load_all(const struct state_buffer *in)
{
	struct device *pci = find("virtio-toy-pci"), *own = find("virtio-toy");
	int r;

	board_stop(&rig.board);
	r = state_load(in->data, in->len, pci->name, 0, pci->ops->state, pci);
	if (!r)
		r = state_load(in->data, in->len, own->name, 0, own->ops->state, own);
	return r;
}

static void test_state(void)
{
	struct state_buffer saved = { 0 };
	uint64_t table;

	begin();
	go(VERSION_1 | PACKED);
	toy->own = 0x12345678;
	toy->virtio.queue[0].vq.at.avail = 0x8005;
	toy->virtio.queue[0].vq.at.used = 0x8005;
	rig_pci_write(&rig, SLOT, rig_pci_read(&rig, SLOT, 0x34, 1) + 2, 2, 0x8000);
	table = rig_pci_read(&rig, SLOT, 0x14, 4);
	bus_write(&rig.board.mmio, table, 8, 0xfee0f000);
	bus_write(&rig.board.mmio, table + 8, 8, 0x77);
	set(COMMON + 26, 2, 0);
	save_all(&saved);
	is(saved.error, 0, "saved");
	rig_destroy(&rig);

	begin();
	is(load_all(&saved), 0, "loaded into another machine");
	is(toy->own, 0x12345678, "the device's own state");
	is(toy->virtio.features, VERSION_1 | PACKED, "features");
	is(status(), 15, "status");
	is(toy->virtio.queue[0].vq.at.avail, 0x8005, "position");
	ok(toy->virtio.queue[0].vq.ready && toy->virtio.queue[0].vq.layout.packed, "the ring");
	is(toy->starts, 0, "it does not run");
	board_start(&rig.board);
	is(toy->starts, 1, "until the machine does");
	is(rig.nr_doorbells, 2, "with its doorbells");
	virtio_notify(&toy->virtio, 0);
	is(rig.nr_msis, 1, "its vectors");
	is(rig.msi[0].data, 0x77, "as they were");
	rig_destroy(&rig);

	begin();
	go(VERSION_1);
	saved.data[48 + 256 + 1] ^= 0x80;	/* the first vector's address */
	is(load_all(&saved), 0, "addresses may be anything");
	saved.data[48] ^= 1;
	ok(load_all(&saved) < 0, "another vendor's function is refused");
	is(toy->virtio.features, VERSION_1 | PACKED, "and changes nothing");
	saved.data[48] ^= 1;
	rig_destroy(&rig);

	begin();
	toy->virtio.queue[0].size = 8;
	ok(load_all(&saved) < 0, "a queue larger than what this device offers");
	is(status(), 0, "changes nothing");
	toy->virtio.queue[0].size = 64;
	is(load_all(&saved), 0, "without that it is good");
	state_buffer_free(&saved);
	rig_destroy(&rig);
}

int main(void)
{
	test_capabilities();
	test_negotiation();
	test_queues();
	test_doorbells();
	test_interrupts();
	test_config();
	test_state();
	return tap_done();
}

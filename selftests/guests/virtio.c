// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hostile driver of every virtio device on PCI: each malformed ring and each wrong order of steps that
 * has a name. After each the device is reset, and a good request has to work. What the launcher must not
 * do, reach outside guest memory, is seen by its sanitizer; it ends the launcher, and so the test.
 */
#include "guest.h"

#define VENDOR		0x1af4
#define SIZE		16		/* of the queues */

enum { NET = 1, BLK, CONSOLE, RNG, BALLOON };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 0x80, USED = 0x8000 };

#define F_INDIRECT	(1ULL << 28)
#define F_EVENT_IDX	(1ULL << 29)
#define F_VERSION_1	(1ULL << 32)
#define F_PACKED	(1ULL << 34)

/* Registers of the common configuration */
enum { FEATURE_SELECT = 0, FEATURE = 4, DRIVER_SELECT = 8, DRIVER_FEATURE = 12, CONFIG_VECTOR = 16, STATUS = 20,
       Q_SELECT = 22, Q_SIZE = 24, Q_VECTOR = 26, Q_ENABLE = 28, Q_NOTIFY = 30, Q_DESC = 32, Q_DRIVER = 40,
       Q_DEVICE = 48, COMMON_BYTES = 56 };

struct desc {
	u64 addr;
	u32 len;
	u16 a, b;		/* split: flags, next; packed: ID, flags */
};

static struct {
	u32 slot;
	u16 type;
	u64 common, notify, isr, config;
	u32 multiplier, config_bytes, notify_bytes;
	u16 queues, request_queue;
} dev;

static struct {
	struct desc desc[SIZE];
	u16 avail[4 + SIZE] __attribute__((aligned(16)));
	u16 used[4 + 4 * SIZE] __attribute__((aligned(16)));
} ring __attribute__((aligned(4096)));
static struct {
	struct desc desc[SIZE];
	u16 avail[4 + SIZE] __attribute__((aligned(16)));
	u16 used[4 + 4 * SIZE] __attribute__((aligned(16)));
} other __attribute__((aligned(4096)));	/* of the receiver, where there is one; empty */
static struct desc table[64] __attribute__((aligned(16)));
static u8 data[8192] __attribute__((aligned(4096)));
static bool packed;
static u64 features;

static u32 pci_read(u32 slot, u32 offset)
{
	outl(0xcf8, 0x80000000 | slot << 11 | (offset & 0xfc));
	return inl(0xcfc);
}

static void pci_write(u32 slot, u32 offset, u32 value)
{
	outl(0xcf8, 0x80000000 | slot << 11 | (offset & 0xfc));
	outl(0xcfc, value);
}

#define ACCESS(bits)										\
static u##bits r##bits(u64 at) { return *(volatile u##bits *)at; }				\
static void w##bits(u64 at, u##bits v) { *(volatile u##bits *)at = v; }
ACCESS(8) ACCESS(16) ACCESS(32)
static void w64(u64 at, u64 v) { *(volatile u64 *)at = v; }

/*
 * Wait for the device, in accesses and not in time: each one goes to the launcher, whose threads have had
 * their turn when there were many.
 */
#define await(condition) ({							\
	u32 left_ = 200000;							\
										\
	while (!(condition) && left_--)						\
		(void)r8(dev.common + STATUS);					\
	(bool)(condition); })

static u64 bar_address(u32 bar)
{
	u64 address = pci_read(dev.slot, 0x10 + 4 * bar);

	if ((address & 6) == 4)
		address |= (u64)pci_read(dev.slot, 0x14 + 4 * bar) << 32;
	return address & ~15ULL;
}

/* Only the first 4 GiB are mapped from the start. */
static u64 reach(u32 bar, u32 offset)
{
	u64 at = bar_address(bar) + offset;

	if (at >> 32) {
		map(boot_pml4, at & ~0x1fffffULL, (at & ~0x1fffffULL) | PTE_P | PTE_W | PTE_PS, 2);
		flush_tlb();
	}
	return at;
}

static bool find(u32 slot)
{
	u32 id = pci_read(slot, 0), cap;

	if ((id & 0xffff) != VENDOR || id >> 16 < 0x1040)
		return false;
	memset(&dev, 0, sizeof(dev));
	dev.slot = slot;
	dev.type = (u16)((id >> 16) - 0x1040);
	pci_write(slot, 4, 6);		/* memory, bus master */
	for (cap = pci_read(slot, 0x34) & 0xfc; cap; cap = pci_read(slot, cap) >> 8 & 0xfc) {
		u32 head = pci_read(slot, cap), bar = pci_read(slot, cap + 4) & 0xff;
		u32 offset = pci_read(slot, cap + 8), len = pci_read(slot, cap + 12);

		if ((head & 0xff) != 9)
			continue;
		switch (head >> 24) {
		case 1:
			dev.common = reach(bar, offset);
			break;
		case 2:
			dev.notify = reach(bar, offset);
			dev.multiplier = pci_read(slot, cap + 16);
			dev.notify_bytes = len;
			break;
		case 3:
			dev.isr = reach(bar, offset);
			break;
		case 4:
			dev.config = reach(bar, offset);
			dev.config_bytes = len;
			break;
		}
	}
	dev.queues = r16(dev.common + 18);
	dev.request_queue = dev.type == NET || dev.type == CONSOLE;
	return dev.common && dev.notify;
}

/* ---- A driver, as good as it has to be ---- */

static bool reset(void)
{
	w8(dev.common + STATUS, 0);
	return await(!r8(dev.common + STATUS));
}

static u8 negotiate(u64 want)
{
	w8(dev.common + STATUS, ACKNOWLEDGE | DRIVER);
	w32(dev.common + DRIVER_SELECT, 0);
	w32(dev.common + DRIVER_FEATURE, (u32)want);
	w32(dev.common + DRIVER_SELECT, 1);
	w32(dev.common + DRIVER_FEATURE, (u32)(want >> 32));
	w8(dev.common + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	return r8(dev.common + STATUS);
}

static void set_address(u32 reg, u64 v)
{
	w32(dev.common + reg, (u32)v);
	w32(dev.common + reg + 4, (u32)(v >> 32));
}

static void set_queue(u16 queue, u16 size, u64 desc, u64 driver, u64 device)
{
	w16(dev.common + Q_SELECT, queue);
	w16(dev.common + Q_SIZE, size);
	set_address(Q_DESC, desc);
	set_address(Q_DRIVER, driver);
	set_address(Q_DEVICE, device);
	w16(dev.common + Q_ENABLE, 1);
}

static void notify(u16 queue)
{
	u16 offset;

	w16(dev.common + Q_SELECT, queue);
	offset = r16(dev.common + Q_NOTIFY);
	barrier();
	w16(dev.notify + offset * dev.multiplier, queue);
}

/* Ready for requests: rings empty */
static void begin(u64 more)
{
	features = F_VERSION_1 | more | (packed ? F_PACKED : 0);
	reset();
	memset(&ring, 0, sizeof(ring));
	memset(&other, 0, sizeof(other));
	negotiate(features);
	if (dev.request_queue)
		set_queue(0, SIZE, (u64)other.desc, (u64)other.avail, (u64)other.used);
	set_queue(dev.request_queue, SIZE, (u64)ring.desc, (u64)ring.avail, (u64)ring.used);
	w8(dev.common + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static void put(struct desc *at, u32 index, u64 addr, u32 len, u16 flags, u16 next)
{
	at[index].addr = addr;
	at[index].len = len;
	at[index].a = packed ? 0 : flags;
	at[index].b = packed ? flags : next;
	/* All that follow are available with the first. */
	if (packed && at == ring.desc)
		at[index].b |= AVAIL;
}

static void go(void)
{
	barrier();
	if (!packed) {
		ring.avail[2] = 0;
		barrier();
		ring.avail[1] = 1;
		barrier();
	}
	notify(dev.request_queue);
}

static bool is_used(void)
{
	if (packed)
		return *(volatile u16 *)&ring.desc[0].b & USED;
	return *(volatile u16 *)&ring.used[1];
}

static void good_request(void)
{
	memset(data, 0, sizeof(data));
	switch (dev.type) {
	case BLK:	/* read sector 0 */
		data[4096] = 0xee;
		put(ring.desc, 0, (u64)data, 16, NEXT, 1);
		put(ring.desc, 1, (u64)data + 512, 512, NEXT | WRITE, 2);
		put(ring.desc, 2, (u64)data + 4096, 1, WRITE, 0);
		break;
	case NET:	/* a header and a frame to nobody */
		put(ring.desc, 0, (u64)data, 12 + 60, 0, 0);
		break;
	case CONSOLE:
		memcpy(data, "hostile\n", 8);
		put(ring.desc, 0, (u64)data, 8, 0, 0);
		break;
	case BALLOON:	/* a page that nothing is in */
		*(u32 *)data = (u32)((u64)(data + 4096) >> 12);
		put(ring.desc, 0, (u64)data, 4, 0, 0);
		break;
	default:
		put(ring.desc, 0, (u64)data, 64, WRITE, 0);
	}
	go();
}

static bool works(void)
{
	begin(0);
	good_request();
	return await(is_used()) && !(r8(dev.common + STATUS) & NEEDS_RESET) &&
	       (dev.type != BLK || !((volatile u8 *)data)[4096]);
}

static const char *const names[] = { [NET] = "net", "blk", "console", "rng", "balloon" };

static const char *name(void)
{
	return dev.type < ARRAY_SIZE(names) && names[dev.type] ? names[dev.type] : "device";
}

/* ---- Malformed rings ---- */

/* Let it look, and then start again. @breaks: it has to notice */
static void verdict(const char *what, bool breaks)
{
	bool noticed, fine;

	go();
	if (breaks)
		noticed = await(r8(dev.common + STATUS) & NEEDS_RESET);
	else
		noticed = true, dawdle(20000);
	fine = reset() && works();
	ok(noticed && fine, "%s, %s: %s%s%s", name(), packed ? "packed" : "split", what, noticed ? "" : ": not noticed",
	   fine ? "" : ": does not work any more");
}

static void one(const char *what, u64 addr, u32 len, u16 flags)
{
	begin(flags & INDIRECT ? F_INDIRECT : 0);
	put(ring.desc, 0, addr, len, flags, 1);
	verdict(what, true);
}

static void malformed(void)
{
	static const u64 places[] = { 0xfee00000, 0xfec00000, 0xe0000000, 0xffffffff, 1ULL << 40, 1ULL << 52, ~0ULL << 12 };
	u32 i;

	one("a length of 0", (u64)data, 0, 0);
	one("a length of 4 GiB", 0, ~0U, WRITE);
	one("an address that wraps", ~0ULL - 15, 64, WRITE);
	one("across the end of memory", memory_end() - 16, 4096, WRITE);
	for (i = 0; i < ARRAY_SIZE(places); i++)
		one("an address that is not memory", places[i], 64, i & 1 ? WRITE : 0);
	one("an address in its own registers", dev.common, 16, WRITE);

	begin(0);
	for (i = 0; i < SIZE; i++)
		put(ring.desc, i, (u64)data, 1, NEXT, (i + 1) % SIZE);
	verdict("a loop", true);
	begin(0);
	put(ring.desc, 0, (u64)data, 64, WRITE | NEXT, 1);
	put(ring.desc, 1, (u64)data, 64, 0, 0);
	verdict("reading after writing", true);
	begin(0);
	put(ring.desc, 0, (u64)table, 16, INDIRECT, 0);
	put(table, 0, (u64)data, 16, 0, 0);
	verdict("an indirect table that was not negotiated", true);

	one("an indirect table of no length", (u64)table, 0, INDIRECT);
	one("an indirect table of odd length", (u64)table, 17, INDIRECT);
	one("an indirect table that goes on", (u64)table, 16, INDIRECT | NEXT);
	one("an indirect table outside of memory", 1ULL << 45, 64, INDIRECT);
	one("an indirect table that wraps", ~0ULL - 31, 64, INDIRECT);
	one("an indirect table of 4 GiB", (u64)table, ~0U & ~15U, INDIRECT);
	begin(F_INDIRECT);
	for (i = 0; i < 64; i++)
		put(table, i, (u64)data, 1, NEXT, (u16)(i + 1));
	put(ring.desc, 0, (u64)table, sizeof(table), INDIRECT, 0);
	verdict("an indirect table longer than the queue", true);
	begin(F_INDIRECT);
	put(table, 0, 1ULL << 50, 16, 0, 0);
	put(ring.desc, 0, (u64)table, 16, INDIRECT, 0);
	verdict("a bad address in an indirect table", true);

	/* The ring as data: what the device writes, it reads. */
	begin(0);
	put(ring.desc, 0, (u64)&ring, sizeof(ring), WRITE, 0);
	verdict("the ring as a buffer to write", false);
	begin(0);
	put(ring.desc, 0, (u64)&ring, sizeof(ring), 0, 0);
	verdict("the ring as a buffer to read", false);
	if (packed) {
		begin(0);
		put(ring.desc, 0, (u64)data, 16, USED, 0);
		verdict("flags of the next round", false);
		begin(0);
		for (i = 0; i < SIZE; i++)
			put(ring.desc, i, (u64)data, 16, 0, 0);
		verdict("every descriptor with the same ID", false);
		return;
	}
	begin(F_INDIRECT);
	put(table, 0, (u64)table, 16, INDIRECT, 0);
	put(ring.desc, 0, (u64)table, 16, INDIRECT, 0);
	verdict("a table in a table", true);
	begin(0);
	put(ring.desc, 0, (u64)data, 1, NEXT, SIZE);
	verdict("a next descriptor outside the table", true);
	begin(0);
	put(ring.desc, 0, (u64)data, 1, NEXT, 0xffff);
	verdict("a next descriptor far outside", true);
	for (i = SIZE; i < 65536; i = i * 2 + 1) {
		begin(0);
		ring.avail[2] = (u16)i;
		ring.avail[1] = 1;
		notify(dev.request_queue);
		ok(await(r8(dev.common + STATUS) & NEEDS_RESET) && works(), "%s: head %u", name(), i);
		begin(0);
		ring.avail[1] = (u16)(i + 1);
		notify(dev.request_queue);
		ok(await(r8(dev.common + STATUS) & NEEDS_RESET) && works(), "%s: available index %u", name(), i + 1);
	}
}

/* ---- Requests that are no requests ---- */

static void requests(void)
{
	static const u16 lengths[] = { 1, 2, 3, 4, 8, 12, 15, 16, 17, 64, 511, 512, 513, 4096 };
	u32 i, j, seed = 1;
	bool fine = true;

	for (i = 0; i < ARRAY_SIZE(lengths) * 16 && fine; i++) {
		u32 shape = i / ARRAY_SIZE(lengths), len = lengths[i % ARRAY_SIZE(lengths)];

		begin(0);
		for (j = 0; j < 64; j++) {
			seed = seed * 1664525 + 1013904223;
			/* Types and commands are small numbers. */
			data[j] = shape & 8 ? (u8)(seed >> 24) : (u8)(j ? 0xff * (shape & 1) : i);
		}
		switch (shape & 3) {
		case 0:
			put(ring.desc, 0, (u64)data, len, 0, 0);
			break;
		case 1:
			put(ring.desc, 0, (u64)data, len, WRITE, 0);
			break;
		case 2:
			put(ring.desc, 0, (u64)data, len, NEXT, 1);
			put(ring.desc, 1, (u64)data + 4096, 1, WRITE, 0);
			break;
		case 3:
			put(ring.desc, 0, (u64)data, 16, NEXT, 1);
			put(ring.desc, 1, (u64)data + 64, len, NEXT | WRITE, 2);
			put(ring.desc, 2, (u64)data + 4096, 1, WRITE, 0);
			break;
		}
		go();
		dawdle(2000);
		if (i % 8 == 7)
			fine = reset() && works();
	}
	ok(fine, "%s, %s: requests too short, of no type, in odd shapes (%u)", name(), packed ? "packed" : "split", i);
}

/* ---- Wrong steps ---- */

static void bad_queue(const char *what, u16 size, u64 desc, u64 driver, u64 device)
{
	reset();
	memset(&ring, 0, sizeof(ring));
	negotiate(features);
	set_queue(dev.request_queue, size, desc, driver, device);
	w8(dev.common + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	good_request();
	dawdle(20000);
	ok(reset() && works(), "%s: a queue of which %s", name(), what);
}

static void steps(void)
{
	u64 d = (u64)ring.desc, a = (u64)ring.avail, u = (u64)ring.used, end = memory_end();
	u32 i;

	features = F_VERSION_1;
	bad_queue("the size is 0", 0, d, a, u);
	bad_queue("the size is 3", 3, d, a, u);
	bad_queue("the size is 32768", 32768, d, a, u);
	bad_queue("the size is 65535", 65535, d, a, u);
	bad_queue("the table is misaligned", SIZE, d + 8, a, u);
	bad_queue("the rings are misaligned", SIZE, d, a + 1, u + 2);
	bad_queue("the table is not in memory", SIZE, end, a, u);
	bad_queue("the table ends outside of memory", SIZE, end - 128, a, u);
	bad_queue("the available ring wraps", SIZE, d, ~0ULL - 3, u);
	bad_queue("the used ring wraps", SIZE, d, a, ~0ULL - 3);
	bad_queue("the used ring is the local APIC", SIZE, d, a, 0xfee00000);
	bad_queue("the used ring is its own registers", SIZE, d, a, dev.common & ~4095ULL);
	bad_queue("all rings are in one place", SIZE, d, d, d);

	begin(0);
	for (i = 0; i < 3; i++)
		set_queue(dev.request_queue, (u16)(4 << i), a, u, d);
	good_request();
	ok(await(is_used()) && works(), "%s: a queue that is set again while it is enabled", name());
	reset();
	negotiate(features);
	w8(dev.common + STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	for (i = 0; i < 200; i++)
		w16(dev.notify + i * 2 % dev.notify_bytes, (u16)i);
	ok(works(), "%s: notifications of queues that are not enabled", name());
	begin(0);
	set_queue(dev.queues, SIZE, d, a, u);
	set_queue(0xffff, SIZE, d, a, u);
	ok(works(), "%s: queues that there are not", name());

	reset();
	ok(!(negotiate(~0ULL) & FEATURES_OK), "%s: features that are not offered are refused", name());
	reset();
	ok(!(negotiate(0) & FEATURES_OK), "%s: so is a driver from before virtio 1", name());
	w8(dev.common + STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK);
	good_request();
	ok(works(), "%s: DRIVER_OK without FEATURES_OK", name());
	reset();
	for (i = 0; i < 256; i++)
		w8(dev.common + STATUS, (u8)i);
	ok(works(), "%s: every status after the other", name());

	for (i = 0; i < 200; i++) {
		begin(0);
		good_request();
		if (i & 1)
			dawdle(i * 50);
	}
	ok(works(), "%s: resets with requests in flight", name());
}

/* Anything, anywhere in @bytes of registers */
static void scribble(u64 at, u32 bytes)
{
	u32 i, seed = 7;

	for (i = 0; i < bytes; i++) {
		seed = seed * 1664525 + 1013904223;
		w8(at + i, (u8)(seed >> 24));
		w16(at + (i & ~1U), (u16)(seed >> 16));
		w32(at + (i & ~3U), seed);
		w64(at + (i & ~7U), (u64)seed << 32 | ~seed);
		if (i + 8 <= bytes)
			w32(at + i, seed);
	}
}

static void registers(void)
{
	u32 saved[16], i, msix;
	u64 bar[2] = { bar_address(0), 0 };

	begin(0);
	if (dev.config)
		scribble(dev.config, dev.config_bytes);
	scribble(dev.notify, dev.notify_bytes);
	ok(works(), "%s: writes to configuration and notifications", name());
	scribble(dev.common, COMMON_BYTES);
	scribble(dev.isr, 8);
	ok(works(), "%s: writes to the common configuration", name());

	for (i = 0; i < 16; i++)
		saved[i] = pci_read(dev.slot, i * 4);
	for (msix = pci_read(dev.slot, 0x34) & 0xfc; msix; msix = pci_read(dev.slot, msix) >> 8 & 0xfc)
		if ((pci_read(dev.slot, msix) & 0xff) == 0x11)
			break;
	if (msix) {
		u32 where = pci_read(dev.slot, msix + 4), n = (pci_read(dev.slot, msix) >> 16 & 0x7ff) + 1;
		u64 entries = reach(where & 7, where & ~7U);

		bar[1] = bar_address(where & 7);
		for (i = 0; i < n; i++) {
			/* Not where local APICs would take it: this program has no use for interrupts. */
			w32(entries + i * 16, i & 1 ? 0xfee00000 : i * 0x9e3779b9);
			w32(entries + i * 16 + 4, i & 2 ? ~0U : 0);
			w32(entries + i * 16 + 8, i & 1 ? 0xfe : ~0U);
			w32(entries + i * 16 + 12, 0);
		}
		begin(0);
		pci_write(dev.slot, msix, 0x80000000);
		w16(dev.common + CONFIG_VECTOR, 0x7777);
		w16(dev.common + CONFIG_VECTOR, 0);
		w16(dev.common + Q_SELECT, dev.request_queue);
		w16(dev.common + Q_VECTOR, 0xfffe);
		w16(dev.common + Q_VECTOR, (u16)(n - 1));
		good_request();
		ok(await(is_used()), "%s: messages to anywhere", name());
		scribble(entries, n * 16);
		pci_write(dev.slot, msix, 0xc0000000);
		pci_write(dev.slot, msix, 0);
		ok(works(), "%s: rubbish in the table of messages", name());
	}

	/* BARs over RAM, local APIC, each other, nothing; and back */
	for (i = 0; i < 6; i++) {
		static const u32 low[] = { 0, 0x100000, 0xfee00000, 0xfec00000, 0xfffff000, 0 };

		pci_write(dev.slot, 0x10, i == 5 ? (u32)bar[1] : low[i]);
		pci_write(dev.slot, 0x14, i == 5 ? (u32)(bar[1] >> 32) : 0);
		(void)r32(0x100000);
		(void)r32(0xfee00030);
	}
	pci_write(dev.slot, 0x10, saved[4]);
	pci_write(dev.slot, 0x14, saved[5]);
	ok(works(), "%s: BARs that were elsewhere", name());
	for (i = 0; i < 256; i += 4) {
		pci_write(dev.slot, i, i * 0x9e3779b9);
		pci_write(dev.slot, i, ~0U);
		pci_write(dev.slot, i, 0);
	}
	for (i = 4; i < 16; i++)
		pci_write(dev.slot, i * 4, saved[i]);
	pci_write(dev.slot, 4, saved[1]);
	ok(works(), "%s: writes to all of PCI's configuration", name());
}

int main(void)
{
	u32 slot, found = 0;

	cpu_start(0);
	pic_init(0x20);
	apic_enable(false);
	for (slot = 0; slot < 32; slot++) {
		if (!find(slot))
			continue;
		found++;
		print("# slot %u: virtio %s, %u queues\n", slot, name(), dev.queues);
		packed = false;
		ok(works(), "%s works", name());
		for (u32 format = 0; format < 2; format++) {
			packed = format;
			malformed();
			requests();
		}
		packed = false;
		steps();
		registers();
		packed = true;
		ok(works(), "%s works in the end, packed", name());
		reset();
	}
	ok(found == option("devices", found ? found : 1), "%u virtio devices", found);
	return finish_tests();
}

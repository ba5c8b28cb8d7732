// SPDX-License-Identifier: GPL-2.0-only
/* The balloon against a driver that behaves, and one that does not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rig.h"
#include "ring.h"
#include "tap.h"
#include "../vireo/util.h"
#include "../vireo/virtio/balloon.h"
#include "../vireo/virtio/virtio.h"

#define BYTES		(64 * MIB)
#define RINGS		0x10000ULL
#define RING_ROOM	0x10000ULL
#define RING_SIZE	32
#define QUEUES		4		/* the last one is for reports, as Linux counts */
#define PFNS		0x100000ULL
#define STATS		0x180000ULL
#define PAGES		0x1000000ULL	/* to give up */
#define ACTUAL		4
#define POISON		12

static struct rig rig;
static struct virtio_device *dev;
static struct balloon *balloon;
static struct ring ring[QUEUES];

static void start(void)
{
	static const struct virtq_position zero;
	unsigned int i;

	for (i = 0; i < QUEUES; i++) {
		struct virtq_position at = dev->queue[i].vq.at;

		if (virtq_start(&dev->queue[i].vq, &rig.memory, &ring[i].layout, dev->running ? &at : &zero))
			abort();
	}
	dev->running = true;
	if (dev->class->start(dev))
		abort();
}

static void stop(void)
{
	unsigned int i;

	dev->class->stop(dev);
	for (i = 0; i < QUEUES; i++)
		virtq_stop(&dev->queue[i].vq);
}

static void build(uint64_t features)
{
	unsigned int i;

	rig_init(&rig, BYTES);
	balloon = balloon_new(&rig.memory, BYTES, true, true);
	dev = balloon_device(balloon);
	rig_carry(&rig, dev);
	dev->features = features;
	dev->running = false;
	for (i = 0; i < dev->nr_queues; i++)
		dev->queue[i].kick = eventfd(0, EFD_NONBLOCK);
	for (i = 0; i < QUEUES; i++)
		ring_init(&ring[i], &rig.memory, RINGS + i * RING_ROOM, RING_SIZE, 0);
	start();
}

static void destroy(void)
{
	struct virtio_queue *queue = dev->queue;
	unsigned int i, nr = dev->nr_queues;

	stop();
	dev->class->destroy(dev);
	for (i = 0; i < nr; i++)
		close(queue[i].kick);
	free(queue);
	rig_destroy(&rig);
}

static void kick(unsigned int queue)
{
	uint64_t one = 1;

	if (write(dev->queue[queue].kick, &one, sizeof(one)) < 0)
		abort();
}

/* Wait until a buffer comes back, or the queue is dead; returns true for the first. */
static bool comes_back(unsigned int queue)
{
	unsigned int n;
	uint32_t len;
	uint16_t id;

	for (n = 0; n < 30000; n++) {
		if (ring_get_used(&ring[queue], &id, &len))
			return true;
		if (__atomic_load_n(&rig.failures, __ATOMIC_ACQUIRE))
			return false;
		usleep(1000);
	}
	return false;
}

static bool give(unsigned int queue, uint64_t gpa, uint32_t len, bool write)
{
	struct ring_buf buf = { gpa, len, write };

	if (ring_add(&ring[queue], &buf, 1, false) < 0)
		return false;
	kick(queue);
	return comes_back(queue);
}

static bool resident(uint64_t gpa)
{
	unsigned char vec = 0;

	if (mincore(memory_ptr(&rig.memory, gpa, 4096), 4096, &vec))
		abort();
	return vec & 1;
}

static void touch(uint64_t gpa, unsigned int pages)
{
	memset(memory_ptr(&rig.memory, gpa, pages * 4096ULL), 0x5a, pages * 4096ULL);
}

static uint32_t config(unsigned int offset)
{
	dev->class->config_read(dev);
	return get_le32(dev->config + offset);
}

static void set_config(unsigned int offset, uint32_t value)
{
	uint8_t old[4];

	dev->class->config_read(dev);
	memcpy(old, dev->config + offset, 4);
	memcpy(dev->config + offset, &value, 4);
	dev->class->config_write(dev, offset, 4, old);
}

static void test_inflate(void)
{
	uint32_t *pfn;
	unsigned int i;

	build(1 << 1);
	pfn = memory_ptr(&rig.memory, PFNS, 4096);
	touch(PAGES, 8);
	for (i = 0; i < 4; i++)
		pfn[i] = (uint32_t)(PAGES / 4096 + 3 - i);
	ok(give(0, PFNS, 16, false), "pages are given up");
	ok(!resident(PAGES) && !resident(PAGES + 0x3000), "the host has them");
	ok(resident(PAGES + 0x4000), "and no others");
	is(*(uint8_t *)memory_ptr(&rig.memory, PAGES, 1), 0, "they read as zeros");
	ok(give(1, PFNS, 16, false), "pages are taken back");

	touch(PAGES, 8);
	pfn[0] = 0xffffffff;
	pfn[1] = BYTES / 4096;
	pfn[2] = (uint32_t)(PAGES / 4096);
	pfn[3] = 0x80000000;
	ok(give(0, PFNS, 16, false), "numbers that are not memory");
	ok(!resident(PAGES) && resident(PAGES + 0x1000), "are ignored");
	touch(PAGES, 1);
	pfn[0] = (uint32_t)(PAGES / 4096);
	ok(give(0, PFNS, 3, false), "less than a number");
	ok(resident(PAGES), "is none");
	ok(give(0, PFNS, 16, true), "a buffer to be written");
	ok(resident(PAGES), "has no numbers");
	ok(!give(0, BYTES, 16, false) && rig.failures, "a buffer outside of memory breaks the queue");
	destroy();
}

static void test_config(void)
{
	struct balloon_info info;

	build(1 << 1);
	is(config(0), 0, "nothing is wanted");
	is(balloon_set(balloon, 48 * MIB), 0, "16 MiB are wanted");
	is(config(0), 16 * MIB / 4096, "and the guest is told");
	is(rig.changes, 1, "at once");
	is(balloon_set(balloon, 65 * MIB), (uint64_t)-34, "more than there is");
	is(config(0), 16 * MIB / 4096, "changes nothing");
	set_config(ACTUAL, 100);
	balloon_info(balloon, &info);
	is(info.actual, BYTES - 100 * 4096, "what the guest says that it has");
	set_config(ACTUAL, 0xffffffff);
	balloon_info(balloon, &info);
	is(info.actual, 0, "and what it cannot have");
	set_config(0, 7);
	is(config(0), 16 * MIB / 4096, "the target is not the guest's");
	destroy();
}

static void test_statistics(void)
{
	struct ring_buf buf = { STATS, 30, false };
	struct balloon_info info;
	uint8_t *stat;
	unsigned int n;

	build(1 << 1);
	stat = memory_ptr(&rig.memory, STATS, 4096);
	memset(stat, 0, 30);
	stat[0] = 5;
	stat[2] = 77;
	stat[10] = 0xff;
	stat[11] = 0xff;
	stat[20] = 4;
	stat[22] = 33;
	ring_add(&ring[2], &buf, 1, false);
	kick(2);
	for (n = 0; n < 30000; n++) {
		balloon_info(balloon, &info);
		if (info.has)
			break;
		usleep(1000);
	}
	is(info.has, BIT(5) | BIT(4), "those that are known");
	is(info.stat[5], 77, "total");
	ok(balloon_answered(balloon), "nobody waits");
	balloon_ask(balloon);
	ok(!balloon_answered(balloon), "new ones are asked for");
	ok(comes_back(2), "the buffer comes back");
	stat[2] = 78;
	ring_add(&ring[2], &buf, 1, false);
	kick(2);
	while (!balloon_answered(balloon))
		usleep(1000);
	balloon_info(balloon, &info);
	is(info.stat[5], 78, "and has new ones");
	stop();
	start();
	balloon_info(balloon, &info);
	for (n = 0; n < 30000 && !balloon_answered(balloon); n++)
		usleep(1000);
	kick(2);
	for (n = 0; n < 30000; n++) {
		balloon_ask(balloon);
		if (!balloon_answered(balloon))
			break;
		usleep(1000);
	}
	ok(comes_back(2), "a pause does not lose the buffer");
	destroy();
}

static void test_report(void)
{
	build(1 << 1 | 1 << 5 | 1 << 4);
	touch(PAGES, 8);
	ok(give(3, PAGES + 0x800, 0x2000, true), "a report of what is no whole page");
	ok(resident(PAGES) && !resident(PAGES + 0x1000) && resident(PAGES + 0x2000),
	   "gives the pages within");
	set_config(POISON, 0xaa);
	touch(PAGES, 8);
	ok(give(3, PAGES, 0x4000, true), "a report by one that fills free pages");
	ok(resident(PAGES + 0x1000), "gives nothing");
	destroy();
}

int main(void)
{
	test_inflate();
	test_config();
	test_statistics();
	test_report();
	return tap_done();
}

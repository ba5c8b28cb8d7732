// SPDX-License-Identifier: GPL-2.0-only
/* virtio-blk: requests of each kind in any layout, malformed ones, a full host, errors, caches, state. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "follow.h"
#include "rig.h"
#include "ring.h"
#include "tap.h"
#include "../vireo/block/block.h"
#include "../vireo/option.h"
#include "../vireo/params.h"
#include "../vireo/state.h"
#include "../vireo/util.h"
#include "../vireo/virtio/blk.h"

#define SECTORS		2048ULL
#define RING_SIZE	64
#define RINGS		0x10000ULL
#define RING_ROOM	0x20000ULL	/* of each */
#define QUEUES		4
#define DATA		0x200000ULL
#define DATA_BYTES	0x200000ULL
#define FLAG(name)	(1ULL << VIRTIO_BLK_F_##name)
#define PENDING		0xee		/* no status of the device */

static struct rig rig;
static struct virtio_device *dev;
static struct ring ring[QUEUES];
static uint8_t *data;
static char image[] = "/tmp/vireo-blk-XXXXXX";

/* ---- A backend that does what it is told ---- */

static struct {
	struct block block;
	int result;		/* of all requests that change something */
	int read_result;
	unsigned int rounds;	/* waits until a request is completed */
	unsigned int attached;
	unsigned int ops[8];
	bool stable, unmap;	/* of the last one */
	uint64_t offset, bytes;
} fake;

struct fake_io {
	struct block_io io;
	struct block_request *pending;
	unsigned int left;
	unsigned int nr;
	struct pollfd fd[];
};

static void fake_done(struct block_request *request)
{
	bool changes = request->op != BLOCK_READ && request->op != BLOCK_FLUSH;

	request->done(request, changes ? __atomic_load_n(&fake.result, __ATOMIC_ACQUIRE) :
		      request->op == BLOCK_READ ? fake.read_result : 0);
}

static void fake_submit(struct block_io *block_io, struct block_request *request)
{
	struct fake_io *io = container_of(block_io, struct fake_io, io);

	__atomic_fetch_add(&fake.ops[request->op], 1, __ATOMIC_RELEASE);
	fake.stable = request->stable;
	fake.unmap = request->unmap;
	fake.offset = request->offset;
	fake.bytes = request->bytes;
	if (!fake.rounds) {
		fake_done(request);
		return;
	}
	request->next = io->pending;
	io->pending = request;
	io->left = fake.rounds;
}

static void fake_wait(struct block_io *block_io)
{
	struct fake_io *io = container_of(block_io, struct fake_io, io);
	struct block_request *request, *next;
	uint64_t count;
	unsigned int i;

	poll(io->fd, io->nr, io->pending ? 1 : -1);
	for (i = 0; i < io->nr; i++) {
		if (io->fd[i].revents && read(io->fd[i].fd, &count, sizeof(count)) < 0)
			abort();
	}
	if (!io->pending || --io->left)
		return;
	request = io->pending;
	io->pending = NULL;
	for (; request; request = next) {
		next = request->next;
		fake_done(request);
	}
}

static int fake_attach(struct block *block, const int *events, unsigned int nr, struct block_io **out)
{
	struct fake_io *io = calloc(1, sizeof(*io) + nr * sizeof(io->fd[0]));

	fake.attached++;
	io->io.block = block;
	io->nr = nr;
	while (nr--)
		io->fd[nr] = (struct pollfd){ .fd = events[nr], .events = POLLIN };
	*out = &io->io;
	return 0;
}

static void fake_detach(struct block_io *io)
{
	fake.attached--;
	free(container_of(io, struct fake_io, io));
}

static void fake_close(struct block *block)
{
	(void)block;
}

static const struct block_ops fake_ops = {
	.attach = fake_attach,
	.detach = fake_detach,
	.submit = fake_submit,
	.wait = fake_wait,
	.close = fake_close,
};

static struct block *fake_block(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.block = (struct block){ .ops = &fake_ops, .bytes = SECTORS * 512, .block_bytes = 512,
				     .physical_bytes = 4096, .discard_bytes = 4096,
				     .can_discard = true, .can_zero = true };
	return &fake.block;
}

static struct block *file_block(bool read_only)
{
	struct block_options options = { .path = image, .read_only = read_only };
	struct block *block;

	if (truncate(image, 0) || truncate(image, SECTORS * 512) || block_open(&options, &block))
		abort();
	return block;
}

/* ---- A driver ---- */

static void start(uint64_t features, unsigned int flags)
{
	unsigned int i;

	dev->features = features;
	for (i = 0; i < dev->nr_queues && i < QUEUES; i++) {
		ring_init(&ring[i], &rig.memory, RINGS + i * RING_ROOM, RING_SIZE, flags);
		if (virtq_start(&dev->queue[i].vq, &rig.memory, &ring[i].layout, NULL))
			abort();
		ring_want_interrupts(&ring[i], true);
	}
	dev->running = true;
	is(dev->class->start(dev), 0, "it starts");
}

static void reset(uint64_t features, unsigned int flags)
{
	unsigned int i;

	dev->class->stop(dev);
	for (i = 0; i < dev->nr_queues; i++)
		virtq_stop(&dev->queue[i].vq);
	dev->class->reset(dev);
	rig.failures = 0;
	start(features, flags);
}

static void create(struct block *block, const struct blk_options *options)
{
	rig_init(&rig, DATA + DATA_BYTES);
	if (blk_create(&rig.board, block, options, &dev))
		abort();
	rig_carry(&rig, dev);
	data = memory_ptr(&rig.memory, DATA, DATA_BYTES);
}

static void destroy(void)
{
	struct virtio_queue *queue = dev->queue;
	unsigned int i, nr = dev->nr_queues;

	dev->class->stop(dev);
	dev->class->destroy(dev);
	for (i = 0; i < nr; i++)
		close(queue[i].kick);
	free(queue);
	rig_destroy(&rig);
}

static void kick(unsigned int queue)
{
	uint64_t one = 1;

	if (ring_should_kick(&ring[queue]) && write(dev->queue[queue].kick, &one, sizeof(one)) != sizeof(one))
		abort();
}

static uint32_t wait_used(unsigned int queue)
{
	unsigned int i;
	uint32_t len;
	uint16_t id;

	for (i = 0; i < 20000; i++) {
		if (ring_get_used(&ring[queue], &id, &len)) {
			ring_want_interrupts(&ring[queue], true);
			return len;
		}
		usleep(500);
	}
	printf("Bail out! the device does not answer\n");
	exit(1);
}

/* A request in guest memory: header at the start of @at, then what it has to read, then what is written */
struct req {
	uint64_t at;
	uint64_t read_bytes;	/* with the header */
	uint64_t write_bytes;	/* with the status */
};

static uint8_t *status_of(const struct req *req)
{
	return memory_ptr(&rig.memory, req->at + req->read_bytes + req->write_bytes - 1, 1);
}

static void make(struct req *req, uint64_t at, uint32_t type, uint64_t sector, uint64_t out_bytes, uint64_t in_bytes)
{
	struct virtio_blk_outhdr header = { .type = type, .sector = sector };

	*req = (struct req){ at, sizeof(header) + out_bytes, in_bytes + 1 };
	memory_write(&rig.memory, at, &header, sizeof(header));
	*status_of(req) = PENDING;
}

static unsigned int cut(struct ring_buf *buf, unsigned int nr, uint64_t at, uint64_t bytes, bool write,
			unsigned int pieces)
{
	while (bytes) {
		uint64_t n = pieces > 1 && bytes > 1 ? 1 + (uint64_t)rand() % (bytes - 1) : bytes;

		buf[nr++] = (struct ring_buf){ at, (uint32_t)n, write };
		at += n;
		bytes -= n;
		if (pieces > 1)
			pieces--;
	}
	return nr;
}

/* Put it into the queue, each part cut into up to so many pieces anywhere */
static void submit(const struct req *req, unsigned int queue, unsigned int pieces, bool indirect)
{
	struct ring_buf buf[RING_SIZE];
	unsigned int nr = cut(buf, 0, req->at, req->read_bytes, false, pieces);

	nr = cut(buf, nr, req->at + req->read_bytes, req->write_bytes, true, pieces);
	if (ring_add(&ring[queue], buf, nr, indirect) < 0)
		abort();
	kick(queue);
}

static uint8_t run(uint32_t type, uint64_t sector, uint64_t out_bytes, uint64_t in_bytes, uint32_t *len)
{
	struct req req;
	uint32_t used;

	make(&req, DATA, type, sector, out_bytes, in_bytes);
	submit(&req, 0, 1, false);
	used = wait_used(0);
	if (len)
		*len = used;
	return *status_of(&req);
}

static uint8_t run_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes range = { sector, sectors, flags };

	memcpy(data + 16, &range, sizeof(range));
	return run(type, 0, sizeof(range), 0, NULL);
}

/* ---- Tests ---- */

static const struct blk_options plain = { .name = "test", .serial = "S/N 1234567890123456", .queues = 1,
					  .discard = true };
static const uint64_t all = FLAG(FLUSH) | FLAG(CONFIG_WCE) | FLAG(DISCARD) | FLAG(WRITE_ZEROES) | FLAG(MQ);

static const struct virtio_blk_config *config(void)
{
	return (const struct virtio_blk_config *)(const void *)dev->config;
}

static void test_config(void)
{
	struct blk_options options = plain;

	create(fake_block(), &plain);
	is(config()->capacity, SECTORS, "capacity");
	is(config()->seg_max, BLK_QUEUE_SIZE - 2, "segments");
	is(config()->blk_size, 512, "block size");
	is(config()->physical_block_exp, 3, "physical blocks");
	is(config()->wce, 1, "writes back");
	is(config()->max_discard_seg, BLK_RANGES_MAX, "ranges of a discard");
	is(config()->discard_sector_alignment, 8, "alignment of discards");
	is(config()->write_zeroes_may_unmap, 1, "zeroes may unmap");
	is(dev->offered & (all | FLAG(RO)), all & ~FLAG(MQ), "features");
	destroy();

	options.discard = false;
	options.writethrough = true;
	options.queues = 3;
	create(fake_block(), &options);
	is(dev->offered & (all | FLAG(RO)), FLAG(WRITE_ZEROES) | FLAG(MQ), "features: writethrough, no discard, queues");
	is(config()->write_zeroes_may_unmap, 0, "zeroes may not unmap");
	is(config()->num_queues, 3, "queues");
	is(config()->wce, 0, "writes through");
	destroy();

	create(file_block(true), &plain);
	is(dev->offered & (all | FLAG(RO)), FLAG(FLUSH) | FLAG(CONFIG_WCE) | FLAG(RO), "features: read-only");
	destroy();
}

/* Random requests in random layouts against a copy of the disk */
static void test_random(unsigned int flags, const char *what)
{
	static uint8_t model[SECTORS * 512], disk[SECTORS * 512];
	unsigned int i, bad = 0, requests[3] = { 0 };
	uint32_t wrong_len = 0;
	int fd;

	create(file_block(false), &plain);
	start(all, flags);
	memset(model, 0, sizeof(model));
	for (i = 0; i < 400; i++) {
		uint64_t sectors = 1 + (uint64_t)rand() % 60, sector = (uint64_t)rand() % (SECTORS - sectors);
		uint64_t bytes = sectors * 512, j;
		struct req req;
		uint32_t len;

		switch (rand() % 3) {
		case 0:
			for (j = 0; j < bytes; j++)
				data[16 + j] = (uint8_t)rand();
			make(&req, DATA, VIRTIO_BLK_T_OUT, sector, bytes, 0);
			memcpy(model + sector * 512, data + 16, bytes);
			requests[0]++;
			break;
		case 1:
			make(&req, DATA, VIRTIO_BLK_T_IN, sector, 0, bytes);
			memset(data + 16, 0x5a, bytes);
			requests[1]++;
			break;
		default:
			make(&req, DATA, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, 0);
			memcpy(data + 16, &(struct virtio_blk_discard_write_zeroes){ sector, 1, 0 }, 16);
			memcpy(data + 32, &(struct virtio_blk_discard_write_zeroes){ sector, (uint32_t)sectors, 1 }, 16);
			memset(model + sector * 512, 0, bytes);
			requests[2]++;
			break;
		}
		submit(&req, 0, 1 + (unsigned int)rand() % 8, flags & RING_INDIRECT && rand() & 1);
		len = wait_used(0);
		bad += *status_of(&req) != VIRTIO_BLK_S_OK;
		wrong_len += len != req.write_bytes;
		if (req.write_bytes > 1)
			bad += !!memcmp(data + 16, model + sector * 512, bytes);
	}
	is(bad, 0, "%s: %u writes, %u reads, %u times zeroes", what, requests[0], requests[1], requests[2]);
	is(wrong_len, 0, "%s: lengths", what);
	ok(rig.notified[0], "%s: the driver is notified", what);
	is(run(VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), VIRTIO_BLK_S_OK, "%s: a flush", what);
	fd = open(image, O_RDONLY);
	ok(read(fd, disk, sizeof(disk)) == sizeof(disk) && !memcmp(disk, model, sizeof(disk)), "%s: the image", what);
	close(fd);
	is(rig.failures, 0, "%s: no complaint", what);
	destroy();
}

static void test_kinds(void)
{
	uint32_t len;

	create(fake_block(), &plain);
	start(all, 0);
	memset(data, 0, 64);
	is(run(VIRTIO_BLK_T_GET_ID, 0, 0, 20, &len), VIRTIO_BLK_S_OK, "the serial number");
	is(len, 21, "its length");
	ok(!memcmp(data + 16, "S/N 1234567890123456", 20), "itself");
	is(run(VIRTIO_BLK_T_GET_ID, 0, 0, 30, &len), VIRTIO_BLK_S_OK, "with more room");
	is(len, 20, "its length");
	is(run(VIRTIO_BLK_T_GET_ID, 0, 0, 19, NULL), VIRTIO_BLK_S_IOERR, "with less");
	is(run(VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), VIRTIO_BLK_S_OK, "a flush");
	is(run(VIRTIO_BLK_T_FLUSH, UINT64_MAX, 0, 0, NULL), VIRTIO_BLK_S_OK, "its sector means nothing");
	is(fake.ops[BLOCK_FLUSH], 2, "are handed on");
	is(run_range(VIRTIO_BLK_T_DISCARD, 16, 8, 0), VIRTIO_BLK_S_OK, "a discard");
	is(fake.offset, 16 * 512, "where");
	is(fake.bytes, 8 * 512, "how much");
	is(run_range(VIRTIO_BLK_T_WRITE_ZEROES, SECTORS - 1, 1, 1), VIRTIO_BLK_S_OK, "zeroes");
	ok(fake.unmap, "may unmap");
	is(run_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, SECTORS, 0), VIRTIO_BLK_S_OK, "zeroes everywhere");
	ok(!fake.unmap, "may not unmap");
	is(run(VIRTIO_BLK_T_IN, SECTORS, 0, 0, NULL), VIRTIO_BLK_S_OK, "a read of nothing");
	is(fake.ops[BLOCK_READ], 0, "is not handed on");
	destroy();
}

/* Who follows memory is told of what was read, and of the status, also when the read ends within a segment. */
static void test_followed(unsigned int flags)
{
	struct req req;
	unsigned int i;

	create(file_block(false), &plain);
	start(all, flags);
	memset(data, 7, 64 * BLOCK_SECTOR);
	is(run(VIRTIO_BLK_T_OUT, 0, 64 * BLOCK_SECTOR, 0, NULL), VIRTIO_BLK_S_OK, "write");
	for (i = 0; i < 20; i++) {
		memset(data, 0, 128 * BLOCK_SECTOR);
		/* Up to 64 sectors of data, then zeros behind the end of what the file has. */
		make(&req, DATA + i * 100, VIRTIO_BLK_T_IN, i % 3 * 32, 0, (i + 1) * BLOCK_SECTOR);
		follow_begin(&rig.memory);
		submit(&req, 0, 3, flags & RING_INDIRECT);
		wait_used(0);
		dev->class->stop(dev);
		is(follow_end(&rig.memory, NULL), 0, "reading %u sectors is told to a follower", i + 1);
		is(dev->class->start(dev), 0, "go on");
	}
	destroy();
}

static void test_malformed(void)
{
	static const uint32_t unknown[] = { 2, 3, 5, 9, 10, 12, 14, 15, 0x80000000, 0xffffffff };
	static const uint64_t sectors[] = { SECTORS, SECTORS + 1, SECTORS - 1, 1ULL << 55, (1ULL << 55) - 1,
					    UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 512, 1ULL << 63 };
	unsigned int i;
	uint32_t len;

	create(fake_block(), &plain);
	start(all, 0);
	for (i = 0; i < ARRAY_SIZE(sectors); i++) {
		is(run(VIRTIO_BLK_T_IN, sectors[i], 0, 1024, &len), VIRTIO_BLK_S_IOERR, "a read at sector %#llx",
		   (unsigned long long)sectors[i]);
		is(len, 0, "of which nothing is promised");
		is(run(VIRTIO_BLK_T_OUT, sectors[i], 1024, 0, NULL), VIRTIO_BLK_S_IOERR, "a write there");
		is(run_range(VIRTIO_BLK_T_DISCARD, sectors[i], 2, 0), VIRTIO_BLK_S_IOERR, "a discard there");
		is(run_range(VIRTIO_BLK_T_WRITE_ZEROES, sectors[i], 2, 0), VIRTIO_BLK_S_IOERR, "zeroes there");
	}
	for (i = 1; i < 1024; i += 100) {
		is(run(VIRTIO_BLK_T_IN, 0, 0, i, NULL), VIRTIO_BLK_S_IOERR, "a read of %u bytes", i);
		is(run(VIRTIO_BLK_T_OUT, 0, i, 0, NULL), VIRTIO_BLK_S_IOERR, "a write of %u bytes", i);
	}
	for (i = 0; i < ARRAY_SIZE(unknown); i++)
		is(run(unknown[i], 0, 512, 512, NULL), VIRTIO_BLK_S_UNSUPP, "type %#x", unknown[i]);
	for (i = VIRTIO_BLK_T_DISCARD; i <= VIRTIO_BLK_T_WRITE_ZEROES; i += 2) {
		uint32_t most = i == VIRTIO_BLK_T_DISCARD ? BLK_DISCARD_SECTORS : BLK_ZERO_SECTORS;

		is(run(i, 0, 0, 0, NULL), VIRTIO_BLK_S_IOERR, "type %u: no range", i);
		is(run(i, 0, 15, 0, NULL), VIRTIO_BLK_S_IOERR, "type %u: less than a range", i);
		is(run(i, 0, 24, 0, NULL), VIRTIO_BLK_S_IOERR, "type %u: one and a half", i);
		is(run(i, 0, 16 * (BLK_RANGES_MAX + 1), 0, NULL), VIRTIO_BLK_S_IOERR, "type %u: too many", i);
		is(run_range(i, 0, 0, 0), VIRTIO_BLK_S_IOERR, "type %u: an empty one", i);
		is(run_range(i, 0, UINT32_MAX, 0), VIRTIO_BLK_S_IOERR, "type %u: a long one", i);
		is(run_range(i, 0, most + 1, 0), VIRTIO_BLK_S_IOERR, "type %u: longer than offered", i);
		is(run_range(i, 0, 1, 2), VIRTIO_BLK_S_UNSUPP, "type %u: an unknown flag", i);
		is(run_range(i, 0, 1, 0x80000001), VIRTIO_BLK_S_UNSUPP, "type %u: another one", i);
	}
	is(run_range(VIRTIO_BLK_T_DISCARD, 0, 1, 1), VIRTIO_BLK_S_UNSUPP, "a discard that unmaps");
	/* All ranges are looked at before the first is done. */
	memset(data + 16, 0, 32);
	memcpy(data + 16, &(struct virtio_blk_discard_write_zeroes){ 0, 1, 0 }, 16);
	memcpy(data + 32, &(struct virtio_blk_discard_write_zeroes){ SECTORS, 1, 0 }, 16);
	is(run(VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, 0, NULL), VIRTIO_BLK_S_IOERR, "a good range and a bad one");
	for (i = 0; i < ARRAY_SIZE(fake.ops); i++)
		is(fake.ops[i], 0, "nothing of that reaches the backend");
	is(rig.failures, 0, "and the device goes on");
	destroy();

	create(file_block(true), &plain);
	start(0, 0);
	is(run(VIRTIO_BLK_T_OUT, 0, 512, 0, NULL), VIRTIO_BLK_S_IOERR, "read-only: a write");
	is(run_range(VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_UNSUPP, "read-only: a discard");
	is(run_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_UNSUPP, "read-only: zeroes");
	is(run(VIRTIO_BLK_T_IN, 0, 0, 512, NULL), VIRTIO_BLK_S_OK, "read-only: a read");
	is(run(VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), VIRTIO_BLK_S_OK, "read-only: a flush");
	destroy();
}

static void wait_failed(const char *what)
{
	unsigned int i;

	for (i = 0; i < 20000 && !__atomic_load_n(&rig.failures, __ATOMIC_ACQUIRE); i++)
		usleep(500);
	is(rig.failures, 1, "%s needs a reset", what);
}

/* What has no place for a status */
static void test_broken(void)
{
	static const struct { uint64_t read, write; const char *what; } cases[] = {
		{ 16, 0, "a request without a status" },
		{ 15, 1, "a request with a short header" },
		{ 0, 513, "a request without a header" },
	};
	struct req req, good;
	uint32_t len;
	unsigned int i;
	uint16_t id;

	create(fake_block(), &plain);
	start(all, 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		req = (struct req){ DATA, cases[i].read, cases[i].write };
		memset(data, 0, 1024);
		submit(&req, 0, 1, false);
		wait_failed(cases[i].what);
		make(&good, DATA + 4096, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
		submit(&good, 0, 1, false);
		dev->class->stop(dev);
		dev->class->start(dev);
		ok(!ring_get_used(&ring[0], &id, &len), "nothing more is done");
		reset(all, 0);
		is(run(VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), VIRTIO_BLK_S_OK, "after it, it works");
	}
	make(&req, DATA, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	req.at = 1ULL << 40;
	submit(&req, 0, 1, false);
	wait_failed("a request outside of memory");
	ok(rig.why, "and says why");
	reset(all, RING_PACKED);
	is(run(VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), VIRTIO_BLK_S_OK, "after it, it works");
	destroy();
}

static void test_errors(void)
{
	uint32_t len;

	create(fake_block(), &plain);
	start(all, 0);
	fake.result = -EIO;
	fake.read_result = -EIO;
	is(run(VIRTIO_BLK_T_OUT, 0, 512, 0, &len), VIRTIO_BLK_S_IOERR, "an error of a write");
	is(len, 1, "its length");
	is(run(VIRTIO_BLK_T_IN, 0, 0, 512, &len), VIRTIO_BLK_S_IOERR, "an error of a read");
	is(len, 0, "its length");
	is(run_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_IOERR, "an error of zeroes");
	fake.result = -EOPNOTSUPP;
	is(run_range(VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_UNSUPP, "a discard that the backend refuses");
	fake.read_result = -ENOSPC;
	is(run(VIRTIO_BLK_T_IN, 0, 0, 512, NULL), VIRTIO_BLK_S_IOERR, "a read needs no room");
	is(rig.pauses, 0, "nobody was disturbed");
	destroy();
}

static void wait_pauses(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < 20000 && __atomic_load_n(&rig.pauses, __ATOMIC_ACQUIRE) < n; i++)
		usleep(500);
	is(rig.pauses, n, "the machine pauses");
}

static void test_full(void)
{
	struct req write[3], read;
	unsigned int i;
	uint32_t len;
	uint16_t id;

	create(fake_block(), &plain);
	start(all, RING_EVENT_IDX);
	__atomic_store_n(&fake.result, -ENOSPC, __ATOMIC_RELEASE);
	fake.rounds = 2;	/* all of them are in flight together */
	for (i = 0; i < 2; i++) {
		make(&write[i], DATA + i * 4096, VIRTIO_BLK_T_OUT, i, 512, 0);
		submit(&write[i], 0, 1, false);
	}
	make(&write[2], DATA + 2 * 4096, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, 0);
	memcpy(data + 2 * 4096 + 16, &(struct virtio_blk_discard_write_zeroes){ 5, 1, 0 }, 16);
	memcpy(data + 2 * 4096 + 32, &(struct virtio_blk_discard_write_zeroes){ 9, 2, 0 }, 16);
	submit(&write[2], 0, 1, false);
	wait_pauses(1);
	ok(!strcmp(rig.event, "disk-full"), "those who watch are told");
	dev->class->stop(dev);
	ok(dev->class->state->busy(dev), "what waits would be lost if the state were saved");
	make(&read, DATA + 3 * 4096, VIRTIO_BLK_T_IN, 0, 0, 512);
	submit(&read, 0, 1, false);
	ok(!ring_get_used(&ring[0], &id, &len), "nothing is answered");

	fake.rounds = 0;
	is(dev->class->start(dev), 0, "it goes on, still without room");
	wait_pauses(2);
	dev->class->stop(dev);
	ok(!ring_get_used(&ring[0], &id, &len), "nothing is answered");

	__atomic_store_n(&fake.result, -EDQUOT, __ATOMIC_RELEASE);
	is(dev->class->start(dev), 0, "nor is there when it is a quota");
	wait_pauses(3);
	dev->class->stop(dev);

	__atomic_store_n(&fake.result, 0, __ATOMIC_RELEASE);
	is(dev->class->start(dev), 0, "it goes on, with room");
	for (i = 0; i < 4; i++)
		wait_used(0);
	for (i = 0; i < 3; i++)
		is(*status_of(&write[i]), VIRTIO_BLK_S_OK, "request %u is done", i);
	is(*status_of(&read), VIRTIO_BLK_S_OK, "what came meanwhile is done");
	is(rig.pauses, 3, "without a further pause");
	is(fake.ops[BLOCK_ZERO], 5, "three times one range, the last time and the second one");
	is(run(VIRTIO_BLK_T_OUT, 0, 512, 0, NULL), VIRTIO_BLK_S_OK, "the driver's kicks are heard again");

	__atomic_store_n(&fake.result, -ENOSPC, __ATOMIC_RELEASE);
	submit(&write[0], 0, 1, false);
	wait_pauses(4);
	__atomic_store_n(&fake.result, 0, __ATOMIC_RELEASE);
	i = fake.ops[BLOCK_WRITE];
	reset(all, 0);
	is(run(VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), VIRTIO_BLK_S_OK, "reset while it is full");
	is(fake.ops[BLOCK_WRITE], i, "what was held is forgotten");
	destroy();
}

static void test_stop(void)
{
	struct req req[8];
	unsigned int i, answered, round;
	uint32_t len;
	uint16_t id;

	create(fake_block(), &plain);
	start(all, 0);
	fake.rounds = 3;
	for (round = 0; round < 20; round++) {
		for (i = 0; i < ARRAY_SIZE(req); i++) {
			make(&req[i], DATA + i * 4096, VIRTIO_BLK_T_IN, i, 0, 512);
			submit(&req[i], 0, 1, false);
		}
		dev->class->stop(dev);
		for (answered = 0; ring_get_used(&ring[0], &id, &len);)
			answered++;
		if (fake.ops[BLOCK_READ] != answered || dev->queue[0].vq.at.used != ring[0].used)
			break;
		dev->class->start(dev);
		while (answered++ < ARRAY_SIZE(req))
			wait_used(0);
		fake.ops[BLOCK_READ] = 0;
	}
	is(round, 20, "when it has stopped, what was begun is answered, and the rest was not begun");
	dev->class->stop(dev);
	is(fake.attached, 1, "its thread stays");
	destroy();
	is(fake.attached, 0, "until the end");
}

static void set_wce(uint8_t value)
{
	uint8_t old[4];
	unsigned int at = offsetof(struct virtio_blk_config, wce);

	memcpy(old, dev->config + at, 1);
	dev->config[at] = value;
	dev->class->config_write(dev, at, 1, old);
}

static void test_cache(void)
{
	struct blk_options through = plain;
	uint8_t before[VIRTIO_CONFIG_MAX], old[4];
	unsigned int i;

	create(fake_block(), &plain);
	start(all, 0);
	run(VIRTIO_BLK_T_OUT, 0, 512, 0, NULL);
	ok(!fake.stable, "a write may stay in the cache");
	set_wce(0);
	is(config()->wce, 0, "the cache is switched off");
	run(VIRTIO_BLK_T_OUT, 0, 512, 0, NULL);
	ok(fake.stable, "a write is stable");
	i = fake.ops[BLOCK_FLUSH];
	is(run_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_OK, "zeroes");
	is(fake.ops[BLOCK_FLUSH], i + 1, "are flushed");
	set_wce(2);
	is(config()->wce, 0, "there is no 2");
	set_wce(1);
	run(VIRTIO_BLK_T_OUT, 0, 512, 0, NULL);
	ok(!fake.stable, "and on again");
	memcpy(before, dev->config, sizeof(before));
	for (i = 0; i < dev->config_bytes; i += 4) {
		memcpy(old, dev->config + i, 4);
		memset(dev->config + i, i == 32 ? 1 : 0xa5, 4);
		dev->class->config_write(dev, i, 4, old);
	}
	ok(!memcmp(before, dev->config, sizeof(before)), "nothing else can be written");
	set_wce(0);
	reset(FLAG(FLUSH), 0);
	is(config()->wce, 1, "a reset switches it on");
	set_wce(0);
	is(config()->wce, 1, "who has not negotiated it cannot switch it");
	reset(0, 0);
	run(VIRTIO_BLK_T_OUT, 0, 512, 0, NULL);
	ok(fake.stable, "for who cannot flush, writes are stable");
	destroy();

	through.writethrough = true;
	create(fake_block(), &through);
	start(0, 0);
	run(VIRTIO_BLK_T_OUT, 0, 512, 0, NULL);
	ok(fake.stable, "writethrough: always");
	destroy();
}

static void test_queues(unsigned int max_io)
{
	struct blk_options options = plain;
	struct block *block = fake_block();
	struct req req[QUEUES];
	unsigned int i;

	block->max_io = max_io;
	options.queues = QUEUES;
	create(block, &options);
	start(all, RING_EVENT_IDX);
	is(fake.attached, max_io ? max_io : QUEUES, "%u threads at most: so many are attached", max_io);
	for (i = 0; i < QUEUES; i++) {
		make(&req[i], DATA + i * 4096, VIRTIO_BLK_T_IN, 0, 0, 512);
		submit(&req[i], i, 1, false);
	}
	for (i = 0; i < QUEUES; i++) {
		wait_used(i);
		is(*status_of(&req[i]), VIRTIO_BLK_S_OK, "queue %u", i);
	}
	destroy();
}

static void test_state(void)
{
	const struct device_state *state;
	struct state_buffer buffer = { 0 };

	create(fake_block(), &plain);
	state = dev->class->state;
	start(all, 0);
	set_wce(0);
	dev->class->stop(dev);
	state_save(&buffer, "blk", 0, state, dev);
	set_wce(1);
	is(state_load(buffer.data, buffer.len, "blk", 0, state, dev), 0, "state is loaded");
	is(config()->wce, 0, "the cache is off again");
	buffer.data[buffer.len - 1] = 7;
	is(-state_load(buffer.data, buffer.len, "blk", 0, state, dev), EINVAL, "a cache that there is not");
	is(config()->wce, 0, "changes nothing");
	state_buffer_free(&buffer);
	destroy();
}

static void test_options(void)
{
	static const char *const wrong[] = {
		"", "readonly", "PATH,serial=123456789012345678901", "PATH,cache=some", "PATH,queues=0",
		"PATH,queues=1000", "PATH,readonly=maybe", "PATH,size=10G", "/nowhere/at/all",
	};
	const struct device_option *option = device_option_find("disk");
	struct params params;
	unsigned int i;
	int r;

	rig_init(&rig, 0);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		char text[200], *path = strstr(wrong[i], "PATH");

		snprintf(text, sizeof(text), "%s%s", path ? image : "", path ? path + 4 : wrong[i]);
		r = params_parse(&params, "disk", option->first, text);
		if (!r)
			r = option->create(&rig.board, &params);
		ok(r < 0, "--disk %s is refused", wrong[i]);
		params_free(&params);
	}
	rig_destroy(&rig);
}

int main(void)
{
	int fd = mkstemp(image);

	if (fd < 0)
		return 1;
	close(fd);
	test_config();
	test_kinds();
	test_random(0, "split");
	test_random(RING_EVENT_IDX | RING_INDIRECT, "split, indirect, event index");
	test_random(RING_PACKED, "packed");
	test_random(RING_PACKED | RING_EVENT_IDX | RING_INDIRECT, "packed, indirect, event index");
	test_followed(0);
	test_followed(RING_PACKED | RING_EVENT_IDX | RING_INDIRECT);
	test_malformed();
	test_broken();
	test_errors();
	test_full();
	test_stop();
	test_cache();
	test_queues(0);
	test_queues(1);
	test_queues(3);
	test_state();
	test_options();
	unlink(image);
	return tap_done();
}

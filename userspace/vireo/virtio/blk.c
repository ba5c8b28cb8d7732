// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disks (virtio 1.2, 5.2). Here requests are read, checked and answered; a backend (block/) carries them out.
 *
 * A thread for each queue, attached to the backend, does all of that queue: it sleeps in block_wait() until
 * the driver kicks or requests are done. A backend that does not take so many threads has several queues on
 * one. Threads are made when the driver starts to use their queues, and stay until the end; between start()
 * and stop() they work, otherwise they only wait for the next command.
 *
 * When the host's disk is full, a write is neither lost nor failed: it is held, the machine pauses, and when
 * it goes on the request is submitted again.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "blk.h"
#include "../option.h"
#include "../params.h"
#include "../state.h"
#include "../util.h"

#define TYPE_BLK	2
#define CLASS_BLK	0x018000	/* mass storage, other */
#define HEADER_BYTES	sizeof(struct virtio_blk_outhdr)
#define RANGE_BYTES	sizeof(struct virtio_blk_discard_write_zeroes)
#define F(name)		(1ULL << VIRTIO_BLK_F_##name)

_Static_assert(HEADER_BYTES == 16 && RANGE_BYTES == 16, "layout of the specification");
_Static_assert(offsetof(struct virtio_blk_config, wce) == 32, "layout of the specification");
_Static_assert((BLK_QUEUE_SIZE - 2ULL) * BLK_SIZE_MAX < 1ULL << 32, "used lengths are 32 bits");

struct blk_queue;

/**
 * struct blk_request - a request of the guest
 * @io: what the backend is to do; a range after the other, if there are several
 * @chain: its place in the queue
 * @queue: the queue
 * @next: the next one that is free, or held
 * @status: where its status belongs
 * @written: bytes that the device writes if all goes well
 * @range: of a discard or write-zeroes
 * @nr_ranges: how many
 * @at_range: which one is in progress
 * @iov: for the chain
 */
struct blk_request {
	struct block_request io;
	struct virtq_chain chain;
	struct blk_queue *queue;
	struct blk_request *next;
	uint8_t *status;
	uint32_t written;
	unsigned int nr_ranges, at_range;
	struct iovec iov[BLK_QUEUE_SIZE];
	struct virtio_blk_discard_write_zeroes range[BLK_RANGES_MAX];
};

/**
 * struct blk_queue - a queue; its worker's own
 * @blk: the disk
 * @index: its number
 * @worker: who serves it
 * @pool: one request more than fit into the queue; memory that was never used is never touched
 * @used: how many of them were used ever
 * @free: those that were, and are not
 * @held: those that found the host's disk full
 * @in_flight: those that the backend has
 * @pushed: something was given back since the last notification
 */
struct blk_queue {
	struct blk *blk;
	unsigned int index;
	struct blk_worker *worker;
	struct blk_request *pool;
	unsigned int used;
	struct blk_request *free;
	struct blk_request *held;
	unsigned int in_flight;
	bool pushed;
};

enum command {
	COMMAND_STOP,
	COMMAND_RUN,
	COMMAND_END,
};

/**
 * struct blk_worker - a thread
 * @blk: the disk
 * @index: its number; it serves queue @index and each nr_workers after it
 * @io: its way into the backend
 * @wake: eventfd: there is a command
 * @command: protected by blk.lock; read without it as a hint
 * @done: the last command that was carried out
 * @error: why it could not begin
 * @thread: the thread
 * @alive: there is one
 */
struct blk_worker {
	struct blk *blk;
	unsigned int index;
	struct block_io *io;
	int wake;
	enum command command;
	enum command done;
	int error;
	pthread_t thread;
	bool alive;
};

/**
 * struct blk - a disk
 * @virtio: the common part
 * @block: the backend
 * @name: in events and messages
 * @serial: its serial number, padded with 0
 * @writethrough: always
 * @wce: the cache that the guest has chosen: write back
 * @stable: each write is to be stable by itself; follows from @wce and features
 * @failed: the driver has broken the rules; until the reset
 * @full: somebody was told so
 * @lock: protects commands of workers
 * @changed: signalled when a command was carried out
 * @queue: the queues
 * @worker: the threads
 * @nr_workers: how many
 */
struct blk {
	struct virtio_device virtio;
	struct block *block;
	char *name;
	uint8_t serial[BLK_ID_BYTES];
	bool writethrough;
	uint8_t wce;
	bool stable;
	bool failed;
	bool full;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct blk_queue *queue;
	struct blk_worker *worker;
	unsigned int nr_workers;
};

static struct blk *blk_of(struct virtio_device *dev)
{
	return container_of(dev, struct blk, virtio);
}

static struct virtio_queue *virtio_queue_of(const struct blk_queue *queue)
{
	return &queue->blk->virtio.queue[queue->index];
}

static struct virtq *vq_of(const struct blk_queue *queue)
{
	return &virtio_queue_of(queue)->vq;
}

/* ---- Requests ---- */

static struct blk_request *get_request(struct blk_queue *queue)
{
	struct blk_request *request = queue->free;

	if (request) {
		queue->free = request->next;
		return request;
	}
	/* The ring does not give more chains at a time than it is long; one more is for asking it. */
	request = &queue->pool[queue->used++];
	request->queue = queue;
	request->chain.iov = request->iov;
	request->chain.room = ARRAY_SIZE(request->iov);
	return request;
}

static void put_request(struct blk_request *request)
{
	request->next = request->queue->free;
	request->queue->free = request;
}

static void finish(struct blk_request *request, uint8_t status)
{
	struct blk_queue *queue = request->queue;
	uint32_t written = request->written;

	/* The status comes last: if not all before it was written, nothing can be promised. */
	if (status != VIRTIO_BLK_S_OK && written > 1)
		written = 0;
	*request->status = status;
	virtq_push(vq_of(queue), &request->chain, written);
	queue->pushed = true;
	put_request(request);
}

static void fail(struct blk *blk, const char *why)
{
	__atomic_store_n(&blk->failed, true, __ATOMIC_RELAXED);
	virtio_fail(&blk->virtio, why);
}

/* The host has no room. Returns false if there is nobody who could make some. */
static bool hold(struct blk_request *request)
{
	struct blk *blk = request->queue->blk;
	struct board *board = blk->virtio.board;
	char text[300];

	if (!board->host_ops->pause)
		return false;
	request->next = request->queue->held;
	request->queue->held = request;
	if (__atomic_exchange_n(&blk->full, true, __ATOMIC_RELAXED))
		return true;
	snprintf(text, sizeof(text), "disk %s: the host has no room left for it; the machine is paused", blk->name);
	report_note("%s", text);
	if (board->host_ops->event)
		board->host_ops->event(board->host, "disk-full", text);
	board->host_ops->pause(board->host, "disk-full");
	return true;
}

static void submit(struct blk_request *request)
{
	request->queue->in_flight++;
	block_submit(request->queue->worker->io, &request->io);
}

static void submit_range(struct blk_request *request)
{
	const struct virtio_blk_discard_write_zeroes *range = &request->range[request->at_range++];

	request->io.offset = range->sector * BLOCK_SECTOR;
	request->io.bytes = range->num_sectors * BLOCK_SECTOR;
	request->io.unmap = range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	submit(request);
}

static void done(struct block_request *io, int result)
{
	struct blk_request *request = container_of(io, struct blk_request, io);
	bool changes = io->op == BLOCK_WRITE || io->op == BLOCK_ZERO || io->op == BLOCK_DISCARD;

	request->queue->in_flight--;
	if ((result == -ENOSPC || result == -EDQUOT) && changes && hold(request))
		return;
	if (result) {
		finish(request, result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
	} else if (request->at_range < request->nr_ranges) {
		submit_range(request);
	} else if (request->nr_ranges && io->stable) {
		/* Only writes can be stable by themselves. */
		request->nr_ranges = 0;
		request->at_range = 0;
		io->op = BLOCK_FLUSH;
		submit(request);
	} else {
		finish(request, VIRTIO_BLK_S_OK);
	}
}

static bool inside(const struct blk *blk, uint64_t sector, uint64_t bytes)
{
	uint64_t sectors = blk->block->bytes / BLOCK_SECTOR;

	return !(bytes % BLOCK_SECTOR) && sector <= sectors && bytes / BLOCK_SECTOR <= sectors - sector;
}

static void transfer(struct blk_request *request, uint64_t sector, uint64_t bytes, bool write)
{
	struct blk *blk = request->queue->blk;

	if (!inside(blk, sector, bytes) || (write && blk->block->read_only)) {
		finish(request, VIRTIO_BLK_S_IOERR);
	} else if (!bytes) {
		finish(request, VIRTIO_BLK_S_OK);
	} else {
		request->io.op = write ? BLOCK_WRITE : BLOCK_READ;
		request->io.offset = sector * BLOCK_SECTOR;
		request->io.bytes = bytes;
		submit(request);
	}
}

/* Discard and write-zeroes: check all of the ranges before the first is begun. */
static void ranges(struct blk_request *request, bool zero)
{
	struct blk *blk = request->queue->blk;
	uint64_t bytes = request->chain.read_bytes - HEADER_BYTES;
	uint32_t known = zero ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
	uint32_t most = zero ? BLK_ZERO_SECTORS : BLK_DISCARD_SECTORS;
	unsigned int i;

	if (!(blk->virtio.offered & (zero ? F(WRITE_ZEROES) : F(DISCARD)))) {
		finish(request, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (!bytes || bytes % RANGE_BYTES || bytes > sizeof(request->range) || blk->block->read_only) {
		finish(request, VIRTIO_BLK_S_IOERR);
		return;
	}
	block_gather(&request->io, request->range, bytes);
	request->nr_ranges = bytes / RANGE_BYTES;
	for (i = 0; i < request->nr_ranges; i++) {
		const struct virtio_blk_discard_write_zeroes *range = &request->range[i];

		if (range->flags & ~known) {
			finish(request, VIRTIO_BLK_S_UNSUPP);
			return;
		}
		if (!range->num_sectors || range->num_sectors > most ||
		    !inside(blk, range->sector, range->num_sectors * BLOCK_SECTOR)) {
			finish(request, VIRTIO_BLK_S_IOERR);
			return;
		}
	}
	request->io.op = zero ? BLOCK_ZERO : BLOCK_DISCARD;
	submit_range(request);
}

static void flush(struct blk_request *request)
{
	request->io.op = BLOCK_FLUSH;
	submit(request);
}

static void get_id(struct blk_request *request, uint64_t room)
{
	struct blk *blk = request->queue->blk;

	if (room < BLK_ID_BYTES) {
		finish(request, VIRTIO_BLK_S_IOERR);
		return;
	}
	block_scatter(&request->io, blk->serial, BLK_ID_BYTES);
	/* Between the string and the status nothing was written. */
	request->written = room == BLK_ID_BYTES ? BLK_ID_BYTES + 1 : BLK_ID_BYTES;
	finish(request, VIRTIO_BLK_S_OK);
}

/*
 * A chain: a header, data, a status. Where one segment ends and the next begins means nothing. Returns
 * false if it is not even a request, so that there is nowhere to say what is wrong.
 */
static bool handle(struct blk_request *request)
{
	struct virtq_chain *chain = &request->chain;
	struct iovec *read = chain->iov, *write = read + chain->nr_read, *last = write + chain->nr_write - 1;
	uint64_t in_bytes = chain->write_bytes - 1, out_bytes = chain->read_bytes - HEADER_BYTES;
	struct virtio_blk_outhdr header;
	size_t skip = HEADER_BYTES;

	if (chain->read_bytes < HEADER_BYTES || !chain->write_bytes)
		return false;
	iov_read(read, chain->nr_read, 0, &header, HEADER_BYTES);
	request->status = (uint8_t *)last->iov_base + --last->iov_len;
	request->written = 1;
	request->nr_ranges = 0;
	request->at_range = 0;
	request->io = (struct block_request){ .done = done };
	request->io.stable = __atomic_load_n(&request->queue->blk->stable, __ATOMIC_RELAXED);
	if (header.type == VIRTIO_BLK_T_IN || header.type == VIRTIO_BLK_T_GET_ID) {
		request->io.iov = write;
		request->io.nr_iov = chain->nr_write - !last->iov_len;
		request->written = in_bytes + 1;
	} else {
		while (skip >= read->iov_len && read < write) {
			skip -= read->iov_len;
			read++;
		}
		request->io.iov = read;
		request->io.nr_iov = write - read;
		if (skip) {
			read->iov_base = (uint8_t *)read->iov_base + skip;
			read->iov_len -= skip;
		}
	}
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		transfer(request, header.sector, in_bytes, false);
		break;
	case VIRTIO_BLK_T_OUT:
		transfer(request, header.sector, out_bytes, true);
		break;
	case VIRTIO_BLK_T_FLUSH:
		flush(request);
		break;
	case VIRTIO_BLK_T_GET_ID:
		get_id(request, in_bytes);
		break;
	case VIRTIO_BLK_T_DISCARD:
		ranges(request, false);
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		ranges(request, true);
		break;
	default:
		finish(request, VIRTIO_BLK_S_UNSUPP);
		break;
	}
	return true;
}

/* ---- Threads ---- */

static bool take(struct blk_queue *queue)
{
	struct blk_request *request = get_request(queue);
	int r = virtio_pop(&queue->blk->virtio, virtio_queue_of(queue), &request->chain);

	if (r <= 0) {
		put_request(request);
		if (r < 0)
			__atomic_store_n(&queue->blk->failed, true, __ATOMIC_RELAXED);
		return false;
	}
	if (!handle(request)) {
		put_request(request);
		fail(queue->blk, "virtio-blk: a request without a header or a status");
		return false;
	}
	return true;
}

static void serve(struct blk_queue *queue)
{
	struct virtq *vq = vq_of(queue);

	while (!__atomic_load_n(&queue->blk->failed, __ATOMIC_RELAXED) && !queue->held && virtq_has_chain(vq)) {
		virtq_want_kicks(vq, false);
		while (!queue->held && take(queue))
			;
		if (!virtq_want_kicks(vq, true))
			break;
	}
}

static void notify(struct blk_queue *queue)
{
	if (!queue->pushed)
		return;
	queue->pushed = false;
	virtio_pushed(&queue->blk->virtio, virtio_queue_of(queue));
}

#define for_each_queue(worker, queue)								\
	for (queue = &(worker)->blk->queue[(worker)->index];					\
	     queue < &(worker)->blk->queue[(worker)->blk->virtio.nr_queues];			\
	     queue += (worker)->blk->nr_workers)						\
		if (vq_of(queue)->ready)

static void begin(struct blk_worker *worker)
{
	struct blk_request *held, *next;
	struct blk_queue *queue;

	for_each_queue(worker, queue) {
		held = queue->held;
		queue->held = NULL;
		virtq_want_kicks(vq_of(queue), true);
		for (; held; held = next) {
			next = held->next;
			submit(held);
		}
	}
}

static bool is_idle(const struct blk_worker *worker)
{
	struct blk_queue *queue;

	for_each_queue(worker, queue) {
		if (queue->in_flight)
			return false;
	}
	return true;
}

/* Carry out a command; true: the last one */
static bool obey(struct blk_worker *worker)
{
	struct blk *blk = worker->blk;
	enum command command = __atomic_load_n(&worker->command, __ATOMIC_ACQUIRE);
	struct blk_queue *queue;

	if (command == worker->done)
		return false;
	if (command == COMMAND_RUN) {
		begin(worker);
	} else {
		while (!is_idle(worker))
			block_wait(worker->io);
		for_each_queue(worker, queue)
			notify(queue);
	}
	pthread_mutex_lock(&blk->lock);
	worker->done = command;
	pthread_cond_broadcast(&blk->changed);
	pthread_mutex_unlock(&blk->lock);
	return command == COMMAND_END;
}

static void work(struct blk_worker *worker)
{
	struct blk_queue *queue;

	while (!obey(worker)) {
		if (worker->done == COMMAND_RUN) {
			for_each_queue(worker, queue) {
				serve(queue);
				notify(queue);
			}
		}
		block_wait(worker->io);
	}
}

static int attach(struct blk_worker *worker)
{
	struct blk *blk = worker->blk;
	int events[VIRTIO_QUEUES_MAX + 1];
	unsigned int i, nr = 0;

	events[nr++] = worker->wake;
	for (i = worker->index; i < blk->virtio.nr_queues; i += blk->nr_workers)
		events[nr++] = blk->virtio.queue[i].kick;
	return block_attach(blk->block, events, nr, &worker->io);
}

static void *worker_thread(void *arg)
{
	struct blk_worker *worker = arg;
	struct blk *blk = worker->blk;
	sigset_t all;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_setname_np(pthread_self(), "disk");
	r = attach(worker);
	pthread_mutex_lock(&blk->lock);
	worker->error = r;
	worker->done = r ? COMMAND_END : COMMAND_STOP;
	pthread_cond_broadcast(&blk->changed);
	pthread_mutex_unlock(&blk->lock);
	if (r)
		return NULL;
	work(worker);
	block_detach(worker->io);
	return NULL;
}

/* Give a command to those threads that there are; wait for all of them. */
static void command(struct blk *blk, enum command what)
{
	uint64_t one = 1;
	unsigned int i;

	pthread_mutex_lock(&blk->lock);
	for (i = 0; i < blk->nr_workers; i++) {
		if (!blk->worker[i].alive)
			continue;
		__atomic_store_n(&blk->worker[i].command, what, __ATOMIC_RELEASE);
		/* It can only fail by being readable already. */
		if (write(blk->worker[i].wake, &one, sizeof(one)) < 0)
			one = 1;
	}
	for (i = 0; i < blk->nr_workers; i++) {
		while (blk->worker[i].alive && blk->worker[i].done != what)
			pthread_cond_wait(&blk->changed, &blk->lock);
	}
	pthread_mutex_unlock(&blk->lock);
}

static bool is_needed(const struct blk_worker *worker)
{
	const struct blk_queue *queue;

	for_each_queue(worker, queue)
		return true;
	return false;
}

static int make_pools(struct blk_worker *worker)
{
	struct blk_queue *queue;

	for_each_queue(worker, queue) {
		if (!queue->pool)
			queue->pool = calloc(BLK_QUEUE_SIZE + 1, sizeof(*queue->pool));
		if (!queue->pool)
			return -ENOMEM;
	}
	return 0;
}

static int make_worker(struct blk_worker *worker)
{
	struct blk *blk = worker->blk;
	int r;

	worker->command = COMMAND_STOP;
	worker->done = COMMAND_RUN;
	r = -pthread_create(&worker->thread, NULL, worker_thread, worker);
	if (r)
		return r;
	pthread_mutex_lock(&blk->lock);
	while (worker->done == COMMAND_RUN)
		pthread_cond_wait(&blk->changed, &blk->lock);
	pthread_mutex_unlock(&blk->lock);
	if (worker->error) {
		pthread_join(worker->thread, NULL);
		return worker->error;
	}
	worker->alive = true;
	return 0;
}

/* ---- As a virtio device ---- */

/* Without a flush the driver cannot ask for writes to be stable. */
static void update_cache(struct blk *blk)
{
	const struct virtio_device *dev = &blk->virtio;
	bool back = virtio_has(dev, VIRTIO_BLK_F_CONFIG_WCE) ? blk->wce : virtio_has(dev, VIRTIO_BLK_F_FLUSH);

	__atomic_store_n(&blk->stable, blk->writethrough || !back, __ATOMIC_RELAXED);
}

static int start(struct virtio_device *dev)
{
	struct blk *blk = blk_of(dev);
	unsigned int i;
	int r;

	update_cache(blk);
	blk->full = false;
	for (i = 0; i < blk->nr_workers; i++) {
		struct blk_worker *worker = &blk->worker[i];

		if (!is_needed(worker))
			continue;
		r = make_pools(worker);
		if (!r && !worker->alive)
			r = make_worker(worker);
		if (r)
			return r;
	}
	command(blk, COMMAND_RUN);
	return 0;
}

static void stop(struct virtio_device *dev)
{
	command(blk_of(dev), COMMAND_STOP);
}

static void set_wce(struct blk *blk, uint8_t wce)
{
	blk->wce = wce;
	blk->virtio.config[offsetof(struct virtio_blk_config, wce)] = wce;
	update_cache(blk);
}

static void reset(struct virtio_device *dev)
{
	struct blk *blk = blk_of(dev);
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++) {
		struct blk_queue *queue = &blk->queue[i];

		while (queue->held) {
			struct blk_request *request = queue->held;

			queue->held = request->next;
			put_request(request);
		}
		queue->pushed = false;
	}
	blk->failed = false;
	set_wce(blk, !blk->writethrough);
}

static void config_write(struct virtio_device *dev, unsigned int offset, unsigned int len, const uint8_t *old)
{
	const unsigned int at = offsetof(struct virtio_blk_config, wce);
	struct blk *blk = blk_of(dev);
	uint8_t wce = dev->config[at];

	memcpy(dev->config + offset, old, len);
	if (at >= offset && at - offset < len && virtio_has(dev, VIRTIO_BLK_F_CONFIG_WCE) && wce <= 1)
		set_wce(blk, wce);
}

static void destroy(struct virtio_device *dev)
{
	struct blk *blk = blk_of(dev);
	unsigned int i;

	command(blk, COMMAND_END);
	for (i = 0; i < blk->nr_workers; i++) {
		if (blk->worker[i].alive)
			pthread_join(blk->worker[i].thread, NULL);
		if (blk->worker[i].wake >= 0)
			close(blk->worker[i].wake);
	}
	for (i = 0; blk->queue && i < dev->nr_queues; i++)
		free(blk->queue[i].pool);
	block_close(blk->block);
	pthread_cond_destroy(&blk->changed);
	pthread_mutex_destroy(&blk->lock);
	free(blk->worker);
	free(blk->queue);
	free(blk->name);
	free(blk);
}

static int state_check(const void *device, const void *loaded)
{
	const struct blk *blk = loaded;

	(void)device;
	return blk->wce <= !blk->writethrough ? 0 : -EINVAL;
}

static void state_load_done(void *device)
{
	struct blk *blk = device;

	set_wce(blk, blk->wce);
}

static const struct state_field blk_fields[] = {
	STATE_FIELD(struct blk, wce),
	STATE_END
};

/* Their chains have left the ring, and nobody would know of them. */
static const char *state_busy(void *device)
{
	const struct blk *blk = device;
	unsigned int i;

	for (i = 0; i < blk->virtio.nr_queues; i++)
		if (blk->queue[i].held)
			return "requests of a disk wait for room on the host's disk: make some, and resume the machine first";
	return NULL;
}

static const struct device_state blk_state = {
	.version = 1,
	.bytes = sizeof(struct blk),
	.fields = blk_fields,
	.check = state_check,
	.load = state_load_done,
	.busy = state_busy,
};

static const struct virtio_class blk_class = {
	.name = "virtio-blk",
	.type = TYPE_BLK,
	.pci_class = CLASS_BLK,
	.config_write = config_write,
	.start = start,
	.stop = stop,
	.reset = reset,
	.destroy = destroy,
	.state = &blk_state,
};

static void fill_config(struct blk *blk, bool discard)
{
	const struct block *block = blk->block;
	uint32_t blocks = block->physical_bytes / block->block_bytes;
	uint64_t offered = F(SIZE_MAX) | F(SEG_MAX) | F(BLK_SIZE) | F(TOPOLOGY);
	struct virtio_blk_config config = {
		.capacity = block->bytes / BLOCK_SECTOR,
		.size_max = BLK_SIZE_MAX,
		.seg_max = BLK_QUEUE_SIZE - 2,
		.blk_size = block->block_bytes,
		.physical_block_exp = (uint8_t)__builtin_ctz(blocks),
		.min_io_size = (uint16_t)blocks,
		.opt_io_size = block->optimal_bytes / block->block_bytes,
		.num_queues = (uint16_t)blk->virtio.nr_queues,
	};

	if (block->read_only)
		offered |= F(RO);
	if (!blk->writethrough)
		offered |= F(FLUSH) | F(CONFIG_WCE);
	if (blk->virtio.nr_queues > 1)
		offered |= F(MQ);
	if (block->can_discard && discard && !block->read_only) {
		offered |= F(DISCARD);
		config.max_discard_sectors = BLK_DISCARD_SECTORS;
		config.max_discard_seg = BLK_RANGES_MAX;
		config.discard_sector_alignment = block->discard_bytes / BLOCK_SECTOR;
	}
	if (block->can_zero && !block->read_only) {
		offered |= F(WRITE_ZEROES);
		config.max_write_zeroes_sectors = BLK_ZERO_SECTORS;
		config.max_write_zeroes_seg = BLK_RANGES_MAX;
		config.write_zeroes_may_unmap = block->can_discard && discard;
	}
	blk->virtio.offered = offered;
	blk->virtio.config_bytes = sizeof(config);
	memcpy(blk->virtio.config, &config, sizeof(config));
}

/**
 * blk_create() - make a disk, without plugging it in
 * @board: where it belongs
 * @block: its backend, which is its own from here on: closed when this fails, too
 * @options: what it is like
 * @out: the device
 *
 * Return: 0, or -ENOMEM or another negative errno.
 */
int blk_create(struct board *board, struct block *block, const struct blk_options *options,
	       struct virtio_device **out)
{
	struct blk *blk = calloc(1, sizeof(*blk));
	unsigned int i;
	int r;

	if (!blk) {
		block_close(block);
		return -ENOMEM;
	}
	blk->block = block;
	blk->writethrough = options->writethrough;
	blk->virtio.board = board;
	blk->virtio.class = &blk_class;
	pthread_mutex_init(&blk->lock, NULL);
	pthread_cond_init(&blk->changed, NULL);
	if (options->serial)
		memcpy(blk->serial, options->serial, strnlen(options->serial, BLK_ID_BYTES));
	blk->name = strdup(options->name);
	blk->queue = calloc(options->queues, sizeof(*blk->queue));
	blk->nr_workers = options->queues;
	if (block->max_io && blk->nr_workers > block->max_io)
		blk->nr_workers = block->max_io;
	blk->worker = calloc(blk->nr_workers, sizeof(*blk->worker));
	if (!blk->worker)
		blk->nr_workers = 0;
	r = blk->name && blk->queue && blk->worker ? 0 : -ENOMEM;
	for (i = 0; i < blk->nr_workers; i++) {
		blk->worker[i] = (struct blk_worker){ .blk = blk, .index = i };
		blk->worker[i].wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (blk->worker[i].wake < 0)
			r = -errno;
	}
	for (i = 0; blk->queue && i < options->queues; i++)
		blk->queue[i] = (struct blk_queue){ .blk = blk, .index = i,
						    .worker = &blk->worker[i % blk->nr_workers] };
	if (!r)
		r = virtio_alloc_queues(&blk->virtio, options->queues, BLK_QUEUE_SIZE);
	if (r) {
		destroy(&blk->virtio);
		return r;
	}
	fill_config(blk, options->discard);
	set_wce(blk, !blk->writethrough);
	*out = &blk->virtio;
	return 0;
}

/**
 * blk_writable() - is there a disk that the guest may write to, and that does not branch?
 * @board: the board
 *
 * Return: the name of the first one; NULL: there is none.
 */
const char *blk_writable(const struct board *board)
{
	const struct device *device;

	for (device = board->devices; device; device = device->next) {
		const struct virtio_device *dev = container_of(device, struct virtio_device, device);

		if (device->ops->state == &blk_state && !(dev->offered & F(RO)) &&
		    !container_of(dev, struct blk, virtio)->block->branches)
			return container_of(dev, struct blk, virtio)->name;
	}
	return NULL;
}

/* ---- As an option ---- */

static int read_options(struct board *board, struct params *params, struct block_options *image,
			struct blk_options *disk)
{
	static const char *const caches[] = { "writeback", "none", "writethrough", NULL };
	unsigned int cache = BLOCK_WRITEBACK;
	uint64_t queues = board->nr_cpus;
	int r;

	image->path = params_string(params, "path");
	disk->serial = params_string(params, "serial");
	disk->name = params_string(params, "name");
	image->branch = params_string(params, "branch");
	image->format = params_string(params, "format");
	disk->discard = true;
	r = params_bool(params, "readonly", &image->read_only);
	if (!r)
		r = params_bool(params, "discard", &disk->discard);
	if (!r)
		r = params_number(params, "queues", 1, VIRTIO_QUEUES_MAX, &queues);
	if (!r)
		r = params_choice(params, "cache", caches, &cache);
	if (!r)
		r = params_done(params);
	if (r)
		return r;
	if (!image->path) {
		report_error("disk: which file, device or server? path is missing");
		return -EINVAL;
	}
	if (image->format && (!image->branch || (strcmp(image->format, "raw") && strcmp(image->format, "qcow2")))) {
		report_error("disk: format: raw or qcow2, with branch=DIRECTORY");
		return -EINVAL;
	}
	if (disk->serial && strlen(disk->serial) > BLK_ID_BYTES) {
		report_error("disk: serial: '%s' is longer than %u bytes", disk->serial, BLK_ID_BYTES);
		return -EINVAL;
	}
	if (!disk->name)
		disk->name = image->path;
	image->cache = cache;
	disk->writethrough = cache == BLOCK_WRITETHROUGH;
	disk->queues = queues;
	return 0;
}

static int create(struct board *board, struct params *params)
{
	struct block_options image = { 0 };
	struct blk_options disk = { 0 };
	struct virtio_device *dev;
	struct block *block;
	int r;

	r = read_options(board, params, &image, &disk);
	if (!r)
		r = block_open(&image, &block);
	if (!r)
		r = blk_create(board, block, &disk, &dev);
	return r ? r : virtio_plug(board, dev);
}

VIREO_DEVICE_OPTION(
	.name = "disk",
	.first = "path",
	.argument = "PATH[,readonly][,cache=CACHE][,serial=TEXT][,queues=N][,discard=off][,name=NAME]\n"
		    "[,branch=DIRECTORY[,format=FORMAT]]",
	.help = "a disk: a file, a block device, or an NBD server (nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH);\n"
		"CACHE: writeback, none, writethrough; with branch, what is written goes to overlays in DIRECTORY, which fork and\n"
		"go back with the machine, and the file stays what it is; FORMAT: raw, qcow2",
	.multiple = true,
	.create = create,
);

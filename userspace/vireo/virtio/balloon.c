// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory balloon (virtio 1.2, 5.5): the guest gives pages up, and the host gets them.
 *
 * Page numbers come from the guest; those that are not memory are ignored, and what a guest says that it does
 * not need is its own business: whatever it touches again reads as zeros. With huge pages, the host can only
 * have whole ones, so it is counted which parts of each were given up.
 *
 * Which queue does what depends on features, and there are two opinions about it: the standard gives each a
 * fixed number, Linux leaves out those that it does not use. Queue 2 is for statistics if those were
 * negotiated; every other one behind the first two is for reports of free pages.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "balloon.h"
#include "virtio.h"
#include "../memory.h"
#include "../option.h"
#include "../params.h"
#include "../state.h"
#include "../util.h"

#define TYPE_BALLOON	5
#define CLASS_BALLOON	0x00ff00	/* nothing that PCI has a class for */
#define QUEUES		5
#define QUEUE_SIZE	128		/* Linux reports 32 ranges at a time */
#define PAGE		4096ULL
#define PFNS		256		/* of those that are copied at a time */
#define ANSWER_MS	1000		/* how long anybody waits for statistics */

enum { Q_INFLATE, Q_DEFLATE, Q_STATS };

#define F_STATS		1
#define F_DEFLATE_ON_OOM 2
#define F_PAGE_POISON	4
#define F_REPORTING	5

/* struct virtio_balloon_config */
#define CONFIG_NUM_PAGES 0
#define CONFIG_ACTUAL	4
#define CONFIG_POISON	12
#define CONFIG_BYTES	16

#define STAT_BYTES	10		/* a tag of 16 bits and a value of 64, packed */

/**
 * struct balloon - it
 * @virtio: the common part
 * @memory: the guest's
 * @num_pages: pages that the guest shall give up; @actual: those that it says it has
 * @poison: what the guest fills free pages with; it expects to find that again
 * @given: a bit for each page of memory, set if it was given up; NULL without huge pages
 * @given_of: how many of each huge page
 * @quit: eventfd: the thread shall end
 * @thread: serves all queues between start() and stop()
 * @started: there is a thread
 * @lock: protects the following
 * @held: the buffer in which statistics came, until somebody wants new ones
 * @holding: there is one
 * @asked: when new ones were asked for, in ms; 0: they are there
 * @info: of the last ones
 */
struct balloon {
	struct virtio_device virtio;
	struct guest_memory *memory;
	uint32_t num_pages;
	uint32_t actual;
	uint32_t poison;
	uint8_t *given;
	uint32_t *given_of;
	int quit;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	struct virtq_chain held;
	bool holding;
	uint64_t asked;
	struct balloon_info info;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- Pages ---- */

/* A page's place in all of memory, without the gap below 4 GiB. */
static uint64_t page_index(const struct balloon *balloon, uint64_t gpa)
{
	if (gpa >= MEMORY_HIGH_BASE)
		gpa -= MEMORY_HIGH_BASE - memory_low_bytes(balloon->memory);
	return gpa / PAGE;
}

/* With huge pages: note it down, and give a huge page back when it is complete. */
static void note_page(struct balloon *balloon, uint64_t gpa, bool given)
{
	struct guest_memory *memory = balloon->memory;
	uint64_t page = page_index(balloon, gpa), per = memory->page / PAGE;
	uint8_t bit = (uint8_t)BIT(page & 7);

	if (!!(balloon->given[page / 8] & bit) == given)
		return;
	balloon->given[page / 8] ^= bit;
	balloon->given_of[page / per] += given ? 1 : -1;
	gpa = ALIGN_DOWN(gpa, memory->page);
	if (given && balloon->given_of[page / per] == per)
		memory_discard(memory, memory_ptr(memory, gpa, memory->page), memory->page);
}

/* Neighbours are given back together; a guest that gives its pages up in order is the usual one. */
struct run {
	uint64_t gpa, bytes;
};

static void end_run(struct balloon *balloon, struct run *run)
{
	if (run->bytes)
		memory_discard(balloon->memory, memory_ptr(balloon->memory, run->gpa, run->bytes),
			       run->bytes);
	run->bytes = 0;
}

static void give_page(struct balloon *balloon, struct run *run, uint64_t gpa)
{
	/* Not over the gap: what is not memory in one piece is NULL. */
	if (run->bytes && gpa == run->gpa + run->bytes &&
	    memory_ptr(balloon->memory, run->gpa, run->bytes + PAGE)) {
		run->bytes += PAGE;
	} else if (run->bytes && gpa + PAGE == run->gpa &&
		   memory_ptr(balloon->memory, gpa, run->bytes + PAGE)) {
		run->gpa = gpa;
		run->bytes += PAGE;
	} else {
		end_run(balloon, run);
		run->gpa = gpa;
		run->bytes = PAGE;
	}
}

static void take_pfns(struct balloon *balloon, const struct virtq_chain *chain, bool inflate)
{
	uint32_t pfn[PFNS];
	struct run run = { 0 };
	uint64_t gpa;
	size_t at = 0, n, i;

	do {
		n = iov_read(chain->iov, chain->nr_read, at, pfn, sizeof(pfn)) / sizeof(pfn[0]);
		at += n * sizeof(pfn[0]);
		for (i = 0; i < n; i++) {
			gpa = pfn[i] * PAGE;
			if (!memory_ptr(balloon->memory, gpa, PAGE))
				continue;
			if (balloon->given)
				note_page(balloon, gpa, inflate);
			else if (inflate)
				give_page(balloon, &run, gpa);
		}
	} while (n == PFNS);
	end_run(balloon, &run);
}

/* Ranges of free pages; they are the guest's again when the buffer is. */
static void take_report(struct balloon *balloon, const struct virtq_chain *chain)
{
	uint64_t bytes = 0;
	unsigned int i;

	/* Zeros are not what the guest has filled them with. */
	if (virtio_has(&balloon->virtio, F_PAGE_POISON) &&
	    __atomic_load_n(&balloon->poison, __ATOMIC_ACQUIRE))
		return;
	for (i = 0; i < chain->nr_write; i++) {
		const struct iovec *iov = &chain->iov[chain->nr_read + i];

		bytes += memory_discard(balloon->memory, iov->iov_base, iov->iov_len);
	}
	pthread_mutex_lock(&balloon->lock);
	balloon->info.reported += bytes;
	pthread_mutex_unlock(&balloon->lock);
}

/* ---- Statistics ---- */

static void take_stats(struct balloon *balloon, const struct virtq_chain *chain)
{
	uint8_t stat[STAT_BYTES];
	size_t at;

	balloon->info.has = 0;
	for (at = 0; at < (size_t)BALLOON_STATS * 4 * STAT_BYTES; at += sizeof(stat)) {
		uint16_t tag;

		if (iov_read(chain->iov, chain->nr_read, at, stat, sizeof(stat)) != sizeof(stat))
			break;
		tag = get_le16(stat);
		if (tag >= BALLOON_STATS)
			continue;
		balloon->info.stat[tag] = get_le64(stat + 2);
		balloon->info.has |= BIT(tag);
	}
}

static void give_back(struct balloon *balloon)
{
	struct virtio_queue *queue = &balloon->virtio.queue[Q_STATS];

	virtq_push(&queue->vq, &balloon->held, 0);
	balloon->holding = false;
	virtio_pushed(&balloon->virtio, queue);
}

/* Under the lock. Returns false if there is no more to do. */
static bool serve_stats(struct balloon *balloon)
{
	struct iovec iov[QUEUE_SIZE];
	struct virtq_chain chain = { .iov = iov, .room = ARRAY_SIZE(iov) };

	if (virtio_pop(&balloon->virtio, &balloon->virtio.queue[Q_STATS], &chain) <= 0)
		return false;
	/* There is one buffer; a driver that brings more gets the older ones back. */
	if (balloon->holding)
		give_back(balloon);
	take_stats(balloon, &chain);
	balloon->asked = 0;
	balloon->held = chain;
	balloon->held.iov = NULL;
	balloon->holding = true;
	return true;
}

/* ---- Queues ---- */

static bool is_stats(const struct balloon *balloon, unsigned int queue)
{
	return queue == Q_STATS && virtio_has(&balloon->virtio, F_STATS);
}

/* Serve one buffer. Returns false if there is none. */
static bool serve_one(struct balloon *balloon, unsigned int queue)
{
	struct virtio_queue *from = &balloon->virtio.queue[queue];
	struct iovec iov[QUEUE_SIZE];
	struct virtq_chain chain = { .iov = iov, .room = ARRAY_SIZE(iov) };
	bool more;

	if (is_stats(balloon, queue)) {
		pthread_mutex_lock(&balloon->lock);
		more = serve_stats(balloon);
		pthread_mutex_unlock(&balloon->lock);
		return more;
	}
	if (virtio_pop(&balloon->virtio, from, &chain) <= 0)
		return false;
	if (queue <= Q_DEFLATE)
		take_pfns(balloon, &chain, queue == Q_INFLATE);
	else if (virtio_has(&balloon->virtio, F_REPORTING))
		take_report(balloon, &chain);
	virtq_push(&from->vq, &chain, 0);
	virtio_pushed(&balloon->virtio, from);
	return true;
}

/* Is there anything left? If not, the driver shall kick. Statistics are given back by other threads as well. */
static bool look_again(struct balloon *balloon, unsigned int queue)
{
	struct virtq *vq = &balloon->virtio.queue[queue].vq;
	bool more;

	pthread_mutex_lock(&balloon->lock);
	more = !vq->broken && virtq_want_kicks(vq, true);
	pthread_mutex_unlock(&balloon->lock);
	return more;
}

static void *serve(void *arg)
{
	struct balloon *balloon = arg;
	struct pollfd fds[QUEUES + 1];
	struct virtio_queue *queue;
	uint64_t count;
	unsigned int i;

	for (i = 0; i < QUEUES; i++) {
		queue = &balloon->virtio.queue[i];
		fds[i] = (struct pollfd){ .fd = queue->vq.ready ? queue->kick : -1, .events = POLLIN };
	}
	fds[QUEUES] = (struct pollfd){ .fd = balloon->quit, .events = POLLIN };
	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[QUEUES].revents)
			return NULL;
		for (i = 0; i < QUEUES; i++) {
			if (!fds[i].revents || read(fds[i].fd, &count, sizeof(count)) < 0)
				continue;
			do {
				while (serve_one(balloon, i)) {
					if (poll(&fds[QUEUES], 1, 0) > 0)
						return NULL;
				}
			} while (look_again(balloon, i));
		}
	}
}

static int start(struct virtio_device *dev)
{
	struct balloon *balloon = container_of(dev, struct balloon, virtio);
	int r = pthread_create(&balloon->thread, NULL, serve, balloon);

	if (r)
		return -r;
	balloon->started = true;
	pthread_setname_np(balloon->thread, "balloon");
	return 0;
}

static void stop(struct virtio_device *dev)
{
	struct balloon *balloon = container_of(dev, struct balloon, virtio);
	uint64_t count = 1;

	if (!balloon->started)
		return;
	if (write(balloon->quit, &count, sizeof(count)) < 0)
		return;
	pthread_join(balloon->thread, NULL);
	balloon->started = false;
	if (read(balloon->quit, &count, sizeof(count)) < 0)
		count = 0;
	/* It comes again after start(): nothing is in flight meanwhile. */
	pthread_mutex_lock(&balloon->lock);
	if (balloon->holding && !dev->queue[Q_STATS].vq.broken)
		virtq_unpop(&dev->queue[Q_STATS].vq, &balloon->held);
	balloon->holding = false;
	balloon->asked = 0;
	pthread_mutex_unlock(&balloon->lock);
}

static void reset(struct virtio_device *dev)
{
	struct balloon *balloon = container_of(dev, struct balloon, virtio);
	uint64_t pages = balloon->memory->total / PAGE;

	__atomic_store_n(&balloon->actual, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&balloon->poison, 0, __ATOMIC_RELEASE);
	pthread_mutex_lock(&balloon->lock);
	balloon->info.has = 0;
	pthread_mutex_unlock(&balloon->lock);
	if (balloon->given) {
		memset(balloon->given, 0, (pages + 7) / 8);
		memset(balloon->given_of, 0, balloon->memory->total / balloon->memory->page *
		       sizeof(balloon->given_of[0]));
	}
}

static void put_le32(uint8_t *to, uint32_t value)
{
	memcpy(to, &value, sizeof(value));
}

static void config_read(struct virtio_device *dev)
{
	struct balloon *balloon = container_of(dev, struct balloon, virtio);

	memset(dev->config, 0, CONFIG_BYTES);
	put_le32(dev->config + CONFIG_NUM_PAGES, __atomic_load_n(&balloon->num_pages, __ATOMIC_ACQUIRE));
	put_le32(dev->config + CONFIG_ACTUAL, balloon->actual);
	put_le32(dev->config + CONFIG_POISON, balloon->poison);
}

static void config_write(struct virtio_device *dev, unsigned int offset, unsigned int len, const uint8_t *old)
{
	struct balloon *balloon = container_of(dev, struct balloon, virtio);
	uint32_t value = get_le32(dev->config + ALIGN_DOWN(offset, 4));

	(void)len;
	(void)old;
	/* What else is written does not stay: config_read() fills it in anew. */
	if (ALIGN_DOWN(offset, 4) == CONFIG_ACTUAL)
		__atomic_store_n(&balloon->actual, value, __ATOMIC_RELEASE);
	else if (ALIGN_DOWN(offset, 4) == CONFIG_POISON)
		__atomic_store_n(&balloon->poison, value, __ATOMIC_RELEASE);
}

static void destroy(struct virtio_device *dev)
{
	struct balloon *balloon = container_of(dev, struct balloon, virtio);

	if (dev->board && dev->board->balloon == balloon)
		dev->board->balloon = NULL;
	if (balloon->quit >= 0)
		close(balloon->quit);
	pthread_mutex_destroy(&balloon->lock);
	free(balloon->given);
	free(balloon->given_of);
	free(balloon);
}

/* ---- Control ---- */

/**
 * balloon_set() - how much memory the guest shall keep
 * @balloon: the balloon
 * @bytes: that much, rounded down to pages
 *
 * Return: 0; -ERANGE if that is more than it has at most.
 */
int balloon_set(struct balloon *balloon, uint64_t bytes)
{
	uint64_t total = balloon->memory->total;

	if (bytes > total)
		return -ERANGE;
	__atomic_store_n(&balloon->num_pages, (uint32_t)((total - ALIGN_DOWN(bytes, PAGE)) / PAGE),
			 __ATOMIC_RELEASE);
	virtio_config_changed(&balloon->virtio);
	return 0;
}

/**
 * balloon_ask() - ask the guest for statistics
 * @balloon: the balloon
 */
void balloon_ask(struct balloon *balloon)
{
	pthread_mutex_lock(&balloon->lock);
	if (!balloon->asked && balloon->holding) {
		balloon->asked = now_ms();
		give_back(balloon);
	}
	pthread_mutex_unlock(&balloon->lock);
}

/**
 * balloon_answered() - has the guest answered, or had time enough?
 * @balloon: the balloon
 *
 * Return: true if waiting makes no sense any more.
 */
bool balloon_answered(struct balloon *balloon)
{
	bool answered;

	pthread_mutex_lock(&balloon->lock);
	answered = !balloon->asked || now_ms() - balloon->asked > ANSWER_MS;
	pthread_mutex_unlock(&balloon->lock);
	return answered;
}

/**
 * balloon_info() - how it is doing
 * @balloon: the balloon
 * @info: to be filled
 */
void balloon_info(struct balloon *balloon, struct balloon_info *info)
{
	uint64_t total = balloon->memory->total;
	uint64_t actual = __atomic_load_n(&balloon->actual, __ATOMIC_ACQUIRE) * PAGE;

	pthread_mutex_lock(&balloon->lock);
	*info = balloon->info;
	pthread_mutex_unlock(&balloon->lock);
	info->target = total - __atomic_load_n(&balloon->num_pages, __ATOMIC_ACQUIRE) * PAGE;
	/* A guest may say what it likes. */
	info->actual = actual < total ? total - actual : 0;
}

/**
 * balloon_stat_name() - what a statistic is
 * @tag: its tag
 *
 * Return: its name; NULL if the standard does not know it.
 */
const char *balloon_stat_name(unsigned int tag)
{
	static const char *const names[] = {
		"swap-in", "swap-out", "major-faults", "minor-faults", "free", "total", "available", "disk-caches",
		"hugetlb-allocations", "hugetlb-failures",
	};

	return tag < ARRAY_SIZE(names) ? names[tag] : NULL;
}

static const struct state_field balloon_fields[] = {
	STATE_FIELD(struct balloon, num_pages),
	STATE_FIELD(struct balloon, actual),
	STATE_FIELD(struct balloon, poison),
	STATE_END,
};

static int check_state(const void *device, const void *loaded)
{
	const struct balloon *balloon = device, *new = loaded;

	return new->num_pages > balloon->memory->total / PAGE ? -EINVAL : 0;
}

static const struct device_state balloon_state = {
	.version = 1,
	.bytes = sizeof(struct balloon),
	.fields = balloon_fields,
	.check = check_state,
};

static const struct virtio_class balloon_class = {
	.name = "virtio-balloon",
	.type = TYPE_BALLOON,
	.pci_class = CLASS_BALLOON,
	.config_read = config_read,
	.config_write = config_write,
	.start = start,
	.stop = stop,
	.reset = reset,
	.destroy = destroy,
	.state = &balloon_state,
};

static int make_books(struct balloon *balloon)
{
	uint64_t total = balloon->memory->total, page = balloon->memory->page;

	if (page == PAGE)
		return 0;
	balloon->given = calloc((total / PAGE + 7) / 8, 1);
	balloon->given_of = calloc(total / page, sizeof(balloon->given_of[0]));
	return balloon->given && balloon->given_of ? 0 : -ENOMEM;
}

/**
 * balloon_new() - a balloon that is not plugged in yet
 * @memory: the guest's
 * @size: what the guest shall keep of it at first
 * @oom: it may take pages back when it has no others
 * @reporting: it may report free pages
 *
 * Return: the balloon; NULL if there is no memory for it.
 */
struct balloon *balloon_new(struct guest_memory *memory, uint64_t size, bool oom, bool reporting)
{
	struct balloon *balloon = calloc(1, sizeof(*balloon));
	int r;

	if (!balloon)
		return NULL;
	pthread_mutex_init(&balloon->lock, NULL);
	balloon->virtio.class = &balloon_class;
	balloon->virtio.offered = 1ULL << F_STATS | 1ULL << F_PAGE_POISON | (uint64_t)oom << F_DEFLATE_ON_OOM |
		(uint64_t)reporting << F_REPORTING;
	balloon->virtio.config_bytes = CONFIG_BYTES;
	balloon->memory = memory;
	balloon->num_pages = (uint32_t)((memory->total - ALIGN_DOWN(size, PAGE)) / PAGE);
	balloon->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = balloon->quit < 0 ? -errno : make_books(balloon);
	if (!r)
		r = virtio_alloc_queues(&balloon->virtio, QUEUES, QUEUE_SIZE);
	if (!r)
		return balloon;
	destroy(&balloon->virtio);
	return NULL;
}

/**
 * balloon_device() - the virtio device that a balloon is
 * @balloon: the balloon
 *
 * Return: the device.
 */
struct virtio_device *balloon_device(struct balloon *balloon)
{
	return &balloon->virtio;
}

static int create(struct board *board, struct params *params)
{
	uint64_t total = board->memory->total, size = total;
	bool oom = true, reporting = true;
	struct balloon *balloon;
	int r;

	r = params_bytes(params, "size", &size);
	if (!r)
		r = params_bool(params, "deflate-on-oom", &oom);
	if (!r)
		r = params_bool(params, "reporting", &reporting);
	if (!r)
		r = params_done(params);
	if (!r && size > total) {
		report_error("balloon: size: the machine has no more than %llu MiB",
			     (unsigned long long)(total / MIB));
		r = -EINVAL;
	}
	if (r)
		return r;
	balloon = balloon_new(board->memory, size, oom, reporting);
	if (!balloon)
		return -ENOMEM;
	r = virtio_plug(board, &balloon->virtio);
	if (!r)
		board->balloon = balloon;
	return r;
}

VIREO_DEVICE_OPTION(
	.name = "balloon",
	.first = "size",
	.argument = "[=SIZE][,deflate-on-oom=off][,reporting=off]",
	.help = "the guest gives memory back to the host: free pages by itself, and\n"
		"as much as \"vireo balloon\" wants; SIZE: what it keeps at first",
	.create = create,
);

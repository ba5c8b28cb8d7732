// SPDX-License-Identifier: GPL-2.0-only
/*
 * All of memory is registered, so that no page comes into being by itself. A thread reads faults: a page that is missing is asked for, and
 * any other one that is not there, since it is zero or was given back, becomes zero at once. That thread waits
 * for nobody: not for the connection, and for no lock but the one here, under which nobody waits either.
 *
 * A page is missing until it was copied: under the lock, so that one which the machine gives back meanwhile
 * (balloon, reset) is not missing afterwards, and what comes for it too late is dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fill.h"
#include "../util.h"

/* Linux 6.1; Debian 12's headers have it, others may not */
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#define MESSAGES	16
#define NO_MEMORY_MS	100	/* until it is tried again */
#define WANTED		(1ULL << _UFFDIO_COPY | 1ULL << _UFFDIO_ZEROPAGE | 1ULL << _UFFDIO_WAKE)

static int no(char *why, int error, const char *what)
{
	snprintf(why, FILL_WHY, "memory cannot come after the machine: %s: %s", what, strerror(-error));
	return error;
}

/* Faults of the kernel are wanted too, which not everybody may have. */
static int open_fd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), device, r;

	if (fd >= 0 || errno != EPERM)
		return fd >= 0 ? fd : -errno;
	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -EPERM;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	r = fd < 0 ? -errno : fd;
	close(device);
	return r;
}

static int register_all(struct fill *fill)
{
	const struct guest_memory *memory = fill->memory;
	struct uffdio_register arg;
	unsigned int i;

	for (i = 0; i < memory->nr; i++) {
		arg = (struct uffdio_register){
			.range = { (uintptr_t)memory->piece[i].hva, memory->piece[i].bytes },
			.mode = UFFDIO_REGISTER_MODE_MISSING,
		};
		if (ioctl(fill->fd, UFFDIO_REGISTER, &arg))
			return -errno;
		if ((arg.ioctls & WANTED) != WANTED)
			return -EOPNOTSUPP;
	}
	return 0;
}

/* Who waits for a page goes on, and takes what is there. */
static void unregister_all(struct fill *fill)
{
	const struct guest_memory *memory = fill->memory;
	struct uffdio_range range;
	unsigned int i;

	for (i = 0; i < memory->nr; i++) {
		range = (struct uffdio_range){ (uintptr_t)memory->piece[i].hva, memory->piece[i].bytes };
		ioctl(fill->fd, UFFDIO_UNREGISTER, &range);
	}
}

/**
 * fill_open() - see whether memory could be filled while the machine runs
 * @fill: to be filled
 * @memory: the memory
 * @why: FILL_WHY bytes for a sentence
 *
 * Return: 0, or a negative errno. fill_close() in either case.
 */
int fill_open(struct fill *fill, struct guest_memory *memory, char *why)
{
	struct uffdio_api api = { .api = UFFD_API };
	int r;

	*fill = (struct fill){ .memory = memory, .fd = -1, .wake = -1, .stop = -1 };
	pthread_mutex_init(&fill->lock, NULL);
	if (memory->page != WIRE_PAGE) {
		snprintf(why, FILL_WHY, "memory cannot come after the machine: it is made of huge pages there");
		return -EOPNOTSUPP;
	}
	fill->fd = open_fd();
	if (fill->fd < 0)
		return no(why, fill->fd, "userfaultfd");
	if (ioctl(fill->fd, UFFDIO_API, &api))
		return no(why, -errno, "userfaultfd's version");
	r = register_all(fill);
	unregister_all(fill);
	if (r)
		return no(why, r, "userfaultfd does not take guest memory");
	fill->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fill->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fill->wake < 0 || fill->stop < 0)
		return no(why, -errno, "eventfd");
	return 0;
}

static void wake_up(int fd)
{
	uint64_t one = 1;

	/* It can only fail by being readable already. */
	if (write(fd, &one, sizeof(one)) < 0)
		one = 0;
}

/* ---- Faults ---- */

/* Under the lock */
static void ask(struct fill *fill, unsigned int piece, uint64_t page)
{
	struct wire_pages *queue = fill->queue;
	size_t room = fill->room;

	if (fill->queued == room) {
		room = room ? room * 2 : 64;
		queue = realloc(queue, room * sizeof(*queue));
		/* It comes by itself, if later. */
		if (!queue)
			return;
		fill->queue = queue;
		fill->room = room;
	}
	queue[fill->queued++] = (struct wire_pages){ fill->memory->piece[piece].gpa + page * WIRE_PAGE, 1, 0 };
}

static bool find(const struct guest_memory *memory, uint64_t hva, unsigned int *piece, uint64_t *page)
{
	unsigned int i;

	for (i = 0; i < memory->nr; i++) {
		uint64_t base = (uintptr_t)memory->piece[i].hva;

		if (hva < base || hva - base >= memory->piece[i].bytes)
			continue;
		*piece = i;
		*page = (hva - base) / WIRE_PAGE;
		return true;
	}
	return false;
}

static void make_zero(struct fill *fill, uint64_t hva)
{
	struct uffdio_zeropage zero = { .range = { hva, WIRE_PAGE } };

	while (ioctl(fill->fd, UFFDIO_ZEROPAGE, &zero)) {
		if (errno == EAGAIN)
			continue;
		if (errno == EEXIST)
			break;
		/* There is no memory; or the thread that waited has gone with all of it. */
		if (errno != ENOMEM)
			return;
		poll(NULL, 0, NO_MEMORY_MS);
	}
	ioctl(fill->fd, UFFDIO_WAKE, &zero.range);
}

static void serve_fault(struct fill *fill, uint64_t hva)
{
	bool missing, new;
	unsigned int piece;
	uint64_t page;

	hva &= ~(uint64_t)(WIRE_PAGE - 1);
	if (!find(fill->memory, hva, &piece, &page))
		return;
	pthread_mutex_lock(&fill->lock);
	missing = page_set_has(&fill->missing, piece, page);
	new = missing && page_set_add(&fill->asked, piece, page);
	if (new) {
		fill->requests++;
		ask(fill, piece, page);
	}
	pthread_mutex_unlock(&fill->lock);
	/* What is not missing now never will be. */
	if (!missing)
		make_zero(fill, hva);
	else if (new)
		wake_up(fill->wake);
}

static void *serve(void *opaque)
{
	struct fill *fill = opaque;
	struct pollfd fds[] = { { .fd = fill->fd, .events = POLLIN }, { .fd = fill->stop, .events = POLLIN } };
	struct uffd_msg msg[MESSAGES];
	ssize_t n, i;

	while (poll(fds, ARRAY_SIZE(fds), -1) < 0 || !fds[1].revents) {
		n = read(fill->fd, msg, sizeof(msg));
		for (i = 0; i < n / (ssize_t)sizeof(*msg); i++)
			if (msg[i].event == UFFD_EVENT_PAGEFAULT)
				serve_fault(fill, msg[i].arg.pagefault.address);
	}
	return NULL;
}

/* The machine gives a range back: it is zero from now on. Any thread; memory is given back after this. */
static void discards(void *filler, uint64_t gpa, uint64_t bytes)
{
	struct fill *fill = filler;
	struct uffdio_range range;
	unsigned int piece;
	uint64_t page, end;
	bool some = false;
	uint8_t *hva = memory_ptr(fill->memory, gpa, bytes);

	if (!hva || !find(fill->memory, (uintptr_t)hva, &piece, &page))
		return;
	end = page + bytes / WIRE_PAGE;
	pthread_mutex_lock(&fill->lock);
	for (; page < end; page++) {
		some |= page_set_remove(&fill->missing, piece, page);
		page_set_remove(&fill->asked, piece, page);
	}
	/* What was there is not compared any more. */
	if (some)
		fill->sums = false;
	pthread_mutex_unlock(&fill->lock);
	if (!some)
		return;
	range = (struct uffdio_range){ (uintptr_t)hva, bytes };
	ioctl(fill->fd, UFFDIO_WAKE, &range);
	wake_up(fill->wake);
}

/* ---- What comes ---- */

static void add_sums(struct fill *fill)
{
	const struct guest_memory *memory = fill->memory;
	uint64_t page;
	unsigned int i;

	for (i = 0; i < memory->nr; i++) {
		const struct memory_piece *piece = &memory->piece[i];

		for (page = 0; page < piece->bytes / WIRE_PAGE; page++)
			if (!page_set_has(&fill->missing, i, page))
				fill->sum += wire_checksum_page(piece->gpa + page * WIRE_PAGE, piece->hva + page * WIRE_PAGE);
	}
}

/**
 * fill_begin() - from now on memory is filled
 * @fill: fill_open() said that it could be
 * @absent: pages that are missing; taken over
 * @sums: keep a checksum of what is there
 * @why: FILL_WHY bytes for a sentence
 *
 * Return: 0, or a negative errno.
 */
int fill_begin(struct fill *fill, struct page_set *absent, bool sums, char *why)
{
	struct guest_memory *memory = fill->memory;
	uint64_t page, run;
	unsigned int i;
	int r;

	r = page_set_make(&fill->asked, memory);
	if (r)
		return no(why, r, "its bitmaps");
	fill->missing = *absent;
	memset(absent, 0, sizeof(*absent));
	fill->sums = sums;
	if (sums)
		add_sums(fill);
	/*
	 * First this: from here on the host makes no pages by itself. A huge page may have come into being around
	 * one that was written; so all that is missing goes, whether or not it was ever sent.
	 */
	r = register_all(fill);
	fill->registered = true;
	if (r)
		return no(why, r, "userfaultfd does not take guest memory");
	for (i = 0; i < memory->nr; i++)
		for (page = 0; page_set_next(&fill->missing, i, &page, &run, UINT32_MAX); page += run)
			if (madvise(memory->piece[i].hva + page * WIRE_PAGE, run * WIRE_PAGE, MADV_DONTNEED))
				return no(why, -errno, "madvise");
	r = pthread_create(&fill->thread, NULL, serve, fill);
	if (r)
		return no(why, -r, "a thread");
	fill->started = true;
	memory->filler = fill;
	__atomic_store_n(&memory->discards, discards, __ATOMIC_RELEASE);
	return 0;
}

/* Under the lock. All of the run are missing. */
static void copy_run(struct fill *fill, uint8_t *to, const uint8_t *from, uint64_t len)
{
	struct uffdio_copy copy;

	while (len) {
		copy = (struct uffdio_copy){ (uintptr_t)to, (uintptr_t)from, len, 0, 0 };
		if (!ioctl(fill->fd, UFFDIO_COPY, &copy))
			return;
		if (copy.copy > 0) {
			to += copy.copy;
			from += copy.copy;
			len -= (uint64_t)copy.copy;
		} else if (errno == EEXIST) {
			to += WIRE_PAGE;
			from += WIRE_PAGE;
			len -= WIRE_PAGE;
		} else if (errno == ENOMEM) {
			/* The machine cannot go on without it, and neither can anybody else. */
			poll(NULL, 0, NO_MEMORY_MS);
		} else if (errno != EAGAIN) {
			return;
		}
	}
}

/**
 * fill_take() - fill pages
 * @fill: fill_begin() has succeeded
 * @type: of the frame: WIRE_PAGES or WIRE_ZERO
 * @payload: its content
 * @len: its length
 *
 * What is not missing is dropped: the machine has given it back.
 *
 * Return: NULL, or what is wrong.
 */
const char *fill_take(struct fill *fill, unsigned int type, const void *payload, size_t len)
{
	static const uint8_t nothing[WIRE_PAGE];
	const uint8_t *contents = (const uint8_t *)payload + sizeof(struct wire_pages);
	uint64_t page, run, base, end;
	struct uffdio_range range;
	struct wire_run got;
	const char *wrong;
	bool asked = false;

	if (type != WIRE_PAGES && type != WIRE_ZERO)
		return "a frame at the wrong time";
	wrong = wire_check_run(fill->memory, type, payload, len, &got);
	if (wrong)
		return wrong;
	base = fill->memory->piece[got.piece].gpa;
	end = got.first + got.count;
	pthread_mutex_lock(&fill->lock);
	page = got.first;
	while (page < end && page_set_next(&fill->missing, got.piece, &page, &run, end - page) && page < end) {
		if (run > end - page)
			run = end - page;
		if (type == WIRE_PAGES)
			copy_run(fill, got.to + (page - got.first) * WIRE_PAGE, contents + (page - got.first) * WIRE_PAGE,
				 run * WIRE_PAGE);
		for (; run; run--, page++) {
			page_set_remove(&fill->missing, got.piece, page);
			asked |= page_set_remove(&fill->asked, got.piece, page);
			if (fill->sums)
				fill->sum += wire_checksum_page(base + page * WIRE_PAGE, type == WIRE_ZERO ? nothing :
								contents + (page - got.first) * WIRE_PAGE);
		}
	}
	pthread_mutex_unlock(&fill->lock);
	/* Who waits for a page that is zero faults again, and then it is not missing. */
	if (asked && type == WIRE_ZERO) {
		range = (struct uffdio_range){ (uintptr_t)got.to, (uint64_t)got.count * WIRE_PAGE };
		ioctl(fill->fd, UFFDIO_WAKE, &range);
	}
	return NULL;
}

/**
 * fill_request() - what somebody waits for
 * @fill: see there
 * @run: to be filled
 *
 * Return: false: there is nothing that was not returned before.
 */
bool fill_request(struct fill *fill, struct wire_pages *run)
{
	bool some;

	pthread_mutex_lock(&fill->lock);
	some = fill->queued;
	if (some)
		*run = fill->queue[--fill->queued];
	pthread_mutex_unlock(&fill->lock);
	return some;
}

/**
 * fill_ask_again() - ask for all that somebody waits for
 * @fill: see there
 */
void fill_ask_again(struct fill *fill)
{
	uint64_t page, run;
	unsigned int i;

	pthread_mutex_lock(&fill->lock);
	fill->queued = 0;
	for (i = 0; i < fill->asked.nr; i++)
		for (page = 0; page_set_next(&fill->asked, i, &page, &run, 1); page++)
			ask(fill, i, page);
	pthread_mutex_unlock(&fill->lock);
}

/**
 * fill_left() - how many pages are missing
 * @fill: see there
 *
 * Return: so many.
 */
uint64_t fill_left(struct fill *fill)
{
	uint64_t left;

	pthread_mutex_lock(&fill->lock);
	left = fill->missing.count;
	pthread_mutex_unlock(&fill->lock);
	return left;
}

/**
 * fill_requests() - how many pages somebody has waited for
 * @fill: see there
 *
 * Return: so many.
 */
uint64_t fill_requests(struct fill *fill)
{
	uint64_t requests;

	pthread_mutex_lock(&fill->lock);
	requests = fill->requests;
	pthread_mutex_unlock(&fill->lock);
	return requests;
}

/**
 * fill_end() - let those go on who wait for a page
 * @fill: nothing is missing; or nobody minds what they find
 */
void fill_end(struct fill *fill)
{
	if (fill->started) {
		wake_up(fill->stop);
		pthread_join(fill->thread, NULL);
		fill->started = false;
	}
	if (fill->registered)
		unregister_all(fill);
	fill->registered = false;
}

/**
 * fill_close() - after all
 * @fill: what fill_open() has filled; there is no machine any more, or nothing was begun
 */
void fill_close(struct fill *fill)
{
	if (fill->fd >= 0)
		close(fill->fd);
	if (fill->wake >= 0)
		close(fill->wake);
	if (fill->stop >= 0)
		close(fill->stop);
	page_set_free(&fill->missing);
	page_set_free(&fill->asked);
	free(fill->queue);
	pthread_mutex_destroy(&fill->lock);
}

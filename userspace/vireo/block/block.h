/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the contents of disks are: a file, a block device, a server. The device (virtio/blk.c) knows this
 * interface and no backend.
 *
 * A backend is opened once and attached to by each thread that uses it: an attachment is a thread's own
 * way in, so that nothing is shared and nothing is locked on the path of a request. The thread waits at
 * one place, block_wait(), for its completions and for the eventfds of its queues alike.
 */
#ifndef VIREO_BLOCK_H
#define VIREO_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLOCK_SECTOR 512ULL

struct block;
struct block_io;

enum block_cache {
	BLOCK_WRITEBACK,	/* through the host's page cache; stable after a flush */
	BLOCK_NONE,		/* past it (O_DIRECT); stable after a flush */
	BLOCK_WRITETHROUGH,	/* through it; stable when completed */
};

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_DISCARD,
	BLOCK_ZERO,
};

/**
 * struct block_request - something to be done
 * @op: what
 * @stable: a write is on the medium when it is completed
 * @unmap: BLOCK_ZERO may give the room back
 * @offset: in the image, in bytes; inside of it, as is the end
 * @bytes: how many; what @iov has, for reads and writes
 * @iov: guest memory
 * @nr_iov: segments of it
 * @next: the backend's, while it has the request
 * @done: is called by the attached thread, in block_submit() or block_wait(): 0 or a negative errno.
 *	  May submit the next request
 *
 * A backend moves @offset, @bytes and @iov on as it proceeds: a request that has failed may be submitted
 * again as it is, and goes on where it stood.
 */
struct block_request {
	enum block_op op;
	bool stable, unmap;
	uint64_t offset, bytes;
	struct iovec *iov;
	unsigned int nr_iov;
	struct block_request *next;
	void (*done)(struct block_request *request, int result);
};

/**
 * struct block_ops - a kind of backend
 * @attach: make a way in for the calling thread, which waits for @events (eventfds) as well
 * @detach: the calling thread leaves; it has nothing in flight
 * @submit: begin a request; it may be held back until block_wait()
 * @wait: begin what was held back, sleep until an event or a completion, call done() of those completed
 * @close: free everything
 *
 * A sleep may end without any reason; an eventfd's counter is the backend's to reset, or not.
 */
struct block_ops {
	int (*attach)(struct block *block, const int *events, unsigned int nr_events, struct block_io **out);
	void (*detach)(struct block_io *io);
	void (*submit)(struct block_io *io, struct block_request *request);
	void (*wait)(struct block_io *io);
	void (*close)(struct block *block);
};

/**
 * struct block - an open backend, first in that of its kind
 * @ops: its kind
 * @bytes: size; a multiple of BLOCK_SECTOR
 * @block_bytes: requests are multiples of it; a power of two from BLOCK_SECTOR on
 * @physical_bytes: of the medium; likewise
 * @optimal_bytes: for long transfers; 0: not known
 * @discard_bytes: what is given back comes in multiples of it
 * @read_only: no op but BLOCK_READ and BLOCK_FLUSH
 * @can_discard: BLOCK_DISCARD works
 * @can_zero: BLOCK_ZERO works, and is quicker than writing
 * @branches: its contents go back, and fork, with the machine (branch.h)
 * @max_io: how many may attach; 0: as many as like
 */
struct block {
	const struct block_ops *ops;
	uint64_t bytes;
	uint32_t block_bytes, physical_bytes, optimal_bytes, discard_bytes;
	bool read_only, can_discard, can_zero, branches;
	unsigned int max_io;
};

/* What a thread has of a backend, first in that of its kind */
struct block_io {
	struct block *block;
};

/**
 * struct block_options - how to open one
 * @path: file, block device, or address of an NBD server (nbd://..., nbd+unix://...)
 * @read_only: do not write, even if that were possible
 * @cache: see there
 * @branch: directory for overlays that have what is written; NULL: it goes into the image
 * @format: of the image, with @branch: raw or qcow2; NULL: raw
 */
struct block_options {
	const char *path;
	bool read_only;
	enum block_cache cache;
	const char *branch, *format;
};

int block_open(const struct block_options *options, struct block **out);

static inline void block_close(struct block *block)
{
	block->ops->close(block);
}

static inline int block_attach(struct block *block, const int *events, unsigned int nr_events,
			       struct block_io **out)
{
	return block->ops->attach(block, events, nr_events, out);
}

static inline void block_detach(struct block_io *io)
{
	io->block->ops->detach(io);
}

static inline void block_submit(struct block_io *io, struct block_request *request)
{
	io->block->ops->submit(io, request);
}

static inline void block_wait(struct block_io *io)
{
	io->block->ops->wait(io);
}

/*
 * A machine that moves has its images open in two launchers for a time, of which one owns them. From block_lock_later() on
 * images are opened without a lock; block_lock_all() takes those of all that are open, and says what is wrong: 0, or -EBUSY with none
 * taken. block_unlock_all() writes out what is cached, and gives them back. Nothing is in flight meanwhile.
 */
void block_lock_later(void);
int block_lock_all(void);
void block_unlock_all(void);
/* In a child, after a fork: what is open is the parent's. */
void block_forget(void);

/* The kinds; block_open() chooses */
int block_file_open(const struct block_options *options, struct block **out);
int block_nbd_open(const struct block_options *options, struct block **out);

void block_advance(struct block_request *request, uint64_t bytes);
void block_clear(const struct block_request *request, uint64_t bytes);
uint64_t block_gather(const struct block_request *request, void *to, uint64_t bytes);
void block_scatter(const struct block_request *request, const void *from, uint64_t bytes);

#endif /* VIREO_BLOCK_H */

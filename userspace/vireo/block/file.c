// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files and block devices, through io_uring: a ring for each thread, in which it waits for its queues'
 * eventfds, too, so that one system call begins requests, sleeps, and brings completions and kicks.
 *
 * What the host would do on a thread of its own, for want of a way that does not block, and what is only
 * a copy to or from its page cache, is done at once, by a plain system call: writes through the page cache
 * of file systems such as ext4, and everything on tmpfs. That is much shorter than a change of threads.
 *
 * O_DIRECT has rules for addresses in memory that guests do not know. What breaks them goes through
 * a buffer.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "block.h"
#include "../util.h"

#define RING_ENTRIES	64	/* submitted at once; more are handed in before */
#define RING_RESULTS	512	/* in flight; the kernel keeps what is beyond */
#define BOUNCE_BYTES	(256 * KIB)
#define ZERO_BYTES	(256 * KIB)
#define MEMORY_SEGMENTS	8	/* of a write to tmpfs, at a time */

/* How a write through the page cache is done: known after the first one. */
enum write_way {
	WRITE_UNKNOWN,
	WRITE_AT_ONCE,
	WRITE_BY_RING,
};

/**
 * struct file - an open image
 * @block: what others see
 * @fd: open, locked
 * @real_bytes: end of the file when it was opened: up to BLOCK_SECTOR - 1 below @block.bytes
 * @device: it is a block device
 * @direct: opened with O_DIRECT
 * @memory: all of it is in memory: nothing blocks
 * @memory_align: that O_DIRECT wants of addresses, less 1
 * @write_way: see there
 * @no_zero_range: the file system cannot zero a range; found out by trying
 * @path: for messages
 * @next: the list of all that are open
 */
struct file {
	struct block block;
	int fd;
	uint64_t real_bytes;
	bool device, direct, memory;
	uint32_t memory_align;
	enum write_way write_way;
	bool no_zero_range;
	const char *path;
	struct file *next;
};

/* All that are open, and whether they are locked. The main thread opens and closes; the locks change hands while that waits. */
static struct file *files;
static bool unlocked;

/**
 * struct file_io - a thread's ring
 * @io: what others see
 * @ring: the ring
 * @waiting: requests that found no room in the ring
 * @waiting_end: where the next one is hung
 * @bounce: BOUNCE_BYTES, for O_DIRECT; made when it is needed
 * @nr_events: eventfds
 * @event: those
 */
struct file_io {
	struct block_io io;
	struct io_uring ring;
	struct block_request *waiting, **waiting_end;
	void *bounce;
	unsigned int nr_events;
	int event[];
};

/* user_data of a poll: no request has an odd address */
#define POLL_TAG(i)	((uint64_t)(i) << 1 | 1)

static struct file *file_of(struct file_io *io)
{
	return container_of(io->io.block, struct file, block);
}

static struct io_uring_sqe *get_sqe(struct file_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);

	if (!sqe && io_uring_submit(&io->ring) > 0)
		sqe = io_uring_get_sqe(&io->ring);
	return sqe;
}

static bool arm(struct file_io *io, unsigned int i)
{
	struct io_uring_sqe *sqe = get_sqe(io);

	if (!sqe)
		return false;
	io_uring_prep_poll_multishot(sqe, io->event[i], POLLIN);
	sqe->user_data = POLL_TAG(i);
	return true;
}

static int zero_mode(const struct file *file, const struct block_request *request)
{
	if (request->op == BLOCK_DISCARD || request->unmap)
		return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	return __atomic_load_n(&file->no_zero_range, __ATOMIC_RELAXED) ? 0 :
	       FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

static void queue(struct file_io *io, struct block_request *request)
{
	struct io_uring_sqe *sqe = get_sqe(io);
	int fd = file_of(io)->fd;

	if (!sqe) {
		request->next = NULL;
		*io->waiting_end = request;
		io->waiting_end = &request->next;
		return;
	}
	switch (request->op) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, fd, request->iov, request->nr_iov, request->offset);
		break;
	case BLOCK_WRITE:
		io_uring_prep_writev2(sqe, fd, request->iov, request->nr_iov, request->offset,
				      request->stable ? RWF_DSYNC : 0);
		break;
	case BLOCK_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case BLOCK_DISCARD:
	case BLOCK_ZERO:
		io_uring_prep_fallocate(sqe, fd, zero_mode(file_of(io), request), request->offset, request->bytes);
		break;
	}
	io_uring_sqe_set_data(sqe, request);
}

static int write_zeroes(struct file *file, struct block_request *request)
{
	static const uint8_t zero[ZERO_BYTES] __attribute__((aligned(4096)));

	while (request->bytes) {
		size_t n = request->bytes < ZERO_BYTES ? request->bytes : ZERO_BYTES;
		ssize_t done = pwrite(file->fd, zero, n, request->offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -EIO;
		block_advance(request, done);
	}
	return 0;
}

/*
 * A step of a request has returned @r. Is it finished? Then *result has what is to be said of it;
 * otherwise it goes on, moved forward.
 */
static bool finished(struct file *file, struct block_request *request, int r, int *result)
{
	if (r == -EINTR || r == -EAGAIN)
		return false;
	*result = r < 0 ? r : 0;
	switch (request->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		if (r < 0)
			return true;
		block_advance(request, r);
		if (!request->bytes)
			return true;
		if (request->op == BLOCK_READ && request->offset >= file->real_bytes) {
			/* The last sector is not all in the file. */
			block_clear(request, request->bytes);
			return true;
		}
		*result = -EIO;		/* somebody has cut the file, if nothing was done */
		return !r;
	case BLOCK_ZERO:
		if (r == -EOPNOTSUPP) {
			if (!request->unmap)
				__atomic_store_n(&file->no_zero_range, true, __ATOMIC_RELAXED);
			*result = write_zeroes(file, request);
		}
		return true;
	default:
		return true;
	}
}

/* Before each page tmpfs looks at all that a write still has to copy (6.12): long ones would be quadratic. */
static unsigned int write_segments(const struct file *file, const struct block_request *request)
{
	return file->memory && request->nr_iov > MEMORY_SEGMENTS ? MEMORY_SEGMENTS : request->nr_iov;
}

/* One step, by the calling thread */
static int step(struct file *file, struct block_request *request, int flags)
{
	uint64_t range[2] = { request->offset, request->bytes };
	ssize_t r;

	switch (request->op) {
	case BLOCK_READ:
		r = preadv2(file->fd, request->iov, request->nr_iov, request->offset, flags);
		break;
	case BLOCK_WRITE:
		r = pwritev2(file->fd, request->iov, write_segments(file, request), request->offset, flags);
		break;
	case BLOCK_FLUSH:
		r = fdatasync(file->fd);
		break;
	case BLOCK_DISCARD:
		if (file->device) {
			r = ioctl(file->fd, BLKDISCARD, range);
			break;
		}
		/* fallthrough */
	default:
		r = fallocate(file->fd, zero_mode(file, request), request->offset, request->bytes);
		break;
	}
	return r < 0 ? -errno : (int)r;
}

static void do_now(struct file *file, struct block_request *request)
{
	int flags = request->op == BLOCK_WRITE && request->stable ? RWF_DSYNC : 0;
	int result;

	while (!finished(file, request, step(file, request, flags), &result))
		;
	request->done(request, result);
}

static bool is_aligned(const struct file *file, const struct block_request *request)
{
	unsigned int i;

	for (i = 0; i < request->nr_iov; i++) {
		if (((uintptr_t)request->iov[i].iov_base | request->iov[i].iov_len) & file->memory_align)
			return false;
	}
	return true;
}

static void do_bounced(struct file_io *io, struct block_request *request)
{
	struct file *file = file_of(io);
	int result = 0;

	if (!io->bounce && posix_memalign(&io->bounce, 4096, BOUNCE_BYTES)) {
		io->bounce = NULL;
		request->done(request, -ENOMEM);
		return;
	}
	while (request->bytes && !result) {
		size_t n = request->bytes < BOUNCE_BYTES ? request->bytes : BOUNCE_BYTES;
		struct iovec iov = { io->bounce, n };
		struct block_request part = { .op = request->op, .stable = request->stable, .bytes = n,
					      .offset = request->offset, .iov = &iov, .nr_iov = 1 };

		if (request->op == BLOCK_WRITE)
			block_gather(request, io->bounce, n);
		while (!finished(file, &part, step(file, &part, request->stable ? RWF_DSYNC : 0), &result))
			;
		if (!result && request->op == BLOCK_READ)
			block_scatter(request, io->bounce, n);
		if (!result)
			block_advance(request, n);
	}
	request->done(request, result);
}

/* The first write through the page cache tells whether the file system has writes that do not block. */
static void first_write(struct file_io *io, struct block_request *request)
{
	struct file *file = file_of(io);
	int result, r = step(file, request, RWF_NOWAIT);

	__atomic_store_n(&file->write_way, r == -EOPNOTSUPP ? WRITE_AT_ONCE : WRITE_BY_RING, __ATOMIC_RELAXED);
	if (r == -EOPNOTSUPP)
		do_now(file, request);
	else if (finished(file, request, r, &result))
		request->done(request, result);
	else
		queue(io, request);
}

static void file_submit(struct block_io *block_io, struct block_request *request)
{
	struct file_io *io = container_of(block_io, struct file_io, io);
	struct file *file = file_of(io);
	bool transfer = request->op == BLOCK_READ || request->op == BLOCK_WRITE;

	if (file->direct && transfer && !is_aligned(file, request)) {
		do_bounced(io, request);
	} else if (request->op == BLOCK_ZERO && !zero_mode(file, request)) {
		request->done(request, write_zeroes(file, request));
	} else if (file->memory || (file->device && request->op == BLOCK_DISCARD)) {
		do_now(file, request);
	} else if (request->op == BLOCK_WRITE && !file->direct && !request->stable) {
		switch (__atomic_load_n(&file->write_way, __ATOMIC_RELAXED)) {
		case WRITE_AT_ONCE:
			do_now(file, request);
			break;
		case WRITE_BY_RING:
			queue(io, request);
			break;
		case WRITE_UNKNOWN:
			first_write(io, request);
			break;
		}
	} else {
		queue(io, request);
	}
}

static void complete(struct file_io *io, const struct io_uring_cqe *cqe)
{
	uint64_t data = cqe->user_data;
	unsigned int flags = cqe->flags;
	struct block_request *request;
	int result, r = cqe->res;

	io_uring_cq_advance(&io->ring, 1);
	if (data & 1) {
		/* A poll that has ended (the kernel had no room for a result) begins anew. */
		if (!(flags & IORING_CQE_F_MORE) && !arm(io, data >> 1)) {
			report_error("disk: the ring has no room");
			abort();
		}
		return;
	}
	request = (struct block_request *)(uintptr_t)data;
	if (finished(file_of(io), request, r, &result))
		request->done(request, result);
	else
		queue(io, request);
}

static void file_wait(struct block_io *block_io)
{
	struct file_io *io = container_of(block_io, struct file_io, io);
	struct block_request *request;
	struct io_uring_cqe *cqe;
	unsigned int head;

	io_uring_submit_and_wait(&io->ring, 1);
	io_uring_for_each_cqe(&io->ring, head, cqe)
		complete(io, cqe);
	if (!io->waiting)
		return;
	request = io->waiting;
	io->waiting = NULL;
	io->waiting_end = &io->waiting;
	while (request) {
		struct block_request *next = request->next;

		queue(io, request);
		request = next;
	}
}

/* Flags that a kernel does not know yet make it refuse the ring: 6.1 knows these. */
static int make_ring(struct io_uring *ring)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		.cq_entries = RING_RESULTS,
	};
	int r = io_uring_queue_init_params(RING_ENTRIES, ring, &params);

	if (r == -EINVAL) {
		params = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE, .cq_entries = RING_RESULTS };
		r = io_uring_queue_init_params(RING_ENTRIES, ring, &params);
	}
	if (!r)
		r = io_uring_ring_dontfork(ring);
	if (r == -ENOSYS)
		report_error("disk: the host's kernel has no io_uring");
	else if (r == -EPERM || r == -EACCES)
		report_error("disk: the host does not permit io_uring (sysctl kernel.io_uring_disabled, or a seccomp filter)");
	else if (r == -ENOMEM)
		report_error("disk: no memory for io_uring (older kernels count it as locked memory: ulimit -l)");
	else if (r)
		report_error("disk: io_uring: %s", strerror(-r));
	return r;
}

static void file_detach(struct block_io *block_io)
{
	struct file_io *io = container_of(block_io, struct file_io, io);

	io_uring_queue_exit(&io->ring);
	free(io->bounce);
	free(io);
}

static int file_attach(struct block *block, const int *events, unsigned int nr_events, struct block_io **out)
{
	struct file_io *io = calloc(1, sizeof(*io) + nr_events * sizeof(io->event[0]));
	unsigned int i;
	int r;

	if (!io)
		return -ENOMEM;
	io->io.block = block;
	io->waiting_end = &io->waiting;
	io->nr_events = nr_events;
	for (i = 0; i < nr_events; i++)
		io->event[i] = events[i];
	r = make_ring(&io->ring);
	if (r) {
		free(io);
		return r;
	}
	/*
	 * Shortens each call; older kernels do without. The file is not registered: the kernel gives back rings
	 * some time after they were closed, and the image would stay locked until then.
	 */
	io_uring_register_ring_fd(&io->ring);
	for (i = 0; i < nr_events; i++) {
		if (!arm(io, i)) {
			file_detach(&io->io);
			return -EBUSY;
		}
	}
	*out = &io->io;
	return 0;
}

static void file_close(struct block *block)
{
	struct file *file = container_of(block, struct file, block);
	struct file **at;

	for (at = &files; *at; at = &(*at)->next) {
		if (*at == file) {
			*at = file->next;
			break;
		}
	}
	close(file->fd);
	free(file);
}

static const struct block_ops file_ops = {
	.attach = file_attach,
	.detach = file_detach,
	.submit = file_submit,
	.wait = file_wait,
	.close = file_close,
};

static int device_geometry(struct file *file, const char *path)
{
	struct block *block = &file->block;
	unsigned int physical = 0, optimal = 0;
	int r, logical = 0, read_only = 0;

	if (ioctl(file->fd, BLKGETSIZE64, &file->real_bytes) || ioctl(file->fd, BLKSSZGET, &logical) ||
	    ioctl(file->fd, BLKPBSZGET, &physical) || ioctl(file->fd, BLKIOOPT, &optimal) ||
	    ioctl(file->fd, BLKROGET, &read_only)) {
		r = -errno;
		report_error("disk: %s: %s", path, strerror(-r));
		return r;
	}
	if (read_only && !block->read_only) {
		report_error("disk: %s: the device cannot be written to: say readonly", path);
		return -EROFS;
	}
	/* The kernel refuses to zero or discard parts of its blocks. */
	block->block_bytes = logical;
	file->memory_align = logical - 1;
	block->physical_bytes = physical > block->block_bytes ? physical : block->block_bytes;
	block->optimal_bytes = optimal;
	block->discard_bytes = block->physical_bytes;
	block->can_discard = true;
	return 0;
}

static void file_geometry(struct file *file, const struct stat *st)
{
	struct block *block = &file->block;
	uint32_t block_bytes = st->st_blksize;
	struct statfs fs;

	file->real_bytes = st->st_size;
	file->memory = !fstatfs(file->fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
	if (file->direct) {
		struct statx stx;

		if (!statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) && (stx.stx_mask & STATX_DIOALIGN) &&
		    stx.stx_dio_offset_align) {
			if (stx.stx_dio_offset_align > block->block_bytes)
				block->block_bytes = stx.stx_dio_offset_align;
			file->memory_align = stx.stx_dio_mem_align - 1;
		}
	}
	/* Large block sizes that some file systems tell are wishes for transfers. */
	if (block_bytes >= block->block_bytes && block_bytes <= 64 * KIB && !(block_bytes & (block_bytes - 1)))
		block->physical_bytes = block_bytes;
	block->discard_bytes = block->physical_bytes;
	/* Behind its end a file has nothing to lose. */
	block->can_discard = !block->read_only &&
			     !fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					ALIGN_UP(file->real_bytes, 64 * KIB), 64 * KIB);
}

/* Two that write to one image destroy it; so do one that writes and one that reads, for the latter. */
static int lock(struct file *file, const char *path)
{
	struct flock range = { .l_type = file->block.read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(file->fd, F_OFD_SETLK, &range))
		return 0;
	if (errno == EAGAIN || errno == EACCES) {
		report_error("disk: %s: in use by another virtual machine", path);
		return -EBUSY;
	}
	report_note("disk: %s: cannot be locked against a second user: %s", path, strerror(errno));
	return 0;
}

static void unlock(struct file *file)
{
	struct flock range = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(file->fd, F_OFD_SETLK, &range);
}

/**
 * block_lock_later() - images are opened without a lock from now on
 */
void block_lock_later(void)
{
	unlocked = true;
}

/**
 * block_lock_all() - lock all images that are open
 *
 * Return: 0; -EBUSY, with a message and no lock taken: somebody else uses one.
 */
int block_lock_all(void)
{
	struct file *file, *other;
	int r;

	for (file = files; file; file = file->next) {
		r = lock(file, file->path);
		if (!r)
			continue;
		for (other = files; other != file; other = other->next)
			unlock(other);
		return r;
	}
	unlocked = false;
	return 0;
}

/**
 * block_forget() - in a child: the images, and their locks, are another process's
 */
void block_forget(void)
{
	files = NULL;
	unlocked = false;
}

/**
 * block_unlock_all() - give all images up
 */
void block_unlock_all(void)
{
	struct file *file;

	for (file = files; file; file = file->next) {
		if (!file->block.read_only && fdatasync(file->fd))
			report_note("disk: %s: what is cached cannot be written: %s", file->path, strerror(errno));
		unlock(file);
	}
	unlocked = true;
}

static int open_image(const struct block_options *options, struct file *file)
{
	int flags = O_CLOEXEC | (options->read_only ? O_RDONLY : O_RDWR) | (file->direct ? O_DIRECT : 0);
	const char *path = options->path;
	int r;

	/* Refuses what is mounted. */
	if (file->device && !options->read_only)
		flags |= O_EXCL;
	file->fd = open(path, flags);
	if (file->fd >= 0)
		return 0;
	r = -errno;
	if (r == -EINVAL && file->direct)
		report_error("disk: %s: cache=none is not possible with the file system it is on", path);
	else if (r == -EBUSY && file->device)
		report_error("disk: %s: the device is in use by the host or by another virtual machine", path);
	else if ((r == -EACCES || r == -EROFS || r == -EPERM) && !options->read_only)
		report_error("disk: %s: cannot be opened for writing (%s); with readonly it need not", path,
			     strerror(-r));
	else
		report_error("disk: %s: %s", path, strerror(-r));
	return r;
}

/* Is there io_uring at all? Better said now than when the guest is up. */
static int try_ring(void)
{
	struct io_uring ring;
	int r = make_ring(&ring);

	if (!r)
		io_uring_queue_exit(&ring);
	return r;
}

/**
 * block_file_open() - open a file or a block device
 * @options: path and others
 * @out: the backend
 *
 * Return: 0, or a negative errno with a message.
 */
int block_file_open(const struct block_options *options, struct block **out)
{
	const char *path = options->path;
	struct file *file;
	struct stat st;
	int r;

	/* Opening a FIFO would wait for its other end. */
	if (stat(path, &st)) {
		r = -errno;
		report_error("disk: %s: %s", path, strerror(-r));
		return r;
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		report_error("disk: %s: neither a file nor a block device", path);
		return -EINVAL;
	}
	r = try_ring();
	if (r)
		return r;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->block.ops = &file_ops;
	file->block.read_only = options->read_only;
	file->block.can_zero = !options->read_only;
	file->block.block_bytes = BLOCK_SECTOR;
	file->block.physical_bytes = BLOCK_SECTOR;
	file->memory_align = BLOCK_SECTOR - 1;
	file->device = S_ISBLK(st.st_mode);
	file->direct = options->cache == BLOCK_NONE;
	r = open_image(options, file);
	if (r) {
		free(file);
		return r;
	}
	file->path = path;
	file->next = files;
	files = file;
	r = unlocked ? 0 : lock(file, path);
	if (!r && file->device) {
		r = device_geometry(file, path);
	} else if (!r) {
		r = fstat(file->fd, &st) ? -errno : 0;
		file_geometry(file, &st);
	}
	if (!r && !file->real_bytes) {
		report_error("disk: %s: empty", path);
		r = -EINVAL;
	}
	if (r) {
		file_close(&file->block);
		return r;
	}
	file->block.bytes = ALIGN_UP(file->real_bytes, file->block.block_bytes);
	*out = &file->block;
	return 0;
}

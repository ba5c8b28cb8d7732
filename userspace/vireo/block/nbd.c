// SPDX-License-Identifier: GPL-2.0-only
/*
 * NBD: images of all formats, copy-on-write and remote storage, by servers such as qemu-nbd and nbdkit.
 * libnbd speaks the protocol; a connection for each attached thread, if the server allows several.
 *
 * The library is loaded when it is needed: with what it needs itself, it costs a VM without such a disk
 * more memory than all of the launcher.
 *
 * NBD has one buffer to a request. A request in several segments goes through one of our own, in parts.
 */
#include <dlfcn.h>
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "block.h"
#include "../util.h"

#define LIBRARY		"libnbd.so.0"
#define PART_BYTES	(1 * MIB)	/* of requests in several segments */
#define PAYLOAD_BYTES	(32 * MIB)	/* that every server takes, unless it says otherwise */

#define FUNCTIONS(f)											\
	f(create) f(close) f(get_error) f(get_errno) f(set_uri_allow_local_file)			\
	f(set_pread_initialize) f(connect_uri) f(get_size) f(get_block_size) f(is_read_only)		\
	f(can_flush) f(can_fua) f(can_trim) f(can_zero) f(can_multi_conn) f(aio_pread) f(aio_pwrite)	\
	f(aio_flush) f(aio_trim) f(aio_zero) f(aio_get_fd) f(aio_get_direction) f(aio_notify_read)	\
	f(aio_notify_write) f(aio_is_dead) f(aio_disconnect)

#define POINTER(name) __typeof__(&nbd_##name) name;
static struct {
	FUNCTIONS(POINTER)
} lib;

/**
 * struct nbd - a server's export
 * @block: what others see
 * @uri: its address
 * @first: the connection that the export was looked at with, for the first thread
 * @payload: the most bytes of a read or write
 * @flush: the server has a cache that it can flush
 * @fua: it can make single writes stable
 * @lost: it was said that the connection is lost
 */
struct nbd {
	struct block block;
	char *uri;
	struct nbd_handle *first;
	uint64_t payload;
	bool flush, fua, lost;
};

/**
 * struct nbd_call - a request that the server has
 * @io: whose
 * @request: of the guest
 * @bytes: how much of it is in progress
 * @bounce: buffer of PART_BYTES at most; or NULL: the guest's memory is used
 * @flushing: it was written, and becomes stable now
 * @error: what the server says
 * @next: those completed
 */
struct nbd_call {
	struct nbd_io *io;
	struct block_request *request;
	uint64_t bytes;
	void *bounce;
	bool flushing;
	int error;
	struct nbd_call *next;
};

/**
 * struct nbd_io - a thread's connection
 * @io: what others see
 * @handle: the connection
 * @completed: calls to be finished, which cannot be done inside the library
 * @completed_end: where the next one is hung
 * @nr_fds: of @fd
 * @fd: the connection's and the eventfds
 */
struct nbd_io {
	struct block_io io;
	struct nbd_handle *handle;
	struct nbd_call *completed, **completed_end;
	unsigned int nr_fds;
	struct pollfd fd[];
};

static struct nbd *nbd_of(struct nbd_io *io)
{
	return container_of(io->io.block, struct nbd, block);
}

static int load_library(void)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	static bool loaded;
	void *library;
	int r = 0;

	pthread_mutex_lock(&once);
	if (loaded)
		goto out;
	library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		report_error("disk: NBD needs libnbd: %s", dlerror());
		r = -ENOENT;
		goto out;
	}
#define LOAD(name)										\
	lib.name = (__typeof__(lib.name))dlsym(library, "nbd_" #name);				\
	if (!lib.name)										\
		r = -ENOENT;
	FUNCTIONS(LOAD)
	if (r)
		report_error("disk: NBD: %s is too old", LIBRARY);
	loaded = !r;
out:
	pthread_mutex_unlock(&once);
	return r;
}

static int begin(struct nbd_call *call);

static int completed(void *data, int *error)
{
	struct nbd_call *call = data;

	call->error = *error;
	call->next = NULL;
	*call->io->completed_end = call;
	call->io->completed_end = &call->next;
	return 1;	/* the library forgets it */
}

static void end(struct nbd_call *call, int result)
{
	struct block_request *request = call->request;
	struct nbd *nbd = nbd_of(call->io);

	if (result && lib.aio_is_dead(call->io->handle) == 1 &&
	    !__atomic_exchange_n(&nbd->lost, true, __ATOMIC_RELAXED))
		report_error("disk: %s: the connection to the server is lost; the guest gets errors", nbd->uri);
	free(call->bounce);
	free(call);
	request->done(request, result);
}

static void proceed(struct nbd_call *call)
{
	struct block_request *request = call->request;
	struct nbd *nbd = nbd_of(call->io);
	int r = -call->error;

	if (!r && !call->flushing) {
		if (request->op == BLOCK_READ && call->bounce)
			block_scatter(request, call->bounce, call->bytes);
		block_advance(request, call->bytes);
		call->flushing = !request->bytes && request->op == BLOCK_WRITE && request->stable &&
				 !nbd->fua && nbd->flush;
		if (request->bytes || call->flushing) {
			r = begin(call);
			if (!r)
				return;
		}
	}
	end(call, r);
}

/* A buffer for the next part: the guest's memory, or our own if the part is not in one piece */
static void *buffer(struct nbd_call *call)
{
	struct block_request *request = call->request;
	uint64_t payload = nbd_of(call->io)->payload;

	call->bytes = request->bytes < payload ? request->bytes : payload;
	free(call->bounce);
	call->bounce = NULL;
	if (request->iov->iov_len >= call->bytes)
		return request->iov->iov_base;
	if (call->bytes > PART_BYTES)
		call->bytes = PART_BYTES;
	call->bounce = malloc(call->bytes);
	if (call->bounce && request->op == BLOCK_WRITE)
		block_gather(request, call->bounce, call->bytes);
	return call->bounce;
}

static int begin(struct nbd_call *call)
{
	nbd_completion_callback then = { .callback = completed, .user_data = call };
	struct nbd_handle *handle = call->io->handle;
	struct block_request *request = call->request;
	struct nbd *nbd = nbd_of(call->io);
	enum block_op op = call->flushing ? BLOCK_FLUSH : request->op;
	uint64_t offset = request->offset;
	void *buf = NULL;
	int64_t r = -1;

	call->bytes = request->bytes;
	if (op == BLOCK_READ || op == BLOCK_WRITE) {
		buf = buffer(call);
		if (!buf)
			return -ENOMEM;
	}
	switch (op) {
	case BLOCK_READ:
		r = lib.aio_pread(handle, buf, call->bytes, offset, then, 0);
		break;
	case BLOCK_WRITE:
		r = lib.aio_pwrite(handle, buf, call->bytes, offset, then,
				   request->stable && nbd->fua ? LIBNBD_CMD_FLAG_FUA : 0);
		break;
	case BLOCK_FLUSH:
		r = lib.aio_flush(handle, then, 0);
		break;
	case BLOCK_DISCARD:
		r = lib.aio_trim(handle, call->bytes, offset, then, 0);
		break;
	case BLOCK_ZERO:
		r = lib.aio_zero(handle, call->bytes, offset, then,
				 request->unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);
		break;
	}
	if (r >= 0)
		return 0;
	r = -lib.get_errno();
	return r ? (int)r : -EIO;
}

static void nbd_submit(struct block_io *block_io, struct block_request *request)
{
	struct nbd_io *io = container_of(block_io, struct nbd_io, io);
	struct nbd_call *call;
	int r;

	if (request->op == BLOCK_FLUSH && !nbd_of(io)->flush) {
		request->done(request, 0);
		return;
	}
	call = calloc(1, sizeof(*call));
	if (!call) {
		request->done(request, -ENOMEM);
		return;
	}
	call->io = io;
	call->request = request;
	r = begin(call);
	if (r)
		end(call, r);
}

/* Sleep until the server or an eventfd has something; what the server has, the library takes. */
static void sleep_and_listen(struct nbd_io *io)
{
	bool dead = lib.aio_is_dead(io->handle) == 1;
	unsigned int i, direction = dead ? 0 : lib.aio_get_direction(io->handle);
	uint64_t count;

	io->fd[0].fd = dead ? -1 : lib.aio_get_fd(io->handle);
	io->fd[0].events = (direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
			   (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0);
	if (poll(io->fd, io->nr_fds, -1) <= 0)
		return;
	for (i = 1; i < io->nr_fds; i++) {
		if (io->fd[i].revents && read(io->fd[i].fd, &count, sizeof(count)) < 0)
			continue;
	}
	/* Errors show when it reads or writes. */
	if (io->fd[0].revents & ~POLLOUT && direction & LIBNBD_AIO_DIRECTION_READ)
		lib.aio_notify_read(io->handle);
	else if (io->fd[0].revents & ~POLLIN && direction & LIBNBD_AIO_DIRECTION_WRITE)
		lib.aio_notify_write(io->handle);
}

static void nbd_wait(struct block_io *block_io)
{
	struct nbd_io *io = container_of(block_io, struct nbd_io, io);
	struct nbd_call *call, *next;

	if (!io->completed)
		sleep_and_listen(io);
	call = io->completed;
	io->completed = NULL;
	io->completed_end = &io->completed;
	for (; call; call = next) {
		next = call->next;
		proceed(call);
	}
}

static int connect_server(struct nbd *nbd, struct nbd_handle **out)
{
	struct nbd_handle *handle = lib.create();
	int r;

	if (!handle)
		return -ENOMEM;
	/* The address is the user's own, who may read the file that it names. */
	lib.set_uri_allow_local_file(handle, true);
	lib.set_pread_initialize(handle, false);
	if (lib.connect_uri(handle, nbd->uri) < 0) {
		r = -lib.get_errno();
		report_error("disk: %s: %s", nbd->uri, lib.get_error());
		lib.close(handle);
		return r ? r : -EIO;
	}
	*out = handle;
	return 0;
}

static void nbd_detach(struct block_io *block_io)
{
	struct nbd_io *io = container_of(block_io, struct nbd_io, io);

	lib.aio_disconnect(io->handle, 0);
	lib.close(io->handle);
	free(io);
}

static int nbd_attach(struct block *block, const int *events, unsigned int nr_events, struct block_io **out)
{
	struct nbd *nbd = container_of(block, struct nbd, block);
	struct nbd_io *io = calloc(1, sizeof(*io) + (nr_events + 1) * sizeof(io->fd[0]));
	unsigned int i;
	int r = 0;

	if (!io)
		return -ENOMEM;
	io->io.block = block;
	io->completed_end = &io->completed;
	io->nr_fds = nr_events + 1;
	for (i = 0; i < nr_events; i++)
		io->fd[i + 1] = (struct pollfd){ .fd = events[i], .events = POLLIN };
	io->handle = __atomic_exchange_n(&nbd->first, NULL, __ATOMIC_ACQ_REL);
	if (!io->handle)
		r = connect_server(nbd, &io->handle);
	if (r) {
		free(io);
		return r;
	}
	if ((uint64_t)lib.get_size(io->handle) < block->bytes) {
		report_error("disk: %s: the server has a smaller image than before", nbd->uri);
		nbd_detach(&io->io);
		return -EIO;
	}
	*out = &io->io;
	return 0;
}

static void nbd_close_block(struct block *block)
{
	struct nbd *nbd = container_of(block, struct nbd, block);

	if (nbd->first) {
		lib.aio_disconnect(nbd->first, 0);
		lib.close(nbd->first);
	}
	free(nbd->uri);
	free(nbd);
}

static const struct block_ops nbd_ops = {
	.attach = nbd_attach,
	.detach = nbd_detach,
	.submit = nbd_submit,
	.wait = nbd_wait,
	.close = nbd_close_block,
};

static bool is_block_size(int64_t bytes)
{
	return bytes >= (int64_t)BLOCK_SECTOR && bytes <= (int64_t)(64 * KIB) && !(bytes & (bytes - 1));
}

static int geometry(struct nbd *nbd, bool read_only)
{
	struct nbd_handle *handle = nbd->first;
	struct block *block = &nbd->block;
	int64_t size = lib.get_size(handle);
	int64_t minimum = lib.get_block_size(handle, LIBNBD_SIZE_MINIMUM);
	int64_t preferred = lib.get_block_size(handle, LIBNBD_SIZE_PREFERRED);
	int64_t maximum = lib.get_block_size(handle, LIBNBD_SIZE_MAXIMUM);

	block->block_bytes = is_block_size(minimum) ? (uint64_t)minimum : BLOCK_SECTOR;
	block->physical_bytes = is_block_size(preferred) && preferred > block->block_bytes ?
				preferred : block->block_bytes;
	block->discard_bytes = block->physical_bytes;
	nbd->payload = PAYLOAD_BYTES;
	if (maximum >= (int64_t)PART_BYTES && maximum <= (int64_t)PAYLOAD_BYTES)
		nbd->payload = ALIGN_DOWN(maximum, 64 * KIB);
	if (size < (int64_t)block->block_bytes) {
		report_error("disk: %s: the server's image is empty", nbd->uri);
		return -EINVAL;
	}
	block->bytes = ALIGN_DOWN(size, block->block_bytes);
	if (block->bytes != (uint64_t)size)
		report_note("disk: %s: the guest does not see the last %llu bytes, which are no whole block", nbd->uri,
			    (unsigned long long)(size - block->bytes));
	if (!read_only && lib.is_read_only(handle) == 1) {
		report_error("disk: %s: the server does not permit writing: say readonly", nbd->uri);
		return -EROFS;
	}
	block->read_only = read_only;
	block->can_discard = lib.can_trim(handle) == 1;
	block->can_zero = lib.can_zero(handle) == 1;
	/* Without this promise, a flush on one connection says nothing of writes on another. */
	block->max_io = lib.can_multi_conn(handle) == 1 ? 0 : 1;
	nbd->flush = lib.can_flush(handle) == 1;
	nbd->fua = lib.can_fua(handle) == 1;
	return 0;
}

/**
 * block_nbd_open() - connect to an NBD server
 * @options: path is its address
 * @out: the backend
 *
 * Return: 0, or a negative errno with a message.
 */
int block_nbd_open(const struct block_options *options, struct block **out)
{
	struct nbd *nbd;
	int r = load_library();

	if (r)
		return r;
	nbd = calloc(1, sizeof(*nbd));
	if (!nbd)
		return -ENOMEM;
	nbd->block.ops = &nbd_ops;
	nbd->uri = strdup(options->path);
	r = nbd->uri ? connect_server(nbd, &nbd->first) : -ENOMEM;
	if (!r)
		r = geometry(nbd, options->read_only);
	if (r) {
		nbd_close_block(&nbd->block);
		return r;
	}
	*out = &nbd->block;
	return 0;
}

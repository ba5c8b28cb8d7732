// SPDX-License-Identifier: GPL-2.0-only
/* The choice of a backend, and what backends have in common. */
#include <errno.h>
#include <string.h>

#include "block.h"
#include "branch.h"
#include "../util.h"
#include "../virtio/queue.h"

static bool begins_with(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static int no_branch(const char *what)
{
	report_error("disk: branch: %s does not branch", what);
	return -EINVAL;
}

/**
 * block_open() - open what a disk's contents are in
 * @options: which, and how; not used afterwards
 * @out: the backend
 *
 * Return: 0, or a negative errno with a message.
 */
int block_open(const struct block_options *options, struct block **out)
{
	static const char *const schemes[] = { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://",
					       "nbd+vsock://", "nbds+vsock://" };
	struct block_options nbd = *options;
	unsigned int i;

	if (begins_with(nbd.path, "nbd:nbd"))
		nbd.path += strlen("nbd:");
	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (begins_with(nbd.path, schemes[i]))
			return options->branch ? no_branch("a server's image") : block_nbd_open(&nbd, out);
	}
	if (options->branch)
		return options->read_only ? no_branch("what is read-only") : block_branch_open(options, out);
	return block_file_open(options, out);
}

/**
 * block_advance() - some of a request is done
 * @request: the request
 * @bytes: how much; not more than there is
 */
void block_advance(struct block_request *request, uint64_t bytes)
{
	request->offset += bytes;
	request->bytes -= bytes;
	while (request->nr_iov && bytes >= request->iov->iov_len) {
		bytes -= request->iov->iov_len;
		request->iov++;
		request->nr_iov--;
	}
	if (bytes && request->nr_iov) {
		request->iov->iov_base = (uint8_t *)request->iov->iov_base + bytes;
		request->iov->iov_len -= bytes;
	}
}

/**
 * block_clear() - clear the start of a request's memory
 * @request: the request
 * @bytes: how much; not more than there is
 */
void block_clear(const struct block_request *request, uint64_t bytes)
{
	const struct iovec *iov = request->iov;

	for (; bytes; iov++) {
		size_t n = iov->iov_len < bytes ? iov->iov_len : bytes;

		memset(iov->iov_base, 0, n);
		bytes -= n;
	}
}

/**
 * block_gather() - copy the start of a request's memory
 * @request: the request
 * @to: where to
 * @bytes: room there
 *
 * Return: bytes copied: all that the request has, or @bytes.
 */
uint64_t block_gather(const struct block_request *request, void *to, uint64_t bytes)
{
	return iov_read(request->iov, request->nr_iov, 0, to, bytes);
}

/**
 * block_scatter() - copy to the start of a request's memory
 * @request: the request
 * @from: where from
 * @bytes: how much
 */
void block_scatter(const struct block_request *request, const void *from, uint64_t bytes)
{
	iov_write(request->iov, request->nr_iov, 0, from, bytes);
}

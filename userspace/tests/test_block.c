// SPDX-License-Identifier: GPL-2.0-only
/* Backends of disks: files on several file systems and in each cache mode, full ones, cut ones; NBD. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nbd_server.h"
#include "tap.h"
#include "../vireo/block/block.h"
#include "../vireo/util.h"

#define IMAGE_BYTES	(4 * MIB)
#define SEGMENTS	12	/* more than the backend writes at a time */

static char dir[] = "/tmp/vireo-block-XXXXXX";
static const char *const caches[] = { "writeback", "none", "writethrough" };

struct call {
	struct block_request request;
	struct iovec iov[SEGMENTS];
	int result;
	bool done;
};

static unsigned int nr_done;

static void done(struct block_request *request, int result)
{
	struct call *call = container_of(request, struct call, request);

	call->result = result;
	call->done = true;
	nr_done++;
}

static int finish(struct block_io *io, struct call *call)
{
	while (!call->done)
		block_wait(io);
	return call->result;
}

static int run(struct block_io *io, enum block_op op, uint64_t offset, void *data, uint64_t bytes)
{
	struct call call = {
		.request = { .op = op, .offset = offset, .bytes = bytes, .iov = call.iov, .nr_iov = !!data,
			     .done = done },
		.iov = { { data, bytes } },
	};

	block_submit(io, &call.request);
	return finish(io, &call);
}

/* Bytes that tell where they belong */
static void fill(uint8_t *at, size_t n, unsigned int seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		at[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + seed);
}

static bool is_zero(const uint8_t *at, size_t n)
{
	while (n--) {
		if (*at++)
			return false;
	}
	return true;
}

static void path_of(char *path, const char *where, const char *name)
{
	snprintf(path, 200, "%s/%s", where, name);
}

static void make_file(const char *path, off_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || ftruncate(fd, bytes))
		abort();
	close(fd);
}

static uint64_t blocks_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_blocks;
}

/* Reads and writes in segments of any size at any address, and everything else a disk can do */
static void test_contents(struct block *block, struct block_io *io, const char *what)
{
	static uint8_t memory[3 * MIB] __attribute__((aligned(4096))), back[3 * MIB] __attribute__((aligned(4096)));
	const uint64_t at = 64 * KIB;
	static const size_t lengths[SEGMENTS] = { 1, 511, 4096 * 3 + 17, 100, 512 * 47 - 17 - 100, 512, 512, 512, 512, 512,
						  512, 1024 };
	struct call call = { .request = { .op = BLOCK_WRITE, .offset = at, .iov = call.iov, .nr_iov = SEGMENTS,
					  .done = done } };
	size_t n = 0;
	unsigned int i;

	fill(memory, sizeof(memory), 1);
	is(run(io, BLOCK_WRITE, 0, memory, sizeof(memory)), 0, "%s: a long write", what);
	is(run(io, BLOCK_READ, 0, back, sizeof(back)), 0, "%s: a long read", what);
	ok(!memcmp(memory, back, sizeof(back)), "%s: the same comes back", what);

	fill(memory, 64 * KIB, 2);
	for (i = 0; i < SEGMENTS; i++) {
		call.iov[i] = (struct iovec){ memory + n, lengths[i] };
		n += lengths[i];
	}
	call.request.bytes = n;
	is(n % 4096, 0, "the segments are whole blocks");
	block_submit(io, &call.request);
	is(finish(io, &call), 0, "%s: a write in odd segments", what);
	is(run(io, BLOCK_FLUSH, 0, NULL, 0), 0, "%s: a flush", what);
	memset(back, 0, sizeof(back));
	call = (struct call){ .request = { .op = BLOCK_READ, .offset = at, .bytes = n, .iov = call.iov,
					   .nr_iov = SEGMENTS, .done = done } };
	n = 0;
	for (i = 0; i < SEGMENTS; i++) {
		call.iov[i] = (struct iovec){ back + n, lengths[SEGMENTS - 1 - i] };
		n += lengths[SEGMENTS - 1 - i];
	}
	block_submit(io, &call.request);
	is(finish(io, &call), 0, "%s: a read in other segments", what);
	ok(!memcmp(memory, back, n), "%s: the same comes back", what);

	if (block->can_discard) {
		is(run(io, BLOCK_DISCARD, 128 * KIB, NULL, 128 * KIB), 0, "%s: a discard", what);
		is(run(io, BLOCK_READ, 0, back, MIB), 0, "%s: is read", what);
		ok(!is_zero(back + 64 * KIB, 64 * KIB) && !is_zero(back + 256 * KIB, 64 * KIB),
		   "%s: a discard leaves what is around", what);
	}
	for (i = 0; i < 2 && block->can_zero; i++) {
		uint64_t from = (300 + 100 * i) * KIB;

		call = (struct call){ .request = { .op = BLOCK_ZERO, .offset = from, .bytes = 70 * KIB, .unmap = i,
						   .done = done } };
		block_submit(io, &call.request);
		is(finish(io, &call), 0, "%s: write zeroes, unmap %u", what, i);
		is(run(io, BLOCK_READ, 0, back, MIB), 0, "%s: is read", what);
		ok(is_zero(back + from, 70 * KIB), "%s: zeroes, unmap %u", what, i);
		ok(!is_zero(back + from - KIB, KIB) && !is_zero(back + from + 70 * KIB, KIB),
		   "%s: and no more than those, unmap %u", what, i);
	}
}

/* More at a time than a ring has entries */
static void test_many(struct block_io *io, const char *what)
{
	static struct call call[256];
	static uint8_t data[256][4096] __attribute__((aligned(4096)));
	unsigned int i, round, bad = 0;

	for (round = 0; round < 2; round++) {
		nr_done = 0;
		for (i = 0; i < 256; i++) {
			if (!round)
				fill(data[i], 4096, i);
			else
				memset(data[i], 0, 4096);
			call[i] = (struct call){ .request = { .op = round ? BLOCK_READ : BLOCK_WRITE, .bytes = 4096,
							      .offset = 4096 * (uint64_t)(255 - i), .iov = call[i].iov,
							      .nr_iov = 1, .done = done },
						 .iov = { { data[i], 4096 } } };
			block_submit(io, &call[i].request);
		}
		while (nr_done < 256)
			block_wait(io);
		for (i = 0; i < 256; i++) {
			uint8_t want[4096];

			fill(want, sizeof(want), i);
			bad += call[i].result || memcmp(want, data[i], 4096);
		}
		is(nr_done, 256, "%s: each of 256 is done once", what);
	}
	is(bad, 0, "%s: 256 in flight", what);
}

static void test_events(struct block *block, const char *what)
{
	int events[2] = { eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	uint64_t one = 1;
	struct block_io *io;
	unsigned int i;

	/* Before it is waited for, and again and again: each one ends a sleep. */
	if (write(events[1], &one, sizeof(one)) != sizeof(one) || block_attach(block, events, 2, &io)) {
		ok(false, "%s: attached", what);
		return;
	}
	block_wait(io);
	for (i = 0; i < 2000; i++) {
		if (write(events[i & 1], &one, sizeof(one)) != sizeof(one))
			break;
		block_wait(io);
	}
	is(i, 2000, "%s: eventfds end a sleep", what);
	block_detach(io);
	close(events[0]);
	close(events[1]);
}

static struct block *open_image(const char *path, bool read_only, enum block_cache cache, int want,
				const char *what)
{
	struct block_options options = { .path = path, .read_only = read_only, .cache = cache };
	struct block *block = NULL;

	is(-block_open(&options, &block), -want, "%s", what);
	return want ? NULL : block;
}

static void test_files(const char *where)
{
	char path[200], what[100];
	struct block *block;
	struct block_io *io;
	unsigned int cache;
	uint64_t before;

	path_of(path, where, "image");
	for (cache = BLOCK_WRITEBACK; cache <= BLOCK_WRITETHROUGH; cache++) {
		snprintf(what, sizeof(what), "%s on %s", caches[cache], where);
		make_file(path, IMAGE_BYTES);
		block = open_image(path, false, cache, 0, what);
		if (!block || block_attach(block, NULL, 0, &io)) {
			ok(false, "%s: attached", what);
			continue;
		}
		is(block->bytes, IMAGE_BYTES, "%s: size", what);
		test_contents(block, io, what);
		test_many(io, what);
		before = blocks_of(path);
		is(run(io, BLOCK_DISCARD, MIB, NULL, MIB), 0, "%s: a large discard", what);
		ok(blocks_of(path) + MIB / BLOCK_SECTOR / 2 < before, "%s: a discard gives room back", what);
		block_detach(io);
		test_events(block, what);
		block_close(block);
	}
}

static void test_end(void)
{
	static uint8_t data[1024] __attribute__((aligned(4096)));
	struct block *block;
	struct block_io *io;
	struct stat st;
	char path[200];

	path_of(path, dir, "end");
	make_file(path, 10 * 512 + 100);
	block = open_image(path, false, BLOCK_WRITEBACK, 0, "a file that ends within a sector");
	is(block->bytes, 11 * 512, "has one sector more");
	block_attach(block, NULL, 0, &io);
	memset(data, 0xff, sizeof(data));
	is(run(io, BLOCK_READ, 9 * 512, data, 1024), 0, "its last sectors are read");
	ok(is_zero(data, 1024), "what is not there is zeroes");
	memset(data, 0x55, sizeof(data));
	is(run(io, BLOCK_WRITE, 10 * 512, data, 512), 0, "its last sector is written");
	is(stat(path, &st) ? 0 : st.st_size, 11 * 512, "it has become longer");
	memset(data, 0, sizeof(data));
	is(run(io, BLOCK_READ, 10 * 512, data, 512), 0, "and is read again");
	ok(data[511] == 0x55, "all of it");
	is(truncate(path, 4 * 512), 0, "somebody cuts the file");
	is(-run(io, BLOCK_READ, 3 * 512, data, 1024), EIO, "what was cut off is an error");
	block_detach(io);
	block_close(block);
}

static void test_refused(void)
{
	struct block *block, *other;
	struct block_options options = { 0 };
	char path[200];

	path_of(path, dir, "absent");
	open_image(path, false, BLOCK_WRITEBACK, -ENOENT, "no such file");
	open_image(dir, false, BLOCK_WRITEBACK, -EINVAL, "a directory");
	open_image("/dev/null", false, BLOCK_WRITEBACK, -EINVAL, "a character device");
	path_of(path, dir, "fifo");
	mkfifo(path, 0600);
	open_image(path, true, BLOCK_WRITEBACK, -EINVAL, "a FIFO");
	path_of(path, dir, "empty");
	make_file(path, 0);
	open_image(path, false, BLOCK_WRITEBACK, -EINVAL, "an empty file");
	path_of(path, dir, "locked");
	make_file(path, MIB);
	block = open_image(path, false, BLOCK_WRITEBACK, 0, "a file");
	open_image(path, false, BLOCK_WRITEBACK, -EBUSY, "a second writer");
	open_image(path, true, BLOCK_WRITEBACK, -EBUSY, "a reader beside a writer");
	block_close(block);
	block = open_image(path, true, BLOCK_WRITEBACK, 0, "a reader");
	ok(block->read_only && !block->can_discard && !block->can_zero, "can only read");
	other = open_image(path, true, BLOCK_WRITEBACK, 0, "a second reader");
	open_image(path, false, BLOCK_WRITEBACK, -EBUSY, "a writer beside readers");
	block_close(block);
	block_close(other);
	options.path = "nbd+unix:///?socket=/nowhere/at/all";
	ok(block_open(&options, &block) < 0, "no NBD server");
}

/* A file system that is full: the request fails where it stands, and goes on when there is room */
static void test_full(void)
{
	static uint8_t data[2 * MIB], back[2 * MIB];
	struct call call = { .request = { .op = BLOCK_WRITE, .bytes = sizeof(data), .iov = call.iov, .nr_iov = 1,
					  .done = done },
			     .iov = { { data, sizeof(data) } } };
	char path[200], filler[200], mount_point[100];
	struct block *block;
	struct block_io *io;

	snprintf(mount_point, sizeof(mount_point), "%s/full", dir);
	mkdir(mount_point, 0700);
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("vireo", mount_point, "tmpfs", 0, "size=3m")) {
		tap_skip("a full file system: needs root to mount one");
		return;
	}
	path_of(path, mount_point, "image");
	path_of(filler, mount_point, "filler");
	make_file(path, IMAGE_BYTES);
	make_file(filler, 2 * MIB);
	block = open_image(path, false, BLOCK_WRITEBACK, 0, "an image on a small file system");
	fill(data, sizeof(data), 9);
	if (block_attach(block, NULL, 0, &io) || truncate(filler, 0))
		abort();
	block_submit(io, &call.request);
	is(finish(io, &call), 0, "there is room");
	is(run(io, BLOCK_DISCARD, 0, NULL, sizeof(data)), 0, "it is given back");
	block_detach(io);
	block_close(block);

	make_file(filler, 2 * MIB);
	block = open_image(filler, false, BLOCK_WRITEBACK, 0, "another one");
	block_attach(block, NULL, 0, &io);
	is(run(io, BLOCK_WRITE, 0, data, sizeof(data)), 0, "which is written in full");
	block_detach(io);
	block_close(block);

	block = open_image(path, false, BLOCK_WRITEBACK, 0, "the first again");
	block_attach(block, NULL, 0, &io);
	call = (struct call){ .request = { .op = BLOCK_WRITE, .bytes = sizeof(data), .iov = call.iov, .nr_iov = 1,
					   .done = done },
			      .iov = { { data, sizeof(data) } } };
	block_submit(io, &call.request);
	is(-finish(io, &call), ENOSPC, "there is no room");
	ok(call.request.bytes && call.request.bytes < sizeof(data), "a part was written");
	unlink(filler);
	call.done = false;
	block_submit(io, &call.request);
	is(finish(io, &call), 0, "with room, the rest is");
	is(run(io, BLOCK_READ, 0, back, sizeof(back)), 0, "it is read");
	ok(!memcmp(data, back, sizeof(back)), "nothing is lost");
	block_detach(io);
	block_close(block);
	umount(mount_point);
}

/* ---- NBD ---- */

static char sock[200], uri[250];

static void test_nbdkit(void)
{
	char *multi[] = { "nbdkit", "-f", "-U", sock, "memory", "4M", NULL };
	char *single[] = { "nbdkit", "-f", "-U", sock, "--filter=multi-conn", "--filter=fua", "memory", "4M",
			   "multi-conn-mode=disable", NULL };
	char *broken[] = { "nbdkit", "-f", "-U", sock, "--filter=error", "memory", "4M", "error-pread=ENOSPC",
			   "error-pwrite=EIO", "error-pread-rate=100%", "error-pwrite-rate=100%", NULL };
	char *reader[] = { "nbdkit", "-f", "-r", "-U", sock, "memory", "1000", NULL };
	static uint8_t data[4096];
	struct block *block;
	struct block_io *io;
	struct call call;
	pid_t server;

	if (!have_program("nbdkit")) {
		tap_skip("NBD: no nbdkit");
		return;
	}
	server = server_start(multi, sock);
	block = open_image(uri, false, BLOCK_WRITEBACK, 0, "nbdkit");
	if (block && !block_attach(block, NULL, 0, &io)) {
		struct block_io *second = NULL;

		is(block->bytes, 4 * MIB, "nbdkit: size");
		is(block->max_io, 0, "nbdkit: several connections");
		is(block_attach(block, NULL, 0, &second), 0, "nbdkit: a second one");
		test_contents(block, io, "nbdkit");
		test_many(io, "nbdkit");
		test_events(block, "nbdkit");
		is(run(second, BLOCK_READ, 0, data, sizeof(data)), 0, "nbdkit: the second one reads");
		block_detach(second);
		server_stop(server);
		server = 0;
		ok(run(io, BLOCK_READ, 0, data, sizeof(data)) < 0, "nbdkit: killed, a read fails");
		ok(run(io, BLOCK_WRITE, 0, data, sizeof(data)) < 0, "nbdkit: and a write");
		block_detach(io);
		block_close(block);
	}
	server_stop(server);
	unlink(sock);

	server = server_start(single, sock);
	block = open_image(uri, false, BLOCK_WRITETHROUGH, 0, "nbdkit for one client");
	if (block && !block_attach(block, NULL, 0, &io)) {
		is(block->max_io, 1, "nbdkit: one connection");
		test_contents(block, io, "nbdkit for one client");
		call = (struct call){ .request = { .op = BLOCK_WRITE, .bytes = 512, .iov = call.iov, .nr_iov = 1,
						   .stable = true, .done = done },
				      .iov = { { data, 512 } } };
		block_submit(io, &call.request);
		is(finish(io, &call), 0, "nbdkit: a stable write without FUA");
		block_detach(io);
		block_close(block);
	}
	server_stop(server);
	unlink(sock);

	server = server_start(broken, sock);
	block = open_image(uri, false, BLOCK_WRITEBACK, 0, "a server with errors");
	if (block && !block_attach(block, NULL, 0, &io)) {
		is(-run(io, BLOCK_READ, 0, data, sizeof(data)), ENOSPC, "the server's error of a read");
		is(-run(io, BLOCK_WRITE, 0, data, sizeof(data)), EIO, "the server's error of a write");
		block_detach(io);
		block_close(block);
	}
	server_stop(server);
	unlink(sock);

	server = server_start(reader, sock);
	open_image(uri, false, BLOCK_WRITEBACK, -EROFS, "a server that is only to be read");
	block = open_image(uri, true, BLOCK_WRITEBACK, 0, "is read");
	if (block) {
		is(block->bytes, 512, "and whole sectors of it are seen");
		block_close(block);
	}
	server_stop(server);
	unlink(sock);
}

static void test_qcow2(void)
{
	char base[200], top[200], option[300];
	char *create[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, top, NULL };
	char *argv[] = { "qemu-nbd", "-k", sock, "-t", "-f", "qcow2", "--discard=unmap", top, NULL };
	static uint8_t data[64 * KIB], back[64 * KIB];
	struct block *block;
	struct block_io *io;
	pid_t server;
	int fd;

	if (!have_program("qemu-nbd") || !have_program("qemu-img")) {
		tap_skip("NBD: no qemu-nbd");
		return;
	}
	path_of(base, dir, "base.raw");
	path_of(top, dir, "top.qcow2");
	make_file(base, 4 * MIB);
	fill(data, sizeof(data), 5);
	fd = open(base, O_RDWR);
	if (pwrite(fd, data, sizeof(data), MIB) != sizeof(data))
		abort();
	is(run_program(create), 0, "a qcow2 with a backing file");
	server = server_start(argv, sock);
	snprintf(option, sizeof(option), "nbd:%s", uri);
	block = open_image(option, false, BLOCK_WRITEBACK, 0, "qemu-nbd");
	if (block && !block_attach(block, NULL, 0, &io)) {
		is(run(io, BLOCK_READ, MIB, back, sizeof(back)), 0, "qcow2: a read");
		ok(!memcmp(data, back, sizeof(data)), "qcow2: comes from the backing file");
		test_contents(block, io, "qcow2");
		test_many(io, "qcow2");
		is(run(io, BLOCK_FLUSH, 0, NULL, 0), 0, "qcow2: a flush");
		block_detach(io);
		block_close(block);
	}
	server_stop(server);
	unlink(sock);
	ok(pread(fd, back, sizeof(back), MIB) == sizeof(back) && !memcmp(data, back, sizeof(data)),
	   "qcow2: the backing file is as it was");
	close(fd);
}

int main(void)
{
	char *clean[] = { "rm", "-rf", dir, NULL };
	char shm[] = "/dev/shm/vireo-block-XXXXXX";

	if (!mkdtemp(dir))
		return 1;
	path_of(sock, dir, "nbd.sock");
	snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", sock);
	test_files(dir);
	if (mkdtemp(shm)) {
		clean[2] = shm;
		test_files(shm);
		run_program(clean);
		clean[2] = dir;
	}
	test_end();
	test_refused();
	test_nbdkit();
	test_qcow2();
	test_full();
	run_program(clean);
	return tap_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/* Disks that branch, with qemu-img and qemu-nbd: what each state of them has, and which files are there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nbd_server.h"
#include "tap.h"
#include "../vireo/block/block.h"
#include "../vireo/block/branch.h"
#include "../vireo/util.h"

#define BYTES	(1 * MIB)
#define PART	(64 * KIB)

static char dir[] = "/tmp/test-branch-XXXXXX", image[64];

/**
 * struct user - a thread that uses a disk
 * @block: the disk
 * @wake: there is something to do
 * @done: it is done
 * @request: what
 * @result: what has become of it
 * @end: nothing more
 */
struct user {
	struct block *block;
	int wake, done;
	struct block_request request;
	int result;
	bool completed, end;
	pthread_t thread;
};

static void completed(struct block_request *request, int result)
{
	struct user *user = container_of(request, struct user, request);

	user->result = result;
	user->completed = true;
}

static void *use(void *arg)
{
	struct user *user = arg;
	struct block_io *io;

	user->result = block_attach(user->block, &user->wake, 1, &io);
	eventfd_write(user->done, 1);
	if (user->result)
		return NULL;
	while (!__atomic_load_n(&user->end, __ATOMIC_ACQUIRE)) {
		if (!__atomic_load_n(&user->completed, __ATOMIC_ACQUIRE)) {
			block_submit(io, &user->request);
			while (!user->completed)
				block_wait(io);
			eventfd_write(user->done, 1);
		}
		block_wait(io);
	}
	block_detach(io);
	return NULL;
}

static bool user_start(struct user *user, struct block *block)
{
	eventfd_t n;

	*user = (struct user){ .block = block, .wake = eventfd(0, EFD_NONBLOCK), .done = eventfd(0, 0), .completed = true };
	pthread_create(&user->thread, NULL, use, user);
	eventfd_read(user->done, &n);
	return !user->result;
}

static void user_end(struct user *user)
{
	__atomic_store_n(&user->end, true, __ATOMIC_RELEASE);
	eventfd_write(user->wake, 1);
	pthread_join(user->thread, NULL);
	close(user->wake);
	close(user->done);
}

static int transfer(struct user *user, enum block_op op, uint64_t offset, uint8_t *bytes)
{
	struct iovec iov = { bytes, PART };
	eventfd_t n;

	user->request = (struct block_request){ .op = op, .offset = offset, .bytes = PART, .iov = &iov, .nr_iov = 1,
						.done = completed };
	__atomic_store_n(&user->completed, false, __ATOMIC_RELEASE);
	eventfd_write(user->wake, 1);
	eventfd_read(user->done, &n);
	return user->result;
}

/* Each part has one byte all over. */
static void put(struct user *user, unsigned int part, int byte)
{
	static uint8_t bytes[PART];

	memset(bytes, byte, PART);
	is(transfer(user, BLOCK_WRITE, part * PART, bytes), 0, "write %#x to part %u", (unsigned int)byte, part);
}

static void has(struct user *user, unsigned int part, int byte, const char *what)
{
	static uint8_t bytes[PART];
	int r = transfer(user, BLOCK_READ, part * PART, bytes);

	ok(!r && bytes[0] == byte && !memcmp(bytes, bytes + 1, PART - 1), "%s: part %u has %#x", what, part, (unsigned int)byte);
}

static unsigned int nr_files(void)
{
	unsigned int nr = 0;
	DIR *list = opendir(dir);
	struct dirent *entry;

	while (list && (entry = readdir(list)))
		nr += strstr(entry->d_name, ".qcow2") != NULL;
	if (list)
		closedir(list);
	return nr;
}

static void remove_all(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	if (system(command))
		ok(false, "%s", command);
}

static struct block *open_image(const char *path, const char *format)
{
	struct block_options options = { .path = path, .branch = dir, .format = format };
	struct block *block = NULL;

	ok(!block_open(&options, &block) && block && block->branches, "open %s", strrchr(path, '/') + 1);
	return block;
}

static void test_states(void)
{
	struct branch_set one = { 0 }, two = { 0 }, none = { 0 };
	struct block *block = open_image(image, NULL);
	struct user user, other;
	char why[BRANCH_WHY] = "", path[4096];

	if (!block)
		return;
	is(block->bytes, BYTES, "its size");
	is(branch_nr(), 1, "it is one that branches");
	ok(user_start(&user, block) && user_start(&other, block), "two threads use it");
	has(&user, 0, 0x11, "the image");
	put(&user, 0, 0xa0);
	put(&other, 1, 0xa1);
	is(branch_begin(NULL, why), 0, "a state is kept%s", why);
	snprintf(path, sizeof(path), "%s", branch_path(0));
	branch_commit(&one, false);
	ok(one.image[0] && !strcmp(path, one.image[0]->path) && strcmp(path, branch_path(0)),
	   "what others begin on is not written to any more");
	is(nr_files(), 2, "two overlays");
	has(&other, 0, 0xa0, "after the first state");
	has(&user, 1, 0xa1, "after the first state");
	put(&other, 0, 0xb0);
	put(&user, 2, 0xb2);
	is(branch_begin(NULL, why), 0, "another one%s", why);
	branch_commit(&two, false);
	put(&user, 1, 0xc1);

	is(branch_begin(&one, why), 0, "back to the first%s", why);
	has(&user, 0, 0xa0, "in the first state");
	branch_revert();
	has(&other, 0, 0xb0, "not gone back");
	has(&user, 1, 0xc1, "not gone back");
	is(branch_begin(&one, why), 0, "back to the first%s", why);
	branch_commit(NULL, false);
	has(&user, 0, 0xa0, "in the first state");
	has(&other, 1, 0xa1, "in the first state");
	has(&other, 2, 0x11, "in the first state");
	is(nr_files(), 3, "what was written after the second is gone");
	put(&user, 0, 0xd0);

	is(branch_begin(&two, why), 0, "to the second, beside it%s", why);
	branch_commit(NULL, false);
	has(&user, 0, 0xb0, "in the second state");
	has(&user, 1, 0xa1, "in the second state");
	has(&user, 2, 0xb2, "in the second state");
	branch_put(&one);
	is(nr_files(), 3, "the first is forgotten, but needed");
	has(&user, 1, 0xa1, "in the second state");

	chmod(dir, 0500);
	if (geteuid()) {
		ok(branch_begin(NULL, why) == -EACCES && *why, "no room for another: %s", why);
		has(&user, 0, 0xb0, "it is what it was");
	}
	chmod(dir, 0700);
	setenv("PATH", "/nowhere", 1);
	ok(branch_begin(NULL, why) < 0 && *why, "no qemu-img: %s", why);
	setenv("PATH", "/usr/bin:/bin", 1);
	is(nr_files(), 3, "that leaves nothing");
	has(&other, 0, 0xb0, "and it is what it was");

	branch_keep(&two);
	branch_put(&two);
	branch_put(&none);
	user_end(&user);
	user_end(&other);
	snprintf(path, sizeof(path), "%s", branch_path(0));
	block_close(block);
	is(branch_nr(), 0, "none is left");
	is(nr_files(), 3, "what the last overlay needs stays");

	block = open_image(path, "qcow2");
	if (!block)
		return;
	ok(user_start(&user, block), "a thread uses it");
	has(&user, 0, 0xb0, "what was written is still there");
	has(&user, 3, 0x11, "and what was not");
	user_end(&user);
	block_close(block);
}

static void test_refused(void)
{
	struct block_options options = { .path = image, .branch = "/nowhere" };
	struct block *block;

	ok(block_open(&options, &block) < 0, "no such directory");
	options.branch = image;
	ok(block_open(&options, &block) < 0, "a file");
	options.branch = dir;
	options.read_only = true;
	is(block_open(&options, &block), -EINVAL, "what is read-only does not branch");
	options.read_only = false;
	options.path = "nbd://localhost/";
	is(block_open(&options, &block), -EINVAL, "nor does a server's");
	options.path = "/nowhere/image";
	is(block_open(&options, &block), -ENOENT, "no image");
	options.path = image;
	options.format = "qcow2";
	ok(block_open(&options, &block) < 0, "not of that format");
	is(nr_files(), 0, "nothing is left of that");
	is(branch_nr(), 0, "nor a disk");
}

int main(void)
{
	static uint8_t bytes[BYTES];
	int fd;

	if (!have_program("qemu-nbd") || !have_program("qemu-img")) {
		tap_skip("branches: no qemu-nbd or no qemu-img");
		return tap_done();
	}
	if (!mkdtemp(dir))
		return 1;
	snprintf(image, sizeof(image), "%s/disk.raw", dir);
	memset(bytes, 0x11, sizeof(bytes));
	fd = open(image, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
		return 1;
	test_refused();
	test_states();
	ok(pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) && bytes[0] == 0x11 &&
	   !memcmp(bytes, bytes + 1, sizeof(bytes) - 1), "the image is what it was");
	close(fd);
	remove_all();
	return tap_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/* The file of a saved machine: what is written is read, and nothing else is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "tap.h"
#include "../vireo/memory.h"
#include "../vireo/state.h"
#include "../vireo/util.h"
#include "../vireo/saved/format.h"
#include "../vireo/saved/saved.h"

#define MEMORY (4 * MIB + 64 * KIB)	/* with a chunk that is smaller than others */
#define STATE "the state of a machine"

static char dir[] = "/tmp/vireo-saved-XXXXXX";
static char path[64];
static struct guest_memory memory;
static json_t *info;
static struct state_buffer state;
static uint8_t *good;
static size_t good_len;
static char why[SAVED_WHY];

static struct saved_job make_job(void)
{
	return (struct saved_job){ .memory = &memory, .info = info, .state = &state };
}

static int memory_file(const void *data, size_t len)
{
	int fd = memfd_create("saved", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	return fd;
}

/* Read all of it, memory too: 0 or the errno. */
static int try(const void *data, size_t len)
{
	int fd = memory_file(data, len), r;
	struct saved_file file;

	strcpy(why, "?");
	r = saved_read(&file, fd, why);
	if (!r) {
		r = saved_read_memory(&file, NULL, why);
		saved_free(&file);
	}
	close(fd);
	return r;
}

static void make_good(void)
{
	struct saved_job job = make_job();
	int fd = memfd_create("saved", MFD_CLOEXEC);

	is(saved_write(&job, fd), 0, "a machine is written");
	good_len = job.file_bytes;
	is(lseek(fd, 0, SEEK_END), good_len, "so many bytes");
	is(job.memory_bytes, MIB + 64 * KIB, "of memory, what is not zero");
	good = malloc(good_len);
	if (pread(fd, good, good_len, 0) != (ssize_t)good_len)
		abort();
	close(fd);
}

static void test_round_trip(void)
{
	int fd = memory_file(good, good_len);
	struct guest_memory again;
	struct saved_file file;
	uint8_t *memory2;
	int fd2;

	is(saved_read(&file, fd, why), 0, "it is read");
	ok(json_equal(file.info, info), "its description");
	ok(file.state_len == strlen(STATE) && !memcmp(file.state, STATE, file.state_len), "its state");
	is(file.memory, MEMORY, "its memory's size");
	is(file.nr, 2, "two chunks of it");
	if (memory_alloc(&again, MEMORY))
		abort();
	is(saved_read_memory(&file, &again, why), 0, "its memory is read");
	ok(!memcmp(again.piece[0].hva, memory.piece[0].hva, MEMORY), "and is what it was");
	memory_free(&again);
	if (memory_alloc(&again, MEMORY + 4096))
		abort();
	is(saved_read_memory(&file, &again, why), -EINVAL, "not into a machine of another size");
	memory_free(&again);
	saved_free(&file);
	close(fd);

	/* Files do not depend on which thread was faster. */
	struct saved_job job = make_job();

	fd2 = memfd_create("again", MFD_CLOEXEC);
	memory2 = malloc(good_len);
	is(saved_write(&job, fd2), 0, "written again");
	ok(job.file_bytes == good_len && pread(fd2, memory2, good_len, 0) == (ssize_t)good_len &&
	   !memcmp(memory2, good, good_len), "the same bytes");
	free(memory2);
	close(fd2);
}

static void test_altered(void)
{
	unsigned int taken = 0, silent = 0;
	size_t i;

	for (i = 0; i < good_len; i++) {
		good[i] ^= 1U << i % 8;
		taken += !try(good, good_len);
		silent += !strcmp(why, "?");
		good[i] ^= 1U << i % 8;
	}
	is(taken, 0, "with a bit of any of its %zu bytes altered, it is refused", good_len);
	is(silent, 0, "with a reason");
}

static void test_cut(void)
{
	uint8_t *longer = malloc(good_len + 1);
	unsigned int taken = 0, unclear = 0;
	size_t len;

	for (len = 0; len < good_len; len++) {
		taken += !try(good, len);
		unclear += len >= sizeof(struct saved_header) && !strstr(why, "cut short");
	}
	is(taken, 0, "cut at any length, it is refused");
	is(unclear, 0, "and says that it is cut short");
	memcpy(longer, good, good_len);
	longer[good_len] = 0;
	is(try(longer, good_len + 1), -EINVAL, "and with a byte more");
	free(longer);
}

static uint32_t crc_of(const void *data, size_t len)
{
	return (uint32_t)crc32_z(0, data, len);
}

/* Somebody who can count: @record is record @number of @copy, with its header's checksum made good. */
static void seal(uint8_t *copy, size_t at)
{
	uint32_t crc = crc_of(copy + at, offsetof(struct saved_record, crc));

	memcpy(copy + at + offsetof(struct saved_record, crc), &crc, 4);
}

static size_t find_record(unsigned int number)
{
	struct saved_record record;
	size_t at = sizeof(struct saved_header);

	while (number--) {
		memcpy(&record, good + at, sizeof(record));
		at += sizeof(record) + record.stored;
	}
	return at;
}

static void test_crafted(void)
{
	uint8_t *copy = malloc(good_len);
	struct saved_header header;
	struct saved_record record;
	size_t at, next;

#define BEGIN() memcpy(copy, good, good_len)
#define HEADER(change, text, error) do {							\
	BEGIN();									\
	memcpy(&header, copy, sizeof(header));						\
	change;										\
	header.crc = crc_of(&header, offsetof(struct saved_header, crc));		\
	memcpy(copy, &header, sizeof(header));						\
	is(try(copy, good_len), error, "header: %s: %s", #change, why);			\
	ok(strstr(why, text), "for that reason");						\
} while (0)
	HEADER(header.version = 2, "format 2", -EOPNOTSUPP);
	HEADER(header.bytes = 63, "malformed", -EINVAL);
	HEADER(header.chunk = 4096, "malformed", -EINVAL);
	HEADER(header.flags = 1, "malformed", -EINVAL);
	HEADER(header.memory = 0, "malformed", -EINVAL);
	HEADER(header.memory = ~0ULL, "malformed", -EINVAL);
	HEADER(header.memory = 2 * MIB, "malformed", -EINVAL);
	HEADER(header.magic[0] = 'v', "not a saved machine", -EINVAL);
	HEADER(header.reserved[0] = 1, "malformed", -EINVAL);

#define RECORD(which, change) do {							\
	BEGIN();									\
	at = find_record(which);							\
	memcpy(&record, copy + at, sizeof(record));					\
	change;										\
	memcpy(copy + at, &record, sizeof(record));					\
	seal(copy, at);									\
	ok(try(copy, good_len), "record %u: %s: %s", which, #change, why);			\
} while (0)
	RECORD(0, record.type = SAVED_STATE);
	RECORD(0, record.bytes = ~0U);
	RECORD(0, record.bytes = 0);
	RECORD(0, record.bytes++);
	RECORD(0, record.stored = ~0U);
	RECORD(0, record.address = MIB);
	RECORD(1, record.type = SAVED_END);
	RECORD(2, record.type = 5);
	RECORD(2, record.number = 3);
	RECORD(2, record.address += 4096);
	RECORD(2, record.address = 0xc0000000);
	RECORD(2, record.address = 1ULL << 63);
	RECORD(2, record.address = 4 * MIB);
	RECORD(2, record.bytes = 4096);
	RECORD(3, record.address = MIB);
	RECORD(3, record.address = 5 * MIB);
	RECORD(3, record.bytes = MIB);
	RECORD(4, record.bytes = 1);
	RECORD(4, record.address = 1);

	/* A record less, all else in order: only the end can tell. */
	BEGIN();
	at = find_record(3);
	next = find_record(4);
	memmove(copy + at, copy + next, good_len - next);
	memcpy(&record, copy + at, sizeof(record));
	record.number = 3;
	memcpy(copy + at, &record, sizeof(record));
	seal(copy, at);
	is(try(copy, good_len - (next - at)), -EINVAL, "a record is missing: %s", why);
	free(copy);
}

static bool is_empty(void)
{
	return !rmdir(dir) && !mkdir(dir, 0700);
}

static bool cancelled(void *opaque)
{
	return ++*(unsigned int *)opaque == 3;
}

static void test_files(void)
{
	struct rlimit limit, before;
	struct saved_job job = make_job();
	unsigned int asked = 0;
	struct saved_file file;
	struct stat st;
	int fd;

	is(saved_write_file(&job, path, why), 0, "to a file");
	is(stat(path, &st) | (st.st_mode & 0777), 0600, "which nobody else may read");
	is((uint64_t)st.st_size, good_len, "of that length");

	/* A full disk; the file that is there stays. */
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = good_len - 1;
	setrlimit(RLIMIT_FSIZE, &limit);
	signal(SIGXFSZ, SIG_IGN);
	is(saved_write_file(&job, path, why), -EFBIG, "no room: %s", why);
	setrlimit(RLIMIT_FSIZE, &before);
	fd = open(path, O_RDONLY);
	is(saved_read(&file, fd, why), 0, "the file that was there is still good");
	saved_free(&file);
	close(fd);
	unlink(path);
	ok(is_empty(), "and there is nothing else");

	job.cancelled = cancelled;
	job.opaque = &asked;
	is(saved_write_file(&job, path, why), -ECANCELED, "cancelled: %s", why);
	ok(is_empty(), "nothing is left of it");
	job.cancelled = NULL;
	is(saved_write_file(&job, "/nowhere/at/all", why), -ENOENT, "a path that there is not: %s", why);
	fd = open("/dev/full", O_WRONLY);
	is(saved_write(&job, fd), -ENOSPC, "a device that is full");
	close(fd);
	fd = open("/dev/zero", O_RDONLY);
	is(saved_read(&file, fd, why), -EINVAL, "no device is read: %s", why);
	close(fd);
}

int main(void)
{
	size_t i;

	if (!mkdtemp(dir) || memory_alloc(&memory, MEMORY))
		return 1;
	snprintf(path, sizeof(path), "%s/file", dir);
	/* One chunk with something in it, one that is all zero but was touched, the last one; the others were never touched. */
	for (i = 0; i < 4096; i++)
		memory.piece[0].hva[MIB + i] = (uint8_t)(i * i >> 4);
	memset(memory.piece[0].hva + 2 * MIB, 0, MIB);
	memory.piece[0].hva[MEMORY - 1] = 1;
	info = json_pack("{s:s,s:[{}]}", "vireo", "test", "machine");
	state_append(&state, STATE, strlen(STATE));

	make_good();
	test_round_trip();
	test_altered();
	test_cut();
	test_crafted();
	test_files();

	state_buffer_free(&state);
	json_decref(info);
	memory_free(&memory);
	free(good);
	rmdir(dir);
	return tap_done();
}

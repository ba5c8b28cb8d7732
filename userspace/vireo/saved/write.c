// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads compress chunks of memory, each into the slot of its number modulo SLOTS; the caller's thread writes
 * them in their order. So what is in memory at a time is bounded, and the file is the same however
 * many threads there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "format.h"
#include "saved.h"
#include "../memory.h"
#include "../state.h"
#include "../util.h"

#define SLOTS		16
#define THREADS_MAX	8
#define LEVEL		1	/* of zstd: the guest waits */
#define PAGE		4096

/**
 * struct slot - a chunk on its way
 * @done: it may be written
 * @error: or this has happened
 * @zero: there is nothing to be written of it
 * @record: its header but for number and crc
 * @data: compressed
 */
struct slot {
	bool done;
	int error;
	bool zero;
	struct saved_record record;
	void *data;
};

/**
 * struct writer - a file being written
 * @job: what
 * @fd: where to
 * @pagemap: of the launcher, or -1
 * @records: so far
 * @chunks: of memory
 * @crc: for struct saved_end
 * @lock: protects the following
 * @changed: one of them has changed
 * @next: chunk that the next thread takes
 * @written: chunks that need no slot any more
 * @total: chunks of all of memory
 * @stop: threads end
 * @slot: see above
 */
struct writer {
	struct saved_job *job;
	int fd;
	int pagemap;
	uint64_t records;
	uint64_t chunks;
	uint32_t crc;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t next;
	uint64_t written;
	uint64_t total;
	bool stop;
	struct slot slot[SLOTS];
};

/**
 * saved_threads() - how many threads work on memory
 *
 * Return: one for each processor that this process may use, within bounds.
 */
unsigned int saved_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned int)n;
}

static int write_all(struct writer *writer, const void *data, size_t len)
{
	const uint8_t *from = data;
	ssize_t n;

	writer->job->file_bytes += len;
	while (len) {
		n = write(writer->fd, from, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

static uint32_t crc_of(const void *data, size_t len)
{
	return (uint32_t)crc32_z(0, data, len);
}

static void count_crc(struct writer *writer, uint32_t crc)
{
	writer->crc = (uint32_t)crc32_z(writer->crc, (const uint8_t *)&crc, sizeof(crc));
}

static int write_record(struct writer *writer, struct saved_record *record, const void *data)
{
	int r;

	record->magic = SAVED_RECORD_MAGIC;
	record->number = writer->records++;
	record->crc = crc_of(record, offsetof(struct saved_record, crc));
	count_crc(writer, record->crc);
	r = write_all(writer, record, sizeof(*record));
	return r ? r : write_all(writer, data, record->stored);
}

/* Frames have the length of their content, and its checksum. */
static ZSTD_CCtx *make_context(void)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();

	if (!context)
		return NULL;
	ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1);
	return context;
}

static int pack(ZSTD_CCtx *context, const void *from, size_t len, void *to, size_t room,
		    struct saved_record *record)
{
	size_t n = ZSTD_compress2(context, to, room, from, len);

	if (ZSTD_isError(n))
		return -ENOMEM;
	record->stored = (uint32_t)n;
	record->bytes = (uint32_t)len;
	record->data_crc = crc_of(to, n);
	return 0;
}

static int write_buffer(struct writer *writer, uint32_t type, const void *data, size_t len)
{
	struct saved_record record = { .type = type };
	size_t room = ZSTD_compressBound(len);
	ZSTD_CCtx *context = make_context();
	void *to = malloc(room);
	int r;

	r = context && to ? pack(context, data, len, to, room, &record) : -ENOMEM;
	if (!r)
		r = write_record(writer, &record, to);
	free(to);
	ZSTD_freeCCtx(context);
	return r;
}

/* ---- Memory ---- */

static uint64_t chunks_of(const struct memory_piece *piece)
{
	return (piece->bytes + SAVED_CHUNK - 1) / SAVED_CHUNK;
}

static uint8_t *find_chunk(const struct guest_memory *memory, uint64_t index, uint64_t *gpa, size_t *len)
{
	const struct memory_piece *piece = memory->piece;
	uint64_t at, left;

	while (index >= chunks_of(piece))
		index -= chunks_of(piece++);
	at = index * SAVED_CHUNK;
	left = piece->bytes - at;
	*gpa = piece->gpa + at;
	*len = left < SAVED_CHUNK ? (size_t)left : SAVED_CHUNK;
	return piece->hva + at;
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return !*data && !memcmp(data, data + 1, len - 1);
}

static void do_chunk(struct writer *writer, ZSTD_CCtx *context, uint64_t index, struct slot *slot)
{
	uint8_t *data;
	size_t len;

	slot->record = (struct saved_record){ .type = SAVED_MEMORY };
	data = find_chunk(writer->job->memory, index, &slot->record.address, &len);
	slot->zero = memory_untouched(writer->pagemap, data, len) || is_zero(data, len);
	slot->error = 0;
	if (!slot->zero)
		slot->error = pack(context, data, len, slot->data, ZSTD_compressBound(SAVED_CHUNK),
				       &slot->record);
}

static void *work(void *arg)
{
	struct writer *writer = arg;
	ZSTD_CCtx *context = make_context();
	struct slot *slot;
	uint64_t index;

	pthread_mutex_lock(&writer->lock);
	for (;;) {
		while (!writer->stop && writer->next < writer->total && writer->next >= writer->written + SLOTS)
			pthread_cond_wait(&writer->changed, &writer->lock);
		if (writer->stop || writer->next >= writer->total)
			break;
		index = writer->next++;
		slot = &writer->slot[index % SLOTS];
		pthread_mutex_unlock(&writer->lock);
		if (context)
			do_chunk(writer, context, index, slot);
		else
			slot->error = -ENOMEM;
		pthread_mutex_lock(&writer->lock);
		slot->done = true;
		pthread_cond_broadcast(&writer->changed);
	}
	pthread_mutex_unlock(&writer->lock);
	ZSTD_freeCCtx(context);
	return NULL;
}

static int write_slot(struct writer *writer, struct slot *slot)
{
	if (slot->error || slot->zero)
		return slot->error;
	writer->chunks++;
	writer->job->memory_bytes += slot->record.bytes;
	return write_record(writer, &slot->record, slot->data);
}

static int write_chunks(struct writer *writer)
{
	const struct saved_job *job = writer->job;
	struct slot *slot;
	uint64_t index;
	int r = 0;

	for (index = 0; index < writer->total && !r; index++) {
		slot = &writer->slot[index % SLOTS];
		pthread_mutex_lock(&writer->lock);
		while (!slot->done)
			pthread_cond_wait(&writer->changed, &writer->lock);
		pthread_mutex_unlock(&writer->lock);
		r = job->cancelled && job->cancelled(job->opaque) ? -ECANCELED : write_slot(writer, slot);
		pthread_mutex_lock(&writer->lock);
		slot->done = false;
		writer->written++;
		pthread_cond_broadcast(&writer->changed);
		pthread_mutex_unlock(&writer->lock);
	}
	return r;
}

static int write_memory(struct writer *writer)
{
	unsigned int wanted = saved_threads(), nr = 0, i;
	pthread_t thread[THREADS_MAX];
	int r = 0;

	for (i = 0; i < writer->job->memory->nr; i++)
		writer->total += chunks_of(&writer->job->memory->piece[i]);
	for (i = 0; i < SLOTS && !r; i++) {
		writer->slot[i].data = malloc(ZSTD_compressBound(SAVED_CHUNK));
		r = writer->slot[i].data ? 0 : -ENOMEM;
	}
	while (!r && nr < wanted && !pthread_create(&thread[nr], NULL, work, writer))
		nr++;
	if (!r)
		r = nr ? write_chunks(writer) : -EAGAIN;
	pthread_mutex_lock(&writer->lock);
	writer->stop = true;
	pthread_cond_broadcast(&writer->changed);
	pthread_mutex_unlock(&writer->lock);
	while (nr)
		pthread_join(thread[--nr], NULL);
	for (i = 0; i < SLOTS; i++)
		free(writer->slot[i].data);
	return r;
}

/* ---- The whole ---- */

static int write_header(struct writer *writer)
{
	struct saved_header header = {
		.version = SAVED_VERSION,
		.bytes = sizeof(header),
		.memory = writer->job->memory->total,
		.chunk = SAVED_CHUNK,
	};

	memcpy(header.magic, SAVED_MAGIC, sizeof(header.magic));
	header.crc = crc_of(&header, offsetof(struct saved_header, crc));
	count_crc(writer, header.crc);
	return write_all(writer, &header, sizeof(header));
}

static int write_end(struct writer *writer)
{
	struct saved_end end = {
		.records = writer->records,
		.chunks = writer->chunks,
		.file_bytes = writer->job->file_bytes + sizeof(struct saved_record) + sizeof(end),
		.crc = writer->crc,
	};
	struct saved_record record = {
		.type = SAVED_END,
		.stored = sizeof(end),
		.bytes = sizeof(end),
		.data_crc = crc_of(&end, sizeof(end)),
	};

	return write_record(writer, &record, &end);
}

/**
 * saved_write() - write a machine
 * @job: what, and out, how much
 * @fd: where to
 *
 * Return: 0; -E2BIG (a description or a state that no reader takes), -ENOMEM, -EAGAIN (no threads), -ECANCELED, or the errno of write().
 */
int saved_write(struct saved_job *job, int fd)
{
	struct writer writer = { .job = job, .fd = fd };
	char *info = json_dumps(job->info, JSON_COMPACT);
	int r;

	job->file_bytes = 0;
	job->memory_bytes = 0;
	if (!info)
		return -ENOMEM;
	pthread_mutex_init(&writer.lock, NULL);
	pthread_cond_init(&writer.changed, NULL);
	writer.pagemap = memory_pagemap();
	r = strlen(info) > SAVED_INFO_MAX || job->state->len > SAVED_STATE_MAX ? -E2BIG : 0;
	if (!r)
		r = write_header(&writer);
	if (!r)
		r = write_buffer(&writer, SAVED_INFO, info, strlen(info));
	if (!r)
		r = write_buffer(&writer, SAVED_STATE, job->state->data, job->state->len);
	if (!r)
		r = write_memory(&writer);
	if (!r)
		r = write_end(&writer);
	if (writer.pagemap >= 0)
		close(writer.pagemap);
	pthread_cond_destroy(&writer.changed);
	pthread_mutex_destroy(&writer.lock);
	free(info);
	return r;
}

/* The name is on the disk when its directory is. */
static int sync_directory(const char *path)
{
	char *copy = strdup(path);
	int fd, r;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0)
		return -errno;
	r = fsync(fd) ? -errno : 0;
	close(fd);
	/* Not all file systems can, and need to. */
	return r == -EINVAL ? 0 : r;
}

/**
 * saved_write_file() - write a machine to a file
 * @job: what, and out, how much
 * @path: of the file; one that is there is replaced
 * @why: SAVED_WHY bytes for a sentence
 *
 * The guest's memory is in it: nobody but the owner may read it.
 *
 * Return: 0, or what saved_write() or the file system says: there is no new file then.
 */
int saved_write_file(struct saved_job *job, const char *path, char *why)
{
	char *name;
	int fd, r;

	if (asprintf(&name, "%s.XXXXXX", path) < 0) {
		snprintf(why, SAVED_WHY, "there is no memory");
		return -ENOMEM;
	}
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		snprintf(why, SAVED_WHY, "%.120s: the file cannot be made: %s", path, strerror(-r));
		free(name);
		return r;
	}
	r = saved_write(job, fd);
	if (!r && fsync(fd))
		r = -errno;
	if (close(fd) && !r)
		r = -errno;
	if (!r && rename(name, path))
		r = -errno;
	if (r)
		unlink(name);
	else
		r = sync_directory(path);
	if (r == -ECANCELED)
		snprintf(why, SAVED_WHY, "%.120s: the machine was to end before it was saved", path);
	else if (r)
		snprintf(why, SAVED_WHY, "%.120s: the machine cannot be written: %s", path, strerror(-r));
	free(name);
	return r;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file is read twice: first all headers and checksums, so that one that is not whole is refused before
 * anything is made of it; then its memory, by several threads, each into its place.
 *
 * The file may be anybody's: lengths and addresses are held against bounds before they are used.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
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
#include "../util.h"

#define THREADS_MAX 8

/**
 * struct reader - a file being read
 * @file: what comes of it
 * @at: where the next byte is
 * @size: of the file
 * @records: so far
 * @crc: for struct saved_end
 * @buffer: for what is stored
 * @room: its length
 * @why: see saved_read()
 */
struct reader {
	struct saved_file *file;
	uint64_t at;
	uint64_t size;
	uint64_t records;
	uint32_t crc;
	uint8_t *buffer;
	size_t room;
	char *why;
};

__attribute__((format(printf, 3, 4)))
static int no(char *why, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, SAVED_WHY, format, args);
	va_end(args);
	return error;
}

static int read_at(int fd, uint64_t at, void *to, size_t len, char *why)
{
	ssize_t n;

	while (len) {
		n = pread(fd, to, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return no(why, -errno, "the file cannot be read: %s", strerror(errno));
		if (!n)
			return no(why, -EINVAL, "the file is cut short");
		to = (uint8_t *)to + n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int take(struct reader *reader, void *to, size_t len)
{
	if (reader->size - reader->at < len)
		return no(reader->why, -EINVAL, "the file is cut short");
	reader->at += len;
	return read_at(reader->file->fd, reader->at - len, to, len, reader->why);
}

static void count_crc(struct reader *reader, uint32_t crc)
{
	reader->crc = (uint32_t)crc32_z(reader->crc, (const uint8_t *)&crc, sizeof(crc));
}

static int read_header(struct reader *reader)
{
	static const uint8_t zero[sizeof(((struct saved_header *)0)->reserved)];
	struct saved_header header;
	struct stat st;
	int r;

	if (fstat(reader->file->fd, &st))
		return no(reader->why, -errno, "the file cannot be read: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return no(reader->why, -EINVAL, "it is not a regular file");
	reader->size = (uint64_t)st.st_size;
	if (reader->size < sizeof(header))
		return no(reader->why, -EINVAL, "it is not a saved machine");
	r = take(reader, &header, sizeof(header));
	if (r)
		return r;
	if (memcmp(header.magic, SAVED_MAGIC, sizeof(header.magic)))
		return no(reader->why, -EINVAL, "it is not a saved machine");
	if (header.version != SAVED_VERSION)
		return no(reader->why, -EOPNOTSUPP, "the file has format %u, of another version of vireo; this one reads %u",
			  header.version, SAVED_VERSION);
	if (header.crc != crc32_z(0, (const uint8_t *)&header, offsetof(struct saved_header, crc)))
		return no(reader->why, -EINVAL, "the file's header has been altered");
	if (header.bytes != sizeof(header) || header.chunk != SAVED_CHUNK || header.flags ||
	    memcmp(header.reserved, zero, sizeof(zero)) ||
	    header.memory < MEMORY_MIN || header.memory & 4095 || header.memory > 1ULL << 46)
		return no(reader->why, -EINVAL, "the file's header is malformed");
	count_crc(reader, header.crc);
	reader->file->memory = header.memory;
	return 0;
}

static int read_record(struct reader *reader, struct saved_record *record)
{
	unsigned long long number = reader->records;
	int r = take(reader, record, sizeof(*record));

	if (r)
		return r;
	if (record->magic != SAVED_RECORD_MAGIC || record->number != reader->records ||
	    record->crc != crc32_z(0, (const uint8_t *)record, offsetof(struct saved_record, crc)))
		return no(reader->why, -EINVAL, "record %llu of the file has been altered", number);
	if (record->stored > reader->size - reader->at)
		return no(reader->why, -EINVAL, "the file is cut short");
	/* Nothing needs more room than what zstd makes of what it cannot compress. */
	if (record->stored > ZSTD_compressBound(SAVED_STATE_MAX))
		return no(reader->why, -EINVAL, "record %llu of the file is malformed", number);
	if (reader->room < record->stored) {
		free(reader->buffer);
		reader->room = record->stored;
		reader->buffer = malloc(reader->room);
		if (!reader->buffer) {
			reader->room = 0;
			return no(reader->why, -ENOMEM, "there is no memory");
		}
	}
	r = take(reader, reader->buffer, record->stored);
	if (!r && record->data_crc != crc32_z(0, reader->buffer, record->stored))
		return no(reader->why, -EINVAL, "record %llu of the file has been altered", number);
	return r;
}

static int malformed(struct reader *reader)
{
	return no(reader->why, -EINVAL, "record %llu of the file is malformed", (unsigned long long)reader->records);
}

static int unpack(const void *from, size_t stored, void *to, size_t bytes)
{
	return ZSTD_getFrameContentSize(from, stored) != bytes || ZSTD_decompress(to, bytes, from, stored) != bytes ?
	       -EINVAL : 0;
}

/* What is compressed in a record of @type, which comes next. Freed by the caller. */
static int read_buffer(struct reader *reader, uint32_t type, size_t max, uint8_t **out, size_t *len)
{
	struct saved_record record;
	uint8_t *data;
	int r;

	*out = NULL;
	r = read_record(reader, &record);
	if (r)
		return r;
	if (record.type != type || record.address || !record.bytes || record.bytes > max)
		return malformed(reader);
	data = malloc(record.bytes);
	if (!data)
		return no(reader->why, -ENOMEM, "there is no memory");
	if (unpack(reader->buffer, record.stored, data, record.bytes)) {
		free(data);
		return malformed(reader);
	}
	count_crc(reader, record.crc);
	reader->records++;
	*out = data;
	*len = record.bytes;
	return 0;
}

static int read_info(struct reader *reader)
{
	json_error_t where;
	uint8_t *text;
	size_t len;
	int r = read_buffer(reader, SAVED_INFO, SAVED_INFO_MAX, &text, &len);

	if (r)
		return r;
	reader->file->info = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, &where);
	free(text);
	if (!json_is_object(reader->file->info) || !json_is_array(json_object_get(reader->file->info, "machine")))
		return no(reader->why, -EINVAL, "the file's description of the machine is malformed");
	return 0;
}

/* Memory that a chunk at @address has, at most: to the end of its piece. */
static uint64_t room_at(const struct saved_file *file, uint64_t address)
{
	uint64_t low = file->memory < MEMORY_LOW_MAX ? file->memory : MEMORY_LOW_MAX;

	if (address < low)
		return low - address;
	if (address < MEMORY_HIGH_BASE || address - MEMORY_HIGH_BASE >= file->memory - low)
		return 0;
	return file->memory - low - (address - MEMORY_HIGH_BASE);
}

static int add_chunk(struct reader *reader, const struct saved_record *record)
{
	struct saved_file *file = reader->file;
	uint64_t room = room_at(file, record->address);
	struct saved_chunk *grown;

	if (record->address % SAVED_CHUNK || record->bytes != (room < SAVED_CHUNK ? room : SAVED_CHUNK) ||
	    !record->bytes || record->stored > ZSTD_compressBound(SAVED_CHUNK) ||
	    (file->nr && record->address <= file->chunk[file->nr - 1].address) ||
	    ZSTD_getFrameContentSize(reader->buffer, record->stored) != record->bytes)
		return malformed(reader);
	/* By doubling */
	if (!(file->nr & (file->nr - 1))) {
		grown = realloc(file->chunk, (file->nr ? file->nr * 2 : 1) * sizeof(*grown));
		if (!grown)
			return no(reader->why, -ENOMEM, "there is no memory");
		file->chunk = grown;
	}
	file->chunk[file->nr++] = (struct saved_chunk){
		.address = record->address,
		.offset = reader->at - record->stored,
		.stored = record->stored,
		.bytes = record->bytes,
		.crc = record->data_crc,
	};
	file->memory_bytes += record->bytes;
	count_crc(reader, record->crc);
	reader->records++;
	return 0;
}

static int read_end(struct reader *reader, const struct saved_record *record)
{
	struct saved_end end;

	if (record->stored != sizeof(end) || record->bytes != sizeof(end) || record->address)
		return malformed(reader);
	memcpy(&end, reader->buffer, sizeof(end));
	if (end.records != reader->records || end.chunks != reader->file->nr || end.crc != reader->crc || end.pad)
		return no(reader->why, -EINVAL, "records of the file are missing or have been altered");
	if (end.file_bytes != reader->at || reader->at != reader->size)
		return no(reader->why, -EINVAL, "the file is longer than what was written");
	return 0;
}

static int read_records(struct reader *reader)
{
	struct saved_file *file = reader->file;
	struct saved_record record;
	int r;

	r = read_info(reader);
	if (!r)
		r = read_buffer(reader, SAVED_STATE, SAVED_STATE_MAX, &file->state, &file->state_len);
	while (!r) {
		r = read_record(reader, &record);
		if (r)
			break;
		if (record.type == SAVED_END)
			return read_end(reader, &record);
		r = record.type == SAVED_MEMORY ? add_chunk(reader, &record) : malformed(reader);
	}
	return r;
}

/**
 * saved_read() - read the file of a saved machine
 * @file: to be filled; saved_free() only if this returns 0
 * @fd: a regular file, open for reading until saved_free()
 * @why: SAVED_WHY bytes for a sentence
 *
 * Return: 0; -EINVAL (no such file, cut short, altered), -EOPNOTSUPP (of another version), -ENOMEM, or the errno of reading.
 */
int saved_read(struct saved_file *file, int fd, char *why)
{
	struct reader reader = { .file = file, .why = why };
	int r;

	*file = (struct saved_file){ .fd = fd };
	r = read_header(&reader);
	if (!r)
		r = read_records(&reader);
	file->bytes = reader.at;
	free(reader.buffer);
	if (r)
		saved_free(file);
	return r;
}

/**
 * saved_free() - forget what was read
 * @file: it; its fd is the caller's
 */
void saved_free(struct saved_file *file)
{
	json_decref(file->info);
	free(file->state);
	free(file->chunk);
	*file = (struct saved_file){ .fd = -1 };
}

/* ---- Memory ---- */

/**
 * struct filling - memory being read
 * @file: from where
 * @memory: where to; NULL: nowhere
 * @lock: protects the following
 * @next: chunk that the next thread takes
 * @error: the first
 * @why: reason for it
 */
struct filling {
	const struct saved_file *file;
	struct guest_memory *memory;
	pthread_mutex_t lock;
	size_t next;
	int error;
	char *why;
};

static int fill_chunk(const struct filling *filling, const struct saved_chunk *chunk, uint8_t *stored,
		      uint8_t *nowhere, char *why)
{
	void *to = filling->memory ? memory_ptr(filling->memory, chunk->address, chunk->bytes) : nowhere;
	int r = read_at(filling->file->fd, chunk->offset, stored, chunk->stored, why);

	if (r)
		return r;
	/* Somebody may have written to the file since. */
	if (!to || crc32_z(0, stored, chunk->stored) != chunk->crc ||
	    unpack(stored, chunk->stored, to, chunk->bytes))
		return no(why, -EINVAL, "the memory at %#llx is malformed", (unsigned long long)chunk->address);
	return 0;
}

static void *fill(void *arg)
{
	uint8_t *stored = malloc(ZSTD_compressBound(SAVED_CHUNK)), *nowhere = malloc(SAVED_CHUNK);
	struct filling *filling = arg;
	char why[SAVED_WHY] = "there is no memory";
	int r = stored && nowhere ? 0 : -ENOMEM;
	size_t index;

	pthread_mutex_lock(&filling->lock);
	while (!r && !filling->error && filling->next < filling->file->nr) {
		index = filling->next++;
		pthread_mutex_unlock(&filling->lock);
		r = fill_chunk(filling, &filling->file->chunk[index], stored, nowhere, why);
		pthread_mutex_lock(&filling->lock);
	}
	if (r && !filling->error) {
		filling->error = r;
		memcpy(filling->why, why, SAVED_WHY);
	}
	pthread_mutex_unlock(&filling->lock);
	free(stored);
	free(nowhere);
	return NULL;
}

/**
 * saved_read_memory() - read the guest's memory
 * @file: from where
 * @memory: of the size that the file says; where the file has nothing, it stays what it is, which is to be zero. NULL: only look
 * @why: SAVED_WHY bytes for a sentence
 *
 * Return: 0; -EINVAL, -ENOMEM, -EAGAIN (no threads), or the errno of reading.
 */
int saved_read_memory(const struct saved_file *file, struct guest_memory *memory, char *why)
{
	struct filling filling = { .file = file, .memory = memory, .why = why };
	unsigned int wanted = saved_threads(), nr = 0;
	pthread_t thread[THREADS_MAX];

	if (memory && memory->total != file->memory)
		return no(why, -EINVAL, "the machine has another amount of memory than the file");
	pthread_mutex_init(&filling.lock, NULL);
	while (nr < wanted && nr < THREADS_MAX && !pthread_create(&thread[nr], NULL, fill, &filling))
		nr++;
	if (!nr)
		filling.error = no(why, -EAGAIN, "there are no threads to read memory");
	while (nr)
		pthread_join(thread[--nr], NULL);
	pthread_mutex_destroy(&filling.lock);
	return filling.error;
}

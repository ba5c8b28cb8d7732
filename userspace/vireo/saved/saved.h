/* SPDX-License-Identifier: GPL-2.0-only */
/* Writing and reading the file of a saved machine; format.h says what it is like. */
#ifndef VIREO_SAVED_H
#define VIREO_SAVED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_memory;
struct state_buffer;

#define SAVED_WHY 256		/* bytes of a reason */

/**
 * struct saved_job - what is written
 * @memory: nobody writes to it meanwhile
 * @info: the description
 * @state: of the machine
 * @cancelled: asked for every chunk, by the caller's thread: true ends it with -ECANCELED; may be NULL
 * @opaque: handed to @cancelled
 * @file_bytes: out: length of the file
 * @memory_bytes: out: of memory in it, before compression
 */
struct saved_job {
	const struct guest_memory *memory;
	json_t *info;
	const struct state_buffer *state;
	bool (*cancelled)(void *opaque);
	void *opaque;
	uint64_t file_bytes;
	uint64_t memory_bytes;
};

/* To a file or a pipe. 0 or a negative errno */
int saved_write(struct saved_job *job, int fd);
/* To @path, which appears when all of it is on the disk, or is left what it was. 0; or a negative errno, with a sentence in @why */
int saved_write_file(struct saved_job *job, const char *path, char *why);

/* A chunk in the file: at @offset are @stored bytes for @bytes at @address. */
struct saved_chunk {
	uint64_t address;
	uint64_t offset;
	uint32_t stored;
	uint32_t bytes;
	uint32_t crc;
};

/**
 * struct saved_file - a file that has been read, and found whole
 * @fd: the file, not owned
 * @memory: bytes of the guest's memory
 * @bytes: of the file
 * @info: the description
 * @state: of the machine
 * @state_len: its length
 * @chunk: memory that is not all zero
 * @nr: how many
 * @memory_bytes: in them
 */
struct saved_file {
	int fd;
	uint64_t memory;
	uint64_t bytes;
	json_t *info;
	uint8_t *state;
	size_t state_len;
	struct saved_chunk *chunk;
	size_t nr;
	uint64_t memory_bytes;
};

/* All of it is checked but what memory decompresses to. 0; or a negative errno, with a sentence in @why and nothing to free */
int saved_read(struct saved_file *file, int fd, char *why);
/* Fill memory that is all zero; NULL: only look whether that would do. 0; or a negative errno, with a sentence in @why */
int saved_read_memory(const struct saved_file *file, struct guest_memory *memory, char *why);
void saved_free(struct saved_file *file);

/* Threads that share work on memory */
unsigned int saved_threads(void);

#endif /* VIREO_SAVED_H */

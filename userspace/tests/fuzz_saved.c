// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reader of saved machines. An input is a file; or, so that it gets past the checksums, edits of a good file,
 * with checksums made good again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "../vireo/machine_state.h"
#include "../vireo/memory.h"
#include "../vireo/state.h"
#include "../vireo/util.h"
#include "../vireo/saved/format.h"
#include "../vireo/saved/saved.h"

#define GOOD_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint8_t good[GOOD_MAX];
static size_t good_len;
static struct guest_memory memory;

/* A section of machine_state.c without content. */
static void add_section(struct state_buffer *state, uint32_t type)
{
	uint32_t words[6] = { 0, type, MACHINE_STATE_VERSION, 0, 0, 0 };

	memcpy(words, "VMst", 4);
	state_append(state, words, sizeof(words));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	json_t *info = json_pack("{s:s,s:[{s:s}]}", "vireo", "fuzz", "machine", "kernel", "x");
	struct saved_job job = { .memory = &memory, .info = info };
	struct state_buffer state = { 0 };
	int fd = memfd_create("good", MFD_CLOEXEC);

	(void)argc;
	(void)argv;
	if (memory_alloc(&memory, 2 * MIB + 4096))
		abort();
	memcpy(memory.piece[0].hva, "memory", 6);
	memory.piece[0].hva[2 * MIB] = 1;
	add_section(&state, 1);
	add_section(&state, 6);
	job.state = &state;
	if (saved_write(&job, fd) || job.file_bytes > GOOD_MAX ||
	    pread(fd, good, GOOD_MAX, 0) != (ssize_t)job.file_bytes)
		abort();
	good_len = job.file_bytes;
	close(fd);
	state_buffer_free(&state);
	json_decref(info);
	return 0;
}

static uint32_t crc_of(uint32_t crc, const void *data, size_t len)
{
	return (uint32_t)crc32_z(crc, data, len);
}

/* All checksums, as far as the records lead. */
static void seal(uint8_t *file, size_t len)
{
	struct saved_header header;
	struct saved_record record;
	struct saved_end end;
	size_t at = sizeof(header);
	uint32_t all;

	memcpy(&header, file, sizeof(header));
	header.crc = crc_of(0, &header, offsetof(struct saved_header, crc));
	memcpy(file, &header, sizeof(header));
	all = crc_of(0, &header.crc, 4);
	while (len - at >= sizeof(record)) {
		memcpy(&record, file + at, sizeof(record));
		if (record.stored > len - at - sizeof(record))
			return;
		if (record.type == SAVED_END && record.stored == sizeof(end)) {
			memcpy(&end, file + at + sizeof(record), sizeof(end));
			end.crc = all;
			memcpy(file + at + sizeof(record), &end, sizeof(end));
		}
		record.data_crc = crc_of(0, file + at + sizeof(record), record.stored);
		record.crc = crc_of(0, &record, offsetof(struct saved_record, crc));
		memcpy(file + at, &record, sizeof(record));
		all = crc_of(all, &record.crc, 4);
		at += sizeof(record) + record.stored;
	}
}

static void try(const uint8_t *data, size_t size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	char why[SAVED_WHY] = "";
	struct saved_file file;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (!saved_read(&file, fd, why)) {
		json_decref(machine_state_list(file.state, file.state_len));
		if (saved_read_memory(&file, file.memory == memory.total ? &memory : NULL, why) && !*why)
			abort();
		saved_free(&file);
	} else if (!*why) {
		abort();
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t file[GOOD_MAX];
	uint16_t at;

	if (!size)
		return 0;
	if (*data & 1) {
		try(data + 1, size - 1);
		return 0;
	}
	memcpy(file, good, good_len);
	/* Where, and what there is to be. */
	for (data++, size--; size >= 3; data += 3, size -= 3) {
		memcpy(&at, data, 2);
		file[at % good_len] = data[2];
	}
	seal(file, good_len);
	try(file, good_len);
	return 0;
}

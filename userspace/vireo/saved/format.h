/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The file of a saved machine: Documentation/saved-state.rst.
 *
 * A header, then records: the description, the state, memory in chunks with ascending addresses, the end. All integers are little-endian.
 * Each byte of the file is covered by a CRC-32 (that of zlib, ISO 3309); what is compressed is a zstd frame,
 * which has a checksum of its own over what comes out of it.
 */
#ifndef VIREO_SAVED_FORMAT_H
#define VIREO_SAVED_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define SAVED_MAGIC		"VireoSav"
#define SAVED_VERSION		1
#define SAVED_RECORD_MAGIC	0x43455256U	/* "VREC" */
#define SAVED_CHUNK		(1U << 20)
#define SAVED_INFO_MAX		(1U << 20)	/* bytes of the description */
#define SAVED_STATE_MAX		(1U << 26)	/* bytes of the state */

/**
 * struct saved_header - what the file begins with
 * @magic: SAVED_MAGIC
 * @version: SAVED_VERSION; in all versions at this place
 * @bytes: of this header
 * @memory: bytes of the guest's memory
 * @chunk: bytes of a chunk; one at the end of a piece of memory may be smaller
 * @flags: 0
 * @reserved: 0
 * @crc: of all before it
 */
struct saved_header {
	char magic[8];
	uint32_t version;
	uint32_t bytes;
	uint64_t memory;
	uint32_t chunk;
	uint32_t flags;
	uint8_t reserved[28];
	uint32_t crc;
};

enum saved_type {
	SAVED_INFO = 1,		/* JSON: the description of the machine, and who wrote it */
	SAVED_STATE,		/* machine_state_save() */
	SAVED_MEMORY,		/* a chunk; those that are all zero are left out */
	SAVED_END,		/* struct saved_end, not compressed; nothing follows */
};

/**
 * struct saved_record - what a record begins with
 * @magic: SAVED_RECORD_MAGIC
 * @type: &enum saved_type
 * @number: of the record, from 0 on
 * @address: SAVED_MEMORY: guest-physical; else 0
 * @stored: bytes that follow in the file
 * @bytes: what they are when decompressed
 * @data_crc: of the bytes that follow
 * @crc: of all of the header before it
 */
struct saved_record {
	uint32_t magic;
	uint32_t type;
	uint64_t number;
	uint64_t address;
	uint32_t stored;
	uint32_t bytes;
	uint32_t data_crc;
	uint32_t crc;
};

/**
 * struct saved_end - proves that all is there
 * @records: before this one
 * @chunks: of memory among them
 * @file_bytes: of the file, with this
 * @crc: over the @crc of the file's header and of all records before this one
 * @pad: 0
 */
struct saved_end {
	uint64_t records;
	uint64_t chunks;
	uint64_t file_bytes;
	uint32_t crc;
	uint32_t pad;
};

_Static_assert(sizeof(struct saved_header) == 64, "layout of the file");
_Static_assert(sizeof(struct saved_record) == 40, "layout of the file");
_Static_assert(sizeof(struct saved_end) == 32, "layout of the file");

#endif /* VIREO_SAVED_FORMAT_H */

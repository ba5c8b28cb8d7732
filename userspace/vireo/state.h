/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State of devices as versioned, self-describing blocks: what a device says of its state, and how it is
 * read and written. Integers are little-endian, in the order of the table; a block carries its device's
 * name, the version and its length. Layouts change with a new version only.
 */
#ifndef VIREO_STATE_H
#define VIREO_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct state_field - one member of a device's structure
 * @name: for "vireo inspect" and messages
 * @offset: in the structure
 * @size: bytes of one element: 1, 2, 4, 8; for others @bytes
 * @count: elements
 * @bytes: it is a string of bytes, @size of them
 * @truth: its elements are of type bool: nothing but 0 and 1 is loaded
 */
struct state_field {
	const char *name;
	uint32_t offset;
	uint32_t size;
	uint32_t count;
	bool bytes;
	bool truth;
};

#define STATE_IS_BOOL(value) _Generic((value), bool: true, default: false)
#define STATE_FIELD(type, member) \
	{ #member, offsetof(type, member), sizeof(((type *)0)->member), 1, false, \
	  STATE_IS_BOOL(((type *)0)->member) }
#define STATE_ARRAY(type, member) \
	{ #member, offsetof(type, member), sizeof(((type *)0)->member[0]), \
	  sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), false, \
	  STATE_IS_BOOL(((type *)0)->member[0]) }
#define STATE_BYTES(type, member) \
	{ #member, offsetof(type, member), sizeof(((type *)0)->member), 1, true, false }
#define STATE_END { NULL, 0, 0, 0, false, false }

/**
 * struct device_state - what there is to save of a device
 * @version: of the layout
 * @bytes: of the structure, for load()'s copy
 * @fields: ends with STATE_END
 * @save: before the fields are read: bring them up to date; may be NULL
 * @check: the fields of @loaded, a copy of the device's structure with what was read in its place: 0, or
 *	   -EINVAL if a device cannot have that state; nothing has changed yet. May be NULL
 * @busy: what it has to do, as a sentence, that would be lost if its state were saved now; NULL: nothing. May be NULL
 * @load: the fields are in the device: make the rest follow (timers, lines); may be NULL
 */
struct device_state {
	uint32_t version;
	uint32_t bytes;
	const struct state_field *fields;
	void (*save)(void *device);
	int (*check)(const void *device, const void *loaded);
	void (*load)(void *device);
	const char *(*busy)(void *device);
};

#define STATE_NAME_MAX 31

/* A growing buffer, all 0 at first; the first error stays and makes the rest no-ops. */
struct state_buffer {
	uint8_t *data;
	size_t len, room;
	int error;
};

void state_append(struct state_buffer *out, const void *from, size_t len);
/* Append the block of one device; @name has at most STATE_NAME_MAX characters */
void state_save(struct state_buffer *out, const char *name, unsigned int instance,
		const struct device_state *state, void *device);
/*
 * Load the block of one device from @data, which are blocks and nothing else: -ENOENT: none of that name and instance; -EOPNOTSUPP: of another version;
 * -EINVAL: malformed, or check() refuses. Nothing has changed unless it returns 0.
 */
int state_load(const void *data, size_t len, const char *name, unsigned int instance,
	       const struct device_state *state, void *device);
int state_count(const void *data, size_t len);
json_t *state_list(const void *data, size_t len);
void state_buffer_free(struct state_buffer *buffer);

#endif /* VIREO_STATE_H */

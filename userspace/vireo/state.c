// SPDX-License-Identifier: GPL-2.0-only
/*
 * A block is a header and the fields in the order of the device's table. Blocks follow each other
 * without padding. What is loaded comes from a file or a network: it is read into a copy of the device's
 * structure first, and the device gets it when all of it is known to be good.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

#define MAGIC "VDev"

/**
 * struct block_header - what a block begins with
 * @magic: MAGIC
 * @bytes: length of the block, this header included
 * @version: layout of the fields
 * @instance: which of the devices of that name
 * @name: padded with 0; the last byte is 0
 */
struct block_header {
	char magic[4];
	uint32_t bytes;
	uint32_t version;
	uint32_t instance;
	char name[STATE_NAME_MAX + 1];
};

_Static_assert(sizeof(struct block_header) == 48, "a block's header");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks are little-endian, as the host is");

static size_t field_bytes(const struct state_field *field)
{
	return (size_t)field->size * field->count;
}

static size_t payload_bytes(const struct device_state *state)
{
	const struct state_field *field;
	size_t bytes = 0;

	for (field = state->fields; field->name; field++)
		bytes += field_bytes(field);
	return bytes;
}

/**
 * state_append() - append bytes
 * @out: the buffer; @out->error says when it went wrong
 * @from: what
 * @len: how much
 */
void state_append(struct state_buffer *out, const void *from, size_t len)
{
	if (out->error)
		return;
	if (out->room - out->len < len) {
		size_t room = (out->len + len) * 2;
		uint8_t *data = realloc(out->data, room);

		if (!data) {
			out->error = -ENOMEM;
			return;
		}
		out->data = data;
		out->room = room;
	}
	if (len)
		memcpy(out->data + out->len, from, len);
	out->len += len;
}

/**
 * state_save() - append the block of one device
 * @out: the buffer; @out->error says when it went wrong
 * @name: the device's name
 * @instance: which of those with that name
 * @state: what there is to save
 * @device: the structure that @state describes
 */
void state_save(struct state_buffer *out, const char *name, unsigned int instance,
		const struct device_state *state, void *device)
{
	struct block_header header = { .version = state->version, .instance = instance };
	const struct state_field *field;

	if (strlen(name) > STATE_NAME_MAX) {
		out->error = -ENAMETOOLONG;
		return;
	}
	memcpy(header.magic, MAGIC, sizeof(header.magic));
	memcpy(header.name, name, strlen(name));
	header.bytes = (uint32_t)(sizeof(header) + payload_bytes(state));
	if (state->save)
		state->save(device);
	state_append(out, &header, sizeof(header));
	for (field = state->fields; field->name; field++)
		state_append(out, (uint8_t *)device + field->offset, field_bytes(field));
}

/* The block at @at, checked in itself; its length or -EINVAL */
static ssize_t read_header(const uint8_t *data, size_t len, size_t at, struct block_header *header)
{
	unsigned int i;

	if (len - at < sizeof(*header))
		return -EINVAL;
	memcpy(header, data + at, sizeof(*header));
	if (memcmp(header->magic, MAGIC, sizeof(header->magic)) || header->bytes < sizeof(*header) ||
	    header->bytes > len - at || header->name[STATE_NAME_MAX])
		return -EINVAL;
	/* Names are shown to people. */
	for (i = 0; header->name[i]; i++)
		if (!isgraph((unsigned char)header->name[i]))
			return -EINVAL;
	return header->bytes;
}

/* Where the fields are; all blocks are looked at: one that is there twice is an error. */
static int find_block(const uint8_t *data, size_t len, const char *name, unsigned int instance,
		      struct block_header *found, const uint8_t **payload)
{
	struct block_header header;
	ssize_t bytes;
	size_t at;

	*payload = NULL;
	for (at = 0; at < len; at += (size_t)bytes) {
		bytes = read_header(data, len, at, &header);
		if (bytes < 0)
			return -EINVAL;
		if (header.instance != instance || strcmp(header.name, name))
			continue;
		if (*payload)
			return -EINVAL;
		*found = header;
		*payload = data + at + sizeof(header);
	}
	return *payload ? 0 : -ENOENT;
}

static int read_fields(const struct device_state *state, const uint8_t *from, uint8_t *copy)
{
	const struct state_field *field;
	size_t i;

	for (field = state->fields; field->name; field++) {
		size_t bytes = field_bytes(field);

		for (i = 0; field->truth && i < bytes; i++) {
			if (from[i] > 1)
				return -EINVAL;
		}
		memcpy(copy + field->offset, from, bytes);
		from += bytes;
	}
	return 0;
}

/**
 * state_load() - load the block of one device
 * @data: blocks
 * @len: their length
 * @name: the device's name
 * @instance: which of those with that name
 * @state: what there is to load
 * @device: the structure that @state describes
 *
 * Return: 0, or with nothing changed -ENOENT (no such block), -EOPNOTSUPP (of another version), -EINVAL
 * (malformed, twice there, or no device can have that state), -ENOMEM.
 */
int state_load(const void *data, size_t len, const char *name, unsigned int instance,
	       const struct device_state *state, void *device)
{
	const struct state_field *field;
	struct block_header header;
	const uint8_t *payload;
	uint8_t *copy;
	int r;

	r = find_block(data, len, name, instance, &header, &payload);
	if (r)
		return r;
	if (header.version != state->version)
		return -EOPNOTSUPP;
	if (header.bytes - sizeof(header) != payload_bytes(state))
		return -EINVAL;
	copy = malloc(state->bytes);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, device, state->bytes);
	r = read_fields(state, payload, copy);
	if (!r && state->check)
		r = state->check(device, copy);
	if (!r) {
		for (field = state->fields; field->name; field++)
			memcpy((uint8_t *)device + field->offset, copy + field->offset, field_bytes(field));
		if (state->load)
			state->load(device);
	}
	free(copy);
	return r;
}

/**
 * state_count() - how many blocks there are
 * @data: blocks
 * @len: their length
 *
 * Return: that, or -EINVAL if they are malformed.
 */
int state_count(const void *data, size_t len)
{
	struct block_header header;
	ssize_t bytes;
	size_t at;
	int count = 0;

	for (at = 0; at < len; at += (size_t)bytes) {
		bytes = read_header(data, len, at, &header);
		if (bytes < 0)
			return -EINVAL;
		count++;
	}
	return count;
}

/**
 * state_list() - tell which blocks there are
 * @data: blocks
 * @len: their length
 *
 * Return: a list of objects with "name", "instance", "version" and "bytes", up to the first that is malformed; NULL: no memory.
 */
json_t *state_list(const void *data, size_t len)
{
	json_t *list = json_array();
	struct block_header header;
	ssize_t bytes;
	size_t at;

	for (at = 0; at < len; at += (size_t)bytes) {
		bytes = read_header(data, len, at, &header);
		if (bytes < 0)
			break;
		json_array_append_new(list, json_pack("{s:s,s:I,s:I,s:I}", "name", header.name, "instance",
						      (json_int_t)header.instance, "version",
						      (json_int_t)header.version, "bytes",
						      (json_int_t)bytes));
	}
	return list;
}

/**
 * state_buffer_free() - free a buffer
 * @buffer: empty afterwards
 */
void state_buffer_free(struct state_buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}

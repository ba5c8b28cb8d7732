// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes as what either side sends: frames are checked, taken in, and memory outside of the machine's is never touched. The
 * lengths of frames are cut to what is there, so that runs are well-formed more often.
 */
#include <stdlib.h>
#include <string.h>

#include "../vireo/migrate/wire.h"
#include "../vireo/util.h"

#define BYTES (2 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *expand(const struct wire_header *header, const uint8_t *data, size_t n, uint8_t *buffer)
{
	struct wire_pages run;

	if (header->type != WIRE_PAGES || n < sizeof(run))
		return data;
	memcpy(buffer, data, n < WIRE_FRAME_MAX ? n : WIRE_FRAME_MAX);
	return buffer;
}

/* What a destination says; a header of its own would not pass as the source's */
static void answer(const struct guest_memory *memory, const struct wire_header *header, const uint8_t *data, size_t n)
{
	char why[WIRE_TEXT_MAX + 1];
	struct wire_accept accept;
	struct wire_left left;
	struct wire_run run;

	switch (header->type) {
	case WIRE_ACCEPT:
		wire_check_accept(data, n, &accept, why);
		break;
	case WIRE_LEFT:
		wire_check_left(data, n, &left);
		break;
	case WIRE_MISSING:
	case WIRE_REQUEST:
		if (!wire_check_run(memory, header->type, data, n, &run) &&
		    run.first + run.count > memory->piece[run.piece].bytes / WIRE_PAGE)
			abort();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guest_memory memory;
	static uint8_t buffer[WIRE_FRAME_MAX];
	struct wire_intake intake;
	struct wire_header header;
	struct wire_hello hello;
	const uint8_t *payload;
	uint16_t version;
	size_t n;

	if (!memory.nr && memory_alloc(&memory, BYTES))
		abort();
	if (wire_intake_begin(&intake, &memory))
		abort();
	intake.may_miss = size & 1;
	while (size >= sizeof(header)) {
		memcpy(&header, data, sizeof(header));
		data += sizeof(header);
		size -= sizeof(header);
		if (!wire_check_header(&header, false))
			answer(&memory, &header, data, header.len < size ? header.len : size);
		if (wire_check_header(&header, true))
			continue;
		n = header.len < size ? header.len : size;
		payload = data;
		/* The contents of pages need not be in the input. */
		if (header.type == WIRE_PAGES)
			payload = expand(&header, data, n, buffer);
		if (payload == buffer)
			wire_intake(&intake, header.type, payload, header.len);
		else if (header.type == WIRE_HELLO)
			wire_check_hello(payload, n, &hello, &version);
		else
			wire_intake(&intake, header.type, payload, n);
		/* Runs carry little that is worth mutating behind their start. */
		if (header.type == WIRE_PAGES && n > sizeof(struct wire_pages))
			n = sizeof(struct wire_pages);
		data += n;
		size -= n;
	}
	wire_intake_missing(&intake);
	wire_intake_end(&intake);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A queue under any driver: the input is what the driver writes, where, and what the device does between.
 *
 * Memory ends where the sanitizer's guard begins, so that whatever is read or written outside of it is
 * found; so are segments outside of it, by name.
 */
#include <stdlib.h>
#include <string.h>

#include "../vireo/memory.h"
#include "../vireo/util.h"
#include "../vireo/virtio/queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES	8192
#define HELD	64

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void check_chain(const struct guest_memory *memory, const struct virtq *queue, const struct virtq_chain *chain)
{
	const struct memory_piece *piece = memory->piece;
	uint64_t read = 0, write = 0;
	unsigned int i;

	if (chain->nr_read + chain->nr_write > chain->room || !(chain->nr_read + chain->nr_write) ||
	    !chain->descriptors || chain->descriptors > queue->layout.size || queue->in_flight > queue->layout.size)
		abort();
	for (i = 0; i < chain->nr_read + chain->nr_write; i++) {
		const uint8_t *base = chain->iov[i].iov_base;
		size_t len = chain->iov[i].iov_len;

		if (!len || base < piece->hva || base > piece->hva + BYTES || len > (size_t)(piece->hva + BYTES - base) ||
		    virtq_gpa(queue, &chain->iov[i]) != (uint64_t)(base - piece->hva))
			abort();
		*(i < chain->nr_read ? &read : &write) += len;
	}
	if (read != chain->read_bytes || write != chain->write_bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_memory memory = { .nr = 1, .total = BYTES };
	struct virtq queue = { 0 };
	struct virtq_chain held[HELD];
	struct virtq_layout layout;
	struct iovec iov[64];
	unsigned int nr_held = 0, staged = 0;
	uint8_t *pages;
	size_t at;

	if (size < 16)
		return 0;
	/* As aligned as real memory is. */
	pages = aligned_alloc(4096, BYTES);
	if (!pages)
		abort();
	memset(pages, 0, BYTES);
	memory.piece[0].bytes = BYTES;
	memory.piece[0].hva = pages;
	layout = (struct virtq_layout){
		.size = data[0] & 0x80 ? get_le16(data) : 1 << (data[0] & 7),
		.packed = data[2] & 1, .event_idx = data[2] & 2, .indirect = data[2] & 4,
		.desc = get_le16(data + 4), .driver = get_le16(data + 6), .device = get_le16(data + 8),
	};
	if (data[2] & 8)
		layout.desc = 0, layout.driver = 2048, layout.device = 4096;
	if (data[2] & 16) {
		struct virtq_position from = { get_le16(data + 10), get_le16(data + 12), get_le16(data + 14), data[3] & 1 };

		virtq_start(&queue, &memory, &layout, &from);
	} else {
		virtq_start(&queue, &memory, &layout, NULL);
	}

	for (at = 16; at + 4 <= size; at += 4) {
		uint16_t where = get_le16(data + at + 2);
		uint8_t op = data[at], arg = data[at + 1];
		struct virtq_chain chain = { .iov = iov, .room = arg & 63 };
		size_t n;

		switch (op % 12) {
		case 0:
		case 1:		/* the driver writes what follows */
			n = least((size_t)arg % 65, size - at - 4);
			n = least(n, BYTES - where % BYTES);
			memcpy(pages + where % BYTES, data + at + 4, n);
			at += n;
			break;
		case 2:		/* a descriptor at hand becomes available */
			if (layout.packed)
				pages[(layout.desc + (where & 127) * 16 + 14) % BYTES] ^= 0x80;
			else
				pages[(layout.driver + 2) % BYTES] += arg & 3;
			break;
		case 3:
		case 4:
		case 5:
			if (virtq_pop(&queue, &chain) != 1)
				break;
			check_chain(&memory, &queue, &chain);
			/* What devices do: read, write, keep, or take back */
			iov_read(iov, chain.nr_read, where & 63, &n, sizeof(n));
			iov_write(iov + chain.nr_read, chain.nr_write, where & 63, &n, sizeof(n));
			if (op & 64)
				virtq_unpop(&queue, &chain);
			else if (nr_held == HELD)
				virtq_push(&queue, &chain, where);
			else
				held[nr_held++] = chain;
			break;
		case 6:
			if (nr_held && !staged)
				virtq_push(&queue, &held[--nr_held], where);
			break;
		case 7:
			for (staged = 0; nr_held && staged <= arg % 8U; staged++)
				virtq_stage(&queue, &held[--nr_held], where, staged);
			virtq_publish(&queue, staged);
			staged = 0;
			break;
		case 8:
			virtq_should_notify(&queue);
			break;
		case 9:
			virtq_want_kicks(&queue, arg & 1);
			break;
		case 10:
			virtq_has_chain(&queue);
			break;
		case 11:
			/* A pause, or a reset */
			virtq_stop(&queue);
			if (arg & 1) {
				virtq_start(&queue, &memory, &layout, &queue.at);
			} else {
				virtq_start(&queue, &memory, &layout, NULL);
				nr_held = 0;
			}
			break;
		}
		/* Nothing of it is touched any more. */
		if (queue.broken && (queue.desc || virtq_pop(&queue, &chain) == 1))
			abort();
	}
	free(pages);
	return 0;
}

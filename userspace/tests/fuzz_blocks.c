// SPDX-License-Identifier: GPL-2.0-only
/* Any bytes as a sequence of state blocks: the iterator stays inside. */
#include <stdlib.h>
#include <string.h>

#include "../lib/vireo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vireo_blocks blocks = { malloc(size ? size : 1), (uint32_t)size, (uint32_t)size, 0 };
	struct vireo_block *block = NULL;
	unsigned int sum = 0, i;

	memcpy(blocks.data, data, size);
	while ((block = vireo_blocks_next(&blocks, block))) {
		unsigned char *payload = vireo_block_payload(block, block->len);

		for (i = 0; i < block->len; i++)
			sum += payload[i];
	}
	vireo_blocks_find(&blocks, (uint16_t)sum);
	vireo_blocks_add(&blocks, 1, data, (uint32_t)size);
	vireo_blocks_free(&blocks);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "generation.h"
#include "util.h"

/**
 * generation_renew() - give a machine a new generation ID
 * @memory: the guest's
 *
 * Return: 0, or a negative errno.
 */
int generation_renew(struct guest_memory *memory)
{
	uint8_t id[GENERATION_BYTES];

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return -errno;
	return memory_write(memory, GENERATION_AT, id, sizeof(id));
}

/**
 * generation_text() - what it is
 * @memory: the guest's, who may have written something else
 * @text: GENERATION_TEXT bytes: a GUID, its first three numbers little-endian
 */
void generation_text(const struct guest_memory *memory, char *text)
{
	uint8_t id[GENERATION_BYTES] = { 0 };
	int i;

	memory_read(memory, GENERATION_AT, id, sizeof(id));
	text += sprintf(text, "%08x-%04x-%04x-%02x%02x-", get_le32(id), get_le16(id + 4), get_le16(id + 6), id[8],
			id[9]);
	for (i = 10; i < GENERATION_BYTES; i++)
		text += sprintf(text, "%02x", id[i]);
}

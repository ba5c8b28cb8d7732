// SPDX-License-Identifier: GPL-2.0-only
/* fw_cfg: items, directory, data port, DMA with hostile requests. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "follow.h"
#include "rig.h"
#include "tap.h"
#include "../vireo/util.h"
#include "../vireo/dev/fw_cfg.h"

#define REQUEST 0x3000

static struct rig rig;
static struct fw_cfg *fw_cfg;

static void choose(uint16_t key)
{
	bus_write(&rig.board.pio, 0x510, 2, key);
}

static uint64_t bytes(unsigned int n)
{
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		value |= (uint64_t)rig_in(&rig, 0x511) << (8 * i);
	return value;
}

static uint32_t dma(uint32_t control, uint32_t length, uint64_t address, uint64_t at)
{
	uint32_t request[4] = { htobe32(control), htobe32(length) };
	uint64_t where = htobe64(address);
	uint32_t status = 0;

	memcpy(request + 2, &where, sizeof(where));
	memory_write(&rig.memory, at, request, sizeof(request));
	bus_write(&rig.board.pio, 0x514, 4, htobe32((uint32_t)(at >> 32)));
	bus_write(&rig.board.pio, 0x518, 4, htobe32((uint32_t)at));
	memory_read(&rig.memory, at, &status, sizeof(status));
	return be32toh(status);
}

static void test_items(void)
{
	char name[57] = { 0 };

	choose(0);
	is(bytes(4), 0x554d4551, "signature");
	is(bytes(4), 0, "behind the end: zeros");
	choose(1);
	is(bytes(4), 3, "ID: ports and DMA");
	choose(5);
	is(bytes(2), 6, "number of processors");
	choose(3);
	is(bytes(8), 4 * MIB, "memory size");
	choose(0x3fff);
	is(bytes(2), 0, "no such item");
	choose(0xffff);
	is(bytes(2), 0, "nor such a one");

	is(fw_cfg_add_file(fw_cfg, "opt/a", "hello", 5), 0, "a file");
	is(fw_cfg_add_file(fw_cfg, "opt/a", "x", 1), -EEXIST, "the same name again");
	is(fw_cfg_add_file(fw_cfg, "", "x", 1), -EINVAL, "no name");
	memset(name, 'n', 56);
	is(fw_cfg_add_file(fw_cfg, name, "x", 1), -ENAMETOOLONG, "a name of 56 bytes");
	name[55] = '\0';
	is(fw_cfg_add_file(fw_cfg, name, "", 0), 0, "one of 55, with nothing in it");
	choose(0x19);
	is(be32toh((uint32_t)bytes(4)), 2, "the directory has two");
	is(be32toh((uint32_t)bytes(4)), 5, "the first one's size");
	is(be16toh((uint16_t)bytes(2)), 0x20, "its key");
	bytes(2);
	is(bytes(6), 0x612f74706f, "its name");
	choose(0x20);
	is(bytes(6), 0x6f6c6c6568, "its content");
	rig_out(&rig, 0x511, 1);
	choose(0x20);
	is(bytes(1), 'h', "writes are ignored");
}

static void test_dma(void)
{
	char text[8] = "";

	is(bus_read(&rig.board.pio, 0x514, 4), 0x554d4551, "signature of the DMA register");
	is(bus_read(&rig.board.pio, 0x518, 4), 0x47464320, "its second half");
	is(dma(0x20 << 16 | 8 | 2, 5, 0x5000, REQUEST), 0, "select and read");
	memory_read(&rig.memory, 0x5000, text, 6);
	is(strcmp(text, "hello"), 0, "the content");
	memory_write(&rig.memory, 0x5ffe, "    ", 4);
	follow_begin(&rig.memory);
	is(dma(0x20 << 16 | 8 | 2, 5, 0x5ffe, REQUEST), 0, "across two pages");
	is(follow_end(&rig.memory, NULL), 0, "which is told to a follower");
	is(dma(0x20 << 16 | 8 | 4, 2, 0, REQUEST), 0, "select and skip");
	is(dma(2, 6, 0x5000, REQUEST), 0, "read on, beyond the end");
	memory_read(&rig.memory, 0x5000, text, 6);
	is(memcmp(text, "llo\0\0\0", 6), 0, "zeros there");
	is(dma(4, 0xffffffff, 0, REQUEST), 0, "skip over the end");
	is(dma(2, 1, 0x5000, REQUEST), 0, "and read nothing more");
	is(dma(0x20 << 16 | 8 | 2, 5, 4 * MIB - 2, REQUEST), 1, "to where there is no memory");
	is(dma(0x20 << 16 | 8 | 2, 5, UINT64_MAX - 2, REQUEST), 1, "to an address that wraps");
	is(dma(0x20 << 16 | 8 | 2, 0xffffffff, 0x5000, REQUEST), 1, "too much");
	is(dma(0x20 << 16 | 8 | 0x10, 5, 0x5000, REQUEST), 1, "a write");
	is(dma(0x3fff << 16 | 8 | 2, 4, 0x5000, REQUEST), 0, "no such item: zeros");
	is(dma(0x20 << 16 | 8 | 2, 16, REQUEST, REQUEST), 0, "onto the request itself");
	bus_write(&rig.board.pio, 0x518, 4, htobe32(0xfffffff0));
	bus_write(&rig.board.pio, 0x514, 4, 0xffffffff);
	bus_write(&rig.board.pio, 0x518, 4, 0xffffffff);
	ok(true, "requests that are nowhere");
	bus_write(&rig.board.pio, 0x518, 1, 1);
	bus_write(&rig.board.pio, 0x511, 4, 1);
	ok(true, "odd widths");
}

int main(void)
{
	rig_init(&rig, 4 * MIB);
	fw_cfg_create(&rig.board, 6, &fw_cfg);
	test_items();
	test_dma();
	board_reset(&rig.board);
	is(bytes(4), 0x554d4551, "reset selects the signature");
	rig_destroy(&rig);
	return tap_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * fw_cfg at ports 0x510-0x51b, written from QEMU's specification of the device
 * (docs/specs/fw_cfg): a selector, a data port that reads the selected item
 * byte by byte, and a DMA interface that copies to guest memory.
 *
 * Items cannot be written. All of a DMA request comes from the guest: it is
 * copied out of guest memory once, and memory that is not there is an error
 * in its answer, as is a write.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fw_cfg.h"
#include "../memory.h"
#include "../state.h"
#include "../util.h"

#define OFFSET_SELECTOR	0
#define OFFSET_DATA	1
#define OFFSET_DMA	4	/* 64 bits, big-endian: high half, then low half */

#define KEY_WRITE	0x4000	/* obsolete: bit of the selector */
#define KEY_MASK	0x3fff
#define ITEMS		(FW_CFG_FILE_FIRST + FW_CFG_FILES_MAX)

#define ID_TRADITIONAL	0x01
#define ID_DMA		0x02

#define DMA_SIGNATURE	0x51454d5520434647ULL	/* "QEMU CFG" */
#define DMA_ERROR	0x01
#define DMA_READ	0x02
#define DMA_SKIP	0x04
#define DMA_SELECT	0x08
#define DMA_WRITE	0x10

struct item {
	uint8_t *data;
	uint32_t len;
};

/* An entry of the file directory, in big-endian. */
struct file {
	uint32_t size;
	uint16_t select;
	uint16_t reserved;
	char name[FW_CFG_NAME_MAX + 1];
};

_Static_assert(sizeof(struct file) == 64, "layout of the specification");

struct dma {
	uint32_t control;
	uint32_t length;
	uint64_t address;
};

_Static_assert(sizeof(struct dma) == 16, "layout of the specification");

struct fw_cfg {
	struct device device;
	struct item item[ITEMS];
	struct file dir[FW_CFG_FILES_MAX];
	unsigned int files;
	uint16_t selected;
	uint32_t at;
	uint64_t dma_address;
};

static const struct item *current(const struct fw_cfg *fw_cfg)
{
	static const struct item nothing;
	uint16_t key = fw_cfg->selected & KEY_MASK;

	return key < ITEMS ? &fw_cfg->item[key] : &nothing;
}

static void select_item(struct fw_cfg *fw_cfg, uint16_t key)
{
	fw_cfg->selected = key;
	fw_cfg->at = 0;
}

static uint8_t next_byte(struct fw_cfg *fw_cfg)
{
	const struct item *item = current(fw_cfg);

	return fw_cfg->at < item->len ? item->data[fw_cfg->at++] : 0;
}

/* What is beyond the item's end reads as zeros. */
static int copy_out(struct fw_cfg *fw_cfg, uint64_t address, uint32_t length)
{
	const struct item *item = current(fw_cfg);
	uint32_t left = item->len - fw_cfg->at;
	uint32_t n = length < left ? length : left;
	uint8_t *to = memory_ptr(fw_cfg->device.board->memory, address, length);

	if (!to)
		return -EFAULT;
	if (n)
		memcpy(to, item->data + fw_cfg->at, n);
	memset(to + n, 0, length - n);
	memory_written(fw_cfg->device.board->memory, to, length);
	fw_cfg->at += n;
	return 0;
}

static void run_dma(struct fw_cfg *fw_cfg)
{
	struct guest_memory *memory = fw_cfg->device.board->memory;
	uint64_t where = fw_cfg->dma_address;
	uint32_t control, length, left, status = 0;
	struct dma dma;

	fw_cfg->dma_address = 0;
	if (memory_read(memory, where, &dma, sizeof(dma)))
		return;		/* nowhere to say so */
	control = be32toh(dma.control);
	length = be32toh(dma.length);

	if (control & DMA_SELECT)
		select_item(fw_cfg, (uint16_t)(control >> 16));
	if (control & DMA_READ) {
		if (copy_out(fw_cfg, be64toh(dma.address), length))
			status = DMA_ERROR;
	} else if (control & DMA_WRITE) {
		status = DMA_ERROR;
	} else if (control & DMA_SKIP) {
		left = current(fw_cfg)->len - fw_cfg->at;
		fw_cfg->at += length < left ? length : left;
	}
	status = htobe32(status);
	memory_write(memory, where + offsetof(struct dma, control), &status, sizeof(status));
}

static uint64_t selector_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct fw_cfg *fw_cfg = opaque;
	uint64_t value = 0;
	unsigned int i;

	if (offset == OFFSET_DATA)
		return next_byte(fw_cfg);
	if (offset < OFFSET_DMA)
		return ~0ULL;
	/* Reading the DMA address gives a signature, in its big-endian order. */
	for (i = 0; i < size; i++)
		value |= (DMA_SIGNATURE >> (56 - 8 * (offset - OFFSET_DMA + i)) & 0xff) << (8 * i);
	return value;
}

static void selector_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct fw_cfg *fw_cfg = opaque;

	if (offset == OFFSET_SELECTOR && size == 2) {
		select_item(fw_cfg, (uint16_t)value);
	} else if (offset == OFFSET_DMA && size == 4) {
		fw_cfg->dma_address = (uint64_t)be32toh((uint32_t)value) << 32;
	} else if (offset == OFFSET_DMA + 4 && size == 4) {
		fw_cfg->dma_address |= be32toh((uint32_t)value);
		run_dma(fw_cfg);
	}
}

/**
 * fw_cfg_add() - add an item that is no file
 * @fw_cfg: the device
 * @key: its number, below FW_CFG_FILE_FIRST
 * @data: its content, copied
 * @len: length
 *
 * Return: 0, -EINVAL, -EEXIST or -ENOMEM.
 */
int fw_cfg_add(struct fw_cfg *fw_cfg, uint16_t key, const void *data, uint32_t len)
{
	struct item *item;

	if (key >= ITEMS)
		return -EINVAL;
	item = &fw_cfg->item[key];
	if (item->data)
		return -EEXIST;
	item->data = malloc(len ? len : 1);
	if (!item->data)
		return -ENOMEM;
	if (len)
		memcpy(item->data, data, len);
	item->len = len;
	return 0;
}

/* The directory is an item too: a count and the entries. */
static int write_directory(struct fw_cfg *fw_cfg)
{
	struct item *item = &fw_cfg->item[FW_CFG_FILE_DIR];
	uint32_t count = htobe32(fw_cfg->files);
	uint32_t len = (uint32_t)(sizeof(count) + fw_cfg->files * sizeof(struct file));
	uint8_t *data = realloc(item->data, len);

	if (!data)
		return -ENOMEM;
	memcpy(data, &count, sizeof(count));
	memcpy(data + sizeof(count), fw_cfg->dir, len - sizeof(count));
	item->data = data;
	item->len = len;
	return 0;
}

/**
 * fw_cfg_add_file() - add a file
 * @fw_cfg: the device
 * @name: its name, 1 to FW_CFG_NAME_MAX bytes
 * @data: its content, copied
 * @len: length
 *
 * Return: 0; -EEXIST (the name is taken), -ENAMETOOLONG, -EINVAL (no name),
 * -ENOSPC (too many files) or -ENOMEM.
 */
int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, uint32_t len)
{
	unsigned int i, key = FW_CFG_FILE_FIRST + fw_cfg->files;
	struct file *file;
	int r;

	if (!*name)
		return -EINVAL;
	if (strlen(name) > FW_CFG_NAME_MAX)
		return -ENAMETOOLONG;
	if (fw_cfg->files == FW_CFG_FILES_MAX)
		return -ENOSPC;
	for (i = 0; i < fw_cfg->files; i++)
		if (!strcmp(fw_cfg->dir[i].name, name))
			return -EEXIST;
	r = fw_cfg_add(fw_cfg, (uint16_t)key, data, len);
	if (r)
		return r;
	file = &fw_cfg->dir[fw_cfg->files++];
	file->size = htobe32(len);
	file->select = htobe16((uint16_t)key);
	strcpy(file->name, name);
	return write_directory(fw_cfg);
}

static void reset(struct device *device)
{
	struct fw_cfg *fw_cfg = container_of(device, struct fw_cfg, device);

	select_item(fw_cfg, 0);
	fw_cfg->dma_address = 0;
}

static void destroy(struct device *device)
{
	struct fw_cfg *fw_cfg = container_of(device, struct fw_cfg, device);
	unsigned int i;

	for (i = 0; i < ITEMS; i++)
		free(fw_cfg->item[i].data);
	free(fw_cfg);
}

/* The items are made from the configuration; only the position in them is state. */
static int check_state(const void *device, const void *loaded)
{
	const struct fw_cfg *fw_cfg = loaded;

	(void)device;
	return fw_cfg->at > current(fw_cfg)->len ? -EINVAL : 0;
}

static const struct state_field state_fields[] = {
	STATE_FIELD(struct fw_cfg, selected),
	STATE_FIELD(struct fw_cfg, at),
	STATE_FIELD(struct fw_cfg, dma_address),
	STATE_END,
};

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct fw_cfg),
	.fields = state_fields,
	.check = check_state,
};

static const struct device_ops fw_cfg_device_ops = { .reset = reset, .destroy = destroy, .state = &state };
static const struct bus_ops selector_ops = { selector_read, selector_write, 4 };

/**
 * fw_cfg_create() - plug in the device with its standard items
 * @board: the board
 * @cpus: number of processors
 * @out: the device, to add files to
 *
 * Return: 0, or a negative errno.
 */
int fw_cfg_create(struct board *board, unsigned int cpus, struct fw_cfg **out)
{
	struct fw_cfg *fw_cfg = calloc(1, sizeof(*fw_cfg));
	uint32_t id = ID_TRADITIONAL | ID_DMA;
	uint64_t ram = board->memory->total;
	uint16_t nr = (uint16_t)cpus, yes = 1, no = 0;
	uint8_t uuid[16] = { 0 };
	int r;

	if (!fw_cfg)
		return -ENOMEM;
	board_plug(board, &fw_cfg->device, "fw_cfg", &fw_cfg_device_ops);
	reset(&fw_cfg->device);
	r = fw_cfg_add(fw_cfg, FW_CFG_SIGNATURE, "QEMU", 4);
	if (!r)
		r = fw_cfg_add(fw_cfg, FW_CFG_ID, &id, sizeof(id));
	if (!r)
		r = fw_cfg_add(fw_cfg, FW_CFG_UUID, uuid, sizeof(uuid));
	if (!r)
		r = fw_cfg_add(fw_cfg, FW_CFG_RAM_SIZE, &ram, sizeof(ram));
	if (!r)
		r = fw_cfg_add(fw_cfg, FW_CFG_NOGRAPHIC, &yes, sizeof(yes));
	if (!r)
		r = fw_cfg_add(fw_cfg, FW_CFG_NB_CPUS, &nr, sizeof(nr));
	if (!r)
		r = fw_cfg_add(fw_cfg, FW_CFG_BOOT_MENU, &no, sizeof(no));
	if (!r)
		r = fw_cfg_add(fw_cfg, FW_CFG_MAX_CPUS, &nr, sizeof(nr));
	if (!r)
		r = write_directory(fw_cfg);
	if (!r)
		r = bus_claim(&board->pio, FW_CFG_PORT, FW_CFG_PORTS, &selector_ops, fw_cfg);
	if (!r)
		*out = fw_cfg;
	return r;
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * State of VMs and vCPUs as a sequence of self-describing blocks.
 *
 * A builder (vireo_blocks_add) and an iterator (vireo_blocks_next) over one
 * buffer in exactly the form that the ioctls take, so that what was read can
 * be kept, written to a file, or set again without a conversion. The iterator
 * trusts nothing: a block whose length points outside the buffer ends it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "sys.h"

#define BLOCK_ALIGN	8U
/* A state block sequence has no business being larger; keeps sums in 32 bits. */
#define BLOCKS_MAX	(1U << 24)

_Static_assert(sizeof(struct vireo_block) == 8, "the header is one unit of alignment");

static uint32_t padded(uint32_t len)
{
	return (len + BLOCK_ALIGN - 1) & ~(BLOCK_ALIGN - 1);
}

static int reserve(struct vireo_blocks *blocks, uint32_t room)
{
	unsigned char *data;

	if (room <= blocks->room)
		return 0;
	if (room > BLOCKS_MAX)
		return -E2BIG;
	data = realloc(blocks->data, room);
	if (!data)
		return -ENOMEM;
	blocks->data = data;
	blocks->room = room;
	return 0;
}

/**
 * vireo_blocks_free() - release the buffer
 * @blocks: the sequence; it is empty and usable afterwards
 */
void vireo_blocks_free(struct vireo_blocks *blocks)
{
	free(blocks->data);
	*blocks = (struct vireo_blocks)VIREO_BLOCKS_INIT;
}

/**
 * vireo_blocks_add() - append a block
 * @blocks: the sequence
 * @type: &enum vireo_block_type
 * @payload: what it holds, or NULL for zeros that the caller fills in
 * @len: its length
 *
 * Return: the payload inside the sequence, valid until the next addition;
 * NULL after an error, which @blocks->error keeps.
 */
void *vireo_blocks_add(struct vireo_blocks *blocks, uint16_t type, const void *payload,
		       uint32_t len)
{
	struct vireo_block header = { .type = type, .version = 1, .len = len };
	uint32_t start = padded(blocks->len);
	unsigned char *at;

	if (blocks->error)
		return NULL;
	if (len > BLOCKS_MAX - sizeof(header) - BLOCK_ALIGN - start) {
		blocks->error = -E2BIG;
		return NULL;
	}
	blocks->error = reserve(blocks, start + (uint32_t)sizeof(header) + padded(len));
	if (blocks->error)
		return NULL;

	memset(blocks->data + blocks->len, 0, start - blocks->len);
	memcpy(blocks->data + start, &header, sizeof(header));
	at = blocks->data + start + sizeof(header);
	memset(at, 0, padded(len));
	if (payload)
		memcpy(at, payload, len);
	blocks->len = start + (uint32_t)sizeof(header) + padded(len);
	return at;
}

/**
 * vireo_blocks_next() - walk through the blocks
 * @blocks: the sequence
 * @previous: the block before, or NULL for the first
 *
 * Return: the next block, complete within the sequence; NULL at its end.
 */
struct vireo_block *vireo_blocks_next(const struct vireo_blocks *blocks,
				      const struct vireo_block *previous)
{
	uint64_t at = 0;
	struct vireo_block *block;

	if (previous) {
		at = (uint64_t)((const unsigned char *)previous - blocks->data) +
		     sizeof(*previous) + previous->len;
		at = (at + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
	}
	if (at + sizeof(*block) > blocks->len)
		return NULL;
	block = (struct vireo_block *)(blocks->data + at);
	if (at + sizeof(*block) + block->len > blocks->len)
		return NULL;
	return block;
}

/**
 * vireo_blocks_find() - first block of a type
 * @blocks: the sequence
 * @type: &enum vireo_block_type
 *
 * Return: the block, or NULL.
 */
struct vireo_block *vireo_blocks_find(const struct vireo_blocks *blocks, uint16_t type)
{
	struct vireo_block *block = NULL;

	while ((block = vireo_blocks_next(blocks, block)))
		if (block->type == type)
			return block;
	return NULL;
}

/**
 * vireo_block_payload() - what a block holds
 * @block: the block, may be NULL
 * @at_least: bytes that the caller is going to look at
 *
 * Return: the payload, or NULL if there is no block or it is shorter.
 */
void *vireo_block_payload(struct vireo_block *block, uint32_t at_least)
{
	if (!block || block->len < at_least)
		return NULL;
	return block + 1;
}

/*
 * What is in @blocks goes in with the call: a VIREO_BLOCK_MSRS block there
 * says which MSRs are wanted. The kernel says how much room it needs, but that
 * can have grown until the second try: hence a few more.
 */
static int get_state(int fd, uint64_t types, struct vireo_blocks *blocks)
{
	struct vireo_block *ask = vireo_blocks_find(blocks, VIREO_BLOCK_MSRS);
	uint32_t ask_len = ask ? (uint32_t)sizeof(*ask) + padded(ask->len) : 0;
	unsigned char *request = NULL;
	uint32_t room = ask_len + 1024;
	int r, tries;

	if (blocks->error)
		return blocks->error;
	if (ask) {
		request = malloc(ask_len);
		if (!request)
			return -ENOMEM;
		memcpy(request, ask, sizeof(*ask) + ask->len);
		memset(request + sizeof(*ask) + ask->len, 0,
		       ask_len - sizeof(*ask) - ask->len);
	}

	for (tries = 0; ; tries++) {
		struct vireo_state arg = { .size = sizeof(arg), .types = types };

		r = reserve(blocks, room);
		if (r)
			break;
		memset(blocks->data, 0, blocks->room);
		if (request)
			memcpy(blocks->data, request, ask_len);
		arg.buf = (uintptr_t)blocks->data;
		arg.len = blocks->room;
		r = vireo_sys_ioctl(fd, VIREO_GET_STATE, &arg);
		if (!r) {
			blocks->len = arg.len <= blocks->room ? arg.len : 0;
			break;
		}
		if (r != -ENOSPC || tries == 4)
			break;
		room = arg.len > blocks->room ? arg.len : blocks->room * 2;
	}
	if (r)
		blocks->len = 0;
	free(request);
	return r;
}

static int set_state(int fd, const struct vireo_blocks *blocks)
{
	struct vireo_state arg = {
		.size = sizeof(arg),
		.buf = (uintptr_t)blocks->data,
		.len = blocks->len,
	};

	if (blocks->error)
		return blocks->error;
	return vireo_sys_ioctl(fd, VIREO_SET_STATE, &arg);
}

/**
 * vireo_vcpu_get_state() - read state of a processor
 * @vcpu: the processor, not running
 * @types: bit (1 << type) for each block wanted
 * @blocks: receives the blocks in place of what it had; if that was a
 *	    VIREO_BLOCK_MSRS block, only the MSRs listed there are read
 *
 * Return: 0, or the errno of VIREO_GET_STATE.
 */
int vireo_vcpu_get_state(struct vireo_vcpu *vcpu, uint64_t types, struct vireo_blocks *blocks)
{
	return get_state(vcpu->fd, types, blocks);
}

/**
 * vireo_vcpu_set_state() - write state of a processor
 * @vcpu: the processor, not running
 * @blocks: the blocks; all of them or none take effect
 *
 * Return: 0, @blocks->error, or the errno of VIREO_SET_STATE.
 */
int vireo_vcpu_set_state(struct vireo_vcpu *vcpu, const struct vireo_blocks *blocks)
{
	return set_state(vcpu->fd, blocks);
}

/**
 * vireo_vm_get_state() - read state of a virtual machine
 * @vm: the machine
 * @types: bit (1 << type) for each block wanted
 * @blocks: receives the blocks in place of what it had
 *
 * Return: 0, or the errno of VIREO_GET_STATE.
 */
int vireo_vm_get_state(struct vireo_vm *vm, uint64_t types, struct vireo_blocks *blocks)
{
	return get_state(vm->fd, types, blocks);
}

/**
 * vireo_vm_set_state() - write state of a virtual machine
 * @vm: the machine
 * @blocks: the blocks; all of them or none take effect
 *
 * Return: 0, @blocks->error, or the errno of VIREO_SET_STATE.
 */
int vireo_vm_set_state(struct vireo_vm *vm, const struct vireo_blocks *blocks)
{
	return set_state(vm->fd, blocks);
}

static int get_one(struct vireo_vcpu *vcpu, uint16_t type, void *out, uint32_t len)
{
	struct vireo_blocks blocks = VIREO_BLOCKS_INIT;
	void *payload;
	int r;

	r = vireo_vcpu_get_state(vcpu, 1ULL << type, &blocks);
	if (!r) {
		payload = vireo_block_payload(vireo_blocks_find(&blocks, type), len);
		if (payload)
			memcpy(out, payload, len);
		else
			r = -EPROTO;
	}
	vireo_blocks_free(&blocks);
	return r;
}

static int set_one(struct vireo_vcpu *vcpu, uint16_t type, const void *in, uint32_t len)
{
	struct vireo_blocks blocks = VIREO_BLOCKS_INIT;
	int r;

	vireo_blocks_add(&blocks, type, in, len);
	r = vireo_vcpu_set_state(vcpu, &blocks);
	vireo_blocks_free(&blocks);
	return r;
}

/**
 * vireo_vcpu_get_regs() - read the general registers
 * @vcpu: the processor, not running
 * @regs: receives them
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_get_regs(struct vireo_vcpu *vcpu, struct vireo_regs *regs)
{
	return get_one(vcpu, VIREO_BLOCK_REGS, regs, sizeof(*regs));
}

/**
 * vireo_vcpu_set_regs() - write the general registers
 * @vcpu: the processor, not running
 * @regs: their values
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_set_regs(struct vireo_vcpu *vcpu, const struct vireo_regs *regs)
{
	return set_one(vcpu, VIREO_BLOCK_REGS, regs, sizeof(*regs));
}

/**
 * vireo_vcpu_get_sregs() - read the system registers
 * @vcpu: the processor, not running
 * @sregs: receives them
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_get_sregs(struct vireo_vcpu *vcpu, struct vireo_sregs *sregs)
{
	return get_one(vcpu, VIREO_BLOCK_SREGS, sregs, sizeof(*sregs));
}

/**
 * vireo_vcpu_set_sregs() - write the system registers
 * @vcpu: the processor, not running
 * @sregs: their values
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_set_sregs(struct vireo_vcpu *vcpu, const struct vireo_sregs *sregs)
{
	return set_one(vcpu, VIREO_BLOCK_SREGS, sregs, sizeof(*sregs));
}

/**
 * vireo_vcpu_get_events() - read the events in flight
 * @vcpu: the processor, not running
 * @events: receives them
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_get_events(struct vireo_vcpu *vcpu, struct vireo_events *events)
{
	return get_one(vcpu, VIREO_BLOCK_EVENTS, events, sizeof(*events));
}

/**
 * vireo_vcpu_set_events() - write the events in flight
 * @vcpu: the processor, not running
 * @events: their values
 *
 * Return: 0, or a negative errno.
 */
int vireo_vcpu_set_events(struct vireo_vcpu *vcpu, const struct vireo_events *events)
{
	return set_one(vcpu, VIREO_BLOCK_EVENTS, events, sizeof(*events));
}

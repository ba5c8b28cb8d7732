// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Dirty tracking: which pages of a region were written; and snapshots.
 */
#include "internal.h"
#include "sys.h"

/**
 * vireo_vm_set_tracking() - follow the writes to a region, or stop that
 * @vm: the machine
 * @slot: region
 * @consumer: who asks, 0 to VIREO_TRACK_CONSUMERS - 1
 * @on: follow them from now on; else no more
 *
 * Return: 0, or the errno of VIREO_SET_TRACKING.
 */
int vireo_vm_set_tracking(struct vireo_vm *vm, unsigned int slot, unsigned int consumer, bool on)
{
	struct vireo_tracking arg = {
		.size = sizeof(arg),
		.slot = slot,
		.consumer = consumer,
		.on = on,
	};

	return vireo_sys_ioctl(vm->fd, VIREO_SET_TRACKING, &arg);
}

/**
 * vireo_vm_get_dirty() - what was written since the consumer last heard of it
 * @vm: the machine
 * @slot: region
 * @consumer: who asks
 * @first: first page of the region to ask for, a multiple of 64
 * @pages: how many pages
 * @bitmap: a bit for each page; those of pages that were written are set, others stay as they are
 * @found: how many were written, on success; may be NULL
 *
 * Return: 0, or the errno of VIREO_GET_DIRTY.
 */
int vireo_vm_get_dirty(struct vireo_vm *vm, unsigned int slot, unsigned int consumer, uint64_t first,
		       uint64_t pages, uint64_t *bitmap, uint64_t *found)
{
	struct vireo_dirty_log arg = {
		.size = sizeof(arg),
		.slot = slot,
		.consumer = consumer,
		.first = first,
		.pages = pages,
		.bitmap = (uintptr_t)bitmap,
	};
	int r = vireo_sys_ioctl(vm->fd, VIREO_GET_DIRTY, &arg);

	if (!r && found)
		*found = arg.found;
	return r;
}

/**
 * vireo_vm_mark_dirty() - tell all consumers of a write of the launcher's, after it
 * @vm: the machine
 * @gpa: guest-physical address of the first byte
 * @bytes: how many, not 0
 *
 * Return: 0, or the errno of VIREO_MARK_DIRTY.
 */
int vireo_vm_mark_dirty(struct vireo_vm *vm, uint64_t gpa, uint64_t bytes)
{
	struct vireo_dirty_range arg = { .size = sizeof(arg), .gpa = gpa, .bytes = bytes };

	return vireo_sys_ioctl(vm->fd, VIREO_MARK_DIRTY, &arg);
}

/**
 * vireo_vm_will_write() - have memory kept for the newest snapshot, before a write of the launcher's
 * @vm: the machine
 * @gpa: guest-physical address of the first byte
 * @bytes: how many, not 0
 *
 * Return: 0, also if there is no snapshot, or the errno of VIREO_MARK_DIRTY.
 */
int vireo_vm_will_write(struct vireo_vm *vm, uint64_t gpa, uint64_t bytes)
{
	struct vireo_dirty_range arg = {
		.size = sizeof(arg),
		.flags = VIREO_DIRTY_BEFORE,
		.gpa = gpa,
		.bytes = bytes,
	};

	return vireo_sys_ioctl(vm->fd, VIREO_MARK_DIRTY, &arg);
}

/**
 * vireo_vm_snapshot() - remember memory and state of a virtual machine
 * @vm: the machine; no processor is running
 * @flags: VIREO_SNAPSHOT_*
 * @id: number of the snapshot, on success
 *
 * Return: 0, or the errno of VIREO_SNAPSHOT.
 */
int vireo_vm_snapshot(struct vireo_vm *vm, uint32_t flags, uint32_t *id)
{
	struct vireo_snapshot arg = { .size = sizeof(arg), .flags = flags };
	int r = vireo_sys_ioctl(vm->fd, VIREO_SNAPSHOT, &arg);

	if (!r)
		*id = arg.id;
	return r;
}

/**
 * vireo_vm_rollback() - bring a virtual machine back to a snapshot
 * @vm: the machine; no processor is running
 * @id: the snapshot, 0: the newest
 * @result: what was copied and, with -EIO, what differs; may be NULL
 *
 * Return: 0, or the errno of VIREO_ROLLBACK.
 */
int vireo_vm_rollback(struct vireo_vm *vm, uint32_t id, struct vireo_snapshot *result)
{
	struct vireo_snapshot arg = { .size = sizeof(arg), .id = id };
	int r = vireo_sys_ioctl(vm->fd, VIREO_ROLLBACK, &arg);

	if (result)
		*result = arg;
	return r;
}

/**
 * vireo_vm_drop_snapshot() - forget a snapshot, and leave the virtual machine as it is
 * @vm: the machine; no processor is running
 * @id: the snapshot, 0: the newest
 *
 * Return: 0, or the errno of VIREO_DROP_SNAPSHOT.
 */
int vireo_vm_drop_snapshot(struct vireo_vm *vm, uint32_t id)
{
	struct vireo_snapshot arg = { .size = sizeof(arg), .id = id };

	return vireo_sys_ioctl(vm->fd, VIREO_DROP_SNAPSHOT, &arg);
}

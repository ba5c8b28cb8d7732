// SPDX-License-Identifier: GPL-2.0-only
/* libvireo: blocks, names, errors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake_module.h"
#include "tap.h"
#include "../lib/vireo.h"

static void test_blocks(void)
{
	struct vireo_blocks blocks = VIREO_BLOCKS_INIT;
	struct vireo_block *block;
	unsigned int n = 0;
	uint32_t *p;

	ok(!vireo_blocks_next(&blocks, NULL), "an empty sequence has no block");
	p = vireo_blocks_add(&blocks, 3, "abc", 3);
	ok(p && !memcmp(p, "abc", 3), "a block is added");
	is(blocks.len, 16, "padded to eight bytes");
	p = vireo_blocks_add(&blocks, 5, NULL, 20);
	ok(p && !p[0] && !p[4], "without payload it is zero");
	p[4] = 7;
	vireo_blocks_add(&blocks, 6, NULL, 0);
	for (block = NULL; (block = vireo_blocks_next(&blocks, block));)
		n++;
	is(n, 3, "the iterator finds all three");
	block = vireo_blocks_find(&blocks, 5);
	ok(block && block->len == 20, "find by type");
	p = vireo_block_payload(block, 20);
	is(p ? p[4] : 0, 7, "payload");
	ok(!vireo_block_payload(block, 21), "a payload that is too short is none");
	ok(!vireo_block_payload(NULL, 0), "no block, no payload");
	block->len = 1000;
	ok(!vireo_blocks_find(&blocks, 6), "a length that points outside ends the walk");
	block->len = 0xfffffff8;
	ok(!vireo_blocks_find(&blocks, 6), "also one that wraps");
	ok(!vireo_blocks_add(&blocks, 7, NULL, 0xfffffff0), "too large a block is refused");
	is(blocks.error, (uint64_t)-E2BIG, "and remembered");
	ok(!vireo_blocks_add(&blocks, 7, "x", 1), "nothing is added after an error");
	vireo_blocks_free(&blocks);
	is(blocks.len + blocks.room, 0, "free empties");
}

static void test_names(void)
{
	unsigned int i, missing = 0;

	is(strcmp(vireo_exit_name(VIREO_EXIT_CPUID), "cpuid"), 0, "name of an exit");
	is(strcmp(vireo_exit_name(50), "unknown"), 0, "a gap has no name");
	is(strcmp(vireo_exit_name(100000), "unknown"), 0, "nor has a large number");
	for (i = 0; i < VIREO_EXIT_HARDWARE_NR; i++)
		missing += !strcmp(vireo_exit_name(i), "unknown");
	for (i = VIREO_EXIT_MMIO; i < VIREO_EXIT_REASON_NR; i++)
		missing += !strcmp(vireo_exit_name(i), "unknown");
	is(missing, 0, "every exit reason has a name");
	for (i = 0; 1ULL << i <= VIREO_FEATURE_HYBRID; i++)
		missing += !strcmp(vireo_feature_name(i), "unknown");
	for (i = 0; 1ULL << i <= VIREO_MITIGATION_L1D_FLUSH; i++)
		missing += !strcmp(vireo_mitigation_name(i), "unknown");
	for (i = 1; i < VIREO_BLOCK_NR; i++)
		missing += !strcmp(vireo_block_name(i), "unknown");
	is(missing, 0, "every feature, mitigation and block too");
	is(strcmp(vireo_feature_name(63), "unknown"), 0, "unknown feature");
	is(strcmp(vireo_mitigation_text(63), "unknown to this version"), 0, "unknown mitigation");
}

static void test_open(void)
{
	struct vireo *vireo = NULL;

	fake_reset();
	fake.open_error = -ENOENT;
	is(vireo_open(NULL, &vireo), -ENOENT, "no device");
	fake.open_error = 0;
	fake.info.abi = 99;
	is(vireo_open(NULL, &vireo), -EPROTO, "another ABI");
	is(fake.open_fds, 0, "closed again");
	fake.info.abi = VIREO_ABI_VERSION;
	fake.info.run_size = 16;
	is(vireo_open(NULL, &vireo), -EPROTO, "a shared page that is too small");
	fake.info.run_size = VIREO_RUN_SIZE;
	memset(fake.info.version, 'v', sizeof(fake.info.version));
	is(vireo_open(NULL, &vireo), 0, "opened");
	is(strlen(vireo_get_info(vireo)->version), 31, "the version is terminated");
	vireo_close(vireo);
	vireo_close(NULL);
	is(fake.open_fds, 0, "all closed");
}

static void test_vm(void)
{
	struct vireo_blocks blocks = VIREO_BLOCKS_INIT;
	struct vireo_cpuid_entry entries[128];
	unsigned int count = 1;
	struct vireo *vireo;
	struct vireo_vm *vm;
	struct vireo_vcpu *vcpu;
	struct vireo_regs regs;
	struct vireo_sregs sregs;

	fake_reset();
	vireo_open(NULL, &vireo);
	is(vireo_supported_cpuid(vireo, entries, &count), -ENOSPC, "too little room for CPUID");
	is(count, 10, "says how much is needed");
	count = 128;
	is(vireo_supported_cpuid(vireo, entries, &count), 0, "enough");
	is(vireo_vm_create(vireo, "a name that is longer than thirty-one", 0, &vm),
	   -ENAMETOOLONG, "a long name");
	is(vireo_vm_create(vireo, "one", 0, &vm), 0, "a VM");
	is(strcmp(fake.name, "one"), 0, "with its name");
	is(vireo_vm_set_region(vm, 0, 0, 0, 4096, (void *)0x10000), 0, "a region");
	is(vireo_vm_set_region(vm, 1, 0, 0, 4096, (void *)0x10000), -EEXIST, "an overlap");
	is(vireo_vcpu_create(vm, 0, &vcpu), 0, "a vCPU");
	is(vireo_vcpu_get_regs(vcpu, &regs), 0, "registers");
	is(regs.rip, 0xfff0, "as after power-on");
	regs.rip = 0x1234;
	is(vireo_vcpu_set_regs(vcpu, &regs), 0, "set");
	vireo_vcpu_get_regs(vcpu, &regs);
	is(regs.rip, 0x1234, "and read back");
	is(vireo_vcpu_get_sregs(vcpu, &sregs), 0, "system registers");
	is(sregs.cr0, 0x60000010, "as after power-on");
	is(vireo_vcpu_get_state(vcpu, 0xfe, &blocks), 0, "all blocks, more than the first try has room for");
	ok(vireo_blocks_find(&blocks, VIREO_BLOCK_LAPIC), "with the local APIC");
	is(vireo_vcpu_set_state(vcpu, &blocks), 0, "and back");
	blocks.error = -ENOMEM;
	is(vireo_vcpu_set_state(vcpu, &blocks), -ENOMEM, "a builder's error comes out at the end");
	vireo_blocks_free(&blocks);
	is(fake.bad, 0, "no bad argument");
	vireo_vcpu_destroy(vcpu);
	vireo_vm_destroy(vm);
	vireo_close(vireo);
	is(fake.open_fds, 0, "all closed");
}

static void test_tracking(void)
{
	uint64_t bitmap[2] = { 2, 0 }, found = 0;
	struct vireo *vireo;
	struct vireo_vm *vm;

	fake_reset();
	vireo_open(NULL, &vireo);
	vireo_vm_create(vireo, NULL, 0, &vm);
	is(vireo_vm_set_tracking(vm, 3, 2, true), 0, "a region is followed");
	ok(fake.tracking.slot == 3 && fake.tracking.consumer == 2 && fake.tracking.on == 1, "the one, by the one");
	is(vireo_vm_set_tracking(vm, 3, 2, false), 0, "no more");
	is(fake.tracking.on, 0, "so it was asked");
	is(vireo_vm_get_dirty(vm, 3, 2, 128, 100, bitmap, &found), 0, "what was written");
	ok(bitmap[0] == 3 && bitmap[1] == 1 && found == 2, "is added to the bitmap");
	ok(fake.dirty_log.slot == 3 && fake.dirty_log.consumer == 2 && fake.dirty_log.first == 128 &&
	   fake.dirty_log.pages == 100, "of these pages");
	is(vireo_vm_get_dirty(vm, 3, 2, 0, 64, bitmap, NULL), 0, "also without the number");
	found = 99;
	is(vireo_vm_get_dirty(vm, 3, 2, 1, 64, bitmap, &found), -EINVAL, "refused");
	is(found, 99, "nothing is told then");
	is(vireo_vm_mark_dirty(vm, 0x1234, 77), 0, "a write of the launcher's");
	ok(fake.dirty_range.gpa == 0x1234 && fake.dirty_range.bytes == 77, "is told of");
	vireo_vm_destroy(vm);
	vireo_close(vireo);
}

static void test_snapshots(void)
{
	struct vireo_snapshot result;
	struct vireo *vireo;
	struct vireo_vm *vm;
	uint32_t id = 0;

	fake_reset();
	vireo_open(NULL, &vireo);
	vireo_vm_create(vireo, NULL, 0, &vm);
	is(vireo_vm_snapshot(vm, VIREO_SNAPSHOT_VERIFY, &id), 0, "a snapshot");
	ok(id == 7 && fake.snapshot.flags == VIREO_SNAPSHOT_VERIFY, "has a number, and is as wanted");
	is(vireo_vm_rollback(vm, id, &result), 0, "back to it");
	ok(fake.snapshot_call == VIREO_ROLLBACK && result.pages == 5, "says how many pages that took");
	is(vireo_vm_rollback(vm, 8, NULL), -ENOENT, "not to another one");
	is(vireo_vm_drop_snapshot(vm, id), 0, "forgotten");
	ok(fake.snapshot_call == VIREO_DROP_SNAPSHOT && fake.snapshot.id == 7, "that one");
	is(vireo_vm_will_write(vm, 0x3000, 9), 0, "a write to come");
	ok(fake.dirty_range.gpa == 0x3000 && fake.dirty_range.bytes == 9 &&
	   fake.dirty_range.flags == VIREO_DIRTY_BEFORE, "is announced");
	is(vireo_vm_mark_dirty(vm, 0x3000, 9), 0, "one that was");
	is(fake.dirty_range.flags, 0, "is not");
	is(fake.bad, 0, "no bad argument");
	vireo_vm_destroy(vm);
	vireo_close(vireo);
}

static void test_rings(void)
{
	struct vireo_ring *ring = NULL, *other = NULL;
	struct vireo_dirty_ring *page;
	uint64_t entries[3], pages = 99, *entry;
	struct vireo_vcpu *vcpu;
	struct vireo *vireo;
	struct vireo_vm *vm;
	unsigned int i;

	fake_reset();
	vireo_open(NULL, &vireo);
	vireo_vm_create(vireo, NULL, 0, &vm);
	vireo_vcpu_create(vm, 0, &vcpu);
	is(vireo_ring_create(vcpu, 0, 1024, &ring), -EINVAL, "a ring that the module refuses");
	is(vireo_ring_create(vcpu, 1, 0, &ring), -EINVAL, "none without entries");
	is(vireo_ring_create(vcpu, 1, 1024, &ring), 0, "a ring");
	is(vireo_ring_create(vcpu, 1, 1024, &other), -EEXIST, "not two");
	page = fake.vcpu[0].ring;
	entry = (uint64_t *)((char *)page + VIREO_RING_ENTRIES);
	is(vireo_ring_read(ring, entries, 3), 0, "it is empty");
	for (i = 0; i < 5; i++)
		entry[(1022 + i) % 1024] = 100 + i;
	page->tail = 0xfffffffe;	/* 1022 modulo 1024: about to begin again */
	page->head = 3;
	is(vireo_ring_read(ring, entries, 3), 3, "as many as there is room for");
	ok(entries[0] == 100 && entries[2] == 102 && page->tail == 1, "round its end, in order");
	is(vireo_ring_read(ring, entries, 3), 2, "then the others");
	ok(entries[0] == 103 && entries[1] == 104 && page->tail == 3, "and no more");
	is(vireo_vm_reset_rings(vm, 1, &pages), 0, "they are told again");
	is(pages, 3, "with their number");
	is(vireo_vm_reset_rings(vm, 2, NULL), -EINVAL, "not those of somebody else");
	ok(!vireo_ring_lost(ring), "nothing is lost");
	page->flags = VIREO_RING_LOST | 4;
	ok(vireo_ring_lost(ring) && page->flags == 4, "a page that found no room");
	ok(!vireo_ring_lost(ring), "is told of once");
	page->head = page->tail + 5000;
	is(vireo_ring_read(ring, entries, 3), 3, "a head that is nonsense leads nowhere else");
	vireo_ring_destroy(ring);
	is(fake.vcpu[0].ring_entries, 0, "gone");
	vireo_ring_destroy(NULL);
	is(fake.bad, 0, "no bad argument");
	vireo_vcpu_destroy(vcpu);
	vireo_vm_destroy(vm);
	vireo_close(vireo);
}

int main(void)
{
	test_blocks();
	test_names();
	test_open();
	test_vm();
	test_tracking();
	test_snapshots();
	test_rings();
	return tap_done();
}

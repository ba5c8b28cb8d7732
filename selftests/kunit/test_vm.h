/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM without a processor, for tests of regions, walker and nested tables.
 *
 * Its memory is real user memory: KUnit gives the test's thread an mm of its own.
 * It has no vCPU that others could find, so requests to all vCPUs are no-ops.
 */
#ifndef VIREO_TEST_VM_H
#define VIREO_TEST_VM_H

#include <kunit/test.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../../kmod/mmu/mmu.h"
#include "../../kmod/mmu/notifier.h"
#include "../../kmod/mmu/tdp.h"
#include "../../kmod/region.h"

extern struct kunit_suite vireo_region_suite, vireo_mmu_suite, vireo_walk_suite;

struct test_vm {
	struct vireo_vm vm;
	struct vireo_vcpu vcpu;
	struct vireo_tdp_format format;
	struct vireo_caps caps;
	bool notified;
};

static inline int test_vm_create(struct kunit *test, struct test_vm **result,
				 const struct vireo_caps *caps)
{
	struct test_vm *t = kvzalloc(sizeof(*t), GFP_KERNEL);
	struct vireo_vm *vm;

	*result = NULL;
	KUNIT_ASSERT_NOT_NULL(test, t);
	vm = &t->vm;
	t->caps = *caps;
	vm->cpu = alloc_percpu(struct vireo_vm_cpu);
	KUNIT_ASSERT_NOT_NULL(test, vm->cpu);
	mutex_init(&vm->lock);
	INIT_LIST_HEAD(&vm->points);
	rwlock_init(&vm->mmu.lock);
	KUNIT_ASSERT_EQ(test, init_srcu_struct(&vm->srcu), 0);
	vireo_tdp_format(&t->format, caps, false, 0);
	KUNIT_ASSERT_EQ(test, vireo_regions_create(vm), 0);
	KUNIT_ASSERT_EQ(test, vireo_tdp_create(&vm->mmu, &t->format), 0);
	t->vcpu.vm = vm;
	t->vcpu.run = (void *)get_zeroed_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->vcpu.run);
	t->vcpu.caps.phys_bits = 40;
	t->vcpu.caps.phys_mask = BIT_ULL(40) - 1;
	t->vcpu.caps.gbpages = true;
	t->vcpu.caps.nx = true;
	*result = t;
	return 0;
}

static inline void test_vm_destroy(struct test_vm *t)
{
	struct vireo_vm *vm = &t->vm;

	if (t->notified)
		mmu_notifier_unregister(&vm->mmu.notifier, vm->mm);
	vireo_tdp_destroy(&vm->mmu);
	vireo_mmu_vcpu_destroy(&t->vcpu);
	vireo_regions_destroy(vm);
	cleanup_srcu_struct(&vm->srcu);
	free_percpu(vm->cpu);
	free_page((unsigned long)t->vcpu.run);
	kvfree(t);
}

static inline unsigned long test_mmap(struct kunit *test, size_t size, bool shared)
{
	unsigned long address = kunit_vm_mmap(test, NULL, 0, size, PROT_READ | PROT_WRITE,
					      MAP_ANONYMOUS | (shared ? MAP_SHARED : MAP_PRIVATE),
					      0);

	KUNIT_ASSERT_FALSE(test, !address || IS_ERR_VALUE(address));
	return address;
}

/* From now on the VM's memory is that of this thread. */
static inline void test_vm_attach(struct kunit *test, struct test_vm *t)
{
	struct vireo_vm *vm = &t->vm;

	/* With its first mapping the thread gets an mm. */
	test_mmap(test, PAGE_SIZE, false);
	KUNIT_ASSERT_NOT_NULL(test, current->mm);
	vm->mm = current->mm;
	vm->mmu.notifier.ops = &vireo_notifier_ops;
	KUNIT_ASSERT_EQ(test, mmu_notifier_register(&vm->mmu.notifier, vm->mm), 0);
	t->notified = true;
}

static inline int test_region(struct test_vm *t, u32 slot, u64 gpa, u64 bytes, unsigned long hva,
			      u64 flags)
{
	const struct vireo_region region = {
		.size = sizeof(region), .slot = slot, .flags = flags,
		.gpa = gpa, .bytes = bytes, .hva = hva,
	};
	int r;

	mutex_lock(&t->vm.lock);
	r = vireo_region_set(&t->vm, &region);
	mutex_unlock(&t->vm.lock);
	return r;
}

static inline int test_region_delete(struct test_vm *t, u32 slot)
{
	int r;

	mutex_lock(&t->vm.lock);
	r = vireo_region_delete(&t->vm, slot);
	mutex_unlock(&t->vm.lock);
	return r;
}

/* Nested entry of a guest frame, found the simple way; level 0 if there is none. */
static inline u64 test_tdp_find(struct vireo_mmu *mmu, u64 gfn, int *level)
{
	u64 address = mmu->root & GENMASK_ULL(51, 12);
	int l;

	for (l = mmu->levels; l; l--) {
		u64 entry = ((u64 *)__va(address))[(gfn >> (9 * (l - 1))) % 512];

		if (!(entry & 1))
			break;
		if (l == 1 || (entry & BIT_ULL(7))) {
			*level = l;
			return entry;
		}
		address = entry & GENMASK_ULL(51, 12);
	}
	*level = 0;
	return 0;
}

/* Count leaves by level, and tables in [0], by looking at all of them. */
static inline void test_tdp_count_table(u64 address, int level, long *count)
{
	u64 *table = __va(address);
	int i;

	count[0]++;
	for (i = 0; i < 512; i++) {
		if (!(table[i] & 1))
			continue;
		if (level == 1 || (table[i] & BIT_ULL(7)))
			count[level]++;
		else
			test_tdp_count_table(table[i] & GENMASK_ULL(51, 12), level - 1, count);
	}
}

static inline void test_tdp_check_counts(struct kunit *test, struct vireo_mmu *mmu)
{
	long count[TDP_MAX_ROOT + 1] = {};
	int i;

	test_tdp_count_table(mmu->root & GENMASK_ULL(51, 12), mmu->levels, count);
	for (i = 0; i <= TDP_MAX_LEVEL; i++)
		KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[i]), count[i]);
}

#endif /* VIREO_TEST_VM_H */

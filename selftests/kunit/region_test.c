// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions: look-up against the obvious search, every refusal, replacement, and
 * copies that cross and leave them.
 */
#include <linux/random.h>

#include "test_vm.h"

static const struct vireo_caps region_caps = {
	.vendor = VIREO_VENDOR_AMD, .max_level = 3, .root_levels = 4, .nested_ad = true,
};

static int region_init(struct kunit *test)
{
	struct test_vm *t;

	/* Off a real host the module has no processor to ask. */
	if (!vireo_caps.phys_bits)
		vireo_caps.phys_bits = 40;
	test_vm_create(test, &t, &region_caps);
	test->priv = t;
	return 0;
}

static void region_exit(struct kunit *test)
{
	if (test->priv)
		test_vm_destroy(test->priv);
}

static void region_find_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	const struct vireo_mem_map *map;
	u64 gfn;
	int i;

	/* Slots in another order than addresses, neighbours and holes of all sizes. */
	for (i = 0; i < 24; i++) {
		int at = (i * 7) % 24;

		KUNIT_ASSERT_EQ(test, test_region(t, i, (u64)at * 8 << PAGE_SHIFT,
						  (u64)(1 + at % 8) << PAGE_SHIFT, 0x10000, 0), 0);
	}
	map = rcu_dereference_protected(t->vm.mem, true);
	KUNIT_EXPECT_EQ(test, map->nr, 24);
	for (gfn = 0; gfn < 200; gfn++) {
		u64 at = gfn / 8;
		bool there = at < 24 && gfn % 8 < 1 + at % 8;
		const struct vireo_mem *mem = vireo_mem_find(map, gfn);

		KUNIT_EXPECT_EQ(test, !!mem, there);
		if (mem)
			KUNIT_EXPECT_EQ(test, mem->gfn, at * 8);
		rcu_read_lock();
		KUNIT_EXPECT_PTR_EQ(test, vireo_vcpu_mem(&t->vcpu, gfn), mem);
		rcu_read_unlock();
	}
	KUNIT_EXPECT_NULL(test, vireo_mem_find(map, U64_MAX));
	KUNIT_EXPECT_NULL(test, vireo_mem_find(map, U64_MAX >> PAGE_SHIFT));
}

static void region_full_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	int i;

	for (i = 0; i < VIREO_MAX_REGIONS; i++)
		KUNIT_ASSERT_EQ(test, test_region(t, i, (u64)i << 20, PAGE_SIZE, 0x10000, 0), 0);
	for (i = 0; i < VIREO_MAX_REGIONS; i++)
		KUNIT_ASSERT_EQ(test, test_region_delete(t, i), 0);
	KUNIT_EXPECT_EQ(test, rcu_dereference_protected(t->vm.mem, true)->nr, 0);
}

static void region_refuse_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	const struct vireo_mem_map *map;
	const u64 limit = 1ULL << min_t(unsigned int, 48, vireo_caps.phys_bits);

	KUNIT_ASSERT_EQ(test, test_region(t, 3, 0x100000, 0x4000, 0x10000, 0), 0);
	map = rcu_dereference_protected(t->vm.mem, true);

	KUNIT_EXPECT_EQ(test, test_region(t, VIREO_MAX_REGIONS, 0, 0x1000, 0x10000, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, U32_MAX, 0, 0x1000, 0x10000, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x200000, 0, 0x10000, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x200800, 0x1000, 0x10000, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x200000, 0x1001, 0x10000, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x200000, 0x1000, 0x10010, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x200000, 0x1000, 0x10000, 2), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x200000, 0x1000, 0x10000, BIT_ULL(63)), -EINVAL);
	/* Beyond what there is, in each way. */
	KUNIT_EXPECT_EQ(test, test_region(t, 0, limit, 0x1000, 0x10000, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, limit - 0x1000, 0x2000, 0x10000, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, -0x1000ULL, 0x1000, 0x10000, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, -0x1000ULL, 0x3000, 0x10000, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x200000, -0x1000ULL, 0x10000, 0), -EINVAL);
	/* Kernel memory, and a range that runs into it. */
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x200000, 0x1000, PAGE_OFFSET, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x200000, 0x2000, TASK_SIZE_MAX - 0x1000, 0),
			-EINVAL);
	/* Overlaps: each end, inside, around, the same. */
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0xff000, 0x2000, 0x10000, 0), -EEXIST);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x103000, 0x2000, 0x10000, 0), -EEXIST);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x101000, 0x1000, 0x10000, 0), -EEXIST);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0, 0x200000, 0x10000, 0), -EEXIST);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x100000, 0x4000, 0x10000, 0), -EEXIST);
	KUNIT_EXPECT_EQ(test, test_region_delete(t, 0), -ENOENT);
	KUNIT_EXPECT_EQ(test, test_region_delete(t, VIREO_MAX_REGIONS), -EINVAL);
	/* And none has changed anything. */
	KUNIT_EXPECT_PTR_EQ(test, rcu_dereference_protected(t->vm.mem, true), map);

	/* The last page that there is, and both neighbours of the first region. */
	KUNIT_EXPECT_EQ(test, test_region(t, 0, limit - 0x1000, 0x1000, 0x10000, 0), 0);
	KUNIT_EXPECT_EQ(test, test_region(t, 1, 0xff000, 0x1000, 0x10000, 0), 0);
	KUNIT_EXPECT_EQ(test, test_region(t, 2, 0x104000, 0x1000, 0x10000, 0), 0);
}

static void region_replace_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	const struct vireo_mem_map *map;
	u64 gen;

	KUNIT_ASSERT_EQ(test, test_region(t, 0, 0x1000, 0x4000, 0x10000, 0), 0);
	KUNIT_ASSERT_EQ(test, test_region(t, 1, 0x9000, 0x1000, 0x20000, 0), 0);
	map = rcu_dereference_protected(t->vm.mem, true);
	gen = map->gen;
	/* The same again is nothing to do. */
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x1000, 0x4000, 0x10000, 0), 0);
	KUNIT_EXPECT_EQ(test, rcu_dereference_protected(t->vm.mem, true)->gen, gen);

	/* It may overlap what it replaces, and move past its neighbour. */
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x2000, 0x4000, 0x10000, VIREO_REGION_READONLY), 0);
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0xa000, 0x1000, 0x30000, 0), 0);
	map = rcu_dereference_protected(t->vm.mem, true);
	KUNIT_EXPECT_EQ(test, map->nr, 2);
	KUNIT_EXPECT_EQ(test, map->mem[0].gfn, 9);
	KUNIT_EXPECT_EQ(test, map->mem[1].gfn, 10);
	KUNIT_EXPECT_EQ(test, map->mem[1].hva, 0x30000);
	KUNIT_EXPECT_EQ(test, map->mem[1].flags, 0);
	KUNIT_EXPECT_NULL(test, vireo_mem_find(map, 2));
	/* A replacement that overlaps another slot leaves the slot as it was. */
	KUNIT_EXPECT_EQ(test, test_region(t, 0, 0x9000, 0x2000, 0x10000, 0), -EEXIST);
	KUNIT_EXPECT_PTR_EQ(test, rcu_dereference_protected(t->vm.mem, true), map);
}

/* A vCPU's remembered region does not survive the map it came from. */
static void region_last_test(struct kunit *test)
{
	struct test_vm *t = test->priv;

	KUNIT_ASSERT_EQ(test, test_region(t, 0, 0x1000, 0x1000, 0x10000, 0), 0);
	rcu_read_lock();
	KUNIT_EXPECT_NOT_NULL(test, vireo_vcpu_mem(&t->vcpu, 1));
	rcu_read_unlock();
	KUNIT_ASSERT_EQ(test, test_region_delete(t, 0), 0);
	rcu_read_lock();
	KUNIT_EXPECT_NULL(test, vireo_vcpu_mem(&t->vcpu, 1));
	rcu_read_unlock();
}

/* Copies of all small lengths and offsets, and large ones, against a copy made by hand. */
static void region_copy_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	unsigned long a = test_mmap(test, 2 * PAGE_SIZE, false);
	unsigned long b = test_mmap(test, 2 * PAGE_SIZE, false);
	u8 *truth = kunit_kzalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);
	u8 *data = kunit_kzalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);
	size_t offset, len;
	int idx;

	KUNIT_ASSERT_NOT_NULL(test, truth);
	KUNIT_ASSERT_NOT_NULL(test, data);
	get_random_bytes(truth, 4 * PAGE_SIZE);
	/* Neighbours in the guest, far from each other and the wrong way round in user space. */
	KUNIT_ASSERT_EQ(test, test_region(t, 0, 0, 2 * PAGE_SIZE, max(a, b), 0), 0);
	KUNIT_ASSERT_EQ(test, test_region(t, 1, 2 * PAGE_SIZE, 2 * PAGE_SIZE, min(a, b), 0), 0);

	idx = srcu_read_lock(&t->vm.srcu);
	KUNIT_EXPECT_EQ(test, vireo_write_gpa(&t->vcpu, 0, truth, 4 * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, vireo_read_gpa(&t->vcpu, 0, data, 4 * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, memcmp(data, truth, 4 * PAGE_SIZE), 0);

	for (offset = 2 * PAGE_SIZE - 40; offset < 2 * PAGE_SIZE + 8; offset++) {
		for (len = 0; len <= 40; len++) {
			memset(data, 0xee, 48);
			KUNIT_ASSERT_EQ(test, vireo_read_gpa(&t->vcpu, offset, data, len), 0);
			KUNIT_ASSERT_EQ(test, memcmp(data, truth + offset, len), 0);
			KUNIT_ASSERT_EQ(test, data[len], 0xee);
			memset(data, 0xee, 48);
			KUNIT_ASSERT_EQ(test, vireo_read_gpa_nofault(&t->vcpu, offset, data, len),
					0);
			KUNIT_ASSERT_EQ(test, memcmp(data, truth + offset, len), 0);
			KUNIT_ASSERT_EQ(test, data[len], 0xee);

			get_random_bytes(truth + offset, len);
			KUNIT_ASSERT_EQ(test, len & 1 ?
					vireo_write_gpa(&t->vcpu, offset, truth + offset, len) :
					vireo_write_gpa_nofault(&t->vcpu, offset, truth + offset,
								len), 0);
		}
	}
	KUNIT_EXPECT_EQ(test, vireo_read_gpa(&t->vcpu, 0, data, 4 * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, memcmp(data, truth, 4 * PAGE_SIZE), 0);
	srcu_read_unlock(&t->vm.srcu, idx);
}

static void region_copy_refuse_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	unsigned long a = test_mmap(test, 4 * PAGE_SIZE, false);
	u8 data[64], zero[64] = {};
	u64 value;
	int idx;

	/* Writable, read-only, hole. The third page of user memory has never been touched. */
	KUNIT_ASSERT_EQ(test, test_region(t, 0, 0, PAGE_SIZE, a, 0), 0);
	KUNIT_ASSERT_EQ(test, test_region(t, 1, PAGE_SIZE, PAGE_SIZE, a + PAGE_SIZE,
					  VIREO_REGION_READONLY), 0);
	KUNIT_ASSERT_EQ(test, test_region(t, 2, 4 * PAGE_SIZE, PAGE_SIZE, a + 2 * PAGE_SIZE, 0), 0);
	KUNIT_ASSERT_EQ(test, test_region(t, 3, 6 * PAGE_SIZE, PAGE_SIZE, a + 3 * PAGE_SIZE, 0), 0);
	KUNIT_ASSERT_EQ(test, vm_munmap(a + 3 * PAGE_SIZE, PAGE_SIZE), 0);

	memset(data, 0x55, sizeof(data));
	idx = srcu_read_lock(&t->vm.srcu);
	KUNIT_EXPECT_EQ(test, vireo_write_gpa(&t->vcpu, PAGE_SIZE, data, 8), -EFAULT);
	/* Half of it would be possible: nothing is written. */
	KUNIT_EXPECT_EQ(test, vireo_write_gpa(&t->vcpu, PAGE_SIZE - 8, data, 16), -EFAULT);
	KUNIT_EXPECT_EQ(test, vireo_read_gpa(&t->vcpu, PAGE_SIZE - 8, data, 16), 0);
	KUNIT_EXPECT_EQ(test, memcmp(data, zero, 16), 0);
	KUNIT_EXPECT_EQ(test, vireo_read_gpa(&t->vcpu, 2 * PAGE_SIZE - 8, data, 16), -EFAULT);
	KUNIT_EXPECT_EQ(test, vireo_read_gpa(&t->vcpu, 2 * PAGE_SIZE, data, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, vireo_read_gpa(&t->vcpu, U64_MAX - 3, data, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, vireo_read_gpa(&t->vcpu, 6 * PAGE_SIZE, data, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, vireo_write_gpa(&t->vcpu, 6 * PAGE_SIZE, data, 48), -EFAULT);

	/* Not resident: the one fails, the other brings it in. */
	KUNIT_EXPECT_EQ(test, vireo_read_gpa_nofault(&t->vcpu, 4 * PAGE_SIZE, data, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, vireo_read_gpa_nofault(&t->vcpu, 4 * PAGE_SIZE, data, 48), -EFAULT);
	KUNIT_EXPECT_EQ(test, vireo_write_gpa_nofault(&t->vcpu, 4 * PAGE_SIZE, data, 8), -EFAULT);
	local_irq_disable();
	KUNIT_EXPECT_EQ(test, vireo_read_gpa_nofault(&t->vcpu, 4 * PAGE_SIZE, data, 8), -EFAULT);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, vireo_write_gpa(&t->vcpu, 4 * PAGE_SIZE, data, 8), 0);
	KUNIT_EXPECT_EQ(test, vireo_read_gpa_nofault(&t->vcpu, 4 * PAGE_SIZE, data, 8), 0);

	/* Compare and exchange, all sizes, equal and not. */
	for (int len = 1; len <= 8; len *= 2) {
		u64 old = 0x1122334455667788, new = 0xa1a2a3a4a5a6a7a8;
		u64 mask = len == 8 ? ~0ULL : BIT_ULL(len * 8) - 1;

		value = old;
		KUNIT_EXPECT_EQ(test, vireo_write_gpa(&t->vcpu, 0, &value, 8), 0);
		KUNIT_EXPECT_EQ(test, vireo_cmpxchg_gpa(&t->vcpu, 0, &old, &new, len), 0);
		KUNIT_EXPECT_EQ(test, vireo_read_gpa(&t->vcpu, 0, &value, 8), 0);
		KUNIT_EXPECT_EQ(test, value, (0x1122334455667788 & ~mask) | (new & mask));
		old = 0;
		KUNIT_EXPECT_EQ(test, vireo_cmpxchg_gpa(&t->vcpu, 0, &old, &new, len), 0);
		KUNIT_EXPECT_EQ(test, old & mask, new & mask);
		KUNIT_EXPECT_EQ(test, old & ~mask, 0);
	}
	value = 0;
	KUNIT_EXPECT_EQ(test, vireo_cmpxchg_gpa(&t->vcpu, PAGE_SIZE, &value, &value, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, vireo_cmpxchg_gpa(&t->vcpu, 2 * PAGE_SIZE, &value, &value, 8),
			-EFAULT);
	srcu_read_unlock(&t->vm.srcu, idx);
}

static struct kunit_case region_cases[] = {
	KUNIT_CASE(region_find_test),
	KUNIT_CASE(region_full_test),
	KUNIT_CASE(region_refuse_test),
	KUNIT_CASE(region_replace_test),
	KUNIT_CASE(region_last_test),
	KUNIT_CASE(region_copy_test),
	KUNIT_CASE(region_copy_refuse_test),
	{}
};

struct kunit_suite vireo_region_suite = {
	.name = "vireo-region",
	.init = region_init,
	.exit = region_exit,
	.test_cases = region_cases,
};

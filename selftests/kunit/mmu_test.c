// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested tables, for both formats, without a processor that has either.
 *
 * First the builder on made-up addresses, against constants from the manuals and
 * a model; then faults and notifiers on real user memory of the test's own.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/pagemap.h>
#include <linux/random.h>

#include "../../kmod/mmu/track.h"
#include "../../kmod/stats.h"
#include "test_vm.h"

static const struct vireo_caps mmu_caps[] = {
	{ .vendor = VIREO_VENDOR_INTEL, .max_level = 3, .root_levels = 4, .nested_ad = true },
	{ .vendor = VIREO_VENDOR_INTEL, .max_level = 2, .root_levels = 5, .nested_ad = false },
	{ .vendor = VIREO_VENDOR_AMD, .max_level = 3, .root_levels = 4, .nested_ad = true },
	{ .vendor = VIREO_VENDOR_AMD, .max_level = 3, .root_levels = 5, .nested_ad = true },
};

static void mmu_caps_name(const struct vireo_caps *caps, char *name)
{
	snprintf(name, KUNIT_PARAM_DESC_SIZE, "%s-%u%s",
		 caps->vendor == VIREO_VENDOR_INTEL ? "ept" : "npt", caps->root_levels,
		 caps->nested_ad ? "" : "-noad");
}

KUNIT_ARRAY_PARAM(mmu_caps, mmu_caps, mmu_caps_name);

static int mmu_init(struct kunit *test)
{
	const struct vireo_caps *caps = test->param_value ?: &mmu_caps[0];
	struct test_vm *t;

	if (!vireo_caps.phys_bits)
		vireo_caps.phys_bits = 40;
	test_vm_create(test, &t, caps);
	test->priv = t;
	return 0;
}

static void mmu_exit(struct kunit *test)
{
	if (test->priv)
		test_vm_destroy(test->priv);
}

static void cache_fill(struct kunit *test, struct vireo_mmu_cache *cache)
{
	while (cache->nr < ARRAY_SIZE(cache->pages)) {
		void *page = (void *)get_zeroed_page(GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, page);
		cache->pages[cache->nr++] = page;
	}
}

/* Drop as notifiers do; there is no vCPU to flush. */
static bool zap(struct test_vm *t, u64 start, u64 end)
{
	LIST_HEAD(cut);
	bool r;

	write_lock(&t->vm.mmu.lock);
	r = vireo_tdp_zap(&t->vm.mmu, start, end, &cut);
	write_unlock(&t->vm.mmu.lock);
	vireo_tdp_free(&t->vm.mmu, &cut, true);
	return r;
}

/* Put a leaf where vireo_tdp_reach() says; the level it got. */
static int put(struct kunit *test, struct test_vm *t, u64 gfn, int level, u64 pa)
{
	struct vireo_mmu *mmu = &t->vm.mmu;
	u64 *e;
	int l;

	cache_fill(test, &t->vcpu.mmu_cache);
	read_lock(&mmu->lock);
	l = vireo_tdp_reach(mmu, &t->vcpu.mmu_cache, gfn, level, &e);
	if (l > 0 && !*e) {
		*e = tdp_leaf(&t->format, pa & ~((tdp_pages(l) << 12) - 1), l) | TDP_WRITE;
		atomic_long_inc(&mmu->pages[l]);
	}
	read_unlock(&mmu->lock);
	return l;
}

/* The constants, spelled out from the tables of the manuals. */
static void mmu_format_test(struct kunit *test)
{
	struct vireo_tdp_format f;
	struct vireo_caps caps = mmu_caps[0];

	vireo_tdp_format(&f, &caps, false, 0);
	KUNIT_EXPECT_EQ(test, f.table, 0x7);
	KUNIT_EXPECT_EQ(test, f.leaf, 0x75);		/* R, X, type 6, ignore PAT */
	KUNIT_EXPECT_EQ(test, f.leaf_io, 0x5);
	KUNIT_EXPECT_EQ(test, f.accessed, 0x100);
	KUNIT_EXPECT_EQ(test, f.dirty, 0x200);
	KUNIT_EXPECT_EQ(test, tdp_leaf(&f, 0x200000, 1), 0x200075);
	KUNIT_EXPECT_EQ(test, tdp_leaf(&f, 0x200000, 2), 0x2000f5);
	KUNIT_EXPECT_EQ(test, f.address, 0x000ffffffffff000ULL);

	vireo_tdp_format(&f, &caps, true, 0);
	KUNIT_EXPECT_EQ(test, tdp_leaf(&f, 0x200000, 1), 0x200075);
	KUNIT_EXPECT_EQ(test, tdp_leaf(&f, 0x200000, 2), 0x2000f1);

	caps.nested_ad = false;
	vireo_tdp_format(&f, &caps, false, 0);
	KUNIT_EXPECT_EQ(test, f.accessed | f.dirty, 0);

	caps = mmu_caps[2];
	vireo_tdp_format(&f, &caps, true, 0);
	KUNIT_EXPECT_EQ(test, f.table, 0x7);
	KUNIT_EXPECT_EQ(test, f.leaf, 0x5);		/* P, U, PAT entry 0 */
	KUNIT_EXPECT_EQ(test, f.leaf_io, 0x1d);		/* PWT, PCD: PAT entry 3 */
	KUNIT_EXPECT_EQ(test, f.accessed, 0x20);
	KUNIT_EXPECT_EQ(test, f.dirty, 0x40);
	KUNIT_EXPECT_EQ(test, tdp_leaf(&f, 0x40000000, 3), 0x40000085);

	vireo_tdp_format(&f, &caps, false, BIT_ULL(47));
	KUNIT_EXPECT_EQ(test, f.table, BIT_ULL(47) | 7);
	KUNIT_EXPECT_EQ(test, f.leaf, BIT_ULL(47) | 5);
	KUNIT_EXPECT_EQ(test, f.leaf_io, 0x1d);
	KUNIT_EXPECT_EQ(test, f.address, 0x000f7ffffffff000ULL);

	caps.max_level = 5;
	vireo_tdp_format(&f, &caps, false, 0);
	KUNIT_EXPECT_EQ(test, f.max_level, 3);
}

static void mmu_reach_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	struct vireo_mmu_cache *cache = &t->vcpu.mmu_cache;
	const int levels = mmu->levels;
	u64 *e, *f;
	int level;

	/* Without pages nothing is made, and nothing is half made. */
	KUNIT_EXPECT_EQ(test, vireo_tdp_reach(mmu, cache, 0x12345, 1, &e), -ENOMEM);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[0]), 1);

	cache_fill(test, cache);
	KUNIT_EXPECT_EQ(test, vireo_tdp_reach(mmu, cache, 0x12345, 1, &e), 1);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[0]), levels);
	KUNIT_EXPECT_EQ(test, cache->nr, 8 - (levels - 1));
	KUNIT_EXPECT_EQ(test, offset_in_page(e), (0x12345 % 512) * 8);
	/* The same table for a neighbour, without new pages. */
	KUNIT_EXPECT_EQ(test, vireo_tdp_reach(mmu, cache, 0x12346, 1, &f), 1);
	KUNIT_EXPECT_PTR_EQ(test, f, e + 1);
	KUNIT_EXPECT_EQ(test, cache->nr, 8 - (levels - 1));
	/* A large page is wanted, but a table is there: small pages stay. */
	KUNIT_EXPECT_EQ(test, vireo_tdp_reach(mmu, cache, 0x12345, 2, &f), 1);
	KUNIT_EXPECT_PTR_EQ(test, f, e);
	KUNIT_EXPECT_EQ(test, vireo_tdp_reach(mmu, cache, 0x12345, 3, &f), 1);
	/* Next to it there is room. */
	KUNIT_EXPECT_EQ(test, vireo_tdp_reach(mmu, cache, 0x12345 + 512, 2, &f), 2);
	KUNIT_EXPECT_EQ(test, put(test, t, 0x12345 + 512, 2, 0x80000000), 2);
	/* And once it is taken, smaller is not possible. */
	KUNIT_EXPECT_EQ(test, vireo_tdp_reach(mmu, cache, 0x12345 + 512, 1, &f), 2);
	KUNIT_EXPECT_EQ(test, *f, t->format.leaf | 0x80000082);
	KUNIT_EXPECT_EQ(test, test_tdp_find(mmu, 0x12345 + 512, &level), *f);
	KUNIT_EXPECT_EQ(test, level, 2);
	/* The last frame there is. */
	cache_fill(test, cache);
	KUNIT_EXPECT_EQ(test, vireo_tdp_reach(mmu, cache, (1ULL << (9 * levels)) - 1, 1, &f), 1);
	KUNIT_EXPECT_EQ(test, offset_in_page(f), 511 * 8);
	test_tdp_check_counts(test, mmu);
}

static void mmu_zap_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	const u64 all = 1ULL << (9 * mmu->levels);
	const u64 gig = 1 << 18;
	int level;
	u64 i;

	KUNIT_EXPECT_FALSE(test, zap(t, 0, U64_MAX));
	for (i = 0; i < 1024; i++)
		KUNIT_ASSERT_EQ(test, put(test, t, i, 1, i << 12), 1);
	KUNIT_ASSERT_EQ(test, put(test, t, 1024, 2, 0x40000000), 2);
	KUNIT_ASSERT_EQ(test, put(test, t, gig, 3, 0x80000000), 3);
	KUNIT_ASSERT_EQ(test, put(test, t, all - 1, 1, 0x3000), 1);
	test_tdp_check_counts(test, mmu);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 1025);

	/* One page, its neighbours stay. */
	KUNIT_EXPECT_TRUE(test, zap(t, 7, 8));
	KUNIT_EXPECT_FALSE(test, zap(t, 7, 8));
	test_tdp_find(mmu, 7, &level);
	KUNIT_EXPECT_EQ(test, level, 0);
	test_tdp_find(mmu, 6, &level);
	KUNIT_EXPECT_EQ(test, level, 1);
	test_tdp_find(mmu, 8, &level);
	KUNIT_EXPECT_EQ(test, level, 1);
	test_tdp_check_counts(test, mmu);

	/* Across two tables, neither as a whole. */
	KUNIT_EXPECT_TRUE(test, zap(t, 500, 530));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 1024 - 30);
	test_tdp_check_counts(test, mmu);

	/* A part of a large page takes it all. */
	KUNIT_EXPECT_TRUE(test, zap(t, 1030, 1031));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[2]), 0);
	KUNIT_EXPECT_TRUE(test, zap(t, gig + 12345, gig + 12346));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[3]), 0);

	/* A whole table goes, so that a large page has room again; an empty one too. */
	KUNIT_EXPECT_TRUE(test, zap(t, 0, 512));
	KUNIT_EXPECT_EQ(test, put(test, t, 0, 2, 0x40000000), 2);
	test_tdp_check_counts(test, mmu);

	/* Empty and inverted ranges, ranges past the end. */
	KUNIT_EXPECT_FALSE(test, zap(t, 600, 600));
	KUNIT_EXPECT_FALSE(test, zap(t, 700, 600));
	KUNIT_EXPECT_FALSE(test, zap(t, all, U64_MAX));
	KUNIT_EXPECT_TRUE(test, zap(t, all - 1, U64_MAX));

	KUNIT_EXPECT_TRUE(test, zap(t, 0, U64_MAX));
	for (i = 1; i <= 3; i++)
		KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[i]), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[0]), 1);
}

static void mmu_young_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	u64 *e;

	if (!t->format.accessed)
		kunit_skip(test, "no accessed bits");
	KUNIT_ASSERT_EQ(test, put(test, t, 5, 1, 0x5000), 1);
	KUNIT_ASSERT_EQ(test, put(test, t, 512, 2, 0x40000000), 2);
	KUNIT_EXPECT_FALSE(test, vireo_tdp_young(mmu, 0, U64_MAX, true));
	vireo_tdp_reach(mmu, &t->vcpu.mmu_cache, 5, 1, &e);
	*e |= t->format.accessed;
	KUNIT_EXPECT_TRUE(test, vireo_tdp_young(mmu, 0, 1024, false));
	KUNIT_EXPECT_FALSE(test, vireo_tdp_young(mmu, 6, 1024, false));
	KUNIT_EXPECT_FALSE(test, vireo_tdp_young(mmu, 0, 5, false));
	KUNIT_EXPECT_TRUE(test, vireo_tdp_young(mmu, 5, 6, true));
	KUNIT_EXPECT_FALSE(test, vireo_tdp_young(mmu, 0, 1024, true));
	KUNIT_EXPECT_EQ(test, *e, t->format.leaf | 0x5002);
	vireo_tdp_reach(mmu, &t->vcpu.mmu_cache, 512, 2, &e);
	*e |= t->format.accessed | t->format.dirty;
	KUNIT_EXPECT_TRUE(test, vireo_tdp_young(mmu, 700, 701, true));
	KUNIT_EXPECT_EQ(test, *e, t->format.leaf | t->format.dirty | 0x40000082);
	KUNIT_EXPECT_FALSE(test, vireo_tdp_young(mmu, 1 << 30, 1 << 31, true));
}

/* Any sequence of mapping and zapping, against one byte per page that says what is there. */
static void mmu_model_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	const u64 base = (1ULL << 18) - 4096, n = 8192;	/* around a boundary of 1 GiB */
	u8 *model = kunit_kzalloc(test, n, GFP_KERNEL);
	u64 i, step;
	int level;

	KUNIT_ASSERT_NOT_NULL(test, model);
	for (step = 0; step < 3000; step++) {
		u64 at = get_random_u32() % n;
		u64 end = min(n, at + 1 + get_random_u32() % (get_random_u32() % 8 ? 16 : 1500));

		if (get_random_u32() % 3) {
			int l = put(test, t, base + at, 1 + get_random_u32() % 2,
				    (base + at) << 12);
			u64 first = l == 2 ? at & ~511ULL : at;

			KUNIT_ASSERT_TRUE(test, l == 1 || l == 2);
			for (i = first; i < first + tdp_pages(l); i++) {
				KUNIT_ASSERT_TRUE(test, !model[i] || model[i] == l);
				model[i] = l;
			}
		} else {
			bool any = false;

			for (i = at & ~511ULL; i < min(n, (end + 511) & ~511ULL); i++) {
				bool in = i >= at && i < end;
				/* Large pages go as a whole. */
				bool large = model[i] == 2 && (i | 511) >= at && (i & ~511ULL) < end;

				if ((model[i] && in) || large) {
					model[i] = 0;
					any = true;
				}
			}
			/* Tables that were cut without holding anything count as something. */
			if (any)
				KUNIT_ASSERT_TRUE(test, zap(t, base + at, base + end));
			else
				zap(t, base + at, base + end);
		}
	}
	for (i = 0; i < n; i++) {
		u64 entry = test_tdp_find(mmu, base + i, &level);
		u64 pa = (base + i) << 12;

		KUNIT_ASSERT_EQ(test, level, model[i]);
		if (level == 2)
			pa = (pa & ~0x1fffffULL) | TDP_LARGE;
		if (level)
			KUNIT_ASSERT_EQ(test, entry, t->format.leaf | TDP_WRITE | pa);
	}
	test_tdp_check_counts(test, mmu);
}

/* ------------------------------------------------------------------ */
/* On real memory                                                       */

static enum vireo_fault fault_fast(struct test_vm *t, u64 gpa, u32 access)
{
	enum vireo_fault r;

	local_irq_disable();
	r = vireo_mmu_fault_fast(&t->vcpu, gpa, access);
	local_irq_enable();
	return r;
}

static enum vireo_fault fault_slow(struct test_vm *t, u64 gpa, u32 access)
{
	enum vireo_fault r;
	int idx;

	idx = srcu_read_lock(&t->vm.srcu);
	r = vireo_mmu_fault(&t->vcpu, gpa, access);
	srcu_read_unlock(&t->vm.srcu, idx);
	return r;
}

/* Host frame of a user address, the official way. */
static u64 host_pa(struct kunit *test, unsigned long address)
{
	struct page *page;
	u64 pa;

	KUNIT_ASSERT_EQ(test, get_user_pages_unlocked(address, 1, &page, 0), 1L);
	pa = page_to_phys(page);
	put_page(page);
	return pa;
}

static void touch(struct kunit *test, unsigned long address, bool write)
{
	u8 byte;

	KUNIT_ASSERT_EQ(test, get_user(byte, (u8 __user *)address), 0);
	if (write)
		KUNIT_ASSERT_EQ(test, put_user((u8)(byte + 1), (u8 __user *)address), 0);
}

#define GPA 0x100000ULL			/* aligned to the window of fault-around */
#define R VIREO_ACCESS_READ
#define W (VIREO_ACCESS_READ | VIREO_ACCESS_WRITE)
#define X VIREO_ACCESS_EXEC

static void mmu_fault_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	const u64 ad = t->format.accessed | t->format.dirty;
	unsigned long a;
	u64 entry, pa;
	int level, i;

	test_vm_attach(test, t);
	a = test_mmap(test, 64 * PAGE_SIZE, false);
	KUNIT_ASSERT_EQ(test, test_region(t, 0, GPA, 64 * PAGE_SIZE, a, 0), 0);

	/* No region on either side. */
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA - 1, R), VIREO_FAULT_MMIO);
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 64 * PAGE_SIZE, W), VIREO_FAULT_MMIO);
	KUNIT_EXPECT_EQ(test, fault_slow(t, U64_MAX, R), VIREO_FAULT_MMIO);

	/* Nothing resident: a read gets the zero page, read-only, without a write. */
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA, R), VIREO_FAULT_RETRY);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA + 0x123, R), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, GPA >> 12, &level);
	KUNIT_EXPECT_EQ(test, level, 1);
	KUNIT_EXPECT_EQ(test, entry, t->format.leaf | t->format.accessed | host_pa(test, a));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 1);

	/* Then a write: another page, after the notifier took the first away. */
	pa = entry & TDP_ADDRESS;
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA, W), VIREO_FAULT_RETRY);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA, W), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, GPA >> 12, &level);
	KUNIT_EXPECT_EQ(test, entry, t->format.leaf | ad | TDP_WRITE | host_pa(test, a));
	KUNIT_EXPECT_NE(test, entry & TDP_ADDRESS, pa);
	KUNIT_EXPECT_EQ(test, vireo_stats_faults(&t->vcpu.counters), 2);

	/* A spurious fault changes nothing. */
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA, W), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA, X), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, vireo_stats_faults(&t->vcpu.counters), 2);

	/* Resident pages of the window come together: 17 to 20 of 16 to 31 are not resident. */
	for (i = 16; i < 40; i++) {
		if (i < 17 || i > 20)
			touch(test, a + i * PAGE_SIZE, true);
	}
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 25 * PAGE_SIZE, W), VIREO_FAULT_FIXED);
	for (i = 16; i < 40; i++) {
		entry = test_tdp_find(mmu, (GPA >> 12) + i, &level);
		if (i > 31 || (i >= 17 && i <= 20)) {
			KUNIT_EXPECT_EQ_MSG(test, level, 0, "page %d", i);
			continue;
		}
		KUNIT_EXPECT_EQ_MSG(test, entry, t->format.leaf | TDP_WRITE | (i == 25 ? ad : 0) |
				    host_pa(test, a + i * PAGE_SIZE), "page %d", i);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 1 + 12);
	KUNIT_EXPECT_EQ(test, vireo_stats_faults(&t->vcpu.counters), 3);
	test_tdp_check_counts(test, mmu);

	/* The host takes some back. */
	KUNIT_ASSERT_EQ(test, vm_munmap(a + 22 * PAGE_SIZE, 6 * PAGE_SIZE), 0);
	for (i = 21; i < 29; i++) {
		test_tdp_find(mmu, (GPA >> 12) + i, &level);
		KUNIT_EXPECT_EQ(test, level, i < 22 || i > 27);
	}
	KUNIT_EXPECT_EQ(test, mmu->invalidate_busy, 0);
	test_tdp_check_counts(test, mmu);

	/* And what is gone is an error, in words. */
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 22 * PAGE_SIZE, R), VIREO_FAULT_RETRY);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA + 22 * PAGE_SIZE, R), VIREO_FAULT_ERROR);
	KUNIT_EXPECT_NOT_NULL(test, strstr(t->vcpu.run->error, "0x116000"));
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA + 22 * PAGE_SIZE, W), VIREO_FAULT_ERROR);

	/* The region goes, its mappings with it. */
	KUNIT_EXPECT_EQ(test, test_region_delete(t, 0), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA, R), VIREO_FAULT_MMIO);
}

/* The window stays within region and table, however they lie. */
static void mmu_around_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	unsigned long a, split;
	int level, i;

	test_vm_attach(test, t);
	a = test_mmap(test, 1024 * PAGE_SIZE, false);
	/* Eight pages on either side of a boundary between tables of the host. */
	split = ALIGN(a + 16 * PAGE_SIZE, PMD_SIZE);
	for (i = -8; i < 8; i++)
		touch(test, split + i * PAGE_SIZE, true);

	KUNIT_ASSERT_EQ(test, test_region(t, 0, GPA, 16 * PAGE_SIZE, split - 8 * PAGE_SIZE, 0), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA + 3 * PAGE_SIZE, R), VIREO_FAULT_FIXED);
	for (i = 0; i < 16; i++) {
		test_tdp_find(mmu, (GPA >> 12) + i, &level);
		KUNIT_EXPECT_EQ(test, level, i < 8);
	}
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 8 * PAGE_SIZE, R), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 16);

	/* A region in the middle of a window. */
	KUNIT_ASSERT_EQ(test, test_region(t, 0, GPA + 5 * PAGE_SIZE, 3 * PAGE_SIZE,
					  split - 4 * PAGE_SIZE, 0), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 0);
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 6 * PAGE_SIZE, R), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 3);
	for (i = 5; i < 8; i++) {
		u64 entry = test_tdp_find(mmu, (GPA >> 12) + i, &level);

		KUNIT_EXPECT_EQ(test, entry & TDP_ADDRESS,
				host_pa(test, split + (i - 9) * PAGE_SIZE));
	}
	test_tdp_check_counts(test, mmu);
}

static void mmu_readonly_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	unsigned long a;
	int level, i;
	u64 entry;

	test_vm_attach(test, t);
	a = test_mmap(test, 16 * PAGE_SIZE, false);
	for (i = 0; i < 16; i++)
		touch(test, a + i * PAGE_SIZE, true);
	KUNIT_ASSERT_EQ(test, test_region(t, 0, GPA, 16 * PAGE_SIZE, a, VIREO_REGION_READONLY), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA, W), VIREO_FAULT_MMIO);
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA, W), VIREO_FAULT_MMIO);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA, X), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 16);
	for (i = 0; i < 16; i++) {
		entry = test_tdp_find(mmu, (GPA >> 12) + i, &level);
		KUNIT_EXPECT_EQ(test, entry & (TDP_WRITE | TDP_EXEC), TDP_EXEC);
	}
	/* Writable from now on. */
	KUNIT_ASSERT_EQ(test, test_region(t, 0, GPA, 16 * PAGE_SIZE, a, 0), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA, W), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, GPA >> 12, &level);
	KUNIT_EXPECT_TRUE(test, entry & TDP_WRITE);
}

/*
 * Shared memory that was only read is writable but clean for the host.  The guest
 * may write only after the host's entry was made dirty.
 */
static void mmu_dirty_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	struct page *page;
	unsigned long a;
	int level;
	u64 entry;

	test_vm_attach(test, t);
	a = test_mmap(test, 4 * PAGE_SIZE, true);
	KUNIT_ASSERT_EQ(test, test_region(t, 0, GPA, 4 * PAGE_SIZE, a, 0), 0);
	touch(test, a, false);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA, R), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, GPA >> 12, &level);
	KUNIT_EXPECT_EQ(test, level, 1);
	KUNIT_EXPECT_FALSE(test, entry & TDP_WRITE);

	KUNIT_ASSERT_EQ(test, get_user_pages_unlocked(a, 1, &page, 0), 1L);
	KUNIT_EXPECT_EQ(test, entry & TDP_ADDRESS, page_to_phys(page));
	/* New pages of shmem are born dirty: start from a clean one. */
	lock_page(page);
	ClearPageDirty(page);
	unlock_page(page);

	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA, W), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, GPA >> 12, &level);
	KUNIT_EXPECT_EQ(test, entry, t->format.leaf | t->format.accessed | t->format.dirty |
			TDP_WRITE | page_to_phys(page));
	/* The host sees it when it lets go of its own mapping. */
	KUNIT_EXPECT_FALSE(test, PageDirty(page));
	KUNIT_ASSERT_EQ(test, vm_munmap(a, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, PageDirty(page));
	test_tdp_find(mmu, GPA >> 12, &level);
	KUNIT_EXPECT_EQ(test, level, 0);
	put_page(page);
}

/* Needs transparent huge pages "always". */
static void mmu_large_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	const u64 gpa = 0x40000000;
	unsigned long a, hva;
	u64 entry, pa;
	int level;

	test_vm_attach(test, t);
	a = test_mmap(test, 4 * PMD_SIZE, false);
	hva = ALIGN(a, PMD_SIZE);
	/* A write first, or it would be the huge zero page. */
	KUNIT_ASSERT_EQ(test, put_user((u8)1, (u8 __user *)hva), 0);
	pa = host_pa(test, hva);
	if (!PageTransHuge(pfn_to_page(pa >> 12)) || (pa & ~PMD_MASK))
		kunit_skip(test, "the host gives no transparent huge page");

	/* Congruent addresses, whole page inside. */
	KUNIT_ASSERT_EQ(test, test_region(t, 0, gpa, 2 * PMD_SIZE, hva, 0), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, gpa + 0x12345, W), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, (gpa >> 12) + 511, &level);
	KUNIT_EXPECT_EQ(test, level, 2);
	KUNIT_EXPECT_EQ(test, entry, t->format.leaf | t->format.accessed | t->format.dirty |
			TDP_WRITE | TDP_LARGE | pa);
	/* A smaller fault in it is none. */
	KUNIT_EXPECT_EQ(test, fault_fast(t, gpa + 0x1000, X), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[2]), 1);

	/* Not congruent: small pages of it, 16 at a time. */
	KUNIT_ASSERT_EQ(test, test_region(t, 0, gpa, PMD_SIZE, hva + PAGE_SIZE * 16, 0), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[2]), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, gpa + 0x12345, W), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, (gpa >> 12) + 0x12, &level);
	KUNIT_EXPECT_EQ(test, level, 1);
	KUNIT_EXPECT_EQ(test, entry & TDP_ADDRESS, pa + 0x22000);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 16);

	/* Congruent, but the region ends inside. */
	KUNIT_ASSERT_EQ(test, test_region(t, 0, gpa, PMD_SIZE - PAGE_SIZE, hva, 0), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, gpa + PMD_SIZE - 2 * PAGE_SIZE, W), VIREO_FAULT_FIXED);
	test_tdp_find(mmu, (gpa >> 12) + 510, &level);
	KUNIT_EXPECT_EQ(test, level, 1);
	test_tdp_find(mmu, (gpa >> 12) + 511, &level);
	KUNIT_EXPECT_EQ(test, level, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 15);

	/* Part of it goes: all of the mapping goes, and what is left comes back small. */
	KUNIT_ASSERT_EQ(test, test_region(t, 0, gpa, 2 * PMD_SIZE, hva, 0), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, gpa, R), VIREO_FAULT_FIXED);
	test_tdp_find(mmu, gpa >> 12, &level);
	KUNIT_EXPECT_EQ(test, level, 2);
	KUNIT_ASSERT_EQ(test, vm_munmap(hva + 32 * PAGE_SIZE, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[2]), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, gpa, W), VIREO_FAULT_FIXED);
	test_tdp_find(mmu, gpa >> 12, &level);
	KUNIT_EXPECT_EQ(test, level, 1);
	test_tdp_check_counts(test, mmu);

	/* The huge zero page: read-only, and split by the first write. */
	touch(test, hva + PMD_SIZE, false);
	KUNIT_EXPECT_EQ(test, fault_slow(t, gpa + PMD_SIZE, R), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, (gpa + PMD_SIZE) >> 12, &level);
	KUNIT_EXPECT_FALSE(test, entry & TDP_WRITE);
	KUNIT_EXPECT_EQ(test, fault_slow(t, gpa + PMD_SIZE, W), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, (gpa + PMD_SIZE) >> 12, &level);
	KUNIT_EXPECT_TRUE(test, entry & TDP_WRITE);
	KUNIT_EXPECT_EQ(test, entry & TDP_ADDRESS, host_pa(test, hva + PMD_SIZE));
	test_tdp_check_counts(test, mmu);
}

/* On processors with the erratum large pages are data only, code makes them small. */
static void mmu_no_large_exec_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	const u64 gpa = 0x40000000;
	unsigned long a, hva;
	u64 entry, pa;
	int level;

	vireo_tdp_format(&t->format, &t->caps, true, 0);
	test_vm_attach(test, t);
	a = test_mmap(test, 4 * PMD_SIZE, false);
	hva = ALIGN(a, PMD_SIZE);
	/* A write first, or it would be the huge zero page. */
	KUNIT_ASSERT_EQ(test, put_user((u8)1, (u8 __user *)hva), 0);
	pa = host_pa(test, hva);
	if (!t->format.large_drop || !PageTransHuge(pfn_to_page(pa >> 12)) || (pa & ~PMD_MASK))
		kunit_skip(test, "EPT only, and the host must give a transparent huge page");

	KUNIT_ASSERT_EQ(test, test_region(t, 0, gpa, PMD_SIZE, hva, 0), 0);
	KUNIT_EXPECT_EQ(test, fault_slow(t, gpa, W), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, gpa >> 12, &level);
	KUNIT_EXPECT_EQ(test, level, 2);
	KUNIT_EXPECT_FALSE(test, entry & TDP_EXEC);
	KUNIT_EXPECT_EQ(test, fault_fast(t, gpa, X), VIREO_FAULT_RETRY);
	KUNIT_EXPECT_EQ(test, fault_slow(t, gpa, X), VIREO_FAULT_FIXED);
	entry = test_tdp_find(mmu, gpa >> 12, &level);
	KUNIT_EXPECT_EQ(test, level, 1);
	KUNIT_EXPECT_TRUE(test, entry & TDP_EXEC);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[2]), 0);
}

/* Aging by the notifier's own operations. */
static void mmu_age_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	struct mmu_notifier *n = &mmu->notifier;
	unsigned long a;

	test_vm_attach(test, t);
	a = test_mmap(test, 4 * PAGE_SIZE, false);
	KUNIT_ASSERT_EQ(test, test_region(t, 0, GPA, 4 * PAGE_SIZE, a, 0), 0);
	touch(test, a, true);
	touch(test, a + PAGE_SIZE, true);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA, W), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_TRUE(test, n->ops->test_young(n, t->vm.mm, a));
	if (t->format.accessed) {
		/* Mapped by the way, not used. */
		KUNIT_EXPECT_FALSE(test, n->ops->test_young(n, t->vm.mm, a + PAGE_SIZE));
		KUNIT_EXPECT_TRUE(test, n->ops->clear_young(n, t->vm.mm, a, a + 4 * PAGE_SIZE));
		KUNIT_EXPECT_FALSE(test, n->ops->test_young(n, t->vm.mm, a));
		KUNIT_EXPECT_FALSE(test, n->ops->clear_flush_young(n, t->vm.mm, a, a + PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 2);
	} else {
		KUNIT_EXPECT_TRUE(test, n->ops->clear_young(n, t->vm.mm, a, a + PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 1);
		KUNIT_EXPECT_FALSE(test, n->ops->clear_flush_young(n, t->vm.mm, a, a + PAGE_SIZE));
	}
	KUNIT_EXPECT_FALSE(test, n->ops->clear_young(n, t->vm.mm, a + 8 * PAGE_SIZE,
						     a + 9 * PAGE_SIZE));
}

/* While an invalidation is on its way nothing of the range is mapped; the rest is. */
static void mmu_invalidate_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	struct mmu_notifier *n = &mmu->notifier;
	struct mmu_notifier_range range = {};
	unsigned long a, seq;
	int i;

	test_vm_attach(test, t);
	a = test_mmap(test, 32 * PAGE_SIZE, false);
	KUNIT_ASSERT_EQ(test, test_region(t, 0, GPA, 32 * PAGE_SIZE, a, 0), 0);
	for (i = 0; i < 32; i++)
		touch(test, a + i * PAGE_SIZE, true);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA, W), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 16);
	seq = mmu->invalidate_seq;
	range.mm = t->vm.mm;

	range.start = a + 4 * PAGE_SIZE;
	range.end = a + 8 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, n->ops->invalidate_range_start(n, &range), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 12);
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 4 * PAGE_SIZE, R), VIREO_FAULT_RETRY);
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 7 * PAGE_SIZE, W), VIREO_FAULT_RETRY);
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 3 * PAGE_SIZE, W), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 8 * PAGE_SIZE, W), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 12);
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 20 * PAGE_SIZE, W), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 28);
	n->ops->invalidate_range_end(n, &range);
	KUNIT_EXPECT_EQ(test, mmu->invalidate_seq, seq + 1);
	KUNIT_EXPECT_EQ(test, mmu->invalidate_busy, 0);
	/* A page next to the invalid range does not pull its neighbours in during it. */
	KUNIT_EXPECT_EQ(test, fault_fast(t, GPA + 4 * PAGE_SIZE, R), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 32);
	test_tdp_check_counts(test, mmu);

	/* One page under invalidation: its window comes without it, one by one. */
	zap(t, 0, U64_MAX);
	range.start = a;
	range.end = a + PAGE_SIZE;
	n->ops->invalidate_range_start(n, &range);
	KUNIT_EXPECT_EQ(test, fault_slow(t, GPA + PAGE_SIZE, W), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 1);
	n->ops->invalidate_range_end(n, &range);

	/* Release takes all. */
	n->ops->release(n, t->vm.mm);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[1]), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mmu->pages[0]), 1);
}

/*
 * Threads fault the same memory while the host takes it away again and again.  No entry
 * may outlive the host's mapping, no count may be wrong, and with the memory left alone
 * all agree with the host in the end.
 */
struct race {
	struct test_vm *t;
	struct vireo_vcpu vcpu;
	struct mm_struct *mm;
	u64 pages;
	unsigned long faults, errors;
	enum vireo_fault error;		/* the last */
};

static int race_thread(void *data)
{
	struct race *r = data;
	struct vireo_vm *vm = &r->t->vm;
	enum vireo_fault f;

	kthread_use_mm(r->mm);
	while (!kthread_should_stop()) {
		u64 gpa = GPA + (get_random_u32() % r->pages << PAGE_SHIFT);
		u32 access = get_random_u32() & 1 ? W : R;

		local_irq_disable();
		f = vireo_mmu_fault_fast(&r->vcpu, gpa, access);
		local_irq_enable();
		if (f == VIREO_FAULT_RETRY) {
			int idx = srcu_read_lock(&vm->srcu);

			f = vireo_mmu_fault(&r->vcpu, gpa, access);
			srcu_read_unlock(&vm->srcu, idx);
		}
		r->faults++;
		/* Between munmap and mmap it is right to fail; being stopped looks like a signal. */
		if (f != VIREO_FAULT_FIXED && f != VIREO_FAULT_ERROR &&
		    !(f == VIREO_FAULT_SIGNAL && kthread_should_stop())) {
			r->errors++;
			r->error = f;
		}
		cond_resched();
	}
	kthread_unuse_mm(r->mm);
	return 0;
}

static void mmu_race_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	const u64 pages = 1024;
	struct task_struct *task[3];
	struct race *r;
	unsigned long a, end;
	long mapped = 0;
	int i, level;

	test_vm_attach(test, t);
	a = test_mmap(test, pages * PAGE_SIZE, false);
	KUNIT_ASSERT_EQ(test, test_region(t, 0, GPA, pages * PAGE_SIZE, a, 0), 0);
	r = kunit_kcalloc(test, ARRAY_SIZE(task), sizeof(*r), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r);
	for (i = 0; i < ARRAY_SIZE(task); i++) {
		r[i].t = t;
		r[i].mm = current->mm;
		r[i].pages = pages;
		r[i].vcpu.vm = &t->vm;
		r[i].vcpu.run = (void *)get_zeroed_page(GFP_KERNEL);
		task[i] = kthread_run(race_thread, &r[i], "vireo-race/%d", i);
		KUNIT_ASSERT_FALSE(test, IS_ERR(task[i]));
	}

	/* As with vCPUs: a change waits for those who use the old map. */
	t->vm.nr_vcpus = 1;
	for (end = jiffies + HZ; time_before(jiffies, end);) {
		unsigned long at = a + (get_random_u32() % (pages - 64)) * PAGE_SIZE;
		unsigned long n = (1 + get_random_u32() % 64) * PAGE_SIZE;

		KUNIT_EXPECT_EQ(test, vm_munmap(at, n), 0);
		for (i = 0; i < n >> PAGE_SHIFT; i++) {
			test_tdp_find(mmu, (GPA + (at - a)) / PAGE_SIZE + i, &level);
			KUNIT_EXPECT_EQ(test, level, 0);
		}
		KUNIT_EXPECT_EQ(test, vm_mmap(NULL, at, n, PROT_READ | PROT_WRITE,
					      MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED, 0), at);
		/* The region's neighbour comes and goes, so that the map changes under faults. */
		KUNIT_EXPECT_EQ(test, test_region(t, 1, 0, PAGE_SIZE, a, 0), 0);
		KUNIT_EXPECT_EQ(test, test_region_delete(t, 1), 0);
		usleep_range(100, 200);
	}
	for (i = 0; i < ARRAY_SIZE(task); i++) {
		kthread_stop(task[i]);
		KUNIT_EXPECT_GT(test, r[i].faults, 0);
		KUNIT_EXPECT_EQ_MSG(test, r[i].errors, 0, "outcome %d", r[i].error);
		vireo_mmu_vcpu_destroy(&r[i].vcpu);
		free_page((unsigned long)r[i].vcpu.run);
	}
	t->vm.nr_vcpus = 0;
	KUNIT_EXPECT_EQ(test, mmu->invalidate_busy, 0);
	test_tdp_check_counts(test, mmu);

	for (i = 0; i < pages; i++) {
		u64 entry = test_tdp_find(mmu, GPA / PAGE_SIZE + i, &level);

		if (!level)
			continue;
		mapped++;
		/* host_pa() only reads: it cannot change what is mapped. */
		if (level == 1)
			KUNIT_EXPECT_EQ(test, entry & TDP_ADDRESS,
					host_pa(test, a + i * PAGE_SIZE));
	}
	KUNIT_EXPECT_GT(test, mapped, 0);
	kunit_info(test, "%lu + %lu + %lu faults\n", r[0].faults, r[1].faults, r[2].faults);
}

/* A large leaf becomes a table of smaller ones that map and allow the same. */
static void mmu_split_test(struct kunit *test)
{
	static const unsigned int some[] = { 0, 1, 300, 511 };
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	struct vireo_mmu_cache none = {};
	int level, l, i;

	for (level = 2; level <= t->format.max_level; level++) {
		const u64 gfn = (u64)level << 20, pa = (u64)level << 33, small = tdp_pages(level - 1);
		u64 *e, old, entry;

		KUNIT_ASSERT_EQ(test, put(test, t, gfn, level, pa), level);
		cache_fill(test, &t->vcpu.mmu_cache);
		/* what a range only touches loses the right as well */
		write_lock(&mmu->lock);
		vireo_tdp_protect(mmu, gfn + 5, gfn + 6, false);
		write_unlock(&mmu->lock);
		read_lock(&mmu->lock);
		KUNIT_EXPECT_EQ(test, vireo_tdp_reach(mmu, &t->vcpu.mmu_cache, gfn, 1, &e), level);
		old = *e;
		KUNIT_EXPECT_EQ(test, old, tdp_leaf(&t->format, pa, level));
		KUNIT_EXPECT_FALSE(test, vireo_tdp_split(mmu, &none, e, old, level, 0));
		KUNIT_EXPECT_EQ(test, *e, old);
		KUNIT_EXPECT_TRUE(test, vireo_tdp_split(mmu, &t->vcpu.mmu_cache, e, old, level, 0));
		/* late: nothing happens, and the page is fit for use still */
		KUNIT_EXPECT_TRUE(test, vireo_tdp_split(mmu, &t->vcpu.mmu_cache, e, old, level, 0));
		read_unlock(&mmu->lock);
		for (i = 0; i < t->vcpu.mmu_cache.nr; i++)
			KUNIT_EXPECT_NULL(test, memchr_inv(t->vcpu.mmu_cache.pages[i], 0, PAGE_SIZE));
		for (i = 0; i < ARRAY_SIZE(some); i++) {
			entry = test_tdp_find(mmu, gfn + some[i] * small, &l);
			KUNIT_EXPECT_EQ(test, l, level - 1);
			KUNIT_EXPECT_EQ(test, entry, tdp_leaf(&t->format, pa + ((some[i] * small) << 12), level - 1));
		}
		test_tdp_check_counts(test, mmu);
	}
}

static bool writable(struct test_vm *t, u64 gfn)
{
	int level;

	return test_tdp_find(&t->vm.mmu, gfn, &level) & TDP_WRITE;
}

/* Frames lose the right to be written: a word's bits across two tables, and a range. */
static void mmu_protect_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	u64 gfn;

	for (gfn = 0x1fe; gfn < 0x206; gfn++)
		KUNIT_ASSERT_EQ(test, put(test, t, gfn, 1, gfn << 12), 1);
	write_lock(&mmu->lock);
	/* 0x1ff, 0x201, and one that is not mapped at all */
	vireo_tdp_protect_word(mmu, 0x1fe, BIT(1) | BIT(3) | BIT(40));
	vireo_tdp_protect_word(mmu, 0x40000000, ~0UL);
	write_unlock(&mmu->lock);
	for (gfn = 0x1fe; gfn < 0x206; gfn++)
		KUNIT_EXPECT_EQ(test, writable(t, gfn), gfn != 0x1ff && gfn != 0x201);
	write_lock(&mmu->lock);
	vireo_tdp_protect(mmu, 0x203, 0x205, false);
	vireo_tdp_protect(mmu, 0x205, 0x205, false);
	write_unlock(&mmu->lock);
	KUNIT_EXPECT_TRUE(test, writable(t, 0x202));
	KUNIT_EXPECT_FALSE(test, writable(t, 0x203));
	KUNIT_EXPECT_FALSE(test, writable(t, 0x204));
	KUNIT_EXPECT_TRUE(test, writable(t, 0x205));

	/* with a log only dirty bits go, unless all are to */
	mmu->log = true;
	write_lock(&mmu->lock);
	vireo_tdp_protect(mmu, 0x1fe, 0x1ff, false);
	vireo_tdp_protect(mmu, 0x205, 0x206, true);
	write_unlock(&mmu->lock);
	mmu->log = false;
	KUNIT_EXPECT_TRUE(test, writable(t, 0x1fe));
	KUNIT_EXPECT_FALSE(test, writable(t, 0x205));
	test_tdp_check_counts(test, mmu);
}

/* The entry of a frame, or that of the table of level 1 which it is in: the simple way */
static u64 *bits_entry(struct vireo_mmu *mmu, u64 gfn, int level)
{
	u64 *table = __va(mmu->root & GENMASK_ULL(51, 12));
	int l;

	for (l = mmu->levels; l > level; l--)
		table = __va(table[(gfn >> (9 * (l - 1))) % 512] & GENMASK_ULL(51, 12));
	return &table[(gfn >> (9 * (level - 1))) % 512];
}

/* As a processor does when a guest writes */
static void bits_write(struct test_vm *t, u64 gfn, bool walk)
{
	*bits_entry(&t->vm.mmu, gfn, 1) |= t->format.accessed | t->format.dirty;
	if (walk)
		*bits_entry(&t->vm.mmu, gfn, 2) |= t->format.accessed;
}

#define BITS_PAGES 1024ULL

/* How many pages of all are dirty; -1 if not @page is, which is not looked at if there are none. */
static long bits_get(struct test_vm *t, unsigned long user, u64 page)
{
	struct vireo_dirty_log log = { .size = sizeof(log), .pages = BITS_PAGES, .bitmap = user };
	u64 word = 0;
	int r;

	if (clear_user((void __user *)user, BITS_PAGES / 8))
		return -EFAULT;
	mutex_lock(&t->vm.lock);
	r = vireo_track_get(&t->vm, &log);
	mutex_unlock(&t->vm.lock);
	if (r || !log.found)
		return r;
	if (get_user(word, (u64 __user *)(user + page / 64 * 8)))
		return -EFAULT;
	return word >> page % 64 & 1 ? (long)log.found : -1;
}

/* Dirty tracking by dirty bits alone: they are found where they are, and before they go. */
static void mmu_bits_test(struct kunit *test)
{
	struct test_vm *t = test->priv;
	struct vireo_mmu *mmu = &t->vm.mmu;
	const u64 gfn = 0x40000;
	struct vireo_tracking arg = { .size = sizeof(arg), .on = 1 };
	unsigned long a, user;
	u64 entry;
	int level;

	if (!t->format.dirty) {
		kunit_skip(test, "no dirty bits");
		return;
	}
	test_vm_attach(test, t);
	a = test_mmap(test, BITS_PAGES * PAGE_SIZE, true);
	user = test_mmap(test, PAGE_SIZE, false);
	KUNIT_ASSERT_EQ(test, test_region(t, 0, gfn << 12, BITS_PAGES * PAGE_SIZE, a, 0), 0);
	mmu->dirty_bits = true;
	touch(test, a + 4 * PAGE_SIZE, true);
	touch(test, a + 5 * PAGE_SIZE, true);
	touch(test, a + 600 * PAGE_SIZE, true);
	/* written before it begins */
	KUNIT_EXPECT_EQ(test, fault_slow(t, (gfn + 4) << 12, W), VIREO_FAULT_FIXED);
	mutex_lock(&t->vm.lock);
	KUNIT_ASSERT_EQ(test, vireo_track_set(&t->vm, &arg), 0);
	mutex_unlock(&t->vm.lock);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 0), 0);

	/* read, and writable all the same */
	KUNIT_EXPECT_EQ(test, fault_slow(t, (gfn + 5) << 12, R), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, fault_slow(t, (gfn + 600) << 12, R), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_TRUE(test, writable(t, gfn + 4) && writable(t, gfn + 5) && writable(t, gfn + 600));
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 0), 0);

	bits_write(t, gfn + 5, true);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 5), 1);
	KUNIT_EXPECT_TRUE(test, writable(t, gfn + 5));
	/* by a processor that came to the table before, and has not been flushed by then; it is not looked for again */
	bits_write(t, gfn + 4, false);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 4), 1);
	bits_write(t, gfn + 4, false);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 4), 0);
	*bits_entry(mmu, gfn, 2) |= t->format.accessed;
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 4), 1);
	bits_write(t, gfn + 600, true);
	bits_write(t, gfn + 5, true);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 600), 2);
	/* a fault for a write */
	KUNIT_EXPECT_EQ(test, fault_slow(t, (gfn + 700) << 12, W), VIREO_FAULT_FIXED);
	*bits_entry(mmu, gfn + 700, 2) |= t->format.accessed;
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 700), 1);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 700), 0);

	/* the host takes it away, together with others or alone; the region does */
	bits_write(t, gfn + 600, true);
	KUNIT_ASSERT_EQ(test, vm_munmap(a + 512 * PAGE_SIZE, 512 * PAGE_SIZE), 0);
	test_tdp_find(mmu, gfn + 600, &level);
	KUNIT_EXPECT_EQ(test, level, 0);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 600), 1);
	/* these may have gone with it: the host has split what could have been a large page */
	KUNIT_EXPECT_EQ(test, fault_slow(t, (gfn + 4) << 12, R), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, fault_slow(t, (gfn + 5) << 12, R), VIREO_FAULT_FIXED);
	bits_write(t, gfn + 4, true);
	vireo_mmu_zap_gfns(&t->vm, gfn + 4, gfn + 5);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 4), 1);

	/* a second consumer hears of nothing that was before, the first one of all */
	bits_write(t, gfn + 5, true);
	arg.consumer = 1;
	mutex_lock(&t->vm.lock);
	KUNIT_ASSERT_EQ(test, vireo_track_set(&t->vm, &arg), 0);
	KUNIT_EXPECT_FALSE(test, *bits_entry(mmu, gfn + 5, 1) & t->format.dirty);
	arg.on = 0;
	KUNIT_ASSERT_EQ(test, vireo_track_set(&t->vm, &arg), 0);
	mutex_unlock(&t->vm.lock);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 5), 1);

	/* in order: by write protection, from now on */
	bits_write(t, gfn + 5, true);
	mutex_lock(&t->vm.lock);
	vireo_track_order(&t->vm);
	mutex_unlock(&t->vm.lock);
	entry = test_tdp_find(mmu, gfn + 5, &level);
	KUNIT_EXPECT_FALSE(test, entry & (TDP_WRITE | t->format.dirty));
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 5), 1);
	KUNIT_EXPECT_EQ(test, fault_slow(t, (gfn + 5) << 12, R), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_FALSE(test, writable(t, gfn + 5));
	KUNIT_EXPECT_EQ(test, fault_slow(t, (gfn + 5) << 12, W), VIREO_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, bits_get(t, user, 5), 1);
	KUNIT_EXPECT_FALSE(test, writable(t, gfn + 5));
	test_tdp_check_counts(test, mmu);
}

static struct kunit_case mmu_cases[] = {
	KUNIT_CASE(mmu_format_test),
	KUNIT_CASE_PARAM(mmu_reach_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_zap_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_young_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_split_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_protect_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_bits_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_model_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_fault_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_around_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_readonly_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_dirty_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_large_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_no_large_exec_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_age_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_invalidate_test, mmu_caps_gen_params),
	KUNIT_CASE_PARAM(mmu_race_test, mmu_caps_gen_params),
	{}
};

struct kunit_suite vireo_mmu_suite = {
	.name = "vireo-mmu",
	.init = mmu_init,
	.exit = mmu_exit,
	.test_cases = mmu_cases,
};

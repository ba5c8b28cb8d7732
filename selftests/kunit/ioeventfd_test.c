// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the table of ioeventfds.  The eventfds are addresses that nobody follows.
 */
#include <kunit/test.h>
#include <linux/slab.h>

#include "../../kmod/irq/ioeventfd.h"

#define CTX(n)		((struct eventfd_ctx *)(unsigned long)(0x1000 + (n) * 0x10))
#define PIO		VIREO_IOEVENTFD_PIO
#define MATCH		VIREO_IOEVENTFD_MATCH

static int check(u64 addr, u32 len, u32 flags, u64 match, struct ioeventfd *e)
{
	struct vireo_ioeventfd arg = {
		.size = sizeof(arg), .addr = addr, .len = len, .flags = flags, .match = match,
	};
	struct ioeventfd unused;

	return vireo_ioeventfd_check(&arg, e ?: &unused);
}

static void ioeventfd_check(struct kunit *test)
{
	u32 len;

	for (len = 0; len < 20; len++) {
		bool mmio = len == 0 || len == 1 || len == 2 || len == 4 || len == 8;

		KUNIT_EXPECT_EQ(test, check(0x1000, len, 0, 0, NULL), mmio ? 0 : -EINVAL);
		KUNIT_EXPECT_EQ(test, check(0x1000, len, PIO, 0, NULL),
				mmio && len && len < 8 ? 0 : -EINVAL);
		KUNIT_EXPECT_EQ(test, check(0x1000, len, MATCH, 1, NULL),
				mmio && len ? 0 : -EINVAL);
	}
	KUNIT_EXPECT_EQ(test, check(0x1000, 1, 8, 0, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(0x1000, 1, MATCH, 0x100, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(0x1000, 2, MATCH, 0xffff, NULL), 0);
	KUNIT_EXPECT_EQ(test, check(0x1000, 8, MATCH, ~0ULL, NULL), 0);
	KUNIT_EXPECT_EQ(test, check(0xffff, 1, PIO, 0, NULL), 0);
	KUNIT_EXPECT_EQ(test, check(0xffff, 2, PIO, 0, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(0x10000, 1, PIO, 0, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(BIT_ULL(52) - 8, 8, 0, 0, NULL), 0);
	KUNIT_EXPECT_EQ(test, check(BIT_ULL(52) - 7, 8, 0, 0, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(~0ULL, 0, 0, 0, NULL), -EINVAL);
}

/* One address, told apart by space, length and value; the more specific first. */
static void ioeventfd_choice(struct kunit *test)
{
	struct ioeventfd e[6];
	struct vireo_ioeventfds *table;
	u32 order;

	for (order = 0; order < 6; order++) {
		u32 i;

		for (i = 0; i < 6; i++) {
			struct ioeventfd *to = &e[(i + order) % 6];

			switch (i) {
			case 0:
				check(0x500, 0, 0, 0, to);
				break;
			case 1:
				check(0x500, 4, 0, 0, to);
				break;
			case 2:
				check(0x500, 4, MATCH, 7, to);
				break;
			case 3:
				check(0x500, 2, MATCH, 0, to);
				break;
			case 4:
				check(0x500, 4, PIO, 0, to);
				break;
			case 5:
				check(0x508, 8, MATCH, ~0ULL, to);
				break;
			}
			to->ctx = CTX(i);
		}
		table = vireo_ioeventfd_build(e, 6);
		KUNIT_ASSERT_NOT_NULL(test, table);
#define FOUND(pio, addr, len, data) ({								\
	struct ioeventfd *found = vireo_ioeventfd_find(table, pio, addr, len, data);	\
	found ? found->ctx : NULL; })
		KUNIT_EXPECT_PTR_EQ(test, FOUND(false, 0x500, 1, 3), CTX(0));
		KUNIT_EXPECT_PTR_EQ(test, FOUND(false, 0x500, 8, 7), CTX(0));
		KUNIT_EXPECT_PTR_EQ(test, FOUND(false, 0x500, 4, 3), CTX(1));
		KUNIT_EXPECT_PTR_EQ(test, FOUND(false, 0x500, 4, 7), CTX(2));
		KUNIT_EXPECT_PTR_EQ(test, FOUND(false, 0x500, 2, 0), CTX(3));
		KUNIT_EXPECT_PTR_EQ(test, FOUND(false, 0x500, 2, 1), CTX(0));
		KUNIT_EXPECT_PTR_EQ(test, FOUND(true, 0x500, 4, 7), CTX(4));
		KUNIT_EXPECT_PTR_EQ(test, FOUND(true, 0x500, 2, 7), NULL);
		KUNIT_EXPECT_PTR_EQ(test, FOUND(false, 0x508, 8, ~0ULL), CTX(5));
		KUNIT_EXPECT_PTR_EQ(test, FOUND(false, 0x508, 8, ~1ULL), NULL);
		KUNIT_EXPECT_PTR_EQ(test, FOUND(false, 0x501, 1, 0), NULL);
		KUNIT_EXPECT_PTR_EQ(test, FOUND(true, 0x508, 4, 0), NULL);
		kvfree(table);
	}
}

/* As many as there can be, against a plain search. */
static void ioeventfd_many(struct kunit *test)
{
	const u64 base = 0xd000000000ULL;
	const u32 max = 512;
	struct ioeventfd *e = kunit_kcalloc(test, max, sizeof(*e), GFP_KERNEL);
	struct vireo_ioeventfds *table;
	u32 nr, i;

	KUNIT_ASSERT_NOT_NULL(test, e);
	for (nr = 1; nr <= max; nr = nr * 2 + (nr < 100)) {
		for (i = 0; i < nr; i++) {
			check(base + i * 4, 4, 0, 0, &e[i]);
			e[i].ctx = CTX(i);
		}
		table = vireo_ioeventfd_build(e, nr);
		KUNIT_ASSERT_NOT_NULL(test, table);
		KUNIT_EXPECT_LE(test, table->nr * 2, table->mask + 1);
		for (i = 0; i < nr; i++)
			KUNIT_EXPECT_PTR_EQ(test, FOUND(false, base + i * 4, 4, i), CTX(i));
		for (; i < nr + 1000; i++)
			KUNIT_EXPECT_PTR_EQ(test, FOUND(false, base + i * 4, 4, i), NULL);
		for (i = 0; i < 0x10000; i += 3)
			KUNIT_EXPECT_PTR_EQ(test, FOUND(true, i, 4, i), NULL);
		kvfree(table);
	}

	/* All at one address. */
	for (i = 0; i < max; i++) {
		check(0x80, 2, PIO | MATCH, i, &e[i]);
		e[i].ctx = CTX(i);
	}
	table = vireo_ioeventfd_build(e, max);
	KUNIT_ASSERT_NOT_NULL(test, table);
	for (i = 0; i < max; i++)
		KUNIT_EXPECT_PTR_EQ(test, FOUND(true, 0x80, 2, i), CTX(i));
	KUNIT_EXPECT_PTR_EQ(test, FOUND(true, 0x80, 2, max), NULL);
	kvfree(table);
}

static struct kunit_case ioeventfd_cases[] = {
	KUNIT_CASE(ioeventfd_check),
	KUNIT_CASE(ioeventfd_choice),
	KUNIT_CASE(ioeventfd_many),
	{}
};

extern struct kunit_suite vireo_ioeventfd_suite;
struct kunit_suite vireo_ioeventfd_suite = {
	.name = "vireo-ioeventfd",
	.test_cases = ioeventfd_cases,
};

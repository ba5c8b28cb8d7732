// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow pages without a processor: made, linked, mapped, cut off, reclaimed, their numbers used again;
 * what a comparison with the guest's entry leaves of rights; and that the proof of all this
 * (VIREO_CHECK) sees what is broken on purpose.
 *
 * The guest's memory is real user memory; there is no vCPU, so all TLBs are flushed at once.
 */
#include <linux/random.h>

#include "test_vm.h"

#include "../../kmod/mmu/shadow.h"

extern struct kunit_suite vireo_shadow_suite;

#define PAGES		2048U		/* of the guest's memory, which starts at 0 */
#define TABLE_GFN	16U		/* tables lie here ... */
#define FRAME_GFN	512U		/* ... and what they map from here on */

static const struct vireo_caps shadow_caps = {
	.vendor = VIREO_VENDOR_AMD, .max_level = 3, .root_levels = 4, .nested_ad = true,
};

struct shadow_test {
	struct test_vm *t;
	struct vireo_vm *vm;
	struct vireo_shadow *s;
	const struct vireo_mem *mem;
	unsigned long hva;
};

static int shadow_test_init(struct kunit *test)
{
	struct shadow_test *st = kunit_kzalloc(test, sizeof(*st), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, st);
	if (!vireo_caps.phys_bits)
		vireo_caps.phys_bits = 40;
	test_vm_create(test, &st->t, &shadow_caps);
	test->priv = st;
	st->vm = &st->t->vm;
	test_vm_attach(test, st->t);
	KUNIT_ASSERT_EQ(test, vireo_shadow_create(st->vm), 0);
	st->s = st->vm->mmu.shadow;
	st->hva = test_mmap(test, PAGES * PAGE_SIZE, false);
	KUNIT_ASSERT_EQ(test, test_region(st->t, 0, 0, PAGES * PAGE_SIZE, st->hva, 0), 0);
	mutex_lock(&st->vm->lock);
	st->mem = vireo_mem_find(vireo_mem_map(st->vm), 0);
	mutex_unlock(&st->vm->lock);
	return 0;
}

static void shadow_test_exit(struct kunit *test)
{
	struct shadow_test *st = test->priv;

	if (!st)
		return;
	vireo_shadow_destroy(st->vm);
	test_vm_destroy(st->t);
}

static union shadow_role role_of(int level, enum shadow_format format)
{
	union shadow_role role = { .word = 0 };

	role.level = level;
	role.format = format;
	role.nx = format >= SHADOW_PAE;
	return role;
}

/* As often as it takes, with the lock held. */
static struct shadow_page *make(struct kunit *test, struct shadow_test *st, u64 gfn, int level,
				enum shadow_format format)
{
	struct shadow_page *sp;

	write_unlock(&st->vm->mmu.lock);
	KUNIT_EXPECT_EQ(test, shadow_fill_spare(st->vm), 0);
	write_lock(&st->vm->mmu.lock);
	sp = shadow_get(st->vm, st->mem, gfn, role_of(level, format));
	KUNIT_EXPECT_FALSE(test, IS_ERR(sp));
	return sp;
}

static u32 list_count(const struct vireo_shadow *s, u32 entry)
{
	u32 n = 0;

	for (; entry && n < 100000; n++)
		entry = shadow_by_id(s, entry)->next[entry % SHADOW_ENTRIES];
	return n;
}

/* What the proof says; the leaves here are of no page of the host's. */
static u32 violations(struct shadow_test *st, const char *text)
{
	struct vireo_check check = { .size = sizeof(check) };

	write_unlock(&st->vm->mmu.lock);
	vireo_shadow_check(st->vm, &check);
	write_lock(&st->vm->mmu.lock);
	return check.violations && (!text || strstr(check.text, text));
}

#define LEAF	(PT_PRESENT | PT_ACCESSED | PT_WRITE | PT_USER)

static void map(struct shadow_test *st, struct shadow_page *sp, unsigned int i, u64 gfn)
{
	shadow_set_leaf(st->vm, st->mem, sp, i, gfn, LEAF | gfn << PAGE_SHIFT);
}

/* ------------------------------------------------------------------ */

/* Many entries for few frames, in and out in any order: the lists are what a model says. */
static void shadow_list_test(struct kunit *test)
{
	struct shadow_test *st = test->priv;
	struct shadow_page *sp[4];
	u32 counts[8] = {}, total = 0;
	u8 (*where)[SHADOW_ENTRIES] = kunit_kzalloc(test, sizeof(*where) * 4, GFP_KERNEL);
	int i, round;

	KUNIT_ASSERT_NOT_NULL(test, where);
	write_lock(&st->vm->mmu.lock);
	for (i = 0; i < 4; i++)
		sp[i] = make(test, st, TABLE_GFN + i, 1, SHADOW_4LEVEL);
	for (round = 0; round < 20000; round++) {
		u32 r = get_random_u32(), p = r % 4, e = r / 4 % SHADOW_ENTRIES, f = r >> 29;
		u8 *now = &where[p][e];

		if (r & BIT(20)) {
			shadow_clear(st->vm, sp[p], e);
			if (*now) {
				counts[*now - 1]--;
				total--;
			}
			*now = 0;
		} else {
			map(st, sp[p], e, FRAME_GFN + f);
			if (*now)
				counts[*now - 1]--;
			else
				total++;
			counts[f]++;
			*now = f + 1;
		}
	}
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, list_count(st->s, shadow_frame(st->mem, FRAME_GFN + i, 1)->first),
				counts[i]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&st->vm->mmu.pages[1]), total);
	for (i = 0; i < 4; i++)
		shadow_clear_all(st->vm, sp[i]);
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, shadow_frame(st->mem, FRAME_GFN + i, 1)->first, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&st->vm->mmu.pages[1]), 0);
	KUNIT_EXPECT_FALSE(test, violations(st, NULL));
	write_unlock(&st->vm->mmu.lock);
}

/* A table appears: what maps its frame loses the right to write, and large mappings go. */
static void shadow_protect_test(struct kunit *test)
{
	struct shadow_test *st = test->priv;
	struct shadow_page *pt, *pd, *table;

	write_lock(&st->vm->mmu.lock);
	pt = make(test, st, TABLE_GFN, 1, SHADOW_4LEVEL);
	pd = make(test, st, TABLE_GFN + 1, 2, SHADOW_4LEVEL);
	map(st, pt, 3, FRAME_GFN);
	map(st, pt, 4, FRAME_GFN + 1);
	shadow_set_leaf(st->vm, st->mem, pd, 7, FRAME_GFN, LEAF | PT_LARGE | FRAME_GFN << PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&st->vm->mmu.pages[2]), 1);
	KUNIT_EXPECT_TRUE(test, shadow_may_write(st->vm, st->mem, FRAME_GFN));

	table = make(test, st, FRAME_GFN, 1, SHADOW_PAE);
	KUNIT_EXPECT_FALSE(test, pt->table[3] & PT_WRITE);
	KUNIT_EXPECT_TRUE(test, pt->table[4] & PT_WRITE);
	KUNIT_EXPECT_EQ(test, pd->table[7], 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&st->vm->mmu.pages[2]), 0);
	KUNIT_EXPECT_FALSE(test, st->s->stale);
	KUNIT_EXPECT_FALSE(test, shadow_may_write(st->vm, st->mem, FRAME_GFN));
	KUNIT_EXPECT_EQ(test, shadow_frame(st->mem, FRAME_GFN, 1)->tables, 1);
	KUNIT_EXPECT_EQ(test, shadow_frame(st->mem, FRAME_GFN, 2)->tables, 1);
	KUNIT_EXPECT_EQ(test, shadow_frame(st->mem, FRAME_GFN, 3)->tables, 3);

	/* Found again by frame and role only. */
	KUNIT_EXPECT_PTR_EQ(test, shadow_find(st->s, FRAME_GFN, table->role), table);
	KUNIT_EXPECT_NULL(test, shadow_find(st->s, FRAME_GFN, role_of(1, SHADOW_4LEVEL)));
	KUNIT_EXPECT_NULL(test, shadow_find(st->s, FRAME_GFN + 1, table->role));

	/* Nothing leads to it: a write makes it something else. */
	KUNIT_EXPECT_TRUE(test, shadow_unsync(st->vm, FRAME_GFN));
	KUNIT_EXPECT_NULL(test, shadow_find(st->s, FRAME_GFN, role_of(1, SHADOW_PAE)));
	/* Something does: out of step, and only if of level 1. */
	table = make(test, st, FRAME_GFN, 1, SHADOW_4LEVEL);
	shadow_link(st->vm, pd, 9, table, PT_WRITE | PT_USER);
	KUNIT_EXPECT_TRUE(test, shadow_unsync(st->vm, FRAME_GFN));
	KUNIT_EXPECT_TRUE(test, shadow_may_write(st->vm, st->mem, FRAME_GFN));
	KUNIT_EXPECT_FALSE(test, list_empty(&table->unsync));
	pd->roots++;
	KUNIT_EXPECT_FALSE(test, shadow_unsync(st->vm, TABLE_GFN + 1));
	pd->roots--;
	write_unlock(&st->vm->mmu.lock);
}

/* Cut off: out of hash, lists, counters; the page is spare after the flush, its number free. */
static void shadow_zap_test(struct kunit *test)
{
	struct shadow_test *st = test->priv;
	struct shadow_page *pt, *pd;
	u32 id, nr;

	write_lock(&st->vm->mmu.lock);
	pd = make(test, st, TABLE_GFN + 1, 2, SHADOW_4LEVEL);
	pt = make(test, st, TABLE_GFN, 1, SHADOW_4LEVEL);
	shadow_link(st->vm, pd, 5, pt, PT_WRITE | PT_USER);
	shadow_link(st->vm, pd, 6, pt, PT_USER);
	map(st, pt, 3, FRAME_GFN);
	KUNIT_EXPECT_EQ(test, list_count(st->s, pt->parents), 2);
	id = pt->id;
	nr = st->s->nr;

	shadow_zap_page(st->vm, pt);
	KUNIT_EXPECT_EQ(test, pd->table[5], 0);
	KUNIT_EXPECT_EQ(test, pd->table[6], 0);
	KUNIT_EXPECT_TRUE(test, bitmap_empty(pd->used, SHADOW_ENTRIES));
	KUNIT_EXPECT_EQ(test, shadow_frame(st->mem, FRAME_GFN, 1)->first, 0);
	KUNIT_EXPECT_EQ(test, shadow_frame(st->mem, TABLE_GFN, 1)->tables, 0);
	KUNIT_EXPECT_EQ(test, st->s->nr, nr - 1);
	KUNIT_EXPECT_EQ(test, st->s->nr_limbo, 1);
	KUNIT_EXPECT_TRUE(test, st->s->stale);
	/* Its number is the next one, its memory is not. */
	KUNIT_EXPECT_EQ(test, st->s->free_id, id);
	KUNIT_EXPECT_TRUE(test, shadow_flush(st->vm));
	KUNIT_EXPECT_EQ(test, st->s->nr_limbo, 0);
	KUNIT_EXPECT_FALSE(test, st->s->stale);

	/* A root stays, empty, until it is put. */
	pd->roots = 1;
	map(st, make(test, st, TABLE_GFN + 2, 1, SHADOW_4LEVEL), 0, FRAME_GFN);
	nr = st->s->nr;
	shadow_zap_page(st->vm, pd);
	KUNIT_EXPECT_TRUE(test, pd->invalid);
	KUNIT_EXPECT_NULL(test, shadow_find(st->s, TABLE_GFN + 1, role_of(2, SHADOW_4LEVEL)));
	KUNIT_EXPECT_EQ(test, st->s->nr, nr);
	shadow_put_root(st->vm, pd);
	KUNIT_EXPECT_EQ(test, st->s->nr, nr - 1);
	write_unlock(&st->vm->mmu.lock);

	/* A range: leaves of all levels that touch it, and tables in it. */
	write_lock(&st->vm->mmu.lock);
	pt = make(test, st, TABLE_GFN, 1, SHADOW_4LEVEL);
	pd = make(test, st, TABLE_GFN + 1, 2, SHADOW_4LEVEL);
	map(st, pt, 0, FRAME_GFN);
	map(st, pt, 1, FRAME_GFN + 1);
	map(st, pt, 2, FRAME_GFN + 2);
	shadow_set_leaf(st->vm, st->mem, pd, 0, FRAME_GFN, LEAF | PT_LARGE | FRAME_GFN << PAGE_SHIFT);
	KUNIT_EXPECT_TRUE(test, vireo_shadow_zap(st->vm, st->mem, FRAME_GFN + 1, FRAME_GFN + 2));
	KUNIT_EXPECT_NE(test, pt->table[0], 0);
	KUNIT_EXPECT_EQ(test, pt->table[1], 0);
	KUNIT_EXPECT_NE(test, pt->table[2], 0);
	KUNIT_EXPECT_EQ(test, pd->table[0], 0);
	vireo_shadow_zap(st->vm, st->mem, TABLE_GFN, TABLE_GFN + 1);
	KUNIT_EXPECT_NULL(test, shadow_find(st->s, TABLE_GFN, role_of(1, SHADOW_4LEVEL)));
	KUNIT_EXPECT_NOT_NULL(test, shadow_find(st->s, TABLE_GFN + 1, role_of(2, SHADOW_4LEVEL)));
	vireo_shadow_zap_all(st->vm);
	shadow_flush(st->vm);
	KUNIT_EXPECT_EQ(test, st->s->nr, 0);
	KUNIT_EXPECT_FALSE(test, violations(st, NULL));
	write_unlock(&st->vm->mmu.lock);
}

/* Beyond the bound the oldest go first; those that were used since, and roots, stay. */
static void shadow_reclaim_test(struct kunit *test)
{
	struct shadow_test *st = test->priv;
	struct shadow_page *root, *used;
	u32 limit = st->s->limit, i;

	write_lock(&st->vm->mmu.lock);
	root = make(test, st, TABLE_GFN, 4, SHADOW_4LEVEL);
	root->roots = 1;
	used = make(test, st, TABLE_GFN + 1, 1, SHADOW_4LEVEL);
	for (i = 2; i < limit; i++)
		make(test, st, TABLE_GFN + i, 1, SHADOW_4LEVEL);
	KUNIT_EXPECT_EQ(test, st->s->nr, limit);
	/* Once round to mark them all, and the first of them goes. */
	shadow_make_room(st->vm, 1);
	KUNIT_EXPECT_EQ(test, st->s->nr, limit - 1);
	KUNIT_EXPECT_EQ(test, st->s->reclaimed, 1);
	KUNIT_EXPECT_NULL(test, shadow_find(st->s, TABLE_GFN + 1, role_of(1, SHADOW_4LEVEL)));
	/* The next one is used, and survives the one behind. */
	used = make(test, st, TABLE_GFN + 2, 1, SHADOW_4LEVEL);
	shadow_make_room(st->vm, 2);
	KUNIT_EXPECT_PTR_EQ(test, shadow_find(st->s, TABLE_GFN + 2, role_of(1, SHADOW_4LEVEL)), used);
	KUNIT_EXPECT_NULL(test, shadow_find(st->s, TABLE_GFN + 3, role_of(1, SHADOW_4LEVEL)));
	/* All of them, but for the root. */
	shadow_make_room(st->vm, limit);
	KUNIT_EXPECT_EQ(test, st->s->nr, 1);
	KUNIT_EXPECT_FALSE(test, root->invalid);
	root->roots = 0;
	KUNIT_EXPECT_FALSE(test, violations(st, NULL));
	write_unlock(&st->vm->mmu.lock);

	/* The host's wish: spare ones, too. */
	KUNIT_EXPECT_EQ(test, vireo_shadow_shrink(st->vm, 1), 1);
	while (vireo_shadow_shrink(st->vm, 16))
		;
	KUNIT_EXPECT_EQ(test, vireo_shadow_pages(st->vm), 0);
}

/* Numbers that were free are used again, and none twice. */
static void shadow_id_test(struct kunit *test)
{
	struct shadow_test *st = test->priv;
	DECLARE_BITMAP(seen, 2048);
	struct shadow_page *sp;
	u32 i, round;

	KUNIT_ASSERT_LE(test, st->s->capacity, 2048);
	write_lock(&st->vm->mmu.lock);
	for (round = 0; round < 3; round++) {
		bitmap_zero(seen, 2048);
		for (i = 0; i < 100; i++) {
			sp = make(test, st, TABLE_GFN + i, 1, SHADOW_4LEVEL);
			KUNIT_EXPECT_GT(test, sp->id, 0);
			KUNIT_EXPECT_LT(test, sp->id, st->s->capacity);
			KUNIT_EXPECT_FALSE(test, __test_and_set_bit(sp->id, seen));
			KUNIT_EXPECT_PTR_EQ(test, st->s->by_id[sp->id], sp);
		}
		vireo_shadow_zap_all(st->vm);
		shadow_flush(st->vm);
		KUNIT_EXPECT_FALSE(test, violations(st, NULL));
	}
	write_unlock(&st->vm->mmu.lock);
}

/* Where in the guest's table an entry's is; 32-bit tables have 1,024, and a directory's map 4 MiB. */
static void shadow_offset_test(struct kunit *test)
{
	static const struct {
		u8 level, format, quadrant;
		u16 i;
		u32 offset, size;
	} rows[] = {
		{ 1, SHADOW_4LEVEL, 0, 0, 0, 8 },
		{ 1, SHADOW_4LEVEL, 0, 511, 4088, 8 },
		{ 5, SHADOW_5LEVEL, 0, 256, 2048, 8 },
		{ 2, SHADOW_PAE, 0, 3, 24, 8 },
		{ 1, SHADOW_2LEVEL, 0, 0, 0, 4 },
		{ 1, SHADOW_2LEVEL, 0, 511, 2044, 4 },
		{ 1, SHADOW_2LEVEL, 1, 0, 2048, 4 },
		{ 1, SHADOW_2LEVEL, 1, 511, 4092, 4 },
		{ 2, SHADOW_2LEVEL, 0, 0, 0, 4 },
		{ 2, SHADOW_2LEVEL, 0, 1, 0, 4 },
		{ 2, SHADOW_2LEVEL, 0, 2, 4, 4 },
		{ 2, SHADOW_2LEVEL, 3, 0, 3072, 4 },
		{ 2, SHADOW_2LEVEL, 3, 511, 4092, 4 },
	};
	struct shadow_page *sp = kunit_kzalloc(test, sizeof(*sp), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, sp);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		sp->role.level = rows[i].level;
		sp->role.format = rows[i].format;
		sp->role.quadrant = rows[i].quadrant;
		KUNIT_EXPECT_EQ_MSG(test, shadow_guest_offset(sp, rows[i].i), rows[i].offset,
				    "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, shadow_guest_size(sp), rows[i].size, "row %d", i);
	}
}

/* All combinations of present, accessed, dirty, rights, reserved bits and another frame. */
static void shadow_agree_test(struct kunit *test)
{
	static const u64 bits[] = { PT_PRESENT, PT_WRITE, PT_USER, PT_ACCESSED, PT_DIRTY, PT_NX,
				    BIT_ULL(55), 1ULL << PAGE_SHIFT };
	struct shadow_page *sp = kunit_kzalloc(test, sizeof(*sp), GFP_KERNEL);
	u32 mix, format, nx, own;
	int b;

	KUNIT_ASSERT_NOT_NULL(test, sp);
	sp->role.level = 1;
	sp->gfns[9] = 0x1234;
	for (mix = 0; mix < 1U << (ARRAY_SIZE(bits) + 4); mix++) {
		u64 guest = 0x1234ULL << PAGE_SHIFT, entry, want;

		format = mix >> ARRAY_SIZE(bits) & 1 ? SHADOW_PAE : SHADOW_4LEVEL;
		nx = mix >> (ARRAY_SIZE(bits) + 1) & 1;
		own = mix >> (ARRAY_SIZE(bits) + 2) & 3;
		sp->role.format = format;
		sp->role.nx = nx;
		for (b = 0; b < ARRAY_SIZE(bits); b++)
			guest ^= mix >> b & 1 ? bits[b] : 0;
		entry = 0xabcd000ULL | PT_PRESENT | PT_ACCESSED | (own & 1 ? PT_WRITE : 0) |
			(own & 2 ? PT_USER : 0);
		want = 0xabcd000ULL | PT_PRESENT | PT_ACCESSED | (guest & (PT_USER | PT_NX));
		/* A right to write that was not there does not appear. */
		if ((own & 1) && (guest & PT_WRITE) && (guest & PT_DIRTY))
			want |= PT_WRITE;
		if (!(guest & PT_PRESENT) || !(guest & PT_ACCESSED) || (guest & BIT_ULL(12)) ||
		    ((guest & PT_NX) && !nx) || ((guest & BIT_ULL(55)) && format == SHADOW_PAE))
			want = 0;
		KUNIT_ASSERT_EQ_MSG(test, shadow_agree(sp, 9, entry, guest), want,
				    "guest %#llx, entry %#llx, format %u, nx %u", guest, entry,
				    format, nx);
	}
}

/* The proof finds what is broken, and nothing before and after. */
static void shadow_check_test(struct kunit *test)
{
	struct shadow_test *st = test->priv;
	struct shadow_page *pt, *pd;

	write_lock(&st->vm->mmu.lock);
	pd = make(test, st, TABLE_GFN + 1, 2, SHADOW_4LEVEL);
	pt = make(test, st, TABLE_GFN, 1, SHADOW_4LEVEL);
	shadow_link(st->vm, pd, 5, pt, PT_USER);
	KUNIT_EXPECT_FALSE(test, violations(st, NULL));

#define BREAK(what, to, text)							\
do {										\
	typeof(what) was = what;						\
										\
	what = to;								\
	KUNIT_EXPECT_TRUE_MSG(test, violations(st, text), "%s", #what);		\
	what = was;								\
	KUNIT_EXPECT_FALSE_MSG(test, violations(st, NULL), "%s", #what);	\
} while (0)
	BREAK(st->s->nr, was + 1, "counted");
	BREAK(st->s->nr_limbo, was + 1, "wait for a flush");
	BREAK(st->s->nr_spare, was + 1, "spare");
	BREAK(pt->roots, 1, "root of 0");
	BREAK(pt->gfn, was + 1, "found 0 times");
	BREAK(pt->hva, was + PAGE_SIZE, "another address");
	BREAK(pt->parents, 0, "on a list");
	BREAK(pd->next[5], pd->id * SHADOW_ENTRIES + 5, "list");
	BREAK(pd->prev[5], pd->id * SHADOW_ENTRIES + 6, "list");
	BREAK(pd->table[5], 0, "in use");
	BREAK(pt->table[9], PT_PRESENT, "in use");
	BREAK(st->s->by_id[pt->id], pd, "number");
	BREAK(st->mem->frames[0][TABLE_GFN].tables, 2, "tables");
	BREAK(st->mem->frames[1][0].tables, 1, "tables");
	BREAK(st->mem->frames[2][0].tables, 3, "tables");
	BREAK(st->mem->frames[0][FRAME_GFN].first, pd->id * SHADOW_ENTRIES + 5, "list");
	BREAK(st->s->free_id, 0, "lost");
#undef BREAK

	/* A leaf for which the host has no page, and a writable table. */
	map(st, pt, 3, FRAME_GFN);
	KUNIT_EXPECT_TRUE(test, violations(st, "which the host has not"));
	shadow_clear(st->vm, pt, 3);
	map(st, pt, 3, TABLE_GFN + 1);
	KUNIT_EXPECT_TRUE(test, violations(st, NULL));
	shadow_clear(st->vm, pt, 3);
	write_unlock(&st->vm->mmu.lock);
}

static struct kunit_case shadow_cases[] = {
	KUNIT_CASE(shadow_list_test),
	KUNIT_CASE(shadow_protect_test),
	KUNIT_CASE(shadow_zap_test),
	KUNIT_CASE(shadow_reclaim_test),
	KUNIT_CASE(shadow_id_test),
	KUNIT_CASE(shadow_offset_test),
	KUNIT_CASE(shadow_agree_test),
	KUNIT_CASE(shadow_check_test),
	{}
};

struct kunit_suite vireo_shadow_suite = {
	.name = "vireo-shadow",
	.init = shadow_test_init,
	.exit = shadow_test_exit,
	.test_cases = shadow_cases,
};

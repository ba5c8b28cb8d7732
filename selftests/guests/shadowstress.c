// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that changes its page tables in every way it may, for shadow paging to keep up with: and
 * after each change that the architecture makes visible (Intel SDM vol 3, 4.10; AMD APM vol 2,
 * 5.5.2), what is seen through them is compared with what the tables in memory say. In 64-bit
 * mode with four levels, in 32-bit mode with two levels and PAE.
 *
 * Options: rounds=N (percent of the usual number), seed=N, spaces=N (address spaces).
 */
#include "shadowstress.h"

const struct format *f;
void *root;
u8 *pages[PAGES];
unsigned int percent, cpus_n;
static u32 seed;
static bool has_nx;

static u32 rnd(void)
{
	return step(&seed);
}

/* How many of the @n pages from @va on differ from what @table's entries from @first on say. */
static unsigned int verify(void *table, unsigned int first, unsigned long va, unsigned int n)
{
	unsigned int i, bad = 0;
	u32 v;

	for (i = 0; i < n; i++) {
		u64 e = table_get(table, first + i);
		bool there = try_read(va + 4096UL * i + 8, &v);

		if (there != !!(e & PTE_P) || (there && v != *(volatile u32 *)((u8 *)pointer(e) + 8))) {
			if (!bad++)
				print("# %s: page %u at %#lx: entry %#llx, read %s %#x\n", f->name, i, va + 4096UL * i,
				      LL(e), there ? "there" : "fault", v);
		}
	}
	return bad;
}

static void flush_range(unsigned long va, unsigned int n)
{
	unsigned int i;

	if (rnd() & 1)
		flush_tlb();
	else
		for (i = 0; i < n; i++)
			invlpg((void *)(va + 4096UL * i));
}

void number_pages(void)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		memset(pages[i], 0, 4096);
		*(u32 *)(pages[i] + 8) = 0x1000 + i;
	}
}

static u64 random_entry(void)
{
	u32 r = rnd();

	return r % 4 == 0 ? (u64)(r & 0xfffff000) & ~(u64)PTE_P & 0xfffff000 : address(pages[r >> 8 & (PAGES - 1)]) | PTE_P | (r >> 2 & PTE_W);
}

/* --- map, unmap, remap -------------------------------------------------------------------------- */
static void test_map(void)
{
	unsigned long va = VA;
	void *table = new_table(va, 2);
	unsigned int i, k, bad = 0;
	u32 v;

	for (i = 0; i < rounds(3000); i++) {
		k = rnd() % 64;
		table_set(table, k, random_entry());
		if (rnd() & 1)
			invlpg((void *)(va + 4096UL * k));
		else
			flush_tlb();
		bad += verify(table, k, va + 4096UL * k, 1);
		if (i % 64 == 0)
			bad += verify(table, 0, va, 64);
	}
	ok(!bad, "%s: mapped, unmapped, remapped (%u wrong)", f->name, bad);

	/* without a flush where none is needed */
	for (i = bad = 0; i < rounds(500); i++) {
		k = rnd() % 64;
		table_set(table, k, 0);
		invlpg((void *)(va + 4096UL * k));
		bad += try_read(va + 4096UL * k, &v);
		table_set(table, k, address(pages[i % PAGES]) | PTE_P);
		bad += !try_read(va + 4096UL * k + 8, &v) || v != *(u32 *)(pages[i % PAGES] + 8);
		bad += try_write(va + 4096UL * k, i);
		table_set(table, k, address(pages[i % PAGES]) | PTE_P | PTE_W);
		/* one fault may come of what is cached; it drops that */
		bad += !try_write(va + 4096UL * k, i) && !try_write(va + 4096UL * k, i);
		bad += *(u32 *)pages[i % PAGES] != i;
	}
	ok(!bad, "%s: more rights without a flush (%u wrong)", f->name, bad);

	/* changed without a flush: the old page or the new one, and after it the new one */
	for (i = bad = 0; i < rounds(500); i++) {
		u8 *old = pages[rnd() % PAGES], *new = pages[rnd() % PAGES];

		k = rnd() % 64;
		table_set(table, k, address(old) | PTE_P | PTE_W);
		invlpg((void *)(va + 4096UL * k));
		bad += !try_read(va + 4096UL * k + 8, &v) || v != *(u32 *)(old + 8);
		table_set(table, k, address(new) | PTE_P | PTE_W);
		bad += !try_read(va + 4096UL * k + 8, &v) || (v != *(u32 *)(old + 8) && v != *(u32 *)(new + 8));
		flush_range(va + 4096UL * k, 1);
		bad += !try_read(va + 4096UL * k + 8, &v) || v != *(u32 *)(new + 8);
	}
	ok(!bad, "%s: old or new before a flush, new after it (%u wrong)", f->name, bad);

	/* a table moved, and one taken away above */
	for (i = bad = 0; i < rounds(200); i++) {
		void *other = new_table(va, 2);

		for (k = 0; k < 16; k++)
			table_set(other, k, random_entry());
		flush_range(va, 16);
		bad += verify(other, 0, va, 16);
		if (i % 8 == 0 && f->levels > 2) {
			u64 e = get_entry(f, slot(va, 3));

			set_entry(f, slot(va, 3), 0);
			flush_tlb();
			bad += try_read(va, &v);
			set_entry(f, slot(va, 3), e);
			flush_tlb();
			bad += verify(other, 0, va, 16);
		}
		set_entry(f, slot(va, 2), address(table) | ALL);
		flush_range(va, 64);
		bad += verify(table, 0, va, 16);
		if (i > 50)
			break;
	}
	ok(!bad, "%s: tables changed above (%u wrong)", f->name, bad);
}

/* --- tables that map themselves --------------------------------------------------------------------- */
static volatile void *window(unsigned long va)
{
#ifdef __x86_64__
	return (void *)((unsigned long)WINDOW_INDEX << 39 | (va >> 9 & 0x7ffffffff8));
#else
	if (f == &two_level)
		return (void *)(0xbfc00000 + (va >> 12) * 4);
	return (void *)(0xbf800000 + (va >> 12) * 8);
#endif
}

static void open_window(void)
{
#ifdef __x86_64__
	set_entry(f, (u64 *)root + WINDOW_INDEX, address(root) | ALL);
#else
	unsigned int i;

	if (f == &two_level) {
		set_entry(f, (u32 *)root + (0xbfc00000U >> 22), address(root) | ALL);
	} else {
		make_entry(f, root, 0xbf800000, 2);
		for (i = 0; i < 4; i++) {
			u64 pd = table_get(root, i);

			if (pd & PTE_P)
				set_entry(f, make_entry(f, root, 0xbf800000 + (i << 21), 2), (pd & PTE_ADDR) | ALL);
		}
	}
#endif
	flush_tlb();
}

static void test_recursive(void)
{
	unsigned long va = VA + (8 << 20);
	void *table = new_table(va, 2);
	unsigned int i, k, bad = 0;

	open_window();
	for (i = 0; i < rounds(1000); i++) {
		k = rnd() % 32;
		set_entry(f, window(va + 4096UL * k), random_entry());
		invlpg((void *)(va + 4096UL * k));
		bad += verify(table, k, va + 4096UL * k, 1);
		/* A and D of it show there */
		if (table_get(table, k) & PTE_W && table_get(table, k) & PTE_P) {
			bad += !(get_entry(f, window(va + 4096UL * k)) & PTE_A);
			bad += !!(get_entry(f, window(va + 4096UL * k)) & PTE_D);
			bad += !try_write(va + 4096UL * k, i);
			bad += !(get_entry(f, window(va + 4096UL * k)) & PTE_D);
		}
	}
	ok(!bad, "%s: tables that map themselves (%u wrong)", f->name, bad);

	/* a last table with an entry for itself: it rewrites the entry it is written through */
	table_set(table, 5, address(table) | PTE_P | PTE_W);
	flush_tlb();
	for (i = bad = 0; i < rounds(300); i++) {
		volatile u8 *self = (u8 *)va + 5 * 4096;

		set_entry(f, self + 6 * f->size, address(pages[i % PAGES]) | PTE_P);
		invlpg((void *)(va + 6 * 4096));
		bad += verify(table, 6, va + 6 * 4096, 1);
	}
	set_entry(f, (u8 *)va + 5 * 4096 + 5 * f->size, address(pages[7]) | PTE_P);
	invlpg((void *)(va + 5 * 4096));
	bad += verify(table, 5, va + 5 * 4096, 1);
	ok(!bad, "%s: a table with an entry for itself (%u wrong)", f->name, bad);
}

/* --- tables as data, data as tables ------------------------------------------------------------------ */
static void test_roles(void)
{
	unsigned long va = VA + (16 << 20), data = VA + (24 << 20);
	void *both[4], *table;
	unsigned int i, j, k, bad = 0;

	table = new_table(data, 2);
	for (i = 0; i < 4; i++) {
		both[i] = alloc_page();
		table_set(table, i, address(both[i]) | PTE_P | PTE_W);
	}
	make_entry(f, root, va, 1);
	flush_tlb();
	for (i = 0; i < rounds(200); i++) {
		u8 *p = both[i % 4];
		volatile u32 *through = (u32 *)(data + 4096UL * (i % 4));

		/* data */
		for (j = 0; j < 1024; j += 16)
			through[j] = i * 1024 + j;
		for (j = k = 0; j < 1024; j += 16)
			k += ((u32 *)p)[j] != i * 1024 + j;
		bad += k;
		/* a table, made through the mapping or beside it */
		for (j = 0; j < entries(); j++)
			set_entry(f, (i & 8 ? (u8 *)p : (u8 *)through) + j * f->size, j < 32 ? random_entry() : 0);
		set_entry(f, slot(va, 2), address(p) | ALL);
		flush_range(va, 32);
		bad += verify(p, 0, va, 32);
		/* still a table, written as data */
		set_entry(f, (u8 *)through + 3 * f->size, address(pages[i % PAGES]) | PTE_P);
		invlpg((void *)(va + 3 * 4096));
		bad += verify(p, 0, va, 8);
		if (i % 3 == 0) {
			set_entry(f, slot(va, 2), 0);
			flush_tlb();
		}
	}
	ok(!bad, "%s: pages that are tables and data in turn (%u wrong)", f->name, bad);
}

/* --- large and small pages ------------------------------------------------------------------------------- */
static void test_split(void)
{
	unsigned long big_size = 1UL << shift_of(f, 2), va = VA + 8 * big_size;
	u8 *big = alloc(big_size, big_size);
	void *table = alloc_page();
	unsigned int i, k, n = entries(), bad = 0;
	u32 v;

	make_entry(f, root, va, 2);
	for (i = 0; i < n; i++)
		*(u32 *)(big + 4096 * i + 8) = 0x5000 + i;
	for (i = 0; i < rounds(150); i++) {
		/* small ones in another order */
		for (k = 0; k < n; k++)
			table_set(table, k, (address(big) + 4096 * (k ^ (i & 15))) | PTE_P | PTE_W);
		set_entry(f, slot(va, 2), address(table) | ALL);
		flush_tlb();
		for (k = 0; k < 16; k++) {
			unsigned int j = rnd() % n;

			bad += !try_read(va + 4096UL * j + 8, &v) || v != 0x5000 + (j ^ (i & 15));
			bad += !try_write(va + 4096UL * j + 16, i + k);
			bad += *(volatile u32 *)(big + 4096 * (j ^ (i & 15)) + 16) != i + k;
		}
		/* one of them elsewhere */
		table_set(table, 3, address(pages[i % PAGES]) | PTE_P);
		invlpg((void *)(va + 3 * 4096));
		bad += verify(table, 0, va, 8);
		/* joined, clean: D comes with the first write only */
		set_entry(f, slot(va, 2), address(big) | PTE_P | PTE_W | PTE_PS);
		flush_range(va, n);
		for (k = 0; k < 16; k++) {
			unsigned int j = rnd() % n;

			bad += !try_read(va + 4096UL * j + 8, &v) || v != 0x5000 + j;
		}
		bad += !(get_entry(f, slot(va, 2)) & PTE_A) || get_entry(f, slot(va, 2)) & PTE_D;
		bad += !try_write(va + 4096UL * (i % n) + 20, i) || *(volatile u32 *)(big + 4096 * (i % n) + 20) != i;
		bad += !(get_entry(f, slot(va, 2)) & PTE_D);
		/* read-only for a while */
		set_entry(f, slot(va, 2), address(big) | PTE_P | PTE_PS);
		flush_range(va, n);
		bad += try_write(va + 4096UL * (i % n), i) || !try_read(va + 4096UL * (i % n), &v);
	}
	ok(!bad, "%s: large pages split and joined (%u wrong)", f->name, bad);
}

/* --- tables of two address spaces ------------------------------------------------------------------------- */
static void test_shared(void)
{
	unsigned long va = VA + (32 << 20);
	void *table = new_table(va, 2), *other = make_root(f, 0, root), *mine = root, *private[2];
	unsigned int i, k, bad = 0;

	/* the same table in both, and one of its own for each beside it */
	if (f->levels < 4) {
		if (f == &pae) {
			void *pd = alloc_page();

			memcpy(pd, pointer(table_get(root, 2)), 4096);
			table_set(other, 2, address(pd) | PTE_P);
		}
	}
	for (i = 0; i < 2; i++) {
		root = i ? other : mine;
		set_entry(f, make_entry(f, root, va, 2), address(table) | ALL);
		private[i] = new_table(va + (8 << 20), 2);
		for (k = 0; k < 16; k++)
			table_set(private[i], k, random_entry());
	}
	for (i = 0; i < rounds(400); i++) {
		k = rnd() % 32;
		table_set(table, k, random_entry());
		/* of the space that is not current too */
		table_set(private[rnd() & 1], k % 16, random_entry());
		root = i & 1 ? other : mine;
		wcr3(address(root));
		bad += verify(table, k, va + 4096UL * k, 1);
		bad += verify(private[i & 1], 0, va + (8 << 20), 16);
		if (i % 16 == 0)
			bad += verify(table, 0, va, 32);
	}
	/* A and D in the shared table, whichever space sets them */
	for (i = 0; i < rounds(100); i++) {
		table_set(table, 1, address(pages[1]) | PTE_P | PTE_W);
		root = i & 1 ? other : mine;
		wcr3(address(root));
		bad += !try_write(va + 4096, i) || (table_get(table, 1) & (PTE_A | PTE_D)) != (PTE_A | PTE_D);
		table_set(table, 1, address(pages[1]) | PTE_P | PTE_W);
		root = i & 1 ? mine : other;
		wcr3(address(root));
		bad += !try_write(va + 4096, i) || (table_get(table, 1) & (PTE_A | PTE_D)) != (PTE_A | PTE_D);
	}
	root = mine;
	wcr3(address(root));
	ok(!bad, "%s: a table in two address spaces (%u wrong)", f->name, bad);
}

/* --- its own table, for CPL 3 --------------------------------------------------------------------------------- */
void user_poke(void);
asm(".text; user_poke: mov (" DI "), " AX "; mov 8(" DI "), %ecx; mov %ecx, (" AX "); int $0x80\n");

static void test_user(void)
{
	unsigned long va = VA + (48 << 20), a;
	void *table = new_table(va, 2);
	struct { u64 where; u32 what, pad; } *order = (void *)alloc_page();
	unsigned int i, bad = 0;
	long v;

	for (a = 0; a < 4 << 20; a += 1UL << shift_of(f, 2))
		set_entry(f, make_entry(f, root, ALIAS + a, 2), a | ALL | PTE_PS);
	table_set(table, 0, address(table) | ALL);
	table_set(table, 1, address(order) | ALL);
	flush_tlb();
	user_alias = ALIAS;
	for (i = 0; i < rounds(300); i++) {
		unsigned int k = 2 + i % 30;

		order->where = va + k * f->size;
		order->what = address(pages[i % PAGES]) | (i % 5 ? PTE_P | PTE_U : 0);
		v = run_user(user_poke, va + 4096);
		bad += v != USER_RETURN;
		invlpg((void *)(va + 4096UL * k));
		bad += table_get(table, k) != order->what;
		bad += verify(table, k, va + 4096UL * k, 1);
	}
	user_alias = 0;
	ok(!bad, "%s: page tables written by CPL 3 (%u wrong)", f->name, bad);
}

/* --- writes of every kind ---------------------------------------------------------------------------------------- */
static void test_odd(void)
{
	unsigned long va = VA + (64 << 20), at = VA + (80 << 20);
	unsigned long big = 1UL << shift_of(f, 2);
	void *t[2], *maps;
	unsigned int i, k, kind, bad[16] = { 0 };
	static const char *const kinds[] = {
		"bytes", "words", "unaligned", "across two tables", "REP STOS", "REP MOVS", "MOVUPS", "XCHG", "CMPXCHG",
		"LOCK BTS, BTR", "LOCK AND, OR", "XADD", "CMPXCHG8B", "INC, NEG, ROL", "PUSH"
	};

	/* two neighbouring tables, which are neighbours also at `at` */
	for (i = 0; i < 2; i++)
		t[i] = new_table(va + i * big, 2);
	maps = new_table(at, 2);
	for (i = 0; i < 2; i++)
		table_set(maps, i, address(t[i]) | PTE_P | PTE_W);
	flush_tlb();
	for (i = 0; i < rounds(40); i++) {
		for (kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
			u8 *e;
			u64 value;

			for (k = 0; k < 4; k++) {
				table_set(t[0], k, address(pages[(i + k) % PAGES]) | PTE_P | PTE_W);
				table_set(t[0], entries() - 1 - k, address(pages[(i + k + 9) % PAGES]) | PTE_P | PTE_W);
				table_set(t[1], k, address(pages[(i + k + 20) % PAGES]) | PTE_P | PTE_W);
			}
			flush_tlb();
			bad[kind] += verify(t[0], 0, va, 4) + verify(t[1], 0, va + big, 4);
			k = rnd() % 3;
			e = (u8 *)at + k * f->size;
			value = address(pages[rnd() % PAGES]) | PTE_P | (rnd() & PTE_W);
			switch (kind) {
			case 0:
				*(volatile u8 *)e = 0;
				*(volatile u8 *)(e + 1) = value >> 8;
				*(volatile u8 *)(e + 2) = value >> 16;
				*(volatile u8 *)e = value;
				break;
			case 1:
				*(volatile u16 *)e = 0;
				*(volatile u16 *)(e + 2) = value >> 16;
				*(volatile u16 *)e = value;
				break;
			case 2:
				asm volatile("movl %0, 1(%1)" : : "r"((u32)(value >> 8 & 0xffffff)), "r"(e) : "memory");
				break;
			case 3:
				asm volatile("movl %0, -2(%1)" : : "r"((u32)(value << 16)), "r"(at + 4096) : "memory");
				break;
			case 4: {
				void *d = e;
				unsigned long n = 8;

				asm volatile("rep stosl" : "+D"(d), "+c"(n) : "a"((u32)value & (f->size == 4 ? ~0U : ~1U)) : "memory");
				break;
			}
			case 5: {
				/* from the other table */
				void *d = e;
				const void *s = t[1];
				unsigned long n = 4 * f->size;

				asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
				break;
			}
			case 6:
				asm volatile("movups (%0), %%xmm0; movups %%xmm0, (%1)" : : "r"(t[1]), "r"(e) : "memory");
				break;
			case 7: {
				u32 v = value;

				asm volatile("xchg %0, (%1)" : "+r"(v) : "r"(e) : "memory");
				bad[kind] += !(v & PTE_P);
				break;
			}
			case 8: {
				u32 old = *(volatile u32 *)e;

				asm volatile("lock cmpxchg %1, (%2)" : "+a"(old) : "r"((u32)value), "r"(e) : "memory");
				bad[kind] += *(volatile u32 *)e != (u32)value;
				/* and one that fails leaves it */
				old = 0x123;
				asm volatile("lock cmpxchg %1, (%2)" : "+a"(old) : "r"(0), "r"(e) : "memory");
				bad[kind] += old != (u32)value;
				break;
			}
			case 9:
				asm volatile("lock btrl $0, (%0); lock btsl $1, (%0)" : : "r"(e) : "memory");
				invlpg((void *)(va + 4096UL * k));
				bad[kind] += verify(t[0], 0, va, 4);
				asm volatile("lock btsl $0, (%0)" : : "r"(e) : "memory");
				break;
			case 10:
				asm volatile("lock andl $0xfff, (%0); lock orl %1, (%0)" : : "r"(e), "r"((u32)value) : "memory");
				break;
			case 11: {
				u32 v = (u32)value - (*(volatile u32 *)e & ~(u32)(PTE_A | PTE_D | PTE_W));

				asm volatile("lock xadd %0, (%1)" : "+r"(v) : "r"(e) : "memory");
				break;
			}
			case 12: {
				u64 old = *(volatile u64 *)((unsigned long)e & ~7UL);
				u32 lo = old, hi = old >> 32;

				asm volatile("lock cmpxchg8b (%2)" : "+a"(lo), "+d"(hi)
					     : "r"((unsigned long)e & ~7UL), "b"((u32)value), "c"(f->size == 4 ? (u32)old : hi) : "memory");
				break;
			}
			case 13:
				asm volatile("incb (%0); negb (%0); rolb $1, (%0)" : : "r"(e) : "memory");
				*(volatile u8 *)e = 0x03;
				break;
			case 14:
#ifdef __x86_64__
				asm volatile("mov %%rsp, %%rbx; lea 8(%0), %%rsp; push %1; mov %%rbx, %%rsp"
					     : : "r"(e), "r"(value) : "rbx", "memory");
#else
				asm volatile("mov %%esp, %%ebx; lea 4(%0), %%esp; push %1; mov %%ebx, %%esp"
					     : : "r"(e), "r"((u32)value) : "ebx", "memory");
#endif
				break;
			}
			if (kind == 2 || kind == 3 || kind == 4) {
				/* what spilled over may be anything: only that the tables are followed where they make sense */
				unsigned int j;

				flush_tlb();
				for (j = 0; j < 12; j++) {
					u64 x = table_get(t[0], j), limit = memory_end();

					if (x & PTE_P && (x & ~(u64)0xfff) + 4096 > limit)
						table_set(t[0], j, 0);
				}
				for (j = 0; j < 4; j++) {
					u64 x = table_get(t[0], entries() - 1 - j);

					if (x & PTE_P && (x & ~(u64)0xfff) + 4096 > memory_end())
						table_set(t[0], entries() - 1 - j, 0);
				}
				flush_tlb();
				bad[kind] += verify(t[0], 0, va, 12);
				bad[kind] += verify(t[0], entries() - 4, va + 4096UL * (entries() - 4), 4);
				for (j = 4; j < 16; j++)
					table_set(t[0], j, 0);
			} else {
				flush_range(va, 8);
				bad[kind] += verify(t[0], 0, va, 8);
			}
			bad[kind] += verify(t[1], 0, va + big, 2);
			for (k = 0; k < 16; k++)
				table_set(t[0], k, 0);
			table_set(t[1], 0, 0);
			flush_tlb();
		}
	}
	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
		ok(!bad[kind], "%s: tables written by %s (%u wrong)", f->name, kinds[kind], bad[kind]);
}

/* --- accessed and dirty bits ------------------------------------------------------------------------------------------ */
static void test_accessed(void)
{
	unsigned long va = VA + (96 << 20);
	void *table = new_table(va, 2);
	unsigned int i, j, k, l, bad = 0, bad_up = 0;
	u32 v;

	for (i = 0; i < rounds(200); i++) {
		u64 want[16];

		for (k = 0; k < 16; k++) {
			want[k] = address(pages[k]) | PTE_P | (k & 1 ? PTE_W : 0);
			table_set(table, k, want[k]);
		}
		for (l = 2; l <= f->levels; l++)
			if (f != &pae || l < 3)
				set_entry(f, slot(va, l), get_entry(f, slot(va, l)) & ~(u64)PTE_A);
		flush_tlb();
		for (j = 0; j < 8; j++) {
			k = rnd() % 16;
			switch (rnd() % 3) {
			case 0:
				bad += !try_read(va + 4096UL * k, &v);
				want[k] |= PTE_A;
				break;
			case 1:
				if (k & 1) {
					bad += !try_write(va + 4096UL * k, j);
					want[k] |= PTE_A | PTE_D;
				}
				break;
			default:
				/* a locked instruction that does not change anything writes as well */
				if (k & 1) {
					asm volatile("lock orl $0, (%0)" : : "r"(va + 4096UL * k) : "memory");
					want[k] |= PTE_A | PTE_D;
				}
			}
		}
		for (k = 0; k < 16; k++)
			bad += table_get(table, k) != want[k];
		for (l = 2, k = 0; k < 16; k++)
			if (want[k] & PTE_A)
				break;
		for (; k < 16 && l <= f->levels; l++)
			if (f != &pae || l < 3)
				bad_up += !(get_entry(f, slot(va, l)) & PTE_A);
		/* what the guest clears comes again with the next use after a flush */
		for (k = 1; k < 16; k += 2)
			table_set(table, k, table_get(table, k) & ~(u64)(PTE_A | PTE_D));
		flush_range(va, 16);
		for (k = 1; k < 16; k += 2) {
			bad += !try_read(va + 4096UL * k, &v) || (table_get(table, k) & (PTE_A | PTE_D)) != PTE_A;
			bad += !try_write(va + 4096UL * k, v) || (table_get(table, k) & (PTE_A | PTE_D)) != (PTE_A | PTE_D);
		}
	}
	ok(!bad, "%s: accessed and dirty bits are exact (%u wrong)", f->name, bad);
	ok(!bad_up, "%s: ... accessed bits of the tables above (%u wrong)", f->name, bad_up);
}

/* --- control bits --------------------------------------------------------------------------------------------------------- */
static long call_page(unsigned long va)
{
#ifdef __x86_64__
	return TRY_THEN("mov %%rsp, %%rbx; call *%%rax", "mov %%rbx, %%rsp", : : "a"(va) : "rbx");
#else
	return TRY_THEN("mov %%esp, %%ebx; call *%%eax", "mov %%ebx, %%esp", : : "a"(va) : "ebx");
#endif
}

static void test_toggles(void)
{
	unsigned long va = VA + (112 << 20);
	void *table = new_table(va, 2);
	bool smep = cpuid(0).a >= 7 && cpuid(7).b & 1 << 7, smap = cpuid(0).a >= 7 && cpuid(7).b & 1 << 20;
	unsigned int i, bad = 0;
	u64 efer;
	u32 v;

	pages[0][100] = 0xc3;	/* RET */
	for (i = 0; i < rounds(300); i++) {
		bool user = i & 1;

		table_set(table, 0, address(pages[0]) | PTE_P | (user ? PTE_U : 0));
		table_set(table, 1, address(pages[1]) | PTE_P | PTE_W);
		invlpg((void *)va);
		wcr0(rcr0() & ~CR0_WP);
		bad += !try_write(va + 16, i) || *(volatile u32 *)(pages[0] + 16) != i;
		bad += !(table_get(table, 0) & PTE_D);
		wcr0(rcr0() | CR0_WP);
		bad += try_write(va + 16, i + 1);
		bad += !try_write(va + 4096 + 16, i);
	}
	ok(!bad, "%s: CR0.WP (%u wrong)", f->name, bad);
	if (smep) {
		for (i = bad = 0; i < rounds(200); i++) {
			table_set(table, 0, address(pages[0]) | PTE_P | (i & 2 ? PTE_U : 0));
			invlpg((void *)va);
			wcr4(i & 1 ? rcr4() | CR4_SMEP : rcr4() & ~CR4_SMEP);
			bad += (call_page(va + 100) == VECTOR_PF) != ((i & 3) == 3);
			bad += !try_read(va, &v);
		}
		wcr4(rcr4() & ~CR4_SMEP);
		ok(!bad, "%s: CR4.SMEP (%u wrong)", f->name, bad);
	}
	if (smap) {
		for (i = bad = 0; i < rounds(200); i++) {
			table_set(table, 0, address(pages[0]) | PTE_P | PTE_W | (i & 2 ? PTE_U : 0));
			invlpg((void *)va);
			wcr4(i & 1 ? rcr4() | CR4_SMAP : rcr4() & ~CR4_SMAP);
			bad += try_read(va, &v) == ((i & 3) == 3);
			bad += try_write(va + 16, i) == ((i & 3) == 3);
			if ((i & 3) == 3) {
				asm volatile("stac");
				bad += !try_write(va + 16, i);
				asm volatile("clac");
				bad += try_write(va + 16, i);
			}
			bad += call_page(va + 100) != -1;
		}
		wcr4(rcr4() & ~CR4_SMAP);
		ok(!bad, "%s: CR4.SMAP and AC (%u wrong)", f->name, bad);
	}
	if (f->size == 8 && has_nx) {
		efer = rdmsr(EFER);
		for (i = bad = 0; i < rounds(200); i++) {
			table_set(table, 0, address(pages[0]) | PTE_P | (i & 1 ? PTE_NX : 0));
			invlpg((void *)va);
			bad += (call_page(va + 100) == VECTOR_PF) != (i & 1);
			bad += !try_read(va, &v);
			if (i % 8 == 1) {
				/* reserved then */
				wrmsr(EFER, efer & ~EFER_NXE);
				flush_tlb();
				bad += try_read(va, &v);
				wrmsr(EFER, efer);
				flush_tlb();
				bad += !try_read(va, &v);
			}
		}
		ok(!bad, "%s: NX and EFER.NXE (%u wrong)", f->name, bad);
	}
	/* global ones outlive MOV CR3 or not, but not INVLPG nor CR4.PGE */
	for (i = bad = 0; i < rounds(200); i++) {
		wcr4(rcr4() | CR4_PGE);
		table_set(table, 2, address(pages[i % PAGES]) | PTE_P | PTE_W | PTE_G);
		invlpg((void *)(va + 2 * 4096));
		bad += verify(table, 2, va + 2 * 4096, 1);
		flush_tlb();
		bad += verify(table, 2, va + 2 * 4096, 1);
		table_set(table, 2, address(pages[(i + 1) % PAGES]) | PTE_P | PTE_W | PTE_G);
		if (i & 1)
			invlpg((void *)(va + 2 * 4096));
		else
			wcr4(rcr4() & ~CR4_PGE);
		bad += verify(table, 2, va + 2 * 4096, 1);
	}
	wcr4(rcr4() & ~CR4_PGE);
	ok(!bad, "%s: global pages (%u wrong)", f->name, bad);
	number_pages();
}

/* --- address spaces ----------------------------------------------------------------------------------------------------------- */
#define SPACES 4096

static void test_spaces(void)
{
	static void *roots[SPACES], *last[SPACES];
	static u32 value[SPACES];
	unsigned long va = VA + (128 << 20);
	unsigned int i, n = option("spaces", rounds(1500)), k, bad = 0;
	void *mine = root;
	u32 v;

	if (n > SPACES)
		n = SPACES;
	for (i = 0; i < n; i++) {
		if (!roots[i])
			roots[i] = alloc_page();
		memset(roots[i], 0, 4096);
		if (f->levels < 4)
			memcpy(roots[i], mine, 4096);
		else
			set_entry(f, roots[i], table_get(mine, 0));
		/* nothing below VA is shared */
		if (f == &pae)
			table_set(roots[i], 2, 0);
		root = roots[i];
		if (!last[i])
			last[i] = alloc_page();
		memset(last[i], 0, 4096);
		set_entry(f, make_entry(f, root, va, 2), address(last[i]) | ALL);
		value[i] = rnd() % PAGES;
		table_set(last[i], 1, address(pages[value[i]]) | PTE_P | PTE_W);
		wcr3(address(root));
		bad += !try_read(va + 4096 + 8, &v) || v != 0x1000 + value[i];
		bad += try_read(va, &v);
	}
	for (i = 0; i < 2 * n; i++) {
		k = rnd() % n;
		wcr3(address(roots[k]));
		bad += !try_read(va + 4096 + 8, &v) || v != 0x1000 + value[k];
		/* one that is not current changes */
		k = rnd() % n;
		value[k] = rnd() % PAGES;
		table_set(last[k], 1, address(pages[value[k]]) | PTE_P | PTE_W);
		/* and one is given up: its root is another's last table's page, and back */
		if (i % 16 == 0) {
			u64 e = table_get(last[k], 1);
			unsigned int j;

			wcr3(address(mine));
			for (j = 0; j < entries(); j++)
				table_set(last[k], j, j * 0x9e3779b1ULL & 0xfffffffe);
			memset(last[k], 0, 4096);
			table_set(last[k], 1, e);
		}
	}
	wcr3(address(mine));
	root = mine;
	ok(!bad, "%s: %u address spaces (%u wrong)", f->name, n, bad);
}

/* --- all of it at random ------------------------------------------------------------------------------------------------------------------ */
static void test_random(void)
{
	enum { TABLES = 8, USED = 16 };
	unsigned long va = VA + (192 << 20), big = 1UL << shift_of(f, 2);
	void *t[TABLES], *in[TABLES];
	unsigned int i, k, j, bad = 0;

	for (i = 0; i < TABLES; i++) {
		t[i] = alloc_page();
		for (k = 0; k < USED; k++)
			table_set(t[i], k, random_entry());
		in[i] = t[i];
		set_entry(f, make_entry(f, root, va + i * big, 2), address(t[i]) | ALL);
	}
	flush_tlb();
	for (i = 0; i < rounds(2500); i++) {
		u32 r = rnd();

		k = r % TABLES;
		j = r >> 8 & (USED - 1);
		switch (r >> 16 & 7) {
		case 0:
			/* another table there, maybe one that is elsewhere too */
			in[k] = t[r >> 20 & (TABLES - 1)];
			set_entry(f, slot(va + k * big, 2), address(in[k]) | ALL);
			flush_range(va + k * big, USED);
			break;
		case 1:
			memcpy(t[k], t[(k + 1) % TABLES], USED * f->size);
			flush_tlb();
			break;
		case 2:
			memset(t[k], 0, USED * f->size);
			flush_tlb();
			break;
		case 3:
			set_entry(f, slot(va + k * big, 2), 0);
			flush_range(va + k * big, USED);
			{
				u32 v;

				bad += try_read(va + k * big, &v);
			}
			set_entry(f, slot(va + k * big, 2), address(in[k]) | ALL);
			break;
		default:
			table_set(t[k], j, random_entry());
			/* it may be in several places */
			flush_tlb();
		}
		k = rnd() % TABLES;
		bad += verify(in[k], 0, va + k * big, USED);
	}
	ok(!bad, "%s: at random (%u wrong)", f->name, bad);
}

static void run_format(const struct format *format)
{
	f = format;
	root = make_root(f, memory_end() & -(4UL << 20), NULL);
	number_pages();
	enter();
	if (cpus_n > 1) {
		/* What one CPU does alone is for one CPU: others that wait only slow it down. */
		test_smp();
		test_churn();
	} else {
		test_map();
		test_recursive();
		test_roles();
		test_split();
		test_shared();
		test_user();
		test_odd();
		test_accessed();
		test_toggles();
		test_spaces();
	}
	test_random();
	leave();
}

#ifndef __x86_64__
/* The same memory through two formats and without paging, switched all the time */
static void test_modes(void)
{
	void *r2 = make_root(&two_level, memory_end() & -(4UL << 20), NULL), *r3 = make_root(&pae, memory_end() & -(4UL << 20), NULL);
	void *e2 = make_entry(&two_level, r2, VA, 1), *e3 = make_entry(&pae, r3, VA, 1);
	unsigned int i, bad = 0;
	u32 v;

	for (i = 0; i < rounds(500); i++) {
		u8 *a = pages[rnd() % PAGES], *b = pages[rnd() % PAGES];

		set_entry(&two_level, e2, address(a) | PTE_P | PTE_W);
		set_entry(&pae, e3, address(b) | PTE_P | PTE_W);
		use_paging(&two_level, r2);
		bad += !try_read(VA + 8, &v) || v != *(u32 *)(a + 8);
		if (i & 1)
			use_paging(NULL, NULL);
		use_paging(&pae, r3);
		bad += !try_read(VA + 8, &v) || v != *(u32 *)(b + 8);
		use_paging(NULL, NULL);
		bad += *(volatile u32 *)(b + 8) != v;
	}
	ok(!bad, "no paging, 2-level, PAE in turn (%u wrong)", bad);
	/* one page as the root of both: what it means depends on the mode */
	for (i = bad = 0; i < rounds(100); i++) {
		u8 *a = pages[rnd() % PAGES], *b = pages[rnd() % PAGES];

		memcpy(r2, r3, 32);
		set_entry(&pae, e3, address(b) | PTE_P | PTE_W);
		use_paging(&pae, r2);
		bad += !try_read(VA + 8, &v) || v != *(u32 *)(b + 8);
		use_paging(NULL, NULL);
		/* the kernel's first 32 MiB are in these entries */
		memset(r2, 0, 32);
		{
			unsigned int k;

			for (k = 0; k < 8; k++)
				set_entry(&two_level, (u32 *)r2 + k, k << 22 | PTE_P | PTE_W | PTE_PS);
		}
		set_entry(&two_level, e2, address(a) | PTE_P | PTE_W);
		use_paging(&two_level, r2);
		bad += !try_read(VA + 8, &v) || v != *(u32 *)(a + 8);
		use_paging(NULL, NULL);
	}
	ok(!bad, "one page as the root of both formats (%u wrong)", bad);
}
#endif

int main(void)
{
	unsigned int i;

	cpu_start(0);
	percent = option("rounds", 100);
	seed = option("seed", 0xc0ffee11);
	apic_enable(false);
	for (i = 0; i < PAGES; i++)
		pages[i] = alloc_page();
	cpus_n = smp_start();
	has_nx = cpuid(0x80000001).d & 1 << 20;
	if (has_nx)
		wrmsr(EFER, rdmsr(EFER) | EFER_NXE);
#ifdef __x86_64__
	run_format(&four_level);
#else
	run_format(&two_level);
	run_format(&pae);
	test_modes();
#endif
	return finish_tests();
}

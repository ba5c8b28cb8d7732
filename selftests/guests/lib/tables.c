// SPDX-License-Identifier: GPL-2.0-only
/* Page tables of every format: two-level, PAE, four- and five-level. */
#include "guest.h"

const struct format two_level = { "2-level", 2, 10, 4 };
const struct format pae = { "PAE", 3, 9, 8 };
const struct format four_level = { "4-level", 4, 9, 8 };
const struct format five_level = { "5-level", 5, 9, 8 };

u64 get_entry(const struct format *f, const volatile void *e)
{
	return f->size == 4 ? *(const volatile u32 *)e : *(const volatile u64 *)e;
}

void set_entry(const struct format *f, volatile void *e, u64 v)
{
	if (f->size == 4) {
		*(volatile u32 *)e = v;
		return;
	}
#ifdef __x86_64__
	*(volatile u64 *)e = v;
#else
	/* not present while it is half written */
	((volatile u32 *)e)[0] = 0;
	((volatile u32 *)e)[1] = v >> 32;
	((volatile u32 *)e)[0] = v;
#endif
}

static bool has_permissions(const struct format *f, unsigned int level)
{
	return f != &pae || level < 3;
}

void *find_entry(const struct format *f, void *root, unsigned long va, unsigned int level)
{
	u8 *table = root;
	unsigned int l;
	u64 e;

	for (l = f->levels; l > level; l--) {
		e = get_entry(f, table + f->size * index_of(f, va, l));
		if (!(e & PTE_P) || (e & PTE_PS && has_permissions(f, l)))
			return NULL;
		table = (u8 *)(unsigned long)(e & PTE_ADDR);
	}
	return table + f->size * index_of(f, va, level);
}

void *make_entry(const struct format *f, void *root, unsigned long va, unsigned int level)
{
	u8 *table = root;
	unsigned int l;

	for (l = f->levels; l > level; l--) {
		u8 *e = table + f->size * index_of(f, va, l);

		if (!(get_entry(f, e) & PTE_P))
			set_entry(f, e, (unsigned long)alloc_page() | PTE_P |
				  (has_permissions(f, l) ? PTE_W | PTE_U : 0));
		table = (u8 *)(unsigned long)(get_entry(f, e) & PTE_ADDR);
	}
	return table + f->size * index_of(f, va, level);
}

void *make_root(const struct format *f, unsigned long end, void *like)
{
	unsigned long big = 1UL << shift_of(f, 2), a;
	void *root = alloc_page();

	if (like) {
		/* of PAE and two levels all; else one entry, and others' entries are not its business */
		set_entry(f, root, get_entry(f, like));
		if (f->levels < 4)
			memcpy(root, like, 4096);
		return root;
	}
	for (a = 0; a < end; a += big)
		set_entry(f, make_entry(f, root, a, 2), a | PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D);
	a = 0xfee00000 & -big;
	set_entry(f, make_entry(f, root, a, 2), a | PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D);
	return root;
}

#ifndef __x86_64__
#define CR4_PSE 0x10
#define CR4_PAE 0x20
#define CR0_PG 0x80000000

void use_paging(const struct format *f, void *root)
{
	wcr0(rcr0() & ~CR0_PG);
	if (!f)
		return;
	wcr4((rcr4() & ~CR4_PAE) | CR4_PSE | (f == &pae ? CR4_PAE : 0));
	wcr3((unsigned long)root);
	wcr0(rcr0() | CR0_PG);
	asm volatile("jmp 1f; 1:");
}
#endif

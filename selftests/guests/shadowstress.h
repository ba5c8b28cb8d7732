/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the shadowstress program share. */
#ifndef SHADOWSTRESS_H
#define SHADOWSTRESS_H

#include "guest.h"

#define CR0_WP	(1UL << 16)
#define CR4_PGE	(1UL << 7)
#define CR4_SMEP (1UL << 20)
#define CR4_SMAP (1UL << 21)
#define EFER	0xc0000080
#define EFER_NXE 0x800ULL
#define LL(x) ((unsigned long long)(x))

/* what is probed; and the image for CPL 3: other entries of the root than the kernel's own */
#ifdef __x86_64__
#define VA	0x500000000000UL
#define WINDOW_INDEX 200		/* entry of the root for the root itself */
#define ALIAS	0x400000000000UL
#define DI "%rdi"
#define AX "%rax"
#else
#define VA	0x80000000UL
#define ALIAS	0xc0000000UL
#define DI "%edi"
#define AX "%eax"
#endif
#define ALL	(PTE_P | PTE_W | PTE_U)
#define PAGES	256

/* the format that is tested, and the tables that are used */
extern const struct format *f;
extern void *root;
extern u8 *pages[PAGES];		/* each with its own number at 8 */
extern unsigned int percent, cpus_n;

static inline u32 step(u32 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 17;
	*s ^= *s << 5;
	return *s;
}

static inline unsigned int rounds(unsigned int n)
{
	n = n * percent / 100;
	return n ? n : 1;
}

static inline void *slot(unsigned long va, unsigned int level)
{
	return find_entry(f, root, va, level);
}

static inline u64 address(const void *p)
{
	return (unsigned long)p;
}

static inline void *pointer(u64 entry)
{
	return (void *)(unsigned long)(entry & PTE_ADDR);
}

/* An empty table under @va, at the level below @level, in place of whatever is there */
static inline void *new_table(unsigned long va, unsigned int level)
{
	void *t = alloc_page();

	set_entry(f, make_entry(f, root, va, level), address(t) | (f == &pae && level == 3 ? PTE_P : ALL));
	/* PAE's root is read at MOV CR3 only */
	if (f == &pae)
		flush_tlb();
	return t;
}

static inline unsigned int entries(void)
{
	return 4096 / f->size;
}

static inline u64 table_get(void *table, unsigned int i)
{
	return get_entry(f, (u8 *)table + i * f->size);
}

static inline void table_set(void *table, unsigned int i, u64 e)
{
	set_entry(f, (u8 *)table + i * f->size, e);
}

/* What is read at @va; false: a page fault */
static inline bool try_read(unsigned long va, u32 *v)
{
	u32 x = 0;
	long vector = TRY("movl (%1), %0", : "+r"(x) : "r"(va));

	*v = x;
	return vector != VECTOR_PF;
}

static inline bool try_write(unsigned long va, u32 v)
{
	return TRY("movl %0, (%1)", : : "r"(v), "r"(va) : "memory") != VECTOR_PF;
}

static inline void enter(void)
{
#ifdef __x86_64__
	wcr3(address(root));
#else
	use_paging(f, root);
#endif
	wcr0(rcr0() | CR0_WP);
}

static inline void leave(void)
{
#ifdef __x86_64__
	wcr3(address(boot_pml4));
#else
	use_paging(NULL, NULL);
#endif
}

void number_pages(void);

/* with several CPUs (shadowstress_smp.c) */
void test_smp(void);
void test_churn(void);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walker of guest page tables, in all formats: every combination of rights, every reserved
 * bit, large pages, accessed and dirty bits, and tables that are not there.  The
 * expected answers are written down from the manuals, not computed the walker's way.
 */
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "test_vm.h"

enum { TWO, PAE, FOUR, FIVE };

struct walk_param {
	const char *name;
	int format;
	int levels;
	int bits;
	int bytes;
	u64 gva;
};

/* Addresses with another index at each level. */
static const struct walk_param walk_params[] = {
	{ "2-level", TWO, 2, 10, 4, 0xc0c0a123 },
	{ "pae", PAE, 3, 9, 8, 0xc0a0b123 },
	{ "4-level", FOUR, 4, 9, 8, 0x7f8040c0a123 },
	{ "5-level", FIVE, 5, 9, 8, 0x00ab7f8040c0a123 },
};

static void walk_param_name(const struct walk_param *p, char *name)
{
	strscpy(name, p->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(walk, walk_params, walk_param_name);

/* The table of level l is guest page BASE + l - 1. */
#define BASE		0x100000ULL
#define PAGES		8
#define TARGET		0x12345000ULL	/* of the leaf; nothing needs to be there */
#define P		BIT_ULL(0)
#define RW		BIT_ULL(1)
#define US		BIT_ULL(2)
#define A		BIT_ULL(5)
#define D		BIT_ULL(6)
#define PS		BIT_ULL(7)
#define NX		BIT_ULL(63)

struct walk_test {
	struct test_vm *t;
	const struct walk_param *p;
	struct vireo_mode mode;
	unsigned long hva;
};

static const struct vireo_caps walk_caps = {
	.vendor = VIREO_VENDOR_INTEL, .max_level = 3, .root_levels = 4, .nested_ad = true,
};

static u64 __user *entry_at(struct walk_test *w, int level)
{
	const struct walk_param *p = w->p;
	u64 index = (p->gva >> (12 + p->bits * (level - 1))) & (BIT(p->bits) - 1);

	return (u64 __user *)(w->hva + (level - 1) * PAGE_SIZE + index * p->bytes);
}

static void set_entry(struct kunit *test, struct walk_test *w, int level, u64 value)
{
	u64 __user *at = entry_at(w, level);

	if (w->p->bytes == 8)
		KUNIT_ASSERT_EQ(test, put_user(value, at), 0);
	else
		KUNIT_ASSERT_EQ(test, put_user((u32)value, (u32 __user *)at), 0);
}

static u64 get_entry(struct kunit *test, struct walk_test *w, int level)
{
	u64 __user *at = entry_at(w, level);
	u64 value = 0;
	u32 narrow;

	if (w->p->bytes == 8) {
		KUNIT_ASSERT_EQ(test, get_user(value, at), 0);
		return value;
	}
	KUNIT_ASSERT_EQ(test, get_user(narrow, (u32 __user *)at), 0);
	return narrow;
}

static bool is_pdpte(struct walk_test *w, int level)
{
	return w->p->format == PAE && level == 3;
}

/* The entry that leads on, with all rights. */
static u64 good_entry(struct walk_test *w, int level)
{
	u64 address = level == 1 ? TARGET : BASE + (level - 2) * PAGE_SIZE;

	if (is_pdpte(w, level))
		return address | P;
	return address | P | RW | US | A | D * (level == 1);
}

static void good_tables(struct kunit *test, struct walk_test *w)
{
	int level;

	for (level = 1; level <= w->p->levels; level++)
		set_entry(test, w, level, good_entry(w, level));
}

static int walk(struct walk_test *w, u32 access, bool nofault, struct vireo_walk *out)
{
	struct vireo_vm *vm = &w->t->vm;
	int r, idx;

	memset(out, 0xee, sizeof(*out));
	if (nofault) {
		local_irq_disable();
		r = vireo_walk(&w->t->vcpu, &w->mode, w->p->gva, access, true, out);
		local_irq_enable();
		return r;
	}
	idx = srcu_read_lock(&vm->srcu);
	r = vireo_walk(&w->t->vcpu, &w->mode, w->p->gva, access, false, out);
	srcu_read_unlock(&vm->srcu, idx);
	return r;
}

static int walk_init(struct kunit *test)
{
	const struct walk_param *p = test->param_value ?: &walk_params[0];
	struct walk_test *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	if (!vireo_caps.phys_bits)
		vireo_caps.phys_bits = 40;
	test_vm_create(test, &w->t, &walk_caps);
	w->p = p;
	test->priv = w;
	w->hva = test_mmap(test, PAGES * PAGE_SIZE, false);
	KUNIT_ASSERT_EQ(test, test_region(w->t, 0, BASE, PAGES * PAGE_SIZE, w->hva, 0), 0);

	w->mode.cr0 = X86_CR0_PG | X86_CR0_PE;
	/* Cache bits and PCID are no part of the address. */
	w->mode.cr3 = (BASE + (p->levels - 1) * PAGE_SIZE) | 0x18;
	w->mode.cr4 = p->format == TWO ? X86_CR4_PSE : X86_CR4_PAE;
	if (p->format >= FOUR)
		w->mode.efer = EFER_LME | EFER_LMA;
	if (p->format == FIVE)
		w->mode.cr4 |= X86_CR4_LA57;
	good_tables(test, w);
	return 0;
}

static void walk_exit(struct kunit *test)
{
	struct walk_test *w = test->priv;

	if (w && w->t)
		test_vm_destroy(w->t);
}

/* Is the access allowed?  SDM vol. 3, 4.6.1, sentence by sentence. */
static bool allowed(const struct vireo_mode *m, bool user_page, bool writable, bool no_exec,
		    u32 access, bool user, bool implicit)
{
	const bool smap = m->cr4 & X86_CR4_SMAP, smep = m->cr4 & X86_CR4_SMEP;
	const bool wp = m->cr0 & X86_CR0_WP, ac = m->rflags & X86_EFLAGS_AC;

	if (user) {
		if (access & VIREO_ACCESS_EXEC)
			return user_page && !no_exec;
		if (access & VIREO_ACCESS_WRITE)
			return user_page && writable;
		return user_page;
	}
	if (access & VIREO_ACCESS_EXEC)
		return user_page ? !smep && !no_exec : !no_exec;
	if (user_page && smap && (implicit || !ac))
		return false;
	if (access & VIREO_ACCESS_WRITE)
		return !wp || writable;
	return true;
}

static void walk_rights_test(struct kunit *test)
{
	static const u32 accesses[] = { VIREO_ACCESS_READ, VIREO_ACCESS_WRITE, VIREO_ACCESS_EXEC };
	static const u32 kinds[] = { 0, VIREO_ACCESS_USER, VIREO_ACCESS_IMPLICIT };
	struct walk_test *w = test->priv;
	const int upper = w->p->format == PAE ? 2 : w->p->levels;
	const bool has_nx = w->p->bytes == 8;
	unsigned int rights, mode, i, k;
	struct vireo_walk out;
	const u64 cr4 = w->mode.cr4, efer = w->mode.efer;

	for (rights = 0; rights < 64; rights++) {
		const u64 leaf = (rights & 1 ? RW : 0) | (rights & 2 ? US : 0) |
				 (rights & 4 ? NX : 0);
		const u64 top = (rights & 8 ? RW : 0) | (rights & 16 ? US : 0) |
				(rights & 32 ? NX : 0);

		if (!has_nx && (rights & (4 | 32)))
			continue;
		set_entry(test, w, 1, (good_entry(w, 1) & ~(RW | US)) | leaf);
		set_entry(test, w, upper, (good_entry(w, upper) & ~(RW | US)) | top);

		for (mode = 0; mode < 32; mode++) {
			const bool nxe = mode & 16;

			w->mode.cr0 = X86_CR0_PG | X86_CR0_PE | (mode & 1 ? X86_CR0_WP : 0);
			w->mode.cr4 = cr4 | (mode & 2 ? X86_CR4_SMEP : 0) |
				      (mode & 4 ? X86_CR4_SMAP : 0);
			w->mode.rflags = mode & 8 ? X86_EFLAGS_AC : 0;
			w->mode.efer = efer | (nxe ? EFER_NX : 0);

			for (i = 0; i < 3; i++) {
				for (k = 0; k < 3; k++) {
					const bool user = kinds[k] == VIREO_ACCESS_USER;
					const bool no_exec = nxe && ((leaf | top) & NX);
					const bool reserved = !nxe && ((leaf | top) & NX);
					u32 error = (i == 1 ? 2 : 0) | (user ? 4 : 0);
					bool ok;
					int r;

					ok = allowed(&w->mode, leaf & top & US, leaf & top & RW,
						     no_exec, accesses[i], user, k == 2);
					if (i == 2 && ((has_nx && nxe) || (mode & 2)))
						error |= 16;
					error |= 1;
					if (reserved)
						error |= 8;
					r = walk(w, accesses[i] | kinds[k], true, &out);
					if (ok && !reserved) {
						KUNIT_ASSERT_EQ_MSG(test, r, 0, "%x %x %u %u",
								    rights, mode, i, k);
						KUNIT_ASSERT_EQ(test, out.gpa,
								TARGET | (w->p->gva & 0xfff));
						KUNIT_ASSERT_EQ(test, out.page_size, PAGE_SIZE);
						KUNIT_ASSERT_EQ(test, out.pte_access,
							VIREO_ACCESS_READ |
							(leaf & top & RW ? VIREO_ACCESS_WRITE : 0) |
							(leaf & top & US ? VIREO_ACCESS_USER : 0) |
							(no_exec ? 0 : VIREO_ACCESS_EXEC));
					} else {
						KUNIT_ASSERT_EQ_MSG(test, r, -EFAULT, "%x %x %u %u",
								    rights, mode, i, k);
						KUNIT_ASSERT_EQ_MSG(test, out.error, error,
								    "%x %x %u %u", rights, mode, i,
								    k);
					}
				}
			}
		}
	}
}

/* Each bit of each level, alone. Present and size bits are looked at elsewhere. */
static void walk_reserved_test(struct kunit *test)
{
	struct walk_test *w = test->priv;
	struct vireo_walk out;
	int level, bit, r, nxe;

	for (nxe = 0; nxe < 2; nxe++) {
		w->mode.efer = (w->mode.efer & ~EFER_NX) | (nxe ? EFER_NX : 0);
		for (level = 1; level <= w->p->levels; level++) {
			for (bit = 1; bit < w->p->bytes * 8; bit++) {
				const u64 good = good_entry(w, level);
				bool reserved = false;

				if (bit == 7 && (level == 2 || level == 3) && !is_pdpte(w, level))
					continue;
				/* Other address bits lead elsewhere. */
				if (bit >= 12 && bit < 40)
					continue;
				if (w->p->bytes == 8) {
					if (bit >= 40 && bit <= 51)
						reserved = true;
					if (bit >= 52 && bit <= 62)
						reserved = w->p->format == PAE;
					if (bit == 63)
						reserved = !nxe || is_pdpte(w, level);
					if (level >= 4 && bit == 7)
						reserved = true;
					if (level >= 4 && bit == 8)
						reserved = vireo_caps.vendor == VIREO_VENDOR_AMD;
					if (is_pdpte(w, level) &&
					    (bit == 1 || bit == 2 || (bit >= 6 && bit <= 8) ||
					     (bit == 5 && vireo_caps.vendor != VIREO_VENDOR_AMD)))
						reserved = true;
				}
				set_entry(test, w, level, good | BIT_ULL(bit));
				r = walk(w, VIREO_ACCESS_READ, false, &out);
				KUNIT_EXPECT_EQ_MSG(test, r, reserved ? -EFAULT : 0,
						    "level %d bit %d", level, bit);
				if (reserved)
					KUNIT_EXPECT_EQ(test, out.error, 9);
				/* Not present comes before reserved. */
				set_entry(test, w, level, (good | BIT_ULL(bit)) & ~P);
				KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_WRITE | VIREO_ACCESS_USER,
							   false, &out), -EFAULT);
				KUNIT_EXPECT_EQ(test, out.error, 6);
				set_entry(test, w, level, good);
			}
		}
	}
}

static void walk_large_test(struct kunit *test)
{
	struct walk_test *w = test->priv;
	const u64 rights = P | RW | US | A | D | PS;
	struct vireo_walk out;
	int bit;

	if (w->p->format == TWO) {
		/* 4 MiB, PSE-36: bits 13 to 20 are address bits 32 to 39. */
		set_entry(test, w, 2, 0x12400000 | BIT(13) | BIT(20) | BIT(12) | rights);
		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out), 0);
		KUNIT_EXPECT_EQ(test, out.gpa, 0x8112400000ULL | (w->p->gva & 0x3fffff));
		KUNIT_EXPECT_EQ(test, out.page_size, 4ULL << 20);
		set_entry(test, w, 2, 0x12400000 | BIT(21) | rights);
		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out), -EFAULT);
		KUNIT_EXPECT_EQ(test, out.error, 9);
		/* Fewer address bits. */
		w->t->vcpu.caps.phys_bits = 36;
		w->t->vcpu.caps.phys_mask = BIT_ULL(36) - 1;
		for (bit = 13; bit <= 20; bit++) {
			set_entry(test, w, 2, BIT(bit) | rights);
			KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out),
					bit >= 17 ? -EFAULT : 0);
		}
		/* Without PSE the bit means nothing. */
		w->mode.cr4 = 0;
		set_entry(test, w, 2, good_entry(w, 2) | PS);
		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out), 0);
		KUNIT_EXPECT_EQ(test, out.page_size, PAGE_SIZE);
		return;
	}

	set_entry(test, w, 2, 0x8012200000ULL | BIT(12) | rights);
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_WRITE, true, &out), 0);
	KUNIT_EXPECT_EQ(test, out.gpa, 0x8012200000ULL | (w->p->gva & 0x1fffff));
	KUNIT_EXPECT_EQ(test, out.page_size, 2ULL << 20);
	for (bit = 13; bit <= 20; bit++) {
		set_entry(test, w, 2, BIT(bit) | rights);
		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out), -EFAULT);
		KUNIT_EXPECT_EQ(test, out.error, 9);
	}
	if (w->p->format == PAE)
		return;

	set_entry(test, w, 3, 0x8040000000ULL | BIT(12) | rights);
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_EXEC, true, &out), 0);
	KUNIT_EXPECT_EQ(test, out.gpa, 0x8040000000ULL | (w->p->gva & 0x3fffffff));
	KUNIT_EXPECT_EQ(test, out.page_size, 1ULL << 30);
	w->t->vcpu.caps.gbpages = false;
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out), -EFAULT);
	KUNIT_EXPECT_EQ(test, out.error, 9);
	w->t->vcpu.caps.gbpages = true;
	for (bit = 13; bit <= 29; bit++) {
		set_entry(test, w, 3, BIT(bit) | rights);
		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out), -EFAULT);
		KUNIT_EXPECT_EQ(test, out.error, 9);
	}
}

static void walk_accessed_test(struct kunit *test)
{
	struct walk_test *w = test->priv;
	struct vireo_walk out;
	int level, nofault;

	for (nofault = 0; nofault < 2; nofault++) {
		for (level = 1; level <= w->p->levels; level++)
			set_entry(test, w, level, good_entry(w, level) & ~(A | D));
		/* A look leaves no trace, nor does an access that fails. */
		KUNIT_EXPECT_EQ(test, walk(w, 0, nofault, &out), 0);
		set_entry(test, w, 1, (good_entry(w, 1) & ~(A | D | US)));
		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ | VIREO_ACCESS_USER, nofault, &out),
				-EFAULT);
		KUNIT_EXPECT_EQ(test, out.error, 5);
		/* A look sees what no access could. */
		KUNIT_EXPECT_EQ(test, walk(w, 0, nofault, &out), 0);
		for (level = 1; level <= w->p->levels; level++)
			KUNIT_EXPECT_EQ(test, get_entry(test, w, level) & (A | D), 0);

		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, nofault, &out), 0);
		for (level = 1; level <= w->p->levels; level++)
			KUNIT_EXPECT_EQ(test, get_entry(test, w, level) & (A | D),
					is_pdpte(w, level) ? 0 : A);
		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_WRITE, nofault, &out), 0);
		for (level = 1; level <= w->p->levels; level++)
			KUNIT_EXPECT_EQ(test, get_entry(test, w, level) & (A | D),
					is_pdpte(w, level) ? 0 : level == 1 ? A | D : A);
	}

	/* Tables in read-only memory are used as they are. */
	for (level = 1; level <= w->p->levels; level++)
		set_entry(test, w, level, good_entry(w, level) & ~(A | D));
	KUNIT_ASSERT_EQ(test, test_region(w->t, 0, BASE, PAGES * PAGE_SIZE, w->hva,
					  VIREO_REGION_READONLY), 0);
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_WRITE, false, &out), 0);
	for (level = 1; level <= w->p->levels; level++)
		KUNIT_EXPECT_EQ(test, get_entry(test, w, level) & (A | D), 0);
}

static void walk_absent_test(struct kunit *test)
{
	struct walk_test *w = test->priv;
	struct vireo_walk out;
	unsigned long hva;
	int level;

	/* A table outside of memory. */
	for (level = 2; level <= w->p->levels; level++) {
		set_entry(test, w, level, 0x40000000 | (good_entry(w, level) & 0xfff));
		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out), -ENXIO);
		KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, true, &out), -ENXIO);
		set_entry(test, w, level, good_entry(w, level));
	}

	/* A table that is not resident: not now, or as soon as it was brought in. */
	hva = test_mmap(test, PAGE_SIZE, false);
	KUNIT_ASSERT_EQ(test, test_region(w->t, 1, 0x40000000, PAGE_SIZE, hva, 0), 0);
	set_entry(test, w, 2, 0x40000000 | (good_entry(w, 2) & 0xfff));
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, true, &out), -EAGAIN);
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out), -EFAULT);
	KUNIT_EXPECT_EQ(test, out.error, 0);
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_WRITE, true, &out), -EFAULT);
	KUNIT_EXPECT_EQ(test, out.error, 2);

	/* User memory that is not there. */
	KUNIT_ASSERT_EQ(test, vm_munmap(hva, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, false, &out), -ENXIO);
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, true, &out), -EAGAIN);
}

/* Addresses that are cut to 32 bits, or not, and paging off. */
static void walk_address_test(struct kunit *test)
{
	struct walk_test *w = test->priv;
	struct walk_param p = *w->p;
	struct vireo_walk out;

	w->p = &p;
	p.gva |= 0xffffULL << 48;
	if (p.format == TWO || p.format == PAE)
		p.gva |= 0xabcdULL << 32;
	/* Bits above those that are translated are the caller's to check. */
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_READ, true, &out), p.format == FIVE ? -EFAULT : 0);

	w->mode.cr0 = X86_CR0_PE;
	KUNIT_EXPECT_EQ(test, walk(w, VIREO_ACCESS_WRITE | VIREO_ACCESS_USER, true, &out), 0);
	KUNIT_EXPECT_EQ(test, out.gpa, (u32)p.gva);
	KUNIT_EXPECT_EQ(test, out.pte_access, VIREO_ACCESS_READ | VIREO_ACCESS_WRITE |
			VIREO_ACCESS_EXEC | VIREO_ACCESS_USER);
}

static struct kunit_case walk_cases[] = {
	KUNIT_CASE_PARAM(walk_rights_test, walk_gen_params),
	KUNIT_CASE_PARAM(walk_reserved_test, walk_gen_params),
	KUNIT_CASE_PARAM(walk_large_test, walk_gen_params),
	KUNIT_CASE_PARAM(walk_accessed_test, walk_gen_params),
	KUNIT_CASE_PARAM(walk_absent_test, walk_gen_params),
	KUNIT_CASE_PARAM(walk_address_test, walk_gen_params),
	{}
};

struct kunit_suite vireo_walk_suite = {
	.name = "vireo-walk",
	.init = walk_init,
	.exit = walk_exit,
	.test_cases = walk_cases,
};

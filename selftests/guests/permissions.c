// SPDX-License-Identifier: GPL-2.0-only
/*
 * Permissions of page tables: bits of the entries of every level, control bits, kinds of access
 * and privilege against a model of what the manuals say (Intel SDM vol 3, 4.6 and 4.7; AMD APM
 * vol 2, 5.6), with the accessed and dirty bits that are left behind. In 64-bit mode four levels,
 * and five where the processor has them; in 32-bit mode two levels and PAE.
 *
 * By default every single bit that differs from "all allowed" in every mode of the processor,
 * every pair of them in some, and a random sample. Options: all=1 (all combinations in the
 * last two entries in all modes: minutes), samples=N, seed=N, quick=1 (a tenth of it, for slow ways to run).
 */
#include "guest.h"

#define CR0_WP	(1UL << 16)
#define CR4_PGE	(1UL << 7)
#define CR4_LA57 (1UL << 12)
#define CR4_SMEP (1UL << 20)
#define CR4_SMAP (1UL << 21)
#define CR4_PKE	(1UL << 22)
#define EFER	0xc0000080
#define EFER_NXE 0x800ULL

/* The image as CPL 3 sees it, and where what is probed is mapped: a top-level entry of its own. */
#ifdef __x86_64__
#define ALIAS	0x400000000000UL
#define VA4	0x500000000000UL
#define VA5	0x0050000000000000UL
#define DI	"%rdi"
#else
#define ALIAS	0xc0000000UL
#define VA4	0x80000000UL
#define DI	"%edi"
#endif

#define ERROR_P 1
#define ERROR_W 2
#define ERROR_U 4
#define ERROR_RSVD 8
#define ERROR_I 16
#define ERROR_PK 32
#define PK_SHIFT 59
#define KEY	5

#define LL(x) ((unsigned long long)(x))

/* What can be said of an entry; each level's part of a combination is a set of these. */
enum {
	F_P = 1, F_W = 2, F_U = 4, F_NX = 8, F_PS = 16, F_RSVD = 32, F_A = 64, F_D = 128, F_G = 256, F_PK = 512,
	FLAGS = 10
};

/* The processor's modes */
enum { C_WP = 1, C_SMEP = 2, C_SMAP = 4, C_NXE = 8, C_PKE = 16, CONFIGS = 32 };

enum access { READ, WRITE, FETCH, READ_AC, WRITE_AC, USER_READ, USER_WRITE, USER_FETCH, ACCESSES };
static const char *const access_names[] = {
	"read", "write", "fetch", "read with AC", "write with AC", "user read", "user write", "user fetch"
};

static const struct format *format;
static void *root;
static unsigned long va;
static u8 *target;			/* the page that is probed */
static u8 *slots[6];			/* the entries on the way to it, by level */
static u64 tables[6];			/* the address in each of them where it is no leaf */
static unsigned int has;		/* which modes there are */
static bool has_1g;
static unsigned int phys_bits;
static u32 pkru;
static bool lax;			/* the processor is one that errs, see check() */

static u32 seed;

static u32 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/* --- the probe ----------------------------------------------------------------------- */
void user_read(void);
void user_write(void);
asm(".text\n"
    "user_read: mov (" DI "), %al; int $0x80\n"
    "user_write: movb $0, 64(" DI "); int $0x80\n");

/* the probed page: INT 0x80 at 0, RET at 16 */
static long probe(enum access access)
{
	long v;

	switch (access) {
	case READ:
		return TRY("mov (%0), %%cl", : : "a"(va) : "ecx");
	case WRITE:
		return TRY("movb $0, 64(%0)", : : "a"(va) : "memory");
	case FETCH:
#ifdef __x86_64__
		return TRY_THEN("mov %%rsp, %%rbx; call *%%rax", "mov %%rbx, %%rsp", : : "a"(va + 16) : "rbx");
#else
		return TRY_THEN("mov %%esp, %%ebx; call *%%eax", "mov %%ebx, %%esp", : : "a"(va + 16) : "ebx");
#endif
	case READ_AC:
		return TRY_THEN("stac; mov (%0), %%cl", "clac", : : "a"(va) : "ecx");
	case WRITE_AC:
		return TRY_THEN("stac; movb $0, 64(%0)", "clac", : : "a"(va) : "memory");
	case USER_READ:
		v = run_user(user_read, va);
		break;
	case USER_WRITE:
		v = run_user(user_write, va);
		break;
	default:
		v = run_user((void (*)(void))(va - user_alias), 0);
	}
	return v == USER_RETURN ? -1 : v;
}

static bool is_write(enum access a) { return a == WRITE || a == WRITE_AC || a == USER_WRITE; }
static bool is_fetch(enum access a) { return a == FETCH || a == USER_FETCH; }

/* --- the model ------------------------------------------------------------------------- */
static bool has_permissions(unsigned int level)
{
	return format != &pae || level < 3;
}

/* PS set means a page, not a reserved bit or nothing */
static bool may_be_large(unsigned int level)
{
	return level == 2 || (level == 3 && format->levels > 3 && has_1g);
}

struct outcome {
	long error;			/* -1: none */
	unsigned int leaf, stop;	/* level of the page, and of the last entry that was looked at */
};

static struct outcome model(const unsigned int *flags, unsigned int config, enum access access)
{
	bool user = access >= USER_READ, w = true, u = true, nx = false, bad, key_bad = false;
	long error = (is_write(access) ? ERROR_W : 0) | (user ? ERROR_U : 0);
	struct outcome o = { -1, 0, 0 };
	unsigned int l;

	if (is_fetch(access) && ((format->size == 8 && config & C_NXE) || config & C_SMEP))
		error |= ERROR_I;
	for (l = format->levels; ; l--) {
		unsigned int e = flags[l];
		bool reserved;

		o.stop = l;
		if (!(e & F_P)) {
			o.error = error;
			return o;
		}
		if (has_permissions(l)) {
			reserved = e & F_RSVD;
			if (e & F_NX && format->size == 8 && !(config & C_NXE))
				reserved = true;
			if (e & F_PS && l > 1 && !may_be_large(l))
				reserved = true;
			if (reserved) {
				o.error = error | ERROR_P | ERROR_RSVD;
				return o;
			}
			w &= !!(e & F_W);
			u &= !!(e & F_U);
			nx |= e & F_NX && format->size == 8;
		}
		if (l == 1 || (e & F_PS && may_be_large(l)))
			break;
	}
	o.leaf = l;
	if (user)
		bad = !u || (is_write(access) && !w) || (is_fetch(access) && nx);
	else if (is_fetch(access))
		bad = nx || (config & C_SMEP && u);
	else
		bad = (is_write(access) && !w && config & C_WP) ||
		      (config & C_SMAP && u && access != READ_AC && access != WRITE_AC);
	/* protection keys: data of user pages in 64-bit mode */
	if (config & C_PKE && u && !is_fetch(access)) {
		u32 key = pkru >> (flags[l] & F_PK ? 2 * KEY : 0) & 3;

		key_bad = key & 1 || (key & 2 && is_write(access) && (user || config & C_WP));
	}
	if (bad || key_bad)
		o.error = error | ERROR_P | (key_bad ? ERROR_PK : 0);
	return o;
}

/* --- one access -------------------------------------------------------------------------- */
/* which of the bits that are reserved there; 0: the format has none at this entry */
static u64 reserved_bit(unsigned int level, unsigned int flags)
{
	bool leaf = flags & F_PS && may_be_large(level);

	if (!has_permissions(level))
		return 0;
	if (format->size == 4)
		return leaf ? 1U << 21 : 0;
	if (leaf && rnd() & 1)
		return 1U << 13;
	if (format == &pae && rnd() & 1)
		return 1ULL << 62;
	return phys_bits < 52 ? 1ULL << 51 : 0;
}

static u64 encode(unsigned int level, unsigned int *flags)
{
	unsigned int f = *flags;
	u64 e = 0, rsvd;

	if (level > 1 && !(f & F_PS && may_be_large(level)))
		e = tables[level];
	else
		e = (unsigned long)target & ~((1UL << shift_of(format, level)) - 1);
	e |= f & F_P ? PTE_P : 0;
	if (!has_permissions(level))
		return e;
	e |= (f & F_W ? PTE_W : 0) | (f & F_U ? PTE_U : 0) | (f & F_A ? PTE_A : 0) | (f & F_D ? PTE_D : 0) |
	     (f & F_PS ? PTE_PS : 0) | (f & F_G ? PTE_G : 0);
	if (format->size == 8)
		e |= f & F_NX ? PTE_NX : 0;
	if (format->levels >= 4 && f & F_PK)
		e |= (u64)KEY << PK_SHIFT;
	if (f & F_RSVD) {
		rsvd = reserved_bit(level, f);
		if (!rsvd)
			*flags &= ~F_RSVD;
		e |= rsvd;
	}
	return e;
}

static unsigned int accesses, wrong, wrong_bits;

static void complain(const char *what, const unsigned int *flags, unsigned int config, enum access a)
{
	unsigned int l, b;

	print("# %s: %s, config %s%s%s%s%s pkru %#x, entries from the top:", what, access_names[a],
	      config & C_WP ? "WP " : "", config & C_SMEP ? "SMEP " : "", config & C_SMAP ? "SMAP " : "",
	      config & C_NXE ? "NXE " : "", config & C_PKE ? "PKE" : "", pkru);
	for (l = format->levels; l; l--) {
		print(" ");
		for (b = 0; b < FLAGS; b++)
			if (flags[l] & 1 << b)
				print("%c", "PWUXSRADGK"[b]);
		print("%s", flags[l] ? "" : "-");
	}
	print("\n");
}

static void check(const unsigned int *wanted, unsigned int config, enum access access)
{
	unsigned int flags[6], l;
	u64 before[6], after;
	struct outcome o;
	long v, got;

	if ((access == READ_AC || access == WRITE_AC) && !(config & C_SMAP))
		return;
	for (l = format->levels; l; l--) {
		flags[l] = wanted[l];
		before[l] = encode(l, &flags[l]);
		set_entry(format, slots[l], before[l]);
	}
	/* PAE's four entries of the root are loaded with CR3; a global page only INVLPG drops */
	if (format == &pae || rnd() & 1)
		flush_tlb();
	invlpg((void *)va);
	o = model(flags, config, access);
	v = probe(access);
	got = v < 0 ? -1 : v == VECTOR_PF ? (long)this_cpu()->trap.error : 1000 + v;
	/* QEMU 7.2's processor does not set P in the error code of a reserved bit */
	if (lax && got >= 0 && got & ERROR_RSVD)
		got |= ERROR_P;
	accesses++;
	if (got != o.error && wrong++ < 5) {
		complain("outcome", flags, config, access);
		print("# error %ld, not %ld\n", got, o.error);
	}
	if (v == VECTOR_PF && this_cpu()->trap.cr2 != va + (access == FETCH ? 16 : is_write(access) ? 64 : 0) &&
	    wrong++ < 5) {
		complain("CR2", flags, config, access);
		print("# cr2 %#lx, va %#lx\n", this_cpu()->trap.cr2, va);
	}
	for (l = format->levels; l; l--) {
		u64 must = before[l], may = before[l];

		after = get_entry(format, slots[l]);
		if (has_permissions(l)) {
			if (o.error < 0 && l >= o.leaf)
				must |= PTE_A;
			if (o.error < 0 && l == o.leaf && is_write(access))
				must |= PTE_D;
			/* of entries that were looked at before a fault the manuals leave it open */
			may = must;
			if (o.error >= 0 && (l > o.stop || (o.leaf && l >= o.leaf)))
				may |= PTE_A;
		}
		/* QEMU 7.2 does it before it sees a large page's reserved bits, and in PAE's root */
		if (lax && (has_permissions(l) ? l == o.stop && o.error >= 0 && o.error & ERROR_RSVD : before[l] & PTE_P))
			may |= PTE_A;
		if (((after & must) != must || after & ~may) && wrong_bits++ < 5) {
			complain("entry", flags, config, access);
			print("# level %u: %#llx became %#llx, not %#llx\n", l, LL(before[l]), LL(after), LL(must));
		}
	}
}

static void check_all(const unsigned int *flags, unsigned int config)
{
	unsigned int a;

	for (a = 0; a < ACCESSES; a++)
		check(flags, config, a);
}

static void configure(unsigned int config)
{
	u64 efer = rdmsr(EFER);
	unsigned long cr4 = rcr4() & ~(CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_PGE);

	wcr0(config & C_WP ? rcr0() | CR0_WP : rcr0() & ~CR0_WP);
	wcr4(cr4 | (config & C_SMEP ? CR4_SMEP : 0) | (config & C_SMAP ? CR4_SMAP : 0) |
	     (config & C_PKE ? CR4_PKE : 0) | (rnd() & 1 ? CR4_PGE : 0));
	if (has & C_NXE)
		wrmsr(EFER, config & C_NXE ? efer | EFER_NXE : efer & ~EFER_NXE);
	if (config & C_PKE) {
		/* key 0 or ours, no access or no writes, or neither */
		static const u32 values[] = { 0, 1 << (2 * KEY), 2 << (2 * KEY), 1, 2, 3 << (2 * KEY) };

		pkru = values[rnd() % ARRAY_SIZE(values)];
		asm volatile(".byte 0x0f, 0x01, 0xef" : : "a"(pkru), "c"(0), "d"(0));
	}
}

/* Which flags are worth changing in the entry of @level for a page of level @leaf */
static unsigned int interesting(unsigned int level, unsigned int leaf)
{
	unsigned int f = F_P;

	if (level < leaf)
		return 0;
	if (!has_permissions(level))
		return f;
	f |= F_W | F_U | F_A | F_RSVD;
	if (format->size == 8)
		f |= F_NX;
	/* PS of a last entry is PAT there; of a top-level entry that cannot have it, reserved */
	if (level != 1)
		f |= F_PS;
	/* of tables the bit is ignored, but by AMD's highest ones */
	if (level <= 2)
		f |= F_G;
	if (level == leaf) {
		f |= F_D;
		if (format->levels >= 4)
			f |= F_PK;
	}
	return f;
}

static void test_leaf(unsigned int leaf, bool all, bool quick, unsigned int samples)
{
	unsigned int base[6], flags[6], l, i, j, n = 0, config, candidates = 0;
	struct { unsigned int level, flag; } changes[64];

	accesses = wrong = wrong_bits = 0;
	memset(base, 0, sizeof(base));
	for (l = 1; l <= format->levels; l++) {
		base[l] = has_permissions(l) ? F_P | F_W | F_U : F_P;
		if (l == leaf && leaf > 1)
			base[l] |= F_PS;
		for (i = 0; i < FLAGS; i++)
			if (interesting(l, leaf) & 1 << i) {
				changes[n].level = l;
				changes[n++].flag = 1 << i;
			}
	}

	for (config = 0; config < CONFIGS; config++) {
		if (config & ~has)
			continue;
		candidates++;
		if (quick && rnd() % 8)
			continue;
		configure(config);
		check_all(base, config);
		for (i = 0; i < n; i++) {
			memcpy(flags, base, sizeof(flags));
			flags[changes[i].level] ^= changes[i].flag;
			check_all(flags, config);
		}
		if (!all)
			continue;
		/* the last two entries in full */
		for (i = 0; i < 1 << FLAGS; i++) {
			if (i & ~interesting(leaf, leaf))
				continue;
			for (j = 0; j < 1 << FLAGS; j++) {
				if (leaf < format->levels && j & ~(interesting(leaf + 1, leaf) & ~(F_A | F_G | F_RSVD)))
					continue;
				memcpy(flags, base, sizeof(flags));
				flags[leaf] = i;
				if (leaf < format->levels)
					flags[leaf + 1] = j;
				check_all(flags, config);
				if (leaf == format->levels)
					break;
			}
		}
	}
	/* pairs, each in some mode */
	for (i = 0; i < n; i++) {
		config = rnd() % CONFIGS & has;
		configure(config);
		for (j = i + 1; j < n; j++) {
			if (quick && rnd() % 8)
				continue;
			memcpy(flags, base, sizeof(flags));
			flags[changes[i].level] ^= changes[i].flag;
			flags[changes[j].level] ^= changes[j].flag;
			if (all || !(rnd() & 1))
				check_all(flags, config);
			else
				check(flags, config, rnd() % ACCESSES);
		}
	}
	for (i = 0; i < samples; i++) {
		if (i % 64 == 0) {
			config = rnd() % CONFIGS & has;
			configure(config);
		}
		for (l = 1; l <= format->levels; l++) {
			/* mostly allowed, or nothing would get through to the leaf */
			flags[l] = base[l] ^ (rnd() & rnd() & interesting(l, leaf) & ~(F_P | F_RSVD | F_PS)) ^
				   (rnd() % 16 ? 0 : rnd() & interesting(l, leaf));
		}
		check(flags, config, rnd() % ACCESSES);
	}
	configure(C_WP | (has & C_NXE));
	wcr4(rcr4() & ~CR4_PGE);
	ok(!wrong, "%s, page of level %u: %u of %u accesses wrong, %u modes", format->name, leaf, wrong, accesses, candidates);
	ok(!wrong_bits, "... %u entries wrong after them", wrong_bits);
}

/* --- PAT, PSE-36, global pages ------------------------------------------------------------------ */
static void plain_entries(void)
{
	unsigned int l;

	for (l = 1; l <= format->levels; l++)
		set_entry(format, slots[l], (l == 1 ? (unsigned long)target : tables[l]) | PTE_P |
			  (has_permissions(l) ? PTE_W | PTE_U : 0));
	flush_tlb();
	invlpg((void *)va);
}

static void test_cache_bits(void)
{
	unsigned int leaf, i, bad;

	for (leaf = 1; leaf <= 2; leaf++) {
		plain_entries();
		for (i = bad = 0; i < 16; i++) {
			u64 e = ((unsigned long)target & ~((1UL << shift_of(format, leaf)) - 1)) | PTE_P | PTE_W |
				(i & 3) << 3 | (leaf == 2 ? PTE_PS : 0);

			/* PAT; of a large page bit 12 */
			if (i & 4)
				e |= leaf == 1 ? 0x80 : 0x1000;
			if (i & 8)
				e |= 0xe00;	/* the system's */
			set_entry(format, slots[leaf], e);
			invlpg((void *)va);
			target[100] = i + 1;
			bad += TRY("cmp %1, 100(%0); jne 1f; incb 100(%0); 1:", : : "r"(va), "q"((u8)(i + 1)) : "memory") != -1;
			bad += *(volatile u8 *)&target[100] != i + 2;
		}
		ok(!bad, "%s, page of level %u: PAT, PCD, PWT and the ignored bits (%u wrong)", format->name, leaf, bad);
	}
	/* of tables too */
	for (i = bad = 0; i < 4; i++) {
		unsigned int l;

		plain_entries();
		for (l = 2; l <= format->levels; l++)
			set_entry(format, slots[l], get_entry(format, slots[l]) | i << 3);
		flush_tlb();
		bad += *(volatile u8 *)(va + 100) != target[100];
	}
	plain_entries();
	ok(!bad, "%s: PCD and PWT of tables", format->name);
}

#ifndef __x86_64__
static void test_pse36(void)
{
	volatile u32 *p = (u32 *)va;
	u64 big = (unsigned long)target & -(4UL << 20);
	long v;

	if (!(cpuid(1).d & 1 << 17) || phys_bits <= 32) {
		skip("no PSE-36");
		return;
	}
	plain_entries();
	*(volatile u32 *)target = 0x36363636;
	set_entry(format, slots[2], big | PTE_P | PTE_W | PTE_PS);
	invlpg((void *)va);
	ok(*p == 0x36363636, "4 MiB page (%#x)", *p);
	/* bit 13 is address bit 32: there is no memory, but it is not the low page */
	set_entry(format, slots[2], big | PTE_P | PTE_W | PTE_PS | 1 << 13);
	invlpg((void *)va);
	v = TRY("mov (%0), %%eax", : : "r"(p) : "eax");
	ok(v == -1 && *p != 0x36363636, "PSE-36: bit 13 is address bit 32 (%#x)", *p);
	set_entry(format, slots[2], big | PTE_P | PTE_W | PTE_PS | 1 << 21);
	invlpg((void *)va);
	v = TRY("mov (%0), %%eax", : : "r"(p) : "eax");
	ok(v == VECTOR_PF && (this_cpu()->trap.error | lax) == 9, "PSE-36: bit 21 is reserved (vector %ld error %#lx)",
	   v, this_cpu()->trap.error);
	plain_entries();
	asm volatile("movl $0x909080cd, %0" : "=m"(*target));
}

static void test_pdpte(void)
{
	u64 e = get_entry(format, slots[3]);
	unsigned int bad = 0, i;
	long v;

	plain_entries();
	/* Intel: #GP at MOV CR3; AMD: looked at when used, and a page fault then */
	set_entry(format, slots[3], e | PTE_W);
	v = TRY("mov %0, %%cr3", : : "r"(root) : "memory");
	if (v == -1)
		v = TRY("mov (%0), %%al", : : "r"(va) : "eax");
	ok_strict(v == VECTOR_GP || (has_amd() && v == VECTOR_PF && this_cpu()->trap.error == 9),
		  "PAE: reserved bit in an entry of the root (vector %ld)", v);
	/* They are loaded with CR3: a change shows at the next MOV CR3 at the latest */
	for (i = 0; i < 20; i++) {
		set_entry(format, slots[3], i & 1 ? e : 0);
		flush_tlb();
		v = TRY("mov (%0), %%al", : : "r"(va) : "eax");
		bad += v != (i & 1 ? -1 : VECTOR_PF);
	}
	ok(!bad, "PAE: entries of the root come and go with MOV CR3 (%u wrong)", bad);
	set_entry(format, slots[3], e);
	flush_tlb();
}
#endif

static void test_global(void)
{
	u8 *other = alloc_page();
	unsigned int i, bad;

	plain_entries();
	target[200] = 1;
	other[200] = 2;
	for (i = bad = 0; i < 100; i++) {
		wcr4(rcr4() | CR4_PGE);
		set_entry(format, slots[1], (unsigned long)(i & 1 ? other : target) | PTE_P | PTE_W | PTE_G);
		invlpg((void *)va);
		bad += *(volatile u8 *)(va + 200) != 1 + (i & 1);
		flush_tlb();
		bad += *(volatile u8 *)(va + 200) != 1 + (i & 1);
		/* no longer global, another page: INVLPG drops the old one */
		set_entry(format, slots[1], (unsigned long)(i & 1 ? target : other) | PTE_P | PTE_W);
		invlpg((void *)va);
		bad += *(volatile u8 *)(va + 200) != 2 - (i & 1);
		set_entry(format, slots[1], (unsigned long)(i & 1 ? other : target) | PTE_P | PTE_W);
		flush_tlb();
		bad += *(volatile u8 *)(va + 200) != 1 + (i & 1);
		/* and PGE off drops all */
		set_entry(format, slots[1], (unsigned long)target | PTE_P | PTE_W | PTE_G);
		invlpg((void *)va);
		bad += *(volatile u8 *)(va + 200) != 1;
		set_entry(format, slots[1], (unsigned long)other | PTE_P | PTE_W | PTE_G);
		wcr4(rcr4() & ~CR4_PGE);
		bad += *(volatile u8 *)(va + 200) != 2;
	}
	ok(!bad, "%s: global pages, INVLPG, MOV CR3, CR4.PGE (%u stale)", format->name, bad);
	plain_entries();
}

static void run_format(const struct format *f, unsigned long where)
{
	bool all = option("all", 0), quick = option("quick", 0);
	unsigned int l, leaf, samples = option("samples", quick ? 1000 : 10000);
	unsigned long a;

	format = f;
	user_alias = 0;
	root = make_root(f, memory_end() & -(4UL << 20), NULL);
	for (a = 0; a < 4 << 20; a += 1UL << shift_of(f, 2))
		set_entry(f, make_entry(f, root, ALIAS + a, 2), a | PTE_P | PTE_W | PTE_U | PTE_PS);
	/* the low bits of both are the same, so that a large page at any level has it in its place */
	target = alloc_page();
	memcpy(target, "\xcd\x80", 2);
	target[16] = 0xc3;
	va = where + (unsigned long)target;
	for (l = f->levels; l; l--) {
		slots[l] = make_entry(f, root, va, l);
		if (l > 1)
			make_entry(f, root, va, l - 1);
		tables[l] = l > 1 ? get_entry(f, slots[l]) & PTE_ADDR : 0;
	}
#ifdef __x86_64__
	wcr3((unsigned long)root);
#else
	use_paging(f, root);
#endif
	user_alias = ALIAS;
	for (leaf = 1; leaf <= (f->levels > 3 && has_1g ? 3 : 2); leaf++)
		test_leaf(leaf, all, quick, samples);
	test_cache_bits();
	test_global();
}

#ifdef __x86_64__
/* Five levels are switched on with paging off, which 64-bit mode cannot be without: a way through 32 bits. */
void set_la57(unsigned long cr3, unsigned long cr4);
asm(".text; .code64\n"
    "set_la57:\n"
    "	push %rbx; push %rbp; mov %rsp, la57_rsp\n"
    "	mov $0x18, %eax; push %rax; push $1f; lretq\n"
    ".code32\n"
    "1:	mov $0x10, %eax; mov %eax, %ss\n"
    "	mov %cr0, %edx; mov %edx, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "	mov %esi, %cr4; mov %edi, %cr3; mov %edx, %cr0\n"
    "	ljmp $0x08, $1f\n"
    ".code64\n"
    "1:	mov la57_rsp, %rsp; pop %rbp; pop %rbx; ret\n"
    ".data; la57_rsp: .quad 0; .text\n");
#endif

int main(void)
{
	bool ext;

	cpu_start(0);
	apic_enable(false);
	seed = option("seed", 0x5eed5eed);
	ext = cpuid(0).a >= 7;
	has = C_WP;
	lax = on_tcg();
	if (ext && cpuid(7).b & 1 << 7)
		has |= C_SMEP;
	if (ext && cpuid(7).b & 1 << 20)
		has |= C_SMAP;
	phys_bits = cpuid(0x80000000).a >= 0x80000008 ? cpuid(0x80000008).a & 255 : 36;
#ifdef __x86_64__
	if (ext && cpuid(7).c & 1 << 3)
		has |= C_PKE;
	has |= C_NXE;
	has_1g = cpuid(0x80000001).d & 1 << 26;
	run_format(&four_level, VA4);
	if (ext && cpuid(7).c & 1 << 16) {
		void *old = root;

		/* a way there that both can walk: the five-level root over the four-level one */
		void *over = alloc_page();

		set_entry(&five_level, over, (unsigned long)old | PTE_P | PTE_W | PTE_U);
		set_la57((unsigned long)over, rcr4() | CR4_LA57);
		run_format(&five_level, VA5);
		set_la57((unsigned long)old, rcr4() & ~CR4_LA57);
	} else {
		skip("no 5-level paging");
	}
#else
	run_format(&two_level, VA4);
	test_pse36();
	use_paging(NULL, NULL);
	if (cpuid(0x80000001).d & 1 << 20) {
		has |= C_NXE;
		wrmsr(EFER, rdmsr(EFER) | EFER_NXE);
	}
	run_format(&pae, VA4);
	test_pdpte();
	use_paging(NULL, NULL);
#endif
	return finish_tests();
}

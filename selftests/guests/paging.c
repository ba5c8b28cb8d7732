// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address translation in 64-bit mode: every combination of permissions, accessed and
 * dirty bits, page sizes, and that changed tables take effect when they must.
 */
#include "guest.h"

#define ALIAS	0x400000000000UL	/* the image as CPL 3 sees it */
#define VA	0x500000000000UL	/* what is probed; PML4 entry of its own */
#define CR4_SMEP (1 << 20)
#define CR4_SMAP (1 << 21)
#define CR4_PGE	(1 << 7)
#define CR4_PCIDE (1 << 17)

static u64 *pml4;

/* Like the boot tables, but the kernel's half is the kernel's. */
static void make_tables(void)
{
	u64 a;

	pml4 = alloc_page();
	for (a = 0; a < 4ULL << 30; a += 2 << 20)
		map(pml4, a, a | PTE_P | PTE_W | PTE_A | PTE_D, 2);
	for (a = 0; a < 4 << 20; a += 2 << 20)
		map(pml4, ALIAS + a, a | PTE_P | PTE_W | PTE_U, 2);
	wcr3((u64)pml4);
	user_alias = ALIAS;
}

/* --- permissions --------------------------------------------------------------- */
enum access { READ, WRITE, FETCH, USER_READ, USER_WRITE, USER_FETCH, ACCESSES };
static const char *const access_names[] = { "read", "write", "fetch", "user read", "user write", "user fetch" };

static void user_read(void) { asm volatile("mov (%rdi), %al; int $0x80"); }
static void user_write(void) { asm volatile("movb $0, 64(%rdi); int $0x80"); }

/* the probed page: INT 0x80 at 0, RET at 16 */
static long probe(enum access access, u64 va)
{
	long v;

	switch (access) {
	case READ:
		return TRY("mov (%%rax), %%cl", : : "a"(va) : "rcx");
	case WRITE:
		return TRY("movb $0, 64(%%rax)", : : "a"(va) : "memory");
	case FETCH:
		return TRY_THEN("mov %%rsp, %%rbx; call *%%rax", "mov %%rbx, %%rsp", : : "a"(va + 16) : "rbx");
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

/* what the manual says: error code of the #PF, or -1 */
static long expected(enum access access, u64 leaf, u64 parent, bool wp, bool smep, bool smap)
{
	bool user = access >= USER_READ;
	int kind = access % 3;
	bool w = leaf & parent & PTE_W, u = leaf & parent & PTE_U, nx = (leaf | parent) & PTE_NX;
	long error = (kind == WRITE ? 2 : 0) | (user ? 4 : 0) | (kind == FETCH ? 16 : 0);
	bool bad;

	if (!(leaf & PTE_P))
		return error;
	if (user)
		bad = !u || (kind == WRITE && !w) || (kind == FETCH && nx);
	else if (kind == FETCH)
		bad = nx || (smep && u);
	else
		bad = (kind == WRITE && !w && wp) || (smap && u);
	return bad ? error | 1 : -1;
}

static void test_permissions(unsigned int level, bool wp, bool smep, bool smap)
{
	static const u64 bits[] = { PTE_P, PTE_W, PTE_U, PTE_NX };
	static const u64 parent_bits[] = { PTE_W, PTE_U, PTE_NX };
	u64 va = VA + (level == 2 ? 1ULL << 30 : 0), frame, leaf, parent, *pte, *up;
	unsigned int l, p, i, wrong = 0, probes = 0, flags_wrong = 0;
	long v, got, want;

	frame = level == 1 ? (u64)alloc_page() : (u64)alloc(2 << 20, 2 << 20);
	memcpy((void *)frame, "\xcd\x80", 2);
	*(volatile u8 *)(frame + 16) = 0xc3;
	pte = map(pml4, va, frame, level);
	up = walk(pml4, va, level + 1);

	wcr0(wp ? rcr0() | 1 << 16 : rcr0() & ~(1ULL << 16));
	wcr4((rcr4() & ~(u64)(CR4_SMEP | CR4_SMAP)) | (smep ? CR4_SMEP : 0) | (smap ? CR4_SMAP : 0));
	for (p = 0; p < 8; p++) {
		for (parent = PTE_P, i = 0; i < 3; i++)
			if (p & 1 << i)
				parent |= parent_bits[i];
		for (l = 0; l < 16; l++) {
			for (leaf = 0, i = 0; i < 4; i++)
				if (l & 1 << i)
					leaf |= bits[i];
			for (i = 0; i < ACCESSES; i++) {
				*up = (*up & PTE_ADDR) | parent;
				*pte = frame | leaf | (level > 1 ? PTE_PS : 0);
				flush_tlb();
				v = probe(i, va);
				got = v < 0 ? -1 : v == VECTOR_PF ? (long)this_cpu()->trap.error : 1000 + v;
				want = expected(i, leaf, parent, wp, smep, smap);
				probes++;
				if (got != want && wrong++ < 3)
					print("# %s: leaf %c%c%c%s parent %c%c%s: error %ld, not %ld\n", access_names[i],
					      leaf & PTE_P ? 'P' : '-', leaf & PTE_W ? 'W' : '-', leaf & PTE_U ? 'U' : '-',
					      leaf & PTE_NX ? "X" : "", parent & PTE_W ? 'W' : '-', parent & PTE_U ? 'U' : '-',
					      parent & PTE_NX ? "X" : "", got, want);
				/* A is set by use, D by writes and by them alone */
				if (want < 0 && (!(*pte & PTE_A) || !(*up & PTE_A) ||
						 !!(*pte & PTE_D) != (i % 3 == WRITE)) && flags_wrong++ < 3)
					print("# %s: entry %#lx, table above %#lx\n", access_names[i], *pte, *up);
				if (want >= 0 && *pte & PTE_D && flags_wrong++ < 3)
					print("# %s: dirty after a fault\n", access_names[i]);
				if (v >= 0 && v == VECTOR_PF && this_cpu()->trap.cr2 !=
				    va + (i == FETCH ? 16 : i % 3 == WRITE ? 64 : 0) && wrong++ < 3)
					print("# %s: cr2 %#lx\n", access_names[i], this_cpu()->trap.cr2);
			}
		}
	}
	*up = (*up & PTE_ADDR) | PTE_P | PTE_W | PTE_U;
	*pte = 0;
	flush_tlb();
	wcr0(rcr0() | 1 << 16);
	wcr4(rcr4() & ~(u64)(CR4_SMEP | CR4_SMAP));
	ok(!wrong, "permissions: %s pages, WP %d SMEP %d SMAP %d: %u of %u wrong", level == 1 ? "4 KiB" : "2 MiB",
	   wp, smep, smap, wrong, probes);
	ok(!flags_wrong, "... accessed and dirty bits: %u wrong", flags_wrong);
}

/* --- sizes ------------------------------------------------------------------------- */
static void test_sizes(void)
{
	u64 va = VA + (16ULL << 30), big = (u64)alloc(2 << 20, 2 << 20), i;
	volatile u64 *p;

	map(pml4, va, big | PTE_P | PTE_W, 2);
	for (i = 0; i < 512; i++)
		*(volatile u64 *)(big + i * 4096 + 8) = i * 3;
	for (i = 0; i < 512; i++)
		if (*(volatile u64 *)(va + i * 4096 + 8) != i * 3)
			break;
	ok(i == 512, "2 MiB page: every 4 KiB of it");
	for (i = 0; i < 512; i++)
		map(pml4, va + (2 << 20) + i * 4096, (big + (511 - i) * 4096) | PTE_P | PTE_W, 1);
	for (i = 0; i < 512; i++)
		if (*(volatile u64 *)(va + (2 << 20) + i * 4096 + 8) != (511 - i) * 3)
			break;
	ok(i == 512, "4 KiB pages of the same memory, backwards");
	if (cpuid(0x80000001).d & 1 << 26) {
		map(pml4, VA + (32ULL << 30), PTE_P | PTE_W, 3);
		p = (u64 *)(VA + (32ULL << 30) + big + 8);
		ok(p[512 * 7] == 21, "1 GiB page");
		p[512 * 7] = 22;
		ok(*(volatile u64 *)(big + 7 * 4096 + 8) == 22, "1 GiB page, write");
		ok(*walk(pml4, VA + (32ULL << 30), 3) & PTE_D, "1 GiB page, dirty bit");
	} else {
		skip("no 1 GiB pages");
	}
}

/* --- staleness ------------------------------------------------------------------------ */
static void test_stale(void)
{
	u64 va = VA + (64ULL << 30), *a = alloc_page(), *b = alloc_page(), *pte, *pte2, *up;
	volatile u64 *p = (u64 *)va;
	unsigned int i, bad;
	u64 table;
	long v;

	*a = 0xaaaa;
	*b = 0xbbbb;
	pte = map(pml4, va, (u64)a | PTE_P | PTE_W, 1);
	for (i = bad = 0; i < 1000; i++) {
		*pte = (u64)(i & 1 ? a : b) | PTE_P | PTE_W;
		invlpg((void *)va);
		bad += *p != (i & 1 ? 0xaaaa : 0xbbbb);
	}
	ok(!bad, "INVLPG: the new page is seen (%u stale)", bad);
	for (i = bad = 0; i < 1000; i++) {
		*pte = (u64)(i & 1 ? a : b) | PTE_P | PTE_W;
		flush_tlb();
		bad += *p != (i & 1 ? 0xaaaa : 0xbbbb);
	}
	ok(!bad, "MOV CR3: the new page is seen (%u stale)", bad);
	for (i = bad = 0; i < 200; i++) {
		*pte = (u64)(i & 1 ? a : b) | PTE_P | PTE_W | PTE_G;
		wcr4(rcr4() | CR4_PGE);
		bad += *p != (i & 1 ? 0xaaaa : 0xbbbb);
		wcr4(rcr4() & ~CR4_PGE);
	}
	ok(!bad, "CR4.PGE: global pages are forgotten (%u stale)", bad);
	for (i = bad = 0; i < 200; i++) {
		wcr4(rcr4() | CR4_PGE);
		*pte = (u64)a | PTE_P | PTE_W | PTE_G;
		invlpg((void *)va);
		bad += *p != 0xaaaa;
		*pte = (u64)b | PTE_P | PTE_W | PTE_G;
		invlpg((void *)va);
		bad += *p != 0xbbbb;
	}
	ok(!bad, "INVLPG of global pages (%u stale)", bad);
	wcr4(rcr4() & ~CR4_PGE);

	/* not present -> present needs no flush; a fault drops what was cached */
	for (i = bad = 0; i < 200; i++) {
		*pte = 0;
		invlpg((void *)va);
		bad += TRY("mov (%%rax), %%al", : : "a"(va)) != VECTOR_PF;
		*pte = (u64)a | PTE_P;
		bad += TRY("mov (%%rax), %%al", : : "a"(va)) != -1;
		bad += TRY("movb $1, 9(%%rax)", : : "a"(va) : "memory") != VECTOR_PF;
		*pte |= PTE_W;
		bad += TRY("movb $1, 9(%%rax)", : : "a"(va) : "memory") != -1;
	}
	ok(!bad, "more rights need no flush (%u wrong)", bad);
	for (i = bad = 0; i < 200; i++) {
		*pte = (u64)a | PTE_P | PTE_W;
		invlpg((void *)va);
		*p = 0xaaaa;
		*pte &= ~PTE_W;
		invlpg((void *)va);
		bad += TRY("movb $1, 9(%%rax)", : : "a"(va) : "memory") != VECTOR_PF;
	}
	ok(!bad, "fewer rights after INVLPG (%u wrong)", bad);

	/* the dirty bit comes again after it was cleared */
	for (i = bad = 0; i < 200; i++) {
		*pte = (u64)a | PTE_P | PTE_W;
		invlpg((void *)va);
		v = *p;
		bad += !!(*pte & PTE_D) || !(*pte & PTE_A);
		*p = 0xaaaa;
		bad += !(*pte & PTE_D);
	}
	(void)v;
	ok(!bad, "accessed and dirty come again (%u wrong)", bad);

	/* a table above changes */
	map(pml4, va + 4096, (u64)a | PTE_P | PTE_W, 1);
	up = walk(pml4, va, 2);
	table = *up;
	pte2 = alloc_page();
	pte2[0] = (u64)b | PTE_P | PTE_W;
	*pte = (u64)a | PTE_P | PTE_W;
	for (i = bad = 0; i < 500; i++) {
		*up = i & 1 ? ((u64)pte2 | PTE_P | PTE_W | PTE_U) : table;
		invlpg((void *)va);
		bad += *p != (i & 1 ? 0xbbbb : 0xaaaa);
	}
	*up = table;
	flush_tlb();
	ok(!bad, "a new page table is seen after INVLPG (%u stale)", bad);

	/* 2 MiB page split into 4 KiB pages and back */
	{
		u64 *big = alloc(2 << 20, 2 << 20), *pt = alloc_page(), *pde;

		va = VA + (80ULL << 30);
		pde = map(pml4, va, (u64)big | PTE_P | PTE_W, 2);
		for (i = 0; i < 512; i++) {
			big[i * 512] = i;
			pt[i] = (u64)(big + (i ^ 1) * 512) | PTE_P | PTE_W;
		}
		for (i = bad = 0; i < 400; i++) {
			unsigned int n = i * 7 % 512;

			*pde = (u64)big | PTE_P | PTE_W | PTE_PS;
			flush_tlb();
			bad += *(volatile u64 *)(va + n * 4096) != n;
			*pde = (u64)pt | PTE_P | PTE_W;
			flush_tlb();
			bad += *(volatile u64 *)(va + n * 4096) != (n ^ 1);
		}
		ok(!bad, "2 MiB page split and joined (%u stale)", bad);
	}
	/* a page table entry that maps the page table itself */
	{
		u64 *pt = alloc_page(), *pde;

		va = VA + (96ULL << 30);
		map(pml4, va, (u64)a | PTE_P | PTE_W, 1);
		pde = walk(pml4, va, 2);
		*pde = (u64)pt | PTE_P | PTE_W;
		pt[0] = (u64)pt | PTE_P | PTE_W;
		flush_tlb();
		p = (u64 *)va;
		p[1] = (u64)a | PTE_P | PTE_W;
		bad = *(volatile u64 *)(va + 4096) != 0xaaaa;
		p[1] = (u64)b | PTE_P | PTE_W;
		invlpg((void *)(va + 4096));
		bad += *(volatile u64 *)(va + 4096) != 0xbbbb;
		ok(!bad && pt[0] & PTE_D, "a page table written through its own mapping");
	}
}

/* --- PCID ----------------------------------------------------------------------------- */
static long try_invpcid(u64 type, u64 pcid, u64 address)
{
	struct { u64 pcid, address; } d = { pcid, address };

	return TRY("invpcid %1, %0", : : "r"(type), "m"(d) : "memory");
}

static void test_pcid(void)
{
	u64 va = VA + (128ULL << 30), *t[2], *page[2], *pte[2], cr3 = rcr3();
	unsigned int i, n, bad;
	bool has_invpcid = cpuid(7).b & 1 << 10;

	if (!(cpuid(1).c & 1 << 17)) {
		skip("no PCID");
		ok_hypervisor(TRY("mov %0, %%cr4", : : "r"(rcr4() | CR4_PCIDE)) == VECTOR_GP, "CR4.PCIDE not offered is #GP");
		wcr4(rcr4() & ~CR4_PCIDE);
		return;
	}
	for (i = 0; i < 2; i++) {
		t[i] = alloc_page();
		memcpy(t[i], pml4, 4096);
		t[i][va >> 39 & 511] = 0;
		page[i] = alloc_page();
		*page[i] = 0x1000 + i;
		pte[i] = map(t[i], va, (u64)page[i] | PTE_P | PTE_W, 1);
	}
	wcr4(rcr4() | CR4_PCIDE);
	ok(rcr4() & CR4_PCIDE, "CR4.PCIDE is on");
	for (i = bad = 0; i < 1000; i++) {
		n = i & 1;
		wcr3((u64)t[n] | (n + 1) | (i > 1 ? 1ULL << 63 : 0));
		bad += *(volatile u64 *)va != 0x1000 + n;
	}
	ok(!bad, "two address spaces with PCIDs, switched without flush (%u wrong)", bad);
	ok(!(rcr3() >> 63), "bit 63 of CR3 is not stored");
	/* a switch with flush sees the change, the other space keeps its own */
	for (i = bad = 0; i < 200; i++) {
		*page[0] = 0x1000;
		*pte[0] = (u64)page[i & 1] | PTE_P | PTE_W;
		wcr3((u64)t[0] | 1);
		bad += *(volatile u64 *)va != (i & 1 ? 0x1001 : 0x1000);
		wcr3((u64)t[1] | 2 | 1ULL << 63);
		bad += *(volatile u64 *)va != 0x1001;
	}
	ok(!bad, "switch with flush (%u stale)", bad);
	if (has_invpcid) {
		for (i = bad = 0; i < 400; i++) {
			wcr3((u64)t[0] | 1 | 1ULL << 63);
			bad += *(volatile u64 *)va != (*pte[0] & PTE_ADDR ? *(u64 *)(*pte[0] & PTE_ADDR) : 0);
			wcr3((u64)t[1] | 2 | 1ULL << 63);
			*pte[0] = (u64)page[i & 1] | PTE_P | PTE_W;
			bad += try_invpcid(i % 4, 1, va) >= 0;
			wcr3((u64)t[0] | 1 | 1ULL << 63);
			bad += *(volatile u64 *)va != 0x1000 + (i & 1);
		}
		ok(!bad, "INVPCID of another space, all four types (%u stale)", bad);
		ok(try_invpcid(4, 0, 0) == VECTOR_GP, "INVPCID of an unknown type is #GP");
		ok(try_invpcid(0, 0x1000, 0) == VECTOR_GP, "INVPCID with reserved bits is #GP");
		ok(try_invpcid(0, 1, 1ULL << 62) == VECTOR_GP, "INVPCID with an address not canonical is #GP");
	} else {
		ok_strict(try_invpcid(0, 0, 0) == VECTOR_UD, "INVPCID not offered is #UD");
	}
	wcr3(cr3);
	ok_strict(TRY("mov %0, %%cr4", : : "r"(rcr4())) == -1, "CR4 written with PCID 0");
	wcr4(rcr4() & ~CR4_PCIDE);
	wcr3(cr3);
}

static void test_nxe(void)
{
	u64 va = VA + (192ULL << 30), *pte = map(pml4, va, (u64)alloc_page() | PTE_P | PTE_W | PTE_NX, 1);
	u64 efer = rdmsr(0xc0000080);
	long v;

	wrmsr(0xc0000080, efer & ~0x800ULL);
	invlpg((void *)va);
	v = TRY("mov (%%rax), %%al", : : "a"(va));
	wrmsr(0xc0000080, efer);
	ok_strict(v == VECTOR_PF && this_cpu()->trap.error == 9, "NX bit without EFER.NXE is reserved (vector %ld error %#lx)",
	   v, this_cpu()->trap.error);
	*pte &= ~PTE_NX;
	invlpg((void *)va);
	ok(TRY("mov (%%rax), %%al", : : "a"(va)) < 0, "... and back");
	*pte = PTE_P | PTE_W | (1ULL << 45);
	invlpg((void *)va);
	v = TRY("mov (%%rax), %%al", : : "a"(va));
	if ((cpuid(0x80000008).a & 255) <= 45)
		ok_strict(v == VECTOR_PF && this_cpu()->trap.error == 9,
			  "address beyond the processor's is reserved (vector %ld error %#lx)", v, this_cpu()->trap.error);
	*pte = 0;
	invlpg((void *)va);
}

int main(void)
{
	bool smep, smap;
	unsigned int level, c;

	cpu_start(0);
	apic_enable(false);
	make_tables();
	smep = cpuid(0).a >= 7 && cpuid(7).b & 1 << 7;
	smap = cpuid(0).a >= 7 && cpuid(7).b & 1 << 20;
	for (level = 1; level <= 2; level++)
		for (c = 0; c < 8; c++) {
			if ((c & 2 && !smep) || (c & 4 && !smap))
				continue;
			test_permissions(level, c & 1, c & 2, c & 4);
		}
	test_sizes();
	test_stale();
	test_pcid();
	test_nxe();
	return finish_tests();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random instructions of the supervisor: what became of them, as checksums.
 *
 * Run directly, and again in a hybrid VM, which interprets everything that is
 * not CPL 3: the output must be the same, line by line (selftests/scripts/insns).
 *
 * The instructions, and states in which they have something to do, come from
 * selftests/emulate/subject.c; they run in the low 128 KiB of memory, which have
 * tables, stacks, code and data as that wants them. Code is a sea of INT3, and only
 * code can be executed, so that each run ends in an exception. All but this run
 * itself is done at CPL 3, where a hybrid VM is fast.
 */
#include "guest.h"
#include "../emulate/random.h"
#include "../emulate/subject.h"
#include "../../kmod/emulate/internal.h"

/* Known to insns_entry.S */
struct run {
	u64 regs[16];		/* 0 */
	u64 rip, cs, rflags, rsp, ss;	/* 128 */
	u64 ds, es, fs, gs;	/* 168 */
	u64 vector, error;	/* 200 */
	u64 cr2;		/* 216 */
	u64 fs_base, gs_base;	/* 224 */
	u64 cr0, cr4;		/* 240 */
};

/* GDT and IDT of the tests, then the usual ones: the pointers are at + 0, 16, 32, 48. */
struct run_pointer {
	u16 limit;
	u64 base;
	u8 pad[6];
} __attribute__((packed));

struct run run_in, run_out;
struct run_pointer run_tables[4];
u64 run_gs, run_cr[2];
u8 run_vectors;
u8 run_xmm[8][16] __attribute__((aligned(16)));

extern const u8 run_exits[];
void run_entry(void);
void print_entry(void);
void flush_entry(void);

static struct gate run_idt[256] __attribute__((aligned(16)));
static u64 low_table[512] __attribute__((aligned(4096)));
static u8 pristine[FLAT_MEM] __attribute__((aligned(4096)));
static struct system s;
static bool tcg, amd;
static u32 count, seed, trace, features;

/* subject.c asks for segments only. */
static u64 seg_base(struct vireo_emu *e, u32 seg)
{
	return s.seg[seg].base;
}

static void get_seg(struct vireo_emu *e, u32 seg, struct vireo_emu_segment *to)
{
	*to = s.seg[seg];
}

static u32 get_cpl(struct vireo_emu *e)
{
	return system_cpl(&s);
}

const struct vireo_emu_ops system_ops = {
	.seg_base = seg_base,
	.get_seg = get_seg,
	.get_cpl = get_cpl,
};

enum { HAS_MOVBE = 1, HAS_POPCNT = 2, HAS_CRC32 = 4, HAS_CX16 = 8, HAS_FSGSBASE = 16 };

static bool wanted(u32 op)
{
	switch (op) {
	case OP_UD:
	case OP_NONE:
	/* would end the test: its tables, its stacks */
	case OP_LGDT:
	case OP_LIDT:
	case OP_LTR:
	case OP_HLT:
	/* devices */
	case OP_INS ... OP_OUT_DX:
	/* are not the same each time, or not the interpreter's business */
	case OP_CPUID:
	case OP_RDTSC:
	case OP_RDTSCP:
	case OP_RDPMC:
	case OP_XGETBV:
	case OP_XSETBV:
	case OP_MONITOR:
	case OP_MWAIT:
	case OP_HYPERCALL:
	case OP_INVD:
	case OP_WBINVD:
	case OP_CLAC:
	case OP_STAC:
	case OP_XBEGIN:
	case OP_EXTRQ:
		return false;
	case OP_MOVBE:
		return features & HAS_MOVBE;
	case OP_POPCNT:
		return features & HAS_POPCNT;
	case OP_CRC32:
		return features & HAS_CRC32;
	case OP_SEGBASE:
		return features & HAS_FSGSBASE;
	}
	return true;
}

/*
 * What QEMU's emulation is known to do otherwise than processors, seen by Unicorn's
 * test (selftests/emulate/test_unicorn.c) and here: it checks no limits or types of
 * segments, and has its own view of the following.
 */
static bool lax(const struct subject *t)
{
	const struct vireo_emu_insn *insn = &s.e.insn;
	bool mem = (insn->entry & EMU_MODRM) && insn->modrm < 0xc0;

	if (insn->prefix & VIREO_EMU_PFX_LOCK || subject_rex_ignored(&s, t))
		return true;
	if (mem && (insn->seg == VIREO_EMU_CS || insn->base == VIREO_EMU_RIPREG))
		return true;
	if (s.e.mode == VIREO_EMU_PROT16 && insn->ad_size == 4)
		return true;
	switch (t->op) {
	case OP_JMP_FAR ... OP_IRET:
	case OP_SYSCALL ... OP_SYSEXIT:
	case OP_MOV_TO_SEG:
	case OP_POP_SEG:
	case OP_LDS:
	case OP_LLDT:
	case OP_LAR:
	case OP_LSL:
	case OP_SMSW:
	case OP_WRMSR:
	case OP_INT1:
	case OP_ENTER:
	case OP_BOUND:
		return true;
	case OP_CMPXCHG:
		return insn->op_size == 4;
	case OP_MOVBE:
		return s.e.mode == VIREO_EMU_PROT16 || insn->prefix & VIREO_EMU_PFX_OPSIZE;
	case OP_CRC32:
		return s.e.mode == VIREO_EMU_PROT16;
	case OP_RET:
		return insn->imm & 0x8000;
	case OP_MOV_MOFFS:
		return insn->seg == VIREO_EMU_CS;
	case OP_LAHF:
	case OP_SAHF:
		return insn->prefix & VIREO_EMU_PFX_REX;
	case OP_TEST:
		return (insn->opcode & 0xfe) == 0xf6 && (insn->reg & 7) == 1;
	case OP_MOV:
		return insn->rex & 4;
	case OP_NOP:
		return insn->modrm >= 0xc0;
	case OP_MOVUPS ... OP_LDDQU:
		/* alignment; 66 with F3 or F2 */
		return mem || insn->prefix & VIREO_EMU_PFX_OPSIZE;
	}
	return false;
}

/* What cannot be compared, or not here. */
static bool excluded(const struct subject *t)
{
	const struct vireo_emu_insn *insn = &s.e.insn;
	u64 to;

	if (insn->vex || (tcg && lax(t)))
		return true;
	/* 16 bits are written, or 32: both are right */
	if (t->op == OP_PUSH_SEG && insn->op_size > 2)
		return true;
	/*
	 * What AMD's processors do otherwise than Intel's is so in a guest, but not on
	 * emulators: 66 before near branches, far pointers of 64 bits, SYSENTER in
	 * long mode.
	 */
	if (amd && s.e.mode == VIREO_EMU_PROT64 &&
	    ((t->op >= OP_JCC && t->op <= OP_CALL_IND && insn->prefix & VIREO_EMU_PFX_OPSIZE) ||
	     ((t->op == OP_LDS || t->op == OP_JMP_FAR_IND || t->op == OP_CALL_FAR_IND) &&
	      insn->op_size == 8)))
		return true;
	if (amd && (t->op == OP_SYSENTER || t->op == OP_SYSEXIT))
		return true;
	/* emulators do not pop SS and RSP, processors do */
	if (t->op == OP_IRET && s.e.mode == VIREO_EMU_PROT64 && insn->op_size != 8)
		return true;
	/* which check comes first is not the same everywhere: the outer stack, or CS */
	if (t->op == OP_RET_FAR && insn->entry & EMU_I_MASK)
		return true;
	/* REX.R does not count, but Bochs refuses it */
	if ((t->op == OP_MOV_FROM_SEG || t->op == OP_MOV_TO_SEG) && insn->rex & 4)
		return true;
	/*
	 * What the interpreter leaves to the processor: MMX, and moves between halves of
	 * registers. Bochs' monitor trap flag, to step over it, comes too late.
	 */
	if (t->op >= OP_MOVUPS && t->op <= OP_LDDQU && !tcg &&
	    (insn->modrm >= 0xc0 || (insn->opcode & 0xfb) == 0x12 ||
	     !(insn->prefix & (VIREO_EMU_PFX_OPSIZE | VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE))))
		return true;
	/* the upper half of EBP: there are three opinions */
	if (t->op == OP_ENTER && s.e.mode == VIREO_EMU_PROT16 && insn->op_size == 4)
		return true;
	/* an operand that wraps at 4 GiB may fault, or not */
	if (s.e.mode != VIREO_EMU_PROT64 && insn->ad_size == 4 && emu_ea(&s.e) > 0xffffffc0)
		return true;
	/* branches to itself, for ever */
	to = s.e.rip + insn->len + insn->imm;
	if (t->op >= OP_JCC && t->op <= OP_JCXZ && to - s.e.rip < insn->len)
		return true;
	/* other page tables, or interrupts masked by the TPR */
	if (t->op == OP_MOV_TO_CR && (insn->reg == 3 || insn->reg == 8))
		return true;
	if (t->op == OP_CMPXCHG8B && insn->op_size == 8 && !(features & HAS_CX16))
		return true;
	/* TZCNT, LZCNT, where there are such */
	if ((t->op == OP_BSF || t->op == OP_BSR) &&
	    (insn->prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE)))
		return true;
	return false;
}

static u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

static const struct {
	const char *name;
	u32 mode;
} modes[] = {
	{ "64-bit", VIREO_EMU_PROT64 },
	{ "32-bit", VIREO_EMU_PROT32 },
	{ "16-bit", VIREO_EMU_PROT16 },
};

static u32 sums[3][256], runs[3][256];
static char line[256];
static u32 line_len;

static void put_string(const char *text)
{
	while (*text && line_len < sizeof(line))
		line[line_len++] = *text++;
}

static void put_hex(u64 v, u32 digits)
{
	while (digits--)
		line[line_len++] = "0123456789abcdef"[v >> 4 * digits & 15];
}

static void put_line(void)
{
	char *at = line;
	u64 len = line_len + 1;

	line[line_len] = '\n';
	asm volatile("int $0x82" : "+S"(at), "+c"(len) : : "rdx", "memory");
	line_len = 0;
}

/* Whatever the run has changed in memory goes into the checksum, and back. */
static u64 memory(u64 h, bool count_it)
{
	u32 page, i;

	for (page = 0; page < FLAT_PAGES; page++) {
		u64 *live = (u64 *)(unsigned long)(page * 4096), *was = (u64 *)(pristine + page * 4096);

		if (!(low_table[page] & PTE_D))
			continue;
		for (i = 0; i < 512; i++) {
			if (live[i] == was[i])
				continue;
			if (count_it)
				h = mix(h, mix(page * 512 + i, live[i]));
			live[i] = was[i];
		}
		low_table[page] &= ~(PTE_D | PTE_A);
	}
	asm volatile("int $0x83" : : : "memory");
	return h;
}

static void forget_dirty(void)
{
	memory(0, false);
}

static void prepare(u32 mode)
{
	system_init(&s, (u8 *)0, mode, 0);
	*system_msr(&s, MSR_EFER) = 0x501;
	s.e.features = amd ? VIREO_EMU_F_AMD : 0;
	s.cr[0] = run_cr[0];
	s.cr[4] = run_cr[1];
	/* Of FS and GS, some processors keep the base when null is loaded. QEMU lets null be used. */
	if (rnd() % 16 == 0 && !tcg)
		system_load_segment(&s, VIREO_EMU_ES, 0);
	if (rnd() % 16 == 0 && !tcg)
		system_load_segment(&s, VIREO_EMU_DS, 0);
}

static u64 run_one(const struct subject *t)
{
	const u64 mask = FL_ARITH | FL_DF | FL_IF | FL_IOPL | FL_NT | FL_AC | FL_ID;
	const struct vireo_emu_insn *insn = &s.e.insn;
	u8 *code = (u8 *)(unsigned long)t->at;
	u64 h = 0, flags;
	bool faulted;
	u32 i;

	memset(code, 0xcc, 16);
	memcpy(code, t->bytes, insn->len);
	memcpy(run_in.regs, s.regs, sizeof(s.regs));
	run_in.rip = s.e.rip;
	run_in.cs = s.seg[VIREO_EMU_CS].selector;
	run_in.rflags = s.e.rflags & ~(u64)FL_IF;
	run_in.rsp = s.regs[VIREO_EMU_RSP];
	run_in.ss = s.seg[VIREO_EMU_SS].selector;
	run_in.ds = s.seg[VIREO_EMU_DS].selector;
	run_in.es = s.seg[VIREO_EMU_ES].selector;
	run_in.fs = s.seg[VIREO_EMU_FS].selector;
	run_in.gs = s.seg[VIREO_EMU_GS].selector;
	run_vectors = t->op >= OP_MOVUPS && t->op <= OP_LDDQU;
	for (i = 0; i < 8; i++)
		memcpy(run_xmm[i], s.vec[i], 16);
	asm volatile("int $0x81" : : : "memory");

	/* QEMU counts overrides of segments in 64-bit mode, which are ignored. */
	if (tcg && run_out.vector == VECTOR_SS)
		run_out.vector = VECTOR_GP;
	h = mix(h, run_out.vector);
	/* QEMU reads first what it is to write. */
	h = mix(h, run_out.error & ~(tcg && run_out.vector == VECTOR_PF ? 2 : 0));
	h = mix(h, run_out.rip);
	h = mix(h, run_out.cs);
	faulted = run_out.vector != VECTOR_BP;
	/* of two operands either may be the first to fault */
	if (run_out.vector == VECTOR_PF && t->op != OP_LDS && t->op != OP_JMP_FAR_IND &&
	    t->op != OP_CALL_FAR_IND)
		h = mix(h, run_out.cr2);
	flags = mask & ~(faulted ? 0 : undefined_flags(insn, t->op, s.regs[VIREO_EMU_RCX]));
	if (!undefined_result(insn, t->op, s.regs[VIREO_EMU_RCX])) {
		h = mix(h, run_out.rflags & flags);
		/* a POPA that faults has done what it has done */
		for (i = 0; i < (s.e.mode == VIREO_EMU_PROT64 ? 16 : 8) && !(faulted && t->op == OP_POPA); i++)
			if (i != VIREO_EMU_RSP)
				h = mix(h, run_out.regs[i]);
		h = mix(h, run_out.rsp);
		h = mix(h, run_out.ss);
		h = mix(h, run_out.ds);
		h = mix(h, run_out.es);
		h = mix(h, run_out.fs);
		h = mix(h, run_out.gs);
		h = mix(h, run_out.cr0);
		h = mix(h, run_out.cr4);
		if (run_vectors)
			for (i = 0; i < 16; i++)
				h = mix(h, ((u64 *)run_xmm)[i]);
		h = memory(h, !faulted);
	} else {
		memory(h, false);
	}
	return h;
}

static void print_trace(const struct subject *t, u64 h)
{
	u32 i;

	put_string("# ");
	for (i = 0; i < s.e.insn.len; i++)
		put_hex(t->bytes[i], 2);
	put_string(": vector ");
	put_hex(run_out.vector, 2);
	put_string(" error ");
	put_hex(run_out.error, 4);
	put_string(" rip ");
	put_hex(run_out.rip, 8);
	put_string(" flags ");
	put_hex(run_out.rflags, 6);
	put_string(" sum ");
	put_hex(h, 8);
	put_line();
	put_string("#   in ");
	for (i = 0; i < 8; i++) {
		put_string(" ");
		put_hex(run_in.regs[i], 16);
	}
	put_line();
	put_string("#   out");
	for (i = 0; i < 8; i++) {
		put_string(" ");
		put_hex(i == 4 ? run_out.rsp : run_out.regs[i], 16);
	}
	put_line();
}

static void print_sums(u32 mode)
{
	u32 map, op, n;

	for (map = 0; map < 3; map++) {
		for (op = 0; op < 256; op += 8) {
			u32 some = 0;

			for (n = 0; n < 8; n++)
				some += runs[map][op + n];
			if (!some)
				continue;
			put_string("# ");
			put_string(modes[mode].name);
			put_string(map == 0 ? " " : map == 1 ? " 0f " : " 0f 38 ");
			put_hex(op, 2);
			put_string(":");
			for (n = 0; n < 8; n++) {
				put_string(" ");
				if (runs[map][op + n])
					put_hex(sums[map][op + n], 8);
				else
					put_string("-");
			}
			put_line();
		}
	}
}

/* At CPL 3 */
static void harness(void)
{
	struct subject t;
	u32 mode, n, i, seeded;

	for (mode = 0; mode < ARRAY_SIZE(modes); mode++) {
		seeded = ~0u;
		memset(sums, 0, sizeof(sums));
		memset(runs, 0, sizeof(runs));
		for (n = 0; n < count; ) {
			u32 *sum;
			u64 h;

			if (n % 256 == 0 && n != seeded) {
				seeded = n;
				rnd_seed(seed * 1000003 + mode * 1009 + n);
				for (i = 0; i < FLAT_MEM; i += 8) {
					u64 v = rnd();

					memcpy(pristine + i, &v, 8);
				}
				memset(pristine + AT_CODE, 0xcc, CODE_SIZE);
				system_random_tables(pristine, true);
				for (i = 0; i < FLAT_MEM; i += 8)
					*(volatile u64 *)(unsigned long)i = *(u64 *)(pristine + i);
			}
			prepare(modes[mode].mode);
			t.at = AT_CODE + 0x100 + (rnd() & 0x3f);
			if (!subject_make(&s, &t, wanted) || excluded(&t) || s.e.insn.map > 2) {
				forget_dirty();
				continue;
			}
			/* an operand may have been put into the tables */
			if ((low_table[AT_GDT / 4096] | low_table[AT_IDT / 4096]) & PTE_D)
				memcpy((u8 *)AT_GDT, pristine + AT_GDT, AT_TSS - AT_GDT);
			/* no single steps */
			s.regs[VIREO_EMU_R11] &= ~(u64)FL_TF;
			n++;
			h = run_one(&t);
			if (trace == 1 || trace == 0x10000u + s.e.insn.map * 256 + s.e.insn.opcode)
				print_trace(&t, h);
			sum = &sums[s.e.insn.map][s.e.insn.opcode];
			*sum = mix(*sum, h);
			runs[s.e.insn.map][s.e.insn.opcode]++;
		}
		print_sums(mode);
	}
	asm volatile("int $0x80");
}

int main(void)
{
	struct regs4 r1 = cpuid(1), r7 = { 0 };
	u32 i;
	long v;

	cpu_start(0);
	pic_init(0x20);
	count = option("count", 2000);
	seed = option("seed", 1);
	trace = option("trace", 0);	/* 0x10000 | map << 8 | opcode, or 1: all */
	tcg = on_tcg();
	amd = has_amd();
	if (cpuid(0).a >= 7)
		r7 = cpuid(7);
	features = (r1.c >> 22 & 1 ? HAS_MOVBE : 0) | (r1.c >> 23 & 1 ? HAS_POPCNT : 0) |
		   (r1.c >> 20 & 1 ? HAS_CRC32 : 0) | (r1.c >> 13 & 1 ? HAS_CX16 : 0) |
		   (r7.b & 1 ? HAS_FSGSBASE : 0);
	print("# %u instructions in each mode, seed %u\n", count, seed);

	/*
	 * That memory and the image in small pages, nothing else: what goes astray is to
	 * fault. Of the low part only code can be executed.
	 */
	for (i = 0; i < 512; i++) {
		bool low = i < FLAT_PAGES, code = i - AT_CODE / 4096 < CODE_SIZE / 4096;

		if (low || i >= 0x100000 / 4096)
			low_table[i] = (u64)i << 12 | PTE_P | PTE_W | PTE_U | (low && !code ? PTE_NX : 0);
	}
	boot_pd[0] = (u64)low_table | PTE_P | PTE_W | PTE_U;
	memset(boot_pd + 1, 0, sizeof(boot_pd) - 8);
	flush_tlb();

	for (i = 0; i < 256; i++) {
		u64 at = (u64)run_exits + 16 * i;

		run_idt[i] = (struct gate){ at, SEL_CODE64, IST_TEST, i == 3 ? 0xee : 0x8e, at >> 16,
					    at >> 32, 0 };
	}
	run_tables[0] = (struct run_pointer){ 8 * GDT_ENTRIES - 1, AT_GDT, { 0 } };
	run_tables[1] = (struct run_pointer){ sizeof(run_idt) - 1, (u64)run_idt, { 0 } };
	run_tables[2] = (struct run_pointer){ sizeof(this_cpu()->gdt) - 1, (u64)this_cpu()->gdt, { 0 } };
	run_tables[3] = (struct run_pointer){ sizeof(idt) - 1, (u64)idt, { 0 } };
	run_gs = (u64)this_cpu();
	run_cr[0] = rcr0();
	run_cr[1] = rcr4();
	set_gate(0x81, (u64)run_entry, 0, 3);
	set_gate(0x82, (u64)print_entry, 0, 3);
	set_gate(0x83, (u64)flush_entry, 0, 3);
	wrmsr(MSR_STAR, (u64)(SEL_DATA64 + 8 + 3) << 48 | (u64)SEL_CODE64 << 32);
	wrmsr(MSR_LSTAR, AT_CODE + 0x800);
	wrmsr(MSR_CSTAR, AT_CODE + 0x900);
	wrmsr(MSR_FMASK, 0x47700);
	wrmsr(MSR_SYSENTER_CS, SEL_CODE32);
	wrmsr(MSR_SYSENTER_ESP, AT_STACKS + 0x700);
	wrmsr(MSR_SYSENTER_EIP, AT_CODE + 0xa00);

	v = run_user(harness, 0);
	ok(v == USER_RETURN, "instructions of the supervisor ran (vector %ld)", v);
	return finish_tests();
}

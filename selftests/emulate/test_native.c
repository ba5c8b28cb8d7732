// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interpreter against the processor of this machine.
 *
 * Random instructions of those the interpreter carries out, with random prefixes,
 * addressing forms, registers and memory, are run natively and interpreted; all
 * registers, defined flags, memory, and for faults vector, error code, CR2 and the
 * state at the fault must be the same. 64-bit mode, and 32-bit compatibility mode
 * by an IRET to the kernel's 32-bit code segment.
 *
 * The instruction stands in a sea of INT3, so that every run ends in a signal,
 * whose handler sees the complete state, wherever a branch may have gone.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "machine.h"
#include "random.h"
#include "../../kmod/emulate/internal.h"

#define CODE_BASE	0x10000000UL
#define CODE_SIZE	0x4000
#define CODE_AT		(CODE_BASE + 0x2000)
#define DATA_BASE	0x20000000UL
#define GS_BASE		0x12340UL

#define USER_CS32	0x23
#define USER_CS64	0x33
#define USER_DS		0x2b

/* Layout known to the trampoline. */
struct native {
	u64 regs[16];		/* 0 */
	u64 rip;		/* 128 */
	u64 rflags;		/* 136 */
	u64 cs;			/* 144 */
	u64 ss;			/* 152 */
	u8 vec[16][32];		/* 160 */
};

struct outcome {
	u64 regs[16];
	u64 rip, rflags;
	u64 trapno, err, cr2;
	u8 vec[16][32];
};

static struct outcome out;
static u64 saved_rsp __asm__("native_saved_rsp") __attribute__((used));
static bool have_avx;

void native_enter(struct native *n, u64 avx);
extern char native_exit[];

__asm__(
"	.text\n"
"native_enter:\n"
"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
"	mov %rsp, native_saved_rsp(%rip)\n"
"	test %rsi, %rsi\n"
"	jz 1f\n"
"	vmovdqu 160(%rdi), %ymm0; vmovdqu 192(%rdi), %ymm1\n"
"	vmovdqu 224(%rdi), %ymm2; vmovdqu 256(%rdi), %ymm3\n"
"	vmovdqu 288(%rdi), %ymm4; vmovdqu 320(%rdi), %ymm5\n"
"	vmovdqu 352(%rdi), %ymm6; vmovdqu 384(%rdi), %ymm7\n"
"	vmovdqu 416(%rdi), %ymm8; vmovdqu 448(%rdi), %ymm9\n"
"	vmovdqu 480(%rdi), %ymm10; vmovdqu 512(%rdi), %ymm11\n"
"	vmovdqu 544(%rdi), %ymm12; vmovdqu 576(%rdi), %ymm13\n"
"	vmovdqu 608(%rdi), %ymm14; vmovdqu 640(%rdi), %ymm15\n"
"1:	pushq 152(%rdi)\n"
"	pushq 32(%rdi)\n"
"	pushq 136(%rdi)\n"
"	pushq 144(%rdi)\n"
"	pushq 128(%rdi)\n"
"	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
"	mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
"	mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
"	mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
"	mov 56(%rdi), %rdi\n"
"	iretq\n"
"	.globl native_exit\n"
"native_exit:\n"
"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
"	ret\n"
);

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	static const int order[16] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	};
	ucontext_t *uc = ctx;
	greg_t *g = uc->uc_mcontext.gregs;
	u8 *fp = (u8 *)uc->uc_mcontext.fpregs;
	int i;

	(void)sig;
	(void)info;
	for (i = 0; i < 16; i++)
		out.regs[i] = g[order[i]];
	out.rip = g[REG_RIP];
	out.rflags = g[REG_EFL] & ~(u64)FL_RF;
	out.trapno = g[REG_TRAPNO];
	out.err = g[REG_ERR];
	out.cr2 = g[REG_CR2];
	if (fp) {
		/* FXSAVE image: XMM at 160; standard XSAVE: upper halves at 576 */
		for (i = 0; i < 16; i++) {
			memcpy(out.vec[i], fp + 160 + 16 * i, 16);
			if (have_avx)
				memcpy(out.vec[i] + 16, fp + 576 + 16 * i, 16);
		}
		if (have_avx && !(fp[512] & 4)) {
			/* AVX state in its initial configuration is not stored. */
			for (i = 0; i < 16; i++)
				memset(out.vec[i] + 16, 0, 16);
		}
	}
	g[REG_RIP] = (greg_t)native_exit;
	g[REG_RSP] = saved_rsp;
	g[REG_EFL] = 0x202;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffLL) | USER_CS64;
}

static struct machine m;
static u8 *data_native = (u8 *)DATA_BASE;
static u8 *code = (u8 *)CODE_AT;
static const u8 kinds[PAGES] = {
	PG_RW, PG_RW, PG_NONE, PG_RW, PG_RO, PG_RW, PG_NONE, PG_RW,
};

/* Both memories, at a linear address that may well lie outside. */
static void poke(u64 la, const void *data, u32 len)
{
	u32 i;

	for (i = 0; i < len; i++) {
		u64 off = la + i - DATA_BASE;

		if (off < MEM_SIZE && kinds[off / 4096] == PG_RW) {
			data_native[off] = ((const u8 *)data)[i];
			m.mem[off] = ((const u8 *)data)[i];
		}
	}
}

static u64 peek(u64 la)
{
	u64 off = la - DATA_BASE, v = 0;

	if (off <= MEM_SIZE - 8)
		memcpy(&v, m.mem + off, 8);
	return v;
}

/* An address in the data, with a liking for the ends of pages. */
static u64 target(void)
{
	u64 la = DATA_BASE + rnd() % MEM_SIZE;

	switch (rnd() % 4) {
	case 0:
		la = (la & ~0xfffULL) - rnd() % 20;
		break;
	case 1:
		la &= ~0xfULL;
		break;
	}
	if (la < DATA_BASE)
		la = DATA_BASE;
	return la;
}

/* Bit manipulation, or bytes that are nearly that. */
static u32 generate_bmi(u8 *b)
{
	static const u8 ops[] = { 0xf2, 0xf3, 0xf5, 0xf6, 0xf7, 0xf5, 0xf7, 0xf7 };
	bool rorx = rnd() % 8 == 0;
	u32 n = 0;

	b[n++] = 0xc4;
	b[n++] = (rnd() & 0xe0) | 0xc0 | (rorx ? 3 : 2);
	b[n++] = rorx && rnd() % 8 ? (rnd() & 0x80) | 0x7b : rnd() % 8 ? rnd() & 0xfb : rnd();
	b[n++] = rorx ? 0xf0 : ops[rnd() % 8];
	if (b[n] < 0xc0 && (b[n] & 7) == 4)
		return b[n] < 0x40 && (b[n + 1] & 7) == 5 ? n + 2 : 0;
	return b[n] < 0x40 && (b[n] & 7) == 5 ? n + 1 : 0;
}

/*
 * Write a random instruction to @b. Returns the offset of the displacement, 0 if
 * there is none of four (moffs: address) bytes.
 */
static u32 generate(u8 *b, u32 mode)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x65, 0x66, 0xf3 };
	u32 n = 0, i, map, disp = 0;
	u8 op, modrm;

	for (i = 0; i < 15; i++)
		b[i] = rnd();
	if ((m.e.features & VIREO_EMU_F_BMI2) && rnd() % 16 == 0)
		return generate_bmi(b);
	if (rnd() % 3 == 0)
		b[n++] = prefixes[rnd() % 8];
	if (rnd() % 6 == 0)
		b[n++] = prefixes[rnd() % 8];
	map = rnd() % 8;
	op = rnd();
	if (map == 7) {
		/* vector moves, legacy and VEX */
		static const u8 vops[] = {
			0x10, 0x11, 0x12, 0x13, 0x16, 0x17, 0x28, 0x29, 0x2b, 0x6e, 0x6f,
			0x7e, 0x7f, 0xd6, 0xe7, 0xf0,
		};
		op = vops[rnd() % 16];
		if (rnd() % 2) {
			n = 0;
			b[n++] = 0xc5;
			b[n++] = (rnd() % 8 ? 0xf8 : 0x80) | (rnd() & 7);
			b[n++] = op;
		} else {
			if (rnd() % 2)
				b[n++] = rnd() & 1 ? 0x66 : 0xf3;
			b[n++] = 0x0f;
			b[n++] = op;
		}
	} else {
		if (mode == VIREO_EMU_PROT64 && rnd() % 2)
			b[n++] = 0x40 | (rnd() & 15);
		if (map >= 4)
			b[n++] = 0x0f;
		if (map == 6) {
			b[n++] = 0x38;
			op = rnd() % 8 ? 0xf0 + rnd() % 2 : 0x2a;
			if (op == 0x2a) {
				n = 0;
				b[n++] = 0x66;
				b[n++] = 0x0f;
				b[n++] = 0x38;
			}
		}
		b[n++] = op;
		if (map < 4 && op >= 0xa0 && op <= 0xa3)
			return n;
	}
	modrm = b[n++];
	if (modrm < 0xc0) {
		if ((modrm & 7) == 4) {
			if ((modrm >> 6) == 0 && (b[n] & 7) == 5)
				disp = n + 1;
			n++;
		} else if ((modrm & 7) == 5 && modrm < 0x40) {
			disp = n;
		}
	}
	return disp;
}

static u64 seg_base_of(u32 seg, u32 mode)
{
	return seg == VIREO_EMU_GS && mode == VIREO_EMU_PROT64 ? GS_BASE : 0;
}

/* Make the memory operand lie in the data. False: cannot, try another. */
static bool aim(u8 *b, u32 disp, u32 mode, u64 la, struct native *n)
{
	struct vireo_emu_insn *insn = &m.e.insn;
	u64 base = seg_base_of(insn->seg, mode), want = la - base;
	u64 idx = 0;
	u32 d32;

	if (insn->ad_size == 2)
		return true;
	if ((insn->entry & EMU_I_MASK) == EMU_I_MOFFS) {
		memcpy(b + disp, &want, insn->ad_size);
		return true;
	}
	if (insn->index < 16) {
		if (insn->index == insn->base)
			return false;
		idx = n->regs[insn->index] << insn->scale;
	}
	if (insn->base < 16) {
		n->regs[insn->base] = want - insn->disp - idx;
		return true;
	}
	if (!disp)
		return false;
	if (insn->base == VIREO_EMU_RIPREG) {
		d32 = want - (CODE_AT + insn->len);
	} else {
		if (insn->index < 16) {
			n->regs[insn->index] = 0x100 + rnd() % 256;
			idx = n->regs[insn->index] << insn->scale;
		}
		d32 = want - idx;
	}
	memcpy(b + disp, &d32, 4);
	return true;
}

/* Refused at CPL 3: with what, and before or after what else, is compared. */
static bool privileged(u32 op)
{
	switch (op) {
	case OP_HLT:
	case OP_RDMSR:
	case OP_WRMSR:
	case OP_INVD:
	case OP_WBINVD:
	case OP_INVLPG:
	case OP_CLTS:
	case OP_LMSW:
	case OP_LGDT:
	case OP_LIDT:
	case OP_LLDT:
	case OP_LTR:
	case OP_MOV_FROM_CR:
	case OP_MOV_TO_CR:
	case OP_SWAPGS:
	case OP_CLAC:
	case OP_STAC:
	case OP_RSM:
		return true;
	}
	return false;
}

static bool wanted(u32 op)
{
	if (op >= OP_ADD && op <= OP_LDDQU)
		return op != OP_POP_SEG && op != OP_MOV_TO_SEG;
	return privileged(op);
}

/* Rows of the tables that were run, by the ModRM that selects one within a group. */
static bool row_ran[3][256][8][2];

static bool *row(const struct vireo_emu_insn *insn)
{
	static const u32 *const maps[] = { emu_map_1b, emu_map_0f, emu_map_0f38 };
	bool group;

	if (insn->map > 2 || insn->vex)
		return NULL;
	group = maps[insn->map][insn->opcode] & EMU_GROUP;
	return &row_ran[insn->map][insn->opcode][group ? insn->reg & 7 : 0]
		       [(insn->entry & EMU_MODRM) && insn->modrm >= 0xc0];
}

/* Every row that can be run has been. */
static void coverage(void)
{
	static const u8 prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	u32 mode, map, op, modrm, p, missing = 0, rows = 0;

	for (mode = VIREO_EMU_PROT32; mode <= VIREO_EMU_PROT64; mode++)
	for (map = 0; map < 3; map++)
	for (op = 0; op < 256; op++)
	for (modrm = 7; modrm < 256; modrm += modrm < 0xc0 ? (modrm < 0x3f ? 8 : 0xc0 - modrm) : 8)
	for (p = 0; p < sizeof(prefixes); p++) {
		struct vireo_emu_insn insn;
		u8 b[16] = { 0 };
		u32 n = 0;
		bool *r;

		if (prefixes[p])
			b[n++] = prefixes[p];
		if (map)
			b[n++] = 0x0f;
		if (map == 2)
			b[n++] = 0x38;
		b[n++] = op;
		b[n++] = modrm;
		if (vireo_emu_insn_decode(&insn, mode, m.e.features, b, 15) ||
		    !wanted(EMU_OP(insn.entry)))
			continue;
		r = row(&insn);
		if (!r || *r)
			continue;
		*r = true;
		/* CLFLUSH checks its page without reading it, which the interpreter cannot. */
		if (EMU_OP(insn.entry) == OP_FENCE && insn.modrm < 0xc0)
			continue;
		/* MMX is left to the processor. */
		if (EMU_OP(insn.entry) >= OP_MOVUPS)
			continue;
		missing++;
		diag("never run: map %u, opcode %02x, ModRM %02x, operation %u", map, op, modrm,
		     EMU_OP(insn.entry));
	}
	for (map = 0; map < 3; map++)
		for (op = 0; op < 256; op++)
			for (modrm = 0; modrm < 16; modrm++)
				rows += row_ran[map][op][modrm >> 1][modrm & 1];
	tap_ok(!missing, "all of %u rows of the tables that a program can run", rows);
}

static void fill(struct native *n, u32 mode)
{
	u32 i, j;

	for (i = 0; i < 16; i++)
		n->regs[i] = random_value();
	if (mode != VIREO_EMU_PROT64) {
		for (i = 0; i < 8; i++)
			n->regs[i] &= 0xffffffff;
		/* not accessible there, and kept, as far as we can see */
	}
	n->rflags = FL_FIXED | FL_IF | (rnd() & FL_ARITH);
	if (rnd() % 4 == 0)
		n->rflags |= FL_DF;
	n->rip = CODE_AT;
	n->cs = mode == VIREO_EMU_PROT64 ? USER_CS64 : USER_CS32;
	n->ss = USER_DS;
	for (i = 0; i < 16; i++) {
		u64 v[4] = { rnd(), rnd(), rnd(), rnd() };

		for (j = 0; j < 4; j++)
			memcpy(n->vec[i] + 8 * j, &v[j], 8);
		if (!have_avx)
			memset(n->vec[i] + 16, 0, 16);
	}
}

static u32 skipped, ran, faults;
static bool intel;

/*
 * Where Intel's processors do something else than AMD's, as which the interpreter does it: MOVNTSS and MOVNTSD (SSE4A) are #UD; F3 90 is
 * PAUSE even with REX.B; a push of a segment register by 32 bits writes 16 of them; a repeated comparison that faults leaves the flags as they were, and the operands of CMPS are read
 * in the other order; INS and OUTS look at the permission before they look at the count.
 */
static bool is_repeated(const struct vireo_emu_insn *insn)
{
	return insn->prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE);
}

static bool is_sse4a(const struct vireo_emu_insn *insn, const u8 *b)
{
	u32 i;

	for (i = 0; is_repeated(insn) && i + 1 < insn->len; i++)
		if (b[i] == 0x0f && b[i + 1] == 0x2b)
			return true;
	return false;
}

/* Known when it was interpreted, which has changed registers alone. */
static bool differs_at_intel(const struct vireo_emu_insn *insn, u32 op, const u8 *b, int r)
{
	const bool rep = is_repeated(insn);

	if (op == OP_XCHG && rep && !(insn->entry & EMU_MODRM) && b[insn->len - 1] == 0x90)
		return true;
	if ((op == OP_CMPS || op == OP_SCAS) && r)
		return true;
	return (op == OP_INS || op == OP_OUTS) && rep && !r;
}

/* One random instruction. Returns false on a difference, after describing it. */
static bool one(u32 mode)
{
	struct native n;
	struct vireo_emu_insn *insn = &m.e.insn;
	u8 b[16];
	u32 op, disp, size, i;
	u64 la, undef, goal;
	int r, turns;
	bool ud = false, same = true;

	for (;;) {
		disp = generate(b, mode);
		m.e.mode = mode;
		r = vireo_emu_decode(&m.e, b, 15);
		if (r == VIREO_EMU_OK) {
			op = EMU_OP(insn->entry);
			if (wanted(op))
				break;
			continue;
		}
		/* a LOCK too much: then it must be #UD natively as well */
		for (i = 0; i < 2; i++)
			if (b[i] == 0xf0)
				break;
		if (i == 2)
			continue;
		b[i] = 0x3e;
		r = vireo_emu_decode(&m.e, b, 15);
		b[i] = 0xf0;
		op = EMU_OP(insn->entry);
		if (r == VIREO_EMU_OK && op >= OP_ADD && op <= OP_LDDQU) {
			ud = true;
			break;
		}
	}
	if (intel && !ud && (is_sse4a(insn, b) || (op == OP_PUSH_SEG && insn->op_size == 4))) {
		if (row(insn))
			*row(insn) = true;
		return skipped++, true;
	}
	/* That one is taken by the C library. */
	if (mode == VIREO_EMU_PROT64 && insn->seg == VIREO_EMU_FS)
		return skipped++, true;
	/* Not into the branch itself. */
	if (op >= OP_JCC && op <= OP_JCXZ && (insn->entry & EMU_I_MASK) == EMU_I_B &&
	    (s64)insn->imm < 0 && (s64)insn->imm >= -(int)insn->len)
		return skipped++, true;
	/* CLFLUSH checks its page without reading it, which the interpreter cannot. */
	if (op == OP_FENCE && insn->modrm < 0xc0)
		return skipped++, true;
	fill(&n, mode);
	la = target();
	size = insn->op_size;
	goal = CODE_AT + 64 + rnd() % 4096;

	/* Stack, strings, table: in the data, too. */
	n.regs[VIREO_EMU_RSP] = target();
	n.regs[VIREO_EMU_RSI] = target();
	n.regs[VIREO_EMU_RDI] = target();
	if (op == OP_LEAVE || op == OP_ENTER)
		n.regs[VIREO_EMU_RBP] = target();
	if (op == OP_XLAT)
		n.regs[VIREO_EMU_RBX] = target() - seg_base_of(insn->seg, mode);
	if (op >= OP_MOVS && op <= OP_OUTS) {
		n.regs[VIREO_EMU_RCX] = rnd() % 24;
		if (mode == VIREO_EMU_PROT64 && insn->seg == VIREO_EMU_GS)
			n.regs[VIREO_EMU_RSI] -= GS_BASE;
		if (rnd() % 2)
			poke(n.regs[VIREO_EMU_RDI], m.mem + (n.regs[VIREO_EMU_RSI] & 0xfff), 16);
		if (rnd() % 2)
			n.regs[VIREO_EMU_RAX] = peek(n.regs[VIREO_EMU_RDI]);
	}
	if (op >= OP_BT && op <= OP_BTC)
		n.regs[insn->reg] = (s64)(rnd() % 1024) - 512;
	if (op >= OP_ROL && op <= OP_SAR && rnd() % 2)
		n.regs[VIREO_EMU_RCX] = rnd() % 70;
	if ((insn->entry & EMU_MODRM) && insn->modrm < 0xc0 && op != OP_LEA && op != OP_NOP) {
		/* moffs aside, a displacement without base may not reach 64 bits */
		if (!aim(b, disp, mode, la, &n))
			return skipped++, true;
		if (rnd() % 64 == 0 && insn->base < 16 && insn->ad_size == 8 &&
		    insn->base != VIREO_EMU_RSP && insn->seg != VIREO_EMU_GS)
			n.regs[insn->base] ^= 0x0000900000000000ULL;
	} else if ((insn->entry & EMU_I_MASK) == EMU_I_MOFFS) {
		if (!disp)
			return skipped++, true;
		aim(b, disp, mode, la, &n);
	}
	if (insn->ad_size == 2 && mode == VIREO_EMU_PROT32 && rnd() % 4)
		return skipped++, true;

	/* Branches must stay in the code. */
	if (op == OP_RET || op == OP_POPF) {
		u64 v = op == OP_RET ? goal : rnd() & ~(u64)(FL_TF | FL_AC | FL_NT);

		if (n.regs[VIREO_EMU_RSP] + 8 > DATA_BASE + MEM_SIZE)
			return skipped++, true;
		poke(n.regs[VIREO_EMU_RSP], &v, size);
		v = peek(n.regs[VIREO_EMU_RSP]);
		if (op == OP_RET && size > 2 && (v & emu_mask(size)) != goal)
			return skipped++, true;
		if (op == OP_POPF && (v & (FL_TF | FL_AC | FL_NT)))
			return skipped++, true;
	}
	if (op == OP_JMP_IND || op == OP_CALL_IND) {
		if (insn->modrm >= 0xc0) {
			n.regs[insn->rm] = goal;
			if (insn->rm == VIREO_EMU_RSP)
				return skipped++, true;
		} else {
			poke(la, &goal, size);
			if (size > 2 && (peek(la) & emu_mask(size)) != goal)
				return skipped++, true;
		}
	}
	if (op >= OP_JCC && op <= OP_CALL && (insn->entry & EMU_I_MASK) == EMU_I_Z) {
		s32 rel = (s32)(rnd() % 4096) - 2048;

		if (rel < 0)
			rel -= 16;

		memcpy(b + insn->len - (size == 2 ? 2 : 4), &rel, size == 2 ? 2 : 4);
	}
	if (op == OP_ENTER)
		b[insn->len - 1] &= rnd() & 31;

	/* Make comparisons succeed and divisions not fault, often. */
	if (op == OP_CMPXCHG && rnd() % 2)
		n.regs[VIREO_EMU_RAX] = insn->modrm >= 0xc0 ? n.regs[insn->rm] : peek(la);
	if (op == OP_CMPXCHG8B && rnd() % 2) {
		u64 lo = peek(la);

		n.regs[VIREO_EMU_RAX] = lo;
		n.regs[VIREO_EMU_RDX] = size == 8 ? peek(la + 8) : lo >> 32;
		if (size != 8)
			n.regs[VIREO_EMU_RAX] = (u32)lo;
	}
	if ((op == OP_DIV || op == OP_IDIV) && rnd() % 4) {
		n.regs[VIREO_EMU_RDX] = rnd() % 3 ? 0 : ~0ULL;
		if (size == 1)
			n.regs[VIREO_EMU_RAX] &= 0xff;
	}
	/* A register that is base and something else above may have lost its aim. */
	if (mode == VIREO_EMU_PROT32) {
		for (i = 0; i < 8; i++)
			n.regs[i] &= 0xffffffff;
	}

	/* Interpret. */
	r = vireo_emu_decode(&m.e, b, 15);
	if (r == VIREO_EMU_OK && (insn->entry & EMU_MODRM) && insn->modrm < 0xc0 &&
	    op != OP_LEA && op != OP_NOP) {
		u64 where;

		memcpy(m.regs, n.regs, sizeof(m.regs));
		m.e.rip = CODE_AT;
		where = emu_ea(&m.e) + seg_base_of(insn->seg, mode);
		if (mode == VIREO_EMU_PROT32)
			where = (u32)where;
		if (where - (DATA_BASE - 0x10000) > MEM_SIZE + 0x20000 && where >= 0x10000 &&
		    where + 0x800000000000ULL < 0x1000000000000ULL)
			return skipped++, true;
	}
	memcpy(m.regs, n.regs, sizeof(m.regs));
	m.e.rip = CODE_AT;
	m.e.rflags = n.rflags;
	for (i = 0; i < 16; i++)
		memcpy(m.vec[i], n.vec[i], 32);
	for (turns = 0; r == VIREO_EMU_OK || r == VIREO_EMU_RESTART; turns++) {
		r = vireo_emu_execute(&m.e);
		if (r != VIREO_EMU_RESTART)
			break;
	}
	if (r == VIREO_EMU_UNHANDLED)
		return skipped++, true;
	/* AMD lets a REP prefix choose between LOOPE and LOOPNE: undocumented. */
	if (op == OP_LOOP && (insn->prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE)))
		return skipped++, true;

	if (intel && !ud && differs_at_intel(insn, op, b, r)) {
		if (row(insn))
			*row(insn) = true;
		return skipped++, true;
	}

	/* And run. */
	memset(code, 0xcc, 16);
	memcpy(code, b, ud ? 15 : insn->len);
	native_enter(&n, have_avx);
	memset(code, 0xcc, 16);
	ran++;
	if (row(insn))
		*row(insn) = true;

	undef = undefined_flags(insn, op, n.regs[VIREO_EMU_RCX]);
	if (r == VIREO_EMU_OK) {
		if (out.trapno == 3) {
			same = out.rip - 1 == m.e.rip;
		} else if (out.trapno == 14 && out.rip == out.cr2) {
			/* a branch to 16 bits, where nothing is mapped */
			same = out.rip == m.e.rip;
		} else {
			same = false;
		}
	} else {
		faults++;
		same = r == VIREO_EMU_EXCEPTION && out.trapno == m.e.exception.vector &&
		       out.rip == CODE_AT;
		if (same && out.trapno == 14)
			same = out.cr2 == m.e.exception.cr2 &&
			       (out.err & 2) == (m.e.exception.error_code & 2);
		else if (same && m.e.exception.has_error)
			same = out.err == m.e.exception.error_code;
		/* Neither canonical nor aligned: the order is the processor's choice. */
		if (!same && out.trapno == EXC_GP && m.e.exception.vector == EXC_SS &&
		    ((op >= OP_MOVAPS && op <= OP_LDDQU) || op == OP_CMPXCHG8B))
			return true;
	}
	if (!undefined_result(insn, op, n.regs[VIREO_EMU_RCX])) {
		/* Processors leave a POPA that faults half done. */
		for (i = 0; i < (mode == VIREO_EMU_PROT64 ? 16u : 8u) &&
		     !(op == OP_POPA && r); i++)
			same &= out.regs[i] == m.regs[i];
		same &= !((out.rflags ^ m.e.rflags) & ~undef & 0xfffff);
		/* They have already pushed when they fault, below the stack pointer. */
		for (i = 0; i < PAGES && !(r && (op == OP_ENTER || op == OP_PUSHA)); i++)
			same &= kinds[i] == PG_NONE ||
				!memcmp(data_native + 4096 * i, m.mem + 4096 * i, 4096);
		if (op >= OP_MOVUPS && op <= OP_LDDQU)
			for (i = 0; i < 16; i++)
				same &= !memcmp(out.vec[i], m.vec[i], have_avx ? 32 : 16);
	}
	if (same) {
		bool partial = r && (op == OP_ENTER || op == OP_PUSHA);

		/* keep the memories equal where results are undefined */
		if (undefined_result(insn, op, n.regs[VIREO_EMU_RCX]) || partial) {
			for (i = 0; i < PAGES; i++)
				if (kinds[i] == PG_RW)
					memcpy(m.mem + 4096 * i, data_native + 4096 * i, 4096);
		}
		return true;
	}

	diag("mode %u op %u ud %d: %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x len %u size %u", mode, op,
	     ud, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], insn->len, size);
	diag("  native: trap %lu err %lx cr2 %lx rip %lx flags %lx", (long)out.trapno,
	     (long)out.err, (long)out.cr2, (long)out.rip, (long)out.rflags);
	diag("  ours:   r %d vector %u err %x cr2 %lx rip %lx flags %lx (before %lx) undef %lx", r,
	     m.e.exception.vector, m.e.exception.error_code, (long)m.e.exception.cr2,
	     (long)m.e.rip, (long)m.e.rflags, (long)n.rflags, (long)undef);
	for (i = 0; i < 16; i++)
		if (out.regs[i] != m.regs[i] || out.regs[i] != n.regs[i])
			diag("  reg %u: before %lx native %lx ours %lx", i, (long)n.regs[i],
			     (long)out.regs[i], (long)m.regs[i]);
	for (i = 0; i < MEM_SIZE; i++) {
		if (kinds[i / 4096] == PG_RW && data_native[i] != m.mem[i]) {
			diag("  mem %lx: native %02x ours %02x", DATA_BASE + i, data_native[i],
			     m.mem[i]);
			break;
		}
	}
	for (i = 0; i < PAGES; i++)
		if (kinds[i] == PG_RW)
			memcpy(m.mem + 4096 * i, data_native + 4096 * i, 4096);
	return false;
}

static void setup(void)
{
	static u8 alt[65536] __attribute__((aligned(64)));
	static const int sigs[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) };
	struct sigaction sa = { .sa_sigaction = on_signal,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	u32 i, a, b, c, d;

	__builtin_cpu_init();
	have_avx = __builtin_cpu_supports("avx");
	intel = __builtin_cpu_is("intel");
	/* The guards around catch what reaches beyond. */
	mmap((void *)(DATA_BASE - 0x100000), 0x200000 + MEM_SIZE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	mmap((void *)DATA_BASE, MEM_SIZE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
	mmap((void *)CODE_BASE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
	memset((void *)CODE_BASE, 0xcc, CODE_SIZE);

	machine_init(&m, VIREO_EMU_PROT64);
	m.mem_base = DATA_BASE;
	memcpy(m.kind, kinds, sizeof(m.kind));
	m.cpl = 3;
	m.cr0 = 0x80050033;
	for (i = 0; i < MEM_SIZE; i++)
		m.mem[i] = rnd();
	memcpy(data_native, m.mem, MEM_SIZE);
	for (i = 0; i < PAGES; i++) {
		if (kinds[i] == PG_NONE)
			mprotect(data_native + 4096 * i, 4096, PROT_NONE);
		if (kinds[i] == PG_RO)
			mprotect(data_native + 4096 * i, 4096, PROT_READ);
	}
	for (i = 0; i < VIREO_EMU_NR_DATA_SEGS; i++) {
		m.seg[i].attr = 0xc0f3;
		m.seg[i].selector = USER_DS;
	}
	m.seg[VIREO_EMU_CS].attr = 0xc0fb;
	m.seg[VIREO_EMU_CS].selector = USER_CS64;
	m.seg[VIREO_EMU_FS].selector = 0;
	m.seg[VIREO_EMU_FS].attr = VIREO_EMU_SEG_UNUSABLE;
	m.seg[VIREO_EMU_GS] = m.seg[VIREO_EMU_FS];
	m.seg[VIREO_EMU_GS].base = GS_BASE;
	m.seg[VIREO_EMU_TR].attr = 0;	/* no port for anybody */
	syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r" (USER_DS));

	__cpuid(0, a, b, c, d);
	if (b == 0x68747541)
		m.e.features = VIREO_EMU_F_AMD;
	__cpuid_count(7, 0, a, b, c, d);
	if (b & bit_BMI)
		m.e.features |= VIREO_EMU_F_BMI1;
	if (b & bit_BMI2)
		m.e.features |= VIREO_EMU_F_BMI2;
	__cpuid(0x80000001, a, b, c, d);
	if (c & bit_LZCNT)
		m.e.features |= VIREO_EMU_F_LZCNT;

	sigaltstack(&ss, NULL);
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &sa, NULL);
}

static void campaign(u32 mode, const char *name, u32 count)
{
	u32 i, bad = 0;

	skipped = ran = faults = 0;
	m.seg[VIREO_EMU_CS].selector = mode == VIREO_EMU_PROT64 ? USER_CS64 : USER_CS32;
	for (i = 0; i < count && bad < 20; i++)
		if (!one(mode))
			bad++;
	diag("%s: %u run, %u of them faulted, %u skipped", name, ran, faults, skipped);
	tap_ok(!bad, "%s: interpreter and processor agree", name);
}

int main(int argc, char **argv)
{
	u32 count = argc > 1 ? strtoul(argv[1], NULL, 0) : 300000;

	rnd_seed(argc > 2 ? strtoul(argv[2], NULL, 0) : 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setup();
	campaign(VIREO_EMU_PROT64, "64-bit mode", count);
	campaign(VIREO_EMU_PROT32, "32-bit compatibility mode", count / 2);
	coverage();
	return tap_done();
}

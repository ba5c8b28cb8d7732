// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interpreter against Unicorn, which is QEMU's processor as a library: a second
 * opinion in the modes that no process of the build machine can enter.
 *
 * Random instructions, with registers, descriptor tables and stacks that give them
 * something to do, are carried out by both, from the same state. Where both
 * finish, all registers, defined flags, segment registers with their hidden parts,
 * control registers and memory must be the same; where both fault, vector and
 * error code. What Unicorn is known to do otherwise than processors is in one
 * table, with the reason, and counted.
 *
 * Unicorn shows hidden parts of segment registers and error codes only in the
 * memory of a saved context, whose layout is found by looking for known values.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unicorn/unicorn.h>

#include "machine.h"
#include "random.h"
#include "subject.h"
#include "../../kmod/emulate/internal.h"

#define NO_VECTOR	0xffffffffu

/* What both came to. */
struct outcome {
	bool done;
	u32 vector;		/* if not, or NO_VECTOR: memory that is not there */
	u32 error_code;
	u64 regs[16];
	u64 rip, rflags;
	struct vireo_emu_segment seg[VIREO_EMU_NR_SEGS];
	u64 gdt, idt;
	u32 gdt_limit, idt_limit;
	u64 cr[5];
	u8 vec[16][16];
};

struct config {
	const char *name;
	u32 mode;
	u32 cpl;
	u32 iopl;
	uc_mode uc;
	bool long_mode;
};

static const struct config configs[] = {
	{ "real mode", VIREO_EMU_REAL, 0, 0, UC_MODE_16, false },
	{ "virtual-8086 mode, IOPL 3", VIREO_EMU_VM86, 3, 3, UC_MODE_32, false },
	{ "virtual-8086 mode, IOPL 0", VIREO_EMU_VM86, 3, 0, UC_MODE_32, false },
	{ "16-bit protected mode, CPL 0", VIREO_EMU_PROT16, 0, 0, UC_MODE_32, false },
	{ "16-bit protected mode, CPL 3", VIREO_EMU_PROT16, 3, 0, UC_MODE_32, false },
	{ "32-bit protected mode, CPL 0", VIREO_EMU_PROT32, 0, 0, UC_MODE_32, false },
	{ "32-bit protected mode, CPL 1", VIREO_EMU_PROT32, 1, 1, UC_MODE_32, false },
	{ "32-bit protected mode, CPL 3", VIREO_EMU_PROT32, 3, 0, UC_MODE_32, false },
	{ "64-bit mode, CPL 0", VIREO_EMU_PROT64, 0, 0, UC_MODE_64, true },
	{ "64-bit mode, CPL 3", VIREO_EMU_PROT64, 3, 3, UC_MODE_64, true },
};

static uc_engine *uc;
static uc_context *ctx_start, *ctx_work;
static u8 *uc_mem;		/* Unicorn's memory, and */
static u8 *our_mem;		/* ours */
static u8 initial_mem[FLAT_MEM];
static const struct config *config;

/* Layout of a context */
#define UC_CONTEXT_MAX	8192
static u32 at_regs, at_segs, at_cr, at_error;

/* One run */
static u64 run_at;
static u32 run_vector, run_steps;
static u64 run_ports, run_port_sum;

static void on_interrupt(uc_engine *u, u32 vector, void *data)
{
	(void)data;
	if (run_vector == NO_VECTOR)
		run_vector = vector;
	uc_emu_stop(u);
}

static void on_code(uc_engine *u, u64 at, u32 size, void *data)
{
	(void)size;
	(void)data;
	/* a REP comes here once for each iteration */
	if (at != run_at || run_steps++ > 1000)
		uc_emu_stop(u);
}

static u32 on_in(uc_engine *u, u32 port, int size, void *data)
{
	(void)u;
	(void)data;
	return system_port(port, size, run_ports++);
}

static void on_out(uc_engine *u, u32 port, int size, u32 value, void *data)
{
	(void)u;
	(void)data;
	run_port_sum = run_port_sum * 31 + (value & emu_mask(size)) + port;
}

static void must(uc_err e, const char *what)
{
	if (e == UC_ERR_OK)
		return;
	fprintf(stderr, "Unicorn: %s: %s\n", what, uc_strerror(e));
	exit(1);
}

/* Run what stands at @at, an address as this mode's uc_emu_start() wants it. */
static uc_err run(u64 at, u64 linear)
{
	run_at = linear;
	run_vector = NO_VECTOR;
	run_steps = 0;
	run_ports = 0;
	run_port_sum = 0;
	uc_ctl_remove_cache(uc, linear, linear + 16);
	return uc_emu_start(uc, at, 0xfffffff0, 0, 0);
}

static const u8 *save(void)
{
	must(uc_context_save(uc, ctx_work), "context");
	return (const u8 *)ctx_work;
}

static u64 get64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, 8);
	return v;
}

static u32 get32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, 4);
	return v;
}

/* A segment register as Unicorn keeps it: selector, base, limit, descriptor's upper half. */
static void get_segment(const u8 *ctx, u32 nr, struct vireo_emu_segment *s)
{
	const u8 *p = ctx + at_segs + 24 * nr;
	u32 flags = get32(p + 20);

	s->selector = get32(p);
	s->base = get64(p + 8);
	s->limit = get32(p + 16);
	s->attr = flags >> 8 & 0xf0ff;
	if (!(s->attr & VIREO_EMU_SEG_P))
		s->attr |= VIREO_EMU_SEG_UNUSABLE;
}

/* Find in a context where things are. */
static void find_layout(void)
{
	u64 regs[2] = { 0x55667788, 0x44332211 }, cr0 = 0x10, v;
	u32 i, size = uc_context_size(uc);
	const u8 *c;

	must(size > UC_CONTEXT_MAX ? UC_ERR_NOMEM : UC_ERR_OK, "context size");
	uc_reg_write(uc, UC_X86_REG_EAX, &regs[0]);
	uc_reg_write(uc, UC_X86_REG_ECX, &regs[1]);
	v = 0x1111;
	uc_reg_write(uc, UC_X86_REG_FS, &v);
	v = 0x2222;
	uc_reg_write(uc, UC_X86_REG_GS, &v);
	uc_reg_read(uc, UC_X86_REG_CR0, &cr0);
	c = save();
	for (i = 0; i + 24 * 10 < size; i += 8) {
		if (!at_regs && !memcmp(c + i, regs, 16))
			at_regs = i;
		if (!at_segs && get32(c + i) == 0x1111 && get64(c + i + 8) == 0x11110 &&
		    get32(c + i + 24) == 0x2222 && get64(c + i + 32) == 0x22220)
			at_segs = i - 4 * 24;
	}
	at_cr = at_segs + 10 * 24;
	if (!at_regs || !at_segs || get64(c + at_cr) != cr0) {
		fprintf(stderr, "Unicorn: unknown layout of a context\n");
		exit(1);
	}
}

/* The error code: by two faults with known ones. */
static void find_error_code(void)
{
	static u8 first[UC_CONTEXT_MAX];
	static const u8 mov_ds_ax[] = { 0x8e, 0xd8, 0xf4 };
	u32 i, size = uc_context_size(uc), sel;

	memcpy(uc_mem + AT_CODE, mov_ds_ax, sizeof(mov_ds_ax));
	for (sel = 0x7000; sel <= 0x7008; sel += 8) {
		u64 rax = sel;

		must(uc_context_restore(uc, ctx_start), "context");
		uc_reg_write(uc, UC_X86_REG_EAX, &rax);
		run(AT_CODE, AT_CODE);
		if (run_vector != EXC_GP)
			return;
		if (sel == 0x7000)
			memcpy(first, save(), size);
		else
			save();
	}
	for (i = at_cr; i + 4 <= size; i += 4)
		if (get32(first + i) == 0x7000 && get32((const u8 *)ctx_work + i) == 0x7008)
			at_error = i;
}

/* Put Unicorn into the mode, by an IRET, and remember its state there. */
static void enter(void)
{
	static const int regs[] = {
		UC_X86_REG_ES, UC_X86_REG_DS, UC_X86_REG_FS, UC_X86_REG_GS,
	};
	struct system s;
	uc_x86_mmr mmr = { 0 };
	u64 v[9] = { 0 };
	u32 i, n = 0, size = config->long_mode ? 8 : 4;

	must(uc_open(UC_ARCH_X86, UC_MODE_16, &uc), "open");
	must(uc_context_alloc(uc, &ctx_work), "context");
	find_layout();
	uc_context_free(ctx_work);
	uc_close(uc);

	must(uc_open(UC_ARCH_X86, config->uc, &uc), "open");
	must(uc_context_alloc(uc, &ctx_start), "context");
	must(uc_context_alloc(uc, &ctx_work), "context");
	must(uc_mem_map_ptr(uc, 0, FLAT_MEM, UC_PROT_ALL, uc_mem), "memory");
	{
		uc_hook h;

		must(uc_hook_add(uc, &h, UC_HOOK_INTR, (void *)on_interrupt, NULL, 1, 0), "hook");
		must(uc_hook_add(uc, &h, UC_HOOK_CODE, (void *)on_code, NULL, 1, 0), "hook");
		must(uc_hook_add(uc, &h, UC_HOOK_INSN, (void *)on_in, NULL, 1, 0, UC_X86_INS_IN),
		     "hook");
		must(uc_hook_add(uc, &h, UC_HOOK_INSN, (void *)on_out, NULL, 1, 0,
				 UC_X86_INS_OUT), "hook");
	}
	memset(uc_mem, 0xf4, FLAT_MEM);
	system_tables(uc_mem);
	system_init(&s, uc_mem, config->mode, config->cpl);
	if (config->mode == VIREO_EMU_REAL) {
		must(uc_context_save(uc, ctx_start), "context");
		return;
	}
	v[0] = 0x600;
	must(uc_reg_write(uc, UC_X86_REG_CR4, &v[0]), "CR4");
	mmr.base = AT_GDT;
	mmr.limit = 8 * GDT_ENTRIES - 1;
	must(uc_reg_write(uc, UC_X86_REG_GDTR, &mmr), "GDTR");
	mmr.base = AT_IDT;
	mmr.limit = 0xfff;
	must(uc_reg_write(uc, UC_X86_REG_IDTR, &mmr), "IDTR");
	mmr.selector = SEL_LDT;
	mmr.base = AT_LDT;
	mmr.limit = 8 * LDT_ENTRIES - 1;
	mmr.flags = 0x8200;
	must(uc_reg_write(uc, UC_X86_REG_LDTR, &mmr), "LDTR");
	mmr.selector = SEL_TSS;
	mmr.base = AT_TSS;
	mmr.limit = TSS_SIZE - 1;
	/* Unicorn does not keep TR busy, and does not survive it if it is. */
	mmr.flags = 0x8900;
	must(uc_reg_write(uc, UC_X86_REG_TR, &mmr), "TR");

	v[n++] = AT_CODE + 16;
	v[n++] = s.seg[VIREO_EMU_CS].selector;
	v[n++] = FL_FIXED | config->iopl << FL_IOPL_SHIFT |
		 (config->mode == VIREO_EMU_VM86 ? FL_VM : 0);
	v[n++] = AT_STACKS;
	v[n++] = s.seg[VIREO_EMU_SS].selector;
	for (i = 0; i < 9; i++)
		memcpy(uc_mem + AT_STACKS + i * size, &v[i], size);
	memcpy(uc_mem + AT_CODE, size == 8 ? "\x48\xcf\xf4" : "\xcf\xf4\xf4", 3);
	v[0] = SEL_DATA32;
	must(uc_reg_write(uc, UC_X86_REG_SS, &v[0]), "SS");
	v[0] = AT_STACKS;
	uc_reg_write(uc, config->long_mode ? UC_X86_REG_RSP : UC_X86_REG_ESP, &v[0]);
	must(run(AT_CODE, AT_CODE), "IRET");
	must(run_vector == NO_VECTOR ? UC_ERR_OK : UC_ERR_EXCEPTION, "IRET");
	if (config->mode != VIREO_EMU_VM86) {
		v[0] = s.seg[VIREO_EMU_DS].selector;
		for (i = 0; i < 4; i++)
			must(uc_reg_write(uc, regs[i], &v[0]), "data segments");
		/* An IRET to the same level has left it alone. */
		v[0] = s.seg[VIREO_EMU_SS].selector;
		must(uc_reg_write(uc, UC_X86_REG_SS, &v[0]), "SS");
	}
	must(uc_context_save(uc, ctx_start), "context");
	if (config->long_mode) {
		/* There it sets nothing but the selectors of ES and DS. */
		u8 *c = (u8 *)ctx_start + at_segs;

		memcpy(c + 24 * VIREO_EMU_ES, c + 24 * VIREO_EMU_FS, 24);
		memcpy(c + 24 * VIREO_EMU_DS, c + 24 * VIREO_EMU_FS, 24);
	}
	if (config->mode == VIREO_EMU_PROT32)
		find_error_code();
	must(uc_context_restore(uc, ctx_start), "context");
}

static void leave(void)
{
	uc_context_free(ctx_start);
	uc_context_free(ctx_work);
	uc_close(uc);
}

/* Our state into Unicorn. */
static void hand_over(const struct system *s)
{
	u8 *c = (u8 *)ctx_work;
	u64 flags = s->e.rflags;
	u32 i;

	memcpy(c, ctx_start, uc_context_size(uc));
	memcpy(c + at_regs, s->regs, sizeof(s->regs));
	if (s->e.mode == VIREO_EMU_REAL || s->e.mode == VIREO_EMU_VM86) {
		for (i = 0; i < VIREO_EMU_NR_DATA_SEGS; i++) {
			u32 selector = s->seg[i].selector;

			memcpy(c + at_segs + 24 * i, &selector, 4);
			memcpy(c + at_segs + 24 * i + 8, &s->seg[i].base, 8);
		}
	}
	must(uc_context_restore(uc, ctx_work), "context");
	must(uc_reg_write(uc, UC_X86_REG_EFLAGS, &flags), "flags");
	for (i = 0; i < NR_MSRS; i++) {
		uc_x86_msr msr = { .rid = sys_msrs[i], .value = s->msr[i] };

		if (sys_msrs[i] != MSR_EFER && sys_msrs[i] != MSR_FS_BASE &&
		    sys_msrs[i] != MSR_GS_BASE)
			must(uc_reg_write(uc, UC_X86_REG_MSR, &msr), "MSR");
	}
	for (i = 0; i < (config->long_mode ? 16 : 8); i++)
		uc_reg_write(uc, UC_X86_REG_XMM0 + i, s->vec[i]);
}

static void take_back(struct outcome *o, uc_err e)
{
	const u8 *c;
	u32 i;

	memset(o, 0, sizeof(*o));
	o->vector = run_vector;
	o->done = e == UC_ERR_OK && run_vector == NO_VECTOR;
	if (e == UC_ERR_INSN_INVALID)
		o->vector = EXC_UD;
	uc_reg_read(uc, UC_X86_REG_EFLAGS, &o->rflags);
	c = save();
	memcpy(o->regs, c + at_regs, sizeof(o->regs));
	for (i = 0; i < VIREO_EMU_NR_SEGS; i++)
		get_segment(c, i, &o->seg[i]);
	o->gdt = get64(c + at_segs + 24 * 8 + 8);
	o->gdt_limit = get32(c + at_segs + 24 * 8 + 16);
	o->idt = get64(c + at_segs + 24 * 9 + 8);
	o->idt_limit = get32(c + at_segs + 24 * 9 + 16);
	for (i = 0; i < 5; i++)
		o->cr[i] = get64(c + at_cr + 8 * i);
	o->rip = get64(c + at_regs + 128);
	/* The hook for the next instruction has left the linear address there. */
	if (o->done) {
		o->rip -= o->seg[VIREO_EMU_CS].base;
		if (!config->long_mode || !(o->seg[VIREO_EMU_CS].attr & VIREO_EMU_SEG_L))
			o->rip = (u32)o->rip;
	}
	if (at_error)
		o->error_code = get32(c + at_error);
	for (i = 0; i < (config->long_mode ? 16 : 8); i++)
		uc_reg_read(uc, UC_X86_REG_XMM0 + i, o->vec[i]);
}

/* What is not compared at all. */
static const char *excluded(u32 op)
{
	switch (op) {
	case OP_INT3:
	case OP_INT:
	case OP_INTO:
	case OP_INT1:
		return "Unicorn reports events and never delivers them";
	case OP_SYSCALL:
	case OP_SYSENTER:
		return "Unicorn calls a hook and goes on behind it";
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
	case OP_RSM:
		return "the answer is the virtual processor's own";
	case OP_HLT:
		return "Unicorn ends there";
	case OP_MOVBE:
	case OP_POPCNT:
	case OP_INVPCID:
		return "Unicorn's processor does not have it";
	case OP_FENCE:
		return "CLFLUSH needs a page that can be read here, and none in Unicorn";
	}
	return NULL;
}

static bool wanted(u32 op)
{
	return op != OP_UD && op != OP_NONE && !excluded(op);
}

static u64 last_undefined;

/*
 * Unicorn never sets the accessed bit of a code segment, nor that of a stack
 * segment that it takes from a TSS: ours, then, may have it, alone.
 */
static bool far(u32 op)
{
	return (op >= OP_JMP_FAR && op <= OP_IRET) || op == OP_SYSRET || op == OP_SYSEXIT;
}

static u32 ignored_type(const struct system *s, u32 op, u32 seg)
{
	if (seg == VIREO_EMU_TR)
		return 2;	/* busy, which Unicorn's copy is not */
	return far(op) && (seg == VIREO_EMU_CS || seg == VIREO_EMU_SS) && (s->seg[seg].attr & 1);
}

static u32 accessed_count;

static void accessed_in_memory(u32 op)
{
	u32 i;

	for (i = AT_GDT + 5; i < AT_LDT + 8 * LDT_ENTRIES && far(op); i += 8) {
		if (our_mem[i] != uc_mem[i] && our_mem[i] == (uc_mem[i] | 1)) {
			uc_mem[i] |= 1;
			accessed_count++;
		}
	}
}

/* First difference between the outcomes, or NULL. */
static const char *difference(const struct system *s, const struct subject *t, int r,
			      const struct outcome *o, u64 rcx)
{
	const struct vireo_emu_insn *insn = &s->e.insn;
	u64 mask = FL_ARITH | FL_DF | FL_IF | FL_IOPL | FL_NT | FL_VM | FL_AC | FL_ID;
	u32 i;

	if ((r == VIREO_EMU_OK) != o->done)
		return "one faults";
	if (!o->done) {
		if (o->vector == NO_VECTOR)
			return s->e.exception.vector == 14 ? NULL : "vector";
		if (o->vector != s->e.exception.vector)
			return "vector";
		if (s->e.exception.has_error && at_error && s->e.exception.error_code != o->error_code &&
		    s->e.exception.vector != 14)
			return "error code";
		return NULL;
	}
	last_undefined = undefined_flags(insn, t->op, rcx);
	if (undefined_result(insn, t->op, rcx))
		return NULL;
	for (i = 0; i < (config->long_mode ? 16 : 8); i++)
		if (o->regs[i] != s->regs[i])
			return "register";
	if ((o->rflags ^ s->e.rflags) & mask & ~last_undefined)
		return "flags";
	if (o->rip != s->e.rip)
		return "RIP";
	for (i = 0; i < VIREO_EMU_NR_SEGS; i++) {
		const struct vireo_emu_segment *a = &s->seg[i], *b = &o->seg[i];

		if (a->selector != b->selector)
			return "selector";
		if (i >= VIREO_EMU_LDTR && (s->e.mode == VIREO_EMU_REAL || !(a->selector & ~3)))
			continue;
		if (!(a->attr & VIREO_EMU_SEG_UNUSABLE) != !(b->attr & VIREO_EMU_SEG_UNUSABLE))
			return "unusable segment";
		if (a->attr & VIREO_EMU_SEG_UNUSABLE)
			continue;
		if (a->base != b->base || a->limit != b->limit)
			return "base or limit";
		/* in real mode processors, too, differ in what CS has */
		if ((a->attr ^ b->attr) & 0xf0ff & ~ignored_type(s, t->op, i) && s->e.mode != VIREO_EMU_REAL)
			return "attributes";
	}
	if (o->gdt != s->dt[VIREO_EMU_GDTR].base || o->gdt_limit != s->dt[VIREO_EMU_GDTR].limit)
		if (s->e.mode != VIREO_EMU_REAL)
			return "GDTR";
	if (o->idt != s->dt[VIREO_EMU_IDTR].base || o->idt_limit != s->dt[VIREO_EMU_IDTR].limit)
		if (s->e.mode != VIREO_EMU_REAL)
			return "IDTR";
	for (i = 0; i < 5; i++)
		/* ET is fixed, and shows in Unicorn after the first write */
		if (i != 1 && (o->cr[i] ^ s->cr[i]) & (i ? ~0ULL : ~0x10ULL))
			return "control register";
	accessed_in_memory(t->op);
	if (memcmp(uc_mem, our_mem, FLAT_MEM))
		return "memory";
	for (i = 0; i < (config->long_mode ? 16 : 8); i++)
		if (memcmp(o->vec[i], s->vec[i], 16))
			return "vector register";
	if (run_port_sum != s->port_sum)
		return "output";
	return NULL;
}

struct run {
	const struct system *before, *after;
	const struct subject *t;
	const struct outcome *theirs;
	const char *what;
	int r;
	u64 la;			/* of the memory operand, if there is one */
};

static bool no_limits(const struct run *x)
{
	const struct vireo_emu_exception *exc = &x->after->e.exception;

	return x->r == VIREO_EMU_EXCEPTION && (exc->vector == EXC_GP || exc->vector == EXC_SS) &&
	       !exc->error_code &&
	       (x->theirs->done || x->theirs->vector == NO_VECTOR || !x->theirs->vector) &&
	       /* of flat segments only CS, and the end of all, can be in the way */
	       (x->before->e.mode != VIREO_EMU_PROT32 || !x->theirs->done ||
		x->after->e.insn.seg == VIREO_EMU_CS);
}

static bool size_by_prefix(const struct run *x)
{
	return x->t->op == OP_CRC32 && x->before->e.mode < VIREO_EMU_PROT32;
}

static bool rex_not_last(const struct run *x)
{
	return subject_rex_ignored(x->before, x->t);
}

static bool ret_sign(const struct run *x)
{
	const struct vireo_emu_insn *insn = &x->after->e.insn;

	return (x->t->op == OP_RET || x->t->op == OP_RET_FAR) && insn->entry & EMU_I_MASK &&
	       (x->t->bytes[insn->len - 1] & 0x80);
}

static bool rex_lahf(const struct run *x)
{
	return (x->t->op == OP_LAHF || x->t->op == OP_SAHF) &&
	       (x->after->e.insn.prefix & VIREO_EMU_PFX_REX);
}

static bool rex_group(const struct run *x)
{
	const struct vireo_emu_insn *insn = &x->after->e.insn;

	return (insn->opcode & 0xfe) == 0xc6 && insn->map == VIREO_EMU_MAP_1B && (insn->rex & 4) &&
	       x->theirs->vector == EXC_UD;
}

static bool rip_imm(const struct run *x)
{
	const struct vireo_emu_insn *insn = &x->after->e.insn;

	return (x->t->op == OP_SHLD || x->t->op == OP_SHRD) && insn->entry & EMU_I_MASK &&
	       insn->base == VIREO_EMU_RIPREG;
}

static bool cmpxchg_equal(const struct run *x)
{
	return x->t->op == OP_CMPXCHG && x->after->e.insn.op_size == 4 &&
	       (x->after->e.rflags & FL_ZF) && x->theirs->regs[0] == (u32)x->before->regs[0] &&
	       x->after->regs[0] == x->before->regs[0];
}

static bool prefetch_register(const struct run *x)
{
	const struct vireo_emu_insn *insn = &x->after->e.insn;

	return x->t->op == OP_NOP && insn->opcode == 0x18 && insn->modrm >= 0xc0 &&
	       x->theirs->vector == EXC_UD;
}

static bool enter_probe(const struct run *x)
{
	return x->t->op == OP_ENTER && x->r == VIREO_EMU_EXCEPTION && x->theirs->done;
}

static bool cmpxchg_unequal(const struct run *x)
{
	const struct vireo_emu_insn *insn = &x->after->e.insn;

	return x->t->op == OP_CMPXCHG && insn->op_size == 4 && insn->modrm >= 0xc0 &&
	       !(x->after->e.rflags & FL_ZF) &&
	       x->theirs->regs[insn->rm] == (u32)x->before->regs[insn->rm];
}

static bool enter_width(const struct run *x)
{
	u64 mask = ~emu_mask(2);

	return x->t->op == OP_ENTER && x->theirs->done && !x->r &&
	       !((x->theirs->regs[VIREO_EMU_RBP] ^ x->after->regs[VIREO_EMU_RBP]) & ~mask);
}

static bool pushf_vm(const struct run *x)
{
	return x->t->op == OP_PUSHF && x->after->e.insn.op_size == 4 &&
	       x->before->e.mode == VIREO_EMU_VM86;
}

static bool neg_lock(const struct run *x)
{
	return x->t->op == OP_NEG && (x->after->e.insn.prefix & VIREO_EMU_PFX_LOCK) &&
	       !((x->theirs->rflags ^ x->after->e.rflags) & ~(u64)(FL_SF | FL_PF | FL_ZF | FL_AF));
}

static bool both_mandatory(const struct run *x)
{
	u32 prefix = x->after->e.insn.prefix;

	return x->t->op >= OP_MOVUPS && x->t->op <= OP_LDDQU && (prefix & VIREO_EMU_PFX_OPSIZE) &&
	       (prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE));
}

static bool both_repeats(const struct run *x)
{
	bool f2 = false, f3 = false;
	u32 i;

	for (i = 0; i < 4; i++) {
		f2 |= x->t->bytes[i] == 0xf2;
		f3 |= x->t->bytes[i] == 0xf3;
	}
	return f2 && f3;
}

static bool test_alias(const struct run *x)
{
	return x->t->op == OP_TEST && (x->after->e.insn.opcode & 0xfe) == 0xf6 &&
	       (x->after->e.insn.reg & 7) == 1 && x->theirs->vector == EXC_UD;
}

static bool unaligned(const struct run *x)
{
	return x->r == VIREO_EMU_EXCEPTION && x->after->e.exception.vector == EXC_GP &&
	       (x->theirs->done || x->theirs->vector == NO_VECTOR) && x->t->op >= OP_MOVUPS && x->t->op <= OP_LDDQU;
}

static bool port_permission(const struct run *x)
{
	return x->r == VIREO_EMU_EXCEPTION && x->after->e.exception.vector == EXC_GP &&
	       x->t->op >= OP_INS && x->t->op <= OP_OUT_DX;
}

static bool scan_zero(const struct run *x)
{
	u32 reg = x->after->e.insn.reg;

	return (x->t->op == OP_BSF || x->t->op == OP_BSR) && (x->after->e.rflags & FL_ZF) &&
	       x->theirs->regs[reg] == (u32)x->before->regs[reg];
}

static bool lar_limit(const struct run *x)
{
	u32 reg = x->after->e.insn.reg;

	return x->t->op == OP_LAR && x->theirs->regs[reg] == (x->after->regs[reg] & ~0xf0000ULL);
}

static bool lar_types(const struct run *x)
{
	return (x->t->op == OP_LAR || x->t->op == OP_LSL) && config->long_mode &&
	       (x->theirs->rflags & FL_ZF) && !(x->after->e.rflags & FL_ZF);
}

static bool smsw_short(const struct run *x)
{
	const struct vireo_emu_insn *insn = &x->after->e.insn;

	return x->t->op == OP_SMSW && insn->modrm >= 0xc0 &&
	       !((x->theirs->regs[insn->rm] ^ x->after->regs[insn->rm]) & 0xffff);
}

static bool code_limit(const struct run *x)
{
	return far(x->t->op) && x->r == VIREO_EMU_EXCEPTION && !x->after->e.exception.error_code &&
	       x->after->e.exception.vector == EXC_GP &&
	       (x->theirs->vector == EXC_GP ||
		(x->theirs->done && x->theirs->rip > x->theirs->seg[VIREO_EMU_CS].limit));
}

static bool ltr_null(const struct run *x)
{
	return x->t->op == OP_LTR && x->theirs->done &&
	       !(x->theirs->seg[VIREO_EMU_TR].selector & ~3);
}

static bool conforming_rpl(const struct run *x)
{
	const struct vireo_emu_segment *a = &x->after->seg[VIREO_EMU_CS];
	const struct vireo_emu_segment *b = &x->theirs->seg[VIREO_EMU_CS];

	return x->t->op == OP_CALL_FAR || x->t->op == OP_CALL_FAR_IND ?
	       (a->attr & 0xc) == 0xc && ((a->selector ^ b->selector) & ~3) == 0 : false;
}

static bool wide_descriptor(const struct run *x)
{
	return x->t->op == OP_LLDT && config->long_mode && x->theirs->done &&
	       x->after->e.exception.error_code ==
	       (u32)(x->theirs->seg[VIREO_EMU_LDTR].selector & ~3);
}

static bool long_and_big(const struct run *x)
{
	u32 attr = x->theirs->seg[VIREO_EMU_CS].attr;

	return far(x->t->op) && config->long_mode && x->theirs->done &&
	       (attr & VIREO_EMU_SEG_L) && (attr & VIREO_EMU_SEG_DB);
}

static bool ss_absent(const struct run *x)
{
	return far(x->t->op) && x->theirs->vector == EXC_NP &&
	       x->after->e.exception.vector == EXC_SS &&
	       x->theirs->error_code == x->after->e.exception.error_code;
}

static bool tss_in_ldt(const struct run *x)
{
	return far(x->t->op) && x->r == VIREO_EMU_EXCEPTION && (x->theirs->vector == EXC_TS || x->theirs->vector == EXC_NP) &&
	       x->after->e.exception.vector == EXC_GP && (x->after->e.exception.error_code & 4);
}

static bool sysret_order(const struct run *x)
{
	return x->t->op == OP_SYSRET && x->theirs->vector == EXC_GP &&
	       x->before->e.mode == VIREO_EMU_REAL;
}

/* Where Unicorn is known to differ from processors. */
static const struct {
	bool (*match)(const struct run *x);
	const char *why;
} known_list[] = {
	{ size_by_prefix, "Unicorn's CRC32 takes 16-bit mode for 32-bit mode" },
	{ rex_not_last, "a REX that a prefix follows does not count; with Unicorn it does" },
	{ both_repeats, "of F2 and F3 the last counts; Unicorn looks at both" },
	{ test_alias, "F6 /1 and F7 /1 are TEST, too; Unicorn does not have them" },
	{ ret_sign, "Unicorn takes the operand of RET for a signed number" },
	{ rex_lahf, "Unicorn's LAHF and SAHF take SPL for AH after a REX" },
	{ rex_group, "REX.R does not count where ModRM.reg is part of the opcode" },
	{ rip_imm, "Unicorn forgets the immediate of SHLD and SHRD in RIP-relative addresses" },
	{ cmpxchg_equal, "CMPXCHG leaves RAX alone if it was equal; Unicorn clears its upper half" },
	{ prefetch_register, "0F 18 is a NOP with a register, too; Unicorn refuses it" },
	{ enter_probe, "ENTER tries the new top of the stack; Unicorn does not" },
	{ cmpxchg_unequal, "CMPXCHG that was unequal leaves a register alone; Unicorn writes it" },
	{ enter_width, "ENTER writes RBP by operand size; Unicorn by the size of the stack" },
	{ pushf_vm, "PUSHFD pushes VM and RF as 0; Unicorn shows VM" },
	{ neg_lock, "Unicorn's LOCK NEG gets SF and PF wrong" },
	{ both_mandatory, "F3 and F2 come before 66 in the choice of an SSE instruction; not so there" },
	{ unaligned, "Unicorn does not check the alignment of SSE operands" },
	{ port_permission, "Unicorn lets everybody use all ports" },
	{ scan_zero, "BSF and BSR of 0 leave their register alone; Unicorn clears its upper half" },
	{ lar_limit, "LAR shows bits 19:16 of the limit, which Unicorn masks" },
	{ lar_types, "in long mode LAR and LSL refuse more types of descriptors than Unicorn does" },
	{ smsw_short, "SMSW writes the whole register; Unicorn its low half" },
	{ code_limit, "a target beyond the code segment is #GP(0); Unicorn shows its selector, or lets it" },
	{ ltr_null, "LTR refuses null; Unicorn loads it" },
	{ conforming_rpl, "Unicorn forgets the CPL in CS when a gate leads to a conforming segment" },
	{ wide_descriptor, "Unicorn takes LDT descriptors in long mode whose base is not canonical" },
	{ long_and_big, "Unicorn takes code segments that have both L and D" },
	{ ss_absent, "a stack segment that is not there is #SS; Unicorn says #NP" },
	{ tss_in_ldt, "a TSS in the LDT is #GP; Unicorn says #TS or #NP" },
	{ sysret_order, "without EFER.SCE, SYSRET is #UD, not #GP, in real mode, too" },
	{ no_limits, "Unicorn checks neither limits nor types nor canonical addresses" },
};

#define NR_KNOWN	(sizeof(known_list) / sizeof(known_list[0]))
static u32 known_count[NR_KNOWN];
static u32 ran, skipped, faulted, unhandled, explained, per_op[OP_COUNT];

static void describe_selector(u32 selector)
{
	u32 at = (selector & 4 ? AT_LDT : AT_GDT) + (selector & 0x3f8);

	if (selector & 0xfffc)
		diag("  descriptor %x: %016llx %016llx", selector,
		     (long long)get64(initial_mem + at), (long long)get64(initial_mem + at + 8));
}

static void describe(const struct run *x)
{
	const struct system *b = x->before, *s = x->after;
	const struct vireo_emu_insn *insn = &s->e.insn;
	const struct outcome *o = x->theirs;
	const u8 *p = x->t->bytes;
	u32 i, n;

	diag("%s: %s: op %u:%02x %02x %02x %02x %02x %02x %02x %02x %02x %02x, length %u, size %u",
	     config->name, x->what, x->t->op, p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8],
	     p[9], insn->len, insn->op_size);
	diag("  Unicorn: %s vector %d error %x, RIP %llx flags %llx", o->done ? "done" : "fault",
	     (int)o->vector, o->error_code, (long long)o->rip, (long long)o->rflags);
	diag("  ours:    %d vector %d error %x, RIP %llx flags %llx (before %llx, undefined %llx)",
	     x->r, s->e.exception.vector, s->e.exception.error_code, (long long)s->e.rip,
	     (long long)s->e.rflags, (long long)b->e.rflags, (long long)last_undefined);
	for (i = 0; i < 16; i++)
		if (o->regs[i] != s->regs[i] || o->regs[i] != b->regs[i])
			diag("  register %u: before %llx, Unicorn %llx, ours %llx", i,
			     (long long)b->regs[i], (long long)o->regs[i], (long long)s->regs[i]);
	for (i = 0; i < VIREO_EMU_NR_SEGS; i++) {
		const struct vireo_emu_segment *q = &s->seg[i], *u = &o->seg[i];

		if (q->selector != u->selector || q->base != u->base || q->limit != u->limit ||
		    q->attr != u->attr)
			diag("  segment %u: before %x, Unicorn %x %llx %x %x, ours %x %llx %x %x", i,
			     b->seg[i].selector, u->selector, (long long)u->base, u->limit,
			     u->attr, q->selector, (long long)q->base, q->limit, q->attr);
	}
	describe_selector(o->error_code);
	describe_selector(s->e.exception.error_code);
	describe_selector(o->seg[VIREO_EMU_CS].selector);
	for (i = n = 0; i < FLAT_MEM && n < 4 && o->done; i++)
		if (uc_mem[i] != our_mem[i]) {
			diag("  memory %x: before %02x, Unicorn %02x, ours %02x", i,
			     initial_mem[i], uc_mem[i], our_mem[i]);
			n++;
		}
}

/* One instruction. False, after describing it, on a difference that is not known. */
static bool one(void)
{
	static struct system s, before;
	struct subject t = { .at = AT_CODE + 0x100 + (rnd() & 0x3f) };
	struct outcome theirs;
	struct run x = { .before = &before, .after = &s, .t = &t, .theirs = &theirs };
	uc_err e;
	u32 i;
	int r;

	memcpy(our_mem, initial_mem, FLAT_MEM);
	system_init(&s, our_mem, config->mode, config->cpl);
	s.e.features = VIREO_EMU_F_AMD | VIREO_EMU_F_SMAP | VIREO_EMU_F_LZCNT | VIREO_EMU_F_BMI1 |
		       VIREO_EMU_F_BMI2;
	{
		uc_x86_msr msr = { .rid = MSR_EFER };

		must(uc_reg_read(uc, UC_X86_REG_MSR, &msr), "EFER");
		*system_msr(&s, MSR_EFER) = msr.value;
	}
	s.dr[6] = 0xffff0ff0;
	s.dr[7] = 0x400;
	s.e.rflags |= config->iopl << FL_IOPL_SHIFT;
	must(uc_context_restore(uc, ctx_start), "context");
	{
		const u8 *c = (const u8 *)ctx_start;

		for (i = 0; i < VIREO_EMU_NR_SEGS; i++)
			if (config->mode != VIREO_EMU_REAL || i < VIREO_EMU_NR_DATA_SEGS)
				get_segment(c, i, &s.seg[i]);
		s.seg[VIREO_EMU_TR].attr |= 2;
		for (i = 0; i < 5; i++)
			s.cr[i] = get64(c + at_cr + 8 * i);
		s.dt[VIREO_EMU_GDTR].base = get64(c + at_segs + 24 * 8 + 8);
		s.dt[VIREO_EMU_GDTR].limit = get32(c + at_segs + 24 * 8 + 16);
		s.dt[VIREO_EMU_IDTR].base = get64(c + at_segs + 24 * 9 + 8);
		s.dt[VIREO_EMU_IDTR].limit = get32(c + at_segs + 24 * 9 + 16);
	}
	if (config->mode == VIREO_EMU_REAL || config->mode == VIREO_EMU_VM86) {
		for (i = 0; i < VIREO_EMU_NR_DATA_SEGS; i++) {
			s.seg[i].selector = rnd() % (i == VIREO_EMU_CS ? 0x800 : 0x1000);
			s.seg[i].base = s.seg[i].selector << 4;
			s.seg[i].limit = 0xffff;
			if (config->mode == VIREO_EMU_VM86)
				s.seg[i].attr = 0xf3;
		}
	}
	for (i = 0; i < NR_MSRS; i++) {
		if (sys_msrs[i] == MSR_STAR)
			s.msr[i] = (u64)(SEL_DATA64 + 8 + 3) << 48 | (u64)SEL_CODE64 << 32;
		else if (sys_msrs[i] == MSR_SYSENTER_CS)
			s.msr[i] = rnd() % 4 ? SEL_CODE32 : 0;
		else if (sys_msrs[i] != MSR_EFER && sys_msrs[i] != MSR_FS_BASE &&
			 sys_msrs[i] != MSR_GS_BASE)
			s.msr[i] = rnd() & 0xffff;
	}
	if (!subject_make(&s, &t, wanted))
		return true;
	/* Unicorn's processor has no AVX. */
	if (s.e.insn.vex && t.op >= OP_MOVUPS && t.op <= OP_LDDQU)
		return true;
	memset(our_mem + t.at, 0xf4, 32);
	memcpy(our_mem + t.at, t.bytes, s.e.insn.len);
	memcpy(uc_mem, our_mem, FLAT_MEM);
	before = s;

	r = system_finish(&s, vireo_emu_execute(&s.e));
	if (r == VIREO_EMU_UNHANDLED) {
		unhandled++;
		return true;
	}
	/* Unicorn would go on with the new bytes. */
	if (memcmp(our_mem + t.at, t.bytes, s.e.insn.len))
		return skipped++, true;
	if (r == VIREO_EMU_OK) {
		u64 to = s.e.rip + (s.e.mode == VIREO_EMU_PROT64 ? 0 : s.seg[VIREO_EMU_CS].base);

		/*
		 * A branch to itself: nobody can tell when to stop. And only HLT may
		 * be at the target, for Unicorn translates what is there, and does
		 * not survive it if that is random.
		 */
		if (to == t.at || (to < FLAT_MEM && our_mem[to] != 0xf4))
			return skipped++, true;
	}
	hand_over(&before);
	e = run(config->uc == UC_MODE_16 ? t.at : before.e.rip, t.at);
	take_back(&theirs, e);
	ran++;
	per_op[t.op]++;
	faulted += r != VIREO_EMU_OK;
	if (e == UC_ERR_FETCH_UNMAPPED && run_vector == NO_VECTOR) {
		/* a branch to where nothing is */
		theirs.done = true;
	}
	x.r = r;
	x.what = difference(&s, &t, r, &theirs, before.regs[VIREO_EMU_RCX]);
	if (!x.what)
		return true;
	for (i = 0; i < NR_KNOWN; i++) {
		if (known_list[i].match(&x)) {
			known_count[i]++;
			explained++;
			return true;
		}
	}
	describe(&x);
	return false;
}

static void campaign(u32 count, u64 seed)
{
	u32 i, bad = 0;

	ran = skipped = faulted = unhandled = explained = 0;
	enter();
	for (i = 0; i < count && bad < 12; i++) {
		if (i % 16 == 0) {
			/* tables anew, at times */
			u32 j;

			rnd_seed(seed + i);
			for (j = 0; j < FLAT_MEM; j += 8) {
				u64 v = rnd();

				memcpy(initial_mem + j, &v, 8);
			}
			memset(initial_mem + AT_CODE, 0xf4, CODE_SIZE);
			system_random_tables(initial_mem, config->long_mode);
		}
		if (!one()) {
			bad++;
			diag("  seed %llu", (long long)(seed + i / 16 * 16));
		}
	}
	leave();
	diag("%s: %u run, %u of them faulted, %u differ for a known reason, %u unhandled, %u skipped",
	     config->name, ran, faulted, explained, unhandled, skipped);
	tap_ok(!bad, "%s: interpreter and Unicorn agree", config->name);
}

int main(int argc, char **argv)
{
	u32 count = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000, i;
	u64 seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	uc_mem = mmap(NULL, FLAT_MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	our_mem = malloc(FLAT_MEM);
	for (i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
		config = &configs[i];
		if (argc > 3 && strtoul(argv[3], NULL, 0) != i)
			continue;
		campaign(count, seed + 1000000007ULL * i);
	}
	for (i = OP_ADD; i < OP_COUNT; i++)
		if (wanted(i) && !per_op[i])
			diag("operation %u was never run", i);
	for (i = 0; i < NR_KNOWN; i++)
		diag("%u times: %s", known_count[i], known_list[i].why);
	diag("%u times: Unicorn does not set the accessed bit of code segments", accessed_count);
	return tap_done();
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the interpreter share with each other and with nobody else.
 */
#ifndef VIREO_EMU_INTERNAL_H
#define VIREO_EMU_INTERNAL_H

#include "emulate.h"

/*
 * A row of the decode tables is one u32:
 *
 *	 7..0	operation (enum emu_op), or number of the group
 *	10..8	immediate (EMU_I_*)
 *	13..11	operand form (EMU_F_*)
 *	31..14	flags
 *
 * A row that is zero is an undefined opcode.
 */
#define EMU_OP(ent)		((ent) & 0xff)

/* Immediates. Iz is 2 or 4 bytes by operand size, Iv up to 8. */
#define EMU_I_SHIFT		8
#define EMU_I_MASK		(7u << EMU_I_SHIFT)
#define EMU_I_NONE		(0u << EMU_I_SHIFT)
#define EMU_I_B			(1u << EMU_I_SHIFT)
#define EMU_I_W			(2u << EMU_I_SHIFT)
#define EMU_I_Z			(3u << EMU_I_SHIFT)
#define EMU_I_V			(4u << EMU_I_SHIFT)
#define EMU_I_MOFFS		(5u << EMU_I_SHIFT)	/* an address, by address size */
#define EMU_I_FAR		(6u << EMU_I_SHIFT)	/* Iz, then a selector */
#define EMU_I_WB		(7u << EMU_I_SHIFT)	/* Iw, then Ib (ENTER) */

/* Operand forms: destination, source. E is ModRM.rm, G is ModRM.reg. */
#define EMU_F_SHIFT		11
#define EMU_F_MASK		(7u << EMU_F_SHIFT)
#define EMU_F_NONE		(0u << EMU_F_SHIFT)
#define EMU_F_EG		(1u << EMU_F_SHIFT)
#define EMU_F_GE		(2u << EMU_F_SHIFT)
#define EMU_F_EI		(3u << EMU_F_SHIFT)
#define EMU_F_AI		(4u << EMU_F_SHIFT)	/* accumulator, immediate */
#define EMU_F_E			(5u << EMU_F_SHIFT)
#define EMU_F_O			(6u << EMU_F_SHIFT)	/* register in the opcode */
#define EMU_F_OI		(7u << EMU_F_SHIFT)

#define EMU_MODRM		(1u << 14)
#define EMU_BYTE		(1u << 15)	/* operands are bytes */
#define EMU_LOCK		(1u << 16)	/* LOCK allowed if E is memory */
#define EMU_NO64		(1u << 17)	/* undefined in 64-bit mode */
#define EMU_D64			(1u << 18)	/* 64-bit mode: operand size 8 or 2 */
#define EMU_F64			(1u << 19)	/* 64-bit mode: operand size 8 (near branches) */
#define EMU_GROUP		(1u << 20)	/* the row depends on ModRM */
#define EMU_PREFIX		(1u << 21)	/* a prefix, not an opcode */
#define EMU_MEM			(1u << 22)	/* E must be memory */
#define EMU_REG			(1u << 23)	/* E must be a register */
#define EMU_P_SHIFT		24		/* which mandatory prefixes exist; 0: not that kind */
#define EMU_P_NP		(1u << 24)
#define EMU_P_66		(1u << 25)
#define EMU_P_F3		(1u << 26)
#define EMU_P_F2		(1u << 27)
#define EMU_P_MASK		(15u << EMU_P_SHIFT)
#define EMU_WR			(1u << 28)	/* writes its memory operand */
#define EMU_ONLY64		(1u << 29)	/* undefined outside of 64-bit mode */
#define EMU_PROT		(1u << 30)	/* undefined in real and virtual-8086 mode */
#define EMU_ESC			(1u << 31)	/* a function of decode.c has the last word */

#define EMU_P_N6		(EMU_P_NP | EMU_P_66)
#define EMU_P_N63		(EMU_P_N6 | EMU_P_F3)
#define EMU_P_ALL		EMU_P_MASK

/* Escapes and prefixes: the operation says which. */
enum emu_esc {
	ESC_0F = 1,
	ESC_0F38,
	ESC_0F3A,
	ESC_VEX2,
	ESC_VEX3,
	ESC_EVEX,
	ESC_XOP,
	PFX_SEG_ES,		/* + enum vireo_emu_seg */
	PFX_SEG_LAST = PFX_SEG_ES + VIREO_EMU_GS,
	PFX_OPSIZE,
	PFX_ADSIZE,
	PFX_LOCK,
	PFX_REPNE,
	PFX_REPE,
};

/*
 * Operations. The eight of the ADD group, and those of the shift group, are in
 * the order of the hardware's encoding.
 */
enum emu_op {
	OP_UD,			/* undefined */
	OP_NONE,		/* defined, not carried out here */

	OP_ADD, OP_OR, OP_ADC, OP_SBB, OP_AND, OP_SUB, OP_XOR, OP_CMP,
	OP_ROL, OP_ROR, OP_RCL, OP_RCR, OP_SHL, OP_SHR, OP_SHL2, OP_SAR,
	OP_TEST, OP_INC, OP_DEC, OP_NOT, OP_NEG,
	OP_BT, OP_BTS, OP_BTR, OP_BTC,
	OP_SHLD, OP_SHRD, OP_XADD, OP_CMPXCHG, OP_XCHG, OP_BSWAP,

	OP_MOV, OP_MOVZX8, OP_MOVZX16, OP_MOVSX8, OP_MOVSX16, OP_MOVSXD,
	OP_MOVBE, OP_MOVNTI, OP_MOV_MOFFS, OP_CMOV, OP_SETCC, OP_LEA, OP_XLAT,
	OP_MOV_FROM_SEG, OP_MOV_TO_SEG, OP_CMPXCHG8B,
	OP_BSF, OP_BSR, OP_POPCNT, OP_CRC32,
	OP_BMI,
	OP_MUL, OP_IMUL, OP_IMUL2, OP_IMUL3, OP_DIV, OP_IDIV,
	OP_CBW, OP_CWD, OP_LAHF, OP_SAHF, OP_SALC,
	OP_CMC, OP_CLC, OP_STC, OP_CLI, OP_STI, OP_CLD, OP_STD,
	OP_DAA, OP_DAS, OP_AAA, OP_AAS, OP_AAM, OP_AAD,
	OP_NOP, OP_NOP90, OP_FENCE,

	OP_PUSH, OP_PUSH_IMM, OP_PUSH_SEG, OP_POP, OP_POP_SEG, OP_PUSHA, OP_POPA,
	OP_PUSHF, OP_POPF, OP_ENTER, OP_LEAVE,
	OP_JCC, OP_JMP, OP_CALL, OP_RET, OP_LOOP, OP_JCXZ,
	OP_JMP_IND, OP_CALL_IND,

	OP_MOVS, OP_STOS, OP_LODS, OP_CMPS, OP_SCAS, OP_INS, OP_OUTS,
	OP_IN_IMM, OP_IN_DX, OP_OUT_IMM, OP_OUT_DX,

	OP_MOVUPS, OP_MOVLPS, OP_MOVHPS, OP_MOVAPS, OP_MOVNTPS, OP_MOVD, OP_MOVD_ST,
	OP_MOVDQ, OP_MOVQ_ST, OP_MOVNTDQ, OP_MOVNTDQA, OP_LDDQU,

	OP_JMP_FAR, OP_CALL_FAR, OP_JMP_FAR_IND, OP_CALL_FAR_IND, OP_RET_FAR, OP_IRET,
	OP_INT3, OP_INT, OP_INTO, OP_INT1, OP_BOUND,
	OP_SYSCALL, OP_SYSRET, OP_SYSENTER, OP_SYSEXIT,
	OP_LDS,
	OP_ARPL, OP_SLDT, OP_STR, OP_LLDT, OP_LTR, OP_VERR, OP_VERW, OP_LAR, OP_LSL,
	OP_HLT, OP_CPUID, OP_RDTSC, OP_RDTSCP, OP_RDPMC, OP_RDMSR, OP_WRMSR,
	OP_INVD, OP_WBINVD, OP_INVLPG, OP_INVPCID, OP_CLTS, OP_LMSW, OP_SMSW,
	OP_SGDT, OP_SIDT, OP_LGDT, OP_LIDT,
	OP_MOV_FROM_CR, OP_MOV_TO_CR, OP_MOV_FROM_DR, OP_MOV_TO_DR,
	OP_SWAPGS, OP_SEGBASE, OP_XGETBV, OP_XSETBV, OP_MONITOR, OP_MWAIT, OP_HYPERCALL,
	OP_CLAC, OP_STAC, OP_RSM,

	/* These only steer the decoder. */
	OP_XBEGIN, OP_EXTRQ,

	OP_COUNT,
};

/* Rows of struct emu_groups: by ModRM.reg, 8 for memory, 8 for registers. */
enum emu_group {
	GRP_1, GRP_1A, GRP_2, GRP_3B, GRP_3V, GRP_4, GRP_5, GRP_6, GRP_7, GRP_8, GRP_9,
	GRP_11, GRP_12, GRP_13, GRP_14, GRP_15, GRP_16, GRP_P, GRP_1E,
	GRP_COUNT,
};

extern const u32 emu_map_1b[256];
extern const u32 emu_map_0f[256];
extern const u32 emu_map_0f38[256];
extern const u32 emu_map_0f3a[256];
extern const u32 emu_groups[GRP_COUNT][16];
extern const u32 emu_0f01[64];
extern const u32 emu_vex_0f[8];

/* RFLAGS */
#define FL_CF			0x00000001u
#define FL_FIXED		0x00000002u
#define FL_PF			0x00000004u
#define FL_AF			0x00000010u
#define FL_ZF			0x00000040u
#define FL_SF			0x00000080u
#define FL_TF			0x00000100u
#define FL_IF			0x00000200u
#define FL_DF			0x00000400u
#define FL_OF			0x00000800u
#define FL_IOPL			0x00003000u
#define FL_IOPL_SHIFT		12
#define FL_NT			0x00004000u
#define FL_RF			0x00010000u
#define FL_VM			0x00020000u
#define FL_AC			0x00040000u
#define FL_VIF			0x00080000u
#define FL_VIP			0x00100000u
#define FL_ID			0x00200000u
#define FL_ARITH		(FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

/* Exceptions */
#define EXC_DE			0
#define EXC_DB			1
#define EXC_BP			3
#define EXC_OF			4
#define EXC_BR			5
#define EXC_UD			6
#define EXC_NM			7
#define EXC_TS			10
#define EXC_NP			11
#define EXC_SS			12
#define EXC_GP			13
#define EXC_AC			17

#define CR0_PE			0x00000001u
#define CR0_EM			0x00000004u
#define CR0_TS			0x00000008u
#define CR0_AM			0x00040000u
#define CR0_PG			0x80000000u
#define CR4_VME			0x00000001u
#define CR4_PVI			0x00000002u
#define CR4_TSD			0x00000004u
#define CR4_DE			0x00000008u
#define CR4_PCE			0x00000100u
#define CR4_OSFXSR		0x00000200u
#define CR4_PCIDE		0x00020000u
#define CR4_UMIP		0x00000800u
#define CR4_FSGSBASE		0x00010000u
#define CR4_OSXSAVE		0x00040000u

#define EFER_SCE		0x00000001u
#define EFER_LMA		0x00000400u

/* Types of system descriptors; those of a TSS without the busy bit */
#define SYS_TSS16		1
#define SYS_LDT			2
#define SYS_CALL16		4
#define SYS_TASK_GATE		5
#define SYS_INT16		6
#define SYS_TRAP16		7
#define SYS_TSS32		9
#define SYS_CALL32		12
#define SYS_INT32		14
#define SYS_TRAP32		15
#define SYS_TSS_BUSY		2

#define SEG_CODE		0x8	/* in the type of a segment with S set */
#define SEG_CONFORMING		0x4	/* of code */
#define SEG_RW			0x2	/* code: readable; data: writable */

/**
 * emu_mask() - mask of the low bytes
 * @size: 1, 2, 4 or 8
 *
 * Return: the mask.
 */
static __always_inline u64 emu_mask(u32 size)
{
	return ~0ULL >> (64 - 8 * size);
}

/**
 * emu_sext() - sign-extend
 * @val: value
 * @size: its size in bytes, 1 to 8
 *
 * Return: @val as a signed 64-bit number.
 */
static __always_inline u64 emu_sext(u64 val, u32 size)
{
	u32 sh = 64 - 8 * size;

	return (u64)((s64)(val << sh) >> sh);
}

static inline u32 emu_dpl(u32 attr)
{
	return (attr & VIREO_EMU_SEG_DPL) >> VIREO_EMU_SEG_DPL_SHIFT;
}

/**
 * emu_canonical() - is it a canonical address?
 * @e: context
 * @la: linear address
 *
 * Return: true if it is.
 */
static inline bool emu_canonical(const struct vireo_emu *e, u64 la)
{
	u32 sh = e->features & VIREO_EMU_F_LA57 ? 7 : 16;

	return (u64)((s64)(la << sh) >> sh) == la;
}

static inline bool emu_is_prot(const struct vireo_emu *e)
{
	return e->mode >= VIREO_EMU_PROT16;
}

/**
 * emu_reg_read() - read a general register
 * @e: context
 * @reg: 0 to 15
 * @size: 1, 2, 4 or 8; without REX the byte registers 4 to 7 are AH, CH, DH, BH
 *
 * Return: the value, zero-extended.
 */
static __always_inline u64 emu_reg_read(const struct vireo_emu *e, u32 reg, u32 size)
{
	if (size == 1) {
		if (reg >= 4 && !(e->insn.prefix & VIREO_EMU_PFX_REX) && reg < 8)
			return (e->regs[reg - 4] >> 8) & 0xff;
		return e->regs[reg] & 0xff;
	}
	return e->regs[reg] & emu_mask(size);
}

/**
 * emu_reg_write() - write a general register
 * @e: context
 * @reg: 0 to 15
 * @val: value; bits above @size are ignored
 * @size: 1 or 2: the rest is kept; 4: the upper half is cleared; 8
 */
static __always_inline void emu_reg_write(struct vireo_emu *e, u32 reg, u64 val, u32 size)
{
	u64 *r = &e->regs[reg];

	switch (size) {
	case 8:
		*r = val;
		break;
	case 4:
		*r = (u32)val;
		break;
	case 2:
		*r = (*r & ~0xffffULL) | (u16)val;
		break;
	default:
		if (reg >= 4 && reg < 8 && !(e->insn.prefix & VIREO_EMU_PFX_REX)) {
			r = &e->regs[reg - 4];
			*r = (*r & ~0xff00ULL) | (u64)(u8)val << 8;
		} else {
			*r = (*r & ~0xffULL) | (u8)val;
		}
	}
}

/**
 * emu_reg_update() - write a register by address or stack size
 * @e: context
 * @reg: 0 to 15
 * @val: value
 * @size: 2, 4 or 8
 *
 * Unlike emu_reg_write() never touches byte registers; the rules for the rest
 * of the register are the same.
 */
static __always_inline void emu_reg_update(struct vireo_emu *e, u32 reg, u64 val, u32 size)
{
	u64 *r = &e->regs[reg];

	if (size == 8)
		*r = val;
	else if (size == 4)
		*r = (u32)val;
	else
		*r = (*r & ~0xffffULL) | (u16)val;
}

/* The register that VEX.vvvv names */
static inline u32 emu_vvvv(const struct vireo_emu *e)
{
	return e->insn.vvvv & (e->mode == VIREO_EMU_PROT64 ? 15 : 7);
}

static inline int emu_gp(struct vireo_emu *e)
{
	return vireo_emu_fault(e, EXC_GP, 0);
}

static inline int emu_ud(struct vireo_emu *e)
{
	return vireo_emu_trap(e, EXC_UD);
}

/* address.c */

/**
 * struct emu_mem - a memory operand
 * @la: linear address
 * @gpa: its guest-physical address or VIREO_EMU_NO_GPA
 */
struct emu_mem {
	u64 la;
	u64 gpa;
};

int emu_segment_fault(struct vireo_emu *e, u32 seg);
int emu_check_alignment(struct vireo_emu *e, u64 la, u32 size);
int emu_linearize_legacy(struct vireo_emu *e, u32 seg, u64 ea, u32 size, bool write,
			 u64 *la);
int emu_linearize(struct vireo_emu *e, u32 seg, u64 ea, u32 size, bool write, u64 *la);
int emu_operand(struct vireo_emu *e, u32 size, bool write, struct emu_mem *m);
int emu_operand_at(struct vireo_emu *e, u64 ea, u32 size, bool write, struct emu_mem *m);
int emu_read_wide(struct vireo_emu *e, const struct emu_mem *m, void *data, u32 size, u32 flags);
int emu_probe(struct vireo_emu *e, const struct emu_mem *m, u32 size);
int emu_write_wide(struct vireo_emu *e, const struct emu_mem *m, const void *data, u32 size);
int emu_cmpxchg(struct vireo_emu *e, const struct emu_mem *m, void *old, const void *new,
		u32 size);
const struct vireo_emu_segment *emu_seg(struct vireo_emu *e, u32 seg);

/**
 * emu_ea() - effective address of the ModRM or moffs operand
 * @e: context
 *
 * Return: the offset within its segment.
 */
static __always_inline u64 emu_ea(const struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u64 ea = insn->disp;

	if (insn->base < VIREO_EMU_NR_REGS)
		ea += e->regs[insn->base];
	else if (insn->base == VIREO_EMU_RIPREG)
		ea += e->rip + insn->len;
	if (insn->index < VIREO_EMU_NR_REGS)
		ea += e->regs[insn->index] << insn->scale;
	if (insn->ad_size != 8)
		ea &= emu_mask(insn->ad_size);
	return ea;
}

static __always_inline int emu_linearize_inline(struct vireo_emu *e, u32 seg, u64 ea, u32 size, bool write,
				     u64 *la)
{
	if (likely(e->mode == VIREO_EMU_PROT64)) {
		u64 half = 1ULL << 47;

		if (unlikely(seg >= VIREO_EMU_FS))
			ea += e->ops->seg_base(e, seg);
		if (unlikely(e->features & VIREO_EMU_F_LA57))
			half <<= 9;
		/* Canonical, and so is the last byte. */
		if (unlikely(ea + half > 2 * half - size))
			return emu_segment_fault(e, seg);
		*la = ea;
	} else {
		int r = emu_linearize_legacy(e, seg, ea, size, write, la);

		if (r)
			return r;
	}
	if (unlikely(e->rflags & FL_AC))
		return emu_check_alignment(e, *la, size);
	return VIREO_EMU_OK;
}

/**
 * emu_operand_inline() - memory operand at an offset of its segment
 * @e: context
 * @ea: offset
 * @size: its size in bytes
 * @write: it will be written
 * @m: result
 *
 * The address that the exit reported belongs to this operand if it has the same
 * page offset: an instruction that uses this function has no other operand in
 * memory, or must forget m->gpa.
 *
 * Return: VIREO_EMU_OK or VIREO_EMU_EXCEPTION.
 */
static __always_inline int emu_operand_inline(struct vireo_emu *e, u64 ea, u32 size, bool write,
					      struct emu_mem *m)
{
	int r = emu_linearize_inline(e, e->insn.seg, ea, size, write, &m->la);

	m->gpa = (e->gpa ^ m->la) & 0xfff ? VIREO_EMU_NO_GPA : e->gpa;
	return r;
}

/**
 * emu_read() - read a memory operand that fits a register
 * @e: context
 * @m: where
 * @val: result, zero-extended
 * @size: 1, 2, 4 or 8
 * @flags: enum vireo_emu_access
 *
 * What is read is recorded: see struct vireo_emu_ops.
 *
 * Return: enum vireo_emu_result.
 */
static __always_inline int emu_read(struct vireo_emu *e, const struct emu_mem *m, u64 *val,
				    u32 size, u32 flags)
{
	int r;

	*val = 0;
	if (unlikely(e->log_len) || unlikely((m->la & 0xfff) + size > 0x1000))
		return emu_read_wide(e, m, val, size, flags);
	r = e->ops->read(e, m->la, m->gpa, val, size, flags);
	if (likely(r == VIREO_EMU_OK)) {
		memcpy(e->log, val, sizeof(*val));
		e->log_len = size;
		e->log_pos = size;
	}
	return r;
}

/**
 * emu_write() - write a memory operand that fits a register
 * @e: context
 * @m: where
 * @val: value
 * @size: 1, 2, 4 or 8
 *
 * Return: enum vireo_emu_result.
 */
static __always_inline int emu_write(struct vireo_emu *e, const struct emu_mem *m, u64 val,
				     u32 size)
{
	int r;

	if (unlikely(e->wr_done) || unlikely((m->la & 0xfff) + size > 0x1000))
		return emu_write_wide(e, m, &val, size);
	r = e->ops->write(e, m->la, m->gpa, &val, size, 0);
	if (likely(r == VIREO_EMU_OK)) {
		e->wr_done = 1;
		e->wr_pos = 1;
	}
	return r;
}

/* one function for a family of operations; execute.c and its neighbours */
int emu_retire(struct vireo_emu *e, u64 rip);
bool emu_cond(const struct vireo_emu *e, u32 cond);
int emu_modify(struct vireo_emu *e);
int emu_muldiv(struct vireo_emu *e);
int emu_decimal(struct vireo_emu *e);
int emu_control(struct vireo_emu *e);
int emu_stack(struct vireo_emu *e);
int emu_string(struct vireo_emu *e);
int emu_pio(struct vireo_emu *e);
int emu_vector(struct vireo_emu *e);
int emu_resume_mmio(struct vireo_emu *e);

int emu_load_segments(struct vireo_emu *e);
int emu_tables(struct vireo_emu *e);
int emu_far(struct vireo_emu *e);
int emu_software_event(struct vireo_emu *e);
int emu_fast_call(struct vireo_emu *e);
int emu_system(struct vireo_emu *e);
int emu_bmi(struct vireo_emu *e);

/* segment.c */

/**
 * struct emu_desc - a descriptor that was read
 * @s: as it would be loaded
 * @lo: its 8 bytes
 * @hi: for system descriptors of long mode: the following 8
 * @la: where it is
 */
struct emu_desc {
	struct vireo_emu_segment s;
	u64 lo;
	u64 hi;
	u64 la;
};

/* How a check of descriptors reports: the vector, and EXT of its error code */
struct emu_blame {
	u8 vector;
	u8 ext;
};

u32 emu_cpl(struct vireo_emu *e);
bool emu_long_mode(struct vireo_emu *e);
void emu_update_mode(struct vireo_emu *e);
bool emu_can_segment(const struct vireo_emu *e);
int emu_mem_read(struct vireo_emu *e, u64 la, void *data, u32 len, u32 flags);
int emu_mem_write(struct vireo_emu *e, u64 la, const void *data, u32 len, u32 flags);
int emu_mem_probe(struct vireo_emu *e, u64 la, u32 len, u32 flags);
int emu_selector_fault(struct vireo_emu *e, struct emu_blame b, u16 sel);
int emu_desc_read(struct vireo_emu *e, u16 sel, struct emu_blame b, struct emu_desc *d);
int emu_desc_high(struct vireo_emu *e, struct emu_blame b, struct emu_desc *d);
int emu_desc_change(struct vireo_emu *e, struct emu_desc *d, u8 set, u8 clear);
int emu_desc_accessed(struct vireo_emu *e, struct emu_desc *d);
void emu_set_seg(struct vireo_emu *e, u32 seg, const struct vireo_emu_segment *s);
void emu_real_seg(struct vireo_emu *e, u32 seg, u16 sel, struct vireo_emu_segment *s);
void emu_null_seg(struct vireo_emu *e, u32 seg, u16 sel, u32 cpl, struct vireo_emu_segment *s);
int emu_check_stack_seg(struct vireo_emu *e, u16 sel, u32 cpl, struct emu_blame b,
			struct emu_desc *d);
int emu_check_data_seg(struct vireo_emu *e, u16 sel, u32 cpl, struct emu_blame b,
		       struct emu_desc *d);
int emu_load_seg(struct vireo_emu *e, u32 seg, u16 sel);
int emu_read_rm(struct vireo_emu *e, u64 *val, u32 size);
int emu_write_rm(struct vireo_emu *e, u64 val, u32 size);

/* far.c */
int emu_check_offset(struct vireo_emu *e, const struct vireo_emu_segment *cs, u64 rip, u32 ext);
int emu_check_code(struct vireo_emu *e, const struct emu_desc *d, u32 ext);
void emu_set_cs(struct vireo_emu *e, struct emu_desc *d, u32 cpl);
int emu_inner_stack(struct vireo_emu *e, u32 cpl, u32 ist, u32 ext, struct emu_desc *d, u64 *sp);

/* task.c */

/**
 * struct emu_task - why to switch to another task
 * @reason: enum vireo_emu_task
 * @has_error: push an error code in the new task
 * @error_code: which
 * @rip: of the old task, to be saved
 * @flags: of the old task, to be saved
 */
struct emu_task {
	u32 reason;
	bool has_error;
	u32 error_code;
	u64 rip;
	u64 flags;
};

int emu_task_switch(struct vireo_emu *e, u16 sel, const struct emu_task *task);

/* stack.c */

/**
 * struct emu_frame - several values that are pushed all or not at all
 * @size: of each: 2, 4 or 8
 * @flags: enum vireo_emu_access
 * @code: error code of #SS
 * @at: where the lowest is in @data
 * @code64: no segmentation
 * @base: of the stack segment
 * @top: stack pointer before
 * @mask: width of the stack pointer
 * @data: filled from its end; 4 values and 31 parameters of a call gate are the most
 */
struct emu_frame {
	u32 size;
	u32 flags;
	u32 code;
	u32 at;
	bool code64;
	u64 base;
	u64 top;
	u64 mask;
	u8 data[35 * 4 + 4];
};

void emu_frame_init(struct emu_frame *f, u32 size, u32 flags, u32 code);
void emu_frame_push(struct emu_frame *f, u64 val);
int emu_frame_probe(struct vireo_emu *e, struct emu_frame *f, const struct vireo_emu_segment *ss,
		    u64 *sp, bool code64);
int emu_frame_write(struct vireo_emu *e, const struct emu_frame *f);

u32 emu_stack_size(struct vireo_emu *e);
u64 emu_get_sp(struct vireo_emu *e);
void emu_set_sp(struct vireo_emu *e, u64 sp);
int emu_push(struct vireo_emu *e, u64 val, u32 size, u64 *sp);
int emu_pop(struct vireo_emu *e, u64 *val, u32 size, u64 *sp);

/**
 * emu_finish() - retire the instruction: go on behind it
 * @e: context
 *
 * Return: VIREO_EMU_OK.
 */
static inline int emu_finish(struct vireo_emu *e)
{
	u64 rip = e->rip + e->insn.len;

	return emu_retire(e, likely(e->mode == VIREO_EMU_PROT64) ? rip : (u32)rip);
}

/**
 * emu_finish_ss() - retire MOV SS or POP SS
 * @e: context
 *
 * The trap of TF has to wait: the next instruction brings its own.
 *
 * Return: VIREO_EMU_OK.
 */
static inline int emu_finish_ss(struct vireo_emu *e)
{
	int r = emu_finish(e);

	e->events &= ~VIREO_EMU_EV_STEP;
	e->events |= VIREO_EMU_EV_MOVSS;
	return r;
}

#endif /* VIREO_EMU_INTERNAL_H */

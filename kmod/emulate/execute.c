// SPDX-License-Identifier: GPL-2.0-only
/*
 * Carrying out a decoded instruction: the entry point, moves, and what is small.
 *
 * vireo_emu_execute() takes the plain MOV, which is nearly all that device memory ever
 * meets, on a path of its own and hands everything else to the function of its
 * family. Each function either changes nothing and says why, or ends in
 * emu_finish(), which retires the instruction.
 */
#include "internal.h"

/**
 * emu_retire() - retire the instruction and go on elsewhere
 * @e: context
 * @rip: where
 *
 * Return: VIREO_EMU_OK.
 */
int emu_retire(struct vireo_emu *e, u64 rip)
{
	e->rip = rip;
	if (unlikely(e->rflags & (FL_TF | FL_RF))) {
		if (e->rflags & FL_TF)
			e->events |= VIREO_EMU_EV_STEP;
		e->rflags &= ~(u64)FL_RF;
	}
	return VIREO_EMU_OK;
}

/**
 * emu_cond() - condition of Jcc, SETcc, CMOVcc
 * @e: context
 * @cond: low four bits of the opcode
 *
 * Return: whether it holds.
 */
bool emu_cond(const struct vireo_emu *e, u32 cond)
{
	u64 fl = e->rflags;
	bool less = !(fl & FL_SF) != !(fl & FL_OF), r;

	switch (cond >> 1 & 7) {
	case 0:
		r = fl & FL_OF;
		break;
	case 1:
		r = fl & FL_CF;
		break;
	case 2:
		r = fl & FL_ZF;
		break;
	case 3:
		r = fl & (FL_CF | FL_ZF);
		break;
	case 4:
		r = fl & FL_SF;
		break;
	case 5:
		r = fl & FL_PF;
		break;
	case 6:
		r = less;
		break;
	default:
		r = less || (fl & FL_ZF);
	}
	return r != (cond & 1);
}

/**
 * emu_read_rm() - E as a source
 * @e: context
 * @val: result
 * @size: its size, which need not be the operand size
 *
 * Return: enum vireo_emu_result.
 */
int emu_read_rm(struct vireo_emu *e, u64 *val, u32 size)
{
	struct emu_mem m;
	int r;

	if (e->insn.modrm >= 0xc0) {
		*val = emu_reg_read(e, e->insn.rm, size);
		return VIREO_EMU_OK;
	}
	r = emu_operand(e, size, false, &m);
	return r ? r : emu_read(e, &m, val, size, 0);
}

/**
 * emu_write_rm() - E as a destination: memory is written, or the register
 * @e: context
 * @val: value
 * @size: its size, which need not be the operand size
 *
 * Return: enum vireo_emu_result.
 */
int emu_write_rm(struct vireo_emu *e, u64 val, u32 size)
{
	struct emu_mem m;
	int r;

	if (e->insn.modrm >= 0xc0) {
		emu_reg_write(e, e->insn.rm, val, size);
		return VIREO_EMU_OK;
	}
	r = emu_operand(e, size, true, &m);
	return r ? r : emu_write(e, &m, val, size);
}

static u64 swap_bytes(u64 val, u32 size)
{
	return __builtin_bswap64(val) >> (64 - 8 * size);
}

/* Loads whose destination is the register of ModRM. */
static int load(struct vireo_emu *e, u32 op)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size, from = size;
	u64 val;
	int r;

	if (op == OP_MOVZX8 || op == OP_MOVSX8)
		from = 1;
	else if (op == OP_MOVZX16 || op == OP_MOVSX16)
		from = 2;
	else if (op == OP_MOVSXD)
		/* With a prefix 66, which is discouraged, AMD still reads 32 bits. */
		from = size < 4 && !(e->features & VIREO_EMU_F_AMD) ? size : 4;
	r = emu_read_rm(e, &val, from);
	if (r)
		return r;
	switch (op) {
	case OP_MOVSX8:
	case OP_MOVSX16:
	case OP_MOVSXD:
		val = emu_sext(val, from);
		break;
	case OP_MOVBE:
		val = swap_bytes(val, size);
		break;
	case OP_CMOV:
		/* The source is read either way, and 32 bits are zero-extended. */
		if (!emu_cond(e, insn->opcode))
			val = emu_reg_read(e, insn->reg, size);
		break;
	}
	emu_reg_write(e, insn->reg, val, size);
	return emu_finish(e);
}

static int store(struct vireo_emu *e, u64 val, u32 size)
{
	int r = emu_write_rm(e, val, size);

	return r ? r : emu_finish(e);
}

static int move_moffs(struct vireo_emu *e)
{
	u32 size = e->insn.op_size;
	bool wr = e->insn.entry & EMU_WR;
	struct emu_mem m;
	u64 val;
	int r;

	r = emu_operand(e, size, wr, &m);
	if (r)
		return r;
	if (wr)
		r = emu_write(e, &m, emu_reg_read(e, VIREO_EMU_RAX, size), size);
	else
		r = emu_read(e, &m, &val, size, 0);
	if (r)
		return r;
	if (!wr)
		emu_reg_write(e, VIREO_EMU_RAX, val, size);
	return emu_finish(e);
}

static int move(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size;
	u64 val;
	int r;

	switch (insn->entry & EMU_F_MASK) {
	case EMU_F_EG:
		return store(e, emu_reg_read(e, insn->reg, size), size);
	case EMU_F_EI:
		return store(e, insn->imm, size);
	case EMU_F_GE:
		r = emu_read_rm(e, &val, size);
		if (r)
			return r;
		emu_reg_write(e, insn->reg, val, size);
		return emu_finish(e);
	default: /* EMU_F_OI */
		emu_reg_write(e, insn->rm, insn->imm, size);
		return emu_finish(e);
	}
}

/* CMPXCHG8B, CMPXCHG16B */
static int cmpxchg_pair(struct vireo_emu *e)
{
	bool wide = e->insn.op_size == 8;
	u64 old[2], new[2], cur[2] = { 0, 0 };
	u64 *regs = e->regs;
	u32 size = wide ? 16 : 8, tries;
	struct emu_mem m;
	int r;

	r = emu_operand(e, size, true, &m);
	if (r)
		return r;
	if (wide && (m.la & 15))
		return emu_gp(e);
	r = emu_read_wide(e, &m, cur, size, VIREO_EMU_ACC_RMW | VIREO_EMU_ACC_LOCK);
	if (r)
		return r;

	for (tries = 0; ; tries++) {
		bool equal;

		if (wide) {
			old[0] = regs[VIREO_EMU_RAX];
			old[1] = regs[VIREO_EMU_RDX];
			new[0] = regs[VIREO_EMU_RBX];
			new[1] = regs[VIREO_EMU_RCX];
		} else {
			old[0] = (u32)regs[VIREO_EMU_RAX] | regs[VIREO_EMU_RDX] << 32;
			new[0] = (u32)regs[VIREO_EMU_RBX] | regs[VIREO_EMU_RCX] << 32;
			old[1] = 0;
			new[1] = 0;
		}
		equal = cur[0] == old[0] && cur[1] == old[1];
		/* The location is written in any case: with what it holds. */
		if (!equal) {
			new[0] = cur[0];
			new[1] = cur[1];
		}
		old[0] = cur[0];
		old[1] = cur[1];
		r = emu_cmpxchg(e, &m, cur, new, size);
		if (r)
			return r;
		if (cur[0] == old[0] && cur[1] == old[1]) {
			if (equal) {
				e->rflags |= FL_ZF;
				return emu_finish(e);
			}
			e->rflags &= ~(u64)FL_ZF;
			if (wide) {
				regs[VIREO_EMU_RAX] = cur[0];
				regs[VIREO_EMU_RDX] = cur[1];
			} else {
				regs[VIREO_EMU_RAX] = (u32)cur[0];
				regs[VIREO_EMU_RDX] = cur[0] >> 32;
			}
			return emu_finish(e);
		}
		if (tries == 32) {
			e->log_len = 0;
			return VIREO_EMU_RESTART;
		}
	}
}

static int bit_scan(struct vireo_emu *e, u32 op)
{
	u32 size = e->insn.op_size;
	u64 val, n;
	int r;

	r = emu_read_rm(e, &val, size);
	if (r)
		return r;
	/* With F3 it is TZCNT or LZCNT, if the virtual processor has them. */
	if (op != OP_POPCNT && (e->insn.prefix & VIREO_EMU_PFX_REPE) &&
	    (e->features & (op == OP_BSF ? VIREO_EMU_F_BMI1 : VIREO_EMU_F_LZCNT))) {
		if (!val)
			n = 8 * size;
		else if (op == OP_BSF)
			n = __builtin_ctzll(val);
		else
			n = 8 * size - 64 + __builtin_clzll(val);
		e->rflags &= ~(u64)(FL_CF | FL_ZF);
		if (!val)
			e->rflags |= FL_CF;
		if (!n)
			e->rflags |= FL_ZF;
		emu_reg_write(e, e->insn.reg, n, size);
		return emu_finish(e);
	}
	if (op == OP_POPCNT) {
		e->rflags &= ~(u64)FL_ARITH;
		if (!val)
			e->rflags |= FL_ZF;
		for (n = 0; val; n++)
			val &= val - 1;
		emu_reg_write(e, e->insn.reg, n, size);
		return emu_finish(e);
	}
	if (!val) {
		/* AMD documents that the destination is kept; Intel does so too. */
		e->rflags |= FL_ZF;
		return emu_finish(e);
	}
	e->rflags &= ~(u64)FL_ZF;
	n = op == OP_BSF ? __builtin_ctzll(val) : 63 - __builtin_clzll(val);
	emu_reg_write(e, e->insn.reg, n, size);
	return emu_finish(e);
}

static int crc32(struct vireo_emu *e)
{
	u32 size = e->insn.op_size, n, crc = e->regs[e->insn.reg];
	u64 val;
	int r;

	r = emu_read_rm(e, &val, size);
	if (r)
		return r;
	for (n = 0; n < 8 * size; n++) {
		crc ^= val & 1;
		crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
		val >>= 1;
	}
	e->regs[e->insn.reg] = crc;
	return emu_finish(e);
}

static int move_other(struct vireo_emu *e, u32 op)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size;
	struct emu_mem m;
	u64 val;
	int r;

	switch (op) {
	case OP_MOVBE:
		if ((insn->entry & EMU_F_MASK) == EMU_F_GE)
			return load(e, op);
		return store(e, swap_bytes(emu_reg_read(e, insn->reg, size), size), size);
	case OP_MOVNTI:
		/* There is no form of 16 bits, not even in 16-bit modes. */
		size = size == 8 ? 8 : 4;
		return store(e, emu_reg_read(e, insn->reg, size), size);
	case OP_MOV_MOFFS:
		return move_moffs(e);
	case OP_SETCC:
		return store(e, emu_cond(e, insn->opcode), 1);
	case OP_LEA:
		emu_reg_write(e, insn->reg, emu_ea(e), size);
		return emu_finish(e);
	case OP_XLAT:
		val = e->regs[VIREO_EMU_RBX] + (u8)e->regs[VIREO_EMU_RAX];
		if (insn->ad_size != 8)
			val &= emu_mask(insn->ad_size);
		r = emu_operand_at(e, val, 1, false, &m);
		if (!r)
			r = emu_read(e, &m, &val, 1, 0);
		if (r)
			return r;
		emu_reg_write(e, VIREO_EMU_RAX, val, 1);
		return emu_finish(e);
	case OP_MOV_FROM_SEG:
		/* Memory gets 16 bits; a register is zero-extended. */
		return store(e, emu_seg(e, insn->reg)->selector, insn->modrm < 0xc0 ? 2 : size);
	case OP_CMPXCHG8B:
		return cmpxchg_pair(e);
	case OP_BSF:
	case OP_BSR:
	case OP_POPCNT:
		return bit_scan(e, op);
	case OP_CRC32:
		return crc32(e);
	default: /* OP_MOV_TO_SEG */
		r = emu_read_rm(e, &val, 2);
		if (!r)
			r = emu_load_seg(e, insn->reg, val);
		if (r)
			return r;
		return insn->reg == VIREO_EMU_SS ? emu_finish_ss(e) : emu_finish(e);
	}
}

static int lahf_sahf(struct vireo_emu *e, u32 op)
{
	const u64 mask = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF;
	u64 *rax = &e->regs[VIREO_EMU_RAX];

	if (op == OP_LAHF)
		*rax = (*rax & ~0xff00ULL) | ((e->rflags & mask) | FL_FIXED) << 8;
	else
		e->rflags = (e->rflags & ~mask) | (*rax >> 8 & mask);
	return emu_finish(e);
}

/* CLI and STI, with the virtual interrupt flag of VME and PVI. */
static int set_if(struct vireo_emu *e, bool set)
{
	u64 flag = FL_IF;

	if (e->mode >= VIREO_EMU_VM86) {
		u32 iopl = e->rflags >> FL_IOPL_SHIFT & 3;
		u32 cpl = e->mode == VIREO_EMU_VM86 ? 3 : e->ops->get_cpl(e);

		if (cpl > iopl) {
			u64 ext = e->mode == VIREO_EMU_VM86 ? CR4_VME : CR4_PVI;

			if (cpl != 3 || !(e->ops->get_cr(e, 4) & ext))
				return emu_gp(e);
			if (set && (e->rflags & FL_VIP))
				return emu_gp(e);
			flag = FL_VIF;
		}
	}
	if (!set) {
		e->rflags &= ~flag;
	} else {
		/* Interrupts stay off for one instruction if they were off. */
		if (flag == FL_IF && !(e->rflags & FL_IF))
			e->events |= VIREO_EMU_EV_STI;
		e->rflags |= flag;
	}
	return emu_finish(e);
}

static int simple(struct vireo_emu *e, u32 op)
{
	u64 *rax = &e->regs[VIREO_EMU_RAX];
	u32 size = e->insn.op_size;

	switch (op) {
	case OP_CBW:
		emu_reg_update(e, VIREO_EMU_RAX, emu_sext(*rax, size / 2), size);
		break;
	case OP_CWD:
		emu_reg_update(e, VIREO_EMU_RDX, emu_sext(*rax, size) >> 63 ? ~0ULL : 0, size);
		break;
	case OP_LAHF:
	case OP_SAHF:
		return lahf_sahf(e, op);
	case OP_SALC:
		emu_reg_write(e, VIREO_EMU_RAX, e->rflags & FL_CF ? 0xff : 0, 1);
		break;
	case OP_CMC:
		e->rflags ^= FL_CF;
		break;
	case OP_CLC:
		e->rflags &= ~(u64)FL_CF;
		break;
	case OP_STC:
		e->rflags |= FL_CF;
		break;
	case OP_CLD:
		e->rflags &= ~(u64)FL_DF;
		break;
	case OP_STD:
		e->rflags |= FL_DF;
		break;
	case OP_CLI:
		return set_if(e, false);
	case OP_STI:
		return set_if(e, true);
	case OP_NOP90:
		/* PAUSE, should the vCPU have a use for it */
		if ((e->insn.prefix & VIREO_EMU_PFX_REPE) && e->ops->sysop)
			e->ops->sysop(e, VIREO_EMU_SYS_PAUSE, 0);
		break;
	case OP_FENCE:
		/* CLFLUSH: only its segment is looked at; a device must not be read. */
		if (e->insn.modrm < 0xc0) {
			struct emu_mem m;
			int r = emu_operand(e, 1, false, &m);

			if (r)
				return r;
		}
		break;
	}
	/* and OP_NOP, fences: the host is ordered enough */
	return emu_finish(e);
}

/**
 * dispatch() - everything but the plain MOV with memory
 * @e: context
 *
 * An operation of a new family gets its case here and its function; until then it
 * is UNHANDLED.
 *
 * Return: enum vireo_emu_result.
 */
static noinline int dispatch(struct vireo_emu *e)
{
	u32 op = EMU_OP(e->insn.entry);

	switch (op) {
	case OP_ADD ... OP_BSWAP:
		return emu_modify(e);
	case OP_MOV:
		return move(e);
	case OP_MOVZX8 ... OP_MOVSXD:
	case OP_CMOV:
		return load(e, op);
	case OP_MOVBE ... OP_MOV_MOFFS:
	case OP_SETCC ... OP_CRC32:
		return move_other(e, op);
	case OP_BMI:
		return emu_bmi(e);
	case OP_MUL ... OP_IDIV:
		return emu_muldiv(e);
	case OP_CBW ... OP_STD:
		return simple(e, op);
	case OP_DAA ... OP_AAD:
		return emu_decimal(e);
	case OP_NOP ... OP_FENCE:
		return simple(e, op);
	case OP_PUSH ... OP_LEAVE:
		return emu_stack(e);
	case OP_JCC ... OP_CALL_IND:
		return emu_control(e);
	case OP_MOVS ... OP_SCAS:
		return emu_string(e);
	case OP_INS ... OP_OUT_DX:
		return emu_pio(e);
	case OP_MOVUPS ... OP_LDDQU:
		return emu_vector(e);
	case OP_JMP_FAR ... OP_IRET:
		return emu_far(e);
	case OP_INT3 ... OP_BOUND:
		return emu_software_event(e);
	case OP_SYSCALL ... OP_SYSEXIT:
		return emu_fast_call(e);
	case OP_LDS:
		return emu_load_segments(e);
	case OP_ARPL ... OP_LSL:
		return emu_tables(e);
	case OP_HLT ... OP_RSM:
		return emu_system(e);
	default:
		return VIREO_EMU_UNHANDLED;
	}
}

int vireo_emu_execute(struct vireo_emu *e)
{
	const struct vireo_emu_insn *insn = &e->insn;
	u32 size = insn->op_size, form;
	struct emu_mem m;
	u64 val;
	int r;

	e->log_pos = 0;
	e->wr_pos = 0;
	if (e->resume)
		return emu_resume_mmio(e);
	if (unlikely((insn->entry & (0xff | EMU_MODRM)) != (OP_MOV | EMU_MODRM)) ||
	    unlikely(insn->modrm >= 0xc0)) {
		if (EMU_OP(insn->entry) - OP_MOVZX8 <= OP_MOVSXD - OP_MOVZX8)
			return load(e, EMU_OP(insn->entry));
		return dispatch(e);
	}

	/* MOV with a memory operand */
	form = insn->entry & EMU_F_MASK;
	r = emu_operand_inline(e, emu_ea(e), size, form != EMU_F_GE, &m);
	if (unlikely(r))
		return r;
	if (form == EMU_F_GE) {
		r = emu_read(e, &m, &val, size, 0);
		if (r)
			return r;
		emu_reg_write(e, insn->reg, val, size);
	} else {
		val = form == EMU_F_EG ? emu_reg_read(e, insn->reg, size) : insn->imm;
		r = emu_write(e, &m, val, size);
		if (r)
			return r;
	}
	return emu_finish(e);
}

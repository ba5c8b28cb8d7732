// SPDX-License-Identifier: GPL-2.0-only
/*
 * From bytes to a decoded instruction.
 *
 * decode() reads on without looking at the end of its bytes: it is only called
 * when whatever it may touch is there. With 15 bytes at hand and few prefixes that
 * is so for the caller's own buffer; anything else is copied to a padded
 * one first, and if the instruction turns out to reach into the padding, the
 * answer is VIREO_EMU_MORE. This keeps bound checks out of the common path.
 */
#include "internal.h"

/* decode() might run past the end of its buffer: call it with a padded one. */
#define NEED_PADDING		64

/*
 * Without padding: what follows the prefixes is at most 14 bytes with XOP, and 12
 * otherwise (0F and opcode, ModRM, SIB, 4 of displacement, 4 of immediate).
 */
#define PREFIXES_UNPADDED	3
#define PREFIXES_UNPADDED_VEX	1

static __always_inline u16 get16(const u8 *p)
{
	u16 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static __always_inline u32 get32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static __always_inline u64 get64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* 16-bit addressing: base and index by ModRM.rm */
static const u8 base16[8] = {
	VIREO_EMU_RBX, VIREO_EMU_RBX, VIREO_EMU_RBP, VIREO_EMU_RBP,
	VIREO_EMU_RSI, VIREO_EMU_RDI, VIREO_EMU_RBP, VIREO_EMU_RBX,
};

static const u8 index16[8] = {
	VIREO_EMU_RSI, VIREO_EMU_RDI, VIREO_EMU_RSI, VIREO_EMU_RDI,
	VIREO_EMU_NOREG, VIREO_EMU_NOREG, VIREO_EMU_NOREG, VIREO_EMU_NOREG,
};

static const u8 *decode_address16(struct vireo_emu_insn *insn, const u8 *p)
{
	u32 mod = insn->modrm >> 6, rm = insn->modrm & 7;

	insn->base = base16[rm];
	insn->index = index16[rm];
	if (mod == 0 && rm == 6) {
		insn->base = VIREO_EMU_NOREG;
		insn->disp = (s64)(s16)get16(p);
		p += 2;
	} else if (mod == 1) {
		insn->disp = (s64)(s8)*p++;
	} else if (mod == 2) {
		insn->disp = (s64)(s16)get16(p);
		p += 2;
	}
	if (insn->base == VIREO_EMU_RBP && !(insn->prefix & VIREO_EMU_PFX_SEG))
		insn->seg = VIREO_EMU_SS;
	return p;
}

static __always_inline const u8 *decode_address(struct vireo_emu_insn *insn, const u8 *p)
{
	u32 mod = insn->modrm >> 6, base = insn->modrm & 7;

	if (unlikely(insn->ad_size == 2))
		return decode_address16(insn, p);

	if (base == 4) {
		u32 sib = *p++, index;

		index = ((sib >> 3) & 7) | (insn->rex & 2) << 2;
		if (index != 4) {
			insn->index = index;
			insn->scale = sib >> 6;
		}
		base = sib & 7;
		if (base == 5 && mod == 0) {
			insn->disp = (s64)(s32)get32(p);
			return p + 4;
		}
	} else if (base == 5 && mod == 0) {
		if (insn->mode == VIREO_EMU_PROT64)
			insn->base = VIREO_EMU_RIPREG;
		insn->disp = (s64)(s32)get32(p);
		return p + 4;
	}
	base |= (insn->rex & 1) << 3;
	insn->base = base;
	if ((base == VIREO_EMU_RSP || base == VIREO_EMU_RBP) &&
	    !(insn->prefix & VIREO_EMU_PFX_SEG))
		insn->seg = VIREO_EMU_SS;
	if (mod == 1) {
		insn->disp = (s64)(s8)*p;
		p++;
	} else if (mod == 2) {
		insn->disp = (s64)(s32)get32(p);
		p += 4;
	}
	return p;
}

/*
 * VEX, EVEX and XOP. *pp points behind the first byte, and in the end behind the
 * opcode. Returns the row, 0 if undefined. Except for the plain moves, rows of the
 * legacy maps only tell the length.
 */
static noinline u32 decode_vex(struct vireo_emu_insn *insn, const u8 **pp, u32 esc)
{
	static const u8 prefix[4] = {
		0, VIREO_EMU_PFX_OPSIZE, VIREO_EMU_PFX_REPE, VIREO_EMU_PFX_REPNE,
	};
	const u8 *p = *pp;
	u32 b1, b2, ent, op;

	*pp = p + 1;
	if (insn->mode < VIREO_EMU_PROT16)
		return OP_UD;
	if (insn->prefix & (VIREO_EMU_PFX_OPSIZE | VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE |
			    VIREO_EMU_PFX_LOCK | VIREO_EMU_PFX_REX))
		return OP_UD;

	b1 = *p++;
	if (esc == ESC_VEX2) {
		insn->vex = VIREO_EMU_VEX_VEX;
		insn->map = VIREO_EMU_MAP_0F;
		b2 = b1 & 0x7f;
		b1 |= 0x60;
	} else {
		b2 = *p++;
		insn->vex = esc == ESC_XOP ? VIREO_EMU_VEX_XOP : VIREO_EMU_VEX_VEX;
		insn->map = b1 & 0x1f;
	}
	insn->vlen = (b2 >> 2) & 1;
	insn->vvvv = (~b2 >> 3) & 15;
	if (esc == ESC_EVEX) {
		u32 b3 = *p++;

		*pp = p;
		if ((b1 & 8) || !(b2 & 4))
			return OP_UD;
		insn->vex = VIREO_EMU_VEX_EVEX;
		insn->map = b1 & 7;
		insn->vlen = (b3 >> 5) & 3;
	}
	insn->prefix |= prefix[b2 & 3];
	insn->rex = (b2 >> 4) & 8;
	if (insn->mode == VIREO_EMU_PROT64)
		insn->rex |= (~b1 >> 5) & 7;
	insn->opcode = *p++;
	*pp = p;

	switch (insn->map) {
	case 1:
		if (insn->vex == VIREO_EMU_VEX_XOP ||
		    !(emu_vex_0f[insn->opcode >> 5] >> (insn->opcode & 31) & 1))
			return OP_UD;
		ent = emu_map_0f[insn->opcode];
		break;
	case 2:
		if (insn->vex == VIREO_EMU_VEX_XOP)
			return OP_UD;
		if (insn->vex == VIREO_EMU_VEX_VEX &&
		    (insn->opcode == 0xf2 || insn->opcode == 0xf3 ||
		     (insn->opcode >= 0xf5 && insn->opcode <= 0xf7)))
			return OP_BMI | EMU_MODRM;
		ent = emu_map_0f38[insn->opcode];
		break;
	case 3:
		if (insn->vex == VIREO_EMU_VEX_XOP)
			return OP_UD;
		if (insn->vex == VIREO_EMU_VEX_VEX && insn->opcode == 0xf0)
			return OP_BMI | EMU_MODRM | EMU_I_B;
		return OP_NONE | EMU_MODRM | EMU_I_B;
	case 5:
	case 6:
		if (insn->vex != VIREO_EMU_VEX_EVEX)
			return OP_UD;
		return OP_NONE | EMU_MODRM;
	case 8:
		if (insn->vex != VIREO_EMU_VEX_XOP)
			return OP_UD;
		return OP_NONE | EMU_MODRM | EMU_I_B;
	case 9:
		if (insn->vex != VIREO_EMU_VEX_XOP)
			return OP_UD;
		return OP_NONE | EMU_MODRM;
	case 10:
		if (insn->vex != VIREO_EMU_VEX_XOP)
			return OP_UD;
		return OP_NONE | EMU_MODRM | EMU_I_Z;
	default:
		return OP_UD;
	}

	op = EMU_OP(ent);
	if (!(ent & EMU_GROUP) && op >= OP_MOVUPS && op <= OP_LDDQU &&
	    insn->vex == VIREO_EMU_VEX_VEX)
		return ent;
	ent &= EMU_I_MASK;
	if (insn->map != 1 || insn->opcode != 0x77 || insn->vex != VIREO_EMU_VEX_VEX)
		ent |= EMU_MODRM;
	return ent | OP_NONE;
}

/* The opcodes whose meaning hangs on more than ModRM and the mandatory prefix. */
static u32 decode_special(struct vireo_emu_insn *insn, u32 ent, u32 features)
{
	u32 prefix = insn->prefix, mem = insn->modrm < 0xc0;

	switch (EMU_OP(ent)) {
	case OP_MOVSXD:
		/* 63 is MOVSXD in 64-bit mode, ARPL elsewhere */
		if (insn->mode == VIREO_EMU_PROT64)
			return ent;
		return OP_ARPL | EMU_F_EG | EMU_MODRM | EMU_PROT | EMU_WR;
	case OP_NOP:
		/* 0F 0D, PREFETCH: with a register a NOP of Intel's, undefined at AMD */
		return !mem && (features & VIREO_EMU_F_AMD) ? OP_UD : ent;
	case OP_NOP90:
		if (insn->rex & 1)
			return OP_XCHG | EMU_F_O;
		return ent;
	case OP_MOV_TO_SEG:
	case OP_MOV_FROM_SEG:
		/* REX.R does not reach segment registers. */
		insn->reg &= 7;
		if (EMU_OP(ent) == OP_MOV_TO_SEG && insn->reg == VIREO_EMU_CS)
			return OP_UD;
		return insn->reg < VIREO_EMU_NR_DATA_SEGS ? ent : OP_UD;
	case OP_MOV_FROM_CR:
	case OP_MOV_TO_CR:
		return insn->reg < 16 && (0x11d >> insn->reg & 1) ? ent : OP_UD;
	case OP_MOV_FROM_DR:
	case OP_MOV_TO_DR:
		return insn->reg < 8 ? ent : OP_UD;
	case OP_XBEGIN:
		/* C6 F8, C7 F8: XABORT, XBEGIN */
		return insn->modrm == 0xf8 ? (OP_NONE | (ent & EMU_I_MASK)) : OP_UD;
	case OP_EXTRQ:
		/* SSE4a shares 0F 78 and 0F 79 with VMREAD and VMWRITE */
		if (prefix & VIREO_EMU_PFX_REPE)
			return OP_UD;
		if (prefix & (VIREO_EMU_PFX_OPSIZE | VIREO_EMU_PFX_REPNE)) {
			if (mem)
				return OP_UD;
			if (insn->opcode == 0x78 && !(prefix & VIREO_EMU_PFX_REPNE) &&
			    (insn->reg & 7))
				return OP_UD;
			return OP_NONE | (insn->opcode == 0x78 ? EMU_I_W : 0);
		}
		return OP_NONE | EMU_PROT;
	case OP_MOVQ_ST:
		/* MOVQ2DQ, MOVDQ2Q */
		if (prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE))
			return mem || insn->vex ? OP_UD : OP_NONE;
		return ent;
	case OP_MOVBE:
		if (prefix & VIREO_EMU_PFX_REPNE)
			return OP_CRC32 | EMU_F_GE | EMU_MODRM |
			       (insn->opcode == 0xf0 ? EMU_BYTE : 0);
		return mem && !(prefix & VIREO_EMU_PFX_REPE) ? ent : OP_UD;
	case OP_FENCE:
		if (mem)
			return ent;
		/* INCSSP, TPAUSE and the like; the row says which exist */
		if (prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE | VIREO_EMU_PFX_OPSIZE))
			return (ent & ~0xffu) | OP_NONE;
		return ent;
	case OP_MOVLPS:
	case OP_MOVHPS:
		/* MOVLPD and MOVHPD have no register form. */
		return !mem && (prefix & VIREO_EMU_PFX_OPSIZE) &&
		       !(prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE)) ? OP_UD : ent;
	case OP_NONE:
		/* 0F 38 D8, DC-DF: key locker is memory only; F6: WRSS, ADCX, ADOX */
		if (insn->opcode == 0xf6)
			return prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_OPSIZE) || mem ?
			       ent : OP_UD;
		return prefix & VIREO_EMU_PFX_REPE && !mem && insn->opcode != 0xdc ? OP_UD : ent;
	case OP_UD:
		/* 0F 01 with a register */
		return emu_0f01[insn->modrm & 0x3f];
	}
	return ent;
}

/* Conditions that few opcodes have. */
static bool valid(const struct vireo_emu_insn *insn, u32 ent)
{
	u32 p = EMU_P_NP;

	if (!EMU_OP(ent))
		return false;
	if ((ent & EMU_PROT) && insn->mode < VIREO_EMU_PROT16)
		return false;
	if ((ent & EMU_ONLY64) && insn->mode != VIREO_EMU_PROT64)
		return false;
	if ((insn->prefix & VIREO_EMU_PFX_LOCK) && (!(ent & EMU_LOCK) || insn->modrm >= 0xc0))
		return false;
	if (!(ent & EMU_P_MASK))
		return true;
	if (insn->prefix & VIREO_EMU_PFX_REPE)
		p = EMU_P_F3;
	else if (insn->prefix & VIREO_EMU_PFX_REPNE)
		p = EMU_P_F2;
	else if (insn->prefix & VIREO_EMU_PFX_OPSIZE)
		p = EMU_P_66;
	return ent & p;
}

static __always_inline const u8 *decode_imm(struct vireo_emu_insn *insn, const u8 *p, u32 kind)
{
	switch (kind) {
	case EMU_I_B:
		insn->imm = (s64)(s8)*p++;
		break;
	case EMU_I_W:
		insn->imm = get16(p);
		p += 2;
		break;
	case EMU_I_V:
		if (insn->op_size == 8) {
			insn->imm = get64(p);
			p += 8;
			break;
		}
		fallthrough;
	case EMU_I_Z:
	case EMU_I_FAR:
		if (insn->op_size == 2) {
			insn->imm = (s64)(s16)get16(p);
			p += 2;
		} else {
			insn->imm = (s64)(s32)get32(p);
			p += 4;
		}
		if (kind == EMU_I_FAR) {
			insn->imm &= emu_mask(insn->op_size);
			insn->sel = get16(p);
			p += 2;
		}
		break;
	case EMU_I_MOFFS:
		if (insn->ad_size == 2)
			insn->disp = get16(p);
		else if (insn->ad_size == 4)
			insn->disp = get32(p);
		else
			insn->disp = get64(p);
		p += insn->ad_size;
		break;
	case EMU_I_WB:
		insn->imm = get16(p);
		insn->sel = p[2];
		p += 3;
		break;
	}
	return p;
}

/*
 * Decode at @bytes. Returns 0, a vector, or NEED_PADDING; in all cases insn->len
 * says how many bytes have been looked at.
 */
static int decode(struct vireo_emu_insn *insn, u32 mode, u32 features, const u8 *bytes,
		  u32 max_prefixes)
{
	const u8 *p = bytes;
	u32 ent, opcode, op_size, prefix = 0, rex = 0;

	insn->mode = mode;
	insn->map = VIREO_EMU_MAP_1B;
	insn->modrm = 0;
	insn->reg = 0;
	insn->base = VIREO_EMU_NOREG;
	insn->index = VIREO_EMU_NOREG;
	insn->scale = 0;
	insn->seg = VIREO_EMU_DS;
	insn->vex = 0;
	insn->vlen = 0;
	insn->disp = 0;
	if (likely(mode == VIREO_EMU_PROT64)) {
		op_size = 4;
		insn->ad_size = 8;
	} else {
		op_size = mode == VIREO_EMU_PROT32 || mode == VIREO_EMU_REAL32 ? 4 : 2;
		insn->ad_size = op_size;
	}

	for (;;) {
		opcode = *p++;
		ent = emu_map_1b[opcode];
		if (likely(!(ent & (EMU_PREFIX | EMU_NO64))))
			break;
		if (ent & EMU_NO64) {
			if (mode != VIREO_EMU_PROT64)
				break;
			if ((opcode & 0xf0) != 0x40)
				goto undefined;
			rex = opcode;
			prefix |= VIREO_EMU_PFX_REX;
		} else {
			u32 x = EMU_OP(ent);

			if (x <= ESC_XOP)
				break;
			/* A REX that does not come last is ignored. */
			rex = 0;
			prefix &= ~VIREO_EMU_PFX_REX;
			switch (x) {
			case PFX_OPSIZE:
				prefix |= VIREO_EMU_PFX_OPSIZE;
				break;
			case PFX_ADSIZE:
				prefix |= VIREO_EMU_PFX_ADSIZE;
				break;
			case PFX_LOCK:
				prefix |= VIREO_EMU_PFX_LOCK;
				break;
			case PFX_REPE:
				prefix |= VIREO_EMU_PFX_REPE;
				prefix &= ~VIREO_EMU_PFX_REPNE;
				break;
			case PFX_REPNE:
				prefix |= VIREO_EMU_PFX_REPNE;
				prefix &= ~VIREO_EMU_PFX_REPE;
				break;
			default:
				x -= PFX_SEG_ES;
				if (mode != VIREO_EMU_PROT64 || x >= VIREO_EMU_FS) {
					prefix |= VIREO_EMU_PFX_SEG;
					insn->seg = x;
				}
			}
		}
		if (p - bytes > (long)max_prefixes) {
			insn->len = p - bytes;
			return NEED_PADDING;
		}
	}

	insn->prefix = prefix;
	insn->rex = rex;
	insn->opcode = opcode;
	if (unlikely(prefix & VIREO_EMU_PFX_ADSIZE))
		insn->ad_size = insn->ad_size == 4 ? 2 : 4;

	if (ent & EMU_PREFIX) {
		u32 esc = EMU_OP(ent);

		if (likely(esc == ESC_0F)) {
			opcode = *p++;
			insn->map = VIREO_EMU_MAP_0F;
			ent = emu_map_0f[opcode];
			if (unlikely(ent & EMU_PREFIX)) {
				opcode = *p++;
				if (EMU_OP(ent) == ESC_0F38) {
					insn->map = VIREO_EMU_MAP_0F38;
					ent = emu_map_0f38[opcode];
				} else {
					insn->map = VIREO_EMU_MAP_0F3A;
					ent = emu_map_0f3a[opcode];
				}
			}
			insn->opcode = opcode;
		} else if (esc == ESC_XOP && (*p & 0x1f) < 8) {
			ent = GRP_1A | EMU_GROUP | EMU_MODRM;
		} else if (esc != ESC_XOP && mode != VIREO_EMU_PROT64 && *p < 0xc0) {
			if (esc == ESC_EVEX)
				ent = OP_BOUND | EMU_F_GE | EMU_MODRM | EMU_MEM;
			else
				ent = OP_LDS | EMU_F_GE | EMU_MODRM | EMU_MEM;
		} else {
			if (p - bytes > PREFIXES_UNPADDED_VEX + 1 &&
			    max_prefixes == PREFIXES_UNPADDED)
				return NEED_PADDING;
			ent = decode_vex(insn, &p, esc);
			rex = insn->rex;
			prefix = insn->prefix;
			op_size = 4;
		}
	}

	if (unlikely(!ent))
		goto undefined;

	if (ent & EMU_MODRM) {
		u32 modrm = *p++;

		insn->modrm = modrm;
		if (ent & EMU_GROUP) {
			u32 row = emu_groups[EMU_OP(ent)][(modrm >> 3 & 7) + (modrm >= 0xc0 ? 8 : 0)];

			if (unlikely(!row))
				goto undefined;
			ent = (ent & ~(0xffu | EMU_GROUP)) | row;
		}
		/* ModRM.mod of MOV CR and MOV DR is ignored: always a register. */
		if (unlikely(ent & EMU_ESC) && EMU_OP(ent) >= OP_MOV_FROM_CR &&
		    EMU_OP(ent) <= OP_MOV_TO_DR)
			insn->modrm = modrm |= 0xc0;
		insn->reg = (modrm >> 3 & 7) | (rex & 4) << 1;
		if (modrm >= 0xc0) {
			insn->rm = (modrm & 7) | (rex & 1) << 3;
			if (unlikely(ent & EMU_MEM))
				goto undefined;
		} else {
			if (unlikely(ent & EMU_REG))
				goto undefined;
			p = decode_address(insn, p);
		}
	} else {
		insn->rm = (opcode & 7) | (rex & 1) << 3;
	}

	if (unlikely(ent & (EMU_ESC | EMU_PROT | EMU_ONLY64 | EMU_P_MASK)) ||
	    unlikely(prefix & VIREO_EMU_PFX_LOCK)) {
		if (ent & EMU_ESC)
			ent = decode_special(insn, ent, features);
		if (!valid(insn, ent))
			goto undefined;
	}
	insn->entry = ent;

	/* Operand size: needed for the immediate. */
	if (ent & EMU_BYTE) {
		insn->op_size = 1;
	} else {
		if (prefix & VIREO_EMU_PFX_OPSIZE && !insn->vex)
			op_size ^= 6;
		if (mode == VIREO_EMU_PROT64) {
			if (rex & 8)
				op_size = 8;
			else if (ent & EMU_D64)
				op_size = op_size == 2 ? 2 : 8;
			if (ent & EMU_F64)
				op_size = (features & VIREO_EMU_F_AMD) && op_size == 2 ? 2 : 8;
		}
		insn->op_size = op_size;
	}

	if (ent & EMU_I_MASK)
		p = decode_imm(insn, p, ent & EMU_I_MASK);

	insn->len = p - bytes;
	if (unlikely(insn->len > VIREO_EMU_MAX_INSN))
		return EXC_GP;
	return 0;

undefined:
	insn->len = p - bytes;
	return EXC_UD;
}

/* The bytes may end before the instruction, or are many prefixes. */
static noinline int decode_padded(struct vireo_emu_insn *insn, u32 mode, u32 features,
				  const u8 *bytes, u32 len)
{
	u8 buf[VIREO_EMU_MAX_INSN + 17];
	int r;

	if (len > VIREO_EMU_MAX_INSN)
		len = VIREO_EMU_MAX_INSN;
	memset(buf, 0, sizeof(buf));
	memcpy(buf, bytes, len);
	r = decode(insn, mode, features, buf, VIREO_EMU_MAX_INSN - 1);
	/* Nothing that was seen beyond the end counts, whatever it looked like. */
	if (insn->len > len)
		return len < VIREO_EMU_MAX_INSN ? -VIREO_EMU_MORE : EXC_GP;
	return r == NEED_PADDING ? EXC_GP : r;
}

int vireo_emu_insn_decode(struct vireo_emu_insn *insn, u32 mode, u32 features,
			  const u8 *bytes, u32 len)
{
	if (likely(len >= VIREO_EMU_MAX_INSN)) {
		int r = decode(insn, mode, features, bytes, PREFIXES_UNPADDED);

		if (likely(r != NEED_PADDING))
			return r;
	}
	return decode_padded(insn, mode, features, bytes, len);
}

int vireo_emu_decode(struct vireo_emu *e, const u8 *bytes, u32 len)
{
	int r;

	vireo_emu_decoded(e);
	r = vireo_emu_insn_decode(&e->insn, e->mode, e->features, bytes, len);
	if (likely(!r))
		return VIREO_EMU_OK;
	if (r == -VIREO_EMU_MORE)
		return VIREO_EMU_MORE;
	if (r == EXC_GP)
		return vireo_emu_fault(e, EXC_GP, 0);
	return vireo_emu_trap(e, r);
}

bool vireo_emu_insn_writes(const struct vireo_emu_insn *insn)
{
	u32 ent = insn->entry;

	/* F3 0F 7E alone loads: MOVQ xmm, m64 */
	if (EMU_OP(ent) == OP_MOVD_ST && (insn->prefix & VIREO_EMU_PFX_REPE))
		return false;
	return (ent & EMU_WR) && (insn->modrm < 0xc0 || !(ent & EMU_MODRM));
}

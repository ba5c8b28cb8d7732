// SPDX-License-Identifier: GPL-2.0-only
/*
 * The opcode maps.
 *
 * From the opcode maps of the Intel SDM (volume 2, appendix A) and the AMD APM
 * (volume 3, appendix A). A row that is not listed is an undefined opcode, and so
 * are UD0, UD1 and UD2, which are defined to be that. The tests compile this file
 * with -Werror=override-init, so none is listed twice.
 * EMU_P_* on a row means that the prefixes 66, F3, F2 select the instruction and
 * combinations that are not named are undefined; rows without it ignore them.
 */
#include "internal.h"

#define R(op)		(OP_##op)
#define EG		(EMU_F_EG | EMU_MODRM)
#define GE		(EMU_F_GE | EMU_MODRM)
#define EI		(EMU_F_EI | EMU_MODRM)
#define AI		EMU_F_AI
#define E1		(EMU_F_E | EMU_MODRM)
#define O1		EMU_F_O
#define OI		EMU_F_OI
#define M		EMU_MODRM
#define IB		EMU_I_B
#define IW		EMU_I_W
#define IZ		EMU_I_Z
#define IV		EMU_I_V
#define BYTE		EMU_BYTE
#define LOCK		EMU_LOCK
#define NO64		EMU_NO64
#define D64		EMU_D64
#define F64		EMU_F64
#define MEM		EMU_MEM
#define REG		EMU_REG
#define WR		EMU_WR
#define ESC		EMU_ESC
#define PROT		EMU_PROT
#define ONLY64		EMU_ONLY64
#define NP		EMU_P_NP
#define P66		EMU_P_66
#define PF3		EMU_P_F3
#define PF2		EMU_P_F2
#define N6		EMU_P_N6
#define N63		EMU_P_N63
#define ALL		EMU_P_ALL
#define NONE		(OP_NONE | EMU_MODRM)
#define GRP(g)		(GRP_##g | EMU_GROUP | EMU_MODRM)
#define PFX(p)		(PFX_##p | EMU_PREFIX)
#define ESCAPE(x)	(ESC_##x | EMU_PREFIX)

/* The six forms of an arithmetic instruction. CMP neither writes nor locks. */
#define ALU(n, op, f)						\
	[(n) + 0] = R(op) | EG | BYTE | (f),			\
	[(n) + 1] = R(op) | EG | (f),				\
	[(n) + 2] = R(op) | GE | BYTE,				\
	[(n) + 3] = R(op) | GE,					\
	[(n) + 4] = R(op) | AI | BYTE | IB,			\
	[(n) + 5] = R(op) | AI | IZ

const u32 emu_map_1b[256] = {
	ALU(0x00, ADD, LOCK | WR),
	ALU(0x08, OR, LOCK | WR),
	ALU(0x10, ADC, LOCK | WR),
	ALU(0x18, SBB, LOCK | WR),
	ALU(0x20, AND, LOCK | WR),
	ALU(0x28, SUB, LOCK | WR),
	ALU(0x30, XOR, LOCK | WR),
	ALU(0x38, CMP, 0),
	[0x06] = R(PUSH_SEG) | NO64,
	[0x07] = R(POP_SEG) | NO64,
	[0x0e] = R(PUSH_SEG) | NO64,
	[0x0f] = ESCAPE(0F),
	[0x16] = R(PUSH_SEG) | NO64,
	[0x17] = R(POP_SEG) | NO64,
	[0x1e] = R(PUSH_SEG) | NO64,
	[0x1f] = R(POP_SEG) | NO64,
	[0x26] = PFX(SEG_ES),
	[0x27] = R(DAA) | NO64,
	[0x2e] = (PFX_SEG_ES + VIREO_EMU_CS) | EMU_PREFIX,
	[0x2f] = R(DAS) | NO64,
	[0x36] = (PFX_SEG_ES + VIREO_EMU_SS) | EMU_PREFIX,
	[0x37] = R(AAA) | NO64,
	[0x3e] = (PFX_SEG_ES + VIREO_EMU_DS) | EMU_PREFIX,
	[0x3f] = R(AAS) | NO64,
	/* REX in 64-bit mode */
	[0x40 ... 0x47] = R(INC) | O1 | NO64,
	[0x48 ... 0x4f] = R(DEC) | O1 | NO64,
	[0x50 ... 0x57] = R(PUSH) | O1 | D64,
	[0x58 ... 0x5f] = R(POP) | O1 | D64,
	[0x60] = R(PUSHA) | NO64,
	[0x61] = R(POPA) | NO64,
	[0x62] = ESCAPE(EVEX),
	[0x63] = R(MOVSXD) | GE | ESC,
	[0x64] = (PFX_SEG_ES + VIREO_EMU_FS) | EMU_PREFIX,
	[0x65] = (PFX_SEG_ES + VIREO_EMU_GS) | EMU_PREFIX,
	[0x66] = PFX(OPSIZE),
	[0x67] = PFX(ADSIZE),
	[0x68] = R(PUSH_IMM) | IZ | D64,
	[0x69] = R(IMUL3) | GE | IZ,
	[0x6a] = R(PUSH_IMM) | IB | D64,
	[0x6b] = R(IMUL3) | GE | IB,
	[0x6c] = R(INS) | BYTE | WR,
	[0x6d] = R(INS) | WR,
	[0x6e] = R(OUTS) | BYTE,
	[0x6f] = R(OUTS),
	[0x70 ... 0x7f] = R(JCC) | IB | F64,
	[0x80] = GRP(1) | IB | BYTE,
	[0x81] = GRP(1) | IZ,
	[0x82] = GRP(1) | IB | BYTE | NO64,
	[0x83] = GRP(1) | IB,
	[0x84] = R(TEST) | EG | BYTE,
	[0x85] = R(TEST) | EG,
	[0x86] = R(XCHG) | EG | BYTE | LOCK | WR,
	[0x87] = R(XCHG) | EG | LOCK | WR,
	[0x88] = R(MOV) | EG | BYTE | WR,
	[0x89] = R(MOV) | EG | WR,
	[0x8a] = R(MOV) | GE | BYTE,
	[0x8b] = R(MOV) | GE,
	[0x8c] = R(MOV_FROM_SEG) | E1 | WR | ESC,
	[0x8d] = R(LEA) | GE | MEM,
	[0x8e] = R(MOV_TO_SEG) | E1 | ESC,
	[0x8f] = ESCAPE(XOP),
	[0x90] = R(NOP90) | O1 | ESC,
	[0x91 ... 0x97] = R(XCHG) | O1,
	[0x98] = R(CBW),
	[0x99] = R(CWD),
	[0x9a] = R(CALL_FAR) | EMU_I_FAR | NO64,
	[0x9b] = R(NONE),
	[0x9c] = R(PUSHF) | D64,
	[0x9d] = R(POPF) | D64,
	[0x9e] = R(SAHF),
	[0x9f] = R(LAHF),
	[0xa0] = R(MOV_MOFFS) | EMU_I_MOFFS | BYTE,
	[0xa1] = R(MOV_MOFFS) | EMU_I_MOFFS,
	[0xa2] = R(MOV_MOFFS) | EMU_I_MOFFS | BYTE | WR,
	[0xa3] = R(MOV_MOFFS) | EMU_I_MOFFS | WR,
	[0xa4] = R(MOVS) | BYTE | WR,
	[0xa5] = R(MOVS) | WR,
	[0xa6] = R(CMPS) | BYTE,
	[0xa7] = R(CMPS),
	[0xa8] = R(TEST) | AI | BYTE | IB,
	[0xa9] = R(TEST) | AI | IZ,
	[0xaa] = R(STOS) | BYTE | WR,
	[0xab] = R(STOS) | WR,
	[0xac] = R(LODS) | BYTE,
	[0xad] = R(LODS),
	[0xae] = R(SCAS) | BYTE,
	[0xaf] = R(SCAS),
	[0xb0 ... 0xb7] = R(MOV) | OI | BYTE | IB,
	[0xb8 ... 0xbf] = R(MOV) | OI | IV,
	[0xc0] = GRP(2) | IB | BYTE,
	[0xc1] = GRP(2) | IB,
	[0xc2] = R(RET) | IW | F64,
	[0xc3] = R(RET) | F64,
	[0xc4] = ESCAPE(VEX3),
	[0xc5] = ESCAPE(VEX2),
	[0xc6] = GRP(11) | IB | BYTE,
	[0xc7] = GRP(11) | IZ,
	[0xc8] = R(ENTER) | EMU_I_WB | D64,
	[0xc9] = R(LEAVE) | D64,
	[0xca] = R(RET_FAR) | IW,
	[0xcb] = R(RET_FAR),
	[0xcc] = R(INT3),
	[0xcd] = R(INT) | IB,
	[0xce] = R(INTO) | NO64,
	[0xcf] = R(IRET),
	[0xd0] = GRP(2) | BYTE,
	[0xd1] = GRP(2),
	[0xd2] = GRP(2) | BYTE,
	[0xd3] = GRP(2),
	[0xd4] = R(AAM) | IB | NO64,
	[0xd5] = R(AAD) | IB | NO64,
	[0xd6] = R(SALC) | NO64,
	[0xd7] = R(XLAT),
	[0xd8 ... 0xdf] = NONE,
	[0xe0 ... 0xe2] = R(LOOP) | IB | F64,
	[0xe3] = R(JCXZ) | IB | F64,
	[0xe4] = R(IN_IMM) | IB | BYTE,
	[0xe5] = R(IN_IMM) | IB,
	[0xe6] = R(OUT_IMM) | IB | BYTE,
	[0xe7] = R(OUT_IMM) | IB,
	[0xe8] = R(CALL) | IZ | F64,
	[0xe9] = R(JMP) | IZ | F64,
	[0xea] = R(JMP_FAR) | EMU_I_FAR | NO64,
	[0xeb] = R(JMP) | IB | F64,
	[0xec] = R(IN_DX) | BYTE,
	[0xed] = R(IN_DX),
	[0xee] = R(OUT_DX) | BYTE,
	[0xef] = R(OUT_DX),
	[0xf0] = PFX(LOCK),
	[0xf1] = R(INT1),
	[0xf2] = PFX(REPNE),
	[0xf3] = PFX(REPE),
	[0xf4] = R(HLT),
	[0xf5] = R(CMC),
	[0xf6] = GRP(3B) | BYTE,
	[0xf7] = GRP(3V),
	[0xf8] = R(CLC),
	[0xf9] = R(STC),
	[0xfa] = R(CLI),
	[0xfb] = R(STI),
	[0xfc] = R(CLD),
	[0xfd] = R(STD),
	[0xfe] = GRP(4) | BYTE,
	[0xff] = GRP(5),
};

const u32 emu_map_0f[256] = {
	[0x00] = GRP(6) | PROT,
	[0x01] = GRP(7),
	[0x02] = R(LAR) | GE | PROT,
	[0x03] = R(LSL) | GE | PROT,
	[0x05] = R(SYSCALL),
	[0x06] = R(CLTS),
	[0x07] = R(SYSRET),
	[0x08] = R(INVD),
	[0x09] = R(WBINVD),
	[0x0d] = R(NOP) | M | ESC,
	[0x0e] = R(NONE),
	[0x0f] = NONE | IB,
	[0x10] = R(MOVUPS) | GE | ALL,
	[0x11] = R(MOVUPS) | EG | ALL | WR,
	[0x12] = R(MOVLPS) | GE | ALL | ESC,
	[0x13] = R(MOVLPS) | EG | N6 | MEM | WR,
	[0x14 ... 0x15] = NONE | N6,
	[0x16] = R(MOVHPS) | GE | N63 | ESC,
	[0x17] = R(MOVHPS) | EG | N6 | MEM | WR,
	[0x18 ... 0x1f] = R(NOP) | M,
	[0x20] = R(MOV_FROM_CR) | M | ESC,
	[0x21] = R(MOV_FROM_DR) | M | ESC,
	[0x22] = R(MOV_TO_CR) | M | ESC,
	[0x23] = R(MOV_TO_DR) | M | ESC,
	[0x28] = R(MOVAPS) | GE | N6,
	[0x29] = R(MOVAPS) | EG | N6 | WR,
	[0x2a] = NONE | ALL,
	/* with F3 and F2: MOVNTSS, MOVNTSD of SSE4a */
	[0x2b] = R(MOVNTPS) | EG | ALL | MEM | WR,
	[0x2c ... 0x2d] = NONE | ALL,
	[0x2e ... 0x2f] = NONE | N6,
	[0x30] = R(WRMSR),
	[0x31] = R(RDTSC),
	[0x32] = R(RDMSR),
	[0x33] = R(RDPMC),
	[0x34] = R(SYSENTER),
	[0x35] = R(SYSEXIT),
	[0x37] = R(NONE) | NP | PROT,
	[0x38] = ESCAPE(0F38),
	[0x3a] = ESCAPE(0F3A),
	[0x40 ... 0x4f] = R(CMOV) | GE,
	[0x50] = NONE | N6 | REG,
	[0x51] = NONE | ALL,
	[0x52 ... 0x53] = NONE | NP | PF3,
	[0x54 ... 0x57] = NONE | N6,
	[0x58 ... 0x5a] = NONE | ALL,
	[0x5b] = NONE | N63,
	[0x5c ... 0x5f] = NONE | ALL,
	[0x60 ... 0x6b] = NONE | N6,
	[0x6c ... 0x6d] = NONE | P66,
	[0x6e] = R(MOVD) | GE | N6,
	[0x6f] = R(MOVDQ) | GE | N63,
	[0x70] = NONE | IB | ALL,
	[0x71] = GRP(12) | IB,
	[0x72] = GRP(13) | IB,
	[0x73] = GRP(14) | IB,
	[0x74 ... 0x76] = NONE | N6,
	[0x77] = R(NONE) | NP,
	[0x78] = R(EXTRQ) | M | NP | P66 | PF2 | ESC,
	[0x79] = R(EXTRQ) | M | NP | P66 | PF2 | ESC,
	[0x7c ... 0x7d] = NONE | P66 | PF2,
	[0x7e] = R(MOVD_ST) | EG | N63 | WR,
	[0x7f] = R(MOVDQ) | EG | N63 | WR,
	[0x80 ... 0x8f] = R(JCC) | IZ | F64,
	[0x90 ... 0x9f] = R(SETCC) | E1 | BYTE | WR,
	[0xa0] = R(PUSH_SEG) | D64,
	[0xa1] = R(POP_SEG) | D64,
	[0xa2] = R(CPUID),
	[0xa3] = R(BT) | EG,
	[0xa4] = R(SHLD) | EG | IB | WR,
	[0xa5] = R(SHLD) | EG | WR,
	[0xa8] = R(PUSH_SEG) | D64,
	[0xa9] = R(POP_SEG) | D64,
	[0xaa] = R(RSM),
	[0xab] = R(BTS) | EG | LOCK | WR,
	[0xac] = R(SHRD) | EG | IB | WR,
	[0xad] = R(SHRD) | EG | WR,
	[0xae] = GRP(15),
	[0xaf] = R(IMUL2) | GE,
	[0xb0] = R(CMPXCHG) | EG | BYTE | LOCK | WR,
	[0xb1] = R(CMPXCHG) | EG | LOCK | WR,
	[0xb2] = R(LDS) | GE | MEM,
	[0xb3] = R(BTR) | EG | LOCK | WR,
	[0xb4] = R(LDS) | GE | MEM,
	[0xb5] = R(LDS) | GE | MEM,
	[0xb6] = R(MOVZX8) | GE,
	[0xb7] = R(MOVZX16) | GE,
	[0xb8] = R(POPCNT) | GE | PF3,
	[0xba] = GRP(8) | IB,
	[0xbb] = R(BTC) | EG | LOCK | WR,
	[0xbc] = R(BSF) | GE,
	[0xbd] = R(BSR) | GE,
	[0xbe] = R(MOVSX8) | GE,
	[0xbf] = R(MOVSX16) | GE,
	[0xc0] = R(XADD) | EG | BYTE | LOCK | WR,
	[0xc1] = R(XADD) | EG | LOCK | WR,
	[0xc2] = NONE | IB | ALL,
	[0xc3] = R(MOVNTI) | EG | NP | MEM | WR,
	[0xc4] = NONE | IB | N6,
	[0xc5] = NONE | IB | N6 | REG,
	[0xc6] = NONE | IB | N6,
	[0xc7] = GRP(9),
	[0xc8 ... 0xcf] = R(BSWAP) | O1,
	[0xd0] = NONE | P66 | PF2,
	[0xd1 ... 0xd3] = NONE | N6,
	[0xd4 ... 0xd5] = NONE | N6,
	[0xd6] = R(MOVQ_ST) | EG | P66 | PF3 | PF2 | WR | ESC,
	[0xd7] = NONE | N6 | REG,
	[0xd8 ... 0xe5] = NONE | N6,
	[0xe6] = NONE | P66 | PF3 | PF2,
	[0xe7] = R(MOVNTDQ) | EG | N6 | MEM | WR,
	[0xe8 ... 0xef] = NONE | N6,
	[0xf0] = R(LDDQU) | GE | PF2 | MEM,
	[0xf1 ... 0xf6] = NONE | N6,
	[0xf7] = NONE | N6 | REG,
	[0xf8 ... 0xfe] = NONE | N6,
};

const u32 emu_map_0f38[256] = {
	[0x00 ... 0x0b] = NONE | N6,
	[0x10] = NONE | P66,
	[0x14 ... 0x15] = NONE | P66,
	[0x17] = NONE | P66,
	[0x1c ... 0x1e] = NONE | N6,
	[0x20 ... 0x25] = NONE | P66,
	[0x28 ... 0x29] = NONE | P66,
	[0x2a] = R(MOVNTDQA) | GE | P66 | MEM,
	[0x2b] = NONE | P66,
	[0x30 ... 0x35] = NONE | P66,
	[0x37 ... 0x41] = NONE | P66,
	[0x80 ... 0x81] = NONE | P66 | MEM | PROT,
	[0x82] = R(INVPCID) | GE | P66 | MEM,
	[0xc8 ... 0xcd] = NONE | NP,
	[0xcf] = NONE | P66,
	[0xd8] = NONE | PF3 | MEM,
	[0xdb] = NONE | P66,
	/* with F3, memory only: AESENC128KL and the like */
	[0xdc ... 0xdf] = NONE | P66 | PF3 | ESC,
	/* with F2: CRC32 */
	[0xf0] = R(MOVBE) | GE | ALL | ESC,
	[0xf1] = R(MOVBE) | EG | ALL | ESC | WR,
	[0xf5] = NONE | P66 | MEM | WR | PROT,
	[0xf6] = NONE | N63 | ESC,
	[0xf8] = NONE | P66 | PF3 | PF2 | MEM,
	[0xf9] = NONE | NP | MEM | WR,
	[0xfa ... 0xfb] = NONE | PF3 | REG,
};

const u32 emu_map_0f3a[256] = {
	[0x08 ... 0x0e] = NONE | IB | P66,
	[0x0f] = NONE | IB | N6,
	[0x14 ... 0x17] = NONE | IB | P66 | WR,
	[0x20 ... 0x22] = NONE | IB | P66,
	[0x40 ... 0x42] = NONE | IB | P66,
	[0x44] = NONE | IB | P66,
	[0x60 ... 0x63] = NONE | IB | P66,
	[0xcc] = NONE | IB | NP,
	[0xce ... 0xcf] = NONE | IB | P66,
	[0xdf] = NONE | IB | P66,
	[0xf0] = NONE | IB | PF3 | REG,
};

#define GRP1(base)							\
	[(base) + 0] = R(ADD) | EI | ((base) ? 0 : LOCK) | WR,		\
	[(base) + 1] = R(OR) | EI | ((base) ? 0 : LOCK) | WR,		\
	[(base) + 2] = R(ADC) | EI | ((base) ? 0 : LOCK) | WR,		\
	[(base) + 3] = R(SBB) | EI | ((base) ? 0 : LOCK) | WR,		\
	[(base) + 4] = R(AND) | EI | ((base) ? 0 : LOCK) | WR,		\
	[(base) + 5] = R(SUB) | EI | ((base) ? 0 : LOCK) | WR,		\
	[(base) + 6] = R(XOR) | EI | ((base) ? 0 : LOCK) | WR,		\
	[(base) + 7] = R(CMP) | EI

#define GRP2(base)							\
	[(base) + 0] = R(ROL) | E1 | WR,				\
	[(base) + 1] = R(ROR) | E1 | WR,				\
	[(base) + 2] = R(RCL) | E1 | WR,				\
	[(base) + 3] = R(RCR) | E1 | WR,				\
	[(base) + 4] = R(SHL) | E1 | WR,				\
	[(base) + 5] = R(SHR) | E1 | WR,				\
	[(base) + 6] = R(SHL2) | E1 | WR,				\
	[(base) + 7] = R(SAR) | E1 | WR

#define GRP3(base, imm)							\
	[(base) + 0] = R(TEST) | EI | (imm),				\
	[(base) + 1] = R(TEST) | EI | (imm),				\
	[(base) + 2] = R(NOT) | E1 | LOCK | WR,				\
	[(base) + 3] = R(NEG) | E1 | LOCK | WR,				\
	[(base) + 4] = R(MUL) | E1,					\
	[(base) + 5] = R(IMUL) | E1,					\
	[(base) + 6] = R(DIV) | E1,					\
	[(base) + 7] = R(IDIV) | E1

/* Memory rows come first, then, from 8, those of the register forms. */
const u32 emu_groups[GRP_COUNT][16] = {
	[GRP_1] = { GRP1(0), GRP1(8) },
	[GRP_1A] = {
		[0] = R(POP) | E1 | D64 | WR,
		[8] = R(POP) | E1 | D64 | WR,
	},
	[GRP_2] = { GRP2(0), GRP2(8) },
	[GRP_3B] = { GRP3(0, IB), GRP3(8, IB) },
	[GRP_3V] = { GRP3(0, IZ), GRP3(8, IZ) },
	[GRP_4] = {
		[0] = R(INC) | E1 | LOCK | WR,
		[1] = R(DEC) | E1 | LOCK | WR,
		[8] = R(INC) | E1,
		[9] = R(DEC) | E1,
	},
	[GRP_5] = {
		[0] = R(INC) | E1 | LOCK | WR,
		[1] = R(DEC) | E1 | LOCK | WR,
		[2] = R(CALL_IND) | E1 | F64,
		[3] = R(CALL_FAR_IND) | E1,
		[4] = R(JMP_IND) | E1 | F64,
		[5] = R(JMP_FAR_IND) | E1,
		[6] = R(PUSH) | E1 | D64,
		[8] = R(INC) | E1,
		[9] = R(DEC) | E1,
		[10] = R(CALL_IND) | E1 | F64,
		[12] = R(JMP_IND) | E1 | F64,
		[14] = R(PUSH) | E1 | D64,
	},
	[GRP_6] = {
		[0] = R(SLDT) | E1 | WR, [1] = R(STR) | E1 | WR,
		[2] = R(LLDT) | E1, [3] = R(LTR) | E1,
		[4] = R(VERR) | E1, [5] = R(VERW) | E1,
		[8] = R(SLDT) | E1, [9] = R(STR) | E1,
		[10] = R(LLDT) | E1, [11] = R(LTR) | E1,
		[12] = R(VERR) | E1, [13] = R(VERW) | E1,
	},
	[GRP_7] = {
		[0] = R(SGDT) | E1 | WR, [1] = R(SIDT) | E1 | WR,
		[2] = R(LGDT) | E1, [3] = R(LIDT) | E1,
		[4] = R(SMSW) | E1 | WR,
		[5] = NONE | PF3 | PROT,		/* RSTORSSP */
		[6] = R(LMSW) | E1,
		[7] = R(INVLPG) | E1,
		/* see emu_0f01 */
		[8 ... 15] = ESC,
	},
	[GRP_8] = {
		[4] = R(BT) | EI, [5] = R(BTS) | EI | LOCK | WR,
		[6] = R(BTR) | EI | LOCK | WR, [7] = R(BTC) | EI | LOCK | WR,
		[12] = R(BT) | EI, [13] = R(BTS) | EI,
		[14] = R(BTR) | EI, [15] = R(BTC) | EI,
	},
	[GRP_9] = {
		[1] = R(CMPXCHG8B) | E1 | LOCK | WR,
		[3] = NONE | NP, [4] = NONE | NP | WR, [5] = NONE | NP | WR,
		[6] = NONE | N63 | PROT, [7] = NONE | NP | WR | PROT,
		[14] = NONE | N63, [15] = NONE | N63,
	},
	[GRP_11] = {
		[0] = R(MOV) | EI | WR,
		[8] = R(MOV) | EI,
		[15] = R(XBEGIN) | EMU_MODRM | ESC,
	},
	/* Vector shifts by an immediate */
	[GRP_12] = { [10] = NONE | N6, [12] = NONE | N6, [14] = NONE | N6 },
	[GRP_13] = { [10] = NONE | N6, [12] = NONE | N6, [14] = NONE | N6 },
	[GRP_14] = {
		[10] = NONE | N6, [11] = NONE | P66,
		[14] = NONE | N6, [15] = NONE | P66,
	},
	[GRP_15] = {
		[0] = NONE | NP | WR,		/* FXSAVE */
		[1] = NONE | NP,		/* FXRSTOR */
		[2] = NONE | NP,		/* LDMXCSR */
		[3] = NONE | NP | WR,		/* STMXCSR */
		[4] = NONE | NP | PF3 | WR,	/* XSAVE, PTWRITE */
		[5] = NONE | NP,		/* XRSTOR */
		[6] = NONE | N63 | WR,		/* XSAVEOPT, CLWB, CLRSSBSY */
		[7] = R(FENCE) | E1 | N6,	/* CLFLUSH, CLFLUSHOPT */
		[8 ... 11] = R(SEGBASE) | E1 | PF3 | ONLY64,	/* RDFSBASE ... WRGSBASE */
		[12] = NONE | PF3,		/* PTWRITE */
		[13] = R(FENCE) | M | NP | PF3 | ESC,	/* LFENCE, INCSSP */
		[14] = R(FENCE) | M | ALL | ESC,	/* MFENCE, WAITPKG */
		[15] = R(FENCE) | M | NP,	/* SFENCE */
	},
};

/* 0F 01 with a register form of ModRM, by its lower six bits */
const u32 emu_0f01[64] = {
	[0x00] = R(NONE) | NP,			/* ENCLV */
	[0x01] = R(HYPERCALL) | NP,		/* VMCALL */
	[0x02 ... 0x04] = R(NONE) | NP,		/* VMLAUNCH, VMRESUME, VMXOFF */
	[0x05] = R(NONE) | NP,			/* PCONFIG */
	[0x08] = R(MONITOR) | NP,
	[0x09] = R(MWAIT) | NP,
	[0x0a] = R(CLAC) | NP,
	[0x0b] = R(STAC) | NP,
	[0x0f] = R(NONE) | NP,			/* ENCLS */
	[0x10] = R(XGETBV) | NP,
	[0x11] = R(XSETBV) | NP,
	[0x14] = R(NONE) | NP,			/* VMFUNC */
	[0x15] = R(NONE) | NP,			/* XEND */
	[0x16] = R(NONE) | NP,			/* XTEST */
	[0x17] = R(NONE) | NP,			/* ENCLU */
	[0x18] = R(NONE) | PROT,		/* VMRUN */
	[0x19] = R(HYPERCALL),			/* VMMCALL */
	[0x1a ... 0x1b] = R(NONE) | PROT,	/* VMLOAD, VMSAVE */
	[0x1c ... 0x1d] = R(NONE),		/* STGI, CLGI */
	[0x1e] = R(NONE) | PROT,		/* SKINIT */
	[0x1f] = R(NONE) | PROT,		/* INVLPGA */
	[0x20 ... 0x27] = R(SMSW) | EMU_F_E,
	[0x28] = R(NONE) | NP | PF3 | PF2,	/* SERIALIZE, SETSSBSY, XSUSLDTRK */
	[0x29] = R(NONE) | PF2,			/* XRESLDTRK */
	[0x2a] = R(NONE) | PF3,			/* SAVEPREVSSP */
	[0x2c ... 0x2d] = R(NONE) | PF3 | ONLY64,	/* UIRET, TESTUI */
	[0x2e ... 0x2f] = R(NONE) | NP | PF3,	/* RDPKRU, WRPKRU; CLUI, STUI */
	[0x30 ... 0x37] = R(LMSW) | EMU_F_E,
	[0x38] = R(SWAPGS) | ONLY64,
	[0x39] = R(RDTSCP),
	[0x3a] = R(NONE) | NP | PF3,		/* MONITORX, MCOMMIT */
	[0x3b] = R(NONE) | NP,			/* MWAITX */
	[0x3c] = R(NONE),			/* CLZERO */
	[0x3d] = R(NONE),			/* RDPRU */
	[0x3e] = R(NONE) | NP | PF3 | PF2,	/* INVLPGB, RMPADJUST, RMPUPDATE */
	[0x3f] = R(NONE) | NP | PF3 | PF2,	/* TLBSYNC, PVALIDATE, PSMASH */
};

#define BITS(lo, hi)	((0xffffffffu >> (31 - ((hi) - (lo)))) << (lo))

/* Opcodes of map 0F that exist with VEX or EVEX */
const u32 emu_vex_0f[8] = {
	[0] = BITS(16, 23),
	[1] = BITS(8, 15),
	[2] = BITS(1, 2) | BITS(4, 7) | BITS(10, 11) | BITS(16, 31),
	[3] = BITS(0, 31),
	[4] = BITS(16, 19) | BITS(24, 25),
	[5] = BITS(14, 14),
	[6] = BITS(2, 2) | BITS(4, 6) | BITS(16, 31),
	[7] = BITS(0, 30),
};

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A whole processor around the interpreter: flat memory, descriptor tables, control
 * registers, MSRs, ports. The machine of machine.h is for single operands; this
 * one is for what changes modes, segments and tables.
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include "../../kmod/emulate/emulate.h"

/** FLAT_MEM - bytes of memory, at linear address 0; beyond it is nothing */
#define FLAT_MEM		0x20000u
#define FLAT_PAGES	(FLAT_MEM / 4096)

/* Where things are. */
#define AT_IVT		0x0000
#define AT_GDT		0x1000
#define GDT_ENTRIES	128
#define AT_LDT		0x1800
#define LDT_ENTRIES	32
#define AT_IDT		0x2000
#define AT_TSS		0x3000	/* the current one; others follow */
#define TSS_SIZE	0x100	/* with a permission bitmap for the first ports */
#define NR_TSS	8
#define AT_STACKS	0x5000
#define AT_CODE	0x8000
#define CODE_SIZE	0x2000
#define AT_DATA	(AT_CODE + CODE_SIZE)

/* Entries of the GDT that are always there; from SEL_RANDOM on they are random. */
enum sys_selector {
	SEL_CODE32	= 0x08,
	SEL_DATA32	= 0x10,
	SEL_CODE16	= 0x18,
	SEL_DATA16	= 0x20,
	SEL_CODE64	= 0x28,
	SEL_DATA64	= 0x30,		/* SYSCALL's and SYSRET's order */
	SEL_USER32	= 0x3b,
	SEL_USERDATA32	= 0x43,
	SEL_USER64	= 0x4b,
	SEL_USER16	= 0x53,
	SEL_USERDATA16	= 0x5b,
	SEL_CODE32_1	= 0x61,
	SEL_DATA32_1	= 0x69,
	SEL_CODE32_2	= 0x72,
	SEL_DATA32_2	= 0x7a,
	SEL_LDT		= 0x80,		/* two slots each */
	SEL_TSS		= 0x90,
	SEL_RANDOM	= 0xa0,
};

enum sys_msr {
	MSR_SYSENTER_CS		= 0x174,
	MSR_SYSENTER_ESP	= 0x175,
	MSR_SYSENTER_EIP	= 0x176,
	MSR_EFER		= 0xc0000080,
	MSR_STAR		= 0xc0000081,
	MSR_LSTAR		= 0xc0000082,
	MSR_CSTAR		= 0xc0000083,
	MSR_FMASK		= 0xc0000084,
	MSR_FS_BASE		= 0xc0000100,
	MSR_GS_BASE		= 0xc0000101,
	MSR_KERNEL_GS_BASE	= 0xc0000102,
};

#define NR_MSRS	11

struct system {
	struct vireo_emu e;
	u64 regs[VIREO_EMU_NR_REGS];
	struct vireo_emu_segment seg[VIREO_EMU_NR_SEGS];
	struct {
		u64 base;
		u16 limit;
	} dt[2];
	u64 cr[9];
	u64 dr[8];
	u64 xcr0;
	u64 msr[NR_MSRS];
	u8 vec[16][64];
	u8 *mem;

	/*
	 * Trouble: the callback that can fail and is number trouble_at, from 1, answers
	 * trouble_result instead of doing its work (USER: a read waits for its
	 * data, a write is not taken). Counts on over restarts of an instruction.
	 */
	u32 calls;
	u32 trouble_at;
	int trouble_result;
	u64 pending_la;
	u32 pending_len;
	bool pending;
	bool pending_port;

	u64 ports;		/* how much was read from ports: what they say depends on it */
	u64 port_sum;		/* checksum of what was written to them */
	u32 writes;		/* to memory that were made */
	u32 sysops;
};

extern const struct vireo_emu_ops system_ops;
extern const u32 sys_msrs[NR_MSRS];

void system_init(struct system *s, u8 *mem, u32 mode, u32 cpl);
void system_tables(u8 *mem);
void system_random_tables(u8 *mem, bool long_mode);
void system_descriptor(u8 *mem, u32 at, u64 base, u32 limit, u32 attr, bool wide);
void system_load_segment(struct system *s, u32 seg, u16 selector);
u16 system_random_selector(void);
u32 system_mode(const struct system *s);
u32 system_cpl(const struct system *s);
u64 *system_msr(struct system *s, u32 nr);
u32 system_port(u16 port, u32 size, u64 count);
int system_finish(struct system *s, int r);
void system_complete(struct system *s);

#endif /* SYSTEM_H */

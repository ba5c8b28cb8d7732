/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine just big enough for the interpreter to run on, and TAP output.
 *
 * Memory is one range of linear addresses, page by page readable, writable, or a
 * device. What the interpreter is promised about its callbacks is asserted here.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "../../kmod/emulate/emulate.h"
#include "random.h"

#define PAGES		8
#define MEM_SIZE	(PAGES * 4096)
#define GPA_OFFSET	0x100000000000ULL

enum page_kind {
	PG_RW,
	PG_RO,
	PG_NONE,
	PG_MMIO,
};

struct posted {
	u64 la;
	u64 data;
	u32 len;
};

#define POSTED_MAX	64

struct machine {
	struct vireo_emu e;
	u64 regs[16];
	u64 mem_base;
	u8 *mem;
	u8 kind[PAGES];
	struct vireo_emu_segment seg[VIREO_EMU_NR_SEGS];
	u64 cr0, cr2, cr3, cr4, cr8, efer, xcr0;
	u64 dr[8];
	u64 dt_base[2];
	u16 dt_limit[2];
	u32 last_sysop;			/* 1 + enum vireo_emu_sysop */
	u64 sysop_arg;
	struct {
		u32 nr;
		u64 val;
	} msr[16];			/* those that exist; nr 0: none */
	u32 cpl;
	u8 vec[16][64];

	/* devices: reads wait for user space if async, writes fill a queue */
	bool async;
	u32 post_room;			/* writes taken before USER; 0: no limit */
	u32 posted_since;
	struct posted posted[POSTED_MAX];
	u32 nr_posted;
	u32 dev_reads;			/* reads that reached the device */
	bool pending;
	u64 pending_la;
	u32 pending_len;
	u32 pending_unit;	/* of a port; 1 for memory */
	u64 pio_seed;
	u32 pio_in_calls, pio_out_calls;
	u8 pio_out[4096];
	u32 pio_out_len;
	u64 pio_pending_len;

	/* what happened, for assertions */
	u32 reads, writes, cmpxchgs, hints, seg_calls;
	u32 cmpxchg_fail;		/* make that many fail first */
	u32 answer_limit;		/* user space answers at most this much at once */
};

extern const struct vireo_emu_ops machine_ops;

void machine_init(struct machine *m, u32 mode);
u8 *machine_at(struct machine *m, u64 la);
u64 *machine_msr(struct machine *m, u32 nr);
int machine_step(struct machine *m, const u8 *bytes, u32 len);
int machine_run(struct machine *m, const u8 *bytes, u32 len);
void machine_answer(struct machine *m);
u8 machine_dev_byte(u64 la);

extern int tap_count, tap_failed;
void tap_ok(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tap_skip(const char *why, const char *name);
int tap_done(void);
void diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* MACHINE_H */

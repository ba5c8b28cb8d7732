/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the interpreter keeps from instruction to instruction while it runs one after another;
 * for interpret.c and the operand callbacks in insn.c.
 */
#ifndef VIREO_INTERPRET_H
#define VIREO_INTERPRET_H

#include <linux/uaccess.h>

#include "core.h"

#define VIREO_TLB_SIZE	128
#define VIREO_TLB_NONE	1ULL		/* no address of a page */

/**
 * struct vireo_tlb_entry - a page that the guest's tables map to memory
 * @page: linear address, or VIREO_TLB_NONE
 * @hva: where it is in the launcher's memory
 */
struct vireo_tlb_entry {
	u64 page;
	unsigned long hva;
};

#define VIREO_DECODED_SIZE	512
#define VIREO_DECODED_NONE	0xff		/* no mode */

/**
 * struct vireo_decoded - an instruction that was decoded before
 * @bytes: what was fetched
 * @mask: which bits of it are the instruction's
 * @insn: what it is
 * @mode: enum vireo_emu_mode it was decoded for, or VIREO_DECODED_NONE
 *
 * Code is fetched each time, so that it may change; the same bytes in the same mode are the same
 * instruction, wherever they are.
 */
struct vireo_decoded {
	u64 bytes[2], mask[2];
	struct vireo_emu_insn insn;
	u8 mode;
};

/**
 * struct vireo_interp - state of the interpreter's loop
 * @active: the loop runs, under vm->srcu: what is cached here may be used
 * @tlb_on: accesses are those that @read and @write are for
 * @reload: the mode, or a segment, has changed
 * @shadow: interrupt shadow, as vireo_backend_get_shadow()
 * @breakpoints: DR7 has some enabled
 * @hits: DR6 bits of data breakpoints that the instruction has met
 * @map_gen: regions that @hva of all entries come from
 * @mode: mode that all entries are for
 * @code: page that RIP is in
 * @seg_valid: which of @seg are there
 * @seg: segment registers
 * @decoded: instructions by where they were
 * @read: pages that supervisor code may read; by low bits of the page number
 * @write: pages that it may write
 *
 * The two tables are to the guest what a processor's TLB is: what drops that drops them.
 */
struct vireo_interp {
	bool active;
	bool tlb_on;
	bool reload;
	u8 shadow;
	bool breakpoints;
	u8 hits;
	u64 map_gen;
	struct vireo_mode mode;
	struct vireo_tlb_entry code;
	u32 seg_valid;
	struct vireo_emu_segment seg[VIREO_SEG_NR];
	struct vireo_decoded decoded[VIREO_DECODED_SIZE];
	struct vireo_tlb_entry read[VIREO_TLB_SIZE], write[VIREO_TLB_SIZE];
};

static inline struct vireo_tlb_entry *vireo_tlb_slot(struct vireo_tlb_entry *table, u64 la)
{
	return &table[la >> PAGE_SHIFT & (VIREO_TLB_SIZE - 1)];
}

/* Is there something to be looked up, or filled in? */
static inline bool vireo_tlb_usable(const struct vireo_vcpu *vcpu)
{
	return vcpu->interp && vcpu->interp->tlb_on;
}

void vireo_interp_flush(struct vireo_vcpu *vcpu);

/* Note data breakpoints on an access. */
void vireo_interp_watch(struct vireo_vcpu *vcpu, u64 la, u32 len, bool write);

#endif /* VIREO_INTERPRET_H */

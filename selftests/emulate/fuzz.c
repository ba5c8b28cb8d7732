// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: instruction bytes and machine state.
 *
 * Beyond what the sanitizers and the machine's own assertions see, it checks that an
 * instruction which was refused, or cannot be handled, has changed nothing, that
 * waiting for user space ends, and that the two paths of MMIO agree.
 */
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"
#include "../../kmod/emulate/internal.h"

#define CHECK(x) do {								\
	if (!(x)) {								\
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);		\
		abort();							\
	}									\
} while (0)

struct input {
	u8 mode;
	u8 features;
	u8 len;
	u8 cpl;
	u8 async;
	u8 room;
	u8 limit;
	u8 fails;
	u8 kinds[PAGES];
	u32 rflags;
	u32 cr4;
	u32 cr0;
	u16 seg_attr[VIREO_EMU_NR_SEGS];
	u16 seg_limit[VIREO_EMU_NR_SEGS];
	u8 seg_flags[VIREO_EMU_NR_SEGS];
	u8 aim;			/* registers that are made addresses */
	u8 offset;
	u8 hint;
	u8 bytes[15];
	u64 regs[16];
} __attribute__((packed));

/* Flags that may be set in a guest's RFLAGS, whatever an instruction does. */
#define FLAGS_ALL	0x3f7fd7u

static struct machine m;
static u8 mem_before[MEM_SIZE], mem_initial[MEM_SIZE];

static void setup(const struct input *in)
{
	u32 i;

	machine_init(&m, in->mode % 6);
	m.e.features = in->features & 3;
	m.cpl = m.e.mode == VIREO_EMU_VM86 ? 3 : m.e.mode < VIREO_EMU_VM86 ? 0 : in->cpl & 3;
	m.e.rflags = (in->rflags & FLAGS_ALL) | FL_FIXED;
	m.cr4 ^= in->cr4 & (CR4_VME | CR4_PVI | CR4_OSFXSR | CR4_OSXSAVE);
	m.cr0 ^= in->cr0 & (CR0_AM | CR0_TS | CR0_EM);
	for (i = 0; i < PAGES; i++)
		m.kind[i] = in->kinds[i] % 4;
	for (i = 0; i < VIREO_EMU_NR_SEGS; i++) {
		if (in->seg_flags[i] & 1)
			m.seg[i].attr ^= in->seg_attr[i] | (in->seg_flags[i] & 2) << 15;
		if (in->seg_flags[i] & 4)
			m.seg[i].limit = in->seg_limit[i] << (in->seg_flags[i] >> 4);
		if (in->seg_flags[i] & 8)
			m.seg[i].base += in->seg_limit[i] & 0x7fff;
	}
	m.seg[VIREO_EMU_TR].base = m.mem_base + 0x800;
	m.async = in->async & 1;
	m.post_room = in->room & 3;
	m.answer_limit = in->limit & 15;
	m.cmpxchg_fail = in->fails;
	memcpy(m.regs, in->regs, sizeof(m.regs));
	for (i = 0; i < 8; i++) {
		if (in->aim >> i & 1)
			m.regs[i] = m.mem_base + ((in->regs[i] & 7) << 12) + 0xfe0 +
				    (in->regs[i] >> 3 & 0x3f);
	}
	if (!(in->aim & 1))
		m.regs[VIREO_EMU_RCX] &= 0x1fff;
	m.e.rip = m.mem_base + 0x100;
	if (!mem_initial[1]) {
		for (i = 0; i < MEM_SIZE; i++)
			mem_initial[i] = i * 31 + (i >> 8);
	}
	memcpy(m.mem, mem_initial, MEM_SIZE);
}

/* To the end, but for a bound on iterations of REP. */
static int finish(int r)
{
	u32 turns = 0;

	while (r == VIREO_EMU_USER || r == VIREO_EMU_RESTART) {
		if (r == VIREO_EMU_USER)
			machine_answer(&m);
		if (++turns > 20000)
			return -1;
		r = vireo_emu_execute(&m.e);
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { 0 };
	struct machine before, after;
	bool string;
	u8 *exact;
	int r;

	memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));

	/* an exactly sized copy: reading too far is seen */
	in.len = in.len % 16;
	exact = malloc(in.len + 1);
	memcpy(exact + 1, in.bytes, in.len);
	setup(&in);
	r = vireo_emu_decode(&m.e, exact + 1, in.len);
	free(exact);
	CHECK(r == VIREO_EMU_OK || r == VIREO_EMU_MORE || r == VIREO_EMU_EXCEPTION);
	CHECK(r != VIREO_EMU_MORE || in.len < 15);
	if (r)
		return 0;
	CHECK(m.e.insn.len >= 1 && m.e.insn.len <= in.len);
	CHECK(EMU_OP(m.e.insn.entry) > OP_UD && EMU_OP(m.e.insn.entry) < OP_COUNT);

	string = EMU_OP(m.e.insn.entry) >= OP_MOVS && EMU_OP(m.e.insn.entry) <= OP_OUTS;
	if (in.hint & 1)
		m.e.gpa = (emu_ea(&m.e) + (m.e.mode == VIREO_EMU_PROT64 ? 0 : m.mem_base)) +
			  GPA_OFFSET;
	/* The hint must be true where it is used: segments with a base would lie. */
	if (m.e.mode != VIREO_EMU_PROT64 || m.e.insn.seg >= VIREO_EMU_FS ||
	    (EMU_OP(m.e.insn.entry) >= OP_BT && EMU_OP(m.e.insn.entry) <= OP_BTC) ||
	    EMU_OP(m.e.insn.entry) == OP_XLAT || string)
		m.e.gpa = VIREO_EMU_NO_GPA;
	before = m;
	memcpy(mem_before, m.mem, MEM_SIZE);
	r = vireo_emu_execute(&m.e);
	CHECK(r == VIREO_EMU_OK || r == VIREO_EMU_EXCEPTION || r == VIREO_EMU_USER ||
	      r == VIREO_EMU_UNHANDLED || r == VIREO_EMU_RESTART);
	if (r == VIREO_EMU_USER && !string) {
		CHECK(!memcmp(before.regs, m.regs, sizeof(m.regs)));
		CHECK(before.e.rip == m.e.rip && before.e.rflags == m.e.rflags);
	}
	r = finish(r);
	if (r == VIREO_EMU_OK)
		CHECK(!(m.e.rflags & ~(u64)FLAGS_ALL) && (m.e.rflags & FL_FIXED));
	else
		CHECK(before.e.rip == m.e.rip);
	if ((r == VIREO_EMU_EXCEPTION || r == VIREO_EMU_UNHANDLED) && !string) {
		CHECK(!memcmp(before.regs, m.regs, sizeof(m.regs)));
		CHECK(before.e.rflags == m.e.rflags);
		CHECK(!memcmp(before.vec, m.vec, sizeof(m.vec)));
		CHECK(m.nr_posted == 0);
		if (!in.fails)
			CHECK(!memcmp(mem_before, m.mem, MEM_SIZE));
	}
	if (r == VIREO_EMU_EXCEPTION)
		CHECK(m.e.exception.vector < 32);

	/* the short path, with the same machine */
	if (m.e.gpa == VIREO_EMU_NO_GPA)
		return 0;
	after = m;
	memcpy(mem_before, m.mem, MEM_SIZE);
	setup(&in);
	m.e.gpa = before.e.gpa;
	r = finish(vireo_emu_mmio(&m.e, in.bytes, 15)) - r;
	/* The alignment check is the processor's there, and canonical addresses. */
	if (r)
		return 0;
	CHECK(!memcmp(after.regs, m.regs, sizeof(m.regs)));
	CHECK(after.e.rip == m.e.rip && after.e.rflags == m.e.rflags);
	CHECK(!memcmp(mem_before, m.mem, MEM_SIZE));
	CHECK(after.nr_posted == m.nr_posted);
	CHECK(!memcmp(after.posted, m.posted, sizeof(m.posted)));
	return 0;
}

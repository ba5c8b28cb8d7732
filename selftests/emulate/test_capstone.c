// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lengths of instructions, as Capstone has them: a second opinion beside Zydis'.
 *
 * Capstone is for reading code: whether an instruction is valid it takes lightly, so
 * only those are compared that both accept. Where it is known to be wrong stands in
 * one function.
 */
#include <capstone/capstone.h>
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"
#include "../../kmod/emulate/internal.h"

static const struct {
	u32 mode;
	cs_mode cs;
	const char *name;
} modes[] = {
	{ VIREO_EMU_PROT16, CS_MODE_16, "16-bit mode" },
	{ VIREO_EMU_PROT32, CS_MODE_32, "32-bit mode" },
	{ VIREO_EMU_PROT64, CS_MODE_64, "64-bit mode" },
};

static const char *known(const struct vireo_emu_insn *i)
{
	u32 op = EMU_OP(i->entry);

	if (i->map == VIREO_EMU_MAP_0F && i->opcode == 0x78 && i->mode == VIREO_EMU_PROT16)
		return "EXTRQ and INSERTQ are taken for VMREAD";
	if (i->mode == VIREO_EMU_PROT64 && (op == OP_CALL || op == OP_RET || op == OP_JMP) &&
	    i->prefix & (VIREO_EMU_PFX_OPSIZE | VIREO_EMU_PFX_REX))
		return "66 and REX.W of near branches are mixed up";
	if (i->prefix & VIREO_EMU_PFX_OPSIZE &&
	    i->prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE) &&
	    (i->entry & EMU_I_MASK) == EMU_I_Z)
		return "66 is forgotten beside F2 or F3";
	if (i->vex == VIREO_EMU_VEX_EVEX)
		return "EVEX with static rounding is seen to have an immediate";
	return NULL;
}

static u32 agreed, explained, one_sided, unexplained;

static void compare(u32 m, csh cs, cs_insn *c, const u8 *b)
{
	struct vireo_emu_insn insn;
	const uint8_t *code = b;
	size_t size = 15;
	uint64_t at = 0x1000;
	int r = vireo_emu_insn_decode(&insn, modes[m].mode, VIREO_EMU_F_AMD, b, 15);

	if (!cs_disasm_iter(cs, &code, &size, &at, c) || r) {
		one_sided++;
		return;
	}
	if (c->size == insn.len) {
		agreed++;
	} else if (known(&insn)) {
		explained++;
	} else if (unexplained++ < 30) {
		diag("%s: %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x: length %u; Capstone: %s %s, length %u",
		     modes[m].name, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9],
		     insn.len, c->mnemonic, c->op_str, c->size);
	}
}

/* Every opcode of every map, prefix by prefix, with random ModRM; and random bytes. */
static void campaign(u32 m, u32 count)
{
	static const u8 prefixes[] = { 0, 0x66, 0x67, 0xf2, 0xf3, 0x64, 0x48, 0x4f };
	u32 p, map, op, n, i;
	cs_insn *c;
	csh cs;
	u8 b[16];

	if (cs_open(CS_ARCH_X86, modes[m].cs, &cs) != CS_ERR_OK) {
		tap_ok(false, "%s: Capstone does not open", modes[m].name);
		return;
	}
	c = cs_malloc(cs);
	agreed = explained = one_sided = unexplained = 0;
	for (p = 0; p < sizeof(prefixes); p++)
	for (map = 0; map < 4; map++)
	for (op = 0; op < 256; op++)
	for (n = 0; n < 48; n++) {
		u32 k = 0;

		for (i = 0; i < 16; i++)
			b[i] = rnd();
		if (prefixes[p])
			b[k++] = prefixes[p];
		if (map)
			b[k++] = 0x0f;
		if (map > 1)
			b[k++] = map == 2 ? 0x38 : 0x3a;
		b[k++] = op;
		compare(m, cs, c, b);
	}
	while (count--) {
		for (i = 0; i < 16; i++)
			b[i] = rnd();
		compare(m, cs, c, b);
	}
	diag("%s: %u agree, %u differ for a known reason, %u that only one of both accepts",
	     modes[m].name, agreed, explained, one_sided);
	tap_ok(!unexplained, "%s: lengths as Capstone has them", modes[m].name);
	cs_free(c, 1);
	cs_close(&cs);
}

int main(int argc, char **argv)
{
	u32 count = argc > 1 ? strtoul(argv[1], NULL, 0) : 200000, m;

	setvbuf(stdout, NULL, _IOLBF, 0);
	rnd_seed(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
	for (m = 0; m < sizeof(modes) / sizeof(modes[0]); m++)
		campaign(m, count);
	return tap_done();
}

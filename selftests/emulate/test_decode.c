// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decoding: lengths and validity against Zydis, bytes that end too early, limits.
 */
#include <stdio.h>
#include <stdlib.h>

#include <Zydis/Zydis.h>

#include "machine.h"
#include "../../kmod/emulate/internal.h"

struct mode {
	u32 mode;
	ZydisMachineMode zm;
	ZydisStackWidth zs;
	const char *name;
};

static const struct mode modes[] = {
	{ VIREO_EMU_REAL, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16, "real mode" },
	{ VIREO_EMU_PROT16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, "16-bit mode" },
	{ VIREO_EMU_PROT32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, "32-bit mode" },
	{ VIREO_EMU_PROT64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, "64-bit mode" },
};

/*
 * Where we accept and Zydis does not. Each is length-decoded and then UNHANDLED (or
 * a NOP), so that user space, which knows the virtual processor, decides.
 */
static const char *accepted_more(const struct vireo_emu_insn *i)
{
	/* 0F 01 /0 to /3 with a register */
	bool vm = i->map == 1 && i->opcode == 0x01 && i->modrm >= 0xc0;
	u32 rep = i->prefix & (VIREO_EMU_PFX_REPE | VIREO_EMU_PFX_REPNE);

	if (i->vex && EMU_OP(i->entry) == OP_NONE)
		return "VEX, EVEX, XOP: validity is not looked at";
	if (vm && i->mode < VIREO_EMU_PROT16)
		return "VMX, SVM, SGX in real mode: intercepts come first";
	if (i->vex)
		return "VEX moves: vvvv and L are looked at when executed";
	if (i->map == 0 && i->opcode >= 0xd8 && i->opcode <= 0xdf)
		return "x87: undefined encodings";
	if (i->map == 0 && (i->opcode == 0x8c || i->opcode == 0x8e) && (i->rex & 4))
		return "MOV with a segment register: REX.R is ignored (checked natively)";
	if (i->map == 1) {
		switch (i->opcode) {
		case 0x07:
			return "SYSRET outside of long mode is looked at when executed";
		case 0x34:
		case 0x35:
			return "SYSENTER in real mode is #GP, not #UD";
		case 0x0f:
			return "3DNow!: undefined suffixes";
		case 0x1a:
		case 0x1b:
			return "MPX: NOP where it does not exist";
		case 0x01:
		case 0xae:
		case 0xc7:
			if (rep)
				return "CET, PTWRITE, UINTR by mode";
		}
	}
	if (i->map == 2 && i->opcode == 0xd8)
		return "key locker: groups";
	if (i->map == 2 && i->opcode == 0xf6)
		return "WRSS in real mode";
	if (i->map == 3 && i->opcode == 0xf0)
		return "HRESET: fixed ModRM";
	return NULL;
}

/* Where Zydis accepts and we do not. */
static const char *refused_more(const ZydisDecodedInstruction *z, u32 mode, bool amd)
{
	if (z->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX ||
	    (z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX &&
	     z->opcode_map == ZYDIS_OPCODE_MAP_0F &&
	     !(emu_vex_0f[z->opcode >> 5] >> (z->opcode & 31) & 1)) ||
	    (z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX &&
	     ZydisMnemonicGetString(z->mnemonic)[0] == 'k'))
		return "Knights Corner";
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
		return "their meaning is #UD";
	case ZYDIS_MNEMONIC_XCRYPT_CBC:
	case ZYDIS_MNEMONIC_XCRYPT_CFB:
	case ZYDIS_MNEMONIC_XCRYPT_CTR:
	case ZYDIS_MNEMONIC_XCRYPT_ECB:
	case ZYDIS_MNEMONIC_XCRYPT_OFB:
	case ZYDIS_MNEMONIC_XSTORE:
	case ZYDIS_MNEMONIC_XSHA1:
	case ZYDIS_MNEMONIC_XSHA256:
	case ZYDIS_MNEMONIC_MONTMUL:
		return "VIA only";
	case ZYDIS_MNEMONIC_SEAMCALL:
	case ZYDIS_MNEMONIC_SEAMOPS:
	case ZYDIS_MNEMONIC_SEAMRET:
	case ZYDIS_MNEMONIC_TDCALL:
		return "TDX: undefined in a guest of ours";
	case ZYDIS_MNEMONIC_VMREAD:
	case ZYDIS_MNEMONIC_VMWRITE:
	case ZYDIS_MNEMONIC_VMPTRLD:
	case ZYDIS_MNEMONIC_VMPTRST:
	case ZYDIS_MNEMONIC_VMCLEAR:
	case ZYDIS_MNEMONIC_VMXON:
	case ZYDIS_MNEMONIC_VMRUN:
	case ZYDIS_MNEMONIC_VMLOAD:
	case ZYDIS_MNEMONIC_VMSAVE:
	case ZYDIS_MNEMONIC_SKINIT:
	case ZYDIS_MNEMONIC_INVLPGA:
	case ZYDIS_MNEMONIC_GETSEC:
		return mode < VIREO_EMU_PROT16 ? "not recognised in real mode" : NULL;
	case ZYDIS_MNEMONIC_NOP:
		return amd ? "PREFETCH with a register at AMD" : NULL;
	case ZYDIS_MNEMONIC_JKZD:
	case ZYDIS_MNEMONIC_JKNZD:
		return "Knights Corner";
	default:
		return NULL;
	}
}

static u32 unexplained, agreed, explained;

static void compare(const struct mode *m, const ZydisDecoder *d, u32 features, const u8 *b)
{
	struct vireo_emu_insn insn;
	ZydisDecodedInstruction z;
	ZyanStatus st = ZydisDecoderDecodeInstruction(d, NULL, b, 15, &z);
	int r = vireo_emu_insn_decode(&insn, m->mode, features, b, 15);
	const char *why = NULL;

	if (ZYAN_SUCCESS(st)) {
		if (!r && insn.len == z.length) {
			agreed++;
			return;
		}
		if (r)
			why = refused_more(&z, m->mode, features & VIREO_EMU_F_AMD);
	} else {
		if (r) {
			agreed++;
			return;
		}
		why = accepted_more(&insn);
	}
	if (why) {
		explained++;
		return;
	}
	if (unexplained++ < 30)
		diag("%s: %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x: %d, length %u; Zydis %s, length %u",
		     m->name, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], r, insn.len,
		     ZYAN_SUCCESS(st) ? ZydisMnemonicGetString(z.mnemonic) : "invalid",
		     ZYAN_SUCCESS(st) ? z.length : 0);
}

/* Every opcode of every map with every ModRM, prefix by prefix. */
static void all_opcodes(const struct mode *m, const ZydisDecoder *d)
{
	static const u8 prefixes[][2] = {
		{ 0, 0 }, { 1, 0x66 }, { 1, 0x67 }, { 1, 0xf2 }, { 1, 0xf3 }, { 1, 0xf0 },
		{ 1, 0x64 }, { 1, 0x48 }, { 1, 0x4f },
	};
	u32 p, map, op, modrm, i;

	for (p = 0; p < sizeof(prefixes) / 2; p++)
	for (map = 0; map < 4; map++)
	for (op = 0; op < 256; op++)
	for (modrm = 0; modrm < 256; modrm++) {
		u8 b[16];
		u32 n = 0;

		for (i = 0; i < 16; i++)
			b[i] = rnd();
		if (prefixes[p][0])
			b[n++] = prefixes[p][1];
		if (map)
			b[n++] = 0x0f;
		if (map == 2)
			b[n++] = 0x38;
		if (map == 3)
			b[n++] = 0x3a;
		b[n++] = op;
		b[n++] = modrm;
		compare(m, d, 0, b);
	}
}

/* Random bytes, with a liking for prefixes. */
static void random_bytes(const struct mode *m, const ZydisDecoder *d, u32 features, u32 count)
{
	static const u8 pf[] = {
		0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x48, 0x41, 0x4f,
		0xc4, 0xc5, 0x62, 0x8f, 0x0f,
	};
	u32 i, n;
	u8 b[16];

	while (count--) {
		for (i = 0; i < 16; i++)
			b[i] = rnd();
		n = rnd() % 16 ? rnd() % 5 : rnd() % 16;
		for (i = 0; i < n; i++)
			b[i] = pf[rnd() % sizeof(pf)];
		compare(m, d, features, b);
	}
}

static void against_zydis(u32 count)
{
	u32 i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		const struct mode *m = &modes[i];
		ZydisDecoder d;

		ZydisDecoderInit(&d, m->zm, m->zs);
		/* No such thing in Zydis' view of real mode, and not in ours anywhere. */
		unexplained = agreed = explained = 0;
		all_opcodes(m, &d);
		random_bytes(m, &d, 0, count);
		if (m->mode == VIREO_EMU_PROT64) {
			ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
			random_bytes(m, &d, VIREO_EMU_F_AMD, count);
		}
		diag("%s: %u agree, %u differ for a known reason", m->name, agreed, explained);
		tap_ok(!unexplained, "%s: lengths and validity as Zydis has them", m->name);
	}
}

/* An instruction decodes the same from any longer buffer, and MORE from any shorter. */
static void early_end(void)
{
	u32 i, n, len, bad = 0, tried = 0;
	struct vireo_emu e = { 0 };
	struct vireo_emu_insn full;

	for (i = 0; i < 400000; i++) {
		u8 b[16];
		u8 *exact;
		int r;

		for (n = 0; n < 16; n++)
			b[n] = rnd() % 3 ? rnd() : 0x66;
		e.mode = rnd() % 6;
		if (vireo_emu_decode(&e, b, 15) != VIREO_EMU_OK)
			continue;
		full = e.insn;
		tried++;
		for (len = 0; len < 15; len++) {
			/* exactly sized: the sanitizer sees a byte too many */
			exact = malloc(len ? len : 1);
			memcpy(exact, b, len);
			r = vireo_emu_decode(&e, exact, len);
			free(exact);
			if (len < full.len)
				bad += r != VIREO_EMU_MORE;
			else
				bad += r != VIREO_EMU_OK || e.insn.len != full.len ||
				       ((full.entry & EMU_I_MASK) && e.insn.imm != full.imm) || e.insn.disp != full.disp ||
				       e.insn.entry != full.entry;
		}
	}
	diag("%u instructions cut short", tried);
	tap_ok(!bad && tried > 100000, "bytes that end early: MORE, and the same result later");
}

static void too_long(void)
{
	u8 b[16];
	struct vireo_emu e = { .mode = VIREO_EMU_PROT64 };
	int r;

	memset(b, 0x66, 15);
	b[14] = 0x90;
	r = vireo_emu_decode(&e, b, 15);
	tap_ok(r == VIREO_EMU_OK && e.insn.len == 15, "14 prefixes and an opcode are an instruction");
	memset(b, 0x66, 15);
	r = vireo_emu_decode(&e, b, 15);
	tap_ok(r == VIREO_EMU_EXCEPTION && e.exception.vector == 13 && e.exception.has_error &&
	       !e.exception.error_code, "15 prefixes are #GP(0)");
	r = vireo_emu_decode(&e, b, 14);
	tap_ok(r == VIREO_EMU_MORE, "14 prefixes need more");
	memset(b, 0x2e, 15);
	memcpy(b + 10, "\x81\x05\x00\x00\x00\x00", 5);
	r = vireo_emu_decode(&e, b, 15);
	tap_ok(r == VIREO_EMU_EXCEPTION && e.exception.vector == 13, "an operand beyond 15 bytes is #GP(0)");
}

/* Instructions that exit, as SVM without nRIP needs their lengths. */
static void exiting(void)
{
	static const struct {
		const char *name;
		u8 bytes[8];
		u8 len;
		bool only_legacy;
	} insns[] = {
		{ "cpuid", { 0x0f, 0xa2 }, 2, false },
		{ "rdmsr", { 0x0f, 0x32 }, 2, false },
		{ "wrmsr", { 0x0f, 0x30 }, 2, false },
		{ "hlt", { 0xf4 }, 1, false },
		{ "vmmcall", { 0x0f, 0x01, 0xd9 }, 3, false },
		{ "vmcall", { 0x0f, 0x01, 0xc1 }, 3, false },
		{ "in al,imm", { 0xe4, 0x80 }, 2, false },
		{ "out dx,ax", { 0xef }, 1, false },
		{ "ins", { 0x6c }, 1, false },
		{ "outs", { 0x6f }, 1, false },
		{ "rdtsc", { 0x0f, 0x31 }, 2, false },
		{ "rdtscp", { 0x0f, 0x01, 0xf9 }, 3, false },
		{ "rdpmc", { 0x0f, 0x33 }, 2, false },
		{ "invd", { 0x0f, 0x08 }, 2, false },
		{ "wbinvd", { 0x0f, 0x09 }, 2, false },
		{ "xsetbv", { 0x0f, 0x01, 0xd1 }, 3, false },
		{ "mov cr0,eax", { 0x0f, 0x22, 0xc0 }, 3, false },
		{ "mov eax,cr3 (mod 0)", { 0x0f, 0x20, 0x1d }, 3, false },
		{ "mov dr7,eax", { 0x0f, 0x23, 0xf8 }, 3, false },
		{ "lmsw ax", { 0x0f, 0x01, 0xf0 }, 3, false },
		{ "clts", { 0x0f, 0x06 }, 2, false },
		{ "pause", { 0xf3, 0x90 }, 2, false },
		{ "monitor", { 0x0f, 0x01, 0xc8 }, 3, false },
		{ "mwait", { 0x0f, 0x01, 0xc9 }, 3, false },
		{ "invlpg (bx or rdi)", { 0x0f, 0x01, 0x3f }, 3, false },
		{ "int n", { 0xcd, 0x80 }, 2, false },
		{ "int3", { 0xcc }, 1, false },
		{ "int1", { 0xf1 }, 1, false },
		{ "into", { 0xce }, 1, true },
		{ "iret", { 0xcf }, 1, false },
		{ "pushf", { 0x9c }, 1, false },
		{ "popf", { 0x9d }, 1, false },
		{ "rsm", { 0x0f, 0xaa }, 2, false },
		{ "sgdt", { 0x0f, 0x01, 0x07 }, 3, false },
		{ "invlpga", { 0x0f, 0x01, 0xdf }, 3, false },
		{ "stgi", { 0x0f, 0x01, 0xdc }, 3, false },
	};
	static const u8 pf[] = { 0x66, 0x67, 0x2e, 0x65, 0xf3, 0x36 };
	u32 i, m, bad = 0;

	for (i = 0; i < sizeof(insns) / sizeof(insns[0]); i++) {
		for (m = 0; m < 6; m++) {
			u32 p, n = insns[i].len;
			struct vireo_emu_insn insn;
			u8 b[16] = { 0 };
			int r;

			if (m == VIREO_EMU_PROT64 && insns[i].only_legacy)
				continue;
			if (m < VIREO_EMU_PROT16 && !strcmp(insns[i].name, "invlpga"))
				continue;
			for (p = 0; p < 36; p++) {
				u32 k = 0;
				bool np = insns[i].bytes[0] == 0x0f &&
					  (emu_0f01[insns[i].bytes[2] & 63] & EMU_P_MASK);

				memset(b, 0, sizeof(b));
				b[k++] = pf[p / 6];
				b[k++] = pf[p % 6];
				if (np && (b[0] == 0x66 || b[1] == 0x66 || b[0] == 0xf3 ||
					   b[1] == 0xf3))
					continue;
				/* 16-bit addressing of a byte register pair: same length */
				memcpy(b + k, insns[i].bytes, n);
				r = vireo_emu_insn_decode(&insn, m, 0, b, 15);
				if (r || insn.len != k + n) {
					bad++;
					diag("%s in mode %u: %d, length %u", insns[i].name, m, r,
					     insn.len);
				}
			}
			r = vireo_emu_insn_decode(&insn, m, 0, insns[i].bytes, n);
			if (r || insn.len != n) {
				bad++;
				diag("%s in mode %u: %d, length %u", insns[i].name, m, r, insn.len);
			}
		}
	}
	tap_ok(!bad, "instructions that exit: lengths in all modes, with prefixes");
}

/* LOCK is allowed on a short list with a memory destination, #UD elsewhere. */
static void lock(void)
{
	static const char *good[] = {
		"\x01\x07", "\x00\x07", "\x11\x07", "\x29\x07", "\x31\x07", "\x80\x07\x01",
		"\x83\x0f\x01", "\x81\x37\x01\x01\x01\x01", "\xff\x07", "\xfe\x0f", "\xf7\x17", "\xf6\x1f",
		"\x87\x07", "\x86\x07", "\x0f\xab\x07", "\x0f\xb3\x07", "\x0f\xbb\x07", "\x0f\xba\x2f\x01",
		"\x0f\xb1\x07", "\x0f\xb0\x07", "\x0f\xc1\x07", "\x0f\xc7\x0f",
	};
	static const char *bad[] = {
		"\x01\xc7", "\x03\x07", "\x39\x07", "\x83\x3f\x01", "\x89\x07", "\x8b\x07", "\x85\x07",
		"\x0f\xa3\x07", "\x0f\xba\x27\x01", "\x90", "\xf7\xd7", "\xff\x37", "\xff\x17", "\xd1\x27",
		"\x0f\xa4\x07\x01", "\x0f\xb6\x07", "\x87\xc7", "\xa4", "\x0f\x28\x07", "\x0f\xa2",
	};
	u32 i, m, wrong = 0;
	struct vireo_emu_insn insn;

	for (m = 0; m < 6; m++) {
		for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
			u8 b[16] = { 0xf0 };

			memcpy(b + 1, good[i], strlen(good[i]));
			wrong += vireo_emu_insn_decode(&insn, m, 0, b, 15) != 0;
		}
		for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			u8 b[16] = { 0xf0 };

			memcpy(b + 1, bad[i], strlen(bad[i]));
			wrong += vireo_emu_insn_decode(&insn, m, 0, b, 15) != 6;
		}
	}
	tap_ok(!wrong, "LOCK: allowed and refused where the architecture says");
}

static void writes(void)
{
	static const struct {
		const char *b;
		bool wr;
	} t[] = {
		{ "\x89\x07", true }, { "\x8b\x07", false }, { "\xa3", true }, { "\xa1", false },
		{ "\x0f\xb6\x07", false }, { "\xc7\x07", true }, { "\x39\x07", false },
		{ "\x01\x07", true }, { "\xaa", true }, { "\xa4", true }, { "\xac", false },
		{ "\x0f\x11\x07", true }, { "\x0f\x10\x07", false }, { "\xf3\x0f\x7e\x07", false },
		{ "\x66\x0f\x7e\x07", true }, { "\x85\x07", false }, { "\x8f\x07", true },
		{ "\x89\xc7", false },
	};
	u32 i, bad = 0;
	struct vireo_emu_insn insn;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		u8 b[16] = { 0 };

		memcpy(b, t[i].b, strlen(t[i].b));
		if (vireo_emu_insn_decode(&insn, VIREO_EMU_PROT64, 0, b, 15) ||
		    vireo_emu_insn_writes(&insn) != t[i].wr) {
			bad++;
			diag("case %u", i);
		}
	}
	tap_ok(!bad, "vireo_emu_insn_writes()");
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	rnd_seed(argc > 2 ? strtoul(argv[2], NULL, 0) : 1);
	against_zydis(argc > 1 ? strtoul(argv[1], NULL, 0) : 1000000);
	early_end();
	too_long();
	exiting();
	lock();
	writes();
	return tap_done();
}

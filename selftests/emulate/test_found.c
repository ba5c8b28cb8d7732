// SPDX-License-Identifier: GPL-2.0-only
/*
 * A case for each mistake that a differential test or a fuzzer has found in the
 * interpreter, so that it is found again without them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"
#include "system.h"
#include "../../kmod/emulate/internal.h"

static u8 mem[FLAT_MEM];
static struct system s;

static void start(u32 mode, u32 cpl, u32 features)
{
	memset(mem, 0, sizeof(mem));
	system_tables(mem);
	system_init(&s, mem, mode, cpl);
	s.e.features = features;
	s.e.rip = AT_CODE;
	s.regs[VIREO_EMU_RSP] = AT_STACKS + 0x800;
}

static int step(const char *bytes, u32 len)
{
	u8 b[16] = { 0 };
	int r;

	memcpy(b, bytes, len);
	r = vireo_emu_decode(&s.e, b, 15);
	return r ? r : system_finish(&s, vireo_emu_execute(&s.e));
}

#define STEP(bytes)	step(bytes, sizeof(bytes) - 1)

static bool raised(int r, u32 vector)
{
	return r == VIREO_EMU_EXCEPTION && s.e.exception.vector == vector;
}

/* Had stored 16 bits where that is the default operand size. */
static void movnti(void)
{
	u32 v;
	int r;

	start(VIREO_EMU_REAL, 0, 0);
	s.regs[VIREO_EMU_RAX] = 0x12345678;
	s.regs[VIREO_EMU_RBX] = AT_DATA & 0xffff;
	r = STEP("\x0f\xc3\x07");
	memcpy(&v, mem + AT_DATA, 4);
	tap_ok(!r && v == 0x12345678, "MOVNTI stores 32 bits in 16-bit modes");
}

/* Had loaded FS for SS, SS for FS, ES for GS. */
static void far_pointers(void)
{
	static const struct {
		char bytes[3];
		u32 seg;
	} t[] = {
		{ "\x0f\xb2\x07", VIREO_EMU_SS }, { "\x0f\xb4\x07", VIREO_EMU_FS },
		{ "\x0f\xb5\x07", VIREO_EMU_GS }, { "\xc4\x07", VIREO_EMU_ES },
		{ "\xc5\x07", VIREO_EMU_DS },
	};
	u32 i, bad = 0;

	for (i = 0; i < 5; i++) {
		start(VIREO_EMU_REAL, 0, 0);
		s.regs[VIREO_EMU_RBX] = AT_DATA;
		memcpy(mem + AT_DATA, "\x22\x11\x44\x03", 4);
		bad += step(t[i].bytes, i < 3 ? 3 : 2) || s.seg[t[i].seg].selector != 0x344 ||
		       s.seg[t[i].seg].base != 0x3440 || s.regs[VIREO_EMU_RAX] != 0x1122;
	}
	tap_ok(!bad, "LSS, LFS, LGS, LES, LDS load the segment of their name");
}

/* Had read 64 bits of offset on AMD's processors as well. */
static void far_pointer_wide(void)
{
	bool good;
	int r;

	start(VIREO_EMU_PROT64, 0, VIREO_EMU_F_AMD);
	s.regs[VIREO_EMU_RDI] = AT_DATA;
	s.regs[VIREO_EMU_RAX] = ~0ULL;
	memcpy(mem + AT_DATA, "\x22\x11\x44\x33\x10\x00\x00\x00\x08\x00", 10);
	r = STEP("\x48\x0f\xb4\x07");
	good = !r && s.regs[VIREO_EMU_RAX] == 0x33441122 && s.seg[VIREO_EMU_FS].selector == 0x10;
	start(VIREO_EMU_PROT64, 0, 0);
	s.regs[VIREO_EMU_RDI] = AT_DATA;
	memcpy(mem + AT_DATA, "\x22\x11\x44\x33\x10\x00\x00\x00\x08\x00", 10);
	r = STEP("\x48\x0f\xb4\x07");
	good &= !r && s.regs[VIREO_EMU_RAX] == 0x1033441122 && s.seg[VIREO_EMU_FS].selector == 8;
	tap_ok(good, "LFS with REX.W: 32 bits of offset at AMD, 64 at Intel");
}

/* Had loaded CS. */
static void mov_to_cs(void)
{
	u32 rex, bad = 0;

	for (rex = 0x40; rex < 0x50; rex++) {
		char b[3] = { rex, 0x8e, 0xc8 };

		start(VIREO_EMU_PROT64, 0, 0);
		s.regs[VIREO_EMU_RAX] = SEL_CODE64;
		bad += !raised(step(b, 3), EXC_UD);
	}
	tap_ok(!bad, "MOV to CS is #UD whatever REX there is");
}

/* Had been #UD. */
static void sysret_real(void)
{
	bool good;

	start(VIREO_EMU_REAL, 0, VIREO_EMU_F_AMD);
	*system_msr(&s, MSR_EFER) = 1;
	good = raised(STEP("\x0f\x07"), EXC_GP);
	start(VIREO_EMU_REAL, 0, 0);
	*system_msr(&s, MSR_EFER) = 1;
	good &= raised(STEP("\x0f\x07"), EXC_UD);
	tap_ok(good, "SYSRET in real mode: #GP at AMD, #UD at Intel");
}

/* Had taken the flags from R11 in compatibility mode as well. */
static void sysret_compat(void)
{
	int r;

	start(VIREO_EMU_PROT32, 0, VIREO_EMU_F_AMD);
	*system_msr(&s, MSR_EFER) = 0x501;
	*system_msr(&s, MSR_STAR) = (u64)(SEL_DATA64 + 8 + 3) << 48;
	s.e.rflags = FL_FIXED | FL_CF | FL_DF;
	s.regs[VIREO_EMU_R11] = FL_ZF;
	r = STEP("\x0f\x07");
	tap_ok(!r && s.e.rflags == (FL_FIXED | FL_CF | FL_DF | FL_IF),
	       "SYSRET in compatibility mode sets IF alone");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	movnti();
	far_pointers();
	far_pointer_wide();
	mov_to_cs();
	sysret_real();
	sysret_compat();
	return tap_done();
}

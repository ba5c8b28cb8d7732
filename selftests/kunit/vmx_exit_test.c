// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMX exits in neutral form.  Numbers are the SDM's, written out: what is tested is also that
 * the names in vmcs.h have the right ones.
 */
#include <kunit/test.h>

#include "../../kmod/vmx/exit.h"

#define LEN	VMX_WANT_LEN
#define QUAL	VMX_WANT_QUAL
#define GPA	VMX_WANT_GPA
#define VEC	VMX_WANT_VECTORING
#define EVENT	VMX_WANT_EVENT

/* SDM vol. 3, appendix C, by number, with the fields that its exits are made from at least. */
static const struct {
	u8 reason, want;
} vmx_expected[VMX_EXIT_KINDS] = {
	[0] = { VIREO_EXIT_EXCEPTION, QUAL | EVENT | VEC },
	[1] = { VIREO_EXIT_INTR },
	[2] = { VIREO_EXIT_SHUTDOWN },
	[3] = { VIREO_EXIT_INIT },
	[4] = { VIREO_EXIT_SIPI, QUAL },
	[5] = { VIREO_EXIT_SMI },
	[6] = { VIREO_EXIT_SMI },
	[7] = { VIREO_EXIT_IRQ_WINDOW },
	[8] = { VIREO_EXIT_NMI_WINDOW },
	[9] = { VIREO_EXIT_TASK_SWITCH, LEN | QUAL | VEC },
	[10] = { VIREO_EXIT_CPUID, LEN },
	[11] = { VIREO_EXIT_UNDEFINED },		/* GETSEC */
	[12] = { VIREO_EXIT_HLT, LEN },
	[13] = { VIREO_EXIT_INVD, LEN },
	[14] = { VIREO_EXIT_INVLPG, LEN | QUAL },
	[15] = { VIREO_EXIT_RDPMC, LEN },
	[16] = { VIREO_EXIT_RDTSC, LEN },
	[17] = { VIREO_EXIT_UNDEFINED },		/* RSM */
	[18] = { VIREO_EXIT_HYPERCALL, LEN },
	[19 ... 27] = { VIREO_EXIT_UNDEFINED },	/* VMX instructions */
	[28] = { VIREO_EXIT_CR, LEN | QUAL },
	[29] = { VIREO_EXIT_DR, LEN | QUAL },
	[30] = { VIREO_EXIT_IO, LEN | QUAL },
	[31] = { VIREO_EXIT_RDMSR, LEN },
	[32] = { VIREO_EXIT_WRMSR, LEN },
	[33] = { VIREO_EXIT_INVALID_STATE, QUAL },
	[34] = { VIREO_EXIT_INVALID_STATE, QUAL },
	[35] = { VIREO_EXIT_UNKNOWN },
	[36] = { VIREO_EXIT_MWAIT, LEN },
	[37] = { VIREO_EXIT_STEP },		/* monitor trap flag */
	[38] = { VIREO_EXIT_UNKNOWN },
	[39] = { VIREO_EXIT_MONITOR, LEN },
	[40] = { VIREO_EXIT_PAUSE, LEN },
	[41] = { VIREO_EXIT_MCE },
	[42] = { VIREO_EXIT_UNKNOWN },
	[43] = { VIREO_EXIT_TPR },
	[44] = { VIREO_EXIT_UNKNOWN },		/* APIC access, not in use */
	[45] = { VIREO_EXIT_APIC_EOI, QUAL },
	[46 ... 47] = { VIREO_EXIT_DESCRIPTOR, LEN },
	[48] = { VIREO_EXIT_MEMORY, QUAL | GPA | VEC },
	[49] = { VIREO_EXIT_MMIO_CACHED, GPA | VEC },
	[50] = { VIREO_EXIT_UNDEFINED },		/* INVEPT */
	[51] = { VIREO_EXIT_UNDEFINED },		/* RDTSCP */
	[52] = { VIREO_EXIT_TIMER },
	[53] = { VIREO_EXIT_UNDEFINED },		/* INVVPID */
	[54] = { VIREO_EXIT_WBINVD, LEN },
	[55] = { VIREO_EXIT_XSETBV, LEN },
	[56] = { VIREO_EXIT_APIC_WRITE, QUAL },
	[57 ... 61] = { VIREO_EXIT_UNDEFINED },	/* RDRAND INVPCID VMFUNC ENCLS RDSEED */
	[62] = { VIREO_EXIT_INTR },		/* page-modification log full */
	[63 ... 65] = { VIREO_EXIT_UNDEFINED },	/* XSAVES XRSTORS PCONFIG */
	[66] = { VIREO_EXIT_UNKNOWN },		/* sub-page permissions */
	[67 ... 68] = { VIREO_EXIT_UNDEFINED },	/* UMWAIT TPAUSE */
	[69 ... VMX_EXIT_KINDS - 1] = { VIREO_EXIT_UNKNOWN },
};

#undef LEN
#undef QUAL
#undef GPA
#undef VEC
#undef EVENT

/* An exit whose reason tells nothing but itself. */
static struct vireo_exit vmx_decoded(const struct vmx_raw_exit *raw)
{
	struct vireo_exit exit;

	memset(&exit, 0xa5, sizeof(exit));
	vmx_decode(raw, &exit);
	return exit;
}

static void vmx_reason_test(struct kunit *test)
{
	const u8 fields = VMX_WANT_LEN | VMX_WANT_QUAL | VMX_WANT_GPA | VMX_WANT_VECTORING |
			  VMX_WANT_EVENT;
	u32 i;

	for (i = 0; i < VMX_EXIT_KINDS; i++) {
		const struct vmx_exit_kind *kind = &vmx_exit_kinds[i];
		/* An interruption that is valid: exception 0. */
		const struct vmx_raw_exit raw = {
			.reason = i, .len = 5, .event = 0x80000300, .qual = 0x1234,
			.gpa = 0x5000, .gla = 0x6000,
		};
		struct vireo_exit exit = vmx_decoded(&raw);

		KUNIT_EXPECT_GT_MSG(test, kind->reason, VIREO_EXIT_NONE, "reason %u", i);
		KUNIT_EXPECT_LT_MSG(test, kind->reason, VIREO_EXIT_HARDWARE_NR, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, kind->reason, vmx_expected[i].reason, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, kind->want & vmx_expected[i].want, vmx_expected[i].want,
				    "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, kind->want & ~fields, 0, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.reason, vmx_expected[i].reason, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.code, i, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.insn_len, kind->want & VMX_WANT_LEN ? 5 : 0,
				    "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.nr_bytes, 0, "reason %u", i);
		/* For the log */
		KUNIT_EXPECT_EQ_MSG(test, exit.info[0], 0x1234, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.info[1], 0x80000300, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.info[2], 0x6000, "reason %u", i);
	}
}

/* Beyond the table, and flags beside the reason (table 25-18). */
static void vmx_reason_high_test(struct kunit *test)
{
	static const u32 beyond[] = { 128, 129, 255, 256, 0x100 + 10, 0x1000 + 30, 0x8000, 0xffff };
	struct vmx_raw_exit raw = { .len = 3, .qual = 1 };
	struct vireo_exit exit;
	int i;

	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		raw.reason = beyond[i];
		exit = vmx_decoded(&raw);
		KUNIT_EXPECT_EQ_MSG(test, exit.reason, VIREO_EXIT_UNKNOWN, "reason %#x", beyond[i]);
		KUNIT_EXPECT_EQ_MSG(test, exit.code, beyond[i], "reason %#x", beyond[i]);
		KUNIT_EXPECT_EQ_MSG(test, exit.insn_len, 0, "reason %#x", beyond[i]);
	}
	/* From an enclave, with a pending MTF, from root operation, after a bus lock. */
	for (i = 16; i < 31; i++) {
		raw.reason = 10 | BIT(i);
		exit = vmx_decoded(&raw);
		KUNIT_EXPECT_EQ_MSG(test, exit.reason, VIREO_EXIT_CPUID, "bit %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.code, raw.reason, "bit %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.insn_len, 3, "bit %d", i);
	}
}

/* An entry that failed is never an exit of the guest's. */
static void vmx_entry_failed_test(struct kunit *test)
{
	u32 i;

	for (i = 0; i < 256; i++) {
		const struct vmx_raw_exit raw = {
			.reason = i | BIT(31), .len = 7, .qual = 2, .event = 0x80000b0e, .gpa = 1,
		};
		struct vireo_exit exit = vmx_decoded(&raw);
		u16 reason = i == 41 ? VIREO_EXIT_MCE :
			     i < 128 ? VIREO_EXIT_INVALID_STATE : VIREO_EXIT_UNKNOWN;

		KUNIT_EXPECT_EQ_MSG(test, exit.reason, reason, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.code, raw.reason, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.insn_len, 0, "reason %u", i);
		KUNIT_EXPECT_EQ_MSG(test, exit.info[0], 2, "reason %u", i);
		/* Nothing of the raw fields is taken for the union's. */
		KUNIT_EXPECT_EQ_MSG(test, exit.mem.gpa, 0, "reason %u", i);
	}
}

/* Table 28-3: all that MOV CR, CLTS and LMSW can be. */
static void vmx_cr_test(struct kunit *test)
{
	static const u8 ops[] = { VIREO_CR_WRITE, VIREO_CR_READ, VIREO_CR_CLTS, VIREO_CR_LMSW };
	u32 qual;

	for (qual = 0; qual < 0x1000; qual++) {
		const struct vmx_raw_exit raw = { .reason = 28, .len = 3, .qual = 0xc35a0000 | qual };
		struct vireo_exit exit = vmx_decoded(&raw);

		KUNIT_ASSERT_EQ(test, exit.reason, VIREO_EXIT_CR);
		KUNIT_ASSERT_EQ(test, exit.cr.nr, qual % 16);
		KUNIT_ASSERT_EQ(test, exit.cr.op, ops[qual / 16 % 4]);
		KUNIT_ASSERT_EQ(test, exit.cr.gpr, qual / 256);
		KUNIT_ASSERT_EQ(test, exit.cr.lmsw, 0xc35a);
		KUNIT_ASSERT_EQ(test, exit.insn_len, 3);
	}
}

/* Table 28-4 */
static void vmx_dr_test(struct kunit *test)
{
	u32 qual;

	for (qual = 0; qual < 0x1000; qual++) {
		const struct vmx_raw_exit raw = { .reason = 29, .len = 3, .qual = qual };
		struct vireo_exit exit = vmx_decoded(&raw);

		KUNIT_ASSERT_EQ(test, exit.reason, VIREO_EXIT_DR);
		KUNIT_ASSERT_EQ(test, exit.dr.nr, qual % 8);
		KUNIT_ASSERT_EQ(test, exit.dr.write, !(qual & BIT(4)));
		KUNIT_ASSERT_EQ(test, exit.dr.gpr, qual / 256);
	}
}

/* Table 28-5: sizes, directions, strings, REP, a port in DX or in the instruction. */
static void vmx_io_check(struct kunit *test, u16 port, u8 unit)
{
	u32 flags;

	for (flags = 0; flags < 16; flags++) {
		/* In, string, REP, immediate are bits 3 to 6. */
		const u64 qual = (unit - 1) | flags << 3 | (u32)port << 16;
		const struct vmx_raw_exit raw = { .reason = 30, .len = 2, .qual = qual };
		struct vireo_exit exit = vmx_decoded(&raw), direct = {};

		KUNIT_ASSERT_EQ(test, exit.reason, VIREO_EXIT_IO);
		KUNIT_ASSERT_EQ(test, exit.io.port, port);
		KUNIT_ASSERT_EQ(test, exit.io.unit, unit);
		KUNIT_ASSERT_EQ(test, exit.io.write, !(flags & 1));
		KUNIT_ASSERT_EQ(test, exit.io.string, !!(flags & 2));
		KUNIT_ASSERT_EQ(test, exit.io.rep, !!(flags & 4));
		KUNIT_ASSERT_EQ(test, exit.insn_len, 2);
		/* The hot path's own way is the same. */
		vmx_decode_io(qual, &direct);
		KUNIT_ASSERT_MEMEQ(test, &exit.io, &direct.io, sizeof(exit.io));
	}
}

static void vmx_io_test(struct kunit *test)
{
	static const u16 ports[] = { 0, 1, 0x60, 0xff, 0x3f8, 0x8000, 0xcfc, 0xffff };
	int i, unit;

	for (i = 0; i < ARRAY_SIZE(ports); i++)
		for (unit = 1; unit <= 4; unit *= 2)
			vmx_io_check(test, ports[i], unit);
}

/* The address is the exit qualification (28.2.1). */
static void vmx_invlpg_test(struct kunit *test)
{
	const struct vmx_raw_exit raw = {
		.reason = 14, .len = 4, .qual = 0xffff888012345678ULL, .gla = 0x1000,
	};
	struct vireo_exit exit = vmx_decoded(&raw);

	KUNIT_EXPECT_EQ(test, exit.reason, VIREO_EXIT_INVLPG);
	KUNIT_EXPECT_EQ(test, exit.insn_len, 4);
	KUNIT_EXPECT_TRUE(test, exit.mem.gla_valid);
	KUNIT_EXPECT_EQ(test, exit.mem.gla, 0xffff888012345678ULL);
}

/* Table 28-7: all 13 bits, of which five count here. */
static void vmx_ept_test(struct kunit *test)
{
	const u64 gpa = 0x000f123456789abcULL, gla = 0xffff888012345678ULL;
	u32 qual;

	for (qual = 0; qual < 0x2000; qual++) {
		const struct vmx_raw_exit raw = {
			.reason = 48, .len = 9, .qual = qual, .gpa = gpa, .gla = gla,
		};
		struct vireo_exit exit = vmx_decoded(&raw), direct = {};
		u8 access = 0;

		if (qual & BIT(0))
			access |= VIREO_ACCESS_READ;
		if (qual & BIT(1))
			access |= VIREO_ACCESS_WRITE;
		if (qual & BIT(2))
			access |= VIREO_ACCESS_EXEC;
		KUNIT_ASSERT_EQ(test, exit.reason, VIREO_EXIT_MEMORY);
		KUNIT_ASSERT_EQ(test, exit.mem.gpa, gpa);
		KUNIT_ASSERT_EQ(test, exit.mem.gla, gla);
		KUNIT_ASSERT_EQ(test, exit.mem.access, access);
		KUNIT_ASSERT_EQ(test, exit.mem.gla_valid, !!(qual & BIT(7)));
		/* The access itself has a linear address, and says so. */
		KUNIT_ASSERT_EQ(test, exit.mem.in_walk, !((qual & BIT(7)) && (qual & BIT(8))));
		/* The length is not that of an instruction: the field is undefined (28.2.5). */
		KUNIT_ASSERT_EQ(test, exit.insn_len, 0);
		vmx_decode_memory(qual, gpa, gla, &direct);
		KUNIT_ASSERT_MEMEQ(test, &exit.mem, &direct.mem, sizeof(exit.mem));
	}
}

static void vmx_misconfig_test(struct kunit *test)
{
	const struct vmx_raw_exit raw = { .reason = 49, .len = 9, .qual = 7, .gpa = 0xfee00300 };
	struct vireo_exit exit = vmx_decoded(&raw);

	KUNIT_EXPECT_EQ(test, exit.reason, VIREO_EXIT_MMIO_CACHED);
	KUNIT_EXPECT_EQ(test, exit.mem.gpa, 0xfee00300);
	KUNIT_EXPECT_EQ(test, exit.mem.access, 0);
	KUNIT_EXPECT_FALSE(test, exit.mem.gla_valid);
	KUNIT_EXPECT_FALSE(test, exit.mem.in_walk);
	KUNIT_EXPECT_EQ(test, exit.insn_len, 0);
}

/* Table 25-19: types of interruptions, error codes only where there is one. */
static void vmx_exception_test(struct kunit *test)
{
	u32 event;

	/* Vector, type, error code, NMIs unblocked by IRET. */
	for (event = 0; event < 0x2000; event++) {
		const struct vmx_raw_exit raw = {
			.reason = 0, .len = 1, .error = 0x1f, .qual = 0xffff800012345678,
			.event = BIT(31) | event,
		};
		const u32 vector = event & 0xff, type = event >> 8 & 7;
		const bool has_error = event & BIT(11);
		struct vireo_exit exit;

		/* NMI; exceptions of the processor, privileged and other software. */
		if (vector >= 32 || (type == 2 && vector != 2) || (type != 2 && type != 3 &&
								    type != 5 && type != 6))
			continue;
		exit = vmx_decoded(&raw);
		/* It is delivered at its place: nothing is to be stepped over. */
		KUNIT_ASSERT_EQ(test, exit.insn_len, 0);
		/* An NMI is one by its type, an exception with its vector is none. */
		if (type == 2 || vector == 18) {
			KUNIT_ASSERT_EQ(test, exit.reason, type == 2 ? VIREO_EXIT_NMI :
								       VIREO_EXIT_MCE);
			continue;
		}
		KUNIT_ASSERT_EQ(test, exit.reason, VIREO_EXIT_EXCEPTION);
		KUNIT_ASSERT_EQ(test, exit.exc.vector, vector);
		KUNIT_ASSERT_EQ(test, exit.exc.has_error, has_error);
		KUNIT_ASSERT_EQ(test, exit.exc.error, has_error ? 0x1f : 0);
		KUNIT_ASSERT_EQ(test, exit.exc.cr2, 0xffff800012345678);
	}
}

/* Table 28-2 */
static void vmx_task_test(struct kunit *test)
{
	u32 i;

	for (i = 0; i < 16; i++) {
		const u32 source = i & 3;
		const bool valid = i & 4, has_error = i & 8;
		const struct vmx_raw_exit raw = {
			.reason = 9, .len = 5, .qual = 0xfff8 | source << 30,
			.vectoring = (u32)valid << 31 | has_error << 11 | 3 << 8 | 10,
			.vectoring_error = 0x1238,
		};
		struct vireo_exit exit = vmx_decoded(&raw);

		KUNIT_ASSERT_EQ(test, exit.reason, VIREO_EXIT_TASK_SWITCH);
		KUNIT_ASSERT_EQ(test, exit.task.selector, 0xfff8);
		KUNIT_ASSERT_EQ(test, exit.task.source, source);
		KUNIT_ASSERT_EQ(test, exit.task.has_error, valid && has_error);
		KUNIT_ASSERT_EQ(test, exit.task.error, valid && has_error ? 0x1238 : 0);
		KUNIT_ASSERT_EQ(test, exit.insn_len, 5);
	}
}

static struct kunit_case vmx_exit_cases[] = {
	KUNIT_CASE(vmx_reason_test),
	KUNIT_CASE(vmx_reason_high_test),
	KUNIT_CASE(vmx_entry_failed_test),
	KUNIT_CASE(vmx_cr_test),
	KUNIT_CASE(vmx_dr_test),
	KUNIT_CASE(vmx_io_test),
	KUNIT_CASE(vmx_invlpg_test),
	KUNIT_CASE(vmx_ept_test),
	KUNIT_CASE(vmx_misconfig_test),
	KUNIT_CASE(vmx_exception_test),
	KUNIT_CASE(vmx_task_test),
	{}
};

extern struct kunit_suite vireo_vmx_exit_suite;
struct kunit_suite vireo_vmx_exit_suite = {
	.name = "vireo-vmx-exit",
	.test_cases = vmx_exit_cases,
};

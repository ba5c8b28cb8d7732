// SPDX-License-Identifier: GPL-2.0-only
/*
 * SVM exits in neutral form, of control blocks that no processor has written.  Numbers are the
 * APM's, written out.
 *
 * Table and decoders belong to kmod/svm/enter.c alone: it is compiled here a second time, with
 * made-up features, and without the ways into a guest.
 */
#include <kunit/test.h>

#include "../../kmod/svm/svm.h"

static struct svm_caps test_svm_caps;
static int test_irets, test_work_entries;
static bool test_stepped;
static u16 test_step_reason;

static void test_svm_enter(struct vireo_vcpu *vcpu);

static void test_svm_iret(struct vireo_vcpu *vcpu)
{
	test_irets++;
}

/* False: do not enter. */
static bool test_svm_work_entry(struct vireo_vcpu *vcpu)
{
	test_work_entries++;
	return false;
}

static bool test_svm_step_done(struct vireo_vcpu *vcpu, u16 *reason)
{
	if (test_stepped)
		*reason = test_step_reason;
	return test_stepped;
}

#define svm_caps		test_svm_caps
#define svm_enter(vcpu)		test_svm_enter(vcpu)
#define svm_iret(vcpu)		test_svm_iret(vcpu)
#define svm_work_entry(vcpu)	test_svm_work_entry(vcpu)
#define svm_step_done(vcpu, reason)	test_svm_step_done(vcpu, reason)
#include "../../kmod/svm/enter.c"

struct svm_test {
	struct vireo_vcpu vcpu;
	struct svm_vcpu svm;
	struct vmcb *vmcb;
};

static int svm_test_init(struct kunit *test)
{
	struct svm_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->vmcb = kunit_kzalloc(test, sizeof(*t->vmcb), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->vmcb);
	t->svm.vmcb = t->vmcb;
	t->vcpu.backend = &t->svm;
	/* Whoever wants into the guest must write registers first, and that does not succeed. */
	t->vcpu.dirty = VIREO_REG_RIP;
	t->vmcb->save.dr6 = SVM_DR6_QUIET;
	test_svm_caps.features = 0;
	test_stepped = false;
	test_irets = 0;
	test_work_entries = 0;
	test->priv = t;
	return 0;
}

/* What svm_run() does once the processor is back. */
static struct vireo_exit *svm_decoded(struct svm_test *t, u64 code)
{
	struct vireo_vcpu *vcpu = &t->vcpu;
	u32 how = 0;

	memset(&vcpu->exit, 0xa5, sizeof(vcpu->exit));
	t->vmcb->control.exit_code = code;
	vcpu->exit.code = code;
	if (code < ARRAY_SIZE(svm_exits))
		how = svm_exits[(u8)code];
	if (how - 1 < 0xff)
		svm_set_exit(&vcpu->exit, how, svm_insn_len(t->vmcb));
	else
		svm_exit_other(vcpu, code, how);
	return &vcpu->exit;
}

/* APM vol. 2, appendix C, by number. */
static const u8 svm_expected[0x100] = {
	[0x00 ... 0x1f] = VIREO_EXIT_CR,
	[0x20 ... 0x3f] = VIREO_EXIT_DR,
	[0x40 ... 0x5f] = VIREO_EXIT_EXCEPTION,
	[0x60] = VIREO_EXIT_INTR,
	[0x61] = VIREO_EXIT_NMI,
	[0x62] = VIREO_EXIT_SMI,
	[0x63] = VIREO_EXIT_INIT,
	[0x64] = VIREO_EXIT_IRQ_WINDOW,
	[0x65] = VIREO_EXIT_CR,
	[0x6e] = VIREO_EXIT_RDTSC,
	[0x6f] = VIREO_EXIT_RDPMC,
	[0x72] = VIREO_EXIT_CPUID,
	[0x73] = VIREO_EXIT_UNDEFINED,			/* RSM */
	[0x75] = VIREO_EXIT_EXCEPTION,			/* INT n */
	[0x76] = VIREO_EXIT_INVD,
	[0x77] = VIREO_EXIT_PAUSE,
	[0x78] = VIREO_EXIT_HLT,
	[0x79] = VIREO_EXIT_INVLPG,
	[0x7a] = VIREO_EXIT_UNDEFINED,			/* INVLPGA */
	[0x7b] = VIREO_EXIT_IO,
	[0x7c] = VIREO_EXIT_RDMSR,
	[0x7d] = VIREO_EXIT_TASK_SWITCH,
	[0x7f] = VIREO_EXIT_SHUTDOWN,
	[0x80] = VIREO_EXIT_UNDEFINED,			/* VMRUN */
	[0x81] = VIREO_EXIT_HYPERCALL,
	[0x82 ... 0x87] = VIREO_EXIT_UNDEFINED,		/* VMLOAD to SKINIT, RDTSCP */
	[0x89] = VIREO_EXIT_WBINVD,
	[0x8a] = VIREO_EXIT_MONITOR,
	[0x8b ... 0x8c] = VIREO_EXIT_MWAIT,
	[0x8d] = VIREO_EXIT_XSETBV,
	[0x8e] = VIREO_EXIT_UNDEFINED,			/* RDPRU */
	[0xa0 ... 0xa1] = VIREO_EXIT_UNDEFINED,		/* INVLPGB */
	[0xa3 ... 0xa4] = VIREO_EXIT_UNDEFINED,		/* MCOMMIT, TLBSYNC */
};

#define SVM_CODE_IRET	0x74
#define SVM_CODE_MC	(0x40 + 18)

static void svm_reason_test(struct kunit *test)
{
	struct svm_test *t = test->priv;
	u32 code;

	for (code = 0; code < 0x100; code++) {
		u16 reason = svm_expected[code] ?: VIREO_EXIT_UNKNOWN;
		struct vireo_exit *exit;

		/* #MC is raised again for the host, IRET goes on: neither from here. */
		if (code == SVM_CODE_IRET || code == SVM_CODE_MC)
			continue;
		exit = svm_decoded(t, code);
		KUNIT_EXPECT_GT_MSG(test, exit->reason, VIREO_EXIT_NONE, "code %#x", code);
		KUNIT_EXPECT_LT_MSG(test, exit->reason, VIREO_EXIT_HARDWARE_NR, "code %#x", code);
		KUNIT_EXPECT_EQ_MSG(test, exit->reason, reason, "code %#x", code);
		KUNIT_EXPECT_EQ_MSG(test, exit->code, code, "code %#x", code);
		KUNIT_EXPECT_EQ_MSG(test, exit->nr_bytes, 0, "code %#x", code);
	}
	/* What is not run through above is in the table all the same. */
	KUNIT_EXPECT_EQ(test, svm_exits[SVM_CODE_MC], svm_exits[0x40]);
	for (code = 0; code < 0x100; code++)
		KUNIT_EXPECT_EQ_MSG(test, !(svm_exits[code] & 0xff), !svm_expected[code],
				    "code %#x", code);
	KUNIT_EXPECT_EQ(test, test_work_entries, 0);
}

static void svm_reason_high_test(struct kunit *test)
{
	static const struct {
		u64 code;
		u16 reason;
	} rows[] = {
		{ 0x100, VIREO_EXIT_UNKNOWN },
		{ 0x172, VIREO_EXIT_UNKNOWN },
		{ 0x3ff, VIREO_EXIT_UNKNOWN },
		{ 0x400, VIREO_EXIT_MEMORY },
		{ 0x401, VIREO_EXIT_UNKNOWN },		/* AVIC */
		{ 0x403, VIREO_EXIT_UNKNOWN },		/* VMGEXIT */
		{ 0xf0000000, VIREO_EXIT_UNKNOWN },
		{ BIT_ULL(32) + 0x72, VIREO_EXIT_UNKNOWN },
		{ BIT_ULL(32) + 0x400, VIREO_EXIT_UNKNOWN },
		/* The processor's -1, and as QEMU writes it. */
		{ ~0ULL, VIREO_EXIT_INVALID_STATE },
		{ 0xffffffff, VIREO_EXIT_INVALID_STATE },
		{ ~0ULL - 1, VIREO_EXIT_UNKNOWN },
	};
	struct svm_test *t = test->priv;
	int i;

	t->vmcb->control.exit_info_1 = 0x11;
	t->vmcb->control.exit_info_2 = 0x22;
	t->vmcb->control.exit_int_info = 0x33;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vireo_exit *exit = svm_decoded(t, rows[i].code);

		KUNIT_EXPECT_EQ_MSG(test, exit->reason, rows[i].reason, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->insn_len, 0, "row %d", i);
		if (rows[i].code == 0x400)
			continue;
		/* For the log */
		KUNIT_EXPECT_EQ_MSG(test, exit->info[0], 0x11, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->info[1], 0x22, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->info[2], 0x33, "row %d", i);
	}
}

/* Lengths come of nRIP, where the processor saves it. */
static void svm_length_test(struct kunit *test)
{
	static const u64 rips[] = { 0, 1, 0xfd, 0xffff, 0x7fffffff, 0xfffffffe,
				    0xffffffff812345feULL };
	static const u16 codes[] = { 0x6e, 0x72, 0x76, 0x77, 0x78, 0x79, 0x7c, 0x81, 0x89, 0x8d };
	struct svm_test *t = test->priv;
	int r, c, len;

	for (c = 0; c < ARRAY_SIZE(codes); c++) {
		for (r = 0; r < ARRAY_SIZE(rips); r++) {
			t->vmcb->save.rip = rips[r];
			for (len = 1; len <= 15; len++) {
				t->vmcb->control.next_rip = rips[r] + len;
				KUNIT_ASSERT_EQ(test, svm_decoded(t, codes[c])->insn_len, len);
			}
			t->vmcb->control.next_rip = 0;
			KUNIT_ASSERT_EQ(test, svm_decoded(t, codes[c])->insn_len, 0);
		}
	}
}

static void svm_msr_test(struct kunit *test)
{
	struct svm_test *t = test->priv;
	struct vireo_exit *exit;

	t->vmcb->save.rip = 0x1000;
	t->vmcb->control.next_rip = 0x1002;
	t->vmcb->control.exit_info_1 = 0;
	exit = svm_decoded(t, 0x7c);
	KUNIT_EXPECT_EQ(test, exit->reason, VIREO_EXIT_RDMSR);
	KUNIT_EXPECT_EQ(test, exit->insn_len, 2);
	t->vmcb->control.exit_info_1 = 1;
	exit = svm_decoded(t, 0x7c);
	KUNIT_EXPECT_EQ(test, exit->reason, VIREO_EXIT_WRMSR);
	KUNIT_EXPECT_EQ(test, exit->insn_len, 2);
}

/* APM 15.10.2: sizes, directions, strings, REP; address size and segment play no part. */
static void svm_io_check(struct kunit *test, u16 port, u8 unit)
{
	static const u64 rips[] = { 0, 0xfe, 0xfffffffe, 0xffffffff800000ffULL };
	struct svm_test *t = test->priv;
	u32 i;

	for (i = 0; i < 8 * 64; i++) {
		const bool in = i & 1, string = i & 2, rep = i & 4;
		const u8 len = i % 15 + 1;
		struct vireo_exit *exit;

		t->vmcb->save.rip = rips[(port + i) % ARRAY_SIZE(rips)];
		t->vmcb->control.exit_info_1 = in | string << 2 | rep << 3 | unit << 4 |
					       i / 8 << 7 | (u32)port << 16;
		/* The next instruction, whether or not the processor saves nRIP. */
		t->vmcb->control.exit_info_2 = t->vmcb->save.rip + len;
		exit = svm_decoded(t, 0x7b);
		KUNIT_ASSERT_EQ(test, exit->reason, VIREO_EXIT_IO);
		KUNIT_ASSERT_EQ(test, exit->io.port, port);
		KUNIT_ASSERT_EQ(test, exit->io.unit, unit);
		KUNIT_ASSERT_EQ(test, exit->io.write, !in);
		KUNIT_ASSERT_EQ(test, exit->io.string, string);
		KUNIT_ASSERT_EQ(test, exit->io.rep, rep);
		KUNIT_ASSERT_EQ(test, exit->insn_len, len);
	}
}

static void svm_io_test(struct kunit *test)
{
	static const u16 ports[] = { 0, 1, 0x60, 0xff, 0x3f8, 0x8000, 0xcfc, 0xffff };
	int i, unit;

	for (i = 0; i < ARRAY_SIZE(ports); i++)
		for (unit = 1; unit <= 4; unit *= 2)
			svm_io_check(test, ports[i], unit);
}

/* Without decode assists only the number is known; with them, MOV's operand too. */
static void svm_cr_test(struct kunit *test)
{
	struct svm_test *t = test->priv;
	u32 code, gpr;

	t->vmcb->save.rip = 0x7000;
	t->vmcb->control.next_rip = 0x7003;
	for (code = 0; code < 0x20; code++)
		for (gpr = 0; gpr < 16; gpr++) {
			struct vireo_exit *exit;

			test_svm_caps.features = 0;
			t->vmcb->control.exit_info_1 = BIT_ULL(63) | gpr;
			exit = svm_decoded(t, code);
			KUNIT_ASSERT_EQ(test, exit->reason, VIREO_EXIT_CR);
			KUNIT_ASSERT_EQ(test, exit->cr.nr, code % 16);
			KUNIT_ASSERT_EQ(test, exit->cr.op, VIREO_CR_INTERPRET);
			/* The interpreter finds the length with the rest. */
			KUNIT_ASSERT_EQ(test, exit->insn_len, 0);

			test_svm_caps.features = BIT(7);
			exit = svm_decoded(t, code);
			KUNIT_ASSERT_EQ(test, exit->cr.nr, code % 16);
			KUNIT_ASSERT_EQ(test, exit->cr.op, code < 16 ? VIREO_CR_READ :
								       VIREO_CR_WRITE);
			KUNIT_ASSERT_EQ(test, exit->cr.gpr, gpr);
			KUNIT_ASSERT_EQ(test, exit->insn_len, 3);

			/* CLTS, LMSW, SMSW */
			t->vmcb->control.exit_info_1 = gpr;
			exit = svm_decoded(t, code);
			KUNIT_ASSERT_EQ(test, exit->cr.op, VIREO_CR_INTERPRET);
			KUNIT_ASSERT_EQ(test, exit->insn_len, 0);
		}
	/* All features but that one. */
	test_svm_caps.features = ~(u32)BIT(7);
	t->vmcb->control.exit_info_1 = BIT_ULL(63) | 5;
	KUNIT_EXPECT_EQ(test, svm_decoded(t, 0x10)->cr.op, VIREO_CR_INTERPRET);
	/* CR0 but for TS and MP */
	KUNIT_EXPECT_EQ(test, svm_decoded(t, 0x65)->cr.nr, 0);
	test_svm_caps.features = BIT(7);
	KUNIT_EXPECT_EQ(test, svm_decoded(t, 0x65)->cr.nr, 0);
	KUNIT_EXPECT_EQ(test, svm_decoded(t, 0x65)->cr.op, VIREO_CR_WRITE);
}

static void svm_dr_test(struct kunit *test)
{
	struct svm_test *t = test->priv;
	u32 code;

	t->vmcb->save.rip = 0xffd;
	t->vmcb->control.next_rip = 0x1000;
	for (code = 0x20; code < 0x40; code++) {
		struct vireo_exit *exit;

		t->vmcb->control.exit_info_1 = 0x30 | code % 11;
		exit = svm_decoded(t, code);
		KUNIT_ASSERT_EQ(test, exit->reason, VIREO_EXIT_DR);
		KUNIT_ASSERT_EQ(test, exit->dr.nr, code % 16);
		KUNIT_ASSERT_EQ(test, exit->dr.write, code >= 0x30);
		KUNIT_ASSERT_EQ(test, exit->dr.gpr, code % 11);
		KUNIT_ASSERT_EQ(test, exit->insn_len, 3);
	}
}

/* APM 8.2: which vectors have an error code. */
static void svm_exception_test(struct kunit *test)
{
	const u32 with_error = BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17) |
			       BIT(21) | BIT(30);
	struct svm_test *t = test->priv;
	u32 vector;

	t->vmcb->control.exit_info_1 = 0x1234;
	t->vmcb->control.exit_info_2 = 0xffff800000001000ULL;
	t->vmcb->control.next_rip = 0x100;
	for (vector = 0; vector < 32; vector++) {
		bool has_error = with_error & BIT(vector);
		struct vireo_exit *exit;

		if (vector == 18 || vector == 1)
			continue;
		exit = svm_decoded(t, 0x40 + vector);
		KUNIT_ASSERT_EQ(test, exit->reason, VIREO_EXIT_EXCEPTION);
		KUNIT_ASSERT_EQ(test, exit->exc.vector, vector);
		KUNIT_ASSERT_EQ_MSG(test, exit->exc.has_error, has_error, "vector %u", vector);
		KUNIT_ASSERT_EQ(test, exit->exc.error, has_error ? 0x1234 : 0);
		KUNIT_ASSERT_EQ(test, exit->exc.cr2, 0xffff800000001000ULL);
		KUNIT_ASSERT_EQ(test, exit->insn_len, 0);
	}
}

static void svm_debug_test(struct kunit *test)
{
	struct svm_test *t = test->priv;
	struct vireo_exit *exit;

	/* The guest's registers are not in the processor: DR6 is kept beside. */
	t->vcpu.dr6 = SVM_DR6_QUIET | DR_TRAP3 | DR_STEP;
	t->vmcb->save.dr6 = SVM_DR6_QUIET | DR_TRAP1;
	t->vmcb->control.clean = VMCB_CLEAN_ALL;
	exit = svm_decoded(t, 0x41);
	KUNIT_EXPECT_EQ(test, exit->reason, VIREO_EXIT_EXCEPTION);
	KUNIT_EXPECT_EQ(test, exit->exc.vector, 1);
	KUNIT_EXPECT_FALSE(test, exit->exc.has_error);
	KUNIT_EXPECT_EQ(test, exit->exc.cr2, DR_TRAP1);
	/* Breakpoints are reported anew, other bits stay until the guest clears them. */
	KUNIT_EXPECT_EQ(test, t->vcpu.dr6, SVM_DR6_QUIET | DR_TRAP1 | DR_STEP);
	KUNIT_EXPECT_EQ(test, t->vmcb->save.dr6, SVM_DR6_QUIET);
	KUNIT_EXPECT_FALSE(test, t->vmcb->control.clean & VMCB_CLEAN_DR);

	/* They are: what the processor has put there is the guest's. */
	t->vcpu.dr_loaded = true;
	t->vmcb->save.dr6 = SVM_DR6_QUIET | DR_STEP;
	exit = svm_decoded(t, 0x41);
	KUNIT_EXPECT_EQ(test, exit->exc.cr2, DR_STEP);
	KUNIT_EXPECT_EQ(test, t->vmcb->save.dr6, SVM_DR6_QUIET | DR_STEP);
	KUNIT_EXPECT_EQ(test, t->vcpu.dr6, SVM_DR6_QUIET | DR_STEP);

	/* DR6 says nothing: with TF it was a step. */
	t->vcpu.dr_loaded = false;
	t->vmcb->save.dr6 = SVM_DR6_QUIET;
	t->vmcb->save.rflags = X86_EFLAGS_TF;
	KUNIT_EXPECT_EQ(test, svm_decoded(t, 0x41)->exc.cr2, DR_STEP);
	t->vmcb->save.rflags = 0;
	KUNIT_EXPECT_EQ(test, svm_decoded(t, 0x41)->exc.cr2, 0);

	/* Our own step is none of the guest's: a window, or straight on. */
	test_stepped = true;
	test_step_reason = VIREO_EXIT_IRQ_WINDOW;
	KUNIT_EXPECT_EQ(test, svm_decoded(t, 0x41)->reason, VIREO_EXIT_IRQ_WINDOW);
	KUNIT_EXPECT_EQ(test, test_work_entries, 0);
	test_step_reason = VIREO_EXIT_NONE;
	svm_decoded(t, 0x41);
	KUNIT_EXPECT_EQ(test, test_work_entries, 1);
}

static void svm_iret_test(struct kunit *test)
{
	struct svm_test *t = test->priv;

	svm_decoded(t, SVM_CODE_IRET);
	KUNIT_EXPECT_EQ(test, test_irets, 1);
	KUNIT_EXPECT_EQ(test, test_work_entries, 1);
}

/* APM 15.25.6: the page-fault bits say what, bits 32 and 33 where. */
static void svm_npf_test(struct kunit *test)
{
	struct svm_test *t = test->priv;
	u32 error, where;

	t->vmcb->save.rip = 0x1000;
	t->vmcb->control.next_rip = 0x1004;
	t->vmcb->control.exit_info_2 = 0x000ffedcba987654ULL;
	for (error = 0; error < 0x80; error++)
		for (where = 0; where < 4; where++) {
			u8 access = error & BIT(4) ? VIREO_ACCESS_EXEC :
				    error & BIT(1) ? VIREO_ACCESS_WRITE : VIREO_ACCESS_READ;
			struct vireo_exit *exit;

			t->vmcb->control.exit_info_1 = error | (u64)where << 32;
			exit = svm_decoded(t, 0x400);
			KUNIT_ASSERT_EQ(test, exit->reason, error & BIT(3) ?
					VIREO_EXIT_MMIO_CACHED : VIREO_EXIT_MEMORY);
			KUNIT_ASSERT_EQ(test, exit->mem.gpa, 0x000ffedcba987654ULL);
			KUNIT_ASSERT_EQ(test, exit->mem.access, access);
			KUNIT_ASSERT_FALSE(test, exit->mem.gla_valid);
			KUNIT_ASSERT_EQ(test, exit->mem.in_walk, !!(where & 2));
			KUNIT_ASSERT_EQ(test, exit->insn_len, 0);
			KUNIT_ASSERT_EQ(test, exit->nr_bytes, 0);
		}
}

/* Decode assists give the instruction's bytes; never more than fit. */
static void svm_bytes_test(struct kunit *test)
{
	struct svm_test *t = test->priv;
	struct vireo_exit *exit;
	u32 nr, i;

	for (i = 0; i < 15; i++)
		t->vmcb->control.insn[i] = 0x90 + i;
	for (nr = 0; nr < 256; nr++) {
		t->vmcb->control.insn_nr = nr;
		exit = svm_decoded(t, 0x400);
		KUNIT_ASSERT_EQ(test, exit->nr_bytes, min(nr, 15U));
		for (i = 0; i < exit->nr_bytes; i++)
			KUNIT_ASSERT_EQ(test, exit->bytes[i], 0x90 + i);
	}
	/* They belong to this exit, not to the next. */
	exit = svm_decoded(t, 0x72);
	KUNIT_EXPECT_EQ(test, exit->nr_bytes, 0);
}

/* APM 15.33.3: the address, with decode assists; and only if the instruction's length is known as well. */
static void svm_invlpg_test(struct kunit *test)
{
	static const struct {
		u32 features;
		u64 next;
		bool valid;
	} rows[] = {
		{ 0, 0, false },
		{ SVM_F_DECODE_ASSISTS, 0, false },
		{ SVM_F_NRIP_SAVE, 0x1003, false },
		{ SVM_F_DECODE_ASSISTS | SVM_F_NRIP_SAVE, 0x1003, true },
	};
	struct svm_test *t = test->priv;
	int i;

	t->vmcb->save.rip = 0x1000;
	t->vmcb->control.exit_info_1 = 0xffff888012345678ULL;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vireo_exit *exit;

		test_svm_caps.features = rows[i].features;
		t->vmcb->control.next_rip = rows[i].next;
		exit = svm_decoded(t, 0x79);
		KUNIT_EXPECT_EQ_MSG(test, exit->reason, VIREO_EXIT_INVLPG, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->mem.gla_valid, rows[i].valid, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->insn_len, rows[i].next ? 3 : 0, "row %d", i);
		if (rows[i].valid)
			KUNIT_EXPECT_EQ(test, exit->mem.gla, 0xffff888012345678ULL);
	}
}

/* APM 15.14.1 */
static void svm_task_test(struct kunit *test)
{
	static const struct {
		u64 info_2;
		u32 int_info;
		u8 source;
		bool has_error;
	} rows[] = {
		{ 0, 0, 0, false },				/* CALL */
		{ BIT_ULL(36), 0, 1, false },			/* IRET */
		{ BIT_ULL(38), 0, 2, false },			/* JMP */
		{ 0, BIT(31) | 0x80, 3, false },		/* a gate */
		{ BIT_ULL(44) | 0x55aa1234, BIT(31) | 0xb0d, 3, true },
		{ BIT_ULL(48), 0, 0, false },			/* RF */
	};
	struct svm_test *t = test->priv;
	int i;

	t->vmcb->control.exit_info_1 = 0x1fff8;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vireo_exit *exit;

		t->vmcb->control.exit_info_2 = rows[i].info_2;
		t->vmcb->control.exit_int_info = rows[i].int_info;
		exit = svm_decoded(t, 0x7d);
		KUNIT_EXPECT_EQ_MSG(test, exit->reason, VIREO_EXIT_TASK_SWITCH, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->task.selector, 0xfff8, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->task.source, rows[i].source, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->task.has_error, rows[i].has_error, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->task.error, (u32)rows[i].info_2, "row %d", i);
		KUNIT_EXPECT_EQ_MSG(test, exit->info[1], rows[i].info_2, "row %d", i);
	}
}

static struct kunit_case svm_exit_cases[] = {
	KUNIT_CASE(svm_reason_test),
	KUNIT_CASE(svm_reason_high_test),
	KUNIT_CASE(svm_length_test),
	KUNIT_CASE(svm_msr_test),
	KUNIT_CASE(svm_io_test),
	KUNIT_CASE(svm_cr_test),
	KUNIT_CASE(svm_dr_test),
	KUNIT_CASE(svm_exception_test),
	KUNIT_CASE(svm_debug_test),
	KUNIT_CASE(svm_iret_test),
	KUNIT_CASE(svm_npf_test),
	KUNIT_CASE(svm_bytes_test),
	KUNIT_CASE(svm_invlpg_test),
	KUNIT_CASE(svm_task_test),
	{}
};

extern struct kunit_suite vireo_svm_exit_suite;
struct kunit_suite vireo_svm_exit_suite = {
	.name = "vireo-svm-exit",
	.init = svm_test_init,
	.test_cases = svm_exit_cases,
};

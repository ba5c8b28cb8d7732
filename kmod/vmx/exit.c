// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the processor's exit to the neutral one.
 */
#include <linux/string.h>
#include <asm/trapnr.h>

#include "exit.h"

#define ROW(basic, neutral, wants) \
	[VMX_REASON_##basic] = { .reason = VIREO_EXIT_##neutral, .want = (wants) }
#define LEN	VMX_WANT_LEN
#define QUAL	VMX_WANT_QUAL
#define VMX_EXIT_OTHER {					\
	.reason = VIREO_EXIT_UNKNOWN,				\
	.want = LEN | QUAL | VMX_WANT_VECTORING | VMX_WANT_EVENT,	\
}

const struct vmx_exit_kind vmx_exit_kinds[VMX_EXIT_KINDS] = {
	ROW(EXCEPTION,		EXCEPTION,	QUAL | VMX_WANT_EVENT | VMX_WANT_VECTORING),
	ROW(INTR,		INTR,		0),
	ROW(TRIPLE_FAULT,	SHUTDOWN,	0),
	ROW(INIT,		INIT,		0),
	ROW(SIPI,		SIPI,		QUAL),
	ROW(IO_SMI,		SMI,		0),
	ROW(SMI,		SMI,		0),
	ROW(IRQ_WINDOW,		IRQ_WINDOW,	0),
	ROW(NMI_WINDOW,		NMI_WINDOW,	0),
	ROW(TASK_SWITCH,	TASK_SWITCH,	LEN | QUAL | VMX_WANT_VECTORING),
	ROW(CPUID,		CPUID,		LEN),
	ROW(GETSEC,		UNDEFINED,	LEN),
	ROW(HLT,		HLT,		LEN),
	ROW(INVD,		INVD,		LEN),
	ROW(INVLPG,		INVLPG,		LEN | QUAL),
	ROW(RDPMC,		RDPMC,		LEN),
	ROW(RDTSC,		RDTSC,		LEN),
	ROW(RSM,		UNDEFINED,	LEN),
	ROW(VMCALL,		HYPERCALL,	LEN),
	ROW(VMCLEAR,		UNDEFINED,	LEN),
	ROW(VMLAUNCH,		UNDEFINED,	LEN),
	ROW(VMPTRLD,		UNDEFINED,	LEN),
	ROW(VMPTRST,		UNDEFINED,	LEN),
	ROW(VMREAD,		UNDEFINED,	LEN),
	ROW(VMRESUME,		UNDEFINED,	LEN),
	ROW(VMWRITE,		UNDEFINED,	LEN),
	ROW(VMXOFF,		UNDEFINED,	LEN),
	ROW(VMXON,		UNDEFINED,	LEN),
	ROW(CR,			CR,		LEN | QUAL),
	ROW(DR,			DR,		LEN | QUAL),
	ROW(IO,			IO,		LEN | QUAL),
	ROW(RDMSR,		RDMSR,		LEN),
	ROW(WRMSR,		WRMSR,		LEN),
	ROW(BAD_STATE,		INVALID_STATE,	QUAL),
	ROW(BAD_MSR,		INVALID_STATE,	QUAL),
	ROW(MWAIT,		MWAIT,		LEN | QUAL),
	ROW(TRAP_FLAG,		STEP,		VMX_WANT_VECTORING),
	ROW(MONITOR,		MONITOR,	LEN),
	ROW(PAUSE,		PAUSE,		LEN),
	ROW(ENTRY_MCE,		MCE,		0),
	ROW(TPR,		TPR,		0),
	ROW(APIC_ACCESS,	UNKNOWN,	LEN | QUAL | VMX_WANT_VECTORING),
	ROW(VIRTUAL_EOI,	APIC_EOI,	QUAL),
	ROW(GDTR_IDTR,		DESCRIPTOR,	LEN),
	ROW(LDTR_TR,		DESCRIPTOR,	LEN),
	ROW(EPT_VIOLATION,	MEMORY,		QUAL | VMX_WANT_GPA | VMX_WANT_VECTORING),
	ROW(EPT_MISCONFIG,	MMIO_CACHED,	VMX_WANT_GPA | VMX_WANT_VECTORING),
	ROW(INVEPT,		UNDEFINED,	LEN),
	ROW(RDTSCP,		UNDEFINED,	LEN),
	ROW(TIMER,		TIMER,		0),
	ROW(INVVPID,		UNDEFINED,	LEN),
	ROW(WBINVD,		WBINVD,		LEN),
	ROW(XSETBV,		XSETBV,		LEN),
	ROW(APIC_WRITE,		APIC_WRITE,	QUAL),
	ROW(RDRAND,		UNDEFINED,	LEN),
	ROW(INVPCID,		UNDEFINED,	LEN),
	ROW(VMFUNC,		UNDEFINED,	LEN),
	ROW(ENCLS,		UNDEFINED,	LEN),
	ROW(RDSEED,		UNDEFINED,	LEN),
	ROW(PML_FULL,		INTR,		QUAL | VMX_WANT_VECTORING),
	ROW(XSAVES,		UNDEFINED,	LEN),
	ROW(XRSTORS,		UNDEFINED,	LEN),
	ROW(PCONFIG,		UNDEFINED,	LEN),
	ROW(SPP,		UNKNOWN,	QUAL | VMX_WANT_GPA | VMX_WANT_VECTORING),
	ROW(UMWAIT,		UNDEFINED,	LEN),
	ROW(TPAUSE,		UNDEFINED,	LEN),

	/* Not in appendix C, or of features later than this table. */
	[35] = VMX_EXIT_OTHER,
	[38] = VMX_EXIT_OTHER,
	[42] = VMX_EXIT_OTHER,
	[VMX_REASON_TPAUSE + 1 ... VMX_EXIT_KINDS - 1] = VMX_EXIT_OTHER,
};

#undef ROW
#undef VMX_EXIT_OTHER
#undef LEN
#undef QUAL

/* SDM vol. 3, table 28-3 */
static void vmx_decode_cr(u64 qual, struct vireo_exit *exit)
{
	static const u8 op[4] = { VIREO_CR_WRITE, VIREO_CR_READ, VIREO_CR_CLTS, VIREO_CR_LMSW };

	exit->cr.nr = qual & 0xf;
	exit->cr.op = op[qual >> 4 & 3];
	exit->cr.gpr = qual >> 8 & 0xf;
	exit->cr.lmsw = qual >> 16;
}

/* Table 28-4 */
static void vmx_decode_dr(u64 qual, struct vireo_exit *exit)
{
	exit->dr.nr = qual & 7;
	exit->dr.write = !(qual & BIT(4));
	exit->dr.gpr = qual >> 8 & 0xf;
}

/* Table 28-2, and the error code that may come with it */
static void vmx_decode_task(const struct vmx_raw_exit *raw, struct vireo_exit *exit)
{
	exit->task.selector = raw->qual;
	exit->task.source = raw->qual >> 30 & 3;
	exit->task.has_error = raw->vectoring & VMX_EVENT_VALID &&
			       raw->vectoring & VMX_EVENT_HAS_ERROR;
	exit->task.error = exit->task.has_error ? raw->vectoring_error : 0;
}

static void vmx_decode_exception(const struct vmx_raw_exit *raw, struct vireo_exit *exit)
{
	u8 vector = raw->event & VMX_EVENT_VECTOR;

	if ((raw->event & VMX_EVENT_TYPE) >> VMX_EVENT_TYPE_SHIFT == VMX_EVENT_TYPE_NMI) {
		exit->reason = VIREO_EXIT_NMI;
		return;
	}
	if (vector == X86_TRAP_MC) {
		exit->reason = VIREO_EXIT_MCE;
		return;
	}
	exit->exc.vector = vector;
	exit->exc.has_error = raw->event & VMX_EVENT_HAS_ERROR;
	exit->exc.error = exit->exc.has_error ? raw->error : 0;
	/* #PF: linear address; #DB: bits for DR6 (table 28-1) */
	exit->exc.cr2 = raw->qual;
}

void vmx_decode(const struct vmx_raw_exit *raw, struct vireo_exit *exit)
{
	u32 basic = raw->reason & VMX_REASON_BASIC;
	const struct vmx_exit_kind *kind;

	memset(exit, 0, sizeof(*exit));
	exit->code = raw->reason;
	exit->info[0] = raw->qual;
	exit->info[1] = raw->event;
	exit->info[2] = raw->gla;
	if (basic >= VMX_EXIT_KINDS) {
		exit->reason = VIREO_EXIT_UNKNOWN;
		return;
	}
	kind = &vmx_exit_kinds[basic & (VMX_EXIT_KINDS - 1)];
	exit->reason = kind->reason;
	if (raw->reason & VMX_REASON_ENTRY_FAILED) {
		if (kind->reason != VIREO_EXIT_MCE)
			exit->reason = VIREO_EXIT_INVALID_STATE;
		return;
	}
	if (kind->want & VMX_WANT_LEN)
		exit->insn_len = raw->len;

	switch (exit->reason) {
	case VIREO_EXIT_EXCEPTION:
		vmx_decode_exception(raw, exit);
		break;
	case VIREO_EXIT_IO:
		vmx_decode_io(raw->qual, exit);
		break;
	case VIREO_EXIT_CR:
		vmx_decode_cr(raw->qual, exit);
		break;
	case VIREO_EXIT_DR:
		vmx_decode_dr(raw->qual, exit);
		break;
	case VIREO_EXIT_MEMORY:
		vmx_decode_memory(raw->qual, raw->gpa, raw->gla, exit);
		break;
	case VIREO_EXIT_MMIO_CACHED:
		exit->mem.gpa = raw->gpa;
		break;
	case VIREO_EXIT_INVLPG:
		exit->mem.gla = raw->qual;
		exit->mem.gla_valid = true;
		break;
	case VIREO_EXIT_APIC_WRITE:
		exit->apic.offset = raw->qual & 0xff0;
		break;
	case VIREO_EXIT_APIC_EOI:
		exit->apic.vector = raw->qual;
		break;
	case VIREO_EXIT_TASK_SWITCH:
		vmx_decode_task(raw, exit);
		break;
	}
}

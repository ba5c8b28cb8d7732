// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest entry, and the exit in neutral form.
 *
 * svm_enter() is what every exit pays for: it does itself what all exits need and those of one plain
 * instruction; the others go on in svm_exit_other().
 */
#include <linux/sched.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>
#include <asm/special_insns.h>
#include <asm/trapnr.h>

#include "svm.h"

static_assert(offsetof(struct vireo_vcpu, gpr) == 0);

/* How to make an exit of a processor's code: beside the reason in svm_exits[]. */
#define SVM_INSN	0x000	/* an instruction; its length if the processor saves nRIP */
#define SVM_EVENT	0x100	/* nothing to add to the reason */
#define SVM_MSR		0x200
#define SVM_IO		0x300
#define SVM_CR		0x400
#define SVM_DR		0x500
#define SVM_EXCEPTION	0x600
#define SVM_TASK	0x700
#define SVM_IRET	0x800
#define SVM_INTN	0x900
#define SVM_INVLPG	0xa00
#define SVM_KIND	0xf00

/* What is not listed is 0: no such exit is known.  Any index of 8 bits is inside. */
#define SVM_EXIT(reason, kind) (VIREO_EXIT_##reason | SVM_##kind)
static_assert(VIREO_EXIT_HARDWARE_NR <= 0x100 && VIREO_EXIT_NONE == 0);

static const u16 svm_exits[0x100] = {
	[VMEXIT_CR_READ ... VMEXIT_CR_READ + 15] = SVM_EXIT(CR, CR),
	[VMEXIT_CR_WRITE ... VMEXIT_CR_WRITE + 15] = SVM_EXIT(CR, CR),
	[VMEXIT_DR_READ ... VMEXIT_DR_READ + 15] = SVM_EXIT(DR, DR),
	[VMEXIT_DR_WRITE ... VMEXIT_DR_WRITE + 15] = SVM_EXIT(DR, DR),
	[VMEXIT_EXCEPTION ... VMEXIT_EXCEPTION + 31] = SVM_EXIT(EXCEPTION, EXCEPTION),
	[VMEXIT_INTR]		= SVM_EXIT(INTR, EVENT),
	[VMEXIT_NMI]		= SVM_EXIT(NMI, EVENT),
	[VMEXIT_SMI]		= SVM_EXIT(SMI, EVENT),
	[VMEXIT_INIT]		= SVM_EXIT(INIT, EVENT),
	[VMEXIT_VINTR]		= SVM_EXIT(IRQ_WINDOW, EVENT),
	[VMEXIT_CR0_SELECTIVE]	= SVM_EXIT(CR, CR),
	[VMEXIT_RDTSC]		= SVM_EXIT(RDTSC, INSN),
	[VMEXIT_RDPMC]		= SVM_EXIT(RDPMC, INSN),
	[VMEXIT_CPUID]		= SVM_EXIT(CPUID, INSN),
	[VMEXIT_RSM]		= SVM_EXIT(UNDEFINED, INSN),
	[VMEXIT_IRET]		= SVM_EXIT(NONE, IRET),
	[VMEXIT_INTN]		= SVM_EXIT(EXCEPTION, INTN),
	[VMEXIT_INVD]		= SVM_EXIT(INVD, INSN),
	[VMEXIT_PAUSE]		= SVM_EXIT(PAUSE, INSN),
	[VMEXIT_HLT]		= SVM_EXIT(HLT, INSN),
	[VMEXIT_INVLPG]		= SVM_EXIT(INVLPG, INVLPG),
	[VMEXIT_INVLPGA]	= SVM_EXIT(UNDEFINED, INSN),
	[VMEXIT_IOIO]		= SVM_EXIT(IO, IO),
	[VMEXIT_MSR]		= SVM_EXIT(RDMSR, MSR),
	[VMEXIT_TASK_SWITCH]	= SVM_EXIT(TASK_SWITCH, TASK),
	[VMEXIT_SHUTDOWN]	= SVM_EXIT(SHUTDOWN, EVENT),
	[VMEXIT_VMRUN]		= SVM_EXIT(UNDEFINED, INSN),
	[VMEXIT_VMMCALL]	= SVM_EXIT(HYPERCALL, INSN),
	[VMEXIT_VMLOAD ... VMEXIT_RDTSCP] = SVM_EXIT(UNDEFINED, INSN),
	[VMEXIT_WBINVD]		= SVM_EXIT(WBINVD, INSN),
	[VMEXIT_MONITOR]	= SVM_EXIT(MONITOR, INSN),
	[VMEXIT_MWAIT]		= SVM_EXIT(MWAIT, INSN),
	[VMEXIT_MWAIT_ARMED]	= SVM_EXIT(MWAIT, INSN),
	[VMEXIT_XSETBV]		= SVM_EXIT(XSETBV, INSN),
	[VMEXIT_RDPRU]		= SVM_EXIT(UNDEFINED, INSN),
	[VMEXIT_INVLPGB]	= SVM_EXIT(UNDEFINED, INSN),
	[VMEXIT_INVLPGB_ILLEGAL] = SVM_EXIT(UNDEFINED, INSN),
	[VMEXIT_MCOMMIT]	= SVM_EXIT(UNDEFINED, INSN),
	[VMEXIT_TLBSYNC]	= SVM_EXIT(UNDEFINED, INSN),
};

/* Exceptions that push an error code (APM vol. 2, 8.2). */
#define SVM_HAS_ERROR (BIT(X86_TRAP_DF) | BIT(X86_TRAP_TS) | BIT(X86_TRAP_NP) | \
		       BIT(X86_TRAP_SS) | BIT(X86_TRAP_GP) | BIT(X86_TRAP_PF) | \
		       BIT(X86_TRAP_AC) | BIT(X86_TRAP_CP) | BIT(30))

/* Reason, length and number of bytes by one store. */
static_assert(offsetof(struct vireo_exit, reason) == 0);
static_assert(offsetof(struct vireo_exit, insn_len) == 2);
static_assert(offsetof(struct vireo_exit, nr_bytes) == 3);
static_assert(offsetof(struct vireo_vcpu, exit) % 8 == 0);

static __always_inline void svm_set_exit(struct vireo_exit *exit, u32 reason, u8 insn_len)
{
	*(u32 *)exit = reason | (u32)insn_len << 16;
}

/* Length of the instruction, if the processor saved what follows it (APM 15.7.1). */
static __always_inline u8 svm_insn_len(const struct vmcb *vmcb)
{
	u8 next = vmcb->control.next_rip;

	return likely(vmcb->control.next_rip) ? next - (u8)vmcb->save.rip : 0;
}

static void svm_exit_info(struct vireo_exit *exit, const struct vmcb *vmcb)
{
	exit->info[0] = vmcb->control.exit_info_1;
	exit->info[1] = vmcb->control.exit_info_2;
	exit->info[2] = vmcb->control.exit_int_info;
}

static void svm_exit_cr(struct vireo_exit *exit, const struct vmcb *vmcb, u32 code)
{
	u64 info = vmcb->control.exit_info_1;

	exit->cr.nr = code == VMEXIT_CR0_SELECTIVE ? 0 : code & 0xf;
	if ((svm_caps.features & SVM_F_DECODE_ASSISTS) && (info & VMEXIT_CR_MOV)) {
		exit->cr.op = code < VMEXIT_CR_WRITE ? VIREO_CR_READ : VIREO_CR_WRITE;
		exit->cr.gpr = info & VMEXIT_CR_GPR;
		exit->insn_len = svm_insn_len(vmcb);
	} else {
		/* Which of MOV, CLTS, LMSW, SMSW, and which operand, only the code tells. */
		exit->cr.op = VIREO_CR_INTERPRET;
	}
}

static void svm_exit_dr(struct vireo_exit *exit, const struct vmcb *vmcb, u32 code)
{
	exit->dr.nr = code & 0xf;
	exit->dr.gpr = vmcb->control.exit_info_1 & VMEXIT_CR_GPR;
	exit->dr.write = code >= VMEXIT_DR_WRITE;
	exit->insn_len = svm_insn_len(vmcb);
}

static void svm_exit_exception(struct vireo_vcpu *vcpu, u32 vector)
{
	struct vireo_exit *exit = &vcpu->exit;
	struct vmcb *vmcb = to_vmcb(vcpu);

	exit->exc.vector = vector;
	exit->exc.has_error = SVM_HAS_ERROR & BIT(vector);
	exit->exc.error = exit->exc.has_error ? vmcb->control.exit_info_1 : 0;
	exit->exc.cr2 = vmcb->control.exit_info_2;

	if (vector == X86_TRAP_MC) {
		/* The intercept came in place of the host's handler (APM 15.12.15). */
		exit->reason = VIREO_EXIT_MCE;
		asm volatile("int $18");
	} else if (vector == X86_TRAP_DB) {
		if (svm_step_done(vcpu, &exit->reason)) {
			if (exit->reason == VIREO_EXIT_NONE)
				svm_enter(vcpu);
			return;
		}
		/* DR6 in the VMCB is the guest's only while the debug registers are loaded. */
		exit->exc.cr2 = svm_db_cause(vmcb);
		if (vcpu->dr_loaded) {
			vmcb->save.dr6 |= exit->exc.cr2;
			vcpu->dr6 = vmcb->save.dr6;
		} else {
			vcpu->dr6 = (vcpu->dr6 & ~(u64)DR_TRAP_BITS) | exit->exc.cr2;
			vmcb->save.dr6 = SVM_DR6_QUIET;
		}
		vmcb_dirty(vmcb, VMCB_CLEAN_DR);
	}
}

static void svm_exit_task(struct vireo_exit *exit, const struct vmcb *vmcb)
{
	u64 info = vmcb->control.exit_info_2;

	exit->task.selector = vmcb->control.exit_info_1;
	exit->task.has_error = info & VMEXIT_TASK_ERROR;
	exit->task.error = info;
	if (info & VMEXIT_TASK_IRET)
		exit->task.source = 1;
	else if (info & VMEXIT_TASK_JUMP)
		exit->task.source = 2;
	else
		exit->task.source = vmcb->control.exit_int_info & VMCB_EVENT_VALID ? 3 : 0;
	svm_exit_info(exit, vmcb);
}

static void svm_exit_memory(struct vireo_exit *exit, const struct vmcb *vmcb)
{
	u64 info = vmcb->control.exit_info_1;

	/* Reserved bits are set only where the tables say "MMIO" on purpose. */
	exit->reason = info & VMEXIT_NPF_RESERVED ? VIREO_EXIT_MMIO_CACHED : VIREO_EXIT_MEMORY;
	exit->mem.gpa = vmcb->control.exit_info_2;
	exit->mem.access = info & VMEXIT_NPF_FETCH ? VIREO_ACCESS_EXEC :
			   info & VMEXIT_NPF_WRITE ? VIREO_ACCESS_WRITE : VIREO_ACCESS_READ;
	exit->mem.gla_valid = false;
	exit->mem.in_walk = info & VMEXIT_NPF_IN_WALK;
	if (vmcb->control.insn_nr) {
		exit->nr_bytes = min_t(u8, vmcb->control.insn_nr, sizeof(exit->bytes));
		memcpy(exit->bytes, vmcb->control.insn, sizeof(exit->bytes));
	}
}

static void svm_exit_raw(struct vireo_exit *exit, const struct vmcb *vmcb)
{
	exit->reason = (u32)vmcb->control.exit_code == VMEXIT_INVALID ? VIREO_EXIT_INVALID_STATE :
								   VIREO_EXIT_UNKNOWN;
	svm_exit_info(exit, vmcb);
}

static noinline void svm_exit_other(struct vireo_vcpu *vcpu, u64 code, u32 how)
{
	struct vmcb *vmcb = to_vmcb(vcpu);
	struct vmcb_control *c = &vmcb->control;
	struct vireo_exit *exit = &vcpu->exit;
	u32 info;

	svm_set_exit(exit, how & ~SVM_KIND, 0);
	if (code == VMEXIT_NPF) {
		svm_exit_memory(exit, vmcb);
		return;
	}
	switch (how & SVM_KIND) {
	case SVM_EVENT:
		return;
	case SVM_INVLPG:
		exit->insn_len = svm_insn_len(vmcb);
		exit->mem.gla_valid = (svm_caps.features & SVM_F_DECODE_ASSISTS) && exit->insn_len;
		exit->mem.gla = c->exit_info_1;
		return;
	case SVM_MSR:
		svm_set_exit(exit, c->exit_info_1 ? VIREO_EXIT_WRMSR : VIREO_EXIT_RDMSR,
			     svm_insn_len(vmcb));
		return;
	case SVM_IO:
		info = c->exit_info_1;
		exit->insn_len = (u8)c->exit_info_2 - (u8)vmcb->save.rip;
		exit->io.port = info >> VMEXIT_IO_PORT_SHIFT;
		exit->io.unit = info >> VMEXIT_IO_SIZE_SHIFT & 7;
		exit->io.write = !(info & VMEXIT_IO_IN);
		exit->io.string = info & VMEXIT_IO_STRING;
		exit->io.rep = info & VMEXIT_IO_REP;
		return;
	case SVM_CR:
		svm_exit_cr(exit, vmcb, code);
		return;
	case SVM_DR:
		svm_exit_dr(exit, vmcb, code);
		return;
	case SVM_EXCEPTION:
		svm_exit_exception(vcpu, code - VMEXIT_EXCEPTION);
		return;
	case SVM_TASK:
		svm_exit_task(exit, vmcb);
		return;
	case SVM_INTN:
		/* As it is on VMX, where an IDT with nothing in it makes it fault. */
		exit->exc.vector = X86_TRAP_GP;
		exit->exc.has_error = true;
		exit->exc.error = 2;
		return;
	case SVM_IRET:
		/* Of no interest to anybody else; a kick that comes now ends the guest again. */
		svm_iret(vcpu);
		svm_enter(vcpu);
		return;
	default:
		svm_exit_raw(exit, vmcb);
		return;
	}
}

static __always_inline void svm_run(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	unsigned long vmcb_pa, host_pa;
	struct vmcb *vmcb;
	u64 code;
	u32 how;

	vmcb = svm->vmcb;
	vmcb->save.rax = vcpu->gpr[VIREO_RAX];
	vmcb->save.cr2 = vcpu->cr2;
	if (static_branch_unlikely(&svm_bochs))
		native_write_cr2(vcpu->cr2);

	vmcb_pa = svm->vmcb_pa;
	host_pa = svm->host_pa;
	asm volatile("call svm_switch"
		     : "+D"(vcpu), "+S"(vmcb_pa), "+d"(host_pa), ASM_CALL_CONSTRAINT
		     : : "rax", "rcx", "r8", "r9", "r10", "r11", "cc", "memory");

	svm = to_svm(vcpu);
	vmcb = svm->vmcb;
	vcpu->gpr[VIREO_RAX] = vmcb->save.rax;
	vcpu->cr2 = vmcb->save.cr2;
	vcpu->avail = 0;
	vmcb->control.clean = VMCB_CLEAN_ALL;
	vmcb->control.tlb_control = VMCB_TLB_KEEP;
	if (static_branch_unlikely(&svm_xcr0_watched) &&
	    unlikely(xgetbv(XCR_XFEATURE_ENABLED_MASK) != vcpu->xcr0)) {
		vcpu = svm_take_xcr0(vcpu);
		svm = to_svm(vcpu);
		vmcb = svm->vmcb;
	}
	if (unlikely(hw_breakpoint_active())) {
		vcpu = svm_host_breakpoints(vcpu);
		svm = to_svm(vcpu);
		vmcb = svm->vmcb;
	}
	if (unlikely((s32)(vmcb->control.exit_int_info | svm->work) < 0)) {
		vcpu = svm_work_exit(vcpu);
		vmcb = to_vmcb(vcpu);
	}

	code = vmcb->control.exit_code;
	vcpu->exit.code = code;
	how = 0;
	if (likely(code < ARRAY_SIZE(svm_exits)))
		how = svm_exits[(u8)code];
	if (likely(how - 1 < 0xff))
		svm_set_exit(&vcpu->exit, how, svm_insn_len(vmcb));
	else
		svm_exit_other(vcpu, code, how);
}

/* A second copy of svm_run(), that svm_enter() need not save registers over the call before it. */
static noinline void svm_enter_work(struct vireo_vcpu *vcpu)
{
	if (likely(svm_work_entry(vcpu)))
		svm_run(vcpu);
}

void notrace svm_enter(struct vireo_vcpu *vcpu)
{
	if (unlikely(vcpu->dirty | to_svm(vcpu)->work) ||
	    (static_branch_unlikely(&svm_shadow_lost) &&
	     (to_vmcb(vcpu)->control.int_state & VMCB_INT_SHADOW)))
		svm_enter_work(vcpu);
	else
		svm_run(vcpu);
}

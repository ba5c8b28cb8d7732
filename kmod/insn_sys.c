// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers of the system as the interpreter reaches them, and the instructions that are the
 * vCPU's own business.
 */
#include <linux/sched.h>
#include <asm/debugreg.h>
#include <asm/fpu/api.h>
#include <asm/trapnr.h>

#include "core.h"
#include "insn.h"
#include "interpret.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "tracing.h"

#define VIREO_DR6_FIXED		0xffff0ff0ULL	/* SDM vol. 3, 18.2.3: read as 1 */
#define VIREO_DR6_KNOWN		0x0000e00fULL
#define VIREO_DR6_BD		BIT(13)
#define VIREO_DR7_FIXED		0x00000400ULL
#define VIREO_DR7_KNOWN		0xffff23ffULL
#define VIREO_DR7_GD		BIT(13)

u64 vireo_emu_get_cr(struct vireo_emu *e, u32 nr)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);

	switch (nr) {
	case 2:
		return vcpu->cr2;
	case 8:
		return vireo_lapic_get_tpr(vcpu);
	default:
		return vireo_backend_get_cr(vcpu, nr);
	}
}

int vireo_emu_set_cr(struct vireo_emu *e, u32 nr, u64 value)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	int r;

	if (irqs_disabled())
		return vireo_emu_stop(e);
	switch (nr) {
	case 0:
		r = vireo_set_cr0(vcpu, value);
		break;
	case 2:
		vcpu->cr2 = value;
		return VIREO_EMU_OK;
	case 3:
		r = vireo_set_cr3(vcpu, value);
		break;
	case 4:
		r = vireo_set_cr4(vcpu, value);
		break;
	case 8:
		return vireo_set_cr8(vcpu, value) ? vireo_emu_fault(e, X86_TRAP_GP, 0) :
						    VIREO_EMU_OK;
	default:
		return vireo_emu_trap(e, X86_TRAP_UD);
	}
	if (r)
		return vireo_emu_fault(e, X86_TRAP_GP, 0);
	vireo_backend_read_mode(vcpu, &vcpu->mode);
	vireo_interp_flush(vcpu);
	return VIREO_EMU_OK;
}

/* ------------------------------------------------------------------ */
/* Debug registers                                                      */

void vireo_take_debugregs(struct vireo_vcpu *vcpu)
{
	/* Else they go to the same place when the thread is scheduled out. */
	preempt_disable();
	if (vcpu->dr_loaded) {
		vireo_backend_dr_save(vcpu);
		vcpu->dr_loaded = false;
	}
	preempt_enable();
}

/* DR7.GD: any access is a fault, and the handler may use them (SDM vol. 3, 18.2.4). */
static int vireo_emu_detect(struct vireo_emu *e)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	u64 dr7;

	vireo_take_debugregs(vcpu);
	dr7 = vireo_backend_get_dr7(vcpu);
	if (likely(!(dr7 & VIREO_DR7_GD)))
		return VIREO_EMU_OK;
	vcpu->dr7 = dr7 & ~(u64)VIREO_DR7_GD;
	vireo_backend_set_dr7(vcpu, vcpu->dr7);
	vcpu->dr6 |= VIREO_DR6_BD;
	return vireo_emu_trap(e, X86_TRAP_DB);
}

int vireo_emu_get_dr(struct vireo_emu *e, u32 nr, u64 *value)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	int r;

	if (irqs_disabled())
		return vireo_emu_stop(e);
	r = vireo_emu_detect(e);
	if (r)
		return r;
	if (nr < 4)
		*value = vcpu->db[nr];
	else
		*value = nr == 6 ? vcpu->dr6 : vireo_backend_get_dr7(vcpu);
	return VIREO_EMU_OK;
}

int vireo_emu_set_dr(struct vireo_emu *e, u32 nr, u64 value)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	int r;

	if (irqs_disabled())
		return vireo_emu_stop(e);
	r = vireo_emu_detect(e);
	if (r)
		return r;
	if (nr < 4) {
		vcpu->db[nr] = value;
		return VIREO_EMU_OK;
	}
	if (value >> 32)
		return vireo_emu_fault(e, X86_TRAP_GP, 0);
	if (nr == 6) {
		vcpu->dr6 = (value & VIREO_DR6_KNOWN) | VIREO_DR6_FIXED;
	} else {
		vcpu->dr7 = (value & VIREO_DR7_KNOWN) | VIREO_DR7_FIXED;
		vireo_backend_set_dr7(vcpu, vcpu->dr7);
		if (vcpu->interp)
			vcpu->interp->reload = true;
	}
	return VIREO_EMU_OK;
}

/* ------------------------------------------------------------------ */
/* MSRs                                                                 */

u64 vireo_emu_get_efer(struct vireo_emu *e)
{
	return vireo_emu_vcpu(e)->mode.efer;
}

/* Nobody knows it: #GP, or the launcher's business if it asked for that. */
static int vireo_emu_unknown_msr(struct vireo_emu *e, u32 index, bool write, u64 *data)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	struct vireo_run *run = vcpu->run;

	if (vcpu->insn_msr == VIREO_INSN_MSR_DONE) {
		vcpu->insn_msr = VIREO_INSN_MSR_NONE;
		*data = vcpu->insn_msr_data;
		return VIREO_EMU_OK;
	}
	if (vcpu->insn_msr == VIREO_INSN_MSR_REFUSED || !(vcpu->vm->flags & VIREO_VM_REPORT_MSRS)) {
		vcpu->insn_msr = VIREO_INSN_MSR_NONE;
		return vireo_emu_fault(e, X86_TRAP_GP, 0);
	}
	if (vcpu->insn_posted)
		return VIREO_EMU_USER;
	run->exit_reason = write ? VIREO_EXIT_WRMSR : VIREO_EXIT_RDMSR;
	run->msr.index = index;
	run->msr.write = write;
	run->msr.error = 0;
	memset(run->msr.pad, 0, sizeof(run->msr.pad));
	run->msr.data = write ? *data : 0;
	vcpu->insn_msr = VIREO_INSN_MSR_ASKED;
	return VIREO_EMU_USER;
}

void vireo_emu_msr_answer(struct vireo_vcpu *vcpu)
{
	vcpu->insn_msr_data = READ_ONCE(vcpu->run->msr.data);
	vcpu->insn_msr = READ_ONCE(vcpu->run->msr.error) ? VIREO_INSN_MSR_REFUSED :
							   VIREO_INSN_MSR_DONE;
}

int vireo_emu_get_msr(struct vireo_emu *e, u32 index, u64 *data)
{
	int r;

	if (irqs_disabled())
		return vireo_emu_stop(e);
	r = vireo_msr_get(vireo_emu_vcpu(e), index, data, false);
	vireo_trace(msr, vireo_emu_vcpu(e), false, index, r ? 0 : *data, r);
	if (likely(!r))
		return VIREO_EMU_OK;
	if (r == -ENOENT)
		return vireo_emu_unknown_msr(e, index, false, data);
	return vireo_emu_fault(e, X86_TRAP_GP, 0);
}

int vireo_emu_set_msr(struct vireo_emu *e, u32 index, u64 data)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	int r;

	if (irqs_disabled())
		return vireo_emu_stop(e);
	r = vireo_msr_set(vcpu, index, data, false);
	vireo_trace(msr, vcpu, true, index, data, r);
	if (r == -ENOENT)
		return vireo_emu_unknown_msr(e, index, true, &data);
	if (r)
		return vireo_emu_fault(e, X86_TRAP_GP, 0);
	switch (index) {
	case MSR_EFER:
	case MSR_IA32_APICBASE:
		vireo_backend_read_mode(vcpu, &vcpu->mode);
		vireo_interp_flush(vcpu);
		break;
	case MSR_FS_BASE:
	case MSR_GS_BASE:
		if (vcpu->interp)
			vcpu->interp->seg_valid = 0;
		break;
	}
	return VIREO_EMU_OK;
}

u64 vireo_emu_get_xcr0(struct vireo_emu *e)
{
	return vireo_emu_vcpu(e)->xcr0;
}

/* ------------------------------------------------------------------ */
/* Vector registers                                                     */

/*
 * The guest's vector registers are in the processor while its thread is in VIREO_RUN.
 * The kernel is compiled without vector instructions, so they are touched by name only.
 */
#define VIREO_XMM_CASE(n, op)	case n: op(n); break;
#define VIREO_XMM_ALL(op)						\
	VIREO_XMM_CASE(0, op) VIREO_XMM_CASE(1, op) VIREO_XMM_CASE(2, op)	\
	VIREO_XMM_CASE(3, op) VIREO_XMM_CASE(4, op) VIREO_XMM_CASE(5, op)	\
	VIREO_XMM_CASE(6, op) VIREO_XMM_CASE(7, op) VIREO_XMM_CASE(8, op)	\
	VIREO_XMM_CASE(9, op) VIREO_XMM_CASE(10, op) VIREO_XMM_CASE(11, op)	\
	VIREO_XMM_CASE(12, op) VIREO_XMM_CASE(13, op) VIREO_XMM_CASE(14, op)	\
	VIREO_XMM_CASE(15, op)
#define VIREO_XMM_SWITCH(nr, op)	do { switch (nr) { VIREO_XMM_ALL(op) } } while (0)
#define VIREO_XMM_STORE(n)	asm volatile("movdqu %%xmm" #n ", %0" : "=m"(*(u8 (*)[16])data))
#define VIREO_XMM_LOAD(n)	asm volatile("movdqu %0, %%xmm" #n : : "m"(*(const u8 (*)[16])data))
#define VIREO_YMM_STORE(n)	asm volatile("vmovdqu %%ymm" #n ", %0" : "=m"(*(u8 (*)[32])data))
#define VIREO_YMM_LOAD(n)	asm volatile("vmovdqu %0, %%ymm" #n : : "m"(*(const u8 (*)[32])data))
#define VIREO_YMM_LOAD_XMM(n)	asm volatile("vmovdqu %0, %%xmm" #n : : "m"(*(const u8 (*)[16])data))

static void vireo_fpu_begin(void)
{
	fpregs_lock();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

int vireo_emu_get_vec(struct vireo_emu *e, u32 nr, void *data, u32 len)
{
	if (irqs_disabled())
		return vireo_emu_stop(e);
	if (nr > 15 || len > 32 || (len == 32 && !boot_cpu_has(X86_FEATURE_AVX)))
		return VIREO_EMU_UNHANDLED;
	vireo_fpu_begin();
	if (len == 32)
		VIREO_XMM_SWITCH(nr, VIREO_YMM_STORE);
	else
		VIREO_XMM_SWITCH(nr, VIREO_XMM_STORE);
	fpregs_unlock();
	return VIREO_EMU_OK;
}

int vireo_emu_set_vec(struct vireo_emu *e, u32 nr, const void *data, u32 len,
			     bool zero_upper)
{
	if (irqs_disabled())
		return vireo_emu_stop(e);
	if (nr > 15 || len > 32 || (zero_upper && !boot_cpu_has(X86_FEATURE_AVX)))
		return VIREO_EMU_UNHANDLED;
	vireo_fpu_begin();
	if (len == 32)
		VIREO_XMM_SWITCH(nr, VIREO_YMM_LOAD);
	else if (zero_upper)
		VIREO_XMM_SWITCH(nr, VIREO_YMM_LOAD_XMM);
	else
		VIREO_XMM_SWITCH(nr, VIREO_XMM_LOAD);
	fpregs_unlock();
	return VIREO_EMU_OK;
}

/* ------------------------------------------------------------------ */
/* Instructions                                                         */

static int vireo_emu_rdtscp(struct vireo_emu *e)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	u64 aux = 0;

	if (!vcpu->caps.rdtscp)
		return vireo_emu_trap(e, X86_TRAP_UD);
	vireo_tsc_regs(vcpu);
	vireo_backend_get_msr(vcpu, MSR_TSC_AUX, &aux);
	vcpu->gpr[VIREO_RCX] = (u32)aux;
	return VIREO_EMU_OK;
}

static int vireo_emu_xsetbv(struct vireo_emu *e)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	u64 value = (u32)vcpu->gpr[VIREO_RAX] | vcpu->gpr[VIREO_RDX] << 32;

	/* The inner loop has the guest's XCR0 in the processor. */
	if (irqs_disabled())
		return vireo_emu_stop(e);
	if ((u32)vcpu->gpr[VIREO_RCX] || vireo_set_xcr0(vcpu, value))
		return vireo_emu_fault(e, X86_TRAP_GP, 0);
	return VIREO_EMU_OK;
}

static int vireo_emu_hypercall(struct vireo_emu *e)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	enum vireo_action action = vireo_hypercall(vcpu, &vcpu->mode);

	if (action == VIREO_SLOW)
		return vireo_emu_stop(e);
	if (action == VIREO_USER)
		vcpu->insn_posted = true;
	return VIREO_EMU_OK;
}

int vireo_emu_sysop(struct vireo_emu *e, u32 op, u64 arg)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);

	switch (op) {
	case VIREO_EMU_SYS_CPUID:
		vireo_cpuid_regs(vcpu);
		return VIREO_EMU_OK;
	case VIREO_EMU_SYS_RDTSC:
		vireo_tsc_regs(vcpu);
		return VIREO_EMU_OK;
	case VIREO_EMU_SYS_RDTSCP:
		return vireo_emu_rdtscp(e);
	case VIREO_EMU_SYS_RDPMC:
		/* There is no counter. */
		return vireo_emu_fault(e, X86_TRAP_GP, 0);
	case VIREO_EMU_SYS_INVD:
	case VIREO_EMU_SYS_WBINVD:
		/* Caches are the host's; the guest's memory is write-back anyway. */
	case VIREO_EMU_SYS_PAUSE:
		return VIREO_EMU_OK;
	case VIREO_EMU_SYS_INVLPG:
		if (irqs_disabled() || vireo_mmu_invlpg(vcpu, arg))
			return vireo_emu_stop(e);
		vireo_interp_flush(vcpu);
		return VIREO_EMU_OK;
	case VIREO_EMU_SYS_INVPCID:
		if (!vireo_caps.has_invpcid)
			return vireo_emu_trap(e, X86_TRAP_UD);
		/* More than was asked for; also what the interpreter itself has cached. */
		vireo_request_set(vcpu, VIREO_REQ_FLUSH);
		return VIREO_EMU_OK;
	case VIREO_EMU_SYS_MONITOR:
	case VIREO_EMU_SYS_MWAIT:
		return vireo_emu_trap(e, X86_TRAP_UD);
	case VIREO_EMU_SYS_HYPERCALL:
		return vireo_emu_hypercall(e);
	case VIREO_EMU_SYS_XSETBV:
		return vireo_emu_xsetbv(e);
	}
	return VIREO_EMU_UNHANDLED;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dispatcher: every exit, in neutral form, goes through one table.
 *
 * A handler is called with interrupts off, straight after the exit.  What it can
 * answer there it answers; if it has to sleep it says VIREO_SLOW and is called once more with
 * interrupts on.  See enum vireo_action.
 */
#include <linux/nospec.h>
#include <asm/trapnr.h>
#include <uapi/linux/kvm_para.h>

#include "core.h"
#include "exit.h"
#include "idle.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "paravirt.h"
#include "tracing.h"

/* Answer for a handler whose vireo_insn_ready() failed. */
static enum vireo_action vireo_not_ready(int r)
{
	return r == -EAGAIN ? VIREO_SLOW : VIREO_RESUME;
}

static enum vireo_action vireo_exit_again(struct vireo_vcpu *vcpu)
{
	return VIREO_AGAIN;
}

static enum vireo_action vireo_exit_event_window(struct vireo_vcpu *vcpu)
{
	if (vcpu->exit.reason == VIREO_EXIT_IRQ_WINDOW)
		vireo_backend_irq_window(vcpu, false);
	else
		vireo_backend_nmi_window(vcpu, false);
	vireo_request_set(vcpu, VIREO_REQ_EVENT);
	/* The launcher may be the one who waits for the window. */
	return vcpu->irq_window_user ? VIREO_AGAIN : VIREO_RESUME;
}

/* An exit for memory that is not there; its handler may be called twice. */
static void vireo_count_mmio(struct vireo_vcpu *vcpu)
{
	const u32 reason = vcpu->exit.reason;
	const u64 exit = vcpu->counters.exits[reason] << 8 | reason;

	if (vcpu->mmio_exit == exit)
		return;
	vcpu->mmio_exit = exit;
	vcpu->counters.faults_mmio++;
}

/* What a fault of either kind comes to; @gpa: of the access, for the interpreter. */
static enum vireo_action vireo_fault_action(struct vireo_vcpu *vcpu, enum vireo_fault fault, u64 gpa)
{
	switch (fault) {
	case VIREO_FAULT_FIXED:
		return VIREO_RESUME;
	case VIREO_FAULT_MMIO:
		return vireo_interpret(vcpu, gpa);
	case VIREO_FAULT_RETRY:
		return irqs_disabled() ? VIREO_SLOW : VIREO_AGAIN;
	case VIREO_FAULT_SIGNAL:
		return VIREO_AGAIN;
	case VIREO_FAULT_NOMEM:
		vcpu->run_error = -ENOMEM;
		return VIREO_FAIL;
	case VIREO_FAULT_ERROR:
		break;
	}
	vcpu->run_error = -EFAULT;
	return VIREO_FAIL;
}

/* A page fault on shadow tables: the guest's own, or one that its tables know nothing of. */
static enum vireo_action vireo_exit_page_fault(struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;
	enum vireo_fault fault;

	/* Stopped half-way for a page: go on with the instruction, not with its fault. */
	if (unlikely(vcpu->insn_retry))
		return vireo_interpret(vcpu, vcpu->shadow.gpa);
	fault = vireo_shadow_fault(vcpu, exit->exc.cr2, exit->exc.error, &vcpu->shadow.gpa);
	vireo_trace(shadow_fault, vcpu, exit->exc.cr2, exit->exc.error, fault);
	/* Writes to the guest's tables are carried out in the same way. */
	if (fault == VIREO_FAULT_MMIO && !vireo_vcpu_mem(vcpu, vcpu->shadow.gpa >> PAGE_SHIFT))
		vireo_count_mmio(vcpu);
	return vireo_fault_action(vcpu, fault, vcpu->shadow.gpa);
}

static enum vireo_action vireo_exit_exception(struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;

	if (exit->exc.vector == X86_TRAP_PF && vcpu->shadow.on)
		return vireo_exit_page_fault(vcpu);
	/* Of a hybrid VM's program, it may be the way to its kernel. */
	if (unlikely(vireo_hybrid(vcpu->vm)))
		vcpu->reinterpret = true;
	/* The others are not intercepted for themselves: give them to the guest. */
	if (exit->exc.vector == X86_TRAP_PF)
		vireo_queue_page_fault(vcpu, exit->exc.cr2, exit->exc.error);
	else
		vireo_queue_exception(vcpu, exit->exc.vector, exit->exc.has_error,
				      exit->exc.error);
	return VIREO_RESUME;
}

noinline void vireo_cpuid_regs(struct vireo_vcpu *vcpu)
{
	u32 eax = vcpu->gpr[VIREO_RAX], ebx, ecx = vcpu->gpr[VIREO_RCX], edx;

	vireo_cpuid(vcpu, &eax, &ebx, &ecx, &edx);
	vcpu->gpr[VIREO_RAX] = eax;
	vcpu->gpr[VIREO_RBX] = ebx;
	vcpu->gpr[VIREO_RCX] = ecx;
	vcpu->gpr[VIREO_RDX] = edx;
}

enum vireo_action vireo_exit_cpuid(struct vireo_vcpu *vcpu)
{
	const struct vireo_cpuid_entry *e;
	int r;

	r = vireo_insn_ready(vcpu);
	if (unlikely(r))
		return vireo_not_ready(r);
	e = vireo_cpuid_first(vcpu, vcpu->gpr[VIREO_RAX]);
	if (likely(e && !(e->flags & VIREO_CPUID_SUBLEAF))) {
		vcpu->gpr[VIREO_RAX] = e->eax;
		vcpu->gpr[VIREO_RBX] = e->ebx;
		vcpu->gpr[VIREO_RCX] = e->ecx;
		vcpu->gpr[VIREO_RDX] = e->edx;
	} else {
		/* A leaf with subleaves, or none that is there. */
		vireo_cpuid_regs(vcpu);
	}
	vireo_step(vcpu);
	return VIREO_RESUME;
}

enum vireo_action vireo_exit_hlt(struct vireo_vcpu *vcpu)
{
	int r = vireo_insn_ready(vcpu);

	if (unlikely(r))
		return vireo_not_ready(r);
	vireo_step(vcpu);
	if (vireo_has_wakeup(vcpu)) {
		if (unlikely(READ_ONCE(vcpu->pv_kicked)))
			xchg(&vcpu->pv_kicked, false);
		vireo_request_set(vcpu, VIREO_REQ_EVENT);
		return VIREO_RESUME;
	}
	vcpu->mp_state = VIREO_MP_HALTED;
	return VIREO_AGAIN;
}

static enum vireo_action vireo_hypercall_complete(struct vireo_vcpu *vcpu)
{
	vireo_set_gpr(vcpu, VIREO_RAX, vcpu->run->hypercall.ret);
	return VIREO_RESUME;
}

static void vireo_hypercall_post(struct vireo_vcpu *vcpu)
{
	struct vireo_run *run = vcpu->run;

	run->exit_reason = VIREO_EXIT_HYPERCALL;
	run->hypercall.nr = vcpu->gpr[VIREO_RAX];
	run->hypercall.args[0] = vcpu->gpr[VIREO_RBX];
	run->hypercall.args[1] = vcpu->gpr[VIREO_RCX];
	run->hypercall.args[2] = vcpu->gpr[VIREO_RDX];
	run->hypercall.args[3] = vcpu->gpr[VIREO_RSI];
	run->hypercall.ret = 0;
	vcpu->complete = vireo_hypercall_complete;
}

enum vireo_action vireo_hypercall(struct vireo_vcpu *vcpu, const struct vireo_mode *mode)
{
	u64 ret;

	/* The numbers of the documented KVM ABI. */
	if (vcpu->gpr[VIREO_RAX] < VIREO_HYPERCALL_USER) {
		if (!vireo_paravirt_call(vcpu, mode, &ret))
			return VIREO_SLOW;
		vireo_trace(hypercall, vcpu);
		vireo_set_gpr(vcpu, VIREO_RAX, ret);
		return VIREO_RESUME;
	}

	vireo_trace(hypercall, vcpu);
	/* Programs of the guest's user space may not reach the launcher. */
	if (mode->cpl) {
		vireo_set_gpr(vcpu, VIREO_RAX, -KVM_EPERM);
		return VIREO_RESUME;
	}
	vireo_hypercall_post(vcpu);
	return VIREO_USER;
}

enum vireo_action vireo_exit_hypercall(struct vireo_vcpu *vcpu)
{
	enum vireo_action action;
	struct vireo_mode mode;
	int r;

	r = vireo_insn_ready(vcpu);
	if (unlikely(r))
		return vireo_not_ready(r);

	/* The short way of what vireo_paravirt_call() answers alike, without the mode. */
	if (vcpu->gpr[VIREO_RAX] == KVM_HC_VAPIC_POLL_IRQ) {
		vireo_trace(hypercall, vcpu);
		vireo_set_gpr(vcpu, VIREO_RAX, 0);
		vireo_step(vcpu);
		return VIREO_RESUME;
	}
	vireo_backend_read_mode(vcpu, &mode);
	action = vireo_hypercall(vcpu, &mode);
	if (action != VIREO_SLOW)
		vireo_step(vcpu);
	return action;
}

static enum vireo_action vireo_rdmsr_complete(struct vireo_vcpu *vcpu)
{
	struct vireo_run *run = vcpu->run;
	u64 data = READ_ONCE(run->msr.data);

	if (READ_ONCE(run->msr.error)) {
		vireo_queue_gp(vcpu);
		return VIREO_RESUME;
	}
	vcpu->gpr[VIREO_RAX] = (u32)data;
	vcpu->gpr[VIREO_RDX] = data >> 32;
	vireo_step(vcpu);
	return VIREO_RESUME;
}

static enum vireo_action vireo_wrmsr_complete(struct vireo_vcpu *vcpu)
{
	if (READ_ONCE(vcpu->run->msr.error))
		vireo_queue_gp(vcpu);
	else
		vireo_step(vcpu);
	return VIREO_RESUME;
}

/* An MSR nobody knows: #GP, or the launcher's business if it asked for that. */
static enum vireo_action vireo_unknown_msr(struct vireo_vcpu *vcpu, u32 index, bool write, u64 data)
{
	struct vireo_run *run = vcpu->run;

	if (!(vcpu->vm->flags & VIREO_VM_REPORT_MSRS)) {
		vireo_queue_gp(vcpu);
		return VIREO_RESUME;
	}
	run->exit_reason = write ? VIREO_EXIT_WRMSR : VIREO_EXIT_RDMSR;
	run->msr.index = index;
	run->msr.write = write;
	run->msr.error = 0;
	memset(run->msr.pad, 0, sizeof(run->msr.pad));
	run->msr.data = data;
	vcpu->complete = write ? vireo_wrmsr_complete : vireo_rdmsr_complete;
	return VIREO_USER;
}

enum vireo_action vireo_exit_rdmsr(struct vireo_vcpu *vcpu)
{
	u32 index = vcpu->gpr[VIREO_RCX];
	u64 data = 0;
	int r;

	r = vireo_insn_ready(vcpu);
	if (unlikely(r))
		return vireo_not_ready(r);
	r = vireo_msr_get(vcpu, index, &data, false);
	if (likely(!r)) {
		vireo_trace(msr, vcpu, false, index, data, 0);
		vcpu->gpr[VIREO_RAX] = (u32)data;
		vcpu->gpr[VIREO_RDX] = data >> 32;
		vireo_step(vcpu);
		return VIREO_RESUME;
	}
	if (r == -EAGAIN)
		return VIREO_SLOW;
	vireo_trace(msr, vcpu, false, index, 0, r);
	if (r == -ENOENT)
		return vireo_unknown_msr(vcpu, index, false, 0);
	vireo_queue_gp(vcpu);
	return VIREO_RESUME;
}

enum vireo_action vireo_exit_wrmsr(struct vireo_vcpu *vcpu)
{
	u64 data = (u32)vcpu->gpr[VIREO_RAX] | vcpu->gpr[VIREO_RDX] << 32;
	u32 index = vcpu->gpr[VIREO_RCX];
	int r;

	r = vireo_insn_ready(vcpu);
	if (unlikely(r))
		return vireo_not_ready(r);
	r = vireo_msr_set(vcpu, index, data, false);
	if (likely(!r)) {
		vireo_trace(msr, vcpu, true, index, data, 0);
		vireo_step(vcpu);
		return VIREO_RESUME;
	}
	if (r == -EAGAIN)
		return VIREO_SLOW;
	vireo_trace(msr, vcpu, true, index, data, r);
	if (r == -ENOENT)
		return vireo_unknown_msr(vcpu, index, true, data);
	vireo_queue_gp(vcpu);
	return VIREO_RESUME;
}

static enum vireo_action vireo_in_complete(struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;
	u64 rax = vcpu->gpr[VIREO_RAX];
	u32 data = READ_ONCE(*(u32 *)vcpu->run->io.data);

	/* As for any register: 32-bit results clear the upper half. */
	switch (exit->io.unit) {
	case 1:
		rax = (rax & ~0xffULL) | (u8)data;
		break;
	case 2:
		rax = (rax & ~0xffffULL) | (u16)data;
		break;
	default:
		rax = data;
		break;
	}
	vcpu->gpr[VIREO_RAX] = rax;
	vireo_step(vcpu);
	return VIREO_RESUME;
}

enum vireo_action vireo_exit_io(struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;
	struct vireo_run *run = vcpu->run;
	u32 data = vcpu->gpr[VIREO_RAX];
	int r;

	if (unlikely(exit->io.string))
		return vireo_interpret(vcpu, VIREO_EMU_NO_GPA);
	r = vireo_insn_ready(vcpu);
	if (unlikely(r))
		return vireo_not_ready(r);

	if (exit->io.write) {
		if (exit->io.unit < 4)
			data &= (1U << exit->io.unit * 8) - 1;
		if (vireo_ioeventfd_write(vcpu->vm, true, exit->io.port, exit->io.unit, data)) {
			vireo_step(vcpu);
			return VIREO_RESUME;
		}
	}
	run->exit_reason = VIREO_EXIT_IO;
	run->io.port = exit->io.port;
	run->io.write = exit->io.write;
	run->io.unit = exit->io.unit;
	run->io.count = 1;
	*(u32 *)run->io.data = data;
	if (exit->io.write)
		vireo_step(vcpu);
	else
		vcpu->complete = vireo_in_complete;
	return VIREO_USER;
}

enum vireo_action vireo_exit_memory(struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;
	u64 gpa = exit->mem.gpa;
	enum vireo_fault fault;
	bool fast = irqs_disabled();

	/* Stopped half-way for a page: go on with the instruction, not with its fault. */
	if (unlikely(vcpu->insn_retry))
		return vireo_interpret(vcpu, gpa);

	fault = fast ? vireo_mmu_fault_fast(vcpu, gpa, exit->mem.access) :
		       vireo_mmu_fault(vcpu, gpa, exit->mem.access);
	vireo_trace(page_fault, vcpu, gpa, exit->mem.access, fault);
	if (likely(fault == VIREO_FAULT_FIXED))
		return VIREO_RESUME;
	if (fault == VIREO_FAULT_MMIO)
		vireo_count_mmio(vcpu);
	/* A page walk that leaves memory has no one instruction to interpret. */
	return vireo_fault_action(vcpu, fault, exit->mem.in_walk ? VIREO_EMU_NO_GPA : gpa);
}

/* #GP from a register write, or past the instruction. */
static enum vireo_action vireo_write_done(struct vireo_vcpu *vcpu, int r)
{
	if (r == -EAGAIN)
		return VIREO_SLOW;
	if (r)
		vireo_queue_gp(vcpu);
	else
		vireo_step(vcpu);
	return VIREO_RESUME;
}

/*
 * The processor named the control register alone: the instruction, which vireo_insn_ready() has
 * decoded, tells the rest.
 *
 * Return: false if its operand is in memory.
 */
static bool vireo_find_cr_op(struct vireo_vcpu *vcpu)
{
	const struct vireo_emu_insn *insn = &vcpu->emu.insn;
	u8 rm = (insn->modrm & 7) | (insn->rex & 1) << 3;
	struct vireo_exit *exit = &vcpu->exit;

	if (insn->map != VIREO_EMU_MAP_0F)
		return false;
	switch (insn->opcode) {
	case 0x20:
		/* MOV to and from CR ignore ModRM.mod: the operand is a register. */
		exit->cr.op = VIREO_CR_READ;
		exit->cr.gpr = rm;
		return true;
	case 0x22:
		exit->cr.op = VIREO_CR_WRITE;
		exit->cr.gpr = rm;
		return true;
	case 0x06:
		exit->cr.op = VIREO_CR_CLTS;
		return true;
	case 0x01:
		if ((insn->modrm & 0xf8) != 0xf0)
			return false;
		exit->cr.op = VIREO_CR_LMSW;
		exit->cr.lmsw = vireo_gpr(vcpu, rm);
		return true;
	}
	return false;
}

static enum vireo_action vireo_exit_cr(struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;
	u64 value;
	int r;

	r = vireo_insn_ready(vcpu);
	if (unlikely(r))
		return vireo_not_ready(r);
	if (unlikely(exit->cr.op == VIREO_CR_INTERPRET) && !vireo_find_cr_op(vcpu))
		return vireo_interpret(vcpu, VIREO_EMU_NO_GPA);

	switch (exit->cr.op) {
	case VIREO_CR_READ:
		value = exit->cr.nr == 8 ? vireo_lapic_get_tpr(vcpu) :
					   vireo_backend_get_cr(vcpu, exit->cr.nr);
		vireo_set_gpr(vcpu, exit->cr.gpr, value);
		vireo_step(vcpu);
		return VIREO_RESUME;
	case VIREO_CR_CLTS:
		value = vireo_backend_get_cr(vcpu, 0) & ~X86_CR0_TS;
		return vireo_write_done(vcpu, vireo_set_cr0(vcpu, value));
	case VIREO_CR_LMSW:
		/* PE can be set, not cleared (SDM vol. 2, LMSW). */
		value = vireo_backend_get_cr(vcpu, 0);
		value = (value & ~0xeULL) | (exit->cr.lmsw & 0xf);
		return vireo_write_done(vcpu, vireo_set_cr0(vcpu, value));
	}

	value = vireo_gpr(vcpu, exit->cr.gpr);
	switch (exit->cr.nr) {
	case 0:
		r = vireo_set_cr0(vcpu, value);
		break;
	case 3:
		r = vireo_set_cr3(vcpu, value);
		break;
	case 4:
		r = vireo_set_cr4(vcpu, value);
		break;
	case 8:
		r = vireo_set_cr8(vcpu, value);
		break;
	default:
		vireo_queue_ud(vcpu);
		return VIREO_RESUME;
	}
	return vireo_write_done(vcpu, r);
}

/*
 * The first access to a debug register since the vCPU came to this CPU: the guest gets the
 * real ones until it leaves, and runs the instruction again.
 */
static enum vireo_action vireo_exit_dr(struct vireo_vcpu *vcpu)
{
	vireo_backend_dr_load(vcpu);
	vcpu->dr_loaded = true;
	return VIREO_RESUME;
}

static enum vireo_action vireo_exit_xsetbv(struct vireo_vcpu *vcpu)
{
	u64 value = (u32)vcpu->gpr[VIREO_RAX] | vcpu->gpr[VIREO_RDX] << 32;
	struct vireo_mode mode;
	int r;

	/* The inner loop has the guest's XCR0 in the processor. */
	if (irqs_disabled())
		return VIREO_SLOW;
	r = vireo_insn_ready(vcpu);
	if (unlikely(r))
		return vireo_not_ready(r);
	vireo_backend_read_mode(vcpu, &mode);
	if (mode.cpl || (u32)vcpu->gpr[VIREO_RCX])
		r = -EINVAL;
	else
		r = vireo_set_xcr0(vcpu, value);
	return vireo_write_done(vcpu, r);
}

/* Caches are the host's; the guest's memory is write-back anyway. */
static enum vireo_action vireo_exit_nothing(struct vireo_vcpu *vcpu)
{
	int r = vireo_insn_ready(vcpu);

	if (unlikely(r))
		return vireo_not_ready(r);
	vireo_step(vcpu);
	return VIREO_RESUME;
}

static enum vireo_action vireo_exit_pause(struct vireo_vcpu *vcpu)
{
	int r = vireo_insn_ready(vcpu);

	if (unlikely(r))
		return vireo_not_ready(r);
	/* It spins for somebody else: whoever waits for this CPU goes first. */
	if (irqs_disabled())
		return VIREO_SLOW;
	vireo_step(vcpu);
	vireo_spins(vcpu);
	return VIREO_RESUME;
}

/* What waits may be let in now. */
static enum vireo_action vireo_exit_tpr(struct vireo_vcpu *vcpu)
{
	vireo_request_set(vcpu, VIREO_REQ_EVENT);
	return VIREO_RESUME;
}

/* These two come behind the instruction. */
static enum vireo_action vireo_exit_apic_write(struct vireo_vcpu *vcpu)
{
	vireo_lapic_written(vcpu, vcpu->exit.apic.offset);
	return VIREO_RESUME;
}

static enum vireo_action vireo_exit_apic_eoi(struct vireo_vcpu *vcpu)
{
	vireo_lapic_eoi_done(vcpu, vcpu->exit.apic.vector);
	return VIREO_RESUME;
}

static enum vireo_action vireo_exit_undefined(struct vireo_vcpu *vcpu)
{
	vireo_queue_ud(vcpu);
	return VIREO_RESUME;
}

static enum vireo_action vireo_exit_rdpmc(struct vireo_vcpu *vcpu)
{
	vireo_queue_gp(vcpu);
	return VIREO_RESUME;
}

static enum vireo_action vireo_exit_rdtsc(struct vireo_vcpu *vcpu)
{
	int r = vireo_insn_ready(vcpu);

	if (unlikely(r))
		return vireo_not_ready(r);
	vireo_tsc_regs(vcpu);
	vireo_step(vcpu);
	return VIREO_RESUME;
}

/* Shadow tables only.  Processors that do not say the address have it looked up. */
static enum vireo_action vireo_exit_invlpg(struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;

	if (!exit->mem.gla_valid)
		return vireo_interpret(vcpu, VIREO_EMU_NO_GPA);
	if (vireo_mmu_invlpg(vcpu, exit->mem.gla))
		return VIREO_SLOW;
	vireo_step(vcpu);
	return VIREO_RESUME;
}

static enum vireo_action vireo_exit_interpret(struct vireo_vcpu *vcpu)
{
	return vireo_interpret(vcpu, VIREO_EMU_NO_GPA);
}

static enum vireo_action vireo_exit_shutdown(struct vireo_vcpu *vcpu)
{
	vcpu->mp_state = VIREO_MP_SHUTDOWN;
	vcpu->run->exit_reason = VIREO_EXIT_SHUTDOWN;
	return VIREO_USER;
}

static enum vireo_action vireo_exit_raw(struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;
	struct vireo_run *run = vcpu->run;

	run->exit_reason = exit->reason == VIREO_EXIT_INVALID_STATE ? VIREO_EXIT_INVALID_STATE :
								      VIREO_EXIT_UNKNOWN;
	run->unknown.code = exit->code;
	run->unknown.info[0] = exit->info[0];
	run->unknown.info[1] = exit->info[1];
	run->unknown.info[2] = exit->info[2];
	run->unknown.info[3] = 0;
	if (exit->reason == VIREO_EXIT_INVALID_STATE) {
		pr_err_ratelimited("the processor refuses the guest's state: code %#x, info %#llx\n",
				   exit->code, exit->info[0]);
		if (!irqs_disabled())
			vireo_backend_dump(vcpu);
	}
	return VIREO_USER;
}

static enum vireo_action vireo_exit_task_switch(struct vireo_vcpu *vcpu)
{
	return irqs_disabled() ? VIREO_SLOW : vireo_interpret_task_switch(vcpu);
}

typedef enum vireo_action (*vireo_handler)(struct vireo_vcpu *vcpu);

static const vireo_handler vireo_handlers[VIREO_EXIT_HARDWARE_NR] = {
	[VIREO_EXIT_NONE]		= vireo_exit_again,
	[VIREO_EXIT_EXCEPTION]		= vireo_exit_exception,
	[VIREO_EXIT_INTR]		= vireo_exit_again,
	[VIREO_EXIT_NMI]		= vireo_exit_again,
	[VIREO_EXIT_MCE]		= vireo_exit_again,
	[VIREO_EXIT_IRQ_WINDOW]		= vireo_exit_event_window,
	[VIREO_EXIT_NMI_WINDOW]		= vireo_exit_event_window,
	[VIREO_EXIT_CPUID]		= vireo_exit_cpuid,
	[VIREO_EXIT_HLT]		= vireo_exit_hlt,
	[VIREO_EXIT_HYPERCALL]		= vireo_exit_hypercall,
	[VIREO_EXIT_RDMSR]		= vireo_exit_rdmsr,
	[VIREO_EXIT_WRMSR]		= vireo_exit_wrmsr,
	[VIREO_EXIT_IO]			= vireo_exit_io,
	[VIREO_EXIT_CR]			= vireo_exit_cr,
	[VIREO_EXIT_DR]			= vireo_exit_dr,
	[VIREO_EXIT_MEMORY]		= vireo_exit_memory,
	[VIREO_EXIT_MMIO_CACHED]	= vireo_exit_memory,
	[VIREO_EXIT_DESCRIPTOR]		= vireo_exit_interpret,
	[VIREO_EXIT_TASK_SWITCH]	= vireo_exit_task_switch,
	[VIREO_EXIT_XSETBV]		= vireo_exit_xsetbv,
	[VIREO_EXIT_RDTSC]		= vireo_exit_rdtsc,
	[VIREO_EXIT_RDPMC]		= vireo_exit_rdpmc,
	[VIREO_EXIT_INVLPG]		= vireo_exit_invlpg,
	[VIREO_EXIT_INVD]		= vireo_exit_nothing,
	[VIREO_EXIT_WBINVD]		= vireo_exit_nothing,
	[VIREO_EXIT_MONITOR]		= vireo_exit_undefined,
	[VIREO_EXIT_MWAIT]		= vireo_exit_undefined,
	[VIREO_EXIT_PAUSE]		= vireo_exit_pause,
	[VIREO_EXIT_UNDEFINED]		= vireo_exit_undefined,
	[VIREO_EXIT_TIMER]		= vireo_exit_again,
	[VIREO_EXIT_SHUTDOWN]		= vireo_exit_shutdown,
	[VIREO_EXIT_INIT]		= vireo_exit_again,
	[VIREO_EXIT_SIPI]		= vireo_exit_raw,
	[VIREO_EXIT_SMI]		= vireo_exit_again,
	[VIREO_EXIT_INVALID_STATE]	= vireo_exit_raw,
	[VIREO_EXIT_UNKNOWN]		= vireo_exit_raw,
	[VIREO_EXIT_STEP]		= vireo_exit_again,
	[VIREO_EXIT_TPR]		= vireo_exit_tpr,
	[VIREO_EXIT_APIC_WRITE]		= vireo_exit_apic_write,
	[VIREO_EXIT_APIC_EOI]		= vireo_exit_apic_eoi,
};

enum vireo_action vireo_handle_other(struct vireo_vcpu *vcpu)
{
	u32 reason = vcpu->exit.reason;

	if (WARN_ON_ONCE(reason >= ARRAY_SIZE(vireo_handlers))) {
		vireo_vm_kill(vcpu->vm, "an exit reason beyond the table");
		return VIREO_AGAIN;
	}
	reason = array_index_nospec(reason, ARRAY_SIZE(vireo_handlers));
	return vireo_handlers[reason](vcpu);
}

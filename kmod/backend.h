/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a processor family supplies: primitives, no policy.
 *
 * One list makes the table, the static calls and the completeness check.  Each
 * operation is described once, here.  Except where noted, vCPU operations run in
 * the vCPU's own thread with the vCPU loaded on this CPU (preemption off).
 */
#ifndef VIREO_BACKEND_H
#define VIREO_BACKEND_H

#include <linux/static_call.h>
#include "vireo.h"

/*
 * Hardware
 *
 * setup, teardown: module load and unload: memory for every possible CPU, no processor
 *	state changes.  setup() runs after probe() said yes; may sleep.
 * cpu_enable: switch virtualisation on, on this CPU, interrupts off.  @shared: the other
 *	owner (KVM) has done so already and stays: touch none of its state.
 *	-EBUSY: somebody else owns the processor.  -EIO: the processor refused.
 * cpu_disable: undo it; every control structure active on this CPU is flushed to memory
 *	first (VMCLEAR).  Must cope with never having been enabled.
 *
 * VM and vCPU lifetime (may sleep; not loaded)
 *
 * vm_create, vm_destroy: vm->backend.
 * vcpu_create: vcpu->backend: control structure with its fixed fields; the core then
 *	sets registers by the calls below.
 * vcpu_destroy: release; the control structure may still be active on vcpu->cpu.
 *
 * Running
 *
 * vcpu_load: the vCPU comes to this CPU: @moved if it last ran on another CPU (TLB tags stale) or
 *	never.  Called from ioctl entry and sched-in.
 * vcpu_put: the vCPU leaves this CPU: host's FS, GS, KERNEL_GS_BASE, LDT, GDT limit,
 *	debug state and, in shared mode, the other owner's current VMCS are as before load.
 *	Syscall MSRs may stay the guest's until the user-return notifier.
 * sync_host: interrupts off, before the first entry after they were on: host values
 *	that may have changed (CR3, CR4) and the guest's MSRs, if another vCPU's are in the CPU.
 * runnable: can the processor enter the guest's state?  Always where it has real mode for guests;
 *	elsewhere what cannot be entered is interpreted.  The backend requests
 *	VIREO_REQ_INTERPRET whenever the answer may have changed.
 * step: the next enter() ends behind one instruction: VIREO_EXIT_STEP, if nothing else does.
 * enter: interrupts off: write dirty registers, enter the guest, come back with the host usable,
 *	fill vcpu->exit, make vcpu->avail right.  NMI and machine check exits have been
 *	handed to the host's handlers when it returns.  An event that was being delivered
 *	when the exit came is put back into vcpu->event (event_pending set).
 *	Must be as short as the processor allows.
 *
 * Registers
 *
 * read_regs: fetch the VIREO_REG_* in @which from the control structure into the vCPU and mark them avail.
 * read_mode: see struct vireo_mode.
 * get_segment, set_segment, get_table (idt: which), set_table
 * get_raw, set_raw: segments, tables and the MSRs of get_msr() but PAT, in the form that the processor wants: for a
 *	value that comes back to the same vCPU.
 * get_cr: 0, 3, 4: as the guest sees them.  set_cr: value is legal for the guest; the backend
 *	adds what the hardware needs.  set_efer likewise (LMA is given by the caller).
 * get_efer
 * get_msr, set_msr: MSRs that live in the control structure or the CPU: FS_BASE, GS_BASE,
 *	KERNEL_GS_BASE, STAR, LSTAR, CSTAR, SFMASK, SYSENTER_*, TSC_AUX, PAT, DEBUGCTL.
 *	-ENOENT: not mine.  Values were checked (canonical, reserved bits).
 * msr_intercept: whether reads and writes of an MSR exit.  All do after vcpu_create except
 *	those the backend passes through on its own (FS_BASE, GS_BASE, KERNEL_GS_BASE, syscall and
 *	sysenter MSRs: whatever is switched by hardware or at load).
 * skip: step over the instruction that exited: RIP + insn_len, end of the interrupt shadow.
 *	-EAGAIN: the length is not known and must be found by vireo_insn_length(); then call again.
 * get_shadow, set_shadow: interrupt shadow: 0, 1 STI, 2 MOV SS.
 *
 * Events
 *
 * inject: program vcpu->event (valid) into the control structure for the next entry.
 * cancel: take an event programmed by inject back out (entry did not happen).
 * irq_allowed, nmi_allowed: would the guest take one now (IF, shadow, NMI mask); no look at
 *	vcpu->event.
 * irq_window, nmi_window: exit as soon as it would.
 * get_nmi_mask, set_nmi_mask
 *
 * Local APIC: what of it the processor keeps
 *
 * apic_setup: the APIC's mode (VIREO_APIC_*) is @mode: arrange what the processor is to do.  Returns the
 *	VIREO_FEATURE_TPR_SHADOW, _APIC_REGISTERS and _VIRTUAL_IRQ that are in force from now on; the
 *	four that follow are called with these only.
 * get_tpr: task priority as the guest has left it.
 * set_tpr: give it one; exit (VIREO_EXIT_TPR, or as without TPR shadow) when the guest makes its class less than
 *	@wake.  @wake is 0, or no more than the class of @tpr.
 * irq_request: _VIRTUAL_IRQ: @vector has been put into the page's IRR.
 * irq_status: _VIRTUAL_IRQ: highest vectors of the page's IRR and ISR, 0: none.
 * eoi_exits: _VIRTUAL_IRQ: 64 vectors from 64 * @word on: those whose EOI exits.
 *
 * Debug registers: dr_load: put vcpu->db/dr6 into the processor and let the guest access DRs without exits;
 * dr_save: read them back (db, dr6, dr7), intercept again.  set_dr7; get_dr7.
 *
 * Memory
 *
 * set_root: nested tables' root and levels (vm->mmu.root).
 * flush: drop all cached translations of this vCPU before its next entry on this CPU.
 * vm_flush_free: tables of @vm are about to be freed: nothing may remain cached on any CPU (may sleep;
 *	no vCPU can run any more).
 *
 * log_dirty: from now on frames that the guest makes dirty in the nested tables come to vireo_track_logged() at the exit that
 *	follows; or no more.  Only where vireo_caps.dirty_log is set.
 *
 * write_tsc_offset: vcpu->tsc_offset into the control structure.
 * dump: control structure to the log (vireo_vm_kill, debugging).
 */
#define VIREO_BACKEND_OPS(OP)							\
	OP(int, setup, (void), ())						\
	OP(void, teardown, (void), ())						\
	OP(int, cpu_enable, (bool shared), (shared))				\
	OP(void, cpu_disable, (bool shared), (shared))				\
	OP(int, vm_create, (struct vireo_vm *vm), (vm))				\
	OP(void, vm_destroy, (struct vireo_vm *vm), (vm))			\
	OP(int, vcpu_create, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, vcpu_destroy, (struct vireo_vcpu *vcpu), (vcpu))		\
	OP(void, vcpu_load, (struct vireo_vcpu *vcpu, bool moved), (vcpu, moved))	\
	OP(void, vcpu_put, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, sync_host, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(bool, runnable, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, step, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, enter, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, read_regs, (struct vireo_vcpu *vcpu, u32 which), (vcpu, which))	\
	OP(void, read_mode, (struct vireo_vcpu *vcpu, struct vireo_mode *mode), (vcpu, mode))	\
	OP(void, get_segment, (struct vireo_vcpu *vcpu, enum vireo_seg nr, struct vireo_segment *seg), (vcpu, nr, seg)) \
	OP(void, set_segment, (struct vireo_vcpu *vcpu, enum vireo_seg nr, const struct vireo_segment *seg), (vcpu, nr, seg)) \
	OP(void, get_table, (struct vireo_vcpu *vcpu, bool idt, struct vireo_table *table), (vcpu, idt, table)) \
	OP(void, set_table, (struct vireo_vcpu *vcpu, bool idt, const struct vireo_table *table), (vcpu, idt, table)) \
	OP(void, get_raw, (struct vireo_vcpu *vcpu, struct vireo_raw *raw), (vcpu, raw)) \
	OP(void, set_raw, (struct vireo_vcpu *vcpu, const struct vireo_raw *raw), (vcpu, raw)) \
	OP(u64, get_cr, (struct vireo_vcpu *vcpu, int nr), (vcpu, nr))		\
	OP(void, set_cr, (struct vireo_vcpu *vcpu, int nr, u64 value), (vcpu, nr, value)) \
	OP(u64, get_efer, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, set_efer, (struct vireo_vcpu *vcpu, u64 value), (vcpu, value))	\
	OP(int, get_msr, (struct vireo_vcpu *vcpu, u32 index, u64 *data), (vcpu, index, data)) \
	OP(int, set_msr, (struct vireo_vcpu *vcpu, u32 index, u64 data), (vcpu, index, data)) \
	OP(void, msr_intercept, (struct vireo_vcpu *vcpu, u32 index, bool read, bool write), (vcpu, index, read, write)) \
	OP(int, skip, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(u8, get_shadow, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, set_shadow, (struct vireo_vcpu *vcpu, u8 shadow), (vcpu, shadow)) \
	OP(void, inject, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, cancel, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(bool, irq_allowed, (struct vireo_vcpu *vcpu), (vcpu))		\
	OP(bool, nmi_allowed, (struct vireo_vcpu *vcpu), (vcpu))		\
	OP(void, irq_window, (struct vireo_vcpu *vcpu, bool on), (vcpu, on))	\
	OP(void, nmi_window, (struct vireo_vcpu *vcpu, bool on), (vcpu, on))	\
	OP(bool, get_nmi_mask, (struct vireo_vcpu *vcpu), (vcpu))		\
	OP(void, set_nmi_mask, (struct vireo_vcpu *vcpu, bool on), (vcpu, on))	\
	OP(u32, apic_setup, (struct vireo_vcpu *vcpu, enum vireo_apic_mode mode), (vcpu, mode)) \
	OP(u8, get_tpr, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, set_tpr, (struct vireo_vcpu *vcpu, u8 tpr, u8 wake), (vcpu, tpr, wake)) \
	OP(void, irq_request, (struct vireo_vcpu *vcpu, u8 vector), (vcpu, vector)) \
	OP(void, irq_status, (struct vireo_vcpu *vcpu, u8 requested, u8 served), (vcpu, requested, served)) \
	OP(void, eoi_exits, (struct vireo_vcpu *vcpu, u32 word, u64 vectors), (vcpu, word, vectors)) \
	OP(void, dr_load, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, dr_save, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(u64, get_dr7, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, set_dr7, (struct vireo_vcpu *vcpu, u64 value), (vcpu, value))	\
	OP(void, set_root, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, flush, (struct vireo_vcpu *vcpu), (vcpu))			\
	OP(void, vm_flush_free, (struct vireo_vm *vm), (vm))			\
	OP(void, log_dirty, (struct vireo_vcpu *vcpu, bool on), (vcpu, on))	\
	OP(void, write_tsc_offset, (struct vireo_vcpu *vcpu), (vcpu))		\
	OP(void, dump, (struct vireo_vcpu *vcpu), (vcpu))

/**
 * struct vireo_raw - registers in a backend's own form
 * @data: what get_raw() puts there
 */
struct vireo_raw {
	u64 data[48];
};

/**
 * struct vireo_backend - the operations of one processor family
 * @name: "VMX" or "SVM"
 * @probe: does this processor have it, and what of it: fills vireo_caps, without nested paging unless @nested_paging.  0, -EOPNOTSUPP (not this family),
 *	   -ENODEV (missing features or switched off by firmware; one line in the log says which)
 */
struct vireo_backend {
	const char *name;
	int (*probe)(struct vireo_caps *caps, bool nested_paging);
#define VIREO_BACKEND_MEMBER(ret, name, proto, args) ret (*name) proto;
	VIREO_BACKEND_OPS(VIREO_BACKEND_MEMBER)
#undef VIREO_BACKEND_MEMBER
};

extern const struct vireo_backend vireo_vmx_backend;
extern const struct vireo_backend vireo_svm_backend;

/* vireo_backend_enter(vcpu) and so on: direct calls, patched at load. */
#define VIREO_BACKEND_CALL(ret, name, proto, args)				\
	DECLARE_STATIC_CALL(vireo_##name, *((struct vireo_backend *)NULL)->name);	\
	static __always_inline ret vireo_backend_##name proto			\
	{									\
		return static_call(vireo_##name) args;				\
	}
VIREO_BACKEND_OPS(VIREO_BACKEND_CALL)
#undef VIREO_BACKEND_CALL

/* ------------------------------------------------------------------ */
/* Registers, whichever side holds them                                 */

static __always_inline void vireo_regs_need(struct vireo_vcpu *vcpu, u32 which)
{
	u32 missing = which & ~vcpu->avail;

	if (missing)
		vireo_backend_read_regs(vcpu, missing);
}

static __always_inline u64 vireo_rip(struct vireo_vcpu *vcpu)
{
	vireo_regs_need(vcpu, VIREO_REG_RIP);
	return vcpu->rip;
}

static __always_inline void vireo_set_rip(struct vireo_vcpu *vcpu, u64 rip)
{
	vcpu->rip = rip;
	vcpu->avail |= VIREO_REG_RIP;
	vcpu->dirty |= VIREO_REG_RIP;
}

static __always_inline u64 vireo_rflags(struct vireo_vcpu *vcpu)
{
	vireo_regs_need(vcpu, VIREO_REG_RFLAGS);
	return vcpu->rflags;
}

static __always_inline void vireo_set_rflags(struct vireo_vcpu *vcpu, u64 rflags)
{
	vcpu->rflags = rflags | 2;
	vcpu->avail |= VIREO_REG_RFLAGS;
	vcpu->dirty |= VIREO_REG_RFLAGS;
}

static __always_inline u64 vireo_gpr(struct vireo_vcpu *vcpu, int nr)
{
	if (nr == VIREO_RSP)
		vireo_regs_need(vcpu, VIREO_REG_RSP);
	return vcpu->gpr[nr];
}

static __always_inline void vireo_set_gpr(struct vireo_vcpu *vcpu, int nr, u64 value)
{
	vcpu->gpr[nr] = value;
	if (nr == VIREO_RSP) {
		vcpu->avail |= VIREO_REG_RSP;
		vcpu->dirty |= VIREO_REG_RSP;
	}
}

/**
 * vireo_insn_length() - find the length of the instruction at RIP
 * @vcpu: vCPU at an exit whose processor did not say
 *
 * Fetches and decodes; sets vcpu->exit.insn_len.  Interrupts may be off: then -EAGAIN
 * means that it must be done again with interrupts on.
 *
 * Return: 0, -EAGAIN, or -EFAULT (code not readable: an exception was queued).
 */
int vireo_insn_length(struct vireo_vcpu *vcpu);

/* cr.c: a new value for XCR0; 0, or -EINVAL: not legal for this guest.  Interrupts on or off. */
int vireo_set_xcr0(struct vireo_vcpu *vcpu, u64 value);

#endif /* VIREO_BACKEND_H */

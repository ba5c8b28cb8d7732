/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * AMD SVM: what the files of this directory share.
 *
 *  caps.c    what the processor offers
 *  cpu.c     per-CPU state: on and off, address-space identifiers (ASIDs), flushes
 *  vcpu.c    a vCPU's control block, loading it on a CPU and taking it off
 *  enter.c   guest entry, and the exit in neutral form
 *  switch.S  the world switch itself
 *  regs.c    registers, segments, control and debug registers, MSRs
 *  event.c   injection, windows, NMI masking
 *  quirks.c  what emulated processors leave out
 */
#ifndef VIREO_SVM_SVM_H
#define VIREO_SVM_SVM_H

#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <uapi/asm/debugreg.h>

#include "../backend.h"
#include "vmcb.h"

/**
 * struct svm_caps - the processor, once for all CPUs
 * @features: CPUID 8000000Ah EDX
 * @nr_asids: ASIDs including 0, the host's
 * @flush_asid: tlb_control value that flushes a vCPU's own translations (or more)
 * @rdpru: has RDPRU, which must be intercepted then
 * @mcommit: has MCOMMIT
 * @invlpgb: has INVLPGB and TLBSYNC
 * @rdtscp: has TSC_AUX
 * @pause_filter: PAUSE exits only in tight loops
 */
struct svm_caps {
	u32 features;
	u32 nr_asids;
	u8 flush_asid;
	bool rdpru, mcommit, invlpgb, rdtscp, pause_filter;
};
extern struct svm_caps svm_caps;

/**
 * struct svm_cpu - one per possible CPU; used by that CPU alone, preemption off
 * @on: virtualisation is on
 * @own: ... and we have switched it on
 * @shared: KVM runs guests here too
 * @next_asid: next to give out
 * @generation: of ASIDs; a vCPU of another generation has none
 * @last_vcpu: &svm_vcpu.serial of the vCPU that ran last, for the IBPB
 * @old_tsc_ratio: TSC ratio to put back
 * @hsave_pa: where VMRUN saves the host
 * @host_pa: where VMSAVE saves the rest of it
 * @flush_vmcb: a guest that never executes; see svm_flush_tlb()
 * @flush_pa: its address
 */
struct svm_cpu {
	bool on, own, shared;
	u32 next_asid;
	u64 generation;
	u64 last_vcpu;
	u64 old_tsc_ratio;
	phys_addr_t hsave_pa;
	phys_addr_t host_pa;
	struct vmcb *flush_vmcb;
	phys_addr_t flush_pa;
};
DECLARE_PER_CPU(struct svm_cpu, svm_cpus);

/* &svm_vcpu.work: what the next entry or exit must do beside the usual. */
#define SVM_WORK		BIT(31)		/* the exit has something to do: one sign test */
#define SVM_WORK_SOFT		BIT(0)		/* RIP was moved over an INT n to inject it */
#define SVM_WORK_IRET		BIT(1)		/* an IRET that ends the NMI mask is under way */
#define SVM_WORK_NMI_WINDOW	BIT(2)		/* exit when an NMI can be taken */
#define SVM_WORK_STEP		BIT(3)		/* TF is ours in this entry */
#define SVM_WORK_GUEST_TF	BIT(4)		/* ... and was the guest's as well */
#define SVM_WORK_STEPPED	BIT(5)		/* this exit is the #DB of our TF */
#define SVM_WORK_INJECTED	BIT(7)		/* Bochs: this entry has injected an event */
#define SVM_WORK_SHADOW		BIT(8)		/* the interrupt shadow is held by stepping over it */
#define SVM_WORK_SINGLE		BIT(9)		/* the step is VIREO_EXIT_STEP's */
#define SVM_WORK_IRQ_WINDOW	BIT(6)		/* entry only: it may be open already */

/**
 * struct svm_vcpu - vcpu->backend
 * @vmcb: control block, one page
 * @vmcb_pa: its address
 * @host_pa: &svm_cpu.host_pa of the CPU that it is loaded on
 * @work: SVM_WORK_*
 * @nmi_masked: between delivery of an NMI and the end of its IRET
 * @cpu: CPU for which @generation counts
 * @generation: &svm_cpu.generation in which control.asid was taken
 * @serial: unique for ever, unlike an address
 * @cr0: as the guest sees it, but for TS and MP, which it changes without an exit
 * @cr4: as the guest sees it
 * @efer: as the guest sees it
 * @tpr_shadow: CR8 is the VMCB's V_TPR
 * @tpr_low: lower half of TPR, for which the VMCB has no place
 * @tpr_wake: an interrupt waits for a class below this one
 * @dr7: as the guest sees it; the VMCB has it only while the debug registers are loaded
 * @tsc_aux: guest's TSC_AUX
 * @host_tsc_aux: what was there before, while loaded and different
 * @tsc_aux_loaded: the guest's is in the processor
 * @soft: with SVM_WORK_SOFT: the event as it was queued
 * @soft_rip: with SVM_WORK_SOFT: RIP of the INT n
 * @iret_rip: with SVM_WORK_IRET: RIP of the IRET
 * @shadow_rip: with SVM_WORK_SHADOW: RIP of the instruction in the shadow
 * @debugctl: guest's DEBUGCTL, a value without effect
 * @sysenter_cs: of a hybrid VM, where the processor's is 0 so that SYSENTER faults
 * @msrpm: MSR permission map, two pages
 */
struct svm_vcpu {
	struct vmcb *vmcb;
	phys_addr_t vmcb_pa;
	phys_addr_t host_pa;
	u32 work;
	bool nmi_masked;
	bool tpr_shadow;
	u8 tpr_low, tpr_wake;
	int cpu;
	u64 generation;
	u64 serial;
	u64 cr0, cr4, efer, dr7;
	u64 tsc_aux, host_tsc_aux;
	bool tsc_aux_loaded;
	struct vireo_event soft;
	u64 soft_rip;
	u64 iret_rip;
	u64 shadow_rip;
	u64 debugctl;
	u64 sysenter_cs;
	u8 *msrpm;
};

static __always_inline struct svm_vcpu *to_svm(struct vireo_vcpu *vcpu)
{
	return vcpu->backend;
}

static __always_inline struct vmcb *to_vmcb(struct vireo_vcpu *vcpu)
{
	return to_svm(vcpu)->vmcb;
}

/* A field group was written: the processor must read it again. */
static __always_inline void vmcb_dirty(struct vmcb *vmcb, u32 group)
{
	vmcb->control.clean &= ~group;
}

static inline bool vmcb_intercepts(const struct vmcb *vmcb, unsigned int nr)
{
	return vmcb->control.intercept[nr / 32] & BIT(nr % 32);
}

static inline void vmcb_intercept(struct vmcb *vmcb, unsigned int nr, bool on)
{
	u32 *word = &vmcb->control.intercept[nr / 32];
	u32 value = on ? *word | BIT(nr % 32) : *word & ~BIT(nr % 32);

	if (value != *word) {
		*word = value;
		vmcb_dirty(vmcb, VMCB_CLEAN_INTERCEPTS);
	}
}

/* DR6 with nothing to report; the bits that read as 1 are those that report by 0. */
#define SVM_DR6_QUIET		0xffff0ff0ULL
#define SVM_DR7_QUIET		0x400ULL
/* Debug registers accessed with DR7.GD, and task switch: not named by the kernel. */
#define DR_BD			BIT(13)
#define DR_BT			BIT(15)

/*
 * What raised a #DB that was intercepted, in bits of DR6.  DR6 in the VMCB is as a handler would
 * find it (APM 15.12.4); Bochs 2.7 does not put it there, so that it has to be guessed.
 */
static inline u64 svm_db_cause(const struct vmcb *vmcb)
{
	u64 cause = (vmcb->save.dr6 ^ SVM_DR6_QUIET) & (DR_TRAP_BITS | DR_BT | DR_STEP | DR_BD);

	if (unlikely(!cause) && (vmcb->save.rflags & X86_EFLAGS_TF))
		cause = DR_STEP;
	return cause;
}

/* The operations of backend.h, each in the file of its subject. */
#define SVM_DECLARE(ret, op, proto, args) ret svm_##op proto;
VIREO_BACKEND_OPS(SVM_DECLARE)
#undef SVM_DECLARE

/* caps.c */
int svm_probe(struct vireo_caps *caps, bool nested_paging);
/* Does this CPU have what the one that was probed has? */
bool svm_check_cpu(void);

/* cpu.c */
extern phys_addr_t svm_iopm_pa;
/* Guests run at the rate of the host's TSC; put the old ratio back. */
void svm_plain_tsc_ratio(struct svm_cpu *cpu);
void svm_restore_tsc_ratio(struct svm_cpu *cpu);
/* An ASID on this CPU that nothing in the TLB is tagged with; preemption off. */
void svm_take_asid(struct svm_cpu *cpu, struct svm_vcpu *svm);
/* Drop what is tagged with @asid (or more) from this CPU's TLB, now; preemption off. */
void svm_flush_tlb(struct svm_cpu *cpu, u32 asid, u8 how);

/* quirks.c */
DECLARE_STATIC_KEY_FALSE(svm_bochs);
DECLARE_STATIC_KEY_FALSE(svm_xcr0_watched);
DECLARE_STATIC_KEY_FALSE(svm_shadow_lost);
int svm_find_quirks(void);
struct vireo_vcpu *svm_take_xcr0(struct vireo_vcpu *vcpu);

/* regs.c */
void svm_write_regs(struct vireo_vcpu *vcpu);
struct vireo_vcpu *svm_host_breakpoints(struct vireo_vcpu *vcpu);

/* event.c */
/*
 * Before an entry with svm->work or registers to write.  False: do not enter, a window is
 * open and vcpu->exit says so.
 */
bool svm_work_entry(struct vireo_vcpu *vcpu);
/*
 * After an exit with SVM_WORK or a broken-off delivery.  Returns @vcpu, as does
 * svm_host_breakpoints(): so svm_enter() need not save a register for it.
 */
struct vireo_vcpu *svm_work_exit(struct vireo_vcpu *vcpu);
/* The IRET that was intercepted may run now: it ends the NMI mask. */
void svm_iret(struct vireo_vcpu *vcpu);
/*
 * Was this #DB the end of our own step?  Then it is none of the guest's, and @reason says
 * what it was for; VIREO_EXIT_NONE: enter again.
 */
bool svm_step_done(struct vireo_vcpu *vcpu, u16 *reason);

#endif /* VIREO_SVM_SVM_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMX backend's own types and what its files offer each other.
 *
 *  vmcs.h    numbers of the hardware
 *  caps.c    capability MSRs to controls and features
 *  cpu.c     a CPU: VMX on and off, which VMCS is where, the host's MSRs
 *  vcpu.c    a vCPU: its VMCS, coming to a CPU and leaving it
 *  regs.c    registers
 *  event.c   injection, windows, shadows
 *  enter.c   entry and exit: the hot path; switch.S is its core
 *  exit.c    exits in neutral form
 *  apic.c    what of the local APIC the processor keeps
 *  check.c   states that the processor enters
 *  dump.c    a VMCS in words
 */
#ifndef VIREO_VMX_H
#define VIREO_VMX_H

#include <linux/bug.h>
#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/user-return-notifier.h>
#include <asm/asm.h>
#include <asm/desc_defs.h>

#include "../backend.h"
#include "asm.h"
#include "caps.h"
#include "vmcs.h"

#define VMX_CR4_FRED		BIT_ULL(32)

/* SYSCALL's MSRs and TSC_AUX: the guest's stay in the CPU until it returns to user space. */
enum { VMX_MSR_STAR, VMX_MSR_LSTAR, VMX_MSR_SFMASK, VMX_MSR_TSC_AUX, VMX_MSR_NR };

#define VMX_DR7_ENABLED		0xffU	/* L0 to G3 */
#define VMX_DR7_GD		BIT(13)	/* general detect */

/* vmx_vcpu.todo: what the next entry must do first; all of it is rare */
#define VMX_TODO_MASKS		BIT(0)	/* CR masks and controls that follow CPUID */
#define VMX_TODO_MSRS		BIT(1)	/* syscall MSRs changed while loaded */
#define VMX_TODO_PDPTES		BIT(2)	/* PAE: read the four entries again */
#define VMX_TODO_DRS		BIT(3)	/* debug registers must be in the processor */
#define VMX_TODO_TPR		BIT(5)	/* the threshold must not be above TPR */
#define VMX_TODO_STEP		BIT(4)	/* pending single-step must agree with RFLAGS */

/* vmx_vcpu.after: what each exit must put right */
#define VMX_AFTER_DEBUGCTL	BIT(0)
#define VMX_AFTER_BREAKPOINTS	BIT(1)
#define VMX_AFTER_STEP		BIT(2)	/* one instruction was to run alone */
#define VMX_AFTER_PML		BIT(3)	/* dirty pages may have been logged */

/* Entries of the page-modification log (SDM vol. 3, 29.3.6) */
#define VMX_PML_ENTRIES		512

/**
 * struct vmx_msr_entry - an element of the MSR lists (SDM vol. 3, table 25-15)
 * @index: MSR
 * @pad: zero
 * @value: value
 */
struct vmx_msr_entry {
	u32 index;
	u32 pad;
	u64 value;
} __aligned(16);

/**
 * struct vmx_vcpu - a vCPU's VMX side
 *
 * Own thread with the vCPU loaded, where not said otherwise.
 *
 * @host_rsp: HOST_RSP as the VMCS has it (switch.S)
 * @launched: bit 0: the VMCS was launched since its last VMCLEAR (switch.S)
 * @todo: VMX_TODO_*
 * @after: VMX_AFTER_*
 * @dr_stale: DR0-3 and DR6 hold the host's although vcpu->dr_loaded
 * @ran: it has been in the guest since vcpu_load: host state was lost
 * @gs_loaded: KERNEL_GS_BASE in the CPU is the guest's
 * @host_cr3: HOST_CR3 as the VMCS has it
 * @host_cr4: HOST_CR4 likewise
 * @host_fs_base: HOST_FS_BASE likewise
 * @host_debugctl: IA32_DEBUGCTL to restore
 * @proc: primary controls as the VMCS has them
 * @proc2: secondary controls likewise
 * @entry: VM-entry controls likewise
 * @apic_proc2: secondary controls that apic.c has chosen
 * @threshold: TPR threshold as the VMCS has it
 * @cr0_owned: CR0 bits that the guest changes without an exit
 * @cr4_owned: likewise CR4
 * @cr0_shadow: CR0 as last set; right for the bits that the guest does not own
 * @cr4_shadow: likewise CR4
 * @efer: IA32_EFER as the guest sees it
 * @pat: IA32_PAT as the guest sees it
 * @msr: guest's values of enum VMX_MSR_*
 * @cstar: IA32_CSTAR: only a value, SYSCALL of 32-bit code is #UD on Intel
 * @sysenter_cs: of a hybrid VM, where the processor's is 0 so that SYSENTER faults
 * @idt_limit: likewise, so that INT n faults
 * @step_tf: stepping by RFLAGS.TF, which the guest has not set
 * @nmi_free: with vmx_caps.nmi_mask_stays: no NMI is in service, whatever the VMCS says
 * @guest_kernel_gs: guest's KERNEL_GS_BASE while not loaded
 * @host_kernel_gs: the thread's user GS base while loaded
 * @host_sel: the thread's DS, ES, FS, GS, LDTR while loaded
 * @host_sel_any: one of them is not zero
 * @host_cpu: CPU whose host state the VMCS has, -1: none
 * @active_cpu: CPU that may hold parts of the VMCS, -1: none.  Written there with interrupts off,
 *	by cpu_disable() too
 * @active: in vmx_cpu.active of that CPU
 * @pml: page-modification log, one page; NULL where there is none
 * @pml_on: it is in use
 * @vmcs: the VMCS, one page
 * @vmcs_pa: its address
 * @bitmap: MSR bitmap, one page
 * @eptp: EPTP
 * @efer_load: EFER at entry and at exit, where no control does it
 * @shadow_on: controls and registers are those for shadow tables
 * @vpid: VPID, 0: none
 * @serial: unique for all time: tells vCPUs apart for IBPB
 * @vcpu: back
 */
struct vmx_vcpu {
	unsigned long host_rsp;
	u32 launched;
	u8 todo;
	u8 after;
	bool dr_stale;
	bool ran;
	bool gs_loaded;

	unsigned long host_cr3, host_cr4, host_fs_base;
	u64 host_debugctl;

	u32 proc, proc2, entry;
	u32 apic_proc2;
	u8 threshold;
	u64 cr0_owned, cr4_owned;
	u64 cr0_shadow, cr4_shadow;
	u64 efer;
	u64 pat;
	u64 msr[VMX_MSR_NR];
	u64 cstar;

	u32 sysenter_cs;
	u16 idt_limit;
	bool step_tf;
	bool nmi_free;

	u64 guest_kernel_gs, host_kernel_gs;
	struct { u16 ds, es, fs, gs, ldt; } host_sel;
	bool host_sel_any;

	int host_cpu;
	int active_cpu;
	struct list_head active;

	u64 *pml;
	bool pml_on;
	void *vmcs;
	phys_addr_t vmcs_pa;
	u8 *bitmap;
	struct vmx_msr_entry efer_load[2];
	u64 eptp;
	bool shadow_on;
	u16 vpid;
	u64 serial;
	struct vireo_vcpu *vcpu;
};

static_assert(offsetof(struct vireo_vcpu, gpr) == VMX_GPR(0));
static_assert(offsetof(struct vmx_vcpu, host_rsp) == VMX_VCPU_HOST_RSP);
static_assert(offsetof(struct vmx_vcpu, launched) == VMX_VCPU_LAUNCHED);
static_assert(VMCS_HOST_RSP == VMX_ASM_HOST_RSP_FIELD);
static_assert(VMCS_EXIT_REASON == VMX_ASM_EXIT_REASON_FIELD);

/**
 * struct vmx_cpu - a CPU; touched on that CPU only, interrupts or preemption off
 *
 * @enabled: guests may run here
 * @shared: KVM executed VMXON and stays
 * @urn_on: @urn is registered
 * @vmxon: VMXON region
 * @active: vCPUs whose VMCS is active here
 * @current_vmx: whose VMCS is current, as far as Vireo knows
 * @other: shared: the VMCS that was current before ours
 * @serial: vCPU that ran last (IBPB)
 * @msr_owner: vCPU whose syscall MSRs are in the CPU
 * @msr_host: what to restore
 * @msr_now: what the CPU has
 * @gdt: the kernel's GDTR
 * @idt: the kernel's IDTR
 * @tr: the kernel's TR
 * @tr_base: its base
 * @gs_base: base of the per-CPU area
 * @sysenter_cs: MSR
 * @sysenter_esp: MSR
 * @sysenter_eip: MSR
 * @efer: MSR
 * @urn: called before the CPU returns to user space
 */
struct vmx_cpu {
	bool enabled;
	bool shared;
	bool urn_on;
	void *vmxon;
	struct list_head active;
	struct vmx_vcpu *current_vmx;
	u64 other;
	u64 serial;
	struct vmx_vcpu *msr_owner;
	u64 msr_host[VMX_MSR_NR], msr_now[VMX_MSR_NR];
	struct desc_ptr gdt, idt;
	u16 tr;
	unsigned long tr_base, gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 efer;
	struct user_return_notifier urn;
};
DECLARE_PER_CPU(struct vmx_cpu, vmx_cpu);

/* VMPTRST when there is none */
#define VMX_NO_VMCS		(~0ULL)

/* ------------------------------------------------------------------ */
/* Instructions                                                         */

/* A VMREAD or VMWRITE failed: the VM dies, the log says where.  Returns 0.  cpu.c */
u64 vmx_access_failed(u32 field);

/*
 * CF or ZF after VMREAD and VMWRITE mean failure (SDM vol. 3, 31.2).  #UD comes if a
 * reboot has switched virtualisation off meanwhile; then nothing matters any more.
 */
static __always_inline u64 vmx_read(u32 field)
{
	u64 value;
	bool ok;

	asm volatile("1: vmread %[field], %[value]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "=@cca" (ok), [value] "=r" (value)
		     : [field] "r" ((u64)field));
	if (unlikely(!ok))
		return vmx_access_failed(field);
	return value;
}

static __always_inline void vmx_write(u32 field, u64 value)
{
	bool ok;

	asm volatile("1: vmwrite %[value], %[field]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "=@cca" (ok)
		     : [field] "r" ((u64)field), [value] "rm" (value)
		     : "memory");
	if (unlikely(!ok))
		vmx_access_failed(field);
}

static inline u64 vmx_vmptrst(void)
{
	u64 pa = VMX_NO_VMCS;

	asm volatile("1: vmptrst %0\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "+m" (pa) : : "cc");
	return pa;
}

/* True if it failed. */
static inline bool vmx_vmptrld(u64 pa)
{
	bool ok;

	asm volatile("1: vmptrld %[pa]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "=@cca" (ok) : [pa] "m" (pa) : "memory");
	return !ok;
}

static inline bool vmx_vmclear(u64 pa)
{
	bool ok;

	asm volatile("1: vmclear %[pa]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "=@cca" (ok) : [pa] "m" (pa) : "memory");
	return !ok;
}

/* ------------------------------------------------------------------ */
/* Operations of backend.h, each in the file of its subject              */

#define VMX_DECLARE(ret, op, proto, args) ret vmx_##op proto;
VIREO_BACKEND_OPS(VMX_DECLARE)
#undef VMX_DECLARE

/* ------------------------------------------------------------------ */
/* cpu.c                                                                */

bool vmx_needs_l1d_flush(void);
DECLARE_STATIC_KEY_FALSE(vmx_l1d_flush_key);
void vmx_l1d_flush(void);

/* For the two that follow. */
void vmx_take_current(struct vmx_vcpu *vmx);
void vmx_give_back_current(struct vmx_vcpu *vmx);

/* Make @vmx's VMCS current on this CPU, preemption off; nearly always it still is. */
static __always_inline void vmx_make_current(struct vmx_vcpu *vmx)
{
	if (unlikely(this_cpu_read(vmx_cpu.current_vmx) != vmx || this_cpu_read(vmx_cpu.shared) ||
		     vmx->active_cpu != smp_processor_id()))
		vmx_take_current(vmx);
}

/* Make the other owner's current again, if there is one. */
static __always_inline void vmx_leave_current(struct vmx_vcpu *vmx)
{
	if (unlikely(this_cpu_read(vmx_cpu.shared)))
		vmx_give_back_current(vmx);
}

/* The current VMCS, loaded, back to where VMLAUNCH enters; its fields stay. */
void vmx_relaunch(struct vmx_vcpu *vmx);
/* VMCLEAR wherever it is active.  May be called from anywhere with interrupts on. */
void vmx_deactivate(struct vmx_vcpu *vmx);

/* The vCPU's syscall MSRs into this CPU, interrupts off; out of it (shared mode). */
void vmx_load_msrs(struct vmx_vcpu *vmx);
void vmx_unload_msrs(struct vmx_vcpu *vmx);

/* TLB, this CPU */
void vmx_invept(u64 eptp);
void vmx_invvpid(u16 vpid);

/* ------------------------------------------------------------------ */
/* check.c                                                              */

/**
 * struct vmx_entry_state - what decides whether the processor enters a state
 * @cr0: as the guest sees it
 * @efer: likewise
 * @rflags: RFLAGS
 * @seg: segment registers as the VMCS has them
 */
struct vmx_entry_state {
	u64 cr0, efer, rflags;
	struct vireo_segment seg[VIREO_SEG_NR];
};

/**
 * vmx_state_enters() - would an entry without "unrestricted guest" succeed?
 * @s: state
 *
 * Pure, for tests.
 */
bool vmx_state_enters(const struct vmx_entry_state *s);

/* After a change of what vmx_runnable() looks at; the interpreter looks by itself. */
static inline void vmx_state_changed(struct vireo_vcpu *vcpu)
{
	if (unlikely(!vmx_caps.unrestricted) && !vcpu->interpret)
		vireo_request_set(vcpu, VIREO_REQ_INTERPRET);
}

/* ------------------------------------------------------------------ */
/* regs.c                                                               */

/* For enter.c: masks and controls that follow CPUID; the PDPTEs, false if a page is not there. */
void vmx_update_exceptions(struct vireo_vcpu *vcpu);	/* vcpu.c */
void vmx_update_masks(struct vireo_vcpu *vcpu);
void vmx_update_paging(struct vireo_vcpu *vcpu);
bool vmx_load_pdptes(struct vireo_vcpu *vcpu);
void vmx_drs_to_cpu(struct vireo_vcpu *vcpu);
void vmx_drs_from_cpu(struct vireo_vcpu *vcpu);

static inline void vmx_set_proc(struct vmx_vcpu *vmx, u32 proc)
{
	if (proc != vmx->proc) {
		vmx->proc = proc;
		vmx_write(VMCS_PROC_CONTROLS, proc);
	}
}

static __always_inline u64 vmx_rip(struct vireo_vcpu *vcpu)
{
	if (!(vcpu->avail & VIREO_REG_RIP)) {
		vcpu->rip = vmx_read(VMCS_GUEST_RIP);
		vcpu->avail |= VIREO_REG_RIP;
	}
	return vcpu->rip;
}

static __always_inline u64 vmx_rflags(struct vireo_vcpu *vcpu)
{
	if (!(vcpu->avail & VIREO_REG_RFLAGS)) {
		vcpu->rflags = vmx_read(VMCS_GUEST_RFLAGS);
		vcpu->avail |= VIREO_REG_RFLAGS;
	}
	return vcpu->rflags;
}

/* ------------------------------------------------------------------ */
/* event.c                                                              */

/* For enter.c */
void vmx_fix_step(struct vireo_vcpu *vcpu);
void vmx_note_nmi_mask(struct vireo_vcpu *vcpu);
/* A delivery that an exit broke off becomes vcpu->event again. */
void vmx_recover_event(struct vireo_vcpu *vcpu, u32 info, u32 error, u8 insn_len);

/* ------------------------------------------------------------------ */
/* apic.c                                                               */

/* For enter.c: is TPR below the threshold, with which the entry would fail? */
bool vmx_tpr_below(struct vireo_vcpu *vcpu);

/* ------------------------------------------------------------------ */
/* switch.S                                                             */

extern const u8 vireo_vmx_exit[];

#endif /* VIREO_VMX_H */

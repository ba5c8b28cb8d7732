// SPDX-License-Identifier: GPL-2.0-only
/*
 * A CPU: VMX operation on and off, which VMCS is active and current, MSRs of the host
 * that a guest's values displace.
 *
 * Alone, Vireo leaves the last VMCS current and finds it so at the next load.  Beside KVM
 * (shared) it must not: KVM remembers what it made current and which MSR values it loaded, and does
 * not look again.  So there each load notes what the CPU has, and each put brings it
 * back; our VMCS is flushed to memory at each put, so that KVM may execute VMXOFF
 * (suspend, its own last user) whenever no vCPU of ours is loaded.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/bugs.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/perf_event.h>
#include <asm/processor.h>
#include <asm/tlbflush.h>

#include "vmx.h"

DEFINE_PER_CPU(struct vmx_cpu, vmx_cpu);

static const u32 vmx_msr_index[VMX_MSR_NR] = {
	[VMX_MSR_STAR]		= MSR_STAR,
	[VMX_MSR_LSTAR]		= MSR_LSTAR,
	[VMX_MSR_SFMASK]	= MSR_SYSCALL_MASK,
	[VMX_MSR_TSC_AUX]	= MSR_TSC_AUX,
};

/* TSC_AUX comes last, so that processors without it just have one less. */
static int vmx_msrs_there(void)
{
	return boot_cpu_has(X86_FEATURE_RDTSCP) ? VMX_MSR_NR : VMX_MSR_TSC_AUX;
}

u64 vmx_access_failed(u32 field)
{
	struct vmx_vcpu *vmx = raw_cpu_read(vmx_cpu.current_vmx);

	/* A reboot has switched VMX off: see vmx_read(). */
	if (!(__read_cr4() & X86_CR4_VMXE))
		return 0;
	WARN_ONCE(1, "vireo: VMREAD or VMWRITE of field %#x failed\n", field);
	if (vmx)
		vireo_vm_kill(vmx->vcpu->vm, "VMREAD or VMWRITE failed");
	return 0;
}

/* ------------------------------------------------------------------ */
/* TLB                                                                  */

struct vmx_inv { u64 what, zero; };
static_assert(sizeof(struct vmx_inv) == 16);	/* descriptors of SDM vol. 3, 31.3 */

static void __vmx_invept(unsigned long type, u64 eptp)
{
	struct vmx_inv inv = { .what = eptp };
	bool ok;

	asm volatile("1: invept %[inv], %[type]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "=@cca" (ok) : [inv] "m" (inv), [type] "r" (type) : "memory");
	WARN_ONCE(!ok && __read_cr4() & X86_CR4_VMXE, "vireo: INVEPT failed\n");
}

static void __vmx_invvpid(unsigned long type, u64 vpid)
{
	struct vmx_inv inv = { .what = vpid };
	bool ok;

	asm volatile("1: invvpid %[inv], %[type]\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "=@cca" (ok) : [inv] "m" (inv), [type] "r" (type) : "memory");
	WARN_ONCE(!ok && __read_cr4() & X86_CR4_VMXE, "vireo: INVVPID failed\n");
}

void vmx_invept(u64 eptp)
{
	__vmx_invept(vmx_caps.invept, eptp);
}

void vmx_invvpid(u16 vpid)
{
	if (vpid)
		__vmx_invvpid(vmx_caps.invvpid, vpid);
}

/* ------------------------------------------------------------------ */
/* The current VMCS                                                     */

/* On the CPU where it is active, interrupts off. */
static void vmx_clear_here(struct vmx_cpu *c, struct vmx_vcpu *vmx)
{
	WARN_ON_ONCE(vmx_vmclear(vmx->vmcs_pa) && __read_cr4() & X86_CR4_VMXE);
	if (c->current_vmx == vmx)
		c->current_vmx = NULL;
	if (c->msr_owner == vmx)
		c->msr_owner = NULL;
	vmx->launched = 0;
	list_del_init(&vmx->active);
	/* Paired with the read in vmx_deactivate(): memory is whole before others use it. */
	smp_store_release(&vmx->active_cpu, -1);
}

static void vmx_clear_ipi(void *info)
{
	struct vmx_vcpu *vmx = info;

	if (vmx->active_cpu == smp_processor_id())
		vmx_clear_here(this_cpu_ptr(&vmx_cpu), vmx);
}

void vmx_deactivate(struct vmx_vcpu *vmx)
{
	int cpu = smp_load_acquire(&vmx->active_cpu);

	/* A CPU that has gone offline since has cleared it on its way out. */
	if (cpu >= 0)
		smp_call_function_single(cpu, vmx_clear_ipi, vmx, 1);
}

void vmx_take_current(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	int cpu = smp_processor_id();
	unsigned long flags;

	if (unlikely(vmx->active_cpu != cpu))
		vmx_deactivate(vmx);

	if (unlikely(c->shared))
		c->other = vmx_vmptrst();

	local_irq_save(flags);
	if (vmx->active_cpu != cpu) {
		list_add(&vmx->active, &c->active);
		vmx->active_cpu = cpu;
	}
	c->current_vmx = vmx;
	if (WARN_ONCE(vmx_vmptrld(vmx->vmcs_pa) && __read_cr4() & X86_CR4_VMXE,
		      "vireo: VMPTRLD failed\n"))
		vireo_vm_kill(vmx->vcpu->vm, "VMPTRLD failed");
	local_irq_restore(flags);

	/* No guest is to be steered by what another one has trained. */
	if (c->shared || c->serial != vmx->serial) {
		c->serial = vmx->serial;
		indirect_branch_prediction_barrier();
	}
}

void vmx_relaunch(struct vmx_vcpu *vmx)
{
	vmx->launched = 0;
	if (vmx_vmclear(vmx->vmcs_pa) || vmx_vmptrld(vmx->vmcs_pa))
		vireo_vm_kill(vmx->vcpu->vm, "VMCLEAR or VMPTRLD failed");
}

void vmx_give_back_current(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	unsigned long flags;

	local_irq_save(flags);
	vmx_unload_msrs(vmx);
	vmx_clear_here(c, vmx);
	/* With no VMCS before ours, VMCLEAR has left none, as it was. */
	if (c->other != VMX_NO_VMCS)
		WARN_ON_ONCE(vmx_vmptrld(c->other) && __read_cr4() & X86_CR4_VMXE);
	local_irq_restore(flags);
	/* KVM believes that its last guest was the last to run here. */
	indirect_branch_prediction_barrier();
}

/* ------------------------------------------------------------------ */
/* Syscall MSRs                                                         */

static void vmx_restore_msrs(struct vmx_cpu *c)
{
	int i, n = vmx_msrs_there();

	for (i = 0; i < n; i++) {
		if (c->msr_now[i] != c->msr_host[i]) {
			wrmsrl(vmx_msr_index[i], c->msr_host[i]);
			c->msr_now[i] = c->msr_host[i];
		}
	}
	c->msr_owner = NULL;
}

static void vmx_user_return(struct user_return_notifier *urn)
{
	struct vmx_cpu *c = container_of(urn, struct vmx_cpu, urn);
	unsigned long flags;

	/* cpu_disable() may come by IPI. */
	local_irq_save(flags);
	if (c->urn_on) {
		c->urn_on = false;
		user_return_notifier_unregister(urn);
		vmx_restore_msrs(c);
	}
	local_irq_restore(flags);
}

void vmx_load_msrs(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	int i, n = vmx_msrs_there();

	if (unlikely(c->shared && c->msr_owner != vmx)) {
		for (i = 0; i < n; i++) {
			rdmsrl(vmx_msr_index[i], c->msr_host[i]);
			c->msr_now[i] = c->msr_host[i];
		}
	}
	/* Without SCE only RDMSR could see the first three, and that exits. */
	for (i = vmx->efer & EFER_SCE ? 0 : VMX_MSR_TSC_AUX; i < n; i++) {
		if (c->msr_now[i] != vmx->msr[i]) {
			if (!c->urn_on && !c->shared) {
				c->urn_on = true;
				user_return_notifier_register(&c->urn);
			}
			wrmsrl(vmx_msr_index[i], vmx->msr[i]);
			c->msr_now[i] = vmx->msr[i];
		}
	}
	c->msr_owner = vmx;
}

void vmx_unload_msrs(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	if (c->msr_owner == vmx)
		vmx_restore_msrs(c);
}

/* ------------------------------------------------------------------ */
/* L1 terminal fault                                                    */

DEFINE_STATIC_KEY_FALSE(vmx_l1d_flush_key);

bool vmx_needs_l1d_flush(void)
{
	if (!boot_cpu_has_bug(X86_BUG_L1TF) || !boot_cpu_has(X86_FEATURE_FLUSH_L1D) ||
	    l1tf_mitigation == L1TF_MITIGATION_OFF)
		return false;
	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES)) {
		u64 caps;

		rdmsrl(MSR_IA32_ARCH_CAPABILITIES, caps);
		if (caps & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH)
			return false;
	}
	return true;
}

void vmx_l1d_flush(void)
{
	native_wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
}

/* ------------------------------------------------------------------ */
/* VMX operation                                                        */

static int vmx_vmxon(u64 pa)
{
	bool ok = false;

	/* #GP where firmware has locked it, #UD without CR4.VMXE. */
	asm volatile goto("1: vmxon %[pa]\n"
			  "jbe %l[failed]\n"
			  _ASM_EXTABLE(1b, %l[failed])
			  : : [pa] "m" (pa) : "cc", "memory" : failed);
	ok = true;
failed:
	return ok ? 0 : -EIO;
}

static void vmx_vmxoff(void)
{
	asm volatile("1: vmxoff\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : : : "cc", "memory");
}

/* The kernel's own descriptor tables and MSRs, the same as long as the CPU is online. */
static void vmx_note_host(struct vmx_cpu *c)
{
	const struct desc_struct *gdt;
	const struct ldttss_desc *tss;
	int i, n = vmx_msrs_there();

	native_store_gdt(&c->gdt);
	store_idt(&c->idt);
	asm volatile("str %0" : "=r" (c->tr));
	gdt = (const struct desc_struct *)c->gdt.address;
	tss = (const struct ldttss_desc *)(gdt + (c->tr >> 3));
	c->tr_base = tss->base0 | tss->base1 << 16 | tss->base2 << 24 | (u64)tss->base3 << 32;

	rdmsrl(MSR_GS_BASE, c->gs_base);
	rdmsrl(MSR_IA32_SYSENTER_CS, c->sysenter_cs);
	rdmsrl(MSR_IA32_SYSENTER_ESP, c->sysenter_esp);
	rdmsrl(MSR_IA32_SYSENTER_EIP, c->sysenter_eip);
	rdmsrl(MSR_EFER, c->efer);

	/* Shared, the CPU may have a guest's at this moment: vmx_load_msrs() looks each time. */
	for (i = 0; i < n; i++) {
		rdmsrl(vmx_msr_index[i], c->msr_host[i]);
		c->msr_now[i] = c->msr_host[i];
	}
}

int vmx_cpu_enable(bool shared)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	bool on = cr4_read_shadow() & X86_CR4_VMXE;
	struct vmx_msrs msrs;
	int r;

	vmx_read_msrs(&msrs);
	if (memcmp(&msrs, &vmx_caps.msrs, sizeof(msrs))) {
		pr_err("CPU %d has other VMX capabilities than the first\n", smp_processor_id());
		return -EIO;
	}

	if (shared) {
		if (!on)
			return -EIO;
	} else {
		if (on)
			return -EBUSY;
		/* Processor Trace of some processors must be off in VMX operation. */
		intel_pt_handle_vmx(1);
		cr4_set_bits(X86_CR4_VMXE);
		r = vmx_vmxon(__pa(c->vmxon));
		if (r) {
			cr4_clear_bits(X86_CR4_VMXE);
			intel_pt_handle_vmx(0);
			return r;
		}
	}

	vmx_note_host(c);
	c->current_vmx = NULL;
	c->msr_owner = NULL;
	c->serial = 0;
	c->shared = shared;
	c->enabled = true;

	/* What an earlier owner's tables or tags have left behind. */
	if (vmx_caps.msrs.ept_vpid & VMX_EPT_CAP_INVEPT_ALL)
		__vmx_invept(VMX_INV_ALL, 0);
	if (vmx_caps.msrs.ept_vpid & VMX_VPID_CAP_INVVPID &&
	    vmx_caps.msrs.ept_vpid & VMX_VPID_CAP_ALL)
		__vmx_invvpid(VMX_INV_ALL, 0);
	return 0;
}

void vmx_cpu_disable(bool shared)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);
	struct vmx_vcpu *vmx, *next;

	if (!c->enabled)
		return;
	c->enabled = false;

	list_for_each_entry_safe(vmx, next, &c->active, active)
		vmx_clear_here(c, vmx);
	if (c->urn_on)
		vmx_user_return(&c->urn);
	c->current_vmx = NULL;
	if (!c->shared) {
		vmx_vmxoff();
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
	}
}

int vmx_setup(void)
{
	int cpu;

	if (vmx_needs_l1d_flush())
		static_branch_enable(&vmx_l1d_flush_key);

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *c = per_cpu_ptr(&vmx_cpu, cpu);
		struct page *page;

		INIT_LIST_HEAD(&c->active);
		c->urn.on_user_return = vmx_user_return;
		page = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		if (!page) {
			vmx_teardown();
			return -ENOMEM;
		}
		c->vmxon = page_address(page);
		*(u32 *)c->vmxon = vmx_caps.revision;
	}
	return 0;
}

void vmx_teardown(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *c = per_cpu_ptr(&vmx_cpu, cpu);

		free_page((unsigned long)c->vmxon);
		c->vmxon = NULL;
	}
}

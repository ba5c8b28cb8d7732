// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU: its VMCS, and what is switched when it comes to a CPU and leaves it.
 *
 * Of the host's state the VMCS brings back at each exit what the kernel needs to run.  What
 * only the thread's user space needs (selectors, LDT, user GS base) or only the next
 * thread (limits of descriptor tables, TSS) waits for vcpu_put.
 */
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fsgsbase.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/processor.h>
#include <asm/segment.h>
#include <asm/special_insns.h>
#include <asm/trapnr.h>

#include "../compat.h"
#include "vmx.h"

#define VMX_VPIDS	65535U

/* Taken from the top: KVM, which may run beside us, takes its own from the bottom. */
static DEFINE_IDA(vmx_vpids);
static atomic64_t vmx_serial;

/* PAT after RESET (SDM vol. 3, 12.12.4) */
#define VMX_PAT_RESET	0x0007040600070406ULL

/* Gap and window of pause-loop exiting, in TSC ticks: a spinning guest, not a polite one. */
#define VMX_PLE_GAP	128
#define VMX_PLE_WINDOW	4096

int vmx_vm_create(struct vireo_vm *vm)
{
	return 0;
}

void vmx_vm_destroy(struct vireo_vm *vm)
{
}

/* ------------------------------------------------------------------ */
/* MSR bitmap (SDM vol. 3, 25.6.9): 1 exits                             */

static void vmx_bitmap_set(u8 *bitmap, u32 bit, bool on)
{
	if (on)
		bitmap[bit / 8] |= 1 << (bit % 8);
	else
		bitmap[bit / 8] &= ~(1 << (bit % 8));
}

void vmx_msr_intercept(struct vireo_vcpu *vcpu, u32 index, bool read, bool write)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	u32 bit;

	if (index < 0x2000)
		bit = index;
	else if (index >= 0xc0000000 && index < 0xc0002000)
		bit = index - 0xc0000000 + 0x2000;
	else
		return;		/* not in the bitmap: always exits */
	vmx_bitmap_set(vmx->bitmap, bit, read);
	vmx_bitmap_set(vmx->bitmap, bit + 0x4000, write);
}

/* ------------------------------------------------------------------ */
/* Life                                                                 */

/*
 * #AC and #DB because a guest can make their delivery raise them again for ever, with
 * no instruction and so no interrupt of the host in between; #MC is the host's; #PF is what shadow
 * tables live on.
 */
void vmx_update_exceptions(struct vireo_vcpu *vcpu)
{
	u32 bitmap = BIT(X86_TRAP_AC) | BIT(X86_TRAP_DB) | BIT(X86_TRAP_MC);

	if (vcpu->shadow.on)
		bitmap |= BIT(X86_TRAP_PF);
	/* Whatever leads a program to its kernel exits. */
	if (vireo_hybrid(vcpu->vm))
		bitmap = ~0U;
	vmx_write(VMCS_EXCEPTION_BITMAP, bitmap);
}

static void vmx_write_fixed(struct vmx_vcpu *vmx)
{
	int i;

	vmx_write(VMCS_PIN_CONTROLS, vmx_caps.pin);
	vmx->proc = vmx_caps.proc;
	vmx_write(VMCS_PROC_CONTROLS, vmx->proc);
	vmx->proc2 = vmx_caps.proc2;
	if (!vmx->vpid)
		vmx->proc2 &= ~VMX_PROC2_VPID;
	vmx_write(VMCS_PROC2_CONTROLS, vmx->proc2);
	vmx_write(VMCS_EXIT_CONTROLS, vmx_caps.exit);
	vmx->entry = vmx_caps.entry;
	vmx_write(VMCS_ENTRY_CONTROLS, vmx->entry);

	vmx_update_exceptions(vmx->vcpu);
	/* #PF: with mask and match 0 the bitmap's bit decides. */
	vmx_write(VMCS_PF_ERROR_MASK, 0);
	vmx_write(VMCS_PF_ERROR_MATCH, 0);
	vmx_write(VMCS_CR3_TARGET_COUNT, 0);
	vmx_write(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmx_write(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmx_write(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmx_write(VMCS_ENTRY_MSR_LOAD, __pa(&vmx->efer_load[0]));
	vmx_write(VMCS_EXIT_MSR_LOAD, __pa(&vmx->efer_load[1]));
	vmx_write(VMCS_ENTRY_EVENT, 0);
	vmx_write(VMCS_MSR_BITMAP, __pa(vmx->bitmap));
	if (vmx->vcpu->apic_page) {
		vmx_write(VMCS_APIC_PAGE, __pa(vmx->vcpu->apic_page));
		vmx_write(VMCS_TPR_THRESHOLD, 0);
	}
	vmx_write(VMCS_LINK_POINTER, ~0ULL);
	if (vmx->vpid)
		vmx_write(VMCS_VPID, vmx->vpid);
	if (vmx->proc2 & VMX_PROC2_XSAVES)
		vmx_write(VMCS_XSS_EXIT_BITMAP, 0);
	if (vmx->proc2 & VMX_PROC2_ENCLS)
		vmx_write(VMCS_ENCLS_EXIT_BITMAP, ~0ULL);
	if (vmx_caps.watch)
		vmx_write(VMCS_TIMER, vmx_caps.watch);
	if (vmx->proc2 & VMX_PROC2_PAUSE_LOOP) {
		vmx_write(VMCS_PLE_GAP, VMX_PLE_GAP);
		vmx_write(VMCS_PLE_WINDOW, VMX_PLE_WINDOW);
	}

	/* Registers that the core may never set */
	vmx_write(VMCS_GUEST_ACTIVITY, 0);
	vmx_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmx_write(VMCS_GUEST_PENDING_DEBUG, 0);
	vmx_write(VMCS_GUEST_DEBUGCTL, 0);
	vmx->pat = VMX_PAT_RESET;
	if (vmx_caps.pat)
		vmx_write(VMCS_GUEST_PAT, vmx->pat);
	if (vmx_caps.efer)
		vmx_write(VMCS_GUEST_EFER, 0);
	vmx_write(VMCS_GUEST_SYSENTER_CS, 0);
	vmx_write(VMCS_GUEST_SYSENTER_ESP, 0);
	vmx_write(VMCS_GUEST_SYSENTER_EIP, 0);
	vmx_write(VMCS_GUEST_DR7, 0x400);
	for (i = 0; vmx_caps.ept && i < 4; i++)
		vmx_write(VMCS_GUEST_PDPTE0 + 2 * i, 0);

	/* Host state that is the same on every CPU.  Selectors there must have RPL 0 (27.2.3). */
	vmx_write(VMCS_HOST_CS_SELECTOR, __KERNEL_CS);
	vmx_write(VMCS_HOST_SS_SELECTOR, __KERNEL_DS);
	vmx_write(VMCS_HOST_DS_SELECTOR, 0);
	vmx_write(VMCS_HOST_ES_SELECTOR, 0);
	vmx_write(VMCS_HOST_FS_SELECTOR, 0);
	vmx_write(VMCS_HOST_GS_SELECTOR, 0);
	if (vmx_caps.pat)
		vmx_write(VMCS_HOST_PAT, vmx_caps.host_pat);
	vmx_write(VMCS_HOST_RIP, (unsigned long)vireo_vmx_exit);
	vmx_write(VMCS_HOST_FS_BASE, 0);
	vmx_write(VMCS_HOST_CR3, 0);
	vmx_write(VMCS_HOST_CR4, 0);
}

int vmx_vcpu_create(struct vireo_vcpu *vcpu)
{
	static const u32 passed[] = {
		MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
		MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
	};
	struct vmx_vcpu *vmx;
	int i, r = -ENOMEM;

	vmx = kzalloc(sizeof(*vmx), GFP_KERNEL_ACCOUNT);
	if (!vmx)
		return -ENOMEM;
	vmx->vmcs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->vmcs)
		goto free;
	vmx->bitmap = (u8 *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->bitmap)
		goto vmcs;
	if (vmx_caps.vpid) {
		int id = ida_alloc_max(&vmx_vpids, VMX_VPIDS - 1, GFP_KERNEL);

		/* Without a tag it runs too: the TLB is then flushed at each entry. */
		if (id >= 0)
			vmx->vpid = VMX_VPIDS - id;
	}
	vmx->serial = atomic64_inc_return(&vmx_serial);
	vmx->vcpu = vcpu;
	vmx->vmcs_pa = __pa(vmx->vmcs);
	*(u32 *)vmx->vmcs = vmx_caps.revision;
	vmx->host_cpu = -1;
	vmx->active_cpu = -1;
	INIT_LIST_HEAD(&vmx->active);
	vmx->todo = VMX_TODO_MASKS;
	vcpu->backend = vmx;

	memset(vmx->bitmap, 0xff, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(passed); i++)
		vmx_msr_intercept(vcpu, passed[i], false, false);

	if (vireo_caps.dirty_log) {
		vmx->pml = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!vmx->pml)
			goto vpid;
	}

	preempt_disable();
	/* Brings the region into a state that VMPTRLD may meet (SDM vol. 3, 25.11.3). */
	r = vmx_vmclear(vmx->vmcs_pa) ? -EIO : 0;
	if (!r) {
		vmx_make_current(vmx);
		vmx_write_fixed(vmx);
		vmx_leave_current(vmx);
	}
	preempt_enable();
	if (r)
		goto vpid;
	return 0;

vpid:
	if (vmx->vpid)
		ida_free(&vmx_vpids, VMX_VPIDS - vmx->vpid);
	free_page((unsigned long)vmx->pml);
	free_page((unsigned long)vmx->bitmap);
vmcs:
	free_page((unsigned long)vmx->vmcs);
free:
	vcpu->backend = NULL;
	kfree(vmx);
	return r;
}

void vmx_vcpu_destroy(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	if (!vmx)
		return;
	vmx_deactivate(vmx);
	if (vmx->vpid)
		ida_free(&vmx_vpids, VMX_VPIDS - vmx->vpid);
	free_page((unsigned long)vmx->pml);
	free_page((unsigned long)vmx->bitmap);
	free_page((unsigned long)vmx->vmcs);
	vcpu->backend = NULL;
	kfree(vmx);
}

/* ------------------------------------------------------------------ */
/* Coming and going                                                     */

static void vmx_write_host_cpu(struct vmx_vcpu *vmx, int cpu)
{
	const struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

	vmx_write(VMCS_HOST_CR0, read_cr0());
	vmx_write(VMCS_HOST_TR_SELECTOR, c->tr);
	vmx_write(VMCS_HOST_TR_BASE, c->tr_base);
	vmx_write(VMCS_HOST_GDTR_BASE, c->gdt.address);
	vmx_write(VMCS_HOST_IDTR_BASE, c->idt.address);
	vmx_write(VMCS_HOST_GS_BASE, c->gs_base);
	vmx_write(VMCS_HOST_SYSENTER_CS, c->sysenter_cs);
	vmx_write(VMCS_HOST_SYSENTER_ESP, c->sysenter_esp);
	vmx_write(VMCS_HOST_SYSENTER_EIP, c->sysenter_eip);
	if (vmx_caps.efer)
		vmx_write(VMCS_HOST_EFER, c->efer);
	vmx->host_cpu = cpu;
}

static unsigned long vmx_user_fs_base(void)
{
	unsigned long base;

	/* current->thread.fsbase is only right while the thread does not run. */
	if (boot_cpu_has(X86_FEATURE_FSGSBASE))
		return rdfsbase();
	rdmsrl(MSR_FS_BASE, base);
	return base;
}

void vmx_vcpu_load(struct vireo_vcpu *vcpu, bool moved)
{
	struct vmx_vcpu *vmx = vcpu->backend;
	int cpu = smp_processor_id();
	unsigned long fs_base;

	vmx_make_current(vmx);
	if (unlikely(vmx->host_cpu != cpu))
		vmx_write_host_cpu(vmx, cpu);
	if (unlikely(moved))
		vmx_flush(vcpu);
	if (unlikely(vmx_caps.nmi_mask_stays))
		vmx_note_nmi_mask(vcpu);

	savesegment(ds, vmx->host_sel.ds);
	savesegment(es, vmx->host_sel.es);
	savesegment(fs, vmx->host_sel.fs);
	savesegment(gs, vmx->host_sel.gs);
	asm volatile("sldt %0" : "=m" (vmx->host_sel.ldt));
	vmx->host_sel_any = vmx->host_sel.ds | vmx->host_sel.es | vmx->host_sel.fs |
			    vmx->host_sel.gs | vmx->host_sel.ldt;

	fs_base = vmx_user_fs_base();
	if (fs_base != vmx->host_fs_base) {
		vmx->host_fs_base = fs_base;
		vmx_write(VMCS_HOST_FS_BASE, fs_base);
	}
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->host_kernel_gs);
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->guest_kernel_gs);
	vmx->gs_loaded = true;

	/* Breakpoints that the guest has set must be in the processor before it runs. */
	if (unlikely(vcpu->dr7 & VMX_DR7_ENABLED))
		vmx->todo |= VMX_TODO_DRS;

	/* VMSCAPE: the thread's user space must not be steered by the guest. */
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
}

/* Selectors that VM exits have set to 0.  Rare: 64-bit programs have 0 in them anyway. */
static noinline void vmx_restore_selectors(struct vmx_vcpu *vmx)
{
	if (vmx->host_sel.ldt)
		asm volatile("lldt %w0" : : "r" ((u32)vmx->host_sel.ldt));
	if (vmx->host_sel.fs) {
		/* Loading the selector loads its base; the thread may have set another since. */
		loadsegment(fs, vmx->host_sel.fs);
		wrmsrl(MSR_FS_BASE, vmx->host_fs_base);
	}
	if (vmx->host_sel.gs)
		load_gs_index(vmx->host_sel.gs);
	loadsegment(ds, vmx->host_sel.ds);
	loadsegment(es, vmx->host_sel.es);
}

void vmx_vcpu_put(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	if (likely(vmx->ran)) {
		const struct vmx_cpu *c = this_cpu_ptr(&vmx_cpu);

		vmx->ran = false;
		if (unlikely(vmx->host_sel_any))
			vmx_restore_selectors(vmx);
		/* VM exits leave both limits at 0xffff and the TSS at 0x67 (28.5.2, 28.5.3). */
		native_load_gdt(&c->gdt);
		native_load_idt(&c->idt);
		invalidate_tss_limit();
	}

	vmx->gs_loaded = false;
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->guest_kernel_gs);
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->host_kernel_gs);

	vmx_leave_current(vmx);
}

/* ------------------------------------------------------------------ */
/* Memory                                                               */

static u64 vmx_make_eptp(u64 root)
{
	return root | vmx_caps.eptp;
}

void vmx_set_root(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	if (unlikely(vmx->shadow_on != vcpu->shadow.on))
		vmx_update_paging(vcpu);
	if (vcpu->shadow.on) {
		vmx_write(VMCS_GUEST_CR3, vcpu->shadow.cr3);
		return;
	}
	vmx->eptp = vmx_make_eptp(vcpu->vm->mmu.root);
	vmx_write(VMCS_EPTP, vmx->eptp);
}

/*
 * Guest-physical and combined mappings go by EPTP, linear ones by VPID (SDM vol. 3, 29.4.1).
 * If the thread moves to another CPU before it enters, vcpu_load does it again there.
 */
void vmx_flush(struct vireo_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	if (vmx->eptp)
		vmx_invept(vmx->eptp);
	vmx_invvpid(vmx->vpid);
}

static void vmx_flush_free_cpu(void *info)
{
	const struct vireo_vm *vm = info;

	if (this_cpu_read(vmx_cpu.enabled))
		vmx_invept(vmx_make_eptp(vm->mmu.root));
}

void vmx_vm_flush_free(struct vireo_vm *vm)
{
	if (vmx_caps.ept && vm->mmu.root)
		on_each_cpu(vmx_flush_free_cpu, vm, 1);
}

void vmx_log_dirty(struct vireo_vcpu *vcpu, bool on)
{
	struct vmx_vcpu *vmx = vcpu->backend;

	vmx_write(VMCS_PML_ADDRESS, __pa(vmx->pml));
	vmx_write(VMCS_PML_INDEX, VMX_PML_ENTRIES - 1);
	vmx->proc2 = on ? vmx->proc2 | VMX_PROC2_PML : vmx->proc2 & ~VMX_PROC2_PML;
	vmx_write(VMCS_PROC2_CONTROLS, vmx->proc2);
	vmx->pml_on = on;
}

void vmx_write_tsc_offset(struct vireo_vcpu *vcpu)
{
	vmx_write(VMCS_TSC_OFFSET, vcpu->tsc_offset);
}

const struct vireo_backend vireo_vmx_backend = {
	.name = "VMX",
	.probe = vmx_probe,
#define VMX_OP(ret, name, proto, args) .name = vmx_##name,
	VIREO_BACKEND_OPS(VMX_OP)
#undef VMX_OP
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What emulated processors leave out, found out by trying it when the module is loaded.
 *
 * Bochs 2.7:
 * - VMRUN does not load CR2 (by which Bochs is recognised);
 * - VMRUN with IF set does not let a virtual interrupt in before IF changes (svm_work_entry());
 * - VMRUN with IF clear does not let a host's interrupt end the guest before IF changes: one that
 *   spins for another vCPU is ended by the intercept of PAUSE (svm_init_vmcb()), one that just
 *   loops keeps the processor;
 * - shutdown is not intercepted: a triple fault of the guest ends the machine;
 * - DR6 does not tell why an intercepted #DB was raised (svm_db_cause());
 * - if the delivery of an INT n is broken off, EXITINTINFO tells of some event before it
 *   (svm_work_exit());
 * - a single-step trap that pends when an instruction exits is taken by the host, right after VMRUN, with
 *   the guest's TSS in TR.  That cannot be helped: a guest that steps over CPUID stops the machine;
 * - an exit from virtual-8086 mode ends Bochs ("VM is set in long mode"), which cannot be helped either.
 *
 * QEMU 7.2:
 * - task switches are not intercepted. With shadow tables that is fatal to the guest, and worse: CR3 of
 *   its TSS becomes the processor's.
 * - XSETBV is not intercepted, and so changes the host's XCR0;
 * - VMRUN does not take up the interrupt shadow (svm_hold_shadow());
 * - RDTSCP is not intercepted either: a guest that has none gets the host's TSC_AUX;
 * - it keeps TR as a TSS that is not busy, and ends itself over a call gate to an inner level where
 *   VMRUN has loaded a busy one (svm_set_segment());
 * - accessed bits are set in PAE's level 3 entries (kmod/mmu/walk.c);
 * - it has neither nRIP nor decode assists, and reports an interrupt whose delivery was broken off
 *   as an exception (svm_delivery_broken()).
 *
 * Where the processor does as the manual says, svm_enter() has two NOPs for it.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <asm/mem_encrypt.h>
#include <asm/msr.h>

#include "svm.h"

DEFINE_STATIC_KEY_FALSE(svm_bochs);
DEFINE_STATIC_KEY_FALSE(svm_xcr0_watched);
DEFINE_STATIC_KEY_FALSE(svm_shadow_lost);

static bool svm_loads_cr2(struct svm_cpu *cpu)
{
	struct vmcb_save *s = &cpu->flush_vmcb->save;

	s->cr2 = 0x123456789000ULL;
	svm_flush_tlb(cpu, svm_caps.nr_asids - 1, VMCB_TLB_FLUSH_ALL);
	return s->cr2 == 0x123456789000ULL;
}

struct svm_trial {
	struct vmcb *vmcb;
	u8 *code;			/* NULL: no code can be run */
	bool loads_cr2, exits_on_xsetbv, takes_shadow;
};

/* A guest in real mode, on the host's memory: runs @code until it exits. */
static void svm_run_code(struct svm_cpu *cpu, const struct svm_trial *t, const void *code, u32 len,
			 u64 rdx)
{
	struct vmcb *vmcb = t->vmcb;

	memcpy(t->code, code, len);
	vmcb->control.nested_ctl = 0;
	vmcb->control.asid = svm_caps.nr_asids - 1;
	vmcb->control.tlb_control = VMCB_TLB_FLUSH_ALL;
	vmcb_intercept(vmcb, VMCB_I_HLT, true);
	vmcb->save.cs.base = __pa(t->code);
	asm volatile("clgi\n\t"
		     "vmrun %%rax\n\t"
		     "stgi"
		     : : "a"(__sme_pa(vmcb)), "c"(0), "d"(rdx) : "cc", "memory");
}

/* XSETBV of the value that the register has anyway; HLT */
static bool svm_exits_on_xsetbv(struct svm_cpu *cpu, const struct svm_trial *t)
{
	static const u8 code[] = { 0x0f, 0x01, 0xd1, 0xf4 };
	u64 xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	struct vmcb *vmcb = t->vmcb;

	*vmcb = *cpu->flush_vmcb;
	vmcb_intercept(vmcb, VMCB_I_XSETBV, true);
	vmcb->save.cr4 = X86_CR4_OSXSAVE;
	vmcb->save.rax = (u32)xcr0;
	svm_run_code(cpu, t, code, sizeof(code), xcr0 >> 32);
	return vmcb->control.exit_code != VMEXIT_HLT;
}

/* NOP in the shadow, with an interrupt waiting behind it; HLT */
static bool svm_takes_shadow(struct svm_cpu *cpu, const struct svm_trial *t)
{
	static const u8 code[] = { 0x90, 0xf4 };
	struct vmcb *vmcb = t->vmcb;

	*vmcb = *cpu->flush_vmcb;
	vmcb_intercept(vmcb, VMCB_I_VINTR, true);
	vmcb->control.int_ctl |= VMCB_V_IRQ | VMCB_V_PRIO_HIGHEST | VMCB_V_IGN_TPR;
	vmcb->control.int_state = VMCB_INT_SHADOW;
	vmcb->save.rflags |= X86_EFLAGS_IF;
	svm_run_code(cpu, t, code, sizeof(code), 0);
	return vmcb->control.exit_code != VMEXIT_VINTR || vmcb->save.rip;
}

/* SVM is switched on for the moment, if it is not. */
static void svm_try(struct svm_trial *t)
{
	struct svm_cpu *cpu;
	unsigned long flags;
	u64 efer;

	local_irq_save(flags);
	cpu = this_cpu_ptr(&svm_cpus);
	rdmsrl(MSR_EFER, efer);
	if (!(efer & EFER_SVME)) {
		if (wrmsrl_safe(MSR_EFER, efer | EFER_SVME))
			goto out;
		wrmsrl(SVM_MSR_HSAVE_PA, cpu->hsave_pa);
	}
	t->loads_cr2 = svm_loads_cr2(cpu);
	if (t->code) {
		t->exits_on_xsetbv = svm_exits_on_xsetbv(cpu, t);
		t->takes_shadow = svm_takes_shadow(cpu, t);
		/* Nothing of it stays in the TLB. */
		svm_flush_tlb(cpu, svm_caps.nr_asids - 1, VMCB_TLB_FLUSH_ALL);
	}
	if (!(efer & EFER_SVME)) {
		wrmsrl(SVM_MSR_HSAVE_PA, 0);
		wrmsrl(MSR_EFER, efer);
	}
out:
	local_irq_restore(flags);
}

int svm_find_quirks(void)
{
	struct svm_trial t = { .loads_cr2 = true, .exits_on_xsetbv = true, .takes_shadow = true };

	t.vmcb = (void *)get_zeroed_page(GFP_KERNEL);
	if (!t.vmcb)
		return -ENOMEM;
	/* In real mode addresses have 32 bits, and nothing decrypts memory. */
	if (boot_cpu_has(X86_FEATURE_HYPERVISOR) && boot_cpu_has(X86_FEATURE_OSXSAVE) &&
	    !sme_me_mask) {
		t.code = (void *)get_zeroed_page(GFP_KERNEL | GFP_DMA32);
		if (!t.code) {
			free_page((unsigned long)t.vmcb);
			return -ENOMEM;
		}
	}
	svm_try(&t);
	free_page((unsigned long)t.code);
	free_page((unsigned long)t.vmcb);

	if (!t.loads_cr2) {
		pr_info("VMRUN of this processor does not load CR2 (Bochs): it is loaded by hand\n");
		static_branch_enable(&svm_bochs);
		/* A step's trap may come to the host instead: see above. */
		vireo_caps.no_step = true;
	}
	if (!t.exits_on_xsetbv) {
		pr_info("this processor does not intercept XSETBV: XCR0 is read after each exit\n");
		static_branch_enable(&svm_xcr0_watched);
	}
	if (!t.takes_shadow) {
		pr_info("this processor forgets interrupt shadows: they are stepped over\n");
		static_branch_enable(&svm_shadow_lost);
	}
	return 0;
}

/*
 * The guest has changed XCR0 behind our back.  A value that it was not offered is taken back
 * after the fact, where #GP would have been due.
 */
struct vireo_vcpu *svm_take_xcr0(struct vireo_vcpu *vcpu)
{
	if (vireo_set_xcr0(vcpu, xgetbv(XCR_XFEATURE_ENABLED_MASK)))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->xcr0);
	return vcpu;
}

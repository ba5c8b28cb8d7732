// SPDX-License-Identifier: GPL-2.0-only
/*
 * SVM on each CPU.
 *
 * Address-space identifiers.  TLB entries are tagged with the ASID of the guest (APM 15.16).
 * A vCPU takes a fresh one whenever it comes to another CPU; they are given out
 * upwards, and when they run out the TLB is flushed as a whole and a new generation begins,
 * in which all vCPUs of this CPU need a new one.  So an ASID is never given out with
 * anything tagged with it left in the TLB.
 *
 * Sharing with KVM.  KVM gives out ASIDs in the same manner and takes for granted that nobody else uses any;
 * it has set EFER.SVME and the host save area, and keeps them.  Then all vCPUs use the
 * highest ASID, with a flush of it before their first entry after each load and once
 * more when they are put, while no other guest can run in between: KVM finds nothing of ours
 * when its numbers come up to that ASID, and we nothing of KVM's.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <asm/debugreg.h>
#include <asm/mem_encrypt.h>
#include <asm/msr.h>

#include "svm.h"

DEFINE_PER_CPU(struct svm_cpu, svm_cpus);

phys_addr_t svm_iopm_pa;
static struct page *svm_iopm;

static int svm_alloc_page(unsigned int cpu, void **va, phys_addr_t *pa)
{
	struct page *page = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);

	if (!page)
		return -ENOMEM;
	if (va)
		*va = page_address(page);
	*pa = __sme_pa(page_address(page));
	return 0;
}

static void svm_free_page(phys_addr_t *pa)
{
	if (*pa)
		__free_page(pfn_to_page(__sme_clr(*pa) >> PAGE_SHIFT));
	*pa = 0;
}

/*
 * A guest in real mode whose nested page table is empty: its first instruction fetch ends
 * it, as does any event that comes earlier.  What it is entered for is the flush that
 * VMRUN carries out on the way.
 */
static void svm_init_flush_vmcb(struct vmcb *vmcb, phys_addr_t empty_table)
{
	struct vmcb_control *c = &vmcb->control;
	struct vmcb_save *s = &vmcb->save;
	int nr;

	for (nr = VMCB_I_INTR; nr <= VMCB_I_INIT; nr++)
		vmcb_intercept(vmcb, nr, true);
	vmcb_intercept(vmcb, VMCB_I_SHUTDOWN, true);
	vmcb_intercept(vmcb, VMCB_I_VMRUN, true);
	c->intercept[VMCB_I_EXC / 32] = ~0U;
	c->iopm_pa = svm_iopm_pa;
	c->msrpm_pa = svm_iopm_pa;
	c->int_ctl = VMCB_V_INTR_MASKING;
	c->nested_ctl = VMCB_NP_ENABLE;
	c->nested_cr3 = empty_table;
	s->cs.attr = 0x9b;
	s->cs.limit = 0xffff;
	s->ss.attr = s->ds.attr = s->es.attr = 0x93;
	s->ss.limit = s->ds.limit = s->es.limit = 0xffff;
	s->gdtr.limit = s->idtr.limit = 0xffff;
	s->efer = EFER_SVME;
	s->cr0 = X86_CR0_ET;
	s->dr6 = SVM_DR6_QUIET;
	s->dr7 = SVM_DR7_QUIET;
	s->rflags = X86_EFLAGS_FIXED;
	s->pat = 0x0007040600070406ULL;
}

static phys_addr_t svm_empty_pa;

int svm_setup(void)
{
	unsigned int cpu;
	int r;

	/* All ports exit; no permission map is ever looked at for the flush guest. */
	svm_iopm = alloc_pages(GFP_KERNEL, get_order(SVM_IOPM_PAGES * PAGE_SIZE));
	if (!svm_iopm)
		return -ENOMEM;
	memset(page_address(svm_iopm), 0xff, SVM_IOPM_PAGES * PAGE_SIZE);
	svm_iopm_pa = __sme_pa(page_address(svm_iopm));

	r = svm_alloc_page(raw_smp_processor_id(), NULL, &svm_empty_pa);
	if (r)
		goto fail;
	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpus, cpu);

		r = svm_alloc_page(cpu, NULL, &c->hsave_pa);
		if (!r)
			r = svm_alloc_page(cpu, NULL, &c->host_pa);
		if (!r)
			r = svm_alloc_page(cpu, (void **)&c->flush_vmcb, &c->flush_pa);
		if (r)
			goto fail;
		svm_init_flush_vmcb(c->flush_vmcb, svm_empty_pa);
	}
	r = svm_find_quirks();
	if (r)
		goto fail;
	return 0;
fail:
	svm_teardown();
	return r;
}

void svm_teardown(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpus, cpu);

		svm_free_page(&c->hsave_pa);
		svm_free_page(&c->host_pa);
		svm_free_page(&c->flush_pa);
		c->flush_vmcb = NULL;
	}
	svm_free_page(&svm_empty_pa);
	if (svm_iopm)
		__free_pages(svm_iopm, get_order(SVM_IOPM_PAGES * PAGE_SIZE));
	svm_iopm = NULL;
}

void svm_plain_tsc_ratio(struct svm_cpu *cpu)
{
	if (!(svm_caps.features & SVM_F_TSC_RATIO))
		return;
	rdmsrl(SVM_MSR_TSC_RATIO, cpu->old_tsc_ratio);
	/* 8.32 fixed point; by halves, as sparse minds how wrmsrl() casts a constant. */
	if (cpu->old_tsc_ratio != SVM_TSC_RATIO_ONE)
		wrmsr(SVM_MSR_TSC_RATIO, 0, 1);
}

void svm_restore_tsc_ratio(struct svm_cpu *cpu)
{
	if ((svm_caps.features & SVM_F_TSC_RATIO) && cpu->old_tsc_ratio != SVM_TSC_RATIO_ONE)
		wrmsrl(SVM_MSR_TSC_RATIO, cpu->old_tsc_ratio);
}

int svm_cpu_enable(bool shared)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpus);
	u64 efer;

	if (!svm_check_cpu()) {
		pr_err("CPU %d lacks SVM features that the others have\n", smp_processor_id());
		return -EIO;
	}

	rdmsrl(MSR_EFER, efer);
	if (shared) {
		if (!(efer & EFER_SVME))
			return -EIO;
	} else {
		if (efer & EFER_SVME)
			return -EBUSY;
		wrmsrl(MSR_EFER, efer | EFER_SVME);
		wrmsrl(SVM_MSR_HSAVE_PA, c->hsave_pa);
		/* Whoever was here before may have left one; KVM's is seen to at each load. */
		svm_plain_tsc_ratio(c);
	}
	c->own = !shared;
	c->shared = shared;
	c->last_vcpu = 0;
	/* Anything may be in the TLB: the first vCPU begins a generation, with a flush. */
	c->generation++;
	c->next_asid = svm_caps.nr_asids;
	c->on = true;
	return 0;
}

void svm_cpu_disable(bool shared)
{
	struct svm_cpu *c = this_cpu_ptr(&svm_cpus);
	u64 efer;

	if (!c->on)
		return;
	c->on = false;
	if (!c->own)
		return;
	c->own = false;

	rdmsrl(MSR_EFER, efer);
	if (!(efer & EFER_SVME))
		return;
	svm_restore_tsc_ratio(c);
	wrmsrl(SVM_MSR_HSAVE_PA, 0);
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
}

/*
 * VMRUN of the flush guest.  It changes no general register (not one of its instructions executes),
 * and VMRUN alone leaves FS, GS, TR and LDTR as they are (APM 15.5.1).
 */
void svm_flush_tlb(struct svm_cpu *cpu, u32 asid, u8 how)
{
	struct vmcb *vmcb = cpu->flush_vmcb;
	unsigned long flags;

	vmcb->control.asid = asid;
	vmcb->control.tlb_control = how;
	vmcb->control.clean = 0;
	local_irq_save(flags);
	asm volatile("clgi\n\t"
		     "vmrun %%rax\n\t"
		     "stgi"
		     : : "a"(cpu->flush_pa) : "cc", "memory");
	/* #VMEXIT switches the host's breakpoints off (APM 15.6). */
	if (hw_breakpoint_active())
		hw_breakpoint_restore();
	local_irq_restore(flags);
	WARN_ON_ONCE((u32)vmcb->control.exit_code == VMEXIT_INVALID);
}

void svm_take_asid(struct svm_cpu *cpu, struct svm_vcpu *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	if (unlikely(cpu->next_asid >= svm_caps.nr_asids)) {
		svm_flush_tlb(cpu, svm_caps.nr_asids - 1, VMCB_TLB_FLUSH_ALL);
		cpu->generation++;
		cpu->next_asid = 1;
	}
	vmcb->control.asid = cpu->next_asid++;
	svm->generation = cpu->generation;
	vmcb_dirty(vmcb, VMCB_CLEAN_ASID);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU's control block, and its coming to a CPU and going.
 *
 * Host state.  VMRUN and #VMEXIT keep the most; FS, GS, KERNEL_GS_BASE, TR, LDTR and the MSRs of SYSCALL
 * and SYSENTER are in a per-CPU page that each exit loads back.  They change
 * only while interrupts are on (the scheduler, an LDT changed by another thread),
 * so svm_sync_host() saves them once for a series of entries.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/mem_encrypt.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/trapnr.h>

#include "svm.h"

static atomic64_t svm_serial = ATOMIC64_INIT(0);

int svm_vm_create(struct vireo_vm *vm)
{
	return 0;
}

void svm_vm_destroy(struct vireo_vm *vm)
{
}

/* Which MSRs the map covers, and where (APM 15.11). */
static const struct {
	u32 first, offset;
} svm_msr_ranges[] = {
	{ 0x00000000, 0x0000 },
	{ 0xc0000000, 0x0800 },
	{ 0xc0010000, 0x1000 },
};

void svm_msr_intercept(struct vireo_vcpu *vcpu, u32 index, bool read, bool write)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	int i;

	for (i = 0; i < ARRAY_SIZE(svm_msr_ranges); i++) {
		u32 nr = index - svm_msr_ranges[i].first;
		u8 *byte, mask;

		if (nr >= 0x2000)
			continue;
		byte = svm->msrpm + svm_msr_ranges[i].offset + nr / 4;
		mask = 3 << nr % 4 * 2;
		*byte = (*byte & ~mask) | (read | write << 1) << nr % 4 * 2;
		vmcb_dirty(svm->vmcb, VMCB_CLEAN_PERM_MAPS);
		return;
	}
	/* MSRs outside the map always exit. */
}

/* What VMLOAD and VMSAVE switch is the guest's to use. */
static const u32 svm_msr_direct[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

static const u8 svm_intercepts[] = {
	/* CR0 is watched selectively: changes of bits other than TS and MP exit. */
	VMCB_I_CR0_SELECTIVE, VMCB_I_CR4_WRITE, VMCB_I_CR8_READ, VMCB_I_CR8_WRITE,
	VMCB_I_INTR, VMCB_I_NMI, VMCB_I_SMI, VMCB_I_INIT,
	VMCB_I_RDPMC, VMCB_I_CPUID, VMCB_I_RSM, VMCB_I_INVD, VMCB_I_HLT,
	VMCB_I_IOIO, VMCB_I_MSR, VMCB_I_TASK_SWITCH, VMCB_I_SHUTDOWN,
	VMCB_I_WBINVD, VMCB_I_MONITOR, VMCB_I_MWAIT, VMCB_I_MWAIT_ARMED, VMCB_I_XSETBV,
	/* SVM itself: the guest has none. */
	VMCB_I_VMRUN, VMCB_I_VMMCALL, VMCB_I_VMLOAD, VMCB_I_VMSAVE,
	VMCB_I_STGI, VMCB_I_CLGI, VMCB_I_SKINIT, VMCB_I_INVLPGA,
	/*
	 * Two exceptions whose delivery can raise them again without end, with all events held back
	 * (CVE-2015-5307, CVE-2015-8104), and the host's machine checks.
	 */
	VMCB_I_EXC + X86_TRAP_DB, VMCB_I_EXC + X86_TRAP_AC, VMCB_I_EXC + X86_TRAP_MC,
};

/* Without nested paging: whatever says which tables the guest means, and when it has changed them. */
static const u8 svm_shadow_intercepts[] = {
	VMCB_I_CR3_READ, VMCB_I_CR3_WRITE, VMCB_I_INVLPG, VMCB_I_EXC + X86_TRAP_PF,
};

static void svm_init_vmcb(struct svm_vcpu *svm)
{
	struct vmcb *vmcb = svm->vmcb;
	struct vmcb_control *c = &vmcb->control;
	int i;

	for (i = 0; i < ARRAY_SIZE(svm_intercepts); i++)
		vmcb_intercept(vmcb, svm_intercepts[i], true);
	c->intercept[VMCB_I_DR_WORD] = ~0U;
	vmcb_intercept(vmcb, VMCB_I_RDTSCP, true);
	vmcb_intercept(vmcb, VMCB_I_RDPRU, svm_caps.rdpru);
	vmcb_intercept(vmcb, VMCB_I_MCOMMIT, svm_caps.mcommit);
	vmcb_intercept(vmcb, VMCB_I_INVLPGB, svm_caps.invlpgb);
	vmcb_intercept(vmcb, VMCB_I_INVLPGB_ILLEGAL, svm_caps.invlpgb);
	vmcb_intercept(vmcb, VMCB_I_TLBSYNC, svm_caps.invlpgb);
	if (svm_caps.pause_filter) {
		/* As many PAUSEs, less than so many cycles apart, look like a lock whose holder sleeps. */
		c->pause_count = 3000;
		c->pause_threshold = 128;
		vmcb_intercept(vmcb, VMCB_I_PAUSE, true);
	}
	if (vireo_pause_exits == VIREO_PAUSE_ALL)
		vmcb_intercept(vmcb, VMCB_I_PAUSE, true);
	/* The only way out of a lock that is waited for with interrupts off: quirks.c. */
	if (static_branch_unlikely(&svm_bochs))
		vmcb_intercept(vmcb, VMCB_I_PAUSE, true);
	c->iopm_pa = svm_iopm_pa;
	c->msrpm_pa = __sme_pa(svm->msrpm);
	c->int_ctl = VMCB_V_INTR_MASKING;
	if (vireo_caps.nested_paging) {
		c->nested_ctl = VMCB_NP_ENABLE;
	} else {
		for (i = 0; i < ARRAY_SIZE(svm_shadow_intercepts); i++)
			vmcb_intercept(vmcb, svm_shadow_intercepts[i], true);
	}

	svm->dr7 = SVM_DR7_QUIET;
	vmcb->save.dr6 = SVM_DR6_QUIET;
	vmcb->save.dr7 = SVM_DR7_QUIET;
	vmcb->save.efer = EFER_SVME;
	vmcb->save.cr0 = X86_CR0_ET;
	vmcb->save.rflags = X86_EFLAGS_FIXED;
	vmcb->save.pat = 0x0007040600070406ULL;
}

int svm_vcpu_create(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm;
	struct page *page;
	int i;

	svm = kzalloc(sizeof(*svm), GFP_KERNEL_ACCOUNT);
	if (!svm)
		return -ENOMEM;
	svm->vmcb = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!svm->vmcb)
		goto svm;
	page = alloc_pages(GFP_KERNEL_ACCOUNT, get_order(SVM_MSRPM_PAGES * PAGE_SIZE));
	if (!page)
		goto vmcb;
	svm->msrpm = page_address(page);
	memset(svm->msrpm, 0xff, SVM_MSRPM_PAGES * PAGE_SIZE);
	svm->vmcb_pa = __sme_pa(svm->vmcb);
	svm->serial = atomic64_inc_return(&svm_serial);
	svm->cpu = -1;

	vcpu->backend = svm;
	for (i = 0; i < ARRAY_SIZE(svm_msr_direct); i++)
		svm_msr_intercept(vcpu, svm_msr_direct[i], false, false);
	svm_init_vmcb(svm);
	if (vireo_hybrid(vcpu->vm)) {
		/* Whatever leads a program to its kernel exits. */
		svm->vmcb->control.intercept[VMCB_I_EXC / 32] = ~0U;
		vmcb_intercept(svm->vmcb, VMCB_I_INTN, true);
	}
	return 0;

vmcb:
	free_page((unsigned long)svm->vmcb);
svm:
	kfree(svm);
	return -ENOMEM;
}

/* Its ASID is not given out again before a flush, so nothing in any TLB matters. */
void svm_vcpu_destroy(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (!svm)
		return;
	free_pages((unsigned long)svm->msrpm, get_order(SVM_MSRPM_PAGES * PAGE_SIZE));
	free_page((unsigned long)svm->vmcb);
	kfree(svm);
	vcpu->backend = NULL;
}

/*
 * TSC_AUX is in the processor as long as the vCPU is: the kernel reads it nowhere.  What stood there
 * comes back, be it the host's or what KVM keeps there until it returns to user space.
 */
static void svm_load_tsc_aux(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	bool rdtscp = vcpu->caps.rdtscp && svm_caps.rdtscp;

	vmcb_intercept(svm->vmcb, VMCB_I_RDTSCP, !rdtscp);
	if (!rdtscp)
		return;
	rdmsrl(MSR_TSC_AUX, svm->host_tsc_aux);
	if (svm->host_tsc_aux != svm->tsc_aux)
		wrmsrl(MSR_TSC_AUX, svm->tsc_aux);
	svm->tsc_aux_loaded = true;
}

void svm_vcpu_load(struct vireo_vcpu *vcpu, bool moved)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	/* Another CPU's copy of the VMCB counts for nothing here (APM 15.15.4). */
	if (moved || svm->cpu != smp_processor_id()) {
		svm->cpu = smp_processor_id();
		svm->generation = 0;
		vmcb->control.clean = 0;
	}
	svm->host_pa = cpu->host_pa;

	if (unlikely(cpu->shared)) {
		vmcb->control.asid = svm_caps.nr_asids - 1;
		vmcb->control.tlb_control = svm_caps.flush_asid;
		vmcb_dirty(vmcb, VMCB_CLEAN_ASID);
		svm_plain_tsc_ratio(cpu);
	} else if (svm->generation != cpu->generation) {
		svm_take_asid(cpu, svm);
	}

	/* Guests must not steer each other's indirect branches. */
	if (cpu->last_vcpu != svm->serial) {
		cpu->last_vcpu = svm->serial;
		indirect_branch_prediction_barrier();
	}
	svm_load_tsc_aux(vcpu);
}

void svm_vcpu_put(struct vireo_vcpu *vcpu)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	struct svm_vcpu *svm = to_svm(vcpu);

	if (svm->tsc_aux_loaded) {
		svm->tsc_aux_loaded = false;
		if (svm->host_tsc_aux != svm->tsc_aux)
			wrmsrl(MSR_TSC_AUX, svm->host_tsc_aux);
	}
	if (unlikely(cpu->shared)) {
		/* See cpu.c. */
		svm_flush_tlb(cpu, svm_caps.nr_asids - 1, svm_caps.flush_asid);
		svm_restore_tsc_ratio(cpu);
	}
}

void svm_sync_host(struct vireo_vcpu *vcpu)
{
	asm volatile("vmsave %%rax" : : "a"(to_svm(vcpu)->host_pa) : "memory");
}

void svm_set_root(struct vireo_vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	if (vcpu->shadow.on) {
		vmcb->save.cr3 = vcpu->shadow.cr3;
		vmcb_dirty(vmcb, VMCB_CLEAN_CR);
		return;
	}
	vmcb->control.nested_cr3 = __sme_set(vcpu->vm->mmu.root);
	vmcb_dirty(vmcb, VMCB_CLEAN_NESTED);
}

/* tlb_control is not covered by the clean bits; svm_exited() takes it back. */
void svm_flush(struct vireo_vcpu *vcpu)
{
	to_vmcb(vcpu)->control.tlb_control = svm_caps.flush_asid;
}

/*
 * No vCPU runs, so no processor walks these tables, and what the TLBs have of them is tagged with
 * ASIDs that are given out again only after a flush (or were flushed at put).
 */
void svm_vm_flush_free(struct vireo_vm *vm)
{
}

/* AMD's processors keep no log: vireo_caps.dirty_log is not set. */
void svm_log_dirty(struct vireo_vcpu *vcpu, bool on)
{
}

void svm_write_tsc_offset(struct vireo_vcpu *vcpu)
{
	struct vmcb *vmcb = to_vmcb(vcpu);

	vmcb->control.tsc_offset = vcpu->tsc_offset;
	vmcb_dirty(vmcb, VMCB_CLEAN_INTERCEPTS);
}

static void svm_dump_segment(const char *name, const struct vmcb_segment *seg)
{
	pr_err("%-4s %04x attr %03x limit %08x base %016llx\n",
	       name, seg->selector, seg->attr, seg->limit, seg->base);
}

void svm_dump(struct vireo_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	const struct vmcb_control *c = &svm->vmcb->control;
	const struct vmcb_save *s = &svm->vmcb->save;

	pr_err("VMCB of vCPU %u, CPU %d, at %#llx\n", vcpu->id, vcpu->cpu, (u64)svm->vmcb_pa);
	pr_err("exit %#llx info %#llx %#llx int_info %#x error %#x\n", c->exit_code,
	       c->exit_info_1, c->exit_info_2, c->exit_int_info, c->exit_int_error);
	pr_err("inject %#x error %#x int_ctl %#x vector %#x state %#llx next_rip %#llx\n",
	       c->event_inj, c->event_error, c->int_ctl, c->int_vector, c->int_state, c->next_rip);
	pr_err("intercepts %08x %08x %08x %08x %08x %08x clean %#x\n", c->intercept[0],
	       c->intercept[1], c->intercept[2], c->intercept[3], c->intercept[4], c->intercept[5],
	       c->clean);
	pr_err("asid %u tlb %u nested %#llx ncr3 %#llx tsc_offset %#llx work %#x\n", c->asid,
	       c->tlb_control, c->nested_ctl, c->nested_cr3, c->tsc_offset, svm->work);
	pr_err("cr0 %#llx (%#llx) cr2 %#llx cr3 %#llx cr4 %#llx (%#llx) efer %#llx (%#llx)\n",
	       s->cr0, svm->cr0, s->cr2, s->cr3, s->cr4, svm->cr4, s->efer, svm->efer);
	pr_err("rip %#llx rsp %#llx rax %#llx rflags %#llx cpl %u dr6 %#llx dr7 %#llx pat %#llx\n",
	       s->rip, s->rsp, s->rax, s->rflags, s->cpl, s->dr6, s->dr7, s->pat);
	svm_dump_segment("cs", &s->cs);
	svm_dump_segment("ss", &s->ss);
	svm_dump_segment("ds", &s->ds);
	svm_dump_segment("es", &s->es);
	svm_dump_segment("fs", &s->fs);
	svm_dump_segment("gs", &s->gs);
	svm_dump_segment("ldtr", &s->ldtr);
	svm_dump_segment("tr", &s->tr);
	svm_dump_segment("gdtr", &s->gdtr);
	svm_dump_segment("idtr", &s->idtr);
}

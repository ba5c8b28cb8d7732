// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU: its life, its file, its thread's comings and goings.
 *
 * While a thread is inside an ioctl that touches the vCPU's state, the vCPU is "loaded": its
 * control structure belongs to the CPU the thread runs on.  The preempt notifier
 * keeps that true when the scheduler moves the thread.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <asm/fpu/xcr.h>
#include <asm/tsc.h>

#include "core.h"
#include "idle.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "mmu/ring.h"
#include "paravirt.h"
#include "stats.h"

static_assert(sizeof(struct vireo_run) <= VIREO_RUN_SIZE);
static_assert(VIREO_RUN_SIZE == PAGE_SIZE);

/* Preemption off. */
static void vireo_vcpu_load_on(struct vireo_vcpu *vcpu, int cpu)
{
	bool moved = vcpu->cpu != cpu;

	WRITE_ONCE(vcpu->cpu, cpu);
	vireo_backend_vcpu_load(vcpu, moved);
	vcpu->loaded = true;
	if (moved)
		vireo_lapic_load(vcpu);
}

/* Preemption off. */
static void vireo_vcpu_put_off(struct vireo_vcpu *vcpu)
{
	if (vcpu->dr_loaded) {
		vireo_backend_dr_save(vcpu);
		vcpu->dr_loaded = false;
	}
	vcpu->loaded = false;
	vireo_backend_vcpu_put(vcpu);
}

static void vireo_sched_in(struct preempt_notifier *notifier, int cpu)
{
	struct vireo_vcpu *vcpu = container_of(notifier, struct vireo_vcpu, preempt);

	WRITE_ONCE(vcpu->preempted, false);
	if (vcpu->steal_msr & KVM_MSR_ENABLED)
		vireo_request_set(vcpu, VIREO_REQ_STEAL);
	vireo_vcpu_load_on(vcpu, cpu);
}

static void vireo_sched_out(struct preempt_notifier *notifier, struct task_struct *next)
{
	struct vireo_vcpu *vcpu = container_of(notifier, struct vireo_vcpu, preempt);

	WRITE_ONCE(vcpu->preempted, READ_ONCE(current->__state) == TASK_RUNNING);
	if (vcpu->steal_msr & KVM_MSR_ENABLED)
		vireo_steal_preempted(vcpu);
	vireo_vcpu_put_off(vcpu);
}

static struct preempt_ops vireo_preempt_ops = {
	.sched_in = vireo_sched_in,
	.sched_out = vireo_sched_out,
};

void vireo_vcpu_load(struct vireo_vcpu *vcpu)
{
	preempt_disable();
	preempt_notifier_register(&vcpu->preempt);
	vireo_vcpu_load_on(vcpu, smp_processor_id());
	preempt_enable();
}

void vireo_vcpu_put(struct vireo_vcpu *vcpu)
{
	preempt_disable();
	vireo_vcpu_put_off(vcpu);
	preempt_notifier_unregister(&vcpu->preempt);
	preempt_enable();
}

static void vireo_set_flat(struct vireo_vcpu *vcpu, enum vireo_seg nr, u16 selector, u64 base,
			   u32 attr)
{
	struct vireo_segment seg = {
		.base = base,
		.limit = 0xffff,
		.selector = selector,
		.attr = attr,
	};

	vireo_backend_set_segment(vcpu, nr, &seg);
}

void vireo_vcpu_reset(struct vireo_vcpu *vcpu, bool init)
{
	const struct vireo_table table = { .limit = 0xffff };
	const struct vireo_cpuid_entry *id;
	int i;

	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	id = vireo_cpuid_find(vcpu, 1, 0);
	vcpu->gpr[VIREO_RDX] = id ? id->eax : 0x600;
	vcpu->avail |= VIREO_REG_RSP;
	vcpu->dirty |= VIREO_REG_RSP;
	vireo_set_rip(vcpu, 0xfff0);
	vireo_set_rflags(vcpu, 0);

	/* Paging off first, so that no intermediate state is illegal. INIT keeps CD and NW. */
	vireo_backend_set_efer(vcpu, 0);
	vireo_backend_set_cr(vcpu, 4, 0);
	vireo_backend_set_cr(vcpu, 3, 0);
	vireo_backend_set_cr(vcpu, 0, X86_CR0_CD | X86_CR0_NW | X86_CR0_ET);
	vcpu->cr2 = 0;

	vireo_set_flat(vcpu, VIREO_SEG_CS, 0xf000, 0xffff0000, 0x9b);
	for (i = VIREO_SEG_ES; i <= VIREO_SEG_GS; i++) {
		if (i != VIREO_SEG_CS)
			vireo_set_flat(vcpu, i, 0, 0, 0x93);
	}
	vireo_set_flat(vcpu, VIREO_SEG_LDTR, 0, 0, 0x82);
	vireo_set_flat(vcpu, VIREO_SEG_TR, 0, 0, 0x8b);
	vireo_backend_set_table(vcpu, false, &table);
	vireo_backend_set_table(vcpu, true, &table);

	memset(vcpu->db, 0, sizeof(vcpu->db));
	vcpu->dr6 = 0xffff0ff0;
	vcpu->dr7 = 0x400;
	vireo_backend_set_dr7(vcpu, vcpu->dr7);

	if (!init)
		vireo_set_xcr0(vcpu, XFEATURE_MASK_FP);
	vireo_msr_reset(vcpu, init);
	vireo_lapic_reset(vcpu, init);

	memset(&vcpu->event, 0, sizeof(vcpu->event));
	vcpu->event_pending = false;
	vcpu->nmi_pending = 0;
	WRITE_ONCE(vcpu->pv_kicked, false);
	atomic_set(&vcpu->nmi_queued, 0);
	vireo_backend_set_shadow(vcpu, 0);
	vireo_backend_set_nmi_mask(vcpu, false);
	vireo_backend_irq_window(vcpu, false);
	vireo_backend_nmi_window(vcpu, false);

	/* MP protocol (SDM vol. 3, 9.4): the others wait for a SIPI. */
	vcpu->mp_state = vcpu->id ? VIREO_MP_WAIT_SIPI : VIREO_MP_RUNNABLE;
	vcpu->complete = NULL;
	vireo_cpuid_update(vcpu);
	vireo_mmu_flush(vcpu);
	vireo_request_set(vcpu, VIREO_REQ_EVENT);
	vireo_state_set(vcpu);
}

/* kmalloc() has no size between 8 and 16 KiB, all of which it would clear. */
static struct kmem_cache *vcpu_cache;

int __init vireo_vcpu_setup(void)
{
	vcpu_cache = KMEM_CACHE(vireo_vcpu, SLAB_ACCOUNT);
	return vcpu_cache ? 0 : -ENOMEM;
}

void vireo_vcpu_teardown(void)
{
	kmem_cache_destroy(vcpu_cache);
}

static struct vireo_vcpu *vireo_vcpu_new(struct vireo_vm *vm, u32 id)
{
	struct vireo_vcpu *vcpu;
	int r = -ENOMEM;

	vcpu = kmem_cache_zalloc(vcpu_cache, GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run)
		goto vcpu;

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->cpu = -1;
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	preempt_notifier_init(&vcpu->preempt, &vireo_preempt_ops);
	vcpu->tsc_khz = tsc_khz;
	vcpu->tsc_offset = -vm->tsc_base;
	vcpu->host_xcr0 = boot_cpu_has(X86_FEATURE_XSAVE) ? xgetbv(XCR_XFEATURE_ENABLED_MASK) : 0;
	vireo_insn_setup(vcpu);

	if (!fpu_alloc_guest_fpstate(&vcpu->fpu))
		goto run;
	r = vireo_cpuid_default(vcpu);
	if (r)
		goto fpu;
	r = vireo_lapic_create(vcpu);
	if (r)
		goto cpuid;
	r = vireo_mmu_vcpu_create(vcpu);
	if (r)
		goto lapic;
	r = vireo_backend_vcpu_create(vcpu);
	if (r)
		goto mmu;

	vireo_vcpu_load(vcpu);
	vireo_backend_set_root(vcpu);
	vireo_backend_write_tsc_offset(vcpu);
	vireo_vcpu_reset(vcpu, false);
	vireo_vcpu_put(vcpu);
	return vcpu;

mmu:
	vireo_mmu_vcpu_destroy(vcpu);
lapic:
	vireo_lapic_destroy(vcpu);
cpuid:
	kvfree(vcpu->cpuid);
fpu:
	fpu_free_guest_fpstate(&vcpu->fpu);
run:
	free_page((unsigned long)vcpu->run);
vcpu:
	kmem_cache_free(vcpu_cache, vcpu);
	return ERR_PTR(r);
}

void vireo_vcpu_destroy(struct vireo_vcpu *vcpu)
{
	vireo_lapic_destroy(vcpu);
	vireo_backend_vcpu_destroy(vcpu);
	vireo_mmu_vcpu_destroy(vcpu);
	vireo_ring_free(vcpu);
	vireo_interpret_free(vcpu);
	vireo_forget_thread(vcpu);
	kvfree(vcpu->cpuid);
	fpu_free_guest_fpstate(&vcpu->fpu);
	free_page((unsigned long)vcpu->run);
	kmem_cache_free(vcpu_cache, vcpu);
}

static int vireo_vcpu_release(struct inode *inode, struct file *file)
{
	struct vireo_vcpu *vcpu = file->private_data;

	vireo_vm_put(vcpu->vm);
	return 0;
}

/* The page stays with the mapping, whose file keeps the vCPU. */
static vm_fault_t vireo_run_fault(struct vm_fault *vmf)
{
	struct vireo_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	if (vmf->pgoff)
		return VM_FAULT_SIGBUS;
	page = virt_to_page(vcpu->run);
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct vireo_run_vm_ops = {
	.fault = vireo_run_fault,
};

static int vireo_vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vireo_vcpu *vcpu = file->private_data;

	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if (vma->vm_pgoff)
		return vireo_ring_mmap(vcpu, vma);
	if (vma_pages(vma) != 1)
		return -EINVAL;
	vma->vm_ops = &vireo_run_vm_ops;
	return 0;
}

static int vireo_vcpu_inject_nmi(struct vireo_vcpu *vcpu)
{
	atomic_inc(&vcpu->nmi_queued);
	vireo_request(vcpu, VIREO_REQ_EVENT);
	return 0;
}

static int vireo_vcpu_translate(struct vireo_vcpu *vcpu, struct vireo_translation __user *arg)
{
	struct vireo_translation tr;
	struct vireo_mode mode;
	struct vireo_walk walk;
	int idx, r;

	r = vireo_copy_struct(&tr, sizeof(tr), arg, sizeof(tr));
	if (r)
		return r;
	vireo_backend_read_mode(vcpu, &mode);
	if ((mode.efer & EFER_LMA) && !vireo_canonical(mode.cr4, tr.gva)) {
		r = -EFAULT;
		goto done;
	}
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = vireo_walk(vcpu, &mode, tr.gva, 0, false, &walk);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
done:
	tr.valid = !r;
	tr.gpa = r ? 0 : walk.gpa;
	tr.writable = !r && (walk.pte_access & VIREO_ACCESS_WRITE);
	tr.user = !r && (walk.pte_access & VIREO_ACCESS_USER);
	tr.executable = !r && (walk.pte_access & VIREO_ACCESS_EXEC);
	memset(tr.pad, 0, sizeof(tr.pad));
	return vireo_copy_back(arg, &tr, sizeof(tr), tr.size);
}

static int vireo_vcpu_set_ring(struct vireo_vcpu *vcpu, const void __user *arg)
{
	struct vireo_ring_config config;
	int r;

	r = vireo_copy_struct(&config, sizeof(config), arg, sizeof(config));
	return r ?: vireo_ring_set(vcpu, &config);
}

static int vireo_vcpu_stats(struct vireo_vcpu *vcpu, struct vireo_stats __user *arg)
{
	const struct vireo_counters *c = &vcpu->counters;
	struct vireo_stats stats;
	u32 size;
	int r;

	static_assert(VIREO_EXIT_REASON_NR <= VIREO_STATS_EXITS);

	/* A launcher of another version may know fewer reasons. */
	r = vireo_copy_struct(&stats, sizeof(stats), arg, offsetof(struct vireo_stats, exits));
	if (r)
		return r;
	size = stats.size;
	memset(&stats, 0, sizeof(stats));
	/* Each entry ends with one of these. */
	stats.entries = vireo_stats_exits(vcpu);
	stats.injected = vireo_stats_injected(c);
	stats.faults = vireo_stats_faults(c);
	stats.flushes = c->flushes;
	stats.user_exits = c->user_exits;
	memcpy(stats.exits, c->exits, sizeof(c->exits));
	stats.interpreted = c->interpreted;
	stats.halts = c->halts;
	stats.halt_polls = c->halt_polls;
	stats.halt_hits = c->halt_hits;
	stats.yields = c->yields;
	stats.pv_flushes = c->pv_flushes;
	stats.pv_eois = c->pv_eois;
	return vireo_copy_back(arg, &stats, sizeof(stats), size);
}

/* ioctls that need the vCPU loaded and nobody else in it. */
static long vireo_vcpu_ioctl_loaded(struct vireo_vcpu *vcpu, unsigned int cmd, void __user *arg)
{
	long r;

	vireo_vcpu_load(vcpu);
	switch (vireo_call(cmd)) {
	case VIREO_CALL(VIREO_GET_STATE):
		r = vireo_vcpu_get_state(vcpu, arg);
		break;
	case VIREO_CALL(VIREO_SET_STATE):
		r = vireo_vcpu_set_state(vcpu, arg);
		break;
	case VIREO_CALL(VIREO_SET_CPUID):
		r = vireo_cpuid_set(vcpu, arg);
		break;
	case VIREO_CALL(VIREO_GET_CPUID):
		r = vireo_cpuid_get(vcpu, arg);
		break;
	case VIREO_CALL(VIREO_TRANSLATE):
		r = vireo_vcpu_translate(vcpu, arg);
		break;
	case VIREO_CALL(VIREO_SET_RING):
		r = vireo_vcpu_set_ring(vcpu, arg);
		break;
	default:
		r = -ENOTTY;
		break;
	}
	vireo_vcpu_put(vcpu);
	return r;
}

static long vireo_vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long data)
{
	struct vireo_vcpu *vcpu = file->private_data;
	void __user *arg = (void __user *)data;
	long r;

	if (unlikely(vcpu->vm->mm != current->mm))
		return -EIO;

	switch (vireo_call(cmd)) {
	case VIREO_KICK:
		vireo_request(vcpu, VIREO_REQ_KICK);
		return 0;
	case VIREO_INJECT_NMI:
		return vireo_vcpu_inject_nmi(vcpu);
	case VIREO_CALL(VIREO_GET_STATS):
		return vireo_vcpu_stats(vcpu, arg);
	}

	if (!mutex_trylock(&vcpu->mutex))
		return -EBUSY;
	if (likely(cmd == VIREO_RUN))
		r = data ? -EINVAL : vireo_vcpu_run(vcpu);
	else
		r = vireo_vcpu_ioctl_loaded(vcpu, cmd, arg);
	mutex_unlock(&vcpu->mutex);
	return r;
}

const struct file_operations vireo_vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vireo_vcpu_release,
	.unlocked_ioctl = vireo_vcpu_ioctl,
	.compat_ioctl = vireo_vcpu_ioctl,
	.mmap = vireo_vcpu_mmap,
	.llseek = noop_llseek,
};

int vireo_vcpu_create(struct vireo_vm *vm, const struct vireo_vcpu_config __user *arg)
{
	struct vireo_vcpu_config config;
	struct vireo_vcpu *vcpu;
	struct file *file;
	int fd, r;

	r = vireo_copy_struct(&config, sizeof(config), arg, sizeof(config));
	if (r)
		return r;
	if (config.id >= VIREO_MAX_VCPUS || config.flags)
		return -EINVAL;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;

	mutex_lock(&vm->lock);
	r = -EEXIST;
	if (vm->vcpus[config.id])
		goto unlock;
	r = -EBUSY;
	if (!list_empty(&vm->points))
		goto unlock;
	vcpu = vireo_vcpu_new(vm, config.id);
	if (IS_ERR(vcpu)) {
		r = PTR_ERR(vcpu);
		goto unlock;
	}
	file = anon_inode_getfile("vireo-vcpu", &vireo_vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		vireo_vcpu_destroy(vcpu);
		r = PTR_ERR(file);
		goto unlock;
	}
	kref_get(&vm->ref);
	/* Pairs with vireo_for_each_vcpu() and vireo_vcpu_by_id(): a whole vCPU, or none. */
	smp_store_release(&vm->vcpus[config.id], vcpu);
	/* Likewise: the count after the pointers it covers. */
	if (config.id >= vm->nr_vcpus)
		smp_store_release(&vm->nr_vcpus, config.id + 1);
	mutex_unlock(&vm->lock);

	fd_install(fd, file);
	return fd;

unlock:
	mutex_unlock(&vm->lock);
	put_unused_fd(fd);
	return r;
}

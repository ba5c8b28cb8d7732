// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM: its life and its file.
 *
 * The VM lives as long as any of its files: its own and those of its vCPUs, which
 * may be closed in any order.  The vCPUs go with the VM.
 */
#include <linux/anon_inodes.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "core.h"
#include "hardware.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "mmu/ring.h"
#include "mmu/track.h"
#include "netlink/netlink.h"
#include "pvclock.h"
#include "region.h"
#include "snapshot.h"
#include "tracing.h"

LIST_HEAD(vireo_vms);
DEFINE_MUTEX(vireo_vms_lock);

static void vireo_vm_free(struct kref *ref)
{
	struct vireo_vm *vm = container_of(ref, struct vireo_vm, ref);
	u32 i;

	vireo_nl_vm_remove(vm);
	vireo_backend_vm_flush_free(vm);
	/* While it is there, MMU notifiers look at the vCPUs. */
	vireo_mmu_destroy(vm);
	/* Whoever signals an eventfd reaches vCPUs. */
	vireo_irqfd_destroy(vm);
	for (i = 0; i < vm->nr_vcpus; i++) {
		if (vm->vcpus[i])
			vireo_vcpu_destroy(vm->vcpus[i]);
	}
	vireo_ioeventfd_destroy(vm);
	vireo_snapshot_destroy(vm);
	vireo_regions_destroy(vm);
	vireo_backend_vm_destroy(vm);
	cleanup_srcu_struct(&vm->srcu);
	mmdrop(vm->mm);
	free_percpu(vm->cpu);
	vireo_nl_vm_free(vm);
	kvfree(vm);
	vireo_hw_put();
}

void vireo_vm_put(struct vireo_vm *vm)
{
	kref_put(&vm->ref, vireo_vm_free);
}

void vireo_vm_kill(struct vireo_vm *vm, const char *why)
{
	struct vireo_vcpu *vcpu;
	u32 i;

	if (cmpxchg(&vm->dead_why, NULL, why))
		return;
	/* Who sees it knows why. */
	smp_store_release(&vm->dead, true);
	pr_err("VM %s (%d) is dead: %s\n", vm->name, task_tgid_nr(current), why);
	vireo_for_each_vcpu(i, vcpu, vm)
		vireo_request(vcpu, VIREO_REQ_DEAD);
	vireo_nl_dead(vm);
}

struct vireo_vcpu *vireo_vcpu_by_id(struct vireo_vm *vm, u32 id)
{
	if (id >= VIREO_MAX_VCPUS)
		return NULL;
	/* Pairs with vireo_vcpu_create(). */
	return smp_load_acquire(&vm->vcpus[id]);
}

static int vireo_vm_release(struct inode *inode, struct file *file)
{
	vireo_vm_put(file->private_data);
	return 0;
}

static int vireo_vm_set_region(struct vireo_vm *vm, const void __user *arg, bool set)
{
	struct vireo_region region;
	int r;

	r = vireo_copy_struct(&region, sizeof(region), arg, sizeof(region));
	if (r)
		return r;
	if (region.slot >= VIREO_MAX_REGIONS)
		return -EINVAL;

	mutex_lock(&vm->lock);
	r = set ? vireo_region_set(vm, &region) : vireo_region_delete(vm, region.slot);
	mutex_unlock(&vm->lock);
	return r;
}

static int vireo_vm_set_tracking(struct vireo_vm *vm, const void __user *arg)
{
	struct vireo_tracking tracking;
	int r;

	r = vireo_copy_struct(&tracking, sizeof(tracking), arg, sizeof(tracking));
	if (r)
		return r;
	mutex_lock(&vm->lock);
	r = vireo_track_set(vm, &tracking);
	mutex_unlock(&vm->lock);
	vireo_trace(track, vm, &tracking, r);
	return r;
}

static int vireo_vm_get_dirty(struct vireo_vm *vm, void __user *arg)
{
	struct vireo_dirty_log log;
	int r;

	r = vireo_copy_struct(&log, sizeof(log), arg, sizeof(log));
	if (r)
		return r;
	mutex_lock(&vm->lock);
	r = vireo_track_get(vm, &log);
	mutex_unlock(&vm->lock);
	vireo_trace(dirty_log, vm, &log, r);
	return r ?: vireo_copy_back(arg, &log, sizeof(log), log.size);
}

static int vireo_vm_mark_dirty(struct vireo_vm *vm, const void __user *arg)
{
	struct vireo_dirty_range range;
	int r;

	r = vireo_copy_struct(&range, sizeof(range), arg, sizeof(range));
	if (r)
		return r;
	mutex_lock(&vm->lock);
	r = vireo_track_write(vm, &range);
	mutex_unlock(&vm->lock);
	return r;
}

static int vireo_vm_snapshot(struct vireo_vm *vm, unsigned int call, void __user *arg)
{
	enum vireo_nl_operation kind = VIREO_NL_OP_DROP;
	struct vireo_snapshot snapshot;
	int r, copied;

	r = vireo_copy_struct(&snapshot, sizeof(snapshot), arg, sizeof(snapshot));
	if (r)
		return r;
	mutex_lock(&vm->lock);
	switch (call) {
	case VIREO_CALL(VIREO_SNAPSHOT):
		kind = VIREO_NL_OP_SNAPSHOT;
		r = vireo_snapshot_take(vm, &snapshot);
		break;
	case VIREO_CALL(VIREO_ROLLBACK):
		kind = VIREO_NL_OP_ROLLBACK;
		r = vireo_snapshot_back(vm, &snapshot);
		break;
	default:
		r = vireo_snapshot_drop(vm, &snapshot);
		break;
	}
	mutex_unlock(&vm->lock);
	vireo_nl_point(vm, kind, r, kind == VIREO_NL_OP_ROLLBACK && !r ? snapshot.pages : 0);
	vireo_trace(snapshot, vm, kind, &snapshot, r);
	if (r && r != -EIO && r != -EFAULT)
		return r;
	copied = vireo_copy_back(arg, &snapshot, sizeof(snapshot), snapshot.size);
	return r ?: copied;
}

static int vireo_vm_reset_rings(struct vireo_vm *vm, void __user *arg)
{
	struct vireo_ring_reset reset;
	int r;

	r = vireo_copy_struct(&reset, sizeof(reset), arg, sizeof(reset));
	if (r)
		return r;
	mutex_lock(&vm->lock);
	r = vireo_ring_reset(vm, &reset);
	mutex_unlock(&vm->lock);
	vireo_trace(dirty_rings, vm, &reset, r);
	return r ?: vireo_copy_back(arg, &reset, sizeof(reset), reset.size);
}

static int vireo_vm_send_msi(struct vireo_vm *vm, const void __user *arg)
{
	struct vireo_msi msi;
	int r;

	r = vireo_copy_struct(&msi, sizeof(msi), arg, sizeof(msi));
	if (r)
		return r;
	/* Its EOI is the launcher's, also if an irqfd has the same vector. */
	if ((msi.data & VIREO_MSI_LEVEL) && !test_bit(msi.data & 0xff, vm->level_sent))
		set_bit(msi.data & 0xff, vm->level_sent);
	this_cpu_inc(vm->cpu->msis);
	return vireo_send_msi(vm, msi.address, msi.data);
}

static int vireo_vm_ioeventfd(struct vireo_vm *vm, const void __user *arg)
{
	struct vireo_ioeventfd io;
	int r;

	r = vireo_copy_struct(&io, sizeof(io), arg, sizeof(io));
	if (r)
		return r;
	mutex_lock(&vm->lock);
	r = vireo_ioeventfd_set(vm, &io);
	mutex_unlock(&vm->lock);
	return r;
}

static int vireo_vm_irqfd(struct vireo_vm *vm, const void __user *arg)
{
	struct vireo_irqfd irqfd;
	int r;

	r = vireo_copy_struct(&irqfd, sizeof(irqfd), arg, sizeof(irqfd));
	if (r)
		return r;
	mutex_lock(&vm->lock);
	r = vireo_irqfd_set(vm, &irqfd);
	mutex_unlock(&vm->lock);
	return r;
}

static int vireo_vm_report(struct vireo_vm *vm, const void __user *arg)
{
	struct vireo_report report;
	int r;

	r = vireo_copy_struct(&report, sizeof(report), arg, sizeof(report));
	if (!r)
		r = vireo_nl_report(vm, &report);
	/* Only what was accepted: texts are good then. */
	if (!r)
		vireo_trace(report, vm, &report);
	return r;
}

static int vireo_vm_check(struct vireo_vm *vm, void __user *arg)
{
	struct vireo_check check;
	int r;

	r = vireo_copy_struct(&check, sizeof(check), arg, sizeof(check));
	if (r)
		return r;
	if (check.flags)
		return -EINVAL;
	r = vireo_shadow_check(vm, &check);
	return r ?: vireo_copy_back(arg, &check, sizeof(check), check.size);
}

static long vireo_vm_ioctl(struct file *file, unsigned int cmd, unsigned long data)
{
	struct vireo_vm *vm = file->private_data;
	void __user *arg = (void __user *)data;

	if (vm->mm != current->mm)
		return -EIO;
	if (READ_ONCE(vm->dead))
		return -EIO;

	switch (vireo_call(cmd)) {
	case VIREO_CALL(VIREO_SET_REGION):
		return vireo_vm_set_region(vm, arg, true);
	case VIREO_CALL(VIREO_DEL_REGION):
		return vireo_vm_set_region(vm, arg, false);
	case VIREO_CALL(VIREO_CREATE_VCPU):
		return vireo_vcpu_create(vm, arg);
	case VIREO_CALL(VIREO_SEND_MSI):
		return vireo_vm_send_msi(vm, arg);
	case VIREO_CALL(VIREO_SET_IOEVENTFD):
		return vireo_vm_ioeventfd(vm, arg);
	case VIREO_CALL(VIREO_SET_IRQFD):
		return vireo_vm_irqfd(vm, arg);
	case VIREO_CALL(VIREO_GET_STATE):
		return vireo_vm_get_state(vm, arg);
	case VIREO_CALL(VIREO_SET_STATE):
		return vireo_vm_set_state(vm, arg);
	case VIREO_CALL(VIREO_CHECK):
		return vireo_vm_check(vm, arg);
	case VIREO_CALL(VIREO_SET_TRACKING):
		return vireo_vm_set_tracking(vm, arg);
	case VIREO_CALL(VIREO_GET_DIRTY):
		return vireo_vm_get_dirty(vm, arg);
	case VIREO_CALL(VIREO_RESET_RINGS):
		return vireo_vm_reset_rings(vm, arg);
	case VIREO_CALL(VIREO_MARK_DIRTY):
		return vireo_vm_mark_dirty(vm, arg);
	case VIREO_CALL(VIREO_SNAPSHOT):
	case VIREO_CALL(VIREO_ROLLBACK):
	case VIREO_CALL(VIREO_DROP_SNAPSHOT):
		return vireo_vm_snapshot(vm, vireo_call(cmd), arg);
	case VIREO_CALL(VIREO_REPORT):
		return vireo_vm_report(vm, arg);
	default:
		return -ENOTTY;
	}
}

const struct file_operations vireo_vm_fops = {
	.owner = THIS_MODULE,
	.release = vireo_vm_release,
	.unlocked_ioctl = vireo_vm_ioctl,
	.compat_ioctl = vireo_vm_ioctl,
	.llseek = noop_llseek,
};

static struct vireo_vm *vireo_vm_new(const struct vireo_vm_config *config)
{
	struct vireo_vm *vm;
	int r;

	vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);

	vm->cpu = alloc_percpu_gfp(struct vireo_vm_cpu, GFP_KERNEL_ACCOUNT);
	if (!vm->cpu) {
		kvfree(vm);
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&vm->ref);
	mutex_init(&vm->lock);
	rwlock_init(&vm->mmu.lock);
	INIT_LIST_HEAD(&vm->irqfds);
	INIT_LIST_HEAD(&vm->irqfd_levels);
	INIT_LIST_HEAD(&vm->points);
	vm->flags = config->flags;
	memcpy(vm->name, config->name, sizeof(vm->name));
	vm->tsc_base = rdtsc_ordered();
	vm->mm = current->mm;
	mmgrab(vm->mm);

	r = init_srcu_struct(&vm->srcu);
	if (r)
		goto mm;
	r = vireo_hw_get();
	if (r)
		goto srcu;
	r = vireo_backend_vm_create(vm);
	if (r)
		goto hw;
	r = vireo_regions_create(vm);
	if (r)
		goto backend;
	r = vireo_mmu_create(vm);
	if (r)
		goto regions;
	vireo_pvclock_set(vm, 0);
	r = vireo_nl_vm_add(vm);
	if (r)
		goto mmu;
	return vm;

mmu:
	vireo_mmu_destroy(vm);
regions:
	vireo_regions_destroy(vm);
backend:
	vireo_backend_vm_destroy(vm);
hw:
	vireo_hw_put();
srcu:
	cleanup_srcu_struct(&vm->srcu);
mm:
	mmdrop(vm->mm);
	free_percpu(vm->cpu);
	kvfree(vm);
	return ERR_PTR(r);
}

int vireo_vm_create(const struct vireo_vm_config __user *arg)
{
	struct vireo_vm_config config;
	struct vireo_vm *vm;
	int r;

	r = vireo_copy_struct(&config, sizeof(config), arg, sizeof(config));
	if (r)
		return r;
	if (config.pad || (config.flags & ~(VIREO_VM_REPORT_MSRS | VIREO_VM_HYBRID)))
		return -EINVAL;
	if ((config.flags & VIREO_VM_HYBRID) && vireo_caps.no_step)
		return -EOPNOTSUPP;
	if (strnlen(config.name, sizeof(config.name)) == sizeof(config.name))
		return -EINVAL;

	vm = vireo_vm_new(&config);
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	r = anon_inode_getfd("vireo-vm", &vireo_vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (r < 0)
		vireo_vm_put(vm);
	return r;
}

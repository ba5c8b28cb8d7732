// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module and /dev/vireo.
 */
#include <linux/cpufeature.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include <asm/tsc.h>

#include "core.h"
#include "hardware.h"
#include "mmu/mmu.h"
#include "netlink/netlink.h"
#include "stats.h"
#include "tracing.h"

struct vireo_caps vireo_caps;

static bool nested_paging = true;
module_param(nested_paging, bool, 0444);
MODULE_PARM_DESC(nested_paging,
		 "Use the processor's nested paging if it has it (default); 0: shadow tables");

unsigned int vireo_pause_exits = VIREO_PAUSE_LOOPS;
module_param_named(pause_exits, vireo_pause_exits, uint, 0444);
MODULE_PARM_DESC(pause_exits,
		 "Notice guests that spin: 0: no; 1: by loops of PAUSE, if the processor can tell (default); 2: by each PAUSE");

static bool tpr_shadow = true;
module_param(tpr_shadow, bool, 0444);
MODULE_PARM_DESC(tpr_shadow, "Let guests change their task priority without an exit (default)");

static bool apic_registers = true;
module_param(apic_registers, bool, 0444);
MODULE_PARM_DESC(apic_registers, "Let guests read their local APIC without an exit (default)");

static bool virtual_irq = true;
module_param(virtual_irq, bool, 0444);
MODULE_PARM_DESC(virtual_irq, "Let the processor deliver interrupts to guests (default)");

static bool stats = true;
module_param(stats, bool, 0444);
MODULE_PARM_DESC(stats, "Measure how long exits take, and where the time of vCPUs goes (default)");

static char *track = "auto";
module_param(track, charp, 0444);
MODULE_PARM_DESC(track,
		 "How pages that guests write are noticed: wp: write protection; dirty: dirty bits; pml: the processor's log; auto: what costs least (default)");

/* Until a backend is chosen the calls have no target; nothing can reach them before that. */
#define VIREO_DEFINE_CALL(ret, name, proto, args)				\
	DEFINE_STATIC_CALL_NULL(vireo_##name, *((struct vireo_backend *)NULL)->name);
VIREO_BACKEND_OPS(VIREO_DEFINE_CALL)

static const struct vireo_backend *const vireo_backends[] = {
	&vireo_vmx_backend,
	&vireo_svm_backend,
};

int vireo_copy_struct(void *dst, size_t ksize, const void __user *src, size_t min)
{
	u32 usize;
	int r;

	if (get_user(usize, (const u32 __user *)src))
		return -EFAULT;
	if (usize < min || usize > PAGE_SIZE)
		return -EINVAL;
	r = copy_struct_from_user(dst, ksize, src, usize);
	if (r)
		return r;
	/* The size was read twice: what was checked counts. */
	*(u32 *)dst = usize;
	return 0;
}

int vireo_copy_back(void __user *dst, void *src, size_t ksize, u32 user_size)
{
	size_t n = min_t(size_t, ksize, user_size);

	*(u32 *)src = user_size;
	if (copy_to_user(dst, src, n))
		return -EFAULT;
	if (user_size > n && clear_user(dst + n, user_size - n))
		return -EFAULT;
	return 0;
}

u64 vireo_features(void)
{
	u64 features = vireo_caps.features;

	if (!vireo_caps.no_step)
		features |= VIREO_FEATURE_HYBRID;
	if (vireo_hw_shared())
		features |= VIREO_FEATURE_SHARED_OWNER;
	return features;
}

static int vireo_get_info(struct vireo_info __user *arg)
{
	struct vireo_info info;
	u32 size;
	int r;

	r = vireo_copy_struct(&info, sizeof(info), arg, sizeof(info));
	if (r)
		return r;
	size = info.size;

	memset(&info, 0, sizeof(info));
	info.abi = VIREO_ABI_VERSION;
	info.vendor = vireo_caps.vendor;
	info.phys_bits = vireo_caps.phys_bits;
	info.features = vireo_features();
	info.missing = vireo_caps.missing;
	info.mitigations = vireo_caps.mitigations;
	info.blocks = GENMASK_ULL(VIREO_BLOCK_NR - 1, VIREO_BLOCK_REGS);
	info.max_vcpus = VIREO_MAX_VCPUS;
	info.max_regions = VIREO_MAX_REGIONS;
	info.run_size = VIREO_RUN_SIZE;
	info.tsc_khz = tsc_khz;
	strscpy(info.version, VIREO_VERSION, sizeof(info.version));
	return vireo_copy_back(arg, &info, sizeof(info), size);
}

static long vireo_dev_ioctl(struct file *file, unsigned int cmd, unsigned long data)
{
	void __user *arg = (void __user *)data;

	switch (vireo_call(cmd)) {
	case VIREO_CALL(VIREO_GET_INFO):
		return vireo_get_info(arg);
	case VIREO_CALL(VIREO_GET_SUPPORTED_CPUID):
		return vireo_cpuid_get_supported(arg);
	case VIREO_CALL(VIREO_GET_MSR_LIST):
		return vireo_msr_get_list(arg);
	case VIREO_CALL(VIREO_CREATE_VM):
		return vireo_vm_create(arg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations vireo_dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = vireo_dev_ioctl,
	.compat_ioctl = vireo_dev_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice vireo_dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vireo",
	.mode = 0660,
	.fops = &vireo_dev_fops,
};

static const struct vireo_backend *vireo_probe(void)
{
	int i, r;

	for (i = 0; i < ARRAY_SIZE(vireo_backends); i++) {
		memset(&vireo_caps, 0, sizeof(vireo_caps));
		if (tpr_shadow)
			vireo_caps.apic_allowed |= VIREO_FEATURE_TPR_SHADOW;
		if (apic_registers)
			vireo_caps.apic_allowed |= VIREO_FEATURE_APIC_REGISTERS;
		if (virtual_irq)
			vireo_caps.apic_allowed |= VIREO_FEATURE_VIRTUAL_IRQ;
		vireo_caps.dirty_log_allowed = sysfs_streq(track, "auto") || sysfs_streq(track, "pml");
		r = vireo_backends[i]->probe(&vireo_caps, nested_paging);
		if (!r)
			return vireo_backends[i];
		if (r != -EOPNOTSUPP)
			return ERR_PTR(r);
	}
	pr_err("this processor has neither VMX nor SVM\n");
	return ERR_PTR(-EOPNOTSUPP);
}

/* What is asked for by name is used, or the module is not. */
static int vireo_choose_track(void)
{
	if (sysfs_streq(track, "auto")) {
		/* Those of shadow tables are found too slowly. */
		vireo_caps.dirty_bits = vireo_caps.nested_paging && vireo_caps.nested_ad && !vireo_caps.dirty_log;
		return 0;
	}
	if (sysfs_streq(track, "wp"))
		return 0;
	if (sysfs_streq(track, "pml")) {
		if (vireo_caps.dirty_log)
			return 0;
		pr_err("track=pml: %s\n", vireo_caps.nested_paging ? "this processor does not log the pages that guests write" :
		       "without nested paging there is no log of the pages that guests write");
		return -EOPNOTSUPP;
	}
	if (sysfs_streq(track, "dirty")) {
		vireo_caps.dirty_bits = !vireo_caps.nested_paging || vireo_caps.nested_ad;
		if (vireo_caps.dirty_bits)
			return 0;
		pr_err("track=dirty: this processor's nested tables have no dirty bits\n");
		return -EOPNOTSUPP;
	}
	pr_err("track=%s: it can be auto, wp, dirty or pml\n", track);
	return -EINVAL;
}

static int __init vireo_init(void)
{
	const struct vireo_backend *backend = vireo_probe();
	int r;

	if (IS_ERR(backend))
		return PTR_ERR(backend);
	r = vireo_choose_track();
	if (r)
		return r;
	vireo_trace_setup();

#define VIREO_UPDATE_CALL(ret, name, proto, args)				\
	if (WARN_ON(!backend->name))						\
		return -EINVAL;							\
	static_call_update(vireo_##name, backend->name);
	VIREO_BACKEND_OPS(VIREO_UPDATE_CALL)

	if (!stats)
		static_branch_disable(&vireo_timed);
	r = vireo_backend_setup();
	if (r)
		return r;
	r = vireo_mmu_setup();
	if (r)
		goto backend;
	r = vireo_cpuid_setup();
	if (r)
		goto mmu;
	r = vireo_vcpu_setup();
	if (r)
		goto cpuid;
	r = vireo_nl_setup();
	if (r)
		goto vcpu;
	preempt_notifier_inc();
	r = misc_register(&vireo_dev);
	if (r)
		goto netlink;

	pr_info("%s, %s paging, %u-bit guest-physical addresses, features %#llx, mitigations %#llx\n",
		backend->name, vireo_caps.nested_paging ? "nested" : "shadow", vireo_caps.phys_bits, vireo_caps.features, vireo_caps.mitigations);
	return 0;
netlink:
	preempt_notifier_dec();
	vireo_nl_teardown();
vcpu:
	vireo_vcpu_teardown();
cpuid:
	vireo_cpuid_teardown();
mmu:
	vireo_mmu_teardown();
backend:
	vireo_backend_teardown();
	return r;
}
module_init(vireo_init);

static void __exit vireo_exit(void)
{
	misc_deregister(&vireo_dev);
	preempt_notifier_dec();
	vireo_nl_teardown();
	vireo_vcpu_teardown();
	vireo_cpuid_teardown();
	vireo_mmu_teardown();
	vireo_backend_teardown();
}
module_exit(vireo_exit);

MODULE_DESCRIPTION("Vireo, a hypervisor to read, change and observe");
MODULE_AUTHOR("The Vireo developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(VIREO_VERSION);

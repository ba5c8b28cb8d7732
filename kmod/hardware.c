// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtualisation on the processors.
 *
 * The CPU hotplug machinery does the walk over all CPUs: installing the state
 * switches each on, a CPU that comes later is switched on before tasks run on it,
 * one that goes is switched off after its last task has left.  Suspend leaves one
 * CPU to the syscore callbacks.
 *
 * Where KVM offers its count of users (6.12), Vireo becomes one of them: KVM
 * then does the switching and Vireo only stays out of its way.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/kobject.h>
#include <linux/module.h>

#include "compat.h"
#include "core.h"
#include "hardware.h"
#include "pvclock.h"

static DEFINE_MUTEX(vireo_hw_lock);
static unsigned int vireo_hw_users;		/* vireo_hw_lock */
static enum cpuhp_state vireo_hw_state;		/* vireo_hw_lock */
static bool vireo_hw_is_shared;			/* changes only while there is no user */
static bool vireo_hw_on;			/* the hotplug state is installed */

/* KVM as partner: references held while shared. */
static struct module *vireo_kvm_vendor;
static void (*vireo_kvm_disable)(void);

/*
 * Find another module by name, alive, and keep it.  All modules are kobjects of
 * one set; no function that modules may call looks them up more directly.
 */
static struct module *vireo_module_get(const char *name)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, name);
	struct module *mod = NULL;

	if (!kobj)
		return NULL;
	mod = container_of(kobj, struct module_kobject, kobj)->mod;
	if (mod && !try_module_get(mod))
		mod = NULL;
	kobject_put(kobj);
	return mod;
}

static const char *vireo_kvm_vendor_name(void)
{
	return vireo_caps.vendor == VIREO_VENDOR_INTEL ? "kvm_intel" : "kvm_amd";
}

/* Who, other than Vireo, may have switched virtualisation on? */
static const char *vireo_owner(void)
{
	static const char * const owners[][2] = {
		{ "kvm_intel", "KVM (kvm_intel)" },
		{ "kvm_amd", "KVM (kvm_amd)" },
		{ "vboxdrv", "VirtualBox (vboxdrv)" },
		{ "vmmon", "VMware (vmmon)" },
		{ "jailhouse", "Jailhouse" },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(owners); i++) {
		struct module *mod = vireo_module_get(owners[i][0]);

		if (mod) {
			module_put(mod);
			return owners[i][1];
		}
	}
	return "an unknown hypervisor";
}

/*
 * Join KVM as one more user of the processors.  kvm.ko without its vendor module
 * has nothing to switch, so that module decides and is kept.
 */
static int vireo_kvm_join(void)
{
	int (*enable)(void);
	struct module *vendor;
	int r;

	vendor = vireo_module_get(vireo_kvm_vendor_name());
	if (!vendor)
		return -ENOENT;

	enable = (int (*)(void))__symbol_get("kvm_enable_virtualization");
	if (!enable) {
		module_put(vendor);
		return -ENOENT;
	}
	vireo_kvm_disable = (void (*)(void))__symbol_get("kvm_disable_virtualization");
	if (!vireo_kvm_disable) {
		r = -ENOENT;
		goto put;
	}
	r = enable();
	if (r) {
		__symbol_put("kvm_disable_virtualization");
		goto put;
	}
	vireo_kvm_vendor = vendor;
	return 0;
put:
	__symbol_put("kvm_enable_virtualization");
	module_put(vendor);
	return r;
}

static void vireo_kvm_leave(void)
{
	vireo_kvm_disable();
	__symbol_put("kvm_disable_virtualization");
	__symbol_put("kvm_enable_virtualization");
	module_put(vireo_kvm_vendor);
	vireo_kvm_vendor = NULL;
}

static int vireo_cpu_online(unsigned int cpu)
{
	unsigned long flags;
	int r;

	local_irq_save(flags);
	r = vireo_backend_cpu_enable(vireo_hw_is_shared);
	local_irq_restore(flags);
	if (r == -EBUSY)
		pr_err("CPU %u is in use by %s\n", cpu, vireo_owner());
	else if (r)
		pr_err("CPU %u: cannot switch virtualisation on: error %d\n", cpu, r);
	return r;
}

static int vireo_cpu_offline(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	vireo_backend_cpu_disable(vireo_hw_is_shared);
	local_irq_restore(flags);
	return 0;
}

bool vireo_hw_shared(void)
{
	return vireo_hw_is_shared;
}

/*
 * Syscore callbacks run on the last CPU with interrupts off, when every task is frozen: in the order of
 * their registration at resume, in the reverse order at suspend.  Ours are registered after KVM has switched on,
 * so that our control structures are flushed before its VMXOFF, and it is on again before us.
 */
/* Where the clocks stood when the host went to sleep. */
static struct vireo_suspend vireo_suspended;

static int vireo_suspend(VIREO_SYSCORE_ARG)
{
	vireo_pvclock_suspend(&vireo_suspended);
	if (READ_ONCE(vireo_hw_on))
		vireo_backend_cpu_disable(vireo_hw_is_shared);
	return 0;
}

static void vireo_resume(VIREO_SYSCORE_ARG)
{
	struct vireo_vm *vm;

	/* Nobody holds the list's mutex: every task is frozen, and none of its holders can be. */
	list_for_each_entry(vm, &vireo_vms, list)
		vireo_pvclock_resume(vm, &vireo_suspended);
	if (READ_ONCE(vireo_hw_on) && vireo_backend_cpu_enable(vireo_hw_is_shared))
		pr_err("cannot switch virtualisation on again after suspend\n");
}

static void vireo_shutdown_cpu(void *unused)
{
	vireo_backend_cpu_disable(vireo_hw_is_shared);
}

/* A processor in VMX operation ignores INIT, with which firmware may restart it. */
static void vireo_shutdown(VIREO_SYSCORE_ARG)
{
	if (READ_ONCE(vireo_hw_on))
		on_each_cpu(vireo_shutdown_cpu, NULL, 1);
}

VIREO_SYSCORE_NODE;
static struct syscore_ops vireo_syscore_ops = {
	.suspend = vireo_suspend,
	.resume = vireo_resume,
	.shutdown = vireo_shutdown,
};

int vireo_hw_get(void)
{
	int r = 0;

	mutex_lock(&vireo_hw_lock);
	if (vireo_hw_users)
		goto count;

	r = vireo_kvm_join();
	if (r && r != -ENOENT) {
		pr_err("%s does not share the processors: error %d\n", vireo_owner(), r);
		goto out;
	}
	vireo_hw_is_shared = !r;

	r = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "virt/vireo:online",
			      vireo_cpu_online, vireo_cpu_offline);
	if (r < 0) {
		if (vireo_hw_is_shared)
			vireo_kvm_leave();
		goto out;
	}
	vireo_hw_state = r;
	WRITE_ONCE(vireo_hw_on, true);
	/* After KVM's, see above. */
	vireo_syscore_register(&vireo_syscore_ops);
count:
	vireo_hw_users++;
	r = 0;
out:
	mutex_unlock(&vireo_hw_lock);
	return r;
}

void vireo_hw_put(void)
{
	mutex_lock(&vireo_hw_lock);
	if (!--vireo_hw_users) {
		vireo_syscore_unregister(&vireo_syscore_ops);
		WRITE_ONCE(vireo_hw_on, false);
		cpuhp_remove_state(vireo_hw_state);
		if (vireo_hw_is_shared)
			vireo_kvm_leave();
		vireo_hw_is_shared = false;
	}
	mutex_unlock(&vireo_hw_lock);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The family: its operations, what they take, and its list of VMs.
 *
 * Locking: vireo_vms_lock for the list, and as long as somebody looks at a VM that was found there; nothing is copied to or
 * from users under it. A VM has its network namespace as long as that is there: it holds no reference, so that it
 * keeps no namespace, and the namespace's end is noticed; that needs the VM's nl.lock too, inside of the other.
 */
#include <linux/cred.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/timekeeping.h>
#include <net/net_namespace.h>

#include "../core.h"
#include "family.h"

DEFINE_XARRAY_ALLOC1(vireo_nl_vms);
static u32 next_number;

static const struct nla_policy policy_vm[] = {
	[VIREO_NL_A_VM] = NLA_POLICY_MIN(NLA_U32, 1),
};

static const struct nla_policy policy_vcpu[] = {
	[VIREO_NL_A_VM] = NLA_POLICY_MIN(NLA_U32, 1),
	[VIREO_NL_A_VCPU] = NLA_POLICY_MAX(NLA_U32, VIREO_MAX_VCPUS - 1),
};

static const struct nla_policy policy_thresholds[] = {
	[VIREO_NL_A_VM] = NLA_POLICY_MIN(NLA_U32, 1),
	[VIREO_NL_A_THRESHOLDS] = NLA_POLICY_NESTED(vireo_nl_policy_limits),
};

static const struct genl_ops nl_ops[] = {
	{
		.cmd = VIREO_NL_CMD_GET_INFO,
		.doit = vireo_nl_get_info,
	}, {
		.cmd = VIREO_NL_CMD_GET_VM,
		.policy = policy_vm,
		.maxattr = ARRAY_SIZE(policy_vm) - 1,
		.doit = vireo_nl_get_vm,
		.start = vireo_nl_dump_start,
		.dumpit = vireo_nl_dump_vms,
		.done = vireo_nl_dump_done,
	}, {
		.cmd = VIREO_NL_CMD_GET_VCPU,
		.policy = policy_vcpu,
		.maxattr = ARRAY_SIZE(policy_vcpu) - 1,
		.doit = vireo_nl_get_vcpu,
		.start = vireo_nl_dump_start,
		.dumpit = vireo_nl_dump_vcpus,
		.done = vireo_nl_dump_done,
	}, {
		.cmd = VIREO_NL_CMD_GET_STATS,
		.policy = policy_vm,
		.maxattr = ARRAY_SIZE(policy_vm) - 1,
		.start = vireo_nl_dump_start,
		.dumpit = vireo_nl_dump_vcpus,
		.done = vireo_nl_dump_done,
	}, {
		.cmd = VIREO_NL_CMD_SET_THRESHOLDS,
		.policy = policy_thresholds,
		.maxattr = ARRAY_SIZE(policy_thresholds) - 1,
		.doit = vireo_nl_set_thresholds,
	},
};

struct genl_family vireo_nl_family __ro_after_init = {
	.name = VIREO_NL_FAMILY,
	.version = VIREO_NL_VERSION,
	.netnsok = true,
	.parallel_ops = true,
	.ops = nl_ops,
	.n_ops = ARRAY_SIZE(nl_ops),
	.mcgrps = vireo_nl_groups,
	.n_mcgrps = ARRAY_SIZE(vireo_nl_groups),
	.module = THIS_MODULE,
};

int vireo_nl_vm_add(struct vireo_vm *vm)
{
	int r;

	vm->nl.uid = current_euid();
	vm->nl.pid = get_pid(task_tgid(current));
	vm->nl.created = ktime_get_boottime_ns();
	vireo_nl_event_init(vm);
	mutex_lock(&vireo_vms_lock);
	vm->nl.net = current->nsproxy->net_ns;
	r = xa_alloc_cyclic(&vireo_nl_vms, &vm->nl.number, vm, xa_limit_32b, &next_number, GFP_KERNEL_ACCOUNT);
	if (r >= 0)
		list_add(&vm->list, &vireo_vms);
	mutex_unlock(&vireo_vms_lock);
	if (r < 0) {
		put_pid(vm->nl.pid);
		return r;
	}
	vireo_nl_created(vm);
	return 0;
}

void vireo_nl_vm_remove(struct vireo_vm *vm)
{
	vireo_nl_destroyed(vm);
	mutex_lock(&vireo_vms_lock);
	xa_erase(&vireo_nl_vms, vm->nl.number);
	list_del(&vm->list);
	mutex_unlock(&vireo_vms_lock);
	vireo_nl_watch_end(vm);
}

void vireo_nl_vm_free(struct vireo_vm *vm)
{
	/* Its end may have killed it. */
	cancel_work_sync(&vm->nl.death);
	put_pid(vm->nl.pid);
}

/* Nobody can ask any more, or listens; the VMs stay. */
static void net_gone(struct net *net)
{
	struct vireo_vm *vm;

	mutex_lock(&vireo_vms_lock);
	list_for_each_entry(vm, &vireo_vms, list) {
		if (vm->nl.net != net)
			continue;
		mutex_lock(&vm->nl.lock);
		vm->nl.net = NULL;
		mutex_unlock(&vm->nl.lock);
	}
	mutex_unlock(&vireo_vms_lock);
}

static struct pernet_operations net_ops = {
	.exit = net_gone,
};

int vireo_nl_setup(void)
{
	int r = register_pernet_subsys(&net_ops);

	if (r)
		return r;
	r = genl_register_family(&vireo_nl_family);
	if (r)
		unregister_pernet_subsys(&net_ops);
	return r;
}

void vireo_nl_teardown(void)
{
	genl_unregister_family(&vireo_nl_family);
	unregister_pernet_subsys(&net_ops);
}

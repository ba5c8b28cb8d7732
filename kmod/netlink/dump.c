// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dumps: a message for each VM, or vCPU.
 *
 * A dump goes on whenever its receiver has read what there was, perhaps in another process. Who the sender is, and what
 * it may see, is found out at the first call, which is the sender's, and kept with its namespaces. Between calls
 * VMs come and go; a dump goes on by numbers, so each VM that is there all the time comes once.
 */
#include <linux/cred.h>
#include <linux/pid_namespace.h>
#include <linux/user_namespace.h>
#include <net/sock.h>

#include "../compat.h"
#include "../core.h"
#include "family.h"

/**
 * struct dump - what a dump keeps between calls, in netlink_callback.ctx
 * @user_ns: as in struct vireo_nl_viewer, with a reference
 * @pid_ns: likewise
 * @vm: number of the VM to go on with
 * @vcpu: id of its vCPU to go on with
 * @uid: as in struct vireo_nl_viewer
 * @all: likewise
 * @one: of VM @vm only
 */
struct dump {
	struct user_namespace *user_ns;
	struct pid_namespace *pid_ns;
	unsigned long vm;
	u32 vcpu;
	kuid_t uid;
	bool all;
	bool one;
};

static_assert(sizeof(struct dump) <= sizeof_field(struct netlink_callback, ctx));

static u8 dump_command(const struct netlink_callback *cb)
{
	const struct genlmsghdr *head = nlmsg_data(cb->nlh);

	return head->cmd;
}

static struct dump *dump_of(struct netlink_callback *cb)
{
	return (struct dump *)cb->ctx;
}

static void dump_viewer(struct netlink_callback *cb, struct vireo_nl_viewer *viewer)
{
	const struct dump *d = dump_of(cb);

	viewer->net = sock_net(cb->skb->sk);
	viewer->uid = d->uid;
	viewer->all = d->all;
	viewer->user_ns = d->user_ns;
	viewer->pid_ns = d->pid_ns;
}

int vireo_nl_dump_start(struct netlink_callback *cb)
{
	struct nlattr **attrs = vireo_nl_dump_attrs(cb);
	const u8 cmd = dump_command(cb);
	const struct nlattr *attr = attrs ? attrs[VIREO_NL_A_VM] : NULL;
	struct vireo_nl_viewer viewer;
	struct dump *d = dump_of(cb);
	struct vireo_vm *vm;

	vireo_nl_viewer(cb->skb, &viewer);
	if (cmd == VIREO_NL_CMD_GET_VM && attr) {
		NL_SET_ERR_MSG_ATTR(cb->extack, attr, "a dump is of all VMs");
		return -EINVAL;
	}
	if (cmd == VIREO_NL_CMD_GET_VCPU && attrs[VIREO_NL_A_VCPU]) {
		NL_SET_ERR_MSG_ATTR(cb->extack, attrs[VIREO_NL_A_VCPU], "a dump is of all vCPUs");
		return -EINVAL;
	}
	if (attr || cmd == VIREO_NL_CMD_GET_STATS) {
		mutex_lock(&vireo_vms_lock);
		vm = vireo_nl_find(&viewer, attr, cb->extack);
		mutex_unlock(&vireo_vms_lock);
		if (IS_ERR(vm))
			return PTR_ERR(vm);
		d->vm = nla_get_u32(attr);
		d->one = true;
	}
	if (cmd == VIREO_NL_CMD_GET_STATS)
		cb->min_dump_alloc = VIREO_NL_STATS_SIZE;
	d->uid = viewer.uid;
	d->all = viewer.all;
	d->user_ns = get_user_ns(viewer.user_ns);
	d->pid_ns = get_pid_ns(viewer.pid_ns);
	return 0;
}

int vireo_nl_dump_done(struct netlink_callback *cb)
{
	struct dump *d = dump_of(cb);

	put_user_ns(d->user_ns);
	put_pid_ns(d->pid_ns);
	return 0;
}

/* What a call comes to; @r: why it stopped. */
static int dump_result(const struct sk_buff *skb, int r)
{
	return r == -EMSGSIZE && skb->len ? skb->len : r;
}

static int dump_vm(struct sk_buff *skb, struct netlink_callback *cb, struct vireo_vm *vm,
		   const struct vireo_nl_viewer *viewer)
{
	void *head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &vireo_nl_family, NLM_F_MULTI,
				 VIREO_NL_CMD_GET_VM);

	if (!head)
		return -EMSGSIZE;
	if (vireo_nl_put_vm(skb, vm, viewer)) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

int vireo_nl_dump_vms(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct dump *d = dump_of(cb);
	struct vireo_nl_viewer viewer;
	unsigned long number;
	struct vireo_vm *vm;
	int r = 0;

	dump_viewer(cb, &viewer);
	mutex_lock(&vireo_vms_lock);
	xa_for_each_start(&vireo_nl_vms, number, vm, d->vm) {
		r = vireo_nl_visible(&viewer, vm) ? dump_vm(skb, cb, vm, &viewer) : 0;
		if (r)
			break;
		d->vm = number + 1;
	}
	mutex_unlock(&vireo_vms_lock);
	return dump_result(skb, r);
}

static int dump_vcpu(struct sk_buff *skb, struct netlink_callback *cb, struct vireo_vcpu *vcpu,
		     const struct vireo_nl_viewer *viewer)
{
	const u8 cmd = dump_command(cb);
	void *head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &vireo_nl_family, NLM_F_MULTI, cmd);

	if (!head)
		return -EMSGSIZE;
	if (vireo_nl_put_vcpu(skb, vcpu, viewer) ||
	    (cmd == VIREO_NL_CMD_GET_STATS && vireo_nl_put_exits(skb, vcpu))) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

static int dump_vcpus_of(struct sk_buff *skb, struct netlink_callback *cb, struct vireo_vm *vm,
			 const struct vireo_nl_viewer *viewer)
{
	struct dump *d = dump_of(cb);
	struct vireo_vcpu *vcpu;
	int r;

	while ((vcpu = vireo_vcpu_next(vm, &d->vcpu))) {
		r = dump_vcpu(skb, cb, vcpu, viewer);
		if (r)
			return r;
		d->vcpu++;
	}
	return 0;
}

static int dump_vcpus_one(struct sk_buff *skb, struct netlink_callback *cb, const struct vireo_nl_viewer *viewer)
{
	struct vireo_vm *vm = xa_load(&vireo_nl_vms, dump_of(cb)->vm);

	/* Gone in between. */
	if (!vm || !vireo_nl_visible(viewer, vm))
		return -ENOENT;
	return dump_vcpus_of(skb, cb, vm, viewer);
}

static int dump_vcpus_all(struct sk_buff *skb, struct netlink_callback *cb, const struct vireo_nl_viewer *viewer)
{
	struct dump *d = dump_of(cb);
	unsigned long number;
	struct vireo_vm *vm;
	int r;

	xa_for_each_start(&vireo_nl_vms, number, vm, d->vm) {
		if (number != d->vm) {
			d->vm = number;
			d->vcpu = 0;
		}
		r = vireo_nl_visible(viewer, vm) ? dump_vcpus_of(skb, cb, vm, viewer) : 0;
		if (r)
			return r;
		d->vm = number + 1;
		d->vcpu = 0;
	}
	return 0;
}

int vireo_nl_dump_vcpus(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct vireo_nl_viewer viewer;
	int r;

	dump_viewer(cb, &viewer);
	mutex_lock(&vireo_vms_lock);
	r = dump_of(cb)->one ? dump_vcpus_one(skb, cb, &viewer) : dump_vcpus_all(skb, cb, &viewer);
	mutex_unlock(&vireo_vms_lock);
	return dump_result(skb, r);
}

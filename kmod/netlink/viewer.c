// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may see which VM.
 *
 * A socket can be opened by one user and be written to by another, even by a program that is privileged and knows nothing of
 * it. So both of them must be who may see: capabilities are asked for in the way of all netlink families, and
 * users likewise.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/pid_namespace.h>
#include <net/sock.h>

#include "../core.h"
#include "family.h"

void vireo_nl_viewer(const struct sk_buff *skb, struct vireo_nl_viewer *viewer)
{
	const struct sock *sk = NETLINK_CB(skb).sk;
	const struct file *file = sk->sk_socket ? sk->sk_socket->file : NULL;

	viewer->net = sock_net(sk);
	viewer->uid = current_euid();
	if (!file || !uid_eq(file->f_cred->euid, viewer->uid))
		viewer->uid = INVALID_UID;
	viewer->all = file && netlink_ns_capable(skb, viewer->net->user_ns, CAP_NET_ADMIN);
	viewer->user_ns = current_user_ns();
	viewer->pid_ns = task_active_pid_ns(current);
}

bool vireo_nl_visible(const struct vireo_nl_viewer *viewer, const struct vireo_vm *vm)
{
	if (vm->nl.net != viewer->net)
		return false;
	return viewer->all || (uid_valid(viewer->uid) && uid_eq(viewer->uid, vm->nl.uid));
}

struct vireo_vm *vireo_nl_find(const struct vireo_nl_viewer *viewer, const struct nlattr *attr,
			       struct netlink_ext_ack *extack)
{
	struct vireo_vm *vm;

	lockdep_assert_held(&vireo_vms_lock);
	if (!attr) {
		NL_SET_ERR_ATTR_MISS(extack, NULL, VIREO_NL_A_VM);
		NL_SET_ERR_MSG(extack, "the number of a VM is missing");
		return ERR_PTR(-EINVAL);
	}
	vm = xa_load(&vireo_nl_vms, nla_get_u32(attr));
	if (vm && vireo_nl_visible(viewer, vm))
		return vm;
	NL_SET_ERR_MSG_ATTR(extack, attr, "there is no such VM, or it is another user's or network namespace's");
	return ERR_PTR(-ENOENT);
}

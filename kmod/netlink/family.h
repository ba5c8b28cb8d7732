/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the family offer each other. */
#ifndef VIREO_NETLINK_FAMILY_H
#define VIREO_NETLINK_FAMILY_H

#include <linux/xarray.h>
#include <net/genetlink.h>

#include "netlink.h"

/* family.c */
extern struct genl_family vireo_nl_family;

/* All VMs by number; changes, and use of what is found, under vireo_vms_lock. */
extern struct xarray vireo_nl_vms;

/* viewer.c */

/**
 * struct vireo_nl_viewer - who asks, and how much of it is the viewer's business
 * @net: network namespace of the socket
 * @uid: effective user of both who opened the socket and who sends; invalid: they are not the same
 * @all: may see all VMs of that namespace
 * @user_ns: in which users have numbers
 * @pid_ns: in which processes have
 *
 * Nothing of it is referenced: it is for the length of a request.
 */
struct vireo_nl_viewer {
	struct net *net;
	kuid_t uid;
	bool all;
	struct user_namespace *user_ns;
	struct pid_namespace *pid_ns;
};

/* The current thread sends @skb. */
void vireo_nl_viewer(const struct sk_buff *skb, struct vireo_nl_viewer *viewer);

bool vireo_nl_visible(const struct vireo_nl_viewer *viewer, const struct vireo_vm *vm);

/**
 * vireo_nl_find() - the VM that a request is about
 * @viewer: who asks
 * @attr: VIREO_NL_A_VM, or NULL
 * @extack: gets the reason
 *
 * Under vireo_vms_lock.  Return: VM, or -EINVAL, -ENOENT.
 */
struct vireo_vm *vireo_nl_find(const struct vireo_nl_viewer *viewer, const struct nlattr *attr,
			       struct netlink_ext_ack *extack);

/* put.c: attributes of a message; 0, or -EMSGSIZE. Under vireo_vms_lock, as no VM goes then. */
int vireo_nl_put_vm(struct sk_buff *skb, struct vireo_vm *vm, const struct vireo_nl_viewer *viewer);
int vireo_nl_put_vcpu(struct sk_buff *skb, struct vireo_vcpu *vcpu, const struct vireo_nl_viewer *viewer);
int vireo_nl_put_exits(struct sk_buff *skb, const struct vireo_vcpu *vcpu);

/* A message of VIREO_NL_CMD_GET_STATS has room in so much. */
#define VIREO_NL_STATS_SIZE	8192

/* request.c: the operations */
int vireo_nl_get_info(struct sk_buff *skb, struct genl_info *info);
int vireo_nl_get_vm(struct sk_buff *skb, struct genl_info *info);
int vireo_nl_get_vcpu(struct sk_buff *skb, struct genl_info *info);

/* dump.c */
int vireo_nl_dump_start(struct netlink_callback *cb);
int vireo_nl_dump_done(struct netlink_callback *cb);
int vireo_nl_dump_vms(struct sk_buff *skb, struct netlink_callback *cb);
int vireo_nl_dump_vcpus(struct sk_buff *skb, struct netlink_callback *cb);

#endif /* VIREO_NETLINK_FAMILY_H */

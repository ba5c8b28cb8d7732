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

/* Order of vireo_nl_groups[] and of what event.c makes of them */
enum {
	VIREO_NL_LIFECYCLE, VIREO_NL_PHASES, VIREO_NL_THRESHOLDS, VIREO_NL_GROUPS
};

/* event.c */
extern const struct genl_multicast_group vireo_nl_groups[VIREO_NL_GROUPS];

/**
 * struct vireo_nl_event - what there is to tell
 * @group: VIREO_NL_LIFECYCLE ...
 * @kind: &enum vireo_nl_life, &enum vireo_nl_operation, &enum vireo_nl_threshold
 * @vcpu: its id, -1: of none
 * @over: of a threshold
 * @phase: of an operation
 * @cause: NULL or empty: none
 * @value: pages, or what a threshold is about
 * @limit: all pages, or the threshold
 */
struct vireo_nl_event {
	u32 group, kind;
	int vcpu;
	bool over;
	const char *phase, *cause;
	u64 value, limit;
};

/* May sleep; takes nl.lock. */
void vireo_nl_event(struct vireo_vm *vm, const struct vireo_nl_event *e);
void vireo_nl_event_init(struct vireo_vm *vm);
void vireo_nl_created(struct vireo_vm *vm);
void vireo_nl_destroyed(struct vireo_vm *vm);

static inline enum vireo_nl_state vireo_nl_state(const struct vireo_vm *vm)
{
	return READ_ONCE(vm->dead) ? VIREO_NL_STATE_DEAD : READ_ONCE(vm->nl.state);
}

/* threshold.c */
extern const struct nla_policy vireo_nl_policy_limits[VIREO_NL_LIMIT_MAX + 1];
int vireo_nl_set_thresholds(struct sk_buff *skb, struct genl_info *info);
int vireo_nl_put_limits(struct sk_buff *skb, const struct vireo_vm *vm);

/* The watch goes, with whatever it is doing; under vireo_vms_lock, or nobody can find the VM. */
void vireo_nl_watch_end(struct vireo_vm *vm);

/* How many a second that is. */
u64 vireo_nl_rate(u64 count, u64 ns);

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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: what a VM's listeners are told without asking.
 *
 * Each has a number, whether or not anybody listens, so that who has missed some can see it; without listeners
 * that is all that happens. Numbers are given, and messages sent, under the VM's nl.lock: so they come in order, and
 * the network namespace stays as long as it takes: its end waits for the lock. A socket gets an event if who has opened it may
 * see the VM. What a listener has no room for is lost to it, and netlink tells it so (ENOBUFS); where there was no memory for
 * the message, this file does.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/nospec.h>
#include <linux/timekeeping.h>
#include <net/sock.h>

#include "../compat.h"
#include "../core.h"
#include "family.h"

/* Room for all attributes of an event. */
#define EVENT_SIZE 512

const struct genl_multicast_group vireo_nl_groups[VIREO_NL_GROUPS] = {
	[VIREO_NL_LIFECYCLE] = { .name = VIREO_NL_GROUP_LIFE, .flags = VIREO_NL_GROUP_FLAGS },
	[VIREO_NL_PHASES] = { .name = VIREO_NL_GROUP_PHASES, .flags = VIREO_NL_GROUP_FLAGS },
	[VIREO_NL_THRESHOLDS] = { .name = VIREO_NL_GROUP_THRESHOLDS, .flags = VIREO_NL_GROUP_FLAGS },
};

/* Not 0: the socket does not get it. */
static int event_filter(struct sock *sk, struct sk_buff *skb, void *data)
{
	const struct vireo_vm *vm = data;
	struct file *file = sk->sk_socket ? sk->sk_socket->file : NULL;

	if (!file || sock_net(sk) != vm->nl.net)
		return 1;
	return !uid_eq(file->f_cred->euid, vm->nl.uid) &&
	       !file_ns_capable(file, vm->nl.net->user_ns, CAP_NET_ADMIN);
}

static int put_common(struct sk_buff *skb, const struct vireo_vm *vm)
{
	return nla_put_u32(skb, VIREO_NL_A_VM, vm->nl.number) ?:
	       nla_put_string(skb, VIREO_NL_A_NAME, vm->name) ?:
	       nla_put_u64_64bit(skb, VIREO_NL_A_TIME, ktime_get_boottime_ns(), VIREO_NL_A_PAD) ?:
	       nla_put_u64_64bit(skb, VIREO_NL_A_SEQ, vm->nl.seq, VIREO_NL_A_PAD) ?:
	       nla_put_u32(skb, VIREO_NL_A_STATE, vireo_nl_state(vm));
}

static int put_vcpu(struct sk_buff *skb, const struct vireo_nl_event *e)
{
	return e->vcpu < 0 ? 0 : nla_put_u32(skb, VIREO_NL_A_VCPU, e->vcpu);
}

static int put_cause(struct sk_buff *skb, const struct vireo_nl_event *e)
{
	return e->cause && *e->cause ? nla_put_string(skb, VIREO_NL_A_CAUSE, e->cause) : 0;
}

static int put_life(struct sk_buff *skb, const struct vireo_nl_event *e)
{
	return nla_put_u32(skb, VIREO_NL_A_LIFE, e->kind) ?: put_vcpu(skb, e) ?: put_cause(skb, e);
}

static int put_phase(struct sk_buff *skb, const struct vireo_nl_event *e)
{
	return nla_put_u32(skb, VIREO_NL_A_OPERATION, e->kind) ?:
	       nla_put_string(skb, VIREO_NL_A_PHASE, e->phase) ?:
	       nla_put_u64_64bit(skb, VIREO_NL_A_PAGES, e->value, VIREO_NL_A_PAD) ?:
	       nla_put_u64_64bit(skb, VIREO_NL_A_TOTAL, e->limit, VIREO_NL_A_PAD) ?: put_cause(skb, e);
}

static int put_threshold(struct sk_buff *skb, const struct vireo_nl_event *e)
{
	return nla_put_u32(skb, VIREO_NL_A_THRESHOLD, e->kind) ?: nla_put_u32(skb, VIREO_NL_A_OVER, e->over) ?:
	       nla_put_u64_64bit(skb, VIREO_NL_A_VALUE, e->value, VIREO_NL_A_PAD) ?:
	       nla_put_u64_64bit(skb, VIREO_NL_A_LIMIT, e->limit, VIREO_NL_A_PAD) ?: put_vcpu(skb, e);
}

static const struct {
	u8 cmd;
	int (*put)(struct sk_buff *skb, const struct vireo_nl_event *e);
} event_groups[VIREO_NL_GROUPS] = {
	[VIREO_NL_LIFECYCLE] = { VIREO_NL_CMD_LIFE, put_life },
	[VIREO_NL_PHASES] = { VIREO_NL_CMD_PHASE, put_phase },
	[VIREO_NL_THRESHOLDS] = { VIREO_NL_CMD_THRESHOLD, put_threshold },
};

static struct sk_buff *event_build(const struct vireo_vm *vm, const struct vireo_nl_event *e)
{
	struct sk_buff *skb = genlmsg_new(EVENT_SIZE, GFP_KERNEL);
	void *head;

	if (!skb)
		return NULL;
	head = genlmsg_put(skb, 0, 0, &vireo_nl_family, 0, event_groups[e->group].cmd);
	if (!head || put_common(skb, vm) || event_groups[e->group].put(skb, e)) {
		WARN_ON_ONCE(1);
		nlmsg_free(skb);
		return NULL;
	}
	genlmsg_end(skb, head);
	return skb;
}

static void event_send(struct vireo_vm *vm, const struct vireo_nl_event *e)
{
	struct net *net = vm->nl.net;
	struct sk_buff *skb;

	lockdep_assert_held(&vm->nl.lock);
	/* A reader of the number sees the state that goes with it, or a newer one. */
	smp_store_release(&vm->nl.seq, vm->nl.seq + 1);
	if (!net || !genl_has_listeners(&vireo_nl_family, net, e->group))
		return;
	skb = event_build(vm, e);
	if (skb)
		vireo_nl_multicast(&vireo_nl_family, net, skb, e->group, event_filter, vm);
	else
		genl_set_err(&vireo_nl_family, net, 0, e->group, ENOBUFS);
}

void vireo_nl_event(struct vireo_vm *vm, const struct vireo_nl_event *e)
{
	might_sleep();
	mutex_lock(&vm->nl.lock);
	event_send(vm, e);
	mutex_unlock(&vm->nl.lock);
}

static void event_life(struct vireo_vm *vm, enum vireo_nl_life kind, int vcpu, const char *cause)
{
	const struct vireo_nl_event e = { .group = VIREO_NL_LIFECYCLE, .kind = kind, .vcpu = vcpu, .cause = cause };

	lockdep_assert_held(&vm->nl.lock);
	event_send(vm, &e);
}

static void event_state(struct vireo_vm *vm, enum vireo_nl_state state, enum vireo_nl_life kind, int vcpu,
			const char *cause)
{
	mutex_lock(&vm->nl.lock);
	WRITE_ONCE(vm->nl.state, state);
	event_life(vm, kind, vcpu, cause);
	mutex_unlock(&vm->nl.lock);
}

void vireo_nl_created(struct vireo_vm *vm)
{
	event_state(vm, VIREO_NL_STATE_NEW, VIREO_NL_LIFE_CREATED, -1, NULL);
}

/* Once; not behind the VM's last event. */
static void event_death(struct vireo_vm *vm)
{
	lockdep_assert_held(&vm->nl.lock);
	if (vm->nl.dead_told)
		return;
	vm->nl.dead_told = true;
	event_life(vm, VIREO_NL_LIFE_ERROR, -1, vm->dead_why);
}

void vireo_nl_destroyed(struct vireo_vm *vm)
{
	mutex_lock(&vm->nl.lock);
	/* Pairs with vireo_vm_kill(): the work may not have come to it yet. */
	if (smp_load_acquire(&vm->dead))
		event_death(vm);
	vm->nl.dead_told = true;
	event_life(vm, VIREO_NL_LIFE_DESTROYED, -1, NULL);
	mutex_unlock(&vm->nl.lock);
}

void vireo_nl_started(struct vireo_vcpu *vcpu)
{
	struct vireo_vm *vm = vcpu->vm;

	mutex_lock(&vm->nl.lock);
	if (!vm->nl.started) {
		vm->nl.started = true;
		if (vm->nl.state == VIREO_NL_STATE_NEW)
			WRITE_ONCE(vm->nl.state, VIREO_NL_STATE_RUNNING);
		event_life(vm, VIREO_NL_LIFE_STARTED, vcpu->id, NULL);
	}
	mutex_unlock(&vm->nl.lock);
}

void vireo_nl_shut(struct vireo_vcpu *vcpu)
{
	if (vcpu->was_shut)
		return;
	vcpu->was_shut = true;
	event_state(vcpu->vm, VIREO_NL_STATE_STOPPED, VIREO_NL_LIFE_TRIPLE_FAULT, vcpu->id, NULL);
}

void vireo_nl_revived(struct vireo_vcpu *vcpu)
{
	if (vcpu->mp_state == VIREO_MP_SHUTDOWN)
		return;
	vcpu->was_shut = false;
	event_state(vcpu->vm, VIREO_NL_STATE_RUNNING, VIREO_NL_LIFE_RESUMED, vcpu->id,
		    "the vCPU that was shut down has another state");
}

static void event_dead(struct work_struct *work)
{
	struct vireo_vm *vm = container_of(work, struct vireo_vm, nl.death);

	mutex_lock(&vm->nl.lock);
	event_death(vm);
	mutex_unlock(&vm->nl.lock);
}

void vireo_nl_dead(struct vireo_vm *vm)
{
	schedule_work(&vm->nl.death);
}

void vireo_nl_point(struct vireo_vm *vm, enum vireo_nl_operation kind, int r, u64 pages)
{
	char cause[24] = "";
	const struct vireo_nl_event e = {
		.group = VIREO_NL_PHASES, .kind = kind, .vcpu = -1, .phase = r ? "failed" : "done", .cause = cause, .value = pages,
	};

	if (unlikely(r))
		snprintf(cause, sizeof(cause), "error %d", -r);
	vireo_nl_event(vm, &e);
}

void vireo_nl_event_init(struct vireo_vm *vm)
{
	mutex_init(&vm->nl.lock);
	INIT_WORK(&vm->nl.death, event_dead);
}

/* ------------------------------------------------------------------ */
/* What the launcher reports                                            */

/* A text in an array: printable, and nothing behind it. */
static bool report_text_good(const char *text, size_t size)
{
	size_t i, n = strnlen(text, size);

	if (n == size || memchr_inv(text + n, 0, size - n))
		return false;
	for (i = 0; i < n; i++) {
		if ((u8)text[i] < ' ' || text[i] == 0x7f)
			return false;
	}
	return true;
}

static const struct {
	u8 state, life;
} report_states[] = {
	[VIREO_REPORT_PAUSED] = { VIREO_NL_STATE_PAUSED, VIREO_NL_LIFE_PAUSED },
	[VIREO_REPORT_RESUMED] = { VIREO_NL_STATE_RUNNING, VIREO_NL_LIFE_RESUMED },
	[VIREO_REPORT_STOPPED] = { VIREO_NL_STATE_STOPPED, VIREO_NL_LIFE_STOPPED },
};

int vireo_nl_report(struct vireo_vm *vm, const struct vireo_report *report)
{
	struct vireo_nl_event e = {
		.group = VIREO_NL_PHASES,
		.kind = VIREO_NL_OP_SNAPSHOT + (report->kind - VIREO_REPORT_SNAPSHOT),
		.vcpu = -1,
		.phase = report->phase,
		.cause = report->cause,
		.value = report->pages,
		.limit = report->total,
	};
	u32 kind;

	static_assert(sizeof(report->cause) == VIREO_NL_CAUSE_MAX + 1);
	static_assert(VIREO_NL_OP_RECEIVE - VIREO_NL_OP_SNAPSHOT == VIREO_REPORT_RECEIVE - VIREO_REPORT_SNAPSHOT);

	if (report->kind >= VIREO_REPORT_NR || !report_text_good(report->phase, sizeof(report->phase)) ||
	    !report_text_good(report->cause, sizeof(report->cause)))
		return -EINVAL;
	if (report->kind >= VIREO_REPORT_SNAPSHOT) {
		if (!*report->phase)
			return -EINVAL;
		vireo_nl_event(vm, &e);
		return 0;
	}
	if (*report->phase || report->pages || report->total)
		return -EINVAL;
	kind = array_index_nospec(report->kind, VIREO_REPORT_SNAPSHOT);
	event_state(vm, report_states[kind].state, report_states[kind].life, -1, report->cause);
	return 0;
}

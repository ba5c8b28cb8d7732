// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs and vCPUs as attributes.
 */
#include <linux/pid.h>
#include <linux/rcupdate.h>

#include "../core.h"
#include "../stats.h"
#include "family.h"

static int put_counters(struct sk_buff *skb, const u64 *values)
{
	struct nlattr *nest = nla_nest_start(skb, VIREO_NL_A_COUNTERS);
	u32 i;

	if (!nest)
		return -EMSGSIZE;
	for (i = VIREO_NL_COUNTER_UNSPEC + 1; i < VIREO_NL_COUNTER_PAD; i++) {
		if (nla_put_u64_64bit(skb, i, values[i], VIREO_NL_COUNTER_PAD))
			return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

static int put_memory(struct sk_buff *skb, struct vireo_vm *vm)
{
	struct nlattr *nest = nla_nest_start(skb, VIREO_NL_A_MEMORY);
	u64 values[VIREO_NL_MEMORY_MAX + 1];
	u32 i;

	if (!nest)
		return -EMSGSIZE;
	vireo_stats_memory(vm, values);
	for (i = VIREO_NL_MEMORY_UNSPEC + 1; i < VIREO_NL_MEMORY_PAD; i++) {
		if (nla_put_u64_64bit(skb, i, values[i], VIREO_NL_MEMORY_PAD))
			return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

int vireo_nl_put_vm(struct sk_buff *skb, struct vireo_vm *vm, const struct vireo_nl_viewer *viewer)
{
	u64 values[VIREO_NL_COUNTER_MAX + 1] = {};
	/* First: what else is said is not older. */
	const u64 seq = smp_load_acquire(&vm->nl.seq);
	struct vireo_vcpu *vcpu;
	u32 i, nr = 0;

	vireo_for_each_vcpu(i, vcpu, vm) {
		vireo_stats_vcpu(vcpu, values);
		nr++;
	}
	vireo_stats_vm(vm, values);
	if (nla_put_u32(skb, VIREO_NL_A_VM, vm->nl.number) ||
	    nla_put_string(skb, VIREO_NL_A_NAME, vm->name) ||
	    nla_put_u32(skb, VIREO_NL_A_UID, from_kuid_munged(viewer->user_ns, vm->nl.uid)) ||
	    nla_put_u32(skb, VIREO_NL_A_PID, pid_nr_ns(vm->nl.pid, viewer->pid_ns)) ||
	    nla_put_u32(skb, VIREO_NL_A_STATE, vireo_nl_state(vm)) ||
	    nla_put_u64_64bit(skb, VIREO_NL_A_SEQ, seq, VIREO_NL_A_PAD) ||
	    nla_put_u64_64bit(skb, VIREO_NL_A_CREATED, vm->nl.created, VIREO_NL_A_PAD) ||
	    nla_put_u32(skb, VIREO_NL_A_VCPUS, nr) ||
	    put_counters(skb, values) || put_memory(skb, vm) || vireo_nl_put_limits(skb, vm))
		return -EMSGSIZE;
	return 0;
}

int vireo_nl_put_vcpu(struct sk_buff *skb, struct vireo_vcpu *vcpu, const struct vireo_nl_viewer *viewer)
{
	u64 values[VIREO_NL_COUNTER_MAX + 1] = {};
	u32 tid;

	vireo_stats_vcpu(vcpu, values);
	/* Of the VM only. */
	rcu_read_lock();
	tid = pid_nr_ns(rcu_dereference(vcpu->thread), viewer->pid_ns);
	rcu_read_unlock();
	if (nla_put_u32(skb, VIREO_NL_A_VM, vcpu->vm->nl.number) ||
	    nla_put_u32(skb, VIREO_NL_A_VCPU, vcpu->id) ||
	    nla_put_u32(skb, VIREO_NL_A_TID, tid) ||
	    nla_put_s32(skb, VIREO_NL_A_CPU, READ_ONCE(vcpu->cpu)) ||
	    put_counters(skb, values))
		return -EMSGSIZE;
	return 0;
}

static int put_exit(struct sk_buff *skb, const struct vireo_vcpu *vcpu, u32 reason, bool timed)
{
	const struct vireo_times *t = &vcpu->times;
	struct nlattr *nest = nla_nest_start(skb, VIREO_NL_A_EXIT);

	if (!nest || nla_put_u32(skb, VIREO_NL_EXIT_REASON, reason) ||
	    nla_put_u64_64bit(skb, VIREO_NL_EXIT_COUNT, READ_ONCE(vcpu->counters.exits[reason]), VIREO_NL_EXIT_PAD))
		return -EMSGSIZE;
	if (timed && (nla_put_u64_64bit(skb, VIREO_NL_EXIT_CYCLES, READ_ONCE(t->cycles[reason]), VIREO_NL_EXIT_PAD) ||
		      nla_put(skb, VIREO_NL_EXIT_HISTOGRAM, sizeof(t->histogram[reason]), t->histogram[reason])))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

int vireo_nl_put_exits(struct sk_buff *skb, const struct vireo_vcpu *vcpu)
{
	u32 reason;

	for (reason = 0; reason < VIREO_EXIT_REASON_NR; reason++) {
		const bool timed = reason < VIREO_EXIT_HARDWARE_NR && READ_ONCE(vcpu->times.cycles[reason]);

		if (!timed && !READ_ONCE(vcpu->counters.exits[reason]))
			continue;
		if (put_exit(skb, vcpu, reason, timed))
			return -EMSGSIZE;
	}
	return 0;
}

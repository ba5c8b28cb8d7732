// SPDX-License-Identifier: GPL-2.0-only
/*
 * Thresholds: somebody looks at a VM from time to time, and says so when it does too much, or nothing.
 *
 * There is a watch, and work for it, only while a VM has a threshold. Rates are taken each second, of what was counted
 * since the last time; a vCPU stalls if nothing that it counts has changed for as long as was asked for.
 *
 * Locking: vm->nl.watch changes under vireo_vms_lock; what is in the watch, but for its limits, is its work's own.
 */
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include "../core.h"
#include "../stats.h"
#include "family.h"

#define RATE_MS		1000U
#define STALL_MIN_MS	100U
#define STALL_MAX_MS	(3600 * MSEC_PER_SEC)

/**
 * struct rate - something that is counted, and how much of it a second is too much
 * @limit: 0: any is fine
 * @last: what was counted when it was last looked at
 * @over: it was too much then
 */
struct rate {
	u64 limit;
	u64 last;
	bool over;
};

/**
 * struct vireo_nl_watch - the watch over a VM
 * @work: looks
 * @vm: at this
 * @exits: exits
 * @dirty: dirty pages
 * @rates_at: when rates were last taken, ns
 * @stall_ms: 0: a vCPU may do nothing for ever
 * @stalled: vCPUs that do
 * @vcpu: what each had counted when that last changed, and when that was seen, ns
 */
struct vireo_nl_watch {
	struct delayed_work work;
	struct vireo_vm *vm;
	struct rate exits, dirty;
	u64 rates_at;
	u32 stall_ms;
	u64 stalled;
	struct {
		u64 count, since;
	} vcpu[VIREO_MAX_VCPUS];
};

static u64 vm_exits(struct vireo_vm *vm)
{
	struct vireo_vcpu *vcpu;
	u64 sum = 0;
	u32 i;

	vireo_for_each_vcpu(i, vcpu, vm)
		sum += vireo_stats_exits(vcpu);
	return sum;
}

u64 vireo_nl_rate(u64 count, u64 ns)
{
	return ns ? mul_u64_u64_div_u64(count, NSEC_PER_SEC, ns) : 0;
}

static void watch_rate(struct vireo_nl_watch *w, struct rate *rate, enum vireo_nl_threshold kind, u64 now, u64 ns)
{
	const u64 limit = READ_ONCE(rate->limit), value = vireo_nl_rate(now - rate->last, ns);
	const bool over = limit && value > limit;
	const struct vireo_nl_event e = {
		.group = VIREO_NL_THRESHOLDS, .kind = kind, .vcpu = -1, .over = over, .value = value, .limit = limit,
	};

	rate->last = now;
	/* A limit that is taken away ends it without a word. */
	if (over != rate->over && limit)
		vireo_nl_event(w->vm, &e);
	rate->over = over;
}

static void watch_stall(struct vireo_nl_watch *w, struct vireo_vcpu *vcpu, u64 now)
{
	const u64 count = vireo_stats_exits(vcpu) + READ_ONCE(vcpu->counters.interpreted), bit = BIT_ULL(vcpu->id);
	const u32 limit = READ_ONCE(w->stall_ms);
	struct vireo_nl_event e = {
		.group = VIREO_NL_THRESHOLDS, .kind = VIREO_NL_THRESHOLD_STALL, .vcpu = vcpu->id, .limit = limit,
	};

	if (count != w->vcpu[vcpu->id].count || READ_ONCE(vcpu->mp_state) != VIREO_MP_RUNNABLE ||
	    vireo_nl_state(w->vm) != VIREO_NL_STATE_RUNNING || !limit) {
		e.value = div_u64(now - w->vcpu[vcpu->id].since, NSEC_PER_MSEC);
		w->vcpu[vcpu->id].count = count;
		w->vcpu[vcpu->id].since = now;
		if (!(w->stalled & bit))
			return;
		w->stalled &= ~bit;
		if (limit)
			vireo_nl_event(w->vm, &e);
		return;
	}
	e.over = true;
	e.value = div_u64(now - w->vcpu[vcpu->id].since, NSEC_PER_MSEC);
	if (e.value < limit || (w->stalled & bit))
		return;
	w->stalled |= bit;
	vireo_nl_event(w->vm, &e);
}

static unsigned long watch_period(const struct vireo_nl_watch *w)
{
	const u32 stall = READ_ONCE(w->stall_ms);

	return msecs_to_jiffies(stall ? min(stall, RATE_MS) : RATE_MS);
}

static void watch_look(struct work_struct *work)
{
	struct vireo_nl_watch *w = container_of(to_delayed_work(work), struct vireo_nl_watch, work);
	const u64 now = ktime_get_ns(), ns = now - w->rates_at;
	struct vireo_vcpu *vcpu;
	u32 i;

	/* Work can come a little early. */
	if (ns >= (RATE_MS - 10) * (u64)NSEC_PER_MSEC) {
		w->rates_at = now;
		watch_rate(w, &w->exits, VIREO_NL_THRESHOLD_EXITS, vm_exits(w->vm), ns);
		watch_rate(w, &w->dirty, VIREO_NL_THRESHOLD_DIRTY, vireo_stats_dirtied(w->vm), ns);
	}
	vireo_for_each_vcpu(i, vcpu, w->vm)
		watch_stall(w, vcpu, now);
	schedule_delayed_work(&w->work, watch_period(w));
}

static struct vireo_nl_watch *watch_new(struct vireo_vm *vm)
{
	struct vireo_nl_watch *w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	const u64 now = ktime_get_ns();
	u32 i;

	if (!w)
		return NULL;
	INIT_DELAYED_WORK(&w->work, watch_look);
	w->vm = vm;
	w->rates_at = now;
	w->exits.last = vm_exits(vm);
	w->dirty.last = vireo_stats_dirtied(vm);
	for (i = 0; i < VIREO_MAX_VCPUS; i++)
		w->vcpu[i].since = now;
	return w;
}

void vireo_nl_watch_end(struct vireo_vm *vm)
{
	struct vireo_nl_watch *w = vm->nl.watch;

	if (!w)
		return;
	vm->nl.watch = NULL;
	cancel_delayed_work_sync(&w->work);
	kfree(w);
}

/* Not constant: 6.1 would not take it. */
static struct netlink_range_validation stall_range = { .max = STALL_MAX_MS };

const struct nla_policy vireo_nl_policy_limits[VIREO_NL_LIMIT_MAX + 1] = {
	[VIREO_NL_LIMIT_EXITS] = { .type = NLA_U64 },
	[VIREO_NL_LIMIT_DIRTY] = { .type = NLA_U64 },
	[VIREO_NL_LIMIT_STALL] = NLA_POLICY_FULL_RANGE(NLA_U32, &stall_range),
};

int vireo_nl_put_limits(struct sk_buff *skb, const struct vireo_vm *vm)
{
	const struct vireo_nl_watch *w = vm->nl.watch;
	struct nlattr *nest;

	if (!w)
		return 0;
	nest = nla_nest_start(skb, VIREO_NL_A_THRESHOLDS);
	if (!nest ||
	    (w->exits.limit && nla_put_u64_64bit(skb, VIREO_NL_LIMIT_EXITS, w->exits.limit, VIREO_NL_LIMIT_PAD)) ||
	    (w->dirty.limit && nla_put_u64_64bit(skb, VIREO_NL_LIMIT_DIRTY, w->dirty.limit, VIREO_NL_LIMIT_PAD)) ||
	    (w->stall_ms && nla_put_u32(skb, VIREO_NL_LIMIT_STALL, w->stall_ms)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/* What @limits, all of them checked, come to for a VM. */
static int set_limits(struct vireo_vm *vm, struct nlattr **limits)
{
	struct vireo_nl_watch *w = vm->nl.watch;
	const bool had = w;

	if (!had)
		w = watch_new(vm);
	if (!w)
		return -ENOMEM;
	if (limits[VIREO_NL_LIMIT_EXITS])
		WRITE_ONCE(w->exits.limit, nla_get_u64(limits[VIREO_NL_LIMIT_EXITS]));
	if (limits[VIREO_NL_LIMIT_DIRTY])
		WRITE_ONCE(w->dirty.limit, nla_get_u64(limits[VIREO_NL_LIMIT_DIRTY]));
	if (limits[VIREO_NL_LIMIT_STALL])
		WRITE_ONCE(w->stall_ms, nla_get_u32(limits[VIREO_NL_LIMIT_STALL]));
	vm->nl.watch = w;
	if (!w->exits.limit && !w->dirty.limit && !w->stall_ms)
		vireo_nl_watch_end(vm);
	else
		mod_delayed_work(system_wq, &w->work, watch_period(w));
	return 0;
}

int vireo_nl_set_thresholds(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *limits[VIREO_NL_LIMIT_MAX + 1], *nest = info->attrs[VIREO_NL_A_THRESHOLDS];
	struct vireo_nl_viewer viewer;
	struct vireo_vm *vm;
	u32 stall;
	int r;

	if (!nest) {
		NL_SET_ERR_ATTR_MISS(info->extack, NULL, VIREO_NL_A_THRESHOLDS);
		NL_SET_ERR_MSG(info->extack, "the thresholds are missing");
		return -EINVAL;
	}
	r = nla_parse_nested(limits, VIREO_NL_LIMIT_MAX, nest, vireo_nl_policy_limits, info->extack);
	if (r)
		return r;
	stall = limits[VIREO_NL_LIMIT_STALL] ? nla_get_u32(limits[VIREO_NL_LIMIT_STALL]) : 0;
	if (stall && stall < STALL_MIN_MS) {
		NL_SET_ERR_MSG_ATTR(info->extack, limits[VIREO_NL_LIMIT_STALL],
				    "a vCPU cannot be said to stall in less than 100 ms");
		return -ERANGE;
	}
	vireo_nl_viewer(skb, &viewer);
	mutex_lock(&vireo_vms_lock);
	vm = vireo_nl_find(&viewer, info->attrs[VIREO_NL_A_VM], info->extack);
	r = IS_ERR(vm) ? PTR_ERR(vm) : set_limits(vm, limits);
	mutex_unlock(&vireo_vms_lock);
	return r;
}

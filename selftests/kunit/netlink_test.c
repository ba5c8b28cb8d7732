// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is counted, and its way into messages: stopwatches, buckets, rates, attributes, reports; the death of a VM, which nobody
 * can cause from outside.
 */
#include <kunit/test.h>
#include <linux/file.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "../../kmod/netlink/family.h"
#include "../../kmod/stats.h"
#include "test_vm.h"

extern struct kunit_suite vireo_netlink_suite;

static void stopwatch(struct kunit *test)
{
	u64 w = 0;

	KUNIT_EXPECT_EQ(test, vireo_watch_read(w, 1000), 0);
	w = vireo_watch_start(w, 1000);
	KUNIT_EXPECT_EQ(test, vireo_watch_read(w, 1000), 0);
	KUNIT_EXPECT_EQ(test, vireo_watch_read(w, 1234), 234);
	w = vireo_watch_stop(w, 1500);
	KUNIT_EXPECT_EQ(test, vireo_watch_read(w, 9999), 500);
	w = vireo_watch_start(w, 10000);
	KUNIT_EXPECT_EQ(test, vireo_watch_read(w, 10001), 501);
	/* The 63 bits are enough for a time that is far away. */
	w = vireo_watch_stop(w, 10000 + (1ULL << 60));
	KUNIT_EXPECT_EQ(test, vireo_watch_read(w, 0), 500 + (1ULL << 60));
	w = vireo_watch_start(0, U64_MAX - 5);
	KUNIT_EXPECT_EQ(test, vireo_watch_read(w, 10), 16);
	w = vireo_watch_stop(w, 10);
	KUNIT_EXPECT_EQ(test, vireo_watch_read(w, 0), 16);
}

static void buckets(struct kunit *test)
{
	u32 i;

	KUNIT_EXPECT_EQ(test, vireo_times_bucket(0), 0);
	for (i = 0; i < VIREO_NL_BUCKETS; i++) {
		KUNIT_EXPECT_EQ(test, vireo_times_bucket(BIT(i)), i);
		KUNIT_EXPECT_EQ(test, vireo_times_bucket(BIT(i) | (BIT(i) - 1)), i);
	}
	KUNIT_EXPECT_EQ(test, vireo_times_bucket(U32_MAX), VIREO_NL_BUCKETS - 1);
}

static void times(struct kunit *test)
{
	struct vireo_vcpu *vcpu = kunit_kzalloc(test, sizeof(*vcpu), GFP_KERNEL);
	u64 sum = 0;
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, vcpu);
	vireo_times_begin(vcpu);
	KUNIT_EXPECT_NE(test, vcpu->times.first, 0);
	KUNIT_EXPECT_EQ(test, vcpu->times.mark, vcpu->times.first);
	vireo_times_enter_again(vcpu);
	KUNIT_EXPECT_EQ(test, vcpu->times.cycles[VIREO_EXIT_NONE] >> 40, 0);

	/* An exit in the inner loop: its time is what is left of the TSC's low half. */
	vcpu->exit.reason = VIREO_EXIT_CPUID;
	vireo_times_enter(vcpu, vireo_tsc_low() - 1000);
	KUNIT_EXPECT_GE(test, vcpu->times.cycles[VIREO_EXIT_CPUID], 1000);

	/* One to user space: neither that nor waiting is its time. */
	vcpu->exit.reason = VIREO_EXIT_IO;
	vireo_times_leave(vcpu, vireo_tsc_low());
	vireo_times_wait(vcpu);
	vcpu->times.away -= 1ULL << 50;
	vcpu->times.halted += 1ULL << 51;
	vireo_times_waited(vcpu);
	vireo_times_end(vcpu);
	vcpu->times.away -= 1ULL << 50;
	vcpu->times.user += 1ULL << 51;
	vireo_times_begin(vcpu);
	vcpu->times.mark -= 2ULL << 50;
	vireo_times_enter_again(vcpu);
	KUNIT_EXPECT_EQ(test, vcpu->times.cycles[VIREO_EXIT_IO] >> 50, 0);
	KUNIT_EXPECT_EQ(test, vireo_watch_read(vcpu->times.user, 0) >> 50, 1);
	KUNIT_EXPECT_EQ(test, vireo_watch_read(vcpu->times.halted, 0) >> 50, 1);
	for (i = 0; i < VIREO_NL_BUCKETS; i++)
		sum += vcpu->times.histogram[VIREO_EXIT_IO][i];
	KUNIT_EXPECT_EQ(test, sum, 1);
}

static void rates(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, vireo_nl_rate(0, NSEC_PER_SEC), 0);
	KUNIT_EXPECT_EQ(test, vireo_nl_rate(5, 0), 0);
	KUNIT_EXPECT_EQ(test, vireo_nl_rate(1000, NSEC_PER_SEC), 1000);
	KUNIT_EXPECT_EQ(test, vireo_nl_rate(1000, 2ULL * NSEC_PER_SEC), 500);
	KUNIT_EXPECT_EQ(test, vireo_nl_rate(1ULL << 40, NSEC_PER_SEC), 1ULL << 40);
}

/* With everything in it, a message of statistics has room in what is promised. */
static void exits_fit(struct kunit *test)
{
	struct vireo_vcpu *vcpu = kunit_kzalloc(test, sizeof(*vcpu), GFP_KERNEL);
	struct sk_buff *skb = alloc_skb(VIREO_NL_STATS_SIZE, GFP_KERNEL);
	const struct nlattr *attr;
	u32 i, n = 0;
	int rest;

	KUNIT_ASSERT_NOT_NULL(test, vcpu);
	KUNIT_ASSERT_NOT_NULL(test, skb);
	/* What comes before: head, numbers, counters. */
	skb_put(skb, NLMSG_HDRLEN + GENL_HDRLEN + 4 * 8 + NLA_HDRLEN + VIREO_NL_COUNTER_MAX * 12);
	rest = skb->len;
	for (i = 0; i < VIREO_EXIT_REASON_NR; i++)
		vcpu->counters.exits[i] = U64_MAX;
	for (i = 0; i < VIREO_EXIT_HARDWARE_NR; i++)
		vcpu->times.cycles[i] = U64_MAX;
	/* Numbers that are no reasons do not come. */
	for (i = VIREO_EXIT_HARDWARE_NR; i < VIREO_EXIT_MMIO; i++)
		vcpu->counters.exits[i] = 0;
	KUNIT_EXPECT_EQ(test, vireo_nl_put_exits(skb, vcpu), 0);
	KUNIT_EXPECT_LE(test, skb->len, VIREO_NL_STATS_SIZE);
	attr = (void *)skb->data + rest;
	for (rest = skb->len - rest; nla_ok(attr, rest); attr = nla_next(attr, &rest)) {
		KUNIT_EXPECT_EQ(test, nla_type(attr), VIREO_NL_A_EXIT);
		n++;
	}
	KUNIT_EXPECT_EQ(test, rest, 0);
	KUNIT_EXPECT_EQ(test, n, VIREO_EXIT_HARDWARE_NR + VIREO_EXIT_REASON_NR - VIREO_EXIT_MMIO);
	kfree_skb(skb);

	skb = alloc_skb(512, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, skb);
	KUNIT_EXPECT_EQ(test, vireo_nl_put_exits(skb, vcpu), -EMSGSIZE);
	kfree_skb(skb);
}

static int parse_limits(u16 type, const void *data, int len)
{
	struct nlattr *tb[VIREO_NL_LIMIT_MAX + 1], *nest;
	struct sk_buff *skb = alloc_skb(256, GFP_KERNEL);
	int r = -ENOMEM;

	if (!skb)
		return r;
	nest = nla_nest_start(skb, VIREO_NL_A_THRESHOLDS);
	r = nla_put(skb, type, len, data);
	nla_nest_end(skb, nest);
	r = r ?: nla_parse_nested(tb, VIREO_NL_LIMIT_MAX, nest, vireo_nl_policy_limits, NULL);
	kfree_skb(skb);
	return r;
}

static void limits(struct kunit *test)
{
	const u32 most = 3600 * 1000, more = most + 1;
	const u64 any = U64_MAX;

	KUNIT_EXPECT_EQ(test, parse_limits(VIREO_NL_LIMIT_EXITS, &any, 8), 0);
	KUNIT_EXPECT_EQ(test, parse_limits(VIREO_NL_LIMIT_DIRTY, &any, 8), 0);
	KUNIT_EXPECT_EQ(test, parse_limits(VIREO_NL_LIMIT_STALL, &most, 4), 0);
	KUNIT_EXPECT_EQ(test, parse_limits(VIREO_NL_LIMIT_STALL, &more, 4), -ERANGE);
	KUNIT_EXPECT_NE(test, parse_limits(VIREO_NL_LIMIT_STALL, &any, 8), 0);
	KUNIT_EXPECT_NE(test, parse_limits(VIREO_NL_LIMIT_EXITS, &any, 4), 0);
	KUNIT_EXPECT_NE(test, parse_limits(VIREO_NL_LIMIT_MAX + 1, &any, 8), 0);
	KUNIT_EXPECT_NE(test, parse_limits(VIREO_NL_LIMIT_PAD, &any, 0), 0);
}

static int report(struct vireo_vm *vm, u32 kind, const char *phase, const char *cause, u64 pages)
{
	struct vireo_report r = { .size = sizeof(r), .kind = kind, .pages = pages };

	strscpy(r.phase, phase, sizeof(r.phase));
	strscpy(r.cause, cause, sizeof(r.cause));
	return vireo_nl_report(vm, &r);
}

/* Numbers count what was told; what is refused changes nothing.  Nobody listens: there is no network namespace. */
static void reports(struct kunit *test)
{
	struct vireo_vm *vm = kunit_kzalloc(test, sizeof(*vm), GFP_KERNEL);
	u32 kind;

	KUNIT_ASSERT_NOT_NULL(test, vm);
	vireo_nl_event_init(vm);
	KUNIT_EXPECT_EQ(test, vireo_nl_state(vm), VIREO_NL_STATE_NEW);
	KUNIT_EXPECT_EQ(test, report(vm, VIREO_REPORT_PAUSED, "", "why not", 0), 0);
	KUNIT_EXPECT_EQ(test, vireo_nl_state(vm), VIREO_NL_STATE_PAUSED);
	KUNIT_EXPECT_EQ(test, report(vm, VIREO_REPORT_RESUMED, "", "", 0), 0);
	KUNIT_EXPECT_EQ(test, vireo_nl_state(vm), VIREO_NL_STATE_RUNNING);
	for (kind = VIREO_REPORT_SNAPSHOT; kind < VIREO_REPORT_NR; kind++)
		KUNIT_EXPECT_EQ(test, report(vm, kind, "begin", "", 1), 0);
	KUNIT_EXPECT_EQ(test, vm->nl.seq, 2 + VIREO_REPORT_NR - VIREO_REPORT_SNAPSHOT);
	KUNIT_EXPECT_EQ(test, report(vm, VIREO_REPORT_NR, "begin", "", 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, report(vm, VIREO_REPORT_SAVE, "", "", 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, report(vm, VIREO_REPORT_STOPPED, "x", "", 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, report(vm, VIREO_REPORT_STOPPED, "", "\n", 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, report(vm, VIREO_REPORT_STOPPED, "", "", 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, vm->nl.seq, 2 + VIREO_REPORT_NR - VIREO_REPORT_SNAPSHOT);
	KUNIT_EXPECT_EQ(test, vireo_nl_state(vm), VIREO_NL_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, report(vm, VIREO_REPORT_STOPPED, "", "f\xc3\xbcr heute", 0), 0);
	vireo_nl_point(vm, VIREO_NL_OP_ROLLBACK, -EBUSY, 0);
	KUNIT_EXPECT_EQ(test, vm->nl.seq, 4 + VIREO_REPORT_NR - VIREO_REPORT_SNAPSHOT);
	vm->dead = true;
	KUNIT_EXPECT_EQ(test, vireo_nl_state(vm), VIREO_NL_STATE_DEAD);
}

/* A socket that hears of lifecycles, as a program has it: with a file */
static struct socket *listener(struct kunit *test)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int group = vireo_nl_family.mcgrp_offset + VIREO_NL_LIFECYCLE;
	struct socket *sock;

	KUNIT_ASSERT_EQ(test, sock_create_kern(&init_net, PF_NETLINK, SOCK_RAW, NETLINK_GENERIC, &sock), 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(sock_alloc_file(sock, 0, NULL)));
	KUNIT_EXPECT_EQ(test, kernel_bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(sock->ops)->setsockopt(sock, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, KERNEL_SOCKPTR(&group),
							       sizeof(group)), 0);
	return sock;
}

/* The next event of a VM of that name, and its cause; -1: there is none. */
static int heard(struct socket *sock, const char *name, u64 *seq, u32 *state, char *cause, size_t room)
{
	static char buffer[1024];
	const struct nlmsghdr *head = (void *)buffer;
	struct nlattr *tb[VIREO_NL_A_MAX + 1];
	struct kvec iov = { buffer, sizeof(buffer) };
	struct msghdr msg = {};
	int n;

	for (;;) {
		n = kernel_recvmsg(sock, &msg, &iov, 1, sizeof(buffer), MSG_DONTWAIT);
		if (n < 0)
			return -1;
		if (nlmsg_parse_deprecated(head, GENL_HDRLEN, tb, VIREO_NL_A_MAX, NULL, NULL) || !tb[VIREO_NL_A_LIFE] ||
		    nla_strcmp(tb[VIREO_NL_A_NAME], name))
			continue;
		*seq = nla_get_u64(tb[VIREO_NL_A_SEQ]);
		*state = nla_get_u32(tb[VIREO_NL_A_STATE]);
		*cause = '\0';
		if (tb[VIREO_NL_A_CAUSE])
			nla_strscpy(cause, tb[VIREO_NL_A_CAUSE], room);
		return nla_get_u32(tb[VIREO_NL_A_LIFE]);
	}
}

#define HEARD(life, seq_, state_, cause_) do {						\
	KUNIT_EXPECT_EQ(test, heard(sock, vm->name, &seq, &state, cause, sizeof(cause)), life);	\
	KUNIT_EXPECT_EQ(test, seq, seq_);						\
	KUNIT_EXPECT_EQ(test, state, state_);						\
	KUNIT_EXPECT_STREQ(test, cause, cause_);					\
} while (0)

#define HEARD_NO_MORE() KUNIT_EXPECT_EQ(test, heard(sock, vm->name, &seq, &state, cause, sizeof(cause)), -1)

/* It is told once, with the first cause; and before the VM's end, or not at all. */
static void deaths(struct kunit *test)
{
	struct socket *sock = listener(test);
	struct vireo_vm *vm;
	char cause[64];
	u32 state, i;
	u64 seq;

	for (i = 0; i < 3; i++) {
		vm = kunit_kzalloc(test, sizeof(*vm), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, vm);
		vireo_nl_event_init(vm);
		vm->nl.net = &init_net;
		strscpy(vm->name, "a test of KUnit", sizeof(vm->name));
		switch (i) {
		case 0:
			vireo_vm_kill(vm, "for a test");
			vireo_vm_kill(vm, "for nothing");
			flush_work(&vm->nl.death);
			HEARD(VIREO_NL_LIFE_ERROR, 1, VIREO_NL_STATE_DEAD, "for a test");
			HEARD_NO_MORE();
			vireo_nl_destroyed(vm);
			HEARD(VIREO_NL_LIFE_DESTROYED, 2, VIREO_NL_STATE_DEAD, "");
			break;
		case 1:
			/* Whether or not the work has come to it */
			vireo_vm_kill(vm, "in a hurry");
			vireo_nl_destroyed(vm);
			flush_work(&vm->nl.death);
			HEARD(VIREO_NL_LIFE_ERROR, 1, VIREO_NL_STATE_DEAD, "in a hurry");
			HEARD(VIREO_NL_LIFE_DESTROYED, 2, VIREO_NL_STATE_DEAD, "");
			break;
		default:
			vireo_nl_destroyed(vm);
			vireo_vm_kill(vm, "too late");
			flush_work(&vm->nl.death);
			HEARD(VIREO_NL_LIFE_DESTROYED, 1, VIREO_NL_STATE_NEW, "");
		}
		HEARD_NO_MORE();
	}
	/* With it, the socket */
	fput(sock->file);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(stopwatch),
	KUNIT_CASE(buckets),
	KUNIT_CASE(times),
	KUNIT_CASE(rates),
	KUNIT_CASE(exits_fit),
	KUNIT_CASE(limits),
	KUNIT_CASE(reports),
	KUNIT_CASE(deaths),
	{}
};

struct kunit_suite vireo_netlink_suite = {
	.name = "vireo-netlink",
	.test_cases = cases,
};

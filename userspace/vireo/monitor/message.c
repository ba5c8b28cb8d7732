// SPDX-License-Identifier: GPL-2.0-only
/*
 * libnl's nla_parse() checks types and lengths, but ends without a word where attributes are cut off: whole() looks at that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>

#include "message.h"

#define U32		{ .type = NLA_U32, .minlen = 4, .maxlen = 4 }
#define U64		{ .type = NLA_U64, .minlen = 8, .maxlen = 8 }
#define TEXT(room)	{ .type = NLA_STRING, .minlen = 1, .maxlen = (room) }
#define NEST		{ .type = NLA_NESTED }

static const struct nla_policy policy[VIREO_NL_A_MAX + 1] = {
	[VIREO_NL_A_VM] = U32,
	[VIREO_NL_A_NAME] = TEXT(MONITOR_NAME),
	[VIREO_NL_A_UID] = U32,
	[VIREO_NL_A_PID] = U32,
	[VIREO_NL_A_STATE] = U32,
	[VIREO_NL_A_CREATED] = U64,
	[VIREO_NL_A_TIME] = U64,
	[VIREO_NL_A_SEQ] = U64,
	[VIREO_NL_A_VCPUS] = U32,
	[VIREO_NL_A_VCPU] = U32,
	[VIREO_NL_A_TID] = U32,
	[VIREO_NL_A_CPU] = { .type = NLA_S32, .minlen = 4, .maxlen = 4 },
	[VIREO_NL_A_COUNTERS] = NEST,
	[VIREO_NL_A_MEMORY] = NEST,
	[VIREO_NL_A_EXIT] = NEST,
	[VIREO_NL_A_THRESHOLDS] = NEST,
	[VIREO_NL_A_LIFE] = U32,
	[VIREO_NL_A_CAUSE] = TEXT(VIREO_NL_CAUSE_MAX + 1),
	[VIREO_NL_A_OPERATION] = U32,
	[VIREO_NL_A_PHASE] = TEXT(MONITOR_PHASE),
	[VIREO_NL_A_PAGES] = U64,
	[VIREO_NL_A_TOTAL] = U64,
	[VIREO_NL_A_THRESHOLD] = U32,
	[VIREO_NL_A_OVER] = U32,
	[VIREO_NL_A_VALUE] = U64,
	[VIREO_NL_A_LIMIT] = U64,
	[VIREO_NL_A_VERSION] = TEXT(64),
	[VIREO_NL_A_TSC_KHZ] = U32,
	[VIREO_NL_A_STATS] = U32,
};

static const struct nla_policy exit_policy[VIREO_NL_EXIT_MAX + 1] = {
	[VIREO_NL_EXIT_REASON] = U32,
	[VIREO_NL_EXIT_COUNT] = U64,
	[VIREO_NL_EXIT_CYCLES] = U64,
	[VIREO_NL_EXIT_HISTOGRAM] = { .type = NLA_UNSPEC, .minlen = VIREO_NL_BUCKETS * 4, .maxlen = VIREO_NL_BUCKETS * 4 },
};

static const struct nla_policy limit_policy[VIREO_NL_LIMIT_MAX + 1] = {
	[VIREO_NL_LIMIT_EXITS] = U64,
	[VIREO_NL_LIMIT_DIRTY] = U64,
	[VIREO_NL_LIMIT_STALL] = U32,
};

static bool whole(struct nlattr *head, int len)
{
	struct nlattr *attr;
	int left;

	nla_for_each_attr(attr, head, len, left)
		;
	return left <= 0;
}

static int parse(struct nlattr **tb, int max, struct nlattr *head, int len, const struct nla_policy *with)
{
	return whole(head, len) && !nla_parse(tb, max, head, len, with) ? 0 : -EBADMSG;
}

static int parse_message(const struct nlmsghdr *header, struct nlattr **tb)
{
	struct genlmsghdr *genl;

	if (!genlmsg_valid_hdr((struct nlmsghdr *)header, 0))
		return -EBADMSG;
	genl = genlmsg_hdr((struct nlmsghdr *)header);
	return parse(tb, VIREO_NL_A_MAX, genlmsg_attrdata(genl, 0), genlmsg_attrlen(genl, 0), policy);
}

static uint32_t u32(const struct nlattr *attr)
{
	return attr ? nla_get_u32(attr) : 0;
}

static uint64_t u64(struct nlattr *attr)
{
	return attr ? nla_get_u64(attr) : 0;
}

/* The policy has seen to its end and that there is room. */
static void text(char *out, size_t room, const struct nlattr *attr)
{
	*out = '\0';
	if (attr)
		nla_strlcpy(out, attr, room);
}

/* A nest of so many u64, by number */
static int numbers(struct nlattr *nest, uint64_t *out, int nr)
{
	struct nlattr *attr;
	int left;

	memset(out, 0, (size_t)nr * sizeof(*out));
	if (!nest)
		return 0;
	if (!whole(nla_data(nest), nla_len(nest)))
		return -EBADMSG;
	nla_for_each_nested(attr, nest, left) {
		if (!nla_type(attr) || nla_type(attr) >= nr)
			continue;
		if (nla_len(attr) != sizeof(*out))
			return -EBADMSG;
		out[nla_type(attr)] = nla_get_u64(attr);
	}
	return 0;
}

static int limits(struct nlattr *nest, uint64_t *out)
{
	struct nlattr *tb[VIREO_NL_LIMIT_MAX + 1];

	memset(out, 0, VIREO_NL_LIMIT_PAD * sizeof(*out));
	if (!nest)
		return 0;
	if (parse(tb, VIREO_NL_LIMIT_MAX, nla_data(nest), nla_len(nest), limit_policy))
		return -EBADMSG;
	out[VIREO_NL_LIMIT_EXITS] = u64(tb[VIREO_NL_LIMIT_EXITS]);
	out[VIREO_NL_LIMIT_DIRTY] = u64(tb[VIREO_NL_LIMIT_DIRTY]);
	out[VIREO_NL_LIMIT_STALL] = u32(tb[VIREO_NL_LIMIT_STALL]);
	return 0;
}

/**
 * message_info() - an answer to VIREO_NL_CMD_GET_INFO
 * @header: the message
 * @info: what it says
 *
 * Return: 0; -EBADMSG.
 */
int message_info(const struct nlmsghdr *header, struct monitor_info *info)
{
	struct nlattr *tb[VIREO_NL_A_MAX + 1];

	if (parse_message(header, tb))
		return -EBADMSG;
	text(info->version, sizeof(info->version), tb[VIREO_NL_A_VERSION]);
	info->tsc_khz = u32(tb[VIREO_NL_A_TSC_KHZ]);
	info->timed = u32(tb[VIREO_NL_A_STATS]) && info->tsc_khz;
	return 0;
}

/**
 * message_vm() - an answer to VIREO_NL_CMD_GET_VM
 * @header: the message
 * @vm: what it says
 *
 * Return: 0; -EBADMSG.
 */
int message_vm(const struct nlmsghdr *header, struct monitor_vm *vm)
{
	struct nlattr *tb[VIREO_NL_A_MAX + 1];

	if (parse_message(header, tb) || !u32(tb[VIREO_NL_A_VM]))
		return -EBADMSG;
	vm->number = u32(tb[VIREO_NL_A_VM]);
	text(vm->name, sizeof(vm->name), tb[VIREO_NL_A_NAME]);
	vm->uid = u32(tb[VIREO_NL_A_UID]);
	vm->pid = u32(tb[VIREO_NL_A_PID]);
	vm->state = u32(tb[VIREO_NL_A_STATE]);
	vm->vcpus = u32(tb[VIREO_NL_A_VCPUS]);
	vm->created = u64(tb[VIREO_NL_A_CREATED]);
	vm->seq = u64(tb[VIREO_NL_A_SEQ]);
	if (numbers(tb[VIREO_NL_A_COUNTERS], vm->counter, VIREO_NL_COUNTER_PAD) ||
	    numbers(tb[VIREO_NL_A_MEMORY], vm->memory, VIREO_NL_MEMORY_PAD) ||
	    limits(tb[VIREO_NL_A_THRESHOLDS], vm->limit))
		return -EBADMSG;
	return 0;
}

static int read_exit(struct nlattr *nest, struct monitor_exit *exit)
{
	struct nlattr *tb[VIREO_NL_EXIT_MAX + 1];

	if (parse(tb, VIREO_NL_EXIT_MAX, nla_data(nest), nla_len(nest), exit_policy) || !tb[VIREO_NL_EXIT_REASON] ||
	    !tb[VIREO_NL_EXIT_COUNT])
		return -EBADMSG;
	memset(exit, 0, sizeof(*exit));
	exit->reason = u32(tb[VIREO_NL_EXIT_REASON]);
	exit->count = u64(tb[VIREO_NL_EXIT_COUNT]);
	exit->cycles = u64(tb[VIREO_NL_EXIT_CYCLES]);
	if (tb[VIREO_NL_EXIT_HISTOGRAM])
		memcpy(exit->histogram, nla_data(tb[VIREO_NL_EXIT_HISTOGRAM]), sizeof(exit->histogram));
	return 0;
}

static int read_exits(const struct nlmsghdr *header, struct monitor_vcpu *vcpu)
{
	struct genlmsghdr *genl = genlmsg_hdr((struct nlmsghdr *)header);
	struct nlattr *attr;
	size_t nr = 0;
	int left;

	nla_for_each_attr(attr, genlmsg_attrdata(genl, 0), genlmsg_attrlen(genl, 0), left)
		nr += nla_type(attr) == VIREO_NL_A_EXIT;
	if (!nr)
		return 0;
	vcpu->exits = calloc(nr, sizeof(*vcpu->exits));
	if (!vcpu->exits)
		return -ENOMEM;
	nla_for_each_attr(attr, genlmsg_attrdata(genl, 0), genlmsg_attrlen(genl, 0), left)
		if (nla_type(attr) == VIREO_NL_A_EXIT && read_exit(attr, &vcpu->exits[vcpu->nr_exits++]))
			return -EBADMSG;
	return 0;
}

/**
 * message_vcpu() - an answer to VIREO_NL_CMD_GET_VCPU or VIREO_NL_CMD_GET_STATS
 * @header: the message
 * @vcpu: what it says; with 0, message_vcpu_free() it
 *
 * Return: 0; -EBADMSG; -ENOMEM.
 */
int message_vcpu(const struct nlmsghdr *header, struct monitor_vcpu *vcpu)
{
	struct nlattr *tb[VIREO_NL_A_MAX + 1];
	int r;

	if (parse_message(header, tb) || !u32(tb[VIREO_NL_A_VM]) || !tb[VIREO_NL_A_VCPU])
		return -EBADMSG;
	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->vm = u32(tb[VIREO_NL_A_VM]);
	vcpu->id = u32(tb[VIREO_NL_A_VCPU]);
	vcpu->tid = u32(tb[VIREO_NL_A_TID]);
	vcpu->cpu = tb[VIREO_NL_A_CPU] ? nla_get_s32(tb[VIREO_NL_A_CPU]) : -1;
	r = numbers(tb[VIREO_NL_A_COUNTERS], vcpu->counter, VIREO_NL_COUNTER_PAD);
	if (!r)
		r = read_exits(header, vcpu);
	if (r)
		message_vcpu_free(vcpu);
	return r;
}

/**
 * message_vcpu_free() - give back what message_vcpu() has allocated
 * @vcpu: the vCPU
 */
void message_vcpu_free(struct monitor_vcpu *vcpu)
{
	free(vcpu->exits);
	vcpu->exits = NULL;
	vcpu->nr_exits = 0;
}

/**
 * message_event() - an event of one of the multicast groups
 * @header: the message
 * @event: what it says
 *
 * Return: 0; -EBADMSG; -ENOMSG: a kind of event that this program does not know.
 */
int message_event(const struct nlmsghdr *header, struct monitor_event *event)
{
	struct nlattr *tb[VIREO_NL_A_MAX + 1], *what;

	if (parse_message(header, tb) || !u32(tb[VIREO_NL_A_VM]) || !tb[VIREO_NL_A_SEQ])
		return -EBADMSG;
	memset(event, 0, sizeof(*event));
	event->kind = genlmsg_hdr((struct nlmsghdr *)header)->cmd;
	switch (event->kind) {
	case VIREO_NL_CMD_LIFE:
		what = tb[VIREO_NL_A_LIFE];
		break;
	case VIREO_NL_CMD_PHASE:
		what = tb[VIREO_NL_A_OPERATION];
		break;
	case VIREO_NL_CMD_THRESHOLD:
		what = tb[VIREO_NL_A_THRESHOLD];
		break;
	default:
		return -ENOMSG;
	}
	if (!what)
		return -EBADMSG;
	event->what = u32(what);
	event->vm = u32(tb[VIREO_NL_A_VM]);
	text(event->name, sizeof(event->name), tb[VIREO_NL_A_NAME]);
	event->seq = u64(tb[VIREO_NL_A_SEQ]);
	event->time = u64(tb[VIREO_NL_A_TIME]);
	event->vcpu = tb[VIREO_NL_A_VCPU] ? (int32_t)u32(tb[VIREO_NL_A_VCPU]) : -1;
	text(event->cause, sizeof(event->cause), tb[VIREO_NL_A_CAUSE]);
	text(event->phase, sizeof(event->phase), tb[VIREO_NL_A_PHASE]);
	event->pages = u64(tb[VIREO_NL_A_PAGES]);
	event->total = u64(tb[VIREO_NL_A_TOTAL]);
	event->over = u32(tb[VIREO_NL_A_OVER]);
	event->value = u64(tb[VIREO_NL_A_VALUE]);
	event->limit = u64(tb[VIREO_NL_A_LIMIT]);
	return 0;
}

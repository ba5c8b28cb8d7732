// SPDX-License-Identifier: GPL-2.0-only
/* The family "vireo" for the programs here; see nl.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/genetlink.h>
#include <netlink/genl/ctrl.h>
#include "nl.h"

#define BUFFER 32768

static u16 family;
static struct {
	char name[GENL_NAMSIZ];
	u32 id;
} groups[3];
static u32 sequence;

static void each_family(struct nlmsghdr *head, void *data)
{
	struct nlattr *tb[CTRL_ATTR_MAX + 1], *grp, *in[CTRL_ATTR_MCAST_GRP_MAX + 1];
	unsigned int n = 0;
	int rest;

	genlmsg_parse(head, 0, tb, CTRL_ATTR_MAX, NULL);
	family = nla_get_u16(tb[CTRL_ATTR_FAMILY_ID]);
	if (!tb[CTRL_ATTR_MCAST_GROUPS])
		return;
	nla_for_each_nested(grp, tb[CTRL_ATTR_MCAST_GROUPS], rest) {
		nla_parse_nested(in, CTRL_ATTR_MCAST_GRP_MAX, grp, NULL);
		if (n == 3)
			vt_die("more groups than there should be");
		snprintf(groups[n].name, GENL_NAMSIZ, "%s", nla_get_string(in[CTRL_ATTR_MCAST_GRP_NAME]));
		groups[n++].id = nla_get_u32(in[CTRL_ATTR_MCAST_GRP_ID]);
	}
}

int vn_try_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), one = 1;

	struct sockaddr_nl address = { .nl_family = AF_NETLINK };

	if (fd < 0)
		return -errno;
	/* Only who has an address hears events. */
	if (bind(fd, (void *)&address, sizeof(address)))
		return -errno;
	/* Which byte of a request is wrong is told in the answer. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	return fd;
}

int vn_open(int rcvbuf)
{
	int fd = vn_try_open();

	if (fd < 0)
		vt_die("netlink: %s", strerror(-fd));
	if (rcvbuf && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)))
		vt_die("SO_RCVBUF: %s", strerror(errno));
	return fd;
}

u16 vn_family(void)
{
	struct nl_msg *msg;
	int fd;

	if (family)
		return family;
	fd = vn_open(0);
	msg = nlmsg_alloc();
	genlmsg_put(msg, 0, 0, GENL_ID_CTRL, 0, 0, CTRL_CMD_GETFAMILY, 1);
	nla_put_string(msg, CTRL_ATTR_FAMILY_NAME, VIREO_NL_FAMILY);
	vn_ask(fd, msg, each_family, NULL, NULL);
	close(fd);
	return family;
}

int vn_join(int fd, const char *group)
{
	unsigned int i;

	if (!vn_family())
		return -ENOENT;
	for (i = 0; i < 3; i++) {
		if (!strcmp(groups[i].name, group))
			return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i].id, sizeof(u32)) ? -errno : 0;
	}
	return -ENOENT;
}

struct nl_msg *vn_request(u8 cmd, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (!msg || !genlmsg_put(msg, 0, 0, vn_family(), 0, flags, cmd, VIREO_NL_VERSION))
		vt_die("no memory for a message");
	return msg;
}

static void error_offset(struct nlmsghdr *head, u32 *offset)
{
	struct nlmsgerr *err = nlmsg_data(head);
	struct nlattr *tb[NLMSGERR_ATTR_MAX + 1] = {};

	if (!(head->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	nla_parse(tb, NLMSGERR_ATTR_MAX, (void *)(err + 1), nlmsg_datalen(head) - sizeof(*err), NULL);
	if (tb[NLMSGERR_ATTR_OFFS])
		*offset = nla_get_u32(tb[NLMSGERR_ATTR_OFFS]);
}

int vn_ask(int fd, struct nl_msg *msg, void (*each)(struct nlmsghdr *head, void *data), void *data, u32 *offset)
{
	struct nlmsghdr *head = nlmsg_hdr(msg);
	static __thread char buffer[BUFFER];
	bool dump = (head->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	u32 seq = __atomic_add_fetch(&sequence, 1, __ATOMIC_RELAXED);
	int n;

	head->nlmsg_flags |= NLM_F_REQUEST | (dump ? 0 : NLM_F_ACK);
	head->nlmsg_seq = seq;
	n = send(fd, head, head->nlmsg_len, 0);
	nlmsg_free(msg);
	if (n < 0)
		return -errno;
	for (;;) {
		n = recv(fd, buffer, sizeof(buffer), 0);
		if (n < 0)
			return -errno;
		for (head = (void *)buffer; nlmsg_ok(head, n); head = nlmsg_next(head, &n)) {
			if (head->nlmsg_seq != seq)
				continue;
			if (head->nlmsg_type == NLMSG_ERROR) {
				if (offset)
					error_offset(head, offset);
				return ((struct nlmsgerr *)nlmsg_data(head))->error;
			}
			if (head->nlmsg_type == NLMSG_DONE)
				return *(int *)nlmsg_data(head);
			if (each)
				each(head, data);
		}
	}
}

static void take_u64s(struct nlattr *nest, u64 *values, int max)
{
	struct nlattr *attr;
	int rest;

	nla_for_each_nested(attr, nest, rest) {
		if (nla_type(attr) <= max && nla_len(attr) == 8)
			values[nla_type(attr)] = nla_get_u64(attr);
	}
}

static void take_exit(struct nlattr *nest, struct vn_seen *seen)
{
	struct nlattr *tb[VIREO_NL_EXIT_MAX + 1];
	u32 reason, buckets[VIREO_NL_BUCKETS], i;

	nla_parse_nested(tb, VIREO_NL_EXIT_MAX, nest, NULL);
	reason = nla_get_u32(tb[VIREO_NL_EXIT_REASON]);
	if (reason >= VIREO_EXIT_REASON_NR)
		vt_die("a reason that there is not: %u", reason);
	seen->exit[reason].count = nla_get_u64(tb[VIREO_NL_EXIT_COUNT]);
	if (!tb[VIREO_NL_EXIT_CYCLES])
		return;
	seen->exit[reason].cycles = nla_get_u64(tb[VIREO_NL_EXIT_CYCLES]);
	if (nla_len(tb[VIREO_NL_EXIT_HISTOGRAM]) != sizeof(buckets))
		vt_die("a histogram of %d bytes", nla_len(tb[VIREO_NL_EXIT_HISTOGRAM]));
	memcpy(buckets, nla_data(tb[VIREO_NL_EXIT_HISTOGRAM]), sizeof(buckets));
	for (i = 0; i < VIREO_NL_BUCKETS; i++)
		seen->exit[reason].times += buckets[i];
}

static void take_limits(struct nlattr *nest, struct vn_seen *seen)
{
	struct nlattr *tb[VIREO_NL_LIMIT_MAX + 1];

	nla_parse_nested(tb, VIREO_NL_LIMIT_MAX, nest, NULL);
	seen->limit_exits = tb[VIREO_NL_LIMIT_EXITS] ? nla_get_u64(tb[VIREO_NL_LIMIT_EXITS]) : 0;
	seen->limit_dirty = tb[VIREO_NL_LIMIT_DIRTY] ? nla_get_u64(tb[VIREO_NL_LIMIT_DIRTY]) : 0;
	seen->limit_stall = tb[VIREO_NL_LIMIT_STALL] ? nla_get_u32(tb[VIREO_NL_LIMIT_STALL]) : 0;
}

void vn_parse(struct nlmsghdr *head, struct vn_seen *seen)
{
	struct nlattr *attr;
	int rest;

	memset(seen, 0, sizeof(*seen));
	seen->cmd = genlmsg_hdr(head)->cmd;
	seen->vcpu = ~0U;
	rest = genlmsg_attrlen(nlmsg_data(head), 0);
	for (attr = genlmsg_attrdata(nlmsg_data(head), 0); nla_ok(attr, rest); attr = nla_next(attr, &rest)) {
		switch (nla_type(attr)) {
#define U32(id, field) case VIREO_NL_A_##id: seen->field = nla_get_u32(attr); break
#define U64(id, field) case VIREO_NL_A_##id: seen->field = nla_get_u64(attr); break
#define TEXT(id, field) case VIREO_NL_A_##id: snprintf(seen->field, sizeof(seen->field), "%s", nla_get_string(attr)); break
		U32(VM, vm);
		U32(VCPU, vcpu);
		U32(UID, uid);
		U32(PID, pid);
		U32(TID, tid);
		U32(STATE, state);
		U32(VCPUS, vcpus);
		U32(CPU, cpu);
		U64(SEQ, seq);
		U64(CREATED, created);
		U64(TIME, time);
		TEXT(NAME, name);
		U32(LIFE, life);
		U32(OPERATION, operation);
		U32(THRESHOLD, threshold);
		U32(OVER, over);
		U64(PAGES, pages);
		U64(TOTAL, total);
		U64(VALUE, value);
		U64(LIMIT, limit);
		TEXT(CAUSE, cause);
		TEXT(PHASE, phase);
#undef U32
#undef U64
#undef TEXT
		case VIREO_NL_A_COUNTERS:
			take_u64s(attr, seen->counter, VIREO_NL_COUNTER_MAX);
			break;
		case VIREO_NL_A_MEMORY:
			take_u64s(attr, seen->memory, VIREO_NL_MEMORY_MAX);
			break;
		case VIREO_NL_A_EXIT:
			take_exit(attr, seen);
			break;
		case VIREO_NL_A_THRESHOLDS:
			take_limits(attr, seen);
			break;
		}
	}
}

static void each_one(struct nlmsghdr *head, void *data)
{
	vn_parse(head, data);
}

int vn_get_vm(int fd, u32 vm, struct vn_seen *seen)
{
	struct nl_msg *msg = vn_request(VIREO_NL_CMD_GET_VM, 0);

	nla_put_u32(msg, VIREO_NL_A_VM, vm);
	return vn_ask(fd, msg, each_one, seen, NULL);
}

int vn_get_vcpu(int fd, u32 vm, u32 vcpu, struct vn_seen *seen)
{
	struct nl_msg *msg = vn_request(VIREO_NL_CMD_GET_VCPU, 0);

	nla_put_u32(msg, VIREO_NL_A_VM, vm);
	nla_put_u32(msg, VIREO_NL_A_VCPU, vcpu);
	return vn_ask(fd, msg, each_one, seen, NULL);
}

struct dump {
	struct vn_seen *seen;
	int n, max;
};

static void each_dump(struct nlmsghdr *head, void *data)
{
	struct dump *d = data;

	if (d->n < d->max)
		vn_parse(head, &d->seen[d->n]);
	d->n++;
}

int vn_dump(int fd, u8 cmd, u32 vm, struct vn_seen *seen, int max)
{
	struct nl_msg *msg = vn_request(cmd, NLM_F_DUMP);
	struct dump d = { .seen = seen, .max = max };
	int r;

	if (vm)
		nla_put_u32(msg, VIREO_NL_A_VM, vm);
	r = vn_ask(fd, msg, each_dump, &d, NULL);
	return r ? r : d.n;
}

int vn_set_thresholds(int fd, u32 vm, u64 exits, u64 dirty, u32 stall)
{
	struct nl_msg *msg = vn_request(VIREO_NL_CMD_SET_THRESHOLDS, 0);
	struct nlattr *nest;

	nla_put_u32(msg, VIREO_NL_A_VM, vm);
	nest = nla_nest_start(msg, VIREO_NL_A_THRESHOLDS | NLA_F_NESTED);
	nla_put_u64(msg, VIREO_NL_LIMIT_EXITS, exits);
	nla_put_u64(msg, VIREO_NL_LIMIT_DIRTY, dirty);
	nla_put_u32(msg, VIREO_NL_LIMIT_STALL, stall);
	nla_nest_end(msg, nest);
	return vn_ask(fd, msg, NULL, NULL, NULL);
}

u32 vn_number(int fd, const char *name)
{
	static struct vn_seen seen[512];
	int i, n = vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, seen, 512);

	for (i = 0; i < n && i < 512; i++) {
		if (!strcmp(seen[i].name, name))
			return seen[i].vm;
	}
	vt_die("no VM \"%s\" among %d", name, n);
}

int vn_event(int fd, struct vn_seen *seen, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buffer[4096];
	int n = poll(&p, 1, ms);

	if (n <= 0)
		return n < 0 ? -errno : 0;
	n = recv(fd, buffer, sizeof(buffer), 0);
	if (n < 0)
		return -errno;
	vn_parse((void *)buffer, seen);
	return 1;
}

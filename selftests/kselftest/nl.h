/* SPDX-License-Identifier: GPL-2.0-only */
/* The family "vireo" for the programs here: requests, dumps, events. */
#ifndef VIREO_TEST_NL_H
#define VIREO_TEST_NL_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/genl/genl.h>
#include <linux/vireo_netlink.h>
#include "lib.h"

/* A VM, or a vCPU, as a message tells of it. */
struct vn_seen {
	u8 cmd;
	u32 vm, vcpu, uid, pid, tid, state, vcpus;
	int cpu;
	u64 seq, created, time;
	char name[32];
	u64 counter[VIREO_NL_COUNTER_MAX + 1];
	u64 memory[VIREO_NL_MEMORY_MAX + 1];
	u64 limit_exits, limit_dirty, limit_stall;
	struct {
		u64 count, cycles, times;	/* times: sum of the histogram */
	} exit[VIREO_EXIT_REASON_NR];
	/* events */
	u32 life, operation, threshold, over;
	u64 pages, total, value, limit;
	char cause[VIREO_NL_CAUSE_MAX + 1], phase[32];
};

/* A socket of generic netlink; @rcvbuf: 0, or its size. Ends the program if there is none. */
int vn_open(int rcvbuf);
/* As vn_open(), or a negative errno. */
int vn_try_open(void);
/* Of the family; found out once. 0: there is none. */
u16 vn_family(void);
/* 0 or a negative errno */
int vn_join(int fd, const char *group);

/* A request, to be filled with nla_put_...() and given to vn_ask(). */
struct nl_msg *vn_request(u8 cmd, int flags);

/*
 * Send, and take the answers: @each gets every message. Frees @msg. 0, or the kernel's negative errno;
 * *@offset: which byte of the request it did not like, if not NULL.
 */
int vn_ask(int fd, struct nl_msg *msg, void (*each)(struct nlmsghdr *head, void *data), void *data, u32 *offset);

void vn_parse(struct nlmsghdr *head, struct vn_seen *seen);

/* 0 or a negative errno */
int vn_get_vm(int fd, u32 vm, struct vn_seen *seen);
int vn_get_vcpu(int fd, u32 vm, u32 vcpu, struct vn_seen *seen);
/* Up to @max of what a dump tells; returns how many there were, or a negative errno. */
int vn_dump(int fd, u8 cmd, u32 vm, struct vn_seen *seen, int max);
int vn_set_thresholds(int fd, u32 vm, u64 exits, u64 dirty, u32 stall);

/* The VM of that name, which is the only one; ends the program if it is not there. */
u32 vn_number(int fd, const char *name);

/* The next event within @ms: 1, 0: none, or a negative errno */
int vn_event(int fd, struct vn_seen *seen, int ms);

#endif

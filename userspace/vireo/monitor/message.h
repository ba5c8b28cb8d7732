/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What messages of the generic-netlink family "vireo" say, as plain structures.
 *
 * Every attribute's type and length is checked; those that this program does not know are passed over, since a newer module has
 * more. What a message does not have is 0.
 */
#ifndef VIREO_MONITOR_MESSAGE_H
#define VIREO_MONITOR_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/netlink.h>
#include <linux/vireo_netlink.h>

#define MONITOR_NAME	32	/* bytes of a name, with its end */
#define MONITOR_PHASE	32

/**
 * struct monitor_info - the module
 * @version: its version
 * @tsc_khz: cycles a millisecond
 * @timed: it measures time: there are cycles and histograms
 */
struct monitor_info {
	char version[64];
	uint32_t tsc_khz;
	bool timed;
};

/**
 * struct monitor_vm - a VM
 * @number: of it, from 1
 * @name: what its launcher calls it: any bytes
 * @uid: who made it
 * @pid: the process that made it; 0: not to be seen from here
 * @state: &enum vireo_nl_state
 * @vcpus: how many
 * @created: nanoseconds of CLOCK_BOOTTIME
 * @seq: number of its last event
 * @counter: sums of its vCPUs, by &enum vireo_nl_counter, and what is counted for all of it
 * @memory: by &enum vireo_nl_memory
 * @limit: its thresholds by &enum vireo_nl_limit, 0: none
 */
struct monitor_vm {
	uint32_t number;
	char name[MONITOR_NAME];
	uint32_t uid;
	uint32_t pid;
	uint32_t state;
	uint32_t vcpus;
	uint64_t created;
	uint64_t seq;
	uint64_t counter[VIREO_NL_COUNTER_PAD];
	uint64_t memory[VIREO_NL_MEMORY_PAD];
	uint64_t limit[VIREO_NL_LIMIT_PAD];
};

/**
 * struct monitor_exit - exits for one reason
 * @reason: &enum vireo_exit_reason, or one that this program does not know
 * @count: how many
 * @cycles: TSC cycles until the next entry
 * @histogram: of the cycles: how many took 2^n to 2^(n+1) - 1; each wraps at 2^32
 */
struct monitor_exit {
	uint32_t reason;
	uint64_t count;
	uint64_t cycles;
	uint32_t histogram[VIREO_NL_BUCKETS];
};

/**
 * struct monitor_vcpu - a vCPU
 * @vm: its VM's number
 * @id: its id
 * @tid: the thread that was last in it, 0: none
 * @cpu: the host's CPU where it was last, -1: none
 * @counter: by &enum vireo_nl_counter
 * @exits: a reason each
 * @nr_exits: how many
 */
struct monitor_vcpu {
	uint32_t vm;
	uint32_t id;
	uint32_t tid;
	int32_t cpu;
	uint64_t counter[VIREO_NL_COUNTER_PAD];
	struct monitor_exit *exits;
	size_t nr_exits;
};

/**
 * struct monitor_event - something that has happened
 * @kind: VIREO_NL_CMD_LIFE, _PHASE or _THRESHOLD
 * @vm: number of the VM
 * @name: its name
 * @seq: number of the event
 * @time: nanoseconds of CLOCK_BOOTTIME when it happened
 * @what: &enum vireo_nl_life, &enum vireo_nl_operation or &enum vireo_nl_threshold, by @kind
 * @vcpu: the vCPU that it is about; -1: none
 * @cause: why; may be empty
 * @phase: of an operation
 * @pages: ... that are done
 * @total: ... of so many; 0: not known
 * @over: of a threshold: the value is over it
 * @value: the value
 * @limit: the threshold
 */
struct monitor_event {
	uint8_t kind;
	uint32_t vm;
	char name[MONITOR_NAME];
	uint64_t seq;
	uint64_t time;
	uint32_t what;
	int32_t vcpu;
	char cause[VIREO_NL_CAUSE_MAX + 1];
	char phase[MONITOR_PHASE];
	uint64_t pages;
	uint64_t total;
	bool over;
	uint64_t value;
	uint64_t limit;
};

/* All of these: 0; -EBADMSG: it is not what the family says; -ENOMEM. */
int message_info(const struct nlmsghdr *header, struct monitor_info *info);
int message_vm(const struct nlmsghdr *header, struct monitor_vm *vm);
int message_vcpu(const struct nlmsghdr *header, struct monitor_vcpu *vcpu);
int message_event(const struct nlmsghdr *header, struct monitor_event *event);
void message_vcpu_free(struct monitor_vcpu *vcpu);

#endif /* VIREO_MONITOR_MESSAGE_H */

// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/vireo.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "made.h"

static struct nl_msg *begin(uint8_t command)
{
	struct nl_msg *msg = nlmsg_alloc_size(sizeof(((struct made *)0)->bytes));

	if (!msg || !genlmsg_put(msg, 1, 1, MADE_FAMILY, 0, 0, command, VIREO_NL_VERSION))
		abort();
	return msg;
}

static void end(struct nl_msg *msg, struct made *made)
{
	const struct nlmsghdr *header = nlmsg_hdr(msg);

	memset(made, 0, sizeof(*made));
	made->len = header->nlmsg_len;
	memcpy(made->bytes, header, made->len);
	nlmsg_free(msg);
}

static void put_numbers(struct nl_msg *msg, int type, const uint64_t *values, int nr)
{
	struct nlattr *nest = nla_nest_start(msg, type);
	int i;

	for (i = 1; i < nr; i++)
		nla_put_u64(msg, i, values[i]);
	nla_nest_end(msg, nest);
}

/* The message of VIREO_NL_CMD_GET_INFO */
void made_info(struct made *made, const struct monitor_info *info)
{
	struct nl_msg *msg = begin(VIREO_NL_CMD_GET_INFO);

	nla_put_string(msg, VIREO_NL_A_VERSION, info->version);
	nla_put_u32(msg, VIREO_NL_A_ABI, 1);
	nla_put_u64(msg, VIREO_NL_A_FEATURES, 3);
	nla_put_u32(msg, VIREO_NL_A_TSC_KHZ, info->tsc_khz);
	nla_put_u32(msg, VIREO_NL_A_STATS, info->timed);
	end(msg, made);
}

/* ... of VIREO_NL_CMD_GET_VM */
void made_vm(struct made *made, const struct monitor_vm *vm)
{
	struct nl_msg *msg = begin(VIREO_NL_CMD_GET_VM);
	struct nlattr *nest;

	nla_put_u32(msg, VIREO_NL_A_VM, vm->number);
	nla_put_string(msg, VIREO_NL_A_NAME, vm->name);
	nla_put_u32(msg, VIREO_NL_A_UID, vm->uid);
	nla_put_u32(msg, VIREO_NL_A_PID, vm->pid);
	nla_put_u32(msg, VIREO_NL_A_STATE, vm->state);
	nla_put_u64(msg, VIREO_NL_A_CREATED, vm->created);
	nla_put_u64(msg, VIREO_NL_A_SEQ, vm->seq);
	nla_put_u32(msg, VIREO_NL_A_VCPUS, vm->vcpus);
	put_numbers(msg, VIREO_NL_A_COUNTERS, vm->counter, VIREO_NL_COUNTER_PAD);
	put_numbers(msg, VIREO_NL_A_MEMORY, vm->memory, VIREO_NL_MEMORY_PAD);
	nest = nla_nest_start(msg, VIREO_NL_A_THRESHOLDS);
	nla_put_u64(msg, VIREO_NL_LIMIT_EXITS, vm->limit[VIREO_NL_LIMIT_EXITS]);
	nla_put_u32(msg, VIREO_NL_LIMIT_STALL, (uint32_t)vm->limit[VIREO_NL_LIMIT_STALL]);
	nla_nest_end(msg, nest);
	end(msg, made);
}

/* ... of VIREO_NL_CMD_GET_STATS */
void made_vcpu(struct made *made, const struct monitor_vcpu *vcpu)
{
	struct nl_msg *msg = begin(VIREO_NL_CMD_GET_STATS);
	struct nlattr *nest;
	size_t i;

	nla_put_u32(msg, VIREO_NL_A_VM, vcpu->vm);
	nla_put_u32(msg, VIREO_NL_A_VCPU, vcpu->id);
	nla_put_u32(msg, VIREO_NL_A_TID, vcpu->tid);
	nla_put_s32(msg, VIREO_NL_A_CPU, vcpu->cpu);
	put_numbers(msg, VIREO_NL_A_COUNTERS, vcpu->counter, VIREO_NL_COUNTER_PAD);
	for (i = 0; i < vcpu->nr_exits; i++) {
		nest = nla_nest_start(msg, VIREO_NL_A_EXIT);
		nla_put_u32(msg, VIREO_NL_EXIT_REASON, vcpu->exits[i].reason);
		nla_put_u64(msg, VIREO_NL_EXIT_COUNT, vcpu->exits[i].count);
		nla_put_u64(msg, VIREO_NL_EXIT_CYCLES, vcpu->exits[i].cycles);
		nla_put(msg, VIREO_NL_EXIT_HISTOGRAM, sizeof(vcpu->exits[i].histogram), vcpu->exits[i].histogram);
		nla_nest_end(msg, nest);
	}
	end(msg, made);
}

/* ... of a multicast group */
void made_event(struct made *made, const struct monitor_event *event)
{
	struct nl_msg *msg = begin(event->kind);

	nla_put_u32(msg, VIREO_NL_A_VM, event->vm);
	nla_put_string(msg, VIREO_NL_A_NAME, event->name);
	nla_put_u64(msg, VIREO_NL_A_SEQ, event->seq);
	nla_put_u64(msg, VIREO_NL_A_TIME, event->time);
	if (event->vcpu >= 0)
		nla_put_u32(msg, VIREO_NL_A_VCPU, (uint32_t)event->vcpu);
	switch (event->kind) {
	case VIREO_NL_CMD_LIFE:
		nla_put_u32(msg, VIREO_NL_A_LIFE, event->what);
		nla_put_string(msg, VIREO_NL_A_CAUSE, event->cause);
		break;
	case VIREO_NL_CMD_PHASE:
		nla_put_u32(msg, VIREO_NL_A_OPERATION, event->what);
		nla_put_string(msg, VIREO_NL_A_PHASE, event->phase);
		nla_put_u64(msg, VIREO_NL_A_PAGES, event->pages);
		nla_put_u64(msg, VIREO_NL_A_TOTAL, event->total);
		break;
	case VIREO_NL_CMD_THRESHOLD:
		nla_put_u32(msg, VIREO_NL_A_THRESHOLD, event->what);
		nla_put_u32(msg, VIREO_NL_A_OVER, event->over);
		nla_put_u64(msg, VIREO_NL_A_VALUE, event->value);
		nla_put_u64(msg, VIREO_NL_A_LIMIT, event->limit);
		break;
	}
	end(msg, made);
}

/* A module whose cycles are half a nanosecond */
struct monitor_info made_some_info(void)
{
	return (struct monitor_info){ .version = "1.2.3", .tsc_khz = 2000000, .timed = true };
}

/* 100 s old at 200 s; half of the time in the guest, an eighth in the kernel, an eighth outside, a quarter halted */
struct monitor_vm made_some_vm(uint32_t number, const char *name)
{
	struct monitor_vm vm = {
		.number = number, .uid = 1000, .pid = 4700 + number, .state = VIREO_NL_STATE_RUNNING, .vcpus = 2,
		.created = 100000000000ULL, .seq = 7,
	};
	unsigned int i;

	memccpy(vm.name, name, 0, sizeof(vm.name) - 1);
	for (i = 1; i < VIREO_NL_COUNTER_PAD; i++)
		vm.counter[i] = 100 * i;
	vm.counter[VIREO_NL_COUNTER_ENTRIES] = 1000 * number;
	vm.counter[VIREO_NL_COUNTER_CYCLES_ALL] = 16000000000ULL;
	vm.counter[VIREO_NL_COUNTER_CYCLES_KERNEL] = 2000000000ULL;
	vm.counter[VIREO_NL_COUNTER_CYCLES_USER] = 2000000000ULL;
	vm.counter[VIREO_NL_COUNTER_CYCLES_HALTED] = 4000000000ULL;
	for (i = 1; i < VIREO_NL_MEMORY_PAD; i++)
		vm.memory[i] = 4096 * i;
	vm.memory[VIREO_NL_MEMORY_REGIONS] = 256ULL << 20;
	vm.memory[VIREO_NL_MEMORY_MAPPED_4K] = 512;
	vm.memory[VIREO_NL_MEMORY_MAPPED_2M] = 31;
	vm.memory[VIREO_NL_MEMORY_MAPPED_1G] = 0;
	vm.memory[VIREO_NL_MEMORY_DIRTIED] = 10 * number;
	vm.limit[VIREO_NL_LIMIT_EXITS] = 50000;
	vm.limit[VIREO_NL_LIMIT_STALL] = 2000;
	return vm;
}

/* Of each reason in @exits, which the caller owns */
struct monitor_vcpu made_some_vcpu(uint32_t vm, uint32_t id, struct monitor_exit *exits, size_t nr)
{
	static const uint32_t reasons[] = { VIREO_EXIT_HLT, VIREO_EXIT_IO, VIREO_EXIT_WRMSR, VIREO_EXIT_MMIO, 0x1234 };
	struct monitor_vcpu vcpu = { .vm = vm, .id = id, .tid = 4800 + id, .cpu = (int32_t)id, .exits = exits, .nr_exits = nr };
	struct monitor_vm of = made_some_vm(vm, "");
	size_t i, j;

	memcpy(vcpu.counter, of.counter, sizeof(vcpu.counter));
	for (i = 0; i < nr; i++) {
		memset(&exits[i], 0, sizeof(exits[i]));
		exits[i].reason = i < 5 ? reasons[i] : (uint32_t)i;
		exits[i].count = (i + 1) * 300;
		exits[i].cycles = exits[i].count * 3000;
		for (j = 10; j < 13; j++)
			exits[i].histogram[j] = (uint32_t)((i + 1) * (j == 11 ? 200 : 50));
	}
	return vcpu;
}

/* Number 8 of VM 3, "web", at 150.5 s */
struct monitor_event made_some_event(uint8_t kind, uint32_t what)
{
	return (struct monitor_event){
		.kind = kind, .vm = 3, .name = "web", .seq = 8, .time = 150500000000ULL, .what = what, .vcpu = -1,
		.cause = "", .phase = "copy", .pages = 100, .total = 4096, .over = true, .value = 60000, .limit = 50000,
	};
}

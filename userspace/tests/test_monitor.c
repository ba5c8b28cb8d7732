// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tools of the netlink family without a module: messages, good and broken; rates; what is printed; and what is said when
 * events are lost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/vireo.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>

#include "made.h"
#include "tap.h"
#include "../vireo/command.h"
#include "../vireo/machine.h"
#include "../vireo/monitor/events.h"
#include "../vireo/monitor/names.h"
#include "../vireo/monitor/rates.h"
#include "../vireo/monitor/stat.h"
#include "../vireo/monitor/text.h"
#include "../vireo/util.h"

#define MUTATIONS 30000

static struct made made;

static struct nlmsghdr *header_of(struct made *m)
{
	return (struct nlmsghdr *)m->bytes;
}

static struct nlattr *first_of(struct made *m, int *len)
{
	struct genlmsghdr *genl = genlmsg_hdr(header_of(m));

	*len = genlmsg_attrlen(genl, 0);
	return genlmsg_attrdata(genl, 0);
}

/* The first attribute of @type */
static struct nlattr *attr_of(struct made *m, int type)
{
	int len;
	struct nlattr *first = first_of(m, &len);

	return nla_find(first, len, type);
}

/* All of them, one after another: what each says does not matter */
static int read_any(const struct nlmsghdr *header)
{
	struct monitor_info info;
	struct monitor_vm vm;
	struct monitor_vcpu vcpu;
	struct monitor_event event;
	int r;

	switch (genlmsg_hdr((struct nlmsghdr *)header)->cmd) {
	case VIREO_NL_CMD_GET_INFO:
		return message_info(header, &info);
	case VIREO_NL_CMD_GET_VM:
		return message_vm(header, &vm);
	case VIREO_NL_CMD_GET_STATS:
		r = message_vcpu(header, &vcpu);
		if (!r)
			message_vcpu_free(&vcpu);
		return r;
	default:
		return message_event(header, &event);
	}
}

/* In memory that ends where the message does */
static int read_exact(const struct made *m, size_t len)
{
	struct nlmsghdr *copy = malloc(len);
	int r;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, m->bytes, len);
	if (len >= sizeof(*copy))
		copy->nlmsg_len = (uint32_t)len;
	r = read_any(copy);
	free(copy);
	return r;
}

static void append(struct made *m, int type, const void *data, size_t len)
{
	struct nlattr attr = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = (uint16_t)type };

	m->len = NLMSG_ALIGN(m->len);
	memcpy(m->bytes + m->len, &attr, sizeof(attr));
	memcpy(m->bytes + m->len + NLA_HDRLEN, data, len);
	m->len += NLMSG_ALIGN(NLA_HDRLEN + len);
	header_of(m)->nlmsg_len = (uint32_t)m->len;
}

/* ---- Messages ---- */

static void test_good(void)
{
	struct monitor_exit exits[6];
	struct monitor_info info = made_some_info(), info_read;
	struct monitor_vm vm = made_some_vm(3, "web"), vm_read;
	struct monitor_vcpu vcpu = made_some_vcpu(3, 1, exits, 6), vcpu_read;
	struct monitor_event event = made_some_event(VIREO_NL_CMD_PHASE, VIREO_NL_OP_SEND), event_read;

	made_info(&made, &info);
	is(message_info(header_of(&made), &info_read), 0, "a module");
	ok(!strcmp(info_read.version, "1.2.3") && info_read.tsc_khz == 2000000 && info_read.timed, "its members");
	made_vm(&made, &vm);
	is(message_vm(header_of(&made), &vm_read), 0, "a VM");
	vm.limit[VIREO_NL_LIMIT_DIRTY] = 0;
	ok(vm_read.number == 3 && !strcmp(vm_read.name, "web") && vm_read.uid == 1000 && vm_read.pid == 4703 && vm_read.vcpus == 2 &&
	   vm_read.state == VIREO_NL_STATE_RUNNING && vm_read.created == vm.created && vm_read.seq == 7, "its members");
	ok(!memcmp(vm.counter + 1, vm_read.counter + 1, sizeof(vm.counter) - 8) &&
	   !memcmp(vm.memory + 1, vm_read.memory + 1, sizeof(vm.memory) - 8) && !memcmp(vm.limit, vm_read.limit, sizeof(vm.limit)),
	   "its counters, memory, thresholds");
	made_vcpu(&made, &vcpu);
	is(message_vcpu(header_of(&made), &vcpu_read), 0, "a vCPU");
	ok(vcpu_read.vm == 3 && vcpu_read.id == 1 && vcpu_read.tid == 4801 && vcpu_read.cpu == 1 && vcpu_read.nr_exits == 6,
	   "its members");
	ok(!memcmp(vcpu_read.exits, exits, sizeof(exits)), "its exits, each of which has come");
	message_vcpu_free(&vcpu_read);
	made_event(&made, &event);
	is(message_event(header_of(&made), &event_read), 0, "a phase");
	ok(event_read.vm == 3 && event_read.seq == 8 && event_read.time == 150500000000ULL && event_read.what == VIREO_NL_OP_SEND &&
	   event_read.vcpu == -1 && !strcmp(event_read.phase, "copy") && event_read.pages == 100 && event_read.total == 4096,
	   "its members");
	event = made_some_event(VIREO_NL_CMD_LIFE, VIREO_NL_LIFE_TRIPLE_FAULT);
	event.vcpu = 1;
	strcpy(event.cause, "why not");
	made_event(&made, &event);
	ok(!message_event(header_of(&made), &event_read) && event_read.vcpu == 1 && !strcmp(event_read.cause, "why not"),
	   "a triple fault");
	event = made_some_event(VIREO_NL_CMD_THRESHOLD, VIREO_NL_THRESHOLD_EXITS);
	made_event(&made, &event);
	ok(!message_event(header_of(&made), &event_read) && event_read.over && event_read.value == 60000 && event_read.limit == 50000,
	   "a threshold");
	event.kind = 77;
	made_event(&made, &event);
	is(message_event(header_of(&made), &event_read), -ENOMSG, "an event that nobody knows");
}

/* A newer module has more, an older one less. */
static void test_other_version(void)
{
	struct monitor_vm vm = made_some_vm(3, "web"), got;
	struct monitor_vcpu vcpu = { .vm = 3, .id = 0 }, vcpu_got;
	uint64_t number = 5;

	made_vm(&made, &vm);
	append(&made, VIREO_NL_A_MAX + 7, "more", 4);
	append(&made, VIREO_NL_A_MAX + 8 + NLA_F_NESTED, made.bytes + 20, 64);
	ok(!message_vm(header_of(&made), &got) && got.seq == 7, "attributes that nobody knows are passed over");
	header_of(&made)->nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	made.len = header_of(&made)->nlmsg_len;
	append(&made, VIREO_NL_A_VM, &number, 4);
	ok(!message_vm(header_of(&made), &got) && got.number == 5 && !*got.name && !got.created &&
	   !got.counter[VIREO_NL_COUNTER_ENTRIES], "what is not there is 0");
	made_vcpu(&made, &vcpu);
	ok(!message_vcpu(header_of(&made), &vcpu_got) && !vcpu_got.nr_exits, "a vCPU that has not run");
	message_vcpu_free(&vcpu_got);
}

/* Attributes whose length is another than it must be */
static void test_lengths(void)
{
	static const struct { int type; size_t len; } wrong[] = {
		{ VIREO_NL_A_VM, 2 }, { VIREO_NL_A_VM, 8 }, { VIREO_NL_A_NAME, 0 }, { VIREO_NL_A_UID, 3 }, { VIREO_NL_A_PID, 0 },
		{ VIREO_NL_A_STATE, 8 }, { VIREO_NL_A_CREATED, 4 }, { VIREO_NL_A_SEQ, 9 }, { VIREO_NL_A_VCPUS, 1 },
		{ VIREO_NL_A_COUNTERS, 3 }, { VIREO_NL_A_MEMORY, 7 }, { VIREO_NL_A_THRESHOLDS, 1 },
	};
	static const char junk[64] = "\x08\0\x01\0junk";
	struct monitor_vm vm = made_some_vm(3, "web"), got;
	char name[MONITOR_NAME + 1];
	size_t i, bad = 0;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		made_vm(&made, &vm);
		append(&made, wrong[i].type, junk, wrong[i].len);
		if (message_vm(header_of(&made), &got) != -EBADMSG) {
			printf("# type %d with %zu bytes\n", wrong[i].type, wrong[i].len);
			bad++;
		}
	}
	is(bad, 0, "attributes of a wrong length are refused");
	memset(name, 'x', sizeof(name));
	made_vm(&made, &vm);
	append(&made, VIREO_NL_A_NAME, name, 5);
	is(message_vm(header_of(&made), &got), -EBADMSG, "a name without an end");
	name[MONITOR_NAME] = '\0';
	made_vm(&made, &vm);
	append(&made, VIREO_NL_A_NAME, name, sizeof(name));
	is(message_vm(header_of(&made), &got), -EBADMSG, "a name that is too long");
	name[MONITOR_NAME - 1] = '\0';
	made_vm(&made, &vm);
	append(&made, VIREO_NL_A_NAME, name, MONITOR_NAME);
	ok(!message_vm(header_of(&made), &got) && strlen(got.name) == MONITOR_NAME - 1, "the longest name");
	vm.number = 0;
	made_vm(&made, &vm);
	is(message_vm(header_of(&made), &got), -EBADMSG, "a VM without a number");
	header_of(&made)->nlmsg_len = NLMSG_HDRLEN + 2;
	is(message_vm(header_of(&made), &got), -EBADMSG, "less than a header");
}

static void test_nests(void)
{
	struct monitor_exit exits[2];
	struct monitor_vcpu vcpu = made_some_vcpu(3, 1, exits, 2), got;
	struct monitor_vm vm = made_some_vm(3, "web"), vm_got;
	struct nlattr *nest, *inner;

	made_vcpu(&made, &vcpu);
	nest = attr_of(&made, VIREO_NL_A_EXIT);
	inner = nla_data(nest);
	inner->nla_len++;
	is(message_vcpu(header_of(&made), &got), -EBADMSG, "an exit's reason of 5 bytes");
	made_vcpu(&made, &vcpu);
	inner->nla_type = VIREO_NL_EXIT_CYCLES;
	is(message_vcpu(header_of(&made), &got), -EBADMSG, "an exit without a reason");
	made_vcpu(&made, &vcpu);
	inner->nla_len = 0x7000;
	is(message_vcpu(header_of(&made), &got), -EBADMSG, "an attribute that is longer than its nest");
	made_vcpu(&made, &vcpu);
	nest->nla_len -= 4;
	is(message_vcpu(header_of(&made), &got), -EBADMSG, "a nest that ends in a histogram");
	made_vcpu(&made, &vcpu);
	nest = attr_of(&made, VIREO_NL_A_COUNTERS);
	inner = nla_data(nest);
	inner->nla_len -= 4;
	is(message_vcpu(header_of(&made), &got), -EBADMSG, "a counter of 4 bytes");
	made_vcpu(&made, &vcpu);
	inner->nla_type = VIREO_NL_COUNTER_MAX + 5;
	ok(!message_vcpu(header_of(&made), &got) && !got.counter[1], "a counter that nobody knows");
	message_vcpu_free(&got);
	made_vm(&made, &vm);
	nest = attr_of(&made, VIREO_NL_A_THRESHOLDS);
	inner = nla_data(nest);
	inner->nla_type = VIREO_NL_LIMIT_STALL;
	is(message_vm(header_of(&made), &vm_got), -EBADMSG, "a threshold in place of another one");
}

/* Where the attributes of a message end, with padding or without */
static bool is_boundary(struct made *m, size_t at)
{
	size_t end = NLMSG_HDRLEN + GENL_HDRLEN;
	const struct nlattr *attr;

	while (end < m->len && end < at) {
		attr = (const struct nlattr *)(m->bytes + end);
		if (at >= end + attr->nla_len && at <= end + NLA_ALIGN(attr->nla_len))
			return true;
		end += NLA_ALIGN(attr->nla_len);
	}
	return end == at;
}

static void test_cut(void)
{
	struct monitor_exit exits[2];
	struct monitor_vcpu vcpu = made_some_vcpu(3, 1, exits, 2);
	struct monitor_vm vm = made_some_vm(3, "web");
	struct monitor_event event = made_some_event(VIREO_NL_CMD_PHASE, VIREO_NL_OP_SEND);
	size_t len, bad = 0, kind;

	for (kind = 0; kind < 3; kind++) {
		if (kind == 0)
			made_vm(&made, &vm);
		else if (kind == 1)
			made_vcpu(&made, &vcpu);
		else
			made_event(&made, &event);
		for (len = NLMSG_HDRLEN + GENL_HDRLEN; len < made.len; len++)
			bad += !read_exact(&made, len) && !is_boundary(&made, len);
		bad += read_exact(&made, made.len) != 0;
	}
	is(bad, 0, "messages that are cut off inside of an attribute are refused");
}

/* No mutation is read beyond its end: a sanitizer would tell. */
static void test_mutations(void)
{
	struct monitor_exit exits[5];
	struct monitor_vcpu vcpu = made_some_vcpu(3, 1, exits, 5);
	struct monitor_vm vm = made_some_vm(3, "web");
	struct monitor_event event = made_some_event(VIREO_NL_CMD_THRESHOLD, VIREO_NL_THRESHOLD_STALL);
	unsigned int i, j, good = 0, refused = 0;

	srand(6);
	for (i = 0; i < MUTATIONS; i++) {
		if (i % 3 == 0)
			made_vm(&made, &vm);
		else if (i % 3 == 1)
			made_vcpu(&made, &vcpu);
		else
			made_event(&made, &event);
		for (j = 1 + (unsigned int)rand() % 4; j; j--) {
			size_t at = NLMSG_HDRLEN + (size_t)rand() % (made.len - NLMSG_HDRLEN);

			/* Lengths and types are where it hurts. */
			if (rand() % 2)
				at &= ~3UL;
			made.bytes[at] = (unsigned char)rand();
		}
		j = (unsigned int)rand() % 2 ? 0 : (unsigned int)rand() % 64;
		if (read_exact(&made, made.len - j))
			refused++;
		else
			good++;
	}
	ok(good && refused, "%u mutations: %u refused, %u not", MUTATIONS, refused, good);
}

/* ---- Numbers ---- */

static void test_texts(void)
{
	static const double values[] = { 0, 0.4, 1, 9.5, 99, 999, 9999, 9999.4, 10000, 99949, 123456, 999499, 999500, 1e6, 123456789,
					 1e12, 1.8e19 };
	char out[TEXT_NUMBER], clean[8];
	size_t i, bad = 0;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		bad += strlen(text_count(out, values[i])) > 6;
		bad += strlen(text_bytes(out, values[i])) > 6;
		bad += strlen(text_ns(out, values[i])) > 6 && values[i] < 1e15;
	}
	is(bad, 0, "no number has more than 6 columns");
	ok(!strcmp(text_count(out, 9999), "9999") && !strcmp(text_count(out, 12345), "12.3K") &&
	   !strcmp(text_count(out, 123456), "123K") && !strcmp(text_count(out, 999600), "1.0M") &&
	   !strcmp(text_count(out, 0.25), "0.2") && !strcmp(text_count(out, 3), "3"), "counts");
	ok(!strcmp(text_bytes(out, 0), "0") && !strcmp(text_bytes(out, 268435456), "256M") &&
	   !strcmp(text_bytes(out, 1610612736), "1.5G") && !strcmp(text_bytes(out, 1e6), "977K"), "bytes");
	ok(!strcmp(text_ns(out, 12), "12ns") && !strcmp(text_ns(out, 1500), "1.5us") && !strcmp(text_ns(out, 150000), "150us") &&
	   !strcmp(text_ns(out, 2e9), "2.0s"), "times");
	ok(!strcmp(text_age(out, 4.25), "4.2s") && !strcmp(text_age(out, 723), "12m03s") && !strcmp(text_age(out, 11040), "3h04m") &&
	   !strcmp(text_age(out, 183600), "2d03h"), "ages");
	ok(!strcmp(text_percent(out, 1), "100.0") && !strcmp(text_percent(out, TEXT_UNKNOWN), "-") &&
	   !strcmp(text_count(out, TEXT_UNKNOWN), "-") && !strcmp(text_ns(out, TEXT_UNKNOWN), "-"), "what is not known");
	ok(!strcmp(text_clean(clean, sizeof(clean), "a\033[31m\xc3\xa4"), "a?[31m?"), "no control characters");
}

static void test_rates(void)
{
	struct monitor_info info = made_some_info();
	struct monitor_exit exits[3], more[4];
	struct monitor_vcpu vcpu = made_some_vcpu(3, 0, exits, 3), later = made_some_vcpu(3, 0, more, 4);
	struct monitor_stats before = { .at = 200000000000ULL, .vm = made_some_vm(3, "web"), .vcpu = &vcpu, .nr = 1 };
	struct monitor_stats now = { .at = 202000000000ULL, .vm = before.vm, .vcpu = &later, .nr = 1 }, difference;
	struct rates_shares shares = rates_shares(before.vm.counter, NULL);
	struct monitor_exit *all;
	size_t nr;

	ok(shares.guest == 0.5 && shares.kernel == 0.125 && shares.user == 0.125 && shares.halted == 0.25, "shares");
	shares = rates_shares(before.vm.counter, before.vm.counter);
	ok(shares.guest < 0 && shares.halted < 0, "no time, no shares");
	now.vm.counter[VIREO_NL_COUNTER_CYCLES_ALL] += 10;
	now.vm.counter[VIREO_NL_COUNTER_CYCLES_HALTED] += 40;
	now.vm.counter[VIREO_NL_COUNTER_CYCLES_USER] -= 5;
	shares = rates_shares(now.vm.counter, before.vm.counter);
	ok(shares.guest == 0 && shares.halted == 1 && shares.user == 0, "times that are not of the same instant");

	more[0].count += 10;
	more[0].cycles += 10 * 500;
	exits[0].histogram[9] = 0xfffffffe;
	more[0].histogram[9] = 3;
	now.vm.counter[VIREO_NL_COUNTER_ENTRIES] += 10;
	now.vm.memory[VIREO_NL_MEMORY_DIRTIED] += 6;
	is(rates_difference(&now, &before, &difference), 0, "a difference");
	ok(difference.vm.counter[VIREO_NL_COUNTER_ENTRIES] == 10 && difference.vm.memory[VIREO_NL_MEMORY_DIRTIED] == 6 &&
	   difference.vm.memory[VIREO_NL_MEMORY_MAPPED_4K] == 512, "of counters, not of memory");
	ok(difference.vcpu[0].exits[0].count == 10 && difference.vcpu[0].exits[1].count == 0 &&
	   difference.vcpu[0].exits[3].count == 1200, "of exits, also of a reason that is new");
	is(difference.vcpu[0].exits[0].histogram[9], 5, "buckets wrap");
	ok(rates_mean(&difference.vcpu[0].exits[0], &info) == 500 && rates_ns(500, &info) == 250, "what one exit takes");
	ok(rates_mean(&difference.vcpu[0].exits[1], &info) < 0, "what none takes");
	ok(rates_mean(&more[3], &info) < 0, "exits to the launcher only have no time of their own");
	ok(rates_time(&now, &before) == 2 && rates_time(&now, NULL) == 102, "the time between");
	monitor_stats_free(&difference);

	now.vcpu = (struct monitor_vcpu[]){ vcpu, later };
	now.nr = 2;
	all = rates_exits(&now, &nr);
	ok(nr == 4 && all[0].reason == VIREO_EXIT_HLT && all[0].count == 610 && all[3].reason == VIREO_EXIT_MMIO &&
	   all[3].count == 1200, "exits of all vCPUs");
	free(all);
}

static void test_find(void)
{
	struct monitor_vm vm[] = {
		made_some_vm(3, "web"), made_some_vm(4, "db"), made_some_vm(7, "web"), made_some_vm(9, "4"), made_some_vm(12, "\033[2J"),
	};
	struct monitor_vms vms = { .vm = vm, .nr = ARRAY_SIZE(vm) }, none = { 0 };
	char why[320];

	ok(monitor_vms_find(&vms, "db", why, sizeof(why)) == &vm[1], "by name");
	ok(monitor_vms_find(&vms, "7", why, sizeof(why)) == &vm[2], "by number");
	ok(monitor_vms_find(&vms, "4", why, sizeof(why)) == &vm[3], "a name comes first");
	ok(!monitor_vms_find(&vms, "web", why, sizeof(why)) && strstr(why, "take one by its number: 3 7"), "several of a name");
	ok(!monitor_vms_find(&vms, "x\033", why, sizeof(why)) && strstr(why, "no VM \"x?\""), "none of that name");
	ok(!monitor_vms_find(&none, "web", why, sizeof(why)) && strstr(why, "network namespaces"), "none at all");
	ok(!monitor_vms_find(&vms, "web", NULL, 0), "nobody asks why");
}

/* ---- What is printed ---- */

static char *printed;
static size_t printed_len;

static bool prints(const char *what, const char *want)
{
	bool good = !strcmp(printed, want);

	ok(good, "%s", what);
	if (!good)
		printf("# --- got\n%s# --- want\n%s", printed, want);
	return good;
}

static struct stat_view some_view(struct monitor_info *info, struct monitor_stats *stats)
{
	static struct monitor_exit exits[5];
	static struct monitor_vcpu vcpu;

	vcpu = made_some_vcpu(3, 0, exits, 5);
	*info = made_some_info();
	*stats = (struct monitor_stats){ .at = 200000000000ULL, .vm = made_some_vm(3, "web\033"), .vcpu = &vcpu, .nr = 1 };
	return (struct stat_view){ .info = info, .stats = stats, .seconds = 100, .first = true };
}

static void test_stat_text(void)
{
	struct monitor_stats stats;
	struct monitor_info info;
	struct stat_view view = some_view(&info, &stats);
	FILE *to = open_memstream(&printed, &printed_len);

	stat_text(to, &view);
	fclose(to);
	prints("stat",
	       "web?: VM 3, running, 2 vCPUs, user 1000, process 4703; all 1m40s\n"
	       "time        guest 50.0%  kernel 12.5%  user 12.5%  halted 25.0%\n"
	       "exits       3000, 30/s; returns to user space 200\n"
	       "faults      read 300  write 400  fetch 500  tracked 600  mmio 700  guest's 800\n"
	       "injected    interrupts 900  NMIs 1000  exceptions 1100\n"
	       "interrupts  MSI 1200  IPI 1300  timer 1400  ended without an exit 2000\n"
	       "halts       1500  polled 1600  in time 1700\n"
	       "others      TLB flushes 1800  asked for by others 1900  yields 2100  interpreted 2200  dirtied 2300\n"
	       "memory      regions 256M  mapped 4K: 512  2M: 31  1G: 0\n"
	       "module's    tables 20K  tracking 24K  snapshots 28K  vCPUs 32K\n"
	       "dirty       30 pages, 0.3/s\n"
	       "\n"
	       "EXITS                           COUNT      /S      %  CYCLES    TIME  %TIME\n"
	       "wrmsr                             900       9   50.0    3000   1.5us    0.0\n"
	       "io                                600       6   33.3    3000   1.5us    0.0\n"
	       "hlt                               300       3   16.7    3000   1.5us    0.0\n"
	       "led to\n"
	       "reason-4660                      1500      15      -       -       -      -\n"
	       "mmio                             1200      12      -       -       -      -\n");
	free(printed);

	view = some_view(&info, &stats);
	view.first = false;
	view.seconds = 1;
	view.vcpus = true;
	view.histogram = true;
	stats.vcpu->nr_exits = 1;
	info.timed = false;
	to = open_memstream(&printed, &printed_len);
	stat_text(to, &view);
	fclose(to);
	ok(strstr(printed, "; the last 1.0s\n(the module does not measure time") &&
	   strstr(printed, "\nhlt                               300     300  100.0       -       -      -\n\nvCPU 0, thread 4800, CPU 0\n"),
	   "stat of vCPUs, without times");
	free(printed);
	info.timed = true;
	to = open_memstream(&printed, &printed_len);
	stat_text(to, &view);
	fclose(to);
	ok(strstr(printed, "\n       512ns ...         50 ##########\n"
			   "       1.0us ...        200 ########################################\n"
			   "       2.0us ...         50 ##########\n"), "with histograms");
	free(printed);
}

static void test_stat_json(void)
{
	struct monitor_stats stats;
	struct monitor_info info;
	struct stat_view view = some_view(&info, &stats);
	json_int_t count = 0;
	json_t *object, *exit;
	size_t i;

	view.vcpus = true;
	view.histogram = true;
	object = stat_json(&view);
	ok(object && !strcmp(json_string_value(json_object_get(object, "name")), "web\033"), "JSON has a way to write any name");
	is(json_integer_value(json_object_get(json_object_get(object, "counters"), "entries")), 3000, "counters");
	json_array_foreach(json_object_get(object, "exits"), i, exit)
		count += json_integer_value(json_object_get(exit, "count"));
	is(count, 4500, "exits");
	exit = json_array_get(json_object_get(json_array_get(json_object_get(object, "cpus"), 0), "exits"), 0);
	ok(!strcmp(json_string_value(json_object_get(exit, "reason")), "hlt") &&
	   json_real_value(json_object_get(exit, "mean-ns")) == 1500 &&
	   json_integer_value(json_array_get(json_object_get(exit, "histogram"), 11)) == 200, "of a vCPU");
	json_decref(object);
	strcpy(stats.vm.name, "\xff");
	stats.vm.counter[VIREO_NL_COUNTER_CYCLES_ALL] = 0;
	memset(stats.vm.counter, 0, sizeof(stats.vm.counter));
	object = stat_json(&view);
	ok(object && !strcmp(json_string_value(json_object_get(object, "name")), "?") &&
	   json_is_null(json_object_get(json_object_get(object, "shares"), "guest")), "what is no UTF-8, what is not known");
	json_decref(object);
}

static void test_names(void)
{
	unsigned int i, bad = 0;
	char a[NAMES_EXIT], b[NAMES_EXIT];

	for (i = 1; i < VIREO_NL_COUNTER_PAD; i++)
		bad += !strcmp(names_counter(i), "unknown");
	for (i = 1; i < VIREO_NL_MEMORY_PAD; i++)
		bad += !strcmp(names_memory(i), "unknown");
	for (i = 1; i < VIREO_NL_LIMIT_PAD; i++)
		bad += !strcmp(names_limit(i), "unknown");
	for (i = 0; i <= VIREO_NL_LIFE_DESTROYED; i++)
		bad += !strcmp(names_life(i), "unknown");
	for (i = 0; i <= VIREO_NL_OP_RECEIVE; i++)
		bad += !strcmp(names_operation(i), "unknown");
	is(bad, 0, "everything has a name");
	ok(!strcmp(names_state(99), "unknown") && !strcmp(names_exit(a, 4000), "reason-4000") &&
	   strcmp(names_exit(a, 4000), names_exit(b, 4001)), "what nobody knows");
}

/* ---- Events ---- */

static void begin_events(struct events *events, const struct monitor_vms *vms, const char *only, bool json)
{
	*events = (struct events){ .to = open_memstream(&printed, &printed_len), .only = only, .json = json, .since = 150000000000ULL };
	events_begin(events, vms);
}

static void event(struct events *events, uint32_t vm, uint64_t seq, enum vireo_nl_life what)
{
	struct monitor_event e = made_some_event(VIREO_NL_CMD_LIFE, what);

	e.vm = vm;
	e.seq = seq;
	snprintf(e.name, sizeof(e.name), "vm%u", vm);
	events_take(events, &e);
}

static void end_events(struct events *events)
{
	char *c;

	fclose(events->to);
	events_free(events);
	/* Of what is said of now, the time is any. */
	for (c = printed; (c = strstr(c, "lost ")) && strlen(printed) > 12; c++) {
		char *line = c;

		while (line > printed && line[-1] != '\n')
			line--;
		memcpy(line, "00:00:00.000", 12);
	}
}

static void test_events(void)
{
	struct monitor_vm vm[] = { made_some_vm(3, "vm3"), made_some_vm(4, "vm\033") };
	struct monitor_vms vms = { .at = 150000000000ULL, .vm = vm, .nr = 2 };
	struct events events;
	struct monitor_event e;

	begin_events(&events, &vms, NULL, false);
	/* Its number is smaller than what the first look knew. */
	event(&events, 3, 6, VIREO_NL_LIFE_STARTED);
	event(&events, 3, 7, VIREO_NL_LIFE_PAUSED);
	e = made_some_event(VIREO_NL_CMD_PHASE, VIREO_NL_OP_SNAPSHOT);
	events_take(&events, &e);
	e = made_some_event(VIREO_NL_CMD_THRESHOLD, VIREO_NL_THRESHOLD_EXITS);
	e.seq = 9;
	events_take(&events, &e);
	e = made_some_event(VIREO_NL_CMD_LIFE, VIREO_NL_LIFE_ERROR);
	e.seq = 10;
	e.vcpu = 1;
	strcpy(e.cause, "broken\033]0;");
	events_take(&events, &e);
	event(&events, 5, 1, VIREO_NL_LIFE_CREATED);
	event(&events, 4, 8, VIREO_NL_LIFE_DESTROYED);
	is(events.shown, 7, "events are counted");
	ok(!events.behind, "none was lost");
	end_events(&events);
	prints("events",
	       "00:02:30.000  vm3 (VM 3)  is running, with 2 vCPUs\n"
	       "00:02:30.000  vm? (VM 4)  is running, with 2 vCPUs\n"
	       "00:02:30.500  vm3 (VM 3)  #6  started\n"
	       "00:02:30.500  vm3 (VM 3)  #7  paused\n"
	       "00:02:30.500  web (VM 3)  #8  snapshot copy, 100 of 4096 pages\n"
	       "00:02:30.500  web (VM 3)  #9  exits over: 60000, the threshold is 50000\n"
	       "00:02:30.500  web (VM 3)  #10  error, vCPU 1: broken?]0;\n"
	       "00:02:30.500  vm5 (VM 5)  #1  created\n"
	       "00:02:30.500  vm4 (VM 4)  #8  destroyed\n");
	free(printed);

	/* One that was gone already at the first look is no loss. */
	begin_events(&events, &(struct monitor_vms){ 0 }, NULL, false);
	e = made_some_event(VIREO_NL_CMD_LIFE, VIREO_NL_LIFE_DESTROYED);
	e.time = 149000000000ULL;
	events_take(&events, &e);
	ok(!events.behind, "the end of a VM that was not seen");
	end_events(&events);
	free(printed);

	/* Of one VM only */
	begin_events(&events, &vms, "4", false);
	event(&events, 3, 9, VIREO_NL_LIFE_PAUSED);
	event(&events, 4, 8, VIREO_NL_LIFE_PAUSED);
	is(events.shown, 1, "of one VM");
	end_events(&events);
	free(printed);
}

static void test_lost(void)
{
	struct monitor_vm vm[] = { made_some_vm(3, "vm3"), made_some_vm(4, "vm4"), made_some_vm(5, "vm5") };
	struct monitor_vms vms = { .at = 150000000000ULL, .vm = vm, .nr = 3 };
	struct events events;

	/* A gap tells itself; the last events of 4 were lost, 5 has come and gone; 6 has come while all were looked at. */
	begin_events(&events, &vms, NULL, false);
	event(&events, 3, 10, VIREO_NL_LIFE_PAUSED);
	ok(events.behind, "a gap");
	vm[0].seq = 10;
	vm[0].state = VIREO_NL_STATE_PAUSED;
	vm[1].seq = 8;
	vms.at = 151000000000ULL;
	vms.nr = 2;
	events_look(&events);
	event(&events, 6, 1, VIREO_NL_LIFE_CREATED);
	events_catch_up(&events, &vms);
	ok(!events.behind, "it is up to date");
	event(&events, 3, 11, VIREO_NL_LIFE_RESUMED);
	event(&events, 4, 9, VIREO_NL_LIFE_PAUSED);
	event(&events, 6, 2, VIREO_NL_LIFE_STARTED);
	end_events(&events);
	prints("what was lost",
	       "00:02:30.000  vm3 (VM 3)  is running, with 2 vCPUs\n"
	       "00:02:30.000  vm4 (VM 4)  is running, with 2 vCPUs\n"
	       "00:02:30.000  vm5 (VM 5)  is running, with 2 vCPUs\n"
	       "00:00:00.000  vm3 (VM 3)  lost 2 events, #8 to #9\n"
	       "00:02:30.500  vm3 (VM 3)  #10  paused\n"
	       "00:02:30.500  vm6 (VM 6)  #1  created\n"
	       "00:02:31.000  vm3 (VM 3)  is paused, with 2 vCPUs\n"
	       "00:00:00.000  vm4 (VM 4)  lost 1 event, #8 to #8\n"
	       "00:02:31.000  vm4 (VM 4)  is running, with 2 vCPUs\n"
	       "00:02:31.000  vm5 (VM 5)  is gone\n"
	       "00:02:30.500  vm3 (VM 3)  #11  resumed\n"
	       "00:02:30.500  vm4 (VM 4)  #9  paused\n"
	       "00:02:30.500  vm6 (VM 6)  #2  started\n");
	free(printed);

	/* It has ended between the look and its answer's being read. */
	begin_events(&events, &vms, NULL, false);
	events_look(&events);
	event(&events, 4, 9, VIREO_NL_LIFE_DESTROYED);
	events_catch_up(&events, &vms);
	is(events.nr, 1, "one that has ended meanwhile is forgotten");
	end_events(&events);
	ok(!strstr(printed, "lost") && !strstr(printed, "gone"), "and not lost");
	free(printed);
}

static void test_events_json(void)
{
	struct monitor_vm vm = made_some_vm(3, "web");
	struct monitor_vms vms = { .at = 150000000000ULL, .vm = &vm, .nr = 1 };
	struct monitor_event e = made_some_event(VIREO_NL_CMD_THRESHOLD, VIREO_NL_THRESHOLD_STALL);
	struct events events;

	begin_events(&events, &vms, NULL, true);
	e.vcpu = 1;
	events_take(&events, &e);
	fclose(events.to);
	events_free(&events);
	prints("events as JSON",
	       "{\"time\":\"1970-01-01T00:02:30.000000Z\",\"vm\":3,\"name\":\"web\",\"event\":\"state\",\"state\":\"running\","
	       "\"vcpus\":2,\"seq\":7}\n"
	       "{\"event\":\"listening\",\"vms\":1}\n"
	       "{\"time\":\"1970-01-01T00:02:30.500000Z\",\"vm\":3,\"name\":\"web\",\"seq\":8,\"group\":\"thresholds\","
	       "\"event\":\"stall\",\"over\":true,\"value\":60000,\"limit\":50000,\"vcpu\":1}\n");
	free(printed);
}

/* ---- Odds and ends ---- */

static void test_arguments(void)
{
	static const char *const bad[] = { "", "0", "0.09", ".5", "1.", "1.2345", "1s", "-1", "86401", "1e3", "100000", "0x1" };
	size_t i, wrong = 0;
	uint64_t out = 0;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		wrong += !command_interval(bad[i], &out);
	is(wrong, 0, "intervals that are none");
	ok(!command_interval("1", &out) && out == 1000 && !command_interval("0.1", &out) && out == 100 &&
	   !command_interval("2.25", &out) && out == 2250 && !command_interval("86400", &out) && out == 86400000, "intervals");
	ok(command_count("0", &out) && command_count("x", &out) && !command_count("3", &out) && out == 3, "counts");
}

static void test_thread_names(void)
{
	char name[CPU_THREAD_NAME];

	cpu_thread_name(name, "web", 0);
	ok(!strcmp(name, "web/0"), "a vCPU's thread");
	cpu_thread_name(name, "a-machine-with-a-long-name", 63);
	ok(!strcmp(name, "a-machine-wi/63"), "a long name is cut, the number is not");
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	test_good();
	test_other_version();
	test_lengths();
	test_nests();
	test_cut();
	test_mutations();
	test_texts();
	test_rates();
	test_find();
	test_names();
	test_stat_text();
	test_stat_json();
	test_events();
	test_lost();
	test_events_json();
	test_arguments();
	test_thread_names();
	return tap_done();
}

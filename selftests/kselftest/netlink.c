// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic-netlink family "vireo": what it says against what guests have done, who may see what, events.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>
#include "kselftest_harness.h"
#include "nl.h"

#define COUNTER(seen, name) ((seen).counter[VIREO_NL_COUNTER_##name])
#define MEMORY(seen, name) ((seen).memory[VIREO_NL_MEMORY_##name])

/* A user who is nobody in particular. */
#define USER 1000

static bool stats_on(void)
{
	int fd = open("/sys/module/vireo/parameters/stats", O_RDONLY);
	char c = 'Y';

	if (fd >= 0) {
		if (read(fd, &c, 1) != 1)
			c = 'Y';
		close(fd);
	}
	return c == 'Y';
}

static void need_family(void)
{
	close(vt_open_or_skip());
	if (!vn_family())
		vt_die("there is no family \"" VIREO_NL_FAMILY "\"");
}

static void vm_named(struct vt_vm *vm, const char *name)
{
	vm->dev = vt_open();
	vm->fd = vm->dev < 0 ? vm->dev : vt_vm_fd(vm->dev, name);
	if (vm->fd < 0)
		vt_die("a VM: %s", strerror(-vm->fd));
}

static int report(int vm, u32 kind, const char *phase, const char *cause, u64 pages, u64 total)
{
	struct vireo_report r = { .size = sizeof(r), .kind = kind, .pages = pages, .total = total };

	strncpy(r.phase, phase, sizeof(r.phase) - 1);
	strncpy(r.cause, cause, sizeof(r.cause) - 1);
	return vt_ioctl(vm, VIREO_REPORT, &r);
}

/* What a child process found: 0, or the line where something was not as it should be. */
#define CHECK(what) do { if (!(what)) { printf("# line %d: %s\n", __LINE__, #what); fflush(stdout); _exit(1); } } while (0)

static int child_status(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ------------------------------------------------------------------ */
/* Requests                                                             */

static void take_info(struct nlmsghdr *head, void *data)
{
	struct nlattr *tb[VIREO_NL_A_MAX + 1];
	struct vireo_info *info = data;

	genlmsg_parse(head, 0, tb, VIREO_NL_A_MAX, NULL);
	snprintf(info->version, sizeof(info->version), "%s", nla_get_string(tb[VIREO_NL_A_VERSION]));
	info->abi = nla_get_u32(tb[VIREO_NL_A_ABI]);
	info->vendor = nla_get_u32(tb[VIREO_NL_A_VENDOR]);
	info->features = nla_get_u64(tb[VIREO_NL_A_FEATURES]);
	info->tsc_khz = nla_get_u32(tb[VIREO_NL_A_TSC_KHZ]);
	info->size = nla_get_u32(tb[VIREO_NL_A_STATS]);
}

TEST(info)
{
	struct vireo_info want = { .size = sizeof(want) }, got = {};
	int dev = vt_open_or_skip(), fd;

	need_family();
	fd = vn_open(0);
	ASSERT_EQ(0, vt_ioctl(dev, VIREO_GET_INFO, &want));
	ASSERT_EQ(0, vn_ask(fd, vn_request(VIREO_NL_CMD_GET_INFO, 0), take_info, &got, NULL));
	EXPECT_STREQ(want.version, got.version);
	EXPECT_EQ(want.abi, got.abi);
	EXPECT_EQ(want.vendor, got.vendor);
	EXPECT_EQ(want.features, got.features);
	EXPECT_EQ(want.tsc_khz, got.tsc_khz);
	EXPECT_EQ(stats_on(), got.size);
	close(fd);
	close(dev);
}

TEST(vms)
{
	struct vn_seen all[8], one;
	struct vt_vm vm[3];
	struct vt_vcpu cpu;
	u32 number[3];
	int fd, i, n;
	u64 seq;

	need_family();
	fd = vn_open(0);
	EXPECT_EQ(0, vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8));
	EXPECT_EQ(0, vn_dump(fd, VIREO_NL_CMD_GET_VCPU, 0, all, 8));
	vm_named(&vm[0], "first");
	vm_named(&vm[1], "");
	vm_named(&vm[2], "a name of thirty-one characters");
	vt_vcpu_create(&vm[0], &cpu, 5);
	ASSERT_EQ(3, vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8));
	for (i = 0; i < 3; i++) {
		number[i] = all[i].vm;
		EXPECT_TRUE(!i || number[i] > number[i - 1]);
		ASSERT_EQ(0, vn_get_vm(fd, number[i], &one));
		EXPECT_EQ(VIREO_NL_CMD_GET_VM, one.cmd);
		EXPECT_STREQ(all[i].name, one.name);
		EXPECT_EQ(getpid(), one.pid);
		EXPECT_EQ(geteuid(), one.uid);
		EXPECT_EQ(!i, one.vcpus);
		EXPECT_EQ(VIREO_NL_STATE_NEW, one.state);
		EXPECT_EQ(1, one.seq);
		EXPECT_NE(0, one.created);
	}
	EXPECT_STREQ("a name of thirty-one characters", all[2].name);
	seq = one.created;

	ASSERT_EQ(0, vn_get_vcpu(fd, number[0], 5, &one));
	EXPECT_EQ(5, one.vcpu);
	EXPECT_EQ(0, one.tid);
	EXPECT_EQ(-ENOENT, vn_get_vcpu(fd, number[0], 4, &one));
	EXPECT_EQ(-ERANGE, vn_get_vcpu(fd, number[0], 64, &one));
	EXPECT_EQ(1, vn_dump(fd, VIREO_NL_CMD_GET_VCPU, 0, all, 8));
	EXPECT_EQ(1, vn_dump(fd, VIREO_NL_CMD_GET_VCPU, number[0], all, 8));
	EXPECT_EQ(0, vn_dump(fd, VIREO_NL_CMD_GET_VCPU, number[1], all, 8));

	/* A number is not given again. */
	close(vm[1].fd);
	EXPECT_EQ(-ENOENT, vn_get_vm(fd, number[1], &one));
	vm[1].fd = vt_vm_fd(vm[1].dev, "next");
	n = vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8);
	ASSERT_EQ(3, n);
	EXPECT_STREQ("next", all[2].name);
	EXPECT_GT(all[2].vm, number[2]);
	EXPECT_GE(all[2].created, seq);
	vt_vcpu_close(&cpu);
	for (i = 0; i < 3; i++) {
		close(vm[i].fd);
		close(vm[i].dev);
	}
	EXPECT_EQ(0, vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8));
	close(fd);
}

/* What is wrong is said, and where. */
TEST(refused)
{
	const u32 head = NLMSG_HDRLEN + GENL_HDRLEN;
	struct nl_msg *msg;
	struct nlattr *nest;
	u32 offset, number;
	struct vn_seen one;
	struct vt_vm vm;
	int fd;

	need_family();
	fd = vn_open(0);
	vm_named(&vm, "refused");
	number = vn_number(fd, "refused");

	EXPECT_EQ(-EINVAL, vn_ask(fd, vn_request(VIREO_NL_CMD_GET_VM, 0), NULL, NULL, NULL));
	EXPECT_EQ(-EINVAL, vn_ask(fd, vn_request(VIREO_NL_CMD_GET_STATS, NLM_F_DUMP), NULL, NULL, NULL));
	EXPECT_EQ(-EOPNOTSUPP, vn_ask(fd, vn_request(VIREO_NL_CMD_GET_STATS, 0), NULL, NULL, NULL));
	EXPECT_EQ(-EOPNOTSUPP, vn_ask(fd, vn_request(VIREO_NL_CMD_LIFE, 0), NULL, NULL, NULL));
	EXPECT_EQ(-EOPNOTSUPP, vn_ask(fd, vn_request(VIREO_NL_CMD_MAX + 1, 0), NULL, NULL, NULL));
	EXPECT_EQ(-ERANGE, vn_get_vm(fd, 0, &one));
	EXPECT_EQ(-ENOENT, vn_get_vm(fd, ~0U, &one));

	/* a VM where none belongs, an attribute that is not of the request, one too short, one that is there twice */
	msg = vn_request(VIREO_NL_CMD_GET_VM, NLM_F_DUMP);
	nla_put_u32(msg, VIREO_NL_A_VM, number);
	EXPECT_EQ(-EINVAL, vn_ask(fd, msg, NULL, NULL, NULL));
	msg = vn_request(VIREO_NL_CMD_GET_VM, 0);
	nla_put_u32(msg, VIREO_NL_A_VM, number);
	nla_put_string(msg, VIREO_NL_A_NAME, "x");
	offset = 0;
	EXPECT_EQ(-EINVAL, vn_ask(fd, msg, NULL, NULL, &offset));
	EXPECT_EQ(head + 8, offset);
	msg = vn_request(VIREO_NL_CMD_GET_VM, 0);
	nla_put_u16(msg, VIREO_NL_A_VM, number);
	offset = 0;
	EXPECT_EQ(-EINVAL, vn_ask(fd, msg, NULL, NULL, &offset));
	EXPECT_EQ(head, offset);
	msg = vn_request(VIREO_NL_CMD_GET_INFO, 0);
	nla_put_u32(msg, VIREO_NL_A_VM, number);
	EXPECT_EQ(-EINVAL, vn_ask(fd, msg, NULL, NULL, NULL));

	/* thresholds: none, not nested, out of range, unknown ones */
	msg = vn_request(VIREO_NL_CMD_SET_THRESHOLDS, 0);
	nla_put_u32(msg, VIREO_NL_A_VM, number);
	EXPECT_EQ(-EINVAL, vn_ask(fd, msg, NULL, NULL, NULL));
	msg = vn_request(VIREO_NL_CMD_SET_THRESHOLDS, 0);
	nla_put_u32(msg, VIREO_NL_A_VM, number);
	nla_put_u32(msg, VIREO_NL_A_THRESHOLDS, 7);
	EXPECT_NE(0, vn_ask(fd, msg, NULL, NULL, NULL));
	EXPECT_EQ(-ERANGE, vn_set_thresholds(fd, number, 5, 0, 99));
	EXPECT_EQ(-ERANGE, vn_set_thresholds(fd, number, 5, 0, 3600001));
	EXPECT_EQ(-ENOENT, vn_set_thresholds(fd, number + 1, 5, 0, 100));
	msg = vn_request(VIREO_NL_CMD_SET_THRESHOLDS, 0);
	nla_put_u32(msg, VIREO_NL_A_VM, number);
	nest = nla_nest_start(msg, VIREO_NL_A_THRESHOLDS | NLA_F_NESTED);
	nla_put_u64(msg, VIREO_NL_LIMIT_EXITS, 5);
	nla_put_u32(msg, VIREO_NL_LIMIT_MAX + 1, 5);
	nla_nest_end(msg, nest);
	EXPECT_EQ(-EINVAL, vn_ask(fd, msg, NULL, NULL, NULL));
	ASSERT_EQ(0, vn_get_vm(fd, number, &one));
	EXPECT_EQ(0, one.limit_exits);
	EXPECT_EQ(0, vn_set_thresholds(fd, number, 5, 6, 700));
	ASSERT_EQ(0, vn_get_vm(fd, number, &one));
	EXPECT_EQ(5, one.limit_exits);
	EXPECT_EQ(6, one.limit_dirty);
	EXPECT_EQ(700, one.limit_stall);
	EXPECT_EQ(0, vn_set_thresholds(fd, number, 0, 0, 0));
	ASSERT_EQ(0, vn_get_vm(fd, number, &one));
	EXPECT_EQ(0, one.limit_exits + one.limit_dirty + one.limit_stall);
	close(vm.fd);
	close(vm.dev);
	close(fd);
}

/* ------------------------------------------------------------------ */
/* Counts                                                               */

/* RSI CPUIDs; as many reads of memory that is not there, at 1 GiB; writes to as many pages from RDI on */
GUEST(busy, 64,
	"mov %rsi, %rbp\n"
	"1: xor %eax, %eax; cpuid; dec %rbp; jnz 1b\n"
	"out %al, $0x10\n"
	"mov %rsi, %rbp\n"
	"2: mov (0x40000000), %eax; dec %rbp; jnz 2b\n"
	"out %al, $0x11\n"
	"mov %rsi, %rbp\n"
	"3: movb $1, (%rdi); add $4096, %rdi; dec %rbp; jnz 3b\n"
	"out %al, $0x12\n"
	"hlt");

#define ROUNDS 1000
#define PAGES 100
#define FRESH 0x400000		/* a region where nothing else is */
#define FRESH_BYTES (2UL << 20)

static u32 run_mmio(struct vt_vcpu *cpu)
{
	u32 n = 0;
	int r;

	for (;;) {
		r = vt_run(cpu);
		if (r == -EINTR)
			continue;
		if (r || cpu->run->exit_reason != VIREO_EXIT_MMIO)
			return n;
		n++;
	}
}

TEST(counts)
{
	struct vn_seen a, b, stats[2], both[2];
	struct vt_vcpu cpu, other;
	struct vt_vm vm;
	u32 number, i;
	int fd;

	need_family();
	fd = vn_open(0);
	vt_guest64(&vm, &cpu, busy, FRESH, ROUNDS);
	vt_vcpu_create(&vm, &other, 1);
	madvise(vm.mem, vm.bytes, MADV_NOHUGEPAGE);
	number = vn_number(fd, "test");
	ASSERT_EQ(0, vn_get_vcpu(fd, number, 0, &a));
	EXPECT_EQ(0, COUNTER(a, ENTRIES));
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	ASSERT_EQ(2, vn_dump(fd, VIREO_NL_CMD_GET_STATS, number, stats, 2));
	EXPECT_EQ(ROUNDS, stats[0].exit[VIREO_EXIT_CPUID].count);
	EXPECT_EQ(1, stats[0].exit[VIREO_EXIT_IO].count);
	EXPECT_EQ(0, stats[1].exit[VIREO_EXIT_CPUID].count);
	EXPECT_EQ(getpid(), stats[0].tid);
	EXPECT_LE(0, stats[0].cpu);
	if (stats_on()) {
		EXPECT_EQ(ROUNDS, stats[0].exit[VIREO_EXIT_CPUID].times);
		EXPECT_GE(stats[0].exit[VIREO_EXIT_CPUID].cycles, ROUNDS);
		/* The last exit's time is not over. */
		EXPECT_EQ(0, stats[0].exit[VIREO_EXIT_IO].times);
		EXPECT_EQ(1, stats[0].exit[VIREO_EXIT_NONE].times);
		EXPECT_EQ(0, stats[0].exit[VIREO_EXIT_NONE].count);
		EXPECT_NE(0, COUNTER(stats[0], CYCLES_KERNEL));
		EXPECT_NE(0, COUNTER(stats[0], CYCLES_USER));
		EXPECT_GE(COUNTER(stats[0], CYCLES_ALL), COUNTER(stats[0], CYCLES_KERNEL) + COUNTER(stats[0], CYCLES_USER) +
			  COUNTER(stats[0], CYCLES_HALTED));
	}
	EXPECT_EQ(0, COUNTER(stats[1], CYCLES_ALL));

	/* The launcher answers each. */
	ASSERT_EQ(0, vn_get_vcpu(fd, number, 0, &a));
	EXPECT_EQ(ROUNDS, run_mmio(&cpu));
	ASSERT_EQ(0, vn_get_vcpu(fd, number, 0, &b));
	EXPECT_EQ(ROUNDS, COUNTER(b, FAULTS_MMIO) - COUNTER(a, FAULTS_MMIO));
	EXPECT_GE(COUNTER(b, USER_EXITS) - COUNTER(a, USER_EXITS), ROUNDS + 1);
	ASSERT_EQ(2, vn_dump(fd, VIREO_NL_CMD_GET_STATS, number, stats, 2));
	EXPECT_EQ(ROUNDS, stats[0].exit[VIREO_EXIT_MMIO].count);
	EXPECT_EQ(2, stats[0].exit[VIREO_EXIT_IO].count);

	/* The VM's are the sums; nobody runs. */
	ASSERT_EQ(2, vn_dump(fd, VIREO_NL_CMD_GET_VCPU, number, both, 2));
	ASSERT_EQ(0, vn_get_vm(fd, number, &b));
	for (i = 1; i < VIREO_NL_COUNTER_CYCLES_KERNEL; i++)
		EXPECT_EQ(both[0].counter[i] + both[1].counter[i], b.counter[i]);
	EXPECT_EQ(vm.bytes, MEMORY(b, REGIONS));
	EXPECT_NE(0, MEMORY(b, TABLES));
	EXPECT_GE(MEMORY(b, VCPUS), 2 * 4096);
	EXPECT_EQ(0, MEMORY(b, SNAPSHOTS));
	vt_vcpu_close(&cpu);
	vt_vcpu_close(&other);
	vt_vm_close(&vm);
	EXPECT_EQ(-ENOENT, vn_get_vm(fd, number, &b));
	close(fd);
}

TEST(faults)
{
	struct vireo_tracking tracking = { .size = sizeof(tracking), .slot = 1, .on = 1 };
	struct vireo_snapshot snapshot = { .size = sizeof(snapshot) };
	struct vireo_msi msi = { .size = sizeof(msi), .address = 0xfee00000, .data = 0x40 };
	struct vn_seen a, b;
	u64 bitmap[FRESH_BYTES >> 12 >> 6] = {};
	struct vireo_dirty_log log = { .size = sizeof(log), .slot = 1, .pages = FRESH_BYTES >> 12, .bitmap = (u64)bitmap };
	struct vt_vcpu cpu;
	struct vt_vm vm;
	u32 number, i;
	void *fresh;
	int fd;

	need_family();
	fd = vn_open(0);
	vt_guest64(&vm, &cpu, busy, FRESH, PAGES);
	fresh = mmap(NULL, FRESH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(fresh, FRESH_BYTES, MADV_NOHUGEPAGE);
	ASSERT_EQ(0, vt_region(vm.fd, 1, FRESH, FRESH_BYTES, fresh, 0));
	number = vn_number(fd, "test");
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	ASSERT_EQ(PAGES, run_mmio(&cpu));
	ASSERT_EQ(VIREO_EXIT_IO, cpu.run->exit_reason);

	/* Nothing of it is in memory yet: a fault for each page. */
	ASSERT_EQ(0, vn_get_vm(fd, number, &a));
	ASSERT_GE(vt_run_to_out(&cpu, 0x12), 0);
	ASSERT_EQ(0, vn_get_vm(fd, number, &b));
	EXPECT_EQ(PAGES, COUNTER(b, FAULTS_WRITE) - COUNTER(a, FAULTS_WRITE));
	EXPECT_GE(COUNTER(b, FAULTS_READ) + COUNTER(b, FAULTS_FETCH), 1);
	EXPECT_GE(MEMORY(b, MAPPED_4K) - MEMORY(a, MAPPED_4K), PAGES);
	EXPECT_EQ(0, MEMORY(b, DIRTIED));

	/* Followed: written again, each is found once, however that is done. */
	ASSERT_EQ(0, vt_ioctl(vm.fd, VIREO_SET_TRACKING, &tracking));
	ASSERT_EQ(0, vn_get_vm(fd, number, &a));
	EXPECT_GE(MEMORY(a, TRACKING), FRESH_BYTES >> 12 >> 3);
	for (i = 0; i < 2; i++) {
		vt_long_mode(&vm, &cpu, VT_CODE, FRESH, PAGES);
		ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
		ASSERT_EQ(PAGES, run_mmio(&cpu));
		ASSERT_EQ(0, vt_ioctl(vm.fd, VIREO_GET_DIRTY, &log));
		ASSERT_EQ(0, vn_get_vm(fd, number, &a));
		ASSERT_GE(vt_run_to_out(&cpu, 0x12), 0);
		ASSERT_EQ(0, vt_ioctl(vm.fd, VIREO_GET_DIRTY, &log));
		ASSERT_EQ(0, vn_get_vm(fd, number, &b));
		EXPECT_EQ(PAGES, MEMORY(b, DIRTIED) - MEMORY(a, DIRTIED));
	}

	for (i = 0; i < 7; i++)
		EXPECT_GE(vt_ioctl(vm.fd, VIREO_SEND_MSI, &msi), 0);
	ASSERT_EQ(0, vn_get_vm(fd, number, &a));
	EXPECT_EQ(7, COUNTER(a, IRQS_MSI));

	/* A snapshot: what it keeps is counted, and not any more when it goes. */
	cpu.run->immediate_exit = 1;
	vt_run(&cpu);
	cpu.run->immediate_exit = 0;
	ASSERT_EQ(0, vt_ioctl(vm.fd, VIREO_SNAPSHOT, &snapshot));
	vt_long_mode(&vm, &cpu, VT_CODE, FRESH, PAGES);
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	ASSERT_EQ(PAGES, run_mmio(&cpu));
	ASSERT_EQ(0, vn_get_vm(fd, number, &a));
	ASSERT_GE(vt_run_to_out(&cpu, 0x12), 0);
	ASSERT_EQ(0, vn_get_vm(fd, number, &b));
	EXPECT_NE(0, MEMORY(a, SNAPSHOTS));
	EXPECT_EQ(PAGES * 4096, MEMORY(b, SNAPSHOTS) - MEMORY(a, SNAPSHOTS));
	cpu.run->immediate_exit = 1;
	vt_run(&cpu);
	cpu.run->immediate_exit = 0;
	snapshot.id = 0;
	ASSERT_EQ(0, vt_ioctl(vm.fd, VIREO_DROP_SNAPSHOT, &snapshot));
	ASSERT_EQ(0, vn_get_vm(fd, number, &b));
	EXPECT_EQ(0, MEMORY(b, SNAPSHOTS));
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
	close(fd);
}

/* ------------------------------------------------------------------ */
/* Who may see what                                                     */

static void become(uid_t uid)
{
	CHECK(!setgroups(0, NULL) && !setresgid(uid, uid, uid) && !setresuid(uid, uid, uid));
}

static void only_net_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};

	data[0].permitted = data[0].effective = 1U << CAP_NET_ADMIN;
	CHECK(!prctl(PR_SET_KEEPCAPS, 1));
	become(USER + 1);
	CHECK(!syscall(SYS_capset, &head, data));
}

TEST(users)
{
	struct vn_seen all[8];
	struct vt_vm vm;
	int dev, rooted;
	u32 number;
	pid_t pid;

	if (geteuid())
		SKIP(return, "only root can be somebody else");
	need_family();
	vm_named(&vm, "root's");
	rooted = vn_open(0);
	number = vn_number(rooted, "root's");
	dev = vm.dev;

	pid = fork();
	if (!pid) {
		int fd, mine;

		become(USER);
		fd = vn_open(0);
		CHECK(vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8) == 0);
		CHECK(vn_get_vm(fd, number, &all[0]) == -ENOENT);
		CHECK(vn_dump(fd, VIREO_NL_CMD_GET_STATS, number, all, 8) == -ENOENT);
		CHECK(vn_set_thresholds(fd, number, 1, 0, 0) == -ENOENT);
		/* What root has opened shows neither. */
		CHECK(vn_dump(rooted, VIREO_NL_CMD_GET_VM, 0, all, 8) == 0);
		mine = vt_vm_fd(dev, "user's");
		CHECK(mine >= 0);
		CHECK(vn_dump(rooted, VIREO_NL_CMD_GET_VM, 0, all, 8) == 0);
		CHECK(vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8) == 1);
		CHECK(!strcmp(all[0].name, "user's") && all[0].uid == USER && all[0].pid == getpid());
		CHECK(vn_set_thresholds(fd, all[0].vm, 1, 0, 0) == 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));

	/* Somebody else whose business is the network sees both. */
	pid = fork();
	if (!pid) {
		int mine = vt_vm_fd(dev, "child's"), fd;

		CHECK(mine >= 0);
		only_net_admin();
		fd = vn_open(0);
		CHECK(vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8) == 2);
		CHECK(all[0].vm == number && all[0].uid == 0);
		CHECK(vn_get_vm(fd, number, &all[0]) == 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
	close(vm.fd);
	close(vm.dev);
	close(rooted);
}

/* A dump is the sender's, whoever reads it. */
TEST(dump_of_sender)
{
	static struct vt_vm vm[64];
	struct vn_seen seen;
	struct nl_msg *msg;
	char buffer[32768];
	struct nlmsghdr *h;
	int fd, i, n;
	pid_t pid;

	if (geteuid())
		SKIP(return, "only root can be somebody else");
	need_family();
	for (i = 0; i < 64; i++)
		vm_named(&vm[i], "one of many");
	fd = vn_open(0);
	msg = vn_request(VIREO_NL_CMD_GET_VM, NLM_F_DUMP | NLM_F_REQUEST);
	ASSERT_LT(0, send(fd, nlmsg_hdr(msg), nlmsg_hdr(msg)->nlmsg_len, 0));
	nlmsg_free(msg);
	pid = fork();
	if (!pid) {
		int got = 0;

		become(USER);
		for (;;) {
			n = recv(fd, buffer, sizeof(buffer), 0);
			CHECK(n > 0);
			for (h = (void *)buffer; nlmsg_ok(h, n); h = nlmsg_next(h, &n)) {
				if (h->nlmsg_type == NLMSG_DONE) {
					CHECK(got == 64);
					_exit(0);
				}
				vn_parse(h, &seen);
				CHECK(seen.pid == getppid());
				got++;
			}
		}
	}
	EXPECT_EQ(0, child_status(pid));
	for (i = 0; i < 64; i++) {
		close(vm[i].fd);
		close(vm[i].dev);
	}
	close(fd);
}

TEST(net_namespaces)
{
	struct vn_seen all[8];
	struct vt_vm vm;
	int fd;
	pid_t pid;

	if (geteuid())
		SKIP(return, "only root can leave a namespace");
	need_family();
	vm_named(&vm, "outside");
	fd = vn_open(0);
	pid = fork();
	if (!pid) {
		int old = open("/proc/self/ns/net", O_RDONLY), inside, mine;

		CHECK(old >= 0 && !unshare(CLONE_NEWNET));
		inside = vn_open(0);
		CHECK(vn_dump(inside, VIREO_NL_CMD_GET_VM, 0, all, 8) == 0);
		mine = vt_vm_fd(vm.dev, "inside");
		CHECK(mine >= 0);
		CHECK(vn_dump(inside, VIREO_NL_CMD_GET_VM, 0, all, 8) == 1);
		CHECK(!strcmp(all[0].name, "inside"));
		/* The socket's namespace counts, not where its owner is. */
		CHECK(vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8) == 1);
		CHECK(!strcmp(all[0].name, "outside"));
		/* The namespace goes, the VM stays. */
		CHECK(!setns(old, CLONE_NEWNET));
		close(inside);
		usleep(300000);
		CHECK(report(mine, VIREO_REPORT_PAUSED, "", "nobody listens", 0, 0) == 0);
		CHECK(vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8) == 1);
		close(mine);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
	close(vm.fd);
	close(vm.dev);
	close(fd);
}

static void write_text(const char *path, const char *text)
{
	CHECK(!vt_write_file(path, text));
}

TEST(user_namespaces)
{
	struct vn_seen all[8];
	struct vt_vm vm;
	pid_t pid;

	if (geteuid())
		SKIP(return, "only root can be somebody else");
	need_family();
	vm_named(&vm, "outside");
	pid = fork();
	if (!pid) {
		char text[32];
		int fd, mine;

		become(USER);
		prctl(PR_SET_DUMPABLE, 1);
		CHECK(!unshare(CLONE_NEWUSER));
		write_text("/proc/self/setgroups", "deny");
		snprintf(text, sizeof(text), "0 %d 1", USER);
		write_text("/proc/self/uid_map", text);
		/* Root of nothing: the network namespace is not its own. */
		fd = vn_open(0);
		CHECK(geteuid() == 0);
		CHECK(vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8) == 0);
		close(fd);
		CHECK(!unshare(CLONE_NEWNET));
		fd = vn_open(0);
		CHECK(vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8) == 0);
		mine = vt_vm_fd(vm.dev, "inside");
		CHECK(mine >= 0);
		CHECK(vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8) == 1);
		CHECK(all[0].uid == 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
	close(vm.fd);
	close(vm.dev);
}

TEST(pid_namespaces)
{
	struct vn_seen all[8];
	struct vt_vm vm;
	pid_t pid;

	if (geteuid())
		SKIP(return, "only root can leave a namespace");
	need_family();
	vm_named(&vm, "outside");
	pid = fork();
	if (!pid) {
		pid_t child;

		CHECK(!unshare(CLONE_NEWPID));
		child = fork();
		if (!child) {
			int fd = vn_open(0), mine = vt_vm_fd(vm.dev, "inside");

			CHECK(mine >= 0 && getpid() == 1);
			CHECK(vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, all, 8) == 2);
			CHECK(all[0].pid == 0 && all[1].pid == 1);
			_exit(0);
		}
		CHECK(child_status(child) == 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
	close(vm.fd);
	close(vm.dev);
}

/* ------------------------------------------------------------------ */
/* Events                                                               */

static int listen_all(int rcvbuf)
{
	int fd = vn_open(rcvbuf);

	if (vn_join(fd, VIREO_NL_GROUP_LIFE) || vn_join(fd, VIREO_NL_GROUP_PHASES) || vn_join(fd, VIREO_NL_GROUP_THRESHOLDS))
		vt_die("cannot listen: %s", strerror(errno));
	return fd;
}

GUEST(down, 64, "out %al, $0x10; lidt (%rip); ud2");

#define NEXT(cmd_, seq_) do {						\
	ASSERT_EQ(1, vn_event(fd, &e, 5000));				\
	EXPECT_EQ(VIREO_NL_CMD_##cmd_, e.cmd);				\
	EXPECT_EQ(seq_, e.seq);						\
	EXPECT_EQ(number, e.vm);					\
	EXPECT_STREQ("test", e.name);					\
	EXPECT_GE(e.time, time);					\
	time = e.time;							\
} while (0)

TEST(events)
{
	struct vireo_snapshot snapshot = { .size = sizeof(snapshot) };
	struct vireo_events events;
	u32 number, seq = 0, down_at;
	struct vt_vcpu cpu;
	struct vn_seen e;
	struct vt_vm vm;
	u64 time = 0;
	int fd, ask;

	need_family();
	fd = listen_all(0);
	ask = vn_open(0);
	vt_guest64(&vm, &cpu, down, 0, 0);
	number = vn_number(ask, "test");
	NEXT(LIFE, ++seq);
	EXPECT_EQ(VIREO_NL_LIFE_CREATED, e.life);
	EXPECT_EQ(VIREO_NL_STATE_NEW, e.state);
	EXPECT_EQ(0, e.pid);

	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	NEXT(LIFE, ++seq);
	EXPECT_EQ(VIREO_NL_LIFE_STARTED, e.life);
	EXPECT_EQ(VIREO_NL_STATE_RUNNING, e.state);
	EXPECT_EQ(0, e.vcpu);

	EXPECT_EQ(0, report(vm.fd, VIREO_REPORT_PAUSED, "", "lunch", 0, 0));
	NEXT(LIFE, ++seq);
	EXPECT_EQ(VIREO_NL_LIFE_PAUSED, e.life);
	EXPECT_EQ(VIREO_NL_STATE_PAUSED, e.state);
	EXPECT_STREQ("lunch", e.cause);
	ASSERT_EQ(0, vn_get_vm(ask, number, &e));
	EXPECT_EQ(VIREO_NL_STATE_PAUSED, e.state);
	EXPECT_EQ(seq, e.seq);

	EXPECT_EQ(0, report(vm.fd, VIREO_REPORT_SAVE, "memory", "", 17, 42));
	NEXT(PHASE, ++seq);
	EXPECT_EQ(VIREO_NL_OP_SAVE, e.operation);
	EXPECT_STREQ("memory", e.phase);
	EXPECT_EQ(17, e.pages);
	EXPECT_EQ(42, e.total);
	EXPECT_EQ(0, report(vm.fd, VIREO_REPORT_RECEIVE, "failed", "no", 0, 0));
	NEXT(PHASE, ++seq);
	EXPECT_EQ(VIREO_NL_OP_RECEIVE, e.operation);

	EXPECT_EQ(0, report(vm.fd, VIREO_REPORT_RESUMED, "", "", 0, 0));
	NEXT(LIFE, ++seq);
	EXPECT_EQ(VIREO_NL_STATE_RUNNING, e.state);

	cpu.run->immediate_exit = 1;
	vt_run(&cpu);
	cpu.run->immediate_exit = 0;
	ASSERT_EQ(0, vt_ioctl(vm.fd, VIREO_SNAPSHOT, &snapshot));
	NEXT(PHASE, ++seq);
	EXPECT_EQ(VIREO_NL_OP_SNAPSHOT, e.operation);
	EXPECT_STREQ("done", e.phase);
	ASSERT_EQ(0, vt_ioctl(vm.fd, VIREO_ROLLBACK, &snapshot));
	NEXT(PHASE, ++seq);
	EXPECT_EQ(VIREO_NL_OP_ROLLBACK, e.operation);
	ASSERT_EQ(0, vt_ioctl(vm.fd, VIREO_DROP_SNAPSHOT, &snapshot));
	NEXT(PHASE, ++seq);
	EXPECT_EQ(VIREO_NL_OP_DROP, e.operation);
	ASSERT_EQ(-ENOENT, vt_ioctl(vm.fd, VIREO_DROP_SNAPSHOT, &snapshot));
	NEXT(PHASE, ++seq);
	EXPECT_STREQ("failed", e.phase);

	/* Bochs' SVM does not intercept shutdown. */
	if (!vt_model("AMD FX")) {
		ASSERT_EQ(0, vt_get(cpu.fd, VIREO_BLOCK_EVENTS, &events, sizeof(events)));
		ASSERT_EQ(0, vt_run_exit(&cpu));
		ASSERT_EQ(VIREO_EXIT_SHUTDOWN, cpu.run->exit_reason);
		NEXT(LIFE, ++seq);
		EXPECT_EQ(VIREO_NL_LIFE_TRIPLE_FAULT, e.life);
		EXPECT_EQ(VIREO_NL_STATE_STOPPED, e.state);
		EXPECT_EQ(0, e.vcpu);
		/* Told once. */
		vt_run_exit(&cpu);
		down_at = seq;
		vt_long_mode(&vm, &cpu, VT_CODE, 0, 0);
		ASSERT_EQ(0, vt_set(cpu.fd, VIREO_BLOCK_EVENTS, &events, sizeof(events)));
		ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
		NEXT(LIFE, ++seq);
		EXPECT_EQ(down_at + 1, seq);
		EXPECT_EQ(VIREO_NL_LIFE_RESUMED, e.life);
	}
	EXPECT_EQ(0, report(vm.fd, VIREO_REPORT_STOPPED, "", "it is enough", 0, 0));
	NEXT(LIFE, ++seq);
	EXPECT_EQ(VIREO_NL_STATE_STOPPED, e.state);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
	NEXT(LIFE, ++seq);
	EXPECT_EQ(VIREO_NL_LIFE_DESTROYED, e.life);
	EXPECT_EQ(0, vn_event(fd, &e, 0));
	close(fd);
	close(ask);
}

TEST(reports_refused)
{
	struct vireo_report r = { .size = sizeof(r), .kind = VIREO_REPORT_SAVE, .phase = "x" };
	struct vt_vm vm;
	struct vn_seen e;
	int fd;

	need_family();
	vm_named(&vm, "quiet");
	fd = listen_all(0);
	EXPECT_EQ(-EINVAL, report(vm.fd, VIREO_REPORT_NR, "", "", 0, 0));
	EXPECT_EQ(-EINVAL, report(vm.fd, ~0U, "x", "", 0, 0));
	EXPECT_EQ(-EINVAL, report(vm.fd, VIREO_REPORT_SAVE, "", "", 0, 0));
	EXPECT_EQ(-EINVAL, report(vm.fd, VIREO_REPORT_PAUSED, "x", "", 0, 0));
	EXPECT_EQ(-EINVAL, report(vm.fd, VIREO_REPORT_STOPPED, "", "", 1, 0));
	EXPECT_EQ(-EINVAL, report(vm.fd, VIREO_REPORT_STOPPED, "", "", 0, 1));
	EXPECT_EQ(-EINVAL, report(vm.fd, VIREO_REPORT_SAVE, "bell\a", "", 0, 0));
	EXPECT_EQ(-EINVAL, report(vm.fd, VIREO_REPORT_STOPPED, "", "two\nlines", 0, 0));
	memset(r.cause, 'x', sizeof(r.cause));
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_REPORT, &r));
	r.cause[5] = 0;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_REPORT, &r));
	memset(r.cause, 0, sizeof(r.cause));
	memset(r.phase, 'x', sizeof(r.phase));
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_REPORT, &r));
	r.size = 8;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_REPORT, &r));
	EXPECT_EQ(0, vn_event(fd, &e, 0));
	close(vm.fd);
	close(vm.dev);
	close(fd);
}

TEST(events_of_others)
{
	struct vn_seen e;
	struct vt_vm vm;
	int pipes[2], go;
	pid_t pid;
	char c;

	if (geteuid())
		SKIP(return, "only root can be somebody else");
	need_family();
	vm_named(&vm, "root's");
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	if (!pid) {
		int fd, mine, r;

		become(USER);
		fd = vn_open(0);
		r = vn_join(fd, VIREO_NL_GROUP_LIFE);
		/* Kernels without a filter. */
		if (r == -EPERM)
			_exit(0);
		CHECK(!r);
		mine = vt_vm_fd(vm.dev, "user's");
		CHECK(mine >= 0);
		CHECK(write(pipes[1], "x", 1) == 1);
		CHECK(vn_event(fd, &e, 5000) == 1 && e.life == VIREO_NL_LIFE_CREATED && !strcmp(e.name, "user's"));
		usleep(200000);
		close(mine);
		/* Between its beginning and its end others' have happened. */
		CHECK(vn_event(fd, &e, 5000) == 1 && e.life == VIREO_NL_LIFE_DESTROYED && !strcmp(e.name, "user's"));
		_exit(0);
	}
	close(pipes[1]);
	go = read(pipes[0], &c, 1);
	if (go == 1) {
		EXPECT_EQ(0, report(vm.fd, VIREO_REPORT_PAUSED, "", "", 0, 0));
		EXPECT_EQ(0, report(vm.fd, VIREO_REPORT_RESUMED, "", "", 0, 0));
	}
	EXPECT_EQ(0, child_status(pid));
	close(pipes[0]);
	close(vm.fd);
	close(vm.dev);
}

/* ------------------------------------------------------------------ */
/* Thresholds, and listeners that do not listen                         */

FIXTURE(slow) {};

FIXTURE_SETUP(slow)
{
}

FIXTURE_TEARDOWN(slow)
{
}

/* Some hundred exits, of which the last is to user space */
GUEST(storm, 64, "1: mov $300, %ebp\n 2: xor %eax, %eax; cpuid; dec %ebp; jnz 2b\n out %al, $0x10\n jmp 1b");

/* Again and again, but not all the time: emulators are slow when all processors are busy. */
static void *run_storm(void *data)
{
	struct vt_vcpu *cpu = data;
	int r;

	for (;;) {
		r = vt_run(cpu);
		if (r ? r != -EINTR : cpu->run->exit_reason != VIREO_EXIT_IO)
			return NULL;
		usleep(20000);
	}
}

/* The next event of that kind, within 30 s */
static int threshold(int fd, u32 kind, u32 over, struct vn_seen *e)
{
	int i;

	for (i = 0; i < 60; i++) {
		if (vn_event(fd, e, 500) == 1 && e->cmd == VIREO_NL_CMD_THRESHOLD && e->threshold == kind)
			return e->over == over ? 0 : -EPROTO;
	}
	return -ETIME;
}

TEST_F_TIMEOUT(slow, thresholds, 120)
{
	struct vt_vcpu cpu;
	struct vn_seen e;
	pthread_t thread;
	struct vt_vm vm;
	u32 number;
	int fd, ask;

	need_family();
	ask = vn_open(0);
	vt_guest64(&vm, &cpu, storm, 0, 0);
	number = vn_number(ask, "test");
	fd = listen_all(0);
	EXPECT_EQ(0, vn_set_thresholds(ask, number, 100, 0, 300));
	pthread_create(&thread, NULL, run_storm, &cpu);
	ASSERT_EQ(0, threshold(fd, VIREO_NL_THRESHOLD_EXITS, 1, &e));
	EXPECT_EQ(100, e.limit);
	EXPECT_GT(e.value, 100);
	EXPECT_EQ(~0U, e.vcpu);
	vt_kick(&cpu);
	pthread_join(thread, NULL);
	/* In user space it neither enters nor leaves. */
	ASSERT_EQ(0, threshold(fd, VIREO_NL_THRESHOLD_STALL, 1, &e));
	EXPECT_EQ(0, e.vcpu);
	EXPECT_GE(e.value, 300);
	EXPECT_EQ(300, e.limit);
	ASSERT_EQ(0, threshold(fd, VIREO_NL_THRESHOLD_EXITS, 0, &e));
	EXPECT_LE(e.value, 100);
	pthread_create(&thread, NULL, run_storm, &cpu);
	ASSERT_EQ(0, threshold(fd, VIREO_NL_THRESHOLD_STALL, 0, &e));
	EXPECT_EQ(0, vn_set_thresholds(ask, number, 0, 0, 0));
	vt_kick(&cpu);
	pthread_join(thread, NULL);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
	close(fd);
	close(ask);
}

/* RSI pages from RDI on, again and again */
GUEST(writer, 64, "1: mov %rdi, %rdx; mov %esi, %ebp\n 2: incb (%rdx); add $4096, %rdx; dec %ebp; jnz 2b\n out %al, $0x10\n jmp 1b");

struct guest {
	struct vt_vm vm;
	struct vt_vcpu cpu;
};

static volatile bool writing;

static void *run_writer(void *data)
{
	u64 bitmap[VT_MEMORY >> 12 >> 6];
	struct vireo_dirty_log log = { .size = sizeof(log), .pages = VT_MEMORY >> 12, .bitmap = (u64)bitmap };
	struct guest *guest = data;

	while (writing && vt_run_to_out(&guest->cpu, 0x10) >= 0 && !vt_ioctl(guest->vm.fd, VIREO_GET_DIRTY, &log))
		usleep(20000);
	return NULL;
}

TEST_F_TIMEOUT(slow, dirty_threshold, 120)
{
	struct vireo_tracking tracking = { .size = sizeof(tracking), .on = 1 };
	struct guest guest;
	pthread_t thread;
	struct vn_seen e;
	u32 number;
	int fd, ask;

	need_family();
	ask = vn_open(0);
	vt_guest64(&guest.vm, &guest.cpu, writer, 0x200000, PAGES);
	ASSERT_EQ(0, vt_ioctl(guest.vm.fd, VIREO_SET_TRACKING, &tracking));
	number = vn_number(ask, "test");
	fd = listen_all(0);
	EXPECT_EQ(0, vn_set_thresholds(ask, number, 0, PAGES / 2, 0));
	writing = true;
	pthread_create(&thread, NULL, run_writer, &guest);
	ASSERT_EQ(0, threshold(fd, VIREO_NL_THRESHOLD_DIRTY, 1, &e));
	EXPECT_EQ(PAGES / 2, e.limit);
	EXPECT_GT(e.value, PAGES / 2);
	EXPECT_EQ(~0U, e.vcpu);
	writing = false;
	pthread_join(thread, NULL);
	ASSERT_EQ(0, threshold(fd, VIREO_NL_THRESHOLD_DIRTY, 0, &e));
	EXPECT_LE(e.value, PAGES / 2);
	vt_vcpu_close(&guest.cpu);
	vt_vm_close(&guest.vm);
	close(fd);
	close(ask);
}

#define FLOOD 2000

TEST(overrun)
{
	struct vn_seen e, now;
	int fd, ask, i, r, got = 0;
	struct vt_vm vm;
	u64 last = 0;

	need_family();
	ask = vn_open(0);
	fd = listen_all(4096);
	vm_named(&vm, "flood");
	for (i = 0; i < FLOOD; i++)
		ASSERT_EQ(0, report(vm.fd, VIREO_REPORT_SAVE, "memory", "", i, FLOOD));
	/* It is told that it has missed some, and gets those that came before. */
	EXPECT_EQ(-ENOBUFS, vn_event(fd, &e, 1000));
	while ((r = vn_event(fd, &e, 0)) == 1) {
		EXPECT_EQ(last + 1, e.seq);
		last = e.seq;
		got++;
	}
	EXPECT_EQ(0, r);
	EXPECT_GT(got, 0);
	EXPECT_LT(got, FLOOD);
	/* A dump brings it up to date, and it goes on from there. */
	ASSERT_EQ(0, vn_get_vm(ask, vn_number(ask, "flood"), &now));
	EXPECT_EQ(FLOOD + 1, now.seq);
	EXPECT_EQ(0, report(vm.fd, VIREO_REPORT_SAVE, "done", "", 0, 0));
	ASSERT_EQ(1, vn_event(fd, &e, 1000));
	EXPECT_EQ(now.seq + 1, e.seq);
	close(vm.fd);
	close(vm.dev);
	close(fd);
	close(ask);
}

static volatile bool storming;
static u64 rounds;

static void *run_rounds(void *data)
{
	while (storming && vt_run_to_out(data, 0x10) >= 0) {
		rounds++;
		usleep(1000);
	}
	return NULL;
}

/* While one listener does not read, the guest goes on exiting, and others hear of that: nobody waits for it, no count is lost. */
TEST_F_TIMEOUT(slow, storm_unheard, 120)
{
	struct vn_seen e, now, stats;
	int deaf, fd, ask, i, r;
	struct vt_vcpu cpu;
	pthread_t thread;
	struct vt_vm vm;
	u64 seq, last = 0;
	u32 number;

	need_family();
	ask = vn_open(0);
	deaf = listen_all(4096);
	fd = vn_open(0);
	ASSERT_EQ(0, vn_join(fd, VIREO_NL_GROUP_THRESHOLDS));
	vt_guest64(&vm, &cpu, storm, 0, 0);
	number = vn_number(ask, "test");
	storming = true;
	pthread_create(&thread, NULL, run_rounds, &cpu);
	EXPECT_EQ(0, vn_set_thresholds(ask, number, 100, 0, 0));
	for (i = 0; i < 200; i++)
		ASSERT_EQ(0, report(vm.fd, VIREO_REPORT_SAVE, "memory", "", i, 200));
	ASSERT_EQ(0, threshold(fd, VIREO_NL_THRESHOLD_EXITS, 1, &e));
	EXPECT_GT(e.value, 100);
	seq = e.seq;
	storming = false;
	pthread_join(thread, NULL);
	EXPECT_EQ(-ENOBUFS, vn_event(deaf, &e, 1000));
	while ((r = vn_event(deaf, &e, 0)) == 1) {
		EXPECT_EQ(last + 1, e.seq);
		last = e.seq;
	}
	EXPECT_EQ(0, r);
	EXPECT_LT(last, seq);
	ASSERT_EQ(0, vn_get_vm(ask, number, &now));
	EXPECT_GE(now.seq, seq);
	ASSERT_EQ(1, vn_dump(ask, VIREO_NL_CMD_GET_STATS, number, &stats, 1));
	EXPECT_EQ(300 * rounds, stats.exit[VIREO_EXIT_CPUID].count);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
	close(deaf);
	close(fd);
	close(ask);
}

/* ------------------------------------------------------------------ */
/* Many                                                                 */

#define MANY 200

static volatile bool come_and_go;

static void *others(void *data)
{
	int dev = *(int *)data, fd;

	while (come_and_go) {
		fd = vt_vm_fd(dev, "passing");
		if (fd >= 0)
			close(fd);
		usleep(1000);
	}
	return NULL;
}

TEST_F_TIMEOUT(slow, many, 120)
{
	static struct vn_seen seen[3 * MANY];
	static struct { int fd, cpu[2]; } vm[MANY];
	struct rlimit limit = { 4096, 4096 };
	int dev, fd, i, j, n, mine, round;
	pthread_t thread;
	u64 ticks;
	u32 last;

	need_family();
	setrlimit(RLIMIT_NOFILE, &limit);
	dev = vt_open();
	fd = vn_open(0);
	for (i = 0; i < MANY; i++) {
		vm[i].fd = vt_vm_fd(dev, "many");
		ASSERT_GE(vm[i].fd, 0);
		for (j = 0; j < 2; j++) {
			vm[i].cpu[j] = vt_vcpu_fd(vm[i].fd, j);
			ASSERT_GE(vm[i].cpu[j], 0);
		}
	}
	ticks = __builtin_ia32_rdtsc();
	EXPECT_EQ(MANY, vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, seen, 3 * MANY));
	TH_LOG("a dump of %d VMs: %llu cycles of the TSC", MANY, (unsigned long long)(__builtin_ia32_rdtsc() - ticks));
	come_and_go = true;
	pthread_create(&thread, NULL, others, &dev);
	for (round = 0; round < 3; round++) {
		n = vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, seen, 3 * MANY);
		ASSERT_GE(n, MANY);
		ASSERT_LE(n, 3 * MANY);
		for (i = 0, mine = 0, last = 0; i < n; i++) {
			EXPECT_GT(seen[i].vm, last);
			last = seen[i].vm;
			mine += !strcmp(seen[i].name, "many") && seen[i].vcpus == 2;
		}
		EXPECT_EQ(MANY, mine);
		n = vn_dump(fd, VIREO_NL_CMD_GET_VCPU, 0, seen, 3 * MANY);
		EXPECT_EQ(2 * MANY, n);
	}
	come_and_go = false;
	pthread_join(thread, NULL);
	EXPECT_EQ(2, vn_dump(fd, VIREO_NL_CMD_GET_STATS, seen[0].vm, seen, 3 * MANY));
	for (i = 0; i < MANY; i++) {
		close(vm[i].cpu[0]);
		close(vm[i].cpu[1]);
		close(vm[i].fd);
	}
	EXPECT_EQ(0, vn_dump(fd, VIREO_NL_CMD_GET_VM, 0, seen, 3 * MANY));
	close(fd);
	close(dev);
}

TEST_HARNESS_MAIN

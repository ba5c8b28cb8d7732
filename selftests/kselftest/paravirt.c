// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paravirtual features where the host decides what happens: steal time, the "preempted" flag, flushes of a
 * vCPU that sleeps; features that CPUID does not have; pages that vanish.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

#define MSR_STEAL	0x4b564d03
#define MSR_EOI		0x4b564d04
#define PREEMPTED	1
#define FLUSH_TLB	2
#define STEAL_PAGE	0x30000

struct steal {
	volatile u64 steal;
	volatile u32 version, flags;
	volatile u8 preempted;
};

static struct vireo_stats stats_of(struct vt_vcpu *cpu)
{
	struct vireo_stats s = { .size = sizeof(s) };

	if (vt_ioctl(cpu->fd, VIREO_GET_STATS, &s))
		vt_die("VIREO_GET_STATS");
	return s;
}

GUEST(spin, 64, "sti\n 1: incq (%rdi)\n jmp 1b");

static void *run_pinned(void *arg)
{
	struct vt_vcpu *cpu = arg;
	int r;

	vt_pin(0);
	do
		r = vt_run(cpu);
	while (r == -EINTR);
	return (void *)(long)r;
}

/* Two that want one CPU: each has waited for it. */
TEST(steal_time)
{
	struct vt_vcpu cpu[2];
	struct steal *s[2];
	pthread_t t[2];
	struct vt_vm vm;
	void *result;
	int i;

	close(vt_open_or_skip());
	vt_vm_create(&vm, VT_MEMORY);
	vt_load(&vm, VT_CODE, spin, spin_end);
	vt_tables(&vm);
	for (i = 0; i < 2; i++) {
		vt_vcpu_create(&vm, &cpu[i], i);
		vt_long_mode(&vm, &cpu[i], VT_CODE, VT_DATA + 8 * i, 0);
		s[i] = (struct steal *)(vm.mem + STEAL_PAGE + 64 * i);
		ASSERT_EQ(0, vt_set_msr(cpu[i].fd, MSR_STEAL, (STEAL_PAGE + 64 * i) | 1));
	}
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, run_pinned, &cpu[i]));
	while (!s[0]->steal || !s[1]->steal)
		usleep(1000);
	for (i = 0; i < 2; i++) {
		vt_kick(&cpu[i]);
		pthread_join(t[i], &result);
		EXPECT_EQ(NULL, result);
		EXPECT_EQ(0, s[i]->version & 1);
		EXPECT_EQ(0, s[i]->flags);
		vt_vcpu_close(&cpu[i]);
	}
	TH_LOG("%llu and %llu ns", (unsigned long long)s[0]->steal, (unsigned long long)s[1]->steal);
	vt_vm_close(&vm);
}

/* Halts for ever.  The NMI's handler is what is heard of it, whether HLT has been reached or not. */
GUEST(halts, 64, "1: sti\n hlt\n cli\n jmp 1b");
GUEST(nmi, 64, "out %al, $0x10\n iretq");

/*
 * Until it sleeps in HLT for the first time since @halts were counted, and its page says so; the flag alone may
 * be that of a thread that lost its CPU on the way there. @flush: leave a request, as a guest does it: only behind the flag.
 */
static void wait_asleep(struct vt_vcpu *cpu, struct steal *s, u64 halts, bool flush)
{
	u8 seen;

	for (;;) {
		seen = PREEMPTED;
		if (stats_of(cpu).halts != halts &&
		    __atomic_compare_exchange_n(&s->preempted, &seen, flush ? PREEMPTED | FLUSH_TLB : PREEMPTED,
						false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return;
		usleep(100);
	}
}

/*
 * A halted vCPU is not running: its page says so, takes a request for a flush as another vCPU
 * would leave it, and both are gone when it runs.
 */
TEST(flush_of_a_sleeping_vcpu)
{
	struct vireo_info info = { .size = sizeof(info) };
	struct vt_vcpu cpu;
	struct steal *s;
	struct vireo_stats before;
	u64 *gate;
	pthread_t t;
	struct vt_vm vm;
	void *result;
	int i, dev;

	dev = vt_open_or_skip();
	ASSERT_EQ(0, vt_ioctl(dev, VIREO_GET_INFO, &info));
	close(dev);
	if (!(info.features & VIREO_FEATURE_NESTED_PAGING) || !(info.features & VIREO_FEATURE_UNRESTRICTED))
		SKIP(return, "the flag is not set with shadow tables");
	vt_guest64(&vm, &cpu, halts, 0, 0);
	vt_load(&vm, VT_CODE + 0x800, nmi, nmi_end);
	gate = (u64 *)(vm.mem + VT_IDT + 16 * 2);
	gate[0] = ((VT_CODE + 0x800) & 0xffff) | VT_CS64 << 16 | 0x8e00ULL << 32 |
		  ((u64)VT_CODE >> 16 & 0xffff) << 48;
	s = (struct steal *)(vm.mem + STEAL_PAGE);
	ASSERT_EQ(0, vt_set_msr(cpu.fd, MSR_STEAL, STEAL_PAGE | 1));
	for (i = 0; i < 20; i++) {
		bool flush = i & 1;

		before = stats_of(&cpu);
		ASSERT_EQ(0, pthread_create(&t, NULL, run_pinned, &cpu));
		wait_asleep(&cpu, s, before.halts, flush);
		/* it looks around and leaves, without having run */
		vt_kick(&cpu);
		pthread_join(t, &result);
		EXPECT_EQ(NULL, result);
		EXPECT_EQ(VIREO_EXIT_KICK, cpu.run->exit_reason);
		/* now it runs */
		ASSERT_EQ(0, vt_ioctl(cpu.fd, VIREO_INJECT_NMI, NULL));
		ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
		EXPECT_EQ(0, s->preempted & FLUSH_TLB);
		EXPECT_EQ(before.pv_flushes + flush, stats_of(&cpu).pv_flushes);
	}
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(msrs)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;
	u64 v;

	close(vt_open_or_skip());
	vt_guest64(&vm, &cpu, halts, 0, 0);
	EXPECT_EQ(0, vt_get_msr(cpu.fd, MSR_STEAL, &v));
	EXPECT_EQ(0, v);
	EXPECT_EQ(0, vt_get_msr(cpu.fd, MSR_EOI, &v));
	EXPECT_EQ(0, v);
	EXPECT_EQ(-EINVAL, vt_set_msr(cpu.fd, MSR_STEAL, STEAL_PAGE | 0x21));
	EXPECT_EQ(-EINVAL, vt_set_msr(cpu.fd, MSR_STEAL, 1ULL << 62 | 1));
	EXPECT_EQ(-EINVAL, vt_set_msr(cpu.fd, MSR_EOI, STEAL_PAGE | 3));
	EXPECT_EQ(-EINVAL, vt_set_msr(cpu.fd, MSR_EOI, 1ULL << 62 | 1));
	EXPECT_EQ(0, vt_get_msr(cpu.fd, MSR_STEAL, &v));
	EXPECT_EQ(0, v);
	/* legal, whether there is memory or not */
	EXPECT_EQ(0, vt_set_msr(cpu.fd, MSR_STEAL, 0xfff000041ULL));
	EXPECT_EQ(0, vt_set_msr(cpu.fd, MSR_EOI, 0xfff000005ULL));
	EXPECT_EQ(0, vt_get_msr(cpu.fd, MSR_STEAL, &v));
	EXPECT_EQ(0xfff000041ULL, v);
	EXPECT_EQ(0, vt_get_msr(cpu.fd, MSR_EOI, &v));
	EXPECT_EQ(0xfff000005ULL, v);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST_HARNESS_MAIN

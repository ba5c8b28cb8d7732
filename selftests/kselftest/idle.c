// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs with nothing to do: HLT and the module's parameter halt_poll_ns, spinning and
 * pause_exits. Counted, not timed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

#define PARAMETER(name) "/sys/module/vireo/parameters/" name

/* RSI HLTs that the APIC's timer ends, each after EBX ticks at least; then OUT, and again */
GUEST(sleeper, 64,
	"mov %esi, %ebx; shr $16, %ebx; movzwl %si, %esi\n"
	"mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr\n"	/* x2APIC */
	"mov $0x80f, %ecx; mov $0x1ff, %eax; xor %edx, %edx; wrmsr\n"
	"mov $0x832, %ecx; mov $0x40, %eax; wrmsr\n"
	"mov $0x83e, %ecx; mov $0xb, %eax; wrmsr\n"
	"0: mov %esi, %ebp\n"
	/* once more if it came before HLT */
	"1: mov $0x838, %ecx; mov %ebx, %eax; shl $10, %eax; xor %edx, %edx; wrmsr\n"
	"sti; hlt; cli\n"
	"dec %ebp; jnz 1b\n"
	"out %al, $0x10\n"
	"jmp 0b\n");
GUEST(handler, 64,
	"push %rax; push %rcx; push %rdx\n"
	"mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr\n"
	"pop %rdx; pop %rcx; pop %rax\n"
	"iretq\n");

static struct vireo_stats stats_of(struct vt_vcpu *cpu)
{
	struct vireo_stats s = { .size = sizeof(s) };

	if (vt_ioctl(cpu->fd, VIREO_GET_STATS, &s))
		vt_die("VIREO_GET_STATS");
	return s;
}

static void set_poll(const char *ns)
{
	if (vt_write_file(PARAMETER("halt_poll_ns"), ns))
		vt_die("halt_poll_ns");
}

/* @rounds HLTs of about @ticks microseconds */
static void prepare(struct vt_vm *vm, struct vt_vcpu *cpu, u32 ticks, u32 rounds)
{
	u64 *e;

	vt_guest64(vm, cpu, sleeper, VT_DATA, ticks << 16 | rounds);
	vt_load(vm, VT_CODE + 0x800, handler, handler_end);
	e = (u64 *)(vm->mem + VT_IDT + 16 * 0x40);
	e[0] = ((VT_CODE + 0x800) & 0xffff) | VT_CS64 << 16 | 0x8e00ULL << 32 |
	       ((VT_CODE + 0x800ULL) >> 16 & 0xffff) << 48;
	e[1] = 0;
}

TEST(polling)
{
	struct vireo_stats a, b, c, d;
	struct vt_vcpu cpu;
	char old[32];
	struct vt_vm vm;

	close(vt_open_or_skip());
	snprintf(old, sizeof(old), "%ld", vt_read_file_long(PARAMETER("halt_poll_ns")));
	prepare(&vm, &cpu, 400, 50);

	set_poll("0");
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	a = stats_of(&cpu);
	EXPECT_GT(a.halts, 0);
	EXPECT_LE(a.halts, a.exits[VIREO_EXIT_HLT]);
	EXPECT_EQ(0, a.halt_polls);
	EXPECT_EQ(0, a.halt_hits);

	/* far more than any of them takes: the bound grows until it is enough */
	set_poll("4000000000");
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	b = stats_of(&cpu);
	EXPECT_GT(b.halts, a.halts);
	EXPECT_GT(b.halt_polls, 0);
	EXPECT_GT(b.halt_hits, 0);
	EXPECT_LE(b.halt_hits, b.halt_polls);
	EXPECT_LE(b.halt_polls, b.halts - a.halts);

	/* less than it takes: the bound shrinks to nothing */
	set_poll("1");
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	c = stats_of(&cpu);
	set_poll("20000");
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	d = stats_of(&cpu);
	EXPECT_LE(d.halt_polls - c.halt_polls, d.halts - c.halts);
	EXPECT_EQ(c.halt_hits, d.halt_hits);

	set_poll("0");
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	a = stats_of(&cpu);
	EXPECT_EQ(d.halt_polls, a.halt_polls);
	TH_LOG("%llu halts, %llu looked before, %llu in time", (unsigned long long)a.halts,
	       (unsigned long long)a.halt_polls, (unsigned long long)a.halt_hits);
	vt_write_file(PARAMETER("halt_poll_ns"), old);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

/* A signal and a kick end a wait that looks, as they end one that sleeps. */
TEST(polling_is_interrupted)
{
	struct vt_vcpu cpu;
	char old[32];
	struct vt_vm vm;
	int i, r = 0;

	close(vt_open_or_skip());
	snprintf(old, sizeof(old), "%ld", vt_read_file_long(PARAMETER("halt_poll_ns")));
	prepare(&vm, &cpu, 400, 50);
	set_poll("4000000000");
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	vt_catch(SIGALRM);
	for (i = 0; i < 20; i++) {
		vt_alarm(1);
		while (!(r = vt_run(&cpu)))
			;
		EXPECT_EQ(-EINTR, r);
		EXPECT_EQ(0, vt_kick(&cpu));
		while ((r = vt_run(&cpu)) == -EINTR || (!r && cpu.run->exit_reason == VIREO_EXIT_IO))
			;
		EXPECT_EQ(0, r);
		EXPECT_EQ(VIREO_EXIT_KICK, cpu.run->exit_reason);
	}
	vt_write_file(PARAMETER("halt_poll_ns"), old);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

/* The vCPU whose turn it is, by the lowest bits of (RDI), counts there; the others spin. RSI: its number */
#define VCPUS 4
#define TURNS "200"
GUEST(turns, 64,
	"1: mov (%rdi), %eax; cmp $" TURNS ", %eax; jae 3f\n"
	"and $3, %eax; cmp %esi, %eax; je 2f\n"
	"pause; jmp 1b\n"
	"2: incq (%rdi); jmp 1b\n"
	"3: out %al, $0x10\n"
	"jmp 3b\n");

FIXTURE(vcpus) {
};
FIXTURE_SETUP(vcpus)
{
}
FIXTURE_TEARDOWN(vcpus)
{
}

static void *run_turns(void *arg)
{
	vt_pin(0);
	return (void *)(vt_run_to_out(arg, 0x10) < 0 ? 1L : 0L);
}

TEST_F_TIMEOUT(vcpus, spinning, 120)
{
	struct vireo_info info = { .size = sizeof(info) };
	struct vt_vcpu cpu[VCPUS];
	pthread_t thread[VCPUS];
	u64 pauses = 0, yields = 0;
	struct vt_vm vm;
	void *result;
	int i, dev;

	dev = vt_open_or_skip();
	ASSERT_EQ(0, vt_ioctl(dev, VIREO_GET_INFO, &info));
	close(dev);
	vt_vm_create(&vm, VT_MEMORY);
	vt_load(&vm, VT_CODE, turns, turns_end);
	vt_tables(&vm);
	for (i = 0; i < VCPUS; i++) {
		vt_vcpu_create(&vm, &cpu[i], i);
		vt_long_mode(&vm, &cpu[i], VT_CODE, VT_DATA, i);
	}
	for (i = 0; i < VCPUS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, run_turns, &cpu[i]));
	for (i = 0; i < VCPUS; i++) {
		pthread_join(thread[i], &result);
		EXPECT_EQ(NULL, result);
	}
	EXPECT_EQ(atoi(TURNS), *(u64 *)(vm.mem + VT_DATA));
	for (i = 0; i < VCPUS; i++) {
		pauses += stats_of(&cpu[i]).exits[VIREO_EXIT_PAUSE];
		yields += stats_of(&cpu[i]).yields;
		vt_vcpu_close(&cpu[i]);
	}
	vt_vm_close(&vm);
	TH_LOG("%llu exits by PAUSE, %llu times the CPU was given to another", (unsigned long long)pauses,
	       (unsigned long long)yields);
	switch (vt_read_file_long(PARAMETER("pause_exits"))) {
	case 0:
		EXPECT_EQ(0, info.features & VIREO_FEATURE_PAUSE_FILTER);
		/* Bochs would not let interrupts in otherwise. */
		if (!(info.missing & VIREO_FEATURE_PREEMPTION_TIMER) && info.vendor == VIREO_VENDOR_INTEL)
			EXPECT_EQ(0, pauses);
		break;
	case 1:
		if (!(info.features & VIREO_FEATURE_PAUSE_FILTER))
			break;
		/* fall through */
	default:
		EXPECT_GT(pauses, 0);
		EXPECT_GT(yields, 0);
	}
}

TEST_HARNESS_MAIN

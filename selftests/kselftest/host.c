// SPDX-License-Identifier: GPL-2.0-only
/* What happens to the host while VMs run: CPUs go and come, it sleeps and wakes up. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

/* Counts, and keeps a copy of the counter in a register and in XMM0. */
GUEST(count, 64,
	"xor %eax, %eax\n"
	"movq %rax, %xmm0\n"
	"1: movq %xmm0, %rbx\n"
	"cmp %rbx, %rax\n"
	"jne 2f\n"
	"cmp %rax, (%rdi)\n"
	"jne 2f\n"
	"inc %rax\n"
	"movq %rax, %xmm0\n"
	"mov %rax, (%rdi)\n"
	"test $0xfffff, %eax\n"
	"jnz 1b\n"
	"out %al, $0x10\n"
	"jmp 1b\n"
	"2: out %al, $0x12\n"
	"jmp 2b");

static volatile bool stop;

struct guest {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	long result, rounds;
	pthread_t thread;
};

static void *run_guest(void *arg)
{
	struct guest *g = arg;

	while (!stop) {
		int r = vt_run(&g->cpu);

		if (r == -EINTR || (!r && g->cpu.run->exit_reason == VIREO_EXIT_KICK))
			continue;
		if (r || g->cpu.run->exit_reason != VIREO_EXIT_IO || g->cpu.run->io.port != 0x10) {
			vt_dump(&g->cpu);
			g->result = r ?: 1;
			break;
		}
		g->rounds++;
	}
	return NULL;
}

FIXTURE(host) {
	struct guest g[3];
};
FIXTURE_SETUP(host)
{
	int i;

	close(vt_open_or_skip());
	stop = false;
	for (i = 0; i < 3; i++) {
		struct guest *g = &self->g[i];

		vt_guest64(&g->vm, &g->cpu, count, VT_DATA, 0);
		ASSERT_EQ(0, pthread_create(&g->thread, NULL, run_guest, g));
	}
	for (i = 0; i < 3; i++)
		while (*(volatile u64 *)(self->g[i].vm.mem + VT_DATA) < 1000 && !self->g[i].result)
			usleep(1000);
}
FIXTURE_TEARDOWN(host)
{
	int i;

	stop = true;
	for (i = 0; i < 3; i++) {
		struct guest *g = &self->g[i];

		vt_kick(&g->cpu);
		pthread_join(g->thread, NULL);
		EXPECT_EQ(0, g->result);
		vt_vcpu_close(&g->cpu);
		vt_vm_close(&g->vm);
	}
}

static bool all_advance(struct __test_metadata *_metadata, struct guest *g)
{
	u64 end = vt_now_ns() + 20000000000ULL;
	int i;

	for (i = 0; i < 3; i++) {
		volatile u64 *counter = (u64 *)(g[i].vm.mem + VT_DATA);
		u64 was = *counter;

		while (*counter - was < 1000) {
			if (g[i].result || vt_now_ns() > end) {
				TH_LOG("guest %d stands still at %llu, result %ld", i,
				       (unsigned long long)was, g[i].result);
				return false;
			}
			usleep(1000);
		}
	}
	return true;
}

TEST_F_TIMEOUT(host, cpus_go_and_come, 120)
{
	char path[64];
	int i, n = vt_cpus(), cpu, r;

	if (n < 2)
		SKIP(return, "one CPU only");
	for (i = 0; i < 4; i++) {
		cpu = 1 + i % (n - 1);
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", vt_cpu(cpu));
		r = vt_write_file(path, "0");
		if (r)
			SKIP(return, "CPUs cannot go offline here: %s", strerror(-r));
		ASSERT_TRUE(all_advance(_metadata, self->g));
		ASSERT_EQ(0, vt_write_file(path, "1"));
		ASSERT_TRUE(all_advance(_metadata, self->g));
	}
	/* a VM made while one is away runs there when it is back */
	ASSERT_EQ(0, vt_write_file(path, "0"));
	{
		struct guest g = { .rounds = 0 };

		vt_guest64(&g.vm, &g.cpu, count, VT_DATA, 0);
		ASSERT_EQ(0, vt_write_file(path, "1"));
		vt_pin(cpu);
		/* it may get as far as its OUT, if this machine is slow */
		if (vt_run_for(&g.cpu, 300) != -EINTR)
			EXPECT_EQ(0x10, g.cpu.run->io.port);
		EXPECT_GT(*(volatile u64 *)(g.vm.mem + VT_DATA), 0);
		vt_vcpu_close(&g.cpu);
		vt_vm_close(&g.vm);
	}
}

TEST_F_TIMEOUT(host, suspend, 120)
{
	static const char *const depths[] = { "freezer", "devices", "platform", "processors", "core" };
	unsigned int i;
	int r;

	for (i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		r = vt_write_file("/sys/power/pm_test", depths[i]);
		if (r)
			SKIP(return, "no pm_test here: %s", strerror(-r));
		r = vt_write_file("/sys/power/state", "mem");
		if (r)
			r = vt_write_file("/sys/power/state", "freeze");
		if (r) {
			TH_LOG("suspend to %s: %s", depths[i], strerror(-r));
			continue;
		}
		TH_LOG("suspended to depth %s and back", depths[i]);
		ASSERT_TRUE(all_advance(_metadata, self->g));
	}
	vt_write_file("/sys/power/pm_test", "none");
}

TEST_HARNESS_MAIN

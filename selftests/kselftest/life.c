// SPDX-License-Identifier: GPL-2.0-only
/* How things end: files closed in any order, many VMs, the module's reference count. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

GUEST(out_once, 64, "1: out %al, $0x10\n jmp 1b");
GUEST(spin, 64, "sti\n 1: incq (%rdi)\n jmp 1b");

static long references(void)
{
	char line[256];
	FILE *f = fopen("/proc/modules", "r");
	long n = -1;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "vireo %*u %ld", &n) == 1)
			break;
	}
	if (f)
		fclose(f);
	return n;
}

/* device, VM, vCPU, second vCPU, mapping of the page, region's memory: all 720 orders */
TEST(every_order)
{
	unsigned int order, i, k, n, tried = 0;
	long before = references();

	close(vt_open_or_skip());
	for (order = 0; order < 720; order++) {
		int left[6] = { 0, 1, 2, 3, 4, 5 };
		struct vt_vcpu cpu, cpu2;
		struct vt_vm vm;

		vt_guest64(&vm, &cpu, out_once, 0, 0);
		vt_vcpu_create(&vm, &cpu2, 1);
		if (order % 16 == 0)
			ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
		for (i = 0, n = order; i < 6; i++) {
			k = n % (6 - i);
			n /= 6 - i;
			switch (left[k]) {
			case 0:
				close(vm.dev);
				break;
			case 1:
				close(vm.fd);
				break;
			case 2:
				close(cpu.fd);
				break;
			case 3:
				close(cpu2.fd);
				break;
			case 4:
				munmap(cpu.run, VIREO_RUN_SIZE);
				munmap(cpu2.run, VIREO_RUN_SIZE);
				break;
			case 5:
				munmap(vm.mem, vm.bytes);
				break;
			}
			memmove(left + k, left + k + 1, (5 - k) * sizeof(left[0]));
		}
		tried++;
	}
	EXPECT_EQ(720, tried);
	EXPECT_EQ(before, references());
}

TEST(runs_without_device_and_vm)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;

	close(vt_open_or_skip());
	vt_guest64(&vm, &cpu, out_once, 0, 0);
	close(vm.dev);
	close(vm.fd);
	EXPECT_GE(vt_run_to_out(&cpu, 0x10), 0);
	EXPECT_GE(vt_run_to_out(&cpu, 0x10), 0);
	vt_vcpu_close(&cpu);
	munmap(vm.mem, vm.bytes);
}

static void *runner(void *arg)
{
	return (void *)(long)vt_run_exit(arg);
}

TEST(closed_during_run)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;
	pthread_t t;
	int spare;

	close(vt_open_or_skip());
	vt_guest64(&vm, &cpu, spin, VT_DATA, 0);
	spare = dup(cpu.fd);
	ASSERT_EQ(0, pthread_create(&t, NULL, runner, &cpu));
	while (!*(volatile u64 *)(vm.mem + VT_DATA))
		sched_yield();
	close(vm.fd);
	close(vm.dev);
	/* the page's mapping goes while the kernel uses the page */
	munmap(cpu.run, VIREO_RUN_SIZE);
	EXPECT_EQ(0, vt_ioctl(spare, VIREO_KICK, NULL));
	pthread_join(t, NULL);
	close(cpu.fd);
	close(spare);
	munmap(vm.mem, vm.bytes);
}

TEST(same_id_again_after_close)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;

	close(vt_open_or_skip());
	vt_vm_create(&vm, VT_MEMORY);
	vt_vcpu_create(&vm, &cpu, 5);
	EXPECT_EQ(-EEXIST, vt_vcpu_fd(vm.fd, 5));
	vt_vcpu_close(&cpu);
	/* a vCPU belongs to its VM for good, or its number is free again: never a crash */
	int fd = vt_vcpu_fd(vm.fd, 5);

	EXPECT_TRUE(fd >= 0 || fd == -EEXIST);
	if (fd >= 0)
		close(fd);
	vt_vm_close(&vm);
}

FIXTURE(long_ones) {
	int unused;
};
FIXTURE_SETUP(long_ones)
{
	close(vt_open_or_skip());
}
FIXTURE_TEARDOWN(long_ones) { }

TEST_F_TIMEOUT(long_ones, two_hundred_vms, 120)
{
	static struct { struct vt_vm vm; struct vt_vcpu cpu; } all[200];
	unsigned int i, good = 0;
	long before = references();

	for (i = 0; i < 200; i++) {
		vt_vm_create(&all[i].vm, 1 << 20);
		vt_vcpu_create(&all[i].vm, &all[i].cpu, 0);
		vt_load(&all[i].vm, VT_CODE, out_once, out_once_end);
		vt_tables(&all[i].vm);
		vt_long_mode(&all[i].vm, &all[i].cpu, VT_CODE, 0, 0);
	}
	EXPECT_GE(references(), before + 200);
	for (i = 0; i < 200; i++)
		good += vt_run_to_out(&all[i].cpu, 0x10) >= 0;
	EXPECT_EQ(200, good);
	for (i = 0; i < 200; i++)
		good -= vt_run_to_out(&all[199 - i].cpu, 0x10) >= 0;
	EXPECT_EQ(0, good);
	/* the module cannot go while they are there */
	EXPECT_EQ(-1, syscall(SYS_delete_module, "vireo", O_NONBLOCK));
	EXPECT_TRUE(errno == EWOULDBLOCK || errno == EAGAIN || errno == EBUSY);
	for (i = 0; i < 200; i++) {
		vt_vcpu_close(&all[i].cpu);
		vt_vm_close(&all[i].vm);
	}
	EXPECT_EQ(before, references());
}

TEST_F_TIMEOUT(long_ones, no_leak, 120)
{
	long before = 0, after = 0;
	int i, round;

	/* Create and destroy; the second half must not need more memory than the first. */
	for (round = 0; round < 2; round++) {
		char line[128];
		FILE *f;

		for (i = 0; i < 300; i++) {
			struct vt_vcpu cpu;
			struct vt_vm vm;

			vt_guest64(&vm, &cpu, out_once, 0, 0);
			EXPECT_GE(vt_run_to_out(&cpu, 0x10), 0);
			vt_vcpu_close(&cpu);
			vt_vm_close(&vm);
		}
		after = 0;
		usleep(300000);
		f = fopen("/proc/meminfo", "r");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "MemFree: %ld", &after) == 1)
				break;
		if (f)
			fclose(f);
		if (!round)
			before = after;
	}
	TH_LOG("free memory: %ld kB, then %ld kB", before, after);
	/* 300 VMs that leak a page each would be 1200 kB; page tables alone are four pages */
	EXPECT_GT(after, before - 1000);
}

TEST_HARNESS_MAIN

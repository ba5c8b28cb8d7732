// SPDX-License-Identifier: GPL-2.0-only
/* Hybrid VMs: supervisor code is interpreted, what the interpreter does not know is stepped over. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

/* vt_guest64() with the flag */
static void hybrid_guest(struct vt_vm *vm, struct vt_vcpu *cpu, const u8 *code, const u8 *end,
			 u64 flags, u64 rdi)
{
	struct vireo_vm_config c = { .size = sizeof(c), .flags = VIREO_VM_HYBRID | flags };

	vt_vm_create(vm, VT_MEMORY);
	close(vm->fd);
	vm->fd = vt_ioctl(vm->dev, VIREO_CREATE_VM, &c);
	if (vm->fd < 0)
		vt_die("VIREO_CREATE_VM: %s", strerror(-vm->fd));
	if (vt_region(vm->fd, 0, 0, vm->bytes, vm->mem, 0))
		vt_die("VIREO_SET_REGION");
	vt_vcpu_create(vm, cpu, 0);
	vt_load(vm, VT_CODE, code, end);
	vt_tables(vm);
	vt_long_mode(vm, cpu, VT_CODE, rdi, 0);
}

static struct vireo_stats stats_of(const struct vt_vcpu *cpu)
{
	struct vireo_stats s = { .size = sizeof(s) };

	if (vt_ioctl(cpu->fd, VIREO_GET_STATS, &s))
		vt_die("VIREO_GET_STATS");
	return s;
}

FIXTURE(hybrid) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
};

FIXTURE_SETUP(hybrid)
{
	struct vireo_info info = { .size = sizeof(info) };
	struct vireo_vm_config c = { .size = sizeof(c), .flags = VIREO_VM_HYBRID };
	int dev = vt_open_or_skip();

	memset(self, 0, sizeof(*self));
	ASSERT_EQ(0, vt_ioctl(dev, VIREO_GET_INFO, &info));
	if (!(info.features & VIREO_FEATURE_HYBRID)) {
		EXPECT_EQ(-EOPNOTSUPP, vt_ioctl(dev, VIREO_CREATE_VM, &c));
		SKIP(return, "not on this processor");
	}
	close(dev);
}

FIXTURE_TEARDOWN(hybrid)
{
	if (!self->cpu.run)
		return;
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
}

TEST_F(hybrid, offered)
{
	struct vireo_vm_config c = { .size = sizeof(c) };
	struct vireo_info info = { .size = sizeof(info) };
	int dev = vt_open(), fd;

	ASSERT_EQ(0, vt_ioctl(dev, VIREO_GET_INFO, &info));
	EXPECT_TRUE(info.features & VIREO_FEATURE_HYBRID);
	c.flags = VIREO_VM_HYBRID << 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(dev, VIREO_CREATE_VM, &c));
	c.flags = VIREO_VM_HYBRID | 1ULL << 63;
	EXPECT_EQ(-EINVAL, vt_ioctl(dev, VIREO_CREATE_VM, &c));
	c.flags = VIREO_VM_HYBRID | VIREO_VM_REPORT_MSRS;
	fd = vt_ioctl(dev, VIREO_CREATE_VM, &c);
	EXPECT_GE(fd, 0);
	close(fd);
	close(dev);
}

GUEST(hybrid_loop, 64,
	"mov $1000, %ecx\n"
	"1: loop 1b\n"
	"mov %ecx, %eax\n"
	"out %eax, $0x10\n"
	"hlt");

/* No entry at all: what there is to be done, the interpreter has done. */
TEST_F(hybrid, interpreted_are_counted)
{
	struct vireo_stats s;

	hybrid_guest(&self->vm, &self->cpu, hybrid_loop, hybrid_loop_end, 0, 0);
	EXPECT_EQ(0, stats_of(&self->cpu).interpreted);
	EXPECT_EQ(0, vt_run_to_out(&self->cpu, 0x10));
	s = stats_of(&self->cpu);
	EXPECT_EQ(1003, s.interpreted);
	EXPECT_EQ(0, s.entries);
	EXPECT_EQ(0, s.exits[VIREO_EXIT_STEP]);
}

/* A launcher of before knows less of the structure. */
TEST_F(hybrid, stats_of_old_size)
{
	struct { struct vireo_stats s; u64 behind; } a = { .behind = 0x55 };

	hybrid_guest(&self->vm, &self->cpu, hybrid_loop, hybrid_loop_end, 0, 0);
	EXPECT_EQ(0, vt_run_to_out(&self->cpu, 0x10));
	a.s.size = offsetof(struct vireo_stats, exits) + VIREO_EXIT_REASON_NR * sizeof(u64);
	a.s.interpreted = 0x55;
	ASSERT_EQ(0, vt_ioctl(self->cpu.fd, VIREO_GET_STATS, &a.s));
	EXPECT_EQ(0x55, a.s.interpreted);
	EXPECT_EQ(0x55, a.behind);
}

GUEST(hybrid_unknown, 64,
	"mov %cr0, %rax\n"
	"and $~0xc, %eax\n"		/* EM, TS */
	"mov %rax, %cr0\n"
	"fninit\n"
	"fldpi\n"
	"fistpl (%rdi)\n"
	"mov (%rdi), %eax\n"
	"out %eax, $0x10\n"
	"hlt");

TEST_F(hybrid, unknown_are_stepped)
{
	struct vireo_stats s;

	hybrid_guest(&self->vm, &self->cpu, hybrid_unknown, hybrid_unknown_end, 0, VT_DATA);
	EXPECT_EQ(3, vt_run_to_out(&self->cpu, 0x10));
	s = stats_of(&self->cpu);
	EXPECT_EQ(3, s.exits[VIREO_EXIT_STEP]);
	EXPECT_GE(s.entries, 3);
}

/* The step is not the guest's: TF is not seen, and the guest's own TF is. */
GUEST(hybrid_flags, 64,
	"pushf\n"
	"fninit\n"
	"pushf\n"
	"pop %rax\n"
	"pop %rcx\n"
	"xor %ecx, %eax\n"
	"out %eax, $0x10\n"
	"hlt");

TEST_F(hybrid, step_is_not_seen)
{
	hybrid_guest(&self->vm, &self->cpu, hybrid_flags, hybrid_flags_end, 0, 0);
	EXPECT_EQ(0, vt_run_to_out(&self->cpu, 0x10));
	EXPECT_EQ(1, stats_of(&self->cpu).exits[VIREO_EXIT_STEP]);
}

GUEST(hybrid_device_code, 64,
	"mov $0xd0000000, %ebx\n"
	"mov 4(%rbx), %eax\n"
	"out %eax, $0x10\n"
	"movl $0x1234, 8(%rbx)\n"
	"in $0x11, %eax\n"
	"out %eax, $0x12\n"
	"mov $0x56520001, %eax\n"
	"vmmcall\n"
	"out %eax, $0x13\n"
	"hlt");

TEST_F(hybrid, devices)
{
	struct vireo_run *p;

	hybrid_guest(&self->vm, &self->cpu, hybrid_device_code, hybrid_device_code_end, 0, 0);
	p = self->cpu.run;
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_MMIO, p->exit_reason);
	EXPECT_EQ(0, p->mmio.write);
	EXPECT_EQ(0xd0000004, p->mmio.gpa);
	EXPECT_EQ(4, p->mmio.len);
	memcpy(p->mmio.data, "\x78\x56\x34\x12", 4);
	EXPECT_EQ(0x12345678, vt_run_to_out(&self->cpu, 0x10));
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_MMIO, p->exit_reason);
	EXPECT_EQ(1, p->mmio.write);
	EXPECT_EQ(0xd0000008, p->mmio.gpa);
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_IO, p->exit_reason);
	EXPECT_EQ(0x11, p->io.port);
	EXPECT_EQ(0, p->io.write);
	memcpy(p->io.data, "\x21\x43\x65\x07", 4);
	EXPECT_EQ(0x07654321, vt_run_to_out(&self->cpu, 0x12));
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_HYPERCALL, p->exit_reason);
	EXPECT_EQ(0x56520001, p->hypercall.nr);
	p->hypercall.ret = 99;
	EXPECT_EQ(99, vt_run_to_out(&self->cpu, 0x13));
}

GUEST(hybrid_msr, 64,
	"mov $0xdead0001, %ecx\n"
	"rdmsr\n"
	"out %eax, $0x10\n"
	"mov $0x77, %eax\n"
	"xor %edx, %edx\n"
	"wrmsr\n"
	"out %al, $0x11\n"
	"rdmsr\n"
	"hlt");

TEST_F(hybrid, msrs_reported)
{
	struct vireo_run *p;

	hybrid_guest(&self->vm, &self->cpu, hybrid_msr, hybrid_msr_end, VIREO_VM_REPORT_MSRS, 0);
	p = self->cpu.run;
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_RDMSR, p->exit_reason);
	EXPECT_EQ(0xdead0001, p->msr.index);
	p->msr.data = 0x12345678;
	EXPECT_EQ(0x12345678, vt_run_to_out(&self->cpu, 0x10));
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_WRMSR, p->exit_reason);
	EXPECT_EQ(0x77, p->msr.data);
	EXPECT_GE(vt_run_to_out(&self->cpu, 0x11), 0);
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_RDMSR, p->exit_reason);
	p->msr.error = 1;
	/* #GP without an IDT: triple fault, which no processor has seen */
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	EXPECT_EQ(VIREO_EXIT_SHUTDOWN, p->exit_reason);
}

GUEST(hybrid_spin, 64, "1: inc %rax\njmp 1b");

static void *kick_later(void *cpu)
{
	usleep(50000);
	vt_kick(cpu);
	return NULL;
}

/* It is as easily interrupted as the processor. */
TEST_F(hybrid, interrupted)
{
	struct vireo_regs before, after;
	pthread_t thread;

	hybrid_guest(&self->vm, &self->cpu, hybrid_spin, hybrid_spin_end, 0, 0);
	EXPECT_EQ(-EINTR, vt_run_for(&self->cpu, 50));
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &before, sizeof(before)));
	EXPECT_GT(before.gpr[0], 0);
	EXPECT_GE(before.rip, VT_CODE);
	EXPECT_LE(before.rip, VT_CODE + 3);
	ASSERT_EQ(0, pthread_create(&thread, NULL, kick_later, &self->cpu));
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	EXPECT_EQ(VIREO_EXIT_KICK, self->cpu.run->exit_reason);
	pthread_join(thread, NULL);
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &after, sizeof(after)));
	EXPECT_GT(after.gpr[0], before.gpr[0]);
}

GUEST(hybrid_nowhere, 64, "mov $0xd0000000, %eax\njmp *%rax");

/* Code that is no memory: neither interpreter nor processor can go on. */
TEST_F(hybrid, no_code)
{
	hybrid_guest(&self->vm, &self->cpu, hybrid_nowhere, hybrid_nowhere_end, 0, 0);
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	EXPECT_EQ(VIREO_EXIT_EMULATION, self->cpu.run->exit_reason);
	EXPECT_EQ(0xd0000000, self->cpu.run->rip);
	EXPECT_NE(0, self->cpu.run->error[0]);
}

TEST_HARNESS_MAIN

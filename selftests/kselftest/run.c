// SPDX-License-Identifier: GPL-2.0-only
/* VIREO_RUN and what ends it: signals, kicks, other threads, other CPUs, interrupts. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

GUEST(spin, 64, "sti\n 1: incq (%rdi)\n jmp 1b");
GUEST(spin_masked, 64, "cli\n 1: incq (%rdi)\n jmp 1b");
GUEST(sleep_forever, 64, "cli\n hlt\n 1: jmp 1b");

/*
 * Checks itself: registers, memory and flags across whatever interrupts it. Leaves
 * only with an error (port 0x12) or each 65536 turns (port 0x10).
 */
GUEST(self_check, 64,
	"sti\n"
	"mov $0x1111111111111111, %rax\n"
	"mov $0x2222222222222222, %rbx\n"
	"mov $0x3333333333333333, %rcx\n"
	"mov $0x4444444444444444, %rdx\n"
	"mov $0x5555555555555555, %r8\n"
	"mov $0x6666666666666666, %r9\n"
	"mov $0x7777777777777777, %r10\n"
	"mov $0x8888888888888888, %r11\n"
	"mov $0x9999999999999999, %r12\n"
	"mov $0xaaaaaaaaaaaaaaaa, %r13\n"
	"mov $0xbbbbbbbbbbbbbbbb, %r14\n"
	"movq %rax, %xmm0\n"
	"movq %r14, %xmm15\n"
	"xor %r15, %r15\n"
	"1: push %r15\n"
	"mov %rax, %rbp; shl $1, %rbp; cmp %rbp, %rbx; jne 9f\n"
	"lea (%rax, %rbx), %rbp; cmp %rbp, %rcx; jne 9f\n"
	"lea (%rbx, %rbx), %rbp; cmp %rbp, %rdx; jne 9f\n"
	"lea (%rbx, %rcx), %rbp; cmp %rbp, %r8; jne 9f\n"
	"lea (%rcx, %rcx), %rbp; cmp %rbp, %r9; jne 9f\n"
	"lea (%rcx, %rdx), %rbp; cmp %rbp, %r10; jne 9f\n"
	"lea (%rdx, %rdx), %rbp; cmp %rbp, %r11; jne 9f\n"
	"lea (%rdx, %r8), %rbp; cmp %rbp, %r12; jne 9f\n"
	"lea (%r8, %r8), %rbp; cmp %rbp, %r13; jne 9f\n"
	"lea (%r8, %r9), %rbp; cmp %rbp, %r14; jne 9f\n"
	"movq %xmm0, %rbp; cmp %rbp, %rax; jne 9f\n"
	"movq %xmm15, %rbp; cmp %rbp, %r14; jne 9f\n"
	"pop %rbp; cmp %rbp, %r15; jne 9f\n"
	"mov %r15, (%rdi); inc %r15; incq 8(%rdi)\n"
	"mov 8(%rdi), %rbp; sub %rsi, %rbp; cmp %rbp, %r15; jne 9f\n"
	"test $0xffff, %r15d\n"
	"jnz 1b\n"
	"out %al, $0x10\n"
	"jmp 1b\n"
	"9: out %al, $0x12\n"
	"jmp 9b");

FIXTURE(run) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
};
FIXTURE_SETUP(run)
{
	close(vt_open_or_skip());
	vt_catch(SIGUSR1);
	vt_catch(SIGALRM);
}
FIXTURE_TEARDOWN(run)
{
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
}

TEST_F(run, immediate_exit)
{
	u64 *counter;
	int i;

	vt_guest64(&self->vm, &self->cpu, spin, VT_DATA, 0);
	counter = (u64 *)(self->vm.mem + VT_DATA);
	for (i = 0; i < 100; i++) {
		self->cpu.run->immediate_exit = 1;
		EXPECT_EQ(-EINTR, vt_run(&self->cpu));
		EXPECT_EQ(VIREO_EXIT_SIGNAL, self->cpu.run->exit_reason);
	}
	EXPECT_EQ(0, *counter);
	self->cpu.run->immediate_exit = 0;
	EXPECT_EQ(-EINTR, vt_run_for(&self->cpu, 300));
	EXPECT_GT(*counter, 0);
}

TEST_F(run, signal_ends_it)
{
	u64 *counter, last;
	int i;

	vt_guest64(&self->vm, &self->cpu, spin, VT_DATA, 0);
	counter = (u64 *)(self->vm.mem + VT_DATA);
	for (i = 0; i < 20; i++) {
		last = *counter;
		/* The first time has the page faults. */
		EXPECT_EQ(-EINTR, vt_run_for(&self->cpu, i ? 20 : 300));
		EXPECT_EQ(VIREO_EXIT_SIGNAL, self->cpu.run->exit_reason);
		EXPECT_GT(*counter, last);
	}
	/* a signal that is pending already */
	raise(SIGUSR1);
	EXPECT_EQ(-EINTR, vt_run_for(&self->cpu, 20));
}

/* Whether the guest takes interrupts is nothing to the host's. */
TEST_F(run, signal_ends_masked_loop)
{
	int i;

	if (vt_model("AMD FX"))
		SKIP(return, "Bochs' SVM lets a guest with IF clear keep the processor");
	if (vt_model("Core(TM)2"))
		SKIP(return, "Bochs' VMX does so, too, and this processor has no preemption timer to end it");
	vt_guest64(&self->vm, &self->cpu, spin_masked, VT_DATA, 0);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(-EINTR, vt_run_for(&self->cpu, 20));
}

TEST_F(run, signal_ends_hlt)
{
	struct vireo_events e;

	vt_guest64(&self->vm, &self->cpu, sleep_forever, 0, 0);
	EXPECT_EQ(-EINTR, vt_run_for(&self->cpu, 100));
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_EVENTS, &e, sizeof(e)));
	EXPECT_EQ(VIREO_MP_HALTED, e.mp_state);
	EXPECT_EQ(-EINTR, vt_run_for(&self->cpu, 100));
}

static void *kicker(void *arg)
{
	struct vt_vcpu *cpu = arg;

	usleep(50000);
	return (void *)(long)vt_kick(cpu);
}

TEST_F(run, kick)
{
	pthread_t t;
	void *r;

	vt_guest64(&self->vm, &self->cpu, spin, VT_DATA, 0);
	ASSERT_EQ(0, pthread_create(&t, NULL, kicker, &self->cpu));
	EXPECT_EQ(0, vt_run_exit(&self->cpu));
	EXPECT_EQ(VIREO_EXIT_KICK, self->cpu.run->exit_reason);
	pthread_join(t, &r);
	EXPECT_EQ(NULL, r);
	/* before the run: it is not lost */
	EXPECT_EQ(0, vt_kick(&self->cpu));
	EXPECT_EQ(0, vt_kick(&self->cpu));
	EXPECT_EQ(0, vt_run_exit(&self->cpu));
	EXPECT_EQ(VIREO_EXIT_KICK, self->cpu.run->exit_reason);
	/* and there was one only */
	EXPECT_EQ(-EINTR, vt_run_for(&self->cpu, 50));
}

TEST_F(run, kick_ends_hlt)
{
	pthread_t t;

	vt_guest64(&self->vm, &self->cpu, sleep_forever, 0, 0);
	ASSERT_EQ(0, pthread_create(&t, NULL, kicker, &self->cpu));
	EXPECT_EQ(0, vt_run_exit(&self->cpu));
	EXPECT_EQ(VIREO_EXIT_KICK, self->cpu.run->exit_reason);
	pthread_join(t, NULL);
}

/* --- two threads on one vCPU ---------------------------------------------------- */
static void *runner(void *arg)
{
	struct vt_vcpu *cpu = arg;
	int r;

	do {
		r = vt_run(cpu);
	} while (r == -EINTR);
	return (void *)(long)r;
}

TEST_F(run, busy)
{
	struct vireo_regs regs;
	pthread_t t;
	void *r;
	int i;

	vt_guest64(&self->vm, &self->cpu, spin, VT_DATA, 0);
	ASSERT_EQ(0, pthread_create(&t, NULL, runner, &self->cpu));
	while (!*(volatile u64 *)(self->vm.mem + VT_DATA))
		sched_yield();
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(-EBUSY, vt_run(&self->cpu));
		EXPECT_EQ(-EBUSY, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &regs, sizeof(regs)));
		EXPECT_EQ(-EBUSY, vt_set(self->cpu.fd, VIREO_BLOCK_REGS, &regs, sizeof(regs)));
	}
	/* these work from any thread */
	EXPECT_EQ(0, vt_ioctl(self->cpu.fd, VIREO_INJECT_NMI, NULL));
	EXPECT_EQ(0, vt_kick(&self->cpu));
	pthread_join(t, &r);
	EXPECT_EQ(NULL, r);
}

/* --- a guest that checks itself -------------------------------------------------- */
static volatile bool stop;
static pthread_t target;

static void *storm(void *arg)
{
	long n = 0;

	while (!stop) {
		pthread_kill(target, SIGUSR1);
		n++;
		usleep(50);
	}
	return (void *)n;
}

static void *mover(void *arg)
{
	int cpus = vt_cpus(), n = 0;

	while (!stop) {
		vt_pin_thread(target, n++ % cpus);
		usleep(500);
	}
	vt_unpin_thread(target);
	return NULL;
}

static long check_itself(struct __test_metadata *_metadata, struct vt_vcpu *cpu, unsigned int ms)
{
	u64 end = vt_now_ns() + ms * 1000000ULL;
	long rounds = 0;

	while (vt_now_ns() < end) {
		int r = vt_run(cpu);

		if (r == -EINTR || (!r && cpu->run->exit_reason == VIREO_EXIT_KICK))
			continue;
		EXPECT_EQ(0, r);
		EXPECT_EQ(VIREO_EXIT_IO, cpu->run->exit_reason);
		EXPECT_EQ(0x10, cpu->run->io.port);
		if (r || cpu->run->exit_reason != VIREO_EXIT_IO || cpu->run->io.port != 0x10) {
			vt_dump(cpu);
			break;
		}
		rounds++;
	}
	return rounds;
}

TEST_F_TIMEOUT(run, signal_storm, 60)
{
	pthread_t t;
	void *n;
	long rounds;

	vt_guest64(&self->vm, &self->cpu, self_check, VT_DATA, 0);
	target = pthread_self();
	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, storm, NULL));
	rounds = check_itself(_metadata, &self->cpu, 2000);
	stop = true;
	pthread_join(t, &n);
	TH_LOG("%ld rounds, %ld signals", rounds, (long)n);
	EXPECT_GT((long)n, 0);
}

TEST_F_TIMEOUT(run, moves_between_cpus, 60)
{
	pthread_t t;
	long rounds;

	vt_guest64(&self->vm, &self->cpu, self_check, VT_DATA, 0);
	target = pthread_self();
	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, mover, NULL));
	rounds = check_itself(_metadata, &self->cpu, 2000);
	stop = true;
	pthread_join(t, NULL);
	EXPECT_GT(rounds, 0);
	TH_LOG("%ld rounds on %d CPUs", rounds, vt_cpus());
}

static void *restorer(void *arg)
{
	static unsigned char fpu[512] __attribute__((aligned(16)));

	vt_pin(vt_cpus() - 1);
	asm volatile("fxsave %0" : "=m"(fpu));
	while (!stop)
		asm volatile("fxrstor %0" : : "m"(fpu));
	return NULL;
}

GUEST(cpuids, 64,
	"1: mov $1000, %ebp\n"
	"2: xor %eax, %eax\n"
	"cpuid\n"
	"dec %ebp\n"
	"jnz 2b\n"
	"out %al, $0x10\n"
	"jmp 1b");

/* QEMU 7.2 does more on one CPU's FXRSTOR than it should: Qemu.spares_cpu0() in lab/vireolab/processors.py */
TEST_F_TIMEOUT(run, beside_fpu_restores, 60)
{
	long rounds;
	pthread_t t;

	if (vt_cpus() < 2)
		SKIP(return, "one CPU only");
	vt_guest64(&self->vm, &self->cpu, cpuids, VT_DATA, 0);
	vt_pin(0);
	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, restorer, NULL));
	rounds = check_itself(_metadata, &self->cpu, 2000);
	stop = true;
	pthread_join(t, NULL);
	vt_unpin_thread(pthread_self());
	EXPECT_GT(rounds, 0);
	TH_LOG("%ld thousand exits", rounds);
}

struct many {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	struct __test_metadata *metadata;
	long rounds;
};

static void *one_of_many(void *arg)
{
	struct many *m = arg;

	m->rounds = check_itself(m->metadata, &m->cpu, 2000);
	return NULL;
}

TEST_F_TIMEOUT(run, many_vms_at_once, 120)
{
	static struct many many[8];
	pthread_t t[8];
	int i;

	/* more VMs than CPUs: they alternate on each, with the same addresses in all of them */
	vt_guest64(&self->vm, &self->cpu, spin, VT_DATA, 0);
	for (i = 0; i < 8; i++) {
		many[i].metadata = _metadata;
		vt_guest64(&many[i].vm, &many[i].cpu, self_check, VT_DATA, (u64)i << 40);
		*(u64 *)(many[i].vm.mem + VT_DATA + 8) = (u64)i << 40;
	}
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, one_of_many, &many[i]));
	for (i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		EXPECT_GE(*(u64 *)(many[i].vm.mem + VT_DATA + 8), (u64)i << 40);
		vt_vcpu_close(&many[i].cpu);
		vt_vm_close(&many[i].vm);
	}
}

/* --- several vCPUs on one CPU, and the other way round ------------------------------ */
TEST_F_TIMEOUT(run, vcpus_share_memory, 60)
{
	struct vt_vcpu cpus[4];
	pthread_t t[4];
	void *r;
	int i;

	vt_guest64(&self->vm, &self->cpu, spin, VT_DATA, 0);
	cpus[0] = self->cpu;
	for (i = 1; i < 4; i++) {
		vt_vcpu_create(&self->vm, &cpus[i], i);
		vt_long_mode(&self->vm, &cpus[i], VT_CODE, VT_DATA + 64 * i, 0);
	}
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, runner, &cpus[i]));
	for (i = 0; i < 4; i++)
		while (*(volatile u64 *)(self->vm.mem + VT_DATA + 64 * i) < 1000)
			usleep(1000);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, vt_kick(&cpus[i]));
	for (i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		EXPECT_EQ(NULL, r);
		EXPECT_EQ(VIREO_EXIT_KICK, cpus[i].run->exit_reason);
	}
	for (i = 1; i < 4; i++)
		vt_vcpu_close(&cpus[i]);
}

/* --- exits to the launcher ------------------------------------------------------------ */
GUEST(strings, 64,
	"cld\n"
	"mov $0x300, %edx\n"
	"mov %rdi, %rsi\n"
	"mov $3000, %ecx\n"
	"rep outsb\n"
	"mov $0x302, %edx\n"
	"mov $700, %ecx\n"
	"rep insl\n"
	"out %al, $0x10\n"
	"hlt");

TEST_F(run, port_strings)
{
	u32 got = 0, given = 0, i;
	u8 *data;

	vt_guest64(&self->vm, &self->cpu, strings, VT_DATA, 0);
	data = self->vm.mem + VT_DATA;
	for (i = 0; i < 3000; i++)
		data[i] = i * 7;
	for (;;) {
		struct vireo_run *p = self->cpu.run;

		ASSERT_EQ(0, vt_run_exit(&self->cpu));
		ASSERT_EQ(VIREO_EXIT_IO, p->exit_reason);
		if (p->io.port == 0x10)
			break;
		ASSERT_GE(p->io.count, 1);
		ASSERT_LE(p->io.count * p->io.unit, sizeof(p->io.data));
		if (p->io.port == 0x300) {
			EXPECT_EQ(1, p->io.write);
			EXPECT_EQ(1, p->io.unit);
			for (i = 0; i < p->io.count; i++)
				EXPECT_EQ((u8)((got + i) * 7), p->io.data[i]);
			got += p->io.count;
		} else {
			ASSERT_EQ(0x302, p->io.port);
			EXPECT_EQ(0, p->io.write);
			EXPECT_EQ(4, p->io.unit);
			for (i = 0; i < p->io.count; i++)
				memcpy(p->io.data + 4 * i, &(u32){ (given + i) * 0x10001 }, 4);
			given += p->io.count;
		}
	}
	EXPECT_EQ(3000, got);
	EXPECT_EQ(700, given);
	for (i = 0; i < 700; i++)
		EXPECT_EQ(i * 0x10001, ((u32 *)data)[i]);
}

GUEST(mmio_forms, 64,
	"mov $0xd0000000, %ebx\n"
	"mov $0x1122334455667788, %rax\n"
	"mov %al, (%rbx)\n"
	"mov %ax, 2(%rbx)\n"
	"mov %eax, 4(%rbx)\n"
	"mov %rax, 8(%rbx)\n"
	"mov %eax, 0x0e(%rbx)\n"	/* across 8 bytes */
	"mov 6(%rbx), %rcx\n"		/* likewise */
	"mov %ecx, %eax\n"
	"out %eax, $0x10\n"
	"shr $32, %rcx\n"
	"mov %ecx, %eax\n"
	"out %eax, $0x11\n"
	"hlt");

TEST_F(run, mmio_widths)
{
	static const struct { u64 offset; u8 len; } writes[] = {
		{ 0, 1 }, { 2, 2 }, { 4, 4 }, { 8, 8 }, { 0x0e, 4 },
	};
	struct vireo_run *p;
	u8 value = 1;
	unsigned int i;

	vt_guest64(&self->vm, &self->cpu, mmio_forms, VT_DATA, 0);
	p = self->cpu.run;
	for (i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		ASSERT_EQ(0, vt_run_exit(&self->cpu));
		ASSERT_EQ(VIREO_EXIT_MMIO, p->exit_reason);
		EXPECT_EQ(1, p->mmio.write);
		EXPECT_EQ(0xd0000000 + writes[i].offset, p->mmio.gpa);
		EXPECT_EQ(writes[i].len, p->mmio.len);
		EXPECT_EQ(0x88, p->mmio.data[0]);
	}
	/* Within a page an access stays whole, aligned or not. */
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_MMIO, p->exit_reason);
	EXPECT_EQ(0, p->mmio.write);
	EXPECT_EQ(0xd0000006, p->mmio.gpa);
	EXPECT_EQ(8, p->mmio.len);
	for (i = 0; i < 8; i++)
		p->mmio.data[i] = value++;
	EXPECT_EQ(0x04030201, vt_run_to_out(&self->cpu, 0x10));
	EXPECT_EQ(0x08070605, vt_run_to_out(&self->cpu, 0x11));
}

GUEST(unknown_msr, 64,
	"mov $0xdead0001, %ecx\n"
	"rdmsr\n"
	"out %eax, $0x10\n"
	"mov $0x77, %eax\n"
	"xor %edx, %edx\n"
	"wrmsr\n"
	"out %al, $0x11\n"
	"rdmsr\n"
	"hlt");

TEST_F(run, msrs_reported)
{
	struct vireo_vm_config c = { .size = sizeof(c), .flags = VIREO_VM_REPORT_MSRS };
	struct vireo_run *p;

	/* like vt_guest64(), with the option */
	vt_guest64(&self->vm, &self->cpu, unknown_msr, 0, 0);
	vt_vcpu_close(&self->cpu);
	close(self->vm.fd);
	self->vm.fd = vt_ioctl(self->vm.dev, VIREO_CREATE_VM, &c);
	ASSERT_GE(self->vm.fd, 0);
	ASSERT_EQ(0, vt_region(self->vm.fd, 0, 0, self->vm.bytes, self->vm.mem, 0));
	vt_vcpu_create(&self->vm, &self->cpu, 0);
	vt_long_mode(&self->vm, &self->cpu, VT_CODE, 0, 0);
	p = self->cpu.run;
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_RDMSR, p->exit_reason);
	EXPECT_EQ(0xdead0001, p->msr.index);
	p->msr.data = 0x12345678;
	p->msr.error = 0;
	EXPECT_EQ(0x12345678, vt_run_to_out(&self->cpu, 0x10));
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_WRMSR, p->exit_reason);
	EXPECT_EQ(0x77, p->msr.data);
	p->msr.error = 0;
	EXPECT_GE(vt_run_to_out(&self->cpu, 0x11), 0);
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_RDMSR, p->exit_reason);
	if (vt_model("AMD FX"))
		return;		/* Bochs' SVM: see unknown_msr_faults */
	p->msr.error = 1;
	/* #GP without an IDT: triple fault */
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	EXPECT_EQ(VIREO_EXIT_SHUTDOWN, p->exit_reason);
}

TEST_F(run, unknown_msr_faults)
{
	if (vt_model("AMD FX"))
		SKIP(return, "Bochs' SVM does not intercept shutdown: the machine ends");
	vt_guest64(&self->vm, &self->cpu, unknown_msr, 0, 0);
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	EXPECT_EQ(VIREO_EXIT_SHUTDOWN, self->cpu.run->exit_reason);
	/* it stays down, the launcher stays in charge */
	vt_alarm(100);
	EXPECT_NE(-EIO, vt_run(&self->cpu));
}

/* What a launcher that resets a guest does, or takes it back to where it was */
GUEST(down_once, 64,
	"test %rdi, %rdi\n"
	"jz 1f\n"
	"ud2\n"
	"1: out %al, $0x12\n"
	"hlt");

TEST_F(run, again_after_triple_fault)
{
	struct vireo_events e;
	int i;

	if (vt_model("AMD FX"))
		SKIP(return, "Bochs' SVM does not intercept shutdown: the machine ends");
	vt_guest64(&self->vm, &self->cpu, down_once, 1, 0);
	for (i = 0; i < 3; i++) {
		vt_long_mode(&self->vm, &self->cpu, VT_CODE, 1, 0);
		ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_EVENTS, &e, sizeof(e)));
		ASSERT_EQ(0, vt_run_exit(&self->cpu));
		ASSERT_EQ(VIREO_EXIT_SHUTDOWN, self->cpu.run->exit_reason);
		vt_long_mode(&self->vm, &self->cpu, VT_CODE, 0, 0);
		ASSERT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_EVENTS, &e, sizeof(e)));
		ASSERT_GE(vt_run_to_out(&self->cpu, 0x12), 0);
		EXPECT_EQ(VIREO_EXIT_IO, self->cpu.run->exit_reason);
	}
}

/* --- interrupts from the launcher ------------------------------------------------------ */
GUEST(take_irq, 64,
	"sti\n"
	"1: pause\n"
	"jmp 1b\n"
	".balign 64\n"			/* handler at +64 */
	"out %al, $0x20\n"
	"iretq");

static void put_gate(struct vt_vm *vm, unsigned int vector, u64 handler)
{
	u64 *e = (u64 *)(vm->mem + VT_IDT + 16 * vector);

	e[0] = (handler & 0xffff) | VT_CS64 << 16 | 0x8e00ULL << 32 | (handler >> 16 & 0xffff) << 48;
	e[1] = handler >> 32;
}

TEST_F(run, inject)
{
	struct vireo_lapic lapic;
	struct vireo_run *p;
	unsigned int i;

	vt_guest64(&self->vm, &self->cpu, take_irq, 0, 0);
	for (i = 0; i < 64; i++)
		put_gate(&self->vm, i, VT_CODE + 64);
	p = self->cpu.run;
	/* The APIC lets an ExtINT through LINT0 if software set it up so. */
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_LAPIC, &lapic, sizeof(lapic)));
	lapic.regs[0x0f] = 0x1ff;
	lapic.regs[0x35] = 0x700;
	ASSERT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_LAPIC, &lapic, sizeof(lapic)));
	/* ExtINT needs the window */
	p->inject = (struct vireo_event){ .valid = 1, .type = VIREO_EVENT_IRQ, .vector = 0x30 };
	EXPECT_EQ(-EAGAIN, vt_run(&self->cpu));
	p->inject.valid = 0;
	for (i = 0; i < 10; i++) {
		p->want_irq_window = 1;
		do {
			ASSERT_EQ(0, vt_run_for(&self->cpu, 2000)) vt_dump(&self->cpu);
		} while (p->exit_reason == VIREO_EXIT_IO);
		ASSERT_EQ(VIREO_EXIT_READY_FOR_IRQ, p->exit_reason);
		EXPECT_TRUE(p->flags & VIREO_RUN_IRQ_READY);
		EXPECT_TRUE(p->flags & VIREO_RUN_IF);
		p->want_irq_window = 0;
		p->inject = (struct vireo_event){ .valid = 1, .type = VIREO_EVENT_IRQ, .vector = 0x30 };
		ASSERT_EQ(0, vt_run_for(&self->cpu, 2000)) vt_dump(&self->cpu);
		EXPECT_EQ(VIREO_EXIT_IO, p->exit_reason);
		EXPECT_EQ(0, p->inject.valid);
	}
	/* NMI from any thread */
	EXPECT_EQ(0, vt_ioctl(self->cpu.fd, VIREO_INJECT_NMI, NULL));
	ASSERT_EQ(0, vt_run_for(&self->cpu, 2000)) vt_dump(&self->cpu);
	EXPECT_EQ(VIREO_EXIT_IO, p->exit_reason);
	/* malformed events */
	p->inject = (struct vireo_event){ .valid = 1, .type = 1 };
	EXPECT_EQ(-EINVAL, vt_run(&self->cpu));
	p->inject = (struct vireo_event){ .valid = 1, .type = VIREO_EVENT_EXCEPTION, .vector = 32 };
	EXPECT_EQ(-EINVAL, vt_run(&self->cpu));
	p->inject = (struct vireo_event){ .valid = 1, .type = VIREO_EVENT_EXCEPTION, .vector = 13, .has_error = 1,
					  .error = 0x10000 };
	(void)vt_run(&self->cpu);
	p->inject.valid = 0;
}

/* --- NMIs of two vCPUs on one processor -------------------------------------------- */
#define IN_LOOP		0x11
#define IN_HANDLER	0x10
#define HANDLER_ENDS	0x12

/* The handler of NMIs stands at 64 bytes. */
GUEST(nmi_loop, 64, "1: out %al, $0x11\n jmp 1b\n .balign 64\n out %al, $0x10\n out %al, $0x12\n iretq");

/* the port of its next OUT, or a negative errno */
static long next_port(struct vt_vcpu *cpu)
{
	int r = vt_run_for(cpu, 5000);

	if (r)
		return r;
	return cpu->run->exit_reason == VIREO_EXIT_IO ? cpu->run->io.port : -EPROTO;
}

static u8 nmi_masked(struct vt_vcpu *cpu)
{
	struct vireo_events e = {};

	return vt_get(cpu->fd, VIREO_BLOCK_EVENTS, &e, sizeof(e)) ? 0xff : e.nmi_masked;
}

TEST_F(run, nmi_of_one_blocks_none_of_another)
{
	struct vireo_events e = {};
	struct vt_vcpu other;
	long port;
	int i;

	vt_guest64(&self->vm, &self->cpu, nmi_loop, 0, 0);
	put_gate(&self->vm, 2, VT_CODE + 64);
	vt_vcpu_create(&self->vm, &other, 1);
	vt_long_mode(&self->vm, &other, VT_CODE, 0, 0);
	vt_pin(0);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(IN_LOOP, next_port(&self->cpu));
		ASSERT_EQ(0, vt_ioctl(self->cpu.fd, VIREO_INJECT_NMI, NULL));
		ASSERT_EQ(IN_HANDLER, next_port(&self->cpu));
		EXPECT_EQ(1, nmi_masked(&self->cpu));
		/* The other one, without an IRET of its own. */
		ASSERT_EQ(IN_LOOP, next_port(&other));
		ASSERT_EQ(IN_LOOP, next_port(&other));
		EXPECT_EQ(0, nmi_masked(&other));
		ASSERT_EQ(0, vt_ioctl(other.fd, VIREO_INJECT_NMI, NULL));
		ASSERT_EQ(IN_HANDLER, next_port(&other)) vt_dump(&other);
		/* One is in service: the next waits for the handler's end. */
		ASSERT_EQ(0, vt_ioctl(self->cpu.fd, VIREO_INJECT_NMI, NULL));
		ASSERT_EQ(HANDLER_ENDS, next_port(&self->cpu));
		port = next_port(&self->cpu);
		/* SVM's emulators do not trap behind the IRET, but at the next exit. */
		if (port == IN_LOOP)
			port = next_port(&self->cpu);
		ASSERT_EQ(IN_HANDLER, port);
		ASSERT_EQ(HANDLER_ENDS, next_port(&other));
		ASSERT_EQ(IN_LOOP, next_port(&other));
		EXPECT_EQ(0, nmi_masked(&other));
		ASSERT_EQ(HANDLER_ENDS, next_port(&self->cpu));
		ASSERT_EQ(IN_LOOP, next_port(&self->cpu));
		EXPECT_EQ(0, nmi_masked(&self->cpu));
	}
	/* What the launcher says holds at once. */
	ASSERT_EQ(0, vt_ioctl(self->cpu.fd, VIREO_INJECT_NMI, NULL));
	ASSERT_EQ(IN_HANDLER, next_port(&self->cpu));
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_EVENTS, &e, sizeof(e)));
	e.nmi_masked = 0;
	ASSERT_EQ(0, vt_set(self->cpu.fd, VIREO_BLOCK_EVENTS, &e, sizeof(e)));
	ASSERT_EQ(0, vt_ioctl(self->cpu.fd, VIREO_INJECT_NMI, NULL));
	EXPECT_EQ(IN_HANDLER, next_port(&self->cpu));
	vt_vcpu_close(&other);
}

/* --- hostile page ------------------------------------------------------------------------ */
static void *scribble(void *arg)
{
	volatile u8 *p = arg;
	u32 x = 12345;

	while (!stop) {
		x = x * 1103515245 + 12345;
		p[(x >> 8) % VIREO_RUN_SIZE] = x >> 24;
	}
	return NULL;
}

TEST_F_TIMEOUT(run, hostile_page, 60)
{
	pthread_t t;
	u64 end;
	int i;

	/* Whatever stands in the page, the module must not trip over it. */
	vt_guest64(&self->vm, &self->cpu, strings, VT_DATA, 0);
	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, scribble, self->cpu.run));
	end = vt_now_ns() + 2000000000ULL;
	for (i = 0; vt_now_ns() < end; i++) {
		vt_alarm(20);
		(void)vt_run(&self->cpu);
		if (i % 50 == 0) {
			struct vireo_sregs s;
			struct vireo_regs r = { .rip = VT_CODE, .rflags = 2 };

			/* back to something that runs, if the VM still takes it */
			if (!vt_get(self->cpu.fd, VIREO_BLOCK_SREGS, &s, sizeof(s)))
				(void)vt_set(self->cpu.fd, VIREO_BLOCK_REGS, &r, sizeof(r));
		}
	}
	stop = true;
	pthread_join(t, NULL);
	TH_LOG("%d runs", i);
}

/* --- fork, close ------------------------------------------------------------------------- */
TEST_F(run, child_cannot_use_it)
{
	pid_t child;
	int status;

	vt_guest64(&self->vm, &self->cpu, spin, VT_DATA, 0);
	child = fork();
	if (!child) {
		struct vireo_regs r;
		int bad = 0;

		bad |= vt_run(&self->cpu) != -EIO;
		bad |= (vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &r, sizeof(r)) != -EIO) << 1;
		bad |= (vt_region(self->vm.fd, 1, 1 << 30, 4096, self->vm.mem, 0) != -EIO) << 2;
		bad |= (vt_vcpu_fd(self->vm.fd, 1) != -EIO) << 3;
		_exit(bad);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_TRUE(WIFEXITED(status));
	/* the parent goes on */
	EXPECT_EQ(-EINTR, vt_run_for(&self->cpu, 50));
	EXPECT_GT(*(u64 *)(self->vm.mem + VT_DATA), 0);
}

TEST_F(run, exec_and_exit_during_run)
{
	pid_t child;
	int i, status;

	vt_guest64(&self->vm, &self->cpu, spin, VT_DATA, 0);
	for (i = 0; i < 10; i++) {
		child = fork();
		if (!child) {
			struct vt_vcpu cpu;
			struct vt_vm vm;
			pthread_t t;

			vt_guest64(&vm, &cpu, spin, VT_DATA, 0);
			pthread_create(&t, NULL, runner, &cpu);
			while (!*(volatile u64 *)(vm.mem + VT_DATA))
				sched_yield();
			if (i % 3 == 0)
				_exit(0);
			if (i % 3 == 1)
				execl("/bin/true", "true", NULL);
			else
				raise(SIGKILL);
			_exit(0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
	}
}

TEST_HARNESS_MAIN

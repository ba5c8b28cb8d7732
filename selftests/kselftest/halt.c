// SPDX-License-Identifier: GPL-2.0-only
/*
 * HLT and what ends it, many times: a lost wake-up is told from an interrupt that came
 * before HLT by what the vCPU's state says then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

/*
 * RSI: initial count of the APIC's timer, 0 if the launcher sends interrupts. Counts
 * rounds at (RDI); the handler counts at 8(RDI).
 */
GUEST(sleeper, 64,
	"mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr\n"	/* x2APIC */
	"mov $0x80f, %ecx; mov $0x1ff, %eax; xor %edx, %edx; wrmsr\n"
	"mov $0x832, %ecx; mov $0x40, %eax; wrmsr\n"
	"mov $0x83e, %ecx; mov $0xb, %eax; wrmsr\n"
	"1: mov 8(%rdi), %rbx\n"
	"mov $0x838, %ecx; mov %esi, %eax; xor %edx, %edx; wrmsr\n"
	"test %esi, %esi; jnz 2f\n"
	"out %al, $0x20\n"
	"2: cmp %rbx, 8(%rdi)\n"
	"jne 3f\n"
	"sti\n"
	"hlt\n"
	"cli\n"
	"3: incq (%rdi)\n"
	"jmp 1b\n"
	".balign 256\n"
	"push %rax; push %rcx; push %rdx\n"
	"incq 8(%rdi)\n"
	"mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr\n"
	"pop %rdx; pop %rcx; pop %rax\n"
	"iretq\n");

static void prepare(struct vt_vm *vm, struct vt_vcpu *cpu, u64 count)
{
	u64 handler, *e;

	vt_guest64(vm, cpu, sleeper, VT_DATA, count);
	/* the handler is at the first multiple of 256 behind the code */
	handler = VT_CODE + (sleeper_end - sleeper > 256 ? 256 : 128);
	e = (u64 *)(vm->mem + VT_IDT + 16 * 0x40);
	e[0] = (handler & 0xffff) | VT_CS64 << 16 | 0x8e00ULL << 32 | (handler >> 16 & 0xffff) << 48;
	e[1] = 0;
}

static void explain(struct __test_metadata *_metadata, struct vt_vm *vm, struct vt_vcpu *cpu)
{
	struct vireo_events e = {};
	struct vireo_lapic l = {};
	struct vireo_regs r = {};

	vt_get(cpu->fd, VIREO_BLOCK_EVENTS, &e, sizeof(e));
	vt_get(cpu->fd, VIREO_BLOCK_LAPIC, &l, sizeof(l));
	vt_get(cpu->fd, VIREO_BLOCK_REGS, &r, sizeof(r));
	TH_LOG("round %llu, interrupt %llu: mp_state %u shadow %u event %u, IRR %#x ISR %#x, timer left %llu ns, rip %#llx rflags %#llx",
	       *(unsigned long long *)(vm->mem + VT_DATA), *(unsigned long long *)(vm->mem + VT_DATA + 8),
	       e.mp_state, e.shadow, e.event.valid, l.regs[0x22], l.regs[0x12],
	       (unsigned long long)l.timer_left_ns, (unsigned long long)r.rip, (unsigned long long)r.rflags);
	TH_LOG("%s", e.mp_state != VIREO_MP_HALTED ? "it is not halted" :
	       l.regs[0x22] & 1 ? "halted with the interrupt in IRR: the wake-up is lost" :
	       l.timer_left_ns ? "the timer has not fired" : "the interrupt was taken before HLT, in the shadow of STI");
}

static volatile bool stop;
static volatile long result;

static void *runner(void *arg)
{
	struct vt_vcpu *cpu = arg;

	while (!stop) {
		int r = vt_run(cpu);

		if (r == -EINTR || (!r && cpu->run->exit_reason == VIREO_EXIT_KICK))
			continue;
		if (r || cpu->run->exit_reason != VIREO_EXIT_IO) {
			result = r ?: 1;
			break;
		}
	}
	return NULL;
}

FIXTURE(halt) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	pthread_t t;
};
FIXTURE_VARIANT(halt) {
	u64 count;
};
FIXTURE_VARIANT_ADD(halt, timer_2us) { .count = 2000 };
FIXTURE_VARIANT_ADD(halt, timer_20us) { .count = 20000 };
FIXTURE_VARIANT_ADD(halt, timer_500us) { .count = 500000 };
FIXTURE_VARIANT_ADD(halt, timer_3ms) { .count = 3000000 };
FIXTURE_SETUP(halt)
{
	close(vt_open_or_skip());
	prepare(&self->vm, &self->cpu, variant->count);
	stop = false;
	result = 0;
	ASSERT_EQ(0, pthread_create(&self->t, NULL, runner, &self->cpu));
}
FIXTURE_TEARDOWN(halt)
{
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
}

TEST_F_TIMEOUT(halt, wakes_every_time, 60)
{
	volatile u64 *rounds = (u64 *)(self->vm.mem + VT_DATA);
	u64 last = 0, end = vt_now_ns() + 6000000000ULL, seen = vt_now_ns();
	bool stuck = false;

	while (vt_now_ns() < end && *rounds < 1000 && !result) {
		usleep(2000);
		if (*rounds != last) {
			last = *rounds;
			seen = vt_now_ns();
		} else if (vt_now_ns() - seen > 2000000000ULL) {
			stuck = true;
			break;
		}
	}
	stop = true;
	vt_kick(&self->cpu);
	pthread_join(self->t, NULL);
	EXPECT_EQ(0, result);
	EXPECT_FALSE(stuck) explain(_metadata, &self->vm, &self->cpu);
	TH_LOG("%llu rounds", (unsigned long long)*rounds);
	EXPECT_GT(*rounds, 0);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the family "vireo" counts, by kind, is what guests know that they have caused: not more, and not less.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "nl.h"

#define COUNTER(seen, name) ((seen).counter[VIREO_NL_COUNTER_##name])
#define MEMORY(seen, name) ((seen).memory[VIREO_NL_MEMORY_##name])
#define GREW(name) (COUNTER(b, name) - COUNTER(a, name))

#define ROUNDS	50

/* A region where nothing else is; a page of it in each step, which is more than the host or the module maps along */
#define FRESH		0x400000UL
#define STEP		0x20000UL
#define FRESH_BYTES	(ROUNDS * STEP)

FIXTURE(count) {
	struct vireo_info info;
	struct vt_vm vm;
	struct vt_vcpu cpu;
	u32 number;
	int fd;
};

FIXTURE_SETUP(count)
{
	int dev = vt_open_or_skip();

	self->info.size = sizeof(self->info);
	ASSERT_EQ(0, vt_ioctl(dev, VIREO_GET_INFO, &self->info));
	close(dev);
	self->fd = vn_open(0);
}

FIXTURE_TEARDOWN(count)
{
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
	close(self->fd);
}

/* An interrupt gate to @code, which goes to @handler */
static void gate(struct vt_vm *vm, unsigned int vector, u64 handler, const u8 *code, const u8 *code_end)
{
	u64 low = (handler & 0xffff) | VT_CS64 << 16 | 0x8e00ULL << 32 | (handler >> 16 & 0xffff) << 48;

	memcpy(vm->mem + VT_IDT + vector * 16, &low, sizeof(low));
	vt_load(vm, handler, code, code_end);
}

#define MAKE(code, rdi) do {							\
	vt_guest64(&self->vm, &self->cpu, code, rdi, ROUNDS);			\
	self->number = vn_number(self->fd, "test");				\
} while (0)

/* The guest runs to its next OUT, which is to this port: how many it has counted, and how the counters are then */
#define NEXT(port, want, seen) do {						\
	ASSERT_EQ(want, vt_run_to_out(&self->cpu, port));			\
	ASSERT_EQ(0, vn_get_vm(self->fd, self->number, &(seen)));		\
} while (0)

/* ------------------------------------------------------------------ */
/* Interrupts and exceptions                                            */

/*
 * RSI of each kind, one after the other; EBX is what the handlers count. Once before, so that all that it needs is mapped.
 * An interrupt that is sent to oneself is taken before the next instruction.
 */
#define KIND(port, body) "xor %ebx, %ebx\n mov %esi, %ebp\n 1: " body "\n dec %ebp; jnz 1b\n mov %ebx, %eax; out %eax, $" port "\n"

GUEST(kinds, 64,
	"mov %esi, %r9d; mov $1, %esi\n"
	"mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr\n"
	"mov $0x80f, %ecx; mov $0x1ff, %eax; xor %edx, %edx; wrmsr\n"
	"mov $0x832, %ecx; mov $0x40, %eax; wrmsr\n"
	"mov $0x83e, %ecx; mov $0xb, %eax; wrmsr\n"
	"sti\n"
	"0:\n"
	KIND("0x10", "nop")
	/* by ICR, to its own number */
	KIND("0x11", "mov $0x830, %ecx; mov $0x41, %eax; xor %edx, %edx; wrmsr")
	KIND("0x12", "mov $0x83f, %ecx; mov $0x41, %eax; xor %edx, %edx; wrmsr")
	KIND("0x13", "mov $0x830, %ecx; mov $0x400, %eax; xor %edx, %edx; wrmsr")
	/* the timer: HLT until it has come */
	KIND("0x14", "cli; mov $0x838, %ecx; mov $20000, %eax; xor %edx, %edx; wrmsr; lea 1(%rbx), %r8d\n"
	     "2: sti; hlt; cli; cmp %r8d, %ebx; jne 2b; sti")
	/* an MSR that there is not: #GP */
	KIND("0x15", "mov $0x1234, %ecx; rdmsr")
	"mov %r9d, %esi\n"
	"jmp 0b");
GUEST(interrupt, 64,
	"inc %ebx; push %rax; push %rcx; push %rdx\n"
	"mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr\n"
	"pop %rdx; pop %rcx; pop %rax\n"
	"iretq");
GUEST(nmi, 64, "inc %ebx; iretq");
/* Instructions of two bytes */
GUEST(skip, 64, "inc %ebx; add $8, %rsp; addq $2, (%rsp); iretq");

TEST_F(count, interrupts)
{
	const bool delivers = self->info.features & VIREO_FEATURE_VIRTUAL_IRQ;
	struct vn_seen a, b;
	u16 port;

	MAKE(kinds, 0);
	gate(&self->vm, 2, VT_DATA, nmi, nmi_end);
	gate(&self->vm, 0x40, VT_DATA + 0x100, interrupt, interrupt_end);
	gate(&self->vm, 0x41, VT_DATA + 0x100, interrupt, interrupt_end);
	gate(&self->vm, 13, VT_DATA + 0x200, skip, skip_end);
	NEXT(0x10, 0, a);
	for (port = 0x11; port <= 0x15; port++)
		NEXT(port, 1, a);
	NEXT(0x10, 0, a);

	NEXT(0x11, ROUNDS, b);
	EXPECT_EQ(ROUNDS, GREW(IRQS_IPI));
	EXPECT_EQ(delivers ? 0 : ROUNDS, GREW(INJECTED_IRQ));
	EXPECT_EQ(0, GREW(INJECTED_NMI) + GREW(INJECTED_EXCEPTION) + GREW(IRQS_TIMER) + GREW(IRQS_MSI));

	/* Its own register: where the processor delivers, nobody else need know. */
	a = b;
	NEXT(0x12, ROUNDS, b);
	if (!delivers)
		EXPECT_EQ(ROUNDS, GREW(IRQS_IPI));
	EXPECT_EQ(delivers ? 0 : ROUNDS, GREW(INJECTED_IRQ));
	EXPECT_EQ(0, GREW(INJECTED_NMI) + GREW(INJECTED_EXCEPTION) + GREW(IRQS_TIMER));

	a = b;
	NEXT(0x13, ROUNDS, b);
	EXPECT_EQ(ROUNDS, GREW(IRQS_IPI));
	EXPECT_EQ(ROUNDS, GREW(INJECTED_NMI));
	EXPECT_EQ(0, GREW(INJECTED_IRQ) + GREW(INJECTED_EXCEPTION) + GREW(IRQS_TIMER));

	a = b;
	NEXT(0x14, ROUNDS, b);
	EXPECT_EQ(ROUNDS, GREW(IRQS_TIMER));
	EXPECT_EQ(delivers ? 0 : ROUNDS, GREW(INJECTED_IRQ));
	EXPECT_EQ(0, GREW(INJECTED_NMI) + GREW(INJECTED_EXCEPTION) + GREW(IRQS_IPI));
	EXPECT_LE(GREW(HALTS), ROUNDS);

	a = b;
	NEXT(0x15, ROUNDS, b);
	EXPECT_EQ(ROUNDS, GREW(INJECTED_EXCEPTION));
	EXPECT_EQ(0, GREW(INJECTED_NMI) + GREW(INJECTED_IRQ) + GREW(IRQS_IPI) + GREW(IRQS_TIMER));
	EXPECT_EQ(0, GREW(FAULTS_READ) + GREW(FAULTS_WRITE) + GREW(FAULTS_FETCH) + GREW(FAULTS_MMIO) + GREW(FAULTS_GUEST));
}

/* ------------------------------------------------------------------ */
/* Page faults                                                          */

/* RSI pages from RDI on, EDX apart: read, execute what is there (RET), write; then as many reads and writes of what is not mapped */
GUEST(pages, 64,
	"mov $0x20000, %edx\n"
	"0: mov %rdi, %r10\n mov %esi, %ebp\n 1: mov (%r10), %al; add %rdx, %r10; dec %ebp; jnz 1b\n"
	"xor %eax, %eax; out %eax, $0x10\n"
	"mov %esi, %ebp\n 1: call *%r10; add %rdx, %r10; dec %ebp; jnz 1b\n"
	"xor %eax, %eax; out %eax, $0x11\n"
	"mov %esi, %ebp\n 1: mov %al, (%r10); add %rdx, %r10; dec %ebp; jnz 1b\n"
	"xor %eax, %eax; out %eax, $0x12\n"
	"xor %ebx, %ebx; mov $0x40, %ecx; shl $32, %rcx\n"
	"mov %esi, %ebp\n 1: mov (%rcx), %al; mov %al, (%rcx); dec %ebp; jnz 1b\n"
	"mov %ebx, %eax; out %eax, $0x13\n"
	"jmp 0b");

TEST_F(count, faults)
{
	const bool nested = self->info.features & VIREO_FEATURE_NESTED_PAGING;
	struct vireo_snapshot snapshot = { .size = sizeof(snapshot) };
	const u8 ret = 0xc3;
	struct vn_seen a, b;
	int file, i;
	void *fresh;

	MAKE(pages, FRESH);
	gate(&self->vm, 14, VT_DATA, skip, skip_end);
	/* In the page cache, or not even there, and not mapped by this process */
	file = memfd_create("fresh", MFD_CLOEXEC);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, 3 * FRESH_BYTES));
	for (i = 0; i < ROUNDS; i++)
		ASSERT_EQ(1, pwrite(file, &ret, 1, FRESH_BYTES + i * STEP));
	fresh = mmap(NULL, 3 * FRESH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, fresh);

	/* Once before, for the code and what it needs */
	ASSERT_EQ(0, vt_region(self->vm.fd, 1, FRESH, 3 * FRESH_BYTES, fresh, 0));
	NEXT(0x10, 0, a);
	NEXT(0x11, 0, a);
	NEXT(0x12, 0, a);
	NEXT(0x13, 2 * ROUNDS, a);
	ASSERT_EQ(0, vt_region_delete(self->vm.fd, 1));
	munmap(fresh, 3 * FRESH_BYTES);
	fresh = mmap(NULL, 3 * FRESH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, fresh);
	ASSERT_EQ(0, vt_region(self->vm.fd, 1, FRESH, 3 * FRESH_BYTES, fresh, 0));

	ASSERT_EQ(0, vn_get_vm(self->fd, self->number, &a));
	NEXT(0x10, 0, b);
	EXPECT_EQ(ROUNDS, GREW(FAULTS_READ));
	EXPECT_EQ(0, GREW(FAULTS_WRITE) + GREW(FAULTS_FETCH) + GREW(FAULTS_MMIO) + GREW(FAULTS_GUEST));
	a = b;
	NEXT(0x11, 0, b);
	/* A processor without NX does not say what it wanted. */
	EXPECT_EQ(ROUNDS, GREW(FAULTS_FETCH) + GREW(FAULTS_READ));
	if (nested)
		EXPECT_EQ(ROUNDS, GREW(FAULTS_FETCH));
	EXPECT_EQ(0, GREW(FAULTS_WRITE) + GREW(FAULTS_MMIO) + GREW(FAULTS_GUEST));
	a = b;
	NEXT(0x12, 0, b);
	EXPECT_EQ(ROUNDS, GREW(FAULTS_WRITE));
	EXPECT_EQ(0, GREW(FAULTS_READ) + GREW(FAULTS_FETCH) + GREW(FAULTS_MMIO) + GREW(FAULTS_GUEST));
	EXPECT_EQ(0, COUNTER(b, FAULTS_TRACKED));
	EXPECT_EQ(0, MEMORY(b, DIRTIED));

	/* Faults of the guest's own: the module sees them with shadow tables, and gives them to it. */
	a = b;
	NEXT(0x13, 2 * ROUNDS, b);
	EXPECT_EQ(nested ? 0 : 2 * ROUNDS, GREW(FAULTS_GUEST));
	EXPECT_EQ(nested ? 0 : 2 * ROUNDS, GREW(INJECTED_EXCEPTION));
	EXPECT_EQ(0, GREW(FAULTS_READ) + GREW(FAULTS_WRITE) + GREW(FAULTS_FETCH) + GREW(FAULTS_MMIO));

	/* A snapshot: the next write to each page finds it mapped, and may not be done at once, however dirty pages are found else. */
	self->cpu.run->immediate_exit = 1;
	vt_run(&self->cpu);
	self->cpu.run->immediate_exit = 0;
	ASSERT_EQ(0, vt_ioctl(self->vm.fd, VIREO_SNAPSHOT, &snapshot));
	NEXT(0x10, 0, a);
	NEXT(0x11, 0, a);
	NEXT(0x12, 0, b);
	EXPECT_EQ(ROUNDS, GREW(FAULTS_WRITE));
	EXPECT_EQ(ROUNDS, GREW(FAULTS_TRACKED));
	EXPECT_EQ(ROUNDS, MEMORY(b, DIRTIED) - MEMORY(a, DIRTIED));
	NEXT(0x13, 2 * ROUNDS, a);
	NEXT(0x10, 0, a);
	NEXT(0x11, 0, a);
	NEXT(0x12, 0, b);
	EXPECT_EQ(0, GREW(FAULTS_WRITE) + GREW(FAULTS_TRACKED));
	munmap(fresh, 3 * FRESH_BYTES);
	close(file);
}

TEST_HARNESS_MAIN

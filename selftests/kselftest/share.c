// SPDX-License-Identifier: GPL-2.0-only
/*
 * Beside KVM: with a KVM VM there, creating a VM of Vireo's either works, or fails with
 * -EBUSY and leaves KVM's guest alone. Where it works, both run guests at the same time
 * and on the same CPUs, and both guests check themselves.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

/*
 * Walks over RSI pages from RDI on, each of which holds its own number plus R15: both
 * guests use the same addresses, so a stale or foreign translation shows at once. Changes
 * its page tables' entry for a page at VA 2 GiB as well and reads through it.
 */
GUEST(oracle, 64,
	"mov %rdx, %r15\n"
	"xor %r14, %r14\n"
	"1: mov %rdi, %rbx\n"
	"xor %ecx, %ecx\n"
	"2: mov (%rbx), %rax\n"
	"sub %r15, %rax\n"
	"cmp %rcx, %rax\n"
	"jne 9f\n"
	"add $4096, %rbx\n"
	"inc %rcx\n"
	"cmp %rsi, %rcx\n"
	"jne 2b\n"
	/* PDPT entry 2, PD entry 0 is at 0x5000: map 2 GiB onto 0 or 2 MiB */
	"mov %r14, %rax\n"
	"and $1, %eax\n"
	"shl $21, %rax\n"
	"or $0xe7, %rax\n"
	"mov %rax, 0x5000\n"
	"mov $0x80000000, %ebx\n"
	"invlpg (%rbx)\n"
	"mov 0x30000(%rbx), %rax\n"
	"sub %r15, %rax\n"
	"mov %r14, %rcx\n"
	"and $1, %ecx\n"
	"cmp %rcx, %rax\n"
	"jne 9f\n"
	"inc %r14\n"
	"test $0x3f, %r14d\n"
	"jnz 1b\n"
	"mov %r14, %rax\n"
	"out %eax, $0x10\n"
	"jmp 1b\n"
	"9: out %eax, $0x12\n"
	"jmp 9b");

#define GUEST_BYTES (4UL << 20)
#define WALK 0x200000UL		/* 2 MiB up: PAGES pages with their numbers */
#define PAGES 48

static void fill(u8 *mem, u64 salt)
{
	u64 i, v;

	for (i = 0; i < PAGES; i++) {
		v = salt + i;
		memcpy(mem + 0x280000 + i * 4096, &v, 8);
	}
	v = salt;
	memcpy(mem + 0x30000, &v, 8);
	v = salt + 1;
	memcpy(mem + WALK + 0x30000, &v, 8);
}

struct kvm {
	int dev, vm, cpu;
	struct kvm_run *run;
	u8 *mem;
};

static int kvm_create(struct kvm *k, u64 salt)
{
	struct kvm_userspace_memory_region r = { .memory_size = GUEST_BYTES };
	struct kvm_segment data = { .limit = ~0U, .selector = VT_DS, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_regs regs = { .rip = VT_CODE, .rflags = 2, .rsp = VT_STACK(0), .rdi = 0x280000, .rsi = PAGES, .rdx = salt };
	struct vt_vm tables = { .bytes = GUEST_BYTES };
	struct kvm_sregs s;
	u64 identity = 0xfffbc000;

	k->dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (k->dev < 0)
		return -errno;
	k->vm = ioctl(k->dev, KVM_CREATE_VM, 0);
	if (k->vm < 0)
		return -errno;
	ioctl(k->vm, KVM_SET_TSS_ADDR, 0xfffbd000UL);
	ioctl(k->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	k->mem = tables.mem = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r.userspace_addr = (u64)k->mem;
	if (ioctl(k->vm, KVM_SET_USER_MEMORY_REGION, &r))
		return -errno;
	vt_tables(&tables);
	vt_load(&tables, VT_CODE, oracle, oracle_end);
	fill(k->mem, salt);
	k->cpu = ioctl(k->vm, KVM_CREATE_VCPU, 0);
	if (k->cpu < 0)
		return -errno;
	k->run = mmap(NULL, ioctl(k->dev, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, k->cpu, 0);
	{
		struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

		c->nent = 256;
		if (ioctl(k->dev, KVM_GET_SUPPORTED_CPUID, c) || ioctl(k->cpu, KVM_SET_CPUID2, c))
			return -errno;
		free(c);
	}
	if (ioctl(k->cpu, KVM_GET_SREGS, &s))
		return -errno;
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.cs = data;
	s.cs.selector = VT_CS64;
	s.cs.type = 11;
	s.cs.db = 0;
	s.cs.l = 1;
	s.tr = (struct kvm_segment){ .limit = 0x67, .type = 11, .present = 1 };
	s.ldt = (struct kvm_segment){ .unusable = 1 };
	s.gdt.base = VT_GDT;
	s.gdt.limit = 0x17;
	s.cr0 = 0x80050033;
	s.cr3 = VT_PML4;
	s.cr4 = 0x620;
	s.efer = 0xd00;
	if (ioctl(k->cpu, KVM_SET_SREGS, &s) || ioctl(k->cpu, KVM_SET_REGS, &regs))
		return -errno;
	return 0;
}

static void kvm_close(struct kvm *k)
{
	munmap(k->run, 4096);
	close(k->cpu);
	close(k->vm);
	close(k->dev);
	munmap(k->mem, GUEST_BYTES);
}

/* 0, or what went wrong */
static long kvm_round(struct kvm *k)
{
	int r;

	do {
		r = ioctl(k->cpu, KVM_RUN, 0);
	} while (r < 0 && errno == EINTR);
	if (r)
		return -errno;
	if (k->run->exit_reason != KVM_EXIT_IO || k->run->io.port != 0x10)
		return 1000 + k->run->exit_reason;
	return 0;
}

static long vireo_round(struct vt_vcpu *cpu)
{
	int r;

	do {
		r = vt_run(cpu);
	} while (r == -EINTR);
	if (r)
		return r;
	if (cpu->run->exit_reason != VIREO_EXIT_IO || cpu->run->io.port != 0x10) {
		vt_dump(cpu);
		return 1000 + cpu->run->exit_reason;
	}
	return 0;
}

static void vireo_create(struct vt_vm *vm, struct vt_vcpu *cpu, u64 salt)
{
	struct vireo_regs regs;

	vt_vm_create(vm, GUEST_BYTES);
	vt_vcpu_create(vm, cpu, 0);
	vt_load(vm, VT_CODE, oracle, oracle_end);
	vt_tables(vm);
	fill(vm->mem, salt);
	vt_long_mode(vm, cpu, VT_CODE, 0x280000, PAGES);
	if (vt_get(cpu->fd, VIREO_BLOCK_REGS, &regs, sizeof(regs)))
		vt_die("registers");
	regs.gpr[2] = salt;
	if (vt_set(cpu->fd, VIREO_BLOCK_REGS, &regs, sizeof(regs)))
		vt_die("registers");
}

#define SALT_KVM 0x1000000000UL
#define SALT_VIREO 0x2000000000UL

FIXTURE(share) {
	struct kvm kvm;
	bool kvm_there;
};
FIXTURE_SETUP(share)
{
	int r;

	close(vt_open_or_skip());
	r = kvm_create(&self->kvm, SALT_KVM);
	self->kvm_there = !r;
	if (r)
		SKIP(return, "no KVM here: %s", strerror(-r));
}
FIXTURE_TEARDOWN(share)
{
	if (self->kvm_there)
		kvm_close(&self->kvm);
}

TEST_F_TIMEOUT(share, alternating, 90)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;
	int dev = vt_open(), fd, i;

	ASSERT_EQ(0, kvm_round(&self->kvm));
	fd = vt_vm_fd(dev, "beside");
	if (fd == -EBUSY) {
		/* then KVM must not have noticed */
		for (i = 0; i < 20; i++)
			ASSERT_EQ(0, kvm_round(&self->kvm));
		TH_LOG("refused with EBUSY, KVM goes on");
		close(dev);
		return;
	}
	ASSERT_GE(fd, 0);
	close(fd);
	close(dev);
	vt_pin(0);
	vireo_create(&vm, &cpu, SALT_VIREO);
	for (i = 0; i < 60; i++) {
		ASSERT_EQ(0, vireo_round(&cpu));
		ASSERT_EQ(0, kvm_round(&self->kvm));
	}
	/* KVM goes, Vireo stays; KVM comes back, Vireo goes */
	kvm_close(&self->kvm);
	self->kvm_there = false;
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, vireo_round(&cpu));
	ASSERT_EQ(0, kvm_create(&self->kvm, SALT_KVM));
	self->kvm_there = true;
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, vireo_round(&cpu));
		ASSERT_EQ(0, kvm_round(&self->kvm));
	}
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, kvm_round(&self->kvm));
}

static volatile bool stop;
static long kvm_result, kvm_rounds;

static void *kvm_thread(void *arg)
{
	while (!stop && !kvm_result) {
		kvm_result = kvm_round(arg);
		kvm_rounds++;
	}
	return NULL;
}

TEST_F_TIMEOUT(share, at_the_same_time, 90)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;
	pthread_t t;
	u64 end;
	long r = 0, rounds = 0;
	int dev = vt_open(), fd = vt_vm_fd(dev, "beside"), n = 0;

	if (fd == -EBUSY)
		SKIP(return, "no shared operation on this host");
	close(fd);
	close(dev);
	vireo_create(&vm, &cpu, SALT_VIREO);
	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, kvm_thread, &self->kvm));
	end = vt_now_ns() + 4000000000ULL;
	while (vt_now_ns() < end && !r) {
		/* both on the same CPU, then on different ones, and moving */
		vt_pin(n++ / 4 % vt_cpus());
		r = vireo_round(&cpu);
		rounds++;
	}
	stop = true;
	pthread_join(t, NULL);
	EXPECT_EQ(0, r);
	EXPECT_EQ(0, kvm_result);
	TH_LOG("%ld rounds of Vireo's guest, %ld of KVM's", rounds, kvm_rounds);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST_F_TIMEOUT(share, come_and_go, 90)
{
	int i;

	/* virtualisation is switched on and off by both, in both orders */
	for (i = 0; i < 20; i++) {
		struct vt_vcpu cpu;
		struct vt_vm vm;
		int dev = vt_open(), fd = vt_vm_fd(dev, "beside");

		close(dev);
		if (fd == -EBUSY)
			SKIP(return, "no shared operation on this host");
		close(fd);
		vireo_create(&vm, &cpu, SALT_VIREO);
		ASSERT_EQ(0, vireo_round(&cpu));
		if (i & 1) {
			kvm_close(&self->kvm);
			self->kvm_there = false;
		}
		ASSERT_EQ(0, vireo_round(&cpu));
		vt_vcpu_close(&cpu);
		vt_vm_close(&vm);
		if (i & 1) {
			ASSERT_EQ(0, kvm_create(&self->kvm, SALT_KVM));
			self->kvm_there = true;
		}
		ASSERT_EQ(0, kvm_round(&self->kvm));
	}
}

TEST_HARNESS_MAIN

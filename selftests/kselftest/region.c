// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory regions: what is refused, what a guest sees, and that it sees what the host
 * makes of the memory behind them while it runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

/* Reads RDI's 8 bytes, reports the low 4, writes RSI there, reports again, and so on. */
GUEST(peek_poke, 64,
	"1: mov (%rdi), %rax\n"
	"out %eax, $0x10\n"
	"mov %rsi, (%rdi)\n"
	"out %eax, $0x11\n"
	"jmp 1b");

/*
 * Keeps a counter of its own in each of RSI pages from RDI on, and checks it every time:
 * a page that changed under it is reported at port 0x12. Exits at port 0x10 each round.
 */
GUEST(check_pages, 64,
	"xor %r8, %r8\n"
	"1: mov %rdi, %rbx\n"
	"mov %rsi, %rcx\n"
	"2: mov (%rbx), %rax\n"
	"cmp %r8, %rax\n"
	"jne 3f\n"
	"inc %rax\n"
	"mov %rax, (%rbx)\n"
	"add $4096, %rbx\n"
	"dec %rcx\n"
	"jnz 2b\n"
	"inc %r8\n"
	"mov %r8, %rax\n"
	"out %eax, $0x10\n"
	"jmp 1b\n"
	"3: out %eax, $0x12\n"
	"jmp 3b");

#define GPA 0x40000000UL
#define PAGES 64UL
#define BYTES (PAGES * 4096)

static void *anonymous(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

TEST(refused)
{
	struct vireo_region r;
	struct vt_vm vm;
	void *p = anonymous(1 << 20);

	close(vt_open_or_skip());
	vt_vm_create(&vm, VT_MEMORY);
	EXPECT_EQ(-EEXIST, vt_region(vm.fd, 1, 0, 4096, p, 0));
	EXPECT_EQ(-EEXIST, vt_region(vm.fd, 1, VT_MEMORY - 4096, 8192, p, 0));
	EXPECT_EQ(0, vt_region(vm.fd, 1, VT_MEMORY, 4096, p, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, GPA + 1, 4096, p, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, GPA, 4095, p, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, GPA, 4096, p + 1, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, GPA, 0, p, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, -4096UL, 8192, p, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, 1ULL << 52, 4096, p, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, GPA, -4096UL, p, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, GPA, 1ULL << 60, p, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, GPA, 4096, p, 2));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, 2, GPA, 4096, p, 1ULL << 63));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, VIREO_MAX_REGIONS, GPA, 4096, p, 0));
	EXPECT_EQ(-EINVAL, vt_region(vm.fd, ~0U, GPA, 4096, p, 0));
	/* memory that is not the launcher's to give */
	EXPECT_LT(vt_region(vm.fd, 2, GPA, 4096, (void *)0xffff888000000000UL, 0), 0);
	EXPECT_LT(vt_region(vm.fd, 2, GPA, 1ULL << 47, p, 0), 0);
	EXPECT_EQ(-ENOENT, vt_region_delete(vm.fd, 2));
	EXPECT_EQ(-EINVAL, vt_region_delete(vm.fd, VIREO_MAX_REGIONS));
	EXPECT_EQ(0, vt_region_delete(vm.fd, 1));
	EXPECT_EQ(-ENOENT, vt_region_delete(vm.fd, 1));
	/* sizes of the structure */
	r = (struct vireo_region){ .size = 0, .slot = 3, .gpa = GPA, .bytes = 4096, .hva = (u64)p };
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_SET_REGION, &r));
	EXPECT_EQ(-EFAULT, vt_ioctl(vm.fd, VIREO_SET_REGION, NULL));
	/* slot 0 is whole after all that */
	EXPECT_EQ(-EEXIST, vt_region(vm.fd, 3, 0, 4096, p, 0));
	/* all slots, neighbours */
	{
		unsigned int i, good = 0;

		for (i = 1; i < VIREO_MAX_REGIONS; i++)
			good += !vt_region(vm.fd, i, GPA + (VIREO_MAX_REGIONS - i) * 4096UL, 4096, p, 0);
		EXPECT_EQ(VIREO_MAX_REGIONS - 1, good);
		for (i = 1; i < VIREO_MAX_REGIONS; i++)
			good -= !vt_region_delete(vm.fd, i);
		EXPECT_EQ(0, good);
	}
	vt_vm_close(&vm);
	munmap(p, 1 << 20);
}

/* What the guest reads at @gpa (32 bits), or -1 if it exits as MMIO there. */
static long guest_reads(struct vt_vm *vm, struct vt_vcpu *cpu, u64 gpa, u64 writes)
{
	int r;

	vt_long_mode(vm, cpu, VT_CODE, gpa, writes);
	r = vt_run_exit(cpu);
	if (r)
		return r;
	if (cpu->run->exit_reason == VIREO_EXIT_MMIO)
		return -1;
	if (cpu->run->exit_reason != VIREO_EXIT_IO || cpu->run->io.port != 0x10) {
		vt_dump(cpu);
		return -2;
	}
	return vt_out_value(cpu->run);
}

static void setup(struct vt_vm *vm, struct vt_vcpu *cpu, const u8 *code, const u8 *end)
{
	close(vt_open_or_skip());
	vt_vm_create(vm, VT_MEMORY);
	vt_vcpu_create(vm, cpu, 0);
	vt_load(vm, VT_CODE, code, end);
	vt_tables(vm);
}

TEST(seen_by_the_guest)
{
	u32 *a = anonymous(1 << 20), *b = anonymous(1 << 20);
	struct vt_vcpu cpu;
	struct vt_vm vm;

	setup(&vm, &cpu, peek_poke, peek_poke_end);
	*a = 0xaaaa;
	*b = 0xbbbb;
	EXPECT_EQ(-1, guest_reads(&vm, &cpu, GPA, 0));
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA, 1 << 20, a, 0));
	EXPECT_EQ(0xaaaa, guest_reads(&vm, &cpu, GPA, 0));
	/* another place */
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA + (1 << 20), 1 << 20, a, 0));
	EXPECT_EQ(-1, guest_reads(&vm, &cpu, GPA, 0));
	EXPECT_EQ(0xaaaa, guest_reads(&vm, &cpu, GPA + (1 << 20), 0));
	/* other memory at the same place */
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA + (1 << 20), 1 << 20, b, 0));
	EXPECT_EQ(0xbbbb, guest_reads(&vm, &cpu, GPA + (1 << 20), 0));
	/* smaller */
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA + (1 << 20), 4096, b, 0));
	EXPECT_EQ(-1, guest_reads(&vm, &cpu, GPA + (1 << 20) + 4096, 0));
	/* a refused change leaves it */
	EXPECT_EQ(-EEXIST, vt_region(vm.fd, 1, 0, 4096, a, 0));
	EXPECT_EQ(0xbbbb, guest_reads(&vm, &cpu, GPA + (1 << 20), 0));
	EXPECT_EQ(0, vt_region_delete(vm.fd, 1));
	EXPECT_EQ(-1, guest_reads(&vm, &cpu, GPA + (1 << 20), 0));
	/* twice the same memory */
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA, 1 << 20, a, 0));
	EXPECT_EQ(0, vt_region(vm.fd, 2, GPA + (1 << 20), 1 << 20, a, 0));
	EXPECT_EQ(0xaaaa, guest_reads(&vm, &cpu, GPA, 0xcccc));
	EXPECT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(0xcccc, *a);
	EXPECT_EQ(0xcccc, guest_reads(&vm, &cpu, GPA + (1 << 20), 0));
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(read_only)
{
	u32 *a = anonymous(8192);
	struct vt_vcpu cpu;
	struct vt_vm vm;

	setup(&vm, &cpu, peek_poke, peek_poke_end);
	*a = 0xaaaa;
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA, 8192, a, VIREO_REGION_READONLY));
	EXPECT_EQ(0xaaaa, guest_reads(&vm, &cpu, GPA, 0x5555));
	ASSERT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(VIREO_EXIT_MMIO, cpu.run->exit_reason);
	EXPECT_EQ(1, cpu.run->mmio.write);
	EXPECT_EQ(GPA, cpu.run->mmio.gpa);
	EXPECT_EQ(8, cpu.run->mmio.len);
	EXPECT_EQ(0x5555, *(u32 *)cpu.run->mmio.data);
	EXPECT_EQ(0xaaaa, *a);
	/* the host may write */
	*a = 0xbbbb;
	EXPECT_EQ(0xbbbb, guest_reads(&vm, &cpu, GPA, 0));
	/* made writable, and back */
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA, 8192, a, 0));
	EXPECT_EQ(0xbbbb, guest_reads(&vm, &cpu, GPA, 0x6666));
	EXPECT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(0x6666, *a);
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA, 8192, a, VIREO_REGION_READONLY));
	EXPECT_EQ(0x6666, guest_reads(&vm, &cpu, GPA, 0x7777));
	EXPECT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(VIREO_EXIT_MMIO, cpu.run->exit_reason);
	EXPECT_EQ(0x6666, *a);
	/* memory that the launcher itself cannot write */
	EXPECT_EQ(0, vt_region_delete(vm.fd, 1));
	EXPECT_EQ(0, mprotect(a, 8192, PROT_READ));
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA, 8192, a, VIREO_REGION_READONLY));
	EXPECT_EQ(0x6666, guest_reads(&vm, &cpu, GPA, 0));
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(backings)
{
	static const struct { const char *name; int flags; size_t bytes, align; } kinds[] = {
		{ "private", MAP_PRIVATE | MAP_ANONYMOUS, 4 << 20, 4096 },
		{ "shared", MAP_SHARED | MAP_ANONYMOUS, 4 << 20, 4096 },
		{ "2 MiB", MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT, 4 << 20, 2 << 20 },
		{ "1 GiB", MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 30 << MAP_HUGE_SHIFT, 1 << 30, 1 << 30 },
	};
	struct vt_vcpu cpu;
	struct vt_vm vm;
	unsigned int i;
	u64 step;

	setup(&vm, &cpu, peek_poke, peek_poke_end);
	vt_write_file("/proc/sys/vm/nr_hugepages", "8");
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		u8 *p = mmap(NULL, kinds[i].bytes, PROT_READ | PROT_WRITE, kinds[i].flags, -1, 0);

		if (p == MAP_FAILED) {
			TH_LOG("the host has no memory of kind %s", kinds[i].name);
			continue;
		}
		/* guest-physical address congruent and not congruent with the host's */
		for (step = 0; step <= 4096; step += 4096) {
			EXPECT_EQ(0, vt_region(vm.fd, 1, GPA + step, kinds[i].bytes, p, 0));
			*(u32 *)(p + 0x3000) = 0x1000 + i;
			EXPECT_EQ(0x1000 + i, guest_reads(&vm, &cpu, GPA + step + 0x3000, 0x2000 + i));
			EXPECT_EQ(0, vt_run_exit(&cpu));
			EXPECT_EQ(0x2000 + i, *(u32 *)(p + 0x3000));
			*(u32 *)(p + kinds[i].bytes - 8) = 0x3000 + i;
			EXPECT_EQ(0x3000 + i, guest_reads(&vm, &cpu, GPA + step + kinds[i].bytes - 8, 0));
			EXPECT_EQ(-1, guest_reads(&vm, &cpu, GPA + step + kinds[i].bytes, 0));
		}
		munmap(p, kinds[i].bytes);
		EXPECT_EQ(0, vt_region_delete(vm.fd, 1));
	}
	vt_write_file("/proc/sys/vm/nr_hugepages", "0");
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(unmapped_memory)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;
	u32 *p = anonymous(8192);
	int r;

	/* a region over a hole: the guest's access is an error for the launcher, not a host crash */
	setup(&vm, &cpu, peek_poke, peek_poke_end);
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA, 8192, p, 0));
	*p = 0x11;
	EXPECT_EQ(0x11, guest_reads(&vm, &cpu, GPA, 0));
	munmap(p, 8192);
	vt_long_mode(&vm, &cpu, VT_CODE, GPA, 0);
	r = vt_run_exit(&cpu);
	EXPECT_TRUE(r == -EFAULT || (!r && cpu.run->exit_reason != VIREO_EXIT_IO)) {
		TH_LOG("%d, exit %s", r, vt_reason(cpu.run->exit_reason));
	}
	/* mapped again at the same address: it goes on */
	p = mmap(p, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	*p = 0x22;
	EXPECT_EQ(0x22, guest_reads(&vm, &cpu, GPA, 0));
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(file_truncated)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;
	int fd = memfd_create("t", 0), r;
	u32 *p;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, ftruncate(fd, 8192));
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	setup(&vm, &cpu, peek_poke, peek_poke_end);
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA, 8192, p, 0));
	p[1024] = 0x33;
	EXPECT_EQ(0x33, guest_reads(&vm, &cpu, GPA + 4096, 0));
	ASSERT_EQ(0, ftruncate(fd, 4096));
	vt_long_mode(&vm, &cpu, VT_CODE, GPA + 4096, 0);
	r = vt_run_exit(&cpu);
	EXPECT_TRUE(r == -EFAULT || (!r && cpu.run->exit_reason != VIREO_EXIT_IO)) {
		TH_LOG("%d, exit %s", r, vt_reason(cpu.run->exit_reason));
	}
	EXPECT_EQ(0, guest_reads(&vm, &cpu, GPA, 0));
	ASSERT_EQ(0, ftruncate(fd, 8192));
	EXPECT_EQ(0, guest_reads(&vm, &cpu, GPA + 4096, 0));
	p[1024] = 0x44;
	EXPECT_EQ(0x44, guest_reads(&vm, &cpu, GPA + 4096, 0));
	close(fd);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(host_changes_are_seen)
{
	u32 *p = anonymous(8192), *q;
	struct vt_vcpu cpu;
	struct vt_vm vm;
	pid_t child;
	int status;

	setup(&vm, &cpu, peek_poke, peek_poke_end);
	EXPECT_EQ(0, vt_region(vm.fd, 1, GPA, 8192, p, 0));
	*p = 1;
	EXPECT_EQ(1, guest_reads(&vm, &cpu, GPA, 2));
	EXPECT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(2, *p);
	/* thrown away: zeros */
	EXPECT_EQ(0, madvise(p, 8192, MADV_DONTNEED));
	EXPECT_EQ(0, guest_reads(&vm, &cpu, GPA, 3));
	EXPECT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(3, *p);
	/* other memory moved to the address */
	q = anonymous(8192);
	*q = 4;
	ASSERT_EQ(p, mremap(q, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, p));
	EXPECT_EQ(4, guest_reads(&vm, &cpu, GPA, 5));
	EXPECT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(5, *p);
	/* fork makes it copy-on-write: the guest's write must not reach the child */
	child = fork();
	if (!child) {
		u32 first = *p;

		usleep(300000);
		_exit(first == 5 && *p == 5 ? 0 : 1);
	}
	EXPECT_EQ(5, guest_reads(&vm, &cpu, GPA, 6));
	EXPECT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(6, *p);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	/* write-protected by the launcher: the guest cannot write either */
	EXPECT_EQ(0, mprotect(p, 8192, PROT_READ));
	EXPECT_EQ(6, guest_reads(&vm, &cpu, GPA, 7));
	status = vt_run_exit(&cpu);
	EXPECT_TRUE(status == -EFAULT || (!status && cpu.run->exit_reason != VIREO_EXIT_IO));
	EXPECT_EQ(6, *p);
	EXPECT_EQ(0, mprotect(p, 8192, PROT_READ | PROT_WRITE));
	EXPECT_EQ(6, guest_reads(&vm, &cpu, GPA, 8));
	EXPECT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(8, *p);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

/* --- while the guest runs ------------------------------------------------------------ */
static volatile bool stop;

struct worker {
	u8 *p;
	int vm;
	int kind;
	long times;
};

enum { KIND_PAGEOUT, KIND_MPROTECT, KIND_FORK, KIND_KSM, KIND_MIGRATE, KIND_MREMAP, KIND_REGION, KINDS };
static const char *const kind_names[] = {
	"MADV_PAGEOUT", "mprotect", "fork", "KSM", "madvise(COLLAPSE), split", "mremap away and back", "another region set and deleted"
};

static void *work(void *arg)
{
	struct worker *w = arg;
	void *spare = anonymous(BYTES);
	void *away = anonymous(BYTES);
	pid_t child;

	while (!stop) {
		switch (w->kind) {
		case KIND_PAGEOUT:
			madvise(w->p, BYTES, 21 /* MADV_PAGEOUT */);
			break;
		case KIND_MPROTECT:
			mprotect(w->p, BYTES, PROT_READ);
			mprotect(w->p, BYTES, PROT_READ | PROT_WRITE);
			break;
		case KIND_FORK:
			child = fork();
			if (!child)
				_exit(0);
			waitpid(child, NULL, 0);
			break;
		case KIND_KSM:
			madvise(w->p, BYTES, MADV_MERGEABLE);
			usleep(1000);
			madvise(w->p, BYTES, MADV_UNMERGEABLE);
			break;
		case KIND_MIGRATE:
			madvise(w->p, BYTES, 25 /* MADV_COLLAPSE */);
			madvise(w->p + 4096, 4096, MADV_DODUMP);
			break;
		case KIND_MREMAP:
			/* the guest may find a hole for a moment and the launcher retries */
			break;
		case KIND_REGION:
			vt_region(w->vm, 5, GPA + (64 << 20), BYTES, spare, 0);
			vt_region(w->vm, 5, GPA + (65 << 20), BYTES, spare, 0);
			vt_region_delete(w->vm, 5);
			break;
		}
		w->times++;
		sched_yield();
	}
	munmap(spare, BYTES);
	munmap(away, BYTES);
	return NULL;
}

FIXTURE(running) {
	int unused;
};
FIXTURE_SETUP(running) { }
FIXTURE_TEARDOWN(running) { }

TEST_F_TIMEOUT(running, contents_survive, 120)
{
	int kind;

	vt_write_file("/sys/kernel/mm/ksm/run", "1");
	vt_write_file("/sys/kernel/mm/ksm/sleep_millisecs", "0");
	for (kind = 0; kind < KINDS; kind++) {
		struct vireo_stats stats = { .size = sizeof(stats) };
		struct worker w = { .kind = kind };
		struct vt_vcpu cpu;
		struct vt_vm vm;
		pthread_t t;
		u64 end;
		long v = 0, rounds = 0, again = 0;
		u8 *area = anonymous(BYTES + (2 << 20));

		if (kind == KIND_MREMAP)
			continue;
		setup(&vm, &cpu, check_pages, check_pages_end);
		w.p = (u8 *)(((u64)area + (2 << 20) - 1) & -(2UL << 20));
		w.vm = vm.fd;
		if (kind == KIND_MIGRATE)
			madvise(w.p, BYTES, MADV_HUGEPAGE);
		ASSERT_EQ(0, vt_region(vm.fd, 1, GPA, BYTES, w.p, 0));
		vt_long_mode(&vm, &cpu, VT_CODE, GPA, PAGES);
		stop = false;
		ASSERT_EQ(0, pthread_create(&t, NULL, work, &w));
		/* slow machines, fast machines */
		end = vt_now_ns() + 12000000000ULL;
		while (vt_now_ns() < end && (rounds < 30 || w.times < 5)) {
			int r = vt_run(&cpu);

			/* memory that is write-protected just now */
			if (r == -EINTR || (r == -EFAULT && kind == KIND_MPROTECT)) {
				again++;
				continue;
			}
			if (!r && cpu.run->exit_reason == VIREO_EXIT_MMIO && kind == KIND_MPROTECT) {
				TH_LOG("exit as MMIO");
				v = -1;
				break;
			}
			if (r || cpu.run->exit_reason != VIREO_EXIT_IO || cpu.run->io.port != 0x10) {
				TH_LOG("run %d", r);
				vt_dump(&cpu);
				v = -1;
				break;
			}
			rounds++;
		}
		stop = true;
		pthread_join(t, NULL);
		EXPECT_EQ(0, v);
		EXPECT_GT(rounds, 0);
		vt_ioctl(cpu.fd, VIREO_GET_STATS, &stats);
		TH_LOG("%s: %ld rounds of the guest, %ld of the host, %ld times again; %llu entries, %llu faults, %llu exits for memory",
		       kind_names[kind], rounds, w.times, again, stats.entries, stats.faults,
		       stats.exits[VIREO_EXIT_MEMORY]);
		vt_vcpu_close(&cpu);
		vt_vm_close(&vm);
		munmap(area, BYTES + (2 << 20));
	}
}

TEST_F_TIMEOUT(running, region_deleted, 60)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;
	u8 *p = anonymous(BYTES);
	struct worker w = { .kind = KIND_REGION, .p = p };
	long outs = 0, mmios = 0;
	pthread_t t;
	u64 end;

	/* The region that the guest uses comes and goes: memory or MMIO, nothing else. */
	setup(&vm, &cpu, peek_poke, peek_poke_end);
	w.vm = vm.fd;
	vt_long_mode(&vm, &cpu, VT_CODE, GPA + (64 << 20), 0x77);
	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, work, &w));
	end = vt_now_ns() + 1500000000ULL;
	while (vt_now_ns() < end) {
		int r = vt_run(&cpu);

		if (r == -EINTR)
			continue;
		ASSERT_EQ(0, r);
		if (cpu.run->exit_reason == VIREO_EXIT_MMIO) {
			mmios++;
			memset(cpu.run->mmio.data, 0, 8);
		} else {
			ASSERT_EQ(VIREO_EXIT_IO, cpu.run->exit_reason);
			outs++;
		}
	}
	stop = true;
	pthread_join(t, NULL);
	TH_LOG("%ld exits at a port, %ld as MMIO, %ld changes", outs, mmios, w.times);
	EXPECT_GT(outs, 0);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty tracking: exactly the pages that were written, to each consumer once; and that nothing is
 * missed while vCPUs write and the host moves the memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"
#include "track.h"

/* As touch, but it only reads. */
GUEST(look, 64,
	"1: mov %rdi, %rbx\n"
	"2: mov (%rbx), %rax\n"
	"test %rax, %rax\n"
	"jz 3f\n"
	"mov (%rax), %rcx\n"
	"add $8, %rbx\n"
	"jmp 2b\n"
	"3: out %al, $0x10\n"
	"jmp 1b");

/*
 * The same page for a while, then the next: RDI, RSI as of storm.  A write to one that has just been told of, by a processor
 * that has not heard of it, is the last one for long.
 */
GUEST(bursts, 64,
	"sti\n"
	"xor %r8, %r8\n"
	"1: mov %r8, %rax; shr $14, %rax; and %rsi, %rax; shl $12, %rax\n"
	"incq (%rdi, %rax)\n"
	"inc %r8\n"
	"jmp 1b");

FIXTURE(track) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	u8 *mem;
	u64 bitmap[WORDS];
};

FIXTURE_SETUP(track)
{
	close(vt_open_or_skip());
	vt_catch(SIGALRM);
	/* so that large pages fit */
	self->mem = mmap(NULL, BYTES + (2 << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->mem);
	self->mem = (u8 *)(((u64)self->mem + (2 << 20) - 1) & -(2UL << 20));
}

FIXTURE_TEARDOWN(track)
{
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
}

TEST_F(track, refused)
{
	struct vireo_dirty_log log = { .size = sizeof(log), .slot = SLOT, .pages = PAGES, .bitmap = (u64)self->bitmap };
	struct vireo_dirty_range range = { .size = sizeof(range), .gpa = GPA, .bytes = 1, .flags = 2 };
	int vm;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	EXPECT_EQ(-EINVAL, track(vm, VIREO_MAX_REGIONS, 0, 1));
	EXPECT_EQ(-EINVAL, track(vm, SLOT, VIREO_TRACK_CONSUMERS, 1));
	EXPECT_EQ(-EINVAL, track(vm, SLOT, ~0U, 1));
	EXPECT_EQ(-EINVAL, track(vm, SLOT, 0, 2));
	EXPECT_EQ(-ENOENT, track(vm, 2, 0, 1));
	EXPECT_EQ(-ENOENT, track(vm, SLOT, 0, 0));
	EXPECT_EQ(-ENOENT, get_dirty(vm, 0, self->bitmap));
	EXPECT_EQ(0, track(vm, SLOT, 0, 1));
	EXPECT_EQ(-EALREADY, track(vm, SLOT, 0, 1));
	EXPECT_EQ(-ENOENT, track(vm, SLOT, 1, 0));
	EXPECT_EQ(-ENOENT, get_dirty(vm, 1, self->bitmap));
	EXPECT_EQ(-EINVAL, get_range(vm, SLOT, 0, 1, 1, self->bitmap));
	EXPECT_EQ(-EINVAL, get_range(vm, SLOT, 0, 0, PAGES + 1, self->bitmap));
	EXPECT_EQ(-EINVAL, get_range(vm, SLOT, 0, PAGES, 1, self->bitmap));
	EXPECT_EQ(-EINVAL, get_range(vm, SLOT, 0, 64, -64UL, self->bitmap));
	EXPECT_EQ(-EINVAL, get_range(vm, SLOT, 0, 0, 64, (u64 *)((u8 *)self->bitmap + 4)));
	EXPECT_EQ(-EINVAL, get_range(vm, VIREO_MAX_REGIONS, 0, 0, 64, self->bitmap));
	EXPECT_EQ(-EFAULT, get_range(vm, SLOT, 0, 0, 64, (u64 *)0xffff888000000000UL));
	EXPECT_EQ(0, get_range(vm, SLOT, 0, PAGES, 0, self->bitmap));
	log.flags = 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm, VIREO_GET_DIRTY, &log));
	EXPECT_EQ(-EINVAL, vt_ioctl(vm, VIREO_MARK_DIRTY, &range));
	EXPECT_EQ(-EINVAL, mark(vm, GPA, 0));
	EXPECT_EQ(-EINVAL, mark(vm, -4096UL, 8192));
	EXPECT_EQ(-EFAULT, mark(vm, GPA - 1, 1));
	EXPECT_EQ(-EFAULT, mark(vm, GPA + BYTES - 4096, 4097));
	EXPECT_EQ(0, get_dirty(vm, 0, self->bitmap));
	EXPECT_EQ(0, track(vm, SLOT, 0, 0));
}

/* What is settled when a vCPU first runs must not undo it. */
TEST_F(track, before_the_guest_runs)
{
	static const u64 some[] = { 3, 64, 700 };
	int i;

	setup(touch, VT_DATA, 0);
	ASSERT_EQ(0, track(self->vm.fd, SLOT, 0, 1));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
		EXPECT_EQ(ARRAY_SIZE(some), get_dirty(self->vm.fd, 0, self->bitmap));
	}
}

TEST_F(track, exactly_what_is_written)
{
	static const u64 some[] = { 0, 1, 63, 64, 100, 511, 512, 513, 1023, 1500, PAGES - 1 };
	static const u64 other[] = { 1, 2, 700 };
	unsigned int i, round;
	int vm;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	/* writable before it begins */
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	ASSERT_EQ(0, track(vm, SLOT, 0, 1));
	EXPECT_EQ(0, get_dirty(vm, 0, self->bitmap));
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
		EXPECT_EQ(ARRAY_SIZE(some), get_dirty(vm, 0, self->bitmap));
		for (i = 0; i < ARRAY_SIZE(some); i++)
			EXPECT_TRUE(has(self->bitmap, some[i]));
		EXPECT_EQ(0, get_dirty(vm, 0, self->bitmap));
	}
	/* each consumer on its own */
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	ASSERT_EQ(0, track(vm, SLOT, 3, 1));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, other, ARRAY_SIZE(other)));
	EXPECT_EQ(ARRAY_SIZE(other), get_dirty(vm, 3, self->bitmap));
	for (i = 0; i < ARRAY_SIZE(other); i++)
		EXPECT_TRUE(has(self->bitmap, other[i]));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, other, 1));
	EXPECT_EQ(ARRAY_SIZE(some) + 2, get_dirty(vm, 0, self->bitmap));
	EXPECT_EQ(1, get_dirty(vm, 3, self->bitmap));
	EXPECT_EQ(0, track(vm, SLOT, 0, 0));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, 4));
	EXPECT_EQ(4, get_dirty(vm, 3, self->bitmap));
	EXPECT_EQ(0, track(vm, SLOT, 3, 0));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	/* all of it was written: page 1 is in both lists, nine times in all */
	EXPECT_EQ(9, *(u64 *)(self->mem + 4096 + 8));
}

TEST_F(track, parts)
{
	static const u64 some[] = { 0, 63, 64, 65, 100, 127, 128, 191, 192, 1000 };
	u64 words[2] = { 1UL << 7, 0 };
	int vm;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	ASSERT_EQ(0, track(vm, SLOT, 0, 1));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	/* pages 64 to 163, then what is left of the last word, then the rest; other bits stay */
	EXPECT_EQ(4, get_range(vm, SLOT, 0, 64, 64, words));
	EXPECT_EQ(1UL << 0 | 1UL << 1 | 1UL << 7 | 1UL << 36 | 1UL << 63, words[0]);
	EXPECT_EQ(0, words[1]);
	EXPECT_EQ(1, get_range(vm, SLOT, 0, 128, 60, words));
	EXPECT_EQ(0, get_range(vm, SLOT, 0, 128, 63, words));
	EXPECT_EQ(1, get_range(vm, SLOT, 0, 128, 64, words));
	EXPECT_EQ(1UL << 0 | 1UL << 1 | 1UL << 7 | 1UL << 36 | 1UL << 63, words[0]);
	EXPECT_EQ(0, get_range(vm, SLOT, 0, 64, 128, words));
	/* 0, 63, 192, 1000 */
	EXPECT_EQ(4, get_dirty(vm, 0, self->bitmap));
	EXPECT_TRUE(has(self->bitmap, 0) && has(self->bitmap, 63) && has(self->bitmap, 192) && has(self->bitmap, 1000));
}

/* What cannot be told is not lost. */
TEST_F(track, bitmap_not_writable)
{
	static const u64 some[] = { 0, 70, 600, 2000 };
	u64 *bitmap = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 *at = bitmap + 511;
	int vm;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	ASSERT_EQ(0, track(vm, SLOT, 0, 1));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	ASSERT_EQ(0, mprotect(bitmap + 512, 4096, PROT_NONE));
	EXPECT_EQ(-EFAULT, get_range(vm, SLOT, 0, 0, PAGES, at));
	EXPECT_EQ(1, at[0]);
	EXPECT_EQ(3, get_dirty(vm, 0, self->bitmap));
	EXPECT_TRUE(has(self->bitmap, 70) && has(self->bitmap, 600) && has(self->bitmap, 2000));
}

TEST_F(track, reading_is_not_writing)
{
	static const u64 some[] = { 3, 4, 5, 600, 1111 };
	int vm;

	memset(self->mem, 1, BYTES);
	setup(look, VT_DATA, 0);
	vm = self->vm.fd;
	ASSERT_EQ(0, track(vm, SLOT, 0, 1));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	EXPECT_EQ(0, get_dirty(vm, 0, self->bitmap));
}

TEST_F(track, launcher_and_module)
{
	static const u64 none[] = { 0 };
	u64 on = (GPA + 9 * 4096) | 1;
	int vm;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	ASSERT_EQ(0, track(vm, SLOT, 0, 1));
	EXPECT_EQ(0, mark(vm, GPA + 4095, 1));
	EXPECT_EQ(0, mark(vm, GPA + 2 * 4096 - 1, 2));
	EXPECT_EQ(0, mark(vm, GPA + BYTES - 4096, 4096));
	/* not followed, but there */
	EXPECT_EQ(0, mark(vm, 0, 1));
	EXPECT_EQ(4, get_dirty(vm, 0, self->bitmap));
	EXPECT_TRUE(has(self->bitmap, 0) && has(self->bitmap, 1) && has(self->bitmap, 2) && has(self->bitmap, PAGES - 1));
	/* the paravirtual clock is written at the next entry */
	vt_cpuid_all(self->vm.dev, self->cpu.fd);
	ASSERT_EQ(0, vt_set_msr(self->cpu.fd, 0x4b564d01, on));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, none, 0));
	EXPECT_EQ(1, get_dirty(vm, 0, self->bitmap));
	EXPECT_TRUE(has(self->bitmap, 9));
	EXPECT_EQ(0, vt_set_msr(self->cpu.fd, 0x4b564d01, 0));
}

/* One page of a large one; and a region that is replaced is not followed any more. */
TEST_F(track, large)
{
	static const u64 some[] = { 5, 512 + 7, 1024 };
	int vm;

	madvise(self->mem, BYTES, MADV_HUGEPAGE);
	memset(self->mem, 1, BYTES);
	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, 2));
	ASSERT_EQ(0, track(vm, SLOT, 0, 1));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	EXPECT_EQ(3, get_dirty(vm, 0, self->bitmap));
	EXPECT_TRUE(has(self->bitmap, 5) && has(self->bitmap, 519) && has(self->bitmap, 1024));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, 1));
	EXPECT_EQ(1, get_dirty(vm, 0, self->bitmap));
	ASSERT_EQ(0, vt_region(vm, SLOT, GPA, BYTES / 2, self->mem, 0));
	EXPECT_EQ(-ENOENT, get_dirty(vm, 0, self->bitmap));
	ASSERT_EQ(0, track(vm, SLOT, 0, 1));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, 2));
	EXPECT_EQ(2, get_range(vm, SLOT, 0, 0, PAGES / 2, self->bitmap));
	ASSERT_EQ(0, vt_region_delete(vm, SLOT));
	EXPECT_EQ(-ENOENT, track(vm, SLOT, 0, 0));
}

static unsigned long faults_of(struct vt_vcpu *cpu)
{
	struct vireo_stats s = { .size = sizeof(s) };

	return vt_ioctl(cpu->fd, VIREO_GET_STATS, &s) ? -1UL : s.faults;
}

/*
 * The next write to a page that was told of faults by write protection alone; and, by dirty bits, once somebody wants to hear of
 * writes when they happen.
 */
TEST_F(track, by_what_was_asked_for)
{
	static const u64 some[] = { 0, 1, 63, 64, 100, 511, 512, 513, 1023, 1500, PAGES - 1 };
	struct vireo_ring_config ring = { .size = sizeof(ring), .consumer = 1, .entries = VIREO_RING_MIN };
	int vm, fd = open("/sys/module/vireo/parameters/track", O_RDONLY);
	unsigned long before;
	char by[16] = "";

	if (fd < 0 || read(fd, by, sizeof(by) - 1) <= 0)
		SKIP(return, "the module does not say what it was asked for");
	close(fd);
	memset(self->mem, 1, BYTES);
	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	ASSERT_EQ(0, track(vm, SLOT, 0, 1));
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	EXPECT_EQ(ARRAY_SIZE(some), get_dirty(vm, 0, self->bitmap));
	before = faults_of(&self->cpu);
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	EXPECT_EQ(ARRAY_SIZE(some), get_dirty(vm, 0, self->bitmap));
	if (by[0] != 'a')
		EXPECT_EQ(by[0] == 'w' ? ARRAY_SIZE(some) : 0, faults_of(&self->cpu) - before);

	/* what is dirty before that is told still */
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, 3));
	ASSERT_EQ(0, vt_ioctl(self->cpu.fd, VIREO_SET_RING, &ring));
	EXPECT_EQ(3, get_dirty(vm, 0, self->bitmap));
	before = faults_of(&self->cpu);
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	EXPECT_EQ(ARRAY_SIZE(some), get_dirty(vm, 0, self->bitmap));
	if (by[0] != 'a')
		EXPECT_EQ(by[0] == 'p' ? 0 : ARRAY_SIZE(some), faults_of(&self->cpu) - before);
}

/* --- nothing is missed ------------------------------------------------------------ */
/* Bring a consumer's copy up to date; return how many pages that took. */
static long copy_dirty(int vm, u32 consumer, const u8 *mem, u8 *copy, u64 *bitmap)
{
	long found = get_dirty(vm, consumer, bitmap);
	u64 page;

	for (page = 0; page < PAGES; page++) {
		if (has(bitmap, page))
			memcpy(copy + page * 4096, mem + page * 4096, 4096);
	}
	return found;
}

static u64 differs(const u8 *mem, const u8 *copy)
{
	u64 page, n = 0;

	for (page = 0; page < PAGES; page++)
		n += !!memcmp(mem + page * 4096, copy + page * 4096, 4096);
	return n;
}

TEST_F_TIMEOUT(track, nothing_is_missed, 240)
{
	struct vt_vcpu ap;
	pthread_t t[3];
	u8 *copy[2];
	long found[2] = { 0, 0 };
	int i, vm, round;
	void *r;

	setup(storm, GPA, PAGES / 2 - 1);
	vm = self->vm.fd;
	vt_vcpu_create(&self->vm, &ap, 1);
	vt_load(&self->vm, VT_CODE + 4096, bursts, bursts_end);
	vt_long_mode(&self->vm, &ap, VT_CODE + 4096, GPA + BYTES / 2, PAGES / 2 - 1);
	for (i = 0; i < 2; i++)
		copy[i] = malloc(BYTES);

	for (round = 0; round < 2; round++) {
		stop = false;
		moving = true;
		ASSERT_EQ(0, pthread_create(&t[0], NULL, vcpu_runner, &self->cpu));
		ASSERT_EQ(0, pthread_create(&t[1], NULL, vcpu_runner, &ap));
		ASSERT_EQ(0, pthread_create(&t[2], NULL, mover, self->mem));
		for (i = 0; i < 20; i++) {
			/* the second one begins later, and both begin with a copy of all */
			if (i == 0 || i == 5) {
				ASSERT_EQ(0, track(vm, SLOT, i / 5, 1));
				memcpy(copy[i / 5], self->mem, BYTES);
			}
			usleep(10000);
			found[0] += copy_dirty(vm, 0, self->mem, copy[0], self->bitmap);
			if (i > 5 && i % 3)
				found[1] += copy_dirty(vm, 1, self->mem, copy[1], self->bitmap);
		}
		stop = true;
		moving = false;
		vt_kick(&self->cpu);
		vt_kick(&ap);
		for (i = 0; i < 3; i++) {
			pthread_join(t[i], &r);
			EXPECT_EQ(NULL, r);
		}
		for (i = 0; i < 2; i++) {
			found[i] += copy_dirty(vm, i, self->mem, copy[i], self->bitmap);
			EXPECT_EQ(0, differs(self->mem, copy[i]));
			EXPECT_EQ(0, track(vm, SLOT, i, 0));
		}
	}
	TH_LOG("%ld and %ld pages were copied", found[0], found[1]);
	EXPECT_GT(found[0], 0);
	EXPECT_GT(found[1], 0);
	vt_vcpu_close(&ap);
}

TEST_HARNESS_MAIN

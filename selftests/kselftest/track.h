/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of dirty tracking share: a region that is followed, guests that write to it, and its ioctls.
 */
#ifndef VIREO_TEST_TRACK_H
#define VIREO_TEST_TRACK_H

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib.h"

/* Adds one to the u64 at each address of the list at RDI, which ends with 0; then port 0x10, and again. */
GUEST(touch, 64,
	"1: mov %rdi, %rbx\n"
	"2: mov (%rbx), %rax\n"
	"test %rax, %rax\n"
	"jz 3f\n"
	"incq (%rax)\n"
	"inc %rcx\n"
	"add $8, %rbx\n"
	"jmp 2b\n"
	"3: out %al, $0x10\n"
	"jmp 1b");

/* Adds one to words of pages at random, for ever: RDI: first page, RSI: number of pages less one, a mask. */
GUEST(storm, 64,
	"sti\n"
	"rdtsc\n"
	"shl $32, %rdx\n"
	"lea 1(%rdx, %rax), %r8\n"
	"1: mov %r8, %rax; shl $13, %rax; xor %rax, %r8\n"
	"mov %r8, %rax; shr $7, %rax; xor %rax, %r8\n"
	"mov %r8, %rax; shl $17, %rax; xor %rax, %r8\n"
	"mov %r8, %rax; and %rsi, %rax; shl $12, %rax\n"
	"mov %r8, %rbx; shr $48, %rbx; and $0xff8, %rbx; add %rbx, %rax\n"
	"lock incq (%rdi, %rax)\n"
	"jmp 1b");

#define SLOT	1
#define GPA	0x40000000UL
#ifndef PAGES
#define PAGES	2048UL
#endif
#define BYTES	(PAGES * 4096)
#define WORDS	(PAGES / 64)

static inline int track(int vm, u32 slot, u32 consumer, u32 on)
{
	struct vireo_tracking t = { .size = sizeof(t), .slot = slot, .consumer = consumer, .on = on };

	return vt_ioctl(vm, VIREO_SET_TRACKING, &t);
}

/* Number of pages, or a negative errno */
static inline long get_range(int vm, u32 slot, u32 consumer, u64 first, u64 pages, u64 *bitmap)
{
	struct vireo_dirty_log log = { .size = sizeof(log), .slot = slot, .consumer = consumer, .first = first,
				       .pages = pages, .bitmap = (u64)bitmap };
	int r = vt_ioctl(vm, VIREO_GET_DIRTY, &log);

	return r ?: (long)log.found;
}

static inline long get_dirty(int vm, u32 consumer, u64 *bitmap)
{
	memset(bitmap, 0, WORDS * 8);
	return get_range(vm, SLOT, consumer, 0, PAGES, bitmap);
}

static inline int mark(int vm, u64 gpa, u64 bytes)
{
	struct vireo_dirty_range range = { .size = sizeof(range), .gpa = gpa, .bytes = bytes };

	return vt_ioctl(vm, VIREO_MARK_DIRTY, &range);
}

static inline bool has(const u64 *bitmap, u64 page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

/* The guest goes through these pages once. */
static inline long go_through(struct vt_vm *vm, struct vt_vcpu *cpu, const u64 *pages, unsigned int n)
{
	u64 *list = (u64 *)(vm->mem + VT_DATA);
	unsigned int i;

	for (i = 0; i < n; i++)
		list[i] = GPA + pages[i] * 4096 + 8 * (pages[i] % 512);
	list[n] = 0;
	return vt_run_to_out(cpu, 0x10);
}

static volatile bool stop, moving, rolling;

/* Runs the guest until @stop, and a kick; while @rolling it may find its vCPU taken. */
static inline void *vcpu_runner(void *arg)
{
	struct vt_vcpu *cpu = arg;
	int r;

	do {
		r = vt_run(cpu);
	} while (!stop && (r == -EINTR || (r == -EBUSY && rolling) || (!r && cpu->run->exit_reason == VIREO_EXIT_KICK)));
	return (void *)(long)(r == -EINTR || (r == -EBUSY && rolling) || !r ? 0 : r);
}

/* The host splits and joins large pages, while @moving, and takes small ones away to bring back the same or a copy. */
static inline void *mover(void *arg)
{
	u8 *mem = arg;
	pid_t child;
	u64 n = 0;

	while (moving) {
		u8 *at = mem + (n * 37 % (PAGES / 64)) * 64 * 4096;

		switch (n++ % 4) {
		case 0:
			madvise(at, 64 * 4096, MADV_PAGEOUT);
			break;
		case 1:
			/* each page is copied when it is written next */
			child = fork();
			if (!child)
				_exit(0);
			waitpid(child, NULL, 0);
			break;
		case 2:
			madvise(mem, BYTES, n & 4 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
			break;
		case 3:
			madvise((u8 *)((u64)at & -(2UL << 20)), 2 << 20, 25 /* MADV_COLLAPSE */);
			break;
		}
		usleep(300);
	}
	return NULL;
}

/* In a test whose fixture has @vm, @cpu and @mem of BYTES bytes. */
#define setup(code, rdi, rsi)							\
do {										\
	vt_guest64(&self->vm, &self->cpu, code, rdi, rsi);			\
	ASSERT_EQ(0, vt_region(self->vm.fd, SLOT, GPA, BYTES, self->mem, 0));	\
} while (0)

#endif /* VIREO_TEST_TRACK_H */

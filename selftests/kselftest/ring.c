// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings of dirty pages: exactly what was written, exits when one is full or the quota is used up, and a copy that is
 * kept by nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"
#include "track.h"

#define ENTRIES 1024U
#define RING_BYTES (VIREO_RING_ENTRIES + ENTRIES * 8)
/* Behind it the module lets the vCPU exit: entries less the room for a processor's log and a few faults. */
#define NEARLY_ALL (ENTRIES - 576)

/* Adds one to a word of each page from RDI on, RSI of them, then port 0x10, and again. */
GUEST(sweep, 64,
	"1: mov %rdi, %rbx\n"
	"mov %rsi, %rcx\n"
	"2: incq (%rbx)\n"
	"add $4096, %rbx\n"
	"dec %rcx\n"
	"jnz 2b\n"
	"out %al, $0x10\n"
	"jmp 1b");

static int set_ring(struct vt_vcpu *cpu, u32 consumer, u32 entries)
{
	struct vireo_ring_config config = { .size = sizeof(config), .consumer = consumer, .entries = entries };

	return vt_ioctl(cpu->fd, VIREO_SET_RING, &config);
}

/* Number of entries, or a negative errno */
static long reset_rings(int vm, u32 consumer)
{
	struct vireo_ring_reset reset = { .size = sizeof(reset), .consumer = consumer };
	int r = vt_ioctl(vm, VIREO_RESET_RINGS, &reset);

	return r ?: (long)reset.pages;
}

static struct vireo_dirty_ring *map_ring(struct vt_vcpu *cpu, u32 consumer)
{
	return mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, VIREO_RING_OFFSET(consumer));
}

/* Set the bits of the pages that the ring tells of, and move the tail; return how many entries that was. */
static u32 read_ring(struct vireo_dirty_ring *ring, u64 *bitmap)
{
	u32 head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE), tail = ring->tail, n;
	u64 *entry = (u64 *)((u8 *)ring + VIREO_RING_ENTRIES), e;

	for (n = 0; tail != head; n++) {
		e = entry[tail++ % ENTRIES];
		if (VIREO_RING_SLOT(e) != SLOT || VIREO_RING_PAGE(e) >= PAGES)
			vt_die("entry %#llx", (unsigned long long)e);
		bitmap[VIREO_RING_PAGE(e) / 64] |= 1ULL << VIREO_RING_PAGE(e) % 64;
	}
	__atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
	return n;
}

FIXTURE(ring) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	u8 *mem;
	struct vireo_dirty_ring *ring;
	u64 bitmap[WORDS];
};

FIXTURE_SETUP(ring)
{
	close(vt_open_or_skip());
	vt_catch(SIGALRM);
	self->mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->mem);
}

FIXTURE_TEARDOWN(ring)
{
	munmap(self->ring, RING_BYTES);
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
}

#define setup_ring(code, rdi, rsi)						\
do {										\
	setup(code, rdi, rsi);							\
	ASSERT_EQ(0, set_ring(&self->cpu, 0, ENTRIES));				\
	self->ring = map_ring(&self->cpu, 0);					\
	ASSERT_NE(MAP_FAILED, (void *)self->ring);				\
	ASSERT_EQ(0, track(self->vm.fd, SLOT, 0, 1));				\
} while (0)

static void *runner(void *arg);

TEST_F(ring, refused)
{
	struct vireo_ring_config config = { .size = sizeof(config), .entries = ENTRIES, .flags = 1 };
	struct vt_vcpu *cpu = &self->cpu;
	pthread_t t;
	void *r;

	setup_ring(storm, GPA, PAGES - 1);
	EXPECT_EQ(-EINVAL, set_ring(cpu, VIREO_TRACK_CONSUMERS, ENTRIES));
	EXPECT_EQ(-EINVAL, set_ring(cpu, 1, VIREO_RING_MIN / 2));
	EXPECT_EQ(-EINVAL, set_ring(cpu, 1, VIREO_RING_MAX * 2));
	EXPECT_EQ(-EINVAL, set_ring(cpu, 1, ENTRIES + 1));
	EXPECT_EQ(-EINVAL, vt_ioctl(cpu->fd, VIREO_SET_RING, &config));
	EXPECT_EQ(-EEXIST, set_ring(cpu, 0, ENTRIES));
	EXPECT_EQ(-ENOENT, set_ring(cpu, 1, 0));
	EXPECT_EQ(-EINVAL, reset_rings(self->vm.fd, VIREO_TRACK_CONSUMERS));
	/* more than there is, and less than was reset */
	self->ring->tail = self->ring->head + 1;
	EXPECT_EQ(-EINVAL, reset_rings(self->vm.fd, 0));
	self->ring->tail = self->ring->head - 1;
	EXPECT_EQ(-EINVAL, reset_rings(self->vm.fd, 0));
	self->ring->tail = self->ring->head;
	EXPECT_EQ(0, reset_rings(self->vm.fd, 0));
	EXPECT_EQ(0, reset_rings(self->vm.fd, 1));
	/* mappings */
	EXPECT_EQ(MAP_FAILED, map_ring(cpu, 1));
	EXPECT_EQ(MAP_FAILED, map_ring(cpu, VIREO_TRACK_CONSUMERS));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, cpu->fd, VIREO_RING_OFFSET(0)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, cpu->fd, VIREO_RING_OFFSET(0) - 4096));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, cpu->fd, VIREO_RING_OFFSET(0)));
	/* while it runs */
	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, runner, cpu));
	while (!__atomic_load_n(&self->ring->head, __ATOMIC_ACQUIRE))
		usleep(1000);
	EXPECT_EQ(-EBUSY, set_ring(cpu, 1, ENTRIES));
	stop = true;
	vt_kick(cpu);
	pthread_join(t, &r);
	EXPECT_EQ(NULL, r);
	/* it goes, and what was mapped stays */
	EXPECT_EQ(0, set_ring(cpu, 0, 0));
	EXPECT_NE(0, self->ring->head);
	EXPECT_EQ(0, reset_rings(self->vm.fd, 0));
}

TEST_F(ring, exactly_what_is_written)
{
	static const u64 some[] = { 0, 1, 63, 64, 100, 511, 512, 513, 1023, 1500, PAGES - 1 };
	static const u64 other[] = { 1, 2, 700 };
	int i, vm;
	u64 left;

	setup_ring(touch, VT_DATA, 0);
	vm = self->vm.fd;
	for (i = 0; i < 3; i++) {
		memset(self->bitmap, 0, sizeof(self->bitmap));
		ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
		EXPECT_EQ(ARRAY_SIZE(some), read_ring(self->ring, self->bitmap));
		EXPECT_TRUE(has(self->bitmap, 0) && has(self->bitmap, 513) && has(self->bitmap, PAGES - 1));
		/* Until they are reset nothing is told again. */
		ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
		EXPECT_EQ(0, read_ring(self->ring, self->bitmap));
		ASSERT_EQ(0, go_through(&self->vm, &self->cpu, other, ARRAY_SIZE(other)));
		EXPECT_EQ(2, read_ring(self->ring, self->bitmap));
		EXPECT_TRUE(has(self->bitmap, 2) && has(self->bitmap, 700));
		EXPECT_EQ(ARRAY_SIZE(some) + 2, reset_rings(vm, 0));
		EXPECT_EQ(0, get_dirty(vm, 0, self->bitmap));
	}
	/* Part of it, and the bitmap has the rest. */
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, 4));
	ASSERT_EQ(4, self->ring->head - self->ring->tail);
	/* The order is the processor's. */
	left = ((u64 *)((u8 *)self->ring + VIREO_RING_ENTRIES))[self->ring->tail + 3];
	self->ring->tail += 3;
	EXPECT_EQ(3, reset_rings(vm, 0));
	EXPECT_EQ(1, get_dirty(vm, 0, self->bitmap));
	EXPECT_TRUE(has(self->bitmap, VIREO_RING_PAGE(left)));
	self->ring->tail++;
	EXPECT_EQ(1, reset_rings(vm, 0));
	/* The launcher's own are in the bitmap, and another consumer has no ring. */
	ASSERT_EQ(0, track(vm, SLOT, 1, 1));
	EXPECT_EQ(0, mark(vm, GPA, 1));
	EXPECT_EQ(0, read_ring(self->ring, self->bitmap));
	EXPECT_EQ(1, get_dirty(vm, 0, self->bitmap));
	EXPECT_EQ(1, get_dirty(vm, 1, self->bitmap));
	EXPECT_EQ(0, self->ring->flags);
}

TEST_F(ring, full)
{
	u64 seen[WORDS] = {};
	unsigned int page, exits, missing = 0;
	int vm;

	setup_ring(sweep, GPA, PAGES);
	vm = self->vm.fd;
	for (exits = 0; ; exits++) {
		ASSERT_EQ(0, vt_run_exit(&self->cpu));
		if (self->cpu.run->exit_reason == VIREO_EXIT_IO)
			break;
		ASSERT_EQ(VIREO_EXIT_DIRTY, self->cpu.run->exit_reason);
		EXPECT_EQ(1, self->cpu.run->dirty.rings);
		EXPECT_EQ(0, self->cpu.run->dirty.quota);
		EXPECT_GT(self->ring->head - self->ring->tail, NEARLY_ALL);
		/* It does not go on without room. */
		ASSERT_EQ(0, vt_run_exit(&self->cpu));
		ASSERT_EQ(VIREO_EXIT_DIRTY, self->cpu.run->exit_reason);
		read_ring(self->ring, seen);
		ASSERT_EQ(0, vt_run_exit(&self->cpu));
		ASSERT_EQ(VIREO_EXIT_DIRTY, self->cpu.run->exit_reason);
		EXPECT_GT(reset_rings(vm, 0), NEARLY_ALL);
	}
	read_ring(self->ring, seen);
	EXPECT_EQ(0, self->ring->flags);
	EXPECT_GE(exits, PAGES / ENTRIES);
	for (page = 0; page < PAGES; page++)
		missing += !has(seen, page);
	EXPECT_EQ(0, missing);
	/* A launcher that writes nonsense into the entries gets nothing but exits. */
	memset((u8 *)self->ring + VIREO_RING_ENTRIES, 0xff, ENTRIES * 8);
	EXPECT_GE(reset_rings(vm, 0), 0);
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
}

TEST_F(ring, quota)
{
	static const u64 some[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct vireo_run *run;
	int vm, exits;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	run = self->cpu.run;
	ASSERT_EQ(0, track(vm, SLOT, 0, 1));
	ASSERT_EQ(0, track(vm, SLOT, 1, 1));
	run->wants = VIREO_WANT_QUOTA;
	run->dirty_quota = 100;
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, 10));
	/* Two consumers, but each page counts once; what is dirty already does not count. */
	EXPECT_EQ(90, run->dirty_quota);
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, 10));
	EXPECT_EQ(90, run->dirty_quota);
	EXPECT_EQ(10, get_dirty(vm, 0, self->bitmap));
	run->dirty_quota = 0;
	EXPECT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_DIRTY, run->exit_reason);
	EXPECT_EQ(0, run->dirty.rings);
	EXPECT_EQ(1, run->dirty.quota);
	/* One more each time, or as many as a processor's log holds. */
	for (exits = 0; ; exits++) {
		run->dirty_quota = 1;
		ASSERT_EQ(0, vt_run_exit(&self->cpu));
		if (run->exit_reason == VIREO_EXIT_IO)
			break;
		ASSERT_EQ(VIREO_EXIT_DIRTY, run->exit_reason);
		EXPECT_EQ(0, run->dirty_quota);
	}
	EXPECT_LE(exits, 10);
	EXPECT_EQ(10, get_dirty(vm, 0, self->bitmap));
	run->wants = 0;
	run->dirty_quota = 0;
	ASSERT_EQ(0, go_through(&self->vm, &self->cpu, some, 10));
	run->wants = 1U << 3;
	EXPECT_EQ(-EINVAL, vt_run(&self->cpu));
	run->wants = 0;
}

/* Goes on whatever the launcher is asked to do: somebody else does it. */
static void *runner(void *arg)
{
	struct vt_vcpu *cpu = arg;
	int r;

	do {
		r = vt_run(cpu);
		if (!r && cpu->run->exit_reason == VIREO_EXIT_DIRTY)
			usleep(100);
	} while (!stop && (r == -EINTR || (!r && (cpu->run->exit_reason == VIREO_EXIT_KICK ||
						  cpu->run->exit_reason == VIREO_EXIT_DIRTY))));
	return (void *)(long)(r == -EINTR || !r ? 0 : r);
}

/* The order in which the launcher has to do it: entries, tails, reset, pages. */
static void copy_told(struct vt_vm *vm, struct vireo_dirty_ring *ring[2], const u8 *mem, u8 *copy, u64 *bitmap)
{
	u64 page;

	memset(bitmap, 0, WORDS * 8);
	read_ring(ring[0], bitmap);
	read_ring(ring[1], bitmap);
	if (reset_rings(vm->fd, 0) < 0)
		vt_die("rings are not reset");
	for (page = 0; page < PAGES; page++) {
		if (has(bitmap, page))
			memcpy(copy + page * 4096, mem + page * 4096, 4096);
	}
}

TEST_F_TIMEOUT(ring, nothing_is_missed, 120)
{
	struct vireo_dirty_ring *ring[2];
	struct vt_vcpu ap;
	u64 page, differ = 0;
	pthread_t t[2];
	u8 *copy;
	void *r;
	int i;

	setup_ring(storm, GPA, PAGES - 1);
	vt_vcpu_create(&self->vm, &ap, 1);
	vt_long_mode(&self->vm, &ap, VT_CODE, GPA, PAGES - 1);
	ASSERT_EQ(0, set_ring(&ap, 0, ENTRIES));
	ring[0] = self->ring;
	ring[1] = map_ring(&ap, 0);
	ASSERT_NE(MAP_FAILED, (void *)ring[1]);
	copy = malloc(BYTES);
	memcpy(copy, self->mem, BYTES);
	stop = false;
	ASSERT_EQ(0, pthread_create(&t[0], NULL, runner, &self->cpu));
	ASSERT_EQ(0, pthread_create(&t[1], NULL, runner, &ap));
	/* Until each has been round several times, however fast this machine is. */
	for (i = 0; i < 40 || ring[0]->head < 2 * ENTRIES || ring[1]->head < 2 * ENTRIES; i++) {
		usleep(5000);
		copy_told(&self->vm, ring, self->mem, copy, self->bitmap);
		if (i % 8 == 3)
			madvise(self->mem, BYTES / 2, MADV_PAGEOUT);
	}
	stop = true;
	vt_kick(&self->cpu);
	vt_kick(&ap);
	for (i = 0; i < 2; i++) {
		pthread_join(t[i], &r);
		EXPECT_EQ(NULL, r);
	}
	copy_told(&self->vm, ring, self->mem, copy, self->bitmap);
	for (page = 0; page < PAGES; page++)
		differ += !!memcmp(self->mem + page * 4096, copy + page * 4096, 4096);
	EXPECT_EQ(0, differ);
	EXPECT_EQ(0, ring[0]->flags | ring[1]->flags);
	/* Nothing that the rings did not tell. */
	EXPECT_EQ(0, get_dirty(self->vm.fd, 0, self->bitmap));
	TH_LOG("%u and %u entries", ring[0]->head, ring[1]->head);
	munmap(ring[1], RING_BYTES);
	vt_vcpu_close(&ap);
}

TEST_HARNESS_MAIN

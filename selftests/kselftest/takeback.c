// SPDX-License-Identifier: GPL-2.0-only
/*
 * takeback [SECONDS]: the host takes a guest's memory back in every way there is,
 * while vCPUs use it.
 *
 * The guest increments a word in each of its pages and keeps what it expects in
 * memory that is left alone.  Everything the host does here keeps contents: it
 * write-protects, forks, swaps, merges, moves, compacts, collapses, cleans and
 * writes back.  So a page that is not what the guest expects was written through a
 * stale translation, or was thought clean when it was not.
 *
 * A second test gives pages back for good and looks whether anybody still writes to them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_PAGEOUT
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif

#define TEST_GPA	0x40000000UL
#define PAGE		4096UL
#define PAGES		2048UL		/* 8 MiB */
#define SIZE		(PAGES * PAGE)
#define CPUS		3
#define SHADOW_GPA	0x200000UL
#define PARAMS_GPA	0x100000UL

/* Offsets are known to the guest's code. */
struct params {
	u64 first;		/* 0: address of its first page */
	u64 shadow;		/* 8: address of its first expectation */
	u64 left;		/* 16: pages it has */
	u64 loops;		/* 24: rounds done */
	u64 stop;		/* 32 */
	u64 value;		/* 40: takeaway: what to write */
	u64 seen;		/* 48: takeaway: what was written everywhere */
};

/*
 * Each vCPU has every CPUS-th page.  One page in four is only read, another
 * one each round.
 */
GUEST(count_code, 64,
	"1: mov (%rdi), %rbx\n"
	"mov 8(%rdi), %rsi\n"
	"mov 16(%rdi), %rcx\n"
	"2: mov (%rbx), %rax\n"
	"cmp (%rsi), %rax\n"
	"jne 9f\n"
	"mov 24(%rdi), %rdx\n"
	"add %rcx, %rdx\n"
	"test $3, %dl\n"
	"jz 3f\n"
	"inc %rax\n"
	"mov %rax, (%rbx)\n"
	"mov %rax, (%rsi)\n"
	"3: add $3*4096, %rbx\n"
	"add $3*8, %rsi\n"
	"dec %rcx\n"
	"jnz 2b\n"
	"incq 24(%rdi)\n"
	"cmpq $0, 32(%rdi)\n"
	"je 1b\n"
	"mov $0, %eax\n"
	"out %eax, $0x10\n"
	"9: mov %ebx, %eax\n"
	"out %eax, $0x11\n");

/* Writes one value into all its pages, then says so. */
GUEST(fill_code, 64,
	"1: mov (%rdi), %rbx\n"
	"mov 16(%rdi), %rcx\n"
	"mov 40(%rdi), %rax\n"
	"2: mov %rax, (%rbx)\n"
	"add $3*4096, %rbx\n"
	"dec %rcx\n"
	"jnz 2b\n"
	"mov %rax, 48(%rdi)\n"
	"incq 24(%rdi)\n"
	"cmpq $0, 32(%rdi)\n"
	"je 1b\n"
	"mov $0, %eax\n"
	"out %eax, $0x10\n");

static unsigned int tests, failures;
static unsigned int seconds = 4;
static u64 seed = 88172645463325252ULL;

static void result(bool ok, const char *what)
{
	printf("%sok %u - %s\n", ok ? "" : "not ", ++tests, what);
	fflush(stdout);
	failures += !ok;
}

static u64 random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static struct vt_vm vm;
static struct vt_vcpu cpus[CPUS];
static struct thread {
	pthread_t thread;
	struct vt_vcpu *cpu;
	volatile struct params *params;
	long out;		/* what the guest said in the end */
	u16 port;
	unsigned long efaults;
	int error;
} threads[CPUS];

/* While memory is somewhere else for a moment a run fails; it must go on when it is back. */
static void *vcpu_thread(void *data)
{
	struct thread *t = data;
	struct vireo_run *run = t->cpu->run;

	/* Else, on one CPU, the host would come to its turn once in a long while. */
	setpriority(PRIO_PROCESS, 0, 15);
	for (;;) {
		int r = vt_run(t->cpu);

		if (r == -EINTR)
			continue;
		if (r == -EFAULT) {
			t->efaults++;
			continue;
		}
		if (r) {
			t->error = r;
			return NULL;
		}
		if (run->exit_reason == VIREO_EXIT_KICK)
			continue;
		if (run->exit_reason != VIREO_EXIT_IO) {
			vt_dump(t->cpu);
			t->error = -EPROTO;
			return NULL;
		}
		t->port = run->io.port;
		t->out = vt_out_value(run);
		return NULL;
	}
}

static void start(const u8 *code, const u8 *end, u8 *memory)
{
	unsigned int i;

	vt_vm_create(&vm, VT_MEMORY);
	vt_load(&vm, VT_CODE, code, end);
	vt_tables(&vm);
	if (vt_region(vm.fd, 5, TEST_GPA, SIZE, memory, 0))
		vt_die("region for the test's memory");
	memset(threads, 0, sizeof(threads));
	for (i = 0; i < CPUS; i++) {
		struct params *p = (struct params *)(vm.mem + PARAMS_GPA + i * PAGE);
		u32 state = VIREO_MP_RUNNABLE;
		struct vireo_events events;

		p->first = TEST_GPA + i * PAGE;
		p->shadow = SHADOW_GPA + i * 8;
		p->left = (PAGES - i + CPUS - 1) / CPUS;
		p->value = 1;
		vt_vcpu_create(&vm, &cpus[i], i);
		vt_long_mode(&vm, &cpus[i], VT_CODE, PARAMS_GPA + i * PAGE, 0);
		if (vt_get(cpus[i].fd, VIREO_BLOCK_EVENTS, &events, sizeof(events)))
			vt_die("GET_STATE of events");
		events.mp_state = state;
		if (vt_set(cpus[i].fd, VIREO_BLOCK_EVENTS, &events, sizeof(events)))
			vt_die("SET_STATE of events");
		threads[i].cpu = &cpus[i];
		threads[i].params = p;
		pthread_create(&threads[i].thread, NULL, vcpu_thread, &threads[i]);
	}
}

/* All vCPUs stopped by themselves and found nothing. */
static bool stop(const char *what)
{
	unsigned long efaults = 0, loops = 0;
	bool ok = true;
	unsigned int i;
	char line[200];

	for (i = 0; i < CPUS; i++)
		threads[i].params->stop = 1;
	for (i = 0; i < CPUS; i++) {
		pthread_join(threads[i].thread, NULL);
		efaults += threads[i].efaults;
		loops += threads[i].params->loops;
		if (threads[i].error || threads[i].port != 0x10) {
			printf("# vCPU %u: error %d (%s), port %#x, at %#lx\n", i, threads[i].error,
			       cpus[i].run->error, threads[i].port, threads[i].out);
			ok = false;
		}
	}
	snprintf(line, sizeof(line), "%s (%lu rounds, %lu runs failed for a moment)", what, loops,
		 efaults);
	result(ok && loops, line);
	return ok;
}

static void finish(void)
{
	unsigned int i;

	for (i = 0; i < CPUS; i++)
		vt_vcpu_close(&cpus[i]);
	vt_vm_close(&vm);
}

/* A child's copy must not change, whatever the guest writes to the original. */
static bool fork_and_look(u8 *memory)
{
	pid_t child = fork();
	int status;

	if (!child) {
		static u64 copy[PAGES];
		unsigned long i, n = random64() % PAGES;

		for (i = 0; i < n; i++)
			copy[i] = *(volatile u64 *)(memory + i * PAGE);
		usleep(random64() % 3000);
		for (i = 0; i < n; i++) {
			if (copy[i] != *(volatile u64 *)(memory + i * PAGE))
				_exit(1);
		}
		_exit(0);
	}
	return child > 0 && waitpid(child, &status, 0) == child && !status;
}

enum { PROTECT, FORK, PAGEOUT, COLD, COLLAPSE, SMALL, MERGE, UNMERGE, MOVE, COMPACT, SOFT_DIRTY,
	SYNC, DROP, REGIONS, LOOK, PAUSE, NR_OPS };
static const char *const op_names[NR_OPS] = {
	"protect", "fork", "pageout", "cold", "collapse", "small", "merge", "unmerge", "move",
	"compact", "soft-dirty", "sync", "drop", "regions", "look", "pause",
};

static void disturb(u8 *memory, unsigned long ops, const char *what)
{
	u64 end = vt_now_ns() + seconds * 1000000000ULL;
	unsigned long done[NR_OPS] = {};
	void *elsewhere = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char line[300] = "#";
	bool ok = true;
	unsigned int i;

	while (vt_now_ns() < end) {
		unsigned int op = random64() % NR_OPS;
		unsigned long first = random64() % PAGES;
		unsigned long n = 1 + random64() % (random64() % 4 ? 64 : PAGES);
		u8 *p = memory + first * PAGE;
		size_t len;

		if (!(ops & (1UL << op)))
			continue;
		if (n > PAGES - first)
			n = PAGES - first;
		len = n * PAGE;
		switch (op) {
		case PROTECT:
			ok &= !mprotect(p, len, random64() % 2 ? PROT_READ : PROT_NONE);
			ok &= !mprotect(p, len, PROT_READ | PROT_WRITE);
			break;
		case FORK:
			if (!fork_and_look(memory)) {
				printf("# the child's copy has changed\n");
				ok = false;
			}
			break;
		case PAGEOUT:
			madvise(p, len, MADV_PAGEOUT);
			break;
		case COLD:
			madvise(p, len, MADV_COLD);
			break;
		case COLLAPSE:
			madvise(memory, SIZE, MADV_HUGEPAGE);
			madvise(p, len, MADV_COLLAPSE);
			break;
		case SMALL:
			madvise(p, len, MADV_NOHUGEPAGE);
			break;
		case MERGE:
			madvise(p, len, MADV_MERGEABLE);
			break;
		case UNMERGE:
			madvise(p, len, MADV_UNMERGEABLE);
			break;
		case MOVE:
			/* Not if parts of it differ by now: that would be several mappings. */
			if (mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) !=
			    elsewhere)
				break;
			ok &= mremap(elsewhere, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p;
			mmap(elsewhere, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			     0);
			break;
		case COMPACT:
			vt_write_file("/proc/sys/vm/compact_memory", "1");
			break;
		case SOFT_DIRTY:
			vt_write_file("/proc/self/clear_refs", random64() % 2 ? "4" : "1");
			break;
		case SYNC:
			ok &= !msync(p, len, random64() % 2 ? MS_SYNC : MS_ASYNC);
			break;
		case DROP:
			msync(memory, SIZE, MS_SYNC);
			madvise(p, len, MADV_PAGEOUT);
			vt_write_file("/proc/sys/vm/drop_caches", "3");
			break;
		case REGIONS:
			/* the same memory elsewhere, and something unrelated */
			vt_region(vm.fd, 6, 0x80000000, len, p, VIREO_REGION_READONLY);
			vt_region(vm.fd, 6, 0x90000000, len, p, 0);
			vt_region_delete(vm.fd, 6);
			break;
		case LOOK:
			for (i = 0; i < n; i++)
				(void)*(volatile u8 *)(p + i * PAGE);
			break;
		case PAUSE:
			usleep(random64() % 2000);
			break;
		}
		if (!ok) {
			printf("# %s of %lu pages at %lu failed: %s\n", op_names[op], n, first,
			       strerror(errno));
			break;
		}
		done[op]++;
	}
	for (i = 0; i < NR_OPS; i++) {
		if (done[i])
			snprintf(line + strlen(line), sizeof(line) - strlen(line), " %s %lu",
				 op_names[i], done[i]);
	}
	printf("%s\n", line);
	result(ok, what);
	munmap(elsewhere, SIZE);
}

#define ALL	((1UL << NR_OPS) - 1)
#define B(x)	(1UL << (x))

static void counting(const char *what, u8 *memory, unsigned long ops)
{
	char line[200];
	unsigned long i;
	bool ok;

	start(count_code, count_code_end, memory);
	snprintf(line, sizeof(line), "%s: the host did what it was asked to", what);
	disturb(memory, ops, line);
	snprintf(line, sizeof(line), "%s: the guest finds what it wrote", what);
	ok = stop(line);
	for (i = 0; ok && i < PAGES; i++)
		ok = *(u64 *)(memory + i * PAGE) == *(u64 *)(vm.mem + SHADOW_GPA + i * 8);
	snprintf(line, sizeof(line), "%s: and so does the launcher", what);
	result(ok, line);
	finish();
}

/* Memory goes for good; what comes after it at other addresses stays what it is. */
static void takeaway(void)
{
	u8 *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 end = vt_now_ns() + seconds * 1000000000ULL, value = 1;
	unsigned long i, rounds = 0;
	bool ok = true;

	start(fill_code, fill_code_end, memory);
	while (ok && vt_now_ns() < end) {
		unsigned long first = random64() % PAGES, n = 1 + random64() % 256;
		unsigned long bad = 0;
		u64 *other, limit;

		if (n > PAGES - first)
			n = PAGES - first;
		value++;
		for (i = 0; i < CPUS; i++)
			threads[i].params->value = value;
		limit = vt_now_ns() + 20000000000ULL;
		for (i = 0; i < CPUS; i++) {
			while (threads[i].params->seen != value && vt_now_ns() < limit)
				usleep(10);
			ok &= threads[i].params->seen == value;
		}
		madvise(memory + first * PAGE, n * PAGE, MADV_DONTNEED);
		/* The kernel hands the same pages out at once. */
		other = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		for (i = 0; i < n; i++)
			other[i * 512] = ~i;
		usleep(random64() % 1000);
		for (i = 0; i < n; i++)
			bad += other[i * 512] != ~i;
		munmap(other, n * PAGE);
		/* Zero, or written since. */
		for (i = 0; i < n; i++) {
			u64 now = *(volatile u64 *)(memory + (first + i) * PAGE);

			bad += now && now != value;
		}
		if (bad) {
			printf("# %lu pages wrong\n", bad);
			ok = false;
		}
		rounds++;
	}
	printf("# %lu rounds\n", rounds);
	result(ok, "nobody writes to memory that was given back");
	stop("... and the guest runs on");
	finish();
	munmap(memory, SIZE);
}

/* Swap on a compressed RAM disk; false if the host has none. */
static bool swap_on(void)
{
	static u8 header[4096];
	u32 *info = (u32 *)(header + 1024);
	int fd;

	if (vt_write_file("/sys/block/zram0/disksize", "64M"))
		return false;
	fd = open("/dev/zram0", O_RDWR);
	if (fd < 0)
		return false;
	info[0] = 1;
	info[1] = (64 << 20) / 4096 - 1;
	memcpy(header + 4086, "SWAPSPACE2", 10);
	if (write(fd, header, sizeof(header)) != sizeof(header) || fsync(fd)) {
		close(fd);
		return false;
	}
	close(fd);
	return !swapon("/dev/zram0", 0);
}

/* Shared mapping of a file on a real file system in a loop device; -1 if there is none. */
static int file_on_disk(void)
{
	if (system("dd if=/dev/zero of=/tmp/takeback.img bs=1M count=32 2>/dev/null && "
		   "mke2fs -F /tmp/takeback.img >/dev/null 2>&1 && mkdir -p /tmp/takeback && "
		   "losetup /dev/loop0 /tmp/takeback.img && "
		   "mount -t ext4 /dev/loop0 /tmp/takeback"))
		return -1;
	return open("/tmp/takeback/memory", O_RDWR | O_CREAT, 0600);
}

static u8 *map_aligned(void)
{
	u8 *p = mmap(NULL, SIZE + (2 << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p = (u8 *)(((unsigned long)p + (2 << 20) - 1) & ~((2UL << 20) - 1));
	return p;
}

int main(int argc, char **argv)
{
	u8 *memory;
	bool swap;
	int fd;

	if (argc > 1)
		seconds = atoi(argv[1]);
	close(vt_open_or_skip());
	printf("TAP version 13\n");
	swap = swap_on();
	printf("# swap: %s\n", swap ? "on" : "none");
	vt_write_file("/sys/kernel/mm/ksm/pages_to_scan", "200");
	vt_write_file("/sys/kernel/mm/ksm/sleep_millisecs", "20");
	vt_write_file("/sys/kernel/mm/ksm/run", "1");

	takeaway();

	memory = mmap(map_aligned(), SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	counting("anonymous memory", memory, ALL & ~(B(SYNC) | B(DROP)));
	munmap(memory, SIZE);

	fd = memfd_create("takeback", 0);
	if (fd < 0 || ftruncate(fd, SIZE))
		vt_die("memfd");
	memory = mmap(map_aligned(), SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	/* A child shares this memory: it sees changes, and should. */
	counting("shared memory", memory, ALL & ~(B(FORK) | B(MERGE) | B(UNMERGE)));
	munmap(memory, SIZE);
	close(fd);

	fd = file_on_disk();
	if (fd < 0 || ftruncate(fd, SIZE)) {
		printf("ok %u - file on a disk # SKIP no file system\n", ++tests);
	} else {
		memory = mmap(map_aligned(), SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			      fd, 0);
		counting("file on a disk", memory, B(SYNC) | B(DROP) | B(PROTECT) | B(PAGEOUT) |
			 B(SOFT_DIRTY) | B(COMPACT) | B(LOOK) | B(PAUSE) | B(MOVE));
		munmap(memory, SIZE);
		close(fd);
		umount("/tmp/takeback");
		if (system("losetup -d /dev/loop0"))
			printf("# the loop device stays\n");
	}
	if (swap)
		swapoff("/dev/zram0");
	printf("1..%u\n", tests);
	return failures ? 1 : 0;
}

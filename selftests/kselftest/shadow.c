// SPDX-License-Identifier: GPL-2.0-only
/*
 * shadow [SECONDS]: guests that change their page tables while all else that shadow tables depend
 * on changes too; the module proves its tables (VIREO_CHECK) all the time.
 *
 * The tests run with nested paging as well, where there is nothing to prove and the guests' own
 * checks are what is left.
 *
 * A window of 512 pages of the guest's is mapped to frames of 4 KiB that hold their own numbers, so
 * that whoever reads through a stale translation sees it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define PAGE		4096UL
#define MEMORY		(16UL << 20)
#define WINDOW		0x8000000000UL
#define PDPT		0x100000UL	/* of the window */
#define PD		0x101000UL
#define PT		0x102000UL
#define PT_OTHER	0x103000UL
#define FRAMES		256UL
#define FRAMES_GPA	0x40000000UL	/* a region of its own */
#define SPACES		320UL
#define SPACES_GPA	0x400000UL	/* four tables each */

/* Offsets are known to the guests' code. */
struct params {
	u64 table;		/* 0: of the window */
	u64 window;		/* 8 */
	u64 frames;		/* 16: address of frame 0 */
	u64 stop;		/* 24 */
	u64 loops;		/* 32 */
	u64 sent;		/* 40: changes that the writer has made */
	u64 seen;		/* 48: ... and the reader has seen */
	u64 roots;		/* 56: number of address spaces */
	u64 first;		/* 64: root of the first */
};

#define DONE	"9: mov $0, %eax\nout %eax, $0x10\n"
#define WRONG	"8: mov %esi, %eax\nout %eax, $0x11\n"

/* All entries of the table, each time to other frames; entry for entry by INVLPG, then by CR3. */
GUEST(remap_code, 64,
	"1: xor %ecx, %ecx\n"
	"2: mov %ecx, %ebx\n"
	"imul $13, %ebx\n"
	"add 32(%rdi), %ebx\n"
	"and $255, %ebx\n"
	"mov %rbx, %rax\n"
	"shl $12, %rax\n"
	"add 16(%rdi), %rax\n"
	"or $3, %rax\n"
	"mov 0(%rdi), %rdx\n"
	"mov %rax, (%rdx,%rcx,8)\n"
	"mov %rcx, %rsi\n"
	"shl $12, %rsi\n"
	"add 8(%rdi), %rsi\n"
	"testb $1, 32(%rdi)\n"
	"jz 3f\n"
	"invlpg (%rsi)\n"
	"cmp %rbx, (%rsi)\n"
	"jne 8f\n"
	"3: inc %ecx\n"
	"cmp $512, %ecx\n"
	"jb 2b\n"
	"mov %cr3, %rax\n"
	"mov %rax, %cr3\n"
	"xor %ecx, %ecx\n"
	"4: mov %ecx, %ebx\n"
	"imul $13, %ebx\n"
	"add 32(%rdi), %ebx\n"
	"and $255, %ebx\n"
	"mov %rcx, %rsi\n"
	"shl $12, %rsi\n"
	"add 8(%rdi), %rsi\n"
	"cmp %rbx, (%rsi)\n"
	"jne 8f\n"
	"inc %ecx\n"
	"cmp $512, %ecx\n"
	"jb 4b\n"
	"incq 32(%rdi)\n"
	"cmpq $0, 24(%rdi)\n"
	"je 1b\n"
	DONE WRONG);

/* One vCPU changes an entry and says so; the other flushes it, looks, and says so. */
GUEST(writer_code, 64,
	"1: mov 40(%rdi), %rax\n"
	"cmp 48(%rdi), %rax\n"
	"je 2f\n"
	"pause\n"
	"cmpq $0, 24(%rdi)\n"
	"je 1b\n"
	"jmp 9f\n"
	"2: inc %rax\n"
	"mov %eax, %ecx\n"
	"and $511, %ecx\n"
	"imul $7, %rax, %rbx\n"
	"and $255, %ebx\n"
	"shl $12, %rbx\n"
	"add 16(%rdi), %rbx\n"
	"or $3, %rbx\n"
	"mov 0(%rdi), %rdx\n"
	"mov %rbx, (%rdx,%rcx,8)\n"
	"mov %rax, 40(%rdi)\n"
	"cmpq $0, 24(%rdi)\n"
	"je 1b\n"
	DONE);
GUEST(reader_code, 64,
	"1: mov 40(%rdi), %rax\n"
	"cmp 48(%rdi), %rax\n"
	"jne 2f\n"
	"pause\n"
	"cmpq $0, 24(%rdi)\n"
	"je 1b\n"
	"jmp 9f\n"
	"2: mov %eax, %esi\n"
	"and $511, %esi\n"
	"shl $12, %rsi\n"
	"add 8(%rdi), %rsi\n"
	"imul $7, %rax, %rbx\n"
	"and $255, %ebx\n"
	"invlpg (%rsi)\n"
	"cmp %rbx, (%rsi)\n"
	"jne 8f\n"
	"mov %rax, 48(%rdi)\n"
	"incq 32(%rdi)\n"
	"jmp 1b\n"
	DONE WRONG);

/* Tells what it finds in the window's first page, again and again. */
GUEST(look_code, 64,
	"1: mov 8(%rdi), %rsi\n"
	"mov (%rsi), %eax\n"
	"out %eax, $0x12\n"
	"jmp 1b\n");

/* Goes through all its address spaces, in each of which the first page is another. */
GUEST(spaces_code, 64,
	"1: xor %ecx, %ecx\n"
	"mov 64(%rdi), %rax\n"
	"2: mov %rax, %cr3\n"
	"mov 8(%rdi), %rsi\n"
	"mov %ecx, %ebx\n"
	"and $255, %ebx\n"
	"cmp %rbx, (%rsi)\n"
	"jne 8f\n"
	"add $4*4096, %rax\n"
	"inc %rcx\n"
	"cmp 56(%rdi), %rcx\n"
	"jb 2b\n"
	"incq 32(%rdi)\n"
	"cmpq $0, 24(%rdi)\n"
	"je 1b\n"
	DONE WRONG);

static unsigned int tests, failures, seconds = 2;
static unsigned long checks;
static bool shadow;		/* there are shadow tables to prove */
static struct vt_vm vm;
static struct vt_vcpu cpus[2];
static u8 *frames;		/* shared memory: what is dropped comes back */
static volatile struct params *params;
static u64 seed = 88172645463325252ULL;

static struct thread {
	pthread_t thread;
	struct vt_vcpu *cpu;
	int error;
	u16 port;
	u64 out;
	volatile bool ended;
} threads[2];

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

/* Have the module prove its tables.  False, and said, if something is wrong with them. */
static bool check(struct vireo_check *found)
{
	struct vireo_check c = { .size = sizeof(c) };
	int r = vt_ioctl(vm.fd, VIREO_CHECK, &c);

	if (!shadow && r == -EOPNOTSUPP)
		return true;
	if (found)
		*found = c;
	checks++;
	if (r)
		printf("# VIREO_CHECK: %s\n", strerror(-r));
	else if (c.violations)
		printf("# %u violations: %s\n", c.violations, c.text);
	return !r && !c.violations;
}

static void put(u64 gpa, u64 value)
{
	*(volatile u64 *)(vm.mem + gpa) = value;
}

/* A VM whose frames have their numbers in them, and a window onto them. */
static void create(unsigned int nr, const u8 *code, const u8 *end)
{
	unsigned long i;

	vt_vm_create(&vm, MEMORY);
	vt_tables(&vm);
	vt_load(&vm, VT_CODE, code, end);
	if (vt_region(vm.fd, 5, FRAMES_GPA, FRAMES * PAGE, frames, 0))
		vt_die("region for the frames");
	for (i = 0; i < FRAMES; i++)
		*(volatile u64 *)(frames + i * PAGE) = i;
	put(VT_PML4 + 8, PDPT | 7);
	put(PDPT, PD | 7);
	put(PD, PT | 7);
	for (i = 0; i < 512; i++)
		put(PT + 8 * i, (FRAMES_GPA + i % FRAMES * PAGE) | 3);
	params = (struct params *)(vm.mem + VT_DATA);
	params->table = PT;
	params->window = WINDOW;
	params->frames = FRAMES_GPA;
	for (i = 0; i < nr; i++) {
		struct vireo_regs regs;

		vt_vcpu_create(&vm, &cpus[i], i);
		vt_long_mode(&vm, &cpus[i], VT_CODE, VT_DATA, 0);
		/* With IF set, although nothing comes: Bochs does not take a processor from a guest without. */
		if (vt_get(cpus[i].fd, VIREO_BLOCK_REGS, &regs, sizeof(regs)))
			vt_die("GET_STATE of registers");
		regs.rflags |= 0x200;
		if (vt_set(cpus[i].fd, VIREO_BLOCK_REGS, &regs, sizeof(regs)))
			vt_die("SET_STATE of registers");
	}
}

static void destroy(unsigned int nr)
{
	while (nr--)
		vt_vcpu_close(&cpus[nr]);
	vt_vm_close(&vm);
}

/* What is no memory for a moment reads as it did, and a run that failed for it is repeated. */
static void *vcpu_thread(void *data)
{
	struct thread *t = data;
	struct vireo_run *run = t->cpu->run;

	/* Else, on one CPU, the host would come to its turn once in a long while. */
	setpriority(PRIO_PROCESS, 0, 15);
	for (;;) {
		int r = vt_run(t->cpu);

		if (r == -EINTR || r == -EFAULT)
			continue;
		if (!r && run->exit_reason == VIREO_EXIT_MMIO && !run->mmio.write &&
		    run->mmio.gpa >= FRAMES_GPA) {
			u64 frame = (run->mmio.gpa - FRAMES_GPA) / PAGE;

			memcpy(run->mmio.data, &frame, sizeof(frame));
			continue;
		}
		t->error = r;
		if (!r && run->exit_reason == VIREO_EXIT_IO) {
			t->port = run->io.port;
			t->out = vt_out_value(run);
		} else {
			vt_dump(t->cpu);
			t->error = r ?: -EPROTO;
		}
		t->ended = true;
		return NULL;
	}
}

static void start(unsigned int nr)
{
	unsigned int i;

	memset(threads, 0, sizeof(threads));
	for (i = 0; i < nr; i++) {
		threads[i].cpu = &cpus[i];
		pthread_create(&threads[i].thread, NULL, vcpu_thread, &threads[i]);
	}
}

static bool stop(unsigned int nr)
{
	bool ok = true;
	unsigned int i;

	params->stop = 1;
	for (i = 0; i < nr; i++) {
		pthread_join(threads[i].thread, NULL);
		if (threads[i].error || threads[i].port != 0x10) {
			printf("# vCPU %u: error %d (%s), port %#x, at %#llx\n", i, threads[i].error,
			       cpus[i].run->error, threads[i].port,
			       (unsigned long long)threads[i].out);
			ok = false;
		}
	}
	printf("# %llu rounds\n", (unsigned long long)params->loops);
	return ok && params->loops;
}

enum { LOOK, REGION, HOLE, PROTECT, PAGEOUT, FORK, MOVE, DROP, MERGE, NR_OPS };
#define B(x)	(1UL << (x))

static void disturb_once(unsigned int op, u8 *copy, u8 *elsewhere)
{
	bool tables = random64() % 2;
	u8 *memory = tables ? vm.mem : frames;
	u64 all = tables ? 0x110000 / PAGE : FRAMES;
	u64 first = random64() % all, n = 1 + random64() % (all - first);
	u8 *p = memory + first * PAGE;
	size_t len = n * PAGE;
	pid_t child;

	switch (op) {
	case LOOK:
		usleep(random64() % 1000);
		break;
	case REGION:
		vt_region(vm.fd, 5, FRAMES_GPA, FRAMES * PAGE, random64() % 2 ? copy : frames,
			  random64() % 2 ? VIREO_REGION_READONLY : 0);
		break;
	case HOLE:
		vt_region_delete(vm.fd, 5);
		vt_region(vm.fd, 5, FRAMES_GPA, FRAMES * PAGE, frames, 0);
		break;
	case PROTECT:
		mprotect(p, len, random64() % 2 ? PROT_READ : PROT_NONE);
		mprotect(p, len, PROT_READ | PROT_WRITE);
		break;
	case PAGEOUT:
		madvise(p, len, MADV_PAGEOUT);
		break;
	case FORK:
		child = fork();
		if (!child) {
			usleep(random64() % 2000);
			_exit(0);
		}
		waitpid(child, NULL, 0);
		break;
	case MOVE:
		if (mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) == elsewhere)
			mremap(elsewhere, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, p);
		mmap(elsewhere, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	case DROP:
		/* Shared: what is dropped is not lost. */
		madvise(frames, FRAMES * PAGE, MADV_DONTNEED);
		break;
	case MERGE:
		madvise(p, len, random64() % 2 ? MADV_MERGEABLE : MADV_UNMERGEABLE);
		break;
	}
}

/* Whatever @ops are, at random, while @nr vCPUs run. */
static void disturb(const char *what, unsigned int nr, unsigned long ops)
{
	u64 end = vt_now_ns() + seconds * 1000000000ULL;
	u8 *copy = mmap(NULL, FRAMES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *elsewhere = mmap(NULL, MEMORY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long i, n = 0;
	char line[200];
	bool ok = true;

	for (i = 0; i < FRAMES; i++)
		*(u64 *)(copy + i * PAGE) = i;
	start(nr);
	while (ok && vt_now_ns() < end && !threads[0].ended) {
		unsigned int op = random64() % NR_OPS;

		if (!(ops & B(op)))
			continue;
		disturb_once(op, copy, elsewhere);
		ok = check(NULL);
		n++;
	}
	printf("# %lu times\n", n);
	snprintf(line, sizeof(line), "%s: the tables are right", what);
	result(ok, line);
	snprintf(line, sizeof(line), "%s: the guest finds what it mapped", what);
	result(stop(nr), line);
	ok = check(NULL);
	snprintf(line, sizeof(line), "%s: the tables are right in the end", what);
	result(ok, line);
	munmap(copy, FRAMES * PAGE);
	munmap(elsewhere, MEMORY);
}

static void remap(const char *what, unsigned long ops)
{
	create(1, remap_code, remap_code_end);
	disturb(what, 1, ops);
	destroy(1);
}

/* Another vCPU changes the tables. */
static void other_cpu(void)
{
	create(2, reader_code, reader_code_end);
	vt_load(&vm, VT_CODE + 0x1000, writer_code, writer_code_end);
	vt_long_mode(&vm, &cpus[1], VT_CODE + 0x1000, VT_DATA, 0);
	disturb("another vCPU changes tables", 2, B(LOOK) | B(PROTECT) | B(FORK) | B(PAGEOUT));
	destroy(2);
}

/* The launcher writes to tables, and tells by setting system registers. */
static bool launcher_run(u64 want, const char *what, unsigned long round)
{
	struct vireo_run *run = cpus[0].run;
	long got;

	run->gives = VIREO_GIVE_SREGS;
	got = vt_run_to_out(&cpus[0], 0x12);
	if (got != (long)want) {
		printf("# %s, round %lu: the guest reads %ld, not %llu\n", what, round, got,
		       (unsigned long long)want);
		return false;
	}
	return check(NULL);
}

static void launcher(void)
{
	bool pt = true, pd = true, pdpt = true, pml4 = true, other = true;
	struct vireo_sregs sregs;
	unsigned long i;

	create(1, look_code, look_code_end);
	cpus[0].run->wants = VIREO_WANT_SREGS;
	vt_run_to_out(&cpus[0], 0x12);
	for (i = 0; i < 100; i++) {
		u64 frame = random64() % FRAMES;

		/* The usual place */
		put(PT, (FRAMES_GPA + frame * PAGE) | 3);
		pt &= launcher_run(frame, "an entry of level 1", i);
		/* Another table for the same page */
		put(PT_OTHER, (FRAMES_GPA + (frame ^ 1) * PAGE) | 3);
		put(PD, PT_OTHER | 7);
		pd &= launcher_run(frame ^ 1, "an entry of level 2", i);
		put(PD + 0x10000, PT | 7);
		put(PDPT, (PD + 0x10000) | 7);
		pdpt &= launcher_run(frame, "an entry of level 3", i);
		put(PDPT + 0x10000, PD | 7);
		put(VT_PML4 + 8, (PDPT + 0x10000) | 7);
		pml4 &= launcher_run(frame ^ 1, "an entry of level 4", i);
		/* As it was; told by the other way. */
		put(VT_PML4 + 8, PDPT | 7);
		put(PDPT, PD | 7);
		put(PD, PT | 7);
		if (vt_get(cpus[0].fd, VIREO_BLOCK_SREGS, &sregs, sizeof(sregs)) ||
		    vt_set(cpus[0].fd, VIREO_BLOCK_SREGS, &sregs, sizeof(sregs)))
			vt_die("GET_STATE and SET_STATE of system registers");
		other &= vt_run_to_out(&cpus[0], 0x12) == (long)frame;
	}
	result(pt, "the launcher writes an entry of level 1 and sets registers at entry");
	result(pd, "... of level 2");
	result(pdpt, "... of level 3");
	result(pml4, "... of level 4");
	result(other, "... and tells by VIREO_SET_STATE");
	destroy(1);
}

/* More address spaces than shadow pages. */
static void spaces(void)
{
	struct vireo_check before = {}, after = {}, later = {};
	unsigned long i;
	u64 loops, limit;
	bool ok = true;

	create(1, spaces_code, spaces_code_end);
	for (i = 0; i < SPACES; i++) {
		u64 root = SPACES_GPA + 4 * i * PAGE;

		put(root, VT_PDPT | 7);
		put(root + 8, (root + PAGE) | 7);
		put(root + PAGE, (root + 2 * PAGE) | 7);
		put(root + 2 * PAGE, (root + 3 * PAGE) | 7);
		put(root + 3 * PAGE, (FRAMES_GPA + i % FRAMES * PAGE) | 3);
	}
	params->roots = SPACES;
	params->first = SPACES_GPA;
	start(1);
	limit = vt_now_ns() + 60000000000ULL;
	while (ok && params->loops < 3 && !threads[0].ended && vt_now_ns() < limit) {
		ok = check(NULL);
		usleep(2000);
	}
	result(ok, "more address spaces than shadow pages: the tables are right");
	if (shadow) {
		ok = check(&before);
		printf("# %llu pages of %llu, %llu entries, %llu reclaimed\n",
		       (unsigned long long)before.pages, (unsigned long long)before.limit,
		       (unsigned long long)before.entries, (unsigned long long)before.reclaimed);
		result(ok && before.pages <= before.limit && before.reclaimed,
		       "... and not more than there may be");

		vt_write_file("/proc/sys/vm/drop_caches", "2");
		ok = check(&after);
		printf("# %llu pages, %llu reclaimed\n", (unsigned long long)after.pages,
		       (unsigned long long)after.reclaimed);
		result(ok && after.reclaimed > before.reclaimed,
		       "the host takes the memory of shadow pages back");
		loops = params->loops;
		while (params->loops < loops + 2 && !threads[0].ended && vt_now_ns() < limit)
			usleep(1000);
		result(check(&later), "... and the guest builds them anew");
	}
	result(stop(1), "the guest finds its pages in all its address spaces");
	destroy(1);

	/* With nobody who needs them they all go but for the roots. */
	if (!shadow)
		return;
	create(1, look_code, look_code_end);
	vt_run_to_out(&cpus[0], 0x12);
	check(&before);
	for (i = 0; i < 5; i++)
		vt_write_file("/proc/sys/vm/drop_caches", "2");
	ok = check(&after);
	printf("# %llu pages, then %llu\n", (unsigned long long)before.pages,
	       (unsigned long long)after.pages);
	result(ok && before.pages > after.pages && after.pages == 1,
	       "of a guest that does not run only the root stays");
	result(vt_run_to_out(&cpus[0], 0x12) == 0 && check(NULL), "... and it runs on");
	destroy(1);
}

static void bad_input(void)
{
	struct vireo_check c = { .size = sizeof(c), .flags = 1 };

	create(1, look_code, look_code_end);
	shadow = true;
	c.flags = 0;
	shadow = vt_ioctl(vm.fd, VIREO_CHECK, &c) != -EOPNOTSUPP;
	printf("# %s\n", shadow ? "shadow tables" : "no shadow tables");
	c.flags = 1;
	result(vt_ioctl(vm.fd, VIREO_CHECK, &c) == -EINVAL, "unknown flags are refused");
	c.flags = 0;
	c.size = 8;
	result(vt_ioctl(vm.fd, VIREO_CHECK, &c) == -EINVAL, "... and a structure that is too short");
	result(vt_ioctl(vm.fd, VIREO_CHECK, NULL) == -EFAULT, "... and none at all");
	c.size = sizeof(c);
	memset(c.text, 'x', sizeof(c.text));
	if (shadow)
		result(!vt_ioctl(vm.fd, VIREO_CHECK, &c) && !c.violations && !c.pages &&
		       !c.entries && !c.text[0], "a guest that has not run has no shadow pages");
	destroy(1);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atoi(argv[1]);
	close(vt_open_or_skip());
	printf("TAP version 13\n");
	vt_write_file("/sys/kernel/mm/ksm/pages_to_scan", "200");
	vt_write_file("/sys/kernel/mm/ksm/sleep_millisecs", "20");
	vt_write_file("/sys/kernel/mm/ksm/run", "1");
	frames = mmap(NULL, FRAMES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	bad_input();
	launcher();
	remap("the guest changes tables", B(LOOK));
	other_cpu();
	remap("regions replaced", B(LOOK) | B(REGION));
	remap("regions deleted", B(LOOK) | B(HOLE));
	remap("memory taken back", B(LOOK) | B(PROTECT) | B(PAGEOUT) | B(FORK) | B(DROP) | B(MERGE));
	remap("memory moved", B(LOOK) | B(MOVE));
	/* An access to a hole is interpreted, for which code and tables must be there. */
	remap("all of it but holes", (B(NR_OPS) - 1) & ~B(HOLE));
	spaces();
	if (shadow)
		printf("# %lu proofs\n", checks);
	printf("1..%u\n", tests);
	return failures ? 1 : 0;
}

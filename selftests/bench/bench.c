// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench vireo|kvm [ROW ...]: retired instructions per operation.
 *
 * Prints one tab-separated line per row:
 *	row <backend> <name> <samples> <min> <p25> <median> <p75> <max> <mean>
 * and, first, lines `about <key> <value>` on what it ran on. Meant for one host
 * CPU: there every step of a row runs one after the other, and is counted.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "backend.h"
#include "bench.h"

extern const char guest_image[], guest_image_end[];
asm(".section .rodata\n"
    ".balign 16\n"
    ".globl guest_image, guest_image_end\n"
    "guest_image:\n"
    ".incbin \"" GUEST_BIN "\"\n"
    "guest_image_end:\n"
    ".previous");

enum where { GUEST, HOST };

static const struct row {
	const char *name;
	enum where where;
	unsigned int samples;
	const char *what;
} rows[] = {
#define X(name, where, samples, what) [ROW_##name] = { #name, where, samples, what },
	BENCH_ROWS(X)
#undef X
};

static const struct backend *b;
static uint32_t samples[MAX_SAMPLES];
static long guest_empty, host_empty;
static uint8_t *mem;		/* the guest's, from 0 */
static uint8_t *small, *large, *tracked;

static void fail(const char *what, int r)
{
	printf("# %s: %s\n", what, strerror(-r));
}

static int by_value(const void *x, const void *y)
{
	const long *p = x, *q = y;

	return (*p > *q) - (*p < *q);
}

/* Drops the warm-up, takes off what an empty row costs, sorts and prints. */
static void report(const struct row *row, unsigned int warm_up, long empty)
{
	static long v[MAX_SAMPLES];
	unsigned int i, n = row->samples;
	double sum = 0;

	for (i = 0; i < n; i++) {
		v[i] = (long)samples[warm_up + i] - empty;
		sum += v[i];
	}
	qsort(v, n, sizeof(v[0]), by_value);
	printf("row\t%s\t%s\t%u\t%ld\t%ld\t%ld\t%ld\t%ld\t%.0f\n", b->name, row->name, n, v[0],
	       v[n / 4], v[n / 2], v[3 * n / 4], v[n - 1], sum / n);
	fflush(stdout);
}

static void put(uint64_t gpa, uint64_t value)
{
	memcpy(mem + gpa, &value, sizeof(value));
}

static void *memory(size_t bytes, size_t align, int advice)
{
	char *p = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	p = (char *)(((uintptr_t)p + align - 1) & -align);
	madvise(p, bytes, advice);
	/* "that the host has": nothing of the host's own fault is to be counted */
	memset(p, 0xa5, bytes);
	return p;
}

/* A VM with the guest in it, ready to run @row; the memory stays until exit. */
static int start(struct machine *m, enum bench_row row)
{
	struct params *p;
	unsigned int i, vendor, unused;
	int r;

	if (!mem) {
		mem = memory(MEMORY_BYTES, 0x200000, MADV_NOHUGEPAGE);
		small = memory(MAX_SAMPLES * 0x1000UL, 0x200000, MADV_NOHUGEPAGE);
		large = memory((24 + WARM_UP) * 0x200000UL, 0x200000, MADV_HUGEPAGE);
	}
	memset(mem, 0, MEMORY_BYTES);
	memcpy(mem + CODE, guest_image, guest_image_end - guest_image);
	put(PML4, PDPT | 7);
	for (i = 0; i < 4; i++)
		put(PDPT + 8 * i, (PD + 0x1000 * i) | 7);
	for (i = 0; i < 2048; i++)
		put(PD + 8 * i, ((uint64_t)i << 21) | 0xe7);
	put(GDT + 8, 0x00af9b000000ffffULL);
	put(GDT + 16, 0x00cf93000000ffffULL);
	p = (void *)(mem + PARAMS);
	p->row = row;
	p->samples = rows[row].samples + WARM_UP;
	__cpuid(0, unused, vendor, unused, unused);
	p->amd = vendor == signature_AMD_ebx;

	m->dev = b->open();
	if (m->dev < 0)
		return m->dev;
	m->vm = b->vm(m->dev);
	if (m->vm < 0)
		return m->vm;
	r = row == ROW_ring_reset || (row >= ROW_rollback_1 && row <= ROW_rollback_1000) ? b->rings(m) : 0;
	if (!r)
		r = b->prepare(m->vm);
	if (r)
		return r;
	m->vcpu = b->cpu(m->vm);
	if (m->vcpu < 0)
		return m->vcpu;
	r = b->map(m);
	if (!r)
		r = b->region(m, 0, 0, MEMORY_BYTES, mem);
	if (!r)
		r = b->region(m, 1, SMALL_GPA, MAX_SAMPLES * 0x1000UL, small);
	if (!r)
		r = b->region(m, 2, LARGE_GPA, (24 + WARM_UP) * 0x200000UL, large);
	if (!r && row >= ROW_track_on && row <= ROW_rollback_1000) {
		if (!tracked)
			tracked = memory(TRACK_BYTES, 0x200000, MADV_NOHUGEPAGE);
		p->pages = TRACK_BYTES >> 12;
		r = b->region(m, 3, TRACK_GPA, TRACK_BYTES, tracked);
	}
	if (!r)
		r = b->registers(m);
	return r;
}

static void stop(struct machine *m)
{
	munmap(m->run, m->run_bytes);
	close(m->vcpu);
	close(m->vm);
	close(m->dev);
}

/*
 * Row `halt`: both threads are real-time on one CPU, the vCPU's above the other's.
 * So the kicker runs only while the vCPU sleeps, and each kick is followed at once
 * by the vCPU's wake-up: a cycle is the same instructions every time.
 */
static struct machine *kicked;
static volatile int kicking;

static void *kicker(void *arg)
{
	while (kicking)
		b->msi(kicked, VECTOR);
	return arg;
}

static int run_halt(struct machine *m)
{
	struct sched_param above = { .sched_priority = 2 }, below = { .sched_priority = 1 };
	cpu_set_t set, all;
	pthread_attr_t attr;
	pthread_t thread;
	int r, saved, cpu = 0;
	FILE *f;

	f = fopen("/proc/sys/kernel/sched_rt_runtime_us", "w");
	if (f) {
		fputs("-1\n", f);
		fclose(f);
	}
	sched_getaffinity(0, sizeof(all), &all);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	if (sched_setscheduler(0, SCHED_FIFO, &above))
		return -errno;
	kicked = m;
	kicking = 1;
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &below);
	saved = -pthread_create(&thread, &attr, kicker, NULL);
	if (saved)
		return saved;
	r = b->run_to(m, PORT_DONE);
	kicking = 0;
	pthread_join(thread, NULL);
	above.sched_priority = 0;
	sched_setscheduler(0, SCHED_OTHER, &above);
	sched_setaffinity(0, sizeof(all), &all);
	return r;
}

static int guest_row(enum bench_row row)
{
	struct machine m = { 0 };
	int r, fd = -1;

	r = start(&m, row);
	if (r) {
		fail("setting up", r);
		return r;
	}
	if (row == ROW_pio_eventfd) {
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = b->doorbell(&m, PORT_EVENTFD, fd);
	}
	if (!r && row == ROW_track_write) {
		r = b->run_to(&m, PORT_SYNC);
		if (!r)
			r = b->track(&m, 1, SMALL_GPA, MAX_SAMPLES * 0x1000UL, small, 1);
	}
	if (!r)
		r = row == ROW_halt ? run_halt(&m) : b->run_to(&m, PORT_DONE);
	if (r) {
		fail("running", r);
		b->say(&m);
	} else {
		memcpy(samples, mem + SAMPLES, sizeof(samples));
	}
	if (!r && row == ROW_empty) {
		uint32_t least = ~0U;
		unsigned int i;

		for (i = 0; i < rows[row].samples; i++)
			if (samples[i] < least)
				least = samples[i];
		guest_empty = least;
	}
	if (!r)
		report(&rows[row], WARM_UP,
		       row == ROW_empty || row == ROW_timer ? 0 : guest_empty);
	if (fd >= 0)
		close(fd);
	stop(&m);
	return r;
}

/* Two RDTSC with one operation between them, @n + WARM_UP times, in this thread */
#define SAMPLE(n, operation)				\
do {							\
	unsigned int i_;				\
							\
	for (i_ = 0; i_ < (n) + WARM_UP; i_++) {	\
		uint32_t t_ = tsc();			\
							\
		operation;				\
		samples[i_] = tsc() - t_;		\
	}						\
} while (0)

static int create_rows(enum bench_row row)
{
	unsigned int i, n = rows[row].samples;
	int dev = b->open(), vm, cpu;
	uint32_t t0, t1, t2, t3;

	if (dev < 0) {
		fail("open", dev);
		return dev;
	}
	for (i = 0; i < n + 2; i++) {
		t0 = tsc();
		vm = b->vm(dev);
		t1 = tsc();
		if (vm < 0 || b->prepare(vm)) {
			fail("creating a VM", vm);
			return -1;
		}
		t2 = tsc();
		cpu = b->cpu(vm);
		t3 = tsc();
		if (cpu < 0) {
			fail("creating a vCPU", cpu);
			return cpu;
		}
		samples[i] = (row == ROW_create_vcpu ? 0 : t1 - t0) +
			     (row == ROW_create_vm ? 0 : t3 - t2);
		close(cpu);
		close(vm);
	}
	close(dev);
	/* The first ones fill caches of the allocator. */
	report(&rows[row], 2, host_empty);
	return 0;
}

/* Rows track_* and ring_reset: the guest writes, and stands at an OUT while it is asked what. */
static int track_row(struct machine *m, enum bench_row row)
{
	static uint64_t bitmap[TRACK_BYTES >> 12 >> 6];
	struct params *p = (void *)(mem + PARAMS);
	unsigned int i, n = rows[row].samples + WARM_UP;
	uint32_t t;
	int r;

	r = b->run_to(m, PORT_SYNC);
	if (!r && row != ROW_track_on) {
		r = b->track(m, 3, TRACK_GPA, TRACK_BYTES, tracked, 1);
		if (!r)
			r = row == ROW_ring_reset ? b->reset(m) : b->dirty(m, 3, TRACK_BYTES, bitmap);
		p->pages = row == ROW_track_clean ? 0 : 1000;
	}
	for (i = 0; i < n && !r; i++) {
		if (row == ROW_track_on) {
			t = tsc();
			r = b->track(m, 3, TRACK_GPA, TRACK_BYTES, tracked, 1);
			samples[i] = tsc() - t;
			if (!r)
				r = b->track(m, 3, TRACK_GPA, TRACK_BYTES, tracked, 0);
			if (!r)
				r = b->run_to(m, PORT_SYNC);
			continue;
		}
		r = b->run_to(m, PORT_SYNC);
		memset(bitmap, 0, sizeof(bitmap));
		if (r)
			break;
		t = tsc();
		r = row == ROW_ring_reset ? b->reset(m) : b->dirty(m, 3, TRACK_BYTES, bitmap);
		samples[i] = tsc() - t;
	}
	return r;
}

/* Rows rollback_*: the guest writes to pages that are mapped already; in the first samples it does that for the first time. */
static int rollback_row(struct machine *m, enum bench_row row)
{
	struct params *p = (void *)(mem + PARAMS);
	unsigned int i, n = rows[row].samples + WARM_UP;
	uint32_t t;
	int r;

	r = b->run_to(m, PORT_SYNC);
	p->pages = row == ROW_rollback_1 ? 1 : row == ROW_rollback_100 ? 100 : 1000;
	if (!r)
		r = b->snapshot(m);
	for (i = 0; i < n && !r; i++) {
		r = b->run_to(m, PORT_SYNC);
		if (r)
			break;
		t = tsc();
		r = b->rollback(m);
		samples[i] = tsc() - t;
	}
	return r;
}

static int host_row(enum bench_row row)
{
	struct machine m = { 0 };
	unsigned int i, n = rows[row].samples;
	int r, bad = 0;

	if (row == ROW_create_vm || row == ROW_create_vcpu || row == ROW_create)
		return create_rows(row);

	r = start(&m, row);
	if (r) {
		fail("setting up", r);
		return r;
	}
	switch (row) {
	case ROW_syscall:
		SAMPLE(n, sys3(SYS_getppid, 0, 0, 0));
		break;
	case ROW_ioctl:
		SAMPLE(n, sys_ioctl(m.vcpu, 0xdead, 0));
		break;
	case ROW_run_exit:
		SAMPLE(n, bad |= b->run_exit(&m));
		break;
	case ROW_msi:
		bad = b->run_to(&m, PORT_SYNC);
		for (i = 0; i < n + WARM_UP && !bad; i++) {
			uint32_t t = tsc();

			bad = b->msi(&m, VECTOR);
			if (!bad)
				bad = b->run_to(&m, PORT_SYNC);
			samples[i] = tsc() - t;
		}
		break;
	case ROW_track_on:
	case ROW_track_clean:
	case ROW_track_read:
	case ROW_ring_reset:
		bad = track_row(&m, row);
		break;
	case ROW_rollback_1:
	case ROW_rollback_100:
	case ROW_rollback_1000:
		bad = rollback_row(&m, row);
		break;
	default:
		bad = -EINVAL;
	}
	if (bad) {
		fail("running", bad);
		b->say(&m);
	} else {
		report(&rows[row], WARM_UP, host_empty);
	}
	stop(&m);
	return bad;
}

static void about(void)
{
	char line[4096], brand[49] = { 0 };
	struct utsname u;
	unsigned int i;
	FILE *f;

	uname(&u);
	printf("about\tbackend\t%s\n", b->name);
	printf("about\tkernel\t%s\n", u.release);
	for (i = 0; i < 3; i++)
		__cpuid(0x80000002 + i, *(unsigned int *)(brand + 16 * i),
			*(unsigned int *)(brand + 16 * i + 4), *(unsigned int *)(brand + 16 * i + 8),
			*(unsigned int *)(brand + 16 * i + 12));
	printf("about\tprocessor\t%s\n", brand);
	f = fopen("/proc/cmdline", "r");
	if (f && fgets(line, sizeof(line), f)) {
		const char *word = line, *last = "default";

		/* the last one counts */
		while ((word = strstr(word, "mitigations="))) {
			word += strlen("mitigations=");
			last = strncmp(word, "off", 3) ? "default" : "off";
		}
		printf("about\tmitigations\t%s\n", last);
	}
	if (f)
		fclose(f);
	f = fopen("/sys/module/vireo/version", "r");
	if (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		printf("about\tvireo\t%s\n", line);
	}
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	int i, r = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: bench vireo|kvm [ROW ...]\n");
		return 2;
	}
	b = !strcmp(argv[1], "kvm") ? &kvm_backend : &vireo_backend;
	about();
	for (host_empty = 1 << 30, i = 0; i < 64; i++) {
		uint32_t t = tsc(), d = tsc() - t;

		if (d < host_empty)
			host_empty = d;
	}
	for (i = 0; i < ROW_NR; i++) {
		int j, wanted = argc == 2 || i == ROW_empty;

		for (j = 2; j < argc; j++)
			wanted |= !strcmp(argv[j], rows[i].name);
		if (!wanted)
			continue;
		if (rows[i].where == GUEST ? guest_row(i) : host_row(i)) {
			printf("failed\t%s\t%s\n", b->name, rows[i].name);
			r = 1;
		}
		fflush(stdout);
	}
	return r;
}

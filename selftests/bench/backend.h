/* SPDX-License-Identifier: GPL-2.0-only */
/* The two hypervisors, as far as the benchmark needs them. */
#ifndef VIREO_BENCH_BACKEND_H
#define VIREO_BENCH_BACKEND_H

#include <stddef.h>
#include <stdint.h>

struct machine {
	int dev, vm, vcpu;
	void *run;
	size_t run_bytes;
	void *ring;
	unsigned int ring_at;
};

/*
 * struct backend - all return 0, a value or a negative errno
 * @open: open the device
 * @vm: make a VM and nothing else
 * @prepare: what must be said between VM and vCPU, if anything
 * @cpu: make vCPU 0 and nothing else
 * @registers: CPUID, and 64-bit mode at CODE
 * @region: slot of guest memory
 * @run_to: serve exits (reads get zeros, writes are dropped) until the guest writes
 *	    to @port; -EPROTO on any other exit
 * @run_exit: one run ioctl that returns before it enters the guest
 * @msi: edge interrupt @vector to vCPU 0
 * @doorbell: eventfd for 2-byte writes to @port
 * @track: follow the writes to the region in @slot, or no more
 * @dirty: which of its pages were written since the last time, into @bitmap, which is zero
 * @snapshot: take one
 * @rollback: go back to it
 * @rings: there will be rings of dirty pages; said after @vm, before the rest
 * @reset: read what the ring says, and have it told again; the first time only that
 * @run_bytes: of the shared page
 */
struct backend {
	const char *name;
	int (*open)(void);
	int (*vm)(int dev);
	int (*prepare)(int vm);
	int (*cpu)(int vm);
	int (*map)(struct machine *m);
	int (*registers)(struct machine *m);
	int (*region)(struct machine *m, unsigned int slot, uint64_t gpa, size_t bytes, void *hva);
	int (*run_to)(struct machine *m, unsigned int port);
	int (*run_exit)(struct machine *m);
	int (*msi)(struct machine *m, unsigned int vector);
	int (*doorbell)(struct machine *m, unsigned int port, int fd);
	int (*track)(struct machine *m, unsigned int slot, uint64_t gpa, size_t bytes, void *hva, int on);
	int (*dirty)(struct machine *m, unsigned int slot, size_t bytes, uint64_t *bitmap);
	int (*snapshot)(struct machine *m);
	int (*rollback)(struct machine *m);
	int (*rings)(struct machine *m);
	int (*reset)(struct machine *m);
	void (*say)(struct machine *m);
};

extern const struct backend vireo_backend, kvm_backend;

/* The C library's wrapper would be counted. */
static inline long sys3(long nr, long a, long b, long c)
{
	long r;

	asm volatile("syscall" : "=a"(r) : "0"(nr), "D"(a), "S"(b), "d"(c) :
		     "rcx", "r11", "memory");
	return r;
}
#define sys_ioctl(fd, request, arg) sys3(16, fd, request, (long)(arg))

static inline uint32_t tsc(void)
{
	uint32_t a;

	asm volatile("rdtsc" : "=a"(a) : : "rdx", "memory");
	return a;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a vCPU does, and how long that takes.
 *
 * Counts are of its own thread, which needs no atomic operations for them; others read them as they are. The time of
 * an exit goes from there to the next entry. In the inner loop, where interrupts are off, 32 bits
 * of the TSC tell it. Whoever leaves the inner loop keeps the whole of it in vireo_times.mark, and moves that
 * on by the time that is not the kernel's: in user space, and waiting.
 *
 * A stopwatch is one word, so that others can read it at any time: the cycles that it has counted, less the time of its
 * start while it runs, in 63 bits, and whether it does.
 */
#ifndef VIREO_STATS_H
#define VIREO_STATS_H

#include <linux/jump_label.h>
#include <asm/msr.h>

#include "vireo.h"

/* Module parameter "stats". */
DECLARE_STATIC_KEY_TRUE(vireo_timed);

static inline u64 vireo_watch_start(u64 watch, u64 now)
{
	return ((watch >> 1) - now) << 1 | 1;
}

static inline u64 vireo_watch_stop(u64 watch, u64 now)
{
	return ((watch >> 1) + now) << 1;
}

static inline u64 vireo_watch_read(u64 watch, u64 now)
{
	return watch & 1 ? vireo_watch_stop(watch, now) >> 1 : watch >> 1;
}

/* The low half of the TSC.  rdtsc() does not let go of the upper one. */
static __always_inline u32 vireo_tsc_low(void)
{
	u32 low;

	asm volatile("rdtsc" : "=a" (low) : : "edx");
	return low;
}

/* Bucket of a histogram. */
static __always_inline unsigned long vireo_times_bucket(u32 cycles)
{
	return __fls(cycles | 1);
}

/* The guest is about to be entered, in the inner loop; @left: when it was left, the low half of the TSC. */
static __always_inline void vireo_times_enter(struct vireo_vcpu *vcpu, u32 left)
{
	struct vireo_times *t = &vcpu->times;
	/* An odd number: what the bucket needs anyway. */
	const u32 cycles = (vireo_tsc_low() - left) | 1;
	const unsigned int reason = vcpu->exit.reason;

	t->cycles[reason] += cycles;
	t->histogram[reason][vireo_times_bucket(cycles)]++;
}

/* The same after vireo_times_leave(). */
void vireo_times_enter_again(struct vireo_vcpu *vcpu);

/* Out of the inner loop with an exit that came at @left. */
static __always_inline void vireo_times_leave(struct vireo_vcpu *vcpu, u32 left)
{
	const u64 now = rdtsc();

	vcpu->times.mark = now - ((u32)now - left);
}

/* VIREO_RUN begins, and ends. */
void vireo_times_begin(struct vireo_vcpu *vcpu);
void vireo_times_end(struct vireo_vcpu *vcpu);

/* The vCPU waits, and goes on. */
void vireo_times_wait(struct vireo_vcpu *vcpu);
void vireo_times_waited(struct vireo_vcpu *vcpu);

/**
 * vireo_stats_vcpu() - add a vCPU's counters
 * @vcpu: vCPU, whoever runs it
 * @values: by &enum vireo_nl_counter, VIREO_NL_COUNTER_MAX + 1 of them
 */
void vireo_stats_vcpu(const struct vireo_vcpu *vcpu, u64 *values);

/**
 * vireo_stats_vm() - add those of a VM that are not a vCPU's
 * @vm: VM
 * @values: as of vireo_stats_vcpu()
 */
void vireo_stats_vm(const struct vireo_vm *vm, u64 *values);

/**
 * vireo_stats_memory() - what memory a VM uses
 * @vm: VM
 * @values: out: by &enum vireo_nl_memory, VIREO_NL_MEMORY_MAX + 1 of them
 */
void vireo_stats_memory(struct vireo_vm *vm, u64 *values);

/* Pages of a VM that were found dirty, by whomever. */
u64 vireo_stats_dirtied(struct vireo_vm *vm);

/* Exits of a vCPU for which the processor left the guest. */
u64 vireo_stats_exits(const struct vireo_vcpu *vcpu);

/* As VIREO_GET_STATS has them, of whatever kind. */
u64 vireo_stats_faults(const struct vireo_counters *c);
u64 vireo_stats_injected(const struct vireo_counters *c);

#endif /* VIREO_STATS_H */

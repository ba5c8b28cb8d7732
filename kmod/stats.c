// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a vCPU's time goes, and what is counted of vCPUs and VMs, for those who ask.
 *
 * Readers take no lock that a vCPU takes: each value is true by itself, and the moment is not the same for all.
 */
#include <linux/module.h>
#include <asm/tsc.h>

#include "interpret.h"
#include "irq/lapic.h"
#include "mmu/mmu.h"
#include "mmu/track.h"
#include "region.h"
#include "stats.h"

DEFINE_STATIC_KEY_TRUE(vireo_timed);

void vireo_times_enter_again(struct vireo_vcpu *vcpu)
{
	struct vireo_times *t = &vcpu->times;
	const unsigned int reason = vcpu->exit.reason;
	u64 cycles = rdtsc() - t->mark;

	/* This CPU's TSC can be a little behind that of the last one. */
	if (unlikely((s64)cycles < 0))
		cycles = 0;
	t->cycles[reason] += cycles;
	t->histogram[reason][vireo_times_bucket(min_t(u64, cycles, U32_MAX))]++;
}

void vireo_times_begin(struct vireo_vcpu *vcpu)
{
	struct vireo_times *t = &vcpu->times;
	const u64 now = rdtsc();

	if (unlikely(!t->first)) {
		t->mark = now;
		WRITE_ONCE(t->first, now);
		return;
	}
	t->mark += now - t->away;
	WRITE_ONCE(t->user, vireo_watch_stop(t->user, now));
}

void vireo_times_end(struct vireo_vcpu *vcpu)
{
	struct vireo_times *t = &vcpu->times;
	const u64 now = rdtsc();

	t->away = now;
	WRITE_ONCE(t->user, vireo_watch_start(t->user, now));
}

void vireo_times_wait(struct vireo_vcpu *vcpu)
{
	struct vireo_times *t = &vcpu->times;
	const u64 now = rdtsc();

	t->away = now;
	WRITE_ONCE(t->halted, vireo_watch_start(t->halted, now));
}

void vireo_times_waited(struct vireo_vcpu *vcpu)
{
	struct vireo_times *t = &vcpu->times;
	const u64 now = rdtsc();

	t->mark += now - t->away;
	WRITE_ONCE(t->halted, vireo_watch_stop(t->halted, now));
}

u64 vireo_stats_exits(const struct vireo_vcpu *vcpu)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < VIREO_EXIT_HARDWARE_NR; i++)
		sum += READ_ONCE(vcpu->counters.exits[i]);
	return sum;
}

static u64 faults_of(const struct vireo_counters *c, u32 some, u32 none)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(c->faults); i++) {
		if ((!some || (i & some)) && !(i & none))
			sum += READ_ONCE(c->faults[i]);
	}
	return sum;
}

u64 vireo_stats_faults(const struct vireo_counters *c)
{
	return faults_of(c, 0, 0);
}

u64 vireo_stats_injected(const struct vireo_counters *c)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(c->injected); i++)
		sum += READ_ONCE(c->injected[i]);
	return sum;
}

static void stats_times(const struct vireo_vcpu *vcpu, u64 *values)
{
	const struct vireo_times *t = &vcpu->times;
	const u64 first = READ_ONCE(t->first);
	u64 now, user, halted;
	u32 i;

	if (!static_key_enabled(&vireo_timed) || !first)
		return;
	for (i = 0; i < VIREO_EXIT_HARDWARE_NR; i++)
		values[VIREO_NL_COUNTER_CYCLES_KERNEL] += READ_ONCE(t->cycles[i]);
	user = READ_ONCE(t->user);
	halted = READ_ONCE(t->halted);
	/* Behind them: none began later. */
	now = rdtsc_ordered();
	values[VIREO_NL_COUNTER_CYCLES_USER] += vireo_watch_read(user, now);
	values[VIREO_NL_COUNTER_CYCLES_HALTED] += vireo_watch_read(halted, now);
	values[VIREO_NL_COUNTER_CYCLES_ALL] += now - first;
}

void vireo_stats_vcpu(const struct vireo_vcpu *vcpu, u64 *values)
{
	const struct vireo_counters *c = &vcpu->counters;
	const u64 nmis = READ_ONCE(c->injected[VIREO_EVENT_NMI]), irqs = READ_ONCE(c->injected[VIREO_EVENT_IRQ]);

	values[VIREO_NL_COUNTER_ENTRIES] += vireo_stats_exits(vcpu);
	values[VIREO_NL_COUNTER_USER_EXITS] += READ_ONCE(c->user_exits);
	values[VIREO_NL_COUNTER_FAULTS_READ] += faults_of(c, 0, VIREO_ACCESS_WRITE | VIREO_ACCESS_EXEC);
	values[VIREO_NL_COUNTER_FAULTS_WRITE] += faults_of(c, VIREO_ACCESS_WRITE, 0);
	values[VIREO_NL_COUNTER_FAULTS_FETCH] += faults_of(c, VIREO_ACCESS_EXEC, VIREO_ACCESS_WRITE);
	values[VIREO_NL_COUNTER_FAULTS_TRACKED] += READ_ONCE(c->faults_tracked);
	values[VIREO_NL_COUNTER_FAULTS_MMIO] += READ_ONCE(c->faults_mmio);
	values[VIREO_NL_COUNTER_FAULTS_GUEST] += READ_ONCE(c->faults_guest);
	values[VIREO_NL_COUNTER_INJECTED_IRQ] += irqs;
	values[VIREO_NL_COUNTER_INJECTED_NMI] += nmis;
	values[VIREO_NL_COUNTER_INJECTED_EXCEPTION] += vireo_stats_injected(c) - irqs - nmis;
	values[VIREO_NL_COUNTER_IRQS_IPI] += READ_ONCE(c->ipis);
	values[VIREO_NL_COUNTER_IRQS_TIMER] += READ_ONCE(c->timers) + READ_ONCE(vcpu->lapic->fired);
	values[VIREO_NL_COUNTER_HALTS] += READ_ONCE(c->halts);
	values[VIREO_NL_COUNTER_HALT_POLLS] += READ_ONCE(c->halt_polls);
	values[VIREO_NL_COUNTER_HALT_HITS] += READ_ONCE(c->halt_hits);
	values[VIREO_NL_COUNTER_FLUSHES] += READ_ONCE(c->flushes);
	values[VIREO_NL_COUNTER_PV_FLUSHES] += READ_ONCE(c->pv_flushes);
	values[VIREO_NL_COUNTER_PV_EOIS] += READ_ONCE(c->pv_eois);
	values[VIREO_NL_COUNTER_YIELDS] += READ_ONCE(c->yields);
	values[VIREO_NL_COUNTER_INTERPRETED] += READ_ONCE(c->interpreted);
	values[VIREO_NL_COUNTER_DIRTIED] += READ_ONCE(c->dirtied);
	stats_times(vcpu, values);
}

void vireo_stats_vm(const struct vireo_vm *vm, u64 *values)
{
	int cpu;

	for_each_possible_cpu(cpu)
		values[VIREO_NL_COUNTER_IRQS_MSI] += READ_ONCE(per_cpu_ptr(vm->cpu, cpu)->msis);
}

static u64 tracking_bytes(const struct vireo_track *track, u64 pages)
{
	const u64 words = BITS_TO_LONGS(pages);
	u64 bytes = sizeof(*track);
	u32 i;

	for (i = 0; i < VIREO_TRACK_NR; i++) {
		if (track->by[i])
			bytes += (words + BITS_TO_LONGS(words)) * sizeof(long);
	}
	return bytes;
}

static u64 vcpu_bytes(const struct vireo_vcpu *vcpu)
{
	u64 bytes = sizeof(*vcpu) + VIREO_RUN_SIZE + sizeof(*vcpu->lapic) + vireo_caps.vcpu_bytes +
		    vcpu->fpu.fpstate->size;

	if (vcpu->apic_page)
		bytes += PAGE_SIZE;
	if (READ_ONCE(vcpu->interp))
		bytes += sizeof(*vcpu->interp);
	return bytes;
}

void vireo_stats_memory(struct vireo_vm *vm, u64 *values)
{
	struct vireo_mmu *mmu = &vm->mmu;
	const struct vireo_mem_map *map;
	struct vireo_vcpu *vcpu;
	u32 i;

	memset(values, 0, (VIREO_NL_MEMORY_MAX + 1) * sizeof(*values));
	rcu_read_lock();
	map = rcu_dereference(vm->mem);
	for (i = 0; i < map->nr; i++) {
		values[VIREO_NL_MEMORY_REGIONS] += map->mem[i].pages << PAGE_SHIFT;
		if (map->mem[i].track)
			values[VIREO_NL_MEMORY_TRACKING] += tracking_bytes(map->mem[i].track, map->mem[i].pages);
		if (mmu->shadow)
			values[VIREO_NL_MEMORY_TABLES] += vireo_shadow_frames_bytes(&map->mem[i]);
	}
	rcu_read_unlock();

	values[VIREO_NL_MEMORY_MAPPED_4K] = atomic_long_read(&mmu->pages[1]);
	values[VIREO_NL_MEMORY_MAPPED_2M] = atomic_long_read(&mmu->pages[2]);
	values[VIREO_NL_MEMORY_MAPPED_1G] = atomic_long_read(&mmu->pages[3]);
	values[VIREO_NL_MEMORY_TABLES] += atomic_long_read(&mmu->pages[0]) << PAGE_SHIFT;
	if (mmu->shadow)
		values[VIREO_NL_MEMORY_TABLES] += vireo_shadow_bytes(vm);
	values[VIREO_NL_MEMORY_SNAPSHOTS] = atomic_long_read(&vm->snapshot_bytes);
	vireo_for_each_vcpu(i, vcpu, vm) {
		values[VIREO_NL_MEMORY_VCPUS] += vcpu_bytes(vcpu);
		values[VIREO_NL_MEMORY_TRACKING] += READ_ONCE(vcpu->ring_bytes);
	}
	values[VIREO_NL_MEMORY_DIRTIED] = vireo_stats_dirtied(vm);
}

u64 vireo_stats_dirtied(struct vireo_vm *vm)
{
	struct vireo_vcpu *vcpu;
	u64 sum = 0;
	int cpu;
	u32 i;

	vireo_for_each_vcpu(i, vcpu, vm)
		sum += READ_ONCE(vcpu->counters.dirtied);
	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(vm->cpu, cpu)->dirtied);
	return sum;
}

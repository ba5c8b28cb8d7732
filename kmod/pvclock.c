// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paravirtual clock.
 *
 * A VM has one clock.  If the host itself tells the time by the TSC, the clock is
 * a function of the host's TSC from the moment it is set:
 *
 *	clock_offset + scale(TSC - clock_tsc, clock_khz)
 *
 * with the very multiplication that the guest does.  All vCPUs whose TSC has the
 * same offset then get the same pair (TSC, time) in their pages, which never has to be
 * renewed and can be read on any vCPU without comparing (PVCLOCK_TSC_STABLE_BIT).
 *
 * If the host does not trust its TSC, the clock is the host's raw monotonic clock with
 * the time in suspend, plus clock_offset; clock_tsc is 0.  Each page then holds a
 * sample, renewed when the vCPU changes CPU and every second or so; the guest
 * keeps its vCPUs from seeing time go backwards.
 *
 * A clock that loses its TSC goes over to the second form where it stands.
 */
#include <linux/ktime.h>
#include <linux/time64.h>
#include <linux/timekeeping.h>
#include <asm/msr.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include "backend.h"
#include "irq/irq.h"
#include "pvclock.h"

static_assert(sizeof(struct pvclock_vcpu_time_info) == 32);
static_assert(offsetof(struct pvclock_vcpu_time_info, tsc_timestamp) == 8);
static_assert(offsetof(struct pvclock_vcpu_time_info, flags) == 29);
static_assert(sizeof(struct pvclock_wall_clock) == 12);

/* vm->clock_tsc and vm->clock_offset, of all VMs: taken a few times per VM and second at most. */
static DEFINE_RAW_SPINLOCK(vireo_pvclock_lock);

/**
 * vireo_pvclock_scale() - factors that turn TSC ticks into ns
 * @khz: frequency of the TSC, not 0
 * @mul: ns = (ticks shifted left by @shift, right if negative) * @mul >> 32
 * @shift: such that bit 31 of @mul is set, so that @mul is exact to 2^-32
 */
void vireo_pvclock_scale(u32 khz, u32 *mul, s8 *shift)
{
	u64 ns = NSEC_PER_MSEC, ticks = khz;
	s8 s = 0;

	/* ns / ticks in [1/2, 1) */
	while (ns >= ticks) {
		ticks <<= 1;
		s++;
	}
	while (ns * 2 < ticks) {
		ns <<= 1;
		s--;
	}
	/* Nearest, but what rounds up to 1 does not fit. */
	*mul = min(div64_u64((ns << 32) + ticks / 2, ticks), (u64)U32_MAX);
	*shift = s;
}

/* ns on the host's clock, which goes on during suspend and is not slewed. */
static u64 vireo_host_ns(void)
{
	return ktime_get_raw_ns() + ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
}

/*
 * Does the host keep time by the TSC?  No exported function tells for all kernels;
 * but a snapshot shows the counter, and no other counter lies between two
 * readings of the TSC.
 */
static bool vireo_host_tsc_stable(void)
{
	struct system_time_snapshot snapshot;
	u64 before, after;

	if (check_tsc_unstable())
		return false;
	before = rdtsc_ordered();
	ktime_get_snapshot(&snapshot);
	after = rdtsc_ordered();
	return snapshot.cycles >= before && snapshot.cycles <= after;
}

/* Under the lock: the clock at a reading of both host clocks. */
static u64 vireo_pvclock_at(const struct vireo_vm *vm, u64 tsc, u64 host_ns)
{
	u32 mul;
	s8 shift;

	if (!vm->clock_tsc)
		return host_ns + vm->clock_offset;
	vireo_pvclock_scale(vm->clock_khz, &mul, &shift);
	/* Not before it was set, should two CPUs' TSCs differ by a tick. */
	tsc = max(tsc, vm->clock_tsc);
	return vm->clock_offset + pvclock_scale_delta(tsc - vm->clock_tsc, mul, shift);
}

/* Under the lock: the host no longer trusts its TSC. */
static void vireo_pvclock_leave_tsc(struct vireo_vm *vm)
{
	u64 host_ns = vireo_host_ns();

	WRITE_ONCE(vm->clock_offset, vireo_pvclock_at(vm, rdtsc_ordered(), 0) - host_ns);
	WRITE_ONCE(vm->clock_tsc, 0);
}

void vireo_pvclock_changed(struct vireo_vm *vm)
{
	struct vireo_vcpu *vcpu;
	u32 i;

	vireo_for_each_vcpu(i, vcpu, vm) {
		if (READ_ONCE(vcpu->pvclock_msr) & 1)
			vireo_request(vcpu, VIREO_REQ_CLOCK);
	}
}

u64 vireo_pvclock_now(struct vireo_vm *vm)
{
	unsigned long flags;
	u64 ns;

	raw_spin_lock_irqsave(&vireo_pvclock_lock, flags);
	ns = vireo_pvclock_at(vm, rdtsc_ordered(), vm->clock_tsc ? 0 : vireo_host_ns());
	raw_spin_unlock_irqrestore(&vireo_pvclock_lock, flags);
	return ns;
}

static void vireo_pvclock_anchor(struct vireo_vm *vm, u64 ns)
{
	bool stable = vireo_host_tsc_stable();
	unsigned long flags;

	raw_spin_lock_irqsave(&vireo_pvclock_lock, flags);
	if (stable) {
		WRITE_ONCE(vm->clock_offset, ns);
		WRITE_ONCE(vm->clock_tsc, rdtsc_ordered() ?: 1);
		/* The host may yet find a better figure; what is told to the guest stays. */
		vm->clock_khz = max(tsc_khz, 1U);
	} else {
		WRITE_ONCE(vm->clock_offset, ns - vireo_host_ns());
		WRITE_ONCE(vm->clock_tsc, 0);
	}
	raw_spin_unlock_irqrestore(&vireo_pvclock_lock, flags);
}

void vireo_pvclock_set(struct vireo_vm *vm, u64 ns)
{
	vireo_pvclock_anchor(vm, ns);
	vireo_pvclock_changed(vm);
}

void vireo_pvclock_keep(struct vireo_vm *vm, struct vireo_pvclock_point *point)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&vireo_pvclock_lock, flags);
	point->clock_tsc = vm->clock_tsc;
	point->clock_offset = vm->clock_offset;
	point->clock_khz = vm->clock_khz;
	point->tsc = rdtsc_ordered();
	point->ns = vireo_pvclock_at(vm, point->tsc, vm->clock_tsc ? 0 : vireo_host_ns());
	raw_spin_unlock_irqrestore(&vireo_pvclock_lock, flags);
}

u64 vireo_pvclock_back(struct vireo_vm *vm, const struct vireo_pvclock_point *point)
{
	const u64 now = rdtsc_ordered(), ticks = now - point->tsc;
	unsigned long flags;

	/* Not if the host's TSC has begun anew since. */
	if (likely(vm->clock_tsc && point->clock_tsc && point->clock_tsc + ticks <= now)) {
		raw_spin_lock_irqsave(&vireo_pvclock_lock, flags);
		WRITE_ONCE(vm->clock_tsc, point->clock_tsc + ticks);
		WRITE_ONCE(vm->clock_offset, point->clock_offset);
		vm->clock_khz = point->clock_khz;
		raw_spin_unlock_irqrestore(&vireo_pvclock_lock, flags);
	} else {
		vireo_pvclock_set(vm, point->ns);
	}
	return ticks;
}

void vireo_pvclock_suspend(struct vireo_suspend *at)
{
	at->tsc = rdtsc_ordered();
	at->ns = ktime_get_boottime_ns();
}

void vireo_pvclock_resume(struct vireo_vm *vm, const struct vireo_suspend *at)
{
	u64 tsc = rdtsc_ordered(), slept = ktime_get_boottime_ns() - at->ns;
	u64 back = at->tsc > tsc ? at->tsc - tsc : 0;
	struct vireo_vcpu *vcpu;
	u32 i;

	/* A clock that is not the TSC's follows the host's by itself. */
	if (vm->clock_tsc)
		vireo_pvclock_anchor(vm, vireo_pvclock_at(vm, at->tsc, 0) + slept);
	vm->tsc_base -= back;
	/* No kick: all threads are frozen, and look at their requests when they go on. */
	vireo_for_each_vcpu(i, vcpu, vm) {
		vcpu->tsc_offset += back;
		vcpu->tsc_stale = true;
		vireo_request_set(vcpu, VIREO_REQ_CLOCK);
	}
}

/*
 * One page serves all vCPUs (in the guest's vDSO) only if all have one TSC.  Without TSC
 * scaling all tick as the host's, so that their offsets make the only difference.
 */
static bool vireo_pvclock_one_tsc(struct vireo_vcpu *vcpu)
{
	struct vireo_vcpu *other;
	u32 i;

	vireo_for_each_vcpu(i, other, vcpu->vm) {
		if (READ_ONCE(other->tsc_offset) != vcpu->tsc_offset)
			return false;
	}
	return true;
}

/* All but the version.  Interrupts on or off. */
void vireo_pvclock_fill(struct vireo_vcpu *vcpu, struct pvclock_vcpu_time_info *page)
{
	struct vireo_vm *vm = vcpu->vm;
	bool stable = vireo_host_tsc_stable(), left = false;
	unsigned long flags;
	u32 mul, khz;
	u64 tsc, ns;
	s8 shift;

	raw_spin_lock_irqsave(&vireo_pvclock_lock, flags);
	if (vm->clock_tsc && !stable) {
		vireo_pvclock_leave_tsc(vm);
		left = true;
	}
	if (vm->clock_tsc) {
		tsc = vm->clock_tsc;
		ns = vm->clock_offset;
		khz = vm->clock_khz;
	} else {
		tsc = rdtsc_ordered();
		ns = vireo_pvclock_at(vm, tsc, vireo_host_ns());
		khz = max(tsc_khz, 1U);
	}
	page->flags = vm->clock_tsc && vireo_pvclock_one_tsc(vcpu) ? PVCLOCK_TSC_STABLE_BIT : 0;
	raw_spin_unlock_irqrestore(&vireo_pvclock_lock, flags);

	page->tsc_timestamp = tsc + vcpu->tsc_offset;
	page->system_time = ns;
	vireo_pvclock_scale(khz, &mul, &shift);
	page->tsc_to_system_mul = mul;
	page->tsc_shift = shift;
	if (left) {
		pr_info("%s: the host's TSC is not stable any more, the guest's clock is sampled\n",
			vm->name);
		vireo_pvclock_changed(vm);
	}
}

/* The odd version that follows what stands in guest memory, whoever wrote it. */
static int vireo_pvclock_begin(struct vireo_vcpu *vcpu, u64 gpa, u32 *version)
{
	int r = vireo_read_gpa(vcpu, gpa, version, sizeof(*version));

	if (r)
		return r;
	*version = (*version + 1) | 1;
	return vireo_write_gpa(vcpu, gpa, version, sizeof(*version));
}

/*
 * Odd version, contents, even version: a reader that sees the same even version
 * before and after has read one update.
 */
static void vireo_pvclock_write(struct vireo_vcpu *vcpu, u64 gpa, void *data, size_t len)
{
	u32 version;

	/* The guest named the address: if there is no memory, that is its own doing. */
	if (vireo_pvclock_begin(vcpu, gpa, &version))
		return;
	/* Pairs with the guest's reads: version, contents, version. */
	smp_wmb();
	vireo_write_gpa(vcpu, gpa + sizeof(version), data + sizeof(version),
			len - sizeof(version));
	/* Likewise. */
	smp_wmb();
	version++;
	vireo_write_gpa(vcpu, gpa, &version, sizeof(version));
}

void vireo_pvclock_update(struct vireo_vcpu *vcpu)
{
	struct pvclock_vcpu_time_info page = {};
	u64 msr = vcpu->pvclock_msr;

	if (unlikely(vcpu->tsc_stale)) {
		vcpu->tsc_stale = false;
		preempt_disable();
		vireo_backend_write_tsc_offset(vcpu);
		preempt_enable();
		vireo_lapic_tsc_changed(vcpu);
	}
	if (!(msr & 1))
		return;
	WRITE_ONCE(vcpu->pvclock_stamp, jiffies);
	vireo_pvclock_fill(vcpu, &page);
	vireo_pvclock_write(vcpu, msr & ~1ULL, &page, sizeof(page));
}

/* What the guest adds to its clock to have the time of day. */
static void vireo_wall_clock_write(struct vireo_vcpu *vcpu, u64 gpa)
{
	struct vireo_vm *vm = vcpu->vm;
	struct pvclock_wall_clock wall = {};
	struct timespec64 start;
	unsigned long flags;
	int idx;

	local_irq_save(flags);
	start = ns_to_timespec64(ktime_get_real_ns() - vireo_pvclock_now(vm));
	local_irq_restore(flags);
	wall.sec = start.tv_sec;
	wall.nsec = start.tv_nsec;

	idx = srcu_read_lock(&vm->srcu);
	vireo_pvclock_write(vcpu, gpa, &wall, sizeof(wall));
	srcu_read_unlock(&vm->srcu, idx);
}

int vireo_pvclock_msr_read(struct vireo_vcpu *vcpu, u32 index, u64 *data)
{
	switch (index) {
	case MSR_KVM_SYSTEM_TIME_NEW:
	case MSR_KVM_SYSTEM_TIME:
		*data = vcpu->pvclock_msr;
		return 0;
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_WALL_CLOCK:
		*data = READ_ONCE(vcpu->vm->wall_clock_gpa);
		return 0;
	}
	return -ENOENT;
}

int vireo_pvclock_msr_write(struct vireo_vcpu *vcpu, u32 index, u64 data)
{
	switch (index) {
	case MSR_KVM_SYSTEM_TIME_NEW:
	case MSR_KVM_SYSTEM_TIME:
		WRITE_ONCE(vcpu->pvclock_msr, data);
		if (data & 1)
			vireo_request_set(vcpu, VIREO_REQ_CLOCK);
		return 0;
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_WALL_CLOCK:
		if (irqs_disabled())
			return -EAGAIN;
		WRITE_ONCE(vcpu->vm->wall_clock_gpa, data);
		if (data)
			vireo_wall_clock_write(vcpu, data);
		return 0;
	}
	return -ENOENT;
}

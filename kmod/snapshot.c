// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots of a VM, to which it can go back: the ioctls, and the state of vCPUs.
 *
 * State is what state blocks hold, but kept in the kernel, where no checks are due, and with time as differences to the
 * host's TSC: all vCPUs' TSCs and the clock go back by the very same number of ticks, so what the guest has in memory of them
 * stays right.
 *
 * Locking: vm->lock and the mutexes of all vCPUs, which are only tried.
 */
#include <linux/slab.h>
#include <asm/msr-index.h>

#include "core.h"
#include "interpret.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "mmu/rollback.h"
#include "paravirt.h"
#include "pvclock.h"
#include "snapshot.h"

/* MSRs that the backends hold, for comparing: @raw has them, too. */
static const u32 point_msrs[] = {
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP, MSR_STAR, MSR_LSTAR, MSR_CSTAR,
	MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE, MSR_TSC_AUX, MSR_IA32_DEBUGCTLMSR,
};

/* Requests that stand for work which was still to be done. */
#define POINT_REQUESTS	(BIT(VIREO_REQ_CLOCK) | BIT(VIREO_REQ_STEAL) | BIT(VIREO_REQ_INTERPRET))

/* A vCPU: blocks; then what has the names that it has in struct vireo_vcpu */
struct point_vcpu {
	struct vireo_regs regs;
	struct vireo_sregs sregs;
	struct vireo_raw raw;
	struct vireo_debugregs debugregs;
	struct vireo_events events;
	struct vireo_lapic lapic;
	u8 values[sizeof_field(struct vireo_vcpu, msr_values)] __aligned(8);
	u64 msr[ARRAY_SIZE(point_msrs)];	/* 0: the processor does not have it */
	u64 tsc_adjust, xss, pvclock_msr, steal_msr, pv_eoi_msr;
	u64 tsc_offset;
	unsigned long requests;
	bool steal_flag;
	u32 fpu_size;
	u8 fpu[] __aligned(64);			/* as the kernel keeps the guest's */
};

/**
 * struct point_state - a VM
 * @bytes: of all that
 * @clock: paravirtual clock, and when it was
 * @wall_clock_gpa: as in struct vireo_vm
 * @level_sent: likewise
 * @vcpu: by id
 */
struct point_state {
	u64 bytes;
	struct vireo_pvclock_point clock;
	u64 wall_clock_gpa;
	unsigned long level_sent[4];
	struct point_vcpu *vcpu[VIREO_MAX_VCPUS];
};

static struct point_vcpu *point_vcpu_alloc(const struct vireo_vcpu *vcpu)
{
	const u32 size = vcpu->fpu.fpstate->size;
	struct point_vcpu *p = kvzalloc(struct_size(p, fpu, size), GFP_KERNEL_ACCOUNT);

	if (p)
		p->fpu_size = size;
	return p;
}

static void point_state_free(struct point_state *state)
{
	u32 i;

	for (i = 0; i < VIREO_MAX_VCPUS; i++)
		kvfree(state->vcpu[i]);
	kvfree(state);
}

/*
 * Components in their initial state are not looked at by the processor, and what guests cannot have does not matter: so most need
 * no more than the part that all have, and AVX, which comes next in either format.
 */
static u32 point_fpu_used(const struct vireo_vcpu *vcpu, const struct point_vcpu *p)
{
	const u32 common = offsetof(struct xregs_state, extended_state_area);
	const struct xregs_state *x = (const void *)p->fpu;
	u64 used;

	if (p->fpu_size < common || !boot_cpu_has(X86_FEATURE_XSAVE))
		return p->fpu_size;
	used = x->header.xfeatures & vcpu->caps.xcr0_allowed & ~(u64)XFEATURE_MASK_FPSSE;
	if (used & ~(u64)XFEATURE_MASK_YMM)
		return p->fpu_size;
	return used ? common + sizeof(struct ymmh_struct) : common;
}

/* Eight bytes an instruction, also where memcpy() does without string instructions. */
static void point_fpu_copy(void *to, const void *from, u32 size)
{
	unsigned long words = size / 8;

	asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

/* Loaded. */
static void point_read(struct vireo_vcpu *vcpu, struct point_vcpu *p)
{
	u32 i;

	/* What it settles of paravirtual EOIs, and of NMIs, is part of all the others. */
	vireo_lapic_get_state(vcpu, &p->lapic);
	vireo_get_regs(vcpu, &p->regs);
	vireo_get_sregs(vcpu, &p->sregs);
	vireo_backend_get_raw(vcpu, &p->raw);
	vireo_get_debugregs(vcpu, &p->debugregs);
	vireo_get_events(vcpu, &p->events);
	memcpy(p->values, &vcpu->msr_values, sizeof(p->values));
	for (i = 0; i < ARRAY_SIZE(point_msrs); i++) {
		if (vireo_backend_get_msr(vcpu, point_msrs[i], &p->msr[i]))
			p->msr[i] = 0;
	}
	p->tsc_adjust = vcpu->tsc_adjust;
	p->xss = vcpu->xss;
	p->pvclock_msr = vcpu->pvclock_msr;
	p->steal_msr = vcpu->steal_msr;
	p->pv_eoi_msr = vireo_lapic_get_pv_eoi(vcpu);
	memcpy(p->fpu, &vcpu->fpu.fpstate->regs, p->fpu_size);
}

/* Not loaded: the thread's comings and goings write to the page that @steal_flag is about. */
static void point_read_rest(const struct vireo_vcpu *vcpu, struct point_vcpu *p)
{
	p->tsc_offset = vcpu->tsc_offset;
	p->steal_flag = vcpu->steal_flag;
	p->requests = READ_ONCE(vcpu->requests) & POINT_REQUESTS;
}

/*
 * Loaded.  @ticks: of the host's TSC since then.  In the order of vireo_vcpu_set_state(); what is not written are
 * values that are the same.
 */
static void point_write(struct vireo_vcpu *vcpu, const struct point_vcpu *p, u64 ticks)
{
	const u64 pat = vcpu->pat;

	memcpy(&vcpu->msr_values, p->values, sizeof(p->values));
	if (unlikely(vcpu->pat != pat))
		vireo_backend_set_msr(vcpu, MSR_IA32_CR_PAT, vcpu->pat);
	vcpu->tsc_adjust = p->tsc_adjust;
	vcpu->xss = p->xss;
	WRITE_ONCE(vcpu->pvclock_msr, p->pvclock_msr);
	vcpu->steal_msr = p->steal_msr;
	/* It was legal then. */
	if (unlikely(vireo_lapic_get_pv_eoi(vcpu) != p->pv_eoi_msr))
		vireo_lapic_set_pv_eoi(vcpu, p->pv_eoi_msr);

	vireo_back_sregs(vcpu, &p->sregs, &p->raw);
	vireo_set_regs(vcpu, &p->regs);
	vireo_set_debugregs(vcpu, &p->debugregs);
	point_fpu_copy(&vcpu->fpu.fpstate->regs, p->fpu, point_fpu_used(vcpu, p));
	WRITE_ONCE(vcpu->tsc_offset, p->tsc_offset - ticks);
	vireo_backend_write_tsc_offset(vcpu);
	/* Its timer starts when the vCPU runs, so by the TSC as it is now. */
	vireo_lapic_set_state(vcpu, &p->lapic);
	vireo_set_events(vcpu, &p->events);
	if (unlikely(vcpu->interp))
		vireo_interp_flush(vcpu);
}

static void point_write_rest(struct vireo_vcpu *vcpu, const struct point_vcpu *p)
{
	unsigned int req;

	vcpu->steal_flag = p->steal_flag;
	if (likely(!p->requests))
		return;
	for_each_set_bit(req, &p->requests, BITS_PER_LONG)
		vireo_request_set(vcpu, req);
}

/* Parts to compare, and which block to name. */
static const struct {
	u16 at, len, block;
} point_parts[] = {
#define PART(member, type) { offsetof(struct point_vcpu, member), sizeof_field(struct point_vcpu, member), type }
	PART(regs, VIREO_BLOCK_REGS),
	PART(sregs, VIREO_BLOCK_SREGS),
	PART(debugregs, VIREO_BLOCK_DEBUGREGS),
	PART(events, VIREO_BLOCK_EVENTS),
	PART(lapic, VIREO_BLOCK_LAPIC),
	PART(values, VIREO_BLOCK_MSRS),
	PART(msr, VIREO_BLOCK_MSRS),
	PART(tsc_adjust, VIREO_BLOCK_MSRS),
	PART(xss, VIREO_BLOCK_MSRS),
	PART(pvclock_msr, VIREO_BLOCK_MSRS),
	PART(steal_msr, VIREO_BLOCK_MSRS),
	PART(pv_eoi_msr, VIREO_BLOCK_MSRS),
#undef PART
};

/* 0, -EIO (@arg says what differs), -ENOMEM. */
static int point_compare(struct vireo_vcpu *vcpu, const struct point_vcpu *p, struct vireo_snapshot *arg)
{
	struct point_vcpu *now = point_vcpu_alloc(vcpu);
	u32 i, block = 0;

	if (!now)
		return -ENOMEM;
	vireo_vcpu_load(vcpu);
	point_read(vcpu, now);
	vireo_vcpu_put(vcpu);
	for (i = 0; !block && i < ARRAY_SIZE(point_parts); i++) {
		if (memcmp((u8 *)now + point_parts[i].at, (const u8 *)p + point_parts[i].at, point_parts[i].len))
			block = point_parts[i].block;
	}
	if (!block && memcmp(now->fpu, p->fpu, point_fpu_used(vcpu, p)))
		block = VIREO_BLOCK_XSAVE;
	kvfree(now);
	if (!block)
		return 0;
	arg->block = block;
	arg->vcpu = vcpu->id;
	return -EIO;
}

/* ------------------------------------------------------------------ */
/* All vCPUs                                                            */

static void vcpus_unlock(struct vireo_vm *vm, u32 end)
{
	struct vireo_vcpu *vcpu;
	u32 i;

	vireo_for_each_vcpu(i, vcpu, vm) {
		if (i >= end)
			break;
		mutex_unlock(&vcpu->mutex);
	}
}

/* Nobody is in any of them; none is added, as vm->lock is held. */
static int vcpus_lock(struct vireo_vm *vm)
{
	struct vireo_vcpu *vcpu;
	u32 i;

	lockdep_assert_held(&vm->lock);
	vireo_for_each_vcpu(i, vcpu, vm) {
		if (!mutex_trylock(&vcpu->mutex)) {
			vcpus_unlock(vm, i);
			return -EBUSY;
		}
	}
	return 0;
}

static struct vireo_point *point_find(struct vireo_vm *vm, u32 id)
{
	struct vireo_point *point;

	list_for_each_entry(point, &vm->points, list) {
		if (!id || point->id == id)
			return point;
	}
	return NULL;
}

static void point_free(struct vireo_vm *vm, struct vireo_point *point)
{
	const struct point_state *state = point->state;

	atomic_long_sub(state->bytes, &vm->snapshot_bytes);
	point_state_free(point->state);
	kfree(point);
}

/* ------------------------------------------------------------------ */
/* The ioctls                                                           */

static int point_take_state(struct vireo_vm *vm, struct point_state *state)
{
	struct vireo_vcpu *vcpu;
	u32 i;

	vireo_for_each_vcpu(i, vcpu, vm) {
		/* Half an instruction is no state. */
		if (vcpu->complete)
			return -EAGAIN;
		state->vcpu[i] = point_vcpu_alloc(vcpu);
		if (!state->vcpu[i])
			return -ENOMEM;
		state->bytes += struct_size(state->vcpu[i], fpu, state->vcpu[i]->fpu_size);
	}
	state->bytes += sizeof(*state);
	vireo_for_each_vcpu(i, vcpu, vm) {
		vireo_vcpu_load(vcpu);
		point_read(vcpu, state->vcpu[i]);
		vireo_vcpu_put(vcpu);
		point_read_rest(vcpu, state->vcpu[i]);
	}
	vireo_pvclock_keep(vm, &state->clock);
	state->wall_clock_gpa = READ_ONCE(vm->wall_clock_gpa);
	memcpy(state->level_sent, vm->level_sent, sizeof(state->level_sent));
	return 0;
}

static int point_take(struct vireo_vm *vm, struct vireo_snapshot *arg)
{
	struct point_state *state = kvzalloc(sizeof(*state), GFP_KERNEL_ACCOUNT);
	struct vireo_point *point = kzalloc(sizeof(*point), GFP_KERNEL_ACCOUNT);
	struct vireo_vcpu *vcpu;
	int r = -ENOMEM;
	u32 i;

	if (!state || !point)
		goto free;
	r = point_take_state(vm, state);
	if (r)
		goto free;
	point->state = state;
	point->id = ++vm->last_point ?: ++vm->last_point;
	r = vireo_rollback_begin(vm, point, arg->flags & VIREO_SNAPSHOT_VERIFY);
	if (r)
		goto free;
	atomic_long_add(state->bytes, &vm->snapshot_bytes);
	vm->nr_points++;
	/* What state depends on stays as it is. */
	vireo_for_each_vcpu(i, vcpu, vm)
		vcpu->has_run = true;
	arg->id = point->id;
	return 0;
free:
	if (state)
		point_state_free(state);
	kfree(point);
	return r;
}

int vireo_snapshot_take(struct vireo_vm *vm, struct vireo_snapshot *arg)
{
	int r;

	lockdep_assert_held(&vm->lock);
	if ((arg->flags & ~VIREO_SNAPSHOT_VERIFY) || arg->pad)
		return -EINVAL;
	if (vm->nr_points == VIREO_MAX_SNAPSHOTS)
		return -ENOSPC;
	r = vcpus_lock(vm);
	if (r)
		return r;
	r = point_take(vm, arg);
	vcpus_unlock(vm, VIREO_MAX_VCPUS);
	return r;
}

static int point_back_memory(struct vireo_vm *vm, struct vireo_point *point, u64 *pages)
{
	struct vireo_point *newest;
	bool popped = false;
	int r;

	for (;;) {
		r = vireo_rollback_memory(vm, pages);
		newest = vireo_point_newest(vm);
		if (r || newest == point)
			break;
		vireo_rollback_pop(vm);
		point_free(vm, newest);
		vm->nr_points--;
		popped = true;
	}
	vireo_rollback_end(vm, popped);
	return r;
}

static int point_back(struct vireo_vm *vm, struct vireo_point *point, struct vireo_snapshot *arg)
{
	struct point_state *state = point->state;
	struct vireo_vcpu *vcpu;
	u64 ticks;
	u32 i;
	int r;

	ticks = vireo_pvclock_back(vm, &state->clock);
	WRITE_ONCE(vm->wall_clock_gpa, state->wall_clock_gpa);
	memcpy(vm->level_sent, state->level_sent, sizeof(vm->level_sent));
	vireo_for_each_vcpu(i, vcpu, vm) {
		vireo_vcpu_load(vcpu);
		point_write(vcpu, state->vcpu[i], ticks);
		vireo_vcpu_put(vcpu);
	}
	/* It may write to memory, as does that a vCPU is loaded: memory comes last. */
	for (i = 0, r = 0; !r && point->refs && (vcpu = vireo_vcpu_next(vm, &i)); i++)
		r = point_compare(vcpu, state->vcpu[i], arg);
	vireo_for_each_vcpu(i, vcpu, vm)
		point_write_rest(vcpu, state->vcpu[i]);
	arg->pages = 0;
	r = point_back_memory(vm, point, &arg->pages) ?: r;
	return r || likely(!point->refs) ? r : vireo_rollback_verify(vm, point, &arg->gpa);
}

int vireo_snapshot_back(struct vireo_vm *vm, struct vireo_snapshot *arg)
{
	struct vireo_point *point;
	int r;

	lockdep_assert_held(&vm->lock);
	if (arg->flags || arg->pad)
		return -EINVAL;
	point = point_find(vm, arg->id);
	if (!point)
		return -ENOENT;
	r = vcpus_lock(vm);
	if (r)
		return r;
	r = point_back(vm, point, arg);
	vcpus_unlock(vm, VIREO_MAX_VCPUS);
	return r;
}

int vireo_snapshot_drop(struct vireo_vm *vm, const struct vireo_snapshot *arg)
{
	struct vireo_point *point;
	int r;

	lockdep_assert_held(&vm->lock);
	if (arg->flags || arg->pad)
		return -EINVAL;
	point = point_find(vm, arg->id);
	if (!point)
		return -ENOENT;
	r = vcpus_lock(vm);
	if (r)
		return r;
	vireo_rollback_drop(vm, point);
	vm->nr_points--;
	point_free(vm, point);
	vcpus_unlock(vm, VIREO_MAX_VCPUS);
	return 0;
}

void vireo_snapshot_destroy(struct vireo_vm *vm)
{
	struct vireo_point *point, *next;

	list_for_each_entry_safe(point, next, &vm->points, list) {
		vireo_rollback_free(vm, point);
		point_free(vm, point);
	}
}

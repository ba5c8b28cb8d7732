// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who gets an interrupt: ICR and MSI (SDM vol. 3, 11.6 and 11.11).
 *
 * There are at most 64 vCPUs, so a set of destinations is one word.  Physical
 * destinations and x2APIC's logical ones follow from the ids; xAPIC's logical
 * destinations need the LDR of every vCPU.  A sender caches them, and
 * vm->apic_logical_gen tells it when to look again; an MSI has no sender to keep a
 * cache and asks each vCPU.
 */
#include <linux/nospec.h>

#include "lapic.h"

static_assert(VIREO_MAX_VCPUS == 64, "sets of vCPUs are u64");

#define LAPIC_BROADCAST		0xffU		/* xAPIC, MSI */
#define LAPIC_BROADCAST_X2	0xffffffffU
#define LAPIC_ALL		U64_MAX

#define DFR_FLAT		0xf0000000U
#define DFR_CLUSTER		0x00000000U
#define DFR_MODEL		0xf0000000U

/* Delivery modes (SDM vol. 3, figure 11-12) */
enum {
	LAPIC_FIXED, LAPIC_LOWEST, LAPIC_SMI, LAPIC_REMOTE_READ,
	LAPIC_NMI, LAPIC_INIT_MODE, LAPIC_STARTUP, LAPIC_EXTINT,
};

static_assert(APIC_DM_NMI >> 8 == LAPIC_NMI && APIC_DM_STARTUP >> 8 == LAPIC_STARTUP);

void lapic_logical_changed(struct vireo_vcpu *vcpu)
{
	/* After the change itself: xadd is a full barrier. */
	xadd(&vcpu->vm->apic_logical_gen, 1);
}

/* Does this vCPU answer to a logical destination?  Any context. */
bool lapic_logical_match(struct vireo_vcpu *vcpu, u32 dest)
{
	const struct vireo_lapic_state *l = vcpu->lapic;
	u32 ldr, dfr;

	if (READ_ONCE(l->mode) & LAPIC_X2)
		return dest >> 16 == vcpu->id >> 4 && (dest & 1U << (vcpu->id & 15));
	if (dest > 0xff)
		return false;
	ldr = READ_ONCE(l->ldr) >> 24;
	dfr = READ_ONCE(l->dfr) & DFR_MODEL;
	if (dfr == DFR_FLAT)
		return ldr & dest;
	if (dfr == DFR_CLUSTER)
		return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
	return false;
}

static noinline void lapic_logical_rebuild(struct vireo_vm *vm, struct lapic_logical *map, u64 gen)
{
	struct vireo_vcpu *vcpu;
	u32 i, bit, ldr, dfr;

	memset(map, 0, sizeof(*map));
	map->gen = gen;
	vireo_for_each_vcpu(i, vcpu, vm) {
		const struct vireo_lapic_state *l = vcpu->lapic;

		if (READ_ONCE(l->mode) & LAPIC_X2) {
			map->x2 |= BIT_ULL(i);
			continue;
		}
		ldr = READ_ONCE(l->ldr) >> 24;
		dfr = READ_ONCE(l->dfr) & DFR_MODEL;
		for (bit = 0; bit < 8; bit++) {
			if (!(ldr & 1U << bit))
				continue;
			if (dfr == DFR_FLAT)
				map->flat[bit] |= BIT_ULL(i);
			else if (dfr == DFR_CLUSTER && bit < 4)
				map->cluster[ldr >> 4][bit] |= BIT_ULL(i);
		}
	}
}

/* All that lapic_logical_match() would say yes to; own thread of @vcpu. */
u64 lapic_logical_targets(struct vireo_vcpu *vcpu, u32 dest)
{
	struct lapic_logical *map = &vcpu->lapic->logical;
	u64 gen = READ_ONCE(vcpu->vm->apic_logical_gen), targets = 0;
	u32 bits;

	/* A change after this read makes another generation, and the next call rebuilds. */
	if (unlikely(map->gen != gen)) {
		/* Pairs with the xadd in lapic_logical_changed(). */
		smp_rmb();
		lapic_logical_rebuild(vcpu->vm, map, gen);
	}

	if (dest >> 16 < VIREO_MAX_VCPUS / 16)
		targets = (u64)(dest & 0xffff) << (dest >> 16) * 16 & map->x2;
	if (dest <= 0xff) {
		/* Masked again: the guest chose it and the processor may guess the branch. */
		for (bits = dest & 0xff; bits; bits &= bits - 1)
			targets |= map->flat[__ffs(bits)];
		for (bits = dest & 0xf; bits; bits &= bits - 1)
			targets |= map->cluster[dest >> 4 & 0xf][__ffs(bits)];
	}
	return targets;
}

/* As above for a message that no vCPU sends. */
static u64 lapic_logical_scan(struct vireo_vm *vm, u32 dest)
{
	struct vireo_vcpu *vcpu;
	u64 targets = 0;
	u32 i;

	vireo_for_each_vcpu(i, vcpu, vm) {
		if (lapic_logical_match(vcpu, dest))
			targets |= BIT_ULL(i);
	}
	return targets;
}

static u64 lapic_physical_targets(u32 dest)
{
	return dest < VIREO_MAX_VCPUS ? BIT_ULL(dest) : 0;
}

/* One message arrives at one APIC.  Any context. */
static bool lapic_deliver(struct vireo_vcpu *vcpu, u32 mode, u8 vector, bool level)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	int old, new;

	if (mode <= LAPIC_LOWEST)
		return lapic_accept(vcpu, vector, level);
	if (!(READ_ONCE(l->mode) & LAPIC_ON))
		return false;

	switch (mode) {
	case LAPIC_NMI:
		/* The processor remembers one beside the one in service. */
		atomic_add_unless(&vcpu->nmi_queued, 1, 2);
		break;
	case LAPIC_INIT_MODE:
		/* A SIPI from before does not survive. */
		atomic_set(&l->init_sipi, LAPIC_INIT);
		break;
	case LAPIC_STARTUP:
		old = atomic_read(&l->init_sipi);
		do {
			if (old & LAPIC_SIPI)
				return true;
			new = (old & LAPIC_INIT) | LAPIC_SIPI | vector;
		} while (!atomic_try_cmpxchg(&l->init_sipi, &old, new));
		break;
	default:
		/* SMI: there is no SMM.  ExtINT: the 8259 is the launcher's. */
		return false;
	}
	vireo_request(vcpu, VIREO_REQ_EVENT);
	return true;
}

/*
 * Lowest priority: among those that would take it, the lowest processor priority
 * class; among equals in turn (SDM vol. 3, 11.6.2.4).
 */
static u64 lapic_arbitrate(struct vireo_vm *vm, u64 targets)
{
	struct vireo_vcpu *vcpu, *first = NULL;
	u32 best = U32_MAX, limit, i, turn, rank, winner = 0;

	while (targets) {
		i = __ffs64(targets);
		targets &= targets - 1;
		vcpu = vireo_vcpu_by_id(vm, i);
		if (!vcpu || !(READ_ONCE(vcpu->lapic->mode) & LAPIC_SW))
			continue;
		if (!first)
			first = vcpu;
		limit = lapic_assist_limit(vcpu);
		turn = (i - READ_ONCE(first->lapic->last) - 1) & (VIREO_MAX_VCPUS - 1);
		rank = limit << 8 | turn;
		if (rank < best) {
			best = rank;
			winner = i;
		}
	}
	if (!first)
		return 0;
	WRITE_ONCE(first->lapic->last, winner);
	return BIT_ULL(winner);
}

static int lapic_deliver_all(struct vireo_vm *vm, u64 targets, u32 mode, u8 vector, bool level)
{
	u32 nr = READ_ONCE(vm->nr_vcpus);
	struct vireo_vcpu *vcpu;
	int taken = 0;

	/* Only to save steps: vireo_vcpu_by_id() knows who is there. */
	if (nr < VIREO_MAX_VCPUS)
		targets &= BIT_ULL(nr) - 1;
	if (mode == LAPIC_LOWEST && (targets & (targets - 1)))
		targets = lapic_arbitrate(vm, targets);
	while (targets) {
		vcpu = vireo_vcpu_by_id(vm, __ffs64(targets));
		targets &= targets - 1;
		if (vcpu)
			taken += lapic_deliver(vcpu, mode, vector, level);
	}
	return taken;
}

/*
 * ICR was written; @wide: in x2APIC mode, with a 32-bit destination.  What table
 * 11-3 calls invalid is either harmless and done, or ignored.
 */
void lapic_send_ipi(struct vireo_vcpu *vcpu, u32 low, u32 dest, bool wide)
{
	u32 mode = (low & APIC_MODE_MASK) >> 8, shorthand = low & APIC_DEST_ALLBUT;
	u64 targets;
	u8 vector = low;

	switch (mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		if (vector < LAPIC_FIRST_VECTOR) {
			lapic_error(vcpu, APIC_ESR_SENDILL);
			return;
		}
		break;
	case LAPIC_INIT_MODE:
		/* INIT level de-assert does nothing since the Pentium 4 (SDM vol. 3, 11.6.1). */
		if ((low & APIC_INT_LEVELTRIG) && !(low & APIC_INT_ASSERT))
			return;
		fallthrough;
	case LAPIC_STARTUP:
		if (shorthand == APIC_DEST_SELF || shorthand == APIC_DEST_ALLINC)
			return;
		break;
	case LAPIC_NMI:
		break;
	default:
		return;
	}

	switch (shorthand) {
	case APIC_DEST_SELF:
		if (mode <= LAPIC_LOWEST) {
			vcpu->counters.ipis += lapic_accept_self(vcpu, vector);
			return;
		}
		targets = BIT_ULL(vcpu->id);
		break;
	case APIC_DEST_ALLINC:
		targets = LAPIC_ALL;
		break;
	case APIC_DEST_ALLBUT:
		targets = ~BIT_ULL(vcpu->id);
		break;
	default:
		if (dest == (wide ? LAPIC_BROADCAST_X2 : LAPIC_BROADCAST))
			targets = LAPIC_ALL;
		else if (low & APIC_DEST_LOGICAL)
			targets = lapic_logical_targets(vcpu, dest);
		else
			targets = lapic_physical_targets(dest);
		break;
	}
	/* IPIs are edge-triggered whatever the trigger-mode bit says (SDM vol. 3, 11.6.1). */
	vcpu->counters.ipis += lapic_deliver_all(vcpu->vm, targets, mode, vector, false);
}

int vireo_lapic_send_ipis(struct vireo_vm *vm, u64 targets, u32 icr)
{
	return lapic_deliver_all(vm, targets, (icr & APIC_MODE_MASK) >> 8, icr, false);
}

int vireo_send_msi(struct vireo_vm *vm, u64 address, u32 data)
{
	/* SDM vol. 3, figures 11-14, 11-15; destination bits 8 to 31 as in KVM's x2APIC ABI. */
	u32 dest = (address >> 12 & 0xff) | (address >> 32 & 0xffffff00);
	u32 mode = data >> 8 & 7;
	bool logical = address & BIT(2), redirect = address & BIT(3), level = data & BIT(15);
	u64 targets;

	if ((address & 0xfff00000) != APIC_DEFAULT_PHYS_BASE)
		return 0;
	/* A message for the falling level is of no use to a local APIC. */
	if (level && !(data & BIT(14)))
		return 0;
	if (mode == LAPIC_STARTUP || mode == LAPIC_REMOTE_READ)
		return 0;
	if (mode == LAPIC_FIXED && logical && redirect)
		mode = LAPIC_LOWEST;

	if (dest == LAPIC_BROADCAST || dest == LAPIC_BROADCAST_X2)
		targets = LAPIC_ALL;
	else if (logical)
		targets = lapic_logical_scan(vm, dest);
	else
		targets = lapic_physical_targets(dest);
	return lapic_deliver_all(vm, targets, mode, data, level);
}

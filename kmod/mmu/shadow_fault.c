// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults of a guest that runs on shadow tables.
 *
 * The walk of the guest's tables, without a lock, says whose fault it is.  If the guest's tables
 * allow the access, the lock is taken and the same path is built in the shadow: each
 * entry of the guest's is read once more, now that writes to it are noticed, and if it
 * has changed since the walk all starts again.  How the host's page is found, and why no reference to it
 * is needed, is as for nested tables: fault.c.
 *
 * The processor always runs with WP set.  A page that only CR0.WP = 0 lets the supervisor write is in the shadow either as the
 * guest's tables say or, after such a write, writable and the supervisor's alone: no combination of rights in one entry would
 * say both, so the access that the other form allows faults and turns it round.  As only the leaf can be turned, links of such
 * tables allow writes, and what the guest's say of that is part of the role.  With SMEP or SMAP a page of the user's
 * must not look like one of the supervisor's; there such a write is interpreted.
 *
 * Where all tables are there and only a leaf is missing, or rights in it, mmu->lock held for reading is enough, so that vCPUs
 * fault in parallel.  All else takes it for writing; with interrupts off it is only tried.
 */
#include <linux/mem_encrypt.h>
#include <linux/sched/signal.h>
#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../backend.h"
#include "host.h"
#include "notifier.h"
#include "rollback.h"
#include "shadow.h"
#include "track.h"

/* Error code of a page fault: SDM vol. 3, 4.7. */
#define ERROR_WRITE	BIT(1)
#define ERROR_USER	BIT(2)
#define ERROR_FETCH	BIT(4)

/* Answers of map_locked() beyond those of host.h */
enum {
	MAP_TABLE = MAP_NO_PAGE + 1,	/* a write to a table of the guest's: interpret */
	MAP_FLUSH,			/* interrupts must be on for a flush */
	MAP_EXCLUSIVE,			/* mmu->lock must be held for writing */
};

/**
 * struct shadow_fault - a fault while it is worked on
 * @gva: linear address
 * @access: VIREO_ACCESS_*
 * @walk: what the guest's tables say
 * @entries: and which entries said it
 * @map: regions
 * @mem: the one that holds the page
 * @gfn: guest frame of the page
 * @hva: its user address
 */
struct shadow_fault {
	u64 gva;
	u32 access;
	struct vireo_walk walk;
	struct vireo_walk_entry entries[VIREO_WALK_LEVELS];
	const struct vireo_mem_map *map;
	const struct vireo_mem *mem;
	u64 gfn;
	unsigned long hva;
};

static int shadow_error(const struct shadow_page *sp)
{
	return PTR_ERR(sp) == -ENOMEM ? MAP_NO_PAGE : PTR_ERR(sp) == -EBUSY ? MAP_BUSY : MAP_FLUSH;
}

/* The four of a guest outside of long mode: that for the address, made if need be. */
static int fault_pd(struct vireo_vcpu *vcpu, const struct shadow_fault *f, struct shadow_page **sp)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	const unsigned int i = (u32)f->gva >> 30;
	const struct vireo_mem *mem = NULL;
	union shadow_role role;
	u64 gfn;

	if (!shadow_pd_role(vcpu, i, f->entries[2].value, &gfn, &role))
		return MAP_BUSY;
	*sp = sv->pd[i];
	if (likely(*sp && (*sp)->gfn == gfn && !(*sp)->invalid))
		return 0;
	if (role.format != SHADOW_DIRECT) {
		mem = vireo_mem_find(f->map, gfn);
		if (!mem)
			return MAP_BUSY;
	}
	*sp = shadow_get(vcpu->vm, mem, gfn, role);
	if (IS_ERR(*sp))
		return shadow_error(*sp);
	shadow_set_pd(vcpu, i, *sp);
	return 0;
}

/* Does entry @i lead to that page already? */
static struct shadow_page *shadow_linked(const struct shadow_page *sp, unsigned int i, u64 gfn,
					 union shadow_role role)
{
	u64 entry = sp->table[i];
	struct shadow_page *child;

	if (!entry || shadow_is_leaf(sp, entry))
		return NULL;
	child = shadow_child(entry);
	return child->gfn == gfn && child->role.word == role.word ? child : NULL;
}

/* Largest leaf for the fault; @host_level is that of the host's. */
static int fault_level(struct vireo_vcpu *vcpu, const struct shadow_fault *f, int host_level)
{
	const union shadow_role role = { .word = vcpu->shadow.role };
	int level = host_level, most = vcpu->vm->mmu.shadow->max_level;

	if (role.format < SHADOW_4LEVEL)
		most = min(most, 2);
	if (role.format != SHADOW_DIRECT)
		most = min_t(int, most, f->walk.level);
	level = min(level, most);
	if (unlikely(vcpu->vm->mmu.shadow->large_drop) && (f->access & VIREO_ACCESS_EXEC))
		level = 1;
	if (unlikely(f->mem->track) && (f->access & VIREO_ACCESS_WRITE))
		level = 1;
	/* A table in it would make all of it read-only. */
	while (level > 1 && (!mem_fits(f->mem, f->gfn, level) ||
			     shadow_frame_has_tables(shadow_frame(f->mem, f->gfn, level))))
		level--;
	return level;
}

/*
 * Small pages stay where they are mapped, as long as there are any: code among them could not
 * be mapped otherwise, and the host gives notice when it makes them one large page.
 */
static __always_inline bool has_small(const struct shadow_page *sp, unsigned int i)
{
	u64 entry = READ_ONCE(sp->table[i]);

	return sp->role.level > 1 && entry && !shadow_is_leaf(sp, entry) &&
	       !bitmap_empty(shadow_child(entry)->used, SHADOW_ENTRIES);
}

/* The guest's entry behind entry @i, once more.  False: it has changed since the walk. */
static __always_inline bool entry_again(const struct shadow_fault *f, const struct shadow_page *sp,
					unsigned int i, u64 *guest)
{
	if (shadow_is_direct(sp)) {
		*guest = PT_PRESENT | PT_WRITE | PT_USER | PT_DIRTY;
		return true;
	}
	return shadow_guest_entry(sp, i, guest) && (*guest & PT_ACCESSED) &&
	       !((*guest ^ f->entries[sp->role.level - 1].value) & ~(PT_ACCESSED | PT_DIRTY));
}

/* What the leaf may be for this access: the guest's entry, but for CR0.WP = 0. */
static __always_inline u64 leaf_rights(const struct shadow_fault *f, const struct shadow_page *sp, u64 guest)
{
	if (likely(!sp->role.wp0) || (!sp->role.readonly && (guest & PT_WRITE)))
		return guest;
	if ((f->access & (VIREO_ACCESS_WRITE | VIREO_ACCESS_USER)) == VIREO_ACCESS_WRITE)
		return (guest | PT_WRITE) & ~PT_USER;
	return guest & ~PT_WRITE;
}

/* Where entry @i, that of the fault, leads to in a shadow.  Return: the link's rights. */
static __always_inline u64 child_of(const struct shadow_fault *f, const struct shadow_page *sp,
				    unsigned int i, u64 guest, u64 *gfn, union shadow_role *role)
{
	const int level = sp->role.level;
	u64 bits = guest & PT_RIGHTS;

	if (shadow_is_direct(sp) || level == f->walk.level) {
		/* A large page that the host has in smaller ones. */
		role->word = 0;
		bits = leaf_rights(f, sp, guest) & PT_RIGHTS;
		*gfn = f->gfn & ~(tdp_pages(level) - 1);
		if (!(guest & PT_DIRTY))
			bits &= ~PT_WRITE;
	} else {
		*role = sp->role;
		if (role->format == SHADOW_2LEVEL)
			role->quadrant = i & 1;
		if (unlikely(role->wp0)) {
			role->readonly |= !(bits & PT_WRITE);
			bits |= PT_WRITE;
		}
		*gfn = (guest & PT_ADDRESS) >> PAGE_SHIFT;
	}
	role->level = level - 1;
	return bits;
}

/*
 * The entry that a leaf of *@level, or of less, goes into.  Return: 0 with *@sp, and the guest's entry for it, or what a direct one
 * allows, in *@guest; MAP_*.
 */
static int fault_path(struct vireo_vcpu *vcpu, const struct shadow_fault *f, int *level,
		      struct shadow_page **sp, u64 *guest)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	struct vireo_vm *vm = vcpu->vm;
	int l, r;

	*sp = sv->root;
	if (!*sp) {
		r = fault_pd(vcpu, f, sp);
		if (r)
			return r;
	}
	for (l = (*sp)->role.level; ; l--) {
		const unsigned int i = shadow_index(f->gva, l);
		const struct vireo_mem *mem = NULL;
		struct shadow_page *child;
		union shadow_role role;
		u64 bits, gfn;

		if (!entry_again(f, *sp, i, guest))
			return MAP_BUSY;
		if (l == *level) {
			if (likely(!has_small(*sp, i)))
				return 0;
			--*level;
		}

		bits = child_of(f, *sp, i, *guest, &gfn, &role);
		child = shadow_linked(*sp, i, gfn, role);
		if (unlikely(!child)) {
			if (role.format != SHADOW_DIRECT) {
				mem = vireo_mem_find(f->map, gfn);
				if (!mem)
					return MAP_BUSY;
			}
			child = shadow_get(vm, mem, gfn, role);
			if (IS_ERR(child))
				return shadow_error(child);
			/* What nobody used nobody has brought into step. */
			if (!list_empty(&child->unsync))
				shadow_clear_all(vm, child);
		}
		shadow_link(vm, *sp, i, child, bits);
		*sp = child;
	}
}

/* Neighbours in the same table that the guest and the host have present. */
static void fault_around(struct vireo_vcpu *vcpu, const struct shadow_fault *f,
			 struct shadow_page *sp)
{
	const u64 reserved = (~vcpu->caps.phys_mask & PT_ADDRESS) |
			     (sp->role.format == SHADOW_PAE ? GENMASK_ULL(62, 52) : 0) |
			     (sp->role.nx ? 0 : PT_NX);
	const unsigned int at = shadow_index(f->gva, 1);
	unsigned int i = at & ~(SHADOW_AROUND - 1), end = i + SHADOW_AROUND;
	const u64 need = PT_PRESENT | PT_ACCESSED;
	struct vireo_vm *vm = vcpu->vm;

	for (; i < end; i++) {
		const struct vireo_mem *mem;
		u64 guest, gfn, host, *hostp;
		unsigned long hva;
		int level;

		if (sp->table[i])
			continue;
		if (shadow_is_direct(sp)) {
			guest = PT_WRITE | PT_USER | PT_DIRTY;
			gfn = sp->gfn + i;
		} else {
			if (!shadow_guest_entry(sp, i, &guest))
				return;
			if ((guest & need) != need || (guest & reserved))
				continue;
			gfn = (guest & PT_ADDRESS) >> PAGE_SHIFT;
			if (sp->role.readonly)
				guest &= ~PT_WRITE;
		}
		mem = vireo_mem_holds(f->mem, gfn) ? f->mem : vireo_mem_find(f->map, gfn);
		if (!mem)
			continue;
		hva = vireo_mem_hva(mem, gfn);
		level = host_leaf(vm->mm, hva, &host, &hostp);
		if (!level || (host & (HOST_NEED | HOST_ODD)) != HOST_NEED ||
		    vireo_invalidating(&vm->mmu, hva, hva + PAGE_SIZE))
			continue;
		guest &= PT_RIGHTS | PT_DIRTY;
		if (!(guest & PT_DIRTY) || !host_writable(host) ||
		    (mem->flags & VIREO_REGION_READONLY) || !vireo_track_writable(&vm->mmu, mem) ||
		    !shadow_may_write(vm, mem, gfn))
			guest &= ~PT_WRITE;
		/* Not accessed yet, as far as anybody knows. */
		shadow_add_leaf(vm, mem, sp, i, gfn, PT_PRESENT | (guest & PT_RIGHTS) |
				(host_page(host, level, hva) & PTE_PFN_MASK));
	}
}

/* What the guest's entry, and the region, make of a leaf. */
static u64 leaf_flags(const struct vireo_mmu *mmu, const struct shadow_fault *f, u64 guest, int level)
{
	u64 flags = PT_PRESENT | PT_ACCESSED | (guest & (PT_USER | PT_NX));

	if ((guest & PT_DIRTY) && !(f->mem->flags & VIREO_REGION_READONLY) &&
	    (!f->mem->track || (f->access & VIREO_ACCESS_WRITE) || (level == 1 && vireo_track_writable(mmu, f->mem))))
		flags |= guest & PT_WRITE;
	if (level > 1)
		flags |= PT_LARGE | mmu->shadow->large_drop;
	if (f->access & VIREO_ACCESS_WRITE)
		flags |= PT_DIRTY;
	return flags;
}

/* A fault has found its page mapped. */
static void count_tracked(struct vireo_vcpu *vcpu, const struct shadow_fault *f)
{
	if ((f->access & VIREO_ACCESS_WRITE) && f->mem->track)
		vcpu->counters.faults_tracked++;
}

/* A leaf for a page of the host's that is at @pa, of @level at most; lock held, interrupts on or off. */
static int map_leaf(struct vireo_vcpu *vcpu, const struct shadow_fault *f, u64 pa, int level,
		    bool writable, u64 flags, struct shadow_page **sp)
{
	const bool write = f->access & VIREO_ACCESS_WRITE;
	struct vireo_vm *vm = vcpu->vm;
	unsigned long span;
	u64 guest;
	int r;

	level = fault_level(vcpu, f, level);
	span = tdp_pages(level) << PAGE_SHIFT;
	if (vireo_invalidating(&vm->mmu, f->hva & ~(span - 1), (f->hva | (span - 1)) + 1))
		return MAP_BUSY;
	r = fault_path(vcpu, f, &level, sp, &guest);
	if (r)
		return r;
	span = tdp_pages(level) << PAGE_SHIFT;
	if (write && !(guest & PT_DIRTY))
		return MAP_BUSY;

	flags |= leaf_flags(&vm->mmu, f, leaf_rights(f, *sp, guest), level);
	if ((flags & PT_WRITE) && !writable)
		flags &= ~PT_WRITE;
	if ((flags & PT_WRITE) && unlikely(!shadow_may_write(vm, f->mem, f->gfn))) {
		if (!write) {
			flags &= ~PT_WRITE;
		} else if (!shadow_unsync(vm, f->gfn)) {
			/*
			 * Not an instruction's own write but one of the processor's, for
			 * an event: there is nothing to interpret.
			 */
			if (!vcpu->event_pending)
				return MAP_TABLE;
			shadow_zap_table(vm, f->gfn);
			return MAP_BUSY;
		}
	}
	if (write && (flags & PT_WRITE))
		vireo_track_mark(vcpu, f->mem, f->gfn);
	if (shadow_set_leaf(vm, f->mem, *sp, shadow_index(f->gva, level),
			    f->gfn & ~(tdp_pages(level) - 1), __sme_set(pa & ~(u64)(span - 1)) | flags))
		count_tracked(vcpu, f);
	vireo_count_fault(vcpu, f->access);
	return VIREO_FAULT_FIXED;
}

/* Nothing can be done before; lock held. */
static int map_begin(struct vireo_vcpu *vcpu, const struct vireo_mem_map *map)
{
	struct vireo_vm *vm = vcpu->vm;

	if (unlikely(rcu_access_pointer(vm->mem) != map))
		return MAP_BUSY;
	/* A root that was cut off, or none yet: the guest finds it when it tries again. */
	if (unlikely(vireo_request_test(vcpu, VIREO_REQ_ROOT)))
		return VIREO_FAULT_FIXED;
	if (unlikely(vm->mmu.shadow->owed) && !shadow_flush(vm))
		return MAP_FLUSH;
	shadow_make_room(vm, SHADOW_NEED);
	/* Room may have been made where this vCPU's root was. */
	if (unlikely(vireo_request_test(vcpu, VIREO_REQ_ROOT)))
		return VIREO_FAULT_FIXED;
	return -1;
}

/*
 * The leaf alone, lock held for reading.  Return: as map_locked(), or MAP_EXCLUSIVE: that is not enough.
 */
static int map_shared(struct vireo_vcpu *vcpu, const struct shadow_fault *f)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	struct vireo_vm *vm = vcpu->vm;
	u64 host = 0, *hostp, guest, flags;
	enum shadow_added added;
	struct shadow_page *sp;
	unsigned long span;
	int level, l;

	if (unlikely(rcu_access_pointer(vm->mem) != f->map))
		return MAP_BUSY;
	sp = sv->root ?: sv->pd[(u32)f->gva >> 30];
	if (unlikely(!sp || vm->mmu.shadow->owed || vireo_request_test(vcpu, VIREO_REQ_ROOT)))
		return MAP_EXCLUSIVE;
	/* PAE's top level is not followed: its table may be another by now. */
	if (unlikely(!sv->root && !shadow_is_direct(sp) && sp->role.format == SHADOW_PAE &&
		     sp->gfn != (f->entries[2].value & PT_ADDRESS) >> PAGE_SHIFT))
		return MAP_EXCLUSIVE;
	level = host_resident(vm->mm, f->hva, f->access & VIREO_ACCESS_WRITE, &host, &hostp);
	if (unlikely(level < 0))
		return -level;
	host = host_page(host, level, f->hva);
	level = fault_level(vcpu, f, level);
	span = tdp_pages(level) << PAGE_SHIFT;
	if (vireo_invalidating(&vm->mmu, f->hva & ~(span - 1), (f->hva | (span - 1)) + 1))
		return MAP_BUSY;

	for (l = sp->role.level; ; l--) {
		const unsigned int i = shadow_index(f->gva, l);
		union shadow_role role;
		struct shadow_page *child;
		u64 gfn, bits;

		if (!entry_again(f, sp, i, &guest))
			return MAP_BUSY;
		if (l == level) {
			if (likely(!has_small(sp, i)))
				break;
			level--;
		}
		bits = child_of(f, sp, i, guest, &gfn, &role);
		child = shadow_linked(sp, i, gfn, role);
		if (!child || ((READ_ONCE(sp->table[i]) ^ bits) & PT_RIGHTS))
			return MAP_EXCLUSIVE;
		sp = child;
	}

	if ((f->access & VIREO_ACCESS_WRITE) && !(guest & PT_DIRTY))
		return MAP_BUSY;
	flags = leaf_flags(&vm->mmu, f, leaf_rights(f, sp, guest), level);
	if (!host_writable(host))
		flags &= ~PT_WRITE;
	if ((flags & PT_WRITE) && unlikely(!shadow_may_write(vm, f->mem, f->gfn))) {
		if (f->access & VIREO_ACCESS_WRITE)
			return MAP_EXCLUSIVE;
		flags &= ~PT_WRITE;
	}
	if ((f->access & VIREO_ACCESS_WRITE) && (flags & PT_WRITE))
		vireo_track_mark(vcpu, f->mem, f->gfn);
	added = shadow_add_leaf(vm, f->mem, sp, shadow_index(f->gva, level),
				f->gfn & ~(tdp_pages(level) - 1),
				__sme_set(host & PTE_PFN_MASK & PAGE_MASK &
					  ~((tdp_pages(level) << PAGE_SHIFT) - 1)) | flags);
	if (added == SHADOW_CONFLICT)
		return MAP_EXCLUSIVE;
	sp->old = false;
	if (added != SHADOW_NOTHING)
		vireo_count_fault(vcpu, f->access);
	if (added == SHADOW_GAINED)
		count_tracked(vcpu, f);
	if (level == 1)
		fault_around(vcpu, f, sp);
	return VIREO_FAULT_FIXED;
}

static int map_locked(struct vireo_vcpu *vcpu, const struct shadow_fault *f)
{
	const bool fast = irqs_disabled();
	struct shadow_page *sp;
	u64 host = 0, *hostp;
	int level, r;

	r = map_begin(vcpu, f->map);
	if (r >= 0)
		return r;
	/*
	 * What is there stays while the lock is held; only the way to it may be freed, which
	 * interrupts being off prevents.
	 */
	if (!fast)
		local_irq_disable();
	level = host_resident(vcpu->vm->mm, f->hva, f->access & VIREO_ACCESS_WRITE, &host, &hostp);
	if (!fast)
		local_irq_enable();
	if (unlikely(level < 0))
		return -level;
	r = map_leaf(vcpu, f, host_page(host, level, f->hva) & PTE_PFN_MASK, level,
		     host_writable(host), 0, &sp);
	if (r != VIREO_FAULT_FIXED || sp->role.level > 1)
		return r;
	if (!fast)
		local_irq_disable();
	fault_around(vcpu, f, sp);
	if (!fast)
		local_irq_enable();
	return r;
}

/* Beside other vCPUs, if that is possible. */
static int map_parallel(struct vireo_vcpu *vcpu, const struct shadow_fault *f)
{
	struct vireo_mmu *mmu = &vcpu->vm->mmu;
	const bool fast = irqs_disabled();
	int r;

	if (fast) {
		if (unlikely(!read_trylock(&mmu->lock)))
			return MAP_BUSY;
	} else {
		/* The lock first: its holder may need our CPU to take interrupts. */
		read_lock(&mmu->lock);
		local_irq_disable();
	}
	r = map_shared(vcpu, f);
	if (!fast)
		local_irq_enable();
	read_unlock(&mmu->lock);
	return r;
}

static int map_odd(struct vireo_vcpu *vcpu, const struct vireo_odd *odd, void *data)
{
	struct vireo_mmu *mmu = &vcpu->vm->mmu;
	const struct shadow_fault *f = data;
	struct shadow_page *sp;
	int r;

	write_lock(&mmu->lock);
	r = map_begin(vcpu, odd->map);
	if (r < 0) {
		r = MAP_BUSY;
		if (mmu->invalidate_seq == odd->seq)
			r = map_leaf(vcpu, f, (u64)odd->pfn << PAGE_SHIFT, 1, odd->writable,
				     odd->device ? PT_PWT | PT_PCD : 0, &sp);
	}
	write_unlock(&mmu->lock);
	return r;
}

/* The mode as the walk wants it.  What the error code does not tell matters to SMAP alone. */
static const struct vireo_mode *fault_mode(struct vireo_vcpu *vcpu, u32 error, u32 *access)
{
	struct vireo_mode *mode = &vcpu->shadow.mode;

	if (unlikely(mode->cr4 & X86_CR4_SMAP) && !(error & ERROR_USER)) {
		vireo_backend_read_mode(vcpu, &vcpu->mode);
		if (vcpu->mode.cpl == 3)
			*access |= VIREO_ACCESS_IMPLICIT;
		return &vcpu->mode;
	}
	return mode;
}

/* A table that cannot be read: MMIO to a processor, or the launcher has taken its memory away. */
static noinline enum vireo_fault fault_no_table(struct vireo_vcpu *vcpu, u64 gpa)
{
	if (!vireo_vcpu_mem(vcpu, gpa >> PAGE_SHIFT))
		return VIREO_FAULT_MMIO;
	snprintf(vcpu->run->error, sizeof(vcpu->run->error),
		 "the guest's page table at %#llx is in memory that is not accessible", gpa);
	return VIREO_FAULT_ERROR;
}

enum vireo_fault vireo_shadow_fault(struct vireo_vcpu *vcpu, u64 gva, u32 error, u64 *gpa)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	const union shadow_role base = { .word = sv->role };
	const bool fast = irqs_disabled();
	struct vireo_vm *vm = vcpu->vm;
	const struct vireo_mode *mode;
	struct shadow_fault f;
	int round, r;

	f.gva = gva;
	f.access = error & ERROR_WRITE ? VIREO_ACCESS_WRITE :
		   error & ERROR_FETCH ? VIREO_ACCESS_EXEC : VIREO_ACCESS_READ;
	if (error & ERROR_USER)
		f.access |= VIREO_ACCESS_USER;
	mode = fault_mode(vcpu, error, &f.access);
	*gpa = VIREO_EMU_NO_GPA;

	for (round = 0; ; round++) {
		if (sv->mode.cr0 & X86_CR0_PG) {
			r = vireo_walk_path(vcpu, mode, gva, f.access, fast, &f.walk, f.entries);
			if (r == -EFAULT) {
				vireo_queue_page_fault(vcpu, gva, f.walk.error);
				vcpu->counters.faults_guest++;
				return VIREO_FAULT_FIXED;
			}
			if (r == -EAGAIN)
				return VIREO_FAULT_RETRY;
			if (r)
				return fault_no_table(vcpu, f.walk.gpa);
			if ((f.access & VIREO_ACCESS_WRITE) &&
			    !(f.walk.pte_access & VIREO_ACCESS_WRITE) &&
			    !base.wp0) {
				*gpa = f.walk.gpa;
				return VIREO_FAULT_MMIO;
			}
		} else {
			f.walk.gpa = (u32)gva;
			f.walk.level = 1;
			f.entries[2].value = 0;
		}
		*gpa = f.walk.gpa;
		f.gfn = f.walk.gpa >> PAGE_SHIFT;
		f.map = vireo_mem_map_inline(vm);
		f.mem = fault_region(vcpu, f.map, f.gfn, f.access);
		if (!f.mem)
			return VIREO_FAULT_MMIO;
		f.hva = vireo_mem_hva(f.mem, f.gfn);
		if (unlikely((f.access & VIREO_ACCESS_WRITE) && f.mem->track) &&
		    !vireo_rollback_kept(vm, f.mem, f.gfn)) {
			if (fast)
				return VIREO_FAULT_RETRY;
			r = vireo_rollback_keep_fault(vcpu, f.mem, f.gfn);
			if (r)
				return r;
		}

		r = map_parallel(vcpu, &f);
		if (r == MAP_EXCLUSIVE) {
			if (!fast && shadow_fill_spare(vm))
				return VIREO_FAULT_NOMEM;
			if (!vireo_shadow_lock(vm))
				return VIREO_FAULT_RETRY;
			r = map_locked(vcpu, &f);
			shadow_check_sometimes(vm);
			write_unlock(&vm->mmu.lock);
		}

		if (r == MAP_TABLE)
			return VIREO_FAULT_MMIO;
		if (r <= VIREO_FAULT_SIGNAL)
			return r;
		if (fast)
			return VIREO_FAULT_RETRY;
		if (r == MAP_ABSENT || r == MAP_ODD) {
			r = vireo_bring_in(vcpu, f.map, f.gfn, f.hva, f.access & VIREO_ACCESS_WRITE,
					   r == MAP_ODD || round >= MAP_ROUNDS, map_odd, &f);
			if (r == MAP_TABLE)
				return VIREO_FAULT_MMIO;
			if (r <= VIREO_FAULT_SIGNAL)
				return r;
		}
		if (round ? signal_pending(current) : fatal_signal_pending(current))
			return VIREO_FAULT_SIGNAL;
		cond_resched();
	}
}

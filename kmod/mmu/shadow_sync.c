// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow tables in step with the guest's.
 *
 * A guest's table that has a shadow is write-protected.  A write to one of level 2 or higher is
 * interpreted, and what it changed is taken out of the shadow.  A table of level 1 goes
 * out of sync instead: it becomes writable, and its shadow is compared with it when the
 * guest flushes, as a TLB would be emptied then.  So a guest that writes hundreds of entries and flushes once
 * costs two exits, not hundreds.
 *
 * Locking: mmu->lock held for writing, but for the functions that take it: vireo_shadow_*().  With
 * interrupts off they only try, and say -EAGAIN.
 */
#include <linux/mem_encrypt.h>
#include <linux/uaccess.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../backend.h"
#include "shadow.h"

bool __vireo_shadow_lock(struct vireo_vm *vm)
{
	/* The holder may need our CPU to take an interrupt. */
	if (irqs_disabled()) {
		if (!write_trylock(&vm->mmu.lock))
			return false;
	} else {
		write_lock(&vm->mmu.lock);
	}
	/* For sparse: the macro says that it is held. */
	__release(&vm->mmu.lock);
	return true;
}

bool shadow_guest_entry(const struct shadow_page *sp, unsigned int i, u64 *entry)
{
	const unsigned long user = sp->hva + shadow_guest_offset(sp, i);
	bool got = false;
	u32 narrow;
	u64 wide;

	pagefault_disable();
	__uaccess_begin_nospec();
	if (sp->role.format == SHADOW_2LEVEL) {
		unsafe_get_user(narrow, (const u32 __user *)user, fault);
		*entry = narrow;
	} else {
		unsafe_get_user(wide, (const u64 __user *)user, fault);
		*entry = wide;
	}
	got = true;
fault:
	__uaccess_end();
	pagefault_enable();
	return got;
}

u64 shadow_agree(const struct shadow_page *sp, unsigned int i, u64 entry, u64 guest)
{
	const u64 need = PT_PRESENT | PT_ACCESSED;
	u64 new;

	if ((guest & need) != need || (guest & PT_ADDRESS) >> PAGE_SHIFT != sp->gfns[i])
		return 0;
	/* Reserved bits; those of the address have just been compared. */
	if ((guest & PT_NX) && !sp->role.nx)
		return 0;
	if (sp->role.format == SHADOW_PAE && (guest & GENMASK_ULL(62, 52)))
		return 0;
	if (unlikely(sp->role.wp0) && (sp->role.readonly || !(guest & PT_WRITE))) {
		/* The form that is the supervisor's alone, and the other */
		if ((entry & (PT_WRITE | PT_USER)) == PT_WRITE && (guest & PT_DIRTY))
			return (entry & ~PT_NX) | (guest & PT_NX);
		guest &= ~PT_WRITE;
	}
	new = (entry & ~PT_RIGHTS) | (guest & (PT_USER | PT_NX));
	if (guest & PT_DIRTY)
		new |= entry & guest & PT_WRITE;
	return new;
}

/* Compare a table of level 1 with the guest's: the frame is write-protected, and all TLBs know. */
static void shadow_resync(struct vireo_vm *vm, struct shadow_page *sp)
{
	unsigned int i;

	for_each_set_bit(i, sp->used, SHADOW_ENTRIES) {
		u64 entry = READ_ONCE(sp->table[i]), guest, new;

		if (!shadow_guest_entry(sp, i, &guest)) {
			shadow_clear_all(vm, sp);
			return;
		}
		new = shadow_agree(sp, i, entry, guest);
		if (!new) {
			shadow_clear(vm, sp, i);
		} else if (((new ^ entry) & PT_RIGHTS)) {
			shadow_replace(vm, vireo_mem_find(shadow_map(vm), sp->gfns[i]), sp, i, new);
			vm->mmu.shadow->stale = true;
		}
	}
}

bool shadow_may_write(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gfn)
{
	struct shadow_page *sp;

	if (likely(!shadow_frame_has_tables(shadow_frame(mem, gfn, 1))))
		return true;
	hlist_for_each_entry(sp, shadow_bucket(vm->mmu.shadow, gfn), hash) {
		if (sp->gfn == gfn && !shadow_is_direct(sp) && list_empty(&sp->unsync))
			return false;
	}
	return true;
}

/* Does anything lead to it? */
static bool shadow_unused(const struct shadow_page *sp)
{
	return !sp->parents && !sp->roots;
}

bool shadow_unsync(struct vireo_vm *vm, u64 gfn)
{
	struct vireo_shadow *s = vm->mmu.shadow;
	struct shadow_page *sp;
	struct hlist_node *n;

	hlist_for_each_entry_safe(sp, n, shadow_bucket(s, gfn), hash) {
		if (sp->gfn != gfn || shadow_is_direct(sp))
			continue;
		/* A table of a process that has ended, most likely: the page is something else now. */
		if (shadow_unused(sp))
			shadow_zap_page(vm, sp);
		else if (sp->role.level > 1)
			return false;
	}
	hlist_for_each_entry(sp, shadow_bucket(s, gfn), hash) {
		if (sp->gfn == gfn && !shadow_is_direct(sp) && list_empty(&sp->unsync))
			list_add(&sp->unsync, &s->unsync);
	}
	return true;
}

void vireo_shadow_written(struct vireo_vm *vm, const struct vireo_mem *mem, u64 gpa, u32 len)
{
	const u64 gfn = gpa >> PAGE_SHIFT;
	const u32 offset = offset_in_page(gpa);
	struct shadow_page *sp;
	struct hlist_node *n;

	if (likely(!mem || !shadow_frame_has_tables(shadow_frame(mem, gfn, 1))))
		return;
	hlist_for_each_entry_safe(sp, n, shadow_bucket(vm->mmu.shadow, gfn), hash) {
		const u32 size = shadow_guest_size(sp);
		u32 first = offset / size, last = (offset + len - 1) / size, at;

		if (sp->gfn != gfn || shadow_is_direct(sp))
			continue;
		if (shadow_unused(sp) || ++sp->writes > SHADOW_FLOOD) {
			shadow_zap_page(vm, sp);
			continue;
		}
		for (at = first; at <= last; at++) {
			if (sp->role.format != SHADOW_2LEVEL) {
				shadow_clear(vm, sp, at);
			} else if (sp->role.level == 1) {
				if (at / SHADOW_ENTRIES == sp->role.quadrant)
					shadow_clear(vm, sp, at % SHADOW_ENTRIES);
			} else if (at / 256 == sp->role.quadrant) {
				shadow_clear(vm, sp, at % 256 * 2);
				shadow_clear(vm, sp, at % 256 * 2 + 1);
			}
		}
	}
}

/* ------------------------------------------------------------------ */
/* Roots                                                                */

static bool shadow_is_root(const struct vireo_shadow_vcpu *sv, const struct shadow_page *sp)
{
	return sp == sv->root || sp == sv->pd[0] || sp == sv->pd[1] || sp == sv->pd[2] ||
	       sp == sv->pd[3];
}

/* Is there a path from the vCPU's root to the page?  The depth is that of the tables. */
static bool shadow_reaches(const struct vireo_shadow *s, const struct vireo_shadow_vcpu *sv,
			   const struct shadow_page *sp)
{
	const struct shadow_page *parent;
	u32 entry;

	/* Nearly always there is one way up. */
	for (;; sp = parent) {
		if (sp->roots && shadow_is_root(sv, sp))
			return true;
		entry = sp->parents;
		if (!entry)
			return false;
		parent = shadow_by_id(s, entry);
		if (parent->next[entry % SHADOW_ENTRIES])
			break;
	}
	while (entry) {
		parent = shadow_by_id(s, entry);
		if (shadow_reaches(s, sv, parent))
			return true;
		entry = parent->next[entry % SHADOW_ENTRIES];
	}
	return false;
}

/* What the guest's flush asks for: tables that its root leads to are compared.  False: flush impossible now. */
static bool shadow_sync_root(struct vireo_vcpu *vcpu)
{
	struct vireo_vm *vm = vcpu->vm;
	struct vireo_shadow *s = vm->mmu.shadow;
	struct shadow_page *sp, *next;
	LIST_HEAD(due);

	list_for_each_entry_safe(sp, next, &s->unsync, unsync) {
		/* Of a process that has ended: it would be looked at for ever. */
		if (shadow_unused(sp)) {
			shadow_zap_page(vm, sp);
			continue;
		}
		if (!shadow_reaches(s, &vcpu->shadow, sp))
			continue;
		shadow_write_protect(vm, vireo_mem_find(shadow_map(vm), sp->gfn), sp->gfn);
		list_move(&sp->unsync, &due);
	}
	if (list_empty(&due))
		return true;
	if (s->stale && !shadow_flush(vm)) {
		list_splice(&due, &s->unsync);
		return false;
	}
	list_for_each_entry_safe(sp, next, &due, unsync) {
		list_del_init(&sp->unsync);
		shadow_resync(vm, sp);
	}
	return true;
}

void shadow_drop_roots(struct vireo_vcpu *vcpu)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	int i;

	if (sv->root)
		shadow_put_root(vcpu->vm, sv->root);
	sv->root = NULL;
	for (i = 0; i < 4; i++) {
		if (sv->pd[i])
			shadow_put_root(vcpu->vm, sv->pd[i]);
		sv->pd[i] = NULL;
	}
}

void shadow_set_pd(struct vireo_vcpu *vcpu, unsigned int i, struct shadow_page *sp)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;

	if (sv->pd[i] == sp)
		return;
	if (sv->pd[i]) {
		shadow_put_root(vcpu->vm, sv->pd[i]);
		vireo_backend_flush(vcpu);
	}
	sp->roots++;
	sv->pd[i] = sp;
	WRITE_ONCE(sv->pae[i], __sme_set(virt_to_phys(sp->table)) | PT_PRESENT);
}

bool shadow_pd_role(struct vireo_vcpu *vcpu, unsigned int i, u64 pdpte, u64 *gfn,
		    union shadow_role *role)
{
	const struct vireo_shadow_vcpu *sv = &vcpu->shadow;

	role->word = sv->role;
	role->level = 2;
	switch (role->format) {
	case SHADOW_DIRECT:
		*gfn = (u64)i << 18;
		return true;
	case SHADOW_2LEVEL:
		role->quadrant = i;
		*gfn = (sv->mode.cr3 & GENMASK(31, 12)) >> PAGE_SHIFT;
		return true;
	default:
		*gfn = (pdpte & PT_ADDRESS) >> PAGE_SHIFT;
		return pdpte & PT_PRESENT;
	}
}

/* What of the four is there already, so that it does not fault. */
static void shadow_preload_pds(struct vireo_vcpu *vcpu)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	union shadow_role role;
	u64 pdptes[4] = {}, gfn;
	int i;

	memset(sv->pae, 0, sizeof(pdptes));
	role.word = sv->role;
	if (role.format == SHADOW_PAE &&
	    vireo_read_gpa_nofault(vcpu, sv->mode.cr3 & 0xffffffe0, pdptes, sizeof(pdptes)))
		return;
	for (i = 0; i < 4; i++) {
		struct shadow_page *sp;

		if (!shadow_pd_role(vcpu, i, pdptes[i], &gfn, &role))
			continue;
		sp = shadow_find(vcpu->vm->mmu.shadow, gfn, role);
		if (sp) {
			sp->old = false;
			shadow_set_pd(vcpu, i, sp);
		}
	}
}

static u32 shadow_base_role(const struct vireo_mode *mode)
{
	union shadow_role role = { .word = 0 };

	if (!(mode->cr0 & X86_CR0_PG))
		return role.word;
	role.nx = !!(mode->efer & EFER_NX);
	role.wp0 = !(mode->cr0 & X86_CR0_WP) && !(mode->cr4 & (X86_CR4_SMEP | X86_CR4_SMAP));
	if (mode->efer & EFER_LMA) {
		role.format = mode->cr4 & X86_CR4_LA57 ? SHADOW_5LEVEL : SHADOW_4LEVEL;
	} else if (mode->cr4 & X86_CR4_PAE) {
		role.format = SHADOW_PAE;
	} else {
		role.format = SHADOW_2LEVEL;
		role.nx = 0;
		role.pse = !!(mode->cr4 & X86_CR4_PSE);
	}
	return role.word;
}

/* Links of a new root to what is there already: the kernel's part, mostly. */
static void shadow_preload_root(struct vireo_vcpu *vcpu, struct shadow_page *root)
{
	const u64 need = PT_PRESENT | PT_ACCESSED;
	const u64 reserved = ~vcpu->caps.phys_mask & PT_ADDRESS;
	struct vireo_vm *vm = vcpu->vm;
	union shadow_role role = root->role;
	unsigned int i;
	u64 guest;

	/* There the roles differ from entry to entry. */
	if (role.wp0)
		return;
	role.level--;
	for (i = 0; i < SHADOW_ENTRIES; i++) {
		struct shadow_page *sp;

		if (!shadow_guest_entry(root, i, &guest))
			return;
		if ((guest & need) != need || (guest & (PT_LARGE | BIT(8) | reserved)) ||
		    ((guest & PT_NX) && !role.nx))
			continue;
		sp = shadow_find(vm->mmu.shadow, (guest & PT_ADDRESS) >> PAGE_SHIFT, role);
		if (sp)
			shadow_link(vm, root, i, sp, guest & PT_RIGHTS);
	}
}

/* The root for a guest in long mode; 0, -ENOMEM, -EAGAIN. */
static int shadow_long_root(struct vireo_vcpu *vcpu)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	struct vireo_vm *vm = vcpu->vm;
	u64 gfn = (sv->mode.cr3 & PT_ADDRESS & vcpu->caps.phys_mask) >> PAGE_SHIFT;
	const struct vireo_mem *mem = vireo_mem_find(shadow_map(vm), gfn);
	union shadow_role role = { .word = sv->role };
	struct shadow_page *sp;

	/* An empty table: whatever the guest does faults, and the walk finds no table. */
	memset(sv->pae, 0, 4 * sizeof(u64));
	sv->cr3 = __sme_set(virt_to_phys(sv->pae));
	if (!mem)
		return 0;
	role.level = role.format == SHADOW_5LEVEL ? 5 : 4;
	sp = shadow_get(vm, mem, gfn, role);
	if (IS_ERR(sp))
		return PTR_ERR(sp);
	if (bitmap_empty(sp->used, SHADOW_ENTRIES))
		shadow_preload_root(vcpu, sp);
	sp->roots++;
	sv->root = sp;
	sv->cr3 = __sme_set(virt_to_phys(sp->table));
	return 0;
}

static int shadow_load_locked(struct vireo_vcpu *vcpu)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	struct vireo_vm *vm = vcpu->vm;
	union shadow_role role;
	int r = 0;

	if (vm->mmu.shadow->owed && !shadow_flush(vm))
		return -EAGAIN;
	shadow_drop_roots(vcpu);
	shadow_make_room(vm, SHADOW_NEED);
	role.word = sv->role;
	if (role.format >= SHADOW_4LEVEL) {
		r = shadow_long_root(vcpu);
	} else {
		sv->cr3 = __sme_set(virt_to_phys(sv->pae));
		shadow_preload_pds(vcpu);
	}
	if (!r && !list_empty(&vm->mmu.shadow->unsync) && !shadow_sync_root(vcpu))
		r = -EAGAIN;
	return r;
}

int vireo_shadow_load(struct vireo_vcpu *vcpu)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	struct vireo_vm *vm = vcpu->vm;
	int r;

	sv->mode.cr0 = vireo_backend_get_cr(vcpu, 0);
	sv->mode.cr4 = vireo_backend_get_cr(vcpu, 4);
	sv->mode.efer = vireo_backend_get_efer(vcpu);
	sv->mode.cr3 = vcpu->cr3;
	sv->role = shadow_base_role(&sv->mode);
	if (!irqs_disabled() && shadow_fill_spare(vm))
		return -ENOMEM;
	if (!vireo_shadow_lock(vm))
		return -EAGAIN;
	r = shadow_load_locked(vcpu);
	shadow_check_sometimes(vm);
	write_unlock(&vm->mmu.lock);
	/* There were spare pages: if they are gone the shrinker has been faster. */
	if (r)
		return -EAGAIN;
	vireo_backend_set_root(vcpu);
	vireo_backend_flush(vcpu);
	return 0;
}

bool vireo_shadow_unload(struct vireo_vcpu *vcpu)
{
	struct vireo_vm *vm = vcpu->vm;

	if (!vireo_shadow_lock(vm))
		return false;
	shadow_drop_roots(vcpu);
	write_unlock(&vm->mmu.lock);
	return true;
}

int vireo_shadow_invlpg(struct vireo_vcpu *vcpu, u64 gva)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;
	struct vireo_vm *vm = vcpu->vm;
	struct shadow_page *sp;

	if (!vireo_shadow_lock(vm))
		return -EAGAIN;
	sp = sv->root ?: sv->pd[(u32)gva >> 30];
	/* Only tables of level 1 can be out of sync. */
	while (sp) {
		unsigned int i = shadow_index(gva, sp->role.level);
		u64 entry = sp->table[i];

		if (!entry)
			break;
		if (shadow_is_leaf(sp, entry)) {
			if (!list_empty(&sp->unsync))
				shadow_clear(vm, sp, i);
			break;
		}
		sp = shadow_child(entry);
	}
	write_unlock(&vm->mmu.lock);
	vireo_backend_flush(vcpu);
	return 0;
}

int vireo_shadow_vcpu_create(struct vireo_vcpu *vcpu)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;

	if (!vcpu->vm->mmu.shadow)
		return 0;
	/* CR3 has 32 bits outside of long mode. */
	sv->pae = (void *)__get_free_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO | GFP_DMA32);
	return sv->pae ? 0 : -ENOMEM;
}

void vireo_shadow_vcpu_destroy(struct vireo_vcpu *vcpu)
{
	struct vireo_shadow_vcpu *sv = &vcpu->shadow;

	if (!sv->pae)
		return;
	free_page((unsigned long)sv->pae);
	sv->pae = NULL;
}

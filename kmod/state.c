// SPDX-License-Identifier: GPL-2.0-only
/*
 * State blocks: all that a VM is, in a form that user space can keep.
 *
 * SET takes a private copy, checks all of it, and only then touches the vCPU, so
 * that a refused call has changed nothing.
 */
#include <linux/slab.h>
#include <asm/fpu/xcr.h>

#include "compat.h"
#include "core.h"
#include "irq/irq.h"
#include "pvclock.h"

/* More than all blocks of a vCPU together. */
#define VIREO_STATE_MAX	(64 * 1024)

static_assert(sizeof(struct vireo_block) == 8);

void vireo_get_regs(struct vireo_vcpu *vcpu, struct vireo_regs *regs)
{
	vireo_regs_need(vcpu, VIREO_REG_ALL);
	memcpy(regs->gpr, vcpu->gpr, sizeof(regs->gpr));
	regs->rip = vcpu->rip;
	regs->rflags = vcpu->rflags;
}

void vireo_set_regs(struct vireo_vcpu *vcpu, const struct vireo_regs *regs)
{
	memcpy(vcpu->gpr, regs->gpr, sizeof(vcpu->gpr));
	vireo_set_gpr(vcpu, VIREO_RSP, regs->gpr[VIREO_RSP]);
	vireo_set_rip(vcpu, regs->rip);
	vireo_set_rflags(vcpu, regs->rflags);
	/* A read that waits for its answer belongs to the old state. */
	vcpu->complete = NULL;
	vireo_state_set(vcpu);
}

/* Reserved bits of RFLAGS: entry fails with any of them (SDM vol. 3, 27.3.1.4). */
int vireo_check_regs(const struct vireo_regs *regs)
{
	return regs->rflags & ~0x3f7fd7ULL ? -EINVAL : 0;
}

void vireo_get_debugregs(struct vireo_vcpu *vcpu, struct vireo_debugregs *regs)
{
	if (vcpu->dr_loaded) {
		vireo_backend_dr_save(vcpu);
		vcpu->dr_loaded = false;
	}
	memset(regs, 0, sizeof(*regs));
	memcpy(regs->db, vcpu->db, sizeof(regs->db));
	regs->dr6 = vcpu->dr6;
	regs->dr7 = vireo_backend_get_dr7(vcpu);
}

static int vireo_check_debugregs(const struct vireo_debugregs *regs)
{
	return regs->dr6 >> 32 || regs->dr7 >> 32 ? -EINVAL : 0;
}

void vireo_set_debugregs(struct vireo_vcpu *vcpu, const struct vireo_debugregs *regs)
{
	if (vcpu->dr_loaded) {
		vireo_backend_dr_save(vcpu);
		vcpu->dr_loaded = false;
	}
	memcpy(vcpu->db, regs->db, sizeof(vcpu->db));
	vcpu->dr6 = regs->dr6;
	vcpu->dr7 = regs->dr7;
	vireo_backend_set_dr7(vcpu, regs->dr7);
}

void vireo_get_events(struct vireo_vcpu *vcpu, struct vireo_events *events)
{
	int sipi;

	memset(events, 0, sizeof(*events));
	vireo_collect_nmis(vcpu);
	if (vcpu->event_pending)
		events->event = vcpu->event;
	events->nmi_pending = vcpu->nmi_pending;
	events->nmi_masked = vireo_backend_get_nmi_mask(vcpu);
	events->shadow = vireo_backend_get_shadow(vcpu);
	events->mp_state = vcpu->mp_state;
	/* A kick is over when the vCPU runs. */
	if (vcpu->mp_state == VIREO_MP_HALTED && READ_ONCE(vcpu->pv_kicked))
		events->mp_state = VIREO_MP_RUNNABLE;
	vireo_lapic_get_init_sipi(vcpu, &events->init_pending, &sipi);
	if (sipi >= 0) {
		events->sipi_pending = 1;
		events->sipi_vector = sipi;
	}
}

static int vireo_check_events(const struct vireo_events *events)
{
	if (events->event.valid > 1 || events->nmi_pending > 2 || events->nmi_masked > 1 ||
	    events->shadow > 2 || events->mp_state >= VIREO_MP_NR || events->init_pending > 1 ||
	    events->sipi_pending > 1 || events->pad)
		return -EINVAL;
	return events->event.valid ? vireo_check_event(&events->event) : 0;
}

void vireo_set_events(struct vireo_vcpu *vcpu, const struct vireo_events *events)
{
	vcpu->event = events->event;
	vcpu->event_pending = events->event.valid;
	vireo_collect_nmis(vcpu);
	vcpu->nmi_pending = events->nmi_pending;
	vireo_backend_set_nmi_mask(vcpu, events->nmi_masked);
	vireo_backend_set_shadow(vcpu, events->shadow);
	vcpu->mp_state = events->mp_state;
	WRITE_ONCE(vcpu->pv_kicked, false);
	vireo_lapic_set_init_sipi(vcpu, events->init_pending,
				  events->sipi_pending ? events->sipi_vector : -1);
	vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

/* Bytes of the standard format that the guest's components need. */
static u32 vireo_xsave_size(struct vireo_vcpu *vcpu)
{
	const struct vireo_cpuid_entry *e;
	u32 size = 576;
	int i;

	for (i = 2; i < 63; i++) {
		if (!(vcpu->caps.xcr0_allowed & BIT_ULL(i)))
			continue;
		e = vireo_cpuid_find(vcpu, 0xd, i);
		if (e)
			size = max(size, e->eax + e->ebx);
	}
	return min_t(u32, size, PAGE_SIZE);
}

static u64 vireo_xsave_mask(struct vireo_vcpu *vcpu)
{
	return vcpu->caps.xcr0_allowed | XFEATURE_MASK_FPSSE;
}

/* Header: XSTATE_BV without components that the guest cannot have, the rest zero (SDM vol. 1, 13.4.2). */
static int vireo_check_xsave(struct vireo_vcpu *vcpu, const void *area, u32 len)
{
	const struct xregs_state *x = area;

	if (len < 576 || len > PAGE_SIZE)
		return -EINVAL;
	if (x->header.xfeatures & ~vireo_xsave_mask(vcpu))
		return -EINVAL;
	if (len < vireo_xsave_size(vcpu) &&
	    (x->header.xfeatures & ~(u64)XFEATURE_MASK_FPSSE))
		return -EINVAL;
	if (x->header.xcomp_bv || memchr_inv(x->header.reserved, 0, sizeof(x->header.reserved)))
		return -EINVAL;
	return x->i387.mxcsr & ~0xffffU ? -EINVAL : 0;
}

static u32 vireo_fixed_size(u16 type)
{
	switch (type) {
	case VIREO_BLOCK_REGS:
		return sizeof(struct vireo_regs);
	case VIREO_BLOCK_SREGS:
		return sizeof(struct vireo_sregs);
	case VIREO_BLOCK_DEBUGREGS:
		return sizeof(struct vireo_debugregs);
	case VIREO_BLOCK_LAPIC:
		return sizeof(struct vireo_lapic);
	case VIREO_BLOCK_EVENTS:
		return sizeof(struct vireo_events);
	case VIREO_BLOCK_TSC:
		return sizeof(struct vireo_tsc);
	case VIREO_BLOCK_TSC_OFFSET:
		return sizeof(struct vireo_tsc_offset);
	case VIREO_BLOCK_CLOCK:
		return sizeof(struct vireo_clock);
	}
	return 0;
}

/* Write one block's payload; @room bytes at @p, enough. */
static int vireo_get_block(struct vireo_vcpu *vcpu, u16 type, void *p, u32 len)
{
	struct vireo_tsc *tsc = p;
	struct vireo_msr *msr = p;
	void *page;
	u32 i;
	int r;

	switch (type) {
	case VIREO_BLOCK_REGS:
		vireo_get_regs(vcpu, p);
		return 0;
	case VIREO_BLOCK_SREGS:
		vireo_get_sregs(vcpu, p);
		return 0;
	case VIREO_BLOCK_DEBUGREGS:
		vireo_get_debugregs(vcpu, p);
		return 0;
	case VIREO_BLOCK_LAPIC:
		vireo_lapic_get_state(vcpu, p);
		return 0;
	case VIREO_BLOCK_EVENTS:
		vireo_get_events(vcpu, p);
		return 0;
	case VIREO_BLOCK_TSC:
		tsc->value = vireo_tsc_read(vcpu);
		tsc->khz = vcpu->tsc_khz;
		tsc->pad = 0;
		return 0;
	case VIREO_BLOCK_TSC_OFFSET:
		((struct vireo_tsc_offset *)p)->offset = vcpu->tsc_offset;
		return 0;
	case VIREO_BLOCK_MSRS:
		for (i = 0; i < len / sizeof(*msr); i++) {
			msr[i].pad = 0;
			r = vireo_msr_get(vcpu, msr[i].index, &msr[i].data, true);
			if (r)
				return r == -EINVAL ? -ENOENT : r;
		}
		return 0;
	case VIREO_BLOCK_XSAVE:
		/* The kernel's function may write more than the guest's part. */
		page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!page)
			return -ENOMEM;
		vireo_fpu_to_uabi(&vcpu->fpu, page, PAGE_SIZE, vireo_xsave_mask(vcpu));
		((struct xregs_state *)page)->header.xfeatures &= vireo_xsave_mask(vcpu);
		memcpy(p, page, len);
		free_page((unsigned long)page);
		return 0;
	}
	return -ENOENT;
}

/* MSR indexes that the caller put in front, or the default list. */
static int vireo_read_msr_request(const void __user *buf, u32 len, void *p, u32 *size)
{
	struct vireo_msr *msr = p;
	struct vireo_block head;
	u32 i;

	if (len >= sizeof(head)) {
		if (copy_from_user(&head, buf, sizeof(head)))
			return -EFAULT;
		if (head.type == VIREO_BLOCK_MSRS && head.len) {
			if (head.version != 1)
				return -EOPNOTSUPP;
			if (head.len % sizeof(*msr) || head.len > VIREO_MAX_MSRS * sizeof(*msr) ||
			    head.len > len - sizeof(head))
				return -EINVAL;
			if (copy_from_user(msr, buf + sizeof(head), head.len))
				return -EFAULT;
			*size = head.len;
			return 0;
		}
	}
	for (i = 0; i < vireo_msr_list_nr; i++)
		msr[i].index = vireo_msr_list[i];
	*size = vireo_msr_list_nr * sizeof(*msr);
	return 0;
}

static int vireo_state_head(struct vireo_state *state, const void __user *arg, bool get)
{
	int r = vireo_copy_struct(state, sizeof(*state), arg, sizeof(*state));

	if (r)
		return r;
	if (state->flags || state->pad || (!get && state->types))
		return -EINVAL;
	return 0;
}

int vireo_vcpu_get_state(struct vireo_vcpu *vcpu, struct vireo_state __user *arg)
{
	const u64 known = GENMASK_ULL(VIREO_BLOCK_TSC, VIREO_BLOCK_REGS) |
			  BIT_ULL(VIREO_BLOCK_TSC_OFFSET);
	struct vireo_state state;
	u32 used = 0, room;
	void *image;
	u16 type;
	int r;

	r = vireo_state_head(&state, arg, true);
	if (r)
		return r;
	if (!state.types || (state.types & ~known))
		return -ENOENT;
	image = kvzalloc(VIREO_STATE_MAX, GFP_KERNEL_ACCOUNT);
	if (!image)
		return -ENOMEM;

	for (type = VIREO_BLOCK_REGS; type < VIREO_BLOCK_NR; type++) {
		struct vireo_block *head = image + used;
		void *p = head + 1;
		u32 len = vireo_fixed_size(type);

		if (!(state.types & BIT_ULL(type)))
			continue;
		if (type == VIREO_BLOCK_XSAVE)
			len = vireo_xsave_size(vcpu);
		if (type == VIREO_BLOCK_MSRS) {
			r = vireo_read_msr_request(u64_to_user_ptr(state.buf), state.len, p, &len);
			if (r)
				goto out;
		}
		head->type = type;
		head->version = 1;
		head->len = len;
		r = vireo_get_block(vcpu, type, p, len);
		if (r)
			goto out;
		used += sizeof(*head) + ALIGN(len, 8);
	}

	room = state.len;
	state.len = used;
	r = 0;
	if (room >= used && copy_to_user(u64_to_user_ptr(state.buf), image, used))
		r = -EFAULT;
	if (!r)
		r = vireo_copy_back(arg, &state, sizeof(state), state.size);
	if (!r && room < used)
		r = -ENOSPC;
out:
	kvfree(image);
	return r;
}

/* MSRs have effects of their own, so their legality is tried on what cannot change: the value itself. */
static int vireo_check_msrs(struct vireo_vcpu *vcpu, const struct vireo_msr *msr, u32 len)
{
	u32 i;
	u64 data;
	int r;

	if (len % sizeof(*msr) || len > VIREO_MAX_MSRS * sizeof(*msr))
		return -EINVAL;
	for (i = 0; i < len / sizeof(*msr); i++) {
		if (msr[i].pad)
			return -EINVAL;
		r = vireo_msr_get(vcpu, msr[i].index, &data, true);
		if (r)
			return -ENOENT;
	}
	return 0;
}

static int vireo_check_block(struct vireo_vcpu *vcpu, u16 type, const void *p, u32 len)
{
	u32 fixed = vireo_fixed_size(type);
	const struct vireo_tsc *tsc = p;

	if (fixed && len != fixed)
		return -EINVAL;
	switch (type) {
	case VIREO_BLOCK_REGS:
		return vireo_check_regs(p);
	case VIREO_BLOCK_SREGS:
		return vireo_check_sregs(vcpu, p);
	case VIREO_BLOCK_DEBUGREGS:
		return vireo_check_debugregs(p);
	case VIREO_BLOCK_XSAVE:
		return vireo_check_xsave(vcpu, p, len);
	case VIREO_BLOCK_MSRS:
		return vireo_check_msrs(vcpu, p, len);
	case VIREO_BLOCK_LAPIC:
		return vireo_lapic_check_state(vcpu, p);
	case VIREO_BLOCK_EVENTS:
		return vireo_check_events(p);
	case VIREO_BLOCK_TSC:
		return tsc->pad || tsc->khz != vcpu->tsc_khz ? -EINVAL : 0;
	case VIREO_BLOCK_TSC_OFFSET:
		return 0;
	}
	return -ENOENT;
}

static int vireo_set_msrs(struct vireo_vcpu *vcpu, struct vireo_msr *msr, u32 nr)
{
	u64 old;
	u32 i;
	int r = 0;

	/* Each is swapped with its old value, so that a refused one can be undone. */
	for (i = 0; i < nr; i++) {
		vireo_msr_get(vcpu, msr[i].index, &old, true);
		r = vireo_msr_set(vcpu, msr[i].index, msr[i].data, true);
		if (r)
			break;
		msr[i].data = old;
	}
	if (r) {
		while (i--)
			vireo_msr_set(vcpu, msr[i].index, msr[i].data, true);
		return -EINVAL;
	}
	return 0;
}

static void vireo_set_block(struct vireo_vcpu *vcpu, u16 type, void *p)
{
	u32 pkru = 0;
	struct vireo_tsc *tsc = p;

	switch (type) {
	case VIREO_BLOCK_REGS:
		vireo_set_regs(vcpu, p);
		break;
	case VIREO_BLOCK_SREGS:
		vireo_set_sregs(vcpu, p);
		break;
	case VIREO_BLOCK_DEBUGREGS:
		vireo_set_debugregs(vcpu, p);
		break;
	case VIREO_BLOCK_XSAVE:
		/* Checked above: it has no reason left to refuse. */
		WARN_ON_ONCE(fpu_copy_uabi_to_guest_fpstate(&vcpu->fpu, p, vireo_xsave_mask(vcpu),
							    &pkru));
		break;
	case VIREO_BLOCK_LAPIC:
		vireo_lapic_set_state(vcpu, p);
		break;
	case VIREO_BLOCK_EVENTS:
		vireo_set_events(vcpu, p);
		break;
	case VIREO_BLOCK_TSC:
		vireo_tsc_write(vcpu, tsc->value);
		break;
	case VIREO_BLOCK_TSC_OFFSET:
		vireo_tsc_set_offset(vcpu, ((struct vireo_tsc_offset *)p)->offset);
		break;
	}
}

/*
 * Walk the blocks of @image; @fn gets each.  Structure is checked on the way:
 * lengths, versions, no type twice.
 */
static int vireo_for_each_block(struct vireo_vcpu *vcpu, void *image, u32 len,
				int (*fn)(struct vireo_vcpu *vcpu, u16 type, void *p, u32 len))
{
	u64 seen = 0;
	u32 at = 0;
	int r;

	while (at < len) {
		struct vireo_block *head = image + at;

		if (len - at < sizeof(*head))
			return -EINVAL;
		at += sizeof(*head);
		if (head->len > len - at)
			return -EINVAL;
		if (!head->type || head->type >= VIREO_BLOCK_NR)
			return -ENOENT;
		if (head->version != 1)
			return -EOPNOTSUPP;
		if (seen & BIT_ULL(head->type))
			return -EINVAL;
		seen |= BIT_ULL(head->type);
		r = fn(vcpu, head->type, head + 1, head->len);
		if (r)
			return r;
		at += min_t(u32, ALIGN(head->len, 8), len - at);
	}
	return 0;
}

static int vireo_check_one(struct vireo_vcpu *vcpu, u16 type, void *p, u32 len)
{
	return vireo_check_block(vcpu, type, p, len);
}

static int vireo_msrs_one(struct vireo_vcpu *vcpu, u16 type, void *p, u32 len)
{
	return type == VIREO_BLOCK_MSRS ? vireo_set_msrs(vcpu, p, len / sizeof(struct vireo_msr)) :
					  0;
}

static int vireo_set_one(struct vireo_vcpu *vcpu, u16 type, void *p, u32 len)
{
	vireo_set_block(vcpu, type, p);
	return 0;
}

/* APIC state means something only in the mode that APIC_BASE gives: SREGS go first. */
static int vireo_sregs_one(struct vireo_vcpu *vcpu, u16 type, void *p, u32 len)
{
	return type == VIREO_BLOCK_SREGS ? vireo_set_one(vcpu, type, p, len) : 0;
}

static int vireo_others_one(struct vireo_vcpu *vcpu, u16 type, void *p, u32 len)
{
	return type == VIREO_BLOCK_SREGS ? 0 : vireo_set_one(vcpu, type, p, len);
}

static void *vireo_state_image(const struct vireo_state *state)
{
	if (!state->len || state->len > VIREO_STATE_MAX)
		return ERR_PTR(-EINVAL);
	return vmemdup_user(u64_to_user_ptr(state->buf), state->len);
}

int vireo_vcpu_set_state(struct vireo_vcpu *vcpu, const struct vireo_state __user *arg)
{
	struct vireo_state state;
	void *image;
	int r;

	r = vireo_state_head(&state, arg, false);
	if (r)
		return r;
	image = vireo_state_image(&state);
	if (IS_ERR(image))
		return PTR_ERR(image);
	r = vireo_for_each_block(vcpu, image, state.len, vireo_check_one);
	/* The only step that can still be refused comes first, and undoes itself. */
	if (!r)
		r = vireo_for_each_block(vcpu, image, state.len, vireo_msrs_one);
	if (!r)
		r = vireo_for_each_block(vcpu, image, state.len, vireo_sregs_one);
	if (!r)
		r = vireo_for_each_block(vcpu, image, state.len, vireo_others_one);
	kvfree(image);
	return r;
}

int vireo_vm_get_state(struct vireo_vm *vm, struct vireo_state __user *arg)
{
	struct {
		struct vireo_block head;
		struct vireo_clock clock;
	} image = {
		.head = {
			.type = VIREO_BLOCK_CLOCK,
			.version = 1,
			.len = sizeof(struct vireo_clock),
		},
	};
	struct vireo_state state;
	u32 room;
	int r;

	r = vireo_state_head(&state, arg, true);
	if (r)
		return r;
	if (state.types != BIT_ULL(VIREO_BLOCK_CLOCK))
		return -ENOENT;
	image.clock.ns = vireo_pvclock_now(vm);
	room = state.len;
	state.len = sizeof(image);
	if (room >= sizeof(image) &&
	    copy_to_user(u64_to_user_ptr(state.buf), &image, sizeof(image)))
		return -EFAULT;
	r = vireo_copy_back(arg, &state, sizeof(state), state.size);
	return r ?: room < sizeof(image) ? -ENOSPC : 0;
}

static int vireo_check_clock(struct vireo_vcpu *unused, u16 type, void *p, u32 len)
{
	if (type != VIREO_BLOCK_CLOCK)
		return -ENOENT;
	return len == sizeof(struct vireo_clock) ? 0 : -EINVAL;
}

int vireo_vm_set_state(struct vireo_vm *vm, const struct vireo_state __user *arg)
{
	struct vireo_state state;
	void *image;
	int r;

	r = vireo_state_head(&state, arg, false);
	if (r)
		return r;
	image = vireo_state_image(&state);
	if (IS_ERR(image))
		return PTR_ERR(image);
	r = vireo_for_each_block(NULL, image, state.len, vireo_check_clock);
	if (!r) {
		const struct vireo_clock *clock = image + sizeof(struct vireo_block);

		vireo_pvclock_set(vm, clock->ns);
	}
	kvfree(image);
	return r;
}

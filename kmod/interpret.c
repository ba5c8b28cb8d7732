// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interpretation of one instruction after another: of states that the processor cannot enter (real
 * mode without "unrestricted guest"), and of all supervisor code in a hybrid VM.
 *
 * It takes the place of an entry in vireo_run_outer(): with interrupts on, and for no longer than an
 * entry may be; between two instructions it looks at what a processor would look at, requests,
 * signals, events.  Documentation/interpreter.rst has the design.
 *
 * What is kept between instructions (struct vireo_interp) has the rules of a processor's own caches:
 * segment registers change when they are loaded, translations end with what flushes a TLB.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <asm/trapnr.h>

#include "core.h"
#include "insn.h"
#include "interpret.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "region.h"
#include "tracing.h"

/* Instructions between two looks at the rest of the kernel, which waits for vm->srcu. */
#define VIREO_INTERPRET_RUN	8192

#define VIREO_TASK_WORK (_TIF_NEED_RESCHED | _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL | \
			 _TIF_NOTIFY_RESUME)

#define VIREO_DR7_ENABLED	0xffU

void vireo_interp_flush(struct vireo_vcpu *vcpu)
{
	struct vireo_interp *interp = vcpu->interp;
	int i;

	if (!interp)
		return;
	interp->code.page = VIREO_TLB_NONE;
	for (i = 0; i < VIREO_TLB_SIZE; i++) {
		interp->read[i].page = VIREO_TLB_NONE;
		interp->write[i].page = VIREO_TLB_NONE;
	}
}

void vireo_interpret_free(struct vireo_vcpu *vcpu)
{
	kvfree(vcpu->interp);
}

/* ------------------------------------------------------------------ */
/* Breakpoints (SDM vol. 3, 18.2)                                       */

static u32 vireo_breakpoint_len(u64 dr7, int nr)
{
	static const u8 len[4] = { 1, 2, 8, 4 };

	return len[dr7 >> (18 + 4 * nr) & 3];
}

void vireo_interp_watch(struct vireo_vcpu *vcpu, u64 la, u32 len, bool write)
{
	u64 dr7 = vireo_backend_get_dr7(vcpu);
	int i;

	for (i = 0; i < 4; i++) {
		u32 kind = dr7 >> (16 + 4 * i) & 3, size = vireo_breakpoint_len(dr7, i);
		u64 start = vcpu->db[i] & ~(u64)(size - 1);

		/* 1: writes; 3: reads and writes */
		if (!(dr7 >> 2 * i & 3) || !(kind & 1) || (kind == 1 && !write))
			continue;
		if (la < start + size && start < la + len)
			vcpu->interp->hits |= BIT(i);
	}
}

/* A breakpoint at the instruction: a fault, unless RF says that it has been there. */
static bool vireo_interp_break(struct vireo_vcpu *vcpu, u64 la)
{
	u64 dr7 = vireo_backend_get_dr7(vcpu), dr6 = 0;
	int i;

	if (vcpu->emu.rflags & X86_EFLAGS_RF)
		return false;
	for (i = 0; i < 4; i++) {
		if ((dr7 >> 2 * i & 3) && !(dr7 >> (16 + 4 * i) & 3) && vcpu->db[i] == la)
			dr6 |= BIT(i);
	}
	if (!dr6)
		return false;
	vcpu->dr6 = (vcpu->dr6 & ~(u64)0xf) | dr6;
	vireo_queue_exception(vcpu, X86_TRAP_DB, false, 0);
	return true;
}

/* ------------------------------------------------------------------ */
/* The mode                                                             */

/* Does the next instruction, if no event comes before it, have to be interpreted? */
static bool vireo_must_interpret(struct vireo_vcpu *vcpu)
{
	if (vireo_hybrid(vcpu->vm) && vcpu->mode.cpl != 3)
		return true;
	return !vireo_backend_runnable(vcpu);
}

/* After anything that the mode depends on has changed.  Return: vireo_must_interpret(). */
static bool vireo_interp_reload(struct vireo_vcpu *vcpu)
{
	struct vireo_interp *interp = vcpu->interp;
	const struct vireo_mode *mode = &vcpu->mode, *old = &interp->mode;
	struct vireo_emu *e = &vcpu->emu;

	interp->reload = false;
	vireo_backend_read_mode(vcpu, &vcpu->mode);
	e->mode = vireo_emu_mode(mode);
	if (mode->cr4 & X86_CR4_LA57)
		e->features |= VIREO_EMU_F_LA57;
	else
		e->features &= ~VIREO_EMU_F_LA57;
	/* Translations of supervisor code, and of any code where there is none. */
	interp->tlb_on = interp->active && mode->cpl != 3;
	if (mode->cr0 != old->cr0 || mode->cr3 != old->cr3 || mode->cr4 != old->cr4 ||
	    mode->efer != old->efer || ((mode->rflags ^ old->rflags) & X86_EFLAGS_AC))
		vireo_interp_flush(vcpu);
	interp->code.page = VIREO_TLB_NONE;
	interp->mode = *mode;
	interp->breakpoints = vireo_backend_get_dr7(vcpu) & VIREO_DR7_ENABLED;
	/* Each access must be seen. */
	if (interp->breakpoints)
		interp->tlb_on = false;
	return vireo_must_interpret(vcpu);
}

/* ------------------------------------------------------------------ */
/* The next instruction                                                 */

/* Where RIP is, and how many bytes of code there are from it: 0: beyond the limit. */
static __always_inline u64 vireo_interp_rip(struct vireo_vcpu *vcpu, u64 *left)
{
	struct vireo_emu *e = &vcpu->emu;
	struct vireo_emu_segment cs;

	*left = ~0ULL;
	if (likely(e->mode == VIREO_EMU_PROT64))
		return e->rip;
	e->ops->get_seg(e, VIREO_EMU_CS, &cs);
	*left = e->rip > cs.limit ? 0 : (u64)cs.limit + 1 - e->rip;
	return (u32)(cs.base + e->rip);
}

/* The code page, by a walk.  0; or VIREO_EMU_EXCEPTION, VIREO_EMU_UNHANDLED. */
static noinline int vireo_interp_code(struct vireo_vcpu *vcpu, u64 la, unsigned long *hva)
{
	struct vireo_interp *interp = vcpu->interp;
	const struct vireo_mem *mem;
	u32 access = VIREO_ACCESS_EXEC;
	struct vireo_walk walk;
	int r;

	vcpu->emu.events = 0;
	if (vcpu->emu.mode == VIREO_EMU_PROT64 && !vireo_canonical(vcpu->mode.cr4, la))
		return vireo_emu_fault(&vcpu->emu, X86_TRAP_GP, 0);
	if (vcpu->mode.cpl == 3)
		access |= VIREO_ACCESS_USER;
	r = vireo_walk(vcpu, &vcpu->mode, la, access, false, &walk);
	if (r == -EFAULT)
		return vireo_emu_page_fault(&vcpu->emu, la, walk.error);
	mem = r ? NULL : vireo_vcpu_mem(vcpu, walk.gpa >> PAGE_SHIFT);
	if (!mem) {
		vcpu->emu.insn.len = 0;
		return VIREO_EMU_UNHANDLED;
	}
	interp->code.page = la & PAGE_MASK;
	interp->code.hva = vireo_mem_hva(mem, walk.gpa >> PAGE_SHIFT);
	*hva = interp->code.hva + offset_in_page(la);
	return VIREO_EMU_OK;
}

/* Fetch and decode at the end of a page, or of the code segment. */
static noinline int vireo_interp_fetch_slow(struct vireo_vcpu *vcpu, u64 la, u64 left)
{
	struct vireo_exit *exit = &vcpu->exit;
	struct vireo_emu *e = &vcpu->emu;
	unsigned long hva;
	u32 n, want;
	int r;

	exit->nr_bytes = 0;
	do {
		/* The second time for what lies on the next page. */
		u64 at = la + exit->nr_bytes;

		if (e->mode != VIREO_EMU_PROT64)
			at = (u32)at;
		want = min_t(u64, sizeof(exit->bytes), left) - exit->nr_bytes;
		n = min_t(u64, want, PAGE_SIZE - offset_in_page(at));
		if (!n)
			return vireo_emu_fault(e, X86_TRAP_GP, 0);
		r = vireo_interp_code(vcpu, at, &hva);
		if (r)
			return r;
		if (!vireo_hva_read(hva, exit->bytes + exit->nr_bytes, n))
			return VIREO_EMU_UNHANDLED;
		exit->nr_bytes += n;
		r = vireo_emu_decode(e, exit->bytes, exit->nr_bytes);
	} while (r == VIREO_EMU_MORE);
	return r;
}

/* Decode, and remember it. */
static noinline int vireo_interp_decode(struct vireo_vcpu *vcpu, struct vireo_decoded *d,
					const u64 bytes[2])
{
	struct vireo_emu *e = &vcpu->emu;
	int r = vireo_emu_decode(e, vcpu->exit.bytes, sizeof(vcpu->exit.bytes));
	u32 bits = e->insn.len * 8;

	if (r)
		return r;
	d->bytes[0] = bytes[0];
	d->bytes[1] = bytes[1];
	d->mask[0] = bits < 64 ? BIT_ULL(bits) - 1 : ~0ULL;
	d->mask[1] = bits > 64 ? BIT_ULL(bits - 64) - 1 : 0;
	d->insn = e->insn;
	d->mode = e->mode;
	return r;
}

static __always_inline int vireo_interp_fetch(struct vireo_vcpu *vcpu)
{
	struct vireo_interp *interp = vcpu->interp;
	struct vireo_exit *exit = &vcpu->exit;
	u64 left, la = vireo_interp_rip(vcpu, &left);
	struct vireo_emu *e = &vcpu->emu;
	struct vireo_decoded *d;
	u64 bytes[2];

	if (unlikely(interp->breakpoints) && vireo_interp_break(vcpu, la))
		return VIREO_EMU_RESTART;
	if (unlikely((la & PAGE_MASK) != interp->code.page ||
		     offset_in_page(la) > PAGE_SIZE - sizeof(bytes) || left < sizeof(bytes)) ||
	    unlikely(!vireo_hva_read16(interp->code.hva + offset_in_page(la), bytes)))
		return vireo_interp_fetch_slow(vcpu, la, left);
	memcpy(exit->bytes, bytes, sizeof(exit->bytes));
	exit->nr_bytes = sizeof(exit->bytes);
	d = &interp->decoded[(la ^ la >> 9) & (VIREO_DECODED_SIZE - 1)];
	if (unlikely(d->mode != e->mode || ((d->bytes[0] ^ bytes[0]) & d->mask[0]) ||
		     ((d->bytes[1] ^ bytes[1]) & d->mask[1])))
		return vireo_interp_decode(vcpu, d, bytes);
	e->insn = d->insn;
	vireo_emu_decoded(e);
	return VIREO_EMU_OK;
}

/* ------------------------------------------------------------------ */
/* Events                                                               */

static u32 vireo_event_kind(const struct vireo_event *event)
{
	switch (event->type) {
	case VIREO_EVENT_SOFT_INT:
		return VIREO_EMU_KIND_SOFT_INT;
	case VIREO_EVENT_SOFT_EXC:
		return VIREO_EMU_KIND_SOFT_EXCEPTION;
	case VIREO_EVENT_PRIV_SOFT_EXC:
		return VIREO_EMU_KIND_PRIV_EXCEPTION;
	case VIREO_EVENT_EXCEPTION:
		return VIREO_EMU_KIND_EXCEPTION;
	}
	return VIREO_EMU_KIND_EXTERNAL;
}

/* Deliver vcpu->event as the processor would. */
static noinline enum vireo_action vireo_interp_deliver(struct vireo_vcpu *vcpu)
{
	struct vireo_interp *interp = vcpu->interp;
	const struct vireo_event event = vcpu->event;
	struct vireo_emu *e = &vcpu->emu;
	u64 rip = e->rip;
	int r;

	if (event.type == VIREO_EVENT_EXCEPTION && event.vector == X86_TRAP_PF)
		vcpu->cr2 = event.cr2;
	e->rip += event.insn_len;
	r = vireo_emu_deliver(e, event.vector, vireo_event_kind(&event), event.has_error,
			      event.error);
	interp->reload = true;
	if (r == VIREO_EMU_OK || (r == VIREO_EMU_EXCEPTION && e->events & VIREO_EMU_EV_TASK)) {
		vcpu->event_pending = false;
		vcpu->counters.injected[event.type & 7]++;
		vireo_trace(inject, vcpu);
		vireo_set_rip(vcpu, e->rip);
		vireo_set_rflags(vcpu, e->rflags);
		vcpu->dirty |= VIREO_REG_RSP;
		if (event.type == VIREO_EVENT_NMI)
			vireo_backend_set_nmi_mask(vcpu, true);
		if (interp->shadow) {
			interp->shadow = 0;
			vireo_backend_set_shadow(vcpu, 0);
		}
		vireo_emu_take_events(vcpu);
		if (r == VIREO_EMU_OK)
			return VIREO_RESUME;
	} else {
		e->rip = rip;
	}
	if (r == VIREO_EMU_EXCEPTION) {
		/* On top of the one in delivery, which may make a double fault. */
		vireo_emu_raise(vcpu);
		return VIREO_RESUME;
	}
	vcpu->run->exit_reason = VIREO_EXIT_EMULATION;
	vcpu->run->insn_len = 0;
	snprintf(vcpu->run->error, sizeof(vcpu->run->error),
		 "cannot deliver vector %u at %#llx: its tables, or the stack, are not in memory",
		 event.vector, rip);
	return VIREO_USER;
}

/* Requests that need not leave the loop.  VIREO_AGAIN: there are others. */
static noinline enum vireo_action vireo_interp_requests(struct vireo_vcpu *vcpu)
{
	const unsigned long here = BIT(VIREO_REQ_EVENT) | BIT(VIREO_REQ_FLUSH) |
				   BIT(VIREO_REQ_SYNC) | BIT(VIREO_REQ_INTERPRET) |
				   BIT(VIREO_REQ_ROOT);

	if (READ_ONCE(vcpu->requests) & ~here)
		return VIREO_AGAIN;
	vireo_request_take(vcpu, VIREO_REQ_SYNC);
	if (vireo_request_take(vcpu, VIREO_REQ_INTERPRET))
		vcpu->interp->reload = true;
	if (vireo_request_take(vcpu, VIREO_REQ_FLUSH)) {
		vireo_backend_flush(vcpu);
		vireo_interp_flush(vcpu);
		vcpu->counters.flushes++;
	}
	if (vireo_request_take(vcpu, VIREO_REQ_EVENT)) {
		if (unlikely(vireo_lapic_init_pending(vcpu))) {
			vireo_request_set(vcpu, VIREO_REQ_EVENT);
			return VIREO_AGAIN;
		}
		preempt_disable();
		local_irq_disable();
		vireo_update_events(vcpu);
		local_irq_enable();
		preempt_enable();
	}
	return VIREO_RESUME;
}

/* ------------------------------------------------------------------ */
/* The loop                                                             */

/*
 * A program of a hybrid VM has faulted.  Was that one of the instructions that lead to its kernel, for which
 * the fault was arranged?  Then it is carried out, and the fault is none.
 */
static bool vireo_interp_gate(struct vireo_vcpu *vcpu)
{
	const struct vireo_emu_insn *insn = &vcpu->emu.insn;
	u8 vector = vcpu->event.vector;

	if (vcpu->mode.cpl != 3 || vcpu->event.type != VIREO_EVENT_EXCEPTION ||
	    (vector != X86_TRAP_UD && vector != X86_TRAP_GP && vector != X86_TRAP_BP &&
	     vector != X86_TRAP_OF))
		return false;
	if (vireo_interp_fetch(vcpu))
		return false;
	if (insn->map == VIREO_EMU_MAP_1B)
		/* INT3, INT n, INTO, INT1 */
		return (insn->opcode >= 0xcc && insn->opcode <= 0xce) || insn->opcode == 0xf1;
	/* SYSCALL, SYSRET, SYSENTER */
	return insn->map == VIREO_EMU_MAP_0F &&
	       (insn->opcode == 0x05 || insn->opcode == 0x07 || insn->opcode == 0x34);
}

/* The instruction has retired: what others, or the next instructions, have to know of it. */
static __always_inline void vireo_interp_retire(struct vireo_vcpu *vcpu)
{
	struct vireo_interp *interp = vcpu->interp;
	struct vireo_emu *e = &vcpu->emu;
	u32 events = e->events;

	vcpu->rip = e->rip;
	vcpu->rflags = e->rflags;
	if (unlikely(events | interp->shadow | interp->hits)) {
		u8 shadow = events & VIREO_EMU_EV_MOVSS ? 2 : events & VIREO_EMU_EV_STI ? 1 : 0;

		if (shadow != interp->shadow) {
			interp->shadow = shadow;
			vireo_backend_set_shadow(vcpu, shadow);
		}
		if (events & VIREO_EMU_EV_MODE)
			interp->reload = true;
		vireo_emu_take_events(vcpu);
	}
	if (unlikely((e->rflags ^ vcpu->mode.rflags) & (X86_EFLAGS_AC | X86_EFLAGS_VM)))
		interp->reload = true;
	vcpu->mode.rflags = e->rflags;
	if (unlikely(vcpu->event_waits) && !interp->shadow &&
	    ((e->rflags & X86_EFLAGS_IF) ||
	     (vcpu->nmi_pending && !vireo_backend_get_nmi_mask(vcpu))))
		vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

static enum vireo_action vireo_interp_loop(struct vireo_vcpu *vcpu)
{
	struct vireo_interp *interp = vcpu->interp;
	bool hybrid = vireo_hybrid(vcpu->vm), must = true;
	struct vireo_emu *e = &vcpu->emu;
	enum vireo_action action;
	int n, r;

	for (n = 0; n < VIREO_INTERPRET_RUN; n++) {
		/* Which tables the processor walks is of interest when it does. */
		if (unlikely(READ_ONCE(vcpu->requests) & ~BIT(VIREO_REQ_ROOT))) {
			action = vireo_interp_requests(vcpu);
			if (action != VIREO_RESUME)
				return action;
		}
		if (unlikely(read_thread_flags() & VIREO_TASK_WORK))
			return VIREO_AGAIN;
		if (unlikely(interp->reload))
			must = vireo_interp_reload(vcpu);
		if (unlikely(vcpu->reinterpret)) {
			vcpu->reinterpret = false;
			if (vcpu->event_pending && vireo_interp_gate(vcpu)) {
				vcpu->event_pending = false;
				goto execute;
			}
		}
		if (unlikely(vcpu->event_pending) && (must || hybrid)) {
			action = vireo_interp_deliver(vcpu);
			if (action != VIREO_RESUME)
				return action;
			continue;
		}
		if (!must) {
			vcpu->interpret = false;
			return VIREO_RESUME;
		}

		r = vireo_interp_fetch(vcpu);
		if (unlikely(r)) {
			if (r == VIREO_EMU_RESTART)
				continue;
			goto result;
		}
execute:
		vcpu->insn_posted = false;
		vcpu->insn_retry = false;
		r = vireo_emu_execute(e);
		vcpu->counters.interpreted++;
		if (likely(r == VIREO_EMU_OK)) {
			vireo_interp_retire(vcpu);
			if (unlikely(vcpu->insn_posted))
				return VIREO_USER;
			if (unlikely(vcpu->mp_state != VIREO_MP_RUNNABLE))
				return VIREO_AGAIN;
			continue;
		}
result:
		interp->hits = 0;
		action = vireo_emu_result(vcpu, r);
		if (action != VIREO_RESUME || vcpu->step)
			return action;
		if (r == VIREO_EMU_EXCEPTION)
			interp->reload = true;
	}
	return VIREO_AGAIN;
}

enum vireo_action vireo_interpret_run(struct vireo_vcpu *vcpu)
{
	struct vireo_interp *interp = vcpu->interp;
	struct vireo_emu *e = &vcpu->emu;
	enum vireo_action action;
	u64 gen;
	int i, idx;

	if (unlikely(!interp)) {
		interp = kvzalloc(sizeof(*interp), GFP_KERNEL_ACCOUNT);
		if (!interp) {
			vcpu->run_error = -ENOMEM;
			return VIREO_FAIL;
		}
		vcpu->interp = interp;
		for (i = 0; i < VIREO_DECODED_SIZE; i++)
			interp->decoded[i].mode = VIREO_DECODED_NONE;
		vireo_interp_flush(vcpu);
	}
	vireo_take_debugregs(vcpu);
	vireo_regs_need(vcpu, VIREO_REG_ALL);
	vcpu->dirty |= VIREO_REG_ALL;
	e->rip = vcpu->rip;
	e->rflags = vcpu->rflags;
	e->gpa = VIREO_EMU_NO_GPA;

	idx = srcu_read_lock(&vcpu->vm->srcu);
	gen = vireo_mem_map(vcpu->vm)->gen;
	/* Whoever ran since may have changed tables, but for a hybrid VM's programs, which cannot. */
	if (gen != interp->map_gen || !vireo_hybrid(vcpu->vm)) {
		interp->map_gen = gen;
		vireo_interp_flush(vcpu);
	}
	interp->seg_valid = 0;
	interp->active = true;
	interp->reload = true;
	interp->hits = 0;
	interp->shadow = vireo_backend_get_shadow(vcpu);
	action = vireo_interp_loop(vcpu);
	interp->active = false;
	interp->tlb_on = false;
	interp->breakpoints = false;
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	/* What was fetched is of no use to the next exit. */
	vcpu->exit.nr_bytes = 0;
	return action;
}

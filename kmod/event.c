// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: what the guest is told next.
 *
 * vcpu->event holds the one thing that the next entry delivers: an exception that a handler raised, an
 * interrupt or NMI chosen here, or a delivery that an exit broke off.  Everything else
 * waits where it came from: vectors in the local APIC, NMIs in nmi_pending.
 */
#include <asm/trapnr.h>

#include "core.h"
#include "irq/irq.h"

/* SDM vol. 3, 6.15: exceptions that combine to a double fault. */
static bool vireo_contributory(u8 vector)
{
	switch (vector) {
	case X86_TRAP_DE:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return true;
	}
	return false;
}

static void vireo_queue(struct vireo_vcpu *vcpu, const struct vireo_event *new)
{
	struct vireo_event *event = &vcpu->event;

	/* Handlers are supervisor code. */
	if (unlikely(vireo_hybrid(vcpu->vm)))
		vireo_request_set(vcpu, VIREO_REQ_INTERPRET);

	if (vcpu->event_pending && event->type == VIREO_EVENT_EXCEPTION) {
		if (event->vector == X86_TRAP_DF) {
			vcpu->event_pending = false;
			vcpu->mp_state = VIREO_MP_SHUTDOWN;
			/* Noticed before the next entry. */
			vireo_request_set(vcpu, VIREO_REQ_OUT);
			return;
		}
		if ((vireo_contributory(event->vector) && vireo_contributory(new->vector)) ||
		    (event->vector == X86_TRAP_PF &&
		     (new->vector == X86_TRAP_PF || vireo_contributory(new->vector)))) {
			*event = (struct vireo_event) {
				.valid = 1,
				.type = VIREO_EVENT_EXCEPTION,
				.vector = X86_TRAP_DF,
				.has_error = 1,
			};
			return;
		}
	}

	/*
	 * A fault in the delivery of an interrupt: the interrupt is taken afterwards.  Its vector is in
	 * the ISR already, so it cannot be given back; the processor keeps it as the
	 * first thing after the fault's handler has its frame.
	 */
	*event = *new;
	vcpu->event_pending = true;
}

void vireo_queue_exception(struct vireo_vcpu *vcpu, u8 vector, bool has_error, u32 error)
{
	struct vireo_event event = {
		.valid = 1,
		.type = VIREO_EVENT_EXCEPTION,
		.vector = vector,
		.has_error = has_error,
		.error = error,
	};

	vireo_queue(vcpu, &event);
}

void vireo_queue_page_fault(struct vireo_vcpu *vcpu, u64 address, u32 error)
{
	struct vireo_event event = {
		.valid = 1,
		.type = VIREO_EVENT_EXCEPTION,
		.vector = X86_TRAP_PF,
		.has_error = 1,
		.error = error,
		.cr2 = address,
	};

	vireo_queue(vcpu, &event);
}

int vireo_check_event(const struct vireo_event *event)
{
	static const u8 zero[sizeof(event->pad)];

	if (memcmp(event->pad, zero, sizeof(zero)) || event->has_error > 1)
		return -EINVAL;
	switch (event->type) {
	case VIREO_EVENT_IRQ:
		return event->has_error || event->insn_len ? -EINVAL : 0;
	case VIREO_EVENT_NMI:
		return event->vector != X86_TRAP_NMI || event->has_error || event->insn_len ?
			-EINVAL : 0;
	case VIREO_EVENT_EXCEPTION:
		return event->vector > 31 || event->vector == X86_TRAP_NMI || event->insn_len ?
			-EINVAL : 0;
	case VIREO_EVENT_SOFT_INT:
	case VIREO_EVENT_PRIV_SOFT_EXC:
	case VIREO_EVENT_SOFT_EXC:
		return event->has_error || !event->insn_len ||
		       event->insn_len > VIREO_EMU_MAX_INSN ? -EINVAL : 0;
	}
	return -EINVAL;
}

void vireo_collect_nmis(struct vireo_vcpu *vcpu)
{
	int queued = atomic_xchg(&vcpu->nmi_queued, 0);
	bool in_service;

	if (!queued)
		return;
	/* The processor remembers one NMI beside the one in service. */
	in_service = vireo_backend_get_nmi_mask(vcpu) ||
		     (vcpu->event_pending && vcpu->event.type == VIREO_EVENT_NMI);
	vcpu->nmi_pending = min(vcpu->nmi_pending + queued, in_service ? 1 : 2);
}

bool vireo_extint_ready(struct vireo_vcpu *vcpu)
{
	return !vcpu->event_pending && vcpu->mp_state <= VIREO_MP_HALTED &&
	       vireo_lapic_accepts_extint(vcpu) && vireo_backend_irq_allowed(vcpu);
}

bool vireo_has_wakeup(struct vireo_vcpu *vcpu)
{
	if (vcpu->mp_state > VIREO_MP_HALTED)
		return false;
	if (vcpu->event_pending || READ_ONCE(vcpu->pv_kicked))
		return true;
	if (atomic_read(&vcpu->nmi_queued) || vcpu->nmi_pending)
		return !vireo_backend_get_nmi_mask(vcpu) || vireo_lapic_init_pending(vcpu);
	if (vireo_lapic_init_pending(vcpu))
		return true;
	return vireo_lapic_has_wakeup(vcpu) && (vireo_rflags(vcpu) & X86_EFLAGS_IF);
}

void vireo_update_events(struct vireo_vcpu *vcpu)
{
	bool window = false, pending = vcpu->event_pending;
	int vector;

	if (unlikely(atomic_read(&vcpu->nmi_queued)))
		vireo_collect_nmis(vcpu);
	if (unlikely(vcpu->nmi_pending)) {
		if (!vcpu->event_pending && vireo_backend_nmi_allowed(vcpu)) {
			vcpu->event = (struct vireo_event) {
				.valid = 1,
				.type = VIREO_EVENT_NMI,
				.vector = X86_TRAP_NMI,
			};
			vcpu->event_pending = true;
			vcpu->nmi_pending--;
		}
		if (vcpu->nmi_pending)
			vireo_backend_nmi_window(vcpu, true);
	}
	vcpu->event_waits = vcpu->nmi_pending;

	/* The processor may see to them itself. */
	vector = vireo_lapic_deliver(vcpu, &window) ? -1 : vireo_lapic_highest(vcpu);
	if (vector >= 0) {
		if (!vcpu->event_pending && vireo_backend_irq_allowed(vcpu)) {
			vireo_lapic_ack(vcpu, vector);
			vcpu->event.valid = 1;
			vcpu->event.type = VIREO_EVENT_IRQ;
			vcpu->event.vector = vector;
			vcpu->event.has_error = 0;
			vcpu->event.insn_len = 0;
			vcpu->event_pending = true;
			/* What is below this one waits for its EOI, which asks again. */
			vector = vireo_lapic_highest(vcpu);
			if (vector < 0)
				vireo_lapic_acked(vcpu);
		}
		window = vector >= 0;
	}
	vireo_lapic_watch_tpr(vcpu);
	if (unlikely(vcpu->event_pending != pending) && vireo_hybrid(vcpu->vm))
		vireo_request_set(vcpu, VIREO_REQ_INTERPRET);
	if (unlikely(vcpu->irq_window_user)) {
		if (vireo_extint_ready(vcpu)) {
			/* Not an event for us: out to the launcher. */
			vireo_request_set(vcpu, VIREO_REQ_OUT);
			return;
		}
		window |= vireo_lapic_accepts_extint(vcpu);
	}
	vcpu->event_waits |= window;
	vireo_backend_irq_window(vcpu, window);
}

bool vireo_take_init_sipi(struct vireo_vcpu *vcpu)
{
	struct vireo_segment cs;
	bool taken = false;
	int vector;

	if (vireo_lapic_take_init(vcpu)) {
		vireo_vcpu_reset(vcpu, true);
		taken = true;
	}
	if (vcpu->mp_state != VIREO_MP_WAIT_SIPI)
		return taken;
	vector = vireo_lapic_take_sipi(vcpu);
	if (vector < 0)
		return taken;

	/* SDM vol. 3, 9.4.4: execution starts at 000VV000h. */
	vireo_backend_get_segment(vcpu, VIREO_SEG_CS, &cs);
	cs.selector = vector << 8;
	cs.base = (u64)vector << 12;
	vireo_backend_set_segment(vcpu, VIREO_SEG_CS, &cs);
	vireo_set_rip(vcpu, 0);
	vcpu->mp_state = VIREO_MP_RUNNABLE;
	return true;
}

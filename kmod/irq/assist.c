// SPDX-License-Identifier: GPL-2.0-only
/*
 * What of a local APIC the processor keeps (SDM vol. 3, ch. 30; APM 15.21).
 *
 * Task priority (VIREO_FEATURE_TPR_SHADOW): the guest changes it without an exit.  @tpr, and the limit with it, is
 * what it was when somebody last looked; whoever of the own thread needs them looks (lapic_refresh()).
 * An interrupt that waits for a lower priority is told to the processor as @wake.
 *
 * Delivery (VIREO_FEATURE_VIRTUAL_IRQ): the processor moves vectors from IRR to ISR, carries out EOIs and self-IPIs,
 * all in the page.  The page's IRR and ISR are its own while the guest runs, so nobody else writes them: a
 * vector arrives in @irr, as without, with a request, and the own thread moves it into the page before it enters.
 * So IRR is what is in either, ISR is the page's alone, and @isr is not used.  An EOI is kept from nobody who wants to
 * know: vectors with their bit in TMR exit.
 *
 * Registers (VIREO_FEATURE_APIC_REGISTERS): the guest reads the page.  lapic.c writes each value that
 * it changes into the page, too.
 */
#include "lapic.h"

u32 lapic_page_highest(const struct vireo_vcpu *vcpu, u32 offset)
{
	u32 value;
	int i;

	for (i = 7; i >= 0; i--) {
		value = lapic_page_get(vcpu, offset + 0x10 * i);
		if (value)
			return 32 * i + __fls(value);
	}
	return 0;
}

static void lapic_page_clear(struct vireo_vcpu *vcpu, u32 offset)
{
	int i;

	for (i = 0; i < 8; i++)
		lapic_page_set(vcpu, offset + 0x10 * i, 0);
}

/* At an entry the processor computes it itself. */
static void lapic_page_ppr(struct vireo_vcpu *vcpu)
{
	lapic_page_set(vcpu, APIC_PROCPRI, lapic_ppr(vcpu->lapic));
}

/* ------------------------------------------------------------------ */
/* Task priority                                                        */

/* Class of the highest vector that TPR, whatever else does, keeps waiting; 0: none. */
static u8 lapic_assist_wake(const struct vireo_lapic_state *l)
{
	u32 class;

	if (lapic_virtual_irq(l))
		return 0;
	class = lapic_highest_bit(l->irr) >> 4;
	return class <= l->tpr >> 4 ? class : 0;
}

void lapic_assist_refresh(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	l->tpr = vireo_backend_get_tpr(vcpu);
	if (lapic_virtual_irq(l))
		l->isrv = lapic_page_highest(vcpu, APIC_ISR);
	lapic_update_limit(l);
}

void lapic_assist_tpr(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	l->wake = lapic_assist_wake(l);
	vireo_backend_set_tpr(vcpu, l->tpr, l->wake);
	if (lapic_virtual_irq(l))
		lapic_page_ppr(vcpu);
}

void vireo_lapic_watch_tpr(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	if (!l->assists || lapic_virtual_irq(l))
		return;
	if (lapic_assist_wake(l) != l->wake)
		lapic_assist_tpr(vcpu);
}

u32 lapic_assist_limit(const struct vireo_vcpu *vcpu)
{
	const struct vireo_lapic_state *l = vcpu->lapic;

	if (vcpu->apic_page && lapic_virtual_irq(l))
		return lapic_page_get(vcpu, APIC_PROCPRI) | 0xf;
	if (vcpu->apic_page && READ_ONCE(l->assists))
		return max_t(u8, lapic_page_get(vcpu, APIC_TASKPRI), READ_ONCE(l->isrv)) | 0xf;
	return READ_ONCE(l->limit);
}

/* ------------------------------------------------------------------ */
/* Delivery                                                             */

/* @all: for a look at what waits. */
static void lapic_assist_exits(struct vireo_vcpu *vcpu, u32 word, bool all)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u64 level = READ_ONCE(l->tmr[word]);

	l->eoi_exits[word] = all ? ~0UL : level;
	vireo_backend_eoi_exits(vcpu, word, l->eoi_exits[word]);
	lapic_page_set(vcpu, APIC_TMR + 0x20 * word, level);
	lapic_page_set(vcpu, APIC_TMR + 0x20 * word + 0x10, level >> 32);
}

/*
 * Bochs 2.7 delivers a virtual interrupt that waits for IF as soon as one of the host's comes.  So it gets one that can
 * be taken at once, and exits for the others: when IF lets them in, or at an EOI.  Left over is
 * a guest that lowers TPR while IF is clear.
 *
 * Return: true: an interrupt window is wanted.
 */
static bool lapic_deliver_careful(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 vector, class, offset, i;
	bool wait = false;

	lapic_assist_refresh(vcpu);
	vector = lapic_highest_bit(l->irr);
	class = vector >> 4;
	if (class > l->isrv >> 4) {
		if (class > l->tpr >> 4 && (vcpu->event_pending || !vireo_backend_irq_allowed(vcpu)))
			return true;
		clear_bit(vector, l->irr);
		offset = APIC_IRR + (vector >> 5) * 0x10;
		lapic_page_set(vcpu, offset, lapic_page_get(vcpu, offset) | BIT(vector & 31));
		vireo_backend_irq_request(vcpu, vector);
		vector = lapic_highest_bit(l->irr);
	}
	wait = vector;
	for (i = 0; i < 4; i++) {
		if (l->eoi_exits[i] != (wait ? ~0UL : READ_ONCE(l->tmr[i])))
			lapic_assist_exits(vcpu, i, wait);
	}
	if (unlikely(READ_ONCE(l->timer_parked)))
		lapic_timer_unpark(vcpu);
	return false;
}

bool vireo_lapic_deliver(struct vireo_vcpu *vcpu, bool *window)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 top = 0, offset;
	u64 arrived;
	int i;

	if (!lapic_virtual_irq(l))
		return false;
	if (unlikely(l->timer_restore))
		lapic_timer_go(vcpu);
	if (unlikely(vireo_caps.irq_careful)) {
		*window = lapic_deliver_careful(vcpu);
		return true;
	}
	for (i = 3; i >= 0; i--) {
		if (!READ_ONCE(l->irr[i]))
			continue;
		/* Whoever has set a bit there has set TMR before: lapic_set_irr(). */
		arrived = xchg(&l->irr[i], 0);
		if (unlikely(READ_ONCE(l->tmr[i]) != l->eoi_exits[i]))
			lapic_assist_exits(vcpu, i, false);
		offset = APIC_IRR + 0x20 * i;
		if ((u32)arrived)
			lapic_page_set(vcpu, offset, lapic_page_get(vcpu, offset) | (u32)arrived);
		offset += 0x10;
		if (arrived >> 32)
			lapic_page_set(vcpu, offset, lapic_page_get(vcpu, offset) | arrived >> 32);
		if (!top)
			top = 64 * i + __fls(arrived);
	}
	if (!top)
		return true;
	vireo_backend_irq_request(vcpu, top);
	if (unlikely(READ_ONCE(l->timer_parked)))
		lapic_timer_unpark(vcpu);
	return true;
}

void lapic_assist_eoi(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 offset = APIC_ISR + (l->isrv >> 5) * 0x10;

	lapic_page_set(vcpu, offset, lapic_page_get(vcpu, offset) & ~BIT(l->isrv & 31));
	l->isrv = lapic_page_highest(vcpu, APIC_ISR);
	lapic_update_limit(l);
	lapic_page_ppr(vcpu);
	vireo_backend_irq_status(vcpu, lapic_page_highest(vcpu, APIC_IRR), l->isrv);
}

/* ------------------------------------------------------------------ */
/* On and off                                                           */

/* From @isr to the page's; what was in the page's IRR is gone. */
static void lapic_assist_load_irq(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	int i;

	for (i = 0; i < 8; i++)
		lapic_page_set(vcpu, APIC_ISR + 0x10 * i, ((u32 *)l->isr)[i]);
	memset(l->isr, 0, sizeof(l->isr));
	lapic_page_clear(vcpu, APIC_IRR);
	vireo_backend_irq_status(vcpu, 0, l->isrv);
	/* What is in @irr goes into the page. */
	vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

void lapic_assist_state(struct vireo_vcpu *vcpu)
{
	const struct vireo_lapic_state *l = vcpu->lapic;
	u32 i;

	if (!lapic_virtual_irq(l)) {
		if (vireo_backend_get_tpr(vcpu) != l->tpr || lapic_assist_wake(l) != l->wake)
			lapic_assist_tpr(vcpu);
		return;
	}
	lapic_assist_load_irq(vcpu);
	for (i = 0; i < 4; i++) {
		if (l->eoi_exits[i] != READ_ONCE(l->tmr[i]))
			lapic_assist_exits(vcpu, i, false);
	}
	lapic_assist_tpr(vcpu);
}

static void lapic_assist_stop_irq(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	int i, bit;
	u32 word;

	for (i = 0; i < 8; i++) {
		((u32 *)l->isr)[i] = lapic_page_get(vcpu, APIC_ISR + 0x10 * i);
		word = lapic_page_get(vcpu, APIC_IRR + 0x10 * i);
		for (; word; word &= word - 1) {
			bit = 32 * i + __ffs(word);
			set_bit(bit, l->irr);
		}
	}
	lapic_page_clear(vcpu, APIC_ISR);
	lapic_page_clear(vcpu, APIC_IRR);
	vireo_backend_irq_status(vcpu, 0, 0);
	vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

void lapic_assist_stop(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	if (!l->assists)
		return;
	lapic_assist_refresh(vcpu);
	if (lapic_virtual_irq(l))
		lapic_assist_stop_irq(vcpu);
	WRITE_ONCE(l->assists, 0);
	l->wake = 0;
}

void lapic_assist_setup(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	enum vireo_apic_mode mode = VIREO_APIC_OFF;
	u32 i;

	/* A vCPU that is being made, or a test's that never runs. */
	if (!vcpu->backend)
		return;
	/* What is settled by memory is not for the processor to know of. */
	if (unlikely(l->pv_eoi)) {
		lapic_pv_eoi_sync(vcpu, false);
		l->pv_eoi = false;
		lapic_update_limit(l);
	}
	if (l->mode & LAPIC_ON)
		mode = l->mode & LAPIC_X2 ? VIREO_APIC_X2APIC : VIREO_APIC_XAPIC;
	lapic_assist_stop(vcpu);
	WRITE_ONCE(l->assists, vireo_backend_apic_setup(vcpu, mode));
	if (lapic_virtual_irq(l)) {
		lapic_assist_load_irq(vcpu);
		for (i = 0; i < 4; i++)
			lapic_assist_exits(vcpu, i, false);
	}
	if (l->assists)
		lapic_assist_tpr(vcpu);
}

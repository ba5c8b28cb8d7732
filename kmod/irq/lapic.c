// SPDX-License-Identifier: GPL-2.0-only
/*
 * Local APIC: registers, priorities, acceptance, state (SDM vol. 3, ch. 11).
 *
 * Two numbers keep the hot paths short.  @isrv is the highest vector in service,
 * and @limit the highest vector that is *not* delivered now: the larger of TPR
 * and @isrv, filled up to the end of its priority class.  So "what should the processor
 * take" is one scan of IRR and one comparison, and a disabled APIC is one
 * with a limit of 255.
 *
 * A vector that others put into IRR always comes with a request, so nothing here
 * has to be ordered against TPR or EOI: what the own thread lowers, it looks
 * at again itself.
 */
#include <linux/nospec.h>
#include <linux/slab.h>

#include "../pvclock.h"
#include "../tracing.h"
#include "lapic.h"

static_assert(sizeof_field(struct vireo_lapic, regs) == 0x400 / 16 * sizeof(u32));
static_assert(APIC_BASE_MSR == 0x800);

#define X2APIC_MSR(offset)	(APIC_BASE_MSR + ((offset) >> 4))

/*
 * SDM vol. 3, figure 11-12: ICR bits that can be written; 12, delivery status, is read-only in
 * xAPIC mode and gone in x2APIC mode.
 */
#define ICR_BUSY		0x1000U
#define ICR_BITS		0xccfffU
#define ICR_RESERVED		(~(ICR_BITS | ICR_BUSY))

#define SVR_BITS		0x3ffU		/* vector, enable, focus checking */
#define TDCR_BITS		0xbU
#define LVT_STATUS		0x1000U		/* delivery status, read-only */
#define LVT_REMOTE_IRR		0x4000U		/* read-only */

#define BIT_OF(offset)		BIT_ULL((offset) >> 4)
#define BITS_OF(first, last)	GENMASK_ULL((last) >> 4, (first) >> 4)

/* Table 11-1: registers of xAPIC mode.  APR and RRD exist there and read as 0. */
#define XAPIC_READ (BIT_OF(APIC_ID) | BIT_OF(APIC_LVR) | BITS_OF(APIC_TASKPRI, APIC_PROCPRI) | \
		    BIT_OF(APIC_RRR) | BITS_OF(APIC_LDR, APIC_ESR) |			\
		    BITS_OF(APIC_ICR, APIC_TMCCT) | BIT_OF(APIC_TDCR) | BIT_OF(APIC_EOI))
#define XAPIC_WRITE (BIT_OF(APIC_ID) | BIT_OF(APIC_TASKPRI) | BIT_OF(APIC_EOI) |	\
		     BITS_OF(APIC_LDR, APIC_SPIV) | BIT_OF(APIC_ESR) |			\
		     BITS_OF(APIC_ICR, APIC_TMICT) | BIT_OF(APIC_TDCR))
/* Table 11-6: MSRs of x2APIC mode. */
#define X2APIC_READ (BIT_OF(APIC_ID) | BIT_OF(APIC_LVR) | BIT_OF(APIC_TASKPRI) |	\
		     BIT_OF(APIC_PROCPRI) | BIT_OF(APIC_LDR) | BITS_OF(APIC_SPIV, APIC_ESR) | \
		     BIT_OF(APIC_ICR) | BITS_OF(APIC_LVTT, APIC_TMCCT) | BIT_OF(APIC_TDCR))
#define X2APIC_WRITE (BIT_OF(APIC_TASKPRI) | BIT_OF(APIC_EOI) | BIT_OF(APIC_SPIV) |	\
		      BIT_OF(APIC_ESR) | BIT_OF(APIC_ICR) | BITS_OF(APIC_LVTT, APIC_TMICT) | \
		      BIT_OF(APIC_TDCR) | BIT_OF(APIC_SELF_IPI))

u64 vireo_lapic_page_reads(bool virtual_irq)
{
	/* ICR has 64 bits, of which the page has no more than xAPIC mode's; the current count is computed. */
	u64 reads = X2APIC_READ & ~(BIT_OF(APIC_ICR) | BIT_OF(APIC_TMCCT));

	/* Kept in the page by the processor, or not at all. */
	if (!virtual_irq)
		reads &= ~(BIT_OF(APIC_PROCPRI) | BITS_OF(APIC_ISR, APIC_ESR - 0x10));
	/* Then most of it is not in the page. */
	if (vireo_caps.irq_careful)
		reads &= ~BITS_OF(APIC_IRR, APIC_ESR - 0x10);
	return reads;
}

static const u32 lvt_bits[LVT_NR] = {
	[LVT_TIMER]	= APIC_VECTOR_MASK | APIC_LVT_MASKED | 3U << 17,
	[LVT_THERMAL]	= APIC_VECTOR_MASK | APIC_MODE_MASK | APIC_LVT_MASKED,
	[LVT_PERF]	= APIC_VECTOR_MASK | APIC_MODE_MASK | APIC_LVT_MASKED,
	[LVT_LINT0]	= APIC_VECTOR_MASK | APIC_MODE_MASK | APIC_INPUT_POLARITY |
			  APIC_LVT_LEVEL_TRIGGER | APIC_LVT_MASKED,
	[LVT_LINT1]	= APIC_VECTOR_MASK | APIC_MODE_MASK | APIC_INPUT_POLARITY |
			  APIC_LVT_LEVEL_TRIGGER | APIC_LVT_MASKED,
	[LVT_ERROR]	= APIC_VECTOR_MASK | APIC_LVT_MASKED,
};

/* Bits of an LVT entry that this guest can write: no TSC-deadline mode without its CPUID bit. */
static u32 lapic_lvt_bits(struct vireo_vcpu *vcpu, u32 nr)
{
	u32 bits = lvt_bits[nr];

	if (nr == LVT_TIMER && !vcpu->caps.tsc_deadline)
		bits &= ~APIC_LVT_TIMER_TSCDEADLINE;
	return bits;
}

/* ------------------------------------------------------------------ */
/* Priorities                                                           */

static void lapic_write_tpr(struct vireo_vcpu *vcpu, u8 tpr)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	lapic_refresh(vcpu, l);
	l->tpr = tpr;
	lapic_update_limit(l);
	if (unlikely(l->assists))
		lapic_assist_tpr(vcpu);
	lapic_recheck(vcpu, l);
}

u64 vireo_lapic_get_tpr(struct vireo_vcpu *vcpu)
{
	lapic_refresh(vcpu, vcpu->lapic);
	return vcpu->lapic->tpr >> 4;
}

void vireo_lapic_set_tpr(struct vireo_vcpu *vcpu, u64 cr8)
{
	lapic_write_tpr(vcpu, (cr8 & 15) << 4);
}

int vireo_lapic_highest(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 vector;

	if (unlikely(l->timer_restore))
		lapic_timer_go(vcpu);
	lapic_refresh(vcpu, l);
	if (unlikely(l->pv_eoi) && !lapic_pv_eoi_sync(vcpu, false))
		return -1;
	vector = lapic_highest_bit(l->irr);
	if (lapic_virtual_irq(l))
		vector = max(vector, lapic_page_highest(vcpu, APIC_IRR));
	return vector > l->limit ? vector : -1;
}

void vireo_lapic_acked(struct vireo_vcpu *vcpu)
{
	if (unlikely(vcpu->lapic->pv_eoi_msr & 1))
		lapic_pv_eoi_offer(vcpu);
}

void vireo_lapic_ack(struct vireo_vcpu *vcpu, int vector)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	clear_bit(vector, l->irr);
	__set_bit(vector, l->isr);
	l->isrv = vector;
	/* It was above the limit, so it is above TPR. */
	WRITE_ONCE(l->limit, vector | 0xf);
	if (unlikely(READ_ONCE(l->timer_parked)))
		lapic_timer_unpark(vcpu);
}

bool vireo_lapic_has_wakeup(struct vireo_vcpu *vcpu)
{
	return vireo_lapic_highest(vcpu) >= 0;
}

static noinline void lapic_eoi_level(struct vireo_vcpu *vcpu, struct vireo_lapic_state *l,
				     u32 vector)
{
	if (vireo_irqfd_eoi(vcpu->vm, vector))
		return;
	__set_bit(vector, l->eoi);
	vireo_request_set(vcpu, VIREO_REQ_EOI);
}

/* SDM vol. 3, 11.8.5 */
static __always_inline void lapic_eoi(struct vireo_vcpu *vcpu, struct vireo_lapic_state *l)
{
	u32 vector;

	lapic_refresh(vcpu, l);
	/* An EOI beside the one that has been, or a guest that does not look at its bit. */
	if (unlikely(l->pv_eoi)) {
		lapic_pv_eoi_sync(vcpu, false);
		l->pv_eoi = false;
	}
	vector = l->isrv;
	if (unlikely(!vector))
		return;
	vireo_trace(apic_eoi, vcpu, vector);
	if (unlikely(lapic_virtual_irq(l))) {
		lapic_assist_eoi(vcpu);
	} else {
		__clear_bit(vector, l->isr);
		l->isrv = lapic_highest_bit(l->isr);
		lapic_update_limit(l);
	}
	if (unlikely(test_bit(vector, l->tmr)))
		lapic_eoi_level(vcpu, l, vector);
	lapic_recheck(vcpu, l);
}

void lapic_pv_eoi_ended(struct vireo_vcpu *vcpu)
{
	vcpu->counters.pv_eois++;
	lapic_eoi(vcpu, vcpu->lapic);
}

bool vireo_lapic_take_eois(struct vireo_vcpu *vcpu, u64 vectors[4])
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u64 any = 0;
	int i;

	for (i = 0; i < 4; i++) {
		vectors[i] = l->eoi[i];
		l->eoi[i] = 0;
	}
	vireo_irqfd_eois(vcpu->vm, vectors);
	for (i = 0; i < 4; i++)
		any |= vectors[i];
	return any;
}

/* ------------------------------------------------------------------ */
/* Acceptance                                                           */

bool lapic_accept(struct vireo_vcpu *vcpu, u8 vector, bool level)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	/* SDM vol. 3, 11.4.7.2: software-disabled: takes INIT, NMI, SMI and SIPI only. */
	if (unlikely(!(READ_ONCE(l->mode) & LAPIC_SW)))
		return false;
	if (unlikely(vector < LAPIC_FIRST_VECTOR)) {
		lapic_error(vcpu, APIC_ESR_RECVILL);
		return false;
	}
	vireo_trace(apic_accept, vcpu, vector, level);
	if (!lapic_set_irr(l, vector, level))
		vireo_request(vcpu, VIREO_REQ_EVENT);
	return true;
}

bool lapic_accept_self(struct vireo_vcpu *vcpu, u8 vector)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	if (unlikely(!(l->mode & LAPIC_SW)))
		return false;
	if (unlikely(vector < LAPIC_FIRST_VECTOR)) {
		lapic_error(vcpu, APIC_ESR_RECVILL);
		return false;
	}
	vireo_trace(apic_accept, vcpu, vector, false);
	lapic_set_irr(l, vector, false);
	/* With assists the limit is as old as the last look. */
	if (vector > l->limit || l->assists)
		vireo_request_set(vcpu, VIREO_REQ_EVENT);
	return true;
}

void lapic_error(struct vireo_vcpu *vcpu, u32 bits)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 lvt;

	/* One interrupt until ESR is written, which arms it again (SDM vol. 3, 11.5.3). */
	if (atomic_fetch_or(bits, &l->errors))
		return;
	lvt = READ_ONCE(l->lvt[LVT_ERROR]);
	if (!(lvt & APIC_LVT_MASKED))
		lapic_accept(vcpu, lvt & APIC_VECTOR_MASK, false);
}

bool vireo_lapic_accepts_extint(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 lvt = l->lvt[LVT_LINT0];

	/* SDM vol. 3, 11.4.3: without an APIC the pins are INTR and NMI. */
	if (!(l->mode & LAPIC_ON))
		return true;
	return !(lvt & APIC_LVT_MASKED) && GET_APIC_DELIVERY_MODE(lvt) == APIC_MODE_EXTINT;
}

/* ------------------------------------------------------------------ */
/* INIT and SIPI                                                        */

bool vireo_lapic_init_pending(struct vireo_vcpu *vcpu)
{
	return atomic_read(&vcpu->lapic->init_sipi) & LAPIC_INIT;
}

bool vireo_lapic_take_init(struct vireo_vcpu *vcpu)
{
	if (!vireo_lapic_init_pending(vcpu))
		return false;
	return atomic_fetch_andnot(LAPIC_INIT, &vcpu->lapic->init_sipi) & LAPIC_INIT;
}

int vireo_lapic_take_sipi(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	int old = atomic_read(&l->init_sipi);

	do {
		/* An INIT that came meanwhile goes first and forgets the SIPI before it. */
		if (!(old & LAPIC_SIPI) || (old & LAPIC_INIT))
			return -1;
	} while (!atomic_try_cmpxchg(&l->init_sipi, &old, 0));
	return old & 0xff;
}

void vireo_lapic_get_init_sipi(struct vireo_vcpu *vcpu, u8 *init, int *sipi)
{
	int value = atomic_read(&vcpu->lapic->init_sipi);

	*init = !!(value & LAPIC_INIT);
	*sipi = value & LAPIC_SIPI ? value & 0xff : -1;
}

void vireo_lapic_set_init_sipi(struct vireo_vcpu *vcpu, bool init, int sipi)
{
	u32 value = init ? LAPIC_INIT : 0;

	if (sipi >= 0)
		value |= LAPIC_SIPI | (sipi & 0xff);
	atomic_set(&vcpu->lapic->init_sipi, value);
	if (value)
		vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

/* ------------------------------------------------------------------ */
/* Registers                                                            */

static u32 lapic_read(struct vireo_vcpu *vcpu, u32 offset)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	bool x2 = l->mode & LAPIC_X2;

	switch (offset) {
	case APIC_ID:
		return x2 ? vcpu->id : vcpu->id << 24;
	case APIC_LVR:
		return LAPIC_VERSION;
	case APIC_TASKPRI:
		lapic_refresh(vcpu, l);
		return l->tpr;
	case APIC_PROCPRI:
		lapic_refresh(vcpu, l);
		if (unlikely(l->pv_eoi))
			lapic_pv_eoi_sync(vcpu, false);
		return lapic_ppr(l);
	case APIC_LDR:
		return x2 ? lapic_x2_ldr(vcpu->id) : l->ldr;
	case APIC_DFR:
		return l->dfr;
	case APIC_SPIV:
		return l->svr;
	case APIC_ISR ... APIC_ISR + 0x70:
		if (lapic_virtual_irq(l))
			return lapic_page_get(vcpu, offset);
		if (unlikely(l->pv_eoi))
			lapic_pv_eoi_sync(vcpu, false);
		return ((const u32 *)l->isr)[(offset - APIC_ISR) >> 4];
	case APIC_TMR ... APIC_TMR + 0x70:
		return READ_ONCE(((const u32 *)l->tmr)[(offset - APIC_TMR) >> 4]);
	case APIC_IRR ... APIC_IRR + 0x70:
		return READ_ONCE(((const u32 *)l->irr)[(offset - APIC_IRR) >> 4]) |
		       (lapic_virtual_irq(l) ? lapic_page_get(vcpu, offset) : 0);
	case APIC_ESR:
		return l->esr;
	case APIC_ICR:
		return l->icr;
	case APIC_ICR2:
		return l->icr >> 32;
	case APIC_LVTT ... APIC_LVTERR:
		return l->lvt[(offset - APIC_LVTT) >> 4];
	case APIC_TMICT:
		return l->initial;
	case APIC_TMCCT:
		return lapic_timer_current(l, ktime_get());
	case APIC_TDCR:
		return l->tdcr;
	default:
		return 0;
	}
}

/* The processor's copies of registers that only software changes, if the guest reads them there. */
static void lapic_mirror(struct vireo_vcpu *vcpu)
{
	const struct vireo_lapic_state *l = vcpu->lapic;
	const bool x2 = l->mode & LAPIC_X2;
	u32 i;

	if (!(l->assists & VIREO_FEATURE_APIC_REGISTERS))
		return;
	lapic_page_set(vcpu, APIC_ID, x2 ? vcpu->id : vcpu->id << 24);
	lapic_page_set(vcpu, APIC_LVR, LAPIC_VERSION);
	lapic_page_set(vcpu, APIC_LDR, x2 ? lapic_x2_ldr(vcpu->id) : l->ldr);
	lapic_page_set(vcpu, APIC_DFR, l->dfr);
	lapic_page_set(vcpu, APIC_SPIV, l->svr);
	lapic_page_set(vcpu, APIC_ESR, l->esr);
	lapic_page_set(vcpu, APIC_ICR, l->icr);
	lapic_page_set(vcpu, APIC_ICR2, l->icr >> 32);
	for (i = 0; i < LVT_NR; i++)
		lapic_page_set(vcpu, APIC_LVTT + 0x10 * i, l->lvt[i]);
	lapic_page_set(vcpu, APIC_TMICT, l->initial);
	lapic_page_set(vcpu, APIC_TDCR, l->tdcr);
}

static u32 lapic_mode(const struct vireo_vcpu *vcpu)
{
	u32 mode = 0;

	if (vcpu->apic_base & MSR_IA32_APICBASE_ENABLE) {
		mode = LAPIC_ON;
		if (vcpu->apic_base & X2APIC_ENABLE)
			mode |= LAPIC_X2;
		if (vcpu->lapic->svr & APIC_SPIV_APIC_ENABLED)
			mode |= LAPIC_SW;
	}
	return mode;
}

/* Everything that follows from IA32_APIC_BASE and SVR. */
static void lapic_update_mode(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 mode = lapic_mode(vcpu);

	if (mode != l->mode) {
		WRITE_ONCE(l->mode, mode);
		lapic_logical_changed(vcpu);
	}
	lapic_update_limit(l);
	lapic_assist_setup(vcpu);
	lapic_mirror(vcpu);
}

static void lapic_write_lvt(struct vireo_vcpu *vcpu, u32 nr, u32 value)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	value &= lapic_lvt_bits(vcpu, nr);
	/* SDM vol. 3, 11.4.7.2: masks stay set while the APIC is software-disabled. */
	if (!(l->mode & LAPIC_SW))
		value |= APIC_LVT_MASKED;
	if (nr == LVT_TIMER)
		lapic_timer_set_lvt(vcpu, value);
	else
		WRITE_ONCE(l->lvt[nr], value);
}

static void lapic_write_svr(struct vireo_vcpu *vcpu, u32 value)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	int i;

	l->svr = value & SVR_BITS;
	lapic_update_mode(vcpu);
	if (l->svr & APIC_SPIV_APIC_ENABLED)
		return;
	for (i = 0; i < LVT_NR; i++)
		WRITE_ONCE(l->lvt[i], l->lvt[i] | APIC_LVT_MASKED);
}

/* @offset can be written in the current mode, and @value has no reserved bits in x2APIC mode. */
static void lapic_write_register(struct vireo_vcpu *vcpu, u32 offset, u32 value)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	switch (offset) {
	case APIC_TASKPRI:
		lapic_write_tpr(vcpu, value);
		break;
	case APIC_EOI:
		lapic_eoi(vcpu, l);
		break;
	case APIC_LDR:
		WRITE_ONCE(l->ldr, value & 0xff000000);
		lapic_logical_changed(vcpu);
		break;
	case APIC_DFR:
		WRITE_ONCE(l->dfr, value | 0x0fffffff);
		lapic_logical_changed(vcpu);
		break;
	case APIC_SPIV:
		lapic_write_svr(vcpu, value);
		break;
	case APIC_ESR:
		l->esr = atomic_xchg(&l->errors, 0);
		break;
	case APIC_ICR:
		value &= ICR_BITS;
		l->icr = (l->icr & ~0xffffffffULL) | value;
		lapic_send_ipi(vcpu, value, l->icr >> 56, false);
		break;
	case APIC_ICR2:
		l->icr = (u32)l->icr | (u64)(value & 0xff000000) << 32;
		break;
	case APIC_LVTT ... APIC_LVTERR:
		lapic_write_lvt(vcpu, (offset - APIC_LVTT) >> 4, value);
		break;
	case APIC_TMICT:
		lapic_timer_set_initial(vcpu, value);
		break;
	case APIC_TDCR:
		lapic_timer_set_divide(vcpu, value & TDCR_BITS);
		break;
	case APIC_SELF_IPI:
		if (value < LAPIC_FIRST_VECTOR)
			lapic_error(vcpu, APIC_ESR_SENDILL);
		vcpu->counters.ipis += lapic_accept_self(vcpu, value);
		break;
	default:
		/* The id cannot be changed, as on most processors (SDM vol. 3, 11.4.6). */
		break;
	}
}

static void lapic_write(struct vireo_vcpu *vcpu, u32 offset, u32 value)
{
	lapic_write_register(vcpu, offset, value);
	/* An entry of the LVT, or SVR, changes others. */
	if (offset != APIC_EOI && offset != APIC_TASKPRI)
		lapic_mirror(vcpu);
}

/* ------------------------------------------------------------------ */
/* x2APIC: MSRs                                                         */

/* Bits that must be zero in a write, else #GP (SDM vol. 3, 11.12.1.3). */
static u64 lapic_x2_reserved(struct vireo_vcpu *vcpu, u32 offset)
{
	u32 lvt;

	switch (offset) {
	case APIC_TASKPRI:
	case APIC_SELF_IPI:
		return ~0xffULL;
	case APIC_SPIV:
		return ~(u64)SVR_BITS;
	case APIC_EOI:
	case APIC_ESR:
		return ~0ULL;
	case APIC_LVTT ... APIC_LVTERR:
		lvt = (offset - APIC_LVTT) >> 4;
		/* Read-only bits are not reserved. */
		return ~(u64)(lapic_lvt_bits(vcpu, lvt) | LVT_STATUS |
			      (lvt == LVT_LINT0 || lvt == LVT_LINT1 ? LVT_REMOTE_IRR : 0));
	case APIC_TDCR:
		return ~(u64)TDCR_BITS;
	case APIC_TMICT:
		return ~0xffffffffULL;
	default:
		return 0;
	}
}

static int lapic_x2_write(struct vireo_vcpu *vcpu, u32 index, u64 data)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 offset = (index - APIC_BASE_MSR) << 4;

	if (!(l->mode & LAPIC_X2) || offset >= 0x400 || !(X2APIC_WRITE & BIT_OF(offset)))
		return -EINVAL;
	if (offset == APIC_ICR) {
		if ((u32)data & ICR_RESERVED)
			return -EINVAL;
		l->icr = data & ~(u64)ICR_BUSY;
		lapic_send_ipi(vcpu, l->icr, data >> 32, true);
		return 0;
	}
	if (data & lapic_x2_reserved(vcpu, offset))
		return -EINVAL;
	lapic_write(vcpu, offset, data);
	return 0;
}

int vireo_lapic_msr_write(struct vireo_vcpu *vcpu, u32 index, u64 data)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	struct vireo_vcpu *target;
	u32 dest;

	if (unlikely(!(l->mode & LAPIC_X2)))
		return -EINVAL;
	vireo_trace(apic, vcpu, true, (index - APIC_BASE_MSR) << 4, data);

	if (index == X2APIC_MSR(APIC_EOI) && likely(!data)) {
		lapic_eoi(vcpu, l);
		return 0;
	}
	/* Fixed, physical, no shorthand, legal vector: one APIC at most, found by its id. */
	if (index == X2APIC_MSR(APIC_ICR) && !((u32)data & ~(APIC_VECTOR_MASK | APIC_INT_ASSERT)) &&
	    (u8)data >= LAPIC_FIRST_VECTOR) {
		dest = data >> 32;
		if (dest == vcpu->id) {
			l->icr = data;
			vcpu->counters.ipis += lapic_accept_self(vcpu, data);
			return 0;
		}
		if (likely(dest < VIREO_MAX_VCPUS)) {
			l->icr = data;
			dest = array_index_nospec(dest, VIREO_MAX_VCPUS);
			/* Pairs with vireo_vcpu_create(): a whole vCPU, or none. */
			target = smp_load_acquire(&vcpu->vm->vcpus[dest]);
			if (target)
				vcpu->counters.ipis += lapic_accept(target, data, false);
			return 0;
		}
	}
	if (index == X2APIC_MSR(APIC_SELF_IPI) && data >= LAPIC_FIRST_VECTOR && data <= 0xff) {
		vcpu->counters.ipis += lapic_accept_self(vcpu, data);
		return 0;
	}
	return lapic_x2_write(vcpu, index, data);
}

int vireo_lapic_msr_read(struct vireo_vcpu *vcpu, u32 index, u64 *data)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 offset = (index - APIC_BASE_MSR) << 4;

	if (!(l->mode & LAPIC_X2) || offset >= 0x400 || !(X2APIC_READ & BIT_OF(offset)))
		return -EINVAL;
	if (offset == APIC_ICR)
		*data = l->icr;
	else
		*data = lapic_read(vcpu, offset);
	vireo_trace(apic, vcpu, false, offset, *data);
	return 0;
}

/* ------------------------------------------------------------------ */
/* xAPIC: the page                                                      */

bool vireo_lapic_mmio_hit(struct vireo_vcpu *vcpu, u64 gpa)
{
	/* The base's reserved bits are zero, so all but the flags is address. */
	return (vcpu->lapic->mode & (LAPIC_ON | LAPIC_X2)) == LAPIC_ON &&
	       !((gpa ^ vcpu->apic_base) & PAGE_MASK);
}

/*
 * Registers are read and written by aligned 32-bit accesses; what else happens is up to
 * the processor (SDM vol. 3, 11.4.1).  Here: reads of parts of a register work, all others
 * read as zero, other writes do nothing.
 */
void vireo_lapic_mmio_read(struct vireo_vcpu *vcpu, u32 offset, u32 len, void *data)
{
	u32 reg = offset & ~0xfU, byte = offset & 0xf, value;

	if (WARN_ON_ONCE(len > 8))
		return;
	memset(data, 0, len);
	if (reg >= 0x400 || !(XAPIC_READ & BIT_OF(reg))) {
		lapic_error(vcpu, APIC_ESR_ILLREGA);
		return;
	}
	if (byte + len > sizeof(value))
		return;
	value = lapic_read(vcpu, reg);
	vireo_trace(apic, vcpu, false, reg, value);
	memcpy(data, (u8 *)&value + byte, len);
}

void vireo_lapic_mmio_write(struct vireo_vcpu *vcpu, u32 offset, u32 len, const void *data)
{
	u32 value;

	if (len != sizeof(value) || (offset & 0xf))
		return;
	if (offset >= 0x400 || !((XAPIC_READ | XAPIC_WRITE) & BIT_OF(offset))) {
		lapic_error(vcpu, APIC_ESR_ILLREGA);
		return;
	}
	if (!(XAPIC_WRITE & BIT_OF(offset)))
		return;
	memcpy(&value, data, sizeof(value));
	vireo_trace(apic, vcpu, true, offset, value);
	lapic_write(vcpu, offset, value);
}

/* The processor has stored a write into the page and stepped over the instruction. */
void vireo_lapic_written(struct vireo_vcpu *vcpu, u32 offset)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	u32 value = lapic_page_get(vcpu, offset);

	if (!(l->mode & LAPIC_X2))
		vireo_lapic_mmio_write(vcpu, offset, sizeof(value), &value);
	else if (offset == APIC_SELF_IPI)
		/* Vectors that it does not deliver itself: illegal ones. */
		lapic_write(vcpu, offset, value);
	/* What cannot be written has another value than the page has now. */
	lapic_mirror(vcpu);
}

/* ... or an EOI that others have to hear of. */
void vireo_lapic_eoi_done(struct vireo_vcpu *vcpu, u8 vector)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	vireo_trace(apic_eoi, vcpu, vector);
	if (test_bit(vector, l->tmr))
		lapic_eoi_level(vcpu, l, vector);
	/* What has waited for this EOI. */
	if (lapic_highest_bit(l->irr))
		vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

/* ------------------------------------------------------------------ */
/* Reset and IA32_APIC_BASE                                             */

/* Registers as after RESET or INIT (SDM vol. 3, 11.4.7.1). */
static void lapic_reset_registers(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	int i;

	lapic_assist_stop(vcpu);
	lapic_timer_stop(l);
	for (i = 0; i < 4; i++) {
		WRITE_ONCE(l->irr[i], 0);
		WRITE_ONCE(l->tmr[i], 0);
		l->isr[i] = 0;
	}
	l->isrv = 0;
	l->pv_eoi = false;
	l->tpr = 0;
	l->svr = 0xff;
	l->esr = 0;
	atomic_set(&l->errors, 0);
	l->icr = 0;
	WRITE_ONCE(l->ldr, 0);
	WRITE_ONCE(l->dfr, 0xffffffff);
	for (i = 0; i < LVT_NR; i++)
		WRITE_ONCE(l->lvt[i], APIC_LVT_MASKED);
	l->timer_mode = LAPIC_ONESHOT;
	l->initial = 0;
	l->tdcr = 0;
	lapic_update_mode(vcpu);
	lapic_logical_changed(vcpu);
}

void vireo_lapic_reset(struct vireo_vcpu *vcpu, bool init)
{
	/* INIT keeps IA32_APIC_BASE and so x2APIC mode (SDM vol. 3, 11.12.5.1). */
	if (!init) {
		vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE;
		if (!vcpu->id)
			vcpu->apic_base |= MSR_IA32_APICBASE_BSP;
		atomic_set(&vcpu->lapic->init_sipi, 0);
	}
	vcpu->lapic->pv_eoi_msr = 0;
	lapic_reset_registers(vcpu);
}

int vireo_lapic_check_base(struct vireo_vcpu *vcpu, u64 value)
{
	u64 allowed = (vcpu->caps.phys_mask & PAGE_MASK) | MSR_IA32_APICBASE_BSP |
		      MSR_IA32_APICBASE_ENABLE;

	if (vcpu->caps.x2apic)
		allowed |= X2APIC_ENABLE;
	if (value & ~allowed)
		return -EINVAL;
	return (value & X2APIC_ENABLE) && !(value & MSR_IA32_APICBASE_ENABLE) ? -EINVAL : 0;
}

int vireo_lapic_set_base(struct vireo_vcpu *vcpu, u64 value, bool host)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	bool on = value & MSR_IA32_APICBASE_ENABLE, x2 = value & X2APIC_ENABLE;

	if (vireo_lapic_check_base(vcpu, value))
		return -EINVAL;
	/* SDM vol. 3, figure 11-27: x2APIC is entered from xAPIC, left to disabled. */
	if (!host) {
		if (on && !x2 && (l->mode & LAPIC_X2))
			return -EINVAL;
		if (x2 && !(l->mode & LAPIC_ON))
			return -EINVAL;
	}

	vcpu->apic_base = value;
	if (!on && (l->mode & LAPIC_ON)) {
		/* When it comes on again it is as after power-up (SDM vol. 3, 11.4.3). */
		lapic_reset_registers(vcpu);
		return 0;
	}
	if (x2 != !!(l->mode & LAPIC_X2))
		l->icr = (u32)l->icr;
	lapic_update_mode(vcpu);
	lapic_recheck(vcpu, l);
	return 0;
}

/* ------------------------------------------------------------------ */
/* State block                                                          */

void vireo_lapic_get_state(struct vireo_vcpu *vcpu, struct vireo_lapic *state)
{
	u64 readable = XAPIC_READ;
	u32 i;

	/* The block has the halves of ICR apart, and keeps DFR for the way back. */
	if (vcpu->lapic->mode & LAPIC_X2)
		readable = X2APIC_READ | BIT_OF(APIC_ICR2) | BIT_OF(APIC_DFR);

	vireo_lapic_pv_eoi_settle(vcpu);
	memset(state, 0, sizeof(*state));
	/* First of all, so that an expiry is either in IRR or still to come. */
	lapic_timer_save(vcpu, state);
	for (i = 0; i < ARRAY_SIZE(state->regs); i++) {
		if (i != APIC_TMCCT >> 4 && (readable & BIT_ULL(i)))
			state->regs[i] = lapic_read(vcpu, i << 4);
	}
}

/*
 * The block may come before or after IA32_APIC_BASE (in the same call or another), so
 * id and logical id are taken in the form of either mode.  PPR and the current count follow
 * from the rest and are not looked at.
 */
int vireo_lapic_check_state(struct vireo_vcpu *vcpu, const struct vireo_lapic *state)
{
	const u32 *regs = state->regs;
	u64 known = XAPIC_READ, period;
	u32 i, lvt, mode;

	for (i = 0; i < ARRAY_SIZE(state->regs); i++) {
		if (regs[i] && !(known & BIT_ULL(i)))
			return -EINVAL;
	}
#define REG(offset) regs[(offset) >> 4]
	if (REG(APIC_ID) != vcpu->id && REG(APIC_ID) != vcpu->id << 24)
		return -EINVAL;
	if (REG(APIC_LVR) != LAPIC_VERSION)
		return -EINVAL;
	if (REG(APIC_ARBPRI) || REG(APIC_EOI) || REG(APIC_RRR))
		return -EINVAL;
	if (REG(APIC_TASKPRI) > 0xff || (REG(APIC_SPIV) & ~SVR_BITS) ||
	    (REG(APIC_TDCR) & ~TDCR_BITS) || (REG(APIC_ESR) & ~0xffU))
		return -EINVAL;
	if ((REG(APIC_LDR) & 0x00ffffff) && REG(APIC_LDR) != lapic_x2_ldr(vcpu->id))
		return -EINVAL;
	if (~REG(APIC_DFR) & 0x0fffffff)
		return -EINVAL;
	if (REG(APIC_ICR) & ~ICR_BITS)
		return -EINVAL;
	/* Vectors 0 to 15 are in none of the three. */
	if ((REG(APIC_ISR) | REG(APIC_TMR) | REG(APIC_IRR)) & 0xffff)
		return -EINVAL;

	for (i = 0; i < LVT_NR; i++) {
		lvt = REG(APIC_LVTT + 0x10 * i);
		if (lvt & ~lapic_lvt_bits(vcpu, i))
			return -EINVAL;
		if (!(REG(APIC_SPIV) & APIC_SPIV_APIC_ENABLED) && !(lvt & APIC_LVT_MASKED))
			return -EINVAL;
	}

	mode = LAPIC_TIMER_MODE(REG(APIC_LVTT));
	period = (u64)REG(APIC_TMICT) << lapic_divide_shift(REG(APIC_TDCR));
	if (state->tsc_deadline && mode != LAPIC_DEADLINE)
		return -EINVAL;
	if (state->timer_left_ns > period || (state->timer_left_ns && mode > LAPIC_PERIODIC))
		return -EINVAL;
	if (REG(APIC_TMICT) && mode > LAPIC_PERIODIC)
		return -EINVAL;
#undef REG
	return 0;
}

void vireo_lapic_set_state(struct vireo_vcpu *vcpu, const struct vireo_lapic *state)
{
	struct vireo_lapic_state *l = vcpu->lapic;
	const u32 *regs = state->regs;
	bool other_mode;
	int i;

	vireo_lapic_pv_eoi_settle(vcpu);
	l->svr = regs[APIC_SPIV >> 4];
	other_mode = lapic_mode(vcpu) != l->mode;
	/* Its ISR and IRR are not to come back. */
	if (other_mode && lapic_virtual_irq(l))
		lapic_assist_stop(vcpu);
	lapic_timer_stop(l);
	for (i = 0; i < 4; i++) {
		const u32 *isr = regs + (APIC_ISR >> 4) + 2 * i;
		const u32 *tmr = regs + (APIC_TMR >> 4) + 2 * i;
		const u32 *irr = regs + (APIC_IRR >> 4) + 2 * i;

		l->isr[i] = isr[0] | (u64)isr[1] << 32;
		WRITE_ONCE(l->tmr[i], tmr[0] | (u64)tmr[1] << 32);
		WRITE_ONCE(l->irr[i], irr[0] | (u64)irr[1] << 32);
		l->eoi[i] = 0;
	}
	l->isrv = lapic_highest_bit(l->isr);
	l->tpr = regs[APIC_TASKPRI >> 4];
	l->esr = regs[APIC_ESR >> 4];
	atomic_set(&l->errors, 0);
	l->icr = regs[APIC_ICR >> 4] | (u64)regs[APIC_ICR2 >> 4] << 32;
	WRITE_ONCE(l->ldr, regs[APIC_LDR >> 4] & 0xff000000);
	WRITE_ONCE(l->dfr, regs[APIC_DFR >> 4]);
	for (i = 0; i < LVT_NR; i++)
		WRITE_ONCE(l->lvt[i], regs[(APIC_LVTT >> 4) + i]);
	lapic_timer_restore(vcpu, state);
	/* What the processor has of TPR alone, it keeps. */
	if (l->assists)
		lapic_assist_state(vcpu);
	if (other_mode) {
		lapic_update_mode(vcpu);
	} else {
		lapic_update_limit(l);
		lapic_mirror(vcpu);
	}
	lapic_logical_changed(vcpu);
	vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

/* ------------------------------------------------------------------ */
/* Life                                                                 */

int vireo_lapic_create(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l;

	l = kzalloc(sizeof(*l), GFP_KERNEL_ACCOUNT);
	if (!l)
		return -ENOMEM;
	l->vcpu = vcpu;
	/* An all-zero cache matches no generation. */
	l->logical.gen = U64_MAX;
	if (vireo_caps.apic_page) {
		vcpu->apic_page = (u32 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!vcpu->apic_page) {
			kfree(l);
			return -ENOMEM;
		}
	}
	vcpu->lapic = l;
	lapic_timer_init(vcpu);
	vireo_lapic_reset(vcpu, false);
	return 0;
}

void vireo_lapic_destroy(struct vireo_vcpu *vcpu)
{
	struct vireo_lapic_state *l = vcpu->lapic;

	if (!l)
		return;
	lapic_timer_stop(l);
	free_page((unsigned long)vcpu->apic_page);
	vcpu->apic_page = NULL;
	vcpu->lapic = NULL;
	kfree(l);
}

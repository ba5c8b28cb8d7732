/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State of a local APIC and what the files of kmod/irq share.  The rest of the
 * module knows irq.h only.
 *
 * Who may touch what:
 *
 *  "anyone"  any context on any CPU, by atomic bit operations only;
 *  "owner"   written by the vCPU's own thread (inside an ioctl), read by anyone
 *	      with READ_ONCE();
 *  "own"     the vCPU's own thread alone;
 *  "timer"   shared by the own thread and the hrtimer's callback under the
 *	      rules at the head of lapic_timer.c.
 *
 * There is no lock in a local APIC.
 */
#ifndef VIREO_LAPIC_H
#define VIREO_LAPIC_H

#include <linux/hrtimer.h>
#include <asm/apicdef.h>

#include "../backend.h"
#include "irq.h"

/* The local vector table in the order of its registers, from 0x320 on. */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_NR };

static_assert(APIC_LVTT == 0x320 && APIC_LVTERR == APIC_LVTT + 0x10 * LVT_ERROR);

/* SDM vol. 3, 11.4.8: integrated APIC, no suppression of EOI broadcasts, no CMCI. */
#define LAPIC_VERSION		(0x14U | (LVT_NR - 1) << 16)

/* vireo_lapic_state.mode */
#define LAPIC_ON		(1U << 0)	/* IA32_APIC_BASE.EN */
#define LAPIC_X2		(1U << 1)	/* IA32_APIC_BASE.EXTD; implies ON */
#define LAPIC_SW		(1U << 2)	/* SVR bit 8; implies ON */

/* Timer modes: bits 17 and 18 of its LVT entry (SDM vol. 3, table 11-2). */
enum {
	LAPIC_ONESHOT,
	LAPIC_PERIODIC,
	LAPIC_DEADLINE,
	LAPIC_RESERVED,			/* stands still */
};
#define LAPIC_TIMER_MODE(lvt)	((lvt) >> 17 & 3)

static_assert(LAPIC_TIMER_MODE(APIC_LVT_TIMER_PERIODIC) == LAPIC_PERIODIC);
static_assert(LAPIC_TIMER_MODE(APIC_LVT_TIMER_TSCDEADLINE) == LAPIC_DEADLINE);

/* vireo_lapic_state.init_sipi; the low byte is the SIPI's vector */
#define LAPIC_INIT		(1U << 8)
#define LAPIC_SIPI		(1U << 9)

#define LAPIC_DEADLINE_NONE	U64_MAX		/* no deadline, or it has passed */
#define LAPIC_DEADLINE_NEVER	(U64_MAX - 1)	/* beyond the end of the host's TSC */

/* A guest cannot have the host interrupted by a periodic timer more often than this. */
#define LAPIC_MIN_PERIOD_NS	20000ULL

/* Vectors below this are reserved (SDM vol. 3, 11.5.2). */
#define LAPIC_FIRST_VECTOR	16

/**
 * struct lapic_logical - who answers to which logical destination
 * @gen: vm->apic_logical_gen it was made for
 * @x2: vCPUs in x2APIC mode, whose logical ids follow from their ids
 * @flat: xAPIC, flat model: vCPUs by bit of the destination
 * @cluster: xAPIC, cluster model: vCPUs by cluster and bit
 */
struct lapic_logical {
	u64 gen;
	u64 x2;
	u64 flat[8];
	u64 cluster[16][4];
};

/**
 * struct vireo_lapic_state - a local APIC
 * @irr: anyone: interrupt request register
 * @tmr: anyone: trigger mode register; bit set: level
 * @init_sipi: anyone: INIT and SIPI that wait for the own thread
 * @errors: anyone: errors since ESR was last written
 * @mode: owner: LAPIC_*
 * @limit: owner: vectors above this one are delivered: processor priority | 15
 * @ldr: owner: logical destination register of xAPIC mode
 * @dfr: owner: destination format register
 * @lvt: owner: local vector table
 * @isr: own: in-service register
 * @isrv: own: highest vector in @isr, 0 if none
 * @tpr: own: task priority register
 * @svr: own: spurious-interrupt vector register
 * @esr: own: error status register as it is read
 * @icr: own: interrupt command register, destination in bits 32 to 63 as x2APIC has it
 * @eoi: own: level-triggered vectors whose EOI the launcher has not seen
 * @assists: owner: what of all this the processor keeps: VIREO_FEATURE_TPR_SHADOW, _APIC_REGISTERS,
 *	_VIRTUAL_IRQ; see assist.c
 * @wake: own: a TPR of a class below this one exits
 * @eoi_exits: own: vectors whose EOI the processor does not keep to itself
 * @last: lowest-priority arbitration: id that won the last one in which this vCPU was the
 *	  first candidate; a hint, races do no harm
 * @pv_eoi_msr: own: MSR_KVM_PV_EOI_EN
 * @pv_eoi: own: the EOI of @isrv may have been already, see pv_eoi.c
 * @logical: own: cache
 * @vcpu: whose it is
 * @timer: timer
 * @timer_cpu: own: CPU on which @timer was last started
 * @timer_mode: timer: LAPIC_ONESHOT...; changes only while @timer is cancelled
 * @timer_running: timer: the count goes down
 * @timer_parked: timer: the count goes down, but nobody would see an expiry: @timer is not queued
 * @timer_restore: own: state was set; the timer starts when the vCPU next runs
 * @initial: own: initial count
 * @tdcr: own: divide configuration
 * @period: timer: initial count times divisor, ns
 * @interval: timer: multiple of @period, not below LAPIC_MIN_PERIOD_NS
 * @next: timer: an expiry, CLOCK_MONOTONIC ns; the first, later ones follow every @period
 * @left: own: with @timer_restore: ns to the first expiry
 * @tsc_deadline: own: IA32_TSC_DEADLINE as the guest wrote it
 * @deadline: timer: the same on the host's TSC, or LAPIC_DEADLINE_*
 * @queued: timer: @timer is queued for host TSC @queued_at and its callback will read @deadline
 * @queued_at: timer: see @queued
 * @fired: timer's callback: interrupts that it has made
 */
struct vireo_lapic_state {
	unsigned long irr[4];
	unsigned long tmr[4];
	atomic_t init_sipi;
	atomic_t errors;

	u32 mode;
	u32 limit;
	unsigned long isr[4];
	u8 isrv;
	u8 tpr;
	u8 timer_parked;
	bool timer_restore;
	u32 svr;
	u32 esr;
	u64 icr;
	u32 ldr, dfr;
	u32 lvt[LVT_NR];
	unsigned long eoi[4];
	u32 assists;
	u8 wake;
	unsigned long eoi_exits[4];
	u64 pv_eoi_msr;
	bool pv_eoi;
	u32 last;

	struct vireo_vcpu *vcpu;
	u64 tsc_deadline;
	u64 deadline;
	u64 queued_at;
	u32 queued;
	int timer_cpu;
	struct hrtimer timer;
	u8 timer_mode;
	bool timer_running;
	u32 initial, tdcr;
	u64 period, interval, next, left;
	u64 fired;

	struct lapic_logical logical;
};

/* 256 bits from the top; 0 if none: vector 0 cannot be there. */
static __always_inline u32 lapic_highest_bit(const unsigned long map[4])
{
	unsigned long word;

	word = READ_ONCE(map[3]);
	if (word)
		return 192 + __fls(word);
	word = READ_ONCE(map[2]);
	if (word)
		return 128 + __fls(word);
	word = READ_ONCE(map[1]);
	if (word)
		return 64 + __fls(word);
	word = READ_ONCE(map[0]);
	return word ? __fls(word) : 0;
}

/*
 * Put a vector into IRR, with the trigger mode it came with (SDM vol. 3, 11.8.4: TMR is
 * written when the interrupt is accepted).  True if it was there already: then whoever
 * put it there sees to the request.
 */
static __always_inline bool lapic_set_irr(struct vireo_lapic_state *l, u8 vector, bool level)
{
	if (unlikely(test_bit(vector, l->tmr) != level)) {
		if (level)
			set_bit(vector, l->tmr);
		else
			clear_bit(vector, l->tmr);
	}
	return test_and_set_bit(vector, l->irr);
}

/* lapic.c */

/* Own thread: something in IRR may have become deliverable. */
static __always_inline void lapic_recheck(struct vireo_vcpu *vcpu, struct vireo_lapic_state *l)
{
	if (unlikely(lapic_highest_bit(l->irr) > l->limit))
		vireo_request_set(vcpu, VIREO_REQ_EVENT);
}

/* Deliver a vector, from any context.  False if the APIC does not take it. */
bool lapic_accept(struct vireo_vcpu *vcpu, u8 vector, bool level);
/* The same for the own thread, which needs no kick. */
bool lapic_accept_self(struct vireo_vcpu *vcpu, u8 vector);
/* An error for ESR, from any context. */
void lapic_error(struct vireo_vcpu *vcpu, u32 bits);
/* The logical destination or mode of an APIC has changed. */
void lapic_logical_changed(struct vireo_vcpu *vcpu);

/* Logical id in x2APIC mode (SDM vol. 3, 11.12.10.2). */
static inline u32 lapic_x2_ldr(u32 id)
{
	return (id >> 4) << 16 | 1U << (id & 15);
}

/* Processor priority (SDM vol. 3, 11.8.3.1). */
static inline u32 lapic_ppr(const struct vireo_lapic_state *l)
{
	return (l->tpr >> 4) >= (l->isrv >> 4) ? l->tpr : l->isrv & 0xf0;
}

/* The highest vector that is not delivered at a processor priority. */
static __always_inline void lapic_update_limit(struct vireo_lapic_state *l)
{
	u32 limit = 0xff;

	if (likely(l->mode & LAPIC_ON))
		limit = max_t(u32, l->tpr, unlikely(l->pv_eoi) ? 0 : l->isrv) | 0xf;
	WRITE_ONCE(l->limit, limit);
}

/* assist.c */

static inline u32 lapic_page_get(const struct vireo_vcpu *vcpu, u32 offset)
{
	return READ_ONCE(vcpu->apic_page[offset >> 2]);
}

static inline void lapic_page_set(struct vireo_vcpu *vcpu, u32 offset, u32 value)
{
	WRITE_ONCE(vcpu->apic_page[offset >> 2], value);
}

static inline bool lapic_virtual_irq(const struct vireo_lapic_state *l)
{
	return l->assists & VIREO_FEATURE_VIRTUAL_IRQ;
}

/* After the mode has changed, or lapic_assist_stop(): arrange with the processor what it keeps. */
void lapic_assist_setup(struct vireo_vcpu *vcpu);
/* Nothing is the processor's, until lapic_assist_setup(), which has to come before the vCPU runs. */
void lapic_assist_stop(struct vireo_vcpu *vcpu);
/* @tpr, @isrv and @limit as the guest has left them. */
void lapic_assist_refresh(struct vireo_vcpu *vcpu);
/* @tpr was written. */
void lapic_assist_tpr(struct vireo_vcpu *vcpu);
/* All of the state was written, but for the mode, which is the same. */
void lapic_assist_state(struct vireo_vcpu *vcpu);
/* EOI of @isrv where the processor keeps ISR. */
void lapic_assist_eoi(struct vireo_vcpu *vcpu);
/* @limit as it is now, for anyone. */
u32 lapic_assist_limit(const struct vireo_vcpu *vcpu);
/* Highest vector in the page's ISR or IRR; 0 if none. */
u32 lapic_page_highest(const struct vireo_vcpu *vcpu, u32 offset);

static __always_inline void lapic_refresh(struct vireo_vcpu *vcpu, struct vireo_lapic_state *l)
{
	if (unlikely(l->assists))
		lapic_assist_refresh(vcpu);
}
/* The guest has ended the interrupt in service without an exit. */
void lapic_pv_eoi_ended(struct vireo_vcpu *vcpu);

/* pv_eoi.c */

/* The interrupt in service may be ended without an exit. */
void lapic_pv_eoi_offer(struct vireo_vcpu *vcpu);
/**
 * lapic_pv_eoi_sync() - find out whether the guest has ended the interrupt
 * @vcpu: own thread, with pv_eoi set
 * @sleep: may sleep; else the page may not be there
 *
 * Return: true: ISR and limit are right; false: VIREO_REQ_PV_EOI was set, and they are not.
 */
bool lapic_pv_eoi_sync(struct vireo_vcpu *vcpu, bool sleep);

/* ipi.c */
void lapic_send_ipi(struct vireo_vcpu *vcpu, u32 low, u32 dest, bool wide);
u64 lapic_logical_targets(struct vireo_vcpu *vcpu, u32 dest);
bool lapic_logical_match(struct vireo_vcpu *vcpu, u32 dest);

/* lapic_timer.c; own thread */
void lapic_timer_init(struct vireo_vcpu *vcpu);
/* Disarm in whatever mode it is; the callback does not run when this returns. */
void lapic_timer_stop(struct vireo_lapic_state *l);
void lapic_timer_set_initial(struct vireo_vcpu *vcpu, u32 count);
void lapic_timer_set_divide(struct vireo_vcpu *vcpu, u32 value);
void lapic_timer_set_lvt(struct vireo_vcpu *vcpu, u32 value);
u32 lapic_timer_current(struct vireo_lapic_state *l, u64 now);
u64 lapic_timer_left(const struct vireo_lapic_state *l, u64 now);
/* After the timer's vector left IRR or was unmasked. */
void lapic_timer_unpark(struct vireo_vcpu *vcpu);
void lapic_timer_save(struct vireo_vcpu *vcpu, struct vireo_lapic *state);
void lapic_timer_restore(struct vireo_vcpu *vcpu, const struct vireo_lapic *state);
/* Start what lapic_timer_restore() left. */
void lapic_timer_go(struct vireo_vcpu *vcpu);

/* Divisor's logarithm (SDM vol. 3, figure 11-10): 000b is 2, 110b 128, 111b 1. */
static inline u32 lapic_divide_shift(u32 tdcr)
{
	return (((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7;
}

#endif /* VIREO_LAPIC_H */

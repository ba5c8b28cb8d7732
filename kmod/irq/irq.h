/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Virtual interrupts: who is told what, when.
 *
 *  lapic.c        local APIC registers, priorities, delivery
 *  lapic_timer.c  its timer in all modes
 *  assist.c       what of the local APIC the processor keeps
 *  ipi.c          destinations: ICR, MSI
 *  ioeventfd.c    doorbells
 *  irqfd.c        eventfds that become messages
 *  pv_eoi.c       EOI without an exit
 */
#ifndef VIREO_IRQ_H
#define VIREO_IRQ_H

#include "../vireo.h"

int vireo_lapic_create(struct vireo_vcpu *vcpu);
void vireo_lapic_destroy(struct vireo_vcpu *vcpu);
/* RESET (power-on, @init false) or INIT (keeps the APIC id; SDM vol. 3, 11.4.7). */
void vireo_lapic_reset(struct vireo_vcpu *vcpu, bool init);

/* IA32_APIC_BASE: value checked against the legal transitions (SDM vol. 3, 11.12.5); -EINVAL: #GP */
int vireo_lapic_set_base(struct vireo_vcpu *vcpu, u64 value, bool host);
/* Would vireo_lapic_set_base() with host take it?  0 or -EINVAL. */
int vireo_lapic_check_base(struct vireo_vcpu *vcpu, u64 value);

/*
 * The register page: xAPIC MMIO at APIC_BASE (offset 0 to 0xfff, len 1 to 8), and x2APIC MSRs 0x800 to 0x8ff.
 * The MSR forms return 0 or -EINVAL (#GP); all run with interrupts on or off.
 */
bool vireo_lapic_mmio_hit(struct vireo_vcpu *vcpu, u64 gpa);
void vireo_lapic_mmio_read(struct vireo_vcpu *vcpu, u32 offset, u32 len, void *data);
void vireo_lapic_mmio_write(struct vireo_vcpu *vcpu, u32 offset, u32 len, const void *data);
int vireo_lapic_msr_read(struct vireo_vcpu *vcpu, u32 index, u64 *data);
int vireo_lapic_msr_write(struct vireo_vcpu *vcpu, u32 index, u64 data);

u64 vireo_lapic_get_tpr(struct vireo_vcpu *vcpu);		/* CR8: 0 to 15 */
void vireo_lapic_set_tpr(struct vireo_vcpu *vcpu, u64 cr8);

/* IA32_TSC_DEADLINE */
u64 vireo_lapic_get_tsc_deadline(struct vireo_vcpu *vcpu);
void vireo_lapic_set_tsc_deadline(struct vireo_vcpu *vcpu, u64 value);
/* After the guest's TSC was changed: timers that depend on it are armed again. */
void vireo_lapic_tsc_changed(struct vireo_vcpu *vcpu);

/**
 * vireo_lapic_highest() - vector that the processor should take now
 * @vcpu: vCPU, own thread, interrupts on or off
 *
 * Return: vector whose class is above the processor priority, or -1.
 */
int vireo_lapic_highest(struct vireo_vcpu *vcpu);

/* Interrupt acknowledge: IRR to ISR.  @vector came from vireo_lapic_highest(). */
void vireo_lapic_ack(struct vireo_vcpu *vcpu, int vector);

/* assist.c: own thread, interrupts on or off */

/**
 * vireo_lapic_deliver() - hand what has arrived to the processor, if it delivers it
 * @vcpu: vCPU, interrupts off
 * @window: set to whether there is something for which the guest has to be able to take an interrupt first
 *
 * Return: false: vireo_lapic_highest() and vireo_lapic_ack() are to be used; @window is not touched.
 */
bool vireo_lapic_deliver(struct vireo_vcpu *vcpu, bool *window);

/* Have the processor exit when TPR lets in what waits now.  After vireo_lapic_highest(), which has looked at TPR. */
void vireo_lapic_watch_tpr(struct vireo_vcpu *vcpu);

/* VIREO_EXIT_APIC_WRITE and VIREO_EXIT_APIC_EOI */
void vireo_lapic_written(struct vireo_vcpu *vcpu, u32 offset);
void vireo_lapic_eoi_done(struct vireo_vcpu *vcpu, u8 vector);

/*
 * Registers (bits by number) that an x2APIC's guest may read from vcpu->apic_page, with VIREO_FEATURE_VIRTUAL_IRQ
 * in force or not.
 */
u64 vireo_lapic_page_reads(bool virtual_irq);

/* INIT, SIPI, NMI that arrived as IPI or MSI and wait for the vCPU's own thread. */
bool vireo_lapic_init_pending(struct vireo_vcpu *vcpu);
bool vireo_lapic_take_init(struct vireo_vcpu *vcpu);
int vireo_lapic_take_sipi(struct vireo_vcpu *vcpu);	/* vector, or -1 */
void vireo_lapic_set_init_sipi(struct vireo_vcpu *vcpu, bool init, int sipi);
/* What waits, without taking it; @sipi is -1 if none. */
void vireo_lapic_get_init_sipi(struct vireo_vcpu *vcpu, u8 *init, int *sipi);

/* Would the guest take an ExtINT through LINT0 (virtual wire), or is the APIC off? */
bool vireo_lapic_accepts_extint(struct vireo_vcpu *vcpu);

/* Is there anything that ends HLT: deliverable vector?  (NMI, INIT are the core's.) */
bool vireo_lapic_has_wakeup(struct vireo_vcpu *vcpu);

/* Vectors with an EOI for user space since the last call; 4 words. True if any. */
bool vireo_lapic_take_eois(struct vireo_vcpu *vcpu, u64 vectors[4]);

/**
 * vireo_send_msi() - deliver a message as the bus would
 * @vm: VM
 * @address: as struct vireo_msi
 * @data: as struct vireo_msi
 *
 * Any context.  Return: number of APICs that took it.
 */
int vireo_send_msi(struct vireo_vm *vm, u64 address, u32 data);

/* State block; set checks everything first (-EINVAL). */
void vireo_lapic_get_state(struct vireo_vcpu *vcpu, struct vireo_lapic *state);
int vireo_lapic_check_state(struct vireo_vcpu *vcpu, const struct vireo_lapic *state);
void vireo_lapic_set_state(struct vireo_vcpu *vcpu, const struct vireo_lapic *state);

/* vCPU comes to or leaves a CPU, halts or goes on: the timer may be moved. */
void vireo_lapic_load(struct vireo_vcpu *vcpu);

/* ioeventfd.c: under vm->lock; lookups with interrupts off or under vm->srcu */
int vireo_ioeventfd_set(struct vireo_vm *vm, const struct vireo_ioeventfd *arg);
void vireo_ioeventfd_destroy(struct vireo_vm *vm);
/* The only caller of this: vireo_ioeventfd_write(). */
bool vireo_ioeventfd_signal(struct vireo_vm *vm, bool pio, u64 addr, u32 len, u64 data);

/* True if an eventfd was signalled and the write is thereby done. */
static __always_inline bool vireo_ioeventfd_write(struct vireo_vm *vm, bool pio, u64 addr, u32 len,
						  u64 data)
{
	return rcu_access_pointer(vm->ioeventfds) &&
	       vireo_ioeventfd_signal(vm, pio, addr, len, data);
}

/* pv_eoi.c: the MSR; -EINVAL: #GP; set: interrupts on */
u64 vireo_lapic_get_pv_eoi(struct vireo_vcpu *vcpu);
int vireo_lapic_set_pv_eoi(struct vireo_vcpu *vcpu, u64 data);
/* Leave nothing to be looked up later.  Own thread, may sleep. */
void vireo_lapic_pv_eoi_settle(struct vireo_vcpu *vcpu);
/* After vireo_lapic_ack(), and nothing else waits. */
void vireo_lapic_acked(struct vireo_vcpu *vcpu);

/* ipi.c: fixed, lowest-priority or NMI message of @icr to a set of vCPUs; returns how many took it */
int vireo_lapic_send_ipis(struct vireo_vm *vm, u64 targets, u32 icr);

/* irqfd.c: under vm->lock */
int vireo_irqfd_set(struct vireo_vm *vm, const struct vireo_irqfd *arg);
/* Before the vCPUs go. */
void vireo_irqfd_destroy(struct vireo_vm *vm);

/**
 * vireo_irqfd_eoi() - the EOI of a level-triggered vector has come
 * @vm: VM
 * @vector: vector
 *
 * Interrupts on or off.
 *
 * Return: true if only irqfds have waited for it, and been told; false: it is the launcher's.
 */
bool vireo_irqfd_eoi(struct vireo_vm *vm, u8 vector);

/* The same for a set, interrupts on: leave what is the launcher's.  PREEMPT_RT only. */
void vireo_irqfd_eois(struct vireo_vm *vm, u64 vectors[4]);

#endif /* VIREO_IRQ_H */

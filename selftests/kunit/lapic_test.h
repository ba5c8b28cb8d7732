/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Local APICs for tests.  The vCPUs are structures that never run, so that the suites need
 * neither VMX nor SVM.
 */
#ifndef VIREO_LAPIC_TEST_H
#define VIREO_LAPIC_TEST_H

#include <kunit/test.h>
#include <linux/slab.h>
#include <asm/tsc.h>

#include "../../kmod/irq/lapic.h"

extern struct kunit_suite vireo_lapic_suite, vireo_lapic_ipi_suite, vireo_lapic_timer_suite;

#define NR		8

/* Delivery modes as in ICR and MSI data. */
#define FIXED		0x000
#define LOWEST		0x100
#define NMI		0x400
#define INIT		0x500
#define STARTUP		0x600
#define LOGICAL		0x800
#define ASSERT		0x4000
#define LEVEL		0x8000
#define SELF		0x40000
#define ALL		0x80000
#define OTHERS		0xc0000

struct lapic_test {
	struct vireo_vm vm;
	struct vireo_vcpu vcpu[NR];
};

static inline void lapic_test_power_on(struct lapic_test *t)
{
	int i;

	for (i = 0; i < NR; i++) {
		struct vireo_vcpu *vcpu = &t->vcpu[i];

		vireo_lapic_reset(vcpu, false);
		vcpu->requests = 0;
		atomic_set(&vcpu->nmi_queued, 0);
		vcpu->lapic->last = 0;
	}
}

static inline int lapic_test_init(struct kunit *test)
{
	struct lapic_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	INIT_LIST_HEAD(&t->vm.irqfd_levels);
	test->priv = t;
	for (i = 0; i < NR; i++) {
		struct vireo_vcpu *vcpu = &t->vcpu[i];

		vcpu->vm = &t->vm;
		vcpu->id = i;
		vcpu->cpu = -1;
		vcpu->tsc_khz = tsc_khz;
		vcpu->caps.x2apic = true;
		vcpu->caps.tsc_deadline = true;
		vcpu->caps.phys_bits = 40;
		vcpu->caps.phys_mask = BIT_ULL(40) - 1;
		KUNIT_ASSERT_EQ(test, vireo_lapic_create(vcpu), 0);
		t->vm.vcpus[i] = vcpu;
		t->vm.nr_vcpus = i + 1;
	}
	lapic_test_power_on(t);
	return 0;
}

static inline void lapic_test_exit(struct kunit *test)
{
	struct lapic_test *t = test->priv;
	int i;

	for (i = 0; t && i < NR; i++)
		vireo_lapic_destroy(&t->vcpu[i]);
}

static inline u32 rd(struct vireo_vcpu *vcpu, u32 offset)
{
	u32 value = 0xdeadbeef;

	vireo_lapic_mmio_read(vcpu, offset, 4, &value);
	return value;
}

static inline void wr(struct vireo_vcpu *vcpu, u32 offset, u32 value)
{
	vireo_lapic_mmio_write(vcpu, offset, 4, &value);
}

static inline u64 getmsr(struct vireo_vcpu *vcpu, u32 offset)
{
	u64 value = ~0ULL;

	return vireo_lapic_msr_read(vcpu, 0x800 + (offset >> 4), &value) ? ~0ULL : value;
}

static inline int setmsr(struct vireo_vcpu *vcpu, u32 offset, u64 value)
{
	return vireo_lapic_msr_write(vcpu, 0x800 + (offset >> 4), value);
}

static inline void x2apic_on(struct kunit *test, struct vireo_vcpu *vcpu)
{
	u64 base = vcpu->apic_base | X2APIC_ENABLE;

	KUNIT_ASSERT_EQ(test, vireo_lapic_set_base(vcpu, base, false), 0);
}

/* Software-enable, as every system does before it expects interrupts. */
static inline void sw_on(struct vireo_vcpu *vcpu)
{
	if (vcpu->lapic->mode & LAPIC_X2)
		setmsr(vcpu, APIC_SPIV, 0x1ff);
	else
		wr(vcpu, APIC_SPIV, 0x1ff);
}

static inline bool in_irr(struct vireo_vcpu *vcpu, u8 vector)
{
	return test_bit(vector, vcpu->lapic->irr);
}

/* Which vCPUs have the vector in IRR; forgets it. */
static inline u64 who(struct lapic_test *t, u8 vector)
{
	u64 mask = 0;
	int i;

	for (i = 0; i < NR; i++) {
		if (test_and_clear_bit(vector, t->vcpu[i].lapic->irr))
			mask |= BIT_ULL(i);
	}
	return mask;
}

static inline void icr(struct vireo_vcpu *vcpu, u32 dest, u32 low)
{
	if (vcpu->lapic->mode & LAPIC_X2) {
		setmsr(vcpu, APIC_ICR, (u64)dest << 32 | low);
	} else {
		wr(vcpu, APIC_ICR2, dest << 24);
		wr(vcpu, APIC_ICR, low);
	}
}

#endif /* VIREO_LAPIC_TEST_H */

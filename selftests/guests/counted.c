// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exits whose number is known, for those who count them (selftests/scripts/monitor): at each line break that comes on COM1, some
 * of each kind and no others of these kinds: the local APIC is not in x2APIC mode. A "q" ends it. It looks twenty times a
 * second whether something has come, and is halted in between.
 */
#include "guest.h"

#define COM1		0x3f8
#define LSR_DATA	1
#define APIC_BASE	0x1b
#define MTRR_DEF_TYPE	0x2ff

#define APIC		0xfee00000UL
#define TICK		0x40
#define TICK_NS		50000000
#define PERIODIC	(1U << 17)

#define CPUIDS	1000
#define RDMSRS	300
#define WRMSRS	200

/* apic_eoi() reads an MSR. */
static bool tick(struct frame *f)
{
	*(volatile u32 *)(APIC + APIC_EOI) = 0;
	return true;
}

static u8 read_byte(void)
{
	while (!(inb(COM1 + 5) & LSR_DATA))
		halt();
	return inb(COM1);
}

int main(void)
{
	u64 type;
	unsigned int i;
	u8 byte;

	cpu_start(0);
	pic_init(0x20);
	apic_enable(false);
	handlers[TICK] = tick;
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, PERIODIC | TICK);
	apic_write(APIC_TMICT, TICK_NS);
	type = rdmsr(MTRR_DEF_TYPE);
	print("ready\n");
	while ((byte = read_byte()) != 'q') {
		if (byte != '\n')
			continue;
		for (i = 0; i < CPUIDS; i++)
			cpuid(0);
		for (i = 0; i < RDMSRS; i++)
			rdmsr(APIC_BASE);
		for (i = 0; i < WRMSRS; i++)
			wrmsr(MTRR_DEF_TYPE, type);
		print("cpuid %u rdmsr %u wrmsr %u\n", CPUIDS, RDMSRS, WRMSRS);
	}
	ok(true, "asked to end");
	return finish_tests();
}

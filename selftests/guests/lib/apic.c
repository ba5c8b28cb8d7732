// SPDX-License-Identifier: GPL-2.0-only
/* Local APIC in both modes, IOAPIC, 8259, 8254, and the start of other CPUs. */
#include "guest.h"

#define APIC_BASE ((volatile u32 *)0xfee00000)
#define IOAPIC ((volatile u32 *)0xfec00000)
#define MSR_APIC_BASE 0x1b

bool apic_is_x2(void)
{
	return rdmsr(MSR_APIC_BASE) & 0x400;
}

bool apic_has_x2(void)
{
	return cpuid(1).c & 1 << 21;
}

u32 apic_read(u32 reg)
{
	return apic_is_x2() ? rdmsr(0x800 + reg / 16) : APIC_BASE[reg / 4];
}

void apic_write(u32 reg, u32 v)
{
	if (apic_is_x2())
		wrmsr(0x800 + reg / 16, v);
	else
		APIC_BASE[reg / 4] = v;
}

void apic_icr(u32 destination, u32 command)
{
	if (apic_is_x2()) {
		wrmsr(0x830, (u64)destination << 32 | command);
	} else {
		while (apic_read(APIC_ICR) & 0x1000)
			pause();
		apic_write(APIC_ICR2, destination << 24);
		apic_write(APIC_ICR, command);
	}
}

void apic_enable(bool x2)
{
	u64 base = rdmsr(MSR_APIC_BASE) & ~0xc00ULL;

	/* From x2APIC the only way to xAPIC is through "off". */
	if (apic_is_x2() && !x2)
		wrmsr(MSR_APIC_BASE, base);
	wrmsr(MSR_APIC_BASE, base | 0x800);
	if (x2)
		wrmsr(MSR_APIC_BASE, base | 0xc00);
	apic_write(APIC_SPIV, 0x1ff);
	apic_write(APIC_TPR, 0);
}

bool apic_bit(u32 base, unsigned int vector)
{
	return apic_read(base + vector / 32 * 16) >> (vector % 32) & 1;
}

bool count_and_eoi(struct frame *f)
{
	this_cpu()->count[f->vector]++;
	apic_eoi();
	return true;
}

u32 ioapic_read(u8 reg)
{
	IOAPIC[0] = reg;
	return IOAPIC[4];
}

void ioapic_write(u8 reg, u32 v)
{
	IOAPIC[0] = reg;
	IOAPIC[4] = v;
}

void ioapic_route(unsigned int pin, u64 entry)
{
	ioapic_write(0x10 + 2 * pin, APIC_MASKED);
	ioapic_write(0x11 + 2 * pin, entry >> 32);
	ioapic_write(0x10 + 2 * pin, entry);
}

void pic_mask(u16 mask)
{
	outb(0x21, mask);
	outb(0xa1, mask >> 8);
}

void pic_init(u8 base)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, base);
	outb(0xa1, base + 8);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	pic_mask(0xffff);
}

void pit_start(u16 reload, bool periodic)
{
	outb(0x43, periodic ? 0x34 : 0x30);
	outb(0x40, reload);
	outb(0x40, reload >> 8);
}

/* --- other CPUs ------------------------------------------------------------------ */
extern u8 trampoline[], trampoline_end[];
extern unsigned long ap_stack;
extern volatile u32 ap_lock;
void ap_main(void);

#define TRAMPOLINE 0x8000

static volatile unsigned int cpus_up = 1;

unsigned int cpus_expected(void)
{
	unsigned int n;

	outw(0x510, 0);
	if (inb(0x511) == 'Q' && inb(0x511) == 'E' && inb(0x511) == 'M' && inb(0x511) == 'U') {
		outw(0x510, 5);
		n = inb(0x511);
		n |= inb(0x511) << 8;
	} else {
		n = option("cpus", 1);
	}
	return n < 1 ? 1 : n > MAX_CPUS ? MAX_CPUS : n;
}

void ap_main(void)
{
	unsigned int id = cpus_up;
	struct cpu *c = &cpus[id];

	cpu_start(id);
	apic_enable(false);
	c->apic_id = apic_read(APIC_ID) >> 24;
	c->up = true;
	cpus_up = id + 1;
	/* The next one's stack, then the right to take it. */
	if (id + 1 < MAX_CPUS)
		ap_stack = (unsigned long)cpus[id + 1].stack + sizeof(c->stack);
	barrier();
	ap_lock = 0;

	for (;;) {
		while (!c->work)
			pause();
		c->work(c->work_data);
		c->work = NULL;
		barrier();
		c->busy = false;
	}
}

unsigned int smp_start(void)
{
	unsigned int n = cpus_expected();
	u64 start;

	if (cpus_up > 1 || n == 1)
		return cpus_up;
	memcpy((void *)TRAMPOLINE, trampoline, trampoline_end - trampoline);
	ap_stack = (unsigned long)cpus[1].stack + sizeof(cpus[1].stack);
	cpus[0].apic_id = apic_is_x2() ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
	apic_icr(0, ICR_INIT | ICR_ASSERT | ICR_OTHERS);
	dawdle(100000);
	apic_icr(0, ICR_SIPI | ICR_ASSERT | ICR_OTHERS | TRAMPOLINE >> 12);
	dawdle(10000);
	/* The second one is for processors that missed the first; others ignore it. */
	apic_icr(0, ICR_SIPI | ICR_ASSERT | ICR_OTHERS | TRAMPOLINE >> 12);
	start = rdtsc();
	while (cpus_up < n && rdtsc() - start < 5 * PATIENCE)
		pause();
	return cpus_up;
}

void run_on(unsigned int cpu, void (*fn)(void *), void *data)
{
	struct cpu *c = &cpus[cpu];

	c->work_data = data;
	c->busy = true;
	barrier();
	c->work = fn;
}

void wait_done(unsigned int cpu)
{
	unsigned int seen = reports();
	u64 start = rdtsc();

	while (cpus[cpu].busy) {
		pause();
		/* However slow the host is: as long as results come, it is alive. */
		if (seen != reports()) {
			seen = reports();
			start = rdtsc();
		}
		if (rdtsc() - start > 20 * PATIENCE) {
			print("# CPU %u does not answer\n", cpu);
			finish(END_CRASHED);
		}
	}
}

void run_all(void (*fn)(void *), void *data)
{
	unsigned int i, n = cpus_up;

	for (i = 1; i < n; i++)
		run_on(i, fn, data);
	fn(data);
	for (i = 1; i < n; i++)
		wait_done(i);
}

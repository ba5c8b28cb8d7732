// SPDX-License-Identifier: GPL-2.0-only
/* Local APIC, timer, IOAPIC, 8259, NMI, and the delivery of exceptions. */
#include "guest.h"

static volatile u32 *const count = cpus[0].count;

static void clear_counts(void)
{
	memset((void *)count, 0, sizeof(cpus[0].count));
}

/* --- self-IPI, priorities ------------------------------------------------------ */
static void self_ipi(u8 vector)
{
	apic_icr(0, ICR_SELF | ICR_ASSERT | vector);
}

static volatile u8 order[16];
static volatile unsigned int order_n;

static bool note_order(struct frame *f)
{
	order[order_n++ & 15] = f->vector;
	apic_eoi();
	return true;
}

/* Lets interrupts in before its own EOI: a higher vector must come at once, a lower one after. */
static bool nest(struct frame *f)
{
	order[order_n++ & 15] = f->vector;
	self_ipi(0x90);
	self_ipi(0x50);
	irq_window();
	order[order_n++ & 15] = 1;
	apic_eoi();
	return true;
}

static void test_self_ipi(const char *mode)
{
	unsigned int v, good;

	clear_counts();
	for (v = 0x20; v < 256; v++)
		handlers[v] = count_and_eoi;
	handlers[USER_RETURN] = count_and_eoi;
	for (v = 0x20, good = 0; v < 255; v++) {
		self_ipi(v);
		irq_window();
		good += count[v] == 1;
	}
	ok(good == 255 - 0x20, "%s: self-IPI of every vector from 0x20 (%u)", mode, good);
	for (v = 0x10, good = 0; v < 0x20; v++) {
		/* the entries of these expect an error code, which an interrupt does not push */
		if (v == 17 || v == 21 || v == 29 || v == 30)
			continue;
		handlers[v] = count_and_eoi;
		self_ipi(v);
		irq_window();
		good += count[v] == 1;
		handlers[v] = NULL;
	}
	ok(good == 12, "%s: vectors 0x10 to 0x1f are legal (%u)", mode, good);

	self_ipi(0x40);
	self_ipi(0x40);
	v = apic_bit(APIC_IRR, 0x40);
	clear_counts();
	irq_window();
	ok(v && count[0x40] == 1, "%s: with interrupts off it waits in IRR, once (%u)", mode, count[0x40]);
	ok(!apic_bit(APIC_IRR, 0x40) && !apic_bit(APIC_ISR, 0x40), "%s: EOI leaves IRR and ISR empty", mode);

	/* priorities */
	for (v = 0x20; v < 255; v++)
		handlers[v] = note_order;
	order_n = 0;
	self_ipi(0x31);
	self_ipi(0xd2);
	self_ipi(0x73);
	sti();
	dawdle(10);
	cli();
	ok(order_n == 3 && order[0] == 0xd2 && order[1] == 0x73 && order[2] == 0x31,
	   "%s: highest vector first", mode);
	order_n = 0;
	handlers[0x70] = nest;
	self_ipi(0x70);
	sti();
	dawdle(10);
	cli();
	ok(order_n == 4 && order[0] == 0x70 && order[1] == 0x90 && order[2] == 1 && order[3] == 0x50,
	   "%s: nesting by priority class (%x %x %x %x)", mode, order[0], order[1], order[2], order[3]);
	for (v = 0x20; v < 255; v++)
		handlers[v] = count_and_eoi;

	/* task priority */
	clear_counts();
	apic_write(APIC_TPR, 0x50);
	ok(apic_read(APIC_PPR) == 0x50, "%s: PPR follows TPR", mode);
	self_ipi(0x5f);
	self_ipi(0x60);
	sti();
	dawdle(10);
	ok(!count[0x5f] && count[0x60] == 1, "%s: TPR 0x50 holds 0x5f, lets 0x60 (%u %u)", mode, count[0x5f], count[0x60]);
	wcr8(0);
	dawdle(10);
	cli();
	ok(count[0x5f] == 1, "%s: CR8 = 0 lets it in (%u)", mode, count[0x5f]);
	self_ipi(0x44);
	wcr8(4);
	irq_window();
	v = count[0x44];
	wcr8(3);
	irq_window();
	ok(!v && count[0x44] == 1, "%s: CR8 4 holds 0x44, 3 does not (%u %u)", mode, v, count[0x44]);
	wcr8(0);
}

/* --- STI, MOV SS, HLT --------------------------------------------------------------- */
static volatile u64 taken_at;

static bool note_rip(struct frame *f)
{
	taken_at = f->rip;
	count[f->vector]++;
	apic_eoi();
	return true;
}

static void test_shadow(void)
{
	u64 expect;

	handlers[0x60] = note_rip;
	clear_counts();
	self_ipi(0x60);
	asm volatile("lea 1f(%%rip), %0\n sti\n nop\n 1: nop\n cli" : "=&r"(expect) : : "memory");
	ok(count[0x60] == 1 && taken_at == expect, "STI holds interrupts for one instruction (%ld)", (long)(taken_at - expect));
	self_ipi(0x60);
	clear_counts();
	asm volatile("sti; cli" : : : "memory");
	ok(!count[0x60], "STI; CLI lets nothing in");
	asm volatile("lea 1f(%%rip), %0\n sti\n mov %%ss, %%eax\n mov %%eax, %%ss\n nop\n 1: cli" : "=&r"(expect) : : "rax", "memory");
	/* the window opens behind MOV from SS: before MOV to SS, which shadows in its turn */
	ok(count[0x60] == 1, "STI, MOV SS");
	self_ipi(0x60);
	clear_counts();
	asm volatile("sti\n xor %%eax, %%eax; xor %%ecx, %%ecx; cli" : : : "rax", "rcx", "memory");
	ok(count[0x60] == 1, "STI opens the window before CLI two instructions later");
	self_ipi(0x60);
	clear_counts();
	asm volatile("lea 1f(%%rip), %0\n xor %%eax, %%eax; xor %%ecx, %%ecx; sti\n cpuid\n 1: nop; cli"
		     : "=&r"(expect) : : "rax", "rbx", "rcx", "rdx", "memory");
	ok(count[0x60] == 1 && taken_at == expect, "CPUID in the shadow of STI ends it (%ld)", (long)(taken_at - expect));
	self_ipi(0x60);
	clear_counts();
	asm volatile("lea 1f(%%rip), %0\n sti\n out %%al, $0x80\n 1: nop; cli" : "=&r"(expect) : : "memory");
	ok(count[0x60] == 1 && taken_at == expect, "OUT in the shadow of STI ends it (%ld)", (long)(taken_at - expect));
	self_ipi(0x60);
	clear_counts();
	asm volatile("lea 1f(%%rip), %0\n sti\n hlt\n 1: cli" : "=&r"(expect) : : "memory");
	ok(count[0x60] == 1 && taken_at == expect, "STI; HLT with a pending interrupt: taken behind HLT (%ld)", (long)(taken_at - expect));
}

/* --- the APIC's timer ----------------------------------------------------------------- */
static void test_timer(const char *mode)
{
	unsigned int n;
	u32 a, b;
	u64 t;

	handlers[0x61] = count_and_eoi;
	clear_counts();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x61);
	apic_write(APIC_TMICT, 0xffffffff);
	a = apic_read(APIC_TMCCT);
	dawdle(2000);
	b = apic_read(APIC_TMCCT);
	ok(a && b < a, "%s: the count goes down (%u %u)", mode, a, b);
	apic_write(APIC_TMICT, 1000000);
	sti();
	ok(wait_for(count[0x61]), "%s: one-shot timer", mode);
	ok(!apic_read(APIC_TMCCT), "%s: the count stops at 0", mode);
	dawdle(3000);
	cli();
	ok(count[0x61] == 1, "%s: one-shot fires once (%u)", mode, count[0x61]);

	clear_counts();
	apic_write(APIC_LVTT, 0x61 | 1 << 17);
	apic_write(APIC_TMICT, 200000);
	sti();
	ok(wait_for(count[0x61] >= 5), "%s: periodic timer (%u)", mode, count[0x61]);
	apic_write(APIC_LVTT, 0x61 | 1 << 17 | APIC_MASKED);
	dawdle(100);
	n = count[0x61];
	dawdle(10000);
	ok(count[0x61] == n, "%s: masked LVT is silent", mode);
	apic_write(APIC_TMICT, 0);
	apic_write(APIC_LVTT, 0x61);
	dawdle(10000);
	ok(count[0x61] == n, "%s: initial count 0 stops it", mode);

	/* HLT until the timer comes */
	clear_counts();
	/*
	 * Long enough to fire during HLT, not at the STI before it, also where the host is busy: QEMU's SVM loses the
	 * interrupt shadow of a guest that is left there.
	 */
	apic_write(APIC_TMICT, 5000000);
	halt();
	ok(count[0x61] == 1, "%s: the timer ends HLT", mode);
	for (n = 0; n < 20; n++) {
		apic_write(APIC_TMICT, 5000000);
		halt();
	}
	ok(count[0x61] == 21, "%s: ... twenty times (%u)", mode, count[0x61]);

	/* divide by 128: slower than by 1 */
	apic_write(APIC_TDCR, 0xa);
	ok(apic_read(APIC_TDCR) == 0xa, "%s: divide configuration is kept", mode);
	apic_write(APIC_TDCR, 0xb);
	cli();

	if (!(cpuid(1).c & 1 << 24)) {
		skip("%s: no TSC-deadline timer", mode);
		return;
	}
	clear_counts();
	apic_write(APIC_LVTT, 0x61 | 1 << 18);
	t = rdtsc() + 300000;
	wrmsr(0x6e0, t);
	ok(rdmsr(0x6e0) == t || rdtsc() >= t, "%s: deadline reads back while armed", mode);
	sti();
	ok(wait_for(count[0x61]) && rdtsc() >= t, "%s: TSC deadline, not early", mode);
	ok(!rdmsr(0x6e0), "%s: ... and reads 0 then", mode);
	wrmsr(0x6e0, 1);
	dawdle(10);
	ok(wait_for(count[0x61] == 2), "%s: a deadline in the past fires at once", mode);
	/* far enough that a slow machine gets to the second write before it fires */
	t = rdtsc() + 40000000;
	wrmsr(0x6e0, t);
	wrmsr(0x6e0, 0);
	while (rdtsc() < t + 1000000)
		pause();
	ok(count[0x61] == 2, "%s: 0 disarms", mode);
	t = rdtsc() + 40000000;
	wrmsr(0x6e0, t);
	apic_write(APIC_LVTT, 0x61);
	while (rdtsc() < t + 1000000)
		pause();
	ok(count[0x61] == 2, "%s: leaving the mode disarms (%u)", mode, count[0x61]);
	apic_write(APIC_LVTT, 0x61 | 1 << 18);
	cli();
	for (n = 0; n < 20; n++) {
		wrmsr(0x6e0, rdtsc() + 2000000);
		halt();
	}
	ok(count[0x61] == 22, "%s: the deadline ends HLT, twenty times (%u)", mode, count[0x61]);
	apic_write(APIC_LVTT, 0x61 | APIC_MASKED);
}

/* --- registers of the APIC ------------------------------------------------------------- */
static void test_registers(bool x2)
{
	u32 version = apic_read(APIC_VERSION), v;
	u64 x;

	ok((version & 0xf0) == 0x10 && (version >> 16 & 0xff) >= 4, "%s: version %#x", x2 ? "x2APIC" : "xAPIC", version);
	apic_write(APIC_LVT1, 0x10000 | 0x33);
	ok(apic_read(APIC_LVT1) == 0x10033, "LVT LINT1 is kept");
	apic_write(APIC_SPIV, 0xff);
	apic_write(APIC_LVT0, 0x44);
	v = apic_read(APIC_LVT0);
	ok_hypervisor(v & APIC_MASKED, "software-disabled: LVT entries stay masked (%#x)", v);
	self_ipi(0x70);
	clear_counts();
	irq_window();
	ok(!count[0x70], "software-disabled: no interrupts (%u)", count[0x70]);
	apic_write(APIC_SPIV, 0x1ff);
	irq_window();
	apic_write(APIC_LVT0, 0x10000);
	clear_counts();
	if (!x2) {
		apic_write(APIC_LDR, 0x5a000000);
		ok(apic_read(APIC_LDR) == 0x5a000000, "LDR is kept");
		apic_write(APIC_DFR, 0x0fffffff);
		ok(apic_read(APIC_DFR) == 0x0fffffff, "DFR is kept");
		apic_write(APIC_DFR, 0xffffffff);
		apic_write(APIC_ESR, 0);
		return;
	}
	ok(apic_read(APIC_LDR) == 1, "x2APIC: LDR is derived from the id (%#x)", apic_read(APIC_LDR));
	/* QEMU's own processor has no checks here */
	if (!has_hypervisor()) {
		skip("x2APIC checks");
		return;
	}
	ok(try_rdmsr(0x80e, &x) == VECTOR_GP, "x2APIC: DFR does not exist: #GP");
	ok(try_rdmsr(0x831, &x) == VECTOR_GP, "x2APIC: ICR2 does not exist: #GP");
	ok(try_rdmsr(0x80b, &x) == VECTOR_GP, "x2APIC: EOI cannot be read: #GP");
	ok(try_wrmsr(0x80b, 1) == VECTOR_GP, "x2APIC: EOI takes 0 only: #GP");
	ok(try_wrmsr(0x802, 0) == VECTOR_GP, "x2APIC: id cannot be written: #GP");
	ok(try_wrmsr(0x803, 0) == VECTOR_GP, "x2APIC: version cannot be written: #GP");
	ok(try_wrmsr(0x808, 0x100) == VECTOR_GP, "x2APIC: TPR, reserved bits: #GP");
	ok(try_wrmsr(0x80f, 1ULL << 32) == VECTOR_GP, "x2APIC: upper halves must be 0: #GP");
	ok(try_wrmsr(0x83f, 0x60) < 0, "x2APIC: SELF_IPI");
	clear_counts();
	irq_window();
	ok(count[0x60] == 1, "x2APIC: SELF_IPI arrives");
	ok(try_rdmsr(0x83f, &x) == VECTOR_GP, "x2APIC: SELF_IPI cannot be read: #GP");
	ok(try_wrmsr(0x1b, (rdmsr(0x1b) & ~0x800ULL)) == VECTOR_GP, "x2APIC without enable bit is #GP");
	ok(try_wrmsr(0x1b, (rdmsr(0x1b) & ~0x400ULL)) == VECTOR_GP, "x2APIC straight to xAPIC is #GP");
	ok(apic_is_x2(), "... and changed nothing");
}

/* --- NMI --------------------------------------------------------------------------------- */
static volatile unsigned int nmis, nmis_inside, nmi_depth, deepest;
static bool nmi_again;

static bool on_nmi(struct frame *f)
{
	nmis++;
	if (++nmi_depth > deepest)
		deepest = nmi_depth;
	if (nmi_again) {
		nmi_again = false;
		/* two, of which the processor keeps one */
		apic_icr(cpus[0].apic_id, ICR_NMI | ICR_ASSERT);
		apic_icr(cpus[0].apic_id, ICR_NMI | ICR_ASSERT);
		cpuid(0);
		dawdle(100);
		nmis_inside = nmis;
	}
	nmi_depth--;
	return true;
}

static void test_nmi(void)
{
	handlers[VECTOR_NMI] = on_nmi;
	nmis = 0;
	apic_icr(cpus[0].apic_id, ICR_NMI | ICR_ASSERT);
	ok(wait_for(nmis == 1), "NMI by IPI, interrupts off (%u)", nmis);
	nmis = 0;
	deepest = 0;
	nmi_again = true;
	apic_icr(cpus[0].apic_id, ICR_NMI | ICR_ASSERT);
	wait_for(nmis == 2);
	dawdle(1000);
	ok_hypervisor(nmis_inside == 1, "NMI is blocked inside its handler (%u)", nmis_inside);
	ok_hypervisor(nmis == 2 && deepest == 1, "... and comes after IRET (%u, depth %u)", nmis, deepest);
	nmis = 0;
	handlers[0x61] = count_and_eoi;
	clear_counts();
	apic_write(APIC_LVTT, 0x61);
	apic_write(APIC_TMICT, 1000000);
	apic_icr(cpus[0].apic_id, ICR_NMI | ICR_ASSERT);
	halt();
	ok(nmis == 1 && count[0x61] <= 1, "NMI and HLT (%u)", nmis);
	apic_write(APIC_TMICT, 0);
	irq_window();
}

/* --- IOAPIC, 8259, 8254 -------------------------------------------------------------------- */
#define PIT_PIN 2
#define LEVEL (1 << 15)

static void test_ioapic(void)
{
	unsigned int n;

	pic_init(0x20);
	for (n = 0x20; n < 255; n++)
		handlers[n] = count_and_eoi;
	clear_counts();
	ioapic_route(PIT_PIN, 0x71);
	ok((ioapic_read(0x10 + 2 * PIT_PIN) & 0xff) == 0x71, "IOAPIC: route is kept");
	pit_start(1200, true);		/* about 1 kHz */
	sti();
	ok(wait_for(count[0x71] >= 5), "IOAPIC: periodic PIT ticks, edge (%u)", count[0x71]);
	ioapic_route(PIT_PIN, APIC_MASKED | 0x71);
	dawdle(100);
	n = count[0x71];
	dawdle(100000);
	ok(count[0x71] <= n + 1, "IOAPIC: masked pin is silent");
	ioapic_route(PIT_PIN, 0x72);
	ok(wait_for(count[0x72] >= 2), "IOAPIC: another vector");
	for (n = 0; n < 5; n++)
		asm volatile("hlt");
	ok(count[0x72] >= 5, "the PIT ends HLT (%u)", count[0x72]);
	cli();
	ioapic_route(PIT_PIN, APIC_MASKED);
	pit_start(1, false);
}

/*
 * Level-triggered: the UART's line stays up until the cause is gone, so each EOI
 * brings the interrupt again.
 */
#define COM1_PIN 4
static volatile unsigned int uart_irqs;

static bool on_uart(struct frame *f)
{
	uart_irqs++;
	if (uart_irqs == 3)
		outb(0x3f9, 0);		/* interrupt enable off: line down */
	apic_eoi();
	return true;
}

static void test_level(void)
{
	uart_irqs = 0;
	handlers[0x73] = on_uart;
	ioapic_route(COM1_PIN, 0x73 | LEVEL);
	outb(0x3fc, 0x0b);		/* OUT2 lets the line through */
	cli();
	outb(0x3f9, 0x02);		/* "transmitter empty" */
	ok(wait_for(apic_bit(APIC_IRR, 0x73)), "level: UART raises its line");
	sti();
	wait_for(uart_irqs >= 3);
	dawdle(1000);
	cli();
	ok(uart_irqs == 3, "level: comes again after each EOI until the line falls (%u)", uart_irqs);
	ok(!(ioapic_read(0x10 + 2 * COM1_PIN) & 1 << 14), "level: remote IRR is clear after the last EOI");
	/* once more from the start */
	uart_irqs = 0;
	outb(0x3f9, 0x02);
	sti();
	wait_for(uart_irqs >= 3);
	dawdle(1000);
	cli();
	ok(uart_irqs == 3, "level: a second time (%u)", uart_irqs);
	ioapic_route(COM1_PIN, APIC_MASKED);
	outb(0x3f9, 0);
	ok(apic_read(APIC_TMR + 0x73 / 32 * 16) >> (0x73 % 32) & 1, "level: TMR has the bit");
}

static volatile unsigned int pic_irqs;

static bool on_pic(struct frame *f)
{
	pic_irqs++;
	outb(0x20, 0x20);
	return true;
}

static void test_extint(void)
{
	unsigned int n;

	handlers[0x20] = on_pic;
	pic_init(0x20);
	apic_write(APIC_LVT0, 0x700);	/* ExtINT, not masked */
	pic_mask(0xfffe);
	pit_start(1200, true);
	sti();
	ok(wait_for(pic_irqs >= 5), "ExtINT: 8259 through LINT0 (%u)", pic_irqs);
	for (n = 0; n < 3; n++)
		asm volatile("hlt");
	ok(pic_irqs >= 7, "ExtINT ends HLT (%u)", pic_irqs);
	cli();
	n = pic_irqs;
	dawdle(100000);
	ok(pic_irqs == n, "ExtINT: interrupts off hold it");
	irq_window();
	ok(pic_irqs > n, "ExtINT: ... and it comes when they are on (%u)", pic_irqs - n);
	apic_write(APIC_LVT0, APIC_MASKED);
	n = pic_irqs;
	sti();
	dawdle(100000);
	cli();
	ok(pic_irqs <= n + 1, "ExtINT: LINT0 masked is silent (%u)", pic_irqs - n);
	pic_mask(0xffff);
	pit_start(1, false);
	/* drain what the 8259 still holds */
	outb(0x20, 0x20);
}

/* --- exceptions -------------------------------------------------------------------------- */
static void fault(long vector, long want, long error, const char *what)
{
	ok(vector == want && (long)this_cpu()->trap.error == error, "%s: vector %ld error %#lx", what, vector,
	   this_cpu()->trap.error);
}

static void fault_strict(long vector, long want, long error, const char *what)
{
	ok_strict(vector == want && (long)this_cpu()->trap.error == error, "%s: vector %ld error %#lx", what,
		  vector, this_cpu()->trap.error);
}

static void test_exceptions(void)
{
	struct cpu *c = this_cpu();
	u64 va = 0x220000000000, *pte, page = (u64)alloc_page();
	long v;

	v = TRY("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx", : : "a"(1) : "rcx", "rdx");
	fault(v, VECTOR_DE, 0, "#DE by DIV");
	v = TRY("mov $-1, %%ecx; cqto; idiv %%rcx", : : "a"(1ULL << 63) : "rcx", "rdx");
	ok(v < 0 || v == VECTOR_DE, "IDIV runs (%ld)", v);
	v = TRY("int3", : : );
	fault(v, VECTOR_BP, 0, "#BP by INT3");
	v = TRY("int $3", : : );
	fault(v, VECTOR_BP, 0, "#BP by INT 3");
	v = TRY("int $0x55", : : );
	fault(v, 0x55, 0, "INT n");
	v = TRY("ud2", : : );
	fault(v, VECTOR_UD, 0, "#UD");
	v = TRY("mov %%ax, %%ds", : : "a"(0x1234));
	fault(v, VECTOR_GP, 0x1234 & ~3, "#GP with a selector");
	v = TRY("mov %%ax, %%ss", : : "a"(3));
	fault_strict(v, VECTOR_GP, 0, "#GP by a null SS with another RPL");
	set_gate(0x57, 0, 0, 0);
	idt[0x57].type = 0;
	v = TRY("int $0x57", : : );
	fault_strict(v, VECTOR_GP, 0x57 * 8 + 2, "#GP by an empty IDT entry");
	idt[0x57].type = 0x0e;
	v = TRY("int $0x57", : : );
	fault_strict(v, VECTOR_NP, 0x57 * 8 + 2, "#NP by an IDT entry not present");
	c->gdt[SPARE / 8] = 0x00cf13000000ffff;	/* data, not present */
	v = TRY("mov %%ax, %%ds", : : "a"(SPARE));
	fault(v, VECTOR_NP, SPARE, "#NP by a data segment");
	v = TRY("mov %%ax, %%ss", : : "a"(SPARE));
	fault(v, VECTOR_SS, SPARE, "#SS by a stack segment not present");
	v = TRY("mov (%%rax), %%rax", : : "a"(1ULL << 62));
	fault(v, VECTOR_GP, 0, "#GP by an address that is not canonical");

	v = TRY("mov (%%rax), %%al", : : "a"(va));
	ok(v == VECTOR_PF && c->trap.error == 0 && c->trap.cr2 == va, "#PF: read, not present (%#lx %#lx)", c->trap.error, c->trap.cr2);
	v = TRY("mov %%al, 5(%%rax)", : : "a"(va));
	ok(v == VECTOR_PF && c->trap.error == 2 && c->trap.cr2 == va + 5, "#PF: write, not present (%#lx %#lx)", c->trap.error, c->trap.cr2);
	pte = map(boot_pml4, va, page | PTE_P, 1);
	v = TRY("mov %%al, 7(%%rax)", : : "a"(va));
	ok(v == VECTOR_PF && c->trap.error == 3 && c->trap.cr2 == va + 7, "#PF: write, read-only (%#lx %#lx)", c->trap.error, c->trap.cr2);
	*pte = page | PTE_P | PTE_W | PTE_NX;
	invlpg((void *)va);
	*(volatile u8 *)page = 0xc3;
	v = TRY_THEN("mov %%rsp, %%rbx; call *%%rax", "mov %%rbx, %%rsp", : : "a"(va) : "rbx");
	ok(v == VECTOR_PF && c->trap.error == 0x11 && c->trap.cr2 == va, "#PF: fetch, no-execute (%#lx %#lx)", c->trap.error, c->trap.cr2);
	*pte = page | PTE_P | PTE_W | 1ULL << 51;
	invlpg((void *)va);
	v = TRY("mov (%%rax), %%al", : : "a"(va));
	ok_strict(v == VECTOR_PF && c->trap.error == 9, "#PF: reserved bit (vector %ld error %#lx)", v, c->trap.error);
	*pte = 0;
	invlpg((void *)va);

	/* x87 and SSE */
	wcr0(rcr0() | 8);
	v = TRY("fnop", : : );
	fault(v, VECTOR_NM, 0, "#NM by CR0.TS");
	v = TRY("movaps %%xmm0, %%xmm0", : : );
	fault(v, VECTOR_NM, 0, "#NM by CR0.TS, SSE");
	asm volatile("clts");
	wcr4(rcr4() & ~0x200ULL);
	v = TRY("movaps %%xmm0, %%xmm0", : : );
	fault(v, VECTOR_UD, 0, "#UD: SSE without CR4.OSFXSR");
	wcr4(rcr4() | 0x600);
	v = TRY("fninit; fldcw %0; fld1; fdivs %1; fwait", : : "m"((u16){ 0x37b }), "m"((u32){ 0 }));
	fault(v, VECTOR_MF, 0, "#MF");
	asm volatile("fninit");
	v = TRY("ldmxcsr %0; xorps %%xmm0, %%xmm0; pcmpeqd %%xmm1, %%xmm1; psrld $25, %%xmm1; pslld $23, %%xmm1; divss %%xmm0, %%xmm1",
		: : "m"((u32){ 0x1d80 }));
	fault_strict(v, VECTOR_XM, 0, "#XM");
	asm volatile("ldmxcsr %0" : : "m"((u32){ 0x1f80 }));
	v = TRY("movaps 1(%%rsp), %%xmm0", : : );
	fault(v, VECTOR_GP, 0, "#GP by a misaligned MOVAPS");
}

static void user_alignment(void)
{
	asm volatile("pushf; orl $0x40000, (%%rsp); popf; mov 1(%%rsp), %%eax; int $0x80" : : : "rax");
}

static void user_int(void) { asm volatile("int $0x60"); }
static void user_cli(void) { asm volatile("cli"); }

static void test_double_fault(void)
{
	struct cpu *c = this_cpu();
	u64 va = 0x230000000000, entry, copy;
	long v;

	wcr0(rcr0() | 1 << 18);
	ok_strict(run_user(user_alignment, 0) == VECTOR_AC && !c->trap.error, "#AC at CPL 3");
	wcr0(rcr0() & ~(1ULL << 18));
	ok_strict(run_user(user_int, 0) == VECTOR_GP && c->trap.error == 0x60 * 8 + 2, "INT of a DPL 0 gate at CPL 3 is #GP (%#lx)", c->trap.error);
	ok(run_user(user_cli, 0) == VECTOR_GP, "CLI at CPL 3 is #GP");

	/* #GP whose gate is not present: #NP inside #GP makes #DF */
	entry = idt[VECTOR_GP].type;
	idt[VECTOR_GP].type = 0x0e;
	v = TRY("mov %%ax, %%ds", : : "a"(0x1230));
	idt[VECTOR_GP].type = entry;
	fault(v, VECTOR_DF, 0, "contributory fault in the delivery of #GP is #DF");

	/* #PF whose handler's stack is not mapped: #PF in the delivery of #PF makes #DF */
	map(boot_pml4, va, (u64)alloc_page() | PTE_P | PTE_W, 1);
	copy = va + 0x10000;	/* not mapped */
	v = TRY_THEN("mov %%rsp, %%rbx; mov %%rcx, %%rsp; movb $0, (%%rax)", "mov %%rbx, %%rsp", : : "a"(va + 0x2000), "c"(copy) : "rbx", "memory");
	fault(v, VECTOR_DF, 0, "page fault in the delivery of a page fault is #DF");

	/* but #PF in the delivery of INT n is a #PF */
	{
		struct { u16 limit; u64 base; } __attribute__((packed)) old, far;
		u64 *e;

		asm volatile("sidt %0" : "=m"(old));
		va = 0x240000000000;
		map(boot_pml4, va, ((u64)idt & PTE_ADDR) | PTE_P | PTE_W, 1);
		e = map(boot_pml4, va + 4096, (((u64)idt & PTE_ADDR) + 4096) | PTE_P | PTE_W, 1);
		far.limit = old.limit;
		far.base = va + ((u64)idt & 4095);
		asm volatile("lidt %0" : : "m"(far));
		v = TRY("int $0x55", : : );
		ok(v == 0x55, "INT n through a remapped IDT");
		*e = 0;
		invlpg((void *)(va + 4096));
		v = ((u64)idt & 4095) + 16 * 255 >= 4096 ? TRY("int $0xfe", : : ) : VECTOR_PF;
		ok(v == VECTOR_PF, "INT n whose IDT entry is not mapped is #PF (vector %ld error %#lx cr2 %#lx)", v,
		   c->trap.error, c->trap.cr2);
		asm volatile("lidt %0" : : "m"(old));
	}
}

/*
 * Delivery that needs memory the host has not mapped yet: the hypervisor gets its own
 * fault in the middle of an event and has to deliver the event again.
 */
static void test_vectoring(void)
{
	struct cpu *c = this_cpu();
	u64 saved_ist;
	unsigned int i, good = 0;

	memcpy(&saved_ist, &c->tss[9 + 4], 8);
	handlers[0x62] = count_and_eoi;
	set_gate(0x62, (u64)vector_entries + 16 * 0x62, IST_TEST, 0);
	clear_counts();
	for (i = 0; i < 32; i++) {
		u64 top = memory_end() - 0x100000 - i * 8192;

		memcpy(&c->tss[9 + 4], &top, 8);
		self_ipi(0x62);
		irq_window();
		good += count[0x62] == i + 1;
	}
	ok(good == 32, "interrupts on stacks in untouched memory (%u)", good);
	good = 0;
	set_gate(VECTOR_UD, (u64)vector_entries + 16 * VECTOR_UD, IST_TEST, 0);
	for (i = 0; i < 32; i++) {
		u64 top = memory_end() - 0x200000 - i * 8192;

		memcpy(&c->tss[9 + 4], &top, 8);
		good += TRY("ud2", : : ) == VECTOR_UD;
	}
	ok(good == 32, "exceptions on stacks in untouched memory (%u)", good);
	good = 0;
	set_gate(VECTOR_GP, (u64)vector_entries + 16 * VECTOR_GP, IST_TEST, 0);
	for (i = 0; i < 32; i++) {
		u64 top = memory_end() - 0x300000 - i * 8192;

		memcpy(&c->tss[9 + 4], &top, 8);
		good += TRY("mov %%ax, %%ds", : : "a"(0x1230)) == VECTOR_GP && c->trap.error == 0x1230;
	}
	ok(good == 32, "exceptions with error code on stacks in untouched memory (%u)", good);
	good = 0;
	set_gate(0x63, (u64)vector_entries + 16 * 0x63, IST_TEST, 0);
	for (i = 0; i < 32; i++) {
		u64 top = memory_end() - 0x400000 - i * 8192;

		memcpy(&c->tss[9 + 4], &top, 8);
		handlers[0x63] = NULL;
		good += TRY("int $0x63", : : ) == 0x63;
	}
	ok(good == 32, "software interrupts on stacks in untouched memory (%u)", good);
	set_gate(VECTOR_UD, (u64)vector_entries + 16 * VECTOR_UD, 0, 0);
	set_gate(VECTOR_GP, (u64)vector_entries + 16 * VECTOR_GP, 0, 0);
	memcpy(&c->tss[9 + 4], &saved_ist, 8);
}

/* The spurious vector: TPR raised between acceptance and delivery cannot be forced; EOI with an empty ISR can. */
static void test_spurious(void)
{
	clear_counts();
	apic_eoi();
	apic_eoi();
	irq_window();
	ok(!count[0xff], "EOI without an interrupt in service does nothing");
	self_ipi(0x68);
	irq_window();
	ok(count[0x68] == 1, "... and the next interrupt comes");
}

int main(void)
{
	unsigned int v;

	cpu_start(0);
	pic_init(0x20);
	apic_enable(false);
	cpus[0].apic_id = apic_read(APIC_ID) >> 24;
	for (v = 0x20; v < 256; v++)
		handlers[v] = count_and_eoi;
	test_self_ipi("xAPIC");
	test_shadow();
	test_registers(false);
	test_timer("xAPIC");
	test_nmi();
	test_ioapic();
	test_level();
	test_extint();
	test_spurious();
	if (apic_has_x2()) {
		apic_enable(true);
		cpus[0].apic_id = apic_read(APIC_ID);
		ok(apic_is_x2(), "x2APIC is on");
		test_registers(true);
		test_self_ipi("x2APIC");
		test_timer("x2APIC");
		test_nmi();
		test_ioapic();
		test_level();
		apic_enable(false);
		self_ipi(0x68);
		clear_counts();
		irq_window();
		ok(count[0x68] == 1, "back from x2APIC to xAPIC");
	} else {
		skip("no x2APIC");
	}
	for (v = 0x20; v < 256; v++)
		handlers[v] = NULL;
	test_exceptions();
	test_double_fault();
	test_vectoring();
	return finish_tests();
}

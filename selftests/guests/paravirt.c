// SPDX-License-Identifier: GPL-2.0-only
/*
 * The paravirtual ABI of KVM beside the clock: steal time, EOI, interrupts, kicks and yields by hypercall. What
 * CPUID does not announce has to be refused.
 */
#include "guest.h"

#define MSR_WALL_OLD	0x11
#define MSR_CLOCK_OLD	0x12
#define MSR_WALL	0x4b564d00
#define MSR_CLOCK	0x4b564d01
#define MSR_STEAL	0x4b564d03
#define MSR_EOI		0x4b564d04
#define HC_KICK		5
#define HC_IPI		10
#define HC_YIELD	11
#define NO_CALL		1000
#define EINVAL		22

enum { CLOCK_OLD = 0, CLOCK = 3, STEAL = 5, EOI = 6, UNHALT = 7, TLB_FLUSH = 9, IPI = 11, YIELD = 13 };

struct steal {
	u64 steal;
	volatile u32 version;
	u32 flags;
	volatile u8 preempted;
	u8 pad[47];
};

static struct steal steals[MAX_CPUS] __attribute__((aligned(64)));
static volatile u32 eoi_word[MAX_CPUS] __attribute__((aligned(64)));
static u32 features;

static long call(u64 nr, u64 a0, u64 a1, u64 a2, u64 a3)
{
	u64 rax = nr;

	if (has_amd())
		TRY("vmmcall", : "+a"(rax) : "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	else
		TRY("vmcall", : "+a"(rax) : "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	return rax;
}

/* --- MSRs ------------------------------------------------------------------------------ */
static void test_msr(u32 msr, const char *name, int feature, u64 good, u64 reserved)
{
	u64 v = 0;

	if (!(features & 1U << feature)) {
		ok(try_rdmsr(msr, &v) == VECTOR_GP, "%s is off: RDMSR is #GP", name);
		ok(try_wrmsr(msr, good) == VECTOR_GP && try_wrmsr(msr, 0) == VECTOR_GP, "%s is off: WRMSR is #GP", name);
		return;
	}
	ok(try_rdmsr(msr, &v) < 0 && !v, "%s: the MSR is there, and off (%#lx)", name, v);
	ok(try_wrmsr(msr, good) < 0 && rdmsr(msr) == good, "%s: reads back", name);
	ok(try_wrmsr(msr, good | reserved) == VECTOR_GP, "%s: reserved bits are #GP", name);
	ok(try_wrmsr(msr, 1ULL << 62 | good) == VECTOR_GP, "%s: an address that no processor has is #GP", name);
	ok(rdmsr(msr) == good, "%s: ... and changes nothing", name);
	ok(try_wrmsr(msr, 0xfff000001ULL) < 0, "%s: an address without memory", name);
	inb(0x80);
	ok(try_wrmsr(msr, 0) < 0 && !rdmsr(msr), "%s: off again", name);
}

/* guests/clock.c has what it does while it is there. */
static void test_clock_off(void)
{
	static const struct { u32 msr; int feature; } clock[] = {
		{ MSR_WALL_OLD, CLOCK_OLD }, { MSR_CLOCK_OLD, CLOCK_OLD }, { MSR_WALL, CLOCK }, { MSR_CLOCK, CLOCK },
	};
	unsigned int i;
	u64 v;

	for (i = 0; i < sizeof(clock) / sizeof(clock[0]); i++)
		if (!(features & 1U << clock[i].feature))
			ok(try_rdmsr(clock[i].msr, &v) == VECTOR_GP && try_wrmsr(clock[i].msr, 0) == VECTOR_GP,
			   "the clock is off: %#x is #GP", clock[i].msr);
}

/* --- steal time ---------------------------------------------------------------------------- */
static void test_steal(void)
{
	struct steal *s = &steals[0];
	unsigned int i;
	u64 last;

	if (!(features & 1U << STEAL))
		return;
	s->preempted = 1;
	wrmsr(MSR_STEAL, (u64)s | 1);
	cpuid(0);
	ok(!s->preempted, "who runs is not preempted");
	for (i = 0, last = s->steal; i < 200; i++) {
		dawdle(100);
		if (s->steal < last || s->version & 1 || s->preempted)
			break;
		last = s->steal;
	}
	ok(i == 200, "steal time does not go back: %lu ns, version %u, preempted %u", s->steal, s->version, s->preempted);
	wrmsr(MSR_STEAL, 0);
	s->preempted = 0x55;
	i = s->version;
	dawdle(1000);
	ok(s->preempted == 0x55 && s->version == i, "off: the page is left alone");
}

/* --- EOI ------------------------------------------------------------------------------------- */
static volatile unsigned int taken, offered, nested_at;
static volatile bool take_offer, send_inside;

static bool eoi_handler(struct frame *f)
{
	unsigned int id = this_cpu()->id;
	u32 bit = eoi_word[id] & 1;

	this_cpu()->count[f->vector]++;
	taken = taken + 1;
	if (bit)
		offered = offered + 1;
	if (send_inside && f->vector == 0x60) {
		/* one that waits and one that comes at once: neither may be forgotten */
		send_inside = false;
		apic_icr(0, ICR_SELF | ICR_ASSERT | 0x61);
		apic_icr(0, ICR_SELF | ICR_ASSERT | 0x90);
		irq_window();
		nested_at = this_cpu()->count[0x90] << 8 | this_cpu()->count[0x61];
	}
	/* as Linux does it: an atomic test and clear, by this CPU alone */
	if (take_offer) {
		u8 was;

		asm volatile("btrl $0, %0; setc %1" : "+m"(eoi_word[id]), "=q"(was) : : "memory");
		if (was)
			return true;
	}
	apic_eoi();
	return true;
}

static void some_interrupts(const char *what, unsigned int n)
{
	unsigned int i;

	taken = offered = 0;
	memset((void *)cpus[0].count, 0, sizeof(cpus[0].count));
	for (i = 0; i < n; i++) {
		apic_icr(0, ICR_SELF | ICR_ASSERT | 0x60);
		irq_window();
	}
	ok(taken == n, "%s: %u interrupts (%u with the offer)", what, taken, offered);
}

static void test_eoi(const char *mode)
{
	unsigned int i, good;

	if (!(features & 1U << EOI))
		return;
	for (i = 0x60; i < 0xa0; i++)
		handlers[i] = eoi_handler;
	wrmsr(MSR_EOI, (u64)&eoi_word[0] | 1);
	take_offer = true;
	some_interrupts(mode, 100);
	if (!offered && !has_amd())
		skip("%s: none is offered, the processor delivers interrupts itself", mode);
	else
		ok(offered > 0 && !eoi_word[0], "%s: EOIs without an exit are offered, and taken back (%u)", mode, eoi_word[0]);
	ok(!apic_bit(APIC_ISR, 0x60) && !apic_read(APIC_PPR), "%s: ISR and PPR show that they have been", mode);

	take_offer = false;
	some_interrupts("offers not taken", 100);
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0x60);
	irq_window();
	ok(!(eoi_word[0] & 1) && !apic_bit(APIC_ISR, 0x60), "%s: an EOI by the register takes the offer back", mode);

	take_offer = true;
	memset((void *)cpus[0].count, 0, sizeof(cpus[0].count));
	send_inside = true;
	apic_icr(0, ICR_SELF | ICR_ASSERT | 0x60);
	irq_window();
	irq_window();
	ok(nested_at == 0x100 && cpus[0].count[0x61] == 1 && cpus[0].count[0x60] == 1,
	   "%s: a higher vector comes inside, a lower one after (%#x)", mode, nested_at);

	/* several at once, from low to high priority */
	for (i = good = 0; i < 50; i++) {
		memset((void *)cpus[0].count, 0, sizeof(cpus[0].count));
		apic_icr(0, ICR_SELF | ICR_ASSERT | 0x62);
		apic_icr(0, ICR_SELF | ICR_ASSERT | 0x73);
		apic_icr(0, ICR_SELF | ICR_ASSERT | 0x84);
		irq_window();
		irq_window();
		irq_window();
		good += cpus[0].count[0x62] == 1 && cpus[0].count[0x73] == 1 && cpus[0].count[0x84] == 1;
	}
	ok(good == 50, "%s: three at a time (%u)", mode, good);

	/* the timer wakes from HLT after an EOI that nobody has seen */
	for (i = good = 0; i < 10; i++) {
		apic_icr(0, ICR_SELF | ICR_ASSERT | 0x60);
		irq_window();
		cpus[0].count[0x60] = 0;
		apic_write(APIC_TDCR, 0xb);
		apic_write(APIC_LVTT, 0x60);
		apic_write(APIC_TMICT, 2000000);
		while (!cpus[0].count[0x60])
			halt();
		good++;
	}
	ok(good == 10, "%s: HLT, woken by the same vector", mode);

	/* the page goes away while an EOI is open: the register still works */
	wrmsr(MSR_EOI, 0xfff000001ULL);
	some_interrupts("no memory there", 20);
	ok(!offered, "%s: nothing is offered without memory", mode);
	wrmsr(MSR_EOI, 0);
	some_interrupts("off", 20);
	ok(!offered, "%s: off: nothing is offered", mode);
}

/* --- hypercalls --------------------------------------------------------------------------------- */
static volatile bool waits, went_on;

static void wait_for_kick(void *unused)
{
	asm volatile("cli");
	waits = true;
	asm volatile("hlt");
	went_on = true;
}

static void enable_eoi(void *unused)
{
	wrmsr(MSR_EOI, (u64)&eoi_word[this_cpu()->id] | 1);
	asm volatile("sti");
}

static void done(void *unused)
{
	asm volatile("cli");
	wrmsr(MSR_EOI, 0);
}

static void test_ipi(unsigned int n)
{
	unsigned int i, round, good = 0;
	u64 all = 0;
	long r;

	if (!(features & 1U << IPI)) {
		ok(call(HC_IPI, 1, 0, 0, 0xa0) == -NO_CALL, "interrupts by hypercall are off");
		return;
	}
	for (i = 0; i < n; i++) {
		all |= 1ULL << cpus[i].apic_id;
		cpus[i].count[0xa0] = 0;
	}
	handlers[0xa0] = count_and_eoi;
	r = call(HC_IPI, all, 0, 0, 0xa0);
	ok(r == (long)n, "interrupts by hypercall: %ld of %u took one", r, n);
	irq_window();
	ok(cpus[0].count[0xa0] == 1, "... this one too");
	ok(call(HC_IPI, 1, 0, 0, 0xc00a0) == -EINVAL, "a shorthand is refused");
	ok(call(HC_IPI, 1, 0, 0, 0x5a0) == -EINVAL, "INIT is refused");
	ok(call(HC_IPI, 1, 0, 0, 0x1000000a0ULL) == -EINVAL, "an ICR of more than 32 bits is refused");
	ok(call(HC_IPI, ~0ULL, ~0ULL, 64, 0xa0) == 0, "numbers beyond the last one: nobody");
	ok(call(HC_IPI, ~0ULL, ~0ULL, ~0ULL - 3, 0xa0) == 0, "... and far beyond");
	ok(call(HC_IPI, 1, 0, 0, 0x05) == 0, "a vector that nobody takes");
	cpus[0].count[0xa0] = 0;
	ok(call(HC_IPI, 1ULL << 1, 0, 0, 0xa0) == (n > 1), "only the others");
	irq_window();
	ok(!cpus[0].count[0xa0], "... not this one");
	if (n < 2)
		return;
	if (features & 1U << EOI)
		for (i = 1; i < n; i++) {
			run_on(i, enable_eoi, NULL);
			while (cpus[i].busy)
				pause();
		}
	handlers[0xa0] = eoi_handler;
	take_offer = true;
	for (round = 0; round < 200; round++) {
		u32 before[MAX_CPUS];

		for (i = 1; i < n; i++)
			before[i] = cpus[i].count[0xa0];
		call(HC_IPI, all & ~(1ULL << cpus[0].apic_id), 0, 0, 0xa0);
		for (i = 1; i < n; i++)
			if (!(features & 1U << EOI) || wait_for(cpus[i].count[0xa0] != before[i]))
				good++;
	}
	ok(good == 200 * (n - 1), "200 times to %u others (%u)", n - 1, good);
	if (features & 1U << EOI)
		for (i = 1; i < n; i++) {
			run_on(i, done, NULL);
			while (cpus[i].busy)
				pause();
		}
}

static void test_kick(unsigned int n)
{
	unsigned int i, good = 0;

	if (!(features & 1U << UNHALT)) {
		ok(call(HC_KICK, 0, 0, 0, 0) == -NO_CALL, "kicks are off");
	} else {
		ok(call(HC_KICK, 0, 0, 0, 0) == 0, "a kick of oneself");
		asm volatile("cli; hlt" : : : "memory");
		ok(true, "... ends the next HLT, with interrupts off");
		ok(call(HC_KICK, 0, 63, 0, 0) == 0 && call(HC_KICK, 0, ~0ULL, 0, 0) == 0, "kicks of nobody");
		for (i = 0; n > 1 && i < 50; i++) {
			waits = went_on = false;
			run_on(1, wait_for_kick, NULL);
			while (!waits)
				pause();
			if (i & 1)
				dawdle(100);
			call(HC_KICK, 0, cpus[1].apic_id, 0, 0);
			good += wait_for(went_on);
			while (cpus[1].busy)
				pause();
		}
		if (n > 1)
			ok(good == 50, "a CPU in HLT with interrupts off goes on by a kick (%u)", good);
	}
	if (!(features & 1U << YIELD)) {
		ok(call(HC_YIELD, 0, 0, 0, 0) == -NO_CALL, "yielding is off");
		return;
	}
	ok(!call(HC_YIELD, 0, 0, 0, 0) && !call(HC_YIELD, 1, 0, 0, 0) && !call(HC_YIELD, ~0ULL, 0, 0, 0),
	   "yielding to oneself, to another, to nobody");
}

static void user_call(void)
{
	asm volatile("mov $10, %%eax; mov $1, %%ebx; xor %%ecx, %%ecx; xor %%edx, %%edx; mov $0xa0, %%esi\n"
		     "test %%edi, %%edi; jz 1f; vmmcall; jmp 2f; 1: vmcall; 2: int $0x80"
		     : : : "memory");
}

int main(void)
{
	unsigned int n;
	u32 base;

	cpu_start(0);
	pic_init(0x20);
	apic_enable(false);
	cpus[0].apic_id = apic_read(APIC_ID) >> 24;
	for (base = 0x40000000; has_hypervisor() && base < 0x40000400; base += 0x100) {
		struct regs4 r = cpuid(base);

		if (r.b == 0x4b4d564b && r.c == 0x564b4d56 && r.d == 0x4d)
			features = cpuid(base + 1).a;
	}
	print("# features %#x\n", features);
	ok(features == (u32)option("paravirt", features), "as it was asked for");
	test_msr(MSR_STEAL, "steal time", STEAL, (u64)&steals[0] | 1, 0x20);
	test_msr(MSR_EOI, "EOI", EOI, (u64)&eoi_word[0] | 1, 2);
	test_clock_off();
	test_steal();
	test_eoi("xAPIC");
	if (apic_has_x2()) {
		apic_enable(true);
		test_eoi("x2APIC");
		apic_enable(false);
	}
	n = smp_start();
	test_ipi(n);
	test_kick(n);
	cpus[0].count[0xa0] = 0;
	run_user(user_call, has_amd());
	irq_window();
	ok(!cpus[0].count[0xa0], "a program may not send interrupts");
	return finish_tests();
}

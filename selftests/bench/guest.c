// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest of the benchmark: the same image on both hypervisors.
 *
 * Starts in 64-bit mode with flat segments, an identity mapping of 4 GiB, a stack,
 * and a struct params at PARAMS; leaves one unsigned int per sample at SAMPLES and
 * ends with a write to PORT_DONE.
 */
#include "bench.h"

typedef unsigned int u32;
typedef unsigned long u64;

struct gate {
	unsigned short low, cs;
	unsigned char ist, type;
	unsigned short mid;
	u32 high, pad;
};

static struct gate idt[256] __attribute__((aligned(16))) = { { 0 } };
volatile u32 flag = 0;

extern const char fail_stub[], irq_stub[];

/* The handler's own instructions are part of what the rows with interrupts count. */
asm(".globl irq_stub\n"
    "irq_stub:\n"
    "	push %rax\n"
    "	push %rcx\n"
    "	push %rdx\n"
    "	movl $1, flag(%rip)\n"
    "	mov $0x80b, %ecx\n"
    "	xor %eax, %eax\n"
    "	xor %edx, %edx\n"
    "	wrmsr\n"
    "	pop %rdx\n"
    "	pop %rcx\n"
    "	pop %rax\n"
    "	iretq\n"
    ".globl fail_stub\n"
    "fail_stub:\n"
    "	mov (%rsp), %eax\n"
    "	out %eax, $0x82\n"
    "	hlt\n"
    ".section .text.start, \"ax\"\n"
    ".globl _start\n"
    "_start:\n"
    "	call guest_main\n"
    "	out %al, $0x80\n"
    "	hlt\n"
    ".text\n");

struct frame {
	u64 rip, cs, flags, rsp, ss;
};

/* A process's tables; the identity mapping is common to both. */
struct space {
	u64 pml4[512], pdpt[512], pd[512], pt[1024];
};

static struct space *const space = (void *)TABLES;

#define PTE_TABLE	0x07UL
#define PTE_USED	0x67UL	/* present, writable, user, accessed, dirty: as Linux writes it */

static inline u64 rdmsr(u32 index)
{
	u32 a, d;

	asm volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(index));
	return (u64)d << 32 | a;
}

static inline void wrmsr(u32 index, u64 v)
{
	asm volatile("wrmsr" : : "c"(index), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 a, d;

	asm volatile("rdtsc" : "=a"(a), "=d"(d));
	return (u64)d << 32 | a;
}

/*
 * One function per operation, the same but for the operation: whatever surrounds it
 * is what the row `empty` counts.
 */
#define OPERATION(name, text)						\
static __attribute__((noinline)) u32 op_##name(u32 a, u32 d, u64 c, u64 b) \
{									\
	register u32 r9 asm("r9") = a;					\
	register u32 r10 asm("r10") = d;				\
	u32 delta;							\
									\
	asm volatile("rdtsc\n"						\
		     "mov %%eax, %%r8d\n"				\
		     "mov %%r9d, %%eax\n"				\
		     "mov %%r10d, %%edx\n"				\
		     text "\n"						\
		     "rdtsc\n"						\
		     "sub %%r8d, %%eax\n"				\
		     : "=a"(delta), "+b"(b), "+c"(c)			\
		     : "r"(r9), "r"(r10)				\
		     : "rdx", "r8", "memory", "cc");			\
	return delta;							\
}

OPERATION(empty, "")
OPERATION(cpuid, "cpuid")
OPERATION(vmcall, "vmcall")
OPERATION(vmmcall, "vmmcall")
OPERATION(rdmsr, "rdmsr")
OPERATION(wrmsr, "wrmsr")
OPERATION(outw, "out %%ax, %%dx")
OPERATION(outb, "out %%al, %%dx")
OPERATION(inb, "in %%dx, %%al")
OPERATION(store, "mov %%eax, (%%rbx)")
OPERATION(load, "mov (%%rbx), %%eax")
OPERATION(touch, "movb $1, (%%rbx)")
OPERATION(self_ipi, "wrmsr\n1: cmpl $0, flag(%%rip)\nje 1b")
OPERATION(halt, "sti\nhlt\ncli")
OPERATION(write_cr8, "mov %%rbx, %%cr8")
OPERATION(read_cr8, "mov %%cr8, %%rax")
OPERATION(cr3, "mov %%rbx, %%cr3\nmov (%%rcx), %%eax")
OPERATION(invlpg, "invlpg (%%rbx)")
OPERATION(remap, "mov %%rax, (%%rbx)\ninvlpg (%%rcx)\nmov (%%rcx), %%eax")

/*
 * The guest spins; the time in which it does not spin is what the timer cost. Three
 * instructions a turn, and a turn that the interrupt cut in two is still one.
 */
static u32 op_timer(u32 ahead)
{
	u64 turns = 0, t0, t1;

	flag = 0;
	wrmsr(0x6e0, rdtsc() + ahead);
	t0 = rdtsc();
	asm volatile("1: inc %0\n"
		     "cmpl $0, flag(%%rip)\n"
		     "je 1b\n" : "+r"(turns) : : "memory", "cc");
	t1 = rdtsc();
	return t1 - t0 - 3 * turns;
}

/* Skips op_touch()'s MOVB, three bytes. */
__attribute__((interrupt)) static void skip(struct frame *frame, u64 error)
{
	(void)error;
	frame->rip += 3;
}

/* What a kernel does for anonymous memory: a zeroed page, and an entry that leads there. */
__attribute__((interrupt)) static void demand(struct frame *frame, u64 error)
{
	u64 page, address, words = 512;
	void *to;

	(void)frame;
	(void)error;
	asm volatile("mov %%cr2, %0" : "=r"(address));
	page = (address - WINDOW) / 4096;
	address = SMALL_GPA + page * 4096;
	to = (void *)address;
	asm volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(0UL) : "memory");
	*(volatile u64 *)&space[0].pt[page] = address | PTE_USED;
}

static u32 op_demand_zero(void)
{
	volatile u64 *pt = space[0].pt;
	u64 t0;
	u32 i, took;

	t0 = rdtsc();
	for (i = 0; i < WINDOW_PAGES; i++)
		*(volatile char *)(WINDOW + i * 4096UL) = 1;
	took = rdtsc() - t0;
	for (i = 0; i < WINDOW_PAGES; i++)
		pt[i] = 0;
	asm volatile("mov %0, %%cr3" : : "r"(space[0].pml4) : "memory");
	return took;
}

/* Two processes, each with one page at WINDOW; the first one's tables become current. */
static void set_up_spaces(void)
{
	u32 i;

	for (i = 0; i < 2; i++) {
		struct space *s = &space[i];

		s->pml4[0] = *(u64 *)PML4;
		s->pml4[1] = (u64)s->pdpt | PTE_TABLE;
		s->pdpt[0] = (u64)s->pd | PTE_TABLE;
		s->pd[0] = (u64)s->pt | PTE_TABLE;
		s->pd[1] = (u64)(s->pt + 512) | PTE_TABLE;
		s->pt[0] = (SMALL_GPA + i * 4096) | PTE_USED;
	}
	asm volatile("mov %0, %%cr3" : : "r"(space[0].pml4) : "memory");
}

static void gate(unsigned int vector, const void *handler)
{
	u64 a = (u64)handler;

	idt[vector] = (struct gate){ a, 8, 0, 0x8e, a >> 16, a >> 32, 0 };
}

static void set_up(u32 row)
{
	struct { unsigned short limit; u64 base; } __attribute__((packed)) idtr = {
		sizeof(idt) - 1, (u64)idt };
	unsigned int i;

	for (i = 0; i < 32; i++)
		gate(i, fail_stub);
	gate(VECTOR, irq_stub);
	asm volatile("lidt %0" : : "m"(idtr));
	if (row == ROW_xapic_read || row == ROW_xapic_write)
		return;
	/* x2APIC, software-enabled, timer in TSC-deadline mode */
	wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
	wrmsr(0x80f, 0x1ff);
	wrmsr(0x832, 1 << 18 | VECTOR);
}

void guest_main(void)
{
	const struct params *p = (const void *)PARAMS;
	volatile u32 *samples = (void *)SAMPLES;
	u32 i, n = p->samples;
	u64 v;

	set_up(p->row);
	if (p->row >= ROW_cr3_switch && p->row <= ROW_remap)
		set_up_spaces();
	/* The samples' own page must not fault inside a sample. */
	for (i = 0; i < n; i++)
		samples[i] = 0;

	switch (p->row) {
	case ROW_empty:
		for (i = 0; i < n; i++)
			samples[i] = op_empty(0, 0, 0, 0);
		break;
	case ROW_cpuid:
		for (i = 0; i < n; i++)
			samples[i] = op_cpuid(0, 0, 0, 0);
		break;
	case ROW_hypercall:
		/* KVM_HC_VAPIC_POLL_IRQ: does nothing, and both know it */
		for (i = 0; i < n; i++)
			samples[i] = p->amd ? op_vmmcall(1, 0, 0, 0) : op_vmcall(1, 0, 0, 0);
		break;
	case ROW_rdmsr:
		for (i = 0; i < n; i++)
			samples[i] = op_rdmsr(0, 0, 0x1b, 0);
		break;
	case ROW_wrmsr:
		for (i = 0; i < n; i++)
			samples[i] = op_wrmsr(0, 0, 0x17a, 0);
		break;
	case ROW_pio_eventfd:
		for (i = 0; i < n; i++)
			samples[i] = op_outw(0, PORT_EVENTFD, 0, 0);
		break;
	case ROW_arm_deadline:
		for (i = 0; i < n; i++) {
			v = rdtsc() + (1UL << 36) + i * 1000;
			samples[i] = op_wrmsr(v, v >> 32, 0x6e0, 0);
		}
		wrmsr(0x6e0, 0);
		break;
	case ROW_write_cr8:
		for (i = 0; i < n; i++)
			samples[i] = op_write_cr8(0, 0, 0, i % 2);
		break;
	case ROW_read_cr8:
		for (i = 0; i < n; i++)
			samples[i] = op_read_cr8(0, 0, 0, 0);
		break;
	case ROW_x2apic_read:
		for (i = 0; i < n; i++)
			samples[i] = op_rdmsr(0, 0, 0x835, 0);
		break;
	case ROW_x2apic_eoi:
		for (i = 0; i < n; i++)
			samples[i] = op_wrmsr(0, 0, 0x80b, 0);
		break;
	case ROW_pio_write:
		for (i = 0; i < n; i++)
			samples[i] = op_outb(0, PORT_USER, 0, 0);
		break;
	case ROW_pio_read:
		for (i = 0; i < n; i++)
			samples[i] = op_inb(0, PORT_USER, 0, 0);
		break;
	case ROW_mmio_write:
		for (i = 0; i < n; i++)
			samples[i] = op_store(i, 0, 0, MMIO_GPA);
		break;
	case ROW_mmio_read:
		for (i = 0; i < n; i++)
			samples[i] = op_load(0, 0, 0, MMIO_GPA);
		break;
	case ROW_xapic_read:
		/* the version */
		for (i = 0; i < n; i++)
			samples[i] = op_load(0, 0, 0, XAPIC_GPA + 0x30);
		break;
	case ROW_xapic_write:
		/* the destination of an IPI that is not sent */
		for (i = 0; i < n; i++)
			samples[i] = op_store(0, 0, 0, XAPIC_GPA + 0x310);
		break;
	case ROW_self_ipi:
		asm volatile("sti");
		for (i = 0; i < n; i++) {
			flag = 0;
			samples[i] = op_self_ipi(VECTOR, 0, 0x83f, 0);
		}
		asm volatile("cli");
		break;
	case ROW_msi:
		/* The host sends an interrupt while the guest stands at an OUT. */
		asm volatile("sti");
		for (;;)
			asm volatile("out %%al, %0" : : "i"(PORT_SYNC) : "memory");
	case ROW_halt:
		for (i = 0; i < n; i++)
			samples[i] = op_halt(0, 0, 0, 0);
		break;
	case ROW_timer:
		asm volatile("sti");
		for (i = 0; i < n; i++)
			samples[i] = op_timer(200000);
		asm volatile("cli");
		break;
	case ROW_fault_4k:
		for (i = 0; i < n; i++)
			samples[i] = op_touch(0, 0, 0, SMALL_GPA + i * 0x1000UL);
		break;
	case ROW_fault_2m:
		for (i = 0; i < n; i++)
			samples[i] = op_touch(0, 0, 0, LARGE_GPA + i * 0x200000UL);
		break;
	case ROW_track_write:
		/* mapped and writable first */
		for (i = 0; i < n; i++)
			op_touch(0, 0, 0, SMALL_GPA + i * 0x1000UL);
		asm volatile("out %%al, %0" : : "i"(PORT_SYNC) : "memory");
		for (i = 0; i < n; i++)
			samples[i] = op_touch(0, 0, 0, SMALL_GPA + i * 0x1000UL);
		break;
	case ROW_track_on:
	case ROW_track_clean:
	case ROW_track_read:
	case ROW_rollback_1:
	case ROW_rollback_100:
	case ROW_rollback_1000:
	case ROW_ring_reset:
		for (;;) {
			n = ((volatile struct params *)PARAMS)->pages;
			for (i = 0; i < n; i++)
				op_touch(0, 0, 0, TRACK_GPA + i * 0x1000UL);
			asm volatile("out %%al, %0" : : "i"(PORT_SYNC) : "memory");
		}
	case ROW_cr3_switch:
		for (i = 0; i < n; i++)
			samples[i] = op_cr3(0, 0, WINDOW, (u64)space[i % 2 ^ 1].pml4);
		break;
	case ROW_guest_fault:
		gate(14, skip);
		for (i = 0; i < n; i++)
			samples[i] = op_touch(0, 0, 0, WINDOW + 4096);
		break;
	case ROW_demand_zero:
		gate(14, demand);
		for (i = 0; i < n; i++)
			samples[i] = op_demand_zero();
		break;
	case ROW_invlpg:
		for (i = 0; i < n; i++)
			samples[i] = op_invlpg(*(volatile u32 *)WINDOW, 0, 0, WINDOW);
		break;
	case ROW_remap:
		for (i = 0; i < n; i++)
			samples[i] = op_remap((SMALL_GPA + i % 2 * 4096) | PTE_USED, 0, WINDOW,
					      (u64)space[0].pt);
		break;
	}
}

// SPDX-License-Identifier: GPL-2.0-only
/* What the 64-bit programs share: descriptor tables, exceptions, CPL 3, paging; see guest.h. */
#include "guest.h"

struct cpu cpus[MAX_CPUS] __attribute__((aligned(64)));
struct gate idt[256] __attribute__((aligned(16)));
handler_t handlers[256];

void set_gate(unsigned int vector, unsigned long handler, unsigned int ist, unsigned int dpl)
{
	idt[vector] = (struct gate){ handler, CS64, ist, 0x8e | dpl << 5, handler >> 16,
				     handler >> 32, 0 };
}

void cpu_start(u32 id)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) p;
	struct cpu *c = &cpus[id];
	u64 tss = (u64)c->tss, rsp0 = (u64)c->stack + sizeof(c->stack), ist;
	unsigned int i;

	if (!idt[0].type)
		for (i = 0; i < 256; i++)
			set_gate(i, (u64)vector_entries + 16 * i, i == VECTOR_NMI ? IST_NMI :
				 i == VECTOR_DF ? IST_DF : 0, i == USER_RETURN || i == 3 || i == 4 ? 3 : 0);
	c->id = id;
	c->self = c;
	c->gdt[CS64 / 8] = 0x00af9b000000ffff;
	c->gdt[DS64 / 8] = 0x00cf93000000ffff;
	c->gdt[CS32 / 8] = 0x00cf9b000000ffff;
	c->gdt[CS16 / 8] = 0x00009b000000ffff;
	c->gdt[DS16 / 8] = 0x000093000000ffff;
	c->gdt[UCS64 / 8] = 0x00affb000000ffff;
	c->gdt[UDS / 8] = 0x00cff3000000ffff;
	c->gdt[UCS32 / 8] = 0x00cffb000000ffff;
	memcpy(&c->tss[1], &rsp0, 8);
	for (i = 0; i < 3; i++) {
		ist = (u64)c->ist[i] + sizeof(c->ist[i]);
		memcpy(&c->tss[9 + 2 * i], &ist, 8);
	}
	c->tss[25] = 0x680000;		/* no I/O permission bitmap */
	c->gdt[TSS / 8] = 0x0000890000000067 | (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56;
	c->gdt[TSS / 8 + 1] = tss >> 32;

	p.limit = sizeof(c->gdt) - 1;
	p.base = (u64)c->gdt;
	asm volatile("lgdt %0" : : "m"(p));
	asm volatile("push %0; push $1f; lretq; 1:" : : "i"(CS64) : "memory");
	asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %0, %%fs; mov %0, %%gs" : : "r"(DS64));
	p.limit = sizeof(idt) - 1;
	p.base = (u64)idt;
	asm volatile("lidt %0" : : "m"(p));
	asm volatile("ltr %w0" : : "r"(TSS));
	wrmsr(0xc0000101, (u64)c);
	wrmsr(0xc0000102, (u64)c);
}

static void crash(const struct frame *f)
{
	print("# CPU %u: unexpected vector %lu error %#lx at %#lx:%#lx, rflags %#lx rsp %#lx cr2 %#lx\n",
	      this_cpu()->id, f->vector, f->error, f->cs, f->rip, f->rflags, f->rsp, rcr2());
	print("# rax %#lx rbx %#lx rcx %#lx rdx %#lx rsi %#lx rdi %#lx rbp %#lx\n",
	      f->rax, f->rbx, f->rcx, f->rdx, f->rsi, f->rdi, f->rbp);
	crashed("unexpected exception");
}

static u64 user_rsp, user_rip;
unsigned long user_alias;

void trap(struct frame *f)
{
	struct cpu *c;

	/* CPL 3 may have loaded GS; the kernel's base is kept in KernelGSbase too */
	c = this_cpu();
	if (handlers[f->vector] && handlers[f->vector](f))
		return;
	c->trap = (struct trap_record){ f->vector, f->error, f->rip, rcr2(), f->rflags };
	if ((f->cs & 3) == 3) {
		f->cs = CS64;
		f->ss = DS64;
		f->rip = user_rip;
		f->rsp = user_rsp;
		f->rflags = 2;
		return;
	}
	if (!c->fixup)
		crash(f);
	f->rip = c->fixup;
	c->fixup = 0;
}

long run_user(void (*fn)(void), unsigned long arg)
{
	static u8 stack[8192] __attribute__((aligned(16)));
	u64 rsp = (u64)stack + sizeof(stack) - 8 + user_alias;

	this_cpu()->trap.vector = -1;
	asm volatile("push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15\n"
		     "mov %%rsp, %0\n"
		     "movq $1f, %1\n"
		     "push %3; push %4; push $2; push %5; push %6\n"
		     "iretq\n"
		     "1: pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx\n"
		     : "=m"(user_rsp), "=m"(user_rip), "+D"(arg)
		     : "i"(UDS), "a"(rsp), "i"(UCS64), "d"((u64)fn + user_alias)
		     : "rcx", "rsi", "r8", "r9", "r10", "r11", "memory");
	return this_cpu()->trap.vector;
}

/* --- paging --------------------------------------------------------------------------- */
u64 *walk(u64 *table, u64 va, unsigned int level)
{
	unsigned int l;

	for (l = 4; l > level; l--) {
		u64 e = table[va >> (12 + 9 * (l - 1)) & 511];

		if (!(e & PTE_P) || e & PTE_PS)
			return NULL;
		table = (u64 *)(e & PTE_ADDR);
	}
	return &table[va >> (12 + 9 * (level - 1)) & 511];
}

u64 *map(u64 *table, u64 va, u64 entry, unsigned int level)
{
	unsigned int l;
	u64 *e;

	for (l = 4; l > level; l--) {
		e = &table[va >> (12 + 9 * (l - 1)) & 511];
		if (!(*e & PTE_P))
			*e = (u64)alloc_page() | PTE_P | PTE_W | PTE_U;
		table = (u64 *)(*e & PTE_ADDR);
	}
	e = &table[va >> (12 + 9 * (level - 1)) & 511];
	*e = entry | (level > 1 ? PTE_PS : 0);
	return e;
}

// SPDX-License-Identifier: GPL-2.0-only
/* What the 32-bit programs share: descriptor tables, exceptions, CPL 3; see guest.h. */
#include "guest.h"

struct cpu cpus[MAX_CPUS] __attribute__((aligned(64)));
struct gate idt[256] __attribute__((aligned(16)));
handler_t handlers[256];

void set_gate(unsigned int vector, unsigned long handler, unsigned int ist, unsigned int dpl)
{
	idt[vector] = (struct gate){ handler, CS32, 0, 0x8e | dpl << 5, handler >> 16 };
}

void cpu_start(u32 id)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) p;
	struct cpu *c = &cpus[id];
	u64 tss = (u32)c->tss, self = (u32)c;
	unsigned int i;

	if (!idt[0].type)
		for (i = 0; i < 256; i++)
			set_gate(i, (u32)vector_entries + 16 * i, 0, i == USER_RETURN || i == 3 || i == 4 ? 3 : 0);
	c->id = id;
	c->self = c;
	c->gdt[DS64 / 8] = 0x00cf93000000ffff;
	c->gdt[CS32 / 8] = 0x00cf9b000000ffff;
	c->gdt[CS16 / 8] = 0x00009b000000ffff;
	c->gdt[DS16 / 8] = 0x000093000000ffff;
	c->gdt[UDS / 8] = 0x00cff3000000ffff;
	c->gdt[UCS32 / 8] = 0x00cffb000000ffff;
	c->gdt[THIS_CPU / 8] = 0x00cf93000000ffff | (self & 0xffffff) << 16 | (self >> 24) << 56;
	c->tss[1] = (u32)c->stack + sizeof(c->stack);
	c->tss[2] = DS64;
	c->tss[25] = 0x680000;		/* no I/O permission bitmap */
	c->gdt[TSS / 8] = 0x0000890000000067 | (tss & 0xffffff) << 16 | (tss >> 24) << 56;

	p.limit = sizeof(c->gdt) - 1;
	p.base = (u32)c->gdt;
	asm volatile("lgdt %0" : : "m"(p));
	asm volatile("ljmp %0, $1f; 1:" : : "i"(CS32) : "memory");
	asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %0, %%fs; mov %1, %%gs"
		     : : "r"(DS64), "r"(THIS_CPU) : "memory");
	p.limit = sizeof(idt) - 1;
	p.base = (u32)idt;
	asm volatile("lidt %0" : : "m"(p));
	asm volatile("ltr %w0" : : "r"(TSS));
}

static void crash(const struct frame *f)
{
	print("# CPU %u: unexpected vector %u error %#x at %#x:%#x, eflags %#x cr2 %#lx\n",
	      this_cpu()->id, f->vector, f->error, f->cs, f->eip, f->eflags, rcr2());
	print("# eax %#x ebx %#x ecx %#x edx %#x esi %#x edi %#x ebp %#x\n",
	      f->eax, f->ebx, f->ecx, f->edx, f->esi, f->edi, f->ebp);
	crashed("unexpected exception");
}

/* Where whoever went to CPL 3 or virtual-8086 mode goes on, and the stack there */
u32 user_esp, user_eip;
unsigned long user_alias;

/*
 * Back from CPL 3 to run_user(). IRET within a level takes neither ESP nor SS from the frame, so
 * the frame is made anew where ESP has to be after it.
 */
void leave_user(void)
{
	asm volatile("mov %0, %%esp; push $2; popf; jmp *%1" : : "r"(user_esp), "r"(user_eip) : "memory");
	__builtin_unreachable();
}

void trap(struct frame *f)
{
	struct cpu *c = this_cpu();

	if (handlers[f->vector] && handlers[f->vector](f))
		return;
	c->trap = (struct trap_record){ f->vector, f->error, f->eip, rcr2(), f->eflags };
	if ((f->cs & 3) == 3 || f->eflags & 1 << 17)
		leave_user();
	if (!c->fixup)
		crash(f);
	f->eip = c->fixup;
	c->fixup = 0;
}

long run_user(void (*fn)(void), unsigned long arg)
{
	static u8 stack[8192] __attribute__((aligned(16)));
	u32 esp = (u32)stack + sizeof(stack) - 8 + user_alias, unused;

	this_cpu()->trap.vector = -1;
	asm volatile("push %%ebx; push %%ebp\n"
		     "mov %%esp, %0\n"
		     "movl $1f, %1\n"
		     "push %5; push %%eax; push $2; push %6; push %%edx\n"
		     "mov %5, %%eax; mov %%eax, %%ds; mov %%eax, %%es\n"
		     "iret\n"
		     "1: mov $0x10, %%eax; mov %%eax, %%ds; mov %%eax, %%es\n"
		     "mov $0x50, %%eax; mov %%eax, %%gs\n"
		     "pop %%ebp; pop %%ebx\n"
		     : "=m"(user_esp), "=m"(user_eip), "+D"(arg), "=a"(unused), "=d"(unused)
		     : "i"(UDS), "i"(UCS32), "3"(esp), "4"((u32)fn + user_alias)
		     : "ecx", "esi", "memory");
	return this_cpu()->trap.vector;
}

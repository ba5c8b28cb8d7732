// SPDX-License-Identifier: GPL-2.0-only
/* What the bare-metal programs share: report, exceptions, memory; see guest.h. */
#include "guest.h"

extern u32 boot_info, boot_magic;
extern char image_end[];

struct cpu cpus[MAX_CPUS] __attribute__((aligned(64)));
struct gate idt[256] __attribute__((aligned(16)));
handler_t handlers[256];

static unsigned int tests, failures;

/* --- report ----------------------------------------------------------------- */
static void put(char c)
{
	unsigned int patience = 100000;

	if (c == '\n')
		put('\r');
	while (!(inb(0x3fd) & 0x20) && patience--)
		;
	outb(0x3f8, c);
}

static void put_number(u64 v, unsigned int base, int width, char fill, bool minus)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (minus)
		digits[n++] = '-';
	while (width-- > n)
		put(fill);
	while (n)
		put(digits[--n]);
}

/* %s %c %d %u %x with l, width and 0; nothing else is needed */
static void vprint(const char *f, va_list args)
{
	for (; *f; f++) {
		bool longer = false;
		int width = 0;
		char fill = ' ';
		const char *s;
		long v;

		if (*f != '%') {
			put(*f);
			continue;
		}
		f++;
		if (*f == '#') {
			put('0');
			put('x');
			f++;
		}
		if (*f == '0')
			fill = *f++;
		while (*f >= '0' && *f <= '9')
			width = width * 10 + *f++ - '0';
		while (*f == 'l') {
			longer = true;
			f++;
		}
		switch (*f) {
		case 's':
			for (s = va_arg(args, const char *); *s; s++)
				put(*s);
			break;
		case 'c':
			put(va_arg(args, int));
			break;
		case 'd':
			v = longer ? va_arg(args, long) : va_arg(args, int);
			put_number(v < 0 ? -v : v, 10, width, fill, v < 0);
			break;
		case 'u':
			put_number(longer ? va_arg(args, u64) : va_arg(args, u32), 10, width, fill, false);
			break;
		case 'x':
			put_number(longer ? va_arg(args, u64) : va_arg(args, u32), 16, width, fill, false);
			break;
		default:
			put(*f);
		}
	}
}

void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprint(fmt, args);
	va_end(args);
}

static void report(bool passed, bool excused, const char *fmt, va_list args)
{
	excused &= !passed;
	failures += !passed && !excused;
	print("%sok %u %s ", passed || excused ? "" : "not ", ++tests,
	      excused ? "# SKIP not by this emulator:" : "-");
	vprint(fmt, args);
	put('\n');
}

void ok(bool passed, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(passed, false, fmt, args);
	va_end(args);
}

void ok_strict(bool passed, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(passed, on_tcg(), fmt, args);
	va_end(args);
}

void ok_hypervisor(bool passed, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(passed, !has_hypervisor(), fmt, args);
	va_end(args);
}

void skip(const char *fmt, ...)
{
	va_list args;

	print("ok %u # SKIP ", ++tests);
	va_start(args, fmt);
	vprint(fmt, args);
	va_end(args);
	put('\n');
}

int finish_tests(void)
{
	print("1..%u\n", tests);
	return failures ? END_FAILED : END_PASSED;
}

void finish(int code)
{
	outl(0xf4, code);
	/* no debug-exit device */
	print("# end %d\n", code);
	for (;;)
		asm volatile("cli; hlt");
}

/* --- the C library's part ------------------------------------------------------ */
void *memset(void *p, int c, size_t n)
{
	void *d = p;

	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *d = to;

	asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

/* --- Multiboot ------------------------------------------------------------------- */
unsigned long option(const char *name, unsigned long otherwise)
{
	const u32 *info = (const u32 *)(u64)boot_info;
	const char *s;
	size_t n = 0;

	while (name[n])
		n++;
	if (boot_magic != 0x2badb002 || !(info[0] & 4))
		return otherwise;
	for (s = (const char *)(u64)info[4]; *s; s++) {
		unsigned long v = 0;

		if (memcmp(s, name, n) || s[n] != '=')
			continue;
		for (s += n + 1; *s >= '0' && *s <= '9'; s++)
			v = v * 10 + *s - '0';
		return v;
	}
	return otherwise;
}

u64 memory_end(void)
{
	const u32 *info = (const u32 *)(u64)boot_info;

	if (boot_magic != 0x2badb002 || !(info[0] & 1))
		return 16 << 20;
	return (1ULL << 20) + 1024ULL * info[2];
}

static u64 heap;

void *alloc(size_t bytes, size_t align)
{
	u64 p;

	if (!heap)
		heap = (u64)image_end;
	p = (heap + align - 1) & -align;
	heap = p + bytes;
	if (heap > memory_end()) {
		print("# out of memory\n");
		finish(END_CRASHED);
	}
	return memset((void *)p, 0, bytes);
}

/* --- processor --------------------------------------------------------------------- */
bool has_amd(void)
{
	return cpuid(0).b == 0x68747541;	/* Auth */
}

bool has_hypervisor(void)
{
	return cpuid(1).c & 1U << 31 && cpuid(0x40000000).b != 0x54474354;	/* TCGT */
}

bool on_tcg(void)
{
	struct regs4 r;

	if (cpuid(0x80000000).a < 0x80000002)
		return false;
	r = cpuid(0x80000002);
	return r.a == 0x554d4551 && r.b == 0x47435420;		/* QEMU TCG */
}

long try_rdmsr(u32 i, u64 *v)
{
	u32 a = 0, d = 0;
	long vector = TRY("rdmsr", : "+a"(a), "+d"(d) : "c"(i));

	*v = (u64)d << 32 | a;
	return vector;
}

long try_wrmsr(u32 i, u64 v)
{
	return TRY("wrmsr", : : "c"(i), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

void dawdle(unsigned int n)
{
	while (n--)
		pause();
}

void set_gate(unsigned int vector, u64 handler, unsigned int ist, unsigned int dpl)
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
	print("not ok %u - crashed\n1..%u\n", tests + 1, tests + 1);
	finish(END_CRASHED);
}

static u64 user_rsp, user_rip;
u64 user_alias;

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

long run_user(void (*fn)(void), u64 arg)
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

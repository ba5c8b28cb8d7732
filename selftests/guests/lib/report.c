// SPDX-License-Identifier: GPL-2.0-only
/* What the bare-metal programs share in all modes: report, Multiboot, which processor; see guest.h. */
#include "guest.h"

extern u32 boot_info, boot_magic;
extern char image_end[];

static unsigned int tests, failures;

/* --- report ----------------------------------------------------------------- */
#define COM1	0x3f8
#define FIFO	16	/* bytes that a 16550 takes once its transmitter is empty */

static char line[FIFO];
static unsigned int in_line;

/* As a string: one exit for 16 bytes. A byte at a time, most of a program's time went into what it says. */
static void flush(void)
{
	static bool fifo_on;
	unsigned int patience = 100000;
	const char *from = line;
	size_t n = in_line;

	if (!fifo_on)
		outb(COM1 + 2, 1);
	fifo_on = true;
	while (!(inb(COM1 + 5) & 0x20) && patience--)
		;
	asm volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(COM1) : "memory");
	in_line = 0;
}

static void put(char c)
{
	if (c == '\n')
		put('\r');
	line[in_line++] = c;
	if (in_line == FIFO || c == '\n')
		flush();
}

/* 64-bit division without the compiler's library, which there is none of in 32-bit mode */
static u32 divide(u64 *v, u32 by)
{
	u32 high = *v >> 32, low = *v, rest = high % by;

	asm("divl %2" : "+a"(low), "+d"(rest) : "r"(by));
	*v = (u64)(high / by) << 32 | low;
	return rest;
}

static void put_number(u64 v, unsigned int base, int width, char fill, bool minus)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[divide(&v, base)];
	} while (v);
	if (minus)
		digits[n++] = '-';
	while (width-- > n)
		put(fill);
	while (n)
		put(digits[--n]);
}

static u64 next_unsigned(unsigned int longer, va_list *args)
{
	return longer > 1 ? va_arg(*args, unsigned long long) :
	       longer ? va_arg(*args, unsigned long) : va_arg(*args, u32);
}

/* %s %c %d %u %x with l, ll, width and 0; nothing else is needed */
static void vprint(const char *f, va_list from)
{
	va_list args;

	va_copy(args, from);
	for (; *f; f++) {
		unsigned int longer = 0;
		int width = 0;
		char fill = ' ';
		const char *s;
		long long v;

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
			longer++;
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
			v = longer > 1 ? va_arg(args, long long) : longer ? va_arg(args, long) : va_arg(args, int);
			put_number(v < 0 ? -v : v, 10, width, fill, v < 0);
			break;
		case 'u':
			put_number(next_unsigned(longer, &args), 10, width, fill, false);
			break;
		case 'x':
			put_number(next_unsigned(longer, &args), 16, width, fill, false);
			break;
		default:
			put(*f);
		}
	}
	va_end(args);
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

unsigned int reports(void)
{
	return *(volatile unsigned int *)&tests;
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

/* what has been reported stands; the rest will not come */
void crashed(const char *why)
{
	print("not ok %u - crashed: %s\n1..%u\n", tests + 1, why, tests + 1);
	finish(END_CRASHED);
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
static char command_line[256];
static u32 upper_memory = 15 << 10;	/* KiB from 1 MiB on */

/* Once, and before alloc() gives away the memory that the loader left it in. */
static void read_boot_info(void)
{
	const u32 *info = (const u32 *)(unsigned long)boot_info;
	static bool done;
	const char *s;
	size_t i;

	if (done)
		return;
	done = true;
	if (boot_magic != 0x2badb002)
		return;
	if (info[0] & 1)
		upper_memory = info[2];
	if (info[0] & 4)
		for (i = 0, s = (const char *)(unsigned long)info[4]; s[i] && i < sizeof(command_line) - 1; i++)
			command_line[i] = s[i];
}

unsigned long option(const char *name, unsigned long otherwise)
{
	const char *s;
	size_t n = 0;

	read_boot_info();
	while (name[n])
		n++;
	for (s = command_line; *s; s++) {
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
	read_boot_info();
	return (1ULL << 20) + 1024ULL * upper_memory;
}

static unsigned long heap;

void *alloc(size_t bytes, size_t align)
{
	unsigned long p;

	read_boot_info();
	if (!heap)
		heap = (unsigned long)image_end;
	p = (heap + align - 1) & -align;
	heap = p + bytes;
	if (heap > memory_end())
		crashed("out of memory");
	return memset((void *)p, 0, bytes);
}

/* --- what processor --------------------------------------------------------------------- */
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

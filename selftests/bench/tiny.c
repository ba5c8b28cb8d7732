// SPDX-License-Identifier: GPL-2.0-only
/* The small program that `process` executes: no C library, a page each of code, data and stack. */
static volatile int data = 1, bss;

__attribute__((noreturn, used)) void _start(void)
{
	bss = data;
	/* exit(0) */
	asm volatile("syscall" : : "a"(60), "D"(0));
	__builtin_unreachable();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions retired by the interpreter for the accesses that device memory meets.
 *
 * A child single-steps itself under ptrace between two marks; what the callbacks
 * and the harness retire is measured the same way and shown beside.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"

/* si_code of a single step; an INT3 has another */
#ifndef TRAP_TRACE
#define TRAP_TRACE 2
#endif

static u64 dev[8];
static u32 asked;

static int c_read(struct vireo_emu *e, u64 la, u64 gpa, void *data, u32 len, u32 flags)
{
	(void)e;
	(void)la;
	(void)gpa;
	(void)len;
	(void)flags;
	*(u64 *)data = 0;
	return VIREO_EMU_OK;
}

static int c_read_user(struct vireo_emu *e, u64 la, u64 gpa, void *data, u32 len, u32 flags)
{
	(void)e;
	(void)la;
	(void)gpa;
	(void)data;
	(void)flags;
	asked = len;
	return VIREO_EMU_USER;
}

static int c_write(struct vireo_emu *e, u64 la, u64 gpa, const void *data, u32 len, u32 flags)
{
	(void)e;
	(void)la;
	(void)gpa;
	(void)len;
	(void)flags;
	dev[0] = *(const u64 *)data;
	return VIREO_EMU_OK;
}

static u64 regs[16];
static struct vireo_emu_ops ops;
static struct vireo_emu emu = { .ops = &ops, .regs = regs };

static int c_cmpxchg(struct vireo_emu *e, u64 la, u64 gpa, void *old, const void *new, u32 len,
		     u32 flags)
{
	(void)old;
	return c_write(e, la, gpa, new, len, flags);
}

/* What a call from here costs. */
static noinline int nothing(struct vireo_emu *e, const u8 *bytes, u32 len)
{
	__asm__ volatile("" : : "r" (e), "r" (bytes), "r" (len) : "memory");
	return 0;
}

/*
 * -1: an empty call; 0: nothing; 1: decode; 2: decode and execute; 3: with a wait for user space;
 * 4: vireo_emu_mmio(); 5: with a wait for user space
 */
static void measured(int what, const u8 *bytes)
{
	__asm__ volatile("int3" : : : "memory");
	if (what == -1) {
		nothing(&emu, bytes, 15);
	} else if (what >= 4) {
		if (vireo_emu_mmio(&emu, bytes, 15) == VIREO_EMU_USER && what >= 5) {
			vireo_emu_complete_read(&emu, &dev, asked);
			ops.read = c_read;
			vireo_emu_execute(&emu);
		}
	} else if (what >= 1 && !vireo_emu_decode(&emu, bytes, 15) && what >= 2) {
		if (vireo_emu_execute(&emu) == VIREO_EMU_USER && what >= 3) {
			vireo_emu_complete_read(&emu, &dev, asked);
			ops.read = c_read;
			vireo_emu_execute(&emu);
		}
	}
	__asm__ volatile("int3" : : : "memory");
}

static long steps(int what, const u8 *bytes)
{
	int status;
	long n = 0;
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		ops = machine_ops;
		ops.read = what == 3 || what == 5 ? c_read_user : c_read;
		ops.write = c_write;
		ops.cmpxchg = c_cmpxchg;
		emu.mode = VIREO_EMU_PROT64;
		emu.gpa = 0xfebc1010;
		emu.rflags = 2;
		regs[VIREO_EMU_RDI] = 0xffffc90000101000;
		measured(what, bytes);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	for (;;) {
		if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) || waitpid(pid, &status, 0) != pid ||
		    !WIFSTOPPED(status))
			return -1;
		n++;
		/* The second INT3 is a trap of its own kind. */
		siginfo_t si;

		if (!ptrace(PTRACE_GETSIGINFO, pid, 0, &si) && si.si_code != TRAP_TRACE)
			break;
		if (n > 100000)
			return -1;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return n;
}

int main(void)
{
	static const struct {
		const char *name;
		u8 bytes[15];
		bool read;
		u32 bar;
	} insns[] = {
		{ "mov %esi,0x10(%rdi)", { 0x89, 0x77, 0x10 }, false, 125 },
		{ "mov %esi,(%rdi,%rax,1)+0x10", { 0x89, 0x74, 0x07, 0x10 }, false, 145 },
		{ "mov %r8d,0x10(%rdi)", { 0x44, 0x89, 0x47, 0x10 }, false, 132 },
		{ "mov 0x10(%rdi),%eax", { 0x8b, 0x47, 0x10 }, true, 138 },
		{ "movl $1,0x10(%rdi)", { 0xc7, 0x47, 0x10, 1 }, false, 135 },
		{ "mov %si,0x10(%rdi)", { 0x66, 0x89, 0x77, 0x10 }, false, 128 },
		{ "movzbl 0x10(%rdi),%eax", { 0x0f, 0xb6, 0x47, 0x10 }, true, 150 },
		{ "lock orl $1,0x10(%rdi)", { 0xf0, 0x83, 0x4f, 0x10, 1 }, false, 0 },
	};
	long base = steps(-1, insns[0].bytes) - 2;	/* its CALL and RET */
	u32 i;

	if (base < 0) {
		printf("1..0 # SKIP ptrace does not work here\n");
		return 0;
	}
	for (i = 0; i < sizeof(insns) / sizeof(insns[0]); i++) {
		long d = steps(1, insns[i].bytes) - base, x = steps(2, insns[i].bytes) - base;
		long f = steps(4, insns[i].bytes) - base;

		printf("# %-30s decode %3ld, and execute %3ld; vireo_emu_mmio %3ld",
		       insns[i].name, d, x, f);
		if (insns[i].read)
			printf(", with a wait for user space %3ld",
			       steps(5, insns[i].bytes) - base);
		printf("\n");
		if (insns[i].bar)
			tap_ok(f > 0 && f <= insns[i].bar, "%s within %u instructions",
			       insns[i].name, insns[i].bar);
	}
	return tap_done();
}

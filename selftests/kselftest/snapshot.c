// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots: memory and state are exactly what they were after each roll-back, with any number of snapshots, while consumers follow the
 * same memory, several vCPUs write and the host moves it; and what is wrong is noticed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

#define PAGES	1024UL
#include "track.h"

GUEST(input, 64, "in $0x11, %al\n" "out %al, $0x10\n" "hlt");

#define TABLES	8UL		/* page tables, and GDT, of the guest in use */

static struct vireo_snapshot last;	/* as the call left it */

static int call(int vm, unsigned long request, u32 id, u32 flags)
{
	last = (struct vireo_snapshot) { .size = sizeof(last), .id = id, .flags = flags };
	return vt_ioctl(vm, request, &last);
}

/* Its number, or a negative errno */
static int take(int vm, u32 flags)
{
	int r = call(vm, VIREO_SNAPSHOT, 0, flags);

	return r ?: (int)last.id;
}

static int back(int vm, u32 id)
{
	return call(vm, VIREO_ROLLBACK, id, 0);
}

static int drop(int vm, u32 id)
{
	return call(vm, VIREO_DROP_SNAPSHOT, id, 0);
}

static int announce(int vm, u64 gpa, u64 bytes)
{
	struct vireo_dirty_range range = { .size = sizeof(range), .flags = VIREO_DIRTY_BEFORE, .gpa = gpa, .bytes = bytes };

	return vt_ioctl(vm, VIREO_MARK_DIRTY, &range);
}

/* What the consumer is told of is copied; how many pages */
static long update(int vm, const u8 *mem, u8 *copy)
{
	u64 bitmap[WORDS], page;
	long found = get_dirty(vm, 2, bitmap);

	for (page = 0; page < PAGES; page++) {
		if (has(bitmap, page))
			memcpy(copy + page * 4096, mem + page * 4096, 4096);
	}
	return found;
}

FIXTURE(snapshot) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	u8 *mem, *copy;
};

FIXTURE_SETUP(snapshot)
{
	close(vt_open_or_skip());
	vt_catch(SIGALRM);
	/* so that large pages fit */
	self->mem = mmap(NULL, BYTES + (2 << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->mem);
	self->mem = (u8 *)(((u64)self->mem + (2 << 20) - 1) & -(2UL << 20));
	self->copy = malloc(BYTES);
	ASSERT_NE(NULL, self->copy);
}

FIXTURE_TEARDOWN(snapshot)
{
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
	free(self->copy);
}

/* The guest goes through these pages once; the list is announced, as the launcher writes it. */
static long go_announced(struct vt_vm *vm, struct vt_vcpu *cpu, const u64 *pages, unsigned int n)
{
	return announce(vm->fd, VT_DATA, (n + 1) * 8) ? -EIO : go_through(vm, cpu, pages, n);
}

TEST_F(snapshot, refused)
{
	static const u64 none[] = { 0 };
	int vm, i, id;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	EXPECT_EQ(-ENOENT, back(vm, 0));
	EXPECT_EQ(-ENOENT, drop(vm, 0));
	EXPECT_EQ(-EINVAL, call(vm, VIREO_SNAPSHOT, 0, 2));
	EXPECT_EQ(0, announce(vm, GPA, 1));
	id = take(vm, 0);
	ASSERT_GT(id, 0);
	EXPECT_EQ(-EINVAL, call(vm, VIREO_ROLLBACK, id, 1));
	EXPECT_EQ(-EINVAL, call(vm, VIREO_DROP_SNAPSHOT, id, 1));
	EXPECT_EQ(-ENOENT, back(vm, id + 1));
	EXPECT_EQ(-ENOENT, drop(vm, id + 1));
	last.pad = 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm, VIREO_SNAPSHOT, &last));
	EXPECT_EQ(-EFAULT, announce(vm, GPA + BYTES - 1, 2));
	EXPECT_EQ(-EBUSY, vt_region(vm, SLOT, GPA, BYTES / 2, self->mem, 0));
	EXPECT_EQ(-EBUSY, vt_region(vm, 2, GPA + BYTES, 4096, self->mem, 0));
	EXPECT_EQ(-EBUSY, vt_region_delete(vm, SLOT));
	EXPECT_EQ(-EBUSY, vt_vcpu_fd(vm, 1));
	EXPECT_EQ(0, go_announced(&self->vm, &self->cpu, none, 0));
	for (i = 1; i < VIREO_MAX_SNAPSHOTS; i++)
		ASSERT_GT(take(vm, 0), id);
	EXPECT_EQ(-ENOSPC, take(vm, 0));
	EXPECT_EQ(0, back(vm, id));
	for (i = 1; i < VIREO_MAX_SNAPSHOTS; i++)
		ASSERT_GT(take(vm, 0), id);
	for (i = 0; i < VIREO_MAX_SNAPSHOTS; i++)
		EXPECT_EQ(0, drop(vm, 0));
	EXPECT_EQ(-ENOENT, drop(vm, 0));
	EXPECT_EQ(0, vt_region_delete(vm, SLOT));
}

/* What the guest waits for belongs to the launcher until it is answered. */
TEST_F(snapshot, half_an_instruction)
{
	int id;

	vt_guest64(&self->vm, &self->cpu, input, 0, 0);
	ASSERT_EQ(0, vt_run_exit(&self->cpu));
	ASSERT_EQ(VIREO_EXIT_IO, self->cpu.run->exit_reason);
	EXPECT_EQ(-EAGAIN, take(self->vm.fd, 0));
	self->cpu.run->io.data[0] = 0x77;
	self->cpu.run->immediate_exit = 1;
	EXPECT_EQ(-EINTR, vt_run(&self->cpu));
	self->cpu.run->immediate_exit = 0;
	id = take(self->vm.fd, VIREO_SNAPSHOT_VERIFY);
	ASSERT_GT(id, 0);
	EXPECT_EQ(0x77, vt_run_to_out(&self->cpu, 0x10) & 0xff);
	EXPECT_EQ(0, back(self->vm.fd, id));
	EXPECT_EQ(0x77, vt_run_to_out(&self->cpu, 0x10) & 0xff);
}

TEST_F(snapshot, memory)
{
	static const u64 before[] = { 0, 1, 2, 100, 511, 512, PAGES - 1 };
	static const u64 after[] = { 1, 2, 3, 63, 64, 65, 511, 513, PAGES - 1 };
	struct vireo_regs regs[2];
	int vm, id, round;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, before, ARRAY_SIZE(before)));
	memcpy(self->copy, self->mem, BYTES);
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &regs[0], sizeof(regs[0])));
	id = take(vm, VIREO_SNAPSHOT_VERIFY);
	ASSERT_GT(id, 0);
	ASSERT_EQ(0, back(vm, id));
	EXPECT_EQ(0, last.pages);
	for (round = 0; round < 5; round++) {
		ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, after, ARRAY_SIZE(after)));
		EXPECT_NE(0, memcmp(self->copy, self->mem, BYTES));
		ASSERT_EQ(0, back(vm, round & 1 ? id : 0));
		/* and the list, and the guest's tables where the processor's walks count as writes */
		EXPECT_GE(last.pages, ARRAY_SIZE(after) + 1);
		EXPECT_LE(last.pages, ARRAY_SIZE(after) + 1 + TABLES);
		EXPECT_EQ(0, memcmp(self->copy, self->mem, BYTES));
		ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &regs[1], sizeof(regs[1])));
		EXPECT_EQ(0, memcmp(&regs[0], &regs[1], sizeof(regs[0])));
	}
	/* others than before, and none */
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, before, ARRAY_SIZE(before)));
	ASSERT_EQ(0, back(vm, id));
	EXPECT_EQ(0, memcmp(self->copy, self->mem, BYTES));
	ASSERT_EQ(0, back(vm, id));
	EXPECT_EQ(0, last.pages);
	ASSERT_EQ(0, drop(vm, id));
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, before, ARRAY_SIZE(before)));
	/* nothing was written behind the guest's back */
	EXPECT_EQ(2, *(u64 *)self->mem);
}

/* Everything that can be set is set to something else meanwhile. */
TEST_F(snapshot, state)
{
	static const u64 none[] = { 0 };
	/* STAR, CSTAR, SFMASK, KERNEL_GS_BASE, SYSENTER_CS, _ESP, _EIP */
	static const u32 others[] = { 0xc0000081, 0xc0000083, 0xc0000084, 0xc0000102, 0x174, 0x175, 0x176 };
	struct vireo_regs regs[2];
	struct vireo_sregs sregs[2];
	struct vireo_debugregs dr[2];
	struct vireo_events events[2];
	struct vireo_lapic lapic[2];
	struct vireo_clock clock[2];
	struct vireo_tsc tsc[2];
	u8 xsave[2][576];
	u64 msr[2];
	int vm, id, fd, round, i;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	fd = self->cpu.fd;
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, none, 0));
	ASSERT_EQ(0, vt_set_msr(fd, 0xc0000082, 0x1234));
	ASSERT_EQ(0, vt_set_msr(fd, 0x277, 0x0007040600070406UL));
	for (i = 0; i < (int)(sizeof(others) / sizeof(others[0])); i++)
		ASSERT_EQ(0, vt_set_msr(fd, others[i], 0x100 + i));
#define GET(i)									\
do {										\
	ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_REGS, &regs[i], sizeof(regs[i])));	\
	ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_SREGS, &sregs[i], sizeof(sregs[i])));	\
	ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_DEBUGREGS, &dr[i], sizeof(dr[i])));	\
	ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_EVENTS, &events[i], sizeof(events[i])));	\
	ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_LAPIC, &lapic[i], sizeof(lapic[i])));	\
} while (0)
	GET(0);
	ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_TSC, &tsc[0], sizeof(tsc[0])));
	ASSERT_EQ(0, vt_get(vm, VIREO_BLOCK_CLOCK, &clock[0], sizeof(clock[0])));
	id = take(vm, VIREO_SNAPSHOT_VERIFY);
	ASSERT_GT(id, 0);
	for (round = 0; round < 3; round++) {
		GET(1);
		memset(regs[1].gpr, 0x5a, sizeof(regs[1].gpr));
		regs[1].rip = 0x9999;
		sregs[1].cr2 = 0x4321;
		sregs[1].cr0 |= 8;		/* TS */
		sregs[1].cr3 ^= 0x1000;
		sregs[1].cr4 |= 4;		/* TSD */
		sregs[1].cr8 = 5;
		sregs[1].seg[VIREO_SEG_SS].attr ^= 3 << 5;	/* DPL, and so CPL */
		sregs[1].seg[VIREO_SEG_LDTR].selector = 0x48;
		sregs[1].seg[VIREO_SEG_TR].limit = 0x77;
		sregs[1].idt.base = 0x5000;
		sregs[1].seg[VIREO_SEG_FS].base = 0x777;
		sregs[1].gdt.limit = 7;
		dr[1].db[2] = 0x1000;
		dr[1].dr7 = 0x400;
		events[1].nmi_pending = 1;
		events[1].mp_state = VIREO_MP_HALTED;
		lapic[1].regs[0xf] = 0x1ff;	/* SVR: on */
		lapic[1].regs[0x20 + 2] = 2;	/* IRR */
		ASSERT_EQ(0, vt_set(fd, VIREO_BLOCK_REGS, &regs[1], sizeof(regs[1])));
		ASSERT_EQ(0, vt_set(fd, VIREO_BLOCK_SREGS, &sregs[1], sizeof(sregs[1])));
		ASSERT_EQ(0, vt_set(fd, VIREO_BLOCK_DEBUGREGS, &dr[1], sizeof(dr[1])));
		ASSERT_EQ(0, vt_set(fd, VIREO_BLOCK_LAPIC, &lapic[1], sizeof(lapic[1])));
		ASSERT_EQ(0, vt_set(fd, VIREO_BLOCK_EVENTS, &events[1], sizeof(events[1])));
		ASSERT_EQ(0, vt_set_msr(fd, 0xc0000082, 0x99999));
		ASSERT_EQ(0, vt_set_msr(fd, 0x277, 0x0606060606060606UL));
		ASSERT_EQ(0, vt_set_msr(fd, 0x250, 0x0606060606060606UL));
		for (i = 0; i < (int)(sizeof(others) / sizeof(others[0])); i++)
			ASSERT_EQ(0, vt_set_msr(fd, others[i], 0x200 + i));
		tsc[1] = tsc[0];
		tsc[1].value += 1UL << 50;
		ASSERT_EQ(0, vt_set(fd, VIREO_BLOCK_TSC, &tsc[1], sizeof(tsc[1])));
		clock[1].ns = clock[0].ns + (1UL << 50);
		ASSERT_EQ(0, vt_set(vm, VIREO_BLOCK_CLOCK, &clock[1], sizeof(clock[1])));

		ASSERT_EQ(0, back(vm, id)) TH_LOG("block %u gpa %llx", last.block, last.gpa);
		GET(1);
		EXPECT_EQ(0, memcmp(&regs[0], &regs[1], sizeof(regs[0])));
		EXPECT_EQ(0, memcmp(&sregs[0], &sregs[1], sizeof(sregs[0])));
		EXPECT_EQ(0, memcmp(&dr[0], &dr[1], sizeof(dr[0])));
		EXPECT_EQ(0, memcmp(&events[0], &events[1], sizeof(events[0])));
		EXPECT_EQ(0, memcmp(&lapic[0], &lapic[1], sizeof(lapic[0])));
		ASSERT_EQ(0, vt_get_msr(fd, 0xc0000082, &msr[0]));
		ASSERT_EQ(0, vt_get_msr(fd, 0x277, &msr[1]));
		EXPECT_EQ(0x1234, msr[0]);
		EXPECT_EQ(0x0007040600070406UL, msr[1]);
		ASSERT_EQ(0, vt_get_msr(fd, 0x250, &msr[0]));
		EXPECT_EQ(0, msr[0]);
		for (i = 0; i < (int)(sizeof(others) / sizeof(others[0])); i++) {
			ASSERT_EQ(0, vt_get_msr(fd, others[i], &msr[0]));
			EXPECT_EQ(0x100 + i, msr[0]);
		}
		ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_TSC, &tsc[1], sizeof(tsc[1])));
		EXPECT_GE(tsc[1].value, tsc[0].value);
		EXPECT_LT(tsc[1].value, tsc[0].value + (1UL << 40));
		ASSERT_EQ(0, vt_get(vm, VIREO_BLOCK_CLOCK, &clock[1], sizeof(clock[1])));
		EXPECT_GE(clock[1].ns, clock[0].ns);
		EXPECT_LT(clock[1].ns, clock[0].ns + (1UL << 40));
	}
	/* the FPU's is as large as the processor makes it; what the guest does not have in use is 0 */
	if (!vt_get(fd, VIREO_BLOCK_XSAVE, xsave[0], sizeof(xsave[0]))) {
		memcpy(xsave[1], xsave[0], sizeof(xsave[0]));
		xsave[1][160] = 0x55;		/* XMM0 */
		xsave[1][512] |= 3;
		ASSERT_EQ(0, vt_set(fd, VIREO_BLOCK_XSAVE, xsave[1], sizeof(xsave[1])));
		ASSERT_EQ(0, back(vm, id));
		ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_XSAVE, xsave[1], sizeof(xsave[1])));
		EXPECT_EQ(0, memcmp(xsave[0], xsave[1], sizeof(xsave[0])));
	}
	/* it runs on */
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, none, 0));
}

/* Interrupts that are served and that wait, also where the processor has them: what came since is gone, and stays so. */
TEST_F(snapshot, vectors)
{
	static const u64 none[] = { 0 };
	struct vireo_lapic then, since, now;
	int fd, id, round;

	setup(touch, VT_DATA, 0);
	fd = self->cpu.fd;
	ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_LAPIC, &then, sizeof(then)));
	then.regs[0xf] = 0x1ff;			/* SVR: on */
	then.regs[0x10 + 3] = 1 << 2;		/* ISR: 0x62 */
	then.regs[0x20 + 2] = 1 << 5;		/* IRR: 0x45 */
	ASSERT_EQ(0, vt_set(fd, VIREO_BLOCK_LAPIC, &then, sizeof(then)));
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, none, 0));
	ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_LAPIC, &then, sizeof(then)));
	EXPECT_EQ(1 << 2, then.regs[0x10 + 3]);
	EXPECT_EQ(1 << 5, then.regs[0x20 + 2]);
	id = take(self->vm.fd, VIREO_SNAPSHOT_VERIFY);
	ASSERT_GT(id, 0);
	for (round = 0; round < 3; round++) {
		since = then;
		since.regs[8] = 0x30;			/* TPR */
		since.regs[0x10 + 3] = 0;
		since.regs[0x10 + 2] = 1;		/* ISR: 0x40 */
		since.regs[0x18 + 4] = 1 << 5;		/* TMR, IRR: 0x85 */
		since.regs[0x20 + 4] = 1 << 5;
		since.regs[0x20 + 2] = 0;
		ASSERT_EQ(0, vt_set(fd, VIREO_BLOCK_LAPIC, &since, sizeof(since)));
		ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, none, 0));
		ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_LAPIC, &now, sizeof(now)));
		EXPECT_EQ(1, now.regs[0x10 + 2]);
		EXPECT_EQ(1 << 5, now.regs[0x20 + 4]);
		EXPECT_EQ(0, now.regs[0x20 + 2]);
		ASSERT_EQ(0, back(self->vm.fd, id)) TH_LOG("block %u gpa %llx", last.block, last.gpa);
		ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_LAPIC, &now, sizeof(now)));
		EXPECT_EQ(0, memcmp(&then, &now, sizeof(now)));
		ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, none, 0));
		ASSERT_EQ(0, vt_get(fd, VIREO_BLOCK_LAPIC, &now, sizeof(now)));
		EXPECT_EQ(0, memcmp(&then, &now, sizeof(now)));
	}
}

/* The launcher's writes, announced or not; the module's. */
TEST_F(snapshot, launcher_and_module)
{
	static const u64 none[] = { 0 };
	u64 on = (GPA + 9 * 4096) | 1;
	int vm, id, round;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	vt_cpuid_all(self->vm.dev, self->cpu.fd);
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, none, 0));
	memset(self->mem + 9 * 4096, 0x11, 4096);
	memcpy(self->copy, self->mem, BYTES);
	id = take(vm, VIREO_SNAPSHOT_VERIFY);
	ASSERT_GT(id, 0);
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, announce(vm, GPA + 5 * 4096 + 4090, 12));
		memset(self->mem + 5 * 4096 + 4090, 0x77, 12);
		/* the paravirtual clock is written at the next entry */
		ASSERT_EQ(0, vt_set_msr(self->cpu.fd, 0x4b564d01, on));
		ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, none, 0));
		EXPECT_NE(0x11, self->mem[9 * 4096]);
		ASSERT_EQ(0, back(vm, id)) TH_LOG("block %u gpa %llx", last.block, last.gpa);
		EXPECT_GE(last.pages, 4);
		EXPECT_LE(last.pages, 4 + TABLES);
		EXPECT_EQ(0, memcmp(self->copy, self->mem, BYTES));
	}
	/* behind the module's back: noticed, and where */
	self->mem[77 * 4096 + 5] ^= 1;
	EXPECT_EQ(-EIO, back(vm, id));
	EXPECT_EQ(0, last.block);
	EXPECT_EQ(GPA + 77 * 4096 + 5, last.gpa);
	self->mem[77 * 4096 + 5] ^= 1;
	EXPECT_EQ(0, back(vm, id));
}

/* A page that cannot be written is rolled back when it can. */
TEST_F(snapshot, not_writable)
{
	static const u64 some[] = { 3, 70, 200, 900 };
	int vm, id;

	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	memset(self->mem, 1, BYTES);
	memcpy(self->copy, self->mem, BYTES);
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, some, 0));
	id = take(vm, VIREO_SNAPSHOT_VERIFY);
	ASSERT_GT(id, 0);
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, some, ARRAY_SIZE(some)));
	ASSERT_EQ(0, mprotect(self->mem + 200 * 4096, 4096, PROT_READ));
	EXPECT_EQ(-EFAULT, back(vm, id));
	EXPECT_NE(0, memcmp(self->copy, self->mem, BYTES));
	ASSERT_EQ(0, mprotect(self->mem + 200 * 4096, 4096, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, back(vm, id));
	EXPECT_EQ(2, last.pages);
	EXPECT_EQ(0, memcmp(self->copy, self->mem, BYTES));
}

/* Snapshots as they come and go, against copies of all memory; a consumer follows what happens. */
#define DEPTH 5

TEST_F_TIMEOUT(snapshot, nested, 600)
{
	struct { int id; u8 *mem; u64 rcx; } stack[DEPTH];
	u64 pages[16], seed = 88172645463325252UL;
	int vm, step, n = 0, i, k, backs = 0;
	struct vireo_regs regs;
	u8 *follow = malloc(BYTES);

	for (i = 0; i < DEPTH; i++)
		stack[i].mem = malloc(BYTES);
	setup(touch, VT_DATA, 0);
	vm = self->vm.fd;
	madvise(self->mem, BYTES / 2, MADV_HUGEPAGE);
	memset(self->mem, 1, BYTES);
	ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, pages, 0));
	for (step = 0; step < vt_times(120); step++) {
#define RANDOM(bound) (seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17, (seed >> 20) % (bound))
		switch (RANDOM(8)) {
		case 0:
		case 1:
			if (n == DEPTH)
				break;
			stack[n].id = take(vm, VIREO_SNAPSHOT_VERIFY);
			ASSERT_GT(stack[n].id, 0);
			memcpy(stack[n].mem, self->mem, BYTES);
			ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &regs, sizeof(regs)));
			stack[n++].rcx = regs.gpr[1];
			break;
		case 2:
			if (!n)
				break;
			k = RANDOM(n);
			ASSERT_EQ(0, drop(vm, stack[k].id));
			{
				u8 *mem = stack[k].mem;

				for (n--, i = k; i < n; i++)
					stack[i] = stack[i + 1];
				stack[n].mem = mem;
			}
			break;
		case 3:
		case 4:
			if (!n)
				break;
			k = RANDOM(2) ? n - 1 : RANDOM(n);
			ASSERT_EQ(0, back(vm, stack[k].id))
				TH_LOG("step %d: block %u, gpa %llx", step, last.block, last.gpa);
			ASSERT_EQ(0, memcmp(stack[k].mem, self->mem, BYTES));
			ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_REGS, &regs, sizeof(regs)));
			ASSERT_EQ(stack[k].rcx, regs.gpr[1]);
			n = k + 1;
			backs++;
			break;
		default:
			k = 1 + RANDOM(ARRAY_SIZE(pages));
			for (i = 0; i < k; i++)
				pages[i] = RANDOM(2) ? RANDOM(PAGES) : RANDOM(64);
			ASSERT_EQ(0, go_announced(&self->vm, &self->cpu, pages, k));
		}
		/* it comes and goes, too */
		if (step % 100 == 10) {
			ASSERT_EQ(0, track(vm, SLOT, 2, 1));
			memcpy(follow, self->mem, BYTES);
		} else if (step % 100 > 10) {
			ASSERT_GE(update(vm, self->mem, follow), 0);
			ASSERT_EQ(0, memcmp(follow, self->mem, BYTES));
			if (step % 100 == 80)
				ASSERT_EQ(0, track(vm, SLOT, 2, 0));
			if (step % 100 >= 80)
				step += 19;
		}
	}
	TH_LOG("%d times back", backs);
	EXPECT_GT(backs, vt_times(10));
	for (i = 0; i < DEPTH; i++)
		free(stack[i].mem);
	free(follow);
}

/* --- several vCPUs, and a host that moves the memory ------------------------------- */
TEST_F_TIMEOUT(snapshot, under_way, 600)
{
	pthread_t t[2], m;
	struct vt_vcpu ap;
	u64 pages = 0;
	int vm, id, i, round;
	u8 *follow = malloc(BYTES);
	void *r;

	setup(storm, GPA, PAGES / 2 - 1);
	vm = self->vm.fd;
	memset(self->mem, 1, BYTES);
	vt_vcpu_create(&self->vm, &ap, 1);
	vt_long_mode(&self->vm, &ap, VT_CODE, GPA + BYTES / 4, PAGES / 2 - 1);

	ASSERT_EQ(0, track(vm, SLOT, 2, 1));
	memcpy(follow, self->mem, BYTES);
	id = take(vm, VIREO_SNAPSHOT_VERIFY);
	ASSERT_GT(id, 0);
	memcpy(self->copy, self->mem, BYTES);
	moving = true;
	ASSERT_EQ(0, pthread_create(&m, NULL, mover, self->mem));
	for (round = 0; round < vt_times(7); round++) {
		stop = false;
		ASSERT_EQ(0, pthread_create(&t[0], NULL, vcpu_runner, &self->cpu));
		ASSERT_EQ(0, pthread_create(&t[1], NULL, vcpu_runner, &ap));
		usleep(10000);
		/* not while they run, as they do once each has written where the other does not */
		while (round == 2 && (!memcmp(self->copy, self->mem, BYTES / 4) ||
				      !memcmp(self->copy + BYTES / 2, self->mem + BYTES / 2, BYTES / 4)))
			usleep(1000);
		/* A thread that has been off its processor comes out of its vCPU for a moment, and so may both. */
		rolling = round == 2;
		for (i = 0; round == 2 && !i;) {
			i = back(vm, id);
			EXPECT_TRUE(!i || i == -EBUSY) TH_LOG("%d", i);
		}
		if (round % 3 == 1)
			EXPECT_GE(update(vm, self->mem, follow), 0);
		stop = true;
		vt_kick(&self->cpu);
		vt_kick(&ap);
		for (i = 0; i < 2; i++) {
			pthread_join(t[i], &r);
			EXPECT_EQ(NULL, r);
		}
		/* a newer one halfway */
		if (round == 5)
			ASSERT_GT(take(vm, 0), id);
		if (round == 5)
			continue;
		ASSERT_EQ(0, back(vm, id)) TH_LOG("block %u gpa %llx", last.block, last.gpa);
		pages += last.pages;
		EXPECT_EQ(0, memcmp(self->copy, self->mem, BYTES));
		if (round % 3 == 2) {
			EXPECT_GE(update(vm, self->mem, follow), 0);
			EXPECT_EQ(0, memcmp(follow, self->mem, BYTES));
		}
	}
	moving = false;
	pthread_join(m, NULL);
	TH_LOG("%lu pages were copied back", pages);
	EXPECT_GT(pages, 0);
	free(follow);
	vt_vcpu_close(&ap);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first thing to run on a new build of the module: one real-mode and one
 * long-mode guest, one step at a time, each step said before it is made, so that
 * the last line of a console that stopped names the step that stopped it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lib.h"

static unsigned int tests, failures;

static void check(bool ok, const char *what)
{
	printf("%sok %u - %s\n", ok ? "" : "not ", ++tests, what);
	fflush(stdout);
	failures += !ok;
}

#define step(...) do { printf("# " __VA_ARGS__); printf("\n"); fflush(stdout); } while (0)

GUEST(real_code, 16,
	"mov $0x56, %al\n"
	"out %al, $0x10\n"
	"mov $0x1234, %ax\n"
	"mov $0x3f8, %dx\n"
	"out %ax, %dx\n"
	"in $0x11, %al\n"
	"add $1, %al\n"
	"out %al, $0x12\n"
	"mov %cs, %ax\n"
	"mov %ax, %ds\n"
	"movw $0xbeef, (0x800)\n"
	"cli\n"
	"hlt\n");

GUEST(long_code, 64,
	"mov $0x51, %eax\n"
	"out %eax, $0x10\n"
	"xor %eax, %eax\n"
	"cpuid\n"
	"mov %ebx, %eax\n"
	"out %eax, $0x11\n"
	"mov $0x1b, %ecx\n"		/* IA32_APIC_BASE */
	"rdmsr\n"
	"out %eax, $0x12\n"
	"mov $0xd0000000, %ebx\n"	/* no region there */
	"movl $0x12345678, (%rbx)\n"
	"mov 4(%rbx), %eax\n"
	"out %eax, $0x13\n"
	"mov $0xfee00030, %ebx\n"	/* the local APIC's version */
	"mov (%rbx), %eax\n"
	"out %eax, $0x14\n"
	"push $7\n"
	"pop %rax\n"
	"mov %rax, (%rdi)\n"
	"mov (%rdi), %eax\n"
	"out %eax, $0x15\n"
	"cli\n"
	"hlt\n");

static int run(struct vt_vcpu *cpu)
{
	int r;

	step("VIREO_RUN");
	r = vt_run(cpu);
	step("  -> %d%s%s, exit %u (%s), rip %#llx", r, r < 0 ? " " : "", r < 0 ? strerror(-r) : "",
	     cpu->run->exit_reason, vt_reason(cpu->run->exit_reason),
	     (unsigned long long)cpu->run->rip);
	return r;
}

/* An interrupted run is no answer: the kernel had work that only the way to user space does. */
static int run_on(struct vt_vcpu *cpu)
{
	int r, tries = 100;

	do {
		r = run(cpu);
	} while (r == -EINTR && --tries);
	return r;
}

static bool expect_out(struct vt_vcpu *cpu, u16 port, u8 unit, u64 *value)
{
	struct vireo_run *p = cpu->run;

	if (run_on(cpu) || p->exit_reason != VIREO_EXIT_IO || !p->io.write || p->io.port != port ||
	    p->io.unit != unit || p->io.count != 1) {
		vt_dump(cpu);
		return false;
	}
	*value = vt_out_value(p);
	return true;
}

/* A halted vCPU sleeps in the kernel: only a signal brings it back. */
static bool expect_halt(struct vt_vcpu *cpu)
{
	struct vireo_events e = {};
	int r;

	step("VIREO_RUN for 300 ms");
	r = vt_run_for(cpu, 300);
	step("  -> %d, exit %u (%s), rip %#llx", r, cpu->run->exit_reason,
	     vt_reason(cpu->run->exit_reason), (unsigned long long)cpu->run->rip);
	if (!r && cpu->run->exit_reason == VIREO_EXIT_HLT)
		return true;
	if (r != -EINTR || cpu->run->exit_reason != VIREO_EXIT_SIGNAL) {
		vt_dump(cpu);
		return false;
	}
	r = vt_get(cpu->fd, VIREO_BLOCK_EVENTS, &e, sizeof(e));
	step("  mp_state %u (get: %d)", e.mp_state, r);
	return !r && e.mp_state == VIREO_MP_HALTED;
}

static void real_mode(void)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;
	u64 v = 0;

	step("real mode: VM and 4 MiB region");
	vt_vm_create(&vm, VT_MEMORY);
	step("vCPU 0, its page, CPUID");
	vt_vcpu_create(&vm, &cpu, 0);
	vt_load(&vm, VT_CODE, real_code, real_code_end);
	step("registers");
	vt_real_mode(&cpu, VT_CODE);

	check(expect_out(&cpu, 0x10, 1, &v) && v == 0x56, "real mode: OUT imm8, AL");
	check(expect_out(&cpu, 0x3f8, 2, &v) && v == 0x1234, "real mode: OUT DX, AX");
	check(!run_on(&cpu) && cpu.run->exit_reason == VIREO_EXIT_IO && !cpu.run->io.write &&
	      cpu.run->io.port == 0x11, "real mode: IN AL, imm8 exits");
	cpu.run->io.data[0] = 0x41;
	check(expect_out(&cpu, 0x12, 1, &v) && v == 0x42, "real mode: IN's answer arrives in AL");
	check(expect_halt(&cpu), "real mode: HLT");
	check(vm.mem[VT_CODE + 0x800] == 0xef && vm.mem[VT_CODE + 0x801] == 0xbe,
	      "real mode: a store to memory arrived");
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

static void long_mode(void)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;
	u64 v = 0;

	step("long mode: VM, vCPU, tables, registers");
	vt_guest64(&vm, &cpu, long_code, VT_DATA, 0);

	check(expect_out(&cpu, 0x10, 4, &v) && v == 0x51, "long mode: OUT");
	check(expect_out(&cpu, 0x11, 4, &v) && v, "long mode: CPUID is answered in the kernel");
	check(expect_out(&cpu, 0x12, 4, &v) && (v & 0xfffff900) == 0xfee00900,
	      "long mode: RDMSR of IA32_APIC_BASE");
	check(!run_on(&cpu) && cpu.run->exit_reason == VIREO_EXIT_MMIO && cpu.run->mmio.write &&
	      cpu.run->mmio.gpa == 0xd0000000 && cpu.run->mmio.len == 4 &&
	      !memcmp(cpu.run->mmio.data, "\x78\x56\x34\x12", 4), "long mode: MMIO write exits");
	check(!run_on(&cpu) && cpu.run->exit_reason == VIREO_EXIT_MMIO && !cpu.run->mmio.write &&
	      cpu.run->mmio.gpa == 0xd0000004 && cpu.run->mmio.len == 4, "long mode: MMIO read exits");
	memcpy(cpu.run->mmio.data, "\x01\x02\x03\x04", 4);
	check(expect_out(&cpu, 0x13, 4, &v) && v == 0x04030201, "long mode: MMIO read's answer arrives");
	check(expect_out(&cpu, 0x14, 4, &v) && (v & 0xf0) == 0x10, "long mode: local APIC version register");
	check(expect_out(&cpu, 0x15, 4, &v) && v == 7, "long mode: stack and memory");
	check(expect_halt(&cpu), "long mode: HLT");
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

int main(void)
{
	struct vireo_info info = { .size = sizeof(info) };
	int dev, r;

	printf("TAP version 13\n");
	step("open /dev/vireo");
	dev = vt_open_or_skip();
	step("VIREO_GET_INFO");
	r = vt_ioctl(dev, VIREO_GET_INFO, &info);
	check(!r && info.abi == VIREO_ABI_VERSION, "VIREO_GET_INFO");
	step("version %.32s, vendor %u, %u physical bits, features %#llx, missing %#llx, mitigations %#llx",
	     info.version, info.vendor, info.phys_bits, (unsigned long long)info.features,
	     (unsigned long long)info.missing, (unsigned long long)info.mitigations);
	close(dev);
	real_mode();
	long_mode();
	printf("1..%u\n", tests);
	return failures != 0;
}

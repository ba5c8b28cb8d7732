// SPDX-License-Identifier: GPL-2.0-only
/* What people need to see when a guest cannot go on. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "machine.h"

#define CODE_BYTES 16

static const char *const gpr_names[16] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
};

static const char *const seg_names[VIREO_SEG_NR] = {
	"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr",
};

static const char *const mp_names[VIREO_MP_NR] = {
	"running", "halted", "waiting for SIPI", "shut down",
};

static void dump_code(const struct cpu *cpu, uint64_t rip)
{
	struct vireo_translation where;
	uint8_t byte;
	unsigned int i;

	fprintf(stderr, "  code at rip:");
	for (i = 0; i < CODE_BYTES; i++) {
		if (vireo_vcpu_translate(cpu->vcpu, rip + i, &where) || !where.valid ||
		    memory_read(&cpu->machine->memory, where.gpa, &byte, 1)) {
			fprintf(stderr, i ? " ??" : " not mapped");
			break;
		}
		fprintf(stderr, " %02x", byte);
	}
	fprintf(stderr, "\n");
}

/**
 * dump_cpu() - print a vCPU's registers
 * @cpu: the vCPU; its thread is parked
 */
void dump_cpu(const struct cpu *cpu)
{
	struct vireo_sregs s;
	struct vireo_regs r;
	struct vireo_events e;
	unsigned int i;
	int error;

	error = vireo_vcpu_get_regs(cpu->vcpu, &r);
	if (!error)
		error = vireo_vcpu_get_sregs(cpu->vcpu, &s);
	if (!error)
		error = vireo_vcpu_get_events(cpu->vcpu, &e);
	if (error) {
		fprintf(stderr, "vCPU %u: its registers cannot be read: %s\n",
			vireo_vcpu_id(cpu->vcpu), strerror(-error));
		return;
	}
	fprintf(stderr, "vCPU %u (%s):\n", vireo_vcpu_id(cpu->vcpu),
		e.mp_state < VIREO_MP_NR ? mp_names[e.mp_state] : "?");
	for (i = 0; i < 16; i++)
		fprintf(stderr, "%s%-4s%016" PRIx64 "%s", i % 4 ? " " : "  ", gpr_names[i],
			(uint64_t)r.gpr[i], i % 4 == 3 ? "\n" : "");
	fprintf(stderr, "  rip %016" PRIx64 " rflags %08" PRIx64 "\n", (uint64_t)r.rip,
		(uint64_t)r.rflags);
	fprintf(stderr, "  cr0 %08" PRIx64 " cr2 %016" PRIx64 " cr3 %016" PRIx64
		" cr4 %08" PRIx64 " cr8 %" PRIx64 "\n", (uint64_t)s.cr0, (uint64_t)s.cr2,
		(uint64_t)s.cr3, (uint64_t)s.cr4, (uint64_t)s.cr8);
	fprintf(stderr, "  efer %" PRIx64 " xcr0 %" PRIx64 " apic_base %" PRIx64 "\n",
		(uint64_t)s.efer, (uint64_t)s.xcr0, (uint64_t)s.apic_base);
	for (i = 0; i < VIREO_SEG_NR; i++)
		fprintf(stderr, "  %-4s %04x base %016" PRIx64 " limit %08x attr %05x\n",
			seg_names[i], s.seg[i].selector, (uint64_t)s.seg[i].base,
			s.seg[i].limit, s.seg[i].attr);
	fprintf(stderr, "  gdt  base %016" PRIx64 " limit %04x, idt base %016" PRIx64
		" limit %04x\n", (uint64_t)s.gdt.base, s.gdt.limit, (uint64_t)s.idt.base,
		s.idt.limit);
	if (e.event.valid)
		fprintf(stderr, "  in delivery: type %u vector %u error %x\n", e.event.type,
			e.event.vector, e.event.error);
	dump_code(cpu, s.seg[VIREO_SEG_CS].base + r.rip);
}

static void print_insn(const struct vireo_run *run)
{
	unsigned int i, n = run->insn_len;

	if (!n || n > sizeof(run->insn))
		n = sizeof(run->insn);
	fprintf(stderr, "instruction:");
	for (i = 0; i < n; i++)
		fprintf(stderr, " %02x", run->insn[i]);
	fprintf(stderr, "\n");
}

/**
 * dump_fault() - say why a vCPU cannot go on, and show it
 * @machine: the machine; all vCPUs are parked
 * @cpu: the vCPU
 */
void dump_fault(struct machine *machine, const struct cpu *cpu)
{
	const struct vireo_run *run = cpu->run;
	unsigned int id = vireo_vcpu_id(cpu->vcpu), i;
	char why[sizeof(run->error)];

	memcpy(why, run->error, sizeof(why));
	why[sizeof(why) - 1] = '\0';

	if (cpu->error) {
		report_error("vCPU %u cannot be run: %s%s", id, strerror(-cpu->error),
			     cpu->error == -EIO ? " (the module has given the VM up; see the kernel's log)" : "");
	} else {
		switch (run->exit_reason) {
		case VIREO_EXIT_SHUTDOWN:
			report_error("vCPU %u: the guest has made a triple fault: an exception, and no handler for it or for what followed",
				     id);
			break;
		case VIREO_EXIT_EMULATION:
			report_error("vCPU %u: the guest has executed an instruction that the interpreter does not know (%s)",
				     id, why[0] ? why : "no details");
			print_insn(run);
			break;
		case VIREO_EXIT_INTERNAL_ERROR:
			report_error("vCPU %u: internal error of the hypervisor: %s (code %#llx, see the kernel's log)",
				     id, why[0] ? why : "no details",
				     (unsigned long long)run->unknown.code);
			break;
		case VIREO_EXIT_INVALID_STATE:
			report_error("vCPU %u: the processor refuses the guest's state (code %#llx, %#llx)",
				     id, (unsigned long long)run->unknown.code,
				     (unsigned long long)run->unknown.info[0]);
			break;
		case VIREO_EXIT_UNKNOWN:
			report_error("vCPU %u: an exit that the module does not know (code %#llx, %#llx, %#llx)",
				     id, (unsigned long long)run->unknown.code,
				     (unsigned long long)run->unknown.info[0],
				     (unsigned long long)run->unknown.info[1]);
			break;
		default:
			report_error("vCPU %u: an exit that the launcher cannot handle: %s (%u)",
				     id, vireo_exit_name(run->exit_reason), run->exit_reason);
		}
	}
	dump_cpu(cpu);
	for (i = 0; i < machine->nr_cpus; i++)
		if (&machine->cpu[i] != cpu)
			dump_cpu(&machine->cpu[i]);
}

/**
 * dump_stats() - print the counters of all vCPUs
 * @machine: the machine; all vCPUs are parked or ended
 */
void dump_stats(const struct machine *machine)
{
	unsigned int i, reason;

	for (i = 0; i < machine->nr_cpus; i++) {
		struct vireo_stats s;

		if (vireo_vcpu_get_stats(machine->cpu[i].vcpu, &s))
			continue;
		fprintf(stderr, "vCPU %u: %llu entries, %llu returns to user space, %llu events injected, %llu pages mapped, %llu TLB flushes, %llu instructions interpreted\n",
			i, (unsigned long long)s.entries, (unsigned long long)s.user_exits,
			(unsigned long long)s.injected, (unsigned long long)s.faults,
			(unsigned long long)s.flushes, (unsigned long long)s.interpreted);
		fprintf(stderr, "  %llu waits in HLT, %llu looked before they slept and %llu had not to; %llu times the CPU given to another vCPU\n",
			(unsigned long long)s.halts, (unsigned long long)s.halt_polls,
			(unsigned long long)s.halt_hits, (unsigned long long)s.yields);
		for (reason = 0; reason < VIREO_EXIT_REASON_NR; reason++)
			if (s.exits[reason])
				fprintf(stderr, "  %-24s %12llu\n", vireo_exit_name(reason),
					(unsigned long long)s.exits[reason]);
	}
}

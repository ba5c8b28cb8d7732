// SPDX-License-Identifier: GPL-2.0-only
/*
 * The processors of a machine: what they can do, and that they are there.
 *
 * The profiles that it is given and the host's own are one profile from the start, machine->profile. A machine without any has the
 * host's. Everything else follows from that: the CPUID table, address bits, and what a state that is loaded may have.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpuid.h"
#include "machine.h"
#include "machine_state.h"
#include "paravirt.h"

static int other_vendor(struct cpu_profile *profile, struct cpu_profile *other, const char *where, const char *whose)
{
	char ours[CPU_VENDOR_BYTES], theirs[CPU_VENDOR_BYTES];

	cpu_vendor(cpu_profile_table(profile), theirs);
	cpu_vendor(cpu_profile_table(other), ours);
	report_error("%s: the CPU profile is of \"%s\" processors, %s are \"%s\"", where, theirs, whose, ours);
	return EXIT_USAGE;
}

static const char *place(const char *text)
{
	return *text == '{' ? "the machine" : text;
}

/**
 * processors_read_profiles() - read the CPU profiles that a machine is given
 * @machine: the machine, of which nothing is there yet
 *
 * Return: 0, or the exit status, with a message.
 */
int processors_read_profiles(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	struct cpu_profile *next;
	unsigned int i;
	int r = 0;

	if (!config->nr_cpu_profiles)
		return 0;
	if (cpu_profile_read(config->cpu_profile[0], &machine->profile))
		return EXIT_USAGE;
	next = malloc(sizeof(*next));
	if (!next) {
		report_error("no memory for the machine");
		return EXIT_FAULT;
	}
	for (i = 1; i < config->nr_cpu_profiles && !r; i++) {
		if (cpu_profile_read(config->cpu_profile[i], next))
			r = EXIT_USAGE;
		else if (cpu_profile_limit(&machine->profile, next))
			r = other_vendor(next, &machine->profile, place(config->cpu_profile[i]), "those of the first one");
	}
	free(next);
	return r;
}

/**
 * processors_limit() - know what the processors of a machine may be given
 * @machine: the machine, which has a module
 *
 * Return: 0, or the exit status, with a message.
 */
int processors_limit(struct machine *machine)
{
	const struct machine_config *config = machine->config;
	struct cpu_profile *host = malloc(sizeof(*host));
	int r = host ? cpu_profile_of_host(machine->vireo, host) : -ENOMEM;

	if (r) {
		report_error("the module does not tell what it gives a guest: %s", strerror(-r));
		r = EXIT_FAULT;
	} else if (!config->nr_cpu_profiles) {
		machine->profile = *host;
	} else if (cpu_profile_limit(&machine->profile, host)) {
		r = other_vendor(&machine->profile, host, place(config->cpu_profile[0]), "this host's");
	} else {
		if (!machine_same_tsc(machine->profile.tsc_khz, host->tsc_khz))
			report_note("%s: its time-stamp counter has %u kHz, this host's %u: a machine does not move between them",
				    place(config->cpu_profile[0]), machine->profile.tsc_khz, host->tsc_khz);
		machine->profile.tsc_khz = host->tsc_khz;
		cpu_profile_settle(&machine->profile);
	}
	free(host);
	return r;
}

static int create(struct machine *machine, unsigned int id, const struct vireo_cpuid_entry *entries, unsigned int count)
{
	struct cpu *cpu = &machine->cpu[id];
	int r;

	r = vireo_vcpu_create(machine->vm, id, &cpu->vcpu);
	if (r) {
		report_error("vCPU %u cannot be created: %s", id, strerror(-r));
		return EXIT_FAULT;
	}
	cpu->machine = machine;
	cpu->run = vireo_vcpu_page(cpu->vcpu);
	machine->nr_cpus++;
	r = vireo_vcpu_set_cpuid(cpu->vcpu, entries, count);
	if (r) {
		report_error("the module refuses the CPUID table of vCPU %u: %s", id, strerror(-r));
		return EXIT_FAULT;
	}
	r = cpu_read_initial(cpu);
	if (r) {
		report_error("the state of vCPU %u cannot be read: %s", id, strerror(-r));
		return EXIT_FAULT;
	}
	return 0;
}

/**
 * processors_create() - make the vCPUs of a machine
 * @machine: the machine, which has a VM
 *
 * Return: 0, or the exit status, with a message.
 */
int processors_create(struct machine *machine)
{
	struct vireo_cpuid_entry entries[VIREO_MAX_CPUID];
	unsigned int count = machine->profile.nr_cpuid, i;
	int r = 0;

	memcpy(entries, machine->profile.cpuid, sizeof(entries));
	cpuid_topology(entries, count, machine->config->cpus);
	paravirt_limit(entries, count, machine->config->paravirt);
	for (i = 0; i < machine->config->cpus && !r; i++)
		r = create(machine, i, entries, count);
	return r;
}

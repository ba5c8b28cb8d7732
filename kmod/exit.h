/* SPDX-License-Identifier: GPL-2.0-only */
/* The dispatcher; for run.c. */
#ifndef VIREO_EXIT_H
#define VIREO_EXIT_H

#include "vireo.h"

enum vireo_action vireo_exit_cpuid(struct vireo_vcpu *vcpu);
enum vireo_action vireo_exit_hlt(struct vireo_vcpu *vcpu);
enum vireo_action vireo_exit_hypercall(struct vireo_vcpu *vcpu);
enum vireo_action vireo_exit_rdmsr(struct vireo_vcpu *vcpu);
enum vireo_action vireo_exit_wrmsr(struct vireo_vcpu *vcpu);
enum vireo_action vireo_exit_io(struct vireo_vcpu *vcpu);
enum vireo_action vireo_exit_memory(struct vireo_vcpu *vcpu);
enum vireo_action vireo_handle_other(struct vireo_vcpu *vcpu);

/**
 * vireo_handle_exit() - answer the exit in vcpu->exit
 * @vcpu: vCPU that exited
 *
 * The frequent ones are called directly: an indirect call costs a retpoline.
 *
 * Return: what to do next; VIREO_SLOW only with interrupts off.
 */
static __always_inline enum vireo_action vireo_handle_exit(struct vireo_vcpu *vcpu)
{
	u32 reason = vcpu->exit.reason;

	if (reason == VIREO_EXIT_CPUID)
		return vireo_exit_cpuid(vcpu);
	/* Compilers make a search tree of comparisons that follow each other. */
	OPTIMIZER_HIDE_VAR(reason);
	if (reason == VIREO_EXIT_WRMSR)
		return vireo_exit_wrmsr(vcpu);
	OPTIMIZER_HIDE_VAR(reason);
	switch (reason) {
	case VIREO_EXIT_RDMSR:
		return vireo_exit_rdmsr(vcpu);
	case VIREO_EXIT_HYPERCALL:
		return vireo_exit_hypercall(vcpu);
	case VIREO_EXIT_IO:
		return vireo_exit_io(vcpu);
	case VIREO_EXIT_MEMORY:
		return vireo_exit_memory(vcpu);
	case VIREO_EXIT_HLT:
		return vireo_exit_hlt(vcpu);
	case VIREO_EXIT_INTR:
		return VIREO_AGAIN;
	}
	return vireo_handle_other(vcpu);
}

#endif /* VIREO_EXIT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interpreter's callbacks: insn.c has those to memory and ports and what comes of an
 * instruction, insn_sys.c those to registers of the system.
 */
#ifndef VIREO_INSN_H
#define VIREO_INSN_H

#include "core.h"

static inline struct vireo_vcpu *vireo_emu_vcpu(struct vireo_emu *e)
{
	return container_of(e, struct vireo_vcpu, emu);
}

/* Not with interrupts off: the instruction goes on when they are on. */
static inline int vireo_emu_stop(struct vireo_emu *e)
{
	vireo_emu_vcpu(e)->insn_retry = true;
	return VIREO_EMU_USER;
}

/* enum vireo_emu_mode that a mode stands for */
u8 vireo_emu_mode(const struct vireo_mode *mode);

/**
 * vireo_emu_result() - what is to be done after the interpreter has worked
 * @vcpu: vCPU
 * @r: enum vireo_emu_result
 *
 * Registers, events and the run page are as the guest, or the launcher, shall see them.
 */
enum vireo_action vireo_emu_result(struct vireo_vcpu *vcpu, int r);

/* Events of an instruction that retired, or of a task switch, but for the interrupt shadow. */
void vireo_emu_take_events(struct vireo_vcpu *vcpu);

/* The exception that the interpreter has recorded is the guest's. */
void vireo_emu_raise(struct vireo_vcpu *vcpu);

/* The guest's debug registers into vcpu->db, dr6, dr7, out of the processor. */
void vireo_take_debugregs(struct vireo_vcpu *vcpu);

u64 vireo_emu_get_cr(struct vireo_emu *e, u32 nr);
int vireo_emu_set_cr(struct vireo_emu *e, u32 nr, u64 value);
int vireo_emu_get_dr(struct vireo_emu *e, u32 nr, u64 *value);
int vireo_emu_set_dr(struct vireo_emu *e, u32 nr, u64 value);
u64 vireo_emu_get_efer(struct vireo_emu *e);
int vireo_emu_get_msr(struct vireo_emu *e, u32 index, u64 *data);
int vireo_emu_set_msr(struct vireo_emu *e, u32 index, u64 data);
u64 vireo_emu_get_xcr0(struct vireo_emu *e);
int vireo_emu_get_vec(struct vireo_emu *e, u32 nr, void *data, u32 len);
int vireo_emu_set_vec(struct vireo_emu *e, u32 nr, const void *data, u32 len, bool zero_upper);
int vireo_emu_sysop(struct vireo_emu *e, u32 op, u64 arg);

/* The launcher's answer to VIREO_EXIT_RDMSR or _WRMSR. */
void vireo_emu_msr_answer(struct vireo_vcpu *vcpu);

#endif /* VIREO_INSN_H */

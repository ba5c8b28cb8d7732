/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the core's own files offer each other.  Vendor code, kmod/mmu and kmod/irq
 * have no business here.
 */
#ifndef VIREO_CORE_H
#define VIREO_CORE_H

#include <linux/nospec.h>
#include <linux/uaccess.h>
#include <uapi/asm/kvm_para.h>
#include "backend.h"

/* main.c */

/**
 * vireo_copy_struct() - copy in a structure that carries its size and grows at its end
 * @dst: kernel structure, its first member is u32 size
 * @ksize: its size
 * @src: user address
 * @min: smallest size ever published
 *
 * Return: 0, -EFAULT, -EINVAL (shorter than @min), -E2BIG (longer, with a tail that is not zero).
 */
int vireo_copy_struct(void *dst, size_t ksize, const void __user *src, size_t min);

/*
 * The size in a call's number is what its structure had when the caller was built; which one
 * it has, the structure says.
 */
#define VIREO_CALL(cmd)	((cmd) & ~IOCSIZE_MASK)

static inline unsigned int vireo_call(unsigned int cmd)
{
	return _IOC_DIR(cmd) == _IOC_NONE ? cmd : VIREO_CALL(cmd);
}

/* Copy a structure back: no more than the user's own size, which it carries. */
int vireo_copy_back(void __user *dst, void *src, size_t ksize, u32 user_size);

/* VIREO_FEATURE_* of VIREO_GET_INFO. */
u64 vireo_features(void);

/* vm.c */
int vireo_vm_create(const struct vireo_vm_config __user *arg);
void vireo_vm_put(struct vireo_vm *vm);
extern struct list_head vireo_vms;
extern struct mutex vireo_vms_lock;

/* vcpu.c */
int vireo_vcpu_setup(void);
void vireo_vcpu_teardown(void);
int vireo_vcpu_create(struct vireo_vm *vm, const struct vireo_vcpu_config __user *arg);
void vireo_vcpu_destroy(struct vireo_vcpu *vcpu);
/* Architectural state after RESET or INIT (SDM vol. 3, table 10-1).  Loaded. */
void vireo_vcpu_reset(struct vireo_vcpu *vcpu, bool init);

/* run.c */
int vireo_vcpu_run(struct vireo_vcpu *vcpu);

/* event.c */

/**
 * vireo_update_events() - choose what to deliver at the next entry, open windows for the rest
 * @vcpu: loaded, interrupts off
 */
void vireo_update_events(struct vireo_vcpu *vcpu);

/* Would something end HLT now?  Own thread. */
bool vireo_has_wakeup(struct vireo_vcpu *vcpu);

/* INIT and SIPI that wait; true if there was one.  Interrupts on, loaded. */
bool vireo_take_init_sipi(struct vireo_vcpu *vcpu);

/* NMIs queued by others become nmi_pending. */
void vireo_collect_nmis(struct vireo_vcpu *vcpu);

/* Would an ExtINT from user space be taken now? */
bool vireo_extint_ready(struct vireo_vcpu *vcpu);

/* insn.c */

/**
 * vireo_interpret() - carry out the instruction at RIP
 * @vcpu: vCPU
 * @gpa: guest-physical address that the exit reported for its memory operand, or VIREO_EMU_NO_GPA
 *
 * Interrupts on or off; see enum vireo_action.
 */
enum vireo_action vireo_interpret(struct vireo_vcpu *vcpu, u64 gpa);

/**
 * vireo_interpret_task_switch() - carry out the task switch that vcpu->exit tells of
 * @vcpu: vCPU, interrupts on
 */
enum vireo_action vireo_interpret_task_switch(struct vireo_vcpu *vcpu);

/* As vireo_insn_length() but also gives the decoded instruction: vcpu->emu.insn. */
int vireo_insn_decode(struct vireo_vcpu *vcpu);

void vireo_insn_setup(struct vireo_vcpu *vcpu);

/* exit.c */

/**
 * vireo_hypercall() - carry a hypercall out
 * @vcpu: vCPU, own thread; interrupts on or off
 * @mode: its mode
 *
 * Return: VIREO_RESUME: RAX has the answer; VIREO_USER: it is in the run page, the answer goes to RAX later;
 * VIREO_SLOW: as of a handler.
 */
enum vireo_action vireo_hypercall(struct vireo_vcpu *vcpu, const struct vireo_mode *mode);

/* What CPUID does to the registers. */
void vireo_cpuid_regs(struct vireo_vcpu *vcpu);

/* interpret.c */

/**
 * vireo_interpret_run() - interpret until the processor can go on
 * @vcpu: loaded, interrupts on
 *
 * For states that the processor cannot enter, and for supervisor code of hybrid VMs.
 *
 * Return: VIREO_RESUME: enter the guest, with vcpu->step for one instruction only; else as a
 * handler, but for VIREO_SLOW.
 */
enum vireo_action vireo_interpret_run(struct vireo_vcpu *vcpu);
void vireo_interpret_free(struct vireo_vcpu *vcpu);

/* Registers were set from outside: it may have to be interpreted now. */
static inline void vireo_state_set(struct vireo_vcpu *vcpu)
{
	if (!(vireo_caps.features & VIREO_FEATURE_UNRESTRICTED) || vireo_hybrid(vcpu->vm))
		vireo_request_set(vcpu, VIREO_REQ_INTERPRET);
}

/**
 * vireo_step() - go past the instruction that exited
 * @vcpu: vCPU; vireo_insn_ready() has succeeded
 */
static inline void vireo_step(struct vireo_vcpu *vcpu)
{
	vireo_backend_skip(vcpu);
}

/**
 * vireo_insn_ready() - make sure that vireo_step() will succeed
 * @vcpu: vCPU
 *
 * Return: 0, -EAGAIN (come back with interrupts on), -EFAULT (an exception was queued instead).
 */
static inline int vireo_insn_ready(struct vireo_vcpu *vcpu)
{
	if (likely(vcpu->exit.insn_len))
		return 0;
	return vireo_insn_length(vcpu);
}

/* cpuid.c */
int vireo_cpuid_setup(void);
void vireo_cpuid_teardown(void);
int vireo_cpuid_get_supported(struct vireo_cpuid __user *arg);
int vireo_cpuid_set(struct vireo_vcpu *vcpu, const struct vireo_cpuid __user *arg);
int vireo_cpuid_get(struct vireo_vcpu *vcpu, struct vireo_cpuid __user *arg);
int vireo_cpuid_default(struct vireo_vcpu *vcpu);
/* Bits that follow the vCPU's state: call after CR4, XCR0 or APIC_BASE changed. */
void vireo_cpuid_update(struct vireo_vcpu *vcpu);

/* First entry of a leaf, or NULL.  Leaves are the guest's choice: not even speculation leaves the table. */
static __always_inline const struct vireo_cpuid_entry *
vireo_cpuid_first(struct vireo_vcpu *vcpu, u32 leaf)
{
	const struct vireo_cpuid_index *index = &vcpu->cpuid_index;
	u32 i = leaf;

	if (i < ARRAY_SIZE(index->basic))
		return index->basic[array_index_nospec(i, ARRAY_SIZE(index->basic))];
	i = leaf - 0x80000000;
	if (i < ARRAY_SIZE(index->extended))
		return index->extended[array_index_nospec(i, ARRAY_SIZE(index->extended))];
	i = leaf - KVM_CPUID_SIGNATURE;
	if (i < ARRAY_SIZE(index->hyper))
		return index->hyper[array_index_nospec(i, ARRAY_SIZE(index->hyper))];
	return NULL;
}

const struct vireo_cpuid_entry *vireo_cpuid_find(struct vireo_vcpu *vcpu, u32 leaf, u32 subleaf);
void vireo_cpuid(struct vireo_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);

/* msr.c */

/**
 * vireo_msr_get() - RDMSR
 * @vcpu: loaded
 * @index: register
 * @data: its value
 * @host: asked by user space: what only the guest is kept from is allowed
 *
 * Return: 0, -EINVAL (#GP), -ENOENT (not known), -EAGAIN (interrupts must be on).
 */
int vireo_msr_get(struct vireo_vcpu *vcpu, u32 index, u64 *data, bool host);
int vireo_msr_set(struct vireo_vcpu *vcpu, u32 index, u64 data, bool host);
void vireo_msr_reset(struct vireo_vcpu *vcpu, bool init);
int vireo_msr_get_list(struct vireo_msr_list __user *arg);
/* The list, for state blocks. */
extern const u32 vireo_msr_list[];
extern const u32 vireo_msr_list_nr;

/* Is a linear address one that 4-level (or, with CR4.LA57, 5-level) paging can translate? */
static inline bool vireo_canonical(u64 cr4, u64 address)
{
	int shift = cr4 & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	return (u64)((s64)(address << shift) >> shift) == address;
}

/* cr.c: 0, or -EINVAL: #GP.  All with the checks of the architecture. */
int vireo_set_cr0(struct vireo_vcpu *vcpu, u64 value);
int vireo_set_cr3(struct vireo_vcpu *vcpu, u64 value);
int vireo_set_cr4(struct vireo_vcpu *vcpu, u64 value);
int vireo_set_cr8(struct vireo_vcpu *vcpu, u64 value);
int vireo_set_efer(struct vireo_vcpu *vcpu, u64 value, bool host);
int vireo_check_sregs(struct vireo_vcpu *vcpu, const struct vireo_sregs *sregs);
void vireo_set_sregs(struct vireo_vcpu *vcpu, const struct vireo_sregs *sregs);
void vireo_get_sregs(struct vireo_vcpu *vcpu, struct vireo_sregs *sregs);
/* As vireo_set_sregs(), to what both were on the same vCPU: what is the same is not written. */
void vireo_back_sregs(struct vireo_vcpu *vcpu, const struct vireo_sregs *sregs, const struct vireo_raw *raw);

/* state.c */
int vireo_vcpu_get_state(struct vireo_vcpu *vcpu, struct vireo_state __user *arg);
int vireo_vcpu_set_state(struct vireo_vcpu *vcpu, const struct vireo_state __user *arg);
int vireo_vm_get_state(struct vireo_vm *vm, struct vireo_state __user *arg);
int vireo_vm_set_state(struct vireo_vm *vm, const struct vireo_state __user *arg);
void vireo_get_regs(struct vireo_vcpu *vcpu, struct vireo_regs *regs);
int vireo_check_regs(const struct vireo_regs *regs);
void vireo_set_regs(struct vireo_vcpu *vcpu, const struct vireo_regs *regs);
/* Loaded; what is set was checked, or read from the same vCPU. */
void vireo_get_debugregs(struct vireo_vcpu *vcpu, struct vireo_debugregs *regs);
void vireo_set_debugregs(struct vireo_vcpu *vcpu, const struct vireo_debugregs *regs);
void vireo_get_events(struct vireo_vcpu *vcpu, struct vireo_events *events);
void vireo_set_events(struct vireo_vcpu *vcpu, const struct vireo_events *events);
int vireo_check_event(const struct vireo_event *event);

/* time */
void vireo_tsc_set_offset(struct vireo_vcpu *vcpu, u64 offset);
void vireo_tsc_write(struct vireo_vcpu *vcpu, u64 value);
u64 vireo_tsc_read(struct vireo_vcpu *vcpu);

/* What RDTSC does to the registers. */
static inline void vireo_tsc_regs(struct vireo_vcpu *vcpu)
{
	u64 tsc = vireo_tsc_read(vcpu);

	vcpu->gpr[VIREO_RAX] = (u32)tsc;
	vcpu->gpr[VIREO_RDX] = tsc >> 32;
}

#endif /* VIREO_CORE_H */

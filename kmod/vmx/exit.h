/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exits of VMX in neutral form: a table and pure functions, for tests too.
 */
#ifndef VIREO_VMX_EXIT_H
#define VIREO_VMX_EXIT_H

#include "../vireo.h"
#include "vmcs.h"

/* vmx_exit_kind.want: which fields of the VMCS an exit is made from */
#define VMX_WANT_LEN		BIT(0)	/* instruction length */
#define VMX_WANT_QUAL		BIT(1)	/* qualification */
#define VMX_WANT_GPA		BIT(2)	/* guest-physical address */
#define VMX_WANT_VECTORING	BIT(3)	/* can come in the delivery of an event */
#define VMX_WANT_EVENT		BIT(4)	/* exit-interruption information */

/**
 * struct vmx_exit_kind - one row per basic exit reason
 * @reason: &enum vireo_exit_reason
 * @want: VMX_WANT_*
 */
struct vmx_exit_kind {
	u8 reason;
	u8 want;
};

/* A power of two, so that an index is made safe by a mask. */
#define VMX_EXIT_KINDS		128
extern const struct vmx_exit_kind vmx_exit_kinds[VMX_EXIT_KINDS];

/**
 * struct vmx_raw_exit - fields of the VMCS as read
 * @reason: exit reason, all 32 bits
 * @len: instruction length
 * @event: exit-interruption information
 * @error: its error code
 * @vectoring: IDT-vectoring information
 * @vectoring_error: its error code
 * @qual: qualification
 * @gpa: guest-physical address
 * @gla: guest linear address
 *
 * Those that the row of the reason does not want are zero.
 */
struct vmx_raw_exit {
	u32 reason;
	u32 len;
	u32 event, error;
	u32 vectoring, vectoring_error;
	u64 qual, gpa, gla;
};

/* EPT violation (SDM vol. 3, table 28-7) */
#define VMX_QUAL_EPT_ACCESS	7ULL		/* read, write, fetch: VIREO_ACCESS_* */
#define VMX_QUAL_EPT_GLA	BIT_ULL(7)	/* guest linear address valid */
#define VMX_QUAL_EPT_FINAL	BIT_ULL(8)	/* of the access itself, not of a walk */
#define VMX_QUAL_NMI_UNBLOCKED	BIT_ULL(12)	/* by IRET */

/* Two qualifications that the hot path decodes by itself. Table 28-5 */
static __always_inline void vmx_decode_io(u64 qual, struct vireo_exit *exit)
{
	exit->io.unit = (qual & 7) + 1;
	exit->io.write = !(qual & BIT(3));
	exit->io.string = qual & BIT(4);
	exit->io.rep = qual & BIT(5);
	exit->io.port = qual >> 16;
}

static_assert(VIREO_ACCESS_READ == 1 && VIREO_ACCESS_WRITE == 2 && VIREO_ACCESS_EXEC == 4);

static __always_inline void vmx_decode_memory(u64 qual, u64 gpa, u64 gla, struct vireo_exit *exit)
{
	const u64 final = VMX_QUAL_EPT_GLA | VMX_QUAL_EPT_FINAL;

	exit->mem.gpa = gpa;
	exit->mem.gla = gla;
	exit->mem.access = qual & VMX_QUAL_EPT_ACCESS;
	exit->mem.gla_valid = qual & VMX_QUAL_EPT_GLA;
	/* No linear address: MOV to CR3 loads PDPTEs, a table walk of its kind. */
	exit->mem.in_walk = (qual & final) != final;
}

/**
 * vmx_decode() - neutral form of an exit
 * @raw: fields, those that the row of the reason wants
 * @exit: all is filled; an exit that did not come from the guest (entry failed) too
 */
void vmx_decode(const struct vmx_raw_exit *raw, struct vireo_exit *exit);

#endif /* VIREO_VMX_EXIT_H */

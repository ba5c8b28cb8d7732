/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What switch.S knows of C structures; vmx.h pins each by static_assert.
 */
#ifndef VIREO_VMX_ASM_H
#define VIREO_VMX_ASM_H

#define VMX_GPR(n)			((n) * 8)	/* in struct vireo_vcpu */

#define VMX_VCPU_HOST_RSP		0		/* in struct vmx_vcpu */
#define VMX_VCPU_LAUNCHED		8

#define VMX_ASM_HOST_RSP_FIELD		0x6c14
#define VMX_ASM_EXIT_REASON_FIELD	0x4402

/* In place of an exit reason: the guest did not run. */
#define VMX_REASON_NO_ENTRY		0xffffffff

#endif /* VIREO_VMX_ASM_H */

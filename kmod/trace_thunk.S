/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ways to the tracepoints that change no register: see tracing.h. The arguments are where the C functions of trace.c expect them.
 */
#include <linux/linkage.h>
#include <asm/frame.h>

.macro thunk event
SYM_FUNC_START(vireo_thunk_\event)
	FRAME_BEGIN
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	call	vireo_tell_\event
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
	FRAME_END
	RET
SYM_FUNC_END(vireo_thunk_\event)
.endm

	thunk	entry
	thunk	exit
	thunk	page_fault
	thunk	shadow_fault
	thunk	inject
	thunk	apic_accept
	thunk	apic_eoi
	thunk	apic
	thunk	msr
	thunk	hypercall
	thunk	track
	thunk	dirty_log
	thunk	dirty_rings
	thunk	snapshot
	thunk	report

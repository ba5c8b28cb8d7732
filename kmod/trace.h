/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: events/vireo/ in tracefs. Documentation/tracing.rst has them for people.
 *
 * Read more than once, by define_trace.h for trace.c. Everybody else includes tracing.h, which lists them once more, and says
 * vireo_trace().
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vireo

#if !defined(VIREO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VIREO_TRACE_H

#include <linux/tracepoint.h>

#include "backend.h"
#include "mmu/mmu.h"
#include "tracing.h"

/* Enumerators get their values into the formats, for programs that read records themselves. */
#define VIREO_TRACE_ENUM(value, name) TRACE_DEFINE_ENUM(value);
#define VIREO_TRACE_SYMBOL(value, name) { value, name },
/* A list of pairs; the last of them, which no value equals, has no comma behind it. */
#define vireo_print_symbol(value, names) __print_symbolic(value, names(VIREO_TRACE_SYMBOL) { -1, "" })

#define VIREO_EVENT_NAMES(NAME)						\
	NAME(VIREO_EVENT_IRQ, "irq")					\
	NAME(VIREO_EVENT_NMI, "nmi")					\
	NAME(VIREO_EVENT_EXCEPTION, "exception")			\
	NAME(VIREO_EVENT_SOFT_INT, "soft-interrupt")			\
	NAME(VIREO_EVENT_PRIV_SOFT_EXC, "int1")				\
	NAME(VIREO_EVENT_SOFT_EXC, "soft-exception")

#define VIREO_FAULT_NAMES(NAME)						\
	NAME(VIREO_FAULT_FIXED, "fixed")				\
	NAME(VIREO_FAULT_MMIO, "interpret")				\
	NAME(VIREO_FAULT_RETRY, "retry")				\
	NAME(VIREO_FAULT_ERROR, "error")				\
	NAME(VIREO_FAULT_NOMEM, "no-memory")				\
	NAME(VIREO_FAULT_SIGNAL, "signal")

#define VIREO_SNAPSHOT_NAMES(NAME)					\
	NAME(VIREO_NL_OP_SNAPSHOT, "taken")				\
	NAME(VIREO_NL_OP_ROLLBACK, "rolled-back")			\
	NAME(VIREO_NL_OP_DROP, "dropped")

#define VIREO_REPORT_NAMES(NAME)					\
	NAME(VIREO_REPORT_PAUSED, "paused")				\
	NAME(VIREO_REPORT_RESUMED, "resumed")				\
	NAME(VIREO_REPORT_STOPPED, "stopped")				\
	NAME(VIREO_REPORT_SNAPSHOT, "snapshot")				\
	NAME(VIREO_REPORT_ROLLBACK, "rollback")				\
	NAME(VIREO_REPORT_DROP, "drop")					\
	NAME(VIREO_REPORT_SAVE, "save")					\
	NAME(VIREO_REPORT_RESTORE, "restore")				\
	NAME(VIREO_REPORT_FORK, "fork")					\
	NAME(VIREO_REPORT_SEND, "send")					\
	NAME(VIREO_REPORT_RECEIVE, "receive")

/* Offsets of the local APIC's registers (SDM vol. 3, table 11-1) */
#define VIREO_APIC_NAMES(NAME)						\
	NAME(0x20, "id")						\
	NAME(0x30, "version")						\
	NAME(0x80, "tpr")						\
	NAME(0x90, "apr")						\
	NAME(0xa0, "ppr")						\
	NAME(0xb0, "eoi")						\
	NAME(0xd0, "ldr")						\
	NAME(0xe0, "dfr")						\
	NAME(0xf0, "svr")						\
	NAME(0x280, "esr")						\
	NAME(0x2f0, "lvt-cmci")						\
	NAME(0x300, "icr")						\
	NAME(0x310, "icr2")						\
	NAME(0x320, "lvt-timer")					\
	NAME(0x330, "lvt-thermal")					\
	NAME(0x340, "lvt-pmc")						\
	NAME(0x350, "lvt-lint0")					\
	NAME(0x360, "lvt-lint1")					\
	NAME(0x370, "lvt-error")					\
	NAME(0x380, "timer-initial")					\
	NAME(0x390, "timer-current")					\
	NAME(0x3e0, "timer-divide")					\
	NAME(0x3f0, "self-ipi")

VIREO_EXIT_NAMES(VIREO_TRACE_ENUM)
VIREO_EVENT_NAMES(VIREO_TRACE_ENUM)
VIREO_FAULT_NAMES(VIREO_TRACE_ENUM)
VIREO_SNAPSHOT_NAMES(VIREO_TRACE_ENUM)
VIREO_REPORT_NAMES(VIREO_TRACE_ENUM)

/* Lengths in formats are numbers; trace.c compares them. */
#define VIREO_NAME_BYTES	32
#define VIREO_PHASE_BYTES	32
#define VIREO_CAUSE_BYTES	128

/* All events tell whose they are: the VM's name, its number, and that vCPU of it, if it is one's. */
#define VIREO_TRACE_VM							\
	__array(char, vm, VIREO_NAME_BYTES)				\
	__field(u32, number)
#define VIREO_TRACE_VCPU						\
	VIREO_TRACE_VM							\
	__field(u32, vcpu)
#define vireo_trace_vm(of)						\
	do {								\
		memcpy(__entry->vm, (of)->name, VIREO_NAME_BYTES);	\
		__entry->number = (of)->nl.number;			\
	} while (0)
#define vireo_trace_vcpu(of)						\
	do {								\
		vireo_trace_vm((of)->vm);				\
		__entry->vcpu = (of)->id;				\
	} while (0)

/* Into the guest */
TRACE_EVENT(vireo_entry,
	TP_PROTO(struct vireo_vcpu *vcpu_in),
	TP_ARGS(vcpu_in),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u64, rip)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->rip = vireo_rip(vcpu_in);
	),
	TP_printk("vm=%s number=%u vcpu=%u rip=%#llx", __entry->vm, __entry->number, __entry->vcpu,
		  __entry->rip)
);

/* Out of it; @info is what the reason says in the first place: see vireo_trace_exit_info(). */
TRACE_EVENT(vireo_exit,
	TP_PROTO(struct vireo_vcpu *vcpu_in),
	TP_ARGS(vcpu_in),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u32, reason)
		__field(u32, code)
		__field(u64, rip)
		__field(u64, info)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->reason = vcpu_in->exit.reason;
		__entry->code = vcpu_in->exit.code;
		__entry->rip = vireo_rip(vcpu_in);
		__entry->info = vireo_trace_exit_info(vcpu_in);
	),
	TP_printk("vm=%s number=%u vcpu=%u reason=%s code=%#x rip=%#llx info=%#llx", __entry->vm,
		  __entry->number, __entry->vcpu,
		  vireo_print_symbol(__entry->reason, VIREO_EXIT_NAMES), __entry->code,
		  __entry->rip, __entry->info)
);

/* A fault on nested tables; one that has to wait for its page comes twice. */
TRACE_EVENT(vireo_page_fault,
	TP_PROTO(const struct vireo_vcpu *vcpu_in, u64 gpa, u32 access, u32 result),
	TP_ARGS(vcpu_in, gpa, access, result),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u64, gpa)
		__field(u32, access)
		__field(u32, result)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->gpa = gpa;
		__entry->access = access;
		__entry->result = result;
	),
	TP_printk("vm=%s number=%u vcpu=%u gpa=%#llx access=%s result=%s", __entry->vm,
		  __entry->number, __entry->vcpu, __entry->gpa,
		  __print_flags(__entry->access, "|", { 0x1, "read" }, { 0x2, "write" }, { 0x4, "exec" }),
		  vireo_print_symbol(__entry->result, VIREO_FAULT_NAMES))
);

/* The same on shadow tables: @gpa is ~0 where the guest's tables lead nowhere. */
TRACE_EVENT(vireo_shadow_fault,
	TP_PROTO(const struct vireo_vcpu *vcpu_in, u64 gva, u32 error, u32 result),
	TP_ARGS(vcpu_in, gva, error, result),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u64, gva)
		__field(u64, gpa)
		__field(u32, error)
		__field(u32, result)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->gva = gva;
		__entry->gpa = vcpu_in->shadow.gpa;
		__entry->error = error;
		__entry->result = result;
	),
	TP_printk("vm=%s number=%u vcpu=%u gva=%#llx error=%s gpa=%#llx result=%s", __entry->vm,
		  __entry->number, __entry->vcpu, __entry->gva,
		  __print_flags(__entry->error, "|", { 0x1, "present" }, { 0x2, "write" }, { 0x4, "user" }, { 0x8, "reserved" }, { 0x10, "fetch" }),
		  __entry->gpa, vireo_print_symbol(__entry->result, VIREO_FAULT_NAMES))
);

/* An event that the next entry delivers */
TRACE_EVENT(vireo_inject,
	TP_PROTO(const struct vireo_vcpu *vcpu_in),
	TP_ARGS(vcpu_in),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u8, type)
		__field(u8, vector)
		__field(u8, has_error)
		__field(u32, error)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->type = vcpu_in->event.type;
		__entry->vector = vcpu_in->event.vector;
		__entry->has_error = vcpu_in->event.has_error;
		__entry->error = vcpu_in->event.has_error ? vcpu_in->event.error : 0;
	),
	TP_printk("vm=%s number=%u vcpu=%u type=%s vector=%#x has_error=%u error=%#x", __entry->vm,
		  __entry->number, __entry->vcpu,
		  vireo_print_symbol(__entry->type, VIREO_EVENT_NAMES), __entry->vector,
		  __entry->has_error, __entry->error)
);

/* An interrupt has come to a local APIC: it waits there now. In the context of who has sent it. */
TRACE_EVENT(vireo_apic_accept,
	TP_PROTO(const struct vireo_vcpu *vcpu_in, u8 vector, bool level),
	TP_ARGS(vcpu_in, vector, level),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u8, vector)
		__field(u8, level)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->vector = vector;
		__entry->level = level;
	),
	TP_printk("vm=%s number=%u vcpu=%u vector=%#x trigger=%s", __entry->vm, __entry->number,
		  __entry->vcpu, __entry->vector, __entry->level ? "level" : "edge")
);

/* The guest has ended one; not where the processor does it alone. */
TRACE_EVENT(vireo_apic_eoi,
	TP_PROTO(const struct vireo_vcpu *vcpu_in, u8 vector),
	TP_ARGS(vcpu_in, vector),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u8, vector)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->vector = vector;
	),
	TP_printk("vm=%s number=%u vcpu=%u vector=%#x", __entry->vm, __entry->number,
		  __entry->vcpu, __entry->vector)
);

/* A register of the local APIC is read or written, in its page or by MSR */
TRACE_EVENT(vireo_apic,
	TP_PROTO(const struct vireo_vcpu *vcpu_in, bool write, u32 offset, u64 value),
	TP_ARGS(vcpu_in, write, offset, value),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u8, write)
		__field(u32, offset)
		__field(u64, value)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->write = write;
		__entry->offset = offset;
		__entry->value = value;
	),
	TP_printk("vm=%s number=%u vcpu=%u %s register=%s offset=%#x value=%#llx", __entry->vm,
		  __entry->number, __entry->vcpu, __entry->write ? "write" : "read",
		  vireo_print_symbol(__entry->offset, VIREO_APIC_NAMES), __entry->offset,
		  __entry->value)
);

/* RDMSR and WRMSR that exit; @error: 0, or the negative errno for which the guest gets #GP, or its launcher is asked */
TRACE_EVENT(vireo_msr,
	TP_PROTO(const struct vireo_vcpu *vcpu_in, bool write, u32 index, u64 data, int error),
	TP_ARGS(vcpu_in, write, index, data, error),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u8, write)
		__field(u32, index)
		__field(u64, data)
		__field(int, error)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->write = write;
		__entry->index = index;
		__entry->data = data;
		__entry->error = error;
	),
	TP_printk("vm=%s number=%u vcpu=%u %s index=%#x data=%#llx error=%d", __entry->vm,
		  __entry->number, __entry->vcpu, __entry->write ? "write" : "read",
		  __entry->index, __entry->data, __entry->error)
);

/* Before it is answered: the registers as the guest has set them */
TRACE_EVENT(vireo_hypercall,
	TP_PROTO(const struct vireo_vcpu *vcpu_in),
	TP_ARGS(vcpu_in),
	TP_STRUCT__entry(
		VIREO_TRACE_VCPU
		__field(u64, nr)
		__array(u64, args, 4)
	),
	TP_fast_assign(
		vireo_trace_vcpu(vcpu_in);
		__entry->nr = vcpu_in->gpr[VIREO_RAX];
		__entry->args[0] = vcpu_in->gpr[VIREO_RBX];
		__entry->args[1] = vcpu_in->gpr[VIREO_RCX];
		__entry->args[2] = vcpu_in->gpr[VIREO_RDX];
		__entry->args[3] = vcpu_in->gpr[VIREO_RSI];
	),
	TP_printk("vm=%s number=%u vcpu=%u nr=%#llx args=%#llx,%#llx,%#llx,%#llx", __entry->vm,
		  __entry->number, __entry->vcpu, __entry->nr, __entry->args[0], __entry->args[1],
		  __entry->args[2], __entry->args[3])
);

/* VIREO_SET_TRACKING */
TRACE_EVENT(vireo_track,
	TP_PROTO(const struct vireo_vm *vm_in, const struct vireo_tracking *tracking, int error),
	TP_ARGS(vm_in, tracking, error),
	TP_STRUCT__entry(
		VIREO_TRACE_VM
		__field(u32, slot)
		__field(u32, consumer)
		__field(u8, on)
		__field(int, error)
	),
	TP_fast_assign(
		vireo_trace_vm(vm_in);
		__entry->slot = tracking->slot;
		__entry->consumer = tracking->consumer;
		__entry->on = tracking->on;
		__entry->error = error;
	),
	TP_printk("vm=%s number=%u slot=%u consumer=%u %s error=%d", __entry->vm, __entry->number,
		  __entry->slot, __entry->consumer, __entry->on ? "on" : "off", __entry->error)
);

/* VIREO_GET_DIRTY: @found of @pages from page @first on */
TRACE_EVENT(vireo_dirty_log,
	TP_PROTO(const struct vireo_vm *vm_in, const struct vireo_dirty_log *log, int error),
	TP_ARGS(vm_in, log, error),
	TP_STRUCT__entry(
		VIREO_TRACE_VM
		__field(u32, slot)
		__field(u32, consumer)
		__field(u64, first)
		__field(u64, pages)
		__field(u64, found)
		__field(int, error)
	),
	TP_fast_assign(
		vireo_trace_vm(vm_in);
		__entry->slot = log->slot;
		__entry->consumer = log->consumer;
		__entry->first = log->first;
		__entry->pages = log->pages;
		__entry->found = error ? 0 : log->found;
		__entry->error = error;
	),
	TP_printk("vm=%s number=%u slot=%u consumer=%u first=%#llx pages=%llu found=%llu error=%d",
		  __entry->vm, __entry->number, __entry->slot, __entry->consumer, __entry->first,
		  __entry->pages, __entry->found, __entry->error)
);

/* VIREO_RESET_RINGS */
TRACE_EVENT(vireo_dirty_rings,
	TP_PROTO(const struct vireo_vm *vm_in, const struct vireo_ring_reset *reset, int error),
	TP_ARGS(vm_in, reset, error),
	TP_STRUCT__entry(
		VIREO_TRACE_VM
		__field(u32, consumer)
		__field(u64, pages)
		__field(int, error)
	),
	TP_fast_assign(
		vireo_trace_vm(vm_in);
		__entry->consumer = reset->consumer;
		__entry->pages = error ? 0 : reset->pages;
		__entry->error = error;
	),
	TP_printk("vm=%s number=%u consumer=%u pages=%llu error=%d", __entry->vm, __entry->number,
		  __entry->consumer, __entry->pages, __entry->error)
);

/* A snapshot point is taken, gone back to, or dropped; @pages were restored. */
TRACE_EVENT(vireo_snapshot,
	TP_PROTO(const struct vireo_vm *vm_in, u32 what, const struct vireo_snapshot *snapshot, int error),
	TP_ARGS(vm_in, what, snapshot, error),
	TP_STRUCT__entry(
		VIREO_TRACE_VM
		__field(u32, what)
		__field(u32, id)
		__field(u64, pages)
		__field(int, error)
	),
	TP_fast_assign(
		vireo_trace_vm(vm_in);
		__entry->what = what;
		__entry->id = snapshot->id;
		__entry->pages = what == VIREO_NL_OP_ROLLBACK && !error ? snapshot->pages : 0;
		__entry->error = error;
	),
	TP_printk("vm=%s number=%u what=%s id=%u pages=%llu error=%d", __entry->vm,
		  __entry->number, vireo_print_symbol(__entry->what, VIREO_SNAPSHOT_NAMES),
		  __entry->id, __entry->pages, __entry->error)
);

/* VIREO_REPORT: what the launcher says that it does; @pages of @total, @phase and @cause are its words */
TRACE_EVENT(vireo_report,
	TP_PROTO(const struct vireo_vm *vm_in, const struct vireo_report *report),
	TP_ARGS(vm_in, report),
	TP_STRUCT__entry(
		VIREO_TRACE_VM
		__field(u32, what)
		__array(char, phase, VIREO_PHASE_BYTES)
		__array(char, cause, VIREO_CAUSE_BYTES)
		__field(u64, pages)
		__field(u64, total)
	),
	TP_fast_assign(
		vireo_trace_vm(vm_in);
		__entry->what = report->kind;
		memcpy(__entry->phase, report->phase, VIREO_PHASE_BYTES);
		memcpy(__entry->cause, report->cause, VIREO_CAUSE_BYTES);
		__entry->pages = report->pages;
		__entry->total = report->total;
	),
	TP_printk("vm=%s number=%u what=%s phase=%s pages=%llu total=%llu cause=%s", __entry->vm,
		  __entry->number, vireo_print_symbol(__entry->what, VIREO_REPORT_NAMES),
		  __entry->phase, __entry->pages, __entry->total, __entry->cause)
);

#endif /* VIREO_TRACE_H */

/* Outside of the kernel's tree: Kbuild tells the compiler of trace.c where this is. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

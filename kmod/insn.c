// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interpreter's hands: how kmod/emulate reaches this vCPU's memory, devices and registers.
 *
 * With interrupts off nothing may sleep: an access to a page that is not resident stops the
 * instruction (insn_retry) and the whole goes on with interrupts on, from where it stopped.
 *
 * What user space must do is posted in the run page: one read, or one write.  A write
 * retires with its instruction and needs no answer.
 */
#include <linux/mm.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>
#include <asm/fpu/api.h>

#include "core.h"
#include "irq/irq.h"
#include "mmu/mmu.h"

static struct vireo_vcpu *vireo_emu_vcpu(struct vireo_emu *e)
{
	return container_of(e, struct vireo_vcpu, emu);
}

/* What the interpreter knows of the mode, kept for the length of one instruction. */
static const struct vireo_mode *vireo_emu_mode_of(struct vireo_emu *e)
{
	return &vireo_emu_vcpu(e)->mode;
}

static int vireo_emu_stop(struct vireo_emu *e)
{
	vireo_emu_vcpu(e)->insn_retry = true;
	return VIREO_EMU_USER;
}

/* Linear to guest-physical; a fault is recorded in @e. */
static int vireo_emu_translate(struct vireo_emu *e, u64 la, u32 access, u32 flags, u64 *gpa)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	const struct vireo_mode *mode = &vcpu->mode;
	struct vireo_walk walk;
	int r;

	if (flags & VIREO_EMU_ACC_SYSTEM)
		access |= VIREO_ACCESS_IMPLICIT;
	else if (mode->cpl == 3 && !(flags & VIREO_EMU_ACC_INNER))
		access |= VIREO_ACCESS_USER;
	r = vireo_walk(vcpu, mode, la, access, irqs_disabled(), &walk);
	if (likely(!r)) {
		*gpa = walk.gpa;
		return VIREO_EMU_OK;
	}
	if (r == -EAGAIN && irqs_disabled())
		return vireo_emu_stop(e);
	if (r == -EFAULT)
		return vireo_emu_page_fault(e, la, walk.error);
	return VIREO_EMU_UNHANDLED;
}

static int vireo_emu_read(struct vireo_emu *e, u64 la, u64 gpa, void *data, u32 len, u32 flags)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	struct vireo_run *run = vcpu->run;
	int r;

	if (gpa == VIREO_EMU_NO_GPA) {
		r = vireo_emu_translate(e, la, flags & VIREO_EMU_ACC_RMW ?
					VIREO_ACCESS_WRITE | VIREO_ACCESS_READ : VIREO_ACCESS_READ,
					flags, &gpa);
		if (r)
			return r;
	}
	if (vireo_lapic_mmio_hit(vcpu, gpa)) {
		vireo_lapic_mmio_read(vcpu, gpa & ~PAGE_MASK, len, data);
		return VIREO_EMU_OK;
	}
	if (vireo_vcpu_mem(vcpu, gpa >> PAGE_SHIFT)) {
		if (irqs_disabled())
			return vireo_read_gpa_nofault(vcpu, gpa, data, len) ? vireo_emu_stop(e) :
									      VIREO_EMU_OK;
		return vireo_read_gpa(vcpu, gpa, data, len) ? VIREO_EMU_UNHANDLED : VIREO_EMU_OK;
	}

	if (flags & VIREO_EMU_ACC_MEMORY)
		return VIREO_EMU_UNHANDLED;

	/* A write waits in the run page already: let it out first. */
	if (vcpu->insn_posted)
		return VIREO_EMU_USER;
	run->exit_reason = VIREO_EXIT_MMIO;
	run->mmio.gpa = gpa;
	run->mmio.write = 0;
	run->mmio.len = len;
	vcpu->insn_read_len = len;
	return VIREO_EMU_USER;
}

static int vireo_emu_write(struct vireo_emu *e, u64 la, u64 gpa, const void *data, u32 len,
			   u32 flags)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	const struct vireo_mem *mem;
	struct vireo_run *run = vcpu->run;
	u64 value = 0;
	int r;

	if (gpa == VIREO_EMU_NO_GPA) {
		r = vireo_emu_translate(e, la, VIREO_ACCESS_WRITE, flags, &gpa);
		if (r)
			return r;
	}
	if (vireo_lapic_mmio_hit(vcpu, gpa)) {
		vireo_lapic_mmio_write(vcpu, gpa & ~PAGE_MASK, len, data);
		return VIREO_EMU_OK;
	}
	mem = vireo_vcpu_mem(vcpu, gpa >> PAGE_SHIFT);
	if (mem && !(mem->flags & VIREO_REGION_READONLY)) {
		if (irqs_disabled())
			return vireo_write_gpa_nofault(vcpu, gpa, data, len) ? vireo_emu_stop(e) :
									       VIREO_EMU_OK;
		return vireo_write_gpa(vcpu, gpa, data, len) ? VIREO_EMU_UNHANDLED : VIREO_EMU_OK;
	}
	if (flags & VIREO_EMU_ACC_MEMORY)
		return VIREO_EMU_UNHANDLED;
	memcpy(&value, data, len);
	if (vireo_ioeventfd_write(vcpu->vm, false, gpa, len, value))
		return VIREO_EMU_OK;

	if (vcpu->insn_posted)
		return VIREO_EMU_USER;
	run->exit_reason = VIREO_EXIT_MMIO;
	run->mmio.gpa = gpa;
	run->mmio.write = 1;
	run->mmio.len = len;
	memcpy(run->mmio.data, &value, sizeof(value));
	vcpu->insn_posted = true;
	return VIREO_EMU_OK;
}

/*
 * Memory that the guest shares with its other vCPUs needs a real compare and exchange.
 * 16 bytes, and whatever is not naturally aligned, are done by parts: nothing that Linux
 * does to memory which has to be interpreted.
 */
static int vireo_emu_cmpxchg(struct vireo_emu *e, u64 la, u64 gpa, void *old, const void *new,
			     u32 len, u32 flags)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	const struct vireo_mem *mem;
	u8 now[16];
	int r;

	if (gpa == VIREO_EMU_NO_GPA) {
		r = vireo_emu_translate(e, la, VIREO_ACCESS_READ | VIREO_ACCESS_WRITE, flags, &gpa);
		if (r)
			return r;
	}
	mem = vireo_vcpu_mem(vcpu, gpa >> PAGE_SHIFT);
	if (!mem || (mem->flags & VIREO_REGION_READONLY))
		return len > 8 ? VIREO_EMU_UNHANDLED :
				 vireo_emu_write(e, la, gpa, new, len, flags);
	if (irqs_disabled())
		return vireo_emu_stop(e);
	if (len <= 8 && !(gpa & (len - 1)))
		return vireo_cmpxchg_gpa(vcpu, gpa, old, new, len) ? VIREO_EMU_UNHANDLED :
								     VIREO_EMU_OK;
	if (vireo_read_gpa(vcpu, gpa, now, len))
		return VIREO_EMU_UNHANDLED;
	if (!memcmp(now, old, len)) {
		if (vireo_write_gpa(vcpu, gpa, new, len))
			return VIREO_EMU_UNHANDLED;
	} else {
		memcpy(old, now, len);
	}
	return VIREO_EMU_OK;
}

static int vireo_emu_probe(struct vireo_emu *e, u64 la, u32 len, u32 flags)
{
	const struct vireo_mem *mem;
	u64 gpa;
	int r;

	r = vireo_emu_translate(e, la, VIREO_ACCESS_WRITE, flags, &gpa);
	if (r || !(flags & VIREO_EMU_ACC_MEMORY))
		return r;
	mem = vireo_vcpu_mem(vireo_emu_vcpu(e), gpa >> PAGE_SHIFT);
	return mem && !(mem->flags & VIREO_REGION_READONLY) ? VIREO_EMU_OK : VIREO_EMU_UNHANDLED;
}

static int vireo_emu_pio_in(struct vireo_emu *e, u16 port, u32 size, void *data, u32 count)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	struct vireo_run *run = vcpu->run;

	if (vcpu->insn_posted)
		return VIREO_EMU_USER;
	run->exit_reason = VIREO_EXIT_IO;
	run->io.port = port;
	run->io.write = 0;
	run->io.unit = size;
	run->io.count = count;
	vcpu->insn_read_len = size * count;
	vcpu->insn_read_io = true;
	return VIREO_EMU_USER;
}

static int vireo_emu_pio_out(struct vireo_emu *e, u16 port, u32 size, const void *data, u32 count)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	struct vireo_run *run = vcpu->run;

	if (vcpu->insn_posted)
		return VIREO_EMU_USER;
	run->exit_reason = VIREO_EXIT_IO;
	run->io.port = port;
	run->io.write = 1;
	run->io.unit = size;
	run->io.count = count;
	memcpy(run->io.data, data, size * count);
	vcpu->insn_posted = true;
	return VIREO_EMU_OK;
}

/* The interpreter numbers segments as the hardware does, LDTR and TR after them: so do we. */
static_assert((int)VIREO_EMU_ES == VIREO_SEG_ES && (int)VIREO_EMU_GS == VIREO_SEG_GS &&
	      (int)VIREO_EMU_LDTR == VIREO_SEG_LDTR && (int)VIREO_EMU_TR == VIREO_SEG_TR);
static_assert(VIREO_EMU_SEG_UNUSABLE == VIREO_SEG_UNUSABLE && VIREO_EMU_SEG_L == VIREO_SEG_L);

static u64 vireo_emu_seg_base(struct vireo_emu *e, u32 nr)
{
	struct vireo_segment seg;

	vireo_backend_get_segment(vireo_emu_vcpu(e), nr, &seg);
	return seg.base;
}

static void vireo_emu_get_seg(struct vireo_emu *e, u32 nr, struct vireo_emu_segment *s)
{
	struct vireo_segment seg;

	vireo_backend_get_segment(vireo_emu_vcpu(e), nr, &seg);
	s->base = seg.base;
	s->limit = seg.limit;
	s->attr = seg.attr;
	s->selector = seg.selector;
}

static void vireo_emu_set_seg(struct vireo_emu *e, u32 nr, const struct vireo_emu_segment *s)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	struct vireo_segment seg = {
		.base = s->base,
		.limit = s->limit,
		.attr = s->attr,
		.selector = s->selector,
	};

	vireo_backend_set_segment(vcpu, nr, &seg);
	if (nr == VIREO_SEG_SS)
		vcpu->mode.cpl = (s->attr & VIREO_SEG_DPL) >> VIREO_SEG_DPL_SHIFT;
	else if (nr == VIREO_SEG_CS)
		vcpu->mode.cs_attr = s->attr;
}

static void vireo_emu_get_dt(struct vireo_emu *e, u32 dt, u64 *base, u16 *limit)
{
	struct vireo_table table;

	vireo_backend_get_table(vireo_emu_vcpu(e), dt == VIREO_EMU_IDTR, &table);
	*base = table.base;
	*limit = table.limit;
}

static void vireo_emu_set_dt(struct vireo_emu *e, u32 dt, u64 base, u16 limit)
{
	struct vireo_table table = { .base = base, .limit = limit };

	vireo_backend_set_table(vireo_emu_vcpu(e), dt == VIREO_EMU_IDTR, &table);
}

static u32 vireo_emu_get_cpl(struct vireo_emu *e)
{
	return vireo_emu_mode_of(e)->cpl;
}

static u64 vireo_emu_get_cr(struct vireo_emu *e, u32 nr)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);

	switch (nr) {
	case 2:
		return vcpu->cr2;
	case 8:
		return vireo_lapic_get_tpr(vcpu);
	default:
		return vireo_backend_get_cr(vcpu, nr);
	}
}

static int vireo_emu_set_cr(struct vireo_emu *e, u32 nr, u64 value)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	int r;

	if (irqs_disabled())
		return vireo_emu_stop(e);
	switch (nr) {
	case 0:
		r = vireo_set_cr0(vcpu, value);
		break;
	case 2:
		vcpu->cr2 = value;
		return VIREO_EMU_OK;
	case 3:
		r = vireo_set_cr3(vcpu, value);
		break;
	case 4:
		r = vireo_set_cr4(vcpu, value);
		break;
	case 8:
		r = vireo_set_cr8(vcpu, value);
		break;
	default:
		return vireo_emu_trap(e, X86_TRAP_UD);
	}
	if (r)
		return vireo_emu_fault(e, X86_TRAP_GP, 0);
	vireo_backend_read_mode(vcpu, &vcpu->mode);
	return VIREO_EMU_OK;
}

static u64 vireo_emu_get_efer(struct vireo_emu *e)
{
	return vireo_emu_mode_of(e)->efer;
}

static int vireo_emu_get_msr(struct vireo_emu *e, u32 index, u64 *data)
{
	if (irqs_disabled())
		return vireo_emu_stop(e);
	return vireo_msr_get(vireo_emu_vcpu(e), index, data, false) ?
		vireo_emu_fault(e, X86_TRAP_GP, 0) : VIREO_EMU_OK;
}

static int vireo_emu_set_msr(struct vireo_emu *e, u32 index, u64 data)
{
	if (irqs_disabled())
		return vireo_emu_stop(e);
	if (vireo_msr_set(vireo_emu_vcpu(e), index, data, false))
		return vireo_emu_fault(e, X86_TRAP_GP, 0);
	vireo_backend_read_mode(vireo_emu_vcpu(e), &vireo_emu_vcpu(e)->mode);
	return VIREO_EMU_OK;
}

static u64 vireo_emu_get_xcr0(struct vireo_emu *e)
{
	return vireo_emu_vcpu(e)->xcr0;
}

/*
 * The guest's vector registers are in the processor while its thread is in VIREO_RUN.
 * The kernel is compiled without vector instructions, so they are touched by name only.
 */
#define VIREO_XMM_CASE(n, op)	case n: op(n); break;
#define VIREO_XMM_ALL(op)						\
	VIREO_XMM_CASE(0, op) VIREO_XMM_CASE(1, op) VIREO_XMM_CASE(2, op)	\
	VIREO_XMM_CASE(3, op) VIREO_XMM_CASE(4, op) VIREO_XMM_CASE(5, op)	\
	VIREO_XMM_CASE(6, op) VIREO_XMM_CASE(7, op) VIREO_XMM_CASE(8, op)	\
	VIREO_XMM_CASE(9, op) VIREO_XMM_CASE(10, op) VIREO_XMM_CASE(11, op)	\
	VIREO_XMM_CASE(12, op) VIREO_XMM_CASE(13, op) VIREO_XMM_CASE(14, op)	\
	VIREO_XMM_CASE(15, op)
#define VIREO_XMM_SWITCH(nr, op)	do { switch (nr) { VIREO_XMM_ALL(op) } } while (0)
#define VIREO_XMM_STORE(n)	asm volatile("movdqu %%xmm" #n ", %0" : "=m"(*(u8 (*)[16])data))
#define VIREO_XMM_LOAD(n)	asm volatile("movdqu %0, %%xmm" #n : : "m"(*(const u8 (*)[16])data))
#define VIREO_YMM_STORE(n)	asm volatile("vmovdqu %%ymm" #n ", %0" : "=m"(*(u8 (*)[32])data))
#define VIREO_YMM_LOAD(n)	asm volatile("vmovdqu %0, %%ymm" #n : : "m"(*(const u8 (*)[32])data))
#define VIREO_YMM_LOAD_XMM(n)	asm volatile("vmovdqu %0, %%xmm" #n : : "m"(*(const u8 (*)[16])data))

static void vireo_fpu_begin(void)
{
	fpregs_lock();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

static int vireo_emu_get_vec(struct vireo_emu *e, u32 nr, void *data, u32 len)
{
	if (irqs_disabled())
		return vireo_emu_stop(e);
	if (nr > 15 || len > 32 || (len == 32 && !boot_cpu_has(X86_FEATURE_AVX)))
		return VIREO_EMU_UNHANDLED;
	vireo_fpu_begin();
	if (len == 32)
		VIREO_XMM_SWITCH(nr, VIREO_YMM_STORE);
	else
		VIREO_XMM_SWITCH(nr, VIREO_XMM_STORE);
	fpregs_unlock();
	return VIREO_EMU_OK;
}

static int vireo_emu_set_vec(struct vireo_emu *e, u32 nr, const void *data, u32 len,
			     bool zero_upper)
{
	if (irqs_disabled())
		return vireo_emu_stop(e);
	if (nr > 15 || len > 32 || (zero_upper && !boot_cpu_has(X86_FEATURE_AVX)))
		return VIREO_EMU_UNHANDLED;
	vireo_fpu_begin();
	if (len == 32)
		VIREO_XMM_SWITCH(nr, VIREO_YMM_LOAD);
	else if (zero_upper)
		VIREO_XMM_SWITCH(nr, VIREO_YMM_LOAD_XMM);
	else
		VIREO_XMM_SWITCH(nr, VIREO_XMM_LOAD);
	fpregs_unlock();
	return VIREO_EMU_OK;
}

static const struct vireo_emu_ops vireo_emu_ops = {
	.read = vireo_emu_read,
	.write = vireo_emu_write,
	.cmpxchg = vireo_emu_cmpxchg,
	.probe = vireo_emu_probe,
	.pio_in = vireo_emu_pio_in,
	.pio_out = vireo_emu_pio_out,
	.seg_base = vireo_emu_seg_base,
	.get_seg = vireo_emu_get_seg,
	.set_seg = vireo_emu_set_seg,
	.get_dt = vireo_emu_get_dt,
	.set_dt = vireo_emu_set_dt,
	.get_cpl = vireo_emu_get_cpl,
	.get_cr = vireo_emu_get_cr,
	.set_cr = vireo_emu_set_cr,
	.get_efer = vireo_emu_get_efer,
	.get_msr = vireo_emu_get_msr,
	.set_msr = vireo_emu_set_msr,
	.get_xcr0 = vireo_emu_get_xcr0,
	.get_vec = vireo_emu_get_vec,
	.set_vec = vireo_emu_set_vec,
};

void vireo_insn_setup(struct vireo_vcpu *vcpu)
{
	vcpu->emu.ops = &vireo_emu_ops;
	vcpu->emu.regs = vcpu->gpr;
	if (vireo_caps.vendor == VIREO_VENDOR_AMD)
		vcpu->emu.features |= VIREO_EMU_F_AMD;
}

static u8 vireo_emu_mode(const struct vireo_mode *mode)
{
	if (!(mode->cr0 & X86_CR0_PE))
		return mode->cs_attr & VIREO_SEG_DB ? VIREO_EMU_REAL32 : VIREO_EMU_REAL;
	if (mode->rflags & X86_EFLAGS_VM)
		return VIREO_EMU_VM86;
	if ((mode->efer & EFER_LMA) && (mode->cs_attr & VIREO_SEG_L))
		return VIREO_EMU_PROT64;
	return mode->cs_attr & VIREO_SEG_DB ? VIREO_EMU_PROT32 : VIREO_EMU_PROT16;
}

/*
 * Fetch up to @want bytes at RIP, not across a page.
 * Return: bytes, or -EAGAIN, -EFAULT (page fault queued), -ENXIO.
 */
static int vireo_fetch(struct vireo_vcpu *vcpu, u64 la, u8 *bytes, u32 want)
{
	bool nofault = irqs_disabled();
	u32 access = VIREO_ACCESS_EXEC;
	struct vireo_walk walk;
	int r;

	want = min_t(u32, want, PAGE_SIZE - offset_in_page(la));
	if (vcpu->mode.cpl == 3)
		access |= VIREO_ACCESS_USER;
	r = vireo_walk(vcpu, &vcpu->mode, la, access, nofault, &walk);
	if (r == -EFAULT) {
		vireo_queue_page_fault(vcpu, la, walk.error);
		return r;
	}
	if (r)
		return r;
	if (nofault)
		r = vireo_read_gpa_nofault(vcpu, walk.gpa, bytes, want) ? -EAGAIN : 0;
	else
		r = vireo_read_gpa(vcpu, walk.gpa, bytes, want) ? -ENXIO : 0;
	return r ?: want;
}

/* The linear address that RIP stands for. */
static u64 vireo_code_address(struct vireo_vcpu *vcpu)
{
	struct vireo_segment cs;

	if (likely(vcpu->emu.mode == VIREO_EMU_PROT64))
		return vcpu->emu.rip;
	vireo_backend_get_segment(vcpu, VIREO_SEG_CS, &cs);
	return (u32)(vcpu->emu.rip + cs.base);
}

/*
 * Prepare the interpreter's view of the mode, and have the first bytes of the instruction in
 * exit->bytes.  Return: 0, or as vireo_fetch().
 */
static int vireo_insn_begin(struct vireo_vcpu *vcpu)
{
	struct vireo_exit *exit = &vcpu->exit;
	struct vireo_emu *e = &vcpu->emu;
	int n;

	vireo_backend_read_mode(vcpu, &vcpu->mode);
	e->mode = vireo_emu_mode(&vcpu->mode);
	e->rip = vireo_rip(vcpu);
	e->rflags = vcpu->mode.rflags;
	if (vcpu->mode.cr4 & X86_CR4_LA57)
		e->features |= VIREO_EMU_F_LA57;
	else
		e->features &= ~VIREO_EMU_F_LA57;
	if (exit->nr_bytes)
		return 0;
	n = vireo_fetch(vcpu, vireo_code_address(vcpu), exit->bytes, sizeof(exit->bytes));
	if (n < 0)
		return n;
	exit->nr_bytes = n;
	return 0;
}

/* Decode what vireo_insn_begin() fetched, and what lies on the next page. */
static int vireo_insn_decode_bytes(struct vireo_vcpu *vcpu)
{
	struct vireo_exit *exit = &vcpu->exit;
	struct vireo_emu *e = &vcpu->emu;
	int n, r;

	r = vireo_emu_decode(e, exit->bytes, exit->nr_bytes);
	if (r == VIREO_EMU_MORE) {
		n = vireo_fetch(vcpu, vireo_code_address(vcpu) + exit->nr_bytes,
				exit->bytes + exit->nr_bytes,
				sizeof(exit->bytes) - exit->nr_bytes);
		if (n < 0)
			return n;
		exit->nr_bytes += n;
		r = vireo_emu_decode(e, exit->bytes, exit->nr_bytes);
	}
	if (r == VIREO_EMU_OK)
		return 0;
	if (r == VIREO_EMU_EXCEPTION) {
		vireo_queue_exception(vcpu, e->exception.vector, e->exception.has_error,
				      e->exception.error_code);
		return -EFAULT;
	}
	return -ENXIO;
}

int vireo_insn_decode(struct vireo_vcpu *vcpu)
{
	int r = vireo_insn_begin(vcpu);

	return r ?: vireo_insn_decode_bytes(vcpu);
}

int vireo_insn_length(struct vireo_vcpu *vcpu)
{
	int r = vireo_insn_decode(vcpu);

	if (!r)
		vcpu->exit.insn_len = vcpu->emu.insn.len;
	if (r == -ENXIO) {
		/* Code that ran a moment ago cannot be read any more: changed under our feet. */
		vireo_queue_ud(vcpu);
		r = -EFAULT;
	}
	return r;
}

static enum vireo_action vireo_emu_finish(struct vireo_vcpu *vcpu);

/* The launcher has answered a read. */
static enum vireo_action vireo_emu_answer(struct vireo_vcpu *vcpu)
{
	const void *data = vcpu->insn_read_io ? vcpu->run->io.data : vcpu->run->mmio.data;

	vireo_emu_complete_read(&vcpu->emu, data, vcpu->insn_read_len);
	vcpu->insn_read_len = 0;
	vcpu->insn_read_io = false;
	return vireo_emu_finish(vcpu);
}

/* The launcher has taken a write; the instruction has more to do. */
static enum vireo_action vireo_emu_go_on(struct vireo_vcpu *vcpu)
{
	return vireo_emu_finish(vcpu);
}

static void vireo_emu_commit(struct vireo_vcpu *vcpu)
{
	vireo_set_rip(vcpu, vcpu->emu.rip);
	vireo_set_rflags(vcpu, vcpu->emu.rflags);
	/* The interpreter writes RSP where all registers are. */
	vcpu->dirty |= VIREO_REG_RSP;
}

static void vireo_emu_retire(struct vireo_vcpu *vcpu)
{
	u16 events = vcpu->emu.events;

	vireo_emu_commit(vcpu);
	vireo_backend_set_shadow(vcpu, events & VIREO_EMU_EV_MOVSS ? 2 :
				       events & VIREO_EMU_EV_STI ? 1 : 0);
	if (unlikely(events & VIREO_EMU_EV_STEP)) {
		vcpu->dr6 |= DR_STEP;
		vireo_queue_exception(vcpu, X86_TRAP_DB, false, 0);
	}
	if (unlikely(events & VIREO_EMU_EV_HLT))
		vcpu->mp_state = VIREO_MP_HALTED;
}

/* What came of the interpreter's work. */
static enum vireo_action vireo_emu_result(struct vireo_vcpu *vcpu, int r)
{
	struct vireo_emu *e = &vcpu->emu;
	struct vireo_run *run = vcpu->run;

	if (r == VIREO_EMU_USER) {
		if (vcpu->insn_posted) {
			vcpu->complete = vireo_emu_go_on;
			return VIREO_USER;
		}
		if (vcpu->insn_retry)
			return VIREO_SLOW;
		vcpu->complete = vireo_emu_answer;
		return VIREO_USER;
	}
	if (r == VIREO_EMU_OK)
		vireo_emu_retire(vcpu);
	else if (r == VIREO_EMU_RESTART)
		vireo_emu_commit(vcpu);
	else if (r == VIREO_EMU_EXCEPTION) {
		if (e->exception.vector == X86_TRAP_PF)
			vireo_queue_page_fault(vcpu, e->exception.cr2, e->exception.error_code);
		else
			vireo_queue_exception(vcpu, e->exception.vector, e->exception.has_error,
					      e->exception.error_code);
	} else if (!vcpu->insn_posted) {
		run->exit_reason = VIREO_EXIT_EMULATION;
		run->insn_len = e->insn.len;
		memcpy(run->insn, vcpu->exit.bytes, sizeof(run->insn));
		snprintf(run->error, sizeof(run->error),
			 "cannot interpret the instruction at %#llx: %*ph", e->rip,
			 min_t(int, e->insn.len, VIREO_EMU_MAX_INSN), vcpu->exit.bytes);
		return VIREO_USER;
	}
	if (vcpu->insn_posted)
		return VIREO_USER;
	return vcpu->mp_state == VIREO_MP_HALTED ? VIREO_AGAIN : VIREO_RESUME;
}

/* Execute what is decoded, or go on with it. */
static enum vireo_action vireo_emu_finish(struct vireo_vcpu *vcpu)
{
	vcpu->insn_retry = false;
	vcpu->insn_posted = false;
	return vireo_emu_result(vcpu, vireo_emu_execute(&vcpu->emu));
}

enum vireo_action vireo_interpret(struct vireo_vcpu *vcpu, u64 gpa)
{
	struct vireo_run *run = vcpu->run;
	struct vireo_emu *e = &vcpu->emu;
	int r;

	if (unlikely(vcpu->insn_retry))
		return vireo_emu_finish(vcpu);

	vireo_regs_need(vcpu, VIREO_REG_ALL);
	r = vireo_insn_begin(vcpu);
	if (!r) {
		e->gpa = gpa;
		if (likely(vcpu->exit.nr_bytes == sizeof(vcpu->exit.bytes) &&
			   gpa != VIREO_EMU_NO_GPA)) {
			/* The bytes cannot run out: decode and execute in one go. */
			vcpu->insn_posted = false;
			return vireo_emu_result(vcpu, vireo_emu_mmio(e, vcpu->exit.bytes,
								     vcpu->exit.nr_bytes));
		}
		r = vireo_insn_decode_bytes(vcpu);
	}
	if (!r)
		return vireo_emu_finish(vcpu);
	if (r == -EAGAIN)
		return irqs_disabled() ? VIREO_SLOW : VIREO_AGAIN;
	if (r == -EFAULT)
		return VIREO_RESUME;
	run->exit_reason = VIREO_EXIT_EMULATION;
	run->insn_len = 0;
	snprintf(run->error, sizeof(run->error), "no instruction to be read at %#llx",
		 vireo_rip(vcpu));
	return VIREO_USER;
}

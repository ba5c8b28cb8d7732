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
#include "insn.h"
#include "interpret.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "region.h"

/* Accesses that the rights of supervisor code do not decide about. */
#define VIREO_EMU_ACC_OTHER	(VIREO_EMU_ACC_SYSTEM | VIREO_EMU_ACC_INNER)

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

/* An access that the interpreter's loop has made before needs no walk. */
static __always_inline unsigned long vireo_tlb_find(struct vireo_vcpu *vcpu, u64 la, bool write)
{
	struct vireo_interp *interp = vcpu->interp;
	const struct vireo_tlb_entry *entry;

	entry = vireo_tlb_slot(write ? interp->write : interp->read, la);
	return likely(entry->page == (la & PAGE_MASK)) ? entry->hva + offset_in_page(la) : 0;
}

static void vireo_tlb_fill(struct vireo_vcpu *vcpu, u64 la, u64 gpa, const struct vireo_mem *mem,
			   bool write)
{
	struct vireo_interp *interp = vcpu->interp;
	struct vireo_tlb_entry *entry;

	/* Shadows of the guest's tables must see each write, and so must who follows a region. */
	if (write && (vcpu->vm->mmu.shadow || mem->track))
		return;
	entry = vireo_tlb_slot(write ? interp->write : interp->read, la);
	entry->page = la & PAGE_MASK;
	entry->hva = vireo_mem_hva(mem, gpa >> PAGE_SHIFT);
}

static int vireo_emu_read(struct vireo_emu *e, u64 la, u64 gpa, void *data, u32 len, u32 flags)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	bool tlb = vireo_tlb_usable(vcpu) && !(flags & VIREO_EMU_ACC_OTHER);
	struct vireo_run *run = vcpu->run;
	const struct vireo_mem *mem;
	int r;

	if (tlb) {
		unsigned long hva = vireo_tlb_find(vcpu, la, flags & VIREO_EMU_ACC_RMW);

		if (likely(hva && vireo_hva_read(hva, data, len)))
			return VIREO_EMU_OK;
	}
	if (unlikely(vcpu->interp && vcpu->interp->breakpoints))
		vireo_interp_watch(vcpu, la, len, false);
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
	mem = vireo_vcpu_mem(vcpu, gpa >> PAGE_SHIFT);
	if (mem) {
		/* What is to be modified is looked for where writes are. */
		if (tlb && (!(flags & VIREO_EMU_ACC_RMW) || !(mem->flags & VIREO_REGION_READONLY)))
			vireo_tlb_fill(vcpu, la, gpa, mem, flags & VIREO_EMU_ACC_RMW);
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
	bool tlb = vireo_tlb_usable(vcpu) && !(flags & VIREO_EMU_ACC_OTHER);
	const struct vireo_mem *mem;
	struct vireo_run *run = vcpu->run;
	u64 value = 0;
	int r;

	if (tlb) {
		unsigned long hva = vireo_tlb_find(vcpu, la, true);

		if (likely(hva && vireo_hva_write(hva, data, len)))
			return VIREO_EMU_OK;
	}
	if (unlikely(vcpu->interp && vcpu->interp->breakpoints))
		vireo_interp_watch(vcpu, la, len, true);
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
		if (tlb)
			vireo_tlb_fill(vcpu, la, gpa, mem, true);
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

/* Memory that the guest shares with its other vCPUs needs a real compare and exchange. */
static int vireo_emu_cmpxchg(struct vireo_emu *e, u64 la, u64 gpa, void *old, const void *new,
			     u32 len, u32 flags)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	const struct vireo_mem *mem;
	int r;

	if (unlikely(vcpu->interp && vcpu->interp->breakpoints))
		vireo_interp_watch(vcpu, la, len, true);
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
	return vireo_cmpxchg_gpa(vcpu, gpa, old, new, len) ? VIREO_EMU_UNHANDLED : VIREO_EMU_OK;
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

static void vireo_emu_get_seg(struct vireo_emu *e, u32 nr, struct vireo_emu_segment *s)
{
	struct vireo_vcpu *vcpu = vireo_emu_vcpu(e);
	struct vireo_interp *interp = vcpu->interp;
	struct vireo_segment seg;

	if (interp && interp->active && (interp->seg_valid & BIT(nr))) {
		*s = interp->seg[nr];
		return;
	}
	vireo_backend_get_segment(vcpu, nr, &seg);
	s->base = seg.base;
	s->limit = seg.limit;
	s->attr = seg.attr;
	s->selector = seg.selector;
	if (interp && interp->active) {
		interp->seg[nr] = *s;
		interp->seg_valid |= BIT(nr);
	}
}

static u64 vireo_emu_seg_base(struct vireo_emu *e, u32 nr)
{
	struct vireo_emu_segment s;

	vireo_emu_get_seg(e, nr, &s);
	return s.base;
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
	if (vcpu->interp) {
		/* The backend may keep it in another form. */
		vcpu->interp->seg_valid &= ~BIT(nr);
		vcpu->interp->reload = true;
	}
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
	return vireo_emu_vcpu(e)->mode.cpl;
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
	.get_dr = vireo_emu_get_dr,
	.set_dr = vireo_emu_set_dr,
	.get_efer = vireo_emu_get_efer,
	.get_msr = vireo_emu_get_msr,
	.set_msr = vireo_emu_set_msr,
	.get_xcr0 = vireo_emu_get_xcr0,
	.get_vec = vireo_emu_get_vec,
	.set_vec = vireo_emu_set_vec,
	.sysop = vireo_emu_sysop,
};

void vireo_insn_setup(struct vireo_vcpu *vcpu)
{
	vcpu->emu.ops = &vireo_emu_ops;
	vcpu->emu.regs = vcpu->gpr;
	if (vireo_caps.vendor == VIREO_VENDOR_AMD)
		vcpu->emu.features |= VIREO_EMU_F_AMD;
}

u8 vireo_emu_mode(const struct vireo_mode *mode)
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

	if (unlikely(vcpu->insn_msr == VIREO_INSN_MSR_ASKED)) {
		vireo_emu_msr_answer(vcpu);
		return vireo_emu_finish(vcpu);
	}
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

void vireo_emu_raise(struct vireo_vcpu *vcpu)
{
	const struct vireo_emu_exception *exc = &vcpu->emu.exception;

	if (exc->vector == X86_TRAP_PF)
		vireo_queue_page_fault(vcpu, exc->cr2, exc->error_code);
	else
		vireo_queue_exception(vcpu, exc->vector, exc->has_error, exc->error_code);
}

void vireo_emu_take_events(struct vireo_vcpu *vcpu)
{
	u16 events = vcpu->emu.events;
	u64 dr6 = 0;

	if (events & VIREO_EMU_EV_IRET)
		vireo_backend_set_nmi_mask(vcpu, false);
	if (events & VIREO_EMU_EV_TASK) {
		/* SDM vol. 3, 18.2.4: local breakpoints are the task's. */
		vireo_take_debugregs(vcpu);
		vcpu->dr7 = vireo_backend_get_dr7(vcpu) & ~(u64)0x155;
		vireo_backend_set_dr7(vcpu, vcpu->dr7);
	}
	if (events & VIREO_EMU_EV_TASK_TRAP)
		dr6 |= BIT(15);
	/* MOV SS holds the trap of its own single step back, and then forgets it. */
	if ((events & (VIREO_EMU_EV_STEP | VIREO_EMU_EV_MOVSS)) == VIREO_EMU_EV_STEP)
		dr6 |= DR_STEP;
	if (unlikely(vcpu->interp && vcpu->interp->hits)) {
		dr6 |= vcpu->interp->hits;
		vcpu->interp->hits = 0;
	}
	if (dr6) {
		vireo_take_debugregs(vcpu);
		vcpu->dr6 |= dr6;
		vireo_queue_exception(vcpu, X86_TRAP_DB, false, 0);
	}
	if (events & VIREO_EMU_EV_HLT)
		vcpu->mp_state = VIREO_MP_HALTED;
}

static void vireo_emu_retire(struct vireo_vcpu *vcpu)
{
	u16 events = vcpu->emu.events;

	vireo_emu_commit(vcpu);
	vireo_backend_set_shadow(vcpu, events & VIREO_EMU_EV_MOVSS ? 2 :
				       events & VIREO_EMU_EV_STI ? 1 : 0);
	if (unlikely(events || (vcpu->interp && vcpu->interp->hits)))
		vireo_emu_take_events(vcpu);
}

enum vireo_action vireo_emu_result(struct vireo_vcpu *vcpu, int r)
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
	if (r == VIREO_EMU_OK) {
		vireo_emu_retire(vcpu);
	} else if (r == VIREO_EMU_RESTART) {
		vireo_emu_commit(vcpu);
		if (unlikely(e->events))
			vireo_emu_take_events(vcpu);
	} else if (r == VIREO_EMU_EXCEPTION) {
		if (unlikely(e->events & VIREO_EMU_EV_TASK)) {
			/* It is the new task's. */
			vireo_emu_commit(vcpu);
			vireo_emu_take_events(vcpu);
		}
		vireo_emu_raise(vcpu);
	} else if (vcpu->interp && vcpu->interp->active && vireo_hybrid(vcpu->vm) &&
		   vcpu->mode.cpl != 3 && !vcpu->insn_posted) {
		/* The processor knows it. */
		vcpu->step = true;
		return VIREO_RESUME;
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

/* What the processor says of a task switch (SDM vol. 3, 26.4.2) in the interpreter's words. */
static u32 vireo_task_reason(u8 source, bool soft)
{
	static const u8 reason[3] = {
		VIREO_EMU_TASK_CALL, VIREO_EMU_TASK_IRET, VIREO_EMU_TASK_JMP,
	};

	if (source < ARRAY_SIZE(reason))
		return reason[source];
	return soft ? VIREO_EMU_TASK_GATE : VIREO_EMU_TASK_GATE_EXT;
}

enum vireo_action vireo_interpret_task_switch(struct vireo_vcpu *vcpu)
{
	const struct vireo_exit *exit = &vcpu->exit;
	const struct vireo_event *event = &vcpu->event;
	struct vireo_run *run = vcpu->run;
	struct vireo_emu *e = &vcpu->emu;
	bool soft, nmi, done;
	int r;

	/* SVM does not tell of the interrupts of instructions, which would be raised again. */
	soft = exit->task.source < 3 || !vcpu->event_pending || event->type >= VIREO_EVENT_SOFT_INT;
	nmi = vcpu->event_pending && event->type == VIREO_EVENT_NMI;
	vireo_regs_need(vcpu, VIREO_REG_ALL);
	r = vireo_insn_begin(vcpu);
	/* An instruction goes on behind it, when the task comes back. */
	if (soft && !r) {
		if (!exit->insn_len)
			r = vireo_insn_decode_bytes(vcpu);
		e->rip += exit->insn_len ?: e->insn.len;
	}
	if (soft && r)
		return VIREO_AGAIN;

	r = vireo_emu_task_switch(e, exit->task.selector, vireo_task_reason(exit->task.source, soft),
				  exit->task.has_error, exit->task.error);
	done = r == VIREO_EMU_OK || (r == VIREO_EMU_EXCEPTION && (e->events & VIREO_EMU_EV_TASK));
	if (done) {
		/* It was the event's delivery. */
		vcpu->event_pending = false;
		vireo_emu_commit(vcpu);
		vireo_backend_set_shadow(vcpu, 0);
		if (nmi)
			vireo_backend_set_nmi_mask(vcpu, true);
		vireo_emu_take_events(vcpu);
	}
	if (r == VIREO_EMU_OK)
		return VIREO_RESUME;
	if (r == VIREO_EMU_EXCEPTION) {
		vireo_emu_raise(vcpu);
		return VIREO_RESUME;
	}
	run->exit_reason = VIREO_EXIT_EMULATION;
	run->insn_len = 0;
	snprintf(run->error, sizeof(run->error),
		 "cannot switch to the task of selector %#x: it is not in memory",
		 exit->task.selector);
	return VIREO_USER;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The benchmark's back end on /dev/kvm. IOAPIC and 8259 stay out of the kernel
 * ("split irqchip"), as with Vireo, so that the same things are compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/kvm.h>
#include "backend.h"
#include "bench.h"

#define SLOTS	4
#define COPIED	(16UL << 20)

static int kvm_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int kvm_vm(int dev)
{
	return sys_ioctl(dev, KVM_CREATE_VM, 0);
}

static int kvm_prepare(int vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	uint64_t identity = 0xfffbc000;
	int r;

	/* Only Intel processors without unrestricted guest need these two. */
	r = sys_ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000L);
	if (!r)
		r = sys_ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	return r ?: sys_ioctl(vm, KVM_ENABLE_CAP, &cap);
}

static int kvm_cpu(int vm)
{
	return sys_ioctl(vm, KVM_CREATE_VCPU, 0);
}

static int kvm_map(struct machine *m)
{
	m->run_bytes = sys_ioctl(m->dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	m->run = mmap(NULL, m->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	return m->run == MAP_FAILED ? -errno : 0;
}

static int kvm_registers(struct machine *m)
{
	struct kvm_segment data = { .limit = ~0U, .selector = 0x10, .type = 3, .present = 1,
				    .db = 1, .s = 1, .g = 1 };
	struct kvm_segment code = { .limit = ~0U, .selector = 8, .type = 11, .present = 1,
				    .l = 1, .s = 1, .g = 1 };
	struct kvm_segment tr = { .limit = 0x67, .type = 11, .present = 1 };
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rsp = STACK };
	struct kvm_sregs s;
	unsigned int i;
	int r;

	c->nent = 256;
	r = sys_ioctl(m->dev, KVM_GET_SUPPORTED_CPUID, c);
	/* KVM tells of the TSC-deadline timer in a capability, not in CPUID. */
	for (i = 0; !r && i < c->nent; i++)
		if (c->entries[i].function == 1)
			c->entries[i].ecx |= 1 << 24;
	if (!r)
		r = sys_ioctl(m->vcpu, KVM_SET_CPUID2, c);
	free(c);
	if (!r)
		r = sys_ioctl(m->vcpu, KVM_GET_SREGS, &s);
	if (r)
		return r;
	s.es = s.ss = s.ds = s.fs = s.gs = data;
	s.cs = code;
	s.tr = tr;
	s.ldt = (struct kvm_segment){ .unusable = 1 };
	s.gdt.base = GDT;
	s.gdt.limit = 0x17;
	s.cr0 = 0x80050033;
	s.cr3 = PML4;
	s.cr4 = 0x620;
	s.efer = 0xd00;
	r = sys_ioctl(m->vcpu, KVM_SET_SREGS, &s);
	return r ?: sys_ioctl(m->vcpu, KVM_SET_REGS, &regs);
}

/* As they were given, with what they held at the snapshot */
static struct {
	uint64_t gpa;
	size_t bytes;
	uint8_t *hva, *copy;
} slots[SLOTS];

static int kvm_region(struct machine *m, unsigned int slot, uint64_t gpa, size_t bytes, void *hva)
{
	struct kvm_userspace_memory_region r = { .slot = slot, .guest_phys_addr = gpa,
		.memory_size = bytes, .userspace_addr = (uint64_t)hva };

	slots[slot].gpa = gpa;
	slots[slot].bytes = bytes;
	slots[slot].hva = hva;
	return sys_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static int kvm_run_to(struct machine *m, unsigned int port)
{
	struct kvm_run *run = m->run;

	for (;;) {
		int r = sys_ioctl(m->vcpu, KVM_RUN, 0);

		if (r == -EINTR)
			continue;
		if (r)
			return r;
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			if (run->io.port == port)
				return 0;
			if (run->io.port == PORT_FAIL || run->io.port == PORT_DONE)
				return -EPROTO;
			break;
		case KVM_EXIT_MMIO:
			break;
		default:
			return -EPROTO;
		}
	}
}

static int kvm_run_exit(struct machine *m)
{
	struct kvm_run *run = m->run;
	int r;

	run->immediate_exit = 1;
	r = sys_ioctl(m->vcpu, KVM_RUN, 0);
	run->immediate_exit = 0;
	return r == -EINTR ? 0 : r ?: -EPROTO;
}

static int kvm_msi(struct machine *m, unsigned int vector)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = vector };
	int r = sys_ioctl(m->vm, KVM_SIGNAL_MSI, &msi);

	return r < 0 ? r : 0;
}

static int kvm_doorbell(struct machine *m, unsigned int port, int fd)
{
	struct kvm_ioeventfd e = { .fd = fd, .addr = port, .len = 2,
				   .flags = KVM_IOEVENTFD_FLAG_PIO };

	return sys_ioctl(m->vm, KVM_IOEVENTFD, &e);
}

static int kvm_track(struct machine *m, unsigned int slot, uint64_t gpa, size_t bytes, void *hva, int on)
{
	struct kvm_userspace_memory_region r = { .slot = slot, .guest_phys_addr = gpa, .memory_size = bytes,
		.userspace_addr = (uint64_t)hva, .flags = on ? KVM_MEM_LOG_DIRTY_PAGES : 0 };

	return sys_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static int kvm_dirty(struct machine *m, unsigned int slot, size_t bytes, uint64_t *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	(void)bytes;
	return sys_ioctl(m->vm, KVM_GET_DIRTY_LOG, &log);
}

static int kvm_rings(struct machine *m)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
				      .args = { RING_ENTRIES * sizeof(struct kvm_dirty_gfn) } };

	return sys_ioctl(m->vm, KVM_ENABLE_CAP, &cap);
}

static int kvm_reset(struct machine *m)
{
	struct kvm_dirty_gfn *entry = m->ring;
	int n = 0, r;

	if (!entry) {
		entry = mmap(NULL, RING_ENTRIES * sizeof(*entry), PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu,
			     KVM_DIRTY_LOG_PAGE_OFFSET * 4096);
		m->ring = entry;
		return entry == MAP_FAILED ? -errno : 0;
	}
	for (;; m->ring_at++, n++) {
		struct kvm_dirty_gfn *e = &entry[m->ring_at % RING_ENTRIES];

		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			break;
		(void)*(volatile __u64 *)&e->offset;
		__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
	r = sys_ioctl(m->vm, KVM_RESET_DIRTY_RINGS, 0);
	return r < 0 ? r : n >= 1000 ? 0 : -EPROTO;
}

/*
 * Roll-back as user space can build it on KVM: the ring says what was written, pages are copied back, and state by the
 * ioctls that there are for it.
 */
static struct {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_clock_data clock;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[16];
	} msrs;
} point;

/* The time-stamp counter and its deadline; what SYSENTER, SYSCALL and SWAPGS use; PAT, and the paravirtual clock. */
static const uint32_t point_msrs[] = {
	0x10, 0x3b, 0x6e0, 0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0x277,
	0x4b564d00, 0x4b564d01,
};

static bool fast_strings;

static int point_ioctls(struct machine *m, int back)
{
	const struct {
		int fd;
		unsigned long get, set;
		void *data;
	} parts[] = {
		{ m->vcpu, KVM_GET_SREGS, KVM_SET_SREGS, &point.sregs },
		{ m->vcpu, KVM_GET_REGS, KVM_SET_REGS, &point.regs },
		{ m->vcpu, KVM_GET_XCRS, KVM_SET_XCRS, &point.xcrs },
		{ m->vcpu, KVM_GET_XSAVE, KVM_SET_XSAVE, &point.xsave },
		{ m->vcpu, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, &point.debugregs },
		{ m->vcpu, KVM_GET_LAPIC, KVM_SET_LAPIC, &point.lapic },
		{ m->vcpu, KVM_GET_MSRS, KVM_SET_MSRS, &point.msrs },
		{ m->vcpu, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, &point.events },
		{ m->vcpu, KVM_GET_MP_STATE, KVM_SET_MP_STATE, &point.mp },
		{ m->vm, KVM_GET_CLOCK, KVM_SET_CLOCK, &point.clock },
	};
	unsigned int i;
	int r;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		r = sys_ioctl(parts[i].fd, back ? parts[i].set : parts[i].get, parts[i].data);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool kernel_has_erms(void)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[4096];
	bool has = false;

	while (file && fgets(line, sizeof(line), file))
		has |= !strncmp(line, "flags", 5) && strstr(line, " erms");
	if (file)
		fclose(file);
	return has;
}

static int kvm_snapshot(struct machine *m)
{
	unsigned int i;
	int r = 0;

	fast_strings = kernel_has_erms();

	for (i = 0; i < SLOTS && !r; i++) {
		/* What the guest does not write to has no part in it. */
		if (!slots[i].bytes || slots[i].gpa == LARGE_GPA)
			continue;
		if (slots[i].copy)
			munmap(slots[i].copy, slots[i].bytes);
		slots[i].copy = mmap(NULL, slots[i].bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (slots[i].copy == MAP_FAILED)
			return -errno;
		/* Behind that there are zeros, in both. */
		memcpy(slots[i].copy, slots[i].hva, slots[i].bytes < COPIED ? slots[i].bytes : COPIED);
		r = kvm_track(m, i, slots[i].gpa, slots[i].bytes, slots[i].hva, 1);
	}
	m->ring = NULL;
	m->ring_at = 0;
	if (!r)
		r = kvm_reset(m);
	for (i = 0; i < sizeof(point_msrs) / sizeof(point_msrs[0]); i++)
		point.msrs.entry[i].index = point_msrs[i];
	point.msrs.head.nmsrs = i;
	return r ?: point_ioctls(m, 0);
}

static int kvm_rollback(struct machine *m)
{
	struct kvm_dirty_gfn *ring = m->ring;
	int r;

	for (;; m->ring_at++) {
		struct kvm_dirty_gfn *e = &ring[m->ring_at % RING_ENTRIES];
		size_t bytes = 4096, words = bytes / 8;
		void *to, *from;

		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			break;
		to = slots[e->slot % SLOTS].hva + (e->offset << 12);
		from = slots[e->slot % SLOTS].copy + (e->offset << 12);
		/* As the kernel does it, so that a copy counts the same on both sides. */
		if (fast_strings)
			asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
		else
			asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
		__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
	r = sys_ioctl(m->vm, KVM_RESET_DIRTY_RINGS, 0);
	return r < 0 ? r : point_ioctls(m, 1);
}

static void kvm_say(struct machine *m)
{
	struct kvm_run *run = m->run;
	struct kvm_regs regs = { 0 };

	sys_ioctl(m->vcpu, KVM_GET_REGS, &regs);
	printf("# exit %u at %#llx, port %#x data %#x\n", run->exit_reason,
	       (unsigned long long)regs.rip, run->io.port,
	       *(unsigned int *)((char *)run + (run->exit_reason == KVM_EXIT_IO ?
						run->io.data_offset : 0)));
}

const struct backend kvm_backend = {
	.name = "kvm",
	.open = kvm_open,
	.vm = kvm_vm,
	.prepare = kvm_prepare,
	.cpu = kvm_cpu,
	.map = kvm_map,
	.registers = kvm_registers,
	.region = kvm_region,
	.run_to = kvm_run_to,
	.run_exit = kvm_run_exit,
	.msi = kvm_msi,
	.doorbell = kvm_doorbell,
	.track = kvm_track,
	.dirty = kvm_dirty,
	.snapshot = kvm_snapshot,
	.rollback = kvm_rollback,
	.rings = kvm_rings,
	.reset = kvm_reset,
	.say = kvm_say,
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The benchmark's back end on /dev/kvm. IOAPIC and 8259 stay out of the kernel
 * ("split irqchip"), as with Vireo, so that the same things are compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/kvm.h>
#include "backend.h"
#include "bench.h"

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

static int kvm_region(struct machine *m, unsigned int slot, uint64_t gpa, size_t bytes, void *hva)
{
	struct kvm_userspace_memory_region r = { .slot = slot, .guest_phys_addr = gpa,
		.memory_size = bytes, .userspace_addr = (uint64_t)hva };

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
	.rings = kvm_rings,
	.reset = kvm_reset,
	.say = kvm_say,
};

// SPDX-License-Identifier: GPL-2.0-only
/* The benchmark's back end on /dev/vireo. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/vireo.h>
#include "backend.h"
#include "bench.h"

static int vireo_open(void)
{
	int fd = open("/dev/vireo", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int vireo_vm(int dev)
{
	struct vireo_vm_config c = { .size = sizeof(c), .name = "bench" };

	return sys_ioctl(dev, VIREO_CREATE_VM, &c);
}

static int vireo_prepare(int vm)
{
	(void)vm;
	return 0;
}

static int vireo_cpu(int vm)
{
	struct vireo_vcpu_config c = { .size = sizeof(c) };

	return sys_ioctl(vm, VIREO_CREATE_VCPU, &c);
}

static int vireo_map(struct machine *m)
{
	m->run_bytes = VIREO_RUN_SIZE;
	m->run = mmap(NULL, m->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	return m->run == MAP_FAILED ? -errno : 0;
}

static int get(int fd, int type, void *payload, unsigned int len)
{
	char buf[4096] __attribute__((aligned(8)));
	struct vireo_state s = { .size = sizeof(s), .types = 1ULL << type, .buf = (uint64_t)buf,
				 .len = sizeof(buf) };
	int r = sys_ioctl(fd, VIREO_GET_STATE, &s);

	if (!r)
		memcpy(payload, buf + sizeof(struct vireo_block), len);
	return r;
}

static int set(int fd, int type, const void *payload, unsigned int len)
{
	char buf[4096] __attribute__((aligned(8))) = { 0 };
	struct vireo_state s = { .size = sizeof(s), .buf = (uint64_t)buf,
				 .len = sizeof(struct vireo_block) + len };
	struct vireo_block *b = (void *)buf;

	*b = (struct vireo_block){ .type = type, .version = 1, .len = len };
	memcpy(b + 1, payload, len);
	return sys_ioctl(fd, VIREO_SET_STATE, &s);
}

static int vireo_registers(struct machine *m)
{
	struct vireo_segment data = { .limit = ~0U, .selector = 0x10, .attr = 0xc093 };
	struct vireo_cpuid_entry e[VIREO_MAX_CPUID];
	struct vireo_cpuid c = { .size = sizeof(c), .count = VIREO_MAX_CPUID,
				 .entries = (uint64_t)e };
	struct vireo_regs regs = { .rip = CODE, .rflags = 2 };
	struct vireo_sregs s;
	unsigned int i;
	int r;

	r = sys_ioctl(m->dev, VIREO_GET_SUPPORTED_CPUID, &c);
	if (!r)
		r = sys_ioctl(m->vcpu, VIREO_SET_CPUID, &c);
	if (!r)
		r = get(m->vcpu, VIREO_BLOCK_SREGS, &s, sizeof(s));
	if (r)
		return r;
	for (i = VIREO_SEG_ES; i <= VIREO_SEG_GS; i++)
		s.seg[i] = data;
	s.seg[VIREO_SEG_CS] = (struct vireo_segment){ .limit = ~0U, .selector = 8, .attr = 0xa09b };
	s.seg[VIREO_SEG_LDTR] = (struct vireo_segment){ .attr = VIREO_SEG_UNUSABLE };
	s.seg[VIREO_SEG_TR] = (struct vireo_segment){ .limit = 0x67, .attr = 0x8b };
	s.gdt.base = GDT;
	s.gdt.limit = 0x17;
	s.cr0 = 0x80050033;
	s.cr3 = PML4;
	s.cr4 = 0x620;
	s.efer = 0xd00;
	regs.gpr[4] = STACK;
	r = set(m->vcpu, VIREO_BLOCK_SREGS, &s, sizeof(s));
	return r ?: set(m->vcpu, VIREO_BLOCK_REGS, &regs, sizeof(regs));
}

static int vireo_region(struct machine *m, unsigned int slot, uint64_t gpa, size_t bytes, void *hva)
{
	struct vireo_region r = { .size = sizeof(r), .slot = slot, .gpa = gpa, .bytes = bytes,
				  .hva = (uint64_t)hva };

	return sys_ioctl(m->vm, VIREO_SET_REGION, &r);
}

static int vireo_run_to(struct machine *m, unsigned int port)
{
	struct vireo_run *run = m->run;

	for (;;) {
		int r = sys_ioctl(m->vcpu, VIREO_RUN, 0);

		/* work for the return to user space, such as a preempted rseq thread's */
		if (r == -EINTR)
			continue;
		if (r)
			return r;
		switch (run->exit_reason) {
		case VIREO_EXIT_IO:
			if (run->io.port == port)
				return 0;
			if (run->io.port == PORT_FAIL || run->io.port == PORT_DONE)
				return -EPROTO;
			break;
		case VIREO_EXIT_MMIO:
			break;
		default:
			return -EPROTO;
		}
	}
}

static int vireo_run_exit(struct machine *m)
{
	struct vireo_run *run = m->run;
	int r;

	run->immediate_exit = 1;
	r = sys_ioctl(m->vcpu, VIREO_RUN, 0);
	run->immediate_exit = 0;
	return r == -EINTR ? 0 : r ?: -EPROTO;
}

static int vireo_msi(struct machine *m, unsigned int vector)
{
	struct vireo_msi msi = { .size = sizeof(msi), .data = vector, .address = 0xfee00000 };
	int r = sys_ioctl(m->vm, VIREO_SEND_MSI, &msi);

	return r < 0 ? r : 0;
}

static int vireo_doorbell(struct machine *m, unsigned int port, int fd)
{
	struct vireo_ioeventfd e = { .size = sizeof(e), .fd = fd, .addr = port, .len = 2,
				     .flags = VIREO_IOEVENTFD_PIO };

	return sys_ioctl(m->vm, VIREO_SET_IOEVENTFD, &e);
}

static int vireo_track(struct machine *m, unsigned int slot, uint64_t gpa, size_t bytes, void *hva, int on)
{
	struct vireo_tracking t = { .size = sizeof(t), .slot = slot, .on = on };

	(void)gpa;
	(void)bytes;
	(void)hva;
	return sys_ioctl(m->vm, VIREO_SET_TRACKING, &t);
}

static int vireo_dirty(struct machine *m, unsigned int slot, size_t bytes, uint64_t *bitmap)
{
	struct vireo_dirty_log log = { .size = sizeof(log), .slot = slot, .pages = bytes >> 12, .bitmap = (uint64_t)bitmap };

	return sys_ioctl(m->vm, VIREO_GET_DIRTY, &log);
}

static int vireo_snapshot(struct machine *m)
{
	struct vireo_snapshot s = { .size = sizeof(s) };

	return sys_ioctl(m->vm, VIREO_SNAPSHOT, &s);
}

static int vireo_rollback(struct machine *m)
{
	struct vireo_snapshot s = { .size = sizeof(s) };

	return sys_ioctl(m->vm, VIREO_ROLLBACK, &s);
}

static int vireo_rings(struct machine *m)
{
	(void)m;
	return 0;
}

static int vireo_reset(struct machine *m)
{
	struct vireo_ring_config config = { .size = sizeof(config), .entries = RING_ENTRIES };
	struct vireo_ring_reset reset = { .size = sizeof(reset) };
	struct vireo_dirty_ring *ring = m->ring;
	volatile uint64_t *entry;
	uint32_t head;
	int r;

	if (!ring) {
		r = sys_ioctl(m->vcpu, VIREO_SET_RING, &config);
		if (r)
			return r;
		ring = mmap(NULL, VIREO_RING_ENTRIES + RING_ENTRIES * sizeof(*entry), PROT_READ | PROT_WRITE,
			    MAP_SHARED, m->vcpu, VIREO_RING_OFFSET(0));
		m->ring = ring;
		return ring == MAP_FAILED ? -errno : 0;
	}
	entry = (uint64_t *)((char *)ring + VIREO_RING_ENTRIES);
	head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	for (; m->ring_at != head; m->ring_at++)
		(void)entry[m->ring_at % RING_ENTRIES];
	__atomic_store_n(&ring->tail, head, __ATOMIC_RELEASE);
	r = sys_ioctl(m->vm, VIREO_RESET_RINGS, &reset);
	return r ?: reset.pages == 1000 ? 0 : -EPROTO;
}

static void vireo_say(struct machine *m)
{
	struct vireo_run *run = m->run;

	printf("# exit %u at %#llx, port %#x gpa %#llx data %#x; code %#llx; %.128s\n",
	       run->exit_reason, (unsigned long long)run->rip, run->io.port,
	       (unsigned long long)run->mmio.gpa, *(unsigned int *)run->io.data,
	       (unsigned long long)run->unknown.code, run->error);
}

const struct backend vireo_backend = {
	.name = "vireo",
	.open = vireo_open,
	.vm = vireo_vm,
	.prepare = vireo_prepare,
	.cpu = vireo_cpu,
	.map = vireo_map,
	.registers = vireo_registers,
	.region = vireo_region,
	.run_to = vireo_run_to,
	.run_exit = vireo_run_exit,
	.msi = vireo_msi,
	.doorbell = vireo_doorbell,
	.snapshot = vireo_snapshot,
	.rollback = vireo_rollback,
	.track = vireo_track,
	.dirty = vireo_dirty,
	.rings = vireo_rings,
	.reset = vireo_reset,
	.say = vireo_say,
};

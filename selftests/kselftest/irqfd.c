// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eventfds that become interrupts: edges, masks, levels with their EOI, changes while signals
 * come in, and every order of ending.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

#define MSI		0xfee00000ULL	/* vCPU 0, physical */
#define EDGE		0x40		/* vectors; each counts at 8 * (vector & 7) + 8 of the data */
#define EDGE2		0x41
#define LEVEL		0x52
#define LEVEL2		0x53
#define LEVEL_DATA(v)	((v) | VIREO_MSI_LEVEL | VIREO_MSI_ASSERT)

/* RSI: 0 lets interrupts in, then OUT, for ever; 1 does nothing with interrupts on; 2 halts */
GUEST(taker, 64,
	"mov $0x1b, %ecx; rdmsr; or $0xc00, %eax; wrmsr\n"	/* x2APIC */
	"mov $0x80f, %ecx; mov $0x1ff, %eax; xor %edx, %edx; wrmsr\n"
	"out %al, $0x10\n"
	"cmp $1, %esi; je 2f; ja 3f\n"
	"1: sti; nop; nop; cli\n"
	"out %al, $0x10\n"
	"jmp 1b\n"
	"2: sti\n"
	"4: incq (%rdi)\n"
	"jmp 4b\n"
	"3: sti; hlt; jmp 3b\n");

#define HANDLER(name, at)								\
GUEST(name, 64,										\
	"push %rax; push %rcx; push %rdx\n"						\
	"incq " #at "(%rdi)\n"								\
	"mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr\n"			\
	"pop %rdx; pop %rcx; pop %rax\n"						\
	"iretq\n")
HANDLER(handler0, 8);
HANDLER(handler1, 16);
HANDLER(handler2, 24);
HANDLER(handler3, 32);

static void gate(struct vt_vm *vm, u8 vector, u64 at, const u8 *code, const u8 *end)
{
	u64 *e = (u64 *)(vm->mem + VT_IDT + 16 * vector);

	vt_load(vm, at, code, end);
	e[0] = (at & 0xffff) | VT_CS64 << 16 | 0x8e00ULL << 32 | (at >> 16 & 0xffff) << 48;
	e[1] = 0;
}

FIXTURE(irqfd) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	volatile u64 *count;		/* by vector & 7 */
	int fd, again;
};

static void prepare(struct vt_vm *vm, struct vt_vcpu *cpu, u64 how)
{
	vt_guest64(vm, cpu, taker, VT_DATA, how);
	gate(vm, EDGE, VT_CODE + 0x400, handler0, handler0_end);
	gate(vm, EDGE2, VT_CODE + 0x500, handler1, handler1_end);
	gate(vm, LEVEL, VT_CODE + 0x600, handler2, handler2_end);
	gate(vm, LEVEL2, VT_CODE + 0x700, handler3, handler3_end);
}

FIXTURE_SETUP(irqfd)
{
	close(vt_open_or_skip());
	prepare(&self->vm, &self->cpu, 0);
	self->count = (u64 *)(self->vm.mem + VT_DATA) + 1;
	self->fd = eventfd(0, EFD_NONBLOCK);
	self->again = eventfd(0, EFD_NONBLOCK);
	ASSERT_GE(vt_run_to_out(&self->cpu, 0x10), 0);
}
FIXTURE_TEARDOWN(irqfd)
{
	close(self->fd);
	close(self->again);
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
}

static int set(int vm, int fd, u32 data, u32 flags, int resample)
{
	struct vireo_irqfd i = {
		.size = sizeof(i), .fd = fd, .address = MSI, .data = data, .flags = flags,
		.resample = resample,
	};

	if (flags & VIREO_IRQFD_REMOVE)
		i.address = 0;
	return vt_ioctl(vm, VIREO_SET_IRQFD, &i);
}

static void ring(int fd)
{
	u64 one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		vt_die("eventfd: %s", strerror(errno));
}

/* what an eventfd holds, taken */
static u64 held(int fd)
{
	u64 count = 0;

	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	return count;
}

/* Let the guest take what it has; the next exit is its own. */
static void step(struct __test_metadata *_metadata, struct vt_vcpu *cpu)
{
	EXPECT_GE(vt_run_to_out(cpu, 0x10), 0);
	EXPECT_GE(vt_run_to_out(cpu, 0x10), 0);
}

TEST_F(irqfd, bad_input)
{
	struct vireo_irqfd good = {
		.size = sizeof(good), .fd = self->fd, .address = MSI, .data = LEVEL_DATA(LEVEL),
		.flags = VIREO_IRQFD_RESAMPLE, .resample = self->again,
	}, i;
	int other = eventfd(0, 0), plain = open("/dev/null", O_RDWR);

#define REFUSED(error, member, value) do {						\
	i = good;									\
	i.member = value;								\
	EXPECT_EQ(error, vt_ioctl(self->vm.fd, VIREO_SET_IRQFD, &i));			\
} while (0)
	REFUSED(-EINVAL, size, 0);
	REFUSED(-EINVAL, size, sizeof(good) - 1);
	REFUSED(-EINVAL, pad, 1);
	REFUSED(-EINVAL, flags, VIREO_IRQFD_RESAMPLE | 8);
	REFUSED(-EINVAL, flags, 0);			/* resample without its flag */
	REFUSED(-EBADF, fd, -1);
	REFUSED(-EBADF, resample, -1);
	REFUSED(-EINVAL, fd, plain);
	REFUSED(-EINVAL, resample, plain);
	REFUSED(-EINVAL, resample, self->fd);
	REFUSED(-EINVAL, data, LEVEL);
	REFUSED(-EINVAL, data, LEVEL | VIREO_MSI_LEVEL);
	REFUSED(-EINVAL, data, LEVEL_DATA(LEVEL) | 0x400);	/* an NMI has no EOI */
	REFUSED(-EINVAL, flags, VIREO_IRQFD_REMOVE);
	EXPECT_EQ(-EFAULT, vt_ioctl(self->vm.fd, VIREO_SET_IRQFD, NULL));
	EXPECT_EQ(-ENOENT, set(self->vm.fd, self->fd, 0, VIREO_IRQFD_REMOVE, 0));
	/* none of them is there */
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(0, self->count[2]);
	EXPECT_EQ(1, held(self->fd));

	ASSERT_EQ(0, vt_ioctl(self->vm.fd, VIREO_SET_IRQFD, &good));
	EXPECT_EQ(-EBUSY, set(self->vm.fd, self->fd, EDGE, 0, 0));
	EXPECT_EQ(-EBUSY, set(self->vm.fd, self->fd, LEVEL_DATA(LEVEL), VIREO_IRQFD_RESAMPLE, other));
	REFUSED(-EINVAL, flags, VIREO_IRQFD_REMOVE | VIREO_IRQFD_MASKED);
	EXPECT_EQ(0, set(self->vm.fd, self->fd, 0, VIREO_IRQFD_REMOVE, 0));
	EXPECT_EQ(-ENOENT, set(self->vm.fd, self->fd, 0, VIREO_IRQFD_REMOVE, 0));
	close(other);
	close(plain);
}

TEST_F(irqfd, edges)
{
	u64 i;

	/* what it holds already counts */
	ring(self->fd);
	ASSERT_EQ(0, set(self->vm.fd, self->fd, EDGE, 0, 0));
	EXPECT_EQ(0, held(self->fd));
	step(_metadata, &self->cpu);
	EXPECT_EQ(1, self->count[0]);
	for (i = 2; i < 50; i++) {
		ring(self->fd);
		EXPECT_EQ(0, held(self->fd));
		step(_metadata, &self->cpu);
		EXPECT_EQ(i, self->count[0]);
	}
	/* two before the guest looks are one, as with any edge */
	ring(self->fd);
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(50, self->count[0]);

	/* another vector */
	ASSERT_EQ(0, set(self->vm.fd, self->fd, EDGE2, 0, 0));
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(50, self->count[0]);
	EXPECT_EQ(1, self->count[1]);

	EXPECT_EQ(0, set(self->vm.fd, self->fd, 0, VIREO_IRQFD_REMOVE, 0));
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(1, self->count[1]);
	EXPECT_EQ(1, held(self->fd));
}

TEST_F(irqfd, mask_keeps_what_is_pending)
{
	struct pollfd p = { .fd = self->fd, .events = POLLIN };

	ASSERT_EQ(0, set(self->vm.fd, self->fd, EDGE, VIREO_IRQFD_MASKED, 0));
	EXPECT_EQ(0, poll(&p, 1, 0));
	ring(self->fd);
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(0, self->count[0]);
	/* the launcher sees it */
	EXPECT_EQ(1, poll(&p, 1, 0));
	/* still masked, with another message: it is that one which comes */
	ASSERT_EQ(0, set(self->vm.fd, self->fd, EDGE2, VIREO_IRQFD_MASKED, 0));
	EXPECT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(0, set(self->vm.fd, self->fd, EDGE2, 0, 0));
	EXPECT_EQ(0, poll(&p, 1, 0));
	step(_metadata, &self->cpu);
	EXPECT_EQ(0, self->count[0]);
	EXPECT_EQ(1, self->count[1]);
	/* the launcher may take it back */
	ASSERT_EQ(0, set(self->vm.fd, self->fd, EDGE2, VIREO_IRQFD_MASKED, 0));
	ring(self->fd);
	EXPECT_EQ(1, held(self->fd));
	ASSERT_EQ(0, set(self->vm.fd, self->fd, EDGE2, 0, 0));
	step(_metadata, &self->cpu);
	EXPECT_EQ(1, self->count[1]);
}

static u64 eoi_exits(struct vt_vcpu *cpu)
{
	struct vireo_stats s = { .size = sizeof(s) };

	if (vt_ioctl(cpu->fd, VIREO_GET_STATS, &s))
		vt_die("VIREO_GET_STATS");
	return s.exits[VIREO_EXIT_EOI];
}

/* The next exit tells the launcher of an EOI of @vector. */
static void expect_eoi(struct __test_metadata *_metadata, struct vt_vcpu *cpu, u32 vector)
{
	EXPECT_EQ(0, vt_run_exit(cpu));
	ASSERT_EQ(VIREO_EXIT_EOI, cpu->run->exit_reason);
	EXPECT_EQ(1ULL << vector % 64, cpu->run->eoi.vectors[vector / 64]);
}

TEST_F(irqfd, level)
{
	u32 i;

	ASSERT_EQ(0, set(self->vm.fd, self->fd, LEVEL_DATA(LEVEL), VIREO_IRQFD_RESAMPLE, self->again));
	for (i = 1; i < 20; i++) {
		ring(self->fd);
		EXPECT_EQ(0, held(self->again));
		/* the line is known to be up */
		ring(self->fd);
		step(_metadata, &self->cpu);
		EXPECT_EQ(i, self->count[2]);
		EXPECT_EQ(1, held(self->again));
	}
	EXPECT_EQ(0, eoi_exits(&self->cpu));
	/* an EOI of another vector is none of its business */
	ring(self->fd);
	EXPECT_EQ(0, set(self->vm.fd, self->fd, LEVEL_DATA(LEVEL), VIREO_IRQFD_RESAMPLE | VIREO_IRQFD_MASKED,
			 self->again));
	EXPECT_EQ(0, held(self->again));
	step(_metadata, &self->cpu);
	EXPECT_EQ(20, self->count[2]);
	/* masked meanwhile: the EOI is told all the same */
	EXPECT_EQ(1, held(self->again));
}

TEST_F(irqfd, level_beside_send_msi)
{
	struct vireo_msi m = { .size = sizeof(m), .address = MSI, .data = LEVEL_DATA(LEVEL) };

	ASSERT_EQ(0, set(self->vm.fd, self->fd, LEVEL_DATA(LEVEL), VIREO_IRQFD_RESAMPLE, self->again));
	/* the launcher's own: no irqfd waits */
	ASSERT_EQ(1, vt_ioctl(self->vm.fd, VIREO_SEND_MSI, &m));
	expect_eoi(_metadata, &self->cpu, LEVEL);
	EXPECT_EQ(0, held(self->again));
	/* both: both are told */
	step(_metadata, &self->cpu);
	ring(self->fd);
	ASSERT_EQ(1, vt_ioctl(self->vm.fd, VIREO_SEND_MSI, &m));
	expect_eoi(_metadata, &self->cpu, LEVEL);
	EXPECT_EQ(1, held(self->again));
	/* and afterwards the irqfd is alone again */
	step(_metadata, &self->cpu);
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(1, held(self->again));
	EXPECT_EQ(2, eoi_exits(&self->cpu));
}

TEST_F(irqfd, level_changes_its_vector)
{
	/* with its EOI due, another vector: the line is to be looked at, the old EOI is the launcher's */
	ASSERT_EQ(0, set(self->vm.fd, self->fd, LEVEL_DATA(LEVEL), VIREO_IRQFD_RESAMPLE, self->again));
	ring(self->fd);
	ASSERT_EQ(0, set(self->vm.fd, self->fd, LEVEL_DATA(LEVEL2), VIREO_IRQFD_RESAMPLE, self->again));
	EXPECT_EQ(1, held(self->again));
	expect_eoi(_metadata, &self->cpu, LEVEL);
	step(_metadata, &self->cpu);
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(1, self->count[2]);
	EXPECT_EQ(1, self->count[3]);
	EXPECT_EQ(1, held(self->again));

	/* removed and added: nothing is waited for */
	ring(self->fd);
	ASSERT_EQ(0, set(self->vm.fd, self->fd, 0, VIREO_IRQFD_REMOVE, 0));
	EXPECT_EQ(0, held(self->again));
	ASSERT_EQ(0, set(self->vm.fd, self->fd, LEVEL_DATA(LEVEL), VIREO_IRQFD_RESAMPLE, self->again));
	expect_eoi(_metadata, &self->cpu, LEVEL2);
	step(_metadata, &self->cpu);
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(2, self->count[2]);
	EXPECT_EQ(1, held(self->again));
}

/* Two lines on one vector, as two pins of an IOAPIC may be. */
TEST_F(irqfd, level_shared_vector)
{
	int fd = eventfd(0, EFD_NONBLOCK), again = eventfd(0, EFD_NONBLOCK);

	ASSERT_EQ(0, set(self->vm.fd, self->fd, LEVEL_DATA(LEVEL), VIREO_IRQFD_RESAMPLE, self->again));
	ASSERT_EQ(0, set(self->vm.fd, fd, LEVEL_DATA(LEVEL), VIREO_IRQFD_RESAMPLE, again));
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(1, held(self->again));
	EXPECT_EQ(0, held(again));
	ring(fd);
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(1, held(self->again));
	EXPECT_EQ(1, held(again));
	EXPECT_EQ(0, eoi_exits(&self->cpu));
	close(fd);
	close(again);
}

/* Nobody takes the message: no EOI will come, and the line is not stuck for it. */
TEST_F(irqfd, level_not_taken)
{
	struct vireo_irqfd i = {
		.size = sizeof(i), .fd = self->fd, .address = MSI | 5 << 12, .data = LEVEL_DATA(LEVEL),
		.flags = VIREO_IRQFD_RESAMPLE, .resample = self->again,
	};

	ASSERT_EQ(0, vt_ioctl(self->vm.fd, VIREO_SET_IRQFD, &i));
	ring(self->fd);
	i.address = MSI;
	ASSERT_EQ(0, vt_ioctl(self->vm.fd, VIREO_SET_IRQFD, &i));
	ring(self->fd);
	step(_metadata, &self->cpu);
	EXPECT_EQ(1, self->count[2]);
	EXPECT_EQ(1, held(self->again));
}

TEST_F(irqfd, limit)
{
	struct rlimit files = { 4096, 4096 };
	int fds[64], many[1025], i, n;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	/* as many as a VM may have; descriptors of one eventfd are one entry */
	for (i = 0; i < 64; i++)
		fds[i] = eventfd(0, 0);
	for (n = 0; n < 1025; n++) {
		many[n] = eventfd(0, 0);
		ASSERT_GE(many[n], 0);
	}
	for (i = 0; i < n; i++) {
		int r = set(self->vm.fd, many[i], EDGE, 0, 0);

		EXPECT_EQ(i < 1024 ? 0 : -ENOSPC, r);
	}
	for (i = 0; i < n; i++)
		close(many[i]);
	/* closed: gone */
	for (i = 0; i < 64; i++)
		EXPECT_EQ(0, set(self->vm.fd, fds[i], EDGE, 0, 0));
	i = dup(fds[0]);
	EXPECT_EQ(0, set(self->vm.fd, i, EDGE2, 0, 0));
	close(fds[0]);
	ring(i);
	step(_metadata, &self->cpu);
	EXPECT_EQ(1, self->count[1]);
	close(i);
	for (i = 1; i < 64; i++)
		close(fds[i]);
}

/* --- while the guest runs and others signal ------------------------------------------------------ */

static volatile bool stop;

static void *run_it(void *arg)
{
	struct vt_vcpu *cpu = arg;
	int r;

	do
		r = vt_run(cpu);
	while (!stop && (r == -EINTR || !r));
	return (void *)(long)(r == -EINTR ? 0 : r);
}

struct change {
	int vm, fd;
};

static void *change_it(void *arg)
{
	struct change *c = arg;
	u32 i;

	for (i = 0; !stop; i++)
		if (set(c->vm, c->fd, i & 1 ? EDGE : EDGE2, i & 2 ? VIREO_IRQFD_MASKED : 0, 0))
			return (void *)1;
	return NULL;
}

/* Every signal arrives, whatever is done to the entry meanwhile. */
static void storm(struct __test_metadata *_metadata, u64 how, bool change)
{
	u64 end = vt_now_ns() + 20000000000ULL;
	pthread_t runner, changer;
	volatile u64 *count;
	struct vt_vcpu cpu;
	struct change c;
	struct vt_vm vm;
	void *result;
	u64 i, last;

	prepare(&vm, &cpu, how);
	count = (u64 *)(vm.mem + VT_DATA) + 1;
	ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
	c = (struct change){ .vm = vm.fd, .fd = eventfd(0, EFD_NONBLOCK) };
	ASSERT_EQ(0, set(vm.fd, c.fd, EDGE, 0, 0));
	stop = false;
	ASSERT_EQ(0, pthread_create(&runner, NULL, run_it, &cpu));
	if (change)
		ASSERT_EQ(0, pthread_create(&changer, NULL, change_it, &c));
	for (i = 0; i < 300 && vt_now_ns() < end; i++) {
		last = count[0] + count[1];
		ring(c.fd);
		while (count[0] + count[1] == last && vt_now_ns() < end)
			usleep(1);
		if (count[0] + count[1] == last)
			break;
	}
	TH_LOG("%llu signals, %llu and %llu interrupts", (unsigned long long)i,
	       (unsigned long long)count[0], (unsigned long long)count[1]);
	EXPECT_LT(vt_now_ns(), end);
	stop = true;
	vt_kick(&cpu);
	pthread_join(runner, &result);
	EXPECT_EQ(NULL, result);
	if (change) {
		pthread_join(changer, &result);
		EXPECT_EQ(NULL, result);
	}
	close(c.fd);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST_F_TIMEOUT(irqfd, running_guest, 60) { storm(_metadata, 1, false); }
TEST_F_TIMEOUT(irqfd, halted_guest, 60) { storm(_metadata, 2, false); }
TEST_F_TIMEOUT(irqfd, running_guest_changes, 60) { storm(_metadata, 1, true); }
TEST_F_TIMEOUT(irqfd, halted_guest_changes, 60) { storm(_metadata, 2, true); }

static void *signal_it(void *arg)
{
	int fd = *(int *)arg;

	while (!stop)
		ring(fd);
	return NULL;
}

/* The VM, the eventfd, the second eventfd and the vCPU go in every order while signals come in. */
TEST_F_TIMEOUT(irqfd, every_order_of_ending, 60)
{
	int round, i;

	for (round = 0; round < 24; round++) {
		int fd = eventfd(0, EFD_NONBLOCK), again = eventfd(0, EFD_NONBLOCK), mine = dup(fd);
		int order[4] = { 0, 1, 2, 3 }, n = round;
		struct vt_vcpu cpu;
		struct vt_vm vm;
		pthread_t t;

		for (i = 3; i > 0; i--) {
			int j = n % (i + 1), x = order[i];

			n /= i + 1;
			order[i] = order[j];
			order[j] = x;
		}
		prepare(&vm, &cpu, 0);
		ASSERT_GE(vt_run_to_out(&cpu, 0x10), 0);
		ASSERT_EQ(0, set(vm.fd, fd, LEVEL_DATA(LEVEL), VIREO_IRQFD_RESAMPLE, again));
		stop = false;
		ASSERT_EQ(0, pthread_create(&t, NULL, signal_it, &mine));
		step(_metadata, &cpu);
		for (i = 0; i < 4; i++) {
			switch (order[i]) {
			case 0: close(fd); break;
			case 1: close(again); break;
			case 2: vt_vm_close(&vm); break;
			case 3: vt_vcpu_close(&cpu); break;
			}
			usleep(100);
		}
		stop = true;
		pthread_join(t, NULL);
		close(mine);
	}
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every ioctl with good and bad input: sizes, flags, padding, pointers, each errno that
 * vireo.h documents, and that a refused call has changed nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

/*
 * How every structure must behave, whatever it means: @good is an argument that the
 * call accepts (with the result @result), @bytes its size.
 */
static void check_sizes(struct __test_metadata *_metadata, int fd, unsigned long request,
			const void *good, u32 bytes, u32 least, bool repeatable)
{
	u8 *buf = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *end = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u32 *size = (u32 *)buf;

	ASSERT_NE(MAP_FAILED, buf);
	ASSERT_EQ(0, munmap(end + 4096, 4096));

	memcpy(buf, good, bytes);
	*size = 0;
	EXPECT_EQ(-EINVAL, vt_ioctl(fd, request, buf));
	*size = 4;
	EXPECT_EQ(-EINVAL, vt_ioctl(fd, request, buf));
	*size = least - 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(fd, request, buf));
	/* longer, with something in what the module does not know */
	*size = bytes + 8;
	buf[bytes + 3] = 1;
	EXPECT_EQ(-E2BIG, vt_ioctl(fd, request, buf));
	buf[bytes + 3] = 0;
	*size = 0xffffffff;
	EXPECT_LT(vt_ioctl(fd, request, buf), 0);
	*size = 1 << 20;
	EXPECT_LT(vt_ioctl(fd, request, buf), 0);
	/* pointers */
	EXPECT_EQ(-EFAULT, vt_ioctl(fd, request, NULL));
	EXPECT_EQ(-EFAULT, vt_ioctl(fd, request, (void *)0xffff800000000000UL));
	EXPECT_EQ(-EFAULT, vt_ioctl(fd, request, end + 4096));
	*(u32 *)(end + 4092) = bytes;
	EXPECT_EQ(-EFAULT, vt_ioctl(fd, request, end + 4092));
	if (repeatable) {
		int r;

		memcpy(buf, good, bytes);
		r = vt_ioctl(fd, request, buf);
		EXPECT_GE(r, 0);
		/* longer, the tail zero: the same */
		memcpy(buf, good, bytes);
		memset(buf + bytes, 0, 64);
		*size = bytes + 64;
		EXPECT_GE(vt_ioctl(fd, request, buf), 0);
	}
	munmap(buf, 8192);
	munmap(end, 4096);
}

TEST(info)
{
	struct vireo_info i = { .size = sizeof(i) }, j;
	int dev = vt_open_or_skip();

	check_sizes(_metadata, dev, VIREO_GET_INFO, &i, sizeof(i), 8, true);
	memset(&i, 0xff, sizeof(i));
	i.size = sizeof(i);
	memset((char *)&i + 4, 0, sizeof(i) - 4);
	ASSERT_EQ(0, vt_ioctl(dev, VIREO_GET_INFO, &i));
	EXPECT_EQ(sizeof(i), i.size);
	EXPECT_EQ(VIREO_ABI_VERSION, i.abi);
	EXPECT_TRUE(i.vendor == VIREO_VENDOR_INTEL || i.vendor == VIREO_VENDOR_AMD);
	EXPECT_GE(i.phys_bits, 36);
	EXPECT_LE(i.phys_bits, 52);
	EXPECT_EQ(0, i.features & i.missing);
	EXPECT_EQ(((1ULL << VIREO_BLOCK_NR) - 1) & ~1ULL, i.blocks);
	EXPECT_EQ(VIREO_MAX_VCPUS, i.max_vcpus);
	EXPECT_EQ(VIREO_MAX_REGIONS, i.max_regions);
	EXPECT_EQ(VIREO_RUN_SIZE, i.run_size);
	EXPECT_GT(i.tsc_khz, 1000);
	EXPECT_LT(strnlen(i.version, sizeof(i.version)), sizeof(i.version));
	EXPECT_GT(strlen(i.version), 0);
	j = (struct vireo_info){ .size = sizeof(j) };
	ASSERT_EQ(0, vt_ioctl(dev, VIREO_GET_INFO, &j));
	EXPECT_EQ(0, memcmp(&i, &j, sizeof(i)));
	close(dev);
}

TEST(unknown_ioctls)
{
	int dev = vt_open_or_skip(), vm = vt_vm_fd(dev, "t"), cpu = vt_vcpu_fd(vm, 0);
	u32 nr, refused = 0;
	char buf[256] = { 0 };

	ASSERT_GE(cpu, 0);
	for (nr = 0; nr < 256; nr++) {
		/* nothing with this direction is known to any of the files */
		EXPECT_EQ(-ENOTTY, vt_ioctl(dev, _IOC(_IOC_READ, VIREO_IOC, nr, 3), buf));
		EXPECT_EQ(-ENOTTY, vt_ioctl(vm, _IOC(_IOC_READ, VIREO_IOC, nr, 3), buf));
		EXPECT_EQ(-ENOTTY, vt_ioctl(cpu, _IOC(_IOC_READ, VIREO_IOC, nr, 3), buf));
		refused++;
	}
	EXPECT_EQ(256, refused);
	/* each call belongs to one kind of file */
	EXPECT_EQ(-ENOTTY, vt_ioctl(dev, VIREO_RUN, NULL));
	EXPECT_EQ(-ENOTTY, vt_ioctl(vm, VIREO_RUN, NULL));
	EXPECT_EQ(-ENOTTY, vt_ioctl(dev, VIREO_SET_REGION, buf));
	EXPECT_EQ(-ENOTTY, vt_ioctl(cpu, VIREO_SET_REGION, buf));
	EXPECT_EQ(-ENOTTY, vt_ioctl(vm, VIREO_CREATE_VM, buf));
	EXPECT_EQ(-ENOTTY, vt_ioctl(cpu, VIREO_CREATE_VCPU, buf));
	EXPECT_EQ(-ENOTTY, vt_ioctl(dev, VIREO_GET_STATE, buf));
	EXPECT_EQ(-ENOTTY, vt_ioctl(vm, VIREO_KICK, NULL));
	close(cpu);
	close(vm);
	close(dev);
}

/* Structures grow, and so do the numbers of calls: programs built before know the shorter ones. */
TEST(older_programs)
{
	const u32 bytes = offsetof(struct vireo_stats, interpreted);
	struct vireo_stats s = { .size = bytes, .interpreted = 42 };
	struct vt_vcpu cpu;
	struct vt_vm vm;

	close(vt_open_or_skip());
	vt_vm_create(&vm, VT_MEMORY);
	vt_vcpu_create(&vm, &cpu, 0);
	EXPECT_EQ(0, vt_ioctl(cpu.fd, _IOC(_IOC_READ | _IOC_WRITE, VIREO_IOC, _IOC_NR(VIREO_GET_STATS), bytes), &s));
	EXPECT_EQ(bytes, s.size);
	EXPECT_EQ(42, s.interpreted);
	/* nothing is taken for a call without an argument */
	EXPECT_EQ(-ENOTTY, vt_ioctl(cpu.fd, _IOC(_IOC_NONE, VIREO_IOC, _IOC_NR(VIREO_KICK), 8), NULL));
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(no_data_ioctls)
{
	struct vt_vcpu cpu;
	struct vt_vm vm;

	close(vt_open_or_skip());
	vt_vm_create(&vm, VT_MEMORY);
	vt_vcpu_create(&vm, &cpu, 0);
	/* calls without an argument take none */
	EXPECT_EQ(-EINVAL, vt_ioctl(cpu.fd, VIREO_RUN, (void *)1));
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(create_vm)
{
	struct vireo_vm_config c = { .size = sizeof(c), .name = "abi" };
	int dev = vt_open_or_skip(), fd;
	long before, after;

	fd = vt_ioctl(dev, VIREO_CREATE_VM, &c);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	close(fd);
	before = dup(dev);
	close(before);
	check_sizes(_metadata, dev, VIREO_CREATE_VM, &c, sizeof(c), sizeof(c), false);
	c.pad = 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(dev, VIREO_CREATE_VM, &c));
	c.pad = 0;
	c.flags = 1ULL << 63;
	EXPECT_EQ(-EINVAL, vt_ioctl(dev, VIREO_CREATE_VM, &c));
	c.flags = 4;
	EXPECT_EQ(-EINVAL, vt_ioctl(dev, VIREO_CREATE_VM, &c));
	c.flags = 0;
	memset(c.name, 'x', sizeof(c.name));
	EXPECT_EQ(-EINVAL, vt_ioctl(dev, VIREO_CREATE_VM, &c));
	/* no descriptor leaked by any of those */
	after = dup(dev);
	EXPECT_EQ(before, after);
	close(after);
	c.name[31] = 0;
	fd = vt_ioctl(dev, VIREO_CREATE_VM, &c);
	EXPECT_GE(fd, 0);
	close(fd);
	c.name[0] = 0;
	c.flags = VIREO_VM_REPORT_MSRS;
	fd = vt_ioctl(dev, VIREO_CREATE_VM, &c);
	EXPECT_GE(fd, 0);
	close(fd);
	close(dev);
}

TEST(create_vcpu)
{
	struct vireo_vcpu_config c = { .size = sizeof(c) };
	int dev = vt_open_or_skip(), vm = vt_vm_fd(dev, "abi"), fds[VIREO_MAX_VCPUS];
	u32 i;

	check_sizes(_metadata, vm, VIREO_CREATE_VCPU, &c, sizeof(c), sizeof(c), false);
	c.flags = 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm, VIREO_CREATE_VCPU, &c));
	c.flags = 0;
	c.id = VIREO_MAX_VCPUS;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm, VIREO_CREATE_VCPU, &c));
	c.id = 0xffffffff;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm, VIREO_CREATE_VCPU, &c));
	for (i = 0; i < VIREO_MAX_VCPUS; i++) {
		fds[i] = vt_vcpu_fd(vm, VIREO_MAX_VCPUS - 1 - i);
		EXPECT_GE(fds[i], 0);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fds[i], F_GETFD));
	}
	for (i = 0; i < VIREO_MAX_VCPUS; i++)
		EXPECT_EQ(-EEXIST, vt_vcpu_fd(vm, i));
	for (i = 0; i < VIREO_MAX_VCPUS; i++)
		close(fds[i]);
	close(vm);
	close(dev);
}

TEST(map_vcpu)
{
	int dev = vt_open_or_skip(), vm = vt_vm_fd(dev, "abi"), cpu = vt_vcpu_fd(vm, 0);
	struct vireo_run *a, *b;
	void *p;

	ASSERT_GE(cpu, 0);
	a = mmap(NULL, VIREO_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	ASSERT_NE(MAP_FAILED, a);
	b = mmap(NULL, VIREO_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	ASSERT_NE(MAP_FAILED, b);
	a->wants = 0x12345678;
	EXPECT_EQ(0x12345678, b->wants);
	p = mmap(NULL, 2 * VIREO_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	EXPECT_EQ(MAP_FAILED, p);
	p = mmap(NULL, VIREO_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 4096);
	EXPECT_EQ(MAP_FAILED, p);
	p = mmap(NULL, VIREO_RUN_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, cpu, 0);
	if (p != MAP_FAILED)
		TH_LOG("the shared page can be mapped executable");
	p = mmap(NULL, VIREO_RUN_SIZE, PROT_READ, MAP_SHARED, vm, 0);
	EXPECT_EQ(MAP_FAILED, p);
	p = mmap(NULL, VIREO_RUN_SIZE, PROT_READ, MAP_SHARED, dev, 0);
	EXPECT_EQ(MAP_FAILED, p);
	/* outlives the descriptors */
	close(cpu);
	close(vm);
	close(dev);
	a->wants = 0x55;
	EXPECT_EQ(0x55, b->wants);
	munmap(a, VIREO_RUN_SIZE);
	EXPECT_EQ(0x55, b->wants);
	munmap(b, VIREO_RUN_SIZE);
}

TEST(read_write_calls)
{
	int dev = vt_open_or_skip(), vm = vt_vm_fd(dev, "abi"), cpu = vt_vcpu_fd(vm, 0);
	char c;

	EXPECT_EQ(-1, read(dev, &c, 1));
	EXPECT_EQ(-1, read(vm, &c, 1));
	EXPECT_EQ(-1, read(cpu, &c, 1));
	EXPECT_EQ(-1, write(dev, &c, 1));
	EXPECT_EQ(-1, write(vm, &c, 1));
	EXPECT_EQ(-1, write(cpu, &c, 1));
	close(cpu);
	close(vm);
	close(dev);
}

TEST(supported_cpuid)
{
	int dev = vt_open_or_skip();
	struct vireo_cpuid_entry *e;
	struct vireo_cpuid c = { .size = sizeof(c) };
	u32 n, i, hypervisor = 0;

	/* room for nothing: the number, and -ENOSPC */
	EXPECT_EQ(-ENOSPC, vt_ioctl(dev, VIREO_GET_SUPPORTED_CPUID, &c));
	EXPECT_GT(c.count, 5);
	EXPECT_LE(c.count, VIREO_MAX_CPUID);
	e = vt_cpuid_table(dev, &n);
	EXPECT_EQ(c.count, n);
	for (i = 0; i < n; i++) {
		EXPECT_EQ(0, e[i].pad);
		EXPECT_EQ(0, e[i].flags & ~VIREO_CPUID_SUBLEAF);
		if (e[i].leaf == 1)
			EXPECT_TRUE(e[i].ecx & 1U << 31);
		if (e[i].leaf == 0x40000000)
			hypervisor = e[i].ebx;
	}
	EXPECT_NE(0, hypervisor);
	c.count = n - 1;
	c.entries = (u64)e;
	EXPECT_EQ(-ENOSPC, vt_ioctl(dev, VIREO_GET_SUPPORTED_CPUID, &c));
	EXPECT_EQ(n, c.count);
	c.count = VIREO_MAX_CPUID;
	c.entries = 8;
	EXPECT_EQ(-EFAULT, vt_ioctl(dev, VIREO_GET_SUPPORTED_CPUID, &c));
	c.entries = (u64)e;
	c.count = VIREO_MAX_CPUID;
	check_sizes(_metadata, dev, VIREO_GET_SUPPORTED_CPUID, &c, sizeof(c), sizeof(c), true);
	free(e);
	close(dev);
}

TEST(vcpu_cpuid)
{
	int dev = vt_open_or_skip(), vm = vt_vm_fd(dev, "abi"), cpu = vt_vcpu_fd(vm, 3);
	struct vireo_cpuid_entry *e, got[VIREO_MAX_CPUID], more[VIREO_MAX_CPUID + 1] = { 0 };
	struct vireo_cpuid c = { .size = sizeof(c) }, g = { .size = sizeof(g) };
	u32 n, i, changed = 0;

	e = vt_cpuid_table(dev, &n);
	c.count = n;
	c.entries = (u64)e;
	check_sizes(_metadata, cpu, VIREO_SET_CPUID, &c, sizeof(c), sizeof(c), true);
	ASSERT_EQ(0, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
	g.count = VIREO_MAX_CPUID;
	g.entries = (u64)got;
	ASSERT_EQ(0, vt_ioctl(cpu, VIREO_GET_CPUID, &g));
	EXPECT_EQ(n, g.count);
	for (i = 0; i < n; i++)
		if (got[i].leaf == 1)
			EXPECT_EQ(3, got[i].ebx >> 24);

	/* every bit that is not offered in the feature leaves is refused, one at a time */
	for (i = 0; i < n; i++) {
		u32 *reg, k;
		int bit;

		if (e[i].leaf != 1 && e[i].leaf != 7 && e[i].leaf != 0x80000001)
			continue;
		for (k = 0; k < 3; k++) {
			reg = k == 0 ? &e[i].ebx : k == 1 ? &e[i].ecx : &e[i].edx;
			if (e[i].leaf == 1 && k == 0)
				continue;
			if (e[i].leaf == 0x80000001 && k == 0)
				continue;
			for (bit = 0; bit < 32; bit++) {
				if (*reg & 1U << bit)
					continue;
				/* OSXSAVE, OSPKE follow the vCPU's state */
				if ((e[i].leaf == 1 && k == 1 && bit == 27) ||
				    (e[i].leaf == 7 && k == 1 && bit == 4))
					continue;
				*reg |= 1U << bit;
				if (vt_ioctl(cpu, VIREO_SET_CPUID, &c) != -EINVAL) {
					TH_LOG("leaf %#x.%u register %u bit %d was taken", e[i].leaf,
					       e[i].subleaf, k, bit);
					changed++;
				}
				*reg &= ~(1U << bit);
			}
		}
	}
	EXPECT_EQ(0, changed);
	/* and none of those calls changed the table */
	{
		struct vireo_cpuid_entry again[VIREO_MAX_CPUID];

		g.count = VIREO_MAX_CPUID;
		g.entries = (u64)again;
		ASSERT_EQ(0, vt_ioctl(cpu, VIREO_GET_CPUID, &g));
		EXPECT_EQ(n, g.count);
		EXPECT_EQ(0, memcmp(again, got, n * sizeof(*e)));
	}
	/* nor by a leaf that is not offered, or an entry that would answer for all subleaves */
	memcpy(more, e, n * sizeof(*e));
	c.entries = (u64)more;
	for (i = 0; i < n; i++) {
		if (e[i].leaf == 7 && !e[i].subleaf) {
			more[i].flags = 0;
			EXPECT_EQ(-EINVAL, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
			more[i] = e[i];
		}
		if (e[i].leaf == 0xa || e[i].leaf == 5) {
			more[i].eax = 0x07300402;
			EXPECT_EQ(-EINVAL, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
			more[i] = e[i];
		}
	}
	more[n] = (struct vireo_cpuid_entry) { .leaf = 0x8000000a, .eax = 1 };
	c.count = n + 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
	/* but what only describes may be added */
	more[n] = (struct vireo_cpuid_entry) { .leaf = 0x40000010, .eax = 1000000 };
	EXPECT_EQ(0, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
	memset(more, 0, sizeof(more));
	c.count = n;
	c.entries = (u64)e;
	/* malformed entries */
	e[1].pad = 1;
	EXPECT_EQ(-EINVAL, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
	e[1].pad = 0;
	e[1].flags |= 1U << 31;
	EXPECT_EQ(-EINVAL, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
	e[1].flags &= ~(1U << 31);
	c.count = VIREO_MAX_CPUID + 1;
	c.entries = (u64)more;
	EXPECT_LT(vt_ioctl(cpu, VIREO_SET_CPUID, &c), 0);
	c.count = n;
	c.entries = 4096;
	EXPECT_EQ(-EFAULT, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
	c.count = 0xffffffff;
	EXPECT_LT(vt_ioctl(cpu, VIREO_SET_CPUID, &c), 0);
	/* duplicates */
	memcpy(more, e, n * sizeof(*e));
	more[n] = more[0];
	c.count = n + 1;
	c.entries = (u64)more;
	if (n < VIREO_MAX_CPUID)
		EXPECT_EQ(-EINVAL, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
	/* fewer features are fine */
	for (i = 0; i < n; i++)
		if (e[i].leaf == 1)
			e[i].ecx &= ~(1U << 21);	/* x2APIC */
	c.count = n;
	c.entries = (u64)e;
	EXPECT_EQ(0, vt_ioctl(cpu, VIREO_SET_CPUID, &c));
	free(e);
	close(cpu);
	close(vm);
	close(dev);
}

GUEST(out_once, 64, "out %al, $0x10\n hlt");

TEST(cpuid_after_run)
{
	struct vireo_cpuid c = { .size = sizeof(c) };
	struct vireo_cpuid_entry *e;
	struct vt_vcpu cpu;
	struct vt_vm vm;

	close(vt_open_or_skip());
	vt_guest64(&vm, &cpu, out_once, 0, 0);
	e = vt_cpuid_table(vm.dev, &c.count);
	c.entries = (u64)e;
	EXPECT_EQ(0, vt_ioctl(cpu.fd, VIREO_SET_CPUID, &c));
	EXPECT_GE(vt_run_to_out(&cpu, 0x10), 0);
	EXPECT_EQ(-EBUSY, vt_ioctl(cpu.fd, VIREO_SET_CPUID, &c));
	free(e);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(msr_list)
{
	struct vireo_msr_list l = { .size = sizeof(l) };
	u32 list[1024], n, i, j;
	int dev = vt_open_or_skip();

	EXPECT_EQ(-ENOSPC, vt_ioctl(dev, VIREO_GET_MSR_LIST, &l));
	n = l.count;
	EXPECT_GT(n, 5);
	EXPECT_LE(n, VIREO_MAX_MSRS);
	l.count = 1024;
	l.indices = (u64)list;
	EXPECT_EQ(0, vt_ioctl(dev, VIREO_GET_MSR_LIST, &l));
	EXPECT_EQ(n, l.count);
	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++)
			EXPECT_NE(list[i], list[j]);
	l.count = 1024;
	check_sizes(_metadata, dev, VIREO_GET_MSR_LIST, &l, sizeof(l), sizeof(l), true);
	l.size = sizeof(l);
	l.count = 1024;
	l.indices = 1;
	EXPECT_EQ(-EFAULT, vt_ioctl(dev, VIREO_GET_MSR_LIST, &l));
	close(dev);
}

TEST(msi)
{
	struct vireo_msi m = { .size = sizeof(m), .data = 0x41, .address = 0xfee00000 };
	struct vt_vcpu cpu;
	struct vt_vm vm;

	close(vt_open_or_skip());
	vt_vm_create(&vm, VT_MEMORY);
	/* nobody there yet */
	EXPECT_EQ(0, vt_ioctl(vm.fd, VIREO_SEND_MSI, &m));
	vt_vcpu_create(&vm, &cpu, 0);
	check_sizes(_metadata, vm.fd, VIREO_SEND_MSI, &m, sizeof(m), sizeof(m), true);
	/* the APIC is software-disabled after reset: it takes no fixed interrupts */
	EXPECT_EQ(0, vt_ioctl(vm.fd, VIREO_SEND_MSI, &m));
	/* another destination */
	m.address = 0xfee05000;
	EXPECT_EQ(0, vt_ioctl(vm.fd, VIREO_SEND_MSI, &m));
	/* an address that is no MSI */
	m.address = 0x12345678;
	EXPECT_LE(vt_ioctl(vm.fd, VIREO_SEND_MSI, &m), 0);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

GUEST(ring_bell, 64,
	"mov $0x500, %edx\n"
	"mov $0x1234, %eax\n"
	"out %ax, %dx\n"
	"mov $0x77, %eax\n"
	"out %ax, %dx\n"		/* does not match */
	"mov $0xd0000000, %ebx\n"
	"mov %eax, (%rbx)\n"
	"mov %al, (%rbx)\n"
	"out %al, $0x10\n"
	"hlt\n");

TEST(ioeventfd)
{
	struct vireo_ioeventfd e = { .size = sizeof(e) }, e2;
	int port, mem, plain;
	struct vt_vcpu cpu;
	struct vt_vm vm;
	u64 count;

	close(vt_open_or_skip());
	vt_guest64(&vm, &cpu, ring_bell, 0, 0);
	port = eventfd(0, EFD_NONBLOCK);
	mem = eventfd(0, EFD_NONBLOCK);
	plain = open("/dev/null", O_RDWR);
	e.fd = port;
	e.addr = 0x500;
	e.len = 2;
	e.match = 0x1234;
	e.flags = VIREO_IOEVENTFD_PIO | VIREO_IOEVENTFD_MATCH;
	check_sizes(_metadata, vm.fd, VIREO_SET_IOEVENTFD, &e, sizeof(e), sizeof(e), false);
	ASSERT_EQ(0, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e));
	EXPECT_EQ(-EEXIST, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e));
	e2 = e;
	e2.fd = plain;
	e2.addr = 0x600;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));
	e2.fd = -1;
	EXPECT_EQ(-EBADF, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));
	e2 = e;
	e2.len = 3;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));
	e2.len = 8;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));
	e2.len = 0;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));
	e2 = e;
	e2.addr = 0x10000;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));
	e2 = e;
	e2.flags |= 1U << 30;
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));
	e2 = e;
	e2.match = 0x10000;	/* wider than the access */
	EXPECT_EQ(-EINVAL, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));
	e2 = e;
	e2.match = 1;
	e2.flags |= VIREO_IOEVENTFD_REMOVE;
	EXPECT_EQ(-ENOENT, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));
	e2 = (struct vireo_ioeventfd){ .size = sizeof(e2), .fd = mem, .addr = 0xd0000000 };
	EXPECT_EQ(0, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e2));

	/* the one that matches is silent, the other exits */
	ASSERT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(VIREO_EXIT_IO, cpu.run->exit_reason);
	EXPECT_EQ(0x77, vt_out_value(cpu.run));
	EXPECT_EQ(8, read(port, &count, 8));
	EXPECT_EQ(1, count);
	EXPECT_GE(vt_run_to_out(&cpu, 0x10), 0);
	EXPECT_EQ(8, read(mem, &count, 8));
	EXPECT_EQ(2, count);
	EXPECT_EQ(-1, read(port, &count, 8));

	e.flags |= VIREO_IOEVENTFD_REMOVE;
	EXPECT_EQ(0, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e));
	EXPECT_EQ(-ENOENT, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e));
	e.flags &= ~VIREO_IOEVENTFD_REMOVE;
	EXPECT_EQ(0, vt_ioctl(vm.fd, VIREO_SET_IOEVENTFD, &e));
	vt_long_mode(&vm, &cpu, VT_CODE, 0, 0);
	/* the descriptor may go first */
	close(port);
	close(mem);
	close(plain);
	ASSERT_EQ(0, vt_run_exit(&cpu));
	EXPECT_EQ(0x77, vt_out_value(cpu.run));
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(translate)
{
	struct vireo_translation t = { .size = sizeof(t), .gva = VT_CODE };
	struct vt_vcpu cpu;
	struct vt_vm vm;
	u64 e;

	close(vt_open_or_skip());
	vt_guest64(&vm, &cpu, out_once, 0, 0);
	check_sizes(_metadata, cpu.fd, VIREO_TRANSLATE, &t, sizeof(t), 16, true);
	ASSERT_EQ(0, vt_ioctl(cpu.fd, VIREO_TRANSLATE, &t));
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(VT_CODE, t.gpa);
	EXPECT_EQ(1, t.writable);
	EXPECT_EQ(1, t.user);
	EXPECT_EQ(1, t.executable);
	/* take rights away in the guest's tables */
	e = 0x00000000000000a1ULL | 1ULL << 63;
	memcpy(vm.mem + VT_PD + 8, &e, 8);	/* 2 MiB: read-only, supervisor, no execute, at 0 */
	t = (struct vireo_translation){ .size = sizeof(t), .gva = 0x212345 };
	ASSERT_EQ(0, vt_ioctl(cpu.fd, VIREO_TRANSLATE, &t));
	EXPECT_EQ(1, t.valid);
	EXPECT_EQ(0x12345, t.gpa);
	EXPECT_EQ(0, t.writable);
	EXPECT_EQ(0, t.user);
	EXPECT_EQ(0, t.executable);
	t = (struct vireo_translation){ .size = sizeof(t), .gva = 5ULL << 32 };
	ASSERT_EQ(0, vt_ioctl(cpu.fd, VIREO_TRANSLATE, &t));
	EXPECT_EQ(0, t.valid);
	t = (struct vireo_translation){ .size = sizeof(t), .gva = 1ULL << 62 };
	ASSERT_EQ(0, vt_ioctl(cpu.fd, VIREO_TRANSLATE, &t));
	EXPECT_EQ(0, t.valid);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST(stats)
{
	struct vireo_stats s = { .size = sizeof(s) };
	struct vt_vcpu cpu;
	struct vt_vm vm;

	close(vt_open_or_skip());
	vt_guest64(&vm, &cpu, out_once, 0, 0);
	ASSERT_EQ(0, vt_ioctl(cpu.fd, VIREO_GET_STATS, &s));
	EXPECT_EQ(0, s.entries);
	EXPECT_EQ(0, s.user_exits);
	EXPECT_GE(vt_run_to_out(&cpu, 0x10), 0);
	s = (struct vireo_stats){ .size = sizeof(s) };
	ASSERT_EQ(0, vt_ioctl(cpu.fd, VIREO_GET_STATS, &s));
	EXPECT_GE(s.entries, 1);
	EXPECT_GE(s.user_exits, 1);
	EXPECT_EQ(1, s.exits[VIREO_EXIT_IO]);
	EXPECT_GE(s.faults, 1);
	vt_vcpu_close(&cpu);
	vt_vm_close(&vm);
}

TEST_HARNESS_MAIN

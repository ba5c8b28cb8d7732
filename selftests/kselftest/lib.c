// SPDX-License-Identifier: GPL-2.0-only
/* What the programs here share; see lib.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "lib.h"

#define SKIP_STATUS 4	/* KSFT_SKIP */

void vt_die(const char *fmt, ...)
{
	va_list args;

	printf("# fatal: ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	exit(1);
}

int vt_ioctl(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

int vt_open(void)
{
	int fd = open("/dev/vireo", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vt_open_or_skip(void)
{
	int fd = vt_open();

	if (fd == -ENOENT) {
		printf("1..0 # SKIP no /dev/vireo\n");
		exit(SKIP_STATUS);
	}
	if (fd < 0)
		vt_die("/dev/vireo: %s", strerror(-fd));
	return fd;
}

int vt_vm_fd(int dev, const char *name)
{
	struct vireo_vm_config c = { .size = sizeof(c) };

	strncpy(c.name, name, sizeof(c.name) - 1);
	return vt_ioctl(dev, VIREO_CREATE_VM, &c);
}

void vt_vm_create(struct vt_vm *vm, size_t bytes)
{
	int r;

	vm->dev = vt_open();
	if (vm->dev < 0)
		vt_die("/dev/vireo: %s", strerror(-vm->dev));
	vm->fd = vt_vm_fd(vm->dev, "test");
	if (vm->fd < 0)
		vt_die("VIREO_CREATE_VM: %s", strerror(-vm->fd));
	vm->bytes = bytes;
	vm->mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm->mem == MAP_FAILED)
		vt_die("mmap of %zu bytes: %s", bytes, strerror(errno));
	r = vt_region(vm->fd, 0, 0, bytes, vm->mem, 0);
	if (r)
		vt_die("VIREO_SET_REGION: %s", strerror(-r));
}

void vt_vm_close(struct vt_vm *vm)
{
	close(vm->fd);
	close(vm->dev);
	munmap(vm->mem, vm->bytes);
}

int vt_region(int vm, u32 slot, u64 gpa, u64 bytes, const void *hva, u64 flags)
{
	struct vireo_region r = {
		.size = sizeof(r), .slot = slot, .flags = flags,
		.gpa = gpa, .bytes = bytes, .hva = (u64)hva,
	};

	return vt_ioctl(vm, VIREO_SET_REGION, &r);
}

int vt_region_delete(int vm, u32 slot)
{
	struct vireo_region r = { .size = sizeof(r), .slot = slot };

	return vt_ioctl(vm, VIREO_DEL_REGION, &r);
}

int vt_vcpu_fd(int vm, u32 id)
{
	struct vireo_vcpu_config c = { .size = sizeof(c), .id = id };

	return vt_ioctl(vm, VIREO_CREATE_VCPU, &c);
}

void vt_vcpu_create(struct vt_vm *vm, struct vt_vcpu *cpu, u32 id)
{
	cpu->id = id;
	cpu->fd = vt_vcpu_fd(vm->fd, id);
	if (cpu->fd < 0)
		vt_die("VIREO_CREATE_VCPU %u: %s", id, strerror(-cpu->fd));
	cpu->run = mmap(NULL, VIREO_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	if (cpu->run == MAP_FAILED)
		vt_die("mmap of vCPU %u: %s", id, strerror(errno));
	vt_cpuid_all(vm->dev, cpu->fd);
}

void vt_vcpu_close(struct vt_vcpu *cpu)
{
	munmap(cpu->run, VIREO_RUN_SIZE);
	close(cpu->fd);
}

int vt_get(int fd, u16 type, void *payload, u32 len)
{
	struct vireo_block *block = calloc(1, sizeof(*block) + len + 8);
	struct vireo_state s = {
		.size = sizeof(s), .types = 1ULL << type,
		.buf = (u64)block, .len = sizeof(*block) + len,
	};
	int r;

	/* An MSR block that asks for particular MSRs carries their indexes. */
	if (type == VIREO_BLOCK_MSRS) {
		*block = (struct vireo_block){ .type = type, .version = 1, .len = len };
		memcpy(block + 1, payload, len);
	}
	r = vt_ioctl(fd, VIREO_GET_STATE, &s);
	if (!r && (block->type != type || block->len > len))
		r = -EPROTO;
	if (!r)
		memcpy(payload, block + 1, block->len);
	free(block);
	return r;
}

int vt_set(int fd, u16 type, const void *payload, u32 len)
{
	struct vireo_block *block = calloc(1, sizeof(*block) + len + 8);
	struct vireo_state s = {
		.size = sizeof(s), .buf = (u64)block, .len = sizeof(*block) + len,
	};
	int r;

	*block = (struct vireo_block){ .type = type, .version = 1, .len = len };
	memcpy(block + 1, payload, len);
	r = vt_ioctl(fd, VIREO_SET_STATE, &s);
	free(block);
	return r;
}

int vt_get_msr(int fd, u32 index, u64 *data)
{
	struct vireo_msr msr = { .index = index };
	int r = vt_get(fd, VIREO_BLOCK_MSRS, &msr, sizeof(msr));

	*data = msr.data;
	return r;
}

int vt_set_msr(int fd, u32 index, u64 data)
{
	struct vireo_msr msr = { .index = index, .data = data };

	return vt_set(fd, VIREO_BLOCK_MSRS, &msr, sizeof(msr));
}

struct vireo_cpuid_entry *vt_cpuid_table(int dev, u32 *count)
{
	struct vireo_cpuid_entry *e = calloc(VIREO_MAX_CPUID, sizeof(*e));
	struct vireo_cpuid c = {
		.size = sizeof(c), .count = VIREO_MAX_CPUID, .entries = (u64)e,
	};
	int r = vt_ioctl(dev, VIREO_GET_SUPPORTED_CPUID, &c);

	if (r)
		vt_die("VIREO_GET_SUPPORTED_CPUID: %s", strerror(-r));
	*count = c.count;
	return e;
}

void vt_cpuid_all(int dev, int vcpu)
{
	struct vireo_cpuid c = { .size = sizeof(c) };
	struct vireo_cpuid_entry *e = vt_cpuid_table(dev, &c.count);
	int r;

	c.entries = (u64)e;
	r = vt_ioctl(vcpu, VIREO_SET_CPUID, &c);
	if (r)
		vt_die("VIREO_SET_CPUID of what the module offers: %s", strerror(-r));
	free(e);
}

void vt_load(struct vt_vm *vm, u64 gpa, const u8 *code, const u8 *end)
{
	if (gpa + (size_t)(end - code) > vm->bytes)
		vt_die("guest code does not fit");
	memcpy(vm->mem + gpa, code, end - code);
}

void vt_real_mode(struct vt_vcpu *cpu, u32 address)
{
	struct vireo_regs regs = { .rip = address & 0xf, .rflags = 2 };
	struct vireo_sregs sregs;
	int r = vt_get(cpu->fd, VIREO_BLOCK_SREGS, &sregs, sizeof(sregs));

	if (r)
		vt_die("GET_STATE of system registers: %s", strerror(-r));
	sregs.seg[VIREO_SEG_CS].selector = address >> 4;
	sregs.seg[VIREO_SEG_CS].base = address & ~0xfU;
	regs.gpr[4] = 0x7000;
	r = vt_set(cpu->fd, VIREO_BLOCK_SREGS, &sregs, sizeof(sregs));
	if (r)
		vt_die("SET_STATE of system registers: %s", strerror(-r));
	r = vt_set(cpu->fd, VIREO_BLOCK_REGS, &regs, sizeof(regs));
	if (r)
		vt_die("SET_STATE of registers: %s", strerror(-r));
}

static void put64(struct vt_vm *vm, u64 gpa, u64 value)
{
	memcpy(vm->mem + gpa, &value, sizeof(value));
}

void vt_tables(struct vt_vm *vm)
{
	unsigned int i;

	put64(vm, VT_PML4, VT_PDPT | 7);
	for (i = 0; i < 4; i++)
		put64(vm, VT_PDPT + 8 * i, (VT_PD + 0x1000 * i) | 7);
	for (i = 0; i < 2048; i++)
		put64(vm, VT_PD + 8 * i, ((u64)i << 21) | 0xe7);
	put64(vm, VT_GDT + VT_CS64, 0x00af9b000000ffffULL);
	put64(vm, VT_GDT + VT_DS, 0x00cf93000000ffffULL);
}

void vt_long_mode(struct vt_vm *vm, struct vt_vcpu *cpu, u64 rip, u64 rdi, u64 rsi)
{
	struct vireo_segment data = { .limit = ~0U, .selector = VT_DS, .attr = 0xc093 };
	struct vireo_regs regs = { .rip = rip, .rflags = 2 };
	struct vireo_events events;
	struct vireo_sregs s;
	unsigned int i;
	int r = vt_get(cpu->fd, VIREO_BLOCK_SREGS, &s, sizeof(s));

	(void)vm;
	if (r)
		vt_die("GET_STATE of system registers: %s", strerror(-r));
	for (i = VIREO_SEG_ES; i <= VIREO_SEG_GS; i++)
		s.seg[i] = data;
	s.seg[VIREO_SEG_CS] = (struct vireo_segment){
		.limit = ~0U, .selector = VT_CS64, .attr = 0xa09b };
	s.seg[VIREO_SEG_LDTR] = (struct vireo_segment){ .attr = VIREO_SEG_UNUSABLE };
	s.seg[VIREO_SEG_TR] = (struct vireo_segment){ .limit = 0x67, .attr = 0x8b };
	s.gdt.base = VT_GDT;
	s.gdt.limit = 0x17;
	s.idt.base = VT_IDT;
	s.idt.limit = 0xfff;
	s.cr0 = 0x80050033;	/* PG AM WP NE ET MP PE */
	s.cr3 = VT_PML4;
	s.cr4 = 0x620;		/* OSXMMEXCPT OSFXSR PAE */
	s.efer = 0xd00;		/* NXE LMA LME */
	regs.gpr[4] = VT_STACK(cpu->id);
	regs.gpr[7] = rdi;
	regs.gpr[6] = rsi;
	r = vt_set(cpu->fd, VIREO_BLOCK_SREGS, &s, sizeof(s));
	if (r)
		vt_die("SET_STATE of system registers for long mode: %s", strerror(-r));
	r = vt_set(cpu->fd, VIREO_BLOCK_REGS, &regs, sizeof(regs));
	if (r)
		vt_die("SET_STATE of registers: %s", strerror(-r));
	/* All but the first wait for a SIPI. */
	r = vt_get(cpu->fd, VIREO_BLOCK_EVENTS, &events, sizeof(events));
	events.mp_state = VIREO_MP_RUNNABLE;
	if (!r)
		r = vt_set(cpu->fd, VIREO_BLOCK_EVENTS, &events, sizeof(events));
	if (r)
		vt_die("events of a vCPU that is to run: %s", strerror(-r));
}

int vt_run(struct vt_vcpu *cpu)
{
	return vt_ioctl(cpu->fd, VIREO_RUN, NULL);
}

int vt_run_exit(struct vt_vcpu *cpu)
{
	int r;

	do {
		r = vt_run(cpu);
	} while (r == -EINTR);
	return r;
}

int vt_kick(struct vt_vcpu *cpu)
{
	return vt_ioctl(cpu->fd, VIREO_KICK, NULL);
}

u64 vt_out_value(const struct vireo_run *run)
{
	u64 value = 0;

	memcpy(&value, run->io.data, run->io.unit <= 4 ? run->io.unit : 4);
	return value;
}

long vt_run_to_out(struct vt_vcpu *cpu, u16 port)
{
	for (;;) {
		int r = vt_run(cpu);

		if (r == -EINTR)
			continue;
		if (r)
			return r;
		if (cpu->run->exit_reason == VIREO_EXIT_KICK)
			continue;
		if (cpu->run->exit_reason == VIREO_EXIT_IO && cpu->run->io.write &&
		    cpu->run->io.port == port)
			return vt_out_value(cpu->run);
		vt_dump(cpu);
		return -EPROTO;
	}
}

static const char *const reasons[VIREO_EXIT_REASON_NR] = {
#define R(x) [VIREO_EXIT_##x] = #x
	R(NONE), R(EXCEPTION), R(INTR), R(NMI), R(MCE), R(IRQ_WINDOW), R(NMI_WINDOW), R(CPUID),
	R(HLT), R(HYPERCALL), R(RDMSR), R(WRMSR), R(IO), R(CR), R(DR), R(MEMORY), R(MMIO_CACHED),
	R(DESCRIPTOR), R(TASK_SWITCH), R(XSETBV), R(RDTSC), R(RDPMC), R(INVLPG), R(INVD),
	R(WBINVD), R(MONITOR), R(MWAIT), R(PAUSE), R(UNDEFINED), R(TIMER), R(SHUTDOWN), R(INIT),
	R(SIPI), R(SMI), R(INVALID_STATE), R(UNKNOWN), R(MMIO), R(EOI), R(SIGNAL), R(KICK),
	R(READY_FOR_IRQ), R(EMULATION), R(INTERNAL_ERROR),
#undef R
};

const char *vt_reason(u32 reason)
{
	if (reason >= VIREO_EXIT_REASON_NR || !reasons[reason])
		return "?";
	return reasons[reason];
}

void vt_dump(struct vt_vcpu *cpu)
{
	struct vireo_run *run = cpu->run;
	struct vireo_sregs s;
	struct vireo_regs r;
	unsigned int i;

	printf("# vCPU %u: exit %u (%s) at rip %#llx flags %#x\n", cpu->id, run->exit_reason,
	       vt_reason(run->exit_reason), (unsigned long long)run->rip, run->flags);
	switch (run->exit_reason) {
	case VIREO_EXIT_IO:
		printf("#   port %#x %s unit %u count %u\n", run->io.port,
		       run->io.write ? "out" : "in", run->io.unit, run->io.count);
		break;
	case VIREO_EXIT_MMIO:
		printf("#   gpa %#llx %s len %u\n", (unsigned long long)run->mmio.gpa,
		       run->mmio.write ? "write" : "read", run->mmio.len);
		break;
	case VIREO_EXIT_RDMSR:
	case VIREO_EXIT_WRMSR:
		printf("#   msr %#x data %#llx\n", run->msr.index, (unsigned long long)run->msr.data);
		break;
	case VIREO_EXIT_EMULATION:
		printf("#   insn");
		for (i = 0; i < 15; i++)
			printf(" %02x", run->insn[i]);
		printf("\n");
		/* fall through */
	default:
		printf("#   code %#llx info %#llx %#llx %#llx %#llx error \"%.128s\"\n",
		       (unsigned long long)run->unknown.code,
		       (unsigned long long)run->unknown.info[0], (unsigned long long)run->unknown.info[1],
		       (unsigned long long)run->unknown.info[2], (unsigned long long)run->unknown.info[3],
		       run->error);
	}
	if (!vt_get(cpu->fd, VIREO_BLOCK_REGS, &r, sizeof(r))) {
		for (i = 0; i < 16; i++)
			printf("%s r%-2u %016llx", i % 4 ? "" : "#  ", i, (unsigned long long)r.gpr[i]),
			printf("%s", i % 4 == 3 ? "\n" : "");
		printf("#   rip %016llx rflags %08llx\n", (unsigned long long)r.rip,
		       (unsigned long long)r.rflags);
	}
	if (!vt_get(cpu->fd, VIREO_BLOCK_SREGS, &s, sizeof(s)))
		printf("#   cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx cs %x:%llx/%x attr %x\n",
		       (unsigned long long)s.cr0, (unsigned long long)s.cr2,
		       (unsigned long long)s.cr3, (unsigned long long)s.cr4,
		       (unsigned long long)s.efer, s.seg[VIREO_SEG_CS].selector,
		       (unsigned long long)s.seg[VIREO_SEG_CS].base, s.seg[VIREO_SEG_CS].limit,
		       s.seg[VIREO_SEG_CS].attr);
	fflush(stdout);
}

static volatile sig_atomic_t alarms;

static void nothing(int signal)
{
	alarms += signal == SIGALRM;
}

void vt_catch(int signal)
{
	/* No SA_RESTART: the point is to see VIREO_RUN return. */
	struct sigaction sa = { .sa_handler = nothing };

	sigaction(signal, &sa, NULL);
}

void vt_alarm(unsigned int ms)
{
	struct itimerval it = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

	vt_catch(SIGALRM);
	setitimer(ITIMER_REAL, &it, NULL);
}

int vt_run_for(struct vt_vcpu *cpu, unsigned int ms)
{
	sig_atomic_t before = alarms;
	int r;

	vt_alarm(ms);
	do {
		r = vt_run(cpu);
	} while (r == -EINTR && alarms == before);
	return r;
}

u64 vt_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

unsigned int vt_times(unsigned int n)
{
	return getenv("VT_LONG") ? 5 * n : n;
}

/* As the program was started: a lab may keep CPUs to itself. */
static cpu_set_t vt_allowed;

__attribute__((constructor)) static void vt_find_cpus(void)
{
	if (sched_getaffinity(0, sizeof(vt_allowed), &vt_allowed))
		CPU_SET(0, &vt_allowed);
}

int vt_cpus(void)
{
	return CPU_COUNT(&vt_allowed);
}

int vt_cpu(int n)
{
	int cpu = 0;

	while (!CPU_ISSET(cpu, &vt_allowed) || n--)
		cpu++;
	return cpu;
}

void vt_pin_thread(pthread_t thread, int n)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(vt_cpu(n), &set);
	pthread_setaffinity_np(thread, sizeof(set), &set);
}

void vt_unpin_thread(pthread_t thread)
{
	pthread_setaffinity_np(thread, sizeof(vt_allowed), &vt_allowed);
}

void vt_pin(int n)
{
	vt_pin_thread(pthread_self(), n);
}

bool vt_model(const char *name)
{
	char line[256];
	bool is = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && !is && fgets(line, sizeof(line), f))
		is = !strncmp(line, "model name", 10) && strstr(line, name);
	if (f)
		fclose(f);
	return is;
}

int vt_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

long vt_read_file_long(const char *path)
{
	FILE *f = fopen(path, "re");
	long value = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

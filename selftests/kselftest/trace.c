// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints: what they tell is what the module counts, and what the guest knows that it has done; in a tracing instance of its own, and
 * as a counter of perf.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "kselftest_harness.h"
#include "lib.h"

#define TRACING		"/sys/kernel/tracing"
#define INSTANCE	TRACING "/instances/vireo-test"
#define EVENTS		TRACING "/events/vireo"
#define NAME		"traced"
#define NOBODY_MSR	0x1234

/* As many as each loop below is long */
#define CPUIDS		700
#define CALLS		300
#define READS		200
#define WRITES		100
#define UNKNOWN		7
#define PAGES		60
#define OUTS		20

#define STR(x)		#x
#define STRING(x)	STR(x)
#define LOOP(n, body)	"mov $" STRING(n) ", %r8d\n 1: " body "; dec %r8d; jnz 1b\n"

/* RSI: 1 for VMCALL, 0 for VMMCALL. RDI: a page, and more behind it, that nobody has touched */
GUEST(known, 64,
	LOOP(CPUIDS, "xor %eax, %eax; cpuid")
	"test %esi, %esi\n"
	"jz 2f\n"
	LOOP(CALLS, "mov $1, %eax; mov $0x77, %ebx; vmcall")
	"jmp 3f\n"
	"2: " LOOP(CALLS, "mov $1, %eax; mov $0x77, %ebx; vmmcall")
	"3: " LOOP(READS, "mov $0x1b, %ecx; rdmsr")
	LOOP(WRITES, "mov $0x1a0, %ecx; mov $1, %eax; xor %edx, %edx; wrmsr")
	LOOP(PAGES, "incb (%rdi); add $65536, %rdi")
	LOOP(OUTS, "out %al, $0x10")
	"xor %ecx, %ecx\n"
	/* XCR0 as it is, if there is one; CR4.OSXSAVE */
	"xor %eax, %eax\n"
	"mov %cr4, %rbx\n"
	"bt $18, %ebx\n"
	"jnc 4f\n"
	"xgetbv\n"
	"4: out %eax, $0x11\n"
	"hlt");

/* #GP goes to a handler that skips the instruction: two bytes */
GUEST(unknown, 64,
	LOOP(UNKNOWN, "mov $" STRING(NOBODY_MSR) ", %ecx; rdmsr")
	"out %al, $0x11\n"
	"hlt");
GUEST(skip, 64, "add $8, %rsp; addq $2, (%rsp); iretq");

/* x2APIC mode, and its spurious-interrupt register; then the interrupt that is sent is taken */
GUEST(apic, 64,
	"mov $0x1b, %ecx\n mov $0xfee00d00, %eax\n xor %edx, %edx\n wrmsr\n"
	"mov $0x80f, %ecx\n mov $0x1ff, %eax\n xor %edx, %edx\n wrmsr\n"
	"out %al, $0x10\n"
	"sti\n nop\n"
	"out %al, $0x11\n"
	"hlt");
GUEST(ack, 64, "iretq");

static const char *const names[VIREO_EXIT_REASON_NR] = {
#define ROW(reason, name) [reason] = name,
	VIREO_EXIT_NAMES(ROW)
#undef ROW
};

/* What the instance has recorded */
static char *text;

static void write_or_die(const char *path, const char *value)
{
	int r = vt_write_file(path, value);

	if (r)
		vt_die("%s: %s", path, strerror(-r));
}

static void read_trace(void)
{
	size_t room = 32 << 20, len = 0;
	int fd = open(INSTANCE "/trace", O_RDONLY);
	ssize_t n;

	free(text);
	text = malloc(room);
	if (fd < 0 || !text)
		vt_die("the trace cannot be read: %s", strerror(errno));
	while ((n = read(fd, text + len, room - len - 1)) > 0)
		len += n;
	text[len] = '\0';
	close(fd);
}

/* Lines of an event of the guest that have all of these words; NULL at their end */
static unsigned int lines(const char *event, ...)
{
	char head[64], line[512];
	unsigned int n = 0;
	const char *at, *end, *word;
	va_list words;

	snprintf(head, sizeof(head), ": vireo_%s: vm=" NAME " ", event);
	for (at = text; (end = strchr(at, '\n')); at = end + 1) {
		/* With a blank behind the last word, too */
		snprintf(line, sizeof(line), "%.*s ", (int)(end - at), at);
		if (!strstr(line, head))
			continue;
		va_start(words, event);
		do {
			word = va_arg(words, const char *);
		} while (word && strstr(line, word));
		va_end(words);
		n += !word;
	}
	return n;
}

#define LINES(...) lines(__VA_ARGS__, NULL)

static void begin(void)
{
	write_or_die(INSTANCE "/trace", "");
	write_or_die(INSTANCE "/events/vireo/enable", "1");
	write_or_die(INSTANCE "/tracing_on", "1");
}

static void end(void)
{
	write_or_die(INSTANCE "/tracing_on", "0");
	write_or_die(INSTANCE "/events/vireo/enable", "0");
	read_trace();
}

/* One that counts a tracepoint of this thread */
static int perf_counter(const char *event, const char *filter)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .disabled = 1 };
	char path[128];
	int fd;

	snprintf(path, sizeof(path), EVENTS "/%s/id", event);
	attr.config = vt_read_file_long(path);
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		vt_die("perf_event_open: %s", strerror(errno));
	if (ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		vt_die("a filter of perf: %s", strerror(errno));
	return fd;
}

static u64 counted(int fd)
{
	u64 n = ~0ULL;

	if (read(fd, &n, sizeof(n)) != sizeof(n))
		n = ~0ULL;
	close(fd);
	return n;
}

FIXTURE(trace) {
	struct vt_vm vm;
	struct vt_vcpu cpu;
	struct vireo_info info;
};
FIXTURE_SETUP(trace)
{
	int dev = vt_open_or_skip();

	self->info.size = sizeof(self->info);
	ASSERT_EQ(0, vt_ioctl(dev, VIREO_GET_INFO, &self->info));
	close(dev);
	if (access(EVENTS, F_OK))
		SKIP(return, "no tracefs with events there");
	rmdir(INSTANCE);
	ASSERT_EQ(0, mkdir(INSTANCE, 0700));
	write_or_die(INSTANCE "/buffer_size_kb", "8192");
}
FIXTURE_TEARDOWN(trace)
{
	vt_vcpu_close(&self->cpu);
	vt_vm_close(&self->vm);
	rmdir(INSTANCE);
}

/* As vt_guest64(), with another name */
static void make(FIXTURE_DATA(trace) *self, const u8 *code, const u8 *code_end, u64 rdi, u64 rsi)
{
	struct vt_vm *vm = &self->vm;

	vt_vm_create(vm, 8UL << 20);
	close(vm->fd);
	vm->fd = vt_vm_fd(vm->dev, NAME);
	if (vm->fd < 0 || vt_region(vm->fd, 0, 0, vm->bytes, vm->mem, 0))
		vt_die("no VM");
	vt_vcpu_create(vm, &self->cpu, 0);
	vt_load(vm, VT_CODE, code, code_end);
	vt_tables(vm);
	vt_long_mode(vm, &self->cpu, VT_CODE, rdi, rsi);
}

#define MAKE(code, rdi, rsi) make(self, code, code##_end, rdi, rsi)

/* An interrupt gate to code there; @ist is 0 */
static void gate(struct vt_vm *vm, unsigned int vector, u64 handler, const u8 *code, const u8 *code_end)
{
	u64 low = (handler & 0xffff) | VT_CS64 << 16 | 0x8e00ULL << 32 | (handler >> 16 & 0xffff) << 48;

	memcpy(vm->mem + VT_IDT + vector * 16, &low, sizeof(low));
	vt_load(vm, handler, code, code_end);
}

static long run_to(struct vt_vcpu *cpu, u16 port)
{
	for (;;) {
		int r = vt_run_exit(cpu);

		if (r)
			return r;
		if (cpu->run->exit_reason != VIREO_EXIT_IO) {
			vt_dump(cpu);
			return -EPROTO;
		}
		if (cpu->run->io.port == port)
			return vt_out_value(cpu->run);
	}
}

TEST_F(trace, counts)
{
	struct vireo_stats stats = { .size = sizeof(stats) };
	unsigned int reason, hardware = 0;
	bool intel = self->info.vendor == VIREO_VENDOR_INTEL;
	struct vireo_sregs sregs;
	char word[64];
	int perf;

	MAKE(known, 1UL << 20, intel);
	/* If it can have one, XCR0 is not the host's: those who look have the host's all the same. */
	ASSERT_EQ(0, vt_get(self->cpu.fd, VIREO_BLOCK_SREGS, &sregs, sizeof(sregs)));
	sregs.cr4 |= 1 << 18;
	sregs.xcr0 = 1;
	if (vt_set(self->cpu.fd, VIREO_BLOCK_SREGS, &sregs, sizeof(sregs)))
		sregs.xcr0 = 0;
	perf = perf_counter("vireo_exit", "vm == \"" NAME "\" && reason == 7");
	begin();
	EXPECT_EQ(sregs.xcr0, run_to(&self->cpu, 0x11));
	end();
	ASSERT_EQ(0, vt_ioctl(self->cpu.fd, VIREO_GET_STATS, &stats));

	for (reason = 0; reason < VIREO_EXIT_HARDWARE_NR; reason++) {
		ASSERT_NE(NULL, names[reason]);
		snprintf(word, sizeof(word), " reason=%s ", names[reason]);
		EXPECT_EQ(stats.exits[reason], LINES("exit", word))
			TH_LOG("%s", names[reason]);
		hardware += stats.exits[reason];
	}
	EXPECT_EQ(stats.entries, hardware);
	EXPECT_EQ(stats.entries, LINES("exit", " vcpu=0 "));
	EXPECT_EQ(stats.entries, LINES("entry", " vcpu=0 "));
	EXPECT_EQ(stats.injected, LINES("inject"));
	/* And what the guest knows */
	EXPECT_EQ(CPUIDS, LINES("exit", " reason=cpuid "));
	EXPECT_EQ(CPUIDS, LINES("exit", " reason=cpuid ", " info=0x0 "));
	EXPECT_EQ(VIREO_EXIT_CPUID, 7);
	EXPECT_EQ(CPUIDS, counted(perf));
	EXPECT_EQ(CALLS, LINES("exit", " reason=hypercall "));
	EXPECT_EQ(CALLS, LINES("hypercall", " nr=0x1 ", "args=0x77,"));
	EXPECT_EQ(READS, LINES("msr", " read ", " index=0x1b ", " error=0 "));
	EXPECT_EQ(WRITES, LINES("msr", " write ", " index=0x1a0 ", " data=0x1 ", " error=0 "));
	EXPECT_EQ(READS, LINES("exit", " reason=rdmsr ", " info=0x1b "));
	EXPECT_EQ(WRITES, LINES("exit", " reason=wrmsr ", " info=0x1a0 "));
	EXPECT_EQ(OUTS, LINES("exit", " reason=io ", " info=0x10 "));
	EXPECT_EQ(1, LINES("exit", " reason=io ", " info=0x11 "));
	/* Each fault is fixed once, however often it was looked at. */
	if (self->info.features & VIREO_FEATURE_NESTED_PAGING) {
		EXPECT_EQ(stats.exits[VIREO_EXIT_MEMORY], LINES("page_fault", " result=fixed "));
		EXPECT_LE(PAGES, LINES("page_fault", " access=write", " result=fixed "));
		/* Or twice: for reading, and for writing */
		EXPECT_LE(1, LINES("page_fault", " gpa=0x100000 ", " result=fixed "));
	} else {
		EXPECT_LE(PAGES, LINES("shadow_fault", " result=fixed "));
	}
}

TEST_F(trace, refused)
{
	MAKE(unknown, 0, 0);
	gate(&self->vm, 13, VT_DATA, skip, skip_end);
	begin();
	EXPECT_LE(0, run_to(&self->cpu, 0x11));
	end();
	EXPECT_EQ(UNKNOWN, LINES("msr", " read ", " index=0x1234 ", " error=-2 "));
	/* One whose delivery meets a page that is not there yet, is injected once more. */
	EXPECT_LE(UNKNOWN, LINES("inject", " type=exception ", " vector=0xd ", " has_error=1 "));
}

TEST_F(trace, interrupts)
{
	struct vireo_msi msi = { .size = sizeof(msi), .address = 0xfee00000, .data = 0x41 };

	MAKE(apic, 0, 0);
	gate(&self->vm, 0x41, VT_DATA, ack, ack_end);
	begin();
	EXPECT_LE(0, run_to(&self->cpu, 0x10));
	EXPECT_EQ(1, vt_ioctl(self->vm.fd, VIREO_SEND_MSI, &msi));
	EXPECT_LE(0, run_to(&self->cpu, 0x11));
	end();
	EXPECT_EQ(1, LINES("apic", " write ", " register=svr ", " value=0x1ff "));
	EXPECT_EQ(1, LINES("apic_accept", " vector=0x41 ", " trigger=edge "));
	/* Where the processor can deliver it, it need not be injected. */
	if (!(self->info.features & VIREO_FEATURE_VIRTUAL_IRQ))
		EXPECT_LE(1, LINES("inject", " type=irq ", " vector=0x41 "));
}

TEST_F(trace, memory)
{
	struct vireo_tracking tracking = { .size = sizeof(tracking), .consumer = 1, .on = 1 };
	struct vireo_snapshot snapshot = { .size = sizeof(snapshot) };
	struct vireo_dirty_log log = { .size = sizeof(log), .consumer = 1, .pages = 2048 };
	struct vireo_report report = { .size = sizeof(report), .kind = VIREO_REPORT_SEND, .pages = 7, .total = 9 };
	u64 bitmap[2048 / 64] = {};
	char word[64];

	MAKE(known, 1UL << 20, self->info.vendor == VIREO_VENDOR_INTEL);
	log.bitmap = (u64)bitmap;
	begin();
	EXPECT_EQ(0, vt_ioctl(self->vm.fd, VIREO_SET_TRACKING, &tracking));
	EXPECT_EQ(-EALREADY, vt_ioctl(self->vm.fd, VIREO_SET_TRACKING, &tracking));
	EXPECT_EQ(0, vt_ioctl(self->vm.fd, VIREO_SNAPSHOT, &snapshot));
	EXPECT_LE(0, run_to(&self->cpu, 0x11));
	EXPECT_EQ(0, vt_ioctl(self->vm.fd, VIREO_GET_DIRTY, &log));
	EXPECT_EQ(0, vt_ioctl(self->vm.fd, VIREO_ROLLBACK, &snapshot));
	EXPECT_EQ(0, vt_ioctl(self->vm.fd, VIREO_DROP_SNAPSHOT, &snapshot));
	tracking.on = 0;
	EXPECT_EQ(0, vt_ioctl(self->vm.fd, VIREO_SET_TRACKING, &tracking));
	strcpy(report.phase, "copying");
	strcpy(report.cause, "because");
	EXPECT_EQ(0, vt_ioctl(self->vm.fd, VIREO_REPORT, &report));
	strcpy(report.cause, "\033[1m");
	EXPECT_EQ(-EINVAL, vt_ioctl(self->vm.fd, VIREO_REPORT, &report));
	end();
	EXPECT_EQ(1, LINES("track", " slot=0 ", " consumer=1 ", " on ", " error=0 "));
	EXPECT_EQ(1, LINES("track", " on ", " error=-114 "));
	EXPECT_EQ(1, LINES("track", " off ", " error=0 "));
	EXPECT_LE(PAGES, log.found);
	snprintf(word, sizeof(word), " pages=2048 found=%llu ", (unsigned long long)log.found);
	EXPECT_EQ(1, LINES("dirty_log", " slot=0 consumer=1 ", word));
	snprintf(word, sizeof(word), " what=rolled-back id=%u pages=%llu error=0 ", snapshot.id,
		 (unsigned long long)snapshot.pages);
	EXPECT_EQ(1, LINES("snapshot", " what=taken ", " error=0 "));
	EXPECT_EQ(1, LINES("snapshot", word));
	EXPECT_EQ(1, LINES("snapshot", " what=dropped ", " error=0 "));
	EXPECT_EQ(1, LINES("report"));
	EXPECT_EQ(1, LINES("report", " what=send phase=copying pages=7 total=9 cause=because "));
}

/* Programs that read records themselves need numbers in the formats. */
TEST_F(trace, formats)
{
	static const char *const events[] = {
		"entry", "exit", "page_fault", "shadow_fault", "inject", "apic_accept", "apic_eoi", "apic", "msr", "hypercall",
		"track", "dirty_log", "dirty_rings", "snapshot", "report",
	};
	char path[128], format[16384];
	unsigned int i;
	ssize_t n;
	int fd;

	MAKE(known, 0, 0);
	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		snprintf(path, sizeof(path), EVENTS "/vireo_%s/format", events[i]);
		fd = open(path, O_RDONLY);
		n = fd < 0 ? -1 : read(fd, format, sizeof(format) - 1);
		ASSERT_LT(0, n);
		format[n] = '\0';
		close(fd);
		EXPECT_NE(NULL, strstr(format, "char vm[32]"));
		EXPECT_EQ(NULL, strstr(format, "VIREO_"))
			TH_LOG("%s", events[i]);
		if (!strcmp(events[i], "exit"))
			EXPECT_NE(NULL, strstr(format, "{ 7, \"cpuid\" }"));
	}
}

TEST_HARNESS_MAIN

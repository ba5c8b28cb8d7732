/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs here share: VMs and vCPUs through raw ioctls, state blocks,
 * and guests small enough to stand as assembly beside the test that runs them.
 *
 * Not libvireo on purpose: these programs test the contract of vireo.h itself.
 * What a test needs but does not test ends the program if it fails; everything
 * else returns 0, a count or a negative errno.
 */
#ifndef VIREO_TEST_LIB_H
#define VIREO_TEST_LIB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/vireo.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/*
 * GUEST - code of a guest, in @mode 16, 32 or 64
 *
 * It must not depend on the address it runs at; a test copies it to
 * wherever it likes.
 */
#define GUEST(name, mode, text)				\
	asm(".pushsection .rodata.guest, \"a\"\n"	\
	    ".balign 64\n"				\
	    ".globl " #name ", " #name "_end\n"		\
	    ".code" #mode "\n"				\
	    #name ":\n"					\
	    text "\n"					\
	    #name "_end:\n"				\
	    ".code64\n"					\
	    ".popsection");				\
	extern const u8 name[], name##_end[]

/* The guest's memory below 1 MiB; what is free belongs to the test. */
#define VT_PML4		0x1000
#define VT_PDPT		0x2000
#define VT_PD		0x3000		/* four pages: 4 GiB in 2 MiB steps, identity */
#define VT_GDT		0x7000
#define VT_IDT		0x7800		/* 256 entries of 16 bytes, if a test makes any */
#define VT_CODE		0x10000
#define VT_STACK(id)	(0x80000 + ((id) + 1) * 0x1000)
#define VT_DATA		0x20000
#define VT_MEMORY	(4UL << 20)	/* default size */

#define VT_CS64		0x08
#define VT_DS		0x10

struct vt_vcpu {
	int fd;
	u32 id;
	struct vireo_run *run;
};

struct vt_vm {
	int dev;
	int fd;
	u8 *mem;		/* guest-physical 0 */
	size_t bytes;
};

void vt_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* ioctl() with a negative errno */
int vt_ioctl(int fd, unsigned long request, void *arg);

int vt_open(void);
/* skips (exit status 4) if there is no module */
int vt_open_or_skip(void);
int vt_vm_fd(int dev, const char *name);
void vt_vm_create(struct vt_vm *vm, size_t bytes);
void vt_vm_close(struct vt_vm *vm);
int vt_region(int vm, u32 slot, u64 gpa, u64 bytes, const void *hva, u64 flags);
int vt_region_delete(int vm, u32 slot);
int vt_vcpu_fd(int vm, u32 id);
void vt_vcpu_create(struct vt_vm *vm, struct vt_vcpu *cpu, u32 id);
void vt_vcpu_close(struct vt_vcpu *cpu);

/* one state block; @len is the payload's */
int vt_get(int fd, u16 type, void *payload, u32 len);
int vt_set(int fd, u16 type, const void *payload, u32 len);
int vt_get_msr(int fd, u32 index, u64 *data);
int vt_set_msr(int fd, u32 index, u64 data);

/* CPUID: everything that module and processor offer */
void vt_cpuid_all(int dev, int vcpu);
struct vireo_cpuid_entry *vt_cpuid_table(int dev, u32 *count);

/* Put code into the guest and a vCPU at its start. */
void vt_load(struct vt_vm *vm, u64 gpa, const u8 *code, const u8 *end);
void vt_real_mode(struct vt_vcpu *cpu, u32 address);
void vt_tables(struct vt_vm *vm);
/* of any vCPU: it can be run then */
void vt_long_mode(struct vt_vm *vm, struct vt_vcpu *cpu, u64 rip, u64 rdi, u64 rsi);

/*
 * Long-mode guest in one step: VM, memory, vCPU 0 at the first byte of @code with
 * RDI = @rdi, RSI = @rsi.
 */
#define vt_guest64(vm, cpu, code, rdi, rsi)				\
do {									\
	vt_vm_create(vm, VT_MEMORY);					\
	vt_vcpu_create(vm, cpu, 0);					\
	vt_load(vm, VT_CODE, code, code##_end);				\
	vt_tables(vm);							\
	vt_long_mode(vm, cpu, VT_CODE, rdi, rsi);			\
} while (0)

int vt_run(struct vt_vcpu *cpu);
/* until it is an exit and not just a reason to go through user space: -EINTR may always come */
int vt_run_exit(struct vt_vcpu *cpu);
/* VIREO_RUN until the guest writes to @port; returns the value or a negative errno */
long vt_run_to_out(struct vt_vcpu *cpu, u16 port);
int vt_kick(struct vt_vcpu *cpu);
u64 vt_out_value(const struct vireo_run *run);
const char *vt_reason(u32 reason);
void vt_dump(struct vt_vcpu *cpu);

/* A signal that interrupts VIREO_RUN and does nothing else. */
void vt_catch(int signal);
/* SIGALRM after @ms, so that a guest which never exits cannot hang a test */
void vt_alarm(unsigned int ms);
/*
 * VIREO_RUN for @ms: -EINTR if nothing else ended it. The call may say -EINTR at any
 * time (so may every system call); only the one after the alarm counts.
 */
int vt_run_for(struct vt_vcpu *cpu, unsigned int ms);

u64 vt_now_ns(void);
/* Of a loop that only a long run goes through so often: @n, or 5 times that with VT_LONG in the environment. */
unsigned int vt_times(unsigned int n);
/* The CPUs that the program was started on are counted from 0, whatever their numbers (vt_cpu()) are. */
int vt_cpus(void);
int vt_cpu(int n);
void vt_pin(int n);
void vt_pin_thread(pthread_t thread, int n);
void vt_unpin_thread(pthread_t thread);
/* does the processor's model name hold this? */
bool vt_model(const char *name);
/* write a string to a file such as one of sysfs; 0 or a negative errno */
int vt_write_file(const char *path, const char *text);
long vt_read_file_long(const char *path);

#endif

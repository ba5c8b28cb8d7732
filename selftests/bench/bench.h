/* SPDX-License-Identifier: GPL-2.0-only */
/* What the benchmark's guest, its host half and the two back ends agree on. */
#ifndef VIREO_BENCH_H
#define VIREO_BENCH_H

/*
 * RDTSC in the guest and in the host counts retired instructions on the labs'
 * processors (Bochs, QEMU -icount shift=0), exactly. So a row is the difference of
 * two RDTSC around one operation, less that of two RDTSC around nothing.
 *
 * X(name, where, samples, what)
 *	GUEST	the guest takes the samples; the host only serves its exits
 *	HOST	the host takes them
 */
#define BENCH_ROWS(X)							\
	X(empty,	GUEST, 256, "nothing, subtracted from the others") \
	X(syscall,	HOST,  256, "empty system call (getppid)")	\
	X(ioctl,	HOST,  256, "ioctl that the vCPU does not know") \
	X(cpuid,	GUEST, 256, "CPUID exit")			\
	X(hypercall,	GUEST, 256, "hypercall handled in the kernel")	\
	X(rdmsr,	GUEST, 256, "RDMSR handled in the kernel (IA32_APIC_BASE)") \
	X(wrmsr,	GUEST, 256, "WRMSR handled in the kernel (IA32_MCG_STATUS)") \
	X(pio_eventfd,	GUEST, 256, "PIO write to an eventfd (doorbell)") \
	X(arm_deadline,	GUEST, 256, "arming the TSC-deadline timer")	\
	X(write_cr8,	GUEST, 256, "task priority set (MOV to CR8)")	\
	X(read_cr8,	GUEST, 256, "task priority read (MOV from CR8)") \
	X(x2apic_read,	GUEST, 256, "local APIC register read by RDMSR (LVT LINT0)") \
	X(x2apic_eoi,	GUEST, 256, "EOI by WRMSR, nothing in service")	\
	X(pio_write,	GUEST, 256, "PIO write to user space and back")	\
	X(pio_read,	GUEST, 256, "PIO read from user space")		\
	X(mmio_write,	GUEST, 256, "MMIO write to user space and back") \
	X(mmio_read,	GUEST, 256, "MMIO read from user space")	\
	X(xapic_read,	GUEST, 256, "local APIC register read by MMIO (interpreted in the kernel)") \
	X(xapic_write,	GUEST, 256, "local APIC register written by MMIO (interpreted in the kernel)") \
	X(run_exit,	HOST,  256, "run ioctl that exits at once")	\
	X(self_ipi,	GUEST, 256, "self-IPI (x2APIC) until the handler has returned") \
	X(msi,		HOST,  256, "MSI from user space, run, handler, EOI, exit") \
	X(halt,		GUEST, 128, "HLT, kicked and woken by another thread") \
	X(timer,	GUEST, 64,  "TSC-deadline timer: expiry, handler, EOI, back") \
	X(fault_4k,	GUEST, 1024, "nested fault-in of a 4 KiB page that the host has") \
	X(fault_2m,	GUEST, 24,  "nested fault-in of a 2 MiB page that the host has") \
	X(track_write,	GUEST, 1024, "first write to a page that is followed") \
	X(track_on,	HOST,  8,   "tracking switched on for 256 MiB, all of it mapped and writable") \
	X(track_clean,	HOST,  64,  "dirty pages of 256 MiB asked for, none written") \
	X(track_read,	HOST,  16,  "dirty pages of 256 MiB asked for, 1,000 written") \
	X(ring_reset,	HOST,  16,  "1,000 entries of a ring of dirty pages read and reset") \
	X(rollback_1,	HOST,  64,  "roll-back of 1 page, and of all state") \
	X(rollback_100,	HOST,  32,  "roll-back of 100 pages")		\
	X(rollback_1000, HOST, 16,  "roll-back of 1,000 pages")		\
	X(cr3_switch,	GUEST, 256, "guest page-table switch: CR3 written, a page read") \
	X(guest_fault,	GUEST, 256, "page fault that the guest handles by skipping") \
	X(demand_zero,	GUEST, 16,  "1,000 pages touched, each cleared and mapped at its fault") \
	X(invlpg,	GUEST, 256, "INVLPG of a mapped page")		\
	X(remap,	GUEST, 256, "page mapped elsewhere: entry written, INVLPG, page read") \
	X(create_vm,	HOST,  16,  "VM created")			\
	X(create_vcpu,	HOST,  16,  "first vCPU created")		\
	X(create,	HOST,  16,  "VM and first vCPU created")

enum bench_row {
#define X(name, where, samples, what) ROW_##name,
	BENCH_ROWS(X)
#undef X
	ROW_NR
};

#define WARM_UP		16		/* samples at the start that do not count */
#define MAX_SAMPLES	(1024 + WARM_UP)

/* guest-physical layout */
#define MEMORY_BYTES	(4UL << 20)
#define PML4		0x1000UL
#define PDPT		0x2000UL
#define PD		0x3000UL	/* four pages */
#define GDT		0x7000UL
#define PARAMS		0x8000UL
#define STACK		0x80000UL	/* its top */
#define CODE		0x100000UL
#define SAMPLES		0x200000UL
#define TABLES		0x300000UL	/* the guest's own, for WINDOW */
#define SMALL_GPA	0x40000000UL	/* region of 4 KiB pages, for fault_4k */
#define LARGE_GPA	0x50000000UL	/* region of 2 MiB pages, for fault_2m */
#define TRACK_GPA	0x80000000UL	/* region of 4 KiB pages, for track_* and rollback_* */
#define TRACK_BYTES	(256UL << 20)
#define MMIO_GPA	0xd0000000UL
#define XAPIC_GPA	0xfee00000UL

#define WINDOW		0x8000000000UL	/* linear: where a process would live */
#define WINDOW_PAGES	1000

/* ports */
#define PORT_DONE	0x80
#define RING_ENTRIES	4096		/* ring_reset */
#define PORT_SYNC	0x81		/* msi, track_*, rollback_*: the guest waits for the host here */
#define PORT_FAIL	0x82
#define PORT_USER	0x600
#define PORT_EVENTFD	0x700

#define VECTOR		0x41

#ifndef __ASSEMBLER__
struct params {
	unsigned int row;
	unsigned int samples;		/* with the warm-up */
	unsigned int amd;
	unsigned int pages;		/* track_*, rollback_*: to write before PORT_SYNC */
};
#endif

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Boot protocols: from files to guest memory and the first registers.
 *
 * A loader looks at the kernel file, copies it, and says where to begin. Files
 * are hostile: every offset and length of theirs is checked, either by
 * boot_file_read() (against the file) or by boot_claim() (against memory and
 * everything else that was put there).
 */
#ifndef VIREO_BOOT_H
#define VIREO_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/vireo.h>

#include "../memory.h"

#define BOOT_MODULES_MAX	16
#define BOOT_CLAIMS_MAX		128
#define BOOT_E820_MAX		8
#define BOOT_LOADER_NAME	"Vireo"

/* Conventional memory ends here: what is above, up to 1 MiB, is firmware's. */
#define BOOT_EBDA		0x9fc00
#define BOOT_ACPI		0xe0000
#define BOOT_ACPI_END		0x100000

enum { E820_RAM = 1, E820_RESERVED = 2 };

/* As in boot_params and in fw_cfg's etc/e820. */
struct boot_e820 {
	uint64_t address;
	uint64_t length;
	uint32_t type;
} __attribute__((packed));

_Static_assert(sizeof(struct boot_e820) == 20, "layout of the BIOS call");

/**
 * struct boot_file - a file of which nothing is trusted
 * @path: its name, for messages
 * @size: its length when it was opened
 * @fd: the file, or -1
 * @data: its content instead, if @fd is -1
 */
struct boot_file {
	const char *path;
	uint64_t size;
	int fd;
	const uint8_t *data;
};

/**
 * struct boot_module - a file next to the kernel
 * @file: the file
 * @cmdline: text that goes with it, may be empty
 */
struct boot_module {
	struct boot_file file;
	const char *cmdline;
};

enum boot_mode {
	BOOT_FLAT32,		/* protected mode, flat segments, no paging */
	BOOT_LONG64,		/* 64-bit mode, identity-mapped */
};

/**
 * struct boot_start - where the bootstrap processor begins
 * @mode: see there
 * @code: selector of the code segment; data is the next one
 * @gdt: guest-physical address of the GDT
 * @cr3: BOOT_LONG64: page tables
 * @rip: first instruction
 * @rax: general registers that a protocol asks for
 * @rbx: the same
 * @rsi: the same
 */
struct boot_start {
	enum boot_mode mode;
	uint16_t code;
	uint64_t gdt;
	uint64_t cr3;
	uint64_t rip;
	uint64_t rax, rbx, rsi;
};

struct boot_claim {
	uint64_t start;
	uint64_t end;
	const char *what;
};

/**
 * struct boot - all that a loader works on
 * @memory: the guest's memory, all zeros but for the ACPI tables
 * @kernel: what to load
 * @modules: further files; the first one is the initrd, if @has_initrd
 * @nr_modules: how many
 * @has_initrd: --initrd was given
 * @cmdline: for the kernel
 * @rsdp: where the ACPI tables begin, 0: none
 * @e820: the memory map
 * @nr_e820: its length
 * @start: out: the registers
 * @claim: ranges of memory that are in use
 * @nr_claims: how many
 * @protocol: out: the loader's name
 * @error: out: a sentence for people
 */
struct boot {
	struct guest_memory *memory;
	const struct boot_file *kernel;
	const struct boot_module *modules;
	unsigned int nr_modules;
	bool has_initrd;
	const char *cmdline;
	uint64_t rsdp;
	struct boot_e820 e820[BOOT_E820_MAX];
	unsigned int nr_e820;
	struct boot_start start;
	struct boot_claim claim[BOOT_CLAIMS_MAX];
	unsigned int nr_claims;
	const char *protocol;
	char error[256];
};

/**
 * struct boot_loader - one protocol
 * @name: for messages
 * @probe: whether the kernel file is of this kind
 * @load: load it; 0, or -EINVAL with boot.error set
 */
struct boot_loader {
	const char *name;
	bool (*probe)(struct boot *boot);
	int (*load)(struct boot *boot);
};

extern const struct boot_loader boot_linux;
extern const struct boot_loader boot_multiboot;
extern const struct boot_loader boot_pvh;

int boot_file_open(struct boot_file *file, const char *path);
void boot_file_close(struct boot_file *file);
int boot_file_read(const struct boot_file *file, uint64_t offset, void *to, uint64_t len);

int boot_load(struct boot *boot);
void boot_sregs(const struct boot_start *start, struct vireo_sregs *sregs);

/* For loaders */
int boot_fail(struct boot *boot, const char *format, ...) __attribute__((format(printf, 2, 3)));
int boot_claim(struct boot *boot, uint64_t start, uint64_t len, const char *what);
int boot_place(struct boot *boot, uint64_t low, uint64_t high, uint64_t len, uint64_t align,
	       const char *what, uint64_t *where);
int boot_place_high(struct boot *boot, uint64_t low, uint64_t high, uint64_t len,
		    uint64_t align, const char *what, uint64_t *where);
int boot_copy(struct boot *boot, const struct boot_file *file, uint64_t offset, uint64_t gpa,
	      uint64_t len);
int boot_gdt(struct boot *boot, uint16_t code, bool long_mode);
int boot_page_tables(struct boot *boot);
uint64_t boot_low_end(const struct boot *boot);

#endif /* VIREO_BOOT_H */

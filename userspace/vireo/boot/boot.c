// SPDX-License-Identifier: GPL-2.0-only
/*
 * What all boot protocols share: reading files, placing things in memory
 * without overlap, the memory map, and the first state of the processor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot.h"
#include "../util.h"
#include "../pci/pci.h"

#define PAGE 4096ULL

/* Segment descriptors: flat, 4 GiB, present. */
#define DESC_CODE32	0x00cf9b000000ffffULL
#define DESC_CODE64	0x00af9b000000ffffULL
#define DESC_DATA	0x00cf93000000ffffULL
#define DESC_TSS	0x00008b0000000067ULL

#define CR0_PE		0x00000001ULL
#define CR0_ET		0x00000010ULL
#define CR0_NE		0x00000020ULL
#define CR0_PG		0x80000000ULL
#define CR4_PAE		0x00000020ULL
#define EFER_LME	0x00000100ULL
#define EFER_LMA	0x00000400ULL

#define PTE_PRESENT	0x001ULL
#define PTE_WRITE	0x002ULL
#define PTE_LARGE	0x080ULL
#define TABLE_ENTRIES	512
#define IDENTITY_GIB	4	/* all of it that a kernel finds anything in at first */

/* In the order in which they are asked. */
static const struct boot_loader *const loaders[] = {
	&boot_linux,
	&boot_multiboot,
	&boot_pvh,
};

/**
 * boot_file_open() - open a file to load from
 * @file: to be filled
 * @path: its name, which must outlive @file
 *
 * Return: 0; -EISDIR or -EINVAL if it is no regular file; or another negative errno.
 */
int boot_file_open(struct boot_file *file, const char *path)
{
	struct stat st;
	int r;

	*file = (struct boot_file){ .path = path, .fd = -1 };
	/* Do not hang on a FIFO that nobody writes to. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0)
		return -errno;
	if (fstat(file->fd, &st) < 0)
		r = -errno;
	else if (S_ISDIR(st.st_mode))
		r = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		r = -EINVAL;
	else
		r = 0;
	if (r) {
		boot_file_close(file);
		return r;
	}
	file->size = (uint64_t)st.st_size;
	return 0;
}

/**
 * boot_file_close() - close a file
 * @file: opened or not
 */
void boot_file_close(struct boot_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

/**
 * boot_file_read() - read from any place of a file
 * @file: the file
 * @offset: where
 * @to: room
 * @len: how much, all of which must be there
 *
 * Return: 0; -ENODATA if the file ends before; or another negative errno.
 */
int boot_file_read(const struct boot_file *file, uint64_t offset, void *to, uint64_t len)
{
	uint8_t *at = to;

	if (offset > file->size || len > file->size - offset)
		return -ENODATA;
	if (file->fd < 0) {
		if (len)
			memcpy(to, file->data + offset, len);
		return 0;
	}
	while (len) {
		ssize_t n = pread(file->fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;	/* truncated since it was opened */
		at += n;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/**
 * boot_fail() - say why a file cannot be loaded
 * @boot: keeps the sentence
 * @format: the sentence
 *
 * Return: -EINVAL, for the caller to return.
 */
int boot_fail(struct boot *boot, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(boot->error, sizeof(boot->error), format, args);
	va_end(args);
	return -EINVAL;
}

/* Nothing above has use for the difference between "in a hole" and "too high". */
static bool is_memory(const struct boot *boot, uint64_t start, uint64_t len)
{
	return memory_ptr(boot->memory, start, len) != NULL;
}

static const struct boot_claim *overlap(const struct boot *boot, uint64_t start, uint64_t len)
{
	unsigned int i;

	for (i = 0; i < boot->nr_claims; i++)
		if (start < boot->claim[i].end && boot->claim[i].start < start + len)
			return &boot->claim[i];
	return NULL;
}

/**
 * boot_claim() - reserve a fixed range of guest memory
 * @boot: keeps it
 * @start: guest-physical address
 * @len: length
 * @what: for messages
 *
 * Return: 0; -EINVAL with a message if it is not memory, or not free.
 */
int boot_claim(struct boot *boot, uint64_t start, uint64_t len, const char *what)
{
	const struct boot_claim *other;

	if (!len)
		return 0;
	if (!is_memory(boot, start, len))
		return boot_fail(boot, "%s: its %s is to be at %#llx, %llu KiB long, which a guest with %llu MiB has no memory for; give it more with --memory, if the file is right",
				 boot->kernel->path, what, (unsigned long long)start,
				 (unsigned long long)((len + KIB - 1) / KIB),
				 (unsigned long long)(boot->memory->total / MIB));
	other = overlap(boot, start, len);
	if (other)
		return boot_fail(boot, "%s: its %s at %#llx-%#llx overlaps the %s at %#llx-%#llx",
				 boot->kernel->path, what, (unsigned long long)start,
				 (unsigned long long)(start + len), other->what,
				 (unsigned long long)other->start,
				 (unsigned long long)other->end);
	if (boot->nr_claims == BOOT_CLAIMS_MAX)
		return boot_fail(boot, "%s: too many parts", boot->kernel->path);
	boot->claim[boot->nr_claims++] = (struct boot_claim){ start, start + len, what };
	return 0;
}

/* One try at @at; otherwise the next address worth trying, in the direction given. */
static bool try_place(struct boot *boot, uint64_t at, uint64_t len,
		      const struct boot_claim **blocked)
{
	*blocked = overlap(boot, at, len);
	return !*blocked && is_memory(boot, at, len);
}

/**
 * boot_place() - find and reserve the lowest free range
 * @boot: keeps it
 * @low: not below this address
 * @high: nor reaching beyond this one
 * @len: length
 * @align: alignment, a power of two
 * @what: for messages
 * @where: the address
 *
 * Return: 0; -EINVAL with a message if there is no room.
 */
int boot_place(struct boot *boot, uint64_t low, uint64_t high, uint64_t len, uint64_t align,
	       const char *what, uint64_t *where)
{
	const struct boot_claim *blocked;
	uint64_t at = ALIGN_UP(low, align);

	if (!len)
		len = 1;
	while (at <= high && len <= high - at) {
		if (try_place(boot, at, len, &blocked)) {
			*where = at;
			return boot_claim(boot, at, len, what);
		}
		if (!blocked)
			break;
		at = ALIGN_UP(blocked->end, align);
	}
	return boot_fail(boot, "no room for the %s (%llu KiB) in the guest's memory; give it more with --memory",
			 what, (unsigned long long)((len + KIB - 1) / KIB));
}

/**
 * boot_place_high() - find and reserve the highest free range
 * @boot: keeps it
 * @low: not below this address
 * @high: nor reaching beyond this one
 * @len: length
 * @align: alignment, a power of two
 * @what: for messages
 * @where: the address
 *
 * Return: 0; -EINVAL with a message if there is no room.
 */
int boot_place_high(struct boot *boot, uint64_t low, uint64_t high, uint64_t len,
		    uint64_t align, const char *what, uint64_t *where)
{
	const struct boot_claim *blocked;
	uint64_t at;

	if (!len)
		len = 1;
	while (high >= low && len <= high - low) {
		at = ALIGN_DOWN(high - len, align);
		if (at < low)
			break;
		if (try_place(boot, at, len, &blocked)) {
			*where = at;
			return boot_claim(boot, at, len, what);
		}
		if (!blocked)
			break;
		high = blocked->start;
	}
	return boot_fail(boot, "no room for the %s (%llu KiB) in the guest's memory; give it more with --memory",
			 what, (unsigned long long)((len + KIB - 1) / KIB));
}

/**
 * boot_copy() - copy a part of a file to guest memory
 * @boot: whose memory
 * @file: the file
 * @offset: where in it
 * @gpa: where in memory; claimed before
 * @len: how much
 *
 * Return: 0; -EINVAL with a message.
 */
int boot_copy(struct boot *boot, const struct boot_file *file, uint64_t offset, uint64_t gpa,
	      uint64_t len)
{
	void *to = memory_ptr(boot->memory, gpa, len);
	int r;

	if (!to)
		return boot_fail(boot, "%s: nothing can be loaded at %#llx", file->path,
				 (unsigned long long)gpa);
	r = boot_file_read(file, offset, to, len);
	if (r == -ENODATA)
		return boot_fail(boot, "%s: truncated: it has %llu bytes, and %llu from %llu on are needed",
				 file->path, (unsigned long long)file->size,
				 (unsigned long long)len, (unsigned long long)offset);
	if (r)
		return boot_fail(boot, "%s: cannot be read: %s", file->path, strerror(-r));
	return 0;
}

/**
 * boot_low_end() - end of memory below 4 GiB
 * @boot: whose memory
 *
 * Return: the address.
 */
uint64_t boot_low_end(const struct boot *boot)
{
	return memory_low_bytes(boot->memory);
}

/**
 * boot_gdt() - a GDT for the first segments, and boot_start.code and .gdt
 * @boot: gets it
 * @code: selector of the code segment; data, then the TSS follow it
 * @long_mode: 64-bit code
 *
 * The segments' hidden parts are set directly, but a guest may reload them
 * before it has a GDT of its own.
 *
 * Return: 0; -EINVAL with a message.
 */
int boot_gdt(struct boot *boot, uint16_t code, bool long_mode)
{
	uint64_t gdt[8] = { 0 };
	uint64_t where;
	int r;

	r = boot_place(boot, 0x1000, BOOT_EBDA, sizeof(gdt), 16, "GDT", &where);
	if (r)
		return r;
	gdt[code / 8] = long_mode ? DESC_CODE64 : DESC_CODE32;
	gdt[code / 8 + 1] = DESC_DATA;
	gdt[code / 8 + 2] = DESC_TSS;
	boot->start.code = code;
	boot->start.gdt = where;
	return memory_write(boot->memory, where, gdt, sizeof(gdt));
}

/**
 * boot_page_tables() - identity-map the low 4 GiB, and boot_start.cr3
 * @boot: gets them
 *
 * Return: 0; -EINVAL with a message.
 */
int boot_page_tables(struct boot *boot)
{
	uint64_t where, *table;
	unsigned int i;
	int r;

	r = boot_place(boot, 0x1000, BOOT_EBDA, (2 + IDENTITY_GIB) * PAGE, PAGE,
		       "page tables", &where);
	if (r)
		return r;
	table = memory_ptr(boot->memory, where, (2 + IDENTITY_GIB) * PAGE);
	table[0] = (where + PAGE) | PTE_PRESENT | PTE_WRITE;
	for (i = 0; i < IDENTITY_GIB; i++)
		table[TABLE_ENTRIES + i] = (where + (2 + i) * PAGE) | PTE_PRESENT | PTE_WRITE;
	for (i = 0; i < IDENTITY_GIB * TABLE_ENTRIES; i++)
		table[2 * TABLE_ENTRIES + i] = i * 2 * MIB | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	boot->start.cr3 = where;
	return 0;
}

/**
 * boot_sregs() - system registers of the bootstrap processor
 * @start: where it begins
 * @sregs: in: those after power-on; out: those to begin with
 */
void boot_sregs(const struct boot_start *start, struct vireo_sregs *sregs)
{
	struct vireo_segment code = {
		.limit = 0xffffffff,
		.selector = start->code,
		.attr = 0xb | VIREO_SEG_S | VIREO_SEG_P | VIREO_SEG_G |
			(start->mode == BOOT_LONG64 ? VIREO_SEG_L : VIREO_SEG_DB),
	};
	struct vireo_segment data = {
		.limit = 0xffffffff,
		.selector = (uint16_t)(start->code + 8),
		.attr = 0x3 | VIREO_SEG_S | VIREO_SEG_P | VIREO_SEG_G | VIREO_SEG_DB,
	};
	struct vireo_segment tss = {
		.limit = 0x67,
		.selector = (uint16_t)(start->code + 16),
		.attr = 0xb | VIREO_SEG_P,
	};
	struct vireo_segment ldt = { .attr = VIREO_SEG_UNUSABLE };

	sregs->seg[VIREO_SEG_CS] = code;
	sregs->seg[VIREO_SEG_DS] = data;
	sregs->seg[VIREO_SEG_ES] = data;
	sregs->seg[VIREO_SEG_SS] = data;
	sregs->seg[VIREO_SEG_FS] = data;
	sregs->seg[VIREO_SEG_GS] = data;
	sregs->seg[VIREO_SEG_TR] = tss;
	sregs->seg[VIREO_SEG_LDTR] = ldt;
	sregs->gdt = (struct vireo_table){ .base = start->gdt, .limit = 63 };
	sregs->idt = (struct vireo_table){ .base = 0, .limit = 0 };
	sregs->cr2 = 0;
	sregs->cr8 = 0;
	if (start->mode == BOOT_LONG64) {
		sregs->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
		sregs->cr3 = start->cr3;
		sregs->cr4 = CR4_PAE;
		sregs->efer = EFER_LME | EFER_LMA;
	} else {
		sregs->cr0 = CR0_PE | CR0_ET;
		sregs->cr3 = 0;
		sregs->cr4 = 0;
		sregs->efer = 0;
	}
}

static void add_e820(struct boot *boot, uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end)
		boot->e820[boot->nr_e820++] = (struct boot_e820){ start, end - start, type };
}

static void make_e820(struct boot *boot)
{
	uint64_t low = boot_low_end(boot);

	boot->nr_e820 = 0;
	add_e820(boot, 0, BOOT_EBDA, E820_RAM);
	add_e820(boot, BOOT_EBDA, 0xa0000, E820_RESERVED);
	add_e820(boot, BOOT_ACPI, BOOT_ACPI_END, E820_RESERVED);
	add_e820(boot, BOOT_ACPI_END, low, E820_RAM);
	/* Without ACPI, a guest takes the largest hole for PCI's: it must be where the bridge listens. */
	add_e820(boot, low, PCI_LOW_BASE, E820_RESERVED);
	add_e820(boot, PCI_ECAM_BASE, PCI_ECAM_BASE + PCI_ECAM_BYTES, E820_RESERVED);
	if (boot->memory->total > low)
		add_e820(boot, MEMORY_HIGH_BASE, MEMORY_HIGH_BASE + boot->memory->total - low,
			 E820_RAM);
}

/* What a BIOS leaves at the bottom of memory, as far as anybody looks. */
static int write_bios_data(struct boot *boot)
{
	static const struct { uint16_t at, value; } words[] = {
		{ 0x400, 0x3f8 },		/* COM1 */
		{ 0x40e, BOOT_EBDA >> 4 },	/* segment of the EBDA */
		{ 0x410, 0x0200 },		/* equipment: one serial port */
		{ 0x413, BOOT_EBDA / 1024 },	/* KiB of conventional memory */
	};
	unsigned int i;
	int r;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		r = memory_write(boot->memory, words[i].at, &words[i].value, 2);
		if (r)
			return r;
	}
	return 0;
}

/**
 * boot_load() - put kernel and modules into memory
 * @boot: memory, kernel, modules, cmdline and rsdp are set; the rest is filled
 *
 * Return: 0 with boot.start set; -EINVAL with boot.error set.
 */
int boot_load(struct boot *boot)
{
	uint8_t magic[4] = { 0 };
	unsigned int i;
	int r;

	boot->nr_claims = 0;
	boot->error[0] = '\0';
	memset(&boot->start, 0, sizeof(boot->start));
	make_e820(boot);
	if (!boot->kernel->size)
		return boot_fail(boot, "%s: the file is empty", boot->kernel->path);

	r = boot_claim(boot, 0, PAGE, "BIOS data area");
	if (!r)
		r = boot_claim(boot, BOOT_EBDA, BOOT_ACPI_END - BOOT_EBDA, "firmware's area");
	if (!r)
		r = write_bios_data(boot);
	if (r)
		return r;

	for (i = 0; i < ARRAY_SIZE(loaders); i++) {
		if (!loaders[i]->probe(boot))
			continue;
		boot->protocol = loaders[i]->name;
		r = loaders[i]->load(boot);
		if (r && !boot->error[0])
			boot_fail(boot, "%s: %s", boot->kernel->path, strerror(-r));
		return r;
	}

	if (!boot_file_read(boot->kernel, 0, magic, sizeof(magic)) && !memcmp(magic, "\177ELF", 4))
		return boot_fail(boot, "%s: an ELF file with neither a Multiboot header nor a PVH entry (a Linux vmlinux needs CONFIG_PVH; its bzImage always works)",
				 boot->kernel->path);
	return boot_fail(boot, "%s: not a kernel that can be booted: neither a Linux bzImage nor Multiboot nor a PVH ELF file",
			 boot->kernel->path);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Multiboot 0.6.96: a header within the first 8 KiB of an ELF file, or of any
 * file when the header itself says where things go (the a.out kludge).
 *
 * The information structure, its lists and strings are one block in low
 * memory, the modules follow the kernel.
 */
#include <errno.h>
#include <string.h>

#include "boot.h"
#include "elf.h"
#include "../util.h"

#define SEARCH			8192
#define HEADER_MAGIC		0x1badb002U
#define BOOT_MAGIC		0x2badb002U

#define HEADER_VIDEO		0x00000004U
#define HEADER_REQUIRED		0x0000ffffU
#define HEADER_KNOWN		0x00000007U	/* page alignment, memory, video */
#define HEADER_ADDRESSES	0x00010000U

#define INFO_MEMORY		0x001U
#define INFO_CMDLINE		0x004U
#define INFO_MODULES		0x008U
#define INFO_MMAP		0x040U
#define INFO_LOADER		0x200U

#define CODE_SELECTOR		0x08
#define INFO_AT			0x9000	/* the usual place */

struct header {
	uint32_t magic;
	uint32_t flags;
	uint32_t checksum;
	uint32_t header_addr;
	uint32_t load_addr;
	uint32_t load_end_addr;
	uint32_t bss_end_addr;
	uint32_t entry_addr;
};

struct info {
	uint32_t flags;
	uint32_t mem_lower;
	uint32_t mem_upper;
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count;
	uint32_t mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length;
	uint32_t mmap_addr;
	uint32_t drives_length;
	uint32_t drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint8_t video[28];
};

_Static_assert(sizeof(struct info) == 100, "layout of the specification");

struct module {
	uint32_t start;
	uint32_t end;
	uint32_t string;
	uint32_t reserved;
};

struct mmap_entry {
	uint32_t size;		/* without this field */
	struct boot_e820 e820;
};

_Static_assert(sizeof(struct mmap_entry) == 24, "layout of the specification");

static bool find_header(const struct boot_file *file, struct header *header, uint64_t *offset)
{
	uint8_t start[SEARCH];
	uint64_t have = file->size < SEARCH ? file->size : SEARCH;
	uint64_t at;

	if (boot_file_read(file, 0, start, have))
		return false;
	for (at = 0; at + 12 <= have; at += 4) {
		uint64_t n = have - at < sizeof(*header) ? have - at : sizeof(*header);

		memset(header, 0, sizeof(*header));
		memcpy(header, start + at, n);
		if (header->magic != HEADER_MAGIC ||
		    header->magic + header->flags + header->checksum != 0)
			continue;
		/* Its addresses may hang over the end of a truncated file. */
		if (header->flags & HEADER_ADDRESSES && n < sizeof(*header))
			continue;
		*offset = at;
		return true;
	}
	return false;
}

static bool probe(struct boot *boot)
{
	struct header header;
	uint64_t offset;

	return find_header(boot->kernel, &header, &offset);
}

/* The header says where the file goes. */
static int load_by_addresses(struct boot *boot, const struct header *header, uint64_t offset,
			     uint64_t *end)
{
	const struct boot_file *file = boot->kernel;
	uint64_t skip = (uint64_t)header->header_addr - header->load_addr;
	uint64_t from, bytes, memory;
	int r;

	if (header->load_addr > header->header_addr || skip > offset)
		return boot_fail(boot, "%s: the Multiboot header's load address does not fit its place in the file",
				 file->path);
	from = offset - skip;
	bytes = file->size - from;
	if (header->load_end_addr) {
		if (header->load_end_addr <= header->load_addr)
			return boot_fail(boot, "%s: the Multiboot header's addresses end before they begin",
					 file->path);
		bytes = header->load_end_addr - header->load_addr;
		if (bytes > file->size - from)
			return boot_fail(boot, "%s: truncated: %llu of %llu bytes of the kernel are there",
					 file->path, (unsigned long long)(file->size - from),
					 (unsigned long long)bytes);
	}
	memory = bytes;
	if (header->bss_end_addr) {
		if (header->bss_end_addr < header->load_addr + bytes)
			return boot_fail(boot, "%s: the Multiboot header's bss ends before it begins",
					 file->path);
		memory = header->bss_end_addr - header->load_addr;
	}
	r = boot_claim(boot, header->load_addr, memory, "kernel");
	if (!r)
		r = boot_copy(boot, file, from, header->load_addr, bytes);
	*end = header->load_addr + memory;
	boot->start.rip = header->entry_addr;
	return r;
}

static int load_elf(struct boot *boot, uint64_t *end)
{
	struct elf elf;
	int r;

	if (!elf_is(boot->kernel))
		return boot_fail(boot, "%s: a Multiboot header without load addresses in a file that is not ELF",
				 boot->kernel->path);
	r = elf_parse(boot, &elf);
	if (!r)
		r = elf_load(boot, &elf, end);
	if (r)
		return r;
	boot->start.rip = elf_physical(&elf, elf.entry);
	return 0;
}

static int load_modules(struct boot *boot, uint64_t end, struct module *modules)
{
	uint64_t where;
	unsigned int i;
	int r;

	for (i = 0; i < boot->nr_modules; i++) {
		const struct boot_file *file = &boot->modules[i].file;

		r = boot_place(boot, end < BOOT_ACPI_END ? BOOT_ACPI_END : end,
			       boot_low_end(boot), file->size, 4096, "module", &where);
		if (!r)
			r = boot_copy(boot, file, 0, where, file->size);
		if (r)
			return r;
		modules[i].start = (uint32_t)where;
		modules[i].end = (uint32_t)(where + file->size);
		end = where + file->size;
	}
	return 0;
}

/* Lay @len bytes out at the end of a block, and say at which address. */
static uint32_t append(uint8_t *block, uint64_t base, uint64_t *at, const void *bytes,
		       uint64_t len)
{
	uint64_t here = ALIGN_UP(*at, 8);

	memcpy(block + here, bytes, len);
	*at = here + len;
	return (uint32_t)(base + here);
}

static int write_info(struct boot *boot, struct module *modules)
{
	struct info info = { 0 };
	struct mmap_entry mmap[BOOT_E820_MAX];
	uint64_t bytes = sizeof(info) + sizeof(mmap) + 64, where, at = sizeof(info);
	uint8_t *block;
	unsigned int i;
	int r;

	bytes += strlen(boot->cmdline) + 16 + sizeof(BOOT_LOADER_NAME) + 16;
	for (i = 0; i < boot->nr_modules; i++)
		bytes += sizeof(*modules) + strlen(boot->modules[i].cmdline) + 24;
	r = boot_place(boot, INFO_AT, BOOT_EBDA, bytes, 16, "Multiboot information", &where);
	if (r)
		return r;
	block = memory_ptr(boot->memory, where, bytes);

	for (i = 0; i < boot->nr_e820; i++)
		mmap[i] = (struct mmap_entry){ sizeof(boot->e820[i]), boot->e820[i] };
	info.mmap_length = (uint32_t)(boot->nr_e820 * sizeof(mmap[0]));
	info.mmap_addr = append(block, where, &at, mmap, info.mmap_length);
	info.cmdline = append(block, where, &at, boot->cmdline, strlen(boot->cmdline) + 1);
	info.boot_loader_name = append(block, where, &at, BOOT_LOADER_NAME,
				       sizeof(BOOT_LOADER_NAME));
	for (i = 0; i < boot->nr_modules; i++)
		modules[i].string = append(block, where, &at, boot->modules[i].cmdline,
					   strlen(boot->modules[i].cmdline) + 1);
	info.mods_count = boot->nr_modules;
	info.mods_addr = append(block, where, &at, modules,
				boot->nr_modules * sizeof(*modules));
	info.mem_lower = BOOT_EBDA / 1024;
	info.mem_upper = (uint32_t)((boot_low_end(boot) - MIB) / KIB);
	info.boot_device = 0xffffffff;
	info.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER;
	if (boot->nr_modules)
		info.flags |= INFO_MODULES;
	memcpy(block, &info, sizeof(info));
	boot->start.rbx = where;
	return 0;
}

static int load(struct boot *boot)
{
	struct module modules[BOOT_MODULES_MAX] = { 0 };
	struct header header;
	uint64_t offset, end = 0;
	int r;

	if (!find_header(boot->kernel, &header, &offset))
		return boot_fail(boot, "%s: the Multiboot header has gone", boot->kernel->path);
	/* A video mode is a wish here: kernels that ask for one cope without. */
	if (header.flags & HEADER_REQUIRED & ~HEADER_KNOWN)
		return boot_fail(boot, "%s: requires Multiboot features (%#x) that do not exist",
				 boot->kernel->path,
				 header.flags & HEADER_REQUIRED & ~HEADER_KNOWN);
	if (header.flags & HEADER_ADDRESSES)
		r = load_by_addresses(boot, &header, offset, &end);
	else
		r = load_elf(boot, &end);
	if (r)
		return r;
	if (boot->start.rip > UINT32_MAX || !memory_ptr(boot->memory, boot->start.rip, 1))
		return boot_fail(boot, "%s: its entry point %#llx is not in the guest's memory",
				 boot->kernel->path, (unsigned long long)boot->start.rip);
	r = load_modules(boot, end, modules);
	if (!r)
		r = write_info(boot, modules);
	if (!r)
		r = boot_gdt(boot, CODE_SELECTOR, false);
	boot->start.mode = BOOT_FLAT32;
	boot->start.rax = BOOT_MAGIC;
	return r;
}

const struct boot_loader boot_multiboot = { "Multiboot", probe, load };

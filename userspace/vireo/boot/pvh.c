// SPDX-License-Identifier: GPL-2.0-only
/*
 * PVH: an ELF file with a note that gives a 32-bit entry point.
 *
 * The protocol is Xen's (docs/misc/pvh.pandoc and public/arch-x86/hvm/
 * start_info.h in its sources); Linux's vmlinux has the note with CONFIG_PVH.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "boot.h"
#include "elf.h"
#include "../util.h"

#define NOTE_NAME		"Xen"
#define NOTE_PHYS32_ENTRY	18
#define NOTES_BYTES_MAX		65536

#define START_MAGIC		0x336ec578U
#define START_VERSION		1
#define CODE_SELECTOR		0x08

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

_Static_assert(sizeof(struct start_info) == 56, "layout of the specification");

struct modlist_entry {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

struct memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

/* Look through the notes of one segment, which may be garbage. */
static bool scan_notes(const struct boot_file *file, const struct elf_segment *segment,
		       uint64_t *entry)
{
	uint64_t at = 0, bytes = segment->filesz;
	Elf32_Nhdr note;	/* the same in both classes */
	char name[4];
	uint8_t desc[8] = { 0 };

	if (bytes > NOTES_BYTES_MAX)
		bytes = NOTES_BYTES_MAX;
	while (at + sizeof(note) <= bytes) {
		uint64_t name_at, desc_at;

		if (boot_file_read(file, segment->offset + at, &note, sizeof(note)))
			return false;
		name_at = at + sizeof(note);
		desc_at = name_at + ALIGN_UP((uint64_t)note.n_namesz, 4);
		at = desc_at + ALIGN_UP((uint64_t)note.n_descsz, 4);
		if (at > bytes)
			return false;
		if (note.n_type != NOTE_PHYS32_ENTRY || note.n_namesz != sizeof(name) ||
		    (note.n_descsz != 4 && note.n_descsz != 8))
			continue;
		if (boot_file_read(file, segment->offset + name_at, name, sizeof(name)) ||
		    memcmp(name, NOTE_NAME, sizeof(name)))
			continue;
		if (boot_file_read(file, segment->offset + desc_at, desc, note.n_descsz))
			return false;
		*entry = get_le64(desc);
		return true;
	}
	return false;
}

static bool find_entry(const struct boot_file *file, const struct elf *elf, uint64_t *entry)
{
	unsigned int i;

	for (i = 0; i < elf->nr; i++)
		if (elf->segment[i].type == PT_NOTE &&
		    scan_notes(file, &elf->segment[i], entry))
			return true;
	return false;
}

/*
 * A broken ELF file is claimed too: load() then says what is broken, which
 * helps more than "no PVH entry".
 */
static bool probe(struct boot *boot)
{
	struct elf elf;
	uint64_t entry;
	bool is;

	if (!elf_is(boot->kernel))
		return false;
	is = elf_parse(boot, &elf) || find_entry(boot->kernel, &elf, &entry);
	boot->error[0] = '\0';
	return is;
}

static int place_string(struct boot *boot, const char *text, uint64_t *where)
{
	uint64_t len = strlen(text) + 1;
	int r;

	r = boot_place(boot, 0x1000, BOOT_EBDA, len, 16, "command line", where);
	return r ? r : memory_write(boot->memory, *where, text, len);
}

static int place_modules(struct boot *boot, uint64_t end, struct start_info *info)
{
	struct modlist_entry list[BOOT_MODULES_MAX] = { 0 };
	uint64_t bytes = boot->nr_modules * sizeof(list[0]);
	unsigned int i;
	int r;

	if (!boot->nr_modules)
		return 0;
	for (i = 0; i < boot->nr_modules; i++) {
		const struct boot_module *module = &boot->modules[i];

		list[i].size = module->file.size;
		r = boot_place_high(boot, end, boot_low_end(boot), module->file.size, 4096,
				    "module", &list[i].paddr);
		if (!r)
			r = boot_copy(boot, &module->file, 0, list[i].paddr,
				      module->file.size);
		if (!r && module->cmdline[0])
			r = place_string(boot, module->cmdline, &list[i].cmdline_paddr);
		if (r)
			return r;
	}
	r = boot_place(boot, 0x1000, BOOT_EBDA, bytes, 16, "module list",
		       &info->modlist_paddr);
	info->nr_modules = boot->nr_modules;
	return r ? r : memory_write(boot->memory, info->modlist_paddr, list, bytes);
}

static int place_memmap(struct boot *boot, struct start_info *info)
{
	struct memmap_entry map[BOOT_E820_MAX] = { 0 };
	uint64_t bytes = boot->nr_e820 * sizeof(map[0]);
	unsigned int i;
	int r;

	for (i = 0; i < boot->nr_e820; i++) {
		map[i].addr = boot->e820[i].address;
		map[i].size = boot->e820[i].length;
		map[i].type = boot->e820[i].type;
	}
	r = boot_place(boot, 0x1000, BOOT_EBDA, bytes, 16, "memory map", &info->memmap_paddr);
	info->memmap_entries = boot->nr_e820;
	return r ? r : memory_write(boot->memory, info->memmap_paddr, map, bytes);
}

static int load(struct boot *boot)
{
	struct start_info info = {
		.magic = START_MAGIC,
		.version = START_VERSION,
		.rsdp_paddr = boot->rsdp,
	};
	struct elf elf;
	uint64_t entry = 0, end;
	int r;

	r = elf_parse(boot, &elf);
	if (r)
		return r;
	if (!find_entry(boot->kernel, &elf, &entry))
		return boot_fail(boot, "%s: the PVH entry has gone", boot->kernel->path);
	r = elf_load(boot, &elf, &end);
	if (r)
		return r;
	if (entry > UINT32_MAX || !memory_ptr(boot->memory, entry, 1))
		return boot_fail(boot, "%s: its PVH entry point %#llx is not in the guest's memory",
				 boot->kernel->path, (unsigned long long)entry);
	if (end < BOOT_ACPI_END)
		end = BOOT_ACPI_END;
	r = place_modules(boot, end, &info);
	if (!r)
		r = place_memmap(boot, &info);
	if (!r)
		r = place_string(boot, boot->cmdline, &info.cmdline_paddr);
	if (!r)
		r = boot_place(boot, 0x1000, BOOT_EBDA, sizeof(info), 16, "start information",
			       &boot->start.rbx);
	if (!r)
		r = memory_write(boot->memory, boot->start.rbx, &info, sizeof(info));
	if (!r)
		r = boot_gdt(boot, CODE_SELECTOR, false);
	boot->start.mode = BOOT_FLAT32;
	boot->start.rip = entry;
	return r;
}

const struct boot_loader boot_pvh = { "PVH", probe, load };

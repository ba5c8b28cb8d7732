// SPDX-License-Identifier: GPL-2.0-only
/*
 * Program headers into one form, and loadable segments to their physical
 * addresses. Section headers are not looked at.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "elf.h"
#include "../util.h"

/**
 * elf_is() - whether a file is an ELF file
 * @file: the file
 *
 * Return: true by its magic number.
 */
bool elf_is(const struct boot_file *file)
{
	uint8_t magic[SELFMAG];

	return !boot_file_read(file, 0, magic, sizeof(magic)) && !memcmp(magic, ELFMAG, SELFMAG);
}

static void widen(const Elf32_Phdr *phdr, struct elf_segment *segment)
{
	*segment = (struct elf_segment){
		.type = phdr->p_type,
		.offset = phdr->p_offset,
		.vaddr = phdr->p_vaddr,
		.paddr = phdr->p_paddr,
		.filesz = phdr->p_filesz,
		.memsz = phdr->p_memsz,
	};
}

static int read_phdr(const struct boot_file *file, bool is_64, uint64_t offset,
		     struct elf_segment *segment)
{
	Elf32_Phdr phdr32;
	Elf64_Phdr phdr64;
	int r;

	if (!is_64) {
		r = boot_file_read(file, offset, &phdr32, sizeof(phdr32));
		if (!r)
			widen(&phdr32, segment);
		return r;
	}
	r = boot_file_read(file, offset, &phdr64, sizeof(phdr64));
	if (!r)
		*segment = (struct elf_segment){
			.type = phdr64.p_type,
			.offset = phdr64.p_offset,
			.vaddr = phdr64.p_vaddr,
			.paddr = phdr64.p_paddr,
			.filesz = phdr64.p_filesz,
			.memsz = phdr64.p_memsz,
		};
	return r;
}

static int check_segment(struct boot *boot, const struct elf_segment *segment)
{
	const char *path = boot->kernel->path;

	if (segment->type == PT_LOAD && segment->filesz > segment->memsz)
		return boot_fail(boot, "%s: a segment has more bytes in the file than in memory",
				 path);
	if (segment->type != PT_LOAD && segment->type != PT_NOTE)
		return 0;
	if (segment->offset > boot->kernel->size ||
	    segment->filesz > boot->kernel->size - segment->offset)
		return boot_fail(boot, "%s: truncated: a segment of %llu bytes at %llu is not all there",
				 path, (unsigned long long)segment->filesz,
				 (unsigned long long)segment->offset);
	return 0;
}

/**
 * elf_parse() - read and check the program headers
 * @boot: its kernel is the file
 * @elf: to be filled
 *
 * Return: 0; -EINVAL with a message.
 */
int elf_parse(struct boot *boot, struct elf *elf)
{
	const struct boot_file *file = boot->kernel;
	unsigned char ident[EI_NIDENT];
	Elf64_Ehdr ehdr64;
	Elf32_Ehdr ehdr32;
	uint64_t phoff, entsize, want;
	unsigned int machine, phnum, i;
	bool is_64;
	int r;

	memset(elf, 0, sizeof(*elf));
	if (boot_file_read(file, 0, ident, sizeof(ident)))
		return boot_fail(boot, "%s: truncated within the ELF header", file->path);
	if (ident[EI_DATA] != ELFDATA2LSB)
		return boot_fail(boot, "%s: a big-endian ELF file", file->path);
	is_64 = ident[EI_CLASS] == ELFCLASS64;
	if (!is_64 && ident[EI_CLASS] != ELFCLASS32)
		return boot_fail(boot, "%s: an ELF file of unknown class %u", file->path,
				 ident[EI_CLASS]);
	if (is_64) {
		r = boot_file_read(file, 0, &ehdr64, sizeof(ehdr64));
		machine = ehdr64.e_machine;
		phoff = ehdr64.e_phoff;
		phnum = ehdr64.e_phnum;
		entsize = ehdr64.e_phentsize;
		elf->entry = ehdr64.e_entry;
		want = sizeof(Elf64_Phdr);
	} else {
		r = boot_file_read(file, 0, &ehdr32, sizeof(ehdr32));
		machine = ehdr32.e_machine;
		phoff = ehdr32.e_phoff;
		phnum = ehdr32.e_phnum;
		entsize = ehdr32.e_phentsize;
		elf->entry = ehdr32.e_entry;
		want = sizeof(Elf32_Phdr);
	}
	if (r)
		return boot_fail(boot, "%s: truncated within the ELF header", file->path);
	if (machine != EM_386 && machine != EM_X86_64)
		return boot_fail(boot, "%s: an ELF file for another processor (machine %u)",
				 file->path, machine);
	if (!phnum)
		return boot_fail(boot, "%s: an ELF file without program headers: an object file or a module, not a kernel",
				 file->path);
	if (entsize != want)
		return boot_fail(boot, "%s: program headers of %llu bytes instead of %llu",
				 file->path, (unsigned long long)entsize,
				 (unsigned long long)want);
	if (phnum > ELF_SEGMENTS_MAX)
		return boot_fail(boot, "%s: %u program headers; at most %u are supported",
				 file->path, phnum, ELF_SEGMENTS_MAX);
	if (phoff > file->size || phnum * want > file->size - phoff)
		return boot_fail(boot, "%s: truncated: the program headers are not all there",
				 file->path);

	for (i = 0; i < phnum; i++) {
		r = read_phdr(file, is_64, phoff + i * want, &elf->segment[i]);
		if (r)
			return boot_fail(boot, "%s: cannot be read", file->path);
		r = check_segment(boot, &elf->segment[i]);
		if (r)
			return r;
	}
	elf->nr = phnum;
	return 0;
}

/**
 * elf_load() - copy the loadable segments
 * @boot: its kernel is the file
 * @elf: from elf_parse()
 * @end: first address behind all of them
 *
 * Return: 0; -EINVAL with a message.
 */
int elf_load(struct boot *boot, const struct elf *elf, uint64_t *end)
{
	unsigned int i;
	int r;

	*end = 0;
	for (i = 0; i < elf->nr; i++) {
		const struct elf_segment *segment = &elf->segment[i];

		if (segment->type != PT_LOAD || !segment->memsz)
			continue;
		r = boot_claim(boot, segment->paddr, segment->memsz, "segment");
		if (r)
			return r;
		/* The rest of @memsz is zero as all of memory is. */
		r = boot_copy(boot, boot->kernel, segment->offset, segment->paddr,
			      segment->filesz);
		if (r)
			return r;
		if (segment->paddr + segment->memsz > *end)
			*end = segment->paddr + segment->memsz;
	}
	if (!*end)
		return boot_fail(boot, "%s: an ELF file without anything to load",
				 boot->kernel->path);
	return 0;
}

/**
 * elf_physical() - where the code of a virtual address is loaded
 * @elf: from elf_parse()
 * @vaddr: virtual address
 *
 * Return: the physical address; @vaddr itself if no segment has it.
 */
uint64_t elf_physical(const struct elf *elf, uint64_t vaddr)
{
	unsigned int i;

	for (i = 0; i < elf->nr; i++) {
		const struct elf_segment *segment = &elf->segment[i];

		if (segment->type == PT_LOAD && vaddr >= segment->vaddr &&
		    vaddr - segment->vaddr < segment->memsz)
			return segment->paddr + (vaddr - segment->vaddr);
	}
	return vaddr;
}

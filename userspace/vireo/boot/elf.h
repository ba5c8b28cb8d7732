/* SPDX-License-Identifier: GPL-2.0-only */
/* ELF files as kernels, 32 and 64 bits. */
#ifndef VIREO_BOOT_ELF_H
#define VIREO_BOOT_ELF_H

#include "boot.h"

#define ELF_SEGMENTS_MAX 64

/**
 * struct elf_segment - a program header, of either width
 * @type: PT_*
 * @offset: in the file
 * @vaddr: virtual address
 * @paddr: physical address
 * @filesz: bytes in the file
 * @memsz: bytes in memory
 */
struct elf_segment {
	uint32_t type;
	uint64_t offset;
	uint64_t vaddr;
	uint64_t paddr;
	uint64_t filesz;
	uint64_t memsz;
};

struct elf {
	uint64_t entry;
	unsigned int nr;
	struct elf_segment segment[ELF_SEGMENTS_MAX];
};

bool elf_is(const struct boot_file *file);
int elf_parse(struct boot *boot, struct elf *elf);
int elf_load(struct boot *boot, const struct elf *elf, uint64_t *end);
uint64_t elf_physical(const struct elf *elf, uint64_t vaddr);

#endif /* VIREO_BOOT_ELF_H */

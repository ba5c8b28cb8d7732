// SPDX-License-Identifier: GPL-2.0-only
#include <elf.h>
#include <string.h>

#include "image.h"

void put16(struct image *image, size_t at, uint16_t value)
{
	memcpy(image->byte + at, &value, sizeof(value));
}

void put32(struct image *image, size_t at, uint32_t value)
{
	memcpy(image->byte + at, &value, sizeof(value));
}

void put64(struct image *image, size_t at, uint64_t value)
{
	memcpy(image->byte + at, &value, sizeof(value));
}

static void start(struct image *image, size_t len)
{
	size_t i;

	memset(image, 0, sizeof(*image));
	image->len = len;
	for (i = 0; i < len; i++)
		image->byte[i] = (uint8_t)(i * 7 + (i >> 8));
}

/* Two setup sectors, 4 KiB of kernel, protocol 2.15, 64-bit. */
void image_linux(struct image *image)
{
	start(image, 3 * 512 + 4096);
	memset(image->byte + 0x1f1, 0, 0x7b);
	image->byte[0x1f1] = 2;
	put32(image, 0x1f4, 4096 / 16);
	put16(image, 0x1fe, 0xaa55);
	image->byte[0x200] = 0xeb;
	image->byte[0x201] = 0x6a;
	memcpy(image->byte + 0x202, "HdrS", 4);
	put16(image, 0x206, 0x020f);
	image->byte[0x211] = 0x01;
	put32(image, 0x214, 0x100000);
	put32(image, 0x22c, 0x7fffffff);
	put32(image, 0x230, 0x200000);
	image->byte[0x234] = 1;
	put16(image, 0x236, 0x0001);
	put32(image, 0x238, 255);
	put64(image, 0x258, 0x1000000);
	put32(image, 0x260, 0x100000);
}

/* ELF32, one segment of 256 bytes in the file and 512 in memory at 4 MiB. */
void image_multiboot_elf(struct image *image)
{
	Elf32_Ehdr *ehdr = (void *)image->byte;
	Elf32_Phdr *phdr = (void *)(image->byte + 64);

	start(image, 1024);
	memset(image->byte, 0, 256);
	memcpy(ehdr->e_ident, ELFMAG, SELFMAG);
	ehdr->e_ident[EI_CLASS] = ELFCLASS32;
	ehdr->e_ident[EI_DATA] = ELFDATA2LSB;
	ehdr->e_machine = EM_386;
	ehdr->e_entry = 0x80400010;
	ehdr->e_phoff = 64;
	ehdr->e_phentsize = sizeof(*phdr);
	ehdr->e_phnum = 1;
	phdr->p_type = PT_LOAD;
	phdr->p_offset = 256;
	phdr->p_vaddr = 0x80400000;
	phdr->p_paddr = 0x400000;
	phdr->p_filesz = 256;
	phdr->p_memsz = 512;
	put32(image, 256, 0x1badb002);
	put32(image, 260, 3);
	put32(image, 264, (uint32_t)-(0x1badb002 + 3));
}

/* The a.out kludge: header at 64 of the file, loaded at 2 MiB. */
void image_multiboot_flat(struct image *image)
{
	start(image, 1024);
	put32(image, 64, 0x1badb002);
	put32(image, 68, 0x10003);
	put32(image, 72, (uint32_t)-(0x1badb002 + 0x10003));
	put32(image, 76, 0x200040);
	put32(image, 80, 0x200000);
	put32(image, 84, 0x200200);
	put32(image, 88, 0x200800);
	put32(image, 92, 0x200060);
}

/* ELF64 with a note, one segment at 16 MiB. */
void image_pvh(struct image *image)
{
	Elf64_Ehdr *ehdr = (void *)image->byte;
	Elf64_Phdr *phdr = (void *)(image->byte + 64);

	start(image, 2048);
	memset(image->byte, 0, 512);
	memcpy(ehdr->e_ident, ELFMAG, SELFMAG);
	ehdr->e_ident[EI_CLASS] = ELFCLASS64;
	ehdr->e_ident[EI_DATA] = ELFDATA2LSB;
	ehdr->e_machine = EM_X86_64;
	ehdr->e_entry = 0x1000000;
	ehdr->e_phoff = 64;
	ehdr->e_phentsize = sizeof(*phdr);
	ehdr->e_phnum = 2;
	phdr[0].p_type = PT_LOAD;
	phdr[0].p_offset = 1024;
	phdr[0].p_vaddr = 0xffffffff81000000;
	phdr[0].p_paddr = 0x1000000;
	phdr[0].p_filesz = 1024;
	phdr[0].p_memsz = 8192;
	phdr[1].p_type = PT_NOTE;
	phdr[1].p_offset = 256;
	phdr[1].p_filesz = 48;
	/* First a note that is not ours. */
	put32(image, 256, 4);
	put32(image, 260, 8);
	put32(image, 264, 6);
	memcpy(image->byte + 268, "Xen", 4);
	put32(image, 280, 4);
	put32(image, 284, 8);
	put32(image, 288, 18);
	memcpy(image->byte + 292, "Xen", 4);
	put64(image, 296, 0x1000100);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The Linux boot protocol (Documentation/arch/x86/boot.rst) for bzImages.
 *
 * The real-mode part of the file is read for its header only. The rest goes to
 * 1 MiB; the kernel moves itself from there. 64-bit kernels are entered in
 * long mode at 0x200 behind the start, older or 32-bit ones in protected mode
 * at the start.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "boot.h"
#include "../util.h"

#define SECTOR			512ULL
#define HEADER			0x1f1	/* of setup_header, in file and boot_params */
#define BOOT_FLAG		0x1fe
#define BOOT_FLAG_MAGIC		0xaa55
#define JUMP			0x200
#define MAGIC			0x202
#define SETUP_SECTS_DEFAULT	4

#define PROTOCOL_MIN		0x0206	/* cmdline_size; Linux 2.6.22 of 2007 */
#define PROTOCOL_RELOCATABLE	0x020a	/* pref_address, init_size */
#define PROTOCOL_XLOADFLAGS	0x020c

#define LOADFLAG_HIGH		0x01
#define LOADFLAG_HEAP		0x80
#define XLOADFLAG_KERNEL_64	0x01

#define LOADER_UNDEFINED	0xff
#define KERNEL_AT		0x100000ULL
#define ENTRY_64		0x200
#define CODE_SELECTOR		0x10

/* struct boot_params: what is used of its 4096 bytes */
#define PARAMS_BYTES		4096
#define PARAMS_ACPI_RSDP	0x070
#define PARAMS_EXT_INITRD	0x0c0
#define PARAMS_EXT_CMDLINE	0x0c8
#define PARAMS_E820_ENTRIES	0x1e8
#define PARAMS_E820		0x2d0

/* struct setup_header, all little-endian, as of protocol 2.15 */
struct setup_header {
	uint8_t setup_sects;
	uint16_t root_flags;
	uint32_t syssize;
	uint16_t ram_size;
	uint16_t vid_mode;
	uint16_t root_dev;
	uint16_t boot_flag;
	uint16_t jump;
	uint32_t header;
	uint16_t version;
	uint32_t realmode_swtch;
	uint16_t start_sys_seg;
	uint16_t kernel_version;
	uint8_t type_of_loader;
	uint8_t loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start;
	uint32_t ramdisk_image;
	uint32_t ramdisk_size;
	uint32_t bootsect_kludge;
	uint16_t heap_end_ptr;
	uint8_t ext_loader_ver;
	uint8_t ext_loader_type;
	uint32_t cmd_line_ptr;
	uint32_t initrd_addr_max;
	uint32_t kernel_alignment;
	uint8_t relocatable_kernel;
	uint8_t min_alignment;
	uint16_t xloadflags;
	uint32_t cmdline_size;
	uint32_t hardware_subarch;
	uint64_t hardware_subarch_data;
	uint32_t payload_offset;
	uint32_t payload_length;
	uint64_t setup_data;
	uint64_t pref_address;
	uint32_t init_size;
	uint32_t handover_offset;
	uint32_t kernel_info_offset;
} __attribute__((packed));

_Static_assert(offsetof(struct setup_header, header) == MAGIC - HEADER, "layout");
_Static_assert(offsetof(struct setup_header, xloadflags) == 0x236 - HEADER, "layout");
_Static_assert(offsetof(struct setup_header, init_size) == 0x260 - HEADER, "layout");

/* What the kernel may use before it knows the memory map. */
struct extent {
	uint64_t start;
	uint64_t bytes;
};

static bool probe(struct boot *boot)
{
	uint8_t magic[4];
	uint8_t flag[2];

	if (boot_file_read(boot->kernel, MAGIC, magic, sizeof(magic)) ||
	    boot_file_read(boot->kernel, BOOT_FLAG, flag, sizeof(flag)))
		return false;
	return !memcmp(magic, "HdrS", 4) && get_le16(flag) == BOOT_FLAG_MAGIC;
}

static int read_header(struct boot *boot, struct setup_header *header)
{
	const struct boot_file *kernel = boot->kernel;
	uint64_t have = sizeof(*header), end;
	uint8_t jump = 0;
	int r;

	memset(header, 0, sizeof(*header));
	/* Its length is in the jump over it. */
	r = boot_file_read(kernel, JUMP + 1, &jump, 1);
	if (r)
		return boot_fail(boot, "%s: truncated within the setup header", kernel->path);
	end = JUMP + 2 + jump;
	if (end - HEADER < have)
		have = end - HEADER;
	r = boot_file_read(kernel, HEADER, header, have);
	if (r)
		return boot_fail(boot, "%s: truncated within the setup header", kernel->path);
	if (header->version < PROTOCOL_MIN)
		return boot_fail(boot, "%s: boot protocol %u.%02u is too old; 2.06 (Linux 2.6.22) is needed",
				 kernel->path, header->version >> 8, header->version & 0xff);
	if (!(header->loadflags & LOADFLAG_HIGH))
		return boot_fail(boot, "%s: a zImage, which wants to be loaded low; only bzImages can be booted",
				 kernel->path);
	if (have < offsetof(struct setup_header, hardware_subarch))
		return boot_fail(boot, "%s: the setup header is too short for its protocol version %u.%02u",
				 kernel->path, header->version >> 8, header->version & 0xff);
	return 0;
}

static bool is_64bit(const struct setup_header *header)
{
	return header->version >= PROTOCOL_XLOADFLAGS &&
		header->xloadflags & XLOADFLAG_KERNEL_64;
}

static int load_kernel(struct boot *boot, const struct setup_header *header,
		       struct extent *extent)
{
	const struct boot_file *kernel = boot->kernel;
	uint64_t sects = header->setup_sects ? header->setup_sects : SETUP_SECTS_DEFAULT;
	uint64_t offset = (sects + 1) * SECTOR;
	uint64_t bytes, expected;
	int r;

	if (offset >= kernel->size)
		return boot_fail(boot, "%s: truncated: the kernel should begin at byte %llu, and the file has %llu",
				 kernel->path, (unsigned long long)offset,
				 (unsigned long long)kernel->size);
	bytes = kernel->size - offset;
	/* In units of 16 bytes; a signature or the like may follow. */
	expected = (uint64_t)header->syssize * 16;
	if (bytes + 15 < expected)
		return boot_fail(boot, "%s: truncated: %llu of %llu bytes of the kernel are there",
				 kernel->path, (unsigned long long)bytes,
				 (unsigned long long)expected);
	if (is_64bit(header) && bytes <= ENTRY_64)
		return boot_fail(boot, "%s: truncated before the 64-bit entry point", kernel->path);

	/*
	 * The kernel unpacks itself at pref_address, or where it was loaded if
	 * that is higher, and needs init_size bytes from there.
	 */
	extent->start = KERNEL_AT;
	extent->bytes = bytes;
	if (header->version >= PROTOCOL_RELOCATABLE && header->init_size) {
		if (header->pref_address > KERNEL_AT)
			extent->start = header->pref_address;
		extent->bytes = header->init_size;
		if (extent->start > 1ULL << 32 ||
		    !memory_ptr(boot->memory, extent->start, extent->bytes))
			return boot_fail(boot, "%s: unpacks itself at %llu MiB and needs %llu MiB from there; the guest has %llu MiB (see --memory)",
					 kernel->path,
					 (unsigned long long)(extent->start / MIB),
					 (unsigned long long)((extent->bytes + MIB - 1) / MIB),
					 (unsigned long long)(boot->memory->total / MIB));
	}
	r = boot_claim(boot, KERNEL_AT, bytes, "kernel");
	if (r)
		return r;
	return boot_copy(boot, kernel, offset, KERNEL_AT, bytes);
}

static int load_initrd(struct boot *boot, struct setup_header *header,
		       const struct extent *extent)
{
	const struct boot_file *initrd = &boot->modules[0].file;
	uint64_t high = (uint64_t)header->initrd_addr_max + 1;
	uint64_t low = extent->start + extent->bytes;
	uint64_t where;
	int r;

	if (high > boot_low_end(boot))
		high = boot_low_end(boot);
	if (low < KERNEL_AT + boot->kernel->size)
		low = KERNEL_AT + boot->kernel->size;
	if (initrd->size > UINT32_MAX || low > high || initrd->size > high - low)
		return boot_fail(boot, "%s: the initrd has %llu MiB, and between the kernel and %llu MiB there is room for %llu MiB (see --memory)",
				 initrd->path,
				 (unsigned long long)((initrd->size + MIB - 1) / MIB),
				 (unsigned long long)(high / MIB),
				 (unsigned long long)(low > high ? 0 : (high - low) / MIB));
	r = boot_place_high(boot, low, high, initrd->size, 4096, "initrd", &where);
	if (r)
		return r;
	r = boot_copy(boot, initrd, 0, where, initrd->size);
	if (r)
		return r;
	header->ramdisk_image = (uint32_t)where;
	header->ramdisk_size = (uint32_t)initrd->size;
	return 0;
}

static int load_cmdline(struct boot *boot, struct setup_header *header)
{
	uint64_t len = strlen(boot->cmdline), where;
	int r;

	if (len > header->cmdline_size)
		return boot_fail(boot, "the command line has %llu bytes, and this kernel takes %u",
				 (unsigned long long)len, header->cmdline_size);
	r = boot_place(boot, 0x10000, BOOT_EBDA, len + 1, 16, "command line", &where);
	if (r)
		return r;
	header->cmd_line_ptr = (uint32_t)where;
	return memory_write(boot->memory, where, boot->cmdline, len + 1);
}

static int write_params(struct boot *boot, struct setup_header *header, uint64_t *where)
{
	uint8_t *params;
	int r;

	r = boot_place(boot, 0x1000, BOOT_EBDA, PARAMS_BYTES, 4096, "boot parameters", where);
	if (r)
		return r;
	header->type_of_loader = LOADER_UNDEFINED;
	header->loadflags &= (uint8_t)~LOADFLAG_HEAP;
	header->code32_start = KERNEL_AT;
	params = memory_ptr(boot->memory, *where, PARAMS_BYTES);
	memset(params, 0, PARAMS_BYTES);
	memcpy(params + HEADER, header, sizeof(*header));
	memcpy(params + PARAMS_ACPI_RSDP, &boot->rsdp, sizeof(boot->rsdp));
	params[PARAMS_E820_ENTRIES] = (uint8_t)boot->nr_e820;
	memcpy(params + PARAMS_E820, boot->e820, boot->nr_e820 * sizeof(boot->e820[0]));
	return 0;
}

static int load(struct boot *boot)
{
	struct setup_header header;
	struct extent extent = { 0 };
	uint64_t params;
	int r;

	r = read_header(boot, &header);
	if (r)
		return r;
	if (boot->nr_modules > boot->has_initrd)
		return boot_fail(boot, "%s: a Linux kernel takes no modules (--module is for Multiboot and PVH)",
				 boot->kernel->path);
	r = load_kernel(boot, &header, &extent);
	if (!r && boot->has_initrd)
		r = load_initrd(boot, &header, &extent);
	if (!r)
		r = load_cmdline(boot, &header);
	if (!r)
		r = write_params(boot, &header, &params);
	if (!r)
		r = boot_gdt(boot, CODE_SELECTOR, is_64bit(&header));
	if (r)
		return r;

	boot->start.rsi = params;
	if (is_64bit(&header)) {
		boot->start.mode = BOOT_LONG64;
		boot->start.rip = KERNEL_AT + ENTRY_64;
		return boot_page_tables(boot);
	}
	boot->start.mode = BOOT_FLAT32;
	boot->start.rip = KERNEL_AT;
	return 0;
}

const struct boot_loader boot_linux = { "Linux", probe, load };

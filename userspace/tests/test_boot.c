// SPDX-License-Identifier: GPL-2.0-only
/* Boot protocols: what lands where, and what every broken file is told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image.h"
#include "tap.h"
#include "../vireo/util.h"
#include "../vireo/pci/pci.h"
#include "../vireo/boot/boot.h"

static struct guest_memory memory;
static struct image image;
static struct boot_file kernel;
static struct boot_module modules[BOOT_MODULES_MAX];
static uint8_t module_bytes[10000];
static struct boot boot;

static void fresh(uint64_t bytes)
{
	memory_free(&memory);
	memory_alloc(&memory, bytes);
	memset(&boot, 0, sizeof(boot));
	kernel = (struct boot_file){ "kernel", image.len, -1, image.byte };
	boot.memory = &memory;
	boot.kernel = &kernel;
	boot.modules = modules;
	boot.cmdline = "root=/dev/vda quiet";
	boot.rsdp = 0xf0000;
}

static void add_module(bool initrd, uint64_t bytes)
{
	boot.has_initrd |= initrd;
	modules[boot.nr_modules++] = (struct boot_module){
		{ "module", bytes, -1, module_bytes }, "text",
	};
}

static int load(void)
{
	kernel.size = image.len;
	return boot_load(&boot);
}

/* Loading fails, and says @text. */
static void refused(const char *text, const char *what)
{
	int r = load();

	if (!ok(r == -EINVAL && strstr(boot.error, text), "refused: %s", what))
		printf("# result %d, message: %s\n", r, boot.error);
	fresh(memory.total);
}

static const char *guest_text(uint64_t gpa)
{
	const char *at = memory_ptr(&memory, gpa, 64);

	return at ? at : "";
}

static void test_linux(void)
{
	struct vireo_sregs sregs = { .apic_base = 0xfee00900, .xcr0 = 1 };
	uint8_t *params, *loaded;
	uint64_t *table;
	uint64_t initrd;

	image_linux(&image);
	fresh(64 * MIB);
	add_module(true, sizeof(module_bytes));
	is(load(), 0, "a bzImage with initrd: %s", boot.error);
	is(strcmp(boot.protocol, "Linux"), 0, "is recognised");
	is(boot.start.mode, BOOT_LONG64, "64-bit entry");
	is(boot.start.rip, 0x100200, "at 0x200");
	loaded = memory_ptr(&memory, 0x100000, 4096);
	is(memcmp(loaded, image.byte + 1536, 4096), 0, "the kernel is at 1 MiB");
	params = memory_ptr(&memory, boot.start.rsi, 4096);
	ok(params, "boot parameters are in memory");
	is(memcmp(params + 0x202, "HdrS", 4), 0, "with the header");
	is(params[0x210], 0xff, "type of loader");
	is(strcmp(guest_text(get_le32(params + 0x228)), boot.cmdline), 0, "command line");
	is(get_le64(params + 0x70), 0xf0000, "RSDP");
	initrd = get_le32(params + 0x218);
	is(get_le32(params + 0x21c), sizeof(module_bytes), "size of the initrd");
	is(memcmp(memory_ptr(&memory, initrd, sizeof(module_bytes)), module_bytes,
		  sizeof(module_bytes)), 0, "the initrd is where it says");
	ok(initrd >= 0x1100000 && initrd % 4096 == 0, "behind where the kernel unpacks");
	is(params[0x1e8], boot.nr_e820, "number of e820 entries");
	is(memcmp(params + 0x2d0, boot.e820, boot.nr_e820 * 20), 0, "e820");
	is(boot.e820[boot.nr_e820 - 3].address + boot.e820[boot.nr_e820 - 3].length, 64 * MIB,
	   "memory ends where it does");
	is(boot.e820[boot.nr_e820 - 2].address, 64 * MIB, "the hole behind it");
	is(boot.e820[boot.nr_e820 - 2].length, PCI_LOW_BASE - 64 * MIB, "up to PCI's window");
	is(boot.e820[boot.nr_e820 - 2].type, 2, "is not for PCI");
	is(boot.e820[boot.nr_e820 - 1].address, PCI_ECAM_BASE, "and PCI's configuration space");
	table = memory_ptr(&memory, boot.start.cr3, 6 * 4096);
	is(table[0] & ~0xfffULL, boot.start.cr3 + 4096, "page tables");
	is(table[2 * 512 + 3], 0x600083, "identity, 2 MiB pages");
	boot_sregs(&boot.start, &sregs);
	is(sregs.efer, 0x500, "EFER");
	is(sregs.cr4, 0x20, "CR4");
	is(sregs.cr0 & 0x80000001, 0x80000001, "CR0");
	is(sregs.seg[VIREO_SEG_CS].selector, 0x10, "__BOOT_CS");
	is(sregs.seg[VIREO_SEG_DS].selector, 0x18, "__BOOT_DS");
	is(sregs.apic_base, 0xfee00900, "what the module set stays");

	fresh(5 * GIB);
	is(load(), 0, "5 GiB");
	is(boot.e820[boot.nr_e820 - 1].address, 4 * GIB, "two of them above 4 GiB");

	put16(&image, 0x236, 0);
	fresh(64 * MIB);
	is(load(), 0, "a 32-bit kernel");
	is(boot.start.mode, BOOT_FLAT32, "32-bit entry");
	is(boot.start.rip, 0x100000, "at its start");
	boot_sregs(&boot.start, &sregs);
	is(sregs.cr0, 0x11, "protected mode without paging");

	image_linux(&image);
	put32(&image, 0x22c, 0x1ffffff);
	fresh(64 * MIB);
	add_module(true, sizeof(module_bytes));
	load();
	params = memory_ptr(&memory, boot.start.rsi, 4096);
	ok(get_le32(params + 0x218) + sizeof(module_bytes) <= 0x2000000,
	   "initrd_addr_max is kept");
}

static void test_broken_linux(void)
{
	char *text;

	image_linux(&image);
	fresh(64 * MIB);
	image.len = 0x230;
	refused("truncated within the setup header", "truncated in the header");
	image_linux(&image);
	image.len = 1000;
	refused("truncated: the kernel should begin", "truncated in the setup");
	image_linux(&image);
	image.len -= 100;
	refused("truncated: 3996 of 4096", "truncated in the kernel");
	image_linux(&image);
	image.byte[0x1f1] = 200;
	refused("truncated", "more setup than file");
	image_linux(&image);
	put16(&image, 0x206, 0x0204);
	refused("boot protocol 2.04 is too old", "an old protocol");
	image_linux(&image);
	image.byte[0x211] = 0;
	refused("zImage", "a zImage");
	image_linux(&image);
	image.byte[0x201] = 0x10;
	refused("setup header is too short", "a short header");
	image_linux(&image);
	put64(&image, 0x258, 63 * MIB);
	put32(&image, 0x260, 2 * MIB);
	refused("unpacks itself at 63 MiB", "too little memory to unpack");
	put64(&image, 0x258, UINT64_MAX - 100);
	refused("unpacks itself", "an address that wraps");
	put64(&image, 0x258, 0x1000000);
	put32(&image, 0x260, 0xffffffff);
	refused("needs 4096 MiB", "a size of 4 GiB");
	image_linux(&image);
	text = malloc(300);
	memset(text, 'x', 299);
	text[299] = '\0';
	boot.cmdline = text;
	refused("takes 255", "a long command line");
	free(text);
	add_module(true, 1000 * MIB);
	refused("the initrd has 1000 MiB", "an initrd that does not fit");
	put32(&image, 0x22c, 0x800000);
	add_module(true, 4096);
	refused("room for 0 MiB", "no room below initrd_addr_max");
	image_linux(&image);
	add_module(false, 4096);
	refused("takes no modules", "a module");
	image.len = 0;
	refused("empty", "an empty file");
	image.len = 3;
	refused("not a kernel", "three bytes");
	memset(image.byte, 0, sizeof(image.byte));
	image.len = 8000;
	refused("not a kernel", "zeros");
}

static void test_multiboot(void)
{
	const uint8_t *info, *list;
	uint8_t *at;

	image_multiboot_elf(&image);
	fresh(64 * MIB);
	add_module(false, 5000);
	add_module(false, 100);
	is(load(), 0, "Multiboot ELF with modules: %s", boot.error);
	is(strcmp(boot.protocol, "Multiboot"), 0, "is recognised");
	is(boot.start.rax, 0x2badb002, "EAX");
	is(boot.start.rip, 0x400010, "the entry's virtual address is translated");
	at = memory_ptr(&memory, 0x400000, 512);
	is(memcmp(at, image.byte + 256, 256), 0, "the segment is loaded");
	is(at[256] | at[511], 0, "its bss is zero");
	info = memory_ptr(&memory, boot.start.rbx, 100);
	is(get_le32(info), 0x24d, "flags");
	is(get_le32(info + 4), 639, "lower memory");
	is(get_le32(info + 8), 63 * 1024, "upper memory");
	is(strcmp(guest_text(get_le32(info + 16)), boot.cmdline), 0, "command line");
	is(get_le32(info + 20), 2, "modules");
	list = memory_ptr(&memory, get_le32(info + 24), 32);
	is(get_le32(list + 4) - get_le32(list), 5000, "first one's size");
	is(memcmp(memory_ptr(&memory, get_le32(list), 5000), module_bytes, 5000), 0, "content");
	is(strcmp(guest_text(get_le32(list + 8)), "text"), 0, "text");
	is(get_le32(list + 16) % 4096, 0, "second one begins at a page");
	is(get_le32(info + 44), boot.nr_e820 * 24, "memory map");
	is(memcmp((uint8_t *)memory_ptr(&memory, get_le32(info + 48), 24) + 4, boot.e820, 20), 0,
	   "its first entry");
	is(strcmp(guest_text(get_le32(info + 64)), "Vireo"), 0, "name of the loader");

	image_multiboot_flat(&image);
	fresh(64 * MIB);
	is(load(), 0, "the a.out kludge: %s", boot.error);
	is(boot.start.rip, 0x200060, "entry");
	is(memcmp(memory_ptr(&memory, 0x200000, 512), image.byte, 512), 0, "loaded");
	put32(&image, 84, 0);
	put32(&image, 88, 0);
	fresh(64 * MIB);
	is(load(), 0, "without end addresses");
	is(memcmp(memory_ptr(&memory, 0x200000, 1024), image.byte, 1024), 0, "all of the file");
}

static void test_broken_multiboot(void)
{
	fresh(64 * MIB);
	image_multiboot_flat(&image);
	put32(&image, 80, 0x200080);
	refused("does not fit", "load address behind the header");
	image_multiboot_flat(&image);
	put32(&image, 80, 0x100000);
	refused("does not fit", "load address before the file's start");
	image_multiboot_flat(&image);
	put32(&image, 84, 0x100);
	refused("end before they begin", "end before begin");
	image_multiboot_flat(&image);
	put32(&image, 84, 0x300000);
	refused("truncated", "more than the file has");
	image_multiboot_flat(&image);
	put32(&image, 88, 0x200100);
	refused("bss ends", "bss before the end");
	image_multiboot_flat(&image);
	put32(&image, 88, 0xfffffff0);
	refused("has no memory for", "bss of 4 GiB");
	image_multiboot_flat(&image);
	put32(&image, 92, 0x80000000);
	refused("entry point", "entry outside of memory");
	image_multiboot_flat(&image);
	put32(&image, 76, 0xf0040);
	put32(&image, 80, 0xf0000);
	put32(&image, 84, 0);
	put32(&image, 88, 0);
	refused("overlaps the firmware's area", "onto the ACPI tables");
	image_multiboot_flat(&image);
	put32(&image, 68, 0x10023);
	put32(&image, 72, (uint32_t)-(0x1badb002 + 0x10023));
	refused("requires Multiboot features", "unknown required feature");
	image_multiboot_flat(&image);
	put32(&image, 68, 0x3);
	put32(&image, 72, (uint32_t)-(0x1badb002 + 0x3));
	refused("not ELF", "no addresses and no ELF");
	image_multiboot_flat(&image);
	image.len = 90;
	refused("not a kernel", "truncated in the header");
	image_multiboot_elf(&image);
	add_module(false, 100 * MIB);
	refused("no room for the module", "a module that does not fit");
	image_multiboot_elf(&image);
	image.len = 300;
	refused("truncated: a segment", "truncated in a segment");
	image_multiboot_elf(&image);
	put32(&image, 64 + 12, 0xfffff000);
	put32(&image, 64 + 20, 0x2000);
	refused("has no memory for", "a segment that wraps");
}

static void test_pvh(void)
{
	const uint8_t *info, *list;

	image_pvh(&image);
	fresh(64 * MIB);
	add_module(true, 5000);
	is(load(), 0, "PVH with initrd: %s", boot.error);
	is(strcmp(boot.protocol, "PVH"), 0, "is recognised");
	is(boot.start.rip, 0x1000100, "entry of the note");
	is(boot.start.mode, BOOT_FLAT32, "32-bit entry");
	info = memory_ptr(&memory, boot.start.rbx, 56);
	is(get_le32(info), 0x336ec578, "magic");
	is(get_le32(info + 4), 1, "version");
	is(get_le32(info + 12), 1, "modules");
	list = memory_ptr(&memory, get_le64(info + 16), 32);
	is(get_le64(list + 8), 5000, "size");
	is(memcmp(memory_ptr(&memory, get_le64(list), 5000), module_bytes, 5000), 0, "content");
	is(strcmp(guest_text(get_le64(info + 24)), boot.cmdline), 0, "command line");
	is(get_le64(info + 32), 0xf0000, "RSDP");
	is(get_le32(info + 48), boot.nr_e820, "memory map");
	is(memcmp(memory_ptr(&memory, 0x1000000, 1024), image.byte + 1024, 1024), 0,
	   "the segment is loaded at its physical address");
}

static void test_broken_elf(void)
{
	fresh(64 * MIB);
	image_pvh(&image);
	put32(&image, 288, 17);
	refused("neither a Multiboot header nor a PVH entry", "no entry note");
	image_pvh(&image);
	put32(&image, 256, 0xffffffff);
	refused("neither a Multiboot header nor a PVH entry", "a note of 4 GiB");
	image_pvh(&image);
	put64(&image, 296, 0x5000000);
	refused("entry point", "entry outside of memory");
	image_pvh(&image);
	put64(&image, 296, UINT64_MAX);
	refused("entry point", "entry beyond 4 GiB");
	image_pvh(&image);
	image.len = 40;
	refused("truncated within the ELF header", "truncated in the header");
	image_pvh(&image);
	image.len = 10;
	refused("truncated within the ELF header", "truncated in the identification");
	image_pvh(&image);
	put64(&image, 32, UINT64_MAX - 10);
	refused("program headers are not all there", "program headers that wrap");
	image_pvh(&image);
	put16(&image, 56, 0);
	refused("without program headers", "an object file");
	image_pvh(&image);
	put16(&image, 56, 1000);
	refused("1000 program headers", "a thousand program headers");
	image_pvh(&image);
	put16(&image, 54, 8);
	refused("program headers of 8 bytes", "program headers too small");
	image_pvh(&image);
	put16(&image, 18, 183);
	refused("another processor", "an arm64 kernel");
	image_pvh(&image);
	image.byte[5] = 2;
	refused("big-endian", "big-endian");
	image_pvh(&image);
	image.byte[4] = 7;
	refused("unknown class", "unknown class");
	image_pvh(&image);
	put64(&image, 64 + 32, UINT64_MAX);
	refused("more bytes in the file than in memory", "a file size that wraps");
	image_pvh(&image);
	put64(&image, 64 + 8, UINT64_MAX - 100);
	refused("truncated: a segment", "an offset that wraps");
	image_pvh(&image);
	put64(&image, 64 + 40, UINT64_MAX);
	refused("has no memory for", "a memory size that wraps");
	image_pvh(&image);
	put64(&image, 64 + 24, 0xb0000000);
	refused("give it more with --memory", "too little memory");
	image_pvh(&image);
	put64(&image, 64 + 24, 0);
	refused("overlaps the BIOS data area", "onto the BIOS data area");
	image_pvh(&image);
	put32(&image, 64, 0);
	refused("without anything to load", "nothing to load");
	image_pvh(&image);
	memcpy(image.byte + 64 + 56, image.byte + 64, 56);
	put32(&image, 64 + 56, 1);
	refused("neither", "two segments, no note");
}

static void test_files(void)
{
	char path[] = "/tmp/vireo-boot-XXXXXX", byte[4];
	struct boot_file file;
	int fd = mkstemp(path);

	is(boot_file_open(&file, "/nonexistent"), -ENOENT, "no such file");
	is(boot_file_open(&file, "/tmp"), -EISDIR, "a directory");
	is(boot_file_open(&file, "/dev/null"), -EINVAL, "a device");
	ok(fd >= 0 && write(fd, "abcdef", 6) == 6, "a file");
	is(boot_file_open(&file, path), 0, "opens");
	is(file.size, 6, "with its size");
	is(boot_file_read(&file, 4, byte, 2), 0, "read at the end");
	is(boot_file_read(&file, 4, byte, 3), -ENODATA, "beyond the end");
	is(boot_file_read(&file, UINT64_MAX, byte, 2), -ENODATA, "an offset that wraps");
	ok(!ftruncate(fd, 2), "the file shrinks");
	is(boot_file_read(&file, 0, byte, 4), -ENODATA, "which is noticed");
	boot_file_close(&file);
	close(fd);
	unlink(path);
}

int main(void)
{
	memset(module_bytes, 0x5a, sizeof(module_bytes));
	test_linux();
	test_broken_linux();
	test_multiboot();
	test_broken_multiboot();
	test_pvh();
	test_broken_elf();
	test_files();
	return tap_done();
}

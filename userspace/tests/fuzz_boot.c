// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes as a kernel: every loader, with and without modules.
 *
 * The first byte chooses what is around the file. What a loader accepts has to
 * make sense; what it refuses has to come with a message.
 */
#include <stdlib.h>
#include <string.h>

#include "../vireo/boot/boot.h"
#include "../vireo/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest_memory small, large;
static const uint8_t module_bytes[5000];

static void check(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct boot boot;
	struct boot_module modules[2] = {
		{ { "initrd", sizeof(module_bytes), -1, module_bytes }, "" },
		{ { "module", 100, -1, module_bytes }, "its text" },
	};
	struct boot_file kernel = { "kernel", 0, -1, data };
	struct guest_memory *memory;
	struct vireo_sregs sregs = { 0 };

	if (!size)
		return 0;
	if (!small.nr && (memory_alloc(&small, 32 * MIB) || memory_alloc(&large, 3200 * MIB)))
		abort();
	kernel.data = data + 1;
	kernel.size = size - 1;
	memory = data[0] & 1 ? &large : &small;
	memory_clear(memory);
	memset(&boot, 0, sizeof(boot));
	boot.memory = memory;
	boot.kernel = &kernel;
	boot.modules = modules;
	boot.nr_modules = data[0] >> 1 & 3;
	if (boot.nr_modules > 2)
		boot.nr_modules = 0;
	boot.has_initrd = boot.nr_modules && data[0] & 8;
	boot.cmdline = data[0] & 16 ? "console=ttyS0" : "";
	if (boot_load(&boot)) {
		check(boot.error[0]);
		return 0;
	}
	check(memory_ptr(memory, boot.start.rip, 1));
	check(memory_ptr(memory, boot.start.gdt, 64));
	check(boot.start.mode == BOOT_FLAT32 || memory_ptr(memory, boot.start.cr3, 6 * 4096));
	check(boot.start.rip <= UINT32_MAX);
	boot_sregs(&boot.start, &sregs);
	return 0;
}

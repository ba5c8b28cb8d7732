// SPDX-License-Identifier: GPL-2.0-only
/* ACPI tables: found by a walk from the RSDP, sums, lengths, contents; AML by iasl. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "../vireo/memory.h"
#include "../vireo/util.h"
#include "../vireo/acpi/acpi.h"
#include "../vireo/acpi/aml.h"

static struct guest_memory memory;
static const struct pci_map map = { 0x100000000, 0x100000000 };

static uint8_t sum(const uint8_t *byte, uint64_t n)
{
	uint8_t total = 0;

	while (n--)
		total = (uint8_t)(total + *byte++);
	return total;
}

/* A table whose header and sum are good, or NULL. */
static uint8_t *table(uint64_t address, const char *signature)
{
	uint8_t *at = memory_ptr(&memory, address, 36);
	uint32_t length = at ? get_le32(at + 4) : 0;

	if (!at || memcmp(at, signature, 4) || length < 36 ||
	    !memory_ptr(&memory, address, length) || sum(at, length))
		return NULL;
	if (address < ACPI_AT || address + length > ACPI_AT + ACPI_BYTES)
		return NULL;
	return at;
}

static uint64_t find(uint64_t root, unsigned int width, const char *signature)
{
	uint8_t *at = memory_ptr(&memory, root, 36);
	uint32_t length = get_le32(at + 4), i;

	for (i = 36; i + width <= length; i += width) {
		uint64_t address = width == 8 ? get_le64(at + i) : get_le32(at + i);
		uint8_t *other = memory_ptr(&memory, address, 4);

		if (other && !memcmp(other, signature, 4))
			return address;
	}
	return 0;
}

static void run_iasl(const uint8_t *dsdt)
{
	char dir[] = "/tmp/vireo-acpi-XXXXXX", command[256];
	FILE *file;
	int r;

	if (system("command -v iasl >/dev/null 2>&1")) {
		tap_skip("iasl is not installed");
		return;
	}
	if (!mkdtemp(dir)) {
		tap_skip("no directory for iasl");
		return;
	}
	snprintf(command, sizeof(command), "%s/dsdt.aml", dir);
	file = fopen(command, "wb");
	ok(file && fwrite(dsdt, 1, get_le32(dsdt + 4), file) == get_le32(dsdt + 4),
	   "DSDT written to a file");
	if (file)
		fclose(file);
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d dsdt.aml >d.log 2>&1 && iasl -p again dsdt.dsl >c.log 2>&1 && "
		 "grep -q '0 Errors, 0 Warnings' c.log", dir);
	r = system(command);
	ok(WIFEXITED(r) && WEXITSTATUS(r) == 0,
	   "iasl disassembles the DSDT and compiles it again without a warning");
	if (r) {
		snprintf(command, sizeof(command), "sed 's/^/# /' %s/*.log", dir);
		r = system(command);
	}
	snprintf(command, sizeof(command), "cd %s && cmp -s dsdt.aml again.aml || "
		 "grep -c _S5_ dsdt.dsl >/dev/null", dir);
	ok(!system(command), "and has \\_S5");
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	r = system(command);
}

static void test_tables(void)
{
	uint8_t *rsdp, *fadt, *madt, *facs;
	uint64_t where = 0, xsdt, rsdt, dsdt;
	unsigned int lapics = 0, ioapics = 0, overrides = 0, nmis = 0;
	uint32_t i;

	memory_alloc(&memory, 4 * MIB);
	is(acpi_write(&memory, 5, &map, &where), 0, "tables for five processors");
	is(where % 16, 0, "the RSDP is aligned");
	rsdp = memory_ptr(&memory, where, 36);
	ok(!memcmp(rsdp, "RSD PTR ", 8), "signature");
	is(sum(rsdp, 20), 0, "sum of the first part");
	is(sum(rsdp, 36), 0, "sum of all");
	is(rsdp[15], 2, "revision");
	rsdt = get_le32(rsdp + 16);
	xsdt = get_le64(rsdp + 24);
	ok(table(rsdt, "RSDT"), "RSDT");
	ok(table(xsdt, "XSDT"), "XSDT");
	is(find(rsdt, 4, "FACP"), find(xsdt, 8, "FACP"), "both lead to the same FADT");
	is(find(rsdt, 4, "APIC"), find(xsdt, 8, "APIC"), "and MADT");

	fadt = table(find(xsdt, 8, "FACP"), "FACP");
	if (!ok(fadt, "FADT"))
		return;
	is(get_le32(fadt + 56), 0x600, "PM1a event block");
	is(get_le32(fadt + 64), 0x604, "PM1a control block");
	is(get_le32(fadt + 76), 0x608, "PM timer");
	is(get_le32(fadt + 80), 0x60c, "general-purpose events");
	is(fadt[92], 2, "a byte of status, one of enables");
	is(get_le64(fadt + 220 + 4), 0x60c, "the same in the other field");
	is(get_le16(fadt + 46), 9, "SCI");
	is(get_le64(fadt + 120), 0xcf9, "reset register");
	is(fadt[128], 6, "reset value");
	is(get_le32(fadt + 112) & (1 << 10), 1 << 10, "reset is supported");
	is(get_le16(fadt + 109) & 2, 0, "no 8042 to probe");
	is(get_le64(fadt + 140), get_le32(fadt + 40), "both DSDT fields agree");
	facs = memory_ptr(&memory, get_le32(fadt + 36), 64);
	ok(facs && !memcmp(facs, "FACS", 4) && get_le32(fadt + 36) % 64 == 0, "FACS, aligned");
	dsdt = get_le64(fadt + 140);
	if (ok(table(dsdt, "DSDT"), "DSDT"))
		run_iasl(memory_ptr(&memory, dsdt, 1));

	madt = table(find(xsdt, 8, "APIC"), "APIC");
	if (!ok(madt, "MADT"))
		return;
	for (i = 44; i + 2 <= get_le32(madt + 4) && madt[i + 1]; i += madt[i + 1]) {
		switch (madt[i]) {
		case 0:
			is(madt[i + 3], lapics, "APIC id %u", lapics);
			lapics++;
			break;
		case 1:
			is(get_le32(madt + i + 4), 0xfec00000, "IOAPIC's address");
			ioapics++;
			break;
		case 2:
			if (madt[i + 3] == 0)
				is(get_le32(madt + i + 4), 2, "the timer is at pin 2");
			overrides++;
			break;
		case 4:
			nmis++;
			break;
		}
	}
	is(i, get_le32(madt + 4), "entries fill the MADT");
	is(lapics * 1000 + ioapics * 100 + overrides * 10 + nmis, 5121, "entries of each kind");
	is(acpi_write(&memory, 64, &map, &where), 0, "64 processors fit");
	memory_free(&memory);
}

static void test_aml(void)
{
	uint8_t bytes[64];
	struct aml aml = { .byte = bytes, .room = sizeof(bytes) };
	size_t mark;

	aml_integer(&aml, 0);
	aml_integer(&aml, 1);
	aml_integer(&aml, 0xff);
	aml_integer(&aml, 0x1234);
	aml_integer(&aml, 0x12345678);
	is(aml.len, 1 + 1 + 2 + 3 + 5, "integers in their shortest form");
	aml.len = 0;
	aml_eisa_id(&aml, "PNP0501");
	is(get_le32(bytes + 1), 0x0105d041, "EISA id");
	aml.len = 0;
	aml_name(&aml, "AB");
	is(memcmp(bytes, "\010AB__", 5), 0, "names are filled up");
	aml.len = 0;
	aml_notify(&aml, "\\_SB.VGEN", 0x80);
	is(memcmp(bytes, "\x86\\\x2e_SB_VGEN\x0a\x80", 13), 0, "Notify, with a path");
	aml.len = 0;
	mark = aml_begin_method(&aml, "_E00");
	aml_end(&aml, mark);
	is(memcmp(bytes, "\x14\x88\0\0_E00\0", 9), 0, "an empty method");
	aml.len = 0;
	mark = aml_begin_package(&aml, 3);
	aml_end(&aml, mark);
	is(bytes[1] >> 6, 2, "two more bytes of length");
	is((bytes[1] & 15) | bytes[2] << 4 | bytes[3] << 12, 4, "that count themselves");
	while (!aml.overflow && aml.len < 1000)
		aml_byte(&aml, 1);
	ok(aml.overflow && aml.len == sizeof(bytes), "a full buffer is noticed");
	aml_end(&aml, mark);
	aml_string(&aml, "more");
	is(aml.len, sizeof(bytes), "and not written beyond");
}

int main(void)
{
	test_tables();
	test_aml();
	return tap_done();
}

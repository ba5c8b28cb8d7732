// SPDX-License-Identifier: GPL-2.0-only
/* AML encodings: ACPI specification 6.4, chapter 20; resources: chapter 6.4. */
#include <string.h>

#include "aml.h"

#define OP_ZERO		0x00
#define OP_ONE		0x01
#define OP_NAME		0x08
#define OP_BYTE		0x0a
#define OP_WORD		0x0b
#define OP_DWORD	0x0c
#define OP_STRING	0x0d
#define OP_QWORD	0x0e
#define OP_SCOPE	0x10
#define OP_BUFFER	0x11
#define OP_PACKAGE	0x12
#define OP_METHOD	0x14
#define OP_DUAL_NAME	0x2e
#define OP_NOTIFY	0x86
#define OP_EXT		0x5b
#define OP_EXT_DEVICE	0x82

#define NAME_SEG	4
#define LENGTH_BYTES	3	/* of every PkgLength here: up to 1 MiB */

#define RES_IRQ		0x22
#define RES_IO		0x47
#define RES_END		0x79
#define RES_MEMORY32	0x86
#define RES_WORD	0x88
#define RES_QWORD	0x8a
#define RES_TYPE_MEMORY	0
#define RES_TYPE_BUS	2
#define RES_FIXED	0x0c	/* both ends; the bridge hands the range on */
#define RES_IO_DECODE16	0x01
#define RES_WRITABLE	0x01

/**
 * aml_bytes() - append bytes
 * @aml: the builder
 * @bytes: they
 * @n: how many
 */
void aml_bytes(struct aml *aml, const void *bytes, size_t n)
{
	if (aml->overflow || n > aml->room - aml->len) {
		aml->overflow = true;
		return;
	}
	memcpy(aml->byte + aml->len, bytes, n);
	aml->len += n;
}

/**
 * aml_byte() - append one byte
 * @aml: the builder
 * @byte: it
 */
void aml_byte(struct aml *aml, uint8_t byte)
{
	aml_bytes(aml, &byte, 1);
}

/* Up to four letters, filled up with underscores. */
static void name_segment(struct aml *aml, const char *name, size_t n)
{
	char seg[NAME_SEG] = { '_', '_', '_', '_' };

	memcpy(seg, name, n < NAME_SEG ? n : NAME_SEG);
	aml_bytes(aml, seg, NAME_SEG);
}

/* A name, or two with "." between them; "\" stays in front. */
static void name_string(struct aml *aml, const char *name)
{
	const char *dot = strchr(name, '.');

	if (*name == '\\') {
		aml_byte(aml, '\\');
		name++;
	}
	if (dot) {
		aml_byte(aml, OP_DUAL_NAME);
		name_segment(aml, name, (size_t)(dot - name));
		name = dot + 1;
	}
	name_segment(aml, name, strlen(name));
}

/**
 * aml_name() - Name (..., what comes next)
 * @aml: the builder
 * @name: the name
 */
void aml_name(struct aml *aml, const char *name)
{
	aml_byte(aml, OP_NAME);
	name_string(aml, name);
}

/**
 * aml_integer() - a number, in its shortest form
 * @aml: the builder
 * @value: the number
 */
void aml_integer(struct aml *aml, uint64_t value)
{
	if (value <= 1) {
		aml_byte(aml, value ? OP_ONE : OP_ZERO);
	} else if (value <= 0xff) {
		aml_byte(aml, OP_BYTE);
		aml_bytes(aml, &value, 1);
	} else if (value <= 0xffff) {
		aml_byte(aml, OP_WORD);
		aml_bytes(aml, &value, 2);
	} else if (value <= 0xffffffff) {
		aml_byte(aml, OP_DWORD);
		aml_bytes(aml, &value, 4);
	} else {
		aml_byte(aml, OP_QWORD);
		aml_bytes(aml, &value, 8);
	}
}

/**
 * aml_string() - a string
 * @aml: the builder
 * @text: the string
 */
void aml_string(struct aml *aml, const char *text)
{
	aml_byte(aml, OP_STRING);
	aml_bytes(aml, text, strlen(text) + 1);
}

static uint32_t hex_digit(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/**
 * aml_eisa_id() - EISAID ("...")
 * @aml: the builder
 * @id: three capital letters and four capital hexadecimal digits
 */
void aml_eisa_id(struct aml *aml, const char *id)
{
	uint32_t value = 0;
	int i;

	for (i = 0; i < 3; i++)
		value = value << 5 | (uint32_t)(id[i] - '@');
	for (i = 3; i < 7; i++)
		value = value << 4 | hex_digit(id[i]);
	aml_integer(aml, __builtin_bswap32(value));
}

static size_t begin(struct aml *aml)
{
	size_t mark = aml->len;
	uint8_t length[LENGTH_BYTES] = { 0 };

	aml_bytes(aml, length, sizeof(length));
	return mark;
}

/**
 * aml_begin_scope() - Scope (...) {
 * @aml: the builder
 * @path: one name, perhaps with "\" in front
 *
 * Return: for aml_end().
 */
size_t aml_begin_scope(struct aml *aml, const char *path)
{
	size_t mark;

	aml_byte(aml, OP_SCOPE);
	mark = begin(aml);
	name_string(aml, path);
	return mark;
}

/**
 * aml_begin_device() - Device (...) {
 * @aml: the builder
 * @name: its name
 *
 * Return: for aml_end().
 */
size_t aml_begin_device(struct aml *aml, const char *name)
{
	size_t mark;

	aml_byte(aml, OP_EXT);
	aml_byte(aml, OP_EXT_DEVICE);
	mark = begin(aml);
	name_string(aml, name);
	return mark;
}

/**
 * aml_begin_method() - Method (..., 0) {
 * @aml: the builder
 * @name: its name; it has no arguments
 *
 * Return: for aml_end().
 */
size_t aml_begin_method(struct aml *aml, const char *name)
{
	size_t mark;

	aml_byte(aml, OP_METHOD);
	mark = begin(aml);
	name_string(aml, name);
	aml_byte(aml, 0);
	return mark;
}

/**
 * aml_notify() - Notify (...)
 * @aml: the builder, within a method
 * @path: of a device
 * @value: what has happened
 */
void aml_notify(struct aml *aml, const char *path, uint8_t value)
{
	aml_byte(aml, OP_NOTIFY);
	name_string(aml, path);
	aml_integer(aml, value);
}

/**
 * aml_begin_package() - Package (...) {
 * @aml: the builder
 * @elements: how many follow
 *
 * Return: for aml_end().
 */
size_t aml_begin_package(struct aml *aml, uint8_t elements)
{
	size_t mark;

	aml_byte(aml, OP_PACKAGE);
	mark = begin(aml);
	aml_byte(aml, elements);
	return mark;
}

/**
 * aml_end() - } of the block
 * @aml: the builder
 * @mark: what its beginning returned
 */
void aml_end(struct aml *aml, size_t mark)
{
	size_t length = aml->len - mark;	/* counts itself */

	if (aml->overflow)
		return;
	aml->byte[mark] = (uint8_t)((LENGTH_BYTES - 1) << 6 | (length & 15));
	aml->byte[mark + 1] = (uint8_t)(length >> 4);
	aml->byte[mark + 2] = (uint8_t)(length >> 12);
}

/**
 * aml_begin_resources() - Name (_CRS, ResourceTemplate () {
 * @aml: the builder
 *
 * Return: for aml_end_resources().
 */
size_t aml_begin_resources(struct aml *aml)
{
	uint8_t size[3] = { OP_WORD };
	size_t mark;

	aml_name(aml, "_CRS");
	aml_byte(aml, OP_BUFFER);
	mark = begin(aml);
	aml_bytes(aml, size, sizeof(size));
	return mark;
}

/**
 * aml_io() - I/O ports
 * @aml: the builder
 * @port: the first
 * @ports: how many
 */
void aml_io(struct aml *aml, uint16_t port, uint8_t ports)
{
	uint8_t low = (uint8_t)port, high = (uint8_t)(port >> 8);
	uint8_t bytes[] = { RES_IO, RES_IO_DECODE16, low, high, low, high, 1, ports };

	aml_bytes(aml, bytes, sizeof(bytes));
}

/**
 * aml_irq() - an ISA interrupt
 * @aml: the builder
 * @irq: which
 */
void aml_irq(struct aml *aml, unsigned int irq)
{
	uint8_t bytes[] = { RES_IRQ, (uint8_t)(1U << irq), (uint8_t)(1U << irq >> 8) };

	aml_bytes(aml, bytes, sizeof(bytes));
}

/**
 * aml_memory32() - a range of addresses
 * @aml: the builder
 * @base: the first
 * @bytes: how many
 */
void aml_memory32(struct aml *aml, uint32_t base, uint32_t bytes)
{
	uint8_t head[] = { RES_MEMORY32, 9, 0, RES_WRITABLE };

	aml_bytes(aml, head, sizeof(head));
	aml_bytes(aml, &base, sizeof(base));
	aml_bytes(aml, &bytes, sizeof(bytes));
}

/**
 * aml_bus_numbers() - buses behind a host bridge
 * @aml: the builder
 * @first: the first
 * @last: the last
 */
void aml_bus_numbers(struct aml *aml, uint16_t first, uint16_t last)
{
	uint8_t head[] = { RES_WORD, 13, 0, RES_TYPE_BUS, RES_FIXED, 0 };
	uint16_t values[] = { 0, first, last, 0, (uint16_t)(last - first + 1) };

	aml_bytes(aml, head, sizeof(head));
	aml_bytes(aml, values, sizeof(values));
}

/**
 * aml_window() - addresses that a host bridge hands on
 * @aml: the builder
 * @base: the first
 * @bytes: how many
 */
void aml_window(struct aml *aml, uint64_t base, uint64_t bytes)
{
	uint8_t head[] = { RES_QWORD, 43, 0, RES_TYPE_MEMORY, RES_FIXED, RES_WRITABLE };
	uint64_t values[] = { 0, base, base + bytes - 1, 0, bytes };

	aml_bytes(aml, head, sizeof(head));
	aml_bytes(aml, values, sizeof(values));
}

/**
 * aml_end_resources() - }) of the resources
 * @aml: the builder
 * @mark: what aml_begin_resources() returned
 */
void aml_end_resources(struct aml *aml, size_t mark)
{
	uint8_t end[] = { RES_END, 0 };
	size_t start = mark + LENGTH_BYTES + 3, bytes;

	aml_bytes(aml, end, sizeof(end));
	aml_end(aml, mark);
	if (aml->overflow)
		return;
	bytes = aml->len - start;
	aml->byte[start - 2] = (uint8_t)bytes;
	aml->byte[start - 1] = (uint8_t)(bytes >> 8);
}

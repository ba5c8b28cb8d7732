/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A builder for the few AML constructs that the DSDT needs.
 *
 * Blocks nest: aml_begin() leaves room for the longest length field there is
 * use for, and aml_end() fills it in. Writing beyond the buffer only sets
 * @overflow, which the caller looks at once.
 */
#ifndef VIREO_ACPI_AML_H
#define VIREO_ACPI_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *byte;
	size_t room;
	size_t len;
	bool overflow;
};

void aml_bytes(struct aml *aml, const void *bytes, size_t n);
void aml_byte(struct aml *aml, uint8_t byte);
void aml_name(struct aml *aml, const char *name);
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text);
void aml_eisa_id(struct aml *aml, const char *id);

size_t aml_begin_scope(struct aml *aml, const char *path);
size_t aml_begin_device(struct aml *aml, const char *name);
size_t aml_begin_package(struct aml *aml, uint8_t elements);
size_t aml_begin_method(struct aml *aml, const char *name);
void aml_notify(struct aml *aml, const char *path, uint8_t value);
void aml_end(struct aml *aml, size_t mark);

size_t aml_begin_resources(struct aml *aml);
void aml_io(struct aml *aml, uint16_t port, uint8_t ports);
void aml_irq(struct aml *aml, unsigned int irq);
void aml_memory32(struct aml *aml, uint32_t base, uint32_t bytes);
void aml_bus_numbers(struct aml *aml, uint16_t first, uint16_t last);
void aml_window(struct aml *aml, uint64_t base, uint64_t bytes);
void aml_end_resources(struct aml *aml, size_t mark);

#endif /* VIREO_ACPI_AML_H */

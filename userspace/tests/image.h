/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel images made by tests, good ones to be broken. */
#ifndef VIREO_TESTS_IMAGE_H
#define VIREO_TESTS_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAX 65536

struct image {
	uint8_t byte[IMAGE_MAX];
	size_t len;
};

void image_linux(struct image *image);
void image_multiboot_elf(struct image *image);
void image_multiboot_flat(struct image *image);
void image_pvh(struct image *image);

void put16(struct image *image, size_t at, uint16_t value);
void put32(struct image *image, size_t at, uint32_t value);
void put64(struct image *image, size_t at, uint64_t value);

#endif /* VIREO_TESTS_IMAGE_H */

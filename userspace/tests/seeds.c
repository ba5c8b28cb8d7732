// SPDX-License-Identifier: GPL-2.0-only
/* Write good images into a fuzzer's corpus: seeds FUZZER DIRECTORY. */
#include <stdio.h>
#include <string.h>

#include "image.h"

static int write_seed(const char *dir, const char *name, int first, const struct image *image)
{
	char path[512];
	FILE *file;
	int r;

	snprintf(path, sizeof(path), "%s/seed-%s-%d", dir, name, first);
	file = fopen(path, "wb");
	if (!file)
		return 1;
	r = putc(first, file) == EOF || fwrite(image->byte, 1, image->len, file) != image->len;
	return fclose(file) || r;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*make)(struct image *image);
	} images[] = {
		{ "linux", image_linux },
		{ "multiboot-elf", image_multiboot_elf },
		{ "multiboot-flat", image_multiboot_flat },
		{ "pvh", image_pvh },
	};
	static struct image image;
	size_t i;
	int r = 0;

	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "fuzz_boot"))
		return 0;
	for (i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		images[i].make(&image);
		r |= write_seed(argv[2], images[i].name, 0, &image);
		r |= write_seed(argv[2], images[i].name, 0x1a, &image);
	}
	return r;
}

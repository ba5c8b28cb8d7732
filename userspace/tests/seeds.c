// SPDX-License-Identifier: GPL-2.0-only
/* Write good images, or messages, into a fuzzer's corpus: seeds FUZZER DIRECTORY. */
#include <stdio.h>
#include <string.h>

#include "image.h"
#include "made.h"

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

/* The command, and what is behind the headers: see fuzz_monitor.c. */
static int write_message(const char *dir, const struct made *made)
{
	size_t headers = NLMSG_HDRLEN + 4;
	struct image image;

	image.len = made->len - headers;
	memcpy(image.byte, made->bytes + headers, image.len);
	return write_seed(dir, "message", made->bytes[NLMSG_HDRLEN], &image);
}

static int write_messages(const char *dir)
{
	struct monitor_info info = made_some_info();
	struct monitor_vm vm = made_some_vm(3, "web");
	struct monitor_exit exits[3];
	struct monitor_vcpu vcpu = made_some_vcpu(3, 1, exits, 3);
	struct monitor_event event;
	static struct made made;
	uint8_t kind;
	int r;

	made_info(&made, &info);
	r = write_message(dir, &made);
	made_vm(&made, &vm);
	r |= write_message(dir, &made);
	made_vcpu(&made, &vcpu);
	r |= write_message(dir, &made);
	for (kind = VIREO_NL_CMD_LIFE; kind <= VIREO_NL_CMD_THRESHOLD; kind++) {
		event = made_some_event(kind, 1);
		made_event(&made, &event);
		r |= write_message(dir, &made);
	}
	return r;
}

/* Two profiles, a line each: see fuzz_profile.c. */
static int write_profiles(const char *dir)
{
	static const char text[] =
		"{\"vireo-cpu-profile\":1,\"vendor\":\"GenuineIntel\",\"physical_address_bits\":39,\"tsc_khz\":2000000,\"cpuid\":["
		"{\"leaf\":\"0x0\",\"eax\":\"0xd\",\"ebx\":\"0x756e6547\",\"ecx\":\"0x6c65746e\",\"edx\":\"0x49656e69\"},"
		"{\"leaf\":\"0x1\",\"eax\":\"0x306c3\",\"ebx\":\"0x4000\",\"ecx\":\"0x14001001\",\"edx\":\"0x178bfbff\"},"
		"{\"leaf\":\"0x7\",\"subleaf\":\"0x0\",\"eax\":\"0x0\",\"ebx\":\"0x21\",\"ecx\":\"0x0\",\"edx\":\"0x0\"},"
		"{\"leaf\":\"0xd\",\"subleaf\":\"0x0\",\"eax\":\"0x7\",\"ebx\":\"0x340\",\"ecx\":\"0x340\",\"edx\":\"0x0\"},"
		"{\"leaf\":\"0xd\",\"subleaf\":\"0x2\",\"eax\":\"0x100\",\"ebx\":\"0x240\",\"ecx\":\"0x0\",\"edx\":\"0x0\"},"
		"{\"leaf\":\"0x80000000\",\"eax\":\"0x80000008\",\"ebx\":\"0x0\",\"ecx\":\"0x0\",\"edx\":\"0x0\"},"
		"{\"leaf\":\"0x80000001\",\"eax\":\"0x0\",\"ebx\":\"0x0\",\"ecx\":\"0x21\",\"edx\":\"0x2c100800\"},"
		"{\"leaf\":\"0x80000008\",\"eax\":\"0x3027\",\"ebx\":\"0x0\",\"ecx\":\"0x0\",\"edx\":\"0x0\"}],\"msrs\":[\"0x10\",\"0x174\"]}";
	struct image image;

	/* write_seed() has its own first byte. */
	image.len = (size_t)snprintf((char *)image.byte, sizeof(image.byte), "%s\n%s", text + 1, text);
	return write_seed(dir, "profiles", text[0], &image);
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
	if (!strcmp(argv[1], "fuzz_monitor"))
		return write_messages(argv[2]);
	if (!strcmp(argv[1], "fuzz_profile"))
		return write_profiles(argv[2]);
	if (strcmp(argv[1], "fuzz_boot"))
		return 0;
	for (i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		images[i].make(&image);
		r |= write_seed(argv[2], images[i].name, 0, &image);
		r |= write_seed(argv[2], images[i].name, 0x1a, &image);
	}
	return r;
}

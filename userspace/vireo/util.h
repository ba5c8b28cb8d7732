/* SPDX-License-Identifier: GPL-2.0-only */
/* Small things that every file of the launcher may need. */
#ifndef VIREO_UTIL_H
#define VIREO_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define BIT(n)			(1U << (n))
#define KIB			(1ULL << 10)
#define MIB			(1ULL << 20)
#define GIB			(1ULL << 30)
#define NSEC_PER_SEC		1000000000ULL

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Powers of two only. */
#define ALIGN_UP(x, a)		(((x) + (a) - 1) & ~((uint64_t)(a) - 1))
#define ALIGN_DOWN(x, a)	((x) & ~((uint64_t)(a) - 1))

/* Exit status of the launcher; documented in vireo-run(1). */
enum exit_status {
	EXIT_OK = 0,		/* the guest powered itself off, or was asked to end */
	EXIT_FAULT = 1,		/* the guest or the host failed */
	EXIT_USAGE = 2,		/* the command line, or a file it names, is wrong */
};

void report_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_where(const char *where);
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

int parse_size(const char *text, uint64_t unit, uint64_t *out);
int parse_number(const char *text, uint64_t max, uint64_t *out);

/* a * b / c without overflow of the product */
static inline uint64_t muldiv64(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)((unsigned __int128)a * b / c);
}

static inline uint16_t get_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t get_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t get_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

#endif /* VIREO_UTIL_H */

// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tap.h"

static unsigned int count;
static unsigned int failures;

static void result(bool good, const char *format, va_list args)
{
	printf("%sok %u - ", good ? "" : "not ", ++count);
	vprintf(format, args);
	putchar('\n');
	if (!good)
		failures++;
}

static const char *base(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash ? slash + 1 : file;
}

bool tap_check(bool good, const char *file, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	result(good, format, args);
	va_end(args);
	if (!good)
		printf("# at %s:%d\n", base(file), line);
	fflush(stdout);
	return good;
}

bool tap_equal(uint64_t got, uint64_t want, const char *file, int line, const char *format, ...)
{
	bool good = got == want;
	va_list args;

	va_start(args, format);
	result(good, format, args);
	va_end(args);
	if (!good)
		printf("# at %s:%d: got %" PRIu64 " (%#" PRIx64 "), want %" PRIu64 " (%#"
		       PRIx64 ")\n", base(file), line, got, got, want, want);
	fflush(stdout);
	return good;
}

void tap_skip(const char *format, ...)
{
	va_list args;

	printf("ok %u - # SKIP ", ++count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

int tap_done(void)
{
	printf("1..%u\n", count);
	return failures ? 1 : 0;
}

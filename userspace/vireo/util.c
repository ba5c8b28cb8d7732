// SPDX-License-Identifier: GPL-2.0-only
/* Messages for people, and numbers from people. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "util.h"

static _Thread_local const char *where_text;

/* One write per message, so that those of several threads do not mix. */
static void report(const char *prefix, const char *format, va_list args)
{
	char line[1024];
	int n;

	n = vsnprintf(line, sizeof(line), format, args);
	if (n < 0)
		return;
	fprintf(stderr, "vireo: %s%s%s%s\n", prefix, where_text ? where_text : "", where_text ? ": " : "",
		line);
}

/**
 * report_error() - tell people what went wrong
 * @format: a sentence without a full stop; say what to do if there is something
 */
void report_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report("", format, args);
	va_end(args);
}

/**
 * report_where() - what messages of this thread begin with from now on
 * @where: a place in a file; NULL: nothing
 */
void report_where(const char *where)
{
	where_text = where;
}

/**
 * report_note() - tell people something that is not an error
 * @format: a sentence
 */
void report_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report("note: ", format, args);
	va_end(args);
}

/**
 * parse_number() - read a number that somebody typed
 * @text: decimal, or hexadecimal with 0x
 * @max: the largest allowed
 * @out: the number
 *
 * Return: 0, -EINVAL (no number), -ERANGE (too large).
 */
int parse_number(const char *text, uint64_t max, uint64_t *out)
{
	unsigned long long v;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, text[0] == '0' && tolower(text[1]) == 'x' ? 16 : 10);
	if (*end || end == text)
		return -EINVAL;
	if (errno || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

/**
 * parse_size() - read a size that somebody typed
 * @text: a decimal number with an optional suffix K, M, G or T (KiB and so on)
 * @unit: what a number without a suffix counts
 * @out: the size in bytes
 *
 * Return: 0, -EINVAL (no size), -ERANGE (too large).
 */
int parse_size(const char *text, uint64_t unit, uint64_t *out)
{
	unsigned long long v;
	uint64_t bytes;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	switch (toupper((unsigned char)*end)) {
	case 'K':
		unit = KIB;
		break;
	case 'M':
		unit = MIB;
		break;
	case 'G':
		unit = GIB;
		break;
	case 'T':
		unit = GIB * 1024;
		break;
	case '\0':
		end--;
		break;
	default:
		return -EINVAL;
	}
	if (end[1])
		return -EINVAL;
	if (__builtin_mul_overflow((uint64_t)v, unit, &bytes))
		return -ERANGE;
	*out = bytes;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/* Each function returns its buffer, so that it can stand among printf()'s arguments. */
#include <stdio.h>

#include "text.h"
#include "../util.h"

/**
 * text_clean() - a text from somebody else, for a terminal
 * @out: the text with "?" in place of all but printable ASCII
 * @room: bytes there
 * @text: what they have said
 *
 * Return: @out.
 */
char *text_clean(char *out, size_t room, const char *text)
{
	size_t i;

	for (i = 0; i + 1 < room && text[i]; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[i] = '\0';
	return out;
}

/**
 * text_json() - a text from somebody else, for JSON
 * @text: what they have said
 *
 * Return: a string; as text_clean() makes it if it is no UTF-8.
 */
json_t *text_json(const char *text)
{
	json_t *string = json_string(text);
	char clean[256];

	return string ? string : json_string(text_clean(clean, sizeof(clean), text));
}

/* With the first unit by which it has at most three digits, or four: 9999 is no longer than 10.0K. */
static char *scale(char *out, double value, double step, const char *const *units, unsigned int nr)
{
	unsigned int unit = 0;

	while (value >= (unit ? 999.5 : 9999.5) && unit + 1 < nr) {
		value /= step;
		unit++;
	}
	snprintf(out, TEXT_NUMBER, "%.*f%s", unit && value < 99.95 ? 1 : 0, value, units[unit]);
	return out;
}

static char *unknown(char *out)
{
	strcpy(out, "-");
	return out;
}

/**
 * text_count() - a number of things
 * @out: the text
 * @count: how many
 *
 * Return: @out.
 */
char *text_count(char out[TEXT_NUMBER], double count)
{
	static const char *const units[] = { "", "K", "M", "G", "T", "P", "E" };

	/* Some a minute are not none. */
	if (count > 0 && count < 9.95 && count != (double)(uint64_t)count) {
		snprintf(out, TEXT_NUMBER, "%.1f", count);
		return out;
	}
	return count < 0 ? unknown(out) : scale(out, count, 1000, units, ARRAY_SIZE(units));
}

/**
 * text_bytes() - a number of bytes
 * @out: the text
 * @bytes: how many
 *
 * Return: @out.
 */
char *text_bytes(char out[TEXT_NUMBER], double bytes)
{
	static const char *const units[] = { "", "K", "M", "G", "T", "P", "E" };
	unsigned int unit = 0;

	if (bytes < 0)
		return unknown(out);
	while (bytes >= 1023.5 && unit + 1 < ARRAY_SIZE(units)) {
		bytes /= 1024;
		unit++;
	}
	/* 256M, but 1.5G */
	if (unit && bytes < 99.95 && bytes != (double)(uint64_t)bytes)
		snprintf(out, TEXT_NUMBER, "%.1f%s", bytes, units[unit]);
	else
		snprintf(out, TEXT_NUMBER, "%.0f%s", bytes, units[unit]);
	return out;
}

/**
 * text_ns() - a short time
 * @out: the text
 * @ns: nanoseconds
 *
 * Return: @out.
 */
char *text_ns(char out[TEXT_NUMBER], double ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	unsigned int unit = 0;

	if (ns < 0)
		return unknown(out);
	while (ns >= 999.5 && unit + 1 < ARRAY_SIZE(units)) {
		ns /= 1000;
		unit++;
	}
	snprintf(out, TEXT_NUMBER, "%.*f%s", unit && ns < 99.95 ? 1 : 0, ns, units[unit]);
	return out;
}

/**
 * text_percent() - a part of something
 * @out: the text
 * @share: 0 to 1
 *
 * Return: @out.
 */
char *text_percent(char out[TEXT_NUMBER], double share)
{
	if (share < 0)
		return unknown(out);
	snprintf(out, TEXT_NUMBER, "%.1f", share * 100);
	return out;
}

/**
 * text_age() - a long time
 * @out: the text
 * @seconds: how long
 *
 * Return: @out.
 */
char *text_age(char out[TEXT_NUMBER], double seconds)
{
	unsigned long long s = (unsigned long long)seconds;

	if (seconds < 0)
		return unknown(out);
	if (s < 60)
		snprintf(out, TEXT_NUMBER, "%.1fs", seconds);
	else if (s < 3600)
		snprintf(out, TEXT_NUMBER, "%llum%02llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, TEXT_NUMBER, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		snprintf(out, TEXT_NUMBER, "%llud%02lluh", s / 86400, s / 3600 % 24);
	return out;
}

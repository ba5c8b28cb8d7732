// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names of paravirtual features. Their bits are those of CPUID 0x40000001, EAX, which the kernel publishes
 * (Documentation/virt/kvm/x86/cpuid.rst in its tree).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "paravirt.h"
#include "util.h"

#define LEAF_FEATURES	0x40000001

static const struct feature {
	const char *name;
	uint32_t bits;
} features[] = {
	/* under its old and its new numbers, and the promise that no vCPU sees it go back */
	{ "clock", BIT(0) | BIT(3) | BIT(24) },
	{ "nop-io-delay", BIT(1) },
	{ "steal-time", BIT(5) },
	{ "pv-eoi", BIT(6) },
	{ "pv-unhalt", BIT(7) },
	{ "pv-tlb-flush", BIT(9) },
	{ "pv-ipi", BIT(11) },
	{ "pv-yield", BIT(13) },
	{ "all", PARAVIRT_ALL },
};

static const struct feature *find(const char *name, size_t len)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features); i++)
		if (strlen(features[i].name) == len && !memcmp(features[i].name, name, len))
			return &features[i];
	return NULL;
}

static int unknown(const char *word, size_t len)
{
	char known[160] = "";
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		if (i)
			strcat(known, ", ");
		strcat(known, features[i].name);
	}
	report_error("paravirt: \"%.*s\": it is \"none\", or any of %s", (int)len, word, known);
	return -EINVAL;
}

/**
 * paravirt_parse() - read what to offer
 * @text: words with commas between them, taken from left to right: a name adds, "-NAME" takes away; one that
 *	  begins by taking away begins with "all", others begin with nothing. "none" stands alone.
 * @out: bits
 *
 * Return: 0, or -EINVAL with a message; @out is unchanged then.
 */
int paravirt_parse(const char *text, uint32_t *out)
{
	uint32_t bits = *text == '-' ? PARAVIRT_ALL : 0;
	const struct feature *feature;
	const char *word, *end;

	if (!strcmp(text, "none")) {
		*out = 0;
		return 0;
	}
	for (word = text; ; word = end + 1) {
		end = strchrnul(word, ',');
		feature = find(word + (*word == '-'), (size_t)(end - word) - (*word == '-'));
		if (!feature)
			return unknown(word, (size_t)(end - word));
		if (*word == '-')
			bits &= ~feature->bits;
		else
			bits |= feature->bits;
		if (!*end)
			break;
	}
	*out = bits;
	return 0;
}

/**
 * paravirt_text() - say what is offered
 * @bits: from paravirt_parse()
 *
 * Return: text that paravirt_parse() reads as @bits, to be freed by the caller; NULL: no memory.
 */
char *paravirt_text(uint32_t bits)
{
	char text[160] = "";
	unsigned int i;

	if (bits == PARAVIRT_ALL)
		return strdup("all");
	for (i = 0; i + 1 < ARRAY_SIZE(features); i++) {
		/* What has no name here stays where only what has one was taken away. */
		bool has = (bits & features[i].bits) == features[i].bits;

		if (has == !(bits >> 31))
			sprintf(text + strlen(text), "%s%s%s", *text ? "," : "", has ? "" : "-", features[i].name);
	}
	return strdup(*text ? text : "none");
}

/**
 * paravirt_limit() - take features out of a CPUID table
 * @entries: the table, from VIREO_GET_SUPPORTED_CPUID
 * @count: its length
 * @keep: those that may stay
 */
void paravirt_limit(struct vireo_cpuid_entry *entries, unsigned int count, uint32_t keep)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (entries[i].leaf == LEAF_FEATURES)
			entries[i].eax &= keep;
}

// SPDX-License-Identifier: GPL-2.0-only
/* vireo info: what the processor and the module offer, for people and as JSON. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vireo.h"

#include "command.h"
#include "cpu_profile.h"
#include "open.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo info [--json | --cpu-profile]\n"
"Tell what this processor and the loaded module offer, and what is missing.\n"
"\n"
"  --json         for programs; names and fields stay as they are\n"
"  --cpu-profile  what guests may be given here, for \"vireo run --cpu-profile\"\n"
"                 on this host or another one\n"
"  --help         this text\n";

typedef const char *(*name_fn)(unsigned int bit);

/* All there is to escape in what the module sends. */
static void print_json_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < ' ' || c >= 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_json_list(const char *key, uint64_t bits, name_fn name, unsigned int first)
{
	const char *comma = "";
	unsigned int bit;

	printf(",\n  \"%s\": [", key);
	for (bit = first; bit < 64; bit++) {
		if (!(bits >> bit & 1))
			continue;
		printf("%s", comma);
		print_json_string(name(bit));
		comma = ", ";
	}
	printf("]");
}

static void print_json(const struct vireo_info *info)
{
	printf("{\n  \"module_version\": ");
	print_json_string(info->version);
	printf(",\n  \"abi\": %u,\n  \"vendor\": ", info->abi);
	print_json_string(vireo_vendor_name(info->vendor));
	printf(",\n  \"physical_address_bits\": %u", info->phys_bits);
	printf(",\n  \"tsc_khz\": %u", info->tsc_khz);
	printf(",\n  \"max_vcpus\": %u", info->max_vcpus);
	printf(",\n  \"max_regions\": %u", info->max_regions);
	print_json_list("features", info->features, vireo_feature_name, 0);
	print_json_list("missing", info->missing, vireo_feature_name, 0);
	print_json_list("mitigations", info->mitigations, vireo_mitigation_name, 0);
	print_json_list("state_blocks", info->blocks, vireo_block_name, 1);
	printf("\n}\n");
}

static void print_list(const char *title, uint64_t bits, name_fn name, name_fn text)
{
	unsigned int bit;

	printf("%s:\n", title);
	if (!bits)
		printf("  none\n");
	for (bit = 0; bit < 64; bit++)
		if (bits >> bit & 1)
			printf("  %-20s %s\n", name(bit), text(bit));
}

static void print_text(const struct vireo_info *info)
{
	printf("Vireo %s (ABI %u) on %s\n", info->version, info->abi,
	       vireo_vendor_name(info->vendor));
	printf("Guests: up to %u vCPUs, %u memory regions, %u address bits; TSC %u.%03u MHz\n",
	       info->max_vcpus, info->max_regions, info->phys_bits, info->tsc_khz / 1000,
	       info->tsc_khz % 1000);
	print_list("In use", info->features, vireo_feature_name, vireo_feature_text);
	print_list("Missing in this processor", info->missing, vireo_feature_name,
		   vireo_feature_text);
	print_list("Mitigations at entry and exit", info->mitigations, vireo_mitigation_name,
		   vireo_mitigation_text);
}

/* JSON, but a leaf on a line: people read it, and take things away. */
static int print_profile_json(const json_t *object)
{
	const char *key, *comma = "";
	json_t *value, *item;
	char *text;
	size_t i;

	json_object_foreach((json_t *)object, key, value) {
		printf("%s\n  \"%s\": ", *comma ? comma : "{", key);
		comma = ",";
		if (json_is_array(value))
			printf("[");
		json_array_foreach(value, i, item) {
			text = json_dumps(item, JSON_ENCODE_ANY);
			printf("%s%s%s", i ? "," : "", json_is_object(item) ? "\n    " : i ? " " : "", text ? text : "");
			free(text);
		}
		text = json_is_array(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
		printf("%s", json_is_array(value) ? "]" : text ? text : "");
		free(text);
	}
	printf("\n}\n");
	return ferror(stdout) ? EXIT_FAULT : EXIT_OK;
}

static int print_profile(struct vireo *vireo)
{
	struct cpu_profile *profile = malloc(sizeof(*profile));
	int r = profile ? cpu_profile_of_host(vireo, profile) : -ENOMEM;
	json_t *object = r ? NULL : cpu_profile_json(profile);

	if (r)
		report_error("the module does not tell what it gives a guest: %s", strerror(-r));
	else if (!object)
		report_error("no memory for the CPU profile");
	r = object ? print_profile_json(object) : EXIT_FAULT;
	json_decref(object);
	free(profile);
	return r;
}

static int info(int argc, char **argv)
{
	bool json = false, profile = false;
	const struct command_option options[] = {
		{ "json", NULL, &json }, { "cpu-profile", NULL, &profile }, { NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, NULL, 0, 0 };
	int r = command_arguments(argc, argv, &syntax);
	struct vireo *vireo;

	if (r >= 0)
		return r;
	r = open_vireo(&vireo);
	if (r)
		return r;
	if (profile)
		r = print_profile(vireo);
	else if (json)
		print_json(vireo_get_info(vireo));
	else
		print_text(vireo_get_info(vireo));
	vireo_close(vireo);
	return r;
}

VIREO_COMMAND("info", "what this processor and the module offer", info);

// SPDX-License-Identifier: GPL-2.0-only
/* A configuration turned back into the options that have made it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "description.h"
#include "block/branch.h"
#include "cpu_profile.h"
#include "machine.h"
#include "option.h"
#include "params.h"
#include "paravirt.h"

/* Parameters of devices that may be paths, or may have one behind "file:". */
static const struct {
	const char *option, *key;
} paths[] = {
	{ "disk", "path" }, { "disk", "branch" }, { "hvc", "where" }, { "rng", "source" },
};

/* The prefix "file:" and addresses of servers stay what they are. Freed by the caller. */
static char *absolute(const char *path, bool prefixed)
{
	const char *prefix = prefixed && !strncmp(path, "file:", 5) ? "file:" : "";
	char *cwd, *text = NULL;

	path += strlen(prefix);
	if ((prefixed && !*prefix) || *path == '/' || strstr(path, "://"))
		return asprintf(&text, "%s%s", prefix, path) < 0 ? NULL : text;
	cwd = getcwd(NULL, 0);
	if (cwd && asprintf(&text, "%s%s/%s", prefix, cwd, path) < 0)
		text = NULL;
	free(cwd);
	return text;
}

static json_t *take(char *text)
{
	json_t *value = text ? json_string(text) : NULL;

	free(text);
	return value;
}

static json_t *path_value(const char *path)
{
	return take(absolute(path, false));
}

static json_t *number_value(uint64_t value, const char *format)
{
	char text[32];

	snprintf(text, sizeof(text), format, (unsigned long long)value);
	return json_string(text);
}

static json_t *port_value(int port)
{
	return port < 0 ? json_string("none") : number_value((uint64_t)port, "0x%llx");
}

/* A path and a text behind it, with a separator that the option knows. */
static json_t *pair(const char *first, const char *separator, const char *second)
{
	char *text;

	if (!first || asprintf(&text, "%s%s%s", first, *second ? separator : "", second) < 0)
		return NULL;
	return take(text);
}

static int set_list(json_t *object, const char *key, json_t *value)
{
	json_t *list = json_object_get(object, key);

	if (!list) {
		list = json_array();
		if (json_object_set_new(object, key, list)) {
			json_decref(value);
			return -1;
		}
	}
	return json_array_append_new(list, value);
}

static int add_files(json_t *object, const struct machine_config *config)
{
	unsigned int i;
	char *path;
	int r = 0;

	for (i = 0; i < config->nr_modules; i++) {
		path = absolute(config->modules[i].path, false);
		if (i == 0 && config->has_initrd)
			r |= json_object_set_new(object, "initrd", path ? json_string(path) : NULL);
		else
			r |= set_list(object, "module", pair(path, ",", config->modules[i].text));
		free(path);
	}
	for (i = 0; i < config->nr_fw_cfg; i++) {
		path = absolute(config->fw_cfg[i].path, false);
		r |= set_list(object, "fw-cfg", path ? pair(config->fw_cfg[i].name, "=", path) : NULL);
		free(path);
	}
	return r;
}

static json_t *param_value(const char *option, const struct param *param)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++)
		if (!strcmp(paths[i].option, option) && !strcmp(paths[i].key, param->key))
			return take(absolute(param->value, strcmp(option, "disk") && strcmp(option, "rng")));
	return json_string(param->value);
}

/* Another machine begins on what this one's disk has, not on what that has begun on. */
static int set_branch(json_t *device, unsigned int *branches)
{
	const char *path = json_object_get(device, "branch") ? branch_path((*branches)++) : NULL;

	if (!path)
		return 0;
	return json_object_set_new(device, "path", json_string(path)) |
	       json_object_set_new(device, "format", json_string("qcow2"));
}

static json_t *device_object(const char *name, const struct params *params, unsigned int *branches)
{
	json_t *device = json_object();
	unsigned int i;
	int r = 0;

	for (i = 0; i < params->nr; i++)
		r |= json_object_set_new(device, params->param[i].key, param_value(name, &params->param[i]));
	if (!strcmp(name, "disk"))
		r |= set_branch(device, branches);
	if (!r)
		return device;
	json_decref(device);
	return NULL;
}

/* An object holds devices of a kind together: one that comes after others begins a new one. */
static int add_devices(json_t *list, const struct machine_config *config)
{
	json_t *object = json_array_get(list, 0);
	const char *last = NULL, *name;
	unsigned int i, branches = 0;
	int r = 0;

	for (i = 0; i < config->nr_devices; i++) {
		name = config->device[i].option->name;
		if (last && strcmp(last, name) && json_object_get(object, name)) {
			object = json_object();
			r |= json_array_append_new(list, object);
		}
		r |= set_list(object, name, device_object(name, config->device[i].params, &branches));
		last = name;
	}
	return r;
}

static json_t *machine_object(const struct machine_config *config, struct cpu_profile *profile)
{
	json_t *object = json_object();
	int r;

	r = json_object_set_new(object, "kernel", path_value(config->kernel));
	r |= json_object_set_new(object, "cmdline", json_string(config->cmdline));
	r |= json_object_set_new(object, "memory", number_value(config->memory / KIB, "%lluK"));
	r |= json_object_set_new(object, "cpus", json_integer(config->cpus));
	r |= json_object_set_new(object, "debug-exit", port_value(config->debug_exit));
	r |= json_object_set_new(object, "debug-console", port_value(config->debug_console));
	r |= json_object_set_new(object, "paravirt", take(paravirt_text(config->paravirt)));
	if (config->name)
		r |= json_object_set_new(object, "name", json_string(config->name));
	if (config->huge_page)
		r |= json_object_set_new(object, "hugepages", json_string(config->huge_page == GIB ? "1G" : "2M"));
	if (config->console)
		r |= json_object_set_new(object, "console", take(absolute(config->console, true)));
	if (config->screen_dump)
		r |= json_object_set_new(object, "screen-dump", path_value(config->screen_dump));
	if (config->no_reboot)
		r |= json_object_set_new(object, "no-reboot", json_true());
	if (config->test_device)
		r |= json_object_set_new(object, "test-device", json_true());
	/* Itself, since a host to which it goes has no file of this one; all of them in one. */
	if (profile)
		r |= json_object_set_new(object, CONFIG_WHOLE_OBJECT, cpu_profile_json(profile));
	if (config->hybrid)
		r |= json_object_set_new(object, "hybrid", json_true());
	if (config->stats)
		r |= json_object_set_new(object, "stats", json_true());
	r |= add_files(object, config);
	if (!r)
		return object;
	json_decref(object);
	return NULL;
}

/**
 * description_make() - describe a machine
 * @config: its configuration
 * @profile: machine_cpu_profile() of it
 *
 * Return: a list of objects, or NULL.
 */
json_t *description_make(const struct machine_config *config, struct cpu_profile *profile)
{
	json_t *list = json_array();
	int r;

	r = json_array_append_new(list, machine_object(config, profile));
	if (!r)
		r = add_devices(list, config);
	if (!r)
		return list;
	json_decref(list);
	return NULL;
}

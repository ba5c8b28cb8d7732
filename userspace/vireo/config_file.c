// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a file says is turned into what somebody would have typed: so there is one place where options
 * are understood, and one where they are checked.
 *
 * The parser does not tell where a key stood, and people want to know: line_of() looks it up in the text,
 * which is known to be good JSON by then.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "config_file.h"
#include "util.h"

#define FILE_MAX_BYTES (1 * MIB)

/**
 * struct reading - a file that is being read
 * @file: what comes of it
 * @path: its path
 * @text: its content; NULL: there are no lines to tell of
 */
struct reading {
	struct config_file *file;
	const char *path;
	char *text;
};

/* ---- Lines ---- */

/* The end of the string that begins at @at, its closing quote. */
static const char *string_end(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		if (*at == '\\' && at[1])
			at++;
	return at;
}

static bool is_key(const char *begin, const char *end, const char *key)
{
	return (size_t)(end - begin - 1) == strlen(key) && !strncmp(begin + 1, key, strlen(key));
}

/* The line of a member of the outermost object, and with @element > 0 of that one of its list. */
static unsigned int line_of(const char *text, const char *key, unsigned int element)
{
	unsigned int depth = 0, line = 1, found = 0, n = 0;
	const char *at, *end;

	for (at = text; *at; at++) {
		if (*at == '\n')
			line++;
		if (*at == '{' || *at == '[')
			depth++;
		else if (*at == '}' || *at == ']')
			depth--;
		if (found && depth == 1 && *at == ',')
			break;
		/* Where the first element, or the one behind a comma, begins. */
		if (found && depth == 2 && (*at == '[' || *at == ',')) {
			if (n++ == element) {
				for (at++; *at && strchr(" \t\r\n", *at); at++)
					line += *at == '\n';
				return line;
			}
		}
		if (*at != '"')
			continue;
		end = string_end(at);
		if (depth == 1 && !found && is_key(at, end, key) &&
		    end[strspn(end + 1, " \t\r\n") + 1] == ':') {
			found = line;
			if (!element)
				return line;
		}
		at = end;
	}
	return found;
}

/* ---- Values ---- */

static int wrong(const struct reading *reading, const char *key, unsigned int element, const char *why)
{
	if (!reading->text) {
		report_error("%s: \"%s\": %s", reading->path, key, why);
		return -EINVAL;
	}
	report_error("%s:%u: \"%s\": %s", reading->path, line_of(reading->text, key, element), key, why);
	return -EINVAL;
}

static char *number_text(const json_t *value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return strdup(text);
}

/* A value of a device's object. */
static char *scalar_text(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		return strdup(json_string_value(value));
	case JSON_INTEGER:
		return number_text(value);
	case JSON_TRUE:
		return strdup("on");
	case JSON_FALSE:
		return strdup("off");
	default:
		return NULL;
	}
}

/* "key=value" with commas doubled, behind what is there; takes @value over. */
static int append(char **text, const char *key, char *value)
{
	size_t have = *text ? strlen(*text) : 0;
	char *grown = value ? realloc(*text, have + strlen(key) + 2 * strlen(value) + 3) : NULL;
	const char *from;
	char *to;

	if (!grown) {
		free(value);
		return -ENOMEM;
	}
	*text = grown;
	to = grown + have;
	to += sprintf(to, "%s%s=", have ? "," : "", key);
	for (from = value; *from; from++) {
		if (*from == ',')
			*to++ = ',';
		*to++ = *from;
	}
	*to = '\0';
	free(value);
	return 0;
}

static int object_text(const struct reading *reading, const char *key, unsigned int element, json_t *object,
		       char **text)
{
	const char *member;
	char why[128];
	json_t *value;

	json_object_foreach(object, member, value) {
		if (json_is_array(value) || json_is_object(value) || json_is_null(value) ||
		    json_is_real(value)) {
			snprintf(why, sizeof(why), "\"%.60s\" is no string, whole number, true or false",
				 member);
			return wrong(reading, key, element, why);
		}
		if (append(text, member, scalar_text(value)))
			return -ENOMEM;
	}
	return 0;
}

static int add_entry(struct reading *reading, const char *key, char *value, unsigned int element,
		     bool in_list,
		     bool object)
{
	struct config_file *file = reading->file;
	struct config_entry *entry = realloc(file->entry, (file->nr + 1) * sizeof(*entry));

	if (!entry) {
		free(value);
		return -ENOMEM;
	}
	file->entry = entry;
	entry = &file->entry[file->nr++];
	entry->name = strdup(key);
	entry->value = value;
	entry->in_list = in_list;
	entry->object = object;
	if (!reading->text)
		entry->where = strdup(reading->path);
	else if (asprintf(&entry->where, "%s:%u", reading->path, line_of(reading->text, key, element)) < 0)
		entry->where = NULL;
	return entry->name && entry->where ? 0 : -ENOMEM;
}

static int read_value(struct reading *reading, const char *key, json_t *value, unsigned int element,
		      bool in_list)
{
	char *text = NULL;
	int r;

	switch (json_typeof(value)) {
	case JSON_STRING:
	case JSON_INTEGER:
		text = scalar_text(value);
		if (!text)
			return -ENOMEM;
		break;
	case JSON_OBJECT:
		/* Nothing of it is for the command line to understand. */
		if (!strcmp(key, CONFIG_WHOLE_OBJECT)) {
			text = json_dumps(value, JSON_COMPACT);
			if (!text)
				return -ENOMEM;
			break;
		}
		r = object_text(reading, key, element, value, &text);
		if (r) {
			free(text);
			return r;
		}
		break;
	case JSON_TRUE:
		break;
	case JSON_FALSE:
		return 0;
	default:
		return wrong(reading, key, element,
			     "neither a string, a whole number, true, false nor an object");
	}
	return add_entry(reading, key, text, element, in_list, json_is_object(value));
}

static int read_object(struct reading *reading, json_t *object)
{
	json_t *value, *item;
	const char *key;
	size_t i;
	int r;

	json_object_foreach(object, key, value) {
		if (!json_is_array(value)) {
			r = read_value(reading, key, value, 0, false);
			if (r)
				return r;
			continue;
		}
		json_array_foreach(value, i, item) {
			if (json_is_array(item))
				return wrong(reading, key, (unsigned int)i, "a list in a list");
			r = read_value(reading, key, item, (unsigned int)i, true);
			if (r)
				return r;
		}
	}
	return 0;
}

static int read_text(struct reading *reading)
{
	FILE *file = fopen(reading->path, "re");
	size_t n;
	int r;

	if (!file) {
		report_error("%s: the configuration cannot be opened: %s", reading->path, strerror(errno));
		return -EINVAL;
	}
	reading->text = malloc(FILE_MAX_BYTES + 1);
	if (!reading->text) {
		fclose(file);
		return -ENOMEM;
	}
	n = fread(reading->text, 1, FILE_MAX_BYTES + 1, file);
	r = ferror(file) ? -EIO : 0;
	fclose(file);
	if (r) {
		report_error("%s: the configuration cannot be read", reading->path);
		return -EINVAL;
	}
	if (n > FILE_MAX_BYTES || memchr(reading->text, 0, n)) {
		report_error("%s: not a configuration: %s", reading->path,
			     n > FILE_MAX_BYTES ? "it is larger than 1 MiB" : "it is binary");
		return -EINVAL;
	}
	reading->text[n] = '\0';
	return 0;
}

static int parse(struct reading *reading)
{
	json_error_t where;
	json_t *object;
	int r;

	object = json_loads(reading->text, JSON_REJECT_DUPLICATES, &where);
	if (!object) {
		report_error("%s:%d: %s", reading->path, where.line, where.text);
		return -EINVAL;
	}
	if (!json_is_object(object)) {
		report_error("%s:1: a configuration is an object", reading->path);
		r = -EINVAL;
	} else {
		r = read_object(reading, object);
	}
	json_decref(object);
	return r;
}

/**
 * config_file_add() - take options from an object
 * @file: they come behind what is there
 * @where: where the object is from, for messages
 * @object: as a file would have it
 *
 * Return: 0; -EINVAL, with a message, or -ENOMEM: @file has what was read by then.
 */
int config_file_add(struct config_file *file, const char *where, json_t *object)
{
	struct reading reading = { file, where, NULL };

	return read_object(&reading, object);
}

/**
 * config_file_read() - read a file
 * @file: to be filled
 * @path: its path; "-" is not special
 *
 * Return: 0; -EINVAL, with a message, or -ENOMEM: there is nothing in @file then.
 */
int config_file_read(struct config_file *file, const char *path)
{
	struct reading reading = { file, path, NULL };
	int r;

	memset(file, 0, sizeof(*file));
	r = read_text(&reading);
	if (!r)
		r = parse(&reading);
	free(reading.text);
	if (r)
		config_file_free(file);
	return r;
}

/**
 * config_file_free() - forget what was read
 * @file: it; values must not be in use any more
 */
void config_file_free(struct config_file *file)
{
	unsigned int i;

	for (i = 0; i < file->nr; i++) {
		free(file->entry[i].name);
		free(file->entry[i].value);
		free(file->entry[i].where);
	}
	free(file->entry);
	memset(file, 0, sizeof(*file));
}

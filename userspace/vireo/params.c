// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parameters of devices. Getters take what a device knows and mark it; what is left over in the end is
 * a word that the device does not know, most often a misspelt one.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "params.h"
#include "util.h"

static struct param *find(const struct params *params, const char *key)
{
	unsigned int i;

	for (i = 0; i < params->nr; i++) {
		if (!strcmp(params->param[i].key, key))
			return (struct param *)&params->param[i];
	}
	return NULL;
}

static bool valid_key(const char *key)
{
	if (!islower((unsigned char)*key))
		return false;
	while (islower((unsigned char)*key) || isdigit((unsigned char)*key) || *key == '-' || *key == '_')
		key++;
	return !*key;
}

/**
 * params_add() - add a parameter
 * @params: the list
 * @key: its key
 * @value: its value
 *
 * Return: 0; -EINVAL, with a message, for what is no key, a key that is there already, or one too many; -ENOMEM.
 */
int params_add(struct params *params, const char *key, const char *value)
{
	struct param *param;

	if (!valid_key(key)) {
		report_error("%s: '%s' is not the name of a parameter", params->what, key);
		return -EINVAL;
	}
	if (find(params, key)) {
		report_error("%s: %s is given twice", params->what, key);
		return -EINVAL;
	}
	if (params->nr == PARAMS_MAX) {
		report_error("%s: more than %u parameters", params->what, PARAMS_MAX);
		return -EINVAL;
	}
	param = &params->param[params->nr];
	param->key = strdup(key);
	param->value = strdup(value);
	param->used = false;
	if (!param->key || !param->value) {
		free(param->key);
		free(param->value);
		return -ENOMEM;
	}
	params->nr++;
	return 0;
}

/**
 * params_cut() - cut the first word off, in place
 * @text: words with commas between them, ",," for one in a word; becomes what is behind the first
 * @word: the first
 *
 * Return: there is another one after it.
 */
bool params_cut(char **text, char **word)
{
	char *from = *text, *to = *text;

	*word = to;
	for (; *from; from++) {
		if (*from == ',') {
			if (from[1] != ',') {
				*to = '\0';
				*text = from + 1;
				return true;
			}
			from++;
		}
		*to++ = *from;
	}
	*to = '\0';
	*text = from;
	return false;
}

static int add_word(struct params *params, const char *first, char *word)
{
	char *equals = strchr(word, '=');
	bool is_key;

	if (equals)
		*equals = '\0';
	/* Paths and addresses may have a "=" in them, but nothing that looks like a key before it. */
	is_key = valid_key(word) && (equals || !first);
	if (first && !is_key) {
		if (equals)
			*equals = '=';
		if (!*word) {
			report_error("%s: %s is empty", params->what, first);
			return -EINVAL;
		}
		return params_add(params, first, word);
	}
	return params_add(params, word, equals ? equals + 1 : "on");
}

/**
 * params_parse() - read parameters that somebody typed
 * @params: to be filled, whatever it is before
 * @what: the option's name, for messages; not copied
 * @first: key of the first word, if that may come without one; or NULL
 * @text: "WORD,key=value,flag", where ",," stands for a comma; "" or NULL: there are none
 *
 * Return: 0; -EINVAL, with a message, or -ENOMEM: there is nothing in @params then.
 */
int params_parse(struct params *params, const char *what, const char *first, const char *text)
{
	char *copy, *rest, *word;
	bool more = true;
	int r = 0;

	memset(params, 0, sizeof(*params));
	params->what = what;
	if (!text || !*text)
		return 0;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	for (rest = copy; more && !r; first = NULL) {
		more = params_cut(&rest, &word);
		r = add_word(params, first, word);
	}
	free(copy);
	if (r)
		params_free(params);
	return r;
}

/**
 * params_free() - forget parameters
 * @params: the list; empty afterwards
 */
void params_free(struct params *params)
{
	unsigned int i;

	for (i = 0; i < params->nr; i++) {
		free(params->param[i].key);
		free(params->param[i].value);
	}
	params->nr = 0;
}

/**
 * params_string() - get a parameter as it was given
 * @params: the list
 * @key: its key
 *
 * Return: the value, which lives as long as the list; NULL if it was not given.
 */
const char *params_string(struct params *params, const char *key)
{
	struct param *param = find(params, key);

	if (!param)
		return NULL;
	param->used = true;
	return param->value;
}

/**
 * params_bool() - get a parameter that is on or off
 * @params: the list
 * @key: its key
 * @out: set if it was given
 *
 * Return: 0, or -EINVAL with a message.
 */
int params_bool(struct params *params, const char *key, bool *out)
{
	const char *value = params_string(params, key);

	if (!value)
		return 0;
	if (strcmp(value, "on") && strcmp(value, "off")) {
		report_error("%s: %s: '%s' is neither on nor off", params->what, key, value);
		return -EINVAL;
	}
	*out = !strcmp(value, "on");
	return 0;
}

/**
 * params_number() - get a parameter that is a number
 * @params: the list
 * @key: its key
 * @min: the smallest allowed
 * @max: the largest allowed
 * @out: set if it was given
 *
 * Return: 0, or -EINVAL with a message.
 */
int params_number(struct params *params, const char *key, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *value = params_string(params, key);
	uint64_t number;

	if (!value)
		return 0;
	if (parse_number(value, max, &number) || number < min) {
		report_error("%s: %s: '%s' is not a number from %llu to %llu", params->what, key, value,
			     (unsigned long long)min, (unsigned long long)max);
		return -EINVAL;
	}
	*out = number;
	return 0;
}

/**
 * params_bytes() - get a parameter that is a size
 * @params: the list
 * @key: its key
 * @out: set to bytes if it was given
 *
 * Return: 0, or -EINVAL with a message.
 */
int params_bytes(struct params *params, const char *key, uint64_t *out)
{
	const char *value = params_string(params, key);

	if (!value)
		return 0;
	if (parse_size(value, 1, out)) {
		report_error("%s: %s: '%s' is not a size such as 512K, 64M or 10G", params->what, key, value);
		return -EINVAL;
	}
	return 0;
}

/**
 * params_choice() - get a parameter that is one of a few words
 * @params: the list
 * @key: its key
 * @choices: the words, NULL at their end
 * @out: set to the word's index if it was given
 *
 * Return: 0, or -EINVAL with a message.
 */
int params_choice(struct params *params, const char *key, const char *const *choices, unsigned int *out)
{
	const char *value = params_string(params, key);
	char words[200] = "";
	unsigned int i;

	if (!value)
		return 0;
	for (i = 0; choices[i]; i++) {
		if (!strcmp(value, choices[i])) {
			*out = i;
			return 0;
		}
		if (i)
			strncat(words, choices[i + 1] ? ", " : " or ", sizeof(words) - strlen(words) - 1);
		strncat(words, choices[i], sizeof(words) - strlen(words) - 1);
	}
	report_error("%s: %s: '%s' is not %s", params->what, key, value, words);
	return -EINVAL;
}

/**
 * params_done() - after all getters: was there something that nobody asked for?
 * @params: the list
 *
 * Return: 0, or -EINVAL with a message.
 */
int params_done(const struct params *params)
{
	unsigned int i;

	for (i = 0; i < params->nr; i++) {
		if (!params->param[i].used) {
			report_error("%s: there is no parameter '%s'", params->what, params->param[i].key);
			return -EINVAL;
		}
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Parameters of a device, "PATH,key=value,flag" on the command line or an object in a JSON file:
 * one list of keys and values, whichever they came from.
 */
#ifndef VIREO_PARAMS_H
#define VIREO_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#define PARAMS_MAX 32

struct param {
	char *key;
	char *value;		/* "on" for a key alone */
	bool used;
};

struct params {
	const char *what;	/* the option's name, for messages: "disk" */
	struct param param[PARAMS_MAX];
	unsigned int nr;
};

/* @first: the key of a leading word without "="; ",," stands for a comma. 0, or -EINVAL and a message */
int params_parse(struct params *params, const char *what, const char *first, const char *text);
bool params_cut(char **text, char **word);
int params_add(struct params *params, const char *key, const char *value);
void params_free(struct params *params);

/*
 * Getters mark a key as used; what is wrong is reported, as "disk: size: not a number ...".
 * 0 with *out unchanged if the key is not there; 0 with *out; or -EINVAL.
 */
const char *params_string(struct params *params, const char *key);
int params_bool(struct params *params, const char *key, bool *out);	/* on, off */
int params_number(struct params *params, const char *key, uint64_t min, uint64_t max, uint64_t *out);
int params_bytes(struct params *params, const char *key, uint64_t *out); /* 10G, 512K */
int params_choice(struct params *params, const char *key, const char *const *choices, unsigned int *out);
/* After all getters: a key that nobody asked for is an error. 0 or -EINVAL */
int params_done(const struct params *params);

#endif /* VIREO_PARAMS_H */

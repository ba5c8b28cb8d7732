/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lines of the control protocol (Documentation/control.rst): JSON objects, one a line.
 *
 * Requests come from anybody who may open the socket: they are checked here, members one does not know
 * among them, before a command sees them.
 */
#ifndef VIREO_PROTOCOL_H
#define VIREO_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#define PROTOCOL_VERSION	1
#define PROTOCOL_LINE_MAX	65536	/* bytes of a line, with its end */
#define PROTOCOL_ID_MAX		64	/* bytes of an id that is a string */
#define PROTOCOL_MEMBERS_MAX	8

/**
 * struct protocol_member - what a command may have besides "id" and "command"
 * @name: of the member
 * @type: JSON_STRING, JSON_INTEGER or JSON_TRUE (for true and false)
 * @required: it has to be there
 * @min: least value of an integer
 * @max: greatest
 */
struct protocol_member {
	const char *name;
	json_type type;
	bool required;
	int64_t min, max;
};

/**
 * struct protocol_command - a command
 * @name: of it
 * @member: its members, up to the first without a name
 */
struct protocol_command {
	const char *name;
	struct protocol_member member[PROTOCOL_MEMBERS_MAX];
};

extern const struct protocol_command protocol_commands[];

/**
 * struct protocol_request - a request that is well-formed
 * @command: which command
 * @id: integer, string, or null if there was none
 * @members: the whole object
 */
struct protocol_request {
	const struct protocol_command *command;
	json_t *id;
	json_t *members;
};

/* NULL and a request; or the error reply to send */
json_t *protocol_parse(const char *line, size_t len, struct protocol_request *request);
void protocol_free(struct protocol_request *request);
const char *protocol_string(const struct protocol_request *request, const char *name);
bool protocol_flag(const struct protocol_request *request, const char *name);
int64_t protocol_integer(const struct protocol_request *request, const char *name, int64_t otherwise);

json_t *protocol_result(json_t *result);
json_t *protocol_error(const char *code, const char *format, ...) __attribute__((format(printf, 2, 3)));
void protocol_address(json_t *reply, json_t *id);
char *protocol_line(const json_t *object, size_t *len);

#endif /* VIREO_PROTOCOL_H */

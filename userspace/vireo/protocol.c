// SPDX-License-Identifier: GPL-2.0-only
/* One table of commands and their members; what is not in it is refused. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"

#define TIMEOUT_MAX 86400	/* seconds */

/* Those that control.c answers itself ("version", "events", "console"), and those of control_commands.c. */
const struct protocol_command protocol_commands[] = {
	{ "version", { { 0 } } },
	{ "query", { { "what", JSON_STRING, true, 0, 0 } } },
	{ "pause", { { 0 } } },
	{ "resume", { { 0 } } },
	{ "reset", { { 0 } } },
	{ "stop", { { "hard", JSON_TRUE, false, 0, 0 },
		    { "timeout", JSON_INTEGER, false, 0, TIMEOUT_MAX } } },
	{ "balloon", { { "size", JSON_INTEGER, true, 0, INT64_MAX } } },
	{ "save", { { "path", JSON_STRING, true, 0, 0 }, { "then", JSON_STRING, false, 0, 0 } } },
	{ "fork", { { "name", JSON_STRING, true, 0, 0 }, { "tag", JSON_STRING, false, 0, 0 } } },
	{ "snapshot", { { "tag", JSON_STRING, true, 0, 0 } } },
	{ "rollback", { { "tag", JSON_STRING, true, 0, 0 } } },
	{ "snapshot-delete", { { "tag", JSON_STRING, true, 0, 0 } } },
	{ "migrate", { { "to", JSON_STRING, true, 0, 0 },
		       { "mode", JSON_STRING, false, 0, 0 },
		       { "downtime", JSON_INTEGER, false, 0, TIMEOUT_MAX * 1000LL },
		       { "bandwidth", JSON_INTEGER, false, 0, INT64_MAX },
		       { "timeout", JSON_INTEGER, false, 1, TIMEOUT_MAX },
		       { "tls", JSON_STRING, false, 0, 0 },
		       { "verify", JSON_TRUE, false, 0, 0 },
		       { "switch", JSON_TRUE, false, 0, 0 } } },
	{ "migrate-cancel", { { 0 } } },
	{ "migrate-switch", { { 0 } } },
	{ "migrate-resolve", { { "keep", JSON_TRUE, true, 0, 0 } } },
	{ "console", { { 0 } } },
	{ "events", { { 0 } } },
	{ NULL, { { 0 } } },
};

static const struct protocol_command *find_command(const char *name)
{
	const struct protocol_command *command;

	for (command = protocol_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

static const struct protocol_member *find_member(const struct protocol_command *command, const char *name)
{
	unsigned int i;

	for (i = 0; i < PROTOCOL_MEMBERS_MAX && command->member[i].name; i++)
		if (!strcmp(command->member[i].name, name))
			return &command->member[i];
	return NULL;
}

static json_t *check_member(const struct protocol_member *member, const char *name, const json_t *value)
{
	switch (member->type) {
	case JSON_TRUE:
		if (!json_is_boolean(value))
			return protocol_error("bad-member", "\"%s\" is neither true nor false", name);
		return NULL;
	case JSON_INTEGER:
		if (!json_is_integer(value) || json_integer_value(value) < member->min ||
		    json_integer_value(value) > member->max)
			return protocol_error("bad-member", "\"%s\" is not a whole number from %lld to %lld",
					      name,
					      (long long)member->min, (long long)member->max);
		return NULL;
	default:
		if (!json_is_string(value))
			return protocol_error("bad-member", "\"%s\" is not a string", name);
		return NULL;
	}
}

static json_t *check_members(const struct protocol_command *command, json_t *object)
{
	const struct protocol_member *member;
	json_t *value, *error;
	const char *name;
	unsigned int i;

	json_object_foreach(object, name, value) {
		if (!strcmp(name, "id") || !strcmp(name, "command"))
			continue;
		member = find_member(command, name);
		if (!member)
			return protocol_error("unknown-member", "\"%s\" has no member \"%.40s\"",
					      command->name, name);
		error = check_member(member, name, value);
		if (error)
			return error;
	}
	for (i = 0; i < PROTOCOL_MEMBERS_MAX && command->member[i].name; i++) {
		if (command->member[i].required && !json_object_get(object, command->member[i].name))
			return protocol_error("missing-member", "\"%s\" needs a member \"%s\"", command->name,
					      command->member[i].name);
	}
	return NULL;
}

static bool valid_id(const json_t *id)
{
	return json_is_integer(id) || (json_is_string(id) && json_string_length(id) <= PROTOCOL_ID_MAX);
}

static json_t *check(json_t *object, struct protocol_request *request)
{
	json_t *id, *name, *error;

	if (!json_is_object(object))
		return protocol_error("bad-request", "a request is an object");
	id = json_object_get(object, "id");
	if (id && !valid_id(id))
		return protocol_error("bad-request",
				      "\"id\" is neither a whole number nor a string of up to %d bytes",
				      PROTOCOL_ID_MAX);
	name = json_object_get(object, "command");
	if (!json_is_string(name)) {
		error = protocol_error("bad-request", "there is no \"command\", which is a string");
	} else {
		request->command = find_command(json_string_value(name));
		if (request->command)
			error = check_members(request->command, object);
		else
			error = protocol_error("unknown-command", "there is no command \"%.40s\"",
					       json_string_value(name));
	}
	if (error) {
		protocol_address(error, id);
		return error;
	}
	request->id = id ? json_incref(id) : json_null();
	request->members = json_incref(object);
	return NULL;
}

/**
 * protocol_parse() - read a request
 * @line: the line, without its end
 * @len: its length
 * @request: to be filled; protocol_free() frees it
 *
 * Return: NULL if it is good; or the reply that says what is wrong.
 */
json_t *protocol_parse(const char *line, size_t len, struct protocol_request *request)
{
	json_error_t where;
	json_t *object, *reply;

	memset(request, 0, sizeof(*request));
	object = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
	if (!object) {
		reply = protocol_error("bad-json", "column %d: %s", where.column, where.text);
	} else {
		reply = check(object, request);
		json_decref(object);
	}
	return reply;
}

/**
 * protocol_free() - forget a request
 * @request: it
 */
void protocol_free(struct protocol_request *request)
{
	json_decref(request->id);
	json_decref(request->members);
	memset(request, 0, sizeof(*request));
}

/**
 * protocol_string() - a member that is a string
 * @request: the request
 * @name: of the member
 *
 * Return: the string, or NULL if it is not there.
 */
const char *protocol_string(const struct protocol_request *request, const char *name)
{
	return json_string_value(json_object_get(request->members, name));
}

/**
 * protocol_flag() - a member that is true or false
 * @request: the request
 * @name: of the member
 *
 * Return: its value; false if it is not there.
 */
bool protocol_flag(const struct protocol_request *request, const char *name)
{
	return json_is_true(json_object_get(request->members, name));
}

/**
 * protocol_integer() - a member that is a number
 * @request: the request
 * @name: of the member
 * @otherwise: if it is not there
 *
 * Return: its value.
 */
int64_t protocol_integer(const struct protocol_request *request, const char *name, int64_t otherwise)
{
	const json_t *value = json_object_get(request->members, name);

	return value ? json_integer_value(value) : otherwise;
}

/**
 * protocol_result() - a reply that says that something was done
 * @result: what came of it; belongs to the reply. NULL: nothing more to say
 *
 * Return: the reply, without an id; NULL if there is no memory.
 */
json_t *protocol_result(json_t *result)
{
	return json_pack("{s:o}", "result", result ? result : json_object());
}

/**
 * protocol_error() - a reply that says that nothing was done
 * @code: for programs
 * @format: a sentence for people
 *
 * Return: the reply, without an id; never NULL.
 */
json_t *protocol_error(const char *code, const char *format, ...)
{
	json_t *string, *reply;
	char text[256] = "";
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	string = json_string(text);
	/* What was quoted may have been cut in the middle of a character. */
	if (!string)
		string = json_string("the request is wrong");
	reply = json_pack("{s:{s:s,s:o}}", "error", "code", code, "text", string);
	/* Without memory for it, something that is not a request's success. */
	return reply ? reply : json_null();
}

/**
 * protocol_address() - say which request a reply belongs to
 * @reply: the reply
 * @id: the request's; NULL: there was none
 */
void protocol_address(json_t *reply, json_t *id)
{
	if (reply)
		json_object_set(reply, "id", id ? id : json_null());
}

/**
 * protocol_line() - an object as it is sent
 * @object: it
 * @len: set to the length of the line
 *
 * Return: the line with its end, to be freed; NULL if there is no memory.
 */
char *protocol_line(const json_t *object, size_t *len)
{
	char *text = json_dumps(object, JSON_COMPACT), *line;

	if (!text)
		return NULL;
	*len = strlen(text) + 1;
	line = realloc(text, *len + 1);
	if (!line) {
		free(text);
		return NULL;
	}
	line[*len - 1] = '\n';
	line[*len] = '\0';
	return line;
}

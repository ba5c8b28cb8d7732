// SPDX-License-Identifier: GPL-2.0-only
/* Any bytes as lines of the control protocol: each is a request or refused, and nothing is left allocated. */
#include <stdlib.h>
#include <string.h>

#include "../vireo/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_line(const char *text, size_t len)
{
	struct protocol_request request;
	json_t *reply = protocol_parse(text, len, &request);
	size_t bytes = 0;
	char *line;

	/* Refused and good at once, or neither. */
	if (!!reply == !!request.members)
		abort();
	if (!reply) {
		protocol_string(&request, "what");
		protocol_flag(&request, "hard");
		if (protocol_integer(&request, "timeout", -1) < -1)
			abort();
		reply = protocol_result(NULL);
		protocol_address(reply, request.id);
	}
	line = protocol_line(reply, &bytes);
	if (!line || !bytes || line[bytes - 1] != '\n' || memchr(line, '\n', bytes - 1))
		abort();
	free(line);
	json_decref(reply);
	protocol_free(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end;

	while (size) {
		end = memchr(text, '\n', size);
		one_line(text, end ? (size_t)(end - text) : size);
		if (!end)
			break;
		size -= (size_t)(end + 1 - text);
		text = end + 1;
	}
	return 0;
}

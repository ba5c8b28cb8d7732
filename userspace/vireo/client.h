/* SPDX-License-Identifier: GPL-2.0-only */
/* The other end of the control socket: what list, pause, stop and the other tools share. */
#ifndef VIREO_CLIENT_H
#define VIREO_CLIENT_H

#include <stdbool.h>
#include <jansson.h>

#define CLIENT_FOREVER (-1)

/**
 * struct client_link - a connection to a machine
 * @fd: the socket
 * @line: what was received and not used yet
 * @len: how much
 */
struct client_link {
	int fd;
	char *line;
	size_t len;
};

/* All of these print what is wrong. */
int client_connect(struct client_link *link, const char *name);
int client_connect_in(struct client_link *link, const char *dir, const char *name);
void client_disconnect(struct client_link *link);
int client_send(struct client_link *link, const char *text);
/* The next object; NULL at the end, or with *timed_out after @timeout_ms */
json_t *client_receive(struct client_link *link, int timeout_ms, bool *timed_out);
/* Send a request and wait for its reply: 0 and the result, or an exit status */
int client_request(struct client_link *link, json_t *request, json_t **result);
/* Of a connection that gets events: all of them, to its end */
void client_wait_end(struct client_link *link);
/* Connect, one request without members, done */
int client_command(const char *name, const char *command);

#endif /* VIREO_CLIENT_H */

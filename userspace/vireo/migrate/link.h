/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A connection between two launchers: by TCP, by a Unix socket, or through a command; with a limit to its rate, and encrypted
 * if that is asked for. Nothing waits for ever: what does not move for a time is an error, and so is a cancellation.
 */
#ifndef VIREO_MIGRATE_LINK_H
#define VIREO_MIGRATE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire.h"

#define LINK_WHY	256		/* bytes of a message */
#define LINK_BUFFER	(256U << 10)
#define LINK_TIMEOUT_MS	30000

enum link_kind {
	LINK_TCP,
	LINK_UNIX,
	LINK_EXEC,
	LINK_STDIO,
};

/**
 * struct link_address - where the other side is
 * @kind: how to get there
 * @host: LINK_TCP: name or number; empty: any, for the one that listens
 * @port: likewise
 * @path: of a socket, or the command
 */
struct link_address {
	enum link_kind kind;
	char host[256];
	char port[32];
	char path[1024];
};

struct link_tls;		/* credentials */

/**
 * struct link_options - what both ends may want
 * @timeout_ms: after so long without a byte the connection counts as lost
 * @tls: NULL: in the clear
 * @interrupted: asked several times a second: is it over? May be NULL
 * @opaque: handed to it
 */
struct link_options {
	unsigned int timeout_ms;
	const struct link_tls *tls;
	bool (*interrupted)(void *opaque);
	void *opaque;
};

/**
 * struct link - a connection
 * @in: file descriptor
 * @out: may be the same
 * @child: of LINK_EXEC; 0: none
 * @options: see there
 * @session: of TLS, or NULL
 * @rate: bytes a second; 0: as fast as it goes. May change at any time
 * @sent: bytes, with those in the buffer
 * @received: bytes
 * @owed_ns: when what was sent may have been sent at that rate
 * @buffer: what is to be sent
 * @used: bytes of it
 * @payload: of the frame that came last
 * @source: this is the source's end
 * @why: what went wrong, a sentence
 */
struct link {
	int in, out;
	pid_t child;
	struct link_options options;
	void *session;
	uint64_t rate;
	uint64_t sent, received;
	uint64_t owed_ns;
	uint8_t *buffer;
	size_t used;
	uint8_t *payload;
	bool source;
	char why[LINK_WHY];
};

/* 0, or -EINVAL: it is none */
int link_address_parse(const char *text, struct link_address *address);

/* All of these return 0 or a negative errno, with a sentence in why, or in link->why */
int link_connect(struct link *link, const struct link_address *address, const struct link_options *options);
int link_listen(const struct link_address *address, char *why);
int link_accept(struct link *link, const struct link_address *address, int listener, const struct link_options *options);
void link_close(struct link *link);
/* The socket's file goes, too */
void link_unlisten(const struct link_address *address, int listener);

/* Append a frame; it may stay in the buffer until link_flush() */
int link_send(struct link *link, enum wire_type type, const void *payload, size_t len);
/* Likewise, of two parts */
int link_send_parts(struct link *link, enum wire_type type, const void *a, size_t a_len, const void *b, size_t b_len);
int link_flush(struct link *link);
/* The next frame, checked by wire_check_header(); @payload is good until the next call */
int link_receive(struct link *link, unsigned int *type, const uint8_t **payload, size_t *len);
/* Whether there is something to receive, or the end, by now */
bool link_readable(const struct link *link);

/* "psk:FILE" or "x509:DIRECTORY"; @why: LINK_WHY bytes */
int link_tls_load(const char *text, bool server, struct link_tls **out, char *why);
void link_tls_free(struct link_tls *tls);
/* tls.c; @host: whose name the certificate has to have, NULL: any */
int link_tls_begin(struct link *link, const char *host);
void link_tls_end(struct link *link);
ssize_t link_tls_write(struct link *link, const void *bytes, size_t len);
ssize_t link_tls_read(struct link *link, void *bytes, size_t len);
bool link_tls_pending(const struct link *link);

/* Wait until @fd is ready: 0; -ETIMEDOUT; -ECANCELED */
int link_wait(struct link *link, int fd, short events, unsigned int timeout_ms);

#endif /* VIREO_MIGRATE_LINK_H */

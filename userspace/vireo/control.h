/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket of a machine: a server with a thread of its own.
 *
 * It knows sockets, lines and clients; what commands mean, its owner knows (control_commands.c). Nothing
 * that a client does or does not do holds up the machine: what goes out waits in buffers with a bound.
 */
#ifndef VIREO_CONTROL_H
#define VIREO_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "protocol.h"

struct control;

/**
 * struct control_ops - what the server needs of its owner; all are called by its thread, without a lock
 * @command: carry a request out. @again: it was asked for before and NULL was the answer. Returns the reply;
 *	or NULL: not done yet, ask again when control_wake() was called, and soon anyway
 * @tick: called now and then, at least every @command that waits; ms until it wants to be called again, -1:
 *	no need
 * @input: what a viewer of the console has typed; returns how much was taken
 */
struct control_ops {
	json_t *(*command)(void *opaque, const struct protocol_request *request, bool again);
	int (*tick)(void *opaque);
	size_t (*input)(void *opaque, const uint8_t *bytes, size_t n);
};

int control_open(const char *name, bool required, const struct control_ops *ops, void *opaque,
		 struct control **out);
int control_start(struct control *control);
void control_close(struct control *control);
const char *control_path(const struct control *control);

/* By any thread, with any lock held; @control may be NULL */
void control_wake(struct control *control);
void control_event(struct control *control, const char *name, const char *text);
void control_output(struct control *control, const uint8_t *bytes, size_t n);

#endif /* VIREO_CONTROL_H */

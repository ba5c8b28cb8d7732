/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The console: standard input and output, a pseudo-terminal, a file, or nothing but viewers.
 *
 * Whichever it is, viewers ("vireo console") see a copy of what the guest writes, and may type.
 *
 * Towards the serial port nothing here blocks. Output goes to a buffer that a
 * thread of the console's own empties; input is read by the event loop into
 * another one.
 */
#ifndef VIREO_CONSOLE_H
#define VIREO_CONSOLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/**
 * struct console_host - what a console needs of those around it
 * @name: what is said with the name of a pseudo-terminal
 * @readable: there is input again, after console_read() had given too little
 * @writable: output is taken again, after console_write() had taken too little
 * @quit: somebody typed Ctrl-A x
 * @viewers: a copy of output, for those who watch; may be NULL
 * @opaque: handed to all of them
 *
 * None is called from within console_read() and console_write().
 */
struct console_host {
	const char *name;
	void (*readable)(void *opaque);
	void (*writable)(void *opaque);
	void (*quit)(void *opaque);
	void (*viewers)(void *opaque, const uint8_t *bytes, size_t n);
	void *opaque;
};

struct console;

int console_open(const char *where, const struct console_host *host, struct console **out);
int console_start(struct console *console, struct loop *loop);
void console_close(struct console *console);
bool console_has_stdio(void);
bool console_size(const struct console *console, uint16_t *cols, uint16_t *rows);
size_t console_write(void *console, const uint8_t *bytes, size_t n);
size_t console_type(struct console *console, const uint8_t *bytes, size_t n);
size_t console_read(void *console, uint8_t *bytes, size_t n);

#endif /* VIREO_CONSOLE_H */

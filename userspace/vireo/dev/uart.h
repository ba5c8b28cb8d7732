/* SPDX-License-Identifier: GPL-2.0-only */
/* A 16550A serial port. */
#ifndef VIREO_DEV_UART_H
#define VIREO_DEV_UART_H

#include "../board.h"

/**
 * struct uart_line - what is at the other end of the cable
 * @send: takes up to @n bytes, returns how many; calls uart_writable() when it
 *	  takes some again after it has taken fewer
 * @receive: gives up to @n bytes, returns how many; calls uart_readable() when
 *	     there are some again after it has given fewer
 * @opaque: handed to both
 *
 * Both functions are called with the board's lock held and do not block.
 */
struct uart_line {
	size_t (*send)(void *opaque, const uint8_t *bytes, size_t n);
	size_t (*receive)(void *opaque, uint8_t *bytes, size_t n);
	void *opaque;
};

struct uart;

int uart_create(struct board *board, uint16_t port, unsigned int irq,
		const struct uart_line *line, struct uart **out);
void uart_readable(struct uart *uart);
void uart_writable(struct uart *uart);

#endif /* VIREO_DEV_UART_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * 16550A: written from National Semiconductor's data sheet of the PC16550D.
 *
 * It has no speed: what the guest writes is sent at once, and received bytes
 * wait at the other end of the cable until there is room. When the other end
 * takes nothing (a stopped terminal) the transmitter stays full, and the guest
 * waits as it would for a slow line. A byte below the receive trigger level
 * raises the time-out interrupt at once, because nothing else will come until
 * somebody types.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uart.h"
#include "../state.h"
#include "../util.h"

#define FIFO_BYTES	16

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX		0x01
#define IER_TX		0x02
#define IER_LINE	0x04
#define IER_MODEM	0x08
#define IER_ALL		0x0f

#define IIR_NONE	0x01
#define IIR_MODEM	0x00
#define IIR_TX		0x02
#define IIR_RX		0x04
#define IIR_LINE	0x06
#define IIR_TIMEOUT	0x0c
#define IIR_FIFO	0xc0

#define FCR_ENABLE	0x01
#define FCR_CLEAR_RX	0x02
#define FCR_CLEAR_TX	0x04
#define FCR_DMA		0x08
#define FCR_TRIGGER	0xc0

#define LCR_BREAK	0x40
#define LCR_DLAB	0x80

#define MCR_DTR		0x01
#define MCR_RTS		0x02
#define MCR_OUT1	0x04
#define MCR_OUT2	0x08	/* on a PC: connects the interrupt */
#define MCR_LOOP	0x10
#define MCR_ALL		0x1f

#define LSR_READY	0x01
#define LSR_OVERRUN	0x02
#define LSR_BREAK	0x10
#define LSR_THRE	0x20
#define LSR_EMPTY	0x40
#define LSR_ERRORS	0x1e

#define MSR_DCTS	0x01
#define MSR_DDSR	0x02
#define MSR_TERI	0x04
#define MSR_DDCD	0x08
#define MSR_CTS		0x10
#define MSR_DSR		0x20
#define MSR_RI		0x40
#define MSR_DCD		0x80
#define MSR_CONNECTED	(MSR_CTS | MSR_DSR | MSR_DCD)

struct fifo {
	uint8_t byte[FIFO_BYTES];
	unsigned int first;
	unsigned int nr;
};

/**
 * struct uart - the chip
 * @device: common part
 * @line: the cable
 * @irq: its interrupt line
 * @rx: received bytes; one of them if FIFOs are off
 * @tx: bytes that the line has not taken; one of them if FIFOs are off
 * @thre_pending: transmitter became empty, and IIR has not said so yet
 * @ier: interrupt enable register
 * @fcr: FIFO control register
 * @lcr: line control register
 * @mcr: modem control register
 * @scr: scratch register
 * @modem: the inputs, MSR bits 4-7
 * @modem_delta: MSR bits 0-3
 * @errors: LSR bits that reading clears
 * @divisor: of the baud rate, without effect
 */
struct uart {
	struct device device;
	struct uart_line line;
	unsigned int irq;
	struct fifo rx;
	struct fifo tx;
	bool thre_pending;
	uint8_t ier;
	uint8_t fcr;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t scr;
	uint8_t modem;
	uint8_t modem_delta;
	uint8_t errors;
	uint16_t divisor;
};

static void fifo_put(struct fifo *fifo, uint8_t byte)
{
	fifo->byte[(fifo->first + fifo->nr++) % FIFO_BYTES] = byte;
}

static uint8_t fifo_get(struct fifo *fifo)
{
	uint8_t byte = fifo->byte[fifo->first];

	fifo->first = (fifo->first + 1) % FIFO_BYTES;
	fifo->nr--;
	return byte;
}

static unsigned int depth(const struct uart *uart)
{
	return uart->fcr & FCR_ENABLE ? FIFO_BYTES : 1;
}

static unsigned int trigger(const struct uart *uart)
{
	static const uint8_t level[] = { 1, 4, 8, 14 };

	return uart->fcr & FCR_ENABLE ? level[uart->fcr >> 6] : 1;
}

static uint8_t identify(const struct uart *uart)
{
	if (uart->ier & IER_LINE && uart->errors)
		return IIR_LINE;
	if (uart->ier & IER_RX && uart->rx.nr)
		return uart->rx.nr >= trigger(uart) ? IIR_RX : IIR_TIMEOUT;
	if (uart->ier & IER_TX && uart->thre_pending)
		return IIR_TX;
	if (uart->ier & IER_MODEM && uart->modem_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

static void update(struct uart *uart)
{
	bool connected = uart->mcr & MCR_OUT2 && !(uart->mcr & MCR_LOOP);

	vireo_irq_set(uart->device.board, uart->irq, connected && identify(uart) != IIR_NONE);
}

static void receive(struct uart *uart, uint8_t byte)
{
	if (uart->rx.nr >= depth(uart)) {
		uart->errors |= LSR_OVERRUN;
		if (uart->fcr & FCR_ENABLE)
			return;		/* the FIFO keeps what it has */
		fifo_get(&uart->rx);	/* without FIFO the newer byte wins */
	}
	fifo_put(&uart->rx, byte);
}

/* Fetch what has arrived while there is room. */
static void pull(struct uart *uart)
{
	uint8_t bytes[FIFO_BYTES];
	unsigned int room = depth(uart) - uart->rx.nr;
	size_t n, i;

	if (uart->mcr & MCR_LOOP || !room || uart->rx.nr >= depth(uart))
		return;
	n = uart->line.receive(uart->line.opaque, bytes, room);
	for (i = 0; i < n; i++)
		fifo_put(&uart->rx, bytes[i]);
}

static void push(struct uart *uart)
{
	while (uart->tx.nr) {
		uint8_t byte = uart->tx.byte[uart->tx.first];

		if (!uart->line.send(uart->line.opaque, &byte, 1))
			return;
		fifo_get(&uart->tx);
	}
	uart->thre_pending = true;
}

static void transmit(struct uart *uart, uint8_t byte)
{
	uart->thre_pending = false;
	if (uart->mcr & MCR_LOOP) {
		receive(uart, byte);
		uart->thre_pending = true;
		return;
	}
	if (uart->tx.nr >= depth(uart))
		return;		/* written although LSR said that it is full */
	fifo_put(&uart->tx, byte);
	push(uart);
}

/* In loopback the modem control outputs are the modem status inputs. */
static void set_modem(struct uart *uart)
{
	uint8_t inputs = MSR_CONNECTED, changed;

	if (uart->mcr & MCR_LOOP) {
		inputs = 0;
		if (uart->mcr & MCR_RTS)
			inputs |= MSR_CTS;
		if (uart->mcr & MCR_DTR)
			inputs |= MSR_DSR;
		if (uart->mcr & MCR_OUT1)
			inputs |= MSR_RI;
		if (uart->mcr & MCR_OUT2)
			inputs |= MSR_DCD;
	}
	changed = uart->modem ^ inputs;
	if (changed & MSR_CTS)
		uart->modem_delta |= MSR_DCTS;
	if (changed & MSR_DSR)
		uart->modem_delta |= MSR_DDSR;
	if (changed & MSR_DCD)
		uart->modem_delta |= MSR_DDCD;
	if (changed & MSR_RI && !(inputs & MSR_RI))
		uart->modem_delta |= MSR_TERI;
	uart->modem = inputs;
}

static uint8_t line_status(struct uart *uart)
{
	uint8_t lsr = uart->errors;

	if (uart->rx.nr)
		lsr |= LSR_READY;
	if (!uart->tx.nr)
		lsr |= LSR_THRE | LSR_EMPTY;
	return lsr;
}

static uint64_t uart_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct uart *uart = opaque;
	uint8_t value = 0;

	(void)size;
	switch (offset) {
	case REG_DATA:
		if (uart->lcr & LCR_DLAB)
			return uart->divisor & 0xff;
		if (uart->rx.nr)
			value = fifo_get(&uart->rx);
		pull(uart);
		break;
	case REG_IER:
		if (uart->lcr & LCR_DLAB)
			return uart->divisor >> 8;
		return uart->ier;
	case REG_IIR:
		value = identify(uart);
		if (value == IIR_TX)
			uart->thre_pending = false;
		if (uart->fcr & FCR_ENABLE)
			value |= IIR_FIFO;
		break;
	case REG_LCR:
		return uart->lcr;
	case REG_MCR:
		return uart->mcr;
	case REG_LSR:
		value = line_status(uart);
		uart->errors = 0;
		break;
	case REG_MSR:
		value = uart->modem | uart->modem_delta;
		uart->modem_delta = 0;
		break;
	case REG_SCR:
		return uart->scr;
	}
	update(uart);
	return value;
}

static void set_fcr(struct uart *uart, uint8_t value)
{
	/* Switching the FIFOs on or off empties them. */
	if ((value ^ uart->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	if (value & FCR_CLEAR_RX)
		uart->rx.nr = 0;
	if (value & FCR_CLEAR_TX && uart->tx.nr) {
		uart->tx.nr = 0;
		uart->thre_pending = true;
	}
	uart->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_DMA | FCR_TRIGGER) : 0;
	pull(uart);
}

static void uart_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct uart *uart = opaque;
	uint8_t byte = (uint8_t)value;

	(void)size;
	switch (offset) {
	case REG_DATA:
		if (uart->lcr & LCR_DLAB) {
			uart->divisor = (uint16_t)((uart->divisor & 0xff00) | byte);
			return;
		}
		transmit(uart, byte);
		break;
	case REG_IER:
		if (uart->lcr & LCR_DLAB) {
			uart->divisor = (uint16_t)((uart->divisor & 0xff) | byte << 8);
			return;
		}
		/* Enabled with an empty transmitter, it interrupts at once. */
		if (byte & IER_TX && !(uart->ier & IER_TX) && !uart->tx.nr)
			uart->thre_pending = true;
		uart->ier = byte & IER_ALL;
		break;
	case REG_IIR:
		set_fcr(uart, byte);
		break;
	case REG_LCR:
		/* With loopback, a break comes back as one. */
		if (byte & LCR_BREAK && !(uart->lcr & LCR_BREAK) && uart->mcr & MCR_LOOP) {
			receive(uart, 0);
			uart->errors |= LSR_BREAK;
		}
		uart->lcr = byte;
		break;
	case REG_MCR:
		uart->mcr = byte & MCR_ALL;
		set_modem(uart);
		pull(uart);
		break;
	case REG_SCR:
		uart->scr = byte;
		return;
	}
	update(uart);
}

/**
 * uart_readable() - there is something to receive
 * @uart: the port; the board is locked
 */
void uart_readable(struct uart *uart)
{
	pull(uart);
	update(uart);
}

/**
 * uart_writable() - the line takes bytes again
 * @uart: the port; the board is locked
 */
void uart_writable(struct uart *uart)
{
	if (!uart->tx.nr)
		return;
	push(uart);
	update(uart);
}

static void reset(struct device *device)
{
	struct uart *uart = container_of(device, struct uart, device);

	uart->rx.nr = 0;
	uart->tx.nr = 0;
	uart->thre_pending = false;
	uart->ier = 0;
	uart->fcr = 0;
	uart->lcr = 0;
	uart->mcr = 0;
	uart->modem = MSR_CONNECTED;
	uart->modem_delta = 0;
	uart->errors = 0;
	uart->divisor = 12;	/* 9600 baud, as firmware would leave it */
	update(uart);
}

static void destroy(struct device *device)
{
	free(container_of(device, struct uart, device));
}

static int check_state(const void *device, const void *loaded)
{
	const struct uart *uart = loaded;

	(void)device;
	if (uart->fcr & ~(FCR_ENABLE | FCR_DMA | FCR_TRIGGER) || (uart->fcr && !(uart->fcr & FCR_ENABLE)))
		return -EINVAL;
	if (uart->rx.first >= FIFO_BYTES || uart->rx.nr > depth(uart) || uart->tx.first >= FIFO_BYTES ||
	    uart->tx.nr > depth(uart))
		return -EINVAL;
	if (uart->ier & ~IER_ALL || uart->mcr & ~MCR_ALL || uart->modem & 0x0f || uart->modem_delta & 0xf0 ||
	    uart->errors & ~LSR_ERRORS)
		return -EINVAL;
	return 0;
}

/* What @tx has is sent when the machine goes on. */
static void load_state(void *device)
{
	update(device);
}

static const struct state_field state_fields[] = {
	STATE_BYTES(struct uart, rx.byte),
	STATE_FIELD(struct uart, rx.first),
	STATE_FIELD(struct uart, rx.nr),
	STATE_BYTES(struct uart, tx.byte),
	STATE_FIELD(struct uart, tx.first),
	STATE_FIELD(struct uart, tx.nr),
	STATE_FIELD(struct uart, thre_pending),
	STATE_FIELD(struct uart, ier),
	STATE_FIELD(struct uart, fcr),
	STATE_FIELD(struct uart, lcr),
	STATE_FIELD(struct uart, mcr),
	STATE_FIELD(struct uart, scr),
	STATE_FIELD(struct uart, modem),
	STATE_FIELD(struct uart, modem_delta),
	STATE_FIELD(struct uart, errors),
	STATE_FIELD(struct uart, divisor),
	STATE_END,
};

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct uart),
	.fields = state_fields,
	.check = check_state,
	.load = load_state,
};

static const struct device_ops uart_device_ops = { .reset = reset, .destroy = destroy, .state = &state };
static const struct bus_ops uart_ops = { uart_read, uart_write, 1 };

/**
 * uart_create() - plug in a serial port
 * @board: the board
 * @port: first of its eight ports
 * @irq: its interrupt line
 * @line: the cable
 * @out: the port, for uart_readable() and uart_writable(); may be NULL
 *
 * Return: 0, or a negative errno.
 */
int uart_create(struct board *board, uint16_t port, unsigned int irq,
		const struct uart_line *line, struct uart **out)
{
	struct uart *uart = calloc(1, sizeof(*uart));
	int r;

	if (!uart)
		return -ENOMEM;
	uart->line = *line;
	uart->irq = irq;
	board_plug(board, &uart->device, "uart", &uart_device_ops);
	reset(&uart->device);
	r = bus_claim(&board->pio, port, 8, &uart_ops, uart);
	if (!r && out)
		*out = uart;
	return r;
}

// SPDX-License-Identifier: GPL-2.0-only
/* 16550A: FIFOs, interrupts and their order, loopback, modem lines, a slow line. */
#include <string.h>

#include "rig.h"
#include "tap.h"
#include "../vireo/dev/uart.h"

#define COM 0x3f8
#define IRQ 4

static struct rig rig;
static struct uart *uart;
static uint8_t sent[256];
static size_t nr_sent, room;
static const char *input;

static size_t send(void *opaque, const uint8_t *bytes, size_t n)
{
	(void)opaque;
	if (n > room)
		n = room;
	memcpy(sent + nr_sent, bytes, n);
	nr_sent += n;
	room -= n;
	return n;
}

static size_t receive(void *opaque, uint8_t *bytes, size_t n)
{
	size_t have = strlen(input);

	(void)opaque;
	if (n > have)
		n = have;
	memcpy(bytes, input, n);
	input += n;
	return n;
}

static void setup(bool fifo)
{
	struct uart_line line = { send, receive, NULL };

	nr_sent = 0;
	room = 200;
	input = "";
	rig_init(&rig, 0);
	rig_lines(&rig);
	uart_create(&rig.board, COM, IRQ, &line, &uart);
	rig_out(&rig, COM + 4, 0x0b);	/* DTR, RTS, OUT2 */
	if (fifo)
		rig_out(&rig, COM + 2, 0x07);
}

static void type(const char *text)
{
	input = text;
	uart_readable(uart);
}

static void test_identity(void)
{
	setup(false);
	is(rig_in(&rig, COM + 2), 0x01, "no FIFO, no interrupt");
	rig_out(&rig, COM + 2, 0x01);
	is(rig_in(&rig, COM + 2), 0xc1, "FIFO: a 16550A");
	rig_out(&rig, COM + 7, 0xa5);
	is(rig_in(&rig, COM + 7), 0xa5, "scratch register");
	rig_out(&rig, COM + 3, 0x83);
	rig_out(&rig, COM, 0x01);
	rig_out(&rig, COM + 1, 0x02);
	is(rig_in(&rig, COM), 0x01, "divisor, low");
	is(rig_in(&rig, COM + 1), 0x02, "divisor, high");
	rig_out(&rig, COM + 3, 0x03);
	rig_out(&rig, COM + 1, 0xff);
	is(rig_in(&rig, COM + 1), 0x0f, "IER has four bits");
	is(rig_in(&rig, COM + 5), 0x60, "LSR: empty");
	is(rig_in(&rig, COM + 6), 0xb0, "MSR: connected");
	rig_destroy(&rig);
}

static void test_transmit(void)
{
	setup(true);
	rig_out(&rig, COM, 'h');
	rig_out(&rig, COM, 'i');
	ok(nr_sent == 2 && !memcmp(sent, "hi", 2), "bytes go out at once");
	ok(!rig.line[IRQ], "without an interrupt that was not asked for");
	rig_out(&rig, COM + 1, 0x02);
	ok(rig.line[IRQ], "enabling THRE with an empty transmitter interrupts");
	is(rig_in(&rig, COM + 2), 0xc2, "IIR: THRE");
	ok(!rig.line[IRQ], "reading IIR clears it");
	is(rig_in(&rig, COM + 2), 0xc1, "IIR: nothing more");
	rig_out(&rig, COM, 'x');
	ok(rig.line[IRQ], "it comes back after a byte");
	rig_out(&rig, COM + 1, 0x00);
	ok(!rig.line[IRQ], "and goes with its enable bit");
	rig_destroy(&rig);
}

static void test_slow_line(void)
{
	unsigned int i;

	setup(true);
	rig_out(&rig, COM + 1, 0x02);
	rig_in(&rig, COM + 2);
	room = 3;
	for (i = 0; i < 20; i++)
		rig_out(&rig, COM, (uint8_t)('a' + i));
	is(nr_sent, 3, "the line takes three");
	is(rig_in(&rig, COM + 5) & 0x60, 0, "the transmitter is not empty");
	ok(!rig.line[IRQ], "no interrupt");
	room = 100;
	uart_writable(uart);
	is(nr_sent, 19, "the FIFO had kept sixteen more, the 20th was lost");
	is(sent[18], 'a' + 18, "in order");
	ok(rig.line[IRQ], "and it interrupts when it is empty");
	is(rig_in(&rig, COM + 5) & 0x60, 0x60, "empty");
	rig_destroy(&rig);
}

static void test_receive(void)
{
	setup(true);
	rig_out(&rig, COM + 2, 0x81);	/* trigger at 8 */
	rig_out(&rig, COM + 1, 0x01);
	type("abc");
	ok(rig.line[IRQ], "received bytes interrupt");
	is(rig_in(&rig, COM + 2), 0xcc, "IIR: time-out below the trigger level");
	is(rig_in(&rig, COM + 5) & 1, 1, "LSR: ready");
	is(rig_in(&rig, COM), 'a', "first");
	is(rig_in(&rig, COM), 'b', "second");
	ok(rig.line[IRQ], "still one");
	is(rig_in(&rig, COM), 'c', "third");
	ok(!rig.line[IRQ], "none left");
	is(rig_in(&rig, COM + 5) & 1, 0, "LSR: not ready");
	is(rig_in(&rig, COM), 0, "reading on gives zero");
	type("0123456789abcdefXYZ");
	is(rig_in(&rig, COM + 2), 0xc4, "IIR: data at the trigger level");
	is(strlen(input), 3, "sixteen are taken, the others wait outside");
	rig_in(&rig, COM);
	is(strlen(input), 2, "each read makes room for one");
	is(rig_in(&rig, COM + 5) & 2, 0, "no overrun");
	rig_out(&rig, COM + 2, 0x03);
	is(rig_in(&rig, COM), 'Y', "clearing the FIFO drops what is in it only");
	rig_destroy(&rig);

	setup(false);
	type("pq");
	is(strlen(input), 1, "without FIFO: one byte");
	is(rig_in(&rig, COM), 'p', "first");
	is(rig_in(&rig, COM), 'q', "second");
	rig_destroy(&rig);
}

static void test_loopback(void)
{
	unsigned int i;

	setup(true);
	rig_in(&rig, COM + 6);
	rig_out(&rig, COM + 4, 0x10);
	is(rig_in(&rig, COM + 6), 0x0b, "loopback without outputs: inputs fall");
	rig_out(&rig, COM + 4, 0x1a);
	is(rig_in(&rig, COM + 6) & 0xf0, 0x90, "RTS is CTS, OUT2 is DCD");
	rig_out(&rig, COM + 4, 0x15);
	is(rig_in(&rig, COM + 6) & 0xf0, 0x60, "DTR is DSR, OUT1 is RI");
	rig_out(&rig, COM + 4, 0x10);
	is(rig_in(&rig, COM + 6) & 0x04, 0x04, "the trailing edge of RI is noted");
	rig_out(&rig, COM, 'L');
	is(nr_sent, 0, "loopback sends nothing outside");
	is(rig_in(&rig, COM), 'L', "but back");
	for (i = 0; i < 17; i++)
		rig_out(&rig, COM, (uint8_t)i);
	is(rig_in(&rig, COM + 5) & 2, 2, "overrun");
	is(rig_in(&rig, COM + 5) & 2, 0, "cleared by reading");
	rig_out(&rig, COM + 3, 0x40);
	is(rig_in(&rig, COM + 5) & 0x10, 0x10, "a break comes back");
	input = "outside";
	uart_readable(uart);
	is(strlen(input), 7, "nothing comes in from outside");
	rig_destroy(&rig);
}

static void test_order(void)
{
	setup(true);
	rig_out(&rig, COM + 1, 0x0f);
	rig_out(&rig, COM + 4, 0x1b);	/* loopback: modem changes */
	rig_out(&rig, COM, 'z');
	rig_out(&rig, COM + 3, 0x43);
	rig_out(&rig, COM + 4, 0x0b);
	is(rig_in(&rig, COM + 2), 0xc6, "line status is first");
	rig_in(&rig, COM + 5);
	is(rig_in(&rig, COM + 2) & 0x0f, 0x04, "then data");
	rig_in(&rig, COM);
	rig_in(&rig, COM);
	is(rig_in(&rig, COM + 2), 0xc2, "then THRE");
	rig_out(&rig, COM + 4, 0x1b);
	rig_out(&rig, COM + 4, 0x10);
	rig_out(&rig, COM + 4, 0x0b);
	is(rig_in(&rig, COM + 2), 0xc0, "then modem status");
	rig_in(&rig, COM + 6);
	is(rig_in(&rig, COM + 2), 0xc1, "then nothing");
	rig_out(&rig, COM + 4, 0x03);
	type("!");
	ok(!rig.line[IRQ], "without OUT2 the line is not connected");
	board_reset(&rig.board);
	is(rig_in(&rig, COM + 1), 0, "reset disables interrupts");
	is(rig_in(&rig, COM + 5), 0x60, "and empties");
	rig_destroy(&rig);
}

int main(void)
{
	test_identity();
	test_transmit();
	test_slow_line();
	test_receive();
	test_loopback();
	test_order();
	return tap_done();
}

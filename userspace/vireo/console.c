// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two rings and one lock. The lock is the innermost one of the launcher: it is
 * taken with the board's lock held, and nothing is called with it held.
 *
 * Keys: on a terminal, Ctrl-A begins a command. That is decided before the
 * ring, so a guest that does not read cannot keep people from leaving it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "console.h"
#include "loop.h"
#include "terminal.h"
#include "util.h"

#define OUTPUT_BYTES	16384
#define INPUT_BYTES	4096
#define ESCAPE		0x01	/* Ctrl-A */
#define COLLECT_US	1000	/* guests print a byte at a time; people do not see 1 ms */
#define DRAIN_MS	2000	/* how long the end waits for a terminal that takes nothing */

struct ring {
	uint8_t *byte;
	size_t size;
	size_t first;
	size_t nr;
};

/**
 * struct console - both directions
 * @host: who is told what
 * @loop: reads @in
 * @in: where input comes from, -1: nowhere
 * @out: where output goes to
 * @slave: kept open, so that the pseudo-terminal lives without a reader
 * @close_out: whether @out is to be closed
 * @is_stdio: it has standard input and output
 * @regular: @in is a regular file: never waited for, read when there is room
 * @keys: Ctrl-A is special
 * @escaped: the last key was Ctrl-A
 * @started: there is a thread
 * @thread: writes output
 * @lock: protects all below
 * @more: output has come, or @stop
 * @idle: the thread has written everything
 * @tx: output
 * @rx: input
 * @tx_refused: the serial port waits for room in @tx
 * @paused: no more input is read, since @rx is full
 * @writing: the thread is awake and will look for more by itself
 * @stop: the thread is to end
 * @output: what it writes just now; its own
 * @room: what it waits for; its own
 */
struct console {
	struct console_host host;
	struct loop *loop;
	int in;
	int out;
	int slave;
	bool close_out;
	bool is_stdio;
	bool regular;
	bool keys;
	bool escaped;
	bool started;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t more;
	pthread_cond_t idle;
	struct ring tx;
	struct ring rx;
	bool tx_refused;
	bool paused;
	bool writing;
	bool stop;
	/* What the thread has at hand; not on its stack, where AddressSanitizer is wrong about it once the thread is cancelled */
	uint8_t output[4096];
	struct pollfd room;
};

/* A process has one terminal, and one reader of it. */
static bool stdio_taken;

static int ring_init(struct ring *ring, size_t size)
{
	ring->byte = malloc(size);
	ring->size = size;
	return ring->byte ? 0 : -ENOMEM;
}

static size_t ring_put(struct ring *ring, const uint8_t *bytes, size_t n)
{
	size_t i, room = ring->size - ring->nr;

	if (n > room)
		n = room;
	for (i = 0; i < n; i++)
		ring->byte[(ring->first + ring->nr + i) % ring->size] = bytes[i];
	ring->nr += n;
	return n;
}

static size_t ring_get(struct ring *ring, uint8_t *bytes, size_t n)
{
	size_t i;

	if (n > ring->nr)
		n = ring->nr;
	for (i = 0; i < n; i++)
		bytes[i] = ring->byte[(ring->first + i) % ring->size];
	ring->first = (ring->first + n) % ring->size;
	ring->nr -= n;
	return n;
}

/* Write all of it; what the other end will never take is dropped. */
static void write_out(struct console *console, const uint8_t *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(console->out, bytes, n);

		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
		} else if (done < 0 && errno == EAGAIN) {
			console->room = (struct pollfd){ .fd = console->out, .events = POLLOUT };
			poll(&console->room, 1, -1);
		} else if (done == 0 || errno != EINTR) {
			return;
		}
	}
}

static void *output(void *arg)
{
	struct console *console = arg;
	uint8_t *bytes = console->output;
	bool refused;
	size_t n;

	pthread_mutex_lock(&console->lock);
	for (;;) {
		while (!console->tx.nr && !console->stop)
			pthread_cond_wait(&console->more, &console->lock);
		if (!console->tx.nr)
			break;
		/* Nobody signals meanwhile: a line costs one wake-up and one write(). */
		if (!console->stop && console->tx.nr < OUTPUT_BYTES / 2) {
			console->writing = true;
			pthread_mutex_unlock(&console->lock);
			usleep(COLLECT_US);
			pthread_mutex_lock(&console->lock);
		}
		n = ring_get(&console->tx, bytes, sizeof(console->output));
		refused = console->tx_refused;
		console->tx_refused = false;
		console->writing = true;
		pthread_mutex_unlock(&console->lock);

		if (console->host.viewers)
			console->host.viewers(console->host.opaque, bytes, n);
		if (console->out >= 0)
			write_out(console, bytes, n);
		if (refused)
			console->host.writable(console->host.opaque);

		pthread_mutex_lock(&console->lock);
		console->writing = false;
		if (!console->tx.nr)
			pthread_cond_broadcast(&console->idle);
	}
	pthread_mutex_unlock(&console->lock);
	return NULL;
}

/**
 * console_write() - bytes of the guest
 * @opaque: the console
 * @bytes: they
 * @n: how many
 *
 * Return: how many were taken; if fewer, console_host.writable() comes later.
 */
size_t console_write(void *opaque, const uint8_t *bytes, size_t n)
{
	struct console *console = opaque;
	size_t taken;

	pthread_mutex_lock(&console->lock);
	taken = ring_put(&console->tx, bytes, n);
	if (taken < n)
		console->tx_refused = true;
	/* While it writes it looks by itself afterwards. */
	if (!console->writing)
		pthread_cond_signal(&console->more);
	pthread_mutex_unlock(&console->lock);
	return taken;
}

static void refill(struct console *console)
{
	uint8_t bytes[256];
	ssize_t n;

	if (console->rx.nr)
		return;
	n = read(console->in, bytes, sizeof(bytes));
	if (n > 0)
		ring_put(&console->rx, bytes, (size_t)n);
}

/**
 * console_read() - bytes for the guest
 * @opaque: the console
 * @bytes: room
 * @n: how much
 *
 * Return: how many there were; if fewer, console_host.readable() comes later.
 */
size_t console_read(void *opaque, uint8_t *bytes, size_t n)
{
	struct console *console = opaque;
	bool resume;

	pthread_mutex_lock(&console->lock);
	if (console->regular)
		refill(console);
	n = ring_get(&console->rx, bytes, n);
	resume = console->paused && console->rx.nr <= INPUT_BYTES / 2;
	if (resume)
		console->paused = false;
	pthread_mutex_unlock(&console->lock);
	if (resume)
		loop_watch(console->loop, console->in, true);
	return n;
}

/**
 * console_type() - bytes of a viewer, for the guest
 * @console: the console
 * @bytes: they
 * @n: how many
 *
 * Return: how many were taken.
 */
size_t console_type(struct console *console, const uint8_t *bytes, size_t n)
{
	pthread_mutex_lock(&console->lock);
	n = ring_put(&console->rx, bytes, n);
	pthread_mutex_unlock(&console->lock);
	if (n)
		console->host.readable(console->host.opaque);
	return n;
}

/* By way of the ring: a write() here could block the event loop, and with it Ctrl-A x. */
static void help(struct console *console)
{
	static const uint8_t text[] =
		"\r\nCtrl-A x       end the virtual machine\r\n"
		"Ctrl-A Ctrl-A  send Ctrl-A (or Ctrl-A a)\r\n"
		"Ctrl-A h       this help\r\n";

	pthread_mutex_lock(&console->lock);
	ring_put(&console->tx, text, sizeof(text) - 1);
	pthread_cond_signal(&console->more);
	pthread_mutex_unlock(&console->lock);
}

/* Take the launcher's own keys out; returns how many bytes are the guest's. */
static size_t filter_keys(struct console *console, uint8_t *bytes, size_t n)
{
	size_t i, kept = 0;

	for (i = 0; i < n; i++) {
		if (!console->escaped) {
			if (bytes[i] == ESCAPE)
				console->escaped = true;
			else
				bytes[kept++] = bytes[i];
			continue;
		}
		console->escaped = false;
		switch (bytes[i]) {
		case 'x':
		case 'X':
			console->host.quit(console->host.opaque);
			break;
		case ESCAPE:
		case 'a':
			bytes[kept++] = ESCAPE;
			break;
		case 'h':
		case '?':
			help(console);
			break;
		}
	}
	return kept;
}

static void input(void *opaque)
{
	struct console *console = opaque;
	uint8_t bytes[256];
	ssize_t n;
	bool pause;

	n = read(console->in, bytes, sizeof(bytes));
	if (n <= 0) {
		/* EIO: a background process does not read its terminal. */
		if (n == 0 || (errno != EAGAIN && errno != EINTR && errno != EIO))
			loop_watch(console->loop, console->in, false);
		else if (errno == EIO)
			usleep(100000);
		return;
	}
	if (console->keys)
		n = (ssize_t)filter_keys(console, bytes, (size_t)n);

	pthread_mutex_lock(&console->lock);
	ring_put(&console->rx, bytes, (size_t)n);
	/* Keys must go on being read for Ctrl-A x: type-ahead beyond that is lost. */
	pause = !console->keys && console->rx.nr > INPUT_BYTES - sizeof(bytes);
	if (pause)
		console->paused = true;
	pthread_mutex_unlock(&console->lock);
	if (pause)
		loop_watch(console->loop, console->in, false);
	if (n)
		console->host.readable(console->host.opaque);
}

static int open_pty(struct console *console)
{
	char name[64];
	struct termios tio;
	int r;

	console->in = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (console->in < 0)
		return -errno;
	console->out = console->in;
	console->close_out = true;
	if (grantpt(console->in) < 0 || unlockpt(console->in) < 0)
		return -errno;
	r = ptsname_r(console->in, name, sizeof(name));
	if (r)
		return -r;
	console->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (console->slave < 0)
		return -errno;
	if (!tcgetattr(console->slave, &tio)) {
		cfmakeraw(&tio);
		tcsetattr(console->slave, TCSANOW, &tio);
	}
	/* On standard output: scripts read it. */
	printf("%s: %s\n", console->host.name, name);
	fflush(stdout);
	return 0;
}

static int open_stdio(struct console *console)
{
	struct stat st;

	if (stdio_taken)
		return -EBUSY;
	stdio_taken = true;
	console->is_stdio = true;
	console->in = STDIN_FILENO;
	console->out = STDOUT_FILENO;
	if (!isatty(STDIN_FILENO)) {
		console->regular = !fstat(STDIN_FILENO, &st) && S_ISREG(st.st_mode);
		return 0;
	}
	console->keys = true;
	return terminal_raw(STDIN_FILENO);
}

/**
 * console_has_stdio() - has a console taken standard input and output?
 *
 * Return: whether one has.
 */
bool console_has_stdio(void)
{
	return stdio_taken;
}

/**
 * console_size() - how large is the window?
 * @console: the console
 * @cols: its columns
 * @rows: its rows
 *
 * Return: false if it is not a terminal, or the terminal does not say.
 */
bool console_size(const struct console *console, uint16_t *cols, uint16_t *rows)
{
	struct winsize size;

	if (!console->keys || ioctl(console->in, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		return false;
	*cols = size.ws_col;
	*rows = size.ws_row;
	return true;
}

/**
 * console_open() - open a console
 * @where: "stdio", "pty", "file:PATH", or "socket" for viewers only
 * @host: who is to be told what
 * @out: the console
 *
 * Return: 0; -EINVAL if @where is none of them; -EBUSY if another console has standard input and output;
 * or another negative errno.
 */
int console_open(const char *where, const struct console_host *host, struct console **out)
{
	struct console *console = calloc(1, sizeof(*console));
	int r;

	if (!console)
		return -ENOMEM;
	console->host = *host;
	console->in = -1;
	console->out = -1;
	console->slave = -1;
	pthread_mutex_init(&console->lock, NULL);
	pthread_cond_init(&console->more, NULL);
	pthread_cond_init(&console->idle, NULL);
	r = ring_init(&console->tx, OUTPUT_BYTES);
	if (!r)
		r = ring_init(&console->rx, INPUT_BYTES);
	if (r)
		goto out_close;

	if (!strcmp(where, "stdio")) {
		r = open_stdio(console);
	} else if (!strcmp(where, "pty")) {
		r = open_pty(console);
	} else if (!strncmp(where, "file:", 5) && where[5]) {
		console->out = open(where + 5, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		console->close_out = true;
		r = console->out < 0 ? -errno : 0;
	} else if (strcmp(where, "socket")) {
		r = -EINVAL;
	}
	if (r)
		goto out_close;
	*out = console;
	return 0;

out_close:
	console_close(console);
	return r;
}

/**
 * console_start() - let bytes flow
 * @console: the console
 * @loop: reads the input
 *
 * Return: 0, or a negative errno.
 */
int console_start(struct console *console, struct loop *loop)
{
	int r;

	console->loop = loop;
	if (console->in >= 0 && !console->regular) {
		r = loop_add(loop, console->in, input, console);
		/* epoll does not know some devices, /dev/null among them: no input then. */
		if (r && r != -EPERM)
			return r;
	}
	r = pthread_create(&console->thread, NULL, output, console);
	if (r)
		return -r;
	console->started = true;
	return 0;
}

/* Let what the guest has said reach people, but do not wait for ever. */
static void drain(struct console *console)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DRAIN_MS / 1000;
	pthread_mutex_lock(&console->lock);
	while ((console->tx.nr || console->writing) && !r)
		r = pthread_cond_timedwait(&console->idle, &console->lock, &until);
	console->stop = true;
	if (r)
		console->tx.nr = 0;
	pthread_cond_signal(&console->more);
	pthread_mutex_unlock(&console->lock);
	/* Stuck in write() on a stopped terminal: that is a cancellation point. */
	if (r)
		pthread_cancel(console->thread);
	pthread_join(console->thread, NULL);
}

/**
 * console_close() - write what is left, and give everything back
 * @console: the console; the event loop has stopped
 */
void console_close(struct console *console)
{
	if (!console)
		return;
	if (console->started)
		drain(console);
	if (console->slave >= 0)
		close(console->slave);
	if (console->close_out && console->out >= 0)
		close(console->out);
	if (console->is_stdio) {
		terminal_restore();
		stdio_taken = false;
	}
	free(console->tx.byte);
	free(console->rx.byte);
	pthread_cond_destroy(&console->more);
	pthread_cond_destroy(&console->idle);
	pthread_mutex_destroy(&console->lock);
	free(console);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A console without a serial port (virtio 1.2, 5.3): Linux calls it hvc0. One port, two queues; where it
 * leads is console.c's affair, as for the serial port.
 *
 * Kicks are served on the vCPU's thread, input on an event loop's; @lock is for the queues, and stop() waits for
 * it. Output goes from guest memory straight into the console's buffer; when that is full, the
 * chain waits, and how far it got is state.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "virtio.h"
#include "../console.h"
#include "../loop.h"
#include "../option.h"
#include "../params.h"
#include "../state.h"
#include "../util.h"

#define TYPE_CONSOLE	3
#define CLASS_CONSOLE	0x078000	/* communication controller, other */
#define QUEUE_SIZE	64
#define RX		0
#define TX		1

#define F_SIZE		0
#define F_EMERG_WRITE	2

/* Configuration space */
#define CONFIG_COLS	0
#define CONFIG_ROWS	2
#define CONFIG_PORTS	4
#define CONFIG_EMERG	8
#define CONFIG_BYTES	12

/**
 * struct hvc - the device
 * @virtio: the common part
 * @console: where it leads
 * @loop: its thread
 * @has_loop: @loop is initialised
 * @wake: eventfd: the console takes output again
 * @resized: signalfd: the terminal's size has changed; -1: it has none
 * @running: between start() and stop(); the thread looks at it before each chain
 * @lock: protects the queues and all below
 * @sent: bytes of the next chain of TX that are out already
 */
struct hvc {
	struct virtio_device virtio;
	struct console *console;
	struct loop loop;
	bool has_loop;
	int wake;
	int resized;
	bool running;
	pthread_mutex_t lock;
	uint64_t sent;
};

/* Put what is there to read into the driver's buffers. */
static void receive(struct hvc *hvc)
{
	struct virtio_queue *queue = &hvc->virtio.queue[RX];
	struct virtq *vq = &queue->vq;
	struct iovec iov[QUEUE_SIZE];
	uint8_t bytes[512];
	bool given = false;

	while (__atomic_load_n(&hvc->running, __ATOMIC_RELAXED)) {
		struct virtq_chain chain = { .iov = iov, .room = ARRAY_SIZE(iov) };
		int r = virtio_pop(&hvc->virtio, queue, &chain);
		size_t n;

		if (r <= 0) {
			if (!r && virtq_want_kicks(vq, true))
				continue;
			break;
		}
		n = chain.write_bytes < sizeof(bytes) ? (size_t)chain.write_bytes : sizeof(bytes);
		if (n) {
			n = console_read(hvc->console, bytes, n);
			if (!n) {
				/* There are buffers: no need to hear of more. */
				virtq_unpop(vq, &chain);
				virtq_want_kicks(vq, false);
				break;
			}
			iov_write(iov + chain.nr_read, chain.nr_write, 0, bytes, n);
		}
		virtq_push(vq, &chain, (uint32_t)n);
		given = true;
	}
	if (given)
		virtio_pushed(&hvc->virtio, queue);
}

/* Is all of the chain out? If not, hvc->sent says how much is. */
static bool send_chain(struct hvc *hvc, const struct virtq_chain *chain)
{
	uint64_t skip = hvc->sent;
	unsigned int i;

	for (i = 0; i < chain->nr_read; i++) {
		const uint8_t *base = chain->iov[i].iov_base;
		size_t taken, len = chain->iov[i].iov_len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len -= (size_t)skip;
		taken = console_write(hvc->console, base + skip, len);
		hvc->sent += taken;
		skip = 0;
		if (taken < len)
			return false;
	}
	hvc->sent = 0;
	return true;
}

static void send(struct hvc *hvc)
{
	struct virtio_queue *queue = &hvc->virtio.queue[TX];
	struct virtq *vq = &queue->vq;
	struct iovec iov[QUEUE_SIZE];
	bool taken = false;

	while (__atomic_load_n(&hvc->running, __ATOMIC_RELAXED)) {
		struct virtq_chain chain = { .iov = iov, .room = ARRAY_SIZE(iov) };
		int r = virtio_pop(&hvc->virtio, queue, &chain);

		if (r <= 0) {
			if (!r && virtq_want_kicks(vq, true))
				continue;
			break;
		}
		if (!send_chain(hvc, &chain)) {
			/* The console says when it takes more. */
			virtq_unpop(vq, &chain);
			virtq_want_kicks(vq, false);
			break;
		}
		virtq_push(vq, &chain, 0);
		taken = true;
	}
	if (taken)
		virtio_pushed(&hvc->virtio, queue);
}

static void serve(struct hvc *hvc, void (*what)(struct hvc *hvc))
{
	pthread_mutex_lock(&hvc->lock);
	what(hvc);
	pthread_mutex_unlock(&hvc->lock);
}

/* Linux spins until a line is out: serve it at once, which is also the shortest way. */
static void kicked(struct virtio_device *dev, unsigned int queue)
{
	serve(container_of(dev, struct hvc, virtio), queue == TX ? send : receive);
}

/* Several signals are as good as one. */
static void clear_event(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		count = 0;
}

static void rx_kicked(void *opaque)
{
	struct hvc *hvc = opaque;

	clear_event(hvc->virtio.queue[RX].kick);
	serve(hvc, receive);
}

static void tx_kicked(void *opaque)
{
	struct hvc *hvc = opaque;

	clear_event(hvc->virtio.queue[TX].kick);
	serve(hvc, send);
}

static void output_again(void *opaque)
{
	struct hvc *hvc = opaque;

	clear_event(hvc->wake);
	serve(hvc, send);
}

static void resized(void *opaque)
{
	struct hvc *hvc = opaque;
	struct signalfd_siginfo info;

	if (read(hvc->resized, &info, sizeof(info)) == sizeof(info))
		virtio_config_changed(&hvc->virtio);
}

/* ---- What the console tells: from the loop, and from the thread that writes ---- */

static void console_readable(void *opaque)
{
	serve(opaque, receive);
}

static void console_writable(void *opaque)
{
	struct hvc *hvc = opaque;
	uint64_t one = 1;

	/* It can only fail by being readable already. */
	if (write(hvc->wake, &one, sizeof(one)) < 0)
		one = 0;
}

static void console_quit(void *opaque)
{
	struct board *board = ((struct hvc *)opaque)->virtio.board;

	board_lock(board);
	board_request(board, BOARD_EXIT, EXIT_OK);
	board_unlock(board);
}

/* ---- The device ---- */

static void config_read(struct virtio_device *dev)
{
	struct hvc *hvc = container_of(dev, struct hvc, virtio);
	uint16_t cols, rows;

	if (!console_size(hvc->console, &cols, &rows))
		return;
	memcpy(dev->config + CONFIG_COLS, &cols, sizeof(cols));
	memcpy(dev->config + CONFIG_ROWS, &rows, sizeof(rows));
}

static void config_write(struct virtio_device *dev, unsigned int offset, unsigned int len, const uint8_t *old)
{
	struct hvc *hvc = container_of(dev, struct hvc, virtio);

	/* A character that a dying guest could not send otherwise; the rest is read-only. */
	if (offset == CONFIG_EMERG)
		console_write(hvc->console, dev->config + CONFIG_EMERG, 1);
	memcpy(dev->config + offset, old, len);
}

static int start(struct virtio_device *dev)
{
	struct hvc *hvc = container_of(dev, struct hvc, virtio);

	__atomic_store_n(&hvc->running, true, __ATOMIC_RELEASE);
	return 0;
}

static void stop(struct virtio_device *dev)
{
	struct hvc *hvc = container_of(dev, struct hvc, virtio);

	__atomic_store_n(&hvc->running, false, __ATOMIC_RELEASE);
	/* The thread sees that soon, however busy the driver keeps it. */
	pthread_mutex_lock(&hvc->lock);
	pthread_mutex_unlock(&hvc->lock);
}

static void reset(struct virtio_device *dev)
{
	container_of(dev, struct hvc, virtio)->sent = 0;
}

static void destroy(struct virtio_device *dev)
{
	struct hvc *hvc = container_of(dev, struct hvc, virtio);

	if (hvc->has_loop)
		loop_stop(&hvc->loop);
	console_close(hvc->console);
	if (hvc->has_loop)
		loop_destroy(&hvc->loop);
	if (hvc->wake >= 0)
		close(hvc->wake);
	if (hvc->resized >= 0)
		close(hvc->resized);
	pthread_mutex_destroy(&hvc->lock);
	free(hvc);
}

static const struct state_field hvc_fields[] = {
	STATE_FIELD(struct hvc, sent),
	STATE_END
};

static const struct device_state hvc_state = {
	.version = 1,
	.bytes = sizeof(struct hvc),
	.fields = hvc_fields,
};

static const struct virtio_class hvc_class = {
	.name = "virtio-console",
	.type = TYPE_CONSOLE,
	.pci_class = CLASS_CONSOLE,
	.config_read = config_read,
	.config_write = config_write,
	.kicked = kicked,
	.start = start,
	.stop = stop,
	.reset = reset,
	.destroy = destroy,
	.state = &hvc_state,
};

/* Sizes of terminals, if this one has any */
static int watch_size(struct hvc *hvc)
{
	uint16_t cols, rows;
	sigset_t set;

	if (!console_size(hvc->console, &cols, &rows))
		return 0;
	hvc->virtio.offered |= 1U << F_SIZE;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	hvc->resized = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return hvc->resized < 0 ? -errno : loop_add(&hvc->loop, hvc->resized, resized, hvc);
}

/* After virtio_plug(), since only then there are kicks to wait for */
static int begin(struct hvc *hvc)
{
	int r;

	r = loop_add(&hvc->loop, hvc->virtio.queue[RX].kick, rx_kicked, hvc);
	if (!r)
		r = loop_add(&hvc->loop, hvc->virtio.queue[TX].kick, tx_kicked, hvc);
	if (!r)
		r = loop_add(&hvc->loop, hvc->wake, output_again, hvc);
	if (!r)
		r = console_start(hvc->console, &hvc->loop);
	return r ? r : loop_start(&hvc->loop);
}

static int open_where(struct hvc *hvc, const char *where)
{
	struct console_host host = {
		.name = "hvc",
		.readable = console_readable,
		.writable = console_writable,
		.quit = console_quit,
		.opaque = hvc,
	};
	int r;

	r = strcmp(where, "socket") ? console_open(where, &host, &hvc->console) : -EINVAL;
	if (r == -EINVAL)
		report_error("hvc: '%s' is not \"stdio\", \"pty\" or \"file:PATH\"", where);
	else if (r)
		report_error("hvc: %s: %s", where, strerror(-r));
	return r ? -EINVAL : 0;
}

static int create(struct board *board, struct params *params)
{
	const char *where = params_string(params, "where");
	struct hvc *hvc;
	int r;

	r = params_done(params);
	if (r)
		return r;
	if (!where) {
		report_error("hvc: say where it leads: \"stdio\", \"pty\" or \"file:PATH\"");
		return -EINVAL;
	}
	hvc = calloc(1, sizeof(*hvc));
	if (!hvc)
		return -ENOMEM;
	hvc->virtio.class = &hvc_class;
	hvc->virtio.offered = 1U << F_EMERG_WRITE;
	hvc->virtio.config_bytes = CONFIG_BYTES;
	hvc->virtio.config[CONFIG_PORTS] = 1;
	hvc->resized = -1;
	pthread_mutex_init(&hvc->lock, NULL);
	hvc->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = hvc->wake < 0 ? -errno : loop_init(&hvc->loop);
	hvc->has_loop = !r;
	if (!r)
		r = open_where(hvc, where);
	if (!r)
		r = watch_size(hvc);
	if (!r)
		r = virtio_alloc_queues(&hvc->virtio, 2, QUEUE_SIZE);
	if (r) {
		destroy(&hvc->virtio);
		return r;
	}
	r = virtio_plug(board, &hvc->virtio);
	return r ? r : begin(hvc);
}

VIREO_DEVICE_OPTION(
	.name = "hvc",
	.first = "where",
	.argument = "WHERE",
	.help = "a virtio console (hvc0): \"stdio\", \"pty\" or \"file:PATH\". With stdio, the serial port\n"
		"is there for \"vireo console\", unless --console says otherwise",
	.create = create,
);

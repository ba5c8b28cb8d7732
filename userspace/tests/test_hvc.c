// SPDX-License-Identifier: GPL-2.0-only
/* The virtio console: what the guest writes comes out, what is typed goes in, once and in order. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "ring.h"
#include "tap.h"
#include "../vireo/option.h"
#include "../vireo/state.h"
#include "../vireo/util.h"
#include "../vireo/pci/pci.h"
#include "../vireo/virtio/virtio.h"

#define BYTES	(8 * MIB)
#define RINGS	0x10000
#define DATA	0x400000
#define RX	0
#define TX	1

static struct rig rig;
static struct virtio_device *dev;
static struct ring ring[2];
static int pty = -1;		/* the user's end */

static int make(const char *text)
{
	const struct device_option *option = device_option_find("hvc");
	struct params params;
	int r;

	if (!option)
		abort();
	r = params_parse(&params, option->name, option->first, text);
	if (r)
		return r;
	r = option->create(&rig.board, &params);
	params_free(&params);
	return r;
}

/* The pseudo-terminal's name is printed; catch it. */
static void open_pty(void)
{
	int pipes[2], out = dup(STDOUT_FILENO);
	char line[100] = "";
	ssize_t n;

	fflush(stdout);
	if (pipe(pipes) || dup2(pipes[1], STDOUT_FILENO) < 0)
		abort();
	if (make("pty"))
		abort();
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(pipes[1]);
	n = read(pipes[0], line, sizeof(line) - 1);
	close(pipes[0]);
	close(out);
	if (n < 6 || strncmp(line, "hvc: ", 5))
		abort();
	line[n - 1] = '\0';
	pty = open(line + 5, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty < 0)
		abort();
}

static void set_up(const char *where)
{
	static const struct pci_map map = { 0x100000000, 0x100000000 };
	struct device *device;

	rig_init(&rig, BYTES);
	if (pci_create(&rig.board, &map))
		abort();
	if (where) {
		if (make(where))
			abort();
	} else {
		open_pty();
	}
	dev = NULL;
	for (device = rig.board.devices; device; device = device->next) {
		if (!strcmp(device->name, "virtio-console"))
			dev = container_of(device, struct virtio_device, device);
	}
	if (!dev)
		abort();
	rig_carry(&rig, dev);
}

static void start(unsigned int flags)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		ring_init(&ring[i], &rig.memory, RINGS + i * 0x80000, 16, flags);
		if (virtq_start(&dev->queue[i].vq, &rig.memory, &ring[i].layout, NULL))
			abort();
	}
	dev->running = true;
	if (dev->class->start(dev))
		abort();
}

static void tear_down(void)
{
	if (dev->running)
		dev->class->stop(dev);
	dev->running = false;
	rig_destroy(&rig);
	if (pty >= 0)
		close(pty);
	pty = -1;
}

static void kick(unsigned int queue)
{
	board_lock(&rig.board);
	if (ring_should_kick(&ring[queue]))
		dev->class->kicked(dev, queue);
	board_unlock(&rig.board);
}

/* Wait until the device gives a buffer back. */
static uint32_t wait_used(unsigned int queue)
{
	unsigned int i;
	uint32_t len;
	uint16_t id;

	for (i = 0; i < 20000; i++) {
		if (ring_get_used(&ring[queue], &id, &len))
			return len;
		usleep(500);
	}
	printf("Bail out! the device does not answer\n");
	exit(1);
}

static void test_output(unsigned int flags)
{
	char name[] = "/tmp/vireo-hvc-XXXXXX", where[64], *got;
	int fd = mkstemp(name);
	unsigned int i, sent = 0, wrong = 0;
	size_t n = 0;

	snprintf(where, sizeof(where), "file:%s", name);
	set_up(where);
	start(flags);
	/* Many lines, faster than they can go out; some in pieces, some large. */
	for (i = 0; i < 3000; i++) {
		struct ring_buf buf[2] = { { DATA, 0, false }, { DATA + 0x10000, 1, false } };
		char *line = memory_ptr(&rig.memory, DATA, 40000);

		if (i % 500 == 7) {
			memset(line, 'x', 40000);
			buf[0].len = 40000;
		} else {
			buf[0].len = (uint32_t)sprintf(line, "line %u", i);
		}
		*(char *)memory_ptr(&rig.memory, DATA + 0x10000, 1) = '\n';
		if (ring_add(&ring[TX], buf, 2, flags & RING_INDIRECT) < 0)
			abort();
		sent += buf[0].len + 1;
		kick(TX);
		wait_used(TX);
	}
	ok(true, "3000 lines are taken");
	tear_down();
	got = malloc(sent + 1);
	n = (size_t)read(fd, got, sent + 1);
	is(n, sent, "all of it comes out");
	for (i = 0, n = 0; i < 3000 && !wrong; i++) {
		char line[20];

		if (i % 500 == 7) {
			n += 40001;
			continue;
		}
		n += (size_t)sprintf(line, "line %u\n", i);
		wrong += !!memcmp(got + n - strlen(line), line, strlen(line));
	}
	is(wrong, 0, "in order");
	free(got);
	close(fd);
	unlink(name);
}

static void test_input(void)
{
	struct ring_buf small = { DATA, 4, true }, none = { DATA + 64, 5, false };
	char *at;
	uint32_t len;

	set_up(NULL);
	start(RING_EVENT_IDX);
	at = memory_ptr(&rig.memory, DATA, 64);
	ring_add(&ring[RX], &small, 1, false);
	kick(RX);
	if (write(pty, "abcdefg", 7) != 7)
		abort();
	is(wait_used(RX), 4, "what is typed fills a buffer");
	ok(!memcmp(at, "abcd", 4), "with its beginning");
	ring_add(&ring[RX], &none, 1, false);
	kick(RX);
	is(wait_used(RX), 0, "a buffer that cannot be written comes back empty");
	ring_add(&ring[RX], &small, 1, false);
	kick(RX);
	len = wait_used(RX);
	ok(len == 3 && !memcmp(at, "efg", 3), "the rest goes into the next");
	ok(__atomic_load_n(&rig.notified[RX], __ATOMIC_ACQUIRE) > 0, "and the driver was told");
	is(rig.failures, 0, "nothing failed");
	tear_down();
}

/* A stop in the midst of a chain: what is out stays out, the rest comes after the start. */
static void test_pause(void)
{
	struct ring_buf buf = { DATA, 100000, false };
	struct virtq_layout layout;
	struct virtq_position at;
	struct state_buffer saved = { 0 };
	const struct device_state *state;
	char *bytes, got[4096];
	unsigned int i, bad = 0, total = 0;
	bool stopped = false;

	set_up(NULL);
	start(RING_PACKED | RING_EVENT_IDX);
	state = dev->class->state;
	bytes = memory_ptr(&rig.memory, DATA, 100000);
	for (i = 0; i < 100000; i++)
		bytes[i] = (char)('a' + i % 23);
	ring_add(&ring[TX], &buf, 1, false);
	kick(TX);
	while (total < 100000) {
		ssize_t n;

		if (!stopped && total > 20000) {
			stopped = true;
			dev->class->stop(dev);
			layout = dev->queue[TX].vq.layout;
			at = dev->queue[TX].vq.at;
			is(at.avail, at.used, "no chain is half done while it is stopped");
			state_save(&saved, "hvc", 0, state, dev);
			dev->class->reset(dev);
			is(state_load(saved.data, saved.len, "hvc", 0, state, dev), 0, "its state can be saved and loaded");
			state_buffer_free(&saved);
			if (virtq_start(&dev->queue[TX].vq, &rig.memory, &layout, &at) || dev->class->start(dev))
				abort();
			dev->class->kicked(dev, TX);
		}
		n = read(pty, got, sizeof(got));
		if (n <= 0)
			break;
		for (i = 0; i < (unsigned int)n; i++)
			bad += got[i] != (char)('a' + (total + i) % 23);
		total += (unsigned int)n;
	}
	ok(stopped && total == 100000 && !bad, "%u of 100000 bytes come out across a stop, %u wrong", total, bad);
	tear_down();
}

static void test_rest(void)
{
	static const char *const bad[] = { "", "nowhere", "socket", "file:", "file:/nowhere/x", "pty,size=3" };
	char name[] = "/tmp/vireo-hvc-XXXXXX", where[64], byte = 0;
	struct ring_buf outside = { DATA, 4, false };
	uint8_t old[4] = { 0 };
	int fd = mkstemp(name);
	unsigned int i;

	snprintf(where, sizeof(where), "file:%s", name);
	set_up(where);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		is(make(bad[i]), -EINVAL, "'%s' is refused", bad[i]);
	ok(!(dev->offered & 1), "a file has no size");
	is(dev->config[4], 1, "there is one port");
	memset(old, 0, sizeof(old));
	dev->config[8] = '!';
	dev->class->config_write(dev, 8, 4, old);
	is(dev->config[8], 0, "the emergency character is not kept");
	dev->config[4] = 9;
	old[0] = 1;
	dev->class->config_write(dev, 4, 1, old);
	is(dev->config[4], 1, "the rest is read-only");

	start(0);
	outside.gpa = BYTES;
	ring_add(&ring[TX], &outside, 1, false);
	kick(TX);
	is(rig.failures, 1, "a bad ring makes it fail");
	dev->class->stop(dev);
	dev->class->reset(dev);
	rig.failures = 0;
	start(0);
	outside.gpa = DATA;
	ring_add(&ring[TX], &outside, 1, false);
	kick(TX);
	is(wait_used(TX), 0, "after a reset it works");
	is(rig.failures, 0, "and has not failed");
	tear_down();
	ok(read(fd, &byte, 1) == 1 && byte == '!', "the emergency character is out");
	close(fd);
	unlink(name);
}

int main(void)
{
	unsigned int flags;

	for (flags = 0; flags < 8; flags++)
		test_output(flags);
	test_input();
	test_pause();
	test_rest();
	return tap_done();
}

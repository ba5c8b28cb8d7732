// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests of any content and any layout to every virtio device, by way of PCI, with rings that are in order:
 * those that are not are fuzz_queue's, and the transport's registers are fuzz_pci's.
 *
 * The input names the device and the features, then chains: for each segment its length and direction, then the
 * bytes that the device reads. Memory ends at a guard of the sanitizer's; a device that has taken all that it wants is
 * stopped and reset, and starts the next time as if nothing had been.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "ring.h"
#include "../vireo/option.h"
#include "../vireo/util.h"
#include "../vireo/dev/chipset.h"
#include "../vireo/dev/ioapic.h"
#include "../vireo/net/net.h"
#include "../vireo/pci/pci.h"
#include "../vireo/virtio/net_pair.h"
#include "../vireo/virtio/virtio.h"

#define MEMORY		(8 * MIB)
#define RINGS		0x10000ULL
#define RING_ROOM	0x8000ULL
#define QUEUES		4U
#define SIZE		16U
#define DATA		0x100000ULL
#define DATA_END	(MEMORY - 4096)
#define SEGMENTS	6U
#define DISK_BYTES	(1 * MIB)
#define TRIES		2000U		/* looks for an answer, between which others may run */

/* Of the transport's BAR */
#define GUEST_SELECT	8
#define GUEST_FEATURES	12
#define STATUS		20
#define QUEUE_SELECT	22
#define QUEUE_SIZE	24
#define QUEUE_ENABLE	28
#define QUEUE_DESC	32
#define QUEUE_DRIVER	40
#define QUEUE_DEVICE	48
#define DEVICE_CONFIG	0x2000
#define NOTIFY		0x3000

extern const struct device_option *const __start_vireo_options[], *const __stop_vireo_options[];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig rig;
static unsigned int nr_devices;
static int net_near, net_far;

struct input {
	const uint8_t *at;
	size_t left;
};

static unsigned int take(struct input *in, unsigned int bytes)
{
	unsigned int value = 0, i;

	for (i = 0; i < bytes && in->left; i++, in->left--)
		value |= (unsigned int)*in->at++ << (8 * i);
	return value;
}

/* ---- A network that throws everything away ---- */

static int net_start(struct net_backend *backend, uint64_t features)
{
	(void)backend;
	(void)features;
	return 0;
}

static int net_fd(struct net_backend *backend, unsigned int queue)
{
	(void)backend;
	(void)queue;
	return net_near;
}

static ssize_t net_receive(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };
	ssize_t n = recvmsg(net_near, &message, MSG_DONTWAIT);

	(void)backend;
	(void)queue;
	return n < 0 ? -errno : n;
}

static int net_send(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr)
{
	struct virtio_net_hdr_v1 header;
	size_t bytes = 0;
	unsigned int i;

	(void)queue;
	for (i = 0; i < nr; i++)
		bytes += iov[i].iov_len;
	if (iov_read(iov, nr, 0, &header, sizeof(header)) != sizeof(header) || bytes > NET_BUFFER_BYTES ||
	    !net_header_valid(&header, bytes - NET_HEADER_BYTES, backend->features))
		abort();
	return 0;
}

static void net_destroy(struct net_backend *backend)
{
	(void)backend;
}

static void plug_net(void)
{
	static const struct net_backend_ops ops = {
		.start = net_start, .fd = net_fd, .receive = net_receive, .send = net_send, .destroy = net_destroy,
	};
	static struct net_backend backend = {
		&ops, NET_BIT(CSUM) | NET_BIT(HOST_TSO4) | NET_BIT(HOST_TSO6) | NET_BIT(GUEST_CSUM) |
		NET_BIT(GUEST_TSO4), 1, 1500, true,
	};
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct net_device *net;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) || net_device_create(&backend, mac, &net) ||
	    virtio_plug(&rig.board, &net->virtio))
		abort();
	net_near = pair[0];
	net_far = pair[1];
	nr_devices++;
}

static void plug(const char *name, const char *text)
{
	const struct device_option *const *option;
	struct params params;

	for (option = __start_vireo_options; option < __stop_vireo_options; option++) {
		if (strcmp((*option)->name, name))
			continue;
		if (params_parse(&params, name, (*option)->first, text) || (*option)->create(&rig.board, &params))
			abort();
		params_free(&params);
		nr_devices++;
		return;
	}
	abort();
}

static void make_board(void)
{
	struct pci_map map = { 0x100000000, 0x40000000 };
	char disk[] = "/tmp/fuzz-virtio-XXXXXX", text[64];
	int fd = mkstemp(disk);

	rig_init(&rig, MEMORY);
	if (ioapic_create(&rig.board, 0, NULL) || pci_create(&rig.board, &map) || chipset_create(&rig.board) ||
	    fd < 0 || ftruncate(fd, DISK_BYTES))
		abort();
	close(fd);
	snprintf(text, sizeof(text), "%s,queues=2", disk);
	plug("disk", text);
	/* Whoever has it open goes on. */
	unlink(disk);
	plug("rng", "");
	plug("hvc", "file:/dev/null");
	plug("balloon", "");
	plug_net();
}

static void write_reg(uint64_t at, unsigned int bytes, uint64_t value)
{
	bus_write(&rig.board.mmio, at, bytes, value);
}

static void start(uint64_t bar, struct ring *ring, unsigned int flags, uint32_t features)
{
	unsigned int i;

	rig.event[0] = '\0';
	write_reg(bar + STATUS, 1, 0);
	write_reg(bar + STATUS, 1, 3);
	write_reg(bar + GUEST_SELECT, 4, 0);
	write_reg(bar + GUEST_FEATURES, 4, (features & 0xffffff & bus_read(&rig.board.mmio, bar + 4, 4)) |
		  (flags & RING_EVENT_IDX ? 1U << 29 : 0) | (flags & RING_INDIRECT ? 1U << 28 : 0));
	write_reg(bar + GUEST_SELECT, 4, 1);
	write_reg(bar + GUEST_FEATURES, 4, 1 | (flags & RING_PACKED ? 4 : 0));
	write_reg(bar + STATUS, 1, 11);
	for (i = 0; i < QUEUES; i++) {
		ring_init(&ring[i], &rig.memory, RINGS + i * RING_ROOM, SIZE, flags);
		write_reg(bar + QUEUE_SELECT, 2, i);
		write_reg(bar + QUEUE_SIZE, 2, SIZE);
		write_reg(bar + QUEUE_DESC, 8, ring[i].layout.desc);
		write_reg(bar + QUEUE_DRIVER, 8, ring[i].layout.driver);
		write_reg(bar + QUEUE_DEVICE, 8, ring[i].layout.device);
		write_reg(bar + QUEUE_ENABLE, 2, 1);
	}
	write_reg(bar + STATUS, 1, 15);
}

/* One chain; returns whether there was room for it. */
static bool add_chain(struct input *in, struct ring *ring, uint64_t *data)
{
	unsigned int nr = 1 + take(in, 1) % SEGMENTS, i, n;
	struct ring_buf buf[SEGMENTS];
	bool write = false;

	for (i = 0; i < nr; i++) {
		unsigned int what = take(in, 2);

		write |= what & 0x8000;
		buf[i] = (struct ring_buf){ *data, (what & 0x4000 ? what & 0x3fff : what & 63) + 1, write };
		if (buf[i].len > DATA_END - *data)
			return false;
		*data += ALIGN_UP(buf[i].len, 16);
		for (n = 0; !write && n < buf[i].len && in->left; n++, in->left--)
			memory_write(&rig.memory, buf[i].gpa + n, in->at++, 1);
	}
	return ring_add(ring, buf, nr, false) >= 0;
}

/* All is answered, or the device has given up, or it keeps what it has: it may. */
static void settle(struct ring *ring, unsigned int waiting)
{
	unsigned int tries;
	uint16_t id;
	uint32_t len;

	for (tries = 0; tries < TRIES && waiting && !rig.event[0]; tries++) {
		while (waiting && ring_get_used(ring, &id, &len))
			waiting--;
		sched_yield();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ring ring[QUEUES];
	struct input in = { data, size };
	unsigned int slot, flags, i, chains, added, queue;
	uint64_t bar, at = DATA;
	uint32_t features;

	if (!nr_devices)
		make_board();
	slot = 1 + take(&in, 1) % nr_devices;
	flags = take(&in, 1) & (RING_PACKED | RING_EVENT_IDX | RING_INDIRECT);
	features = take(&in, 4);
	bar = rig_pci_read(&rig, slot, 0x10, 4) & ~15U;
	rig_pci_write(&rig, slot, 4, 2, 6);
	start(bar, ring, flags, features);
	while (in.left) {
		queue = take(&in, 1) % QUEUES;
		if (queue == QUEUES - 1) {
			/* The last one is no device's: configuration, and a frame from the network. */
			write_reg(bar + DEVICE_CONFIG + (take(&in, 1) & 0x7f), 1U << (take(&in, 1) & 3), take(&in, 4));
			if (send(net_far, in.at, in.left, MSG_DONTWAIT) < 0)
				continue;
		}
		chains = 1 + take(&in, 1) % 4;
		for (added = 0, i = 0; i < chains; i++)
			added += add_chain(&in, &ring[queue], &at);
		write_reg(bar + NOTIFY + 4 * queue, 2, queue);
		settle(&ring[queue], added);
	}
	write_reg(bar + STATUS, 1, 0);
	if (rig.pauses || rig.doorbell_errors)
		abort();
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/* virtio-net: headers, frames in any layout, several buffers a frame, filters, the control queue, several pairs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "follow.h"
#include "rig.h"
#include "ring.h"
#include "tap.h"
#include "../vireo/net/segment.h"
#include "../vireo/state.h"
#include "../vireo/util.h"
#include "../vireo/virtio/net_pair.h"

#define PAIRS		2
#define QUEUES		(PAIRS * 2 + 1)
#define RINGS		0x10000ULL
#define RING_ROOM	0x80000ULL
#define DATA		0x400000ULL
#define DATA_BYTES	0x200000ULL
#define SIZE		32
#define BASE		(NET_BIT(MAC) | NET_BIT(STATUS) | NET_BIT(CTRL_VQ) | NET_BIT(MRG_RXBUF))
#define OFFLOADS	(NET_BIT(CSUM) | NET_BIT(HOST_TSO4) | NET_BIT(HOST_TSO6))

static struct rig rig;
static struct net_device *net;
static struct virtio_device *dev;
static struct ring ring[QUEUES];
static uint8_t *data;
static uint64_t data_used;
static const uint8_t card[6] = { 2, 0, 0, 0, 0, 1 };

/* ---- A backend: what the device sends comes out of @far, what is put in there it receives ---- */

static struct {
	struct net_backend backend;
	int near[PAIRS], far[PAIRS];
	bool down;
	unsigned int revivals;
	unsigned int enabled;
	struct net_filter filter;
	unsigned int filters;
} fake;

static int fake_start(struct net_backend *backend, uint64_t features)
{
	(void)backend;
	(void)features;
	return 0;
}

static int fake_fd(struct net_backend *backend, unsigned int queue)
{
	(void)backend;
	return __atomic_load_n(&fake.down, __ATOMIC_ACQUIRE) ? -1 : fake.near[queue];
}

static ssize_t fake_receive(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };
	ssize_t n = recvmsg(fake.near[queue], &message, MSG_DONTWAIT);

	(void)backend;
	return n < 0 ? -errno : n;
}

static int fake_send(struct net_backend *backend, unsigned int queue, const struct iovec *iov, unsigned int nr)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = nr };

	(void)backend;
	return sendmsg(fake.near[queue], &message, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int fake_enable(struct net_backend *backend, unsigned int queue, bool on)
{
	(void)backend;
	fake.enabled = on ? fake.enabled | 1U << queue : fake.enabled & ~(1U << queue);
	return 0;
}

static int fake_revive(struct net_backend *backend)
{
	(void)backend;
	/* The first time there is nothing yet. */
	if (fake.revivals++ == 0)
		return -ECONNREFUSED;
	__atomic_store_n(&fake.down, false, __ATOMIC_RELEASE);
	return 0;
}

static void fake_destroy(struct net_backend *backend)
{
	unsigned int i;

	for (i = 0; i < backend->queues; i++) {
		close(fake.near[i]);
		close(fake.far[i]);
	}
}

static struct net_backend_ops fake_ops;

/* ---- A driver ---- */

static void start_with(uint64_t features, unsigned int ring_flags)
{
	unsigned int i;

	for (i = 0; i < QUEUES; i++) {
		ring_init(&ring[i], &rig.memory, RINGS + i * RING_ROOM, SIZE, ring_flags);
		ring_want_interrupts(&ring[i], true);
		if (virtq_start(&dev->queue[i].vq, &rig.memory, &ring[i].layout, NULL))
			abort();
	}
	dev->features = features;
	is(dev->class->start(dev), 0, "started");
}

static void setup(uint64_t features, unsigned int ring_flags, bool peer)
{
	unsigned int i;
	int pair[2];

	rig_init(&rig, 8 << 20);
	data = memory_ptr(&rig.memory, DATA, DATA_BYTES);
	data_used = 0;
	memset(&fake, 0, sizeof(fake));
	fake_ops = (struct net_backend_ops){
		.start = fake_start, .fd = fake_fd, .receive = fake_receive, .send = fake_send,
		.enable = fake_enable, .destroy = fake_destroy, .revive = fake_revive,
	};
	fake.backend = (struct net_backend){ &fake_ops, OFFLOADS, PAIRS, 1400, peer };
	for (i = 0; i < PAIRS; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
			abort();
		fake.near[i] = pair[0];
		fake.far[i] = pair[1];
	}
	if (net_device_create(&fake.backend, card, &net))
		abort();
	dev = &net->virtio;
	rig_carry(&rig, dev);
	start_with(features, ring_flags);
}

static void teardown(void)
{
	struct virtio_queue *queue = dev->queue;
	unsigned int i;

	dev->class->stop(dev);
	for (i = 0; i < dev->nr_queues; i++)
		close(queue[i].kick);
	dev->class->destroy(dev);
	free(queue);
	rig_destroy(&rig);
}

static uint64_t room(uint32_t bytes)
{
	uint64_t at = data_used;

	if (at + bytes > DATA_BYTES)
		at = 0;
	data_used = ALIGN_UP(at + bytes, 16);
	return at;
}

static void kick(unsigned int queue)
{
	uint64_t one = 1;

	if (write(dev->queue[queue].kick, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* Wait for a thread; a minute is for ever. */
#define until(condition) do {						\
	unsigned int tries_;						\
	for (tries_ = 0; tries_ < 60000 && !(condition); tries_++)	\
		usleep(1000);						\
} while (0)

static bool used(unsigned int queue, uint32_t *len)
{
	uint16_t id;
	bool got = false;

	until((got = ring_get_used(&ring[queue], &id, len)));
	return got;
}

/* Send @bytes, cut where @cuts says (the end is 0), by queue @queue. */
static void transmit_cut(unsigned int queue, const uint8_t *bytes, uint32_t n, const uint32_t *cuts)
{
	struct ring_buf buf[16];
	uint64_t at = room(n);
	uint32_t done = 0;
	unsigned int nr = 0;
	uint32_t len;

	memcpy(data + at, bytes, n);
	while (done < n) {
		uint32_t part = *cuts ? *cuts++ : n - done;

		buf[nr++] = (struct ring_buf){ DATA + at + done, part, false };
		done += part;
	}
	if (ring_add(&ring[queue], buf, nr, false) < 0)
		abort();
	kick(queue);
	ok(used(queue, &len) && len == 0, "a sent chain comes back");
}

static void transmit(const void *bytes, uint32_t n)
{
	transmit_cut(1, bytes, n, (const uint32_t[]){ 0 });
}

static uint64_t give(unsigned int queue, uint32_t bytes)
{
	struct ring_buf buf = { .len = bytes, .write = true };
	uint64_t at = room(bytes);

	buf.gpa = DATA + at;
	memset(data + at, 0xee, bytes);
	if (ring_add(&ring[queue], &buf, 1, false) < 0)
		abort();
	kick(queue);
	return at;
}

static uint8_t *make_frame(uint8_t *frame, size_t bytes, uint8_t mark)
{
	size_t i;

	memset(frame, 0, NET_HEADER_BYTES);
	for (i = 0; i < bytes; i++)
		frame[NET_HEADER_BYTES + i] = (uint8_t)(mark + i * 7);
	memcpy(frame + NET_HEADER_BYTES, card, 6);
	return frame;
}

/* ---- Tests ---- */

static void test_transmit(unsigned int flags)
{
	static const uint32_t cuts[][4] = { { 0 }, { 12, 0 }, { 1, 11, 0 }, { 5, 20, 0 }, { 12, 1, 0 }, { 11, 0 } };
	uint8_t frame[NET_HEADER_BYTES + 100], got[200];
	unsigned int i;

	setup(BASE | OFFLOADS, flags, false);
	for (i = 0; i < ARRAY_SIZE(cuts); i++) {
		make_frame(frame, 100, (uint8_t)i);
		/* Not for the device to believe. */
		frame[10] = 9;
		transmit_cut(1, frame, sizeof(frame), cuts[i]);
		frame[10] = 0;
		is(recv(fake.far[0], got, sizeof(got), MSG_DONTWAIT), sizeof(frame), "layout %u: its length", i);
		ok(!memcmp(frame, got, sizeof(frame)), "layout %u: header and frame", i);
	}
	teardown();
}

static void test_headers(void)
{
	static const struct {
		struct virtio_net_hdr_v1 header;
		bool good;
		const char *what;
	} row[] = {
		{ { 0 }, true, "nothing asked for" },
		{ { .flags = 1, .csum_start = 34, .csum_offset = 16 }, true, "a checksum" },
		{ { .flags = 1, .csum_start = 82, .csum_offset = 16 }, true, "a checksum at the end" },
		{ { .flags = 1, .csum_start = 83, .csum_offset = 16 }, false, "a checksum beyond the end" },
		{ { .flags = 1, .csum_start = 65535, .csum_offset = 65535 }, false, "a checksum far away" },
		{ { .gso_type = 1, .gso_size = 10, .flags = 1, .csum_start = 34, .csum_offset = 16 }, true, "TCP over IPv4" },
		{ { .gso_type = 4, .gso_size = 10, .flags = 1, .csum_start = 34, .csum_offset = 16 }, true, "TCP over IPv6" },
		{ { .gso_type = 1, .gso_size = 0, .flags = 1, .csum_start = 34, .csum_offset = 16 }, false, "pieces of 0 bytes" },
		{ { .gso_type = 1, .gso_size = 10 }, false, "pieces without checksums" },
		{ { .gso_type = 1, .gso_size = 10, .flags = 1, .hdr_len = 101 }, false, "headers longer than the frame" },
		{ { .gso_type = 0x81, .gso_size = 10, .flags = 1 }, false, "ECN, which was not accepted" },
		{ { .gso_type = 3, .gso_size = 10, .flags = 1 }, false, "UFO, which is not offered" },
		{ { .gso_type = 5, .gso_size = 10, .flags = 1 }, false, "USO, which was not accepted" },
		{ { .gso_type = 0x80, .gso_size = 10, .flags = 1 }, false, "ECN of nothing" },
		{ { .gso_type = 0x77, .gso_size = 10, .flags = 1 }, false, "a type that is none" },
	};
	uint8_t frame[NET_HEADER_BYTES + 100], got[200];
	static uint8_t big[NET_BUFFER_BYTES + 1];
	unsigned int i;

	setup(BASE | OFFLOADS, RING_EVENT_IDX, false);
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		make_frame(frame, 100, 1);
		memcpy(frame, &row[i].header, NET_HEADER_BYTES);
		transmit(frame, sizeof(frame));
		is(recv(fake.far[0], got, sizeof(got), MSG_DONTWAIT) > 0, row[i].good, "%s", row[i].what);
	}
	make_frame(frame, 100, 1);
	transmit(frame, NET_HEADER_BYTES - 1);
	transmit(frame, NET_HEADER_BYTES);
	transmit(frame, NET_HEADER_BYTES + NET_ETH_BYTES - 1);
	transmit(big, sizeof(big));
	is(recv(fake.far[0], got, sizeof(got), MSG_DONTWAIT), -1, "frames too short and too long are dropped");
	transmit(frame, NET_HEADER_BYTES + NET_ETH_BYTES);
	is(recv(fake.far[0], got, sizeof(got), MSG_DONTWAIT), NET_HEADER_BYTES + NET_ETH_BYTES, "the shortest goes");
	is(rig.failures, 0, "none of them is the end of the device");
	teardown();
	setup(BASE, 0, false);
	make_frame(frame, 100, 1);
	frame[0] = 1;
	transmit(frame, sizeof(frame));
	is(recv(fake.far[0], got, sizeof(got), MSG_DONTWAIT), -1, "a checksum that was not negotiated");
	teardown();
}

static void arrive(const uint8_t *frame, size_t bytes)
{
	if (send(fake.far[0], frame, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		abort();
}

static void test_receive(unsigned int flags)
{
	static uint8_t frame[NET_HEADER_BYTES + 4000];
	uint64_t at[8];
	uint32_t len;
	unsigned int i, off;
	bool same = true;

	setup(BASE, flags, false);
	at[0] = give(0, 2000);
	arrive(make_frame(frame, 1000, 1), NET_HEADER_BYTES + 1000);
	ok(used(0, &len) && len == NET_HEADER_BYTES + 1000, "a frame in one buffer");
	is(get_le16(data + at[0] + 10), 1, "which the header says");
	ok(!memcmp(data + at[0] + 12, frame + 12, 1000), "is what was sent");

	/* There is no buffer: it waits. */
	arrive(make_frame(frame, 1500, 2), NET_HEADER_BYTES + 1500);
	for (i = 0; i < 6; i++)
		at[i] = give(0, 256);
	for (i = 0, off = 0; i < 6; i++, off += len) {
		ok(used(0, &len) && len == (i < 5 ? 256 : NET_HEADER_BYTES + 1500 - 5 * 256), "buffer %u of 6", i);
		same &= !memcmp(data + at[i] + (i ? 0 : 12), frame + off + (i ? 0 : 12), len - (i ? 0 : 12));
	}
	ok(same, "in which the frame is");
	is(get_le16(data + at[0] + 10), 6, "and the header says how many");

	/* Two buffers are too few, the third completes it. */
	at[0] = give(0, 1500);
	at[1] = give(0, 1500);
	arrive(make_frame(frame, 4000, 3), NET_HEADER_BYTES + 4000);
	usleep(20000);
	ok(!ring_get_used(&ring[0], &(uint16_t){ 0 }, &len), "a frame waits for buffers");
	at[2] = give(0, 1500);
	for (i = 0, off = 0, same = true; i < 3; i++, off += len) {
		same &= used(0, &len);
		same &= !memcmp(data + at[i] + (i ? 0 : 12), frame + off + (i ? 0 : 12), len - (i ? 0 : 12));
	}
	ok(same && off == sizeof(frame), "and then arrives");
	is(rig.failures, 0, "no failure");

	/* A stop gives back what was taken ahead; nothing is lost or comes twice. */
	for (i = 0; i < 8; i++)
		at[i] = give(0, 1000);
	arrive(make_frame(frame, 3000, 4), NET_HEADER_BYTES + 3000);
	until(ring_get_used(&ring[0], &(uint16_t){ 0 }, &len));
	dev->class->stop(dev);
	is(dev->queue[0].vq.at.avail, dev->queue[0].vq.at.used, "no buffer is in flight after a stop");
	is(dev->class->start(dev), 0, "start again");
	for (i = 1; i < 4; i++)
		ok(used(0, &len), "buffer %u of the frame before", i);
	arrive(make_frame(frame, 100, 5), NET_HEADER_BYTES + 100);
	ok(used(0, &len) && len == NET_HEADER_BYTES + 100, "a frame after it");
	ok(!memcmp(data + at[4] + 12, frame + 12, 100), "in the buffer that is next");
	teardown();
}

/* Who follows memory is told of frames, of those too that nobody wanted, and of the ring. */
static void test_followed(unsigned int flags)
{
	static uint8_t frame[NET_HEADER_BYTES + 3000];
	uint64_t at = 0;
	unsigned int i;
	uint32_t len;

	setup(BASE, flags, false);
	for (i = 0; i < 3; i++)
		at = give(0, 2048);
	follow_begin(&rig.memory);
	arrive(make_frame(frame, 3000, 9), sizeof(frame));
	ok(used(0, &len) && used(0, &len), "a frame in two buffers");
	/* Too short to be one: nobody gets it, but the third buffer has it. */
	arrive(frame, NET_HEADER_BYTES + 13);
	until(__atomic_load_n(&data[at + NET_HEADER_BYTES + 12], __ATOMIC_ACQUIRE) != 0xee);
	dev->class->stop(dev);
	is(follow_end(&rig.memory, NULL), 0, "is told to a follower");
	is(dev->class->start(dev), 0, "start again");
	teardown();
}

static void test_whole_buffers(void)
{
	static uint8_t frame[NET_HEADER_BYTES + 4000];
	uint64_t at;
	uint32_t len;

	setup(BASE & ~NET_BIT(MRG_RXBUF), 0, false);
	at = give(0, 1600);
	give(0, 1600);
	arrive(make_frame(frame, 4000, 1), NET_HEADER_BYTES + 4000);
	arrive(make_frame(frame, 1500, 2), NET_HEADER_BYTES + 1500);
	ok(used(0, &len) && len == NET_HEADER_BYTES + 1500, "a frame that a buffer cannot hold is dropped");
	ok(!memcmp(data + at + 12, frame + 12, 1500), "the next takes its buffer");
	is(get_le16(data + at + 10), 1, "one buffer");
	arrive(frame, NET_HEADER_BYTES + NET_ETH_BYTES - 1);
	arrive(frame, 3);
	arrive(make_frame(frame, 60, 3), NET_HEADER_BYTES + 60);
	ok(used(0, &len) && len == NET_HEADER_BYTES + 60, "what is too short for a frame is dropped");
	teardown();

	setup(BASE, 0, false);
	give(0, NET_HEADER_BYTES - 1);
	arrive(frame, 100);
	until(__atomic_load_n(&rig.failures, __ATOMIC_ACQUIRE));
	is(rig.failures, 1, "a buffer without room for a header breaks the device");
	teardown();
	setup(BASE, 0, false);
	if (ring_add(&ring[0], &(struct ring_buf){ DATA, 2000, false }, 1, false) < 0)
		abort();
	kick(0);
	arrive(frame, 100);
	until(__atomic_load_n(&rig.failures, __ATOMIC_ACQUIRE));
	is(rig.failures, 1, "and one that cannot be written");
	teardown();
}

static uint8_t command(const void *bytes, uint32_t n)
{
	uint64_t at = room(n), ack = room(16);
	struct ring_buf buf[3] = { { DATA + at, 1, false }, { DATA + at + 1, n - 1, false }, { DATA + ack, 1, true } };
	uint32_t len;

	memcpy(data + at, bytes, n);
	data[ack] = 0xee;
	if (ring_add(&ring[4], buf, 3, false) < 0)
		abort();
	kick(4);
	return used(4, &len) && len == 1 ? data[ack] : 0xdd;
}

#define COMMAND(...) command((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static bool hears(const uint8_t *to)
{
	static uint8_t frame[NET_HEADER_BYTES + 60], end[NET_HEADER_BYTES + 70];
	uint32_t len;

	/* The frame that follows shows whether it was let through. */
	make_frame(frame, 60, 1);
	memcpy(frame + 12, to, 6);
	arrive(frame, sizeof(frame));
	make_frame(end, 70, 2);
	memset(end + 12, 0xff, 6);
	arrive(end, sizeof(end));
	give(0, 200);
	give(0, 200);
	if (!used(0, &len))
		abort();
	if (len == sizeof(end)) {
		/* A buffer is left over: use it up. */
		arrive(end, sizeof(end));
		used(0, &len);
		return false;
	}
	used(0, &len);
	return true;
}

#define HEARS(...) hears((const uint8_t[]){ __VA_ARGS__ })

static void test_control(void)
{
	uint8_t table[2 + 4 + 6 * 100 + 4] = { 1, 0, 100 };
	unsigned int i;

	setup(BASE | NET_BIT(MQ) | NET_BIT(CTRL_RX) | NET_BIT(CTRL_MAC_ADDR), RING_EVENT_IDX, false);
	ok(HEARS(2, 9, 9, 9, 9, 9), "at first a driver hears everything");
	is(COMMAND(0, 0, 0), 0, "promiscuous: off");
	ok(!HEARS(2, 9, 9, 9, 9, 9), "another's address");
	ok(HEARS(2, 0, 0, 0, 0, 1), "its own");
	ok(HEARS(0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "broadcast");
	ok(!HEARS(1, 0, 0x5e, 0, 0, 1), "multicast");
	is(COMMAND(0, 1, 1), 0, "all multicasts: on");
	ok(HEARS(1, 0, 0x5e, 0, 0, 1), "multicast");
	is(COMMAND(0, 1, 0), 0, "all multicasts: off");
	is(COMMAND(1, 0, 1, 0, 0, 0, 2, 9, 9, 9, 9, 9, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 7), 0, "a table of two");
	ok(HEARS(2, 9, 9, 9, 9, 9), "its unicast address");
	ok(HEARS(1, 0, 0x5e, 0, 0, 7), "its multicast address");
	ok(!HEARS(1, 0, 0x5e, 0, 0, 1), "another multicast address");
	is(COMMAND(1, 1, 2, 8, 8, 8, 8, 8), 0, "a new address");
	ok(HEARS(2, 8, 8, 8, 8, 8), "is heard");
	dev->class->config_read(dev);
	is(dev->config[1], 8, "and told");

	is(COMMAND(0, 0), 1, "no argument");
	is(COMMAND(0, 0, 2), 1, "neither on nor off");
	is(COMMAND(0, 0, 1, 1), 1, "an argument too long");
	is(COMMAND(0, 2, 1), 1, "what was not negotiated");
	is(COMMAND(0, 6, 1), 1, "no such mode");
	is(COMMAND(1, 0), 1, "a table without a length");
	is(COMMAND(1, 0, 0, 0, 0, 0), 1, "one table of two");
	is(COMMAND(1, 0, 0, 0, 0, 0, 0, 0, 0), 1, "half of a length");
	is(COMMAND(1, 0, 1, 0, 0, 0, 0, 0, 0, 0), 1, "less than it says");
	is(COMMAND(1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), 1, "four billions");
	is(COMMAND(1, 0, 0xab, 0xaa, 0xaa, 0xaa, 0, 0, 0, 0, 0, 0), 1, "an overflow");
	is(COMMAND(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 1, "a byte too much");
	is(COMMAND(1, 1, 1, 0, 0, 0, 0, 0), 1, "a multicast address of its own");
	is(COMMAND(1, 1, 2, 0, 0, 0, 0), 1, "five bytes of an address");
	is(COMMAND(1, 2, 0), 1, "no such command");
	is(COMMAND(2, 0, 0, 0), 1, "VLANs are not offered");
	is(COMMAND(3, 0), 1, "announcements were not negotiated");
	is(COMMAND(99, 0, 0), 1, "no such class");
	ok(HEARS(2, 9, 9, 9, 9, 9) && HEARS(1, 0, 0x5e, 0, 0, 7), "none of it has changed anything");
	if (ring_add(&ring[4], &(struct ring_buf){ DATA, 1, false }, 1, false) < 0)
		abort();
	kick(4);
	ok(used(4, &(uint32_t){ 0 }), "a command of one byte, without room for an answer");
	for (i = 0; i < 100; i++)
		table[6 + i * 6] = 2;
	is(command(table, sizeof(table)), 0, "more addresses than there is room for");
	ok(HEARS(2, 7, 7, 7, 7, 7), "all unicasts, then");
	ok(!HEARS(1, 0, 0x5e, 0, 0, 7), "the multicasts are another list");
	is(rig.failures, 0, "nothing has failed");
	teardown();
}

static void test_pairs(void)
{
	uint8_t frame[NET_HEADER_BYTES + 100], got[200];
	uint32_t len;

	setup(BASE | NET_BIT(MQ), RING_PACKED, false);
	dev->class->config_read(dev);
	is(get_le16(dev->config + 8), PAIRS, "pairs in the configuration space");
	is(get_le16(dev->config + 10), 1400, "and the MTU");
	is(fake.enabled, 1, "one pair at first");
	give(2, 200);
	make_frame(frame, 100, 1);
	send(fake.far[1], frame, sizeof(frame), 0);
	usleep(20000);
	ok(!ring_get_used(&ring[2], &(uint16_t){ 0 }, &len), "a pair not in use receives nothing");
	is(COMMAND(4, 0, 2, 0), 0, "use both");
	is(fake.enabled, 3, "the backend knows");
	ok(used(2, &len) && len == sizeof(frame), "the second receives");
	transmit_cut(3, frame, sizeof(frame), (const uint32_t[]){ 0 });
	is(recv(fake.far[1], got, sizeof(got), 0), sizeof(frame), "and sends");
	is(COMMAND(4, 0, 0, 0), 1, "none");
	is(COMMAND(4, 0, 3, 0), 1, "three");
	is(COMMAND(4, 0, 1), 1, "half of a number");
	is(COMMAND(4, 1, 1, 0), 1, "no such command");
	is(fake.enabled, 3, "have changed nothing");
	dev->class->stop(dev);
	is(dev->class->start(dev), 0, "after a pause");
	is(fake.enabled, 3, "both are used still");
	dev->class->stop(dev);
	dev->class->reset(dev);
	is(dev->class->start(dev), 0, "after a reset");
	is(fake.enabled, 1, "it is one");
	teardown();
}

static void test_blocked(void)
{
	static uint8_t frame[NET_HEADER_BYTES + 9000], got[10000];
	unsigned int i, n = 0;
	uint32_t len;

	setup(BASE, RING_EVENT_IDX, false);
	make_frame(frame, 9000, 1);
	/* More than the socket holds */
	for (i = 0; i < SIZE; i++) {
		uint64_t at = room(sizeof(frame));

		frame[NET_HEADER_BYTES + 20] = (uint8_t)i;
		memcpy(data + at, frame, sizeof(frame));
		if (ring_add(&ring[1], &(struct ring_buf){ DATA + at, sizeof(frame), false }, 1, false) < 0)
			abort();
	}
	kick(1);
	usleep(20000);
	while (ring_get_used(&ring[1], &(uint16_t){ 0 }, &len))
		n++;
	ok(n && n < SIZE, "what the backend does not take stays in the queue (%u of %u went)", n, SIZE);
	for (i = 0; i < SIZE; i++) {
		if (recv(fake.far[0], got, sizeof(got), 0) != sizeof(frame) || got[NET_HEADER_BYTES + 20] != i)
			break;
	}
	is(i, SIZE, "and goes later, in order");
	for (; n < SIZE; n++) {
		if (!used(1, &len))
			break;
	}
	is(n, SIZE, "all of it");
	teardown();
}

static void test_link(void)
{
	setup(BASE | NET_BIT(GUEST_ANNOUNCE), 0, false);
	dev->class->config_read(dev);
	is(dev->config[6], VIRTIO_NET_S_LINK_UP, "the link is up");
	dev->class->stop(dev);
	fake.down = true;
	is(dev->class->start(dev), 0, "it can start without one");
	dev->class->config_read(dev);
	is(dev->config[6], 0, "and says so");
	is(rig.changes, 1, "which is a change");
	until(__atomic_load_n(&rig.changes, __ATOMIC_ACQUIRE) == 2);
	dev->class->config_read(dev);
	is(dev->config[6], VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE, "up again: the driver shall announce itself");
	is(fake.revivals, 2, "at the second attempt");
	/* Without MQ the control queue is the third. */
	ring[4] = ring[2];
	kick(2);
	{
		struct ring_buf buf[2] = { { DATA, 2, false }, { DATA + 16, 1, true } };
		uint32_t len;

		data[0] = 3;
		data[1] = 0;
		if (ring_add(&ring[2], buf, 2, false) < 0)
			abort();
		kick(2);
		ok(used(2, &len) && data[16] == 0, "it has");
	}
	dev->class->config_read(dev);
	is(dev->config[6], VIRTIO_NET_S_LINK_UP, "that is all");
	teardown();
}

/* ---- Frames of other guests ---- */

static uint16_t sum16(const uint8_t *bytes, size_t n, uint32_t start)
{
	size_t i;

	for (i = 0; i < n; i++)
		start += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return (uint16_t)start;
}

static size_t tcp4(uint8_t *frame, size_t payload)
{
	uint8_t *ip = frame + NET_HEADER_BYTES + 14, *tcp = ip + 20;
	size_t i;

	memset(frame, 0, NET_HEADER_BYTES + 54);
	memcpy(frame + NET_HEADER_BYTES, card, 6);
	frame[NET_HEADER_BYTES + 12] = 8;
	memcpy(ip, (const uint8_t[]){ 0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 }, 20);
	memcpy(tcp, (const uint8_t[]){ 0, 80, 1, 2, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0x50, 0x99 }, 14);
	for (i = 0; i < payload; i++)
		tcp[20 + i] = (uint8_t)(i * 13);
	memcpy(frame, &(struct virtio_net_hdr_v1){ .flags = 1, .gso_type = 1, .gso_size = 1000, .hdr_len = 54,
						   .csum_start = 34, .csum_offset = 16 }, NET_HEADER_BYTES);
	return NET_HEADER_BYTES + 54 + payload;
}

static void test_peer(void)
{
	static uint8_t frame[NET_HEADER_BYTES + 5000];
	static const uint32_t want[] = { 1000, 1000, 500 };
	uint64_t at[4];
	uint32_t len;
	unsigned int i;
	size_t n;

	setup(BASE, 0, true);
	n = tcp4(frame, 2500);
	for (i = 0; i < 3; i++)
		at[i] = give(0, 2000);
	arrive(frame, n);
	for (i = 0; i < 3; i++) {
		uint8_t *ip = data + at[i] + NET_HEADER_BYTES + 14, *tcp = ip + 20;

		ok(used(0, &len) && len == NET_HEADER_BYTES + 54 + want[i], "piece %u of a large segment", i);
		is(data[at[i]] | data[at[i] + 1], 0, "nothing left to do");
		is(ip[2] << 8 | ip[3], 40 + want[i], "length");
		is(ip[4] << 8 | ip[5], 0x1234 + i, "identification");
		is(sum16(ip, 20, 0), 0xffff, "checksum of the IP header");
		is(sum16(tcp, 20 + want[i], sum16(ip + 12, 8, 6 + 20 + want[i])), 0xffff, "checksum of TCP");
		is((uint32_t)tcp[4] << 24 | tcp[5] << 16 | tcp[6] << 8 | tcp[7], 0xffffff00U + i * 1000, "sequence");
		is(tcp[13], i == 0 ? 0x90 : i == 2 ? 0x19 : 0x10, "CWR in the first, FIN and PSH in the last");
		ok(!memcmp(tcp + 20, frame + NET_HEADER_BYTES + 54 + i * 1000, want[i]), "content");
	}
	/* What is not what it says is dropped: each followed by one that is good. */
	for (i = 0; i < 6; i++) {
		n = tcp4(frame, 2500);
		switch (i) {
		case 0:
			frame[NET_HEADER_BYTES + 14] = 0x4f;
			break;
		case 1:
			frame[NET_HEADER_BYTES + 12] = 0x86;
			break;
		case 2:
			frame[NET_HEADER_BYTES + 14 + 9] = 17;
			break;
		case 3:
			frame[NET_HEADER_BYTES + 14 + 20 + 12] = 0x40;
			break;
		case 4:
			frame[6] = 0xff;
			frame[7] = 0xff;
			break;
		case 5:
			n = NET_HEADER_BYTES + 53;
			break;
		}
		arrive(frame, n);
		make_frame(frame, 60, 1);
		frame[0] = VIRTIO_NET_HDR_F_DATA_VALID;
		at[0] = give(0, 2000);
		arrive(frame, NET_HEADER_BYTES + 60);
		ok(used(0, &len) && len == NET_HEADER_BYTES + 60, "what cannot be cut is dropped (%u)", i);
		is(data[at[0]], 0, "a peer does not verify checksums");
	}
	n = tcp4(frame, 100);
	memset(frame + 1, 0, 3);
	memset(frame + 4, 0, 2);
	at[0] = give(0, 2000);
	/* The pseudo header's sum stands in the field. */
	frame[NET_HEADER_BYTES + 50] = (uint8_t)(sum16(frame + NET_HEADER_BYTES + 26, 8, 6 + 120) >> 8);
	frame[NET_HEADER_BYTES + 51] = (uint8_t)sum16(frame + NET_HEADER_BYTES + 26, 8, 6 + 120);
	arrive(frame, n);
	ok(used(0, &len) && len == n, "a frame without a checksum");
	is(sum16(data + at[0] + NET_HEADER_BYTES + 34, 120, sum16(frame + NET_HEADER_BYTES + 26, 8, 6 + 120)), 0xffff,
	   "gets it");
	teardown();

	setup(BASE | NET_BIT(GUEST_CSUM) | NET_BIT(GUEST_TSO4), 0, true);
	n = tcp4(frame, 2500);
	at[0] = give(0, 5000);
	arrive(frame, n);
	ok(used(0, &len) && len == n, "for a driver that takes it, it is whole");
	is(data[at[0] + 1], 1, "and says what it is");
	teardown();
}

static void test_state(void)
{
	const struct device_state *state;
	struct state_buffer out = { 0 };
	uint8_t got[100];

	setup(BASE | NET_BIT(MQ) | NET_BIT(CTRL_RX) | NET_BIT(GUEST_ANNOUNCE), 0, false);
	state = dev->class->state;
	is(COMMAND(0, 0, 0), 0, "a mode");
	is(COMMAND(4, 0, 2, 0), 0, "two pairs");
	is(COMMAND(1, 0, 1, 0, 0, 0, 2, 9, 9, 9, 9, 9, 0, 0, 0, 0), 0, "a table");
	dev->class->stop(dev);
	state_save(&out, "net", 0, state, dev);
	is(out.error, 0, "saved");
	dev->class->reset(dev);
	is(net->pairs, 1, "reset");
	is(state_load(out.data, out.len, "net", 0, state, dev), 0, "loaded");
	is(net->pairs, 2, "pairs");
	is(net->filter.promisc, 0, "mode");
	is(net->filter.table[0][5], 9, "table");
	is(dev->class->start(dev), 0, "goes on");
	is(fake.enabled, 3, "the backend follows");
	/* What comes from elsewhere tells the network where it is. */
	is(recv(fake.far[0], got, sizeof(got), MSG_DONTWAIT), NET_HEADER_BYTES + 60, "a frame tells of it");
	ok(!memcmp(got + NET_HEADER_BYTES, "\xff\xff\xff\xff\xff\xff", 6) && !memcmp(got + NET_HEADER_BYTES + 6, card, 6),
	   "to all, from its address");
	ok(!memcmp(got + NET_HEADER_BYTES + 12, "\x80\x35\x00\x01\x08\x00\x06\x04\x00\x03", 10) &&
	   !memcmp(got + NET_HEADER_BYTES + 22, card, 6) && !memcmp(got + NET_HEADER_BYTES + 32, card, 6), "a RARP request");
	dev->class->config_read(dev);
	is(dev->config[6], VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE, "the driver shall announce itself as well");
	dev->class->stop(dev);
	net->pairs = 3;
	{
		struct state_buffer bad = { 0 };

		state_save(&bad, "net", 0, state, dev);
		net->pairs = 2;
		is(state_load(bad.data, bad.len, "net", 0, state, dev), -EINVAL, "three pairs cannot be");
		is(net->pairs, 2, "and change nothing");
		state_buffer_free(&bad);
	}
	state_buffer_free(&out);
	is(dev->class->start(dev), 0, "start");
	is(recv(fake.far[0], got, sizeof(got), MSG_DONTWAIT), -1, "who has only rested says nothing");
	teardown();
}

static void test_addresses(void)
{
	uint8_t mac[6] = { 9, 9, 9, 9, 9, 9 };

	ok(net_parse_mac("02:aB:00:00:00:0f", mac) && mac[1] == 0xab && mac[5] == 0x0f, "an address");
	ok(!net_parse_mac("01:00:00:00:00:00", mac), "a multicast address");
	ok(!net_parse_mac("00:00:00:00:00:00", mac), "zero");
	ok(!net_parse_mac("02:00:00:00:00", mac), "five bytes");
	ok(!net_parse_mac("02:00:00:00:00:00:00", mac), "seven bytes");
	ok(!net_parse_mac("02:00:00:00:00:0", mac), "half a byte");
	ok(!net_parse_mac("2:0:0:0:0:0", mac), "single digits");
	ok(!net_parse_mac("", mac), "nothing");
	is(mac[5], 0x0f, "leave it as it was");
}

int main(void)
{
	test_transmit(0);
	test_transmit(RING_PACKED | RING_EVENT_IDX);
	test_headers();
	test_receive(0);
	test_receive(RING_EVENT_IDX);
	test_receive(RING_PACKED);
	test_receive(RING_PACKED | RING_EVENT_IDX);
	test_followed(0);
	test_followed(RING_PACKED | RING_EVENT_IDX);
	test_whole_buffers();
	test_control();
	test_pairs();
	test_blocked();
	test_link();
	test_peer();
	test_state();
	test_addresses();
	return tap_done();
}

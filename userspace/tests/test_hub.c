// SPDX-License-Identifier: GPL-2.0-only
/* The switch between VMs: who gets which frame, and who cannot harm whom. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap.h"
#include "../vireo/net/hub.h"
#include "../vireo/net/net.h"

#define FRAME	(NET_HEADER_BYTES + 60)

static char dir[] = "/tmp/vireo-hub-XXXXXX";
static char path[64];
static struct hub *hub;
static pthread_t thread;
static int until;

static void *serve(void *unused)
{
	(void)unused;
	return (void *)(intptr_t)hub_run(hub, until);
}

static void start(unsigned int ports)
{
	until = eventfd(0, 0);
	if (hub_create(path, 0600, ports, &hub) || pthread_create(&thread, NULL, serve, NULL))
		abort();
}

static void stop(void)
{
	uint64_t one = 1;
	void *r;

	if (write(until, &one, sizeof(one)) != sizeof(one))
		abort();
	pthread_join(thread, &r);
	is((intptr_t)r, 0, "the switch ends without an error");
	hub_destroy(hub);
	close(until);
}

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

static uint32_t greet(int fd, uint32_t magic, uint16_t version, uint16_t vlan)
{
	struct hub_greeting greeting = { magic, version, vlan, 0 };

	if (send(fd, &greeting, sizeof(greeting), MSG_NOSIGNAL) != sizeof(greeting))
		return (uint32_t)-EPIPE;
	if (recv(fd, &greeting, sizeof(greeting), 0) != sizeof(greeting))
		return (uint32_t)-ECONNRESET;
	return greeting.error;
}

static int plug(uint16_t vlan)
{
	int fd = dial();

	if (fd < 0 || greet(fd, HUB_MAGIC, HUB_VERSION, vlan))
		abort();
	return fd;
}

static void say(int fd, uint32_t to, uint32_t from, uint8_t mark)
{
	uint8_t frame[FRAME] = { 0 };

	/* 0: everybody */
	memset(frame + 12, 0xff, 6);
	if (to) {
		frame[12] = 2;
		frame[13] = 0;
		memcpy(frame + 14, &to, 4);
	}
	frame[18] = 2;
	memcpy(frame + 20, &from, 4);
	frame[FRAME - 1] = mark;
	if (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) != sizeof(frame))
		abort();
}

/* The mark of the next frame; -1: none comes, which a frame from @sync that follows it shows */
static int hear(int fd)
{
	struct pollfd poll_fd = { fd, POLLIN, 0 };
	uint8_t frame[FRAME];

	if (poll(&poll_fd, 1, 10000) != 1 || recv(fd, frame, sizeof(frame), 0) != sizeof(frame))
		return -1;
	return frame[FRAME - 1];
}

static void test_learning(void)
{
	int a, b, c;

	start(16);
	a = plug(0);
	b = plug(0);
	c = plug(0);
	say(a, 0, 1, 10);
	is(hear(b), 10, "a broadcast reaches b");
	is(hear(c), 10, "and c");
	say(b, 1, 2, 11);
	is(hear(a), 11, "an answer reaches who asked");
	say(a, 2, 1, 12);
	is(hear(b), 12, "b is known now");
	say(b, 0, 2, 13);
	is(hear(c), 13, "c has seen none of that");
	is(hear(a), 13, "and a has not seen its own frames");
	say(a, 9, 1, 14);
	is(hear(b), 14, "an unknown address goes to all: b");
	is(hear(c), 14, "c");
	/* b's address moves to c, as after a migration. */
	say(c, 0, 2, 15);
	is(hear(a), 15, "moved");
	is(hear(b), 15, "moved, b sees it");
	say(a, 2, 1, 16);
	is(hear(c), 16, "to where it was heard last");
	say(a, 0, 1, 17);
	is(hear(b), 17, "and not to where it was before");
	/* Its port goes: its addresses are forgotten. */
	is(hear(c), 17, "c has it as well");
	close(c);
	say(b, 0, 7, 18);
	is(hear(a), 18, "the others go on");
	say(a, 2, 1, 19);
	is(hear(b), 19, "a lost address is unknown again");
	close(a);
	close(b);
	stop();
}

static void test_vlans(void)
{
	int a, b, c, d;

	start(16);
	a = plug(5);
	b = plug(5);
	c = plug(6);
	d = plug(6);
	say(a, 0, 1, 20);
	is(hear(b), 20, "a broadcast within network 5");
	say(a, 2, 1, 21);
	is(hear(b), 21, "an unknown address within network 5");
	say(c, 1, 3, 22);
	is(hear(d), 22, "network 6 does not know network 5's addresses");
	say(c, 0, 1, 23);
	is(hear(d), 23, "the same address in network 6");
	say(b, 1, 2, 24);
	is(hear(a), 24, "does not take network 5's away; and a has seen nothing of network 6");
	say(b, 0, 2, 25);
	say(d, 0, 4, 26);
	is(hear(c), 26, "nor has c of network 5");
	close(a);
	close(b);
	close(c);
	close(d);
	stop();
}

static void test_refused(void)
{
	struct hub *second = NULL;
	uint8_t junk[NET_BUFFER_BYTES + 100] = { 0 };
	int a, b, c, buffer = 1 << 20;
	struct stat st;

	start(3);
	ok(!stat(path, &st) && (st.st_mode & 0777) == 0600, "the socket is its user's alone");
	is(hub_create(path, 0600, 16, &second), -EADDRINUSE, "a second switch at the same path");
	a = dial();
	is(greet(a, HUB_MAGIC + 1, HUB_VERSION, 0), (uint32_t)-ECONNRESET, "no greeting of ours");
	close(a);
	a = dial();
	is(greet(a, HUB_MAGIC, HUB_VERSION + 1, 0), EPROTO, "another version");
	close(a);
	a = dial();
	is(greet(a, HUB_MAGIC, HUB_VERSION, HUB_VLAN_MAX + 1), EINVAL, "a VLAN that cannot be");
	close(a);
	a = plug(0);
	b = plug(0);
	c = plug(0);
	close(c);
	setsockopt(a, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	send(a, junk, NET_HEADER_BYTES + NET_ETH_BYTES - 1, 0);
	send(a, junk, sizeof(junk), 0);
	say(a, 0, 1, 30);
	is(hear(b), 30, "frames too short and too long are dropped, others go on");
	c = plug(0);
	is(dial() >= 0, true, "one port too many can connect");
	is(greet(dial(), HUB_MAGIC, HUB_VERSION, 0), EUSERS, "and is told so");
	close(a);
	close(b);
	close(c);
	stop();
	ok(access(path, F_OK) < 0, "the socket is removed");
	is(hub_create("", 0600, 2, &second), -ENAMETOOLONG, "no path");
	memset(junk, 'a', 200);
	is(hub_create((char *)junk, 0600, 2, &second), -ENAMETOOLONG, "a path that is too long");
	is(hub_create("/proc/none", 0600, 2, &second), -ENOENT, "a directory where nothing can be made");
	close(open(path, O_WRONLY | O_CREAT, 0600));
	is(hub_create(path, 0600, 2, &second), -EEXIST, "a file is not taken for a stale socket");
	ok(!unlink(path), "and is still there");
}

static void test_stale(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), a, b;

	/* As a switch that was killed leaves it. */
	strcpy(address.sun_path, path);
	is(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0, "a socket that nobody listens at");
	close(fd);
	start(4);
	a = plug(0);
	b = plug(0);
	say(a, 0, 1, 40);
	is(hear(b), 40, "is replaced");
	close(a);
	close(b);
	stop();
}

static void test_bounds(void)
{
	int a, b, c, slow;
	unsigned int i, good = 0;

	start(8);
	a = plug(0);
	b = plug(0);
	slow = plug(0);
	/* More than all buffers hold: whoever does not read loses frames, and nobody else. */
	for (i = 0; i < 4 * HUB_BACKLOG / FRAME; i++) {
		say(a, 0, 1, (uint8_t)i);
		good += hear(b) == (uint8_t)i;
	}
	is(good, i, "a port that does not read holds up nobody");
	close(slow);

	/* More addresses than a port may have: those that come last are not learned. */
	for (i = 0; i < HUB_MACS_PORT + 100; i++) {
		say(b, 0, 1000 + i, 1);
		hear(a);
	}
	c = plug(0);
	say(a, 1000 + HUB_MACS_PORT + 50, 1, 50);
	is(hear(c), 50, "addresses beyond a port's share are unknown");
	close(a);
	close(b);
	close(c);
	stop();
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/s", dir);
	test_learning();
	test_vlans();
	test_refused();
	test_stale();
	test_bounds();
	rmdir(dir);
	return tap_done();
}

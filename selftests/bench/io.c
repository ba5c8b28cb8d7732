// SPDX-License-Identifier: GPL-2.0-only
/*
 * io: what disk, network and consoles cost, in a Linux guest.
 *
 *	io disk DEVICE		4 KiB reads and writes
 *	io net NAME ADDRESS	UDP packets and TCP, against `io serve` there
 *	io udp NAME ADDRESS	UDP packets alone
 *	io line NAME DEVICE	lines on a terminal
 *	io base			nothing, and the shortest of exits
 *	io serve		the other end of the network
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <cpuid.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>
#include "rows.h"

#define BLOCK		4096
#define DEPTH		32
#define BATCHES		8
#define PORT		7000
#define PACKETS		64
#define MEBIBYTE	(1 << 20)
#define TCP_MEBIBYTES	2

/* What the first byte of a packet or of a connection asks for */
#define ANSWER		'a'
#define DROP		'd'
#define TAKE		't'
#define GIVE		'g'

static int fd;
static uint64_t blocks, next;
static char *buffer;
static aio_context_t aio;
static unsigned int opcode;

static off_t next_block(void)
{
	return (off_t)(next++ % blocks) * BLOCK;
}

static void read_block(void)
{
	check(pread(fd, buffer, BLOCK, next_block()) != BLOCK, "read");
}

static void write_block(void)
{
	check(pwrite(fd, buffer, BLOCK, next_block()) != BLOCK, "write");
}

/* As many on their way as the depth says, all the time but for the end of a batch. */
static void deep(void)
{
	struct iocb cb[DEPTH], *cbs[DEPTH];
	struct io_event events[DEPTH];
	unsigned int i, n, batch;

	for (batch = 0; batch < BATCHES; batch++) {
		for (i = 0; i < DEPTH; i++) {
			cb[i] = (struct iocb){
				.aio_lio_opcode = opcode, .aio_fildes = fd, .aio_buf = (uintptr_t)(buffer + i * BLOCK),
				.aio_nbytes = BLOCK, .aio_offset = next_block(),
			};
			cbs[i] = &cb[i];
		}
		check(syscall(SYS_io_submit, aio, DEPTH, cbs) != DEPTH, "io_submit");
		n = syscall(SYS_io_getevents, aio, DEPTH, DEPTH, events, NULL);
		check(n != DEPTH, "io_getevents");
		for (i = 0; i < n; i++)
			check(events[i].res != BLOCK, "transfer");
	}
}

static void disk(const char *path)
{
	uint64_t size;

	fd = open(path, O_RDWR | O_DIRECT);
	check(fd < 0, path);
	check(ioctl(fd, BLKGETSIZE64, &size), "size");
	blocks = size / BLOCK;
	check(posix_memalign((void **)&buffer, BLOCK, DEPTH * BLOCK), "memory");
	memset(buffer, 0x5a, DEPTH * BLOCK);
	check(syscall(SYS_io_setup, DEPTH, &aio), "io_setup");
	/* The file behind is there before it is measured. */
	for (next = 0; next < blocks;)
		write_block();
	measure("disk_read", 128, 1, read_block);
	measure("disk_write", 128, 1, write_block);
	opcode = IOCB_CMD_PREAD;
	measure("disk_read_32", 8, DEPTH * BATCHES, deep);
	opcode = IOCB_CMD_PWRITE;
	measure("disk_write_32", 8, DEPTH * BATCHES, deep);
}

static void packet(void)
{
	char data[64] = { ANSWER };

	check(send(fd, data, sizeof(data), 0) != sizeof(data), "send");
	check(recv(fd, data, sizeof(data), 0) != sizeof(data), "answer");
}

/* The answer to the last says that the others have gone before. */
static void packets(void)
{
	char data[64] = { DROP };
	unsigned int i;

	for (i = 0; i < PACKETS - 1; i++)
		check(send(fd, data, sizeof(data), 0) != sizeof(data), "send");
	packet();
}

static void transfer(int f, int giving, uint64_t left)
{
	static char data[65536];

	while (left) {
		size_t part = left < sizeof(data) ? left : sizeof(data);
		ssize_t n = giving ? send(f, data, part, MSG_NOSIGNAL) : recv(f, data, part, 0);

		check(n <= 0, "tcp");
		left -= n;
	}
}

static void tcp_out(void)
{
	char what = TAKE;

	check(send(fd, &what, 1, 0) != 1, "send");
	transfer(fd, 1, (uint64_t)TCP_MEBIBYTES * MEBIBYTE);
	check(recv(fd, &what, 1, 0) != 1, "answer");
}

static void tcp_in(void)
{
	char what = GIVE;

	check(send(fd, &what, 1, 0) != 1, "send");
	transfer(fd, 0, (uint64_t)TCP_MEBIBYTES * MEBIBYTE);
}

static void open_socket(int type, const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	check(inet_pton(AF_INET, address, &to.sin_addr) != 1, address);
	fd = socket(AF_INET, type, 0);
	check(fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
}

static void udp(const char *name, const char *address)
{
	char row[64];

	open_socket(SOCK_DGRAM, address);
	snprintf(row, sizeof(row), "%s_packet", name);
	measure(row, 64, 1, packet);
	snprintf(row, sizeof(row), "%s_packets", name);
	measure(row, 8, PACKETS, packets);
	close(fd);
}

static void tcp(const char *name, const char *address)
{
	char row[64];

	open_socket(SOCK_STREAM, address);
	snprintf(row, sizeof(row), "%s_tcp_out", name);
	measure(row, 4, TCP_MEBIBYTES, tcp_out);
	snprintf(row, sizeof(row), "%s_tcp_in", name);
	measure(row, 4, TCP_MEBIBYTES, tcp_in);
	close(fd);
}

static void answer(int udp)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	char data[64];
	ssize_t n = recvfrom(udp, data, sizeof(data), 0, (struct sockaddr *)&from, &length);

	if (n > 0 && data[0] == ANSWER)
		sendto(udp, data, n, 0, (struct sockaddr *)&from, length);
}

static void serve(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct pollfd fds[3] = { { .events = POLLIN }, { .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	int one = 1;
	char what;

	fds[0].fd = socket(AF_INET, SOCK_DGRAM, 0);
	fds[1].fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fds[1].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	check(bind(fds[0].fd, (struct sockaddr *)&here, sizeof(here)), "udp");
	check(bind(fds[1].fd, (struct sockaddr *)&here, sizeof(here)) || listen(fds[1].fd, 1), "tcp");
	for (;;) {
		check(poll(fds, 3, -1) < 0, "poll");
		if (fds[0].revents)
			answer(fds[0].fd);
		if (fds[1].revents) {
			close(fds[2].fd);
			fds[2].fd = accept(fds[1].fd, NULL, NULL);
			setsockopt(fds[2].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		} else if (fds[2].fd >= 0 && fds[2].revents) {
			if (recv(fds[2].fd, &what, 1, 0) != 1) {
				close(fds[2].fd);
				fds[2].fd = -1;
				continue;
			}
			transfer(fds[2].fd, what == GIVE, (uint64_t)TCP_MEBIBYTES * MEBIBYTE);
			if (what == TAKE)
				send(fds[2].fd, &what, 1, MSG_NOSIGNAL);
		}
	}
}

static void write_line(void)
{
	static const char line[80] = "# The quick brown fox jumps over the lazy dog, and then over it once more back.\n";

	check(write(fd, line, sizeof(line)) != sizeof(line) || tcdrain(fd), "line");
}

static void line(const char *name, const char *path)
{
	char row[64];

	fd = open(path, O_WRONLY | O_NOCTTY);
	check(fd < 0, path);
	snprintf(row, sizeof(row), "%s_line", name);
	measure(row, 64, 1, write_line);
}

static void nothing(void)
{
}

static void exits(void)
{
	unsigned int i, eax, ebx, ecx, edx;

	for (i = 0; i < PACKETS; i++)
		__cpuid(0, eax, ebx, ecx, edx);
	(void)eax;
	(void)ebx;
	(void)ecx;
	(void)edx;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "disk"))
		disk(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "udp"))
		udp(argv[2], argv[3]);
	else if (argc == 4 && !strcmp(argv[1], "line"))
		line(argv[2], argv[3]);
	else if (argc == 2 && !strcmp(argv[1], "serve"))
		serve();
	else if (argc == 4 && !strcmp(argv[1], "net")) {
		udp(argv[2], argv[3]);
		tcp(argv[2], argv[3]);
	} else if (argc == 2 && !strcmp(argv[1], "base")) {
		measure("nothing", 16, 1, nothing);
		measure("exit", 16, PACKETS, exits);
	} else {
		fprintf(stderr, "usage: io base | disk DEVICE | net|udp NAME ADDRESS | line NAME DEVICE | serve\n");
		return 2;
	}
	return 0;
}

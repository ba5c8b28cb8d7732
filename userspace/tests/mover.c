// SPDX-License-Identifier: GPL-2.0-only
/* What the tests of a machine's move have in common: two launchers, and what is between them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_module.h"
#include "image.h"
#include "mover.h"
#include "tap.h"
#include "../vireo/command.h"
#include "../vireo/migrate/wire.h"
#include "../vireo/rundir.h"
#include "../vireo/util.h"
#include "vireo.h"

#define COUNTER		0x1400000ULL	/* on a page that the fake module says is written all the time */
#define FILLED		0x1000000ULL

static char dir[] = "/tmp/vireo-migrate-XXXXXX";
static char kernel[64], output[2][64];

struct mover_shared *shared;
struct mover_relay relay;
char to_relay[80], at_destination[80];
void (*mover_spoil)(void);
unsigned int mover_timeout = 5;
const char *mover_console = "socket";
static unsigned int here;

/* ---- Launchers ---- */

static int guest(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	uint64_t *counter = (uint64_t *)(uintptr_t)(fake.region[0].hva + COUNTER);

	const uint8_t *filled = (const uint8_t *)(uintptr_t)(fake.region[0].hva + FILLED);

	(void)vcpu;
	usleep(500);
	/* Something to send. */
	if (!shared->counter)
		memset((void *)(uintptr_t)(fake.region[0].hva + FILLED), 1, MIB);
	if (*counter != shared->counter || filled[shared->counter % 256 * 4096 + shared->counter % 4096] != 1)
		shared->torn++;
	if (here == SOURCE && shared->runs[DESTINATION])
		shared->after++;
	shared->counter = ++*counter;
	__atomic_fetch_add(&shared->runs[here], 1, __ATOMIC_SEQ_CST);
	run->exit_reason = VIREO_EXIT_IO;
	run->io.port = 0x3ff;
	run->io.unit = 1;
	run->io.count = 1;
	return 0;
}

static pid_t start(unsigned int who, const char *const *args)
{
	char *argv[16] = { strdup("vireo") };
	unsigned int i;
	pid_t pid;
	int fd;

	for (i = 0; args[i]; i++)
		argv[i + 1] = strdup(args[i]);
	fflush(stdout);
	pid = fork();
	if (pid) {
		for (i = 0; argv[i]; i++)
			free(argv[i]);
		return pid;
	}
	alarm(MOVER_TIMEOUT_MS / 1000 * 2);
	here = who;
	fd = open("/dev/null", O_RDONLY);
	dup2(fd, 0);
	fd = open(output[who], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	fake_reset();
	fake.guest = guest;
	if (who == DESTINATION && mover_spoil)
		mover_spoil();
	for (i = 0; argv[i]; i++)
		;
	i = (unsigned int)vireo_main((int)i, argv);
	fflush(NULL);
	_exit((int)i);
}

#define START(who, ...) start(who, (const char *const[]){ __VA_ARGS__, NULL })

int mover_wait(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool runs(unsigned int who)
{
	unsigned int before = __atomic_load_n(&shared->runs[who], __ATOMIC_SEQ_CST);

	until(__atomic_load_n(&shared->runs[who], __ATOMIC_SEQ_CST) > before + 3);
	return __atomic_load_n(&shared->runs[who], __ATOMIC_SEQ_CST) > before + 3;
}

bool rests(unsigned int who)
{
	unsigned int before = __atomic_load_n(&shared->runs[who], __ATOMIC_SEQ_CST);

	usleep(100000);
	return __atomic_load_n(&shared->runs[who], __ATOMIC_SEQ_CST) == before;
}

/* ---- Clients ---- */

static int dial(const char *name)
{
	struct sockaddr_un address;
	unsigned int tries;
	int fd;

	rundir_address(dir, name, &address);
	for (tries = 0; tries < 500; tries++) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			return fd;
		close(fd);
		usleep(10000);
	}
	return -1;
}

bool asks(const char *name, const char *request, const char *part)
{
	char text[8192] = "";
	size_t n = 0;
	int fd = dial(name);

	if (fd < 0 || send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0)
		return false;
	while (n < sizeof(text) - 1 && read(fd, text + n, 1) == 1 && text[n] != '\n')
		n++;
	close(fd);
	return strstr(text, part);
}

bool in_phase(const char *name, const char *phase)
{
	char text[64];

	snprintf(text, sizeof(text), "\"phase\":\"%s\"", phase);
	return asks(name, "{\"command\":\"query\",\"what\":\"migration\"}", text);
}

/* ---- The relay ---- */

static bool read_all(int fd, void *to, size_t n)
{
	while (n) {
		ssize_t r = read(fd, to, n);

		if (r <= 0)
			return false;
		to = (uint8_t *)to + r;
		n -= (size_t)r;
	}
	return true;
}

static bool write_all(int fd, const void *from, size_t n)
{
	while (n) {
		ssize_t r = send(fd, from, n, MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		from = (const uint8_t *)from + r;
		n -= (size_t)r;
	}
	return true;
}

/* Returns false if that was all. */
static bool pass(int from, int to)
{
	static uint8_t payload[WIRE_FRAME_MAX];
	struct wire_header header;
	bool last;

	if (!read_all(from, &header, sizeof(header)) || header.len > sizeof(payload) || !read_all(from, payload, header.len))
		return false;
	if (header.type == WIRE_TAKEN)
		relay.taken = true;
	last = header.type == relay.type && !relay.cut && (!relay.late || relay.taken);
	if (last)
		__atomic_store_n(&relay.cut, true, __ATOMIC_SEQ_CST);
	if (last && !relay.forward)
		return false;
	return write_all(to, &header, sizeof(header)) && write_all(to, payload, header.len) && !last;
}

/* Its file is there a moment before it listens. */
static int reach(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	unsigned int tries;
	int fd = -1;

	strcpy(address.sun_path, at_destination + strlen("unix:"));
	for (tries = 0; tries < 200 && !(relay.closed && relay.cut); tries++) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			return fd;
		close(fd);
		usleep(10000);
	}
	return -1;
}

static void wait_end(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLRDHUP };

	while (poll(&poller, 1, -1) <= 0)
		;
}

static void *carry(void *unused)
{
	struct pollfd fds[2];
	int near, far;

	while ((near = accept(relay.listener, NULL, NULL)) >= 0) {
		far = reach();
		if (far >= 0) {
			fds[0] = (struct pollfd){ .fd = near, .events = POLLIN };
			fds[1] = (struct pollfd){ .fd = far, .events = POLLIN };
			while (poll(fds, 2, -1) > 0)
				if ((fds[0].revents && !pass(near, far)) || (fds[1].revents && !pass(far, near)))
					break;
		}
		if (relay.stall && relay.cut && far >= 0) {
			wait_end(near);
			wait_end(far);
			relay.stall = false;
		}
		close(near);
		if (far >= 0)
			close(far);
	}
	return unused;
}

/* ---- Tests ---- */

void mover_receive(struct move *move)
{
	char timeout[16];

	/* Of one that was killed. */
	unlink(at_destination + strlen("unix:"));
	snprintf(timeout, sizeof(timeout), "%u", mover_timeout);
	move->pid[DESTINATION] = START(DESTINATION, "receive", "--name", "destination", "--timeout", timeout, "--console",
				       mover_console, at_destination);
	until(!access(at_destination + strlen("unix:"), F_OK));
}

void mover_begin(struct move *move, unsigned int type, bool forward, bool closed)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(shared, 0, sizeof(*shared));
	strcpy(address.sun_path, to_relay + strlen("unix:"));
	unlink(address.sun_path);
	relay = (struct mover_relay){ .type = type, .forward = forward, .closed = closed };
	relay.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(relay.listener, (struct sockaddr *)&address, sizeof(address)) || listen(relay.listener, 4) ||
	    pthread_create(&move->thread, NULL, carry, NULL))
		abort();
	move->pid[SOURCE] = START(SOURCE, "run", "--kernel", kernel, "--name", "source", "--memory", "32M", "--console", "socket");
	mover_receive(move);
	runs(SOURCE);
}

void mover_end(struct move *move)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (move->pid[i]) {
			kill(move->pid[i], SIGKILL);
			mover_wait(move->pid[i]);
		}
	}
	shutdown(relay.listener, SHUT_RDWR);
	pthread_join(move->thread, NULL);
	close(relay.listener);
}

void ask_to_move(const char *more)
{
	char request[256];

	snprintf(request, sizeof(request), "{\"command\":\"migrate\",\"to\":\"%s\",\"timeout\":%u,\"verify\":true%s}", to_relay,
		 mover_timeout, more);
	ok(asks("source", request, "\"result\""), "the source begins");
}

void ends(struct move *move, unsigned int who, int status)
{
	is(mover_wait(move->pid[who]), status, "the %s ends", who ? "destination" : "source");
	move->pid[who] = 0;
}

void goes_on(unsigned int who)
{
	ok(runs(who), "the machine runs in the %s", who ? "destination" : "source");
	is(shared->torn, 0, "its memory is what it was");
	is(shared->after, 0, "it never runs in both");
}

void mover_open(void)
{
	struct image image;
	FILE *file;

	if (!mkdtemp(dir))
		abort();
	setenv("VIREO_RUN_DIR", dir, 1);
	signal(SIGPIPE, SIG_IGN);
	/* A test that hangs is one that has failed. */
	alarm(MOVER_TIMEOUT_MS / 1000 * 10);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	snprintf(output[SOURCE], sizeof(output[SOURCE]), "%s/source.out", dir);
	snprintf(output[DESTINATION], sizeof(output[DESTINATION]), "%s/destination.out", dir);
	snprintf(to_relay, sizeof(to_relay), "unix:%s/relay", dir);
	snprintf(at_destination, sizeof(at_destination), "unix:%s/at", dir);
	image_linux(&image);
	file = fopen(kernel, "wb");
	if (!file || fwrite(image.byte, 1, image.len, file) != image.len)
		abort();
	fclose(file);
}

int mover_close(void)
{
	char command[80];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) ? 1 : tap_done();
}

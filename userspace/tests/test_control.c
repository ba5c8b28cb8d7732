// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket: a launcher on the fake module in a process of its own, and clients that behave and
 * that do not.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_module.h"
#include "image.h"
#include "tap.h"
#include "../vireo/command.h"
#include "../vireo/config_file.h"
#include "../vireo/protocol.h"
#include "../vireo/rundir.h"
#include "../vireo/util.h"

#define TIMEOUT_MS 30000
#define CLIENTS 16

static char dir[] = "/tmp/vireo-control-XXXXXX";
static char kernel[64], output[64];

/* Shared with the launcher's process. */
static struct shared {
	unsigned int runs;
	unsigned int boots;
	char heard[64];
	unsigned int nr_heard;
	char say[64];
	unsigned int nr_say;
} *shared;

/* ---- The launcher ---- */

static void io(struct vireo_run *run, uint16_t port, bool write, uint8_t value)
{
	run->exit_reason = VIREO_EXIT_IO;
	run->io.port = port;
	run->io.write = write;
	run->io.unit = 1;
	run->io.count = 1;
	run->io.data[0] = value;
}

/* Echoes what it hears; says what the test wants it to; never ends. */
static int guest(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	__atomic_fetch_add(&shared->runs, 1, __ATOMIC_SEQ_CST);
	switch (vcpu->step++ % 4) {
	case 0:
		usleep(500);
		io(run, 0x3fd, false, 0);
		return 0;
	case 1:
		if (!(run->io.data[0] & 1)) {
			vcpu->step++;
			io(run, 0x3ff, false, 0);
			return 0;
		}
		io(run, 0x3f8, false, 0);
		return 0;
	case 2:
		if (shared->nr_heard < sizeof(shared->heard) - 1)
			shared->heard[shared->nr_heard++] = (char)run->io.data[0];
		io(run, 0x3ff, false, 0);
		return 0;
	default:
		if (shared->say[shared->nr_say])
			io(run, 0x3f8, true, (uint8_t)shared->say[shared->nr_say++]);
		else
			io(run, 0x3ff, false, 0);
		return 0;
	}
}

/* Threads that take turns on one processor meet each other's half-done work. */
static void pin(void)
{
	cpu_set_t all, one;
	int cpu = 0;

	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static pid_t start(const char *const *args)
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
	alarm(TIMEOUT_MS / 1000 * 2);
	pin();
	fd = open("/dev/null", O_RDONLY);
	dup2(fd, 0);
	fd = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	fake_reset();
	fake.guest = guest;
	for (i = 0; argv[i]; i++)
		;
	i = (unsigned int)vireo_main((int)i, argv);
	if (fake.bad)
		fprintf(stderr, "fake module: %s\n", fake.why);
	fflush(NULL);
	_exit((int)i);
}

#define START(...) start((const char *const[]){ __VA_ARGS__, NULL })
#define MACHINE(name) START("run", "--kernel", kernel, "--name", name, "--memory", "32M", "--console", "socket")

static int wait_status(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool says(const char *text)
{
	char buf[4096] = "";
	FILE *file = fopen(output, "r");

	if (file) {
		buf[fread(buf, 1, sizeof(buf) - 1, file)] = '\0';
		fclose(file);
	}
	if (strstr(buf, text))
		return true;
	printf("# no \"%s\" in: %.500s\n", text, buf);
	return false;
}

/* ---- Clients ---- */

static int try_connect(const char *name)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	rundir_address(dir, name, &address);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int dial(const char *name)
{
	unsigned int tries;
	int fd = -1;

	for (tries = 0; tries < 3000 && fd < 0; tries++) {
		fd = try_connect(name);
		if (fd < 0)
			usleep(10000);
	}
	return fd;
}

/* A line, without its end; "" at the end of the connection or of patience. */
static const char *line(int fd)
{
	static char text[65536];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;

	while (n < sizeof(text) - 1 && poll(&p, 1, TIMEOUT_MS) > 0 && read(fd, text + n, 1) == 1)
		if (text[n++] == '\n')
			break;
	text[n ? n - 1 : 0] = '\0';
	return text;
}

static const char *ask(int fd, const char *request)
{
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0)
		return "";
	return line(fd);
}

static bool answers(int fd, const char *request, const char *part)
{
	const char *reply = ask(fd, request);

	if (strstr(reply, part))
		return true;
	printf("# %.100s: %.300s\n", request, reply);
	return false;
}

static void test_protocol(void)
{
	static const struct {
		const char *request, *part;
	} cases[] = {
		{ "{\"command\":\"version\",\"id\":7}", "\"id\":7" },
		{ "{\"command\":\"version\",\"id\":\"x\"}", "\"id\":\"x\"" },
		{ "{\"command\":\"version\"}", "\"id\":null" },
		{ "{\"command\":\"version\"}", "\"protocol\":1" },
		{ "{", "bad-json" },
		{ "\xff\xfe", "bad-json" },
		{ "{\"command\":\"version\",\"command\":\"version\"}", "bad-json" },
		{ "{\"command\":\"version\"} x", "bad-json" },
		{ "[]", "bad-request" },
		{ "7", "bad-request" },
		{ "{}", "bad-request" },
		{ "{\"command\":7,\"id\":3}", "\"id\":3" },
		{ "{\"command\":\"version\",\"id\":{}}", "bad-request" },
		{ "{\"command\":\"version\",\"id\":1.5}", "bad-request" },
		{ "{\"command\":\"explode\",\"id\":9}", "\"id\":9" },
		{ "{\"command\":\"explode\"}", "unknown-command" },
		{ "{\"command\":\"pause\",\"now\":true}", "unknown-member" },
		{ "{\"command\":\"query\"}", "missing-member" },
		{ "{\"command\":\"query\",\"what\":7}", "bad-member" },
		{ "{\"command\":\"query\",\"what\":\"weather\"}", "bad-member" },
		{ "{\"command\":\"stop\",\"timeout\":-1}", "bad-member" },
		{ "{\"command\":\"stop\",\"timeout\":1.5}", "bad-member" },
		{ "{\"command\":\"stop\",\"hard\":1}", "bad-member" },
		{ "{\"command\":\"balloon\",\"size\":1}", "no-balloon" },
		{ "{\"command\":\"query\",\"what\":\"status\"}", "\"state\":\"running\"" },
		{ "{\"command\":\"query\",\"what\":\"config\"}", "\"memory\":33554432" },
		{ "{\"command\":\"query\",\"what\":\"cpus\"}", "\"cpu\":0" },
		{ "{\"command\":\"query\",\"what\":\"memory\"}", "\"bytes\":33554432" },
		{ "{\"command\":\"query\",\"what\":\"devices\"}", "\"name\":\"ioapic\",\"state\":true" },
	};
	char *big = malloc(PROTOCOL_LINE_MAX * 2 + 100);
	int fd = dial("one");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		ok(answers(fd, cases[i].request, cases[i].part), "request %zu: %s", i, cases[i].part);

	memset(big, 'x', PROTOCOL_LINE_MAX * 2);
	big[PROTOCOL_LINE_MAX * 2] = '\0';
	ok(answers(fd, big, "too-long"), "a line that is too long");
	ok(answers(fd, "{\"command\":\"version\"}", "\"result\""), "and one that is not");
	memset(big, '[', PROTOCOL_LINE_MAX - 10);
	big[PROTOCOL_LINE_MAX - 10] = '\0';
	ok(answers(fd, big, "bad-json"), "lists in lists in lists");
	ok(answers(fd, "\n\n{\"command\":\"version\"}", "\"result\""), "empty lines are nothing");
	ok(answers(fd, "{\"command\":\"version\",\"id\":1}\n{\"command\":\"version\",\"id\":2}", "\"id\":1"),
	   "two at once");
	ok(strstr(line(fd), "\"id\":2"), "are two");
	for (i = 0; i < 22; i++) {
		if (send(fd, &"{\"command\":\"version\"}\n"[i], 1, 0) != 1)
			abort();
		usleep(500);
	}
	ok(strstr(line(fd), "\"result\""), "a byte at a time");
	if (send(fd, "{\"command\":\"version\"}\n", 22, 0) != 22 || shutdown(fd, SHUT_WR))
		abort();
	ok(strstr(line(fd), "\"result\""), "somebody who has finished speaking hears the answer");
	is(*line(fd), 0, "and then the end");
	close(fd);
	free(big);
}

static void test_clients(void)
{
	int fd[CLIENTS + 1], slow, other, quiet = 0;
	unsigned int i, good = 0;
	char request[] = "{\"command\":\"query\",\"what\":\"config\"}\n";
	ssize_t n;

	for (i = 0; i < CLIENTS; i++) {
		fd[i] = dial("one");
		good += answers(fd[i], "{\"command\":\"version\"}", "result");
	}
	is(good, CLIENTS, "many clients");
	fd[CLIENTS] = dial("one");
	ok(strstr(line(fd[CLIENTS]), "busy"), "and one too many");
	for (i = 0; i <= CLIENTS; i++)
		close(fd[i]);

	slow = dial("one");
	fcntl(slow, F_SETFL, O_NONBLOCK);
	do {
		n = send(slow, request, sizeof(request) - 1, MSG_NOSIGNAL);
		if (n < 0)
			usleep(10000);
	} while (n > 0 || ++quiet < 50);
	ok(n < 0 && errno == EAGAIN, "one that does not read is not heard any more");
	other = dial("one");
	ok(answers(other, "{\"command\":\"version\"}", "result"), "and does not hold up others");
	close(other);
	fcntl(slow, F_SETFL, 0);
	/* The end of the last request may be missing, that of the first answers is not. */
	ok(strstr(line(slow), "\"result\""), "its answers wait for it");
	close(slow);
}

static unsigned int runs(void)
{
	return __atomic_load_n(&shared->runs, __ATOMIC_SEQ_CST);
}

static void test_pause(void)
{
	int fd = dial("one"), watch = dial("one"), two = dial("one");
	unsigned int before, i;
	bool done = true;

	ok(answers(watch, "{\"command\":\"events\"}", "result"), "events");
	ok(answers(fd, "{\"command\":\"pause\"}", "result"), "pause");
	before = runs();
	usleep(50000);
	is(runs(), before, "the guest does not run");
	ok(answers(fd, "{\"command\":\"query\",\"what\":\"status\"}", "\"reason\":\"user\""),
	   "status says why");
	ok(strstr(line(watch), "\"event\":\"paused\""), "an event");
	ok(answers(two, "{\"command\":\"pause\"}", "result"), "paused is paused");
	ok(answers(two, "{\"command\":\"stop\"}", "\"code\":\"paused\""), "no button");
	ok(answers(fd, "{\"command\":\"reset\"}", "result"), "reset");
	ok(strstr(line(watch), "\"event\":\"reset\""), "an event");
	is(runs(), before, "the guest still does not run");
	ok(answers(fd, "{\"command\":\"query\",\"what\":\"status\"}", "paused"), "it is paused as before");
	ok(answers(two, "{\"command\":\"resume\"}", "result"), "resume, by another one");
	ok(strstr(line(watch), "\"event\":\"resumed\""), "an event");
	while (runs() == before)
		usleep(1000);
	ok(answers(two, "{\"command\":\"resume\"}", "result"), "resumed is resumed");
	/* Resumed as soon as it is paused: before those who paused it are done. */
	for (i = 0; i < 100 && done; i++)
		done = answers(fd, "{\"command\":\"pause\"}\n{\"command\":\"resume\"}", "result") &&
		       strstr(line(fd), "result");
	ok(done, "pause and resume at once, 100 times: both are answered (%u)", i);
	before = runs();
	while (runs() == before)
		usleep(1000);
	ok(true, "and the guest runs");
	close(fd);
	close(watch);
	close(two);
}

static void test_console(void)
{
	int a = dial("one"), b = dial("one"), n = 0;
	char text[16] = "";

	ok(answers(a, "{\"command\":\"console\"}", "result") &&
	   answers(b, "{\"command\":\"console\"}", "result"),
	   "two at the console");
	strcpy(shared->say, "hello\n");
	ok(!strcmp(line(a), "hello"), "it speaks");
	ok(!strcmp(line(b), "hello"), "to both");
	if (send(a, "abc", 3, 0) != 3)
		abort();
	while (shared->nr_heard < 3 && n++ < 3000)
		usleep(10000);
	memcpy(text, shared->heard, 3);
	ok(!strcmp(text, "abc"), "it hears (%s)", text);
	close(a);
	close(b);
}

static mode_t mode_of(const char *suffix)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, suffix);
	return stat(path, &st) ? 0 : st.st_mode & 07777;
}

static void test_names(void)
{
	struct rundir_claim claim;
	char path[128];
	long owner;
	pid_t pid;

	ok(rundir_name_valid("a") && rundir_name_valid("vm-1_x.Y") &&
	   rundir_name_valid("0123456789012345678901234567890"), "names");
	ok(!rundir_name_valid("") && !rundir_name_valid(".a") && !rundir_name_valid("-a") &&
	   !rundir_name_valid("a/b") &&
	   !rundir_name_valid("a b") && !rundir_name_valid("01234567890123456789012345678901") &&
	   !rundir_name_valid("\xc3\xa4"), "what is not a name");
	is(mode_of(""), 0700, "the directory is private");
	is(mode_of("one.sock"), 0600, "the socket too");
	is(mode_of("one.lock"), 0600, "the lock too");
	pid = MACHINE("one");
	is(wait_status(pid), 2, "a second one");
	ok(says("there is a machine \"one\" already"), "is told why");
	is(rundir_claim(dir, "one", &claim, &owner), (uint64_t)-EEXIST, "the name is taken");
	ok(owner > 0, "by process %ld", owner);
	rundir_sweep(dir);
	is(mode_of("one.sock"), 0600, "a living one is not swept up");
	is(rundir_claim(dir, "mine", &claim, &owner), 0, "another name is free");
	rundir_release(&claim);
	is(mode_of("mine.lock"), 0, "and free again");

	snprintf(path, sizeof(path), "%s/open", dir);
	mkdir(path, 0700);
	chmod(path, 0777);
	setenv("VIREO_RUN_DIR", path, 1);
	pid = MACHINE("x");
	is(wait_status(pid), 2, "a directory that others may write to");
	ok(says("does not belong to this user alone"), "is refused");
	rmdir(path);
	if (symlink(dir, path))
		abort();
	pid = MACHINE("x");
	is(wait_status(pid), 2, "a symbolic link");
	ok(says("not a directory"), "is refused");
	unlink(path);
	memset(path, 'x', 120);
	path[0] = '/';
	path[120] = '\0';
	setenv("VIREO_RUN_DIR", path, 1);
	pid = MACHINE("x");
	is(wait_status(pid), 2, "a path that is too long");
	setenv("VIREO_RUN_DIR", dir, 1);
}

static void test_end(pid_t pid)
{
	int fd = dial("one"), watch = dial("one");

	ok(answers(watch, "{\"command\":\"events\"}", "result"), "events");
	ok(answers(fd, "{\"command\":\"stop\",\"hard\":true}", "result"), "stop");
	ok(strstr(line(watch), "\"event\":\"stopped\""), "the last event");
	is(*line(watch), 0, "and the end");
	is(wait_status(pid), 0, "the launcher ends well");
	is(mode_of("one.sock") | mode_of("one.lock"), 0, "nothing is left");
	close(fd);
	close(watch);
}

static void test_timeout(void)
{
	pid_t pid = MACHINE("deaf");
	int fd = dial("deaf");

	ok(answers(fd, "{\"command\":\"stop\",\"timeout\":1}", "result"),
	   "the button of a guest that has no ears");
	is(wait_status(pid), 0, "it is ended");
	close(fd);
}

static void test_stale(void)
{
	pid_t pid = MACHINE("two");
	int fd = dial("two");

	ok(answers(fd, "{\"command\":\"version\"}", "\"name\":\"two\""), "a machine");
	kill(pid, SIGKILL);
	is(wait_status(pid), 128 + SIGKILL, "is killed");
	close(fd);
	is(mode_of("two.sock"), 0600, "its socket stays");
	is(wait_status(START("list")), 0, "list");
	is(wait_status(START("pause", "two")), 1, "tools");
	ok(says("is dead"), "say so");
	pid = MACHINE("two");
	fd = dial("two");
	ok(answers(fd, "{\"command\":\"version\"}", "\"name\":\"two\""), "it is replaced");
	is(wait_status(START("list")), 0, "list");
	ok(says("two") && says("running"), "shows it");
	is(wait_status(START("balloon", "two", "8M")), 1, "no balloon");
	ok(says("has no balloon"), "is told");
	is(wait_status(START("stop", "--hard", "two")), 0, "stop --hard");
	is(wait_status(pid), 0, "it has ended");
	close(fd);
}

static void write_text(char *path, const char *text)
{
	FILE *file;

	snprintf(path, 64, "%s/config", dir);
	file = fopen(path, "w");
	if (!file || fputs(text, file) < 0)
		abort();
	fclose(file);
}

static void test_config(void)
{
	static const struct {
		const char *text, *want;
	} bad[] = {
		{ "{\n\"cpus\":}", ":2: " },
		{ "{\"cpus\":1,\n\"cpus\":2}", ":2: " },
		{ "[1]", "is an object" },
		{ "{\n\n\"explode\": 1}", ":3: explode: there is no such option" },
		{ "{\"kernel\":\"x\",\n\"cpus\":1.5}", ":2: \"cpus\"" },
		{ "{\"kernel\":\"x\",\n\"cpus\":65}", ":2: 65: the number of vCPUs" },
		{ "{\"cmdline\":\"\\\"cpus\\\": {[\",\n\"cpus\":0}", ":2: 0: the number of vCPUs" },
		{ "{\"kernel\":null}", ":1: \"kernel\"" },
		{ "{\"kernel\":true}", "needs a value" },
		{ "{\"no-reboot\":\"yes\"}", "true or false" },
		{ "{\"kernel\":{\"path\":\"x\"}}", "only devices and CPU profiles are objects" },
		{ "{\"config\":\"x\"}", "no such option" },
		{ "{\"fw-cfg\":[\"a=b\",\n\"nonsense\"]}", ":2: nonsense" },
		{ "{\"fw-cfg\":[\"a=b\",[\"c\"]]}", "a list in a list" },
		{ "{\"rng\":{\"source\":[]}}", "\"source\" is no string" },
		{ "{\"rng\":{\"colour\":\"red\"},\"kernel\":\"/nonexistent\"}", "/nonexistent" },
	};
	struct config_file file;
	char path[64], text[256];
	pid_t pid;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		write_text(path, bad[i].text);
		is(wait_status(START("run", "--config", path)), 2, "configuration %zu is refused", i);
		ok(says(bad[i].want), "and says why");
	}
	is(wait_status(START("run", "--config", "/nonexistent")), 2, "no file");
	is(wait_status(START("run", "--config", path, "--config", path)), 2, "two files");

	write_text(path,
		   "{\"disk\":[{\"path\":\"/a,b\",\"readonly\":true},\"c\"],\"x\":false,\"y\":true,\"z\":7}");
	is(config_file_read(&file, path), 0, "a file");
	is(file.nr, 4, "its entries");
	ok(file.nr == 4 && !strcmp(file.entry[0].value, "path=/a,,b,readonly=on") &&
	   !strcmp(file.entry[1].value, "c") &&
	   !file.entry[2].value && !strcmp(file.entry[3].value, "7"), "are what would have been typed");
	config_file_free(&file);

	snprintf(text, sizeof(text),
		 "{\"kernel\":\"%s\",\"name\":\"conf\",\"cpus\":3,\"memory\":\"32M\",\n\"rng\":true,"
		 "\"console\":\"stdio\"}", kernel);
	write_text(path, text);
	pid = START("run", "--cpus", "2", "--config", path, "--console", "socket", "--rng=/dev/zero");
	fd = dial("conf");
	ok(answers(fd, "{\"command\":\"query\",\"what\":\"config\"}", "\"memory\":33554432"),
	   "what the file says");
	ok(answers(fd, "{\"command\":\"query\",\"what\":\"config\"}", "\"cpus\":2"),
	   "and what was typed on top");
	ok(answers(fd, "{\"command\":\"stop\",\"hard\":true}", "result"), "stop");
	is(wait_status(pid), 0, "ended");
	close(fd);
	unlink(path);
}

int main(void)
{
	struct image image;
	FILE *file;
	pid_t pid;

	if (!mkdtemp(dir))
		abort();
	setenv("VIREO_RUN_DIR", dir, 1);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	snprintf(output, sizeof(output), "%s/output", dir);
	image_linux(&image);
	file = fopen(kernel, "wb");
	if (!file || fwrite(image.byte, 1, image.len, file) != image.len)
		abort();
	fclose(file);

	pid = MACHINE("one");
	test_protocol();
	test_clients();
	test_pause();
	test_console();
	test_names();
	test_end(pid);
	test_timeout();
	test_stale();
	test_config();
	unlink(kernel);
	unlink(output);
	is(rmdir(dir), 0, "nothing is left in the directory");
	return tap_done();
}

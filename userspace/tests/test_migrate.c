// SPDX-License-Identifier: GPL-2.0-only
/*
 * A machine moves between two launchers, each with a fake module, and the connection between them is cut at every frame: then one
 * of them has the machine, with all that it had, and the other does not run it. A relay between the two does the cutting.
 */
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
#include "tap.h"
#include "../vireo/command.h"
#include "../vireo/migrate/profile.h"
#include "../vireo/migrate/wire.h"
#include "../vireo/rundir.h"
#include "../vireo/util.h"
#include "vireo.h"

#define TIMEOUT_MS	30000
#define COUNTER		0x1400000ULL	/* on a page that the fake module says is written all the time */
#define FILLED		0x1000000ULL
#define SOURCE		0
#define DESTINATION	1

static char dir[] = "/tmp/vireo-migrate-XXXXXX";
static char kernel[64], output[2][64];
static char to_relay[80], at_destination[80];

/**
 * struct shared - what the guest does, in whichever launcher
 * @runs: of it, in each
 * @counter: the last value that it wrote to memory
 * @torn: it has found another one
 * @after: it ran in the source after it had in the destination
 */
static struct shared {
	unsigned int runs[2];
	uint64_t counter;
	unsigned int torn;
	unsigned int after;
} *shared;

static unsigned int here;

/* ---- Launchers ---- */

static int guest(struct fake_vcpu *vcpu, struct vireo_run *run)
{
	uint64_t *counter = (uint64_t *)(uintptr_t)(fake.region[0].hva + COUNTER);

	(void)vcpu;
	usleep(500);
	/* Something to send. */
	if (!shared->counter)
		memset((void *)(uintptr_t)(fake.region[0].hva + FILLED), 1, MIB);
	if (*counter != shared->counter)
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
	alarm(TIMEOUT_MS / 1000 * 2);
	here = who;
	fd = open("/dev/null", O_RDONLY);
	dup2(fd, 0);
	fd = open(output[who], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	fake_reset();
	fake.guest = guest;
	for (i = 0; argv[i]; i++)
		;
	i = (unsigned int)vireo_main((int)i, argv);
	fflush(NULL);
	_exit((int)i);
}

#define START(who, ...) start(who, (const char *const[]){ __VA_ARGS__, NULL })

static int wait_status(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define until(condition) do {						\
	unsigned int tries_;						\
	for (tries_ = 0; tries_ < TIMEOUT_MS / 5 && !(condition); tries_++) \
		usleep(5000);						\
} while (0)

static bool runs(unsigned int who)
{
	unsigned int before = __atomic_load_n(&shared->runs[who], __ATOMIC_SEQ_CST);

	until(__atomic_load_n(&shared->runs[who], __ATOMIC_SEQ_CST) > before + 3);
	return __atomic_load_n(&shared->runs[who], __ATOMIC_SEQ_CST) > before + 3;
}

static bool rests(unsigned int who)
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
	for (tries = 0; tries < 3000; tries++) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			return fd;
		close(fd);
		usleep(10000);
	}
	return -1;
}

static bool asks(const char *name, const char *request, const char *part)
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

static bool in_phase(const char *name, const char *phase)
{
	char text[64];

	snprintf(text, sizeof(text), "\"phase\":\"%s\"", phase);
	return asks(name, "{\"command\":\"query\",\"what\":\"migration\"}", text);
}

/* ---- The relay ---- */

/**
 * struct relay - between the two
 * @listener: where the source connects
 * @type: the frame at which the first connection is cut
 * @forward: it still passes
 * @closed: nobody gets through after that
 * @cut: it was
 */
static struct relay {
	int listener;
	unsigned int type;
	bool forward;
	bool closed;
	bool cut;
} relay;

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
	last = header.type == relay.type && !relay.cut;
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
		close(near);
		if (far >= 0)
			close(far);
	}
	return unused;
}

/* ---- Tests ---- */

struct move {
	pid_t pid[2];
	pthread_t thread;
};

static void begin(struct move *move, unsigned int type, bool forward, bool closed)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(shared, 0, sizeof(*shared));
	/* Of one that was killed. */
	unlink(at_destination + strlen("unix:"));
	strcpy(address.sun_path, to_relay + strlen("unix:"));
	unlink(address.sun_path);
	relay = (struct relay){ socket(AF_UNIX, SOCK_STREAM, 0), type, forward, closed, false };
	if (bind(relay.listener, (struct sockaddr *)&address, sizeof(address)) || listen(relay.listener, 4) ||
	    pthread_create(&move->thread, NULL, carry, NULL))
		abort();
	move->pid[SOURCE] = START(SOURCE, "run", "--kernel", kernel, "--name", "source", "--memory", "32M", "--console", "socket");
	move->pid[DESTINATION] = START(DESTINATION, "receive", "--name", "destination", "--timeout", "5", at_destination);
	until(!access(at_destination + strlen("unix:"), F_OK));
	runs(SOURCE);
}

static void end(struct move *move)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (move->pid[i]) {
			kill(move->pid[i], SIGKILL);
			wait_status(move->pid[i]);
		}
	}
	shutdown(relay.listener, SHUT_RDWR);
	pthread_join(move->thread, NULL);
	close(relay.listener);
}

static void ask_to_move(const char *more)
{
	char request[256];

	snprintf(request, sizeof(request), "{\"command\":\"migrate\",\"to\":\"%s\",\"timeout\":5,\"verify\":true%s}", to_relay, more);
	ok(asks("source", request, "\"result\""), "the source begins");
}

static void ends(struct move *move, unsigned int who, int status)
{
	is(wait_status(move->pid[who]), status, "the %s ends", who ? "destination" : "source");
	move->pid[who] = 0;
}

static void goes_on(unsigned int who)
{
	ok(runs(who), "the machine runs in the %s", who ? "destination" : "source");
	is(shared->torn, 0, "its memory is what it was");
	is(shared->after, 0, "it never runs in both");
}

static void test_moves(const char *more)
{
	struct move move;

	begin(&move, 0, true, false);
	ask_to_move(more);
	ends(&move, SOURCE, EXIT_OK);
	goes_on(DESTINATION);
	ok(in_phase("destination", "completed"), "the destination knows");
	ok(asks("destination", "{\"command\":\"reset\"}", "result"), "it can be reset");
	end(&move);
}

static void test_paused(void)
{
	struct move move;

	begin(&move, 0, true, false);
	ok(asks("source", "{\"command\":\"pause\"}", "result"), "a machine that is paused");
	ask_to_move("");
	ends(&move, SOURCE, EXIT_OK);
	until(in_phase("destination", "completed"));
	ok(rests(DESTINATION), "is so there");
	ok(asks("destination", "{\"command\":\"resume\"}", "result"), "until it is resumed");
	goes_on(DESTINATION);
	end(&move);
}

/* Before the hand-over: the source has it, and the destination ends. */
static void test_cut_early(unsigned int type, bool forward)
{
	struct move move;

	printf("# cut at %s, which %s\n", wire_name(type), forward ? "arrives" : "is lost");
	begin(&move, type, forward, false);
	ask_to_move("");
	until(in_phase("source", "failed"));
	ok(in_phase("source", "failed"), "the source gives up");
	ok(relay.cut, "since it was cut");
	goes_on(SOURCE);
	if (type == WIRE_HELLO) {
		/* Nothing has come yet: it waits for another. */
		ask_to_move("");
		ends(&move, SOURCE, EXIT_OK);
		goes_on(DESTINATION);
	} else {
		ends(&move, DESTINATION, EXIT_FAULT);
		is(shared->runs[DESTINATION], 0, "where nothing has run");
	}
	end(&move);
}

/* The destination has said that it is ready: it keeps the copy until somebody decides. */
static void test_cut_ready(void)
{
	struct move move;

	printf("# cut at ready, which is lost\n");
	begin(&move, WIRE_READY, false, false);
	ask_to_move("");
	until(in_phase("source", "failed"));
	goes_on(SOURCE);
	until(in_phase("destination", "in-doubt"));
	ok(in_phase("destination", "in-doubt"), "the destination does not know");
	ok(asks("destination", "{\"command\":\"resume\"}", "migrating"), "and cannot be resumed");
	is(shared->runs[DESTINATION], 0, "nothing runs there");
	ok(asks("destination", "{\"command\":\"migrate-resolve\",\"keep\":false}", "result"), "somebody decides");
	ends(&move, DESTINATION, EXIT_FAULT);
	goes_on(SOURCE);
	end(&move);
}

/* After it: the source asks until it knows. */
static void test_cut_late(unsigned int type, bool forward)
{
	struct move move;

	printf("# cut at %s, which %s\n", wire_name(type), forward ? "arrives" : "is lost");
	begin(&move, type, forward, false);
	ask_to_move("");
	ends(&move, SOURCE, EXIT_OK);
	ok(relay.cut, "it was cut");
	goes_on(DESTINATION);
	end(&move);
}

/* ... and if it cannot ask, it rests, until somebody decides. */
static void test_doubt(unsigned int type, bool forward, bool keep)
{
	struct move move;
	char request[80];

	printf("# cut for ever at %s, which %s\n", wire_name(type), forward ? "arrives" : "is lost");
	begin(&move, type, forward, true);
	ask_to_move("");
	until(in_phase("source", "in-doubt"));
	ok(in_phase("source", "in-doubt"), "the source does not know");
	ok(rests(SOURCE), "and does not run");
	ok(asks("source", "{\"command\":\"resume\"}", "migrating"), "nor can it be resumed");
	ok(asks("source", "{\"command\":\"reset\"}", "migrating"), "or reset");
	ok(asks("source", "{\"command\":\"migrate-cancel\"}", "too-late"), "or cancelled");
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"unix:/x\"}", "migrating"), "or sent elsewhere");
	if (type == WIRE_TAKEN)
		goes_on(DESTINATION);
	else
		is(shared->runs[DESTINATION], 0, "nor does the destination");
	snprintf(request, sizeof(request), "{\"command\":\"migrate-resolve\",\"keep\":%s}", keep ? "true" : "false");
	ok(asks("source", request, "result"), "somebody decides");
	if (keep) {
		goes_on(SOURCE);
		ok(asks("source", "{\"command\":\"migrate-resolve\",\"keep\":true}", "no-migration"), "once");
	} else {
		ends(&move, SOURCE, EXIT_OK);
	}
	end(&move);
}

/* The source is killed when the destination has everything. */
static void test_source_dies(void)
{
	struct move move;

	printf("# the source dies at the hand-over\n");
	begin(&move, WIRE_YOURS, false, true);
	ask_to_move("");
	until(in_phase("source", "in-doubt"));
	kill(move.pid[SOURCE], SIGKILL);
	ends(&move, SOURCE, 128 + SIGKILL);
	until(in_phase("destination", "in-doubt"));
	is(shared->runs[DESTINATION], 0, "the destination waits");
	ok(asks("destination", "{\"command\":\"migrate-resolve\",\"keep\":true}", "result"), "somebody decides");
	goes_on(DESTINATION);
	end(&move);
}

/* The destination is killed when it has been given the machine, and has not said so. */
static void test_destination_dies(void)
{
	struct move move;

	printf("# the destination dies at the hand-over\n");
	begin(&move, WIRE_READY, true, false);
	kill(move.pid[DESTINATION], SIGSTOP);
	ask_to_move("");
	kill(move.pid[DESTINATION], SIGCONT);
	until(relay.cut);
	kill(move.pid[DESTINATION], SIGKILL);
	ends(&move, DESTINATION, 128 + SIGKILL);
	until(in_phase("source", "in-doubt") || in_phase("source", "failed"));
	if (in_phase("source", "in-doubt"))
		ok(asks("source", "{\"command\":\"migrate-resolve\",\"keep\":true}", "result"), "in doubt: somebody decides");
	goes_on(SOURCE);
	is(shared->runs[DESTINATION], 0, "nothing has run there");
	end(&move);
}

static void test_cancel(void)
{
	struct move move;

	begin(&move, 0, true, false);
	ok(asks("source", "{\"command\":\"migrate-cancel\"}", "no-migration"), "nothing to cancel");
	ask_to_move(",\"bandwidth\":2000,\"mode\":\"stop\"");
	until(in_phase("source", "finishing"));
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"unix:/x\"}", "migrating"), "one at a time");
	ok(asks("source", "{\"command\":\"migrate-cancel\"}", "result"), "cancelled while it rests");
	until(in_phase("source", "cancelled"));
	goes_on(SOURCE);
	ends(&move, DESTINATION, EXIT_FAULT);
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"nowhere\"}", "bad-member"), "an address that is none");
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"stdio\"}", "bad-member"), "one that is for the other side");
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"unix:/x\",\"mode\":\"post\"}", "bad-member"), "an unknown mode");
	ok(asks("source", "{\"command\":\"migrate\",\"to\":\"unix:/x\",\"tls\":\"x\"}", "bad-member"), "no credentials");
	/* It ends in the middle of one. */
	unlink(at_destination + strlen("unix:"));
	move.pid[DESTINATION] = START(DESTINATION, "receive", "--name", "destination", at_destination);
	until(!access(at_destination + strlen("unix:"), F_OK));
	ask_to_move(",\"bandwidth\":2000");
	until(in_phase("source", "copying"));
	ok(asks("source", "{\"command\":\"stop\",\"hard\":true}", "result"), "the source is ended meanwhile");
	ends(&move, SOURCE, EXIT_OK);
	ends(&move, DESTINATION, EXIT_FAULT);
	is(shared->runs[DESTINATION], 0, "and the destination with it");
	end(&move);
}

/* ---- What a machine needs of a processor ---- */

static json_t *own_profile(struct vireo *vireo)
{
	struct vireo_cpuid_entry entries[VIREO_MAX_CPUID];
	unsigned int count = VIREO_MAX_CPUID, i;
	json_t *list = json_array();

	if (vireo_supported_cpuid(vireo, entries, &count))
		abort();
	for (i = 0; i < count; i++)
		json_array_append_new(list, json_pack("[I,I,I,I,I,I,I]", (json_int_t)entries[i].leaf,
						      (json_int_t)entries[i].subleaf, (json_int_t)entries[i].flags,
						      (json_int_t)entries[i].eax, (json_int_t)entries[i].ebx,
						      (json_int_t)entries[i].ecx, (json_int_t)entries[i].edx));
	return json_pack("{s:i,s:o,s:[i,i],s:I,s:[[I,I]]}", "cpus", 2, "cpuid", list, "msrs", 0x174, 0x175, "blocks",
			 (json_int_t)vireo_get_info(vireo)->blocks, "memory", (json_int_t)0, (json_int_t)(4 * MIB));
}

static void set_cpuid(json_t *profile, uint32_t leaf, size_t at, int64_t value, bool flip)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(profile, "cpuid"), i, entry)
		if (json_integer_value(json_array_get(entry, 0)) == leaf)
			json_array_set_new(entry, at, json_integer(flip ? json_integer_value(json_array_get(entry, at)) ^ value :
								   value));
}

static void test_profile(void)
{
	struct guest_memory memory;
	struct vireo *vireo;
	char why[PROFILE_WHY];
	json_t *profile;
	unsigned int i;

	fake_reset();
	if (vireo_open(NULL, &vireo) || memory_alloc(&memory, 4 * MIB))
		abort();
	for (i = 0; i < 12; i++) {
		int want = i < 2 ? 0 : i < 7 ? -EOPNOTSUPP : -EINVAL;

		profile = own_profile(vireo);
		switch (i) {
		case 1:		/* fewer features */
			set_cpuid(profile, 1, 5, 0, false);
			break;
		case 2:
			set_cpuid(profile, 0, 4, 1, true);
			break;
		case 3:		/* all features there are */
			set_cpuid(profile, 1, 5, 0xf7ffffff, false);
			break;
		case 4:
			json_array_append_new(json_object_get(profile, "msrs"), json_integer(0x9999));
			break;
		case 5:
			json_object_set_new(profile, "blocks", json_integer(1LL << 60));
			break;
		case 6:
			json_object_set_new(profile, "cpus", json_integer(VIREO_MAX_VCPUS + 1));
			break;
		case 7:
			json_object_set_new(profile, "cpus", json_string("2"));
			break;
		case 8:
			json_object_del(profile, "cpuid");
			break;
		case 9:
			set_cpuid(profile, 1, 5, -1, false);
			break;
		case 10:
			json_array_append_new(json_object_get(profile, "cpuid"), json_integer(1));
			break;
		case 11:
			json_object_del(profile, "msrs");
			break;
		}
		*why = '\0';
		is(profile_check(vireo, profile, why), want, "profile %u: %s", i, why);
		json_decref(profile);
	}
	profile = own_profile(vireo);
	is(profile_check_memory(profile, &memory, why), 0, "memory alike");
	json_array_append_new(json_object_get(profile, "memory"), json_pack("[I,I]", (json_int_t)(4 * GIB), (json_int_t)MIB));
	is(profile_check_memory(profile, &memory, why), -EINVAL, "more memory");
	json_object_set_new(profile, "memory", json_pack("[[I,I]]", (json_int_t)0, (json_int_t)(5 * MIB)));
	is(profile_check_memory(profile, &memory, why), -EINVAL, "another size");
	json_object_del(profile, "memory");
	is(profile_check_memory(profile, &memory, why), -EINVAL, "none");
	json_decref(profile);
	memory_free(&memory);
	vireo_close(vireo);
}

int main(void)
{
	static const unsigned int early[] = { WIRE_MACHINE, WIRE_ACCEPT, WIRE_PAGES, WIRE_ROUND, WIRE_SEEN, WIRE_STATE, WIRE_END };
	struct image image;
	unsigned int i;
	char name[80];
	FILE *file;

	if (!mkdtemp(dir))
		abort();
	setenv("VIREO_RUN_DIR", dir, 1);
	signal(SIGPIPE, SIG_IGN);
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

	test_profile();
	test_moves("");
	test_moves(",\"mode\":\"stop\"");
	test_paused();
	test_cut_early(WIRE_HELLO, false);
	for (i = 0; i < ARRAY_SIZE(early); i++)
		test_cut_early(early[i], early[i] != WIRE_END && i % 2);
	test_cut_ready();
	test_cut_late(WIRE_YOURS, false);
	test_cut_late(WIRE_YOURS, true);
	test_cut_late(WIRE_TAKEN, false);
	test_cut_late(WIRE_TAKEN, true);
	test_cut_late(WIRE_DONE, false);
	test_doubt(WIRE_YOURS, false, true);
	test_doubt(WIRE_TAKEN, false, false);
	test_source_dies();
	test_destination_dies();
	test_cancel();
	snprintf(name, sizeof(name), "rm -r %s", dir);
	return system(name) ? 1 : tap_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Overlays are qcow2 images, which qemu-img makes and a qemu-nbd serves, by the backend for NBD (nbd.c). Each has its own; it ends when
 * nobody is connected to it any more, so that none outlives the launcher.
 *
 * To change overlays, threads that are attached are called into a room (park()) where they leave the one server; when they are let out
 * they connect to the other. Nothing is in flight then, so they sleep in wait(), from which any of their eventfds wakes them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "block.h"
#include "branch.h"
#include "../util.h"

#define PATIENCE_MS	30000	/* with a server that begins, or ends */
#define STEP_NS		2000000L
#define OVERLAYS_MAX	100000U	/* in a directory, of one image */
#define EVENTS_MAX	256U	/* that a thread may have */
#define PATH_BYTES	4096

extern char **environ;

/**
 * struct server - a qemu-nbd
 * @pid: its process
 * @dir: has its socket, its messages, and a file that says when it listens
 */
struct server {
	pid_t pid;
	char dir[32];
};

/**
 * struct branch - a disk
 * @block: what others see
 * @nr: its number
 * @direct: past the host's page cache
 * @dir: where overlays are made, absolute
 * @stem: what their names begin with
 * @top: the overlay that is written to
 * @before: between branch_begin() and its end: what @top was
 * @server: of @top
 * @lock: protects the following
 * @changed: signalled when any of them changes
 * @inner: by which @top is reached; NULL: it cannot be
 * @moving: threads are to leave @inner
 * @io: those that are attached
 * @parked: how many have left
 */
struct branch {
	struct block block;
	unsigned int nr;
	bool direct;
	char *dir, *stem;
	struct branch_image *top, *before;
	struct server server;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct block *inner;
	bool moving;
	struct branch_io *io;
	unsigned int parked;
};

/**
 * struct branch_io - a thread's way in
 * @io: what others see
 * @next: of those attached
 * @inner: its way into the backend that is used; NULL: there is none
 * @nr_events: eventfds
 * @event: those
 */
struct branch_io {
	struct block_io io;
	struct branch_io *next;
	struct block_io *inner;
	unsigned int nr_events;
	int event[];
};

static struct branch *disks[BRANCH_DISKS];
static unsigned int nr_disks;

/* ---- Images ---- */

static struct branch_image *image_new(const char *path, struct branch_image *below)
{
	struct branch_image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	image->path = strdup(path);
	if (!image->path) {
		free(image);
		return NULL;
	}
	image->refs = 1;
	image->below = below;
	if (below)
		below->refs++;
	return image;
}

static void image_put(struct branch_image *image)
{
	struct branch_image *below;

	while (image && !--image->refs) {
		below = image->below;
		/* What has none below was there before. */
		if (below && !image->keep)
			unlink(image->path);
		free(image->path);
		free(image);
		image = below;
	}
}

static void image_keep(struct branch_image *image)
{
	for (; image; image = image->below)
		image->keep = true;
}

/* ---- Programs ---- */

static void first_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");

	*text = 0;
	if (!file)
		return;
	if (!fgets(text, (int)size, file))
		*text = 0;
	text[strcspn(text, "\n")] = 0;
	fclose(file);
}

static void in_dir(const struct server *server, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", server->dir, name);
}

static int make_dir(struct server *server)
{
	snprintf(server->dir, sizeof(server->dir), "/tmp/vireo-disk-XXXXXX");
	return mkdtemp(server->dir) ? 0 : -errno;
}

static void remove_dir(struct server *server)
{
	static const char *const names[] = { "log", "pid", "socket" };
	char path[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		in_dir(server, names[i], path, sizeof(path));
		unlink(path);
	}
	rmdir(server->dir);
}

/* What it has to say goes into the directory. */
static int spawn(const struct server *server, char *const argv[], pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	char log[64];
	int r;

	in_dir(server, "log", log, sizeof(log));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	/* Whoever interrupts the launcher in its terminal does not mean it: the guest may still write. */
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	r = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int said(const struct server *server, const char *program, int error, char *why)
{
	char log[64], text[BRANCH_WHY];

	in_dir(server, "log", log, sizeof(log));
	first_line(log, text, sizeof(text));
	if (*text)
		snprintf(why, BRANCH_WHY, "%.*s", BRANCH_WHY - 1, text);
	else
		snprintf(why, BRANCH_WHY, "%s: %s", program, strerror(-error));
	return error;
}

static int make_overlay(const struct branch *branch, const char *path, const char *base, const char *format, char *why)
{
	char size[32];
	char *argv[] = { "qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", (char *)format, "-b", (char *)base, (char *)path,
			 size, NULL };
	/* Its size is known but for the first one: then the base is looked at, which nobody has open. */
	bool first = !branch->block.bytes;
	struct server place;
	int status, r;
	pid_t pid;

	snprintf(size, sizeof(size), "%llu", (unsigned long long)branch->block.bytes);
	if (first) {
		argv[3] = "-q";
		argv[11] = NULL;
	}
	r = make_dir(&place);
	if (r) {
		snprintf(why, BRANCH_WHY, "/tmp: %s", strerror(-r));
		return r;
	}
	r = spawn(&place, argv, &pid);
	if (!r) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		r = WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
	}
	if (r)
		said(&place, argv[0], r, why);
	remove_dir(&place);
	return r;
}

/* A name that nobody has. */
static int new_overlay(struct branch *branch, struct branch_image *on, const char *format, struct branch_image **out, char *why)
{
	char path[PATH_BYTES];
	unsigned int i;
	int fd = -1, r;

	for (i = 1; fd < 0 && i < OVERLAYS_MAX; i++) {
		if (snprintf(path, sizeof(path), "%s/%s.%u.qcow2", branch->dir, branch->stem, i) >= (int)sizeof(path)) {
			errno = ENAMETOOLONG;
			break;
		}
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0) {
		r = -errno;
		snprintf(why, BRANCH_WHY, "%.80s: no overlay can be made: %s", branch->dir, strerror(-r));
		return r;
	}
	close(fd);
	r = make_overlay(branch, path, on->path, format, why);
	*out = r ? NULL : image_new(path, on);
	if (!r && !*out) {
		snprintf(why, BRANCH_WHY, "there is no memory");
		r = -ENOMEM;
	}
	if (r)
		unlink(path);
	return r;
}

/* True: it has ended */
static bool has_ended(struct server *server, bool wait)
{
	pid_t pid;

	do {
		pid = waitpid(server->pid, NULL, wait ? 0 : WNOHANG);
	} while (pid < 0 && errno == EINTR);
	return pid != 0;
}

static void nap(void)
{
	const struct timespec step = { 0, STEP_NS };

	nanosleep(&step, NULL);
}

/* It writes out what it has, and makes the image whole. */
static void stop_server(struct server *server)
{
	unsigned int i;

	if (!server->pid)
		return;
	kill(server->pid, SIGTERM);
	for (i = 0; i < PATIENCE_MS * 1000000LL / STEP_NS; i++) {
		if (has_ended(server, false))
			goto ended;
		nap();
	}
	kill(server->pid, SIGKILL);
	has_ended(server, true);
ended:
	server->pid = 0;
	remove_dir(server);
}

static int wait_server(struct server *server, char *why)
{
	char path[64], text[8];
	unsigned int i;

	in_dir(server, "pid", path, sizeof(path));
	for (i = 0; i < PATIENCE_MS * 1000000LL / STEP_NS; i++) {
		/* Written when it listens. */
		first_line(path, text, sizeof(text));
		if (*text)
			return 0;
		if (has_ended(server, false)) {
			server->pid = 0;
			return said(server, "qemu-nbd", -EIO, why);
		}
		nap();
	}
	snprintf(why, BRANCH_WHY, "qemu-nbd does not begin");
	return -ETIMEDOUT;
}

static int start_server(struct branch *branch, const char *path, struct block **inner, char *why)
{
	struct server *server = &branch->server;
	char socket[64], pid[64], uri[96];
	char *argv[] = { "qemu-nbd", "-e", "0", "-f", "qcow2", "--discard=unmap",
			 branch->direct ? "--cache=none" : "--cache=writeback", "-k", socket,
			 "--pid-file", pid, (char *)path, NULL };
	struct block_options options = { .path = uri };
	int r = make_dir(server);

	if (r) {
		snprintf(why, BRANCH_WHY, "/tmp: %s", strerror(-r));
		return r;
	}
	in_dir(server, "socket", socket, sizeof(socket));
	in_dir(server, "pid", pid, sizeof(pid));
	snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", socket);
	server->pid = 0;
	r = spawn(server, argv, &server->pid);
	if (r)
		snprintf(why, BRANCH_WHY, "qemu-nbd: %s", strerror(-r));
	if (!r)
		r = wait_server(server, why);
	if (!r) {
		r = block_nbd_open(&options, inner);
		if (r)
			snprintf(why, BRANCH_WHY, "qemu-nbd cannot be reached");
	}
	if (r && server->pid)
		stop_server(server);
	else if (r)
		remove_dir(server);
	return r;
}

/* ---- Threads ---- */

static struct branch *branch_of(struct branch_io *io)
{
	return container_of(io->io.block, struct branch, block);
}

static void join(struct branch *branch, struct branch_io *io)
{
	if (!branch->inner || block_attach(branch->inner, io->event, io->nr_events, &io->inner))
		io->inner = NULL;
}

/* Out of the one server, and into the other when it is there */
static void park(struct branch_io *io)
{
	struct branch *branch = branch_of(io);

	pthread_mutex_lock(&branch->lock);
	if (branch->moving) {
		if (io->inner)
			block_detach(io->inner);
		io->inner = NULL;
		branch->parked++;
		pthread_cond_broadcast(&branch->changed);
		while (branch->moving)
			pthread_cond_wait(&branch->changed, &branch->lock);
		join(branch, io);
		branch->parked--;
		pthread_cond_broadcast(&branch->changed);
	}
	pthread_mutex_unlock(&branch->lock);
}

static bool is_moving(struct branch_io *io)
{
	return __atomic_load_n(&branch_of(io)->moving, __ATOMIC_ACQUIRE);
}

static void sleep_without(const struct branch_io *io)
{
	struct pollfd fd[EVENTS_MAX];
	unsigned int i, nr = io->nr_events;
	uint64_t count;

	for (i = 0; i < nr; i++)
		fd[i] = (struct pollfd){ .fd = io->event[i], .events = POLLIN };
	if (poll(fd, nr, -1) <= 0)
		return;
	for (i = 0; i < nr; i++)
		if (fd[i].revents && read(fd[i].fd, &count, sizeof(count)) < 0)
			continue;
}

static void branch_wait(struct block_io *block_io)
{
	struct branch_io *io = container_of(block_io, struct branch_io, io);

	if (!is_moving(io)) {
		if (io->inner)
			block_wait(io->inner);
		else
			sleep_without(io);
	}
	if (is_moving(io))
		park(io);
}

static void branch_submit(struct block_io *block_io, struct block_request *request)
{
	struct branch_io *io = container_of(block_io, struct branch_io, io);

	if (io->inner)
		block_submit(io->inner, request);
	else
		request->done(request, -EIO);
}

static int branch_attach(struct block *block, const int *events, unsigned int nr_events, struct block_io **out)
{
	struct branch *branch = container_of(block, struct branch, block);
	struct branch_io *io;
	unsigned int i;

	if (nr_events > EVENTS_MAX)
		return -EINVAL;
	io = calloc(1, sizeof(*io) + nr_events * sizeof(io->event[0]));
	if (!io)
		return -ENOMEM;
	io->io.block = block;
	io->nr_events = nr_events;
	for (i = 0; i < nr_events; i++)
		io->event[i] = events[i];
	pthread_mutex_lock(&branch->lock);
	join(branch, io);
	if (io->inner) {
		io->next = branch->io;
		branch->io = io;
	}
	pthread_mutex_unlock(&branch->lock);
	if (!io->inner) {
		free(io);
		return -EIO;
	}
	*out = &io->io;
	return 0;
}

static void branch_detach(struct block_io *block_io)
{
	struct branch_io *io = container_of(block_io, struct branch_io, io), **link;
	struct branch *branch = branch_of(io);

	pthread_mutex_lock(&branch->lock);
	for (link = &branch->io; *link != io; link = &(*link)->next)
		;
	*link = io->next;
	pthread_mutex_unlock(&branch->lock);
	if (io->inner)
		block_detach(io->inner);
	free(io);
}

/* All threads have left; the main thread opens and closes what is inside. */
static void gather(struct branch *branch)
{
	struct branch_io *io;
	unsigned int nr = 0;

	pthread_mutex_lock(&branch->lock);
	__atomic_store_n(&branch->moving, true, __ATOMIC_RELEASE);
	for (io = branch->io; io; io = io->next, nr++)
		eventfd_write(io->event[0], 1);
	while (branch->parked < nr)
		pthread_cond_wait(&branch->changed, &branch->lock);
	pthread_mutex_unlock(&branch->lock);
}

static void release(struct branch *branch)
{
	pthread_mutex_lock(&branch->lock);
	__atomic_store_n(&branch->moving, false, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&branch->changed);
	while (branch->parked)
		pthread_cond_wait(&branch->changed, &branch->lock);
	pthread_mutex_unlock(&branch->lock);
}

/* ---- Changing overlays ---- */

static void leave(struct branch *branch)
{
	if (branch->inner)
		block_close(branch->inner);
	branch->inner = NULL;
	stop_server(&branch->server);
}

/* Without a server the guest gets errors: nobody can be asked any more. */
static void go_back(struct branch *branch)
{
	char why[BRANCH_WHY];

	if (start_server(branch, branch->top->path, &branch->inner, why))
		report_error("disk: %s: the guest gets errors: %s", branch->top->path, why);
}

static int move(struct branch *branch, struct branch_image *on, char *why)
{
	struct branch_image *top;
	int r = new_overlay(branch, on, "qcow2", &top, why);

	if (r)
		return r;
	gather(branch);
	leave(branch);
	r = start_server(branch, top->path, &branch->inner, why);
	if (r) {
		image_put(top);
		go_back(branch);
	} else {
		branch->before = branch->top;
		branch->top = top;
	}
	release(branch);
	return r;
}

static void unmove(struct branch *branch)
{
	struct branch_image *top = branch->top;

	if (!branch->before)
		return;
	gather(branch);
	leave(branch);
	branch->top = branch->before;
	branch->before = NULL;
	image_put(top);
	go_back(branch);
	release(branch);
}

/**
 * branch_begin() - all disks that branch begin a new overlay
 * @on: on what; NULL: on what they have
 * @why: BRANCH_WHY bytes for a sentence, if it fails
 *
 * Return: 0, or a negative errno: they have what they had.
 */
int branch_begin(const struct branch_set *on, char *why)
{
	unsigned int i;
	int r = 0;

	for (i = 0; i < nr_disks && !r; i++)
		r = move(disks[i], on ? on->image[i] : disks[i]->top, why);
	if (r)
		branch_revert();
	return r;
}

/**
 * branch_commit() - what was begun is how it is
 * @had: gets what they had, each with a reference for the caller; may be NULL
 * @keep: others know that, too: it stays when nobody here needs it any more
 */
void branch_commit(struct branch_set *had, bool keep)
{
	unsigned int i;

	for (i = 0; i < nr_disks; i++) {
		struct branch_image *before = disks[i]->before;

		disks[i]->before = NULL;
		if (keep)
			image_keep(before);
		if (had)
			had->image[i] = before;
		else
			image_put(before);
	}
}

/** branch_revert() - it is not: they have again what they had before branch_begin() */
void branch_revert(void)
{
	unsigned int i;

	for (i = 0; i < nr_disks; i++)
		unmove(disks[i]);
}

/**
 * branch_keep() - somebody else's process has begun on images
 * @set: those
 */
void branch_keep(struct branch_set *set)
{
	unsigned int i;

	for (i = 0; i < BRANCH_DISKS; i++)
		image_keep(set->image[i]);
}

/**
 * branch_put() - forget images
 * @set: those; files that nobody needs are removed
 */
void branch_put(struct branch_set *set)
{
	unsigned int i;

	for (i = 0; i < BRANCH_DISKS; i++) {
		image_put(set->image[i]);
		set->image[i] = NULL;
	}
}

/**
 * branch_nr() - how many disks branch
 *
 * Return: how many there are.
 */
unsigned int branch_nr(void)
{
	return nr_disks;
}

/**
 * branch_path() - what another machine has to begin on
 * @nr: number of the disk among those that branch
 *
 * Return: path of an image that is not written to any more, if branch_begin() was called, else of the one that is; or NULL.
 */
const char *branch_path(unsigned int nr)
{
	if (nr >= nr_disks)
		return NULL;
	return disks[nr]->before ? disks[nr]->before->path : disks[nr]->top->path;
}

/** branch_forget() - in a child: servers and overlays are another process's */
void branch_forget(void)
{
	nr_disks = 0;
}

/* ---- Life ---- */

/* The overlay stays: it has what was written. What only snapshots needed has gone with them. */
static void branch_close(struct block *block)
{
	struct branch *branch = container_of(block, struct branch, block);

	leave(branch);
	if (branch->nr < nr_disks && disks[branch->nr] == branch) {
		disks[branch->nr] = disks[--nr_disks];
		disks[branch->nr]->nr = branch->nr;
	}
	if (branch->top && block->bytes)
		report_note("disk: what was written is in %s", branch->top->path);
	if (branch->top) {
		image_keep(branch->top);
		image_put(branch->top);
	}
	pthread_cond_destroy(&branch->changed);
	pthread_mutex_destroy(&branch->lock);
	free(branch->stem);
	free(branch->dir);
	free(branch);
}

static const struct block_ops branch_ops = {
	.attach = branch_attach,
	.detach = branch_detach,
	.submit = branch_submit,
	.wait = branch_wait,
	.close = branch_close,
};

static int name_overlays(struct branch *branch, const struct block_options *options)
{
	const char *name = strrchr(options->path, '/');
	struct stat st;
	int r = stat(options->branch, &st) ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;

	if (r) {
		report_error("disk: branch: %s: %s", options->branch, strerror(-r));
		return r;
	}
	branch->dir = realpath(options->branch, NULL);
	branch->stem = strdup(name ? name + 1 : options->path);
	return branch->dir && branch->stem ? 0 : -ENOMEM;
}

static int first_overlay(struct branch *branch, const struct block_options *options)
{
	const char *format = options->format ? options->format : "raw";
	char *base = realpath(options->path, NULL);
	struct branch_image *below = base ? image_new(base, NULL) : NULL;
	char why[BRANCH_WHY] = "";
	int r;

	if (!below) {
		report_error("disk: %s: %s", options->path, strerror(errno));
		free(base);
		return -ENOENT;
	}
	r = new_overlay(branch, below, format, &branch->top, why);
	if (!r)
		r = start_server(branch, branch->top->path, &branch->inner, why);
	if (r) {
		report_error("disk: %s: %s", options->path, why);
		image_put(branch->top);
		branch->top = NULL;
	}
	image_put(below);
	free(base);
	return r;
}

/**
 * block_branch_open() - open an image that stays what it is, with an overlay for what is written
 * @options: branch is the directory for overlays
 * @out: the backend
 *
 * Return: 0, or a negative errno with a message.
 */
int block_branch_open(const struct block_options *options, struct block **out)
{
	struct branch *branch;
	int r;

	if (nr_disks == BRANCH_DISKS) {
		report_error("disk: %u can branch, and no more", BRANCH_DISKS);
		return -ENOSPC;
	}
	branch = calloc(1, sizeof(*branch));
	if (!branch)
		return -ENOMEM;
	branch->nr = nr_disks;
	branch->direct = options->cache == BLOCK_NONE;
	pthread_mutex_init(&branch->lock, NULL);
	pthread_cond_init(&branch->changed, NULL);
	r = name_overlays(branch, options);
	if (!r)
		r = first_overlay(branch, options);
	if (r) {
		branch->nr = BRANCH_DISKS;
		branch_close(&branch->block);
		return r;
	}
	branch->block = *branch->inner;
	branch->block.ops = &branch_ops;
	branch->block.branches = true;
	disks[nr_disks++] = branch;
	*out = &branch->block;
	return 0;
}

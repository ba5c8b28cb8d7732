// SPDX-License-Identifier: GPL-2.0-only
/*
 * The directory belongs to the user and to nobody else: whoever can write there could put a socket of
 * their own in place of a machine's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rundir.h"

#define CLAIM_TRIES	50	/* the lock's file may be removed between open() and flock() */
#define SWEEP_US	10000

/**
 * rundir_name_valid() - may a machine be called so?
 * @name: 1 to 31 letters, digits, ".", "_" and "-"; not first "." or "-"
 *
 * Return: true if so.
 */
bool rundir_name_valid(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return len && !name[len] && len <= RUNDIR_NAME_MAX && name[0] != '.' && name[0] != '-';
}

/**
 * rundir_path() - where this user's sockets are
 * @dir: to be filled
 * @room: bytes there
 * @why: what is wrong, for people
 *
 * $VIREO_RUN_DIR; or /run/vireo for root; or $XDG_RUNTIME_DIR/vireo.
 *
 * Return: 0; -ENOENT: there is no such place; -ENAMETOOLONG.
 */
int rundir_path(char *dir, size_t room, const char **why)
{
	const char *base = getenv("VIREO_RUN_DIR"), *more = "";
	int n;

	if (!base || !*base) {
		base = "/run";
		more = "/vireo";
		if (geteuid() != 0)
			base = getenv("XDG_RUNTIME_DIR");
	}
	if (!base || !*base) {
		*why = "XDG_RUNTIME_DIR is not set";
		return -ENOENT;
	}
	n = snprintf(dir, room, "%s%s", base, more);
	if (n < 0 || (size_t)n >= room) {
		*why = "the directory's path is too long for a socket";
		return -ENAMETOOLONG;
	}
	return 0;
}

/**
 * rundir_create() - make the directory, and see that nobody else has a say in it
 * @dir: rundir_path() of it
 * @why: what is wrong, for people
 *
 * Return: 0, or a negative errno.
 */
int rundir_create(const char *dir, const char **why)
{
	struct stat st;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		*why = strerror(errno);
		return -errno;
	}
	if (lstat(dir, &st) < 0) {
		*why = strerror(errno);
		return -errno;
	}
	if (!S_ISDIR(st.st_mode)) {
		*why = "it is not a directory";
		return -ENOTDIR;
	}
	if (st.st_uid != geteuid() || st.st_mode & 0022) {
		*why = "it does not belong to this user alone";
		return -EPERM;
	}
	return 0;
}

static int file_path(char *path, size_t room, const char *dir, const char *name, const char *suffix)
{
	int n = snprintf(path, room, "%s/%s.%s", dir, name, suffix);

	return n < 0 || (size_t)n >= room ? -ENAMETOOLONG : 0;
}

/**
 * rundir_address() - the socket of a machine
 * @dir: the directory
 * @name: the machine
 * @address: to be filled
 *
 * Return: 0, or -ENAMETOOLONG.
 */
int rundir_address(const char *dir, const char *name, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	return file_path(address->sun_path, sizeof(address->sun_path), dir, name, "sock");
}

/* Does the path still lead to the file that is open? Its last owner may have removed it before we had the lock. */
static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static long read_owner(int fd)
{
	char text[32] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atol(text) : 0;
}

static int write_owner(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) < 0)
		return -errno;
	return pwrite(fd, text, (size_t)n, 0) == n ? 0 : -EIO;
}

/**
 * rundir_claim() - own a name until this process ends
 * @dir: the directory
 * @name: the name, valid
 * @claim: to be filled
 * @owner: with -EEXIST, the process that has it; 0 if that is not known
 *
 * Return: 0; -EEXIST: a living launcher has this name; or another negative errno.
 */
int rundir_claim(const char *dir, const char *name, struct rundir_claim *claim, long *owner)
{
	char path[sizeof(claim->dir) + RUNDIR_NAME_MAX + 8];
	unsigned int tries;
	int fd, r;

	*owner = 0;
	claim->lock_fd = -1;
	r = file_path(path, sizeof(path), dir, name, "lock");
	if (r)
		return r;
	for (tries = 0; tries < CLAIM_TRIES; tries++) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			r = errno == EWOULDBLOCK ? -EEXIST : -errno;
			*owner = read_owner(fd);
			close(fd);
			/* Somebody sweeps up behind a dead launcher: in a moment the name is free. */
			if (r == -EEXIST && (!*owner || (kill((pid_t)*owner, 0) < 0 && errno == ESRCH))) {
				usleep(SWEEP_US);
				continue;
			}
			return r;
		}
		if (same_file(fd, path)) {
			r = write_owner(fd);
			if (r) {
				unlink(path);
				close(fd);
				return r;
			}
			snprintf(claim->dir, sizeof(claim->dir), "%s", dir);
			snprintf(claim->name, sizeof(claim->name), "%s", name);
			claim->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
	return -EBUSY;
}

static void sweep_one(const char *dir, const char *name)
{
	struct rundir_claim claim = { .lock_fd = -1 };
	char path[sizeof(claim.dir) + RUNDIR_NAME_MAX + 8];

	if (!rundir_name_valid(name) || file_path(path, sizeof(path), dir, name, "lock"))
		return;
	claim.lock_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (claim.lock_fd < 0)
		return;
	if (flock(claim.lock_fd, LOCK_EX | LOCK_NB) < 0 || !same_file(claim.lock_fd, path)) {
		close(claim.lock_fd);
		return;
	}
	snprintf(claim.dir, sizeof(claim.dir), "%s", dir);
	snprintf(claim.name, sizeof(claim.name), "%s", name);
	rundir_release(&claim);
}

/**
 * rundir_sweep() - remove what launchers have left that were killed
 * @dir: the directory
 */
void rundir_sweep(const char *dir)
{
	const struct dirent *entry;
	DIR *files = opendir(dir);

	if (!files)
		return;
	while ((entry = readdir(files))) {
		const char *dot = strrchr(entry->d_name, '.');
		char name[RUNDIR_NAME_MAX + 1];

		if (!dot || strcmp(dot, ".lock") || (size_t)(dot - entry->d_name) >= sizeof(name))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(dot - entry->d_name), entry->d_name);
		sweep_one(dir, name);
	}
	closedir(files);
}

/**
 * rundir_release() - give a name back, and remove its socket
 * @claim: what rundir_claim() has filled
 */
void rundir_release(struct rundir_claim *claim)
{
	char path[sizeof(claim->dir) + RUNDIR_NAME_MAX + 8];

	if (claim->lock_fd < 0)
		return;
	if (!file_path(path, sizeof(path), claim->dir, claim->name, "sock"))
		unlink(path);
	/* While it is locked: whoever waits for this name then finds the file gone and makes another. */
	if (!file_path(path, sizeof(path), claim->dir, claim->name, "lock"))
		unlink(path);
	close(claim->lock_fd);
	claim->lock_fd = -1;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the control sockets of running machines are, and who owns a name.
 *
 * A machine NAME has NAME.lock, locked (flock) as long as its launcher lives, and NAME.sock. The kernel
 * gives the lock back however the launcher ends, so a socket whose lock is free is stale.
 */
#ifndef VIREO_RUNDIR_H
#define VIREO_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#define RUNDIR_NAME_MAX 31	/* bytes of a name, as in struct vireo_vm_config */

/**
 * struct rundir_claim - a name that this process owns
 * @dir: the directory
 * @name: the name
 * @lock_fd: its lock; -1: nothing is claimed
 */
struct rundir_claim {
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char name[RUNDIR_NAME_MAX + 1];
	int lock_fd;
};

bool rundir_name_valid(const char *name);
int rundir_path(char *dir, size_t room, const char **why);
int rundir_create(const char *dir, const char **why);
int rundir_address(const char *dir, const char *name, struct sockaddr_un *address);
int rundir_claim(const char *dir, const char *name, struct rundir_claim *claim, long *owner);
void rundir_sweep(const char *dir);
void rundir_release(struct rundir_claim *claim);

#endif /* VIREO_RUNDIR_H */

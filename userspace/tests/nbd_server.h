/* SPDX-License-Identifier: GPL-2.0-only */
/* NBD servers from Debian, nbdkit and qemu-nbd, for tests. */
#ifndef VIREO_TESTS_NBD_SERVER_H
#define VIREO_TESTS_NBD_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

bool have_program(const char *name);
int run_program(char *const argv[]);
/* Start a server that listens at @socket; wait until it does. Its process, or -1 */
pid_t server_start(char *const argv[], const char *socket);
void server_stop(pid_t server);

#endif /* VIREO_TESTS_NBD_SERVER_H */

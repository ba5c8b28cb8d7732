/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system calls of libvireo, in one place.
 *
 * They are an object file of their own in libvireo.a: a program that defines
 * all of them itself (the unit tests' fake module) is linked without sys.o.
 */
#ifndef LIBVIREO_SYS_H
#define LIBVIREO_SYS_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

int vireo_sys_open(const char *path);
int vireo_sys_close(int fd);
int vireo_sys_ioctl(int fd, unsigned long request, void *arg);
void *vireo_sys_map(int fd, uint64_t offset, size_t bytes);
void vireo_sys_unmap(void *map, size_t bytes);

#pragma GCC visibility pop

#endif /* LIBVIREO_SYS_H */

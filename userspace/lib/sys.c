// SPDX-License-Identifier: LGPL-2.1-or-later
/* The real system calls; see sys.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys.h"

/**
 * vireo_sys_open() - open a device file for reading and writing
 * @path: its name
 *
 * Return: the file descriptor, or a negative errno.
 */
int vireo_sys_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/**
 * vireo_sys_close() - close a file descriptor
 * @fd: it
 *
 * Return: 0, or a negative errno.
 */
int vireo_sys_close(int fd)
{
	return close(fd) < 0 ? -errno : 0;
}

/**
 * vireo_sys_ioctl() - the one way to the module
 * @fd: device, VM or vCPU
 * @request: VIREO_*
 * @arg: its argument, or NULL
 *
 * Return: what the ioctl returns (0 or positive), or a negative errno.
 */
int vireo_sys_ioctl(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

/**
 * vireo_sys_map() - map pages that a vCPU shares with the kernel
 * @fd: the vCPU
 * @offset: 0: the page of VIREO_RUN; VIREO_RING_OFFSET(): a ring
 * @bytes: how many: vireo_info.run_size, or a ring's
 *
 * Return: its address, or MAP_FAILED with errno set.
 */
void *vireo_sys_map(int fd, uint64_t offset, size_t bytes)
{
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	/* A child that had it would keep the machine. */
	if (map != MAP_FAILED)
		madvise(map, bytes, MADV_DONTFORK);
	return map;
}

/**
 * vireo_sys_unmap() - undo vireo_sys_map()
 * @map: the address
 * @bytes: as given to vireo_sys_map()
 */
void vireo_sys_unmap(void *map, size_t bytes)
{
	munmap(map, bytes);
}

// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "open.h"
#include "../util.h"

/**
 * saved_open() - open and read a file by its name
 * @file: to be filled
 * @path: its name
 *
 * Return: 0, or the exit status; a message is out then, and there is nothing to close.
 */
int saved_open(struct saved_file *file, const char *path)
{
	char why[SAVED_WHY];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		report_error("%s: it cannot be opened: %s", path, strerror(errno));
		return EXIT_USAGE;
	}
	if (saved_read(file, fd, why)) {
		report_error("%s: %s", path, why);
		close(fd);
		return EXIT_USAGE;
	}
	return 0;
}

/**
 * saved_close() - done with a file
 * @file: from saved_open()
 */
void saved_close(struct saved_file *file)
{
	int fd = file->fd;

	saved_free(file);
	close(fd);
}

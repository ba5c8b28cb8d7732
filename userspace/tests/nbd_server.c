// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nbd_server.h"

bool have_program(const char *name)
{
	static const char *const places[] = { "/usr/bin", "/usr/sbin", "/bin" };
	char path[200];
	unsigned int i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", places[i], name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

static pid_t spawn(char *const argv[])
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(open("/dev/null", O_RDWR), 0);
	dup2(0, 1);
	execvp(argv[0], argv);
	_exit(127);
}

int run_program(char *const argv[])
{
	pid_t pid = spawn(argv);
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool answers(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int r;

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	r = connect(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	return !r;
}

pid_t server_start(char *const argv[], const char *socket)
{
	pid_t pid = spawn(argv);
	int status;

	while (pid > 0 && !answers(socket)) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return -1;
		usleep(10000);
	}
	return pid;
}

void server_stop(pid_t server)
{
	if (server <= 0)
		return;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

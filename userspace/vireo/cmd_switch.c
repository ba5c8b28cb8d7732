// SPDX-License-Identifier: GPL-2.0-only
/* vireo switch: a private network between VMs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "command.h"
#include "net/hub.h"
#include "util.h"

static const char help_text[] =
"Usage: vireo switch [OPTION]... SOCKET\n"
"Switch frames between the VMs that run with --net switch,path=SOCKET, until a signal ends it.\n"
"\n"
"  --mode OCTAL  who may connect, as of chmod (600: this user)\n"
"  --ports N     how many may (256)\n"
"  --help        this text\n";

static int parse_mode(const char *text, void *out)
{
	unsigned int *mode = out, value;

	if (strlen(text) <= 4 && strspn(text, "01234567") == strlen(text) &&
	    sscanf(text, "%o", &value) == 1 && value <= 0777) {
		*mode = value;
		return 0;
	}
	report_error("--mode: \"%s\" is not an octal mode up to 777", text);
	return -EINVAL;
}

static int parse_ports(const char *text, void *out)
{
	uint64_t *ports = out, value;

	if (!parse_number(text, HUB_PORTS_MAX, &value) && value >= 2) {
		*ports = value;
		return 0;
	}
	report_error("--ports: \"%s\" is not a number from 2 to %u", text, HUB_PORTS_MAX);
	return -EINVAL;
}

static int serve(const char *path, unsigned int mode, unsigned int ports)
{
	struct hub *hub;
	sigset_t set;
	int fd, r;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0) {
		report_error("no file descriptor for signals: %s", strerror(errno));
		return EXIT_FAULT;
	}
	r = hub_create(path, mode, ports, &hub);
	if (r == -EADDRINUSE)
		report_error("there is a switch at %s already", path);
	else if (r == -EEXIST)
		report_error("%s is there and is not a socket", path);
	else if (r)
		report_error("no switch at %s: %s", path, strerror(-r));
	if (r) {
		close(fd);
		return EXIT_FAULT;
	}
	r = hub_run(hub, fd);
	if (r)
		report_error("%s: %s", path, strerror(-r));
	hub_destroy(hub);
	close(fd);
	return r ? EXIT_FAULT : EXIT_OK;
}

static int cmd_switch(int argc, char **argv)
{
	unsigned int mode = 0600;
	uint64_t ports = 256;
	const struct command_option options[] = {
		{ "mode", parse_mode, &mode },
		{ "ports", parse_ports, &ports },
		{ NULL, NULL, NULL },
	};
	const struct command_syntax syntax = { help_text, options, "the path of one socket is needed", 1, 1 };
	int r = command_arguments(argc, argv, &syntax);

	return r < 0 ? serve(argv[optind], mode, (unsigned int)ports) : r;
}

VIREO_COMMAND("switch", "a private network between VMs", cmd_switch);

// SPDX-License-Identifier: GPL-2.0-only
/* vireo switch: a private network between VMs. */
#include <errno.h>
#include <getopt.h>
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

static const struct option options[] = {
	{ "mode", required_argument, NULL, 'm' },
	{ "ports", required_argument, NULL, 'p' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool parse_mode(const char *text, unsigned int *mode)
{
	unsigned int value = 0;

	if (!*text || strlen(text) > 4)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '7')
			return false;
		value = value << 3 | (unsigned int)(*text - '0');
	}
	*mode = value;
	return value <= 0777;
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
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'm':
			if (parse_mode(optarg, &mode))
				break;
			report_error("--mode: \"%s\" is not an octal mode up to 777", optarg);
			return EXIT_USAGE;
		case 'p':
			if (!parse_number(optarg, HUB_PORTS_MAX, &ports) && ports >= 2)
				break;
			report_error("--ports: \"%s\" is not a number from 2 to %u", optarg, HUB_PORTS_MAX);
			return EXIT_USAGE;
		case 'h':
			fputs(help_text, stdout);
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}
	if (argc - optind != 1) {
		report_error("switch: exactly one socket must be named");
		return EXIT_USAGE;
	}
	return serve(argv[optind], mode, (unsigned int)ports);
}

VIREO_COMMAND("switch", "a private network between VMs", cmd_switch);

// SPDX-License-Identifier: GPL-2.0-only
/* The VM that a command is about. If it is not to be seen, its control socket may know why. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "find.h"
#include "../client.h"
#include "../rundir.h"
#include "../util.h"

#define ANSWER_MS 2000

/* The launcher of the machine @name, or 0 */
static long launcher_of(const char *name)
{
	char dir[sizeof(((struct rundir_claim *)0)->dir)];
	struct client_link link;
	const char *why;
	json_t *reply;
	bool timed_out;
	long pid = 0;

	if (!rundir_name_valid(name) || rundir_path(dir, sizeof(dir), &why) || client_connect_in(&link, dir, name))
		return 0;
	if (!client_send(&link, "{\"command\":\"query\",\"what\":\"status\"}\n")) {
		reply = client_receive(&link, ANSWER_MS, &timed_out);
		pid = (long)json_integer_value(json_object_get(json_object_get(reply, "result"), "pid"));
		json_decref(reply);
	}
	client_disconnect(&link);
	return pid;
}

static bool same_namespace(long pid)
{
	char path[64], theirs[PATH_MAX] = "", ours[PATH_MAX] = "";

	snprintf(path, sizeof(path), "/proc/%ld/ns/net", pid);
	/* What cannot be looked at is not known to be another one. */
	return readlink(path, theirs, sizeof(theirs) - 1) < 0 || readlink("/proc/self/ns/net", ours, sizeof(ours) - 1) < 0 ||
	       !strcmp(theirs, ours);
}

/**
 * find_family() - the module's netlink family
 * @family: to be filled
 *
 * Return: 0, or an exit status, and a message is out.
 */
int find_family(struct family *family)
{
	if (!family_open(family))
		return 0;
	report_error("%s", family->why);
	return EXIT_FAULT;
}

/**
 * find_vm() - the VM that somebody has named
 * @family: to be filled
 * @word: its name or number
 * @number: its number
 *
 * Return: 0, or an exit status, and a message is out.
 */
int find_vm(struct family *family, const char *word, uint32_t *number)
{
	long pid;
	int r = find_family(family);

	if (r)
		return r;
	r = family_find(family, word, number);
	if (!r)
		return 0;
	pid = r == -ENOENT ? launcher_of(word) : 0;
	if (pid && !same_namespace(pid))
		report_error("machine \"%s\" runs in another network namespace, and is to be seen from there: "
			     "nsenter --net=/proc/%ld/ns/net", word, pid);
	else
		report_error("%s", family->why);
	return EXIT_FAULT;
}

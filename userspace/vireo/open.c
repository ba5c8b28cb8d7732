// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why there is no /dev/vireo, or no VM from it, in words that say what to do.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vireo.h"

#include "open.h"
#include "util.h"

static bool module_loaded(void)
{
	return access("/sys/module/vireo", F_OK) == 0;
}

static void explain_permission(const char *path)
{
	struct group *group;
	struct stat st;

	if (stat(path, &st) < 0) {
		report_error("no permission to reach %s", path);
		return;
	}
	group = getgrgid(st.st_gid);
	if (!(st.st_mode & 0060) || st.st_gid == 0)
		report_error("no permission to open %s: only root may; the udev rule of \"make install\" gives it to group \"vireo\"",
			     path);
	else if (group)
		report_error("no permission to open %s: become a member of group \"%s\" (\"adduser %s %s\") and log in again",
			     path, group->gr_name, getenv("USER") ? getenv("USER") : "you",
			     group->gr_name);
	else
		report_error("no permission to open %s: it belongs to group %u", path,
			     (unsigned int)st.st_gid);
}

/**
 * open_vireo() - open the hypervisor, or say why that is not possible
 * @out: the handle
 *
 * Return: 0, or the exit status to end with.
 */
int open_vireo(struct vireo **out)
{
	const char *path = getenv("VIREO_DEVICE");
	int r = vireo_open(NULL, out);

	if (!path || !*path)
		path = VIREO_DEVICE_PATH;
	switch (r) {
	case 0:
		return 0;
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		if (module_loaded())
			report_error("the module is loaded, but there is no %s: does udev run?",
				     path);
		else
			report_error("no %s: the module vireo is not loaded; \"modprobe vireo\" as root loads it, and the kernel's log (dmesg) says why if it cannot",
				     path);
		break;
	case -EACCES:
	case -EPERM:
		explain_permission(path);
		break;
	case -EPROTO:
		report_error("the module speaks another version of the ABI than this program (%d): install both from the same release, and load the module anew",
			     VIREO_ABI_VERSION);
		break;
	case -ENOTTY:
	case -EINVAL:
		report_error("%s is not a device of the module vireo", path);
		break;
	default:
		report_error("%s cannot be opened: %s", path, strerror(-r));
	}
	return EXIT_FAULT;
}

/**
 * explain_vm_create() - say why the module makes no VM
 * @error: the negative errno of vireo_vm_create()
 */
void explain_vm_create(int error)
{
	switch (error) {
	case -EBUSY:
		report_error("another hypervisor owns the processor (the kernel's log names it): end its guests or unload its module");
		break;
	case -EOPNOTSUPP:
		report_error("--hybrid: this processor cannot run single instructions as it needs");
		break;
	case -ENODEV:
		report_error("the processor's virtualisation is missing or switched off by the firmware (the kernel's log says which)");
		break;
	case -ENAMETOOLONG:
		report_error("the machine's name is too long (--name, at most 31 bytes)");
		break;
	case -EMFILE:
	case -ENFILE:
		report_error("too many open files for another VM (see ulimit -n)");
		break;
	default:
		report_error("the VM cannot be created: %s", strerror(-error));
	}
}

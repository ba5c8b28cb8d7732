// SPDX-License-Identifier: GPL-2.0-only
/*
 * A terminal left in raw mode is the worst thing a launcher can do to people.
 *
 * So it is undone at exit(), when a signal ends the process, when the process
 * crashes, and while it is stopped. The settings are global: a process has one
 * terminal, and a signal handler has no other way to find it. tcsetattr() may
 * be called from a signal handler.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "terminal.h"
#include "util.h"

static struct termios saved;
static struct termios raw;
static int terminal = -1;
static volatile sig_atomic_t is_raw;

static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };

static void on_crash(int sig)
{
	terminal_restore();
	/* SA_RESETHAND has put the default action back: this one is the end. */
	raise(sig);
}

/*
 * Only the terminal's foreground may change it. From the background the
 * attempt would stop the process with SIGTTOU.
 */
static bool in_foreground(void)
{
	return tcgetpgrp(terminal) == getpgrp();
}

/**
 * terminal_forget() - it is another process's: after a fork
 */
void terminal_forget(void)
{
	terminal = -1;
	is_raw = 0;
}

/**
 * terminal_raw() - switch a terminal to raw mode until the process ends
 * @fd: the terminal
 *
 * Output processing stays on, so that messages of the launcher itself look as
 * usual. In the background nothing is changed until terminal_again().
 *
 * Return: 0; -ENOTTY if @fd is no terminal; or another negative errno.
 */
int terminal_raw(int fd)
{
	struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_RESETHAND };
	size_t i;

	if (tcgetattr(fd, &saved) < 0)
		return -errno;
	terminal = fd;
	raw = saved;
	raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL |
				   IXON);
	raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
	raw.c_cflag |= CS8;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;

	sigemptyset(&action.sa_mask);
	for (i = 0; i < ARRAY_SIZE(crashes); i++)
		sigaction(crashes[i], &action, NULL);
	atexit(terminal_restore);
	terminal_again();
	return 0;
}

/**
 * terminal_restore() - back to the settings that were found
 *
 * May be called at any time, also from a signal handler.
 */
void terminal_restore(void)
{
	if (terminal < 0 || !is_raw)
		return;
	is_raw = 0;
	tcsetattr(terminal, TCSANOW, &saved);
}

/**
 * terminal_again() - raw mode again, after terminal_restore()
 *
 * Does nothing without a terminal, or in the background.
 */
void terminal_again(void)
{
	if (terminal < 0 || is_raw || !in_foreground())
		return;
	is_raw = 1;
	tcsetattr(terminal, TCSANOW, &raw);
}

/**
 * terminal_is_raw() - whether there is a terminal in raw mode
 *
 * Return: true if keys go to the guest.
 */
bool terminal_is_raw(void)
{
	return is_raw;
}

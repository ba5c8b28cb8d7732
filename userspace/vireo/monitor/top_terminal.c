// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals come in while ppoll() waits, and at no other time: none can interrupt ncurses half-way, and none is missed. Whatever ends
 * the loop, the terminal gets its settings back behind it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define NCURSES_NOMACROS
#include <ncurses.h>

#include "top_layout.h"
#include "top_terminal.h"
#include "../util.h"

#define ESCAPE_MS 25	/* a key's sequence does not take longer from one byte to the next */

static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static volatile sig_atomic_t ended;

static void on_end(int sig)
{
	ended = sig;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Return: as the model knows it, or 0 */
static int key_of(int c)
{
	switch (c) {
	case KEY_UP:
		return TOP_KEY_UP;
	case KEY_DOWN:
		return TOP_KEY_DOWN;
	case KEY_PPAGE:
		return TOP_KEY_PAGE_UP;
	case KEY_NPAGE:
		return TOP_KEY_PAGE_DOWN;
	case KEY_HOME:
		return TOP_KEY_HOME;
	case KEY_END:
		return TOP_KEY_END;
	case KEY_ENTER:
	case '\n':
	case '\r':
		return TOP_KEY_ENTER;
	case '\033':
		return TOP_KEY_ESCAPE;
	case KEY_BACKSPACE:
	case '\b':
	case 127:
		return TOP_KEY_BACKSPACE;
	}
	return c >= ' ' && c <= '~' ? c : 0;
}

/* The terminal may have another size than ncurses believes. */
static void follow_size(void)
{
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col &&
	    is_term_resized(size.ws_row, size.ws_col))
		resizeterm(size.ws_row, size.ws_col);
}

static int draw(struct top_model *model)
{
	static const attr_t attributes[] = {
		[SCREEN_PLAIN] = A_NORMAL,
		[SCREEN_BOLD] = A_BOLD,
		[SCREEN_REVERSE] = A_REVERSE,
	};
	struct screen screen;
	unsigned int row;

	follow_size();
	if (screen_make(&screen, (unsigned int)LINES, (unsigned int)COLS))
		return -ENOMEM;
	model->page = top_layout_page(model, screen.rows);
	top_layout(model, &screen);
	for (row = 0; row < screen.rows; row++) {
		attrset((int)attributes[screen.styles[row]]);
		mvaddnstr((int)row, 0, screen_line(&screen, row), (int)screen.cols);
	}
	screen_free(&screen);
	refresh();
	return 0;
}

/**
 * top_look() - have the model see what is there now
 * @model: the model
 * @source: where looks come from
 *
 * Return: 0, or a negative errno.
 */
int top_look(struct top_model *model, const struct top_source *source)
{
	struct monitor_stats stats = { 0 };
	struct monitor_vms vms = { 0 };
	int r;

	if (model->view == TOP_VM) {
		r = source->stats(source->context, model->chosen, &stats);
		if (r != -ENOENT)
			return r ? r : top_model_stats(model, &stats);
		top_model_gone(model);
	}
	r = source->vms(source->context, &vms);
	return r ? r : top_model_vms(model, &vms);
}

/* All keys that have come: the last word on what to do */
static enum top_action keys(struct top_model *model)
{
	enum top_action most = TOP_NOTHING, action;
	int c, key;

	while (most < TOP_QUIT && (c = getch()) != ERR) {
		key = key_of(c);
		if (c == KEY_RESIZE)
			action = TOP_DRAW;
		else
			action = key ? top_model_key(model, key) : TOP_NOTHING;
		if (action > most)
			most = action;
	}
	return most;
}

static int loop(struct top_model *model, const struct top_source *source, const sigset_t *mask)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	enum top_action action = TOP_LOOK;
	struct timespec timeout;
	int64_t next = 0, left;
	int r;

	for (;;) {
		if (action == TOP_LOOK || now_ms() >= next) {
			r = top_look(model, source);
			if (r)
				return r;
			next = now_ms() + (int64_t)model->interval;
		}
		r = draw(model);
		if (r)
			return r;
		left = next - now_ms();
		if (left < 0)
			left = 0;
		timeout = (struct timespec){ left / 1000, left % 1000 * 1000000 };
		r = ppoll(&p, 1, &timeout, mask);
		/* Nobody is there any more; ppoll() lets no signal in while there is something to be told of a file. */
		if (ended || (r > 0 && p.revents & (POLLHUP | POLLERR | POLLNVAL)))
			return 0;
		action = keys(model);
		if (action == TOP_QUIT)
			return 0;
	}
}

/**
 * top_terminal() - show it until somebody ends it
 * @model: what is shown
 * @source: where looks come from
 *
 * Return: 0; -ENOTTY: there is no terminal, or none that is known; or what the source has answered.
 */
int top_terminal(struct top_model *model, const struct top_source *source)
{
	struct sigaction action = { .sa_handler = on_end };
	sigset_t block, mask;
	SCREEN *screen;
	size_t i;
	int r;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return -ENOTTY;
	/* Of those that somebody else handles, ncurses keeps away. */
	sigemptyset(&block);
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		sigaction(ends[i], &action, NULL);
		sigaddset(&block, ends[i]);
	}
	sigaddset(&block, SIGWINCH);
	sigaddset(&block, SIGTSTP);
	sigprocmask(SIG_BLOCK, &block, &mask);
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		sigprocmask(SIG_SETMASK, &mask, NULL);
		return -ENOTTY;
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(ESCAPE_MS);
	curs_set(0);
	r = loop(model, source, &mask);
	endwin();
	delscreen(screen);
	/* Whoever has sent it wants to see that it was that. */
	if (ended) {
		signal(ended, SIG_DFL);
		raise(ended);
		sigprocmask(SIG_SETMASK, &mask, NULL);
	}
	return r;
}

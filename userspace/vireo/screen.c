// SPDX-License-Identifier: GPL-2.0-only
/*
 * The text screen: 80 by 25 pairs of character and attribute at 0xb8000, where
 * programs write without asking. There is no video card behind it, just memory, so
 * reading it is all there is to do. Characters are those of the PC's own set
 * (code page 437); none comes out as a control character, whatever the guest wrote.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "screen.h"

#define SCREEN_AT	0xb8000

static const uint16_t low[32] = {
	0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022,
	0x25d8, 0x25cb, 0x25d9, 0x2642, 0x2640, 0x266a, 0x266b, 0x263c,
	0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8,
	0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
};

/* 0x7f and what follows */
static const uint16_t high[129] = {
	0x2302,
	0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7,
	0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
	0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
	0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
	0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba,
	0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
	0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556,
	0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
	0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
	0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567,
	0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
	0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
	0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4,
	0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
	0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
	0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x0020,
};

static size_t put_utf8(char *at, uint16_t c)
{
	if (c < 0x80) {
		at[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		at[0] = (char)(0xc0 | c >> 6);
		at[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	at[0] = (char)(0xe0 | c >> 12);
	at[1] = (char)(0x80 | (c >> 6 & 0x3f));
	at[2] = (char)(0x80 | (c & 0x3f));
	return 3;
}

static size_t put_cell(char *at, uint8_t c)
{
	if (c < 0x20)
		return put_utf8(at, low[c]);
	if (c >= 0x7f)
		return put_utf8(at, high[c - 0x7f]);
	return put_utf8(at, c);
}

/**
 * screen_text() - what is on a guest's text screen
 * @memory: the guest's memory; it may be running
 * @text: room for SCREEN_TEXT_MAX bytes: lines in UTF-8, without the blanks at their ends
 *
 * Return: how many bytes.
 */
size_t screen_text(const struct guest_memory *memory, char *text)
{
	uint8_t cells[SCREEN_ROWS][SCREEN_COLUMNS][2] = { 0 };
	unsigned int row, column;
	size_t at = 0, end;

	/* The smallest guest has memory there; without it, the screen is blank. */
	memory_read(memory, SCREEN_AT, cells, sizeof(cells));
	for (row = 0; row < SCREEN_ROWS; row++) {
		end = at;
		for (column = 0; column < SCREEN_COLUMNS; column++) {
			at += put_cell(text + at, cells[row][column][0]);
			if (text[at - 1] != ' ')
				end = at;
		}
		at = end;
		text[at++] = '\n';
	}
	return at;
}

/**
 * screen_dump() - write a guest's text screen to a file
 * @memory: the guest's memory
 * @path: the file, which is made or emptied; with NULL for @memory, no more than that
 *
 * Return: 0, or a negative errno.
 */
int screen_dump(const struct guest_memory *memory, const char *path)
{
	char text[SCREEN_TEXT_MAX];
	size_t len = memory ? screen_text(memory, text) : 0, done = 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666), r = 0;

	if (fd < 0)
		return -errno;
	while (done < len && !r) {
		ssize_t n = write(fd, text + done, len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			r = -errno;
	}
	if (close(fd) && !r)
		r = -errno;
	return r;
}

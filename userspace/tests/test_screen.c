// SPDX-License-Identifier: GPL-2.0-only
/* The text screen: what guests leave in memory, as text that no terminal minds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "../vireo/screen.h"
#include "../vireo/util.h"

static char text[SCREEN_TEXT_MAX + 1];

static void put(struct guest_memory *memory, unsigned int row, unsigned int column,
		const char *string)
{
	uint8_t *cell = memory_ptr(memory, 0xb8000 + (row * 80 + column) * 2, 2 * strlen(string));

	for (; *string; string++, cell += 2) {
		cell[0] = (uint8_t)*string;
		cell[1] = 0x1b;
	}
}

static const char *show(const struct guest_memory *memory)
{
	memset(text, 0, sizeof(text));
	text[screen_text(memory, text)] = '\0';
	return text;
}

/* @n lines without anything */
static const char *blank(unsigned int n)
{
	static char lines[SCREEN_ROWS + 1];

	memset(lines, '\n', n);
	lines[n] = '\0';
	return lines;
}

static void test_text(struct guest_memory *memory)
{
	uint8_t *screen = memory_ptr(memory, 0xb8000, 4000);
	unsigned int i, controls = 0;
	size_t len;

	ok(!strcmp(show(memory), blank(25)), "memory of zeros is a blank screen");
	put(memory, 0, 2, "two  words   ");
	put(memory, 24, 79, "!");
	show(memory);
	ok(!strncmp(text, "  two  words\n", 13) && !strncmp(text + 13, blank(23), 23),
	   "blanks at the end of a line are left out, others are not");
	len = strlen(text);
	ok(len == 12 + 24 + 80 + 1 && !strcmp(text + len - 3, " !\n"), "the last place of the screen");

	/* Behind the screen, and the attribute of its last place. */
	memset(screen + 4000, 'x', 96);
	ok(!strchr(show(memory), 'x'), "no more than the screen");

	memset(screen, 0, 4000);
	put(memory, 1, 0, "\xb3\xc4\x01\x0a\x1b[2J\x7f\xff\xf6");
	ok(!strcmp(show(memory) + 1, "│─☺◙←[2J⌂ ÷\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"),
	   "frames, and control characters as the PC shows them");

	/* Every character at every place, most of three bytes. */
	for (i = 0; i < 4000; i++)
		screen[i] = (uint8_t)(i / 2);
	len = screen_text(memory, text);
	for (i = 0; i < len; i++)
		controls += (text[i] >= 0 && text[i] < ' ' && text[i] != '\n') || text[i] == 0x7f;
	is(controls, 0, "nothing that a terminal would obey");
	memset(screen, 0xdb, 4000);
	is(screen_text(memory, text), SCREEN_TEXT_MAX, "the longest text fits");
}

static void test_file(struct guest_memory *memory)
{
	char path[] = "/tmp/vireo-screen-XXXXXX", line[16] = "";
	int fd = mkstemp(path);
	FILE *file;

	memset(memory_ptr(memory, 0xb8000, 4000), 0, 4000);
	put(memory, 0, 0, "first");
	ok(fd >= 0 && write(fd, line, sizeof(line)) == sizeof(line), "a file with something in it");
	close(fd);
	is(screen_dump(memory, path), 0, "written");
	file = fopen(path, "r");
	ok(file && fgets(line, sizeof(line), file) && !strcmp(line, "first\n"), "and read");
	if (file) {
		fseek(file, 0, SEEK_END);
		is((unsigned long)ftell(file), 5 + 25, "what was there is gone");
		fclose(file);
	}
	is(screen_dump(NULL, path), 0, "emptied");
	unlink(path);
	is(screen_dump(memory, "/nonexistent/x"), -ENOENT, "no such place");
	is(screen_dump(memory, "/dev/full"), -ENOSPC, "no room");
}

int main(void)
{
	struct guest_memory memory;

	if (memory_alloc(&memory, 2 * MIB))
		return 1;
	test_text(&memory);
	test_file(&memory);
	memory_free(&memory);
	return tap_done();
}

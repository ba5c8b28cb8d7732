// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory: who follows it is told of all that the launcher writes; what was never touched is known. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "follow.h"
#include "tap.h"
#include "../vireo/util.h"

#define PAGE 4096

static struct guest_memory memory;
static unsigned int nr_calls;
static uint64_t first, bytes;

static void count(void *opaque, uint64_t gpa, uint64_t len)
{
	(void)opaque;
	nr_calls++;
	first = gpa;
	bytes = len;
}

static void test_functions(void)
{
	unsigned int told;
	char byte = 1;

	memset(memory_ptr(&memory, 0, 16 * PAGE), 3, 16 * PAGE);
	follow_begin(&memory);
	memory_write(&memory, PAGE - 1, "ab", 2);
	memory_zero(&memory, 4 * PAGE, 10);
	memory_discard(&memory, memory_ptr(&memory, 8 * PAGE, 2 * PAGE), 2 * PAGE);
	memory_write(&memory, 0, NULL, 0);
	memory_read(&memory, 12 * PAGE, &byte, 1);
	memory_write(&memory, memory.total, "x", 1);
	is(follow_end(&memory, &told), 0, "nothing is missed");
	is(told, 2 + 1 + 2, "and nothing else is told of");

	follow_begin(&memory);
	memory_clear(&memory);
	is(follow_end(&memory, &told), 0, "all of it is cleared");
	is(told, memory.total / PAGE, "all is told of");

	memory.written = count;
	memory_write(&memory, 0, "x", 1);
	is(nr_calls, 0, "when nobody follows, nobody is told");
	is(memory_follow(&memory) || memory_follow(&memory), 0, "two follow");
	memory_unfollow(&memory);
	memory_write(&memory, 5, "x", 1);
	is(nr_calls, 1, "one of them still does");
	ok(first == 5 && bytes == 1, "it is told what was written");
	memory_unfollow(&memory);
	memory_write(&memory, 0, "x", 1);
	is(nr_calls, 1, "none is left");
}

static void test_untouched(void)
{
	struct guest_memory fresh = { 0 };
	int pagemap = memory_pagemap();
	uint8_t *hva;

	ok(pagemap >= 0 && !memory_alloc(&fresh, 4 * MIB), "fresh memory");
	hva = memory_ptr(&fresh, 0, 4 * MIB);
	ok(!madvise(hva, 4 * MIB, MADV_NOHUGEPAGE) && memory_untouched(pagemap, hva, 4 * MIB), "nobody has touched it");
	hva[MIB] = 1;
	ok(!memory_untouched(pagemap, hva, 4 * MIB) && !memory_untouched(pagemap, hva + MIB, PAGE), "a page is touched");
	ok(memory_untouched(pagemap, hva, MIB) && memory_untouched(pagemap, hva + MIB + PAGE, 3 * MIB - PAGE),
	   "its neighbours are not");
	ok(!memory_untouched(-1, hva, PAGE), "nothing is said where nothing is known");
	close(pagemap);
	memory_free(&fresh);
}

static void test_segments(void)
{
	uint8_t *base = memory_ptr(&memory, 0, memory.total);
	struct iovec iov[] = {
		{ base + 10, 100 }, { base + 200, PAGE }, { base + 3 * PAGE, 1 }, { &iov, 8 },
		{ base + memory.total - 4, 4 }, { base + PAGE, 4 },
	};

	memory.written = count;
	nr_calls = 0;
	memory_follow(&memory);
	memory_tell_segments(&memory, iov, 2, 0);
	ok(nr_calls == 1 && first == 0 && bytes == 2 * PAGE, "segments on the same pages are one");
	nr_calls = 0;
	memory_tell_segments(&memory, iov, ARRAY_SIZE(iov), 0);
	is(nr_calls, 4, "others are not, and what is no guest memory is left out");
	memory_tell_segments(&memory, iov + 4, 1, PAGE);
	ok(first == memory.total - 2 * PAGE && bytes == 2 * PAGE, "what is beside: up to the end of memory");
	memory_tell_segments(&memory, iov, 1, PAGE);
	ok(first == 0 && bytes == 2 * PAGE, "and from its start");
	memory_tell(&memory, &nr_calls, 4);
	ok(first == 0, "an address elsewhere is not told of");
	is(memory_gpa(&memory, base + 77), 77, "an address");
	is(memory_gpa(&memory, &nr_calls), UINT64_MAX, "one that is none");
	memory_unfollow(&memory);
}

int main(void)
{
	if (memory_alloc(&memory, 4 * MIB))
		abort();
	test_functions();
	test_segments();
	test_untouched();
	memory_free(&memory);
	return tap_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * State of all devices of the board: what is saved in one launcher goes on in another.
 *
 * Two boards: the first is driven at random, its state is loaded into the second, and from then on both
 * are driven alike and have to do the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "tap.h"
#include "../vireo/state.h"
#include "../vireo/util.h"
#include "../vireo/dev/acpi_pm.h"
#include "../vireo/dev/chipset.h"
#include "../vireo/dev/fw_cfg.h"
#include "../vireo/dev/i8042.h"
#include "../vireo/dev/ioapic.h"
#include "../vireo/dev/pic.h"
#include "../vireo/dev/pit.h"
#include "../vireo/dev/rtc.h"
#include "../vireo/dev/testdev.h"
#include "../vireo/dev/uart.h"

#define ROUNDS 40
#define STEPS 300

static struct rig *current;
static uint64_t seed;

static uint64_t any(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static uint64_t wall(void)
{
	return 1700000000 * NSEC_PER_SEC + current->now;
}

/* A line that is slow: it takes every second byte. */
static size_t line_send(void *opaque, const uint8_t *bytes, size_t n)
{
	struct rig *rig = opaque;

	(void)bytes;
	(void)n;
	return rig->now >> 10 & 1;
}

static size_t line_receive(void *opaque, uint8_t *bytes, size_t n)
{
	struct rig *rig = opaque;

	if (!n || !(rig->now >> 12 & 1))
		return 0;
	bytes[0] = (uint8_t)rig->now;
	return 1;
}

static void build(struct rig *rig)
{
	struct uart_line line = { line_send, line_receive, rig };
	struct fw_cfg *fw_cfg;
	int r;

	rig_init(rig, 4 * MIB);
	current = rig;
	r = pic_create(&rig->board, NULL) || ioapic_create(&rig->board, 0, NULL) || pit_create(&rig->board) ||
	    rtc_create(&rig->board, wall) || acpi_pm_create(&rig->board, NULL) || i8042_create(&rig->board) ||
	    chipset_create(&rig->board) || uart_create(&rig->board, 0x3f8, 4, &line, NULL) ||
	    uart_create(&rig->board, 0x2f8, 3, &line, NULL) || fw_cfg_create(&rig->board, 2, &fw_cfg) ||
	    testdev_create(&rig->board);
	if (r)
		abort();
}

/* What the guest does next: one access, or time passes. */
struct step {
	unsigned int what;
	uint16_t port;
	uint64_t gpa;
	uint64_t value;
};

static struct step next_step(void)
{
	static const uint16_t ports[] = {
		0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x43, 0x61, 0x70, 0x70, 0x71, 0x71,
		0x600, 0x602, 0x604, 0x608, 0x60, 0x64, 0x92, 0xcf9, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd,
		0x3fe, 0x3ff, 0x2f8, 0x2f9, 0x2fa, 0x2fc, 0x510, 0x511, 0x2010,
	};
	struct step step = { .what = (unsigned int)any(8), .port = ports[any(ARRAY_SIZE(ports))] };

	step.value = any(4) ? any(256) : any(1 << 16);
	if (step.port == 0x70)
		step.value = any(16);
	step.gpa = IOAPIC_BASE + (any(2) ? 0x10 : 0);
	return step;
}

static uint64_t do_step(struct rig *rig, const struct step *step)
{
	current = rig;
	switch (step->what) {
	case 0:
		rig_advance(rig, step->value * 100000);
		return rig->now;
	case 1:
		bus_write(&rig->board.mmio, step->gpa, 4, step->value);
		return 0;
	case 2:
		return bus_read(&rig->board.mmio, step->gpa, 4);
	case 3:
	case 4:
		return bus_read(&rig->board.pio, step->port, 1);
	default:
		bus_write(&rig->board.pio, step->port, step->port == 0x510 ? 2 : 1, step->value);
		return 0;
	}
}

static bool same_state(struct rig *a, struct rig *b)
{
	struct state_buffer x = { 0 }, y = { 0 };
	bool same;

	board_save(&a->board, &x);
	board_save(&b->board, &y);
	same = !x.error && !y.error && x.len == y.len && !memcmp(x.data, y.data, x.len);
	state_buffer_free(&x);
	state_buffer_free(&y);
	return same;
}

static bool copy_state(struct rig *from, struct rig *to)
{
	struct state_buffer blocks = { 0 };
	int r;

	board_save(&from->board, &blocks);
	current = to;
	r = blocks.error ? blocks.error : board_load(&to->board, blocks.data, blocks.len);
	state_buffer_free(&blocks);
	return !r;
}

/* Both do the same from here on. */
static bool goes_on(struct rig *a, struct rig *b)
{
	unsigned int i, msis = a->nr_msis - b->nr_msis;

	for (i = 0; i < STEPS; i++) {
		struct step step = next_step();
		uint64_t x = do_step(a, &step), y = do_step(b, &step);

		if (x != y || a->extint != b->extint || a->nr_msis - b->nr_msis != msis) {
			printf("# step %u (%u, port %#x): %#llx and %#llx\n", i, step.what, step.port,
			       (unsigned long long)x, (unsigned long long)y);
			return false;
		}
	}
	return same_state(a, b);
}

static void test_copies(void)
{
	bool loaded = true, same = true, on = true;
	struct rig a, b;
	unsigned int i, n;

	for (n = 0; n < ROUNDS; n++) {
		seed = 88172645463325252ULL + n;
		build(&a);
		build(&b);
		for (i = 0; i < STEPS; i++) {
			struct step step = next_step();

			do_step(&a, &step);
		}
		b.now = a.now;
		loaded &= copy_state(&a, &b);
		same &= same_state(&a, &b);
		on &= goes_on(&a, &b);
		rig_destroy(&a);
		rig_destroy(&b);
	}
	ok(loaded, "what was saved can be loaded");
	ok(same, "saved again, it is the same");
	ok(on, "both boards go on alike");
}

static uint32_t pm_timer(struct rig *rig)
{
	return rig_in(rig, 0x608) | (uint32_t)rig_in(rig, 0x609) << 8 | (uint32_t)rig_in(rig, 0x60a) << 16;
}

/* The clock of the second launcher has just begun. */
static void test_clocks(void)
{
	struct rig a, b;
	uint64_t left, count;

	seed = 1;
	build(&a);
	build(&b);
	rig_advance(&a, 3600 * NSEC_PER_SEC);
	b.now = 5;
	current = &a;
	rig_out(&a, 0x43, 0x34);
	rig_out(&a, 0x40, 0x00);
	rig_out(&a, 0x40, 0x10);
	rig_advance(&a, 1000000);
	ok(copy_state(&a, &b), "loaded where the clock is younger than the state");
	is(pm_timer(&a), pm_timer(&b), "the ACPI timer is the same");
	rig_out(&a, 0x43, 0);
	rig_out(&b, 0x43, 0);
	left = rig_in(&a, 0x40);
	left |= (uint64_t)rig_in(&a, 0x40) << 8;
	count = rig_in(&b, 0x40);
	count |= (uint64_t)rig_in(&b, 0x40) << 8;
	is(count, left, "the 8254's count is the same");
	is(b.board.timers.head != NULL, true, "its timer is armed");
	rig_out(&b, 0x20, 0x11);
	rig_out(&b, 0x21, 0x20);
	rig_out(&b, 0x21, 0x04);
	rig_out(&b, 0x21, 0x01);
	rig_out(&b, 0x21, 0xfe);
	is(b.extint, false, "no interrupt yet");
	rig_advance(&b, 5000000);
	is(b.extint, true, "and comes");
	rig_destroy(&a);
	rig_destroy(&b);
}

static void test_malformed(void)
{
	struct state_buffer good = { 0 }, before = { 0 }, after;
	unsigned int i, refused = 0, changed = 0;
	struct rig a, b;
	uint8_t *bad;

	seed = 77;
	build(&a);
	build(&b);
	for (i = 0; i < STEPS; i++) {
		struct step step = next_step();

		do_step(&a, &step);
	}
	current = &b;
	board_save(&a.board, &good);
	board_save(&b.board, &before);
	bad = malloc(good.len + 64);
	if (!bad)
		abort();
	for (i = 0; i < 4000; i++) {
		size_t len = any(8) ? good.len : any(good.len);
		unsigned int n = 1 + (unsigned int)any(3);

		memcpy(bad, good.data, good.len);
		while (n--)
			bad[any(good.len)] ^= (uint8_t)(1 + any(255));
		if (!board_load(&b.board, bad, len)) {
			/* Possible values; what it leads to must not crash. */
			rig_advance(&b, any(NSEC_PER_SEC));
			if (board_load(&b.board, before.data, before.len))
				abort();
			continue;
		}
		refused++;
		memset(&after, 0, sizeof(after));
		board_save(&b.board, &after);
		/* Time has passed: only lengths are the same for certain then. */
		changed += after.len != before.len;
		state_buffer_free(&after);
	}
	ok(refused > 100, "malformed blocks are refused (%u of 4000)", refused);
	is(changed, 0, "and nothing is added or lost");
	if (board_load(&b.board, before.data, before.len))
		abort();
	state_buffer_free(&before);
	board_save(&b.board, &before);
	is(board_load(&b.board, good.data, good.len - 1), (uint64_t)-EINVAL, "cut off");
	memcpy(bad, good.data, good.len);
	memcpy(bad + good.len, good.data, 48);
	is(board_load(&b.board, bad, good.len + 48), (uint64_t)-EINVAL, "a header too many");
	is(board_load(&b.board, good.data, 0), (uint64_t)-ENOENT, "nothing");
	memset(&after, 0, sizeof(after));
	board_save(&b.board, &after);
	ok(after.len == before.len && !memcmp(after.data, before.data, after.len), "and nothing has changed");
	state_buffer_free(&after);
	free(bad);
	state_buffer_free(&good);
	state_buffer_free(&before);
	rig_destroy(&a);
	rig_destroy(&b);
}

int main(void)
{
	test_copies();
	test_clocks();
	test_malformed();
	return tap_done();
}

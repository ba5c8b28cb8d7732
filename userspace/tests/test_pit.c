// SPDX-License-Identifier: GPL-2.0-only
/* 8254: modes, latches, read-back, BCD, gate of channel 2, interrupts of channel 0. */
#include "rig.h"
#include "tap.h"
#include "../vireo/dev/pit.h"
#include "../vireo/util.h"

#define TICK_NS (1000000000ULL / PIT_HZ)

static struct rig rig;

static void setup(void)
{
	rig_init(&rig, 0);
	rig_lines(&rig);
	pit_create(&rig.board);
}

static uint64_t ticks(uint64_t n)
{
	return n * 1000000000ULL / PIT_HZ + 1;
}

static void load(unsigned int channel, uint8_t mode, uint16_t count)
{
	rig_out(&rig, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	rig_out(&rig, (uint16_t)(0x40 + channel), (uint8_t)count);
	rig_out(&rig, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t latched(unsigned int channel)
{
	uint8_t low;

	rig_out(&rig, 0x43, (uint8_t)(channel << 6));
	low = rig_in(&rig, (uint16_t)(0x40 + channel));
	return (uint16_t)(low | rig_in(&rig, (uint16_t)(0x40 + channel)) << 8);
}

static uint8_t status(unsigned int channel)
{
	rig_out(&rig, 0x43, (uint8_t)(0xe0 | 2U << channel));
	return rig_in(&rig, (uint16_t)(0x40 + channel));
}

static void test_mode0(void)
{
	setup();
	load(0, 0, 1000);
	ok(!rig.line[0], "mode 0: output is low");
	is(status(0) & 0x80, 0, "status says so");
	rig_advance(&rig, ticks(400));
	is(latched(0), 600, "it counts down");
	rig_advance(&rig, ticks(601));
	ok(rig.line[0], "at the end of the count the output rises");
	is(rig.rises[0], 1, "once");
	is(status(0) & 0x80, 0x80, "status says so");
	rig_advance(&rig, ticks(100000));
	is(rig.rises[0], 1, "and stays");
	load(0, 0, 10);
	ok(!rig.line[0], "a new count lowers it");
	rig_out(&rig, 0x43, 0x30);
	rig_out(&rig, 0x40, 5);
	rig_advance(&rig, ticks(100));
	ok(!rig.line[0], "half a count does not count");
	is(status(0) & 0x40, 0x40, "null count");
	rig_out(&rig, 0x40, 0);
	is(status(0) & 0x40, 0, "the second half loads it");
	rig_destroy(&rig);
}

static void test_mode2(void)
{
	setup();
	load(0, 2, 11932);
	is(rig.rises[0], 0, "mode 2: programming is no edge");
	rig_advance(&rig, 1000000000);
	ok(rig.rises[0] == 99 || rig.rises[0] == 100, "100 interrupts a second (%u)",
	   rig.rises[0]);
	is(status(0) & 0x3f, 0x34, "status: two bytes, mode 2, binary");
	rig.now += 1000000000;
	timers_run(&rig.board.timers);
	ok(rig.rises[0] <= 101, "what the host missed is one edge");
	rig_out(&rig, 0x43, 0x30);
	rig.rises[0] = 0;
	rig_advance(&rig, 1000000000);
	is(rig.rises[0], 0, "a new control word stops it");
	rig_destroy(&rig);
}

static void test_mode2_count(void)
{
	setup();
	load(2, 2, 100);
	is(latched(2), 100, "gate low: the count stands");
	rig_out(&rig, 0x61, 1);
	rig_advance(&rig, ticks(30));
	is(latched(2), 70, "gate high: it counts");
	rig_advance(&rig, ticks(69));
	is(status(2) & 0x80, 0, "low for the last tick");
	rig_advance(&rig, ticks(1));
	is(status(2) & 0x80, 0x80, "high again");
	rig_out(&rig, 0x61, 0);
	rig_advance(&rig, ticks(5));
	rig_out(&rig, 0x61, 1);
	is(latched(2), 100, "the gate's edge reloads");
	rig_destroy(&rig);
}

static void test_mode3(void)
{
	setup();
	rig_out(&rig, 0x61, 1);
	load(2, 3, 100);
	is(rig_in(&rig, 0x61) & 0x20, 0x20, "mode 3: first half high");
	rig_advance(&rig, ticks(10));
	is(latched(2), 80, "counts by two");
	rig_advance(&rig, ticks(45));
	is(rig_in(&rig, 0x61) & 0x20, 0, "second half low");
	is(latched(2) & 1, 0, "even counts only");
	load(0, 7, 0);
	is(status(0) & 0x0e, 0x06, "mode 7 is mode 3");
	rig_advance(&rig, 1000000000);
	ok(rig.rises[0] == 18, "count 0 is 65536: 18.2 interrupts a second (%u)", rig.rises[0]);
	rig_destroy(&rig);
}

static void test_one_shots(void)
{
	setup();
	load(0, 4, 500);
	rig_advance(&rig, ticks(499));
	is(rig.rises[0], 0, "mode 4: nothing before the end");
	rig_advance(&rig, ticks(3));
	is(rig.rises[0], 1, "a strobe at the end");
	rig_advance(&rig, 1000000000);
	is(rig.rises[0], 1, "a single one");
	load(2, 1, 100);
	is(status(2) & 0xc0, 0xc0, "mode 1 waits for the gate");
	rig_out(&rig, 0x61, 1);
	is(status(2) & 0xc0, 0x00, "starts with its edge");
	rig_advance(&rig, ticks(101));
	is(status(2) & 0x80, 0x80, "and ends");
	rig_out(&rig, 0x61, 0);
	rig_out(&rig, 0x61, 1);
	is(status(2) & 0x80, 0x00, "retriggers");
	rig_out(&rig, 0x61, 0);
	load(2, 0, 100);
	rig_advance(&rig, ticks(1000));
	is(status(2) & 0x80, 0x00, "mode 0 stands while the gate is low");
	rig_out(&rig, 0x61, 1);
	rig_advance(&rig, ticks(60));
	rig_out(&rig, 0x61, 0);
	rig_advance(&rig, ticks(60));
	is(latched(2), 40, "and keeps its count");
	rig_out(&rig, 0x61, 1);
	rig_advance(&rig, ticks(41));
	is(status(2) & 0x80, 0x80, "until it goes on");
	rig_destroy(&rig);
}

static void test_access(void)
{
	uint8_t byte;

	setup();
	rig_out(&rig, 0x61, 1);
	load(2, 2, 0x1234);
	rig_out(&rig, 0x43, 0x80);
	rig_advance(&rig, ticks(100));
	rig_out(&rig, 0x43, 0x80);
	is(rig_in(&rig, 0x42), 0x34, "the first latch stays until it is read");
	is(rig_in(&rig, 0x42), 0x12, "high byte");
	byte = rig_in(&rig, 0x42);
	is(byte | rig_in(&rig, 0x42) << 8, 0x1234 - 100, "without latch: low, then high");
	rig_out(&rig, 0x43, 0x94);	/* low byte only, mode 2 */
	rig_out(&rig, 0x42, 200);
	is(rig_in(&rig, 0x42), 200, "low byte only");
	rig_out(&rig, 0x43, 0xa4);	/* high byte only */
	rig_out(&rig, 0x42, 2);
	is(rig_in(&rig, 0x42), 2, "high byte only");
	rig_out(&rig, 0x43, 0xb5);	/* BCD */
	rig_out(&rig, 0x42, 0x00);
	rig_out(&rig, 0x42, 0x10);
	rig_advance(&rig, ticks(1));
	is(latched(2), 0x0999, "BCD: one below 1000");
	rig_out(&rig, 0x43, 0xc8);	/* read-back: count and status of channel 2 */
	is(rig_in(&rig, 0x42) & 0x3f, 0x35, "read-back: status first");
	is(rig_in(&rig, 0x42), 0x99, "then the count");
	is(rig_in(&rig, 0x42), 0x09, "both bytes");
	load(0, 2, 1);
	rig_advance(&rig, 100000);
	ok(rig.rises[0] > 0 && rig.rises[0] < 70, "count 1 in mode 2 is no storm (%u)",
	   rig.rises[0]);
	board_reset(&rig.board);
	rig.rises[0] = 0;
	rig_advance(&rig, 1000000000);
	is(rig.rises[0], 0, "reset stops it");
	byte = rig_in(&rig, 0x61) & 0x10;
	rig_advance(&rig, 15100);
	ok((rig_in(&rig, 0x61) & 0x10) != byte, "the refresh bit toggles");
	rig_destroy(&rig);
}

/* A clock of a host that does other things between any two looks at it */
static uint64_t slow(void *arg)
{
	uint64_t *now = arg;

	return *now += ticks(1000);
}

static void test_late(void)
{
	static const uint8_t modes[] = { 0, 2, 3, 4 };
	uint64_t (*now)(void *arg), time;
	unsigned int i;
	void *arg;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		setup();
		now = rig.board.timers.now;
		arg = rig.board.timers.now_arg;
		time = rig.now;
		rig.board.timers.now = slow;
		rig.board.timers.now_arg = &time;
		load(0, modes[i], 100);
		rig.board.timers.now = now;
		rig.board.timers.now_arg = arg;
		rig.now = time;
		rig_advance(&rig, ticks(101));
		ok(rig.rises[0] >= 1, "mode %u: a count whose end is past before anybody looks still ends", modes[i]);
		rig_destroy(&rig);
	}
}

int main(void)
{
	test_late();
	test_mode0();
	test_mode2();
	test_mode2_count();
	test_mode3();
	test_one_shots();
	test_access();
	return tap_done();
}

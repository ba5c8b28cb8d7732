// SPDX-License-Identifier: GPL-2.0-only
/* MC146818: formats, setting, update, periodic and alarm interrupts, memory size. */
#include "rig.h"
#include "tap.h"
#include "../vireo/util.h"
#include "../vireo/dev/rtc.h"

static struct rig rig;
static uint64_t wall;		/* of rig.now == 0 */

static uint64_t wall_clock(void)
{
	return wall + rig.now;
}

static uint8_t get(uint8_t index)
{
	rig_out(&rig, 0x70, index);
	return rig_in(&rig, 0x71);
}

static void set(uint8_t index, uint8_t value)
{
	rig_out(&rig, 0x70, index);
	rig_out(&rig, 0x71, value);
}

static void setup(uint64_t memory)
{
	rig_init(&rig, memory);
	rig_lines(&rig);
	/* 2024-02-29 23:59:57 UTC, a Thursday, after the rig's first second */
	wall = 1709251196ULL * NSEC_PER_SEC;
	rtc_create(&rig.board, wall_clock);
}

static void test_formats(void)
{
	setup(0);
	is(get(0), 0x57, "BCD seconds");
	is(get(2), 0x59, "minutes");
	is(get(4), 0x23, "hours");
	is(get(6), 5, "Thursday");
	is(get(7), 0x29, "day");
	is(get(8), 0x02, "month");
	is(get(9), 0x24, "year");
	is(get(0x32), 0x20, "century");
	set(0x0b, 0x06);
	is(get(4), 23, "binary hours");
	set(0x0b, 0x00);
	is(get(4), 0x91, "12 hours: 11 pm");
	set(0x0b, 0x02);
	rig_advance(&rig, 3 * NSEC_PER_SEC);
	is(get(0), 0x00, "three seconds later: seconds");
	is(get(7), 0x01, "the leap day is over");
	is(get(8), 0x03, "March");
	is(get(0x0d), 0x80, "the battery is good");
	rig_destroy(&rig);
}

static void test_uip(void)
{
	setup(0);
	is(get(0x0a), 0x26, "register A");
	rig_advance(&rig, NSEC_PER_SEC - 100000);
	is(get(0x0a), 0xa6, "update in progress at the end of a second");
	rig_advance(&rig, 100000);
	is(get(0x0a), 0x26, "and not after it");
	rig_destroy(&rig);
}

static void test_set(void)
{
	setup(0);
	set(0x0b, 0x82);
	set(0, 0x30);
	set(2, 0x15);
	set(4, 0x08);
	set(7, 0x25);
	set(8, 0x12);
	set(9, 0x99);
	set(0x32, 0x19);
	rig_advance(&rig, 5 * NSEC_PER_SEC);
	is(get(0), 0x30, "stopped while SET");
	set(0x0b, 0x02);
	is(get(0), 0x30, "goes on from what was set");
	rig_advance(&rig, 40 * NSEC_PER_SEC);
	is(get(0), 0x10, "seconds");
	is(get(2), 0x16, "minutes");
	is(get(9), 0x99, "year");
	is(get(0x32), 0x19, "century");
	is(get(6), 7, "Christmas 1999 is a Saturday");
	board_reset(&rig.board);
	is(get(9), 0x99, "reset keeps the time");
	set(9, 0x75);
	is(get(9), 0x75, "a single byte without SET");
	set(8, 0xff);
	get(8);
	ok(true, "nonsense is survived");
	rig_destroy(&rig);
}

static void test_update(void)
{
	setup(0);
	get(0x0c);
	rig_advance(&rig, NSEC_PER_SEC);
	is(get(0x0c), 0x10, "update-ended flag without interrupt");
	is(get(0x0c), 0, "reading clears it");
	ok(!rig.rises[8], "no interrupt that was not asked for");
	set(1, 0x55);		/* no alarm at midnight, which passes */
	set(0x0b, 0x12);
	rig_advance(&rig, 3 * NSEC_PER_SEC);
	is(rig.rises[8], 1, "the line stays up until it is read");
	is(get(0x0c), 0x90, "IRQF and UF");
	ok(!rig.line[8], "reading lowers the line");
	rig_advance(&rig, NSEC_PER_SEC);
	is(rig.rises[8], 2, "next second, next interrupt");
	set(0x0b, 0x92);
	is(get(0x0b), 0x82, "SET clears the update interrupt's enable bit");
	rig_destroy(&rig);
}

static void test_periodic(void)
{
	unsigned int i;

	setup(0);
	set(0x0a, 0x26);		/* 1024 Hz */
	set(0x0b, 0x42);
	for (i = 0; i < 1000; i++) {
		rig_advance(&rig, NSEC_PER_SEC / 1000);
		get(0x0c);
	}
	ok(rig.rises[8] >= 990 && rig.rises[8] <= 1024, "periodic at 1024 Hz (%u)",
	   rig.rises[8]);
	set(0x0a, 0x2f);		/* 2 Hz */
	get(0x0c);
	rig.rises[8] = 0;
	for (i = 0; i < 100; i++) {
		rig_advance(&rig, NSEC_PER_SEC / 10);
		get(0x0c);
	}
	ok(rig.rises[8] >= 19 && rig.rises[8] <= 21, "periodic at 2 Hz (%u)", rig.rises[8]);
	set(0x0a, 0x20);
	rig.rises[8] = 0;
	rig_advance(&rig, 10 * NSEC_PER_SEC);
	ok(rig.rises[8] <= 1, "rate 0 is off");
	rig_destroy(&rig);
}

static void test_alarm(void)
{
	setup(0);
	set(1, 0x05);
	set(3, 0x00);
	set(5, 0x00);
	set(0x0b, 0x22);
	rig_advance(&rig, 7 * NSEC_PER_SEC);
	ok(!rig.rises[8], "not yet");
	rig_advance(&rig, 1 * NSEC_PER_SEC);
	is(rig.rises[8], 1, "the alarm goes off at 00:00:05");
	is(get(0x0c) & 0xa0, 0xa0, "IRQF and AF");
	rig_advance(&rig, 86399 * NSEC_PER_SEC);
	is(rig.rises[8], 1, "not again on that day");
	rig_advance(&rig, NSEC_PER_SEC);
	is(rig.rises[8], 2, "but on the next");
	get(0x0c);
	set(3, 0xff);
	set(5, 0xff);
	rig.rises[8] = 0;
	rig_advance(&rig, 60 * NSEC_PER_SEC);
	is(rig.rises[8], 1, "any hour, any minute");
	get(0x0c);
	set(1, 0x77);
	rig.rises[8] = 0;
	rig_advance(&rig, 200 * NSEC_PER_SEC);
	is(rig.rises[8], 0, "an impossible time never comes");
	rig_destroy(&rig);
}

static void test_memory(void)
{
	setup(512 * MIB);
	is(get(0x15) | get(0x16) << 8, 640, "640 KiB");
	is(get(0x17) | get(0x18) << 8, 63 * 1024, "above 1 MiB: the largest that fits");
	is(get(0x34) | get(0x35) << 8, 496 * 16, "above 16 MiB in 64 KiB");
	is(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 0, "above 4 GiB");
	set(0x50, 0x5a);
	is(get(0x50), 0x5a, "CMOS memory holds what is written");
	rig_destroy(&rig);
	setup(5 * GIB);
	is(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 2 * GIB / 65536, "2 GiB above 4 GiB");
	rig_destroy(&rig);
}

int main(void)
{
	test_formats();
	test_uip();
	test_set();
	test_update();
	test_periodic();
	test_alarm();
	test_memory();
	return tap_done();
}

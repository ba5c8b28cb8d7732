// SPDX-License-Identifier: GPL-2.0-only
/*
 * MC146818A at ports 0x70 and 0x71, interrupt 8.
 *
 * The time is the host's wall clock plus an offset, which changes when the
 * guest sets the clock; it is UTC. Registers of the date are computed when
 * they are read. "Update in progress" is up for the last 244 us of a second,
 * as in the data sheet. Of the interrupts, only what is enabled has a timer:
 * periodic (its 13 rates), update-ended, alarm.
 *
 * CMOS bytes that firmware would leave there tell the memory's size.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rtc.h"
#include "../memory.h"
#include "../state.h"
#include "../util.h"

#define CMOS_BYTES	128
#define BASE_HZ		32768ULL
#define UIP_NS		244000ULL

enum {
	REG_SECONDS, REG_SECONDS_ALARM, REG_MINUTES, REG_MINUTES_ALARM,
	REG_HOURS, REG_HOURS_ALARM, REG_WEEKDAY, REG_DAY, REG_MONTH, REG_YEAR,
	REG_A, REG_B, REG_C, REG_D,
};

#define A_RATE		0x0f
#define A_DIVIDER	0x70
#define A_RUNNING	0x20
#define A_UIP		0x80
#define B_DST		0x01
#define B_24H		0x02
#define B_BINARY	0x04
#define B_SQUARE	0x08
#define B_UIE		0x10
#define B_AIE		0x20
#define B_PIE		0x40
#define B_SET		0x80
#define C_UF		0x10
#define C_AF		0x20
#define C_PF		0x40
#define C_IRQF		0x80
#define D_VALID		0x80
#define ALARM_ANY	0xc0

#define CMOS_BASE_LOW		0x15	/* KiB below 640 K */
#define CMOS_EXT_LOW		0x17	/* KiB above 1 MiB, up to 63 MiB */
#define CMOS_EXT2_LOW		0x30	/* the same again */
#define CMOS_ABOVE_16M_LOW	0x34	/* 64 KiB above 16 MiB, below 4 GiB */
#define CMOS_ABOVE_4G_LOW	0x5b	/* 64 KiB above 4 GiB, three bytes */

/**
 * struct rtc - the chip
 * @device: common part
 * @wall_clock: the host's time
 * @cmos: all registers; those of the time only while @frozen or as alarms
 * @index: register that port 0x71 shows
 * @offset: guest's time minus the wall clock, in ns
 * @frozen: register B's SET stops the clock: the guest is writing it
 * @frozen_at: time at which it stopped
 * @seen: second whose update has been accounted for
 * @periodic: next periodic interrupt
 * @update: next update-ended or alarm interrupt
 */
struct rtc {
	struct device device;
	uint64_t (*wall_clock)(void);
	uint8_t cmos[CMOS_BYTES];
	uint8_t index;
	int64_t offset;
	bool frozen;
	uint64_t frozen_at;
	uint64_t seen;
	struct timer periodic;
	struct timer update;
};

/**
 * rtc_wall_clock() - the host's time
 *
 * Return: nanoseconds since 1970.
 */
uint64_t rtc_wall_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t guest_time(const struct rtc *rtc)
{
	if (rtc->frozen)
		return rtc->frozen_at;
	return rtc->wall_clock() + (uint64_t)rtc->offset;
}

static uint8_t encode(const struct rtc *rtc, int value)
{
	if (rtc->cmos[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->cmos[REG_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_24H)
		return decode(rtc, value);
	return decode(rtc, value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

/* Put the time into the registers. */
static void show(struct rtc *rtc)
{
	time_t seconds = (time_t)(guest_time(rtc) / NSEC_PER_SEC);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	rtc->cmos[REG_SECONDS] = encode(rtc, tm.tm_sec);
	rtc->cmos[REG_MINUTES] = encode(rtc, tm.tm_min);
	rtc->cmos[REG_HOURS] = encode_hour(rtc, tm.tm_hour);
	rtc->cmos[REG_WEEKDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->cmos[REG_DAY] = encode(rtc, tm.tm_mday);
	rtc->cmos[REG_MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->cmos[REG_YEAR] = encode(rtc, tm.tm_year % 100);
	rtc->cmos[RTC_CENTURY] = encode(rtc, 19 + tm.tm_year / 100);
}

/* The registers' time, in ns; nonsense in them gives some time, not a fault. */
static uint64_t shown(const struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->cmos[REG_SECONDS]),
		.tm_min = decode(rtc, rtc->cmos[REG_MINUTES]),
		.tm_hour = decode_hour(rtc, rtc->cmos[REG_HOURS]),
		.tm_mday = decode(rtc, rtc->cmos[REG_DAY]),
		.tm_mon = decode(rtc, rtc->cmos[REG_MONTH]) - 1,
		.tm_year = decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 +
			decode(rtc, rtc->cmos[REG_YEAR]) - 1900,
	};
	time_t seconds = timegm(&tm);

	return seconds < 0 ? 0 : (uint64_t)seconds * NSEC_PER_SEC;
}

static bool is_running(const struct rtc *rtc)
{
	return !rtc->frozen && (rtc->cmos[REG_A] & A_DIVIDER) == A_RUNNING;
}

static bool alarm_matches(const struct rtc *rtc, unsigned int reg, unsigned int now)
{
	uint8_t alarm = rtc->cmos[reg];

	if ((alarm & ALARM_ANY) == ALARM_ANY)
		return true;
	return now == (unsigned int)(reg == REG_HOURS_ALARM ? decode_hour(rtc, alarm) :
				     decode(rtc, alarm));
}

/* Next second, after @second, at which the alarm goes off; within a day, if ever. */
static uint64_t next_alarm(const struct rtc *rtc, uint64_t second)
{
	uint64_t at = second + 1;

	while (at <= second + 86400) {
		unsigned int of_day = (unsigned int)(at % 86400);

		if (!alarm_matches(rtc, REG_HOURS_ALARM, of_day / 3600))
			at += 3600 - of_day % 3600;
		else if (!alarm_matches(rtc, REG_MINUTES_ALARM, of_day / 60 % 60))
			at += 60 - of_day % 60;
		else if (!alarm_matches(rtc, REG_SECONDS_ALARM, of_day % 60))
			at++;
		else
			return at;
	}
	return 0;
}

/*
 * Set the flags of all seconds that have passed since the last look. Of more
 * than a day only the last one counts: the flags say whether, not how often.
 */
static void catch_up(struct rtc *rtc)
{
	uint64_t now = guest_time(rtc) / NSEC_PER_SEC;
	uint64_t alarm;

	if (!is_running(rtc) || now == rtc->seen)
		return;
	if (now < rtc->seen || now - rtc->seen > 86400)
		rtc->seen = now - 1;
	rtc->cmos[REG_C] |= C_UF;
	alarm = next_alarm(rtc, rtc->seen);
	if (alarm && alarm <= now)
		rtc->cmos[REG_C] |= C_AF;
	rtc->seen = now;
}

static uint64_t period(const struct rtc *rtc)
{
	unsigned int rate = rtc->cmos[REG_A] & A_RATE;

	if (!rate)
		return 0;
	/* Rates 1 and 2 are those of 8 and 9. */
	if (rate < 3)
		rate += 7;
	return muldiv64(1ULL << (rate - 1), NSEC_PER_SEC, BASE_HZ);
}

static void schedule(struct rtc *rtc)
{
	struct timers *timers = &rtc->device.board->timers;
	uint8_t b = rtc->cmos[REG_B];
	uint64_t now = timers_now(timers), next = 0, every = period(rtc);

	if (!(b & B_PIE) || !every || !is_running(rtc))
		timer_cancel(timers, &rtc->periodic);
	else if (!rtc->periodic.armed)
		timer_arm(timers, &rtc->periodic, now - now % every + every);

	if (is_running(rtc)) {
		if (b & B_UIE)
			next = rtc->seen + 1;
		else if (b & B_AIE)
			next = next_alarm(rtc, rtc->seen);
	}
	if (next)
		timer_arm(timers, &rtc->update,
			  now + next * NSEC_PER_SEC - guest_time(rtc));
	else
		timer_cancel(timers, &rtc->update);
}

static void update_irq(struct rtc *rtc)
{
	uint8_t enabled = rtc->cmos[REG_B] & (B_UIE | B_AIE | B_PIE);

	/* Flags of register C and enables of B stand at the same places. */
	if (rtc->cmos[REG_C] & enabled)
		rtc->cmos[REG_C] |= C_IRQF;
	else
		rtc->cmos[REG_C] &= ~C_IRQF;
	vireo_irq_set(rtc->device.board, RTC_IRQ, rtc->cmos[REG_C] & C_IRQF);
}

static void fire_periodic(void *opaque)
{
	struct rtc *rtc = opaque;
	uint64_t every = period(rtc);
	struct timers *timers = &rtc->device.board->timers;
	uint64_t now = timers_now(timers);

	rtc->cmos[REG_C] |= C_PF;
	if (every)
		timer_arm(timers, &rtc->periodic, now - now % every + every);
	update_irq(rtc);
}

static void fire_update(void *opaque)
{
	struct rtc *rtc = opaque;

	catch_up(rtc);
	update_irq(rtc);
	schedule(rtc);
}

static uint8_t read_register(struct rtc *rtc)
{
	uint8_t value;

	switch (rtc->index) {
	case REG_SECONDS:
	case REG_MINUTES:
	case REG_HOURS:
	case REG_WEEKDAY ... REG_YEAR:
	case RTC_CENTURY:
		if (!rtc->frozen)
			show(rtc);
		return rtc->cmos[rtc->index];
	case REG_A:
		value = rtc->cmos[REG_A];
		if (is_running(rtc) && guest_time(rtc) % NSEC_PER_SEC >= NSEC_PER_SEC - UIP_NS)
			value |= A_UIP;
		return value;
	case REG_C:
		catch_up(rtc);
		update_irq(rtc);
		value = rtc->cmos[REG_C];
		rtc->cmos[REG_C] = 0;
		update_irq(rtc);
		return value;
	case REG_D:
		return D_VALID;
	default:
		return rtc->cmos[rtc->index];
	}
}

static void freeze(struct rtc *rtc)
{
	show(rtc);
	rtc->frozen_at = guest_time(rtc);
	rtc->frozen = true;
}

static void thaw(struct rtc *rtc)
{
	uint64_t time = shown(rtc) + rtc->frozen_at % NSEC_PER_SEC;

	rtc->offset = (int64_t)(time - rtc->wall_clock());
	rtc->frozen = false;
	rtc->seen = time / NSEC_PER_SEC;
}

static void write_register(struct rtc *rtc, uint8_t value)
{
	switch (rtc->index) {
	case REG_SECONDS:
	case REG_MINUTES:
	case REG_HOURS:
	case REG_WEEKDAY ... REG_YEAR:
	case RTC_CENTURY:
		if (!rtc->frozen) {
			/* Without SET each byte takes effect by itself. */
			freeze(rtc);
			rtc->cmos[rtc->index] = value;
			thaw(rtc);
			break;
		}
		rtc->cmos[rtc->index] = value;
		return;
	case REG_A:
		value &= ~A_UIP;
		if ((value ^ rtc->cmos[REG_A]) & A_RATE)
			timer_cancel(&rtc->device.board->timers, &rtc->periodic);
		rtc->cmos[REG_A] = value;
		break;
	case REG_B:
		catch_up(rtc);
		/* SET ends the update cycle and with it its interrupt. */
		if (value & B_SET)
			value &= ~B_UIE;
		if (value & B_SET && !rtc->frozen)
			freeze(rtc);
		if (!(value & B_SET) && rtc->frozen) {
			rtc->cmos[REG_B] = value;
			thaw(rtc);
		}
		rtc->cmos[REG_B] = value;
		break;
	case REG_C:
	case REG_D:
		return;
	default:
		rtc->cmos[rtc->index] = value;
	}
	update_irq(rtc);
	schedule(rtc);
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned int size)
{
	(void)size;
	return offset == 0 ? 0xff : read_register(opaque);
}

static void rtc_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct rtc *rtc = opaque;

	(void)size;
	if (offset == 0)
		rtc->index = value & 0x7f;	/* bit 7 masks NMIs, which nobody sends */
	else
		write_register(rtc, (uint8_t)value);
}

static void store16(struct rtc *rtc, unsigned int at, uint64_t value)
{
	if (value > 0xffff)
		value = 0xffff;
	rtc->cmos[at] = (uint8_t)value;
	rtc->cmos[at + 1] = (uint8_t)(value >> 8);
}

static void store_memory(struct rtc *rtc, const struct guest_memory *memory)
{
	uint64_t low = memory_low_bytes(memory);
	uint64_t high = memory->total - low;
	uint64_t extended = low > MIB ? (low - MIB) / KIB : 0;

	store16(rtc, CMOS_BASE_LOW, 640);
	store16(rtc, CMOS_EXT_LOW, extended < 63 * KIB ? extended : 63 * KIB);
	store16(rtc, CMOS_EXT2_LOW, extended < 63 * KIB ? extended : 63 * KIB);
	store16(rtc, CMOS_ABOVE_16M_LOW, low > 16 * MIB ? (low - 16 * MIB) / (64 * KIB) : 0);
	high /= 64 * KIB;
	store16(rtc, CMOS_ABOVE_4G_LOW, high & 0xffff);
	rtc->cmos[CMOS_ABOVE_4G_LOW + 2] = (uint8_t)(high >> 16);
}

static void reset(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, device);

	/* The battery keeps time and memory; the reset line ends interrupts. */
	if (rtc->frozen)
		thaw(rtc);
	rtc->index = 0;
	rtc->cmos[REG_A] = A_RUNNING | 6;
	rtc->cmos[REG_B] = B_24H;
	rtc->cmos[REG_C] = 0;
	rtc->seen = guest_time(rtc) / NSEC_PER_SEC;
	update_irq(rtc);
	schedule(rtc);
}

static void destroy(struct device *device)
{
	free(container_of(device, struct rtc, device));
}

/* Far beyond any date that the chip can show, but sums with it do not overflow. */
#define TIME_MAX (UINT64_MAX / NSEC_PER_SEC / 2)

static int check_state(const void *device, const void *loaded)
{
	const struct rtc *rtc = loaded;

	(void)device;
	if (rtc->index >= CMOS_BYTES || rtc->frozen != !!(rtc->cmos[REG_B] & B_SET) || rtc->seen > TIME_MAX ||
	    rtc->frozen_at / NSEC_PER_SEC > TIME_MAX || rtc->cmos[REG_A] & A_UIP ||
	    rtc->cmos[REG_C] & ~(C_UF | C_AF | C_PF | C_IRQF))
		return -EINVAL;
	return 0;
}

/* The periodic interrupt goes on with another phase: that of this host's clock. */
static void load_state(void *device)
{
	struct rtc *rtc = device;

	timer_cancel(&rtc->device.board->timers, &rtc->periodic);
	update_irq(rtc);
	schedule(rtc);
}

static const struct state_field state_fields[] = {
	STATE_BYTES(struct rtc, cmos),
	STATE_FIELD(struct rtc, index),
	STATE_FIELD(struct rtc, offset),
	STATE_FIELD(struct rtc, frozen),
	STATE_FIELD(struct rtc, frozen_at),
	STATE_FIELD(struct rtc, seen),
	STATE_END,
};

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct rtc),
	.fields = state_fields,
	.check = check_state,
	.load = load_state,
};

static const struct device_ops rtc_device_ops = { .reset = reset, .destroy = destroy, .state = &state };
static const struct bus_ops rtc_ops = { rtc_read, rtc_write, 1 };

/**
 * rtc_create() - plug in the clock
 * @board: the board
 * @wall_clock: the time of day, in ns since 1970
 *
 * Return: 0, or a negative errno.
 */
int rtc_create(struct board *board, uint64_t (*wall_clock)(void))
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));

	if (!rtc)
		return -ENOMEM;
	rtc->wall_clock = wall_clock;
	timer_init(&rtc->periodic, fire_periodic, rtc);
	timer_init(&rtc->update, fire_update, rtc);
	if (board->memory)
		store_memory(rtc, board->memory);
	board_plug(board, &rtc->device, "rtc", &rtc_device_ops);
	reset(&rtc->device);
	return bus_claim(&board->pio, RTC_PORT, 2, &rtc_ops, rtc);
}

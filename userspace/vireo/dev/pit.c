// SPDX-License-Identifier: GPL-2.0-only
/*
 * 8254 at ports 0x40-0x43, and port 0x61 with channel 2's gate and output.
 *
 * Written from Intel's data sheet (order number 231164). Nothing ticks: a
 * channel remembers when its count was loaded, and count and output are
 * computed from the time that has passed. Only channel 0's output goes
 * anywhere (interrupt 0), so only it has a timer, which fires at its rising
 * edges.
 *
 * In periodic modes the host can be late by more than a period. The edges
 * that were missed are then one: guests that count ticks have better clocks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pit.h"
#include "../state.h"
#include "../util.h"

#define CHANNELS	3
#define IRQ_LINE	0

#define SPEAKER_GATE	0x01
#define SPEAKER_DATA	0x02
#define SPEAKER_REFRESH	0x10
#define SPEAKER_OUT	0x20

enum access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

/**
 * struct channel - one of the three counters
 * @reload: the count that was written, 1 to 0x10000
 * @start: when it was loaded, in ns; modes 1 and 5: when the gate rose
 * @age: in state blocks, how long ago that was: the clock of another launcher is another one
 * @loaded: false until a count is written (modes 1, 5: until the gate rises)
 * @mode: 0 to 5
 * @access: which bytes are read and written
 * @bcd: count in four decimal digits
 * @gate: level of the gate input
 * @frozen: modes 0 and 4 with the gate low: ticks counted until then
 * @write_high: the next write is the high byte
 * @write_low: the low byte that waits for it
 * @read_high: the next read is the high byte
 * @latched: bytes of @latch still to be read
 * @latch: latched count
 * @status_latched: @status is read first
 * @status: latched status
 */
struct channel {
	uint32_t reload;
	uint64_t start;
	uint64_t age;
	bool loaded;
	uint8_t mode;
	uint8_t access;
	bool bcd;
	bool gate;
	uint64_t frozen;
	bool write_high;
	uint8_t write_low;
	bool read_high;
	uint8_t latched;
	uint16_t latch;
	bool status_latched;
	uint8_t status;
};

/**
 * struct pit - the chip
 * @timer: fires at the next edge of channel 0
 * @due: in state blocks, whether there is one to come
 * @speaker: port 0x61
 */
struct pit {
	struct device device;
	struct channel channel[CHANNELS];
	struct timer timer;
	bool due;
	uint8_t speaker;
};

static uint64_t to_ticks(uint64_t ns)
{
	return muldiv64(ns, PIT_HZ, NSEC_PER_SEC);
}

/* Rounded up: at that time the tick has certainly come. */
static uint64_t to_ns(uint64_t ticks)
{
	return muldiv64(ticks, NSEC_PER_SEC, PIT_HZ) + 1;
}

static uint64_t elapsed(const struct pit *pit, const struct channel *channel)
{
	/* A count that was loaded before the host's clock began starts at a negative time. */
	int64_t ns = (int64_t)(timers_now(&pit->device.board->timers) - channel->start);

	if (!channel->gate && (channel->mode == 0 || channel->mode == 4))
		return channel->frozen;
	return to_ticks(ns > 0 ? (uint64_t)ns : 0);
}

static uint32_t modulus(const struct channel *channel)
{
	return channel->bcd ? 10000 : 0x10000;
}

static bool is_periodic(const struct channel *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

static uint16_t encode(const struct channel *channel, uint32_t count)
{
	count %= modulus(channel);
	if (!channel->bcd)
		return (uint16_t)count;
	return (uint16_t)((count / 1000) << 12 | (count / 100 % 10) << 8 |
			  (count / 10 % 10) << 4 | count % 10);
}

static uint16_t counter(const struct pit *pit, const struct channel *channel)
{
	uint64_t ticks;
	uint32_t into, mod = modulus(channel);

	if (!channel->loaded)
		return encode(channel, channel->reload);
	ticks = elapsed(pit, channel);
	switch (channel->mode) {
	case 2:
		if (!channel->gate)
			return encode(channel, channel->reload);
		return encode(channel, channel->reload - (uint32_t)(ticks % channel->reload));
	case 3:
		if (!channel->gate)
			return encode(channel, channel->reload);
		/* Counts in steps of two, once per half of the period. */
		into = (uint32_t)(ticks % channel->reload) * 2;
		if (into >= channel->reload)
			into -= channel->reload;
		return encode(channel, channel->reload - (into & ~1U));
	default:
		/* One-shot counters go on through zero. */
		return encode(channel, channel->reload + mod - (uint32_t)(ticks % mod));
	}
}

static bool output(const struct pit *pit, const struct channel *channel)
{
	uint64_t ticks;

	if (!channel->loaded)
		return channel->mode != 0;
	ticks = elapsed(pit, channel);
	switch (channel->mode) {
	case 0:
		return ticks >= channel->reload;
	case 1:
		return ticks >= channel->reload;
	case 2:
		return !channel->gate || ticks % channel->reload != channel->reload - 1;
	case 3:
		return !channel->gate ||
			ticks % channel->reload < (channel->reload + 1) / 2;
	default:
		/* A strobe of one tick at the end of the count. */
		return ticks != channel->reload;
	}
}

/*
 * Find the next rising edge of channel 0's output. Only mode 0 holds its
 * output where it is; in the others the line idles high and edges come from a
 * short low, which is as good as a short high and leaves nothing to undo when
 * the mode is changed.
 *
 * @fresh: the end of the count was not told yet. It may be past already, where the count is short and the
 * host took its time.
 */
static void schedule(struct pit *pit, bool fresh)
{
	struct channel *channel = &pit->channel[0];
	struct board *board = pit->device.board;
	uint64_t ticks, next;

	vireo_irq_set(board, IRQ_LINE, channel->mode == 0 && output(pit, channel));
	timer_cancel(&board->timers, &pit->timer);
	if (!channel->loaded)
		return;
	ticks = elapsed(pit, channel);
	next = channel->reload;
	if (is_periodic(channel))
		next = (ticks / channel->reload + 1) * channel->reload;
	else if (channel->mode >= 4)
		next++;		/* the end of the strobe */
	if (fresh || ticks < next)
		timer_arm(&board->timers, &pit->timer, channel->start + to_ns(next));
}

static void fire(void *opaque)
{
	struct pit *pit = opaque;

	vireo_irq_set(pit->device.board, IRQ_LINE, true);
	schedule(pit, false);
}

static void load(struct pit *pit, struct channel *channel, uint16_t value)
{
	uint32_t count = value;

	if (channel->bcd)
		count = (value >> 12) * 1000 + (value >> 8 & 15) * 100 +
			(value >> 4 & 15) * 10 + (value & 15);
	if (!count)
		count = modulus(channel);
	/* Not allowed by the data sheet; it would be a storm of interrupts. */
	if (count == 1 && is_periodic(channel))
		count = 2;
	channel->reload = count;
	if (channel->mode == 1 || channel->mode == 5)
		return;		/* waits for the gate */
	channel->start = timers_now(&pit->device.board->timers);
	channel->frozen = 0;
	channel->loaded = true;
	if (channel == &pit->channel[0])
		schedule(pit, true);
}

static void set_gate(struct pit *pit, struct channel *channel, bool gate)
{
	uint64_t now = timers_now(&pit->device.board->timers);

	if (gate == channel->gate)
		return;
	switch (channel->mode) {
	case 0:
	case 4:
		if (gate)
			channel->start = now - to_ns(channel->frozen);
		else
			channel->frozen = elapsed(pit, channel);
		break;
	case 1:
	case 5:
		if (gate) {
			channel->start = now;
			channel->loaded = true;
		}
		break;
	default:
		if (gate)
			channel->start = now;
	}
	channel->gate = gate;
}

static void latch_count(struct pit *pit, struct channel *channel)
{
	if (channel->latched)
		return;		/* the first one stays until it is read */
	channel->latch = counter(pit, channel);
	channel->latched = channel->access == ACCESS_BOTH ? 2 : 1;
}

static void latch_status(struct pit *pit, struct channel *channel)
{
	if (channel->status_latched)
		return;
	channel->status = (uint8_t)(output(pit, channel) << 7 | !channel->loaded << 6 |
				    channel->access << 4 | channel->mode << 1 | channel->bcd);
	channel->status_latched = true;
}

static void control(struct pit *pit, uint8_t value)
{
	unsigned int which = value >> 6;
	struct channel *channel;

	if (which == 3) {
		/* Read-back: bits are active low. */
		for (which = 0; which < CHANNELS; which++) {
			if (!(value & 2U << which))
				continue;
			if (!(value & 0x20))
				latch_count(pit, &pit->channel[which]);
			if (!(value & 0x10))
				latch_status(pit, &pit->channel[which]);
		}
		return;
	}
	channel = &pit->channel[which];
	if ((value >> 4 & 3) == ACCESS_LATCH) {
		latch_count(pit, channel);
		return;
	}
	channel->access = value >> 4 & 3;
	channel->mode = value >> 1 & 7;
	if (channel->mode > 5)
		channel->mode -= 4;	/* bit 2 does not count in modes 2 and 3 */
	channel->bcd = value & 1;
	channel->loaded = false;
	channel->frozen = 0;
	channel->write_high = false;
	channel->read_high = false;
	channel->latched = 0;
	channel->status_latched = false;
	if (which == 0)
		schedule(pit, false);
}

static uint8_t read_channel(struct pit *pit, struct channel *channel)
{
	uint16_t count;
	bool high;

	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->status;
	}
	if (channel->latched) {
		count = channel->latch;
		high = channel->access == ACCESS_HIGH ||
			(channel->access == ACCESS_BOTH && channel->latched == 1);
		channel->latched--;
		return (uint8_t)(high ? count >> 8 : count);
	}
	count = counter(pit, channel);
	high = channel->access == ACCESS_HIGH;
	if (channel->access == ACCESS_BOTH) {
		high = channel->read_high;
		channel->read_high = !channel->read_high;
	}
	return (uint8_t)(high ? count >> 8 : count);
}

static void write_channel(struct pit *pit, struct channel *channel, uint8_t value)
{
	switch (channel->access) {
	case ACCESS_LOW:
		load(pit, channel, value);
		break;
	case ACCESS_HIGH:
		load(pit, channel, (uint16_t)(value << 8));
		break;
	default:
		if (!channel->write_high) {
			channel->write_low = value;
			channel->write_high = true;
			/* Mode 0 stops between the two bytes. */
			if (channel->mode == 0) {
				channel->loaded = false;
				if (channel == &pit->channel[0])
					schedule(pit, false);
			}
		} else {
			channel->write_high = false;
			load(pit, channel, (uint16_t)(value << 8 | channel->write_low));
		}
	}
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pit *pit = opaque;

	(void)size;
	return offset == 3 ? 0 : read_channel(pit, &pit->channel[offset]);
}

static void pit_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pit *pit = opaque;

	(void)size;
	if (offset == 3)
		control(pit, (uint8_t)value);
	else
		write_channel(pit, &pit->channel[offset], (uint8_t)value);
}

static uint64_t speaker_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pit *pit = opaque;
	uint64_t now = timers_now(&pit->device.board->timers);
	uint8_t value = pit->speaker & (SPEAKER_GATE | SPEAKER_DATA);

	(void)offset;
	(void)size;
	/* Toggles with each memory refresh, every 15 us; old programs wait for it. */
	if (now / 15085 & 1)
		value |= SPEAKER_REFRESH;
	if (output(pit, &pit->channel[2]))
		value |= SPEAKER_OUT;
	return value;
}

static void speaker_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pit *pit = opaque;

	(void)offset;
	(void)size;
	pit->speaker = (uint8_t)value;
	set_gate(pit, &pit->channel[2], value & SPEAKER_GATE);
}

static void reset(struct device *device)
{
	struct pit *pit = container_of(device, struct pit, device);
	unsigned int i;

	timer_cancel(&device->board->timers, &pit->timer);
	memset(pit->channel, 0, sizeof(pit->channel));
	for (i = 0; i < CHANNELS; i++) {
		pit->channel[i].reload = 0x10000;
		pit->channel[i].mode = 3;
		pit->channel[i].access = ACCESS_BOTH;
		pit->channel[i].gate = i != 2;
	}
	pit->speaker = 0;
}

static void destroy(struct device *device)
{
	free(container_of(device, struct pit, device));
}

static void save_state(void *device)
{
	struct pit *pit = device;
	uint64_t now = timers_now(&pit->device.board->timers);
	unsigned int i;

	pit->due = pit->timer.armed;
	for (i = 0; i < CHANNELS; i++)
		pit->channel[i].age = now - pit->channel[i].start;
}

static int check_channel(const struct channel *channel)
{
	if (channel->mode > 5 || channel->access == ACCESS_LATCH || channel->access > ACCESS_BOTH ||
	    channel->latched > 2 || channel->age >> 62 || channel->frozen >> 62)
		return -EINVAL;
	/* Digits above 9 make counts beyond the modulus. */
	if (!channel->reload || channel->reload > 0x10000)
		return -EINVAL;
	return channel->loaded && is_periodic(channel) && channel->reload < 2 ? -EINVAL : 0;
}

static int check_state(const void *device, const void *loaded)
{
	const struct pit *pit = loaded;
	unsigned int i;

	(void)device;
	for (i = 0; i < CHANNELS; i++)
		if (check_channel(&pit->channel[i]))
			return -EINVAL;
	if (!pit->channel[0].gate || !pit->channel[1].gate || pit->channel[2].gate != (pit->speaker & SPEAKER_GATE))
		return -EINVAL;
	return 0;
}

static void load_state(void *device)
{
	struct pit *pit = device;
	uint64_t now = timers_now(&pit->device.board->timers);
	unsigned int i;

	for (i = 0; i < CHANNELS; i++)
		pit->channel[i].start = now - pit->channel[i].age;
	schedule(pit, pit->due);
}

#define CHANNEL_FIELDS(i) \
	STATE_FIELD(struct pit, channel[i].reload), \
	STATE_FIELD(struct pit, channel[i].age), \
	STATE_FIELD(struct pit, channel[i].loaded), \
	STATE_FIELD(struct pit, channel[i].mode), \
	STATE_FIELD(struct pit, channel[i].access), \
	STATE_FIELD(struct pit, channel[i].bcd), \
	STATE_FIELD(struct pit, channel[i].gate), \
	STATE_FIELD(struct pit, channel[i].frozen), \
	STATE_FIELD(struct pit, channel[i].write_high), \
	STATE_FIELD(struct pit, channel[i].write_low), \
	STATE_FIELD(struct pit, channel[i].read_high), \
	STATE_FIELD(struct pit, channel[i].latched), \
	STATE_FIELD(struct pit, channel[i].latch), \
	STATE_FIELD(struct pit, channel[i].status_latched), \
	STATE_FIELD(struct pit, channel[i].status)

static const struct state_field state_fields[] = {
	CHANNEL_FIELDS(0),
	CHANNEL_FIELDS(1),
	CHANNEL_FIELDS(2),
	STATE_FIELD(struct pit, speaker),
	STATE_FIELD(struct pit, due),
	STATE_END,
};

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct pit),
	.fields = state_fields,
	.save = save_state,
	.check = check_state,
	.load = load_state,
};

static const struct device_ops pit_device_ops = { .reset = reset, .destroy = destroy, .state = &state };
static const struct bus_ops pit_ops = { pit_read, pit_write, 1 };
static const struct bus_ops speaker_ops = { speaker_read, speaker_write, 1 };

/**
 * pit_create() - plug in the interval timer
 * @board: the board
 *
 * Return: 0, or a negative errno.
 */
int pit_create(struct board *board)
{
	struct pit *pit = calloc(1, sizeof(*pit));
	int r;

	if (!pit)
		return -ENOMEM;
	timer_init(&pit->timer, fire, pit);
	board_plug(board, &pit->device, "pit", &pit_device_ops);
	reset(&pit->device);
	r = bus_claim(&board->pio, 0x40, 4, &pit_ops, pit);
	if (!r)
		r = bus_claim(&board->pio, 0x61, 1, &speaker_ops, pit);
	return r;
}

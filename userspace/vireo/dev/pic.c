// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two cascaded 8259A, at ports 0x20 and 0xa0, and the ELCR at 0x4d0.
 *
 * Written from Intel's data sheet (order number 231468). The heart is
 * highest(): which request, if any, beats what is in service. All else is
 * registers. The slave's output is the master's input 2. The acknowledge
 * cycle of the processor is pic_acknowledge(); the output pin is reported to
 * the board's host whenever it changes.
 *
 * Not there: 8080 mode (the mode bit of ICW4 is taken as set), and buffered
 * mode, which has no meaning without pins.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pic.h"
#include "../state.h"
#include "../util.h"

#define CASCADE		2
#define SPURIOUS	7

#define ICW1_INIT	0x10
#define ICW1_SINGLE	0x02
#define ICW1_LEVEL	0x08
#define ICW1_ICW4	0x01
#define ICW4_AUTO_EOI	0x02
#define ICW4_NESTED	0x10	/* special fully nested mode */
#define OCW3		0x08
#define OCW3_POLL	0x04
#define OCW3_READ	0x02
#define OCW3_READ_ISR	0x01
#define OCW3_ESMM	0x40
#define OCW3_SMM	0x20

/* OCW2, bits 5-7 */
enum {
	OCW2_ROTATE_AUTO_CLEAR,
	OCW2_EOI,
	OCW2_NOP,
	OCW2_EOI_SPECIFIC,
	OCW2_ROTATE_AUTO_SET,
	OCW2_EOI_ROTATE,
	OCW2_SET_PRIORITY,
	OCW2_EOI_ROTATE_SPECIFIC,
};

/**
 * struct chip - one 8259A
 * @lines: levels of the inputs
 * @irr: requests; an edge is latched, a level follows its line
 * @imr: masked inputs
 * @isr: inputs in service
 * @elcr: inputs that are level-triggered
 * @elcr_mask: inputs for which that can be chosen
 * @base: vector of input 0
 * @lowest: input with the lowest priority; the next one has the highest
 * @icw: which initialisation word is expected next; 0: none
 * @need_icw4: ICW1 has announced one
 * @single: no cascade, no ICW3
 * @all_level: ICW1 has made all inputs level-triggered
 * @auto_eoi: inputs never stay in service
 * @rotate_auto: priorities rotate at each automatic EOI
 * @nested: special fully nested mode: the cascade input does not block itself
 * @special_mask: masked inputs in service do not block lower ones
 * @read_isr: a read gives ISR rather than IRR
 * @poll: the next read is an acknowledge
 * @master: input 2 is the other chip
 */
struct chip {
	uint8_t lines;
	uint8_t irr;
	uint8_t imr;
	uint8_t isr;
	uint8_t elcr;
	uint8_t elcr_mask;
	uint8_t base;
	uint8_t lowest;
	uint8_t icw;
	bool need_icw4;
	bool single;
	bool all_level;
	bool auto_eoi;
	bool rotate_auto;
	bool nested;
	bool special_mask;
	bool read_isr;
	bool poll;
	bool master;
};

struct pic {
	struct device device;
	struct chip chip[2];
	bool output;
};

/* Steps from the highest priority: 0 is the highest input, 7 the lowest. */
static unsigned int rank(const struct chip *chip, unsigned int input)
{
	return (input - chip->lowest - 1) & 7;
}

static int best(const struct chip *chip, uint8_t set)
{
	unsigned int step;

	for (step = 0; step < 8; step++) {
		unsigned int input = (chip->lowest + 1 + step) & 7;

		if (set & BIT(input))
			return (int)input;
	}
	return -1;
}

static int highest(const struct chip *chip)
{
	uint8_t blocking = chip->isr;
	int request = best(chip, chip->irr & ~chip->imr);
	int serviced;

	if (request < 0)
		return -1;
	if (chip->special_mask) {
		blocking &= ~chip->imr;
		/* An input does not interrupt itself, nor, unmasked, do others. */
		if (blocking & BIT(request))
			return -1;
	}
	/*
	 * The master sees its slave as one input. Nested mode lets a request of
	 * the slave that beats the slave's own service through.
	 */
	if (chip->nested && chip->master)
		blocking &= ~BIT(CASCADE);
	serviced = best(chip, blocking);
	if (serviced < 0 || rank(chip, (unsigned int)request) < rank(chip, (unsigned int)serviced))
		return request;
	return -1;
}

static bool is_level(const struct chip *chip, unsigned int input)
{
	return chip->all_level || chip->elcr & BIT(input);
}

static void chip_line(struct chip *chip, unsigned int input, bool level)
{
	uint8_t bit = BIT(input);

	if (is_level(chip, input)) {
		if (level)
			chip->irr |= bit;
		else
			chip->irr &= ~bit;
	} else if (level && !(chip->lines & bit)) {
		/*
		 * The chip would forget it if the line fell before the
		 * acknowledge. A guest may get to that much later here than on a
		 * machine of its own: do not lose its interrupts.
		 */
		chip->irr |= bit;
	}
	if (level)
		chip->lines |= bit;
	else
		chip->lines &= ~bit;
}

/* The master follows its slave exactly: there is no guest in between to be late. */
static void cascade(struct pic *pic, bool level)
{
	chip_line(&pic->chip[0], CASCADE, level);
	if (!level)
		pic->chip[0].irr &= ~BIT(CASCADE);
}

/* Propagate: slave's output to the master, the master's to the processor. */
static void update(struct pic *pic)
{
	struct board *board = pic->device.board;
	bool output;

	cascade(pic, highest(&pic->chip[1]) >= 0);
	output = highest(&pic->chip[0]) >= 0;
	if (output == pic->output)
		return;
	pic->output = output;
	board->host_ops->extint(board->host, output);
}

static void set_line(void *opaque, unsigned int line, bool level)
{
	struct pic *pic = opaque;

	if (line == CASCADE)
		return;
	chip_line(&pic->chip[line >> 3], line & 7, level);
	update(pic);
}

static void take(struct chip *chip, unsigned int input)
{
	if (chip->auto_eoi) {
		if (chip->rotate_auto)
			chip->lowest = (uint8_t)input;
	} else {
		chip->isr |= BIT(input);
	}
	if (!is_level(chip, input))
		chip->irr &= ~BIT(input);
}

/**
 * pic_acknowledge() - the processor's interrupt-acknowledge cycle
 * @pic: the pair; the board is locked
 *
 * Return: the vector; that of input 7 if the request has gone away.
 */
int pic_acknowledge(struct pic *pic)
{
	struct chip *master = &pic->chip[0], *slave = &pic->chip[1];
	int input = highest(master);
	int vector;

	if (input < 0) {
		vector = master->base + SPURIOUS;
	} else {
		take(master, (unsigned int)input);
		vector = master->base + input;
		if (input == CASCADE) {
			input = highest(slave);
			if (input < 0) {
				input = SPURIOUS;
			} else {
				take(slave, (unsigned int)input);
				/*
				 * The cascade line falls and rises between two
				 * requests of the slave.
				 */
				cascade(pic, false);
			}
			vector = slave->base + input;
		}
	}
	update(pic);
	return vector;
}

/**
 * pic_output() - the pin to the processor
 * @pic: the pair; the board is locked
 *
 * Return: whether it asks for an interrupt.
 */
bool pic_output(const struct pic *pic)
{
	return pic->output;
}

static void end_of_interrupt(struct chip *chip, int input, bool rotate)
{
	uint8_t candidates = chip->isr;

	if (input < 0) {
		/* Non-specific: in special mask mode masked ones are not touched. */
		if (chip->special_mask)
			candidates &= ~chip->imr;
		input = best(chip, candidates);
		if (input < 0)
			return;
	}
	chip->isr &= ~BIT(input);
	if (rotate)
		chip->lowest = (uint8_t)input;
}

static void ocw2(struct chip *chip, uint8_t value)
{
	int input = value & 7;

	switch (value >> 5) {
	case OCW2_ROTATE_AUTO_CLEAR:
		chip->rotate_auto = false;
		break;
	case OCW2_ROTATE_AUTO_SET:
		chip->rotate_auto = true;
		break;
	case OCW2_EOI:
	case OCW2_EOI_ROTATE:
		end_of_interrupt(chip, -1, value >> 5 == OCW2_EOI_ROTATE);
		break;
	case OCW2_EOI_SPECIFIC:
	case OCW2_EOI_ROTATE_SPECIFIC:
		end_of_interrupt(chip, input, value >> 5 == OCW2_EOI_ROTATE_SPECIFIC);
		break;
	case OCW2_SET_PRIORITY:
		chip->lowest = (uint8_t)input;
		break;
	}
}

static void icw1(struct chip *chip, uint8_t value)
{
	unsigned int input;

	chip->imr = 0;
	chip->isr = 0;
	chip->lowest = 7;
	chip->special_mask = false;
	chip->read_isr = false;
	chip->poll = false;
	chip->auto_eoi = false;
	chip->nested = false;
	chip->rotate_auto = false;
	chip->need_icw4 = value & ICW1_ICW4;
	chip->single = value & ICW1_SINGLE;
	chip->all_level = value & ICW1_LEVEL;
	chip->icw = 2;
	/* Edges before are forgotten, levels stay. */
	chip->irr = 0;
	for (input = 0; input < 8; input++)
		if (is_level(chip, input))
			chip->irr |= chip->lines & BIT(input);
}

static void chip_write(void *opaque, uint64_t offset, unsigned int which, uint8_t value)
{
	struct pic *pic = opaque;
	struct chip *chip = &pic->chip[which];

	if (offset == 0) {
		if (value & ICW1_INIT) {
			icw1(chip, value);
		} else if (value & OCW3) {
			if (value & OCW3_POLL)
				chip->poll = true;
			if (value & OCW3_READ)
				chip->read_isr = value & OCW3_READ_ISR;
			if (value & OCW3_ESMM)
				chip->special_mask = value & OCW3_SMM;
		} else {
			ocw2(chip, value);
		}
	} else {
		switch (chip->icw) {
		case 2:
			chip->base = value & 0xf8;
			chip->icw = chip->single ? (chip->need_icw4 ? 4 : 0) : 3;
			break;
		case 3:
			/* Who is where is soldered. */
			chip->icw = chip->need_icw4 ? 4 : 0;
			break;
		case 4:
			chip->auto_eoi = value & ICW4_AUTO_EOI;
			chip->nested = value & ICW4_NESTED;
			chip->icw = 0;
			break;
		default:
			chip->imr = value;
		}
	}
	update(pic);
}

static uint8_t chip_read(void *opaque, uint64_t offset, unsigned int which)
{
	struct pic *pic = opaque;
	struct chip *chip = &pic->chip[which];
	uint8_t value;

	if (chip->poll) {
		int input = highest(chip);

		chip->poll = false;
		if (input < 0)
			return SPURIOUS;
		take(chip, (unsigned int)input);
		update(pic);
		value = 0x80 | (uint8_t)input;
	} else if (offset == 0) {
		value = chip->read_isr ? chip->isr : chip->irr;
	} else {
		value = chip->imr;
	}
	return value;
}

static uint64_t master_read(void *opaque, uint64_t offset, unsigned int size)
{
	(void)size;
	return chip_read(opaque, offset, 0);
}

static uint64_t slave_read(void *opaque, uint64_t offset, unsigned int size)
{
	(void)size;
	return chip_read(opaque, offset, 1);
}

static void master_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	chip_write(opaque, offset, 0, (uint8_t)value);
}

static void slave_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	chip_write(opaque, offset, 1, (uint8_t)value);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pic *pic = opaque;

	(void)size;
	return pic->chip[offset].elcr;
}

static void elcr_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pic *pic = opaque;
	struct chip *chip = &pic->chip[offset];
	unsigned int input;

	(void)size;
	chip->elcr = (uint8_t)value & chip->elcr_mask;
	for (input = 0; input < 8; input++)
		if (chip->elcr & BIT(input))
			chip_line(chip, input, chip->lines & BIT(input));
	update(pic);
}

static void reset(struct device *device)
{
	struct pic *pic = container_of(device, struct pic, device);
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct chip *chip = &pic->chip[i];
		uint8_t lines = chip->lines;

		memset(chip, 0, sizeof(*chip));
		chip->lines = lines;
		chip->lowest = 7;
		chip->imr = 0xff;
		chip->master = i == 0;
		/* Timer, keyboard, cascade, RTC and FPU are edges for good. */
		chip->elcr_mask = i == 0 ? 0xf8 : 0xde;
	}
	update(pic);
}

static void destroy(struct device *device)
{
	free(container_of(device, struct pic, device));
}

/* Possible are all values of registers; these are what is not one. */
static int check_state(const void *device, const void *loaded)
{
	const struct pic *pic = loaded;
	unsigned int i;

	(void)device;
	for (i = 0; i < 2; i++) {
		const struct chip *chip = &pic->chip[i];

		if (chip->lowest > 7 || chip->icw > 4 || chip->elcr & ~chip->elcr_mask)
			return -EINVAL;
	}
	return 0;
}

static void load_state(void *device)
{
	update(device);
}

#define CHIP_FIELDS(i) \
	STATE_FIELD(struct pic, chip[i].lines), \
	STATE_FIELD(struct pic, chip[i].irr), \
	STATE_FIELD(struct pic, chip[i].imr), \
	STATE_FIELD(struct pic, chip[i].isr), \
	STATE_FIELD(struct pic, chip[i].elcr), \
	STATE_FIELD(struct pic, chip[i].base), \
	STATE_FIELD(struct pic, chip[i].lowest), \
	STATE_FIELD(struct pic, chip[i].icw), \
	STATE_FIELD(struct pic, chip[i].need_icw4), \
	STATE_FIELD(struct pic, chip[i].single), \
	STATE_FIELD(struct pic, chip[i].all_level), \
	STATE_FIELD(struct pic, chip[i].auto_eoi), \
	STATE_FIELD(struct pic, chip[i].rotate_auto), \
	STATE_FIELD(struct pic, chip[i].nested), \
	STATE_FIELD(struct pic, chip[i].special_mask), \
	STATE_FIELD(struct pic, chip[i].read_isr), \
	STATE_FIELD(struct pic, chip[i].poll)

static const struct state_field state_fields[] = {
	CHIP_FIELDS(0),
	CHIP_FIELDS(1),
	STATE_END,
};

static const struct device_state state = {
	.version = 1,
	.bytes = sizeof(struct pic),
	.fields = state_fields,
	.check = check_state,
	.load = load_state,
};

static const struct device_ops pic_device_ops = { .reset = reset, .destroy = destroy, .state = &state };
static const struct bus_ops master_ops = { master_read, master_write, 1 };
static const struct bus_ops slave_ops = { slave_read, slave_write, 1 };
static const struct bus_ops elcr_ops = { elcr_read, elcr_write, 1 };

/**
 * pic_create() - plug in the pair
 * @board: the board; its ISA lines are wired to it
 * @out: the pair, for pic_acknowledge(); may be NULL
 *
 * Return: 0, or a negative errno.
 */
int pic_create(struct board *board, struct pic **out)
{
	struct pic *pic = calloc(1, sizeof(*pic));
	int r;

	if (!pic)
		return -ENOMEM;
	board_plug(board, &pic->device, "pic", &pic_device_ops);
	reset(&pic->device);
	board->pic = (struct irq_sink){ set_line, pic };
	r = bus_claim(&board->pio, 0x20, 2, &master_ops, pic);
	if (!r)
		r = bus_claim(&board->pio, 0xa0, 2, &slave_ops, pic);
	if (!r)
		r = bus_claim(&board->pio, 0x4d0, 2, &elcr_ops, pic);
	if (!r && out)
		*out = pic;
	return r;
}

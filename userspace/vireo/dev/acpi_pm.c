// SPDX-License-Identifier: GPL-2.0-only
/*
 * ACPI fixed hardware at ports 0x600-0x60d, without SMI: ACPI mode is always on.
 *
 * PM1a status bits are set by events and cleared by writing ones; a status
 * whose enable bit is set raises the SCI. Writing SLP_EN with the type that
 * \_S5 names powers the machine off. The timer is 32 bits wide at 3.58 MHz and
 * sets a status bit whenever its top bit changes. General-purpose events are a byte of status and one of
 * enables, at work as those of PM1a.
 */
#include <errno.h>
#include <stdlib.h>

#include "acpi_pm.h"
#include "../state.h"
#include "../util.h"

#define PM1_TIMER	0x0001
#define PM1_GLOBAL	0x0020
#define PM1_BUTTON	0x0100
#define PM1_RTC		0x0400
#define PM1_WAKE	0x8000
#define PM1_ENABLES	(PM1_TIMER | PM1_GLOBAL | PM1_BUTTON | PM1_RTC)

#define GPES		BIT(ACPI_PM_GPE_GENERATION)

#define PM1_SCI_EN	0x0001
#define PM1_SLEEP_TYPE	0x1c00
#define PM1_SLEEP_SHIFT	10
#define PM1_SLEEP_EN	0x2000

struct acpi_pm {
	struct device device;
	struct timer timer;
	uint64_t start;
	uint64_t age;		/* in state blocks: how long ago that was */
	uint64_t halves;	/* half wraps of the timer that @status knows of */
	uint16_t status;
	uint16_t enable;
	uint16_t control;
	uint8_t gpe_status;
	uint8_t gpe_enable;
};

static uint64_t ticks(const struct acpi_pm *pm)
{
	return muldiv64(timers_now(&pm->device.board->timers) - pm->start,
			ACPI_PM_TIMER_HZ, NSEC_PER_SEC);
}

static void update(struct acpi_pm *pm)
{
	struct board *board = pm->device.board;
	uint64_t halves = ticks(pm) >> 31;

	if (halves != pm->halves) {
		pm->halves = halves;
		pm->status |= PM1_TIMER;
	}
	/* Nobody has to be woken for a status that raises nothing. */
	if (pm->enable & PM1_TIMER)
		timer_arm(&board->timers, &pm->timer, pm->start +
			  muldiv64((halves + 1) << 31, NSEC_PER_SEC, ACPI_PM_TIMER_HZ) + 1);
	else
		timer_cancel(&board->timers, &pm->timer);
	vireo_irq_set(board, ACPI_PM_SCI, pm->status & pm->enable || pm->gpe_status & pm->gpe_enable);
}

static void fire(void *opaque)
{
	update(opaque);
}

static uint64_t event_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = opaque;
	uint32_t value;

	(void)size;
	update(pm);
	value = pm->status | (uint32_t)pm->enable << 16;
	return value >> (8 * offset);
}

static void event_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = opaque;
	uint32_t mask = (uint32_t)((1ULL << (8 * size)) - 1) << (8 * offset);
	uint32_t v = (uint32_t)value << (8 * offset);

	update(pm);
	pm->status &= (uint16_t)~(v & mask & 0xffff);
	if (mask >> 16)
		pm->enable = (uint16_t)((pm->enable & ~(mask >> 16)) | (v & mask) >> 16) &
			PM1_ENABLES;
	update(pm);
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = opaque;

	(void)size;
	return (uint64_t)(pm->control | PM1_SCI_EN) >> (8 * offset);
}

static void control_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct acpi_pm *pm = opaque;
	uint16_t mask = (uint16_t)(((1U << (8 * size)) - 1) << (8 * offset));

	pm->control = (uint16_t)((pm->control & ~mask) | ((value << (8 * offset)) & mask));
	if (!(pm->control & PM1_SLEEP_EN))
		return;
	pm->control &= (uint16_t)~PM1_SLEEP_EN;	/* write-only */
	if ((pm->control & PM1_SLEEP_TYPE) >> PM1_SLEEP_SHIFT == ACPI_PM_SLEEP_S5)
		board_request(pm->device.board, BOARD_POWEROFF, 0);
}

static uint64_t timer_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = opaque;

	(void)size;
	return (uint32_t)ticks(pm) >> (8 * offset);
}

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = opaque;

	(void)size;
	return (pm->gpe_status | (uint64_t)pm->gpe_enable << 8) >> (8 * offset);
}

static void gpe_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	uint16_t written = (uint16_t)(value << (8 * offset));
	struct acpi_pm *pm = opaque;

	if (!offset)
		pm->gpe_status &= (uint8_t)~written;
	if (offset + size > 1)
		pm->gpe_enable = written >> 8 & GPES;
	update(pm);
}

/**
 * acpi_pm_event() - raise a general-purpose event
 * @pm: the device; the board is locked
 * @gpe: number of the event
 */
void acpi_pm_event(struct acpi_pm *pm, unsigned int gpe)
{
	pm->gpe_status |= (uint8_t)BIT(gpe);
	update(pm);
}

/**
 * acpi_pm_power_button() - press it
 * @pm: the device; the board is locked
 */
void acpi_pm_power_button(struct acpi_pm *pm)
{
	pm->status |= PM1_BUTTON;
	update(pm);
}

static void reset(struct device *device)
{
	struct acpi_pm *pm = container_of(device, struct acpi_pm, device);

	pm->start = timers_now(&device->board->timers);
	pm->halves = 0;
	pm->status = 0;
	pm->enable = 0;
	pm->control = 0;
	pm->gpe_status = 0;
	pm->gpe_enable = 0;
	update(pm);
}

static void destroy(struct device *device)
{
	free(container_of(device, struct acpi_pm, device));
}

static void save_state(void *device)
{
	struct acpi_pm *pm = device;

	pm->age = timers_now(&pm->device.board->timers) - pm->start;
}

static int check_state(const void *device, const void *loaded)
{
	const struct acpi_pm *pm = loaded;

	(void)device;
	if (pm->age >> 62 || pm->halves > muldiv64(pm->age, ACPI_PM_TIMER_HZ, NSEC_PER_SEC) >> 31 ||
	    pm->status & ~(PM1_ENABLES | PM1_WAKE) || pm->enable & ~PM1_ENABLES || pm->control & PM1_SLEEP_EN ||
	    (pm->gpe_status | pm->gpe_enable) & ~GPES)
		return -EINVAL;
	return 0;
}

static void load_state(void *device)
{
	struct acpi_pm *pm = device;

	pm->start = timers_now(&pm->device.board->timers) - pm->age;
	update(pm);
}

static const struct state_field state_fields[] = {
	STATE_FIELD(struct acpi_pm, age),
	STATE_FIELD(struct acpi_pm, halves),
	STATE_FIELD(struct acpi_pm, status),
	STATE_FIELD(struct acpi_pm, enable),
	STATE_FIELD(struct acpi_pm, control),
	STATE_FIELD(struct acpi_pm, gpe_status),
	STATE_FIELD(struct acpi_pm, gpe_enable),
	STATE_END,
};

static const struct device_state state = {
	.version = 2,
	.bytes = sizeof(struct acpi_pm),
	.fields = state_fields,
	.save = save_state,
	.check = check_state,
	.load = load_state,
};

static const struct device_ops acpi_pm_device_ops = { .reset = reset, .destroy = destroy, .state = &state };
static const struct bus_ops event_ops = { event_read, event_write, 4 };
static const struct bus_ops control_ops = { control_read, control_write, 2 };
static const struct bus_ops gpe_ops = { gpe_read, gpe_write, 2 };
static const struct bus_ops timer_ops = { timer_read, NULL, 4 };

/**
 * acpi_pm_create() - plug in the fixed hardware
 * @board: the board
 * @out: the device, for acpi_pm_power_button(); may be NULL
 *
 * Return: 0, or a negative errno.
 */
int acpi_pm_create(struct board *board, struct acpi_pm **out)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	int r;

	if (!pm)
		return -ENOMEM;
	timer_init(&pm->timer, fire, pm);
	board_plug(board, &pm->device, "acpi-pm", &acpi_pm_device_ops);
	reset(&pm->device);
	r = bus_claim(&board->pio, ACPI_PM_EVENT_PORT, 4, &event_ops, pm);
	if (!r)
		r = bus_claim(&board->pio, ACPI_PM_CONTROL_PORT, 2, &control_ops, pm);
	if (!r)
		r = bus_claim(&board->pio, ACPI_PM_TIMER_PORT, 4, &timer_ops, pm);
	if (!r)
		r = bus_claim(&board->pio, ACPI_PM_GPE_PORT, 2, &gpe_ops, pm);
	if (!r && out)
		*out = pm;
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* ACPI fixed hardware: PM1a event and control registers, power-management timer, general-purpose events. */
#ifndef VIREO_DEV_ACPI_PM_H
#define VIREO_DEV_ACPI_PM_H

#include "../board.h"

#define ACPI_PM_EVENT_PORT	0x600
#define ACPI_PM_CONTROL_PORT	0x604
#define ACPI_PM_TIMER_PORT	0x608
#define ACPI_PM_GPE_PORT	0x60c
#define ACPI_PM_PORTS		14	/* all of them, from ACPI_PM_EVENT_PORT on */
#define ACPI_PM_GPE_GENERATION	0	/* number of the event, and of its method in the DSDT */
#define ACPI_PM_SCI		9
#define ACPI_PM_SLEEP_S5	5	/* SLP_TYP that means off; \_S5 says so */
#define ACPI_PM_TIMER_HZ	3579545ULL

struct acpi_pm;

int acpi_pm_create(struct board *board, struct acpi_pm **out);
void acpi_pm_power_button(struct acpi_pm *pm);
void acpi_pm_event(struct acpi_pm *pm, unsigned int gpe);

#endif /* VIREO_DEV_ACPI_PM_H */

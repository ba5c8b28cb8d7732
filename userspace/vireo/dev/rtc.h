/* SPDX-License-Identifier: GPL-2.0-only */
/* The MC146818 real-time clock with its 128 bytes of CMOS memory. */
#ifndef VIREO_DEV_RTC_H
#define VIREO_DEV_RTC_H

#include "../board.h"

#define RTC_PORT	0x70
#define RTC_IRQ		8
#define RTC_CENTURY	0x32

int rtc_create(struct board *board, uint64_t (*wall_clock)(void));
uint64_t rtc_wall_clock(void);

#endif /* VIREO_DEV_RTC_H */

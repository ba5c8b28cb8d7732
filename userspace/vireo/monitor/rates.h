/* SPDX-License-Identifier: GPL-2.0-only */
/* What two looks at a VM say of the time in between. */
#ifndef VIREO_MONITOR_RATES_H
#define VIREO_MONITOR_RATES_H

#include "family.h"

/**
 * struct rates_shares - where the time of vCPUs went; they add up to 1
 * @guest: in the guest
 * @kernel: in the module
 * @user: in the launcher, or it had no CPU
 * @halted: in HLT
 *
 * All are TEXT_UNKNOWN if there was no time.
 */
struct rates_shares {
	double guest;
	double kernel;
	double user;
	double halted;
};

uint64_t rates_since(uint64_t now, uint64_t before);
double rates_seconds(uint64_t now, uint64_t before);
double rates_per_second(uint64_t count, double seconds);
struct rates_shares rates_shares(const uint64_t *counter, const uint64_t *before);
double rates_mean(const struct monitor_exit *exit, const struct monitor_info *info);
double rates_ns(double cycles, const struct monitor_info *info);

double rates_time(const struct monitor_stats *now, const struct monitor_stats *before);
int rates_difference(const struct monitor_stats *now, const struct monitor_stats *before, struct monitor_stats *difference);
struct monitor_exit *rates_exits(const struct monitor_stats *stats, size_t *nr);

#endif /* VIREO_MONITOR_RATES_H */

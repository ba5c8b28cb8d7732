/* SPDX-License-Identifier: GPL-2.0-only */
/* Test Anything Protocol: a line per check, a plan at the end. */
#ifndef VIREO_TESTS_TAP_H
#define VIREO_TESTS_TAP_H

#include <stdbool.h>
#include <stdint.h>

bool tap_check(bool good, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool tap_equal(uint64_t got, uint64_t want, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void tap_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
int tap_done(void);

/* ok(): a condition; is(): two numbers, printed when they differ. */
#define ok(condition, ...)	tap_check(condition, __FILE__, __LINE__, __VA_ARGS__)
#define is(got, want, ...)						\
	tap_equal((uint64_t)(got), (uint64_t)(want), __FILE__, __LINE__, __VA_ARGS__)

#endif /* VIREO_TESTS_TAP_H */

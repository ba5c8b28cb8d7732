/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs that measure in a Linux guest share. The guest's RDTSC counts what the guest,
 * the hypervisor and its launcher retire in between (see bench.h). Rows are as bench's, with `guest` for the
 * hypervisor, of which the programs know nothing.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

/* Where `trace` hears of the beginning and the end of operations */
#define TRACE_PORT	7001

/** check() - end the program when something failed that should not */
void check(int bad, const char *what);

/**
 * measure() - run an operation again and again, and print its row
 * @name: the row's
 * @samples: how often, at most 256
 * @parts: what one call does that many times; the row is of one of them
 * @operation: what is measured
 *
 * With an address as TRACED in the environment there is no row, but `trace` there is told of the beginning and the
 * end of some samples.
 */
void measure(const char *name, unsigned int samples, unsigned int parts, void (*operation)(void));

#endif

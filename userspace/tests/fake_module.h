/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A module without a kernel: libvireo's system calls end here in the tests.
 *
 * It checks what it is given as the real one does, keeps state blocks, and in
 * place of a guest runs a function of the test.
 */
#ifndef VIREO_TESTS_FAKE_MODULE_H
#define VIREO_TESTS_FAKE_MODULE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/vireo.h>

#define FAKE_REGIONS 8
#define FAKE_BLOCK_BYTES 4096

struct fake_vcpu {
	bool used;
	int fd;
	unsigned int id;
	struct vireo_run *run;
	bool kicked;
	unsigned int runs;
	unsigned int step;
	struct vireo_cpuid_entry cpuid[VIREO_MAX_CPUID];
	unsigned int nr_cpuid;
	unsigned char block[VIREO_BLOCK_NR][FAKE_BLOCK_BYTES];
	unsigned int block_len[VIREO_BLOCK_NR];
	struct vireo_dirty_ring *ring;	/* of consumer 1, the only one that may have one */
	unsigned int ring_entries;
};

/**
 * struct fake_module - what tests set and look at
 * @guest: fills the run page of vCPU 0; what it returns, VIREO_RUN returns
 * @open_error: what opening fails with
 * @info: the answer to VIREO_GET_INFO
 * @supported: the answer to VIREO_GET_SUPPORTED_CPUID
 * @nr_supported: its length
 * @vm_error: what VIREO_CREATE_VM fails with
 * @cpuid_error: what VIREO_SET_CPUID fails with
 * @mark_error: what VIREO_MARK_DIRTY fails with
 * @tracks: what was written is told; else, of each 64 pages the first
 * @refused_rip: no vCPU may be given this RIP, 0: any
 * @bad: how many arguments were wrong; @why has the last
 */
struct fake_module {
	int (*guest)(struct fake_vcpu *vcpu, struct vireo_run *run);
	int open_error;
	struct vireo_info info;
	struct vireo_cpuid_entry supported[VIREO_MAX_CPUID];
	unsigned int nr_supported;
	int vm_error;
	int cpuid_error;
	int mark_error;
	bool tracks;
	uint64_t refused_rip;
	unsigned int bad;
	const char *why;

	pthread_mutex_t lock;
	pthread_cond_t kick;
	int device_fd;
	int vm_fd;
	char name[32];
	unsigned int open_fds;
	unsigned int msis;
	struct vireo_msi last_msi;
	struct vireo_region region[FAKE_REGIONS];
	uint64_t *dirty[FAKE_REGIONS][VIREO_TRACK_CONSUMERS];	/* with @tracks, of those who follow */
	struct fake_vcpu vcpu[VIREO_MAX_VCPUS];
	unsigned int set_states;
	uint64_t clock;
	struct vireo_tracking tracking;		/* last of each */
	struct vireo_dirty_log dirty_log;
	struct vireo_dirty_range dirty_range;
	struct vireo_snapshot snapshot;
	unsigned long snapshot_call;
};

extern struct fake_module fake;

void fake_reset(void);
/* With fake.tracks: the guest has written there */
void fake_written(uint64_t gpa, uint64_t bytes);

#endif /* VIREO_TESTS_FAKE_MODULE_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* A board without a machine: a clock that tests turn, and what devices did. */
#ifndef VIREO_TESTS_RIG_H
#define VIREO_TESTS_RIG_H

#include "../vireo/board.h"
#include "../vireo/memory.h"
#include "../vireo/virtio/virtio.h"

#define RIG_MSIS 64
#define RIG_DOORBELLS 8

struct rig_msi {
	uint64_t address;
	uint32_t data;
};

/**
 * struct rig - a board under test
 * @board: the board
 * @memory: its memory
 * @now: the clock, in ns
 * @msi: messages that were sent
 * @nr_msis: how many
 * @msi_taken: what sending one returns
 * @extint: output of the 8259
 * @extint_edges: how often it rose
 * @request: last request
 * @status: its status
 * @requests: how many
 * @event: name of the last event
 * @pauses: how often the machine was to be paused
 * @line: levels of the interrupt lines, if rig_lines() was called
 * @rises: how often each rose
 * @doorbell: ioeventfds that are set
 * @nr_doorbells: how many; RIG_DOORBELLS fit
 * @doorbell_errors: some that were removed and were not there
 * @notified: signals of each queue of the device that rig_carry() got; these come from the device's threads
 * @changes: of its configuration
 * @failures: how often it needed a reset
 * @why: the last time
 */
struct rig {
	struct board board;
	struct guest_memory memory;
	uint64_t now;
	struct rig_msi msi[RIG_MSIS];
	unsigned int nr_msis;
	int msi_taken;
	bool extint;
	unsigned int extint_edges;
	enum board_request request;
	int status;
	unsigned int requests;
	char event[32];
	unsigned int pauses;
	bool line[BOARD_GSIS];
	unsigned int rises[BOARD_GSIS];
	struct { int fd; uint64_t addr; } doorbell[RIG_DOORBELLS];
	unsigned int nr_doorbells;
	unsigned int doorbell_errors;
	unsigned int notified[VIRTIO_QUEUES_MAX];
	unsigned int changes;
	unsigned int failures;
	const char *why;
};

/* PCI configuration space by mechanism 1 */
uint32_t rig_pci_read(struct rig *rig, unsigned int slot, unsigned int offset, unsigned int size);
void rig_pci_write(struct rig *rig, unsigned int slot, unsigned int offset, unsigned int size,
		   uint32_t value);
void rig_init(struct rig *rig, uint64_t memory);
void rig_destroy(struct rig *rig);
/* Be the transport of a virtio device */
void rig_carry(struct rig *rig, struct virtio_device *dev);
void rig_lines(struct rig *rig);
void rig_advance(struct rig *rig, uint64_t ns);
void rig_out(struct rig *rig, uint16_t port, uint8_t value);
uint8_t rig_in(struct rig *rig, uint16_t port);

#endif /* VIREO_TESTS_RIG_H */
